//! The whole boundary, called as a C program would: what it answers to good calls, to handles that
//! are stale, forged or of the wrong kind, and to arguments that nobody meant.

const std = @import("std");
const vectorlite = @import("vectorlite");
const boarder = @import("boarder.zig");
const boundary = @import("call.zig");
const collection = @import("collection.zig");
const database = @import("database.zig");
const functions = @import("functions.zig");
const handles = @import("handles.zig");
const job_functions = @import("job.zig");
const options = @import("options.zig");
const search_functions = @import("search.zig");
const signatures = @import("signature.zig");
const Status = @import("status.zig").Status;

const testing = std.testing;

fn expectStatus(expected: Status, returned: i32) !void {
    try testing.expectEqual(expected, @as(Status, @enumFromInt(returned)));
}

fn openMemory() !u32 {
    const block: options.DatabaseOptions = .{
        .flags = .{ .create = true },
        .durability = @intFromEnum(vectorlite.Durability.normal),
        .busy_timeout_ms = 0,
        .memory_budget_bytes = 1 << 24,
    };
    var handle: [1]u32 = .{0};
    const path = ":memory:";
    const bytes = std.mem.asBytes(&block);
    try expectStatus(.ok, database.open(path, path.len, bytes, bytes.len, &handle));
    return handle[0];
}

fn openCollection(scope: u32, dimension: u32) !u32 {
    const block: options.CollectionOptions = .{
        .flags = .{ .create = true },
        .dimension = dimension,
        .metric = options.CollectionOptions.metric_unspecified,
        .hot_vectors = 2,
    };
    var handle: [1]u32 = .{0};
    var info: [4]u32 = undefined;
    const bytes = std.mem.asBytes(&block);
    try expectStatus(.ok, collection.open(scope, "c", 1, bytes, bytes.len, "m", 1, &handle, &info));
    try testing.expectEqual([4]u32{ dimension, 0, 1, 0 }, info);
    return handle[0];
}

fn put(
    handle: u32,
    keys: [*]const u8,
    keys_len: u32,
    key_lens: [*]const u32,
    count: u32,
    vectors: [*]const f32,
    vectors_len: u32,
    metadata: [*]const u8,
    metadata_len: u32,
    metadata_lens: ?[*]const u32,
    expiries: ?[*]const f64,
) i32 {
    return collection.put(
        handle,
        keys,
        keys_len,
        key_lens,
        count,
        vectors,
        vectors_len,
        metadata,
        metadata_len,
        metadata_lens,
        expiries,
        null,
    );
}

fn putOne(handle: u32, key: []const u8, vector: []const f32) !void {
    const key_len: u32 = @intCast(key.len);
    const vector_len: u32 = @intCast(vector.len);
    const lens = [_]u32{key_len};
    try expectStatus(
        .ok,
        put(handle, key.ptr, key_len, &lens, 1, vector.ptr, vector_len, "", 0, null, null),
    );
}

const Boarded = struct {
    handle: u32,
    seat: u32,
    is_pilot: bool,
};

/// Opens a boarder with one seat.
fn boardOne(key: []const u8) !Boarded {
    var handle: [1]u32 = .{0};
    try expectStatus(.ok, boarder.open(&handle));
    var seat: [1]u32 = .{9};
    var is_pilot: [1]u8 = .{2};
    const len: u32 = @intCast(key.len);
    const lens = [_]u32{len};
    const board = boarder.board;
    try expectStatus(.ok, board(handle[0], "p", 1, key.ptr, len, &lens, 1, &seat, &is_pilot));
    return .{ .handle = handle[0], .seat = seat[0], .is_pilot = is_pilot[0] == 1 };
}

/// One live handle of every kind; all but the boarder are in one tree.
const Family = struct {
    database: u32,
    snapshot: u32,
    collection: u32,
    job: u32,
    boarder: u32,

    fn open() !Family {
        const root = try openMemory();
        const records = try openCollection(root, 2);
        try putOne(records, "a", &.{ 3, 4 });
        var snapshot: [1]u32 = .{0};
        try expectStatus(.ok, database.openSnapshot(root, &snapshot));
        var verify: [1]u32 = .{0};
        const kind = @intFromEnum(vectorlite.JobKind.verify);
        try expectStatus(.ok, job_functions.open(root, kind, "", 0, &verify));
        return .{
            .database = root,
            .snapshot = snapshot[0],
            .collection = records,
            .job = verify[0],
            .boarder = (try boardOne("a")).handle,
        };
    }

    fn close(family: Family) void {
        _ = database.close(family.database);
        _ = database.close(family.boarder);
    }

    fn of(family: Family, kind: handles.Kind) ?u32 {
        return switch (kind) {
            .database => family.database,
            .snapshot => family.snapshot,
            .collection => family.collection,
            .job => family.job,
            .boarder => family.boarder,
        };
    }
};

/// Which kinds the first parameter takes, told by its name; null where it is no handle.
fn kindsOf(comptime entry: anytype) ?std.EnumSet(handles.Kind) {
    const parameters = signatures.of(entry).parameters;
    if (parameters.len == 0) return null;
    const name = parameters[0].name;
    if (std.mem.eql(u8, name, "handle")) return .initFull();
    if (std.mem.eql(u8, name, "scope")) return .initMany(&.{ .database, .snapshot });
    return .initOne(std.meta.stringToEnum(handles.Kind, name) orelse return null);
}

/// The function with this handle, zeros for numbers, and buffers that no length says anything of.
fn callWithHandle(comptime entry: anytype, handle: u32) !Status {
    var arguments: std.meta.ArgsTuple(@TypeOf(entry[1].*)) = undefined;
    var scratch: [64]u8 align(8) = @splat(0);
    inline for ((comptime signatures.of(entry)).parameters, 0..) |parameter, i| {
        if (comptime parameter.kind.isBuffer()) {
            arguments[i] = @ptrCast(&scratch);
        } else {
            arguments[i] = 0;
        }
    }
    arguments[0] = handle;
    return @enumFromInt(@call(.auto, entry[1], arguments));
}

test "every function refuses every handle that is stale, forged or of another kind" {
    const live = try Family.open();
    const dead = try Family.open();
    try expectStatus(.ok, database.close(dead.snapshot));
    dead.close();
    inline for (functions.list) |entry| {
        if (comptime kindsOf(entry)) |kinds| {
            const next = live.database + (1 << 16);
            for ([_]u32{ 0, 1, 0xFFFF, 0xFFFF_FFFF, 1 << 16, next }) |forged| {
                try testing.expectEqual(.closed, try callWithHandle(entry, forged));
            }
            for (std.enums.values(handles.Kind)) |kind| {
                if (dead.of(kind)) |stale| {
                    try testing.expectEqual(.closed, try callWithHandle(entry, stale));
                }
                if (kinds.contains(kind)) continue;
                if (live.of(kind)) |wrong| {
                    try testing.expectEqual(.closed, try callWithHandle(entry, wrong));
                }
            }
        }
    }
    live.close();
}

test "closing a database closes what lies below it; closing twice is a status" {
    const family = try Family.open();
    const below_snapshot = try openCollection(family.snapshot, 2);
    try expectStatus(.ok, database.close(family.snapshot));
    try expectStatus(.closed, database.close(family.snapshot));
    try expectStatus(.closed, collection.has(below_snapshot, "a", 1));
    try expectStatus(.ok, collection.has(family.collection, "a", 1));
    try expectStatus(.ok, database.close(family.database));
    try expectStatus(.closed, database.close(family.database));
    try expectStatus(.closed, collection.has(family.collection, "a", 1));
    try expectStatus(.ok, database.close(family.boarder));
}

test "a collection that is not there and not to be made is a miss, and no failure" {
    const family = try Family.open();
    defer family.close();
    var handle: [1]u32 = .{0};
    var info: [4]u32 = undefined;
    const unspecified = options.CollectionOptions.metric_unspecified;
    const block: options.CollectionOptions = .{
        .flags = .{},
        .dimension = 0,
        .metric = unspecified,
        .hot_vectors = 0,
    };
    const bytes = std.mem.asBytes(&block);
    for ([_]u32{ family.database, family.snapshot }) |scope| {
        const status = collection.open(scope, "x", 1, bytes, bytes.len, "", 0, &handle, &info);
        try expectStatus(.not_found, status);
    }
}

test "a failure leaves a sentence on its own thread" {
    const family = try Family.open();
    defer family.close();
    try expectStatus(.dimension, collection.get(family.collection, "a", 1, &[_]f32{}, 0));
    var out: [1024]u8 = undefined;
    var len: [1]u32 = .{0};
    try expectStatus(.ok, database.lastError(&out, out.len, &len));
    const message = out[0..len[0]];
    try testing.expect(std.mem.find(u8, message, "dimension 2") != null);

    try expectStatus(.buffer_too_small, database.lastError(&out, 3, &len));
    try testing.expectEqual(message.len, len[0]);

    const Other = struct {
        len: [1]u32 = .{9},

        fn run(other: *@This()) void {
            var own: [64]u8 = undefined;
            _ = database.lastError(&own, own.len, &other.len);
        }
    };
    var other: Other = .{};
    const thread: std.Thread = try .spawn(.{}, Other.run, .{&other});
    thread.join();
    try testing.expectEqual(0, other.len[0]);
}

test "lengths that disagree are refused before the engine sees them" {
    const family = try Family.open();
    defer family.close();
    const c = family.collection;
    var out: [8]f32 align(8) = undefined;
    const one = [_]u32{1};
    const wrapping = [_]u32{ 0xFFFF_FFFF, 2 };
    const v: [*]const f32 = &out;

    try expectStatus(.invalid_argument, put(c, "ab", 2, &one, 1, v, 2, "", 0, null, null));
    try expectStatus(.invalid_argument, put(c, "a", 1, &wrapping, 2, v, 4, "", 0, null, null));
    try expectStatus(.invalid_argument, put(c, "a", 1, &one, 1, v, 2, "x", 1, null, null));
    try expectStatus(.invalid_argument, put(c, "a", 1, &one, 1, v, 2, "x", 0, &one, null));
    try expectStatus(.dimension, put(c, "a", 1, &one, 1, v, 3, "", 0, null, null));
    for ([_]f64{ -1, 0.5, std.math.nan(f64), std.math.inf(f64), 1 << 54 }) |time| {
        try expectStatus(.invalid_argument, put(c, "a", 1, &one, 1, v, 2, "", 0, null, &.{time}));
    }
    try expectStatus(.dimension, collection.get(c, "a", 1, &out, 3));

    var found: [1]u8 = undefined;
    try expectStatus(.dimension, collection.getMany(c, "a", 1, &one, 1, &out, 8, &found));
    var deleted: [1]u32 = undefined;
    try expectStatus(.invalid_argument, collection.delete(c, "a", 1, &wrapping, 2, &deleted));

    const misaligned: [*]align(1) f32 = @ptrCast(@as([*]u8, @ptrCast(&out)) + 1);
    try expectStatus(.invalid_argument, collection.get(c, "a", 1, misaligned, 2));

    var hits: [64]u8 align(4) = undefined;
    var counts: [2]u32 = undefined;
    var report: [9]f64 = undefined;
    const none = std.math.nan(f64);
    const Case = struct { Status, u32, u32, f64, u32, u32, u32 };
    for ([_]Case{
        .{ .invalid_argument, 2, 0, none, 0, 0, 0 },
        .{ .invalid_argument, 2, 2, none, 0, 0, 64 },
        .{ .invalid_argument, 4, 0xFFFF_FFFF, none, 0, 0, 32 },
        .{ .invalid_argument, 2, 1, std.math.inf(f64), 0, 0, 16 },
        .{ .invalid_argument, 2, 1, none, 2, 0, 16 },
        .{ .invalid_argument, 2, 1, none, 0, 65, 16 },
        .{ .dimension, 3, 1, none, 0, 0, 16 },
        .{ .dimension, 0, 1, none, 0, 0, 0 },
    }) |case| {
        const status, const len, const k, const threshold, const plan, const threads, const room =
            case;
        const result = search_functions.search(
            c,
            v,
            len,
            k,
            threshold,
            plan,
            threads,
            "",
            0,
            &hits,
            room,
            &counts,
            &report,
        );
        try expectStatus(status, result);
    }
}

test "a job searches a snapshot in steps, and gives what a search gives" {
    const family = try Family.open();
    defer family.close();
    const past = try openCollection(family.snapshot, 2);
    try putOne(family.collection, "b", &.{ 4, 3 });
    const none = std.math.nan(f64);
    const query = [_]f32{ 4, 3 };
    var job: [1]u32 = .{0};
    const begin = search_functions.open;
    try expectStatus(.dimension, begin(past, &query, 1, 2, none, 1, 0, "", 0, &job));
    try expectStatus(.ok, begin(past, &query, 2, 2, none, 1, 0, "", 0, &job));
    defer _ = database.close(job[0]);

    var hits: [32]u8 align(4) = undefined;
    var counts: [1]u32 = .{9};
    var report: [9]f64 = undefined;
    const result = search_functions.result;
    try expectStatus(.invalid_argument, result(job[0], &hits, 32, &counts, 1, &report));
    var progress: [2]f64 = undefined;
    while (job_functions.step(job[0], 1, &progress) == @intFromEnum(Status.ok)) {}
    try expectStatus(.invalid_argument, result(job[0], &hits, 16, &counts, 1, &report));
    try expectStatus(.invalid_argument, result(job[0], &hits, 32, &counts, 0, &report));
    try expectStatus(.invalid_argument, result(family.job, &hits, 32, &counts, 1, &report));
    try testing.expectEqual(9, counts[0]);
    try expectStatus(.ok, result(job[0], &hits, 32, &counts, 1, &report));
    try testing.expectEqual(1, counts[0]);

    var expected: [32]u8 align(4) = undefined;
    const search = search_functions.search;
    try expectStatus(
        .ok,
        search(past, &query, 2, 2, none, 1, 0, "", 0, &expected, 32, &counts, &report),
    );
    try testing.expectEqualSlices(u8, expected[0..16], hits[0..16]);
    var entry: [64]u8 = undefined;
    const len = counts[0..1];
    var vector: [2]f32 = undefined;
    const fetch = search_functions.fetch;
    try expectStatus(.ok, fetch(job[0], &hits, 1, 1, &entry, 64, len, &vector, 2));
    try testing.expectEqualStrings("a", entry[8..len[0]]);
    try testing.expectEqual([2]f32{ 3, 4 }, vector);
    try expectStatus(.dimension, fetch(job[0], &hits, 1, 1, &entry, 64, len, &vector, 1));
    try expectStatus(.buffer_too_small, fetch(job[0], &hits, 1, 0, &entry, 3, len, &vector, 0));
    // The collection that it searches takes it along.
    try expectStatus(.ok, database.close(past));
    try expectStatus(.closed, result(job[0], &hits, 32, &counts, 1, &report));
}

test "a vector that one boarder brings is taken by the other, and lengths that disagree by nobody" {
    const pilot = try boardOne("k");
    defer _ = database.close(pilot.handle);
    const passenger = try boardOne("k");
    defer _ = database.close(passenger.handle);
    try testing.expect(pilot.is_pilot and !passenger.is_pilot);
    const take = boarder.take;
    const land = boarder.land;
    var out: [4]f32 = undefined;
    var answer: [3]u32 = .{ 9, 9, 9 };
    try expectStatus(.not_found, take(passenger.handle, &out, 4, &answer));
    const seats = [_]u32{ pilot.seat, pilot.seat };
    const vector = [_]f32{ 1, 2, 3 };
    try expectStatus(.invalid_argument, land(pilot.handle, &seats, 2, &vector, 3, 1));
    try expectStatus(.invalid_argument, land(passenger.handle, &seats, 1, &vector, 3, 1));
    try expectStatus(.invalid_argument, land(pilot.handle, &.{1}, 1, &vector, 3, 1));
    try expectStatus(.invalid_argument, land(pilot.handle, &seats, 0, &vector, 3, 1));
    try expectStatus(.invalid_argument, land(pilot.handle, &seats, 1, &vector, 0, 1));
    try expectStatus(.ok, land(pilot.handle, &seats, 1, &vector, 3, 1));
    try expectStatus(.buffer_too_small, take(passenger.handle, &out, 2, &answer));
    try testing.expectEqual(3, answer[1]);
    try expectStatus(.ok, take(passenger.handle, &out, 4, &answer));
    try testing.expectEqual([3]u32{ passenger.seat, 3, 1 }, answer);
    try testing.expectEqualSlices(f32, &vector, out[0..3]);
    try expectStatus(.not_found, take(passenger.handle, &out, 4, &answer));
    try expectStatus(.invalid_argument, boarder.leave(passenger.handle, &seats, 1));
}

test "a thread has seats for more calls than there are handles" {
    const first = try boardOne("a first one");
    defer _ = database.close(first.handle);
    for (0..1 << 16) |number| {
        const key = std.mem.asBytes(&number);
        var seat: [1]u32 = undefined;
        var is_pilot: [1]u8 = undefined;
        const lens = [_]u32{key.len};
        const board = boarder.board;
        const handle = first.handle;
        try expectStatus(.ok, board(handle, "n", 1, key, key.len, &lens, 1, &seat, &is_pilot));
        try testing.expectEqual(1, is_pilot[0]);
    }
}

test "what a thread was computing when it ended is computed by whoever comes next" {
    const Ended = struct {
        fn run() !void {
            boundary.thread = 4711;
            try testing.expect((try boardOne("of a thread")).is_pilot);
        }
    };
    const thread: std.Thread = try .spawn(.{}, Ended.run, .{});
    thread.join();
    const passenger = try boardOne("of a thread");
    defer _ = database.close(passenger.handle);
    try testing.expect(!passenger.is_pilot);
    boundary.closeAllOf(4711);
    var answer: [3]u32 = .{ 9, 9, 9 };
    try expectStatus(.ok, boarder.take(passenger.handle, &[_]f32{}, 0, &answer));
    try testing.expectEqual([3]u32{ passenger.seat, 0, 0 }, answer);
    const next = try boardOne("of a thread");
    defer _ = database.close(next.handle);
    try testing.expect(next.is_pilot);
}

/// One random call: every buffer has exactly the length that the other arguments claim, followed by
/// bytes that must stay as they are.
fn callAtRandom(comptime entry: anytype, random: std.Random, live: []const u32) !void {
    const guard_bytes = 32;
    const buffer_bytes_max = 8192;
    const signature = comptime signatures.of(entry);
    var arguments: std.meta.ArgsTuple(@TypeOf(entry[1].*)) = undefined;
    inline for (signature.parameters, 0..) |parameter, i| switch (parameter.kind) {
        .u32 => arguments[i] = if (i == 0 and comptime kindsOf(entry) != null)
            live[random.uintLessThan(usize, live.len)]
        else switch (random.uintLessThan(u8, 8)) {
            0 => random.int(u32),
            1 => 16 * random.uintLessThan(u32, 8),
            else => random.uintLessThan(u32, 5),
        },
        .f64 => arguments[i] = if (random.boolean()) std.math.nan(f64) else random.float(f64),
        .i32 => comptime unreachable,
        .bytes, .words, .floats, .doubles => {},
    };
    var buffers: [signature.parameters.len][buffer_bytes_max + guard_bytes]u8 align(8) = undefined;
    var sizes: [signature.parameters.len]usize = undefined;
    inline for (signature.parameters, 0..) |parameter, i| if (comptime parameter.kind.isBuffer()) {
        const element_bytes: u64 = switch (parameter.kind) {
            .bytes => 1,
            .words, .floats => 4,
            else => 8,
        };
        const size = signatures.evaluate(signature, parameter.length, arguments) *| element_bytes;
        if (size > buffer_bytes_max) return;
        sizes[i] = @intCast(size);
        const content = buffers[i][0..sizes[i]];
        random.bytes(content);
        if (random.boolean()) @memset(content, random.uintLessThan(u8, 3));
        @memset(buffers[i][sizes[i]..][0..guard_bytes], 0xEE);
        arguments[i] = if (parameter.optional and random.boolean())
            null
        else
            @ptrCast(&buffers[i]);
    };
    const status: Status = @enumFromInt(@call(.auto, entry[1], arguments));
    try testing.expect(status != .corrupt and status != .poisoned);
    inline for (signature.parameters, 0..) |parameter, i| if (comptime parameter.kind.isBuffer()) {
        const guard = buffers[i][sizes[i]..][0..guard_bytes];
        try testing.expect(std.mem.allEqual(u8, guard, 0xEE));
    };
}

test "arguments that nobody meant are a status, and nothing outside of a buffer is touched" {
    const makes_files = std.StaticStringMap(void).initComptime(.{
        .{"vl_database_open"},
        .{"vl_job_open"},
    });
    for (0..40) |seed| {
        var prng: std.Random.DefaultPrng = .init(seed);
        const random = prng.random();
        const family = try Family.open();
        const below = try openCollection(family.snapshot, 2);
        const live = [_]u32{
            family.database,
            family.snapshot,
            family.collection,
            below,
            family.boarder,
        };
        for (0..40) |_| {
            inline for (functions.list) |entry| {
                if (comptime makes_files.has(entry[0])) continue;
                if (comptime std.mem.eql(u8, entry[0], "vl_close")) continue;
                if (comptime std.mem.eql(u8, entry[0], "vl_abi_version")) continue;
                try callAtRandom(entry, random, &live);
            }
        }
        family.close();
    }
}

test "threads share a handle: calls wait for each other, and all of them outlive a close" {
    const Worker = struct {
        fn run(handle: u32, failed: *std.atomic.Value(u32)) void {
            var out: [2]f32 = undefined;
            while (true) {
                const status: Status = @enumFromInt(collection.get(handle, "a", 1, &out, 2));
                if (status == .closed) return;
                if (status != .ok or out[0] != 3 or out[1] != 4) _ = failed.fetchAdd(1, .monotonic);
            }
        }
    };
    for (0..8) |_| {
        const family = try Family.open();
        var failed: std.atomic.Value(u32) = .init(0);
        var threads: [3]std.Thread = undefined;
        for (&threads) |*thread| {
            thread.* = try .spawn(.{}, Worker.run, .{ family.collection, &failed });
        }
        for (0..100) |_| try putOne(family.collection, "a", &.{ 3, 4 });
        family.close();
        for (threads) |thread| thread.join();
        try testing.expectEqual(0, failed.load(.monotonic));
    }
}
