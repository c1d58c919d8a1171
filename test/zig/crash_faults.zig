//! Every call of the machine and every allocation fails once, or from then on, somewhere in a short
//! workload: each call of the engine succeeds or says why not, nothing leaks, and afterwards the
//! file holds exactly what was acknowledged. Only a failed sync (or a slot that could not be
//! written) ends a handle.

const std = @import("std");
const vl = @import("vectorlite");
const Base = @import("crash/workload.zig").Base;
const Contents = @import("crash/contents.zig").Contents;
const Digest = @import("crash/contents.zig").Digest;
const Rig = @import("crash/rig.zig").Rig;
const Scarce = @import("faults/scarce.zig").Scarce;
const Step = @import("crash/workload.zig").Step;
const Value = @import("crash/contents.zig").Value;
const simulated = vl.backends.simulated;

const workload = [_]Step{
    .put_new,       .put_two,        .overwrite,    .put_many,
    .snapshot_open, .delete,         .put_and_wait, .overwrite,
    .grow,          .snapshot_close, .checkpoint,   .put_new,
    .reopen,        .overwrite,      .delete,       .put_new,
};

const Run = struct {
    rig: *Rig,
    expected: []const anyerror,
    /// What the refused writes would have left.
    doubtful: std.ArrayList(Digest) = .empty,
    refusals: u64 = 0,

    /// Until the end, or until the handle is done for.
    fn all(run: *Run) !void {
        const rig = run.rig;
        for (workload) |step| {
            if (rig.client.database == null) {
                if (rig.client.open()) |_| {} else |err| {
                    try run.check(err);
                    continue;
                }
            }
            const result = if (step == .reopen) run.close() else step.run(rig);
            if (result) |_| {} else |err| {
                if (try rig.retract()) |digest| try run.doubtful.append(gpa, digest);
                try run.check(err);
            }
            // A handle that is done for, or one that was closed and could not say so.
            if (rig.may_go_back and rig.disk.faults_fired > 0) return;
        }
    }

    fn close(run: *Run) anyerror!void {
        const result = run.rig.closeSnapshots();
        run.rig.client.close();
        return result;
    }

    fn isPoisoned(run: *const Run) bool {
        const database = run.rig.client.database orelse return false;
        const session = database.session orelse return false;
        return session.poisoned;
    }

    fn check(run: *Run, err: anyerror) !void {
        run.refusals += 1;
        if (std.mem.indexOfScalar(anyerror, run.expected, err) == null) return err;
    }

    /// After the faults: a new process finds what was acknowledged, or where the fate of a commit
    /// is not known, that or the state before or after; and it can write.
    fn finish(run: *Run, in_doubt: bool) !void {
        const rig = run.rig;
        if (run.isPoisoned()) {
            const error_now = rig.client.put(1, .{ .seed = 1 });
            try std.testing.expectError(error.Poisoned, error_now);
        }
        run.close() catch |err| try run.check(err);
        rig.client_gpa = gpa;
        try rig.newClient();
        try rig.client.open();
        const found = try rig.read(.every_way);
        const lowest = if (in_doubt) rig.durable else rig.acknowledged;
        const is_known = for (rig.trace.items[lowest .. rig.acknowledged + 1]) |state| {
            if (state.digest.eql(found)) break true;
        } else for (run.doubtful.items) |digest| {
            if (in_doubt and digest.eql(found)) break true;
        } else false;
        if (!is_known) return error.WrongContents;
        try rig.client.put(7777, .{ .seed = 7777 });
        rig.client.close();
        _ = try rig.inspectDisk(false);
    }
};

const gpa = std.testing.allocator;

/// Returns false where the workload has no such call.
fn runWithFault(durability: vl.Durability, fault: simulated.Fault, is_slot: bool) !bool {
    const rig = try newRig(durability);
    defer rig.destroy();
    errdefer |err| std.debug.print("\n{t}: {} with durability {t}\n{s}{s}\n", .{
        err, fault, durability, rig.report.written(), rig.client.diagnostics.message(),
    });
    const may_poison = fault.call == .sync or is_slot;
    rig.had_fault = may_poison;
    rig.may_go_back = may_poison;
    try rig.disk.inject(fault);
    var run: Run = .{
        .rig = rig,
        .expected = switch (fault.err) {
            error.NoSpace => &.{error.NoSpace},
            else => if (fault.call == .read) &read_errors else &.{error.InputOutput},
        },
    };
    defer run.doubtful.deinit(gpa);
    try run.all();
    if (run.isPoisoned() and !may_poison) return error.Poisoned;
    const fired = rig.disk.faults_fired > 0;
    rig.disk.clearFaults();
    // Taking the map and closing a file that cannot be made durable now say nothing.
    // Growing in a large step is tried again in a small one.
    const is_silent = durability != .full or switch (fault.call.?) {
        .map, .sync, .write => true,
        .extend => fault.err == error.NoSpace,
        else => false,
    };
    if (fired and run.refusals == 0 and !is_silent) return error.FaultNotNoticed;
    try run.finish(may_poison and fired);
    return fired;
}

fn newRig(durability: vl.Durability) !*Rig {
    const rig = try Rig.create(.{ .durability = durability, .create = true }, null, 1);
    errdefer rig.destroy();
    rig.client_gpa = gpa;
    var nothing: Contents = .{ .gpa = gpa };
    try rig.begin(&nothing);
    return rig;
}

/// For every write of the workload: whether it is one of a root slot.
const Writes = struct {
    are_slots: std.ArrayList(bool) = .empty,

    fn learn(durability: vl.Durability) !Writes {
        const rig = try newRig(durability);
        defer rig.destroy();
        var writes: Writes = .{};
        errdefer writes.are_slots.deinit(gpa);
        rig.disk.hooks = .{ .context = &writes, .onWrite = onWrite };
        var run: Run = .{ .rig = rig, .expected = &.{} };
        try run.all();
        try run.finish(false);
        return writes;
    }

    fn onWrite(context: ?*anyopaque, offset: u64, len: u64) void {
        const writes: *Writes = @ptrCast(@alignCast(context.?));
        const first = vl.format.pageOffset(vl.format.durable_slot_page);
        const end = vl.format.pageOffset(vl.format.header_copy_page);
        // The test ends here where there is no memory.
        writes.are_slots.append(gpa, offset < end and offset + len > first) catch unreachable;
    }
};

/// A row that cannot be read is called damaged.
const read_errors = [_]anyerror{ error.InputOutput, error.Corrupt };

const durabilities = [_]vl.Durability{ .full, .normal };

fn runEveryFault(template: simulated.Fault) !u64 {
    var runs: u64 = 0;
    for (durabilities) |durability| {
        var writes = try Writes.learn(durability);
        defer writes.are_slots.deinit(gpa);
        var fault = template;
        while (true) : (fault.after += 1) {
            const number: usize = @intCast(fault.after);
            const is_write = fault.call == .write;
            if (is_write and number >= writes.are_slots.items.len) break;
            const is_slot = is_write and (fault.forever or writes.are_slots.items[number]);
            if (!try runWithFault(durability, fault, is_slot)) break;
            runs += 1;
        }
    }
    return runs;
}

test "a call of the machine that fails once is an error of one call" {
    const kinds = [_]simulated.Fault{
        .{ .call = .open },
        .{ .call = .read },
        .{ .call = .write },
        .{ .call = .write, .partial = true },
        .{ .call = .write, .err = error.NoSpace },
        .{ .call = .extend },
        .{ .call = .extend, .err = error.NoSpace },
        .{ .call = .sync },
        .{ .call = .sync, .err = error.NoSpace },
        .{ .call = .stat },
        .{ .call = .lock },
        .{ .call = .lock, .err = error.LocksUnsupported },
        .{ .call = .probe },
        .{ .call = .map },
    };
    for (kinds) |kind| {
        const runs = try runEveryFault(kind);
        try std.testing.expect(runs > 0);
    }
}

test "a call of the machine that fails from then on harms nothing" {
    for ([_]simulated.Call{ .read, .write, .extend, .sync, .stat, .lock, .probe, .map }) |call| {
        const is_full = call == .extend or call == .write;
        const err: vl.os.Error = if (is_full) error.NoSpace else error.InputOutput;
        const runs = try runEveryFault(.{ .call = call, .err = err, .forever = true });
        try std.testing.expect(runs > 0);
    }
}

test "memory that runs out, once or for good, is an error and leaks nothing" {
    var runs: u64 = 0;
    for (durabilities) |durability| for ([_]bool{ false, true }) |forever| {
        var number: u64 = 0;
        while (true) : (number += 1) {
            const rig = try newRig(durability);
            defer rig.destroy();
            var scarce: Scarce = .{ .child = gpa, .left = number, .forever = forever };
            errdefer |err| std.debug.print("\n{t}: allocation {d}, {} for ever, {t}\n{s}\n", .{
                err, number, forever, durability, rig.client.diagnostics.message(),
            });
            rig.client_gpa = scarce.allocator();
            try rig.newClient();
            var run: Run = .{ .rig = rig, .expected = &.{error.OutOfMemory} };
            defer run.doubtful.deinit(gpa);
            try run.all();
            if (run.isPoisoned()) return error.Poisoned;
            if (!scarce.fired) break;
            scarce.forever = false;
            try run.finish(false);
            runs += 1;
        }
    };
    try std.testing.expect(runs > 500);
}

test "a full disk refuses what does not fit, and what fits goes on" {
    var base = try Base.small();
    defer base.deinit();
    for (durabilities) |durability| {
        const rig = try Rig.create(.{ .durability = durability }, base.bytes, 1);
        defer rig.destroy();
        errdefer |err| std.debug.print("\n{t} with durability {t}: {s}\n", .{
            err, durability, rig.client.diagnostics.message(),
        });
        rig.client_gpa = gpa;
        try rig.begin(&base.rows);
        try rig.open();
        for (0..4) |_| {
            // Room for a small write, and not for many large ones.
            rig.disk.capacity_bytes = rig.disk.length + 16 * vl.format.page_bytes;
            try rig.overwrite();
            const refused = for (0..9) |_| {
                rig.grow() catch |err| break err;
            } else error.NotRefused;
            try std.testing.expectEqual(error.NoSpace, refused);
            _ = try rig.retract();
        }
        rig.disk.capacity_bytes = rig.disk.length + 16 * vl.format.page_bytes;
        try rig.delete();
        try rig.checkpoint();
        const found = try rig.read(.every_way);
        try std.testing.expectEqual(rig.trace.items[rig.acknowledged].digest, found);
        rig.client.close();
        try rig.settle();
        _ = try rig.inspectDisk(true);
    }
}

test "a transaction in which a write has failed is not read" {
    var base = try Base.small();
    defer base.deinit();
    const rig = try Rig.create(.{}, base.bytes, 1);
    defer rig.destroy();
    try rig.begin(&base.rows);
    try rig.open();
    const before = try rig.client.readAll();
    try rig.client.database.?.begin();
    try rig.client.put(1, .{ .seed = 1 });
    rig.disk.capacity_bytes = rig.disk.length;
    const long: Value = .{ .seed = 2, .metadata_bytes = 60_000 };
    for (2..100) |number| {
        rig.client.put(@intCast(number), long) catch break;
    } else return error.NotRefused;
    // Half of the last write may be there, which is no damage, and no answer either.
    try std.testing.expectError(error.NoSpace, rig.client.readAll());
    try std.testing.expectError(error.NoSpace, rig.client.collection.?.has("key 1"));
    try std.testing.expectError(error.NoSpace, rig.client.database.?.openSnapshot());
    rig.client.database.?.rollback();
    try std.testing.expectEqual(before, try rig.client.readAll());
}
