//! Sentences with what they name, put together at run time. `std.Io.Writer.print` makes code of its
//! own for each format, and there are two hundred sentences in the engine: that was a twentieth of
//! the library.

const std = @import("std");
const Writer = std.Io.Writer;

/// What a sentence names.
pub const Named = union(enum) {
    text: []const u8,
    unsigned: u64,
    signed: i64,
    /// Something that writes itself.
    itself: struct {
        pointer: *const anyopaque,
        write: *const fn (*const anyopaque, *Writer) Writer.Error!void,
    },

    fn of(value: anytype) Named {
        return switch (@typeInfo(@TypeOf(value))) {
            .int => |int| if (int.signedness == .signed)
                .{ .signed = value }
            else
                .{ .unsigned = value },
            .comptime_int => .{ .signed = value },
            // No sentence names one, and the tables of digits for any float take 10 KB.
            .float => @compileError("a sentence names no floats"),
            else => .{ .text = value },
        };
    }

    fn ofWriter(value: anytype) Named {
        const Value = @TypeOf(value);
        return .{ .itself = .{
            .pointer = value,
            .write = struct {
                fn write(pointer: *const anyopaque, writer: *Writer) Writer.Error!void {
                    return @as(Value, @ptrCast(@alignCast(pointer))).format(writer);
                }
            }.write,
        } };
    }
};

/// What a sentence of this format names. In the format `{d}`, `{s}` and `{f}` stand for the
/// arguments, one after the other, and `{x}` for one in hexadecimal digits; there are no other ways
/// to say it. `arguments` is a pointer to a tuple, and has to live as long.
pub fn name(
    comptime format: []const u8,
    arguments: anytype,
) [std.meta.fields(std.meta.Child(@TypeOf(arguments))).len]Named {
    const fields = std.meta.fields(std.meta.Child(@TypeOf(arguments)));
    comptime {
        @setEvalBranchQuota(20_000);
        const places = std.mem.count(u8, format, "{");
        if (places != fields.len) @compileError("names too few or too many: " ++ format);
    }
    var named: [fields.len]Named = undefined;
    inline for (fields, &named) |field, *each| {
        each.* = if (comptime std.meta.hasFn(field.type, "format"))
            .ofWriter(&@field(arguments, field.name))
        else
            .of(@field(arguments, field.name));
    }
    return named;
}

/// Writes the sentence; what does not fit is left out.
pub noinline fn write(buffer: []u8, format: []const u8, named: []const Named) []const u8 {
    var writer: Writer = .fixed(buffer);
    writeAll(&writer, format, named) catch {};
    return writer.buffered();
}

fn writeAll(writer: *Writer, format: []const u8, named: []const Named) Writer.Error!void {
    var rest = format;
    for (named) |each| {
        const place = std.mem.indexOfScalar(u8, rest, '{').?;
        try writer.writeAll(rest[0..place]);
        const is_hexadecimal = rest[place + 1] == 'x';
        rest = rest[place + "{d}".len ..];
        switch (each) {
            .text => |text| try writer.writeAll(text),
            .unsigned => |value| try writer.printInt(
                value,
                if (is_hexadecimal) 16 else 10,
                .lower,
                .{},
            ),
            .signed => |value| try writer.printInt(value, 10, .lower, .{}),
            .itself => |itself| try itself.write(itself.pointer, writer),
        }
    }
    try writer.writeAll(rest);
}

test "a sentence says what print would say" {
    const Itself = struct {
        digit: u8,

        pub fn format(itself: @This(), writer: *Writer) Writer.Error!void {
            try writer.writeAll(&.{ 'i', itself.digit });
        }
    };
    var itself: Itself = .{ .digit = '1' };
    itself.digit += 1;
    const arguments = .{
        @as([]const u8, "text"), @as(u32, 7), @as(i64, -8), 9, @as(u64, 255), itself,
    };
    const format = "a {s}, {d} {d} {d}{x}: {f}.";
    var expected: [100]u8 = undefined;
    var found: [100]u8 = undefined;
    const text = try std.fmt.bufPrint(&expected, format, arguments);
    const named = name(format, &arguments);
    try std.testing.expectEqualStrings(text, write(&found, format, &named));
    try std.testing.expectEqualStrings("a tex", write(found[0..5], format, &named));
}
