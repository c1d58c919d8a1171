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

/// How often `hadamard` flips and transforms.
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

/// What `validate` finds.
pub const Validity = enum(u32) {
    ok = 0,
    /// Some value is an infinity or not a number.
    not_finite = 1,
    /// Every value is zero, so the vector has no direction.
    all_zero = 2,
};

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
    /// tier, so that a norm does not depend on the machine that computed it.
    sumSquares: *const fn (vector: [*]const f32, dimension: usize) callconv(.c) f64,

    /// Looks at every value once; see `Validity`.
    validate: *const fn (vector: [*]const f32, dimension: usize) callconv(.c) Validity,

    /// Rotates a vector in place by the random rotation of `signWords(dimension)` words. The same
    /// bits on every tier. With k = ⌊log₂ dimension⌋, u = 2^-24 and c = 4 · (k + 5) · u the result
    /// is within c · |vector| of the exact rotation, for every rounding of a level changes its
    /// values by at most u times their length.
    hadamard: *const fn (vector: [*]f32, dimension: usize, signs: [*]const u32) callconv(.c) void,

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
