//! Files of Windows. Where it differs from `file_posix.zig`:
//!
//! - Locks belong to handles, so the writer and the snapshots have a handle each. They are
//!   mandatory, but lie far beyond the content, so nobody's reads or writes meet them. An unlock
//!   must name exactly the range of its lock.
//! - There is no question "who has locked this?": `probe` tries to lock and unlocks at once.
//!   Another connection that comes in that moment sees a conflict that is already over, so shared
//!   locks of snapshots are tried a few times. A handle conflicts with itself, so what the
//!   connection holds on it is remembered and left out.
//! - `map` has none: a view cannot grow with its file here. The engine reads with calls instead.
//! - `bootId` is null: the system has no name of a boot that survives a change of the clock.

const std = @import("std");
const os = @import("os.zig");

pub const vtable: os.System.VTable = .{
    .open = open,
    .monotonicMs = monotonicMs,
    .wallMs = wallMs,
    .sleepMs = sleepMs,
    .random = random,
    .bootId = bootId,
    .processId = processId,
};

/// To the program's standard error, as much as it takes.
pub fn complain(text: []const u8) void {
    const standard_error = @as(u32, @bitCast(@as(i32, -12)));
    const handle = GetStdHandle(standard_error) orelse return;
    var put: u32 = 0;
    _ = WriteFile(handle, text.ptr, @intCast(text.len), &put, null);
}

/// One call transfers at most this much; its length argument has 32 bits.
const transfer_bytes_max = 1 << 30;
const offset_max = std.math.maxInt(i64);
/// How often a shared lock is tried against somebody's momentary probe, 1 ms apart.
const snapshot_lock_attempts = 32;

const Connection = struct {
    gpa: std.mem.Allocator,
    /// Carries the content and the writer's locks.
    main: Handle,
    /// Read-only; carries the locks of snapshots.
    snapshots: Handle,
    readonly: bool,
    /// Absolute, in UTF-16, with the prefix that lifts the length limit.
    path: [:0]const u16,
    /// Locked on `main`.
    held: std.ArrayList(os.LockRange) = .empty,

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

    fn of(context: *anyopaque) *Connection {
        return @ptrCast(@alignCast(context));
    }

    fn read(context: *anyopaque, offset: u64, buffer: []u8) os.Error!usize {
        const connection = of(context);
        var done: usize = 0;
        while (done < buffer.len and offset +| done <= offset_max) {
            var position = overlappedAt(offset + done);
            const len: u32 = @intCast(@min(buffer.len - done, transfer_bytes_max));
            var got: u32 = 0;
            if (ReadFile(connection.main, buffer.ptr + done, len, &got, &position) == 0) {
                const code = GetLastError();
                if (code == ERROR_HANDLE_EOF) break;
                return transferError(code);
            }
            if (got == 0) break;
            done += got;
        }
        return done;
    }

    fn write(context: *anyopaque, offset: u64, parts: []const []const u8) os.Error!void {
        const connection = of(context);
        if (connection.readonly) return error.ReadOnlyMedia;
        var total: u64 = 0;
        for (parts) |part| total +|= part.len;
        if (offset +| total > offset_max) return error.NoSpace;
        var position = offset;
        for (parts) |part| {
            try connection.writeAll(position, part);
            position += part.len;
        }
    }

    fn writeAll(connection: *Connection, offset: u64, bytes: []const u8) os.Error!void {
        var done: usize = 0;
        while (done < bytes.len) {
            var position = overlappedAt(offset + done);
            const len: u32 = @intCast(@min(bytes.len - done, transfer_bytes_max));
            var put: u32 = 0;
            if (WriteFile(connection.main, bytes.ptr + done, len, &put, &position) == 0) {
                return transferError(GetLastError());
            }
            // A device that takes nothing and says nothing would keep the caller here for ever.
            if (put == 0) return error.InputOutput;
            done += put;
        }
    }

    /// NTFS gives real clusters to every byte below the end of a file.
    fn extend(context: *anyopaque, length: u64) os.Error!void {
        const connection = of(context);
        if (connection.readonly) return error.ReadOnlyMedia;
        if (length > offset_max) return error.NoSpace;
        const before = try factsOf(connection.main);
        if (length <= before.length) return;
        var end: i64 = @intCast(length);
        const size = @sizeOf(i64);
        if (SetFileInformationByHandle(connection.main, FileEndOfFileInfo, &end, size) == 0) {
            return transferError(GetLastError());
        }
    }

    fn shrink(context: *anyopaque, length: u64) os.Error!bool {
        const connection = of(context);
        if (connection.readonly) return error.ReadOnlyMedia;
        const before = try factsOf(connection.main);
        if (length >= before.length) return true;
        var end: i64 = @intCast(length);
        const size = @sizeOf(i64);
        if (SetFileInformationByHandle(connection.main, FileEndOfFileInfo, &end, size) != 0) {
            return true;
        }
        const code = GetLastError();
        return if (code == ERROR_USER_MAPPED_FILE) false else transferError(code);
    }

    fn sync(context: *anyopaque) os.Error!void {
        const connection = of(context);
        if (connection.readonly) return;
        if (FlushFileBuffers(connection.main) != 0) return;
        return switch (transferError(GetLastError())) {
            error.NoSpace => error.NoSpace,
            else => error.InputOutput,
        };
    }

    fn stat(context: *anyopaque) os.Error!os.FileStat {
        const connection = of(context);
        const own = try factsOf(connection.main);
        const length = own.length;
        const share = FILE_SHARE_ALL;
        const there = CreateFileW(connection.path, 0, share, null, OPEN_EXISTING, 0, null);
        if (there == INVALID_HANDLE) return switch (GetLastError()) {
            ERROR_FILE_NOT_FOUND, ERROR_PATH_NOT_FOUND => .{ .length = length, .same_file = false },
            // A file whose deletion is pending answers so.
            ERROR_ACCESS_DENIED => .{ .length = length, .same_file = false },
            else => |code| transferError(code),
        };
        defer _ = CloseHandle(there);
        return .{ .length = length, .same_file = own.sameFile(try factsOf(there)) };
    }

    fn lock(
        context: *anyopaque,
        owner: os.LockOwner,
        kind: os.LockKind,
        range: os.LockRange,
    ) os.Error!bool {
        const connection = of(context);
        const writable = owner == .writer and !connection.readonly;
        if (kind == .exclusive and !writable) return error.ReadOnlyMedia;
        if (owner == .writer) try connection.held.ensureUnusedCapacity(connection.gpa, 1);
        const handle = connection.handleOf(owner);
        const attempts: u32 = if (owner == .snapshots) snapshot_lock_attempts else 1;
        for (0..attempts) |attempt| {
            if (attempt > 0) Sleep(1);
            if (!try tryLock(handle, kind, range)) continue;
            if (owner == .writer) connection.held.appendAssumeCapacity(range);
            return true;
        }
        return false;
    }

    fn unlock(context: *anyopaque, owner: os.LockOwner, range: os.LockRange) void {
        const connection = of(context);
        unlockHandle(connection.handleOf(owner), range);
        if (owner != .writer) return;
        for (connection.held.items, 0..) |held, i| {
            if (held.start != range.start or held.len != range.len) continue;
            _ = connection.held.swapRemove(i);
            return;
        }
    }

    fn probe(context: *anyopaque, range: os.LockRange) os.Error!?u64 {
        const connection = of(context);
        const end = range.start + range.len;
        var start = range.start;
        while (start < end) {
            const own = connection.firstHeld(start, end);
            const stop = if (own) |held| @max(start, held.start) else end;
            if (stop > start) {
                const between: os.LockRange = .{ .start = start, .len = stop - start };
                if (try firstLocked(connection.main, between)) |byte| return byte;
            }
            start = if (own) |held| held.start + held.len else end;
        }
        return null;
    }

    fn firstHeld(connection: *const Connection, start: u64, end: u64) ?os.LockRange {
        var first: ?os.LockRange = null;
        for (connection.held.items) |held| {
            if (held.start >= end or held.start + held.len <= start) continue;
            if (first) |other| if (other.start <= held.start) continue;
            first = held;
        }
        return first;
    }

    /// Halves the range until one byte is left: at most 64 attempts, one where nothing is locked.
    fn firstLocked(handle: Handle, range: os.LockRange) os.Error!?u64 {
        if (try isFree(handle, range)) return null;
        var start = range.start;
        var len = range.len;
        while (len > 1) {
            const half = len / 2;
            if (try isFree(handle, .{ .start = start, .len = half })) {
                start += half;
                len -= half;
            } else len = half;
        }
        return start;
    }

    fn map(_: *anyopaque, _: u64, _: usize) ?os.Map {
        return null;
    }

    fn releaseMaps(_: *anyopaque) void {}

    fn close(context: *anyopaque) void {
        const connection = of(context);
        const gpa = connection.gpa;
        _ = CloseHandle(connection.snapshots);
        _ = CloseHandle(connection.main);
        connection.held.deinit(gpa);
        gpa.free(connection.path);
        gpa.destroy(connection);
    }

    fn handleOf(connection: *Connection, owner: os.LockOwner) Handle {
        return switch (owner) {
            .writer => connection.main,
            .snapshots => connection.snapshots,
        };
    }
};

fn isFree(handle: Handle, range: os.LockRange) os.Error!bool {
    const free = try tryLock(handle, .exclusive, range);
    if (free) unlockHandle(handle, range);
    return free;
}

fn tryLock(handle: Handle, kind: os.LockKind, range: os.LockRange) os.Error!bool {
    std.debug.assert(range.len > 0 and range.start + range.len - 1 <= offset_max);
    const flags: u32 = switch (kind) {
        .shared => LOCKFILE_FAIL_IMMEDIATELY,
        .exclusive => LOCKFILE_FAIL_IMMEDIATELY | LOCKFILE_EXCLUSIVE_LOCK,
    };
    var position = overlappedAt(range.start);
    const low: u32 = @truncate(range.len);
    const high: u32 = @truncate(range.len >> 32);
    if (LockFileEx(handle, flags, 0, low, high, &position) != 0) return true;
    return switch (GetLastError()) {
        ERROR_LOCK_VIOLATION, ERROR_IO_PENDING => false,
        ERROR_INVALID_FUNCTION, ERROR_NOT_SUPPORTED => error.LocksUnsupported,
        else => |code| transferError(code),
    };
}

fn unlockHandle(handle: Handle, range: os.LockRange) void {
    var position = overlappedAt(range.start);
    const low: u32 = @truncate(range.len);
    const high: u32 = @truncate(range.len >> 32);
    _ = UnlockFileEx(handle, 0, low, high, &position);
}

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

const Pair = struct { main: Handle, snapshots: Handle };

/// Two handles of one file. The path may come to name another file between the two calls; then both
/// are opened anew.
fn openPair(path: [:0]const u16, options: os.OpenOptions) os.Error!Pair {
    const access = if (options.readonly) GENERIC_READ else GENERIC_READ | GENERIC_WRITE;
    const create = options.create and !options.readonly;
    for (0..8) |_| {
        const main = try openHandle(path, access, if (create) OPEN_ALWAYS else OPEN_EXISTING);
        errdefer _ = CloseHandle(main);
        if (GetFileType(main) != FILE_TYPE_DISK) return error.NotRegularFile;
        const snapshots = try openHandle(path, GENERIC_READ, OPEN_EXISTING);
        errdefer _ = CloseHandle(snapshots);
        const own = try factsOf(main);
        if (own.sameFile(try factsOf(snapshots))) return .{ .main = main, .snapshots = snapshots };
        _ = CloseHandle(snapshots);
        _ = CloseHandle(main);
    }
    return error.FileNotFound;
}

fn openHandle(path: [:0]const u16, access: u32, disposition: u32) os.Error!Handle {
    const share = FILE_SHARE_ALL;
    const kind = FILE_ATTRIBUTE_NORMAL;
    const handle = CreateFileW(path, access, share, null, disposition, kind, null);
    if (handle != INVALID_HANDLE) return handle;
    return switch (GetLastError()) {
        ERROR_FILE_NOT_FOUND,
        ERROR_PATH_NOT_FOUND,
        ERROR_INVALID_NAME,
        ERROR_BAD_PATHNAME,
        ERROR_DIRECTORY,
        => error.FileNotFound,
        ERROR_TOO_MANY_OPEN_FILES => error.TooManyFiles,
        ERROR_ACCESS_DENIED => if (isDirectory(path)) error.IsDirectory else error.AccessDenied,
        else => |code| transferError(code),
    };
}

fn isDirectory(path: [:0]const u16) bool {
    const attributes = GetFileAttributesW(path);
    return attributes != INVALID_ATTRIBUTES and attributes & FILE_ATTRIBUTE_DIRECTORY != 0;
}

/// Longer paths than 260 units need the `\\?\` prefix, which only absolute ones may have.
fn absolutePath(gpa: std.mem.Allocator, path: []const u8) os.Error![:0]const u16 {
    const wide = std.unicode.wtf8ToWtf16LeAllocZ(gpa, path) catch |err| return switch (err) {
        error.OutOfMemory => error.OutOfMemory,
        error.InvalidWtf8 => error.FileNotFound,
    };
    defer gpa.free(wide);
    const need = GetFullPathNameW(wide, 0, null, null);
    if (need == 0) return error.FileNotFound;
    const full = try gpa.alloc(u16, need);
    defer gpa.free(full);
    const len = GetFullPathNameW(wide, need, full.ptr, null);
    if (len == 0 or len >= need) return error.FileNotFound;
    const prefix = prefixOf(full[0..len]);
    const rest = full[prefix.skip..len];
    const absolute = try gpa.allocSentinel(u16, prefix.text.len + rest.len, 0);
    @memcpy(absolute[0..prefix.text.len], prefix.text);
    @memcpy(absolute[prefix.text.len..], rest);
    return absolute;
}

const Prefix = struct { text: []const u16, skip: usize };

fn prefixOf(full: []const u16) Prefix {
    const L = std.unicode.utf8ToUtf16LeStringLiteral;
    const is_device = std.mem.startsWith(u16, full, L("\\\\?\\")) or
        std.mem.startsWith(u16, full, L("\\\\.\\"));
    if (is_device) return .{ .text = L(""), .skip = 0 };
    if (std.mem.startsWith(u16, full, L("\\\\"))) return .{ .text = L("\\\\?\\UNC\\"), .skip = 2 };
    return .{ .text = L("\\\\?\\"), .skip = 0 };
}

const Facts = struct {
    volume: u32,
    index: u64,
    length: u64,

    fn sameFile(a: Facts, b: Facts) bool {
        return a.volume == b.volume and a.index == b.index;
    }
};

fn factsOf(handle: Handle) os.Error!Facts {
    var found: FileInformation = undefined;
    if (GetFileInformationByHandle(handle, &found) == 0) return transferError(GetLastError());
    return .{
        .volume = found.volume_serial,
        .index = @as(u64, found.index_high) << 32 | found.index_low,
        .length = @as(u64, found.size_high) << 32 | found.size_low,
    };
}

fn transferError(code: u32) os.Error {
    return switch (code) {
        ERROR_HANDLE_DISK_FULL,
        ERROR_DISK_FULL,
        ERROR_DISK_QUOTA_EXCEEDED,
        ERROR_FILE_TOO_LARGE,
        => error.NoSpace,
        // A lock or a share mode of a program that is not one of ours.
        ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION => error.AccessDenied,
        ERROR_WRITE_PROTECT => error.ReadOnlyMedia,
        ERROR_NOT_ENOUGH_MEMORY, ERROR_OUTOFMEMORY, ERROR_NO_SYSTEM_RESOURCES => error.OutOfMemory,
        else => error.InputOutput,
    };
}

fn overlappedAt(offset: u64) Overlapped {
    return .{ .offset_low = @truncate(offset), .offset_high = @truncate(offset >> 32) };
}

/// Not the tick count, which stands still for up to 16 ms.
fn monotonicMs(_: *anyopaque) u64 {
    var frequency: i64 = 0;
    var count: i64 = 0;
    if (QueryPerformanceFrequency(&frequency) == 0 or frequency <= 0) return GetTickCount64();
    if (QueryPerformanceCounter(&count) == 0) return GetTickCount64();
    return @intCast(@divTrunc(@as(i128, count) * 1000, frequency));
}

fn wallMs(_: *anyopaque) i64 {
    const ticks_per_ms = 10_000;
    const ms_from_1601_to_1970 = 11_644_473_600_000;
    var time: FileTime = .{ .low = 0, .high = 0 };
    GetSystemTimeAsFileTime(&time);
    const ticks = @as(u64, time.high) << 32 | time.low;
    return @as(i64, @intCast(ticks / ticks_per_ms)) - ms_from_1601_to_1970;
}

fn sleepMs(_: *anyopaque, ms: u32) void {
    Sleep(ms);
}

fn random(_: *anyopaque, buffer: []u8) void {
    var done: usize = 0;
    while (done < buffer.len) {
        const len: u32 = @intCast(@min(buffer.len - done, transfer_bytes_max));
        if (SystemFunction036(buffer.ptr + done, len) == 0) break;
        done += len;
    }
    if (done == buffer.len) return;
    // Names and hash seeds need difference, not secrecy.
    const address: u64 = @intFromPtr(buffer.ptr);
    const process = @as(u64, GetCurrentProcessId()) << 40;
    var prng = std.Random.DefaultPrng.init(GetTickCount64() ^ process ^ address);
    prng.fill(buffer[done..]);
}

fn bootId(_: *anyopaque) ?[16]u8 {
    return null;
}

fn processId(_: *anyopaque) u64 {
    return GetCurrentProcessId();
}

const Handle = *anyopaque;
const INVALID_HANDLE: Handle = @ptrFromInt(std.math.maxInt(usize));
const INVALID_ATTRIBUTES = 0xFFFF_FFFF;

const GENERIC_READ: u32 = 0x8000_0000;
const GENERIC_WRITE: u32 = 0x4000_0000;
/// Others may read, write, rename and delete, as everywhere else.
const FILE_SHARE_ALL = 0x7;
const OPEN_EXISTING = 3;
const OPEN_ALWAYS = 4;
const FILE_ATTRIBUTE_DIRECTORY = 0x10;
const FILE_ATTRIBUTE_NORMAL = 0x80;
const FILE_TYPE_DISK = 1;
const FileEndOfFileInfo = 6;
const LOCKFILE_FAIL_IMMEDIATELY = 1;
const LOCKFILE_EXCLUSIVE_LOCK = 2;

const ERROR_INVALID_FUNCTION = 1;
const ERROR_FILE_NOT_FOUND = 2;
const ERROR_PATH_NOT_FOUND = 3;
const ERROR_TOO_MANY_OPEN_FILES = 4;
const ERROR_ACCESS_DENIED = 5;
const ERROR_NOT_ENOUGH_MEMORY = 8;
const ERROR_OUTOFMEMORY = 14;
const ERROR_WRITE_PROTECT = 19;
const ERROR_SHARING_VIOLATION = 32;
const ERROR_LOCK_VIOLATION = 33;
const ERROR_HANDLE_EOF = 38;
const ERROR_HANDLE_DISK_FULL = 39;
const ERROR_NOT_SUPPORTED = 50;
const ERROR_DISK_FULL = 112;
const ERROR_INVALID_NAME = 123;
const ERROR_BAD_PATHNAME = 161;
const ERROR_FILE_TOO_LARGE = 223;
const ERROR_DIRECTORY = 267;
const ERROR_IO_PENDING = 997;
const ERROR_USER_MAPPED_FILE = 1224;
const ERROR_DISK_QUOTA_EXCEEDED = 1295;
const ERROR_NO_SYSTEM_RESOURCES = 1450;

const Overlapped = extern struct {
    internal: usize = 0,
    internal_high: usize = 0,
    offset_low: u32,
    offset_high: u32,
    event: ?Handle = null,
};

const FileTime = extern struct { low: u32, high: u32 };

/// BY_HANDLE_FILE_INFORMATION.
const FileInformation = extern struct {
    attributes: u32,
    created: FileTime,
    accessed: FileTime,
    written: FileTime,
    volume_serial: u32,
    size_high: u32,
    size_low: u32,
    link_count: u32,
    index_high: u32,
    index_low: u32,
};

extern "kernel32" fn CreateFileW(
    path: [*:0]const u16,
    access: u32,
    share: u32,
    security: ?*anyopaque,
    disposition: u32,
    attributes: u32,
    template: ?Handle,
) callconv(.winapi) Handle;
extern "kernel32" fn CloseHandle(handle: Handle) callconv(.winapi) c_int;
extern "kernel32" fn GetLastError() callconv(.winapi) u32;
extern "kernel32" fn GetFileAttributesW(path: [*:0]const u16) callconv(.winapi) u32;
extern "kernel32" fn GetFileType(handle: Handle) callconv(.winapi) u32;
extern "kernel32" fn GetFileInformationByHandle(
    handle: Handle,
    out: *FileInformation,
) callconv(.winapi) c_int;
extern "kernel32" fn SetFileInformationByHandle(
    handle: Handle,
    class: u32,
    information: *const anyopaque,
    information_bytes: u32,
) callconv(.winapi) c_int;
extern "kernel32" fn GetFullPathNameW(
    path: [*:0]const u16,
    buffer_len: u32,
    buffer: ?[*]u16,
    file_part: ?*?[*]u16,
) callconv(.winapi) u32;
extern "kernel32" fn ReadFile(
    handle: Handle,
    buffer: [*]u8,
    len: u32,
    got: *u32,
    position: *Overlapped,
) callconv(.winapi) c_int;
extern "kernel32" fn WriteFile(
    handle: Handle,
    buffer: [*]const u8,
    len: u32,
    put: *u32,
    position: ?*Overlapped,
) callconv(.winapi) c_int;
extern "kernel32" fn GetStdHandle(which: u32) callconv(.winapi) ?Handle;
extern "kernel32" fn FlushFileBuffers(handle: Handle) callconv(.winapi) c_int;
extern "kernel32" fn LockFileEx(
    handle: Handle,
    flags: u32,
    reserved: u32,
    len_low: u32,
    len_high: u32,
    position: *Overlapped,
) callconv(.winapi) c_int;
extern "kernel32" fn UnlockFileEx(
    handle: Handle,
    reserved: u32,
    len_low: u32,
    len_high: u32,
    position: *Overlapped,
) callconv(.winapi) c_int;
extern "kernel32" fn GetTickCount64() callconv(.winapi) u64;
extern "kernel32" fn QueryPerformanceCounter(out: *i64) callconv(.winapi) c_int;
extern "kernel32" fn QueryPerformanceFrequency(out: *i64) callconv(.winapi) c_int;
extern "kernel32" fn GetSystemTimeAsFileTime(out: *FileTime) callconv(.winapi) void;
extern "kernel32" fn Sleep(ms: u32) callconv(.winapi) void;
extern "kernel32" fn GetCurrentProcessId() callconv(.winapi) u32;
/// RtlGenRandom.
extern "advapi32" fn SystemFunction036(buffer: [*]u8, len: u32) callconv(.winapi) u8;

test "a path gets the prefix that its kind needs" {
    const L = std.unicode.utf8ToUtf16LeStringLiteral;
    try std.testing.expectEqual(0, prefixOf(L("\\\\?\\C:\\a")).text.len);
    try std.testing.expectEqual(0, prefixOf(L("\\\\.\\pipe\\a")).text.len);
    try std.testing.expectEqual(2, prefixOf(L("\\\\server\\share\\a")).skip);
    try std.testing.expectEqualSlices(u16, L("\\\\?\\"), prefixOf(L("C:\\a")).text);
}
