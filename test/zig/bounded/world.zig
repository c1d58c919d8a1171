//! The machine of one run: connections that act between and inside of each other's calls, what goes
//! wrong, and who looks at the file meanwhile.

const std = @import("std");
const vl = @import("vectorlite");
const actor_module = @import("actor.zig");
const calls = @import("calls.zig");
const model = @import("model.zig");
const plan_module = @import("plan.zig");
const Actor = actor_module.Actor;
const Disk = simulated.Disk;
const Observer = @import("observer.zig").Observer;
const Plan = plan_module.Plan;
const simulated = vl.backends.simulated;

const gpa = std.heap.smp_allocator;
const actors_max = 6;
const frames_max = 3;

pub const Tally = struct {
    runs: u64 = 0,
    calls: u64 = 0,
    commits: u64 = 0,
    refusals: u64 = 0,
    no_space: u64 = 0,
    kills: u64 = 0,
    power_losses: u64 = 0,
    faults: u64 = 0,
    intrusions: u64 = 0,
    rows_read: u64 = 0,
    rows_gone: u64 = 0,
};

/// A call that is being made.
pub const Frame = struct {
    actor: *Actor,
    op: calls.Op,
    change: model.Change = .{},
    /// Whether the change was seen in the file.
    is_done: bool = false,
    intrusions: u32 = 0,
    losses: u64,
    faults_before: u64,
    began_ms: i64,
};

pub const World = struct {
    prng: std.Random.DefaultPrng,
    random: std.Random,
    plan: Plan,
    disk: *Disk,
    spare: ?*Disk = null,
    observer: Observer,
    tally: *Tally,
    actors: [actors_max]Actor = undefined,
    actor_count: usize = 0,
    frames: [frames_max]Frame = undefined,
    depth: usize = 0,
    seed_next: u32 = 1,
    length: u64 = 0,
    losses: u64 = 0,
    is_full: bool = false,
    /// A call failed that keeps states, or the power did: older roots may be no good.
    had_mishap: bool = false,
    had_fault: bool = false,
    is_quiet: bool = false,
    /// In the middle of a write.
    is_cut: bool = false,
    is_told: bool = false,
    power_is_lost: bool = false,
    failure: ?anyerror = null,
    step: u32 = 0,
    trace: std.hash.XxHash3 = .init(0),

    /// `world` does not move.
    pub fn init(world: *World, tally: *Tally, seed: u64) !void {
        world.* = .{
            .prng = .init(seed),
            .random = undefined,
            .plan = undefined,
            .disk = undefined,
            .observer = undefined,
            .tally = tally,
        };
        world.random = world.prng.random();
        world.plan = .draw(world.random);
        world.disk = try Disk.create(gpa, .{ .seed = seed });
        world.observer = try .init(&world.plan);
        for (0..world.plan.bounded) |_| world.addActor(.bounded);
        for (0..world.plan.free) |_| world.addActor(.free);
        for (0..world.plan.readers) |_| world.addActor(.reader);
        world.setHooks();
        // A file whose making was not synced may be none after a power loss.
        const plan = world.plan;
        world.plan.calm();
        try world.run(&world.actors[0], .open);
        try world.run(&world.actors[0], .flush);
        world.plan = plan;
        if (world.failure) |failure| return failure;
    }

    pub fn deinit(world: *World) void {
        world.disk.hooks = .{};
        for (world.all()) |*actor| actor.close();
        world.tally.rows_read += world.observer.rows_seen;
        world.tally.rows_gone += world.observer.rows_gone;
        world.observer.deinit();
        world.disk.destroy();
        if (world.spare) |disk| disk.destroy();
    }

    fn addActor(world: *World, kind: actor_module.Kind) void {
        const random = world.random;
        const plan = &world.plan;
        world.actors[world.actor_count] = .{
            .kind = kind,
            .options = .{
                .readonly = kind == .reader and random.boolean(),
                .durability = if (plan.are_mixed)
                    random.enumValue(vl.Durability)
                else
                    plan.durability,
                .busy_timeout_ms = 20,
                .memory_budget_bytes = 1 << 22,
                .file_bytes_max = if (kind == .bounded) plan.bytes_max else std.math.maxInt(u64),
            },
            .hot_vectors = if (random.boolean()) 8 else 0,
        };
        world.actor_count += 1;
    }

    pub fn all(world: *World) []Actor {
        return world.actors[0..world.actor_count];
    }

    fn setHooks(world: *World) void {
        world.disk.hooks = .{
            .context = world,
            .onCall = onCall,
            .onWrite = onWrite,
            .onSleep = onSleep,
            .cutWrite = cutWrite,
            .onPart = onPart,
        };
    }

    fn of(context: ?*anyopaque) *World {
        return @ptrCast(@alignCast(context.?));
    }

    fn isOver(world: *const World) bool {
        return world.is_quiet or world.failure != null or world.power_is_lost or world.depth == 0;
    }

    fn onCall(context: ?*anyopaque, _: simulated.Call) void {
        const world = of(context);
        if (world.isOver()) return;
        world.look() catch |err| return world.fail(err);
        world.happen();
    }

    fn onSleep(context: ?*anyopaque, _: u32) void {
        const world = of(context);
        if (!world.isOver()) world.comeBetween();
    }

    fn onWrite(context: ?*anyopaque, offset: u64, len: u64) void {
        const world = of(context);
        if (world.isOver()) return;
        const is_long = offset + len > @max(world.plan.bytes_max, world.disk.length);
        if (is_long and world.top().actor.isBounded()) world.fail(error.FileTooLong);
    }

    fn cutWrite(context: ?*anyopaque, _: u64, len: u64) ?usize {
        const world = of(context);
        const may_stop = world.plan.kill_every > 0 or world.plan.power_every > 0;
        if (world.isOver() or !may_stop or len < 2) return null;
        if (!world.oneIn(40)) return null;
        return world.random.uintLessThan(usize, @intCast(len));
    }

    fn onPart(context: ?*anyopaque) void {
        const world = of(context);
        if (world.isOver()) return;
        world.look() catch |err| return world.fail(err);
        if (world.oneIn(3) and world.plan.kill_every > 0) return world.kill(world.top().actor);
        if (world.oneIn(4) and world.plan.power_every > 0) return world.losePower();
        world.is_cut = true;
        defer world.is_cut = false;
        world.comeBetween();
    }

    pub fn oneIn(world: *World, count: u32) bool {
        return count > 0 and world.random.uintLessThan(u32, count) == 0;
    }

    fn happen(world: *World) void {
        if (world.oneIn(world.plan.kill_every)) return world.kill(world.top().actor);
        if (world.oneIn(world.plan.power_every)) return world.losePower();
        if (world.oneIn(world.plan.inside_every)) world.comeBetween();
    }

    /// Another connection makes a call before this one goes on.
    fn comeBetween(world: *World) void {
        if (world.depth == frames_max or world.plan.inside_every == 0) return;
        const actor = &world.actors[world.random.uintLessThan(usize, world.actor_count)];
        if (actor.is_busy or (actor.process != null and !actor.isAlive())) return;
        for (world.frames[0..world.depth]) |*frame| frame.intrusions += 1;
        world.tally.intrusions += 1;
        const op = calls.draw(world, actor);
        world.run(actor, op) catch |err| world.fail(err);
    }

    pub fn fail(world: *World, err: anyerror) void {
        if (world.failure == null) world.failure = err;
    }

    pub fn kill(world: *World, actor: *Actor) void {
        const process = actor.process orelse return;
        process.kill();
        world.tally.kills += 1;
        world.had_mishap = true;
    }

    /// In the middle of whatever is being done. The disk that is left is built now, and found when
    /// everybody is dead.
    fn losePower(world: *World) void {
        world.buildRest() catch |err| return world.fail(err);
        for (world.all()) |*actor| if (actor.process) |process| process.kill();
        world.tally.power_losses += 1;
        world.power_is_lost = true;
    }

    fn buildRest(world: *World) !void {
        const random = world.random;
        var possible = try world.disk.crashes(.{
            .groups_max = 8,
            .samples = 32,
            .seed = random.int(u64),
        });
        defer possible.deinit();
        const number = random.uintLessThan(u64, possible.count());
        if (world.spare == null) {
            world.spare = try Disk.create(gpa, .{ .seed = random.int(u64) });
        }
        try world.spare.?.become(world.disk, possible.at(number).?, .new);
    }

    fn comeBack(world: *World) !void {
        world.disk.hooks = .{};
        for (world.all()) |*actor| {
            actor.close();
            actor.process = null;
        }
        world.observer.close();
        std.mem.swap(*Disk, &world.disk, &world.spare.?);
        world.disk.capacity_bytes = (simulated.Options{}).capacity_bytes;
        world.length = world.disk.length;
        world.is_full = false;
        world.power_is_lost = false;
        world.had_mishap = true;
        world.observer.may_lose = true;
        _ = try world.observer.look(world.disk, &.{}, false);
        if (world.observer.database == null) return error.NoRoot;
        world.observer.may_lose = false;
        world.observer.floor = world.observer.newest().transaction_id;
        world.losses += 1;
        world.setHooks();
    }

    pub fn top(world: *World) *Frame {
        return &world.frames[world.depth - 1];
    }

    /// At every call of the machine.
    pub fn look(world: *World) !void {
        if (world.depth == 0) return;
        world.is_quiet = true;
        defer world.is_quiet = false;
        const frame = world.top();
        if (world.hasFault(frame)) world.observer.may_lose = true;
        const length = world.disk.length;
        const is_longer = length > @max(world.length, world.plan.bytes_max);
        if (is_longer and frame.actor.isBounded()) return error.FileTooLong;
        world.length = length;
        const before = world.observer.newest().transaction_id;
        const is_open = !frame.is_done and !frame.change.isNothing();
        if (try world.observer.look(world.disk, &frame.change, is_open)) frame.is_done = true;
        const after = world.observer.newest().transaction_id;
        if (after > before) world.tally.commits += 1;
        if (after < before) world.losses += 1;
    }

    pub fn run(world: *World, actor: *Actor, op: calls.Op) anyerror!void {
        if (world.depth > 0) try world.look();
        world.length = world.disk.length;
        const frame = &world.frames[world.depth];
        frame.* = .{
            .actor = actor,
            .op = op,
            .losses = world.losses,
            .faults_before = world.disk.faults_fired,
            .began_ms = world.wallMs(),
        };
        world.depth += 1;
        actor.is_busy = true;
        // After a failure it is told what was being done.
        try world.make(frame);
        frame.change.deinit();
        world.depth -= 1;
        actor.is_busy = false;
    }

    fn make(world: *World, frame: *Frame) anyerror!void {
        const actor = frame.actor;
        const op = frame.op;
        world.tally.calls += 1;
        try world.arm(actor);
        world.say(frame, "begins", null);
        const result = calls.perform(world, frame);
        world.say(frame, "ends", if (result) |_| null else |err| err);
        world.disarm(frame);
        world.trace.update(&[_]u8{ @intFromEnum(op), @intFromBool(std.meta.isError(result)) });
        if (world.failure) |failure| return failure;
        if (world.power_is_lost) return;
        try world.look();
        if (!actor.isAlive()) return;
        if (result) |_| try calls.keepPromise(world, frame) else |err| {
            world.tally.refusals += 1;
            try calls.judge(world, frame, err);
        }
    }

    fn arm(world: *World, actor: *Actor) !void {
        if (!world.oneIn(world.plan.fault_every) or actor.process == null) return;
        const random = world.random;
        const kinds = [_]simulated.Call{ .write, .extend, .sync, .read, .stat, .lock, .probe };
        const call = plan_module.pick(random, simulated.Call, &kinds);
        const may_be_full = call == .write or call == .extend;
        try world.disk.inject(.{
            .call = call,
            .after = random.uintLessThan(u64, 4),
            .forever = world.oneIn(3),
            .err = if (may_be_full and random.boolean()) error.NoSpace else error.InputOutput,
            .partial = call == .write and random.boolean(),
            .process = actor.process_id,
        });
    }

    fn disarm(world: *World, frame: *Frame) void {
        if (world.hasFault(frame)) {
            world.tally.faults += 1;
            world.had_mishap = true;
            world.had_fault = true;
            world.observer.may_lose = true;
        }
        var at = world.disk.faults.items.len;
        while (at > 0) {
            at -= 1;
            if (world.disk.faults.items[at].process == frame.actor.process_id) {
                _ = world.disk.faults.orderedRemove(at);
            }
        }
    }

    pub fn hasFault(world: *const World, frame: *const Frame) bool {
        return world.disk.faults_fired > frame.faults_before;
    }

    fn say(world: *World, frame: *const Frame, what: []const u8, err: ?anyerror) void {
        if (!world.is_told) return;
        const number = (@intFromPtr(frame.actor) - @intFromPtr(&world.actors)) / @sizeOf(Actor);
        std.debug.print("{d:4} {d} {t} {d}: {t} {s}, state {d}, {d} bytes", .{
            world.step, world.depth, frame.actor.kind,                       number,
            frame.op,   what,        world.observer.newest().transaction_id, world.disk.length,
        });
        if (err) |found| std.debug.print(": {t} ({s})", .{
            found, frame.actor.diagnostics.message(),
        });
        std.debug.print("\n", .{});
    }

    pub fn wallMs(world: *const World) i64 {
        return world.disk.wall_offset_ms + @as(i64, @intCast(world.disk.now_ms));
    }

    pub fn takeStep(world: *World) !void {
        world.step += 1;
        if (world.oneIn(6)) world.disk.advance(world.random.uintLessThan(u64, 2000));
        world.changeDisk();
        for (0..8) |_| {
            const actor = &world.actors[world.random.uintLessThan(usize, world.actor_count)];
            if (actor.process != null and !actor.isAlive()) continue;
            try world.run(actor, calls.draw(world, actor));
            break;
        }
        if (world.failure) |failure| return failure;
        if (world.power_is_lost) return world.comeBack();
        for (world.all()) |*actor| {
            if (actor.process == null or actor.isAlive()) continue;
            actor.close();
            actor.process = null;
        }
    }

    fn changeDisk(world: *World) void {
        if (world.is_full and world.oneIn(10)) {
            world.disk.capacity_bytes = (simulated.Options{}).capacity_bytes;
            world.is_full = false;
        } else if (!world.is_full and world.oneIn(world.plan.full_every)) {
            const more = world.random.uintLessThan(u64, 20) * vl.format.page_bytes;
            world.disk.capacity_bytes = world.disk.length + more;
            world.is_full = true;
        }
    }

    /// Everybody rests, and one connection finds a sound file that it can write.
    pub fn finish(world: *World) !void {
        world.plan.calm();
        world.disk.capacity_bytes = (simulated.Options{}).capacity_bytes;
        world.is_full = false;
        for (world.all()) |*actor| if (actor.database != null) try world.run(actor, .close);
        const last = &world.actors[0];
        for ([_]calls.Op{ .open, .put, .scan, .count, .verify, .put, .close }) |op| {
            try world.run(last, op);
        }
    }
};
