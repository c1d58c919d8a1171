//! Room in a file that is as large as it may be, for a write that found none.
//!
//! The file is what has a maximum, so all of its collections share it: the one whose vectors take
//! most gives up rows, whoever asks. One that is not written any more gives way to others down to
//! their size, and a small one keeps what it has. One that keeps its rows gives up
//! nothing.

const errors = @import("errors.zig");
const eviction = @import("eviction.zig");
const limits = @import("limits.zig");
const snapshot_locks = @import("snapshot_locks.zig");
const CollectionState = @import("collection_state.zig").CollectionState;
const Database = @import("database.zig").Database;
const Departures = @import("departures.zig").Departures;
const Eviction = eviction.Eviction;
const HeldStates = @import("held_states.zig").HeldStates;
const Transaction = @import("transaction.zig").Transaction;

const Error = errors.Error;

/// In a transaction of its own: rows that take about `bytes` go, a sixteenth of their collection at
/// least, of the collection at `only` where there is one. Where that finds no room itself, all its
/// rows do. `NoSpace` where nothing could go.
pub fn make(database: *Database, bytes: u64, only: ?u32) Error!void {
    give(database, bytes, only, .some) catch |err| {
        if (err != error.NoSpace) return err;
        try give(database, bytes, only, .all);
    };
}

/// The same in a file with a maximum, for rows of a collection that is not there yet.
pub fn makeFor(database: *Database, rows: u32, dimension: u32) Error!void {
    if (!database.isBounded() or dimension > limits.dimension_max) return database.diagnostics.fail(
        error.InvalidArgument,
        "room for {d} vectors of dimension {d} in a file that may have {d} bytes; expected a " ++
            "dimension of at most {d}, and a file with a maximum",
        .{ rows, dimension, database.options.file_bytes_max, limits.dimension_max },
    );
    const bytes = eviction.bytesOf(rows, dimension);
    try checkFits(database, bytes);
    return make(database, bytes, null);
}

/// One step towards as many rows as a file of so many bytes has room for: the oldest of the largest
/// collection go. False where no more have to.
pub fn fit(database: *Database, file_bytes: u64) Error!bool {
    try database.begin();
    errdefer |err| database.failWrite(true, err);
    const transaction = database.transaction.?;
    const survey: Survey = try .of(transaction, 0);
    const bytes = survey.bytes;
    const bytes_max = eviction.roomForRows(file_bytes);
    // Where those that are kept are too many, it helps nobody that others go.
    const helps = bytes > bytes_max and survey.kept < bytes_max;
    const found = if (helps) try findLargest(transaction, null, &.{}) else null;
    const largest = found orelse {
        database.rollback();
        return false;
    };
    const state = (try transaction.editable(largest.catalogue_index)).?;
    const rows_before = state.live_rows;
    const rows_wanted = (bytes - bytes_max) / eviction.bytesOf(1, state.identity.dimension) + 1;
    {
        var appender = database.appenderFor(transaction, state);
        defer appender.deinit();
        var mover = database.moverFor(&appender);
        defer mover.deinit();
        // Another one is the largest then, perhaps.
        try eviction.dropOldest(&mover, @min(rows_wanted, rows_before / 2 + 1));
    }
    const is_less = state.live_rows < rows_before;
    try database.commit();
    return is_less;
}

/// A batch that could hardly fit into an empty file costs nobody's rows.
pub fn checkFits(database: *Database, bytes: u64) Error!void {
    if (!database.isBounded()) return;
    const bytes_max = eviction.roomForRows(database.options.file_bytes_max) / 4 * 3;
    if (bytes > bytes_max) return database.diagnostics.fail(
        error.NoSpace,
        "a batch that takes about {d} bytes, in a file that may have {d} at most {d} fit at " ++
            "once; write smaller ones, or allow more",
        .{ bytes, database.options.file_bytes_max, bytes_max },
    );
}

/// A file with a maximum in which hardly a row of that dimension had room is of no use.
pub fn checkHolds(database: *Database, dimension: u32) Error!void {
    const bytes = database.options.file_bytes_max;
    const rows = eviction.rowsIn(bytes, dimension);
    if (rows >= rows_least or database.options.readonly) return;
    const bytes_least = eviction.fileFor(eviction.bytesOf(rows_least, dimension));
    return database.diagnostics.fail(
        error.InvalidArgument,
        "a file of at most {d} bytes has room for {d} vectors of dimension {d}, expected at " ++
            "least {d}; allow {d} bytes or more",
        .{ bytes, rows, dimension, rows_least, bytes_least },
    );
}
/// Of fewer rows each one that comes would cost a good part of all.
const rows_least = 4;

/// How many rows a collection keeps that was asked to keep so many; null: all.
pub fn rowsMax(database: *const Database, dimension: u32, wanted: ?u64) ?u64 {
    if (!database.isBounded()) return wanted;
    const fitting = @max(1, eviction.rowsIn(database.options.file_bytes_max, dimension));
    return @min(wanted orelse fitting, fitting);
}

/// Before a write of so many rows to `state`: how many there may be, as far as room goes.
pub fn heed(
    database: *const Database,
    transaction: *Transaction,
    state: *const CollectionState,
    evicting: *Eviction,
    departures: *Departures,
    new_rows: u64,
) Error!void {
    if (database.isBounded()) {
        const survey: Survey = try .of(transaction, new_rows);
        transaction.writer.reserved_pages = survey.reserved_pages;
        const is_its_turn = survey.isItsTurn(state, database.options.file_bytes_max);
        if (is_its_turn) departures.rows_fitting = state.live_rows;
    }
    if (departures.rows_fitting) |fitting| evicting.allow(@min(evicting.rows_max, fitting));
    departures.rows_fitting = null;
    // Else they would make room for each other, and the write would say that it went well.
    if (evicting.rows_max < new_rows) evicting.allow(new_rows);
}

fn give(database: *Database, bytes: u64, only: ?u32, part: Part) Error!void {
    try database.begin();
    errdefer |err| database.failWrite(true, err);
    const transaction = database.transaction.?;
    const held = try spared(database);
    if (part == .all and held.len > 0) _ = try nothingGoes(database);
    const found = try findLargest(transaction, only, &held) orelse try nothingGoes(database);
    const rows_before = found.live_rows;
    const rows_wanted = bytes / eviction.bytesOf(1, found.identity.dimension);
    const state = (try transaction.editable(found.catalogue_index)).?;
    if (part == .all) try transaction.clearCollection(state) else {
        var appender = database.appenderFor(transaction, state);
        defer appender.deinit();
        var mover = database.moverFor(&appender);
        defer mover.deinit();
        const rows = @max(rows_before / least_part + 1, rows_wanted);
        try eviction.dropSegments(&mover, rows, &held);
    }
    if (Departures.of(&database.departures, state.catalogue_index)) |departures| {
        departures.open.evictions += rows_before - state.live_rows;
        // Where readers are what takes the room, as many fit again when they are gone.
        if (held.len == 0) departures.rows_fitting = state.live_rows + rows_wanted -| 1;
    }
    try database.commit();
    database.session.?.writer.is_disk_full = false;
}
const Part = enum { some, all };
const least_part = 16;

/// Readers whose states lose nothing more. One that goes on gives back what waits for it; where
/// that is much already, it rests, and what else it holds would only wait too.
fn spared(database: *Database) Error!HeldStates {
    const held = snapshot_locks.heldBy(database.file) catch |err|
        return database.diagnostics.failOs(err, "probing the locks");
    const space = &database.session.?.space;
    const waiting = space.pending_pages - space.pendingOnlyForRoots(&held);
    return if (waiting * waiting_part < space.file_pages) .{} else held;
}
const waiting_part = 16;

/// Whether other connections hold states of the file, which may be why nothing in it can go.
pub fn isHeld(database: *Database) bool {
    const held = snapshot_locks.heldBy(database.file) catch return false;
    return held.len > 0;
}

fn nothingGoes(database: *Database) Error!*CollectionState {
    return database.diagnostics.fail(
        error.NoSpace,
        "there is no more room for the file, and nothing in it could go: it is empty, keeps " ++
            "what a Database stored, or readers of older states hold it; close snapshots, let " ++
            "other handles read again, or allow more bytes",
        .{},
    );
}

/// The collection with most bytes of vectors that could go; null where none could.
fn findLargest(
    transaction: *Transaction,
    only: ?u32,
    held: *const HeldStates,
) Error!?*CollectionState {
    var largest: ?*CollectionState = null;
    var most: u64 = 0;
    for (0..transaction.working.root.catalogue_len) |index| {
        if (only) |asked| if (index != asked) continue;
        const source = transaction.source();
        const state = try transaction.working.collection(source, @intCast(index)) orelse continue;
        if (state.identity.keeps_rows) continue;
        const bytes = try rowsNotHeld(transaction, state, held) * state.vectorStride();
        if (bytes <= most) continue;
        largest = state;
        most = bytes;
    }
    return largest;
}

fn rowsNotHeld(
    transaction: *Transaction,
    state: *CollectionState,
    held: *const HeldStates,
) Error!u64 {
    if (held.len == 0) return state.live_rows;
    var rows: u64 = 0;
    var next: u32 = 0;
    while (try state.nextSegment(transaction.gpa, transaction.source(), next)) |segment| {
        const disk = &segment.disk;
        next = disk.id + 1;
        if (held.needs(disk.born, transaction.writer.transaction_id)) continue;
        rows += disk.rows - disk.dead_rows;
    }
    return rows;
}

/// How full a file with a maximum is.
pub const Survey = struct {
    /// What rows have to leave free, so that the rows of any collection can be deleted.
    reserved_pages: u64 = other_pages,
    /// What all rows take, and those of the collection that has most of those that could go.
    bytes: u64 = 0,
    most: u64 = 0,
    /// What those take that could not.
    kept: u64 = 0,

    const other_pages = 24;
    /// Of the index, at least.
    const rows_per_page = 64;

    /// For a write of so many rows.
    pub fn of(transaction: *Transaction, new_rows: u64) Error!Survey {
        var survey: Survey = .{};
        survey.reserved_pages += new_rows / rows_per_page;
        for (0..transaction.working.root.catalogue_len) |index| {
            const source = transaction.source();
            const state = try transaction.working.collection(source, @intCast(index)) orelse
                continue;
            // The index's, and one of tombstones for each segment; what they replace may be needed
            // yet.
            survey.reserved_pages += 2 * @as(u64, state.index_pages) + state.segment_array_len;
            const bytes = eviction.bytesOf(state.live_rows, state.identity.dimension);
            survey.bytes += bytes;
            if (state.identity.keeps_rows)
                survey.kept += bytes
            else
                survey.most = @max(survey.most, bytes);
        }
        return survey;
    }

    /// Whether the collection had better give up rows of its own than take more room.
    pub fn isItsTurn(survey: *const Survey, state: *const CollectionState, file_bytes: u64) bool {
        const bytes = eviction.bytesOf(state.live_rows, state.identity.dimension);
        return bytes == survey.most and survey.bytes >= eviction.roomForRows(file_bytes);
    }
};
