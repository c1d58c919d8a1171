//! What does the operating system charge for what the engine does? One row of 1536 floats (6 KiB)
//! read in each possible way, and the calls that a commit is made of, over a file of 10,000 rows
//! that lies in the page cache. The design stands on these figures: docs/decisions/ names them.
//!
//! zig build bench-primitives [-- <path of a file to write>]

const std = @import("std");
const builtin = @import("builtin");
const vl = @import("vectorlite");
const Io = std.Io;

const row_bytes = 6144;
const row_count = 10_000;
/// The median of this many rounds counts, the fastest and slowest are shown.
const round_count = 7;

const Work = struct {
    io: Io,
    file: vl.os.File,
    prng: std.Random.DefaultPrng = .init(1),
    row: [row_bytes]u8 align(64) = @splat(1),
    end: u64 = row_count * row_bytes,

    fn offset(work: *Work) u64 {
        return work.prng.random().uintLessThan(u64, row_count) * row_bytes;
    }

    fn readCall(work: *Work) !void {
        _ = try work.file.read(work.offset(), &work.row);
    }
    fn copy(work: *Work, map: []const u8, at: u64) void {
        @memcpy(&work.row, map[@intCast(at)..][0..row_bytes]);
        std.mem.doNotOptimizeAway(&work.row);
    }
    fn writeSlot(work: *Work) !void {
        try work.file.write(0, &.{work.row[0..64]});
    }
    fn append(work: *Work) !void {
        try work.file.write(work.end, &.{&work.row});
        work.end += row_bytes;
    }
    fn sync(work: *Work) !void {
        try work.file.write(0, &.{work.row[0..64]});
        try work.file.sync();
    }
    fn lock(work: *Work) !void {
        const range: vl.os.LockRange = .{ .start = vl.format.lock_snapshots + 1, .len = 1 };
        if (!try work.file.lock(.snapshots, .shared, range)) return error.Locked;
        work.file.unlock(.snapshots, range);
    }
    fn probe(work: *Work) !void {
        const range: vl.os.LockRange = .{ .start = vl.format.lock_writer, .len = 1 };
        _ = try work.file.probe(range);
    }
    fn stat(work: *Work) !void {
        _ = try work.file.stat();
    }
};

const Measure = struct {
    name: []const u8,
    run: *const fn (*Work) anyerror!void,
    count: usize = 2000,
};

const calls = [_]Measure{
    .{ .name = "read call, 6 KiB, random", .run = Work.readCall, .count = 20_000 },
    .{ .name = "write call, 64 bytes", .run = Work.writeSlot, .count = 20_000 },
    .{ .name = "write call, 6 KiB at the end", .run = Work.append },
    .{ .name = "lock and unlock", .run = Work.lock, .count = 20_000 },
    .{ .name = "ask for locks", .run = Work.probe, .count = 20_000 },
    .{ .name = "look at file and path", .run = Work.stat, .count = 20_000 },
    .{ .name = "write 64 bytes and sync", .run = Work.sync, .count = 100 },
};

pub fn main(init: std.process.Init) !void {
    const args = try init.minimal.args.toSlice(init.arena.allocator());
    const path = if (args.len > 1) args[1] else "primitives.tmp";
    var buffer: [4096]u8 = undefined;
    var stdout = Io.File.stdout().writerStreaming(init.io, &buffer);
    const out = &stdout.interface;

    const system = vl.backends.file.system();
    const file = try system.open(init.gpa, path, .{ .create = true });
    defer Io.Dir.cwd().deleteFile(init.io, path) catch {};
    defer file.close();
    const work = try init.gpa.create(Work);
    defer init.gpa.destroy(work);
    work.* = .{ .io = init.io, .file = file };
    for (0..row_count) |i| try file.write(i * row_bytes, &.{&work.row});
    try file.sync();

    const heads = .{ "microseconds each", "median", "fastest", "slowest" };
    try out.print("{s: <38}{s: >9}{s: >9}{s: >9}\n", heads);
    for (calls) |call| {
        var times: [round_count]f64 = undefined;
        for (&times) |*time| {
            const start = Io.Clock.awake.now(work.io);
            for (0..call.count) |_| try call.run(work);
            time.* = elapsed(work.io, start) / @as(f64, @floatFromInt(call.count));
        }
        try print(out, call.name, &times);
    }
    try measureMaps(out, work);
    try out.flush();
}

/// A fresh map is cold, and what makes it warm again is what its reader pays.
fn measureMaps(out: *Io.Writer, work: *Work) !void {
    const map = work.file.map(0, row_count * row_bytes) orelse
        return out.print("no maps on this system\n", .{});
    var cold: [round_count]f64 = undefined;
    var resident: u64 = 0;
    for (&cold) |*time| {
        work.file.releaseMaps();
        const before = try residentBytes(work.io);
        const start = Io.Clock.awake.now(work.io);
        for (0..1000) |_| work.copy(map, work.offset());
        time.* = elapsed(work.io, start) / 1000;
        resident = (try residentBytes(work.io)) -| before;
    }
    var hot: [round_count]f64 = undefined;
    for (0..row_count) |i| work.copy(map, i * row_bytes);
    for (&hot) |*time| {
        const start = Io.Clock.awake.now(work.io);
        for (0..20_000) |_| work.copy(map, work.offset());
        time.* = elapsed(work.io, start) / 20_000;
    }
    var trimmed: [round_count]f64 = undefined;
    for (&trimmed) |*time| {
        const start = Io.Clock.awake.now(work.io);
        for (0..2048) |i| {
            work.copy(map, work.offset());
            if (i % 64 == 63) work.file.releaseMaps();
        }
        time.* = elapsed(work.io, start) / 2048;
    }
    try print(out, "map, 6 KiB, random, all resident", &hot);
    try print(out, "map, 6 KiB, random, a fresh map", &cold);
    try print(out, "map, 6 KiB, given back each 64 reads", &trimmed);
    try out.print("resident after 1000 reads through a fresh map: {d:.1} MB more\n", .{
        @as(f64, @floatFromInt(resident)) / 1e6,
    });
}

fn elapsed(io: Io, start: Io.Timestamp) f64 {
    return @as(f64, @floatFromInt(start.untilNow(io, .awake).nanoseconds)) / 1000;
}

fn print(out: *Io.Writer, name: []const u8, times: *[round_count]f64) !void {
    std.mem.sort(f64, times, {}, std.sort.asc(f64));
    const values = .{ name, times[round_count / 2], times[0], times[round_count - 1] };
    try out.print("{s: <38}{d: >9.2}{d: >9.2}{d: >9.2}\n", values);
}

/// 0 where it cannot be known.
fn residentBytes(io: Io) !u64 {
    if (builtin.os.tag != .linux) return 0;
    var buffer: [256]u8 = undefined;
    const text = Io.Dir.cwd().readFile(io, "/proc/self/statm", &buffer) catch return 0;
    var words = std.mem.tokenizeScalar(u8, text, ' ');
    _ = words.next();
    return (std.fmt.parseInt(u64, words.next() orelse "0", 10) catch 0) * std.heap.pageSize();
}
