//! Replacing the metadata of a row that stays where it is: another record behind the last one of
//! its segment's heap, and the place of that in a page of amendments.
//!
//! Nothing is written over. What is behind the used bytes of a heap extent belongs to nobody, also
//! where the segment takes no more rows, but for states that were lost and may still be read: the
//! first amendment after that begins an extent of its own.
//!
//! What is left behind is bounded (`limits.amended_part`): who gets no for an answer writes the row
//! anew, and the segment is compacted like any other that has dead rows.

const std = @import("std");
const checksum = @import("checksum.zig");
const column_reader = @import("column_reader.zig");
const column_writer = @import("column_writer.zig");
const errors = @import("errors.zig");
const expiry = @import("expiry.zig");
const format = @import("format.zig");
const limits = @import("limits.zig");
const row_set = @import("row_set.zig");
const rows = @import("rows.zig");
const collection_state = @import("collection_state.zig");
const Transaction = @import("transaction.zig").Transaction;

const Error = errors.Error;
const CollectionState = collection_state.CollectionState;
const SegmentState = collection_state.SegmentState;

/// Makes columns anew where many rows were amended since they were made. Before a commit: a
/// transaction that amends all rows of a block does it once.
pub fn renewColumns(
    gpa: std.mem.Allocator,
    transaction: *Transaction,
    column_memory: *column_writer.Memory,
) Error!void {
    for (transaction.changed.keys()) |index| {
        const state = transaction.working.collections.get(index).?;
        const amender: Amender = .{
            .gpa = gpa,
            .transaction = transaction,
            .state = state,
            .column_memory = column_memory,
        };
        for (state.loaded.values()) |segment| {
            amender.renewSegment(segment) catch |err| switch (err) {
                // Documents come first, and they are written.
                error.NoSpace => return,
                else => return err,
            };
        }
    }
}

pub const Amender = struct {
    gpa: std.mem.Allocator,
    transaction: *Transaction,
    /// Private to the transaction.
    state: *CollectionState,
    column_memory: *column_writer.Memory,

    /// The key and expiry of the row's record as it is, which stay, and its new metadata.
    pub const New = struct {
        key: []const u8,
        expiry_ms: i64,
        metadata: []const u8,
        /// Of the metadata that it replaces.
        old_metadata_bytes: u32,
    };

    /// False where the row has to be written anew.
    pub fn amend(amender: Amender, location: format.Location, new: New) Error!bool {
        const state = amender.state;
        const segment = try amender.transaction.editableSegment(state, location.segment);
        const left = rows.recordBytes(new.key.len, new.old_metadata_bytes);
        if (!mayWaste(&segment.disk, left, limits.amended_part)) return false;
        const bytes = rows.recordBytes(new.key.len, new.metadata.len);
        const offset = try amender.takeHeap(segment, @intCast(bytes)) orelse return false;
        const row: u32 = location.row;
        const record = amender.gpa.alloc(u8, bytes) catch return amender.outOfMemory();
        defer amender.gpa.free(record);
        @memset(record, 0);
        const seed = state.seedOf(segment, row);
        rows.writeRecord(record, seed, .{
            .metadata_checksum = checksum.bytes(seed, new.metadata),
            .expiry_ms = new.expiry_ms,
            .transaction_id = amender.transaction.writer.transaction_id,
            .location = location.toInt(),
            .key_bytes = @intCast(new.key.len),
            .metadata_bytes = @intCast(new.metadata.len),
        }, new.key, new.metadata);
        try amender.transaction.writer.writeBytes(offset, &.{record});
        segment.disk.wasted_bytes += @intCast(left);
        state.last_amended = amender.transaction.writer.transaction_id;
        const block = segment.amendments.edit(amender.gpa, segment.disk.capacity, row) catch
            return amender.outOfMemory();
        block.records[row % block.records.len] = offset;
        const number: u8 = @intCast(row % block.records.len);
        if (row < segment.disk.columnedRows()) row_set.insert(&block.stale, number);
        const place = column_writer.placeOf(state, segment);
        defer if (new.expiry_ms != 0) amender.column_memory.rest();
        const arena = amender.column_memory.arena.allocator();
        const document = expiry.documentOf(arena, new.metadata, new.expiry_ms) catch
            return amender.outOfMemory();
        amender.column_memory.open.replace(place, row, document);
        return true;
    }

    /// Whether so many more bytes of the segment may be what nothing leads to, if that is at most
    /// one for so many of all.
    fn mayWaste(disk: *const format.Segment, bytes: u64, part: u64) bool {
        const most = @min(segmentBytes(disk) / part, std.math.maxInt(u32));
        return disk.wasted_bytes + bytes <= most;
    }

    fn segmentBytes(disk: *const format.Segment) u64 {
        return format.pageOffset(disk.extent_page_count) + disk.heapBytes();
    }

    /// Where so many bytes fit into the segment's heap; null where it cannot have another extent.
    fn takeHeap(amender: Amender, segment: *SegmentState, bytes: u32) Error!?u64 {
        const disk = &segment.disk;
        const is_own = disk.heap_count > 0 and disk.heap_loss == amender.transaction.loss;
        const has_room = is_own and has: {
            const last = &disk.heap[disk.heap_count - 1];
            break :has last.used_bytes + @as(u64, bytes) <= format.pageOffset(last.page_count);
        };
        if (!has_room) {
            if (disk.heap_count == limits.heap_extents_max) return null;
            const least: u32 = @intCast(format.pagesFor(bytes));
            const part = segmentBytes(disk) / limits.amended_extent_part;
            const wanted = @max(bytes, @min(part, limits.heap_extent_bytes_max));
            const most: u32 = @intCast(format.pagesFor(wanted));
            const run = try amender.transaction.writer.takeRun(least, most);
            disk.heap[disk.heap_count] = .{
                .page = run.page,
                .page_count = run.count,
                .used_bytes = 0,
            };
            disk.heap_count += 1;
            disk.heap_loss = amender.transaction.loss;
        }
        const last = &disk.heap[disk.heap_count - 1];
        const offset = format.pageOffset(last.page) + last.used_bytes;
        last.used_bytes += bytes;
        return offset;
    }

    fn renewSegment(amender: Amender, segment: *SegmentState) Error!void {
        if (!segment.changed) return;
        for (segment.amendments.blocks, 0..) |maybe, number| {
            const block = maybe orelse continue;
            const first: u32 = @intCast(number * block.records.len);
            // A file may have lied about rows without columns.
            if (first >= segment.disk.columnedRows()) return;
            if (row_set.count(&block.stale) < limits.stale_rows_max) continue;
            try amender.renew(segment, first);
        }
    }

    /// Makes the columns of the block anew whose first row is `row`, as far as there is room.
    fn renew(amender: Amender, segment: *SegmentState, row: u32) Error!void {
        const state = amender.state;
        const writer = amender.transaction.writer;
        const disk = &segment.disk;
        const left = amender.columnBytes(segment, row);
        // The other half is for documents, which must be written.
        if (!mayWaste(disk, left, 2 * limits.amended_part)) return;
        defer amender.column_memory.rest();
        const made = column_writer.make(
            amender.column_memory,
            writer.file,
            state,
            segment,
            row,
        ) catch return amender.outOfMemory();
        var offset: u64 = 0;
        if (made.bytes.len > 0) {
            offset = try amender.takeHeap(segment, made.room()) orelse return;
            const padding: [format.record_alignment]u8 = @splat(0);
            const padding_bytes = made.room() - made.bytes.len;
            try writer.writeBytes(offset, &.{ made.bytes, padding[0..padding_bytes] });
        }
        disk.wasted_bytes += @intCast(left);
        const block = segment.amendments.edit(amender.gpa, disk.capacity, row) catch
            return amender.outOfMemory();
        block.columns = made.entry(state, segment, row, offset);
        block.stale = row_set.none;
    }

    /// Of the columns as they are, what they take in the heap.
    fn columnBytes(amender: Amender, segment: *const SegmentState, row: u32) u64 {
        const disk = &segment.disk;
        var entry: format.ColumnEntry = undefined;
        if (segment.amendments.columnsOf(row)) |newer| {
            entry = newer.*;
        } else {
            const dimension = amender.state.identity.dimension;
            const offset = disk.columnEntryOffset(row / disk.column_rows, dimension);
            const file = amender.transaction.writer.file;
            const len = file.read(offset, std.mem.asBytes(&entry)) catch 0;
            // What is damaged is not counted.
            const is_read = len == @sizeOf(format.ColumnEntry);
            if (!is_read or !column_reader.isPlace(disk, &entry)) return 0;
        }
        return std.mem.alignForward(u64, entry.bytes, format.record_alignment);
    }

    fn outOfMemory(amender: Amender) Error {
        return amender.transaction.diagnostics.failOs(error.OutOfMemory, "setting metadata");
    }
};
