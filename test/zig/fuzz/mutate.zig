//! Damage to the bytes of a file: blind, which a checksum must notice, and forged, where every
//! checksum is right and only what the bytes say is wrong.

const std = @import("std");
const vl = @import("vectorlite");
const disk = @import("disk.zig");
const layout_module = @import("layout.zig");
const Choices = @import("choices.zig").Choices;
const Content = disk.Content;
const Layout = layout_module.Layout;
const format = vl.format;

/// Bits, bytes, sectors and pages, and the length of the file.
pub fn blind(content: *Content, choices: *Choices) void {
    const bytes = content.bytes();
    if (bytes.len == 0) return;
    const at = place(bytes, choices);
    switch (choices.below(16)) {
        0...5 => {
            content.touch(at, 1);
            bytes[at] ^= @as(u8, 1) << @intCast(choices.below(8));
        },
        6...8 => {
            const len = @min(bytes.len - at, 1 + choices.below(16));
            content.touch(at, len);
            choices.fill(bytes[at..][0..len]);
        },
        9, 10 => {
            const sector = at / 512 * 512;
            const len = @min(512, bytes.len - sector);
            content.touch(sector, len);
            const out = bytes[sector..][0..len];
            if (choices.oneIn(2)) @memset(out, 0) else choices.fill(out);
        },
        11...13 => {
            const from = place(bytes, choices) / format.page_bytes * format.page_bytes;
            const to = at / format.page_bytes * format.page_bytes;
            const len = @min(format.page_bytes, bytes.len - @max(from, to));
            content.touch(to, len);
            std.mem.copyForwards(u8, bytes[to..][0..len], bytes[from..][0..len]);
        },
        14 => content.setLength(at),
        15 => content.setLength(@min(Content.bytes_max, bytes.len + 1 + choices.below(1 << 20))),
        else => unreachable,
    }
}

/// Most of a file is rarely read; half of the damage is where every open looks.
fn place(bytes: []const u8, choices: *Choices) usize {
    const head = 16 * format.page_bytes;
    const end = if (choices.oneIn(2)) @min(bytes.len, head) else bytes.len;
    return choices.below(end);
}

/// One change of what the file says, under right checksums.
pub fn forge(content: *Content, layout: *const Layout, choices: *Choices) void {
    switch (choices.below(12)) {
        0 => forgeHeader(content, choices),
        1, 2 => forgeSlot(content, choices),
        3 => forgeLink(content, layout, choices),
        4 => forgeRow(content, layout, choices),
        else => forgePage(content, layout, choices),
    }
}

fn forgeHeader(content: *Content, choices: *Choices) void {
    for ([_]u32{ format.header_page, format.header_copy_page }) |page| {
        const at: usize = @intCast(format.pageOffset(page));
        if (content.length < at + 512) return;
        content.touch(at, 512);
        const head = content.bytes()[at..][0..512];
        forgeField(format.Header, head, choices);
        layout_module.fixHead(head);
    }
}

/// Fields of one root, or another root in its place.
pub fn forgeSlot(content: *Content, choices: *Choices) void {
    const slot: u32 = @intCast(choices.below(format.slot_count));
    const at: usize = @intCast(vl.roots.slotOffset(slot));
    if (content.length < at + 512) return;
    content.touch(at, 512);
    const bytes = content.bytes();
    const head = bytes[at..][0..512];
    if (choices.oneIn(4)) {
        const from = vl.roots.slotOffset(@intCast(choices.below(format.slot_count)));
        if (from + 512 > bytes.len) return;
        const other: [512]u8 = bytes[@intCast(from)..][0..512].*;
        head.* = other;
        const root: *align(1) format.Root = @ptrCast(head);
        root.kind = if (slot < format.durable_slot_count) .durable else .@"volatile";
        if (choices.oneIn(2)) root.boot_id = disk.Machine.boot_id;
    }
    for (0..choices.below(3)) |_| forgeField(format.Root, head, choices);
    layout_module.fixHead(head);
}

/// A reference leads to another page, with its checksum.
fn forgeLink(content: *Content, layout: *const Layout, choices: *Choices) void {
    if (layout.links.items.len == 0) return;
    const link = choices.below(layout.links.items.len);
    const node = choices.below(layout.nodes.items.len);
    if (!holds(content, layout)) return;
    content.touch(0, content.length);
    layout.retarget(content.bytes(), link, node);
}

fn forgeRow(content: *Content, layout: *const Layout, choices: *Choices) void {
    if (layout.rows.items.len == 0 or !holds(content, layout)) return;
    const row = &layout.rows.items[choices.below(layout.rows.items.len)];
    const bytes = content.bytes();
    if (row.record_at + 64 > bytes.len) return;
    content.touch(row.entry_at, 32);
    content.touch(row.record_at, 64);
    const vector_bytes = row.dimension * @sizeOf(f32);
    content.touch(row.vector_at, vector_bytes);
    switch (choices.below(4)) {
        0 => forgeField(format.RowEntry, bytes[row.entry_at..][0..32], choices),
        1, 2 => forgeField(format.Record, bytes[row.record_at..][0..48], choices),
        3 => {
            const number = row.vector_at + choices.below(row.dimension) * @sizeOf(f32);
            const odd = [_]u32{ 0, 0x7F800000, 0xFF800000, 0x7FC00000, 1, 0x7F7FFFFF, 0x80000000 };
            const bits = if (choices.oneIn(4)) choices.int(u32) else choices.pick(u32, &odd);
            std.mem.writeInt(u32, bytes[number..][0..4], bits, .little);
        },
        else => unreachable,
    }
    layout_module.fixRow(bytes, row);
}

/// Fields of one index page, or all of its content.
pub fn forgePage(content: *Content, layout: *const Layout, choices: *Choices) void {
    if (layout.nodes.items.len == 0 or !holds(content, layout)) return;
    const index = choices.below(layout.nodes.items.len);
    const node = layout.nodes.items[index];
    const at: usize = @intCast(format.pageOffset(node.page));
    const bytes = content.bytes();
    const page = bytes[at..][0..format.page_bytes];
    if (choices.oneIn(16)) {
        choices.fill(page[@sizeOf(format.PageHeader)..]);
    } else if (choices.oneIn(16)) {
        const other = layout.nodes.items[choices.below(layout.nodes.items.len)];
        const from: usize = @intCast(format.pageOffset(other.page));
        std.mem.copyForwards(u8, page, bytes[from..][0..format.page_bytes]);
    } else if (choices.oneIn(16) and (node.type == .inner or node.type == .array)) {
        repeatChild(page, choices);
    } else for (0..1 + choices.below(3)) |_| switch (node.type) {
        .inner, .array => forgeField(format.InnerPage, page, choices),
        .bucket => forgeField(format.BucketPage, page, choices),
        .tombstones => forgeField(format.TombstonePage, page, choices),
        .collection => forgeField(format.CollectionPage, page, choices),
        .segment => forgeField(format.SegmentPage, page, choices),
        .amendments => forgeField(format.AmendmentPage, page, choices),
        _ => choices.fill(page[choices.below(4000)..][0..8]),
    };
    touchTree(content, layout);
    layout.fixNode(bytes, index);
}

/// Makes one child of an inner page all of its children up to another.
fn repeatChild(bytes: *[format.page_bytes]u8, choices: *Choices) void {
    const inner: *align(1) format.InnerPage = @ptrCast(bytes);
    const child = choices.below(format.fanout);
    const end = choices.below(format.fanout + 1);
    const is_inner = choices.oneIn(2);
    for (@min(child, end)..@max(child, end)) |i| {
        inner.pages[i] = inner.pages[child];
        inner.checksums[i] = inner.checksums[child];
        const bit = @as(u8, 1) << @intCast(i % 8);
        if (is_inner) inner.inner_children[i / 8] |= bit else inner.inner_children[i / 8] &= ~bit;
    }
}

/// Whether all of the layout still lies in the file.
fn holds(content: *const Content, layout: *const Layout) bool {
    for (layout.nodes.items) |node| {
        if (format.pageOffset(node.page + 1) > content.length) return false;
    }
    return content.length >= format.pageOffset(format.first_free_page);
}

/// Checksums may change in all index pages and slots.
fn touchTree(content: *Content, layout: *const Layout) void {
    content.touch(0, @intCast(format.pageOffset(format.first_free_page)));
    for (layout.nodes.items) |node| {
        content.touch(@intCast(format.pageOffset(node.page)), format.page_bytes);
    }
}

/// A run of numbers of one size.
const Field = struct { at: u32, bytes: u8, count: u32 };

/// Every number in `T`, in runs: an array is one field.
fn fieldsOf(comptime T: type) []const Field {
    comptime {
        var fields: []const Field = &.{};
        addFields(T, 0, &fields);
        return fields;
    }
}

fn addFields(comptime T: type, comptime at: u32, comptime fields: *[]const Field) void {
    switch (@typeInfo(T)) {
        .@"struct" => |info| for (info.fields) |field| {
            if (std.mem.startsWith(u8, field.name, "reserved")) continue;
            addFields(field.type, at + @offsetOf(T, field.name), fields);
        },
        .array => |info| switch (@typeInfo(info.child)) {
            .@"struct" => for (0..@min(info.len, 4)) |i| {
                addFields(info.child, at + i * @sizeOf(info.child), fields);
            },
            else => {
                const field: Field = .{
                    .at = at,
                    .bytes = @sizeOf(info.child),
                    .count = info.len,
                };
                fields.* = fields.* ++ .{field};
            },
        },
        else => fields.* = fields.* ++ .{Field{ .at = at, .bytes = @sizeOf(T), .count = 1 }},
    }
}

fn forgeField(comptime T: type, bytes: []u8, choices: *Choices) void {
    const fields = comptime fieldsOf(T);
    const field = fields[choices.below(fields.len)];
    // The first elements of an array are those that are in use.
    const end = if (choices.oneIn(2)) @min(field.count, 8) else field.count;
    const out = bytes[field.at + choices.below(end) * field.bytes ..];
    switch (field.bytes) {
        1 => forgeInt(u8, out, choices),
        2 => forgeInt(u16, out, choices),
        4 => forgeInt(u32, out, choices),
        8 => forgeInt(u64, out, choices),
        else => unreachable,
    }
}

const interesting = [_]u64{
    0,          1,          2,        3,          4,       6,       7,       8,
    9,          15,         16,       17,         31,      63,      64,      65,
    127,        128,        253,      254,        255,     256,     257,     511,
    512,        4095,       4096,     65535,      65536,   65537,   1 << 17, 1 << 20,
    1 << 22,    1 << 24,    1 << 26,  1 << 28,    1 << 30, 1 << 31, 1 << 32, 1 << 33,
    1 << 40,    1 << 52,    1 << 61,  1 << 62,    1 << 63, 32511,   32512,   32513,
    0xFFFFFFFE, 0x7FFFFFFF, 16777215, 0xFFFFFFFF,
};

fn forgeInt(comptime T: type, bytes: []u8, choices: *Choices) void {
    const out = bytes[0..@sizeOf(T)];
    const old = std.mem.readInt(T, out, .little);
    const new: T = switch (choices.below(7)) {
        0, 1 => @truncate(choices.pick(u64, &interesting)),
        2 => @truncate(0 -% choices.pick(u64, &interesting)),
        3 => old +% @as(T, @intCast(choices.below(4))) -% 2,
        4 => old ^ @as(T, 1) << @intCast(choices.below(@bitSizeOf(T))),
        5 => @truncate(8 + choices.below(64)),
        6 => choices.int(T),
        else => unreachable,
    };
    std.mem.writeInt(T, out, new, .little);
}
