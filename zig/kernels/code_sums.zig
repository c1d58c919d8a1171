//! Sums of a query's levels where codes have a one: the ones that a code and each bit plane of the
//! levels share are counted, and weigh what the plane's bit weighs. Sums of integers: they are the
//! same on every tier.
//!
//! Planes end in zeros up to a whole block, so a block of a code may reach past the code: what lies
//! there counts for nothing. Only behind the last rows there may be no memory; those are copied.

const std = @import("std");
const builtin = @import("builtin");
const byte_dot = @import("byte_dot.zig");
const lanes = @import("lanes.zig");
const table = @import("table.zig");

const plane_count = table.query_planes;

const Method = enum {
    /// Counts in bytes, which one instruction weighs and adds to 32-bit sums.
    weighed_bytes,
    /// Counts in bytes, by two look-ups of half a byte each or, on ARM, by an instruction.
    bytes,
    /// Counts in words: SSE has nothing faster than the scalar instruction.
    words,
};

const method: Method = switch (builtin.cpu.arch) {
    .x86_64 => if (byte_dot.exists and lanes.has(.avx512bitalg))
        .weighed_bytes
    else if (lanes.has(.avx2)) .bytes else .words,
    else => if (byte_dot.exists) .weighed_bytes else .bytes,
};

const block_bytes = if (method == .words) 8 else lanes.register_lanes * 4;
const ahead_bytes = 4096;
const line_bytes = 64;

const Block = @Vector(block_bytes, u8);
const Sums = @Vector(lanes.register_lanes, u32);

pub fn planesDot(
    planes: [*]const u64,
    codes: [*]const u8,
    stride_bytes: usize,
    row_count: usize,
    dimension: usize,
    out: [*]u32,
) callconv(.c) void {
    const view: CodeView = .init(planes, codes, stride_bytes, row_count, dimension);
    var row: usize = 0;
    while (row + table.code_group <= row_count) : (row += table.code_group) {
        out[row..][0..table.code_group].* = view.sums(table.code_group, row);
    }
    while (row < row_count) : (row += 1) out[row..][0..1].* = view.sums(1, row);
}

pub const CodeView = struct {
    planes: [*]const u8,
    plane_bytes: usize,
    codes: [*]const u8,
    stride_bytes: usize,
    code_bytes: usize,
    block_count: usize,
    /// Rows before this one have memory behind them for whole blocks.
    copied_from: usize,

    pub fn init(
        planes: [*]const u64,
        codes: [*]const u8,
        stride_bytes: usize,
        row_count: usize,
        dimension: usize,
    ) CodeView {
        const code_bytes = table.codeWords(dimension) * 8;
        const block_count = (code_bytes + block_bytes - 1) / block_bytes;
        const beyond = block_count * block_bytes - code_bytes;
        // Row i may be read past its end by as much as there is from there to the last row's end.
        const copied = if (beyond == 0) 0 else if (stride_bytes == 0)
            row_count
        else
            @min(row_count, (beyond + stride_bytes - 1) / stride_bytes);
        return .{
            .planes = @ptrCast(planes),
            .plane_bytes = table.planeWords(dimension) * 8,
            .codes = codes,
            .stride_bytes = stride_bytes,
            .code_bytes = code_bytes,
            .block_count = block_count,
            .copied_from = row_count - copied,
        };
    }

    /// A function of its own, since a copy for each caller is no faster.
    pub noinline fn sums(view: *const CodeView, comptime count: usize, first: usize) [count]u32 {
        if (first + count > view.copied_from) {
            var found: [count]u32 = undefined;
            for (&found, first..) |*sum, row| sum.* = view.sumCopied(row);
            return found;
        }
        var found: [count]u32 = undefined;
        const at_once = @min(count, lanes.register_lanes);
        if (count > 1) view.readAhead(first, count);
        inline for (0..count / at_once) |i| {
            var parts: [at_once]Sums = undefined;
            for (&parts, first + i * at_once..) |*part, row| {
                part.* = view.partsOf(view.codes + row * view.stride_bytes);
            }
            found[i * at_once ..][0..at_once].* = lanes.treeSums(at_once, parts);
        }
        return found;
    }

    /// Asks for memory that will be read soon. The CPU itself reads ahead inside of a page only,
    /// and codes pass a page in less time than memory takes to answer: from memory this is a third
    /// faster, from a cache not measurably slower.
    inline fn readAhead(view: *const CodeView, first: usize, comptime count: usize) void {
        // As a number, since there may be no memory any more; then nothing happens.
        const start = @intFromPtr(view.codes) +% ahead_bytes;
        for (first..first + count) |row| {
            var at: usize = 0;
            while (at < view.code_bytes) : (at += line_bytes) {
                const line = start +% row *% view.stride_bytes +% at;
                @prefetch(@as([*]const u8, @ptrFromInt(line)), .{ .locality = 3 });
            }
        }
    }

    noinline fn sumCopied(view: *const CodeView, row: usize) u32 {
        var copy: [table.dimension_max / 8]u8 = undefined;
        const code = view.codes + row * view.stride_bytes;
        for (copy[0..view.code_bytes], code) |*to, from| to.* = from;
        for (copy[view.code_bytes .. view.block_count * block_bytes]) |*to| to.* = 0;
        return lanes.treeSum(view.partsOf(&copy));
    }

    /// Numbers whose sum is the sum of one row.
    inline fn partsOf(view: *const CodeView, code: [*]const u8) Sums {
        return switch (method) {
            .weighed_bytes => view.partsByWeighedBytes(code),
            .bytes => view.partsByBytes(code),
            .words => view.partsByWords(code),
        };
    }

    inline fn plane(view: *const CodeView, comptime index: usize, block: usize) Block {
        return (view.planes + index * view.plane_bytes + block * block_bytes)[0..block_bytes].*;
    }

    inline fn partsByWeighedBytes(view: *const CodeView, code: [*]const u8) Sums {
        var parts: [2]byte_dot.Sums = @splat(@splat(0));
        for (0..view.block_count) |block| {
            const bits: Block = code[block * block_bytes ..][0..block_bytes].*;
            inline for (0..plane_count) |i| {
                // At most 8, so a sign bit or none is the same.
                const counts: Block = @popCount(bits & view.plane(i, block));
                const part = &parts[i % 2];
                part.* = byte_dot.addProducts(part.*, @bitCast(counts), @splat(1 << i));
            }
        }
        return @bitCast(parts[0] + parts[1]);
    }

    inline fn partsByBytes(view: *const CodeView, code: [*]const u8) Sums {
        var parts: Sums = @splat(0);
        for (0..view.block_count) |block| {
            const bits: Block = code[block * block_bytes ..][0..block_bytes].*;
            var counts: Block = @splat(0);
            // Each is at most 8 · 15, so bytes hold them.
            inline for (0..plane_count) |i| {
                const heavier = plane_count - 1 - i;
                counts = counts + counts + @as(Block, @popCount(bits & view.plane(heavier, block)));
            }
            parts += sumsOfFour(counts);
        }
        return parts;
    }

    /// Four bytes become one number.
    inline fn sumsOfFour(counts: Block) Sums {
        const Pairs = @Vector(block_bytes / 2, u16);
        const pairs: Pairs = @bitCast(counts);
        const low_byte: Pairs = @splat(0xff);
        const sums_of_two: Sums = @bitCast((pairs & low_byte) + (pairs >> @splat(8)));
        const low_pair: Sums = @splat(0xffff);
        return (sums_of_two & low_pair) + (sums_of_two >> @splat(16));
    }

    inline fn partsByWords(view: *const CodeView, code: [*]const u8) Sums {
        var sum: u32 = 0;
        for (0..view.block_count) |block| {
            const bits: u64 = @bitCast(code[block * 8 ..][0..8].*);
            inline for (0..plane_count) |i| {
                const shared = bits & @as(u64, @bitCast(view.plane(i, block)));
                sum += @as(u32, @popCount(shared)) << i;
            }
        }
        var parts: Sums = @splat(0);
        parts[0] = sum;
        return parts;
    }
};
