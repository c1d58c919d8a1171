//! The kernels of one CPU tier. This one file is compiled once for each tier, as an object of its
//! own, and never imported by the core, which reaches the functions through the table alone.
//!
//! A tier that only adds instructions for integers to another one has that tier's other functions,
//! by the names under which every object has its own: compiled again they would be the same.

const std = @import("std");
const binary_codes = @import("binary_codes.zig");
const bytes = @import("bytes.zig");
const code_blocks = @import("code_blocks.zig");
const code_estimates = @import("code_estimates.zig");
const code_sums = @import("code_sums.zig");
const distance = @import("distance.zig");
const rotation = @import("hadamard.zig");
const int8 = @import("int8.zig");
const table = @import("table.zig");
const tier = @import("tier");
const tile = @import("tile.zig");

const functions = struct {
    const dotBatch = distance.Batch(.dot).run;
    const l2Batch = distance.Batch(.l2).run;
    const dotTile = tile.Tile(.dot).run;
    const l2Tile = tile.Tile(.l2).run;
    const hadamard = rotation.hadamard;
    const encode = binary_codes.encode;
    const quantizeQuery = binary_codes.quantizeQuery;
    const planesDot = code_sums.planesDot;
    const packBlock = code_blocks.packBlock;
    const lookupTables = code_blocks.lookupTables;
    const estimateCodes = code_estimates.estimateCodes;
    const estimateBlocks = code_estimates.estimateBlocks;
    const dotInt8 = int8.dotInt8;
    const sumSquares = distance.sumSquares;
    const copy = bytes.copy;
    const zero = bytes.zero;
    const checksum = bytes.checksum;
};

/// What a tier with a base has of its own.
const integer_functions = [_][]const u8{ "planesDot", "estimateCodes", "dotInt8" };

fn isOwn(comptime function: []const u8) bool {
    if (tier.base == null) return true;
    for (integer_functions) |each| {
        if (std.mem.eql(u8, each, function)) return true;
    }
    return false;
}

fn symbol(comptime tier_name: []const u8, comptime function: []const u8) [:0]const u8 {
    return "vl_" ++ tier_name ++ "_" ++ function;
}

const kernels: table.KernelTable = made: {
    var made: table.KernelTable = undefined;
    made.name = tier.name;
    for (@typeInfo(table.KernelTable).@"struct".fields[1..]) |field| {
        @field(made, field.name) = if (isOwn(field.name))
            &@field(functions, field.name)
        else
            @extern(field.type, .{
                .name = symbol(tier.base.?, field.name),
                .visibility = .hidden,
            });
    }
    break :made made;
};

fn accessor() callconv(.c) *const table.KernelTable {
    return &kernels;
}

comptime {
    @export(&accessor, .{ .name = "vl_kernels_" ++ tier.name, .visibility = .hidden });
    for (@typeInfo(table.KernelTable).@"struct".fields[1..]) |field| {
        if (!isOwn(field.name)) continue;
        const name = symbol(tier.name, field.name);
        @export(&@field(functions, field.name), .{ .name = name, .visibility = .hidden });
    }
}
