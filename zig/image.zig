//! Reading the bytes of one file: by a map where the bytes are hot, by a read where they are cold.
//!
//! A page fault brings in what lies around the byte, 64 KiB or (Linux from 6.18) the whole large
//! page of the system's cache, 2 MiB. Reading 1,000 scattered rows through a map then makes tens of
//! megabytes resident, while a read call costs a microsecond and leaves nothing behind. So each
//! 2 MiB chunk is counted: it is read until it has proven hot, then taken from the map. What the
//! maps hold is bounded: beyond the budget every chunk is given back and must prove itself again.
//! The codes that searches read, and the columns that filters read, are beside the budget.
//!
//! Callers check places against the size of the file before they ask: nothing here touches a byte
//! past the length that the current root promises. Where somebody has cut the file since, the map
//! shows zeros and says so, and the bytes are asked for by a call, which tells what is wrong.

const std = @import("std");
const os = @import("os/os.zig");
const format = @import("format.zig");
const kernels = @import("kernels/kernels.zig");

pub const Image = struct {
    gpa: std.mem.Allocator,
    file: os.File,
    /// Reading memory as memory: the maps are the content itself, nothing is counted.
    always_mapped: bool,
    budget_bytes: u64,
    /// The end of the last byte that anybody has glanced at.
    seen_bytes: u64 = 0,
    windows: std.ArrayList(Window) = .empty,
    /// Touches of each chunk; `hot_touches` and more means it is read through the map.
    chunks: std.ArrayList(u8) = .empty,
    hot_chunks: u64 = 0,
    /// Of these, the ones that the last search read codes from. They are beside the budget, because
    /// the next search reads them again.
    code_chunks: u64 = 0,
    /// The same of the columns that filters read.
    column_chunks: u64 = 0,

    const chunk_bytes: u64 = 2 << 20;
    const hot_touches = 64;

    const Window = union(enum) { untried, unavailable, map: os.Map };

    pub fn init(gpa: std.mem.Allocator, file: os.File, options: struct {
        always_mapped: bool = false,
        budget_bytes: u64,
    }) Image {
        return .{
            .gpa = gpa,
            .file = file,
            .always_mapped = options.always_mapped,
            .budget_bytes = options.budget_bytes,
        };
    }

    pub fn deinit(image: *Image) void {
        image.windows.deinit(image.gpa);
        image.chunks.deinit(image.gpa);
        image.* = undefined;
    }

    pub const CopyError = os.Error || error{
        /// The file ends before the last byte.
        Truncated,
    };

    /// Fills `out`.
    pub fn copy(image: *Image, offset: u64, out: []u8) CopyError!void {
        if (image.hotBytes(offset, out.len)) |bytes| {
            kernels.active().copy(out.ptr, bytes.ptr, out.len);
            if (image.isWhole(offset)) return;
        }
        return image.read(offset, out);
    }

    fn read(image: *Image, offset: u64, out: []u8) CopyError!void {
        if (try image.file.read(offset, out) != out.len) return error.Truncated;
    }

    /// Fills `out` for somebody who looks at places all over the file, each for its own sake: in a
    /// file larger than the budget they do not get hot by it, so none of them brings its
    /// surroundings into memory.
    pub fn glance(image: *Image, offset: u64, out: []u8) CopyError!void {
        image.seen_bytes = @max(image.seen_bytes, offset + out.len);
        if (image.seen_bytes <= image.budget_bytes or image.isHot(offset, out.len)) {
            return image.copy(offset, out);
        }
        return image.read(offset, out);
    }

    /// The bytes through the map, if they are hot; they count as touched by nobody. What was made
    /// of them may be believed if `isWhole(offset)` afterwards. `len` stays within one window.
    pub fn hot(image: *Image, offset: u64, len: usize) ?[]const u8 {
        if (!image.isHot(offset, len)) return null;
        const base = image.window(offset) orelse return null;
        return base[offset % format.window_bytes ..][0..len];
    }

    fn isHot(image: *const Image, offset: u64, len: usize) bool {
        if (image.always_mapped) return true;
        const first = offset / chunk_bytes;
        const last = (offset + len -| 1) / chunk_bytes;
        if (last >= image.chunks.items.len) return false;
        return image.chunks.items[first] >= hot_touches and
            image.chunks.items[last] >= hot_touches;
    }

    /// The bytes through the map whatever their heat, for a scan that reads all of them; null where
    /// there is no map. `len` stays within one window. What was made of the bytes may be believed
    /// if `isWhole(offset)` afterwards.
    pub fn scan(image: *Image, offset: u64, len: usize) ?[]const u8 {
        const base = image.window(offset) orelse return null;
        if (!image.always_mapped) image.markHot(offset, len);
        return base[offset % format.window_bytes ..][0..len];
    }

    /// Whether all bytes read so far through the map at `offset` were the file's.
    pub fn isWhole(image: *const Image, offset: u64) bool {
        const index: usize = @intCast(offset / format.window_bytes);
        if (index >= image.windows.items.len) return true;
        return switch (image.windows.items[index]) {
            .map => |map| map.isWhole(),
            .untried, .unavailable => true,
        };
    }

    /// How many chunks lie under these bytes.
    pub fn chunksUnder(offset: u64, len: usize) u64 {
        if (len == 0) return 0;
        return (offset + len - 1) / chunk_bytes - offset / chunk_bytes + 1;
    }

    /// Gives mapped memory back when it is over the budget. Views of maps stay valid, their next
    /// touch is a fault.
    pub fn trim(image: *Image) void {
        const kept = (image.code_chunks + image.column_chunks) * chunk_bytes;
        if (image.hot_chunks * chunk_bytes -| kept > image.budget_bytes) image.release();
    }

    /// Gives all mapped memory back.
    pub fn release(image: *Image) void {
        if (image.always_mapped or image.hot_chunks == 0) return;
        image.file.releaseMaps();
        @memset(image.chunks.items, 0);
        image.hot_chunks = 0;
        image.code_chunks = 0;
        image.column_chunks = 0;
    }

    pub fn mappedBytes(image: *const Image) u64 {
        return image.hot_chunks * chunk_bytes;
    }

    fn hotBytes(image: *Image, offset: u64, len: usize) ?[]const u8 {
        if (image.always_mapped) {
            const base = image.window(offset) orelse return null;
            return base[offset % format.window_bytes ..][0..len];
        }
        if (len == 0) return null;
        const first = offset / chunk_bytes;
        const last = (offset + len - 1) / chunk_bytes;
        if (!image.growChunks(last)) return null;
        var all_hot = true;
        var grew = false;
        for (image.chunks.items[first .. last + 1]) |*touches| {
            if (touches.* >= hot_touches) continue;
            touches.* += 1;
            if (touches.* < hot_touches) {
                all_hot = false;
            } else {
                image.hot_chunks += 1;
                grew = true;
            }
        }
        if (grew) image.trim();
        if (!all_hot) return null;
        const base = image.window(offset) orelse return null;
        return base[offset % format.window_bytes ..][0..len];
    }

    fn markHot(image: *Image, offset: u64, len: usize) void {
        if (len == 0) return;
        const first = offset / chunk_bytes;
        const last = (offset + len - 1) / chunk_bytes;
        if (!image.growChunks(last)) return;
        for (image.chunks.items[first .. last + 1]) |*touches| {
            if (touches.* < hot_touches) image.hot_chunks += 1;
            touches.* = hot_touches;
        }
    }

    fn growChunks(image: *Image, last: u64) bool {
        if (last < image.chunks.items.len) return true;
        const old_len = image.chunks.items.len;
        const len: usize = @intCast(last + 1 + (last >> 3));
        image.chunks.resize(image.gpa, len) catch return false;
        @memset(image.chunks.items[old_len..], 0);
        return true;
    }

    fn window(image: *Image, offset: u64) ?[*]const u8 {
        const index: usize = @intCast(offset / format.window_bytes);
        while (image.windows.items.len <= index) {
            image.windows.append(image.gpa, .untried) catch return null;
        }
        switch (image.windows.items[index]) {
            .map => |map| return if (map.isWhole()) map.bytes.ptr else null,
            .unavailable => return null,
            .untried => {
                const start = @as(u64, index) * format.window_bytes;
                const map = image.file.map(start, format.window_bytes) orelse {
                    image.windows.items[index] = .unavailable;
                    return null;
                };
                image.windows.items[index] = .{ .map = map };
                return map.bytes.ptr;
            },
        }
    }
};

test "chunks are mapped once they are hot, and given back beyond the budget" {
    const gpa = std.testing.allocator;
    const system = @import("os/memory.zig").system();
    const file = try system.open(gpa, "any", .{ .create = true });
    defer file.close();
    const chunk_count = 8;
    try file.extend(chunk_count * Image.chunk_bytes);
    for (0..chunk_count) |i| {
        const mark = [_]u8{@intCast(i + 1)};
        try file.write(i * Image.chunk_bytes + 5, &.{&mark});
    }
    var image = Image.init(gpa, file, .{ .budget_bytes = 3 * Image.chunk_bytes });
    defer image.deinit();
    var out: [1]u8 = undefined;
    for (0..3 * Image.hot_touches) |round| {
        const chunk = round % 3;
        try image.copy(chunk * Image.chunk_bytes + 5, &out);
        try std.testing.expectEqual(@as(u8, @intCast(chunk + 1)), out[0]);
    }
    try std.testing.expectEqual(3 * Image.chunk_bytes, image.mappedBytes());
    for (0..Image.hot_touches + 1) |_| try image.copy(7 * Image.chunk_bytes + 5, &out);
    try std.testing.expectEqual(@as(u8, 8), out[0]);
    try std.testing.expect(image.mappedBytes() <= 3 * Image.chunk_bytes);
    const end = chunk_count * Image.chunk_bytes;
    try std.testing.expectError(error.Truncated, image.copy(end, &out));
}

test "codes that a search has read stay mapped beside the budget, until all is given back" {
    const gpa = std.testing.allocator;
    const system = @import("os/memory.zig").system();
    const file = try system.open(gpa, "any", .{ .create = true });
    defer file.close();
    try file.extend(12 * Image.chunk_bytes);
    var image = Image.init(gpa, file, .{ .budget_bytes = 2 * Image.chunk_bytes });
    defer image.deinit();
    const codes_start = Image.chunk_bytes / 2;
    const codes_len = 5 * Image.chunk_bytes;
    try std.testing.expectEqual(6, Image.chunksUnder(codes_start, codes_len));
    for (0..3) |_| {
        _ = image.scan(codes_start, codes_len).?;
        image.code_chunks = Image.chunksUnder(codes_start, codes_len);
        image.trim();
        try std.testing.expectEqual(6 * Image.chunk_bytes, image.mappedBytes());
    }
    _ = image.scan(7 * Image.chunk_bytes, 2 * Image.chunk_bytes).?;
    image.trim();
    try std.testing.expectEqual(8 * Image.chunk_bytes, image.mappedBytes());
    _ = image.scan(9 * Image.chunk_bytes, Image.chunk_bytes).?;
    image.trim();
    try std.testing.expectEqual(0, image.mappedBytes());
    try std.testing.expectEqual(0, image.code_chunks);
}
