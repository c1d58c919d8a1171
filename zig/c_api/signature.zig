//! Reads an entry of `functions.list`: the function's types from the function, the names and buffer
//! lengths, which Zig cannot tell, from the text beside it. Everything is checked at compile time.

const std = @import("std");

/// What crosses the boundary. There are no 64-bit integers, which JavaScript passes slowly, no
/// structs and no callbacks.
pub const Kind = enum {
    u32,
    i32,
    f64,
    bytes,
    words,
    floats,
    doubles,

    fn ofNumber(comptime T: type) Kind {
        return switch (T) {
            u32 => .u32,
            i32 => .i32,
            f64 => .f64,
            else => @compileError("no number of the C ABI is a " ++ @typeName(T)),
        };
    }

    fn ofElement(comptime T: type) Kind {
        return switch (T) {
            u8 => .bytes,
            u32 => .words,
            f32 => .floats,
            f64 => .doubles,
            else => @compileError("no buffer of the C ABI holds " ++ @typeName(T)),
        };
    }

    pub fn isBuffer(kind: Kind) bool {
        return switch (kind) {
            .u32, .i32, .f64 => false,
            .bytes, .words, .floats, .doubles => true,
        };
    }
};

pub const Parameter = struct {
    name: []const u8,
    kind: Kind,
    /// A buffer that may be null.
    optional: bool = false,
    /// How many elements the function may touch: a product and quotient of numbers and of other
    /// parameters, from left to right.
    length: []const u8 = "",
};

pub const Signature = struct {
    name: [:0]const u8,
    parameters: []const Parameter,
    result: Kind,
};

pub fn of(comptime entry: anytype) Signature {
    comptime {
        @setEvalBranchQuota(30_000);
        const name, const function, const text = entry;
        const info = @typeInfo(@TypeOf(function.*)).@"fn";
        var parameters: [info.params.len]Parameter = undefined;
        var words = std.mem.tokenizeScalar(u8, text, ' ');
        for (&parameters, info.params) |*parameter, declared| {
            const word = words.next() orelse @compileError(name ++ " has a nameless parameter");
            parameter.* = parse(word, declared.type.?);
        }
        if (words.next() != null) @compileError(name ++ " has fewer parameters than names");
        const fixed = parameters;
        for (fixed) |parameter| checkLength(&fixed, parameter.length);
        return .{ .name = name, .parameters = &fixed, .result = .ofNumber(info.return_type.?) };
    }
}

fn parse(comptime word: []const u8, comptime Declared: type) Parameter {
    const Pointer, const optional = switch (@typeInfo(Declared)) {
        .optional => |info| .{ info.child, true },
        else => .{ Declared, false },
    };
    if (@typeInfo(Pointer) != .pointer) return .{ .name = word, .kind = .ofNumber(Declared) };
    const bracket = std.mem.findScalar(u8, word, '[') orelse
        @compileError("the buffer " ++ word ++ " has no length");
    const pointer = @typeInfo(Pointer).pointer;
    if (pointer.size != .many) @compileError(word ++ " is no [*] pointer");
    if (pointer.alignment orelse 1 != 1) @compileError(word ++ " trusts its caller's alignment");
    return .{
        .name = word[0..bracket],
        .kind = .ofElement(pointer.child),
        .optional = optional,
        .length = word[bracket + 1 .. word.len - 1],
    };
}

fn checkLength(comptime parameters: []const Parameter, comptime length: []const u8) void {
    var factors = Factors.init(length);
    while (factors.next()) |factor| switch (factor.operand) {
        .number => {},
        .name => |name| if (parameters[indexOf(parameters, name)].kind != .u32) {
            @compileError("the length " ++ name ++ " is no u32");
        },
    };
}

pub fn indexOf(comptime parameters: []const Parameter, comptime name: []const u8) usize {
    for (parameters, 0..) |parameter, index| {
        if (std.mem.eql(u8, parameter.name, name)) return index;
    }
    @compileError("there is no parameter " ++ name);
}

/// Walks through a length: `hits_len/16/k` is `*hits_len`, `/16`, `/k`.
pub const Factors = struct {
    text: []const u8,
    at: usize = 0,

    pub const Factor = struct {
        divides: bool,
        operand: union(enum) { number: u32, name: []const u8 },
    };

    pub fn init(text: []const u8) Factors {
        return .{ .text = text };
    }

    pub fn next(factors: *Factors) ?Factor {
        if (factors.at >= factors.text.len) return null;
        const divides = factors.at > 0 and factors.text[factors.at - 1] == '/';
        const rest = factors.text[factors.at..];
        const operand = rest[0 .. std.mem.findAny(u8, rest, "*/") orelse rest.len];
        factors.at += operand.len + 1;
        const number = std.fmt.parseInt(u32, operand, 10) catch
            return .{ .divides = divides, .operand = .{ .name = operand } };
        return .{ .divides = divides, .operand = .{ .number = number } };
    }
};

/// The elements that a call with these arguments may touch; 0 where it would divide by 0, which
/// every function refuses.
pub fn evaluate(
    comptime signature: Signature,
    comptime length: []const u8,
    arguments: anytype,
) u64 {
    var product: u64 = 1;
    comptime var factors = Factors.init(length);
    inline while (comptime factors.next()) |factor| {
        const operand: u64 = switch (factor.operand) {
            .number => |number| number,
            .name => |name| arguments[comptime indexOf(signature.parameters, name)],
        };
        if (!factor.divides) {
            product *|= operand;
        } else if (operand == 0) {
            return 0;
        } else {
            product /= operand;
        }
    }
    return product;
}

fn example(_: [*]const u8, _: u32, _: ?[*]align(1) f32, _: f64, _: u32) callconv(.c) i32 {
    return 0;
}

const example_signature = of(.{ "vl_example", &example, "keys[a*16] a out[a/4/b] ratio b" });

test "an entry becomes names, kinds and lengths" {
    const expected: []const Parameter = &.{
        .{ .name = "keys", .kind = .bytes, .length = "a*16" },
        .{ .name = "a", .kind = .u32 },
        .{ .name = "out", .kind = .floats, .optional = true, .length = "a/4/b" },
        .{ .name = "ratio", .kind = .f64 },
        .{ .name = "b", .kind = .u32 },
    };
    try std.testing.expectEqualDeep(expected, example_signature.parameters);
    try std.testing.expectEqual(Kind.i32, example_signature.result);
}

test "lengths are evaluated from left to right without overflow" {
    const Arguments = std.meta.ArgsTuple(@TypeOf(example));
    var bytes: [1]u8 = .{0};
    const arguments: Arguments = .{ &bytes, 64, null, 0.5, 3 };
    try std.testing.expectEqual(1024, evaluate(example_signature, "a*16", arguments));
    try std.testing.expectEqual(5, evaluate(example_signature, "a/4/b", arguments));
    const zero: Arguments = .{ &bytes, std.math.maxInt(u32), null, 0.5, 0 };
    try std.testing.expectEqual(0, evaluate(example_signature, "a/4/b", zero));
    try std.testing.expectEqual(0xFFFFFFFF0, evaluate(example_signature, "a*16", zero));
    try std.testing.expectEqual(4, evaluate(example_signature, "4", zero));
}
