//! What was replaced of a segment's rows since they were written, as one state has it. Metadata is
//! replaced by another record in the segment's heap, which a page of amendments names; the row's
//! vector, its entry and its place stay as they are.
//!
//! Decoded when the segment is loaded, so that whoever reads a row needs no page. Blocks are shared
//! by all states in which they are the same, and counted; a transaction edits copies of its own,
//! and turns them into pages when it is sealed.

const std = @import("std");
const errors = @import("errors.zig");
const format = @import("format.zig");
const page_array = @import("page_array.zig");
const row_set = @import("row_set.zig");
const PageRef = format.PageRef;
const PageWriter = @import("page_writer.zig").PageWriter;
const Source = @import("key_index.zig").Source;

const Error = errors.Error;
const rows_per_block = format.amendment_rows_per_page;

/// One page.
pub const Block = struct {
    references: u32 = 1,
    /// The page that it was read from or written to; none before.
    page: PageRef = .none,
    page_born: u64 = 0,
    /// Private to the running transaction, and not as `page` says any more.
    is_changed: bool = false,
    records: [rows_per_block]u64,
    columns: format.ColumnEntry = .none,
    /// Rows that were amended after the columns were made.
    stale: row_set.Rows = row_set.none,

    fn release(block: *Block, gpa: std.mem.Allocator) void {
        block.references -= 1;
        if (block.references == 0) gpa.destroy(block);
    }
};

pub const Amendments = struct {
    /// By number of page; empty where the segment has none.
    blocks: []?*Block = &.{},

    /// `older` is what is known of an earlier state of the segment: pages that are still the same
    /// are not read again.
    pub fn load(
        gpa: std.mem.Allocator,
        source: Source,
        disk: *const format.Segment,
        older: ?*const Amendments,
    ) Error!Amendments {
        var found: Amendments = .{};
        if (disk.amendments.isNone()) return found;
        errdefer found.release(gpa);
        const count = format.amendmentPages(disk.capacity);
        found.makeRoom(gpa, count) catch return outOfMemory(source);
        var next: u32 = 0;
        while (try page_array.next(source, disk.amendments, count, next)) |index| {
            next = index + 1;
            const ref = try page_array.get(source, disk.amendments, count, index);
            found.blocks[index] = knownBlock(older, index, ref) orelse
                try loadBlock(gpa, source, ref);
        }
        return found;
    }

    fn knownBlock(older: ?*const Amendments, index: u32, ref: PageRef) ?*Block {
        const others = older orelse return null;
        if (index >= others.blocks.len) return null;
        const block = others.blocks[index] orelse return null;
        if (!block.page.eql(ref) or block.is_changed) return null;
        block.references += 1;
        return block;
    }

    fn loadBlock(gpa: std.mem.Allocator, source: Source, ref: PageRef) Error!*Block {
        const page: *const format.AmendmentPage = @ptrCast(try source.load(ref));
        if (page.header.type != .amendments) {
            return source.corrupt(ref, "is not a page of amendments");
        }
        const block = gpa.create(Block) catch return outOfMemory(source);
        block.* = .{
            .page = ref,
            .page_born = page.header.transaction_id,
            .records = page.records,
            .columns = page.columns,
            .stale = page.stale,
        };
        return block;
    }

    fn makeRoom(found: *Amendments, gpa: std.mem.Allocator, count: u32) error{OutOfMemory}!void {
        if (found.blocks.len > 0) return;
        found.blocks = try gpa.alloc(?*Block, count);
        @memset(found.blocks, null);
    }

    pub fn clone(found: *const Amendments, gpa: std.mem.Allocator) error{OutOfMemory}!Amendments {
        const blocks = try gpa.dupe(?*Block, found.blocks);
        for (blocks) |maybe| if (maybe) |block| {
            block.references += 1;
        };
        return .{ .blocks = blocks };
    }

    pub fn release(found: *Amendments, gpa: std.mem.Allocator) void {
        for (found.blocks) |maybe| if (maybe) |block| block.release(gpa);
        gpa.free(found.blocks);
        found.* = undefined;
    }

    /// Null where all that is on the row's page is as it was written.
    pub fn blockOf(found: *const Amendments, row: u32) ?*const Block {
        const index = row / rows_per_block;
        return if (index < found.blocks.len) found.blocks[index] else null;
    }

    /// Where the record lies that took the place of the row's own; null where none did.
    pub fn recordOf(found: *const Amendments, row: u32) ?u64 {
        const block = found.blockOf(row) orelse return null;
        const offset = block.records[row % rows_per_block];
        return if (offset == 0) null else offset;
    }

    /// The entry of the row's block of columns that took the place of the one in the fixed extent;
    /// null where none did.
    pub fn columnsOf(found: *const Amendments, row: u32) ?*const format.ColumnEntry {
        const block = found.blockOf(row) orelse return null;
        return if (std.meta.eql(block.columns, format.ColumnEntry.none)) null else &block.columns;
    }

    /// The block of the row, private to the transaction that the segment is private to.
    pub fn edit(
        found: *Amendments,
        gpa: std.mem.Allocator,
        capacity: u32,
        row: u32,
    ) error{OutOfMemory}!*Block {
        try found.makeRoom(gpa, format.amendmentPages(capacity));
        const place = &found.blocks[row / rows_per_block];
        if (place.*) |block| {
            if (block.references > 1) {
                const copy = try gpa.create(Block);
                copy.* = block.*;
                copy.references = 1;
                block.release(gpa);
                place.* = copy;
            }
        } else {
            const block = try gpa.create(Block);
            // No default of the field: so many zeros would be a part of the library.
            block.* = .{ .records = undefined };
            @memset(&block.records, 0);
            place.* = block;
        }
        place.*.?.is_changed = true;
        return place.*.?;
    }

    /// Turns what was changed into pages; the descriptor leads to them.
    pub fn seal(found: *Amendments, writer: *PageWriter, disk: *format.Segment) Error!void {
        var len = format.amendmentPages(disk.capacity);
        for (found.blocks, 0..) |maybe, index| {
            const block = maybe orelse continue;
            if (!block.is_changed) continue;
            if (!block.page.isNone()) try writer.discard(block.page, block.page_born);
            const page = try writer.create(.amendments, 0);
            const out = page.as(format.AmendmentPage);
            out.records = block.records;
            out.columns = block.columns;
            out.stale = block.stale;
            block.page = page.seal();
            block.page_born = writer.transaction_id;
            block.is_changed = false;
            try page_array.set(writer, &disk.amendments, &len, @intCast(index), block.page);
        }
    }

    /// Whether a page has that number or a higher one.
    pub fn hasPageFrom(found: *const Amendments, disk: *const format.Segment, first: u32) bool {
        if (disk.amendments.page >= first) return true;
        for (found.blocks) |maybe| if (maybe) |block| {
            if (block.page.page >= first) return true;
        };
        return false;
    }

    /// Pages from that number on get others when they are sealed. Says how many they are.
    pub fn relocate(
        found: *Amendments,
        gpa: std.mem.Allocator,
        writer: *PageWriter,
        disk: *format.Segment,
        first: u32,
    ) Error!u32 {
        var count: u32 = 0;
        for (found.blocks, 0..) |maybe, index| {
            const block = maybe orelse continue;
            if (block.page.page < first) continue;
            const row: u32 = @intCast(index * rows_per_block);
            _ = found.edit(gpa, disk.capacity, row) catch return writer.outOfMemory();
            count += 1;
        }
        const len = format.amendmentPages(disk.capacity);
        const is_moved = try page_array.relocate(writer, &disk.amendments, len, first);
        return count + @intFromBool(is_moved);
    }

    /// Leaves all pages.
    pub fn leave(found: *const Amendments, writer: *PageWriter, disk: *format.Segment) Error!void {
        var len = format.amendmentPages(disk.capacity);
        for (found.blocks, 0..) |maybe, index| {
            const block = maybe orelse continue;
            if (block.page.isNone()) continue;
            try writer.discard(block.page, block.page_born);
            try page_array.set(writer, &disk.amendments, &len, @intCast(index), .none);
        }
    }

    fn outOfMemory(source: Source) Error {
        return source.cache.diagnostics.failOs(error.OutOfMemory, "reading a segment");
    }
};

test "a block is copied when somebody else has it too" {
    const gpa = std.testing.allocator;
    var first: Amendments = .{};
    defer first.release(gpa);
    (try first.edit(gpa, 600, 300)).records[300 - 256] = 77;
    var second = try first.clone(gpa);
    defer second.release(gpa);
    (try second.edit(gpa, 600, 300)).records[300 - 256] = 88;
    try std.testing.expectEqual(77, first.recordOf(300));
    try std.testing.expectEqual(88, second.recordOf(300));
    try std.testing.expectEqual(null, second.recordOf(299));
    try std.testing.expectEqual(null, second.recordOf(599));
}
