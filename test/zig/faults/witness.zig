//! Sees who calls the machine or allocates, by the stack of each call.

const std = @import("std");
const vl = @import("vectorlite");
const scale = @import("crash_options").scale;
const Engine = @import("sites.zig").Engine;
const Line = @import("sites.zig").Line;
const Scarce = @import("scarce.zig").Scarce;
const simulated = vl.backends.simulated;

/// Who calls, as far as callers are told apart.
const depth = if (scale > 1) 6 else 3;

/// The first call from one stack: how many of its kind came before. An allocation has no kind.
pub const Call = struct { kind: ?simulated.Call, on_copy: bool, number: u64, lines: []Line };

pub const Seen = std.AutoHashMapUnmanaged(u64, void);

/// Sees all calls of a story.
pub const Witness = struct {
    engine: *Engine,
    calls: std.ArrayList(Call) = .empty,
    seen: *Seen,
    numbers: [2]std.EnumArray(simulated.Call, u64) = @splat(.initFill(0)),
    allocations: u64 = 0,
    failure: ?anyerror = null,

    pub fn hear(context: *anyopaque, kind: simulated.Call, on_copy: bool) void {
        const witness: *Witness = @ptrCast(@alignCast(context));
        const number = witness.numbers[@intFromBool(on_copy)].getPtr(kind);
        witness.note(kind, on_copy, number.*) catch |err| {
            witness.failure = err;
        };
        number.* += 1;
    }

    pub fn hearAllocation(context: *anyopaque) void {
        const witness: *Witness = @ptrCast(@alignCast(context));
        witness.note(null, false, witness.allocations) catch |err| {
            witness.failure = err;
        };
        witness.allocations += 1;
    }

    fn note(witness: *Witness, kind: ?simulated.Call, on_copy: bool, number: u64) !void {
        const scratch = witness.engine.arena.allocator();
        var buffer: [depth]Line = undefined;
        const lines = try linesOfCaller(witness.engine, &buffer);
        var hash = std.hash.XxHash3.init(if (kind) |known| @intFromEnum(known) else 99);
        for (lines) |line| {
            hash.update(line.file);
            hash.update(std.mem.asBytes(&line.line));
        }
        if ((try witness.seen.getOrPut(scratch, hash.final())).found_existing) return;
        try witness.calls.append(scratch, .{
            .kind = kind,
            .on_copy = on_copy,
            .number = number,
            .lines = try scratch.dupe(Line, lines),
        });
    }
};

fn linesOfCaller(engine: *Engine, buffer: *[depth]Line) ![]Line {
    var addresses: [48]usize = undefined;
    const options: std.debug.StackUnwindOptions = .{ .allow_unsafe_unwind = true };
    const trace = std.debug.captureCurrentStackTrace(options, &addresses);
    return engine.resolve(trace.return_addresses, buffer);
}

/// Sees the calls that fail.
pub const Victims = struct {
    engine: *Engine,
    fault: ?simulated.Call,
    scarce: *const Scarce,
    disk: *const simulated.Disk,
    failure: ?anyerror = null,
    /// A stack takes its time, and those behind a failure are soon the same again.
    left: u32 = 3,

    pub fn hear(context: *anyopaque, kind: simulated.Call, _: bool) void {
        const victims: *Victims = @ptrCast(@alignCast(context));
        const fault = victims.fault orelse return;
        if (kind == fault and victims.disk.faults_fired > 0) victims.note(false);
    }

    pub fn hearAllocation(context: *anyopaque) void {
        const victims: *Victims = @ptrCast(@alignCast(context));
        if (victims.scarce.fired and victims.scarce.forever) victims.note(true);
    }

    pub fn check(victims: *const Victims) anyerror!void {
        if (victims.failure) |failure| return failure;
    }

    fn note(victims: *Victims, is_allocation: bool) void {
        if (victims.left == 0) return;
        victims.left -= 1;
        var buffer: [depth]Line = undefined;
        const lines = linesOfCaller(victims.engine, &buffer) catch |err| {
            victims.failure = err;
            return;
        };
        victims.engine.hit(lines, is_allocation);
    }
};
