//! One machine with its processes, all of it a function of one seed: who acts next, between and
//! inside of the calls of others, and what goes wrong.
//!
//! Between two calls of the machine that one process makes, others may act, and it may be killed or
//! the power lost exactly there. A write may be visible in part for a while: on one host with one
//! page cache that is all the delay there is, since a write that has returned is seen by every read
//! and through every map.

const std = @import("std");
const vl = @import("vectorlite");
const acts = @import("acts.zig");
const answers = @import("answers.zig");
const mishaps = @import("mishaps.zig");
const model = @import("model.zig");
const simulated = vl.backends.simulated;
const Actor = @import("actor.zig").Actor;
const Base = @import("../crash/workload.zig").Base;
const Condition = @import("coverage.zig").Condition;
const Conditions = @import("coverage.zig").Conditions;
const Coverage = @import("coverage.zig").Coverage;
const Disk = simulated.Disk;
const Op = @import("coverage.zig").Op;
const Oracle = @import("oracle.zig").Oracle;
const Plan = @import("plan.zig").Plan;

const gpa = std.heap.smp_allocator;
const frames_max = 4;
const actors_max = 11;

pub const copy_path = "copy.vl";

/// A call that is being made.
pub const Frame = struct {
    actor: *Actor,
    op: Op,
    /// What it will have changed when its root is there.
    change: model.Change = .none,
    published: bool = false,
    /// As it began: the place in the history, and how often the state had moved.
    index: usize,
    transaction_id: u64,
    moves: u64,
    losses: u64,
    lock_was_taken: bool,
    was_poisoned: bool,
    began_ms: u64,
    /// Calls of other processes inside of it.
    intrusions: u64 = 0,
    fault: ?simulated.Fault = null,
    faults_before: u64 = 0,
    is_scarce: bool = false,

    pub fn hasFired(frame: *const Frame, disk: *const Disk) bool {
        return frame.fault != null and disk.faults_fired > frame.faults_before;
    }
};

pub const World = struct {
    prng: std.Random.DefaultPrng,
    random: std.Random,
    plan: Plan,
    disk: *Disk,
    /// What a power loss leaves, and then the disk before it.
    spare: ?*Disk = null,
    /// Where backups go.
    copy: ?*Disk,
    coverage: *Coverage,
    oracle: Oracle,
    actors: [actors_max]Actor = undefined,
    actor_count: usize = 0,
    frames: [frames_max]Frame = undefined,
    depth: usize = 0,
    value_next: u32 = 1,
    made_next: u32 = 2,
    is_full: bool = false,
    is_cut: bool = false,
    power_is_lost: bool = false,
    conditions: Conditions = .initEmpty(),
    failure: ?anyerror = null,
    step: u64 = 0,
    is_told: bool = false,
    /// Of everything that happened, to compare two runs by.
    trace: std.hash.XxHash3 = .init(0),

    /// `world` does not move.
    pub fn init(world: *World, base: *const Base, coverage: *Coverage, seed: u64) !void {
        var prng = std.Random.DefaultPrng.init(seed);
        const plan: Plan = .draw(prng.random());
        const disk = try Disk.create(gpa, .{ .seed = seed, .content = base.bytes });
        errdefer disk.destroy();
        const copy = if (plan.has_jobs) try Disk.create(gpa, .{ .seed = seed +% 1 }) else null;
        errdefer if (copy) |other| other.destroy();
        if (copy) |other| try disk.attach(copy_path, other);
        world.* = .{
            .prng = prng,
            .random = undefined,
            .plan = plan,
            .disk = disk,
            .copy = copy,
            .coverage = coverage,
            .oracle = .init(disk, coverage),
        };
        world.random = world.prng.random();
        errdefer world.oracle.deinit();
        try world.oracle.begin(&.init(&base.rows));
        world.conditions.insert(.fresh);
        world.hire();
        world.setHooks();
    }

    pub fn deinit(world: *World) void {
        world.unsetHooks();
        for (world.all()) |*actor| {
            if (actor.process) |process| process.kill();
            // A leak was said already, or another failure is about to be.
            actor.close() catch {};
        }
        world.oracle.deinit();
        world.disk.destroy();
        if (world.spare) |disk| disk.destroy();
        if (world.copy) |disk| disk.destroy();
    }

    pub fn all(world: *World) []Actor {
        return world.actors[0..world.actor_count];
    }

    fn hire(world: *World) void {
        const plan = &world.plan;
        for (0..plan.readers) |_| world.hireOne(.reader, .none);
        for (plan.durability[0..plan.writers]) |durability| world.hireOne(.writer, durability);
        if (plan.has_compactor) world.hireOne(.compactor, plan.durability[2]);
    }

    fn hireOne(world: *World, role: @import("actor.zig").Role, durability: vl.Durability) void {
        const slices = [_]u32{ 1024, 4096, 16384 };
        world.actors[world.actor_count] = .{
            .role = role,
            .options = .{
                .readonly = role == .reader,
                .create = false,
                .durability = durability,
                .busy_timeout_ms = world.plan.busy_timeout_ms,
            },
            .hot_vectors = world.random.uintLessThan(u32, 4),
            .slice_bytes = slices[world.random.uintLessThan(usize, slices.len)],
            .relief_pages_min = world.plan.relief_pages_min,
            .scarce = .{ .child = gpa, .left = std.math.maxInt(u64), .forever = false },
        };
        world.actor_count += 1;
    }

    // The hooks.

    pub fn setHooks(world: *World) void {
        world.disk.hooks = .{
            .context = world,
            .onCall = onCall,
            .onLock = onLock,
            .onWrite = onWrite,
            .onShrink = onShrink,
            .onSleep = onSleep,
            .cutWrite = cutWrite,
            .onPart = onPart,
        };
    }

    pub fn unsetHooks(world: *World) void {
        world.disk.hooks = .{};
    }

    fn of(context: ?*anyopaque) *World {
        return @ptrCast(@alignCast(context.?));
    }

    fn isOver(world: *const World) bool {
        return world.failure != null or world.power_is_lost or world.depth == 0;
    }

    fn fail(world: *World, err: anyerror) void {
        if (world.failure == null) world.failure = err;
    }

    fn onCall(context: ?*anyopaque, _: simulated.Call) void {
        const world = of(context);
        if (world.isOver()) return;
        world.look() catch |err| return world.fail(err);
        world.comeBetween(world.plan.inside_every);
    }

    fn onLock(context: ?*anyopaque, _: vl.os.LockRange) void {
        const world = of(context);
        if (!world.isOver()) world.comeBetween(world.plan.inside_every / 3);
    }

    /// Whoever it waits for gets somewhere.
    fn onSleep(context: ?*anyopaque, _: u32) void {
        const world = of(context);
        if (!world.isOver()) world.comeBetween(2);
    }

    fn onWrite(context: ?*anyopaque, offset: u64, len: u64) void {
        const world = of(context);
        if (world.isOver()) return;
        world.noteFault();
        world.beforeWrite(offset, len) catch |err| world.fail(err);
    }

    fn beforeWrite(world: *World, offset: u64, len: u64) !void {
        try world.look();
        try world.learnHeld();
        try world.oracle.beforeWrite(offset, len);
    }

    fn onShrink(context: ?*anyopaque, length: u64) void {
        const world = of(context);
        if (world.isOver()) return;
        world.learnHeld() catch |err| world.fail(err);
        world.oracle.beforeShrink(length) catch |err| world.fail(err);
    }

    fn cutWrite(context: ?*anyopaque, _: u64, len: u64) ?usize {
        const world = of(context);
        if (world.isOver() or world.depth >= world.plan.depth_max) return null;
        const every = world.plan.cut_every;
        if (every == 0 or len < 2 or world.random.uintLessThan(u32, every) > 0) return null;
        // An end that is only just missing tells most.
        const is_close = world.random.boolean();
        const bytes_max = if (is_close) @min(len - 1, 16) else len - 1;
        const some = 1 + world.random.uintLessThan(u64, bytes_max);
        return @intCast(if (is_close) len - some else some);
    }

    fn onPart(context: ?*anyopaque) void {
        const world = of(context);
        if (world.isOver()) return;
        world.look() catch |err| return world.fail(err);
        const was_cut = world.is_cut;
        world.is_cut = true;
        defer world.is_cut = was_cut;
        for (0..1 + world.random.uintLessThan(usize, 3)) |_| world.comeBetween(1);
    }

    fn comeBetween(world: *World, every: u32) void {
        if (every == 0 or world.depth >= world.plan.depth_max or world.isOver()) return;
        if (world.random.uintLessThan(u32, every) > 0) return;
        world.intrude() catch |err| world.fail(err);
    }

    /// Another process acts inside of the call that is being made.
    fn intrude(world: *World) !void {
        for (world.frames[0..world.depth]) |*frame| frame.intrusions += 1;
        world.coverage.counts.calls_inside += 1;
        const frame = &world.frames[world.depth - 1];
        const dice = world.random.uintLessThan(u32, 100);
        if (world.plan.has_kills and dice < 3) {
            if (frame.actor.isAlive()) try mishaps.kill(world, frame.actor);
            return;
        }
        if (world.plan.has_power_losses and dice == 3) return mishaps.losePower(world);
        try acts.choose(world);
    }

    // What everybody does.

    /// What this process must see.
    pub fn seenBy(world: *World, actor: *const Actor) model.State {
        return actor.transaction orelse world.oracle.now().*;
    }

    /// Follows the state of the file, as it is at this call of the machine.
    pub fn look(world: *World) !void {
        world.noteFault();
        const frame = world.publisher();
        return world.lookFrom(frame);
    }

    /// Where `frame` is the only one that can have committed.
    pub fn lookFrom(world: *World, frame: ?*Frame) !void {
        if (world.power_is_lost) return;
        const change = if (frame) |found| &found.change else null;
        const losses = world.oracle.losses;
        if (try world.oracle.observe(change)) world.noteCommit(frame.?);
        if (world.oracle.losses != losses) world.conditions.insert(.after_loss);
        if (world.oracle.newest.kind != .durable) return;
        for (world.all()) |*actor| actor.volatile_since_ms = 0;
    }

    /// A root slot that is neither empty nor valid.
    pub fn hasTornSlot(world: *const World) bool {
        for (world.oracle.slots, 0..) |maybe, slot| {
            if (maybe != null) continue;
            const offset: usize = @intCast(vl.roots.slotOffset(@intCast(slot)));
            const bytes = world.disk.bytes()[offset..][0..vl.format.slot_bytes];
            if (!std.mem.allEqual(u8, bytes, 0)) return true;
        }
        return false;
    }

    fn noteCommit(world: *World, frame: *Frame) void {
        frame.published = true;
        for ([_]Condition{ .fresh, .after_kill, .after_failed_sync, .after_loss }) |condition| {
            world.conditions.remove(condition);
        }
        world.conditions.remove(.after_power_loss);
    }

    /// The call whose process holds the writer lock.
    fn publisher(world: *World) ?*Frame {
        const holder = world.lockHolder(vl.format.lock_writer) orelse return null;
        for (world.frames[0..world.depth]) |*frame| {
            if (!frame.actor.isAlive()) continue;
            if (@intFromPtr(frame.actor.process.?) == holder) return frame;
        }
        return null;
    }

    pub fn lockHolder(world: *const World, byte: u64) ?u64 {
        for (world.disk.locks.locks.items) |lock| {
            if (lock.range.start == byte) return lock.holder.process;
        }
        return null;
    }

    /// A sync that failed, or a slot that could not be written, may take volatile commits back.
    fn noteFault(world: *World) void {
        for (world.frames[0..world.depth]) |*frame| {
            if (!frame.hasFired(world.disk)) continue;
            const call = frame.fault.?.call.?;
            if (call != .sync and call != .write) continue;
            world.oracle.may_lose = true;
            world.oracle.had_fault = true;
            if (call == .sync) world.conditions.insert(.after_failed_sync);
        }
    }

    /// Which states somebody reads.
    fn learnHeld(world: *World) !void {
        const held = &world.oracle.held;
        held.clearRetainingCapacity();
        for (world.all()) |*actor| {
            if (!actor.isAlive()) continue;
            for (actor.snapshots) |maybe| {
                const one = maybe orelse continue;
                try held.append(gpa, one.snapshot.view.root.checksum);
            }
            if (actor.verify) |verify| try held.append(gpa, verify.snapshot.view.root.checksum);
            if (actor.backup) |backup| try held.append(gpa, backup.snapshot.view.root.checksum);
            if (actor.is_busy) continue;
            const database = actor.database orelse continue;
            if (database.pinned == database.current.root.transaction_id) {
                try held.append(gpa, database.current.root.checksum);
            }
        }
    }

    /// One call of the engine by one process.
    pub fn run(world: *World, actor: *Actor, op: Op) anyerror!void {
        std.debug.assert(!actor.is_busy);
        try world.look();
        const frame = world.push(actor, op);
        defer {
            world.depth -= 1;
            actor.is_busy = false;
        }
        mishaps.arm(world, frame);
        world.note(op);
        world.say(frame, "begins", null);
        const result = acts.perform(world, frame);
        world.say(frame, "ends", if (result) |_| null else |err| err);
        const fault = if (frame.hasFired(world.disk)) frame.fault else null;
        const was_scarce = frame.is_scarce and actor.scarce.fired;
        world.noteFault();
        mishaps.disarm(world, frame);
        world.trace.update(&[_]u8{ @intFromEnum(op), @intFromBool(std.meta.isError(result)) });
        if (world.failure) |failure| return failure;
        if (world.power_is_lost) return;
        try world.lookFrom(frame);
        if (result) |_| {
            try answers.keepPromise(world, frame, fault != null);
        } else |err| {
            world.coverage.counts.refusals += 1;
            try answers.judge(world, frame, err, fault, was_scarce);
        }
        try world.afterCall(actor);
    }

    /// Of a single seed every call is told.
    fn say(world: *World, frame: *const Frame, what: []const u8, err: ?anyerror) void {
        if (!world.is_told) return;
        const number = (@intFromPtr(frame.actor) - @intFromPtr(&world.actors)) / @sizeOf(Actor);
        std.debug.print("{d:4} {d} {t} {d}: {t} {s}, state {d} of {d}", .{
            world.step,                         world.depth,          frame.actor.role,
            number,                             frame.op,             what,
            world.oracle.newest.transaction_id, world.oracle.index(),
        });
        if (frame.fault) |fault| std.debug.print(", {t} fails after {d}", .{
            fault.call.?, fault.after,
        });
        if (err) |found| std.debug.print(": {t}", .{found});
        std.debug.print("\n", .{});
    }

    fn afterCall(world: *World, actor: *Actor) !void {
        if (!actor.isAlive()) return;
        try world.learnHeld();
        const database = actor.database orelse return;
        const session = database.session orelse return;
        if (database.transaction == null and !session.poisoned) {
            try world.oracle.checkSpace(session);
        }
    }

    fn push(world: *World, actor: *Actor, op: Op) *Frame {
        const holder = world.lockHolder(vl.format.lock_writer);
        const own = if (actor.process) |process| @intFromPtr(process) else 0;
        const frame = &world.frames[world.depth];
        frame.* = .{
            .actor = actor,
            .op = op,
            .index = world.oracle.index(),
            .transaction_id = world.oracle.newest.transaction_id,
            .moves = world.oracle.moves,
            .losses = world.oracle.losses,
            .lock_was_taken = if (holder) |process| process != own else false,
            .was_poisoned = actor.isPoisoned(),
            .began_ms = world.disk.now_ms,
        };
        world.depth += 1;
        actor.is_busy = true;
        return frame;
    }

    pub fn takeStep(world: *World) !void {
        world.step += 1;
        world.coverage.counts.steps += 1;
        if (world.random.uintLessThan(u32, 8) == 0) world.disk.advance(200);
        try mishaps.changeDisk(world);
        if (world.plan.has_power_losses and world.random.uintLessThan(u32, 80) == 0) {
            try mishaps.losePower(world);
        } else try acts.choose(world);
        if (world.failure) |failure| return failure;
        if (world.power_is_lost) return mishaps.comeBack(world);
        for (world.all()) |*actor| {
            if (actor.isAlive() or actor.process == null) continue;
            actor.process = null;
            try actor.close();
        }
        world.trace.update(std.mem.asBytes(&world.oracle.newest.transaction_id));
    }

    /// Everybody goes, and one writer leaves a whole file as small as it can be.
    pub fn finish(world: *World) !void {
        world.disk.capacity_bytes = (simulated.Options{}).capacity_bytes;
        world.is_full = false;
        world.plan = .quiet(&world.plan);
        for (world.all()) |*actor| if (actor.database != null) try world.run(actor, .close);
        const last = for (world.all()) |*actor| {
            if (actor.role == .writer) break actor;
        } else unreachable;
        last.slice_bytes = 16 * 1024;
        try world.run(last, .open);
        try world.run(last, .read);
        for (0..1000) |_| {
            try world.run(last, .compact);
            if (!last.is_compacting) break;
        } else return error.EndlessCompaction;
        try world.run(last, .flush);
        if (world.disk.length > length_max) return error.FileTooLarge;
        try world.run(last, .verify);
        while (last.verify != null) try world.run(last, .verify);
        try world.run(last, .close);
    }
    /// Forty rows of at most 6,000 bytes, in segments that may be half empty.
    const length_max = 1 << 20;

    /// In which states of the world the operation was tried.
    pub fn note(world: *World, op: Op) void {
        var conditions = world.conditions;
        const oracle = &world.oracle;
        conditions.setPresent(.@"volatile", oracle.newest.kind == .@"volatile");
        conditions.setPresent(.durable, oracle.newest.kind == .durable);
        conditions.setPresent(.full, world.is_full);
        conditions.setPresent(.inside_call, world.depth > 1);
        conditions.setPresent(.inside_write, world.is_cut);
        if (world.depth > 0) {
            const frame = &world.frames[world.depth - 1];
            const is_call = op != .kill and op != .power_loss;
            conditions.setPresent(.faulty, is_call and (frame.fault != null or frame.is_scarce));
        }
        for (world.all()) |*actor| world.noteOf(actor, &conditions);
        world.coverage.note(op, conditions);
    }

    fn noteOf(world: *const World, actor: *const Actor, conditions: *Conditions) void {
        if (!actor.isAlive()) return;
        if (actor.is_compacting) conditions.insert(.compacting);
        if (actor.transaction != null) conditions.insert(.in_transaction);
        if (actor.verify != null or actor.backup != null) conditions.insert(.in_job);
        for (actor.snapshots) |maybe| {
            const held = maybe orelse continue;
            const id = held.snapshot.view.root.transaction_id;
            if (id < world.oracle.newest.transaction_id) conditions.insert(.pinned);
            if (world.oracle.find(id) == null) conditions.insert(.lost_held);
        }
    }
};
