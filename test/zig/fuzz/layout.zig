//! Where everything lies in one file, found without the engine: its index pages with all places
//! that name them, and its rows. With it a byte can be changed and every checksum above it made
//! right again, so that the change is read as if it had been written.

const std = @import("std");
const vl = @import("vectorlite");
const format = vl.format;

const gpa = std.heap.smp_allocator;

/// One of the six slots, or an index page.
const Holder = union(enum) { slot: u32, node: usize };

/// A place that says page and checksum of a node.
const Link = struct { child: usize, page_at: usize, checksum_at: usize, holder: Holder };

pub const Node = struct { page: u32, type: format.PageType };

pub const Row = struct {
    collection: u32,
    dimension: u32,
    location: format.Location,
    vector_at: usize,
    entry_at: usize,
    record_at: usize,
};

pub const Layout = struct {
    /// Children come before what names them.
    nodes: std.ArrayList(Node) = .empty,
    links: std.ArrayList(Link) = .empty,
    rows: std.ArrayList(Row) = .empty,
    slots: std.StaticBitSet(format.slot_count) = .initEmpty(),

    pub fn deinit(layout: *Layout) void {
        layout.nodes.deinit(gpa);
        layout.links.deinit(gpa);
        layout.rows.deinit(gpa);
    }

    /// Everything that any valid slot leads to and that is whole.
    pub fn read(bytes: []const u8) !Layout {
        var layout: Layout = .{};
        errdefer layout.deinit();
        for (0..format.slot_count) |index| {
            const slot: u32 = @intCast(index);
            const at: usize = @intCast(vl.roots.slotOffset(slot));
            const root = std.mem.bytesToValue(format.Root, bytes[at..][0..@sizeOf(format.Root)]);
            if (root.magic != format.root_magic) continue;
            layout.slots.set(slot);
            var walk: Walk = .{ .layout = &layout, .bytes = bytes };
            const height = heightOf(root.catalogue_len);
            const ref_at = at + @offsetOf(format.Root, "catalogue");
            try walk.array(.{ .slot = slot }, refPlace(ref_at), height, .collection);
        }
        return layout;
    }

    /// The checksums above `changed` (a node), up to the slots.
    pub fn fixNode(layout: *const Layout, bytes: []u8, changed: usize) void {
        var dirty: std.StaticBitSet(nodes_max) = .initEmpty();
        dirty.set(changed);
        layout.fix(bytes, &dirty);
    }

    pub const nodes_max = 4096;

    fn fix(layout: *const Layout, bytes: []u8, dirty: *std.StaticBitSet(nodes_max)) void {
        var dirty_slots: std.StaticBitSet(format.slot_count) = .initEmpty();
        for (layout.nodes.items, 0..) |node, index| {
            if (!dirty.isSet(index)) continue;
            const checksum = pageChecksum(bytes, node.page);
            for (layout.links.items) |link| {
                if (link.child != index) continue;
                if (std.mem.readInt(u32, bytes[link.page_at..][0..4], .little) != node.page) {
                    continue;
                }
                std.mem.writeInt(u64, bytes[link.checksum_at..][0..8], checksum, .little);
                switch (link.holder) {
                    .slot => |slot| dirty_slots.set(slot),
                    .node => |above| dirty.set(above),
                }
            }
        }
        var slots = dirty_slots.iterator(.{});
        while (slots.next()) |slot| fixSlot(bytes, @intCast(slot));
    }

    /// Makes one link name another node, rightly.
    pub fn retarget(layout: *const Layout, bytes: []u8, link_index: usize, node: usize) void {
        const link = layout.links.items[link_index];
        const page = layout.nodes.items[node].page;
        std.mem.writeInt(u32, bytes[link.page_at..][0..4], page, .little);
        const checksum = pageChecksum(bytes, page);
        std.mem.writeInt(u64, bytes[link.checksum_at..][0..8], checksum, .little);
        switch (link.holder) {
            .slot => |slot| fixSlot(bytes, slot),
            .node => |above| layout.fixNode(bytes, above),
        }
    }
};

pub fn fixSlot(bytes: []u8, slot: u32) void {
    const at: usize = @intCast(vl.roots.slotOffset(slot));
    fixHead(bytes[at..][0..512]);
}

/// The checksum of a header or a root.
pub fn fixHead(head: *[512]u8) void {
    const key = "VectorLite slot.".*;
    var out: [16]u8 = undefined;
    std.crypto.auth.siphash.SipHash128(2, 4).create(&out, head[0..496], &key);
    head[496..].* = out;
}

/// The checksums of a row, by what its bytes now say, as far as they lie inside of the file.
pub fn fixRow(bytes: []u8, row: *const Row) void {
    const seed = format.rowSeed(row.collection, row.location);
    const entry: *align(1) format.RowEntry = @ptrCast(bytes[row.entry_at..][0..32]);
    const record: *align(1) format.Record = @ptrCast(bytes[row.record_at..][0..48]);
    const key_end = row.record_at + @sizeOf(format.Record) + record.key_bytes;
    const metadata_end = key_end + record.metadata_bytes;
    if (metadata_end <= bytes.len) {
        record.metadata_checksum = checksumOf(seed, bytes[key_end..metadata_end]);
    }
    if (key_end <= bytes.len) {
        record.checksum = checksumOf(seed, bytes[row.record_at + 8 .. key_end]);
    }
    const vector = bytes[row.vector_at..][0 .. row.dimension * @sizeOf(f32)];
    entry.vector_checksum = checksumOf(seed, vector);
    entry.checksum = checksumOf(seed, bytes[row.entry_at..][0..24]);
}

fn checksumOf(seed: u64, bytes: []const u8) u64 {
    return std.hash.XxHash3.hash(seed, bytes);
}

fn pageChecksum(bytes: []const u8, page: u32) u64 {
    const at: usize = @intCast(format.pageOffset(page));
    return checksumOf(0, bytes[at..][0..format.page_bytes]);
}

fn heightOf(len: u32) u16 {
    var height: u16 = 0;
    var reach: u64 = 1;
    while (reach < len) : (reach *= format.fanout) height += 1;
    return height;
}

const Place = struct { page_at: usize, checksum_at: usize };

fn refPlace(at: usize) Place {
    return .{
        .page_at = at + @offsetOf(format.PageRef, "page"),
        .checksum_at = at + @offsetOf(format.PageRef, "checksum"),
    };
}

fn childPlace(page_at: usize, index: usize) Place {
    return .{
        .page_at = page_at + @offsetOf(format.InnerPage, "pages") + index * 4,
        .checksum_at = page_at + @offsetOf(format.InnerPage, "checksums") + index * 8,
    };
}

const Walk = struct {
    layout: *Layout,
    bytes: []const u8,
    /// The collection that is walked.
    collection: u32 = 0,
    dimension: u32 = 0,

    const Below = enum { collection, segment, amendments };

    /// The node that the place names; null where there is none, or where it is not whole.
    fn find(walk: *Walk, place: Place) ?u32 {
        const page = std.mem.readInt(u32, walk.bytes[place.page_at..][0..4], .little);
        if (page < format.first_free_page or page >= walk.bytes.len / format.page_bytes) {
            return null;
        }
        const expected = std.mem.readInt(u64, walk.bytes[place.checksum_at..][0..8], .little);
        return if (pageChecksum(walk.bytes, page) == expected) page else null;
    }

    fn known(walk: *Walk, page: u32) ?usize {
        for (walk.layout.nodes.items, 0..) |node, i| if (node.page == page) return i;
        return null;
    }

    fn add(walk: *Walk, page: u32) !usize {
        const index = walk.layout.nodes.items.len;
        if (index == Layout.nodes_max) return error.TooManyPages;
        const header = walk.pageAs(format.PageHeader, page);
        try walk.layout.nodes.append(gpa, .{ .page = page, .type = header.type });
        return index;
    }

    fn link(walk: *Walk, child: usize, place: Place, holder: Holder) !void {
        try walk.layout.links.append(gpa, .{
            .child = child,
            .page_at = place.page_at,
            .checksum_at = place.checksum_at,
            .holder = holder,
        });
    }

    fn pageAs(walk: *Walk, comptime T: type, page: u32) *align(1) const T {
        return @ptrCast(walk.bytes[@intCast(format.pageOffset(page))..].ptr);
    }

    /// Links inside of a page are found before the page has its number; they get it here.
    fn adopt(walk: *Walk, from: usize, node: usize) void {
        for (walk.layout.links.items[from..]) |*inside| {
            if (inside.holder == .node and inside.holder.node == pending) {
                inside.holder.node = node;
            }
        }
    }
    const pending = std.math.maxInt(usize);

    fn array(
        walk: *Walk,
        holder: Holder,
        place: Place,
        height: u16,
        below: Below,
    ) anyerror!void {
        if (height == 0) return switch (below) {
            .collection => walk.collectionPage(holder, place),
            .segment, .amendments => walk.leaf(holder, place),
        };
        const page = walk.find(place) orelse return;
        const node = walk.known(page) orelse new: {
            const start = walk.layout.links.items.len;
            for (0..format.fanout) |child| {
                const at: usize = @intCast(format.pageOffset(page));
                try walk.array(.{ .node = pending }, childPlace(at, child), height - 1, below);
            }
            break :new try walk.finish(start, page);
        };
        try walk.link(node, place, holder);
    }

    fn finish(walk: *Walk, start: usize, page: u32) !usize {
        const node = try walk.add(page);
        walk.adopt(start, node);
        return node;
    }

    fn leaf(walk: *Walk, holder: Holder, place: Place) anyerror!void {
        const page = walk.find(place) orelse return;
        const node = walk.known(page) orelse new: {
            const start = walk.layout.links.items.len;
            const header = walk.pageAs(format.PageHeader, page);
            if (header.type == .segment) {
                const at: usize = @intCast(format.pageOffset(page));
                try walk.segment(at + @offsetOf(format.SegmentPage, "segment"));
            } else if (header.type == .inner) {
                const at: usize = @intCast(format.pageOffset(page));
                for (0..format.fanout) |child| {
                    try walk.leaf(.{ .node = pending }, childPlace(at, child));
                }
            }
            break :new try walk.finish(start, page);
        };
        try walk.link(node, place, holder);
    }

    fn collectionPage(walk: *Walk, holder: Holder, place: Place) !void {
        const page = walk.find(place) orelse return;
        const node = walk.known(page) orelse new: {
            const start = walk.layout.links.items.len;
            const at: usize = @intCast(format.pageOffset(page));
            const disk = walk.pageAs(format.CollectionPage, page);
            walk.collection = disk.id;
            walk.dimension = disk.dimension;
            const index = refPlace(at + @offsetOf(format.CollectionPage, "index"));
            try walk.leaf(.{ .node = pending }, index);
            const segments = refPlace(at + @offsetOf(format.CollectionPage, "segments"));
            const height = heightOf(disk.segment_array_len);
            try walk.array(.{ .node = pending }, segments, height, .segment);
            if (disk.has_growing == 1) {
                try walk.segment(at + @offsetOf(format.CollectionPage, "growing"));
            }
            break :new try walk.finish(start, page);
        };
        try walk.link(node, place, holder);
    }

    fn segment(walk: *Walk, at: usize) !void {
        const disk: *align(1) const format.Segment = @ptrCast(walk.bytes[at..].ptr);
        for (0..format.tombstone_pages_max) |i| {
            const tombstones = at + @offsetOf(format.Segment, "tombstones");
            const place = refPlace(tombstones + i * @sizeOf(format.PageRef));
            try walk.leaf(.{ .node = pending }, place);
        }
        const amendments = refPlace(at + @offsetOf(format.Segment, "amendments"));
        const height = heightOf((disk.capacity + 255) / 256);
        try walk.array(.{ .node = pending }, amendments, height, .amendments);
        const stride = format.vectorStride(walk.dimension);
        const start = format.pageOffset(disk.extent_page);
        for (0..disk.rows) |row| {
            const entry_at = start + disk.capacity * stride + row * @sizeOf(format.RowEntry);
            const entry: *align(1) const format.RowEntry =
                @ptrCast(walk.bytes[@intCast(entry_at)..].ptr);
            try walk.layout.rows.append(gpa, .{
                .collection = walk.collection,
                .dimension = walk.dimension,
                .location = .{
                    .row = @intCast(row),
                    .generation = @intCast(disk.generation),
                    .segment = @intCast(disk.id),
                },
                .vector_at = @intCast(start + row * stride),
                .entry_at = @intCast(entry_at),
                .record_at = @intCast(walk.amended(amendments, height, row) orelse
                    entry.record_offset),
            });
        }
    }

    /// Where the record lies that took the place of the row's own.
    fn amended(walk: *Walk, root: Place, height: u16, row: usize) ?u64 {
        var page = walk.find(root) orelse return null;
        if (height > 0) {
            const at: usize = @intCast(format.pageOffset(page));
            page = walk.find(childPlace(at, row / 256)) orelse return null;
        }
        const found = walk.pageAs(format.AmendmentPage, page).records[row % 256];
        return if (found == 0) null else found;
    }
};
