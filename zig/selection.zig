//! The rows of one segment that somebody is looking for: those that are alive and, where there is a
//! filter, match it.

const std = @import("std");
const errors = @import("errors.zig");
const format = @import("format.zig");
const limits = @import("limits.zig");
const row_set = @import("row_set.zig");
const Error = errors.Error;
const SegmentState = @import("collection_state.zig").SegmentState;
const Source = @import("key_index.zig").Source;

pub const Selection = struct {
    /// Bit r mod 64 of word r / 64 is row r. Up to the end of a block of columns all are set: no
    /// row is beyond the last one.
    words: [limits.segment_rows_max / 64]u64 = undefined,
    /// The rows of the segment.
    rows: u32 = 0,

    /// All rows that are alive.
    pub fn load(selection: *Selection, source: Source, segment: *const SegmentState) Error!void {
        const count = segment.disk.rows;
        selection.rows = count;
        @memset(selection.words[0 .. count / 64], std.math.maxInt(u64));
        const rest = std.mem.alignForward(u32, count, format.column_block_rows) / 64;
        @memset(selection.words[count / 64 .. rest], 0);
        if (count % 64 != 0) {
            selection.words[count / 64] = (@as(u64, 1) << @intCast(count % 64)) - 1;
        }
        for (segment.disk.tombstones, 0..) |ref, index| {
            const first = index * format.tombstone_rows_per_page;
            if (ref.isNone() or first >= count) continue;
            const page: *const format.TombstonePage = @ptrCast(try source.load(ref));
            if (page.header.type != .tombstones) return source.corrupt(
                ref,
                "is not a tombstone page",
            );
            const dead = std.mem.bytesAsSlice(u64, &page.bits);
            const words = selection.words[first / 64 .. wordsFor(count)];
            for (words[0..@min(words.len, dead.len)], 0..) |*word, i| {
                word.* &= ~std.mem.littleToNative(u64, dead[i]);
            }
        }
    }

    comptime {
        std.debug.assert(format.tombstone_rows_per_page % 64 == 0);
        std.debug.assert(limits.segment_rows_max % format.column_block_rows == 0);
    }

    pub fn wordsFor(rows: u32) u32 {
        return (rows + 63) / 64;
    }

    /// Only those stay that are in `words` as well.
    pub fn keepOnly(selection: *Selection, words: []const u64) void {
        for (selection.words[0..wordsFor(selection.rows)], words) |*word, other| word.* &= other;
    }

    pub fn has(selection: *const Selection, row: u32) bool {
        return selection.words[row / 64] >> @intCast(row % 64) & 1 != 0;
    }

    /// Of the 32 rows from `first` on, a multiple of 32.
    pub fn hasAny(selection: *const Selection, first: u32) bool {
        const word = selection.words[first / 64];
        return @as(u32, @truncate(word >> @intCast(first % 64))) != 0;
    }

    /// The bits of blocks of 32 rows, from the one that begins with `first`.
    pub fn blocksFrom(selection: *const Selection, first: u32) [*]const u32 {
        comptime std.debug.assert(@import("builtin").cpu.arch.endian() == .little);
        const blocks: [*]const u32 = @ptrCast(&selection.words);
        return blocks + first / format.code_block_rows;
    }

    /// From `first` up to `end`.
    pub fn countIn(selection: *const Selection, first: u32, end: u32) u32 {
        var total: u32 = 0;
        var row = first;
        while (row < end) {
            const part = @min(64 - row % 64, end - row);
            const mask = @as(u64, std.math.maxInt(u64)) >> @intCast(64 - part);
            total += @popCount(selection.words[row / 64] >> @intCast(row % 64) & mask);
            row += part;
        }
        return total;
    }

    /// The lowest row that is at least `from`; null where there is none before `end`.
    pub fn next(selection: *const Selection, from: u32, end: u32) ?u32 {
        var row = from;
        while (row < end) {
            const bits = selection.words[row / 64] >> @intCast(row % 64);
            if (bits != 0) {
                const found = row + @ctz(bits);
                return if (found < end) found else null;
            }
            row = (row / 64 + 1) * 64;
        }
        return null;
    }

    /// The rows of the block of columns that begins with `first`.
    pub fn columnBlock(selection: *Selection, first: u32) *row_set.Rows {
        return selection.words[first / 64 ..][0..@typeInfo(row_set.Rows).array.len];
    }
};

test "rows are counted and found within words and across them" {
    var selection: Selection = .{ .rows = 130 };
    @memset(selection.words[0..4], 0);
    const block = selection.columnBlock(0);
    for ([_]u8{ 0, 31, 32, 63, 64, 129 }) |row| row_set.insert(block, row);
    try std.testing.expectEqual(6, selection.countIn(0, 130));
    try std.testing.expectEqual(3, selection.countIn(32, 96));
    try std.testing.expectEqual(64, selection.next(64, 130).?);
    try std.testing.expectEqual(129, selection.next(65, 130).?);
    try std.testing.expectEqual(null, selection.next(65, 129));
    try std.testing.expect(selection.hasAny(32) and !selection.hasAny(96));
    try std.testing.expect(selection.has(32) and !selection.has(33));
}
