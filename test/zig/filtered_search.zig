//! A search with a filter finds the nearest of the rows that match, on every plan, whatever the
//! columns know of them; and counting, scanning and deleting by a filter meet the same rows.

const std = @import("std");
const vl = @import("vectorlite");

const gpa = std.testing.allocator;
const Writer = vl.metadata_writer.Writer;

/// What a row's metadata says, for a model that needs no engine.
const Doc = struct {
    lang: ?[]const u8,
    year: ?f64,
    /// Longer than columns keep, in some rows.
    note: ?[]const u8,
};

const languages = [_][]const u8{ "de", "en", "fr", "ja", "sw" };
const long_note = "a note that says more than columns keep " ** 8;

fn docOf(random: std.Random) Doc {
    return .{
        .lang = if (random.uintLessThan(u8, 10) == 0)
            null
        else
            languages[random.uintLessThan(usize, languages.len)],
        .year = if (random.uintLessThan(u8, 10) == 0)
            null
        else
            @floatFromInt(1900 + random.uintLessThan(u16, 200)),
        .note = switch (random.uintLessThan(u8, 20)) {
            0 => long_note,
            1 => "short",
            else => null,
        },
    };
}

const Question = struct {
    bytes: []const u8,
    model: *const fn (Doc) bool,
};

fn questions(arena: std.mem.Allocator) ![]const Question {
    const not_early = try leaf(arena, 21, "year", .{ .number = 2000 });
    const not: []const u8 = &.{ 1, 3 };
    const list = [_]Question{
        .{ .model = isGerman, .bytes = try leaf(arena, 17, "lang", .{ .text = "de" }) },
        .{ .model = isLate, .bytes = try leaf(arena, 19, "year", .{ .number = 2098 }) },
        .{ .model = isLong, .bytes = try leaf(arena, 17, "note", .{ .text = long_note }) },
        .{ .model = isNever, .bytes = try leaf(arena, 16, "none", .nothing) },
        .{
            .model = isNotEarly,
            .bytes = try std.mem.concat(arena, u8, &.{ not, not_early[1..] }),
        },
    };
    return arena.dupe(Question, &list);
}

fn isGerman(doc: Doc) bool {
    return if (doc.lang) |lang| std.mem.eql(u8, lang, "de") else false;
}
fn isLate(doc: Doc) bool {
    return if (doc.year) |year| year >= 2098 else false;
}
fn isLong(doc: Doc) bool {
    return if (doc.note) |note| std.mem.eql(u8, note, long_note) else false;
}
fn isNever(_: Doc) bool {
    return false;
}
/// Of what says no year as well.
fn isNotEarly(doc: Doc) bool {
    return if (doc.year) |year| year > 2000 else true;
}

const Operand = union(enum) { nothing, text: []const u8, number: f64 };

fn leaf(arena: std.mem.Allocator, operator: u8, name: []const u8, operand: Operand) ![]const u8 {
    var writer: Writer = .{ .gpa = arena };
    try writer.byte(1);
    try writer.byte(operator);
    try writer.text(name);
    switch (operand) {
        .nothing => {},
        .text => |text| try writer.string(text),
        .number => |number| try writer.number(number),
    }
    return writer.bytes.items;
}

const Fixture = struct {
    arena: std.heap.ArenaAllocator = .init(gpa),
    prng: std.Random.DefaultPrng,
    dimension: u32,
    diagnostics: vl.Diagnostics = .{},
    database: *vl.Database = undefined,
    collection: *vl.Collection = undefined,
    /// By number of key; null where it was deleted.
    docs: std.ArrayList(?Doc) = .empty,
    vectors: std.ArrayList([]const f32) = .empty,

    fn open(fixture: *Fixture) !void {
        const system = vl.backends.memory.system();
        fixture.database = try vl.Database.open(
            gpa,
            system,
            "filtered.vl",
            .{ .durability = .none },
            &fixture.diagnostics,
        );
        fixture.collection = try vl.Collection.open(
            .{ .database = fixture.database },
            "docs",
            .{ .dimension = fixture.dimension },
        );
    }

    fn close(fixture: *Fixture) void {
        fixture.collection.close();
        fixture.database.close();
        fixture.arena.deinit();
    }

    /// Rows with the numbers from `first` on, in one batch.
    fn put(fixture: *Fixture, first: usize, count: usize) !void {
        const arena = fixture.arena.allocator();
        const random = fixture.prng.random();
        var keys: std.ArrayList(u8) = .empty;
        var lens: std.ArrayList(u32) = .empty;
        var vectors: std.ArrayList(f32) = .empty;
        var metadata: Writer = .{ .gpa = arena };
        var metadata_lens: std.ArrayList(u32) = .empty;
        for (first..first + count) |number| {
            const key = try std.fmt.allocPrint(arena, "{d:0>8}", .{number});
            try keys.appendSlice(arena, key);
            try lens.append(arena, @intCast(key.len));
            const vector = try arena.alloc(f32, fixture.dimension);
            for (vector) |*value| value.* = random.floatNorm(f32);
            try vectors.appendSlice(arena, vector);
            const doc = docOf(random);
            const start = metadata.bytes.items.len;
            if (doc.lang) |lang| {
                try metadata.text("lang");
                try metadata.string(lang);
            }
            if (doc.year) |year| {
                try metadata.text("year");
                try metadata.number(year);
            }
            if (doc.note) |note| {
                try metadata.text("note");
                try metadata.string(note);
            }
            try metadata_lens.append(arena, @intCast(metadata.bytes.items.len - start));
            while (fixture.docs.items.len <= number) {
                try fixture.docs.append(arena, null);
                try fixture.vectors.append(arena, &.{});
            }
            fixture.docs.items[number] = doc;
            fixture.vectors.items[number] = vector;
        }
        try fixture.collection.put(.{
            .keys = keys.items,
            .key_lens = lens.items,
            .vectors = vectors.items,
            .metadata = metadata.bytes.items,
            .metadata_lens = metadata_lens.items,
        });
    }

    fn delete(fixture: *Fixture, number: usize) !void {
        var key: [8]u8 = undefined;
        _ = try std.fmt.bufPrint(&key, "{d:0>8}", .{number});
        var deleted: u32 = 0;
        try fixture.collection.delete(&key, &.{8}, &deleted);
        fixture.docs.items[number] = null;
    }

    fn matching(fixture: *Fixture, question: Question) ![]const usize {
        const arena = fixture.arena.allocator();
        var list: std.ArrayList(usize) = .empty;
        for (fixture.docs.items, 0..) |maybe, number| if (maybe) |doc| {
            if (question.model(doc)) try list.append(arena, number);
        };
        return list.items;
    }

    /// The nearest of those rows, as cosine has it.
    fn nearest(fixture: *Fixture, numbers: []const usize, query: []const f32) ![]usize {
        const arena = fixture.arena.allocator();
        const order = try arena.dupe(usize, numbers);
        const Context = struct {
            vectors: []const []const f32,
            query: []const f32,
            fn closer(context: @This(), a: usize, b: usize) bool {
                return cosine(context.vectors[a], context.query) >
                    cosine(context.vectors[b], context.query);
            }
        };
        std.sort.pdq(usize, order, Context{
            .vectors = fixture.vectors.items,
            .query = query,
        }, Context.closer);
        return order[0..@min(k, order.len)];
    }

    fn keysOf(fixture: *Fixture, hits: []const vl.Hit) ![]usize {
        const arena = fixture.arena.allocator();
        const bytes = try arena.alloc(u8, 1 << 20);
        var writer: vl.EntryWriter = .{ .out = bytes, .include_vectors = false };
        try fixture.collection.fetch(hits, &writer);
        return readKeys(arena, bytes[0..writer.used]);
    }

    fn scanned(fixture: *Fixture, filter: []const u8) ![]usize {
        const arena = fixture.arena.allocator();
        var list: std.ArrayList(usize) = .empty;
        // So small that a scan takes many steps.
        const bytes = try arena.alloc(u8, 1024);
        var cursor: vl.Cursor = .{};
        while (true) {
            var writer: vl.EntryWriter = .{ .out = bytes, .include_vectors = false };
            if (!try fixture.collection.scanWhere(&cursor, filter, &writer)) break;
            try list.appendSlice(arena, try readKeys(arena, bytes[0..writer.used]));
        }
        std.sort.pdq(usize, list.items, {}, std.sort.asc(usize));
        return list.items;
    }

    fn expectAll(fixture: *Fixture) !void {
        const arena = fixture.arena.allocator();
        for (try questions(arena)) |question| {
            const expected = try fixture.matching(question);
            try std.testing.expectEqual(
                expected.len,
                try fixture.collection.countWhere(question.bytes),
            );
            try std.testing.expectEqualSlices(usize, expected, try fixture.scanned(question.bytes));
            try fixture.expectSearch(question, expected);
        }
    }

    const k = 10;

    fn expectSearch(fixture: *Fixture, question: Question, expected: []const usize) !void {
        const arena = fixture.arena.allocator();
        const queries = 4;
        const vectors = try arena.alloc(f32, queries * fixture.dimension);
        for (vectors) |*value| value.* = fixture.prng.random().floatNorm(f32);
        for ([_]vl.SearchPlan{ .exact, .codes, .fastest }) |plan| {
            const hits = try arena.alloc(vl.Hit, queries * k);
            const counts = try arena.alloc(u32, queries);
            var report: vl.SearchReport = .{};
            try fixture.collection.searchWith(
                vectors,
                .{ .k = k, .plan = plan, .filter = question.bytes },
                hits,
                counts,
                &report,
            );
            try std.testing.expectEqual(expected.len, report.matched);
            for (counts, 0..) |count, i| {
                const query = vectors[i * fixture.dimension ..][0..fixture.dimension];
                const wanted = try fixture.nearest(expected, query);
                const found = try fixture.keysOf(hits[i * k ..][0..count]);
                try std.testing.expectEqualSlices(usize, wanted, found);
            }
        }
    }
};

fn cosine(a: []const f32, b: []const f32) f64 {
    var dot: f64 = 0;
    var square: f64 = 0;
    for (a, b) |x, y| {
        dot += @as(f64, x) * y;
        square += @as(f64, x) * x;
    }
    return dot / @sqrt(square);
}

fn readKeys(arena: std.mem.Allocator, bytes: []const u8) ![]usize {
    var list: std.ArrayList(usize) = .empty;
    var at: usize = 0;
    while (at < bytes.len) {
        const key_len = std.mem.readInt(u32, bytes[at..][0..4], .little);
        const metadata_len = std.mem.readInt(u32, bytes[at + 4 ..][0..4], .little);
        try list.append(arena, try std.fmt.parseInt(usize, bytes[at + 8 ..][0..key_len], 10));
        at += 8 + key_len + metadata_len;
    }
    return list.items;
}

test "the nearest rows that match are found on every plan, and counted, and scanned" {
    for ([_]u32{ 16, 128 }) |dimension| {
        var fixture: Fixture = .{ .prng = .init(dimension), .dimension = dimension };
        try fixture.open();
        defer fixture.close();
        try fixture.put(0, 900);
        for (0..100) |i| try fixture.put(900 + i, 1);
        try fixture.put(1000, 4000);
        try fixture.expectAll();
        for (0..1500) |i| try fixture.delete(i * 3);
        // In other places, with other metadata.
        for (0..200) |i| try fixture.put(i * 7, 1);
        try fixture.expectAll();
    }
}

test "segments of few rows have columns of few rows" {
    var fixture: Fixture = .{ .prng = .init(9), .dimension = 1500 };
    try fixture.open();
    defer fixture.close();
    for (0..8) |i| try fixture.put(i * 50, 50);
    for (0..30) |i| try fixture.delete(i * 5);
    try fixture.expectAll();
}

test "a transaction filters what it has written itself, and a rollback takes it back" {
    var fixture: Fixture = .{ .prng = .init(5), .dimension = 32 };
    try fixture.open();
    defer fixture.close();
    try fixture.put(0, 1000);
    try fixture.database.begin();
    const before = try fixture.arena.allocator().dupe(?Doc, fixture.docs.items);
    const vectors = try fixture.arena.allocator().dupe([]const f32, fixture.vectors.items);
    for (0..300) |i| try fixture.put(i, 1);
    try fixture.put(1000, 700);
    try fixture.expectAll();
    fixture.database.rollback();
    fixture.docs.items.len = 1000;
    fixture.vectors.items.len = 1000;
    @memcpy(fixture.docs.items, before);
    @memcpy(fixture.vectors.items, vectors);
    try fixture.expectAll();
    // In the places of the rows that never were.
    for (0..50) |i| try fixture.put(1000 + i, 1);
    try fixture.put(1050, 700);
    try fixture.expectAll();
}

test "what matches is deleted, and nothing else" {
    var fixture: Fixture = .{ .prng = .init(6), .dimension = 32 };
    try fixture.open();
    defer fixture.close();
    try fixture.put(0, 3000);
    for (try questions(fixture.arena.allocator())) |question| {
        const expected = try fixture.matching(question);
        const deleted = try fixture.collection.deleteWhere(question.bytes);
        try std.testing.expectEqual(expected.len, deleted);
        for (expected) |number| fixture.docs.items[number] = null;
        try fixture.expectAll();
    }
    try fixture.put(0, 500);
    try fixture.expectAll();
}

test "a filter that is none is refused, and dooms no transaction" {
    var fixture: Fixture = .{ .prng = .init(1), .dimension = 16 };
    try fixture.open();
    defer fixture.close();
    try fixture.put(0, 10);
    try fixture.database.begin();
    try std.testing.expectError(error.InvalidArgument, fixture.collection.countWhere("x"));
    try std.testing.expectError(error.InvalidArgument, fixture.collection.deleteWhere("\x01"));
    try fixture.put(10, 1);
    try fixture.database.commit();
}
