//! The collections of a file by their names: finding one, making one where there is none, listing
//! all, dropping one, and giving it another name.

const std = @import("std");
const limits = @import("limits.zig");
const room = @import("room.zig");
const collection_state = @import("collection_state.zig");
const CollectionOptions = @import("collection_options.zig").CollectionOptions;
const Database = @import("database.zig").Database;
const Error = @import("errors.zig").Error;
const Scope = @import("scope.zig").Scope;
const Transaction = @import("transaction.zig").Transaction;

const CollectionState = collection_state.CollectionState;
const Identity = collection_state.Identity;

/// `NotFound` where there is none, and none may be made.
pub fn findOrCreate(
    scope: Scope,
    name: []const u8,
    options: *const CollectionOptions,
) Error!*CollectionState {
    if (try scope.view().find(scope.source(), name)) |state| return state;
    const database = scope.parent();
    if (scope == .snapshot or !options.create or database.options.readonly) return error.NotFound;
    const own = try database.beginImplicit();
    errdefer |err| database.failWrite(own, err);
    const transaction = database.transaction.?;
    // Another process may have made it since.
    const existing = try transaction.working.find(transaction.source(), name);
    if (existing == null) try room.checkHolds(database, options.newDimension());
    const state = existing orelse try create(transaction, name, options);
    const index = state.catalogue_index;
    if (!own) return state;
    try database.commit();
    return (try database.current.collection(database.source(), index)) orelse error.Closed;
}

fn create(
    transaction: *Transaction,
    name: []const u8,
    options: *const CollectionOptions,
) Error!*CollectionState {
    const identity = transaction.gpa.create(Identity) catch
        return transaction.diagnostics.failOs(error.OutOfMemory, "creating a collection");
    identity.* = .{
        .id = transaction.working.root.next_collection_id,
        .made_by = transaction.writer.transaction_id,
        .dimension = options.newDimension(),
        .metric = @intFromEnum(options.metric orelse .cosine),
        .keeps_rows = options.keeps_rows,
        .name_len = @intCast(name.len),
        .model_len = @intCast(options.model.len),
    };
    @memcpy(identity.name_buffer[0..name.len], name);
    @memcpy(identity.model_buffer[0..options.model.len], options.model);
    return transaction.createCollection(identity);
}

/// False where there is no such collection.
pub fn drop(database: *Database, name: []const u8) Error!bool {
    const own = try database.beginImplicit();
    errdefer |err| database.failWrite(own, err);
    const transaction = database.transaction.?;
    const found = try transaction.working.find(transaction.source(), name) orelse {
        if (own) database.rollback();
        return false;
    };
    const state = (try transaction.editable(found.catalogue_index)).?;
    try transaction.dropCollection(state);
    if (own) try database.commit();
    return true;
}

pub const Renamed = enum { done, missing, taken };

/// Where there is no collection `from`, or another one has the name `to`, nothing is changed.
pub fn rename(database: *Database, from: []const u8, to: []const u8) Error!Renamed {
    const is_sound = to.len > 0 and to.len <= limits.collection_name_bytes_max;
    if (!is_sound) return database.diagnostics.fail(
        error.InvalidArgument,
        "the collection's new name has {d} bytes of UTF-8, expected 1 to {d}",
        .{ to.len, limits.collection_name_bytes_max },
    );
    const own = try database.beginImplicit();
    errdefer |err| database.failWrite(own, err);
    const transaction = database.transaction.?;
    const source = transaction.source();
    const found = try transaction.working.find(source, from);
    const other = try transaction.working.find(source, to);
    if (found == null or other != null) {
        if (own) database.rollback();
        if (found == null) return .missing;
        return if (std.mem.eql(u8, from, to)) .done else .taken;
    }
    const state = (try transaction.editable(found.?.catalogue_index)).?;
    try transaction.renameCollection(state, to);
    if (own) try database.commit();
    return .done;
}

/// Writes the names of all collections to `out`, each as its length (u32) and its UTF-8, in the
/// order of their creation. `BufferTooSmall` says in `needed` how many bytes they take.
pub fn names(scope: Scope, out: []u8, needed: *usize) Error!usize {
    const database = try scope.enterRead();
    const view = scope.view();
    const source = scope.source();
    var used: usize = 0;
    var index: u32 = 0;
    while (index < view.root.catalogue_len) : (index += 1) {
        const state = try view.collection(source, index) orelse continue;
        const name = state.identity.name();
        const end = used + @sizeOf(u32) + name.len;
        if (end <= out.len) {
            std.mem.writeInt(u32, out[used..][0..4], @intCast(name.len), .little);
            @memcpy(out[used + 4 .. end], name);
        }
        used = end;
    }
    needed.* = used;
    if (used > out.len) return database.diagnostics.fail(
        error.BufferTooSmall,
        "the names take {d} bytes",
        .{used},
    );
    return used;
}
