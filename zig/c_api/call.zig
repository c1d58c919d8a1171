//! What every function of the boundary does around its one call into the engine: turn a handle into
//! an object under its lock, turn pointers into checked slices, and keep the sentence of a failure.

const std = @import("std");
const vectorlite = @import("vectorlite");
const Boarder = @import("flights.zig").Boarder;
const handles = @import("handles.zig");
const Status = @import("status.zig").Status;

/// The engine's memory. It needs no libc and works on every thread.
pub const gpa = std.heap.smp_allocator;

/// Open databases, snapshots, collections and jobs of one process. A program with more than
/// 65,535 at once leaks them.
const Handles = handles.Table(1 << 16, std.math.maxInt(u16));
pub var table: Handles = .{};

/// What a database handle stands for. The engine keeps a pointer to the diagnostics.
pub const Connection = struct {
    database: *vectorlite.Database,
    diagnostics: vectorlite.Diagnostics = .{},
    /// It waited for room that others held, in vain, and has found none since.
    has_waited: bool = false,
};

/// One call on one handle. Between `begin` and `end` no other thread is inside the same database.
pub const Call = struct {
    index: u32,
    root: u32,

    /// Null where the handle is not alive or not of this kind: return `stale()` then.
    pub fn begin(handle: u32, kind: handles.Kind) ?Call {
        const call = beginAny(handle) orelse return null;
        if (call.kindOf() == kind) return call;
        call.end();
        return null;
    }

    /// For what can be read from: a database or a snapshot.
    pub fn beginScope(handle: u32) ?Call {
        const call = beginAny(handle) orelse return null;
        switch (call.kindOf()) {
            .database, .snapshot => return call,
            .collection, .job, .boarder => {
                call.end();
                return null;
            },
        }
    }

    pub fn beginAny(handle: u32) ?Call {
        const index = table.lock(handle) orelse return null;
        return .{ .index = index, .root = table.rootOf(index) };
    }

    pub fn end(call: Call) void {
        table.unlock(call.root);
    }

    fn kindOf(call: Call) handles.Kind {
        return table.slots[call.index].kind;
    }

    fn object(call: Call, comptime Object: type) *Object {
        return @ptrCast(@alignCast(table.slots[call.index].object.?));
    }

    pub fn connection(call: Call) *Connection {
        return @ptrCast(@alignCast(table.slots[call.root].object.?));
    }

    pub fn database(call: Call) *vectorlite.Database {
        return call.connection().database;
    }

    pub fn collection(call: Call) *vectorlite.Collection {
        return call.object(vectorlite.Collection);
    }

    pub fn job(call: Call) *vectorlite.Job {
        return call.object(vectorlite.Job);
    }

    pub fn boarder(call: Call) *Boarder {
        return call.object(Boarder);
    }

    pub fn scope(call: Call) vectorlite.Scope {
        return switch (call.kindOf()) {
            .database => .{ .database = call.database() },
            .snapshot => .{ .snapshot = call.object(vectorlite.Snapshot) },
            .collection, .job, .boarder => unreachable,
        };
    }

    /// Closes the handle and everything below it, deepest first, and makes all of them stale.
    pub fn close(call: Call) void {
        while (true) {
            const leaf = table.deepest(call.index);
            const at: Call = .{ .index = leaf, .root = call.root };
            switch (at.kindOf()) {
                .snapshot => at.object(vectorlite.Snapshot).close(),
                .collection => at.collection().close(),
                .job => at.job().close(),
                .boarder => at.boarder().close(),
                .database => {
                    const owner = at.connection();
                    owner.database.close();
                    gpa.destroy(owner);
                },
            }
            table.retire(leaf);
            if (leaf == call.index) return;
        }
    }

    /// The status of a failure, whose sentence becomes this thread's last error.
    pub fn fail(call: Call, failure: vectorlite.Error) i32 {
        return failWith(failure, &call.connection().diagnostics);
    }
};

/// Closes what a thread has open that runs no more: its transactions are rolled back.
pub fn closeAllOf(owner: u32) void {
    var index: u32 = 0;
    while (table.nextRoot(owner, index)) |root| {
        index = root.index;
        const call = Call.beginAny(root.handle) orelse continue;
        defer call.end();
        call.close();
    }
}

/// Has the databases of this process that nobody is calling let go of the states that they read.
pub fn letOthersGo() void {
    var index: u32 = 0;
    while (table.nextRoot(null, index)) |root| {
        index = root.index;
        if (table.tryLock(root) == null) continue;
        const call: Call = .{ .index = root.index, .root = root.index };
        defer call.end();
        if (call.kindOf() == .database) call.database().letGo();
    }
}

/// The number of this thread, for threads that tell when they end; 0 for the others.
pub threadlocal var thread: u32 = 0;

pub fn done() i32 {
    return @intFromEnum(Status.ok);
}

pub fn foundIf(found: bool) i32 {
    return @intFromEnum(if (found) Status.ok else Status.not_found);
}

pub fn stale() i32 {
    return failPlain(.closed);
}

/// A failure without an engine behind it. Not inlined, here and below: what ends a call that fails
/// is not worth a copy at each of the places that refuse something.
pub noinline fn failPlain(status: Status) i32 {
    last_error.set(status.sentence());
    return @intFromEnum(status);
}

/// A wrong argument, in words.
pub fn refuse(status: Status, comptime format: []const u8, arguments: anytype) i32 {
    return refuseWith(status, format, &vectorlite.sentence.name(format, &arguments));
}

noinline fn refuseWith(
    status: Status,
    format: []const u8,
    named: []const vectorlite.sentence.Named,
) i32 {
    var buffer: [256]u8 = undefined;
    last_error.set(vectorlite.sentence.write(&buffer, format, named));
    return @intFromEnum(status);
}

/// Takes the engine's sentence, and clears it, so that it is never told twice.
pub noinline fn failWith(failure: vectorlite.Error, diagnostics: *vectorlite.Diagnostics) i32 {
    const status: Status = .fromError(failure);
    const message = diagnostics.message();
    last_error.set(if (message.len > 0) message else status.sentence());
    diagnostics.* = .{};
    return @intFromEnum(status);
}

/// Per thread, because a worker's failure must not replace the sentence that another one is about
/// to read.
pub threadlocal var last_error: LastError = .{};

pub const LastError = struct {
    /// Longer than any sentence of the engine.
    bytes: [1024]u8 = undefined,
    len: u32 = 0,

    fn set(last: *LastError, text: []const u8) void {
        const len = @min(text.len, last.bytes.len);
        @memcpy(last.bytes[0..len], text[0..len]);
        last.len = @intCast(len);
    }

    pub fn message(last: *const LastError) []const u8 {
        return last.bytes[0..last.len];
    }
};

/// Buffers are declared without an alignment, which is all that a foreign caller can promise, and
/// checked here.
pub fn slice(comptime T: type, pointer: [*]align(1) T, len: u64) error{InvalidArgument}![]T {
    if (!std.mem.isAligned(@intFromPtr(pointer), @alignOf(T))) return error.InvalidArgument;
    const aligned: [*]T = @alignCast(pointer);
    return aligned[0..@intCast(len)];
}

pub fn sliceConst(
    comptime T: type,
    pointer: [*]align(1) const T,
    len: u64,
) error{InvalidArgument}![]const T {
    return slice(T, @constCast(pointer), len);
}

/// Whether lengths add up to the buffer that they divide.
pub fn addUpTo(lens: []const u32, total: u32) bool {
    var sum: u64 = 0;
    for (lens) |len| sum += len;
    return sum == total;
}
