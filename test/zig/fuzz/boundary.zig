//! Programs of calls through the C functions, as another language makes them: good ones, compared
//! with a plain model, between calls with forged handles, numbers that nobody meant, and lengths
//! that disagree. A buffer always has the elements that its length says; more a caller cannot do
//! wrong in a way that a library could notice.

const std = @import("std");
const c_api = @import("c_api");
const contents = @import("../crash/contents.zig");
const Campaign = @import("campaign.zig").Campaign;
const Choices = @import("choices.zig").Choices;
const Key = contents.Key;
const Value = contents.Value;

const dimension = contents.dimension;
const keys_max = 16;

fn Function(comptime name: []const u8) type {
    for (c_api.list) |entry| {
        if (std.mem.eql(u8, entry[0], name)) return @TypeOf(entry[1]);
    }
    @compileError("no function " ++ name);
}

fn function(comptime name: []const u8) Function(name) {
    inline for (c_api.list) |entry| {
        if (comptime std.mem.eql(u8, entry[0], name)) return entry[1];
    }
    unreachable;
}

/// The statuses that are no failure; the numbers are frozen.
const ok = 0;
const not_found = 1;

const Rows = [keys_max]?Value;

const Program = struct {
    choices: *Choices,
    database: u32 = 0,
    collection: u32 = 0,
    rows: Rows = @splat(null),
    /// Of the running transaction: what is there if it is rolled back.
    before: ?Rows = null,
    snapshot: u32 = 0,
    frozen: u32 = 0,
    frozen_rows: Rows = @splat(null),
    value_next: u32 = 1,
    bytes: [4096]u8 align(8) = undefined,
    numbers: [256]f32 align(8) = undefined,
    lens: [keys_max]u32 align(8) = undefined,
    words: [8]u32 align(8) = undefined,

    fn run(program: *Program) !void {
        try program.open();
        defer _ = function("vl_close")(program.database);
        for (0..10 + program.choices.below(40)) |_| {
            if (program.choices.oneIn(3)) program.nonsense() else try program.step();
        }
    }

    fn expect(expected: i32, status: i32) !void {
        if (status != expected) {
            std.debug.print("expected status {d}, found {d}\n", .{ expected, status });
            return error.WrongStatus;
        }
    }

    fn open(program: *Program) !void {
        const path = ":memory:";
        const options = databaseOptions(1 << 1, 1);
        try expect(ok, function("vl_database_open")(
            path,
            path.len,
            &options,
            options.len,
            program.words[0..1],
        ));
        program.database = program.words[0];
        program.collection = try program.openDocs(program.database);
    }

    /// The block that the ABI version says: size, flags, durability, timeout, budget.
    fn databaseOptions(flags: u32, durability: u32) [40]u8 {
        var block: [40]u8 = @splat(0);
        for ([_]u32{ block.len, flags, durability, 0 }, 0..) |number, i| {
            std.mem.writeInt(u32, block[i * 4 ..][0..4], number, .little);
        }
        std.mem.writeInt(u64, block[16..24], @bitCast(@as(f64, 1 << 24)), .little);
        return block;
    }

    fn openDocs(program: *Program, scope: u32) !u32 {
        var options: [24]u8 = @splat(0);
        const metric_l2 = 2;
        for ([_]u32{ options.len, 1, dimension, metric_l2, 2 }, 0..) |number, i| {
            std.mem.writeInt(u32, options[i * 4 ..][0..4], number, .little);
        }
        try expect(ok, function("vl_collection_open")(
            scope,
            "docs",
            4,
            &options,
            options.len,
            "",
            0,
            program.words[0..1],
            program.words[1..5],
        ));
        return program.words[0];
    }

    fn step(program: *Program) !void {
        const choices = program.choices;
        switch (choices.below(17)) {
            0...3 => try program.put(),
            4 => try program.delete(),
            5, 6 => try program.get(program.collection, &program.rows),
            7 => try program.search(),
            8 => try program.scan(program.collection, &program.rows),
            9 => try program.transact(),
            10 => try program.takeSnapshot(),
            11 => if (program.frozen != 0) {
                try program.get(program.frozen, &program.frozen_rows);
                try program.scan(program.frozen, &program.frozen_rows);
            },
            12 => {
                const status = function("vl_database_flush")(program.database, 1);
                try expect(if (program.before == null) ok else -1, status);
            },
            13 => if (choices.oneIn(3)) {
                try expect(ok, function("vl_collection_clear")(program.collection));
                program.rows = @splat(null);
            },
            14 => try program.compact(),
            15 => if (choices.oneIn(3)) try program.verify(),
            16 => try program.searchInSteps(),
            else => unreachable,
        }
    }

    fn put(program: *Program) !void {
        const choices = program.choices;
        var keys: [keys_max * 16]u8 = undefined;
        var metadata: [keys_max * 40]u8 = undefined;
        var metadata_lens: [keys_max]u32 align(8) = undefined;
        var keys_len: usize = 0;
        var metadata_len: usize = 0;
        const count = 1 + choices.below(4);
        for (0..count) |i| {
            const number: u32 = @intCast(choices.below(keys_max));
            const value: Value = .{
                .seed = program.value_next,
                .metadata_bytes = @intCast(2 * choices.below(20)),
            };
            program.value_next += 1;
            const key: Key = .init(number);
            @memcpy(keys[keys_len..][0..key.len], key.text());
            keys_len += key.len;
            program.lens[i] = @intCast(key.len);
            _ = value.metadata(metadata[metadata_len..]);
            metadata_len += value.metadata_bytes;
            metadata_lens[i] = value.metadata_bytes;
            program.numbers[i * dimension ..][0..dimension].* = value.vector();
            program.rows[number] = value;
        }
        try expect(ok, function("vl_collection_put")(
            program.collection,
            &keys,
            @intCast(keys_len),
            &program.lens,
            @intCast(count),
            &program.numbers,
            @intCast(count * dimension),
            &metadata,
            @intCast(metadata_len),
            &metadata_lens,
            null,
            &program.lens,
        ));
    }

    fn delete(program: *Program) !void {
        const number: u32 = @intCast(program.choices.below(keys_max));
        const key: Key = .init(number);
        program.lens[0] = @intCast(key.len);
        try expect(ok, function("vl_collection_delete")(
            program.collection,
            &key.buffer,
            @intCast(key.len),
            &program.lens,
            1,
            program.words[0..1],
        ));
        const was_there = program.rows[number] != null;
        program.rows[number] = null;
        if ((program.words[0] == 1) != was_there) return error.WrongDelete;
    }

    fn get(program: *Program, handle: u32, rows: *const Rows) !void {
        const number = program.choices.below(keys_max);
        const key: Key = .init(@intCast(number));
        const status = function("vl_collection_get_record")(
            handle,
            &key.buffer,
            @intCast(key.len),
            &program.numbers,
            dimension,
            &program.bytes,
            program.bytes.len,
            program.words[0..1],
        );
        const value = rows[number] orelse return expect(not_found, status);
        try expect(ok, status);
        const metadata = program.bytes[0..program.words[0]];
        var buffer: [64]u8 = undefined;
        if (!std.mem.eql(u8, metadata, value.metadata(&buffer))) return error.WrongMetadata;
        const vector = program.numbers[0..dimension];
        if (!std.mem.eql(f32, vector, &value.vector())) return error.WrongVector;
    }

    fn scan(program: *Program, handle: u32, rows: *const Rows) !void {
        const filter = program.chooseFilter();
        var cursor: [4]u32 = @splat(0);
        var count: u32 = 0;
        while (true) {
            const status = function("vl_collection_scan")(
                handle,
                &cursor,
                1,
                filter.ptr,
                @intCast(filter.len),
                &program.bytes,
                program.bytes.len,
                program.words[0..1],
                &program.numbers,
                program.numbers.len,
                program.words[1..2],
            );
            if (status == not_found) break;
            try expect(ok, status);
            count += program.words[1];
        }
        if (count != countOf(rows, filter)) return error.WrongScan;
        var counted: [1]f64 align(8) = undefined;
        try expect(ok, function("vl_collection_count")(
            handle,
            filter.ptr,
            @intCast(filter.len),
            &counted,
        ));
        if (counted[0] != @as(f64, @floatFromInt(count))) return error.WrongCount;
    }

    /// None, or one that no row matches, or all do.
    fn chooseFilter(program: *Program) []const u8 {
        return switch (program.choices.below(3)) {
            0 => &.{},
            1 => all_filter,
            else => no_filter,
        };
    }
    const all_filter: []const u8 = &.{ 1, 3, 16, 4, 'n', 'o', 'n', 'e' };
    const no_filter: []const u8 = all_filter[0..1] ++ all_filter[2..];

    fn countOf(rows: *const Rows, filter: []const u8) u32 {
        if (filter.ptr == no_filter.ptr) return 0;
        var count: u32 = 0;
        for (rows) |row| count += @intFromBool(row != null);
        return count;
    }

    fn search(program: *Program) !void {
        const k = 1 + program.choices.below(keys_max);
        const filter = program.chooseFilter();
        const hit_bytes = 16;
        var hits: [keys_max * hit_bytes]u8 align(8) = undefined;
        var report: [9]f64 = undefined;
        @memset(program.numbers[0..dimension], 0.5);
        try expect(ok, function("vl_collection_search")(
            program.collection,
            &program.numbers,
            dimension,
            @intCast(k),
            std.math.nan(f64),
            @intCast(program.choices.below(2)),
            @intCast(program.choices.below(3)),
            filter.ptr,
            @intCast(filter.len),
            &hits,
            @intCast(k * hit_bytes),
            program.words[0..1],
            &report,
        ));
        const count = program.words[0];
        if (count != @min(k, countOf(&program.rows, filter))) return error.WrongHits;
        try expect(ok, function("vl_collection_fetch")(
            program.collection,
            &hits,
            count,
            1,
            &program.bytes,
            program.bytes.len,
            program.words[0..1],
            &program.numbers,
            @intCast(count * dimension),
        ));
    }

    /// With any other call between two steps.
    fn searchInSteps(program: *Program) !void {
        const k: u32 = @intCast(1 + program.choices.below(keys_max));
        const hit_bytes = 16;
        var hits: [keys_max * hit_bytes]u8 align(8) = undefined;
        var report: [9]f64 = undefined;
        var progress: [2]f64 align(8) = undefined;
        const is_frozen = program.frozen != 0 and program.choices.oneIn(2);
        if (!is_frozen and program.before != null) return;
        const seen = if (is_frozen) &program.frozen_rows else &program.rows;
        const filter = program.chooseFilter();
        const expected = @min(k, countOf(seen, filter));
        @memset(program.numbers[0..dimension], 0.5);
        try expect(ok, function("vl_search_open")(
            if (is_frozen) program.frozen else program.collection,
            &program.numbers,
            dimension,
            k,
            std.math.nan(f64),
            @intCast(program.choices.below(2)),
            @intCast(program.choices.below(3)),
            filter.ptr,
            @intCast(filter.len),
            program.words[0..1],
        ));
        const job = program.words[0];
        while (function("vl_job_step")(job, 1, &progress) == ok) {
            switch (program.choices.below(4)) {
                0 => try program.put(),
                1 => try program.delete(),
                2 => try program.transact(),
                3 => try program.compact(),
                else => unreachable,
            }
        }
        const counts = program.words[0..1];
        const len: u32 = k * hit_bytes;
        try expect(ok, function("vl_search_result")(job, &hits, len, counts, 1, &report));
        const count = counts[0];
        if (count != expected) return error.WrongHits;
        try expect(ok, function("vl_search_fetch")(
            job,
            &hits,
            count,
            1,
            &program.bytes,
            program.bytes.len,
            program.words[0..1],
            &program.numbers,
            count * dimension,
        ));
        try expect(ok, function("vl_close")(job));
    }

    fn transact(program: *Program) !void {
        if (program.before) |before| {
            program.before = null;
            if (program.choices.oneIn(2)) {
                program.rows = before;
                return expect(ok, function("vl_transaction_rollback")(program.database));
            }
            return expect(ok, function("vl_transaction_commit")(program.database));
        }
        try expect(ok, function("vl_transaction_begin")(program.database, program.value_next & 1));
        program.before = program.rows;
    }

    fn takeSnapshot(program: *Program) !void {
        if (program.before != null) return;
        if (program.snapshot != 0) try expect(ok, function("vl_close")(program.snapshot));
        program.frozen = 0;
        program.snapshot = 0;
        const status = function("vl_snapshot_open")(program.database, program.words[0..1]);
        try expect(ok, status);
        program.snapshot = program.words[0];
        program.frozen = try program.openDocs(program.snapshot);
        program.frozen_rows = program.rows;
    }

    /// All of it, or some slices; the next call may go on with them.
    fn compact(program: *Program) !void {
        var is_first: u32 = @intCast(program.choices.below(2));
        var progress: [2]f64 align(8) = undefined;
        for (0..100) |_| {
            const status = function("vl_compact_step")(program.database, is_first, 8192, &progress);
            if (program.before != null) return expect(-1, status);
            if (status == not_found) return;
            try expect(ok, status);
            is_first = 0;
            if (program.choices.oneIn(4)) return;
        }
        return error.Endless;
    }

    fn verify(program: *Program) !void {
        if (program.before != null) return;
        var progress: [2]f64 align(8) = undefined;
        const kind = 1;
        const handle = program.words[0..1];
        try expect(ok, function("vl_job_open")(program.database, kind, "", 0, handle));
        const job = handle[0];
        while (true) {
            const status = function("vl_job_step")(job, 1 << 16, &progress);
            if (status == not_found) break;
            try expect(ok, status);
        }
        const len = program.words[1..2];
        try expect(ok, function("vl_job_result")(job, &program.bytes, program.bytes.len, len));
        try expect(ok, function("vl_close")(job));
        const json = program.bytes[0..len[0]];
        if (!std.mem.startsWith(u8, json, "{\"ok\":true,")) return error.UnsoundFile;
    }

    /// A call that must change nothing: with a handle that is none, or arguments that disagree.
    fn nonsense(program: *Program) void {
        const choices = program.choices;
        const index = choices.below(c_api.list.len);
        inline for (c_api.list, 0..) |entry, i| {
            if (i == index and comptime takesHandle(entry)) program.callForged(entry);
        }
        if (choices.oneIn(2)) program.disagree();
    }

    fn takesHandle(comptime entry: anytype) bool {
        const parameters = @typeInfo(@typeInfo(@TypeOf(entry[1])).pointer.child).@"fn".params;
        return parameters.len > 0 and parameters[0].type.? == u32;
    }

    fn callForged(program: *Program, comptime entry: anytype) void {
        var arguments: std.meta.ArgsTuple(@typeInfo(@TypeOf(entry[1])).pointer.child) = undefined;
        inline for (&arguments) |*argument| switch (@typeInfo(@TypeOf(argument.*))) {
            .int => argument.* = program.choices.int(@TypeOf(argument.*)) | 0x8000_0000,
            .float => argument.* = @bitCast(program.choices.int(u64)),
            else => argument.* = @ptrCast(@alignCast(&program.bytes)),
        };
        // Its slot does not exist: nothing behind the handle may be asked for.
        arguments[0] = program.choices.pick(u32, &.{
            0,                          0xFFFF_FFFF,
            0xFFFF_0000,                program.database +% (1 << 16),
            program.collection +% 4096, program.database ^ 0x8000_0000,
        });
        _ = @call(.auto, entry[1], arguments);
    }

    fn disagree(program: *Program) void {
        const choices = program.choices;
        for (&program.lens) |*len| len.* = choices.int(u32) >> @intCast(choices.below(32));
        const count: u32 = @intCast(1 + choices.below(keys_max - 1));
        const keys_len: u32 = @intCast(choices.below(64));
        var sum: u64 = 0;
        for (program.lens[0..count]) |len| sum += len;
        if (sum == keys_len) return;
        @memset(&program.bytes, 'k');
        _ = function("vl_collection_put")(
            program.collection,
            &program.bytes,
            keys_len,
            &program.lens,
            count,
            &program.numbers,
            count * dimension,
            "",
            0,
            null,
            null,
            null,
        );
        _ = function("vl_collection_delete")(
            program.collection,
            &program.bytes,
            keys_len,
            &program.lens,
            count,
            program.words[0..1],
        );
    }
};

const Target = struct {
    pub fn execute(_: *Target, choices: *Choices) !void {
        var program: Program = .{ .choices = choices };
        try program.run();
    }
};

fn followCoverage(_: void, smith: *std.testing.Smith) !void {
    var choices: Choices = .{ .smith = smith };
    var program: Program = .{ .choices = &choices };
    try program.run();
}

test "fuzz boundary: calls through the C functions answer what the model does" {
    var target: Target = .{};
    const runs: Campaign(Target) = .{
        .name = "boundary",
        .target = &target,
        .seeds = @embedFile("../seeds/boundary.txt"),
        .count = 6_000,
    };
    try runs.run();
}

test "coverage boundary" {
    try std.testing.fuzz({}, followCoverage, .{});
}
