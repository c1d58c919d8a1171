//! The rotation is checked against one in f64 that applies its definition, and for what makes it a
//! rotation: lengths and angles stay.

const std = @import("std");
const kernels = @import("kernels.zig");
const testing = std.testing;

const dimensions_large = [_]usize{ 384, 768, 1000, 1024, 1536, 3072, 65535, 65536 };

/// The relative error that table.zig promises.
fn errorBound(dimension: usize) f64 {
    const levels: usize = std.math.log2_int(usize, dimension);
    return @as(f64, @floatFromInt(kernels.rotation_rounds * (levels + 5))) * 0x1p-24;
}

fn rotateExactly(vector: []f64, signs: []const u32) void {
    const size = kernels.transformSize(vector.len);
    const words = signs.len / kernels.rotation_rounds;
    for (0..kernels.rotation_rounds) |round| {
        const part = if (round % 2 == 0) vector[0..size] else vector[vector.len - size ..];
        for (part, 0..) |*value, i| {
            const word = signs[round * words + i / 32];
            if (word >> @intCast(i % 32) & 1 != 0) value.* = -value.*;
        }
        var distance: usize = 1;
        while (distance < size) : (distance *= 2) {
            for (0..size) |i| if (i & distance == 0) turn(&part[i], &part[i + distance]);
        }
        if (size == vector.len) continue;
        const half = vector.len / 2;
        for (vector[0..half], vector[vector.len - half ..]) |*a, *b| turn(a, b);
    }
}

fn turn(a: *f64, b: *f64) void {
    const first, const second = .{ a.*, b.* };
    a.* = (first + second) * std.math.sqrt1_2;
    b.* = (first - second) * std.math.sqrt1_2;
}

fn dot(a: []const f32, b: []const f32) f64 {
    var sum: f64 = 0;
    for (a, b) |x, y| sum += @as(f64, x) * y;
    return sum;
}

const Vectors = struct {
    arena: std.heap.ArenaAllocator,
    signs: []u32,
    given: [2][]f32,
    rotated: [2][]f32,

    fn init(random: std.Random, dimension: usize) !Vectors {
        var vectors: Vectors = undefined;
        vectors.arena = .init(testing.allocator);
        errdefer vectors.arena.deinit();
        const arena = vectors.arena.allocator();
        vectors.signs = try arena.alloc(u32, kernels.signWords(dimension));
        random.bytes(std.mem.sliceAsBytes(vectors.signs));
        for (&vectors.given, &vectors.rotated) |*given, *rotated| {
            given.* = try arena.alloc(f32, dimension);
            for (given.*) |*value| value.* = random.floatNorm(f32);
            rotated.* = try arena.alloc(f32, dimension);
            const signs = vectors.signs.ptr;
            kernels.active().hadamard(given.ptr, dimension, 1, rotated.ptr, dimension, signs);
        }
        return vectors;
    }
};

fn checkDimension(random: std.Random, dimension: usize) !void {
    var vectors: Vectors = try .init(random, dimension);
    defer vectors.arena.deinit();
    const arena = vectors.arena.allocator();
    const bound = errorBound(dimension);

    const exact = try arena.alloc(f64, dimension);
    for (exact, vectors.given[0]) |*to, from| to.* = from;
    rotateExactly(exact, vectors.signs);
    const length = @sqrt(dot(vectors.given[0], vectors.given[0]));
    var error_squared: f64 = 0;
    for (exact, vectors.rotated[0]) |expected, found| {
        error_squared += (expected - found) * (expected - found);
    }
    try testing.expect(@sqrt(error_squared) <= bound * length);

    for ([_][2]usize{ .{ 0, 0 }, .{ 1, 1 }, .{ 0, 1 } }) |pair| {
        const a, const b = pair;
        const lengths = @sqrt(dot(vectors.given[a], vectors.given[a])) *
            @sqrt(dot(vectors.given[b], vectors.given[b]));
        const before = dot(vectors.given[a], vectors.given[b]);
        const after = dot(vectors.rotated[a], vectors.rotated[b]);
        try testing.expectApproxEqAbs(before, after, (2 * bound + bound * bound) * lengths);
    }

    const copy = try arena.alloc(f32, dimension);
    for (kernels.cpu.compiled) |tier| {
        const table = kernels.tableOf(tier) orelse continue;
        @memcpy(copy, vectors.given[0]);
        table.hadamard(copy.ptr, dimension, 1, copy.ptr, dimension, vectors.signs.ptr);
        const expected = std.mem.sliceAsBytes(vectors.rotated[0]);
        try testing.expectEqualSlices(u8, expected, std.mem.sliceAsBytes(copy));
    }
}

test "the rotation keeps lengths and dot products, and has the same bits on every tier" {
    var prng: std.Random.DefaultPrng = .init(0x407a7e);
    for (1..140) |dimension| try checkDimension(prng.random(), dimension);
    for (dimensions_large) |dimension| try checkDimension(prng.random(), dimension);
}

test "a vector of one value is spread over all" {
    var prng: std.Random.DefaultPrng = .init(1);
    for ([_]usize{ 384, 768, 1000, 1024, 1536 }) |dimension| {
        var vectors: Vectors = try .init(prng.random(), dimension);
        defer vectors.arena.deinit();
        const deviation = 1 / @sqrt(@as(f32, @floatFromInt(dimension)));
        for ([_]usize{ 0, dimension / 2, dimension - 1 }) |i| {
            const vector = vectors.rotated[0];
            @memset(vector, 0);
            vector[i] = 1;
            const signs = vectors.signs.ptr;
            kernels.active().hadamard(vector.ptr, dimension, 1, vector.ptr, dimension, signs);
            // Of as many normal values, six times the deviation is one in 300,000.
            for (vector) |value| try testing.expect(@abs(value) < 6 * deviation);
        }
    }
}

test "a vector is scaled, and followed by zeros, on its way" {
    var prng: std.Random.DefaultPrng = .init(2);
    for ([_][2]usize{ .{ 5, 64 }, .{ 100, 256 }, .{ 500, 512 }, .{ 767, 768 } }) |lens| {
        const len, const dimension = lens;
        var vectors: Vectors = try .init(prng.random(), dimension);
        defer vectors.arena.deinit();
        const given, const scaled = vectors.given;
        for (scaled[0..len], given[0..len]) |*to, from| to.* = from * 0.25;
        @memset(scaled[len..], 0);
        const signs = vectors.signs.ptr;
        for (kernels.cpu.compiled) |tier| {
            const table = kernels.tableOf(tier) orelse continue;
            const expected, const found = vectors.rotated;
            table.hadamard(scaled.ptr, dimension, 1, expected.ptr, dimension, signs);
            @memset(found, std.math.nan(f32));
            table.hadamard(given.ptr, len, 0.25, found.ptr, dimension, signs);
            try testing.expectEqualSlices(f32, expected, found);
        }
    }
}
