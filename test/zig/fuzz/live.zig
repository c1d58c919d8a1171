//! Programs of calls on two connections, compared with a plain model, and damage between them.
//!
//! Without damage every answer must be the model's. With blind damage, done while nobody has the
//! file open, an answer is right for the state that it is of, or an error. With damage at any time
//! and of any kind nothing is promised but that the process lives.

const std = @import("std");
const vl = @import("vectorlite");
const base_module = @import("base.zig");
const contents = @import("../crash/contents.zig");
const disk = @import("disk.zig");
const inspect = @import("inspect.zig");
const mutate = @import("mutate.zig");
const Base = base_module.Base;
const Put = base_module.Put;
const Campaign = @import("campaign.zig").Campaign;
const Choices = @import("choices.zig").Choices;
const Key = contents.Key;
const Stage = @import("forged.zig").Stage;
const Value = contents.Value;

const keys_max = inspect.keys_max;
const states_max = 256;
const Rows = inspect.Rows;

const State = struct { transaction_id: u64, rows: Rows };

const Damage = enum { none, blind, wild };

const Client = struct {
    diagnostics: vl.Diagnostics = .{},
    database: *vl.Database = undefined,
    collection: *vl.Collection = undefined,
    snapshot: ?*vl.Snapshot = null,
    frozen: ?*vl.Collection = null,
    is_open: bool = false,
    readonly: bool = false,
    /// What the running transaction sees.
    working: ?Rows = null,
};

const World = struct {
    stage: *Stage,
    choices: *Choices,
    damage: Damage,
    states: [states_max]State = undefined,
    state_count: usize = 0,
    clients: [2]Client = .{ .{}, .{} },
    puts: std.ArrayList(Put) = .empty,
    puts_buffer: [steps_max]Put = undefined,
    value_next: u32 = 1000,

    const steps_max = 32;

    fn run(world: *World) !void {
        // The slots lead to the last few.
        const states = world.stage.base.states.items;
        for (states[states.len -| 24..]) |*state| {
            var rows: Rows = .{};
            for (state.rows.rows.keys(), state.rows.rows.values()) |number, value| {
                rows.values[number] = value;
            }
            world.record(state.transaction_id, rows);
        }
        world.puts = .initBuffer(&world.puts_buffer);
        errdefer for (&world.clients) |*client| world.drop(client);
        if (world.damage == .blind) world.harm();
        for (0..8 + world.choices.below(steps_max - 8)) |_| try world.step();
        for (&world.clients) |*client| try world.close(client);
        if (world.damage == .wild) return;
        if (world.choices.oneIn(12)) try world.verify();
        if (world.choices.oneIn(12)) try world.salvage();
    }

    /// Where nothing was found, everything can be read.
    fn verify(world: *World) !void {
        if (!(try world.check(inspect.isSound(world.stage)) orelse return)) {
            return if (world.damage == .none) error.UnsoundFile;
        }
        const damage = world.damage;
        world.damage = .none;
        defer world.damage = damage;
        const client = &world.clients[0];
        try world.open(client);
        if (!client.is_open) return error.NotOpened;
        try world.scan(client, client.collection, world.stateOf(client));
        try world.search(client);
        try world.close(client);
    }

    fn salvage(world: *World) !void {
        const puts = .{ world.stage.base.puts.items, world.puts.items };
        const found = inspect.salvage(world.stage, puts) catch |err|
            return if (err == error.NotADatabase and world.damage == .blind) {} else err;
        var newest: *const State = &world.states[0];
        var is_part = false;
        for (world.states[0..world.state_count]) |*state| {
            if (state.transaction_id > newest.transaction_id) newest = state;
            if (found.rows.isPartOf(&state.rows)) is_part = true;
        }
        if (found.uncertain == 0 and !is_part) return error.SalvagedMixture;
        if (world.damage == .blind) return;
        if (found.uncertain + found.damaged != 0) return error.SalvageInDoubt;
        if (!std.meta.eql(found.rows, newest.rows)) return error.WrongSalvage;
    }

    /// Where a damaged slot has made a number free again, the new state of it counts.
    fn record(world: *World, transaction_id: u64, rows: Rows) void {
        for (world.states[0..world.state_count]) |*state| {
            if (state.transaction_id != transaction_id) continue;
            state.rows = rows;
            return;
        }
        if (world.state_count == states_max) {
            // A long program forgets its oldest states; nobody reads them.
            std.mem.copyForwards(State, world.states[0 .. states_max - 1], world.states[1..]);
            world.state_count -= 1;
        }
        world.states[world.state_count] = .{ .transaction_id = transaction_id, .rows = rows };
        world.state_count += 1;
    }

    fn known(world: *World, transaction_id: u64) ?*const Rows {
        for (world.states[0..world.state_count]) |*state| {
            if (state.transaction_id == transaction_id) return &state.rows;
        }
        return null;
    }

    /// An error is an answer where there was damage.
    fn check(world: *World, result: anytype) !?@typeInfo(@TypeOf(result)).error_union.payload {
        return result catch |err| {
            if (world.damage == .none) return err;
            return null;
        };
    }

    fn step(world: *World) !void {
        const choices = world.choices;
        const client = &world.clients[choices.below(2)];
        if (!client.is_open) return world.open(client);
        switch (choices.below(21)) {
            0...4 => try world.get(client),
            5 => try world.scan(client, client.collection, world.stateOf(client)),
            6 => try world.search(client),
            7...12 => try world.write(client),
            13 => try world.transact(client),
            14 => try world.flush(client),
            15 => try world.takeSnapshot(client),
            16, 17 => try world.readSnapshot(client),
            18 => try world.close(client),
            19 => try world.compact(client),
            20 => switch (world.damage) {
                .none => world.stage.machine.clock_ms += 700,
                .blind => {
                    for (&world.clients) |*each| try world.close(each);
                    world.harm();
                },
                .wild => world.harm(),
            },
            else => unreachable,
        }
    }

    fn harm(world: *World) void {
        const content = &world.stage.machine.main;
        for (0..1 + world.choices.below(3)) |_| {
            if (world.damage == .wild and world.choices.oneIn(2)) {
                mutate.forge(content, &world.stage.layout, world.choices);
            } else mutate.blind(content, world.choices);
        }
    }

    fn open(world: *World, client: *Client) !void {
        const choices = world.choices;
        client.readonly = choices.oneIn(4);
        const durability = choices.pick(vl.Durability, &.{ .full, .normal, .none });
        client.database = try world.check(vl.Database.open(
            world.stage.budget.allocator(),
            world.stage.machine.system(),
            disk.path,
            .{
                .readonly = client.readonly,
                .create = false,
                .durability = durability,
                .busy_timeout_ms = 3,
            },
            &client.diagnostics,
        )) orelse return;
        errdefer client.database.close();
        if (!client.readonly) {
            // So small a file never has as many pages that wait.
            const session = try world.check(client.database.openSession()) orelse
                return client.database.close();
            session.relief_pages_min = 4;
        }
        client.collection = try world.check(vl.Collection.open(
            .{ .database = client.database },
            base_module.collection_name,
            .{ .create = false, .hot_vectors = if (choices.oneIn(2)) 4 else 0 },
        )) orelse return client.database.close();
        client.is_open = true;
    }

    fn close(world: *World, client: *Client) !void {
        if (!client.is_open) return;
        if (client.working != null) client.database.rollback();
        client.working = null;
        // Closing would flush as well, and the number of its transaction would not be known.
        try world.flush(client);
        world.drop(client);
    }

    fn drop(_: *World, client: *Client) void {
        if (!client.is_open) return;
        closeSnapshot(client);
        client.collection.close();
        client.database.close();
        client.* = .{};
    }

    fn closeSnapshot(client: *Client) void {
        if (client.frozen) |frozen| frozen.close();
        if (client.snapshot) |snapshot| snapshot.close();
        client.frozen = null;
        client.snapshot = null;
    }

    /// What the last call of the client has seen; null where nothing is promised.
    fn stateOf(world: *World, client: *Client) ?*const Rows {
        if (client.working) |*rows| return rows;
        _ = client.database.stats() catch return null;
        return world.known(client.database.current.root.transaction_id);
    }

    fn get(world: *World, client: *Client) !void {
        const number: u32 = @intCast(world.choices.below(keys_max));
        try world.getFrom(client.collection, number, world.stateOf(client));
    }

    fn getFrom(
        world: *World,
        collection: *vl.Collection,
        number: u32,
        rows: ?*const Rows,
    ) !void {
        const key: Key = .init(number);
        var vector: [contents.dimension]f32 = undefined;
        const is_found = try world.check(collection.get(key.text(), &vector)) orelse return;
        if (world.damage == .wild) return;
        const value = (rows orelse return error.UnknownState).values[number] orelse {
            return if (is_found) error.DeletedKeyFound;
        };
        if (!is_found) return error.KeyLost;
        if (!std.mem.eql(f32, &value.vector(), &vector)) return error.WrongVector;
    }

    fn scan(
        world: *World,
        client: *Client,
        collection: *vl.Collection,
        rows: ?*const Rows,
    ) !void {
        _ = client;
        var digest: contents.Digest = .{};
        var cursor: vl.Cursor = .{};
        while (true) {
            var writer = world.entryWriter();
            if (!(try world.check(collection.scan(&cursor, &writer)) orelse return)) break;
            addTo(&digest, &writer);
        }
        if (world.damage == .wild) return;
        const expected = (rows orelse return error.UnknownState).digest();
        if (!digest.eql(expected)) return error.WrongScan;
    }

    fn entryWriter(world: *World) vl.EntryWriter {
        const buffers = world.stage.buffers;
        return .{
            .out = &buffers.bytes,
            .vectors = &buffers.vectors,
            .include_vectors = true,
        };
    }

    fn search(world: *World, client: *Client) !void {
        const rows = world.stateOf(client);
        const collection = client.collection;
        if (collection.dimension() != contents.dimension) return;
        const query: [contents.dimension]f32 = @splat(0.5);
        var counts: [1]u32 = undefined;
        const hits = world.stage.buffers.hits[0..keys_max];
        try world.check(collection.search(&query, keys_max, null, hits, &counts)) orelse return;
        var writer = world.entryWriter();
        try world.check(collection.fetch(hits[0..counts[0]], &writer)) orelse return;
        if (world.damage == .wild) return;
        for (hits[0..counts[0]], 0..) |hit, i| {
            if (i > 0 and hits[i - 1].score > hit.score) return error.WrongOrder;
        }
        var digest: contents.Digest = .{};
        addTo(&digest, &writer);
        const expected = (rows orelse return error.UnknownState).digest();
        if (!digest.eql(expected)) return error.WrongHits;
    }

    /// One change, in the running transaction or in one of its own.
    fn write(world: *World, client: *Client) !void {
        if (client.readonly) return;
        if (client.working != null) return world.change(client);
        if (!try world.begin(client)) return;
        try world.change(client);
        if (client.working != null) try world.commit(client);
    }

    fn transact(world: *World, client: *Client) !void {
        if (client.readonly) return;
        if (client.working == null) {
            _ = try world.begin(client);
        } else if (world.choices.oneIn(2)) {
            client.database.rollback();
            client.working = null;
        } else try world.commit(client);
    }

    fn begin(world: *World, client: *Client) !bool {
        client.database.begin() catch |err| {
            const other = &world.clients[@intFromBool(client == &world.clients[0])];
            if (err == error.Locked and other.working != null) return false;
            if (world.damage == .none) return err;
            return false;
        };
        const transaction_id = client.database.transaction.?.working.root.transaction_id;
        const rows = world.known(transaction_id);
        if (rows == null and world.damage != .wild) return error.UnknownState;
        client.working = if (rows) |found| found.* else .{};
        return true;
    }

    fn commit(world: *World, client: *Client) !void {
        const rows = client.working.?;
        client.working = null;
        try world.check(client.database.commit()) orelse return;
        const transaction_id = client.database.current.root.transaction_id;
        world.record(transaction_id, rows);
    }

    /// In the running transaction.
    fn change(world: *World, client: *Client) !void {
        const choices = world.choices;
        const rows = &client.working.?;
        const number: u32 = @intCast(choices.below(keys_max));
        const result: vl.Error!void = switch (choices.below(15)) {
            0...7 => put: {
                const value: Value = .{
                    .seed = world.value_next,
                    .metadata_bytes = @intCast(choices.below(40)),
                };
                world.value_next += 1;
                world.puts.appendAssumeCapacity(.{ .number = number, .value = value });
                rows.values[number] = value;
                break :put base_module.putOne(client.collection, number, value);
            },
            8...10 => delete: {
                const was_there = rows.values[number] != null;
                rows.values[number] = null;
                const found = base_module.deleteOne(client.collection, number) catch |err|
                    break :delete err;
                if (found != was_there and world.damage != .wild) return error.WrongDelete;
            },
            12...14 => amend: {
                var value = rows.values[number] orelse Value{ .seed = world.value_next };
                value.metadata_seed = world.value_next;
                value.metadata_bytes = @intCast(1 + choices.below(39));
                world.value_next += 1;
                const was_there = rows.values[number] != null;
                if (was_there) {
                    world.puts.appendAssumeCapacity(.{ .number = number, .value = value });
                    rows.values[number] = value;
                }
                const found = base_module.amendOne(client.collection, number, value) catch |err|
                    break :amend err;
                if (found != was_there and world.damage != .wild) return error.WrongAmendment;
            },
            11 => clear: {
                rows.* = .{};
                break :clear client.collection.clear();
            },
            else => unreachable,
        };
        result catch |err| {
            if (world.damage == .none) return err;
            // Half of it may be done: only a rollback is possible.
            client.database.rollback();
            client.working = null;
        };
    }

    fn flush(world: *World, client: *Client) !void {
        if (client.readonly or client.working != null) return;
        const before = world.stateOf(client);
        const transaction_before = client.database.current.root.transaction_id;
        client.database.flush() catch |err| {
            const other = &world.clients[@intFromBool(client == &world.clients[0])];
            if (err == error.Locked and other.working != null) return;
            if (world.damage == .none) return err;
            return;
        };
        const transaction_id = client.database.current.root.transaction_id;
        if (transaction_id == transaction_before) return;
        const rows = (before orelse return).*;
        world.record(transaction_id, rows);
    }

    /// All of it, or a slice that later calls come between.
    fn compact(world: *World, client: *Client) !void {
        if (client.readonly or client.working != null) return;
        // What the first slice starts from may be older than what is read, after damage.
        if (!try world.begin(client)) return;
        const rows = client.working.?;
        client.working = null;
        client.database.rollback();
        var is_first = world.choices.oneIn(4);
        const slices_max: u32 = if (world.choices.oneIn(2)) 1 else 200;
        for (0..slices_max) |_| {
            const before = client.database.current.root.transaction_id;
            var done: f64 = 0;
            var total: f64 = 0;
            const slice_bytes = 16 * 1024;
            const more = vl.compactStep(client.database, is_first, slice_bytes, &done, &total);
            const after = client.database.current.root.transaction_id;
            if (after != before) world.record(after, rows);
            if (!(try world.check(more) orelse return)) return;
            if (done > total) return error.WrongProgress;
            is_first = false;
        }
        if (slices_max > 1 and world.damage == .none) return error.Endless;
    }

    fn takeSnapshot(world: *World, client: *Client) !void {
        if (client.working != null) return;
        closeSnapshot(client);
        client.snapshot = try world.check(client.database.openSnapshot()) orelse return;
        client.frozen = try world.check(vl.Collection.open(
            .{ .snapshot = client.snapshot.? },
            base_module.collection_name,
            .{ .create = false },
        ));
    }

    fn readSnapshot(world: *World, client: *Client) !void {
        const frozen = client.frozen orelse return;
        const rows = world.known(client.snapshot.?.view.root.transaction_id);
        const number: u32 = @intCast(world.choices.below(keys_max));
        try world.getFrom(frozen, number, rows);
        if (world.choices.oneIn(2)) try world.scan(client, frozen, rows);
    }
};

fn addTo(digest: *contents.Digest, writer: *const vl.EntryWriter) void {
    var entries: inspect.Entries = .{ .writer = writer };
    while (entries.next()) |entry| {
        digest.add(entry.key, std.mem.sliceAsBytes(entry.vector), entry.metadata);
    }
}

fn Target(comptime damage: Damage) type {
    return struct {
        small: Stage,
        worn: Stage,

        const Self = @This();

        fn init() !Self {
            var small: Stage = try .init(Base.small);
            errdefer small.deinit();
            return .{ .small = small, .worn = try .init(Base.worn) };
        }

        fn deinit(target: *Self) void {
            target.small.deinit();
            target.worn.deinit();
        }

        pub fn execute(target: *Self, choices: *Choices) !void {
            const stage = if (choices.oneIn(2)) &target.small else &target.worn;
            stage.reset();
            var world: World = .{ .stage = stage, .choices = choices, .damage = damage };
            try world.run();
            try stage.budget.finish();
        }

        fn followCoverage(target: *Self, smith: *std.testing.Smith) !void {
            var choices: Choices = .{ .smith = smith };
            try target.execute(&choices);
        }
    };
}

fn campaign(comptime damage: Damage, name: []const u8, seeds: []const u8, count: u64) !void {
    var target: Target(damage) = try .init();
    defer target.deinit();
    const runs: Campaign(Target(damage)) = .{
        .name = name,
        .target = &target,
        .seeds = seeds,
        .count = count,
    };
    try runs.run();
}

test "fuzz programs: two connections answer what the model does" {
    try campaign(.none, "programs", @embedFile("../seeds/programs.txt"), 10_000);
}

test "fuzz damaged: what is read of a damaged file is right or an error" {
    try campaign(.blind, "damaged", @embedFile("../seeds/damaged.txt"), 10_000);
}

test "fuzz wild: damage in the middle of anything harms nobody else" {
    try campaign(.wild, "wild", @embedFile("../seeds/wild.txt"), 12_000);
}

test "coverage wild" {
    var target: Target(.wild) = try .init();
    defer target.deinit();
    try std.testing.fuzz(&target, Target(.wild).followCoverage, .{});
}
