//! A bounded cache of hot vectors in private memory: `get` of a popular key then needs neither the
//! index nor the file. A scan over many keys must not empty it, so eviction is S3-FIFO (Yang et
//! al., "FIFO queues are all you need for cache eviction", SOSP 2023): a new key waits in a small
//! queue and reaches the main one only if it is used again; the fingerprints of keys that fell out
//! of the small queue are remembered for a while, and such a key goes to the main queue at once.
//!
//! The cache knows nothing of transactions. An entry carries the location and the stamp that the
//! caller gave it, and the caller decides whether they still hold. Keys are compared in full; a
//! hash alone never identifies one.
//!
//! Memory grows as entries come, to at most `capacity` vectors and a bounded part beside each. The
//! cache is best effort: where memory cannot be had, a vector is just not cached. Not thread-safe.

const std = @import("std");
const Allocator = std.mem.Allocator;
const assert = std.debug.assert;
const kernels = @import("kernels/kernels.zig");

/// Longer keys are not cached, which bounds the memory beside a vector.
pub const key_bytes_max = 1024;

/// Vectors are allocated together up to this size, so that a page-sized allocator wastes little.
const chunk_bytes = 256 * 1024;

/// The part of the capacity that new keys wait in, as in the paper.
const small_part = 10;

/// An entry is promoted from the small queue with more uses than this, as in the paper.
const uses_promoted = 1;
const uses_max = 3;

const none = std.math.maxInt(u32);

/// What a caller knows of a vector beside its numbers.
pub const Known = struct {
    /// Where it is in the file.
    location: u64,
    /// When the location was last known to hold.
    stamp: u64,
    expiry_ms: i64 = 0,
    cost: u32 = 0,
};

/// A cached vector. Stays where it is until the next `put`, `remove` or `clear`.
pub const Entry = struct {
    /// Of the caller, who may change it.
    known: Known,
    /// `dimension` values.
    vector: []f32,

    hash: u64,
    /// Grows to the longest key that the entry has had, and is kept for the next one.
    key_storage: []u8,
    key_len: u32,
    /// The next entry of the bucket, or of the free list.
    next: u32,
    newer: u32,
    older: u32,
    place: Place,
    uses: u8,

    const Place = enum(u8) { free, small, main };

    fn key(entry: *const Entry) []const u8 {
        return entry.key_storage[0..entry.key_len];
    }
};

pub const HotCache = struct {
    gpa: Allocator,
    capacity: u32,
    dimension: u32,
    /// A chunk has two to the power of this many entries; the last one may have fewer.
    chunk_shift: u5,

    /// Entries in the cache.
    count: u32 = 0,
    /// Entries given up to make room, since the cache was made.
    evictions: u64 = 0,
    /// What is allocated now.
    memory_bytes: u64 = 0,

    chunks: std.ArrayList(Chunk) = .empty,
    /// Entries that exist, in use or free.
    entry_count: u32 = 0,
    free: u32 = none,
    /// A power of two of list heads.
    buckets: []u32 = &.{},
    small: Queue = .{},
    main: Queue = .{},
    ghost: Ghost = .{},

    const Chunk = struct { entries: []Entry, vectors: []f32 };

    /// At most `capacity` vectors of `dimension` values. Allocates nothing yet; a capacity of zero
    /// is a cache that never holds anything.
    pub fn init(gpa: Allocator, capacity: u32, dimension: u32) HotCache {
        assert(dimension > 0);
        assert(capacity < none);
        const entry_bytes = @as(u64, dimension) * @sizeOf(f32) + @sizeOf(Entry);
        return .{
            .gpa = gpa,
            .capacity = capacity,
            .dimension = dimension,
            .chunk_shift = @intCast(std.math.log2_int(u64, @max(1, chunk_bytes / entry_bytes))),
        };
    }

    pub fn deinit(cache: *HotCache) void {
        cache.clear();
        cache.* = undefined;
    }

    /// Forgets every entry and gives the memory back. `evictions` stays.
    pub fn clear(cache: *HotCache) void {
        for (cache.chunks.items) |chunk| {
            for (chunk.entries) |entry| cache.gpa.free(entry.key_storage);
            cache.gpa.free(chunk.entries);
            cache.gpa.free(chunk.vectors);
        }
        cache.chunks.deinit(cache.gpa);
        cache.gpa.free(cache.buckets);
        cache.ghost.deinit(cache.gpa);
        const evictions = cache.evictions;
        cache.* = .init(cache.gpa, cache.capacity, cache.dimension);
        cache.evictions = evictions;
    }

    /// The entry of a key, which counts as a use of it. `hash` is any good hash of `key`, the same
    /// one in every call.
    pub fn get(cache: *HotCache, hash: u64, key: []const u8) ?*Entry {
        const index = cache.find(hash, key) orelse return null;
        const found = cache.at(index);
        found.uses = @min(found.uses + 1, uses_max);
        return found;
    }

    /// Copies a vector into the cache, in place of what the key had. Best effort: a long key, or
    /// one for which there is no memory, is not cached.
    pub fn put(
        cache: *HotCache,
        hash: u64,
        key: []const u8,
        known: Known,
        vector: []const f32,
    ) void {
        assert(vector.len == cache.dimension);
        if (cache.capacity == 0 or key.len > key_bytes_max) return;
        const index = cache.find(hash, key) orelse cache.add(hash, key) orelse return;
        const entry = cache.at(index);
        entry.known = known;
        const bytes = std.mem.sliceAsBytes(vector);
        kernels.active().copy(std.mem.sliceAsBytes(entry.vector).ptr, bytes.ptr, bytes.len);
    }

    /// Forgets a key. Its memory is kept for another.
    pub fn remove(cache: *HotCache, hash: u64, key: []const u8) void {
        const index = cache.find(hash, key) orelse return;
        cache.queueOf(cache.at(index)).unlink(cache, index);
        cache.release(index);
    }

    /// What the cache can grow to, for a budget: whole vectors, and beside each its key and at
    /// most this many bytes.
    pub const overhead_bytes_max = @sizeOf(Entry) + 2 * @sizeOf(u32) + 2 * @sizeOf(Ghost.Slot) + 64;

    fn at(cache: *const HotCache, index: u32) *Entry {
        const in_chunk = index & (@as(u32, 1) << cache.chunk_shift) - 1;
        return &cache.chunks.items[index >> cache.chunk_shift].entries[in_chunk];
    }

    fn queueOf(cache: *HotCache, entry: *const Entry) *Queue {
        return switch (entry.place) {
            .small => &cache.small,
            .main => &cache.main,
            .free => unreachable,
        };
    }

    fn find(cache: *const HotCache, hash: u64, key: []const u8) ?u32 {
        if (cache.buckets.len == 0) return null;
        var index = cache.buckets[hash & (cache.buckets.len - 1)];
        while (index != none) {
            const entry = cache.at(index);
            if (entry.hash == hash and std.mem.eql(u8, entry.key(), key)) return index;
            index = entry.next;
        }
        return null;
    }

    /// An entry for a key that has none.
    fn add(cache: *HotCache, hash: u64, key: []const u8) ?u32 {
        cache.growBuckets();
        if (cache.buckets.len == 0) return null;
        if (cache.count == cache.capacity) cache.evict();
        if (cache.free == none) cache.addChunk() catch {
            if (cache.count == 0) return null;
            cache.evict();
        };
        const index = cache.free;
        const entry = cache.at(index);
        if (!cache.storeKey(entry, key)) return null;
        cache.free = entry.next;

        entry.hash = hash;
        entry.uses = 0;
        const bucket = &cache.buckets[hash & (cache.buckets.len - 1)];
        entry.next = bucket.*;
        bucket.* = index;
        if (cache.ghost.take(hash)) {
            cache.main.push(cache, index, .main);
        } else {
            cache.small.push(cache, index, .small);
        }
        cache.count += 1;
        return index;
    }

    fn storeKey(cache: *HotCache, entry: *Entry, key: []const u8) bool {
        if (entry.key_storage.len < key.len) {
            const storage = cache.gpa.alloc(u8, key.len) catch return false;
            cache.gpa.free(entry.key_storage);
            cache.memory_bytes += storage.len - entry.key_storage.len;
            entry.key_storage = storage;
        }
        @memcpy(entry.key_storage[0..key.len], key);
        entry.key_len = @intCast(key.len);
        return true;
    }

    /// Frees the entries of one more chunk, so that there is always one on the free list after.
    fn addChunk(cache: *HotCache) Allocator.Error!void {
        assert(cache.entry_count < cache.capacity);
        const chunk_entries = @as(u32, 1) << cache.chunk_shift;
        const count = @min(chunk_entries, cache.capacity - cache.entry_count);
        try cache.chunks.ensureUnusedCapacity(cache.gpa, 1);
        const entries = try cache.gpa.alloc(Entry, count);
        errdefer cache.gpa.free(entries);
        const vectors = try cache.gpa.alloc(f32, @as(usize, count) * cache.dimension);
        cache.chunks.appendAssumeCapacity(.{ .entries = entries, .vectors = vectors });

        var at_value: usize = 0;
        for (entries, cache.entry_count..) |*entry, index| {
            entry.* = .{
                .known = .{ .location = 0, .stamp = 0 },
                .vector = vectors[at_value..][0..cache.dimension],
                .hash = 0,
                .key_storage = &.{},
                .key_len = 0,
                .next = cache.free,
                .newer = none,
                .older = none,
                .place = .free,
                .uses = 0,
            };
            cache.free = @intCast(index);
            at_value += cache.dimension;
        }
        cache.entry_count += count;
        cache.memory_bytes += std.mem.sliceAsBytes(entries).len + std.mem.sliceAsBytes(vectors).len;
    }

    /// Keeps about one entry per bucket. Without memory the lists just get longer.
    fn growBuckets(cache: *HotCache) void {
        if (cache.count < cache.buckets.len) return;
        const wanted = @max(16, cache.buckets.len * 2);
        const buckets = cache.gpa.alloc(u32, wanted) catch return;
        @memset(buckets, none);
        for (cache.buckets) |head| {
            var index = head;
            while (index != none) {
                const entry = cache.at(index);
                const following = entry.next;
                const bucket = &buckets[entry.hash & (wanted - 1)];
                entry.next = bucket.*;
                bucket.* = index;
                index = following;
            }
        }
        cache.gpa.free(cache.buckets);
        cache.memory_bytes += (wanted - cache.buckets.len) * @sizeOf(u32);
        cache.buckets = buckets;
    }

    /// Gives up one entry.
    fn evict(cache: *HotCache) void {
        assert(cache.count > 0);
        cache.evictions += 1;
        const small_count_min = @max(1, cache.capacity / small_part);
        if (cache.small.count >= small_count_min or cache.main.count == 0) {
            if (cache.evictSmall()) return;
        }
        cache.evictMain();
    }

    /// Gives up the oldest entry of the small queue that was not used again; the ones that were
    /// move on. False where that was all of them.
    fn evictSmall(cache: *HotCache) bool {
        while (cache.small.oldest != none) {
            const index = cache.small.oldest;
            const entry = cache.at(index);
            cache.small.unlink(cache, index);
            if (entry.uses > uses_promoted) {
                entry.uses = 0;
                cache.main.push(cache, index, .main);
            } else {
                cache.rememberGhost(entry.hash);
                cache.release(index);
                return true;
            }
        }
        return false;
    }

    /// Gives up the oldest entry without uses; each one with uses loses one and starts again.
    fn evictMain(cache: *HotCache) void {
        while (true) {
            const index = cache.main.oldest;
            const entry = cache.at(index);
            cache.main.unlink(cache, index);
            if (entry.uses == 0) return cache.release(index);
            entry.uses -= 1;
            cache.main.push(cache, index, .main);
        }
    }

    fn rememberGhost(cache: *HotCache, hash: u64) void {
        if (cache.ghost.slots.len == 0) {
            cache.ghost = Ghost.init(cache.gpa, cache.capacity) catch return;
            cache.memory_bytes += std.mem.sliceAsBytes(cache.ghost.slots).len;
        }
        cache.ghost.add(hash);
    }

    /// Puts an entry that is in no queue on the free list.
    fn release(cache: *HotCache, index: u32) void {
        const entry = cache.at(index);
        var link = &cache.buckets[entry.hash & (cache.buckets.len - 1)];
        while (link.* != index) link = &cache.at(link.*).next;
        link.* = entry.next;
        entry.next = cache.free;
        entry.place = .free;
        cache.free = index;
        cache.count -= 1;
    }
};

/// First in, first out, with removal from the middle.
const Queue = struct {
    newest: u32 = none,
    oldest: u32 = none,
    count: u32 = 0,

    fn push(queue: *Queue, cache: *const HotCache, index: u32, place: Entry.Place) void {
        const entry = cache.at(index);
        entry.place = place;
        entry.newer = none;
        entry.older = queue.newest;
        if (queue.newest != none) cache.at(queue.newest).newer = index else queue.oldest = index;
        queue.newest = index;
        queue.count += 1;
    }

    fn unlink(queue: *Queue, cache: *const HotCache, index: u32) void {
        const entry = cache.at(index);
        const from_newer = if (entry.newer == none) &queue.newest else &cache.at(entry.newer).older;
        const from_older = if (entry.older == none) &queue.oldest else &cache.at(entry.older).newer;
        from_newer.* = entry.older;
        from_older.* = entry.newer;
        queue.count -= 1;
    }
};

/// Fingerprints of the keys that left the small queue lately: as many as the main queue has
/// entries, as in the paper. In sets of four slots, so a few may be lost early; a false
/// recollection only lets a key into the main queue.
const Ghost = struct {
    /// A power of two, or none.
    slots: []Slot = &.{},
    /// Additions so far. Wraps; only differences count.
    clock: u32 = 0,
    remembered_max: u32 = 0,

    /// A fingerprint of zero is an empty slot.
    const Slot = struct { fingerprint: u32 = 0, added: u32 = 0 };
    const slots_per_set = 4;

    fn init(gpa: Allocator, capacity: u32) Allocator.Error!Ghost {
        const wanted: usize = @max(slots_per_set, capacity);
        const slots = try gpa.alloc(Slot, std.math.ceilPowerOfTwoAssert(usize, wanted));
        @memset(slots, .{});
        return .{ .slots = slots, .remembered_max = capacity - capacity / small_part };
    }

    fn deinit(ghost: *Ghost, gpa: Allocator) void {
        gpa.free(ghost.slots);
        ghost.* = .{};
    }

    fn add(ghost: *Ghost, hash: u64) void {
        var victim: ?*Slot = null;
        for (ghost.setOf(hash)) |*slot| {
            if (slot.fingerprint == fingerprintOf(hash) or slot.fingerprint == 0) {
                victim = slot;
                break;
            }
            if (victim == null or ghost.ageOf(slot) > ghost.ageOf(victim.?)) victim = slot;
        }
        victim.?.* = .{ .fingerprint = fingerprintOf(hash), .added = ghost.clock };
        ghost.clock +%= 1;
    }

    /// Whether the key left lately, which is then forgotten.
    fn take(ghost: *Ghost, hash: u64) bool {
        if (ghost.slots.len == 0) return false;
        for (ghost.setOf(hash)) |*slot| {
            if (slot.fingerprint != fingerprintOf(hash)) continue;
            const recent = ghost.ageOf(slot) <= ghost.remembered_max;
            slot.* = .{};
            return recent;
        }
        return false;
    }

    fn setOf(ghost: *Ghost, hash: u64) []Slot {
        const set_count = ghost.slots.len / slots_per_set;
        return ghost.slots[(hash & (set_count - 1)) * slots_per_set ..][0..slots_per_set];
    }

    fn ageOf(ghost: *const Ghost, slot: *const Slot) u32 {
        return ghost.clock -% slot.added;
    }

    fn fingerprintOf(hash: u64) u32 {
        return @max(1, @as(u32, @truncate(hash >> 32)));
    }
};

const testing = std.testing;

fn testHash(key: []const u8) u64 {
    return std.hash.Wyhash.hash(0, key);
}

fn checkStructure(cache: *const HotCache) !void {
    var in_queues: u32 = 0;
    const places = [2]Entry.Place{ .small, .main };
    for ([2]Queue{ cache.small, cache.main }, places) |queue, place| {
        var in_queue: u32 = 0;
        var index = queue.oldest;
        while (index != none) : (index = cache.at(index).newer) {
            try testing.expectEqual(place, cache.at(index).place);
            in_queue += 1;
        }
        try testing.expectEqual(queue.count, in_queue);
        in_queues += in_queue;
    }
    var in_buckets: u32 = 0;
    for (cache.buckets) |head| {
        var index = head;
        while (index != none) : (index = cache.at(index).next) in_buckets += 1;
    }
    var free: u32 = 0;
    var index = cache.free;
    while (index != none) : (index = cache.at(index).next) free += 1;
    try testing.expectEqual(cache.count, in_queues);
    try testing.expectEqual(cache.count, in_buckets);
    try testing.expectEqual(cache.entry_count, cache.count + free);
    try testing.expect(cache.entry_count <= cache.capacity);
}

/// What was last put under each key; a cache may forget, but never answer anything else.
const Model = struct {
    values: [key_count]?u32 = @splat(null),

    const key_count = 200;

    fn step(model: *Model, cache: *HotCache, random: std.Random, hash_mask: u64) !void {
        var key_buffer: [16]u8 = undefined;
        // Small numbers more often than large ones, so that some keys are hot.
        const key_number = random.uintLessThan(u32, 1 + random.uintLessThan(u32, key_count));
        const key = try std.fmt.bufPrint(&key_buffer, "key {d}", .{key_number});
        const hash = testHash(key) & hash_mask;
        switch (random.uintLessThan(u32, 20)) {
            0 => {
                cache.remove(hash, key);
                model.values[key_number] = null;
                try testing.expectEqual(null, cache.get(hash, key));
            },
            1...8 => {
                const value = random.uintLessThan(u32, 1 << 20);
                const vector: [3]f32 = @splat(@floatFromInt(value));
                cache.put(hash, key, .{ .location = value, .stamp = value + 1 }, &vector);
                model.values[key_number] = value;
            },
            else => if (cache.get(hash, key)) |entry| {
                const value = model.values[key_number].?;
                const vector: [3]f32 = @splat(@floatFromInt(value));
                try testing.expectEqual(value, entry.known.location);
                try testing.expectEqual(value + 1, entry.known.stamp);
                try testing.expectEqualSlices(f32, &vector, entry.vector);
            },
        }
        try testing.expect(cache.count <= cache.capacity);
    }
};

test "the cache may forget, but never answers anything but what was last put" {
    for ([_]u32{ 0, 1, 2, 7, 50, 500 }, 0..) |capacity, i| {
        for ([_]u64{ std.math.maxInt(u64), 0x7, 0 }) |hash_mask| {
            var prng: std.Random.DefaultPrng = .init(i);
            var cache: HotCache = .init(testing.allocator, capacity, 3);
            defer cache.deinit();
            var model: Model = .{};
            for (0..3000) |round| {
                try model.step(&cache, prng.random(), hash_mask);
                if (round % 100 == 0) try checkStructure(&cache);
                if (round == 2000) cache.clear();
            }
            if (capacity >= Model.key_count) try testing.expectEqual(0, cache.evictions);
        }
    }
}

test "without memory the cache holds less, and stays whole" {
    for (0..40) |fail_index| {
        var failing: testing.FailingAllocator = .init(
            testing.allocator,
            .{ .fail_index = fail_index },
        );
        var prng: std.Random.DefaultPrng = .init(fail_index);
        var cache: HotCache = .init(failing.allocator(), 60, 3);
        defer cache.deinit();
        var model: Model = .{};
        for (0..500) |_| try model.step(&cache, prng.random(), std.math.maxInt(u64));
        try checkStructure(&cache);
    }
}

const Numbered = struct {
    buffer: [24]u8 = undefined,

    fn key(numbered: *Numbered, number: usize) []const u8 {
        // The buffer holds every number.
        return std.fmt.bufPrint(&numbered.buffer, "{d}", .{number}) catch unreachable;
    }
};

test "a hot set survives a scan of keys that are used once" {
    var cache: HotCache = .init(testing.allocator, 100, 1);
    defer cache.deinit();
    var numbered: Numbered = .{};
    for (0..50) |i| {
        const key = numbered.key(i);
        cache.put(testHash(key), key, .{ .location = i, .stamp = 0 }, &.{1});
    }
    for (0..2) |_| {
        for (0..50) |i| {
            const key = numbered.key(i);
            try testing.expect(cache.get(testHash(key), key) != null);
        }
    }
    for (1000..11_000) |i| {
        const key = numbered.key(i);
        try testing.expectEqual(null, cache.get(testHash(key), key));
        cache.put(testHash(key), key, .{ .location = i, .stamp = 0 }, &.{2});
    }
    for (0..50) |i| {
        const key = numbered.key(i);
        try testing.expectEqual(i, cache.get(testHash(key), key).?.known.location);
    }
    try testing.expectEqual(100, cache.count);
    try testing.expectEqual(10_000 - 50, cache.evictions);
    try checkStructure(&cache);
}

test "a key that comes back soon after it fell out is kept as a hot one" {
    var cache: HotCache = .init(testing.allocator, 100, 1);
    defer cache.deinit();
    var numbered: Numbered = .{};
    for (0..150) |i| {
        const key = numbered.key(i);
        cache.put(testHash(key), key, .{ .location = i, .stamp = 0 }, &.{1});
    }
    const key = "0";
    try testing.expectEqual(null, cache.get(testHash(key), key));
    cache.put(testHash(key), key, .{ .location = 7, .stamp = 0 }, &.{1});
    for (1000..1300) |i| {
        const other = numbered.key(i);
        cache.put(testHash(other), other, .{ .location = i, .stamp = 0 }, &.{1});
    }
    try testing.expectEqual(7, cache.get(testHash(key), key).?.known.location);
}

test "memory grows with the entries, to the bound" {
    const dimension = 1536;
    const vector: [dimension]f32 = @splat(1);
    for ([_]u32{ 1, 3, 100, 257 }) |capacity| {
        var cache: HotCache = .init(testing.allocator, capacity, dimension);
        defer cache.deinit();
        try testing.expectEqual(0, cache.memory_bytes);
        const long = "k" ** (key_bytes_max + 1);
        cache.put(1, long, .{ .location = 0, .stamp = 0 }, &vector);
        try testing.expectEqual(0, cache.count);

        var numbered: Numbered = .{};
        for (0..1000) |i| {
            const key = numbered.key(i);
            cache.put(testHash(key), key, .{ .location = i, .stamp = 0 }, &vector);
            if (i == 0) try testing.expect(cache.memory_bytes < 2 * chunk_bytes);
        }
        try testing.expectEqual(capacity, cache.count);
        const each = @sizeOf(@TypeOf(vector)) + HotCache.overhead_bytes_max + 4;
        try testing.expect(cache.memory_bytes <= capacity * each + 256);
        cache.clear();
        try testing.expectEqual(0, cache.memory_bytes);
    }
}
