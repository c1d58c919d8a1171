//! Searches that go on in steps while their database is written to: each gives what a search of its
//! snapshot gives, however it was shared among threads.

const std = @import("std");
const vl = @import("vectorlite");

const gpa = std.testing.allocator;
const Plan = @FieldType(vl.Collection.SearchOptions, "plan");
const dimension = 128;
const k = 12;
const query_count = 3;

const Fixture = struct {
    diagnostics: vl.Diagnostics = .{},
    allocator: std.mem.Allocator = gpa,
    system: vl.os.System = vl.backends.memory.system(),
    database: *vl.Database = undefined,
    collection: *vl.Collection = undefined,
    prng: std.Random.DefaultPrng,
    queries: [query_count * dimension]f32 = undefined,

    fn open(fixture: *Fixture) !void {
        fixture.database = try vl.Database.open(
            fixture.allocator,
            fixture.system,
            "docs.vl",
            .{ .durability = .none },
            &fixture.diagnostics,
        );
        errdefer fixture.database.close();
        const scope: vl.Scope = .{ .database = fixture.database };
        fixture.collection = try .open(scope, "docs", .{ .dimension = dimension });
        errdefer fixture.collection.close();
        try fixture.put(0, 2500);
        fixture.fill(&fixture.queries);
    }

    fn close(fixture: *Fixture) void {
        fixture.collection.close();
        fixture.database.close();
    }

    fn fill(fixture: *Fixture, vector: []f32) void {
        for (vector, 0..) |*value, i| {
            value.* = fixture.prng.random().floatNorm(f32) + @as(f32, if (i % 3 == 0) 1 else 0);
        }
    }

    fn put(fixture: *Fixture, first: u32, count: u32) !void {
        const vectors = try gpa.alloc(f32, count * dimension);
        defer gpa.free(vectors);
        fixture.fill(vectors);
        const keys = try gpa.alloc(u8, count * 8);
        defer gpa.free(keys);
        const lens = try gpa.alloc(u32, count);
        defer gpa.free(lens);
        @memset(lens, 8);
        for (0..count) |i| {
            _ = try std.fmt.bufPrint(keys[i * 8 ..][0..8], "{d:0>8}", .{first + i});
        }
        try fixture.collection.put(.{ .keys = keys, .key_lens = lens, .vectors = vectors });
    }

    fn delete(fixture: *Fixture, number: u32) !void {
        var key: [8]u8 = undefined;
        _ = try std.fmt.bufPrint(&key, "{d:0>8}", .{number});
        var deleted: u32 = 0;
        try fixture.collection.delete(&key, &.{8}, &deleted);
    }

    /// Any write, of which the newest state has its traces.
    fn disturb(fixture: *Fixture) !void {
        const random = fixture.prng.random();
        switch (random.uintLessThan(u8, 6)) {
            0 => try fixture.put(random.uintLessThan(u32, 3000), 40),
            1 => for (0..30) |_| try fixture.delete(random.uintLessThan(u32, 2500)),
            2 => {
                var done: f64 = 0;
                var total: f64 = 0;
                _ = try vl.compactStep(fixture.database, true, 1 << 20, &done, &total);
            },
            3 => {
                try fixture.database.begin();
                try fixture.put(5000, 20);
                try fixture.delete(7);
                if (!random.boolean()) return fixture.database.rollback();
                try fixture.database.commit();
            },
            4 => if (random.uintLessThan(u8, 8) == 0) try fixture.collection.clear(),
            else => {
                var hits: [k]vl.Hit = undefined;
                var counts: [1]u32 = undefined;
                const query = fixture.queries[0..dimension];
                try fixture.collection.search(query, k, null, &hits, &counts);
            },
        }
    }

    /// The keys that lie at the hits, and how close they are.
    fn answers(
        collection: *vl.Collection,
        hits: []const vl.Hit,
        counts: []const u32,
    ) ![]u8 {
        var text: std.Io.Writer.Allocating = .init(gpa);
        errdefer text.deinit();
        var entries: [1024]u8 = undefined;
        for (counts, 0..) |count, query| for (hits[query * k ..][0..count]) |hit| {
            var writer: vl.EntryWriter = .{
                .out = &entries,
                .vectors = &.{},
                .include_vectors = false,
            };
            try collection.fetch(&.{hit}, &writer);
            try text.writer.print("{d} {s} {x}\n", .{ query, entries[8..writer.used], hit.score });
        };
        return text.toOwnedSlice();
    }
};

/// One state and its collection.
const Past = struct {
    snapshot: *vl.Snapshot,
    collection: *vl.Collection,

    fn open(database: *vl.Database) !Past {
        const snapshot = try database.openSnapshot();
        errdefer snapshot.close();
        const scope: vl.Scope = .{ .snapshot = snapshot };
        return .{
            .snapshot = snapshot,
            .collection = try .open(scope, "docs", .{ .create = false }),
        };
    }

    fn close(past: Past) void {
        past.collection.close();
        past.snapshot.close();
    }
};

/// Steps of a job to its end, with a write between any two.
fn finish(fixture: *Fixture, job: *vl.Job, bytes_max: u32) !void {
    var done: f64 = 0;
    var total: f64 = 0;
    while (try job.step(bytes_max, &done, &total)) try fixture.disturb();
    try std.testing.expectEqual(false, try job.step(bytes_max, &done, &total));
}

test "steps between writes give what the snapshot had, with any number of threads" {
    for ([_]Plan{ .codes, .exact }) |plan| for ([_]?f32{ null, 0.3 }) |threshold| {
        var fixture: Fixture = .{ .prng = .init(@intFromEnum(plan)) };
        try fixture.open();
        defer fixture.close();
        for (0..6) |_| try fixture.disturb();
        try fixture.put(0, 2000);
        const past: Past = try .open(fixture.database);
        defer past.close();
        var options: vl.Collection.SearchOptions = .{
            .k = k,
            .threshold = threshold,
            .plan = plan,
        };
        var hits: [query_count * k]vl.Hit = undefined;
        var counts: [query_count]u32 = undefined;
        var report: vl.SearchReport = .{};
        const collection = past.collection;
        try collection.searchWith(&fixture.queries, options, &hits, &counts, &report);
        const expected = try Fixture.answers(collection, &hits, &counts);
        defer gpa.free(expected);
        try std.testing.expect(threshold != null or expected.len > query_count * k * 10);
        for ([_]u32{ 0, 1, 2, 5 }) |threads| for ([_]u32{ 1, 1 << 30 }) |bytes_max| {
            options.threads = threads;
            var queries = fixture.queries;
            const job = try vl.Job.openSearch(collection, &queries, options);
            defer job.close();
            // It has its own.
            @memset(&queries, std.math.nan(f32));
            try fixture.disturb();
            try std.testing.expectError(error.InvalidArgument, job.found());
            try finish(&fixture, job, bytes_max);
            const found = try job.found();
            const answer = try Fixture.answers(collection, found.hits, found.counts);
            defer gpa.free(answer);
            try std.testing.expectEqualStrings(expected, answer);
            if (threads > 0) try std.testing.expectEqual(threads, found.report.threads);
        };
    };
}

test "several searches of several states take turns" {
    var fixture: Fixture = .{ .prng = .init(3) };
    try fixture.open();
    defer fixture.close();
    const count = 4;
    var pasts: [count]Past = undefined;
    var jobs: [count]*vl.Job = undefined;
    var expected: [count][]u8 = undefined;
    for (&pasts, &jobs, &expected, 0..) |*past, *job, *text, i| {
        try fixture.put(0, 700);
        past.* = try .open(fixture.database);
        var hits: [query_count * k]vl.Hit = undefined;
        var counts: [query_count]u32 = undefined;
        try past.collection.search(&fixture.queries, k, null, &hits, &counts);
        text.* = try Fixture.answers(past.collection, &hits, &counts);
        job.* = try vl.Job.openSearch(past.collection, &fixture.queries, .{
            .k = k,
            .threads = @intCast(i),
        });
    }
    var has_more: [count]bool = @splat(true);
    while (std.mem.indexOfScalar(bool, &has_more, true) != null) {
        for (jobs, &has_more) |job, *more| if (more.*) {
            var done: f64 = 0;
            var total: f64 = 0;
            more.* = try job.step(1, &done, &total);
            try fixture.disturb();
        };
    }
    for (pasts, jobs, expected) |past, job, text| {
        const found = try job.found();
        const answer = try Fixture.answers(past.collection, found.hits, found.counts);
        defer gpa.free(answer);
        try std.testing.expectEqualStrings(text, answer);
        gpa.free(text);
        job.close();
        past.close();
    }
}

test "a job that is not done or of another kind says so" {
    var fixture: Fixture = .{ .prng = .init(4) };
    try fixture.open();
    defer fixture.close();
    const past: Past = try .open(fixture.database);
    defer past.close();
    const wrong = error.InvalidArgument;
    const options: vl.Collection.SearchOptions = .{ .k = k };
    const queries = &fixture.queries;
    try std.testing.expectError(wrong, vl.Job.openSearch(past.collection, queries, .{ .k = 0 }));
    const many: vl.Collection.SearchOptions = .{ .k = k, .threads = 65 };
    try std.testing.expectError(wrong, vl.Job.openSearch(past.collection, queries, many));
    const zeros: [dimension]f32 = @splat(0);
    const refused = vl.Job.openSearch(past.collection, &zeros, options);
    try std.testing.expectError(error.InvalidVector, refused);

    const verify = try vl.Job.open(fixture.database, .verify, "");
    defer verify.close();
    var done: f64 = 0;
    var total: f64 = 0;
    while (try verify.step(1 << 20, &done, &total)) {}
    try std.testing.expectError(wrong, verify.found());
    const begun = try vl.Job.openSearch(past.collection, queries, options);
    try std.testing.expect(try begun.step(1, &done, &total));
    begun.close();
}

test "a search of the newest state holds that state itself, and lets it go" {
    var fixture: Fixture = .{ .prng = .init(6) };
    try fixture.open();
    defer fixture.close();
    var hits: [query_count * k]vl.Hit = undefined;
    var counts: [query_count]u32 = undefined;
    try fixture.collection.search(&fixture.queries, k, null, &hits, &counts);
    const expected = try Fixture.answers(fixture.collection, &hits, &counts);
    defer gpa.free(expected);
    const job = try vl.Job.openSearch(fixture.collection, &fixture.queries, .{ .k = k });
    try std.testing.expectEqual(1, fixture.database.snapshot_count);
    try fixture.collection.clear();
    try finish(&fixture, job, 1);
    const found = try job.found();
    const answer = try Fixture.answers(found.collection, found.hits, found.counts);
    defer gpa.free(answer);
    try std.testing.expectEqualStrings(expected, answer);
    job.close();
    try std.testing.expectEqual(0, fixture.database.snapshot_count);

    _ = try vl.catalogue.drop(fixture.database, "docs");
    const dropped = vl.Job.openSearch(fixture.collection, &fixture.queries, .{ .k = k });
    try std.testing.expectError(error.Closed, dropped);
    try std.testing.expectEqual(0, fixture.database.snapshot_count);
}

test "a search that failed in a step fails in all later ones, and leaves nothing behind" {
    var scarce = std.testing.FailingAllocator.init(gpa, .{});
    var fixture: Fixture = .{ .prng = .init(5), .allocator = scarce.allocator() };
    try fixture.open();
    defer fixture.close();
    const past: Past = try .open(fixture.database);
    defer past.close();
    for (0..200) |number| {
        scarce.fail_index = scarce.alloc_index + number;
        defer scarce.fail_index = std.math.maxInt(usize);
        const of = if (number % 2 == 0) past.collection else fixture.collection;
        const job = vl.Job.openSearch(of, &fixture.queries, .{ .k = k }) catch |err| {
            try std.testing.expectEqual(error.OutOfMemory, err);
            continue;
        };
        defer job.close();
        var done: f64 = 0;
        var total: f64 = 0;
        while (job.step(1, &done, &total)) |has_more| {
            if (!has_more) return std.testing.expect(number > 5);
        } else |err| try std.testing.expectEqual(error.OutOfMemory, err);
        scarce.fail_index = std.math.maxInt(usize);
        try std.testing.expectError(error.OutOfMemory, job.step(1, &done, &total));
        fixture.diagnostics = .{};
        try std.testing.expectError(error.OutOfMemory, job.found());
        try std.testing.expect(fixture.diagnostics.message().len > 10);
    } else return error.NeverSucceeds;
}
