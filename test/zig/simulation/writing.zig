//! Calls that change the file, and what they leave in the model.

const std = @import("std");
const vl = @import("vectorlite");
const client = @import("../crash/client.zig");
const contents = @import("../crash/contents.zig");
const model = @import("model.zig");
const reading = @import("reading.zig");
const Actor = @import("actor.zig").Actor;
const Frame = @import("world.zig").Frame;
const Renamed = vl.catalogue.Renamed;
const World = @import("world.zig").World;

pub fn write(world: *World, frame: *Frame) anyerror!void {
    const actor = frame.actor;
    const database = actor.database.?;
    const random = world.random;
    const index = random.weightedIndex(u32, &.{ 8, 2, 1 });
    const state = world.seenBy(actor);
    const rows = state.collections[index];
    if (rows.made == 0 and frame.op != .make) frame.op = .make;
    var change: model.Change = switch (frame.op) {
        .put => .{ .put = drawPut(world, rows.made) },
        .amend => .{ .amend = drawAmend(world, rows.made) },
        .delete => .{ .delete = .{
            .made = rows.made,
            .number = 1 + random.uintLessThan(u32, model.key_count),
        } },
        .clear => .{ .clear = rows.made },
        .drop => .{ .drop = index },
        .make => .{ .make = .{ .collection = index, .made = world.made_next } },
        .rename => .{ .rename = .{
            .from = index,
            .to = random.uintLessThan(usize, model.names.len),
        } },
        else => unreachable,
    };
    world.made_next += @intFromBool(frame.op == .make);
    const is_implicit = actor.transaction == null;
    if (is_implicit) frame.change = change;
    const result = callWrite(world, frame, &change, &state, index);
    if (is_implicit) return result catch |err| {
        if (err != error.Overtaken) return err;
        frame.change = .none;
    };
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
    return err == error.Closed or err == error.NotFound;
}

fn callWrite(
    world: *World,
    frame: *Frame,
    change: *model.Change,
    state: *const model.State,
    index: usize,
) anyerror!void {
    const actor = frame.actor;
    const rows = &state.collections[index];
    switch (change.*) {
        .put => |*put| {
            const collection = try reading.handle(world, frame, index, rows.made);
            try client.putRows(collection, put.numbers[0..put.count], put.values[0..put.count]);
        },
        .amend => |*one| {
            const collection = try reading.handle(world, frame, index, rows.made);
            const key: contents.Key = .init(one.number);
            var buffer: [contents.metadata_bytes_max]u8 = undefined;
            const new = one.of(.{ .seed = 1 });
            const metadata = new.metadata(&buffer);
            const was_there = try collection.setMetadata(key.text(), metadata);
            const expected = rows.value(one.number) != null;
            const is_known = frame.intrusions == 0 and actor.doomed == null;
            if (is_known and was_there != expected) return error.WrongAnswer;
        },
        .delete => |one| {
            const collection = try reading.handle(world, frame, index, rows.made);
            const was_there = try client.deleteRow(collection, one.number);
            const expected = rows.value(one.number) != null;
            const is_known = frame.intrusions == 0 and actor.doomed == null;
            if (is_known and was_there != expected) return error.WrongAnswer;
        },
        .clear => {
            const collection = try reading.handle(world, frame, index, rows.made);
            try collection.clear();
        },
        .drop => {
            const found = try vl.catalogue.drop(actor.database.?, model.names[index]);
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
        .rename => |one| {
            const names = model.names;
            const database = actor.database.?;
            const answer = try vl.catalogue.rename(database, names[one.from], names[one.to]);
            const is_free = one.from == one.to or state.collections[one.to].made == 0;
            const is_known = frame.intrusions == 0 and actor.doomed == null;
            if (is_known and answer != @as(Renamed, if (is_free) .done else .taken)) {
                return error.WrongAnswer;
            }
        },
        .none, .all => unreachable,
    }
}

fn drawAmend(world: *World, made: u32) model.Amend {
    const random = world.random;
    const is_long = world.plan.has_large_rows and random.uintLessThan(u32, 8) == 0;
    defer world.value_next += 1;
    return .{
        .made = made,
        .number = 1 + random.uintLessThan(u32, model.key_count),
        .metadata_seed = world.value_next,
        .metadata_bytes = random.uintLessThan(u32, if (is_long) 6000 else 40),
    };
}

fn drawPut(world: *World, made: u32) model.Put {
    const random = world.random;
    var put: model.Put = .{ .made = made };
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

pub fn commit(world: *World, frame: *Frame) !void {
    const actor = frame.actor;
    const doomed = actor.doomed;
    var before = world.oracle.now().*;
    // Collections that it made are closed, even where its root is in the file all the same.
    errdefer for (actor.handles, 0..) |maybe, place| if (maybe) |known| {
        if (before.find(known.made) == null) actor.closeHandle(place);
    };
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

pub fn compact(actor: *Actor) !void {
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
pub fn close(world: *World, frame: *Frame) !void {
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
