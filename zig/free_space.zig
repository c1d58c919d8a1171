//! Which pages may be written: the complement of what the retained roots reach.
//!
//! Nothing of this is on disk. A writing session learns the used pages by walking every valid root,
//! then keeps count. A page that a commit stops using is not free at once: a root slot or a reader
//! may still lead to it. It waits with the transactions between which it was in use, and is free
//! when none of them is a valid root or a held snapshot any more.

const std = @import("std");
const format = @import("format.zig");
const HeldStates = @import("held_states.zig").HeldStates;

pub const Run = struct { page: u32, count: u32 };

/// Used by the transactions `born` up to, and not including, `freed`. Where `born` is not known, no
/// root leads there, but any earlier state of a reader may.
pub const Pending = struct { run: Run, born: ?u64, freed: u64 };

/// Pages that were in use by the transaction `born` and, maybe, by later ones; null: not known.
pub const Aged = struct { run: Run, born: ?u64 };

/// What was known when the pages were counted last, of an earlier state.
pub const Known = struct {
    transaction_id: u64,
    space: *const FreeSpace,
    /// Pages that were in use or waited then, in ascending order: those that are in use no more.
    aged: []const Aged,

    /// Since when somebody may read the page, if nobody has used it since `transaction_id`. Pages
    /// are asked for in ascending order, `at` goes along.
    fn born(known: *const Known, page: u32, at: *usize) ?u64 {
        const aged = known.aged;
        while (at.* < aged.len and aged[at.*].run.page + aged[at.*].run.count <= page) at.* += 1;
        if (at.* < aged.len and aged[at.*].run.page <= page) return aged[at.*].born;
        const space = known.space;
        // Whoever has used it since then has done so in a later state.
        if (page >= space.file_pages or space.isFree(page)) return known.transaction_id + 1;
        return null;
    }
};

pub const FreeSpace = struct {
    gpa: std.mem.Allocator,
    /// Bit set: the page is free.
    words: std.ArrayList(u64) = .empty,
    free_count: u64 = 0,
    /// Pages below this exist for allocation; above it the file must grow.
    file_pages: u32,
    pending: std.ArrayList(Pending) = .empty,
    pending_pages: u64 = 0,
    /// No page below is free.
    lowest_free: u32 = 0,
    /// No short run begins below.
    lowest_short: u32 = 0,
    /// Where single pages come from.
    hole: Run = .{ .page = 0, .count = 0 },
    /// Pages are taken from the low end, whatever lies around them.
    packs: bool = false,

    pub const Error = error{OutOfMemory};

    /// Everything below `file_pages` starts as used.
    pub fn init(gpa: std.mem.Allocator, file_pages: u32) Error!FreeSpace {
        var space: FreeSpace = .{ .gpa = gpa, .file_pages = file_pages };
        try space.words.appendNTimes(gpa, 0, std.math.divCeil(usize, file_pages, 64) catch 0);
        return space;
    }

    pub fn deinit(space: *FreeSpace) void {
        space.words.deinit(space.gpa);
        space.pending.deinit(space.gpa);
        space.* = undefined;
    }

    /// What a count of the free pages goes by.
    pub const Count = struct {
        /// What any valid root leads to, and what the newest one does. Bits beyond the end of the
        /// file are ignored.
        used: *const std.DynamicBitSetUnmanaged,
        own: *const std.DynamicBitSetUnmanaged,
        /// The newest root's transaction.
        newest: u64,
        /// Where somebody holds another state: pages of unknown age wait for the readers of all
        /// transactions before this one.
        waits_for: ?u64 = null,
        known: ?Known = null,
    };

    /// Makes every page free that no root and no reader leads to. The others wait.
    pub fn countFree(space: *FreeSpace, count: Count) Error!void {
        var first: u32 = format.first_free_page;
        var at: usize = 0;
        while (first < space.file_pages) {
            const class = classOf(count.used, count.own, first);
            const born = bornOf(&count, class, first, &at);
            var end = first + 1;
            while (end < space.file_pages) : (end += 1) {
                if (classOf(count.used, count.own, end) != class) break;
                if (bornOf(&count, class, end, &at) != born) break;
            }
            const run: Run = .{ .page = first, .count = end - first };
            const is_held = class == .older or count.waits_for != null;
            if (class == .own) {} else if (!is_held) space.release(run) else try space.addPending(.{
                .run = run,
                .born = born,
                .freed = if (born == null) count.waits_for.? else count.newest,
            });
            first = end;
        }
    }

    const Class = enum { own, older, none };

    fn bornOf(count: *const Count, class: Class, page: u32, at: *usize) ?u64 {
        if (class == .own) return null;
        const known = if (count.known) |*known| known.born(page, at) else null;
        return if (class == .older) known orelse 0 else known;
    }

    fn classOf(
        used: *const std.DynamicBitSetUnmanaged,
        own: *const std.DynamicBitSetUnmanaged,
        page: u32,
    ) Class {
        if (isSet(own, page)) return .own;
        return if (isSet(used, page)) .older else .none;
    }

    fn isSet(used: *const std.DynamicBitSetUnmanaged, page: u32) bool {
        return page < used.bit_length and used.isSet(page);
    }

    pub fn isFree(space: *const FreeSpace, page: u32) bool {
        if (page >= space.file_pages) return false;
        return space.words.items[page / 64] >> @intCast(page % 64) & 1 != 0;
    }

    /// A free run of `count` pages that crosses no window boundary, or null: then the caller grows
    /// the file.
    pub fn take(space: *FreeSpace, count: u32) ?u32 {
        if (count > space.free_count) return null;
        const page = if (count == 1) space.findPage() else space.findRun(count);
        space.setUsed(page orelse return null, count);
        return page;
    }

    /// Out of a short run, so that long ones stay whole for rows; where there is none, the shortest
    /// is used up before the next is begun.
    fn findPage(space: *FreeSpace) ?u32 {
        if (space.packs) return if (space.shortestRun(1)) |run| run.page else null;
        const is_open = space.isFree(space.hole.page);
        if (!is_open or space.hole.count > short_pages_max) {
            if (space.nextShort()) |run| space.hole = run else if (!is_open) {
                space.hole = space.shortestRun(1) orelse return null;
            }
        }
        defer space.hole.page += 1;
        return space.hole.page;
    }
    const short_pages_max = 8;

    fn nextShort(space: *FreeSpace) ?Run {
        while (space.nextRun(space.lowest_short)) |run| {
            if (run.count <= short_pages_max) return run;
            space.lowest_short = run.page + run.count;
        }
        space.lowest_short = space.file_pages;
        return null;
    }

    /// The start of the shortest run that is long enough: one that a segment has left fits the next
    /// one.
    fn findRun(space: *FreeSpace, count: u32) ?u32 {
        const run = space.shortestRun(count) orelse return null;
        space.lowest_short = @min(space.lowest_short, run.page + count);
        return run.page;
    }

    /// Whether the run that the file ends with counts: else it does where it is long enough, and
    /// the file grows by what it lacks where it is not.
    pub const AtEnd = enum { counts, grows };

    /// How long the longest free run is, at most `most` pages.
    pub fn longestRun(space: *const FreeSpace, most: u32, at_end: AtEnd) u32 {
        var longest: u32 = 0;
        var from = space.lowest_free;
        while (space.nextRun(from)) |run| : (from = run.page + run.count) {
            if (run.count >= most) return most;
            const is_end = run.page + run.count == space.file_pages;
            if (!is_end or at_end == .counts) longest = @max(longest, run.count);
        }
        return longest;
    }

    /// Of at least `count` pages; the lowest of several.
    fn shortestRun(space: *FreeSpace, count: u32) ?Run {
        var best: ?Run = null;
        var from = space.lowest_free;
        while (space.nextRun(from)) |run| : (from = run.page + run.count) {
            if (from == space.lowest_free) space.lowest_free = run.page;
            if (run.count < count) continue;
            if (best == null or run.count < best.?.count) best = run;
            if (space.packs or run.count == count) break;
        }
        return best;
    }

    /// The free pages from `from` on, up to the next used one or the end of a window.
    fn nextRun(space: *const FreeSpace, from: u32) ?Run {
        const page = space.next(from, .free);
        if (page >= space.file_pages) return null;
        const window_end = (page / format.window_pages + 1) * format.window_pages;
        return .{ .page = page, .count = @min(space.next(page, .used), window_end) - page };
    }

    /// The first such page from `from` on, or the end of the file.
    fn next(space: *const FreeSpace, from: u32, kind: enum { free, used }) u32 {
        const flip: u64 = if (kind == .free) 0 else std.math.maxInt(u64);
        var mask = @as(u64, std.math.maxInt(u64)) << @intCast(from % 64);
        for (space.words.items[@min(from / 64, space.words.items.len)..], from / 64..) |word, i| {
            const found = (word ^ flip) & mask;
            if (found != 0) return @intCast(@min(space.file_pages, i * 64 + @ctz(found)));
            mask = std.math.maxInt(u64);
        }
        return space.file_pages;
    }

    /// Where a run of `count` pages begins if it is put at the end: free pages that the file ends
    /// with are part of it. Pages that are skipped so that it crosses no window boundary become
    /// free. The run is used.
    pub fn growBy(space: *FreeSpace, count: u32) Error!?u32 {
        std.debug.assert(count <= format.window_pages);
        const old_end = space.file_pages;
        var start: u64 = space.usedEnd();
        if (start / format.window_pages != (start + count - 1) / format.window_pages) {
            start = std.mem.alignForward(u64, start, format.window_pages);
        }
        const end = start + count;
        // Else there would have been such a run.
        std.debug.assert(end > old_end);
        if (end > std.math.maxInt(u32)) return null;
        const word_count = std.math.divCeil(usize, @intCast(end), 64) catch 0;
        if (word_count > space.words.items.len) {
            try space.words.appendNTimes(space.gpa, 0, word_count - space.words.items.len);
        }
        space.file_pages = @intCast(end);
        if (start < old_end) space.setUsed(@intCast(start), @intCast(old_end - start));
        if (start > old_end) space.release(.{
            .page = old_end,
            .count = @intCast(start - old_end),
        });
        return @intCast(start);
    }

    /// The pages are free from now on.
    pub fn release(space: *FreeSpace, run: Run) void {
        for (run.page..run.page + run.count) |page| {
            const bit = @as(u64, 1) << @intCast(page % 64);
            std.debug.assert(space.words.items[page / 64] & bit == 0);
            space.words.items[page / 64] |= bit;
        }
        space.free_count += run.count;
        space.lowest_free = @min(space.lowest_free, run.page);
        space.lowest_short = @min(space.lowest_short, run.page);
    }

    /// The first page that no used one follows.
    pub fn usedEnd(space: *const FreeSpace) u32 {
        var end = space.file_pages;
        while (end > format.initial_pages and space.isFree(end - 1)) end -= 1;
        return end;
    }

    /// Pages in use from `first` on.
    pub fn usedFrom(space: *const FreeSpace, first: u32) u64 {
        var count: u64 = 0;
        for (first..space.file_pages) |page| count += @intFromBool(!space.isFree(@intCast(page)));
        return count;
    }

    /// True where a run of `count` free pages begins and ends below `end`.
    pub fn hasRunBelow(space: *const FreeSpace, count: u32, end: u32) bool {
        var len: u32 = 0;
        const stop = @min(end, space.file_pages);
        if (space.lowest_free >= stop) return false;
        for (space.lowest_free..stop) |page| {
            if (page % format.window_pages == 0) len = 0;
            len = if (space.isFree(@intCast(page))) len + 1 else 0;
            if (len == count) return true;
        }
        return false;
    }

    /// Takes back a growth: the pages from `file_pages` on, all of them free, do not exist.
    pub fn shrink(space: *FreeSpace, file_pages: u32) void {
        std.debug.assert(file_pages <= space.file_pages);
        space.setUsed(file_pages, space.file_pages - file_pages);
        space.file_pages = file_pages;
    }

    pub fn addPending(space: *FreeSpace, pending: Pending) Error!void {
        std.debug.assert((pending.born orelse 0) <= pending.freed);
        try space.pending.append(space.gpa, pending);
        space.pending_pages += pending.run.count;
    }

    /// Frees what no `retained` root (transaction ids) and no state that a reader holds leads to.
    pub fn reclaim(space: *FreeSpace, retained: []const u64, held: *const HeldStates) void {
        var kept: usize = 0;
        for (space.pending.items) |item| {
            if (isHeld(item, held) or isRetained(item, retained)) {
                space.pending.items[kept] = item;
                kept += 1;
            } else {
                space.release(item.run);
                space.pending_pages -= item.run.count;
            }
        }
        space.pending.shrinkRetainingCapacity(kept);
    }

    /// Pages that wait, but for no reader.
    pub fn pendingOnlyForRoots(space: *const FreeSpace, held: *const HeldStates) u64 {
        var count: u64 = 0;
        for (space.pending.items) |item| {
            if (!isHeld(item, held)) count += item.run.count;
        }
        return count;
    }

    fn isHeld(item: Pending, held: *const HeldStates) bool {
        return held.needs(item.born orelse 0, item.freed);
    }

    fn isRetained(item: Pending, retained: []const u64) bool {
        const born = item.born orelse return false;
        for (retained) |transaction_id| {
            if (born <= transaction_id and transaction_id < item.freed) return true;
        }
        return false;
    }

    fn setUsed(space: *FreeSpace, page: u32, count: u32) void {
        for (page..page + count) |p| {
            const bit = @as(u64, 1) << @intCast(p % 64);
            std.debug.assert(space.words.items[p / 64] & bit != 0);
            space.words.items[p / 64] &= ~bit;
        }
        space.free_count -= count;
    }
};

test "runs are found, never cross a window, and grow the file where there is none" {
    const gpa = std.testing.allocator;
    var space = try FreeSpace.init(gpa, format.window_pages - 2);
    defer space.deinit();
    try std.testing.expectEqual(@as(?u32, null), space.take(1));
    space.release(.{ .page = 100, .count = 10 });
    space.release(.{ .page = 200, .count = 20 });
    try std.testing.expectEqual(@as(?u32, 200), space.take(11));
    try std.testing.expectEqual(@as(?u32, 100), space.take(10));
    try std.testing.expectEqual(@as(?u32, 211), space.take(1));
    try std.testing.expectEqual(@as(?u32, 212), space.take(1));
    const grown = (try space.growBy(5)).?;
    try std.testing.expectEqual(format.window_pages, grown);
    try std.testing.expect(space.isFree(format.window_pages - 1));
    try std.testing.expect(!space.isFree(grown));
}

fn holding(ids: []const u64) HeldStates {
    var held: HeldStates = .{};
    for (ids) |id| _ = held.add(id);
    return held;
}

test "what is taken leaves long runs whole" {
    const gpa = std.testing.allocator;
    var space = try FreeSpace.init(gpa, 1000);
    defer space.deinit();
    space.release(.{ .page = 100, .count = 300 });
    space.release(.{ .page = 500, .count = 90 });
    space.release(.{ .page = 700, .count = 2 });
    space.release(.{ .page = 990, .count = 10 });
    try std.testing.expectEqual(@as(?u32, 500), space.take(80));
    try std.testing.expectEqual(300, space.longestRun(301, .counts));
    try std.testing.expectEqual(64, space.longestRun(64, .grows));
    for ([_]u32{ 700, 701, 580, 581 }) |page| {
        try std.testing.expectEqual(@as(?u32, page), space.take(1));
    }
    space.release(.{ .page = 600, .count = 1 });
    for ([_]u32{ 600, 582 }) |page| {
        try std.testing.expectEqual(@as(?u32, page), space.take(1));
    }
    // Where the file has to grow, what is free at its end is used first.
    try std.testing.expectEqual(@as(?u32, null), space.take(400));
    try std.testing.expectEqual(@as(?u32, 990), try space.growBy(400));
    try std.testing.expectEqual(1390, space.file_pages);
    try std.testing.expectEqual(300 + 7, space.free_count);
    space.release(.{ .page = 990, .count = 400 });
    space.shrink(1000);
    try std.testing.expectEqual(300 + 7 + 10, space.free_count);
}

test "a page waits for the last root and the last reader that can reach it" {
    var space = try FreeSpace.init(std.testing.allocator, 64);
    defer space.deinit();
    try space.addPending(.{ .run = .{ .page = 10, .count = 2 }, .born = 3, .freed = 5 });
    space.reclaim(&.{ 4, 5, 6 }, &.{});
    try std.testing.expectEqual(@as(u64, 0), space.free_count);
    space.reclaim(&.{ 5, 6, 7 }, &holding(&.{ 2, 4, 9 }));
    try std.testing.expectEqual(@as(u64, 0), space.free_count);
    // Whoever reads an older or a newer state needs other pages.
    space.reclaim(&.{ 5, 6, 7 }, &holding(&.{ 2, 5, 9 }));
    try std.testing.expectEqual(@as(u64, 2), space.free_count);
    try std.testing.expectEqual(@as(u64, 0), space.pending_pages);
}

test "pages that no root leads to wait for the readers of earlier states only" {
    const gpa = std.testing.allocator;
    var space = try FreeSpace.init(gpa, 20);
    defer space.deinit();
    var used = try std.DynamicBitSetUnmanaged.initEmpty(gpa, 12);
    defer used.deinit(gpa);
    used.setRangeValue(.{ .start = 9, .end = 11 }, true);
    try space.countFree(.{ .used = &used, .own = &used, .newest = 7, .waits_for = 7 });
    try std.testing.expectEqual(@as(u64, 10), space.pending_pages);
    space.reclaim(&.{ 5, 6, 7 }, &holding(&.{6}));
    try std.testing.expectEqual(@as(u64, 0), space.free_count);
    space.reclaim(&.{ 5, 6, 7 }, &holding(&.{7}));
    try std.testing.expectEqual(@as(u64, 10), space.free_count);
    try std.testing.expect(space.isFree(8) and !space.isFree(10) and space.isFree(19));
}

test "pages that only older roots lead to are free when the last of those is gone" {
    const gpa = std.testing.allocator;
    var space = try FreeSpace.init(gpa, 16);
    defer space.deinit();
    var used = try std.DynamicBitSetUnmanaged.initFull(gpa, 14);
    defer used.deinit(gpa);
    var own = try std.DynamicBitSetUnmanaged.initFull(gpa, 10);
    defer own.deinit(gpa);
    try space.countFree(.{ .used = &used, .own = &own, .newest = 7 });
    try std.testing.expectEqual(2, space.free_count);
    try std.testing.expectEqual(4, space.pending_pages);
    space.reclaim(&.{ 3, 7 }, &.{});
    try std.testing.expectEqual(4, space.pending_pages);
    space.reclaim(&.{ 7, 8 }, &holding(&.{6}));
    try std.testing.expectEqual(4, space.pending_pages);
    space.reclaim(&.{ 7, 8 }, &holding(&.{7}));
    try std.testing.expectEqual(6, space.free_count);
}

test "what is known of an earlier state tells which readers a page waits for" {
    const gpa = std.testing.allocator;
    var earlier = try FreeSpace.init(gpa, 14);
    defer earlier.deinit();
    earlier.release(.{ .page = 10, .count = 2 });
    try earlier.addPending(.{ .run = .{ .page = 12, .count = 1 }, .born = 3, .freed = 4 });
    var space = try FreeSpace.init(gpa, 16);
    defer space.deinit();
    var used = try std.DynamicBitSetUnmanaged.initEmpty(gpa, 16);
    defer used.deinit(gpa);
    // Page 8 was in use and is not any more, of page 9 nothing is known.
    const aged = [_]Aged{
        .{ .run = .{ .page = 8, .count = 1 }, .born = 2 },
        .{ .run = .{ .page = 12, .count = 1 }, .born = 3 },
    };
    used.set(13);
    try space.countFree(.{
        .used = &used,
        .own = &used,
        .newest = 9,
        .waits_for = 10,
        .known = .{ .transaction_id = 5, .space = &earlier, .aged = &aged },
    });
    try std.testing.expectEqual(7, space.pending_pages);
    // Free pages of then are of no state that was there then.
    space.reclaim(&.{9}, &holding(&.{ 2, 5 }));
    for ([_]u32{ 10, 11, 14, 15 }) |page| try std.testing.expect(space.isFree(page));
    try std.testing.expectEqual(3, space.pending_pages);
    space.reclaim(&.{9}, &holding(&.{ 1, 2 }));
    try std.testing.expect(space.isFree(12) and !space.isFree(8) and !space.isFree(9));
    space.reclaim(&.{9}, &holding(&.{1}));
    try std.testing.expect(space.isFree(8) and !space.isFree(9));
    space.reclaim(&.{9}, &.{});
    try std.testing.expectEqual(7, space.free_count);
}

test "random takes and releases never hand out a page twice" {
    const gpa = std.testing.allocator;
    var prng = std.Random.DefaultPrng.init(0x5eed);
    const random = prng.random();
    var space = try FreeSpace.init(gpa, 8);
    defer space.deinit();
    var owned: std.AutoHashMapUnmanaged(u32, void) = .empty;
    defer owned.deinit(gpa);
    for (0..4000) |_| {
        if (random.boolean()) {
            const count = random.intRangeAtMost(u32, 1, 9);
            const taken = space.take(count);
            const page = taken orelse (try space.growBy(count)).?;
            for (page..page + count) |p| try owned.putNoClobber(gpa, @intCast(p), {});
        } else if (owned.count() > 0) {
            var keys = owned.keyIterator();
            const page = keys.next().?.*;
            _ = owned.remove(page);
            space.release(.{ .page = page, .count = 1 });
        }
    }
    try std.testing.expectEqual(@as(u64, space.file_pages - 8), owned.count() + space.free_count);
}
