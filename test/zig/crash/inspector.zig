//! Reads a whole database file from its bytes, sharing nothing with the engine but the declarations
//! of the format: what a root reaches must be whole, must not overlap, and the index must name
//! exactly the live rows. It also says which bytes a root needs, so that a test can see whether a
//! write touches any of them.

const std = @import("std");
const vl = @import("vectorlite");
const format = vl.format;
const Digest = @import("contents.zig").Digest;
const Root = format.Root;
const PageRef = format.PageRef;

/// Bytes that a root needs.
pub const Range = struct { start: u64, end: u64 };

/// A live row: the bytes that it needs, and what they say.
pub const Place = struct { entry: Range, vector: Range, record: Range, content: Digest };

pub const Error = error{ Unsound, OutOfMemory };

pub const slots_end = format.pageOffset(format.first_free_page);

/// The valid slots, null where a slot is empty, torn or damaged.
pub fn readSlots(bytes: []const u8) [format.slot_count]?Root {
    var slots: [format.slot_count]?Root = @splat(null);
    for (&slots, 0..) |*slot, index| {
        const offset: usize = @intCast(vl.roots.slotOffset(@intCast(index)));
        if (bytes.len < offset + format.slot_bytes) continue;
        const content = bytes[offset..][0..format.slot_bytes];
        const root = std.mem.bytesToValue(Root, content);
        const is_durable = index < format.durable_slot_count;
        const kind: format.RootKind = if (is_durable) .durable else .@"volatile";
        if (root.magic != format.root_magic or root.kind != kind) continue;
        if (!std.mem.eql(u8, &root.checksum, &slotChecksum(content))) continue;
        slot.* = root;
    }
    return slots;
}

pub fn isBelievable(root: *const Root, boot_id: ?[16]u8) bool {
    if (root.kind == .durable) return true;
    const boot = boot_id orelse return false;
    return std.mem.eql(u8, &boot, &root.boot_id);
}

/// A durable root wins over a volatile one of the same transaction.
pub fn newest(slots: *const [format.slot_count]?Root, boot_id: ?[16]u8) ?Root {
    var best: ?Root = null;
    for (slots) |maybe| {
        const root = maybe orelse continue;
        if (!isBelievable(&root, boot_id)) continue;
        const known = best orelse {
            best = root;
            continue;
        };
        if (root.transaction_id < known.transaction_id) continue;
        const is_again = root.transaction_id == known.transaction_id;
        const is_later = root.kind == .durable and root.durable_sequence > known.durable_sequence;
        if (!is_again or is_later) best = root;
    }
    return best;
}

fn slotChecksum(content: *const [format.slot_bytes]u8) [16]u8 {
    const key = "VectorLite slot.".*;
    var out: [16]u8 = undefined;
    const end = @offsetOf(Root, "checksum");
    std.crypto.auth.siphash.SipHash128(2, 4).create(&out, content[0..end], &key);
    return out;
}

/// The first page is the last thing that a new file gets.
pub fn isFinished(bytes: []const u8) bool {
    if (bytes.len < slots_end) return false;
    return !std.mem.allEqual(u8, bytes[0..format.slot_bytes], 0);
}

/// The file's header, from either of its two places.
pub fn readHeader(bytes: []const u8) ?format.Header {
    for ([_]u32{ format.header_page, format.header_copy_page }) |page| {
        const offset: usize = @intCast(format.pageOffset(page));
        if (bytes.len < offset + format.slot_bytes) continue;
        const content = bytes[offset..][0..format.slot_bytes];
        const header = std.mem.bytesToValue(format.Header, content);
        if (!std.mem.eql(u8, &header.magic, &format.magic)) continue;
        if (std.mem.eql(u8, &header.checksum, &slotChecksum(content))) return header;
    }
    return null;
}

/// Walks one root after the other over the same bytes.
pub const Inspector = struct {
    gpa: std.mem.Allocator,
    bytes: []const u8,
    hash_key: [16]u8,
    /// Takes every range that a walked root needs; null where nobody asks.
    ranges: ?*std.ArrayList(Range) = null,
    /// Takes every live row; null where nobody asks.
    rows: ?*std.ArrayList(Place) = null,
    /// Of the root being walked.
    file_pages: u32 = 0,
    owned: std.DynamicBitSetUnmanaged = .{},
    digest: Digest = .{},
    /// The collections by their names, with what each of them holds.
    named: Digest = .{},
    /// Of the collection being walked.
    segments: std.ArrayList(Rows) = .empty,
    indexed: u64 = 0,
    /// What was wrong, and where.
    problem: []const u8 = "",
    offset: u64 = 0,

    const Rows = struct {
        segment: format.Segment,
        live: std.DynamicBitSetUnmanaged,
        amended: Amended,
    };

    /// What was replaced of a segment: of rows their records, of blocks of columns their entries.
    const Amended = struct {
        records: std.AutoHashMapUnmanaged(u32, u64) = .empty,
        columns: std.AutoHashMapUnmanaged(u32, [32]u8) = .empty,

        fn deinit(amended: *Amended, allocator: std.mem.Allocator) void {
            amended.records.deinit(allocator);
            amended.columns.deinit(allocator);
        }
    };

    pub fn deinit(inspector: *Inspector) void {
        inspector.owned.deinit(inspector.gpa);
        inspector.dropSegments();
        inspector.segments.deinit(inspector.gpa);
        inspector.* = undefined;
    }

    /// The content of every collection together.
    pub fn inspect(inspector: *Inspector, from: *const Root) Error!Digest {
        inspector.digest = .{};
        inspector.named = .{};
        inspector.file_pages = from.file_pages;
        const length = format.pageOffset(from.file_pages);
        if (length > inspector.bytes.len) return inspector.unsound("the file is too short", length);
        try inspector.owned.resize(inspector.gpa, from.file_pages, false);
        inspector.owned.unsetAll();
        try inspector.catalogue(from.catalogue, heightOf(from.catalogue_len));
        return inspector.digest;
    }

    fn unsound(inspector: *Inspector, problem: []const u8, offset: u64) Error {
        inspector.problem = problem;
        inspector.offset = offset;
        return error.Unsound;
    }

    fn claim(inspector: *Inspector, page: u32, count: u32) Error!void {
        const end = @as(u64, page) + count;
        if (page < format.first_free_page or end > inspector.file_pages) {
            return inspector.unsound("a place outside of the file", format.pageOffset(page));
        }
        for (page..page + count) |number| {
            if (inspector.owned.isSet(number)) {
                const offset = format.pageOffset(@intCast(number));
                return inspector.unsound("one page used twice", offset);
            }
            inspector.owned.set(number);
        }
    }

    fn need(inspector: *Inspector, start: u64, len: u64) Error!void {
        const ranges = inspector.ranges orelse return;
        if (len > 0) try ranges.append(inspector.gpa, .{ .start = start, .end = start + len });
    }

    fn load(inspector: *Inspector, comptime T: type, ref: PageRef, kind: format.PageType) Error!T {
        const page = try inspector.loadAny(T, ref);
        if (page.header.type == kind) return page;
        return inspector.unsound("a page of another kind", format.pageOffset(ref.page));
    }

    fn loadAny(inspector: *Inspector, comptime T: type, ref: PageRef) Error!T {
        try inspector.claim(ref.page, 1);
        const offset = format.pageOffset(ref.page);
        try inspector.need(offset, format.page_bytes);
        const content = inspector.bytes[@intCast(offset)..][0..format.page_bytes];
        if (std.hash.XxHash3.hash(0, content) != ref.checksum) {
            return inspector.unsound("a page that is not what its parent says", offset);
        }
        return std.mem.bytesToValue(T, content);
    }

    fn catalogue(inspector: *Inspector, ref: PageRef, level: u16) Error!void {
        if (ref.isNone()) return;
        if (level == 0) return inspector.collection(ref);
        const inner = try inspector.load(format.InnerPage, ref, .array);
        for (0..format.fanout) |child| try inspector.catalogue(inner.ref(child), level - 1);
    }

    fn collection(inspector: *Inspector, ref: PageRef) Error!void {
        const page = try inspector.load(format.CollectionPage, ref, .collection);
        inspector.dropSegments();
        defer inspector.dropSegments();
        const before = inspector.digest;
        try inspector.segmentArray(&page, page.segments, heightOf(page.segment_array_len));
        if (page.has_growing == 1) try inspector.segment(&page, &page.growing);
        inspector.indexed = 0;
        if (!page.index.isNone()) try inspector.index(&page, page.index, 0, 0, 0);
        var live: u64 = 0;
        for (inspector.segments.items) |rows| live += rows.live.count();
        if (live > 0) {
            return inspector.unsound("a live row that is not indexed", format.pageOffset(ref.page));
        }
        if (inspector.indexed != page.live_rows) {
            return inspector.unsound("a wrong count of live rows", format.pageOffset(ref.page));
        }
        if (page.name_bytes > page.name.len) {
            return inspector.unsound("a name that is too long", format.pageOffset(ref.page));
        }
        inspector.named.addCollection(page.name[0..page.name_bytes], .{
            .rows = inspector.digest.rows - before.rows,
            .sum = inspector.digest.sum -% before.sum,
        });
    }

    fn dropSegments(inspector: *Inspector) void {
        for (inspector.segments.items) |*rows| {
            rows.live.deinit(inspector.gpa);
            rows.amended.deinit(inspector.gpa);
        }
        inspector.segments.clearRetainingCapacity();
    }

    fn segmentArray(
        inspector: *Inspector,
        page: *const format.CollectionPage,
        ref: PageRef,
        level: u16,
    ) Error!void {
        if (ref.isNone()) return;
        if (level > 0) {
            const inner = try inspector.load(format.InnerPage, ref, .array);
            for (0..format.fanout) |child| {
                try inspector.segmentArray(page, inner.ref(child), level - 1);
            }
            return;
        }
        const leaf = try inspector.load(format.SegmentPage, ref, .segment);
        try inspector.segment(page, &leaf.segment);
    }

    fn segment(
        inspector: *Inspector,
        page: *const format.CollectionPage,
        disk: *const format.Segment,
    ) Error!void {
        const stride = format.vectorStride(page.dimension);
        const extent = format.pageOffset(disk.extent_page);
        try inspector.claim(disk.extent_page, disk.extent_page_count);
        try inspector.need(extent, disk.rows * stride);
        const entry_bytes = @sizeOf(format.RowEntry);
        try inspector.need(extent + disk.capacity * stride, @as(u64, disk.rows) * entry_bytes);
        try inspector.codes(page, disk);
        var amended: Amended = .{};
        errdefer amended.deinit(inspector.gpa);
        const amended_pages = (disk.capacity + 255) / 256;
        const height = heightOf(amended_pages);
        try inspector.amendments(disk, disk.amendments, height, 0, &amended);
        try inspector.columns(page, disk, &amended);
        for (disk.heap[0..disk.heap_count]) |heap| {
            try inspector.claim(heap.page, heap.page_count);
            try inspector.need(format.pageOffset(heap.page), heap.used_bytes);
        }
        var live = try std.DynamicBitSetUnmanaged.initFull(inspector.gpa, disk.rows);
        inspector.segments.append(inspector.gpa, .{
            .segment = disk.*,
            .live = live,
            .amended = amended,
        }) catch |err| {
            live.deinit(inspector.gpa);
            return err;
        };
        amended = .{};
        var dead: u32 = 0;
        for (disk.tombstones, 0..) |ref, block| {
            if (ref.isNone()) continue;
            const marks = try inspector.load(format.TombstonePage, ref, .tombstones);
            for (marks.bits, 0..) |byte, index_of_byte| {
                var left = byte;
                while (left != 0) : (left &= left - 1) {
                    const bit = index_of_byte * 8 + @ctz(left);
                    const number = block * format.tombstone_rows_per_page + bit;
                    if (number >= disk.rows) return inspector.unsound("a dead row of none", extent);
                    live.unset(number);
                    dead += 1;
                }
            }
        }
        if (dead != disk.dead_rows) return inspector.unsound("a wrong count of dead rows", extent);
    }

    /// Every block whose rows are there is there.
    fn codes(
        inspector: *Inspector,
        page: *const format.CollectionPage,
        disk: *const format.Segment,
    ) Error!void {
        if (disk.code_dimension == 0 or disk.rows < 32) return;
        const stride = format.vectorStride(page.dimension);
        const fixed = std.mem.alignForward(u64, disk.capacity * (stride + 32), 64);
        const centre_at = format.pageOffset(disk.extent_page) + fixed;
        const centre_bytes = 4 * @as(u64, disk.code_dimension) + 64;
        const block_bytes = 4 * @as(u64, disk.code_dimension) + 576;
        try inspector.sealed(page.id, disk, 0, centre_at, centre_bytes);
        for (0..disk.rows / 32) |i| {
            const block_at = centre_at + centre_bytes + i * block_bytes;
            try inspector.sealed(page.id, disk, @intCast(i * 32), block_at, block_bytes);
        }
    }

    fn amendments(
        inspector: *Inspector,
        disk: *const format.Segment,
        ref: PageRef,
        level: u16,
        number: u32,
        out: *Amended,
    ) Error!void {
        if (ref.isNone()) return;
        if (level > 0) {
            const inner = try inspector.load(format.InnerPage, ref, .array);
            for (0..format.fanout) |child| {
                try inspector.amendments(disk, inner.ref(child), level - 1, @intCast(child), out);
            }
            return;
        }
        const leaf = try inspector.load(format.AmendmentPage, ref, .amendments);
        const offset = format.pageOffset(ref.page);
        const first = number * 256;
        for (leaf.records, first..) |record_at, i| {
            const row_number: u32 = @intCast(i);
            const bit = leaf.stale[i % 256 / 64] >> @intCast(i % 64) & 1;
            const is_stale = bit != 0;
            if (is_stale and record_at == 0) {
                return inspector.unsound("a stale row of none", offset);
            }
            if (record_at == 0) continue;
            if (row_number >= disk.rows) return inspector.unsound("an amended row of none", offset);
            try out.records.put(inspector.gpa, row_number, record_at);
        }
        if (disk.column_rows == 0) return;
        const entry = std.mem.asBytes(&leaf.columns);
        if (std.mem.allEqual(u8, entry, 0)) return;
        try out.columns.put(inspector.gpa, number, entry.*);
    }

    /// Likewise.
    fn columns(
        inspector: *Inspector,
        page: *const format.CollectionPage,
        disk: *const format.Segment,
        amended: *const Amended,
    ) Error!void {
        if (disk.column_rows == 0) return;
        const stride = format.vectorStride(page.dimension);
        const fixed = std.mem.alignForward(u64, disk.capacity * (stride + 32), 64);
        const length = @as(u64, disk.code_dimension);
        const codes_end = fixed + 4 * length + 64 + disk.capacity / 32 * (4 * length + 576);
        const is_full = disk.rows == disk.capacity;
        const whole = if (is_full) disk.rows + disk.column_rows - 1 else disk.rows;
        for (0..whole / disk.column_rows) |i| {
            const first: u32 = @intCast(i * disk.column_rows);
            const entry_at = format.pageOffset(disk.extent_page) + codes_end + i * 32;
            try inspector.sealed(page.id, disk, first, entry_at, 32);
            const own = inspector.bytes[@intCast(entry_at)..][0..32];
            const newer = amended.columns.getPtr(@intCast(i));
            const entry: *const [32]u8 = newer orelse own;
            const seed = format.rowSeed(page.id, .of(disk, first));
            const entry_sum = std.mem.readInt(u64, entry[24..32], .little);
            if (std.hash.XxHash3.hash(seed, entry[0..24]) != entry_sum) {
                return inspector.unsound("a damaged entry of columns", entry_at);
            }
            const offset = std.mem.readInt(u64, entry[0..8], .little);
            const len = std.mem.readInt(u32, entry[8..12], .little);
            if (len == 0) continue;
            try inspector.need(offset, len);
            const content = inspector.bytes[@intCast(offset)..][0..len];
            const sum = std.mem.readInt(u64, entry[16..24], .little);
            if (std.hash.XxHash3.hash(seed, content) == sum) continue;
            return inspector.unsound("damaged columns", offset);
        }
    }

    fn sealed(
        inspector: *Inspector,
        id: u32,
        disk: *const format.Segment,
        first: u32,
        offset: u64,
        len: u64,
    ) Error!void {
        try inspector.need(offset, len);
        const bytes = inspector.bytes[@intCast(offset)..][0..@intCast(len)];
        const seed = format.rowSeed(id, .of(disk, first));
        const sum = std.mem.readInt(u64, bytes[bytes.len - 8 ..][0..8], .little);
        if (std.hash.XxHash3.hash(seed, bytes[0 .. bytes.len - 8]) == sum) return;
        return inspector.unsound("damaged codes", offset);
    }

    fn index(
        inspector: *Inspector,
        page: *const format.CollectionPage,
        ref: PageRef,
        level: u16,
        prefix: u64,
        prefix_bits: u7,
    ) Error!void {
        const kind = @as(*const format.PageHeader, @ptrCast(@alignCast(
            inspector.bytes[@intCast(format.pageOffset(ref.page))..][0..@sizeOf(format.PageHeader)],
        ))).type;
        if (kind == .bucket) return inspector.bucket(page, ref, prefix, prefix_bits);
        const inner = try inspector.load(format.InnerPage, ref, .inner);
        const offset = format.pageOffset(ref.page);
        if (inner.header.depth != level) return inspector.unsound("a wrong level", offset);
        var child: usize = 0;
        while (child < format.fanout) {
            var end = child + 1;
            while (end < format.fanout and inner.pages[end] == inner.pages[child]) end += 1;
            const span = end - child;
            if (!std.math.isPowerOfTwo(span) or child % span != 0) {
                return inspector.unsound("children that are no aligned block", offset);
            }
            const bits: u7 = @intCast(level * 8 + 8 - std.math.log2_int(usize, span));
            const above = prefix | @as(u64, child) << @intCast(56 - 8 * level);
            try inspector.index(page, inner.ref(child), level + 1, above, bits);
            child = end;
        }
    }

    fn bucket(
        inspector: *Inspector,
        page: *const format.CollectionPage,
        ref: PageRef,
        prefix: u64,
        prefix_bits: u7,
    ) Error!void {
        const found = try inspector.load(format.BucketPage, ref, .bucket);
        const offset = format.pageOffset(ref.page);
        if (found.header.depth != prefix_bits) return inspector.unsound("a wrong depth", offset);
        for (found.hashes[0..found.header.count], 0..) |hash, i| {
            if (i > 0 and found.hashes[i - 1] > hash) {
                return inspector.unsound("a bucket without order", offset);
            }
            if (prefix_bits > 0 and (hash ^ prefix) >> @intCast(64 - @as(u8, prefix_bits)) != 0) {
                return inspector.unsound("a hash in the wrong bucket", offset);
            }
            try inspector.row(page, hash, .fromInt(found.locations[i]));
        }
    }

    fn row(
        inspector: *Inspector,
        page: *const format.CollectionPage,
        hash: u64,
        location: format.Location,
    ) Error!void {
        const rows = for (inspector.segments.items) |*known| {
            if (known.segment.id == location.segment) break known;
        } else return inspector.unsound("an entry of no segment", 0);
        const disk = &rows.segment;
        if (location.generation != disk.generation) {
            return inspector.unsound("an entry of an earlier segment", location.toInt());
        }
        if (location.row >= disk.rows or !rows.live.isSet(location.row)) {
            return inspector.unsound("an entry of a dead row, or a second one", location.toInt());
        }
        rows.live.unset(location.row);
        inspector.indexed += 1;
        const stride = format.vectorStride(page.dimension);
        const seed = format.rowSeed(page.id, location);
        const extent = format.pageOffset(disk.extent_page);
        const vector_at: usize = @intCast(extent + location.row * stride);
        const vector = inspector.bytes[vector_at..][0 .. page.dimension * @sizeOf(f32)];
        const entry_at: usize = @intCast(extent + disk.capacity * stride +
            @as(u64, location.row) * @sizeOf(format.RowEntry));
        const entry_bytes = inspector.bytes[entry_at..][0..@sizeOf(format.RowEntry)];
        const entry = std.mem.bytesToValue(format.RowEntry, entry_bytes);
        const covered = entry_bytes[0..@offsetOf(format.RowEntry, "checksum")];
        if (std.hash.XxHash3.hash(seed, covered) != entry.checksum) {
            return inspector.unsound("a damaged row entry", entry_at);
        }
        if (std.hash.XxHash3.hash(seed, vector) != entry.vector_checksum) {
            return inspector.unsound("a damaged vector", vector_at);
        }
        const record_at = rows.amended.records.get(location.row) orelse entry.record_offset;
        try inspector.record(hash, location, record_at, seed, disk, vector);
    }

    fn record(
        inspector: *Inspector,
        hash: u64,
        location: format.Location,
        record_at: u64,
        seed: u64,
        disk: *const format.Segment,
        vector: []const u8,
    ) Error!void {
        const at: usize = @intCast(record_at);
        const end = for (disk.heap[0..disk.heap_count]) |heap| {
            const start = format.pageOffset(heap.page);
            if (at >= start and at < start + heap.used_bytes) break start + heap.used_bytes;
        } else return inspector.unsound("a record outside of the heap", at);
        if (at + @sizeOf(format.Record) > end) return inspector.unsound("a cut record", at);
        const header = std.mem.bytesToValue(
            format.Record,
            inspector.bytes[at..][0..@sizeOf(format.Record)],
        );
        const key_end = at + @sizeOf(format.Record) + header.key_bytes;
        const metadata_end = key_end + header.metadata_bytes;
        if (metadata_end > end) return inspector.unsound("a cut record", at);
        const key = inspector.bytes[at + @sizeOf(format.Record) .. key_end];
        const metadata = inspector.bytes[key_end..metadata_end];
        const sum = std.hash.XxHash3.hash(seed, inspector.bytes[at + @sizeOf(u64) .. key_end]);
        if (sum != header.checksum) return inspector.unsound("a damaged record", at);
        const metadata_sum = std.hash.XxHash3.hash(seed, metadata);
        if (metadata.len > 0 and metadata_sum != header.metadata_checksum) {
            return inspector.unsound("damaged metadata", key_end);
        }
        const expected = std.crypto.auth.siphash.SipHash64(1, 3).toInt(key, &inspector.hash_key);
        if (expected != hash or header.location != location.toInt()) {
            return inspector.unsound("a record of another row", at);
        }
        inspector.digest.add(key, vector, metadata);
        const rows = inspector.rows orelse return;
        var content: Digest = .{};
        content.add(key, vector, metadata);
        const stride = std.mem.alignForward(u64, vector.len, 64);
        const extent = format.pageOffset(disk.extent_page);
        const entry_at = extent + disk.capacity * stride + @as(u64, location.row) * 32;
        const vector_at = extent + location.row * stride;
        try rows.append(inspector.gpa, .{
            .entry = .{ .start = entry_at, .end = entry_at + 32 },
            .vector = .{ .start = vector_at, .end = vector_at + vector.len },
            .record = .{ .start = at, .end = metadata_end },
            .content = content,
        });
    }
};

fn heightOf(len: u32) u16 {
    var levels: u16 = 0;
    var reach: u64 = 1;
    while (reach < len) : (reach *= format.fanout) levels += 1;
    return levels;
}
