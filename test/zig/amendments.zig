//! Metadata that is replaced: everybody who reads the newest state sees the newest, whoever holds
//! an earlier one sees that, and the vector is not written again.

const std = @import("std");
const vl = @import("vectorlite");
const format = vl.format;
const Disk = vl.backends.simulated.Disk;
const Writer = vl.metadata_writer.Writer;

const gpa = std.testing.allocator;

/// A number that a row's metadata says, and how long a note it has beside it; null: no metadata.
const Doc = ?struct { number: u32, note_bytes: u16 = 0 };

fn write(writer: *Writer, doc: Doc) !void {
    const found = doc orelse return;
    try writer.text("n");
    try writer.number(@floatFromInt(found.number));
    if (found.note_bytes == 0) return;
    const note: [1 << 16]u8 = @splat('x');
    try writer.text("note");
    try writer.string(note[0..found.note_bytes]);
}

/// One connection to the machine's file.
const Client = struct {
    dimension: u32,
    process: *vl.backends.simulated.Process = undefined,
    diagnostics: vl.Diagnostics = .{},
    database: *vl.Database = undefined,
    collection: *vl.Collection = undefined,

    fn open(client: *Client, disk: *Disk, options: vl.Options) !void {
        client.process = try disk.process();
        const system = client.process.system();
        const diagnostics = &client.diagnostics;
        client.database = try vl.Database.open(gpa, system, path, options, diagnostics);
        errdefer client.database.close();
        client.collection = try .open(
            .{ .database = client.database },
            "docs",
            .{ .dimension = client.dimension, .create = !options.readonly },
        );
    }

    fn close(client: *Client) void {
        client.collection.close();
        client.database.close();
    }

    fn set(client: *Client, number: usize, doc: Doc) !void {
        var metadata: Writer = .{ .gpa = gpa };
        defer metadata.deinit();
        try write(&metadata, doc);
        const key = keyOf(number);
        try std.testing.expect(try client.collection.setMetadata(&key, metadata.bytes.items));
    }
};

const path = "amended.vl";

fn keyOf(number: usize) [8]u8 {
    var key: [8]u8 = undefined;
    // Tests have few rows.
    _ = std.fmt.bufPrint(&key, "{d:0>8}", .{number}) catch unreachable;
    return key;
}

/// By number of key; a row that is gone is not there.
const Model = struct {
    rows: std.AutoArrayHashMapUnmanaged(usize, Doc) = .empty,

    fn clone(model: *const Model) !Model {
        return .{ .rows = try model.rows.clone(gpa) };
    }

    fn deinit(model: *Model) void {
        model.rows.deinit(gpa);
    }
};

const Machine = struct {
    disk: *Disk,
    model: Model = .{},
    client: Client,

    fn init(machine: *Machine, dimension: u32, options: vl.Options) !void {
        machine.* = .{ .disk = try Disk.create(gpa, .{}), .client = .{ .dimension = dimension } };
        errdefer machine.disk.destroy();
        try machine.client.open(machine.disk, options);
    }

    fn deinit(machine: *Machine) void {
        machine.client.close();
        machine.model.deinit();
        machine.disk.destroy();
    }

    fn reopen(machine: *Machine, options: vl.Options) !void {
        machine.client.close();
        try machine.client.open(machine.disk, options);
    }

    /// Rows with the numbers from `first` on, whose metadata say them.
    fn put(machine: *Machine, first: usize, count: usize) !void {
        var arena_state: std.heap.ArenaAllocator = .init(gpa);
        defer arena_state.deinit();
        const arena = arena_state.allocator();
        var keys: std.ArrayList(u8) = .empty;
        var metadata: Writer = .{ .gpa = arena };
        const dimension = machine.client.dimension;
        const key_lens = try arena.alloc(u32, count);
        const metadata_lens = try arena.alloc(u32, count);
        const vectors = try arena.alloc(f32, count * dimension);
        for (key_lens, metadata_lens, first.., 0..) |*key_len, *metadata_len, number, i| {
            try keys.appendSlice(arena, &keyOf(number));
            key_len.* = 8;
            const doc: Doc = .{ .number = @intCast(number) };
            const start = metadata.bytes.items.len;
            try write(&metadata, doc);
            metadata_len.* = @intCast(metadata.bytes.items.len - start);
            fill(vectors[i * dimension ..][0..dimension], number);
            try machine.model.rows.put(gpa, number, doc);
        }
        try machine.client.collection.put(.{
            .keys = keys.items,
            .key_lens = key_lens,
            .vectors = vectors,
            .metadata = metadata.bytes.items,
            .metadata_lens = metadata_lens,
        });
    }

    fn fill(vector: []f32, number: usize) void {
        var prng: std.Random.DefaultPrng = .init(number);
        for (vector) |*value| value.* = prng.random().floatNorm(f32);
    }

    fn set(machine: *Machine, number: usize, doc: Doc) !void {
        try machine.client.set(number, doc);
        try machine.model.rows.put(gpa, number, doc);
    }

    fn delete(machine: *Machine, number: usize) !void {
        var deleted: u32 = 0;
        try machine.client.collection.delete(&keyOf(number), &.{8}, &deleted);
        try std.testing.expectEqual(1, deleted);
        _ = machine.model.rows.swapRemove(number);
    }

    fn expect(machine: *Machine) !void {
        try expectRows(machine.client.collection, &machine.model);
    }

    fn verify(machine: *Machine) !void {
        try expectSound(machine.client.database);
    }

    fn compact(machine: *Machine) !void {
        var done: f64 = 0;
        var total: f64 = 0;
        var is_first = true;
        const database = machine.client.database;
        while (try vl.compactStep(database, is_first, 1 << 16, &done, &total)) is_first = false;
    }
};

/// Pages that the connection takes for used are those that the newest state leads to.
fn expectNothingLost(database: *vl.Database) !void {
    const verify = try vl.Verify.open(database);
    defer verify.close();
    var progress: [2]f64 = undefined;
    while (try verify.step(1 << 20, &progress[0], &progress[1])) {}
    const space = &database.session.?.space;
    const used = space.file_pages - space.free_count - space.pending_pages;
    const reached = verify.ledger.pages.count() + format.first_free_page;
    try std.testing.expectEqual(reached, used);
}

fn expectSound(database: *vl.Database) !void {
    const verify = try vl.Verify.open(database);
    defer verify.close();
    var progress: [2]f64 = undefined;
    while (try verify.step(1 << 20, &progress[0], &progress[1])) {}
    for (verify.ledger.findings.list.items) |found| {
        std.debug.print("{t} at {d}: {s}\n", .{ found.kind, found.offset, found.message });
    }
    try std.testing.expectEqual(0, verify.ledger.findings.count);
    try std.testing.expectEqual(0, verify.warnings.count);
}

/// Every row says what the model has, whichever way it is reached, and has its own vector.
fn expectRows(collection: *vl.Collection, model: *const Model) !void {
    var arena_state: std.heap.ArenaAllocator = .init(gpa);
    defer arena_state.deinit();
    const arena = arena_state.allocator();
    const dimension = collection.dimension();
    const vector = try arena.alloc(f32, dimension);
    const own = try arena.alloc(f32, dimension);
    const buffer = try arena.alloc(u8, 1 << 20);
    var metadata: Writer = .{ .gpa = arena };
    for (model.rows.keys(), model.rows.values()) |number, doc| {
        var len: u32 = 0;
        const key = keyOf(number);
        try std.testing.expect(try collection.getRecord(&key, vector, buffer, &len));
        metadata.clear();
        try write(&metadata, doc);
        try std.testing.expectEqualSlices(u8, metadata.bytes.items, buffer[0..len]);
        Machine.fill(own, number);
        try std.testing.expectEqualSlices(f32, own, vector);
    }
    var scanned: usize = 0;
    var cursor: vl.Cursor = .{};
    while (true) {
        var writer: vl.EntryWriter = .{ .out = buffer, .include_vectors = false };
        if (!try collection.scan(&cursor, &writer)) break;
        scanned += writer.count;
        try expectEntries(arena, buffer[0..writer.used], model);
    }
    try std.testing.expectEqual(model.rows.count(), scanned);
    try expectFound(arena, collection, model);
    try expectFiltered(arena, collection, model);
}

fn expectEntries(arena: std.mem.Allocator, bytes: []const u8, model: *const Model) !void {
    var at: usize = 0;
    var metadata: Writer = .{ .gpa = arena };
    while (at < bytes.len) {
        const metadata_len = std.mem.readInt(u32, bytes[at + 4 ..][0..4], .little);
        const number = try std.fmt.parseInt(usize, bytes[at + 8 ..][0..8], 10);
        metadata.clear();
        try write(&metadata, model.rows.get(number).?);
        const found = bytes[at + 16 ..][0..metadata_len];
        try std.testing.expectEqualSlices(u8, metadata.bytes.items, found);
        at += 16 + metadata_len;
    }
}

/// A search gives the newest metadata of what it finds.
fn expectFound(arena: std.mem.Allocator, collection: *vl.Collection, model: *const Model) !void {
    if (model.rows.count() == 0) return;
    const query = try arena.alloc(f32, collection.dimension());
    Machine.fill(query, model.rows.keys()[model.rows.count() / 2]);
    const hits = try arena.alloc(vl.Hit, 20);
    var counts: [1]u32 = undefined;
    try collection.search(query, @intCast(hits.len), null, hits, &counts);
    try std.testing.expectEqual(@min(hits.len, model.rows.count()), counts[0]);
    const bytes = try arena.alloc(u8, 1 << 22);
    var writer: vl.EntryWriter = .{ .out = bytes, .include_vectors = false };
    try collection.fetch(hits[0..counts[0]], &writer);
    try expectEntries(arena, bytes[0..writer.used], model);
}

/// Filters count by the newest metadata.
fn expectFiltered(arena: std.mem.Allocator, collection: *vl.Collection, model: *const Model) !void {
    for ([_]u32{ 3, 100, 1_000, 1_000_000 }) |bound| {
        var writer: Writer = .{ .gpa = arena };
        try writer.byte(1);
        try writer.byte(20);
        try writer.text("n");
        try writer.number(@floatFromInt(bound));
        var expected: u64 = 0;
        for (model.rows.values()) |doc| if (doc) |found| {
            if (found.number < bound) expected += 1;
        };
        try std.testing.expectEqual(expected, try collection.countWhere(writer.bytes.items));
    }
}

/// What of the collection's segments is not theirs from the start.
fn amendedRows(collection: *vl.Collection) !u32 {
    _ = try collection.access.readable();
    const state = try collection.access.currentState();
    var count: u32 = 0;
    var next: u32 = 0;
    while (try state.nextSegment(gpa, collection.access.source(), next)) |segment| {
        next = segment.disk.id + 1;
        for (0..segment.disk.rows) |row| {
            if (segment.amendments.recordOf(@intCast(row)) != null) count += 1;
        }
    }
    return count;
}

/// Of all pages of amendments.
fn highestPage(collection: *vl.Collection) !u32 {
    _ = try collection.access.readable();
    const state = try collection.access.currentState();
    var highest: u32 = 0;
    var next: u32 = 0;
    while (try state.nextSegment(gpa, collection.access.source(), next)) |segment| {
        next = segment.disk.id + 1;
        for (segment.amendments.blocks) |maybe| if (maybe) |block| {
            highest = @max(highest, block.page.page);
        };
    }
    return highest;
}

const dimensions = [_]u32{ 8, 64 };

test "every reader sees the newest metadata, and nothing else changes" {
    for (dimensions) |dimension| {
        var machine: Machine = undefined;
        try machine.init(dimension, .{ .durability = .normal });
        defer machine.deinit();
        errdefer std.debug.print("{s}\n", .{machine.client.diagnostics.message()});
        try machine.put(0, 3000);
        for (0..300) |i| {
            const number = i * 7 % 3000;
            try machine.set(number, .{ .number = @intCast(2_000_000 + i), .note_bytes = 20 });
        }
        // Without metadata, and with it again.
        try machine.set(5, null);
        try machine.set(6, null);
        try machine.set(6, .{ .number = 1 });
        try std.testing.expect(try amendedRows(machine.client.collection) > 250);
        try machine.expect();
        try machine.reopen(.{});
        try machine.expect();
        // In places of rows that are gone.
        try machine.verify();
        for (0..200) |i| try machine.delete(i * 14);
        try machine.put(0, 100);
        try machine.expect();
        try machine.reopen(.{});
        try machine.expect();
        try machine.verify();
    }
}

test "a vector is not written again" {
    var machine: Machine = undefined;
    try machine.init(1536, .{ .durability = .none });
    defer machine.deinit();
    try machine.put(0, 64);
    const database = machine.client.database;
    try database.begin();
    const before = database.session.?.writer.written_bytes;
    for (0..64) |i| try machine.set(i, .{ .number = 7 });
    const written = database.session.?.writer.written_bytes - before;
    try std.testing.expectEqual(64 * 72, written);
    try database.commit();
    try machine.expect();
}

test "a snapshot, and another connection's state, stay as they are until they are given up" {
    for (dimensions) |dimension| {
        var machine: Machine = undefined;
        try machine.init(dimension, .{ .durability = .none });
        defer machine.deinit();
        try machine.put(0, 1500);
        try machine.set(3, .{ .number = 33 });
        var other: Client = .{ .dimension = dimension };
        try other.open(machine.disk, .{ .readonly = true });
        defer other.close();
        const mine = try machine.client.database.openSnapshot();
        defer mine.close();
        const theirs = try other.database.openSnapshot();
        defer theirs.close();
        var earlier = try machine.model.clone();
        defer earlier.deinit();
        for (0..4) |round| {
            for (0..200) |i| {
                try machine.set(i * 7, .{ .number = @intCast(round * 1000 + i) });
            }
            try expectRows(other.collection, &machine.model);
            for ([_]*vl.Snapshot{ mine, theirs }) |snapshot| {
                const collection: *vl.Collection = try .open(
                    .{ .snapshot = snapshot },
                    "docs",
                    .{},
                );
                defer collection.close();
                try expectRows(collection, &earlier);
            }
        }
        try machine.expect();
    }
}

test "a transaction sees what it has set, and a rollback takes it back" {
    for (dimensions) |dimension| {
        var machine: Machine = undefined;
        try machine.init(dimension, .{ .durability = .normal });
        defer machine.deinit();
        try machine.put(0, 1500);
        for (0..50) |i| try machine.set(i, .{ .number = 50 });
        for (0..3) |round| {
            var before = try machine.model.clone();
            try machine.client.database.begin();
            for (0..1500) |i| try machine.set(i, .{ .number = @intCast(round * 10_000 + i) });
            for (0..20) |i| try machine.set(40 + i, .{ .number = 2, .note_bytes = 100 });
            try machine.put(1500, 100);
            for (1480..1520) |i| try machine.set(i, .{ .number = 4 });
            for (0..60) |i| try machine.delete(i * 3);
            try machine.expect();
            machine.client.database.rollback();
            std.mem.swap(Model, &before, &machine.model);
            before.deinit();
            try machine.expect();
            // Behind the last record, where the others were.
            for (700..720) |i| try machine.set(i, .{ .number = @intCast(round) });
            try machine.expect();
        }
        try machine.reopen(.{});
        try machine.expect();
        try machine.verify();
    }
}

test "filters find the one row of a block that has metadata since its columns were made" {
    for (dimensions) |dimension| {
        var machine: Machine = undefined;
        try machine.init(dimension, .{ .durability = .none });
        defer machine.deinit();
        try machine.put(0, 1024);
        try machine.client.database.begin();
        for (0..512) |i| try machine.set(i, null);
        try machine.client.database.commit();
        for ([_]usize{ 3, 40, 41, 300 }) |number| {
            try machine.set(number, .{ .number = 50 });
            try machine.expect();
        }
        // So many that the columns are made anew.
        for (64..96) |number| {
            try machine.set(number, .{ .number = 50 });
            if (number % 5 == 0) try machine.expect();
        }
        try machine.reopen(.{});
        try machine.expect();
        try machine.verify();
    }
}

test "one row may be set again and again, and so may all of them" {
    for (dimensions) |dimension| {
        var machine: Machine = undefined;
        try machine.init(dimension, .{ .durability = .none });
        defer machine.deinit();
        try machine.put(0, 1200);
        const file_bytes = machine.disk.length;
        for (0..3000) |i| try machine.set(77, .{ .number = @intCast(i) });
        try machine.expect();
        for (0..6) |round| {
            try machine.client.database.begin();
            for (0..1200) |i| try machine.set(i, .{ .number = @intCast(round * i) });
            try machine.client.database.commit();
        }
        try machine.expect();
        try std.testing.expect(machine.disk.length < 4 * file_bytes);
        try machine.reopen(.{});
        try machine.expect();
        try machine.verify();
    }
}

test "metadata that becomes long fits, wherever the row has to be for that" {
    var machine: Machine = undefined;
    try machine.init(8, .{ .durability = .none });
    defer machine.deinit();
    try machine.put(0, 300);
    for (0..300) |i| try machine.set(i, .{ .number = @intCast(i), .note_bytes = 40_000 });
    try machine.expect();
    try machine.verify();
    for (0..300) |i| try machine.set(i, .{ .number = @intCast(i) });
    try machine.expect();
    try machine.verify();
}

test "what is amended is dropped, cleared and deleted like all else" {
    for (dimensions) |dimension| {
        var machine: Machine = undefined;
        try machine.init(dimension, .{ .durability = .full });
        defer machine.deinit();
        for ([_]bool{ false, true }) |in_transaction| {
            try machine.put(0, 1500);
            if (in_transaction) try machine.client.database.begin();
            for (0..600) |i| try machine.set(i, .{ .number = @intCast(i) });
            try machine.client.collection.clear();
            machine.model.rows.clearRetainingCapacity();
            if (in_transaction) try machine.client.database.commit();
            try machine.expect();
            try machine.put(0, 1500);
            if (in_transaction) try machine.client.database.begin();
            for (0..600) |i| try machine.set(i, .{ .number = @intCast(i) });
            // Segments go with their last rows.
            for (0..1400) |i| try machine.delete(i);
            if (in_transaction) try machine.client.database.commit();
            try machine.expect();
            try machine.verify();
            try expectNothingLost(machine.client.database);
        }
        const stats = try machine.client.database.stats();
        try machine.client.collection.clear();
        machine.model.rows.clearRetainingCapacity();
        for (0..5) |_| try machine.put(0, 1);
        try machine.reopen(.{ .durability = .full });
        try machine.compact();
        try std.testing.expect(machine.disk.length < stats.file_bytes / 4);
        try machine.expect();
    }
}

test "rows that move take their newest metadata with them" {
    for (dimensions) |dimension| {
        var machine: Machine = undefined;
        try machine.init(dimension, .{ .durability = .none });
        defer machine.deinit();
        try machine.put(0, 2000);
        for (0..500) |i| try machine.set(i * 4, .{ .number = @intCast(i), .note_bytes = 30 });
        // Writers move some, and `compact` the others.
        for (0..600) |i| try machine.delete(i * 3);
        try machine.expect();
        try machine.compact();
        try machine.expect();
        try machine.verify();
        for (0..200) |i| {
            const number = i * 3 + 1;
            try machine.set(number, .{ .number = @intCast(i) });
        }
        // Pages and rows from the end of the file come to lie before it.
        for (0..900) |i| if (i % 3 != 0) try machine.delete(i);
        try machine.compact();
        try machine.expect();
        try machine.verify();
        try machine.reopen(.{});
        try machine.expect();
    }
}

test "pages of amendments at the end of a file move before it" {
    // Segments of one page of amendments, and of two.
    for ([_]usize{ 2000, 6200 }) |count| {
        var machine: Machine = undefined;
        try machine.init(256, .{ .durability = .none });
        defer machine.deinit();
        try machine.put(0, count);
        for (0..count / 4) |i| try machine.set(i * 4, .{ .number = @intCast(i + 7) });
        // Much behind all that, and behind that the pages of what is amended last: a reader keeps
        // all earlier ones from being used again.
        const reader = try machine.client.database.openSnapshot();
        const other: *vl.Collection = try .open(
            .{ .database = machine.client.database },
            "other",
            .{ .dimension = 4 },
        );
        defer other.close();
        for (0..20) |i| {
            const vector: [4]f32 = @splat(1);
            const note: [20_000]u8 = @splat(1);
            try other.put(.{
                .keys = &keyOf(i),
                .key_lens = &.{8},
                .vectors = &vector,
                .metadata = &note,
                .metadata_lens = &.{note.len},
            });
        }
        for (0..200) |i| try machine.set(i * 100 % count, .{ .number = 8 });
        reader.close();
        const before = machine.disk.length;
        const highest = try highestPage(machine.client.collection);
        _ = try vl.catalogue.drop(machine.client.database, "other");
        try machine.compact();
        try std.testing.expect(machine.disk.length < before - 200_000);
        try machine.expect();
        try machine.verify();
        // They were behind the end, and some segments stayed where they are.
        try std.testing.expect(format.pageOffset(highest) >= machine.disk.length);
        try std.testing.expect(try amendedRows(machine.client.collection) > 0);
    }
}

test "what a writer that died had amended is made durable, also of rows that were durable before" {
    for (dimensions) |dimension| {
        var machine: Machine = undefined;
        try machine.init(dimension, .{ .durability = .normal });
        defer machine.deinit();
        try machine.put(0, 1500);
        try machine.client.database.flush();
        for (0..300) |i| try machine.set(i * 3, .{ .number = @intCast(i) });
        try machine.put(1500, 10);
        for (1490..1510) |i| try machine.set(i, .{ .number = 12 });
        // It ends without a flush, and what it wrote is in the page cache only.
        machine.client.process.kill();
        var next: Client = .{ .dimension = dimension };
        try next.open(machine.disk, .{ .durability = .full });
        defer next.close();
        try next.set(4, .{ .number = 4 });
        try machine.model.rows.put(gpa, 4, .{ .number = 4 });
        try expectRows(next.collection, &machine.model);
        const left = try Disk.create(gpa, .{ .seed = 1 });
        defer left.destroy();
        var possible = try machine.disk.crashes(.{});
        defer possible.deinit();
        try left.become(machine.disk, possible.at(0).?, .new);
        var last: Client = .{ .dimension = dimension };
        try last.open(left, .{});
        defer last.close();
        try expectRows(last.collection, &machine.model);
        try expectSound(last.database);
    }
}

test "what an orphan has amended is checked before it is believed" {
    const Part = enum { record, metadata };
    for ([_]Part{ .record, .metadata }) |part| {
        var machine: Machine = undefined;
        try machine.init(64, .{ .durability = .normal });
        defer machine.deinit();
        try machine.put(0, 500);
        try machine.client.database.flush();
        var durable = try machine.model.clone();
        defer durable.deinit();
        try machine.set(1, .{ .number = 1_000_000 });
        const record = try recordOf(machine.client.collection, 1);
        machine.client.process.kill();
        // The record, as it never reached the device.
        machine.disk.corrupt(record.offset + switch (part) {
            .record => 20,
            .metadata => record.bytes - 1,
        }, "?");
        var next: Client = .{ .dimension = 64 };
        try next.open(machine.disk, .{ .durability = .full });
        defer next.close();
        try next.set(4, .{ .number = 4 });
        try durable.rows.put(gpa, 4, .{ .number = 4 });
        try expectRows(next.collection, &durable);
    }
}

const RecordPlace = struct { offset: u64, bytes: u64 };

/// Where the newest record of a key lies.
fn recordOf(collection: *vl.Collection, number: usize) !RecordPlace {
    const key = keyOf(number);
    const place = (try vl.lookup.find(&collection.access, &key)).?;
    const database = collection.access.database();
    const record = try database.reader(database.scratch).record(
        place.state,
        place.segment,
        place.row,
    );
    const head = @sizeOf(format.Record) + key.len;
    return .{
        .offset = record.metadata_offset - head,
        .bytes = head + record.metadata_bytes,
    };
}

test "who reads a state that was lost goes on reading it while others amend the same rows" {
    for (dimensions) |dimension| {
        var machine: Machine = undefined;
        try machine.init(dimension, .{ .durability = .none });
        defer machine.deinit();
        try machine.put(0, 1500);
        try machine.client.database.flush();
        var other: Client = .{ .dimension = dimension };
        try other.open(machine.disk, .{ .durability = .none });
        var lost = try machine.model.clone();
        defer lost.deinit();
        for (0..400) |i| {
            const doc: Doc = .{ .number = @intCast(5000 + i) };
            try other.set(i * 3, doc);
            try lost.rows.put(gpa, i * 3, doc);
        }
        var reader: Client = .{ .dimension = dimension };
        try reader.open(machine.disk, .{ .readonly = true });
        defer reader.close();
        const snapshot = try reader.database.openSnapshot();
        defer snapshot.close();
        const held: *vl.Collection = try .open(.{ .snapshot = snapshot }, "docs", .{});
        defer held.close();
        try expectRows(held, &lost);
        try machine.disk.inject(.{ .call = .sync, .survivors = .none });
        try std.testing.expectError(error.InputOutput, other.database.flush());
        machine.disk.clearFaults();
        other.close();
        for (0..3) |round| {
            for (0..200) |i| try machine.set(i * 2, .{ .number = @intCast(round * i) });
            try expectRows(held, &lost);
            try machine.expect();
            try expectRows(reader.collection, &machine.model);
        }
        try machine.verify();
    }
}

test "a bit that flips in what was amended is found, and reading it is an error" {
    var machine: Machine = undefined;
    try machine.init(64, .{ .durability = .full });
    defer machine.deinit();
    try machine.put(0, 700);
    for (0..100) |i| try machine.set(i * 5, .{ .number = @intCast(i) });
    const state = try machine.client.collection.access.currentState();
    const segment = state.growing();
    const source = machine.client.collection.access.source();
    const first = if (segment.disk.amendments.isNone())
        (try state.loadSegment(gpa, source, 0)).?
    else
        segment;
    const record = try recordOf(machine.client.collection, 0);
    const page_at = format.pageOffset(first.amendments.blocks[0].?.page.page);
    try expectSound(machine.client.database);
    for ([_]u64{
        record.offset,      record.offset + 47, record.offset + record.bytes - 1,
        page_at + 32,       page_at + 2080,     page_at + 2336,
        page_at + 4096 - 1,
    }) |offset| {
        const before = machine.disk.bytes()[@intCast(offset)];
        machine.disk.corrupt(offset, &.{before ^ 4});
        defer machine.disk.corrupt(offset, &.{before});
        var fresh: Client = .{ .dimension = 64 };
        const opened = fresh.open(machine.disk, .{ .readonly = true });
        defer if (opened) fresh.close() else |_| {};
        // The page of the segment that grows is read first of all.
        opened catch |err| {
            try std.testing.expectEqual(error.Corrupt, err);
            continue;
        };
        const verify = try vl.Verify.open(fresh.database);
        defer verify.close();
        var progress: [2]f64 = undefined;
        while (try verify.step(1 << 20, &progress[0], &progress[1])) {}
        try std.testing.expect(verify.ledger.findings.count > 0);
        var len: u32 = 0;
        var buffer: [256]u8 = undefined;
        const read = fresh.collection.getRecord(&keyOf(0), &.{}, &buffer, &len);
        try std.testing.expectError(error.Corrupt, read);
    }
    try machine.expect();
}

/// What `salvage` gets out of the machine's file as it is.
const Salvaged = struct {
    source: *Disk,
    diagnostics: vl.Diagnostics = .{},
    target: *vl.Database = undefined,
    collection: *vl.Collection = undefined,
    uncertain: u64 = 0,

    fn run(salvaged: *Salvaged, content: []const u8) !void {
        const memory = vl.backends.memory.system();
        salvaged.* = .{ .source = try Disk.create(gpa, .{ .seed = 5, .content = content }) };
        const diagnostics = &salvaged.diagnostics;
        salvaged.target = try .open(gpa, memory, ":memory:", .{}, diagnostics);
        salvaged.target.system = (try salvaged.source.process()).system();
        const job = try vl.Salvage.open(salvaged.target, path);
        defer job.close();
        var progress: [2]f64 = undefined;
        while (try job.step(1 << 20, &progress[0], &progress[1])) {}
        for (job.wreck.collections.values()) |found| salvaged.uncertain += found.uncertain;
        const scope: vl.Scope = .{ .database = salvaged.target };
        salvaged.collection = try .open(scope, "docs", .{ .create = false });
    }

    fn deinit(salvaged: *Salvaged) void {
        salvaged.collection.close();
        salvaged.target.close();
        salvaged.source.destroy();
    }
};

test "salvage brings the newest metadata, and says where it may be older" {
    for (dimensions) |dimension| {
        var machine: Machine = undefined;
        try machine.init(dimension, .{ .durability = .full });
        defer machine.deinit();
        try machine.put(0, 1000);
        try machine.client.database.begin();
        // So few that no row is written anew.
        for (0..120) |i| try machine.set(i * 8, .{ .number = @intCast(70_000 + i) });
        try machine.client.database.commit();
        const content = try gpa.dupe(u8, machine.disk.bytes());
        defer gpa.free(content);
        var whole: Salvaged = undefined;
        try whole.run(content);
        defer whole.deinit();
        try std.testing.expectEqual(0, whole.uncertain);
        try expectRows(whole.collection, &machine.model);
        // One page of amendments is lost: its rows say what they said first.
        const state = try machine.client.collection.access.currentState();
        const source = machine.client.collection.access.source();
        const segment = (try state.loadSegment(gpa, source, 0)).?;
        const page = segment.amendments.blocks[0].?.page.page;
        content[format.pageOffset(page) + 40] ^= 1;
        var damaged: Salvaged = undefined;
        try damaged.run(content);
        defer damaged.deinit();
        const rows = @min(256, segment.disk.rows);
        try std.testing.expectEqual(rows, damaged.uncertain);
        var model = try machine.model.clone();
        defer model.deinit();
        for (0..rows) |i| try model.rows.put(gpa, i, .{ .number = @intCast(i) });
        try expectRows(damaged.collection, &model);
        // Roots are lost, and the newest page of the collection tells of them.
        content[format.pageOffset(page) + 40] ^= 1;
        @memset(content[4096..][0 .. 6 * 4096], 0xAA);
        var rootless: Salvaged = undefined;
        try rootless.run(content);
        defer rootless.deinit();
        try expectRows(rootless.collection, &machine.model);
    }
}

test "a backup has what was amended" {
    var machine: Machine = undefined;
    try machine.init(8, .{ .durability = .none });
    defer machine.deinit();
    try machine.put(0, 1000);
    for (0..300) |i| try machine.set(i * 3, .{ .number = @intCast(i) });
    const copy = try Disk.create(gpa, .{ .seed = 9 });
    defer copy.destroy();
    try machine.disk.attach("copy.vl", copy);
    const backup = try vl.Backup.open(machine.client.database, "copy.vl");
    var progress: [2]f64 = undefined;
    var earlier = try machine.model.clone();
    defer earlier.deinit();
    var number: usize = 0;
    while (try backup.step(64 << 10, &progress[0], &progress[1])) : (number += 1) {
        try machine.set(number, .{ .number = 99 });
    }
    backup.close();
    const alone = try Disk.create(gpa, .{ .seed = 9, .content = copy.bytes() });
    defer alone.destroy();
    var client: Client = .{ .dimension = 8 };
    try client.open(alone, .{});
    defer client.close();
    try expectRows(client.collection, &earlier);
    try expectSound(client.database);
}
