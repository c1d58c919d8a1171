//! Calls that change nothing, and whether what they show is right.

const std = @import("std");
const vl = @import("vectorlite");
const client = @import("../crash/client.zig");
const contents = @import("../crash/contents.zig");
const inspector = @import("../crash/inspector.zig");
const model = @import("model.zig");
const world_module = @import("world.zig");
const Actor = @import("actor.zig").Actor;
const Frame = world_module.Frame;
const Held = @import("actor.zig").Held;
const World = world_module.World;

const gpa = std.heap.smp_allocator;

pub fn read(world: *World, frame: *Frame) anyerror!void {
    const actor = frame.actor;
    const index = world.random.uintLessThan(usize, model.names.len);
    const rows = world.seenBy(actor).collections[index];
    const ways: client.Ways = if (world.random.boolean()) .scan else .every_way;
    if (rows.made == 0) return expectAbsentNow(world, frame, index);
    const collection = handle(world, frame, index, rows.made) catch |err| {
        if (err != error.Overtaken) return err;
        world.coverage.counts.reads_overtaken += 1;
        return;
    };
    const found = client.readEverything(collection, ways);
    const name = collection.currentName();
    if (world.oracle.moves != frame.moves) {
        // It is many calls, and somebody has committed between them.
        world.coverage.counts.reads_overtaken += 1;
        _ = found catch |err| if (!isOwnError(err)) return err;
        return;
    }
    if (!rows.digest().eql(try found)) return error.WrongContents;
    if (!std.mem.eql(u8, model.names[index], try name)) return error.WrongName;
    world.coverage.counts.reads_checked += 1;
}

/// The collection that was made so: the one that the process has open, whatever it was called then,
/// or the one with that name.
pub fn handle(world: *World, frame: *Frame, index: usize, made: u32) anyerror!*vl.Collection {
    const actor = frame.actor;
    if (actor.placeOf(made)) |place| {
        return actor.handles[place].?.collection;
    }
    actor.closeHandle(index);
    const scope: vl.Scope = .{ .database = actor.database.? };
    const collection = try actor.openCollection(scope, index, false);
    // Another one may have got the name meanwhile.
    const is_known = actor.transaction != null or world.oracle.moves == frame.moves;
    actor.handles[index] = .{ .collection = collection, .made = if (is_known) made else 0 };
    return if (is_known) collection else error.Overtaken;
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
        error.NotFound => return,
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
pub fn lookup(world: *World, frame: *Frame) anyerror!void {
    const actor = frame.actor;
    const index = world.random.uintLessThan(usize, model.names.len);
    const number = 1 + world.random.uintLessThan(u32, model.key_count);
    const rows = world.seenBy(actor).collections[index];
    if (rows.made == 0) return expectAbsentNow(world, frame, index);
    const collection = handle(world, frame, index, rows.made) catch |err| {
        return if (err == error.Overtaken) {} else err;
    };
    const key: contents.Key = .init(number);
    var vector: [contents.dimension]f32 = undefined;
    const is_there = try collection.get(key.text(), &vector);
    try world.lookFrom(frame);
    if (world.oracle.losses != frame.losses) return;
    if (actor.transaction != null) return expectValue(&rows, number, is_there, &vector);
    for (world.oracle.history.items[frame.index..]) |entry| {
        const state = &world.oracle.records.getPtr(entry.sum).?.state.?;
        const then = state.find(rows.made) orelse continue;
        expectValue(then, number, is_there, &vector) catch continue;
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

pub fn openSnapshot(world: *World, frame: *Frame) !void {
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
    if (actor.transaction == null) try noteTransaction(world, frame, root.transaction_id);
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
pub fn noteTransaction(world: *World, frame: *Frame, transaction_id: u64) !void {
    const actor = frame.actor;
    // It may have seen one that was lost within this call.
    if (world.oracle.losses != frame.losses) return;
    const is_same = actor.last_losses == world.oracle.losses;
    if (is_same and transaction_id < actor.last_transaction) return error.TransactionWentBack;
    actor.last_transaction = transaction_id;
    actor.last_losses = world.oracle.losses;
}

pub fn readSnapshot(world: *World, frame: *Frame) !void {
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

fn anySnapshot(world: *World, actor: *Actor) *?Held {
    while (true) {
        const index = world.random.uintLessThan(usize, Actor.snapshots_max);
        if (actor.snapshots[index] != null) return &actor.snapshots[index];
    }
}

pub fn closeSnapshot(world: *World, actor: *Actor) void {
    const place = anySnapshot(world, actor);
    place.*.?.close();
    place.* = null;
}

pub fn verify(world: *World, frame: *Frame) !void {
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

pub fn backup(world: *World, frame: *Frame) !void {
    const actor = frame.actor;
    const job = actor.backup orelse {
        try world.copy.?.setContent(&.{});
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
    const bytes = world.copy.?.bytes();
    const header = inspector.readHeader(bytes) orelse return error.WrongBackup;
    const slots = inspector.readSlots(bytes);
    const root = inspector.newest(&slots, null) orelse return error.WrongBackup;
    var copied: inspector.Inspector = .{ .gpa = gpa, .bytes = bytes, .hash_key = header.hash_key };
    defer copied.deinit();
    _ = try copied.inspect(&root);
    if (!actor.backup_state.digest().eql(copied.named)) return error.WrongBackup;
    world.coverage.counts.backups += 1;
}
