//! Files that are only memory: `:memory:`, and databases handed over as bytes.
//!
//! The image lives in windows of claimed address space that never move, so a view stays valid while
//! the image grows, and memory is used only where something was written. There is one connection
//! per image, whose writer must see the snapshots that it has open, and nothing outlives it, so its
//! syncs have nothing to do.

const std = @import("std");
const os = @import("os.zig");
const file = @import("file.zig");
const address_space = @import("address_space.zig");
const lock_table = @import("lock_table.zig");

/// A view must lie inside one window. Where addresses are rationed (`ulimit -v`) the smaller size
/// is used, and the engine reads with calls what no view can cover.
const window_bytes_preferred = 1 << 30;
const window_bytes_fallback = 64 << 20;
/// An offset beyond these is a mistake, and must not claim the whole address space first.
const windows_max = 4096;
/// Memory is put behind the claim in steps of this many bytes.
const commit_bytes = 1 << 20;

/// The machine with files that are private and empty at every open, whatever the path.
pub fn system() os.System {
    return .{ .context = file.system().context, .vtable = &system_vtable };
}

const system_vtable: os.System.VTable = vtable: {
    var vtable = file.vtable;
    vtable.open = open;
    break :vtable vtable;
};

fn open(
    _: *anyopaque,
    gpa: std.mem.Allocator,
    _: []const u8,
    options: os.OpenOptions,
) os.Error!os.File {
    const image = try Image.create(gpa);
    image.readonly = options.readonly;
    return image.asFile();
}

/// A read-only file over a private copy of `bytes`. The copy starts on a page boundary.
pub fn openBytes(gpa: std.mem.Allocator, bytes: []const u8) os.Error!os.File {
    const image = try Image.create(gpa);
    const opened = image.asFile();
    errdefer opened.close();
    try opened.write(0, &.{bytes});
    image.readonly = true;
    return opened;
}

const Image = struct {
    gpa: std.mem.Allocator,
    readonly: bool = false,
    length: u64 = 0,
    window_bytes: usize = window_bytes_preferred,
    windows: std.ArrayList(Window) = .empty,
    locks: lock_table.LockTable = .{},

    const Window = struct { range: address_space.Range, committed: usize };

    const file_vtable: os.File.VTable = .{
        .read = read,
        .write = write,
        .extend = extend,
        .shrink = shrink,
        .sync = sync,
        .stat = stat,
        .lock = lock,
        .unlock = unlock,
        .probe = probe,
        .map = map,
        .releaseMaps = releaseMaps,
        .close = close,
    };

    fn create(gpa: std.mem.Allocator) error{OutOfMemory}!*Image {
        const image = try gpa.create(Image);
        image.* = .{ .gpa = gpa };
        return image;
    }

    fn asFile(image: *Image) os.File {
        return .{ .context = image, .vtable = &file_vtable };
    }

    fn of(context: *anyopaque) *Image {
        return @ptrCast(@alignCast(context));
    }

    fn read(context: *anyopaque, offset: u64, buffer: []u8) os.Error!usize {
        const image = of(context);
        if (offset >= image.length) return 0;
        const len: usize = @intCast(@min(buffer.len, image.length - offset));
        var done: usize = 0;
        while (done < len) {
            const from = image.stretch(offset + done, len - done);
            @memcpy(buffer[done..][0..from.len], from);
            done += from.len;
        }
        return len;
    }

    fn write(context: *anyopaque, offset: u64, parts: []const []const u8) os.Error!void {
        const image = of(context);
        if (image.readonly) return error.ReadOnlyMedia;
        var end = offset;
        for (parts) |part| end = std.math.add(u64, end, part.len) catch return error.NoSpace;
        if (end == offset) return;
        try image.grow(end);
        var position = offset;
        for (parts) |part| {
            var done: usize = 0;
            while (done < part.len) {
                const to = image.stretch(position, part.len - done);
                @memcpy(to, part[done..][0..to.len]);
                done += to.len;
                position += to.len;
            }
        }
    }

    fn extend(context: *anyopaque, length: u64) os.Error!void {
        const image = of(context);
        if (image.readonly) return error.ReadOnlyMedia;
        try image.grow(length);
    }

    fn shrink(context: *anyopaque, length: u64) os.Error!bool {
        const image = of(context);
        if (image.readonly) return error.ReadOnlyMedia;
        var position = length;
        while (position < image.length) {
            const cut = image.stretch(position, @intCast(image.length - position));
            @memset(cut, 0);
            position += cut.len;
        }
        image.length = @min(image.length, length);
        return true;
    }

    fn sync(_: *anyopaque) os.Error!void {}

    fn stat(context: *anyopaque) os.Error!os.FileStat {
        return .{ .length = of(context).length, .same_file = true };
    }

    fn lock(
        context: *anyopaque,
        owner: os.LockOwner,
        kind: os.LockKind,
        range: os.LockRange,
    ) os.Error!bool {
        const image = of(context);
        const writable = owner == .writer and !image.readonly;
        if (kind == .exclusive and !writable) return error.ReadOnlyMedia;
        return image.locks.acquire(image.gpa, holder(owner), kind, range);
    }

    fn unlock(context: *anyopaque, owner: os.LockOwner, range: os.LockRange) void {
        of(context).locks.release(holder(owner), range);
    }

    fn probe(context: *anyopaque, range: os.LockRange) os.Error!?u64 {
        return of(context).locks.firstLocked(holder(.writer), range);
    }

    fn holder(owner: os.LockOwner) lock_table.Holder {
        return .{ .process = 0, .connection = 0, .owner = owner };
    }

    fn map(context: *anyopaque, offset: u64, len: usize) ?os.Map {
        const image = of(context);
        const start: usize = @intCast(offset % image.window_bytes);
        if (len == 0 or len > image.window_bytes - start) return null;
        image.reserveThrough(offset) catch return null;
        const index: usize = @intCast(offset / image.window_bytes);
        // The first claim may have settled for smaller windows.
        const at: usize = @intCast(offset % image.window_bytes);
        if (len > image.window_bytes - at) return null;
        return .ofMemory(image.windows.items[index].range[at..][0..len]);
    }

    /// The pages are the only copy there is.
    fn releaseMaps(_: *anyopaque) void {}

    fn close(context: *anyopaque) void {
        const image = of(context);
        const gpa = image.gpa;
        for (image.windows.items) |window| address_space.release(window.range);
        image.windows.deinit(gpa);
        image.locks.deinit(gpa);
        gpa.destroy(image);
    }

    /// The longest piece of [offset, offset + len) that lies in one window. It is committed.
    fn stretch(image: *Image, offset: u64, len: usize) []u8 {
        const window = image.windows.items[@intCast(offset / image.window_bytes)];
        const start: usize = @intCast(offset % image.window_bytes);
        return window.range[start..][0..@min(len, image.window_bytes - start)];
    }

    fn grow(image: *Image, length: u64) error{OutOfMemory}!void {
        if (length <= image.length) return;
        try image.reserveThrough(length - 1);
        for (image.windows.items, 0..) |*window, index| {
            const start = @as(u64, index) * image.window_bytes;
            if (start >= length) break;
            const need: usize = @intCast(@min(length - start, image.window_bytes));
            const committed = std.mem.alignForward(usize, need, commit_bytes);
            if (committed <= window.committed) continue;
            const more: address_space.Range = @alignCast(window.range[window.committed..committed]);
            if (!address_space.commit(more)) return error.OutOfMemory;
            window.committed = committed;
        }
        image.length = length;
    }

    /// Claims every window up to the one that holds the byte at `offset`.
    fn reserveThrough(image: *Image, offset: u64) error{OutOfMemory}!void {
        while (image.windows.items.len <= offset / image.window_bytes) {
            if (offset / image.window_bytes >= windows_max) return error.OutOfMemory;
            try image.windows.ensureUnusedCapacity(image.gpa, 1);
            const range = address_space.reserve(image.window_bytes) orelse {
                const first = image.windows.items.len == 0;
                if (!first or image.window_bytes == window_bytes_fallback) return error.OutOfMemory;
                image.window_bytes = window_bytes_fallback;
                continue;
            };
            image.windows.appendAssumeCapacity(.{ .range = range, .committed = 0 });
        }
    }
};

comptime {
    std.debug.assert(window_bytes_preferred % commit_bytes == 0);
    std.debug.assert(window_bytes_fallback % commit_bytes == 0);
}

test "bytes are copied, page aligned and read-only" {
    var bytes = [_]u8{ 1, 2, 3 };
    const opened = try openBytes(std.testing.allocator, &bytes);
    defer opened.close();
    bytes[0] = 9;
    const view = opened.map(0, 3).?.bytes;
    try std.testing.expectEqualSlices(u8, &.{ 1, 2, 3 }, view);
    try std.testing.expectEqual(0, @intFromPtr(view.ptr) % 64);
    try std.testing.expectError(error.ReadOnlyMedia, opened.write(0, &.{"x"}));
    try std.testing.expectError(error.ReadOnlyMedia, opened.extend(10));
}

test "an image crosses windows" {
    const image = try Image.create(std.testing.allocator);
    image.window_bytes = window_bytes_fallback;
    const opened = image.asFile();
    defer opened.close();
    const edge = window_bytes_fallback - 2;
    try opened.write(edge, &.{ "ab", "", "cd" });
    var got: [6]u8 = undefined;
    try std.testing.expectEqual(4, try opened.read(edge, &got));
    try std.testing.expectEqualStrings("abcd", got[0..4]);
    try std.testing.expectEqual(null, opened.map(edge, 4));
    try std.testing.expectEqualStrings("cd", opened.map(window_bytes_fallback, 2).?.bytes);
    try std.testing.expectEqual(0, opened.map(0, window_bytes_fallback).?.bytes[0]);
}

test "an offset out of reach is an error" {
    const opened = try system().open(std.testing.allocator, ":memory:", .{});
    defer opened.close();
    const far = std.math.maxInt(u64) - 1;
    try std.testing.expectError(error.OutOfMemory, opened.write(far, &.{"x"}));
    try std.testing.expectError(error.NoSpace, opened.write(far, &.{"xyz"}));
    try std.testing.expectEqual(null, opened.map(far, 1));
    try std.testing.expectEqual(0, (try opened.stat()).length);
}

test "every open of memory is a new file" {
    const first = try system().open(std.testing.allocator, ":memory:", .{});
    defer first.close();
    const second = try system().open(std.testing.allocator, ":memory:", .{});
    defer second.close();
    try first.write(0, &.{"one"});
    try std.testing.expectEqual(0, (try second.stat()).length);
}
