//! The kernels as the core sees them: one table of functions, chosen once for this machine.
//! The functions themselves are in objects of their own, one per CPU tier (see build.zig), and are
//! reached only through the accessors below.

const std = @import("std");
const table = @import("table.zig");

pub const cpu = @import("cpu.zig");
pub const Tier = cpu.Tier;
pub const KernelTable = table.KernelTable;
pub const Tile = table.Tile;
pub const CodeFactors = table.CodeFactors;
pub const CodeHead = table.CodeHead;
pub const CodeQuery = table.CodeQuery;
pub const agreementTables = @import("code_heads.zig").agreementTables;
pub const head_step_bytes = table.head_step_bytes;
pub const CodeRows = table.CodeRows;
pub const QueryLevels = table.QueryLevels;
pub const blockBytes = table.blockBytes;
pub const block_codes = table.block_codes;
pub const codeWords = table.codeWords;
pub const planeWords = table.planeWords;
pub const query_planes = table.query_planes;
pub const query_levels = table.query_levels;
pub const rotation_rounds = table.rotation_rounds;
pub const transformSize = table.transformSize;
pub const signWords = table.signWords;
pub const dimension_max = table.dimension_max;
pub const lane_count = table.lane_count;

const Accessor = fn () callconv(.c) *const KernelTable;

/// Null until the first use. Every table gives right results here, so a thread may go on with the
/// one that it has read while another thread forces a different one.
var selected: std.atomic.Value(?*const KernelTable) = .init(null);

/// The table of the newest tier that this machine can run.
pub fn active() *const KernelTable {
    return selected.load(.monotonic) orelse select();
}

/// Once, so it is not worth a copy at each of those who ask.
noinline fn select() *const KernelTable {
    const chosen = tableOf(cpu.detect()).?;
    // A tier that was forced in the meantime stays.
    const forced = selected.cmpxchgStrong(null, chosen, .monotonic, .monotonic);
    return (forced orelse chosen).?;
}

/// The table of a tier, or null where this machine cannot run it.
pub fn tableOf(tier: Tier) ?*const KernelTable {
    const newest = @intFromEnum(cpu.detect());
    inline for (cpu.compiled) |each| {
        if (each == tier) {
            if (@intFromEnum(each) > newest) return null;
            const accessor = @extern(*const Accessor, .{ .name = "vl_kernels_" ++ @tagName(each) });
            return accessor();
        }
    }
    return null;
}

/// Whose table `active` is.
pub fn activeTier() Tier {
    return std.meta.stringToEnum(Tier, std.mem.span(active().name)).?;
}

/// Makes `tier` the active one: for tests and benches, and for who wants the results of an older
/// CPU on a newer one. Null goes back to detection.
pub fn force(tier: ?Tier) error{UnsupportedTier}!void {
    const forced = if (tier) |each| tableOf(each) orelse return error.UnsupportedTier else null;
    selected.store(forced, .monotonic);
}

const testing = std.testing;

/// Rows with padding behind them that must not be read, and their query.
const TestSet = struct {
    query: []f32,
    bytes: []align(64) u8,
    stride_bytes: usize,
    row_count: usize,

    fn init(random: std.Random, dimension: usize, row_count: usize, padding: usize) !TestSet {
        const set: TestSet = .{
            .query = try testing.allocator.alloc(f32, dimension),
            .bytes = try testing.allocator.alignedAlloc(
                u8,
                .@"64",
                row_count * (dimension * 4 + padding),
            ),
            .stride_bytes = dimension * 4 + padding,
            .row_count = row_count,
        };
        @memset(set.bytes, 0xff); // Not a number, wherever it is read as an f32.
        for (set.query) |*value| value.* = random.floatNorm(f32);
        for (0..row_count) |i| {
            for (set.row(i)) |*value| value.* = random.floatNorm(f32);
        }
        return set;
    }

    fn deinit(set: TestSet) void {
        testing.allocator.free(set.query);
        testing.allocator.free(set.bytes);
    }

    fn row(set: TestSet, index: usize) []align(1) f32 {
        const start = set.bytes[index * set.stride_bytes ..];
        return std.mem.bytesAsSlice(f32, start[0 .. set.query.len * 4]);
    }
};

const Reference = struct {
    dot: f64 = 0,
    magnitude: f64 = 0,
    squared_distance: f64 = 0,

    fn of(query: []const f32, row: []align(1) const f32) Reference {
        var sums: Reference = .{};
        for (query, row) |q32, r32| {
            const q: f64 = q32;
            const r: f64 = r32;
            sums.dot += q * r;
            sums.magnitude += @abs(q * r);
            sums.squared_distance += (q - r) * (q - r);
        }
        return sums;
    }
};

fn checkTier(kernels: *const KernelTable, set: TestSet) !void {
    const dimension = set.query.len;
    const out = try testing.allocator.alloc(f32, set.row_count * 2);
    defer testing.allocator.free(out);
    const dots = out[0..set.row_count];
    const distances = out[set.row_count..];
    const bytes = set.bytes.ptr;
    const stride = set.stride_bytes;
    kernels.dotBatch(set.query.ptr, bytes, stride, set.row_count, dimension, dots.ptr);
    kernels.l2Batch(set.query.ptr, bytes, stride, set.row_count, dimension, distances.ptr);

    const unit = 1.0 / @as(f64, 1 << 24);
    const length: f64 = @floatFromInt(dimension);
    for (dots, distances, 0..) |dot, distance, i| {
        const expected: Reference = .of(set.query, set.row(i));
        const dot_error = (length / 32 + 8) * unit * expected.magnitude;
        try testing.expectApproxEqAbs(expected.dot, dot, dot_error);
        const distance_error = (length / 32 + 10) * unit * expected.squared_distance;
        try testing.expectApproxEqAbs(expected.squared_distance, distance, distance_error);

        var alone: [1]f32 = undefined;
        kernels.dotBatch(set.query.ptr, bytes + i * stride, stride, 1, dimension, &alone);
        try testing.expectEqual(dot, alone[0]);
        kernels.l2Batch(set.query.ptr, bytes + i * stride, stride, 1, dimension, &alone);
        try testing.expectEqual(distance, alone[0]);
    }
}

test "scores are within the bound, and the same wherever the row is in its batch" {
    var prng: std.Random.DefaultPrng = .init(0x5eed);
    const random = prng.random();
    const large = [_]usize{ 384, 768, 1000, 1536, 3072, 65535, 65536 };
    for (0..130 + large.len) |i| {
        const dimension = if (i < 130) i + 1 else large[i - 130];
        const row_count: usize = if (dimension > 10_000) 5 else 11;
        // With the last one each row has its own page.
        const paddings = [_]usize{ 0, 4, 64 - dimension * 4 % 64, 4096 };
        const set: TestSet = try .init(random, dimension, row_count, paddings[i % 4]);
        defer set.deinit();
        for (cpu.compiled) |tier| {
            if (tableOf(tier)) |kernels| try checkTier(kernels, set);
        }
    }
}

test "a row's score does not depend on how far apart rows are" {
    var prng: std.Random.DefaultPrng = .init(5);
    for (1..140) |dimension| {
        const far: TestSet = try .init(prng.random(), dimension, 9, 4096);
        defer far.deinit();
        const near: TestSet = try .init(prng.random(), dimension, 9, 0);
        defer near.deinit();
        for (0..9) |i| @memcpy(near.row(i), far.row(i));
        for (cpu.compiled) |tier| {
            const kernels = tableOf(tier) orelse continue;
            inline for (.{ kernels.dotBatch, kernels.l2Batch }) |run| {
                var scores: [2][9]f32 = undefined;
                run(far.query.ptr, far.bytes.ptr, far.stride_bytes, 9, dimension, &scores[0]);
                run(far.query.ptr, near.bytes.ptr, near.stride_bytes, 9, dimension, &scores[1]);
                try testing.expectEqualSlices(f32, &scores[0], &scores[1]);
            }
        }
    }
}

test "tiers with fused multiply-add give the same scores" {
    if (cpu.compiled[0] != .x86_64_v2) return error.SkipZigTest;
    const newest = tableOf(cpu.detect()).?;
    const oldest = tableOf(.x86_64_v3) orelse return error.SkipZigTest;
    var prng: std.Random.DefaultPrng = .init(7);
    for ([_]usize{ 1, 31, 32, 33, 100, 1536 }) |dimension| {
        const set: TestSet = try .init(prng.random(), dimension, 9, 64);
        defer set.deinit();
        var expected: [9]f32 = undefined;
        var found: [9]f32 = undefined;
        const stride = set.stride_bytes;
        oldest.dotBatch(set.query.ptr, set.bytes.ptr, stride, 9, dimension, &expected);
        newest.dotBatch(set.query.ptr, set.bytes.ptr, stride, 9, dimension, &found);
        try testing.expectEqualSlices(f32, &expected, &found);
    }
}

test "a row may end where memory ends" {
    const page = std.heap.pageSize();
    const pages = try std.heap.page_allocator.alloc(u8, page);
    defer std.heap.page_allocator.free(pages);
    // The padding of TestSet would show a read too far as not a number; here the tail's values are
    // the last of the mapping, so that it may even fault.
    for (1..80) |dimension| {
        const row = pages[page - dimension * 4 ..];
        const values = std.mem.bytesAsSlice(f32, row);
        for (values) |*value| value.* = 1;
        for (cpu.compiled) |tier| {
            const kernels = tableOf(tier) orelse continue;
            const query: [*]const f32 = @ptrCast(@alignCast(row.ptr));
            var dot: [1]f32 = undefined;
            kernels.dotBatch(query, row.ptr, 0, 1, dimension, &dot);
            try testing.expectEqual(@as(f32, @floatFromInt(dimension)), dot[0]);
        }
    }
}

test "sums of squares are accurate and have the same bits on every tier" {
    var prng: std.Random.DefaultPrng = .init(11);
    const values = try testing.allocator.alloc(f32, dimension_max);
    defer testing.allocator.free(values);
    for (values, 0..) |*value, i| {
        const scale = std.math.pow(f32, 10, @floatFromInt(@mod(i, 37)));
        value.* = prng.random().floatNorm(f32) * scale;
    }
    for ([_]usize{ 1, 2, 15, 31, 32, 33, 100, 1536, 65535, 65536 }) |dimension| {
        var exact: f128 = 0;
        for (values[0..dimension]) |value| exact += @as(f128, value) * value;
        const bits: u64 = @bitCast(active().sumSquares(values.ptr, dimension));
        for (cpu.compiled) |tier| {
            const kernels = tableOf(tier) orelse continue;
            const sum = kernels.sumSquares(values.ptr, dimension);
            try testing.expectApproxEqRel(@as(f64, @floatCast(exact)), sum, 0x1p-40);
            try testing.expectEqual(bits, @as(u64, @bitCast(sum)));
        }
    }
}

test "a sum of squares tells one bad value anywhere, and zeros" {
    var buffer: [100]f32 = undefined;
    const nan = std.math.nan(f32);
    const infinity = std.math.inf(f32);
    const bad = [_]f32{ nan, -nan, infinity, -infinity };
    for (cpu.compiled) |tier| {
        const kernels = tableOf(tier) orelse continue;
        for (1..buffer.len + 1) |dimension| {
            const vector = buffer[0..dimension];
            @memset(vector, -0.0);
            try testing.expectEqual(0, kernels.sumSquares(vector.ptr, dimension));
            for (vector, 0..) |*value, i| {
                value.* = bad[i % bad.len];
                const sum = kernels.sumSquares(vector.ptr, dimension);
                try testing.expect(!std.math.isFinite(sum));
                value.* = std.math.floatTrueMin(f32);
                try testing.expect(kernels.sumSquares(vector.ptr, dimension) > 0);
                value.* = 0;
            }
            @memset(vector, -std.math.floatMax(f32));
            try testing.expect(std.math.isFinite(kernels.sumSquares(vector.ptr, dimension)));
        }
    }
}

test "infinities and not-a-numbers do not crash" {
    var values: [70]f32 = @splat(std.math.nan(f32));
    values[3] = std.math.inf(f32);
    for (cpu.compiled) |tier| {
        const kernels = tableOf(tier) orelse continue;
        var out: [2]f32 = undefined;
        kernels.dotBatch(&values, std.mem.asBytes(&values), 140, 2, 35, &out);
        kernels.l2Batch(&values, std.mem.asBytes(&values), 140, 2, 35, &out);
        try testing.expect(std.math.isNan(out[0]));
    }
}

test "copies and zeros are exact, whatever the length" {
    var from: [1000]u8 = undefined;
    for (&from, 0..) |*byte, i| byte.* = @truncate(i *% 7 +% 1);
    for (cpu.compiled) |tier| {
        const kernels = tableOf(tier) orelse continue;
        for (0..from.len - 2) |len| {
            var to: [from.len]u8 = @splat(0xff);
            kernels.copy(to[1..].ptr, &from, len);
            try testing.expectEqual(0xff, to[0]);
            try testing.expectEqualSlices(u8, from[0..len], to[1..][0..len]);
            try testing.expectEqual(0xff, to[1 + len]);
            kernels.zero(to[1..].ptr, len);
            try testing.expectEqual(0xff, to[0]);
            try testing.expect(std.mem.allEqual(u8, to[1..][0..len], 0));
            try testing.expectEqual(0xff, to[1 + len]);
        }
    }
}

test "every tier gives the checksum of the standard library" {
    var input: [5000]u8 = undefined;
    for (&input, 0..) |*byte, i| byte.* = @truncate(i *% 31 +% (i >> 8));
    for (cpu.compiled) |tier| {
        const kernels = tableOf(tier) orelse continue;
        for (0..input.len) |len| {
            const expected = std.hash.XxHash3.hash(len, input[0..len]);
            try testing.expectEqual(expected, kernels.checksum(len, &input, len));
        }
    }
}

test "force changes the active tier, and only to one that runs here" {
    // Detection never picks an unsupported tier.
    defer force(null) catch unreachable;
    for (cpu.compiled) |tier| {
        if (tableOf(tier)) |kernels| {
            try force(tier);
            try testing.expectEqual(kernels, active());
            try testing.expectEqualStrings(@tagName(tier), std.mem.span(kernels.name));
        } else {
            try testing.expectError(error.UnsupportedTier, force(tier));
        }
    }
}

test {
    _ = cpu;
}
