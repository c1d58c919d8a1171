//! Salvage: whatever is destroyed, every row that is undamaged comes back, and no wrong one. What
//! the undamaged rows are is asked from a reader that shares nothing with the engine.

const std = @import("std");
const vl = @import("vectorlite");
const scale = @import("crash_options").scale;
const contents = @import("crash/contents.zig");
const inspector_module = @import("crash/inspector.zig");
const Client = @import("crash/client.zig").Client;
const Contents = contents.Contents;
const Digest = contents.Digest;
const Inspector = inspector_module.Inspector;
const Place = inspector_module.Place;
const Value = contents.Value;
const format = vl.format;
const simulated = vl.backends.simulated;

const gpa = std.heap.smp_allocator;

/// A file with several segments, a divided index, overwritten and deleted rows, in many commits.
const Subject = struct {
    bytes: []u8,
    pristine: []u8,
    /// Of the newest state.
    places: std.ArrayList(Place) = .empty,
    /// Every row that was ever committed.
    history: std.AutoHashMapUnmanaged(u64, void) = .empty,
    collection: format.CollectionPage = undefined,
    collection_page: u32 = 0,

    fn init(seed: u64) !Subject {
        const disk = try simulated.Disk.create(gpa, .{ .seed = seed });
        defer disk.destroy();
        var client: Client = .{
            .gpa = gpa,
            .process = try disk.process(),
            .options = .{ .durability = .full },
        };
        try client.open();
        var subject: Subject = .{ .bytes = &.{}, .pristine = &.{} };
        var prng: std.Random.DefaultPrng = .init(seed);
        try subject.fill(&client, prng.random());
        client.close();
        subject.pristine = try gpa.dupe(u8, disk.bytes());
        subject.bytes = try gpa.dupe(u8, disk.bytes());
        const slots = inspector_module.readSlots(subject.bytes);
        const root = inspector_module.newest(&slots, null).?;
        var inspector: Inspector = .{
            .gpa = gpa,
            .bytes = subject.bytes,
            .hash_key = inspector_module.readHeader(subject.bytes).?.hash_key,
            .rows = &subject.places,
        };
        defer inspector.deinit();
        _ = try inspector.inspect(&root);
        subject.collection_page = root.catalogue.page;
        subject.collection = std.mem.bytesToValue(
            format.CollectionPage,
            subject.page(root.catalogue.page),
        );
        return subject;
    }

    fn fill(subject: *Subject, client: *Client, random: std.Random) !void {
        var next_value: u32 = 1;
        var numbers: [200]u32 = undefined;
        var values: [200]Value = undefined;
        for (0..24) |round| {
            const count = if (round % 6 == 0) 200 else 1 + random.uintLessThan(usize, 12);
            for (numbers[0..count], values[0..count]) |*number, *value| {
                number.* = random.uintLessThan(u32, 700);
                value.* = .{ .seed = next_value, .metadata_bytes = random.uintLessThan(u32, 40) };
                next_value += 1;
                try subject.remember(number.*, value.*);
            }
            try client.putMany(numbers[0..count], values[0..count]);
            for (0..random.uintLessThan(usize, 6)) |_| {
                _ = try client.delete(random.uintLessThan(u32, 700));
            }
        }
    }

    fn remember(subject: *Subject, number: u32, value: Value) !void {
        var metadata: [64]u8 = undefined;
        const vector = value.vector();
        var content: Digest = .{};
        const key: contents.Key = .init(number);
        content.add(key.text(), std.mem.asBytes(&vector), value.metadata(&metadata));
        try subject.history.put(gpa, content.sum, {});
    }

    fn deinit(subject: *Subject) void {
        gpa.free(subject.bytes);
        gpa.free(subject.pristine);
        subject.places.deinit(gpa);
        subject.history.deinit(gpa);
    }

    fn page(subject: *const Subject, number: u32) *format.Page {
        const start: usize = @intCast(format.pageOffset(number));
        return subject.bytes[start..][0..format.page_bytes];
    }

    fn repair(subject: *Subject) void {
        @memcpy(subject.bytes, subject.pristine);
    }

    fn destroy(subject: *Subject, number: u32, random: std.Random) void {
        random.bytes(subject.page(number));
    }

    fn isWhole(subject: *const Subject, place: *const Place) bool {
        for ([_]inspector_module.Range{ place.entry, place.vector, place.record }) |range| {
            const start: usize = @intCast(range.start);
            const end: usize = @intCast(range.end);
            if (end > subject.bytes.len) return false;
            const before = subject.pristine[start..end];
            if (!std.mem.eql(u8, before, subject.bytes[start..end])) return false;
        }
        return true;
    }
};

/// How sure the outcome must be.
const Expected = enum {
    /// The undamaged rows of the newest state and nothing else.
    exact,
    /// Old rows may come back whose end is written nowhere any more; they are counted.
    with_old_rows,
};

/// What was salvaged.
const Outcome = struct { recovered: u64, damaged: u64, uncertain: u64, old: u64 };

fn salvage(subject: *const Subject, expected: Expected) !Outcome {
    const source = try simulated.Disk.create(gpa, .{ .seed = 5, .content = subject.bytes });
    defer source.destroy();
    var diagnostics: vl.Diagnostics = .{};
    errdefer std.debug.print("{s}\n", .{diagnostics.message()});
    const memory = vl.backends.memory.system();
    const target = try vl.Database.open(gpa, memory, ":memory:", .{}, &diagnostics);
    defer target.close();
    target.system = (try source.process()).system();
    const job = try vl.Salvage.open(target, "crash.vl");
    defer job.close();
    var progress: [2]f64 = undefined;
    var last: f64 = 0;
    while (try job.step(1 << 16, &progress[0], &progress[1])) {
        try std.testing.expect(progress[0] >= last);
        last = progress[0];
    }
    try std.testing.expectEqualSlices(u8, subject.bytes, source.bytes());
    return compare(subject, target, job, expected);
}

fn compare(
    subject: *const Subject,
    target: *vl.Database,
    job: *const vl.Salvage,
    expected: Expected,
) !Outcome {
    const found = job.wreck.collections.values();
    var outcome: Outcome = .{ .recovered = 0, .damaged = 0, .uncertain = 0, .old = 0 };
    for (found) |collection| {
        outcome.recovered += collection.recovered;
        outcome.damaged += collection.damaged;
        outcome.uncertain += collection.uncertain;
    }
    var rows: std.AutoHashMapUnmanaged(u64, void) = .empty;
    if (found.len > 0) try read(target, found[0].name(), &rows);
    defer rows.deinit(gpa);
    try std.testing.expectEqual(rows.count(), outcome.recovered);
    var missing: u64 = 0;
    for (subject.places.items) |*place| {
        const is_back = rows.remove(place.content.sum);
        if (!is_back and subject.isWhole(place)) missing += 1;
    }
    try std.testing.expectEqual(0, missing);
    outcome.old = rows.count();
    if (expected == .exact) try std.testing.expectEqual(0, outcome.old);
    try std.testing.expect(outcome.old <= outcome.uncertain);
    try std.testing.expect(outcome.uncertain <= outcome.recovered);
    // What is not of the newest state was at least committed once.
    var left = rows.keyIterator();
    while (left.next()) |sum| try std.testing.expect(subject.history.contains(sum.*));
    return outcome;
}

fn read(
    target: *vl.Database,
    name: []const u8,
    rows: *std.AutoHashMapUnmanaged(u64, void),
) !void {
    const collection = try vl.Collection.open(.{ .database = target }, name, .{ .create = false });
    defer collection.close();
    var out: [contents.metadata_bytes_max]u8 = undefined;
    var vectors: [64 * contents.dimension]f32 = undefined;
    var cursor: vl.Cursor = .{};
    while (true) {
        var writer: vl.EntryWriter = .{ .out = &out, .vectors = &vectors, .include_vectors = true };
        if (!try collection.scan(&cursor, &writer)) break;
        var at: usize = 0;
        for (0..writer.count) |i| {
            const key_len = std.mem.readInt(u32, out[at..][0..4], .little);
            const metadata_len = std.mem.readInt(u32, out[at + 4 ..][0..4], .little);
            const key = out[at + 8 ..][0..key_len];
            const metadata = out[at + 8 + key_len ..][0..metadata_len];
            at += 8 + key_len + metadata_len;
            const vector = vectors[i * contents.dimension ..][0..contents.dimension];
            var content: Digest = .{};
            content.add(key, std.mem.sliceAsBytes(vector), metadata);
            try rows.put(gpa, content.sum, {});
        }
    }
}

test "nothing destroyed: exactly the newest state" {
    for (0..4 * scale) |seed| {
        var subject = try Subject.init(seed);
        defer subject.deinit();
        const outcome = try salvage(&subject, .exact);
        try std.testing.expectEqual(subject.places.items.len, outcome.recovered);
        try std.testing.expectEqual(0, outcome.damaged);
        try std.testing.expectEqual(0, outcome.uncertain);
    }
}

test "headers and slots destroyed" {
    for (0..4 * scale) |seed| {
        var subject = try Subject.init(seed);
        defer subject.deinit();
        var prng: std.Random.DefaultPrng = .init(seed);
        const random = prng.random();
        subject.destroy(format.header_page, random);
        _ = try salvage(&subject, .exact);
        subject.destroy(format.header_copy_page, random);
        _ = try salvage(&subject, .exact);
        const first = format.durable_slot_page;
        for (first..first + format.slot_count) |slot| {
            subject.destroy(@intCast(slot), random);
            _ = try salvage(&subject, .with_old_rows);
        }
        subject.repair();
        @memset(subject.bytes[0..@intCast(format.pageOffset(format.first_free_page))], 0);
        const outcome = try salvage(&subject, .with_old_rows);
        try std.testing.expectEqual(subject.places.items.len, outcome.recovered - outcome.old);
    }
}

test "each page destroyed, one at a time" {
    for (0..2 * scale) |seed| {
        var subject = try Subject.init(seed);
        defer subject.deinit();
        var prng: std.Random.DefaultPrng = .init(seed);
        const page_count: u32 = @intCast(subject.bytes.len / format.page_bytes);
        var rows_lost: u64 = 0;
        for (0..page_count) |number| {
            subject.destroy(@intCast(number), prng.random());
            defer subject.repair();
            errdefer std.debug.print("page {d}, seed {d}\n", .{ number, seed });
            // A slot may have held a newer commit; the collection's page says what is alive.
            const is_lead = number < format.first_free_page or number == subject.collection_page;
            const outcome = try salvage(&subject, if (is_lead) .with_old_rows else .exact);
            rows_lost += outcome.damaged;
        }
        try std.testing.expect(rows_lost > 0);
    }
}

test "random pages destroyed" {
    for (0..40 * scale) |seed| {
        var subject = try Subject.init(seed % 8);
        defer subject.deinit();
        errdefer std.debug.print("seed {d}\n", .{seed});
        var prng: std.Random.DefaultPrng = .init(seed);
        const random = prng.random();
        const page_count: u32 = @intCast(subject.bytes.len / format.page_bytes);
        const share = if (seed % 2 == 0) page_count / 100 + 1 else page_count / 10;
        for (0..share) |_| {
            // The identity of a collection is in its pages, of which there are a few.
            const number = random.uintLessThan(u32, page_count);
            const header: *align(1) format.PageHeader = @ptrCast(subject.page(number));
            if (header.type == .collection) continue;
            subject.destroy(number, random);
        }
        _ = try salvage(&subject, .with_old_rows);
    }
}

test "cut off at every page" {
    for (0..2 * scale) |seed| {
        var subject = try Subject.init(seed);
        defer subject.deinit();
        const whole = subject.bytes;
        defer subject.bytes = whole;
        var page: usize = whole.len / format.page_bytes;
        while (page > 0) : (page -= 1) {
            errdefer std.debug.print("page {d}, seed {d}\n", .{ page, seed });
            subject.bytes = whole[0 .. page * format.page_bytes];
            _ = try salvage(&subject, .with_old_rows);
        }
    }
}

test "rows of a collection that no page describes any more come back under another name" {
    var subject = try Subject.init(1);
    defer subject.deinit();
    var prng: std.Random.DefaultPrng = .init(1);
    for (0..subject.bytes.len / format.page_bytes) |number| {
        const header: *align(1) format.PageHeader = @ptrCast(subject.page(@intCast(number)));
        if (header.type != .collection) continue;
        subject.destroy(@intCast(number), prng.random());
    }
    const outcome = try salvage(&subject, .with_old_rows);
    try std.testing.expect(outcome.recovered >= subject.places.items.len);
}

test "what is no database is refused" {
    var prng: std.Random.DefaultPrng = .init(2);
    var noise: [20 * format.page_bytes]u8 = undefined;
    prng.random().bytes(&noise);
    for ([_][]const u8{ "", "text", &noise }) |bytes| {
        const source = try simulated.Disk.create(gpa, .{ .seed = 5, .content = bytes });
        defer source.destroy();
        var diagnostics: vl.Diagnostics = .{};
        const memory = vl.backends.memory.system();
        const target = try vl.Database.open(gpa, memory, ":memory:", .{}, &diagnostics);
        defer target.close();
        target.system = (try source.process()).system();
        const job = try vl.Salvage.open(target, "crash.vl");
        defer job.close();
        var progress: [2]f64 = undefined;
        const failed = while (true) {
            const has_more = job.step(1 << 20, &progress[0], &progress[1]) catch |err|
                break err == error.NotADatabase;
            if (!has_more) break false;
        };
        try std.testing.expect(failed);
    }
}

test "random damage of every kind" {
    for (0..60 * scale) |seed| {
        var subject = try Subject.init(seed % 4);
        defer subject.deinit();
        errdefer std.debug.print("seed {d}\n", .{seed});
        var prng: std.Random.DefaultPrng = .init(seed);
        const random = prng.random();
        const page_count: u32 = @intCast(subject.bytes.len / format.page_bytes);
        for (0..1 + random.uintLessThan(usize, 12)) |_| {
            const target = subject.page(random.uintLessThan(u32, page_count));
            switch (random.uintLessThan(u8, 4)) {
                0 => target[random.uintLessThan(usize, target.len)] ^= 1 << 3,
                1 => @memset(target[0 .. target.len / 2], 0),
                2 => {
                    const other = subject.page(random.uintLessThan(u32, page_count)).*;
                    target.* = other;
                },
                else => random.bytes(target[random.uintLessThan(usize, target.len)..]),
            }
        }
        var diagnostics: vl.Diagnostics = .{};
        const system = vl.backends.file.system();
        if (vl.Database.openBytes(gpa, system, subject.bytes, .{}, &diagnostics)) |database| {
            defer database.close();
            const job = try vl.Verify.open(database);
            defer job.close();
            var progress: [2]f64 = undefined;
            while (try job.step(1 << 16, &progress[0], &progress[1])) {}
            const classes = job.ledger.bytes();
            const total = classes.used + classes.free + classes.slack;
            try std.testing.expectEqual(subject.bytes.len, total);
        } else |_| {}
        _ = try salvage(&subject, .with_old_rows);
    }
}
