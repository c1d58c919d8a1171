//! Makes the columns of a block of rows from their documents: those that are kept in memory, and
//! the others as the file has them. What cannot be read is no reason to fail a write: the block has
//! no columns then, and a filter asks the documents.

const std = @import("std");
const checksum = @import("checksum.zig");
const column_builder = @import("column_builder.zig");
const format = @import("format.zig");
const rows = @import("rows.zig");
const soundness = @import("soundness.zig");
const collection_state = @import("collection_state.zig");
const os = @import("os/os.zig");
const OpenColumns = @import("open_columns.zig").OpenColumns;

const CollectionState = collection_state.CollectionState;
const SegmentState = collection_state.SegmentState;

/// What making columns takes, kept from one write to the next.
pub const Memory = struct {
    arena: std.heap.ArenaAllocator,
    open: OpenColumns,

    pub fn init(gpa: std.mem.Allocator) Memory {
        return .{ .arena = .init(gpa), .open = .{ .gpa = gpa } };
    }

    pub fn deinit(memory: *Memory) void {
        memory.open.deinit();
        memory.arena.deinit();
    }

    pub fn bytes(memory: *const Memory) u64 {
        return memory.arena.queryCapacity() + memory.open.bytes();
    }

    pub fn rest(memory: *Memory) void {
        _ = memory.arena.reset(.{ .retain_with_limit = arena_kept });
    }

    const arena_kept = 256 * 1024;
};

pub const Made = struct {
    kind: format.ColumnEntry.Kind,
    /// Of the memory's arena.
    bytes: []const u8 = &.{},
};

/// Documents of one block that are turned into columns.
const documents_bytes_max = 16 << 20;

pub fn placeOf(state: *const CollectionState, segment: *const SegmentState) OpenColumns.Place {
    return .{
        .collection = state.identity.id,
        .segment = segment.disk.id,
        .generation = segment.disk.generation,
    };
}

/// Whether no row of the block from `first` on has to be read from the file.
pub fn isKept(
    memory: *const Memory,
    state: *const CollectionState,
    segment: *const SegmentState,
    first: u32,
) bool {
    return memory.open.get(placeOf(state, segment), first) != null;
}

/// The columns of the block whose first row is `first`. Rows that are not kept are in the file.
pub fn make(
    memory: *Memory,
    file: os.File,
    state: *const CollectionState,
    segment: *const SegmentState,
    first: u32,
) error{OutOfMemory}!Made {
    const arena = memory.arena.allocator();
    const place = placeOf(state, segment);
    var documents: [format.column_block_rows][]const u8 = undefined;
    const block = documents[0..segment.disk.column_rows];
    var total: usize = 0;
    for (block, first..) |*document, row| {
        document.* = memory.open.get(place, @intCast(row)) orelse
            try readDocument(arena, file, state, segment, @intCast(row)) orelse
            return .{ .kind = .left_out };
        total += document.len;
        if (total > documents_bytes_max) return .{ .kind = .left_out };
    }
    if (total == 0) return .{ .kind = .none };
    var out: std.ArrayList(u8) = .empty;
    column_builder.build(arena, block, &out) catch |err| switch (err) {
        error.OutOfMemory => return error.OutOfMemory,
        error.Malformed => return .{ .kind = .left_out },
    };
    if (out.items.len == 0) return .{ .kind = .none };
    return .{ .kind = .block, .bytes = out.items };
}

/// Null where it is damaged or cannot be read.
fn readDocument(
    arena: std.mem.Allocator,
    file: os.File,
    state: *const CollectionState,
    segment: *const SegmentState,
    row: u32,
) error{OutOfMemory}!?[]const u8 {
    const seed = state.seedOf(segment, row);
    var entry: format.RowEntry = undefined;
    const entry_offset = segment.entryOffset(row, state.vectorStride());
    if (!readAll(file, entry_offset, std.mem.asBytes(&entry))) return null;
    if (entry.checksum != rows.entryChecksum(seed, &entry)) return null;
    var record: format.Record = undefined;
    if (!readAll(file, entry.record_offset, std.mem.asBytes(&record))) return null;
    if (!soundness.isRecord(&record)) return null;
    const key_end = @sizeOf(format.Record) + record.key_bytes;
    const bytes = try arena.alloc(u8, key_end + record.metadata_bytes);
    if (!readAll(file, entry.record_offset, bytes)) return null;
    if (checksum.bytes(seed, bytes[@sizeOf(u64)..key_end]) != record.checksum) return null;
    const document = bytes[key_end..];
    if (checksum.bytes(seed, document) != record.metadata_checksum) return null;
    return document;
}

fn readAll(file: os.File, offset: u64, out: []u8) bool {
    const read = file.read(offset, out) catch return false;
    return read == out.len;
}
