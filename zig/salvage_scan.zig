//! The second way: every page of the file, whether anything leads to it or not. Pages of
//! collections and segments are recognised by what they say and believed as far as what they lead
//! to has the right checksums. Rows that no page describes any more are found by their entries: an
//! entry's checksum proves which row of which segment it is, and a vector's checksum where the
//! segment begins.

const std = @import("std");
const checksum = @import("checksum.zig");
const finds = @import("salvage_finds.zig");
const format = @import("format.zig");
const limits = @import("limits.zig");
const rows = @import("rows.zig");
const soundness = @import("soundness.zig");
const SalvageWalk = @import("salvage_walk.zig").SalvageWalk;
const Wreck = @import("wreck.zig").Wreck;

const OutOfMemory = error{OutOfMemory};
const Candidate = struct { page: u32, transaction_id: u64, id: u32, is_tried: bool = false };

pub const SalvageScan = struct {
    wreck: *Wreck,
    phase: enum { pages, collections, segments, entries, finished } = .pages,
    page_at: u32 = format.first_free_page,
    at: usize = 0,
    collections: std.ArrayList(Candidate) = .empty,
    segments: std.ArrayList(Candidate) = .empty,
    walk: ?SalvageWalk = null,
    /// Pages of extents, whose content is the business of rows.
    extents: std.DynamicBitSetUnmanaged = .{},
    buffer: [chunk_pages]format.Page align(format.page_alignment) = undefined,
    vector: std.ArrayList(u8) = .empty,
    /// Of the segment whose entries were found last and whose extent was not: it is not tried
    /// again for each of its rows.
    failed: struct { collection: u32 = 0, life: u64 = 0, times: u32 = 0 } = .{},

    const chunk_pages = 16;
    /// Older pages of one collection tell nothing more.
    const candidates_max = 8;

    pub fn create(wreck: *Wreck) OutOfMemory!*SalvageScan {
        const scan = try wreck.gpa.create(SalvageScan);
        scan.* = .{ .wreck = wreck };
        return scan;
    }

    pub fn destroy(scan: *SalvageScan) void {
        const gpa = scan.wreck.gpa;
        if (scan.walk) |*walk| walk.deinit();
        scan.collections.deinit(gpa);
        scan.segments.deinit(gpa);
        scan.extents.deinit(gpa);
        scan.vector.deinit(gpa);
        gpa.destroy(scan);
    }

    /// Reads about one chunk; false when all was read.
    pub fn step(scan: *SalvageScan) OutOfMemory!bool {
        switch (scan.phase) {
            .pages => try scan.nextPages(),
            .collections => try scan.nextCollection(),
            .segments => try scan.nextSegment(),
            .entries => try scan.nextEntries(),
            .finished => {},
        }
        return scan.phase != .finished;
    }

    /// How far it is, from 0 to 1.
    pub fn progress(scan: *const SalvageScan) f64 {
        const half: f64 = switch (scan.phase) {
            .pages => 0,
            .collections, .segments => return 0.5,
            .entries => 0.5,
            .finished => return 1,
        };
        const pages: f64 = @floatFromInt(@max(1, scan.wreck.reader.file_pages));
        return half + @as(f64, @floatFromInt(scan.page_at)) / pages / 2;
    }

    /// The next pages of the file; empty at its end. What the device does not give is zeros.
    fn nextChunk(scan: *SalvageScan) OutOfMemory![]align(format.page_alignment) format.Page {
        const wreck = scan.wreck;
        const left = wreck.reader.file_pages -| scan.page_at;
        const chunk = scan.buffer[0..@min(left, chunk_pages)];
        const bytes = std.mem.sliceAsBytes(chunk);
        const offset = format.pageOffset(scan.page_at);
        const len = wreck.file.read(offset, bytes) catch |err| switch (err) {
            error.OutOfMemory => return error.OutOfMemory,
            else => 0,
        };
        @memset(bytes[len..], 0);
        if (len < bytes.len) for (chunk, 0..) |*page, i| {
            _ = wreck.file.read(offset + i * format.page_bytes, page) catch 0;
        };
        return chunk;
    }

    // Pages that describe.

    fn nextPages(scan: *SalvageScan) OutOfMemory!void {
        const gpa = scan.wreck.gpa;
        const chunk = try scan.nextChunk();
        for (chunk, scan.page_at..) |*content, number| {
            const page: *align(format.page_alignment) const format.Page = @alignCast(content);
            const header: *const format.PageHeader = @ptrCast(page);
            const transaction_id = header.transaction_id;
            if (transaction_id > scan.wreck.transaction_id and scan.wreck.is_exact) continue;
            const leaf: *const format.SegmentPage = @ptrCast(page);
            const collection: *const format.CollectionPage = @ptrCast(page);
            const is_segment = header.type == .segment and
                soundness.isSegmentShape(&leaf.segment, scan.wreck.reader.file_pages);
            const candidate: Candidate = .{
                .page = @intCast(number),
                .transaction_id = transaction_id,
                .id = if (is_segment) leaf.segment.id else collection.id,
            };
            if (is_segment) try scan.segments.append(gpa, candidate);
            if (!is_segment and soundness.isCollection(collection)) {
                try scan.collections.append(gpa, candidate);
            }
        }
        scan.page_at += @intCast(chunk.len);
        if (chunk.len > 0) return;
        std.sort.heap(Candidate, scan.collections.items, {}, isNewer);
        std.sort.heap(Candidate, scan.segments.items, {}, isNewer);
        scan.phase = .collections;
    }

    fn isNewer(_: void, a: Candidate, b: Candidate) bool {
        if (a.transaction_id != b.transaction_id) return a.transaction_id > b.transaction_id;
        return a.page < b.page;
    }

    fn nextCollection(scan: *SalvageScan) OutOfMemory!void {
        if (scan.walk) |*walk| {
            if (try walk.step()) return;
            walk.deinit();
            scan.walk = null;
            return;
        }
        if (scan.at == scan.collections.items.len) {
            scan.at = 0;
            scan.phase = .segments;
            return;
        }
        const candidate = scan.collections.items[scan.at];
        var earlier: u32 = 0;
        for (scan.collections.items[0..scan.at]) |other| {
            if (other.id == candidate.id) earlier += 1;
        }
        scan.at += 1;
        if (earlier < candidates_max) try scan.useCollection(candidate);
    }

    /// The newest page of a collection whose index is there becomes its authority, unless a root
    /// leads to one that is as new.
    fn useCollection(scan: *SalvageScan, candidate: Candidate) OutOfMemory!void {
        const wreck = scan.wreck;
        var content: format.Page align(format.page_alignment) = undefined;
        const page = scan.load(format.CollectionPage, candidate.page, &content) orelse return;
        const has_index = try scan.isThere(page.index);
        var is_authority = false;
        const collection = wreck.collections.get(page.id) orelse added: {
            if (!wreck.mayHaveLost()) return;
            is_authority = true;
            break :added try wreck.addCollection(page, null, false);
        };
        if (collection.page.dimension != page.dimension) return;
        const is_newer = page.header.transaction_id > collection.transaction_id;
        const has_none = collection.named_count == 0 and collection.lost_hashes.items.len > 0;
        if (!collection.is_exact and has_index and !is_authority and (is_newer or has_none)) {
            collection.forgetIndex(wreck.gpa);
            collection.lost_segments.list.clearRetainingCapacity();
            collection.page = page.*;
            collection.transaction_id = page.header.transaction_id;
            is_authority = true;
        }
        scan.walk = try .init(wreck.gpa, wreck.reader, collection, page, is_authority);
    }

    fn load(
        scan: *SalvageScan,
        comptime T: type,
        number: u32,
        content: *align(format.page_alignment) format.Page,
    ) ?*const T {
        const len = scan.wreck.file.read(format.pageOffset(number), content) catch return null;
        return if (len == content.len) @ptrCast(content) else null;
    }

    fn isThere(scan: *SalvageScan, ref: format.PageRef) OutOfMemory!bool {
        if (ref.isNone()) return true;
        var content: format.Page align(format.page_alignment) = undefined;
        return try scan.wreck.reader.read(ref, &content) == null;
    }

    fn nextSegment(scan: *SalvageScan) OutOfMemory!void {
        if (scan.at == scan.segments.items.len) {
            try scan.learnExtents();
            scan.page_at = format.first_free_page;
            scan.phase = .entries;
            return;
        }
        const candidate = scan.segments.items[scan.at];
        scan.at += 1;
        var content: format.Page align(format.page_alignment) = undefined;
        const page = scan.load(format.SegmentPage, candidate.page, &content) orelse return;
        const disk = &page.segment;
        for (scan.wreck.collections.values()) |collection| {
            const is_wanted = collection.mayHave(.of(disk, 0)) or
                (!collection.is_exact and collection.has(disk));
            if (!is_wanted or !scan.belongs(collection, disk)) continue;
            try collection.addSegment(scan.wreck.gpa, scan.wreck.reader, .{
                .disk = disk.*,
                .transaction_id = page.header.transaction_id,
                .is_certain = false,
            });
            return;
        }
    }

    /// A segment's page does not say whose it is; the checksums of its rows do.
    fn belongs(
        scan: *SalvageScan,
        collection: *const finds.Collection,
        disk: *const format.Segment,
    ) bool {
        const rows_max = 16;
        const dimension = collection.page.dimension;
        const stride = format.vectorStride(dimension);
        if (!soundness.isSegment(disk, dimension, scan.wreck.reader.file_pages)) return false;
        for (0..@min(rows_max, disk.rows)) |i| {
            const row: u32 = @intCast(i);
            const offset = format.pageOffset(disk.extent_page) + disk.capacity * stride +
                i * @sizeOf(format.RowEntry);
            var entry: format.RowEntry = undefined;
            const len = scan.wreck.file.read(offset, std.mem.asBytes(&entry)) catch continue;
            const seed = format.rowSeed(collection.page.id, .of(disk, row));
            const is_whole = len == @sizeOf(format.RowEntry);
            if (is_whole and rows.entryChecksum(seed, &entry) == entry.checksum) return true;
        }
        return false;
    }

    fn learnExtents(scan: *SalvageScan) OutOfMemory!void {
        const wreck = scan.wreck;
        try scan.extents.resize(wreck.gpa, wreck.reader.file_pages, false);
        for (wreck.collections.values()) |collection| {
            for (collection.segments.values()) |*segment| {
                // A page that nothing leads to may be of a segment that is gone, and another one
                // may have rows in its place.
                if (!segment.is_certain) continue;
                const disk = &segment.disk;
                scan.mark(disk.extent_page, disk.extent_page_count);
                for (disk.heap[0..disk.heap_count]) |heap| scan.mark(heap.page, heap.page_count);
            }
        }
    }

    fn mark(scan: *SalvageScan, page: u32, count: u32) void {
        const end = @min(@as(u64, page) + count, scan.extents.bit_length);
        if (page >= end) return;
        scan.extents.setRangeValue(.{ .start = page, .end = @intCast(end) }, true);
    }

    // Rows that nothing describes.

    fn nextEntries(scan: *SalvageScan) OutOfMemory!void {
        const chunk = try scan.nextChunk();
        const first = scan.page_at;
        scan.page_at += @intCast(chunk.len);
        if (chunk.len == 0) {
            scan.phase = .finished;
            return;
        }
        for (chunk, first..) |*page, number| {
            var offset: usize = 0;
            while (offset < page.len) : (offset += @sizeOf(format.RowEntry)) {
                // Marked as soon as one row of an extent was found.
                if (scan.extents.isSet(number)) break;
                const bytes = page[offset..][0..@sizeOf(format.RowEntry)];
                const entry = std.mem.bytesToValue(format.RowEntry, bytes);
                try scan.tryEntry(&entry, format.pageOffset(@intCast(number)) + offset);
            }
        }
    }

    fn tryEntry(scan: *SalvageScan, entry: *const format.RowEntry, offset: u64) OutOfMemory!void {
        const length = scan.wreck.length;
        const at = entry.record_offset;
        const is_possible = at % format.record_alignment == 0 and
            at >= format.pageOffset(format.first_free_page) and
            at < length -| @sizeOf(format.Record) and
            std.math.isFinite(entry.inverse_norm) and entry.inverse_norm >= 0;
        if (!is_possible) return;
        var record: format.Record = undefined;
        const len = scan.wreck.file.read(at, std.mem.asBytes(&record)) catch return;
        const location: format.Location = .fromInt(record.location);
        const is_record = len == @sizeOf(format.Record) and soundness.isRecord(&record);
        if (!is_record) return;
        for (scan.wreck.collections.values()) |collection| {
            if (!collection.mayHave(location)) continue;
            const seed = format.rowSeed(collection.page.id, location);
            if (rows.entryChecksum(seed, entry) != entry.checksum) continue;
            return scan.addOrphan(collection, location, entry, offset);
        }
        if (scan.wreck.mayHaveLost()) try scan.tryUnknown(location, entry, offset);
    }

    /// The same for a row of a collection that no page describes any more: small numbers are tried
    /// for its id, and then for its dimension.
    fn tryUnknown(
        scan: *SalvageScan,
        location: format.Location,
        entry: *const format.RowEntry,
        offset: u64,
    ) OutOfMemory!void {
        const ids_max = 256;
        for (1..ids_max) |number| {
            const id: u32 = @intCast(number);
            const seed = format.rowSeed(id, location);
            if (rows.entryChecksum(seed, entry) != entry.checksum) continue;
            if (scan.wreck.collections.contains(id) or scan.hasFailed(id, location)) return;
            const dimension = try scan.findDimension(id, location, entry, offset) orelse
                return scan.noteFailure(id, location);
            var page = std.mem.zeroes(format.CollectionPage);
            page.header.type = .collection;
            page.id = id;
            page.dimension = dimension;
            const name = std.fmt.bufPrint(&page.name, "recovered {d}", .{id}) catch "";
            page.name_bytes = @intCast(name.len);
            const collection = try scan.wreck.addCollection(&page, null, false);
            return scan.addOrphan(collection, location, entry, offset);
        }
    }

    /// Nearly every number is ruled out by arithmetic: vectors fill the space before the entries.
    fn findDimension(
        scan: *SalvageScan,
        id: u32,
        location: format.Location,
        entry: *const format.RowEntry,
        offset: u64,
    ) OutOfMemory!?u32 {
        const before = @as(u64, location.row) * @sizeOf(format.RowEntry);
        if (offset < before) return null;
        const entries = offset - before;
        const seed = format.rowSeed(id, location);
        try scan.vector.resize(scan.wreck.gpa, limits.dimension_max * @sizeOf(f32));
        var page: u32 = @intCast(entries / format.page_bytes);
        while (page >= format.first_free_page) : (page -= 1) {
            const start = format.pageOffset(page);
            const units = (entries - start) / stride_unit;
            if (units * stride_unit > limits.segment_vector_bytes_max) return null;
            var unit: u64 = 1;
            while (unit <= units and unit * stride_unit <= scan.vector.items.len) : (unit += 1) {
                if (units % unit != 0 or units / unit <= location.row) continue;
                if (units / unit > limits.segment_rows_max) continue;
                const bytes = scan.vector.items[0..@intCast(unit * stride_unit)];
                const at = start + location.row * bytes.len;
                const len = scan.wreck.file.read(at, bytes) catch continue;
                if (len != bytes.len) continue;
                const floats: u32 = @intCast(bytes.len / @sizeOf(f32));
                for (floats - stride_unit / @sizeOf(f32) + 1..floats + 1) |dimension| {
                    const content = bytes[0 .. dimension * @sizeOf(f32)];
                    if (checksum.bytes(seed, content) != entry.vector_checksum) continue;
                    return @intCast(dimension);
                }
            }
        }
        return null;
    }
    const stride_unit = 64;

    fn addOrphan(
        scan: *SalvageScan,
        collection: *finds.Collection,
        location: format.Location,
        entry: *const format.RowEntry,
        offset: u64,
    ) OutOfMemory!void {
        if (scan.hasFailed(collection.page.id, location)) return;
        const found = try scan.findExtent(collection, location, entry, offset) orelse
            return scan.noteFailure(collection.page.id, location);
        scan.mark(found.extent_page, found.extent_page_count);
        try collection.addSegment(scan.wreck.gpa, scan.wreck.reader, .{
            .disk = found,
            .transaction_id = 0,
            .is_certain = false,
        });
    }

    fn hasFailed(scan: *const SalvageScan, id: u32, location: format.Location) bool {
        const attempts_max = 32;
        const failed = &scan.failed;
        return failed.collection == id and failed.life == location.life() and
            failed.times >= attempts_max;
    }

    fn noteFailure(scan: *SalvageScan, id: u32, location: format.Location) void {
        const failed = &scan.failed;
        const is_same = failed.collection == id and failed.life == location.life();
        failed.* = .{
            .collection = id,
            .life = location.life(),
            .times = if (is_same) failed.times + 1 else 1,
        };
    }

    /// The segment begins so many vectors before its first entry, at a page, and this row's vector
    /// lies where it must.
    fn findExtent(
        scan: *SalvageScan,
        collection: *const finds.Collection,
        location: format.Location,
        entry: *const format.RowEntry,
        offset: u64,
    ) OutOfMemory!?format.Segment {
        const stride = format.vectorStride(collection.page.dimension);
        const before = @as(u64, location.row) * @sizeOf(format.RowEntry);
        if (offset < before) return null;
        const entries = offset - before;
        const seed = format.rowSeed(collection.page.id, location);
        try scan.vector.resize(scan.wreck.gpa, collection.page.dimension * @sizeOf(f32));
        var page: u32 = @intCast(entries / format.page_bytes);
        while (page >= format.first_free_page) : (page -= 1) {
            const distance = entries - format.pageOffset(page);
            const capacity = distance / stride;
            if (capacity > limits.segment_rows_max) return null;
            if (distance > @max(limits.segment_vector_bytes_max, stride * 4)) return null;
            if (distance % stride != 0 or capacity <= location.row) continue;
            const at = format.pageOffset(page) + location.row * stride;
            const len = scan.wreck.file.read(at, scan.vector.items) catch continue;
            if (len != scan.vector.items.len) continue;
            if (checksum.bytes(seed, scan.vector.items) != entry.vector_checksum) continue;
            var disk = std.mem.zeroes(format.Segment);
            disk.id = location.segment;
            disk.generation = location.generation;
            disk.capacity = @intCast(capacity);
            disk.rows = disk.capacity;
            disk.extent_page = page;
            const bytes = capacity * (stride + @sizeOf(format.RowEntry));
            disk.extent_page_count = @intCast(format.pagesFor(bytes));
            return disk;
        }
        return null;
    }
};
