//! One connection to a simulated disk, with the plain model beside it: the calls that a test makes,
//! and the check that everything the engine answers is what the model says.

const std = @import("std");
const vl = @import("vectorlite");
const contents = @import("contents.zig");
const Contents = contents.Contents;
const Digest = contents.Digest;
const Key = contents.Key;
const Value = contents.Value;
const simulated = vl.backends.simulated;

comptime {
    // For tests that open many thousands of files.
    _ = @import("memset.zig");
}

pub const path = "crash.vl";
pub const collection_name = Contents.first_name;

pub const Client = struct {
    gpa: std.mem.Allocator,
    process: *simulated.Process,
    options: vl.Options,
    /// Of the collection that `open` opens.
    name: []const u8 = collection_name,
    diagnostics: vl.Diagnostics = .{},
    database: ?*vl.Database = null,
    collection: ?*vl.Collection = null,
    /// Vectors that the collection keeps in memory.
    hot_vectors: u32 = 0,

    /// `client` does not move while it is open.
    pub fn open(client: *Client) vl.Error!void {
        const system = client.process.system();
        client.database = try vl.Database.open(
            client.gpa,
            system,
            path,
            client.options,
            &client.diagnostics,
        );
        errdefer client.close();
        client.collection = try vl.Collection.open(
            .{ .database = client.database.? },
            client.name,
            .{
                .dimension = contents.dimension,
                .metric = .l2,
                .create = client.options.create,
                .hot_vectors = client.hot_vectors,
            },
        );
    }

    pub fn close(client: *Client) void {
        if (client.collection) |collection| collection.close();
        client.collection = null;
        if (client.database) |database| database.close();
        client.database = null;
    }

    pub fn put(client: *Client, number: u32, value: Value) vl.Error!void {
        return client.putMany(&.{number}, &.{value});
    }

    /// One atomic batch.
    pub fn putMany(client: *Client, numbers: []const u32, values: []const Value) vl.Error!void {
        return putRows(client.collection.?, numbers, values);
    }

    pub fn delete(client: *Client, number: u32) vl.Error!bool {
        return deleteRow(client.collection.?, number);
    }

    /// The row's vector stays; whether there is such a row.
    pub fn amend(client: *Client, number: u32, value: Value) vl.Error!bool {
        const key: Key = .init(number);
        var buffer: [contents.metadata_bytes_max]u8 = undefined;
        return client.collection.?.setMetadata(key.text(), value.metadata(&buffer));
    }

    /// Reads every row in every way that there is.
    pub fn readAll(client: *Client) !Digest {
        return readEverything(client.collection.?, .every_way);
    }
};

/// One atomic batch.
pub fn putRows(
    collection: *vl.Collection,
    numbers: []const u32,
    values: []const Value,
) vl.Error!void {
    var arena: std.heap.ArenaAllocator = .init(std.heap.smp_allocator);
    defer arena.deinit();
    const scratch = arena.allocator();
    var keys: std.ArrayList(u8) = .empty;
    var metadata: std.ArrayList(u8) = .empty;
    const key_lens = try scratch.alloc(u32, numbers.len);
    const metadata_lens = try scratch.alloc(u32, numbers.len);
    const vectors = try scratch.alloc(f32, numbers.len * contents.dimension);
    var buffer: [contents.metadata_bytes_max]u8 = undefined;
    for (numbers, values, 0..) |number, value, i| {
        const key: Key = .init(number);
        try keys.appendSlice(scratch, key.text());
        try metadata.appendSlice(scratch, value.metadata(&buffer));
        key_lens[i] = @intCast(key.len);
        metadata_lens[i] = value.metadata_bytes;
        @memcpy(vectors[i * contents.dimension ..][0..contents.dimension], &value.vector());
    }
    return collection.put(.{
        .keys = keys.items,
        .key_lens = key_lens,
        .vectors = vectors,
        .metadata = metadata.items,
        .metadata_lens = metadata_lens,
    });
}

/// Whether there was such a row.
pub fn deleteRow(collection: *vl.Collection, number: u32) vl.Error!bool {
    const key: Key = .init(number);
    var deleted: u32 = 0;
    try collection.delete(key.text(), &.{@intCast(key.len)}, &deleted);
    return deleted == 1;
}

pub const Ways = enum { scan, every_way };

/// The digest of a collection: by a scan, and in the other case every row is also asked for by its
/// key and found by a search.
pub fn readEverything(collection: *vl.Collection, ways: Ways) !Digest {
    const dimension = contents.dimension;
    var out: [contents.metadata_bytes_max + 4096]u8 = undefined;
    var vectors: [64 * dimension]f32 = undefined;
    var digest: Digest = .{};
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
            const vector = vectors[i * dimension ..][0..dimension];
            digest.add(key, std.mem.sliceAsBytes(vector), metadata);
            if (ways == .scan) continue;
            var again: [dimension]f32 = undefined;
            if (!try collection.get(key, &again)) return error.KeyNotFound;
            if (!std.mem.eql(f32, vector, &again)) return error.WrongVector;
        }
    }
    if ((try collection.stats()).records != digest.rows) return error.WrongCount;
    if (ways == .scan) return digest;
    if (try collection.has("no such key")) return error.KeyFound;
    try searchAll(collection, digest.rows);
    return digest;
}

/// As many hits as there are rows, in order, and none of them twice.
fn searchAll(collection: *vl.Collection, rows: u64) !void {
    const gpa = std.heap.smp_allocator;
    const hits = try gpa.alloc(vl.Hit, @intCast(rows + 1));
    defer gpa.free(hits);
    const query: [contents.dimension]f32 = @splat(0.5);
    var counts: [1]u32 = undefined;
    try collection.search(&query, @intCast(hits.len), null, hits, &counts);
    if (counts[0] != rows) return error.WrongHits;
    var seen: std.AutoHashMapUnmanaged(u64, void) = .empty;
    defer seen.deinit(gpa);
    for (hits[0..counts[0]], 0..) |hit, i| {
        if (i > 0 and hits[i - 1].score > hit.score) return error.WrongOrder;
        const place = @as(u64, hit.segment) << 32 | hit.row;
        if ((try seen.getOrPut(gpa, place)).found_existing) return error.RowFoundTwice;
    }
}
