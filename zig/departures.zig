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
    /// The collection's position in the catalogue.
    catalogue_index: u32,
    committed: Counts = .{},
    /// Of the running transaction.
    open: Counts = .{},
    /// Where rows made room: about how many there is room for.
    rows_fitting: ?u64 = null,

    /// Of whoever has that collection open.
    pub fn of(list: *const std.DoublyLinkedList, catalogue_index: u32) ?*Departures {
        var node = list.first;
        while (node) |at| : (node = at.next) {
            const departures: *Departures = @fieldParentPtr("node", at);
            if (departures.catalogue_index == catalogue_index) return departures;
        }
        return null;
    }

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
    var departures: Departures = .{ .catalogue_index = 3 };
    list.append(&departures.node);
    try std.testing.expectEqual(null, Departures.of(&list, 2));
    Departures.of(&list, 3).?.open.add(.{ .evictions = 2 });
    Departures.settleAll(&list, .undone);
    departures.open.add(.{ .evictions = 1, .expirations = 3 });
    Departures.settleAll(&list, .committed);
    Departures.settleAll(&list, .committed);
    try std.testing.expectEqual(Counts{ .evictions = 1, .expirations = 3 }, departures.committed);
}
