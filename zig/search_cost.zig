//! What the plans of a search take, as a small model of a machine's memory: the chooser compares
//! its figures with each other, so only their ratios matter. Where they come from, and what they
//! choose: docs/decisions/0016-costs-of-plans.md.

const std = @import("std");
const codes = @import("codes.zig");
const format = @import("format.zig");
const CollectionState = @import("collection_state.zig").CollectionState;
const ExactScan = @import("exact_scan.zig").ExactScan;

/// Of one query, in nanoseconds.
pub const SearchCost = struct {
    /// One row in order: its vector, and its code.
    vector: f64,
    code: f64,
    /// One vector that is looked at because its code did not rule it out.
    look: f64,
    /// Of the query, before the first code.
    preparation: f64,

    /// `query_count` queries that look at the rows together.
    pub fn of(state: *const CollectionState, query_count: usize) SearchCost {
        const vector_bytes: f64 = @floatFromInt(vectorBytes(state));
        const code_bytes: f64 = @floatFromInt(codeBytes(state));
        const length: f64 = @floatFromInt(codes.dimensionFor(state.identity.dimension));
        const queries: f64 = @floatFromInt(query_count);
        const in_order = vector_bytes * read_ns_per_byte;
        return .{
            .vector = if (query_count >= ExactScan.tile_queries_min)
                tile_row_ns + vector_bytes * tile_ns_per_byte + in_order / queries
            else
                in_order,
            .code = code_bytes * code_ns_per_byte,
            .look = look_ns + vector_bytes * look_ns_per_byte,
            .preparation = length * preparation_ns_per_dimension,
        };
    }

    /// Whether the codes of `rows` rows are the faster way to the best `k` of them.
    pub fn favoursCodes(cost: *const SearchCost, rows: u64, k: u32) bool {
        const count: f64 = @floatFromInt(rows);
        const looks = looks_per_hit * @as(f64, @floatFromInt(k));
        const by_codes = cost.preparation + count * cost.code + looks * cost.look;
        return by_codes < count * cost.vector;
    }

    /// Whether the codes of `rows` rows have saved more than looking at `looks` vectors took.
    pub fn saves(cost: *const SearchCost, rows: u64, looks: u64) bool {
        const count: f64 = @floatFromInt(rows);
        return @as(f64, @floatFromInt(looks)) * cost.look < count * (cost.vector - cost.code);
    }

    const read_ns_per_byte = 0.065;
    const tile_ns_per_byte = 0.011;
    const tile_row_ns = 8;
    const code_ns_per_byte = 0.04;
    const look_ns = 800;
    const look_ns_per_byte = 0.3;
    const preparation_ns_per_dimension = 8;
    const looks_per_hit = 16;
};

pub fn vectorBytes(state: *const CollectionState) u64 {
    return state.vectorStride() + @sizeOf(format.RowEntry);
}

pub fn codeBytes(state: *const CollectionState) u64 {
    const code_dimension = codes.dimensionFor(state.identity.dimension);
    return format.codeBlockBytes(code_dimension) / format.code_block_rows;
}
