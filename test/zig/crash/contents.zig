//! What a database is expected to hold, kept as plainly as possible: a map from key to the number
//! that its vector and its metadata are drawn from. Two contents are compared by a digest that does
//! not depend on any order, so that a whole history of states fits in a list of small values.

const std = @import("std");

pub const dimension = 4;

/// A row's vector and metadata, as functions of one number.
pub const Value = struct {
    seed: u32,
    metadata_bytes: u32 = 0,
    /// Of metadata that replaced the first; null: the seed.
    metadata_seed: ?u32 = null,

    pub fn vector(value: Value) [dimension]f32 {
        var prng = std.Random.DefaultPrng.init(value.seed);
        var out: [dimension]f32 = undefined;
        for (&out) |*number| number.* = prng.random().float(f32) + 0.25;
        return out;
    }

    pub fn metadata(value: Value, buffer: []u8) []const u8 {
        const out = buffer[0..value.metadata_bytes];
        const seed = value.metadata_seed orelse value.seed;
        for (out, 0..) |*byte, i| byte.* = @truncate(seed +% i *% 7);
        // A document of one field: a name and null, or the name m and a string. Of a single byte
        // there is none.
        if (out.len >= 130) {
            const text_bytes = out.len - 6;
            out[0..3].* = .{ 1, 'm', 4 };
            for (out[3..6], 0..) |*byte, i| {
                byte.* = @as(u8, @truncate(text_bytes >> @intCast(7 * i))) | 0x80;
            }
            out[5] &= 0x7F;
        } else if (out.len >= 2) {
            out[0] = @intCast(out.len - 2);
            out[out.len - 1] = 0;
        }
        return out;
    }
};

pub const metadata_bytes_max = 64 * 1024;

/// One state of a collection, small enough to be kept for every transaction of a history.
pub const Digest = struct {
    rows: u64 = 0,
    sum: u64 = 0,

    pub fn add(digest: *Digest, key: []const u8, vector: []const u8, metadata: []const u8) void {
        var hash = std.hash.XxHash3.init(key.len);
        hash.update(key);
        hash.update(vector);
        hash.update(metadata);
        digest.rows += 1;
        digest.sum +%= hash.final();
    }

    /// One of collections, which are what their names and their rows say.
    pub fn addCollection(digest: *Digest, name: []const u8, rows: Digest) void {
        digest.add(name, std.mem.asBytes(&rows.rows), std.mem.asBytes(&rows.sum));
    }

    pub fn eql(a: Digest, b: Digest) bool {
        return a.rows == b.rows and a.sum == b.sum;
    }
};

pub const Key = struct {
    buffer: [16]u8,
    len: usize,

    pub fn init(number: u32) Key {
        var key: Key = .{ .buffer = undefined, .len = 0 };
        var writer = std.Io.Writer.fixed(&key.buffer);
        // The buffer takes any number.
        writer.print("key {d}", .{number}) catch unreachable;
        key.len = writer.end;
        return key;
    }

    pub fn text(key: *const Key) []const u8 {
        return key.buffer[0..key.len];
    }
};

/// Of rows in a collection of that name, the only one. Without rows it is the same whether the
/// collection is there or not.
pub fn named(name: []const u8, rows: Digest) Digest {
    var digest: Digest = .{};
    if (rows.rows > 0) digest.addCollection(name, rows);
    return digest;
}

pub const Contents = struct {
    /// What a collection is called until it is renamed.
    pub const first_name = "docs";
    pub const second_name = "texts";

    gpa: std.mem.Allocator,
    name: []const u8 = first_name,
    rows: std.AutoArrayHashMapUnmanaged(u32, Value) = .empty,

    pub fn deinit(contents: *Contents) void {
        contents.rows.deinit(contents.gpa);
        contents.* = undefined;
    }

    pub fn clone(contents: *const Contents) !Contents {
        return .{
            .gpa = contents.gpa,
            .name = contents.name,
            .rows = try contents.rows.clone(contents.gpa),
        };
    }

    pub fn put(contents: *Contents, key: u32, value: Value) !void {
        try contents.rows.put(contents.gpa, key, value);
    }

    pub fn digest(contents: *const Contents) Digest {
        var out: Digest = .{};
        var buffer: [metadata_bytes_max]u8 = undefined;
        for (contents.rows.keys(), contents.rows.values()) |number, value| {
            const key: Key = .init(number);
            const vector = value.vector();
            out.add(key.text(), std.mem.asBytes(&vector), value.metadata(&buffer));
        }
        return out;
    }
};
