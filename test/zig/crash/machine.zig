//! A simulated machine, and what a test does on it to tell a story: processes, readers that hold a
//! state, syncs that fail, slots that are torn.

const std = @import("std");
const vl = @import("vectorlite");
const Base = @import("workload.zig").Base;
const Client = @import("client.zig").Client;
const Contents = @import("contents.zig").Contents;
const Digest = @import("contents.zig").Digest;
const Value = @import("contents.zig").Value;
const client_module = @import("client.zig");
const Disk = vl.backends.simulated.Disk;

const gpa = std.testing.allocator;

/// A simulated machine with a small file; every client is a process of its own.
pub const Machine = struct {
    base: Base,
    disk: *Disk,
    value_next: u32 = 1,

    pub fn init() !Machine {
        const base = try Base.small();
        return .{ .base = base, .disk = try Disk.create(gpa, .{ .content = base.bytes }) };
    }

    pub fn deinit(machine: *Machine) void {
        machine.disk.destroy();
        machine.base.deinit();
    }

    /// A process of its own. `client` does not move while it is open.
    pub fn open(machine: *Machine, client: *Client, options: vl.Options) !void {
        client.* = .{
            .gpa = gpa,
            .process = try machine.disk.process(),
            .options = options,
            .hot_vectors = 4,
        };
        client.options.create = false;
        try client.open();
    }

    pub fn put(machine: *Machine, client: *Client, rows: *Contents, first: u32, count: u32) !void {
        for (first..first + count) |number| {
            const value: Value = .{ .seed = machine.value_next, .metadata_bytes = 100 };
            machine.value_next += 1;
            try client.put(@intCast(number), value);
            try rows.put(@intCast(number), value);
        }
    }

    /// A flush whose first sync fails, and brings nothing to the medium: the volatile commits are
    /// gone for everybody.
    pub fn loseVolatile(machine: *Machine, client: *Client) !void {
        try machine.disk.inject(.{ .call = .sync, .survivors = .none });
        try std.testing.expectError(error.InputOutput, client.database.?.flush());
        machine.disk.clearFaults();
    }

    /// As a device does that gives up what it could not write.
    pub fn emptyVolatileSlots(machine: *Machine) void {
        const zeros: [vl.format.slot_bytes]u8 = @splat(0);
        for (vl.format.durable_slot_count..vl.format.slot_count) |slot| {
            machine.disk.corrupt(vl.roots.slotOffset(@intCast(slot)), &zeros);
        }
    }

    /// As a write that stops in the middle does.
    pub fn tearVolatileSlots(machine: *Machine) void {
        for (vl.format.durable_slot_count..vl.format.slot_count) |slot| {
            machine.disk.corrupt(vl.roots.slotOffset(@intCast(slot)) + 100, "torn");
        }
    }

    /// Records that take pages of their own.
    pub fn putLong(
        machine: *Machine,
        client: *Client,
        rows: *Contents,
        first: u32,
        count: u32,
    ) !void {
        for (first..first + count) |number| {
            const value: Value = .{ .seed = machine.value_next, .metadata_bytes = 6000 };
            machine.value_next += 1;
            try client.put(@intCast(number), value);
            try rows.put(@intCast(number), value);
        }
    }

    pub fn slotBytes(machine: *const Machine, slot: usize) [vl.format.slot_bytes]u8 {
        const offset: usize = @intCast(vl.roots.slotOffset(@intCast(slot)));
        return machine.disk.bytes()[offset..][0..vl.format.slot_bytes].*;
    }
};

/// What a reader holds, and what it read first.
pub const Held = struct {
    snapshot: *vl.Snapshot,
    collection: *vl.Collection,
    digest: Digest,

    pub fn open(client: *Client) !Held {
        const snapshot = try client.database.?.openSnapshot();
        errdefer snapshot.close();
        const name = client_module.collection_name;
        const collection = try vl.Collection.open(.{ .snapshot = snapshot }, name, .{});
        errdefer collection.close();
        const digest = try client_module.readEverything(collection, .scan);
        return .{ .snapshot = snapshot, .collection = collection, .digest = digest };
    }

    pub fn close(held: Held) void {
        held.collection.close();
        held.snapshot.close();
    }

    pub fn expectSame(held: Held) !void {
        const found = try client_module.readEverything(held.collection, .every_way);
        try std.testing.expectEqual(held.digest, found);
    }
};

/// What a machine that loses power now has when it is back.
pub fn afterPowerLoss(machine: *Machine) !Digest {
    const left = try Disk.create(gpa, .{ .seed = 1 });
    defer left.destroy();
    var possible = try machine.disk.crashes(.{});
    defer possible.deinit();
    try left.become(machine.disk, possible.at(0).?, .new);
    var client: Client = .{
        .gpa = gpa,
        .process = try left.process(),
        .options = .{ .create = false },
    };
    try client.open();
    defer client.close();
    return client.readAll();
}

pub const volatile_options: vl.Options = .{ .durability = .none };

pub fn compactAll(client: *Client) !void {
    var done: f64 = 0;
    var total: f64 = 0;
    var is_first = true;
    const database = client.database.?;
    while (try vl.compactStep(database, is_first, 1 << 16, &done, &total)) is_first = false;
}
