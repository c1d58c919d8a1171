//! What the fuzz targets have found, one story each: a file says something impossible under right
//! checksums, and the engine says so instead of dying, spreading the damage, or asking for memory.

const std = @import("std");
const vl = @import("vectorlite");
const base_module = @import("base.zig");
const disk = @import("disk.zig");
const inspect = @import("inspect.zig");
const layout_module = @import("layout.zig");
const Base = base_module.Base;
const Stage = @import("forged.zig").Stage;
const format = vl.format;

const expectError = std.testing.expectError;

/// A prepared file on its way to being forged, then opened.
const Story = struct {
    stage: Stage,
    diagnostics: vl.Diagnostics = .{},

    fn begin(comptime make: fn (*disk.Machine) anyerror!Base) !Story {
        return .{ .stage = try .init(make) };
    }

    fn end(story: *Story) !void {
        defer story.stage.deinit();
        try story.stage.budget.finish();
    }

    fn pageAt(story: *Story, node: usize, comptime T: type) *align(1) T {
        const page = story.stage.layout.nodes.items[node].page;
        const bytes = story.stage.machine.main.bytes();
        return @ptrCast(bytes[@intCast(format.pageOffset(page))..].ptr);
    }

    /// The page of this type that was written last.
    fn newest(story: *Story, page_type: format.PageType) usize {
        var best: ?usize = null;
        for (story.stage.layout.nodes.items, 0..) |node, index| {
            if (node.type != page_type) continue;
            const header = story.pageAt(index, format.PageHeader);
            if (best) |other| {
                const others = story.pageAt(other, format.PageHeader);
                if (others.transaction_id >= header.transaction_id) continue;
            }
            best = index;
        }
        return best.?;
    }

    fn fix(story: *Story, node: usize) void {
        story.stage.layout.fixNode(story.stage.machine.main.bytes(), node);
    }

    fn rootAt(story: *Story, slot: u32) *align(1) format.Root {
        const bytes = story.stage.machine.main.bytes();
        return @ptrCast(bytes[@intCast(vl.roots.slotOffset(slot))..].ptr);
    }

    fn fixRoot(story: *Story, slot: u32) void {
        layout_module.fixSlot(story.stage.machine.main.bytes(), slot);
    }

    fn newestSlot(story: *Story) u32 {
        var best: u32 = 0;
        for (1..format.slot_count) |slot| {
            const found = story.rootAt(@intCast(slot));
            const is_root = found.magic == format.root_magic;
            if (is_root and found.transaction_id > story.rootAt(best).transaction_id) {
                best = @intCast(slot);
            }
        }
        return best;
    }

    fn open(story: *Story) !*vl.Database {
        return story.openWith(story.stage.budget.allocator());
    }

    fn openWith(story: *Story, gpa: std.mem.Allocator) !*vl.Database {
        return vl.Database.open(
            gpa,
            story.stage.machine.system(),
            disk.path,
            .{ .busy_timeout_ms = 1 },
            &story.diagnostics,
        );
    }

    fn docs(database: *vl.Database) !*vl.Collection {
        return vl.Collection.open(.{ .database = database }, base_module.collection_name, .{});
    }

    /// Salvages all of it into memory; how many rows there are then.
    fn salvage(story: *Story) !u64 {
        const gpa = story.stage.budget.allocator();
        const system = story.stage.machine.system();
        const target = try vl.Database.open(gpa, system, ":memory:", .{}, &story.diagnostics);
        defer target.close();
        const job = try vl.Job.open(target, .salvage, disk.path);
        defer job.close();
        var done: f64 = 0;
        var total: f64 = 0;
        while (try job.step(1 << 20, &done, &total)) {}
        const collection = try docs(target);
        defer collection.close();
        return (try collection.stats()).records;
    }

    /// The engine has written meanwhile.
    fn readAgain(story: *Story) !void {
        story.stage.layout.deinit();
        story.stage.layout = try .read(story.stage.machine.main.bytes());
    }

    fn compact(story: *Story) !void {
        const database = try story.open();
        defer database.close();
        var done: f64 = 0;
        var total: f64 = 0;
        var is_first = true;
        while (try vl.compactStep(database, is_first, 1 << 16, &done, &total)) is_first = false;
    }

    fn expectQuickly(
        story: *Story,
        comptime call: fn (*Story) anyerror!void,
        expected: anyerror!void,
    ) !void {
        const io = std.testing.io;
        const start = std.Io.Clock.awake.now(io);
        try std.testing.expectEqual(expected, call(story));
        try std.testing.expect(start.untilNow(io, .awake).nanoseconds < 200_000_000);
    }

    /// What one put into `docs` gives.
    fn put(story: *Story, number: u32) !void {
        const database = try story.open();
        defer database.close();
        const collection = try docs(database);
        defer collection.close();
        try base_module.putOne(collection, number, .{ .seed = 1 });
    }
};

test "a page that says it is of the transaction that is to come is not changed in place" {
    var story: Story = try .begin(Base.small);
    const bucket = story.newest(.bucket);
    const next = story.rootAt(story.newestSlot()).transaction_id + 1;
    story.pageAt(bucket, format.PageHeader).transaction_id = next;
    story.fix(bucket);
    const page = story.stage.layout.nodes.items[bucket].page;
    const offset: usize = @intCast(format.pageOffset(page));
    const bytes = story.stage.machine.main.bytes()[offset..][0..format.page_bytes];
    const before = bytes[0..format.page_bytes].*;
    try story.put(9);
    try std.testing.expectEqualSlices(u8, &before, bytes);
    try story.end();
}

test "a page that is named in two places is not written around" {
    var story: Story = try .begin(Base.large);
    const layout = &story.stage.layout;
    const index = story.newest(.inner);
    const page = story.pageAt(index, format.InnerPage);
    const first = page.pages[0];
    const last = &page.pages[format.fanout - 1];
    try std.testing.expect(last.* != first);
    last.* = first;
    page.checksums[format.fanout - 1] = page.checksums[0];
    layout.fixNode(story.stage.machine.main.bytes(), index);
    try expectError(error.Corrupt, story.put(9));
    try story.end();
}

test "an older root that promises more than the file has costs a writer no memory" {
    var story: Story = try .begin(Base.worn);
    const newest_slot = story.newestSlot();
    for (0..format.durable_slot_count) |index| {
        const slot: u32 = @intCast(index);
        if (slot == newest_slot) continue;
        story.rootAt(slot).file_pages = std.math.maxInt(u32);
        story.fixRoot(slot);
    }
    const newest = story.newest(.collection);
    for (story.stage.layout.nodes.items, 0..) |node, index| {
        if (node.type != .collection or index == newest) continue;
        story.pageAt(index, format.CollectionPage).growing.extent_page = 1 << 31;
        story.fix(index);
    }
    try story.put(9);
    try story.end();
}

test "an orphan's durable root that promises more than the file has is damage" {
    var story: Story = try .begin(Base.large);
    // The volatile root needs a page that is not whole, so the durable one would be the state.
    const root = story.rootAt(story.newestSlot());
    try std.testing.expectEqual(format.RootKind.@"volatile", root.kind);
    root.catalogue.checksum ^= 1;
    story.fixRoot(story.newestSlot());
    for (0..format.durable_slot_count) |slot| {
        story.rootAt(@intCast(slot)).file_pages = std.math.maxInt(u32);
        story.fixRoot(@intCast(slot));
    }
    const database = try story.open();
    try expectError(error.Corrupt, database.begin());
    database.close();
    try story.end();
}

test "a collection that is said to have had all segments is scanned at once" {
    var story: Story = try .begin(Base.small);
    const node = story.newest(.collection);
    const page = story.pageAt(node, format.CollectionPage);
    page.segment_array_len = vl.limits.segments_max;
    page.has_growing = 0;
    story.fix(node);
    const io = std.testing.io;
    const start = std.Io.Clock.awake.now(io);
    for (0..100) |_| {
        const database = try story.open();
        const collection = try Story.docs(database);
        var cursor: vl.Cursor = .{};
        var out: [64]u8 = undefined;
        var writer: vl.EntryWriter = .{ .out = &out, .include_vectors = false };
        try std.testing.expect(!try collection.scan(&cursor, &writer));
        collection.close();
        database.close();
    }
    try std.testing.expect(start.untilNow(io, .awake).nanoseconds < 2_000_000_000);
    try story.end();
}

test "one collection in many places of the catalogue is damage" {
    var story: Story = try .begin(Base.large);
    const slot = story.newestSlot();
    const node = for (story.stage.layout.links.items) |link| {
        if (link.holder == .slot and link.holder.slot == slot) break link.child;
    } else unreachable;
    const page = story.pageAt(node, format.InnerPage);
    const first = for (page.pages, 0..) |number, i| {
        if (number != 0) break i;
    } else unreachable;
    @memset(&page.pages, page.pages[first]);
    @memset(&page.checksums, page.checksums[first]);
    story.fix(node);
    story.rootAt(slot).catalogue_len = format.fanout;
    story.fixRoot(slot);
    const database = try story.open();
    try expectError(error.Corrupt, database.stats());
    database.close();
    try story.end();
}

test "a segment that grows in the next state, in a way that none can, is not taken for the same" {
    var story: Story = try .begin(Base.small);
    const database = try story.open();
    const collection = try Story.docs(database);
    var hits: [16]vl.Hit = undefined;
    var counts: [1]u32 = undefined;
    const query: [base_module.dimension]f32 = @splat(0.5);
    try collection.search(&query, hits.len, null, &hits, &counts);
    // As another process would commit it: the segment has another capacity in the same place.
    const node = story.newest(.collection);
    const growing = &story.pageAt(node, format.CollectionPage).growing;
    growing.capacity = 100;
    growing.rows = 100;
    growing.extent_page_count = 3;
    story.fix(node);
    const slot = story.newestSlot();
    story.rootAt(slot).transaction_id += 4;
    story.rootAt(slot).durable_sequence += 4;
    story.fixRoot(slot);
    try expectError(
        error.Corrupt,
        collection.search(&query, hits.len, null, &hits, &counts),
    );
    collection.close();
    database.close();
    try story.end();
}

test "an older root that promises more than the file has costs verify no memory" {
    var story: Story = try .begin(Base.small);
    const newest = story.newestSlot();
    for (0..format.durable_slot_count) |index| {
        const slot: u32 = @intCast(index);
        if (slot == newest) continue;
        story.rootAt(slot).file_pages = std.math.maxInt(u32);
        story.fixRoot(slot);
    }
    const database = try story.open();
    const job = try vl.Job.open(database, .verify, "");
    var done: f64 = 0;
    var total: f64 = 0;
    while (try job.step(1 << 20, &done, &total)) {}
    job.close();
    database.close();
    try story.end();
}

test "a row whose record is said to lie nowhere is left out by salvage, and the others are not" {
    var story: Story = try .begin(Base.small);
    const bytes = story.stage.machine.main.bytes();
    const whole = try story.salvage();
    try std.testing.expect(whole > 1);
    var left_out: u32 = 0;
    for (story.stage.layout.rows.items) |*row| {
        const entry: *align(1) format.RowEntry = @ptrCast(bytes[row.entry_at..][0..32]);
        const before = entry.*;
        defer entry.* = before;
        const max = std.math.maxInt(u64);
        for ([_]u64{ max, max - 40, 1 << 62, 1 << 40 }) |offset| {
            entry.record_offset = offset;
            layout_module.fixRow(bytes, row);
            const found = try story.salvage();
            try std.testing.expect(found == whole or found == whole - 1);
            if (found < whole) left_out += 1;
            try story.stage.budget.finish();
        }
    }
    try std.testing.expect(left_out > 0);
    try story.end();
}

test "a record that is said to be longer than the file costs salvage no memory" {
    var story: Story = try .begin(Base.small);
    const bytes = story.stage.machine.main.bytes();
    const rows = story.stage.layout.rows.items;
    const row = &rows[rows.len - 1];
    const record: *align(1) format.Record = @ptrCast(bytes[row.record_at..][0..48]);
    record.metadata_bytes = vl.limits.metadata_bytes_max;
    layout_module.fixRow(bytes, row);
    _ = try story.salvage();
    try story.end();
}

test "a collection that is said to have had all segments is compacted at once" {
    var story: Story = try .begin(Base.worn);
    const node = story.newest(.collection);
    const page = story.pageAt(node, format.CollectionPage);
    page.segments = .none;
    page.segment_array_len = vl.limits.segments_max;
    story.fix(node);
    try story.expectQuickly(Story.compact, {});
    try story.end();
}

test "index pages whose children are all one index page are damage, and take no time" {
    var story: Story = try .begin(Base.large);
    // Then one state is in all slots.
    try story.compact();
    try story.readAgain();
    const levels = 3;
    const end = story.rootAt(0).file_pages;
    story.stage.machine.main.setLength(@intCast(format.pageOffset(end + levels)));
    for (0..format.durable_slot_count) |slot| {
        story.rootAt(@intCast(slot)).file_pages += levels;
        story.fixRoot(@intCast(slot));
    }
    const root = story.newest(.inner);
    const top = story.pageAt(root, format.InnerPage);
    const bytes = story.stage.machine.main.bytes();
    // The lowest one tells two buckets apart.
    var lowest = top.*;
    for (lowest.pages[0..128]) |*child| child.* = top.pages[0];
    for (lowest.checksums[0..128]) |*checksum| checksum.* = top.checksums[0];
    for (0..levels) |i| {
        const page = end + @as(u32, @intCast(i));
        const out = bytes[@intCast(format.pageOffset(page))..][0..format.page_bytes];
        lowest.header.depth = @intCast(levels - i);
        out.* = @bitCast(lowest);
        @memset(&lowest.pages, page);
        @memset(&lowest.checksums, std.hash.XxHash3.hash(0, out));
        @memset(&lowest.inner_children, 0xFF);
    }
    lowest.header.depth = 0;
    top.* = lowest;
    story.fix(root);
    const node = story.newest(.collection);
    story.pageAt(node, format.CollectionPage).index_pages = 64;
    story.fix(node);
    try story.expectQuickly(Story.compact, error.Corrupt);
    try story.end();
}

test "an index that is said to have fewer pages than it has loses them in good order" {
    var story: Story = try .begin(Base.large);
    {
        const gpa = std.testing.allocator;
        const database = try story.openWith(gpa);
        defer database.close();
        const collection = try Story.docs(database);
        defer collection.close();
        for (1000..1800) |number| {
            try base_module.putOne(collection, @intCast(number), .{ .seed = 1 });
        }
        for (10..1800) |number| _ = try base_module.deleteOne(collection, @intCast(number));
    }
    try story.readAgain();
    const node = story.newest(.collection);
    story.pageAt(node, format.CollectionPage).index_pages = 3;
    story.fix(node);
    try story.compact();
    try story.end();
}

test "what is forged has the checksums that the engine writes" {
    inline for (.{ Base.small, Base.worn, Base.large }) |make| {
        var story: Story = try .begin(make);
        const bytes = story.stage.machine.main.bytes();
        for (story.stage.layout.rows.items) |*row| layout_module.fixRow(bytes, row);
        for (0..story.stage.layout.nodes.items.len) |node| story.fix(node);
        try std.testing.expectEqualSlices(u8, story.stage.base.bytes, bytes);
        try story.end();
    }
}
