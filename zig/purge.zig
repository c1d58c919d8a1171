//! Deleting the rows whose time is over, in parts: beside what is written anyway, and for whoever
//! asks for it.

const std = @import("std");
const burial = @import("burial.zig");
const live_filter = @import("live_filter.zig");
const Access = @import("access.zig").Access;
const Departures = @import("departures.zig").Departures;
const Error = @import("errors.zig").Error;
const Filter = @import("filter.zig").Filter;
const Transaction = @import("transaction.zig").Transaction;

const rows_at_once = 4096;

pub const Purge = struct {
    /// When such rows were last looked for; 0 where there are more.
    looked_ms: i64 = 0,

    /// As a part of another write, at most once a second.
    pub fn whenDue(
        purge: *Purge,
        access: *Access,
        transaction: *Transaction,
        departures: *Departures,
    ) Error!void {
        const state = try access.currentState();
        if (!state.has_expiry) return;
        const now_ms = access.database().system.wallMs();
        const is_recent = now_ms >= purge.looked_ms and now_ms - purge.looked_ms < interval_ms;
        if (is_recent) return;
        const buried = try deletePart(access, transaction, departures, now_ms);
        purge.looked_ms = if (buried == rows_at_once) 0 else now_ms;
    }
    const interval_ms = 1000;
};

/// In a transaction of its own, which is not begun where there is nothing to delete; says how many
/// went.
pub fn sweep(access: *Access, departures: *Departures) Error!u32 {
    const database = try access.writable();
    if (database.transaction != null) return 0;
    try database.enterRead();
    if (!(try access.currentState()).has_expiry) return 0;
    const now_ms = database.system.wallMs();
    {
        var arena: std.heap.ArenaAllocator = .init(access.gpa);
        defer arena.deinit();
        const over = try filterOver(access, arena.allocator(), now_ms);
        var matches = try live_filter.matchesOf(access, over);
        defer matches.deinit();
        try matches.findAll();
        if (matches.count == 0) return 0;
    }
    // Somebody else who is writing deletes them too.
    try database.beginAtOnce();
    errdefer |err| database.failWrite(true, err);
    const buried = try deletePart(access, database.transaction.?, departures, now_ms);
    try database.commit();
    return buried;
}

fn deletePart(
    access: *Access,
    transaction: *Transaction,
    departures: *Departures,
    now_ms: i64,
) Error!u32 {
    var arena: std.heap.ArenaAllocator = .init(access.gpa);
    defer arena.deinit();
    const over = try filterOver(access, arena.allocator(), now_ms);
    const buried = try burial.buryWhere(access, transaction, over, rows_at_once);
    departures.open.expirations += buried;
    if (buried < rows_at_once) try forgetExpiry(access, transaction, arena.allocator());
    return buried;
}

/// Without any row that will be over, reading need not ask for it. Where there is one it is found
/// soon; where there is none this is the last time that all are looked at.
fn forgetExpiry(
    access: *Access,
    transaction: *Transaction,
    arena: std.mem.Allocator,
) Error!void {
    const ever = try filterOver(access, arena, std.math.maxInt(i64));
    var matches = try live_filter.matchesOf(access, ever);
    defer matches.deinit();
    if (!try matches.any()) (try access.editable(transaction)).has_expiry = false;
}

fn filterOver(access: *Access, arena: std.mem.Allocator, now_ms: i64) Error!*const Filter {
    const database = access.database();
    const filter = arena.create(Filter) catch return database.outOfMemory();
    filter.* = Filter.over(arena, now_ms) catch return database.outOfMemory();
    return filter;
}
