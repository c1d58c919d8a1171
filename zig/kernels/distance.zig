//! The kernels: distances between one query and many rows, and checks of one vector. This one file
//! is compiled once for each CPU tier, as an object of its own, and never imported by the core.
//!
//! All sums run in 32 lanes, whatever the CPU: the compiler splits such a vector into 2, 4 or 8
//! registers. Rows are taken in blocks to reuse the query's registers and to keep enough
//! independent sums in flight, yet each row's own operations are the same in a block of one: that
//! is why a score never depends on the neighbours of its row. Nothing may be reordered for that to
//! hold, so the float mode stays strict and every sum of lanes is written out as a tree (a strict
//! `@reduce` would add them one after the other).

const std = @import("std");
const builtin = @import("builtin");
const bytes = @import("bytes.zig");
const table = @import("table.zig");
const tier = @import("tier");

const lane_count = table.lane_count;
const Lanes = @Vector(lane_count, f32);
const LanesWide = @Vector(lane_count, f64);
const LanesBits = @Vector(lane_count, u32);

/// Rows summed side by side, where they are far apart. Four streams keep more of the memory system
/// busy than one: with AVX2 and rows in DRAM they are a tenth to a third faster, although half of
/// the sums then spill (which costs a tenth when the rows are in the second-level cache). With SSE
/// the spills win.
const rows_per_block: comptime_int = switch (builtin.cpu.arch) {
    .x86_64 => if (has(.avx2)) 4 else 1,
    else => 2,
};

/// Rows closer than this are summed one after the other: streams that share a page of memory
/// confuse the prefetcher (384 dimensions in DRAM: 12 GB/s side by side, 16 GB/s in turn).
const side_by_side_bytes_min = 3072;

/// `@mulAdd` on a CPU without the instruction is a library call for every lane.
const fused = builtin.cpu.arch != .x86_64 or has(.fma);

fn has(comptime feature: std.Target.x86.Feature) bool {
    return std.Target.x86.featureSetHas(builtin.cpu.features, feature);
}

const kernels: table.KernelTable = .{
    .name = tier.name,
    .dotBatch = Batch(.dot).run,
    .l2Batch = Batch(.l2).run,
    .sumSquares = sumSquares,
    .validate = validate,
    .copy = bytes.copy,
    .zero = bytes.zero,
    .checksum = bytes.checksum,
};

fn accessor() callconv(.c) *const table.KernelTable {
    return &kernels;
}

comptime {
    @export(&accessor, .{ .name = "vl_kernels_" ++ tier.name, .visibility = .hidden });
}

const Term = enum { dot, l2 };

fn Batch(comptime term: Term) type {
    return struct {
        fn run(
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
            if (stride_bytes >= side_by_side_bytes_min) {
                while (row + rows_per_block <= row_count) : (row += rows_per_block) {
                    const block = rows + row * stride_bytes;
                    out[row..][0..rows_per_block].* =
                        scores(rows_per_block, query, block, stride_bytes, dimension, &tail);
                }
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
                    sum.* = add(sum.*, part, load(start, at));
                }
            }
            if (at < dimension) {
                inline for (&sums, row) |*sum, start| {
                    sum.* = add(sum.*, tail.query, tail.of(start, dimension));
                }
            }
            var out: [count]f32 = undefined;
            inline for (&out, sums) |*score, sum| score.* = treeSum(sum);
            return out;
        }

        inline fn add(sum: Lanes, query: Lanes, row: Lanes) Lanes {
            switch (term) {
                .dot => return multiplyAdd(query, row, sum),
                .l2 => {
                    const difference = query - row;
                    return multiplyAdd(difference, difference, sum);
                },
            }
        }
    };
}

/// The last `dimension % 32` values of a vector, in the highest lanes, with zeros below.
const Tail = struct {
    query: Lanes,
    /// All ones where a lane counts.
    mask: LanesBits,

    fn init(tail: *Tail, query: [*]const f32, dimension: usize) void {
        const unused: LanesBits = @splat(@intCast(lane_count - dimension % lane_count));
        const counts = std.simd.iota(u32, lane_count) >= unused;
        tail.mask = @select(u32, counts, @as(LanesBits, @splat(~@as(u32, 0))), zeros);
        tail.query = tail.of(query, dimension);
    }

    const zeros: LanesBits = @splat(0);

    /// From a vector of at least 32 values the last 32 are read, and those that have been counted
    /// are blanked; a shorter one is copied, since nothing around it may be read.
    inline fn of(tail: *const Tail, vector: [*]align(1) const f32, dimension: usize) Lanes {
        if (dimension < lane_count) {
            var padded: [lane_count]f32 = @splat(0);
            const values = padded[lane_count - dimension ..];
            for (values, vector[0..dimension]) |*to, from| to.* = from;
            return padded;
        }
        const bits: LanesBits = @bitCast(load(vector, dimension - lane_count));
        return @bitCast(bits & tail.mask);
    }
};

inline fn load(vector: [*]align(1) const f32, at: usize) Lanes {
    const values: *align(1) const [lane_count]f32 = @ptrCast(vector + at);
    return values.*;
}

inline fn multiplyAdd(a: Lanes, b: Lanes, sum: Lanes) Lanes {
    return if (fused) @mulAdd(Lanes, a, b, sum) else a * b + sum;
}

/// Halves the vector until one value is left: five additions deep instead of 31.
fn treeSum(lanes: anytype) @typeInfo(@TypeOf(lanes)).vector.child {
    const count = @typeInfo(@TypeOf(lanes)).vector.len;
    if (count == 1) return lanes[0];
    const half = count / 2;
    return treeSum(std.simd.extract(lanes, 0, half) + std.simd.extract(lanes, half, half));
}

fn sumSquares(vector: [*]const f32, dimension: usize) callconv(.c) f64 {
    var sums: LanesWide = @splat(0);
    var at: usize = 0;
    while (at + lane_count <= dimension) : (at += lane_count) {
        const wide: LanesWide = @floatCast(load(vector, at));
        // The square of an f32 is exact in f64, so a fused addition would round to the same bits.
        sums += wide * wide;
    }
    var rest: f64 = 0;
    for (vector[at..dimension]) |value| {
        const wide: f64 = value;
        rest += wide * wide;
    }
    return treeSum(sums) + rest;
}

/// The bits of an f32 without its sign order the absolute values: zero is least, and everything
/// from the bits of infinity up is an infinity or not a number.
fn validate(vector: [*]const f32, dimension: usize) callconv(.c) table.Validity {
    const infinity: u32 = @bitCast(std.math.inf(f32));
    const magnitude: u32 = std.math.maxInt(i32);
    var largest: LanesBits = @splat(0);
    var at: usize = 0;
    while (at + lane_count <= dimension) : (at += lane_count) {
        const bits: LanesBits = @bitCast(load(vector, at));
        largest = @max(largest, bits & @as(LanesBits, @splat(magnitude)));
    }
    var most = @reduce(.Max, largest);
    for (vector[at..dimension]) |value| {
        const bits: u32 = @bitCast(value);
        most = @max(most, bits & magnitude);
    }
    if (most >= infinity) return .not_finite;
    return if (most == 0) .all_zero else .ok;
}
