//! Keeping a collection within a number of rows: which rows go when others come.
//!
//! Rows lie in the file in the order in which they came, segment by segment, so the file is the
//! queue of recency.zig. Two hands go along it. The young one ends the probation of rows when they
//! are no longer among the newest tenth; the old one goes round and round over all that lie before
//! it. A row that stays is not moved for that. Where compaction has moved it to the end, it is
//! tenured and the young hand passes it by.
//!
//! Nothing of it is kept in the file: who opens it anew knows only which rows are older.

const std = @import("std");
const errors = @import("errors.zig");
const expiry = @import("expiry.zig");
const format = @import("format.zig");
const hash = @import("hash.zig");
const key_index = @import("key_index.zig");
const limits = @import("limits.zig");
const Counts = @import("departures.zig").Counts;
const HeldStates = @import("held_states.zig").HeldStates;
const collection_state = @import("collection_state.zig");
const Mover = @import("compaction.zig").Mover;
const Recency = @import("recency.zig").Recency;
const Selection = @import("selection.zig").Selection;

const Error = errors.Error;
const CollectionState = collection_state.CollectionState;
const SegmentState = collection_state.SegmentState;

pub const Eviction = struct {
    gpa: std.mem.Allocator,
    /// What was asked for; `rows_max` is less where the file has no room for so many.
    rows_most: u64,
    rows_max: u64,
    /// Rows that came since `rows_max` was changed.
    arrivals: u64 = 0,
    recency: Recency,
    young: ?Hand = null,
    old: ?Hand = null,
    /// Of the running write, whose rows do not make room for each other while there are others.
    fence: Fence = undefined,

    /// The row that comes next.
    const Hand = struct { generation: u32, row: u32 };

    /// Between the rows of a state and those that come later.
    const Fence = struct {
        /// Segments so far, as generations count them.
        made: u32,
        growing: ?Hand,

        fn of(state: *CollectionState) Fence {
            const disk = if (state.has_growing) &state.growing().disk else null;
            return .{
                .made = @as(u24, @truncate(state.segments_made)),
                .growing = if (disk) |it|
                    .{ .generation = it.generation, .row = it.rows }
                else
                    null,
            };
        }
    };

    const probation_part = 10;

    pub fn init(gpa: std.mem.Allocator, rows_max: u64) error{OutOfMemory}!Eviction {
        return .{
            .gpa = gpa,
            .rows_most = rows_max,
            .rows_max = rows_max,
            .recency = try .init(gpa, rows_max),
        };
    }

    pub fn deinit(eviction: *Eviction) void {
        eviction.recency.deinit(eviction.gpa);
        eviction.* = undefined;
    }

    /// Rows that are written from now on belong together.
    pub fn beginWrite(eviction: *Eviction, state: *CollectionState) void {
        eviction.fence = .of(state);
    }

    /// Makes room for one more row, and for some that come after it, so that not every write pays.
    /// What the appender holds is written before. Says what went.
    pub fn makeRoom(eviction: *Eviction, mover: *Mover, now_ms: i64) Error!Counts {
        const state = mover.appender.state;
        eviction.grow();
        if (state.live_rows < eviction.rows_max) return .{};
        try mover.appender.flush();
        const slack = @min(eviction.rows_max / slack_part, slack_max);
        const excess = state.live_rows - eviction.rows_max + 1;
        var sweep: Sweep = .{ .mover = mover, .now_ms = now_ms };
        defer sweep.deinit();
        try sweep.bury(eviction, excess, slack);
        // Not before all are buried: rows that move would be in other places then.
        for (0..sweep.gone.evictions + sweep.gone.expirations) |_| try mover.pay();
        return sweep.gone;
    }
    const slack_part = 64;
    const slack_max = 1024;

    /// What made the file full may be over: large keys, another namespace, a reader.
    fn grow(eviction: *Eviction) void {
        if (eviction.rows_max == eviction.rows_most) return;
        eviction.arrivals += 1;
        if (eviction.arrivals < eviction.rows_max) return;
        const part: u64 = if (eviction.rows_max < eviction.rows_most / 2) 4 else 16;
        eviction.allow(eviction.rows_max + eviction.rows_max / part + 1);
    }

    /// So many rows from now on, for which there is room.
    pub fn allow(eviction: *Eviction, rows: u64) void {
        eviction.rows_max = std.math.clamp(rows, 1, eviction.rows_most);
        eviction.arrivals = 0;
    }
};

/// Drops whole segments, which alone gives their pages back: those with the fewest live rows, until
/// `rows_wanted` are gone. Not those that readers hold, whose pages would not be free.
pub fn dropSegments(mover: *Mover, rows_wanted: u64, held: *const HeldStates) Error!void {
    const state = mover.appender.state;
    const transaction = mover.appender.transaction;
    const kept_max = state.live_rows -| rows_wanted;
    var sweep: Sweep = .{ .mover = mover, .now_ms = 0 };
    defer sweep.deinit();
    try sweep.listSegments();
    const segments = &sweep.segments;
    while (state.live_rows > kept_max and segments.items.len > 0) {
        var emptiest: usize = 0;
        for (0..segments.items.len) |index| {
            if (sweep.liveRows(index) < sweep.liveRows(emptiest)) emptiest = index;
        }
        const segment = sweep.segmentAt(emptiest).?;
        const is_held = held.needs(segment.disk.born, transaction.writer.transaction_id);
        if (!is_held) try sweep.dropSegment(emptiest);
        _ = segments.orderedRemove(emptiest);
    }
    if (state.has_growing) {
        const disk = &state.growing().disk;
        if (disk.dead_rows == disk.rows) try transaction.sealSegmentOf(state);
    }
}

/// Buries the oldest rows that can be read, so many. Their pages are free when compaction has moved
/// what is left beside them.
pub fn dropOldest(mover: *Mover, rows_wanted: u64) Error!void {
    const state = mover.appender.state;
    const kept_max = state.live_rows -| rows_wanted;
    var sweep: Sweep = .{ .mover = mover, .now_ms = 0 };
    defer sweep.deinit();
    try sweep.listSegments();
    var cursor: Sweep.Cursor = .{};
    while (state.live_rows > kept_max and try sweep.advance(&cursor)) : (cursor.row += 1) {
        const segment = sweep.segmentAt(cursor.segment).?;
        const record = mover.reader.record(state, segment, cursor.row) catch |err| switch (err) {
            error.Corrupt, error.InputOutput => continue,
            else => return err,
        };
        try sweep.remove(segment, cursor.row, hash.keyHash(mover.hash_key, record.key));
    }
}

/// About how many rows fit into a file of that size.
pub fn rowsIn(file_bytes: u64, dimension: u32) u64 {
    return roomForRows(file_bytes) / bytesOf(1, dimension);
}

/// What a file of that size leaves for rows beside what else it has: dead ones that wait for
/// compaction, room for the next ones, pages that only older states need.
pub fn roomForRows(file_bytes: u64) u64 {
    return (file_bytes -| format.pageOffset(other_pages)) / 100 * rows_percent;
}

/// The size of which so many bytes are left for rows.
pub fn fileFor(row_bytes: u64) u64 {
    return format.pageOffset(other_pages) + (row_bytes / rows_percent + 1) * 100;
}
const rows_percent = 65;

/// About what rows take.
pub fn bytesOf(rows: u64, dimension: u32) u64 {
    const code_bytes = dimension / 8 + code_numbers_bytes;
    return rows * (format.vectorStride(dimension) + @sizeOf(format.RowEntry) + code_bytes +
        @sizeOf(format.Record) + key_bytes + index_bytes + segment_bytes);
}
/// The first ones, and what deleting needs.
const other_pages = 64;
const code_numbers_bytes = 18;
/// Guesses.
const key_bytes = 64;
const index_bytes = 32;
/// The pages of a small segment, for each of its rows.
const segment_bytes = 128;

/// One walk along the segments.
const Sweep = struct {
    mover: *Mover,
    now_ms: i64,
    gone: Counts = .{},
    /// Oldest first.
    segments: std.ArrayList(Part) = .empty,
    young: Cursor = .{},
    old: Cursor = .{},
    /// Rows from there on stay.
    end: Cursor = .{},

    const Part = struct { id: u32, generation: u32, age: u32 };

    /// A hand, as a place among the segments.
    const Cursor = struct {
        segment: usize = 0,
        row: u32 = 0,
        /// Of which segment `selection` is.
        selected: ?usize = null,
        selection: Selection = .{},

        fn isBefore(cursor: *const Cursor, other: *const Cursor) bool {
            if (cursor.segment != other.segment) return cursor.segment < other.segment;
            return cursor.row < other.row;
        }
    };

    fn deinit(sweep: *Sweep) void {
        sweep.segments.deinit(sweep.gpa());
    }

    /// Rows of the running write only where there are no others, and not for the slack.
    fn bury(sweep: *Sweep, eviction: *Eviction, excess: u64, slack: u64) Error!void {
        try sweep.listSegments();
        const state = sweep.mover.appender.state;
        sweep.end = sweep.cursorAtFence(&eviction.fence);
        sweep.old = sweep.cursorAt(eviction.old);
        if (eviction.young) |hand|
            sweep.young = sweep.cursorAt(hand)
        else
            sweep.placeYoung(eviction);
        var on_probation = try sweep.rowsFrom(&sweep.young);
        const probation_max = eviction.rows_max / Eviction.probation_part;
        var buried: u64 = 0;
        // Each row has three uses at most, so after as many rounds somebody goes.
        var steps = 8 * (state.live_rows + 1);
        while (buried < excess + slack and state.live_rows > 0 and steps > 0) : (steps -= 1) {
            const is_young = on_probation > probation_max or !try sweep.findOld();
            if (is_young and !try sweep.find(&sweep.young, &sweep.end)) {
                // All that is left is before the young hand, or came with the running write.
                if (on_probation > 0) {
                    on_probation = 0;
                } else if (buried < excess) {
                    sweep.end = .{ .segment = sweep.segments.items.len };
                } else break;
                continue;
            }
            if (is_young) on_probation -|= 1;
            const cursor = if (is_young) &sweep.young else &sweep.old;
            if (try sweep.judge(&eviction.recency, cursor, is_young)) buried += 1;
            cursor.row += 1;
        }
        eviction.young = sweep.handAt(&sweep.young);
        eviction.old = sweep.handAt(&sweep.old);
    }

    /// Buries every row of a segment that can be read.
    fn dropSegment(sweep: *Sweep, index: usize) Error!void {
        const state = sweep.mover.appender.state;
        var cursor: Cursor = .{ .segment = index };
        while (try sweep.advance(&cursor)) : (cursor.row += 1) {
            if (cursor.segment != index) return;
            const segment = sweep.segmentAt(index).?;
            const reader = sweep.mover.reader;
            const record = reader.record(state, segment, cursor.row) catch |err| switch (err) {
                error.Corrupt, error.InputOutput => continue,
                else => return err,
            };
            try sweep.remove(segment, cursor.row, hash.keyHash(sweep.mover.hash_key, record.key));
        }
    }

    /// The old hand goes round over the rows before the young one; false where there are none.
    fn findOld(sweep: *Sweep) Error!bool {
        for (0..2) |_| {
            if (try sweep.find(&sweep.old, &sweep.young)) return true;
            // What it knows of a segment would be out of date once the young one has been there.
            sweep.old = .{};
        }
        return false;
    }

    /// To the next live row, if that is before `end`.
    fn find(sweep: *Sweep, cursor: *Cursor, end: *const Cursor) Error!bool {
        return try sweep.advance(cursor) and cursor.isBefore(end);
    }

    noinline fn listSegments(sweep: *Sweep) Error!void {
        const state = sweep.mover.appender.state;
        var next: u32 = 0;
        while (try state.nextSegment(sweep.gpa(), sweep.source(), next)) |segment| {
            next = segment.disk.id + 1;
            const made: u32 = @as(u24, @truncate(state.segments_made));
            sweep.segments.append(sweep.gpa(), .{
                .id = segment.disk.id,
                .generation = segment.disk.generation,
                .age = (made -% 1 -% segment.disk.generation) & (limits.generations_max - 1),
            }) catch return sweep.outOfMemory();
        }
        std.sort.heap(Part, sweep.segments.items, {}, isOlder);
    }

    /// The segment that grows comes after all others.
    fn liveRows(sweep: *Sweep, index: usize) u64 {
        const state = sweep.mover.appender.state;
        const segment = sweep.segmentAt(index).?;
        if (state.has_growing and segment.disk.id == state.growing_id) return std.math.maxInt(u64);
        return segment.disk.rows - segment.disk.dead_rows;
    }

    fn isOlder(_: void, a: Part, b: Part) bool {
        return a.age > b.age;
    }

    /// The segment of the hand, or the next younger one where it is gone.
    fn cursorAt(sweep: *Sweep, hand: ?Eviction.Hand) Cursor {
        const from = hand orelse return .{};
        const state = sweep.mover.appender.state;
        const made: u32 = @as(u24, @truncate(state.segments_made));
        const age = (made -% 1 -% from.generation) & (limits.generations_max - 1);
        for (sweep.segments.items, 0..) |part, index| {
            if (part.age > age) continue;
            return .{ .segment = index, .row = if (part.age == age) from.row else 0 };
        }
        return .{ .segment = sweep.segments.items.len };
    }

    fn handAt(sweep: *Sweep, cursor: *const Cursor) ?Eviction.Hand {
        const segments = sweep.segments.items;
        if (cursor.segment < segments.len) {
            return .{ .generation = segments[cursor.segment].generation, .row = cursor.row };
        }
        if (segments.len == 0) return null;
        // Rows that come later are behind it.
        const last = segments[segments.len - 1];
        const rows = if (sweep.mover.appender.state.loaded.get(last.id)) |it| it.disk.rows else 0;
        return .{ .generation = last.generation, .row = rows };
    }

    fn cursorAtFence(sweep: *Sweep, fence: *const Eviction.Fence) Cursor {
        const made: u32 = @as(u24, @truncate(sweep.mover.appender.state.segments_made));
        const newer = (made -% fence.made) & (limits.generations_max - 1);
        for (sweep.segments.items, 0..) |part, index| {
            if (part.age < newer) return .{ .segment = index };
            const hand = fence.growing orelse continue;
            if (part.generation == hand.generation) return .{ .segment = index, .row = hand.row };
        }
        return .{ .segment = sweep.segments.items.len };
    }

    /// At first the newest tenth is on probation.
    fn placeYoung(sweep: *Sweep, eviction: *const Eviction) void {
        const wanted = eviction.rows_max / Eviction.probation_part;
        var rows: u64 = 0;
        var index = sweep.segments.items.len;
        while (index > 0 and rows < wanted) {
            index -= 1;
            const segment = sweep.segmentAt(index) orelse continue;
            rows += segment.disk.rows - segment.disk.dead_rows;
        }
        sweep.young = .{ .segment = index };
    }

    /// Live rows from the cursor on.
    fn rowsFrom(sweep: *Sweep, cursor: *Cursor) Error!u64 {
        var rows: u64 = 0;
        for (cursor.segment..sweep.segments.items.len) |index| {
            const segment = sweep.segmentAt(index) orelse continue;
            if (index > cursor.segment) {
                rows += segment.disk.rows - segment.disk.dead_rows;
                continue;
            }
            try sweep.select(cursor, segment);
            const end = segment.disk.rows;
            rows += cursor.selection.countIn(@min(cursor.row, end), end);
        }
        return rows;
    }

    noinline fn segmentAt(sweep: *Sweep, index: usize) ?*SegmentState {
        const state = sweep.mover.appender.state;
        return state.loaded.get(sweep.segments.items[index].id);
    }

    noinline fn select(sweep: *Sweep, cursor: *Cursor, segment: *const SegmentState) Error!void {
        if (cursor.selected == cursor.segment) return;
        try cursor.selection.load(sweep.source(), segment);
        cursor.selected = cursor.segment;
    }

    /// To the next live row; false where there is none.
    noinline fn advance(sweep: *Sweep, cursor: *Cursor) Error!bool {
        while (cursor.segment < sweep.segments.items.len) {
            if (sweep.segmentAt(cursor.segment)) |segment| {
                try sweep.select(cursor, segment);
                if (cursor.selection.next(cursor.row, segment.disk.rows)) |row| {
                    cursor.row = row;
                    return true;
                }
            }
            cursor.segment += 1;
            cursor.row = 0;
        }
        return false;
    }

    /// Whether the row went.
    fn judge(
        sweep: *Sweep,
        recency: *Recency,
        cursor: *const Cursor,
        is_young: bool,
    ) Error!bool {
        const state = sweep.mover.appender.state;
        const segment = sweep.segmentAt(cursor.segment).?;
        const reader = sweep.mover.reader;
        const record = reader.record(state, segment, cursor.row) catch |err| switch (err) {
            // Whoever asks for the row gets the error.
            error.Corrupt, error.InputOutput => return false,
            else => return err,
        };
        const key_hash = hash.keyHash(sweep.mover.hash_key, record.key);
        const is_over = expiry.isOver(record.expiry_ms, sweep.now_ms);
        const goes = is_over or if (is_young)
            recency.endsProbation(key_hash)
        else
            recency.endsTenure(key_hash);
        if (!goes) return false;
        try sweep.remove(segment, cursor.row, key_hash);
        recency.leave(key_hash);
        if (is_over) sweep.gone.expirations += 1 else sweep.gone.evictions += 1;
        return true;
    }

    noinline fn remove(
        sweep: *Sweep,
        segment: *const SegmentState,
        row: u32,
        key_hash: u64,
    ) Error!void {
        const transaction = sweep.mover.appender.transaction;
        const state = sweep.mover.appender.state;
        const location: format.Location = .of(&segment.disk, row);
        try transaction.removeRow(state, key_hash, location);
        if (transaction.writer.dirty.count() >= limits.dirty_pages_max) try transaction.spill();
    }

    fn gpa(sweep: *const Sweep) std.mem.Allocator {
        return sweep.mover.appender.gpa;
    }

    fn source(sweep: *Sweep) key_index.Source {
        return sweep.mover.appender.transaction.source();
    }

    fn outOfMemory(sweep: *Sweep) Error {
        const diagnostics = sweep.mover.appender.transaction.diagnostics;
        return diagnostics.failOs(error.OutOfMemory, "making room for rows");
    }
};
