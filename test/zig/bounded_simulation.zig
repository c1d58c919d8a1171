//! Files that have a maximum, collections that have one, and rows with an expiry, from one seed
//! each: connections with the maximum and without it write, read, rest and hold states, between and
//! inside of each other's calls; processes are killed, calls fail, the power goes, the disk fills.
//!
//! Whatever happens, the file is never longer than its maximum through a connection that has it.
//! What is read is what was stored last for its key. A row is missing only where rows may make room
//! or their time is over, never from a collection that keeps them, and never right after it was
//! stored. No row is read whose time is over. Counts are those of what can be read. A call that
//! is refused has stored nothing.

const std = @import("std");
const options = @import("crash_options");
const world_module = @import("bounded/world.zig");
const Tally = world_module.Tally;
const World = world_module.World;

comptime {
    _ = @import("crash/memset.zig");
}

const seeds_of_ordinary_run = 40;

fn tell(world: *World, seed: u64, err: anyerror) void {
    std.debug.print("\n{t} in step {d} of seed {d} (slot {d}, {?t})\n", .{
        err, world.step, seed, world.observer.problem_slot, world.observer.first_problem,
    });
    const command = "zig build test -Dtest-suite=bounded_simulation -Dcrash-seed=";
    std.debug.print("  run it alone: {s}{d}\n", .{ command, seed });
    for (world.frames[0..world.depth]) |*frame| {
        const change = &frame.change;
        std.debug.print("  {d} writes, the last {d} together, lossy: {any}\n  slots there:", .{
            change.writes.items.len, change.row_count, change.may_lose,
        });
        for (change.writes.items) |*write| if (world.observer.seen[write.slot] != null) {
            std.debug.print(" {d}", .{write.slot});
        };
        std.debug.print("\n", .{});
    }
    for (world.frames[0..@max(world.depth, 1)]) |*frame| {
        std.debug.print("  {t} {t}: {s}\n", .{
            frame.actor.kind, frame.op, frame.actor.diagnostics.message(),
        });
    }
}

fn play(tally: *Tally, seed: u64, is_told: bool) !u64 {
    const world = try std.testing.allocator.create(World);
    defer std.testing.allocator.destroy(world);
    try world.init(tally, seed);
    defer world.deinit();
    errdefer |err| tell(world, seed, err);
    world.is_told = is_told;
    if (is_told) std.debug.print("{any}\n", .{world.plan});
    for (0..world.plan.steps) |_| try world.takeStep();
    try world.finish();
    tally.runs += 1;
    world.trace.update(std.mem.asBytes(&world.observer.newest().transaction_id));
    return world.trace.final();
}

test "a file with a maximum keeps to it, and to what was stored, whoever acts when" {
    var tally: Tally = .{};
    if (options.seed) |seed| {
        _ = try play(&tally, seed, true);
        return;
    }
    for (0..seeds_of_ordinary_run * options.scale) |seed| _ = try play(&tally, seed, false);
    if (!options.tally) return;
    std.debug.print("TALLY bounded", .{});
    inline for (@typeInfo(Tally).@"struct".fields) |field| {
        std.debug.print(" bounded_{s}={d}", .{ field.name, @field(tally, field.name) });
    }
    std.debug.print("\n", .{});
}

test "one seed is one run" {
    var tally: Tally = .{};
    for (0..3) |seed| {
        try std.testing.expectEqual(try play(&tally, seed, false), try play(&tally, seed, false));
    }
}
