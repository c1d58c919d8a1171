//! The functions on jobs: backup, verification.

const std = @import("std");
const vectorlite = @import("vectorlite");
const boundary = @import("call.zig");
const database = @import("database.zig");

const Call = boundary.Call;

pub fn open(
    handle: u32,
    kind: u32,
    path: [*]const u8,
    path_len: u32,
    handle_out: [*]align(1) u32,
) callconv(.c) i32 {
    const call = Call.begin(handle, .database) orelse return boundary.stale();
    defer call.end();
    const known = std.enums.fromInt(vectorlite.JobKind, kind) orelse
        return boundary.refuse(.invalid_argument, "there is no kind {d} of job", .{kind});
    const slot = boundary.table.reserve() orelse return database.tooManyHandles();
    const job = vectorlite.Job.open(call.database(), known, path[0..path_len]) catch |failure| {
        boundary.table.cancel(slot);
        return call.fail(failure);
    };
    handle_out[0] = boundary.table.publishChild(slot, .job, job, call.index);
    return boundary.done();
}

pub fn step(handle: u32, bytes_max: u32, progress_out: [*]align(1) f64) callconv(.c) i32 {
    const call = Call.begin(handle, .job) orelse return boundary.stale();
    defer call.end();
    if (bytes_max == 0) return boundary.refuse(.invalid_argument, "bytes_max is 0", .{});
    const progress = boundary.slice(f64, progress_out, 2) catch |failure| return call.fail(failure);
    const more = call.job().step(bytes_max, &progress[0], &progress[1]) catch |failure| {
        return call.fail(failure);
    };
    return boundary.foundIf(more);
}

/// Between two steps that may be far apart.
pub fn rest(handle: u32) void {
    const call = Call.begin(handle, .job) orelse return;
    defer call.end();
    call.job().rest();
}

pub fn result(handle: u32, out: [*]u8, out_len: u32, len_out: [*]align(1) u32) callconv(.c) i32 {
    const call = Call.begin(handle, .job) orelse return boundary.stale();
    defer call.end();
    const json = call.job().result() catch |failure| return call.fail(failure);
    defer boundary.gpa.free(json);
    return database.copyOut(json, out, out_len, len_out);
}
