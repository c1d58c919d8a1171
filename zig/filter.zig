//! A filter over the metadata of rows, from the bytes that a caller's object was compiled to
//! (docs/decisions/0017-metadata-in-columns.md), and its exact answer for one document.
//!
//! Every leaf is true or false for every document: false where the field is missing or of another
//! kind. So `not` is true of a document that lacks the field.

const std = @import("std");
const document = @import("document.zig");
const expiry = @import("expiry.zig");
const format = @import("format.zig");
const limits = @import("limits.zig");

const TextMarks = @import("text_marks.zig").TextMarks;
const Value = document.Value;
const Reader = document.Reader;
const Error = error{ OutOfMemory, Malformed };

/// The first byte of every filter.
const version = 1;

pub const Operator = enum(u8) {
    @"and" = 1,
    @"or" = 2,
    not = 3,
    exists = 16,
    eq = 17,
    gt = 18,
    gte = 19,
    lt = 20,
    lte = 21,
    in = 22,
    contains = 23,
    starts_with = 24,

    pub fn isLeaf(operator: Operator) bool {
        return @intFromEnum(operator) >= @intFromEnum(Operator.exists);
    }

    /// Whether a value of this kind may stand behind it. A set may have any that `eq` takes.
    fn takes(operator: Operator, kind: document.Kind) bool {
        const is_scalar = kind != .strings and kind != .numbers;
        return switch (operator) {
            .@"and", .@"or", .not, .exists => false,
            .eq, .in => is_scalar,
            .gt, .gte, .lt, .lte, .contains => kind == .number or kind == .string,
            .starts_with => kind == .string,
        };
    }
};

pub const Node = struct {
    operator: Operator,
    /// Of a leaf: the index of its field's name.
    field: u32 = 0,
    /// The index behind the nodes below this one, which follow it.
    end: u32,
    /// Of `eq` to `lte`, `contains` and `starts_with`.
    operand: Value = .null,
    /// Of `in`.
    set: ?*const Set = null,
};

/// The values of an `in`.
pub const Set = struct {
    has_null: bool,
    has_false: bool,
    has_true: bool,
    /// Sorted; a value may come twice. So also the strings, by their bytes.
    numbers: []const f64,
    strings: []const []const u8,
    /// Of the strings, as dictionaries of columns have them.
    marks: TextMarks,

    pub fn has(set: *const Set, value: Value) bool {
        switch (value) {
            .null => return set.has_null,
            .boolean => |is_true| return if (is_true) set.has_true else set.has_false,
            .number => |number| {
                const at = std.sort.lowerBound(f64, set.numbers, number, numberOrder);
                return at < set.numbers.len and set.numbers[at] == number;
            },
            .string => |text| {
                const at = set.stringBound(0, text);
                return at < set.strings.len and std.mem.eql(u8, set.strings[at], text);
            },
            .strings, .numbers => return false,
        }
    }

    /// The first of its strings from `start` on that is not before `text`. Cheap where it is near.
    pub fn stringBound(set: *const Set, start: usize, text: []const u8) usize {
        var low = start;
        var step: usize = 1;
        while (step <= set.strings.len - low) : (step *= 2) {
            if (document.textOrder(set.strings[low + step - 1], text) != .lt) break;
            low += step;
        }
        var high = @min(low + step - 1, set.strings.len);
        while (low < high) {
            const middle = low + (high - low) / 2;
            const is_before = document.textOrder(set.strings[middle], text) == .lt;
            if (is_before) low = middle + 1 else high = middle;
        }
        return low;
    }
};

pub const Filter = struct {
    /// The first is the root; what is below a node follows it, child by child.
    nodes: []const Node,
    /// Every name that a leaf asks for, once, in the order of `document.nameOrder`.
    fields: []const []const u8,
    /// Values of one document, by the index of their field. For `matches` only.
    values: []?Value,
    /// Where the columns of each field were in the block before, so that those of the next one are
    /// found at once. For `filter_columns.evaluate` only.
    guesses: []u32,

    /// Everything lies in `arena`, the caller's bytes are not needed any more.
    pub fn parse(arena: std.mem.Allocator, bytes: []const u8) Error!Filter {
        if (bytes.len > limits.filter_bytes_max) return error.Malformed;
        var parser: Parser = .{
            .arena = arena,
            .reader = .{ .rest = try arena.dupe(u8, bytes) },
        };
        try parser.parseAll();
        return parser.finish();
    }

    /// The same of rows that are not over at that time; no bytes: all of these.
    pub fn parseLive(arena: std.mem.Allocator, bytes: []const u8, now_ms: i64) Error!Filter {
        if (bytes.len > limits.filter_bytes_max) return error.Malformed;
        var parser: Parser = .{
            .arena = arena,
            .reader = .{ .rest = try arena.dupe(u8, bytes) },
        };
        try parser.nodes.append(arena, .{ .operator = .@"and", .end = undefined });
        try parser.nodes.append(arena, .{ .operator = .not, .end = 3 });
        try parser.addOver(now_ms);
        if (bytes.len > 0) try parser.parseAll();
        parser.nodes.items[0].end = @intCast(parser.nodes.items.len);
        return parser.finish();
    }

    /// Of rows that are over at that time.
    pub fn over(arena: std.mem.Allocator, now_ms: i64) Error!Filter {
        var parser: Parser = .{ .arena = arena, .reader = .{ .rest = "" } };
        try parser.addOver(now_ms);
        return parser.finish();
    }

    /// Whether the filter is true of the document. The document is walked until every field that
    /// the filter asks for is found, and no further: damage behind that stays unnoticed. By one
    /// thread at a time, since they would share `values`.
    pub fn matches(filter: *const Filter, bytes: []const u8) error{Malformed}!bool {
        @memset(filter.values, null);
        var missing = filter.fields.len;
        var fields = document.iterate(bytes);
        while (missing > 0) {
            const field = try fields.next() orelse break;
            const index = filter.indexOf(field.name) orelse continue;
            // Of a name that comes twice, the first field counts.
            if (filter.values[index] != null) continue;
            filter.values[index] = field.value;
            missing -= 1;
        }
        return filter.holds(0);
    }

    fn indexOf(filter: *const Filter, name: []const u8) ?usize {
        const at = std.sort.lowerBound([]const u8, filter.fields, name, document.nameOrder);
        if (at == filter.fields.len or !std.mem.eql(u8, filter.fields[at], name)) return null;
        return at;
    }

    fn holds(filter: *const Filter, index: u32) bool {
        const node = &filter.nodes[index];
        switch (node.operator) {
            .@"and", .@"or" => {
                var child = index + 1;
                while (child < node.end) : (child = filter.nodes[child].end) {
                    if (filter.holds(child) == (node.operator == .@"or")) break;
                }
                return (child < node.end) == (node.operator == .@"or");
            },
            .not => return !filter.holds(index + 1),
            else => {
                const value = filter.values[node.field] orelse return false;
                return leafHolds(node, value);
            },
        }
    }
};

fn leafHolds(node: *const Node, value: Value) bool {
    const operand = node.operand;
    switch (node.operator) {
        .@"and", .@"or", .not => unreachable,
        .exists => return true,
        .in => return node.set.?.has(value),
        .contains => return contains(value, operand),
        .starts_with => return value == .string and
            std.mem.startsWith(u8, value.string, operand.string),
        .eq => if (operand == .null or operand == .boolean) {
            return std.meta.activeTag(value) == operand and value.kind() == operand.kind();
        },
        .gt, .gte, .lt, .lte => {},
    }
    if (std.meta.activeTag(value) != operand) return false;
    const order = switch (operand) {
        .number => |number| std.math.order(value.number, number),
        .string => |text| document.textOrder(value.string, text),
        else => unreachable,
    };
    return switch (node.operator) {
        .eq => order == .eq,
        .gt => order == .gt,
        .gte => order != .lt,
        .lt => order == .lt,
        .lte => order != .gt,
        else => unreachable,
    };
}

fn contains(array: Value, element: Value) bool {
    switch (array) {
        .numbers => |numbers| {
            if (element != .number) return false;
            for (0..numbers.count()) |i| if (numbers.get(i) == element.number) return true;
        },
        .strings => |strings| {
            if (element != .string) return false;
            var elements = strings.iterate();
            while (elements.next()) |text| if (std.mem.eql(u8, text, element.string)) return true;
        },
        else => {},
    }
    return false;
}

fn numberOrder(a: f64, b: f64) std.math.Order {
    return std.math.order(a, b);
}

const Parser = struct {
    arena: std.mem.Allocator,
    reader: Reader,
    nodes: std.ArrayList(Node) = .empty,
    leaves: std.ArrayList(Leaf) = .empty,

    const Leaf = struct { node: u32, name: []const u8 };

    fn finish(parser: *Parser) Error!Filter {
        const arena = parser.arena;
        const nodes = parser.nodes.items;
        const fields = try nameFields(arena, nodes, parser.leaves.items);
        const guesses = try arena.alloc(u32, fields.len);
        @memset(guesses, 0);
        const values = try arena.alloc(?Value, fields.len);
        return .{ .nodes = nodes, .fields = fields, .values = values, .guesses = guesses };
    }

    /// All of the caller's bytes.
    fn parseAll(parser: *Parser) Error!void {
        if (try parser.reader.readByte() != version) return error.Malformed;
        try parser.parseNode(1);
        if (parser.reader.rest.len != 0) return error.Malformed;
    }

    /// Whether the row's time to live is over.
    fn addOver(parser: *Parser, now_ms: i64) Error!void {
        const index: u32 = @intCast(parser.nodes.items.len);
        try parser.nodes.append(parser.arena, .{
            .operator = .lte,
            .end = index + 1,
            .operand = .{ .number = @floatFromInt(now_ms) },
        });
        const leaf: Leaf = .{ .node = index, .name = expiry.field_name };
        try parser.leaves.append(parser.arena, leaf);
    }

    fn parseNode(parser: *Parser, depth: u32) Error!void {
        if (depth > limits.filter_depth_max) return error.Malformed;
        const reader = &parser.reader;
        const operator = std.enums.fromInt(Operator, try reader.readByte()) orelse
            return error.Malformed;
        const index: u32 = @intCast(parser.nodes.items.len);
        try parser.nodes.append(parser.arena, .{ .operator = operator, .end = undefined });
        if (operator.isLeaf()) {
            const leaf: Leaf = .{ .node = index, .name = try reader.readText() };
            try parser.leaves.append(parser.arena, leaf);
            if (operator == .in) {
                parser.nodes.items[index].set = try parser.parseSet();
            } else if (operator != .exists) {
                const operand = try reader.readValue();
                if (!operator.takes(operand.kind())) return error.Malformed;
                parser.nodes.items[index].operand = operand;
            }
        } else {
            const count = if (operator == .not) 1 else try reader.readVarint();
            // Each takes a byte at least, so a count that is too high ends with the bytes.
            for (0..count) |_| try parser.parseNode(depth + 1);
        }
        parser.nodes.items[index].end = @intCast(parser.nodes.items.len);
    }

    fn parseSet(parser: *Parser) Error!*const Set {
        const arena = parser.arena;
        var kinds: std.EnumSet(document.Kind) = .empty;
        var numbers: std.ArrayList(f64) = .empty;
        var strings: std.ArrayList([]const u8) = .empty;
        for (0..try parser.reader.readVarint()) |_| {
            const value = try parser.reader.readValue();
            if (!Operator.in.takes(value.kind())) return error.Malformed;
            kinds.insert(value.kind());
            switch (value) {
                .number => |number| try numbers.append(arena, number),
                .string => |text| try strings.append(arena, text),
                else => {},
            }
        }
        std.sort.heap(f64, numbers.items, {}, std.sort.asc(f64));
        std.sort.heap([]const u8, strings.items, {}, isTextBefore);
        const set = try arena.create(Set);
        set.* = .{
            .has_null = kinds.contains(.null),
            .has_false = kinds.contains(.false),
            .has_true = kinds.contains(.true),
            .numbers = numbers.items,
            .strings = strings.items,
            .marks = .{},
        };
        for (strings.items) |text| {
            set.marks.add(text[0..@min(text.len, format.column_text_bytes_max + 1)]);
        }
        return set;
    }

    fn isTextBefore(_: void, a: []const u8, b: []const u8) bool {
        return document.textOrder(a, b) == .lt;
    }

    fn isNameBefore(_: void, a: Leaf, b: Leaf) bool {
        return document.nameOrder(a.name, b.name) == .lt;
    }
};

/// Gives every leaf the index of its field. The names, each once, in their order.
fn nameFields(
    arena: std.mem.Allocator,
    nodes: []Node,
    leaves: []Parser.Leaf,
) error{OutOfMemory}![]const []const u8 {
    std.sort.heap(Parser.Leaf, leaves, {}, Parser.isNameBefore);
    var fields: std.ArrayList([]const u8) = .empty;
    for (leaves) |leaf| {
        const names = fields.items;
        if (names.len == 0 or !std.mem.eql(u8, names[names.len - 1], leaf.name)) {
            try fields.append(arena, leaf.name);
        }
        nodes[leaf.node].field = @intCast(fields.items.len - 1);
    }
    return fields.items;
}

const testing = std.testing;
/// Whether a filter of one leaf is true of a document of one field `f`. `value` writes the field's
/// value, `operand` what stands behind the leaf's name; both are bytes.
fn isTrue(operator: Operator, operand: []const u8, value: ?[]const u8) !bool {
    var arena: std.heap.ArenaAllocator = .init(testing.allocator);
    defer arena.deinit();
    const bytes = [_]u8{ version, @intFromEnum(operator), 1, 'f' };
    const filter: Filter = try .parse(
        arena.allocator(),
        try std.mem.concat(arena.allocator(), u8, &.{ &bytes, operand }),
    );
    const field = try std.mem.concat(arena.allocator(), u8, &.{ "\x01f", value orelse "" });
    return filter.matches(if (value == null) "" else field);
}

fn ofNumber(comptime value: f64) []const u8 {
    return comptime "\x03" ++ &@as([8]u8, @bitCast(value));
}

fn ofString(comptime value: []const u8) []const u8 {
    return comptime "\x04" ++ [_]u8{value.len} ++ value;
}

const none = "\x00";
const no = "\x01";
const yes = "\x02";
const tags = "\x05\x02\x01a\x02bc";
const sizes = "\x06\x02" ++ ofNumber(7)[1..] ++ ofNumber(-0.0)[1..];
const every_value = [_][]const u8{ none, no, yes, ofNumber(1), ofString("a"), tags, sizes };

test "a value equals itself, and nothing of another kind" {
    for (every_value, 0..) |value, i| {
        try testing.expect(try isTrue(.exists, "", value));
        for (every_value[0..5], 0..) |operand, j| {
            try testing.expectEqual(i == j, try isTrue(.eq, operand, value));
        }
        try testing.expect(!try isTrue(.eq, ofString(""), value));
    }
    try testing.expect(!try isTrue(.exists, "", null));
    try testing.expect(!try isTrue(.eq, none, null));
    try testing.expect(try isTrue(.eq, ofNumber(0), ofNumber(-0.0)));
    // The engine does not tell text with lone surrogates from other text.
    try testing.expect(try isTrue(.eq, ofString("a"), "\x84\x01a"));
}

test "numbers are compared with numbers, strings with strings by their bytes" {
    const below = [_][2][]const u8{
        .{ ofNumber(-1), ofNumber(0.5) },
        .{ ofString(""), ofString("a") },
        .{ ofString("Z"), ofString("a") },
        .{ ofString("a"), ofString("a\x00") },
        .{ ofString("\xEF\xBF\xBF"), ofString("\xF0\x90\x80\x80") },
    };
    for (below) |pair| {
        for ([_]Operator{ .gt, .gte, .lt, .lte }) |operator| {
            const is_less = operator == .lt or operator == .lte;
            const takes_equal = operator == .gte or operator == .lte;
            try testing.expectEqual(is_less, try isTrue(operator, pair[1], pair[0]));
            try testing.expectEqual(!is_less, try isTrue(operator, pair[0], pair[1]));
            try testing.expectEqual(takes_equal, try isTrue(operator, pair[0], pair[0]));
        }
    }
    for ([_]Operator{ .gt, .gte, .lt, .lte }) |operator| {
        for (every_value) |value| {
            const is_number = value.ptr == every_value[3].ptr;
            const is_string = value.ptr == every_value[4].ptr;
            if (!is_number) try testing.expect(!try isTrue(operator, ofNumber(1), value));
            if (!is_string) try testing.expect(!try isTrue(operator, ofString("a"), value));
        }
    }
}

test "an array contains its elements, a string starts with its beginnings" {
    try testing.expect(try isTrue(.contains, ofString("a"), tags));
    try testing.expect(try isTrue(.contains, ofString("bc"), tags));
    try testing.expect(!try isTrue(.contains, ofString("b"), tags));
    try testing.expect(try isTrue(.contains, ofNumber(7), sizes));
    try testing.expect(try isTrue(.contains, ofNumber(0), sizes));
    try testing.expect(!try isTrue(.contains, ofNumber(1), sizes));
    try testing.expect(!try isTrue(.contains, ofString("a"), "\x05\x00"));
    try testing.expect(!try isTrue(.contains, ofString("a"), ofString("a")));

    try testing.expect(try isTrue(.starts_with, ofString(""), ofString("a")));
    try testing.expect(try isTrue(.starts_with, ofString("a"), ofString("a")));
    try testing.expect(!try isTrue(.starts_with, ofString("ab"), ofString("a")));
    try testing.expect(!try isTrue(.starts_with, ofString(""), ofNumber(1)));
}

test "a set has what it was given, of every kind" {
    const set = "\x06" ++ comptime (ofNumber(5) ++ ofString("b") ++ ofNumber(-2) ++ yes ++
        ofString("a") ++ ofNumber(3));
    const numbers = [_][]const u8{ ofNumber(-2), ofNumber(3), ofNumber(5) };
    const others = [_][]const u8{ ofString("a"), ofString("b"), yes };
    for (numbers ++ others) |value| try testing.expect(try isTrue(.in, set, value));
    const missing = [_][]const u8{ ofNumber(4), ofNumber(6), ofString("c"), no, none, tags };
    for (missing) |value| try testing.expect(!try isTrue(.in, set, value));
    try testing.expect(!try isTrue(.in, "\x00", none));
    try testing.expect(!try isTrue(.in, set, null));
}

fn expectMatch(expected: bool, filter_bytes: []const u8, bytes: []const u8) !void {
    var arena: std.heap.ArenaAllocator = .init(testing.allocator);
    defer arena.deinit();
    const filter: Filter = try .parse(arena.allocator(), filter_bytes);
    try testing.expectEqual(expected, try filter.matches(bytes));
}

test "nodes are put together" {
    const has_a = "\x10\x01a";
    const has_b = "\x10\x01b";
    const a = "\x01a\x00";
    const ab = "\x01a\x00\x01b\x00";
    try expectMatch(true, "\x01\x01\x00", a);
    try expectMatch(false, "\x01\x02\x00", a);
    try expectMatch(false, "\x01\x01\x02" ++ has_a ++ has_b, a);
    try expectMatch(true, "\x01\x01\x02" ++ has_a ++ has_b, ab);
    try expectMatch(true, "\x01\x02\x02" ++ has_b ++ has_a, a);
    try expectMatch(false, "\x01\x02\x02" ++ has_b ++ has_a, "");
    try expectMatch(true, "\x01\x03" ++ has_b, a);
    try expectMatch(true, "\x01\x01\x02\x02\x02" ++ has_b ++ has_a ++ "\x03" ++ has_b, a);
    try expectMatch(false, "\x01\x01\x02\x02\x02" ++ has_b ++ has_a ++ "\x03" ++ has_b, ab);
}

test "a field is walked to once, however many leaves ask for it" {
    var arena: std.heap.ArenaAllocator = .init(testing.allocator);
    defer arena.deinit();
    const bytes = "\x01\x01\x04\x10\x01b\x10\x02aa\x10\x01b\x10\x01a";
    const filter: Filter = try .parse(arena.allocator(), bytes);
    try testing.expectEqual(3, filter.fields.len);
    for ([_]u32{ 1, 2, 1, 0 }, filter.nodes[1..]) |field, node| {
        try testing.expectEqual(field, node.field);
    }
    // Of a name that comes twice, the first field counts.
    try expectMatch(false, "\x01\x01\x02\x11\x01a\x02\x10\x01b", "\x01a\x01\x01a\x02\x01b\x00");
}

test "a document that ends in its middle is found" {
    var arena: std.heap.ArenaAllocator = .init(testing.allocator);
    defer arena.deinit();
    const filter: Filter = try .parse(arena.allocator(), "\x01\x10\x01b");
    try testing.expectError(error.Malformed, filter.matches("\x01a\x04\x05ab"));
}

test "what is no filter is found" {
    const deep = "\x01" ++ "\x03" ** (limits.filter_depth_max - 1);
    try expectMatch(true, deep ++ "\x10\x01a", "");
    const bad = [_][]const u8{
        "",
        "\x01",
        "\x02\x10\x01a",
        // Something behind the end, or nothing where something has to be.
        "\x01\x10\x01a\x00",
        "\x01\x10\x05a",
        "\x01\x03",
        "\x01\x01\x02\x10\x01a",
        "\x01\x01\xFF\xFF\xFF\xFF\x0F",
        "\x01\x16\x01a\xFF\xFF\xFF\xFF\x0F",
        // Nodes that there are not.
        "\x01\x00",
        "\x01\x19\x01a\x00",
        // Operands of kinds that the leaf does not take.
        "\x01\x11\x01a\x05\x00",
        "\x01\x16\x01a\x01\x06\x00",
        "\x01\x12\x01a\x00",
        "\x01\x17\x01a\x02",
        "\x01\x18\x01a" ++ comptime ofNumber(1),
        "\x01\x11\x01a" ++ comptime ofNumber(std.math.inf(f64)),
        deep ++ "\x03\x10\x01a",
    };
    for (bad) |bytes| {
        var arena: std.heap.ArenaAllocator = .init(testing.allocator);
        defer arena.deinit();
        try testing.expectError(error.Malformed, Filter.parse(arena.allocator(), bytes));
    }
}
