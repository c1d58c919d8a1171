//! What a damaged file still says about its collections: what they are, where their rows lie, and
//! which rows were alive at which transaction.
//!
//! The best page of a collection, the one that the newest root leads to, or else the newest that
//! there is, is its *authority*. Its index tells of each row that is not younger whether it was
//! alive. Rows that are younger, or whose part of the index is lost, are told by their tombstones,
//! and if these are lost too, they are kept: salvage errs on the side of too much.

const std = @import("std");
const format = @import("format.zig");
const hash = @import("hash.zig");
const limits = @import("limits.zig");
const tree_walk = @import("tree_walk.zig");
const Amendments = @import("amendments.zig").Amendments;
const PageReader = @import("page_reader.zig").PageReader;

const OutOfMemory = error{OutOfMemory};

pub const Segment = struct {
    disk: format.Segment,
    /// Of the page that says so; 0 where no page does and the extent was found by its rows.
    transaction_id: u64,
    /// By row, of all versions of the tombstones that can be read: dead rows stay dead.
    dead: std.DynamicBitSetUnmanaged = .{},
    /// Blocks whose newest tombstones cannot be read.
    lost_blocks: [format.tombstone_pages_max]bool = @splat(false),
    /// Of all versions that can be read, of each page the newest.
    amendments: Amendments = .{},
    /// Pages of amendments whose newest version cannot be read.
    lost_amendments: std.StaticBitSet(amendment_pages_max) = .initEmpty(),
    /// The authority leads here, so rows at and above the watermark do not exist.
    is_certain: bool,

    const amendment_pages_max = limits.segment_rows_max / format.amendment_rows_per_page;

    /// Rows that may exist.
    pub fn rows(segment: *const Segment) u32 {
        return if (segment.is_certain) segment.disk.rows else segment.disk.capacity;
    }

    fn isDead(segment: *const Segment, row: u32) ?bool {
        if (row < segment.dead.bit_length and segment.dead.isSet(row)) return true;
        const is_known = row < segment.disk.rows and segment.transaction_id > 0 and
            !segment.lost_blocks[row / format.tombstone_rows_per_page];
        return if (is_known) false else null;
    }
};

const Place = struct {
    life: u64,
    extent_page: u32,

    fn of(disk: *const format.Segment) Place {
        const location: format.Location = .of(disk, 0);
        return .{ .life = location.life(), .extent_page = disk.extent_page };
    }
};

/// Segment ids or positions in the catalogue that cannot be read.
pub const Ranges = struct {
    list: std.ArrayList([2]u64) = .empty,

    pub fn contains(ranges: *const Ranges, number: u64) bool {
        for (ranges.list.items) |range| {
            if (number >= range[0] and number < range[1]) return true;
        }
        return false;
    }

    pub fn isEmpty(ranges: *const Ranges) bool {
        return ranges.list.items.len == 0;
    }
};

pub const Life = enum { alive, perhaps, dead };

pub const Collection = struct {
    /// What it is never changes, so any of its pages will do.
    page: format.CollectionPage,
    /// Of the authority.
    transaction_id: u64,
    /// The authority is what the newest root leads to: nothing is younger.
    is_exact: bool,
    catalogue_index: ?u32,
    segments: std.AutoArrayHashMapUnmanaged(Place, Segment) = .empty,
    lost_segments: Ranges = .{},
    /// Rows that the index names, by segment.
    named: std.AutoHashMapUnmanaged(u64, std.DynamicBitSetUnmanaged) = .empty,
    named_count: u64 = 0,
    /// Hashes whose bucket is lost.
    lost_hashes: std.ArrayList(tree_walk.IndexWalk.Range) = .empty,
    recovered: u64 = 0,
    damaged: u64 = 0,
    uncertain: u64 = 0,

    pub fn deinit(collection: *Collection, gpa: std.mem.Allocator) void {
        for (collection.segments.values()) |*segment| {
            segment.dead.deinit(gpa);
            segment.amendments.release(gpa);
        }
        collection.segments.deinit(gpa);
        collection.lost_segments.list.deinit(gpa);
        collection.forgetIndex(gpa);
        collection.named.deinit(gpa);
        collection.lost_hashes.deinit(gpa);
    }

    /// Another page becomes the authority.
    pub fn forgetIndex(collection: *Collection, gpa: std.mem.Allocator) void {
        var bits = collection.named.valueIterator();
        while (bits.next()) |rows| rows.deinit(gpa);
        collection.named.clearRetainingCapacity();
        collection.lost_hashes.clearRetainingCapacity();
        collection.named_count = 0;
    }

    pub fn name(collection: *const Collection) []const u8 {
        return collection.page.name[0..collection.page.name_bytes];
    }

    pub fn model(collection: *const Collection) []const u8 {
        return collection.page.model[0..collection.page.model_bytes];
    }

    /// Nothing was lost that says which rows are alive.
    pub fn isCertain(collection: *const Collection) bool {
        return collection.is_exact and collection.lost_hashes.items.len == 0;
    }

    /// Whether a segment that the authority does not lead to may be one of its own.
    pub fn mayHave(collection: *const Collection, location: format.Location) bool {
        // No page describes it.
        if (collection.page.header.transaction_id == 0) return true;
        if (collection.lost_segments.contains(location.segment)) return true;
        const made: u24 = @truncate(collection.page.segments_made);
        const is_later = location.generation -% made < limits.generations_max / 2;
        return !collection.is_exact and is_later;
    }

    pub fn has(collection: *const Collection, disk: *const format.Segment) bool {
        return collection.segments.contains(.of(disk));
    }

    /// The newest description of a segment wins; tombstones of all of them count.
    pub fn addSegment(
        collection: *Collection,
        gpa: std.mem.Allocator,
        reader: PageReader,
        found: Segment,
    ) OutOfMemory!void {
        const entry = try collection.segments.getOrPut(gpa, .of(&found.disk));
        const known = entry.value_ptr;
        if (!entry.found_existing) {
            known.* = found;
            known.dead = .{};
            known.amendments = .{};
        } else if (found.transaction_id > known.transaction_id and !known.is_certain) {
            const dead = known.dead;
            const amendments = known.amendments;
            known.* = found;
            known.dead = dead;
            known.amendments = amendments;
        }
        if (known.dead.bit_length < found.disk.capacity) {
            try known.dead.resize(gpa, found.disk.capacity, false);
        }
        const is_newest = known.transaction_id == found.transaction_id;
        for (found.disk.tombstones, 0..) |ref, block| {
            if (ref.isNone()) continue;
            var page: format.Page align(format.page_alignment) = undefined;
            const loss = try reader.read(ref, &page);
            const marks: *const format.TombstonePage = @ptrCast(&page);
            if (loss == null and marks.header.type == .tombstones) {
                markDead(known, marks, block);
            } else if (is_newest) known.lost_blocks[block] = true;
        }
        // A transaction that was rolled back may have left its pages.
        if (known.is_certain and found.transaction_id > known.transaction_id) return;
        try addAmendments(gpa, reader, known, &found.disk, is_newest);
    }

    fn addAmendments(
        gpa: std.mem.Allocator,
        reader: PageReader,
        segment: *Segment,
        disk: *const format.Segment,
        is_newest: bool,
    ) OutOfMemory!void {
        const count = format.amendmentPages(disk.capacity);
        var walk: tree_walk.ArrayWalk = .init(reader, disk.amendments, count);
        while (try walk.next()) |step| switch (step) {
            .page, .beyond => {},
            .lost => |lost| if (is_newest) segment.lost_amendments.setRangeValue(
                .{ .start = lost.first, .end = @intCast(@min(lost.end, amendment_pages_max)) },
                true,
            ),
            .element => |element| {
                var content: format.Page align(format.page_alignment) = undefined;
                const loss = try reader.read(element.ref, &content);
                const page: *const format.AmendmentPage = @ptrCast(&content);
                if (loss != null or page.header.type != .amendments) {
                    if (is_newest) segment.lost_amendments.set(element.index);
                    continue;
                }
                const row = element.index * format.amendment_rows_per_page;
                // Descriptions of one segment may disagree about its capacity.
                const rows_max = limits.segment_rows_max;
                const block = try segment.amendments.edit(gpa, rows_max, row);
                const born = page.header.transaction_id;
                if (born <= block.page_born) continue;
                block.page_born = born;
                block.records = page.records;
            },
        };
    }
    const amendment_pages_max = Segment.amendment_pages_max;

    fn markDead(segment: *Segment, marks: *const format.TombstonePage, block: usize) void {
        for (0..format.tombstone_rows_per_page) |bit| {
            if (marks.bits[bit / 8] >> @intCast(bit % 8) & 1 == 0) continue;
            const row = block * format.tombstone_rows_per_page + bit;
            if (row < segment.dead.bit_length) segment.dead.set(row);
        }
    }

    /// The row may have had newer metadata than what is left of it.
    pub fn isOutdated(collection: *const Collection, segment: *const Segment, row: u32) bool {
        if (segment.lost_amendments.isSet(row / format.amendment_rows_per_page)) return true;
        return !segment.is_certain and collection.page.last_amended > segment.transaction_id;
    }

    pub fn nameRow(
        collection: *Collection,
        gpa: std.mem.Allocator,
        location: format.Location,
    ) OutOfMemory!void {
        const entry = try collection.named.getOrPut(gpa, location.life());
        if (!entry.found_existing) entry.value_ptr.* = .{};
        if (entry.value_ptr.bit_length <= location.row) {
            const wanted = std.mem.alignForward(usize, @as(usize, location.row) + 1, 1024);
            try entry.value_ptr.resize(gpa, wanted, false);
        }
        entry.value_ptr.set(location.row);
        collection.named_count += 1;
    }

    pub fn isNamed(collection: *const Collection, segment: *const Segment, row: u32) bool {
        const location: format.Location = .of(&segment.disk, 0);
        const rows = collection.named.getPtr(location.life()) orelse return false;
        return row < rows.bit_length and rows.isSet(row);
    }

    /// The row is recovered, and not recovered again where it is found a second time.
    pub fn forgetRow(collection: *Collection, segment: *const Segment, row: u32) void {
        const location: format.Location = .of(&segment.disk, 0);
        const rows = collection.named.getPtr(location.life()) orelse return;
        if (row < rows.bit_length) rows.unset(row);
    }

    /// Rows that the index names and nobody found.
    pub fn remainingNamed(collection: *const Collection) u64 {
        var count: u64 = 0;
        var bits = collection.named.valueIterator();
        while (bits.next()) |rows| count += rows.count();
        return count;
    }

    /// Of a row whose record is sound. Without the file's header no hash is known.
    pub fn lifeOf(
        collection: *const Collection,
        segment: *const Segment,
        row: u32,
        transaction_id: u64,
        hash_key: ?*const hash.Key,
        key: []const u8,
    ) Life {
        if (transaction_id > collection.transaction_id) {
            if (collection.is_exact or segment.isDead(row) == true) return .dead;
            return .perhaps;
        }
        if (collection.isNamed(segment, row)) {
            if (collection.is_exact) return .alive;
            return if (segment.isDead(row) == true) .dead else .perhaps;
        }
        if (!collection.isHashLost(hash_key, key)) return .dead;
        const is_dead = segment.isDead(row) orelse return .perhaps;
        if (is_dead) return .dead;
        return if (collection.is_exact and segment.is_certain) .alive else .perhaps;
    }

    /// The same for a row whose record cannot be read: its key is not known.
    pub fn mayLive(collection: *const Collection, segment: *const Segment, row: u32) bool {
        if (collection.isNamed(segment, row)) return true;
        if (collection.isCertain() or row >= segment.disk.rows) return false;
        return segment.transaction_id > 0 and segment.isDead(row) != true;
    }

    fn isHashLost(collection: *const Collection, hash_key: ?*const hash.Key, key: []const u8) bool {
        if (collection.lost_hashes.items.len == 0) return false;
        const secret = hash_key orelse return true;
        const key_hash = hash.keyHash(secret, key);
        for (collection.lost_hashes.items) |range| if (range.contains(key_hash)) return true;
        return false;
    }
};
