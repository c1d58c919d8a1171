//! Rows to upsert, as callers pass them: columns of keys, vectors and what else a row has.

const arguments = @import("arguments.zig");
const eviction = @import("eviction.zig");
const Access = @import("access.zig").Access;
const Error = @import("errors.zig").Error;
const Row = @import("appender.zig").Row;

/// All of them or none. A later row with the same key wins.
pub const Batch = struct {
    /// The keys' UTF-8, one after the other.
    keys: []const u8,
    key_lens: []const u32,
    /// rows × dimension.
    vectors: []const f32,
    metadata: []const u8 = &.{},
    /// Empty: no row has metadata.
    metadata_lens: []const u32 = &.{},
    /// Milliseconds since 1970 at which each row is over, 0 for never. Empty: never.
    expiries: []const f64 = &.{},
    /// Empty: 0 of each row.
    costs: []const u32 = &.{},

    pub fn count(batch: *const Batch) usize {
        return batch.key_lens.len;
    }

    /// About what its rows take in the file.
    pub fn bytes(batch: *const Batch, dimension: u32) u64 {
        return batch.keys.len + batch.metadata.len + eviction.bytesOf(batch.count(), dimension);
    }

    /// Everything is checked before anything is written, and measured on the way.
    pub fn check(batch: *const Batch, access: *const Access, inverse_norms: []f32) Error!void {
        const dimension = access.dimension();
        try arguments.checkKeys(access, batch.keys, batch.key_lens);
        if (batch.vectors.len != batch.count() * dimension) return access.fail(
            error.Dimension,
            "found {d} numbers for {d} vectors, expected {d} for each",
            .{ batch.vectors.len, batch.count(), dimension },
        );
        if (batch.metadata_lens.len > 0) {
            var total: usize = 0;
            for (batch.metadata_lens) |len| {
                try arguments.checkMetadata(access, len);
                total += len;
            }
            if (batch.metadata_lens.len != batch.count() or total != batch.metadata.len) {
                return access.fail(
                    error.InvalidArgument,
                    "the metadata's lengths do not match its bytes",
                    .{},
                );
            }
        }
        for (inverse_norms, 0..) |*inverse_norm, i| {
            const vector = batch.vectors[i * dimension ..][0..dimension];
            inverse_norm.* = try arguments.checkVector(access, vector, i);
        }
    }

    /// One after the other; the batch was checked, which has measured `inverse_norms`.
    pub fn rows(batch: *const Batch, dimension: u32, inverse_norms: []const f32) Rows {
        return .{ .batch = batch, .dimension = dimension, .inverse_norms = inverse_norms };
    }

    pub const Rows = struct {
        batch: *const Batch,
        dimension: u32,
        inverse_norms: []const f32,
        number: usize = 0,
        key_start: usize = 0,
        metadata_start: usize = 0,

        pub fn next(iterator: *Rows) ?Row {
            const batch = iterator.batch;
            const i = iterator.number;
            if (i == batch.count()) return null;
            const key_len = batch.key_lens[i];
            const metadata_len = if (batch.metadata_lens.len > 0) batch.metadata_lens[i] else 0;
            const row: Row = .{
                .key = batch.keys[iterator.key_start..][0..key_len],
                .metadata = batch.metadata[iterator.metadata_start..][0..metadata_len],
                .vector = batch.vectors[i * iterator.dimension ..][0..iterator.dimension],
                .inverse_norm = iterator.inverse_norms[i],
                .expiry_ms = if (batch.expiries.len > 0) @intFromFloat(batch.expiries[i]) else 0,
                .cost = if (batch.costs.len > 0) batch.costs[i] else 0,
            };
            iterator.number += 1;
            iterator.key_start += key_len;
            iterator.metadata_start += metadata_len;
            return row;
        }
    };
};
