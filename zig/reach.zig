//! Everything that a root reaches: the walk behind free space, dropped collections and backups.
//!
//! A run of pages is reported once per walk; a subtree whose top was already seen is not entered
//! again, so walking six roots that share almost everything costs little more than walking one.

const std = @import("std");
const errors = @import("errors.zig");
const format = @import("format.zig");
const page_array = @import("page_array.zig");
const CollectionState = @import("collection_state.zig").CollectionState;
const Aged = @import("free_space.zig").Aged;
const Source = @import("key_index.zig").Source;

const Error = errors.Error;
const PageRef = format.PageRef;
const Run = @import("free_space.zig").Run;

/// The pages seen so far; grows as needed.
pub const Pages = struct {
    gpa: std.mem.Allocator,
    bits: std.DynamicBitSetUnmanaged = .{},

    pub fn deinit(pages: *Pages) void {
        pages.bits.deinit(pages.gpa);
        pages.* = undefined;
    }

    /// Marks the run; false where its first page was marked before.
    fn add(pages: *Pages, page: u32, count: u32) error{OutOfMemory}!bool {
        const end = @as(usize, page) + count;
        if (end > pages.bits.bit_length) try pages.bits.resize(pages.gpa, end + end / 8, false);
        if (pages.bits.isSet(page)) return false;
        pages.bits.setRangeValue(.{ .start = page, .end = end }, true);
        return true;
    }

    fn hasAny(pages: *const Pages, page: u32, count: u32) bool {
        const end = @min(@as(usize, page) + count, pages.bits.bit_length);
        return for (page..@max(page, end)) |index| {
            if (pages.bits.isSet(index)) break true;
        } else false;
    }
};

pub const Walker = struct {
    gpa: std.mem.Allocator,
    source: Source,
    pages: *Pages,
    /// Takes every index page that is seen for the first time; extents are not among them.
    fresh: ?*std.ArrayList(PageRef) = null,
    /// Takes every run that is seen for the first time, and since when it has been in use.
    aged: ?*std.ArrayList(Aged) = null,
    /// A page that is met twice is damage: of one root no two parts share a page, and a transaction
    /// that left both would free it twice.
    is_strict: bool = false,

    pub fn root(walker: Walker, from: *const format.Root) Error!void {
        try walker.array(from.catalogue, page_array.height(from.catalogue_len), .catalogue);
    }

    const Leaf = enum { catalogue, segments, amendments };

    fn mark(walker: Walker, page: u32, count: u32) Error!bool {
        if (page < format.first_free_page or @as(u64, page) + count > walker.source.file_pages) {
            return walker.source.corrupt(
                .{ .page = page },
                "is named as used but lies outside of the file",
            );
        }
        if (walker.is_strict and walker.pages.hasAny(page, count)) {
            return walker.source.corrupt(.{ .page = page }, "is named as used twice");
        }
        return walker.pages.add(page, count) catch walker.outOfMemory();
    }

    fn markPage(walker: Walker, ref: PageRef) Error!bool {
        if (!try walker.mark(ref.page, 1)) return false;
        if (walker.fresh) |fresh| fresh.append(walker.gpa, ref) catch return walker.outOfMemory();
        if (walker.aged != null) {
            const page = try walker.source.load(ref);
            const header: *const format.PageHeader = @ptrCast(page);
            try walker.age(.{ .page = ref.page, .count = 1 }, header.transaction_id);
        }
        return true;
    }

    fn markExtent(walker: Walker, run: Run, born: u64) Error!void {
        if (try walker.mark(run.page, run.count)) try walker.age(run, born);
    }

    fn age(walker: Walker, run: Run, born: u64) Error!void {
        const aged = walker.aged orelse return;
        aged.append(walker.gpa, .{ .run = run, .born = born }) catch return walker.outOfMemory();
    }

    fn outOfMemory(walker: Walker) Error {
        return walker.source.cache.diagnostics.failOs(error.OutOfMemory, "walking the file");
    }

    fn array(walker: Walker, ref: PageRef, level: u16, leaf: Leaf) Error!void {
        if (ref.isNone()) return;
        if (level == 0) return switch (leaf) {
            .catalogue => walker.collection(ref),
            .segments, .amendments => _ = try walker.markPage(ref),
        };
        if (!try walker.markPage(ref)) return;
        // Copied: loading the children may take the page out of the cache.
        const inner = (try page_array.load(walker.source, ref, level)).*;
        for (0..format.fanout) |child| try walker.array(inner.ref(child), level - 1, leaf);
    }

    fn collection(walker: Walker, ref: PageRef) Error!void {
        if (!try walker.markPage(ref)) return;
        const state = try CollectionState.load(walker.gpa, walker.source, ref, 0, null);
        defer state.release(walker.gpa);
        try walker.content(state);
    }

    /// Everything below a collection's catalogue page, as `state` has it.
    pub fn content(walker: Walker, state: *CollectionState) Error!void {
        try walker.index(state.index, 0, true);
        try walker.array(state.segments, page_array.height(state.segment_array_len), .segments);
        var next: u32 = 0;
        while (try state.nextId(walker.source, next)) |id| {
            next = id + 1;
            const found = try state.descriptor(walker.source, id) orelse continue;
            const disk = &found;
            for (disk.tombstones) |ref| if (!ref.isNone()) {
                _ = try walker.markPage(ref);
            };
            const amendment_pages = format.amendmentPages(disk.capacity);
            try walker.array(disk.amendments, page_array.height(amendment_pages), .amendments);
            try walker.markExtent(
                .{ .page = disk.extent_page, .count = disk.extent_page_count },
                disk.born,
            );
            for (disk.heap[0..disk.heap_count]) |heap| {
                try walker.markExtent(.{ .page = heap.page, .count = heap.page_count }, disk.born);
            }
        }
    }

    /// `is_inner` is also true for the root, whose kind only its header tells.
    fn index(walker: Walker, ref: PageRef, level: u16, is_inner: bool) Error!void {
        if (ref.isNone() or !try walker.markPage(ref) or !is_inner) return;
        const page = try walker.source.load(ref);
        const header: *const format.PageHeader = @ptrCast(page);
        if (header.type == .bucket) return;
        if (header.type != .inner or header.depth != level or level == 8) {
            return walker.source.corrupt(ref, "is not the index page that its parent says");
        }
        const inner = @as(*const format.InnerPage, @ptrCast(page)).*;
        for (0..format.fanout) |child| {
            // Only a bucket may be several children.
            const is_same = child > 0 and inner.pages[child] == inner.pages[child - 1];
            if (is_same and !inner.isInner(child)) continue;
            try walker.index(inner.ref(child), level + 1, inner.isInner(child));
        }
    }
};
