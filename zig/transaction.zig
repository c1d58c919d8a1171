//! One write transaction: a private copy of the state, changed page by page, that becomes the
//! file's state as a whole or not at all. It knows structures and bytes; when it may run, and how
//! its root is published, is the session's business (write_session.zig).

const std = @import("std");
const errors = @import("errors.zig");
const format = @import("format.zig");
const limits = @import("limits.zig");
const page_array = @import("page_array.zig");
const reach = @import("reach.zig");
const collection_state = @import("collection_state.zig");
const key_index = @import("key_index.zig");
const PageWriter = @import("page_writer.zig").PageWriter;
const Run = @import("free_space.zig").Run;
const View = @import("view.zig").View;

const Error = errors.Error;
const CollectionState = collection_state.CollectionState;
const Identity = collection_state.Identity;
const SegmentState = collection_state.SegmentState;
const PageRef = format.PageRef;

pub const Transaction = struct {
    gpa: std.mem.Allocator,
    writer: *PageWriter,
    diagnostics: *errors.Diagnostics,
    /// The state as the transaction sees it. Its collections are shared with the committed state
    /// until `editable` clones them.
    working: View,
    /// Catalogue positions of the collections that `editable` cloned.
    changed: std.AutoArrayHashMapUnmanaged(u32, void) = .empty,
    /// A write failed half-way: only rollback is possible.
    doomed: ?Error = null,
    has_changes: bool = false,
    /// What it made that has to be known when it ends, each with the next one.
    made: ?*Identity = null,
    /// `Root.last_loss` as it will be: where a segment has another one, a state that was lost may
    /// have something behind its last record.
    loss: u32,
    /// Rows that were moved out of segments with dead ones.
    moved_rows: u64 = 0,

    pub fn deinit(transaction: *Transaction) void {
        transaction.working.deinit();
        while (transaction.made) |identity| {
            transaction.made = identity.next_made;
            identity.next_made = null;
            identity.release(transaction.gpa);
        }
        transaction.changed.deinit(transaction.gpa);
        transaction.* = undefined;
    }

    pub fn source(transaction: *Transaction) key_index.Source {
        return .{
            .cache = transaction.writer.cache,
            .writer = transaction.writer,
            .file_pages = transaction.writer.space.file_pages,
        };
    }

    /// The collection, private to the transaction; null where it was dropped.
    pub fn editable(transaction: *Transaction, index: u32) Error!?*CollectionState {
        const state = try transaction.working.collection(
            transaction.source(),
            index,
        ) orelse return null;
        transaction.has_changes = true;
        if (transaction.changed.contains(index)) return state;
        transaction.changed.put(transaction.gpa, index, {}) catch return transaction.outOfMemory();
        const copy = state.clone(transaction.gpa) catch return transaction.outOfMemory();
        transaction.working.collections.getPtr(index).?.* = copy;
        state.release(transaction.gpa);
        return copy;
    }

    /// The segment, private to the transaction.
    pub fn editableSegment(
        transaction: *Transaction,
        state: *CollectionState,
        id: u32,
    ) Error!*SegmentState {
        const segment = try state.loadSegment(transaction.gpa, transaction.source(), id) orelse
            return transaction.diagnostics.fail(
                error.Corrupt,
                "the index names segment {d}, which does not exist; " ++
                    "the file is damaged, restore a backup or salvage() it",
                .{id},
            );
        if (segment.references == 1 and segment.changed) return segment;
        const copy = segment.clone(transaction.gpa) catch return transaction.outOfMemory();
        copy.changed = true;
        state.loaded.getPtr(id).?.* = copy;
        segment.release(transaction.gpa);
        return copy;
    }

    /// Rows go into new segments from here on: a state that was lost, and is still being read, has
    /// rows behind the last ones of this state.
    pub fn sealGrowing(transaction: *Transaction) Error!void {
        for (0..transaction.working.root.catalogue_len) |index| {
            const state = try transaction.editable(@intCast(index)) orelse continue;
            if (!state.has_growing) continue;
            try transaction.sealSegmentOf(state);
        }
    }

    /// The growing segment takes no more rows. Where all that it has are dead, it is gone.
    pub fn sealSegmentOf(transaction: *Transaction, state: *CollectionState) Error!void {
        const segment = try transaction.editableSegment(state, state.growing_id);
        state.has_growing = false;
        if (segment.disk.dead_rows == segment.disk.rows) {
            try transaction.dropSegment(state, segment);
        }
    }

    /// Takes over the caller's reference to `identity`, also when it fails.
    pub fn createCollection(
        transaction: *Transaction,
        identity: *Identity,
    ) Error!*CollectionState {
        const root = &transaction.working.root;
        const index = root.catalogue_len;
        if (index >= limits.collections_max) {
            identity.release(transaction.gpa);
            return transaction.diagnostics.fail(
                error.InvalidArgument,
                "the file has had {d} collections, which is the " ++
                    "maximum; start another file",
                .{limits.collections_max},
            );
        }
        const state = CollectionState.createNew(transaction.gpa, identity, index) catch {
            identity.release(transaction.gpa);
            return transaction.outOfMemory();
        };
        identity.standing = .new;
        transaction.keepMade(identity);
        _ = try transaction.working.keep(transaction.source(), index, state);
        transaction.changed.put(transaction.gpa, index, {}) catch return transaction.outOfMemory();
        transaction.has_changes = true;
        root.next_collection_id += 1;
        root.collection_count += 1;
        // A place in the catalogue now; `seal` fills it in.
        try page_array.set(transaction.writer, &root.catalogue, &root.catalogue_len, index, .none);
        return state;
    }

    fn keepMade(transaction: *Transaction, identity: *Identity) void {
        identity.next_made = transaction.made;
        transaction.made = identity.retain();
    }

    /// Gives another name to a collection that `editable` gave out. States of before keep theirs.
    pub fn renameCollection(
        transaction: *Transaction,
        state: *CollectionState,
        name: []const u8,
    ) Error!void {
        const identity = transaction.gpa.create(Identity) catch return transaction.outOfMemory();
        identity.* = state.identity.*;
        identity.references = 1;
        identity.name_buffer = @splat(0);
        @memcpy(identity.name_buffer[0..name.len], name);
        identity.name_len = @intCast(name.len);
        state.identity.release(transaction.gpa);
        state.identity = identity;
        transaction.keepMade(identity);
    }

    /// Leaves everything that only this collection reaches.
    pub fn dropCollection(transaction: *Transaction, state: *CollectionState) Error!void {
        const index = state.catalogue_index;
        const root = &transaction.working.root;
        try transaction.leaveContent(state);
        forgetUncommitted(state);
        if (!state.page.isNone()) try transaction.writer.discard(state.page, state.page_born);
        try page_array.set(transaction.writer, &root.catalogue, &root.catalogue_len, index, .none);
        // A file may have lied about it.
        root.collection_count -|= 1;
        transaction.has_changes = true;
        _ = transaction.changed.swapRemove(index);
        _ = transaction.working.collections.remove(index);
        state.release(transaction.gpa);
    }

    /// Empties a collection that `editable` gave out.
    pub fn clearCollection(transaction: *Transaction, state: *CollectionState) Error!void {
        try transaction.leaveContent(state);
        forgetUncommitted(state);
        for (state.loaded.values()) |segment| segment.release(transaction.gpa);
        state.loaded.clearRetainingCapacity();
        state.segments = .none;
        state.segment_array_len = 0;
        state.has_growing = false;
        state.index = .none;
        state.index_pages = 0;
        state.live_rows = 0;
        state.dead_rows = 0;
        state.has_expiry = false;
    }

    /// Of a collection that `editable` gave out.
    pub fn indexOf(transaction: *Transaction, state: *CollectionState) key_index.Editor {
        return .{
            .writer = transaction.writer,
            .root = &state.index,
            .page_count = &state.index_pages,
        };
    }

    /// The key of a live row has no row any more.
    pub fn removeRow(
        transaction: *Transaction,
        state: *CollectionState,
        key_hash: u64,
        location: format.Location,
    ) Error!void {
        try transaction.indexOf(state).remove(key_hash, location.toInt());
        try transaction.buryRow(state, location);
    }

    /// The key of a live row has the row at `new` from now on.
    pub fn replaceRow(
        transaction: *Transaction,
        state: *CollectionState,
        key_hash: u64,
        old: format.Location,
        new: format.Location,
    ) Error!void {
        try transaction.indexOf(state).replace(key_hash, old.toInt(), new.toInt());
        try transaction.buryRow(state, old);
    }

    /// Marks a live row dead. The index no longer names it. A sealed segment goes with its last
    /// row.
    fn buryRow(
        transaction: *Transaction,
        state: *CollectionState,
        location: format.Location,
    ) Error!void {
        const segment = try transaction.editableSegment(state, location.segment);
        const is_own = location.generation == segment.disk.generation;
        const has_live = segment.disk.dead_rows < segment.disk.rows and state.live_rows > 0;
        if (location.row >= segment.disk.rows or !is_own or !has_live) {
            return transaction.diagnostics.fail(
                error.Corrupt,
                "the index names row {d} of segment {d}, which has {d}, {d} of them dead; the " ++
                    "file is damaged, restore a backup or salvage() it",
                .{
                    location.row,
                    location.segment,
                    segment.disk.rows,
                    segment.disk.dead_rows,
                },
            );
        }
        const block = location.row / format.tombstone_rows_per_page;
        const ref = &segment.disk.tombstones[block];
        const page = if (ref.isNone())
            try transaction.writer.create(.tombstones, 0)
        else
            try transaction.writer.edit(ref.*);
        if (page.header().type != .tombstones) {
            return transaction.source().corrupt(ref.*, "is not a tombstone page");
        }
        ref.* = .{ .page = page.number };
        const row = location.row % format.tombstone_rows_per_page;
        page.as(format.TombstonePage).bits[row / 8] |= @as(u8, 1) << @intCast(row % 8);
        segment.disk.dead_rows += 1;
        state.live_rows -= 1;
        state.dead_rows += 1;
        const is_growing = state.has_growing and location.segment == state.growing_id;
        if (segment.disk.dead_rows == segment.disk.rows and !is_growing) {
            try transaction.dropSegment(state, segment);
        }
    }

    /// Leaves the pages of a segment that no longer has any live row; its id is free.
    fn dropSegment(
        transaction: *Transaction,
        state: *CollectionState,
        segment: *SegmentState,
    ) Error!void {
        const writer = transaction.writer;
        const disk = &segment.disk;
        forgetPlaces(segment);
        try segment.amendments.leave(writer, disk);
        for (disk.tombstones) |ref| if (!ref.isNone()) {
            const is_own = writer.isDirty(ref.page);
            try writer.discard(ref, if (is_own) writer.transaction_id else disk.born);
        };
        const extent: Run = .{ .page = disk.extent_page, .count = disk.extent_page_count };
        try writer.leave(extent, disk.born);
        for (disk.heap[0..disk.heap_count]) |heap| {
            try writer.leave(.{ .page = heap.page, .count = heap.page_count }, disk.born);
        }
        if (!segment.page.isNone()) {
            try writer.discard(segment.page, segment.page_born);
            const len = &state.segment_array_len;
            try page_array.set(writer, &state.segments, len, disk.id, .none);
        }
        // A file may have lied about it.
        state.dead_rows -|= disk.dead_rows;
        _ = state.loaded.swapRemove(disk.id);
        segment.release(transaction.gpa);
    }

    /// Known of places that a rollback brings back, with other rows at the last ones.
    fn forgetPlaces(segment: *SegmentState) void {
        segment.verified.forgetFrom(0);
    }

    fn forgetUncommitted(state: *CollectionState) void {
        for (state.loaded.values()) |segment| if (segment.changed) forgetPlaces(segment);
    }

    /// Turns every change into pages with final checksums, bottom-up, and writes them. The root in
    /// `working` then describes the new state; nothing leads to it yet.
    pub fn seal(transaction: *Transaction, next: PageWriter.Next) Error!void {
        const root = &transaction.working.root;
        for (transaction.changed.keys()) |index| {
            const state = transaction.working.collections.get(index).?;
            transaction.indexOf(state).seal();
            for (state.loaded.values()) |segment| {
                if (segment.changed) try transaction.sealSegment(state, segment);
            }
            try transaction.sealCollection(state);
            try page_array.set(
                transaction.writer,
                &root.catalogue,
                &root.catalogue_len,
                index,
                state.page,
            );
        }
        try transaction.writer.writeOut(next);
        root.file_pages = transaction.writer.space.file_pages;
    }

    /// Called between rows when there are `limits.dirty_pages_max`: keeps the memory of a large
    /// transaction bounded.
    pub fn spill(transaction: *Transaction) Error!void {
        try transaction.seal(.goes_on);
    }

    /// After the commit the states are shared, and no longer private to a transaction.
    pub fn settle(transaction: *Transaction) void {
        var made = transaction.made;
        while (made) |identity| : (made = identity.next_made) identity.standing = .committed;
        for (transaction.changed.keys()) |index| {
            const state = transaction.working.collections.get(index).?;
            for (state.loaded.values()) |segment| segment.changed = false;
        }
    }

    /// Whoever holds a collection that now never existed must not take the next one for it.
    pub fn forgetMade(transaction: *Transaction) void {
        var made = transaction.made;
        while (made) |identity| : (made = identity.next_made) {
            if (identity.standing == .new) identity.standing = .gone;
        }
    }

    /// What was learned of rows that now never existed is forgotten: their places will be used
    /// again.
    pub fn forgetRows(transaction: *Transaction, committed: *View) void {
        for (transaction.changed.keys()) |index| {
            const state = transaction.working.collections.get(index) orelse continue;
            for (state.loaded.values()) |segment| {
                if (!segment.changed) continue;
                const before = committedRows(committed, index, &segment.disk);
                segment.verified.forgetFrom(before);
            }
        }
    }

    fn committedRows(committed: *View, index: u32, disk: *const format.Segment) usize {
        const state = committed.collections.get(index) orelse return 0;
        const segment = state.loaded.get(disk.id) orelse return 0;
        return if (segment.disk.generation == disk.generation) segment.disk.rows else 0;
    }

    fn sealSegment(
        transaction: *Transaction,
        state: *CollectionState,
        segment: *SegmentState,
    ) Error!void {
        for (&segment.disk.tombstones) |*ref| {
            if (transaction.writer.dirty.get(ref.page)) |page| ref.* = page.seal();
        }
        try segment.amendments.seal(transaction.writer, &segment.disk);
        if (state.has_growing and segment.disk.id == state.growing_id) return;
        if (!segment.page.isNone()) try transaction.writer.discard(segment.page, segment.page_born);
        const page = try transaction.writer.create(.segment, 0);
        page.as(format.SegmentPage).segment = segment.disk;
        segment.page = page.seal();
        segment.page_born = transaction.writer.transaction_id;
        try page_array.set(
            transaction.writer,
            &state.segments,
            &state.segment_array_len,
            segment.disk.id,
            segment.page,
        );
    }

    fn sealCollection(transaction: *Transaction, state: *CollectionState) Error!void {
        if (!state.page.isNone()) try transaction.writer.discard(state.page, state.page_born);
        const len = &state.segment_array_len;
        if (state.has_growing and state.growing_id > len.*) {
            // Segments before it were dropped before they came into the array.
            const last = state.growing_id - 1;
            try page_array.set(transaction.writer, &state.segments, len, last, .none);
        }
        const page = try transaction.writer.create(.collection, 0);
        const disk = page.as(format.CollectionPage);
        const identity = state.identity;
        disk.id = identity.id;
        disk.dimension = identity.dimension;
        disk.metric = identity.metric;
        disk.keeps_rows = @intFromBool(identity.keeps_rows);
        disk.index_pages = state.index_pages;
        disk.live_rows = state.live_rows;
        disk.dead_rows = state.dead_rows;
        disk.segments_made = state.segments_made;
        disk.last_amended = state.last_amended;
        disk.has_expiry = @intFromBool(state.has_expiry);
        disk.segment_array_len = state.segment_array_len;
        disk.has_growing = @intFromBool(state.has_growing);
        disk.index = state.index;
        disk.segments = state.segments;
        disk.name_bytes = identity.name_len;
        disk.model_bytes = identity.model_len;
        disk.name = identity.name_buffer;
        disk.model = identity.model_buffer;
        disk.made_by = identity.made_by;
        if (state.has_growing) disk.growing = state.growing().disk;
        state.page = page.seal();
        state.page_born = transaction.writer.transaction_id;
    }

    /// Leaves the collection's index, segments and rows, but not its catalogue page. Pages that
    /// this transaction made itself go back at once, whatever older pages lead to.
    fn leaveContent(transaction: *Transaction, state: *CollectionState) Error!void {
        var pages: reach.Pages = .{ .gpa = transaction.gpa };
        defer pages.deinit();
        const walker: reach.Walker = .{
            .gpa = transaction.gpa,
            .source = transaction.source(),
            .pages = &pages,
        };
        try walker.content(state);
        try transaction.writer.leaveAll(&pages.bits);
    }

    fn outOfMemory(transaction: *Transaction) Error {
        return transaction.diagnostics.failOs(error.OutOfMemory, "changing a collection");
    }
};
