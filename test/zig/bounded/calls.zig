//! Which call comes next, what it does, and whether its answer is one that it may give.

const std = @import("std");
const vl = @import("vectorlite");
const model = @import("model.zig");
const reading = @import("reading.zig");
const writing = @import("writing.zig");
const world_module = @import("world.zig");
const Actor = @import("actor.zig").Actor;
const Frame = world_module.Frame;
const World = world_module.World;

pub const Op = enum {
    open,
    close,
    put,
    delete,
    amend,
    clear,
    drop,
    transact,
    flush,
    sweep,
    compact,
    shrink,
    get,
    many,
    scan,
    search,
    count,
    rest,
    snapshot,
    snapshot_read,
    verify,
};

const Weight = struct { Op, u32 };

const of_writer = [_]Weight{
    .{ .put, 50 },     .{ .delete, 6 },        .{ .amend, 8 },  .{ .clear, 1 },
    .{ .drop, 1 },     .{ .transact, 6 },      .{ .flush, 3 },  .{ .sweep, 2 },
    .{ .compact, 4 },  .{ .shrink, 2 },        .{ .get, 12 },   .{ .many, 4 },
    .{ .scan, 2 },     .{ .search, 4 },        .{ .count, 3 },  .{ .rest, 8 },
    .{ .snapshot, 2 }, .{ .snapshot_read, 3 }, .{ .verify, 1 }, .{ .close, 2 },
};

const of_reader = [_]Weight{
    .{ .get, 20 },     .{ .many, 6 },          .{ .scan, 3 },   .{ .search, 6 },
    .{ .count, 4 },    .{ .rest, 20 },         .{ .verify, 1 }, .{ .close, 2 },
    .{ .snapshot, 4 }, .{ .snapshot_read, 6 },
};

pub fn draw(world: *World, actor: *const Actor) Op {
    if (actor.database == null) return .open;
    const weights: []const Weight = if (actor.kind == .reader) &of_reader else &of_writer;
    var sum: u32 = 0;
    for (weights) |one| sum += one[1];
    var left = world.random.uintLessThan(u32, sum);
    const op = for (weights) |one| {
        if (left < one[1]) break one[0];
        left -= one[1];
    } else unreachable;
    const plan = &world.plan;
    const is_possible = switch (op) {
        .clear => plan.has_clears,
        .drop => plan.has_drops,
        .transact => plan.has_transactions,
        .compact => plan.has_compaction,
        .shrink => actor.kind == .free,
        .snapshot, .snapshot_read => plan.has_snapshots,
        else => true,
    };
    return if (is_possible) op else .get;
}

pub fn perform(world: *World, frame: *Frame) anyerror!void {
    const actor = frame.actor;
    if (frame.op == .open or actor.database == null) return open(world, frame);
    switch (frame.op) {
        .open => unreachable,
        .close => actor.close(),
        .put, .delete, .amend => try writing.write(world, frame),
        .clear => try writing.clear(world, frame),
        .drop => try writing.drop(world, frame),
        .transact => try writing.transact(world, frame),
        .flush => try actor.database.?.flush(),
        .sweep => try writing.sweep(world, frame),
        .compact => try writing.compact(actor),
        .shrink => try writing.shrink(world, frame),
        .get => try reading.get(world, frame),
        .many => try reading.many(world, frame),
        .scan => try reading.scan(world, frame),
        .search => try reading.search(world, frame),
        .count => try reading.count(world, frame),
        .rest => if (world.random.boolean()) actor.database.?.letGo() else {
            _ = actor.database.?.rest();
        },
        .snapshot => try reading.takeSnapshot(world, frame),
        .snapshot_read => try reading.readSnapshot(world, frame),
        .verify => try reading.verify(world, frame),
    }
}

/// In a process of its own, or beside another connection.
fn open(world: *World, frame: *Frame) !void {
    const actor = frame.actor;
    const other = &world.actors[world.random.uintLessThan(usize, world.actor_count)];
    const is_shared = other.database != null and other.isAlive() and world.oneIn(3);
    const process = if (is_shared) other.process.? else try world.disk.process();
    try actor.open(process);
}

/// The call did what it says.
pub fn keepPromise(world: *World, frame: *Frame) !void {
    const actor = frame.actor;
    if (!frame.change.isNothing() and !frame.is_done and world.losses == frame.losses) {
        const last = world.observer.newest();
        var after = try last.clone();
        defer after.deinit();
        after.apply(&frame.change, world.observer.shapes());
        for (last.rows, after.rows) |one, other| {
            if (std.meta.eql(one, other)) continue;
            // A row whose time is over takes no other metadata, and may never have been seen.
            if (one) |value| if (value.isOver(world.wallMs()) and other != null) continue;
            if (other) |value| if (value.isOver(world.wallMs())) continue;
            return world.observer.first_problem orelse error.CommitLost;
        }
    }
    const database = actor.database orelse return;
    const is_write = switch (frame.op) {
        .put, .delete, .amend, .clear, .drop, .transact => frame.is_done,
        else => false,
    };
    const is_durable = frame.op == .flush and !actor.options.readonly or
        is_write and actor.options.durability == .full;
    if (!is_durable or world.losses != frame.losses) return;
    const id = database.current.root.transaction_id;
    const observer = &world.observer;
    if (observer.find(id) != null) observer.floor = @max(observer.floor, id);
}

/// The call was refused: only for a reason, and then nothing was stored.
pub fn judge(world: *World, frame: *Frame, err: anyerror) !void {
    const actor = frame.actor;
    const has_fault = world.hasFault(frame);
    const is_alone = world.depth == 1 and frame.intrusions == 0;
    const is_expected = switch (err) {
        error.NoSpace => mayBeFull(world, frame),
        error.Locked => !is_alone or has_fault,
        error.Closed, error.NotFound => world.plan.has_drops or world.losses > 0,
        error.InputOutput => has_fault,
        error.Poisoned => world.had_fault,
        else => false,
    };
    if (!is_expected) return err;
    if (err == error.NoSpace) world.tally.no_space += 1;
    if (frame.is_done and !has_fault and isStored(world, &frame.change)) {
        return error.RefusedButCommitted;
    }
    if (err == error.Closed or err == error.NotFound) {
        for (0..actor.handles.len) |index| actor.closeHandle(index);
    }
    const session = if (actor.database) |database| database.session else null;
    const is_poisoned = if (session) |found| found.poisoned else false;
    if (is_poisoned) actor.close();
}

/// Rows that are over at once, or made room, look as if they had not been stored.
fn isStored(world: *World, change: *const model.Change) bool {
    for (change.writes.items) |*write| switch (write.what) {
        .put => |value| {
            if (std.meta.eql(world.observer.newest().rows[write.slot], value)) return true;
        },
        .delete, .amend => return true,
    };
    return change.writes.items.len == 0 and !change.isNothing();
}

fn mayBeFull(world: *World, frame: *Frame) bool {
    const actor = frame.actor;
    if (world.is_full or world.hasFault(frame)) return true;
    if (!actor.isBounded()) return false;
    if (world.depth > 1 or frame.intrusions > 0 or frame.op == .transact) return true;
    if (frame.op != .put and frame.op != .delete) return true;
    // What others hold, or keep, takes room.
    const database = actor.database orelse return true;
    if (actor.held != null or vl.room.isHeld(database)) return true;
    if (world.disk.length > world.plan.bytes_max) return true;
    const shapes = world.observer.shapes();
    if (shapes.len > model.kept) {
        const rows = world.observer.newest().count(&shapes[model.kept], null, 0);
        if (rows > 0) return true;
    }
    return frame.change.writes.items.len > 1 or world.plan.text_bytes_max > 200;
}
