//! Dot products of bytes are checked against a plain loop, exactly.

const std = @import("std");
const kernels = @import("kernels.zig");
const testing = std.testing;

/// Fills with random values, or with those whose products are largest.
fn fill(random: std.Random, values: []i8, kind: usize) void {
    for (values) |*value| value.* = switch (kind % 4) {
        0, 1 => random.int(i8),
        2 => -128,
        else => 127,
    };
}

test "dot products of bytes are exact on every tier" {
    var prng: std.Random.DefaultPrng = .init(8);
    const random = prng.random();
    const large = [_]usize{ 384, 768, 1000, 1536, 3072, 65535, 65536 };
    for (0..400 + large.len) |i| {
        const dimension = if (i < 400) i / 2 + 1 else large[i - 400];
        const row_count: usize = if (dimension > 10_000) 18 else random.uintAtMost(usize, 40);
        const stride = dimension + i % 3 * 5;
        const query = try testing.allocator.alloc(i8, dimension);
        defer testing.allocator.free(query);
        const rows = try testing.allocator.alloc(i8, @max(row_count, 1) * stride);
        defer testing.allocator.free(rows);
        fill(random, query, i);
        fill(random, rows, i / 2);

        var expected: [41]i32 = @splat(777);
        for (expected[0..row_count], 0..) |*sum, row| {
            sum.* = 0;
            for (query, rows[row * stride ..][0..dimension]) |q, r| sum.* += @as(i32, q) * r;
        }
        for (kernels.cpu.compiled) |tier| {
            const table = kernels.tableOf(tier) orelse continue;
            var sums: [41]i32 = @splat(777);
            table.dotInt8(query.ptr, rows.ptr, stride, row_count, dimension, &sums);
            try testing.expectEqualSlices(i32, &expected, &sums);
        }
    }
}

test "rows of bytes may end where memory ends" {
    const page = std.heap.pageSize();
    const pages = try std.heap.page_allocator.alloc(u8, page);
    defer std.heap.page_allocator.free(pages);
    @memset(pages, 1);
    for (1..200) |dimension| {
        const row: [*]const i8 = @ptrCast(pages[page - dimension ..].ptr);
        for (kernels.cpu.compiled) |tier| {
            const table = kernels.tableOf(tier) orelse continue;
            var sum: [1]i32 = undefined;
            table.dotInt8(row, row, 0, 1, dimension, &sum);
            try testing.expectEqual(@as(i32, @intCast(dimension)), sum[0]);
        }
    }
}
