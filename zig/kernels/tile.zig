//! Distances between several queries and several rows. A row that was loaded serves a few queries,
//! and a query a few rows, so that the sums and not the loads keep the CPU busy.
//!
//! Each score has the bits that `dotBatch` and `l2Batch` give it: 32 lanes for each pair, each lane
//! summed in the order of the dimension. Those lanes do not fit the registers for more than a few
//! pairs, but they are independent of each other: a tile runs over its vectors once for each
//! register's worth of lanes, holds only those of all its pairs, and puts them together in the end.
//!
//! A few rows stay in the first-level cache while several tiles of queries pass over them, a part
//! of the dimension at a time; the sums wait in memory between the parts. What is left over at the
//! edges of a block is the batch kernels', for the bits are the same.

const builtin = @import("builtin");
const table = @import("table.zig");
const lanes = @import("lanes.zig");
const distance = @import("distance.zig");

const lane_count = lanes.lane_count;
const Register = lanes.Register;
const RegisterBits = @Vector(width, u32);
const width = lanes.register_lanes;
const group_count = lane_count / width;

const Shape = struct { queries: usize, rows: usize };

/// 24 sums of 32 registers, or 12 of 16: what is left holds the queries and a row.
const shape: Shape = if (lanes.has(.avx512f) or builtin.cpu.arch != .x86_64)
    .{ .queries = 4, .rows = 6 }
else if (lanes.has(.avx))
    .{ .queries = 3, .rows = 4 }
else
    .{ .queries = 4, .rows = 3 };

const pair_count = shape.queries * shape.rows;

/// Tiles whose sums wait together: 12 KB.
const tiles_max = 4;

/// Values of the dimension that the tiles take in turn: a multiple of 32. The rows' parts and one
/// tile's of the queries have 20 KB.
const part_length = 512;

pub fn Tile(comptime term: lanes.Term) type {
    return struct {
        const Groups = [group_count][pair_count]Register;

        pub fn run(tile: *const table.Tile) callconv(.c) void {
            const is_short = tile.dimension < lane_count;
            const rows = if (is_short) 0 else tile.row_count / shape.rows * shape.rows;
            const queries = tile.query_count / shape.queries * shape.queries;
            var row: usize = 0;
            while (row < rows) : (row += shape.rows) {
                var query: usize = 0;
                while (query < queries) : (query += tiles_max * shape.queries) {
                    const tiles = @min(tiles_max, (queries - query) / shape.queries);
                    scores(tile, query, row, tiles);
                }
                for (queries..tile.query_count) |i| batch(tile, i, row, shape.rows);
            }
            for (0..tile.query_count) |i| batch(tile, i, rows, tile.row_count - rows);
        }

        fn batch(tile: *const table.Tile, query: usize, first_row: usize, row_count: usize) void {
            distance.Batch(term).run(
                tile.queries + query * tile.query_stride,
                tile.rows + first_row * tile.row_stride_bytes,
                tile.row_stride_bytes,
                row_count,
                tile.dimension,
                tile.out + query * tile.out_stride + first_row,
            );
        }

        fn scores(
            tile: *const table.Tile,
            first_query: usize,
            first_row: usize,
            tiles: usize,
        ) void {
            var waiting: [tiles_max]Groups = undefined;
            var at: usize = 0;
            while (at < tile.dimension) : (at += part_length) {
                const end = @min(at + part_length, tile.dimension);
                for (waiting[0..tiles], 0..) |*groups, i| {
                    const query = first_query + i * shape.queries;
                    addPart(tile, groups, query, first_row, at, end);
                }
            }
            for (waiting[0..tiles], 0..) |*groups, i| {
                write(tile, groups, first_query + i * shape.queries, first_row);
            }
        }

        fn addPart(
            tile: *const table.Tile,
            groups: *Groups,
            first_query: usize,
            first_row: usize,
            start: usize,
            end: usize,
        ) void {
            var query: [shape.queries][*]align(1) const f32 = undefined;
            inline for (&query, first_query..) |*vector, i| {
                vector.* = tile.queries + i * tile.query_stride;
            }
            var row: [shape.rows][*]align(1) const f32 = undefined;
            inline for (&row, first_row..) |*vector, i| {
                vector.* = @ptrCast(tile.rows + i * tile.row_stride_bytes);
            }
            const whole_end = end - end % lane_count;
            for (groups, 0..) |*group, i| {
                const first = i * width;
                var sums: [pair_count]Register = @splat(@splat(0));
                if (start != 0) inline for (&sums, group) |*sum, before| {
                    sum.* = before;
                };
                var at = start + first;
                while (at < whole_end) : (at += lane_count) {
                    addAt(&sums, query, row, at, null);
                }
                if (whole_end != end) {
                    const mask: [lane_count]u32 = lanes.Tail.maskOf(end);
                    const part: RegisterBits = mask[first..][0..width].*;
                    addAt(&sums, query, row, end - lane_count + first, part);
                }
                inline for (group, sums) |*after, sum| after.* = sum;
            }
        }

        inline fn addAt(
            sums: *[pair_count]Register,
            query: [shape.queries][*]align(1) const f32,
            row: [shape.rows][*]align(1) const f32,
            at: usize,
            mask: ?RegisterBits,
        ) void {
            var parts: [shape.queries]Register = undefined;
            inline for (&parts, query) |*part, vector| part.* = loadMasked(vector, at, mask);
            inline for (row, 0..) |vector, j| {
                const values = loadMasked(vector, at, mask);
                inline for (parts, 0..) |part, i| {
                    const sum = &sums[i * shape.rows + j];
                    sum.* = term.add(sum.*, part, values);
                }
            }
        }

        fn write(
            tile: *const table.Tile,
            groups: *const Groups,
            first_query: usize,
            first_row: usize,
        ) void {
            var sums: [pair_count]Register = undefined;
            inline for (&sums, 0..) |*sum, pair| sum.* = sumOfGroups(0, 1, groups, pair);
            const totals = lanes.treeSums(pair_count, sums);
            inline for (0..shape.queries) |i| {
                const out = tile.out + (first_query + i) * tile.out_stride + first_row;
                out[0..shape.rows].* = totals[i * shape.rows ..][0..shape.rows].*;
            }
        }

        /// The groups `from`, `from + step`, … of one pair, added as `treeSum` adds their lanes.
        inline fn sumOfGroups(
            comptime from: usize,
            comptime step: usize,
            groups: *const Groups,
            comptime pair: usize,
        ) Register {
            if (step == group_count) return groups[from][pair];
            return sumOfGroups(from, step * 2, groups, pair) +
                sumOfGroups(from + step, step * 2, groups, pair);
        }
    };
}

inline fn loadMasked(vector: [*]align(1) const f32, at: usize, mask: ?RegisterBits) Register {
    const values = lanes.loadRegister(vector, at);
    const bits = mask orelse return values;
    return @bitCast(@as(RegisterBits, @bitCast(values)) & bits);
}
