//! Makes the columns of a block from the documents of its rows. What the columns are is said in
//! format.zig and docs/file-format.md; column_block.zig reads them.
//!
//! The same documents give the same bytes.

const std = @import("std");
const document = @import("document.zig");
const format = @import("format.zig");
const limits = @import("limits.zig");
const row_set = @import("row_set.zig");

const Allocator = std.mem.Allocator;
const Column = format.Column;
const Kind = document.Kind;
const Rows = row_set.Rows;
const Error = error{ OutOfMemory, Malformed };

const kinds = std.enums.values(Kind);

/// Appends the columns of these rows to `out`, or nothing where no row has a field. After an error
/// `out` is what it was.
pub fn build(
    gpa: Allocator,
    documents: []const []const u8,
    out: *std.ArrayList(u8),
) Error!void {
    std.debug.assert(documents.len <= format.column_block_rows);
    var arena: std.heap.ArenaAllocator = .init(gpa);
    defer arena.deinit();
    var builder: Builder = .{
        .arena = arena.allocator(),
        .gpa = gpa,
        .out = out,
        .start = out.items.len,
        .row_count = @intCast(documents.len),
    };
    errdefer out.shrinkRetainingCapacity(builder.start);
    for (documents, 0..) |bytes, row| {
        try builder.addDocument(@intCast(row), bytes);
        if (row == 0) try builder.reserve();
    }
    if (builder.fields.items.len > 0) try builder.write();
}

/// A value of a row.
const Cell = struct {
    value: document.Value,
    row: u8,
    /// Of the same field.
    next: u32 = no_cell,
};

const no_cell = std.math.maxInt(u32);

const Field = struct {
    name: []const u8,
    first_cell: u32,
    last_cell: u32,
};

/// A number or a string.
const Value = struct {
    /// The number, or the beginning of the text: where these differ, they are the order.
    head: u64,
    text: []const u8,

    fn ofNumber(number: f64) Value {
        return .{ .head = sortable(number), .text = "" };
    }

    fn ofText(whole: []const u8) Value {
        const text = whole[0..@min(whole.len, format.column_text_bytes_max + 1)];
        return .{ .head = document.textHead(text), .text = text };
    }

    fn isSame(a: *const Value, b: *const Value) bool {
        if (a.head != b.head or a.text.len != b.text.len) return false;
        return a.text.len <= 8 or std.mem.eql(u8, a.text[8..], b.text[8..]);
    }

    /// Cheap, and good enough for what it is for: texts that differ only in their middle meet.
    fn hash(value: *const Value) u64 {
        const text = value.text;
        const tail = if (text.len > 8) document.textHead(text[text.len - 8 ..]) else 0;
        const mixed = (value.head ^ std.math.rotl(u64, tail, 23) ^ text.len) *%
            0x9E37_79B9_7F4A_7C15;
        return mixed >> (64 - @bitSizeOf(Slot));
    }
};

/// As it is sorted. `value` is an index.
const Key = struct {
    head: u64,
    value: u16,

    fn isBefore(values: []const Value, a: Key, b: Key) bool {
        if (a.head != b.head) return a.head < b.head;
        return document.textOrder(values[a.value].text, values[b.value].text) == .lt;
    }
};

/// One value of a row, or one element of its array. `value` is an index.
const Item = struct { value: u16, row: u8 };

/// Of the table that finds most values again, so that few of them have to be sorted.
const Slot = u10;
const no_value = std.math.maxInt(u16);

/// Puts keys with heads that are near to each other together before it compares any: values are
/// many or spread, and comparing them takes most of the time that columns take.
fn sortKeys(values: []const Value, keys: []Key) void {
    var least = values[0].head;
    var most = least;
    for (values) |value| {
        least = @min(least, value.head);
        most = @max(most, value.head);
    }
    const shift: u6 = @intCast((64 - @clz(most - least)) -| @bitSizeOf(Bucket));
    // Where each begins; once its keys are there, where it ends.
    var places: [1 << @bitSizeOf(Bucket)]u16 = @splat(0);
    for (values) |value| places[(value.head - least) >> shift] += 1;
    var place: u16 = 0;
    for (&places) |*count| {
        const next = place + count.*;
        count.* = place;
        place = next;
    }
    for (values, 0..) |value, i| {
        const to = &places[(value.head - least) >> shift];
        keys[to.*] = .{ .head = value.head, .value = @intCast(i) };
        to.* += 1;
    }
    var start: usize = 0;
    for (places) |end| {
        const near = keys[start..end];
        start = end;
        // The sort for many begins with work that takes longer than this.
        if (near.len <= few_keys) {
            std.sort.insertion(Key, near, values, Key.isBefore);
        } else std.sort.heap(Key, near, values, Key.isBefore);
    }
}

const Bucket = u8;
const few_keys = 24;

const Builder = struct {
    /// For everything but `out`.
    arena: Allocator,
    gpa: Allocator,
    out: *std.ArrayList(u8),
    /// Where the block begins in `out`.
    start: usize,
    row_count: u16,
    fields: std.ArrayList(Field) = .empty,
    /// Indexes of `fields` in the order of their names.
    by_name: std.ArrayList(u16) = .empty,
    cells: std.ArrayList(Cell) = .empty,
    columns: std.ArrayList(Column) = .empty,
    has_left_out: bool = false,
    /// Of the column that is being written. Some values may be there more than once.
    values: std.ArrayList(Value) = .empty,
    items: std.ArrayList(Item) = .empty,
    keys: std.ArrayList(Key) = .empty,
    /// Of each value its code, which is its index in the dictionary.
    codes: std.ArrayList(u16) = .empty,
    /// Of each code a value.
    dictionary: std.ArrayList(u16) = .empty,
    lists: std.ArrayList(Rows) = .empty,
    slots: [1 << @bitSizeOf(Slot)]u16 = undefined,

    /// Room for documents that are like the first one, so that little is moved later.
    fn reserve(builder: *Builder) Error!void {
        const rows: usize = builder.row_count;
        const cells = @min(builder.cells.items.len * rows, 16 * 1024);
        try builder.cells.ensureTotalCapacityPrecise(builder.arena, cells);
        try builder.values.ensureTotalCapacity(builder.arena, rows);
        try builder.items.ensureTotalCapacity(builder.arena, rows);
        try builder.keys.ensureTotalCapacity(builder.arena, rows);
        try builder.codes.ensureTotalCapacity(builder.arena, rows);
        try builder.dictionary.ensureTotalCapacity(builder.arena, rows);
    }

    fn addDocument(builder: *Builder, row: u8, bytes: []const u8) Error!void {
        var fields = document.iterate(bytes);
        // Documents are like the ones before them: the next field is the next one.
        var guess: usize = 0;
        while (try fields.next()) |given| {
            if (given.name.len > format.column_name_bytes_max) continue;
            const cell: u32 = @intCast(builder.cells.items.len);
            const index = try builder.fieldIndex(given.name, guess) orelse continue;
            guess = index + 1;
            const field = &builder.fields.items[index];
            if (field.first_cell == no_cell) {
                field.first_cell = cell;
            } else {
                const last = &builder.cells.items[field.last_cell];
                // Of a name that comes twice, the first field counts.
                if (last.row == row) continue;
                last.next = cell;
            }
            field.last_cell = cell;
            try builder.cells.append(builder.arena, .{ .value = given.value, .row = row });
        }
    }

    /// Null where there are too many fields.
    fn fieldIndex(builder: *Builder, name: []const u8, guess: usize) Error!?usize {
        const fields = builder.fields.items;
        if (guess < fields.len and std.mem.eql(u8, fields[guess].name, name)) return guess;
        const search: NameSearch = .{ .fields = fields, .name = name };
        const at = std.sort.lowerBound(u16, builder.by_name.items, search, NameSearch.order);
        if (at < fields.len) {
            const index = builder.by_name.items[at];
            if (std.mem.eql(u8, fields[index].name, name)) return index;
        }
        if (fields.len == limits.column_fields_max) {
            builder.has_left_out = true;
            return null;
        }
        try builder.by_name.insert(builder.arena, at, @intCast(fields.len));
        try builder.fields.append(builder.arena, .{
            .name = name,
            .first_cell = no_cell,
            .last_cell = no_cell,
        });
        return fields.len;
    }

    const NameSearch = struct {
        fields: []const Field,
        name: []const u8,

        fn order(search: NameSearch, index: u16) std.math.Order {
            return document.nameOrder(search.name, search.fields[index].name);
        }
    };

    fn write(builder: *Builder) Error!void {
        try builder.out.appendNTimes(builder.gpa, 0, @sizeOf(format.ColumnBlock));
        for (builder.by_name.items) |index| try builder.writeField(builder.fields.items[index]);
        const directory = builder.place();
        for (builder.columns.items) |*column| try builder.append(std.mem.asBytes(column));
        const padding = -%builder.place() % 8;
        try builder.out.appendNTimes(builder.gpa, 0, padding);
        const header: format.ColumnBlock = .{
            .byte_count = builder.place(),
            .directory_offset = directory,
            .column_count = @intCast(builder.columns.items.len),
            .row_count = builder.row_count,
            .has_left_out = @intFromBool(builder.has_left_out),
        };
        const bytes = builder.out.items[builder.start..];
        @memcpy(bytes[0..@sizeOf(format.ColumnBlock)], std.mem.asBytes(&header));
    }

    fn writeField(builder: *Builder, field: Field) Error!void {
        const end = builder.out.items.len;
        const column_count = builder.columns.items.len;
        var rows: std.EnumArray(Kind, Rows) = .initFill(row_set.none);
        var index = field.first_cell;
        while (index != no_cell) {
            const cell = &builder.cells.items[index];
            row_set.insert(rows.getPtr(cell.value.kind()), cell.row);
            index = cell.next;
        }
        const name_offset = builder.place();
        try builder.append(field.name);
        for (kinds) |kind| {
            const of_kind = rows.getPtr(kind);
            if (row_set.isEmpty(of_kind.*)) continue;
            var column: Column = .{
                .name_offset = name_offset,
                .name_bytes = @intCast(field.name.len),
                .kind = @intFromEnum(kind),
                .row_count = @intCast(row_set.count(of_kind)),
                .rows_offset = 0,
            };
            if (column.row_count < builder.row_count) {
                column.rows_offset = try builder.appendRows(of_kind);
            }
            try builder.writeValues(field, kind, of_kind, &column);
            try builder.columns.append(builder.arena, column);
        }
        if (builder.place() <= limits.column_block_bytes_max) return;
        builder.has_left_out = true;
        builder.columns.shrinkRetainingCapacity(column_count);
        builder.out.shrinkRetainingCapacity(end);
    }

    fn writeValues(
        builder: *Builder,
        field: Field,
        kind: Kind,
        rows: *const Rows,
        column: *Column,
    ) Error!void {
        if (kind == .null or kind == .false or kind == .true) return;
        const is_array = kind == .strings or kind == .numbers;
        var unknown = row_set.none;
        try builder.collect(field, kind, &unknown);
        try builder.sort();
        if (is_array) builder.limit(&unknown);
        column.value_count = @intCast(builder.dictionary.items.len);
        column.dictionary_offset = builder.place();
        if (kind == .string or kind == .strings) {
            try builder.writeTexts();
        } else {
            try builder.writeNumbers();
        }
        if (is_array or column.value_count > 1) column.codes_offset = builder.place();
        if (is_array) {
            try builder.writeLists();
            if (row_set.isEmpty(unknown)) return;
            column.unknown_offset = try builder.appendRows(&unknown);
        } else if (column.value_count > 1) {
            try builder.writeCodes(rows, column.row_count);
        }
    }

    /// Takes the values of a column, or the elements of its arrays, but for those that are too
    /// many: their rows become unknown.
    fn collect(builder: *Builder, field: Field, kind: Kind, unknown: *Rows) Error!void {
        // Without a look at what is there, which is overwritten.
        builder.values.items.len = 0;
        builder.items.items.len = 0;
        @memset(&builder.slots, no_value);
        var index = field.first_cell;
        while (index != no_cell) {
            const cell = &builder.cells.items[index];
            index = cell.next;
            if (cell.value.kind() != kind) continue;
            const row = cell.row;
            switch (cell.value) {
                .null, .boolean => {},
                .number => |value| try builder.add(row, .ofNumber(value)),
                .string => |text| try builder.add(row, .ofText(text)),
                .strings => |array| if (array.count > limits.column_elements_max) {
                    row_set.insert(unknown, row);
                } else {
                    var elements = array.iterate();
                    while (elements.next()) |text| {
                        try builder.add(row, .ofText(text));
                    }
                },
                .numbers => |array| if (array.count() > limits.column_elements_max) {
                    row_set.insert(unknown, row);
                } else for (0..array.count()) |i| {
                    try builder.add(row, .ofNumber(array.get(i)));
                },
            }
        }
    }

    fn add(builder: *Builder, row: u8, value: Value) Error!void {
        const values = &builder.values;
        const slot = &builder.slots[@intCast(value.hash())];
        if (slot.* == no_value or !value.isSame(&values.items[slot.*])) {
            slot.* = @intCast(values.items.len);
            try values.append(builder.arena, value);
        }
        try builder.items.append(builder.arena, .{ .value = slot.*, .row = row });
    }

    /// Gives equal values one code, in their order.
    fn sort(builder: *Builder) Error!void {
        const values = builder.values.items;
        const dictionary = &builder.dictionary;
        dictionary.items.len = 0;
        try dictionary.ensureTotalCapacity(builder.arena, values.len);
        try builder.keys.resize(builder.arena, values.len);
        try builder.codes.resize(builder.arena, values.len);
        if (values.len == 0) return;
        const keys = builder.keys.items;
        sortKeys(values, keys);
        for (keys) |key| {
            const count = dictionary.items.len;
            const is_new = count == 0 or
                !values[key.value].isSame(&values[dictionary.items[count - 1]]);
            if (is_new) dictionary.appendAssumeCapacity(key.value);
            builder.codes.items[key.value] = @intCast(dictionary.items.len - 1);
        }
    }

    /// Ends a dictionary of elements where it has room for no more. Rows with others become
    /// unknown.
    fn limit(builder: *Builder, unknown: *Rows) void {
        var text_bytes: usize = 0;
        for (builder.dictionary.items, 0..) |value, count| {
            text_bytes += builder.values.items[value].text.len;
            if (text_bytes <= limits.column_dictionary_bytes_max) continue;
            for (builder.items.items) |item| {
                if (builder.codes.items[item.value] >= count) row_set.insert(unknown, item.row);
            }
            return builder.dictionary.shrinkRetainingCapacity(count);
        }
    }

    fn writeTexts(builder: *Builder) Error!void {
        const values = builder.values.items;
        const dictionary = builder.dictionary.items;
        var text_bytes: usize = 0;
        for (dictionary) |value| text_bytes += values[value].text.len;
        const offset_bytes = (dictionary.len + 1) * @sizeOf(u16);
        const bytes = try builder.out.addManyAsSlice(builder.gpa, offset_bytes + text_bytes);
        const offsets = std.mem.bytesAsSlice(u16, bytes[0..offset_bytes]);
        const texts = bytes[offset_bytes..];
        var at: usize = 0;
        for (dictionary, offsets[0..dictionary.len]) |value, *offset| {
            const text = values[value].text;
            offset.* = @intCast(at);
            @memcpy(texts[at..][0..text.len], text);
            at += text.len;
        }
        offsets[dictionary.len] = @intCast(at);
    }

    fn writeNumbers(builder: *Builder) Error!void {
        const dictionary = builder.dictionary.items;
        const byte_count = dictionary.len * @sizeOf(f64);
        const bytes = try builder.out.addManyAsSlice(builder.gpa, byte_count);
        for (dictionary, std.mem.bytesAsSlice(f64, bytes)) |value, *number| {
            number.* = unsorted(builder.values.items[value].head);
        }
    }

    fn writeCodes(builder: *Builder, rows: *const Rows, rows_of_kind: u32) Error!void {
        var codes: [format.column_block_rows]u8 = @splat(0);
        for (builder.items.items) |item| {
            codes[item.row] = @intCast(builder.codes.items[item.value]);
        }
        if (!format.isSparse(rows_of_kind, builder.row_count)) {
            return builder.append(codes[0..builder.row_count]);
        }
        var left = row_set.iterate(rows);
        while (left.next()) |row| try builder.append(codes[row..][0..1]);
    }

    fn writeLists(builder: *Builder) Error!void {
        const count = builder.dictionary.items.len;
        try builder.lists.resize(builder.arena, count);
        const lists = builder.lists.items;
        @memset(lists, row_set.none);
        for (builder.items.items) |item| {
            const code = builder.codes.items[item.value];
            if (code < count) row_set.insert(&lists[code], item.row);
        }
        var offset: u16 = 0;
        for (lists) |*rows| {
            try builder.append(std.mem.asBytes(&offset));
            offset += @intCast(@min(row_set.count(rows), format.column_bitmap_bytes));
        }
        try builder.append(std.mem.asBytes(&offset));
        for (lists) |*rows| {
            if (row_set.count(rows) >= format.column_bitmap_bytes) {
                try builder.append(std.mem.asBytes(rows));
                continue;
            }
            var left = row_set.iterate(rows);
            while (left.next()) |row| try builder.append(&.{row});
        }
    }

    fn appendRows(builder: *Builder, rows: *const Rows) Error!u32 {
        const offset = builder.place();
        try builder.append(std.mem.asBytes(rows));
        return offset;
    }

    fn append(builder: *Builder, bytes: []const u8) Error!void {
        try builder.out.appendSlice(builder.gpa, bytes);
    }

    fn place(builder: *const Builder) u32 {
        return @intCast(builder.out.items.len - builder.start);
    }
};

const sign = @as(u64, 1) << 63;

/// Integers in the order of the numbers. Both zeros are one.
fn sortable(value: f64) u64 {
    const bits: u64 = @bitCast(if (value == 0) 0 else value);
    return if (bits & sign != 0) ~bits else bits | sign;
}

fn unsorted(head: u64) f64 {
    return @bitCast(if (head & sign != 0) head & ~sign else ~head);
}

test "numbers are sorted as integers" {
    const numbers = [_]f64{ -1e300, -1.5, -1, -1e-310, 0, 5e-324, 1, 1.5, 1e300 };
    for (numbers[0 .. numbers.len - 1], numbers[1..]) |a, b| {
        try std.testing.expect(sortable(a) < sortable(b));
    }
    for (numbers) |number| try std.testing.expectEqual(number, unsorted(sortable(number)));
    try std.testing.expectEqual(sortable(0), sortable(-0.0));
}
