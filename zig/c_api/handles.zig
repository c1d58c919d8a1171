//! Handles: what the outside holds instead of pointers, and the locks behind them.
//!
//! A handle is a u32: slot in the low half, generation in the high half, and never 0. A slot's
//! generation moves on when its handle is closed, so a stale or invented handle is a status and
//! never a dereference. A slot whose generations are used up is retired, so no handle comes back.
//!
//! Slots form trees: a database is a root, and its snapshots, collections and jobs lie below it. A
//! boarder is a root with nothing below it.
//! Each root has one lock, held for every call on it or on anything below it, so a handle that is
//! posted to another thread is slow there, never unsafe, and closing waits for calls under way.
//! The slots never move and are never unmapped, so a thread may read a slot, lock the root it names
//! and only then ask whether the handle is still alive.

const std = @import("std");
const Lock = @import("lock.zig").Lock;

pub const Kind = enum(u8) { database, snapshot, collection, job, boarder };

pub fn Table(comptime slots_max: u17, comptime generation_max: u16) type {
    return struct {
        /// All zeros at first, so that unused ones cost address space only. Slot 0 stays unused.
        slots: [slots_max]Slot = @splat(.{}),
        /// Guards `last_used`, `first_free` and the `next_free` of every slot.
        free_lock: Lock = .{},
        last_used: u32 = none,
        first_free: u32 = none,

        const Handles = @This();
        const none = 0;

        pub const Slot = struct {
            /// How many handles it gave out before this one, times two; the low bit says alive.
            state: std.atomic.Value(u32) = .init(0),
            root: std.atomic.Value(u32) = .init(none),
            /// Held during every call on this slot's tree. Meaningful for roots.
            lock: Lock = .{},
            next_free: u32 = none,

            /// The thread that opened it, by a number of its own. Meaningful for roots.
            owner: std.atomic.Value(u32) = .init(none),

            // Guarded by the root's lock.
            kind: Kind = .database,
            object: ?*anyopaque = null,
            parent: u32 = none,
            first_child: u32 = none,
            next_sibling: u32 = none,
            previous_sibling: u32 = none,
        };

        /// A slot that nobody else has, or null where all are in use. Goes to one of the two
        /// publish functions or to `cancel`.
        pub fn reserve(table: *Handles) ?u32 {
            table.free_lock.lock();
            defer table.free_lock.unlock();
            if (table.first_free != none) {
                const index = table.first_free;
                table.first_free = table.slots[index].next_free;
                return index;
            }
            if (table.last_used == slots_max - 1) return null;
            table.last_used += 1;
            return table.last_used;
        }

        pub fn cancel(table: *Handles, index: u32) void {
            table.free_lock.lock();
            defer table.free_lock.unlock();
            table.slots[index].next_free = table.first_free;
            table.first_free = index;
        }

        pub fn publishRoot(
            table: *Handles,
            index: u32,
            kind: Kind,
            object: *anyopaque,
            owner: u32,
        ) u32 {
            table.slots[index].owner.store(owner, .monotonic);
            return table.publish(index, .{ .kind = kind, .object = object, .root = index });
        }

        /// The caller holds the lock of the parent's root.
        pub fn publishChild(
            table: *Handles,
            index: u32,
            kind: Kind,
            object: *anyopaque,
            parent: u32,
        ) u32 {
            const root = table.slots[parent].root.load(.monotonic);
            const handle = table.publish(index, .{
                .kind = kind,
                .object = object,
                .root = root,
                .parent = parent,
            });
            const slot = &table.slots[index];
            slot.next_sibling = table.slots[parent].first_child;
            if (slot.next_sibling != none) table.slots[slot.next_sibling].previous_sibling = index;
            table.slots[parent].first_child = index;
            return handle;
        }

        const Content = struct { kind: Kind, object: *anyopaque, root: u32, parent: u32 = none };

        fn publish(table: *Handles, index: u32, content: Content) u32 {
            const slot = &table.slots[index];
            slot.kind = content.kind;
            slot.object = content.object;
            slot.parent = content.parent;
            slot.first_child = none;
            slot.next_sibling = none;
            slot.previous_sibling = none;
            slot.root.store(content.root, .monotonic);
            const dead = slot.state.load(.monotonic);
            slot.state.store(dead | 1, .release);
            return ((dead >> 1) + 1) << 16 | index;
        }

        /// Locks the tree of `handle` and returns its slot; null, and nothing locked, where the
        /// handle is not alive. End with `unlock` of the same tree.
        pub fn lock(table: *Handles, handle: u32) ?u32 {
            const index = handle & 0xFFFF;
            const generation = handle >> 16;
            if (index >= slots_max or generation == 0) return null;
            const slot = &table.slots[index];
            const alive = (generation - 1) << 1 | 1;
            if (slot.state.load(.acquire) != alive) return null;
            const root = slot.root.load(.monotonic);
            table.slots[root].lock.lock();
            if (slot.state.load(.monotonic) == alive and slot.root.load(.monotonic) == root) {
                return index;
            }
            table.slots[root].lock.unlock();
            return null;
        }

        /// The same where nobody else has that tree locked; null there too.
        pub fn tryLock(table: *Handles, root: Root) ?u32 {
            const slot = &table.slots[root.index];
            if (!slot.lock.tryLock()) return null;
            const alive = ((root.handle >> 16) - 1) << 1 | 1;
            if (slot.state.load(.monotonic) == alive) return root.index;
            slot.lock.unlock();
            return null;
        }

        /// The next slot after `index` that is a root, of that owner where one is named.
        pub fn nextRoot(table: *Handles, owner: ?u32, index: u32) ?Root {
            table.free_lock.lock();
            const last_used = table.last_used;
            table.free_lock.unlock();
            var at = index + 1;
            while (at <= last_used) : (at += 1) {
                const slot = &table.slots[at];
                const state = slot.state.load(.acquire);
                const is_alive = state & 1 == 1;
                if (!is_alive or slot.root.load(.monotonic) != at) continue;
                if (owner) |named| if (slot.owner.load(.monotonic) != named) continue;
                return .{ .index = at, .handle = ((state >> 1) + 1) << 16 | at };
            }
            return null;
        }

        pub const Root = struct { index: u32, handle: u32 };

        pub fn rootOf(table: *Handles, index: u32) u32 {
            return table.slots[index].root.load(.monotonic);
        }

        pub fn unlock(table: *Handles, root: u32) void {
            table.slots[root].lock.unlock();
        }

        /// Lets in whoever waits for the lock of the handle's tree, which the caller does not hold.
        /// A stale handle is of another tree by now, or of none: then it is those who are let in.
        pub fn giveWay(table: *Handles, handle: u32) void {
            const index = handle & 0xFFFF;
            if (index >= slots_max) return;
            table.slots[table.rootOf(index)].lock.giveWay();
        }

        /// A slot of the tree without children, `index` itself at last: the order to close in.
        pub fn deepest(table: *Handles, index: u32) u32 {
            var leaf = index;
            while (table.slots[leaf].first_child != none) leaf = table.slots[leaf].first_child;
            return leaf;
        }

        /// Makes the handle of a slot without children stale and the slot free. The caller holds
        /// the lock of its root, and still does afterwards.
        pub fn retire(table: *Handles, index: u32) void {
            const slot = &table.slots[index];
            std.debug.assert(slot.first_child == none);
            if (slot.next_sibling != none) {
                table.slots[slot.next_sibling].previous_sibling = slot.previous_sibling;
            }
            if (slot.previous_sibling != none) {
                table.slots[slot.previous_sibling].next_sibling = slot.next_sibling;
            } else if (slot.parent != none) {
                table.slots[slot.parent].first_child = slot.next_sibling;
            }
            const next = slot.state.load(.monotonic) + 1;
            slot.state.store(next, .release);
            if (next >> 1 < generation_max) table.cancel(index);
        }
    };
}

const TestTable = Table(8, 5);
/// What the table stands for, said plainly: every handle that was ever given out.
const Model = struct {
    handle: u32,
    kind: Kind,
    object: *anyopaque,
    parent: ?usize,
    alive: bool = true,

    fn isBelow(models: []const Model, index: usize, ancestor: usize) bool {
        var at: ?usize = index;
        while (at) |i| : (at = models[i].parent) if (i == ancestor) return true;
        return false;
    }
};

fn closeTree(table: *TestTable, handle: u32) bool {
    const index = table.lock(handle) orelse return false;
    const root = table.rootOf(index);
    defer table.unlock(root);
    while (true) {
        const leaf = table.deepest(index);
        table.retire(leaf);
        if (leaf == index) return true;
    }
}

fn expectSameAsModel(table: *TestTable, models: []const Model) !void {
    for (models) |entry| {
        const found = table.lock(entry.handle);
        try std.testing.expectEqual(entry.alive, found != null);
        const index = found orelse continue;
        defer table.unlock(table.rootOf(index));
        try std.testing.expectEqual(entry.kind, table.slots[index].kind);
        try std.testing.expectEqual(entry.object, table.slots[index].object.?);
    }
}

test "random opens, closes and forgeries agree with a plain list" {
    const gpa = std.testing.allocator;
    for (0..64) |seed| {
        var prng: std.Random.DefaultPrng = .init(seed);
        const random = prng.random();
        const table = try gpa.create(TestTable);
        defer gpa.destroy(table);
        table.* = .{};
        var models: std.ArrayList(Model) = .empty;
        defer models.deinit(gpa);
        var objects: [400]u8 = undefined;
        for (&objects) |*object| {
            const known_count = models.items.len;
            const pick = if (known_count == 0) 0 else random.uintLessThan(usize, known_count);
            if (known_count > 0 and random.boolean()) {
                const expected = models.items[pick].alive;
                try std.testing.expectEqual(expected, closeTree(table, models.items[pick].handle));
                for (models.items, 0..) |*entry, i| {
                    if (expected and Model.isBelow(models.items, i, pick)) entry.alive = false;
                }
            } else if (known_count == 0 or random.uintLessThan(u8, 3) == 0) {
                const index = table.reserve() orelse continue;
                const handle = table.publishRoot(index, .database, object, 1);
                try models.append(gpa, .{
                    .handle = handle,
                    .kind = .database,
                    .object = object,
                    .parent = null,
                });
            } else if (table.lock(models.items[pick].handle)) |parent| {
                defer table.unlock(table.rootOf(parent));
                const index = table.reserve() orelse continue;
                const kind = random.enumValue(Kind);
                const handle = table.publishChild(index, kind, object, parent);
                try models.append(gpa, .{
                    .handle = handle,
                    .kind = kind,
                    .object = object,
                    .parent = pick,
                });
            }
            try expectSameAsModel(table, models.items);
        }
        for (0..1000) |_| {
            const forged = random.int(u32);
            const known = for (models.items) |entry| {
                if (entry.handle == forged) break true;
            } else false;
            if (!known) try std.testing.expectEqual(null, table.lock(forged));
        }
    }
}

test "a slot gives out each generation once and is then retired" {
    var table: Table(3, 3) = .{};
    var object: u8 = 0;
    var seen: [6]u32 = undefined;
    for (&seen, 0..) |*handle, i| {
        handle.* = table.publishRoot(table.reserve().?, .database, &object, 1);
        try std.testing.expect(handle.* != 0);
        try std.testing.expect(std.mem.indexOfScalar(u32, seen[0..i], handle.*) == null);
        const index = table.lock(handle.*).?;
        table.retire(index);
        table.unlock(index);
    }
    try std.testing.expectEqual(null, table.reserve());
    for (seen) |handle| try std.testing.expectEqual(null, table.lock(handle));
    try std.testing.expectEqual(null, table.lock(0));
    try std.testing.expectEqual(null, table.lock(1));
}

test "the roots of one owner are found, not those of others, nor what lies below or is closed" {
    var table: Table(9, 9) = .{};
    var object: u8 = 0;
    var handles: [4]u32 = undefined;
    for (&handles, 0..) |*handle, i| {
        const owner: u32 = if (i == 1) 7 else 5;
        handle.* = table.publishRoot(table.reserve().?, .database, &object, owner);
    }
    const first = table.lock(handles[0]).?;
    _ = table.publishChild(table.reserve().?, .snapshot, &object, first);
    table.unlock(first);
    const closed = table.lock(handles[2]).?;
    table.retire(closed);
    table.unlock(closed);
    const a = table.nextRoot(5, 0).?;
    const b = table.nextRoot(5, a.index).?;
    try std.testing.expectEqual(handles[0], a.handle);
    try std.testing.expectEqual(handles[3], b.handle);
    try std.testing.expectEqual(null, table.nextRoot(5, b.index));
    const other = table.nextRoot(7, 0).?;
    try std.testing.expectEqual(handles[1], other.handle);
    try std.testing.expectEqual(a, table.nextRoot(null, 0).?);
    try std.testing.expectEqual(other, table.nextRoot(null, a.index).?);

    try std.testing.expectEqual(b.index, table.tryLock(b).?);
    try std.testing.expectEqual(null, table.tryLock(b));
    table.unlock(b.index);
    try std.testing.expectEqual(null, table.tryLock(.{ .index = closed, .handle = handles[2] }));
}

test "a free slot refuses the handle that it will give out next" {
    var table: Table(2, 9) = .{};
    var object: u8 = 0;
    const first = table.publishRoot(table.reserve().?, .database, &object, 1);
    const index = table.lock(first).?;
    table.retire(index);
    table.unlock(index);
    try std.testing.expectEqual(null, table.lock(first + (1 << 16)));
    try std.testing.expectEqual(
        first + (1 << 16),
        table.publishRoot(table.reserve().?, .database, &object, 1),
    );
}

test "closing waits for the call under way, and the calls behind it find the handle stale" {
    const Shared = struct {
        table: Table(4, 1000) = .{},
        inside: std.atomic.Value(u32) = .init(0),
        overlaps: std.atomic.Value(u32) = .init(0),
        stale: std.atomic.Value(u32) = .init(0),

        fn call(shared: *@This(), handle: u32) void {
            while (true) {
                const index = shared.table.lock(handle) orelse break;
                defer shared.table.unlock(index);
                if (shared.inside.fetchAdd(1, .monotonic) != 0) {
                    _ = shared.overlaps.fetchAdd(1, .monotonic);
                }
                _ = shared.inside.fetchSub(1, .monotonic);
            }
            _ = shared.stale.fetchAdd(1, .monotonic);
        }
    };
    var shared: Shared = .{};
    var object: u8 = 0;
    for (0..20) |round| {
        const handle = shared.table.publishRoot(shared.table.reserve().?, .database, &object, 1);
        var threads: [3]std.Thread = undefined;
        for (&threads) |*thread| thread.* = try .spawn(.{}, Shared.call, .{ &shared, handle });
        const index = shared.table.lock(handle).?;
        if (shared.inside.load(.monotonic) != 0) return error.TestUnexpectedResult;
        shared.table.retire(index);
        shared.table.unlock(index);
        for (threads) |thread| thread.join();
        try std.testing.expectEqual(0, shared.overlaps.load(.monotonic));
        try std.testing.expectEqual(3 * (round + 1), shared.stale.load(.monotonic));
    }
}
