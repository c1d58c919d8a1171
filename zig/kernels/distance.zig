//! Distances between one query and many rows, and the length of one vector.
//!
//! All sums run in 32 lanes, whatever the CPU: the compiler splits such a vector into 2, 4 or 8
//! registers. Rows are taken in blocks to reuse the query's registers and to keep enough
//! independent sums in flight, yet each row's own operations are the same in a block of one: that
//! is why a score never depends on the neighbours of its row.

const std = @import("std");
const builtin = @import("builtin");
const lanes = @import("lanes.zig");
const table = @import("table.zig");

const lane_count = lanes.lane_count;
const Lanes = lanes.Lanes;
const LanesWide = lanes.LanesWide;
const Tail = lanes.Tail;
const load = lanes.load;
const treeSum = lanes.treeSum;

/// Rows summed side by side. Four streams keep more of the memory system busy than one: with AVX2
/// and AVX-512 rows of 384 dimensions come a tenth faster from DRAM and a third from the
/// second-level cache (Sapphire Rapids), although half of the sums spill with AVX2. Eight are no
/// faster. With SSE the spills win.
const rows_per_block: comptime_int = switch (builtin.cpu.arch) {
    .x86_64 => if (lanes.has(.avx2)) 4 else 1,
    else => 2,
};

pub fn Batch(comptime term: lanes.Term) type {
    return struct {
        pub fn run(
            query: [*]const f32,
            rows: [*]const u8,
            stride_bytes: usize,
            row_count: usize,
            dimension: usize,
            out: [*]f32,
        ) callconv(.c) void {
            var tail: Tail = undefined;
            tail.init(query, dimension);
            var row: usize = 0;
            while (row + rows_per_block <= row_count) : (row += rows_per_block) {
                const block = rows + row * stride_bytes;
                out[row..][0..rows_per_block].* =
                    scores(rows_per_block, query, block, stride_bytes, dimension, &tail);
            }
            while (row < row_count) : (row += 1) {
                const block = rows + row * stride_bytes;
                out[row..][0..1].* = scores(1, query, block, stride_bytes, dimension, &tail);
            }
        }

        inline fn scores(
            comptime count: usize,
            query: [*]const f32,
            rows: [*]const u8,
            stride_bytes: usize,
            dimension: usize,
            tail: *const Tail,
        ) [count]f32 {
            var row: [count][*]align(1) const f32 = undefined;
            inline for (&row, 0..) |*start, i| start.* = @ptrCast(rows + i * stride_bytes);
            var sums: [count]Lanes = @splat(@splat(0));
            var at: usize = 0;
            while (at + lane_count <= dimension) : (at += lane_count) {
                const part = load(query, at);
                inline for (&sums, row) |*sum, start| {
                    sum.* = term.add(sum.*, part, load(start, at));
                }
            }
            if (at < dimension) {
                inline for (&sums, row) |*sum, start| {
                    sum.* = term.add(sum.*, tail.query, tail.of(start, dimension));
                }
            }
            var out: [count]f32 = undefined;
            inline for (&out, sums) |*score, sum| score.* = treeSum(sum);
            return out;
        }
    };
}

pub fn sumSquares(vector: [*]const f32, dimension: usize) callconv(.c) f64 {
    var sums: LanesWide = @splat(0);
    var at: usize = 0;
    while (at + lane_count <= dimension) : (at += lane_count) {
        const wide: LanesWide = @floatCast(load(vector, at));
        // The square of an f32 is exact in f64, so a fused addition would round to the same bits.
        // It is no infinity and, but for zero's, not zero, and nor is a sum of them.
        sums += wide * wide;
    }
    var rest: f64 = 0;
    for (vector[at..dimension]) |value| {
        const wide: f64 = value;
        rest += wide * wide;
    }
    return treeSum(sums) + rest;
}
