//! Many keys of one call get what each of them would get alone, in whatever order they are asked
//! for and however their rows lie in the file.

const std = @import("std");
const vl = @import("vectorlite");
const Disk = vl.backends.simulated.Disk;

const gpa = std.testing.allocator;

const Client = struct {
    diagnostics: vl.Diagnostics = .{},
    database: *vl.Database = undefined,
    collection: *vl.Collection = undefined,

    /// Nothing is read through a map, as in a file that is larger than its budget.
    fn open(client: *Client, disk: *Disk, dimension: u32) !void {
        const process = try disk.process();
        client.database = try vl.Database.open(gpa, process.system(), "runs.vl", .{
            .durability = .none,
            .memory_budget_bytes = 0,
        }, &client.diagnostics);
        client.collection = try vl.Collection.open(.{ .database = client.database }, "docs", .{
            .dimension = dimension,
            .hot_vectors = 4,
        });
    }

    fn close(client: *Client) void {
        client.collection.close();
        client.database.close();
    }
};

/// Keys in the form in which they cross the boundary.
const Keys = struct {
    bytes: std.ArrayList(u8) = .empty,
    lens: std.ArrayList(u32) = .empty,

    fn deinit(keys: *Keys) void {
        keys.bytes.deinit(gpa);
        keys.lens.deinit(gpa);
    }

    /// Most are short; every thirteenth does not fit into the first read of its record.
    fn add(keys: *Keys, number: u32) !void {
        var buffer: [400]u8 = @splat('.');
        const text = try std.fmt.bufPrint(&buffer, "key {d}", .{number});
        const len = if (number % 13 == 0) buffer.len else text.len;
        try keys.bytes.appendSlice(gpa, buffer[0..len]);
        try keys.lens.append(gpa, @intCast(len));
    }
};

fn put(collection: *vl.Collection, first: u32, count: u32, random: std.Random) !void {
    var keys: Keys = .{};
    defer keys.deinit();
    const vectors = try gpa.alloc(f32, count * collection.dimension());
    defer gpa.free(vectors);
    for (vectors) |*value| value.* = random.floatNorm(f32) + 0.1;
    for (0..count) |i| try keys.add(first + @as(u32, @intCast(i)));
    try collection.put(.{
        .keys = keys.bytes.items,
        .key_lens = keys.lens.items,
        .vectors = vectors,
    });
}

/// Asks for all at once, and for each alone by a handle that has nothing in its cache.
fn expectSame(collection: *vl.Collection, alone: *vl.Collection, keys: *const Keys) !void {
    const dimension = collection.dimension();
    const count = keys.lens.items.len;
    const vectors = try gpa.alloc(f32, count * dimension);
    defer gpa.free(vectors);
    @memset(vectors, 77);
    const found = try gpa.alloc(u8, count);
    defer gpa.free(found);
    try collection.getMany(keys.bytes.items, keys.lens.items, vectors, found);
    const expected = try gpa.alloc(f32, dimension);
    defer gpa.free(expected);
    var start: usize = 0;
    for (keys.lens.items, 0..) |len, i| {
        @memset(expected, 0);
        const key = keys.bytes.items[start..][0..len];
        start += len;
        try std.testing.expectEqual(try alone.get(key, expected), found[i] == 1);
        try std.testing.expectEqualSlices(f32, expected, vectors[i * dimension ..][0..dimension]);
    }
}

/// Keys in runs of random lengths, with some that are not there.
fn choose(random: std.Random, keys_max: u32) !Keys {
    var keys: Keys = .{};
    errdefer keys.deinit();
    const wanted = random.intRangeAtMost(u32, 1, 600);
    while (keys.lens.items.len < wanted) {
        const first = random.uintLessThan(u32, keys_max + 20);
        const length = if (random.boolean()) 1 else random.intRangeAtMost(u32, 2, 200);
        for (0..length) |i| try keys.add(first + @as(u32, @intCast(i)));
    }
    return keys;
}

fn change(collection: *vl.Collection, random: std.Random, keys_max: u32) !void {
    const first = random.uintLessThan(u32, keys_max);
    var keys: Keys = .{};
    defer keys.deinit();
    try keys.add(first);
    var deleted: u32 = 0;
    switch (random.uintLessThan(u8, 4)) {
        0 => try put(collection, first, random.intRangeAtMost(u32, 1, 40), random),
        1 => try collection.delete(keys.bytes.items, keys.lens.items, &deleted),
        else => {
            var metadata: vl.metadata_writer.Writer = .{ .gpa = gpa };
            defer metadata.deinit();
            try metadata.text("n");
            try metadata.number(random.float(f64));
            _ = try collection.setMetadata(keys.bytes.items, metadata.bytes.items);
        },
    }
}

test "many keys get what each of them gets alone" {
    for ([_]u32{ 3, 16, 48, 1024 }) |dimension| for (0..4) |seed| {
        errdefer std.debug.print("dimension {d}, seed {d}\n", .{ dimension, seed });
        var prng: std.Random.DefaultPrng = .init(seed);
        const random = prng.random();
        const disk = try Disk.create(gpa, .{ .seed = seed });
        defer disk.destroy();
        var writer: Client = .{};
        try writer.open(disk, dimension);
        defer writer.close();
        var reader: Client = .{};
        try reader.open(disk, dimension);
        defer reader.close();
        const keys_max = 900;
        try put(writer.collection, 0, keys_max, random);
        for (0..12) |_| {
            for (0..random.uintLessThan(u32, 20)) |_| {
                try change(writer.collection, random, keys_max);
            }
            var keys = try choose(random, keys_max);
            defer keys.deinit();
            try expectSame(writer.collection, reader.collection, &keys);
            try expectSame(reader.collection, writer.collection, &keys);
        }
        try writer.database.begin();
        defer writer.database.rollback();
        try change(writer.collection, random, keys_max);
        var keys = try choose(random, keys_max);
        defer keys.deinit();
        try expectSame(writer.collection, writer.collection, &keys);
    };
}

test "a bit that was flipped in one of many rows is found by who asks for all of them" {
    const dimension = 16;
    var prng: std.Random.DefaultPrng = .init(5);
    const disk = try Disk.create(gpa, .{});
    defer disk.destroy();
    var client: Client = .{};
    try client.open(disk, dimension);
    try put(client.collection, 0, 40, prng.random());
    var keys: Keys = .{};
    defer keys.deinit();
    for (0..40) |number| try keys.add(@intCast(number));
    const place = (try vl.lookup.find(&client.collection.access, "key 20")).?;
    const reader = client.database.reader(client.database.scratch);
    const entry = try reader.entry(place.state, place.segment, place.row);
    const parts = [_]struct { offset: u64, bytes: u64 }{
        .{
            .offset = place.segment.vectorOffset(place.row, place.state.vectorStride()),
            .bytes = dimension * @sizeOf(f32),
        },
        .{
            .offset = place.segment.entryOffset(place.row, place.state.vectorStride()),
            .bytes = @sizeOf(vl.format.RowEntry),
        },
        .{ .offset = entry.record_offset, .bytes = @sizeOf(vl.format.Record) + "key 20".len },
    };
    client.close();
    var vectors: [40 * dimension]f32 = undefined;
    var found: [40]u8 = undefined;
    for (parts) |part| for (0..part.bytes * 8) |bit| {
        const offset = part.offset + bit / 8;
        const sound = disk.bytes()[offset];
        disk.corrupt(offset, &.{sound ^ @as(u8, 1) << @intCast(bit % 8)});
        defer disk.corrupt(offset, &.{sound});
        var other: Client = .{};
        try other.open(disk, dimension);
        defer other.close();
        const answer = other.collection.getMany(
            keys.bytes.items,
            keys.lens.items,
            &vectors,
            &found,
        );
        try std.testing.expectError(error.Corrupt, answer);
    };
}
