//! Writes the bytes of documents and filters. The library gets both from its callers: this is what
//! tests and benches write them with, and nothing of it is in the library.

const std = @import("std");
const document = @import("document.zig");

pub const Writer = struct {
    gpa: std.mem.Allocator,
    bytes: std.ArrayList(u8) = .empty,

    pub fn deinit(writer: *Writer) void {
        writer.bytes.deinit(writer.gpa);
    }

    pub fn clear(writer: *Writer) void {
        writer.bytes.clearRetainingCapacity();
    }

    pub fn byte(writer: *Writer, value: u8) !void {
        try writer.bytes.append(writer.gpa, value);
    }

    pub fn varint(writer: *Writer, value: usize) !void {
        var rest = value;
        while (rest >= 0x80) : (rest >>= 7) try writer.byte(@as(u8, @truncate(rest)) | 0x80);
        try writer.byte(@intCast(rest));
    }

    /// A name, a string, or an element of an array of strings.
    pub fn text(writer: *Writer, value: []const u8) !void {
        try writer.varint(value.len);
        try writer.bytes.appendSlice(writer.gpa, value);
    }

    fn double(writer: *Writer, value: f64) !void {
        try writer.bytes.appendSlice(writer.gpa, std.mem.asBytes(&value));
    }

    fn kind(writer: *Writer, value: document.Kind) !void {
        try writer.byte(@intFromEnum(value));
    }

    // A value with its kind.

    pub fn empty(writer: *Writer) !void {
        try writer.kind(.null);
    }

    pub fn boolean(writer: *Writer, value: bool) !void {
        try writer.kind(if (value) .true else .false);
    }

    pub fn number(writer: *Writer, value: f64) !void {
        try writer.kind(.number);
        try writer.double(value);
    }

    pub fn string(writer: *Writer, value: []const u8) !void {
        try writer.kind(.string);
        try writer.text(value);
    }

    pub fn strings(writer: *Writer, values: []const []const u8) !void {
        try writer.kind(.strings);
        try writer.varint(values.len);
        for (values) |value| try writer.text(value);
    }

    pub fn numbers(writer: *Writer, values: []const f64) !void {
        try writer.kind(.numbers);
        try writer.varint(values.len);
        for (values) |value| try writer.double(value);
    }
};

test "what is written is what is read" {
    var writer: Writer = .{ .gpa = std.testing.allocator };
    defer writer.deinit();
    const long = "long" ** 100;
    try writer.text("a");
    try writer.number(1.5);
    try writer.text(long);
    try writer.strings(&.{ "x", long });
    try std.testing.expectEqual(1.5, (try document.find(writer.bytes.items, "a")).?.number);
    const found = (try document.find(writer.bytes.items, long)).?.strings;
    var elements = found.iterate();
    try std.testing.expectEqualStrings("x", elements.next().?);
    try std.testing.expectEqualStrings(long, elements.next().?);
}
