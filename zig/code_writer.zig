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
const OpenBlock = @import("open_block.zig").OpenBlock;
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

/// What making codes takes, kept from one write to the next.
pub const Memory = struct {
    arena: std.heap.ArenaAllocator,
    open_block: OpenBlock,

    pub fn init(gpa: std.mem.Allocator) Memory {
        return .{ .arena = .init(gpa), .open_block = .{ .gpa = gpa } };
    }

    pub fn bytes(memory: *const Memory) u64 {
        return memory.arena.queryCapacity() + memory.open_block.bytes();
    }

    pub fn deinit(memory: *Memory) void {
        memory.open_block.deinit();
        memory.arena.deinit();
    }
};

/// Writes the blocks that `run` completes, and keeps the rows behind them for the next run.
pub fn write(
    memory: *Memory,
    writer: *PageWriter,
    state: *CollectionState,
    segment: *SegmentState,
    run: Run,
) Error!void {
    if (segment.disk.code_dimension == 0) return;
    const end = run.first_row + @as(u32, @intCast(run.entries.len));
    const open_first = @max(run.first_row, end / block_rows * block_rows);
    const keeps = OpenBlock.keeps(segment.disk.code_dimension);
    var work: Work = .{
        .open = &memory.open_block,
        .writer = writer,
        .state = state,
        .segment = segment,
        .run = run,
    };
    if (run.first_row < open_first) {
        defer _ = memory.arena.reset(.{ .retain_with_limit = arena_kept });
        defer if (!keeps) memory.open_block.clear();
        try work.writeBlocks(memory.arena.allocator(), run.first_row, open_first);
    }
    if (keeps and open_first < end) try work.rotate(open_first, end);
}

/// What one write takes.
const blocks_at_once = 16;

const arena_kept = 128 * 1024;

const Work = struct {
    open: *OpenBlock,
    writer: *PageWriter,
    state: *CollectionState,
    segment: *SegmentState,
    run: Run,

    /// Rows of the run, all in one block.
    fn rotate(work: *const Work, first: u32, end: u32) Error!void {
        const stride: usize = @intCast(work.state.vectorStride());
        const in_run = first - work.run.first_row;
        work.open.turnTo(work.state, work.segment, first / block_rows) catch
            return work.writer.outOfMemory();
        for (work.run.entries[in_run..][0 .. end - first], in_run.., first..) |*entry, i, row| {
            const bytes = work.run.vectors[i * stride ..][0..work.vectorBytes()];
            work.open.put(row % block_rows, entry, std.mem.bytesAsSlice(f32, bytes)) catch
                return work.writer.outOfMemory();
        }
    }

    /// The blocks of the run's rows from `first` to `end`, the last of a block.
    fn writeBlocks(work: *const Work, arena: std.mem.Allocator, first: u32, end: u32) Error!void {
        const count = @min(blocks_at_once, end / block_rows - first / block_rows);
        var maker = Maker.init(work, arena, count) catch return work.writer.outOfMemory();
        var row = first;
        while (row < end) {
            const block = row / block_rows;
            const block_end = (block + 1) * block_rows;
            try work.rotate(row, block_end);
            if (row % block_rows != 0) try work.readBack(row);
            if (row == first) maker.has_centre = block > 0 and maker.readCentre(work.segment);
            if (block == 0) try maker.chooseCentre(arena);
            try maker.addBlock(block);
            row = block_end;
        }
        try maker.flush();
    }

    /// The rows of a block that come before `end` and were written earlier. Those that are not kept
    /// are read from the file. What cannot be read is no reason to fail: it gets no code, so every
    /// search looks at it, and says then what is wrong.
    fn readBack(work: *const Work, end: u32) Error!void {
        const first = end / block_rows * block_rows;
        const stride = work.state.vectorStride();
        const file = work.writer.file;
        var buffer: [block_rows]format.RowEntry = undefined;
        const entries = buffer[0 .. end - first];
        const bytes = std.mem.sliceAsBytes(entries);
        const read = file.read(work.segment.entryOffset(first, stride), bytes) catch 0;
        if (read != bytes.len) @memset(bytes, 0);
        work.open.keepOnly(entries);
        for (entries, first..) |*entry, row| {
            if (work.open.get(row % block_rows) == null) try work.readRow(@intCast(row), entry);
        }
    }

    fn readRow(work: *const Work, row: u32, entry: *const format.RowEntry) Error!void {
        const seed = work.state.seedOf(work.segment, row);
        if (rows.entryChecksum(seed, entry) != entry.checksum) return;
        const memory = work.open.memoryOf(row % block_rows) catch
            return work.writer.outOfMemory();
        const bytes = std.mem.sliceAsBytes(memory)[0..work.vectorBytes()];
        const offset = work.segment.vectorOffset(row, work.state.vectorStride());
        const read = work.writer.file.read(offset, bytes) catch return;
        if (read != bytes.len or checksum.bytes(seed, bytes) != entry.vector_checksum) return;
        work.open.put(row % block_rows, entry, std.mem.bytesAsSlice(f32, bytes)) catch
            return work.writer.outOfMemory();
    }

    fn vectorBytes(work: *const Work) usize {
        return work.state.identity.dimension * @sizeOf(f32);
    }
};

/// Makes blocks of the rows in the open one, and writes several at once.
const Maker = struct {
    work: *const Work,
    centre_bytes: []align(64) u8,
    /// Without one the block is written all the same, and none of its rows has a code.
    has_centre: bool = false,
    words: []u64,
    blocks: []u8,
    /// The first of those that are not written yet, and how many they are.
    first: u32 = 0,
    count: u32 = 0,

    fn init(work: *const Work, arena: std.mem.Allocator, count: u32) error{OutOfMemory}!Maker {
        const length = work.segment.disk.code_dimension;
        const centre_bytes: usize = @intCast(format.codeCentreBytes(length));
        return .{
            .work = work,
            .centre_bytes = try arena.alignedAlloc(u8, .@"64", centre_bytes),
            .words = try arena.alloc(u64, codes.BlockBuilder.wordsFor(length)),
            .blocks = try arena.alloc(u8, @intCast(count * format.codeBlockBytes(length))),
        };
    }

    fn centre(maker: *const Maker) []f32 {
        const values = std.mem.bytesAsSlice(f32, maker.centre_bytes);
        return values[0..maker.work.segment.disk.code_dimension];
    }

    /// The centre of a segment; false where it is damaged or cannot be read, which is no reason to
    /// fail a write either.
    fn readCentre(maker: *Maker, segment: *const SegmentState) bool {
        const state = maker.work.state;
        const offset = segment.disk.codesOffset(state.identity.dimension);
        const len = maker.work.writer.file.read(offset, maker.centre_bytes) catch 0;
        if (len != maker.centre_bytes.len) return false;
        return codes.isWhole(state.seedOf(segment, 0), maker.centre_bytes);
    }

    fn chooseCentre(maker: *Maker, arena: std.mem.Allocator) Error!void {
        const work = maker.work;
        const middle = maker.centre();
        const sums = arena.alloc(f64, middle.len) catch return work.writer.outOfMemory();
        const own = maker.addUp(sums);
        const count = @max(1, own.count);
        const before = maker.segmentBefore();
        const has_old = if (before) |segment| maker.readCentre(segment) else false;
        if (!has_old) @memset(middle, 0);
        // Σ|x - m|² = Σ|x|² - 2 · m · Σx + n · |m|², for the old centre and for the rows' own mean.
        var from_old = own.squares;
        var from_mean = own.squares;
        for (sums, middle) |sum, value| {
            from_old += value * (count * value - 2 * sum);
            from_mean -= sum * sum / count;
        }
        if (!has_old or from_old > drift_max * from_mean) {
            const share: f64 = if (has_old) 0.5 else 1;
            for (sums, middle) |sum, *value| {
                const moved = value.* + share * (sum / count - value.*);
                value.* = if (std.math.isFinite(moved)) @floatCast(moved) else 0;
            }
        }
        codes.sealCentre(work.state.seedOf(work.segment, 0), maker.centre_bytes);
        const offset = work.segment.disk.codesOffset(work.state.identity.dimension);
        try work.writer.writeBytes(offset, &.{maker.centre_bytes});
        maker.has_centre = true;
    }
    /// The error of an estimate grows with the distance to the centre, so by an eighth at most.
    const drift_max = 1.25;

    const Total = struct { squares: f64 = 0, count: f64 = 0 };

    /// Of the rotated rows.
    fn addUp(maker: *const Maker, sums: []f64) Total {
        var total: Total = .{};
        @memset(sums, 0);
        for (0..block_rows) |row| {
            const rotated = maker.work.open.get(row) orelse continue;
            for (sums, rotated) |*sum, value| sum.* += value;
            total.squares += kernels.active().sumSquares(rotated.ptr, rotated.len);
            total.count += 1;
        }
        return total;
    }

    /// The youngest other one with codes that this process knows.
    fn segmentBefore(maker: *const Maker) ?*SegmentState {
        const own = &maker.work.segment.disk;
        var found: ?*SegmentState = null;
        for (maker.work.state.loaded.values()) |other| {
            if (other.disk.id == own.id) continue;
            if (other.disk.code_dimension != own.code_dimension) continue;
            if (other.disk.rows < block_rows) continue;
            if (found == null or other.disk.born >= found.?.disk.born) found = other;
        }
        return found;
    }

    fn addBlock(maker: *Maker, block: u32) Error!void {
        const work = maker.work;
        const block_bytes = maker.blockBytes();
        if ((maker.count + 1) * block_bytes > maker.blocks.len) try maker.flush();
        if (maker.count == 0) maker.first = block;
        var builder: codes.BlockBuilder = .{
            .metric = @enumFromInt(work.state.identity.metric),
            .centre = maker.centre(),
            .words = maker.words,
        };
        @memset(maker.words, 0);
        if (maker.has_centre) for (0..block_rows) |row| {
            if (work.open.get(row)) |rotated| builder.set(row, rotated);
        };
        const out = maker.blocks[maker.count * block_bytes ..][0..block_bytes];
        builder.finish(work.state.seedOf(work.segment, block * block_rows), out);
        maker.count += 1;
    }

    fn flush(maker: *Maker) Error!void {
        const work = maker.work;
        const offset = work.segment.disk.blockOffset(maker.first, work.state.identity.dimension);
        const bytes = maker.blocks[0 .. maker.count * maker.blockBytes()];
        try work.writer.writeBytes(offset, &.{bytes});
        maker.count = 0;
    }

    fn blockBytes(maker: *const Maker) usize {
        return @intCast(format.codeBlockBytes(maker.work.segment.disk.code_dimension));
    }
};
