//! Reading one row: its entry beside the vectors, its vector, and its record with key and metadata,
//! which an amendment may have put in the place of the first one.
//!
//! Every byte is covered by a checksum that is seeded with the row's place. Entry and vector are
//! checked at the first touch in this process and remembered; record headers and keys, which are
//! short, are checked every time, metadata when it is read. A record's place is checked against
//! what was written of its segment's heap, and a segment's extents against the file when it is
//! loaded.

const std = @import("std");
const checksum = @import("checksum.zig");
const errors = @import("errors.zig");
const format = @import("format.zig");
const limits = @import("limits.zig");
const os = @import("os/os.zig");
const collection_state = @import("collection_state.zig");
const Image = @import("image.zig").Image;
const ReadWindow = @import("read_window.zig").ReadWindow;

const Error = errors.Error;
const CollectionState = collection_state.CollectionState;
const SegmentState = collection_state.SegmentState;

/// A record's key, and where its metadata lies. The key is borrowed from the reader's scratch.
pub const RecordView = struct {
    key: []const u8,
    metadata_offset: u64,
    metadata_bytes: u32,
    metadata_checksum: u64,
    expiry_ms: i64,
    /// Of the row's entry.
    cost: u32,
};

pub const RowReader = struct {
    image: *Image,
    diagnostics: *errors.Diagnostics,
    /// Takes one record header and key.
    scratch: *Scratch,
    /// What is read is looked at for its own sake (image.zig, `glance`).
    is_glance: bool = false,
    /// What is read lies beside what is read next.
    window: ?*ReadWindow = null,

    pub const Scratch = [@sizeOf(format.Record) + limits.key_bytes_max]u8;

    /// What to read of a record before its key's length is known: most keys are shorter than this.
    const first_read_bytes = 192;

    pub fn entry(
        reader: RowReader,
        state: *const CollectionState,
        segment: *const SegmentState,
        row: u32,
    ) Error!format.RowEntry {
        const offset = segment.entryOffset(row, state.vectorStride());
        var found: format.RowEntry = undefined;
        try reader.bytes(offset, std.mem.asBytes(&found));
        try reader.verifyEntry(state, segment, row, &found);
        return found;
    }

    pub fn verifyEntry(
        reader: RowReader,
        state: *const CollectionState,
        segment: *const SegmentState,
        row: u32,
        found: *const format.RowEntry,
    ) Error!void {
        const seed = state.seedOf(segment, row);
        if (found.checksum == entryChecksum(seed, found)) return;
        return reader.corrupt("row entry", segment.entryOffset(row, state.vectorStride()));
    }

    /// Bytes of the file.
    pub fn bytes(reader: RowReader, offset: u64, out: []u8) Error!void {
        const result = if (reader.window) |window|
            window.read(reader.image, offset, out)
        else if (reader.is_glance)
            reader.image.glance(offset, out)
        else
            reader.image.copy(offset, out);
        result catch |err| return reader.failRead(err, offset);
    }

    /// Copies the vector into `out`, which has the collection's dimension.
    pub fn vector(
        reader: RowReader,
        state: *const CollectionState,
        segment: *const SegmentState,
        row: u32,
        out: []f32,
    ) Error!void {
        std.debug.assert(out.len == state.identity.dimension);
        const offset = segment.vectorOffset(row, state.vectorStride());
        try reader.bytes(offset, std.mem.sliceAsBytes(out));
        if (segment.verified.rows.isSet(row)) return;
        const found = try reader.entry(state, segment, row);
        try reader.verifyVector(
            state,
            segment,
            row,
            found.vector_checksum,
            std.mem.sliceAsBytes(out),
        );
    }

    /// Checks a vector's bytes and remembers the row as sound.
    pub fn verifyVector(
        reader: RowReader,
        state: *const CollectionState,
        segment: *const SegmentState,
        row: u32,
        expected: u64,
        content: []const u8,
    ) Error!void {
        const seed = state.seedOf(segment, row);
        if (checksum.bytes(seed, content) != expected) {
            return reader.corrupt("vector", segment.vectorOffset(row, state.vectorStride()));
        }
        segment.verified.rows.set(row);
    }

    /// The row's key, valid until the reader's scratch is used again.
    pub fn record(
        reader: RowReader,
        state: *const CollectionState,
        segment: *const SegmentState,
        row: u32,
    ) Error!RecordView {
        const found = try reader.entry(state, segment, row);
        const offset = segment.amendments.recordOf(row) orelse found.record_offset;
        return reader.recordAt(state, segment, row, offset, found.cost);
    }

    fn recordAt(
        reader: RowReader,
        state: *const CollectionState,
        segment: *const SegmentState,
        row: u32,
        offset: u64,
        cost: u32,
    ) Error!RecordView {
        const room = heapRoom(segment, offset) orelse return reader.corrupt("record place", offset);
        var len: usize = @min(room, first_read_bytes);
        if (len < @sizeOf(format.Record)) return reader.corrupt("record place", offset);
        try reader.bytes(offset, reader.scratch[0..len]);
        const fixed = reader.scratch[0..@sizeOf(format.Record)];
        const header = std.mem.bytesToValue(format.Record, fixed);
        if (header.key_bytes == 0 or header.key_bytes > limits.key_bytes_max or
            header.metadata_bytes > limits.metadata_bytes_max)
        {
            return reader.corrupt("record", offset);
        }
        const needed = @sizeOf(format.Record) + @as(usize, header.key_bytes);
        if (needed + header.metadata_bytes > room) return reader.corrupt("record", offset);
        if (needed > len) {
            len = needed;
            try reader.bytes(offset, reader.scratch[0..len]);
        }
        const found = reader.scratch[0..needed];
        const seed = state.seedOf(segment, row);
        if (checksum.bytes(
            seed,
            found[@sizeOf(u64)..],
        ) != header.checksum) return reader.corrupt("record", offset);
        return .{
            .key = found[@sizeOf(format.Record)..],
            .metadata_offset = offset + needed,
            .metadata_bytes = header.metadata_bytes,
            .metadata_checksum = header.metadata_checksum,
            .expiry_ms = header.expiry_ms,
            .cost = cost,
        };
    }

    /// `out` has `view.metadata_bytes` bytes.
    pub fn metadata(
        reader: RowReader,
        state: *const CollectionState,
        segment: *const SegmentState,
        row: u32,
        view: RecordView,
        out: []u8,
    ) Error!void {
        std.debug.assert(out.len == view.metadata_bytes);
        if (out.len == 0) return;
        try reader.bytes(view.metadata_offset, out);
        const seed = state.seedOf(segment, row);
        if (checksum.bytes(seed, out) != view.metadata_checksum) return reader.corrupt(
            "metadata",
            view.metadata_offset,
        );
    }

    fn corrupt(reader: RowReader, comptime kind: []const u8, offset: u64) Error {
        return reader.diagnostics.fail(
            error.Corrupt,
            "the " ++ kind ++ " at offset {d} does not match its checksum; the file " ++
                "is damaged, restore a backup or salvage() it",
            .{offset},
        );
    }

    /// An error where a map showed bytes at `offset` that the file has lost.
    pub fn confirm(reader: RowReader, offset: u64) Error!void {
        if (!reader.image.isWhole(offset)) return reader.failRead(error.Truncated, offset);
    }

    /// A root promises the file's length, so a short read means that somebody cut the file. A
    /// device that fails says nothing about the file: what it refuses now it may give later.
    pub fn failRead(reader: RowReader, err: Image.CopyError, offset: u64) Error {
        const of_machine: os.Error = switch (err) {
            error.Truncated => return reader.diagnostics.fail(
                error.Corrupt,
                "the file ends before the bytes at offset {d}; it was truncated, " ++
                    "restore a backup or salvage() it",
                .{offset},
            ),
            else => |other| other,
        };
        return reader.diagnostics.failOs(of_machine, "reading a row");
    }
};

pub fn entryChecksum(seed: u64, entry: *const format.RowEntry) u64 {
    return checksum.bytes(seed, std.mem.asBytes(entry)[0..@offsetOf(format.RowEntry, "checksum")]);
}

/// What a record takes in the heap.
pub fn recordBytes(key_bytes: usize, metadata_bytes: usize) usize {
    const bytes = @sizeOf(format.Record) + key_bytes + metadata_bytes;
    return std.mem.alignForward(usize, bytes, format.record_alignment);
}

/// `out` has `recordBytes`, zeros; the record's own checksum is filled in.
pub fn writeRecord(
    out: []u8,
    seed: u64,
    header: format.Record,
    key: []const u8,
    metadata: []const u8,
) void {
    const key_end = @sizeOf(format.Record) + key.len;
    @memcpy(out[0..@sizeOf(format.Record)], std.mem.asBytes(&header));
    @memcpy(out[@sizeOf(format.Record)..key_end], key);
    @memcpy(out[key_end..][0..metadata.len], metadata);
    const sum = checksum.bytes(seed, out[@sizeOf(u64)..key_end]);
    std.mem.writeInt(u64, out[0..@sizeOf(u64)], sum, .little);
}

/// Bytes from `offset` to the end of what was written of its heap extent; null outside of all.
fn heapRoom(segment: *const SegmentState, offset: u64) ?u64 {
    for (segment.disk.heap[0..segment.disk.heap_count]) |extent| {
        const start = format.pageOffset(extent.page);
        const end = start + extent.used_bytes;
        if (offset >= start and offset < end) return end - offset;
    }
    return null;
}
