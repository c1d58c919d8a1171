//! What a filter says of a block's columns is what it says of the documents, for random documents
//! and random filters; and bytes that are none of these things do no harm.

const std = @import("std");
const vl = @import("vectorlite");
const document = vl.document;
const row_set = vl.row_set;
const Operator = vl.FilterOperator;
const Random = std.Random;
const Writer = vl.metadata_writer.Writer;

const testing = std.testing;
const gpa = testing.allocator;
const block_rows = vl.format.column_block_rows;
const text_bytes_max = vl.format.column_text_bytes_max;

/// What makes one block unlike another.
const Taste = struct {
    random: Random,
    /// Fields with these chances, in percent.
    present: u32,
    /// Values of a field have its kind, but for so many in a hundred.
    mixed: u32,
    field_count: u32,
    distinct: u32,
    /// Also what columns leave out.
    is_large: bool,

    fn init(random: Random, is_large: bool) Taste {
        const chances = [_]u32{ 100, 95, 50, 10, 1 };
        return .{
            .random = random,
            .present = chances[random.uintLessThan(usize, chances.len)],
            .mixed = if (random.boolean()) 0 else 30,
            .field_count = random.intRangeAtMost(u32, 1, 6),
            .distinct = ([_]u32{ 1, 3, 40, 2000 })[random.uintLessThan(usize, 4)],
            .is_large = is_large,
        };
    }

    fn chance(taste: Taste, percent: u32) bool {
        return taste.random.uintLessThan(u32, 100) < percent;
    }

    fn below(taste: Taste, count: u32) u32 {
        return taste.random.uintLessThan(u32, count);
    }

    fn anyName(taste: Taste, buffer: *[400]u8) []const u8 {
        const index = taste.below(taste.field_count);
        return if (taste.is_large and taste.chance(2)) long: {
            @memset(buffer, 'n');
            break :long buffer[0 .. vl.format.column_name_bytes_max - 1 + index % 4];
        } else fieldName(buffer, index);
    }

    fn anyNumber(taste: Taste) f64 {
        const numbers = [_]f64{ 0, -0.0, 0.5, -1e-310, 1e300, -1e300, std.math.floatMax(f64) };
        if (taste.chance(10)) return numbers[taste.below(numbers.len)];
        return @as(f64, @floatFromInt(taste.below(taste.distinct))) - 1;
    }

    fn anyText(taste: Taste, buffer: *[400]u8) []const u8 {
        const index = taste.below(taste.distinct);
        if (taste.is_large and taste.chance(30)) {
            @memset(buffer, 'l');
            const length = text_bytes_max - 1 + taste.below(6);
            if (taste.chance(50)) buffer[text_bytes_max - 2 + taste.below(4)] = 'm';
            return buffer[0..length];
        }
        if (index == 0) return "";
        const prefix = if (index % 2 == 0) "a long common beginning " else "v";
        return std.fmt.bufPrint(buffer, "{s}{d}", .{ prefix, index }) catch buffer[0..0];
    }

    fn writeScalar(taste: Taste, writer: *Writer) !void {
        var buffer: [400]u8 = undefined;
        return switch (taste.below(8)) {
            0 => writer.empty(),
            1 => writer.boolean(taste.random.boolean()),
            2, 3, 4 => writer.number(taste.anyNumber()),
            else => writer.string(taste.anyText(&buffer)),
        };
    }

    fn writeNumberOrText(taste: Taste, writer: *Writer) !void {
        var buffer: [400]u8 = undefined;
        if (taste.random.boolean()) return writer.number(taste.anyNumber());
        return writer.string(taste.anyText(&buffer));
    }

    fn writeArray(taste: Taste, writer: *Writer, is_text: bool) !void {
        var buffer: [400]u8 = undefined;
        const is_long = taste.is_large and taste.chance(10);
        const count = if (is_long) 60 + taste.below(10) else taste.below(6);
        try writer.byte(@intFromEnum(if (is_text) document.Kind.strings else .numbers));
        try writer.varint(count);
        for (0..count) |_| {
            if (is_text) {
                try writer.text(taste.anyText(&buffer));
            } else {
                try writer.bytes.appendSlice(writer.gpa, std.mem.asBytes(&taste.anyNumber()));
            }
        }
    }

    fn writeValue(taste: Taste, writer: *Writer, field: u32) !void {
        const sort = if (taste.chance(taste.mixed)) taste.below(6) else field % 6;
        var buffer: [400]u8 = undefined;
        return switch (sort) {
            0 => writer.number(taste.anyNumber()),
            1 => writer.string(taste.anyText(&buffer)),
            2 => taste.writeArray(writer, true),
            3 => taste.writeArray(writer, false),
            4 => writer.boolean(taste.random.boolean()),
            else => writer.empty(),
        };
    }

    fn writeDocument(taste: Taste, writer: *Writer) !void {
        var buffer: [400]u8 = undefined;
        for (0..taste.field_count) |field| {
            if (!taste.chance(taste.present)) continue;
            try writer.text(fieldName(&buffer, @intCast(field)));
            try taste.writeValue(writer, @intCast(field));
        }
        if (taste.is_large and taste.chance(20)) {
            try writer.text(taste.anyName(&buffer));
            try taste.writeValue(writer, taste.below(6));
        }
    }

    fn writeNode(taste: Taste, writer: *Writer, depth: u32) !void {
        var buffer: [400]u8 = undefined;
        const operators = std.enums.values(Operator);
        const operator = while (true) {
            const any = operators[taste.below(operators.len)];
            if (any.isLeaf() or depth > 0) break any;
        };
        try writer.byte(@intFromEnum(operator));
        if (!operator.isLeaf()) {
            const count = if (operator == .not) 1 else taste.below(4);
            if (operator != .not) try writer.varint(count);
            for (0..count) |_| try taste.writeNode(writer, depth - 1);
            return;
        }
        try writer.text(taste.anyName(&buffer));
        switch (operator) {
            .eq => try taste.writeScalar(writer),
            .gt, .gte, .lt, .lte, .contains => try taste.writeNumberOrText(writer),
            .starts_with => {
                const text = taste.anyText(&buffer);
                const length = taste.random.uintAtMost(usize, text.len);
                try writer.string(if (taste.chance(50)) text else text[0..length]);
            },
            .in => {
                const count = if (taste.chance(10)) taste.below(500) else taste.below(6);
                try writer.varint(count);
                for (0..count) |_| try taste.writeScalar(writer);
            },
            else => {},
        }
    }
};

/// Some are longer than others, and some alike.
fn fieldName(buffer: *[400]u8, field: u32) []const u8 {
    const beginning = if (field % 2 == 0) "" else "field_with_a_name_";
    return std.fmt.bufPrint(buffer, "{s}{d}", .{ beginning, field }) catch buffer[0..0];
}

const Block = struct {
    arena: std.heap.ArenaAllocator,
    documents: []const []const u8,
    bytes: std.ArrayList(u8) = .empty,

    fn init(taste: Taste) !Block {
        var block: Block = .{ .arena = .init(gpa), .documents = &.{} };
        errdefer block.deinit();
        const arena = block.arena.allocator();
        const count = ([_]u32{ block_rows, block_rows, 64, 1, 200 })[taste.below(5)];
        const documents = try arena.alloc([]const u8, count);
        for (documents) |*bytes| {
            var writer: Writer = .{ .gpa = arena };
            try taste.writeDocument(&writer);
            bytes.* = writer.bytes.items;
        }
        block.documents = documents;
        try block.bytes.append(gpa, 0xAA);
        try vl.buildColumns(gpa, documents, &block.bytes);
        return block;
    }

    fn deinit(block: *Block) void {
        block.bytes.deinit(gpa);
        block.arena.deinit();
    }

    /// At an odd address.
    fn columns(block: *const Block) []const u8 {
        return block.bytes.items[1..];
    }
};

/// How often each answer was given.
const Tally = struct {
    yes: u64 = 0,
    no: u64 = 0,
    maybe: u64 = 0,
};

fn expectAgreement(block: *const Block, bytes: []const u8, tally: *Tally) !void {
    var arena: std.heap.ArenaAllocator = .init(gpa);
    defer arena.deinit();
    const filter: vl.Filter = try .parse(arena.allocator(), bytes);
    const row_count: u32 = @intCast(block.documents.len);
    const opened: vl.ColumnBlock = try .open(block.columns(), row_count);
    const verdict = vl.evaluateFilter(&filter, &opened);
    try expectSound(verdict, row_count);
    for (block.documents, 0..) |each, row| {
        const is_match = try filter.matches(each);
        if (row_set.contains(&verdict.maybe, @intCast(row))) {
            tally.maybe += 1;
        } else {
            if (is_match) tally.yes += 1 else tally.no += 1;
            try testing.expectEqual(is_match, row_set.contains(&verdict.yes, @intCast(row)));
        }
    }
}

fn expectSound(verdict: anytype, row_count: u32) !void {
    const all: row_set.Words = row_set.first(row_count);
    try testing.expect(row_set.isEmpty(@as(row_set.Words, verdict.yes) & verdict.maybe));
    try testing.expect(row_set.isEmpty(@as(row_set.Words, verdict.yes) & ~all));
    try testing.expect(row_set.isEmpty(@as(row_set.Words, verdict.maybe) & ~all));
}

fn compareRandomly(seed: u64, is_large: bool, tally: *Tally) !void {
    errdefer std.debug.print("seed {d}\n", .{seed});
    var prng: Random.DefaultPrng = .init(seed);
    const taste: Taste = .init(prng.random(), is_large);
    var block: Block = try .init(taste);
    defer block.deinit();
    for (block.documents) |bytes| try testing.expect(document.check(bytes));
    var writer: Writer = .{ .gpa = gpa };
    defer writer.deinit();
    for (0..20) |_| {
        writer.clear();
        try writer.byte(1);
        try taste.writeNode(&writer, 3);
        try expectAgreement(&block, writer.bytes.items, tally);
    }
}

test "columns say what documents say, and are always sure of short values" {
    var tally: Tally = .{};
    for (0..120) |seed| try compareRandomly(seed, false, &tally);
    try testing.expectEqual(0, tally.maybe);
    try testing.expect(tally.yes > 10_000);
    try testing.expect(tally.no > 10_000);
}

test "where columns leave something out, they say so" {
    var tally: Tally = .{};
    for (0..120) |seed| try compareRandomly(seed, true, &tally);
    for ([_]u64{ tally.yes, tally.no, tally.maybe }) |count| try testing.expect(count > 1000);
}

test "rows without fields have no columns" {
    var bytes: std.ArrayList(u8) = .empty;
    defer bytes.deinit(gpa);
    try vl.buildColumns(gpa, &.{ "", "", "" }, &bytes);
    try testing.expectEqual(0, bytes.items.len);
    var arena: std.heap.ArenaAllocator = .init(gpa);
    defer arena.deinit();
    const filter: vl.Filter = try .parse(arena.allocator(), "\x01\x03\x10\x01a");
    const verdict = vl.evaluateFilter(&filter, &try .open("", 3));
    try testing.expectEqual(row_set.first(3), verdict.yes);
    try testing.expectEqual(row_set.none, verdict.maybe);
}

test "the same documents give the same bytes, a malformed one gives none" {
    var prng: Random.DefaultPrng = .init(1);
    var block: Block = try .init(.init(prng.random(), true));
    defer block.deinit();
    var bytes: std.ArrayList(u8) = .empty;
    defer bytes.deinit(gpa);
    try bytes.append(gpa, 0xAA);
    try testing.expectError(error.Malformed, vl.buildColumns(gpa, &.{ "\x01a\x00", "x" }, &bytes));
    try testing.expectEqual(1, bytes.items.len);
    try vl.buildColumns(gpa, block.documents, &bytes);
    try testing.expectEqualSlices(u8, block.bytes.items, bytes.items);
    try testing.expectEqual(0, block.columns().len % 8);
}

/// Documents that have more fields, or more bytes of them, than a block takes.
fn expectAgreementOfMany(field_count: u32, text_bytes: usize) !void {
    var arena: std.heap.ArenaAllocator = .init(gpa);
    defer arena.deinit();
    const text = try arena.allocator().alloc(u8, text_bytes);
    @memset(text, 't');
    var writers: [block_rows]Writer = @splat(.{ .gpa = arena.allocator() });
    var documents: [block_rows][]const u8 = undefined;
    var buffer: [400]u8 = undefined;
    for (&writers, &documents, 0..) |*writer, *bytes, row| {
        for (0..field_count) |field| {
            if ((field + row) % 3 == 0) continue;
            if (text.len > 0) text[0] = @intCast(row);
            try writer.text(fieldName(&buffer, @intCast(field)));
            if (field % 2 == 0) try writer.string(text) else try writer.number(@floatFromInt(row));
        }
        bytes.* = writer.bytes.items;
    }
    var block: Block = .{ .arena = .init(gpa), .documents = &documents };
    defer block.deinit();
    try block.bytes.append(gpa, 0xAA);
    try vl.buildColumns(gpa, &documents, &block.bytes);
    try testing.expect(block.columns().len <= vl.limits.column_block_bytes_max * 17 / 16);
    var tally: Tally = .{};
    for (0..field_count + 1) |field| {
        if (field % 16 > 1 and field + 8 < field_count) continue;
        var writer: Writer = .{ .gpa = arena.allocator() };
        try writer.bytes.appendSlice(arena.allocator(), &.{ 1, @intFromEnum(Operator.exists) });
        try writer.text(fieldName(&buffer, @intCast(field)));
        try expectAgreement(&block, writer.bytes.items, &tally);
    }
    try testing.expect(tally.yes > 0 and tally.no > 0 and tally.maybe > 0);
}

test "fields that a block has no room for may be there" {
    try expectAgreementOfMany(vl.limits.column_fields_max + 20, 0);
    try expectAgreementOfMany(100, 125);
}

test "elements that a dictionary has no room for may be there" {
    var arena: std.heap.ArenaAllocator = .init(gpa);
    defer arena.deinit();
    var documents: [block_rows][]const u8 = undefined;
    for (&documents, 0..) |*bytes, row| {
        var writer: Writer = .{ .gpa = arena.allocator() };
        try writer.text("a");
        try writer.byte(@intFromEnum(document.Kind.strings));
        try writer.varint(20);
        for (0..20) |i| {
            var buffer: [100]u8 = @splat('x');
            _ = try std.fmt.bufPrint(&buffer, "{d}/{d}/", .{ row, i });
            try writer.text(buffer[0 .. 10 + i * 4]);
        }
        bytes.* = writer.bytes.items;
    }
    var block: Block = .{ .arena = .init(gpa), .documents = &documents };
    defer block.deinit();
    try block.bytes.append(gpa, 0xAA);
    try vl.buildColumns(gpa, &documents, &block.bytes);
    var tally: Tally = .{};
    for ([_][]const u8{ "0/0/xxxxxx", "9/0/xxxxxx", "9/1/xxxxxxxxxx", "none" }) |element| {
        var writer: Writer = .{ .gpa = arena.allocator() };
        try writer.bytes.appendSlice(arena.allocator(), &.{ 1, @intFromEnum(Operator.contains) });
        try writer.text("a");
        try writer.string(element);
        try expectAgreement(&block, writer.bytes.items, &tally);
    }
    try testing.expect(tally.maybe > 0 and tally.yes > 0);
}

/// Bytes of a document, a filter or columns, or something else.
fn tryHostile(bytes: []const u8, filter: *const vl.Filter, row_count: u32) !void {
    var arena: std.heap.ArenaAllocator = .init(gpa);
    defer arena.deinit();
    const is_document = document.check(bytes);
    var columns: std.ArrayList(u8) = .empty;
    defer columns.deinit(gpa);
    const documents = [_][]const u8{ bytes, "" };
    const built = vl.buildColumns(gpa, &documents, &columns);
    try testing.expectEqual(is_document, if (built) |_| true else |err| err != error.Malformed);
    if (filter.matches(bytes)) |_| {} else |_| try testing.expect(!is_document);
    if (vl.Filter.parse(arena.allocator(), bytes)) |forged| {
        _ = try forged.matches("\x01a\x00");
    } else |err| try testing.expect(err == error.Malformed);
    const block = vl.ColumnBlock.open(bytes, row_count) catch return;
    try expectSound(vl.evaluateFilter(filter, &block), row_count);
}

fn mutate(random: Random, bytes: []u8) void {
    if (bytes.len == 0) return;
    for (0..random.intRangeAtMost(usize, 1, 4)) |_| {
        // The heads of blocks lie at their front, the directories at their end.
        const at = switch (random.uintLessThan(u32, 3)) {
            0 => random.uintLessThan(usize, @min(bytes.len, 40)),
            1 => bytes.len - 1 - random.uintLessThan(usize, @min(bytes.len, 200)),
            else => random.uintLessThan(usize, bytes.len),
        };
        const extremes = [_]u8{ 0, 1, 0x7F, 0x80, 0xFF };
        bytes[at] = switch (random.uintLessThan(u32, 3)) {
            0 => bytes[at] ^ @as(u8, 1) << random.int(u3),
            1 => extremes[random.uintLessThan(usize, extremes.len)],
            else => random.int(u8),
        };
    }
}

fn attack(seed: u64) !void {
    errdefer std.debug.print("seed {d}\n", .{seed});
    var prng: Random.DefaultPrng = .init(seed);
    const random = prng.random();
    const taste: Taste = .init(random, random.boolean());
    var block: Block = try .init(taste);
    defer block.deinit();
    const row_count: u32 = @intCast(block.documents.len);
    const arena = block.arena.allocator();
    for (0..40) |_| {
        var writer: Writer = .{ .gpa = arena };
        try writer.byte(1);
        try taste.writeNode(&writer, 3);
        const filter: vl.Filter = try .parse(arena, writer.bytes.items);
        const some = block.documents[random.uintLessThan(usize, row_count)];
        for ([_][]const u8{ block.columns(), block.columns(), some, writer.bytes.items }) |good| {
            const bytes = try arena.dupe(u8, good);
            mutate(random, bytes);
            const length = if (random.boolean()) bytes.len else random.uintAtMost(usize, bytes.len);
            try tryHostile(bytes[0..length], &filter, row_count);
        }
        const noise = try arena.alloc(u8, random.uintLessThan(usize, 200));
        random.bytes(noise);
        try tryHostile(noise, &filter, row_count);
    }
}

test "bytes that somebody forged give an error or an answer" {
    for (0..60) |seed| try attack(seed);
}
