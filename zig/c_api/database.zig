//! The functions on databases, their transactions and snapshots, and on any handle.

const std = @import("std");
const vectorlite = @import("vectorlite");
const boundary = @import("call.zig");
const DatabaseOptions = @import("options.zig").DatabaseOptions;
const Patience = @import("patience.zig").Patience;
const Status = @import("status.zig").Status;

const Call = boundary.Call;
const Connection = boundary.Connection;
const Database = vectorlite.Database;

/// Raised with every change of a function, a status or a layout. The library and the TypeScript are
/// published together, so only equal versions work with each other.
pub const abi_version = 8;

pub fn abiVersion() callconv(.c) u32 {
    return abi_version;
}

pub fn lastError(out: [*]u8, out_len: u32, len_out: [*]align(1) u32) callconv(.c) i32 {
    const message = boundary.last_error.message();
    return copyOut(message, out, out_len, len_out);
}

/// Makes all searches of this process use the kernels of an older CPU, or again those of this one.
pub fn useCpu(tier: [*]const u8, tier_len: u32) callconv(.c) i32 {
    const name = tier[0..@min(tier_len, 32)];
    const kernels = vectorlite.kernels;
    const chosen = kernels.Tier.parse(name) orelse return boundary.refuse(
        .invalid_argument,
        "the CPU tier \"{f}\" is unknown; v2, v3, v4, v4-vnni, neon and neon-dot are known",
        .{std.ascii.hexEscape(name, .lower)},
    );
    kernels.force(chosen) catch return boundary.refuse(
        .invalid_argument,
        "this machine cannot run the CPU tier {s}, its newest is {s}",
        .{ chosen.text(), kernels.cpu.detect().text() },
    );
    return boundary.done();
}

/// The protocol of every variable output: the needed size always, the bytes where they fit.
pub fn copyOut(bytes: []const u8, out: [*]u8, out_len: u32, len_out: [*]align(1) u32) i32 {
    len_out[0] = @intCast(bytes.len);
    if (bytes.len > out_len) return @intFromEnum(Status.buffer_too_small);
    @memcpy(out[0..bytes.len], bytes);
    return boundary.done();
}

pub fn close(handle: u32) callconv(.c) i32 {
    const call = Call.beginAny(handle) orelse return boundary.stale();
    defer call.end();
    call.close();
    return boundary.done();
}

pub fn open(
    path: [*]const u8,
    path_len: u32,
    options: [*]const u8,
    options_len: u32,
    handle_out: [*]align(1) u32,
) callconv(.c) i32 {
    const name = path[0..path_len];
    if (name.len == 0 or std.mem.findScalar(u8, name, 0) != null) {
        return boundary.refuse(.invalid_argument, "the path is empty or holds a NUL", .{});
    }
    const decoded = DatabaseOptions.decode(options[0..options_len]) catch
        return boundary.refuse(.invalid_argument, "the options block is malformed", .{});
    return publish(.{ .path = name }, decoded, handle_out);
}

pub fn openBytes(
    bytes: [*]const u8,
    bytes_len: u32,
    handle_out: [*]align(1) u32,
) callconv(.c) i32 {
    const options: vectorlite.Options = .{ .readonly = true, .create = false };
    return publish(.{ .bytes = bytes[0..bytes_len] }, options, handle_out);
}

const Source = union(enum) {
    path: []const u8,
    bytes: []const u8,
};

fn publish(source: Source, options: vectorlite.Options, handle_out: [*]align(1) u32) i32 {
    const connection = boundary.gpa.create(Connection) catch {
        return boundary.failPlain(.out_of_memory);
    };
    connection.* = .{ .database = undefined };
    const slot = boundary.table.reserve() orelse {
        boundary.gpa.destroy(connection);
        return tooManyHandles();
    };
    const diagnostics = &connection.diagnostics;
    const system = vectorlite.backends.file.system();
    const opened = switch (source) {
        .path => |path| Database.open(boundary.gpa, system, path, options, diagnostics),
        .bytes => |bytes| Database.openBytes(boundary.gpa, system, bytes, options, diagnostics),
    };
    connection.database = opened catch |failure| {
        defer boundary.gpa.destroy(connection);
        boundary.table.cancel(slot);
        return boundary.failWith(failure, diagnostics);
    };
    handle_out[0] = boundary.table.publishRoot(slot, .database, connection, boundary.thread);
    return boundary.done();
}

pub fn tooManyHandles() i32 {
    return boundary.refuse(.out_of_memory, "too many open handles; close some", .{});
}

/// `wait` is 1, or 0 for a flush that fails at once where somebody else is writing.
pub fn flush(handle: u32, wait: u32) callconv(.c) i32 {
    const call = Call.begin(handle, .database) orelse return boundary.stale();
    defer call.end();
    const database = call.database();
    const flushed = if (wait == 0) database.flushAtOnce() else database.flush();
    flushed catch |failure| return call.fail(failure);
    return boundary.done();
}

/// To be called now and then while the handle is used, until it is `OK`: then it holds no state of
/// the file any more, which the next read pins again. `NOT_FOUND` where it was used since.
pub fn rest(handle: u32) callconv(.c) i32 {
    const call = Call.begin(handle, .database) orelse return boundary.stale();
    defer call.end();
    return boundary.foundIf(call.database().rest());
}

pub fn stats(
    handle: u32,
    out: [*]align(1) f64,
    out_len: u32,
    count_out: [*]align(1) u32,
) callconv(.c) i32 {
    const call = Call.begin(handle, .database) orelse return boundary.stale();
    defer call.end();
    const counts = call.database().stats() catch |failure| return call.fail(failure);
    return writeStats(counts, out, out_len, count_out);
}

/// Writes the fields of a struct of counts, in order; NaN for what is not known.
pub fn writeStats(
    counts: anytype,
    out: [*]align(1) f64,
    out_len: u32,
    count_out: [*]align(1) u32,
) i32 {
    const fields = @typeInfo(@TypeOf(counts)).@"struct".fields;
    count_out[0] = fields.len;
    if (out_len < fields.len) return boundary.failPlain(.buffer_too_small);
    inline for (fields, 0..) |field, i| {
        const value: ?u64 = @field(counts, field.name);
        out[i] = if (value) |known| @floatFromInt(known) else std.math.nan(f64);
    }
    return boundary.done();
}

pub fn collections(
    handle: u32,
    out: [*]u8,
    out_len: u32,
    len_out: [*]align(1) u32,
) callconv(.c) i32 {
    const call = Call.beginScope(handle) orelse return boundary.stale();
    defer call.end();
    var needed: usize = 0;
    const names = out[0..out_len];
    const used = vectorlite.catalogue.names(call.scope(), names, &needed) catch |failure| {
        if (failure == error.BufferTooSmall) len_out[0] = std.math.lossyCast(u32, needed);
        return call.fail(failure);
    };
    len_out[0] = @intCast(used);
    return boundary.done();
}

/// In a file with a maximum, for the first rows of a collection: about as many others go.
pub fn makeRoom(handle: u32, rows: u32, dimension: u32) callconv(.c) i32 {
    const call = Call.begin(handle, .database) orelse return boundary.stale();
    defer call.end();
    var patience: Patience = .{ .call = call };
    while (true) {
        vectorlite.room.makeFor(call.database(), rows, dimension) catch |failure| {
            if (failure == error.NoSpace and patience.again()) continue;
            return call.fail(failure);
        };
        patience.end();
        return boundary.done();
    }
}

/// A step towards what fits into a file of so many bytes. `NOT_FOUND` where that is all there is.
pub fn fit(handle: u32, file_bytes: f64) callconv(.c) i32 {
    const call = Call.begin(handle, .database) orelse return boundary.stale();
    defer call.end();
    const bytes = std.math.lossyCast(u64, file_bytes);
    const went = vectorlite.room.fit(call.database(), bytes) catch |failure|
        return call.fail(failure);
    return boundary.foundIf(went);
}

pub fn dropCollection(handle: u32, name: [*]const u8, name_len: u32) callconv(.c) i32 {
    const call = Call.begin(handle, .database) orelse return boundary.stale();
    defer call.end();
    const existed = vectorlite.catalogue.drop(call.database(), name[0..name_len]) catch |failure| {
        return call.fail(failure);
    };
    return boundary.foundIf(existed);
}

pub fn renameCollection(
    handle: u32,
    from: [*]const u8,
    from_len: u32,
    to: [*]const u8,
    to_len: u32,
) callconv(.c) i32 {
    const call = Call.begin(handle, .database) orelse return boundary.stale();
    defer call.end();
    const renamed = vectorlite.catalogue.rename(
        call.database(),
        from[0..from_len],
        to[0..to_len],
    );
    return switch (renamed catch |failure| return call.fail(failure)) {
        .done => boundary.done(),
        .missing => boundary.foundIf(false),
        .taken => boundary.refuse(
            .invalid_argument,
            "there is another collection of that name; drop it first, or choose another name",
            .{},
        ),
    };
}

/// `wait` is 1, or 0 where it fails at once while somebody else is writing.
pub fn begin(handle: u32, wait: u32) callconv(.c) i32 {
    const call = Call.begin(handle, .database) orelse return boundary.stale();
    defer call.end();
    const database = call.database();
    const begun = if (wait == 0) database.beginAtOnce() else database.begin();
    begun catch |failure| return call.fail(failure);
    return boundary.done();
}

/// `is_aside` is 1 where the calls that follow are no part of the running transaction, 0 where they
/// are. Without one it means nothing.
pub fn setAside(handle: u32, is_aside: u32) callconv(.c) i32 {
    const call = Call.begin(handle, .database) orelse return boundary.stale();
    defer call.end();
    call.database().setAside(is_aside != 0);
    return boundary.done();
}

pub fn commit(handle: u32) callconv(.c) i32 {
    const call = Call.begin(handle, .database) orelse return boundary.stale();
    defer call.end();
    call.database().commit() catch |failure| return call.fail(failure);
    return boundary.done();
}

pub fn rollback(handle: u32) callconv(.c) i32 {
    const call = Call.begin(handle, .database) orelse return boundary.stale();
    defer call.end();
    call.database().rollback();
    return boundary.done();
}

pub fn openSnapshot(handle: u32, handle_out: [*]align(1) u32) callconv(.c) i32 {
    const call = Call.begin(handle, .database) orelse return boundary.stale();
    defer call.end();
    const slot = boundary.table.reserve() orelse return tooManyHandles();
    const snapshot = call.database().openSnapshot() catch |failure| {
        boundary.table.cancel(slot);
        return call.fail(failure);
    };
    handle_out[0] = boundary.table.publishChild(slot, .snapshot, snapshot, call.index);
    return boundary.done();
}

pub fn stepCompact(
    handle: u32,
    is_first: u32,
    bytes_max: u32,
    progress_out: [*]align(1) f64,
) callconv(.c) i32 {
    const call = Call.begin(handle, .database) orelse return boundary.stale();
    defer call.end();
    if (bytes_max == 0) return boundary.refuse(.invalid_argument, "bytes_max is 0", .{});
    const progress = boundary.slice(f64, progress_out, 2) catch |failure| return call.fail(failure);
    const more = vectorlite.compactStep(
        call.database(),
        is_first != 0,
        bytes_max,
        &progress[0],
        &progress[1],
    ) catch |failure| return call.fail(failure);
    return boundary.foundIf(more);
}
