//! The best k of many candidates, in a buffer of the caller: a heap whose root is the worst item
//! kept, so that a candidate that is no better costs one comparison.
//!
//! The order is total: by score, and among equal scores by what the caller's context says, which
//! is asked only then. So the same candidates give the same result in any order of arrival, as
//! long as the context's order is total too (keys are, within a collection). Pure; allocates
//! nothing.

const std = @import("std");
const assert = std.debug.assert;

pub const Order = enum {
    /// Similarities: cosine, dot product.
    larger_is_better,
    /// Distances.
    smaller_is_better,
};

/// `Item` has a field `score: f32`. `Context` has
/// `fn before(context: Context, a: Item, b: Item) bool`: whether `a` comes before `b` in the
/// result, for items of equal score.
pub fn TopK(comptime Item: type, comptime Context: type) type {
    return struct {
        /// The items kept, a heap with the worst one first.
        heap: []Item,
        count: usize = 0,
        order: Order,
        context: Context,

        const Collector = @This();

        /// Keeps as many items as `buffer` has room for, which may be none. The buffer belongs to
        /// the collector until the result has been used.
        pub fn init(buffer: []Item, order: Order, context: Context) Collector {
            return .{ .heap = buffer, .order = order, .context = context };
        }

        /// Forgets every item.
        pub fn clear(collector: *Collector) void {
            collector.count = 0;
        }

        /// The score that a candidate has to reach to be kept: the worst one kept once there are k,
        /// before that the worst one possible. A candidate of equal score may still be kept, if
        /// the context puts it first.
        pub fn worst(collector: *const Collector) f32 {
            const infinity = std.math.inf(f32);
            if (collector.heap.len == 0) return collector.signed(infinity);
            if (collector.count < collector.heap.len) return collector.signed(-infinity);
            return collector.heap[0].score;
        }

        /// Whether a candidate of this score can be kept. False where `offer` would certainly
        /// refuse it; never true for a score that is not a number.
        pub fn accepts(collector: *const Collector, score: f32) bool {
            if (collector.heap.len == 0) return false;
            return switch (collector.order) {
                .larger_is_better => score >= collector.worst(),
                .smaller_is_better => score <= collector.worst(),
            };
        }

        /// Keeps `item` if it is among the best k so far.
        pub fn offer(collector: *Collector, item: Item) void {
            if (!collector.accepts(item.score)) return;
            if (collector.count < collector.heap.len) {
                collector.count += 1;
                collector.siftUp(collector.count - 1, item);
            } else if (collector.before(item, collector.heap[0])) {
                collector.siftDown(item);
            }
        }

        /// The items kept, best first. The collector is empty afterwards; the result lies in the
        /// caller's buffer.
        pub fn finish(collector: *Collector) []Item {
            const items = collector.heap[0..collector.count];
            while (collector.count > 1) {
                const worst_item = collector.heap[0];
                collector.count -= 1;
                const last = collector.heap[collector.count];
                collector.siftDown(last);
                collector.heap[collector.count] = worst_item;
            }
            collector.count = 0;
            return items;
        }

        fn signed(collector: *const Collector, score: f32) f32 {
            return if (collector.order == .larger_is_better) score else -score;
        }

        /// Whether `a` is the better item.
        fn before(collector: *const Collector, a: Item, b: Item) bool {
            if (a.score == b.score) return collector.context.before(a, b);
            return (a.score > b.score) == (collector.order == .larger_is_better);
        }

        fn siftUp(collector: *Collector, start: usize, item: Item) void {
            var hole = start;
            while (hole > 0) {
                const parent = (hole - 1) / 2;
                if (!collector.before(collector.heap[parent], item)) break;
                collector.heap[hole] = collector.heap[parent];
                hole = parent;
            }
            collector.heap[hole] = item;
        }

        /// Puts `item` in the place of the root.
        fn siftDown(collector: *Collector, item: Item) void {
            const items = collector.heap[0..collector.count];
            var hole: usize = 0;
            while (true) {
                var child = 2 * hole + 1;
                if (child >= items.len) break;
                if (child + 1 < items.len and collector.before(items[child], items[child + 1])) {
                    child += 1;
                }
                if (!collector.before(item, items[child])) break;
                items[hole] = items[child];
                hole = child;
            }
            items[hole] = item;
        }
    };
}

const testing = std.testing;

const TestItem = struct { score: f32, id: u32 };

const ById = struct {
    calls: *usize,

    fn before(context: ById, a: TestItem, b: TestItem) bool {
        context.calls.* += 1;
        assert(a.score == b.score);
        return a.id < b.id;
    }
};

const TestTopK = TopK(TestItem, ById);

fn sortsBefore(order: Order, a: TestItem, b: TestItem) bool {
    if (a.score == b.score) return a.id < b.id;
    return (a.score > b.score) == (order == .larger_is_better);
}

test "the result is the head of everything sorted, whatever the order of arrival" {
    var prng: std.Random.DefaultPrng = .init(3);
    const random = prng.random();
    var items: [300]TestItem = undefined;
    var buffer: [64]TestItem = undefined;
    var calls: usize = 0;
    for (0..400) |round| {
        const order: Order = if (round % 2 == 0) .larger_is_better else .smaller_is_better;
        const candidates = items[0..random.uintAtMost(usize, items.len)];
        const k = random.uintAtMost(usize, buffer.len);
        // Few distinct scores in some rounds, so that the context decides often.
        const distinct: f32 = if (round % 3 == 0) 4 else 1e6;
        for (candidates, 0..) |*item, i| {
            const score = @trunc((random.float(f32) - 0.5) * distinct);
            item.* = .{ .score = score, .id = @intCast(i) };
        }
        random.shuffle(TestItem, candidates);

        var collector: TestTopK = .init(buffer[0..k], order, .{ .calls = &calls });
        for (candidates) |item| {
            const accepted = collector.accepts(item.score);
            const before = collector;
            collector.offer(item);
            if (!accepted) try testing.expectEqual(before, collector);
        }
        const found = collector.finish();
        std.mem.sort(TestItem, candidates, order, sortsBefore);
        const expected = candidates[0..@min(k, candidates.len)];
        try testing.expectEqualSlices(TestItem, expected, found);
    }
}

test "the context is asked only about equal scores" {
    var calls: usize = 0;
    var buffer: [8]TestItem = undefined;
    var collector: TestTopK = .init(&buffer, .larger_is_better, .{ .calls = &calls });
    for (0..1000) |i| {
        const mixed: u32 = @intCast((i *% 7919) % 1000);
        collector.offer(.{ .score = @floatFromInt(mixed), .id = mixed });
    }
    for (collector.finish(), 0..) |item, i| try testing.expectEqual(999 - i, item.id);
    try testing.expectEqual(0, calls);
}

test "worst is what a candidate has to reach" {
    const infinity = std.math.inf(f32);
    var calls: usize = 0;
    var buffer: [2]TestItem = undefined;
    var near: TestTopK = .init(&buffer, .smaller_is_better, .{ .calls = &calls });
    try testing.expectEqual(infinity, near.worst());
    near.offer(.{ .score = 5, .id = 0 });
    try testing.expectEqual(infinity, near.worst());
    near.offer(.{ .score = 3, .id = 1 });
    try testing.expectEqual(5, near.worst());
    try testing.expect(!near.accepts(5.5));
    try testing.expect(near.accepts(5));
    near.offer(.{ .score = 4, .id = 2 });
    try testing.expectEqual(4, near.worst());
    near.clear();
    try testing.expectEqual(infinity, near.worst());

    const none: TestTopK = .init(&.{}, .larger_is_better, .{ .calls = &calls });
    try testing.expect(!none.accepts(infinity));
}

test "infinities are scores like others; what is not a number is never kept" {
    const infinity = std.math.inf(f32);
    var calls: usize = 0;
    var buffer: [4]TestItem = undefined;
    var collector: TestTopK = .init(&buffer, .larger_is_better, .{ .calls = &calls });
    const nan = std.math.nan(f32);
    const scores = [_]f32{ nan, -infinity, 1, infinity, nan, -0.0, 0.0 };
    for (scores, 0..) |score, id| collector.offer(.{ .score = score, .id = @intCast(id) });
    var ids: [4]u32 = undefined;
    for (collector.finish(), &ids) |item, *id| id.* = item.id;
    try testing.expectEqual([4]u32{ 3, 2, 5, 6 }, ids);
}
