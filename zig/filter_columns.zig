//! What a filter says of all rows of a block at once, by their columns. It agrees with
//! `Filter.matches` on each row that it is sure of, and says of which it is not.

const std = @import("std");
const column_block = @import("column_block.zig");
const filter_module = @import("filter.zig");
const format = @import("format.zig");
const row_set = @import("row_set.zig");

const Block = column_block.Block;
const Column = column_block.Column;
const Dictionary = column_block.Dictionary;
const Filter = filter_module.Filter;
const Node = filter_module.Node;
const Set = filter_module.Set;
const Rows = row_set.Rows;
const Words = row_set.Words;
const Error = error{Malformed};

const none: Words = row_set.none;

/// No row is in both, and rows that the block does not have are in neither.
pub const Verdict = struct {
    /// The filter is true of them.
    yes: Rows,
    /// It may be: their documents have to be asked. Of all others it is false.
    maybe: Rows,

    const nobody: Verdict = .{ .yes = row_set.none, .maybe = row_set.none };
    pub const unknown: Verdict = .{ .yes = row_set.none, .maybe = @splat(std.math.maxInt(u64)) };
};

/// Columns that are damaged make rows "maybe", so there is always an answer. Allocates nothing. By
/// one thread at a time, since they would share `guesses`.
pub fn evaluate(filter: *const Filter, block: *const Block) Verdict {
    const all = block.rows();
    return evaluateNode(filter, block, all, 0);
}

fn evaluateNode(filter: *const Filter, block: *const Block, all: Words, index: u32) Verdict {
    const node = &filter.nodes[index];
    switch (node.operator) {
        .@"and" => {
            var yes = all;
            var possible = all;
            var child = index + 1;
            while (child < node.end) : (child = filter.nodes[child].end) {
                const verdict = evaluateNode(filter, block, all, child);
                yes &= verdict.yes;
                possible &= @as(Words, verdict.yes) | verdict.maybe;
                if (row_set.isEmpty(possible)) break;
            }
            return .{ .yes = yes, .maybe = possible & ~yes };
        },
        .@"or" => {
            var yes = none;
            var possible = none;
            var child = index + 1;
            while (child < node.end) : (child = filter.nodes[child].end) {
                const verdict = evaluateNode(filter, block, all, child);
                yes |= verdict.yes;
                possible |= verdict.maybe;
                if (@reduce(.And, yes == all)) break;
            }
            return .{ .yes = yes, .maybe = possible & ~yes };
        },
        .not => {
            const verdict = evaluateNode(filter, block, all, index + 1);
            const possible = @as(Words, verdict.yes) | verdict.maybe;
            return .{ .yes = all & ~possible, .maybe = verdict.maybe };
        },
        else => {
            return leafRows(filter, node, block) catch .{ .yes = row_set.none, .maybe = all };
        },
    }
}

fn leafRows(filter: *const Filter, node: *const Node, block: *const Block) Error!Verdict {
    const name = filter.fields[node.field];
    if (name.len > format.column_name_bytes_max) return error.Malformed;
    var columns = try block.find(name, &filter.guesses[node.field]);
    var yes = none;
    var maybe = none;
    var is_there = false;
    while (try columns.next()) |column| {
        is_there = true;
        const verdict = try columnRows(node, &column);
        yes |= verdict.yes;
        maybe |= verdict.maybe;
    }
    // The field may be one of those that had no room.
    if (!is_there and block.has_left_out) return error.Malformed;
    const all: Words = block.rows();
    yes &= all;
    return .{ .yes = yes, .maybe = maybe & all & ~yes };
}

fn columnRows(node: *const Node, column: *const Column) Error!Verdict {
    const operand = node.operand;
    const is_true = switch (node.operator) {
        .exists => true,
        .eq => operand.kind() == column.kind,
        .gt, .gte, .lt, .lte, .starts_with => operand.kind() == column.kind,
        .in => switch (column.kind) {
            .null => node.set.?.has_null,
            .false => node.set.?.has_false,
            .true => node.set.?.has_true,
            .number => node.set.?.numbers.len > 0,
            .string => node.set.?.strings.len > 0,
            .strings, .numbers => false,
        },
        .contains => switch (column.kind) {
            .numbers => operand == .number,
            .strings => operand == .string,
            else => false,
        },
        .@"and", .@"or", .not => unreachable,
    };
    if (!is_true) return .nobody;
    switch (column.kind) {
        .number, .string => switch (node.operator) {
            .exists => {},
            .in => return setRows(node.set.?, column),
            else => return rangeRows(node, column),
        },
        .strings, .numbers => if (node.operator == .contains) return arrayRows(node, column),
        .null, .false, .true => {},
    }
    return .{ .yes = try column.rows(), .maybe = row_set.none };
}

/// Comparisons and `starts_with`: values in a dictionary's order make them a range of codes.
fn rangeRows(node: *const Node, column: *const Column) Error!Verdict {
    const values = try column.dictionary();
    const place = try values.find(node.operand);
    const at = place.index;
    const behind = at + @intFromBool(place.found != .no);
    const above = at + @intFromBool(place.found == .perhaps);
    const range: [2]u32 = switch (node.operator) {
        .eq => .{ above, behind },
        .gt => .{ behind, values.count },
        .gte => .{ above, values.count },
        .lt => .{ 0, at },
        .lte => .{ 0, if (place.found == .yes) behind else at },
        // A prefix as long as what a cut string begins with is found only in these.
        .starts_with => .{ above, try prefixBound(&values, place, node.operand.string) },
        else => unreachable,
    };
    const maybe = if (place.found == .perhaps) try codeRows(column, at, behind) else row_set.none;
    return .{ .yes = try codeRows(column, range[0], range[1]), .maybe = maybe };
}

fn prefixBound(values: *const Dictionary, place: Dictionary.Place, prefix: []const u8) Error!u32 {
    if (Dictionary.isCut(prefix)) return place.index;
    return values.prefixEnd(place.index, prefix);
}

/// Rows whose value has an index from `low` to below `high`.
fn codeRows(column: *const Column, low: u32, high: u32) Error!Rows {
    if (low >= high) return row_set.none;
    const rows = try column.rows();
    if (low == 0 and high >= column.entry.value_count) return rows;
    const codes = try column.codes();
    const found = codesWithin(codes, @truncate(low), @truncate(high - 1 - low));
    if (column.isSparse()) return row_set.spread(&rows, found[0]);
    return @as(Words, found) & rows;
}

/// A bit for each code from `low` to `low + width`.
fn codesWithin(codes: []const u8, low: u8, width: u8) Rows {
    var rows = row_set.none;
    const whole = codes.len / 64;
    for (rows[0..whole], 0..) |*word, i| {
        word.* = chunkWithin(codes[i * 64 ..][0..64].*, low, width);
    }
    const rest = codes[whole * 64 ..];
    if (rest.len > 0) {
        var chunk: [64]u8 = @splat(0);
        @memcpy(chunk[0..rest.len], rest);
        rows[whole] = chunkWithin(chunk, low, width);
    }
    return rows;
}

fn chunkWithin(codes: @Vector(64, u8), low: u8, width: u8) u64 {
    const distance = codes -% @as(@Vector(64, u8), @splat(low));
    return @bitCast(distance <= @as(@Vector(64, u8), @splat(width)));
}

/// More runs of codes than these are looked up row by row.
const runs_max = 2;

fn setRows(set: *const Set, column: *const Column) Error!Verdict {
    if (column.entry.value_count > format.column_block_rows) return error.Malformed;
    const values = try column.dictionary();
    // As rows have numbers, so do values: these are sets of them.
    var yes = row_set.none;
    var maybe = row_set.none;
    if (column.kind == .number) {
        try insertNumbers(set, &values, &yes);
    } else if (set.strings.len * texts_per_search <= values.count) {
        for (set.strings) |text| {
            const place = try values.find(.{ .string = text });
            if (place.found == .no) continue;
            const codes = if (place.found == .yes) &yes else &maybe;
            row_set.insert(codes, @intCast(place.index));
        }
    } else {
        try insertTexts(set, &values, &yes, &maybe);
    }
    return .{ .yes = try codeSetRows(column, &yes), .maybe = try codeSetRows(column, &maybe) };
}

/// Searching a dictionary for one string takes as long as walking by so many of its texts.
const texts_per_search = 12;

fn insertNumbers(set: *const Set, values: *const Dictionary, yes: *Rows) Error!void {
    if (set.numbers.len <= values.count) {
        for (set.numbers) |number| {
            const place = try values.find(.{ .number = number });
            if (place.found == .yes) row_set.insert(yes, @intCast(place.index));
        }
    } else for (0..values.count) |index| {
        const number = values.numberAt(@intCast(index));
        if (set.has(.{ .number = number })) row_set.insert(yes, @intCast(index));
    }
}

/// Both are sorted, so each text is looked for from where the one before it was.
fn insertTexts(set: *const Set, values: *const Dictionary, yes: *Rows, maybe: *Rows) Error!void {
    var at: usize = 0;
    var likely = row_set.iterate(&try values.marked(&set.marks));
    while (likely.next()) |index| {
        const text = try values.textAt(index);
        if (!std.mem.eql(u8, set.strings[at], text)) at = set.stringBound(at, text);
        if (at == set.strings.len) return;
        if (!std.mem.startsWith(u8, set.strings[at], text)) continue;
        if (Dictionary.isCut(text)) {
            row_set.insert(maybe, index);
        } else if (set.strings[at].len == text.len) {
            row_set.insert(yes, index);
            at += 1;
            if (at == set.strings.len) return;
        }
    }
}

/// Rows whose value's index is in `set`.
fn codeSetRows(column: *const Column, set: *const Rows) Error!Rows {
    const value_count = column.entry.value_count;
    const first = row_set.nextIn(set, 0);
    if (first >= value_count) return row_set.none;
    const first_end = row_set.nextOutside(set, first);
    if (row_set.nextIn(set, first_end) >= value_count) return codeRows(column, first, first_end);

    const rows = try column.rows();
    const codes = try column.codes();
    var found = none;
    var low = first;
    for (0..runs_max) |_| {
        const high = row_set.nextOutside(set, low);
        found |= codesWithin(codes, @truncate(low), @truncate(high - 1 - low));
        low = row_set.nextIn(set, high);
        if (low >= value_count) break;
    } else found = codesIn(codes, set);
    if (column.isSparse()) return row_set.spread(&rows, found[0]);
    return found & rows;
}

/// A bit for each code that is in `set`.
fn codesIn(codes: []const u8, set: *const Rows) Rows {
    var is_in: [format.column_block_rows]u8 = @splat(0);
    var members = row_set.iterate(set);
    while (members.next()) |code| is_in[code] = 1;
    var found: [format.column_block_rows]u8 = undefined;
    for (codes, found[0..codes.len]) |code, *one| one.* = is_in[code];
    return codesWithin(found[0..codes.len], 1, 0);
}

/// `contains`.
fn arrayRows(node: *const Node, column: *const Column) Error!Verdict {
    const values = try column.dictionary();
    const place = try values.find(node.operand);
    const rows: Words = try column.rows();
    const unknown: Words = try column.unknown();
    if (place.found == .no) return .{ .yes = row_set.none, .maybe = unknown & rows };
    const found: Words = try column.rowsOf(place.index);
    if (place.found == .perhaps) return .{ .yes = row_set.none, .maybe = (found | unknown) & rows };
    return .{ .yes = found & rows, .maybe = unknown & rows & ~found };
}

const testing = std.testing;
const build = @import("column_builder.zig").build;

/// A filter's rows of a block of three: those with bits in `yes` match, those in `maybe` may.
fn expectRows(yes: u64, maybe: u64, filter_bytes: []const u8, bytes: []const u8) !void {
    var arena: std.heap.ArenaAllocator = .init(testing.allocator);
    defer arena.deinit();
    const filter: Filter = try .parse(arena.allocator(), filter_bytes);
    const verdict = evaluate(&filter, &try .open(bytes, 3));
    try testing.expectEqual(Rows{ yes, 0, 0, 0 }, verdict.yes);
    try testing.expectEqual(Rows{ maybe, 0, 0, 0 }, verdict.maybe);
}

test "what columns do not know is told apart from what they know" {
    var bytes: std.ArrayList(u8) = .empty;
    defer bytes.deinit(testing.allocator);
    const long = "\x01a\x04\x8C\x01" ++ "l" ** 140;
    try build(testing.allocator, &.{ "\x01a\x04\x01m", long, "" }, &bytes);
    const columns = bytes.items;
    const is_m = "\x11\x01a\x04\x01m";
    const is_long = "\x11\x01a\x04\x8C\x01" ++ "l" ** 140;
    const below_long = "\x14\x01a\x04\x8D\x01" ++ "l" ** 141;
    try expectRows(0b001, 0, "\x01" ++ is_m, columns);
    try expectRows(0b110, 0, "\x01\x03" ++ is_m, columns);
    try expectRows(0, 0b010, "\x01" ++ is_long, columns);
    try expectRows(0b101, 0b010, "\x01\x03" ++ is_long, columns);
    try expectRows(0, 0b010, "\x01" ++ below_long, columns);
    try expectRows(0b001, 0b010, "\x01\x02\x02" ++ is_long ++ is_m, columns);
    try expectRows(0, 0, "\x01\x01\x02" ++ is_long ++ is_m, columns);
    try expectRows(0, 0b010, "\x01\x01\x02" ++ is_long ++ "\x10\x01a", columns);
    // Its beginning is enough for these.
    try expectRows(0b011, 0, "\x01\x13\x01a\x04\x02ll", columns);
    try expectRows(0b010, 0, "\x01\x18\x01a\x04\x02ll", columns);
}

/// A string as documents and filters have it. Every seventh is long enough to be cut.
fn stringBytes(buffer: *[136]u8, number: usize) ![]const u8 {
    const is_long = number % 7 == 0;
    const start: usize = if (is_long) 3 + 127 else 2;
    const digits = try std.fmt.bufPrint(buffer[start..], "{d}", .{number});
    const length = start + digits.len - (if (is_long) @as(usize, 3) else 2);
    if (is_long) @memset(buffer[3..start], 'l');
    buffer[0] = 4;
    buffer[1] = @intCast(if (is_long) 128 + length % 128 else length);
    if (is_long) buffer[2] = @intCast(length / 128);
    return buffer[0 .. start + digits.len];
}

test "sets of strings, few or many, agree with every document" {
    var arena_state: std.heap.ArenaAllocator = .init(testing.allocator);
    defer arena_state.deinit();
    const arena = arena_state.allocator();
    var buffer: [136]u8 = undefined;
    var documents: [200][]const u8 = undefined;
    for (&documents, 0..) |*each, row| {
        const bytes = try stringBytes(&buffer, 100 + row * 31 % 900);
        each.* = try std.mem.concat(arena, u8, &.{ "\x01a", bytes });
    }
    var columns: std.ArrayList(u8) = .empty;
    try build(arena, &documents, &columns);
    // Up to twice as many strings as the block has; every third of them is in no row.
    for ([_]usize{ 1, 2, 9, 60, 180 }) |count| {
        var bytes: std.ArrayList(u8) = .empty;
        try bytes.appendSlice(arena, "\x01\x16\x01a");
        if (count > 127) try bytes.append(arena, @intCast(count % 128 + 128));
        try bytes.append(arena, @intCast(if (count > 127) count / 128 else count));
        for (0..count) |i| {
            const number = if (i % 3 == 2) 10_000 + i else 100 + i * 17 % 900;
            try bytes.appendSlice(arena, try stringBytes(&buffer, number));
        }
        const filter: Filter = try .parse(arena, bytes.items);
        const verdict = evaluate(&filter, &try .open(columns.items, documents.len));
        for (documents, 0..) |document, row| {
            const is_open = row_set.contains(&verdict.maybe, @intCast(row));
            // Only a long string is not known.
            try testing.expect(!is_open or document.len > 128);
            if (is_open) continue;
            const is_in = row_set.contains(&verdict.yes, @intCast(row));
            try testing.expectEqual(try filter.matches(document), is_in);
        }
    }
}

test "columns that are damaged know nothing" {
    var bytes: std.ArrayList(u8) = .empty;
    defer bytes.deinit(testing.allocator);
    try build(testing.allocator, &.{ "\x01a\x02", "\x01a\x01", "" }, &bytes);
    const is_true = "\x11\x01a\x02";
    try expectRows(0b001, 0, "\x01" ++ is_true, bytes.items);
    const header = std.mem.bytesToValue(format.ColumnBlock, bytes.items[0..16]);
    // The second one is that of true.
    const second = bytes.items[header.directory_offset + @sizeOf(format.Column) ..];
    const column = std.mem.bytesAsValue(format.Column, second[0..@sizeOf(format.Column)]);
    column.rows_offset = 0xFFFF_FFF0;
    try expectRows(0, 0b111, "\x01\x03" ++ is_true, bytes.items);
    try expectRows(0b111, 0, "\x01\x03\x10\x01b", bytes.items);
}
