//! Making the file smaller while it is in use, in slices that each hold the writer lock only for a
//! bounded number of bytes.
//!
//! First the live rows of every segment with a fair part of dead rows move together. Then whatever
//! lies behind the place where the file could end moves to free pages before it. At last the newest
//! state goes to every root slot, so that no other state needs the end of the file, and the file is
//! cut. Each slice is an ordinary commit, so a crash at any point leaves an ordinary file. A reader
//! of an older state keeps its pages: then as much is done as can be, and a later call does the
//! rest.

const std = @import("std");
const compaction = @import("compaction.zig");
const errors = @import("errors.zig");
const format = @import("format.zig");
const limits = @import("limits.zig");
const page_array = @import("page_array.zig");
const reach = @import("reach.zig");
const collection_state = @import("collection_state.zig");
const Appender = @import("appender.zig").Appender;
const Database = @import("database.zig").Database;
const FreeSpace = @import("free_space.zig").FreeSpace;
const Transaction = @import("transaction.zig").Transaction;

const Error = errors.Error;
const CollectionState = collection_state.CollectionState;
const SegmentState = collection_state.SegmentState;
const Progress = compaction.Progress;

/// So many slices of a phase need no reason.
const slices_min = 8;

/// A segment is worth moving when one row in so many is dead.
const dead_part = 16;

/// One slice of about `bytes_max`; false when there is nothing more to do. The first one of a call
/// of `compact` starts again from the beginning.
pub fn step(
    database: *Database,
    is_first: bool,
    bytes_max: u64,
    done: *f64,
    total: *f64,
) Error!bool {
    try database.checkJoined();
    if (database.transaction != null) return database.diagnostics.fail(
        error.InvalidArgument,
        "compact inside a transaction; commit it first, or compact after it",
        .{},
    );
    if (is_first or database.compacting == null) database.compacting = .{};
    const progress = &database.compacting.?;
    errdefer database.compacting = null;
    const more = try advance(database, progress, bytes_max);
    progress.total_bytes = @max(progress.total_bytes, progress.done_bytes);
    if (!more) progress.done_bytes = progress.total_bytes;
    done.* = @floatFromInt(progress.done_bytes);
    total.* = @floatFromInt(progress.total_bytes);
    if (!more) database.compacting = null;
    return more;
}

fn advance(database: *Database, progress: *Progress, bytes_max: u64) Error!bool {
    if (progress.phase == .cut) {
        try dropTail(database);
        _ = try database.session.?.truncate();
        return false;
    }
    try database.begin();
    errdefer database.rollback();
    const slice: Slice = .{
        .database = database,
        .transaction = database.transaction.?,
        .progress = progress,
        .space = &database.session.?.space,
        .bytes_max = bytes_max,
    };
    try slice.prepare();
    // What moves has to come to lie before the end.
    slice.space.packs = progress.phase == .tail;
    defer slice.space.packs = false;
    const bytes = try slice.run();
    progress.done_bytes += bytes;
    // Somebody who writes all the time makes new dead rows faster than they can be moved.
    progress.slices += 1;
    const is_endless = progress.slices > 2 * progress.phase_bytes / bytes_max + slices_min;
    const is_stuck = bytes == 0 and progress.is_stuck;
    const is_over = bytes == 0 and progress.phase == .rows or is_stuck and !slice.moveEnd();
    progress.is_stuck = bytes == 0;
    if (is_over or is_endless) progress.phase = switch (progress.phase) {
        .rows => .tail,
        .tail, .cut => .cut,
    };
    try database.commit();
    return true;
}

/// A durable state without the free pages at the end.
fn dropTail(database: *Database) Error!void {
    try database.begin();
    errdefer database.rollback();
    const session = database.session.?;
    if (!try session.retireOlderRoots()) return database.rollback();
    if (session.space.usedEnd() == session.slots.highestFilePages()) return database.rollback();
    session.dropFreeTail();
    database.transaction.?.has_changes = true;
    session.next_is_durable = true;
    defer session.next_is_durable = false;
    try database.commit();
}

const Slice = struct {
    database: *Database,
    transaction: *Transaction,
    progress: *Progress,
    space: *FreeSpace,
    bytes_max: u64,

    /// Old states let go of so many pages that wait for them before rows and pages move on.
    const pending_pages_max = 512;

    /// At the start of a phase: how much there is to do.
    fn prepare(slice: Slice) Error!void {
        const progress = slice.progress;
        const space = slice.space;
        const is_new = progress.prepared != progress.phase;
        const is_held = space.pending_pages > pending_pages_max or progress.is_stuck;
        if (progress.phase == .tail and (is_new or is_held)) {
            // What is free then counts, and not what older states still need.
            _ = try slice.database.session.?.retireOlderRoots();
        }
        if (!is_new) return;
        progress.prepared = progress.phase;
        if (progress.phase == .tail) {
            const used = space.file_pages - space.free_count;
            // Rows need runs of pages, and those do not fit together without gaps.
            progress.end_page = @intCast(@min(space.file_pages, used + used / 32 + gap_pages));
            const behind = space.usedFrom(progress.end_page) * format.page_bytes;
            progress.phase_bytes = behind;
        } else progress.phase_bytes = try slice.victimBytes();
        progress.total_bytes = progress.done_bytes + progress.phase_bytes;
        progress.slices = 0;
    }
    const gap_pages = 16;

    /// Rows need runs of pages, and before the end there is none that is long enough: the file may
    /// end further behind. False where it already ends there.
    fn moveEnd(slice: Slice) bool {
        const progress = slice.progress;
        if (progress.end_page >= slice.space.usedEnd()) return false;
        progress.end_page +|= progress.end_page / 8 + gap_pages;
        return true;
    }

    fn victimBytes(slice: Slice) Error!u64 {
        var bytes: u64 = 0;
        for (0..slice.transaction.working.root.catalogue_len) |index| {
            const state = try slice.collection(index) orelse continue;
            var id: u32 = 0;
            while (try slice.next(state, id)) |segment| : (id = segment.disk.id + 1) {
                if (!slice.isVictim(segment)) continue;
                bytes += (segment.disk.rows - segment.disk.dead_rows) * state.vectorStride();
            }
        }
        return bytes;
    }

    /// Bytes that were moved; 0 when the phase is over.
    fn run(slice: Slice) Error!u64 {
        var bytes: u64 = 0;
        for (0..slice.transaction.working.root.catalogue_len) |index| {
            if (bytes >= slice.bytes_max) return bytes;
            const state = try slice.collection(index) orelse continue;
            var id: u32 = 0;
            const has_victim = while (try slice.next(state, id)) |segment| {
                if (slice.isVictim(segment)) break true;
                id = segment.disk.id + 1;
            } else false;
            if (has_victim) bytes += try slice.moveRows(@intCast(index), slice.bytes_max - bytes);
        }
        if (bytes >= slice.bytes_max) return bytes;
        return bytes + switch (slice.progress.phase) {
            .rows => try slice.mergeIndexes(),
            .tail => try slice.movePages(slice.bytes_max - bytes),
            .cut => 0,
        };
    }

    /// Of collections that have lost most of their rows.
    fn mergeIndexes(slice: Slice) Error!u64 {
        const buckets_max = @max(1, slice.bytes_max / format.page_bytes);
        var budget = buckets_max;
        for (0..slice.transaction.working.root.catalogue_len) |index| {
            if (budget == 0) break;
            const state = try slice.collection(index) orelse continue;
            if (state.index_pages <= state.live_rows / sparse_rows_per_page + 2) continue;
            const own = (try slice.transaction.editable(@intCast(index))).?;
            try slice.transaction.indexOf(own).merge(&budget);
        }
        return (buckets_max - budget) * format.page_bytes;
    }
    const sparse_rows_per_page = 60;

    fn collection(slice: Slice, index: usize) Error!?*CollectionState {
        const transaction = slice.transaction;
        return transaction.working.collection(transaction.source(), @intCast(index));
    }

    fn next(slice: Slice, state: *CollectionState, from: u32) Error!?*SegmentState {
        return state.nextSegment(slice.database.gpa, slice.transaction.source(), from);
    }

    fn isVictim(slice: Slice, segment: *const SegmentState) bool {
        if (segment.verified.is_unreadable) return false;
        const disk = &segment.disk;
        if (slice.progress.phase == .rows) {
            return disk.dead_rows > 0 and @as(u64, disk.dead_rows) * dead_part >= disk.rows;
        }
        const end = slice.progress.end_page;
        if (disk.extent_page + disk.extent_page_count > end) return true;
        for (disk.heap[0..disk.heap_count]) |heap| {
            if (heap.page + heap.page_count > end) return true;
        }
        return false;
    }

    fn moveRows(slice: Slice, index: u32, bytes_max: u64) Error!u64 {
        const database = slice.database;
        const state = (try slice.transaction.editable(index)).?;
        var appender: Appender = .{
            .gpa = database.gpa,
            .transaction = slice.transaction,
            .state = state,
            .code_memory = &database.code_memory,
            .column_memory = &database.column_memory,
            .expected_rows = 0,
        };
        defer appender.deinit();
        const reader = database.reader(database.scratch);
        var mover: compaction.Mover = .init(&appender, reader, &database.header.hash_key);
        defer mover.deinit();
        // Where it cannot move, it still takes rows that lie further behind.
        const is_victim = state.has_growing and slice.isVictim(state.growing());
        if (is_victim and slice.hasRoomFor(appender.pagesOfSegment())) {
            try slice.transaction.sealSegmentOf(state);
        }
        var id: u32 = 0;
        while (try slice.next(state, id)) |segment| {
            id = segment.disk.id;
            const is_growing = state.has_growing and id == state.growing_id;
            const has_room = mover.moved_bytes < bytes_max and slice.hasRoom(&appender);
            const is_moved = !is_growing and has_room and slice.isVictim(segment) and
                try mover.moveFrom(segment);
            if (!is_moved) id += 1;
            if (slice.transaction.writer.dirty.count() < limits.dirty_pages_max) continue;
            try appender.flush();
            try slice.transaction.spill();
        }
        try appender.flush();
        return mover.moved_bytes;
    }

    /// In the tail phase rows move only where they come to lie before the end.
    fn hasRoom(slice: Slice, appender: *const Appender) bool {
        return appender.hasRoom() or slice.hasRoomFor(appender.pagesOfSegment());
    }

    fn hasRoomFor(slice: Slice, pages: u32) bool {
        if (slice.progress.phase == .rows) return true;
        return slice.space.hasRunBelow(pages, slice.progress.end_page);
    }

    /// Index pages behind the end, as long as there are free ones before it.
    fn movePages(slice: Slice, bytes_max: u64) Error!u64 {
        const transaction = slice.transaction;
        const end = slice.progress.end_page;
        var budget: u64 = @max(1, bytes_max / format.page_bytes);
        const budget_start = budget;
        const root = &transaction.working.root;
        for (0..root.catalogue_len) |index| {
            if (budget == 0 or !slice.space.hasRunBelow(1, end)) break;
            const state = try slice.collection(index) orelse continue;
            if (!try slice.hasPagesBehind(state)) continue;
            const own = (try transaction.editable(@intCast(index))).?;
            try slice.moveSegmentPages(own, &budget);
            try transaction.indexOf(own).relocate(end, &budget);
            const len = own.segment_array_len;
            _ = try page_array.relocate(transaction.writer, &own.segments, len, end);
            budget -|= 1;
        }
        const len = root.catalogue_len;
        // Otherwise it would move for ever, and the slice would seem to get somewhere.
        const has_room = slice.space.hasRunBelow(1, end);
        if (has_room and try page_array.relocate(transaction.writer, &root.catalogue, len, end)) {
            transaction.has_changes = true;
            budget -|= 1;
        }
        return (budget_start - budget) * format.page_bytes;
    }

    fn hasPagesBehind(slice: Slice, state: *CollectionState) Error!bool {
        const gpa = slice.database.gpa;
        var pages: reach.Pages = .{ .gpa = gpa };
        defer pages.deinit();
        var found: std.ArrayList(format.PageRef) = .empty;
        defer found.deinit(gpa);
        const source = slice.transaction.source();
        const walker: reach.Walker = .{
            .gpa = gpa,
            .source = source,
            .pages = &pages,
            .fresh = &found,
        };
        try walker.content(state);
        for (found.items) |ref| if (ref.page >= slice.progress.end_page) return true;
        return state.page.page >= slice.progress.end_page;
    }

    /// A segment's page is written anew when the segment is changed.
    fn moveSegmentPages(slice: Slice, state: *CollectionState, budget: *u64) Error!void {
        const transaction = slice.transaction;
        const end = slice.progress.end_page;
        var id: u32 = 0;
        while (try slice.next(state, id)) |segment| {
            id = segment.disk.id + 1;
            if (budget.* == 0) return;
            const is_behind = segment.page.page >= end or for (segment.disk.tombstones) |ref| {
                if (ref.page >= end) break true;
            } else segment.amendments.hasPageFrom(&segment.disk, end);
            if (!is_behind) continue;
            const own = try transaction.editableSegment(state, segment.disk.id);
            const gpa = slice.database.gpa;
            budget.* -|= try own.amendments.relocate(gpa, transaction.writer, &own.disk, end);
            for (&own.disk.tombstones) |*ref| if (ref.page >= end) {
                ref.* = .{ .page = (try transaction.writer.edit(ref.*)).number };
            };
        }
    }
};
