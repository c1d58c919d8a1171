//! The documents of the block of columns that is being filled. They stay in memory from one write
//! to the next, so that whoever writes the last row of a block need not read the others back.
//!
//! A row's place does not tell what was written there: a rollback, or another connection, may have
//! put another row into it. So what is kept counts only along an unbroken chain of commits of this
//! connection: it is forgotten with every rollback, and where a transaction starts from a state
//! that is not the last one of this connection.

const std = @import("std");

pub const OpenColumns = struct {
    gpa: std.mem.Allocator,
    /// The last own commit; the chain goes on from it.
    chain: u64 = 0,
    place: ?Place = null,
    /// The first row whose document is kept; those behind it follow.
    first: u32 = 0,
    documents: std.ArrayList(u8) = .empty,
    /// Of each, where it ends.
    ends: std.ArrayList(u32) = .empty,

    pub const Place = struct { collection: u32, segment: u32, generation: u32 };

    const kept_bytes_max = 1 << 20;

    pub fn deinit(open: *OpenColumns) void {
        open.documents.deinit(open.gpa);
        open.ends.deinit(open.gpa);
        open.* = undefined;
    }

    pub fn bytes(open: *const OpenColumns) u64 {
        return open.documents.capacity + open.ends.capacity * @sizeOf(u32);
    }

    pub fn forget(open: *OpenColumns) void {
        open.place = null;
    }

    /// A transaction starts from the state of `base`.
    pub fn begin(open: *OpenColumns, base: u64) void {
        if (open.chain != base) open.forget();
    }

    /// What this connection has written is the state of `transaction_id` now.
    pub fn commit(open: *OpenColumns, transaction_id: u64) void {
        open.chain = transaction_id;
    }

    /// Keeps the document of the next row of a block of `block_rows`. What does not fit is not
    /// kept, and that is no failure.
    pub fn push(
        open: *OpenColumns,
        place: Place,
        row: u32,
        block_rows: u32,
        document: []const u8,
    ) void {
        const next = open.first + @as(u32, @intCast(open.ends.items.len));
        const goes_on = std.meta.eql(open.place, place) and row == next;
        if (!goes_on or row % block_rows == 0) {
            open.place = place;
            open.first = row;
            open.documents.clearRetainingCapacity();
            open.ends.clearRetainingCapacity();
        }
        open.add(document) catch open.forget();
    }

    /// The row has another document now.
    pub fn replace(open: *OpenColumns, place: Place, row: u32, document: []const u8) void {
        const old = open.get(place, row) orelse return;
        open.put(row - open.first, old.len, document) catch open.forget();
    }

    fn put(
        open: *OpenColumns,
        index: usize,
        old_len: usize,
        document: []const u8,
    ) error{OutOfMemory}!void {
        const ends = open.ends.items;
        const start = ends[index] - old_len;
        if (open.documents.items.len - old_len + document.len > kept_bytes_max) {
            return error.OutOfMemory;
        }
        try open.documents.replaceRange(open.gpa, start, old_len, document);
        for (ends[index..]) |*end| end.* = @intCast(end.* - old_len + document.len);
    }

    fn add(open: *OpenColumns, document: []const u8) error{OutOfMemory}!void {
        const end = open.documents.items.len + document.len;
        if (end > kept_bytes_max) return error.OutOfMemory;
        try open.documents.appendSlice(open.gpa, document);
        try open.ends.append(open.gpa, @intCast(end));
    }

    /// Valid until the next `push`; null where it is not kept.
    pub fn get(open: *const OpenColumns, place: Place, row: u32) ?[]const u8 {
        if (!std.meta.eql(open.place, place) or row < open.first) return null;
        const index = row - open.first;
        if (index >= open.ends.items.len) return null;
        const start = if (index == 0) 0 else open.ends.items[index - 1];
        return open.documents.items[start..open.ends.items[index]];
    }
};

test "documents are kept along a chain of own commits" {
    var open: OpenColumns = .{ .gpa = std.testing.allocator };
    defer open.deinit();
    const place: OpenColumns.Place = .{ .collection = 1, .segment = 0, .generation = 0 };
    open.begin(7);
    open.push(place, 30, 32, "x");
    open.push(place, 31, 32, "yz");
    open.commit(8);
    open.begin(8);
    try std.testing.expectEqualStrings("x", open.get(place, 30).?);
    try std.testing.expectEqualStrings("yz", open.get(place, 31).?);
    try std.testing.expectEqual(null, open.get(place, 29));
    const elsewhere: OpenColumns.Place = .{ .collection = 2, .segment = 0, .generation = 0 };
    try std.testing.expectEqual(null, open.get(elsewhere, 30));
    open.push(place, 32, 32, "new block");
    try std.testing.expectEqual(null, open.get(place, 31));
    try std.testing.expectEqualStrings("new block", open.get(place, 32).?);
    open.begin(9);
    try std.testing.expectEqual(null, open.get(place, 32));
}

test "a document that was replaced is what is kept" {
    var open: OpenColumns = .{ .gpa = std.testing.allocator };
    defer open.deinit();
    const place: OpenColumns.Place = .{ .collection = 1, .segment = 0, .generation = 0 };
    for ([_][]const u8{ "first", "", "third" }, 32..) |document, row| {
        open.push(place, @intCast(row), 32, document);
    }
    open.replace(place, 32, "1");
    open.replace(place, 33, "second");
    open.replace(place, 31, "of another block");
    for ([_][]const u8{ "1", "second", "third" }, 32..) |document, row| {
        try std.testing.expectEqualStrings(document, open.get(place, @intCast(row)).?);
    }
    open.replace(place, 33, "x" ** (1 << 20));
    try std.testing.expectEqual(null, open.get(place, 32));
}

test "a row that does not follow the kept ones begins anew" {
    var open: OpenColumns = .{ .gpa = std.testing.allocator };
    defer open.deinit();
    const place: OpenColumns.Place = .{ .collection = 1, .segment = 0, .generation = 0 };
    open.push(place, 1, 32, "a");
    open.push(place, 3, 32, "b");
    try std.testing.expectEqual(null, open.get(place, 1));
    try std.testing.expectEqualStrings("b", open.get(place, 3).?);
}
