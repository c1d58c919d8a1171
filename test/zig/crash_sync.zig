//! A sync that fails: any part of what was written is on the medium, the system calls all of it
//! clean, and the cache goes on showing it. The handle must not go on; whoever opens the file
//! again, in the same boot, must not build on what the medium does not have. Then power fails.

const std = @import("std");
const vl = @import("vectorlite");
const scale = @import("crash_options").scale;
const Base = @import("crash/workload.zig").Base;
const Contents = @import("crash/contents.zig").Contents;
const Rig = @import("crash/rig.zig").Rig;
const Step = @import("crash/workload.zig").Step;
const tally = @import("crash/tally.zig");
const simulated = vl.backends.simulated;

const Scenario = struct {
    before: []const Step,
    failing: Step,
    /// Which of the step's syncs.
    sync: u64,
    /// The process dies before it can clear the volatile roots.
    killed: bool,
    after: []const Step,
};

const befores = [_][]const Step{
    &.{},
    &.{ .put_new, .overwrite },
    &.{ .put_many, .rename, .delete },
    &.{ .put_and_wait, .grow },
};
const failings: []const Step = if (tally.is_long)
    &.{ .put_two, .grow, .checkpoint, .reopen, .overwrite, .delete, .rename, .put_many, .compact }
else
    &.{ .put_two, .grow, .checkpoint, .reopen };
const afters = [_][]const Step{
    &.{ .checkpoint, .put_new },
    &.{ .put_new, .put_many, .checkpoint },
    &.{ .overwrite, .reopen, .delete },
};

/// False where the step has no such sync.
fn run(rig: *Rig, base: *const Base, scenario: Scenario, survivors: simulated.Survivors) !bool {
    try rig.disk.setContent(base.bytes);
    try rig.begin(&base.rows);
    try rig.open();
    for (scenario.before) |step| try step.run(rig);
    if (!try fail(rig, scenario, survivors)) return false;
    if (!scenario.killed and scenario.failing != .reopen) try expectPoisoned(rig);
    rig.exploring = true;
    try rig.comeBack();
    for (scenario.after) |step| try step.run(rig);
    try rig.exploreAll();
    rig.exploring = false;
    rig.client.close();
    try rig.settle();
    return true;
}

fn fail(rig: *Rig, scenario: Scenario, survivors: simulated.Survivors) !bool {
    const fired = rig.disk.faults_fired;
    rig.had_fault = true;
    rig.may_go_back = true;
    rig.failing_sync = .{ .after = scenario.sync, .kill = scenario.killed };
    try rig.disk.inject(.{ .call = .sync, .after = scenario.sync, .survivors = survivors });
    const result = scenario.failing.run(rig);
    rig.failing_sync = null;
    rig.disk.clearFaults();
    if (rig.failure) |failure| return failure;
    if (rig.disk.faults_fired == fired) return false;
    // Closing says nothing; the file is opened again by a new process.
    if (scenario.failing != .reopen) try std.testing.expectError(error.InputOutput, result);
    return true;
}

/// Every way to write is refused, and the disk is left alone.
fn expectPoisoned(rig: *Rig) !void {
    const writes = rig.disk.calls.get(.write);
    const syncs = rig.disk.calls.get(.sync);
    for (0..2) |_| {
        try std.testing.expectError(error.Poisoned, rig.client.put(1, .{ .seed = 1 }));
        try std.testing.expectError(error.Poisoned, rig.client.delete(1));
        try std.testing.expectError(error.Poisoned, rig.client.database.?.flush());
        try std.testing.expectError(error.Poisoned, rig.client.database.?.begin());
    }
    rig.client.close();
    try std.testing.expectEqual(writes, rig.disk.calls.get(.write));
    try std.testing.expectEqual(syncs, rig.disk.calls.get(.sync));
}

fn tell(rig: *Rig, scenario: Scenario, survivors: simulated.Survivors, err: anyerror) void {
    std.debug.print("\n{t} with durability {t}, survivors {}, killed {}, sync {d} of {t} after", .{
        err, rig.settings.durability, survivors, scenario.killed, scenario.sync, scenario.failing,
    });
    for (scenario.before) |step| std.debug.print(" {t}", .{step});
    std.debug.print(", then", .{});
    for (scenario.after) |step| std.debug.print(" {t}", .{step});
    std.debug.print("\n{s}{s}", .{ rig.report.written(), rig.client.diagnostics.message() });
}

/// Nothing, everything, and a sample of what lies between.
fn runAll(rig: *Rig, base: *const Base, scenario: Scenario) !u64 {
    var trials: u64 = 0;
    while (trials < 2 + 6 * scale) : (trials += 1) {
        const survivors: simulated.Survivors = switch (trials) {
            0 => .none,
            1 => .all,
            else => .{ .number = rig.prng.random().uintLessThan(u64, @max(1, rig.sync_outcomes)) },
        };
        errdefer |err| tell(rig, scenario, survivors, err);
        if (!try run(rig, base, scenario, survivors)) break;
    }
    return trials;
}

test "after a failed sync nothing is built on what the medium does not have" {
    var base = try Base.small();
    defer base.deinit();
    var runs: u64 = 0;
    var images: u64 = 0;
    for ([_]vl.Durability{ .full, .normal, .none }) |durability| {
        const rig = try Rig.create(.{
            .durability = durability,
            .images_per_sync = 5,
            .images_per_write = 1,
            .second_life = 0,
        }, null, 2);
        defer rig.destroy();
        var trials: u64 = 0;
        for (befores) |before| for (failings) |failing| for (afters) |after| {
            for ([_]bool{ false, true }) |killed| for (0..3) |sync| {
                trials += try runAll(rig, &base, .{
                    .before = before,
                    .failing = failing,
                    .sync = sync,
                    .killed = killed,
                    .after = after,
                });
            };
        };
        try std.testing.expect(trials > 300 and rig.counts.images > 5_000);
        runs += trials;
        images += rig.counts.images;
    }
    tally.tell("failed syncs", .{ .failed_syncs = runs, .images = images });
}

test "a sync that fails during creation leaves nothing to build on" {
    var nothing: Contents = .{ .gpa = std.heap.smp_allocator };
    var trials: u64 = 0;
    for ([_]vl.Durability{ .full, .normal }) |durability| for (0..4) |sync| for (0..25) |number| {
        const rig = try Rig.create(.{
            .durability = durability,
            .create = true,
            .images_per_sync = 10 * scale,
            .second_life = 0,
            .seed = number,
        }, null, 2);
        defer rig.destroy();
        errdefer |err| std.debug.print("\n{t} with durability {t}, sync {d}, survivors {d}\n{s}", .{
            err, durability, sync, number, rig.report.written(),
        });
        try rig.begin(&nothing);
        rig.had_fault = true;
        rig.may_go_back = true;
        const survivors: simulated.Survivors = if (number == 0) .none else .random;
        try rig.disk.inject(.{ .call = .sync, .after = sync, .survivors = survivors });
        rig.open() catch |err| try std.testing.expectEqual(error.InputOutput, err);
        if (rig.disk.faults_fired == 0) break;
        rig.exploring = true;
        try rig.comeBack();
        try rig.putNew();
        try rig.checkpoint();
        try rig.exploreAll();
        try rig.grow();
        try rig.checkpoint();
        try rig.exploreAll();
        rig.exploring = false;
        rig.client.close();
        try rig.settle();
        trials += 1;
    };
    tally.tell("failed syncs of creation", .{ .failed_syncs = trials });
    try std.testing.expect(trials > 120);
}
