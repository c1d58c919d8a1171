//! The macOS calls behind `file_posix.zig`, through libSystem, the only stable door of that kernel.
//!
//! Every call answers with its errno and maps nothing; `syscalls_linux.zig` has the same shape.

const std = @import("std");
const c = std.c;

pub const E = c.E;
pub const Descriptor = c.fd_t;
pub const IoVector = std.posix.iovec_const;
pub const Window = []align(std.heap.page_size_min) u8;

/// `value` means something only where `errno` is `SUCCESS`.
pub const Result = struct { value: usize, errno: E };

pub const Facts = struct {
    kind: enum { file, directory, other } = .other,
    device: u64 = 0,
    inode: u64 = 0,
    length: u64 = 0,

    pub fn sameFile(a: Facts, b: Facts) bool {
        return a.device == b.device and a.inode == b.inode;
    }
};

pub const Access = enum { read, read_write, create, directory };

/// Never blocks on a FIFO, never becomes the controlling terminal, never survives an exec.
pub fn open(path: [*:0]const u8, access: Access) Result {
    const flags: c.O = .{
        .ACCMODE = if (access == .read_write or access == .create) .RDWR else .RDONLY,
        .CREAT = access == .create,
        .DIRECTORY = access == .directory,
        .CLOEXEC = true,
        .NOCTTY = true,
        .NONBLOCK = true,
    };
    return resultOf(c.open(path, flags, @as(c_uint, 0o644)));
}

/// The same open file under the lowest free descriptor from `at_least` up.
pub fn duplicateAbove(fd: Descriptor, at_least: u32) Result {
    return resultOf(c.fcntl(fd, c.F.DUPFD_CLOEXEC, @as(c_int, @intCast(at_least))));
}

pub fn close(fd: Descriptor) void {
    _ = c.close(fd);
}

pub fn read(fd: Descriptor, offset: u64, buffer: []u8) Result {
    return resultOf(c.pread(fd, buffer.ptr, buffer.len, @intCast(offset)));
}

pub fn write(fd: Descriptor, offset: u64, bytes: []const u8) Result {
    return resultOf(c.pwrite(fd, bytes.ptr, bytes.len, @intCast(offset)));
}

/// To the program's standard error, as much as it takes.
pub fn complain(text: []const u8) void {
    _ = c.write(2, text.ptr, text.len);
}

pub fn writeVector(fd: Descriptor, offset: u64, vector: []const IoVector) Result {
    return resultOf(c.pwritev(fd, vector.ptr, @intCast(vector.len), @intCast(offset)));
}

pub fn factsOf(fd: Descriptor, facts: *Facts) E {
    var found: c.Stat = undefined;
    const errno = errnoOf(c.fstat(fd, &found));
    if (errno == .SUCCESS) facts.* = factsFrom(&found);
    return errno;
}

pub fn factsAt(path: [*:0]const u8, facts: *Facts) E {
    var found: c.Stat = undefined;
    const errno = errnoOf(c.fstatat(c.AT.FDCWD, path, &found, 0));
    if (errno == .SUCCESS) facts.* = factsFrom(&found);
    return errno;
}

fn factsFrom(found: *const c.Stat) Facts {
    return .{
        .kind = switch (found.mode & c.S.IFMT) {
            c.S.IFREG => .file,
            c.S.IFDIR => .directory,
            else => .other,
        },
        .device = @as(u32, @bitCast(found.dev)),
        .inode = found.ino,
        .length = @intCast(@max(0, found.size)),
    };
}

/// `struct fstore` of <sys/fcntl.h>.
const Preallocation = extern struct {
    /// F_ALLOCATEALL: all of it or nothing.
    flags: c_uint = 4,
    /// F_PEOFPOSMODE: from the end of what is allocated.
    position_mode: c_int = 3,
    offset: c.off_t = 0,
    length: c.off_t,
    bytes_allocated: c.off_t = 0,
};

/// Real space for [from, to), growing the file. `OPNOTSUPP` where the file system has no such
/// thing.
pub fn allocate(fd: Descriptor, from: u64, to: u64) E {
    var request: Preallocation = .{ .length = @intCast(to - from) };
    const errno = errnoOf(c.fcntl(fd, c.F.PREALLOCATE, &request));
    return if (errno == .SUCCESS) setLength(fd, to) else errno;
}

pub fn setLength(fd: Descriptor, length: u64) E {
    return errnoOf(c.ftruncate(fd, @intCast(length)));
}

/// A plain fsync leaves the data in the drive's cache here. Only a file system that does not know
/// the full flush (a network share) gets the plain one.
pub fn sync(fd: Descriptor) E {
    const errno = errnoOf(c.fcntl(fd, c.F.FULLFSYNC, @as(c_int, 0)));
    return switch (errno) {
        .OPNOTSUPP, .NOTTY, .INVAL => errnoOf(c.fsync(fd)),
        else => errno,
    };
}

pub fn syncDirectory(fd: Descriptor) E {
    return sync(fd);
}

/// Growing a file past this kills the process with SIGXFSZ.
pub fn fileLengthMax() u64 {
    var limit: c.rlimit = undefined;
    if (errnoOf(c.getrlimit(.FSIZE, &limit)) != .SUCCESS) return std.math.maxInt(u64);
    return @intCast(limit.cur);
}

pub const LockCommand = enum { shared, exclusive, unlock };

// In the kernel since 10.11, in the public headers only of late.
const F_OFD_SETLK = 90;
const F_OFD_GETLK = 92;

pub fn lock(fd: Descriptor, command: LockCommand, start: u64, len: u64) E {
    var region = flockOf(switch (command) {
        .shared => c.F.RDLCK,
        .exclusive => c.F.WRLCK,
        .unlock => c.F.UNLCK,
    }, start, len);
    return errnoOf(c.fcntl(fd, F_OFD_SETLK, &region));
}

/// `found` becomes the first byte of some lock that overlaps, not always the lowest one; null where
/// there is none.
pub fn findLock(fd: Descriptor, start: u64, len: u64, found: *?u64) E {
    var region = flockOf(c.F.WRLCK, start, len);
    const errno = errnoOf(c.fcntl(fd, F_OFD_GETLK, &region));
    found.* = if (region.type == c.F.UNLCK) null else @intCast(@max(0, region.start));
    return errno;
}

fn flockOf(kind: i16, start: u64, len: u64) c.Flock {
    return .{
        .start = @intCast(start),
        .len = @intCast(len),
        .pid = 0,
        .type = kind,
        .whence = 0,
    };
}

/// `struct statfs` of <sys/mount.h> with 64-bit inodes, which aarch64 has under the plain name.
const FileSystem = extern struct {
    block_bytes: u32,
    transfer_bytes: i32,
    blocks: u64,
    blocks_free: u64,
    blocks_available: u64,
    files: u64,
    files_free: u64,
    id: [2]i32,
    owner: u32,
    type: u32,
    flags: u32,
    subtype: u32,
    type_name: [16]u8,
    mounted_on: [1024]u8,
    mounted_from: [1024]u8,
    extended_flags: u32,
    reserved: [7]u32,
};

const fstatfs = @extern(*const fn (fd: c_int, out: *FileSystem) callconv(.c) c_int, .{
    .name = if (@import("builtin").cpu.arch == .x86_64) "fstatfs$INODE64" else "fstatfs",
});

/// Only on a local file system: a lost connection to a remote one turns into SIGBUS.
pub fn mapsAreSafe(fd: Descriptor) bool {
    const MNT_LOCAL = 0x1000;
    var found: FileSystem = undefined;
    return errnoOf(fstatfs(fd, &found)) == .SUCCESS and found.flags & MNT_LOCAL != 0;
}

pub fn map(fd: Descriptor, offset: u64, len: usize) ?Window {
    const protection: c.PROT = .{ .READ = true };
    const address = c.mmap(null, len, protection, .{ .TYPE = .SHARED }, fd, @intCast(offset));
    if (address == c.MAP_FAILED) return null;
    const base: [*]align(std.heap.page_size_min) u8 = @ptrCast(@alignCast(address));
    return base[0..len];
}

pub fn unmap(window: Window) void {
    _ = c.munmap(window.ptr, window.len);
}

/// The pages leave resident memory and come back from the file when touched.
pub fn discard(window: Window) void {
    _ = c.madvise(window.ptr, window.len, c.MADV.DONTNEED);
}

pub fn currentDirectory(buffer: []u8) ?[]const u8 {
    if (c.getcwd(buffer.ptr, buffer.len) == null) return null;
    return std.mem.sliceTo(buffer, 0);
}

pub fn monotonicMs() u64 {
    var now: c.timespec = .{ .sec = 0, .nsec = 0 };
    _ = c.clock_gettime(.MONOTONIC, &now);
    return @intCast(@max(0, now.sec * 1000 + @divTrunc(now.nsec, 1_000_000)));
}

pub fn wallMs() i64 {
    var now: c.timespec = .{ .sec = 0, .nsec = 0 };
    _ = c.clock_gettime(.REALTIME, &now);
    return now.sec * 1000 + @divTrunc(now.nsec, 1_000_000);
}

pub fn sleepMs(ms: u32) void {
    var left: c.timespec = .{ .sec = ms / 1000, .nsec = @as(isize, ms % 1000) * 1_000_000 };
    while (errnoOf(c.nanosleep(&left, &left)) == .INTR) {}
}

pub fn random(buffer: []u8) bool {
    c.arc4random_buf(buffer.ptr, buffer.len);
    return true;
}

/// The kernel draws it at boot.
pub fn bootId() ?[16]u8 {
    var text: [64]u8 = undefined;
    var len: usize = text.len;
    const errno = errnoOf(c.sysctlbyname("kern.bootsessionuuid", &text, &len, null, 0));
    if (errno != .SUCCESS or len < 36) return null;
    var digits: [32]u8 = undefined;
    var count: usize = 0;
    for (text[0..36]) |character| {
        if (character == '-') continue;
        if (count == digits.len) return null;
        digits[count] = character;
        count += 1;
    }
    var id: [16]u8 = undefined;
    const decoded = std.fmt.hexToBytes(&id, digits[0..count]) catch return null;
    return if (decoded.len == id.len) id else null;
}

pub fn processId() u64 {
    return @intCast(c.getpid());
}

fn errnoOf(rc: c_int) E {
    return if (rc == -1) @enumFromInt(c._errno().*) else .SUCCESS;
}

fn resultOf(rc: isize) Result {
    if (rc == -1) return .{ .value = 0, .errno = @enumFromInt(c._errno().*) };
    return .{ .value = @intCast(rc), .errno = .SUCCESS };
}
