//! A failed sync takes commits back that other connections have already seen. Told one story at a
//! time: who still holds the lost state, who writes next, and what each of them must find.

const std = @import("std");
const vl = @import("vectorlite");
const Client = @import("crash/client.zig").Client;
const Contents = @import("crash/contents.zig").Contents;
const Digest = @import("crash/contents.zig").Digest;
const Held = @import("crash/machine.zig").Held;
const Key = @import("crash/contents.zig").Key;
const Machine = @import("crash/machine.zig").Machine;
const Value = @import("crash/contents.zig").Value;
const afterPowerLoss = @import("crash/machine.zig").afterPowerLoss;
const client_module = @import("crash/client.zig");
const compactAll = @import("crash/machine.zig").compactAll;
const inspector = @import("crash/inspector.zig");
const dimension = @import("crash/contents.zig").dimension;
const volatile_options = @import("crash/machine.zig").volatile_options;
const Disk = vl.backends.simulated.Disk;

const gpa = std.testing.allocator;

/// What every story begins with: a machine with a small file, and the rows that it must keep.
const Stage = struct {
    machine: Machine,
    rows: Contents,
    /// The same, and what is written to be lost.
    lost: Contents,

    fn init() !Stage {
        var machine = try Machine.init();
        errdefer machine.deinit();
        var rows = try machine.base.rows.clone();
        errdefer rows.deinit();
        return .{ .machine = machine, .rows = rows, .lost = try rows.clone() };
    }

    fn deinit(stage: *Stage) void {
        stage.lost.deinit();
        stage.rows.deinit();
        stage.machine.deinit();
    }

    /// What is lost builds on what is there now.
    fn fork(stage: *Stage) !void {
        const lost = try stage.rows.clone();
        stage.lost.deinit();
        stage.lost = lost;
    }

    /// Its commits are volatile.
    fn openWriter(stage: *Stage, client: *Client) !void {
        try stage.machine.open(client, volatile_options);
    }

    fn openReader(stage: *Stage, client: *Client) !void {
        try stage.machine.open(client, .{ .readonly = true });
    }

    fn put(stage: *Stage, client: *Client, first: u32, count: u32) !void {
        try stage.machine.put(client, &stage.rows, first, count);
    }

    fn putLost(stage: *Stage, client: *Client, first: u32, count: u32) !void {
        try stage.machine.put(client, &stage.lost, first, count);
    }

    /// A writer makes a durable state, which the next ones build on.
    fn makeDurable(stage: *Stage, writer: *Client) !void {
        try stage.openWriter(writer);
        errdefer writer.close();
        try stage.put(writer, 1, 3);
        try writer.database.?.flush();
        try stage.fork();
    }

    /// One more writer fails to make durable what others have put, and a row of its own.
    fn lose(stage: *Stage, own_row: ?u32) !void {
        var writer: Client = undefined;
        try stage.openWriter(&writer);
        defer writer.close();
        if (own_row) |number| try stage.putLost(&writer, number, 1);
        try stage.machine.loseVolatile(&writer);
    }

    const Slots = [vl.format.slot_count][vl.format.slot_bytes]u8;

    fn slots(stage: *const Stage) Slots {
        var all: Slots = undefined;
        for (&all, 0..) |*bytes, slot| bytes.* = stage.machine.slotBytes(slot);
        return all;
    }

    /// As a cache does that lets the newer ones go before the medium has them.
    fn restoreSlots(stage: *Stage, before: *const Slots) void {
        for (before, 0..) |*bytes, slot| {
            stage.machine.disk.corrupt(vl.roots.slotOffset(@intCast(slot)), bytes);
        }
    }
};

/// Also where the client has a vector of that key in memory.
fn expectVector(client: *Client, number: u32, value: Value) !void {
    const key: Key = .init(number);
    var out: [dimension]f32 = undefined;
    try std.testing.expect(try client.collection.?.get(key.text(), &out));
    try std.testing.expectEqual(value.vector(), out);
}

test "a writer that made the durable state leaves a lost one to those who read it" {
    var stage = try Stage.init();
    defer stage.deinit();
    // The first writer makes a durable state, and knows the free space of it.
    var first: Client = undefined;
    try stage.makeDurable(&first);
    defer first.close();
    // The second builds on it, and a reader holds what it built.
    var second: Client = undefined;
    try stage.openWriter(&second);
    try stage.putLost(&second, 100, 20);
    var reader: Client = undefined;
    try stage.openReader(&reader);
    defer reader.close();
    const held = try Held.open(&reader);
    defer held.close();
    try stage.machine.loseVolatile(&second);
    second.close();
    // The first goes on from its own state, beside the reader.
    for (0..8) |_| {
        try stage.put(&first, 200, 5);
        try held.expectSame();
    }
    try std.testing.expectEqual(stage.rows.digest(), try first.readAll());
}

test "the pages of a state that was taken back may be used again, and hide nothing" {
    var stage = try Stage.init();
    defer stage.deinit();
    try stage.lose(600);
    // Nobody reads the lost state, so its pages are free, and are taken.
    var second: Client = undefined;
    try stage.openWriter(&second);
    defer second.close();
    try stage.put(&second, 2, 1);
    // Whoever comes next counts the free space by all slots, the one taken back among them.
    var third: Client = undefined;
    try stage.openWriter(&third);
    defer third.close();
    try std.testing.expectEqual(stage.rows.digest(), try third.readAll());
    const held = try Held.open(&second);
    defer held.close();
    for (0..40) |_| {
        try stage.put(&third, 300, 6);
        try held.expectSame();
        try std.testing.expectEqual(stage.rows.digest(), try third.readAll());
    }
}

test "a vector kept in memory is not taken for the one that took its place" {
    var stage = try Stage.init();
    defer stage.deinit();
    // A first loss: whoever writes next begins a new segment.
    try stage.lose(500);
    // The first row of that segment is read, and kept in memory.
    var reader: Client = undefined;
    try stage.openWriter(&reader);
    defer reader.close();
    try reader.put(500, .{ .seed = 11 });
    try expectVector(&reader, 500, .{ .seed = 11 });
    // It is lost as well, and another row gets its place.
    try stage.lose(null);
    var third: Client = undefined;
    try stage.openWriter(&third);
    defer third.close();
    try third.put(500, .{ .seed = 22 });
    try expectVector(&reader, 500, .{ .seed = 22 });
}

test "a collection that was lost is not taken for the one that got its id" {
    for ([_]bool{ false, true }) |is_named_the_same| {
        var stage = try Stage.init();
        defer stage.deinit();
        var first: Client = undefined;
        try stage.openWriter(&first);
        defer first.close();
        try first.database.?.flush();
        var second: Client = undefined;
        try stage.openWriter(&second);
        const scope: vl.Scope = .{ .database = second.database.? };
        const made = try vl.Collection.open(scope, "lost", .{ .dimension = 3 });
        var reader: Client = undefined;
        try stage.openReader(&reader);
        defer reader.close();
        const read = try vl.Collection.open(.{ .database = reader.database.? }, "lost", .{});
        defer read.close();
        made.close();
        try stage.machine.loseVolatile(&second);
        second.close();
        const name = if (is_named_the_same) "lost" else "another";
        const options: vl.Collection.Options = .{ .dimension = 3 };
        const next = try vl.Collection.open(.{ .database = first.database.? }, name, options);
        defer next.close();
        try next.put(.{ .keys = "k", .key_lens = &.{1}, .vectors = &.{ 1, 2, 3 } });
        // Of the same name and kind it is what whoever reads asked for.
        if (is_named_the_same) {
            try std.testing.expect(try read.has("k"));
            try std.testing.expectEqualStrings("lost", try read.currentName());
        } else try std.testing.expectError(error.Closed, read.has("k"));
    }
}

test "one that was lost is not taken for one that keeps its rows, although all else is the same" {
    var stage = try Stage.init();
    defer stage.deinit();
    var first: Client = undefined;
    try stage.openWriter(&first);
    defer first.close();
    try first.database.?.flush();
    var second: Client = undefined;
    try stage.openWriter(&second);
    const name = "lost";
    const made = try vl.Collection.open(.{ .database = second.database.? }, name, .{
        .dimension = 3,
    });
    // A cache that keeps two rows at most.
    var cache: Client = undefined;
    try stage.openWriter(&cache);
    defer cache.close();
    const bounded = try vl.Collection.open(.{ .database = cache.database.? }, name, .{
        .rows_max = 2,
    });
    defer bounded.close();
    made.close();
    try stage.machine.loseVolatile(&second);
    second.close();
    const documents = try vl.Collection.open(.{ .database = first.database.? }, name, .{
        .dimension = 3,
        .keeps_rows = true,
    });
    defer documents.close();
    const row: vl.Batch = .{ .keys = "k", .key_lens = &.{1}, .vectors = &.{ 1, 2, 3 } };
    try documents.put(row);
    try std.testing.expectError(error.Closed, bounded.has("k"));
    try std.testing.expectError(error.Closed, bounded.put(row));
}

test "a renamed collection is followed where states were lost" {
    for ([_]bool{ false, true }) |is_read_between| {
        var stage = try Stage.init();
        defer stage.deinit();
        var first: Client = undefined;
        try stage.makeDurable(&first);
        defer first.close();
        // A reader has seen what a second writer then loses.
        var second: Client = undefined;
        try stage.openWriter(&second);
        try stage.putLost(&second, 100, 3);
        var reader: Client = undefined;
        try stage.openReader(&reader);
        defer reader.close();
        try std.testing.expectEqual(stage.lost.digest(), try reader.readAll());
        try stage.machine.loseVolatile(&second);
        second.close();
        // Another collection takes its name, and then the place of that one.
        const database = first.database.?;
        const rename = vl.catalogue.rename;
        const old_name = client_module.collection_name;
        try std.testing.expectEqual(.done, try rename(database, old_name, "next"));
        try stage.put(&first, 200, 1);
        if (is_read_between) {
            try std.testing.expectEqual(stage.rows.digest(), try reader.readAll());
        }
        const other = try vl.Collection.open(.{ .database = database }, old_name, .{
            .dimension = dimension,
            .metric = .l2,
        });
        defer other.close();
        try std.testing.expectEqual(stage.rows.digest(), try reader.readAll());
        try std.testing.expectEqualStrings("next", try reader.collection.?.currentName());
        try std.testing.expect(try vl.catalogue.drop(database, "next"));
        try std.testing.expectEqual(.done, try rename(database, old_name, "next"));
        try std.testing.expectError(error.Closed, reader.collection.?.currentName());
    }
}

test "lost states that no slot tells of any more are still left to those who read them" {
    var stage = try Stage.init();
    defer stage.deinit();
    var first: Client = undefined;
    try stage.openWriter(&first);
    try stage.putLost(&first, 100, 10);
    var reader: Client = undefined;
    try stage.openReader(&reader);
    defer reader.close();
    const earlier = try Held.open(&reader);
    try stage.putLost(&first, 110, 1);
    const later = try Held.open(&reader);
    defer later.close();
    // The states are lost, and so is what was written to the slots about them.
    try stage.machine.loseVolatile(&first);
    first.close();
    stage.machine.emptyVolatileSlots();
    // Whoever comes next has another number for its state, and other pages.
    var second: Client = undefined;
    try stage.openWriter(&second);
    defer second.close();
    try stage.put(&second, 200, 5);
    try earlier.expectSame();
    earlier.close();
    for (0..8) |_| {
        try stage.put(&second, 200, 5);
        try later.expectSame();
        try std.testing.expectEqual(stage.rows.digest(), try second.readAll());
    }
    // So has who comes after it, and the reader finds the new state.
    var third: Client = undefined;
    try stage.openWriter(&third);
    defer third.close();
    try stage.put(&third, 300, 5);
    try later.expectSame();
    try std.testing.expectEqual(stage.rows.digest(), try reader.readAll());
}

test "a lost state is left to its reader although the one before it comes back" {
    var stage = try Stage.init();
    defer stage.deinit();
    var first: Client = undefined;
    try stage.openWriter(&first);
    try stage.put(&first, 100, 1);
    try stage.fork();
    const slot_before = newestVolatileSlot(&stage.machine);
    const bytes_before = stage.machine.slotBytes(slot_before);
    try stage.putLost(&first, 101, 1);
    var reader: Client = undefined;
    try stage.openReader(&reader);
    defer reader.close();
    const held = try Held.open(&reader);
    defer held.close();
    // Of the two states only the newer one is taken back: the write stopped before the other.
    try stage.machine.loseVolatile(&first);
    first.close();
    stage.machine.disk.corrupt(vl.roots.slotOffset(slot_before), &bytes_before);
    var second: Client = undefined;
    try stage.openWriter(&second);
    defer second.close();
    for (0..8) |_| {
        try stage.put(&second, 200, 5);
        try held.expectSame();
        try std.testing.expectEqual(stage.rows.digest(), try second.readAll());
    }
}

fn newestVolatileSlot(machine: *const Machine) u32 {
    const slots = inspector.readSlots(machine.disk.bytes());
    const first = vl.format.durable_slot_count;
    const a = if (slots[first]) |root| root.transaction_id else 0;
    const b = if (slots[first + 1]) |root| root.transaction_id else 0;
    return if (a > b) first else first + 1;
}

test "who knows a state sees that it was taken back, also where that stopped in the middle" {
    var torn: u32 = 0;
    for (0..200) |seed| {
        var stage = try Stage.init();
        defer stage.deinit();
        stage.machine.disk.prng.seed(seed);
        var writer: Client = undefined;
        try stage.openWriter(&writer);
        try stage.put(&writer, 100, if (seed % 2 == 0) 1 else 2);
        var reader: Client = undefined;
        try stage.openReader(&reader);
        defer reader.close();
        try std.testing.expectEqual(stage.rows.digest(), try reader.readAll());
        try stage.machine.disk.inject(.{ .call = .write, .after = seed % 3, .partial = true });
        try stage.machine.loseVolatile(&writer);
        writer.close();
        var other: Client = undefined;
        try stage.openReader(&other);
        defer other.close();
        const now = try other.readAll();
        try std.testing.expectEqual(now, try reader.readAll());
        torn += @intFromBool(!now.eql(stage.rows.digest()));
    }
    try std.testing.expect(torn > 20);
}

test "two states that were lost are told apart by who knew them" {
    var stage = try Stage.init();
    defer stage.deinit();
    try stage.lose(500);
    // Somebody goes on after the loss, and keeps the rows in memory.
    var reader: Client = undefined;
    try stage.openWriter(&reader);
    defer reader.close();
    try reader.put(500, .{ .seed = 11 });
    try expectVector(&reader, 500, .{ .seed = 11 });
    // That is lost too, and nothing in the file tells of either loss.
    try stage.lose(null);
    stage.machine.tearVolatileSlots();
    var third: Client = undefined;
    try stage.openWriter(&third);
    defer third.close();
    try third.put(500, .{ .seed = 22 });
    try expectVector(&reader, 500, .{ .seed = 22 });
}

test "nobody builds on what another writer's sync did not bring to the medium" {
    var stage = try Stage.init();
    defer stage.deinit();
    // Two writers at once, both alive, and both with commits that are not durable.
    var first: Client = undefined;
    try stage.openWriter(&first);
    defer first.close();
    var second: Client = undefined;
    try stage.openWriter(&second);
    defer second.close();
    try stage.putLost(&first, 1, 3);
    try stage.putLost(&second, 2, 3);
    try stage.machine.loseVolatile(&second);
    // The cache shows all of it, but the medium does not have it, and no later sync will bring it.
    try stage.put(&first, 3, 2);
    try first.database.?.flush();
    try std.testing.expectEqual(stage.rows.digest(), try first.readAll());
    try std.testing.expectEqual(stage.rows.digest(), try afterPowerLoss(&stage.machine));
}

test "what an orphan that is damaged leaves behind is not given its number again" {
    var stage = try Stage.init();
    defer stage.deinit();
    // A reader holds a volatile state, its writer is killed, and a row of it rots.
    var first: Client = undefined;
    try stage.openWriter(&first);
    try stage.putLost(&first, 700, 1);
    var reader: Client = undefined;
    try stage.openReader(&reader);
    defer reader.close();
    const held = try Held.open(&reader);
    defer held.close();
    first.process.kill();
    first.close();
    const state = try held.collection.access.currentState();
    const segment = state.growing();
    const last_row = segment.vectorOffset(segment.disk.rows - 1, state.vectorStride());
    stage.machine.disk.corrupt(last_row, "rot");
    // The next writer goes back to the durable state, and writes nothing.
    var second: Client = undefined;
    try stage.openWriter(&second);
    try second.database.?.begin();
    second.database.?.rollback();
    second.close();
    // The one after it writes under a number of its own.
    var third: Client = undefined;
    try stage.openWriter(&third);
    defer third.close();
    try stage.put(&third, 800, 1);
    const written = (try third.database.?.stats()).transaction_id;
    try std.testing.expect(written > held.snapshot.view.root.transaction_id);
    try std.testing.expectEqual(stage.rows.digest(), try third.readAll());
    try std.testing.expectEqual(stage.rows.digest(), try reader.readAll());
}

test "a durable root leaves no volatile one behind, which would keep its pages" {
    var stage = try Stage.init();
    defer stage.deinit();
    var client: Client = undefined;
    try stage.openWriter(&client);
    defer client.close();
    try stage.put(&client, 1, 3);
    try client.database.?.flush();
    const slots = inspector.readSlots(stage.machine.disk.bytes());
    for (slots[vl.format.durable_slot_count..]) |slot| try std.testing.expectEqual(null, slot);
}

const LastWrite = struct {
    offset: u64 = 0,

    fn onWrite(context: ?*anyopaque, offset: u64, _: u64) void {
        const last: *LastWrite = @ptrCast(@alignCast(context.?));
        last.offset = offset;
    }
};

test "a slot that was written in part ends the handle, any other write does not" {
    for ([_]vl.Durability{ .full, .none }) |durability| {
        var slots_hit: u32 = 0;
        for (0..100) |number| {
            var stage = try Stage.init();
            defer stage.deinit();
            var client: Client = undefined;
            try stage.machine.open(&client, .{ .durability = durability });
            defer client.close();
            var last: LastWrite = .{};
            stage.machine.disk.hooks = .{ .context = &last, .onWrite = LastWrite.onWrite };
            try stage.machine.disk.inject(.{ .call = .write, .after = number, .partial = true });
            if (client.put(900, .{ .seed = 3 })) |_| break else |err| {
                try std.testing.expectEqual(error.InputOutput, err);
            }
            // A failed slot is followed by another write, of the volatile ones.
            const is_slot = last.offset >= vl.roots.slotOffset(0) and
                last.offset < inspector.slots_end;
            slots_hit += @intFromBool(is_slot);
            const again = client.put(900, .{ .seed = 4 });
            if (is_slot) try std.testing.expectError(error.Poisoned, again) else try again;
        } else return error.NeverSucceeds;
        try std.testing.expectEqual(1, slots_hit);
    }
}

/// Power losses at every sync: each must leave one of the states that are allowed.
const PowerLosses = struct {
    disk: *Disk,
    allowed: [3]Digest,
    images: u32 = 0,
    failure: ?anyerror = null,

    fn onSync(context: ?*anyopaque) void {
        const losses: *PowerLosses = @ptrCast(@alignCast(context.?));
        losses.tryAll() catch |err| {
            losses.failure = err;
        };
    }

    fn tryAll(losses: *PowerLosses) !void {
        const left = try Disk.create(gpa, .{ .seed = 2 });
        defer left.destroy();
        var possible = try losses.disk.crashes(.{ .samples = 16 });
        defer possible.deinit();
        while (possible.next()) |choice| : (losses.images += 1) {
            try left.become(losses.disk, choice, .new);
            var client: Client = .{
                .gpa = gpa,
                .process = try left.process(),
                .options = .{ .create = false },
            };
            try client.open();
            defer client.close();
            const found = try client.readAll();
            for (losses.allowed) |digest| {
                if (digest.eql(found)) break;
            } else return error.StateLost;
        }
    }
};

test "two failed syncs, one after the other, do not cost the last durable state" {
    var stage = try Stage.init();
    defer stage.deinit();
    var allowed: [3]Digest = undefined;
    allowed[0] = stage.rows.digest();
    // Twice the slot does not reach the medium, and the cache goes on showing it.
    for (0..2) |_| {
        var client: Client = undefined;
        try stage.machine.open(&client, .{ .durability = .full });
        defer client.close();
        try stage.machine.disk.inject(.{ .call = .sync, .after = 1, .survivors = .none });
        const result = stage.put(&client, 1, 1);
        try std.testing.expectError(error.InputOutput, result);
        stage.machine.disk.clearFaults();
        try stage.rows.put(1, .{ .seed = stage.machine.value_next - 1, .metadata_bytes = 100 });
    }
    // The third commit must not touch the one slot that the medium has left.
    allowed[1] = stage.rows.digest();
    var client: Client = undefined;
    try stage.machine.open(&client, .{ .durability = .full });
    defer client.close();
    const next: Value = .{ .seed = stage.machine.value_next, .metadata_bytes = 100 };
    try stage.rows.put(2, next);
    allowed[2] = stage.rows.digest();
    var losses: PowerLosses = .{ .disk = stage.machine.disk, .allowed = allowed };
    stage.machine.disk.hooks = .{ .context = &losses, .onSync = PowerLosses.onSync };
    try client.put(2, next);
    if (losses.failure) |failure| return failure;
    try std.testing.expect(losses.images > 50);
}

test "volatile roots that could not be taken back are not trusted while their writer lives on" {
    var stage = try Stage.init();
    defer stage.deinit();
    try expectNotTrusted(&stage);
}

test "volatile roots that could not be taken back are not trusted for an idle third process" {
    var stage = try Stage.init();
    defer stage.deinit();
    // Made a volatile commit once, which is durable, and does nothing since.
    var idle: Client = undefined;
    try stage.makeDurable(&idle);
    defer idle.close();
    try expectNotTrusted(&stage);
}

fn expectNotTrusted(stage: *Stage) !void {
    var first: Client = undefined;
    try stage.openWriter(&first);
    defer first.close();
    try stage.put(&first, 10, 3);
    // The device takes nothing of it, says so, and then refuses the write that takes it back.
    try stage.machine.disk.inject(.{ .call = .write });
    try stage.machine.loseVolatile(&first);
    var second: Client = undefined;
    try stage.openWriter(&second);
    defer second.close();
    try stage.put(&second, 100, 3);
    try second.database.?.flush();
    const found = try second.readAll();
    try std.testing.expectEqual(stage.rows.digest(), found);
    try std.testing.expectEqual(found, try afterPowerLoss(&stage.machine));
}

test "a device that fails for a moment does not cost what a killed process committed" {
    var number: u64 = 0;
    var refusals: u64 = 0;
    while (true) : (number += 1) {
        var stage = try Stage.init();
        defer stage.deinit();
        var killed: Client = undefined;
        try stage.machine.open(&killed, .{ .durability = .normal });
        defer killed.close();
        try stage.put(&killed, 40, 3);
        killed.process.kill();
        var next: Client = undefined;
        try stage.machine.open(&next, .{ .durability = .normal });
        defer next.close();
        // The next writer reads all that the killed one left, to make it durable.
        try stage.machine.disk.inject(.{ .call = .read, .after = number });
        const value: Value = .{ .seed = 7777 };
        if (next.put(50, value)) |_| {} else |err| {
            refusals += 1;
            try std.testing.expectEqual(error.InputOutput, err);
        }
        const was_reached = stage.machine.disk.faults_fired > 0;
        stage.machine.disk.clearFaults();
        try next.put(50, value);
        try stage.rows.put(50, value);
        try std.testing.expectEqual(stage.rows.digest(), try next.readAll());
        if (!was_reached) break;
    }
    try std.testing.expect(refusals > 10);
}

test "a sync that fails for want of space is not tried again with less" {
    var failures: u32 = 0;
    for (0..150) |after| {
        var stage = try Stage.init();
        defer stage.deinit();
        var client: Client = undefined;
        try stage.machine.open(&client, .{ .durability = .full });
        defer client.close();
        // Old roots are let go in the middle of the writes that make the file grow.
        (try client.database.?.openSession()).relief_pages_min = 1;
        try stage.machine.disk.inject(.{
            .call = .sync,
            .after = after,
            .err = error.NoSpace,
            .survivors = .none,
        });
        for (0..30) |round| {
            var numbers: [8]u32 = undefined;
            var values: [8]Value = undefined;
            for (&numbers, &values, 0..) |*number, *value, i| {
                number.* = @intCast(1 + round % 2 * 8 + i);
                value.* = .{ .seed = stage.machine.value_next, .metadata_bytes = 6000 };
                stage.machine.value_next += 1;
            }
            client.putMany(&numbers, &values) catch |err| {
                try std.testing.expectEqual(error.NoSpace, err);
                failures += 1;
                break;
            };
            if (stage.machine.disk.faults_fired > 0) return error.FailureHidden;
        }
        stage.machine.disk.clearFaults();
    }
    try std.testing.expect(failures > 60);
}

test "a lost state that its own writer does not hold is told apart from the one after it" {
    var stage = try Stage.init();
    defer stage.deinit();
    // A writer keeps a row in memory, and has committed since, so it holds no state.
    var reader: Client = undefined;
    try stage.openWriter(&reader);
    defer reader.close();
    try reader.put(500, .{ .seed = 11 });
    try expectVector(&reader, 500, .{ .seed = 11 });
    try reader.put(501, .{ .seed = 12 });
    // Its commits are lost, and nothing in the file tells of it.
    try stage.lose(null);
    stage.machine.tearVolatileSlots();
    var third: Client = undefined;
    try stage.openWriter(&third);
    defer third.close();
    try third.put(500, .{ .seed = 22 });
    try third.put(502, .{ .seed = 23 });
    try expectVector(&reader, 500, .{ .seed = 22 });
}

test "a writer whose slots look as it knows them asks for lost states too" {
    var stage = try Stage.init();
    defer stage.deinit();
    var first: Client = undefined;
    try stage.openWriter(&first);
    defer first.close();
    try stage.put(&first, 1, 4);
    try stage.fork();
    const slots_before = stage.slots();
    var second: Client = undefined;
    try stage.openWriter(&second);
    try stage.putLost(&second, 100, 1);
    var reader: Client = undefined;
    try stage.openReader(&reader);
    defer reader.close();
    const held = try Held.open(&reader);
    defer held.close();
    second.process.kill();
    second.close();
    // The cache lets the slots go, and the medium has the ones before.
    stage.restoreSlots(&slots_before);
    for (0..8) |_| {
        try stage.put(&first, 200, 5);
        try held.expectSame();
        try std.testing.expectEqual(stage.rows.digest(), try first.readAll());
    }
}

test "a lost state that its reader let go of is told apart from the one after it" {
    var stage = try Stage.init();
    defer stage.deinit();
    var first: Client = undefined;
    try stage.openWriter(&first);
    defer first.close();
    try stage.put(&first, 1, 4);
    const slots_before = stage.slots();
    var second: Client = undefined;
    try stage.openWriter(&second);
    try second.put(100, .{ .seed = 11 });
    // A reader keeps the row in memory, and rests, so it holds no state.
    var reader: Client = undefined;
    try stage.openWriter(&reader);
    defer reader.close();
    try expectVector(&reader, 100, .{ .seed = 11 });
    reader.database.?.letGo();
    second.process.kill();
    second.close();
    // The cache lets the slots go, and the medium has the ones before: nothing tells of the loss.
    stage.restoreSlots(&slots_before);
    try first.put(100, .{ .seed = 22 });
    try expectVector(&reader, 100, .{ .seed = 22 });
}

test "who may only read cannot use up the transaction ids" {
    var stage = try Stage.init();
    defer stage.deinit();
    const bystander = try stage.machine.disk.process();
    const file = try bystander.system().open(gpa, client_module.path, .{ .readonly = true });
    const far: vl.os.LockRange = .{
        .start = vl.format.lock_snapshots + (1 << 60) - 1,
        .len = 1,
    };
    try std.testing.expect(try file.lock(.snapshots, .shared, far));
    var first: Client = undefined;
    try stage.machine.open(&first, .{ .durability = .full });
    try stage.put(&first, 1, 1);
    first.close();
    file.unlock(.snapshots, far);
    file.close();
    var second: Client = undefined;
    try stage.machine.open(&second, .{ .durability = .full });
    defer second.close();
    try stage.put(&second, 2, 1);
}

test "a writer without a boot id does not undo what a live writer has committed" {
    var stage = try Stage.init();
    defer stage.deinit();
    var first: Client = undefined;
    try stage.openWriter(&first);
    defer first.close();
    try stage.put(&first, 1, 3);
    const boot = stage.machine.disk.boot_id;
    stage.machine.disk.boot_id = null;
    var second: Client = undefined;
    try stage.machine.open(&second, .{ .durability = .full });
    defer second.close();
    stage.machine.disk.boot_id = boot;
    try stage.fork();
    if (stage.putLost(&second, 100, 1)) |_| {
        try std.testing.expectEqual(stage.lost.digest(), try first.readAll());
    } else |err| {
        try std.testing.expectEqual(error.Locked, err);
        try first.database.?.flush();
        try stage.put(&second, 100, 1);
        try std.testing.expectEqual(stage.rows.digest(), try first.readAll());
    }
}

/// A state is lost in one of four ways while a reader holds it; others go on, make the file
/// smaller, and lose the power; four times.
fn story(seed: u64) !void {
    var prng = std.Random.DefaultPrng.init(seed);
    const random = prng.random();
    var stage = try Stage.init();
    defer stage.deinit();
    var base: Client = undefined;
    try stage.openWriter(&base);
    defer base.close();
    (try base.database.?.openSession()).relief_pages_min = 1;
    try stage.machine.putLong(&base, &stage.rows, 100, 20);
    try base.database.?.flush();
    var readers: [4]Client = undefined;
    for (&readers) |*reader| try stage.openReader(reader);
    defer for (&readers) |*reader| reader.close();
    var helds: std.ArrayList(Held) = .empty;
    defer helds.deinit(gpa);
    defer for (helds.items) |held| held.close();
    for (0..4) |round| {
        try stage.fork();
        var second: Client = undefined;
        try stage.openWriter(&second);
        (try second.database.?.openSession()).relief_pages_min = 1 << 30;
        const slots_before = stage.slots();
        for (0..random.uintLessThan(u32, 4)) |_| {
            try stage.machine.putLong(&second, &stage.lost, 100 + random.uintLessThan(u32, 30), 3);
            if (random.boolean()) {
                const number = 100 + random.uintLessThan(u32, 30);
                _ = stage.lost.rows.swapRemove(number);
                _ = try second.delete(number);
            }
        }
        try stage.putLost(&second, 5, 1);
        try helds.append(gpa, try Held.open(&readers[round]));
        if (random.boolean()) try stage.putLost(&second, 5, 1);
        switch (random.uintLessThan(u32, 4)) {
            0 => {
                try stage.machine.loseVolatile(&second);
                second.close();
            },
            1 => {
                try stage.machine.loseVolatile(&second);
                second.close();
                stage.machine.tearVolatileSlots();
            },
            2 => {
                second.process.kill();
                second.close();
                std.mem.swap(Contents, &stage.rows, &stage.lost);
            },
            else => {
                second.process.kill();
                second.close();
                stage.restoreSlots(&slots_before);
            },
        }
        var third: Client = undefined;
        try stage.machine.open(&third, .{ .durability = if (random.boolean()) .full else .none });
        (try third.database.?.openSession()).relief_pages_min = 1;
        for (0..random.uintLessThan(u32, 12)) |_| {
            const who = if (random.boolean()) &third else &base;
            switch (random.uintLessThan(u32, 4)) {
                0 => try compactAll(who),
                1 => {
                    const number = 100 + random.uintLessThan(u32, 30);
                    try stage.machine.putLong(who, &stage.rows, number, 3);
                },
                2 => try who.database.?.flush(),
                else => {
                    const number = 100 + random.uintLessThan(u32, 30);
                    _ = stage.rows.rows.swapRemove(number);
                    _ = try who.delete(number);
                },
            }
            for (helds.items) |held| try held.expectSame();
            try std.testing.expectEqual(stage.rows.digest(), try who.readAll());
        }
        third.close();
        try base.database.?.flush();
        try std.testing.expectEqual(stage.rows.digest(), try base.readAll());
        try std.testing.expectEqual(stage.rows.digest(), try afterPowerLoss(&stage.machine));
    }
}

test "whatever is lost, and however, is left to those who read it, and nothing else is" {
    for (0..20) |seed| story(seed) catch |err| {
        std.debug.print("seed {d}\n", .{seed});
        return err;
    };
}
