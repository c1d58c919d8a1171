//! From what was found of a damaged file to rows in a new one: every row whose checksums hold and
//! that was not deleted, as far as anything still says so. Of one key the newest row is kept.

const std = @import("std");
const finds = @import("salvage_finds.zig");
const format = @import("format.zig");
const limits = @import("limits.zig");
const metrics = @import("metrics.zig");
const row_audit = @import("row_audit.zig");
const Collection = @import("collection.zig").Collection;
const Database = @import("database.zig").Database;
const Error = @import("errors.zig").Error;
const Wreck = @import("wreck.zig").Wreck;

pub const SalvageRows = struct {
    gpa: std.mem.Allocator,
    wreck: *const Wreck,
    database: *Database,
    collection_at: usize = 0,
    segment_at: usize = 0,
    row_at: u32 = 0,
    audit: ?row_audit.RowAudit = null,
    target: ?*Collection = null,
    /// The newest row of each key, by a hash of it, where old rows may come along.
    newest: std.AutoHashMapUnmanaged(u128, Age) = .empty,
    batch: Batch = .{},
    done_bytes: u64 = 0,

    const Age = struct {
        transaction_id: u64,
        /// One transaction may move a row and then replace it.
        order: u64,
        /// It was written, and counted as uncertain.
        is_uncertain: bool = false,

        fn isNewer(a: Age, b: Age) bool {
            if (a.transaction_id != b.transaction_id) return a.transaction_id > b.transaction_id;
            return a.order > b.order;
        }
    };

    const Batch = struct {
        keys: std.ArrayList(u8) = .empty,
        key_lens: std.ArrayList(u32) = .empty,
        vectors: std.ArrayList(f32) = .empty,
        metadata: std.ArrayList(u8) = .empty,
        metadata_lens: std.ArrayList(u32) = .empty,
        expiries: std.ArrayList(f64) = .empty,
        costs: std.ArrayList(u32) = .empty,

        fn bytes(batch: *const Batch) usize {
            const vector_bytes = batch.vectors.items.len * @sizeOf(f32);
            return vector_bytes + batch.keys.items.len + batch.metadata.items.len;
        }
    };

    const batch_bytes_max = 1 << 20;

    pub fn deinit(rows: *SalvageRows) void {
        const gpa = rows.gpa;
        if (rows.audit) |*audit| audit.deinit();
        if (rows.target) |target| target.close();
        rows.newest.deinit(gpa);
        inline for (std.meta.fields(Batch)) |field| @field(rows.batch, field.name).deinit(gpa);
        rows.* = undefined;
    }

    /// Reads and writes about `bytes_max`; false when all is written.
    pub fn step(rows: *SalvageRows, bytes_max: u64) Error!bool {
        var left = bytes_max;
        while (rows.collection_at < rows.wreck.collections.count()) {
            const collection = rows.wreck.collections.values()[rows.collection_at];
            if (rows.target == null) try rows.begin(collection);
            const cost = try rows.nextRow(collection);
            if (rows.batch.bytes() >= batch_bytes_max) try rows.flush();
            if (cost >= left) return true;
            left -= cost;
        }
        return false;
    }

    fn begin(rows: *SalvageRows, collection: *const finds.Collection) Error!void {
        const page = &collection.page;
        rows.audit = .{
            .gpa = rows.gpa,
            .file = rows.wreck.file,
            .collection_id = page.id,
            .dimension = page.dimension,
        };
        var buffer: [limits.collection_name_bytes_max]u8 = undefined;
        const name = try rows.freeName(collection, &buffer);
        rows.target = try .open(.{ .database = rows.database }, name, .{
            .dimension = page.dimension,
            .metric = @enumFromInt(page.metric),
            .model = collection.model(),
            .keeps_rows = page.keeps_rows != 0,
        });
    }

    /// The collection's own, with a number behind it where an older collection has it.
    fn freeName(rows: *SalvageRows, collection: *const finds.Collection, buffer: []u8) Error![]u8 {
        var number: u32 = 1;
        while (true) : (number += 1) {
            var suffix_buffer: [16]u8 = undefined;
            const suffix = if (number == 1) "" else std.fmt.bufPrint(
                &suffix_buffer,
                " ({d})",
                .{number},
            ) catch return error.OutOfMemory;
            const own = collection.name();
            var len = @min(own.len, buffer.len - suffix.len);
            while (len > 0 and len < own.len and own[len] & 0xC0 == 0x80) len -= 1;
            @memcpy(buffer[0..len], own[0..len]);
            @memcpy(buffer[len..][0..suffix.len], suffix);
            const name = buffer[0 .. len + suffix.len];
            const view = rows.database.readView();
            if (try view.find(rows.database.source(), name) == null) return name;
        }
    }

    fn nextRow(rows: *SalvageRows, collection: *finds.Collection) Error!u64 {
        if (rows.segment_at == collection.segments.count()) {
            try rows.endCollection(collection);
            return 0;
        }
        const segment = &collection.segments.values()[rows.segment_at];
        if (rows.row_at == segment.rows()) {
            rows.row_at = 0;
            rows.segment_at += 1;
            rows.done_bytes += format.pageOffset(segment.disk.extent_page_count);
            return 0;
        }
        const row = rows.row_at;
        rows.row_at += 1;
        if (collection.isCertain() and !collection.isNamed(segment, row)) return 1;
        const audit = &rows.audit.?;
        const before = audit.bytesRead();
        const amended = segment.amendments.recordOf(row);
        const found = audit.read(&segment.disk, row, amended) catch
            return rows.database.outOfMemory();
        try rows.consider(collection, segment, row, &found);
        return audit.bytesRead() - before + 1;
    }

    fn consider(
        rows: *SalvageRows,
        collection: *finds.Collection,
        segment: *const finds.Segment,
        row: u32,
        found: *const row_audit.Row,
    ) Error!void {
        const record = found.record orelse {
            if (collection.mayLive(segment, row)) collection.damaged += 1;
            return;
        };
        const location: format.Location = .of(&segment.disk, row);
        if (record.header.location != location.toInt()) return;
        const transaction_id = record.header.transaction_id;
        const hash_key = rows.wreck.hashKey();
        const life = collection.lifeOf(segment, row, transaction_id, hash_key, record.key);
        if (life == .dead) return;
        const is_good = found.isWhole() and isStorable(collection, found.vector.?);
        if (!collection.isCertain()) {
            const age: Age = .{
                .transaction_id = transaction_id,
                .order = location.order(),
                .is_uncertain = is_good and (life == .perhaps or
                    collection.isOutdated(segment, row)),
            };
            if (!try rows.isNewest(collection, record.key, age)) return;
            if (!is_good) try rows.takeBack(record.key);
        }
        if (!is_good) {
            collection.damaged += 1;
            return;
        }
        const is_outdated = collection.isCertain() and collection.isOutdated(segment, row);
        collection.uncertain += @intFromBool(is_outdated);
        collection.forgetRow(segment, row);
        rows.add(&record, found) catch return rows.database.outOfMemory();
    }

    /// The newest row of the key is damaged: an older one must not pass for it.
    fn takeBack(rows: *SalvageRows, key: []const u8) Error!void {
        const copy = rows.gpa.dupe(u8, key) catch return rows.database.outOfMemory();
        defer rows.gpa.free(copy);
        try rows.flush();
        var deleted: u32 = 0;
        try rows.target.?.delete(copy, &.{@intCast(copy.len)}, &deleted);
    }

    fn isStorable(collection: *const finds.Collection, vector: []const f32) bool {
        const norm = metrics.inverseNorm(vector);
        for (vector) |number| if (!std.math.isFinite(number)) return false;
        return norm != 0 or collection.page.metric != @intFromEnum(metrics.Metric.cosine);
    }

    /// Nothing newer is known of the key; from now on this row is.
    fn isNewest(
        rows: *SalvageRows,
        collection: *finds.Collection,
        key: []const u8,
        age: Age,
    ) Error!bool {
        var digest: [16]u8 = undefined;
        std.crypto.auth.siphash.SipHash128(1, 3).create(
            &digest,
            key,
            &rows.database.header.hash_key,
        );
        const entry = rows.newest.getOrPut(rows.gpa, @bitCast(digest)) catch
            return rows.database.outOfMemory();
        if (entry.found_existing) {
            if (!age.isNewer(entry.value_ptr.*)) return false;
            collection.uncertain -= @intFromBool(entry.value_ptr.is_uncertain);
        }
        entry.value_ptr.* = age;
        collection.uncertain += @intFromBool(age.is_uncertain);
        return true;
    }

    fn add(
        rows: *SalvageRows,
        record: *const row_audit.Record,
        found: *const row_audit.Row,
    ) error{OutOfMemory}!void {
        const gpa = rows.gpa;
        const batch = &rows.batch;
        const metadata = record.metadata.?;
        try batch.keys.appendSlice(gpa, record.key);
        try batch.key_lens.append(gpa, @intCast(record.key.len));
        try batch.vectors.appendSlice(gpa, found.vector.?);
        try batch.metadata.appendSlice(gpa, metadata);
        try batch.metadata_lens.append(gpa, @intCast(metadata.len));
        const expiry_ms = std.math.clamp(record.header.expiry_ms, 0, 1 << 53);
        try batch.expiries.append(gpa, @floatFromInt(expiry_ms));
        try batch.costs.append(gpa, found.entry.?.cost);
    }

    fn flush(rows: *SalvageRows) Error!void {
        const batch = &rows.batch;
        try rows.target.?.put(.{
            .keys = batch.keys.items,
            .key_lens = batch.key_lens.items,
            .vectors = batch.vectors.items,
            .metadata = batch.metadata.items,
            .metadata_lens = batch.metadata_lens.items,
            .expiries = batch.expiries.items,
            .costs = batch.costs.items,
        });
        inline for (std.meta.fields(Batch)) |field| {
            @field(batch, field.name).clearRetainingCapacity();
        }
    }

    fn endCollection(rows: *SalvageRows, collection: *finds.Collection) Error!void {
        try rows.flush();
        // Also those whose time is over.
        collection.recovered = (try rows.target.?.access.currentState()).live_rows;
        // Also those whose segment was not found at all.
        if (collection.isCertain()) collection.damaged = collection.remainingNamed();
        rows.target.?.close();
        rows.target = null;
        rows.audit.?.deinit();
        rows.audit = null;
        rows.newest.clearRetainingCapacity();
        rows.segment_at = 0;
        rows.collection_at += 1;
    }
};
