//! Who holds a lock, found where Linux shows it.
//!
//! The kernel names no process for locks of open file descriptions (`F_OFD_GETLK` answers -1), but
//! `/proc/<process>/fdinfo/<descriptor>` lists the locks of every descriptor that this process may
//! look at. A machine may have more of them than anybody wants to wait for, so the search gives up
//! after a while; it is made only for a message about a caller who has waited in vain.

const std = @import("std");
const linux = std.os.linux;
const os = @import("os.zig");
const sys = @import("syscalls_linux.zig");

const search_ms_max = 100;

/// The holder of a lock that overlaps `range`, of the file that `fd` has open.
pub fn find(fd: sys.Descriptor, range: os.LockRange) os.LockHolder {
    var search: Search = .{ .range = range, .end_ms = sys.monotonicMs() + search_ms_max };
    if (sys.factsOf(fd, &search.file) != .SUCCESS) return .unknown;
    if (search.finds(sys.processId())) return .this_process;
    var processes = Numbers.open("/proc") orelse return .unknown;
    defer processes.close();
    while (processes.next()) |process| {
        if (search.isOver()) return .unknown;
        if (!search.finds(process)) continue;
        return .{ .process = .{ .id = process, .name = nameOf(process) } };
    }
    return .unknown;
}

const Search = struct {
    file: sys.Facts = .{},
    range: os.LockRange,
    end_ms: u64,

    fn isOver(search: *const Search) bool {
        return sys.monotonicMs() >= search.end_ms;
    }

    /// Whether a descriptor of the process carries the lock.
    fn finds(search: *const Search, process: u64) bool {
        var path: [64]u8 = undefined;
        const folder = print(&path, "/proc/{d}/fdinfo", .{process});
        var descriptors = Numbers.open(folder) orelse return false;
        defer descriptors.close();
        while (descriptors.next()) |descriptor| {
            if (search.isOver()) return false;
            var content: [4096]u8 = undefined;
            const numbers = .{ process, descriptor };
            const info = read(print(&path, "/proc/{d}/fdinfo/{d}", numbers), &content);
            if (!locksAny(info, search.range)) continue;
            var facts: sys.Facts = .{};
            const errno = sys.factsAt(print(&path, "/proc/{d}/fd/{d}", numbers), &facts);
            if (errno == .SUCCESS and facts.sameFile(search.file)) return true;
        }
        return false;
    }
};

/// Whether one of the lines `lock: 1: OFDLCK ADVISORY WRITE -1 fe:00:1234 <first> <last>` overlaps.
fn locksAny(info: []const u8, range: os.LockRange) bool {
    var lines = std.mem.tokenizeScalar(u8, info, '\n');
    while (lines.next()) |line| {
        if (!std.mem.startsWith(u8, line, "lock:")) continue;
        var words = std.mem.tokenizeAny(u8, line, " \t");
        var last_two: [2][]const u8 = .{ "", "" };
        while (words.next()) |word| last_two = .{ last_two[1], word };
        const first = std.fmt.parseInt(u64, last_two[0], 10) catch continue;
        const last = std.fmt.parseInt(u64, last_two[1], 10) catch std.math.maxInt(u64);
        if (first < range.start +| range.len and range.start <= last) return true;
    }
    return false;
}

/// What may be printed of the name that the system has for the process.
fn nameOf(process: u64) [os.LockHolder.name_bytes_max]u8 {
    var name: [os.LockHolder.name_bytes_max]u8 = @splat(0);
    var path: [64]u8 = undefined;
    const content = read(print(&path, "/proc/{d}/comm", .{process}), &name);
    for (content) |*byte| {
        if (byte.* == '\n') byte.* = 0 else if (!std.ascii.isPrint(byte.*)) byte.* = '?';
    }
    return name;
}

/// The beginning of a small file; empty where it cannot be read.
fn read(path: [*:0]const u8, buffer: []u8) []u8 {
    const opened = sys.open(path, .read);
    if (opened.errno != .SUCCESS) return buffer[0..0];
    const fd: sys.Descriptor = @intCast(opened.value);
    defer sys.close(fd);
    const result = sys.read(fd, 0, buffer);
    return if (result.errno == .SUCCESS) buffer[0..result.value] else buffer[0..0];
}

fn print(buffer: *[64]u8, comptime format: []const u8, arguments: anytype) [*:0]const u8 {
    // Two numbers and a few words always fit.
    return std.fmt.bufPrintZ(buffer, format, arguments) catch unreachable;
}

/// The entries of a directory that are numbers.
const Numbers = struct {
    fd: sys.Descriptor,
    buffer: [2048]u8 align(@alignOf(linux.dirent64)) = undefined,
    filled: usize = 0,
    position: usize = 0,

    fn open(path: [*:0]const u8) ?Numbers {
        const opened = sys.open(path, .directory);
        return if (opened.errno == .SUCCESS) .{ .fd = @intCast(opened.value) } else null;
    }

    fn close(numbers: *const Numbers) void {
        sys.close(numbers.fd);
    }

    fn next(numbers: *Numbers) ?u32 {
        while (true) {
            if (numbers.position == numbers.filled) {
                const result = sys.readDirectory(numbers.fd, &numbers.buffer);
                if (result.errno != .SUCCESS or result.value == 0) return null;
                numbers.filled = result.value;
                numbers.position = 0;
            }
            const rest = numbers.buffer[numbers.position..numbers.filled];
            const entry: *const linux.dirent64 = @ptrCast(@alignCast(rest.ptr));
            numbers.position += entry.reclen;
            const name = std.mem.sliceTo(rest[@offsetOf(linux.dirent64, "name")..], 0);
            return std.fmt.parseInt(u32, name, 10) catch continue;
        }
    }
};

test "the lock is read out of what the kernel writes about a descriptor" {
    const info = "pos:\t0\nflags:\t02100002\nmnt_id:\t27\nino:\t216\n" ++
        "lock:\t1: OFDLCK ADVISORY  WRITE -1 fe:00:216 100 109\n" ++
        "lock:\t2: POSIX  ADVISORY  READ 7 fe:00:216 500 EOF\n";
    try std.testing.expect(locksAny(info, .{ .start = 109, .len = 1 }));
    try std.testing.expect(locksAny(info, .{ .start = 90, .len = 11 }));
    try std.testing.expect(locksAny(info, .{ .start = 1 << 62, .len = 1 }));
    try std.testing.expect(!locksAny(info, .{ .start = 110, .len = 1 }));
    try std.testing.expect(!locksAny(info, .{ .start = 0, .len = 100 }));
    try std.testing.expect(!locksAny("pos:\t0\nflags:\t02\n", .{ .start = 0, .len = 1 }));
    try std.testing.expect(!locksAny("lock:\nlock:\t1:\n", .{ .start = 0, .len = 1 }));
}
