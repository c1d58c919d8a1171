//! The functions on collections. Each checks what the engine may take for granted: that lengths add
//! up, that buffers hold what the sizes say, and that numbers are in range.

const std = @import("std");
const vectorlite = @import("vectorlite");
const boundary = @import("call.zig");
const database = @import("database.zig");
const Patience = @import("patience.zig").Patience;
const CollectionOptions = @import("options.zig").CollectionOptions;

const Call = boundary.Call;
const Hit = vectorlite.Hit;
const slice = boundary.slice;
const sliceConst = boundary.sliceConst;

comptime {
    std.debug.assert(@sizeOf(Hit) == 16);
    std.debug.assert(@sizeOf(vectorlite.Cursor) == 16);
}

pub fn open(
    scope: u32,
    name: [*]const u8,
    name_len: u32,
    options: [*]const u8,
    options_len: u32,
    model_name: [*]const u8,
    model_len: u32,
    handle_out: [*]align(1) u32,
    info_out: [*]align(1) u32,
) callconv(.c) i32 {
    const call = Call.beginScope(scope) orelse return boundary.stale();
    defer call.end();
    const decoded = CollectionOptions.decode(
        options[0..options_len],
        model_name[0..model_len],
    ) catch return boundary.refuse(.invalid_argument, "the options block is malformed", .{});
    const slot = boundary.table.reserve() orelse return database.tooManyHandles();
    const collection = vectorlite.Collection.open(
        call.scope(),
        name[0..name_len],
        decoded,
    ) catch |failure| {
        boundary.table.cancel(slot);
        return call.fail(failure);
    };
    const info = [4]u32{
        collection.dimension(),
        @intFromEnum(collection.metric()),
        @intCast(collection.model().len),
        0,
    };
    info_out[0..4].* = info;
    handle_out[0] = boundary.table.publishChild(slot, .collection, collection, call.index);
    return boundary.done();
}

pub fn model(handle: u32, out: [*]u8, out_len: u32, len_out: [*]align(1) u32) callconv(.c) i32 {
    const call = Call.begin(handle, .collection) orelse return boundary.stale();
    defer call.end();
    return database.copyOut(call.collection().model(), out, out_len, len_out);
}

/// As the newest state calls it, or that of its snapshot.
pub fn currentName(
    handle: u32,
    out: [*]u8,
    out_len: u32,
    len_out: [*]align(1) u32,
) callconv(.c) i32 {
    const call = Call.begin(handle, .collection) orelse return boundary.stale();
    defer call.end();
    const bytes = call.collection().currentName() catch |failure| return call.fail(failure);
    return database.copyOut(bytes, out, out_len, len_out);
}

/// A snapshot of the newest state, and the collection in it, whatever that state calls it.
pub fn openSnapshot(handle: u32, handles_out: [*]align(1) u32) callconv(.c) i32 {
    const call = Call.begin(handle, .collection) orelse return boundary.stale();
    defer call.end();
    const slot = boundary.table.reserve() orelse return database.tooManyHandles();
    const past_slot = boundary.table.reserve() orelse {
        boundary.table.cancel(slot);
        return database.tooManyHandles();
    };
    const snapshot = call.database().openSnapshot() catch |failure| {
        cancelBoth(slot, past_slot);
        return call.fail(failure);
    };
    const past = call.collection().ofSnapshot(snapshot) catch |failure| {
        snapshot.close();
        cancelBoth(slot, past_slot);
        return call.fail(failure);
    };
    const table = &boundary.table;
    handles_out[0] = table.publishChild(slot, .snapshot, snapshot, call.root);
    handles_out[1] = table.publishChild(past_slot, .collection, past, slot);
    return boundary.done();
}

fn cancelBoth(slot: u32, other: u32) void {
    boundary.table.cancel(slot);
    boundary.table.cancel(other);
}

pub fn stats(
    handle: u32,
    out: [*]align(1) f64,
    out_len: u32,
    count_out: [*]align(1) u32,
) callconv(.c) i32 {
    const call = Call.begin(handle, .collection) orelse return boundary.stale();
    defer call.end();
    const counts = call.collection().stats() catch |failure| return call.fail(failure);
    return database.writeStats(counts, out, out_len, count_out);
}

/// What the handle has counted and reads nothing for: rows that made room for others, rows whose
/// time was over, and the cost of all rows that were hit.
pub fn tally(handle: u32, counts_out: [*]align(1) f64) callconv(.c) i32 {
    const call = Call.begin(handle, .collection) orelse return boundary.stale();
    defer call.end();
    const collection = call.collection();
    const gone = &collection.departures.committed;
    counts_out[0] = @floatFromInt(gone.evictions);
    counts_out[1] = @floatFromInt(gone.expirations);
    counts_out[2] = @floatFromInt(collection.saved_cost);
    return boundary.done();
}

pub fn put(
    handle: u32,
    keys: [*]const u8,
    keys_len: u32,
    key_lens: [*]align(1) const u32,
    count: u32,
    vectors: [*]align(1) const f32,
    vectors_len: u32,
    metadata: [*]const u8,
    metadata_len: u32,
    metadata_lens: ?[*]align(1) const u32,
    expiries: ?[*]align(1) const f64,
    costs: ?[*]align(1) const u32,
) callconv(.c) i32 {
    const call = Call.begin(handle, .collection) orelse return boundary.stale();
    defer call.end();
    const collection = call.collection();
    const batch: vectorlite.Batch = .{
        .keys = keys[0..keys_len],
        .key_lens = sliceConst(u32, key_lens, count) catch |failure| return call.fail(failure),
        .vectors = sliceConst(f32, vectors, vectors_len) catch |failure| return call.fail(failure),
        .metadata = metadata[0..metadata_len],
        .metadata_lens = if (metadata_lens) |lens|
            sliceConst(u32, lens, count) catch |failure| return call.fail(failure)
        else
            &.{},
        .expiries = if (expiries) |times|
            sliceConst(f64, times, count) catch |failure| return call.fail(failure)
        else
            &.{},
        .costs = if (costs) |each|
            sliceConst(u32, each, count) catch |failure| return call.fail(failure)
        else
            &.{},
    };
    if (!areTimes(batch.expiries)) return boundary.refuse(
        .invalid_argument,
        "an expiry is no number of milliseconds since 1970",
        .{},
    );
    if (!boundary.addUpTo(batch.key_lens, keys_len)) return wrongLens("keys");
    if (!boundary.addUpTo(batch.metadata_lens, metadata_len)) return wrongLens("metadata");
    if (!holds(vectors_len, count, collection.dimension())) {
        return wrongVectors(vectors_len, count, collection.dimension());
    }
    if (count == 0) return boundary.done();
    var start: usize = 0;
    for (batch.metadata_lens) |len| {
        if (!vectorlite.document.check(batch.metadata[start..][0..len])) return wrongMetadata();
        start += len;
    }
    var patience: Patience = .{ .call = call };
    while (true) {
        collection.put(batch) catch |failure| {
            if (failure == error.NoSpace and patience.again()) continue;
            return call.fail(failure);
        };
        patience.end();
        return boundary.done();
    }
}

fn areTimes(numbers: []const f64) bool {
    for (numbers) |number| {
        if (!(number >= 0 and number <= 1 << 53) or @trunc(number) != number) return false;
    }
    return true;
}

fn wrongLens(comptime what: []const u8) i32 {
    return boundary.refuse(.invalid_argument, "the lengths of the " ++ what ++
        " do not add up to their bytes", .{});
}

fn holds(len: u32, count: u32, dimension: u32) bool {
    return len == @as(u64, count) * dimension;
}

pub fn wrongVectors(len: u32, count: u32, dimension: u32) i32 {
    return boundary.refuse(
        .dimension,
        "found {d} numbers for {d} vectors of dimension {d}",
        .{ len, count, dimension },
    );
}

pub fn get(
    handle: u32,
    key: [*]const u8,
    key_len: u32,
    out: [*]align(1) f32,
    out_len: u32,
) callconv(.c) i32 {
    const call = Call.begin(handle, .collection) orelse return boundary.stale();
    defer call.end();
    const collection = call.collection();
    if (out_len != collection.dimension()) return wrongVectors(out_len, 1, collection.dimension());
    const vector = slice(f32, out, out_len) catch |failure| return call.fail(failure);
    const found = collection.get(key[0..key_len], vector) catch |failure| return call.fail(failure);
    return boundary.foundIf(found);
}

/// `out` may be empty: metadata only.
pub fn getRecord(
    handle: u32,
    key: [*]const u8,
    key_len: u32,
    out: [*]align(1) f32,
    out_len: u32,
    metadata: [*]u8,
    metadata_cap: u32,
    metadata_len_out: [*]align(1) u32,
) callconv(.c) i32 {
    const call = Call.begin(handle, .collection) orelse return boundary.stale();
    defer call.end();
    const collection = call.collection();
    if (out_len != 0 and out_len != collection.dimension()) {
        return wrongVectors(out_len, 1, collection.dimension());
    }
    const vector = slice(f32, out, out_len) catch |failure| return call.fail(failure);
    var metadata_len: u32 = 0;
    const found = collection.getRecord(
        key[0..key_len],
        vector,
        metadata[0..metadata_cap],
        &metadata_len,
    ) catch |failure| {
        if (failure == error.BufferTooSmall) metadata_len_out[0] = metadata_len;
        return call.fail(failure);
    };
    metadata_len_out[0] = metadata_len;
    return boundary.foundIf(found);
}

pub fn getMany(
    handle: u32,
    keys: [*]const u8,
    keys_len: u32,
    key_lens: [*]align(1) const u32,
    count: u32,
    out: [*]align(1) f32,
    out_len: u32,
    found: [*]u8,
) callconv(.c) i32 {
    const call = Call.begin(handle, .collection) orelse return boundary.stale();
    defer call.end();
    const collection = call.collection();
    const lens = sliceConst(u32, key_lens, count) catch |failure| return call.fail(failure);
    const vectors = slice(f32, out, out_len) catch |failure| return call.fail(failure);
    if (!boundary.addUpTo(lens, keys_len)) return wrongLens("keys");
    if (!holds(out_len, count, collection.dimension())) {
        return wrongVectors(out_len, count, collection.dimension());
    }
    collection.getMany(keys[0..keys_len], lens, vectors, found[0..count]) catch |failure| {
        return call.fail(failure);
    };
    return boundary.done();
}

pub fn has(handle: u32, key: [*]const u8, key_len: u32) callconv(.c) i32 {
    const call = Call.begin(handle, .collection) orelse return boundary.stale();
    defer call.end();
    const found = call.collection().has(key[0..key_len]) catch |failure| return call.fail(failure);
    return boundary.foundIf(found);
}

pub fn delete(
    handle: u32,
    keys: [*]const u8,
    keys_len: u32,
    key_lens: [*]align(1) const u32,
    count: u32,
    deleted_out: [*]align(1) u32,
) callconv(.c) i32 {
    const call = Call.begin(handle, .collection) orelse return boundary.stale();
    defer call.end();
    const lens = sliceConst(u32, key_lens, count) catch |failure| return call.fail(failure);
    if (!boundary.addUpTo(lens, keys_len)) return wrongLens("keys");
    var deleted: u32 = 0;
    if (count > 0) {
        call.collection().delete(keys[0..keys_len], lens, &deleted) catch |failure| {
            return call.fail(failure);
        };
    }
    deleted_out[0] = deleted;
    return boundary.done();
}

pub fn clear(handle: u32) callconv(.c) i32 {
    const call = Call.begin(handle, .collection) orelse return boundary.stale();
    defer call.end();
    call.collection().clear() catch |failure| return call.fail(failure);
    return boundary.done();
}

/// Gives the row of a key other metadata, and leaves its vector as it is.
pub fn setMetadata(
    handle: u32,
    key: [*]const u8,
    key_len: u32,
    metadata: [*]const u8,
    metadata_len: u32,
) callconv(.c) i32 {
    const call = Call.begin(handle, .collection) orelse return boundary.stale();
    defer call.end();
    const content = metadata[0..metadata_len];
    if (!vectorlite.document.check(content)) return wrongMetadata();
    const found = call.collection().setMetadata(key[0..key_len], content) catch |failure|
        return call.fail(failure);
    return boundary.foundIf(found);
}

fn wrongMetadata() i32 {
    return boundary.refuse(.invalid_argument, "the metadata is malformed", .{});
}

/// How many rows match the filter; an empty one: how many there are.
pub fn countWhere(
    handle: u32,
    filter: [*]const u8,
    filter_len: u32,
    count_out: [*]align(1) f64,
) callconv(.c) i32 {
    const call = Call.begin(handle, .collection) orelse return boundary.stale();
    defer call.end();
    const found = call.collection().countWhere(filter[0..filter_len]) catch |failure|
        return call.fail(failure);
    count_out[0] = @floatFromInt(found);
    return boundary.done();
}

/// Deletes the rows that match the filter, which is not empty.
pub fn deleteWhere(
    handle: u32,
    filter: [*]const u8,
    filter_len: u32,
    deleted_out: [*]align(1) u32,
) callconv(.c) i32 {
    const call = Call.begin(handle, .collection) orelse return boundary.stale();
    defer call.end();
    deleted_out[0] = call.collection().deleteWhere(filter[0..filter_len]) catch |failure|
        return call.fail(failure);
    return boundary.done();
}

/// Deletes rows whose time is over, as many as take some milliseconds.
pub fn sweep(handle: u32, deleted_out: [*]align(1) u32) callconv(.c) i32 {
    const call = Call.begin(handle, .collection) orelse return boundary.stale();
    defer call.end();
    deleted_out[0] = call.collection().sweep() catch |failure| return call.fail(failure);
    return boundary.done();
}

/// The one bit of `include` that has a meaning.
pub const include_vectors: u32 = 1;

/// 1 means that these entries were the last ones.
pub fn scan(
    handle: u32,
    cursor: [*]align(1) u32,
    include: u32,
    filter: [*]const u8,
    filter_len: u32,
    out: [*]u8,
    out_len: u32,
    len_out: [*]align(1) u32,
    vectors: [*]align(1) f32,
    vectors_len: u32,
    count_out: [*]align(1) u32,
) callconv(.c) i32 {
    const call = Call.begin(handle, .collection) orelse return boundary.stale();
    defer call.end();
    const collection = call.collection();
    if (include & ~include_vectors != 0) return wrongInclude();
    if (include == include_vectors and vectors_len < collection.dimension()) {
        return wrongVectors(vectors_len, 1, collection.dimension());
    }
    var writer: vectorlite.EntryWriter = .{
        .out = out[0..out_len],
        .vectors = slice(f32, vectors, vectors_len) catch |failure| return call.fail(failure),
        .include_vectors = include == include_vectors,
    };
    var position: vectorlite.Cursor = @bitCast(cursor[0..4].*);
    const more = collection.scanWhere(&position, filter[0..filter_len], &writer) catch |failure| {
        if (failure == error.BufferTooSmall) len_out[0] = std.math.lossyCast(u32, writer.needed);
        return call.fail(failure);
    };
    cursor[0..4].* = @bitCast(position);
    len_out[0] = @intCast(writer.used);
    count_out[0] = writer.count;
    return boundary.foundIf(more);
}

fn wrongInclude() i32 {
    return boundary.refuse(.invalid_argument, "an unknown bit of include is set", .{});
}

/// The entries of `count` hits, in their order, of the state that the last search saw.
pub fn fetch(
    handle: u32,
    hits: [*]align(1) const u8,
    count: u32,
    include: u32,
    out: [*]u8,
    out_len: u32,
    len_out: [*]align(1) u32,
    vectors: [*]align(1) f32,
    vectors_len: u32,
) callconv(.c) i32 {
    const call = Call.begin(handle, .collection) orelse return boundary.stale();
    defer call.end();
    return fetchFrom(
        call,
        call.collection(),
        hits,
        count,
        include,
        out[0..out_len],
        len_out,
        vectors,
        vectors_len,
    );
}

/// The rest of fetching, for the state that `collection` is of.
pub fn fetchFrom(
    call: Call,
    collection: *vectorlite.Collection,
    hits: [*]align(1) const u8,
    count: u32,
    include: u32,
    out: []u8,
    len_out: [*]align(1) u32,
    vectors: [*]align(1) f32,
    vectors_len: u32,
) i32 {
    const dimension = collection.dimension();
    if (include & ~include_vectors != 0) return wrongInclude();
    if (include == include_vectors and vectors_len < @as(u64, count) * dimension) {
        return wrongVectors(vectors_len, count, dimension);
    }
    var writer: vectorlite.EntryWriter = .{
        .out = out,
        .vectors = slice(f32, vectors, vectors_len) catch |failure| return call.fail(failure),
        .include_vectors = include == include_vectors,
    };
    const list = sliceConst(Hit, @ptrCast(hits), count) catch |failure| return call.fail(failure);
    collection.fetch(list, &writer) catch |failure| {
        if (failure == error.BufferTooSmall) len_out[0] = std.math.lossyCast(u32, writer.needed);
        return call.fail(failure);
    };
    len_out[0] = @intCast(writer.used);
    return boundary.done();
}
