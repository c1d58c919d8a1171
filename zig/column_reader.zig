//! Finding the columns of a block of rows: its entry in the segment's fixed extent, or the one that
//! an amendment put in the place of that, and whether what it says can be true.

const std = @import("std");
const checksum = @import("checksum.zig");
const errors = @import("errors.zig");
const format = @import("format.zig");
const rows = @import("rows.zig");
const collection_state = @import("collection_state.zig");

const CollectionState = collection_state.CollectionState;
const SegmentState = collection_state.SegmentState;

/// The entry of the block whose first row is `row`; null where it is damaged. A block that it names
/// lies in the segment's heap.
pub fn entryAt(
    reader: rows.RowReader,
    state: *const CollectionState,
    segment: *const SegmentState,
    row: u32,
) errors.Error!?format.ColumnEntry {
    const disk = &segment.disk;
    var entry: format.ColumnEntry = undefined;
    if (segment.amendments.columnsOf(row)) |newer| {
        entry = newer.*;
    } else {
        const offset = disk.columnEntryOffset(row / disk.column_rows, state.identity.dimension);
        try reader.bytes(offset, std.mem.asBytes(&entry));
    }
    const is_whole = entry.checksum == entryChecksum(state.seedOf(segment, row), &entry);
    return if (is_whole and isPlace(disk, &entry)) entry else null;
}

pub fn entryChecksum(seed: u64, entry: *const format.ColumnEntry) u64 {
    const end = @offsetOf(format.ColumnEntry, "checksum");
    return checksum.bytes(seed, std.mem.asBytes(entry)[0..end]);
}

/// Whether the block lies within what was written of one heap extent. No bytes lie anywhere.
pub fn isPlace(disk: *const format.Segment, entry: *const format.ColumnEntry) bool {
    if (entry.bytes == 0) return true;
    for (disk.heap[0..disk.heap_count]) |extent| {
        const start = format.pageOffset(extent.page);
        if (entry.offset < start or entry.offset - start >= extent.used_bytes) continue;
        return entry.bytes <= extent.used_bytes - (entry.offset - start);
    }
    return false;
}

test "a block may begin where the extent before it ends" {
    var disk = std.mem.zeroes(format.Segment);
    disk.heap_count = 2;
    disk.heap[0] = .{ .page = 10, .page_count = 1, .used_bytes = format.page_bytes };
    disk.heap[1] = .{ .page = 11, .page_count = 1, .used_bytes = 64 };
    var entry = std.mem.zeroes(format.ColumnEntry);
    entry.offset = format.pageOffset(11);
    entry.bytes = 64;
    try std.testing.expect(isPlace(&disk, &entry));
    entry.bytes = 65;
    try std.testing.expect(!isPlace(&disk, &entry));
    entry.offset = format.pageOffset(12);
    entry.bytes = 1;
    try std.testing.expect(!isPlace(&disk, &entry));
}
