//! The columns of a block of rows, as they lie in the file: for each field and each kind of value
//! in it the rows that have one, the distinct values, and which row has which
//! (docs/file-format.md).
//!
//! Bytes may come from a file that somebody forged. Each part is held against the block's length
//! when it is asked for; parts that nobody asks for are not looked at. Values may still lie: codes
//! that name no value, a dictionary that is not sorted. Those give wrong rows, and nothing worse.
//!
//! Pure; allocates nothing. Nothing has to be aligned.

const std = @import("std");
const document = @import("document.zig");
const format = @import("format.zig");
const row_set = @import("row_set.zig");
const text_marks = @import("text_marks.zig");

const Kind = document.Kind;
const masks = text_marks.masks;
const Rows = row_set.Rows;
const Error = error{Malformed};

pub const Block = struct {
    bytes: []const u8,
    row_count: u16,
    /// `format.Column`s.
    directory: []const u8,
    /// Whether a field without a column may be in some row all the same.
    has_left_out: bool,

    /// No bytes are the columns of rows without fields.
    pub fn open(bytes: []const u8, row_count: u32) Error!Block {
        if (row_count > format.column_block_rows) return error.Malformed;
        var block: Block = .{
            .bytes = bytes,
            .row_count = @intCast(row_count),
            .directory = "",
            .has_left_out = false,
        };
        if (bytes.len == 0) return block;
        const header = std.mem.bytesToValue(
            format.ColumnBlock,
            try slice(bytes, 0, @sizeOf(format.ColumnBlock)),
        );
        block.bytes = try slice(bytes, 0, header.byte_count);
        const directory_bytes = @as(usize, header.column_count) * @sizeOf(format.Column);
        block.directory = try slice(block.bytes, header.directory_offset, directory_bytes);
        block.has_left_out = header.has_left_out != 0;
        return if (header.row_count == row_count) block else error.Malformed;
    }

    /// Every row.
    pub fn rows(block: *const Block) Rows {
        return row_set.first(block.row_count);
    }

    /// The columns of one field. Where `guess` is the first of them they are found at once; it
    /// becomes what it should have been.
    pub fn find(block: *const Block, name: []const u8, guess: *u32) Error!Columns {
        if (!try block.beginsAt(guess.*, name)) guess.* = try block.lowerBound(name);
        const is_there = try block.beginsAt(guess.*, name);
        const index = if (is_there) guess.* else block.columnCount();
        return .{ .block = block, .first = index, .index = index };
    }

    fn beginsAt(block: *const Block, index: u32, name: []const u8) Error!bool {
        if (index >= block.columnCount()) return false;
        const found = block.entry(index);
        if (!std.mem.eql(u8, try block.nameOf(found), name)) return false;
        // The columns of a field have its name in common.
        return index == 0 or block.entry(index - 1).name_offset != found.name_offset;
    }

    fn lowerBound(block: *const Block, name: []const u8) Error!u32 {
        var low: u32 = 0;
        var high = block.columnCount();
        while (low < high) {
            const middle = low + (high - low) / 2;
            const other = try block.nameOf(block.entry(middle));
            const is_before = document.nameOrder(other, name) == .lt;
            if (is_before) low = middle + 1 else high = middle;
        }
        return low;
    }

    fn columnCount(block: *const Block) u32 {
        return @intCast(block.directory.len / @sizeOf(format.Column));
    }

    fn entry(block: *const Block, index: usize) *align(1) const format.Column {
        const bytes = block.directory[index * @sizeOf(format.Column) ..];
        return std.mem.bytesAsValue(format.Column, bytes[0..@sizeOf(format.Column)]);
    }

    fn nameOf(block: *const Block, of: *align(1) const format.Column) Error![]const u8 {
        return slice(block.bytes, of.name_offset, of.name_bytes);
    }
};

/// What is fetched from memory for a block that is asked later. Each of these is found by the one
/// before it, so they are fetched in this order, and other blocks are asked in between.
pub const Stage = enum { header, directory, values };

/// Fetches one of them, for the field whose first column `guess` is said to be. What is wrong with
/// the block does no harm, since nothing is believed.
pub fn fetch(bytes: []const u8, stage: Stage, guess: u32) void {
    if (stage == .header) return fetchLines(bytes, 0, 1);
    const header_bytes = slice(bytes, 0, @sizeOf(format.ColumnBlock)) catch return;
    const header = std.mem.bytesToValue(format.ColumnBlock, header_bytes);
    const place = @as(usize, header.directory_offset) + @as(usize, guess) * @sizeOf(format.Column);
    if (stage == .directory) return fetchLines(bytes, place, 2);
    const entry_bytes = slice(bytes, place, @sizeOf(format.Column)) catch return;
    const entry = std.mem.bytesToValue(format.Column, entry_bytes);
    fetchLines(bytes, entry.name_offset, 1);
    fetchLines(bytes, entry.codes_offset, format.column_block_rows / line_bytes + 1);
    const is_number = entry.kind == @intFromEnum(Kind.number);
    if (!is_number) return fetchLines(bytes, entry.dictionary_offset, text_lines);
    // Where a search by halves looks first.
    const eighth = @as(usize, entry.value_count) * @sizeOf(f64) / 8;
    for (0..8) |part| fetchLines(bytes, entry.dictionary_offset + part * eighth, 1);
}

/// Dictionaries of texts are mostly shorter.
const text_lines = 8;

const line_bytes = std.atomic.cache_line;

fn fetchLines(bytes: []const u8, offset: usize, count: usize) void {
    for (0..count) |line| {
        const at = offset + line * line_bytes;
        if (at < bytes.len) @prefetch(bytes.ptr + at, .{});
    }
}

/// One for each kind that the field has in some row.
pub const Columns = struct {
    block: *const Block,
    first: u32,
    index: u32,

    pub fn next(columns: *Columns) Error!?Column {
        const block = columns.block;
        if (columns.index == block.columnCount()) return null;
        const entry = block.entry(columns.index);
        if (entry.name_offset != block.entry(columns.first).name_offset) return null;
        columns.index += 1;
        return .{
            .block = block,
            .entry = entry.*,
            .kind = std.enums.fromInt(Kind, entry.kind) orelse return error.Malformed,
        };
    }
};

pub const Column = struct {
    block: *const Block,
    entry: format.Column,
    kind: Kind,

    /// Those with a value of the column's kind.
    pub fn rows(column: *const Column) Error!Rows {
        const all = column.block.rows();
        if (column.entry.rows_offset == 0) return all;
        return @as(row_set.Words, try column.bitmap(column.entry.rows_offset)) & all;
    }

    /// Rows with arrays of which the column has not every element.
    pub fn unknown(column: *const Column) Error!Rows {
        if (column.entry.unknown_offset == 0) return row_set.none;
        return column.bitmap(column.entry.unknown_offset);
    }

    /// The values, or elements, of a column of numbers or strings, or of arrays of these.
    pub fn dictionary(column: *const Column) Error!Dictionary {
        const bytes = try column.from(column.entry.dictionary_offset);
        const count: u32 = column.entry.value_count;
        const is_text = column.kind == .string or column.kind == .strings;
        return if (is_text) .{
            .count = count,
            .fixed = try slice(bytes, 0, (count + 1) * @sizeOf(u16)),
            .text = bytes[(count + 1) * @sizeOf(u16) ..],
        } else .{
            .count = count,
            .fixed = try slice(bytes, 0, count * @sizeOf(f64)),
            .text = null,
        };
    }

    /// Of a column of numbers or strings with more than one value: for each row of the block the
    /// index of its value, or, where the column is sparse, for each row that has one.
    pub fn codes(column: *const Column) Error![]const u8 {
        const bytes = try column.from(column.entry.codes_offset);
        const count = if (column.isSparse()) column.entry.row_count else column.block.row_count;
        return slice(bytes, 0, count);
    }

    pub fn isSparse(column: *const Column) bool {
        return format.isSparse(column.entry.row_count, column.block.row_count);
    }

    /// The rows of arrays that have an element.
    pub fn rowsOf(column: *const Column, element: u32) Error!Rows {
        std.debug.assert(element < column.entry.value_count);
        const bytes = try column.from(column.entry.codes_offset);
        const offsets_bytes = (@as(usize, column.entry.value_count) + 1) * @sizeOf(u16);
        const offsets = try slice(bytes, 0, offsets_bytes);
        const list = try between(offsets, element, bytes[offsets_bytes..]);
        if (list.len == format.column_bitmap_bytes) return std.mem.bytesToValue(Rows, list);
        var found = row_set.none;
        for (list) |row| row_set.insert(&found, row);
        return found;
    }

    fn bitmap(column: *const Column, offset: u32) Error!Rows {
        return std.mem.bytesToValue(Rows, try slice(column.block.bytes, offset, @sizeOf(Rows)));
    }

    fn from(column: *const Column, offset: u32) Error![]const u8 {
        return slice(column.block.bytes, offset, column.block.bytes.len -| offset);
    }
};

/// Distinct values, sorted.
pub const Dictionary = struct {
    count: u32,
    /// Numbers, or where each text begins, and where the last one ends.
    fixed: []const u8,
    text: ?[]const u8,

    /// Where a value is, or would be.
    pub const Place = struct {
        index: u32,
        found: enum {
            no,
            yes,
            /// A long string: what is there is how it begins, and other strings may begin so too.
            perhaps,
        },
    };

    /// `value` is a number or a string, as the values are.
    pub fn find(dictionary: *const Dictionary, value: document.Value) Error!Place {
        switch (value) {
            .number => |number| {
                const index = dictionary.numberBound(number);
                const is_found = index < dictionary.count and dictionary.numberAt(index) == number;
                return .{ .index = index, .found = if (is_found) .yes else .no };
            },
            .string => |whole| {
                const cut = whole[0..@min(whole.len, format.column_text_bytes_max + 1)];
                const index = try dictionary.textBound(cut);
                const is_found = index < dictionary.count and
                    std.mem.eql(u8, try dictionary.textAt(index), cut);
                if (!is_found) return .{ .index = index, .found = .no };
                return .{ .index = index, .found = if (isCut(cut)) .perhaps else .yes };
            },
            else => return error.Malformed,
        }
    }

    /// Behind the last text that begins with `prefix`, which is no longer than texts are; `start`
    /// is where it would be itself.
    pub fn prefixEnd(dictionary: *const Dictionary, start: u32, prefix: []const u8) Error!u32 {
        var low = start;
        var high = dictionary.count;
        while (low < high) {
            const middle = low + (high - low) / 2;
            const is_inside = std.mem.startsWith(u8, try dictionary.textAt(middle), prefix);
            if (is_inside) low = middle + 1 else high = middle;
        }
        return low;
    }

    pub fn numberAt(dictionary: *const Dictionary, index: u32) f64 {
        const bytes = dictionary.fixed[index * @sizeOf(f64) ..];
        return std.mem.bytesToValue(f64, bytes[0..@sizeOf(f64)]);
    }

    pub fn textAt(dictionary: *const Dictionary, index: u32) Error![]const u8 {
        return between(dictionary.fixed, index, dictionary.text orelse return error.Malformed);
    }

    /// The texts that may be marked, by their indices: no more than rows of a block.
    pub fn marked(dictionary: *const Dictionary, marks: *const text_marks.TextMarks) Error!Rows {
        std.debug.assert(dictionary.count <= format.column_block_rows);
        const texts = dictionary.text orelse return error.Malformed;
        const offsets = std.mem.bytesAsSlice(u16, dictionary.fixed);
        var found = row_set.none;
        var start: usize = offsets[0];
        var first: usize = 1;
        for (&found) |*word| {
            const ends = offsets[first..@min(first + 64, offsets.len)];
            first += ends.len;
            for (ends, 0..) |end, index| {
                if (start > end or end > texts.len) return error.Malformed;
                const is_likely: u64 = @intFromBool(marks.mayHave(texts, start, end));
                word.* |= is_likely << @truncate(index);
                start = end;
            }
        }
        return found;
    }

    /// Whether a text stands for every string that begins with it.
    pub fn isCut(text: []const u8) bool {
        return text.len > format.column_text_bytes_max;
    }

    /// The first number that is not below `value`.
    fn numberBound(dictionary: *const Dictionary, value: f64) u32 {
        var low: u32 = 0;
        var high = dictionary.count;
        while (low < high) {
            const middle = low + (high - low) / 2;
            if (dictionary.numberAt(middle) < value) low = middle + 1 else high = middle;
        }
        return low;
    }

    /// The first text that is not before `value`.
    fn textBound(dictionary: *const Dictionary, value: []const u8) Error!u32 {
        const head = document.textHead(value);
        var low = try dictionary.headBound(head);
        // There may be more with the same head.
        var high = dictionary.count;
        if (low == high or !try dictionary.isBefore(low, head, value)) return low;
        low += 1;
        while (low < high) {
            const middle = low + (high - low) / 2;
            if (try dictionary.isBefore(middle, head, value)) low = middle + 1 else high = middle;
        }
        return low;
    }

    fn isBefore(
        dictionary: *const Dictionary,
        index: u32,
        head: u64,
        value: []const u8,
    ) Error!bool {
        const text = try dictionary.textAt(index);
        const other = document.textHead(text);
        if (other != head) return other < head;
        return document.textOrderBehind(text, value) == .lt;
    }

    /// The first text whose head is not below `head`. A filter with a set of strings spends most of
    /// its time here, so nothing is checked twice: the offsets are all there (`dictionary`), and
    /// any of them is fine as long as eight bytes follow.
    fn headBound(dictionary: *const Dictionary, head: u64) Error!u32 {
        @setRuntimeSafety(false);
        const bytes = dictionary.text orelse return error.Malformed;
        var low: u32 = 0;
        var high = dictionary.count;
        while (low < high) {
            const middle = low + (high - low) / 2;
            const place = dictionary.fixed[middle * @sizeOf(u16) ..][0 .. 2 * @sizeOf(u16)];
            const start, const end = std.mem.bytesToValue([2]u16, place);
            const other = if (@as(usize, start) + 8 <= bytes.len)
                std.mem.readInt(u64, bytes[start..][0..8], .big) & masks[@min(end -% start, 8)]
            else
                document.textHead(try dictionary.textAt(middle));
            if (other < head) low = middle + 1 else high = middle;
        }
        return low;
    }
};

fn slice(bytes: []const u8, offset: usize, length: usize) Error![]const u8 {
    if (offset > bytes.len or length > bytes.len - offset) return error.Malformed;
    return bytes[offset..][0..length];
}

/// The part of `bytes` from one offset to the next.
fn between(offsets: []const u8, index: usize, bytes: []const u8) Error![]const u8 {
    const pair_bytes = offsets[index * @sizeOf(u16) ..][0 .. 2 * @sizeOf(u16)];
    const pair = std.mem.bytesToValue([2]u16, pair_bytes);
    if (pair[0] > pair[1]) return error.Malformed;
    return slice(bytes, pair[0], pair[1] - pair[0]);
}

const testing = std.testing;
const build = @import("column_builder.zig").build;

const TestColumns = struct {
    bytes: std.ArrayList(u8) = .empty,
    block: Block = undefined,

    fn init(columns: *TestColumns, documents: []const []const u8) !void {
        try build(testing.allocator, documents, &columns.bytes);
        columns.block = try .open(columns.bytes.items, @intCast(documents.len));
    }

    fn deinit(columns: *TestColumns) void {
        columns.bytes.deinit(testing.allocator);
    }
};

fn numberBytes(comptime value: f64) *const [8]u8 {
    return comptime &@as([8]u8, @bitCast(value));
}

test "a field has a column for each kind, with the rows of that kind" {
    var columns: TestColumns = .{};
    defer columns.deinit();
    try columns.init(&.{
        "\x01a\x03" ++ numberBytes(5), "",
        "\x01a\x04\x01x",              "\x01a\x03" ++ numberBytes(-1),
        "\x02bb\x02\x01a\x00",
    });
    var guess: u32 = 0;
    var of_a = try columns.block.find("a", &guess);
    const empty = (try of_a.next()).?;
    try testing.expectEqual(.null, empty.kind);
    try testing.expectEqual(0b10000, (try empty.rows())[0]);
    const numbers = (try of_a.next()).?;
    try testing.expectEqual(.number, numbers.kind);
    try testing.expectEqual(0b1001, (try numbers.rows())[0]);
    try testing.expectEqualSlices(u8, &.{ 1, 0, 0, 0, 0 }, try numbers.codes());
    const values = try numbers.dictionary();
    try testing.expectEqual(-1, values.numberAt(0));
    try testing.expectEqual(5, values.numberAt(1));
    try testing.expectEqual(.string, (try of_a.next()).?.kind);
    try testing.expectEqual(null, try of_a.next());
    var of_nothing = try columns.block.find("b", &guess);
    try testing.expectEqual(null, try of_nothing.next());
    // Wherever somebody guesses that they are, the same are found.
    for (0..6) |wrong| for ([_][]const u8{ "a", "bb" }, [_]u32{ 0, 3 }, [_]u32{ 3, 1 }) |
        name,
        first,
        count,
    | {
        guess = @intCast(wrong);
        var found = try columns.block.find(name, &guess);
        try testing.expectEqual(first, guess);
        var sum: u32 = 0;
        while (try found.next()) |_| sum += 1;
        try testing.expectEqual(count, sum);
    };
}

test "the elements of arrays have lists of rows" {
    var columns: TestColumns = .{};
    defer columns.deinit();
    try columns.init(&.{
        "\x01a\x05\x03\x01y\x01x\x01y",
        "\x01a\x05\x01\x01y",
        "\x01a\x05\x00",
        "\x01a\x05\x41" ++ "\x01z" ** 65,
    });
    var guess: u32 = 0;
    var fields = try columns.block.find("a", &guess);
    const column = (try fields.next()).?;
    const values = try column.dictionary();
    try testing.expectEqual(2, values.count);
    const x = try values.find(.{ .string = "x" });
    const y = try values.find(.{ .string = "y" });
    try testing.expectEqual(0b01, (try column.rowsOf(x.index))[0]);
    try testing.expectEqual(0b11, (try column.rowsOf(y.index))[0]);
    try testing.expectEqual(0b1111, (try column.rows())[0]);
    try testing.expectEqual(0b1000, (try column.unknown())[0]);
}

test "of a long string there is the beginning" {
    const long = "l" ** 140;
    var columns: TestColumns = .{};
    defer columns.deinit();
    try columns.init(&.{"\x01a\x04\x8C\x01" ++ long});
    var guess: u32 = 0;
    var fields = try columns.block.find("a", &guess);
    const values = try (try fields.next()).?.dictionary();
    try testing.expectEqual(.perhaps, (try values.find(.{ .string = long })).found);
    try testing.expectEqual(.perhaps, (try values.find(.{ .string = long ++ "l" })).found);
    try testing.expectEqual(.no, (try values.find(.{ .string = long[0..128] })).found);
}

test "texts are found among others that begin like them, whatever their length" {
    const gpa = testing.allocator;
    const texts = [_][]const u8{
        "",             "a",         "ab",         "abcd",      "abcdefg", "abcdefgh",
        "abcdefgh\x00", "abcdefgha", "abcdefghab", "abcdefghb", "abd",     "b\x00",
        "\xFF" ** 7,    "\xFF" ** 9,
    };
    var documents: [texts.len][]const u8 = undefined;
    defer for (documents) |one| gpa.free(one);
    for (texts, &documents) |text, *one| {
        const start = [_]u8{ 1, 'a', 4, @intCast(text.len) };
        one.* = try std.mem.concat(gpa, u8, &.{ &start, text });
    }
    var columns: TestColumns = .{};
    defer columns.deinit();
    try columns.init(&documents);
    var guess: u32 = 0;
    var fields = try columns.block.find("a", &guess);
    const values = try (try fields.next()).?.dictionary();
    for (texts, 0..) |text, index| {
        const there: Dictionary.Place = .{ .index = @intCast(index), .found = .yes };
        try testing.expectEqual(there, try values.find(.{ .string = text }));
        const longer = try std.mem.concat(gpa, u8, &.{ text, "\x00" });
        defer gpa.free(longer);
        for (texts, 0..) |other, bound| {
            if (document.textOrder(other, longer) == .lt) continue;
            try testing.expectEqual(bound, (try values.find(.{ .string = longer })).index);
            break;
        }
    }
}

test "columns of other rows, and columns that are cut, are not opened" {
    var columns: TestColumns = .{};
    defer columns.deinit();
    try columns.init(&.{ "\x01a\x00", "\x01a\x00" });
    const bytes = columns.bytes.items;
    try testing.expectError(error.Malformed, Block.open(bytes, 1));
    try testing.expectError(error.Malformed, Block.open(bytes, format.column_block_rows + 1));
    for (1..bytes.len) |length| {
        try testing.expectError(error.Malformed, Block.open(bytes[0..length], 2));
    }
}

test "fetching ahead believes nothing" {
    var bytes: [128]u8 = @splat(0xFF);
    for ([_]usize{ 0, 8, @sizeOf(format.ColumnBlock), bytes.len }) |len| {
        for (std.enums.values(Stage)) |stage| fetch(bytes[0..len], stage, 7);
    }
    // A directory that lies within, and columns that do not.
    std.mem.bytesAsValue(format.ColumnBlock, bytes[0..@sizeOf(format.ColumnBlock)])
        .directory_offset = 16;
    fetch(&bytes, .values, 0);
    fetch(&bytes, .values, std.math.maxInt(u32));
}
