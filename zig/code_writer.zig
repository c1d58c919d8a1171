//! Writes the codes of rows: a block when the last of its 32 rows was written, in the transaction
//! that writes this row, beyond the watermark as the rows are.
//!
//! A segment's centre is that of the segment before it, as long as its first rows lie about as
//! close to it as to their own mean; so most segments of a collection share one, and a query is
//! prepared once for all of them. Where the data has moved on, the centre moves half-way.

const std = @import("std");
const checksum = @import("checksum.zig");
const codes = @import("codes.zig");
const errors = @import("errors.zig");
const format = @import("format.zig");
const kernels = @import("kernels/kernels.zig");
const rows = @import("rows.zig");
const collection_state = @import("collection_state.zig");
const Metric = @import("metrics.zig").Metric;
const PageWriter = @import("page_writer.zig").PageWriter;

const Error = errors.Error;
const CollectionState = collection_state.CollectionState;
const SegmentState = collection_state.SegmentState;
const block_rows = format.code_block_rows;

/// Rows that were just written, one behind the other.
pub const Run = struct {
    first_row: u32,
    /// `vectorStride` apart.
    vectors: []const u8,
    entries: []const format.RowEntry,
};

/// Writes the blocks that `run` completes.
pub fn write(
    memory: *std.heap.ArenaAllocator,
    writer: *PageWriter,
    state: *CollectionState,
    segment: *SegmentState,
    run: Run,
) Error!void {
    if (segment.disk.code_dimension == 0) return;
    const first = run.first_row / block_rows;
    const end = (run.first_row + @as(u32, @intCast(run.entries.len))) / block_rows;
    if (first == end) return;
    defer _ = memory.reset(.{ .retain_with_limit = memory_kept });
    var work = Work.init(memory.allocator(), writer, state, segment, run) catch |err| switch (err) {
        error.OutOfMemory => return writer.outOfMemory(),
    };
    work.readEarlier(first * block_rows);
    if (first == 0) try work.chooseCentre() else work.has_centre = work.readCentre(segment);
    var next = first;
    while (next < end) next += try work.writeBlocks(next, @min(end - next, blocks_at_once));
}

/// What one write takes.
const blocks_at_once = 16;

const memory_kept = 512 * 1024;

const Work = struct {
    writer: *PageWriter,
    state: *CollectionState,
    segment: *SegmentState,
    run: Run,
    rotation: codes.Rotation,
    /// Of the first block, the rows that were written before the run.
    earlier_entries: [block_rows]format.RowEntry = undefined,
    earlier_vectors: []u8,
    /// The part of them that could be read.
    earlier: std.StaticBitSet(block_rows) = .initEmpty(),
    rotated: []f32,
    sum: []f64,
    centre_bytes: []align(@alignOf(f32)) u8,
    /// Without one the block is written all the same, and none of its rows has a code.
    has_centre: bool = true,
    words: []u64,
    blocks: []u8,

    fn init(
        arena: std.mem.Allocator,
        writer: *PageWriter,
        state: *CollectionState,
        segment: *SegmentState,
        run: Run,
    ) error{OutOfMemory}!Work {
        const length = segment.disk.code_dimension;
        const earlier_bytes = run.first_row % block_rows * state.vectorStride();
        return .{
            .writer = writer,
            .state = state,
            .segment = segment,
            .run = run,
            .rotation = try .init(arena, length),
            .earlier_vectors = try arena.alloc(u8, @intCast(earlier_bytes)),
            .rotated = try arena.alloc(f32, length),
            .sum = try arena.alloc(f64, length),
            .centre_bytes = try arena.alignedAlloc(
                u8,
                .of(f32),
                @intCast(format.codeCentreBytes(length)),
            ),
            .words = try arena.alloc(u64, codes.BlockBuilder.wordsFor(length)),
            .blocks = try arena.alloc(u8, @intCast(blocks_at_once * format.codeBlockBytes(length))),
        };
    }

    fn centre(work: *const Work) []f32 {
        const values = std.mem.bytesAsSlice(f32, work.centre_bytes);
        return values[0..work.segment.disk.code_dimension];
    }

    /// Rows of the first block that lie in the file. What cannot be read is no reason to fail: it
    /// gets no code, so every search looks at it, and says then what is wrong.
    fn readEarlier(work: *Work, first_row: u32) void {
        const count = work.run.first_row - first_row;
        if (count == 0) return;
        const file = work.writer.file;
        const stride = work.state.vectorStride();
        const entries = work.earlier_entries[0..count];
        const entry_bytes = std.mem.sliceAsBytes(entries);
        const entry_at = work.segment.entryOffset(first_row, stride);
        const entries_read = file.read(entry_at, entry_bytes) catch 0;
        const vector_at = work.segment.vectorOffset(first_row, stride);
        const vectors_read = file.read(vector_at, work.earlier_vectors) catch 0;
        if (entries_read != entry_bytes.len) return;
        if (vectors_read != work.earlier_vectors.len) return;
        for (entries, 0..) |*entry, i| {
            const row = first_row + @as(u32, @intCast(i));
            const seed = work.state.seedOf(work.segment, row);
            if (rows.entryChecksum(seed, entry) != entry.checksum) continue;
            const bytes = work.earlier_vectors[@intCast(i * stride)..][0..work.vectorBytes()];
            if (checksum.bytes(seed, bytes) == entry.vector_checksum) work.earlier.set(i);
        }
    }

    fn vectorBytes(work: *const Work) usize {
        return work.state.identity.dimension * @sizeOf(f32);
    }

    /// Rotates the vector of a row into `rotated`; false where it could not be read.
    fn rotate(work: *Work, row: u32) bool {
        const stride: usize = @intCast(work.state.vectorStride());
        const is_new = row >= work.run.first_row;
        if (!is_new and !work.earlier.isSet(row % block_rows)) return false;
        const bytes = if (is_new)
            work.run.vectors[(row - work.run.first_row) * stride ..]
        else
            work.earlier_vectors[row % block_rows * stride ..];
        const entry = if (is_new)
            &work.run.entries[row - work.run.first_row]
        else
            &work.earlier_entries[row % block_rows];
        const vector = std.mem.bytesAsSlice(f32, bytes[0..work.vectorBytes()]);
        const scale = codes.scaleOf(work.metric(), entry.inverse_norm);
        work.rotation.apply(vector, scale, work.rotated);
        return true;
    }

    fn metric(work: *const Work) Metric {
        return @enumFromInt(work.state.identity.metric);
    }

    /// The centre of a segment; false where it is damaged or cannot be read, which is no reason to
    /// fail a write either.
    fn readCentre(work: *Work, segment: *const SegmentState) bool {
        const offset = segment.disk.codesOffset(work.state.identity.dimension);
        const len = work.writer.file.read(offset, work.centre_bytes) catch 0;
        if (len != work.centre_bytes.len) return false;
        return codes.isWhole(work.state.seedOf(segment, 0), work.centre_bytes);
    }

    fn chooseCentre(work: *Work) Error!void {
        const own = work.sumOfFirst();
        const count = @max(1, own.count);
        const middle = work.centre();
        const before = work.segmentBefore();
        const has_old = if (before) |segment| work.readCentre(segment) else false;
        if (!has_old) @memset(middle, 0);
        // Σ|x - m|² = Σ|x|² - 2 · m · Σx + n · |m|², for the old centre and for the rows' own mean.
        var from_old = own.squares;
        var from_mean = own.squares;
        for (work.sum, middle) |sum, value| {
            from_old += value * (count * value - 2 * sum);
            from_mean -= sum * sum / count;
        }
        if (!has_old or from_old > drift_max * from_mean) {
            const share: f64 = if (has_old) 0.5 else 1;
            for (work.sum, middle) |sum, *value| {
                const moved = value.* + share * (sum / count - value.*);
                value.* = if (std.math.isFinite(moved)) @floatCast(moved) else 0;
            }
        }
        codes.sealCentre(work.state.seedOf(work.segment, 0), work.centre_bytes);
        const offset = work.segment.disk.codesOffset(work.state.identity.dimension);
        try work.writer.writeBytes(offset, &.{work.centre_bytes});
    }
    /// The error of an estimate grows with the distance to the centre, so by an eighth at most.
    const drift_max = 1.25;

    const Sum = struct { squares: f64 = 0, count: f64 = 0 };

    /// Adds up the rotated rows of the first block, into `sum`.
    fn sumOfFirst(work: *Work) Sum {
        var own: Sum = .{};
        @memset(work.sum, 0);
        for (0..block_rows) |row| {
            if (!work.rotate(@intCast(row))) continue;
            for (work.sum, work.rotated) |*sum, value| sum.* += value;
            own.squares += kernels.active().sumSquares(work.rotated.ptr, work.rotated.len);
            own.count += 1;
        }
        return own;
    }

    /// The youngest other one with codes that this process knows.
    fn segmentBefore(work: *const Work) ?*SegmentState {
        var found: ?*SegmentState = null;
        for (work.state.loaded.values()) |other| {
            if (other.disk.id == work.segment.disk.id) continue;
            if (other.disk.code_dimension != work.segment.disk.code_dimension) continue;
            if (other.disk.rows < block_rows) continue;
            if (found == null or other.disk.born >= found.?.disk.born) found = other;
        }
        return found;
    }

    /// As many as it says.
    fn writeBlocks(work: *Work, first: u32, count: u32) Error!u32 {
        const block_bytes: usize = work.blocks.len / blocks_at_once;
        for (0..count) |i| {
            const row = (first + @as(u32, @intCast(i))) * block_rows;
            work.makeBlock(row, work.blocks[i * block_bytes ..][0..block_bytes]);
        }
        const offset = work.segment.disk.blockOffset(first, work.state.identity.dimension);
        try work.writer.writeBytes(offset, &.{work.blocks[0 .. count * block_bytes]});
        return count;
    }

    fn makeBlock(work: *Work, first_row: u32, out: []u8) void {
        var builder: codes.BlockBuilder = .{
            .metric = work.metric(),
            .centre = work.centre(),
            .words = work.words,
        };
        @memset(work.words, 0);
        if (work.has_centre) for (0..block_rows) |i| {
            if (work.rotate(first_row + @as(u32, @intCast(i)))) builder.set(i, work.rotated);
        };
        builder.finish(work.state.seedOf(work.segment, first_row), out);
    }
};
