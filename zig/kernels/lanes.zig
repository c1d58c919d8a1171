//! What the kernels of one tier share: vectors of 32 lanes, the registers they are made of, and
//! sums of lanes.
//!
//! Nothing may be reordered, so the float mode stays strict and every sum of lanes is written out
//! as a tree (a strict `@reduce` would add them one after the other).

const std = @import("std");
const builtin = @import("builtin");
const table = @import("table.zig");

pub const lane_count = table.lane_count;
pub const Lanes = @Vector(lane_count, f32);
pub const LanesWide = @Vector(lane_count, f64);
pub const LanesBits = @Vector(lane_count, u32);

/// The f32 values in one register.
pub const register_lanes: comptime_int = if (has(.avx512f)) 16 else if (has(.avx)) 8 else 4;
pub const Register = @Vector(register_lanes, f32);

/// `@mulAdd` on a CPU without the instruction is a library call for every lane.
pub const fused = builtin.cpu.arch != .x86_64 or has(.fma);

/// Whether each lane of a register can be shifted by a number of its own.
pub const shifts_each = builtin.cpu.arch != .x86_64 or has(.avx2);

/// False on every other architecture.
pub fn has(comptime feature: std.Target.x86.Feature) bool {
    if (builtin.cpu.arch != .x86_64) return false;
    return std.Target.x86.featureSetHas(builtin.cpu.features, feature);
}

/// The last `dimension % 32` values of a vector, in the highest lanes, with zeros below.
pub const Tail = struct {
    query: Lanes,
    /// All ones where a lane counts.
    mask: LanesBits,

    pub fn init(tail: *Tail, query: [*]const f32, dimension: usize) void {
        tail.mask = maskOf(dimension);
        tail.query = tail.of(query, dimension);
    }

    pub fn maskOf(dimension: usize) LanesBits {
        const unused: LanesBits = @splat(@intCast(lane_count - dimension % lane_count));
        const counts = std.simd.iota(u32, lane_count) >= unused;
        return @select(u32, counts, @as(LanesBits, @splat(~@as(u32, 0))), zeros);
    }

    const zeros: LanesBits = @splat(0);

    /// From a vector of at least 32 values the last 32 are read, and those that have been counted
    /// are blanked; a shorter one is copied, since nothing around it may be read.
    pub inline fn of(tail: *const Tail, vector: [*]align(1) const f32, dimension: usize) Lanes {
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

pub inline fn load(vector: [*]align(1) const f32, at: usize) Lanes {
    const values: *align(1) const [lane_count]f32 = @ptrCast(vector + at);
    return values.*;
}

pub inline fn loadRegister(vector: [*]align(1) const f32, at: usize) Register {
    const values: *align(1) const [register_lanes]f32 = @ptrCast(vector + at);
    return values.*;
}

/// In one piece, which an assignment to an array is not where a register has 512 bits.
pub inline fn storeRegister(vector: [*]f32, at: usize, values: Register) void {
    const to: *align(@alignOf(f32)) Register = @ptrCast(vector + at);
    to.* = values;
}

pub const Term = enum {
    dot,
    l2,

    /// `sum` with one more term in each lane.
    pub inline fn add(
        comptime term: Term,
        sum: anytype,
        query: @TypeOf(sum),
        row: @TypeOf(sum),
    ) @TypeOf(sum) {
        switch (term) {
            .dot => return multiplyAdd(query, row, sum),
            .l2 => {
                const difference = query - row;
                return multiplyAdd(difference, difference, sum);
            },
        }
    }
};

inline fn multiplyAdd(a: anytype, b: @TypeOf(a), sum: @TypeOf(a)) @TypeOf(a) {
    return if (fused) @mulAdd(@TypeOf(a), a, b, sum) else a * b + sum;
}

/// Halves the vector until one value is left: five additions deep instead of 31.
pub fn treeSum(lanes: anytype) @typeInfo(@TypeOf(lanes)).vector.child {
    const count = @typeInfo(@TypeOf(lanes)).vector.len;
    if (count == 1) return lanes[0];
    const half = count / 2;
    return treeSum(std.simd.extract(lanes, 0, half) + std.simd.extract(lanes, half, half));
}

/// `treeSum` of each of several vectors, with the same additions and so the same bits: two vectors
/// are folded into one, which takes an addition and two shuffles where each alone would take two
/// and two. A whole register of sums costs 15 additions instead of 64 with AVX-512.
pub inline fn treeSums(
    comptime count: usize,
    vectors: anytype,
) [count]@typeInfo(@TypeOf(vectors[0])).vector.child {
    @setEvalBranchQuota(20_000);
    const Vector = @TypeOf(vectors[0]);
    const width = @typeInfo(Vector).vector.len;
    var sums: [count]@typeInfo(Vector).vector.child = undefined;
    comptime var first = 0;
    inline while (first < count) : (first += width) {
        var group: [width]Vector = @splat(@splat(0));
        const used = @min(width, count - first);
        inline for (0..used) |i| group[i] = vectors[first + i];
        const folded: [width]@typeInfo(Vector).vector.child = fold(width, group);
        const blocks = width / block_lanes;
        inline for (0..used) |i| {
            sums[first + i] = folded[i % blocks * block_lanes + i / blocks];
        }
    }
    return sums;
}

/// Shuffles inside of blocks of 128 bits are the cheap ones on every CPU.
const block_lanes = 4;

inline fn fold(comptime count: usize, vectors: anytype) @TypeOf(vectors[0]) {
    if (count == 1) return vectors[0];
    const Vector = @TypeOf(vectors[0]);
    const info = @typeInfo(Vector).vector;
    var folded: [count / 2]Vector = undefined;
    inline for (&folded, 0..) |*to, i| {
        const low = comptime foldMask(info.len, count, false);
        const high = comptime foldMask(info.len, count, true);
        const a, const b = .{ vectors[2 * i], vectors[2 * i + 1] };
        to.* = @shuffle(info.child, a, b, low) + @shuffle(info.child, a, b, high);
    }
    return fold(count / 2, folded);
}

/// Where the lower or the upper halves of what is still to be summed lie in two vectors whose
/// parts of `part` lanes are each one sum.
fn foldMask(comptime width: usize, comptime part: usize, comptime high: bool) @Vector(width, i32) {
    var mask: [width]i32 = undefined;
    const half = part / 2;
    for (&mask, 0..) |*to, lane| {
        const is_second, const from = if (part > block_lanes)
            .{ lane >= width / 2, lane % (width / 2) / half * part + lane % half }
        else in_block: {
            const start = lane / block_lanes * block_lanes;
            const within = lane % block_lanes;
            const offset = within % 2 * (if (part == 2) 2 else 1);
            break :in_block .{ within >= 2, start + offset };
        };
        const index: i32 = @intCast(from + if (high) half else 0);
        to.* = if (is_second) ~index else index;
    }
    return mask;
}
