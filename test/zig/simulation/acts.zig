//! What the processes do: which call is next, the call, and whether its answer is right.

const std = @import("std");
const vl = @import("vectorlite");
const client = @import("../crash/client.zig");
const contents = @import("../crash/contents.zig");
const inspector = @import("../crash/inspector.zig");
const model = @import("model.zig");
const world_module = @import("world.zig");
const Actor = @import("actor.zig").Actor;
const Frame = world_module.Frame;
const Op = @import("coverage.zig").Op;
const World = world_module.World;

const gpa = std.heap.smp_allocator;

const Weight = struct { op: Op, weight: u32 };

const reading = [_]Weight{
    .{ .op = .read, .weight = 30 },          .{ .op = .lookup, .weight = 15 },
    .{ .op = .snapshot_open, .weight = 12 }, .{ .op = .snapshot_read, .weight = 20 },
    .{ .op = .snapshot_close, .weight = 8 }, .{ .op = .verify, .weight = 10 },
    .{ .op = .backup, .weight = 6 },         .{ .op = .close, .weight = 2 },
    .{ .op = .kill, .weight = 2 },
};

const writing = [_]Weight{
    .{ .op = .put, .weight = 50 },           .{ .op = .delete, .weight = 8 },
    .{ .op = .clear, .weight = 1 },          .{ .op = .drop, .weight = 1 },
    .{ .op = .make, .weight = 2 },           .{ .op = .begin, .weight = 5 },
    .{ .op = .commit, .weight = 5 },         .{ .op = .rollback, .weight = 1 },
    .{ .op = .flush, .weight = 5 },          .{ .op = .compact, .weight = 3 },
    .{ .op = .read, .weight = 5 },           .{ .op = .lookup, .weight = 4 },
    .{ .op = .snapshot_open, .weight = 2 },  .{ .op = .snapshot_read, .weight = 3 },
    .{ .op = .snapshot_close, .weight = 2 }, .{ .op = .verify, .weight = 2 },
    .{ .op = .backup, .weight = 1 },         .{ .op = .close, .weight = 2 },
    .{ .op = .kill, .weight = 2 },
};

const compacting = [_]Weight{
    .{ .op = .compact, .weight = 40 },       .{ .op = .flush, .weight = 1 },
    .{ .op = .read, .weight = 3 },           .{ .op = .snapshot_open, .weight = 1 },
    .{ .op = .snapshot_close, .weight = 1 }, .{ .op = .close, .weight = 1 },
    .{ .op = .kill, .weight = 1 },
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
        if (op == .kill) return world.kill(actor);
        return world.run(actor, op);
    }
}

fn draw(world: *World, actor: *const Actor) ?Op {
    const weights: []const Weight = switch (actor.role) {
        .reader => &reading,
        .writer => &writing,
        .compactor => &compacting,
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
        .begin, .flush, .compact => actor.transaction == null,
        .commit, .rollback => actor.transaction != null,
        .snapshot_open => countSnapshots(actor) < Actor.snapshots_max,
        .snapshot_read, .snapshot_close => countSnapshots(actor) > 0,
        else => true,
    };
    return if (is_possible) op else null;
}

/// There is one place for copies.
fn mayCopy(world: *World, own: *const Actor) bool {
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
        .close => try close(world, frame),
        .read, .lookup => {
            const result = if (frame.op == .read) read(world, frame) else lookup(world, frame);
            const cause = actor.doomed orelse return result;
            // Half of a write may be there.
            if (result) |_| return error.DoomedRead else |err| if (err != cause) return err;
        },
        .snapshot_open => try openSnapshot(world, frame),
        .snapshot_read => try readSnapshot(world, frame),
        .snapshot_close => closeSnapshot(world, actor),
        .verify => try verify(world, frame),
        .backup => try backup(world, frame),
        .begin => {
            try database.begin();
            try world.lookFrom(frame);
            actor.transaction = world.oracle.now().*;
        },
        .commit => try commit(frame),
        .rollback => {
            database.rollback();
            actor.transaction = null;
            actor.doomed = null;
        },
        .put, .delete, .clear, .drop, .make => try write(world, frame),
        .flush => try database.flush(),
        .compact => try compact(actor),
        .kill, .power_loss => unreachable,
    }
}

// Reading.

/// What this process must see.
fn seenBy(world: *World, actor: *const Actor) model.State {
    return actor.transaction orelse world.oracle.now().*;
}

fn read(world: *World, frame: *Frame) !void {
    const actor = frame.actor;
    const index = world.random.uintLessThan(usize, model.names.len);
    const rows = seenBy(world, actor).collections[index];
    const ways: client.Ways = if (world.random.boolean()) .scan else .every_way;
    if (rows.made == 0) return expectAbsentNow(world, frame, index);
    const collection = try actor.handle(index, rows.made);
    const found = client.readEverything(collection, ways);
    if (world.oracle.moves != frame.moves) {
        // It is many calls, and somebody has committed between them.
        world.coverage.counts.reads_overtaken += 1;
        _ = found catch |err| if (!isOwnError(err)) return err;
        return;
    }
    if (!rows.digest().eql(try found)) return error.WrongContents;
    world.coverage.counts.reads_checked += 1;
}

/// What `readEverything` says where two of its calls do not agree.
fn isOwnError(err: anyerror) bool {
    return switch (err) {
        error.KeyNotFound, error.WrongVector, error.WrongCount, error.WrongHits => true,
        error.KeyFound, error.WrongOrder, error.RowFoundTwice => true,
        else => false,
    };
}

fn expectAbsent(actor: *Actor, scope: vl.Scope, index: usize) !void {
    const collection = actor.openCollection(scope, index, false) catch |err| switch (err) {
        error.InvalidArgument => return,
        else => return err,
    };
    collection.close();
    return error.DroppedCollectionFound;
}

fn expectAbsentNow(world: *World, frame: *Frame, index: usize) !void {
    const actor = frame.actor;
    expectAbsent(actor, .{ .database = actor.database.? }, index) catch |err| {
        // Somebody may have made it meanwhile.
        const is_late = world.oracle.moves != frame.moves;
        if (err != error.DroppedCollectionFound or !is_late) return err;
    };
}

/// One call: it shows one of the states that there were meanwhile.
fn lookup(world: *World, frame: *Frame) !void {
    const actor = frame.actor;
    const index = world.random.uintLessThan(usize, model.names.len);
    const number = 1 + world.random.uintLessThan(u32, model.key_count);
    const rows = seenBy(world, actor).collections[index];
    if (rows.made == 0) return expectAbsentNow(world, frame, index);
    const collection = try actor.handle(index, rows.made);
    const key: contents.Key = .init(number);
    var vector: [contents.dimension]f32 = undefined;
    const is_there = try collection.get(key.text(), &vector);
    try world.lookFrom(frame);
    if (world.oracle.losses != frame.losses) return;
    if (actor.transaction != null) return expectValue(&rows, number, is_there, &vector);
    for (world.oracle.history.items[frame.index..]) |entry| {
        const state = &world.oracle.records.getPtr(entry.sum).?.state.?;
        expectValue(&state.collections[index], number, is_there, &vector) catch continue;
        return;
    }
    return error.WrongValue;
}

fn expectValue(
    rows: *const model.Rows,
    number: u32,
    is_there: bool,
    vector: *const [contents.dimension]f32,
) !void {
    const expected = rows.value(number) orelse return if (is_there) error.WrongValue;
    const floats = expected.vector();
    if (!is_there or !std.mem.eql(f32, &floats, vector)) return error.WrongValue;
}

fn openSnapshot(world: *World, frame: *Frame) !void {
    const actor = frame.actor;
    const place = for (&actor.snapshots) |*place| {
        if (place.* == null) break place;
    } else return;
    const snapshot = try actor.database.?.openSnapshot();
    errdefer snapshot.close();
    try world.lookFrom(frame);
    const root = &snapshot.view.root;
    const record = world.oracle.records.getPtr(root.checksum) orelse return error.UnknownRoot;
    const is_known = world.oracle.losses != frame.losses or
        (root.transaction_id >= frame.transaction_id and
            root.transaction_id <= world.oracle.newest.transaction_id);
    if (!is_known) return error.NotTheNewest;
    if (actor.transaction == null) try noteTransaction(world, actor, root.transaction_id);
    const state = record.state orelse return error.UnknownRoot;
    var collections: [model.names.len]?*vl.Collection = @splat(null);
    errdefer for (collections) |maybe| if (maybe) |collection| collection.close();
    const scope: vl.Scope = .{ .snapshot = snapshot };
    for (&collections, &state.collections, 0..) |*collection, *rows, index| {
        if (rows.made == 0) {
            try expectAbsent(actor, scope, index);
        } else collection.* = try actor.openCollection(scope, index, false);
    }
    place.* = .{ .snapshot = snapshot, .collections = collections, .state = state };
}

/// The transactions that one process sees do not go back, but where states were lost.
fn noteTransaction(world: *World, actor: *Actor, transaction_id: u64) !void {
    const is_same = actor.last_losses == world.oracle.losses;
    if (is_same and transaction_id < actor.last_transaction) return error.TransactionWentBack;
    actor.last_transaction = transaction_id;
    actor.last_losses = world.oracle.losses;
}

fn readSnapshot(world: *World, frame: *Frame) !void {
    const held = anySnapshot(world, frame.actor).*.?;
    const ways: client.Ways = if (world.random.boolean()) .scan else .every_way;
    for (held.collections, &held.state.collections) |maybe, *rows| {
        const collection = maybe orelse continue;
        const found = client.readEverything(collection, ways) catch |err| {
            return if (isOwnError(err)) error.SnapshotChanged else err;
        };
        if (!rows.digest().eql(found)) return error.SnapshotChanged;
        world.coverage.counts.reads_checked += 1;
    }
}

fn anySnapshot(world: *World, actor: *Actor) *?@import("actor.zig").Held {
    while (true) {
        const index = world.random.uintLessThan(usize, Actor.snapshots_max);
        if (actor.snapshots[index] != null) return &actor.snapshots[index];
    }
}

fn closeSnapshot(world: *World, actor: *Actor) void {
    const place = anySnapshot(world, actor);
    place.*.?.close();
    place.* = null;
}

fn verify(world: *World, frame: *Frame) !void {
    const actor = frame.actor;
    const job = actor.verify orelse {
        actor.verify = try vl.Verify.open(actor.database.?);
        actor.verify_is_doubtful = false;
        return;
    };
    errdefer actor.closeVerify();
    const is_head = job.phase == .head;
    if (is_head and world.hasTornSlot()) actor.verify_is_doubtful = true;
    var progress: [2]f64 = undefined;
    const more = try job.step(actor.slice_bytes, &progress[0], &progress[1]);
    if (is_head and world.hasTornSlot()) actor.verify_is_doubtful = true;
    if (frame.fault != null) {
        // What cannot be read is rightly called damaged.
        return actor.closeVerify();
    }
    if (more) return;
    for (job.ledger.findings.list.items) |finding| {
        if (finding.kind == .slot and actor.verify_is_doubtful) continue;
        world.oracle.problem = @tagName(finding.kind);
        return error.VerifyDisagrees;
    }
    world.coverage.counts.verified += 1;
    actor.closeVerify();
}

fn backup(world: *World, frame: *Frame) !void {
    const actor = frame.actor;
    const job = actor.backup orelse {
        try world.copy.setContent(&.{});
        const opened = try vl.Backup.open(actor.database.?, world_module.copy_path);
        actor.backup = opened;
        const record = world.oracle.records.get(opened.snapshot.view.root.checksum);
        actor.backup_state = (record orelse return error.UnknownRoot).state.?;
        return;
    };
    errdefer actor.closeBackup();
    var progress: [2]f64 = undefined;
    const more = try job.step(actor.slice_bytes, &progress[0], &progress[1]);
    if (more) return;
    actor.closeBackup();
    const bytes = world.copy.bytes();
    const header = inspector.readHeader(bytes) orelse return error.WrongBackup;
    const slots = inspector.readSlots(bytes);
    const root = inspector.newest(&slots, null) orelse return error.WrongBackup;
    var copied: inspector.Inspector = .{ .gpa = gpa, .bytes = bytes, .hash_key = header.hash_key };
    defer copied.deinit();
    if (!actor.backup_state.digest().eql(try copied.inspect(&root))) return error.WrongBackup;
    world.coverage.counts.backups += 1;
}

// Writing.

fn write(world: *World, frame: *Frame) anyerror!void {
    const actor = frame.actor;
    const database = actor.database.?;
    const random = world.random;
    const index: usize = if (random.uintLessThan(u32, 4) == 0) 1 else 0;
    const rows = seenBy(world, actor).collections[index];
    if (rows.made == 0 and frame.op != .make) frame.op = .make;
    var change: model.Change = switch (frame.op) {
        .put => .{ .put = drawPut(world, index) },
        .delete => .{ .delete = .{
            .collection = index,
            .number = 1 + random.uintLessThan(u32, model.key_count),
        } },
        .clear => .{ .clear = index },
        .drop => .{ .drop = index },
        .make => .{ .make = .{ .collection = index, .made = world.made_next } },
        else => unreachable,
    };
    world.made_next += @intFromBool(frame.op == .make);
    const is_implicit = actor.transaction == null;
    if (is_implicit) frame.change = change;
    const result = callWrite(world, frame, &change, rows);
    if (is_implicit) return result;
    if (actor.doomed) |cause| {
        // A transaction that is done for takes nothing any more.
        if (result) |_| return error.DoomedWritten else |err| {
            return if (err == cause or isHandleError(err)) {} else err;
        }
    }
    if (result) |_| {
        actor.transaction = actor.transaction.?.after(&change);
    } else |err| {
        const transaction = database.transaction orelse return err;
        if (transaction.doomed) |cause| actor.doomed = cause;
        return err;
    }
}

fn isHandleError(err: anyerror) bool {
    return err == error.Closed or err == error.InvalidArgument;
}

fn callWrite(
    world: *World,
    frame: *Frame,
    change: *model.Change,
    rows: model.Rows,
) anyerror!void {
    const actor = frame.actor;
    switch (change.*) {
        .put => |*put| {
            const collection = try actor.handle(put.collection, rows.made);
            try client.putRows(collection, put.numbers[0..put.count], put.values[0..put.count]);
        },
        .delete => |one| {
            const collection = try actor.handle(one.collection, rows.made);
            const was_there = try client.deleteRow(collection, one.number);
            const expected = rows.value(one.number) != null;
            const is_known = frame.intrusions == 0 and actor.doomed == null;
            if (is_known and was_there != expected) return error.WrongAnswer;
        },
        .clear => |index| {
            const collection = try actor.handle(index, rows.made);
            try collection.clear();
        },
        .drop => |index| {
            const found = try actor.database.?.dropCollection(model.names[index]);
            if (frame.intrusions == 0 and actor.doomed == null and !found) return error.WrongAnswer;
        },
        .make => |*one| {
            actor.closeHandle(one.collection);
            const scope: vl.Scope = .{ .database = actor.database.? };
            const collection = try actor.openCollection(scope, one.collection, true);
            try world.lookFrom(frame);
            const made = if (rows.made != 0) rows.made else one.made;
            if (frame.intrusions > 0) return collection.close();
            actor.handles[one.collection] = .{ .collection = collection, .made = made };
        },
        .none, .all => unreachable,
    }
}

fn drawPut(world: *World, index: usize) model.Put {
    const random = world.random;
    var put: model.Put = .{ .collection = index };
    const is_large = random.uintLessThan(u32, 6) == 0;
    put.count = if (is_large) model.batch_max else 1 + random.uintLessThan(usize, 2);
    for (put.numbers[0..put.count], put.values[0..put.count]) |*number, *value| {
        number.* = 1 + random.uintLessThan(u32, model.key_count);
        const is_long = world.plan.has_large_rows and random.uintLessThan(u32, 8) == 0;
        value.* = .{
            .seed = world.value_next,
            .metadata_bytes = random.uintLessThan(u32, if (is_long) 6000 else 40),
        };
        world.value_next += 1;
    }
    return put;
}

fn commit(frame: *Frame) !void {
    const actor = frame.actor;
    const doomed = actor.doomed;
    frame.change = .{ .all = actor.transaction.? };
    actor.transaction = null;
    actor.doomed = null;
    actor.database.?.commit() catch |err| {
        const cause = doomed orelse return err;
        if (err != cause) return err;
        frame.change = .none;
        return;
    };
    if (doomed != null) return error.DoomedCommitted;
}

fn compact(actor: *Actor) !void {
    const is_first = !actor.is_compacting;
    actor.is_compacting = false;
    var progress: [2]f64 = undefined;
    const database = actor.database.?;
    actor.is_compacting = try vl.compactStep(
        database,
        is_first,
        actor.slice_bytes,
        &progress[0],
        &progress[1],
    );
    if (progress[0] > progress[1]) return error.WrongProgress;
}

/// Makes durable what this connection has committed.
fn close(world: *World, frame: *Frame) !void {
    const actor = frame.actor;
    const session = actor.database.?.session;
    const has_volatile = if (session) |found|
        found.hasVolatileCommits() and !found.poisoned
    else
        false;
    actor.volatile_since_ms = 0;
    try actor.close();
    if (!has_volatile or frame.intrusions > 0 or frame.lock_was_taken) return;
    if (frame.fault != null or frame.is_scarce or world.is_full or !actor.isAlive()) return;
    try world.lookFrom(frame);
    if (world.oracle.newest.kind != .durable) return error.CloseNotDurable;
    world.oracle.promise(frame.transaction_id);
}

// What an answer means.

/// The call has succeeded.
pub fn keepPromise(world: *World, frame: *Frame, has_fired: bool) !void {
    const actor = frame.actor;
    if (!actor.isAlive()) return;
    const database = actor.database orelse return;
    if (database.transaction == null and !database.options.readonly) {
        if (frame.op == .flush) try keepFlush(world, frame, has_fired);
        if (frame.change != .none) try keepCommit(world, frame);
    }
    // Where a refused call left nothing, the handle may know an older state.
    if (database.pinned) |pinned| {
        if (actor.transaction == null and frame.op == .read) {
            try noteTransaction(world, actor, pinned);
        }
    }
}

fn keepFlush(world: *World, frame: *Frame, has_fired: bool) !void {
    frame.actor.volatile_since_ms = 0;
    if (world.oracle.losses != frame.losses) return;
    const durable = inspector.newest(&world.oracle.slots, null) orelse return error.NoRoot;
    if (durable.transaction_id < frame.transaction_id) return error.FlushNotDurable;
    world.oracle.promise(frame.transaction_id);
    if (frame.intrusions == 0 and !has_fired) world.oracle.may_lose = false;
}

/// What was acknowledged is in the file, and durable where that was promised.
fn keepCommit(world: *World, frame: *Frame) !void {
    const actor = frame.actor;
    const root = &actor.database.?.current.root;
    const record = world.oracle.records.getPtr(root.checksum) orelse return error.UnknownRoot;
    const state = record.state orelse return error.UnknownRoot;
    if (frame.change != .make and frame.intrusions == 0) {
        if (!state.after(&frame.change).digest().eql(state.digest())) return error.CommitLost;
    }
    if (!frame.published) return;
    if (root.kind == .durable) {
        actor.volatile_since_ms = 0;
        return world.oracle.promise(root.transaction_id);
    }
    if (actor.options.durability == .full) return error.NotDurable;
    const since = actor.volatile_since_ms;
    const is_late = since != 0 and
        frame.began_ms -| since >= vl.limits.checkpoint_interval_ms;
    if (actor.options.durability == .normal and is_late) return error.VolatileTooLong;
    if (since == 0) actor.volatile_since_ms = world.disk.now_ms;
}

/// The call was refused: only for a reason, and then nothing has changed.
pub fn judge(
    world: *World,
    frame: *Frame,
    err: anyerror,
    fault: ?vl.backends.simulated.Fault,
    was_scarce: bool,
) !void {
    const actor = frame.actor;
    if (!actor.isAlive()) return;
    const has_moved = world.oracle.moves != frame.moves;
    const call = if (fault) |fired| fired.call.? else null;
    const is_expected = switch (err) {
        error.OutOfMemory => was_scarce,
        error.Poisoned => frame.was_poisoned,
        error.Locked => frame.lock_was_taken or frame.intrusions > 0,
        error.NoSpace => world.is_full or frame.intrusions > 0 or
            (fault != null and fault.?.err == error.NoSpace),
        error.InputOutput => fault != null,
        error.Corrupt => call == .read,
        error.Closed, error.InvalidArgument => has_moved,
        else => false,
    };
    if (!is_expected) return err;
    const is_write = frame.change != .none;
    if (is_write and frame.published and !actor.isPoisoned()) return error.RefusedButCommitted;
}
