//! What the processes do: which of them is next, and which call.

const mishaps = @import("mishaps.zig");
const reading = @import("reading.zig");
const writing = @import("writing.zig");
const Actor = @import("actor.zig").Actor;
const Frame = @import("world.zig").Frame;
const Op = @import("coverage.zig").Op;
const World = @import("world.zig").World;

const Weight = struct { op: Op, weight: u32 };

const calls_of_reader = [_]Weight{
    .{ .op = .read, .weight = 30 },          .{ .op = .lookup, .weight = 15 },
    .{ .op = .snapshot_open, .weight = 12 }, .{ .op = .snapshot_read, .weight = 20 },
    .{ .op = .snapshot_close, .weight = 8 }, .{ .op = .verify, .weight = 10 },
    .{ .op = .backup, .weight = 6 },         .{ .op = .close, .weight = 2 },
    .{ .op = .kill, .weight = 2 },           .{ .op = .rest, .weight = 20 },
};

const calls_of_writer = [_]Weight{
    .{ .op = .put, .weight = 40 },           .{ .op = .delete, .weight = 8 },
    .{ .op = .amend, .weight = 20 },         .{ .op = .clear, .weight = 1 },
    .{ .op = .drop, .weight = 1 },           .{ .op = .make, .weight = 2 },
    .{ .op = .rename, .weight = 3 },         .{ .op = .begin, .weight = 5 },
    .{ .op = .commit, .weight = 5 },         .{ .op = .rollback, .weight = 1 },
    .{ .op = .flush, .weight = 5 },          .{ .op = .compact, .weight = 3 },
    .{ .op = .read, .weight = 5 },           .{ .op = .lookup, .weight = 4 },
    .{ .op = .snapshot_open, .weight = 2 },  .{ .op = .snapshot_read, .weight = 3 },
    .{ .op = .snapshot_close, .weight = 2 }, .{ .op = .verify, .weight = 2 },
    .{ .op = .backup, .weight = 1 },         .{ .op = .close, .weight = 2 },
    .{ .op = .kill, .weight = 2 },           .{ .op = .rest, .weight = 10 },
};

const calls_of_compactor = [_]Weight{
    .{ .op = .compact, .weight = 40 },       .{ .op = .flush, .weight = 1 },
    .{ .op = .read, .weight = 3 },           .{ .op = .snapshot_open, .weight = 1 },
    .{ .op = .snapshot_close, .weight = 1 }, .{ .op = .close, .weight = 1 },
    .{ .op = .kill, .weight = 1 },           .{ .op = .rest, .weight = 5 },
};

/// A process that is not in the middle of a call does something.
pub fn choose(world: *World) anyerror!void {
    const all = world.all();
    // Whoever has an explicit transaction keeps others waiting.
    const is_writers_turn = world.random.boolean();
    for (0..8) |_| {
        const actor = &all[world.random.uintLessThan(usize, all.len)];
        if (actor.is_busy or (actor.role == .reader) == is_writers_turn) continue;
        if (actor.database == null) {
            if (actor.process != null and !actor.isAlive()) continue;
            return world.run(actor, .open);
        }
        if (!actor.isAlive()) continue;
        const op = draw(world, actor) orelse continue;
        if (op == .kill) return mishaps.kill(world, actor);
        return world.run(actor, op);
    }
}

fn draw(world: *World, actor: *const Actor) ?Op {
    const weights: []const Weight = switch (actor.role) {
        .reader => &calls_of_reader,
        .writer => &calls_of_writer,
        .compactor => &calls_of_compactor,
    };
    var sum: u32 = 0;
    for (weights) |one| sum += one.weight;
    var left = world.random.uintLessThan(u32, sum);
    const op = for (weights) |one| {
        if (left < one.weight) break one.op;
        left -= one.weight;
    } else unreachable;
    const is_possible = switch (op) {
        .kill => world.plan.has_kills,
        .verify => world.plan.has_jobs,
        .backup => world.plan.has_jobs and mayCopy(world, actor),
        .clear, .drop => world.plan.has_drops,
        .rename => world.plan.has_renames,
        .begin, .flush, .compact => actor.transaction == null,
        .commit, .rollback => actor.transaction != null,
        .snapshot_open => countSnapshots(actor) < Actor.snapshots_max,
        .snapshot_read, .snapshot_close => countSnapshots(actor) > 0,
        else => true,
    };
    return if (is_possible) op else null;
}

/// There is one place for copies, and another actor may just be opening one.
fn mayCopy(world: *World, own: *const Actor) bool {
    for (world.frames[0..world.depth]) |*frame| if (frame.op == .backup) return false;
    for (world.all()) |*actor| if (actor != own and actor.backup != null) return false;
    return true;
}

fn countSnapshots(actor: *const Actor) usize {
    var count: usize = 0;
    for (actor.snapshots) |maybe| count += @intFromBool(maybe != null);
    return count;
}

pub fn perform(world: *World, frame: *Frame) anyerror!void {
    const actor = frame.actor;
    const database = actor.database orelse return actor.open(world.disk);
    switch (frame.op) {
        .open => unreachable,
        .close => try writing.close(world, frame),
        .read, .lookup => {
            const is_lookup = frame.op == .lookup;
            const call = if (is_lookup) &reading.lookup else &reading.read;
            const result = call(world, frame);
            const cause = actor.doomed orelse return result;
            // Half of a write may be there.
            if (result) |_| return error.DoomedRead else |err| if (err != cause) return err;
        },
        .snapshot_open, .verify, .backup => {
            const result: anyerror!void = switch (frame.op) {
                .snapshot_open => reading.openSnapshot(world, frame),
                .verify => reading.verify(world, frame),
                else => reading.backup(world, frame),
            };
            // In a transaction that is done for: what was committed before it may be lost by now.
            result catch |err| if (err != actor.doomed orelse return err) return err;
        },
        .snapshot_read => try reading.readSnapshot(world, frame),
        .snapshot_close => reading.closeSnapshot(world, actor),
        .begin => {
            try database.begin();
            try world.lookFrom(frame);
            actor.transaction = world.oracle.now().*;
        },
        .commit => try writing.commit(world, frame),
        .rollback => {
            database.rollback();
            actor.transaction = null;
            actor.doomed = null;
        },
        .put, .amend, .delete, .clear, .drop, .make, .rename => try writing.write(world, frame),
        .flush => try database.flush(),
        .compact => try writing.compact(actor),
        .rest => database.letGo(),
        .kill, .power_loss => unreachable,
    }
}
