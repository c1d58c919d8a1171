//! The Linux system calls behind `file_posix.zig`, made directly: the library then needs no libc,
//! and one binary per architecture loads on glibc and on musl alike.
//!
//! Every call answers with its errno and maps nothing; `syscalls_darwin.zig` has the same shape.

const std = @import("std");
const linux = std.os.linux;

pub const E = linux.E;
pub const Descriptor = linux.fd_t;
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
    const flags: linux.O = .{
        .ACCMODE = if (access == .read_write or access == .create) .RDWR else .RDONLY,
        .CREAT = access == .create,
        .DIRECTORY = access == .directory,
        .CLOEXEC = true,
        .NOCTTY = true,
        .NONBLOCK = true,
    };
    return resultOf(linux.openat(linux.AT.FDCWD, path, flags, 0o644));
}

/// The same open file under the lowest free descriptor from `at_least` up.
pub fn duplicateAbove(fd: Descriptor, at_least: u32) Result {
    return resultOf(linux.fcntl(fd, linux.F.DUPFD_CLOEXEC, at_least));
}

pub fn close(fd: Descriptor) void {
    // Linux frees the descriptor whatever this returns, so there is nothing to retry.
    _ = linux.close(fd);
}

pub fn read(fd: Descriptor, offset: u64, buffer: []u8) Result {
    return resultOf(linux.pread(fd, buffer.ptr, buffer.len, @intCast(offset)));
}

pub fn write(fd: Descriptor, offset: u64, bytes: []const u8) Result {
    return resultOf(linux.pwrite(fd, bytes.ptr, bytes.len, @intCast(offset)));
}

/// To the program's standard error, as much as it takes.
pub fn complain(text: []const u8) void {
    _ = linux.write(2, text.ptr, text.len);
}

pub fn writeVector(fd: Descriptor, offset: u64, vector: []const IoVector) Result {
    return resultOf(linux.pwritev(fd, vector.ptr, vector.len, @intCast(offset)));
}

/// Entries of a directory, as many as fit (`linux.dirent64`); none at its end.
pub fn readDirectory(fd: Descriptor, buffer: []u8) Result {
    return resultOf(linux.getdents64(fd, buffer.ptr, buffer.len));
}

pub fn factsOf(fd: Descriptor, facts: *Facts) E {
    return statx(fd, "", linux.AT.EMPTY_PATH, facts);
}

pub fn factsAt(path: [*:0]const u8, facts: *Facts) E {
    return statx(linux.AT.FDCWD, path, 0, facts);
}

fn statx(fd: Descriptor, path: [*:0]const u8, flags: u32, facts: *Facts) E {
    var found: linux.Statx = undefined;
    const mask: linux.STATX = .{ .TYPE = true, .INO = true, .SIZE = true };
    const errno = linux.errno(linux.statx(fd, path, flags, mask, &found));
    if (errno != .SUCCESS) return errno;
    facts.* = .{
        .kind = switch (found.mode & linux.S.IFMT) {
            linux.S.IFREG => .file,
            linux.S.IFDIR => .directory,
            else => .other,
        },
        .device = @as(u64, found.dev_major) << 32 | found.dev_minor,
        .inode = found.ino,
        .length = found.size,
    };
    return .SUCCESS;
}

/// Real space for [from, to), growing the file. The raw call on purpose: glibc's posix_fallocate
/// writes zeros where the file system has no such operation.
pub fn allocate(fd: Descriptor, from: u64, to: u64) E {
    return linux.errno(linux.fallocate(fd, 0, @intCast(from), @intCast(to - from)));
}

pub fn setLength(fd: Descriptor, length: u64) E {
    return linux.errno(linux.ftruncate(fd, @intCast(length)));
}

/// Content and length, but not the timestamps.
pub fn sync(fd: Descriptor) E {
    return linux.errno(linux.fdatasync(fd));
}

pub fn syncDirectory(fd: Descriptor) E {
    return linux.errno(linux.fsync(fd));
}

/// Growing a file past this kills the process with SIGXFSZ.
pub fn fileLengthMax() u64 {
    var limit: linux.rlimit = undefined;
    if (linux.errno(linux.getrlimit(.FSIZE, &limit)) != .SUCCESS) return std.math.maxInt(u64);
    return limit.cur;
}

pub const LockCommand = enum { shared, exclusive, unlock };

pub fn lock(fd: Descriptor, command: LockCommand, start: u64, len: u64) E {
    var region = flockOf(switch (command) {
        .shared => linux.F.RDLCK,
        .exclusive => linux.F.WRLCK,
        .unlock => linux.F.UNLCK,
    }, start, len);
    return linux.errno(linux.fcntl(fd, linux.F.OFD_SETLK, @intFromPtr(&region)));
}

/// `found` becomes the first byte of some lock that overlaps, not always the lowest one; null where
/// there is none.
pub fn findLock(fd: Descriptor, start: u64, len: u64, found: *?u64) E {
    var region = flockOf(linux.F.WRLCK, start, len);
    const errno = linux.errno(linux.fcntl(fd, linux.F.OFD_GETLK, @intFromPtr(&region)));
    found.* = if (region.type == linux.F.UNLCK) null else @intCast(@max(0, region.start));
    return errno;
}

fn flockOf(kind: i16, start: u64, len: u64) linux.Flock {
    return .{
        .type = kind,
        .whence = 0,
        .start = @intCast(start),
        .len = @intCast(len),
        // The kernel refuses a lock of an open file description that names a process.
        .pid = 0,
        ._unused = {},
    };
}

/// Network and user-space file systems turn a lost connection into SIGBUS and show other machines'
/// writes late or never, so the engine reads them with calls.
pub fn mapsAreSafe(fd: Descriptor) bool {
    // struct statfs is 120 bytes on every 64-bit Linux; its first word is the magic number.
    var words: [32]u64 = @splat(0);
    const errno = linux.errno(linux.syscall2(
        .fstatfs,
        @bitCast(@as(isize, fd)),
        @intFromPtr(&words),
    ));
    if (errno != .SUCCESS) return false;
    return switch (words[0] & 0xFFFF_FFFF) {
        0x0000_6969, // NFS
        0x0000_517B, // SMB
        0xFF53_4D42, // CIFS
        0xFE53_4D42, // SMB2
        0x0102_1997, // 9P
        0x6573_5546, // FUSE and virtiofs
        0x00C3_6400, // Ceph
        0x5346_414F, // AFS
        => false,
        else => true,
    };
}

pub fn map(fd: Descriptor, offset: u64, len: usize) ?Window {
    const protection: linux.PROT = .{ .READ = true };
    const flags: linux.MAP = .{ .TYPE = .SHARED };
    const rc = linux.mmap(null, len, protection, flags, fd, @intCast(offset));
    if (linux.errno(rc) != .SUCCESS) return null;
    const base: [*]align(std.heap.page_size_min) u8 = @ptrFromInt(rc);
    return base[0..len];
}

pub fn unmap(window: Window) void {
    _ = linux.munmap(window.ptr, window.len);
}

/// The pages leave resident memory and come back from the file when touched.
pub fn discard(window: Window) void {
    _ = linux.madvise(window.ptr, window.len, linux.MADV.DONTNEED);
}

pub fn currentDirectory(buffer: []u8) ?[]const u8 {
    const rc = linux.getcwd(buffer.ptr, buffer.len);
    if (linux.errno(rc) != .SUCCESS or rc == 0) return null;
    // The kernel counts the terminator, and answers "(unreachable)…" outside of the root.
    const path = buffer[0 .. rc - 1];
    return if (path.len > 0 and path[0] == '/') path else null;
}

pub fn monotonicMs() u64 {
    var now: linux.timespec = .{ .sec = 0, .nsec = 0 };
    _ = linux.clock_gettime(.MONOTONIC, &now);
    return @intCast(@max(0, now.sec * 1000 + @divTrunc(now.nsec, 1_000_000)));
}

pub fn wallMs() i64 {
    var now: linux.timespec = .{ .sec = 0, .nsec = 0 };
    _ = linux.clock_gettime(.REALTIME, &now);
    return now.sec * 1000 + @divTrunc(now.nsec, 1_000_000);
}

pub fn sleepMs(ms: u32) void {
    var left: linux.timespec = .{ .sec = ms / 1000, .nsec = @as(isize, ms % 1000) * 1_000_000 };
    while (linux.errno(linux.nanosleep(&left, &left)) == .INTR) {}
}

/// False where the kernel gives no randomness (older than 3.17, or a sandbox that forbids the
/// call).
pub fn random(buffer: []u8) bool {
    var done: usize = 0;
    while (done < buffer.len) {
        const rc = linux.getrandom(buffer.ptr + done, buffer.len - done, 0);
        switch (linux.errno(rc)) {
            .SUCCESS => done += rc,
            .INTR => {},
            else => return false,
        }
    }
    return true;
}

/// The kernel draws it at boot; containers share it with their host.
pub fn bootId() ?[16]u8 {
    const opened = open("/proc/sys/kernel/random/boot_id", .read);
    if (opened.errno != .SUCCESS) return null;
    const fd: Descriptor = @intCast(opened.value);
    defer close(fd);
    var text: [36]u8 = undefined;
    const got = read(fd, 0, &text);
    if (got.errno != .SUCCESS or got.value != text.len) return null;
    return parseUuid(&text);
}

fn parseUuid(text: *const [36]u8) ?[16]u8 {
    var digits: [32]u8 = undefined;
    var count: usize = 0;
    for (text) |character| {
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
    return @intCast(linux.getpid());
}

fn resultOf(rc: usize) Result {
    return .{ .value = rc, .errno = linux.errno(rc) };
}

test "a boot id is 32 hexadecimal digits among dashes" {
    const id = parseUuid("00112233-4455-6677-8899-aabbccddeeff").?;
    const number = std.mem.readInt(u128, &id, .big);
    try std.testing.expectEqual(0x00112233445566778899aabbccddeeff, number);
    try std.testing.expectEqual(null, parseUuid("00112233-4455-6677-8899-aabbccddee--"));
    try std.testing.expectEqual(null, parseUuid("0011223344556677-8899-aabbccddeeff00"));
    try std.testing.expectEqual(null, parseUuid("not a boot id, just 36 characters ..."[0..36]));
}
