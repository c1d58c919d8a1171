//! A file whose content is replaced again and again stays below twice its live size, and nobody has
//! to call anything for that: every pattern of writes has its bound, which is the same as in the
//! README.

const std = @import("std");
const vl = @import("vectorlite");
const gpa = std.testing.allocator;

const dimension = 64;
const key_bytes = 16;

const Pattern = struct {
    name: []const u8,
    durability: vl.Durability = .normal,
    rows: u32 = 20_000,
    metadata_bytes: u32 = 0,
    /// Rows of one transaction.
    batch: u32,
    is_random: bool = false,
    /// The old key goes in one transaction, a new one comes in the next.
    deletes: bool = false,
    /// Only the metadata is replaced.
    amends: bool = false,
    rounds: u32 = 4,
    /// Largest size of the file for one byte of live rows.
    bound: f64 = 2,
};

const patterns = [_]Pattern{
    .{ .name = "sets in order", .rows = 8000, .batch = 1, .rounds = 2 },
    .{ .name = "sets at random", .rows = 8000, .batch = 1, .is_random = true, .rounds = 2 },
    .{ .name = "durable batches of 1 %", .durability = .full, .batch = 200, .is_random = true },
    .{ .name = "batches of 1 %, in order", .batch = 200, .rounds = 100 },
    .{ .name = "batches of 1 %", .batch = 200, .is_random = true },
    .{ .name = "batches of 1 %, none", .durability = .none, .batch = 200, .is_random = true },
    .{ .name = "durable batches of 5 %", .durability = .full, .batch = 1000, .is_random = true },
    .{ .name = "batches of 5 %", .batch = 1000, .is_random = true },
    .{ .name = "durable batches of 10 %", .durability = .full, .batch = 2000, .is_random = true },
    .{ .name = "batches of 10 %", .batch = 2000, .is_random = true },
    .{ .name = "deletes and inserts", .batch = 200, .deletes = true, .is_random = true },
    .{
        .name = "large metadata",
        .batch = 50,
        .rows = 4000,
        .metadata_bytes = 2000,
        .is_random = true,
    },
    .{ .name = "metadata in order", .metadata_bytes = 60, .batch = 200, .amends = true },
    .{
        .name = "metadata at random",
        .metadata_bytes = 60,
        .batch = 200,
        .is_random = true,
        .amends = true,
        .rounds = 12,
        .bound = 2.2,
    },
    .{
        .name = "metadata of single rows",
        .rows = 8000,
        .metadata_bytes = 60,
        .batch = 1,
        .is_random = true,
        .amends = true,
        .rounds = 2,
        .bound = 2.2,
    },
    .{
        .name = "long metadata",
        .rows = 4000,
        .metadata_bytes = 2000,
        .batch = 50,
        .is_random = true,
        .amends = true,
    },
    .{ .name = "everything at once", .durability = .full, .batch = 20_000, .bound = 3 },
};

const Churn = struct {
    pattern: Pattern,
    database: *vl.Database,
    collection: *vl.Collection,
    prng: std.Random.DefaultPrng = .init(7),
    /// The name of each row: a key that was deleted comes back under another one.
    names: []u32,
    order: []u32,
    name_next: u32 = 0,
    largest: u64 = 0,
    calls: u64 = 0,

    fn start(churn: *Churn) !void {
        for (churn.names, churn.order, 0..) |*name, *place, i| {
            name.* = churn.newName();
            place.* = @intCast(i);
        }
        var first: u32 = 0;
        while (first < churn.pattern.rows) : (first += 1000) {
            try churn.put(churn.order[first..@min(first + 1000, churn.pattern.rows)]);
        }
    }

    fn newName(churn: *Churn) u32 {
        defer churn.name_next += 1;
        return churn.name_next;
    }

    fn round(churn: *Churn) !void {
        if (churn.pattern.is_random) churn.prng.random().shuffle(u32, churn.order);
        var first: u32 = 0;
        const batch = churn.pattern.batch;
        while (first < churn.pattern.rows) : (first += batch) {
            const places = churn.order[first..@min(first + batch, churn.pattern.rows)];
            if (churn.pattern.deletes) {
                try churn.delete(places);
                for (places) |place| churn.names[place] = churn.newName();
            }
            if (churn.pattern.amends) try churn.amend(places) else try churn.put(places);
            churn.calls += 1;
            const file_bytes = (try churn.database.file.stat()).length;
            churn.largest = @max(churn.largest, file_bytes);
        }
    }

    fn keysOf(churn: *Churn, places: []const u32, out: []u8) void {
        for (places, 0..) |place, i| {
            const text = out[i * key_bytes ..][0..key_bytes];
            // The buffer takes any number.
            _ = std.fmt.bufPrint(text, "{d:0>16}", .{churn.names[place]}) catch unreachable;
        }
    }

    fn put(churn: *Churn, places: []const u32) !void {
        const metadata_bytes = churn.pattern.metadata_bytes;
        const keys = try gpa.alloc(u8, places.len * key_bytes);
        defer gpa.free(keys);
        churn.keysOf(places, keys);
        const lens = try gpa.alloc(u32, places.len);
        defer gpa.free(lens);
        @memset(lens, key_bytes);
        const vectors = try gpa.alloc(f32, places.len * dimension);
        defer gpa.free(vectors);
        for (vectors, 0..) |*value, i| {
            value.* = @floatFromInt(1 + (places[i / dimension] + i) % 97);
        }
        const metadata = try gpa.alloc(u8, places.len * metadata_bytes);
        defer gpa.free(metadata);
        @memset(metadata, 'm');
        const metadata_lens = try gpa.alloc(u32, places.len);
        defer gpa.free(metadata_lens);
        @memset(metadata_lens, metadata_bytes);
        try churn.collection.put(.{
            .keys = keys,
            .key_lens = lens,
            .vectors = vectors,
            .metadata = metadata,
            .metadata_lens = metadata_lens,
        });
    }

    fn amend(churn: *Churn, places: []const u32) !void {
        const metadata = try gpa.alloc(u8, churn.pattern.metadata_bytes);
        defer gpa.free(metadata);
        try churn.database.begin();
        errdefer churn.database.rollback();
        for (places) |place| {
            @memset(metadata, @truncate(churn.calls + place));
            var key: [key_bytes]u8 = undefined;
            churn.keysOf(&.{place}, &key);
            try std.testing.expect(try churn.collection.setMetadata(&key, metadata));
        }
        try churn.database.commit();
    }

    fn delete(churn: *Churn, places: []const u32) !void {
        const keys = try gpa.alloc(u8, places.len * key_bytes);
        defer gpa.free(keys);
        churn.keysOf(places, keys);
        const lens = try gpa.alloc(u32, places.len);
        defer gpa.free(lens);
        @memset(lens, key_bytes);
        var deleted: u32 = 0;
        try churn.collection.delete(keys, lens, &deleted);
        try std.testing.expectEqual(@as(u32, @intCast(places.len)), deleted);
    }

    /// What a row takes: its vector, its entry, its code and its record, without any slack.
    fn liveBytes(churn: *const Churn) u64 {
        const record = @sizeOf(vl.format.Record) + key_bytes + churn.pattern.metadata_bytes;
        const entry = @sizeOf(vl.format.RowEntry);
        const index = 24;
        const code = vl.format.codeBlockBytes(2 * dimension) / vl.format.code_block_rows;
        const vector = vl.format.vectorStride(dimension);
        return churn.pattern.rows * (vector + entry + code + record + index);
    }
};

fn play(pattern: Pattern, path: []const u8) !void {
    var diagnostics: vl.Diagnostics = .{};
    const system = vl.backends.file.system();
    const options: vl.Options = .{ .durability = pattern.durability };
    const database = try vl.Database.open(gpa, system, path, options, &diagnostics);
    defer database.close();
    errdefer std.debug.print("{s}: {s}\n", .{ pattern.name, diagnostics.message() });
    const collection = try vl.Collection.open(
        .{ .database = database },
        "churn",
        .{ .dimension = dimension },
    );
    defer collection.close();
    const names = try gpa.alloc(u32, pattern.rows);
    defer gpa.free(names);
    const order = try gpa.alloc(u32, pattern.rows);
    defer gpa.free(order);
    var churn: Churn = .{
        .pattern = pattern,
        .database = database,
        .collection = collection,
        .names = names,
        .order = order,
    };
    try churn.start();
    const started = system.monotonicMs();
    for (0..pattern.rounds) |_| try churn.round();
    const micros = (system.monotonicMs() - started) * 1000 / churn.calls;
    const live: f64 = @floatFromInt(churn.liveBytes());
    const size = @as(f64, @floatFromInt(churn.largest)) / live;
    if (@import("builtin").mode == .ReleaseFast) std.debug.print(
        "{s: <28} {d:.2} times {d:.1} MB, {d} us a call\n",
        .{ pattern.name, size, live / 1e6, micros },
    );
    try std.testing.expectEqual(pattern.rows, (try collection.stats()).records);
    errdefer std.debug.print("{s}: {d:.2} times the live size\n", .{ pattern.name, size });
    if (size > pattern.bound) return error.TooLarge;
}

test "a file that is replaced again and again stays below twice its live size" {
    for (patterns) |pattern| {
        var tmp = std.testing.tmpDir(.{});
        defer tmp.cleanup();
        var buffer: [128]u8 = undefined;
        const path = try std.fmt.bufPrint(&buffer, ".zig-cache/tmp/{s}/churn.vl", .{tmp.sub_path});
        try play(pattern, path);
    }
}
