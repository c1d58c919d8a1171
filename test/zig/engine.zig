//! The engine through its public Zig API: what a collection promises, on memory and on a real file.

const std = @import("std");
const vl = @import("vectorlite");
const gpa = std.testing.allocator;

const dimension = 24;

fn vectorOf(seed: u64) [dimension]f32 {
    var prng = std.Random.DefaultPrng.init(seed);
    var vector: [dimension]f32 = undefined;
    for (&vector) |*value| value.* = prng.random().floatNorm(f32);
    return vector;
}

fn putOne(collection: *vl.Collection, key: []const u8, vector: []const f32) !void {
    const len = [_]u32{@intCast(key.len)};
    try collection.put(.{ .keys = key, .key_lens = &len, .vectors = vector });
}

fn deleteOne(collection: *vl.Collection, key: []const u8) !bool {
    const len = [_]u32{@intCast(key.len)};
    var deleted: u32 = 0;
    try collection.delete(key, &len, &deleted);
    return deleted == 1;
}

const Fixture = struct {
    diagnostics: vl.Diagnostics = .{},
    database: *vl.Database = undefined,
    collection: *vl.Collection = undefined,

    fn open(fixture: *Fixture, path: []const u8, options: vl.Options) !void {
        fixture.database = try vl.Database.open(
            gpa,
            vl.backends.file.system(),
            path,
            options,
            &fixture.diagnostics,
        );
        errdefer fixture.database.close();
        fixture.collection = try vl.Collection.open(
            .{ .database = fixture.database },
            "docs",
            .{ .dimension = dimension },
        );
    }

    fn close(fixture: *Fixture) void {
        fixture.collection.close();
        fixture.database.close();
    }
};

fn tmpPath(tmp: *std.testing.TmpDir, buffer: []u8) ![]const u8 {
    return std.fmt.bufPrint(buffer, ".zig-cache/tmp/{s}/test.vl", .{tmp.sub_path});
}

test "what was put is found again, also after reopening the file" {
    var tmp = std.testing.tmpDir(.{});
    defer tmp.cleanup();
    var buffer: [128]u8 = undefined;
    const path = try tmpPath(&tmp, &buffer);
    for ([_]vl.Durability{ .full, .normal, .none }) |durability| {
        var fixture: Fixture = .{};
        try fixture.open(path, .{ .durability = durability });
        var key_buffer: [32]u8 = undefined;
        for (0..700) |i| {
            const key = try std.fmt.bufPrint(&key_buffer, "key {d}", .{i});
            if (durability != .full) try putOne(
                fixture.collection,
                key,
                &vectorOf(i + @intFromEnum(durability)),
            );
            if (durability == .full and i < 60) try putOne(fixture.collection, key, &vectorOf(i));
        }
        fixture.close();
        try fixture.open(path, .{ .readonly = true });
        defer fixture.close();
        var out: [dimension]f32 = undefined;
        const count: usize = if (durability == .full) 60 else 700;
        for (0..count) |i| {
            const key = try std.fmt.bufPrint(&key_buffer, "key {d}", .{i});
            try std.testing.expect(try fixture.collection.get(key, &out));
            try std.testing.expectEqualSlices(f32, &vectorOf(i + @intFromEnum(durability)), &out);
        }
        try std.testing.expect(!try fixture.collection.get("key 1000", &out));
        try std.testing.expectEqual(count, (try fixture.collection.stats()).records);
    }
}

test "random operations agree with a map" {
    var tmp = std.testing.tmpDir(.{});
    defer tmp.cleanup();
    var buffer: [128]u8 = undefined;
    const file_path = try tmpPath(&tmp, &buffer);
    for ([_][]const u8{ ":memory:", file_path }) |path| {
        var prng = std.Random.DefaultPrng.init(0xC0FFEE);
        const random = prng.random();
        var model: std.AutoHashMapUnmanaged(u32, u64) = .empty;
        defer model.deinit(gpa);
        var fixture: Fixture = .{};
        try fixture.open(path, .{ .durability = .none });
        defer fixture.close();
        var key_buffer: [32]u8 = undefined;
        for (0..6000) |step| {
            const number = random.uintLessThan(u32, 1500);
            const key = try std.fmt.bufPrint(&key_buffer, "k{d}", .{number});
            switch (random.uintLessThan(u32, 10)) {
                0...5 => {
                    try putOne(fixture.collection, key, &vectorOf(step));
                    try model.put(gpa, number, step);
                },
                6...7 => {
                    const was_there = model.remove(number);
                    try std.testing.expectEqual(was_there, try deleteOne(fixture.collection, key));
                },
                else => {
                    var out: [dimension]f32 = undefined;
                    const found = try fixture.collection.get(key, &out);
                    if (model.get(number)) |seed| {
                        try std.testing.expect(found);
                        try std.testing.expectEqualSlices(f32, &vectorOf(seed), &out);
                    } else try std.testing.expect(!found);
                },
            }
        }
        try std.testing.expectEqual(
            @as(u64, model.count()),
            (try fixture.collection.stats()).records,
        );
    }
}

test "two keys with one hash are two keys" {
    // Found by walking the hash from many starts until two walks met (Pollard's rho).
    const secret: [16]u8 = .{ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
    const one = std.mem.asBytes(&std.mem.nativeToLittle(u64, 0xc5411f1965475126));
    const other = std.mem.asBytes(&std.mem.nativeToLittle(u64, 0x870a56c041d274f3));
    var fixture: Fixture = .{};
    try fixture.open(":memory:", .{});
    defer fixture.close();
    fixture.database.header.hash_key = secret;
    const scope: vl.Scope = .{ .database = fixture.database };
    const collection = try vl.Collection.open(scope, "docs", .{ .hot_vectors = 4 });
    defer collection.close();
    try std.testing.expectEqual(collection.access.keyHash(one), collection.access.keyHash(other));
    var out: [dimension]f32 = undefined;

    try putOne(collection, one, &vectorOf(1));
    try std.testing.expect(!try collection.get(other, &out));
    try std.testing.expect(!try deleteOne(collection, other));
    try putOne(collection, other, &vectorOf(2));
    try putOne(collection, other, &vectorOf(3));
    try std.testing.expect(try collection.get(one, &out));
    try std.testing.expectEqualSlices(f32, &vectorOf(1), &out);
    try std.testing.expect(try collection.get(other, &out));
    try std.testing.expectEqualSlices(f32, &vectorOf(3), &out);
    try std.testing.expect(try deleteOne(collection, one));
    try std.testing.expect(try collection.get(other, &out));
    try std.testing.expect(!try collection.get(one, &out));
}

test "a batch is all or nothing, and a rolled back transaction leaves no trace" {
    var fixture: Fixture = .{};
    try fixture.open(":memory:", .{});
    defer fixture.close();
    try putOne(fixture.collection, "a", &vectorOf(1));
    var vectors: [2 * dimension]f32 = @splat(1);
    vectors[dimension + 3] = std.math.nan(f32);
    try std.testing.expectError(error.InvalidVector, fixture.collection.put(.{
        .keys = "xy",
        .key_lens = &.{ 1, 1 },
        .vectors = &vectors,
    }));
    try std.testing.expect(!try fixture.collection.has("x"));
    try fixture.database.begin();
    try putOne(fixture.collection, "a", &vectorOf(2));
    try putOne(fixture.collection, "b", &vectorOf(3));
    var out: [dimension]f32 = undefined;
    try std.testing.expect(try fixture.collection.get("a", &out));
    try std.testing.expectEqualSlices(f32, &vectorOf(2), &out);
    fixture.database.rollback();
    try std.testing.expect(try fixture.collection.get("a", &out));
    try std.testing.expectEqualSlices(f32, &vectorOf(1), &out);
    try std.testing.expect(!try fixture.collection.has("b"));
    try fixture.collection.clear();
    try std.testing.expect(!try fixture.collection.has("a"));
    try putOne(fixture.collection, "a", &vectorOf(9));
    try std.testing.expect(try fixture.collection.get("a", &out));
    try std.testing.expectEqualSlices(f32, &vectorOf(9), &out);
}

test "who is beside a transaction sees, and makes durable, what was before it" {
    var tmp = std.testing.tmpDir(.{});
    defer tmp.cleanup();
    var buffer: [128]u8 = undefined;
    const path = try tmpPath(&tmp, &buffer);
    var fixture: Fixture = .{};
    try fixture.open(path, .{ .durability = .none });
    defer fixture.close();
    const database = fixture.database;
    const collection = fixture.collection;
    try putOne(collection, "a", &vectorOf(1));
    try database.beginAtOnce();
    try putOne(collection, "a", &vectorOf(2));
    var out: [dimension]f32 = undefined;
    for ([_]u64{ 2, 1, 2, 1 }, 0..) |seed, i| {
        database.setAside(i % 2 == 1);
        try std.testing.expect(try collection.get("a", &out));
        try std.testing.expectEqualSlices(f32, &vectorOf(seed), &out);
    }
    try std.testing.expectError(error.Locked, putOne(collection, "a", &vectorOf(3)));
    try std.testing.expectError(error.Locked, deleteOne(collection, "a"));
    try std.testing.expectError(error.Locked, database.begin());
    try std.testing.expectError(error.Locked, vl.catalogue.drop(database, "docs"));
    try database.flush();
    const before = try database.stats();
    try std.testing.expectEqual(before.transaction_id, before.durable_transaction_id);
    database.setAside(false);
    try std.testing.expectError(error.InvalidArgument, database.flush());
    try std.testing.expect(try collection.get("a", &out));
    try std.testing.expectEqualSlices(f32, &vectorOf(2), &out);
    database.setAside(true);
    try database.commit();
    // What was read beside it is let go, and the new state is kept.
    try std.testing.expectEqual(null, database.pinned);
    try std.testing.expect(try collection.get("a", &out));
    try std.testing.expectEqualSlices(f32, &vectorOf(2), &out);
    try std.testing.expectEqual(database.current.root.transaction_id, database.pinned.?);
    const after = try database.stats();
    try std.testing.expect(after.durable_transaction_id < after.transaction_id);
    // Without a transaction it means nothing.
    database.setAside(true);
    try putOne(collection, "a", &vectorOf(3));
}

test "a snapshot and another connection see whole states" {
    var tmp = std.testing.tmpDir(.{});
    defer tmp.cleanup();
    var buffer: [128]u8 = undefined;
    const path = try tmpPath(&tmp, &buffer);
    var writer: Fixture = .{};
    try writer.open(path, .{ .durability = .normal });
    defer writer.close();
    try putOne(writer.collection, "a", &vectorOf(1));
    var reader: Fixture = .{};
    try reader.open(path, .{ .readonly = true });
    defer reader.close();
    const snapshot = try reader.database.openSnapshot();
    const frozen = try vl.Collection.open(.{ .snapshot = snapshot }, "docs", .{});
    var key_buffer: [32]u8 = undefined;
    var out: [dimension]f32 = undefined;
    for (0..3000) |i| {
        const key = try std.fmt.bufPrint(&key_buffer, "key {d}", .{i % 400});
        try putOne(writer.collection, key, &vectorOf(i));
        try std.testing.expect(try reader.collection.get(key, &out));
        try std.testing.expectEqualSlices(f32, &vectorOf(i), &out);
        if (i % 500 == 0) {
            try std.testing.expect(!try frozen.has(key));
            try std.testing.expect(try frozen.get("a", &out));
            try std.testing.expectEqualSlices(f32, &vectorOf(1), &out);
        }
    }
    frozen.close();
    snapshot.close();
}

test "a renamed collection is the same one, and one that was rolled back is none" {
    var tmp = std.testing.tmpDir(.{});
    defer tmp.cleanup();
    var buffer: [128]u8 = undefined;
    const path = try tmpPath(&tmp, &buffer);
    var writer: Fixture = .{};
    try writer.open(path, .{});
    defer writer.close();
    var reader: Fixture = .{};
    try reader.open(path, .{ .readonly = true });
    defer reader.close();
    const database = writer.database;
    try putOne(writer.collection, "a", &vectorOf(1));
    try std.testing.expect(try reader.collection.has("a"));
    const Renamed = vl.catalogue.Renamed;
    try std.testing.expectEqual(Renamed.missing, try vl.catalogue.rename(database, "none", "b"));
    try std.testing.expectEqual(Renamed.done, try vl.catalogue.rename(database, "docs", "texts"));
    try std.testing.expectError(error.InvalidArgument, vl.catalogue.rename(database, "texts", ""));
    for ([_]*vl.Collection{ writer.collection, reader.collection }) |collection| {
        try std.testing.expectEqualStrings("texts", try collection.currentName());
        try std.testing.expect(try collection.has("a"));
    }
    // Another one takes the name, and nobody mistakes it.
    const scope: vl.Scope = .{ .database = database };
    const options: vl.Collection.Options = .{ .dimension = dimension };
    const other = try vl.Collection.open(scope, "docs", options);
    defer other.close();
    try std.testing.expectEqual(Renamed.taken, try vl.catalogue.rename(database, "docs", "texts"));
    try std.testing.expect(!try other.has("a") and try reader.collection.has("a"));
    // What was made in a transaction, under whatever name, goes with it; its id comes back.
    try database.begin();
    const made = try vl.Collection.open(scope, "made", options);
    defer made.close();
    try putOne(made, "a", &vectorOf(2));
    try std.testing.expectEqual(Renamed.done, try vl.catalogue.rename(database, "made", "next"));
    try std.testing.expectEqualStrings("next", try made.currentName());
    try std.testing.expectEqual(Renamed.done, try vl.catalogue.rename(database, "texts", "gone"));
    try std.testing.expect(try writer.collection.has("a"));
    database.rollback();
    try std.testing.expectEqualStrings("texts", try writer.collection.currentName());
    for ([_][]const u8{ "made", "next" }) |name| {
        const again = try vl.Collection.open(scope, name, options);
        defer again.close();
        try putOne(again, "b", &vectorOf(3));
        try std.testing.expectError(error.Closed, made.has("b"));
        try std.testing.expectEqual(true, try vl.catalogue.drop(database, name));
    }
    try std.testing.expect(try writer.collection.has("a"));
}

test "the search gives what sorting all rows gives, equal scores in key order" {
    for ([_]vl.Metric{ .cosine, .dot, .l2 }) |metric| {
        var diagnostics: vl.Diagnostics = .{};
        const database = try vl.Database.open(
            gpa,
            vl.backends.file.system(),
            ":memory:",
            .{},
            &diagnostics,
        );
        defer database.close();
        const collection = try vl.Collection.open(
            .{ .database = database },
            "docs",
            .{ .dimension = dimension, .metric = metric },
        );
        defer collection.close();
        var key_buffer: [32]u8 = undefined;
        // Every vector stands under three keys.
        for (0..900) |i| {
            const key = try std.fmt.bufPrint(&key_buffer, "key {d:0>4}", .{899 - i});
            try putOne(collection, key, &vectorOf((899 - i) / 3));
        }
        for (0..300) |i| if (i % 7 == 0) {
            _ = try deleteOne(
                collection,
                try std.fmt.bufPrint(&key_buffer, "key {d:0>4}", .{i * 3}),
            );
        };
        const query = vectorOf(100);
        const k = 10;
        var hits: [k]vl.Hit = undefined;
        var counts: [1]u32 = undefined;
        try collection.search(&query, k, null, &hits, &counts);
        try std.testing.expectEqual(@as(u32, k), counts[0]);
        var out: [4096]u8 = undefined;
        var entries: vl.EntryWriter = .{ .out = &out, .include_vectors = false };
        try collection.fetch(&hits, &entries);
        const first_key = out[8..][0..std.mem.readInt(u32, out[0..4], .little)];
        if (metric != .dot) try std.testing.expectEqualStrings("key 0300", first_key);
        for (hits[1..], hits[0 .. k - 1]) |next, previous| {
            if (metric == .l2) try std.testing.expect(
                next.score >= previous.score,
            ) else try std.testing.expect(next.score <= previous.score);
        }
        if (metric == .cosine) try std.testing.expectEqual(@as(f32, 1), hits[0].score);
        if (metric == .l2) try std.testing.expectEqual(@as(f32, 0), hits[0].score);
    }
}

test "a backup is the state at its start, whatever is written meanwhile" {
    var tmp = std.testing.tmpDir(.{});
    defer tmp.cleanup();
    var buffer: [128]u8 = undefined;
    const path = try tmpPath(&tmp, &buffer);
    var copy_buffer: [128]u8 = undefined;
    const copy_path = try std.fmt.bufPrint(&copy_buffer, "{s}.copy", .{path});
    var fixture: Fixture = .{};
    try fixture.open(path, .{ .durability = .normal });
    defer fixture.close();
    var key_buffer: [32]u8 = undefined;
    for (0..500) |i| try putOne(
        fixture.collection,
        try std.fmt.bufPrint(&key_buffer, "key {d}", .{i}),
        &vectorOf(i),
    );
    const backup = try vl.Backup.open(fixture.database, copy_path);
    var done: f64 = 0;
    var total: f64 = 0;
    var step: usize = 0;
    while (try backup.step(64 * 1024, &done, &total)) : (step += 1) {
        try putOne(
            fixture.collection,
            try std.fmt.bufPrint(&key_buffer, "key {d}", .{step}),
            &vectorOf(9999),
        );
    }
    try std.testing.expectEqual(total, done);
    backup.close();
    var copy: Fixture = .{};
    try copy.open(copy_path, .{ .readonly = true });
    defer copy.close();
    var out: [dimension]f32 = undefined;
    for (0..500) |i| {
        try std.testing.expect(
            try copy.collection.get(try std.fmt.bufPrint(&key_buffer, "key {d}", .{i}), &out),
        );
        try std.testing.expectEqualSlices(f32, &vectorOf(i), &out);
    }
}

test "a collection that is cleared more often than the file has pages opens again" {
    var tmp = std.testing.tmpDir(.{});
    defer tmp.cleanup();
    var buffer: [128]u8 = undefined;
    const path = try tmpPath(&tmp, &buffer);
    var fixture: Fixture = .{};
    try fixture.open(path, .{ .durability = .none });
    const rounds = 1500;
    for (0..rounds) |i| {
        try putOne(fixture.collection, "a", &vectorOf(i));
        try fixture.collection.clear();
        // Durable once in a while, so that space is used again.
        if (i % 4 == 0) try fixture.database.flush();
    }
    try putOne(fixture.collection, "a", &vectorOf(7));
    const pages = (try fixture.database.stats()).file_bytes / vl.format.page_bytes;
    try std.testing.expect(pages < rounds);
    fixture.close();
    try fixture.open(path, .{});
    defer fixture.close();
    var out: [dimension]f32 = undefined;
    try std.testing.expect(try fixture.collection.get("a", &out));
    try std.testing.expectEqualSlices(f32, &vectorOf(7), &out);
}

test "rows that went are counted when that is committed, and not when it is taken back" {
    var fixture: Fixture = .{};
    try fixture.open(":memory:", .{});
    defer fixture.close();
    const few = try vl.Collection.open(.{ .database = fixture.database }, "few", .{
        .dimension = dimension,
        .rows_max = 10,
    });
    defer few.close();
    for (0..10) |i| try putOne(few, &.{'a' + @as(u8, @intCast(i))}, &vectorOf(i));
    try fixture.database.begin();
    for (0..5) |i| try putOne(few, &.{'A' + @as(u8, @intCast(i))}, &vectorOf(i));
    try std.testing.expectEqual(0, (try few.stats()).evictions);
    fixture.database.rollback();
    try std.testing.expectEqual(0, (try few.stats()).evictions);
    try std.testing.expectEqual(10, (try few.stats()).records);
    for (0..5) |i| try putOne(few, &.{'A' + @as(u8, @intCast(i))}, &vectorOf(i));
    try std.testing.expectEqual(5, (try few.stats()).evictions);
}

test "rows that are stored together do not make room for each other while there are others" {
    var fixture: Fixture = .{};
    try fixture.open(":memory:", .{});
    defer fixture.close();
    const few = try vl.Collection.open(.{ .database = fixture.database }, "few", .{
        .dimension = dimension,
        .rows_max = 16,
    });
    defer few.close();
    for (0..16) |i| try putOne(few, &.{'a' + @as(u8, @intCast(i))}, &vectorOf(i));
    // All that were there are asked for often, which nobody has done for those that come.
    var out: [dimension]f32 = undefined;
    for (0..32) |i| _ = try few.get(&.{'a' + @as(u8, @intCast(i % 16))}, &out);
    const together: [16 * dimension]f32 = @splat(1);
    for ([_][]const u8{ "ABCD", "EFGHIJKLMNOP" }) |keys| {
        try few.put(.{
            .keys = keys,
            .key_lens = (&@as([16]u32, @splat(1)))[0..keys.len],
            .vectors = together[0 .. keys.len * dimension],
        });
        for (keys) |key| try std.testing.expect(try few.has(&.{key}));
        try std.testing.expectEqual(16, (try few.stats()).records);
    }
    // Of more than there may be, the last ones stay.
    const keys = "0123456789QRSTUVWXYZ";
    try few.put(.{
        .keys = keys,
        .key_lens = &@as([keys.len]u32, @splat(1)),
        .vectors = &@as([keys.len * dimension]f32, @splat(1)),
    });
    for (keys[keys.len - 8 ..]) |key| try std.testing.expect(try few.has(&.{key}));
    try std.testing.expectEqual(16, (try few.stats()).records);
}

test "a batch is stored as a whole, also where rows have just made room for a collection" {
    var fixture: Fixture = .{};
    try fixture.open(":memory:", .{ .file_bytes_max = 1 << 20 });
    defer fixture.close();
    const few = fixture.collection;
    for (0..8) |i| try putOne(few, &.{'a' + @as(u8, @intCast(i))}, &vectorOf(i));
    // There are hardly any rows, and some of them go all the same: as many as there are fit.
    try vl.room.makeFor(fixture.database, 1, dimension);
    try std.testing.expect((try few.stats()).records < 8);
    const keys = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    try few.put(.{
        .keys = keys,
        .key_lens = &@as([keys.len]u32, @splat(1)),
        .vectors = &@as([keys.len * dimension]f32, @splat(1)),
    });
    for (keys) |key| try std.testing.expect(try few.has(&.{key}));
}

fn putUntil(collection: *vl.Collection, key: []const u8, expiry_ms: i64) !void {
    try collection.put(.{
        .keys = key,
        .key_lens = &.{@intCast(key.len)},
        .vectors = &vectorOf(1),
        .expiries = &.{@floatFromInt(expiry_ms)},
    });
}

test "a collection whose last row with an expiry went is searched without asking for it" {
    var tmp = std.testing.tmpDir(.{});
    defer tmp.cleanup();
    var buffer: [128]u8 = undefined;
    const path = try tmpPath(&tmp, &buffer);
    var fixture: Fixture = .{};
    try fixture.open(path, .{});
    const later = fixture.database.system.wallMs() + 1_000_000;
    try putUntil(fixture.collection, "later", later);
    try putUntil(fixture.collection, "over", 1);
    try std.testing.expect((try fixture.collection.access.currentState()).has_expiry);
    try std.testing.expectEqual(1, try fixture.collection.sweep());
    try std.testing.expect((try fixture.collection.access.currentState()).has_expiry);
    // The other one is written again, to stay; what is over takes the mark with it.
    try putOne(fixture.collection, "later", &vectorOf(2));
    try putUntil(fixture.collection, "over", 1);
    try std.testing.expectEqual(1, try fixture.collection.sweep());
    try std.testing.expect(!(try fixture.collection.access.currentState()).has_expiry);
    fixture.close();
    try fixture.open(path, .{});
    defer fixture.close();
    try std.testing.expect(!(try fixture.collection.access.currentState()).has_expiry);
    try std.testing.expectEqual(1, (try fixture.collection.stats()).records);
    try putUntil(fixture.collection, "brief", later);
    try std.testing.expect((try fixture.collection.access.currentState()).has_expiry);
}
