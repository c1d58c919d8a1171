//! Byte-range locks as the operating systems keep them, for what is no real file: the simulated
//! disk, and memory.
//!
//! It is as strict as the strictest of them: Windows wants an unlock to name exactly the range of
//! its lock, and lets a handle neither widen nor convert what it holds, so both are asserted here.

const std = @import("std");
const os = @import("os.zig");

/// One descriptor: locks of the same holder never conflict.
pub const Holder = struct {
    process: u64,
    connection: u64,
    owner: os.LockOwner,
};

const Lock = struct { holder: Holder, kind: os.LockKind, range: os.LockRange };

pub const LockTable = struct {
    locks: std.ArrayList(Lock) = .empty,

    pub fn deinit(table: *LockTable, gpa: std.mem.Allocator) void {
        table.locks.deinit(gpa);
        table.* = undefined;
    }

    /// False where another holder has a conflicting lock.
    pub fn acquire(
        table: *LockTable,
        gpa: std.mem.Allocator,
        holder: Holder,
        kind: os.LockKind,
        range: os.LockRange,
    ) error{OutOfMemory}!bool {
        std.debug.assert(range.len > 0);
        for (table.locks.items) |lock| {
            if (!overlap(lock.range, range)) continue;
            std.debug.assert(!std.meta.eql(lock.holder, holder));
            if (lock.kind == .exclusive or kind == .exclusive) return false;
        }
        try table.locks.append(gpa, .{ .holder = holder, .kind = kind, .range = range });
        return true;
    }

    /// Releasing what is not held does nothing.
    pub fn release(table: *LockTable, holder: Holder, range: os.LockRange) void {
        for (table.locks.items, 0..) |lock, index| {
            if (!std.meta.eql(lock.holder, holder) or !overlap(lock.range, range)) continue;
            std.debug.assert(std.meta.eql(lock.range, range));
            _ = table.locks.swapRemove(index);
            return;
        }
    }

    pub fn releaseConnection(table: *LockTable, connection: u64) void {
        var index = table.locks.items.len;
        while (index > 0) {
            index -= 1;
            if (table.locks.items[index].holder.connection != connection) continue;
            _ = table.locks.swapRemove(index);
        }
    }

    pub fn releaseProcess(table: *LockTable, process: u64) void {
        var index = table.locks.items.len;
        while (index > 0) {
            index -= 1;
            if (table.locks.items[index].holder.process != process) continue;
            _ = table.locks.swapRemove(index);
        }
    }

    pub fn clear(table: *LockTable) void {
        table.locks.clearRetainingCapacity();
    }

    /// The first byte of `range` that anybody but `holder` has locked.
    pub fn firstLocked(table: *const LockTable, holder: Holder, range: os.LockRange) ?u64 {
        var lowest: ?u64 = null;
        for (table.locks.items) |lock| {
            if (!overlap(lock.range, range) or std.meta.eql(lock.holder, holder)) continue;
            const start = @max(lock.range.start, range.start);
            lowest = if (lowest) |known| @min(known, start) else start;
        }
        return lowest;
    }
};

fn overlap(a: os.LockRange, b: os.LockRange) bool {
    return a.start < b.start +| b.len and b.start < a.start +| a.len;
}

test "a lock conflicts by range, kind and holder" {
    const gpa = std.testing.allocator;
    var table: LockTable = .{};
    defer table.deinit(gpa);
    const a: Holder = .{ .process = 1, .connection = 1, .owner = .writer };
    const b: Holder = .{ .process = 1, .connection = 1, .owner = .snapshots };
    try std.testing.expect(try table.acquire(gpa, a, .shared, .{ .start = 10, .len = 5 }));
    try std.testing.expect(try table.acquire(gpa, b, .shared, .{ .start = 14, .len = 1 }));
    try std.testing.expect(!try table.acquire(gpa, b, .exclusive, .{ .start = 10, .len = 1 }));
    try std.testing.expect(try table.acquire(gpa, b, .exclusive, .{ .start = 15, .len = 9 }));
    try std.testing.expectEqual(14, table.firstLocked(a, .{ .start = 0, .len = 100 }));
    try std.testing.expectEqual(12, table.firstLocked(b, .{ .start = 12, .len = 100 }));
    table.release(b, .{ .start = 14, .len = 1 });
    try std.testing.expectEqual(15, table.firstLocked(a, .{ .start = 0, .len = 100 }));
    table.releaseProcess(1);
    try std.testing.expectEqual(null, table.firstLocked(a, .{ .start = 0, .len = 100 }));
}
