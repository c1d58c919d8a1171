//! What the engine sees of the machine: one file, its locks, a map of it, a clock and randomness.
//!
//! Everything above this folder reaches the outside only through these two interfaces, so the same
//! engine runs on a real file (`file.zig`), on memory (`memory.zig`) and on a simulated disk that
//! can produce every crash image the fault model allows (`simulated.zig`). A `File` is one open
//! connection: two connections to one file behave like two processes, also inside one process.

const std = @import("std");

/// Everything that can go wrong below the engine. Finite on purpose: the boundary maps each to a
/// status, so a new member breaks the build until it has one.
pub const Error = error{
    /// ENOSPC or EDQUOT, or a file-size limit. The file is as it was.
    NoSpace,
    /// The device failed (EIO and everything that has no better name).
    InputOutput,
    /// EACCES or EPERM.
    AccessDenied,
    /// EROFS, or a write to something opened read-only.
    ReadOnlyMedia,
    /// ENOENT.
    FileNotFound,
    /// The path names a directory.
    IsDirectory,
    /// The path names something that is neither a file nor a directory (a socket, a device).
    NotRegularFile,
    /// EMFILE, ENFILE.
    TooManyFiles,
    /// The file system has no byte-range locks (ENOLCK, EOPNOTSUPP).
    LocksUnsupported,
    OutOfMemory,
};

/// How `System.open` opens. The default opens an existing file for reading and writing.
pub const OpenOptions = struct {
    /// Never writes, creates or repairs anything; write calls fail with `ReadOnlyMedia`.
    readonly: bool = false,
    /// Creates an empty file (and makes its directory entry durable) where there is none.
    create: bool = false,
};

/// A lock is taken on one of two descriptors, because byte-range locks of one descriptor never
/// conflict with each other: the writer must see the snapshots of its own process.
pub const LockOwner = enum { writer, snapshots };

pub const LockKind = enum { shared, exclusive };

/// A half-open range of lock bytes. They lie far beyond the content (`format.lock_base`).
pub const LockRange = struct { start: u64, len: u64 };

/// Who holds a lock, as far as the system tells. `{f}` begins a sentence about it.
pub const LockHolder = union(enum) {
    unknown,
    /// Another connection of this process.
    this_process,
    /// `name` is what the system calls the program, filled up with zeros.
    process: struct { id: u64, name: [name_bytes_max]u8 },

    pub const name_bytes_max = 16;

    pub fn format(holder: LockHolder, writer: *std.Io.Writer) std.Io.Writer.Error!void {
        switch (holder) {
            .unknown => try writer.writeAll("another connection (of this or another process)"),
            .this_process => try writer.writeAll("another connection of this process"),
            .process => |process| {
                try writer.print("process {d}", .{process.id});
                const name = std.mem.sliceTo(&process.name, 0);
                if (name.len > 0) try writer.print(" ({s})", .{name});
            },
        }
    }
};

pub const FileStat = struct {
    /// Bytes in the file now.
    length: u64,
    /// The path still names the file that this connection has open.
    same_file: bool,
};

/// A view of a file's bytes.
pub const Map = struct {
    bytes: []const u8,
    /// Set once bytes were touched that the file has no longer, or that the device cannot give.
    /// They, and what follows them, read as zeros then.
    broken: *const std.atomic.Value(bool),

    const never: std.atomic.Value(bool) = .init(false);

    /// A view of memory, which cannot lose its bytes.
    pub fn ofMemory(bytes: []const u8) Map {
        return .{ .bytes = bytes, .broken = &never };
    }

    /// Whether everything read before this call was the file's.
    pub fn isWhole(map: Map) bool {
        // The mark is set in the middle of a load: no load may move behind this one.
        asm volatile ("" ::: .{ .memory = true });
        return !map.broken.load(.monotonic);
    }
};

/// One open connection to one file. `close` ends it and releases its locks and maps.
pub const File = struct {
    context: *anyopaque,
    vtable: *const VTable,

    pub const VTable = struct {
        /// Fills `buffer` from `offset`; returns fewer bytes only at the end of the file.
        read: *const fn (context: *anyopaque, offset: u64, buffer: []u8) Error!usize,
        /// Writes `parts` one after the other at `offset`, all of it or an error. The parts
        /// are borrowed for the call. Writing past the end extends the file.
        write: *const fn (context: *anyopaque, offset: u64, parts: []const []const u8) Error!void,
        /// Grows the file to `length` bytes with real space behind it where the file system can
        /// promise that. Never shrinks.
        extend: *const fn (context: *anyopaque, length: u64) Error!void,
        /// Cuts the file down to `length` bytes; false where the system does not allow that now
        /// (Windows, while anybody has the file mapped). Views stay valid: what they show past the
        /// new end is not to be looked at.
        shrink: *const fn (context: *anyopaque, length: u64) Error!bool,
        /// Everything written so far, and the file's length, survive power loss. An error means
        /// that nobody knows what reached the device: the caller must not retry.
        sync: *const fn (context: *anyopaque) Error!void,
        stat: *const fn (context: *anyopaque) Error!FileStat,
        /// Never waits: false where another connection holds a conflicting lock.
        lock: *const fn (
            context: *anyopaque,
            owner: LockOwner,
            kind: LockKind,
            range: LockRange,
        ) Error!bool,
        unlock: *const fn (context: *anyopaque, owner: LockOwner, range: LockRange) void,
        /// The first byte of `range` that another descriptor has locked (the `snapshots`
        /// descriptor of this connection counts as another one), or null. It asks as the
        /// `writer` descriptor.
        probe: *const fn (context: *anyopaque, range: LockRange) Error!?u64,
        /// Who holds the lock that made `lock` answer false. It may take a tenth of a second, and
        /// the lock may be somebody else's by then: for messages only.
        holder: *const fn (context: *anyopaque, range: LockRange) LockHolder = unknownHolder,
        /// A read-only view of the file, or null where maps are unsafe or the address space has
        /// no room. The view shows later writes, never moves, and is valid until `close`. Only
        /// bytes that the file had once may be touched.
        map: *const fn (context: *anyopaque, offset: u64, len: usize) ?Map,
        /// Takes the pages of every map made so far out of resident memory; the views stay valid.
        releaseMaps: *const fn (context: *anyopaque) void,
        close: *const fn (context: *anyopaque) void,
    };

    pub fn read(file: File, offset: u64, buffer: []u8) Error!usize {
        return file.vtable.read(file.context, offset, buffer);
    }
    pub fn write(file: File, offset: u64, parts: []const []const u8) Error!void {
        return file.vtable.write(file.context, offset, parts);
    }
    pub fn extend(file: File, length: u64) Error!void {
        return file.vtable.extend(file.context, length);
    }
    pub fn shrink(file: File, length: u64) Error!bool {
        return file.vtable.shrink(file.context, length);
    }
    pub fn sync(file: File) Error!void {
        return file.vtable.sync(file.context);
    }
    pub fn stat(file: File) Error!FileStat {
        return file.vtable.stat(file.context);
    }
    pub fn lock(file: File, owner: LockOwner, kind: LockKind, range: LockRange) Error!bool {
        return file.vtable.lock(file.context, owner, kind, range);
    }
    pub fn unlock(file: File, owner: LockOwner, range: LockRange) void {
        file.vtable.unlock(file.context, owner, range);
    }
    pub fn probe(file: File, range: LockRange) Error!?u64 {
        return file.vtable.probe(file.context, range);
    }
    pub fn holder(file: File, range: LockRange) LockHolder {
        return file.vtable.holder(file.context, range);
    }
    pub fn map(file: File, offset: u64, len: usize) ?Map {
        return file.vtable.map(file.context, offset, len);
    }
    pub fn releaseMaps(file: File) void {
        file.vtable.releaseMaps(file.context);
    }
    pub fn close(file: File) void {
        file.vtable.close(file.context);
    }
};

fn unknownHolder(_: *anyopaque, _: LockRange) LockHolder {
    return .unknown;
}

/// The machine around the files.
pub const System = struct {
    context: *anyopaque,
    vtable: *const VTable,

    pub const VTable = struct {
        /// `path` is borrowed for the call.
        open: *const fn (
            context: *anyopaque,
            gpa: std.mem.Allocator,
            path: []const u8,
            options: OpenOptions,
        ) Error!File,
        /// Milliseconds of a clock that never goes back.
        monotonicMs: *const fn (context: *anyopaque) u64,
        /// Milliseconds since 1970, UTC.
        wallMs: *const fn (context: *anyopaque) i64,
        sleepMs: *const fn (context: *anyopaque, ms: u32) void,
        random: *const fn (context: *anyopaque, buffer: []u8) void,
        /// Names this boot of the machine; null where that cannot be known.
        bootId: *const fn (context: *anyopaque) ?[16]u8,
        /// Changes after a fork: a handle of the parent is dead in the child.
        processId: *const fn (context: *anyopaque) u64,
    };

    pub fn open(
        system: System,
        gpa: std.mem.Allocator,
        path: []const u8,
        options: OpenOptions,
    ) Error!File {
        return system.vtable.open(system.context, gpa, path, options);
    }
    pub fn monotonicMs(system: System) u64 {
        return system.vtable.monotonicMs(system.context);
    }
    pub fn wallMs(system: System) i64 {
        return system.vtable.wallMs(system.context);
    }
    pub fn sleepMs(system: System, ms: u32) void {
        system.vtable.sleepMs(system.context, ms);
    }
    pub fn random(system: System, buffer: []u8) void {
        system.vtable.random(system.context, buffer);
    }
    pub fn bootId(system: System) ?[16]u8 {
        return system.vtable.bootId(system.context);
    }
    pub fn processId(system: System) u64 {
        return system.vtable.processId(system.context);
    }
};
