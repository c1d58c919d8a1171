//! Giving a row other metadata, within a transaction: by an amendment where its segment has room
//! for one, and else by writing the row anew.

const lookup = @import("lookup.zig");
const Access = @import("access.zig").Access;
const Amender = @import("amender.zig").Amender;
const Error = @import("errors.zig").Error;
const Place = lookup.Place;
const Row = @import("appender.zig").Row;
const Transaction = @import("transaction.zig").Transaction;

/// Of the row at `place`, which is that of the key.
pub fn change(
    access: *Access,
    transaction: *Transaction,
    place: *const Place,
    key: []const u8,
    metadata: []const u8,
) Error!void {
    const database = access.database();
    const reader = database.reader(database.scratch);
    const record = try reader.record(place.state, place.segment, place.row);
    const amender: Amender = .{
        .gpa = access.gpa,
        .transaction = transaction,
        .state = try access.editable(transaction),
        .column_memory = &database.column_memory,
    };
    const is_amended = try amender.amend(place.location, .{
        .key = key,
        .expiry_ms = record.expiry_ms,
        .metadata = metadata,
        .old_metadata_bytes = record.metadata_bytes,
    });
    if (!is_amended) try rewrite(access, transaction, place, key, metadata);
}

/// Adds the row anew, with the same vector and other metadata.
fn rewrite(
    access: *Access,
    transaction: *Transaction,
    place: *const Place,
    key: []const u8,
    metadata: []const u8,
) Error!void {
    const database = access.database();
    const state = try access.editable(transaction);
    const segment = try lookup.segmentAt(access, state, place.location);
    const vector = access.gpa.alloc(f32, access.dimension()) catch return database.outOfMemory();
    defer access.gpa.free(vector);
    const reader = database.reader(database.scratch);
    try reader.vector(state, segment, place.row, vector);
    const entry = try reader.entry(state, segment, place.row);
    var appender = database.appenderFor(transaction, state);
    defer appender.deinit();
    appender.expected_rows = 1;
    var mover = database.moverFor(&appender);
    defer mover.deinit();
    const new = try appender.append(.{
        .key = key,
        .metadata = metadata,
        .vector = vector,
        .inverse_norm = entry.inverse_norm,
        .expiry_ms = place.expiry_ms,
        .cost = place.cost,
    });
    try transaction.replaceRow(state, access.keyHash(key), place.location, new);
    try mover.pay();
    try appender.flush();
}
