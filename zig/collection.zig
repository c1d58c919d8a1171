//! A named set of rows (key, vector, metadata) of one dimension and metric, as a handle on a
//! database or on a snapshot. It holds no state of the file: each call asks the database for the
//! newest.

const std = @import("std");
const collection_state = @import("collection_state.zig");
const errors = @import("errors.zig");
const format = @import("format.zig");
const hash = @import("hash.zig");
const hot_cache = @import("hot_cache.zig");
const kernels = @import("kernels/kernels.zig");
const key_index = @import("key_index.zig");
const entries = @import("entries.zig");
const eviction_module = @import("eviction.zig");
const expiry = @import("expiry.zig");
const limits = @import("limits.zig");
const metrics = @import("metrics.zig");
const search_module = @import("search.zig");
const room_module = @import("room.zig");
const Amender = @import("amender.zig").Amender;
const Appender = @import("appender.zig").Appender;
const Departures = @import("departures.zig").Departures;
const Eviction = eviction_module.Eviction;
const Filter = @import("filter.zig").Filter;
const HotCache = hot_cache.HotCache;
const Matches = @import("matches.zig").Matches;
const Mover = @import("compaction.zig").Mover;
const ReadWindow = @import("read_window.zig").ReadWindow;
const RowFilter = @import("row_filter.zig").RowFilter;
const Transaction = @import("transaction.zig").Transaction;
const VectorRun = @import("vector_run.zig").VectorRun;
const View = @import("view.zig").View;
const database_module = @import("database.zig");
const Database = database_module.Database;
const Snapshot = database_module.Snapshot;

const Error = errors.Error;
const CollectionState = collection_state.CollectionState;
const Identity = collection_state.Identity;
const SegmentState = collection_state.SegmentState;

pub const Metric = metrics.Metric;

/// Where a collection is opened: the newest state, or one that stays.
pub const Scope = union(enum) {
    database: *Database,
    snapshot: *Snapshot,

    pub fn parent(scope: Scope) *Database {
        return switch (scope) {
            .database => |database| database,
            .snapshot => |snapshot| snapshot.database,
        };
    }
};

pub const CollectionOptions = struct {
    /// 0: what the file says, `limits.dimension_default` for a new collection.
    dimension: u32 = 0,
    /// Null: what the file says, cosine for a new collection.
    metric: ?Metric = null,
    /// Identity of the embedding model; empty: not checked.
    model: []const u8 = "",
    /// Makes the collection where there is none.
    create: bool = true,
    /// Vectors kept in private memory.
    hot_vectors: u32 = 0,
    /// More rows than these are never kept: which go is said in eviction.zig. Null: no maximum.
    rows_max: ?u64 = null,
};

pub const Hit = search_module.Hit;
pub const search_threads_max = @import("os/crew.zig").lanes_max;

/// Rows to upsert, all of them or none. A later row with the same key wins.
pub const Batch = struct {
    /// The keys' UTF-8, one after the other.
    keys: []const u8,
    key_lens: []const u32,
    /// rows × dimension.
    vectors: []const f32,
    metadata: []const u8 = &.{},
    /// Empty: no row has metadata.
    metadata_lens: []const u32 = &.{},
    /// Milliseconds since 1970 at which each row is over, 0 for never. Empty: never.
    expiries: []const f64 = &.{},
    /// Empty: 0 of each row.
    costs: []const u32 = &.{},
};

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

/// Fewer keys of one call are looked up one by one.
const run_keys_min = 16;

/// Where a live row was found.
pub const Place = struct {
    state: *CollectionState,
    segment: *SegmentState,
    row: u32,
    location: u64,
    expiry_ms: i64,
    cost: u32,
};

pub const Collection = struct {
    scope: Scope,
    gpa: std.mem.Allocator,
    catalogue_index: u32,
    identity: *Identity,
    dimension: u32,
    metric: Metric,
    hot: ?HotCache,
    /// Of a collection that has a maximum.
    eviction: ?Eviction = null,
    /// When rows whose time is over were last looked for.
    purged_ms: i64 = 0,
    /// The database's count as of which `hot` was filled.
    forgotten_count: u32,
    /// And as of which `identity` was seen in a state of the file.
    identity_count: u32,
    hits: u64 = 0,
    misses: u64 = 0,
    sets: u64 = 0,
    /// Of all rows that were hit.
    saved_cost: u64 = 0,
    departures: Departures,

    pub fn open(scope: Scope, name: []const u8, options: CollectionOptions) Error!*Collection {
        const database = scope.parent();
        try checkOptions(database, name, options);
        if (scope == .database) try database.enterRead();
        // First: once the collection is made in a transaction, nothing may fail any more.
        const collection = database.gpa.create(Collection) catch return database.outOfMemory();
        errdefer database.gpa.destroy(collection);
        const state = try findOrCreate(scope, name, options);
        const identity = state.identity;
        try checkIdentity(database, identity, options);
        try checkRoom(database, identity.dimension);
        const rows_max = rowsMax(scope, identity.dimension, options.rows_max);
        const eviction: ?Eviction = if (rows_max) |most|
            Eviction.init(database.gpa, most) catch return database.outOfMemory()
        else
            null;
        collection.* = .{
            .scope = scope,
            .gpa = database.gpa,
            .catalogue_index = state.catalogue_index,
            .identity = identity.retain(),
            .dimension = identity.dimension,
            .metric = @enumFromInt(identity.metric),
            .forgotten_count = database.forgotten_count,
            .identity_count = database.forgotten_count,
            .hot = if (options.hot_vectors == 0 or scope == .snapshot)
                null
            else
                .init(database.gpa, options.hot_vectors, identity.dimension),
            .eviction = eviction,
            .departures = .{ .catalogue_index = state.catalogue_index },
        };
        if (scope == .database) database.departures.append(&collection.departures.node);
        return collection;
    }

    /// Also where only the file has a maximum.
    fn rowsMax(scope: Scope, dimension: u32, wanted: ?u64) ?u64 {
        if (scope == .snapshot) return null;
        if (!scope.database.isBounded()) return wanted;
        const file_bytes_max = scope.database.options.file_bytes_max;
        const fitting = @max(1, eviction_module.rowsIn(file_bytes_max, dimension));
        return @min(wanted orelse fitting, fitting);
    }

    pub const Options = CollectionOptions;

    /// The same collection in another state; an error of its use where it is not in there.
    pub fn ofSnapshot(collection: *const Collection, snapshot: *Snapshot) Error!*Collection {
        const database = snapshot.database;
        const past = database.gpa.create(Collection) catch return database.outOfMemory();
        past.* = .{
            .scope = .{ .snapshot = snapshot },
            .gpa = database.gpa,
            .catalogue_index = collection.catalogue_index,
            .identity = collection.identity.retain(),
            .dimension = collection.dimension,
            .metric = collection.metric,
            .forgotten_count = database.forgotten_count,
            .identity_count = database.forgotten_count,
            .hot = null,
            .departures = .{ .catalogue_index = collection.catalogue_index },
        };
        return past;
    }

    pub fn close(collection: *Collection) void {
        if (collection.hot) |*hot| hot.deinit();
        if (collection.eviction) |*eviction| eviction.deinit();
        if (collection.scope == .database) {
            collection.scope.database.departures.remove(&collection.departures.node);
        }
        collection.identity.release(collection.gpa);
        collection.gpa.destroy(collection);
    }

    pub fn model(collection: *const Collection) []const u8 {
        return collection.identity.model();
    }

    /// As the state that this handle reads calls it. Valid until the next call.
    pub fn currentName(collection: *Collection) Error![]const u8 {
        _ = try collection.readable();
        return (try collection.currentState()).identity.name();
    }

    /// Inserts or replaces every row of the batch, or none of them.
    pub fn put(collection: *Collection, batch: Batch) Error!void {
        const database = try collection.writable();
        const inverse_norms = collection.gpa.alloc(f32, batch.key_lens.len) catch
            return database.outOfMemory();
        defer collection.gpa.free(inverse_norms);
        try collection.checkBatch(batch, inverse_norms);
        if (batch.key_lens.len == 0) return;
        const bytes = batch.keys.len + batch.metadata.len +
            eviction_module.bytesOf(batch.key_lens.len, collection.dimension);
        try room_module.checkFits(database, bytes);
        const was_full = database.isDiskFull();
        // Only a file that has a maximum is shared by all that is in it.
        const only = if (database.isBounded()) null else collection.catalogue_index;
        var tries: u32 = 0;
        while (true) : (tries += 1) {
            const failure = if (collection.putAll(database, batch, inverse_norms)) |_|
                break
            else |err|
                err;
            const may_evict = collection.eviction != null and failure == error.NoSpace and
                database.transaction == null and tries < tries_max;
            if (may_evict)
                try room_module.make(database, bytes, only)
            else if (tries > 0 or !database.mayRetry(failure, was_full)) return failure;
        }
        collection.sets += batch.key_lens.len;
    }
    /// Of making room, before a write finds none.
    const tries_max = 6;

    /// Before a write of so many rows: how many there may be, as far as room goes.
    fn heedRoom(
        collection: *Collection,
        eviction: *Eviction,
        transaction: *Transaction,
        new_rows: u64,
    ) Error!void {
        const departures = &collection.departures;
        const options = &collection.scope.parent().options;
        if (collection.scope.parent().isBounded()) {
            const state = try collection.currentState();
            const survey: room_module.Survey = try .of(transaction, new_rows);
            transaction.writer.reserved_pages = survey.reserved_pages;
            const is_its_turn = survey.isItsTurn(state, options.file_bytes_max);
            if (is_its_turn) departures.rows_fitting = state.live_rows;
        }
        const fitting = departures.rows_fitting orelse return;
        eviction.allow(@min(eviction.rows_max, fitting));
        departures.rows_fitting = null;
    }

    /// Rows whose time is over go in parts, at most once a second.
    fn purgeWhenDue(collection: *Collection, transaction: *Transaction) Error!void {
        const state = try collection.currentState();
        if (!state.has_expiry) return;
        const now_ms = collection.scope.parent().system.wallMs();
        const is_recent = now_ms >= collection.purged_ms and
            now_ms - collection.purged_ms < purge_interval_ms;
        if (is_recent) return;
        const buried = try collection.purge(transaction, now_ms);
        collection.purged_ms = if (buried == purged_rows_max) 0 else now_ms;
    }
    const purge_interval_ms = 1000;
    const purged_rows_max = 4096;

    fn purge(collection: *Collection, transaction: *Transaction, now_ms: i64) Error!u32 {
        var arena: std.heap.ArenaAllocator = .init(collection.gpa);
        defer arena.deinit();
        const over = try collection.filterOver(arena.allocator(), now_ms);
        const buried = try collection.buryWhere(transaction, over, purged_rows_max);
        collection.departures.open.expirations += buried;
        if (buried < purged_rows_max) try collection.forgetExpiry(transaction, arena.allocator());
        return buried;
    }

    /// Without any row that will be over, reading need not ask for it. Where there is one it is
    /// found soon; where there is none this is the last time that all are looked at.
    fn forgetExpiry(
        collection: *Collection,
        transaction: *Transaction,
        arena: std.mem.Allocator,
    ) Error!void {
        const ever = try collection.filterOver(arena, std.math.maxInt(i64));
        var matches = try collection.matchesOf(ever);
        defer matches.deinit();
        if (!try matches.any()) (try collection.editable(transaction)).has_expiry = false;
    }

    fn filterOver(
        collection: *Collection,
        arena: std.mem.Allocator,
        now_ms: i64,
    ) Error!*const Filter {
        const database = collection.scope.parent();
        const filter = arena.create(Filter) catch return database.outOfMemory();
        filter.* = Filter.over(arena, now_ms) catch return database.outOfMemory();
        return filter;
    }

    /// Deletes rows whose time is over, some at a time; says how many.
    pub fn sweep(collection: *Collection) Error!u32 {
        const database = try collection.writable();
        if (database.transaction != null) return 0;
        try database.enterRead();
        if (!(try collection.currentState()).has_expiry) return 0;
        const now_ms = database.system.wallMs();
        {
            var arena: std.heap.ArenaAllocator = .init(collection.gpa);
            defer arena.deinit();
            var matches = try collection.matchesOf(
                try collection.filterOver(arena.allocator(), now_ms),
            );
            defer matches.deinit();
            while (try matches.step(std.math.maxInt(u64))) {}
            if (matches.count == 0) return 0;
        }
        // Somebody else who is writing deletes them too.
        try database.beginAtOnce();
        errdefer |err| database.failWrite(true, err);
        const buried = try collection.purge(database.transaction.?, now_ms);
        try database.commit();
        return buried;
    }

    fn putAll(
        collection: *Collection,
        database: *Database,
        batch: Batch,
        inverse_norms: []const f32,
    ) Error!void {
        const own = try database.beginImplicit();
        errdefer |err| database.failWrite(own, err);
        const transaction = database.transaction.?;
        try collection.purgeWhenDue(transaction);
        const state = try collection.editable(transaction);
        if (collection.eviction) |*eviction|
            try collection.heedRoom(eviction, transaction, batch.key_lens.len);
        var appender = database.appenderFor(transaction, state);
        appender.expected_rows = batch.key_lens.len;
        defer appender.deinit();
        var mover = database.moverFor(&appender);
        defer mover.deinit();
        var key_start: usize = 0;
        var metadata_start: usize = 0;
        for (batch.key_lens, inverse_norms, 0..) |key_len, inverse_norm, i| {
            const metadata_len = if (batch.metadata_lens.len > 0) batch.metadata_lens[i] else 0;
            try collection.putRow(transaction, &mover, .{
                .key = batch.keys[key_start..][0..key_len],
                .metadata = batch.metadata[metadata_start..][0..metadata_len],
                .vector = batch.vectors[i * collection.dimension ..][0..collection.dimension],
                .inverse_norm = inverse_norm,
                .expiry_ms = if (batch.expiries.len > 0) @intFromFloat(batch.expiries[i]) else 0,
                .cost = if (batch.costs.len > 0) batch.costs[i] else 0,
            });
            key_start += key_len;
            metadata_start += metadata_len;
        }
        try appender.flush();
        if (own) try database.commit();
    }

    /// Gives the row of a key other metadata; false where the key has none.
    pub fn setMetadata(collection: *Collection, key: []const u8, metadata: []const u8) Error!bool {
        const database = try collection.writable();
        try collection.checkKey(key);
        try collection.checkMetadataBytes(metadata.len);
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
        const own = try database.beginImplicit();
        errdefer |err| database.failWrite(own, err);
        const transaction = database.transaction.?;
        const key_hash = collection.keyHash(key);
        const place = try collection.locate(key_hash, key) orelse {
            if (own) database.rollback();
            return false;
        };
        const reader = database.reader(database.scratch);
        const record = try reader.record(place.state, place.segment, place.row);
        const amender: Amender = .{
            .gpa = collection.gpa,
            .transaction = transaction,
            .state = try collection.editable(transaction),
            .column_memory = &database.column_memory,
        };
        const is_amended = try amender.amend(.fromInt(place.location), .{
            .key = key,
            .expiry_ms = record.expiry_ms,
            .metadata = metadata,
            .old_metadata_bytes = record.metadata_bytes,
        });
        if (!is_amended) try collection.rewrite(transaction, place.location, .{
            .key = key,
            .metadata = metadata,
            .vector = &.{},
            .inverse_norm = 0,
            .expiry_ms = record.expiry_ms,
            .cost = record.cost,
        });
        if (own) try database.commit();
        return true;
    }

    /// Adds the row at `old` anew, with the same vector; `row` says the rest.
    fn rewrite(
        collection: *Collection,
        transaction: *Transaction,
        old: u64,
        row: @import("appender.zig").Row,
    ) Error!void {
        const database = collection.scope.parent();
        const state = try collection.editable(transaction);
        const location: format.Location = .fromInt(old);
        const segment = try collection.segmentAt(state, location);
        const vector = collection.gpa.alloc(f32, collection.dimension) catch
            return database.outOfMemory();
        defer collection.gpa.free(vector);
        const reader = database.reader(database.scratch);
        try reader.vector(state, segment, location.row, vector);
        const entry = try reader.entry(state, segment, location.row);
        var appender = database.appenderFor(transaction, state);
        defer appender.deinit();
        appender.expected_rows = 1;
        var mover = database.moverFor(&appender);
        defer mover.deinit();
        var copy = row;
        copy.vector = vector;
        copy.inverse_norm = entry.inverse_norm;
        const new = try appender.append(copy);
        try transaction.replaceRow(state, collection.keyHash(row.key), location, new);
        try mover.pay();
        try appender.flush();
    }

    fn putRow(
        collection: *Collection,
        transaction: *Transaction,
        mover: *Mover,
        row: @import("appender.zig").Row,
    ) Error!void {
        const appender = mover.appender;
        const key_hash = collection.keyHash(row.key);
        const state = appender.state;
        const found = try collection.locateForWrite(transaction, appender, key_hash, row.key);
        const old = if (found) |row_there| row_there.location else null;
        if (collection.eviction) |*eviction| {
            if (old != null) {
                eviction.recency.read(key_hash);
            } else {
                const now_ms = collection.scope.parent().system.wallMs();
                collection.departures.open.add(try eviction.makeRoom(mover, now_ms));
                eviction.recency.enter(key_hash);
            }
        }
        const new = try appender.append(row);
        if (old) |location| {
            try transaction.replaceRow(state, key_hash, .fromInt(location), new);
            try mover.pay();
        } else try transaction.indexOf(state).insert(key_hash, new.toInt());
        if (appender.isFull()) try appender.flush();
        if (transaction.writer.dirty.count() >= limits.dirty_pages_max) {
            try appender.flush();
            try transaction.spill();
        }
    }

    /// Copies the vector into `out`; false where the key has none.
    pub fn get(collection: *Collection, key: []const u8, out: []f32) Error!bool {
        const database = try collection.readable();
        try collection.checkKey(key);
        try collection.checkOut(out.len, 1);
        const key_hash = collection.keyHash(key);
        if (try collection.getHot(database, key_hash, key, out)) return true;
        const place = try collection.locate(key_hash, key) orelse {
            collection.misses += 1;
            return false;
        };
        try database.reader(database.scratch).vector(place.state, place.segment, place.row, out);
        if (collection.hotCache(database).*) |*cache| cache.put(key_hash, key, .{
            .location = place.location,
            .stamp = database.current.root.transaction_id,
            .expiry_ms = place.expiry_ms,
            .cost = place.cost,
        }, out);
        collection.countHit(key_hash, place.cost);
        return true;
    }

    fn getHot(
        collection: *Collection,
        database: *Database,
        key_hash: u64,
        key: []const u8,
        out: []f32,
    ) Error!bool {
        const stamp = database.current.root.transaction_id;
        const hot = collection.hotCache(database);
        if (hot.*) |*cache| {
            if (collection.forgotten_count != database.forgotten_count) {
                cache.clear();
                collection.forgotten_count = database.forgotten_count;
            }
            if (cache.get(key_hash, key)) |entry| {
                const known = &entry.known;
                const is_known = !collection.isOver(known.expiry_ms) and
                    (known.stamp == stamp or try collection.isStillAt(key_hash, known.location));
                if (is_known) {
                    known.stamp = stamp;
                    copyVector(out, entry.vector);
                    collection.countHit(key_hash, known.cost);
                    return true;
                }
            }
        }
        return false;
    }

    /// What a transaction sees is not for the others.
    fn hotCache(collection: *Collection, database: *Database) *?HotCache {
        return if (database.joined() == null) &collection.hot else &no_cache;
    }
    var no_cache: ?HotCache = null;

    fn countHit(collection: *Collection, key_hash: u64, cost: u32) void {
        if (collection.eviction) |*eviction| eviction.recency.read(key_hash);
        collection.hits += 1;
        collection.saved_cost += cost;
    }

    /// Whether a row with that expiry is no longer there.
    fn isOver(collection: *Collection, expiry_ms: i64) bool {
        if (expiry_ms == 0) return false;
        return expiry.isOver(expiry_ms, collection.scope.parent().system.wallMs());
    }

    fn copyVector(out: []f32, vector: []const f32) void {
        std.debug.assert(out.len == vector.len);
        const bytes = std.mem.sliceAsBytes(vector);
        kernels.active().copy(std.mem.sliceAsBytes(out).ptr, bytes.ptr, bytes.len);
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
        const database = try collection.readable();
        try collection.checkKey(key);
        if (out.len > 0) try collection.checkOut(out.len, 1);
        const key_hash = collection.keyHash(key);
        const place = try collection.locate(key_hash, key) orelse {
            collection.misses += 1;
            return false;
        };
        const reader = database.reader(database.scratch);
        const record = try reader.record(place.state, place.segment, place.row);
        metadata_len.* = record.metadata_bytes;
        if (record.metadata_bytes > metadata_out.len) return database.diagnostics.fail(
            error.BufferTooSmall,
            "the metadata " ++
                "has {d} bytes, the buffer {d}",
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
        try collection.checkKeys(keys, key_lens);
        try collection.checkOut(out.len, key_lens.len);
        if (found.len < key_lens.len) return collection.fail(
            error.InvalidArgument,
            "found has room for {d} keys of {d}",
            .{
                found.len, key_lens.len,
            },
        );
        if (key_lens.len < run_keys_min) {
            return collection.getFew(keys, key_lens, out, found);
        }
        const database = try collection.readable();
        const window = collection.gpa.create(ReadWindow) catch null;
        defer if (window) |allocated| collection.gpa.destroy(allocated);
        if (window) |empty| empty.* = .{};
        var run: VectorRun = .{
            .reader = database.reader(database.scratch),
            .window = window,
            .state = try collection.currentState(),
        };
        run.reader.is_glance = true;
        var start: usize = 0;
        for (key_lens, 0..) |len, i| {
            const key = keys[start..][0..len];
            start += len;
            const vector = out[i * collection.dimension ..][0..collection.dimension];
            found[i] = @intFromBool(try collection.getInRun(database, &run, key, vector));
            if (found[i] == 0) @memset(vector, 0);
        }
        try run.finish();
    }

    /// One by one, so that they get hot.
    fn getFew(
        collection: *Collection,
        keys: []const u8,
        key_lens: []const u32,
        out: []f32,
        found: []u8,
    ) Error!void {
        var start: usize = 0;
        for (key_lens, 0..) |len, i| {
            const vector = out[i * collection.dimension ..][0..collection.dimension];
            found[i] = @intFromBool(try collection.get(keys[start..][0..len], vector));
            if (found[i] == 0) @memset(vector, 0);
            start += len;
        }
    }

    /// `out` has the vector once the run is finished. Rows that are read in runs do not get hot:
    /// they would drive out what is asked for alone.
    fn getInRun(
        collection: *Collection,
        database: *Database,
        run: *VectorRun,
        key: []const u8,
        out: []f32,
    ) Error!bool {
        const key_hash = collection.keyHash(key);
        if (try collection.getHot(database, key_hash, key, out)) return true;
        const place = try collection.locateIn(run.state, run, key_hash, key) orelse {
            collection.misses += 1;
            return false;
        };
        try run.add(place.segment, place.row, out);
        collection.countHit(key_hash, place.cost);
        return true;
    }

    pub fn has(collection: *Collection, key: []const u8) Error!bool {
        _ = try collection.readable();
        try collection.checkKey(key);
        return try collection.locate(collection.keyHash(key), key) != null;
    }

    /// One atomic batch; `deleted` counts the keys that were there.
    pub fn delete(
        collection: *Collection,
        keys: []const u8,
        key_lens: []const u32,
        deleted: *u32,
    ) Error!void {
        const database = try collection.writable();
        try collection.checkKeys(keys, key_lens);
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
        const transaction = database.transaction.?;
        var appender = database.appenderFor(transaction, try collection.currentState());
        defer appender.deinit();
        var mover = database.moverFor(&appender);
        defer mover.deinit();
        var count: u32 = 0;
        var start: usize = 0;
        for (key_lens) |len| {
            const key = keys[start..][0..len];
            start += len;
            if (try collection.deleteRow(transaction, &mover, key)) count += 1;
        }
        try appender.flush();
        if (own) try database.commit();
        return count;
    }

    fn deleteRow(
        collection: *Collection,
        transaction: *Transaction,
        mover: *Mover,
        key: []const u8,
    ) Error!bool {
        const appender = mover.appender;
        const key_hash = collection.keyHash(key);
        const found = try collection.locateForWrite(
            transaction,
            appender,
            key_hash,
            key,
        ) orelse return false;
        const location = found.location;
        const is_there = !collection.isOver(found.expiry_ms);
        // The first row that is found makes the state private to the transaction.
        const state = try collection.editable(transaction);
        appender.state = state;
        try transaction.removeRow(state, key_hash, .fromInt(location));
        try mover.pay();
        if (transaction.writer.dirty.count() >= limits.dirty_pages_max) {
            try appender.flush();
            try transaction.spill();
        }
        return is_there;
    }

    pub fn clear(collection: *Collection) Error!void {
        const database = try collection.writable();
        const own = try database.beginImplicit();
        errdefer |err| database.failWrite(own, err);
        const transaction = database.transaction.?;
        try transaction.clearCollection(try collection.editable(transaction));
        if (own) try database.commit();
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

    pub const SearchOptions = struct {
        k: u32,
        threshold: ?f32 = null,
        plan: search_module.Plan = .fastest,
        /// Threads to share the work among; 0: as many as it is worth, at most four.
        threads: u32 = 0,
        /// As filter.zig has it; empty: all rows.
        filter: []const u8 = &.{},
    };

    /// The same, and what it took.
    pub fn searchWith(
        collection: *Collection,
        queries: []const f32,
        options: SearchOptions,
        hits: []Hit,
        counts: []u32,
        report: *search_module.Report,
    ) Error!void {
        const database = try collection.readable();
        defer _ = database.search_memory.reset(.{ .retain_with_limit = search_memory_kept });
        var filter_memory: std.heap.ArenaAllocator = .init(collection.gpa);
        defer filter_memory.deinit();
        var running: search_module.Search = .init(try collection.request(queries, options, .{
            .filter_memory = filter_memory.allocator(),
            .memory = &database.search_memory,
            .hits = hits,
            .counts = counts,
            .report = report,
        }));
        defer running.deinit();
        while (try running.step(std.math.maxInt(u64))) {}
    }

    const search_memory_kept = 1024 * 1024;

    /// What a search works in, and where its answer goes.
    pub const SearchRoom = struct {
        /// Keeps the filter.
        filter_memory: std.mem.Allocator,
        memory: *std.heap.ArenaAllocator,
        hits: []Hit,
        counts: []u32,
        report: *search_module.Report,
    };

    /// A checked search of the state that this handle reads. All that it points at outlives it.
    pub fn request(
        collection: *Collection,
        queries: []const f32,
        options: SearchOptions,
        room: SearchRoom,
    ) Error!search_module.Request {
        try collection.checkSearch(queries, options, room);
        const database = collection.scope.parent();
        return .{
            .gpa = collection.gpa,
            .memory = room.memory,
            .state = try collection.currentState(),
            .source = collection.source(),
            .reader = database.reader(database.scratch),
            .other_reader = database.reader(database.other_scratch),
            .queries = queries,
            .k = options.k,
            .threshold = options.threshold,
            .plan = options.plan,
            .threads = options.threads,
            .filter = try collection.filterOf(room.filter_memory, options.filter),
            .report = room.report,
            .hits = room.hits,
            .counts = room.counts,
        };
    }

    fn checkSearch(
        collection: *Collection,
        queries: []const f32,
        options: SearchOptions,
        room: SearchRoom,
    ) Error!void {
        const k = options.k;
        const count = queries.len / collection.dimension;
        if (count * collection.dimension != queries.len or count != room.counts.len) {
            return collection.fail(
                error.Dimension,
                "found {d} numbers for {d} queries, expected {d} for each",
                .{
                    queries.len, room.counts.len, collection.dimension,
                },
            );
        }
        if (k == 0 or k > limits.k_max or room.hits.len != count * k) {
            return collection.fail(
                error.InvalidArgument,
                "k is {d} with room for {d} hits, expected 1 to {d} and room for " ++
                    "k hits for each query",
                .{ k, room.hits.len, limits.k_max },
            );
        }
        if (options.threads > search_threads_max) return collection.fail(
            error.InvalidArgument,
            "{d} threads were asked for, expected at most {d}, or 0 for as many as the work " ++
                "is worth",
            .{ options.threads, search_threads_max },
        );
        for (0..count) |i| {
            _ = try collection.checkVector(
                queries[i * collection.dimension ..][0..collection.dimension],
                i,
            );
        }
    }

    /// Of a caller's bytes, over the rows that are there now; null where that is every row.
    fn filterOf(
        collection: *Collection,
        arena: std.mem.Allocator,
        bytes: []const u8,
    ) Error!?*const Filter {
        const database = collection.scope.parent();
        const has_expiry = (try collection.currentState()).has_expiry;
        if (bytes.len == 0 and !has_expiry) return null;
        const filter = arena.create(Filter) catch return database.outOfMemory();
        const parsed = if (has_expiry)
            Filter.parseLive(arena, bytes, database.system.wallMs())
        else
            Filter.parse(arena, bytes);
        filter.* = parsed catch |err| return switch (err) {
            error.OutOfMemory => database.outOfMemory(),
            error.Malformed => collection.fail(
                error.InvalidArgument,
                "the filter of {d} bytes is malformed",
                .{bytes.len},
            ),
        };
        return filter;
    }

    /// How many rows match a filter.
    pub fn countWhere(collection: *Collection, filter: []const u8) Error!u64 {
        _ = try collection.readable();
        var arena: std.heap.ArenaAllocator = .init(collection.gpa);
        defer arena.deinit();
        const parsed = try collection.filterOf(arena.allocator(), filter) orelse
            return (try collection.currentState()).live_rows;
        var matches = try collection.matchesOf(parsed);
        defer matches.deinit();
        while (try matches.step(std.math.maxInt(u64))) {}
        return matches.count;
    }

    fn matchesOf(collection: *Collection, filter: *const Filter) Error!Matches {
        const database = collection.scope.parent();
        const state = try collection.currentState();
        const reader = database.reader(database.scratch);
        return .init(collection.gpa, state, collection.source(), reader, filter);
    }

    /// Deletes the rows that match a filter, as one atomic batch; says how many they were.
    pub fn deleteWhere(collection: *Collection, filter: []const u8) Error!u32 {
        const database = try collection.writable();
        var arena: std.heap.ArenaAllocator = .init(collection.gpa);
        defer arena.deinit();
        if (filter.len == 0) return collection.fail(
            error.InvalidArgument,
            "there is no filter; clear() deletes every row",
            .{},
        );
        // Before anything else, so that a filter that is wrong does not doom a transaction.
        _ = try collection.filterOf(arena.allocator(), filter);
        const was_full = database.isDiskFull();
        return collection.deleteMatches(database, filter) catch |err| {
            if (!database.mayRetry(err, was_full)) return err;
            return collection.deleteMatches(database, filter);
        };
    }

    fn deleteMatches(collection: *Collection, database: *Database, filter: []const u8) Error!u32 {
        const own = try database.beginImplicit();
        errdefer |err| database.failWrite(own, err);
        const transaction = database.transaction.?;
        var arena: std.heap.ArenaAllocator = .init(collection.gpa);
        defer arena.deinit();
        const parsed = (try collection.filterOf(arena.allocator(), filter)).?;
        const deleted = try collection.buryWhere(transaction, parsed, std.math.maxInt(u32));
        if (own) try database.commit();
        return deleted;
    }

    fn buryWhere(
        collection: *Collection,
        transaction: *Transaction,
        filter: *const Filter,
        rows_max: u32,
    ) Error!u32 {
        var matches = try collection.matchesOf(filter);
        defer matches.deinit();
        while (try matches.step(std.math.maxInt(u64))) {}
        if (matches.count == 0) return 0;
        const database = collection.scope.parent();
        const state = try collection.editable(transaction);
        var appender = database.appenderFor(transaction, state);
        defer appender.deinit();
        var mover = database.moverFor(&appender);
        defer mover.deinit();
        const deleted = try collection.buryMatches(transaction, &mover, &matches, rows_max);
        // Not before all are buried: rows that move would be in other places then.
        for (0..deleted) |_| try mover.pay();
        try appender.flush();
        return deleted;
    }

    fn buryMatches(
        collection: *Collection,
        transaction: *Transaction,
        mover: *Mover,
        matches: *const Matches,
        rows_max: u32,
    ) Error!u32 {
        const state = mover.appender.state;
        const reader = mover.reader;
        var buried: u32 = 0;
        var next: ?Matches.Row = matches.first();
        while (next) |place| : (next = matches.after(place)) {
            const segment = try state.loadSegment(
                collection.gpa,
                transaction.source(),
                place.segment,
            ) orelse return collection.fail(
                // It went with the last row that it says it has.
                error.Corrupt,
                "segment {d} has more rows than it says; the file is damaged, restore a backup " ++
                    "or salvage() it",
                .{place.segment},
            );
            const location: format.Location = .of(&segment.disk, place.row);
            const record = try reader.record(state, segment, place.row);
            try transaction.removeRow(state, collection.keyHash(record.key), location);
            buried += 1;
            if (buried == rows_max) break;
            if (transaction.writer.dirty.count() < limits.dirty_pages_max) continue;
            try transaction.spill();
        }
        return buried;
    }

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
        _ = try collection.readable();
        const now = try collection.entriesNow();
        var arena: std.heap.ArenaAllocator = .init(collection.gpa);
        defer arena.deinit();
        const parsed = try collection.filterOf(arena.allocator(), filter) orelse
            return now.scan(cursor, null, out);
        var row_filter: RowFilter = .{
            .gpa = collection.gpa,
            .filter = parsed,
            .state = now.state,
            .reader = now.reader,
        };
        defer row_filter.deinit();
        return now.scan(cursor, &row_filter, out);
    }

    fn entriesNow(collection: *Collection) Error!entries.Entries {
        const database = collection.scope.parent();
        return .{
            .gpa = collection.gpa,
            .state = try collection.currentState(),
            .source = collection.source(),
            .reader = database.reader(database.scratch),
        };
    }

    pub fn stats(collection: *Collection) Error!CollectionStats {
        _ = try collection.readable();
        const found = try collection.currentState();
        return .{
            .records = try collection.countWhere(&.{}),
            .index_bytes = @as(u64, found.index_pages) * format.page_bytes,
            .cached_count = if (collection.hot) |*hot| hot.count else 0,
            .cache_capacity = if (collection.hot) |*hot| hot.capacity else 0,
            .memory_bytes = collection.ownBytes(),
            .hits = collection.hits,
            .misses = collection.misses,
            .sets = collection.sets,
            .evictions = collection.departures.committed.evictions,
            .expirations = collection.departures.committed.expirations,
        };
    }

    fn ownBytes(collection: *const Collection) u64 {
        const hot = if (collection.hot) |*hot| hotBytes(hot) else 0;
        return hot + if (collection.eviction) |*eviction| eviction.recency.bytes() else 0;
    }

    /// Called first by everything that reads.
    pub fn readable(collection: *Collection) Error!*Database {
        switch (collection.scope) {
            .database => |database| {
                try database.enterRead();
                return database;
            },
            .snapshot => |snapshot| return snapshot.database,
        }
    }

    pub fn source(collection: *Collection) key_index.Source {
        return switch (collection.scope) {
            .database => |database| database.source(),
            .snapshot => |snapshot| snapshot.database.sourceOf(&snapshot.view.root),
        };
    }

    /// The collection in the state that this handle reads.
    pub fn currentState(collection: *Collection) Error!*CollectionState {
        const state = try collection.view().collection(
            collection.source(),
            collection.catalogue_index,
        );
        if (state) |found| if (collection.isOf(found)) return found;
        return collection.fail(
            error.Closed,
            "the collection was dropped; open it again to make a new one",
            .{},
        );
    }

    /// Whether it is a state of this collection, whose name may have changed. Where states of the
    /// file were lost, and ids with them, the transaction that made it tells it from one that was
    /// made since; one of the same name and kind is as good.
    fn isOf(collection: *Collection, state: *CollectionState) bool {
        const identity = state.identity;
        if (identity == collection.identity) return true;
        if (!identity.isSame(collection.identity)) return false;
        const count = collection.scope.parent().forgotten_count;
        const is_lost = collection.scope == .database and collection.identity_count != count;
        if (is_lost and
            !identity.isMadeWith(collection.identity) and
            !identity.hasNameOf(collection.identity)) return false;
        collection.identity.release(collection.gpa);
        collection.identity = identity.retain();
        collection.identity_count = count;
        return true;
    }

    fn view(collection: *Collection) *View {
        return switch (collection.scope) {
            .database => |database| database.readView(),
            .snapshot => |snapshot| &snapshot.view,
        };
    }

    fn writable(collection: *Collection) Error!*Database {
        return switch (collection.scope) {
            .database => |database| database,
            .snapshot => collection.fail(
                error.ReadOnly,
                "a snapshot cannot be written; write to the collection of the " ++
                    "database",
                .{},
            ),
        };
    }

    fn editable(collection: *Collection, transaction: *Transaction) Error!*CollectionState {
        const state = try transaction.editable(collection.catalogue_index);
        if (state) |found| if (collection.isOf(found)) return found;
        return collection.fail(
            error.Closed,
            "the collection was dropped; open it again to make a new one",
            .{},
        );
    }

    pub fn keyHash(collection: *const Collection, key: []const u8) u64 {
        return hash.keyHash(&collection.scope.parent().header.hash_key, key);
    }

    /// The live row of a key.
    pub fn locate(collection: *Collection, key_hash: u64, key: []const u8) Error!?Place {
        return collection.locateIn(try collection.currentState(), null, key_hash, key);
    }

    /// `run` knows how to read rows that follow each other.
    fn locateIn(
        collection: *Collection,
        state: *CollectionState,
        run: ?*const VectorRun,
        key_hash: u64,
        key: []const u8,
    ) Error!?Place {
        const database = collection.scope.parent();
        const candidates = try key_index.find(collection.source(), state.index, key_hash);
        for (candidates.slice()) |candidate| {
            const location = format.Location.fromInt(candidate);
            const segment = try collection.segmentAt(state, location);
            const reader = if (run) |rows|
                rows.readerOf(location)
            else
                database.reader(database.scratch);
            const record = try reader.record(state, segment, location.row);
            if (std.mem.eql(u8, record.key, key)) {
                if (collection.isOver(record.expiry_ms)) return null;
                return .{
                    .state = state,
                    .segment = segment,
                    .row = location.row,
                    .location = candidate,
                    .expiry_ms = record.expiry_ms,
                    .cost = record.cost,
                };
            }
        }
        return null;
    }

    const Located = struct { location: u64, expiry_ms: i64 };

    fn locateForWrite(
        collection: *Collection,
        transaction: *Transaction,
        appender: *Appender,
        key_hash: u64,
        key: []const u8,
    ) Error!?Located {
        const candidates = try key_index.find(transaction.source(), appender.state.index, key_hash);
        for (candidates.slice()) |candidate| {
            const location = format.Location.fromInt(candidate);
            if (appender.isUnwritten(location)) try appender.flush();
            const segment = try collection.segmentAt(appender.state, location);
            const database = collection.scope.parent();
            const record = try database.reader(database.scratch).record(
                appender.state,
                segment,
                location.row,
            );
            if (!std.mem.eql(u8, record.key, key)) continue;
            return .{ .location = candidate, .expiry_ms = record.expiry_ms };
        }
        return null;
    }

    pub fn segmentAt(
        collection: *Collection,
        state: *CollectionState,
        location: format.Location,
    ) Error!*SegmentState {
        const segment = try state.loadSegment(
            collection.gpa,
            collection.source(),
            location.segment,
        );
        if (segment) |found| {
            const is_own = location.generation == found.disk.generation;
            if (is_own and location.row < found.disk.rows) return found;
        }
        return collection.fail(
            error.Corrupt,
            "the index names row {d} of segment {d}, which does not exist; the file is " ++
                "damaged, restore a backup or salvage() it",
            .{ location.row, location.segment },
        );
    }

    /// True where the newest state still has the cached row: rows never change, so the place is
    /// proof.
    fn isStillAt(collection: *Collection, key_hash: u64, location: u64) Error!bool {
        const state = try collection.currentState();
        const candidates = try key_index.find(collection.source(), state.index, key_hash);
        return std.mem.indexOfScalar(u64, candidates.slice(), location) != null;
    }

    /// Everything is checked before anything is written, and measured on the way.
    fn checkBatch(collection: *Collection, batch: Batch, inverse_norms: []f32) Error!void {
        try collection.checkKeys(batch.keys, batch.key_lens);
        if (batch.vectors.len != batch.key_lens.len * collection.dimension) {
            return collection.fail(
                error.Dimension,
                "found {d} numbers for {d} vectors, expected {d} for each",
                .{
                    batch.vectors.len, batch.key_lens.len, collection.dimension,
                },
            );
        }
        if (batch.metadata_lens.len > 0) {
            var total: usize = 0;
            for (batch.metadata_lens) |len| {
                try collection.checkMetadataBytes(len);
                total += len;
            }
            if (batch.metadata_lens.len != batch.key_lens.len or total != batch.metadata.len) {
                return collection.fail(
                    error.InvalidArgument,
                    "the metadata's lengths do not match its bytes",
                    .{},
                );
            }
        }
        for (inverse_norms, 0..) |*inverse_norm, i| {
            inverse_norm.* = try collection.checkVector(
                batch.vectors[i * collection.dimension ..][0..collection.dimension],
                i,
            );
        }
    }

    fn checkMetadataBytes(collection: *Collection, len: usize) Error!void {
        if (len <= limits.metadata_bytes_max) return;
        return collection.fail(
            error.InvalidArgument,
            "metadata of {d} bytes, at most {d} fit",
            .{ len, limits.metadata_bytes_max },
        );
    }

    /// The inverse norm of a vector that is finite and, under cosine, not zero. `position` is its
    /// place in its batch.
    pub fn checkVector(collection: *Collection, vector: []const f32, position: usize) Error!f32 {
        const square_sum = kernels.active().sumSquares(vector.ptr, vector.len);
        if (!std.math.isFinite(square_sum)) {
            const at = for (vector, 0..) |value, i| {
                if (!std.math.isFinite(value)) break i;
            } else 0;
            // As words: what formats any float takes 16 KB of the library.
            const found = if (std.math.isNan(vector[at])) "nan" else "an infinity";
            return collection.fail(
                error.InvalidVector,
                "vector {d} has {s} at index {d}; every value must be a finite number",
                .{ position, found, at },
            );
        }
        const inverse = metrics.inverseRoot(square_sum);
        if (collection.metric != .cosine) return inverse;
        if (square_sum == 0) return collection.fail(
            error.InvalidVector,
            "vector {d} is all zeros, which has no direction to compare " ++
                "under the cosine metric",
            .{position},
        );
        if (!std.math.isFinite(inverse) or inverse == 0) return collection.fail(
            error.InvalidVector,
            "vector {d} is too {s} to be normalised for the cosine metric; scale it",
            .{ position, if (inverse == 0) "long" else "short" },
        );
        return inverse;
    }

    fn checkKeys(collection: *Collection, keys: []const u8, key_lens: []const u32) Error!void {
        var total: usize = 0;
        for (key_lens) |len| {
            if (len > keys.len - total) return collection.fail(
                error.InvalidArgument,
                "the keys' lengths exceed their {d} " ++
                    "bytes",
                .{keys.len},
            );
            try collection.checkKey(keys[total..][0..len]);
            total += len;
        }
        if (total != keys.len) return collection.fail(
            error.InvalidArgument,
            "the keys' lengths add up to {d}, there are " ++
                "{d} bytes",
            .{ total, keys.len },
        );
    }

    fn checkKey(collection: *Collection, key: []const u8) Error!void {
        if (key.len == 0) return collection.fail(
            error.Key,
            "the key is empty; give at least one character",
            .{},
        );
        if (key.len > limits.key_bytes_max) return collection.fail(
            error.Key,
            "the key has {d} bytes of UTF-8, at most {d} " ++
                "fit; hash long keys",
            .{ key.len, limits.key_bytes_max },
        );
    }

    fn checkOut(collection: *Collection, len: usize, count: usize) Error!void {
        if (len == count * collection.dimension) return;
        return collection.fail(error.Dimension, "found room for {d} numbers, expected {d} x {d}", .{
            len, count, collection.dimension,
        });
    }

    pub fn fail(
        collection: *Collection,
        failure: Error,
        comptime text: []const u8,
        arguments: anytype,
    ) Error {
        return collection.scope.parent().diagnostics.fail(failure, text, arguments);
    }
};

fn hotBytes(hot: *const HotCache) u64 {
    const vector_bytes = @as(u64, hot.dimension) * @sizeOf(f32);
    return hot.entry_count * (@sizeOf(hot_cache.Entry) + vector_bytes);
}

fn checkOptions(database: *Database, name: []const u8, options: CollectionOptions) Error!void {
    const diagnostics = database.diagnostics;
    if (name.len == 0 or name.len > limits.collection_name_bytes_max) {
        return diagnostics.fail(
            error.InvalidArgument,
            "the collection's name has {d} bytes of UTF-8, expected 1 to {d}",
            .{
                name.len, limits.collection_name_bytes_max,
            },
        );
    }
    if (options.model.len > limits.model_bytes_max) return diagnostics.fail(
        error.InvalidArgument,
        "the model's name has {d} " ++
            "bytes of UTF-8, at most {d} fit",
        .{ options.model.len, limits.model_bytes_max },
    );
    if (options.dimension > limits.dimension_max) return diagnostics.fail(
        error.InvalidArgument,
        "dimension is {d}, at most " ++
            "{d} is supported",
        .{ options.dimension, limits.dimension_max },
    );
}

/// Of fewer rows each one that comes would cost a good part of all.
const rows_least = 4;

fn checkRoom(database: *Database, dimension: u32) Error!void {
    const bytes = database.options.file_bytes_max;
    const rows = eviction_module.rowsIn(bytes, dimension);
    if (rows >= rows_least or database.options.readonly) return;
    const bytes_least = eviction_module.fileFor(eviction_module.bytesOf(rows_least, dimension));
    return database.diagnostics.fail(
        error.InvalidArgument,
        "a file of at most {d} bytes has room for {d} vectors of dimension {d}, expected at " ++
            "least {d}; allow {d} bytes or more",
        .{ bytes, rows, dimension, rows_least, bytes_least },
    );
}

fn checkIdentity(
    database: *Database,
    identity: *const collection_state.Identity,
    options: CollectionOptions,
) Error!void {
    const diagnostics = database.diagnostics;
    if (options.dimension != 0 and options.dimension != identity.dimension) {
        return diagnostics.fail(
            error.Dimension,
            "the collection \"{s}\" has dimension {d}, it was opened with {d}; use the " ++
                "file's, or another collection",
            .{
                identity.name(),
                identity.dimension,
                options.dimension,
            },
        );
    }
    if (options.metric) |metric| if (@intFromEnum(metric) != identity.metric) {
        const found: Metric = @enumFromInt(identity.metric);
        return diagnostics.fail(
            error.InvalidArgument,
            "the collection \"{s}\" has the metric {s}, it was opened with {s}",
            .{
                identity.name(), @tagName(found), @tagName(metric),
            },
        );
    };
    if (options.model.len > 0 and !std.mem.eql(u8, options.model, identity.model())) {
        return diagnostics.fail(
            error.Model,
            "the collection \"{s}\" holds embeddings of the model \"{s}\", it was opened " ++
                "for \"{s}\"; vectors of different models cannot be compared, use another " ++
                "file or " ++
                "collection",
            .{
                identity.name(), identity.model(), options.model,
            },
        );
    }
}

fn findOrCreate(scope: Scope, name: []const u8, options: CollectionOptions) Error!*CollectionState {
    const found = switch (scope) {
        .database => |database| try database.readView().find(database.source(), name),
        .snapshot => |snapshot| try snapshot.view.find(
            snapshot.database.sourceOf(&snapshot.view.root),
            name,
        ),
    };
    if (found) |state| return state;
    const database = scope.parent();
    if (scope == .snapshot or !options.create or database.options.readonly) return error.NotFound;
    const own = try database.beginImplicit();
    errdefer |err| database.failWrite(own, err);
    const transaction = database.transaction.?;
    // Another process may have made it since.
    const existing = try transaction.working.find(transaction.source(), name);
    if (existing == null) try checkRoom(database, dimensionOf(options));
    const state = existing orelse try createState(transaction, name, options);
    const index = state.catalogue_index;
    if (!own) return state;
    try database.commit();
    return (try database.current.collection(database.source(), index)) orelse error.Closed;
}

/// Of a new collection.
fn dimensionOf(options: CollectionOptions) u32 {
    return if (options.dimension == 0) limits.dimension_default else options.dimension;
}

fn createState(
    transaction: *Transaction,
    name: []const u8,
    options: CollectionOptions,
) Error!*CollectionState {
    const gpa = transaction.gpa;
    const identity = gpa.create(collection_state.Identity) catch
        return transaction.diagnostics.failOs(error.OutOfMemory, "creating a collection");
    identity.* = .{
        .id = transaction.working.root.next_collection_id,
        .made_by = transaction.writer.transaction_id,
        .dimension = dimensionOf(options),
        .metric = @intFromEnum(options.metric orelse .cosine),
        .name_len = @intCast(name.len),
        .model_len = @intCast(options.model.len),
    };
    @memcpy(identity.name_buffer[0..name.len], name);
    @memcpy(identity.model_buffer[0..options.model.len], options.model);
    return transaction.createCollection(identity);
}

/// Writes the names of all collections to `out`, each as its length (u32) and its UTF-8, in the
/// order of their creation. `BufferTooSmall` says in `needed` how many bytes they take.
pub fn collectionNames(scope: Scope, out: []u8, needed: *usize) Error!usize {
    const database = scope.parent();
    if (scope == .database) try database.enterRead();
    const view = switch (scope) {
        .database => database.readView(),
        .snapshot => |snapshot| &snapshot.view,
    };
    const source = switch (scope) {
        .database => database.source(),
        .snapshot => |snapshot| database.sourceOf(&snapshot.view.root),
    };
    var used: usize = 0;
    var index: u32 = 0;
    while (index < view.root.catalogue_len) : (index += 1) {
        const state = try view.collection(source, index) orelse continue;
        const name = state.identity.name();
        const end = used + @sizeOf(u32) + name.len;
        if (end <= out.len) {
            std.mem.writeInt(u32, out[used..][0..4], @intCast(name.len), .little);
            @memcpy(out[used + 4 .. end], name);
        }
        used = end;
    }
    needed.* = used;
    if (used > out.len) return database.diagnostics.fail(
        error.BufferTooSmall,
        "the names take {d} bytes",
        .{used},
    );
    return used;
}
