//! A failed sync takes commits back that other connections have already seen. Told one story at a
//! time: who still holds the lost state, who writes next, and what each of them must find.

const std = @import("std");
const vl = @import("vectorlite");
const Base = @import("crash/workload.zig").Base;
const Client = @import("crash/client.zig").Client;
const Contents = @import("crash/contents.zig").Contents;
const Digest = @import("crash/contents.zig").Digest;
const Key = @import("crash/contents.zig").Key;
const Value = @import("crash/contents.zig").Value;
const client_module = @import("crash/client.zig");
const dimension = @import("crash/contents.zig").dimension;
const Disk = vl.backends.simulated.Disk;

const gpa = std.testing.allocator;

const Machine = struct {
    base: Base,
    disk: *Disk,
    value_next: u32 = 1,

    fn init() !Machine {
        const base = try Base.small();
        return .{ .base = base, .disk = try Disk.create(gpa, .{ .content = base.bytes }) };
    }

    fn deinit(machine: *Machine) void {
        machine.disk.destroy();
        machine.base.deinit();
    }

    /// A process of its own. `client` does not move while it is open.
    fn open(machine: *Machine, client: *Client, options: vl.Options) !void {
        client.* = .{
            .gpa = gpa,
            .process = try machine.disk.process(),
            .options = options,
            .hot_vectors = 4,
        };
        client.options.create = false;
        try client.open();
    }

    fn put(machine: *Machine, client: *Client, rows: *Contents, first: u32, count: u32) !void {
        for (first..first + count) |number| {
            const value: Value = .{ .seed = machine.value_next, .metadata_bytes = 100 };
            machine.value_next += 1;
            try client.put(@intCast(number), value);
            try rows.put(@intCast(number), value);
        }
    }

    /// A flush whose first sync fails: the volatile commits are gone for everybody.
    fn loseVolatile(machine: *Machine, client: *Client) !void {
        try machine.disk.inject(.{ .call = .sync, .survivors = .all });
        try std.testing.expectError(error.InputOutput, client.database.?.flush());
        machine.disk.clearFaults();
    }
};

const Held = struct {
    snapshot: *vl.Snapshot,
    collection: *vl.Collection,
    digest: Digest,

    fn open(client: *Client) !Held {
        const snapshot = try client.database.?.openSnapshot();
        errdefer snapshot.close();
        const name = client_module.collection_name;
        const collection = try vl.Collection.open(.{ .snapshot = snapshot }, name, .{});
        errdefer collection.close();
        const digest = try client_module.readEverything(collection, .scan);
        return .{ .snapshot = snapshot, .collection = collection, .digest = digest };
    }

    fn close(held: Held) void {
        held.collection.close();
        held.snapshot.close();
    }

    fn expectSame(held: Held) !void {
        const found = try client_module.readEverything(held.collection, .every_way);
        try std.testing.expectEqual(held.digest, found);
    }
};

const volatile_options: vl.Options = .{ .durability = .none };

test "the pages of a state that was taken back may be used again, and hide nothing" {
    var machine = try Machine.init();
    defer machine.deinit();
    var lost = try machine.base.rows.clone();
    defer lost.deinit();
    var first: Client = undefined;
    try machine.open(&first, volatile_options);
    try machine.put(&first, &lost, 600, 1);
    try machine.loseVolatile(&first);
    first.close();
    // Nobody reads the lost state, so its pages are free, and are taken.
    var rows = try machine.base.rows.clone();
    defer rows.deinit();
    var second: Client = undefined;
    try machine.open(&second, volatile_options);
    defer second.close();
    try machine.put(&second, &rows, 2, 1);
    // Whoever comes next counts the free space by all slots, the one taken back among them.
    var third: Client = undefined;
    try machine.open(&third, volatile_options);
    defer third.close();
    try std.testing.expectEqual(rows.digest(), try third.readAll());
    const held = try Held.open(&second);
    defer held.close();
    for (0..40) |_| {
        try machine.put(&third, &rows, 300, 6);
        try held.expectSame();
        try std.testing.expectEqual(rows.digest(), try third.readAll());
    }
}
