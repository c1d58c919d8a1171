//! The metadata of one row, as bytes: fields in the order in which they were given, each with its
//! name, its kind and its value (docs/file-format.md). Whoever walks a document checks it: a
//! field that is given out lies inside of the bytes and is well-formed, so nothing here goes wrong
//! with bytes that somebody forged. Text is not looked at: it is what the caller encoded.
//!
//! Pure; allocates nothing. Values borrow from the document's bytes.

const std = @import("std");

pub const Kind = enum(u8) {
    null = 0,
    false = 1,
    true = 2,
    number = 3,
    string = 4,
    strings = 5,
    numbers = 6,
};

/// Added to the kind of text with lone surrogates. Says something to the caller only.
const surrogates_flag = 128;

/// A varint takes no more.
const varint_bytes_max = 5;

pub const Value = union(enum) {
    null,
    boolean: bool,
    number: f64,
    string: []const u8,
    strings: Strings,
    numbers: Numbers,

    pub fn kind(value: Value) Kind {
        return switch (value) {
            .null => .null,
            .boolean => |is_true| if (is_true) .true else .false,
            .number => .number,
            .string => .string,
            .strings => .strings,
            .numbers => .numbers,
        };
    }
};

/// An array of strings.
pub const Strings = struct {
    count: u32,
    /// The elements, each behind its length.
    bytes: []const u8,

    pub fn iterate(strings: Strings) Elements {
        return .{ .reader = .{ .rest = strings.bytes } };
    }

    pub const Elements = struct {
        reader: Reader,

        /// The next element, or null behind the last one.
        pub fn next(elements: *Elements) ?[]const u8 {
            if (elements.reader.rest.len == 0) return null;
            // The elements were walked when the view was made. Mapped bytes may have changed.
            return elements.reader.readText() catch null;
        }
    };
};

/// An array of numbers.
pub const Numbers = struct {
    /// 8 bytes each.
    bytes: []const u8,

    pub fn count(numbers: Numbers) usize {
        return numbers.bytes.len / @sizeOf(f64);
    }

    pub fn get(numbers: Numbers, index: usize) f64 {
        return std.mem.bytesToValue(f64, numbers.bytes[index * @sizeOf(f64) ..][0..@sizeOf(f64)]);
    }
};

pub const Field = struct {
    name: []const u8,
    value: Value,
};

/// Takes what documents and filters are made of from the front of bytes.
pub const Reader = struct {
    rest: []const u8,

    pub const Error = error{Malformed};

    pub fn readByte(reader: *Reader) Error!u8 {
        return (try reader.take(1))[0];
    }

    pub inline fn readVarint(reader: *Reader) Error!u32 {
        const bytes = reader.rest;
        if (bytes.len == 0 or bytes[0] >= 0x80) return reader.readLongVarint();
        reader.rest = bytes[1..];
        return bytes[0];
    }

    fn readLongVarint(reader: *Reader) Error!u32 {
        const bytes = reader.rest;
        var value: u64 = 0;
        for (bytes[0..@min(bytes.len, varint_bytes_max)], 0..) |part, i| {
            value |= @as(u64, part & 0x7F) << @intCast(7 * i);
            if (part & 0x80 != 0) continue;
            reader.rest = bytes[i + 1 ..];
            return if (value >> 32 == 0) @intCast(value) else error.Malformed;
        }
        return error.Malformed;
    }

    /// A length, and as many bytes.
    pub fn readText(reader: *Reader) Error![]const u8 {
        const length = try reader.readVarint();
        return reader.take(length);
    }

    pub fn readNumber(reader: *Reader) Error!f64 {
        const value = std.mem.bytesToValue(f64, (try reader.take(@sizeOf(f64)))[0..@sizeOf(f64)]);
        return if (std.math.isFinite(value)) value else error.Malformed;
    }

    /// A kind, and a value of that kind.
    pub fn readValue(reader: *Reader) Error!Value {
        const code = try reader.readByte();
        const bare = code & ~@as(u8, surrogates_flag);
        const kind = std.enums.fromInt(Kind, bare) orelse return error.Malformed;
        const is_text = kind == .string or kind == .strings;
        if (code != bare and !is_text) return error.Malformed;
        return switch (kind) {
            .null => .null,
            .false => .{ .boolean = false },
            .true => .{ .boolean = true },
            .number => .{ .number = try reader.readNumber() },
            .string => .{ .string = try reader.readText() },
            .strings => .{ .strings = try reader.readStrings() },
            .numbers => .{ .numbers = try reader.readNumbers() },
        };
    }

    fn take(reader: *Reader, length: usize) Error![]const u8 {
        if (length > reader.rest.len) return error.Malformed;
        defer reader.rest = reader.rest[length..];
        return reader.rest[0..length];
    }

    fn readStrings(reader: *Reader) Error!Strings {
        const count = try reader.readVarint();
        const start = reader.rest;
        // Each element takes a byte at least, so a count that is too high ends with the bytes.
        for (0..count) |_| _ = try reader.readText();
        return .{ .count = count, .bytes = start[0 .. start.len - reader.rest.len] };
    }

    fn readNumbers(reader: *Reader) Error!Numbers {
        const count = try reader.readVarint();
        const elements: Numbers = .{ .bytes = try reader.take(@as(usize, count) * @sizeOf(f64)) };
        for (0..count) |i| {
            if (!std.math.isFinite(elements.get(i))) return error.Malformed;
        }
        return elements;
    }
};

/// Walks the fields of a document in their order.
pub const Iterator = struct {
    reader: Reader,

    /// Null behind the last field. After an error there is nothing more to ask.
    pub fn next(iterator: *Iterator) error{Malformed}!?Field {
        const reader = &iterator.reader;
        if (reader.rest.len == 0) return null;
        const name = try reader.readText();
        return .{ .name = name, .value = try reader.readValue() };
    }
};

pub fn iterate(bytes: []const u8) Iterator {
    return .{ .reader = .{ .rest = bytes } };
}

/// Whether the bytes are a document. It may have a name twice; then the first field counts.
pub fn check(bytes: []const u8) bool {
    var fields = iterate(bytes);
    while (fields.next() catch return false) |_| {}
    return true;
}

/// The value of the field `name`, null where there is no such field.
pub fn find(bytes: []const u8, name: []const u8) error{Malformed}!?Value {
    var fields = iterate(bytes);
    while (try fields.next()) |field| {
        if (std.mem.eql(u8, field.name, name)) return field.value;
    }
    return null;
}

/// Strings in the order of their bytes, which is that of their code points.
pub fn textOrder(a: []const u8, b: []const u8) std.math.Order {
    const heads = std.math.order(textHead(a), textHead(b));
    return if (heads == .eq) textOrderBehind(a, b) else heads;
}

/// Of texts whose heads are equal.
pub fn textOrderBehind(a: []const u8, b: []const u8) std.math.Order {
    const length = @min(a.len, b.len);
    var at: usize = 8;
    while (at < length) : (at += 8) {
        // The last eight bytes may overlap those before, which are equal.
        const start = @min(at, length - 8);
        const order = std.math.order(textHead(a[start..]), textHead(b[start..]));
        if (order != .eq) return order;
    }
    return std.math.order(a.len, b.len);
}

/// The first eight bytes, the first one the highest; zeros where there are fewer. Where the heads
/// of two texts differ, they are their order.
pub fn textHead(text: []const u8) u64 {
    const length = text.len;
    if (length >= 8) return std.mem.readInt(u64, text[0..8], .big);
    if (length == 0) return 0;
    // Two reads that meet or overlap.
    const shift: u6 = @intCast(64 - 8 * length);
    if (length >= 4) {
        const low = std.mem.readInt(u32, text[length - 4 ..][0..4], .big);
        return @as(u64, std.mem.readInt(u32, text[0..4], .big)) << 32 | @as(u64, low) << shift;
    }
    if (length == 1) return @as(u64, text[0]) << shift;
    const low = std.mem.readInt(u16, text[length - 2 ..][0..2], .big);
    return @as(u64, std.mem.readInt(u16, text[0..2], .big)) << 48 | @as(u64, low) << shift;
}

/// Names in the order in which they are looked up: shorter ones first, which decides almost always.
pub fn nameOrder(a: []const u8, b: []const u8) std.math.Order {
    if (a.len != b.len) return std.math.order(a.len, b.len);
    return textOrder(a, b);
}

const testing = std.testing;

fn numberBytes(comptime value: f64) *const [8]u8 {
    return comptime &@as([8]u8, @bitCast(value));
}

const example = "\x01a\x00" ++ "\x01b\x01" ++ "\x01c\x02" ++
    "\x04year\x03" ++ numberBytes(2026) ++
    "\x00\x04\x03abc" ++
    "\x02ls\x84\x03\xED\xA0\x80" ++
    "\x04tags\x05\x02\x01x\x00" ++
    "\x04none\x05\x00" ++
    "\x02xs\x06\x02" ++ numberBytes(-0.0) ++ numberBytes(1.5);

test "fields come in their order, with the values that were given" {
    var fields = iterate(example);
    const names = [_][]const u8{ "a", "b", "c", "year", "", "ls", "tags", "none", "xs" };
    const kinds = [_]Kind{
        .null, .false, .true, .number, .string, .string, .strings, .strings, .numbers,
    };
    for (names, kinds) |name, kind| {
        const field = (try fields.next()).?;
        try testing.expectEqualStrings(name, field.name);
        try testing.expectEqual(kind, field.value.kind());
    }
    try testing.expectEqual(null, try fields.next());

    try testing.expectEqual(2026, (try find(example, "year")).?.number);
    try testing.expectEqualStrings("abc", (try find(example, "")).?.string);
    try testing.expectEqualStrings("\xED\xA0\x80", (try find(example, "ls")).?.string);
    const tags = (try find(example, "tags")).?.strings;
    var elements = tags.iterate();
    try testing.expectEqual(2, tags.count);
    try testing.expectEqualStrings("x", elements.next().?);
    try testing.expectEqualStrings("", elements.next().?);
    try testing.expectEqual(null, elements.next());
    const numbers = (try find(example, "xs")).?.numbers;
    try testing.expectEqual(2, numbers.count());
    try testing.expectEqual(1.5, numbers.get(1));
    try testing.expectEqual(null, try find(example, "nobody"));
}

test "strings are in the order of their bytes" {
    var bytes: [40]u8 = @splat('a');
    for (0..20) |length| {
        for (0..20) |other| {
            const order = textOrder(bytes[0..length], bytes[20..][0..other]);
            try testing.expectEqual(std.math.order(length, other), order);
        }
        bytes[length] = 0xFF;
        try testing.expectEqual(.gt, textOrder(bytes[0..20], bytes[20..]));
        try testing.expectEqual(.lt, textOrder(bytes[20..], bytes[0..20]));
        bytes[length] = 'a';
    }
}

test "no bytes are a document without fields" {
    try testing.expect(check(""));
    try testing.expectEqual(null, try find("", "a"));
}

test "of a name that comes twice, the first field counts" {
    try testing.expectEqual(true, (try find("\x01a\x02\x01a\x01", "a")).?.boolean);
}

test "a document that is cut between fields is one, anywhere else it is none" {
    var fields = iterate(example);
    var whole: usize = 0;
    for (0..example.len + 1) |length| {
        if (example.len - fields.reader.rest.len < length) {
            _ = try fields.next();
            whole = example.len - fields.reader.rest.len;
        }
        try testing.expectEqual(length == whole or length == 0, check(example[0..length]));
    }
}

test "what is no document is found" {
    const bad = [_][]const u8{
        // Kinds that there are not; only text has surrogates.
        "\x01a\x07",
        "\x01a\x80",
        "\x01a\x83" ++ numberBytes(1),
        "\x01a\x86\x00",
        // Numbers that are infinite or none.
        "\x01a\x03" ++ numberBytes(std.math.inf(f64)),
        "\x01a\x06\x01" ++ numberBytes(std.math.nan(f64)),
        // Counts and lengths that nothing could have.
        "\x01a\x05\xFF\xFF\xFF\xFF\x0F",
        "\x01a\x06\xFF\xFF\xFF\xFF\x0F",
        "\xFF\xFF\xFF\xFF\x0F",
        // Of 2^32, and of more bytes.
        "\x80\x80\x80\x80\x10",
        "\x80\x80\x80\x80\x80\x00",
    };
    for (bad) |bytes| {
        try testing.expect(!check(bytes));
        try testing.expectError(error.Malformed, find(bytes, "b"));
    }
}
