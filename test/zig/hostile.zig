//! Files made to do harm: every checksum is right, because whoever forges a file can compute them,
//! and the numbers are not. The engine answers with an error or with rows, and goes on.

const std = @import("std");
const vl = @import("vectorlite");
const inspector = @import("crash/inspector.zig");
const Base = @import("crash/workload.zig").Base;
const Client = @import("crash/client.zig").Client;
const Key = @import("crash/contents.zig").Key;
const client_module = @import("crash/client.zig");
const dimension = @import("crash/contents.zig").dimension;
const format = vl.format;
const Disk = vl.backends.simulated.Disk;

const gpa = std.testing.allocator;

/// A file of which every part can be changed; `seal` makes the checksums fit.
const Forgery = struct {
    bytes: []align(format.page_bytes) u8,
    root: format.Root,
    /// Pages that the newest root leads to, by following it once.
    pages: std.ArrayList(u32) = .empty,
    steps_left: u32 = 0,

    fn init(original: []const u8) !Forgery {
        const bytes = try gpa.alignedAlloc(u8, .fromByteUnits(format.page_bytes), original.len);
        @memcpy(bytes, original);
        const slots = inspector.readSlots(bytes);
        var forgery: Forgery = .{ .bytes = bytes, .root = inspector.newest(&slots, null).? };
        errdefer forgery.deinit();
        try forgery.seal();
        return forgery;
    }

    fn deinit(forgery: *Forgery) void {
        forgery.pages.deinit(gpa);
        gpa.free(forgery.bytes);
    }

    fn page(forgery: *const Forgery, comptime T: type, number: u32) *T {
        return @ptrCast(@alignCast(forgery.bytes[number * format.page_bytes ..].ptr));
    }

    /// Of a file with one collection: the catalogue is that page.
    fn collection(forgery: *const Forgery) *format.CollectionPage {
        return forgery.page(format.CollectionPage, forgery.root.catalogue.page);
    }

    /// Fills in every checksum from the leaves up, and makes `root` the only one.
    fn seal(forgery: *Forgery) !void {
        forgery.pages.clearRetainingCapacity();
        forgery.steps_left = 20_000;
        try forgery.sealRef(&forgery.root.catalogue, 0);
        vl.roots.seal(&forgery.root);
        const first: usize = @intCast(vl.roots.slotOffset(0));
        const end: usize = @intCast(vl.roots.slotOffset(format.slot_count));
        @memset(forgery.bytes[first..end], 0);
        const slot = vl.roots.durableSlot(forgery.root.durable_sequence);
        const at: usize = @intCast(vl.roots.slotOffset(slot));
        @memcpy(forgery.bytes[at..][0..format.slot_bytes], std.mem.asBytes(&forgery.root));
    }

    fn sealRef(forgery: *Forgery, ref: *format.PageRef, depth: u32) error{OutOfMemory}!void {
        ref.checksum = try forgery.sealPage(ref.page, depth);
    }

    fn sealPage(forgery: *Forgery, number: u32, depth: u32) error{OutOfMemory}!u64 {
        const is_there = number >= format.first_free_page and
            number < forgery.bytes.len / format.page_bytes;
        if (!is_there or depth > 10 or forgery.steps_left == 0) return 0;
        forgery.steps_left -= 1;
        if (std.mem.indexOfScalar(u32, forgery.pages.items, number) == null) {
            try forgery.pages.append(gpa, number);
        }
        switch (forgery.page(format.PageHeader, number).type) {
            .inner, .array => {
                const inner = forgery.page(format.InnerPage, number);
                for (&inner.checksums, inner.pages, 0..) |*checksum, child, i| {
                    const is_same = i > 0 and child == inner.pages[i - 1];
                    checksum.* = if (is_same)
                        inner.checksums[i - 1]
                    else
                        try forgery.sealPage(child, depth + 1);
                }
            },
            .collection => {
                const found = forgery.page(format.CollectionPage, number);
                try forgery.sealRef(&found.index, depth + 1);
                try forgery.sealRef(&found.segments, depth + 1);
                for (&found.growing.tombstones) |*ref| try forgery.sealRef(ref, depth + 1);
                try forgery.sealRef(&found.growing.amendments, depth + 1);
            },
            .segment => {
                const segment = &forgery.page(format.SegmentPage, number).segment;
                for (&segment.tombstones) |*ref| try forgery.sealRef(ref, depth + 1);
                try forgery.sealRef(&segment.amendments, depth + 1);
            },
            else => {},
        }
        return std.hash.XxHash3.hash(0, forgery.page(format.Page, number));
    }

    /// Opens it and does everything that there is to do. Any error is an answer.
    fn use(forgery: *const Forgery) !void {
        const disk = try Disk.create(gpa, .{ .content = forgery.bytes });
        defer disk.destroy();
        var client: Client = .{
            .gpa = gpa,
            .process = try disk.process(),
            .options = .{ .durability = .none, .create = false },
            .hot_vectors = 3,
        };
        for (0..3) |_| {
            client.open() catch continue;
            defer client.close();
            try useOpen(&client);
        }
    }
};

fn useOpen(client: *Client) !void {
    const database = client.database.?;
    const collection = client.collection.?;
    if (client.readAll()) |_| {} else |err| try notOurs(err);
    for (0..30) |i| {
        const number: u32 = @intCast(1 + i * 13);
        const key: Key = .init(number);
        var out: [dimension]f32 = undefined;
        if (collection.get(key.text(), &out)) |_| {} else |err| try notOurs(err);
        if (client.put(number, .{ .seed = 1, .metadata_bytes = 40 })) |_| {} else |err| {
            try notOurs(err);
        }
        if (client.amend(number + 1, .{ .seed = 2, .metadata_bytes = 20 })) |_| {} else |err| {
            try notOurs(err);
        }
        if (i % 3 == 0) if (client.delete(number)) |_| {} else |err| try notOurs(err);
        if (i % 10 == 9) if (database.flush()) |_| {} else |err| try notOurs(err);
    }
    if (database.stats()) |_| {} else |err| try notOurs(err);
    try compact(database);
    const other = vl.Collection.open(
        .{ .database = database },
        "other",
        .{ .dimension = dimension },
    ) catch |err| return notOurs(err);
    defer other.close();
    if (collection.clear()) |_| {} else |err| try notOurs(err);
    for (0..12) |i| {
        if (client.put(@intCast(i + 1), .{ .seed = 2 })) |_| {} else |err| try notOurs(err);
        if (database.flush()) |_| {} else |err| try notOurs(err);
    }
    if (vl.catalogue.drop(database, "other")) |_| {} else |err| try notOurs(err);
    if (client.readAll()) |_| {} else |err| try notOurs(err);
}

fn compact(database: *vl.Database) !void {
    var done: f64 = 0;
    var total: f64 = 0;
    for (0..200) |slice| {
        const more = vl.compactStep(database, slice == 0, 1 << 16, &done, &total) catch |err|
            return notOurs(err);
        if (!more) return;
    }
    return error.Endless;
}

/// What a call may answer about a file that lies.
fn notOurs(err: anyerror) !void {
    return if (err == error.OutOfMemory) err else {};
}

fn build(keys: u32) ![]u8 {
    var base = if (keys > 252) try Base.fullBucket() else try Base.small();
    defer base.deinit();
    const disk = try Disk.create(gpa, .{ .content = base.bytes });
    defer disk.destroy();
    var client: Client = .{
        .gpa = gpa,
        .process = try disk.process(),
        .options = .{ .durability = .full, .create = false },
    };
    try client.open();
    defer client.close();
    for (base.rows.rows.count()..keys) |i| try client.put(@intCast(1000 + i), .{ .seed = 5 });
    for (1..5) |number| _ = try client.amend(@intCast(number), .{ .seed = 6, .metadata_bytes = 8 });
    return gpa.dupe(u8, disk.bytes());
}

const Change = *const fn (forgery: *Forgery) void;

const changes = struct {
    const max64 = std.math.maxInt(u64);
    const max32 = std.math.maxInt(u32);

    fn lastTransaction(f: *Forgery) void {
        f.root.transaction_id = max64;
    }
    fn transactionBeyondTheLocks(f: *Forgery) void {
        f.root.transaction_id = 1 << 61;
    }
    fn lastLegalTransaction(f: *Forgery) void {
        f.root.transaction_id = vl.limits.transaction_max;
    }
    fn lastSequence(f: *Forgery) void {
        f.root.durable_sequence = max64;
    }
    fn endlessCatalogue(f: *Forgery) void {
        f.root.catalogue_len = max32;
    }
    fn endlessEmptyCatalogue(f: *Forgery) void {
        f.root.catalogue_len = max32;
        f.root.catalogue = .none;
    }
    fn noCollection(f: *Forgery) void {
        f.root.collection_count = 0;
    }
    fn allCollections(f: *Forgery) void {
        f.root.collection_count = max32;
    }
    fn lastCollectionId(f: *Forgery) void {
        f.root.next_collection_id = max32;
    }
    fn lastLoss(f: *Forgery) void {
        f.root.last_loss = max32;
    }
    fn noLiveRow(f: *Forgery) void {
        f.collection().live_rows = 0;
    }
    fn allLiveRows(f: *Forgery) void {
        f.collection().live_rows = max64;
    }
    fn allIndexPages(f: *Forgery) void {
        f.collection().index_pages = max32;
    }
    fn allSegments(f: *Forgery) void {
        f.collection().segment_array_len = vl.limits.segments_max;
    }
    fn lastGrowingId(f: *Forgery) void {
        f.collection().growing.id = vl.limits.segments_max - 1;
    }
    fn impossibleGrowingId(f: *Forgery) void {
        f.collection().growing.id = vl.limits.segments_max;
    }
    fn allDeadRows(f: *Forgery) void {
        f.collection().dead_rows = max64;
    }
    fn bornLater(f: *Forgery) void {
        f.collection().growing.born = max64;
    }
    fn allDead(f: *Forgery) void {
        f.collection().growing.dead_rows = f.collection().growing.rows;
    }
    fn extentOverIndex(f: *Forgery) void {
        f.collection().growing.heap[0].page = f.collection().index.page;
    }
    fn extentOverCatalogue(f: *Forgery) void {
        f.collection().growing.extent_page = f.root.catalogue.page;
    }
    fn tombstonesOverIndex(f: *Forgery) void {
        f.collection().growing.tombstones[0] = f.collection().index;
    }
    fn amendmentsOverIndex(f: *Forgery) void {
        f.collection().growing.amendments = f.collection().index;
    }
    fn allWasted(f: *Forgery) void {
        f.collection().growing.wasted_bytes = max32;
    }
    fn indexIsItself(f: *Forgery) void {
        f.collection().index.page = f.root.catalogue.page;
    }
};

test "a number that cannot be is damage, whatever the checksums say" {
    const original = try build(9);
    defer gpa.free(original);
    const all = [_]Change{
        changes.lastTransaction, changes.transactionBeyondTheLocks, changes.lastLegalTransaction,
        changes.lastSequence,    changes.endlessCatalogue,          changes.endlessEmptyCatalogue,
        changes.noCollection,    changes.allCollections,            changes.lastCollectionId,
        changes.lastLoss,        changes.noLiveRow,                 changes.allLiveRows,
        changes.allIndexPages,   changes.allSegments,               changes.allDead,
        changes.extentOverIndex, changes.extentOverCatalogue,       changes.tombstonesOverIndex,
        changes.indexIsItself,   changes.lastGrowingId,             changes.impossibleGrowingId,
        changes.allDeadRows,     changes.bornLater,                 changes.amendmentsOverIndex,
        changes.allWasted,
    };
    for (all) |change| {
        var forgery = try Forgery.init(original);
        defer forgery.deinit();
        change(&forgery);
        try forgery.seal();
        try forgery.use();
    }
}

test "a segment that lies about its dead rows is damage to who deletes by a filter" {
    // Its last live row is not the last one that matches: the segment goes before they do.
    const original = try build(300);
    defer gpa.free(original);
    var forgery = try Forgery.init(original);
    defer forgery.deinit();
    var forged: u32 = 0;
    for (forgery.pages.items) |number| {
        if (forgery.page(format.PageHeader, number).type != .segment) continue;
        const segment = &forgery.page(format.SegmentPage, number).segment;
        segment.dead_rows = segment.rows - 1;
        forged += 1;
    }
    try std.testing.expect(forged > 0);
    try forgery.seal();
    const disk = try Disk.create(gpa, .{ .content = forgery.bytes });
    defer disk.destroy();
    var client: Client = .{
        .gpa = gpa,
        .process = try disk.process(),
        .options = .{ .durability = .none, .create = false },
    };
    try client.open();
    defer client.close();
    const filter: []const u8 = &.{ 1, 3, 16, 4, 'n', 'o', 'n', 'e' };
    try std.testing.expectError(error.Corrupt, client.collection.?.deleteWhere(filter));
}

test "files forged at random are answered, not obeyed" {
    var prng = std.Random.DefaultPrng.init(0xF0F0);
    const random = prng.random();
    for ([_]u32{ 9, 300 }) |keys| {
        const original = try build(keys);
        defer gpa.free(original);
        for (0..150) |round| {
            errdefer std.debug.print("\n{d} keys, round {d}\n", .{ keys, round });
            var forgery = try Forgery.init(original);
            defer forgery.deinit();
            for (0..random.intRangeAtMost(u32, 1, 3)) |_| forge(&forgery, random);
            try forgery.seal();
            try forgery.use();
        }
    }
}

/// One number of the root or of some page becomes another one that is likely to do harm.
fn forge(forgery: *Forgery, random: std.Random) void {
    const pages = forgery.pages.items;
    const number = pages[random.uintLessThan(usize, pages.len)];
    const words = forgery.page([format.page_bytes / @sizeOf(u32)]u32, number);
    // Most of a page is alike; what differs stands in its beginning.
    const end: usize = if (random.boolean()) 32 else words.len;
    const word = &words[random.uintLessThan(usize, end)];
    word.* = switch (random.uintLessThan(u32, 8)) {
        0 => 0,
        1 => std.math.maxInt(u32),
        2 => word.* +% 1,
        3 => word.* -% 1,
        4 => word.* ^ @as(u32, 1) << random.int(u5),
        5 => random.uintLessThan(u32, 8),
        6 => random.int(u32),
        else => pages[random.uintLessThan(usize, pages.len)],
    };
}

test "a page that is not what its parent says is damage, wherever it lies" {
    const original = try build(300);
    defer gpa.free(original);
    var forgery = try Forgery.init(original);
    defer forgery.deinit();
    for (forgery.pages.items) |number| {
        const byte = &forgery.bytes[number * format.page_bytes + format.page_bytes - 1];
        byte.* ^= 1;
        defer byte.* ^= 1;
        const disk = try Disk.create(gpa, .{ .content = forgery.bytes });
        defer disk.destroy();
        var client: Client = .{
            .gpa = gpa,
            .process = try disk.process(),
            .options = .{ .readonly = true, .create = false },
        };
        defer client.close();
        const result = if (client.open()) |_| client.readAll() else |err| err;
        try std.testing.expectError(error.Corrupt, result);
    }
}

test "an inner page that its parent calls a bucket is damage: its pages count as free" {
    const original = try build(300);
    defer gpa.free(original);
    var forgery = try Forgery.init(original);
    defer forgery.deinit();
    const top = forgery.page(format.InnerPage, forgery.collection().index.page);
    const hidden = forgery.page(format.InnerPage, top.pages[0]);
    const transaction_id = hidden.header.transaction_id;
    hidden.* = std.mem.zeroes(format.InnerPage);
    hidden.header = .{ .type = .inner, .depth = 1, .count = 0, .transaction_id = transaction_id };
    @memset(&hidden.pages, top.pages[255]);
    try forgery.seal();
    const disk = try Disk.create(gpa, .{ .content = forgery.bytes });
    defer disk.destroy();
    var client: Client = .{
        .gpa = gpa,
        .process = try disk.process(),
        .options = .{ .create = false },
    };
    try client.open();
    defer client.close();
    var refusals: u32 = 0;
    for (1..253) |number| {
        const key: Key = .init(@intCast(number));
        var out: [dimension]f32 = undefined;
        // The rows of the page that is gone, and only those.
        if (client.collection.?.get(key.text(), &out)) |found| {
            try std.testing.expect(found);
        } else |err| {
            try std.testing.expectEqual(error.Corrupt, err);
            const put = client.put(@intCast(number), .{ .seed = 1 });
            try std.testing.expectError(error.Corrupt, put);
            refusals += 1;
        }
    }
    try std.testing.expect(refusals > 0);
}
