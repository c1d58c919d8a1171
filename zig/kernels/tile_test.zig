//! A tile is checked against the batch kernels, which are checked against a reference: its scores
//! have the same bits.

const std = @import("std");
const kernels = @import("kernels.zig");
const testing = std.testing;

/// Scores beside the tile's, which it must leave alone.
const untouched: f32 = 12345;

const Case = struct {
    dimension: usize,
    query_count: usize,
    row_count: usize,
    /// Unused values behind each query and each row, and between the scores of two queries.
    gap: usize,
};

fn check(values: []const f32, table: *const kernels.KernelTable, case: Case) !void {
    const stride = case.dimension + case.gap;
    // Rows start where no load is aligned.
    const rows: [*]const u8 = @ptrCast(values[3..].ptr);
    const queries = values[17..];
    const out_stride = case.row_count + case.gap;
    const out = try testing.allocator.alloc(f32, case.query_count * out_stride);
    defer testing.allocator.free(out);
    const expected = try testing.allocator.alloc(f32, case.row_count);
    defer testing.allocator.free(expected);

    const runs = .{
        .{ table.dotTile, table.dotBatch },
        .{ table.l2Tile, table.l2Batch },
    };
    inline for (runs) |run| {
        @memset(out, untouched);
        run[0](&.{
            .queries = queries.ptr,
            .query_stride = stride,
            .query_count = case.query_count,
            .rows = rows,
            .row_stride_bytes = stride * 4,
            .row_count = case.row_count,
            .dimension = case.dimension,
            .out = out.ptr,
            .out_stride = out_stride,
        });
        for (0..case.query_count) |i| {
            const query = queries[i * stride ..].ptr;
            run[1](query, rows, stride * 4, case.row_count, case.dimension, expected.ptr);
            const found = out[i * out_stride ..][0..out_stride];
            try testing.expectEqualSlices(f32, expected, found[0..case.row_count]);
            for (found[case.row_count..]) |score| try testing.expectEqual(untouched, score);
        }
    }
}

test "a tile's scores have the bits of the batch kernels" {
    var prng: std.Random.DefaultPrng = .init(0x711e);
    const random = prng.random();
    const values = try testing.allocator.alloc(f32, 17 + 13 * (1536 + 5));
    defer testing.allocator.free(values);
    for (values) |*value| value.* = random.floatNorm(f32);

    const large = [_]usize{ 384, 768, 1000, 1536 };
    for (0..70 + large.len) |i| {
        const dimension = if (i < 70) i + 1 else large[i - 70];
        for (0..12) |_| {
            const case: Case = .{
                .dimension = dimension,
                .query_count = random.uintAtMost(usize, 11),
                .row_count = random.uintAtMost(usize, 13),
                .gap = random.uintAtMost(usize, 5),
            };
            for (kernels.cpu.compiled) |tier| {
                if (kernels.tableOf(tier)) |table| try check(values, table, case);
            }
        }
    }
}
