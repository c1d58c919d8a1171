//! From codes to the few rows that may be near a query. Sums of one group of rows become estimates
//! while they are in registers, are compared with the threshold there, and only what passes is
//! written: a scan writes no number for a row that it rejects.
//!
//! The operations of an estimate are the same for every row and never fused, so it has the same
//! bits on every tier.

const std = @import("std");
const table = @import("table.zig");
const code_blocks = @import("code_blocks.zig");
const CodeView = @import("code_sums.zig").CodeView;

pub fn estimateCodes(
    query: *const table.CodeQuery,
    rows: *const table.CodeRows,
    threshold: f32,
    out_rows: [*]u32,
    out_estimates: [*]f32,
) callconv(.c) usize {
    const view: CodeView = .init(
        query.planes.?,
        rows.codes,
        rows.stride_bytes,
        rows.row_count,
        rows.dimension,
    );
    var survivors: Survivors = .{ .rows = out_rows, .estimates = out_estimates };
    var row: usize = 0;
    while (row + table.code_group <= rows.row_count) : (row += table.code_group) {
        const sums = view.sums(table.code_group, row);
        survivors.add(table.code_group, query, rows, threshold, row, row, sums, all);
    }
    while (row < rows.row_count) : (row += 1) {
        survivors.add(1, query, rows, threshold, row, row, view.sums(1, row), all);
    }
    return survivors.count;
}

pub fn estimateBlocks(
    query: *const table.CodeQuery,
    rows: *const table.CodeRows,
    threshold: f32,
    out_rows: [*]u32,
    out_estimates: [*]f32,
) callconv(.c) usize {
    const block_bytes = table.blockBytes(rows.dimension);
    var survivors: Survivors = .{ .rows = out_rows, .estimates = out_estimates };
    var heads: Heads = .{};
    var first: usize = 0;
    while (first < rows.row_count) : (first += table.block_codes) {
        const number = first / table.block_codes;
        const block = rows.codes + number * rows.stride_bytes;
        const at = number * rows.factor_stride;
        const wanted = if (rows.wanted) |blocks| blocks[number] else all;
        if (wanted == 0) continue;
        if (query.head) |head| {
            const is_full = first + table.block_codes <= rows.row_count;
            const is_out = is_full and
                heads.ruleOut(query, head, rows, threshold, block, at, wanted);
            if (is_out) continue;
        }
        const ahead = code_blocks.ahead_bytes;
        const sums = code_blocks.sumsOfBlock(query.tables.?, block, block_bytes, ahead);
        const used = @min(table.block_codes, rows.row_count - first);
        var i: usize = 0;
        while (i + table.code_group <= used) : (i += table.code_group) {
            const group = sums[i..][0..table.code_group].*;
            const part = wanted >> @intCast(i);
            survivors.add(table.code_group, query, rows, threshold, first + i, at + i, group, part);
        }
        while (i < used) : (i += 1) {
            const one = sums[i..][0..1].*;
            const part = wanted >> @intCast(i);
            survivors.add(1, query, rows, threshold, first + i, at + i, one, part);
        }
    }
    return survivors.count;
}

const all: u32 = std.math.maxInt(u32);

/// Rules out blocks by their heads, as long as that saves more than it takes.
const Heads = struct {
    seen: usize = 0,
    left: usize = 0,

    const Values = @Vector(table.block_codes, f32);

    fn ruleOut(
        heads: *Heads,
        query: *const table.CodeQuery,
        head: *const table.CodeHead,
        rows: *const table.CodeRows,
        threshold: f32,
        block: [*]const u8,
        at: usize,
        wanted: u32,
    ) bool {
        if (2 * heads.left > heads.seen + 8) return false;
        heads.seen += 1;
        const ahead = 2 * rows.stride_bytes;
        const sums = code_blocks.sumsOfBlock(head.tables, block, head.bytes, ahead);
        const small: @Vector(table.block_codes, i32) = @bitCast(sums);
        const sum: Values = @floatFromInt(small);
        const scale: Values = rows.scales[at..][0..table.block_codes].*;
        const bias: Values = rows.biases[at..][0..table.block_codes].*;
        const deviation: Values = rows.deviations[at..][0..table.block_codes].*;
        const offset: Values = rows.offsets[at..][0..table.block_codes].*;

        const product = sum * splat(head.sum_weight) + splat(head.sum_base);
        const estimate = offset + splat(query.base) +
            (bias * splat(head.bias_weight) + scale * product);
        const sampling = scale * splat(head.spread);
        const error_bound = @max(deviation, sampling) +
            @min(deviation, sampling) * splat(std.math.sqrt2 - 1);
        const most = estimate + error_bound * splat(head.slack);
        const passes: u32 = @bitCast(most >= splat(threshold));
        const is_out = passes & wanted == 0;
        heads.left += @intFromBool(!is_out);
        return is_out;
    }

    inline fn splat(value: f32) Values {
        return @splat(value);
    }
};

const Survivors = struct {
    rows: [*]u32,
    estimates: [*]f32,
    count: usize = 0,

    inline fn add(
        survivors: *Survivors,
        comptime count: usize,
        query: *const table.CodeQuery,
        rows: *const table.CodeRows,
        threshold: f32,
        first: usize,
        at: usize,
        sums: [count]u32,
        wanted: u32,
    ) void {
        const Values = @Vector(count, f32);
        // As signed numbers, which every CPU can convert.
        const small: @Vector(count, i32) = @bitCast(@as(@Vector(count, u32), sums));
        const sum: Values = @floatFromInt(small);
        const scale: Values = rows.scales[at..][0..count].*;
        const bias: Values = rows.biases[at..][0..count].*;
        const deviation: Values = rows.deviations[at..][0..count].*;
        const offset: Values = rows.offsets[at..][0..count].*;

        const product = sum * splat(Values, query.sum_weight) + splat(Values, query.sum_base);
        const estimate = offset + splat(Values, query.base) +
            (bias * splat(Values, query.bias_weight) + scale * product);
        const most = estimate + deviation * splat(Values, query.slack);
        const passes: @Int(.unsigned, count) = @bitCast(most >= splat(Values, threshold));
        const left = passes & @as(@Int(.unsigned, count), @truncate(wanted));
        if (left == 0) return;
        survivors.write(count, first, estimate, left);
    }

    inline fn splat(comptime Values: type, value: f32) Values {
        return @splat(value);
    }

    fn write(
        survivors: *Survivors,
        comptime count: usize,
        first: usize,
        estimates: [count]f32,
        passes: @Int(.unsigned, count),
    ) void {
        var left: u32 = passes;
        while (left != 0) : (left &= left - 1) {
            const i = @ctz(left);
            survivors.rows[survivors.count] = @intCast(first + i);
            survivors.estimates[survivors.count] = estimates[i];
            survivors.count += 1;
        }
    }
};
