//! What close means: the three metrics, as a fast estimate from a kernel's single-precision result
//! and as the exact score in double precision.

const std = @import("std");
const kernels = @import("kernels/kernels.zig");
const top_k = @import("top_k.zig");

/// The numbers are written to disk.
pub const Metric = enum(u32) {
    /// Dot product of the normalised vectors, in [-1, 1]; larger is closer.
    cosine = 0,
    /// Dot product; larger is closer.
    dot = 1,
    /// Euclidean distance; smaller is closer.
    l2 = 2,

    pub fn order(metric: Metric) top_k.Order {
        return if (metric == .l2) .smaller_is_better else .larger_is_better;
    }
};

/// 1 / Euclidean norm, 0 for the zero vector.
pub fn inverseNorm(vector: []const f32) f32 {
    return inverseRoot(kernels.active().sumSquares(vector.ptr, vector.len));
}

/// The same from the sum of the vector's squares.
pub fn inverseRoot(square_sum: f64) f32 {
    return if (square_sum == 0) 0 else @floatCast(1 / @sqrt(square_sum));
}

pub const Scorer = struct {
    metric: Metric,
    query: []const f32,
    threshold: ?f32,
    query_norm: f64,
    inverse_query_norm: f32,
    /// Bound of a dot product's error, as a share of the product of both norms (kernels/table.zig).
    error_share: f32,

    pub fn init(metric: Metric, query: []const f32, threshold: ?f32) Scorer {
        const norm = @sqrt(kernels.active().sumSquares(query.ptr, query.len));
        const unit = 1.0 / @as(f32, 1 << 24);
        return .{
            .metric = metric,
            .query = query,
            .threshold = threshold,
            .query_norm = norm,
            .inverse_query_norm = inverseNorm(query),
            .error_share = (@as(f32, @floatFromInt(query.len)) / 32 + 12) * unit,
        };
    }

    /// The score from a kernel's `raw` result; null where single precision cannot hold what it
    /// takes to compute it, and only `exact` will do.
    pub fn estimate(scorer: *const Scorer, raw: f32, inverse_norm: f32) ?f32 {
        switch (scorer.metric) {
            .cosine => {
                const scale = scorer.inverse_query_norm * inverse_norm;
                const is_in_range = scale > scale_min and scale < scale_max;
                if (!is_in_range or !std.math.isFinite(raw)) return null;
                return std.math.clamp(raw * scale, -1, 1);
            },
            .dot => return if (std.math.isFinite(raw)) raw else null,
            .l2 => {
                if (raw == 0) return 0;
                return if (raw > square_min and std.math.isFinite(raw)) @sqrt(raw) else null;
            },
        }
    }
    const scale_min = 1e-30;
    const scale_max = 1e18;
    const square_min = 1e-30;

    /// `vector` has the query's length. Sums run in lanes that every CPU adds up in one order.
    pub fn exact(scorer: *const Scorer, vector: []const f32) f32 {
        var sums: Lanes = @splat(0);
        var square_sums: Lanes = @splat(0);
        var at: usize = 0;
        while (at < vector.len) : (at += lane_count) {
            const q = wideAt(scorer.query, at);
            const r = wideAt(vector, at);
            if (scorer.metric == .l2) {
                sums += (q - r) * (q - r);
            } else {
                sums += q * r;
                square_sums += r * r;
            }
        }
        const sum = treeSum(sums);
        const squares = treeSum(square_sums);
        return switch (scorer.metric) {
            .cosine => @floatCast(std.math.clamp(
                sum / (scorer.query_norm * @sqrt(squares)),
                -1,
                1,
            )),
            .dot => finite(sum),
            .l2 => finite(@sqrt(sum)),
        };
    }

    /// Whether a row of this estimate may reach the threshold once its score is exact.
    pub fn mayPass(scorer: *const Scorer, score: f32, inverse_norm: f32) bool {
        const threshold = scorer.threshold orelse return true;
        return switch (scorer.metric) {
            .cosine => score >= threshold - scorer.error_share,
            .dot => dot: {
                const query_norm: f32 = @floatCast(scorer.query_norm);
                const slack = scorer.error_share * query_norm / inverse_norm;
                break :dot inverse_norm == 0 or score >= threshold - slack;
            },
            .l2 => score <= threshold * (1 + scorer.error_share) + std.math.floatMin(f32),
        };
    }

    /// At least this close.
    pub fn passes(scorer: *const Scorer, score: f32) bool {
        const threshold = scorer.threshold orelse return true;
        return if (scorer.metric == .l2) score <= threshold else score >= threshold;
    }
};

const lane_count = 8;
const Lanes = @Vector(lane_count, f64);

/// The values from `at` on, with zeros behind the last one.
inline fn wideAt(values: []const f32, at: usize) Lanes {
    if (at + lane_count <= values.len) {
        const whole: @Vector(lane_count, f32) = values[at..][0..lane_count].*;
        return @floatCast(whole);
    }
    var padded: [lane_count]f32 = @splat(0);
    @memcpy(padded[0 .. values.len - at], values[at..]);
    return @floatCast(@as(@Vector(lane_count, f32), padded));
}

fn treeSum(lanes: Lanes) f64 {
    const parts: [lane_count]f64 = lanes;
    const low = (parts[0] + parts[4]) + (parts[2] + parts[6]);
    const high = (parts[1] + parts[5]) + (parts[3] + parts[7]);
    return low + high;
}

/// A score is a number that JSON can hold, also where single precision overflows.
fn finite(value: f64) f32 {
    const largest = std.math.floatMax(f32);
    return @floatCast(std.math.clamp(value, -largest, largest));
}
