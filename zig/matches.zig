//! All rows of a collection that match a filter, found before a search, or instead of one: by
//! segment, in steps, one bit for each row.

const std = @import("std");
const errors = @import("errors.zig");
const format = @import("format.zig");
const rows = @import("rows.zig");
const collection_state = @import("collection_state.zig");
const Filter = @import("filter.zig").Filter;
const RowFilter = @import("row_filter.zig").RowFilter;
const Selection = @import("selection.zig").Selection;
const Source = @import("key_index.zig").Source;

const CollectionState = collection_state.CollectionState;
const Error = errors.Error;
const SegmentState = collection_state.SegmentState;

pub const Matches = struct {
    gpa: std.mem.Allocator,
    state: *CollectionState,
    source: Source,
    filter: RowFilter,
    /// How many there are, as far as the steps have come.
    count: u64 = 0,
    words: std.ArrayList(u64) = .empty,
    /// Where the words of a segment are, in ascending order of ids. Those without any match are not
    /// here.
    runs: std.ArrayList(Run) = .empty,
    /// The segment under way, what is left of its rows, and the next one to look at.
    segment: ?*SegmentState = null,
    selection: Selection = .{},
    row: u32 = 0,
    next_segment: u32 = 0,

    const Run = struct {
        segment: u32,
        start: usize,
        len: usize,

        fn orderOf(id: u32, run: Run) std.math.Order {
            return std.math.order(id, run.segment);
        }
    };

    pub fn init(
        gpa: std.mem.Allocator,
        state: *CollectionState,
        source: Source,
        reader: rows.RowReader,
        filter: *const Filter,
    ) Matches {
        return .{
            .gpa = gpa,
            .state = state,
            .source = source,
            .filter = .{ .gpa = gpa, .filter = filter, .state = state, .reader = reader },
        };
    }

    pub fn deinit(matches: *Matches) void {
        matches.filter.deinit();
        matches.words.deinit(matches.gpa);
        matches.runs.deinit(matches.gpa);
        matches.* = undefined;
    }

    /// Reads about `bytes_max`; false when all are found.
    pub fn step(matches: *Matches, bytes_max: u64) Error!bool {
        const before = matches.filter.bytes_read;
        while (matches.filter.bytes_read - before < bytes_max) {
            if (!try matches.advance()) return false;
        }
        return true;
    }

    /// All of them in one go.
    pub fn findAll(matches: *Matches) Error!void {
        while (try matches.advance()) {}
    }

    /// Whether there is one; looks no further than that.
    pub fn any(matches: *Matches) Error!bool {
        while (matches.count == 0) if (!try matches.advance()) return false;
        return true;
    }

    fn advance(matches: *Matches) Error!bool {
        const segment = matches.segment orelse try matches.nextSegment() orelse {
            const image = matches.filter.reader.image;
            image.column_chunks = matches.filter.mapped_chunks;
            image.trim();
            return false;
        };
        const end = @min(segment.disk.rows, matches.row + rows_at_once);
        try matches.filter.narrow(segment, &matches.selection, matches.row, end);
        matches.row = end;
        if (end == segment.disk.rows) try matches.endSegment(segment);
        return true;
    }
    const rows_at_once = 4 * format.column_block_rows;

    fn nextSegment(matches: *Matches) Error!?*SegmentState {
        const state = matches.state;
        const found = try state.nextSegment(matches.gpa, matches.source, matches.next_segment);
        const segment = found orelse return null;
        matches.next_segment = segment.disk.id + 1;
        try matches.selection.load(matches.source, segment);
        matches.segment = segment;
        matches.row = 0;
        return segment;
    }

    fn endSegment(matches: *Matches, segment: *SegmentState) Error!void {
        matches.segment = null;
        const count = matches.selection.countIn(0, segment.disk.rows);
        if (count == 0) return;
        const words = matches.selection.words[0..Selection.wordsFor(segment.disk.rows)];
        matches.runs.append(matches.gpa, .{
            .segment = segment.disk.id,
            .start = matches.words.items.len,
            .len = words.len,
        }) catch return matches.outOfMemory();
        matches.words.appendSlice(matches.gpa, words) catch return matches.outOfMemory();
        matches.count += count;
    }

    /// The words of a segment, when all are found; null where no row of it matches.
    pub fn of(matches: *const Matches, id: u32) ?[]const u64 {
        const runs = matches.runs.items;
        const number = std.sort.binarySearch(Run, runs, id, Run.orderOf) orelse return null;
        return matches.wordsOf(runs[number]);
    }

    fn wordsOf(matches: *const Matches, run: Run) []const u64 {
        return matches.words.items[run.start..][0..run.len];
    }

    pub const Row = struct {
        segment: u32,
        row: u32,
        /// Number of its segment among those with matches.
        number: usize,
    };

    /// When all are found.
    pub fn first(matches: *const Matches) ?Row {
        return matches.from(0, 0);
    }

    pub fn after(matches: *const Matches, place: Row) ?Row {
        return matches.from(place.number, place.row + 1);
    }

    fn from(matches: *const Matches, number: usize, row: u32) ?Row {
        var at = row;
        for (matches.runs.items[number..], number..) |run, i| {
            const words = matches.wordsOf(run);
            while (at < words.len * 64) : (at = (at / 64 + 1) * 64) {
                const bits = words[at / 64] >> @intCast(at % 64);
                if (bits == 0) continue;
                return .{ .segment = run.segment, .row = at + @ctz(bits), .number = i };
            }
            at = 0;
        }
        return null;
    }

    fn outOfMemory(matches: *Matches) Error {
        return matches.filter.reader.diagnostics.failOs(error.OutOfMemory, "filtering");
    }
};
