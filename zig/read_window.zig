//! Reading small things that lie side by side: what a read call brings along is kept for the next
//! ones. Two runs of bytes can be read by turns, as entries and their records are.

const std = @import("std");
const Image = @import("image.zig").Image;

pub const ReadWindow = struct {
    windows: [2]Window = .{ .{}, .{} },
    /// The one that was used last.
    last: u1 = 0,

    const Window = struct {
        offset: u64 = 0,
        len: usize = 0,
        bytes: [window_bytes]u8 = undefined,
    };

    /// Both fit into 32 KiB with what belongs to them, which is a size that allocators keep.
    const window_bytes = 15 * 1024;

    /// Fills `out`. The bytes were in the file when the window was last emptied, or later.
    pub fn read(reader: *ReadWindow, image: *Image, offset: u64, out: []u8) Image.CopyError!void {
        if (out.len > window_bytes / 4) return image.glance(offset, out);
        for (&reader.windows, 0..) |*window, i| {
            const start = offset -% window.offset;
            if (start > window.len or out.len > window.len - start) continue;
            reader.last = @intCast(i);
            @memcpy(out, window.bytes[@intCast(start)..][0..out.len]);
            return;
        }
        reader.last = ~reader.last;
        const window = &reader.windows[reader.last];
        window.len = 0;
        window.len = try image.file.read(offset, &window.bytes);
        window.offset = offset;
        if (window.len < out.len) return error.Truncated;
        @memcpy(out, window.bytes[0..out.len]);
    }

    pub fn empty(reader: *ReadWindow) void {
        for (&reader.windows) |*window| window.len = 0;
    }
};

test "two runs are read by turns with few calls, and nothing is read past the end" {
    const gpa = std.testing.allocator;
    const system = @import("os/memory.zig").system();
    const file = try system.open(gpa, "any", .{ .create = true });
    defer file.close();
    var content: [40_000]u8 = undefined;
    for (&content, 0..) |*byte, i| byte.* = @truncate(i *% 7 +% (i >> 8));
    try file.write(0, &.{&content});
    var image = Image.init(gpa, file, .{ .budget_bytes = 0 });
    defer image.deinit();
    const reader = try gpa.create(ReadWindow);
    defer gpa.destroy(reader);
    reader.* = .{};
    var out: [5000]u8 = undefined;
    for (0..300) |i| for ([_]usize{ i * 32, 20_000 + i * 50 }) |offset| {
        const len = 1 + i % 50;
        try reader.read(&image, offset, out[0..len]);
        try std.testing.expectEqualSlices(u8, content[offset..][0..len], out[0..len]);
    };
    try reader.read(&image, 100, &out);
    try std.testing.expectEqualSlices(u8, content[100..][0..out.len], &out);
    try reader.read(&image, 39_990, out[0..10]);
    try std.testing.expectError(error.Truncated, reader.read(&image, 39_995, out[0..10]));
    try std.testing.expectError(error.Truncated, reader.read(&image, 50_000, out[0..10]));
    // After an error it goes on.
    try reader.read(&image, 5, out[0..10]);
    try std.testing.expectEqualSlices(u8, content[5..15], out[0..10]);
}
