//! From a key to its row: the key index names the candidates of its hash, and their stored keys
//! tell which of them it is.

const std = @import("std");
const collection_state = @import("collection_state.zig");
const format = @import("format.zig");
const key_index = @import("key_index.zig");
const Access = @import("access.zig").Access;
const Appender = @import("appender.zig").Appender;
const Error = @import("errors.zig").Error;
const VectorRun = @import("vector_run.zig").VectorRun;

const CollectionState = collection_state.CollectionState;
const Location = format.Location;
const SegmentState = collection_state.SegmentState;

/// Where a live row was found.
pub const Place = struct {
    state: *CollectionState,
    segment: *SegmentState,
    row: u32,
    location: Location,
    expiry_ms: i64,
    cost: u32,
};

/// The live row of a key.
pub fn find(access: *Access, key: []const u8) Error!?Place {
    return findHashed(access, access.keyHash(key), key);
}

pub fn findHashed(access: *Access, key_hash: u64, key: []const u8) Error!?Place {
    return findIn(access, try access.currentState(), null, key_hash, key);
}

/// `run` knows how to read rows that follow each other.
pub fn findIn(
    access: *const Access,
    state: *CollectionState,
    run: ?*const VectorRun,
    key_hash: u64,
    key: []const u8,
) Error!?Place {
    const database = access.database();
    const candidates = try key_index.find(access.source(), state.index, key_hash);
    for (candidates.slice()) |candidate| {
        const location = Location.fromInt(candidate);
        const segment = try segmentAt(access, state, location);
        const reader = if (run) |rows|
            rows.readerOf(location)
        else
            database.reader(database.scratch);
        const record = try reader.record(state, segment, location.row);
        if (!std.mem.eql(u8, record.key, key)) continue;
        if (access.isOver(record.expiry_ms)) return null;
        return .{
            .state = state,
            .segment = segment,
            .row = location.row,
            .location = location,
            .expiry_ms = record.expiry_ms,
            .cost = record.cost,
        };
    }
    return null;
}

/// A row that the key index names, its time over or not.
pub const Located = struct { location: Location, expiry_ms: i64 };

/// The row of a key in the middle of a transaction, where it may not be written yet.
pub fn findForWrite(
    access: *const Access,
    appender: *Appender,
    key_hash: u64,
    key: []const u8,
) Error!?Located {
    const database = access.database();
    const state = appender.state;
    const source = appender.transaction.source();
    const candidates = try key_index.find(source, state.index, key_hash);
    for (candidates.slice()) |candidate| {
        const location = Location.fromInt(candidate);
        if (appender.isUnwritten(location)) try appender.flush();
        const segment = try segmentAt(access, state, location);
        const record = try database.reader(database.scratch).record(state, segment, location.row);
        if (!std.mem.eql(u8, record.key, key)) continue;
        return .{ .location = location, .expiry_ms = record.expiry_ms };
    }
    return null;
}

/// True where the newest state still has a row that was seen there: rows never change, so the place
/// is proof.
pub fn isStillAt(access: *Access, key_hash: u64, location: Location) Error!bool {
    const state = try access.currentState();
    const candidates = try key_index.find(access.source(), state.index, key_hash);
    return std.mem.indexOfScalar(u64, candidates.slice(), location.toInt()) != null;
}

pub fn segmentAt(
    access: *const Access,
    state: *CollectionState,
    location: Location,
) Error!*SegmentState {
    const segment = try state.loadSegment(access.gpa, access.source(), location.segment);
    if (segment) |found| {
        const is_own = location.generation == found.disk.generation;
        if (is_own and location.row < found.disk.rows) return found;
    }
    return access.fail(
        error.Corrupt,
        "the index names row {d} of segment {d}, which does not exist; the file is " ++
            "damaged, restore a backup or salvage() it",
        .{ location.row, location.segment },
    );
}
