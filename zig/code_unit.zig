//! A stretch of codes that one thread estimates: which of its rows may reach a limit, and what
//! their scores are about.

const format = @import("format.zig");
const kernels = @import("kernels/kernels.zig");

const block_rows = format.code_block_rows;

pub const CodeUnit = struct {
    rows: kernels.CodeRows,
    limit: f32,
    query: *const kernels.CodeQuery,
    count: usize,
    found: [rows_max]u32,
    estimates: [rows_max]f32,

    pub const rows_max = 1024;

    /// `blocks` begins with those of its rows, and `wanted` with their bits.
    pub fn set(
        unit: *CodeUnit,
        query: *const kernels.CodeQuery,
        limit: f32,
        blocks: []const u8,
        count: u32,
        code_dimension: u32,
        wanted: [*]const u32,
    ) void {
        unit.query = query;
        unit.limit = limit;
        unit.rows = rowsOf(blocks, count, code_dimension);
        unit.rows.wanted = wanted;
    }

    pub fn estimate(units: [*]CodeUnit, number: usize) void {
        const unit = &units[number];
        unit.count = kernels.active().estimateBlocks(
            unit.query,
            &unit.rows,
            unit.limit,
            &unit.found,
            &unit.estimates,
        );
    }

    /// The score of one of its rows, of which that is the estimate, is hardly above it.
    pub fn bound(unit: *const CodeUnit, index: u32, estimated: f32) f32 {
        const place = index / block_rows * unit.rows.factor_stride + index % block_rows;
        return estimated + unit.rows.deviations[place] * unit.query.slack;
    }
};

fn rowsOf(blocks: []const u8, count: u32, code_dimension: u32) kernels.CodeRows {
    const block_bytes: usize = @intCast(format.codeBlockBytes(code_dimension));
    const tail = blocks.ptr + block_bytes - @sizeOf(format.CodeBlockTail);
    return .{
        .codes = blocks.ptr,
        .stride_bytes = block_bytes,
        .factor_stride = block_bytes / @sizeOf(f32),
        .row_count = count,
        .dimension = code_dimension,
        .offsets = factors(tail, "offsets"),
        .scales = factors(tail, "scales"),
        .biases = factors(tail, "biases"),
        .deviations = factors(tail, "deviations"),
    };
}

fn factors(tail: [*]const u8, comptime name: []const u8) [*]const f32 {
    return @ptrCast(@alignCast(tail + @offsetOf(format.CodeBlockTail, name)));
}
