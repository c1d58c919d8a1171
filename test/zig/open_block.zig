//! Codes are those of their rows, whatever happens between the first row of a block and its last.
//! A wrong code would hide a row from searches, and nothing would say so: codes are made again here
//! from what the file has, and compared.

const std = @import("std");
const vl = @import("vectorlite");
const codes = vl.codes;
const format = vl.format;
const Disk = vl.backends.simulated.Disk;

const gpa = std.testing.allocator;
const block_rows = format.code_block_rows;

/// One connection, with a handle of the collection that has the most rows and of another one.
const Client = struct {
    diagnostics: vl.Diagnostics = .{},
    database: *vl.Database = undefined,
    collections: [2]*vl.Collection = undefined,

    fn open(client: *Client, disk: *Disk, dimension: u32) !void {
        const process = try disk.process();
        client.database = try vl.Database.open(
            gpa,
            process.system(),
            "codes.vl",
            .{ .durability = .none },
            &client.diagnostics,
        );
        client.collections[0] = try client.collection("docs", dimension, .cosine);
        client.collections[1] = try client.collection("other", dimension, .l2);
    }

    fn close(client: *Client) void {
        for (client.collections) |each| each.close();
        client.database.close();
    }

    fn collection(
        client: *Client,
        name: []const u8,
        dimension: u32,
        metric: vl.Metric,
    ) !*vl.Collection {
        const scope: vl.Scope = .{ .database = client.database };
        const options: vl.Collection.Options = .{ .dimension = dimension, .metric = metric };
        return vl.Collection.open(scope, name, options);
    }
};

/// Rows whose keys are the numbers from `first` on, and whose vectors `seed` decides.
fn put(collection: *vl.Collection, first: u32, count: u32, seed: u64) !void {
    var prng: std.Random.DefaultPrng = .init(seed);
    const vectors = try gpa.alloc(f32, count * collection.dimension());
    defer gpa.free(vectors);
    for (vectors) |*value| value.* = prng.random().floatNorm(f32) + 0.2;
    const keys = try gpa.alloc(u8, count * 8);
    defer gpa.free(keys);
    for (0..count) |i| _ = try std.fmt.bufPrint(keys[i * 8 ..][0..8], "{d:0>8}", .{first + i});
    const lens = try gpa.alloc(u32, count);
    defer gpa.free(lens);
    @memset(lens, 8);
    try collection.put(.{ .keys = keys, .key_lens = lens, .vectors = vectors });
}

/// Makes the codes of a collection again; gives how many rows have some.
fn expectCodes(collection: *vl.Collection) !u32 {
    const database = try collection.access.readable();
    const state = try collection.access.currentState();
    var arena_state: std.heap.ArenaAllocator = .init(gpa);
    defer arena_state.deinit();
    const arena = arena_state.allocator();
    var coded: u32 = 0;
    var id: u32 = 0;
    while (try state.nextSegment(gpa, collection.access.source(), id)) |segment| : (id += 1) {
        id = segment.disk.id;
        const length = segment.disk.code_dimension;
        if (segment.disk.codedRows() == 0) continue;
        const rotation: codes.Rotation = try .init(arena, length);
        const centre = try arena.alignedAlloc(u8, .@"4", format.codeCentreBytes(length));
        try read(database, segment.disk.codesOffset(collection.dimension()), centre);
        try std.testing.expect(codes.isWhole(state.seedOf(segment, 0), centre));
        const words = try arena.alloc(u64, codes.BlockBuilder.wordsFor(length));
        const blocks = try arena.alloc(u8, 2 * format.codeBlockBytes(length));
        const expected, const found = .{ blocks[0 .. blocks.len / 2], blocks[blocks.len / 2 ..] };
        const rotated = try arena.alloc(f32, length);
        for (0..segment.disk.codedRows() / block_rows) |block| {
            const first: u32 = @intCast(block * block_rows);
            var builder: codes.BlockBuilder = .{
                .metric = collection.metric(),
                .centre = std.mem.bytesAsSlice(f32, centre)[0..length],
                .words = words,
            };
            @memset(words, 0);
            for (0..block_rows) |i| {
                const row = first + @as(u32, @intCast(i));
                try rotateRow(collection, segment, row, rotation, rotated);
                builder.set(i, rotated);
            }
            builder.finish(state.seedOf(segment, first), expected);
            const offset = segment.disk.blockOffset(@intCast(block), collection.dimension());
            try read(database, offset, found);
            try std.testing.expectEqualSlices(u8, expected, found);
        }
        coded += segment.disk.codedRows();
    }
    return coded;
}

/// As the file has it.
fn rotateRow(
    collection: *vl.Collection,
    segment: anytype,
    row: u32,
    rotation: codes.Rotation,
    rotated: []f32,
) !void {
    const database = collection.access.database();
    const stride = format.vectorStride(collection.dimension());
    var entry: format.RowEntry = undefined;
    try read(database, segment.entryOffset(row, stride), std.mem.asBytes(&entry));
    const vector = try gpa.alloc(f32, collection.dimension());
    defer gpa.free(vector);
    try read(database, segment.vectorOffset(row, stride), std.mem.sliceAsBytes(vector));
    rotation.apply(vector, codes.scaleOf(collection.metric(), entry.inverse_norm), rotated);
}

fn read(database: *vl.Database, offset: u64, bytes: []u8) !void {
    try std.testing.expectEqual(bytes.len, try database.file.read(offset, bytes));
}

/// Two connections write to two collections, in transactions that often come to nothing.
const Writers = struct {
    clients: [2]Client = .{ .{}, .{} },
    prng: std.Random.DefaultPrng,
    seed_next: u64 = 1,

    fn step(writers: *Writers) !void {
        const random = writers.prng.random();
        const client = &writers.clients[random.uintLessThan(u8, 2)];
        const collection = client.collections[@intFromBool(random.uintLessThan(u8, 4) == 0)];
        switch (random.uintLessThan(u8, 20)) {
            0 => try collection.clear(),
            1...3 => for (0..random.uintLessThan(u8, 20)) |_| try writers.delete(collection),
            4...8 => {
                try client.database.begin();
                for (0..random.uintLessThan(u8, 3)) |_| try writers.putSome(collection);
                if (random.uintLessThan(u8, 8) == 0) try collection.clear();
                if (random.boolean()) try writers.putSome(collection);
                client.database.rollback();
            },
            9...10 => {
                try client.database.begin();
                for (0..3) |_| try writers.putSome(collection);
                try client.database.commit();
            },
            else => try writers.putSome(collection),
        }
    }

    fn putSome(writers: *Writers, collection: *vl.Collection) !void {
        const random = writers.prng.random();
        const count = 1 + random.uintLessThan(u32, if (random.uintLessThan(u8, 4) == 0) 80 else 9);
        try put(collection, random.uintLessThan(u32, 3000), count, writers.seed_next);
        writers.seed_next += 1;
    }

    fn delete(writers: *Writers, collection: *vl.Collection) !void {
        var key: [8]u8 = undefined;
        const number = writers.prng.random().uintLessThan(u32, 3000);
        _ = try std.fmt.bufPrint(&key, "{d:0>8}", .{number});
        var deleted: u32 = 0;
        try collection.delete(&key, &.{8}, &deleted);
    }
};

test "two writers, rollbacks and segments that come and go leave the codes of what is there" {
    for (0..6) |seed| {
        const disk = try Disk.create(gpa, .{ .seed = seed });
        defer disk.destroy();
        var writers: Writers = .{ .prng = .init(seed) };
        for (&writers.clients) |*client| try client.open(disk, 16);
        defer for (&writers.clients) |*client| client.close();
        var coded: u32 = 0;
        for (0..20) |_| {
            for (0..15) |_| try writers.step();
            for (writers.clients[0].collections) |collection| coded += try expectCodes(collection);
        }
        try std.testing.expect(coded > 500);
    }
}

test "rows that were taken back are not those that another connection wrote in their places" {
    const disk = try Disk.create(gpa, .{ .seed = 1 });
    defer disk.destroy();
    var clients: [2]Client = .{ .{}, .{} };
    for (&clients) |*client| try client.open(disk, 100);
    defer for (&clients) |*client| client.close();
    try clients[0].database.begin();
    try put(clients[0].collections[0], 0, 20, 1);
    clients[0].database.rollback();
    try put(clients[1].collections[0], 0, 20, 2);
    try put(clients[0].collections[0], 20, 12, 3);
    try std.testing.expectEqual(32, try expectCodes(clients[0].collections[0]));
}

test "a collection that was taken back had another metric than the one that got its id" {
    const disk = try Disk.create(gpa, .{ .seed = 2 });
    defer disk.destroy();
    var clients: [2]Client = .{ .{}, .{} };
    for (&clients) |*client| try client.open(disk, 100);
    defer for (&clients) |*client| client.close();
    try clients[0].database.begin();
    const lost = try clients[0].collection("lost", 100, .cosine);
    try put(lost, 0, 20, 1);
    lost.close();
    clients[0].database.rollback();
    // The same rows, in the same places of the file.
    try clients[1].database.begin();
    const same = try clients[1].collection("same", 100, .dot);
    defer same.close();
    try put(same, 0, 20, 1);
    try clients[1].database.commit();
    const seen = try clients[0].collection("same", 100, .dot);
    defer seen.close();
    try put(seen, 20, 12, 2);
    try std.testing.expectEqual(32, try expectCodes(seen));
}

test "the rows of a block are written one at a time, read again or not, and once in the middle" {
    // Of codes that are as long as the last no row is kept.
    for ([_]u32{ 100, 768, 4160 }) |dimension| {
        const disk = try Disk.create(gpa, .{ .seed = 3 });
        defer disk.destroy();
        var client: Client = .{};
        try client.open(disk, dimension);
        defer client.close();
        try put(client.collections[0], 0, 400, 1000);
        for (0..140) |i| {
            if (i == 50) {
                client.close();
                try client.open(disk, dimension);
            }
            try put(client.collections[0], @intCast(400 + i), 1, i);
        }
        try std.testing.expect(try expectCodes(client.collections[0]) >= 500);
    }
}

/// Which rows of the first block of the growing segment have a code.
fn codedRows(client: *Client) !std.StaticBitSet(block_rows) {
    const collection = client.collections[0];
    const segment = (try collection.access.currentState()).growing();
    var tail: format.CodeBlockTail = undefined;
    const end = segment.disk.blockOffset(0, collection.dimension()) +
        format.codeBlockBytes(segment.disk.code_dimension);
    try read(client.database, end - @sizeOf(format.CodeBlockTail), std.mem.asBytes(&tail));
    var coded: std.StaticBitSet(block_rows) = .initEmpty();
    for (tail.deviations, 0..) |deviation, row| if (std.math.isFinite(deviation)) coded.set(row);
    return coded;
}

test "a row that rots before its block is complete has a code of what was written, or none" {
    const Rot = struct { of_entry: bool, is_kept: bool, is_coded: bool };
    for ([_]Rot{
        .{ .of_entry = false, .is_kept = false, .is_coded = false },
        .{ .of_entry = true, .is_kept = false, .is_coded = false },
        .{ .of_entry = true, .is_kept = true, .is_coded = false },
        .{ .of_entry = false, .is_kept = true, .is_coded = true },
    }) |rot| {
        const disk = try Disk.create(gpa, .{ .seed = 4 });
        defer disk.destroy();
        var client: Client = .{};
        try client.open(disk, 100);
        defer client.close();
        try put(client.collections[0], 0, 20, 1);
        const segment = (try client.collections[0].access.currentState()).growing();
        const stride = format.vectorStride(100);
        const row = 7;
        const offset = if (rot.of_entry)
            segment.entryOffset(row, stride)
        else
            segment.vectorOffset(row, stride);
        if (!rot.is_kept) {
            client.close();
            try client.open(disk, 100);
        }
        disk.corrupt(offset, "rot");
        try put(client.collections[0], 20, 12, 2);
        const coded = try codedRows(&client);
        try std.testing.expectEqual(rot.is_coded, coded.isSet(row));
        try std.testing.expect(coded.count() >= block_rows - 1);
    }
}
