//! Which rows of a segment match a filter: by their columns, and where those do not know, by the
//! documents of the rows. So every answer is exact, whatever the columns leave out.
//!
//! Columns that are damaged cost time and nothing else.

const std = @import("std");
const checksum = @import("checksum.zig");
const column_block = @import("column_block.zig");
const column_reader = @import("column_reader.zig");
const errors = @import("errors.zig");
const filter_columns = @import("filter_columns.zig");
const format = @import("format.zig");
const row_set = @import("row_set.zig");
const rows = @import("rows.zig");
const collection_state = @import("collection_state.zig");
const Filter = @import("filter.zig").Filter;
const Selection = @import("selection.zig").Selection;

const CollectionState = collection_state.CollectionState;
const Error = errors.Error;
const SegmentState = collection_state.SegmentState;
const Verdict = filter_columns.Verdict;

const unknown: Verdict = .{ .yes = row_set.none, .maybe = @splat(std.math.maxInt(u64)) };

pub const RowFilter = struct {
    gpa: std.mem.Allocator,
    filter: *const Filter,
    state: *const CollectionState,
    reader: rows.RowReader,
    /// Documents that were read because the columns did not know.
    documents_read: u64 = 0,
    /// Of columns and documents.
    bytes_read: u64 = 0,
    document: std.ArrayList(u8) = .empty,
    columns: std.array_list.Aligned(u8, .@"8") = .empty,

    pub fn deinit(row_filter: *RowFilter) void {
        row_filter.document.deinit(row_filter.gpa);
        row_filter.columns.deinit(row_filter.gpa);
        row_filter.* = undefined;
    }

    /// Leaves of the rows from `first`, a multiple of 256, up to `end`, another one or the last,
    /// only those in `selection` that match.
    pub fn narrow(
        row_filter: *RowFilter,
        segment: *SegmentState,
        selection: *Selection,
        first: u32,
        end: u32,
    ) Error!void {
        const columned = @min(end, segment.disk.columnedRows());
        var row = first;
        while (row < end) {
            const has_columns = row < columned;
            const count = if (has_columns)
                segment.disk.column_rows
            else
                @min(format.column_block_rows, end - row);
            defer row += count;
            if (selection.countIn(row, row + count) == 0) continue;
            const verdict = if (has_columns)
                try row_filter.askColumns(segment, row)
            else
                unknown;
            try row_filter.decide(segment, selection, row, count, &verdict);
        }
    }

    fn decide(
        row_filter: *RowFilter,
        segment: *SegmentState,
        selection: *Selection,
        first: u32,
        count: u32,
        verdict: *const Verdict,
    ) Error!void {
        var at: u32 = 0;
        while (at < count) {
            const row = first + at;
            const part = @min(64 - row % 64, count - at);
            const shift: u6 = @intCast(at % 64);
            const wanted = selection.bitsOf(row, part);
            var kept = wanted & verdict.yes[at / 64] >> shift;
            var open = wanted & verdict.maybe[at / 64] >> shift;
            while (open != 0) : (open &= open - 1) {
                const bit: u6 = @intCast(@ctz(open));
                if (try row_filter.askDocument(segment, row + bit)) kept |= @as(u64, 1) << bit;
            }
            selection.setBits(row, part, kept);
            at += part;
        }
    }

    fn askDocument(row_filter: *RowFilter, segment: *SegmentState, row: u32) Error!bool {
        var reader = row_filter.reader;
        // They are all over the file.
        reader.is_glance = true;
        const state = row_filter.state;
        const record = try reader.record(state, segment, row);
        row_filter.document.resize(row_filter.gpa, record.metadata_bytes) catch
            return row_filter.outOfMemory();
        try reader.metadata(state, segment, row, record, row_filter.document.items);
        row_filter.documents_read += 1;
        row_filter.bytes_read += @sizeOf(format.Record) + record.key.len + record.metadata_bytes;
        return row_filter.filter.matches(row_filter.document.items) catch reader.diagnostics.fail(
            error.Corrupt,
            "the metadata at offset {d} cannot be as it says; the file is damaged, restore a " ++
                "backup or salvage() it",
            .{record.metadata_offset},
        );
    }

    /// Of the block of columns that begins with the row.
    fn askColumns(row_filter: *RowFilter, segment: *SegmentState, row: u32) Error!Verdict {
        const reader = row_filter.reader;
        const state = row_filter.state;
        const entry = try column_reader.entryAt(reader, state, segment, row) orelse
            return unknown;
        row_filter.bytes_read += @sizeOf(format.ColumnEntry) + entry.bytes;
        switch (entry.kind) {
            .none => return row_filter.askNothing(),
            .block => {},
            else => return unknown,
        }
        if (reader.image.hotOnly(entry.offset, entry.bytes)) |bytes| {
            const verdict = row_filter.judge(segment, row, &entry, bytes);
            if (reader.image.isWhole(entry.offset)) return verdict;
        }
        row_filter.columns.resize(row_filter.gpa, entry.bytes) catch
            return row_filter.outOfMemory();
        try reader.bytes(entry.offset, row_filter.columns.items);
        return row_filter.judge(segment, row, &entry, row_filter.columns.items);
    }

    /// All rows of a block without metadata are alike.
    fn askNothing(row_filter: *RowFilter) Verdict {
        // There is nothing in it that could be malformed.
        const matches = row_filter.filter.matches(&.{}) catch unreachable;
        return .{
            .yes = if (matches) @splat(std.math.maxInt(u64)) else row_set.none,
            .maybe = row_set.none,
        };
    }

    fn judge(
        row_filter: *RowFilter,
        segment: *SegmentState,
        row: u32,
        entry: *const format.ColumnEntry,
        bytes: []const u8,
    ) Verdict {
        const verified = &segment.verified.columns;
        const index = row / segment.disk.column_rows;
        if (!verified.isSet(index)) {
            const seed = row_filter.state.seedOf(segment, row);
            if (checksum.bytes(seed, bytes) != entry.block_checksum) return unknown;
            verified.set(index);
        }
        const block = column_block.Block.open(bytes, segment.disk.column_rows) catch
            return unknown;
        return filter_columns.evaluate(row_filter.filter, &block);
    }

    fn outOfMemory(row_filter: *RowFilter) Error {
        return row_filter.reader.diagnostics.failOs(error.OutOfMemory, "filtering");
    }
};
