//! A named set of rows (key, vector, metadata) of one dimension and metric, as a handle on a
//! database or on a snapshot: what callers can do with it, what it keeps in memory for them, and
//! what it has counted. It holds no state of the file: each call asks the database for the newest.

const std = @import("std");
const arguments = @import("arguments.zig");
const burial = @import("burial.zig");
const catalogue = @import("catalogue.zig");
const entries = @import("entries.zig");
const format = @import("format.zig");
const live_filter = @import("live_filter.zig");
const lookup = @import("lookup.zig");
const metadata_change = @import("metadata_change.zig");
const purge = @import("purge.zig");
const room = @import("room.zig");
const search_module = @import("search.zig");
const search_request = @import("search_request.zig");
const Access = @import("access.zig").Access;
const Batch = @import("batch.zig").Batch;
const CollectionOptions = @import("collection_options.zig").CollectionOptions;
const Database = @import("database.zig").Database;
const Departures = @import("departures.zig").Departures;
const Error = @import("errors.zig").Error;
const Eviction = @import("eviction.zig").Eviction;
const Hit = search_module.Hit;
const HotVectors = @import("hot_vectors.zig").HotVectors;
const Metric = @import("metrics.zig").Metric;
const Mover = @import("compaction.zig").Mover;
const ReadWindow = @import("read_window.zig").ReadWindow;
const RowFilter = @import("row_filter.zig").RowFilter;
const RowWriter = @import("row_writer.zig").RowWriter;
const Scope = @import("scope.zig").Scope;
const Snapshot = @import("database.zig").Snapshot;
const VectorRun = @import("vector_run.zig").VectorRun;

pub const CollectionStats = struct {
    records: u64,
    index_bytes: u64,
    cached_count: u64,
    cache_capacity: u64,
    memory_bytes: u64,
    hits: u64,
    misses: u64,
    sets: u64,
    evictions: u64,
    expirations: u64,
};

pub const Collection = struct {
    access: Access,
    hot: ?HotVectors = null,
    /// Of a collection that has a maximum.
    eviction: ?Eviction = null,
    purge: purge.Purge = .{},
    hits: u64 = 0,
    misses: u64 = 0,
    sets: u64 = 0,
    /// Of all rows that were hit.
    saved_cost: u64 = 0,
    departures: Departures,

    pub const Options = CollectionOptions;
    pub const SearchOptions = search_request.SearchOptions;

    pub fn open(scope: Scope, name: []const u8, options: Options) Error!*Collection {
        const database = scope.parent();
        try options.check(database, name);
        _ = try scope.enterRead();
        // First: once the collection is made in a transaction, nothing may fail any more.
        const collection = database.gpa.create(Collection) catch return database.outOfMemory();
        errdefer database.gpa.destroy(collection);
        const state = try catalogue.findOrCreate(scope, name, &options);
        const identity = state.identity;
        try options.checkIdentity(database, identity);
        if (scope == .database) try options.checkMayLose(database, identity);
        try room.checkHolds(database, identity.dimension);
        const rows_max = if (scope == .snapshot)
            null
        else
            room.rowsMax(database, identity.dimension, options.rows_max);
        const eviction: ?Eviction = if (rows_max) |most|
            Eviction.init(database.gpa, most) catch return database.outOfMemory()
        else
            null;
        collection.* = .{
            .access = .init(scope, state.catalogue_index, identity),
            .eviction = eviction,
            .departures = .{ .catalogue_index = state.catalogue_index },
        };
        if (scope == .snapshot) return collection;
        if (options.hot_vectors > 0) {
            collection.hot = .init(&collection.access, options.hot_vectors);
        }
        database.departures.append(&collection.departures.node);
        return collection;
    }

    /// The same collection in another state; an error of its use where it is not in there.
    pub fn ofSnapshot(collection: *const Collection, snapshot: *Snapshot) Error!*Collection {
        const database = snapshot.database;
        const index = collection.access.catalogue_index;
        const past = database.gpa.create(Collection) catch return database.outOfMemory();
        past.* = .{
            .access = .init(.{ .snapshot = snapshot }, index, collection.access.identity),
            .departures = .{ .catalogue_index = index },
        };
        return past;
    }

    pub fn close(collection: *Collection) void {
        const gpa = collection.access.gpa;
        if (collection.hot) |*hot| hot.deinit();
        if (collection.eviction) |*eviction| eviction.deinit();
        if (collection.access.scope == .database) {
            collection.access.database().departures.remove(&collection.departures.node);
        }
        collection.access.deinit();
        gpa.destroy(collection);
    }

    pub fn dimension(collection: *const Collection) u32 {
        return collection.access.dimension();
    }

    pub fn metric(collection: *const Collection) Metric {
        return collection.access.metric();
    }

    pub fn model(collection: *const Collection) []const u8 {
        return collection.access.identity.model();
    }

    /// As the state that this handle reads calls it. Valid until the next call.
    pub fn currentName(collection: *Collection) Error![]const u8 {
        _ = try collection.access.readable();
        return (try collection.access.currentState()).identity.name();
    }

    /// Inserts or replaces every row of the batch, or none of them.
    pub fn put(collection: *Collection, batch: Batch) Error!void {
        const access = &collection.access;
        const database = try access.writable();
        const inverse_norms = access.gpa.alloc(f32, batch.count()) catch
            return database.outOfMemory();
        defer access.gpa.free(inverse_norms);
        try batch.check(access, inverse_norms);
        if (batch.count() == 0) return;
        const bytes = batch.bytes(access.dimension());
        try room.checkFits(database, bytes);
        const was_full = database.isDiskFull();
        // Only a file that has a maximum is shared by all that is in it.
        const only = if (database.isBounded()) null else access.catalogue_index;
        var tries: u32 = 0;
        while (true) : (tries += 1) {
            const failure = if (collection.putAll(database, &batch, inverse_norms)) |_|
                break
            else |err|
                err;
            const may_evict = collection.eviction != null and failure == error.NoSpace and
                database.transaction == null and tries < tries_max;
            if (may_evict)
                try room.make(database, bytes, only)
            else if (tries > 0 or !database.mayRetry(failure, was_full)) return failure;
        }
        collection.sets += batch.count();
    }
    /// Of making room, before a write finds none.
    const tries_max = 6;

    fn putAll(
        collection: *Collection,
        database: *Database,
        batch: *const Batch,
        inverse_norms: []const f32,
    ) Error!void {
        const access = &collection.access;
        const departures = &collection.departures;
        const own = try database.beginImplicit();
        errdefer |err| database.failWrite(own, err);
        const transaction = database.transaction.?;
        try collection.purge.whenDue(access, transaction, departures);
        const state = try access.editable(transaction);
        if (collection.eviction) |*eviction| {
            try room.heed(database, transaction, state, eviction, departures, batch.count());
            eviction.beginWrite(state);
        }
        var appender = database.appenderFor(transaction, state);
        appender.expected_rows = batch.count();
        defer appender.deinit();
        var mover = database.moverFor(&appender);
        defer mover.deinit();
        const writer = collection.rowWriter(&mover);
        var rows = batch.rows(access.dimension(), inverse_norms);
        while (rows.next()) |row| try writer.put(row);
        try appender.flush();
        if (own) try database.commit();
    }

    fn rowWriter(collection: *Collection, mover: *Mover) RowWriter {
        return .{
            .access = &collection.access,
            .mover = mover,
            .eviction = if (collection.eviction) |*eviction| eviction else null,
            .departures = &collection.departures,
        };
    }

    /// Gives the row of a key other metadata; false where the key has none.
    pub fn setMetadata(collection: *Collection, key: []const u8, metadata: []const u8) Error!bool {
        const database = try collection.access.writable();
        try arguments.checkKey(&collection.access, key);
        try arguments.checkMetadata(&collection.access, metadata.len);
        const was_full = database.isDiskFull();
        return collection.setRow(database, key, metadata) catch |err| {
            if (!database.mayRetry(err, was_full)) return err;
            return collection.setRow(database, key, metadata);
        };
    }

    fn setRow(
        collection: *Collection,
        database: *Database,
        key: []const u8,
        metadata: []const u8,
    ) Error!bool {
        const access = &collection.access;
        const own = try database.beginImplicit();
        errdefer |err| database.failWrite(own, err);
        const place = try lookup.find(access, key) orelse {
            if (own) database.rollback();
            return false;
        };
        try metadata_change.change(access, database.transaction.?, &place, key, metadata);
        if (own) try database.commit();
        return true;
    }

    /// Copies the vector into `out`; false where the key has none.
    pub fn get(collection: *Collection, key: []const u8, out: []f32) Error!bool {
        const access = &collection.access;
        const database = try access.readable();
        try arguments.checkKey(access, key);
        try arguments.checkRoom(access, out.len, 1);
        const key_hash = access.keyHash(key);
        if (try collection.getHot(database, key_hash, key, out)) return true;
        const place = try lookup.findHashed(access, key_hash, key) orelse {
            collection.misses += 1;
            return false;
        };
        try database.reader(database.scratch).vector(place.state, place.segment, place.row, out);
        if (collection.hot) |*hot| hot.put(database, key_hash, key, &place, out);
        collection.countHit(key_hash, place.cost);
        return true;
    }

    fn getHot(
        collection: *Collection,
        database: *const Database,
        key_hash: u64,
        key: []const u8,
        out: []f32,
    ) Error!bool {
        const hot = if (collection.hot) |*hot| hot else return false;
        const cost = try hot.get(&collection.access, database, key_hash, key, out) orelse
            return false;
        collection.countHit(key_hash, cost);
        return true;
    }

    fn countHit(collection: *Collection, key_hash: u64, cost: u32) void {
        if (collection.eviction) |*eviction| eviction.recency.read(key_hash);
        collection.hits += 1;
        collection.saved_cost += cost;
    }

    /// `out` takes the vector unless it is empty. `BufferTooSmall` says in `metadata_len` how many
    /// bytes the metadata has.
    pub fn getRecord(
        collection: *Collection,
        key: []const u8,
        out: []f32,
        metadata_out: []u8,
        metadata_len: *u32,
    ) Error!bool {
        const access = &collection.access;
        const database = try access.readable();
        try arguments.checkKey(access, key);
        if (out.len > 0) try arguments.checkRoom(access, out.len, 1);
        const key_hash = access.keyHash(key);
        const place = try lookup.findHashed(access, key_hash, key) orelse {
            collection.misses += 1;
            return false;
        };
        const reader = database.reader(database.scratch);
        const record = try reader.record(place.state, place.segment, place.row);
        metadata_len.* = record.metadata_bytes;
        if (record.metadata_bytes > metadata_out.len) return access.fail(
            error.BufferTooSmall,
            "the metadata has {d} bytes, the buffer {d}",
            .{ record.metadata_bytes, metadata_out.len },
        );
        try reader.metadata(
            place.state,
            place.segment,
            place.row,
            record,
            metadata_out[0..record.metadata_bytes],
        );
        if (out.len > 0) try reader.vector(place.state, place.segment, place.row, out);
        collection.countHit(key_hash, place.cost);
        return true;
    }

    /// Row i of `out` is the vector of key i, zeros where `found[i]` is 0.
    pub fn getMany(
        collection: *Collection,
        keys: []const u8,
        key_lens: []const u32,
        out: []f32,
        found: []u8,
    ) Error!void {
        const access = &collection.access;
        try arguments.checkKeys(access, keys, key_lens);
        try arguments.checkRoom(access, out.len, key_lens.len);
        if (found.len < key_lens.len) return access.fail(
            error.InvalidArgument,
            "found has room for {d} keys of {d}",
            .{ found.len, key_lens.len },
        );
        const is_run = key_lens.len >= run_keys_min;
        const window = if (is_run) access.gpa.create(ReadWindow) catch null else null;
        defer if (window) |allocated| access.gpa.destroy(allocated);
        var run: ?VectorRun = if (is_run) try collection.beginRun(window) else null;
        const len = access.dimension();
        var start: usize = 0;
        for (key_lens, found[0..key_lens.len], 0..) |key_len, *is_found, i| {
            const key = keys[start..][0..key_len];
            start += key_len;
            const vector = out[i * len ..][0..len];
            const is_there = if (run) |*rows|
                try collection.getInRun(rows, key, vector)
            else
                try collection.get(key, vector);
            if (!is_there) @memset(vector, 0);
            is_found.* = @intFromBool(is_there);
        }
        if (run) |*rows| try rows.finish();
    }
    /// Fewer keys of one call are looked up one by one, so that they get hot.
    const run_keys_min = 16;

    fn beginRun(collection: *Collection, window: ?*ReadWindow) Error!VectorRun {
        const database = try collection.access.readable();
        if (window) |empty| empty.* = .{};
        var reader = database.reader(database.scratch);
        reader.is_glance = true;
        return .{
            .reader = reader,
            .window = window,
            .state = try collection.access.currentState(),
        };
    }

    /// `out` has the vector once the run is finished. Rows that are read in runs do not get hot:
    /// they would drive out what is asked for alone.
    fn getInRun(
        collection: *Collection,
        run: *VectorRun,
        key: []const u8,
        out: []f32,
    ) Error!bool {
        const access = &collection.access;
        const key_hash = access.keyHash(key);
        if (try collection.getHot(access.database(), key_hash, key, out)) return true;
        const place = try lookup.findIn(access, run.state, run, key_hash, key) orelse {
            collection.misses += 1;
            return false;
        };
        try run.add(place.segment, place.row, out);
        collection.countHit(key_hash, place.cost);
        return true;
    }

    pub fn has(collection: *Collection, key: []const u8) Error!bool {
        const access = &collection.access;
        _ = try access.readable();
        try arguments.checkKey(access, key);
        return try lookup.find(access, key) != null;
    }

    /// One atomic batch; `deleted` counts the keys that were there.
    pub fn delete(
        collection: *Collection,
        keys: []const u8,
        key_lens: []const u32,
        deleted: *u32,
    ) Error!void {
        const database = try collection.access.writable();
        try arguments.checkKeys(&collection.access, keys, key_lens);
        deleted.* = 0;
        if (key_lens.len == 0) return;
        const was_full = database.isDiskFull();
        deleted.* = collection.deleteAll(database, keys, key_lens) catch |err| again: {
            if (!database.mayRetry(err, was_full)) return err;
            break :again try collection.deleteAll(database, keys, key_lens);
        };
    }

    fn deleteAll(
        collection: *Collection,
        database: *Database,
        keys: []const u8,
        key_lens: []const u32,
    ) Error!u32 {
        const own = try database.beginImplicit();
        errdefer |err| database.failWrite(own, err);
        const state = try collection.access.currentState();
        var appender = database.appenderFor(database.transaction.?, state);
        defer appender.deinit();
        var mover = database.moverFor(&appender);
        defer mover.deinit();
        const writer = collection.rowWriter(&mover);
        var count: u32 = 0;
        var start: usize = 0;
        for (key_lens) |len| {
            const key = keys[start..][0..len];
            start += len;
            if (try writer.delete(key)) count += 1;
        }
        try appender.flush();
        if (own) try database.commit();
        return count;
    }

    pub fn clear(collection: *Collection) Error!void {
        const database = try collection.access.writable();
        const own = try database.beginImplicit();
        errdefer |err| database.failWrite(own, err);
        const transaction = database.transaction.?;
        try transaction.clearCollection(try collection.access.editable(transaction));
        if (own) try database.commit();
    }

    /// How many rows match a filter.
    pub fn countWhere(collection: *Collection, filter: []const u8) Error!u64 {
        const access = &collection.access;
        _ = try access.readable();
        var arena: std.heap.ArenaAllocator = .init(access.gpa);
        defer arena.deinit();
        const parsed = try live_filter.parse(access, arena.allocator(), filter) orelse
            return (try access.currentState()).live_rows;
        var matches = try live_filter.matchesOf(access, parsed);
        defer matches.deinit();
        try matches.findAll();
        return matches.count;
    }

    /// Deletes the rows that match a filter, as one atomic batch; says how many they were.
    pub fn deleteWhere(collection: *Collection, filter: []const u8) Error!u32 {
        const access = &collection.access;
        const database = try access.writable();
        var arena: std.heap.ArenaAllocator = .init(access.gpa);
        defer arena.deinit();
        if (filter.len == 0) return access.fail(
            error.InvalidArgument,
            "there is no filter; clear() deletes every row",
            .{},
        );
        // Before anything else, so that a filter that is wrong does not doom a transaction.
        _ = try live_filter.parse(access, arena.allocator(), filter);
        const was_full = database.isDiskFull();
        return collection.deleteMatches(database, filter) catch |err| {
            if (!database.mayRetry(err, was_full)) return err;
            return collection.deleteMatches(database, filter);
        };
    }

    fn deleteMatches(collection: *Collection, database: *Database, filter: []const u8) Error!u32 {
        const access = &collection.access;
        const own = try database.beginImplicit();
        errdefer |err| database.failWrite(own, err);
        var arena: std.heap.ArenaAllocator = .init(access.gpa);
        defer arena.deinit();
        const parsed = (try live_filter.parse(access, arena.allocator(), filter)).?;
        const transaction = database.transaction.?;
        const deleted = try burial.buryWhere(access, transaction, parsed, std.math.maxInt(u32));
        if (own) try database.commit();
        return deleted;
    }

    /// Deletes rows whose time is over, some at a time; says how many.
    pub fn sweep(collection: *Collection) Error!u32 {
        return purge.sweep(&collection.access, &collection.departures);
    }

    /// The `k` nearest rows of each query (count × dimension), best first; `hits` has room for
    /// count × k. Equal scores come in key order.
    pub fn search(
        collection: *Collection,
        queries: []const f32,
        k: u32,
        threshold: ?f32,
        hits: []Hit,
        counts: []u32,
    ) Error!void {
        var report: search_module.Report = .{};
        const options: SearchOptions = .{ .k = k, .threshold = threshold };
        return collection.searchWith(queries, options, hits, counts, &report);
    }

    /// The same, and what it took.
    pub fn searchWith(
        collection: *Collection,
        queries: []const f32,
        options: SearchOptions,
        hits: []Hit,
        counts: []u32,
        report: *search_module.Report,
    ) Error!void {
        const access = &collection.access;
        const database = try access.readable();
        defer _ = database.search_memory.reset(.{ .retain_with_limit = search_memory_kept });
        var filter_memory: std.heap.ArenaAllocator = .init(access.gpa);
        defer filter_memory.deinit();
        const request = try search_request.requestOf(access, queries, &options, .{
            .filter_memory = filter_memory.allocator(),
            .memory = &database.search_memory,
            .hits = hits,
            .counts = counts,
            .report = report,
        });
        var running: search_module.Search = try .init(request);
        defer running.deinit();
        while (try running.step(std.math.maxInt(u64))) {}
    }
    const search_memory_kept = 1024 * 1024;

    /// Keys, metadata and vectors of hits, in the state that the search saw: nothing is refreshed.
    pub fn fetch(collection: *Collection, hits: []const Hit, out: *entries.EntryWriter) Error!void {
        var found = try collection.entriesNow();
        // Hits are all over the file.
        found.reader.is_glance = true;
        return found.fetch(hits, out);
    }

    /// The next live rows after `cursor`; false when there are no more. Over a snapshot's
    /// collection the scan is consistent however long it takes.
    pub fn scan(
        collection: *Collection,
        cursor: *entries.Cursor,
        out: *entries.EntryWriter,
    ) Error!bool {
        return collection.scanWhere(cursor, &.{}, out);
    }

    /// The same of rows that match a filter; empty: of all.
    pub fn scanWhere(
        collection: *Collection,
        cursor: *entries.Cursor,
        filter: []const u8,
        out: *entries.EntryWriter,
    ) Error!bool {
        const access = &collection.access;
        _ = try access.readable();
        const now = try collection.entriesNow();
        var arena: std.heap.ArenaAllocator = .init(access.gpa);
        defer arena.deinit();
        const parsed = try live_filter.parse(access, arena.allocator(), filter) orelse
            return now.scan(cursor, null, out);
        var row_filter: RowFilter = .{
            .gpa = access.gpa,
            .filter = parsed,
            .state = now.state,
            .reader = now.reader,
        };
        defer row_filter.deinit();
        return now.scan(cursor, &row_filter, out);
    }

    fn entriesNow(collection: *Collection) Error!entries.Entries {
        const database = collection.access.database();
        return .{
            .gpa = collection.access.gpa,
            .state = try collection.access.currentState(),
            .source = collection.access.source(),
            .reader = database.reader(database.scratch),
        };
    }

    pub fn stats(collection: *Collection) Error!CollectionStats {
        _ = try collection.access.readable();
        const found = try collection.access.currentState();
        return .{
            .records = try collection.countWhere(&.{}),
            .index_bytes = @as(u64, found.index_pages) * format.page_bytes,
            .cached_count = if (collection.hot) |*hot| hot.cache.count else 0,
            .cache_capacity = if (collection.hot) |*hot| hot.cache.capacity else 0,
            .memory_bytes = collection.ownBytes(),
            .hits = collection.hits,
            .misses = collection.misses,
            .sets = collection.sets,
            .evictions = collection.departures.committed.evictions,
            .expirations = collection.departures.committed.expirations,
        };
    }

    fn ownBytes(collection: *const Collection) u64 {
        const hot = if (collection.hot) |*hot| hot.bytes() else 0;
        return hot + if (collection.eviction) |*eviction| eviction.recency.bytes() else 0;
    }
};
