//! Threads that share the pure part of one piece of work, over and over: the caller hands out
//! numbered units, takes part itself, and goes on when all are done. Between two pieces the others
//! look for work for some microseconds and sleep then.
//!
//! On Linux the library is without libc, so its threads come from the libc of the program that
//! loaded it, as a weak symbol: a thread that libc does not know has no thread-local storage that
//! the rest of the process could use. Where there is none, the caller does all the work.

const std = @import("std");
const builtin = @import("builtin");
const parking = @import("parking.zig");

pub const lanes_max = 64;

pub const Crew = struct {
    gpa: std.mem.Allocator,
    /// None: the caller is alone.
    shared: ?*Shared = null,

    const Work = *const fn (context: *const anyopaque, unit: usize) void;

    const Shared = struct {
        threads: [lanes_max - 1]Thread = undefined,
        thread_count: usize = 0,
        /// Changes when there is work, and when the crew is dismissed.
        round: std.atomic.Value(u32) = .init(0),
        sleepers: std.atomic.Value(u32) = .init(0),
        /// `is_open` while there are units, and how many of the threads are at them. Nobody waits
        /// for a thread that comes too late.
        gate: std.atomic.Value(u32) = .init(0),
        is_dismissed: std.atomic.Value(bool) = .init(false),
        work: Work = undefined,
        context: *const anyopaque = undefined,
        unit_count: usize = 0,
        next_unit: std.atomic.Value(usize) = .init(0),

        fn takeUnits(shared: *Shared) void {
            while (true) {
                const unit = shared.next_unit.fetchAdd(1, .monotonic);
                if (unit >= shared.unit_count) return;
                shared.work(shared.context, unit);
            }
        }

        fn serve(shared: *Shared) void {
            var seen: u32 = 0;
            while (true) {
                seen = shared.awaitRound(seen);
                if (shared.is_dismissed.load(.acquire)) return;
                if (!shared.enter()) continue;
                shared.takeUnits();
                if (shared.gate.fetchSub(1, .release) == 1) parking.wakeOne(&shared.gate);
            }
        }

        fn enter(shared: *Shared) bool {
            var gate = shared.gate.load(.monotonic);
            while (gate & is_open != 0) {
                gate = shared.gate.cmpxchgWeak(gate, gate + 1, .acquire, .monotonic) orelse
                    return true;
            }
            return false;
        }

        fn awaitRound(shared: *Shared, seen: u32) u32 {
            for (0..spins) |_| {
                const round = shared.round.load(.acquire);
                if (round != seen) return round;
                std.atomic.spinLoopHint();
            }
            _ = shared.sleepers.fetchAdd(1, .seq_cst);
            defer _ = shared.sleepers.fetchSub(1, .seq_cst);
            while (true) {
                const round = shared.round.load(.seq_cst);
                if (round != seen) return round;
                parking.wait(&shared.round, seen);
            }
        }

        fn announce(shared: *Shared) void {
            _ = shared.round.fetchAdd(1, .seq_cst);
            if (shared.sleepers.load(.seq_cst) > 0) parking.wakeAll(&shared.round);
        }
    };

    const is_open = 1 << 31;

    /// About 20 µs, which is less than it takes to wake a thread.
    const spins = 500;

    /// `wanted` counts the caller. There may be fewer, where the system gives no more.
    pub fn init(gpa: std.mem.Allocator, wanted: usize) Crew {
        if (wanted <= 1) return .{ .gpa = gpa };
        const shared = gpa.create(Shared) catch return .{ .gpa = gpa };
        shared.* = .{};
        for (shared.threads[0 .. @min(wanted, lanes_max) - 1]) |*thread| {
            thread.* = Thread.start(shared) orelse break;
            shared.thread_count += 1;
        }
        if (shared.thread_count > 0) return .{ .gpa = gpa, .shared = shared };
        gpa.destroy(shared);
        return .{ .gpa = gpa };
    }

    pub fn deinit(crew: *Crew) void {
        const shared = crew.shared orelse return;
        shared.is_dismissed.store(true, .release);
        shared.announce();
        for (shared.threads[0..shared.thread_count]) |thread| thread.join();
        crew.gpa.destroy(shared);
        crew.shared = null;
    }

    /// How many work at once.
    pub fn lanes(crew: *const Crew) usize {
        return if (crew.shared) |shared| shared.thread_count + 1 else 1;
    }

    /// Calls `work` for each unit below `count`, on any of the threads and in any order. Returns
    /// when all are done, and what they wrote can be read.
    pub fn forEach(
        crew: *const Crew,
        count: usize,
        context: anytype,
        comptime work: fn (@TypeOf(context), usize) void,
    ) void {
        const shared = crew.shared orelse return for (0..count) |unit| work(context, unit);
        if (count <= 1) return for (0..count) |unit| work(context, unit);
        shared.work = &struct {
            fn call(untyped: *const anyopaque, unit: usize) void {
                work(@ptrCast(@alignCast(@constCast(untyped))), unit);
            }
        }.call;
        shared.context = context;
        shared.unit_count = count;
        shared.next_unit.store(0, .monotonic);
        shared.gate.store(is_open, .release);
        shared.announce();
        shared.takeUnits();
        _ = shared.gate.fetchAnd(~@as(u32, is_open), .acquire);
        for (0..spins) |_| {
            if (shared.gate.load(.acquire) == 0) return;
            std.atomic.spinLoopHint();
        }
        while (true) {
            const inside = shared.gate.load(.acquire);
            if (inside == 0) return;
            parking.wait(&shared.gate, inside);
        }
    }
};

const uses_host_libc = builtin.os.tag == .linux and builtin.output_mode == .Lib and
    !builtin.link_libc;

const Thread = if (uses_host_libc) HostThread else OwnThread;

const OwnThread = struct {
    thread: std.Thread,

    fn start(shared: *Crew.Shared) ?OwnThread {
        const thread = std.Thread.spawn(.{}, Crew.Shared.serve, .{shared}) catch return null;
        return .{ .thread = thread };
    }

    fn join(own: OwnThread) void {
        own.thread.join();
    }
};

const HostThread = struct {
    const linux = std.os.linux;

    /// pthread_t, which is as large as a pointer in glibc and in musl.
    id: usize,

    const Main = *const fn (?*anyopaque) callconv(.c) ?*anyopaque;
    const Create = *const fn (*usize, ?*const anyopaque, Main, ?*anyopaque) callconv(.c) c_int;
    const Join = *const fn (usize, ?*?*anyopaque) callconv(.c) c_int;

    fn start(shared: *Crew.Shared) ?HostThread {
        const create = @extern(?Create, .{ .name = "pthread_create", .linkage = .weak });
        const join_function = @extern(?Join, .{ .name = "pthread_join", .linkage = .weak });
        if (create == null or join_function == null) return null;
        // It inherits the mask: handlers of the program are for threads that know of them.
        var before: linux.sigset_t = undefined;
        var all = linux.sigfillset();
        for (faults ++ of_libc) |signal| linux.sigdelset(&all, signal);
        _ = linux.sigprocmask(linux.SIG.BLOCK, &all, &before);
        defer _ = linux.sigprocmask(linux.SIG.SETMASK, &before, null);
        var host: HostThread = .{ .id = 0 };
        return if (create.?(&host.id, null, main, shared) == 0) host else null;
    }

    /// What the thread itself causes; a fault in a map has a handler of ours.
    const faults = [_]linux.SIG{ .SEGV, .BUS, .FPE, .ILL, .TRAP };
    /// By which glibc and musl speak to all threads.
    const of_libc = [_]linux.SIG{ @enumFromInt(32), @enumFromInt(33), @enumFromInt(34) };

    fn main(untyped: ?*anyopaque) callconv(.c) ?*anyopaque {
        const shared: *Crew.Shared = @ptrCast(@alignCast(untyped.?));
        shared.serve();
        return null;
    }

    fn join(host: HostThread) void {
        const function = @extern(?Join, .{ .name = "pthread_join", .linkage = .weak });
        _ = function.?(host.id, null);
    }
};

test "each unit is done once, however many share them and however often" {
    const Count = struct {
        done: [100]std.atomic.Value(u32) = @splat(.init(0)),

        fn work(count: *@This(), unit: usize) void {
            _ = count.done[unit].fetchAdd(1, .monotonic);
        }
    };
    for ([_]usize{ 0, 1, 2, 5 }) |lanes| {
        var crew: Crew = .init(std.testing.allocator, lanes);
        defer crew.deinit();
        try std.testing.expect(crew.lanes() <= @max(1, lanes));
        var count: Count = .{};
        for (0..2000) |round| crew.forEach(round % 100, &count, Count.work);
        // Twenty times the numbers from 0 up to 99, each of which does the units below it.
        for (&count.done, 0..) |*done, unit| {
            try std.testing.expectEqual(20 * (99 - unit), done.load(.monotonic));
        }
    }
}

test "a crew that slept works again" {
    const Count = struct {
        done: std.atomic.Value(u32) = .init(0),

        fn work(count: *@This(), _: usize) void {
            _ = count.done.fetchAdd(1, .monotonic);
        }
    };
    var crew: Crew = .init(std.testing.allocator, 3);
    defer crew.deinit();
    var count: Count = .{};
    for (0..20) |_| {
        const shared = crew.shared orelse return error.SkipZigTest;
        while (shared.sleepers.load(.monotonic) < shared.thread_count) std.atomic.spinLoopHint();
        crew.forEach(10, &count, Count.work);
    }
    try std.testing.expectEqual(200, count.done.load(.monotonic));
}
