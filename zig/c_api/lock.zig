//! A lock for threads of one process, without libc and without an `Io`.
//!
//! JavaScript workers share this library's globals, and `std.Io.Mutex` would tie the boundary to an
//! `Io` implementation. Uncontended it costs one atomic exchange each way; a thread that finds it
//! taken sleeps in the kernel, because the holder may be waiting for a disk. Not recursive. Three
//! states, after Drepper, "Futexes Are Tricky", mutex 2.
//!
//! It is not fair: whoever unlocks it and locks it at once is faster than a thread that has to be
//! woken. Who takes it again and again for one long piece of work calls `giveWay` in between.

const std = @import("std");
const parking = @import("vectorlite").parking;

pub const Lock = struct {
    state: std.atomic.Value(u32) = .init(free),
    /// Threads that found it taken, and do not have it yet.
    waiting: std.atomic.Value(u32) = .init(0),
    /// How often such a thread has got it.
    turns: std.atomic.Value(u32) = .init(0),
    /// Threads asleep in `giveWay`.
    yielding: std.atomic.Value(u32) = .init(0),

    const free: u32 = 0;
    const taken: u32 = 1;
    /// Taken, and somebody may be asleep.
    const contended: u32 = 2;

    pub fn lock(l: *Lock) void {
        if (l.state.cmpxchgStrong(free, taken, .acquire, .monotonic) == null) return;
        l.lockSlow();
    }

    /// False where somebody has it.
    pub fn tryLock(l: *Lock) bool {
        return l.state.cmpxchgStrong(free, taken, .acquire, .monotonic) == null;
    }

    fn lockSlow(l: *Lock) void {
        @branchHint(.cold);
        _ = l.waiting.fetchAdd(1, .seq_cst);
        l.await();
        // In this order: who sees the old turn below and nobody waiting has missed nothing.
        _ = l.waiting.fetchSub(1, .seq_cst);
        _ = l.turns.fetchAdd(1, .seq_cst);
        if (l.yielding.load(.seq_cst) > 0) parking.wakeAll(&l.turns);
    }

    fn await(l: *Lock) void {
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

    /// Returns when nobody waits, or somebody who did has got the lock, which its caller does not
    /// hold.
    pub fn giveWay(l: *Lock) void {
        const turn = l.turns.load(.seq_cst);
        if (l.waiting.load(.seq_cst) == 0) return;
        _ = l.yielding.fetchAdd(1, .seq_cst);
        defer _ = l.yielding.fetchSub(1, .seq_cst);
        while (l.turns.load(.seq_cst) == turn) parking.wait(&l.turns, turn);
    }
};

test "threads that count under the lock lose nothing, whether or not they give way" {
    const Shared = struct {
        lock: Lock = .{},
        count: u64 = 0,

        fn run(shared: *@This(), is_polite: bool) void {
            for (0..20_000) |_| {
                shared.lock.lock();
                shared.count += 1;
                shared.lock.unlock();
                if (is_polite) shared.lock.giveWay();
            }
        }
    };
    var shared: Shared = .{};
    var threads: [4]std.Thread = undefined;
    for (&threads, 0..) |*thread, i| {
        thread.* = try .spawn(.{}, Shared.run, .{ &shared, i % 2 == 0 });
    }
    for (threads) |thread| thread.join();
    try std.testing.expectEqual(80_000, shared.count);
    try std.testing.expectEqual(Lock.free, shared.lock.state.load(.monotonic));
    try std.testing.expectEqual(0, shared.lock.waiting.load(.monotonic));
    try std.testing.expectEqual(0, shared.lock.yielding.load(.monotonic));
}

test "who waits for a thread that takes the lock again and again has it after one turn" {
    const Shared = struct {
        lock: Lock = .{},
        /// How often the other thread has had it.
        had: u32 = 0,
        waits: std.atomic.Value(u32) = .init(0),
        overtaken: std.atomic.Value(u32) = .init(0),

        fn takeAgainAndAgain(shared: *@This()) void {
            shared.lock.lock();
            while (shared.waits.load(.monotonic) < 200) {
                const had = shared.had;
                // Long enough for whoever wants the lock to fall asleep.
                const pause = 1 << 14;
                for (0..pause) |_| std.atomic.spinLoopHint();
                const is_awaited = shared.lock.waiting.load(.seq_cst) > 0;
                shared.lock.unlock();
                shared.lock.giveWay();
                shared.lock.lock();
                if (!is_awaited) continue;
                _ = shared.waits.fetchAdd(1, .monotonic);
                if (shared.had == had) _ = shared.overtaken.fetchAdd(1, .monotonic);
            }
            shared.lock.unlock();
        }
    };
    var shared: Shared = .{};
    const thread: std.Thread = try .spawn(.{}, Shared.takeAgainAndAgain, .{&shared});
    while (shared.waits.load(.monotonic) < 200) {
        shared.lock.lock();
        shared.had += 1;
        shared.lock.unlock();
        // Not always there already when the other thread is done.
        std.Thread.yield() catch {};
    }
    thread.join();
    try std.testing.expectEqual(0, shared.overtaken.load(.monotonic));
}
