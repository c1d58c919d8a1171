//! Making an orphan durable: a volatile root whose writers all died before anyone synced it.
//!
//! The page cache shows its pages, but a write-back may have failed and been reported to a process
//! that is gone; the kernel then calls those pages clean, and a sync would write nothing. So every
//! byte that the orphan reaches and the last durable root does not is read, checked against its
//! checksum and written again in place: it is dirty once more, and the next sync either brings it
//! to the device or says that it could not. At most 16 MiB are concerned
//! (`limits.checkpoint_bytes`). Power loss in between is harmless: no durable root leads to these
//! bytes yet.

const std = @import("std");
const os = @import("os/os.zig");
const checksum = @import("checksum.zig");
const codes = @import("codes.zig");
const column_reader = @import("column_reader.zig");
const errors = @import("errors.zig");
const format = @import("format.zig");
const reach = @import("reach.zig");
const rows = @import("rows.zig");
const collection_state = @import("collection_state.zig");
const Image = @import("image.zig").Image;
const PageCache = @import("page_cache.zig").PageCache;
const Source = @import("key_index.zig").Source;
const View = @import("view.zig").View;

const Error = errors.Error;
const CollectionState = collection_state.CollectionState;
const SegmentState = collection_state.SegmentState;

pub const Context = struct {
    gpa: std.mem.Allocator,
    file: os.File,
    cache: *PageCache,
    diagnostics: *errors.Diagnostics,
};

/// True when everything was sound and is written again; false (or `Corrupt`) when something the
/// orphan needs is already lost, so that the durable root is the state.
pub fn rewrite(
    context: Context,
    durable: *const format.Root,
    orphan: *const format.Root,
) Error!bool {
    const gpa = context.gpa;
    var pages: reach.Pages = .{ .gpa = gpa };
    defer pages.deinit();
    var fresh: std.ArrayList(format.PageRef) = .empty;
    defer fresh.deinit(gpa);
    const before: Source = .{ .cache = context.cache, .file_pages = durable.file_pages };
    const after: Source = .{ .cache = context.cache, .file_pages = orphan.file_pages };
    const known: reach.Walker = .{ .gpa = gpa, .source = before, .pages = &pages };
    try known.root(durable);
    const added: reach.Walker = .{ .gpa = gpa, .source = after, .pages = &pages, .fresh = &fresh };
    try added.root(orphan);
    for (fresh.items) |ref| {
        const page = try after.load(ref);
        context.file.write(format.pageOffset(ref.page), &.{page}) catch |err|
            return context.diagnostics.failOs(err, "making an earlier process's commits durable");
    }
    var old: View = .{ .gpa = gpa, .root = durable.* };
    defer old.deinit();
    var new: View = .{ .gpa = gpa, .root = orphan.* };
    defer new.deinit();
    const scratch = gpa.create(rows.RowReader.Scratch) catch return outOfMemory(context);
    defer gpa.destroy(scratch);
    var image = Image.init(gpa, context.file, .{ .budget_bytes = 0 });
    defer image.deinit();
    const reader: rows.RowReader = .{
        .image = &image,
        .diagnostics = context.diagnostics,
        .scratch = scratch,
    };
    var index: u32 = 0;
    while (index < orphan.catalogue_len) : (index += 1) {
        const state = try new.collection(after, index) orelse continue;
        const earlier = try old.collection(before, index);
        var id: u32 = 0;
        while (try state.nextSegment(gpa, after, id)) |segment| : (id = segment.disk.id + 1) {
            const base = if (earlier) |k|
                try k.loadSegment(gpa, before, segment.disk.id)
            else
                null;
            try rewriteSegment(context, reader, state, segment, base);
        }
    }
    return true;
}

fn rewriteSegment(
    context: Context,
    reader: rows.RowReader,
    state: *CollectionState,
    segment: *SegmentState,
    base: ?*SegmentState,
) Error!void {
    const same = if (base) |b| b.isSame(segment) else false;
    const first: u32 = if (same) base.?.disk.rows else 0;
    if (first > segment.disk.rows) return error.Corrupt;
    const vector = context.gpa.alloc(
        f32,
        state.identity.dimension,
    ) catch return outOfMemory(context);
    defer context.gpa.free(vector);
    for (first..segment.disk.rows) |i| {
        const row: u32 = @intCast(i);
        try reader.vector(state, segment, row, vector);
        try readRecord(context, reader, state, segment, row);
    }
    if (same) try readAmended(context, reader, state, segment, base.?);
    const stride = state.vectorStride();
    try rewriteRange(
        context,
        segment.vectorOffset(first, stride),
        segment.vectorOffset(segment.disk.rows, stride),
    );
    try rewriteRange(
        context,
        segment.entryOffset(first, stride),
        segment.entryOffset(segment.disk.rows, stride),
    );
    for (segment.disk.heap[0..segment.disk.heap_count], 0..) |extent, i| {
        const start = format.pageOffset(extent.page);
        const is_old = same and i < base.?.disk.heap_count;
        const written = if (is_old) base.?.disk.heap[i].used_bytes else 0;
        try rewriteRange(context, start + written, start + extent.used_bytes);
    }
    const coded = if (same) base.?.disk.codedRows() else 0;
    try rewriteCodes(context, reader, state, segment, coded);
    const columned = if (same) base.?.disk.columnedRows() else 0;
    try rewriteColumns(context, reader, state, segment, columned);
}

fn readRecord(
    context: Context,
    reader: rows.RowReader,
    state: *CollectionState,
    segment: *SegmentState,
    row: u32,
) Error!void {
    const record = try reader.record(state, segment, row);
    const metadata = context.gpa.alloc(u8, record.metadata_bytes) catch
        return outOfMemory(context);
    defer context.gpa.free(metadata);
    try reader.metadata(state, segment, row, record, metadata);
}

/// What the orphan has amended of rows that the durable root has. It lies in the heap.
fn readAmended(
    context: Context,
    reader: rows.RowReader,
    state: *CollectionState,
    segment: *SegmentState,
    base: *SegmentState,
) Error!void {
    for (0..base.disk.rows) |i| {
        const row: u32 = @intCast(i);
        const offset = segment.amendments.recordOf(row) orelse continue;
        if (base.amendments.recordOf(row) == offset) continue;
        try readRecord(context, reader, state, segment, row);
    }
    const block_rows = segment.disk.column_rows;
    var row: u32 = 0;
    while (row < base.disk.columnedRows()) : (row += block_rows) {
        const entry = segment.amendments.columnsOf(row) orelse continue;
        const before = base.amendments.columnsOf(row);
        if (before) |known| if (std.meta.eql(known.*, entry.*)) continue;
        try readColumns(context, reader, state, segment, row);
    }
}

fn readColumns(
    context: Context,
    reader: rows.RowReader,
    state: *CollectionState,
    segment: *SegmentState,
    row: u32,
) Error!void {
    const entry = try column_reader.entryAt(reader, state, segment, row) orelse
        return error.Corrupt;
    const content = context.gpa.alloc(u8, entry.bytes) catch return outOfMemory(context);
    defer context.gpa.free(content);
    try reader.bytes(entry.offset, content);
    const seed = state.seedOf(segment, row);
    if (checksum.bytes(seed, content) != entry.block_checksum) return error.Corrupt;
}

/// The entries of the blocks of columns from the row `first` on. The blocks lie in the heap.
fn rewriteColumns(
    context: Context,
    reader: rows.RowReader,
    state: *CollectionState,
    segment: *SegmentState,
    first: u32,
) Error!void {
    const dimension = state.identity.dimension;
    const block_rows = segment.disk.column_rows;
    const end = segment.disk.columnedRows();
    if (first == end) return;
    var row = first;
    while (row < end) : (row += block_rows) {
        try readColumns(context, reader, state, segment, row);
    }
    try rewriteRange(
        context,
        segment.disk.columnEntryOffset(first / block_rows, dimension),
        segment.disk.columnEntryOffset((end + block_rows - 1) / block_rows, dimension),
    );
}

/// Of the rows from `first` on. What cannot be trusted is a loss like that of a row: nobody can say
/// what else is missing.
fn rewriteCodes(
    context: Context,
    reader: rows.RowReader,
    state: *CollectionState,
    segment: *SegmentState,
    first: u32,
) Error!void {
    const end = segment.disk.codedRows();
    if (first == end) return;
    const dimension = state.identity.dimension;
    const length = segment.disk.code_dimension;
    const centre_bytes: usize = @intCast(format.codeCentreBytes(length));
    const block_bytes: usize = @intCast(format.codeBlockBytes(length));
    const buffer = context.gpa.alloc(u8, @max(centre_bytes, block_bytes)) catch
        return outOfMemory(context);
    defer context.gpa.free(buffer);
    if (first == 0) {
        const offset = segment.disk.codesOffset(dimension);
        const seed = state.seedOf(segment, 0);
        try rewriteWhole(context, reader, offset, seed, buffer[0..centre_bytes]);
    }
    var row = first;
    while (row < end) : (row += format.code_block_rows) {
        const offset = segment.disk.blockOffset(row / format.code_block_rows, dimension);
        const seed = state.seedOf(segment, row);
        try rewriteWhole(context, reader, offset, seed, buffer[0..block_bytes]);
    }
}

fn rewriteWhole(
    context: Context,
    reader: rows.RowReader,
    offset: u64,
    seed: u64,
    bytes: []u8,
) Error!void {
    try reader.bytes(offset, bytes);
    if (!codes.isWhole(seed, bytes)) return error.Corrupt;
    context.file.write(offset, &.{bytes}) catch |err|
        return context.diagnostics.failOs(err, "making an earlier process's commits durable");
}

fn rewriteRange(context: Context, start: u64, end: u64) Error!void {
    var buffer: [16 * 1024]u8 = undefined;
    var offset = start;
    while (offset < end) {
        const part = buffer[0..@intCast(@min(buffer.len, end - offset))];
        const len = context.file.read(offset, part) catch |err|
            return context.diagnostics.failOs(err, "reading an earlier process's commits");
        if (len != part.len) return error.Corrupt;
        context.file.write(offset, &.{part}) catch |err|
            return context.diagnostics.failOs(err, "making an earlier process's commits durable");
        offset += part.len;
    }
}

fn outOfMemory(context: Context) Error {
    return context.diagnostics.failOs(
        error.OutOfMemory,
        "making an earlier process's commits durable",
    );
}
