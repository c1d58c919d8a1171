//! Making a file smaller while others use it, told one story at a time, and as random programs
//! beside a plain model.

const std = @import("std");
const vl = @import("vectorlite");
const Client = @import("crash/client.zig").Client;
const Contents = @import("crash/contents.zig").Contents;
const Key = @import("crash/contents.zig").Key;
const Value = @import("crash/contents.zig").Value;
const client_module = @import("crash/client.zig");
const Disk = vl.backends.simulated.Disk;

const gpa = std.testing.allocator;

const Machine = struct {
    disk: *Disk,
    client: Client,
    rows: Contents = .{ .gpa = gpa },
    value_next: u32 = 1,

    /// `machine` does not move while it is open.
    fn init(machine: *Machine, options: vl.Options) !void {
        machine.* = .{ .disk = try Disk.create(gpa, .{}), .client = undefined };
        machine.client = try machine.newClient(options);
        try machine.client.open();
    }

    fn newClient(machine: *Machine, options: vl.Options) !Client {
        return .{
            .gpa = gpa,
            .process = try machine.disk.process(),
            .options = options,
            .hot_vectors = 8,
        };
    }

    fn deinit(machine: *Machine) void {
        machine.client.close();
        machine.rows.deinit();
        machine.disk.destroy();
    }

    fn putRange(machine: *Machine, first: u32, count: u32, metadata_bytes: u32) !void {
        const numbers = try gpa.alloc(u32, count);
        defer gpa.free(numbers);
        const values = try gpa.alloc(Value, count);
        defer gpa.free(values);
        for (numbers, values, first..) |*number, *value, key| {
            number.* = @intCast(key);
            value.* = .{ .seed = machine.value_next, .metadata_bytes = metadata_bytes };
            machine.value_next += 1;
            try machine.rows.put(number.*, value.*);
        }
        try machine.client.putMany(numbers, values);
    }

    fn deleteRange(machine: *Machine, first: u32, count: u32) !void {
        for (first..first + count) |key| {
            _ = machine.rows.rows.swapRemove(@intCast(key));
            _ = try machine.client.delete(@intCast(key));
        }
    }

    fn compact(machine: *Machine) !void {
        var is_first = true;
        var slices: u32 = 0;
        while (try machine.step(is_first)) : (slices += 1) {
            is_first = false;
            if (slices == 10_000) return error.Endless;
        }
    }

    fn step(machine: *Machine, is_first: bool) !bool {
        var done: f64 = 0;
        var total: f64 = 0;
        const database = machine.client.database.?;
        const more = try vl.compactStep(database, is_first, 64 * 1024, &done, &total);
        if (done > total) return error.WrongProgress;
        return more;
    }

    fn expectRows(machine: *Machine) !void {
        try std.testing.expectEqual(machine.rows.digest(), try machine.client.readAll());
    }
};

test "the file shrinks with what was deleted, and opens again" {
    for ([_]vl.Durability{ .full, .normal, .none }) |durability| {
        var machine: Machine = undefined;
        try machine.init(.{ .durability = durability });
        defer machine.deinit();
        errdefer std.debug.print("{s}\n", .{machine.client.diagnostics.message()});
        try machine.putRange(0, 4000, 300);
        const full_bytes = machine.disk.length;
        try machine.deleteRange(0, 1000);
        try machine.deleteRange(1200, 2700);
        try machine.compact();
        try machine.expectRows();
        const small_bytes = machine.disk.length;
        if (small_bytes * 4 > full_bytes) {
            std.debug.print("{d} of {d}\n", .{ small_bytes, full_bytes });
            return error.NotSmaller;
        }
        machine.client.close();
        try machine.client.open();
        try machine.expectRows();
        try machine.deleteRange(1000, 200);
        try machine.deleteRange(3900, 100);
        try machine.compact();
        try std.testing.expectEqual(0, (try machine.client.readAll()).rows);
        try std.testing.expect(machine.disk.length <= 24 * vl.format.page_bytes);
        try machine.putRange(0, 100, 10);
        try machine.expectRows();
    }
}

test "who has only just opened the file makes it as small as who has filled it" {
    for ([_]bool{ false, true }) |is_reopened| {
        var machine: Machine = undefined;
        try machine.init(.{});
        defer machine.deinit();
        try machine.putRange(0, 2000, 300);
        // The last commit: older roots still lead to all the rows.
        try machine.client.collection.?.clear();
        if (is_reopened) {
            machine.client.close();
            try machine.client.open();
        }
        try machine.compact();
        try std.testing.expect(machine.disk.length <= 24 * vl.format.page_bytes);
    }
}

test "a reader of an older state keeps it, and the rest of the file is for later" {
    var machine: Machine = undefined;
    try machine.init(.{});
    defer machine.deinit();
    try machine.putRange(0, 2000, 300);
    const full_bytes = machine.disk.length;
    var reader = try machine.newClient(.{ .readonly = true, .create = false });
    try reader.open();
    defer reader.close();
    const snapshot = try reader.database.?.openSnapshot();
    const name = client_module.collection_name;
    const past = try vl.Collection.open(.{ .snapshot = snapshot }, name, .{});
    const before = machine.rows.digest();
    try machine.deleteRange(0, 1900);
    try machine.compact();
    try std.testing.expect(machine.disk.length * 10 >= full_bytes * 9);
    try std.testing.expectEqual(before, try client_module.readEverything(past, .every_way));
    try machine.expectRows();
    past.close();
    snapshot.close();
    try std.testing.expectEqual(machine.rows.digest(), try reader.readAll());
    try machine.compact();
    try std.testing.expectEqual(machine.rows.digest(), try reader.readAll());
    try machine.compact();
    try std.testing.expect(machine.disk.length * 4 < full_bytes);
    try std.testing.expectEqual(machine.rows.digest(), try reader.readAll());
}

test "random programs with slices of compaction agree with a map" {
    for (0..40) |seed| {
        var prng = std.Random.DefaultPrng.init(seed);
        const random = prng.random();
        var machine: Machine = undefined;
        try machine.init(.{ .durability = random.enumValue(vl.Durability) });
        defer machine.deinit();
        const diagnostics = &machine.client.diagnostics;
        errdefer std.debug.print("seed {d}: {s}\n", .{ seed, diagnostics.message() });
        const keys = 1 + random.uintLessThan(u32, 1500);
        var other = try machine.newClient(.{ .readonly = true, .create = false });
        try other.open();
        defer other.close();
        for (0..80) |_| {
            const first = random.uintLessThan(u32, keys);
            const count = 1 + random.uintLessThan(u32, 1 + keys / 4);
            switch (random.uintLessThan(u32, 10)) {
                0...3 => try machine.putRange(first, count, random.uintLessThan(u32, 400)),
                4 => try machine.deleteRange(first, count),
                5 => try machine.compact(),
                6 => _ = try machine.step(random.boolean()),
                7 => {
                    machine.client.close();
                    try machine.client.open();
                },
                8 => try std.testing.expectEqual(machine.rows.digest(), try other.readAll()),
                else => {
                    try machine.client.database.?.begin();
                    const rows = try machine.rows.clone();
                    try machine.putRange(first, count, 30);
                    machine.client.database.?.rollback();
                    machine.rows.deinit();
                    machine.rows = rows;
                },
            }
        }
        try machine.expectRows();
        try std.testing.expectEqual(machine.rows.digest(), try other.readAll());
    }
}

test "rows that rotted stay where they are, and stop nobody who would move them" {
    var machine: Machine = undefined;
    try machine.init(.{ .durability = .none });
    defer machine.deinit();
    for (0..10) |i| try machine.putRange(@intCast(1 + i * 60), 60, 40);
    const collection = machine.client.collection.?;
    const database = machine.client.database.?;
    for (0..5) |i| {
        const key: Key = .init(@intCast(1 + i * 100));
        const place = (try vl.lookup.find(&collection.access, key.text())).?;
        const reader = database.reader(database.scratch);
        const entry = try reader.entry(place.state, place.segment, place.row);
        machine.disk.corrupt(entry.record_offset, "rot");
    }
    // Their segments are soon the emptiest.
    for (0..5) |i| try machine.deleteRange(@intCast(2 + i * 100), 99);
    try machine.putRange(1000, 100, 40);
    try std.testing.expectEqual(205, (try collection.stats()).records);
    for (0..5) |i| {
        const key: Key = .init(@intCast(1 + i * 100));
        try std.testing.expectError(error.Corrupt, collection.has(key.text()));
    }
}
