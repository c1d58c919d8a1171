//! The search by codes gives what the search of every row gives.

const std = @import("std");
const vl = @import("vectorlite");
const format = vl.format;

const gpa = std.testing.allocator;
const k = 10;

/// Clusters, so that some rows are near and most are not.
fn clustered(random: std.Random, centres: []const f32, vector: []f32) void {
    const count = centres.len / vector.len;
    const centre = centres[random.uintLessThan(usize, count) * vector.len ..][0..vector.len];
    for (vector, centre) |*value, middle| value.* = middle + 0.5 * random.floatNorm(f32);
}

const Fixture = struct {
    allocator: std.mem.Allocator = gpa,
    system: vl.os.System = vl.backends.memory.system(),
    diagnostics: vl.Diagnostics = .{},
    database: *vl.Database = undefined,
    collection: *vl.Collection = undefined,
    centres: []f32 = &.{},
    /// Of all that is stored, and of all that is searched for.
    row_scale: f32 = 1,
    query_scale: f32 = 1,
    /// These collections are small.
    plan: @FieldType(vl.Collection.SearchOptions, "plan") = .codes,
    /// Of the last search by codes.
    report: vl.SearchReport = .{},
    prng: std.Random.DefaultPrng,

    fn open(fixture: *Fixture, dimension: u32, metric: vl.Metric) !void {
        try fixture.connect(.{ .dimension = dimension, .metric = metric });
        fixture.centres = try gpa.alloc(f32, 40 * dimension);
        for (fixture.centres) |*value| value.* = fixture.prng.random().floatNorm(f32) + 0.3;
    }

    fn connect(fixture: *Fixture, options: vl.Collection.Options) !void {
        fixture.database = try vl.Database.open(
            fixture.allocator,
            fixture.system,
            "codes.vl",
            .{ .durability = .none },
            &fixture.diagnostics,
        );
        errdefer fixture.database.close();
        const scope: vl.Scope = .{ .database = fixture.database };
        fixture.collection = try vl.Collection.open(scope, "docs", options);
    }

    fn reopen(fixture: *Fixture) !void {
        fixture.collection.close();
        fixture.database.close();
        try fixture.connect(.{});
    }

    fn close(fixture: *Fixture) void {
        gpa.free(fixture.centres);
        fixture.collection.close();
        fixture.database.close();
    }

    fn put(fixture: *Fixture, first: u32, count: u32) !void {
        const dimension = fixture.collection.dimension();
        const vectors = try gpa.alloc(f32, count * dimension);
        defer gpa.free(vectors);
        const keys = try gpa.alloc(u8, count * 8);
        defer gpa.free(keys);
        const lens = try gpa.alloc(u32, count);
        defer gpa.free(lens);
        @memset(lens, 8);
        for (0..count) |i| {
            const vector = vectors[i * dimension ..][0..dimension];
            clustered(fixture.prng.random(), fixture.centres, vector);
            for (vector) |*value| value.* *= fixture.row_scale;
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

    /// How many hits of the exact search the other one misses.
    fn missed(fixture: *Fixture, queries: u32, threshold: ?f32) !u32 {
        const dimension = fixture.collection.dimension();
        const vectors = try gpa.alloc(f32, queries * dimension);
        defer gpa.free(vectors);
        for (0..queries) |i| {
            const vector = vectors[i * dimension ..][0..dimension];
            clustered(fixture.prng.random(), fixture.centres, vector);
            for (vector) |*value| value.* *= fixture.query_scale;
        }
        const hits = try gpa.alloc(vl.Hit, queries * k);
        defer gpa.free(hits);
        const expected = try gpa.alloc(vl.Hit, queries * k);
        defer gpa.free(expected);
        const counts = try gpa.alloc(u32, queries);
        defer gpa.free(counts);
        const expected_counts = try gpa.alloc(u32, queries);
        defer gpa.free(expected_counts);
        const collection = fixture.collection;
        var report: vl.SearchReport = .{};
        var options: vl.Collection.SearchOptions = .{
            .k = k,
            .threshold = threshold,
            .plan = .exact,
        };
        try collection.searchWith(vectors, options, expected, expected_counts, &report);
        try std.testing.expectEqual(0, report.codes_scanned + report.reranked);
        options.plan = fixture.plan;
        fixture.report = .{};
        try collection.searchWith(vectors, options, hits, counts, &fixture.report);
        var count: u32 = 0;
        for (0..queries) |i| {
            const wanted = expected[i * k ..][0..expected_counts[i]];
            const found = hits[i * k ..][0..counts[i]];
            var at: usize = 0;
            for (wanted) |hit| {
                if (at < found.len and std.meta.eql(hit, found[at])) at += 1 else count += 1;
            }
            // What is there instead of it is worse, never better.
            for (found) |hit| if (threshold == null) {
                const best = wanted[0].score;
                const is_l2 = collection.metric() == .l2;
                const is_better = if (is_l2) hit.score < best else hit.score > best;
                try std.testing.expect(!is_better);
            };
        }
        return count;
    }
};

test "the nearest rows are found by their codes, in every metric and with many dimensions or few" {
    for ([_]vl.Metric{ .cosine, .dot, .l2 }) |metric| for ([_]u32{ 100, 384, 1000 }) |dimension| {
        var fixture: Fixture = .{ .prng = .init(dimension) };
        try fixture.open(dimension, metric);
        defer fixture.close();
        try fixture.put(0, 700);
        for (0..50) |i| try fixture.put(@intCast(700 + i), 1);
        try fixture.put(750, 333);
        for (0..200) |i| try fixture.delete(@intCast(i * 3));
        try std.testing.expect(try fixture.missed(40, null) <= 1);
        // Few vectors, and many codes.
        const report = fixture.report;
        try std.testing.expect(report.codes_scanned > 40 * 800);
        try std.testing.expect(report.reranked > 0 and report.compared > 0);
        try std.testing.expect(report.reranked + report.compared < 40 * 500);
    };
}

test "a threshold that few rows reach is held by their codes, with no false hit and none missed" {
    var fixture: Fixture = .{ .prng = .init(7) };
    try fixture.open(384, .cosine);
    defer fixture.close();
    try fixture.put(0, 1500);
    for ([_]f32{ 0.5, 0.9, 0.999 }) |threshold| {
        try std.testing.expect(try fixture.missed(30, threshold) <= 1);
    }
    // Nothing is near, so hardly a vector is looked at.
    try std.testing.expect(fixture.report.reranked < 30 * 5);
}

test "damaged codes cost time, and no hit" {
    var fixture: Fixture = .{ .prng = .init(3) };
    try fixture.open(256, .cosine);
    defer fixture.close();
    try fixture.put(0, 1200);
    try std.testing.expectEqual(0, try fixture.missed(20, null));
    const compared = fixture.report.compared;
    const state = try fixture.collection.access.currentState();
    const file = fixture.database.file;
    var id: u32 = 0;
    var damaged: u32 = 0;
    while (try state.nextSegment(gpa, fixture.collection.access.source(), id)) |segment| {
        id = segment.disk.id + 1;
        segment.verified.blocks.unsetAll();
        segment.verified.forgetCopies(0);
        segment.verified.centre_id = 0;
        for (0..segment.disk.codedRows() / format.code_block_rows) |block| {
            if (block % 3 != 0) continue;
            // All of its rows are far away now.
            const start = segment.disk.blockOffset(@intCast(block), 256);
            const tail = start + format.codeBlockBytes(segment.disk.code_dimension) -
                @sizeOf(format.CodeBlockTail);
            try overwrite(file, tail, -1e6);
            damaged += 1;
        }
        // A centre is needed for all codes of its segment.
        if (id % 4 == 3) try overwrite(file, segment.disk.codesOffset(256), 1e6);
    }
    try std.testing.expect(damaged > 5);
    try std.testing.expectEqual(0, try fixture.missed(20, null));
    try std.testing.expect(fixture.report.compared >= compared + 20 * 32 * damaged);
}

fn overwrite(file: vl.os.File, offset: u64, value: f32) !void {
    const values: [format.code_block_rows]f32 = @splat(value);
    try file.write(offset, &.{std.mem.asBytes(&values)});
}

test "rows that were rolled back leave no codes behind for those written in their places" {
    var fixture: Fixture = .{ .prng = .init(21) };
    try fixture.open(256, .cosine);
    defer fixture.close();
    try fixture.put(0, 1000);
    try std.testing.expectEqual(0, try fixture.missed(10, null));
    for (0..5) |round| {
        try fixture.database.begin();
        try fixture.put(@intCast(2000 + round * 100), 100);
        _ = try fixture.missed(10, null);
        fixture.database.rollback();
        // Of other clusters, so that the codes of those before would rule them out.
        const random = fixture.prng.random();
        for (fixture.centres) |*value| value.* = random.floatNorm(f32) + 0.3;
        try fixture.put(@intCast(3000 + round * 100), 100);
        // Of 300; with the codes of the others a fifth of them.
        try std.testing.expect(try fixture.missed(30, null) <= 3);
    }
}

test "rows so short that the squares of their numbers are zeros are found by their codes" {
    var fixture: Fixture = .{ .prng = .init(41), .row_scale = 1e-24, .query_scale = 1e12 };
    try fixture.open(1024, .dot);
    defer fixture.close();
    try fixture.put(0, 3000);
    try std.testing.expect(try fixture.missed(40, null) <= 1);
    try std.testing.expect(fixture.report.codes_scanned > 40 * 2000);
}

test "rows that come ever closer to the query are all looked at, and none is lost" {
    const dimension = 128;
    const count = 6000;
    var fixture: Fixture = .{ .prng = .init(31) };
    try fixture.open(dimension, .l2);
    defer fixture.close();
    const random = fixture.prng.random();
    var query: [dimension]f32 = undefined;
    for (&query) |*value| value.* = random.floatNorm(f32);
    const vectors = try gpa.alloc(f32, count * dimension);
    defer gpa.free(vectors);
    const keys = try gpa.alloc(u8, count * 4);
    defer gpa.free(keys);
    const lens = try gpa.alloc(u32, count);
    defer gpa.free(lens);
    @memset(lens, 4);
    for (0..count) |i| {
        const away: f32 = @floatFromInt(count - i);
        for (vectors[i * dimension ..][0..dimension], query) |*value, wanted| {
            value.* = wanted + away * (1 + 0.1 * random.floatNorm(f32));
        }
        std.mem.writeInt(u32, keys[i * 4 ..][0..4], @intCast(i), .big);
    }
    try fixture.collection.put(.{ .keys = keys, .key_lens = lens, .vectors = vectors });
    for ([_]u32{ 1, 3 }) |threads| {
        var hits: [k]vl.Hit = undefined;
        var counts: [1]u32 = undefined;
        var report: vl.SearchReport = .{};
        try fixture.collection.searchWith(&query, .{
            .k = k,
            .plan = .codes,
            .threads = threads,
        }, &hits, &counts, &report);
        // The last rows, the nearest first; more than one step's worth was looked at.
        for (hits[1..], hits[0..9]) |further, nearer| {
            try std.testing.expect(further.score >= nearer.score);
        }
        try std.testing.expect(hits[9].score < 12 * @sqrt(1.2 * dimension));
        try std.testing.expect(report.reranked + report.compared > 600);
    }
}

test "rows beyond the numbers of codes are found among others that have codes" {
    var fixture: Fixture = .{ .prng = .init(12) };
    try fixture.open(128, .dot);
    defer fixture.close();
    try fixture.put(0, 800);
    // Not among the first rows of a segment, which make its centre.
    for (fixture.centres) |*value| value.* *= 1e19;
    try fixture.put(800, 7);
    for (fixture.centres) |*value| value.* /= 1e19;
    try fixture.put(807, 100);
    try std.testing.expectEqual(0, try fixture.missed(20, null));
    try std.testing.expect(fixture.report.codes_scanned > 20 * 500);
}

test "a search that runs out of memory says so, and the next one finds everything" {
    var scarce = std.testing.FailingAllocator.init(gpa, .{});
    var fixture: Fixture = .{ .prng = .init(5), .allocator = scarce.allocator() };
    try fixture.open(128, .cosine);
    defer fixture.close();
    try fixture.put(0, 700);
    for (0..100) |number| {
        scarce.fail_index = scarce.alloc_index + number;
        const result = fixture.missed(1, null);
        scarce.fail_index = std.math.maxInt(usize);
        if (result) |count| {
            try std.testing.expectEqual(0, count);
            try std.testing.expect(number > 0 and fixture.report.codes_scanned > 500);
            break;
        } else |err| try std.testing.expectEqual(error.OutOfMemory, err);
        try std.testing.expectEqual(0, try fixture.missed(1, null));
    } else return error.NeverSucceeds;
}

test "a device that does not give the codes fails the search, and not the next one" {
    const disk = try vl.backends.simulated.Disk.create(gpa, .{ .seed = 1 });
    defer disk.destroy();
    disk.has_maps = false;
    const process = try disk.process();
    var fixture: Fixture = .{ .prng = .init(6), .system = process.system() };
    try fixture.open(128, .cosine);
    defer fixture.close();
    try fixture.put(0, 700);
    try std.testing.expectEqual(0, try fixture.missed(3, null));
    for (0..200) |number| {
        const fired = disk.faults_fired;
        try disk.inject(.{ .call = .read, .after = number });
        const result = fixture.missed(1, null);
        const was_reached = disk.faults_fired > fired;
        disk.clearFaults();
        if (!was_reached) break;
        try std.testing.expectError(error.InputOutput, result);
    } else return error.NeverSucceeds;
    try std.testing.expectEqual(0, try fixture.missed(3, null));
}

test "a block whose first rows cannot be read is written, and its rows are found" {
    const disk = try vl.backends.simulated.Disk.create(gpa, .{ .seed = 2 });
    defer disk.destroy();
    const process = try disk.process();
    var fixture: Fixture = .{ .prng = .init(8), .system = process.system() };
    try fixture.open(64, .l2);
    defer fixture.close();
    try fixture.put(0, 500);
    try fixture.put(500, 20);
    // Every read of the next writes fails that may fail: those of the rows before them.
    const segment = (try fixture.collection.access.currentState()).growing();
    const stride = format.vectorStride(64);
    const row = segment.disk.rows - 1;
    const entry_at = segment.entryOffset(row, stride);
    disk.corrupt(entry_at, "rot");
    try fixture.put(520, 60);
    const state = try fixture.collection.access.currentState();
    const now = state.growing();
    try std.testing.expect(now.disk.id != segment.disk.id or now.disk.codedRows() > row);
    // The row is damaged, and who would have to look at it says so.
    try std.testing.expectError(error.Corrupt, fixture.missed(40, null));
}

test "a centre that is damaged fails no write, and the rows are found" {
    var fixture: Fixture = .{ .prng = .init(13) };
    try fixture.open(64, .l2);
    defer fixture.close();
    try fixture.put(0, 800);
    const state = try fixture.collection.access.currentState();
    const file = fixture.database.file;
    var id: u32 = 0;
    while (try state.nextSegment(gpa, fixture.collection.access.source(), id)) |segment| {
        id = segment.disk.id + 1;
        segment.verified.centre_id = 0;
        if (segment.disk.codedRows() > 0) {
            try overwrite(file, segment.disk.codesOffset(64), 1e6);
        }
    }
    // Into the segment that grows, and into those that come after it.
    for (0..40) |i| try fixture.put(@intCast(800 + i * 20), 20);
    try std.testing.expectEqual(0, try fixture.missed(20, null));
}

test "a device that does not give what codes are made from fails no write" {
    const disk = try vl.backends.simulated.Disk.create(gpa, .{ .seed = 3 });
    defer disk.destroy();
    disk.has_maps = false;
    const process = try disk.process();
    var fixture: Fixture = .{ .prng = .init(14), .system = process.system() };
    try fixture.open(64, .l2);
    defer fixture.close();
    try fixture.put(0, 700);
    try fixture.put(700, 5);
    var survived: u32 = 0;
    for (0..200) |number| {
        // Another process wrote what is there, so none of its rows are in memory.
        try fixture.reopen();
        const fired = disk.faults_fired;
        try disk.inject(.{ .call = .read, .after = number });
        const result = fixture.put(@intCast(1000 + number * 32), 32);
        const was_reached = disk.faults_fired > fired;
        disk.clearFaults();
        if (!was_reached) break;
        if (result) |_| {
            survived += 1;
        } else |err| try std.testing.expectEqual(error.InputOutput, err);
    } else return error.NeverSucceeds;
    // The entries and the vectors of the rows before, and the centre.
    try std.testing.expect(survived >= 3);
    try std.testing.expectEqual(0, try fixture.missed(20, null));
}

test "vectors that codes say nothing about are compared in order" {
    var fixture: Fixture = .{ .prng = .init(9) };
    try fixture.open(512, .dot);
    defer fixture.close();
    // All of them are as close as the others.
    @memset(fixture.centres, 0);
    try fixture.put(0, 6000);
    try std.testing.expect(try fixture.missed(10, null) <= 1);
    const report = fixture.report;
    try std.testing.expect(report.reranked + report.compared < 10 * 9000);
}

test "rows beyond what single precision can add up are found all the same" {
    var fixture: Fixture = .{ .prng = .init(11) };
    try fixture.open(128, .l2);
    defer fixture.close();
    for (fixture.centres, 0..) |*value, i| if (i % 3 == 0) {
        value.* *= 1e20;
    };
    try fixture.put(0, 800);
    try std.testing.expectEqual(0, try fixture.missed(20, null));
}
