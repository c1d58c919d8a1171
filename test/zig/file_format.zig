//! docs/file-format.md draws every byte of a file. Here its tables are compared with the
//! declarations: each structure's size, each field's place, and the numbers that have names.

const std = @import("std");
const vl = @import("vectorlite");
const format = vl.format;
const limits = vl.limits;

const document = @embedFile("file-format.md");

const structures = .{
    "Header",         "Root",          "PageRef",     "PageHeader",     "InnerPage",
    "BucketPage",     "TombstonePage", "HeapExtent",  "Segment",        "SegmentPage",
    "CollectionPage", "RowEntry",      "Record",      "CodeCentreTail", "CodeBlockTail",
    "ColumnEntry",    "AmendmentPage", "ColumnBlock", "Column",
};

/// A line of the document, made of what the declarations say.
var line_buffer: [128]u8 = undefined;

fn line(comptime text: []const u8, arguments: anytype) ![]const u8 {
    return std.fmt.bufPrint(&line_buffer, "\n" ++ text, arguments);
}

fn expectIn(text: []const u8, expected: []const u8) !usize {
    return std.mem.find(u8, text, expected) orelse {
        std.debug.print("docs/file-format.md lacks: {s}\n", .{expected[1..]});
        return error.TestUnexpectedResult;
    };
}

/// What stands from a heading to the next one.
fn section(heading: []const u8) ![]const u8 {
    const text = document[try expectIn(document, heading) + heading.len ..];
    return text[0 .. std.mem.find(u8, text, "\n#") orelse text.len];
}

test "every structure is drawn as it is declared" {
    inline for (structures) |name| {
        const T = @field(format, name);
        const text = try section(try line("### `{s}`, {d} bytes\n", .{ name, @sizeOf(T) }));
        const fields = std.meta.fields(T);
        inline for (fields) |field| {
            const place = .{ @offsetOf(T, field.name), @sizeOf(field.type), field.name };
            _ = try expectIn(text, try line("| {d} | {d} | `{s}` |", place));
        }
        const table = text[try expectIn(text, "\n| offset |") + 1 ..];
        const end = std.mem.find(u8, table, "\n\n") orelse table.len;
        // Two lines of the table are its head.
        const rows = std.mem.countScalar(u8, std.mem.trimEnd(u8, table[0..end], "\n"), '\n') - 1;
        try std.testing.expectEqual(fields.len, rows);
    }
}

test "no structure is left out" {
    comptime var count = 0;
    inline for (@typeInfo(format).@"struct".decls) |declaration| {
        if (@TypeOf(@field(format, declaration.name)) != type) continue;
        const info = @typeInfo(@field(format, declaration.name));
        if (info == .@"struct" and info.@"struct".layout == .@"extern") count += 1;
    }
    try std.testing.expectEqual(structures.len, count);
}

test "the kinds of pages have the numbers of the declarations" {
    const text = try section("\n### `PageHeader`, 32 bytes\n");
    inline for (std.meta.fields(format.PageType)) |kind| {
        _ = try expectIn(text, try line("| {d} | `{s}` |", .{ kind.value, kind.name }));
    }
}

test "the kinds of values have the numbers of the declarations" {
    const text = try section("\n## Metadata\n");
    inline for (std.meta.fields(vl.document.Kind)) |kind| {
        _ = try expectIn(text, try line("| {d} | {s} |", .{ kind.value, kind.name }));
    }
}

test "the parts of the file lie where the map says" {
    const text = try section("\n## The whole file\n");
    for ([_]u32{
        format.header_page,
        format.durable_slot_page,
        format.volatile_slot_page,
        format.header_copy_page,
        format.first_free_page,
    }) |page| {
        _ = try expectIn(text, try line("| {d} | {d} |", .{ page, format.pageOffset(page) }));
    }
}

test "the lock bytes are those of the declarations" {
    const text = try section("\n## Locks\n");
    inline for (.{
        "lock_writer", "lock_gate", "lock_exclusive", "lock_volatile", "lock_snapshots",
    }) |name| {
        const distance = @field(format, name) - format.lock_base;
        _ = try expectIn(text, try line("| 2^62 + {d} | `{s}` |", .{ distance, name }));
    }
    try std.testing.expectEqual(1 << 62, format.lock_base);
}

test "the numbers in the text are those of the declarations" {
    const numbers = .{
        .{ "{d} hashes (u64)", format.bucket_capacity },
        .{ "`count` ≤ {d}", format.bucket_capacity },
        .{ "{d} `PageRef`", format.tombstone_pages_max },
        .{ "the first of {d} durable root slots", format.durable_slot_count },
        .{ "the first of {d} volatile root slots", format.volatile_slot_count },
        .{ "A new file has {d} pages", format.initial_pages },
        .{ "a block of at most {d} rows", format.column_block_rows },
        .{ "of more than {d} bytes has no column", format.column_name_bytes_max },
        .{ "string of more than {d} bytes", format.column_text_bytes_max },
        .{ "there are the first {d}.", format.column_text_bytes_max + 1 },
        .{ "of {d} rows or more, a bitmap", format.column_bitmap_bytes },
        .{ "arrays of more than {d} elements", limits.column_elements_max },
        .{ "{d}; a file with a higher number is not opened", format.format_major },
    };
    inline for (numbers) |number| {
        const expected = try line(number[0], .{number[1]});
        _ = try expectIn(document, expected[1..]);
    }
    try std.testing.expectEqual(32_512, format.tombstone_rows_per_page);
    try std.testing.expectEqual(256, format.amendment_rows_per_page);
    try std.testing.expectEqual(256, format.fanout);
    try std.testing.expectEqual(65_536, format.pageOffset(format.initial_pages));
    try std.testing.expectEqual(1 << 24, limits.segments_max);
    try std.testing.expectEqual(65_536, limits.segment_rows_max);
    try std.testing.expectEqual(65_536, limits.key_bytes_max);
    try std.testing.expectEqual(16_777_216, limits.metadata_bytes_max);
    try std.testing.expectEqual(65_535, limits.column_dictionary_bytes_max);
}
