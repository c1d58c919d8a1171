//! Rows with a time to live. When it is over the row is no longer there for whoever reads, although
//! it takes room until a writer deletes it.
//!
//! A lookup finds the expiry in the row's record. Columns and filters see it as one more field
//! behind the row's metadata, under a name that no text has, so that whatever a filter can do is
//! done for it too.

const std = @import("std");
const document = @import("document.zig");

/// No metadata has it: it is not UTF-8.
pub const field_name = "\xFFexpiry";

pub fn isOver(expiry_ms: i64, now_ms: i64) bool {
    return expiry_ms != 0 and expiry_ms <= now_ms;
}

/// The document that columns and filters see. Without an expiry that is the metadata itself.
pub fn documentOf(
    arena: std.mem.Allocator,
    metadata: []const u8,
    expiry_ms: i64,
) error{OutOfMemory}![]const u8 {
    var buffer: Field = undefined;
    return switch (expiry_ms) {
        0 => metadata,
        else => std.mem.concat(arena, u8, &.{ metadata, fieldOf(&buffer, expiry_ms) }),
    };
}

pub const Field = [1 + field_name.len + 1 + @sizeOf(f64)]u8;

/// What is behind the metadata: nothing without an expiry.
pub fn fieldOf(buffer: *Field, expiry_ms: i64) []const u8 {
    if (expiry_ms == 0) return "";
    const before = .{field_name.len} ++ field_name ++ .{@intFromEnum(document.Kind.number)};
    buffer.* = before.* ++ @as([@sizeOf(f64)]u8, @bitCast(@as(f64, @floatFromInt(expiry_ms))));
    return buffer;
}

test "what is behind the metadata is one more field" {
    var arena: std.heap.ArenaAllocator = .init(std.testing.allocator);
    defer arena.deinit();
    const bytes = try documentOf(arena.allocator(), "\x01a\x02", 1_800_000_000_123);
    try std.testing.expect(document.check(bytes));
    const found = (try document.find(bytes, field_name)).?;
    try std.testing.expectEqual(1_800_000_000_123, found.number);
    try std.testing.expectEqual(true, (try document.find(bytes, "a")).?.boolean);
    try std.testing.expectEqualStrings("\x01a\x02", try documentOf(undefined, "\x01a\x02", 0));
}

test "a row is there up to its expiry, and without one for ever" {
    try std.testing.expect(!isOver(0, std.math.maxInt(i64)));
    try std.testing.expect(!isOver(1000, 999));
    try std.testing.expect(isOver(1000, 1000));
}
