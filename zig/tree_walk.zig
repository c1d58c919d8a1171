//! Walks over the trees of a file that may be damaged: an array of pages, and a key index. A walk
//! gives one thing at a time, so whoever uses it may stop and go on later; what cannot be read is
//! one of the things it gives, with the part of the tree that is lost with it.

const std = @import("std");
const format = @import("format.zig");
const page_array = @import("page_array.zig");
const page_reader = @import("page_reader.zig");

const Loss = page_reader.Loss;
const PageReader = page_reader.PageReader;
const PageRef = format.PageRef;

const Frame = struct {
    page: format.Page align(format.page_alignment),
    ref: PageRef,
    next_child: u32,

    pub fn inner(frame: *const Frame) *const format.InnerPage {
        return @ptrCast(&frame.page);
    }
};

/// The elements of an array by index (page_array.zig).
pub const ArrayWalk = struct {
    reader: PageReader,
    root: PageRef,
    len: u32,
    height: u16,
    is_started: bool = false,
    depth: u16 = 0,
    frames: [levels_max]Frame = undefined,

    const levels_max = 4;

    pub const Step = union(enum) {
        /// One page of the array itself. `skip` leaves what is below it out.
        page: PageRef,
        element: struct { index: u32, ref: PageRef },
        /// The elements from `first` up to, not including, `end` are behind a page that is lost.
        lost: struct { first: u32, end: u64, ref: PageRef, loss: Loss },
        /// A reference beyond the array's length.
        beyond: struct { ref: PageRef, parent: PageRef },
    };

    pub fn init(reader: PageReader, root: PageRef, len: u32) ArrayWalk {
        return .{ .reader = reader, .root = root, .len = len, .height = page_array.height(len) };
    }

    /// Goes on after the page that `next` has just given.
    pub fn skip(walk: *ArrayWalk) void {
        walk.depth -= 1;
    }

    pub fn next(walk: *ArrayWalk) error{OutOfMemory}!?Step {
        if (!walk.is_started) {
            walk.is_started = true;
            if (walk.root.isNone()) return null;
            return try walk.enter(walk.root, 0);
        }
        while (walk.depth > 0) {
            const frame = &walk.frames[walk.depth - 1];
            if (frame.next_child == format.fanout) {
                walk.depth -= 1;
                continue;
            }
            const child = frame.next_child;
            frame.next_child += 1;
            const ref = frame.inner().ref(child);
            if (ref.isNone()) continue;
            const first = walk.indexAt(child);
            if (first >= walk.len) return .{ .beyond = .{ .ref = ref, .parent = frame.ref } };
            return try walk.enter(ref, @intCast(first));
        }
        return null;
    }

    fn enter(walk: *ArrayWalk, ref: PageRef, first: u32) error{OutOfMemory}!Step {
        const level = walk.height - walk.depth;
        if (level == 0) return .{ .element = .{ .index = first, .ref = ref } };
        const frame = &walk.frames[walk.depth];
        const loss = try walk.reader.read(ref, &frame.page) orelse fits: {
            const header = frame.inner().header;
            if (header.type == .array and header.depth == level) break :fits null;
            break :fits Loss.misplaced;
        };
        if (loss) |why| {
            const end = @as(u64, first) + span(level);
            return .{ .lost = .{ .first = first, .end = end, .ref = ref, .loss = why } };
        }
        frame.ref = ref;
        frame.next_child = 0;
        walk.depth += 1;
        return .{ .page = ref };
    }

    /// Elements below one page of that level.
    fn span(level: u16) u64 {
        return @as(u64, 1) << @intCast(8 * level);
    }

    /// Of the first element below a child of the page that was entered last.
    fn indexAt(walk: *const ArrayWalk, child: u32) u64 {
        var index: u64 = 0;
        for (walk.frames[0 .. walk.depth - 1]) |*frame| index = index * 256 + frame.next_child - 1;
        index = index * 256 + child;
        return index * span(walk.height - walk.depth);
    }
};

/// The buckets of a key index (key_index.zig).
pub const IndexWalk = struct {
    reader: PageReader,
    root: PageRef,
    is_started: bool = false,
    /// Inner pages above what was given last.
    depth: u16 = 0,
    frames: [levels_max]Frame = undefined,
    bucket: format.Page align(format.page_alignment) = undefined,

    const levels_max = 8;

    /// All hashes whose first `bits` bits are those of `prefix`.
    pub const Range = struct {
        prefix: u64,
        bits: u7,

        pub fn contains(range: Range, hash: u64) bool {
            if (range.bits == 0) return true;
            return (hash ^ range.prefix) >> @intCast(64 - @as(u8, range.bits)) == 0;
        }
    };

    pub const Step = union(enum) {
        /// An inner page. `skip` leaves what is below it out.
        inner: PageRef,
        /// Valid until the next step.
        bucket: struct { ref: PageRef, range: Range, page: *const format.BucketPage },
        lost: struct { ref: PageRef, range: Range, loss: Loss },
        /// Children of a page that are no aligned block of a power of two; they are left out.
        misshapen: struct { parent: PageRef, range: Range },
    };

    pub fn init(reader: PageReader, root: PageRef) IndexWalk {
        return .{ .reader = reader, .root = root };
    }

    pub fn skip(walk: *IndexWalk) void {
        walk.depth -= 1;
    }

    pub fn next(walk: *IndexWalk) error{OutOfMemory}!?Step {
        if (!walk.is_started) {
            walk.is_started = true;
            if (walk.root.isNone()) return null;
            return try walk.enter(walk.root, .{ .prefix = 0, .bits = 0 }, null);
        }
        while (walk.depth > 0) {
            const frame = &walk.frames[walk.depth - 1];
            if (frame.next_child == format.fanout) {
                walk.depth -= 1;
                continue;
            }
            return try walk.enterChild(frame);
        }
        return null;
    }

    fn enterChild(walk: *IndexWalk, frame: *Frame) error{OutOfMemory}!Step {
        const inner = frame.inner();
        const child = frame.next_child;
        const ref = inner.ref(child);
        const is_inner = inner.isInner(child);
        var end = child + 1;
        while (end < format.fanout and !is_inner and !inner.isInner(end) and
            inner.ref(end).eql(ref)) end += 1;
        const level = walk.depth - 1;
        const above = walk.prefixAbove() | @as(u64, child) << @intCast(56 - 8 * level);
        frame.next_child = end;
        const count = end - child;
        if (!std.math.isPowerOfTwo(count) or child % count != 0) {
            const one: u7 = @intCast(8 * level + 8);
            frame.next_child = child + 1;
            return .{ .misshapen = .{
                .parent = frame.ref,
                .range = .{ .prefix = above, .bits = one },
            } };
        }
        const bits: u7 = @intCast(8 * level + 8 - std.math.log2_int(u32, count));
        return walk.enter(ref, .{ .prefix = above, .bits = bits }, is_inner);
    }

    /// `is_inner` is null at the root, whose kind only its header tells.
    fn enter(
        walk: *IndexWalk,
        ref: PageRef,
        range: Range,
        is_inner: ?bool,
    ) error{OutOfMemory}!Step {
        if (try walk.reader.read(ref, &walk.bucket)) |loss| {
            return .{ .lost = .{ .ref = ref, .range = range, .loss = loss } };
        }
        const header: *const format.PageHeader = @ptrCast(&walk.bucket);
        const misplaced: Step = .{ .lost = .{ .ref = ref, .range = range, .loss = .misplaced } };
        if (header.type == .bucket and is_inner != true) {
            const page: *const format.BucketPage = @ptrCast(&walk.bucket);
            const fits = header.count <= format.bucket_capacity and header.depth == range.bits;
            if (!fits) return misplaced;
            return .{ .bucket = .{ .ref = ref, .range = range, .page = page } };
        }
        const is_level = header.type == .inner and header.depth == walk.depth;
        if (!is_level or is_inner == false or walk.depth == levels_max) return misplaced;
        const frame = &walk.frames[walk.depth];
        frame.page = walk.bucket;
        frame.ref = ref;
        frame.next_child = 0;
        walk.depth += 1;
        return .{ .inner = ref };
    }

    /// What the hashes below the page that was entered last share.
    fn prefixAbove(walk: *const IndexWalk) u64 {
        var prefix: u64 = 0;
        for (walk.frames[0 .. walk.depth - 1], 0..) |*frame, level| {
            prefix |= @as(u64, frame.next_child - 1) << @intCast(56 - 8 * level);
        }
        return prefix;
    }
};

/// Whether the bucket of `hash` names `location`; null where the way there is lost.
pub fn names(
    reader: PageReader,
    root: PageRef,
    hash: u64,
    location: u64,
) error{OutOfMemory}!?bool {
    if (root.isNone()) return false;
    var page: format.Page align(format.page_alignment) = undefined;
    var ref = root;
    for (0..9) |level| {
        if (try reader.read(ref, &page) != null) return null;
        const header: *const format.PageHeader = @ptrCast(&page);
        switch (header.type) {
            .bucket => {
                const bucket: *const format.BucketPage = @ptrCast(&page);
                const count = @min(header.count, format.bucket_capacity);
                for (bucket.hashes[0..count], bucket.locations[0..count]) |h, l| {
                    if (h == hash and l == location) return true;
                }
                return false;
            },
            .inner => {
                if (level == 8) return null;
                const inner: *const format.InnerPage = @ptrCast(&page);
                ref = inner.ref(@as(u8, @truncate(hash >> @intCast(56 - 8 * level))));
            },
            else => return null,
        }
    }
    return null;
}
