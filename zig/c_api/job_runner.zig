//! Runs a job on a thread of the host's pool, through Node-API, which Node and Bun both have.
//!
//! The thread steps the job in slices. Each is a call like any other, under the lock of the job's
//! database, and lets in whoever waited for that: another call waits for one slice at most, and
//! what becomes of the job when its database is closed meanwhile, or its thread ended, is what
//! becomes of any handle. So nothing here has to be told of either.
//!
//! One run ends after some time, because Node waits for it before a worker that was terminated may
//! end; whoever wants the rest runs the job again.

const vectorlite = @import("vectorlite");
const boundary = @import("call.zig");
const job_functions = @import("job.zig");
const napi = @import("napi.zig");
const Status = @import("status.zig").Status;

pub const name = "vl_job_run";

/// Its type in TypeScript. The promise resolves with the status of the last step, of whose failure
/// the job's result has the sentence.
pub const declaration = name ++ "(job: number, ms_max: number): Promise<number>";

/// About a millisecond of a search.
const slice_bytes = 4 << 20;

const Run = struct {
    job: u32,
    ms_max: u32,
    /// More to do, for a run that never began.
    status: i32 = @intFromEnum(Status.ok),
    work: napi.Work = undefined,
    deferred: napi.Deferred = undefined,
};

pub fn run(environment: napi.Environment, info: napi.CallbackInfo) callconv(.c) napi.Value {
    const host = &napi.host;
    var count: usize = 2;
    var values: [2]napi.Value = undefined;
    var numbers: [2]u32 = undefined;
    if (host.napi_get_cb_info(environment, info, &count, &values, null, null) != .ok or
        count != 2 or
        !napi.decodeInteger(u32, environment, values[0], &numbers[0]) or
        !napi.decodeInteger(u32, environment, values[1], &numbers[1]))
    {
        return napi.throw(environment, name ++ " takes the handle of a job, and milliseconds");
    }
    return begin(environment, .{ .job = numbers[0], .ms_max = numbers[1] }) catch {
        _ = host.napi_throw_error(environment, null, name ++ ": no memory, or no thread for it");
        return null;
    };
}

fn begin(environment: napi.Environment, asked: Run) error{Refused}!napi.Value {
    const host = &napi.host;
    const task = boundary.gpa.create(Run) catch return error.Refused;
    errdefer boundary.gpa.destroy(task);
    task.* = asked;
    var title: napi.Value = null;
    try check(host.napi_create_string_utf8(environment, name, name.len, &title));
    const create = host.napi_create_async_work;
    try check(create(environment, null, title, execute, complete, task, &task.work));
    errdefer _ = host.napi_delete_async_work(environment, task.work);
    var promise: napi.Value = null;
    try check(host.napi_create_promise(environment, &task.deferred, &promise));
    try check(host.napi_queue_async_work(environment, task.work));
    return promise;
}

fn check(status: napi.NapiStatus) error{Refused}!void {
    if (status != .ok) return error.Refused;
}

/// On a thread of the pool, where nothing of JavaScript may be touched.
fn execute(_: napi.Environment, data: ?*anyopaque) callconv(.c) void {
    const task: *Run = @ptrCast(@alignCast(data.?));
    const system = vectorlite.backends.file.system();
    const start = system.monotonicMs();
    var progress: [2]f64 = undefined;
    while (true) {
        task.status = job_functions.step(task.job, slice_bytes, &progress);
        if (task.status != @intFromEnum(Status.ok)) return;
        boundary.table.giveWay(task.job);
        if (system.monotonicMs() -| start >= task.ms_max) break;
    }
    job_functions.rest(task.job);
}

/// On the thread of the environment again; also where that ends before the work began.
fn complete(
    environment: napi.Environment,
    _: napi.NapiStatus,
    data: ?*anyopaque,
) callconv(.c) void {
    const host = &napi.host;
    const task: *Run = @ptrCast(@alignCast(data.?));
    var status: napi.Value = null;
    _ = host.napi_create_int32(environment, task.status, &status);
    _ = host.napi_resolve_deferred(environment, task.deferred, status);
    _ = host.napi_delete_async_work(environment, task.work);
    boundary.gpa.destroy(task);
}
