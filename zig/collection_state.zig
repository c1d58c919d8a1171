//! A collection as one root describes it, decoded from its catalogue page: what it is, where its
//! index starts, and its segments. Immutable once shared: a transaction clones what it changes, so
//! every snapshot keeps the state that it saw. States are counted; the last holder frees.

const std = @import("std");
const errors = @import("errors.zig");
const format = @import("format.zig");
const limits = @import("limits.zig");
const page_array = @import("page_array.zig");
const KnownColumns = @import("known_columns.zig").KnownColumns;
const soundness = @import("soundness.zig");
const Amendments = @import("amendments.zig").Amendments;
const Source = @import("key_index.zig").Source;

const Error = errors.Error;
const PageRef = format.PageRef;

/// What this process knows of one segment's rows, shared by all states of the segment: a committed
/// row never changes.
pub const Verified = struct {
    references: u32 = 1,
    /// The rows that have been checked against their checksums.
    rows: std.DynamicBitSetUnmanaged,
    /// The blocks of codes, likewise.
    blocks: std.DynamicBitSetUnmanaged,
    columns: KnownColumns = .{},
    /// Of the centre that was checked; 0 before.
    centre_id: u64 = 0,
    /// The codes of the first blocks, where somebody who searches wants them in memory.
    copy: []align(64) u8 = &.{},
    copied_blocks: u32 = 0,
    /// A row could not be read, so the segment is not compacted.
    is_unreadable: bool = false,

    fn create(gpa: std.mem.Allocator, disk: *const format.Segment) error{OutOfMemory}!*Verified {
        const verified = try gpa.create(Verified);
        errdefer gpa.destroy(verified);
        verified.* = .{
            .rows = try .initEmpty(gpa, disk.capacity),
            .blocks = .{},
        };
        errdefer verified.rows.deinit(gpa);
        verified.blocks = try .initEmpty(gpa, disk.capacity / format.code_block_rows);
        return verified;
    }

    /// Nothing is known any more of the rows from `first` on.
    pub fn forgetFrom(verified: *Verified, first: usize) void {
        const block = first / format.code_block_rows;
        forgetBits(&verified.rows, first);
        forgetBits(&verified.blocks, block);
        verified.columns.forgetFrom(first / format.column_block_rows);
        verified.forgetCopies(@intCast(block));
        if (block == 0) verified.centre_id = 0;
    }

    /// Of the blocks from `first` on.
    pub fn forgetCopies(verified: *Verified, first: u32) void {
        verified.copied_blocks = @min(verified.copied_blocks, first);
    }

    /// Where others are done with it.
    pub fn dropCopy(verified: *Verified, gpa: std.mem.Allocator) void {
        gpa.free(verified.copy);
        verified.copy = &.{};
        verified.copied_blocks = 0;
    }

    fn forgetBits(bits: *std.DynamicBitSetUnmanaged, first: usize) void {
        const end = bits.bit_length;
        bits.setRangeValue(.{ .start = @min(first, end), .end = end }, false);
    }

    fn release(verified: *Verified, gpa: std.mem.Allocator) void {
        verified.references -= 1;
        if (verified.references > 0) return;
        verified.rows.deinit(gpa);
        verified.blocks.deinit(gpa);
        verified.columns.deinit(gpa);
        gpa.free(verified.copy);
        gpa.destroy(verified);
    }
};

pub const SegmentState = struct {
    references: u32 = 1,
    disk: format.Segment,
    /// The page it was read from; none for the growing segment, which lies in the collection's
    /// page.
    page: PageRef = .none,
    page_born: u64 = 0,
    /// Private to the running transaction, and not as `page` says any more.
    changed: bool = false,
    verified: *Verified,
    /// As `disk` leads to them.
    amendments: Amendments = .{},

    pub fn create(
        gpa: std.mem.Allocator,
        disk: *const format.Segment,
    ) error{OutOfMemory}!*SegmentState {
        const segment = try gpa.create(SegmentState);
        errdefer gpa.destroy(segment);
        segment.* = .{ .disk = disk.*, .verified = try Verified.create(gpa, disk) };
        return segment;
    }

    pub fn clone(
        segment: *const SegmentState,
        gpa: std.mem.Allocator,
    ) error{OutOfMemory}!*SegmentState {
        const copy = try gpa.create(SegmentState);
        errdefer gpa.destroy(copy);
        copy.* = segment.*;
        copy.amendments = try segment.amendments.clone(gpa);
        copy.references = 1;
        copy.verified.references += 1;
        return copy;
    }

    pub fn release(segment: *SegmentState, gpa: std.mem.Allocator) void {
        segment.references -= 1;
        if (segment.references > 0) return;
        segment.verified.release(gpa);
        segment.amendments.release(gpa);
        gpa.destroy(segment);
    }

    /// Whether both are states of one segment, and not of two that had one id after the other.
    pub fn isSame(segment: *const SegmentState, other: *const SegmentState) bool {
        return segment.disk.id == other.disk.id and
            segment.disk.generation == other.disk.generation and
            segment.disk.extent_page == other.disk.extent_page and
            segment.disk.column_rows == other.disk.column_rows and
            segment.disk.capacity == other.disk.capacity;
    }

    pub fn vectorOffset(segment: *const SegmentState, row: u32, stride: u64) u64 {
        return format.pageOffset(segment.disk.extent_page) + row * stride;
    }

    pub fn entryOffset(segment: *const SegmentState, row: u32, stride: u64) u64 {
        return format.pageOffset(segment.disk.extent_page) + segment.disk.capacity * stride +
            @as(u64, row) * @sizeOf(format.RowEntry);
    }
};

/// What a collection is, shared by all its states up to the one in which it gets another name.
pub const Identity = struct {
    references: u32 = 1,
    standing: Standing = .committed,
    /// Of those that the running transaction made.
    next_made: ?*Identity = null,
    id: u32,
    /// The transaction that made it; 0: not known.
    made_by: u64,
    dimension: u32,
    metric: u32,
    /// Its rows make no room for others.
    keeps_rows: bool = false,
    name_len: u32,
    model_len: u32,
    name_buffer: [limits.collection_name_bytes_max + 1]u8 = @splat(0),
    model_buffer: [1024]u8 = @splat(0),

    /// Of a collection, whatever its name.
    pub const Standing = enum {
        committed,
        /// Made by the running transaction.
        new,
        /// Made by a transaction that was rolled back: it never was.
        gone,
    };

    pub fn name(identity: *const Identity) []const u8 {
        return identity.name_buffer[0..identity.name_len];
    }
    pub fn model(identity: *const Identity) []const u8 {
        return identity.model_buffer[0..identity.model_len];
    }

    /// Whether both are one collection, of which one state comes after the other. An id is given
    /// again only after a rollback, to what is not the same although it has the same id.
    pub fn isSame(identity: *const Identity, other: *const Identity) bool {
        if (identity == other) return true;
        return identity.standing != .gone and other.standing != .gone and
            identity.id == other.id and
            identity.dimension == other.dimension and
            identity.metric == other.metric and
            identity.keeps_rows == other.keeps_rows and
            std.mem.eql(u8, identity.model(), other.model());
    }

    /// Where states were lost, their ids are given again, and the numbers of their transactions are
    /// not.
    pub fn isMadeWith(identity: *const Identity, other: *const Identity) bool {
        return identity.made_by != 0 and identity.made_by == other.made_by;
    }

    pub fn hasNameOf(identity: *const Identity, other: *const Identity) bool {
        return std.mem.eql(u8, identity.name(), other.name());
    }

    pub fn retain(identity: *Identity) *Identity {
        identity.references += 1;
        return identity;
    }

    pub fn release(identity: *Identity, gpa: std.mem.Allocator) void {
        identity.references -= 1;
        if (identity.references == 0) gpa.destroy(identity);
    }
};

pub const CollectionState = struct {
    references: u32 = 1,
    identity: *Identity,
    /// Position in the catalogue.
    catalogue_index: u32,
    page: PageRef = .none,
    page_born: u64 = 0,
    index: PageRef = .none,
    index_pages: u32 = 0,
    live_rows: u64 = 0,
    dead_rows: u64 = 0,
    segments_made: u64 = 0,
    last_amended: u64 = 0,
    /// Some row may have an expiry.
    has_expiry: bool = false,
    has_growing: bool = false,
    growing_id: u32 = 0,
    segments: PageRef = .none,
    /// Elements of the segment array: the segments that were sealed, and places of dropped ones.
    segment_array_len: u32 = 0,
    /// By id, those that were needed so far; the growing one always is.
    loaded: std.AutoArrayHashMapUnmanaged(u32, *SegmentState) = .empty,
    /// What a record takes, as far as this process has seen; 0 where it has seen none.
    record_bytes: u64 = 0,
    /// The segment that is being compacted, if there still is one with this id.
    victim: ?u32 = null,

    pub fn createNew(
        gpa: std.mem.Allocator,
        identity: *Identity,
        catalogue_index: u32,
    ) error{OutOfMemory}!*CollectionState {
        const state = try gpa.create(CollectionState);
        state.* = .{ .identity = identity, .catalogue_index = catalogue_index };
        return state;
    }

    pub fn clone(
        state: *const CollectionState,
        gpa: std.mem.Allocator,
    ) error{OutOfMemory}!*CollectionState {
        const copy = try gpa.create(CollectionState);
        errdefer gpa.destroy(copy);
        copy.* = state.*;
        copy.references = 1;
        copy.loaded = try state.loaded.clone(gpa);
        _ = copy.identity.retain();
        for (copy.loaded.values()) |segment| segment.references += 1;
        return copy;
    }

    pub fn retain(state: *CollectionState) *CollectionState {
        state.references += 1;
        return state;
    }

    pub fn release(state: *CollectionState, gpa: std.mem.Allocator) void {
        state.references -= 1;
        if (state.references > 0) return;
        for (state.loaded.values()) |segment| segment.release(gpa);
        state.loaded.deinit(gpa);
        state.identity.release(gpa);
        gpa.destroy(state);
    }

    /// The segment that takes new rows; there is one.
    pub fn growing(state: *const CollectionState) *SegmentState {
        return state.loaded.get(state.growing_id).?;
    }

    pub fn vectorStride(state: *const CollectionState) u64 {
        return format.vectorStride(state.identity.dimension);
    }

    /// Decodes the catalogue page `ref`. `previous` is an older state of the same collection, whose
    /// unchanged segments are kept.
    pub fn load(
        gpa: std.mem.Allocator,
        source: Source,
        ref: PageRef,
        catalogue_index: u32,
        previous: ?*CollectionState,
    ) Error!*CollectionState {
        const page: *const format.CollectionPage = @ptrCast(try source.load(ref));
        try validate(source, ref, page);
        const oom = source.cache.diagnostics;
        const identity = gpa.create(Identity) catch return oom.failOs(
            error.OutOfMemory,
            "opening a collection",
        );
        identity.* = .{
            .id = page.id,
            .made_by = page.made_by,
            .dimension = page.dimension,
            .metric = page.metric,
            .keeps_rows = page.keeps_rows != 0,
            .name_len = page.name_bytes,
            .model_len = page.model_bytes,
            .name_buffer = page.name,
            .model_buffer = page.model,
        };
        const state = gpa.create(CollectionState) catch {
            gpa.destroy(identity);
            return oom.failOs(error.OutOfMemory, "opening a collection");
        };
        state.* = .{
            .identity = identity,
            .catalogue_index = catalogue_index,
            .page = ref,
            .page_born = page.header.transaction_id,
            .index = page.index,
            .index_pages = page.index_pages,
            .live_rows = page.live_rows,
            .dead_rows = page.dead_rows,
            .segments_made = page.segments_made,
            .last_amended = page.last_amended,
            .has_expiry = page.has_expiry != 0,
            .has_growing = page.has_growing != 0,
            .segments = page.segments,
            .segment_array_len = page.segment_array_len,
        };
        errdefer state.release(gpa);
        if (state.has_growing) {
            const disk = page.growing;
            const is_sound = disk.id <= page.segment_array_len and disk.id < limits.segments_max;
            if (!is_sound) return source.corrupt(ref, "grows no segment");
            try validateSegment(source, ref, &disk, page.dimension, disk.id);
            const older = if (previous) |known| known.loaded.get(disk.id) else null;
            _ = try state.keepSegment(gpa, source, &disk, older);
            state.growing_id = disk.id;
        }
        if (previous) |older| try state.keepFrom(gpa, source, older);
        return state;
    }

    /// Takes over the loaded segments of an older state that are still the same, and what is known
    /// of the rows of the one that grew.
    fn keepFrom(
        state: *CollectionState,
        gpa: std.mem.Allocator,
        source: Source,
        older: *CollectionState,
    ) Error!void {
        if (!older.identity.isSame(state.identity)) return;
        if (older.identity.hasNameOf(state.identity)) {
            state.identity.release(gpa);
            state.identity = older.identity.retain();
        }
        state.record_bytes = older.record_bytes;
        state.victim = older.victim;
        for (older.loaded.keys(), older.loaded.values()) |id, segment| {
            if (state.loaded.get(id)) |grown| {
                if (!grown.isSame(segment)) continue;
                segment.verified.references += 1;
                grown.verified.release(gpa);
                grown.verified = segment.verified;
                continue;
            }
            if (id >= state.segment_array_len) continue;
            const ref = try page_array.get(source, state.segments, state.segment_array_len, id);
            if (ref.isNone() or !ref.eql(segment.page)) continue;
            state.loaded.put(gpa, id, segment) catch
                return source.cache.diagnostics.failOs(error.OutOfMemory, "opening a collection");
            segment.references += 1;
        }
    }

    /// The segment, read when first asked for; null where it was dropped.
    pub fn loadSegment(
        state: *CollectionState,
        gpa: std.mem.Allocator,
        source: Source,
        id: u32,
    ) Error!?*SegmentState {
        if (state.loaded.get(id)) |loaded| return loaded;
        const found = try state.findSegment(source, id) orelse return null;
        const loaded = try state.keepSegment(gpa, source, &found.disk, null);
        loaded.page = found.ref;
        loaded.page_born = found.born;
        return loaded;
    }

    /// The same without what else is loaded with it.
    pub fn descriptor(
        state: *const CollectionState,
        source: Source,
        id: u32,
    ) Error!?format.Segment {
        if (state.loaded.get(id)) |loaded| return loaded.disk;
        const found = try state.findSegment(source, id) orelse return null;
        return found.disk;
    }

    const Found = struct { ref: PageRef, born: u64, disk: format.Segment };

    fn findSegment(state: *const CollectionState, source: Source, id: u32) Error!?Found {
        if (id >= state.segment_array_len) return null;
        const ref = try page_array.get(source, state.segments, state.segment_array_len, id);
        if (ref.isNone()) return null;
        const page: *const format.SegmentPage = @ptrCast(try source.load(ref));
        if (page.header.type != .segment) return source.corrupt(ref, "is not a segment's page");
        try validateSegment(source, ref, &page.segment, state.identity.dimension, id);
        return .{ .ref = ref, .born = page.header.transaction_id, .disk = page.segment };
    }

    /// Of the checksums of one row.
    pub fn seedOf(state: *const CollectionState, segment: *const SegmentState, row: u32) u64 {
        return format.rowSeed(state.identity.id, .of(&segment.disk, row));
    }

    /// An id that no segment has.
    pub fn freeId(state: *CollectionState, source: Source) Error!u32 {
        var id: u32 = 0;
        while (try state.nextId(source, id) == id) id += 1;
        return id;
    }

    /// The lowest id of a segment that is at least `from`; null after the last. Most ids may name
    /// nothing, as many as a hostile file likes.
    pub fn nextId(state: *const CollectionState, source: Source, from: u32) Error!?u32 {
        if (state.loaded.contains(from)) return from;
        // Those that the running transaction has made are not in the array yet.
        const len = state.segment_array_len;
        var first = try page_array.next(source, state.segments, len, from);
        for (state.loaded.keys()) |id| {
            if (id >= from) first = @min(first orelse id, id);
        }
        return first;
    }

    /// The segment of `nextId`.
    pub noinline fn nextSegment(
        state: *CollectionState,
        gpa: std.mem.Allocator,
        source: Source,
        from: u32,
    ) Error!?*SegmentState {
        const id = try state.nextId(source, from) orelse return null;
        return state.loadSegment(gpa, source, id);
    }

    fn keepSegment(
        state: *CollectionState,
        gpa: std.mem.Allocator,
        source: Source,
        disk: *const format.Segment,
        older: ?*const SegmentState,
    ) Error!*SegmentState {
        const diagnostics = source.cache.diagnostics;
        const known = if (older) |before| &before.amendments else null;
        var amendments: Amendments = try .load(gpa, source, disk, known);
        const segment = SegmentState.create(gpa, disk) catch {
            amendments.release(gpa);
            return diagnostics.failOs(error.OutOfMemory, "reading a segment");
        };
        segment.amendments = amendments;
        state.loaded.put(gpa, disk.id, segment) catch {
            segment.release(gpa);
            return diagnostics.failOs(error.OutOfMemory, "reading a segment");
        };
        return segment;
    }
};

/// Everything that later code relies on is checked here, before it is used: the file may be
/// hostile.
fn validate(source: Source, ref: PageRef, page: *const format.CollectionPage) Error!void {
    const segments_max = @as(u64, page.segment_array_len) + page.has_growing;
    const rows_max = segments_max * limits.segment_rows_max;
    const is_sound = soundness.isCollection(page) and
        page.live_rows <= rows_max and page.dead_rows <= rows_max and
        page.index_pages <= source.file_pages;
    if (!is_sound) return source.corrupt(ref, "is not a sound collection page");
}

fn validateSegment(
    source: Source,
    ref: PageRef,
    disk: *const format.Segment,
    dimension: u32,
    id: u32,
) Error!void {
    if (disk.id == id and soundness.isSegment(disk, dimension, source.file_pages)) return;
    return source.corrupt(ref, "describes an impossible segment");
}

test "a collection is told by who made it only where both say so" {
    var identity: Identity = .{
        .id = 1,
        .made_by = 7,
        .dimension = 3,
        .metric = 0,
        .name_len = 0,
        .model_len = 0,
    };
    var other = identity;
    try std.testing.expect(identity.isMadeWith(&other));
    other.made_by = 8;
    try std.testing.expect(!identity.isMadeWith(&other));
    identity.made_by = 0;
    other.made_by = 0;
    try std.testing.expect(!identity.isMadeWith(&other));
}
