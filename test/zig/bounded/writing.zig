//! Calls that change the file, and what they leave in the model.

const std = @import("std");
const vl = @import("vectorlite");
const model = @import("model.zig");
const world_module = @import("world.zig");
const Actor = @import("actor.zig").Actor;
const Frame = world_module.Frame;
const Shape = model.Shape;
const Value = model.Value;
const World = world_module.World;

const gpa = std.heap.smp_allocator;

fn drawCollection(world: *World) usize {
    return world.random.uintLessThan(usize, world.plan.shape_count);
}

/// Some keys are asked for more often than others.
pub fn drawNumber(world: *World, shape: *const Shape) u32 {
    const end = if (world.random.boolean()) shape.keys / 4 + 1 else shape.keys;
    return world.random.uintLessThan(u32, end);
}

fn drawValue(world: *World, dimension: u32) !Value {
    const random = world.random;
    const is_long = world.oneIn(8);
    var value: Value = .{
        .seed = world.seed_next,
        .metadata_seed = world.seed_next,
        .text_bytes = random.uintLessThan(u32, if (is_long) world.plan.text_bytes_max else 20),
    };
    world.seed_next += 1;
    if (world.plan.has_expiries and world.oneIn(3)) {
        const now_ms: u64 = @intCast(world.wallMs());
        value.expiry_ms = @intCast(now_ms - 50 + random.uintLessThan(u64, 5000));
    }
    const vector = try gpa.alloc(f32, dimension);
    defer gpa.free(vector);
    var buffer: [Value.metadata_bytes_max]u8 = undefined;
    value.vector(vector);
    value.sums = .of(vector, value.metadata(&buffer));
    return value;
}

/// Room may be made for what this connection writes to the collection.
fn allowLosses(world: *World, frame: *Frame, index: usize) void {
    const may_lose = &frame.change.may_lose;
    if (frame.actor.isBounded()) {
        may_lose.* = @splat(true);
    } else if (world.plan.shapes[index].rows_max != null) may_lose[index] = true;
    may_lose[model.kept] = false;
}

/// The handle, which may have to be made.
fn handleFor(world: *World, frame: *Frame, index: usize) !?*vl.Collection {
    const actor = frame.actor;
    allowLosses(world, frame, index);
    return actor.handle(&world.plan, index) catch |err| {
        if (err != error.NoSpace or !actor.isBounded()) return err;
        try vl.room.makeFor(actor.database.?, 1, world.plan.shapes[index].dimension);
        return actor.handle(&world.plan, index);
    };
}

/// One call of its own.
pub fn write(world: *World, frame: *Frame) anyerror!void {
    const index = drawCollection(world);
    const collection = try handleFor(world, frame, index) orelse return;
    switch (frame.op) {
        .put => try put(world, frame, collection, index),
        .delete => try delete(world, frame, collection, index),
        .amend => try amend(world, frame, collection, index),
        else => unreachable,
    }
}

fn put(world: *World, frame: *Frame, collection: *vl.Collection, index: usize) !void {
    var arena: std.heap.ArenaAllocator = .init(gpa);
    defer arena.deinit();
    const scratch = arena.allocator();
    const shape = &world.plan.shapes[index];
    const is_large = world.oneIn(4);
    const count = 1 + world.random.uintLessThan(u32, if (is_large) world.plan.batch_max else 2);
    const key_lens = try scratch.alloc(u32, count);
    const metadata_lens = try scratch.alloc(u32, count);
    const expiries = try scratch.alloc(f64, count);
    const vectors = try scratch.alloc(f32, count * shape.dimension);
    var keys: std.ArrayList(u8) = .empty;
    var metadata: std.ArrayList(u8) = .empty;
    var buffer: [Value.metadata_bytes_max]u8 = undefined;
    const change = &frame.change;
    for (0..count) |i| {
        const number = drawNumber(world, shape);
        const value = try drawValue(world, shape.dimension);
        const key: model.Key = .init(number);
        const text = value.metadata(&buffer);
        try keys.appendSlice(scratch, key.text());
        try metadata.appendSlice(scratch, text);
        key_lens[i] = @intCast(key.len);
        metadata_lens[i] = @intCast(text.len);
        expiries[i] = @floatFromInt(value.expiry_ms);
        value.vector(vectors[i * shape.dimension ..][0..shape.dimension]);
        try change.writes.append(gpa, .{
            .collection = @intCast(index),
            .slot = shape.first + number,
            .what = .{ .put = value },
        });
    }
    change.row_count = count;
    change.rows_max = if (collection.eviction) |*eviction| &eviction.rows_max else null;
    const before = collection.sets;
    try collection.put(.{
        .keys = keys.items,
        .key_lens = key_lens,
        .vectors = vectors,
        .metadata = metadata.items,
        .metadata_lens = metadata_lens,
        .expiries = if (world.plan.has_expiries) expiries else &.{},
    });
    if (collection.sets != before + count) return error.WrongSets;
}

fn delete(world: *World, frame: *Frame, collection: *vl.Collection, index: usize) !void {
    const shape = &world.plan.shapes[index];
    const number = drawNumber(world, shape);
    const slot = shape.first + number;
    frame.change.may_lose = @splat(false);
    try frame.change.writes.append(gpa, .{
        .collection = @intCast(index),
        .slot = slot,
        .what = .delete,
    });
    const row = world.observer.newest().rows[slot];
    const key: model.Key = .init(number);
    var deleted: u32 = 0;
    try collection.delete(key.text(), &.{@intCast(key.len)}, &deleted);
    try checkWasThere(world, frame, row, deleted == 1);
}

fn amend(world: *World, frame: *Frame, collection: *vl.Collection, index: usize) !void {
    const shape = &world.plan.shapes[index];
    const number = drawNumber(world, shape);
    const slot = shape.first + number;
    frame.change.may_lose = @splat(false);
    const value = try drawValue(world, 1);
    try frame.change.writes.append(gpa, .{
        .collection = @intCast(index),
        .slot = slot,
        .what = .{ .amend = value },
    });
    const row = world.observer.newest().rows[slot];
    const key: model.Key = .init(number);
    var buffer: [Value.metadata_bytes_max]u8 = undefined;
    const was_there = try collection.setMetadata(key.text(), value.metadata(&buffer));
    try checkWasThere(world, frame, row, was_there);
}

fn checkWasThere(world: *World, frame: *const Frame, row: ?Value, was_there: bool) !void {
    // Others may have written before it; in a transaction its own writes have.
    if (frame.intrusions > 0 or frame.op == .transact or !frame.actor.isAlive()) return;
    if (world.losses != frame.losses) return;
    const value = row orelse return if (was_there) error.DeletedRowFound;
    const is_over_first = value.isOver(frame.began_ms);
    const is_over_last = value.isOver(world.wallMs());
    if (was_there and is_over_first) return error.ExpiredRowFound;
    if (!was_there and !is_over_last) return error.RowNotFound;
}

pub fn clear(world: *World, frame: *Frame) !void {
    const index = drawCollection(world);
    const collection = try handleFor(world, frame, index) orelse return;
    frame.change.cleared[index] = true;
    try collection.clear();
}

pub fn drop(world: *World, frame: *Frame) !void {
    const index = drawCollection(world);
    const actor = frame.actor;
    if (index == model.kept and actor.isBounded()) return;
    actor.closeHandle(index);
    frame.change.cleared[index] = true;
    _ = try vl.catalogue.drop(actor.database.?, model.names[index]);
}

/// Some writes that come together, or not at all.
pub fn transact(world: *World, frame: *Frame) !void {
    const database = frame.actor.database.?;
    var index = drawCollection(world);
    _ = try handleFor(world, frame, index);
    frame.change.may_lose = @splat(false);
    try database.begin();
    errdefer if (database.transaction != null) database.rollback();
    for (0..1 + world.random.uintLessThan(u32, 4)) |_| {
        if (world.oneIn(3)) index = drawCollection(world);
        const collection = frame.actor.handles[index] orelse continue;
        var may_lose = frame.change.may_lose;
        const dice = world.random.uintLessThan(u32, 8);
        if (dice < 6) {
            allowLosses(world, frame, index);
            may_lose = frame.change.may_lose;
            try put(world, frame, collection, index);
        } else if (dice == 6) {
            try delete(world, frame, collection, index);
        } else try amend(world, frame, collection, index);
        frame.change.may_lose = may_lose;
    }
    // What a later write of the same transaction needs room for may be an earlier one.
    frame.change.row_count = 0;
    if (world.oneIn(4)) {
        database.rollback();
        frame.change.writes.clearRetainingCapacity();
    } else try database.commit();
}

pub fn sweep(world: *World, frame: *Frame) !void {
    const index = drawCollection(world);
    const collection = try handleFor(world, frame, index) orelse return;
    _ = try collection.sweep();
}

pub fn compact(actor: *Actor) !void {
    const is_first = !actor.is_compacting;
    actor.is_compacting = false;
    var progress: [2]f64 = undefined;
    actor.is_compacting = try vl.compactStep(
        actor.database.?,
        is_first,
        256 * 1024,
        &progress[0],
        &progress[1],
    );
}

/// As a handle with a maximum does before it opens a file that is larger.
pub fn shrink(world: *World, frame: *Frame) !void {
    const database = frame.actor.database.?;
    frame.change.may_lose = @splat(true);
    frame.change.may_lose[model.kept] = false;
    for (0..1000) |_| {
        if (!try vl.room.fit(database, world.plan.bytes_max)) break;
    } else return error.EndlessFit;
    frame.actor.is_compacting = false;
    for (0..1000) |_| {
        try compact(frame.actor);
        if (!frame.actor.is_compacting) return;
    }
    return error.EndlessCompaction;
}
