//! An array of page references by index, as a copy-on-write tree of 256-way pages: the catalogue's
//! collections and a collection's segments. An array of one element is that element: small
//! databases write one page less in every commit.
//!
//! A removed element is "none", and so is a page of the tree without elements.

const std = @import("std");
const errors = @import("errors.zig");
const format = @import("format.zig");
const Source = @import("key_index.zig").Source;
const PageWriter = @import("page_writer.zig").PageWriter;

const Error = errors.Error;
const PageRef = format.PageRef;

/// Levels of pages above the elements.
pub fn height(len: u32) u16 {
    var levels: u16 = 0;
    var reach: u64 = 1;
    while (reach < len) : (reach *= format.fanout) levels += 1;
    return levels;
}

/// `index` is below `len`.
pub fn get(source: Source, root: PageRef, len: u32, index: u32) Error!PageRef {
    std.debug.assert(index < len);
    var ref = root;
    var level = height(len);
    while (level > 0 and !ref.isNone()) : (level -= 1) {
        const inner = try load(source, ref, level);
        ref = inner.ref(childIndex(index, level));
    }
    return ref;
}

/// The lowest index that is at least `from` and has an element; null after the last.
pub fn next(source: Source, root: PageRef, len: u32, from: u32) Error!?u32 {
    if (from >= len) return null;
    const found = try nextBelow(source, root, height(len), from) orelse return null;
    return if (found < len) found else null;
}

fn nextBelow(source: Source, ref: PageRef, level: u16, from: u32) Error!?u32 {
    if (ref.isNone()) return null;
    if (level == 0) return from;
    const below = 8 * (level - 1);
    const span = @as(u32, 1) << @intCast(below);
    var child: usize = childIndex(from, level);
    var start = from;
    while (child < format.fanout) : (child += 1) {
        // Read again: looking below may have taken the page out of the cache.
        const inner = try load(source, ref, level);
        if (inner.pages[child] != 0) {
            if (try nextBelow(source, inner.ref(child), level - 1, start)) |found| return found;
        }
        start = (start / span + 1) * span;
    }
    return null;
}

pub fn load(source: Source, ref: PageRef, level: u16) Error!*const format.InnerPage {
    const page = try source.load(ref);
    const inner: *const format.InnerPage = @ptrCast(page);
    if (inner.header.type != .array or inner.header.depth != level) {
        return source.corrupt(ref, "is not the array page that its parent says");
    }
    return inner;
}

/// Sets element `index`; the array reaches up to it afterwards. `element` has its final checksum.
pub fn set(
    writer: *PageWriter,
    root: *PageRef,
    len: *u32,
    index: u32,
    element: PageRef,
) Error!void {
    if (index >= len.*) {
        var levels = height(len.*);
        while (levels < height(index + 1)) : (levels += 1) {
            if (root.isNone()) continue;
            const page = try writer.create(.array, levels + 1);
            setChild(page.as(format.InnerPage), 0, root.*);
            root.* = page.seal();
        }
        len.* = index + 1;
    }
    root.* = try setBelow(writer, root.*, height(len.*), index, element);
}

fn setBelow(
    writer: *PageWriter,
    ref: PageRef,
    level: u16,
    index: u32,
    element: PageRef,
) Error!PageRef {
    if (level == 0) return element;
    if (ref.isNone() and element.isNone()) return .none;
    const page = if (ref.isNone()) try writer.create(.array, level) else try writer.edit(ref);
    const inner = page.as(format.InnerPage);
    if (inner.header.type != .array or inner.header.depth != level) {
        return writer.diagnostics.fail(
            error.Corrupt,
            "the page at offset {d} is not the array page that its " ++
                "parent says; the file is damaged, restore a backup or salvage() it",
            .{
                format.pageOffset(ref.page),
            },
        );
    }
    const child = childIndex(index, level);
    const below = try setBelow(writer, inner.ref(child), level - 1, index, element);
    setChild(inner, child, below);
    if (below.isNone() and std.mem.allEqual(u32, &inner.pages, 0)) {
        try writer.discard(.{ .page = page.number }, writer.transaction_id);
        return .none;
    }
    return page.seal();
}

/// Gives the array's own pages from `first` on new numbers; the elements stay as they are. False
/// where there was none.
pub fn relocate(writer: *PageWriter, root: *PageRef, len: u32, first: u32) Error!bool {
    const before = root.*;
    root.* = try relocateBelow(writer, before, height(len), first);
    return before.page != root.page;
}

fn relocateBelow(writer: *PageWriter, ref: PageRef, level: u16, first: u32) Error!PageRef {
    if (level == 0 or ref.isNone()) return ref;
    const source: Source = .{
        .cache = writer.cache,
        .writer = writer,
        .file_pages = writer.space.file_pages,
    };
    // Copied: loading the children may take the page out of the cache.
    const inner = (try load(source, ref, level)).*;
    var page = if (ref.page >= first) try writer.edit(ref) else null;
    for (0..format.fanout) |child| {
        const before = inner.ref(child);
        const after = try relocateBelow(writer, before, level - 1, first);
        if (after.eql(before)) continue;
        if (page == null) page = try writer.edit(ref);
        setChild(page.?.as(format.InnerPage), child, after);
    }
    return if (page) |own| own.seal() else ref;
}

fn setChild(inner: *format.InnerPage, index: usize, ref: PageRef) void {
    inner.pages[index] = ref.page;
    inner.checksums[index] = ref.checksum;
}

fn childIndex(index: u32, level: u16) u8 {
    return @truncate(index >> @intCast(8 * (level - 1)));
}

test "an array needs no page for one element and one level for each factor of 256" {
    try std.testing.expectEqual(@as(u16, 0), height(0));
    try std.testing.expectEqual(@as(u16, 0), height(1));
    try std.testing.expectEqual(@as(u16, 1), height(2));
    try std.testing.expectEqual(@as(u16, 1), height(256));
    try std.testing.expectEqual(@as(u16, 2), height(257));
    try std.testing.expectEqual(@as(u16, 3), height(1 << 24));
}
