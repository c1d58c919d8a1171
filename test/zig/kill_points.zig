//! SIGKILL of a real process with a real file, before and after each of its first 160 calls that
//! change something in the system, and half-way through each write of those: the next process finds
//! every batch that was acknowledged, no half of one, and can write at once.

const std = @import("std");
const builtin = @import("builtin");
const vl = @import("vectorlite");
const scale = @import("crash_options").scale;
const tally = @import("crash/tally.zig");
const os = vl.os;
const linux = std.os.linux;

const gpa = std.heap.smp_allocator;
const key_count = 12;
const dimension = 8;

/// Which call a process dies at.
const Point = struct { number: u64, when: When };
const When = enum { before, after, half_way };

/// The real system, which ends the process at one of its calls.
const Killer = struct {
    inner: os.System,
    point: Point,
    calls: u64 = 0,

    const system_vtable: os.System.VTable = .{
        .open = open,
        .monotonicMs = monotonicMs,
        .wallMs = wallMs,
        .sleepMs = sleepMs,
        .random = random,
        .bootId = bootId,
        .processId = processId,
    };

    fn system(killer: *Killer) os.System {
        return .{ .context = killer, .vtable = &system_vtable };
    }

    fn of(context: *anyopaque) *Killer {
        return @ptrCast(@alignCast(context));
    }

    fn enter(killer: *Killer) void {
        if (killer.calls == killer.point.number and killer.point.when == .before) die();
    }

    fn leave(killer: *Killer) void {
        if (killer.calls == killer.point.number and killer.point.when == .after) die();
        killer.calls += 1;
    }

    fn isHalfWay(killer: *const Killer) bool {
        return killer.calls == killer.point.number and killer.point.when == .half_way;
    }

    fn die() noreturn {
        _ = linux.kill(linux.getpid(), .KILL);
        unreachable;
    }

    fn open(
        context: *anyopaque,
        allocator: std.mem.Allocator,
        path: []const u8,
        options: os.OpenOptions,
    ) os.Error!os.File {
        const killer = of(context);
        killer.enter();
        defer killer.leave();
        const inner = try killer.inner.open(allocator, path, options);
        errdefer inner.close();
        const file = try allocator.create(File);
        file.* = .{ .killer = killer, .inner = inner, .gpa = allocator };
        return .{ .context = file, .vtable = &File.vtable };
    }

    fn monotonicMs(context: *anyopaque) u64 {
        return of(context).inner.monotonicMs();
    }
    fn wallMs(context: *anyopaque) i64 {
        return of(context).inner.wallMs();
    }
    fn sleepMs(context: *anyopaque, ms: u32) void {
        of(context).inner.sleepMs(ms);
    }
    fn random(context: *anyopaque, buffer: []u8) void {
        of(context).inner.random(buffer);
    }
    fn bootId(context: *anyopaque) ?[16]u8 {
        return of(context).inner.bootId();
    }
    fn processId(context: *anyopaque) u64 {
        return of(context).inner.processId();
    }
};

const File = struct {
    killer: *Killer,
    inner: os.File,
    gpa: std.mem.Allocator,

    const vtable: os.File.VTable = .{
        .read = read,
        .write = write,
        .extend = extend,
        .shrink = shrink,
        .sync = sync,
        .stat = stat,
        .lock = lock,
        .unlock = unlock,
        .probe = probe,
        .map = map,
        .releaseMaps = releaseMaps,
        .close = close,
    };

    fn of(context: *anyopaque) *File {
        return @ptrCast(@alignCast(context));
    }

    fn read(context: *anyopaque, offset: u64, buffer: []u8) os.Error!usize {
        return of(context).inner.read(offset, buffer);
    }

    fn write(context: *anyopaque, offset: u64, parts: []const []const u8) os.Error!void {
        const file = of(context);
        file.killer.enter();
        defer file.killer.leave();
        if (file.killer.isHalfWay()) {
            file.inner.write(offset, &.{parts[0][0 .. parts[0].len / 2]}) catch {};
            Killer.die();
        }
        return file.inner.write(offset, parts);
    }

    fn extend(context: *anyopaque, length: u64) os.Error!void {
        const file = of(context);
        file.killer.enter();
        defer file.killer.leave();
        return file.inner.extend(length);
    }

    fn shrink(context: *anyopaque, length: u64) os.Error!bool {
        const file = of(context);
        file.killer.enter();
        defer file.killer.leave();
        return file.inner.shrink(length);
    }

    fn sync(context: *anyopaque) os.Error!void {
        const file = of(context);
        file.killer.enter();
        defer file.killer.leave();
        return file.inner.sync();
    }

    fn stat(context: *anyopaque) os.Error!os.FileStat {
        return of(context).inner.stat();
    }

    fn lock(
        context: *anyopaque,
        owner: os.LockOwner,
        kind: os.LockKind,
        range: os.LockRange,
    ) os.Error!bool {
        const file = of(context);
        file.killer.enter();
        defer file.killer.leave();
        return file.inner.lock(owner, kind, range);
    }

    fn unlock(context: *anyopaque, owner: os.LockOwner, range: os.LockRange) void {
        const file = of(context);
        file.killer.enter();
        defer file.killer.leave();
        file.inner.unlock(owner, range);
    }

    fn probe(context: *anyopaque, range: os.LockRange) os.Error!?u64 {
        return of(context).inner.probe(range);
    }

    fn map(context: *anyopaque, offset: u64, len: usize) ?os.Map {
        return of(context).inner.map(offset, len);
    }

    fn releaseMaps(context: *anyopaque) void {
        of(context).inner.releaseMaps();
    }

    fn close(context: *anyopaque) void {
        const file = of(context);
        file.inner.close();
        file.gpa.destroy(file);
    }
};

const Connection = struct {
    database: *vl.Database,
    collection: *vl.Collection,
    diagnostics: *vl.Diagnostics,

    fn open(system: os.System, path: []const u8, durability: vl.Durability) !Connection {
        const diagnostics = try gpa.create(vl.Diagnostics);
        diagnostics.* = .{};
        // Somebody who was killed holds no lock.
        const options: vl.Options = .{ .durability = durability, .busy_timeout_ms = 0 };
        const database = try vl.Database.open(gpa, system, path, options, diagnostics);
        const scope: vl.Scope = .{ .database = database };
        const collection = try vl.Collection.open(scope, "docs", .{
            .dimension = dimension,
            .metric = .l2,
        });
        return .{ .database = database, .collection = collection, .diagnostics = diagnostics };
    }

    fn close(connection: Connection) void {
        connection.collection.close();
        connection.database.close();
        gpa.destroy(connection.diagnostics);
    }

    /// All keys get vectors full of the batch's number.
    fn putBatch(connection: Connection, batch: u8) !void {
        var keys: [key_count]u8 = undefined;
        for (&keys, 'a'..) |*key, letter| key.* = @intCast(letter);
        const lens: [key_count]u32 = @splat(1);
        const vectors: [key_count * dimension]f32 = @splat(@floatFromInt(batch));
        try connection.collection.put(.{ .keys = &keys, .key_lens = &lens, .vectors = &vectors });
    }

    fn compact(connection: Connection) !void {
        var done: f64 = 0;
        var total: f64 = 0;
        var is_first = true;
        while (try vl.compactStep(connection.database, is_first, 4096, &done, &total)) {
            is_first = false;
        }
    }

    /// The one batch that is there; 0 is none.
    fn readBatch(connection: Connection) !u8 {
        var batch: ?f32 = null;
        var vector: [dimension]f32 = undefined;
        for (0..key_count) |i| {
            const key = [_]u8{'a' + @as(u8, @intCast(i))};
            const is_there = try connection.collection.get(&key, &vector);
            const number = if (is_there) vector[0] else 0;
            if (is_there) for (vector) |other| if (other != number) return error.TornVector;
            if (number != (batch orelse number)) return error.TornBatch;
            batch = number;
        }
        return @intFromFloat(batch.?);
    }
};

const batches = 5;

/// In the child: batches, and a byte into the pipe for each that was acknowledged.
fn live(path: []const u8, durability: vl.Durability, point: Point, pipe: linux.fd_t) !void {
    var killer: Killer = .{ .inner = vl.backends.file.system(), .point = point };
    const connection = try Connection.open(killer.system(), path, durability);
    const before = try connection.readBatch();
    for (before + 1..before + 1 + batches) |batch| {
        try connection.putBatch(@intCast(batch));
        const number: u8 = @intCast(batch);
        if (linux.write(pipe, @ptrCast(&number), 1) != 1) return error.BrokenPipe;
        if (batch % 3 == 0) try connection.database.flush();
        if (batch % 5 == 0) try connection.compact();
    }
    connection.close();
}

const End = struct { acknowledged: ?u8, was_killed: bool };

fn liveInChild(path: []const u8, durability: vl.Durability, point: Point) !End {
    var pipe: [2]linux.fd_t = undefined;
    if (linux.errno(linux.pipe2(&pipe, .{ .CLOEXEC = true })) != .SUCCESS) return error.NoPipe;
    const forked = linux.fork();
    if (linux.errno(forked) != .SUCCESS) return error.SkipZigTest;
    if (forked == 0) {
        live(path, durability, point, pipe[1]) catch linux.exit_group(1);
        linux.exit_group(0);
    }
    _ = linux.close(pipe[1]);
    defer _ = linux.close(pipe[0]);
    var acknowledged: ?u8 = null;
    var byte: [1]u8 = undefined;
    while (linux.read(pipe[0], &byte, 1) == 1) acknowledged = byte[0];
    var status: u32 = 0;
    _ = linux.waitpid(@intCast(forked), &status, 0);
    const was_killed = linux.W.IFSIGNALED(status);
    if (was_killed and linux.W.TERMSIG(status) != .KILL) return error.WrongSignal;
    if (!was_killed and linux.W.EXITSTATUS(status) != 0) return error.ChildFailed;
    return .{ .acknowledged = acknowledged, .was_killed = was_killed };
}

/// A folder in memory where there is one: it is the process that dies, not the machine.
fn makeFolder(buffer: []u8) ![:0]const u8 {
    for ([_][]const u8{ "/dev/shm", "/tmp" }) |parent| {
        const name = .{ parent, linux.getpid() };
        const folder = try std.fmt.bufPrintZ(buffer, "{s}/vectorlite-kill-{d}", name);
        if (linux.errno(linux.mkdir(folder, 0o700)) == .SUCCESS) return folder;
    }
    return error.SkipZigTest;
}

/// One process after the other, each killed one call later than the one before, in a file that
/// begins with some batches. The number of kills.
fn killEverywhere(
    path: [:0]const u8,
    durability: vl.Durability,
    when: When,
    batches_before: u8,
) !u64 {
    // From no file on; each process goes on where the last one died.
    _ = linux.unlink(path);
    defer _ = linux.unlink(path);
    var last: u8 = 0;
    if (batches_before > 0) {
        const first = try Connection.open(vl.backends.file.system(), path, durability);
        defer first.close();
        while (last < batches_before) : (last += 1) try first.putBatch(last + 1);
    }
    var kills: u64 = 0;
    var number: u64 = 0;
    while (number < 160 and last < 200) : (number += 1) {
        const point: Point = .{ .number = number, .when = when };
        errdefer |err| std.debug.print("{t}: {t} {} after {d}\n", .{
            err, durability, point, batches_before,
        });
        const end = try liveInChild(path, durability, point);
        const next = try Connection.open(vl.backends.file.system(), path, durability);
        defer next.close();
        const found = try next.readBatch();
        const acknowledged = end.acknowledged orelse last;
        // The kill may come between the commit and the word of it.
        if (found != acknowledged and found != acknowledged + 1) return error.WrongBatch;
        try next.putBatch(found + 1);
        last = found + 1;
        if (!end.was_killed and when != .half_way) break;
        if (end.was_killed) kills += 1;
    }
    return kills;
}

test "a process that is killed at any call loses nothing that was acknowledged" {
    if (builtin.os.tag != .linux) return error.SkipZigTest;
    var folder_buffer: [64]u8 = undefined;
    const folder = try makeFolder(&folder_buffer);
    defer _ = linux.rmdir(folder);
    var kills: u64 = 0;
    for (0..scale) |round| for ([_]vl.Durability{ .full, .normal, .none }) |durability| {
        var path_buffer: [80]u8 = undefined;
        const path = try std.fmt.bufPrintZ(&path_buffer, "{s}/{t}.vl", .{ folder, durability });
        for (std.enums.values(When)) |when| {
            const batches_before: u8 = @intCast(@min(round * 7, 90));
            kills += try killEverywhere(path, durability, when, batches_before);
        }
    };
    tally.tell("kill points", .{ .kills = kills });
    try std.testing.expect(kills > 150);
}
