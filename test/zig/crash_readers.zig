//! Several processes on one disk, one call at a time in a seeded random order: readers with their
//! snapshots, writers that take turns, and any of them killed at any time. Every read shows the
//! newest commit, every snapshot what it showed when it was opened, while pages are used again and
//! again.

const std = @import("std");
const vl = @import("vectorlite");
const scale = @import("crash_options").scale;
const Base = @import("crash/workload.zig").Base;
const Client = @import("crash/client.zig").Client;
const Contents = @import("crash/contents.zig").Contents;
const Digest = @import("crash/contents.zig").Digest;
const Value = @import("crash/contents.zig").Value;
const client_module = @import("crash/client.zig");
const simulated = vl.backends.simulated;
const Disk = simulated.Disk;

const gpa = std.testing.allocator;

const Snapshot = struct { snapshot: *vl.Snapshot, collection: *vl.Collection, digest: Digest };

const Actor = struct {
    client: Client,
    snapshots: std.ArrayList(Snapshot) = .empty,
    last_transaction: u64 = 0,

    fn close(actor: *Actor) void {
        while (actor.snapshots.pop()) |one| {
            one.collection.close();
            one.snapshot.close();
        }
        actor.client.close();
    }

    fn deinit(actor: *Actor) void {
        actor.close();
        actor.snapshots.deinit(gpa);
    }
};

const reader_count = 3;
const writer_count = 2;

const World = struct {
    disk: *Disk,
    durability: vl.Durability,
    readers: [reader_count]Actor,
    writers: [writer_count]Actor,
    random: std.Random,
    /// Every commit; the last one is the state.
    history: std.ArrayList(Contents) = .empty,
    /// What the last write would leave, also if it failed.
    attempted: ?Contents = null,
    /// What the running transaction will leave, and whose it is.
    pending: ?Contents = null,
    owner: usize = 0,
    value_next: u32 = 1,
    steps: u64 = 0,
    reads: u64 = 0,
    refusals: u64 = 0,
    kills: u64 = 0,
    faults: u64 = 0,

    fn init(world: *World, base: *const Base, durability: vl.Durability, random: std.Random) !void {
        world.* = .{
            .disk = try Disk.create(gpa, .{ .content = base.bytes }),
            .durability = durability,
            .readers = undefined,
            .writers = undefined,
            .random = random,
        };
        try world.history.append(gpa, try cloneOf(&base.rows));
        for (&world.readers) |*actor| try world.start(actor, true);
        for (&world.writers) |*actor| try world.start(actor, false);
    }

    fn deinit(world: *World) void {
        for (&world.readers) |*actor| actor.deinit();
        for (&world.writers) |*actor| actor.deinit();
        if (world.pending) |*pending| pending.deinit();
        if (world.attempted) |*rows| rows.deinit();
        for (world.history.items) |*rows| rows.deinit();
        world.history.deinit(gpa);
        world.disk.destroy();
    }

    fn start(world: *World, actor: *Actor, readonly: bool) !void {
        actor.* = .{ .client = .{
            .gpa = gpa,
            .process = try world.disk.process(),
            .options = .{
                .readonly = readonly,
                .create = false,
                .durability = world.durability,
                .busy_timeout_ms = 0,
            },
            .hot_vectors = 3,
        } };
        try actor.client.open();
    }

    fn stop(world: *World, actor: *Actor) void {
        if (world.random.boolean()) {
            actor.client.process.kill();
            world.kills += 1;
        }
        actor.deinit();
    }

    fn committed(world: *World) *Contents {
        return &world.history.items[world.history.items.len - 1];
    }

    fn step(world: *World) !void {
        world.steps += 1;
        if (world.random.uintLessThan(u32, 8) == 0) world.disk.advance(200);
        if (world.random.boolean()) {
            const index = world.random.uintLessThan(usize, reader_count);
            return world.stepReader(&world.readers[index]);
        }
        return world.stepWriter(world.random.uintLessThan(usize, writer_count));
    }

    fn stepReader(world: *World, actor: *Actor) !void {
        switch (world.random.uintLessThan(u32, 12)) {
            0...5 => try world.read(actor),
            6...7 => if (actor.snapshots.items.len < 3) try world.openSnapshot(actor),
            8...9 => for (actor.snapshots.items) |one| try expectSame(one),
            10 => if (actor.snapshots.items.len > 0) {
                const index = world.random.uintLessThan(usize, actor.snapshots.items.len);
                const one = actor.snapshots.swapRemove(index);
                try expectSame(one);
                one.collection.close();
                one.snapshot.close();
            },
            else => if (world.random.uintLessThan(u32, 6) == 0) {
                world.stop(actor);
                try world.start(actor, true);
            },
        }
    }

    fn read(world: *World, actor: *Actor) !void {
        const ways = world.random.enumValue(client_module.Ways);
        const found = try client_module.readEverything(actor.client.collection.?, ways);
        if (!found.eql(world.committed().digest())) return error.WrongContents;
        world.reads += 1;
        const newest = actor.client.database.?.current.root.transaction_id;
        if (newest < actor.last_transaction) return error.TransactionWentBack;
        actor.last_transaction = newest;
    }

    fn openSnapshot(world: *World, actor: *Actor) !void {
        const snapshot = try actor.client.database.?.openSnapshot();
        errdefer snapshot.close();
        const name = client_module.collection_name;
        const collection = try vl.Collection.open(.{ .snapshot = snapshot }, name, .{});
        errdefer collection.close();
        try actor.snapshots.append(gpa, .{
            .snapshot = snapshot,
            .collection = collection,
            .digest = world.committed().digest(),
        });
    }

    fn expectSame(one: Snapshot) !void {
        const found = try client_module.readEverything(one.collection, .every_way);
        if (!found.eql(one.digest)) return error.SnapshotChanged;
    }

    fn stepWriter(world: *World, index: usize) !void {
        const actor = &world.writers[index];
        const database = actor.client.database.?;
        if (world.pending != null and world.owner != index) {
            world.refusals += 1;
            try std.testing.expectError(error.Locked, actor.client.put(1, .{ .seed = 1 }));
            return;
        }
        switch (world.random.uintLessThan(u32, 24)) {
            0 => if (world.pending == null) {
                try database.begin();
                world.pending = try cloneOf(world.committed());
                world.owner = index;
            },
            1 => if (world.pending) |*pending| {
                try database.commit();
                try world.history.append(gpa, try cloneOf(pending));
                world.forgetPending();
            },
            2 => if (world.pending != null) {
                database.rollback();
                world.forgetPending();
            },
            3 => if (world.pending == null) try database.flush(),
            4 => {
                if (world.pending != null) world.forgetPending();
                world.stop(actor);
                try world.start(actor, false);
            },
            5 => if (world.pending == null) try world.read(actor),
            else => try world.write(actor),
        }
    }

    fn forgetPending(world: *World) void {
        world.pending.?.deinit();
        world.pending = null;
    }

    fn write(world: *World, actor: *Actor) !void {
        const is_implicit = world.pending == null;
        var rows = try cloneOf(if (world.pending) |*pending| pending else world.committed());
        defer rows.deinit();
        const keys = 12;
        const key = 1 + world.random.uintLessThan(u32, keys);
        if (world.random.uintLessThan(u32, 4) == 0) {
            const was_there = rows.rows.orderedRemove(key);
            if (is_implicit) try world.attempt(&rows);
            try std.testing.expectEqual(was_there, try actor.client.delete(key));
        } else {
            const numbers = [_]u32{ key, 1 + (key + 5) % keys };
            var values: [2]Value = undefined;
            const count = 1 + world.random.uintLessThan(usize, 2);
            for (numbers[0..count], values[0..count]) |number, *value| {
                value.* = .{ .seed = world.value_next, .metadata_bytes = number };
                world.value_next += 1;
                try rows.put(number, value.*);
            }
            if (is_implicit) try world.attempt(&rows);
            try actor.client.putMany(numbers[0..count], values[0..count]);
        }
        const result = try cloneOf(&rows);
        if (is_implicit) return world.history.append(gpa, result);
        world.forgetPending();
        world.pending = result;
    }

    fn attempt(world: *World, rows: *const Contents) !void {
        if (world.attempted) |*older| older.deinit();
        world.attempted = try cloneOf(rows);
    }

    /// One sync fails under a writer, which is closed then, as its errors say. What the others see
    /// now is the state: a commit that was not durable may be gone.
    fn failSync(world: *World) !void {
        if (world.pending != null) return;
        const actor = &world.writers[world.random.uintLessThan(usize, writer_count)];
        const fired = world.disk.faults_fired;
        try world.disk.inject(.{ .call = .sync, .after = world.random.uintLessThan(u64, 2) });
        const commits = world.history.items.len;
        const result = if (world.random.boolean())
            world.write(actor)
        else
            actor.client.database.?.flush();
        world.disk.clearFaults();
        if (world.disk.faults_fired == fired) return result;
        try std.testing.expectError(error.InputOutput, result);
        std.debug.assert(world.history.items.len == commits);
        world.faults += 1;
        actor.deinit();
        try world.start(actor, false);
        const found = try client_module.readEverything(actor.client.collection.?, .every_way);
        if (world.attempted) |*rows| if (found.eql(rows.digest())) {
            try world.history.append(gpa, try cloneOf(rows));
        };
        while (!found.eql(world.committed().digest())) {
            if (world.history.items.len == 1) return error.WrongContents;
            var lost = world.history.pop().?;
            lost.deinit();
        }
        for (&world.readers) |*reader| reader.last_transaction = 0;
        for (&world.writers) |*writer| writer.last_transaction = 0;
    }
};

fn cloneOf(rows: *const Contents) !Contents {
    return .{ .gpa = gpa, .rows = try rows.rows.clone(gpa) };
}

fn play(durability: vl.Durability, seed: u64, steps: u64, with_faults: bool) !World {
    var base = try Base.small();
    defer base.deinit();
    var prng = std.Random.DefaultPrng.init(seed);
    var world: World = undefined;
    try world.init(&base, durability, prng.random());
    defer world.deinit();
    errdefer |err| std.debug.print("\n{t} with durability {t}, seed {d}, step {d}, faults {d}\n", .{
        err, durability, seed, world.steps, world.faults,
    });
    errdefer for (&(world.readers ++ world.writers)) |*actor| {
        std.debug.print("{s}\n", .{actor.client.diagnostics.message()});
    };
    for (0..steps) |_| {
        try world.step();
        if (with_faults and world.random.uintLessThan(u32, 50) == 0) try world.failSync();
    }
    // Pages wait for the readers, who are always somewhere behind; nothing else grows the file.
    try std.testing.expect(world.disk.length < base.bytes.len + steps * 4 * 4096);
    return world;
}

test "readers see the newest commit, and snapshots what they saw" {
    for ([_]vl.Durability{ .full, .normal, .none }) |durability| {
        for (0..6 * scale) |seed| {
            const world = try play(durability, seed, 1500, false);
            try std.testing.expect(world.reads > 200 and world.refusals > 5 and world.kills > 3);
        }
    }
}

test "a failed sync under one writer misleads nobody else" {
    for ([_]vl.Durability{ .full, .normal, .none }) |durability| {
        for (0..6 * scale) |seed| {
            const world = try play(durability, 100 + seed, 1500, true);
            try std.testing.expect(world.faults > 3);
        }
    }
}
