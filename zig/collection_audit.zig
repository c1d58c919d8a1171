//! One collection, verified: its segments and their tombstones, its key index, and every live row,
//! each held against the other two.
//!
//! An index names rows in the order of hashes, and rows lie in the order of writing. So that no row
//! is looked up at random, both sides are added up by segment, as sums over hash and location; only
//! where the sums differ is each row of that segment looked up.

const std = @import("std");
const amendments_module = @import("amendments.zig");
const checksum = @import("checksum.zig");
const damage = @import("damage.zig");
const format = @import("format.zig");
const hash = @import("hash.zig");
const metrics = @import("metrics.zig");
const page_reader = @import("page_reader.zig");
const row_audit = @import("row_audit.zig");
const row_set = @import("row_set.zig");
const soundness = @import("soundness.zig");
const tree_walk = @import("tree_walk.zig");
const Amendments = amendments_module.Amendments;
const Ledger = @import("ledger.zig").Ledger;

const OutOfMemory = error{OutOfMemory};
const PageRef = format.PageRef;

pub const CollectionAudit = struct {
    gpa: std.mem.Allocator,
    ledger: *Ledger,
    reader: page_reader.PageReader,
    context: Context,
    offset: u64,
    page: format.CollectionPage,
    phase: enum { segments, index, rows, finished } = .segments,
    array: tree_walk.ArrayWalk,
    index: tree_walk.IndexWalk,
    rows: row_audit.RowAudit,
    segments: std.ArrayList(SegmentRows) = .empty,
    by_id: std.AutoHashMapUnmanaged(u32, u32) = .empty,
    /// Nothing of them was lost, so what is missing is missing.
    segments_are_whole: bool = true,
    index_is_whole: bool = true,
    index_pages: u32 = 0,
    named_rows: u64 = 0,
    /// The next row to check.
    segment_at: usize = 0,
    row_at: u32 = 0,
    /// The sums of this segment differed.
    is_looking_up: bool = false,

    const SegmentRows = struct {
        disk: format.Segment,
        /// Where the descriptor lies.
        offset: u64,
        dead: std.DynamicBitSetUnmanaged,
        named: std.DynamicBitSetUnmanaged,
        /// Blocks whose tombstones cannot be read: whether a row there is dead is not known.
        lost_blocks: [format.tombstone_pages_max]bool = @splat(false),
        has_extents: bool,
        named_sum: u64 = 0,
        row_sum: u64 = 0,
        amendments: Amendments = .{},
        /// What lies in the heap out of the order of rows, or beside such: from, to.
        places: std.ArrayList([2]u64) = .empty,
        /// Behind the last record: heap extent, and offset in the file.
        heap_at: usize = 0,
        heap_end: u64 = 0,
    };

    /// What the file and its root say about everything below.
    pub const Context = struct {
        hash_key: *const hash.Key,
        /// Of the root: nothing below it is newer.
        transaction_id: u64,
        /// A later minor version may have put something there.
        reserved_are_zero: bool,
    };

    /// `page` was read by way of `ref` and is sound.
    pub fn create(
        gpa: std.mem.Allocator,
        ledger: *Ledger,
        reader: page_reader.PageReader,
        context: Context,
        ref: PageRef,
        page: *const format.CollectionPage,
    ) OutOfMemory!*CollectionAudit {
        const audit = try gpa.create(CollectionAudit);
        audit.* = .{
            .gpa = gpa,
            .ledger = ledger,
            .reader = reader,
            .context = context,
            .offset = format.pageOffset(ref.page),
            .page = page.*,
            .array = .init(reader, page.segments, page.segment_array_len),
            .index = .init(reader, page.index),
            .rows = .{
                .gpa = gpa,
                .file = reader.file,
                .collection_id = page.id,
                .dimension = page.dimension,
            },
        };
        return audit;
    }

    pub fn destroy(audit: *CollectionAudit) void {
        const gpa = audit.gpa;
        for (audit.segments.items) |*segment| {
            segment.dead.deinit(gpa);
            segment.named.deinit(gpa);
            segment.amendments.release(gpa);
            segment.places.deinit(gpa);
        }
        audit.segments.deinit(gpa);
        audit.by_id.deinit(gpa);
        audit.rows.deinit();
        gpa.destroy(audit);
    }

    /// Does a little and says what it cost in bytes; null when all is done.
    pub fn step(audit: *CollectionAudit) OutOfMemory!?u64 {
        switch (audit.phase) {
            .segments => try audit.nextSegment(),
            .index => try audit.nextIndexPage(),
            .rows => return try audit.nextRow(),
            .finished => return null,
        }
        return format.page_bytes;
    }

    fn report(
        audit: *CollectionAudit,
        kind: damage.Kind,
        offset: u64,
        comptime text: []const u8,
        arguments: anytype,
    ) OutOfMemory!void {
        const named = .{audit.page.id} ++ arguments;
        return audit.ledger.findings.add(kind, offset, "collection {d}: " ++ text, named);
    }

    // Segments.

    fn nextSegment(audit: *CollectionAudit) OutOfMemory!void {
        const step_ = try audit.array.next() orelse return audit.endSegments();
        switch (step_) {
            .page => |ref| {
                if (!try audit.ledger.claimPage(ref.page)) return audit.skipArray();
                try audit.checkHeader(&audit.array.frames[audit.array.depth - 1].page, ref);
            },
            .element => |element| try audit.loadSegment(element.index, element.ref),
            .lost => |lost| {
                audit.segments_are_whole = false;
                try audit.lose(lost.ref, lost.loss, "a page of the segment array");
            },
            .beyond => |beyond| try audit.report(
                .structure,
                format.pageOffset(beyond.parent.page),
                "the segment array has elements beyond its length",
                .{},
            ),
        }
    }

    fn skipArray(audit: *CollectionAudit) void {
        audit.array.skip();
        audit.segments_are_whole = false;
    }

    fn lose(
        audit: *CollectionAudit,
        ref: PageRef,
        loss: page_reader.Loss,
        comptime what: []const u8,
    ) OutOfMemory!void {
        return audit.report(
            loss.kind(),
            format.pageOffset(ref.page),
            what ++ " is lost: {s}",
            .{loss.sentence()},
        );
    }

    fn loadSegment(audit: *CollectionAudit, id: u32, ref: PageRef) OutOfMemory!void {
        var page: format.Page align(format.page_alignment) = undefined;
        if (try audit.reader.read(ref, &page)) |loss| {
            audit.segments_are_whole = false;
            return audit.lose(ref, loss, "a segment's page");
        }
        const offset = format.pageOffset(ref.page);
        const leaf: *const format.SegmentPage = @ptrCast(&page);
        if (!try audit.ledger.claimPage(ref.page) or leaf.header.type != .segment) {
            audit.segments_are_whole = false;
            return audit.report(.structure, offset, "this is no page of a segment's own", .{});
        }
        try audit.checkHeader(&page, ref);
        try audit.expectZeros(&leaf.reserved, offset + @offsetOf(format.SegmentPage, "reserved"));
        const start = offset + @offsetOf(format.SegmentPage, "segment");
        try audit.addSegment(&leaf.segment, id, start);
    }

    fn endSegments(audit: *CollectionAudit) OutOfMemory!void {
        const page = &audit.page;
        const start = audit.offset + @offsetOf(format.CollectionPage, "growing");
        if (page.has_growing == 1) {
            try audit.addSegment(&page.growing, page.growing.id, start);
        }
        audit.phase = .index;
    }

    fn addSegment(
        audit: *CollectionAudit,
        disk: *const format.Segment,
        id: u32,
        offset: u64,
    ) OutOfMemory!void {
        const dimension = audit.page.dimension;
        const is_own = disk.id == id and !audit.by_id.contains(id);
        if (!is_own or !soundness.isSegment(disk, dimension, audit.reader.file_pages)) {
            audit.segments_are_whole = false;
            return audit.report(.structure, offset, "segment {d} cannot be as it says", .{id});
        }
        try audit.expectZeros(&disk.reserved_b, offset + @offsetOf(format.Segment, "reserved_b"));
        var has_extents = try audit.ledger.claim(disk.extent_page, disk.extent_page_count);
        for (disk.heap[0..disk.heap_count]) |heap| {
            const is_free = try audit.ledger.claim(heap.page, heap.page_count);
            has_extents = has_extents and is_free;
        }
        const index: u32 = @intCast(audit.segments.items.len);
        const added = try audit.segments.addOne(audit.gpa);
        added.* = .{
            .disk = disk.*,
            .offset = offset,
            .dead = .{},
            .named = .{},
            .has_extents = has_extents,
        };
        try added.dead.resize(audit.gpa, disk.rows, false);
        try added.named.resize(audit.gpa, disk.rows, false);
        try audit.by_id.put(audit.gpa, id, index);
        try audit.loadTombstones(added);
        try audit.loadAmendments(added);
    }

    fn loadTombstones(audit: *CollectionAudit, segment: *SegmentRows) OutOfMemory!void {
        var is_whole = true;
        for (segment.disk.tombstones, 0..) |ref, block| {
            if (ref.isNone()) continue;
            segment.lost_blocks[block] = !try audit.loadTombstonePage(segment, ref, block);
            is_whole = is_whole and !segment.lost_blocks[block];
        }
        const dead = segment.dead.count();
        if (is_whole and dead != segment.disk.dead_rows) try audit.report(
            .count,
            segment.offset,
            "segment {d} says that {d} rows are dead, its tombstones mark {d}",
            .{ segment.disk.id, segment.disk.dead_rows, dead },
        );
    }

    fn loadTombstonePage(
        audit: *CollectionAudit,
        segment: *SegmentRows,
        ref: PageRef,
        block: usize,
    ) OutOfMemory!bool {
        var page: format.Page align(format.page_alignment) = undefined;
        if (try audit.reader.read(ref, &page)) |loss| {
            try audit.lose(ref, loss, "a page of tombstones");
            return false;
        }
        const marks: *const format.TombstonePage = @ptrCast(&page);
        const offset = format.pageOffset(ref.page);
        if (!try audit.ledger.claimPage(ref.page) or marks.header.type != .tombstones) {
            try audit.report(.structure, offset, "this is no page of tombstones", .{});
            return false;
        }
        try audit.checkHeader(&page, ref);
        for (marks.bits, 0..) |byte, i| for (0..8) |bit| {
            if (byte >> @intCast(bit) & 1 == 0) continue;
            const row = block * format.tombstone_rows_per_page + i * 8 + bit;
            if (row < segment.disk.rows) {
                segment.dead.set(row);
                continue;
            }
            const at = offset + @offsetOf(format.TombstonePage, "bits") + i;
            try audit.report(.structure, at, "a row is marked dead that does not exist", .{});
            return true;
        };
        return true;
    }

    fn loadAmendments(audit: *CollectionAudit, segment: *SegmentRows) OutOfMemory!void {
        const disk = &segment.disk;
        if (disk.wasted_bytes > disk.heapBytes()) try audit.report(
            .count,
            segment.offset + @offsetOf(format.Segment, "wasted_bytes"),
            "segment {d} says that more of its heap is wasted than there is",
            .{disk.id},
        );
        const count = format.amendmentPages(disk.capacity);
        var walk: tree_walk.ArrayWalk = .init(audit.reader, disk.amendments, count);
        while (try walk.next()) |step_| switch (step_) {
            .page => |ref| {
                if (!try audit.ledger.claimPage(ref.page)) {
                    walk.skip();
                    continue;
                }
                try audit.checkHeader(&walk.frames[walk.depth - 1].page, ref);
            },
            .element => |found| try audit.loadAmendmentPage(segment, found.index, found.ref),
            .lost => |lost| try audit.lose(lost.ref, lost.loss, "a page of amendments"),
            .beyond => |beyond| try audit.report(
                .structure,
                format.pageOffset(beyond.parent.page),
                "an array of amendments has elements beyond its length",
                .{},
            ),
        };
    }

    fn loadAmendmentPage(
        audit: *CollectionAudit,
        segment: *SegmentRows,
        index: u32,
        ref: PageRef,
    ) OutOfMemory!void {
        var content: format.Page align(format.page_alignment) = undefined;
        if (try audit.reader.read(ref, &content)) |loss| {
            return audit.lose(ref, loss, "a page of amendments");
        }
        const page: *const format.AmendmentPage = @ptrCast(&content);
        const offset = format.pageOffset(ref.page);
        if (!try audit.ledger.claimPage(ref.page) or page.header.type != .amendments) {
            return audit.report(.structure, offset, "this is no page of amendments", .{});
        }
        try audit.checkHeader(&content, ref);
        const reserved_at = offset + @offsetOf(format.AmendmentPage, "reserved");
        try audit.expectZeros(&page.reserved, reserved_at);
        const disk = &segment.disk;
        const first = index * format.amendment_rows_per_page;
        const block = try segment.amendments.edit(audit.gpa, disk.capacity, first);
        block.records = page.records;
        block.columns = page.columns;
        block.stale = page.stale;
        if (!areOfRows(block, disk, first)) try audit.report(
            .structure,
            offset,
            "rows or columns are amended that do not exist, in segment {d}",
            .{disk.id},
        );
    }

    fn areOfRows(
        block: *const amendments_module.Block,
        disk: *const format.Segment,
        first: u32,
    ) bool {
        const columned = disk.columnedRows();
        for (block.records, first..) |record, row| {
            if (record != 0 and row >= disk.rows) return false;
            const is_stale = row_set.contains(&block.stale, @intCast(row - first));
            if (is_stale and (record == 0 or row >= columned)) return false;
        }
        return first < columned or std.meta.eql(block.columns, format.ColumnEntry.none);
    }

    // The key index.

    fn nextIndexPage(audit: *CollectionAudit) OutOfMemory!void {
        const step_ = try audit.index.next() orelse return audit.endIndex();
        switch (step_) {
            .inner => |ref| {
                const inner = audit.index.frames[audit.index.depth - 1].inner();
                if (!try audit.claimIndexPage(ref)) return audit.index.skip();
                try audit.checkHeader(&audit.index.frames[audit.index.depth - 1].page, ref);
                const start = format.pageOffset(ref.page);
                const at = start + @offsetOf(format.InnerPage, "reserved");
                try audit.expectZeros(&inner.reserved, at);
            },
            .bucket => |bucket| {
                if (!try audit.claimIndexPage(bucket.ref)) return;
                try audit.checkHeader(&audit.index.bucket, bucket.ref);
                try audit.checkBucket(bucket.ref, bucket.range, bucket.page);
            },
            .lost => |lost| {
                audit.index_is_whole = false;
                try audit.lose(lost.ref, lost.loss, "a page of the key index");
            },
            .misshapen => |misshapen| {
                audit.index_is_whole = false;
                const offset = format.pageOffset(misshapen.parent.page);
                try audit.report(.structure, offset, "an inner page mixes up its children", .{});
            },
        }
    }

    fn claimIndexPage(audit: *CollectionAudit, ref: PageRef) OutOfMemory!bool {
        audit.index_pages += 1;
        const is_own = try audit.ledger.claimPage(ref.page);
        audit.index_is_whole = audit.index_is_whole and is_own;
        return is_own;
    }

    fn checkBucket(
        audit: *CollectionAudit,
        ref: PageRef,
        range: tree_walk.IndexWalk.Range,
        bucket: *const format.BucketPage,
    ) OutOfMemory!void {
        const start = format.pageOffset(ref.page);
        const count = bucket.header.count;
        for (bucket.hashes[0..count], bucket.locations[0..count], 0..) |key_hash, location, i| {
            const at = start + @offsetOf(format.BucketPage, "hashes") + i * 8;
            if (i > 0 and bucket.hashes[i - 1] > key_hash) {
                try audit.report(.structure, at, "a bucket's hashes are not sorted", .{});
            }
            if (!range.contains(key_hash)) {
                try audit.report(.structure, at, "a hash lies in another hash's bucket", .{});
            }
            try audit.nameRow(key_hash, .fromInt(location), at + 8 * format.bucket_capacity);
        }
    }

    fn nameRow(
        audit: *CollectionAudit,
        key_hash: u64,
        location: format.Location,
        at: u64,
    ) OutOfMemory!void {
        audit.named_rows += 1;
        const index = audit.by_id.get(location.segment) orelse {
            if (!audit.segments_are_whole) return;
            const segment: u32 = location.segment;
            return audit.report(.index, at, "an entry names segment {d} of none", .{segment});
        };
        const segment = &audit.segments.items[index];
        const place = .{ location.row, segment.disk.id };
        if (location.generation != segment.disk.generation) {
            try audit.report(.index, at, "an entry has unknown flags", .{});
        }
        if (location.row >= segment.disk.rows) {
            return audit.report(.index, at, "an entry names row {d} of segment {d}, which " ++
                "does not exist", place);
        }
        if (segment.dead.isSet(location.row)) {
            return audit.report(.index, at, "an entry names row {d} of segment {d}, which " ++
                "is dead", place);
        }
        if (segment.named.isSet(location.row)) {
            return audit.report(.index, at, "a second entry names row {d} of segment {d}", place);
        }
        segment.named.set(location.row);
        segment.named_sum +%= mix(key_hash, location.toInt());
    }

    fn endIndex(audit: *CollectionAudit) OutOfMemory!void {
        audit.phase = .rows;
        if (!audit.index_is_whole) return;
        const page = &audit.page;
        if (page.live_rows != audit.named_rows) try audit.report(
            .count,
            audit.offset + @offsetOf(format.CollectionPage, "live_rows"),
            "it says that it has {d} rows, its index names {d}",
            .{ page.live_rows, audit.named_rows },
        );
        if (page.index_pages != audit.index_pages) try audit.report(
            .count,
            audit.offset + @offsetOf(format.CollectionPage, "index_pages"),
            "it says that its index has {d} pages, and it has {d}",
            .{ page.index_pages, audit.index_pages },
        );
    }

    // The rows.

    fn nextRow(audit: *CollectionAudit) OutOfMemory!u64 {
        if (audit.segment_at == audit.segments.items.len) {
            audit.phase = .finished;
            return 0;
        }
        const segment = &audit.segments.items[audit.segment_at];
        if (!segment.has_extents or audit.row_at == segment.disk.rows) {
            try audit.endSegment(segment);
            return 0;
        }
        const row = audit.row_at;
        audit.row_at += 1;
        var code_bytes: u64 = 0;
        if (!audit.is_looking_up) {
            audit.ledger.walked += shareOf(segment, row);
            code_bytes = try audit.checkCodes(segment, row) + try audit.checkColumns(segment, row);
        }
        if (segment.dead.isSet(row)) return 1 + code_bytes;
        if (!segment.named.isSet(row)) {
            const is_known = !segment.lost_blocks[row / format.tombstone_rows_per_page];
            if (audit.index_is_whole and is_known and !audit.is_looking_up) try audit.report(
                .index,
                audit.rows.entryOffset(&segment.disk, row),
                "no entry of the index names row {d} of segment {d}",
                .{ row, segment.disk.id },
            );
            return 1 + code_bytes;
        }
        const before = audit.rows.bytesRead();
        const found = try audit.rows.read(&segment.disk, row, segment.amendments.recordOf(row));
        if (audit.is_looking_up) {
            try audit.lookUp(segment, row, &found);
            return audit.rows.bytesRead() - before + 4 * format.page_bytes;
        }
        try audit.checkRow(segment, row, &found);
        return audit.rows.bytesRead() - before + 1 + code_bytes;
    }

    /// The block of codes that begins with the row, and before the first one the centre. Says how
    /// many bytes were read.
    fn checkCodes(audit: *CollectionAudit, segment: *const SegmentRows, row: u32) OutOfMemory!u64 {
        const disk = &segment.disk;
        if (row % format.code_block_rows != 0 or row >= disk.codedRows()) return 0;
        const place = .{ row, disk.id };
        const block_at = disk.blockOffset(row / format.code_block_rows, audit.page.dimension);
        const block_bytes = format.codeBlockBytes(disk.code_dimension);
        if (try audit.rows.codes(disk, row, block_at, block_bytes)) |problem| try audit.report(
            problem.kind,
            problem.offset,
            "{s} (from row {d} of segment {d})",
            .{problem.what} ++ place,
        ) else audit.ledger.used += block_bytes;
        if (row > 0) return block_bytes;
        const centre_at = disk.codesOffset(audit.page.dimension);
        const centre_bytes = format.codeCentreBytes(disk.code_dimension);
        if (try audit.rows.codes(disk, 0, centre_at, centre_bytes)) |problem| try audit.report(
            problem.kind,
            problem.offset,
            "{s} (the centre, before row {d} of segment {d})",
            .{problem.what} ++ place,
        ) else audit.ledger.used += centre_bytes;
        return block_bytes + centre_bytes;
    }

    /// The block of columns that begins with the row. Says how many bytes were read.
    fn checkColumns(
        audit: *CollectionAudit,
        segment: *SegmentRows,
        row: u32,
    ) OutOfMemory!u64 {
        const disk = &segment.disk;
        if (row >= disk.columnedRows() or row % disk.column_rows != 0) return 0;
        const amended = segment.amendments.columnsOf(row);
        const found = try audit.rows.columns(disk, row, amended);
        if (found.problem) |problem| try audit.report(
            problem.kind,
            problem.offset,
            "{s} (from row {d} of segment {d})",
            .{ problem.what, row, disk.id },
        );
        audit.ledger.used += found.used;
        try audit.addPlace(segment, found.offset, found.bytes);
        return @sizeOf(format.ColumnEntry) + found.used;
    }

    /// Of a segment in which not everything lies in the order of its rows.
    fn addPlace(
        audit: *CollectionAudit,
        segment: *SegmentRows,
        offset: u64,
        bytes: u64,
    ) OutOfMemory!void {
        if (segment.amendments.blocks.len == 0 or bytes == 0) return;
        try segment.places.append(audit.gpa, .{ offset, offset + bytes });
    }

    fn checkPlaces(audit: *CollectionAudit, segment: *SegmentRows) OutOfMemory!void {
        std.sort.heap([2]u64, segment.places.items, {}, isBefore);
        var end: u64 = 0;
        for (segment.places.items) |place| {
            if (place[0] < end) try audit.report(
                .record,
                place[0],
                "a record or columns lie over others",
                .{},
            );
            end = @max(end, place[1]);
        }
        segment.places.clearAndFree(audit.gpa);
    }

    fn isBefore(_: void, a: [2]u64, b: [2]u64) bool {
        return a[0] < b[0];
    }

    /// Of the extents' bytes, what is done with one row.
    fn shareOf(segment: *const SegmentRows, row: u32) u64 {
        const bytes = extentBytes(segment);
        const rows: u64 = segment.disk.rows;
        return bytes * (row + 1) / rows - bytes * row / rows;
    }

    fn extentBytes(segment: *const SegmentRows) u64 {
        var pages: u64 = segment.disk.extent_page_count;
        for (segment.disk.heap[0..segment.disk.heap_count]) |heap| pages += heap.page_count;
        return pages * format.page_bytes;
    }

    fn endSegment(audit: *CollectionAudit, segment: *SegmentRows) OutOfMemory!void {
        if (segment.disk.rows == 0 and segment.has_extents) {
            audit.ledger.walked += extentBytes(segment);
        }
        audit.row_at = 0;
        if (!audit.is_looking_up) try audit.checkPlaces(segment);
        const differ = segment.has_extents and segment.named_sum != segment.row_sum;
        if (differ and !audit.is_looking_up) {
            audit.is_looking_up = true;
            return;
        }
        audit.is_looking_up = false;
        audit.segment_at += 1;
    }

    fn lookUp(
        audit: *CollectionAudit,
        segment: *const SegmentRows,
        row: u32,
        found: *const row_audit.Row,
    ) OutOfMemory!void {
        const record = found.record orelse return;
        const location: format.Location = .of(&segment.disk, row);
        const key_hash = hash.keyHash(audit.context.hash_key, record.key);
        const root = audit.page.index;
        if (try tree_walk.names(audit.reader, root, key_hash, location.toInt()) != false) return;
        try audit.report(
            .index,
            record.offset,
            "the index names row {d} of segment {d} by another hash than that of its key",
            .{ row, segment.disk.id },
        );
    }

    fn checkRow(
        audit: *CollectionAudit,
        segment: *SegmentRows,
        row: u32,
        found: *const row_audit.Row,
    ) OutOfMemory!void {
        for (found.problems[0..found.problem_count]) |problem| try audit.report(
            problem.kind,
            problem.offset,
            "{s} (row {d} of segment {d})",
            .{ problem.what, row, segment.disk.id },
        );
        const entry = found.entry orelse return;
        audit.ledger.used += @sizeOf(format.RowEntry);
        if (found.vector) |vector| {
            audit.ledger.used += vector.len * @sizeOf(f32);
            try audit.checkVector(segment, row, vector, entry.inverse_norm);
        }
        const record = found.record orelse return;
        audit.ledger.used += record.bytes();
        const location: format.Location = .of(&segment.disk, row);
        segment.row_sum +%= mix(hash.keyHash(audit.context.hash_key, record.key), location.toInt());
        if (record.header.location != location.toInt()) {
            try audit.report(.record, record.offset, "a record says that it is another row's", .{});
        }
        if (record.header.transaction_id > audit.context.transaction_id) {
            try audit.report(.record, record.offset, "a record is newer than its root", .{});
        }
        const is_amended = segment.amendments.recordOf(row) != null;
        try audit.checkPlace(segment, &record, is_amended);
        try audit.addPlace(segment, record.offset, record.bytes());
    }

    fn checkVector(
        audit: *CollectionAudit,
        segment: *const SegmentRows,
        row: u32,
        vector: []const f32,
        inverse_norm: f32,
    ) OutOfMemory!void {
        const offset = audit.rows.vectorOffset(&segment.disk, row);
        for (vector) |number| if (!std.math.isFinite(number)) {
            return audit.report(.vector, offset, "a vector is not finite", .{});
        };
        const expected = metrics.inverseNorm(vector);
        const tolerance = 1e-6 * expected;
        if (inverse_norm == expected or @abs(inverse_norm - expected) <= tolerance) return;
        try audit.report(.row, audit.rows.entryOffset(&segment.disk, row), "row {d} of segment " ++
            "{d} says another norm than that of its vector", .{ row, segment.disk.id });
    }

    /// Records lie in the heap in the order of their rows, none over another, but for those of
    /// amendments.
    fn checkPlace(
        audit: *CollectionAudit,
        segment: *SegmentRows,
        record: *const row_audit.Record,
        is_amended: bool,
    ) OutOfMemory!void {
        const offset = record.offset;
        const end = offset + record.bytes();
        const disk = &segment.disk;
        for (disk.heap[0..disk.heap_count], 0..) |heap, i| {
            const start = format.pageOffset(heap.page);
            if (offset < start or offset >= start + heap.used_bytes) continue;
            if (end > start + heap.used_bytes) break;
            const is_later = is_amended or i > segment.heap_at or
                (i == segment.heap_at and offset >= segment.heap_end);
            if (!is_later or offset % format.record_alignment != 0) {
                try audit.report(.record, offset, "a record lies over another one, or out of " ++
                    "order", .{});
            }
            if (is_amended) return;
            segment.heap_at = i;
            segment.heap_end = end;
            return;
        }
        try audit.report(.record, offset, "a record lies outside of its segment's heap", .{});
    }

    // Both.

    fn checkHeader(
        audit: *CollectionAudit,
        page: *const format.Page,
        ref: PageRef,
    ) OutOfMemory!void {
        const header = std.mem.bytesToValue(format.PageHeader, page[0..@sizeOf(format.PageHeader)]);
        const offset = format.pageOffset(ref.page);
        if (header.transaction_id > audit.context.transaction_id) {
            try audit.report(.structure, offset, "a page is newer than its root", .{});
        }
        try audit.expectZeros(&header.reserved, offset + @offsetOf(format.PageHeader, "reserved"));
    }

    fn expectZeros(audit: *CollectionAudit, bytes: []const u8, offset: u64) OutOfMemory!void {
        if (!audit.context.reserved_are_zero or std.mem.allEqual(u8, bytes, 0)) return;
        try audit.report(.reserved, offset, "reserved bytes are not zero", .{});
    }
};

fn mix(key_hash: u64, location: u64) u64 {
    return checksum.bytes(key_hash, std.mem.asBytes(&location));
}
