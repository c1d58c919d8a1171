//! Where the codes of a segment are read from: through a map where they are many; a map of few
//! would hold a multiple of them in memory, so these are copied once, and the copies stay with what
//! else is known of the segment.

const std = @import("std");
const codes = @import("codes.zig");
const format = @import("format.zig");
const Error = @import("errors.zig").Error;
const Image = @import("image.zig").Image;
const Request = @import("search_query.zig").Request;
const SegmentState = @import("collection_state.zig").SegmentState;

const block_rows = format.code_block_rows;
const mapped_bytes_min = 256 * 1024;
/// Of one segment. What grows may be copied first, and mapped when it is more.
const copied_bytes_max = 512 * 1024;

pub const CodeReader = struct {
    request: *const Request,
    block_bytes: usize,
    /// Takes blocks that are neither mapped nor copied.
    buffer: []align(64) u8 = &.{},
    /// Chunks of the image that codes were read from.
    code_chunks: u64 = 0,

    pub const Blocks = struct {
        bytes: []const u8,
        /// Where they come through a map, and must not be believed before it is confirmed.
        mapped_at: ?u64 = null,
    };

    pub fn blocksAt(
        reader: *CodeReader,
        from: *SegmentState,
        first: u32,
        count: u32,
    ) Error!Blocks {
        const request = reader.request;
        const block_bytes = reader.block_bytes;
        const dimension = request.state.identity.dimension;
        const offset = from.disk.blockOffset(first, dimension);
        const len = count * block_bytes;
        if (reader.isMapped(from)) if (request.reader.image.scan(offset, len)) |bytes| {
            if (first == 0) {
                reader.code_chunks += Image.chunksUnder(offset, reader.codedBytes(from));
            }
            from.verified.dropCopy(request.gpa);
            return .{ .bytes = bytes, .mapped_at = offset };
        };
        if (reader.copyOf(from)) |copy| {
            const copied = from.verified.copied_blocks;
            const end = first + count;
            if (end > copied) {
                const place = from.disk.blockOffset(copied, dimension);
                const missing = copy[copied * block_bytes .. end * block_bytes];
                try request.glancing().bytes(place, missing);
                from.verified.copied_blocks = end;
            }
            return .{ .bytes = copy[first * block_bytes ..][0..len] };
        }
        if (reader.buffer.len < len) {
            reader.buffer = request.memory.allocator().alignedAlloc(u8, .@"64", len) catch
                return request.outOfMemory();
        }
        try request.glancing().bytes(offset, reader.buffer[0..len]);
        return .{ .bytes = reader.buffer[0..len] };
    }

    fn isMapped(reader: *const CodeReader, from: *const SegmentState) bool {
        const is_large = reader.codedBytes(from) >= mapped_bytes_min;
        return is_large or reader.request.reader.image.always_mapped;
    }

    fn codedBytes(reader: *const CodeReader, from: *const SegmentState) usize {
        return from.disk.codedRows() / block_rows * reader.block_bytes;
    }

    /// Room for the copies of all blocks that the segment can have; null where they are many, or
    /// memory is scarce.
    fn copyOf(reader: *CodeReader, from: *SegmentState) ?[]align(64) u8 {
        const verified = from.verified;
        if (verified.copy.len > 0) return verified.copy;
        const bytes = from.disk.capacity / block_rows * reader.block_bytes;
        if (bytes > copied_bytes_max) return null;
        verified.copy = reader.request.gpa.alignedAlloc(u8, .@"64", bytes) catch return null;
        return verified.copy;
    }

    /// Whether the block of `row` is what was written.
    pub fn isWhole(
        reader: *const CodeReader,
        from: *SegmentState,
        row: u32,
        bytes: []const u8,
    ) bool {
        const verified = &from.verified.blocks;
        if (verified.isSet(row / block_rows)) return true;
        if (!codes.isWhole(reader.request.state.seedOf(from, row), bytes)) {
            // The next search asks the file again.
            from.verified.forgetCopies(row / block_rows);
            return false;
        }
        verified.set(row / block_rows);
        return true;
    }

    /// The point that the codes of the segment are taken from; false where it is damaged.
    pub fn centre(reader: *const CodeReader, from: *const SegmentState, out: []u8) Error!bool {
        const state = reader.request.state;
        const offset = from.disk.codesOffset(state.identity.dimension);
        try reader.request.reader.bytes(offset, out);
        return codes.isWhole(state.seedOf(from, 0), out);
    }
};
