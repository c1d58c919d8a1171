//! A machine with up to eight readers, two writers and a compactor, from one seed: they act between
//! and inside of each other's calls; processes are killed, syncs and other calls fail, memory and
//! the disk run out, the power goes. Whatever happens, every read shows the newest commit, a
//! snapshot what it showed first, and the file what was promised (simulation/oracle.zig). At the
//! end of a run the file is made as small as it can be, and verified.

const std = @import("std");
const vl = @import("vectorlite");
const options = @import("crash_options");
const model = @import("simulation/model.zig");
const client = @import("crash/client.zig");
const Actor = @import("simulation/actor.zig").Actor;
const Base = @import("crash/workload.zig").Base;
const Coverage = @import("simulation/coverage.zig").Coverage;
const World = @import("simulation/world.zig").World;

const seeds_of_ordinary_run = 250;

fn tell(world: *const World, seed: u64, err: anyerror) void {
    std.debug.print("\n{t} in step {d} of seed {d} ({s})\n", .{
        err, world.step, seed, world.oracle.problem,
    });
    const command = "zig build test -Dtest-suite=crash_simulation -Dcrash-seed=";
    std.debug.print("  run it alone: {s}{d}\n", .{ command, seed });
    for (world.frames[0..@max(world.depth, 1)]) |*frame| {
        std.debug.print("  {t} {t}: {s}\n", .{
            frame.actor.role, frame.op, frame.actor.diagnostics.message(),
        });
    }
}

fn play(base: *const Base, coverage: *Coverage, seed: u64, is_told: bool) !u64 {
    var world: World = undefined;
    try world.init(base, coverage, seed);
    defer world.deinit();
    errdefer |err| tell(&world, seed, err);
    world.is_told = is_told;
    const steps = 100 + world.random.uintLessThan(u64, 160);
    for (0..steps) |_| try world.takeStep();
    try world.finish();
    coverage.counts.seeds += 1;
    return world.trace.final();
}

test "whoever acts when, reads show the newest commit, and what was promised is kept" {
    var base = try Base.small();
    defer base.deinit();
    var coverage: Coverage = .{};
    if (options.seed) |seed| {
        _ = try play(&base, &coverage, seed, true);
        return;
    }
    const seeds = seeds_of_ordinary_run * options.scale;
    for (0..seeds) |seed| _ = try play(&base, &coverage, seed, false);
    coverage.tell();
    try coverage.expectComplete();
}

test "one seed is one run" {
    var base = try Base.small();
    defer base.deinit();
    var coverage: Coverage = .{};
    for (0..3) |seed| {
        const first = try play(&base, &coverage, seed, false);
        try std.testing.expectEqual(first, try play(&base, &coverage, seed, false));
    }
}
