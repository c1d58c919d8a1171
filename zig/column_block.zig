//! stub
const std = @import("std");
pub fn build(gpa: std.mem.Allocator, documents: []const []const u8, out: *std.ArrayList(u8)) error{ OutOfMemory, Malformed }!void {
    _ = gpa;
    _ = documents;
    _ = out;
    return error.Malformed;
}
pub const Block = struct {
    pub fn open(bytes: []const u8, rows: u32) error{Malformed}!Block {
        _ = bytes;
        _ = rows;
        return error.Malformed;
    }
};
