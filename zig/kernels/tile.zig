//! Distances between several queries and several rows. A row that was loaded serves a few queries,
//! and a query a few rows, so that the sums and not the loads keep the CPU busy.
//!
//! Each score has the bits that `dotBatch` and `l2Batch` give it: 32 lanes for each pair, each lane
//! summed in the order of the dimension. Those lanes do not fit the registers for more than a few
//! pairs, but they are independent of each other: the tile runs over its vectors once for each
//! register's worth of lanes, holds only those of all its pairs, and puts them together in the end.

const table = @import("table.zig");
const lanes = @import("lanes.zig");
const distance = @import("distance.zig");

const lane_count = lanes.lane_count;
const Register = lanes.Register;
const width = lanes.register_lanes;
const group_count = lane_count / width;

/// 24 sums of 32 registers, or 12 of 16: what is left holds the queries and a row.
const query_count_max = if (lanes.has(.avx) and !lanes.has(.avx512f)) 3 else 4;
const row_count_max = if (width == 16 or !is_x86) 6 else if (width == 8) 4 else 3;
const is_x86 = @import("builtin").cpu.arch == .x86_64;

pub fn Tile(comptime term: lanes.Term) type {
    return struct {
        pub fn run(tile: *const table.Tile) callconv(.c) void {
            if (tile.dimension < lane_count) return runShort(tile);
            var row: usize = 0;
            while (row + row_count_max <= tile.row_count) : (row += row_count_max) {
                allQueries(row_count_max, tile, row);
            }
            while (row < tile.row_count) : (row += 1) allQueries(1, tile, row);
        }

        fn runShort(tile: *const table.Tile) void {
            for (0..tile.query_count) |i| distance.Batch(term).run(
                tile.queries + i * tile.query_stride,
                tile.rows,
                tile.row_stride_bytes,
                tile.row_count,
                tile.dimension,
                tile.out + i * tile.out_stride,
            );
        }

        fn allQueries(comptime rows: usize, tile: *const table.Tile, row: usize) void {
            var query: usize = 0;
            while (query + query_count_max <= tile.query_count) : (query += query_count_max) {
                scores(query_count_max, rows, tile, query, row);
            }
            while (query < tile.query_count) : (query += 1) scores(1, rows, tile, query, row);
        }

        noinline fn scores(
            comptime queries: usize,
            comptime rows: usize,
            tile: *const table.Tile,
            first_query: usize,
            first_row: usize,
        ) void {
            var query: [queries][*]const f32 = undefined;
            inline for (&query, 0..) |*start, i| {
                start.* = tile.queries + (first_query + i) * tile.query_stride;
            }
            var row: [rows][*]align(1) const f32 = undefined;
            inline for (&row, 0..) |*start, i| {
                start.* = @ptrCast(tile.rows + (first_row + i) * tile.row_stride_bytes);
            }
            var groups: [group_count][queries * rows]Register = undefined;
            for (&groups, 0..) |*group, i| {
                group.* = sumsOfGroup(queries, rows, query, row, tile.dimension, i * width);
            }
            var sums: [queries * rows]Register = undefined;
            inline for (&sums, 0..) |*sum, i| sum.* = sumOfGroups(0, 1, &groups, i);
            const totals = lanes.treeSums(queries * rows, sums);
            inline for (0..queries) |i| {
                const out = tile.out + (first_query + i) * tile.out_stride + first_row;
                out[0..rows].* = totals[i * rows ..][0..rows].*;
            }
        }

        /// The lanes from `first` on, as many as a register has, of every pair.
        inline fn sumsOfGroup(
            comptime queries: usize,
            comptime rows: usize,
            query: [queries][*]const f32,
            row: [rows][*]align(1) const f32,
            dimension: usize,
            first: usize,
        ) [queries * rows]Register {
            var sums: [queries * rows]Register = @splat(@splat(0));
            const tail_length = dimension % lane_count;
            var at = first;
            while (at < dimension - tail_length) : (at += lane_count) {
                addAt(queries, rows, &sums, query, row, at, null);
            }
            if (tail_length != 0) {
                const mask: [lane_count]u32 = lanes.Tail.maskOf(dimension);
                const part: RegisterBits = mask[first..][0..width].*;
                addAt(queries, rows, &sums, query, row, dimension - lane_count + first, part);
            }
            return sums;
        }

        inline fn addAt(
            comptime queries: usize,
            comptime rows: usize,
            sums: *[queries * rows]Register,
            query: [queries][*]const f32,
            row: [rows][*]align(1) const f32,
            at: usize,
            mask: ?RegisterBits,
        ) void {
            var parts: [queries]Register = undefined;
            inline for (&parts, query) |*part, start| part.* = loadMasked(start, at, mask);
            inline for (row, 0..) |start, j| {
                const values = loadMasked(start, at, mask);
                inline for (parts, 0..) |part, i| {
                    const sum = &sums[i * rows + j];
                    sum.* = term.add(sum.*, part, values);
                }
            }
        }

        /// The groups `from`, `from + step`, … of one pair, added as `treeSum` adds their lanes.
        inline fn sumOfGroups(
            comptime from: usize,
            comptime step: usize,
            groups: anytype,
            comptime pair: usize,
        ) Register {
            if (step == group_count) return groups[from][pair];
            return sumOfGroups(from, step * 2, groups, pair) +
                sumOfGroups(from + step, step * 2, groups, pair);
        }
    };
}

const RegisterBits = @Vector(width, u32);

inline fn loadMasked(vector: [*]align(1) const f32, at: usize, mask: ?RegisterBits) Register {
    const values = lanes.loadRegister(vector, at);
    const bits = mask orelse return values;
    return @bitCast(@as(RegisterBits, @bitCast(values)) & bits);
}
