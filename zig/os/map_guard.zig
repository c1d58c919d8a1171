//! Maps that outlive their file's end. Somebody may truncate a mapped file, and a device may fail
//! to bring a page in; the system then sends SIGBUS to whoever touches the page, which ends the
//! whole host process. So every map is registered here, and the handler puts zeros where the bytes
//! are gone, marks the map as broken and lets the touch go on: the reader looks at the mark before
//! it believes what it read, and reads with calls from then on, which answer with an error.
//!
//! A map is there once for all connections of the process that want the same bytes of one file: the
//! workers of a server that read one database share its memory and its page tables.
//!
//! Other faults go to whoever handled them before: crash reporters and WebAssembly engines of the
//! host keep working. The handler stays for the life of the process, so the library must stay too
//! (a Node worker that ends closes the libraries which it opened).

const std = @import("std");
const builtin = @import("builtin");
const os = @import("os.zig");
const posix = std.posix;

/// Maps of the process that can be guarded at once: 4 TiB in windows of 1 GiB. Without a guard
/// there is no map, and the engine reads with calls.
const guards_max = 4096;

/// What is mapped: bytes of a file, which cannot come to be another one while it is open.
pub const Content = struct {
    device: u64 = 0,
    inode: u64 = 0,
    offset: u64 = 0,
    len: usize = 0,
};

pub const Guard = struct {
    state: std.atomic.Value(State) = .init(.free),
    /// Who uses the map. Never raised from 0: then it is about to be unmapped.
    users: std.atomic.Value(u32) = .init(0),
    content: Content = .{},
    start: usize = 0,
    len: usize = 0,
    broken: std.atomic.Value(bool) = .init(false),

    const State = enum(u8) { free, claimed, live };

    /// `range` is mapped. Null where there is no guard left.
    pub fn take(range: []const u8, content: Content) ?*Guard {
        install();
        for (&guards, 1..) |*guard, count| {
            if (guard.state.cmpxchgStrong(.free, .claimed, .acquire, .monotonic) != null) continue;
            guard.content = content;
            guard.start = @intFromPtr(range.ptr);
            guard.len = range.len;
            guard.broken.store(false, .monotonic);
            guard.users.store(1, .monotonic);
            _ = guards_used.fetchMax(count, .monotonic);
            guard.state.store(.live, .release);
            return guard;
        }
        return null;
    }

    /// The guard of a whole map of that content which somebody else has taken, with one more user;
    /// null where there is none.
    pub fn share(content: Content) ?*Guard {
        for (guards[0..guards_used.load(.monotonic)]) |*guard| {
            if (!guard.isOf(content) or !guard.join()) continue;
            // It may have been given and taken again since the first look.
            if (guard.isOf(content)) return guard;
            if (guard.give()) |range| unmap(range);
        }
        return null;
    }

    fn isOf(guard: *const Guard, content: Content) bool {
        return guard.state.load(.acquire) == .live and !guard.broken.load(.monotonic) and
            std.meta.eql(guard.content, content);
    }

    fn join(guard: *Guard) bool {
        var users = guard.users.load(.acquire);
        while (users > 0) {
            users = guard.users.cmpxchgWeak(users, users + 1, .acq_rel, .acquire) orelse
                return true;
        }
        return false;
    }

    pub fn mapped(guard: *const Guard) Range {
        const first: [*]align(std.heap.page_size_min) u8 = @ptrFromInt(guard.start);
        return first[0..guard.len];
    }

    /// The range, where nobody uses it any more and the caller unmaps it.
    pub fn give(guard: *Guard) ?Range {
        const range = guard.mapped();
        if (guard.users.fetchSub(1, .acq_rel) > 1) return null;
        guard.state.store(.free, .release);
        return range;
    }
};

pub const Range = []align(std.heap.page_size_min) u8;

fn unmap(range: Range) void {
    switch (builtin.os.tag) {
        .linux => _ = std.os.linux.munmap(range.ptr, range.len),
        else => _ = std.c.munmap(range.ptr, range.len),
    }
}

/// Read by the handler, so it holds no pointers and takes no lock.
var guards: [guards_max]Guard = @splat(.{});
var guards_used: std.atomic.Value(usize) = .init(0);

const Installation = enum(u8) { none, running, done };
var installation: std.atomic.Value(Installation) = .init(.none);
var previous: posix.Sigaction = undefined;

fn install() void {
    while (installation.load(.acquire) != .done) {
        if (installation.cmpxchgStrong(.none, .running, .acquire, .monotonic) != null) {
            std.atomic.spinLoopHint();
            continue;
        }
        keepLoaded();
        posix.sigaction(.BUS, null, &previous);
        posix.sigaction(.BUS, &.{
            .handler = .{ .sigaction = handle },
            .mask = posix.sigemptyset(),
            .flags = posix.SA.SIGINFO | posix.SA.ONSTACK,
        }, null);
        installation.store(.done, .release);
    }
}

/// Runs in a signal handler: atomics and system calls only.
fn handle(
    signal: posix.SIG,
    info: *const posix.siginfo_t,
    context: ?*anyopaque,
) callconv(.c) void {
    if (info.code > 0 and fill(faultAddress(info))) return;
    const action = previous;
    if (action.flags & posix.SA.SIGINFO != 0) {
        if (action.handler.sigaction) |call| return call(signal, info, context);
    } else if (action.handler.handler != posix.SIG.DFL and
        action.handler.handler != posix.SIG.IGN)
    {
        if (action.handler.handler) |call| return call(signal);
    }
    // The default is the end of the process: the same touch, or the same signal, comes again.
    posix.sigaction(.BUS, &action, null);
    if (info.code <= 0) posix.raise(.BUS) catch {};
}

/// Zeros from the page of `address` to the end of its map; false where it lies in none.
fn fill(address: usize) bool {
    for (guards[0..guards_used.load(.monotonic)]) |*guard| {
        if (guard.state.load(.acquire) != .live) continue;
        if (address < guard.start or address - guard.start >= guard.len) continue;
        const page = std.mem.alignBackward(usize, address, std.heap.pageSize());
        const end = guard.start + guard.len;
        guard.broken.store(true, .monotonic);
        return mapZeros(page, std.mem.alignForward(usize, end, std.heap.pageSize()) - page);
    }
    return false;
}

fn faultAddress(info: *const posix.siginfo_t) usize {
    return @intFromPtr(switch (builtin.os.tag) {
        .linux => info.fields.sigfault.addr,
        else => info.addr,
    });
}

fn mapZeros(address: usize, len: usize) bool {
    const at: [*]align(std.heap.page_size_min) u8 = @ptrFromInt(address);
    const flags: posix.MAP = .{ .TYPE = .PRIVATE, .ANONYMOUS = true, .FIXED = true };
    switch (builtin.os.tag) {
        .linux => {
            const linux = std.os.linux;
            return linux.errno(linux.mmap(at, len, .{ .READ = true }, flags, -1, 0)) == .SUCCESS;
        },
        else => return std.c.mmap(at, len, .{ .READ = true }, flags, -1, 0) != std.c.MAP_FAILED,
    }
}

/// Asks the dynamic linker of the host, where there is one, never to unload this library.
fn keepLoaded() void {
    if (builtin.output_mode != .Lib) return;
    const find = dladdr orelse return;
    const reopen = dlopen orelse return;
    var found: DlInfo = undefined;
    if (find(&guards, &found) == 0) return;
    const lazy = 1;
    const only_if_loaded, const forever = switch (builtin.os.tag) {
        .linux => .{ 0x4, 0x1000 },
        else => .{ 0x10, 0x80 },
    };
    _ = reopen(found.file_name, lazy | only_if_loaded | forever);
}

const DlInfo = extern struct {
    file_name: ?[*:0]const u8,
    file_base: ?*anyopaque,
    symbol_name: ?[*:0]const u8,
    symbol_address: ?*anyopaque,
};

/// Weak, because the library is also opened by programs without a libc.
const dladdr = @extern(
    ?*const fn (address: *const anyopaque, info: *DlInfo) callconv(.c) c_int,
    .{ .name = "dladdr", .linkage = .weak },
);
const dlopen = @extern(
    ?*const fn (path: ?[*:0]const u8, mode: c_int) callconv(.c) ?*anyopaque,
    .{ .name = "dlopen", .linkage = .weak },
);

const testing = std.testing;

test "a touch of somebody else's lost bytes ends the process as it always did" {
    if (builtin.os.tag != .linux) return error.SkipZigTest;
    const linux = std.os.linux;
    const created = linux.memfd_create("empty", 0);
    if (linux.errno(created) != .SUCCESS) return error.SkipZigTest;
    const fd: linux.fd_t = @intCast(created);
    defer _ = linux.close(fd);
    const length = 1 << 16;
    for ([_]bool{ true, false }) |is_touch| {
        const forked = linux.fork();
        if (linux.errno(forked) != .SUCCESS) return error.SkipZigTest;
        if (forked == 0) {
            // The test runner has a handler of its own, which explains faults at length.
            posix.sigaction(.BUS, &.{
                .handler = .{ .handler = posix.SIG.DFL },
                .mask = posix.sigemptyset(),
                .flags = 0,
            }, null);
            installation.store(.none, .monotonic);
            const mapped = linux.mmap(null, length, .{ .READ = true }, .{ .TYPE = .SHARED }, fd, 0);
            const foreign: [*]const volatile u8 = @ptrFromInt(mapped);
            _ = Guard.take(&.{}, .{}) orelse linux.exit_group(1);
            if (is_touch) _ = foreign[length / 2] else _ = linux.kill(linux.getpid(), .BUS);
            linux.exit_group(2);
        }
        var status: u32 = 0;
        _ = linux.waitpid(@intCast(forked), &status, 0);
        try testing.expect(linux.W.IFSIGNALED(status));
        try testing.expectEqual(linux.SIG.BUS, linux.W.TERMSIG(status));
    }
}

test "a fault that another handler was there for goes to it, and that of a guarded map does not" {
    if (builtin.os.tag != .linux) return error.SkipZigTest;
    const linux = std.os.linux;
    const created = linux.memfd_create("empty", 0);
    if (linux.errno(created) != .SUCCESS) return error.SkipZigTest;
    const fd: linux.fd_t = @intCast(created);
    defer _ = linux.close(fd);
    const length = 1 << 16;
    const Foreign = struct {
        fn handle(_: posix.SIG) callconv(.c) void {
            linux.exit_group(77);
        }
    };
    const forked = linux.fork();
    if (linux.errno(forked) != .SUCCESS) return error.SkipZigTest;
    if (forked == 0) {
        posix.sigaction(.BUS, &.{
            .handler = .{ .handler = Foreign.handle },
            .mask = posix.sigemptyset(),
            .flags = 0,
        }, null);
        installation.store(.none, .monotonic);
        const flags: linux.MAP = .{ .TYPE = .SHARED };
        const mapped = linux.mmap(null, 2 * length, .{ .READ = true }, flags, fd, 0);
        const bytes: [*]const volatile u8 = @ptrFromInt(mapped);
        const own: [*]const u8 = @ptrFromInt(mapped);
        const guard = Guard.take(own[0..length], .{}) orelse linux.exit_group(1);
        if (bytes[5] != 0 or bytes[length - 1] != 0) linux.exit_group(2);
        if (!guard.broken.load(.monotonic)) linux.exit_group(3);
        _ = guard.give();
        _ = bytes[length];
        linux.exit_group(4);
    }
    var status: u32 = 0;
    _ = linux.waitpid(@intCast(forked), &status, 0);
    try testing.expect(linux.W.IFEXITED(status));
    try testing.expectEqual(77, linux.W.EXITSTATUS(status));
}
