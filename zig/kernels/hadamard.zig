//! The rotation before quantisation: a random one, so that no direction of the data is special, and
//! one that takes d · log d additions instead of d² multiplications.
//!
//! A round flips signs at random, transforms the first (or, every other round, the last) 2^k values
//! by Hadamard's matrix, and, where that is not the whole vector, mixes its two halves by turning
//! each pair by 45°: a step of Kac's walk. Every part is orthogonal, so all of it is. This is the
//! "FHT-Kac" rotation of the RaBitQ library (VectorDB-NTU/RaBitQ-Library), with every step scaled
//! to be orthogonal by itself, which makes odd dimensions exact too.
//!
//! Additions and multiplications are never fused here, and the levels of the transform go upwards
//! from neighbours: so every tier computes the same bits, whatever its registers hold.

const std = @import("std");
const lanes = @import("lanes.zig");
const table = @import("table.zig");

const width = lanes.register_lanes;
const Register = lanes.Register;
const Bits = @Vector(width, u32);

const half_root: f32 = std.math.sqrt1_2;

pub fn hadamard(vector: [*]f32, dimension: usize, signs: [*]const u32) callconv(.c) void {
    const size = table.transformSize(dimension);
    const words = table.signWords(dimension) / table.rotation_rounds;
    const scale = scaleOf(size);
    for (0..table.rotation_rounds) |round| {
        const part = if (round % 2 == 0) vector else vector + (dimension - size);
        const flips = signs + round * words;
        if (size < width) {
            transformShort(part[0..size], flips[0], scale);
        } else {
            flipAndTransformRegisters(part, size, flips, scale);
            transformAcross(part, size);
        }
        if (size < dimension) mixHalves(vector, dimension);
    }
}

/// 2^(-k/2), which makes the transform of 2^k values orthogonal.
fn scaleOf(size: usize) f32 {
    const levels = std.math.log2_int(usize, size);
    const whole = 1 / @as(f32, @floatFromInt(@as(usize, 1) << @intCast(levels / 2)));
    return if (levels % 2 == 0) whole else whole * half_root;
}

fn transformShort(part: []f32, flips: u32, scale: f32) void {
    for (part, 0..) |*value, i| {
        const scaled = value.* * scale;
        value.* = if (flips >> @intCast(i) & 1 != 0) -scaled else scaled;
    }
    var distance: usize = 1;
    while (distance < part.len) : (distance *= 2) {
        for (0..part.len) |i| {
            if (i & distance != 0) continue;
            const a, const b = .{ part[i], part[i + distance] };
            part[i] = a + b;
            part[i + distance] = a - b;
        }
    }
}

/// The levels inside of registers, on values that are scaled and flipped on the way.
fn flipAndTransformRegisters(part: [*]f32, size: usize, flips: [*]const u32, scale: f32) void {
    const lane_bits = comptime @as(Bits, @splat(1)) << std.simd.iota(u5, width);
    var at: usize = 0;
    while (at < size) : (at += width) {
        const scaled = lanes.loadRegister(part, at) * @as(Register, @splat(scale));
        const flip: Bits = @splat(flips[at / 32] >> @intCast(at % 32));
        const kept = flip & lane_bits == @as(Bits, @splat(0));
        var values = @select(f32, kept, scaled, -scaled);
        inline for (0..comptime std.math.log2_int(usize, width)) |level| {
            values = transformLanes(values, 1 << level);
        }
        part[at..][0..width].* = values;
    }
}

/// One level: sums in the lower of two lanes that are `distance` apart, differences in the upper.
inline fn transformLanes(values: Register, comptime distance: usize) Register {
    const partner, const sign = comptime tables: {
        var partner: [width]i32 = undefined;
        var sign: [width]u32 = undefined;
        for (&partner, &sign, 0..) |*to, *bit, lane| {
            to.* = lane ^ distance;
            bit.* = if (lane & distance != 0) 1 << 31 else 0;
        }
        break :tables .{ partner, sign };
    };
    const signed: Register = @bitCast(@as(Bits, @bitCast(values)) ^ @as(Bits, sign));
    return @shuffle(f32, values, undefined, partner) + signed;
}

/// The levels across registers, three at a time while there are three.
fn transformAcross(part: [*]f32, size: usize) void {
    var distance: usize = width;
    while (distance * 8 <= size) : (distance *= 8) acrossRegisters(8, part, size, distance);
    if (distance * 4 <= size) {
        acrossRegisters(4, part, size, distance);
    } else if (distance * 2 <= size) {
        acrossRegisters(2, part, size, distance);
    }
}

fn acrossRegisters(comptime radix: usize, part: [*]f32, size: usize, distance: usize) void {
    var start: usize = 0;
    while (start < size) : (start += radix * distance) {
        var at = start;
        while (at < start + distance) : (at += width) {
            var values: [radix]Register = undefined;
            inline for (&values, 0..) |*value, i| {
                value.* = lanes.loadRegister(part, at + i * distance);
            }
            inline for (0..comptime std.math.log2_int(usize, radix)) |level| {
                inline for (0..radix) |i| {
                    if (i & (1 << level) != 0) continue;
                    const a, const b = .{ values[i], values[i | 1 << level] };
                    values[i] = a + b;
                    values[i | 1 << level] = a - b;
                }
            }
            inline for (values, 0..) |value, i| part[at + i * distance ..][0..width].* = value;
        }
    }
}

/// Rotates value i and its partner in the second half by 45°. The middle of an odd number stays.
fn mixHalves(vector: [*]f32, dimension: usize) void {
    const half = dimension / 2;
    const second = vector + (dimension - half);
    const scale: Register = @splat(half_root);
    var at: usize = 0;
    while (at + width <= half) : (at += width) {
        const a = lanes.loadRegister(vector, at);
        const b = lanes.loadRegister(second, at);
        vector[at..][0..width].* = (a + b) * scale;
        second[at..][0..width].* = (a - b) * scale;
    }
    while (at < half) : (at += 1) {
        const a, const b = .{ vector[at], second[at] };
        vector[at] = (a + b) * half_root;
        second[at] = (a - b) * half_root;
    }
}
