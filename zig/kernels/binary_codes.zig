//! One bit for each dimension: from a vector to its code, and from a query to the levels that codes
//! are multiplied with. Formulas and sources are in table.zig, at `CodeFactors` and `CodeQuery`.
//!
//! Sums run in lanes and nothing is fused, so a code, its factors and a query's levels have the
//! same bits on every tier: a file that was written on one machine is read on another.

const std = @import("std");
const lanes = @import("lanes.zig");
const table = @import("table.zig");

const lane_count = lanes.lane_count;
const Lanes = lanes.Lanes;
const LanesWide = lanes.LanesWide;
const LanesBits = lanes.LanesBits;

pub fn encode(
    vector: [*]const f32,
    centre: [*]const f32,
    dimension: usize,
    code: [*]u64,
    factors: *table.CodeFactors,
) callconv(.c) void {
    var products: Lanes = @splat(0);
    var absolute_sums: LanesWide = @splat(0);
    var square_sums: LanesWide = @splat(0);
    var ones: u32 = 0;
    for (0..table.codeWords(dimension)) |word| code[word] = 0;
    var at: usize = 0;
    while (at < dimension) : (at += lane_count) {
        const given = loadPadded(vector, at, dimension, 0);
        const middle = loadPadded(centre, at, dimension, 0);
        products += given * middle;
        const values = given - middle;
        const wide: LanesWide = @floatCast(@abs(values));
        absolute_sums += wide;
        square_sums += wide * wide;
        const used = usedBits(dimension - at);
        const bits = positiveBits(values) & used;
        ones += @popCount(bits);
        code[at / 64] |= @as(u64, bits) << @intCast(at % 64);
    }
    const absolute_sum = lanes.treeSum(absolute_sums);
    const square_sum = lanes.treeSum(square_sums);
    const length: f64 = @floatFromInt(dimension);
    const signs = 2 * @as(f64, @floatFromInt(ones)) - length;
    const scale = if (absolute_sum == 0) 0 else square_sum / absolute_sum;
    const off_code = @max(0, length * scale * scale - square_sum);
    factors.* = .{
        .scale = @floatCast(scale),
        .bias = @floatCast(scale * signs),
        .deviation = @floatCast(@sqrt(off_code / @max(1, length - 1))),
        .square_sum = @floatCast(square_sum),
        .centre_product = lanes.treeSum(products),
    };
}

/// The 32 values from `at` on; `rest` stands where the vector has ended.
inline fn loadPadded(vector: [*]const f32, at: usize, dimension: usize, rest: f32) Lanes {
    if (at + lane_count <= dimension) return lanes.load(vector, at);
    var padded: [lane_count]f32 = @splat(rest);
    for (padded[0 .. dimension - at], vector[at..dimension]) |*to, from| to.* = from;
    return padded;
}

fn usedBits(count: usize) u32 {
    if (count >= lane_count) return std.math.maxInt(u32);
    return (@as(u32, 1) << @intCast(count)) - 1;
}

inline fn positiveBits(values: Lanes) u32 {
    const bits: LanesBits = @bitCast(values);
    return @bitCast(bits < @as(LanesBits, @splat(1 << 31)));
}

pub fn quantizeQuery(
    query: [*]const f32,
    dimension: usize,
    planes: [*]u64,
    levels: *table.QueryLevels,
) callconv(.c) void {
    var least: Lanes = @splat(query[0]);
    var most = least;
    var at: usize = 0;
    while (at < dimension) : (at += lane_count) {
        const values = loadPadded(query, at, dimension, query[0]);
        least = @min(least, values);
        most = @max(most, values);
    }
    // Of zeros with both signs the least may be either; this makes it the positive one.
    const low = @reduce(.Min, least) + 0.0;
    // Halves cannot overflow where the difference of the ends does.
    const half_range = @reduce(.Max, most) * 0.5 - low * 0.5;
    const top: f32 = table.query_levels - 1;
    const per_value = if (half_range == 0) 0 else top * 0.5 / half_range;
    levels.* = .{ .low = low, .step = half_range * 2 / top, .sum = 0 };

    const plane_words = table.planeWords(dimension);
    for (0..table.query_planes * plane_words) |word| planes[word] = 0;
    at = 0;
    while (at < dimension) : (at += lane_count) {
        const values = loadPadded(query, at, dimension, low);
        const steps = (values - @as(Lanes, @splat(low))) * @as(Lanes, @splat(per_value));
        // The least of a number and of what is none is the number, so all can be converted.
        const nearest = @min(@as(Lanes, @splat(top)), @floor(steps + @as(Lanes, @splat(0.5))));
        const chosen: LanesBits = @bitCast(@as(@Vector(lane_count, i32), @intFromFloat(nearest)));
        const used = usedBits(dimension - at);
        inline for (0..table.query_planes) |plane| {
            const bit: LanesBits = @splat(1 << plane);
            const bits = @as(u32, @bitCast(chosen & bit == bit)) & used;
            levels.sum += @as(u32, @popCount(bits)) << plane;
            planes[plane * plane_words + at / 64] |= @as(u64, bits) << @intCast(at % 64);
        }
    }
}
