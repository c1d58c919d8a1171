//! The option blocks of the C ABI. Their layout is a part of the ABI version.
//!
//! A block says its own size first, so a caller that was built for another layout is refused
//! instead of misread, and a bit that nobody defined is an error, so that it can get a meaning
//! later.

const std = @import("std");
const builtin = @import("builtin");
const vectorlite = @import("vectorlite");

const Invalid = error{InvalidArgument};

comptime {
    // Blocks, handles and encoded entries are little endian because every supported host is.
    std.debug.assert(builtin.cpu.arch.endian() == .little);
    std.debug.assert(@sizeOf(DatabaseOptions) == 40);
    std.debug.assert(@offsetOf(DatabaseOptions, "memory_budget_bytes") == 16);
    std.debug.assert(@sizeOf(CollectionOptions) == 24);
}

pub const DatabaseFlags = packed struct(u32) {
    readonly: bool = false,
    create: bool = false,
    unknown: u30 = 0,
};

pub const DatabaseOptions = extern struct {
    size: u32 = @sizeOf(DatabaseOptions),
    flags: DatabaseFlags,
    durability: u32,
    busy_timeout_ms: u32,
    memory_budget_bytes: f64,
    older_root: u32 = 0,
    reserved: u32 = 0,
    /// 0: no maximum.
    file_bytes_max: f64 = 0,

    pub fn decode(bytes: []const u8) Invalid!vectorlite.Options {
        const block = try readBlock(DatabaseOptions, bytes);
        if (block.flags.unknown != 0 or block.reserved != 0) return error.InvalidArgument;
        return .{
            .readonly = block.flags.readonly,
            .create = block.flags.create,
            .durability = try readEnum(vectorlite.Durability, block.durability),
            .busy_timeout_ms = block.busy_timeout_ms,
            .memory_budget_bytes = try readInteger(block.memory_budget_bytes),
            .older_root = block.older_root,
            .file_bytes_max = switch (try readInteger(block.file_bytes_max)) {
                0 => std.math.maxInt(u64),
                else => |bytes_max| bytes_max,
            },
        };
    }
};

pub const CollectionFlags = packed struct(u32) {
    create: bool = false,
    /// Of a new one: its rows go only when they are deleted.
    keeps_rows: bool = false,
    unknown: u30 = 0,
};

pub const CollectionOptions = extern struct {
    size: u32 = @sizeOf(CollectionOptions),
    flags: CollectionFlags,
    /// 0: what the file says.
    dimension: u32,
    /// `metric_unspecified`: what the file says.
    metric: u32,
    hot_vectors: u32,
    /// 0: no maximum.
    rows_max: u32 = 0,

    pub const metric_unspecified = std.math.maxInt(u32);

    /// `model` is borrowed by the result.
    pub fn decode(bytes: []const u8, model: []const u8) Invalid!vectorlite.Collection.Options {
        const block = try readBlock(CollectionOptions, bytes);
        if (block.flags.unknown != 0) return error.InvalidArgument;
        return .{
            .dimension = block.dimension,
            .metric = if (block.metric == metric_unspecified)
                null
            else
                try readEnum(vectorlite.Metric, block.metric),
            .model = model,
            .create = block.flags.create,
            .keeps_rows = block.flags.keeps_rows,
            .hot_vectors = block.hot_vectors,
            .rows_max = if (block.rows_max == 0) null else block.rows_max,
        };
    }
};

/// The bytes need no alignment.
fn readBlock(comptime Block: type, bytes: []const u8) Invalid!Block {
    if (bytes.len != @sizeOf(Block)) return error.InvalidArgument;
    const block = std.mem.bytesToValue(Block, bytes);
    if (block.size != @sizeOf(Block)) return error.InvalidArgument;
    return block;
}

fn readEnum(comptime Enum: type, number: u32) Invalid!Enum {
    return std.enums.fromInt(Enum, number) orelse error.InvalidArgument;
}

/// A count that came as f64, because 64-bit integers are slow to pass from JavaScript.
fn readInteger(number: f64) Invalid!u64 {
    const exact_max = 1 << 53;
    if (!(number >= 0 and number <= exact_max)) return error.InvalidArgument;
    return @intFromFloat(number);
}

const example_database: DatabaseOptions = .{
    .flags = .{ .readonly = true },
    .durability = 2,
    .busy_timeout_ms = 7,
    .memory_budget_bytes = 1 << 33,
    .older_root = 2,
};

test "a database block is read field by field" {
    const options = try DatabaseOptions.decode(std.mem.asBytes(&example_database));
    try std.testing.expectEqual(vectorlite.Options{
        .readonly = true,
        .create = false,
        .durability = .none,
        .busy_timeout_ms = 7,
        .memory_budget_bytes = 1 << 33,
        .older_root = 2,
    }, options);
}

test "a block of another size, an unknown flag and a value out of range are refused" {
    const good = std.mem.asBytes(&example_database);
    try std.testing.expectError(error.InvalidArgument, DatabaseOptions.decode(good[0..39]));
    try std.testing.expectError(error.InvalidArgument, DatabaseOptions.decode(&.{}));
    const wrong = [_]struct { offset: usize, bytes: []const u8 }{
        .{ .offset = 0, .bytes = &.{41} },
        .{ .offset = 4, .bytes = &.{4} },
        .{ .offset = 7, .bytes = &.{0x80} },
        .{ .offset = 8, .bytes = &.{3} },
        .{ .offset = 16, .bytes = std.mem.asBytes(&std.math.nan(f64)) },
        .{ .offset = 16, .bytes = std.mem.asBytes(&@as(f64, -1)) },
        .{ .offset = 16, .bytes = std.mem.asBytes(&std.math.inf(f64)) },
        .{ .offset = 31, .bytes = &.{1} },
    };
    for (wrong) |change| {
        var bytes = good[0..40].*;
        @memcpy(bytes[change.offset..][0..change.bytes.len], change.bytes);
        try std.testing.expectError(error.InvalidArgument, DatabaseOptions.decode(&bytes));
    }
}

test "a collection block distinguishes an unspecified metric from an unknown one" {
    var block: CollectionOptions = .{
        .flags = .{ .create = true },
        .dimension = 3,
        .metric = CollectionOptions.metric_unspecified,
        .hot_vectors = 5,
    };
    const open = try CollectionOptions.decode(std.mem.asBytes(&block), "m");
    try std.testing.expectEqual(null, open.metric);
    try std.testing.expectEqual(3, open.dimension);
    try std.testing.expectEqual(5, open.hot_vectors);
    try std.testing.expect(open.create);
    try std.testing.expectEqualStrings("m", open.model);
    block.metric = 2;
    const l2 = try CollectionOptions.decode(std.mem.asBytes(&block), "");
    try std.testing.expectEqual(vectorlite.Metric.l2, l2.metric);
    block.metric = 3;
    try std.testing.expectError(
        error.InvalidArgument,
        CollectionOptions.decode(std.mem.asBytes(&block), ""),
    );
}
