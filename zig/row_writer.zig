//! Writing rows by their keys, one after the other, within a transaction. Where a collection has a
//! maximum others make room for them; what is buried is paid for by moving some that stay.

const limits = @import("limits.zig");
const lookup = @import("lookup.zig");
const Access = @import("access.zig").Access;
const Departures = @import("departures.zig").Departures;
const Error = @import("errors.zig").Error;
const Eviction = @import("eviction.zig").Eviction;
const Mover = @import("compaction.zig").Mover;
const Row = @import("appender.zig").Row;

pub const RowWriter = struct {
    access: *Access,
    mover: *Mover,
    /// Of a collection that has a maximum.
    eviction: ?*Eviction,
    departures: *Departures,

    /// Inserts the row, or replaces the one that its key has.
    pub fn put(writer: RowWriter, row: Row) Error!void {
        const mover = writer.mover;
        const appender = mover.appender;
        const transaction = appender.transaction;
        const state = appender.state;
        const key_hash = writer.access.keyHash(row.key);
        const old = try lookup.findForWrite(writer.access, appender, key_hash, row.key);
        if (writer.eviction) |eviction| {
            if (old != null) {
                eviction.recency.read(key_hash);
            } else {
                const now_ms = writer.access.database().system.wallMs();
                writer.departures.open.add(try eviction.makeRoom(mover, now_ms));
                eviction.recency.enter(key_hash);
            }
        }
        const new = try appender.append(row);
        if (old) |found| {
            try transaction.replaceRow(state, key_hash, found.location, new);
            try mover.pay();
        } else try transaction.indexOf(state).insert(key_hash, new.toInt());
        if (appender.isFull()) try appender.flush();
        try writer.spillIfMany();
    }

    /// Whether the key had a row whose time was not over.
    pub fn delete(writer: RowWriter, key: []const u8) Error!bool {
        const access = writer.access;
        const appender = writer.mover.appender;
        const transaction = appender.transaction;
        const key_hash = access.keyHash(key);
        const found = try lookup.findForWrite(access, appender, key_hash, key) orelse return false;
        const is_there = !access.isOver(found.expiry_ms);
        // The first row that is found makes the state private to the transaction.
        appender.state = try access.editable(transaction);
        try transaction.removeRow(appender.state, key_hash, found.location);
        try writer.mover.pay();
        try writer.spillIfMany();
        return is_there;
    }

    /// A large batch does not keep every page in memory that it changes.
    fn spillIfMany(writer: RowWriter) Error!void {
        const appender = writer.mover.appender;
        const transaction = appender.transaction;
        if (transaction.writer.dirty.count() < limits.dirty_pages_max) return;
        try appender.flush();
        try transaction.spill();
    }
};
