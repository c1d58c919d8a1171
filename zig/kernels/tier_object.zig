//! The kernels of one CPU tier. This one file is compiled once for each tier, as an object of its
//! own, and never imported by the core, which reaches the functions through the table alone.

const binary_codes = @import("binary_codes.zig");
const bytes = @import("bytes.zig");
const code_estimates = @import("code_estimates.zig");
const code_sums = @import("code_sums.zig");
const distance = @import("distance.zig");
const hadamard = @import("hadamard.zig");
const int8 = @import("int8.zig");
const table = @import("table.zig");
const tier = @import("tier");
const tile = @import("tile.zig");

const kernels: table.KernelTable = .{
    .name = tier.name,
    .dotBatch = distance.Batch(.dot).run,
    .l2Batch = distance.Batch(.l2).run,
    .dotTile = tile.Tile(.dot).run,
    .l2Tile = tile.Tile(.l2).run,
    .hadamard = hadamard.hadamard,
    .encode = binary_codes.encode,
    .quantizeQuery = binary_codes.quantizeQuery,
    .planesDot = code_sums.planesDot,
    .estimateCodes = code_estimates.estimateCodes,
    .dotInt8 = int8.dotInt8,
    .sumSquares = distance.sumSquares,
    .validate = distance.validate,
    .copy = bytes.copy,
    .zero = bytes.zero,
    .checksum = bytes.checksum,
};

fn accessor() callconv(.c) *const table.KernelTable {
    return &kernels;
}

comptime {
    @export(&accessor, .{ .name = "vl_kernels_" ++ tier.name, .visibility = .hidden });
}
