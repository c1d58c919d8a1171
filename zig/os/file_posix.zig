//! Files of Linux and macOS. The engine's rules that shape it:
//!
//! - Written with `pwrite` only. A store through a map turns a full disk into SIGBUS.
//! - Locks belong to open file descriptions (`F_OFD_SETLK`): the classic ones vanish when any
//!   descriptor of the file closes anywhere in the process. The writer and the snapshots of one
//!   connection have a descriptor each, because one never conflicts with itself.
//! - A failed `sync` is never repeated here: the kernel marks the lost pages clean, so a second
//!   call would report success for data that is gone.
//! - Every errno has an `os.Error`; nothing in here can bring the process down.
//!
//! `read`, `write` and `stat` may run on several threads at once; the rest of one `File` is for one
//! thread at a time.

const std = @import("std");
const builtin = @import("builtin");
const os = @import("os.zig");
const lock_holder = @import("lock_holder_linux.zig");
const map_guard = @import("map_guard.zig");
const Guard = map_guard.Guard;

const sys = if (builtin.is_test) @import("syscalls_faulty.zig") else switch (builtin.os.tag) {
    .linux => @import("syscalls_linux.zig"),
    .macos => @import("syscalls_darwin.zig"),
    else => @compileError("no POSIX backend for this operating system"),
};

pub const vtable: os.System.VTable = .{
    .open = open,
    .monotonicMs = monotonicMs,
    .wallMs = wallMs,
    .sleepMs = sleepMs,
    .random = random,
    .bootId = bootId,
    .processId = processId,
};

pub const complain = sys.complain;

/// Offsets are signed on this side of the kernel.
const offset_max = std.math.maxInt(i64);
/// macOS refuses a transfer of 2 GiB, Linux shortens it; half of that is the same for both. Tests
/// have a small one, so that every larger transfer goes through the loops around it.
const transfer_bytes_max = if (builtin.is_test) 3000 else 1 << 30;
/// Writes of more parts take several calls.
const parts_per_call_max = 64;
/// Descriptors 0 to 2 receive whatever some other code prints.
const descriptor_min = 3;

const Connection = struct {
    gpa: std.mem.Allocator,
    /// Carries the content and the writer's locks.
    main: sys.Descriptor,
    /// Read-only; carries the locks of snapshots.
    snapshots: sys.Descriptor,
    /// As they were when it was opened; what tells it from other files stays.
    facts: sys.Facts,
    readonly: bool,
    /// Of the process that opened it. Its locks belong to descriptions that a forked child shares,
    /// so what a child gives back would be gone for the parent.
    process_id: u64,
    maps_are_safe: ?bool = null,
    windows: std.ArrayList(*Guard) = .empty,
    /// Absolute where it could be found out, so that a later chdir changes nothing.
    path: [:0]const u8,

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
        .holder = holder,
        .map = map,
        .releaseMaps = releaseMaps,
        .close = close,
    };

    fn of(context: *anyopaque) *Connection {
        return @ptrCast(@alignCast(context));
    }

    fn read(context: *anyopaque, offset: u64, buffer: []u8) os.Error!usize {
        const connection = of(context);
        var done: usize = 0;
        while (done < buffer.len and offset +| done <= offset_max) {
            const part = buffer[done..][0..@min(buffer.len - done, transfer_bytes_max)];
            const result = sys.read(connection.main, offset + done, part);
            switch (result.errno) {
                .SUCCESS => if (result.value == 0) break else {
                    done += result.value;
                },
                .INTR => {},
                else => |errno| return transferError(errno),
            }
        }
        return done;
    }

    fn write(context: *anyopaque, offset: u64, parts: []const []const u8) os.Error!void {
        const connection = of(context);
        if (connection.readonly) return error.ReadOnlyMedia;
        var total: u64 = 0;
        for (parts) |part| total +|= part.len;
        if (offset +| total > offset_max) return error.NoSpace;
        if (parts.len == 1) return connection.writeAll(offset, parts[0]);
        return connection.writeParts(offset, parts);
    }

    fn writeAll(connection: *Connection, offset: u64, bytes: []const u8) os.Error!void {
        var done: usize = 0;
        while (done < bytes.len) {
            const part = bytes[done..][0..@min(bytes.len - done, transfer_bytes_max)];
            done += try written(sys.write(connection.main, offset + done, part));
        }
    }

    fn writeParts(
        connection: *Connection,
        offset: u64,
        parts: []const []const u8,
    ) os.Error!void {
        var position = offset;
        var progress: Progress = .{ .parts = parts };
        while (true) {
            var vector: [parts_per_call_max]sys.IoVector = undefined;
            const count = progress.gather(&vector);
            if (count == 0) return;
            const bytes = try written(sys.writeVector(connection.main, position, vector[0..count]));
            position += bytes;
            progress.advance(bytes);
        }
    }

    /// Never shrinks below what the file had, also when the new space is not to be had.
    fn extend(context: *anyopaque, length: u64) os.Error!void {
        const connection = of(context);
        if (connection.readonly) return error.ReadOnlyMedia;
        if (length > offset_max) return error.NoSpace;
        const before = try factsOf(connection.main);
        if (length <= before.length) return;
        if (length > sys.fileLengthMax()) return error.NoSpace;
        switch (allocate(connection.main, before.length, length)) {
            .SUCCESS => {},
            .OPNOTSUPP, .NOSYS, .INVAL, .INTR => try setLength(connection.main, length),
            else => |errno| {
                // A partial success holds on to space that a full disk needs elsewhere.
                setLength(connection.main, before.length) catch {};
                return transferError(errno);
            },
        }
    }

    fn shrink(context: *anyopaque, length: u64) os.Error!bool {
        const connection = of(context);
        if (connection.readonly) return error.ReadOnlyMedia;
        const before = try factsOf(connection.main);
        if (length < before.length) try setLength(connection.main, length);
        return true;
    }

    fn sync(context: *anyopaque) os.Error!void {
        const connection = of(context);
        if (connection.readonly) return;
        switch (sys.sync(connection.main)) {
            .SUCCESS => {},
            .NOSPC, .DQUOT => return error.NoSpace,
            else => return error.InputOutput,
        }
    }

    fn stat(context: *anyopaque) os.Error!os.FileStat {
        const connection = of(context);
        const own = try factsOf(connection.main);
        return .{ .length = own.length, .same_file = try connection.pathNames(own) };
    }

    fn pathNames(connection: *Connection, own: sys.Facts) os.Error!bool {
        var there: sys.Facts = .{};
        while (true) switch (sys.factsAt(connection.path, &there)) {
            .SUCCESS => return own.sameFile(there),
            .INTR => {},
            .NOENT, .NOTDIR, .LOOP, .NAMETOOLONG => return false,
            // A process may give up the right to look after opening: no sign of another file.
            .ACCES, .PERM => return true,
            else => |errno| return transferError(errno),
        };
    }

    fn lock(
        context: *anyopaque,
        owner: os.LockOwner,
        kind: os.LockKind,
        range: os.LockRange,
    ) os.Error!bool {
        const connection = of(context);
        std.debug.assert(range.len > 0 and range.start + range.len - 1 <= offset_max);
        const writable = owner == .writer and !connection.readonly;
        if (kind == .exclusive and !writable) return error.ReadOnlyMedia;
        const command: sys.LockCommand = switch (kind) {
            .shared => .shared,
            .exclusive => .exclusive,
        };
        const fd = connection.descriptorOf(owner);
        while (true) switch (sys.lock(fd, command, range.start, range.len)) {
            .SUCCESS => return true,
            .AGAIN => return false,
            .INTR => {},
            else => |errno| return lockError(errno),
        };
    }

    fn unlock(context: *anyopaque, owner: os.LockOwner, range: os.LockRange) void {
        const connection = of(context);
        if (connection.process_id != sys.processId()) return;
        const fd = connection.descriptorOf(owner);
        while (sys.lock(fd, .unlock, range.start, range.len) == .INTR) {}
    }

    fn probe(context: *anyopaque, range: os.LockRange) os.Error!?u64 {
        const connection = of(context);
        std.debug.assert(range.len > 0 and range.start + range.len - 1 <= offset_max);
        var lowest: ?u64 = null;
        // The kernel names any lock of the range, so ask again below the one it named.
        while (true) {
            const len = if (lowest) |end| end - range.start else range.len;
            if (len == 0) return lowest;
            var found: ?u64 = null;
            switch (sys.findLock(connection.main, range.start, len, &found)) {
                .SUCCESS => lowest = @max(range.start, found orelse return lowest),
                .INTR => {},
                else => |errno| return lockError(errno),
            }
        }
    }

    fn holder(context: *anyopaque, range: os.LockRange) os.LockHolder {
        if (builtin.os.tag != .linux) return .unknown;
        return lock_holder.find(of(context).main, range);
    }

    fn map(context: *anyopaque, offset: u64, len: usize) ?os.Map {
        const connection = of(context);
        if (len == 0 or offset +| len > offset_max) return null;
        const safe = connection.maps_are_safe orelse sys.mapsAreSafe(connection.main);
        connection.maps_are_safe = safe;
        if (!safe) return null;
        const lead: usize = @intCast(offset % std.heap.pageSize());
        connection.windows.ensureUnusedCapacity(connection.gpa, 1) catch return null;
        const guard = connection.guardOf(.{
            .device = connection.facts.device,
            .inode = connection.facts.inode,
            .offset = offset - lead,
            .len = lead + len,
        }) orelse return null;
        connection.windows.appendAssumeCapacity(guard);
        return .{ .bytes = guard.mapped()[lead..], .broken = &guard.broken };
    }

    fn guardOf(connection: *Connection, content: map_guard.Content) ?*Guard {
        if (Guard.share(content)) |guard| return guard;
        const range = sys.map(connection.main, content.offset, content.len) orelse return null;
        return Guard.take(range, content) orelse {
            sys.unmap(range);
            return null;
        };
    }

    /// What others use at the moment they bring in again.
    fn releaseMaps(context: *anyopaque) void {
        for (of(context).windows.items) |guard| sys.discard(guard.mapped());
    }

    fn close(context: *anyopaque) void {
        const connection = of(context);
        const gpa = connection.gpa;
        for (connection.windows.items) |guard| if (guard.give()) |range| sys.unmap(range);
        connection.windows.deinit(gpa);
        sys.close(connection.snapshots);
        sys.close(connection.main);
        gpa.free(connection.path);
        gpa.destroy(connection);
    }

    fn descriptorOf(connection: *Connection, owner: os.LockOwner) sys.Descriptor {
        return switch (owner) {
            .writer => connection.main,
            .snapshots => connection.snapshots,
        };
    }
};

fn open(
    _: *anyopaque,
    gpa: std.mem.Allocator,
    path: []const u8,
    options: os.OpenOptions,
) os.Error!os.File {
    if (path.len == 0 or std.mem.findScalar(u8, path, 0) != null) return error.FileNotFound;
    const absolute = try absolutePath(gpa, path);
    errdefer gpa.free(absolute);
    const connection = try gpa.create(Connection);
    errdefer gpa.destroy(connection);
    const pair = try openPair(absolute, options);
    connection.* = .{
        .gpa = gpa,
        .main = pair.main,
        .snapshots = pair.snapshots,
        .facts = pair.facts,
        .readonly = options.readonly,
        .process_id = sys.processId(),
        .path = absolute,
    };
    return .{ .context = connection, .vtable = &Connection.file_vtable };
}

fn absolutePath(gpa: std.mem.Allocator, path: []const u8) error{OutOfMemory}![:0]const u8 {
    if (path[0] == '/') return gpa.dupeZ(u8, path);
    var buffer: [4096]u8 = undefined;
    const directory = sys.currentDirectory(&buffer) orelse return gpa.dupeZ(u8, path);
    return std.mem.joinZ(gpa, "/", &.{ directory, path });
}

const Pair = struct { main: sys.Descriptor, snapshots: sys.Descriptor, facts: sys.Facts };

/// Two open file descriptions of one file. The path may come to name another file between the two
/// calls; then both are opened anew.
fn openPair(path: [:0]const u8, options: os.OpenOptions) os.Error!Pair {
    for (0..8) |_| {
        const main = try openMain(path, options);
        errdefer sys.close(main.fd);
        const snapshots = openDescriptor(path, .read) catch |err| switch (err) {
            error.FileNotFound => {
                sys.close(main.fd);
                continue;
            },
            else => return err,
        };
        errdefer sys.close(snapshots);
        const facts = try factsOf(snapshots);
        if (facts.sameFile(main.facts)) {
            return .{ .main = main.fd, .snapshots = snapshots, .facts = facts };
        }
        sys.close(snapshots);
        sys.close(main.fd);
    }
    return error.FileNotFound;
}

const Opened = struct { fd: sys.Descriptor, facts: sys.Facts };

fn openMain(path: [:0]const u8, options: os.OpenOptions) os.Error!Opened {
    const access: sys.Access = if (options.readonly) .read else .read_write;
    const fd = openDescriptor(path, access) catch |err| switch (err) {
        error.FileNotFound => fd: {
            if (options.readonly or !options.create) return err;
            break :fd try openDescriptor(path, .create);
        },
        else => return err,
    };
    errdefer sys.close(fd);
    const facts = try factsOf(fd);
    switch (facts.kind) {
        .file => {},
        .directory => return error.IsDirectory,
        .other => return error.NotRegularFile,
    }
    // An empty file may be one that another process has only just created.
    if (facts.length == 0 and access == .read_write) try syncParent(path);
    return .{ .fd = fd, .facts = facts };
}

fn factsOf(fd: sys.Descriptor) os.Error!sys.Facts {
    var facts: sys.Facts = .{};
    while (true) switch (sys.factsOf(fd, &facts)) {
        .SUCCESS => return facts,
        .INTR => {},
        else => |errno| return transferError(errno),
    };
}

fn openDescriptor(path: [:0]const u8, access: sys.Access) os.Error!sys.Descriptor {
    while (true) {
        const result = sys.open(path, access);
        switch (result.errno) {
            .SUCCESS => return aboveStandardStreams(@intCast(result.value)),
            .INTR => {},
            else => |errno| return openError(errno),
        }
    }
}

pub fn aboveStandardStreams(fd: sys.Descriptor) os.Error!sys.Descriptor {
    if (fd >= descriptor_min) return fd;
    const result = sys.duplicateAbove(fd, descriptor_min);
    sys.close(fd);
    if (result.errno != .SUCCESS) return openError(result.errno);
    return @intCast(result.value);
}

/// Makes the entry of a new file durable. A directory that may not be read, or whose file system
/// cannot sync directories, is left as it is: nothing else can be done there.
fn syncParent(path: [:0]const u8) os.Error!void {
    var buffer: [4096]u8 = undefined;
    const parent = std.fs.path.dirname(path) orelse ".";
    const parent_z = std.fmt.bufPrintZ(&buffer, "{s}", .{parent}) catch return;
    var opened = sys.open(parent_z, .directory);
    while (opened.errno == .INTR) opened = sys.open(parent_z, .directory);
    if (opened.errno != .SUCCESS) return;
    const fd: sys.Descriptor = @intCast(opened.value);
    defer sys.close(fd);
    while (true) switch (sys.syncDirectory(fd)) {
        .INTR => {},
        .IO => return error.InputOutput,
        .NOSPC, .DQUOT => return error.NoSpace,
        else => return,
    };
}

/// A signal makes the kernel give up its work, so a profiler's timer could keep this from ever
/// ending.
fn allocate(fd: sys.Descriptor, from: u64, to: u64) sys.E {
    for (0..16) |_| {
        const errno = sys.allocate(fd, from, to);
        if (errno != .INTR) return errno;
    }
    return .INTR;
}

pub fn setLength(fd: sys.Descriptor, length: u64) os.Error!void {
    while (true) switch (sys.setLength(fd, length)) {
        .SUCCESS => return,
        .INTR => {},
        else => |errno| return transferError(errno),
    };
}

/// The bytes of one write call; zero after a signal.
fn written(result: sys.Result) os.Error!usize {
    return switch (result.errno) {
        // A device that takes nothing and says nothing would keep the caller here for ever.
        .SUCCESS => if (result.value == 0) error.InputOutput else result.value,
        .INTR => 0,
        else => |errno| transferError(errno),
    };
}

/// How far a write of several parts has come.
const Progress = struct {
    parts: []const []const u8,
    next: usize = 0,
    /// Bytes of parts[next] that are written.
    skip: usize = 0,

    /// Fills `vector` with what comes next; zero at the end. Empty parts are left out.
    fn gather(progress: Progress, vector: []sys.IoVector) usize {
        var count: usize = 0;
        var total: usize = 0;
        var skip = progress.skip;
        for (progress.parts[progress.next..]) |part| {
            if (count == vector.len or total == transfer_bytes_max) break;
            const rest = part[skip..];
            skip = 0;
            if (rest.len == 0) continue;
            const len = @min(rest.len, transfer_bytes_max - total);
            vector[count] = .{ .base = rest.ptr, .len = len };
            count += 1;
            total += len;
        }
        return count;
    }

    fn advance(progress: *Progress, bytes: usize) void {
        var left = bytes;
        while (progress.next < progress.parts.len) {
            const rest = progress.parts[progress.next].len - progress.skip;
            if (left < rest) break;
            left -= rest;
            progress.skip = 0;
            progress.next += 1;
        }
        progress.skip += left;
    }
};

fn openError(errno: sys.E) os.Error {
    return switch (errno) {
        .NOENT, .NOTDIR, .LOOP, .NAMETOOLONG => error.FileNotFound,
        .ISDIR => error.IsDirectory,
        .NXIO, .NODEV => error.NotRegularFile,
        .MFILE, .NFILE => error.TooManyFiles,
        // Another process runs this file, or holds a lease on it.
        .TXTBSY, .AGAIN => error.AccessDenied,
        else => transferError(errno),
    };
}

fn transferError(errno: sys.E) os.Error {
    return switch (errno) {
        .NOSPC, .DQUOT, .FBIG => error.NoSpace,
        .ACCES, .PERM => error.AccessDenied,
        .ROFS => error.ReadOnlyMedia,
        .NOMEM => error.OutOfMemory,
        else => error.InputOutput,
    };
}

fn lockError(errno: sys.E) os.Error {
    return switch (errno) {
        .INVAL, .NOSYS, .NOLCK, .OPNOTSUPP => error.LocksUnsupported,
        else => transferError(errno),
    };
}

fn monotonicMs(_: *anyopaque) u64 {
    return sys.monotonicMs();
}

fn wallMs(_: *anyopaque) i64 {
    return sys.wallMs();
}

fn sleepMs(_: *anyopaque, ms: u32) void {
    sys.sleepMs(ms);
}

fn random(_: *anyopaque, buffer: []u8) void {
    if (sys.random(buffer)) return;
    // Names and hash seeds need difference, not secrecy: a sandbox without randomness still works.
    const address: u64 = @intFromPtr(buffer.ptr);
    const clock: u64 = @bitCast(sys.wallMs());
    var prng = std.Random.DefaultPrng.init(clock ^ sys.processId() << 40 ^ address);
    prng.fill(buffer);
}

fn bootId(_: *anyopaque) ?[16]u8 {
    return sys.bootId();
}

fn processId(_: *anyopaque) u64 {
    return sys.processId();
}

const testing = std.testing;
const test_system: os.System = .{ .context = @constCast(&vtable), .vtable = &vtable };

/// A directory of its own under a path that any process of the test can use.
const Place = struct {
    directory: testing.TmpDir,
    buffer: [256]u8 = undefined,

    fn init() Place {
        return .{ .directory = testing.tmpDir(.{}) };
    }

    fn path(place: *Place, name: []const u8) error{NameTooLong}![]const u8 {
        const parts = .{ ".zig-cache/tmp", &place.directory.sub_path, name };
        return std.fmt.bufPrint(&place.buffer, "{s}/{s}/{s}", parts) catch error.NameTooLong;
    }

    fn open(place: *Place, name: []const u8, options: os.OpenOptions) !os.File {
        return test_system.open(testing.allocator, try place.path(name), options);
    }
};

test "what is not a file is refused with its kind" {
    var place: Place = .init();
    defer place.directory.cleanup();
    try place.directory.dir.createDir(testing.io, "folder", .default_dir);
    for ([_]bool{ false, true }) |readonly| {
        const options: os.OpenOptions = .{ .readonly = readonly, .create = true };
        try testing.expectError(error.IsDirectory, place.open("folder", options));
        try testing.expectError(error.FileNotFound, place.open("none/db", options));
        try testing.expectError(error.FileNotFound, place.open("a\x00b", options));
        try testing.expectError(error.FileNotFound, place.open("n" ** 200 ++ "/x", options));
        const device = test_system.open(testing.allocator, "/dev/null", options);
        try testing.expectError(error.NotRegularFile, device);
        const empty = test_system.open(testing.allocator, "", options);
        try testing.expectError(error.FileNotFound, empty);
    }
    (try place.open("db", .{ .create = true })).close();
    try testing.expectError(error.FileNotFound, place.open("db/inside", .{ .create = true }));
    try place.directory.dir.symLink(testing.io, "loop", "loop", .{});
    try testing.expectError(error.FileNotFound, place.open("loop", .{}));
}

test "a FIFO is refused without waiting for its other end" {
    if (builtin.os.tag != .linux) return error.SkipZigTest;
    const linux = std.os.linux;
    var place: Place = .init();
    defer place.directory.cleanup();
    var buffer: [256]u8 = undefined;
    const path = try std.fmt.bufPrintZ(&buffer, "{s}", .{try place.path("fifo")});
    const made = linux.mknod(path, linux.S.IFIFO | 0o600, 0);
    if (linux.errno(made) != .SUCCESS) return error.SkipZigTest;
    for ([_]bool{ false, true }) |readonly| {
        const opened = place.open("fifo", .{ .readonly = readonly });
        try testing.expectError(error.NotRegularFile, opened);
    }
}

test "offsets beyond 4 GiB are their own" {
    var place: Place = .init();
    defer place.directory.cleanup();
    const opened = try place.open("db", .{ .create = true });
    defer opened.close();
    const far = (5 << 30) + 3;
    try opened.write(3, &.{"near"});
    try opened.write(far, &.{ "fa", "r!" });
    var buffer: [4]u8 = undefined;
    try testing.expectEqual(4, try opened.read(far, &buffer));
    try testing.expectEqualStrings("far!", &buffer);
    try testing.expectEqual(4, try opened.read(3, &buffer));
    try testing.expectEqualStrings("near", &buffer);
    const window = opened.map(5 << 30, 1 << 30).?;
    try testing.expectEqualStrings("far!", window.bytes[3..7]);
}

test "connections of one process share the maps of a file until the last of them closes" {
    var place: Place = .init();
    defer place.directory.cleanup();
    const first = try place.open("db", .{ .create = true });
    try first.write(0, &.{"abc"});
    const second = try place.open("db", .{ .readonly = true });
    defer second.close();
    const other = try place.open("other", .{ .create = true });
    defer other.close();
    const map = first.map(0, 1 << 30).?;
    try testing.expectEqual(map.bytes.ptr, second.map(0, 1 << 30).?.bytes.ptr);
    try testing.expect(map.bytes.ptr != second.map(1 << 30, 1 << 30).?.bytes.ptr);
    try testing.expect(map.bytes.ptr != other.map(0, 1 << 30).?.bytes.ptr);
    first.close();
    try testing.expectEqualStrings("abc", map.bytes[0..3]);
}

test "bytes that somebody cut off read as zeros, the map says so, and reads end before them" {
    var place: Place = .init();
    defer place.directory.cleanup();
    const opened = try place.open("db", .{ .create = true });
    defer opened.close();
    const kept = std.heap.page_size_max;
    try opened.write(kept - 1, &.{"abc"});
    const map = opened.map(0, 1 << 30).?;
    try testing.expectEqualStrings("abc", map.bytes[kept - 1 ..][0..3]);
    try testing.expect(map.isWhole());

    try testing.expectEqual(.SUCCESS, sys.setLength(Connection.of(opened.context).main, kept));
    try testing.expectEqual('a', map.bytes[kept - 1]);
    try testing.expect(map.isWhole());
    try testing.expectEqual(0, map.bytes[kept]);
    try testing.expect(!map.isWhole());
    try testing.expectEqual('a', map.bytes[kept - 1]);
    var buffer: [3]u8 = undefined;
    try testing.expectEqual(1, try opened.read(kept - 1, &buffer));
}

test "descriptors of the standard streams are left alone" {
    if (builtin.os.tag != .linux) return error.SkipZigTest;
    const linux = std.os.linux;
    var place: Place = .init();
    defer place.directory.cleanup();
    const saved: i32 = @intCast(linux.fcntl(0, linux.F.DUPFD_CLOEXEC, 100));
    sys.close(0);
    defer {
        _ = linux.dup2(saved, 0);
        sys.close(saved);
    }
    const opened = try place.open("db", .{ .create = true });
    defer opened.close();
    const connection = Connection.of(opened.context);
    try testing.expect(connection.main >= descriptor_min);
    try testing.expect(connection.snapshots >= descriptor_min);
    try opened.write(0, &.{"x"});
}

test "a path keeps its meaning when the process changes its directory" {
    if (builtin.os.tag != .linux) return error.SkipZigTest;
    const linux = std.os.linux;
    var place: Place = .init();
    defer place.directory.cleanup();
    var buffer: [4096]u8 = undefined;
    const home = sys.currentDirectory(&buffer).?;
    var home_z: [4096]u8 = undefined;
    const back = try std.fmt.bufPrintZ(&home_z, "{s}", .{home});
    const opened = try place.open("db", .{ .create = true });
    defer opened.close();
    try testing.expectEqual(0, linux.chdir("/"));
    defer _ = linux.chdir(back);
    try testing.expect((try opened.stat()).same_file);
}

test "a deleted file is no longer the one that its path names" {
    var place: Place = .init();
    defer place.directory.cleanup();
    const opened = try place.open("db", .{ .create = true });
    defer opened.close();
    try place.directory.dir.deleteFile(testing.io, "db");
    try testing.expect(!(try opened.stat()).same_file);
    try opened.write(0, &.{"still writable"});
}

test "a limit of the file size is an error and not a signal" {
    if (builtin.os.tag != .linux) return error.SkipZigTest;
    const linux = std.os.linux;
    var place: Place = .init();
    defer place.directory.cleanup();
    const opened = try place.open("db", .{ .create = true });
    defer opened.close();
    var before: linux.rlimit = undefined;
    _ = linux.getrlimit(.FSIZE, &before);
    const limit: linux.rlimit = .{ .cur = 1 << 20, .max = before.max };
    _ = linux.setrlimit(.FSIZE, &limit);
    defer _ = linux.setrlimit(.FSIZE, &before);
    try opened.extend(1 << 20);
    try testing.expectError(error.NoSpace, opened.extend((1 << 20) + 1));
    try testing.expectEqual(1 << 20, (try opened.stat()).length);
}

test "a killed process leaves its writes and none of its locks" {
    if (builtin.os.tag != .linux) return error.SkipZigTest;
    const linux = std.os.linux;
    var place: Place = .init();
    defer place.directory.cleanup();
    const opened = try place.open("db", .{ .create = true });
    defer opened.close();
    const range: os.LockRange = .{ .start = 1 << 62, .len = 1 };
    const snapshot: os.LockRange = .{ .start = (1 << 62) + 5000, .len = 1 };

    const forked = linux.fork();
    if (linux.errno(forked) != .SUCCESS) return error.SkipZigTest;
    if (forked == 0) {
        const own = place.open("db", .{}) catch linux.exit_group(1);
        const locked = own.lock(.writer, .exclusive, range) catch linux.exit_group(2);
        const pinned = own.lock(.snapshots, .shared, snapshot) catch linux.exit_group(3);
        if (!locked or !pinned) linux.exit_group(4);
        own.write(0, &.{"ready"}) catch linux.exit_group(5);
        while (true) sys.sleepMs(1000);
    }
    const child: linux.pid_t = @intCast(forked);
    var reaped = false;
    defer if (!reaped) {
        _ = linux.kill(child, .KILL);
    };
    var buffer: [5]u8 = undefined;
    for (0..5000) |_| {
        if (try opened.read(0, &buffer) == 5) break;
        sys.sleepMs(1);
    }
    try testing.expectEqualStrings("ready", &buffer);
    try testing.expect(!try opened.lock(.writer, .exclusive, range));
    try testing.expectEqual(forked, opened.holder(range).process.id);
    try testing.expectEqual(.unknown, opened.holder(.{ .start = range.start + 1, .len = 1 }));
    const space: os.LockRange = .{ .start = range.start + 1, .len = 1 << 60 };
    try testing.expectEqual(snapshot.start, try opened.probe(space));
    _ = linux.kill(child, .KILL);
    var status: u32 = 0;
    _ = linux.waitpid(child, &status, 0);
    reaped = true;
    try testing.expect(try opened.lock(.writer, .exclusive, range));
    try testing.expectEqual(null, try opened.probe(snapshot));
}

test "a lock of another connection of this process is known as such" {
    if (builtin.os.tag != .linux) return error.SkipZigTest;
    var place: Place = .init();
    defer place.directory.cleanup();
    const holds = try place.open("db", .{ .create = true });
    defer holds.close();
    const asks = try place.open("db", .{});
    defer asks.close();
    const range: os.LockRange = .{ .start = 1 << 62, .len = 1 };
    try testing.expectEqual(.unknown, asks.holder(range));
    try testing.expect(try holds.lock(.writer, .exclusive, range));
    try testing.expectEqual(.this_process, asks.holder(range));
    var other_place: Place = .init();
    defer other_place.directory.cleanup();
    const other_file = try other_place.open("db", .{ .create = true });
    defer other_file.close();
    try testing.expectEqual(.unknown, other_file.holder(range));
}

test "every errno has an error" {
    // Any number may come from a driver or from a kernel to be.
    for (1..4096) |number| {
        const errno: sys.E = @enumFromInt(number);
        openError(errno) catch {};
        transferError(errno) catch {};
        lockError(errno) catch {};
    }
    try testing.expectEqual(error.NoSpace, transferError(.DQUOT));
    try testing.expectEqual(error.NoSpace, transferError(.FBIG));
    try testing.expectEqual(error.InputOutput, transferError(.IO));
    try testing.expectEqual(error.ReadOnlyMedia, openError(.ROFS));
    try testing.expectEqual(error.TooManyFiles, openError(.MFILE));
    try testing.expectEqual(error.LocksUnsupported, lockError(.NOLCK));
    try testing.expectEqual(error.LocksUnsupported, lockError(.OPNOTSUPP));
    try testing.expectEqual(error.AccessDenied, lockError(.ACCES));
}

test "a write of many parts goes on wherever the system stopped" {
    const gpa = testing.allocator;
    var prng = std.Random.DefaultPrng.init(testing.random_seed);
    const dice = prng.random();
    var source: [20_000]u8 = undefined;
    dice.bytes(&source);
    for (0..50) |_| {
        var parts: [100][]const u8 = undefined;
        var total: usize = 0;
        for (&parts) |*part| {
            const longest: usize = if (dice.boolean()) 0 else 400;
            const len = @min(dice.uintAtMost(usize, longest), source.len - total);
            part.* = source[total..][0..len];
            total += len;
        }
        var result: std.ArrayList(u8) = .empty;
        defer result.deinit(gpa);
        var progress: Progress = .{ .parts = &parts };
        var vector: [8]sys.IoVector = undefined;
        while (true) {
            const count = progress.gather(&vector);
            if (count == 0) break;
            var offered: usize = 0;
            for (vector[0..count]) |piece| offered += piece.len;
            try testing.expect(offered <= transfer_bytes_max);
            const taken = dice.uintAtMost(usize, offered);
            var left = taken;
            for (vector[0..count]) |piece| {
                const len = @min(left, piece.len);
                try result.appendSlice(gpa, piece.base[0..len]);
                left -= len;
            }
            progress.advance(taken);
        }
        try testing.expectEqualSlices(u8, source[0..total], result.items);
    }
}
