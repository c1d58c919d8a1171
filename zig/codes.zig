//! Codes of vectors: the sign of each dimension after a random rotation, with what it takes to
//! estimate a score from them and to bound the error, after RaBitQ (kernels/table.zig). A search
//! reads them instead of the vectors, and looks only at the vectors of rows that may be among the
//! nearest.
//!
//! Vectors of few dimensions are rotated among zeros, which gives them longer codes: the error
//! falls with the root of the length.

const std = @import("std");
const checksum = @import("checksum.zig");
const format = @import("format.zig");
const kernels = @import("kernels/kernels.zig");
const Metric = @import("metrics.zig").Metric;

const block_rows = format.code_block_rows;

comptime {
    std.debug.assert(block_rows == kernels.block_codes);
    std.debug.assert(format.codeBlockBytes(64) ==
        kernels.blockBytes(64) + @sizeOf(format.CodeBlockTail));
}

/// Signs of the codes of vectors with this many dimensions.
pub fn dimensionFor(dimension: u32) u32 {
    const length = @max(dimension, @min(2 * dimension, 512));
    return std.mem.alignForward(u32, length, 64);
}

/// The rotation of every vector and query with codes of one length. Frozen: it decides what the
/// codes of a file mean. SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) draws its signs.
pub const Rotation = struct {
    signs: []u32,

    /// The signs belong to `arena`.
    pub fn init(arena: std.mem.Allocator, code_dimension: u32) error{OutOfMemory}!Rotation {
        const signs = try arena.alloc(u32, kernels.signWords(code_dimension));
        for (signs, 1..) |*word, i| {
            var mixed = @as(u64, i) *% 0x9E37_79B9_7F4A_7C15;
            mixed = (mixed ^ mixed >> 30) *% 0xBF58_476D_1CE4_E5B9;
            mixed = (mixed ^ mixed >> 27) *% 0x94D0_49BB_1331_11EB;
            word.* = @truncate(mixed ^ mixed >> 31);
        }
        return .{ .signs = signs };
    }

    /// `out` has the codes' dimension, and may begin where `vector` does; `scale` is applied to
    /// each value first.
    pub fn apply(
        rotation: *const Rotation,
        vector: []align(1) const f32,
        scale: f32,
        out: []f32,
    ) void {
        const signs = rotation.signs.ptr;
        kernels.active().hadamard(vector.ptr, vector.len, scale, out.ptr, out.len, signs);
    }
};

/// What a vector is multiplied with before it is rotated.
pub fn scaleOf(metric: Metric, inverse_norm: f32) f32 {
    return if (metric == .cosine) inverse_norm else 1;
}

/// Makes a block from rotated vectors.
pub const BlockBuilder = struct {
    metric: Metric,
    centre: []const f32,
    /// `block_rows` codes.
    words: []u64,
    tail: format.CodeBlockTail = .{
        .offsets = @splat(0),
        .scales = @splat(0),
        .biases = @splat(0),
        .deviations = @splat(std.math.inf(f32)),
    },

    pub fn wordsFor(code_dimension: u32) usize {
        return block_rows * kernels.codeWords(code_dimension);
    }

    /// `vector` is rotated. A row that is never set, or whose numbers are beyond single precision,
    /// has an error without bound: whoever searches looks at it.
    pub fn set(builder: *BlockBuilder, row: usize, vector: []const f32) void {
        const width = kernels.codeWords(vector.len);
        const words = builder.words.ptr + row * width;
        var factors: kernels.CodeFactors = undefined;
        const table = kernels.active();
        table.encode(vector.ptr, builder.centre.ptr, vector.len, words, &factors);
        const is_l2 = builder.metric == .l2;
        const offset = if (is_l2) -factors.square_sum else factors.centre_product;
        const are_moderate = isModerate(factors.scale) and isModerate(factors.bias) and
            isModerate(factors.deviation) and @abs(offset) <= moderate * moderate;
        if (!are_moderate) return;
        const tail = &builder.tail;
        tail.offsets[row] = offset;
        tail.scales[row] = factors.scale;
        tail.biases[row] = factors.bias;
        tail.deviations[row] = factors.deviation;
    }

    /// `out` has `format.codeBlockBytes`; `seed` is that of the block's first row.
    pub fn finish(builder: *BlockBuilder, seed: u64, out: []u8) void {
        const dimension = builder.centre.len;
        const stride = kernels.codeWords(dimension) * @sizeOf(u64);
        const words: [*]const u8 = @ptrCast(builder.words.ptr);
        kernels.active().packBlock(words, stride, block_rows, dimension, out.ptr);
        const tail_at = out.len - @sizeOf(format.CodeBlockTail);
        const sum_at = out.len - @sizeOf(u64);
        @memcpy(out[tail_at..], std.mem.asBytes(&builder.tail));
        const sum = checksum.bytes(seed, out[0..sum_at]);
        @memcpy(out[sum_at..], std.mem.asBytes(&sum));
    }
};

/// Products of two such numbers, and sums of these, are no infinities.
const moderate = 1e18;

/// False also for what is no number.
fn isModerate(value: f32) bool {
    return @abs(value) <= moderate;
}

/// Whether a block, or a centre, is what was written in this place.
pub fn isWhole(seed: u64, bytes: []const u8) bool {
    const sum_at = bytes.len - @sizeOf(u64);
    return std.mem.bytesToValue(u64, bytes[sum_at..]) == checksum.bytes(seed, bytes[0..sum_at]);
}

/// Puts the tail behind the values of a centre. `bytes` has `format.codeCentreBytes`.
pub fn sealCentre(seed: u64, bytes: []u8) void {
    const tail_at = bytes.len - @sizeOf(format.CodeCentreTail);
    var tail: format.CodeCentreTail = .{ .id = checksum.bytes(0, bytes[0..tail_at]) };
    @memcpy(bytes[tail_at..], std.mem.asBytes(&tail));
    tail.checksum = checksum.bytes(seed, bytes[0 .. bytes.len - @sizeOf(u64)]);
    @memcpy(bytes[tail_at..], std.mem.asBytes(&tail));
}

/// Of a centre that is whole.
pub fn centreId(bytes: []const u8) u64 {
    const tail = bytes[bytes.len - @sizeOf(format.CodeCentreTail) ..];
    return std.mem.bytesToValue(format.CodeCentreTail, tail).id;
}

/// A query against the codes of one centre.
pub const Query = struct {
    kernel: kernels.CodeQuery,
    head: kernels.CodeHead,

    /// How many deviations an estimate may be wrong by: one neighbour in 740 that is exactly at the
    /// limit is lost, and none in the sets that were measured (docs/decisions/0014).
    const deviations = 3;
    /// The same for the head of a block, so large that hardly anything is lost besides.
    const head_deviations = 3.5;
    /// A head of so many parts of the code was the fastest of a half to an eighth.
    const head_part = 6;

    /// Bytes of the tables for heads; 0 for codes that are too short to have one.
    pub fn headBytes(code_dimension: usize) usize {
        const bytes = kernels.blockBytes(code_dimension) / head_part;
        const step = kernels.head_step_bytes;
        return if (bytes < 2 * step) 0 else bytes / step * step;
    }

    /// What the kernels take; it points into the query, which stays where it is.
    pub fn forKernel(query: *Query) *const kernels.CodeQuery {
        query.kernel.head = if (query.head.bytes > 0) &query.head else null;
        return &query.kernel;
    }

    /// Null where the numbers of the query are beyond what estimates are made of.
    ///
    /// `rotated` is the query, rotated; it is centred in `scratch`, of the same length. `planes`
    /// has 4 · `kernels.planeWords` words, `tables` `kernels.blockBytes` bytes, `head_tables`
    /// `headBytes`; all stay borrowed.
    pub fn init(
        metric: Metric,
        rotated: []const f32,
        centre: []const f32,
        scratch: []f32,
        planes: []u64,
        tables: []u8,
        head_tables: []u8,
    ) ?Query {
        const table = kernels.active();
        const dimension = rotated.len;
        var product: f64 = 0;
        for (rotated, centre, scratch) |value, middle, *to| {
            product += @as(f64, value) * middle;
            to.* = value - middle;
        }
        const centre_square = table.sumSquares(centre.ptr, dimension);
        const square = table.sumSquares(scratch.ptr, dimension);
        var levels: kernels.QueryLevels = undefined;
        table.quantizeQuery(scratch.ptr, dimension, planes.ptr, &levels);
        table.lookupTables(planes.ptr, dimension, tables.ptr);
        const slope: f32 = if (metric == .l2) 2 else 1;
        const base = if (metric == .l2) -square else product - centre_square;
        const length: f64 = @floatFromInt(dimension);
        const rounding = levels.step * @sqrt(length / 12) * scale_per_deviation;
        const slack = slope * deviations * @sqrt(square + rounding * rounding);
        const kernel: kernels.CodeQuery = .{
            .planes = planes.ptr,
            .tables = tables.ptr,
            .base = @floatCast(base),
            .bias_weight = slope * levels.low,
            .sum_weight = 2 * slope * levels.step,
            .sum_base = -slope * levels.step * @as(f32, @floatFromInt(levels.sum)),
            // Not zero, by which an infinite deviation would be no number.
            .slack = @max(@as(f32, @floatCast(slack)), std.math.floatMin(f32)),
        };
        const sum_max: f32 = @floatFromInt(kernels.query_levels * dimension);
        const are_moderate = isModerate(kernel.bias_weight) and isModerate(kernel.slack) and
            isModerate(kernel.sum_weight * sum_max) and @abs(base) <= moderate * moderate;
        if (!are_moderate) return null;
        kernels.agreementTables(tables, head_tables);
        return .{ .kernel = kernel, .head = headOf(slope, levels, length, square, head_tables) };
    }

    fn headOf(
        slope: f32,
        levels: kernels.QueryLevels,
        length: f64,
        square: f64,
        tables: []const u8,
    ) kernels.CodeHead {
        const half = @as(f32, kernels.query_levels - 1) / 2;
        // Four dimensions for each group of bytes.
        const head_length: f64 = @floatFromInt(@max(4, tables.len / 4));
        const weight = slope * levels.step;
        return .{
            .tables = tables.ptr,
            .bytes = tables.len,
            .bias_weight = slope * (levels.low + half * levels.step),
            .sum_weight = @floatCast(weight * length / head_length),
            .sum_base = @floatCast(-half * weight * length),
            .spread = @floatCast(@sqrt((length - head_length) / head_length)),
            // Not zero, for the same reason.
            .slack = @max(
                @as(f32, @floatCast(slope * head_deviations * @sqrt(square))),
                std.math.floatMin(f32),
            ),
        };
    }

    /// Both are nearly the same part of every rotated vector: √(π / 2) and √(π / 2 - 1).
    const scale_per_deviation = 1.66;
};
