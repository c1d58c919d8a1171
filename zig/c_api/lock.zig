//! A lock for threads of one process, without libc and without an `Io`.
//!
//! JavaScript workers share this library's globals, and `std.Io.Mutex` would tie the boundary to an
//! `Io` implementation. Uncontended it costs one atomic exchange each way; a thread that finds it
//! taken sleeps in the kernel, because the holder may be waiting for a disk. Not recursive and not
//! fair. Three states, after Drepper, "Futexes Are Tricky", mutex 2.

const std = @import("std");
const parking = @import("vectorlite").parking;

pub const Lock = struct {
    state: std.atomic.Value(u32) = .init(free),

    const free: u32 = 0;
    const taken: u32 = 1;
    /// Taken, and somebody may be asleep.
    const contended: u32 = 2;

    pub fn lock(l: *Lock) void {
        if (l.state.cmpxchgStrong(free, taken, .acquire, .monotonic) == null) return;
        l.lockSlow();
    }

    fn lockSlow(l: *Lock) void {
        @branchHint(.cold);
        // The usual holder copies one row and is gone before a system call would return.
        for (0..100) |_| {
            std.atomic.spinLoopHint();
            if (l.state.load(.monotonic) != free) continue;
            if (l.state.cmpxchgWeak(free, taken, .acquire, .monotonic) == null) return;
        }
        while (l.state.swap(contended, .acquire) != free) parking.wait(&l.state, contended);
    }

    pub fn unlock(l: *Lock) void {
        if (l.state.swap(free, .release) == contended) parking.wakeOne(&l.state);
    }
};

test "threads that count under the lock lose nothing" {
    const Shared = struct {
        lock: Lock = .{},
        count: u64 = 0,

        fn run(shared: *@This()) void {
            for (0..20_000) |_| {
                shared.lock.lock();
                defer shared.lock.unlock();
                shared.count += 1;
            }
        }
    };
    var shared: Shared = .{};
    var threads: [4]std.Thread = undefined;
    for (&threads) |*thread| thread.* = try .spawn(.{}, Shared.run, .{&shared});
    for (threads) |thread| thread.join();
    try std.testing.expectEqual(80_000, shared.count);
    try std.testing.expectEqual(Lock.free, shared.lock.state.load(.monotonic));
}
