//! Makes the columns of a block of rows from their documents: those that are kept in memory, and
//! the others as the file has them. What cannot be read is no reason to fail a write: the block has
//! no columns then, and a filter asks the documents.

const std = @import("std");
const checksum = @import("checksum.zig");
const column_builder = @import("column_builder.zig");
const column_reader = @import("column_reader.zig");
const expiry = @import("expiry.zig");
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

    pub const none: Made = .{ .kind = .none };
    pub const left_out: Made = .{ .kind = .left_out };

    /// What it takes in the heap.
    pub fn room(made: *const Made) u32 {
        return @intCast(std.mem.alignForward(usize, made.bytes.len, format.record_alignment));
    }

    /// Of the block whose first row is `first`, where it lies at `offset`.
    pub fn entry(
        made: *const Made,
        state: *const CollectionState,
        segment: *const SegmentState,
        first: u32,
        offset: u64,
    ) format.ColumnEntry {
        const seed = state.seedOf(segment, first);
        var out: format.ColumnEntry = .{
            .offset = offset,
            .bytes = @intCast(made.bytes.len),
            .kind = made.kind,
            .block_checksum = checksum.bytes(seed, made.bytes),
        };
        out.checksum = column_reader.entryChecksum(seed, &out);
        return out;
    }
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
    const block = documents[0..segment.disk.columnBlockRows(first)];
    var total: usize = 0;
    var entries: [format.column_block_rows]format.RowEntry = undefined;
    const entry_bytes = std.mem.sliceAsBytes(entries[0..block.len]);
    const entries_at = segment.entryOffset(first, state.vectorStride());
    var has_entries = false;
    for (block, entries[0..block.len], first..) |*document, *entry, i| {
        const row: u32 = @intCast(i);
        document.* = memory.open.get(place, row) orelse read: {
            if (!has_entries and !readAll(file, entries_at, entry_bytes)) return .left_out;
            has_entries = true;
            break :read try readDocument(arena, file, state, segment, row, entry) orelse
                return .left_out;
        };
        total += document.len;
        if (total > documents_bytes_max) return .left_out;
    }
    if (total == 0) return .none;
    var out: std.ArrayList(u8) = .empty;
    column_builder.build(arena, block, &out) catch |err| switch (err) {
        error.OutOfMemory => return error.OutOfMemory,
        error.Malformed => return .left_out,
    };
    if (out.items.len == 0) return .none;
    return .{ .kind = .block, .bytes = out.items };
}

/// Null where it is damaged or cannot be read.
fn readDocument(
    arena: std.mem.Allocator,
    file: os.File,
    state: *const CollectionState,
    segment: *const SegmentState,
    row: u32,
    entry: *const format.RowEntry,
) error{OutOfMemory}!?[]const u8 {
    const seed = state.seedOf(segment, row);
    const offset = segment.amendments.recordOf(row) orelse own: {
        if (entry.checksum != rows.entryChecksum(seed, entry)) return null;
        break :own entry.record_offset;
    };
    // Most records are shorter than this.
    var start: [512]u8 = undefined;
    const start_bytes = file.read(offset, &start) catch return null;
    if (start_bytes < @sizeOf(format.Record)) return null;
    const record = std.mem.bytesToValue(format.Record, start[0..@sizeOf(format.Record)]);
    if (!soundness.isRecord(&record)) return null;
    const key_end = @sizeOf(format.Record) + record.key_bytes;
    const bytes = try arena.alloc(u8, key_end + record.metadata_bytes);
    if (bytes.len <= start_bytes) {
        @memcpy(bytes, start[0..bytes.len]);
    } else if (!readAll(file, offset, bytes)) return null;
    if (checksum.bytes(seed, bytes[@sizeOf(u64)..key_end]) != record.checksum) return null;
    const document = bytes[key_end..];
    if (checksum.bytes(seed, document) != record.metadata_checksum) return null;
    return try expiry.documentOf(arena, document, record.expiry_ms);
}

fn readAll(file: os.File, offset: u64, out: []u8) bool {
    const read = file.read(offset, out) catch return false;
    return read == out.len;
}
