//! stub
const std = @import("std");
const column_block = @import("column_block.zig");
const Filter = @import("filter.zig").Filter;
pub const Rows = [4]u64;
pub const Verdict = struct {
    yes: Rows,
    maybe: Rows,
    pub const unknown: Verdict = .{ .yes = @splat(0), .maybe = @splat(std.math.maxInt(u64)) };
    pub const nothing: Verdict = .{ .yes = @splat(0), .maybe = @splat(0) };
    pub const everything: Verdict = .{ .yes = @splat(std.math.maxInt(u64)), .maybe = @splat(0) };
};
pub fn evaluate(filter: *const Filter, block: *const column_block.Block) Verdict {
    _ = filter;
    _ = block;
    return .unknown;
}
