//! What goes wrong: calls of the machine that fail, memory and a disk that run out, processes that
//! die, and the power that goes.

const std = @import("std");
const vl = @import("vectorlite");
const world_module = @import("world.zig");
const Actor = @import("actor.zig").Actor;
const Disk = simulated.Disk;
const Frame = world_module.Frame;
const World = world_module.World;
const simulated = vl.backends.simulated;

/// Something is about to go wrong in this call, perhaps.
pub fn arm(world: *World, frame: *Frame) void {
    const actor = frame.actor;
    const plan = &world.plan;
    const random = world.random;
    const dice = random.uintLessThan(u32, 100);
    if (plan.has_scarce_memory and dice < 6) {
        actor.scarce.fired = false;
        actor.scarce.left = random.uintLessThan(u64, 40);
        frame.is_scarce = true;
        return;
    }
    const fails_sync = plan.has_failing_syncs and dice >= 90;
    const fails_call = plan.has_failing_calls and dice >= 80 and dice < 90;
    if (!fails_sync and !fails_call) return;
    const calls = [_]simulated.Call{ .read, .write, .extend, .stat, .lock, .probe, .map, .open };
    const call = if (fails_sync) .sync else calls[random.uintLessThan(usize, calls.len)];
    const may_be_full = call == .write or call == .extend or call == .sync;
    const is_full = may_be_full and random.boolean();
    frame.fault = .{
        .call = call,
        .after = random.uintLessThan(u64, if (fails_sync) 3 else 6),
        .forever = random.uintLessThan(u32, 3) == 0,
        .err = if (is_full) error.NoSpace else error.InputOutput,
        // Short reads are a file that was cut, which is damage.
        .partial = call == .write and random.boolean(),
        .process = if (actor.process) |process| process.id else 0,
    };
    frame.faults_before = world.disk.faults_fired;
    world.disk.inject(frame.fault.?) catch {
        frame.fault = null;
    };
}

pub fn disarm(world: *World, frame: *Frame) void {
    const actor = frame.actor;
    actor.scarce.left = std.math.maxInt(u64);
    if (frame.is_scarce and actor.scarce.fired) world.coverage.counts.faults += 1;
    actor.scarce.fired = false;
    frame.is_scarce = false;
    if (frame.fault == null) return;
    if (frame.hasFired(world.disk)) world.coverage.counts.faults += 1;
    const faults = &world.disk.faults;
    var at = faults.items.len;
    while (at > 0) {
        at -= 1;
        if (faults.items[at].process == frame.fault.?.process) _ = faults.orderedRemove(at);
    }
    frame.fault = null;
}

/// A process dies. What it had open is freed when no call of it is on the stack any more.
pub fn kill(world: *World, actor: *Actor) !void {
    if (world.depth > 0) try world.look();
    world.note(.kill);
    actor.process.?.kill();
    if (actor.role == .reader) return;
    world.conditions.insert(.after_kill);
    world.oracle.had_kill = true;
}

/// The machine is gone, in the middle of whatever is being done. The disk that is left is built
/// now, and found when everybody is dead.
pub fn losePower(world: *World) !void {
    if (world.depth > 0) try world.look();
    world.note(.power_loss);
    var possible = try world.disk.crashes(.{
        .groups_max = 8,
        .samples = 32,
        .seed = world.random.int(u64),
    });
    defer possible.deinit();
    const number = world.random.uintLessThan(u64, possible.count());
    const other = world.spare orelse made: {
        const disk = try Disk.create(std.heap.smp_allocator, .{ .seed = world.random.int(u64) });
        world.spare = disk;
        if (world.copy) |copy| try disk.attach(world_module.copy_path, copy);
        break :made disk;
    };
    try other.become(world.disk, possible.at(number).?, .new);
    for (world.all()) |*actor| if (actor.process) |process| process.kill();
    world.power_is_lost = true;
}

pub fn comeBack(world: *World) !void {
    for (world.all()) |*actor| {
        actor.process = null;
        try actor.close();
    }
    world.unsetHooks();
    std.mem.swap(*Disk, &world.disk, &world.spare.?);
    world.disk.capacity_bytes = (simulated.Options{}).capacity_bytes;
    world.power_is_lost = false;
    world.is_full = false;
    world.conditions = .initMany(&.{ .fresh, .after_power_loss });
    world.setHooks();
    try world.oracle.reboot(world.disk);
}

pub fn changeDisk(world: *World) !void {
    if (!world.plan.has_full_disk) return;
    const dice = world.random.uintLessThan(u32, 20);
    if (dice == 0 and !world.is_full) {
        const more = world.random.uintLessThan(u64, 6) * vl.format.page_bytes;
        world.disk.capacity_bytes = world.disk.length + more;
        world.is_full = true;
    } else if (dice == 1) {
        world.disk.capacity_bytes = (simulated.Options{}).capacity_bytes;
        world.is_full = false;
    }
}
