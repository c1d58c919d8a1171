//! Codes, levels and their sums are checked against plain loops; estimates against the dot products
//! that they estimate.

const std = @import("std");
const kernels = @import("kernels.zig");
const testing = std.testing;

const dimensions_large = [_]usize{ 384, 511, 768, 1000, 1024, 1536, 3072, 65535, 65536 };

fn dimensionAt(index: usize) usize {
    return if (index < 200) index + 1 else dimensions_large[index - 200];
}

const dimension_count = 200 + dimensions_large.len;

fn isOne(words: []const u64, index: usize) bool {
    return words[index / 64] >> @intCast(index % 64) & 1 != 0;
}

fn expectSameBytes(expected: anytype, found: @TypeOf(expected)) !void {
    try testing.expectEqualSlices(u8, std.mem.asBytes(expected), std.mem.asBytes(found));
}

test "a code has the signs of what its vector has beyond the centre, and their factors" {
    var prng: std.Random.DefaultPrng = .init(0xb17);
    var vector: [65536]f32 = undefined;
    var centre: [65536]f32 = undefined;
    for (0..dimension_count) |index| {
        const dimension = dimensionAt(index);
        var absolute: f64 = 0;
        var squares: f64 = 0;
        var signs: f64 = 0;
        var product: f64 = 0;
        var product_bound: f64 = 0;
        for (vector[0..dimension], centre[0..dimension]) |*value, *middle| {
            value.* = prng.random().floatNorm(f32);
            middle.* = prng.random().floatNorm(f32) * 0.1;
            const rest = value.* - middle.*;
            absolute += @abs(rest);
            squares += @as(f64, rest) * rest;
            signs += if (rest > 0) 1 else -1;
            product += @as(f64, value.*) * middle.*;
            product_bound += @abs(@as(f64, value.*) * middle.*);
        }
        const length: f64 = @floatFromInt(dimension);
        product_bound *= (length / 32 + 8) * 0x1p-24;
        const cosine = absolute / (@sqrt(length) * @sqrt(squares));
        const deviation = if (dimension == 1)
            0
        else
            @sqrt(squares * (1 - cosine * cosine) / (cosine * cosine) / (length - 1));
        const words = kernels.codeWords(dimension);
        var first: kernels.CodeFactors = undefined;
        kernels.active().encode(&vector, &centre, dimension, &code_buffers[0], &first);
        for (kernels.cpu.compiled) |tier| {
            const table = kernels.tableOf(tier) orelse continue;
            var factors: kernels.CodeFactors = undefined;
            const code = code_buffers[1][0 .. words + 1];
            @memset(code, ~@as(u64, 0));
            table.encode(&vector, &centre, dimension, code.ptr, &factors);
            for (0..words * 64) |i| {
                const is_one = i < dimension and vector[i] > centre[i];
                try testing.expectEqual(is_one, isOne(code, i));
            }
            try testing.expectEqual(~@as(u64, 0), code[words]);
            const scale = squares / absolute;
            try testing.expectApproxEqRel(scale, @as(f64, factors.scale), 1e-6);
            try testing.expectApproxEqRel(squares, @as(f64, factors.square_sum), 1e-6);
            try testing.expectApproxEqAbs(scale * signs, @as(f64, factors.bias), 1e-6 * length);
            try testing.expectApproxEqAbs(deviation, @as(f64, factors.deviation), 1e-5);
            try testing.expectApproxEqAbs(product, @as(f64, factors.centre_product), product_bound);
            try expectSameBytes(&first, &factors);
        }
    }
}

var code_buffers: [2][1025]u64 = undefined;

test "a vector of zeros has a code, and factors that say so" {
    const vector: [70]f32 = @splat(0);
    for (kernels.cpu.compiled) |tier| {
        const table = kernels.tableOf(tier) orelse continue;
        var factors: kernels.CodeFactors = undefined;
        table.encode(&vector, &vector, vector.len, &code_buffers[0], &factors);
        try testing.expectEqual(std.mem.zeroes(kernels.CodeFactors), factors);
    }
}

/// A query's planes, aligned as the caller would have them.
const Planes = struct {
    words: [kernels.query_planes * 1024]u64 align(64) = undefined,
    levels: kernels.QueryLevels = undefined,

    fn level(planes: *const Planes, dimension: usize, index: usize) u32 {
        const words = kernels.planeWords(dimension);
        var found: u32 = 0;
        for (0..kernels.query_planes) |plane| {
            const is_one = isOne(planes.words[plane * words ..][0..words], index);
            found |= @as(u32, @intFromBool(is_one)) << @intCast(plane);
        }
        return found;
    }
};

var planes_buffers: [2]Planes = .{ .{}, .{} };

test "levels are the nearest ones, and the same on every tier" {
    var prng: std.Random.DefaultPrng = .init(0x1e7e1);
    var query: [65536]f32 = undefined;
    const first, const planes = .{ &planes_buffers[0], &planes_buffers[1] };
    for (0..dimension_count) |index| {
        const dimension = dimensionAt(index);
        for (query[0..dimension]) |*value| value.* = prng.random().floatNorm(f32) + 0.5;
        const words = kernels.planeWords(dimension);
        kernels.active().quantizeQuery(&query, dimension, &first.words, &first.levels);
        for (kernels.cpu.compiled) |tier| {
            const table = kernels.tableOf(tier) orelse continue;
            @memset(&planes.words, ~@as(u64, 0));
            table.quantizeQuery(&query, dimension, &planes.words, &planes.levels);
            var sum: u32 = 0;
            for (0..words * 64) |i| {
                const level = planes.level(dimension, i);
                sum += level;
                if (i >= dimension) {
                    try testing.expectEqual(0, level);
                    continue;
                }
                const steps: f32 = @floatFromInt(level);
                const value = planes.levels.low + steps * planes.levels.step;
                try testing.expectApproxEqAbs(query[i], value, planes.levels.step * 0.50001);
            }
            try testing.expectEqual(sum, planes.levels.sum);
            try expectSameBytes(&first.levels, &planes.levels);
            const used = kernels.query_planes * words;
            try testing.expectEqualSlices(u64, first.words[0..used], planes.words[0..used]);
        }
    }
}

test "a query of equal values has levels" {
    const query: [70]f32 = @splat(-3.5);
    for (kernels.cpu.compiled) |tier| {
        const table = kernels.tableOf(tier) orelse continue;
        const planes = &planes_buffers[0];
        table.quantizeQuery(&query, query.len, &planes.words, &planes.levels);
        const expected: kernels.QueryLevels = .{ .low = -3.5, .step = 0, .sum = 0 };
        try testing.expectEqual(expected, planes.levels);
    }
}

/// Random codes whose last one ends where memory ends, so that reading on may even fault. What lies
/// between two codes is ones, which would count.
const Codes = struct {
    pages: []u8,
    bytes: []u8,
    stride: usize,
    row_count: usize,
    dimension: usize,

    fn init(random: std.Random, dimension: usize, row_count: usize, gap: usize) !Codes {
        const code_bytes = kernels.codeWords(dimension) * 8;
        const stride = code_bytes + gap;
        const byte_count = if (row_count == 0) 0 else (row_count - 1) * stride + code_bytes;
        const size = std.mem.alignForward(usize, byte_count + 1, std.heap.pageSize());
        const pages = try std.heap.page_allocator.alloc(u8, size);
        const bytes = pages[size - byte_count ..];
        @memset(pages, 0xff);
        const codes: Codes = .{
            .pages = pages,
            .bytes = bytes,
            .stride = stride,
            .row_count = row_count,
            .dimension = dimension,
        };
        for (0..row_count) |row| {
            const code = bytes[row * stride ..][0..code_bytes];
            random.bytes(code);
            for (dimension..code_bytes * 8) |i| code[i / 8] &= ~(@as(u8, 1) << @intCast(i % 8));
        }
        return codes;
    }

    fn deinit(codes: Codes) void {
        std.heap.page_allocator.free(codes.pages);
    }

    fn sum(codes: Codes, planes: *const Planes, row: usize) u32 {
        var found: u32 = 0;
        const code = codes.bytes[row * codes.stride ..];
        for (0..codes.dimension) |i| {
            const is_one = code[i / 8] >> @intCast(i % 8) & 1 != 0;
            if (is_one) found += planes.level(codes.dimension, i);
        }
        return found;
    }
};

fn randomPlanes(random: std.Random, dimension: usize, planes: *Planes) void {
    var query: [65536]f32 = undefined;
    for (query[0..dimension]) |*value| value.* = random.floatNorm(f32);
    kernels.active().quantizeQuery(&query, dimension, &planes.words, &planes.levels);
}

test "sums of levels are exact on every tier, and stay inside of the codes" {
    var prng: std.Random.DefaultPrng = .init(0x50b5);
    const random = prng.random();
    const planes = &planes_buffers[0];
    for (0..dimension_count) |index| {
        const dimension = dimensionAt(index);
        randomPlanes(random, dimension, planes);
        const row_count: usize = if (dimension > 10_000) 19 else random.uintAtMost(usize, 40);
        const gaps = [_]usize{ 0, 8, 5, 64 };
        const codes: Codes = try .init(random, dimension, row_count, gaps[index % 4]);
        defer codes.deinit();
        for (kernels.cpu.compiled) |tier| {
            const table = kernels.tableOf(tier) orelse continue;
            var sums: [41]u32 = @splat(777);
            const bytes = codes.bytes.ptr;
            table.planesDot(&planes.words, bytes, codes.stride, row_count, dimension, &sums);
            for (0..row_count) |row| try testing.expectEqual(codes.sum(planes, row), sums[row]);
            try testing.expectEqual(777, sums[row_count]);
        }
    }
}

/// As estimates, which hold every sum exactly: the largest one has 20 bits.
fn sumsOfBlocks(
    table: *const kernels.KernelTable,
    tables: [*]const u8,
    blocks: [*]const u8,
    row_count: usize,
    dimension: usize,
    out: []f32,
) void {
    const zeros: [kernels.block_codes]f32 = @splat(0);
    const ones: [kernels.block_codes]f32 = @splat(1);
    var rows: [64]u32 = undefined;
    _ = table.estimateBlocks(&.{
        .planes = null,
        .tables = tables,
        .base = 0,
        .bias_weight = 0,
        .sum_weight = 1,
        .sum_base = 0,
        .slack = 0,
    }, &.{
        .codes = blocks,
        .stride_bytes = kernels.blockBytes(dimension),
        .factor_stride = 0,
        .row_count = row_count,
        .dimension = dimension,
        .offsets = &zeros,
        .scales = &ones,
        .biases = &zeros,
        .deviations = &zeros,
    }, 0, &rows, out.ptr);
}

test "blocks of codes have the sums of their codes" {
    var prng: std.Random.DefaultPrng = .init(0xb10c);
    const random = prng.random();
    const planes = &planes_buffers[0];
    for (0..dimension_count) |index| {
        const dimension = dimensionAt(index);
        randomPlanes(random, dimension, planes);
        const row_count = 64 - index % 20;
        const codes: Codes = try .init(random, dimension, row_count, index % 3 * 8);
        defer codes.deinit();
        const block_bytes = kernels.blockBytes(dimension);
        const buffers = try testing.allocator.alloc(u8, 3 * block_bytes);
        defer testing.allocator.free(buffers);
        const tables = buffers[2 * block_bytes ..].ptr;
        for (kernels.cpu.compiled) |tier| {
            const table = kernels.tableOf(tier) orelse continue;
            const bytes = codes.bytes;
            const second = bytes[kernels.block_codes * codes.stride ..];
            table.packBlock(bytes.ptr, codes.stride, 32, dimension, buffers.ptr);
            const to = buffers[block_bytes..].ptr;
            table.packBlock(second.ptr, codes.stride, row_count - 32, dimension, to);
            table.lookupTables(&planes.words, dimension, tables);
            var expected: [64]u32 = @splat(0);
            const stride = codes.stride;
            table.planesDot(&planes.words, bytes.ptr, stride, row_count, dimension, &expected);
            var found: [64]f32 = undefined;
            sumsOfBlocks(table, tables, buffers.ptr, row_count, dimension, &found);
            for (expected[0..row_count], found[0..row_count]) |sum, estimate| {
                try testing.expectEqual(@as(f32, @floatFromInt(sum)), estimate);
            }
        }
    }
}

test "the largest sums are exact" {
    const dimension = kernels.dimension_max;
    const code: [dimension / 64]u64 = @splat(~@as(u64, 0));
    const planes = &planes_buffers[0];
    @memset(&planes.words, ~@as(u64, 0));
    for (kernels.cpu.compiled) |tier| {
        const table = kernels.tableOf(tier) orelse continue;
        var sum: [1]u32 = undefined;
        table.planesDot(&planes.words, @ptrCast(&code), 0, 1, dimension, &sum);
        try testing.expectEqual(dimension * (kernels.query_levels - 1), sum[0]);

        const buffers = try testing.allocator.alloc(u8, 2 * kernels.blockBytes(dimension));
        defer testing.allocator.free(buffers);
        const tables = buffers[kernels.blockBytes(dimension)..].ptr;
        var sums: [kernels.block_codes]f32 = undefined;
        table.packBlock(@ptrCast(&code), 0, kernels.block_codes, dimension, buffers.ptr);
        table.lookupTables(&planes.words, dimension, tables);
        sumsOfBlocks(table, tables, buffers.ptr, kernels.block_codes, dimension, &sums);
        for (sums) |each| try testing.expectEqual(@as(f32, @floatFromInt(sum[0])), each);
    }
}

/// As table.zig writes it, one row at a time.
fn estimateOf(query: kernels.CodeQuery, rows: kernels.CodeRows, row: usize, sum: u32) f32 {
    const product = @as(f32, @floatFromInt(sum)) * query.sum_weight + query.sum_base;
    return rows.offsets[row] + query.base +
        (rows.biases[row] * query.bias_weight + rows.scales[row] * product);
}

test "exactly the rows that may reach the threshold are written, with the same bits on every tier" {
    var prng: std.Random.DefaultPrng = .init(0xe57);
    const random = prng.random();
    const planes = &planes_buffers[0];
    var factors: [4][100]f32 = undefined;
    var tables: [kernels.blockBytes(900)]u8 = undefined;
    for (0..200) |i| {
        const dimension = 1 + random.uintLessThan(usize, 900);
        randomPlanes(random, dimension, planes);
        kernels.active().lookupTables(&planes.words, dimension, &tables);
        const row_count = random.uintAtMost(usize, 100);
        const codes: Codes = try .init(random, dimension, row_count, 8 * (i % 3));
        defer codes.deinit();
        for (&factors) |*array| for (array) |*value| {
            value.* = random.floatNorm(f32);
        };
        for (&factors[3]) |*value| value.* = @abs(value.*);
        const query: kernels.CodeQuery = .{
            .planes = &planes.words,
            .tables = &tables,
            .base = random.floatNorm(f32),
            .bias_weight = random.floatNorm(f32),
            .sum_weight = 2 * planes.levels.step,
            .sum_base = -planes.levels.step * @as(f32, @floatFromInt(planes.levels.sum)),
            .slack = if (i % 2 == 0) 0 else random.float(f32),
        };
        const rows: kernels.CodeRows = .{
            .codes = codes.bytes.ptr,
            .stride_bytes = codes.stride,
            .factor_stride = kernels.block_codes,
            .row_count = row_count,
            .dimension = dimension,
            .offsets = &factors[0],
            .scales = &factors[1],
            .biases = &factors[2],
            .deviations = &factors[3],
        };
        const thresholds = [_]f32{ -std.math.inf(f32), 0, 20, std.math.inf(f32) };
        for (thresholds) |threshold| try checkSurvivors(codes, planes, query, rows, threshold);
    }
}

fn checkSurvivors(
    codes: Codes,
    planes: *const Planes,
    query: kernels.CodeQuery,
    rows: kernels.CodeRows,
    threshold: f32,
) !void {
    var expected_rows: [100]u32 = undefined;
    var expected: [100]f32 = undefined;
    var count: usize = 0;
    for (0..rows.row_count) |row| {
        const estimate = estimateOf(query, rows, row, codes.sum(planes, row));
        if (estimate + rows.deviations[row] * query.slack >= threshold) {
            expected_rows[count] = @intCast(row);
            expected[count] = estimate;
            count += 1;
        }
    }
    var blocks: [4 * kernels.blockBytes(900)]u8 = undefined;
    var in_blocks = rows;
    in_blocks.codes = &blocks;
    in_blocks.stride_bytes = kernels.blockBytes(codes.dimension);
    packAll(codes, &blocks);
    for (kernels.cpu.compiled) |tier| {
        const table = kernels.tableOf(tier) orelse continue;
        const runs = .{ table.estimateCodes, table.estimateBlocks };
        inline for (runs, .{ rows, in_blocks }) |run, given| {
            var found_rows: [100]u32 = undefined;
            var found: [100]f32 = undefined;
            const found_count = run(&query, &given, threshold, &found_rows, &found);
            try testing.expectEqual(count, found_count);
            try testing.expectEqualSlices(u32, expected_rows[0..count], found_rows[0..count]);
            try testing.expectEqualSlices(f32, expected[0..count], found[0..count]);
        }
        try checkWanted(table, &query, in_blocks, threshold, expected_rows[0..count]);
    }
}

/// Of blocks, only the rows that are wanted are found, with or without the others.
fn checkWanted(
    table: *const kernels.KernelTable,
    query: *const kernels.CodeQuery,
    in_blocks: kernels.CodeRows,
    threshold: f32,
    expected: []const u32,
) !void {
    const wanted = [4]u32{ 0x0000_0000, 0xFFFF_FFFF, 0xA5A5_0001, 0x8000_0000 };
    var rows = in_blocks;
    rows.wanted = &wanted;
    var found_rows: [100]u32 = undefined;
    var found: [100]f32 = undefined;
    const count = table.estimateBlocks(query, &rows, threshold, &found_rows, &found);
    var at: usize = 0;
    for (expected) |row| {
        const block = row / kernels.block_codes;
        if (wanted[block] >> @intCast(row % kernels.block_codes) & 1 == 0) continue;
        try testing.expectEqual(row, found_rows[at]);
        at += 1;
    }
    try testing.expectEqual(at, count);
}

/// Whether the head of a block rules it out, as table.zig writes it, one row at a time.
fn isRuledOut(
    codes: Codes,
    planes: *const Planes,
    query: kernels.CodeQuery,
    rows: kernels.CodeRows,
    first: usize,
    threshold: f32,
) bool {
    const head = query.head.?;
    for (first..first + kernels.block_codes) |row| {
        var agreement: u32 = 0;
        for (0..head.bytes / 4) |i| {
            const is_one = isOne(@alignCast(std.mem.bytesAsSlice(
                u64,
                codes.bytes[row * codes.stride ..][0 .. codes.dimension / 8],
            )), i);
            const level = planes.level(codes.dimension, i);
            agreement += if (is_one) level else kernels.query_levels - 1 - level;
        }
        const product = @as(f32, @floatFromInt(agreement)) * head.sum_weight + head.sum_base;
        const estimate = rows.offsets[row] + query.base +
            (rows.biases[row] * head.bias_weight + rows.scales[row] * product);
        const deviation = rows.deviations[row];
        const sampling = rows.scales[row] * head.spread;
        const larger, const smaller = .{ @max(deviation, sampling), @min(deviation, sampling) };
        const share: f32 = std.math.sqrt2 - 1;
        if (estimate + (larger + smaller * share) * head.slack >= threshold) return false;
    }
    return true;
}

test "a block is passed over where its head rules out all of its rows, on every tier alike" {
    var prng: std.Random.DefaultPrng = .init(0x4ead);
    const random = prng.random();
    const planes = &planes_buffers[0];
    const dimension = 1024;
    const row_count = 20 * kernels.block_codes + 5;
    const block_bytes = kernels.blockBytes(dimension);
    const blocks = try testing.allocator.alloc(u8, 21 * block_bytes);
    defer testing.allocator.free(blocks);
    var factors: [4][row_count + kernels.block_codes]f32 = undefined;
    var ruled_out: usize = 0;
    var written: usize = 0;
    for (0..30) |round| {
        randomPlanes(random, dimension, planes);
        var tables: [kernels.blockBytes(dimension)]u8 = undefined;
        kernels.active().lookupTables(&planes.words, dimension, &tables);
        var head_tables: [2 * kernels.head_step_bytes]u8 = undefined;
        kernels.agreementTables(&tables, &head_tables);
        const codes: Codes = try .init(random, dimension, row_count, 0);
        defer codes.deinit();
        packAll(codes, blocks);
        for (&factors, [_]f32{ 0.1, 0.01, 0.01, 0.3 }) |*array, size| for (array) |*value| {
            value.* = size * @abs(random.floatNorm(f32));
        };
        // One row that nothing is known of.
        factors[3][40] = std.math.inf(f32);
        const head: kernels.CodeHead = .{
            .tables = &head_tables,
            .bytes = head_tables.len,
            .bias_weight = 0.01,
            .sum_weight = planes.levels.step * 8,
            .sum_base = -7.5 * planes.levels.step * dimension,
            .spread = 2.6,
            .slack = 0.7,
        };
        const query: kernels.CodeQuery = .{
            .planes = &planes.words,
            .tables = &tables,
            .base = 0,
            .bias_weight = planes.levels.low,
            .sum_weight = 2 * planes.levels.step,
            .sum_base = -planes.levels.step * @as(f32, @floatFromInt(planes.levels.sum)),
            .slack = 1,
            .head = &head,
        };
        const rows: kernels.CodeRows = .{
            .codes = blocks.ptr,
            .stride_bytes = block_bytes,
            .factor_stride = kernels.block_codes,
            .row_count = row_count,
            .dimension = dimension,
            .offsets = &factors[0],
            .scales = &factors[1],
            .biases = &factors[2],
            .deviations = &factors[3],
        };
        const threshold = 0.4 + 0.1 * @as(f32, @floatFromInt(round));
        var expected_rows: [row_count]u32 = undefined;
        var expected: [row_count]f32 = undefined;
        var count: usize = 0;
        // Heads are asked while they rule out more than half.
        var seen: usize = 0;
        var left: usize = 0;
        var is_out = false;
        for (0..row_count) |row| {
            if (row % kernels.block_codes == 0) {
                const is_full = row + kernels.block_codes <= row_count;
                const is_asked = is_full and 2 * left <= seen + 8;
                is_out = is_asked and isRuledOut(codes, planes, query, rows, row, threshold);
                seen += @intFromBool(is_asked);
                left += @intFromBool(is_asked and !is_out);
                ruled_out += @intFromBool(is_out);
            }
            const estimate = estimateOf(query, rows, row, codes.sum(planes, row));
            if (is_out or !(estimate + rows.deviations[row] * query.slack >= threshold)) continue;
            expected_rows[count] = @intCast(row);
            expected[count] = estimate;
            count += 1;
        }
        written += count;
        for (kernels.cpu.compiled) |tier| {
            const table = kernels.tableOf(tier) orelse continue;
            var found_rows: [row_count]u32 = undefined;
            var found: [row_count]f32 = undefined;
            const found_count = table.estimateBlocks(&query, &rows, threshold, &found_rows, &found);
            try testing.expectEqualSlices(u32, expected_rows[0..count], found_rows[0..found_count]);
            try testing.expectEqualSlices(f32, expected[0..count], found[0..found_count]);
        }
    }
    // Some are and some are not, and the row that nothing is known of is always written.
    try testing.expect(ruled_out > 100 and ruled_out < 500);
    try testing.expect(written > 30);
}

fn packAll(codes: Codes, blocks: []u8) void {
    var first: usize = 0;
    while (first < codes.row_count) : (first += kernels.block_codes) {
        const block = blocks[first / kernels.block_codes * kernels.blockBytes(codes.dimension) ..];
        const count = @min(kernels.block_codes, codes.row_count - first);
        const bytes = codes.bytes[first * codes.stride ..].ptr;
        kernels.active().packBlock(bytes, codes.stride, count, codes.dimension, block.ptr);
    }
}

/// Far from what bits can hold before a rotation: a few values are most of the vector.
fn skewed(random: std.Random, vector: []f32) void {
    for (vector, 1..) |*value, divisor| {
        value.* = random.floatNorm(f32) / @as(f32, @floatFromInt(divisor));
    }
}

test "estimates are unbiased, and within the bound of the paper" {
    const dimension = 384;
    const row_count = 2000;
    var prng: std.Random.DefaultPrng = .init(0xab1a5);
    const random = prng.random();
    var signs: [kernels.signWords(dimension)]u32 = undefined;
    random.bytes(std.mem.asBytes(&signs));
    const table = kernels.active();

    var query: [dimension]f32 = undefined;
    skewed(random, &query);
    var rotated: [dimension]f32 = undefined;
    table.hadamard(&query, dimension, 1, &rotated, dimension, &signs);
    const planes = &planes_buffers[0];
    table.quantizeQuery(&rotated, dimension, &planes.words, &planes.levels);
    const query_length = @sqrt(table.sumSquares(&query, dimension));
    // An independent rounding error of each value, besides.
    const rounding = planes.levels.step / @sqrt(12.0) * @sqrt(@as(f64, dimension));

    const origin: [dimension]f32 = @splat(0);
    var bias: f64 = 0;
    var error_sum: f64 = 0;
    var outside: usize = 0;
    for (0..row_count) |_| {
        var row: [dimension]f32 = undefined;
        skewed(random, &row);
        var exact: f64 = 0;
        for (query, row) |q, r| exact += @as(f64, q) * r;
        table.hadamard(&row, dimension, 1, &row, dimension, &signs);
        var code: [kernels.codeWords(dimension)]u64 = undefined;
        var factors: kernels.CodeFactors = undefined;
        table.encode(&row, &origin, dimension, &code, &factors);
        var sum: [1]u32 = undefined;
        table.planesDot(&planes.words, @ptrCast(&code), 0, 1, dimension, &sum);
        const levels: f64 = 2 * @as(f64, @floatFromInt(sum[0])) -
            @as(f64, @floatFromInt(planes.levels.sum));
        const estimate = @as(f64, factors.bias) * planes.levels.low +
            @as(f64, factors.scale) * planes.levels.step * levels;
        const bound = 1.9 * (factors.deviation * query_length + factors.scale * rounding);
        if (@abs(estimate - exact) > bound) outside += 1;
        bias += estimate - exact;
        error_sum += @abs(estimate - exact);
    }
    try testing.expect(outside < row_count / 20);
    try testing.expect(@abs(bias) < error_sum / 10);
}
