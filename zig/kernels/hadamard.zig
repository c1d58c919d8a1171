//! The rotation before quantisation: a random one, so that no direction of the data is special, and
//! one that takes d · log d additions instead of d² multiplications.
//!
//! A round flips signs at random, transforms the first (or, every other round, the last) 2^k values
//! by Hadamard's matrix, and, where that is not the whole vector, mixes its two halves by turning
//! each pair by 45°: a step of Kac's walk. Every part is orthogonal, so all of it is. This is the
//! "FHT-Kac" rotation of the RaBitQ library (VectorDB-NTU/RaBitQ-Library), with every step scaled
//! to be orthogonal by itself, which makes odd dimensions exact too.
//!
//! Nothing that rounds twice is fused here, and the levels of the transform go upwards from
//! neighbours: so every tier computes the same bits, whatever its registers hold.

const std = @import("std");
const lanes = @import("lanes.zig");
const table = @import("table.zig");

const width = lanes.register_lanes;
const Register = lanes.Register;
const Bits = @Vector(width, u32);

/// As many registers take part in the lowest levels at once.
const group = 8;
const group_values = group * width;

const half_root: f32 = std.math.sqrt1_2;

/// Every mixing turns without dividing by √2; what that amounts to is divided by before, exactly.
const mixing_scale = 1 / @as(f32, 1 << table.rotation_rounds / 2);

comptime {
    std.debug.assert(table.rotation_rounds % 2 == 0);
    std.debug.assert(group_values % 32 == 0);
}

pub fn hadamard(
    vector: [*]align(1) const f32,
    vector_len: usize,
    scale: f32,
    out: [*]f32,
    dimension: usize,
    signs: [*]const u32,
) callconv(.c) void {
    const size = table.transformSize(dimension);
    const words = table.signWords(dimension) / table.rotation_rounds;
    const is_mixed = size < dimension;
    scaleInto(vector, vector_len, if (is_mixed) scale * mixing_scale else scale, out);
    for (out[vector_len..dimension]) |*value| value.* = 0;
    for (0..table.rotation_rounds) |round| {
        const part = if (round % 2 == 0) out else out + (dimension - size);
        const flips = signs + round * words;
        if (size < group_values) {
            transformShort(part[0..size], flips, scaleOf(size));
        } else {
            transformGroups(part, size, flips, scaleOf(size));
            transformAcross(part, size);
        }
        if (is_mixed) mixHalves(out, dimension);
    }
}

fn scaleInto(vector: [*]align(1) const f32, len: usize, scale: f32, out: [*]f32) void {
    var at: usize = 0;
    while (at + width <= len) : (at += width) {
        const values = lanes.loadRegister(vector, at);
        lanes.storeRegister(out, at, values * @as(Register, @splat(scale)));
    }
    while (at < len) : (at += 1) out[at] = vector[at] * scale;
}

/// 2^(-k/2), which makes the transform of 2^k values orthogonal.
fn scaleOf(size: usize) f32 {
    const levels = std.math.log2_int(usize, size);
    const whole = 1 / @as(f32, @floatFromInt(@as(usize, 1) << @intCast(levels / 2)));
    return if (levels % 2 == 0) whole else whole * half_root;
}

fn transformShort(part: []f32, flips: [*]const u32, scale: f32) void {
    for (part, 0..) |*value, i| {
        const scaled = value.* * scale;
        value.* = if (flips[i / 32] >> @intCast(i % 32) & 1 != 0) -scaled else scaled;
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

/// The levels inside of registers and those across a group of them, on values that are scaled and
/// flipped on the way: one walk through memory.
fn transformGroups(part: [*]f32, size: usize, flips: [*]const u32, scale: f32) void {
    var start: usize = 0;
    while (start < size) : (start += group_values) {
        var values: [group]Register = undefined;
        inline for (&values, 0..) |*value, i| {
            const scaled = lanes.loadRegister(part, start + i * width) *
                @as(Register, @splat(scale));
            const flip = flips[start / 32 + i * width / 32];
            value.* = flipSigns(scaled, flip, i * width % 32);
            inline for (0..comptime std.math.log2_int(usize, width)) |level| {
                value.* = transformLanes(value.*, 1 << level);
            }
        }
        transformValues(group, &values);
        inline for (values, 0..) |value, i| lanes.storeRegister(part, start + i * width, value);
    }
}

/// By the bits of `word` from `first` on.
inline fn flipSigns(values: Register, word: u32, comptime first: u5) Register {
    const sign_bit: Bits = @splat(1 << 31);
    const words: Bits = @splat(word);
    const places = comptime std.simd.iota(u5, width) + @as(@Vector(width, u5), @splat(first));
    const signs = if (lanes.shifts_each) shifted: {
        const to_sign: @Vector(width, u5) = comptime @as(@Vector(width, u5), @splat(31)) - places;
        break :shifted words << to_sign & sign_bit;
    } else selected: {
        const bits = comptime @as(Bits, @splat(1)) << places;
        const zeros: Bits = @splat(0);
        break :selected @select(u32, words & bits == bits, sign_bit, zeros);
    };
    return @bitCast(@as(Bits, @bitCast(values)) ^ signs);
}

/// One level: sums in the lower of two lanes that are `distance` apart, differences in the upper.
/// A product with 1 or -1 is exact, so adding to it in one step rounds to the same bits.
inline fn transformLanes(values: Register, comptime distance: usize) Register {
    const partner, const sign = comptime tables: {
        var partner: [width]i32 = undefined;
        var sign: [width]f32 = undefined;
        for (&partner, &sign, 0..) |*to, *factor, lane| {
            to.* = lane ^ distance;
            factor.* = if (lane & distance != 0) -1 else 1;
        }
        break :tables .{ partner, sign };
    };
    const partners = @shuffle(f32, values, undefined, partner);
    if (lanes.fused) return @mulAdd(Register, values, sign, partners);
    const negative: Bits = @as(Bits, @bitCast(@as(Register, sign))) & @as(Bits, @splat(1 << 31));
    return partners + @as(Register, @bitCast(@as(Bits, @bitCast(values)) ^ negative));
}

/// The levels above those of a group, three at a time while there are three.
fn transformAcross(part: [*]f32, size: usize) void {
    var distance: usize = group_values;
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
            transformValues(radix, &values);
            inline for (values, 0..) |value, i| lanes.storeRegister(part, at + i * distance, value);
        }
    }
}

/// The levels between registers, from neighbours upwards.
inline fn transformValues(comptime radix: usize, values: *[radix]Register) void {
    inline for (0..comptime std.math.log2_int(usize, radix)) |level| {
        inline for (0..radix) |i| {
            if (i & (1 << level) != 0) continue;
            const a, const b = .{ values[i], values[i | 1 << level] };
            values[i] = a + b;
            values[i | 1 << level] = a - b;
        }
    }
}

/// Rotates value i and its partner in the second half by 45°, and makes both longer by √2. The
/// middle of an odd number becomes as much longer.
fn mixHalves(vector: [*]f32, dimension: usize) void {
    const half = dimension / 2;
    const second = vector + (dimension - half);
    var at: usize = 0;
    while (at + width <= half) : (at += width) {
        const a = lanes.loadRegister(vector, at);
        const b = lanes.loadRegister(second, at);
        lanes.storeRegister(vector, at, a + b);
        lanes.storeRegister(second, at, a - b);
    }
    while (at < half) : (at += 1) {
        const a, const b = .{ vector[at], second[at] };
        vector[at] = a + b;
        second[at] = a - b;
    }
    if (dimension % 2 != 0) vector[half] *= std.math.sqrt2;
}
