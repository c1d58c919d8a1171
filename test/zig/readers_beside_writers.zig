//! A reader and writers at the moments where their protocol is thin: between choosing a state and
//! locking it, in the gate, and while pages wait for readers who are always a little behind.

const std = @import("std");
const vl = @import("vectorlite");
const Base = @import("crash/workload.zig").Base;
const Client = @import("crash/client.zig").Client;
const Contents = @import("crash/contents.zig").Contents;
const Digest = @import("crash/contents.zig").Digest;
const Value = @import("crash/contents.zig").Value;
const client_module = @import("crash/client.zig");
const metadata_bytes_max = @import("crash/contents.zig").metadata_bytes_max;
const format = vl.format;
const Disk = vl.backends.simulated.Disk;

const gpa = std.testing.allocator;

const Machine = struct {
    base: Base,
    disk: *Disk,
    rows: Contents,
    value_next: u32 = 1,
    /// Writes whenever another process is about to lock a state, so many times.
    intruder: ?*Client = null,
    /// Takes turns with it.
    other: ?*Client = null,
    before_visit: Digest = .{},
    visits: u32 = 0,
    visits_max: u32 = 0,
    failure: ?anyerror = null,

    fn init() !Machine {
        const base = try Base.small();
        return .{
            .base = base,
            .disk = try Disk.create(gpa, .{ .content = base.bytes }),
            .rows = try base.rows.clone(),
        };
    }

    fn deinit(machine: *Machine) void {
        machine.disk.destroy();
        machine.rows.deinit();
        machine.base.deinit();
    }

    /// A process of its own. `client` does not move while it is open.
    fn open(machine: *Machine, client: *Client, options: vl.Options) !void {
        client.* = .{ .gpa = gpa, .process = try machine.disk.process(), .options = options };
        client.options.create = false;
        try client.open();
    }

    fn overwrite(machine: *Machine, client: *Client, count: u32) !void {
        for (0..count) |_| {
            const number = 1 + machine.value_next % 5;
            try client.put(number, .{ .seed = machine.value_next });
            try machine.rows.put(number, .{ .seed = machine.value_next });
            machine.value_next += 1;
        }
    }

    fn sendIn(machine: *Machine, client: *Client, visits_max: u32) void {
        machine.intruder = client;
        machine.visits = 0;
        machine.visits_max = visits_max;
        machine.disk.hooks = .{ .context = machine, .onLock = onLock };
    }

    fn onLock(context: ?*anyopaque, range: vl.os.LockRange) void {
        const machine: *Machine = @ptrCast(@alignCast(context.?));
        const intruder = machine.intruder orelse return;
        if (range.start < format.lock_snapshots or machine.visits == machine.visits_max) return;
        machine.visits += 1;
        machine.before_visit = machine.rows.digest();
        machine.intruder = null;
        defer machine.intruder = intruder;
        for (0..120) |i| {
            const writer = if (i % 2 == 0) intruder else machine.other orelse intruder;
            machine.overwrite(writer, 1) catch |err| {
                machine.failure = err;
            };
        }
    }
};

const writing: vl.Options = .{ .durability = .full };

test "a state that is given up between choosing and locking it is not read" {
    var machine = try Machine.init();
    defer machine.deinit();
    var writer: Client = undefined;
    try machine.open(&writer, writing);
    defer writer.close();
    try machine.overwrite(&writer, 200);
    // It has just committed, so it holds no state; before it has locked the one that it chooses,
    // the pages of that are used again.
    var reader: Client = undefined;
    try machine.open(&reader, writing);
    defer reader.close();
    try machine.overwrite(&reader, 1);
    try machine.overwrite(&writer, 1);
    machine.sendIn(&writer, 1);
    const snapshot = try reader.database.?.openSnapshot();
    defer snapshot.close();
    if (machine.failure) |failure| return failure;
    try std.testing.expectEqual(1, machine.visits);
    const name = client_module.collection_name;
    const collection = try vl.Collection.open(.{ .snapshot = snapshot }, name, .{});
    defer collection.close();
    const found = try client_module.readEverything(collection, .every_way);
    try std.testing.expectEqual(machine.rows.digest(), found);
}

test "a reader that is overtaken again and again reads in the gate" {
    var machine = try Machine.init();
    defer machine.deinit();
    var writer: Client = undefined;
    try machine.open(&writer, writing);
    defer writer.close();
    var reader: Client = undefined;
    try machine.open(&reader, .{ .readonly = true });
    defer reader.close();
    try machine.overwrite(&writer, 200);
    // Three times before the lock; the fourth finds the reader in the gate, with its state chosen.
    machine.sendIn(&writer, 4);
    const snapshot = try reader.database.?.openSnapshot();
    defer snapshot.close();
    if (machine.failure) |failure| return failure;
    try std.testing.expectEqual(4, machine.visits);
    const name = client_module.collection_name;
    const collection = try vl.Collection.open(.{ .snapshot = snapshot }, name, .{});
    defer collection.close();
    const found = try client_module.readEverything(collection, .every_way);
    try std.testing.expectEqual(machine.before_visit, found);
    try std.testing.expectEqual(machine.rows.digest(), try reader.readAll());
}

test "writers that take turns leave a reader in the gate its state" {
    var machine = try Machine.init();
    defer machine.deinit();
    var writer: Client = undefined;
    try machine.open(&writer, writing);
    defer writer.close();
    var reader: Client = undefined;
    try machine.open(&reader, .{ .readonly = true });
    defer reader.close();
    var second: Client = undefined;
    try machine.open(&second, writing);
    defer second.close();
    try machine.overwrite(&writer, 200);
    machine.sendIn(&writer, 4);
    // Both take turns, so that each counts again after the other.
    machine.other = &second;
    const snapshot = try reader.database.?.openSnapshot();
    defer snapshot.close();
    if (machine.failure) |failure| return failure;
    const name = client_module.collection_name;
    const collection = try vl.Collection.open(.{ .snapshot = snapshot }, name, .{});
    defer collection.close();
    const found = try client_module.readEverything(collection, .every_way);
    try std.testing.expectEqual(machine.before_visit, found);
}

test "a snapshot keeps its pages however much is written beside it" {
    var machine = try Machine.init();
    defer machine.deinit();
    var writer: Client = undefined;
    try machine.open(&writer, writing);
    defer writer.close();
    try machine.overwrite(&writer, 200);
    const before = machine.rows.digest();
    const snapshot = try writer.database.?.openSnapshot();
    defer snapshot.close();
    const name = client_module.collection_name;
    const collection = try vl.Collection.open(.{ .snapshot = snapshot }, name, .{});
    defer collection.close();
    for (0..3) |_| {
        try machine.overwrite(&writer, 200);
        const found = try client_module.readEverything(collection, .every_way);
        try std.testing.expectEqual(before, found);
    }
    try std.testing.expectEqual(machine.rows.digest(), try writer.readAll());
}

test "a reader that rests keeps no pages, and reads what is newest when it is back" {
    var machine = try Machine.init();
    defer machine.deinit();
    var writer: Client = undefined;
    try machine.open(&writer, writing);
    defer writer.close();
    var reader: Client = undefined;
    try machine.open(&reader, .{ .readonly = true });
    defer reader.close();
    try machine.overwrite(&writer, 200);
    try std.testing.expectEqual(machine.rows.digest(), try reader.readAll());
    try machine.overwrite(&writer, 200);
    try std.testing.expect((try writer.database.?.stats()).held_bytes.? > 0);
    try std.testing.expect(!reader.database.?.rest());
    try machine.overwrite(&writer, 1);
    try std.testing.expect((try writer.database.?.stats()).held_bytes.? > 0);
    try std.testing.expect(reader.database.?.rest());
    try std.testing.expect(reader.database.?.rest());
    try machine.overwrite(&writer, 200);
    try std.testing.expectEqual(0, (try writer.database.?.stats()).held_bytes.?);
    try std.testing.expectEqual(machine.rows.digest(), try reader.readAll());
    try std.testing.expect(!reader.database.?.rest());
    // The same state is pinned again where nothing has changed.
    try std.testing.expect(reader.database.?.rest());
    try std.testing.expectEqual(machine.rows.digest(), try reader.readAll());
    try machine.overwrite(&writer, 200);
    try std.testing.expect((try writer.database.?.stats()).held_bytes.? > 0);
}

test "an older state that was asked for is there however long nobody reads it" {
    var machine = try Machine.init();
    defer machine.deinit();
    var writer: Client = undefined;
    try machine.open(&writer, writing);
    defer writer.close();
    try machine.overwrite(&writer, 10);
    const then = machine.rows.digest();
    try machine.overwrite(&writer, 1);
    var reader: Client = undefined;
    try machine.open(&reader, .{ .readonly = true, .older_root = 1 });
    defer reader.close();
    for (0..3) |_| {
        _ = reader.database.?.rest();
        reader.database.?.letGo();
        try machine.overwrite(&writer, 200);
        try std.testing.expectEqual(then, try reader.readAll());
    }
}

test "a writer gets the free pages of a file although readers are always behind" {
    var machine = try Machine.init();
    defer machine.deinit();
    var first: Client = undefined;
    try machine.open(&first, writing);
    const long: Value = .{ .seed = 1, .metadata_bytes = metadata_bytes_max };
    for (100..140) |number| try first.put(@intCast(number), long);
    try first.collection.?.clear();
    // Durable commits enough that no slot leads to the long rows any more.
    try machine.overwrite(&first, 5);
    var behind: [2]Client = undefined;
    for (&behind) |*reader| try machine.open(reader, .{ .readonly = true });
    defer for (&behind) |*reader| reader.close();
    try machine.overwrite(&first, 1);
    first.close();
    // One of the readers always holds a state that is not the newest any more.
    var second: Client = undefined;
    try machine.open(&second, writing);
    defer second.close();
    for (0..40) |round| {
        _ = try behind[round % 2].readAll();
        try machine.overwrite(&second, 6);
    }
    const length = machine.disk.length;
    for (100..140) |number| try second.put(@intCast(number), long);
    try std.testing.expectEqual(length, machine.disk.length);
}

/// Reads while a part of a root is in its slot.
const Onlooker = struct {
    reader: *Client,
    cut: usize,
    before: Digest,
    looks: u32 = 0,
    failure: ?anyerror = null,

    fn cutWrite(context: ?*anyopaque, offset: u64, len: u64) ?usize {
        const onlooker: *Onlooker = @ptrCast(@alignCast(context.?));
        const is_slot = len == format.slot_bytes and offset % format.page_bytes == 0;
        return if (is_slot) onlooker.cut else null;
    }

    fn onPart(context: ?*anyopaque) void {
        const onlooker: *Onlooker = @ptrCast(@alignCast(context.?));
        onlooker.looks += 1;
        onlooker.look() catch |err| {
            onlooker.failure = err;
        };
    }

    fn look(onlooker: *Onlooker) !void {
        const found = try onlooker.reader.readAll();
        try std.testing.expectEqual(onlooker.before, found);
    }
};

test "who reads while a slot is written finds the commit when it is there" {
    for ([_]vl.Durability{ .full, .none }) |durability| for (1..format.slot_bytes) |cut| {
        var machine = try Machine.init();
        defer machine.deinit();
        var writer: Client = undefined;
        try machine.open(&writer, .{ .durability = durability });
        defer writer.close();
        try machine.overwrite(&writer, 1);
        var reader: Client = undefined;
        try machine.open(&reader, .{ .readonly = true });
        defer reader.close();
        const before = machine.rows.digest();
        var onlooker: Onlooker = .{ .reader = &reader, .cut = cut, .before = before };
        machine.disk.hooks = .{
            .context = &onlooker,
            .cutWrite = Onlooker.cutWrite,
            .onPart = Onlooker.onPart,
        };
        try machine.overwrite(&writer, 1);
        machine.disk.hooks = .{};
        if (onlooker.failure) |failure| return failure;
        try std.testing.expectEqual(1, onlooker.looks);
        try std.testing.expectEqual(machine.rows.digest(), try reader.readAll());
    };
}
