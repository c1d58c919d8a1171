//! Columns of the last rows of a segment, which have none in the file before their block is full.
//! They are made in memory when filters ask for the same rows a second time, so that those who
//! write and ask by turns do not make columns for nothing.
//!
//! What a row was written with never changes, so columns of rows that were not amended hold in
//! every state that has these rows.

const std = @import("std");
const column_block = @import("column_block.zig");
const column_builder = @import("column_builder.zig");
const filter_columns = @import("filter_columns.zig");
const format = @import("format.zig");
const row_set = @import("row_set.zig");
const Filter = @import("filter.zig").Filter;
const Verdict = filter_columns.Verdict;

pub const LooseColumns = struct {
    /// The first row of the block.
    first: u32 = 0,
    /// Of the block, those whose documents the columns are made of.
    rows: row_set.Rows = row_set.none,
    row_count: u32 = 0,
    columns: std.ArrayList(u8) = .empty,
    /// How many rows the segment had when documents were last asked, and when there were too many
    /// bytes of them.
    asked_at: u32 = 0,
    refused_at: u32 = 0,

    /// Of the rows of the block that begins with `first`.
    pub fn evaluate(loose: *const LooseColumns, filter: *const Filter, first: u32) Verdict {
        if (loose.row_count == 0 or loose.first != first) return .unknown;
        const block = column_block.Block.open(loose.columns.items, loose.row_count) catch
            return .unknown;
        const found = filter_columns.evaluate(filter, &block);
        const rows: row_set.Words = loose.rows;
        return .{ .yes = rows & found.yes, .maybe = ~rows | found.maybe };
    }

    /// Documents of the segment's last rows, which are so many, are about to be read. Whether
    /// columns should be made of them.
    pub fn ask(loose: *LooseColumns, segment_rows: u32) bool {
        defer loose.asked_at = segment_rows;
        return loose.asked_at == segment_rows and loose.refused_at != segment_rows;
    }

    /// The documents are those of `rows`, in their order.
    pub fn build(
        loose: *LooseColumns,
        gpa: std.mem.Allocator,
        first: u32,
        rows: *const row_set.Rows,
        documents: *const Documents,
    ) error{OutOfMemory}!void {
        loose.row_count = 0;
        if (documents.is_full) {
            loose.refused_at = loose.asked_at;
            return;
        }
        // No constant: it would have 256 pointers for the loader to fill in.
        var of_rows: [format.column_block_rows][]const u8 = undefined;
        @memset(&of_rows, "");
        var row_count: u32 = 0;
        var start: u32 = 0;
        var number: usize = 0;
        var each = row_set.iterate(rows);
        while (each.next()) |row| : (number += 1) {
            const end = documents.ends[number];
            of_rows[row] = documents.bytes.items[start..end];
            start = end;
            row_count = @as(u32, row) + 1;
        }
        loose.columns.clearRetainingCapacity();
        column_builder.build(gpa, of_rows[0..row_count], &loose.columns) catch |err| switch (err) {
            error.OutOfMemory => return error.OutOfMemory,
            error.Malformed => return,
        };
        loose.first = first;
        loose.rows = rows.*;
        loose.row_count = row_count;
    }

    /// Rows of the segment are others now. Memory stays for the next ones.
    pub fn forget(loose: *LooseColumns) void {
        loose.row_count = 0;
        loose.asked_at = 0;
        loose.refused_at = 0;
    }

    pub fn deinit(loose: *LooseColumns, gpa: std.mem.Allocator) void {
        loose.columns.deinit(gpa);
        loose.* = undefined;
    }
};

/// What columns are made of. More than some kilobytes are not kept.
pub const Documents = struct {
    bytes: std.ArrayList(u8) = .empty,
    /// Of each, where it ends.
    ends: [format.column_block_rows]u32 = undefined,
    count: u32 = 0,
    is_full: bool = false,

    const bytes_max = 128 * 1024;

    pub fn add(
        documents: *Documents,
        gpa: std.mem.Allocator,
        document: []const u8,
    ) error{OutOfMemory}!void {
        if (documents.bytes.items.len + document.len > bytes_max) documents.is_full = true;
        if (documents.is_full) return;
        try documents.bytes.appendSlice(gpa, document);
        documents.ends[documents.count] = @intCast(documents.bytes.items.len);
        documents.count += 1;
    }

    pub fn clear(documents: *Documents) void {
        documents.bytes.clearRetainingCapacity();
        documents.count = 0;
        documents.is_full = false;
    }

    pub fn deinit(documents: *Documents, gpa: std.mem.Allocator) void {
        documents.bytes.deinit(gpa);
        documents.* = undefined;
    }
};

const testing = std.testing;

/// Asks for documents with a field `a`, in the rows 0 to 2 of the block.
fn expectVerdict(loose: *const LooseColumns, first: u32, yes: u64, maybe: u64) !void {
    var arena: std.heap.ArenaAllocator = .init(testing.allocator);
    defer arena.deinit();
    const filter: Filter = try .parse(arena.allocator(), "\x01\x10\x01a");
    const verdict = loose.evaluate(&filter, first);
    try testing.expectEqual(yes, verdict.yes[0] & 0b111);
    try testing.expectEqual(maybe, verdict.maybe[0] & 0b111);
}

test "columns are made the second time, and know nothing of rows that came later or were left out" {
    const gpa = testing.allocator;
    var loose: LooseColumns = .{};
    defer loose.deinit(gpa);
    var documents: Documents = .{};
    defer documents.deinit(gpa);
    try testing.expect(!loose.ask(514));
    try testing.expect(loose.ask(514));
    try documents.add(gpa, "\x01a\x02");
    try loose.build(gpa, 512, &.{ 0b10, 0, 0, 0 }, &documents);
    try expectVerdict(&loose, 512, 0b010, 0b101);
    try expectVerdict(&loose, 256, 0, 0b111);
    try testing.expect(!loose.ask(515));
    loose.forget();
    try expectVerdict(&loose, 512, 0, 0b111);
    try testing.expect(!loose.ask(515));
}

test "documents that are large are not kept, and no one tries again before there are others" {
    const gpa = testing.allocator;
    var loose: LooseColumns = .{};
    defer loose.deinit(gpa);
    var documents: Documents = .{};
    defer documents.deinit(gpa);
    const long = try gpa.alloc(u8, Documents.bytes_max / 2 + 1);
    defer gpa.free(long);
    @memset(long, 'x');
    for (0..2) |_| try documents.add(gpa, long);
    _ = loose.ask(2);
    try testing.expect(loose.ask(2));
    try loose.build(gpa, 0, &.{ 0b11, 0, 0, 0 }, &documents);
    try expectVerdict(&loose, 0, 0, 0b111);
    try testing.expect(!loose.ask(2));
    try testing.expect(!loose.ask(3));
    try testing.expect(loose.ask(3));
}
