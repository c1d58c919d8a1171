//! A machine with two files in memory, made for hundred thousands of executions: going back to a
//! prepared content costs only the pages that were changed. Connections have locks as between
//! processes. A file has room for 8 MiB; then the disk is full.

const std = @import("std");
const vl = @import("vectorlite");
const format = vl.format;
const os = vl.os;

pub const path = "fuzz.vl";
pub const backup_path = "backup.vl";

pub const Machine = struct {
    main: Content,
    backup: Content,
    clock_ms: u64 = 1000,
    wall_ms: u64 = 1000,
    prng: std.Random.DefaultPrng = .init(1),
    connections: [8]Connection = undefined,
    locks: [64]Lock = undefined,
    lock_count: usize = 0,

    pub const boot_id: [16]u8 = @splat(7);

    const Lock = struct {
        connection: *const Connection,
        owner: os.LockOwner,
        kind: os.LockKind,
        range: os.LockRange,

        fn overlaps(held: *const Lock, range: os.LockRange) bool {
            return held.range.start < range.start + range.len and
                range.start < held.range.start + held.range.len;
        }
    };

    /// `machine` does not move.
    pub fn init(machine: *Machine) !void {
        machine.* = .{ .main = try .init(), .backup = try .init() };
        for (&machine.connections) |*connection| connection.is_open = false;
    }

    pub fn deinit(machine: *Machine) void {
        machine.main.deinit();
        machine.backup.deinit();
    }

    pub fn system(machine: *Machine) os.System {
        return .{ .context = machine, .vtable = &system_vtable };
    }

    /// The file is `content` again, and nothing else is there.
    pub fn reset(machine: *Machine, content: []const u8) void {
        for (&machine.connections) |*connection| std.debug.assert(!connection.is_open);
        machine.main.reset(content);
        machine.backup.reset("");
        machine.clock_ms = 1000;
        machine.wall_ms = 1000;
        machine.prng = .init(1);
        machine.lock_count = 0;
    }

    const system_vtable: os.System.VTable = .{
        .open = open,
        .monotonicMs = monotonicMs,
        .wallMs = wallMs,
        .sleepMs = sleepMs,
        .random = random,
        .bootId = bootId,
        .processId = processId,
    };

    fn of(context: *anyopaque) *Machine {
        return @ptrCast(@alignCast(context));
    }

    fn open(
        context: *anyopaque,
        _: std.mem.Allocator,
        name: []const u8,
        options: os.OpenOptions,
    ) os.Error!os.File {
        const machine = of(context);
        const content = if (std.mem.eql(u8, name, path)) &machine.main else &machine.backup;
        for (&machine.connections) |*connection| {
            if (connection.is_open) continue;
            connection.* = .{
                .machine = machine,
                .content = content,
                .is_open = true,
                .readonly = options.readonly,
            };
            return .{ .context = connection, .vtable = &file_vtable };
        }
        return error.TooManyFiles;
    }

    fn monotonicMs(context: *anyopaque) u64 {
        return of(context).clock_ms;
    }
    /// Never twice the same: a damaged slot makes a number free again, and the next root of that
    /// number, in the same millisecond and of the same shape, could be the one that was lost.
    fn wallMs(context: *anyopaque) i64 {
        const machine = of(context);
        machine.wall_ms += 1;
        return @intCast(machine.wall_ms);
    }
    fn sleepMs(context: *anyopaque, ms: u32) void {
        of(context).clock_ms += ms;
    }
    fn random(context: *anyopaque, buffer: []u8) void {
        of(context).prng.random().bytes(buffer);
    }
    fn bootId(_: *anyopaque) ?[16]u8 {
        return boot_id;
    }
    fn processId(_: *anyopaque) u64 {
        return 1;
    }
};

/// The bytes of one file.
pub const Content = struct {
    store: os.File,
    /// All that there is room for; what lies behind `length` was never the file's.
    room: []u8,
    length: usize = 0,
    /// Pages that are not as they were at the last reset.
    changed: std.StaticBitSet(pages_max) = .initEmpty(),

    const pages_max = 2048;
    pub const bytes_max = pages_max * format.page_bytes;

    fn init() !Content {
        const gpa = std.heap.page_allocator;
        const store = try vl.backends.memory.system().open(gpa, "any", .{ .create = true });
        errdefer store.close();
        try store.extend(bytes_max);
        const view = store.map(0, bytes_max) orelse return error.OutOfMemory;
        // Nobody else sees the store.
        return .{ .store = store, .room = @constCast(view.bytes) };
    }

    fn deinit(content: *Content) void {
        content.store.close();
    }

    pub fn bytes(content: *const Content) []u8 {
        return content.room[0..content.length];
    }

    fn reset(content: *Content, to: []const u8) void {
        var pages = content.changed.iterator(.{});
        while (pages.next()) |page| {
            const start = page * format.page_bytes;
            const out = content.room[start..][0..format.page_bytes];
            const from = to[@min(start, to.len)..@min(start + format.page_bytes, to.len)];
            @memcpy(out[0..from.len], from);
            @memset(out[from.len..], 0);
        }
        content.changed = .initEmpty();
        content.length = to.len;
    }

    /// `to` is what resets go back to from now on.
    pub fn adopt(content: *Content, to: []const u8) void {
        content.changed = .initFull();
        content.reset(to);
    }

    /// Called before the bytes are changed by anybody.
    pub fn touch(content: *Content, offset: usize, len: usize) void {
        if (len == 0) return;
        const first = offset / format.page_bytes;
        const last = (offset + len - 1) / format.page_bytes;
        content.changed.setRangeValue(.{ .start = first, .end = last + 1 }, true);
    }

    /// Cuts the file off, or adds zeros.
    pub fn setLength(content: *Content, length: usize) void {
        if (length < content.length) {
            content.touch(length, content.length - length);
            @memset(content.room[length..content.length], 0);
        }
        content.length = length;
    }
};

const Connection = struct {
    machine: *Machine,
    content: *Content,
    is_open: bool,
    readonly: bool,
};

fn connectionOf(context: *anyopaque) *Connection {
    return @ptrCast(@alignCast(context));
}

const file_vtable: os.File.VTable = .{
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

fn read(context: *anyopaque, offset: u64, buffer: []u8) os.Error!usize {
    const content = connectionOf(context).content;
    if (offset >= content.length) return 0;
    const start: usize = @intCast(offset);
    const len = @min(buffer.len, content.length - start);
    @memcpy(buffer[0..len], content.room[start..][0..len]);
    return len;
}

fn write(context: *anyopaque, offset: u64, parts: []const []const u8) os.Error!void {
    const connection = connectionOf(context);
    if (connection.readonly) return error.ReadOnlyMedia;
    const content = connection.content;
    var end = offset;
    for (parts) |part| end = std.math.add(u64, end, part.len) catch return error.NoSpace;
    if (end > Content.bytes_max) return error.NoSpace;
    var at: usize = @intCast(offset);
    content.touch(at, @intCast(end - offset));
    for (parts) |part| {
        @memcpy(content.room[at..][0..part.len], part);
        at += part.len;
    }
    content.length = @max(content.length, at);
}

fn extend(context: *anyopaque, length: u64) os.Error!void {
    const connection = connectionOf(context);
    if (connection.readonly) return error.ReadOnlyMedia;
    if (length > Content.bytes_max) return error.NoSpace;
    connection.content.length = @max(connection.content.length, @as(usize, @intCast(length)));
}

/// Now and then it is not allowed, as on Windows.
fn shrink(context: *anyopaque, length: u64) os.Error!bool {
    const connection = connectionOf(context);
    if (connection.readonly) return error.ReadOnlyMedia;
    if (connection.machine.prng.random().uintLessThan(u8, 8) == 0) return false;
    const content = connection.content;
    content.setLength(@intCast(@min(content.length, length)));
    return true;
}

fn sync(_: *anyopaque) os.Error!void {}

fn stat(context: *anyopaque) os.Error!os.FileStat {
    return .{ .length = connectionOf(context).content.length, .same_file = true };
}

fn lock(
    context: *anyopaque,
    owner: os.LockOwner,
    kind: os.LockKind,
    range: os.LockRange,
) os.Error!bool {
    const connection = connectionOf(context);
    const machine = connection.machine;
    for (machine.locks[0..machine.lock_count]) |*held| {
        const is_own = held.connection == connection and held.owner == owner;
        if (is_own or held.connection.content != connection.content) continue;
        if (!held.overlaps(range)) continue;
        if (held.kind == .exclusive or kind == .exclusive) return false;
    }
    if (machine.lock_count == machine.locks.len) return error.LocksUnsupported;
    machine.locks[machine.lock_count] = .{
        .connection = connection,
        .owner = owner,
        .kind = kind,
        .range = range,
    };
    machine.lock_count += 1;
    return true;
}

fn unlock(context: *anyopaque, owner: os.LockOwner, range: os.LockRange) void {
    const connection = connectionOf(context);
    const machine = connection.machine;
    var kept: usize = 0;
    for (machine.locks[0..machine.lock_count]) |held| {
        const is_own = held.connection == connection and held.owner == owner;
        if (is_own and held.overlaps(range)) continue;
        machine.locks[kept] = held;
        kept += 1;
    }
    machine.lock_count = kept;
}

fn probe(context: *anyopaque, range: os.LockRange) os.Error!?u64 {
    const connection = connectionOf(context);
    const machine = connection.machine;
    var first: ?u64 = null;
    for (machine.locks[0..machine.lock_count]) |*held| {
        const is_own = held.connection == connection and held.owner == .writer;
        if (is_own or held.connection.content != connection.content) continue;
        if (!held.overlaps(range)) continue;
        const at = @max(held.range.start, range.start);
        first = @min(first orelse at, at);
    }
    return first;
}

/// Longer than the room, as a map of a growing file is; only bytes of the file may be touched.
fn map(context: *anyopaque, offset: u64, len: usize) ?os.Map {
    const content = connectionOf(context).content;
    if (offset >= Content.bytes_max) return null;
    return .ofMemory(content.room.ptr[@intCast(offset)..][0..len]);
}

fn releaseMaps(_: *anyopaque) void {}

fn close(context: *anyopaque) void {
    const connection = connectionOf(context);
    const machine = connection.machine;
    var kept: usize = 0;
    for (machine.locks[0..machine.lock_count]) |held| {
        if (held.connection == connection) continue;
        machine.locks[kept] = held;
        kept += 1;
    }
    machine.lock_count = kept;
    connection.is_open = false;
}
