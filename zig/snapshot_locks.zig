//! Readers without a reader table: whoever reads the state of transaction T holds the lock byte
//! `lock_snapshots + T` shared. The operating system drops it when the process dies, however it
//! dies, so there is nothing to clean up; a writer asks which bytes are locked before it reuses
//! pages. Locks are counted here because a second lock of one descriptor is the same lock.

const std = @import("std");
const os = @import("os/os.zig");
const format = @import("format.zig");
const HeldStates = @import("held_states.zig").HeldStates;

pub const SnapshotLocks = struct {
    gpa: std.mem.Allocator,
    file: os.File,
    /// Nobody else can write the file, or it cannot be locked at all: every state stays.
    disabled: bool,
    held: std.ArrayList(Held) = .empty,

    const Held = struct { transaction_id: u64, count: u32 };

    pub fn deinit(locks: *SnapshotLocks) void {
        for (locks.held.items) |held| locks.file.unlock(.snapshots, byteOf(held.transaction_id));
        locks.held.deinit(locks.gpa);
        locks.* = undefined;
    }

    pub fn acquire(locks: *SnapshotLocks, transaction_id: u64) os.Error!void {
        if (locks.disabled) return;
        for (locks.held.items) |*held| {
            if (held.transaction_id != transaction_id) continue;
            held.count += 1;
            return;
        }
        try locks.held.ensureUnusedCapacity(locks.gpa, 1);
        // Shared locks of readers never conflict, and no writer locks these bytes, but to ask for
        // them on Windows; a system that has locks and refuses one is not one that has none.
        if (!try locks.file.lock(
            .snapshots,
            .shared,
            byteOf(transaction_id),
        )) return error.InputOutput;
        locks.held.appendAssumeCapacity(.{ .transaction_id = transaction_id, .count = 1 });
    }

    pub fn release(locks: *SnapshotLocks, transaction_id: u64) void {
        if (locks.disabled) return;
        for (locks.held.items, 0..) |*held, i| {
            if (held.transaction_id != transaction_id) continue;
            held.count -= 1;
            if (held.count > 0) return;
            locks.file.unlock(.snapshots, byteOf(transaction_id));
            _ = locks.held.swapRemove(i);
            return;
        }
    }

    fn byteOf(transaction_id: u64) os.LockRange {
        return .{
            .start = format.lock_snapshots + transaction_id % format.lock_snapshots_len,
            .len = 1,
        };
    }
};

/// The states that any connection holds. The writer asks under its lock, after publishing: a reader
/// that is not seen yet can only hold the newest state.
pub fn heldBy(file: os.File) os.Error!HeldStates {
    const end = format.lock_snapshots + format.lock_snapshots_len;
    var held: HeldStates = .{};
    var next = format.lock_snapshots;
    while (try file.probe(.{ .start = next, .len = end - next })) |byte| {
        next = byte + 1;
        if (!held.add(byte - format.lock_snapshots)) break;
    }
    return held;
}

/// True where some connection holds a state other than that of `transaction_id`.
pub fn anyBesides(file: os.File, transaction_id: u64) os.Error!bool {
    const at = format.lock_snapshots + transaction_id;
    const end = format.lock_snapshots + format.lock_snapshots_len;
    if (try file.probe(
        .{ .start = format.lock_snapshots, .len = at - format.lock_snapshots },
    ) != null) return true;
    return try file.probe(.{ .start = at + 1, .len = end - at - 1 }) != null;
}

const lost_states_max = 1 << 32;

/// The highest state beyond `transaction_id` that any connection holds. Halves the range: at most
/// 33 probes, one where there is none.
pub fn highestAbove(file: os.File, transaction_id: u64) os.Error!?u64 {
    const first = format.lock_snapshots + transaction_id + 1;
    // Anybody who may read the file can lock any byte: one far beyond what was written names no
    // state, and must not use the ids up.
    var end: u64 = @min(first + lost_states_max, format.lock_snapshots + format.lock_snapshots_len);
    var highest: ?u64 = null;
    var middle = first;
    while (true) {
        if (try file.probe(.{ .start = middle, .len = end - middle })) |byte| {
            highest = byte;
        } else end = middle;
        const lowest = highest orelse return null;
        if (end - lowest <= 1) return lowest - format.lock_snapshots;
        middle = lowest + (end - lowest) / 2;
    }
}
