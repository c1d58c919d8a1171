//! Rows on their way out: keys, metadata and vectors of a scan over all rows or of search hits,
//! packed into the caller's buffers.

const std = @import("std");
const errors = @import("errors.zig");
const format = @import("format.zig");
const rows = @import("rows.zig");
const collection_state = @import("collection_state.zig");
const Hit = @import("search.zig").Hit;
const RowFilter = @import("row_filter.zig").RowFilter;
const Selection = @import("selection.zig").Selection;
const Source = @import("key_index.zig").Source;

const Error = errors.Error;
const CollectionState = collection_state.CollectionState;
const SegmentState = collection_state.SegmentState;

/// Each entry: key length u32, metadata length u32, key, metadata. Vectors go, in the same order,
/// to a buffer of their own.
pub const EntryWriter = struct {
    out: []u8,
    used: usize = 0,
    /// count × dimension.
    vectors: []f32 = &.{},
    count: u32 = 0,
    /// After `BufferTooSmall`: what the one entry that did not fit takes.
    needed: usize = 0,
    include_vectors: bool,
};

/// Where a scan goes on; all zero at its start.
pub const Cursor = extern struct { a: u32 = 0, b: u32 = 0, c: u32 = 0, d: u32 = 0 };

pub const Entries = struct {
    gpa: std.mem.Allocator,
    state: *CollectionState,
    source: Source,
    reader: rows.RowReader,

    /// Appends live rows that match the filter until the buffers are full; false when the scan is
    /// over and nothing was appended.
    pub fn scan(
        entries: Entries,
        cursor: *Cursor,
        filter: ?*RowFilter,
        out: *EntryWriter,
    ) Error!bool {
        const start_count = out.count;
        var selection: Selection = .{};
        while (try entries.state.nextSegment(entries.gpa, entries.source, cursor.a)) |segment| {
            if (segment.disk.id != cursor.a) cursor.* = .{ .a = segment.disk.id };
            try selection.load(entries.source, segment);
            const is_full = !try entries.scanSegment(segment, &selection, cursor, filter, out);
            if (is_full and out.count > start_count) return true;
            if (is_full) return entries.reader.diagnostics.fail(
                error.BufferTooSmall,
                "the next entry takes {d} bytes",
                .{out.needed},
            );
            cursor.* = .{ .a = cursor.a + 1 };
        }
        return out.count > start_count;
    }

    /// False where the next row does not fit.
    fn scanSegment(
        entries: Entries,
        segment: *SegmentState,
        selection: *Selection,
        cursor: *Cursor,
        filter: ?*RowFilter,
        out: *EntryWriter,
    ) Error!bool {
        const rows_at_once = format.column_block_rows;
        while (cursor.b < segment.disk.rows) {
            const first = cursor.b / rows_at_once * rows_at_once;
            const end = @min(first + rows_at_once, segment.disk.rows);
            if (filter) |found| try found.narrow(segment, selection, first, end);
            while (selection.next(cursor.b, end)) |row| {
                cursor.b = row;
                if (!try entries.add(segment, row, out)) return false;
                cursor.b = row + 1;
            }
            cursor.b = end;
        }
        return true;
    }

    /// Appends the rows of `hits` in their order, all of them or `BufferTooSmall` with the size of
    /// the whole.
    pub fn fetch(entries: Entries, hits: []const Hit, out: *EntryWriter) Error!void {
        var total = out.used;
        var fits = true;
        for (hits) |hit| {
            const segment = try entries.segmentAt(hit);
            const is_added = fits and try entries.add(segment, hit.row, out);
            if (is_added) {
                total = out.used;
                continue;
            }
            fits = false;
            const record = try entries.reader.record(entries.state, segment, hit.row);
            total += entryBytes(record);
        }
        if (fits) return;
        out.needed = total;
        return entries.reader.diagnostics.fail(
            error.BufferTooSmall,
            "the entries take {d} bytes",
            .{total},
        );
    }

    fn segmentAt(entries: Entries, hit: Hit) Error!*SegmentState {
        const segment = try entries.state.loadSegment(entries.gpa, entries.source, hit.segment);
        if (segment) |found| if (hit.row < found.disk.rows) return found;
        return entries.reader.diagnostics.fail(
            error.InvalidArgument,
            "there is no row {d} in segment {d}; hits are fetched " ++
                "before anything else is written",
            .{ hit.row, hit.segment },
        );
    }

    fn add(entries: Entries, segment: *SegmentState, row: u32, out: *EntryWriter) Error!bool {
        const record = try entries.reader.record(entries.state, segment, row);
        const bytes = entryBytes(record);
        const dimension = entries.state.identity.dimension;
        const vector_start = @as(usize, out.count) * dimension;
        const has_vector_room = !out.include_vectors or vector_start + dimension <= out.vectors.len;
        if (out.used + bytes > out.out.len or !has_vector_room) {
            out.needed = bytes;
            return false;
        }
        const target = out.out[out.used..][0..bytes];
        std.mem.writeInt(u32, target[0..4], @intCast(record.key.len), .little);
        std.mem.writeInt(u32, target[4..8], record.metadata_bytes, .little);
        @memcpy(target[8..][0..record.key.len], record.key);
        try entries.reader.metadata(
            entries.state,
            segment,
            row,
            record,
            target[8 + record.key.len ..],
        );
        if (out.include_vectors) {
            try entries.reader.vector(
                entries.state,
                segment,
                row,
                out.vectors[vector_start..][0..dimension],
            );
        }
        out.used += bytes;
        out.count += 1;
        return true;
    }
};

fn entryBytes(record: rows.RecordView) usize {
    return 8 + record.key.len + record.metadata_bytes;
}
