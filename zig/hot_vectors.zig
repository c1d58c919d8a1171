//! Vectors that a handle keeps in memory, and whether the file still has them: a commit of anyone
//! may have replaced a row that was seen before it.

const std = @import("std");
const hot_cache = @import("hot_cache.zig");
const kernels = @import("kernels/kernels.zig");
const lookup = @import("lookup.zig");
const Access = @import("access.zig").Access;
const Database = @import("database.zig").Database;
const Error = @import("errors.zig").Error;
const Place = lookup.Place;

pub const HotVectors = struct {
    cache: hot_cache.HotCache,
    /// The database's count as of which the cache was filled.
    forgotten_count: u32,

    pub fn init(access: *const Access, capacity: u32) HotVectors {
        return .{
            .cache = .init(access.gpa, capacity, access.dimension()),
            .forgotten_count = access.database().forgotten_count,
        };
    }

    pub fn deinit(hot: *HotVectors) void {
        hot.cache.deinit();
        hot.* = undefined;
    }

    /// Copies the vector into `out`, and says what its row costs; null where it is not known.
    pub fn get(
        hot: *HotVectors,
        access: *Access,
        database: *const Database,
        key_hash: u64,
        key: []const u8,
        out: []f32,
    ) Error!?u32 {
        // What a transaction sees is not for the others.
        if (database.joined() != null) return null;
        if (hot.forgotten_count != database.forgotten_count) {
            hot.cache.clear();
            hot.forgotten_count = database.forgotten_count;
        }
        const entry = hot.cache.get(key_hash, key) orelse return null;
        const known = &entry.known;
        if (access.isOver(known.expiry_ms)) return null;
        const stamp = database.current.root.transaction_id;
        const is_known = known.stamp == stamp or
            try lookup.isStillAt(access, key_hash, .fromInt(known.location));
        if (!is_known) return null;
        known.stamp = stamp;
        copyVector(out, entry.vector);
        return known.cost;
    }

    /// Keeps a vector that was just read at `place`.
    pub fn put(
        hot: *HotVectors,
        database: *const Database,
        key_hash: u64,
        key: []const u8,
        place: *const Place,
        vector: []const f32,
    ) void {
        if (database.joined() != null) return;
        hot.cache.put(key_hash, key, .{
            .location = place.location.toInt(),
            .stamp = database.current.root.transaction_id,
            .expiry_ms = place.expiry_ms,
            .cost = place.cost,
        }, vector);
    }

    pub fn bytes(hot: *const HotVectors) u64 {
        const vector_bytes = @as(u64, hot.cache.dimension) * @sizeOf(f32);
        return hot.cache.entry_count * (@sizeOf(hot_cache.Entry) + vector_bytes);
    }
};

fn copyVector(out: []f32, vector: []const f32) void {
    std.debug.assert(out.len == vector.len);
    const bytes = std.mem.sliceAsBytes(vector);
    kernels.active().copy(std.mem.sliceAsBytes(out).ptr, bytes.ptr, bytes.len);
}
