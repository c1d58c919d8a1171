//! What the plans of a search take, as a small model of a machine's memory: the chooser compares
//! its figures with each other, so only their ratios matter. Where they come from, and what they
//! choose: docs/decisions/0016-costs-of-plans.md.

const std = @import("std");
const codes = @import("codes.zig");
const format = @import("format.zig");
const search_query = @import("search_query.zig");
const CollectionState = @import("collection_state.zig").CollectionState;
/// Of one query, in nanoseconds.
pub const SearchCost = struct {
    /// One row in order: its vector, and its code.
    vector: f64,
    code: f64,
    /// One vector that is looked at because its code did not rule it out.
    look: f64,
    /// Of the query, before the first code.
    preparation: f64,
    /// The part of the rows that are wanted, and of the blocks of codes that have one of them.
    wanted: f64,
    wanted_blocks: f64,

    /// `query_count` queries that look together at `wanted_rows` of the rows.
    pub fn of(state: *const CollectionState, query_count: usize, wanted_rows: u64) SearchCost {
        const vector_bytes: f64 = @floatFromInt(vectorBytes(state));
        const code_bytes: f64 = @floatFromInt(codeBytes(state));
        const length: f64 = @floatFromInt(codes.dimensionFor(state.identity.dimension));
        const queries: f64 = @floatFromInt(query_count);
        const in_order = vector_bytes * read_ns_per_byte;
        const live: f64 = @floatFromInt(@max(1, state.live_rows));
        const wanted = @min(1, @as(f64, @floatFromInt(wanted_rows)) / live);
        return .{
            .vector = if (query_count >= search_query.tile_queries_min)
                tile_row_ns + vector_bytes * tile_ns_per_byte + in_order / queries
            else
                in_order,
            .code = code_bytes * code_ns_per_byte,
            .look = look_ns + vector_bytes * look_ns_per_byte,
            .preparation = length * preparation_ns_per_dimension,
            .wanted = wanted,
            // As if they were strewn at random; more of them are in one block where they are not.
            .wanted_blocks = 1 - std.math.pow(f64, 1 - wanted, format.code_block_rows),
        };
    }

    /// Of each row, for comparing the vectors of those that are wanted.
    fn compared(cost: *const SearchCost) f64 {
        return @min(cost.vector, cost.wanted * cost.look);
    }

    /// In how many rows there are so many wanted ones.
    pub fn rowsWith(cost: *const SearchCost, wanted_rows: u64) u64 {
        const count = @as(f64, @floatFromInt(wanted_rows)) / @max(cost.wanted, 1e-9);
        return @intFromFloat(count);
    }

    /// Whether of so many rows in order the wanted ones are looked at one by one.
    pub fn isSparse(cost: *const SearchCost, wanted_rows: u32, rows: u32) bool {
        const wanted: f64 = @floatFromInt(wanted_rows);
        return wanted * cost.look < @as(f64, @floatFromInt(rows)) * cost.vector;
    }

    /// Whether the codes of `rows` rows are the faster way to the best `k` of them.
    pub fn favoursCodes(cost: *const SearchCost, rows: u64, k: u32) bool {
        const count: f64 = @floatFromInt(rows);
        const looks = @min(looks_per_hit * @as(f64, @floatFromInt(k)), cost.wanted * count);
        const by_codes = cost.preparation + count * cost.wanted_blocks * cost.code +
            looks * cost.look;
        return by_codes < count * cost.compared();
    }

    /// Whether scanning the codes of `scanned` rows, in blocks with the wanted ones of `passed`,
    /// has saved more than looking at `looks` vectors took.
    pub fn saves(cost: *const SearchCost, passed: u64, scanned: u64, looks: u64) bool {
        const others = @as(f64, @floatFromInt(passed)) * cost.compared();
        const codes_ns = @as(f64, @floatFromInt(scanned)) * cost.code;
        return @as(f64, @floatFromInt(looks)) * cost.look < others - codes_ns;
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
