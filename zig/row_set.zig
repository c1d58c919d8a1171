//! Sets of the rows of one block, a bit for each: bit r of word r / 64.

const std = @import("std");
const format = @import("format.zig");

pub const Rows = [format.column_block_rows / 64]u64;

/// For what is done to all words at once. Coerces from `Rows` and to it.
pub const Words = @Vector(@typeInfo(Rows).array.len, u64);

pub const none: Rows = @splat(0);

/// The rows below `row_count`.
pub fn first(row_count: u32) Rows {
    var rows = none;
    for (&rows, 0..) |*word, i| {
        const left = row_count -| @as(u32, @intCast(i)) * 64;
        word.* = if (left >= 64) ~@as(u64, 0) else (@as(u64, 1) << @intCast(left)) - 1;
    }
    return rows;
}

pub fn insert(rows: *Rows, row: u8) void {
    rows[row / 64] |= @as(u64, 1) << @truncate(row);
}

pub fn contains(rows: *const Rows, row: u8) bool {
    return rows[row / 64] >> @truncate(row) & 1 != 0;
}

pub fn isEmpty(rows: Words) bool {
    return @reduce(.Or, rows) == 0;
}

pub fn count(rows: *const Rows) u32 {
    var sum: u32 = 0;
    for (rows) |word| sum += @popCount(word);
    return sum;
}

/// The first row from `start` on that is in the set; behind the last one where there is none.
pub fn nextIn(rows: *const Rows, start: u32) u32 {
    return nextBit(rows, start, 0);
}

/// The first one that is not in the set.
pub fn nextOutside(rows: *const Rows, start: u32) u32 {
    return nextBit(rows, start, ~@as(u64, 0));
}

fn nextBit(rows: *const Rows, start: u32, flip: u64) u32 {
    var at = start;
    while (at < format.column_block_rows) {
        const left = (rows[at / 64] ^ flip) >> @truncate(at);
        if (left != 0) return at + @ctz(left);
        at = (at / 64 + 1) * 64;
    }
    return at;
}

/// In ascending order.
pub fn iterate(rows: *const Rows) Iterator {
    return .{ .left = rows.* };
}

pub const Iterator = struct {
    left: Rows,
    word: u8 = 0,

    pub fn next(iterator: *Iterator) ?u8 {
        while (iterator.word < iterator.left.len) : (iterator.word += 1) {
            const left = &iterator.left[iterator.word];
            if (left.* == 0) continue;
            const row = iterator.word * 64 + @ctz(left.*);
            left.* &= left.* - 1;
            return row;
        }
        return null;
    }
};

/// Gives the bits of `dense`, from the lowest on, to the rows of a set in their order.
pub fn spread(rows: *const Rows, dense: u64) Rows {
    var out = none;
    var bits = dense;
    for (rows, &out) |word, *to| {
        var left = word;
        while (left != 0) : (left &= left - 1) {
            // The lowest row that is left, where its bit is set.
            to.* |= (left & (0 -% left)) & (0 -% (bits & 1));
            bits >>= 1;
        }
    }
    return out;
}

const testing = std.testing;

test "the first rows are those below a number" {
    for (0..format.column_block_rows + 1) |row_count| {
        const rows = first(@intCast(row_count));
        try testing.expectEqual(row_count, count(&rows));
        try testing.expectEqual(row_count == 0, isEmpty(rows));
        for (0..format.column_block_rows) |row| {
            try testing.expectEqual(row < row_count, contains(&rows, @intCast(row)));
        }
    }
}

test "bits are spread over the rows of a set" {
    var rows = none;
    for ([_]u8{ 3, 64, 65, 255 }) |row| insert(&rows, row);
    const out = spread(&rows, 0b1011);
    for ([_]u8{ 3, 64, 255 }) |row| try testing.expect(contains(&out, row));
    try testing.expectEqual(3, count(&out));
    for ([_]u32{ 0, 4, 65, 66, 256 }, [_]u32{ 3, 64, 65, 255, 256 }) |start, found| {
        try testing.expectEqual(found, nextIn(&rows, start));
    }
    for ([_]u32{ 0, 3, 64, 255 }, [_]u32{ 0, 4, 66, 256 }) |start, found| {
        try testing.expectEqual(found, nextOutside(&rows, start));
    }
    var left = iterate(&rows);
    for ([_]?u8{ 3, 64, 65, 255, null, null }) |row| try testing.expectEqual(row, left.next());
}
