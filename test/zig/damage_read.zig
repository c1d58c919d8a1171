//! Damage of a row is found by whoever reads the row, and no read answers with it.

const std = @import("std");
const vl = @import("vectorlite");
const contents = @import("crash/contents.zig");
const Base = @import("crash/workload.zig").Base;
const Digest = contents.Digest;
const Key = contents.Key;
const client_module = @import("crash/client.zig");
const format = vl.format;

const gpa = std.testing.allocator;
const row_count = 5;
const Vector = [contents.dimension]f32;

/// An image that is open, and all that can be asked of it.
const Reading = struct {
    diagnostics: vl.Diagnostics = .{},
    database: *vl.Database = undefined,
    collection: *vl.Collection = undefined,

    fn open(reading: *Reading, bytes: []const u8) !void {
        const system = vl.backends.file.system();
        reading.database = try vl.Database.openBytes(gpa, system, bytes, .{}, &reading.diagnostics);
        errdefer reading.database.close();
        const scope: vl.Scope = .{ .database = reading.database };
        const name = client_module.collection_name;
        reading.collection = try vl.Collection.open(scope, name, .{ .create = false });
    }

    fn close(reading: *Reading) void {
        reading.collection.close();
        reading.database.close();
    }

    fn get(reading: *Reading, key: Key) vl.Error!Vector {
        var out: Vector = undefined;
        if (!try reading.collection.get(key.text(), &out)) @panic("a row is missing");
        return out;
    }

    fn search(reading: *Reading) vl.Error![row_count]vl.Hit {
        var hits: [row_count]vl.Hit = undefined;
        var counts: [1]u32 = undefined;
        const query: Vector = @splat(0.5);
        try reading.collection.search(&query, row_count, null, &hits, &counts);
        if (counts[0] != row_count) @panic("a row is not found");
        return hits;
    }

    fn scan(reading: *Reading) !Digest {
        return client_module.readEverything(reading.collection, .scan);
    }
};

/// The answers to all that can be asked of a file.
const Answers = struct { vector: Vector, hits: [row_count]vl.Hit, digest: Digest };

/// How many of the questions found damage; those that did not were answered as before.
fn refusals(bytes: []const u8, key: Key, sound: Answers) !u32 {
    var count: u32 = 0;
    // Each by a handle of its own: what one has verified, the next need not.
    inline for (.{ "get", "search", "scan" }, @typeInfo(Answers).@"struct".fields) |ask, field| {
        var reading: Reading = .{};
        try reading.open(bytes);
        defer reading.close();
        const ask_it = @field(Reading, ask);
        const answer = if (ask[0] == 'g') ask_it(&reading, key) else ask_it(&reading);
        if (answer) |given| {
            try std.testing.expectEqual(@field(sound, field.name), given);
        } else |err| {
            try std.testing.expectEqual(error.Corrupt, err);
            count += 1;
        }
    }
    return count;
}

test "whoever reads a row finds each bit of it that was flipped" {
    var base = try Base.small();
    defer base.deinit();
    const key: Key = .init(3);
    var reading: Reading = .{};
    try reading.open(base.bytes);
    defer reading.close();
    const sound: Answers = .{
        .vector = try reading.get(key),
        .hits = try reading.search(),
        .digest = try reading.scan(),
    };
    try std.testing.expectEqual(0, try refusals(base.bytes, key, sound));

    const collection = reading.collection;
    const place = (try vl.lookup.find(&collection.access, key.text())).?;
    const reader = reading.database.reader(reading.database.scratch);
    const stride = place.state.vectorStride();
    const entry = try reader.entry(place.state, place.segment, place.row);
    const record = try reader.record(place.state, place.segment, place.row);
    try std.testing.expect(record.metadata_bytes > 0);
    const parts = [_]struct { offset: u64, bytes: u64, finders: u32 }{
        // Each of the three reads vectors.
        .{
            .offset = place.segment.vectorOffset(place.row, stride),
            .bytes = @sizeOf(Vector),
            .finders = 3,
        },
        .{
            .offset = place.segment.entryOffset(place.row, stride),
            .bytes = @sizeOf(format.RowEntry),
            .finders = 3,
        },
        // A search compares no keys.
        .{
            .offset = entry.record_offset,
            .bytes = @sizeOf(format.Record) + key.len,
            .finders = 2,
        },
        .{ .offset = record.metadata_offset, .bytes = record.metadata_bytes, .finders = 1 },
    };
    for (parts) |part| for (0..part.bytes * 8) |bit| {
        const byte = &base.bytes[part.offset + bit / 8];
        byte.* ^= @as(u8, 1) << @intCast(bit % 8);
        defer byte.* ^= @as(u8, 1) << @intCast(bit % 8);
        try std.testing.expectEqual(part.finders, try refusals(base.bytes, key, sound));
    };
}
