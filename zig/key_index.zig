//! From a key's hash to the places of its candidates: a copy-on-write trie of extendible-hash
//! buckets (Fagin et al., "Extendible hashing", 1979).
//!
//! An inner page tells its children apart by eight bits of the hash, the top eight at the root.
//! Neighbouring children may be one bucket, which then holds all hashes that share `depth` bits; a
//! full bucket is split by the next bit inside its page, and where its page has no bits left it
//! becomes a page of its own one level down. A lookup touches two or three pages up to many
//! millions of keys. The hash is keyed, so nobody can make all keys meet in one bucket.
//!
//! Equal hashes of different keys are kept side by side: whoever asks compares the stored keys.

const std = @import("std");
const errors = @import("errors.zig");
const format = @import("format.zig");
const page_writer = @import("page_writer.zig");
const PageCache = @import("page_cache.zig").PageCache;
const PageWriter = page_writer.PageWriter;
const DirtyPage = page_writer.DirtyPage;

const Error = errors.Error;
const PageRef = format.PageRef;
const levels_max = 8;

/// Where pages come from: the cache of committed pages, or a transaction that has changed some.
pub const Source = struct {
    cache: *PageCache,
    writer: ?*PageWriter = null,
    file_pages: u32,

    pub fn load(source: Source, ref: PageRef) Error!page_writer.LoadedPage {
        if (source.writer) |writer| return writer.load(ref);
        return source.cache.get(ref, source.file_pages);
    }

    pub fn corrupt(source: Source, ref: PageRef, comptime what: []const u8) Error {
        return source.cache.diagnostics.fail(
            error.Corrupt,
            "the page at offset {d} " ++ what ++
                "; the file is damaged, restore a backup or salvage() it",
            .{format.pageOffset(ref.page)},
        );
    }
};

/// The candidates of one hash, in no particular order. Copied out, so that comparing keys may load
/// other pages. More than `max` equal 64-bit hashes of one keyed hash do not occur in honest files.
pub const Candidates = struct {
    locations: [max]u64 = undefined,
    len: usize = 0,

    pub const max = 8;

    pub fn slice(candidates: *const Candidates) []const u64 {
        return candidates.locations[0..candidates.len];
    }
};

pub fn find(source: Source, root: PageRef, hash: u64) Error!Candidates {
    var candidates: Candidates = .{};
    if (root.isNone()) return candidates;
    var ref = root;
    var level: u16 = 0;
    var may_be_inner = true;
    while (true) {
        const page = try source.load(ref);
        const header: *const format.PageHeader = @ptrCast(page);
        switch (header.type) {
            .inner => {
                const is_sound = header.depth == level and level < levels_max and may_be_inner;
                if (!is_sound) return source.corrupt(ref, "is at the wrong level");
                const inner: *const format.InnerPage = @ptrCast(page);
                const child = childIndex(hash, level);
                ref = inner.ref(child);
                // Who counts the used pages goes by this.
                may_be_inner = inner.isInner(child);
                level += 1;
            },
            .bucket => {
                const bucket: *const format.BucketPage = @ptrCast(page);
                if (header.count > format.bucket_capacity) return source.corrupt(
                    ref,
                    "counts more entries than fit",
                );
                var index = lowerBound(bucket.hashes[0..header.count], hash);
                while (index < header.count and bucket.hashes[index] == hash) : (index += 1) {
                    if (candidates.len == Candidates.max) return source.corrupt(
                        ref,
                        "repeats one hash too often",
                    );
                    candidates.locations[candidates.len] = bucket.locations[index];
                    candidates.len += 1;
                }
                return candidates;
            },
            else => return source.corrupt(ref, "is not a page of a key index"),
        }
    }
}

/// Changes one collection's index within a transaction. `root` follows the copies.
pub const Editor = struct {
    writer: *PageWriter,
    root: *PageRef,
    page_count: *u32,

    /// Adds an entry; the caller knows that the key has none.
    pub fn insert(editor: Editor, hash: u64, location: u64) Error!void {
        if (editor.root.isNone()) {
            const page = try editor.writer.create(.bucket, 0);
            editor.root.* = .{ .page = page.number };
            editor.page_count.* += 1;
        }
        while (true) {
            const path = try editor.descend(hash);
            const bucket = path.leaf.as(format.BucketPage);
            if (bucket.header.count == format.bucket_capacity) {
                try editor.split(path);
                continue;
            }
            const count = bucket.header.count;
            const index = lowerBound(bucket.hashes[0..count], hash);
            std.mem.copyBackwards(
                u64,
                bucket.hashes[index + 1 .. count + 1],
                bucket.hashes[index..count],
            );
            std.mem.copyBackwards(
                u64,
                bucket.locations[index + 1 .. count + 1],
                bucket.locations[index..count],
            );
            bucket.hashes[index] = hash;
            bucket.locations[index] = location;
            bucket.header.count = count + 1;
            return;
        }
    }

    /// Points the entry of `hash` and `old` at `new`.
    pub fn replace(editor: Editor, hash: u64, old: u64, new: u64) Error!void {
        const path = try editor.descend(hash);
        const bucket = path.leaf.as(format.BucketPage);
        const index = entryIndex(bucket, hash, old) orelse return editor.lost(path.leaf);
        bucket.locations[index] = new;
    }

    pub fn remove(editor: Editor, hash: u64, location: u64) Error!void {
        const path = try editor.descend(hash);
        const bucket = path.leaf.as(format.BucketPage);
        const index = entryIndex(bucket, hash, location) orelse return editor.lost(path.leaf);
        const count = bucket.header.count;
        std.mem.copyForwards(
            u64,
            bucket.hashes[index .. count - 1],
            bucket.hashes[index + 1 .. count],
        );
        std.mem.copyForwards(
            u64,
            bucket.locations[index .. count - 1],
            bucket.locations[index + 1 .. count],
        );
        bucket.header.count = count - 1;
    }

    /// Joins buckets that are mostly empty, and takes inner pages out that tell nothing apart any
    /// more, until `budget` buckets are joined, which is counted down.
    pub fn merge(editor: Editor, budget: *u64) Error!void {
        if (editor.root.isNone()) return;
        const root = try editor.mergeBelow(editor.root.*, 0, budget);
        if (root.page != editor.root.page) editor.root.* = .{ .page = root.page };
    }

    /// The page that stands for the subtree afterwards.
    fn mergeBelow(editor: Editor, ref: PageRef, level: u16, budget: *u64) Error!PageRef {
        const header: *const format.PageHeader = @ptrCast(try editor.source().load(ref));
        if (header.type == .bucket) return ref;
        if (header.type != .inner or header.depth != level or level == levels_max) {
            return editor.source().corrupt(ref, "is at the wrong level");
        }
        // Copied: loading the children may take the page out of the cache.
        var before = @as(*const format.InnerPage, @ptrCast(header)).*;
        var number = ref.page;
        for (0..format.fanout) |child| {
            if (!before.isInner(child)) continue;
            const above = before.ref(child);
            const below = try editor.mergeBelow(above, level + 1, budget);
            if (below.page == above.page) continue;
            const page = try editor.writer.edit(.{ .page = number, .checksum = ref.checksum });
            number = page.number;
            const inner = page.as(format.InnerPage);
            inner.pages[child] = below.page;
            page.stale_children.set(child);
            const kind = (try editor.writer.load(below));
            const is_bucket = @as(*const format.PageHeader, @ptrCast(kind)).type == .bucket;
            if (is_bucket) inner.inner_children[child / 8] &= ~(@as(u8, 1) << @intCast(child % 8));
            before = inner.*;
        }
        var local_depth: u4 = 8;
        while (local_depth > 0) : (local_depth -= 1) {
            const span = @as(usize, format.fanout) >> local_depth;
            var first: usize = 0;
            while (first < format.fanout) : (first += 2 * span) {
                if (budget.* == 0) break;
                const low = before.ref(first);
                const high = before.ref(first + span);
                if (before.isInner(first) or before.isInner(first + span)) continue;
                const joined = try editor.join(low, high, level * 8 + local_depth) orelse continue;
                const page = try editor.writer.edit(.{ .page = number, .checksum = ref.checksum });
                number = page.number;
                const inner = page.as(format.InnerPage);
                for (first..first + 2 * span) |child| {
                    inner.pages[child] = joined;
                    page.stale_children.set(child);
                }
                before = inner.*;
                budget.* -= 1;
            }
        }
        const all_one = std.mem.allEqual(u32, &before.pages, before.pages[0]);
        if (!all_one or before.isInner(0)) return .{ .page = number, .checksum = ref.checksum };
        // A file may have lied about it.
        editor.page_count.* -|= 1;
        try editor.writer.discard(.{ .page = number }, before.header.transaction_id);
        return before.ref(0);
    }

    /// Puts the entries of `high` behind those of `low` where both share exactly `depth` bits and
    /// fill half a page together. The number of the page that has all of them.
    fn join(editor: Editor, low: PageRef, high: PageRef, depth: u16) Error!?u32 {
        if (low.page == high.page) return null;
        const upper = @as(*const format.BucketPage, @ptrCast(try editor.source().load(high))).*;
        const lower: *const format.BucketPage = @ptrCast(try editor.source().load(low));
        const is_sound = upper.header.type == .bucket and lower.header.type == .bucket and
            upper.header.count <= format.bucket_capacity and
            lower.header.count <= format.bucket_capacity;
        if (!is_sound) return editor.source().corrupt(low, "is not a sound bucket");
        if (upper.header.depth != depth or lower.header.depth != depth) return null;
        const count = upper.header.count;
        if (lower.header.count + count > format.bucket_capacity / 2) return null;
        const page = try editor.writer.edit(low);
        const bucket = page.as(format.BucketPage);
        const start = bucket.header.count;
        @memcpy(bucket.hashes[start..][0..count], upper.hashes[0..count]);
        @memcpy(bucket.locations[start..][0..count], upper.locations[0..count]);
        bucket.header.count = start + count;
        bucket.header.depth = depth - 1;
        const is_own = editor.writer.isDirty(high.page);
        const born = if (is_own) editor.writer.transaction_id else upper.header.transaction_id;
        try editor.writer.discard(high, born);
        editor.page_count.* -|= 1;
        return page.number;
    }

    fn source(editor: Editor) Source {
        return .{
            .cache = editor.writer.cache,
            .writer = editor.writer,
            .file_pages = editor.writer.space.file_pages,
        };
    }

    /// Gives pages from `first` on new numbers, as many as `budget` has, which is counted down.
    pub fn relocate(editor: Editor, first: u32, budget: *u64) Error!void {
        if (editor.root.isNone()) return;
        if (try editor.relocateBelow(editor.root.*, 0, true, first, budget)) |page| {
            editor.root.* = .{ .page = page.number };
        }
    }

    fn relocateBelow(
        editor: Editor,
        ref: PageRef,
        level: u16,
        may_be_inner: bool,
        first: u32,
        budget: *u64,
    ) Error!?*DirtyPage {
        const from = editor.source();
        const header: *const format.PageHeader = @ptrCast(try from.load(ref));
        var page: ?*DirtyPage = null;
        if (header.type == .inner) {
            const is_sound = header.depth == level and level < levels_max and may_be_inner;
            if (!is_sound) return from.corrupt(ref, "is at the wrong level");
            // Copied: loading the children may take the page out of the cache.
            const inner = @as(*const format.InnerPage, @ptrCast(header)).*;
            for (0..format.fanout) |child| {
                if (budget.* == 0) return page;
                const below = inner.ref(child);
                if (child > 0 and below.page == inner.pages[child - 1]) continue;
                if (!inner.isInner(child) and below.page < first) continue;
                const is_inner = inner.isInner(child);
                const page_moved = try editor.relocateBelow(
                    below,
                    level + 1,
                    is_inner,
                    first,
                    budget,
                );
                const moved = page_moved orelse continue;
                if (page == null) page = try editor.writer.edit(ref);
                setChildren(page.?, @intCast(child), below.page, moved.number);
            }
        }
        if (ref.page >= first and page == null and budget.* > 0) {
            page = try editor.writer.edit(ref);
        }
        if (page != null) budget.* -|= 1;
        return page;
    }

    /// Fills in the checksums of everything that changed, bottom-up, so that the pages can be
    /// written.
    pub fn seal(editor: Editor) void {
        if (editor.root.isNone()) return;
        const page = editor.writer.dirty.get(editor.root.page) orelse return;
        editor.root.checksum = editor.sealPage(page);
    }

    fn sealPage(editor: Editor, page: *DirtyPage) u64 {
        if (page.header().type == .inner) {
            const inner = page.as(format.InnerPage);
            var stale = page.stale_children.iterator(.{});
            var previous: u32 = 0;
            var previous_checksum: u64 = 0;
            while (stale.next()) |index| {
                const number = inner.pages[index];
                if (number != previous) {
                    const child = editor.writer.dirty.get(number) orelse continue;
                    previous = number;
                    previous_checksum = editor.sealPage(child);
                }
                inner.checksums[index] = previous_checksum;
            }
            page.stale_children = .initEmpty();
        }
        return page.seal().checksum;
    }

    const Path = struct { leaf: *DirtyPage, parent: ?*DirtyPage, level: u16, index: u8 };

    /// Makes the way to the bucket of `hash` writable.
    fn descend(editor: Editor, hash: u64) Error!Path {
        const from = editor.source();
        var ref = editor.root.*;
        var parent: ?*DirtyPage = null;
        var level: u16 = 0;
        var index: u8 = 0;
        var may_be_inner = true;
        while (true) {
            const page = try editor.writer.edit(ref);
            if (parent) |p| setChildren(
                p,
                index,
                ref.page,
                page.number,
            ) else editor.root.* = .{ .page = page.number };
            switch (page.header().type) {
                .inner => {
                    const is_sound = page.header().depth == level and level < levels_max and
                        may_be_inner;
                    if (!is_sound) return from.corrupt(ref, "is at the wrong level");
                    index = childIndex(hash, level);
                    ref = page.as(format.InnerPage).ref(index);
                    may_be_inner = page.as(format.InnerPage).isInner(index);
                    parent = page;
                    level += 1;
                },
                .bucket => {
                    const bucket = page.as(format.BucketPage);
                    const depth = bucket.header.depth;
                    const depth_max = @as(u32, level) * 8;
                    const is_sound = bucket.header.count <= format.bucket_capacity and
                        depth <= depth_max and depth + 8 >= depth_max;
                    if (!is_sound) return from.corrupt(ref, "is not a sound bucket");
                    return .{ .leaf = page, .parent = parent, .level = level, .index = index };
                },
                else => return from.corrupt(ref, "is not a page of a key index"),
            }
        }
    }

    /// Divides a full bucket by the next bit of the hash.
    fn split(editor: Editor, path: Path) Error!void {
        const low = path.leaf.as(format.BucketPage);
        const depth = low.header.depth;
        if (depth == 64) return editor.lost(path.leaf);
        const high_page = try editor.writer.create(.bucket, depth + 1);
        editor.page_count.* += 1;
        const high = high_page.as(format.BucketPage);
        const count = low.header.count;
        const bit: u6 = @intCast(63 - depth);
        var middle: u32 = 0;
        while (middle < count and low.hashes[middle] >> bit & 1 == 0) middle += 1;
        const moved = count - middle;
        @memcpy(high.hashes[0..moved], low.hashes[middle..count]);
        @memcpy(high.locations[0..moved], low.locations[middle..count]);
        @memset(low.hashes[middle..count], 0);
        @memset(low.locations[middle..count], 0);
        high.header.count = moved;
        low.header.count = middle;
        low.header.depth = depth + 1;
        if (path.parent != null and depth < @as(u32, path.level) * 8) {
            return splitChildren(path, high_page.number, depth);
        }
        try editor.pushDown(path, high_page.number);
    }

    /// The bucket had several children of its parent: the upper half of them goes to the new one.
    fn splitChildren(path: Path, high: u32, depth: u16) void {
        const parent = path.parent.?;
        const inner = parent.as(format.InnerPage);
        const local_depth: u4 = @intCast(depth - (path.level - 1) * 8);
        const span = @as(usize, format.fanout) >> local_depth;
        const first = path.index & ~(span - 1);
        for (first + span / 2..first + span) |child| {
            inner.pages[child] = high;
            parent.stale_children.set(child);
        }
    }

    /// The bucket had one child, or was the root: an inner page takes its place above both halves.
    fn pushDown(editor: Editor, path: Path, high: u32) Error!void {
        const page = try editor.writer.create(.inner, path.level);
        editor.page_count.* += 1;
        const inner = page.as(format.InnerPage);
        const half = format.fanout / 2;
        @memset(inner.pages[0..half], path.leaf.number);
        @memset(inner.pages[half..], high);
        page.stale_children = .initFull();
        if (path.parent) |parent| {
            const above = parent.as(format.InnerPage);
            above.pages[path.index] = page.number;
            above.inner_children[path.index / 8] |= @as(u8, 1) << @intCast(path.index % 8);
            parent.stale_children.set(path.index);
        } else {
            editor.root.* = .{ .page = page.number };
        }
    }

    fn lost(editor: Editor, page: *const DirtyPage) Error {
        return editor.writer.diagnostics.fail(
            error.Corrupt,
            "the index page at offset {d} does not hold the entry that " ++
                "was just found; the file is damaged, restore a backup or salvage() it",
            .{
                format.pageOffset(page.number),
            },
        );
    }
};

/// Every child of `parent` that was `old` becomes `new`; they are neighbours of `index`.
fn setChildren(parent: *DirtyPage, index: u8, old: u32, new: u32) void {
    const inner = parent.as(format.InnerPage);
    var first: usize = index;
    while (first > 0 and inner.pages[first - 1] == old) first -= 1;
    var child = first;
    while (child < format.fanout and inner.pages[child] == old) : (child += 1) {
        inner.pages[child] = new;
        parent.stale_children.set(child);
    }
}

fn childIndex(hash: u64, level: u16) u8 {
    return @truncate(hash >> @intCast(56 - 8 * level));
}

fn entryIndex(bucket: *const format.BucketPage, hash: u64, location: u64) ?usize {
    var index = lowerBound(bucket.hashes[0..bucket.header.count], hash);
    while (index < bucket.header.count and bucket.hashes[index] == hash) : (index += 1) {
        if (bucket.locations[index] == location) return index;
    }
    return null;
}

/// The first index whose hash is not below `hash`, without branches that depend on the data.
fn lowerBound(hashes: []const u64, hash: u64) usize {
    var base: usize = 0;
    var len = hashes.len;
    while (len > 1) {
        const half = len / 2;
        base = if (hashes[base + half - 1] < hash) base + half else base;
        len -= half;
    }
    return base + @intFromBool(len == 1 and hashes[base] < hash);
}

const TestIndex = struct {
    const FreeSpace = @import("free_space.zig").FreeSpace;
    const memory = @import("os/memory.zig");

    gpa: std.mem.Allocator,
    diagnostics: errors.Diagnostics = .{},
    cache: PageCache = undefined,
    space: FreeSpace = undefined,
    writer: PageWriter = undefined,
    root: PageRef = .none,
    page_count: u32 = 0,

    fn open(index: *TestIndex) !void {
        const file = try memory.system().open(index.gpa, "any", .{ .create = true });
        index.cache = .{ .gpa = index.gpa, .file = file, .diagnostics = &index.diagnostics };
        index.space = try FreeSpace.init(index.gpa, format.initial_pages);
        index.writer = .{
            .gpa = index.gpa,
            .file = file,
            .cache = &index.cache,
            .space = &index.space,
            .diagnostics = &index.diagnostics,
            .physical_pages = 0,
        };
        index.writer.begin(1);
    }

    fn close(index: *TestIndex) void {
        const file = index.cache.file;
        index.writer.deinit();
        index.space.deinit();
        index.cache.deinit();
        file.close();
    }

    fn editor(index: *TestIndex) Editor {
        return .{ .writer = &index.writer, .root = &index.root, .page_count = &index.page_count };
    }

    fn commit(index: *TestIndex, transaction_id: u64) !void {
        index.editor().seal();
        try index.writer.writeOut(.ends);
        index.writer.commit();
        index.writer.begin(transaction_id);
    }

    fn expect(index: *TestIndex, hash: u64, location: u64, is_there: bool) !void {
        const source: Source = .{ .cache = &index.cache, .file_pages = index.space.file_pages };
        const candidates = try find(source, index.root, hash);
        const found = std.mem.findScalar(u64, candidates.slice(), location) != null;
        try std.testing.expectEqual(is_there, found);
    }
};

test "what was inserted is found, what was removed is not, however the hashes are spread" {
    // Uniform hashes; hashes that differ in their low bits only, which need every level; few ones.
    for ([_]u64{ std.math.maxInt(u64), 0xFFFF, 0xFFFF_0000_0000_03FF }) |mask| {
        var index: TestIndex = .{ .gpa = std.testing.allocator };
        try index.open();
        defer index.close();
        var model: std.AutoHashMapUnmanaged(u64, u64) = .empty;
        defer model.deinit(index.gpa);
        var prng = std.Random.DefaultPrng.init(mask);
        const random = prng.random();
        for (0..12_000) |step| {
            const hash = random.int(u64) & mask;
            const location: u64 = step + 1;
            if (model.get(hash)) |old| {
                if (random.boolean()) {
                    try index.editor().replace(hash, old, location);
                    try model.put(index.gpa, hash, location);
                } else {
                    try index.editor().remove(hash, old);
                    _ = model.remove(hash);
                }
            } else {
                try index.editor().insert(hash, location);
                try model.put(index.gpa, hash, location);
            }
            if (step % 1000 == 999) try index.commit(step);
        }
        try index.commit(1_000_000);
        var entries = model.iterator();
        while (entries.next()) |entry| try index.expect(entry.key_ptr.*, entry.value_ptr.*, true);
        for (0..1000) |_| {
            const hash = random.int(u64) & mask;
            if (!model.contains(hash)) try index.expect(hash, 1, false);
        }
    }
}

test "different keys may have the same hash" {
    var index: TestIndex = .{ .gpa = std.testing.allocator };
    try index.open();
    defer index.close();
    for (1..6) |location| try index.editor().insert(42, location);
    try index.editor().remove(42, 3);
    try index.commit(2);
    for (1..6) |location| try index.expect(42, location, location != 3);
}
