//! Calls that read: what they answer is what the state has that they read.

const std = @import("std");
const vl = @import("vectorlite");
const model = @import("model.zig");
const observer_module = @import("observer.zig");
const world_module = @import("world.zig");
const drawNumber = @import("writing.zig").drawNumber;
const Frame = world_module.Frame;
const Held = @import("actor.zig").Held;
const Shape = model.Shape;
const State = model.State;
const Sums = model.Sums;
const Value = model.Value;
const World = world_module.World;

const gpa = std.heap.smp_allocator;

/// Null where it was lost: then nothing more is known of it.
fn stateOf(world: *World, id: u64) !?*const State {
    try world.look();
    return world.observer.find(id) orelse if (world.losses > 0 or world.observer.isForgotten(id))
        null
    else
        error.UnknownState;
}

fn stateRead(world: *World, frame: *const Frame) !?*const State {
    return stateOf(world, frame.actor.database.?.current.root.transaction_id);
}

const Target = struct { collection: *vl.Collection, shape: *const Shape };

fn drawTarget(world: *World, frame: *Frame) !?Target {
    const index = world.random.uintLessThan(usize, world.plan.shape_count);
    const actor = frame.actor;
    const collection = if (actor.kind == .reader)
        try actor.handle(&world.plan, index)
    else
        actor.handles[index];
    return .{ .collection = collection orelse return null, .shape = &world.plan.shapes[index] };
}

/// What is read of one row, between `began_ms` and now.
fn expect(
    world: *World,
    state: *const State,
    slot: usize,
    began_ms: i64,
    found: bool,
) !?*const Value {
    const row: *const ?Value = &state.rows[slot];
    const value = if (row.*) |*value| value else return if (found) error.RowOfNobody else null;
    if (found and value.isOver(began_ms)) return error.ExpiredRowFound;
    if (!found and !value.isOver(world.wallMs())) return error.RowNotFound;
    return if (found) value else null;
}

pub fn get(world: *World, frame: *Frame) !void {
    const target = try drawTarget(world, frame) orelse return;
    const shape = target.shape;
    const number = drawNumber(world, shape);
    const key: model.Key = .init(number);
    var vector: [4096]f32 = undefined;
    var buffer: [Value.metadata_bytes_max]u8 = undefined;
    var metadata_len: u32 = 0;
    const way = world.random.uintLessThan(u32, 3);
    const out = vector[0..shape.dimension];
    const found = switch (way) {
        0 => try target.collection.get(key.text(), out),
        1 => try target.collection.getRecord(key.text(), out, &buffer, &metadata_len),
        else => try target.collection.has(key.text()),
    };
    const state = try stateRead(world, frame) orelse return;
    const slot = shape.first + number;
    const value = try expect(world, state, slot, frame.began_ms, found) orelse return;
    if (way > 1) return;
    const sums: Sums = .of(out, buffer[0..metadata_len]);
    if (sums.vector != value.sums.vector) return error.WrongVector;
    if (way == 1 and sums.metadata != value.sums.metadata) return error.WrongMetadata;
}

/// In one call.
pub fn many(world: *World, frame: *Frame) !void {
    const target = try drawTarget(world, frame) orelse return;
    const shape = target.shape;
    const asked = 1 + world.random.uintLessThan(u32, 40);
    var numbers: [40]u32 = undefined;
    var key_lens: [40]u32 = undefined;
    var found: [40]u8 = undefined;
    var keys: std.ArrayList(u8) = .empty;
    defer keys.deinit(gpa);
    for (numbers[0..asked], key_lens[0..asked]) |*number, *len| {
        number.* = drawNumber(world, shape);
        const key: model.Key = .init(number.*);
        try keys.appendSlice(gpa, key.text());
        len.* = @intCast(key.len);
    }
    const vectors = try gpa.alloc(f32, asked * shape.dimension);
    defer gpa.free(vectors);
    const before = frame.actor.database.?.current.root.transaction_id;
    try target.collection.getMany(keys.items, key_lens[0..asked], vectors, found[0..asked]);
    const state = try stateRead(world, frame) orelse return;
    // Another's commit may come between two keys.
    if (state.transaction_id != before and frame.intrusions > 0) return;
    for (numbers[0..asked], 0..) |number, i| {
        const slot = shape.first + number;
        const is_found = found[i] != 0;
        const value = try expect(world, state, slot, frame.began_ms, is_found) orelse continue;
        const sums: Sums = .of(vectors[i * shape.dimension ..][0..shape.dimension], "");
        if (sums.vector != value.sums.vector) return error.WrongVector;
    }
}

pub fn scan(world: *World, frame: *Frame) !void {
    const target = try drawTarget(world, frame) orelse return;
    try scanAll(world, frame, target, null);
}

fn scanAll(world: *World, frame: *Frame, target: Target, of: ?u64) !void {
    const observer = &world.observer;
    const shape = target.shape;
    const rows = try gpa.alloc(?Sums, shape.keys);
    defer gpa.free(rows);
    @memset(rows, null);
    const buffers = try observer_module.Buffers.init();
    defer buffers.deinit();
    const before = frame.actor.database.?.current.root.transaction_id;
    _ = observer.readRows(target.collection, shape, rows, &buffers) catch |err| {
        // A scan goes on in whatever state is the newest.
        if (err == error.KeyTwice and of == null and frame.intrusions > 0) return;
        return err;
    };
    const read = frame.actor.database.?.current.root.transaction_id;
    if (of == null and read != before and frame.intrusions > 0) return;
    const state = try stateOf(world, of orelse read) orelse return;
    for (rows, 0..) |maybe, number| {
        const slot = shape.first + number;
        const value = try expect(world, state, slot, frame.began_ms, maybe != null) orelse
            continue;
        if (!std.meta.eql(maybe.?, value.sums)) return error.WrongRow;
    }
}

pub fn search(world: *World, frame: *Frame) !void {
    const target = try drawTarget(world, frame) orelse return;
    const shape = target.shape;
    var query: [4096]f32 = undefined;
    const wanted = drawNumber(world, shape);
    const near = world.observer.newest().rows[shape.first + wanted];
    const seed: Value = near orelse .{ .seed = 7, .metadata_seed = 0, .text_bytes = 0 };
    seed.vector(query[0..shape.dimension]);
    const group: ?u32 = if (world.oneIn(3))
        world.random.uintLessThan(u32, Value.groups)
    else
        null;
    const filter = Value.filterOf(group orelse 0);
    var hits: [12]vl.Hit = undefined;
    var counts: [1]u32 = undefined;
    var report: vl.SearchReport = .{};
    try target.collection.searchWith(
        query[0..shape.dimension],
        .{ .k = hits.len, .filter = if (group != null) &filter else &.{} },
        &hits,
        &counts,
        &report,
    );
    const buffers = try observer_module.Buffers.init();
    defer buffers.deinit();
    var writer = buffers.writer();
    try target.collection.fetch(hits[0..counts[0]], &writer);
    const state = try stateRead(world, frame) orelse return;
    const least = state.count(shape, group, world.wallMs());
    const most = state.count(shape, group, frame.began_ms);
    if (counts[0] < @min(hits.len, least) or counts[0] > most) return error.WrongHits;
    var entries: observer_module.Entries = .{ .writer = &writer, .dimension = shape.dimension };
    var is_near = false;
    while (entries.next()) |entry| {
        const number = model.Key.parse(entry.key) orelse return error.WrongKey;
        const slot = shape.first + number;
        const value = try expect(world, state, slot, frame.began_ms, true) orelse unreachable;
        const sums: Sums = .of(entry.vector, entry.metadata);
        if (!std.meta.eql(sums, value.sums)) return error.WrongRow;
        if (group) |of| if (value.group() != of) return error.WrongGroup;
        if (number == wanted) is_near = true;
    }
    for (1..@max(1, counts[0])) |i| {
        if (hits[i - 1].score > hits[i].score) return error.WrongOrder;
    }
    // What is asked for is the nearest to itself.
    const there = if (state.rows[shape.first + wanted]) |*value| value else return;
    if (near == null or !std.meta.eql(near, state.rows[shape.first + wanted])) return;
    if (there.isOver(world.wallMs())) return;
    const is_asked = group == null or there.group() == group;
    if (is_asked and !is_near) return error.NearestNotFound;
}

/// Of all rows, and of those that match a filter.
pub fn count(world: *World, frame: *Frame) !void {
    const database = frame.actor.database.?;
    const stats = try database.stats();
    if (frame.intrusions == 0 and frame.actor.isAlive()) {
        if (stats.file_bytes != world.disk.length) return error.WrongLength;
    }
    const target = try drawTarget(world, frame) orelse return;
    for ([_]?u32{ null, world.random.uintLessThan(u32, Value.groups) }) |group| {
        const found = if (group) |of|
            try target.collection.countWhere(&Value.filterOf(of))
        else
            (try target.collection.stats()).records;
        const state = try stateRead(world, frame) orelse return;
        const least = state.count(target.shape, group, world.wallMs());
        const most = state.count(target.shape, group, frame.began_ms);
        if (found < least or found > most) return error.WrongCount;
    }
}

pub fn takeSnapshot(world: *World, frame: *Frame) !void {
    const actor = frame.actor;
    actor.closeHeld();
    const snapshot = try actor.database.?.openSnapshot();
    var held: Held = .{ .snapshot = snapshot, .collections = @splat(null) };
    errdefer held.close();
    for (held.collections[0..world.plan.shape_count], 0..) |*maybe, index| {
        maybe.* = vl.Collection.open(
            .{ .snapshot = snapshot },
            model.names[index],
            .{ .create = false },
        ) catch |err| if (err == error.NotFound) null else return err;
    }
    actor.held = held;
}

pub fn readSnapshot(world: *World, frame: *Frame) !void {
    const held = frame.actor.held orelse return;
    if (world.oneIn(3)) return frame.actor.closeHeld();
    const index = world.random.uintLessThan(usize, world.plan.shape_count);
    const collection = held.collections[index] orelse return;
    const target: Target = .{ .collection = collection, .shape = &world.plan.shapes[index] };
    try scanAll(world, frame, target, held.snapshot.view.root.transaction_id);
}

pub fn verify(world: *World, frame: *Frame) !void {
    const job: *vl.Verify = try .open(frame.actor.database.?);
    defer job.close();
    var done: f64 = 0;
    var total: f64 = 0;
    while (try job.step(1 << 18, &done, &total)) {}
    for (job.ledger.findings.list.items) |finding| {
        // Somebody may be in the middle of writing it, or have died there.
        if (finding.kind == .slot and (world.had_mishap or world.is_cut)) continue;
        if (!world.had_fault and !world.hasFault(frame)) return error.UnsoundFile;
    }
    if (job.warnings.count > 0 and !world.had_mishap) return error.UnsoundOlderRoot;
}
