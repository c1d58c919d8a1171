//! Dot products of bytes with signs, exact on every tier: products are added in 32 bits, which the
//! largest sum (65536 · 128 · 128 = 2^30) does not fill, and no instruction on the way saturates.

const std = @import("std");
const byte_dot = @import("byte_dot.zig");
const lanes = @import("lanes.zig");

/// With the instruction for it a register of bytes. Elsewhere a register of 16-bit numbers, which
/// the bytes become: SSE and AVX multiply bytes with sums that saturate.
const block_length = if (byte_dot.exists) byte_dot.length else 2 * lanes.register_lanes;

/// The instruction wants one side unsigned: 128 is added to a row's values, which is in every sum
/// 128 times the sum of the query.
const is_shifted = byte_dot.exists and byte_dot.first_is_unsigned;

const Block = @Vector(block_length, i8);
const Sums = @Vector(lanes.register_lanes, i32);

/// Independent sums of one row, since an addition takes a few cycles.
const chain_count = 4;

pub fn dotInt8(
    query: [*]const i8,
    rows: [*]const i8,
    stride_bytes: usize,
    row_count: usize,
    dimension: usize,
    out: [*]i32,
) callconv(.c) void {
    const prepared: Query = .init(query, dimension);
    const at_once = lanes.register_lanes;
    var row: usize = 0;
    while (row + at_once <= row_count) : (row += at_once) {
        var parts: [at_once]Sums = undefined;
        for (&parts, row..) |*part, i| part.* = prepared.partsOf(rows + i * stride_bytes);
        out[row..][0..at_once].* = lanes.treeSums(at_once, parts);
    }
    while (row < row_count) : (row += 1) {
        out[row] = lanes.treeSum(prepared.partsOf(rows + row * stride_bytes));
    }
}

const Query = struct {
    values: [*]const i8,
    dimension: usize,
    /// The last values that do not fill a block, behind zeros. The row's values in front of them
    /// count for nothing there.
    tail: Block,
    /// What the sums of a row begin with.
    start: Sums,

    fn init(values: [*]const i8, dimension: usize) Query {
        const rest = dimension % block_length;
        var tail: [block_length]i8 = @splat(0);
        const last = values[dimension - rest .. dimension];
        for (tail[block_length - rest ..], last) |*to, from| to.* = from;
        var query: Query = .{
            .values = values,
            .dimension = dimension,
            .tail = tail,
            .start = @splat(0),
        };
        if (is_shifted) {
            const zero: Block = @splat(0);
            query.start = -query.productsWith(null, zero);
        }
        return query;
    }

    inline fn partsOf(query: *const Query, row: [*]const i8) Sums {
        const dimension = query.dimension;
        if (dimension % block_length == 0) return query.start + query.productsWith(row, null);
        if (dimension > block_length) {
            const last = load(row, dimension - block_length);
            return query.start + query.productsWith(row, last);
        }
        var padded: [block_length]i8 = @splat(0);
        for (padded[block_length - dimension ..], row) |*to, from| to.* = from;
        return query.start + query.productsWith(row, padded);
    }

    /// With a row of zeros where there is none.
    inline fn productsWith(query: *const Query, row: ?[*]const i8, tail: ?Block) Sums {
        const zero: Block = @splat(0);
        var chains: [chain_count]Sums = @splat(@splat(0));
        const whole = query.dimension - query.dimension % block_length;
        var at: usize = 0;
        while (at + chain_count * block_length <= whole) : (at += chain_count * block_length) {
            inline for (&chains, 0..) |*sums, i| {
                const start = at + i * block_length;
                const values = if (row) |r| load(r, start) else zero;
                sums.* = addProducts(sums.*, load(query.values, start), values);
            }
        }
        while (at < whole) : (at += block_length) {
            const values = if (row) |r| load(r, at) else zero;
            chains[0] = addProducts(chains[0], load(query.values, at), values);
        }
        if (tail) |values| chains[1] = addProducts(chains[1], query.tail, values);
        return chains[0] + chains[1] + (chains[2] + chains[3]);
    }
};

inline fn load(values: [*]const i8, at: usize) Block {
    return values[at..][0..block_length].*;
}

inline fn addProducts(sums: Sums, query: Block, row: Block) Sums {
    if (byte_dot.exists) {
        const shift: Block = @splat(if (is_shifted) -128 else 0);
        return byte_dot.addProducts(sums, row ^ shift, query);
    }
    // In this form the compiler finds the instruction that multiplies and adds pairs.
    const Wide = @Vector(block_length, i32);
    const products = @as(Wide, query) * @as(Wide, row);
    const pairs = std.simd.deinterlace(2, products);
    return sums + pairs[0] + pairs[1];
}
