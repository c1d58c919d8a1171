//! The system calls with a fault in one of them: what a kernel does too rarely to wait for it. Only
//! the tests of `file_posix.zig` are built with it.

const std = @import("std");
const builtin = @import("builtin");

const real = switch (builtin.os.tag) {
    .linux => @import("syscalls_linux.zig"),
    .macos => @import("syscalls_darwin.zig"),
    else => @compileError("no POSIX backend for this operating system"),
};

pub const E = real.E;
pub const Descriptor = real.Descriptor;
pub const IoVector = real.IoVector;
pub const Window = real.Window;
pub const Result = real.Result;
pub const Facts = real.Facts;
pub const Access = real.Access;
pub const LockCommand = real.LockCommand;

/// The calls that can fail.
pub const Call = enum {
    open,
    duplicate_above,
    read,
    write,
    write_vector,
    facts_of,
    facts_at,
    allocate,
    set_length,
    sync,
    sync_directory,
    lock,
    find_lock,
    map,
    current_directory,
};

pub const Fault = struct {
    call: Call,
    /// Calls of that kind that go well before it, and how many fail then.
    after: u32 = 0,
    times: u32 = 1,
    what: What,
};

pub const What = union(enum) {
    errno: E,
    /// A transfer moves so many bytes at most, and says so.
    bytes_max: usize,
};

/// Tests run one after the other, and only on one thread where there is a fault.
pub var fault: ?Fault = null;
pub var fired: u32 = 0;

fn take(call: Call) ?What {
    const planned = if (fault) |*found| found else return null;
    if (planned.call != call or planned.times == 0) return null;
    if (planned.after > 0) {
        planned.after -= 1;
        return null;
    }
    planned.times -= 1;
    fired += 1;
    return planned.what;
}

fn takeErrno(call: Call) ?E {
    return switch (take(call) orelse return null) {
        .errno => |errno| errno,
        .bytes_max => null,
    };
}

fn failed(errno: E) Result {
    return .{ .value = 0, .errno = errno };
}

pub fn open(path: [*:0]const u8, access: Access) Result {
    if (takeErrno(.open)) |errno| return failed(errno);
    return real.open(path, access);
}

pub fn duplicateAbove(fd: Descriptor, at_least: u32) Result {
    if (takeErrno(.duplicate_above)) |errno| return failed(errno);
    return real.duplicateAbove(fd, at_least);
}

pub fn read(fd: Descriptor, offset: u64, buffer: []u8) Result {
    const what = take(.read) orelse return real.read(fd, offset, buffer);
    return switch (what) {
        .errno => |errno| failed(errno),
        .bytes_max => |most| real.read(fd, offset, buffer[0..@min(most, buffer.len)]),
    };
}

pub fn write(fd: Descriptor, offset: u64, bytes: []const u8) Result {
    const what = take(.write) orelse return real.write(fd, offset, bytes);
    return switch (what) {
        .errno => |errno| failed(errno),
        .bytes_max => |most| real.write(fd, offset, bytes[0..@min(most, bytes.len)]),
    };
}

pub fn writeVector(fd: Descriptor, offset: u64, vector: []const IoVector) Result {
    const what = take(.write_vector) orelse return real.writeVector(fd, offset, vector);
    return switch (what) {
        .errno => |errno| failed(errno),
        .bytes_max => |most| real.write(fd, offset, vector[0].base[0..@min(most, vector[0].len)]),
    };
}

pub fn factsOf(fd: Descriptor, facts: *Facts) E {
    return takeErrno(.facts_of) orelse real.factsOf(fd, facts);
}

pub fn factsAt(path: [*:0]const u8, facts: *Facts) E {
    return takeErrno(.facts_at) orelse real.factsAt(path, facts);
}

pub fn allocate(fd: Descriptor, from: u64, to: u64) E {
    return takeErrno(.allocate) orelse real.allocate(fd, from, to);
}

pub fn setLength(fd: Descriptor, length: u64) E {
    return takeErrno(.set_length) orelse real.setLength(fd, length);
}

pub fn sync(fd: Descriptor) E {
    return takeErrno(.sync) orelse real.sync(fd);
}

pub fn syncDirectory(fd: Descriptor) E {
    return takeErrno(.sync_directory) orelse real.syncDirectory(fd);
}

pub fn lock(fd: Descriptor, command: LockCommand, start: u64, len: u64) E {
    return takeErrno(.lock) orelse real.lock(fd, command, start, len);
}

pub fn findLock(fd: Descriptor, start: u64, len: u64, found: *?u64) E {
    return takeErrno(.find_lock) orelse real.findLock(fd, start, len, found);
}

pub fn map(fd: Descriptor, offset: u64, len: usize) ?Window {
    if (takeErrno(.map) != null) return null;
    return real.map(fd, offset, len);
}

pub fn currentDirectory(buffer: []u8) ?[]const u8 {
    if (takeErrno(.current_directory) != null) return null;
    return real.currentDirectory(buffer);
}

pub const close = real.close;
pub const complain = real.complain;
pub const fileLengthMax = real.fileLengthMax;
pub const mapsAreSafe = real.mapsAreSafe;
pub const unmap = real.unmap;
pub const discard = real.discard;
pub const monotonicMs = real.monotonicMs;
pub const wallMs = real.wallMs;
pub const sleepMs = real.sleepMs;
pub const random = real.random;
pub const bootId = real.bootId;
pub const processId = real.processId;
