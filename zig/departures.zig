//! How many rows left a collection that nobody had deleted: counted once it is committed that they
//! did.

const std = @import("std");

pub const Counts = struct {
    /// Rows that made room for others.
    evictions: u64 = 0,
    /// Rows whose time was over.
    expirations: u64 = 0,

    pub fn add(counts: *Counts, more: Counts) void {
        counts.evictions += more.evictions;
        counts.expirations += more.expirations;
    }
};

/// Of one handle, in the list of those of its database.
pub const Departures = struct {
    node: std.DoublyLinkedList.Node = .{},
    committed: Counts = .{},
    /// Of the running transaction.
    open: Counts = .{},

    /// At the end of a transaction.
    pub fn settleAll(list: *const std.DoublyLinkedList, outcome: enum { committed, undone }) void {
        var node = list.first;
        while (node) |at| : (node = at.next) {
            const departures: *Departures = @fieldParentPtr("node", at);
            if (outcome == .committed) departures.committed.add(departures.open);
            departures.open = .{};
        }
    }
};

test "what is undone is not counted" {
    var list: std.DoublyLinkedList = .{};
    var departures: Departures = .{};
    list.append(&departures.node);
    departures.open.add(.{ .evictions = 2 });
    Departures.settleAll(&list, .undone);
    departures.open.add(.{ .evictions = 1, .expirations = 3 });
    Departures.settleAll(&list, .committed);
    Departures.settleAll(&list, .committed);
    try std.testing.expectEqual(Counts{ .evictions = 1, .expirations = 3 }, departures.committed);
}
