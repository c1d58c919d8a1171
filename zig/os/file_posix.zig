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

const sys = switch (builtin.os.tag) {
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

/// Offsets are signed on this side of the kernel.
const offset_max = std.math.maxInt(i64);
/// macOS refuses a transfer of 2 GiB, Linux shortens it; half of that is the same for both.
const transfer_bytes_max = 1 << 30;
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
    readonly: bool,
    maps_are_safe: ?bool = null,
    windows: std.ArrayList(sys.Window) = .empty,
    /// Absolute where it could be found out, so that a later chdir changes nothing.
    path: [:0]const u8,

    const file_vtable: os.File.VTable = .{
        .read = read,
        .write = write,
        .extend = extend,
        .sync = sync,
        .stat = stat,
        .lock = lock,
        .unlock = unlock,
        .probe = probe,
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
        var next: usize = 0;
        // Bytes of parts[next] that are already written.
        var skip: usize = 0;
        while (next < parts.len) {
            var vector: [parts_per_call_max]sys.IoVector = undefined;
            const count = gather(&vector, parts[next..], skip);
            if (count == 0) return;
            var left = try written(sys.writeVector(connection.main, position, vector[0..count]));
            position += left;
            while (next < parts.len and left >= parts[next].len - skip) {
                left -= parts[next].len - skip;
                skip = 0;
                next += 1;
            }
            skip += left;
        }
    }

    /// Never shrinks below what the file had, also when the new space is not to be had.
    fn extend(context: *anyopaque, length: u64) os.Error!void {
        const connection = of(context);
        if (connection.readonly) return error.ReadOnlyMedia;
        if (length > offset_max) return error.NoSpace;
        const before = try connection.facts();
        if (length <= before.length) return;
        if (length > sys.fileLengthMax()) return error.NoSpace;
        switch (allocate(connection.main, before.length, length)) {
            .SUCCESS => {},
            .OPNOTSUPP, .NOSYS, .INVAL, .INTR => try setLength(connection.main, length),
            else => |errno| {
                // A partial success holds on to space that a full disk needs elsewhere.
                _ = sys.setLength(connection.main, before.length);
                return transferError(errno);
            },
        }
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
        const own = try connection.facts();
        return .{ .length = own.length, .same_file = try connection.pathNames(own) };
    }

    fn facts(connection: *Connection) os.Error!sys.Facts {
        var own: sys.Facts = .{};
        while (true) switch (sys.factsOf(connection.main, &own)) {
            .SUCCESS => return own,
            .INTR => {},
            else => |errno| return transferError(errno),
        };
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

    fn map(context: *anyopaque, offset: u64, len: usize) ?[]const u8 {
        const connection = of(context);
        if (len == 0 or offset +| len > offset_max) return null;
        const safe = connection.maps_are_safe orelse sys.mapsAreSafe(connection.main);
        connection.maps_are_safe = safe;
        if (!safe) return null;
        const lead: usize = @intCast(offset % std.heap.pageSize());
        connection.windows.ensureUnusedCapacity(connection.gpa, 1) catch return null;
        const window = sys.map(connection.main, offset - lead, lead + len) orelse return null;
        connection.windows.appendAssumeCapacity(window);
        return window[lead..];
    }

    fn releaseMaps(context: *anyopaque) void {
        for (of(context).windows.items) |window| sys.discard(window);
    }

    fn close(context: *anyopaque) void {
        const connection = of(context);
        const gpa = connection.gpa;
        for (connection.windows.items) |window| sys.unmap(window);
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
        .readonly = options.readonly,
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

const Pair = struct { main: sys.Descriptor, snapshots: sys.Descriptor };

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
        var facts: sys.Facts = .{};
        const errno = sys.factsOf(snapshots, &facts);
        if (errno != .SUCCESS) return openError(errno);
        if (facts.sameFile(main.facts)) return .{ .main = main.fd, .snapshots = snapshots };
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
    var facts: sys.Facts = .{};
    const errno = sys.factsOf(fd, &facts);
    if (errno != .SUCCESS) return openError(errno);
    switch (facts.kind) {
        .file => {},
        .directory => return error.IsDirectory,
        .other => return error.NotRegularFile,
    }
    // An empty file may be one that another process has only just created.
    if (facts.length == 0 and access == .read_write) try syncParent(path);
    return .{ .fd = fd, .facts = facts };
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

fn aboveStandardStreams(fd: sys.Descriptor) os.Error!sys.Descriptor {
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
    const opened = sys.open(parent_z, .directory);
    if (opened.errno != .SUCCESS) return;
    const fd: sys.Descriptor = @intCast(opened.value);
    defer sys.close(fd);
    switch (sys.syncDirectory(fd)) {
        .IO => return error.InputOutput,
        .NOSPC, .DQUOT => return error.NoSpace,
        else => {},
    }
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

fn setLength(fd: sys.Descriptor, length: u64) os.Error!void {
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

/// Fills `vector` from `parts`, without the first `skip` bytes and without empty parts.
fn gather(vector: []sys.IoVector, parts: []const []const u8, skip: usize) usize {
    var count: usize = 0;
    var total: usize = 0;
    var start = skip;
    for (parts) |part| {
        if (count == vector.len or total == transfer_bytes_max) break;
        const rest = part[start..];
        start = 0;
        if (rest.len == 0) continue;
        const len = @min(rest.len, transfer_bytes_max - total);
        vector[count] = .{ .base = rest.ptr, .len = len };
        count += 1;
        total += len;
        if (len < rest.len) break;
    }
    return count;
}

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
