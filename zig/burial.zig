//! Deleting the rows that match a filter, within a transaction.

const format = @import("format.zig");
const limits = @import("limits.zig");
const live_filter = @import("live_filter.zig");
const Access = @import("access.zig").Access;
const Error = @import("errors.zig").Error;
const Filter = @import("filter.zig").Filter;
const Matches = @import("matches.zig").Matches;
const Mover = @import("compaction.zig").Mover;
const Transaction = @import("transaction.zig").Transaction;

/// At most so many of them; says how many they were.
pub fn buryWhere(
    access: *Access,
    transaction: *Transaction,
    filter: *const Filter,
    rows_max: u32,
) Error!u32 {
    var matches = try live_filter.matchesOf(access, filter);
    defer matches.deinit();
    try matches.findAll();
    if (matches.count == 0) return 0;
    const database = access.database();
    const state = try access.editable(transaction);
    var appender = database.appenderFor(transaction, state);
    defer appender.deinit();
    var mover = database.moverFor(&appender);
    defer mover.deinit();
    const buried = try bury(access, &mover, &matches, rows_max);
    // Not before all are buried: rows that move would be in other places then.
    for (0..buried) |_| try mover.pay();
    try appender.flush();
    return buried;
}

fn bury(access: *const Access, mover: *Mover, matches: *const Matches, rows_max: u32) Error!u32 {
    const transaction = mover.appender.transaction;
    const state = mover.appender.state;
    var buried: u32 = 0;
    var next: ?Matches.Row = matches.first();
    while (next) |place| : (next = matches.after(place)) {
        const segment = try state.loadSegment(
            access.gpa,
            transaction.source(),
            place.segment,
        ) orelse return access.fail(
            // It went with the last row that it says it has.
            error.Corrupt,
            "segment {d} has more rows than it says; the file is damaged, restore a backup " ++
                "or salvage() it",
            .{place.segment},
        );
        const location: format.Location = .of(&segment.disk, place.row);
        const record = try mover.reader.record(state, segment, place.row);
        try transaction.removeRow(state, access.keyHash(record.key), location);
        buried += 1;
        if (buried == rows_max) break;
        if (transaction.writer.dirty.count() < limits.dirty_pages_max) continue;
        try transaction.spill();
    }
    return buried;
}
