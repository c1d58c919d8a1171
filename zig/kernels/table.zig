//! The shape of a kernel tier: what an object built from tier_object.zig offers and what the core
//! calls. Only plain pointers and lengths cross this boundary, never a SIMD vector, because the
//! two sides are compiled for different CPUs.
//!
//! Every number is finite where a kernel takes it from a stored vector or a checked query. Kernels
//! do not crash on other values, but say nothing about the result.

const std = @import("std");

/// The largest dimension that a kernel takes. The error bounds below hold up to here.
pub const dimension_max = 65536;

/// The sums of `dotBatch` and `l2Batch` run in this many lanes on every CPU: element i of a vector
/// is added to lane i % 32 (the last `dimension % 32` elements to the highest lanes), and the lanes
/// are added as a balanced tree. So a score depends neither on the row's place in its batch nor on
/// the width of the CPU's registers.
pub const lane_count = 32;

/// How often `hadamard` flips and transforms. Of 2,000 skewed vectors of 384 dimensions 137 were
/// beyond 1.9 deviations after two rounds, 32 after three, 19 after four.
pub const rotation_rounds = 4;

/// The largest power of two that is not above `dimension`: how many values one round transforms.
pub fn transformSize(dimension: usize) usize {
    return std.math.floorPowerOfTwo(usize, dimension);
}

/// The random words of one rotation. Those of a round follow those of the round before; bit i % 32
/// of word i / 32 flips value i of the part that the round transforms.
pub fn signWords(dimension: usize) usize {
    return rotation_rounds * ((transformSize(dimension) + 31) / 32);
}

/// A binary code's words of 64 bits: bit i % 64 of word i / 64 is set where the sign bit of value i
/// is clear, and bits from `dimension` on are zero.
pub fn codeWords(dimension: usize) usize {
    return (dimension + 63) / 64;
}

/// The values of a query are rounded to one of 16 levels, which are held in 4 bit planes.
pub const query_planes = 4;
pub const query_levels = 1 << query_planes;

/// The words of one bit plane: those of a code, and zeros up to the longest register.
pub fn planeWords(dimension: usize) usize {
    return (codeWords(dimension) + 7) / 8 * 8;
}

/// Codes are summed up in groups of this many, where there are as many.
pub const code_group = 16;

/// A block has this many codes.
pub const block_codes = 32;

/// In a block, each four dimensions have these many bytes: byte i has the four bits of code i below
/// those of code i + 16. In a query's tables, byte n of as many is the sum of those of four levels
/// whose bits are set in n.
pub const group_bytes = 16;

/// Of one block of codes, and of a query's tables.
pub fn blockBytes(dimension: usize) usize {
    return codeWords(dimension) * 64 / 4 * group_bytes;
}

/// The functions of one tier.
///
/// Accuracy, with u = 2^-24 and d = dimension: a dot product is within
/// (d / 32 + 8) · u · Σ|qᵢ·rᵢ| of the exact one, and a squared distance within
/// (d / 32 + 10) · u · d² of the exact d². Exceptions are results outside the range of normal f32
/// numbers: a tiny one may lose digits, one that is too large is an infinity or not a number.
pub const KernelTable = extern struct {
    /// As in `Tier`, for reports.
    name: [*:0]const u8,

    /// out[i] = Σ query · row i, for `row_count` rows that start `stride_bytes` apart.
    /// Rows may start anywhere; 64-byte alignment is fastest. Reads exactly the `dimension` values
    /// of each row, never the padding behind them.
    dotBatch: *const BatchFn,

    /// out[i] = Σ (query - row i)², the squared Euclidean distance; otherwise as `dotBatch`.
    l2Batch: *const BatchFn,

    /// out[q · out_stride + r] = Σ query q · row r: each query of a block with each row of a panel.
    /// Every score has the bits that `dotBatch` gives it.
    dotTile: *const TileFn,

    /// The same with the bits of `l2Batch`.
    l2Tile: *const TileFn,

    /// Σ vector², accumulated in f64: the relative error is below 2^-40. The same bits on every
    /// tier, so that a norm does not depend on the machine that computed it. Values may be
    /// anything: the sum is finite only where all of them are, and zero only where all of them are.
    sumSquares: *const fn (vector: [*]const f32, dimension: usize) callconv(.c) f64,

    /// Rotates a vector by the random rotation of `signWords(dimension)` words: `vector_len`
    /// values, each multiplied with `scale`, and zeros up to `dimension`. `out` may be where they
    /// are. The same bits on every tier. With k = ⌊log₂ dimension⌋, u = 2^-24 and
    /// c = rounds · (k + 5) · u the result is within c · |vector| of the exact rotation, for every
    /// rounding of a level changes its values by at most u times their length.
    hadamard: *const fn (
        vector: [*]align(1) const f32,
        vector_len: usize,
        scale: f32,
        out: [*]f32,
        dimension: usize,
        signs: [*]const u32,
    ) callconv(.c) void,

    /// The code of vector - centre, both rotated, with what an estimate needs; see `CodeFactors`.
    /// `code` has `codeWords(dimension)` words. The same bits on every tier.
    encode: *const fn (
        vector: [*]const f32,
        centre: [*]const f32,
        dimension: usize,
        code: [*]u64,
        factors: *CodeFactors,
    ) callconv(.c) void,

    /// A rotated query's levels: `planes` has 4 · `planeWords(dimension)` words, the plane of the
    /// lowest bit first. The same bits on every tier.
    quantizeQuery: *const fn (
        query: [*]const f32,
        dimension: usize,
        planes: [*]u64,
        levels: *QueryLevels,
    ) callconv(.c) void,

    /// out[i] = the sum of the query's levels where code i has a one, exactly. Codes may start
    /// anywhere; nothing is read before the first or behind the end of the last, but the bytes
    /// between codes are. `planes` is aligned to 64 bytes for speed only.
    planesDot: *const fn (
        planes: [*]const u64,
        codes: [*]const u8,
        stride_bytes: usize,
        row_count: usize,
        dimension: usize,
        out: [*]u32,
    ) callconv(.c) void,

    /// Makes a block, of `blockBytes(dimension)` bytes, of at most 32 codes; others are zeros.
    packBlock: *const fn (
        codes: [*]const u8,
        stride_bytes: usize,
        row_count: usize,
        dimension: usize,
        block: [*]u8,
    ) callconv(.c) void,

    /// A query's tables, of `blockBytes(dimension)` bytes, from its planes.
    lookupTables: *const fn (
        planes: [*]const u64,
        dimension: usize,
        tables: [*]u8,
    ) callconv(.c) void,

    /// Estimates the score of every row, see `CodeQuery`, and writes the rows whose score may reach
    /// `threshold` with their estimates, in the order of the rows. Returns how many. Both outputs
    /// have room for all rows. The same bits on every tier.
    estimateCodes: *const EstimateFn,

    /// The same for blocks, with the same results. What the last block has behind its last row
    /// does not matter.
    estimateBlocks: *const EstimateFn,

    /// out[i] = Σ query · row i of bytes with signs, exactly; rows otherwise as in `dotBatch`.
    dotInt8: *const fn (
        query: [*]const i8,
        rows: [*]const i8,
        stride_bytes: usize,
        row_count: usize,
        dimension: usize,
        out: [*]i32,
    ) callconv(.c) void,

    /// Copies `len` bytes between regions that do not overlap.
    copy: *const fn (to: [*]u8, from: [*]const u8, len: usize) callconv(.c) void,

    /// Writes `len` zeros.
    zero: *const fn (to: [*]u8, len: usize) callconv(.c) void,

    /// XXH3, seeded; the same number on every tier.
    checksum: *const fn (seed: u64, input: [*]const u8, len: usize) callconv(.c) u64,
};

pub const BatchFn = fn (
    query: [*]const f32,
    rows: [*]const u8,
    stride_bytes: usize,
    row_count: usize,
    dimension: usize,
    out: [*]f32,
) callconv(.c) void;

/// What `dotTile` and `l2Tile` work on. Every row is read by all queries before the next few rows
/// are: rows may come from memory, while the queries should fit the second-level cache.
pub const Tile = extern struct {
    queries: [*]const f32,
    /// From one query to the next, in values.
    query_stride: usize,
    query_count: usize,
    /// As in `dotBatch`.
    rows: [*]const u8,
    row_stride_bytes: usize,
    row_count: usize,
    dimension: usize,
    out: [*]f32,
    /// From the scores of one query to those of the next, in values; at least `row_count`.
    out_stride: usize,
};

pub const TileFn = fn (tile: *const Tile) callconv(.c) void;

/// What is kept of a vector x = o - c of d values besides its code, after RaBitQ (Gao and Long,
/// "RaBitQ: Quantizing High-Dimensional Vectors with a Theoretical Error Bound for Approximate
/// Nearest Neighbor Search", SIGMOD 2024). With the signs s, each 1 or -1, the code stands for the
/// unit vector s / √d, whose cosine with x is a = Σ|xᵢ| / (√d · |x|). For any q
///
///     ⟨x, q⟩ ≈ |x| · ⟨s / √d, q⟩ / a = scale · Σ sᵢ·qᵢ    where scale = Σ xᵢ² / Σ |xᵢ|
///
/// which is unbiased over random rotations. The error is at most ε · deviation · |q| with a
/// probability that grows fast with ε (1.9 is the paper's choice, hardly ever exceeded), where
///
///     deviation = |x| · √((1 - a²) / a²) / √(d - 1) = √((d · scale² - |x|²) / (d - 1))
pub const CodeFactors = extern struct {
    scale: f32,
    /// scale · Σ sᵢ, by which a query's lowest level counts.
    bias: f32,
    deviation: f32,
    /// |x|², for the caller's offset.
    square_sum: f32,
    /// ⟨o, c⟩, likewise. Within (d / 32 + 8) · u · Σ|oᵢ·cᵢ| of the exact one.
    centre_product: f32,
};

/// The value of level n is `low` + n · `step`; each value of the query is within step / 2 of its
/// level's, up to rounding.
pub const QueryLevels = extern struct {
    low: f32,
    step: f32,
    /// Of the levels of all values.
    sum: u32,
};

/// A query against codes. With the sum S of its levels where a code has ones,
///
///     Σ sᵢ·qᵢ ≈ low · Σ sᵢ + step · (2 · S - sum)
///
/// and the estimated score, of which larger is better, is
///
///     offset + base + bias · bias_weight + scale · (S · sum_weight + sum_base)
///
/// With slope · ⟨x, q⟩ wanted, bias_weight = slope · low, sum_weight = 2 · slope · step and
/// sum_base = -slope · step · sum. For example, with the centre c, x = o - c and q the rotated
/// difference of the query p and c:
///
/// * ⟨o, p⟩: offset = ⟨o, c⟩, base = ⟨c, p⟩ - |c|², slope = 1
/// * -|o - p|²: offset = -|x|², base = -|q|², slope = 2
///
/// A row passes where the estimate and deviation · slack together reach the threshold, with
/// slack = slope · ε · |q|, or 0 to compare the estimate itself. Rounding the query to levels adds
/// an error of its own, with a deviation of about scale · step · √(d / 12): a fifth of the other.
pub const CodeQuery = extern struct {
    /// For `estimateCodes`.
    planes: ?[*]const u64,
    /// For `estimateBlocks`.
    tables: ?[*]const u8,
    base: f32,
    bias_weight: f32,
    sum_weight: f32,
    sum_base: f32,
    slack: f32,
    /// For `estimateBlocks`, or null: what the first bytes of a block say, before the others are
    /// read.
    head: ?*const CodeHead = null,
};

/// A query against the heads of blocks, which are their first dimensions. The rotation makes these
/// a sample of all. With the sum A of the levels n where a code has ones, and of 15 - n where it
/// has zeros, Σ sᵢ·(nᵢ - 7.5) = A - 7.5 · p over the p dimensions of the head, so
///
///     offset + base + bias · bias_weight + scale · (A · sum_weight + sum_base)
///
/// estimates the score with bias_weight = slope · (low + 7.5 · step), sum_base = -7.5 · slope ·
/// step · d and sum_weight = slope · step · d / p. Its deviation from the score is |q| times
///
///     √(deviation² + (scale · spread)²)    where spread = √((d - p) / p)
///
/// as that of a sum of d numbers that is reckoned from p of them, drawn without putting back. Of
/// squares nothing is left where vectors are very short, so the larger of both and √2 - 1 of the
/// other stand for the root, which is never more. The rest of a block is read only where `slack`
/// of this reaches the threshold, for one of its rows.
pub const CodeHead = extern struct {
    /// `agreementTables` of the head.
    tables: [*]const u8,
    /// A multiple of `head_step_bytes`.
    bytes: usize,
    bias_weight: f32,
    sum_weight: f32,
    sum_base: f32,
    spread: f32,
    slack: f32,
};

/// What the widest registers take at once.
pub const head_step_bytes = 256;

/// Codes or blocks of them at a stride; the factors of the 32 rows of a block lie side by side.
pub const CodeRows = extern struct {
    codes: [*]const u8,
    /// From one code, or block, to the next.
    stride_bytes: usize,
    /// From the factors of one block of rows to those of the next, in values; 32 where each factor
    /// has an array of its own, as those of codes do.
    factor_stride: usize,
    row_count: usize,
    dimension: usize,
    offsets: [*]const f32,
    scales: [*]const f32,
    biases: [*]const f32,
    deviations: [*]const f32,
    /// Of each block, bit r is set where its row r is wanted: no other one is among the results.
    /// Null: all are. Of blocks only.
    wanted: ?[*]const u32 = null,
};

pub const EstimateFn = fn (
    query: *const CodeQuery,
    rows: *const CodeRows,
    threshold: f32,
    out_rows: [*]u32,
    out_estimates: [*]f32,
) callconv(.c) usize;
