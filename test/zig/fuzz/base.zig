//! The files that mutations start from, each with every state that it has ever been in, so that
//! what a damaged file gives can be compared with what it may give.

const std = @import("std");
const vl = @import("vectorlite");
const contents = @import("../crash/contents.zig");
const disk = @import("disk.zig");
const Contents = contents.Contents;
const Key = contents.Key;
const Machine = disk.Machine;
const Value = contents.Value;

const gpa = std.heap.smp_allocator;

pub const collection_name = "docs";
pub const dimension = contents.dimension;

/// What the collection `docs` held after one transaction.
pub const State = struct { transaction_id: u64, rows: Contents };

/// One value that a key of `docs` once had.
pub const Put = struct { number: u32, value: Value };

pub const Base = struct {
    bytes: []u8,
    states: std.ArrayList(State),
    puts: std.ArrayList(Put),
    /// More than any key that was ever used.
    keys_end: u32,

    pub fn deinit(base: *Base) void {
        gpa.free(base.bytes);
        for (base.states.items) |*state| state.rows.deinit();
        base.states.deinit(gpa);
        base.puts.deinit(gpa);
    }

    /// Null where no transaction of that number left a state.
    pub fn stateOf(base: *const Base, transaction_id: u64) ?*const Contents {
        for (base.states.items) |*state| {
            if (state.transaction_id == transaction_id) return &state.rows;
        }
        return null;
    }

    /// One collection of few rows: one bucket, one growing segment, one page of tombstones.
    pub fn small(machine: *Machine) !Base {
        var builder: Builder = undefined;
        try builder.open(machine);
        defer builder.close();
        try builder.put(1, 6, 5);
        try builder.put(2, 3, 0);
        try builder.delete(5);
        try builder.put(1, 1, 30);
        try builder.amend(2, 9);
        for (0..3) |_| try builder.put(3, 1, 8);
        return builder.finish();
    }

    /// The next puts fill the segment that grows; then dead rows are so many that every row which
    /// is buried moves others, and the first segment goes.
    pub fn worn(machine: *Machine) !Base {
        var builder: Builder = undefined;
        try builder.open(machine);
        defer builder.close();
        builder.database.session.?.durability = .full;
        try builder.put(0, 4, 8);
        for (0..60) |_| try builder.put(15, 1, 0);
        try builder.put(4, 11, 3);
        for (0..49) |_| try builder.put(15, 1, 5);
        return builder.finish();
    }

    /// What a file can have: an index of several levels, sealed segments, some of them with dead
    /// rows, places of dropped segments, other collections, one that was dropped, and volatile
    /// roots. Rows move with the next ones that are buried.
    pub fn large(machine: *Machine) !Base {
        var builder: Builder = undefined;
        try builder.open(machine);
        defer builder.close();
        try builder.addCollection("wide", 20, .cosine);
        try builder.addCollection("gone", 3, .dot);
        try builder.put(1, 40, 0);
        for (0..8) |round| try builder.put(@intCast(10 + 40 * round), 40, @intCast(round * 3));
        for (0..6) |i| try builder.delete(@intCast(7 + 31 * i));
        try builder.put(1, 64, 4);
        for (0..32) |i| try builder.put(@intCast(70 + 4 * i), 3, 4);
        if (!try vl.catalogue.drop(builder.database, "gone")) return error.NotDropped;
        try builder.note();
        builder.database.session.?.durability = .none;
        try builder.put(2, 2, 12);
        for (0..12) |i| try builder.amend(@intCast(5 + 23 * i), @intCast(3 * i + 1));
        try builder.put(3, 2, 0);
        return builder.finish();
    }
};

const Builder = struct {
    machine: *Machine,
    diagnostics: vl.Diagnostics,
    database: *vl.Database,
    collection: *vl.Collection,
    rows: Contents,
    states: std.ArrayList(State),
    puts: std.ArrayList(Put),
    value_next: u32,
    keys_end: u32,

    fn open(builder: *Builder, machine: *Machine) !void {
        machine.reset("");
        builder.* = .{
            .machine = machine,
            .diagnostics = .{},
            .database = undefined,
            .collection = undefined,
            .rows = .{ .gpa = gpa },
            .states = .empty,
            .puts = .empty,
            .value_next = 1,
            .keys_end = 0,
        };
        builder.database = try vl.Database.open(
            gpa,
            machine.system(),
            disk.path,
            .{},
            &builder.diagnostics,
        );
        try builder.note();
        builder.collection = try vl.Collection.open(
            .{ .database = builder.database },
            collection_name,
            .{ .dimension = dimension, .metric = .l2, .model = "model" },
        );
        try builder.note();
    }

    fn close(builder: *Builder) void {
        builder.collection.close();
        builder.database.close();
        builder.rows.deinit();
    }

    fn addCollection(builder: *Builder, name: []const u8, wide: u32, metric: vl.Metric) !void {
        const collection = try vl.Collection.open(
            .{ .database = builder.database },
            name,
            .{ .dimension = wide, .metric = metric },
        );
        defer collection.close();
        try builder.note();
        var vector: [64]f32 = undefined;
        for (&vector, 0..) |*number, i| number.* = @floatFromInt(i + 1);
        for ([_][]const u8{ "a", "b", "c" }) |key| {
            try collection.put(.{ .keys = key, .key_lens = &.{1}, .vectors = vector[0..wide] });
            try builder.note();
        }
    }

    fn put(builder: *Builder, first: u32, count: u32, metadata_bytes: u32) !void {
        for (first..first + count) |number| {
            const value: Value = .{ .seed = builder.value_next, .metadata_bytes = metadata_bytes };
            builder.value_next += 1;
            try putOne(builder.collection, @intCast(number), value);
            try builder.rows.put(@intCast(number), value);
            try builder.puts.append(gpa, .{ .number = @intCast(number), .value = value });
            try builder.note();
        }
        builder.keys_end = @max(builder.keys_end, first + count);
    }

    fn amend(builder: *Builder, number: u32, metadata_bytes: u32) !void {
        var value = builder.rows.rows.get(number).?;
        value.metadata_seed = builder.value_next;
        value.metadata_bytes = metadata_bytes;
        builder.value_next += 1;
        if (!try amendOne(builder.collection, number, value)) return error.NotThere;
        try builder.rows.put(number, value);
        try builder.puts.append(gpa, .{ .number = number, .value = value });
        try builder.note();
    }

    fn delete(builder: *Builder, number: u32) !void {
        if (!try deleteOne(builder.collection, number)) return error.NotThere;
        _ = builder.rows.rows.swapRemove(number);
        try builder.note();
    }

    fn note(builder: *Builder) !void {
        try builder.states.append(gpa, .{
            .transaction_id = builder.database.current.root.transaction_id,
            .rows = try builder.rows.clone(),
        });
    }

    fn finish(builder: *Builder) !Base {
        return .{
            .bytes = try gpa.dupe(u8, builder.machine.main.bytes()),
            .states = builder.states,
            .puts = builder.puts,
            .keys_end = builder.keys_end + 2,
        };
    }
};

pub fn putOne(collection: *vl.Collection, number: u32, value: Value) vl.Error!void {
    const key: Key = .init(number);
    const vector = value.vector();
    var buffer: [contents.metadata_bytes_max]u8 = undefined;
    try collection.put(.{
        .keys = key.text(),
        .key_lens = &.{@intCast(key.len)},
        .vectors = &vector,
        .metadata = value.metadata(&buffer),
        .metadata_lens = &.{value.metadata_bytes},
    });
}

/// Whether there is such a row.
pub fn amendOne(collection: *vl.Collection, number: u32, value: Value) vl.Error!bool {
    const key: Key = .init(number);
    var buffer: [contents.metadata_bytes_max]u8 = undefined;
    return collection.setMetadata(key.text(), value.metadata(&buffer));
}

pub fn deleteOne(collection: *vl.Collection, number: u32) vl.Error!bool {
    const key: Key = .init(number);
    var deleted: u32 = 0;
    try collection.delete(key.text(), &.{@intCast(key.len)}, &deleted);
    return deleted == 1;
}
