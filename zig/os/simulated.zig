//! A disk that can fail in every way the fault model allows, as an ordinary backend.
//!
//! What reads and maps see is the cache. What the medium has is kept as the difference from it: the
//! content of each sector that the medium does not have yet, or will never have because a failed
//! sync marked it clean. Writes since the last successful sync are in a log, sector by sector. From
//! these `become` builds the disk that a power loss would leave, for any `Choice` of `Crashes`.
//!
//! A process is an object: any number of them share one disk inside one test. Killing one releases
//! its locks and leaves its writes in the cache; what it had open answers `InputOutput` from then
//! on and may still be closed, so that a test can free a killed database by closing it. Time stands
//! still but for `sleepMs` and `advance`. Everything is deterministic in the seed.

const std = @import("std");
const os = @import("os.zig");
const address_space = @import("address_space.zig");
const crash_enumeration = @import("crashes.zig");
const write_log = @import("write_log.zig");
const LockTable = @import("lock_table.zig").LockTable;
const Holder = @import("lock_table.zig").Holder;
const Sector = write_log.Sector;
const WriteLog = write_log.WriteLog;

pub const Fate = crash_enumeration.Fate;
pub const Choice = crash_enumeration.Choice;
pub const Crashes = crash_enumeration.Crashes;
pub const CrashOptions = crash_enumeration.Options;
pub const sector_bytes = write_log.sector_bytes;

pub const Call = enum {
    open,
    read,
    write,
    extend,
    shrink,
    sync,
    stat,
    lock,
    unlock,
    probe,
    map,
    release,
    close,
};

/// One call that fails. `map` fails by answering null; `unlock`, `release` and `close` cannot fail.
pub const Fault = struct {
    /// Null: any call that can fail.
    call: ?Call = null,
    /// Calls of that kind that still succeed before it.
    after: u64 = 0,
    /// Every call from then on fails; otherwise only that one.
    forever: bool = false,
    err: os.Error = error.InputOutput,
    /// Of a write: some of its first bytes have been written all the same. A read then succeeds
    /// with fewer bytes, as if the file had been cut.
    partial: bool = false,
    /// Only calls of the process with this id; null: of any.
    process: ?u64 = null,
    /// Of a sync: what reaches the medium although it failed. Everything is marked clean either
    /// way, and the cache keeps the new content.
    survivors: Survivors = .random,
};

pub const Survivors = union(enum) {
    none,
    all,
    random,
    /// This one of `Disk.crashes(.{ .garbage = false })`; past the last one, none.
    number: u64,
};

/// Called on the disk's behalf, before the thing happens. They must not use this disk's files, but
/// in `onCall`, `onLock`, `onSleep` and `onPart` other processes may act with their own, and any of
/// them may be killed.
pub const Hooks = struct {
    context: ?*anyopaque = null,
    /// Of those that can fail: a test learns from the stack who makes them.
    onCall: ?*const fn (context: ?*anyopaque, call: Call) void = null,
    onWrite: ?*const fn (context: ?*anyopaque, offset: u64, len: u64) void = null,
    /// Where a write stops for a moment, so that others see its first bytes; null: it happens at
    /// once. A system with one coherent page cache shows a write that has returned to everybody, so
    /// this is all the delay there is.
    cutWrite: ?*const fn (context: ?*anyopaque, offset: u64, len: u64) ?usize = null,
    /// In the middle of a write that was cut. Who is killed here has written a part.
    onPart: ?*const fn (context: ?*anyopaque) void = null,
    onShrink: ?*const fn (context: ?*anyopaque, length: u64) void = null,
    /// Every state that a power loss can produce since the last sync is among the crashes here.
    onSync: ?*const fn (context: ?*anyopaque) void = null,
    /// After the clock went on: a place to let another process act while this one waits.
    onSleep: ?*const fn (context: ?*anyopaque, ms: u32) void = null,
    /// Before a lock is asked for: a place to let another process act before this one has it, with
    /// files of its own.
    onLock: ?*const fn (context: ?*anyopaque, range: os.LockRange) void = null,
};

pub const Options = struct {
    seed: u64 = 0,
    /// Writes and extensions beyond it fail with `NoSpace`.
    capacity_bytes: u64 = 64 << 20,
    /// What the medium has at first; null is no file.
    content: ?[]const u8 = null,
};

/// Claimed for the cache, so that maps may reach past the end of the file.
const address_bytes = 1 << 30;
const commit_bytes = 1 << 20;

/// Tells contents of disks apart: never equal for two disks or two states of one.
var version_next: std.atomic.Value(u64) = .init(1);

pub const Disk = struct {
    gpa: std.mem.Allocator,
    prng: std.Random.DefaultPrng,
    capacity_bytes: u64,
    hooks: Hooks = .{},
    /// Calls so far, also those that failed.
    calls: std.EnumArray(Call, u64) = .initFill(0),
    faults_fired: u64 = 0,
    now_ms: u64 = 1_000,
    wall_offset_ms: i64 = 1_750_000_000_000,
    boot_id: ?[16]u8,
    /// False where no map is to be had.
    has_maps: bool = true,
    /// The path names another file now: `stat` answers so.
    replaced: bool = false,

    exists: bool,
    cache: address_space.Range,
    committed: usize = 0,
    length: u64 = 0,
    medium_length: u64 = 0,
    /// What was cut off since the last sync, of which the medium may still have all.
    cut_start: u64 = std.math.maxInt(u64),
    cut_end: u64 = 0,
    /// Sectors of which the medium has something else than the cache: what it has.
    medium: std.AutoArrayHashMapUnmanaged(u64, Sector) = .empty,
    log: WriteLog,

    path: ?[]u8 = null,
    others: std.StringArrayHashMapUnmanaged(*Disk) = .empty,
    processes: std.ArrayList(*Process) = .empty,
    locks: LockTable = .{},
    faults: std.ArrayList(Fault) = .empty,
    next_id: u64 = 1,

    version: u64 = 0,
    /// The disk state that this one was last built from, and what may differ from it since.
    origin: u64 = 0,
    touched: std.ArrayList(SectorRange) = .empty,
    touched_sectors: u64 = 0,

    const SectorRange = struct { first: u64, count: u64 };

    pub fn create(gpa: std.mem.Allocator, options: Options) error{OutOfMemory}!*Disk {
        const disk = try gpa.create(Disk);
        errdefer gpa.destroy(disk);
        disk.* = .{
            .gpa = gpa,
            .prng = .init(options.seed),
            .capacity_bytes = options.capacity_bytes,
            .boot_id = null,
            .exists = options.content != null,
            .cache = address_space.reserve(address_bytes) orelse return error.OutOfMemory,
            .log = .init(gpa),
        };
        disk.newBoot();
        errdefer disk.destroyParts();
        if (options.content) |content| try disk.setContent(content);
        return disk;
    }

    /// Closed or not, its processes and files are gone.
    pub fn destroy(disk: *Disk) void {
        const gpa = disk.gpa;
        disk.destroyParts();
        gpa.destroy(disk);
    }

    fn destroyParts(disk: *Disk) void {
        const gpa = disk.gpa;
        for (disk.processes.items) |started| gpa.destroy(started);
        disk.processes.deinit(gpa);
        for (disk.others.keys()) |path| gpa.free(path);
        disk.others.deinit(gpa);
        if (disk.path) |path| gpa.free(path);
        disk.medium.deinit(gpa);
        disk.log.deinit();
        disk.locks.deinit(gpa);
        disk.faults.deinit(gpa);
        disk.touched.deinit(gpa);
        address_space.release(disk.cache);
    }

    /// Starts a process. It lives until `kill`, a power loss or `destroy`.
    pub fn process(disk: *Disk) error{OutOfMemory}!*Process {
        const id = disk.takeId();
        for (disk.processes.items) |old| {
            if (old.alive or old.open_count > 0) continue;
            old.* = .{ .disk = disk, .id = id };
            return old;
        }
        try disk.processes.ensureUnusedCapacity(disk.gpa, 1);
        const started = try disk.gpa.create(Process);
        started.* = .{ .disk = disk, .id = id };
        disk.processes.appendAssumeCapacity(started);
        return started;
    }

    /// Processes of this disk find `other` at `path`. Any other path is this disk's own file; its
    /// first open names it.
    pub fn attach(disk: *Disk, path: []const u8, other: *Disk) error{OutOfMemory}!void {
        const name = try disk.gpa.dupe(u8, path);
        errdefer disk.gpa.free(name);
        try disk.others.putNoClobber(disk.gpa, name, other);
    }

    pub fn inject(disk: *Disk, fault: Fault) error{OutOfMemory}!void {
        try disk.faults.append(disk.gpa, fault);
    }

    pub fn clearFaults(disk: *Disk) void {
        disk.faults.clearRetainingCapacity();
    }

    pub fn advance(disk: *Disk, ms: u64) void {
        disk.now_ms += ms;
    }

    /// What reads see now.
    pub fn bytes(disk: *const Disk) []const u8 {
        return disk.cache[0..@intCast(disk.length)];
    }

    /// Bit rot: changes bytes in the cache, on the medium and on their way between them.
    pub fn corrupt(disk: *Disk, offset: u64, garbage: []const u8) void {
        std.debug.assert(offset + garbage.len <= disk.length);
        for (garbage, offset..) |byte, at| {
            const number = at / sector_bytes;
            disk.cache[at] = byte;
            if (disk.medium.getPtr(number)) |content| content[at % sector_bytes] = byte;
            for (disk.log.atoms.items) |atom| {
                if (atom.sector == number) disk.log.contentOf(atom)[at % sector_bytes] = byte;
            }
        }
        disk.version = 0;
        disk.origin = 0;
    }

    /// The file becomes `content`, on the medium too. Nothing may be open.
    pub fn setContent(disk: *Disk, content: []const u8) error{OutOfMemory}!void {
        disk.powerOff();
        try disk.commit(content.len);
        @memset(disk.cache[0..@intCast(disk.length)], 0);
        @memcpy(disk.cache[0..content.len], content);
        disk.length = content.len;
        disk.exists = true;
        disk.settle();
        disk.version = 0;
        disk.origin = 0;
    }

    /// What a power loss now could leave. The log must not change while the enumeration is used.
    pub fn crashes(disk: *const Disk, options: CrashOptions) error{OutOfMemory}!Crashes {
        return .init(disk.gpa, &disk.log, disk.medium_length, options);
    }

    pub const Boot = enum { new, same };

    /// This disk becomes what a power loss of `source` leaves behind. `source` goes on unharmed;
    /// processes, locks and faults of this disk are gone. Cheap when repeated from one state.
    pub fn become(
        disk: *Disk,
        source: *Disk,
        choice: Choice,
        boot: Boot,
    ) error{OutOfMemory}!void {
        std.debug.assert(disk != source and choice.fates.len == source.log.atoms.items.len);
        disk.powerOff();
        try disk.rebase(source);
        const end = @max(source.length, source.medium_length, source.cut_end, choice.length);
        try disk.commit(end);
        disk.length = end;
        for (source.medium.keys(), source.medium.values()) |number, *content| {
            if (number * sector_bytes >= end) continue;
            try disk.touch(number * sector_bytes, sector_bytes);
            disk.sector(number).* = content.*;
        }
        // Every sector of the log is one that the medium does not have, so it is touched already.
        var prng = std.Random.DefaultPrng.init(choice.seed);
        for (source.log.atoms.items, choice.fates) |atom, fate| switch (fate) {
            .lost => {},
            .kept => disk.sector(atom.sector).* = source.log.contentOf(atom).*,
            .torn, .garbage => {
                disk.sector(atom.sector).* = source.damaged(atom, fate, prng.random());
            },
        };
        const lost = disk.cache[@intCast(choice.length)..@intCast(end)];
        try disk.touch(choice.length, lost.len);
        @memset(lost, 0);
        disk.length = choice.length;
        disk.exists = source.exists;
        disk.replaced = source.replaced;
        disk.now_ms = source.now_ms;
        disk.wall_offset_ms = source.wall_offset_ms;
        disk.settle();
        disk.version = 0;
        if (boot == .same) disk.boot_id = source.boot_id else disk.newBoot();
    }

    /// Cache, medium and length are one, and nothing is pending.
    fn settle(disk: *Disk) void {
        disk.medium.clearRetainingCapacity();
        disk.log.clear();
        disk.forgetCut();
        disk.medium_length = disk.length;
    }

    fn powerOff(disk: *Disk) void {
        for (disk.processes.items) |running| running.alive = false;
        disk.locks.clear();
        disk.clearFaults();
    }

    fn newBoot(disk: *Disk) void {
        var id: [16]u8 = undefined;
        disk.prng.fill(&id);
        disk.boot_id = id;
    }

    /// Makes the cache equal to the cache of `source`, by copying what differs where that is known.
    fn rebase(disk: *Disk, source: *Disk) error{OutOfMemory}!void {
        if (source.version == 0) source.version = version_next.fetchAdd(1, .monotonic);
        try disk.commit(source.length);
        const count = source.sectorCount();
        if (disk.origin == source.version and disk.touched_sectors < count) {
            for (disk.touched.items) |range| {
                const known = @min(range.first + range.count, count) -| range.first;
                @memcpy(disk.sectors(range.first, known), source.sectors(range.first, known));
                @memset(disk.sectors(range.first + known, range.count - known), @splat(0));
            }
        } else {
            @memcpy(disk.sectors(0, count), source.sectors(0, count));
            const before = disk.sectorCount();
            if (before > count) @memset(disk.sectors(count, before - count), @splat(0));
        }
        disk.length = source.length;
        disk.origin = source.version;
        disk.touched.clearRetainingCapacity();
        disk.touched_sectors = 0;
    }

    fn touch(disk: *Disk, offset: u64, len: u64) error{OutOfMemory}!void {
        if (len == 0 or disk.origin == 0) return;
        const first = offset / sector_bytes;
        const count = (offset + len - 1) / sector_bytes - first + 1;
        disk.touched_sectors += count;
        if (disk.touched.items.len > 0) {
            const last = &disk.touched.items[disk.touched.items.len - 1];
            if (first == last.first + last.count) {
                last.count += count;
                return;
            }
        }
        try disk.touched.append(disk.gpa, .{ .first = first, .count = count });
    }

    /// The sector on the medium where the write of one atom was torn or trashed.
    fn damaged(disk: *const Disk, atom: write_log.Atom, fate: Fate, random: std.Random) Sector {
        const before = disk.log.contentBefore(atom) orelse disk.medium.getPtr(atom.sector).?;
        const part = disk.log.writes.items[atom.write].partOf(atom.sector);
        var content = before.*;
        if (fate == .garbage) {
            random.bytes(content[part.start..part.end]);
            return content;
        }
        const cut = random.intRangeAtMost(usize, part.start, part.end);
        const head = random.boolean();
        const start = if (head) part.start else cut;
        const end = if (head) cut else part.end;
        @memcpy(content[start..end], disk.log.contentOf(atom)[start..end]);
        return content;
    }

    fn put(disk: *Disk, offset: u64, parts: []const []const u8, len: usize) os.Error!void {
        if (len == 0) return;
        if (disk.hooks.onWrite) |hook| hook(disk.hooks.context, offset, len);
        const end = std.math.add(u64, offset, len) catch return error.NoSpace;
        if (end > @min(disk.capacity_bytes, address_bytes)) return error.NoSpace;
        try disk.commit(end);
        try disk.touch(offset, len);
        const first = offset / sector_bytes;
        const count = (end - 1) / sector_bytes - first + 1;
        try disk.medium.ensureUnusedCapacity(disk.gpa, @intCast(count));
        for (first..first + count) |number| {
            const entry = disk.medium.getOrPutAssumeCapacity(number);
            if (!entry.found_existing) entry.value_ptr.* = disk.sector(number).*;
        }
        var position: usize = @intCast(offset);
        var left = len;
        for (parts) |part| {
            const taken = @min(part.len, left);
            @memcpy(disk.cache[position..][0..taken], part[0..taken]);
            position += taken;
            left -= taken;
        }
        disk.length = @max(disk.length, end);
        disk.version = 0;
        try disk.log.append(offset, len, disk.sectors(first, count), disk.length);
    }

    fn grow(disk: *Disk, length: u64) os.Error!void {
        if (length <= disk.length) return;
        if (length > @min(disk.capacity_bytes, address_bytes)) return error.NoSpace;
        try disk.commit(length);
        disk.length = length;
        disk.version = 0;
        try disk.log.append(length, 0, &.{}, length);
    }

    /// What was cut stays on the medium until the next sync: a power loss may bring it back.
    fn cutTo(disk: *Disk, length: u64) os.Error!void {
        if (length >= disk.length) return;
        std.debug.assert(length % sector_bytes == 0);
        const first = length / sector_bytes;
        const end = disk.sectorCount();
        try disk.touch(length, disk.length - length);
        try disk.medium.ensureUnusedCapacity(disk.gpa, @intCast(end - first));
        for (first..end) |number| {
            const entry = disk.medium.getOrPutAssumeCapacity(number);
            if (!entry.found_existing) entry.value_ptr.* = disk.sector(number).*;
            disk.sector(number).* = @splat(0);
        }
        disk.cut_end = @max(disk.cut_end, disk.length);
        disk.cut_start = @min(disk.cut_start, length);
        disk.length = length;
        disk.version = 0;
        try disk.log.append(length, 0, &.{}, length);
    }

    fn syncAll(disk: *Disk) void {
        for (disk.log.atoms.items) |atom| _ = disk.medium.swapRemove(atom.sector);
        const cut_first = @min(disk.cut_start, disk.cut_end) / sector_bytes;
        for (cut_first..disk.cut_end / sector_bytes) |number| _ = disk.medium.swapRemove(number);
        disk.forgetCut();
        disk.log.clear();
        disk.medium_length = disk.length;
    }

    /// As Linux does it: some of the dirty sectors are on the medium, all of them are clean now.
    fn syncFailed(disk: *Disk, survivors: Survivors) error{OutOfMemory}!void {
        var possible = try disk.crashes(.{ .garbage = false });
        defer possible.deinit();
        const writes = disk.log.writes.items.len;
        const choice = possible.at(switch (survivors) {
            .none => 0,
            .all => writes,
            .random => disk.prng.random().uintLessThan(u64, possible.count()),
            .number => |number| if (number < possible.count()) number else 0,
        }).?;
        for (disk.log.atoms.items, choice.fates) |atom, fate| {
            std.debug.assert(fate == .lost or fate == .kept);
            if (fate == .kept) disk.medium.getPtr(atom.sector).?.* = disk.log.contentOf(atom).*;
        }
        for (disk.log.atoms.items) |atom| {
            const content = disk.medium.getPtr(atom.sector) orelse continue;
            const same = std.mem.eql(u8, content, disk.sector(atom.sector));
            if (same) _ = disk.medium.swapRemove(atom.sector);
        }
        disk.medium_length = choice.length;
        disk.log.clear();
        disk.forgetCut();
    }

    fn forgetCut(disk: *Disk) void {
        disk.cut_start = std.math.maxInt(u64);
        disk.cut_end = 0;
    }

    fn noteCall(disk: *Disk, call: Call) void {
        disk.calls.getPtr(call).* += 1;
        if (disk.hooks.onCall) |hook| hook(disk.hooks.context, call);
    }

    fn takeFault(disk: *Disk, call: Call, process_id: u64) ?Fault {
        for (disk.faults.items, 0..) |*fault, index| {
            if (fault.call != null and fault.call != call) continue;
            if (fault.process != null and fault.process != process_id) continue;
            if (fault.after > 0) {
                fault.after -= 1;
                continue;
            }
            const fired = fault.*;
            if (!fired.forever) _ = disk.faults.orderedRemove(index);
            disk.faults_fired += 1;
            return fired;
        }
        return null;
    }

    fn commit(disk: *Disk, length: u64) error{OutOfMemory}!void {
        if (length > address_bytes) return error.OutOfMemory;
        const need = std.mem.alignForward(usize, @intCast(length), commit_bytes);
        if (need <= disk.committed) return;
        const more: address_space.Range = @alignCast(disk.cache[disk.committed..need]);
        if (!address_space.commit(more)) return error.OutOfMemory;
        disk.committed = need;
    }

    fn sectorCount(disk: *const Disk) u64 {
        return (disk.length + sector_bytes - 1) / sector_bytes;
    }

    fn sectors(disk: *const Disk, first: u64, count: u64) []Sector {
        const all: [*]Sector = @ptrCast(disk.cache.ptr);
        return all[@intCast(first)..][0..@intCast(count)];
    }

    fn sector(disk: *const Disk, number: u64) *Sector {
        return &disk.sectors(number, 1)[0];
    }

    fn takeId(disk: *Disk) u64 {
        defer disk.next_id += 1;
        return disk.next_id;
    }
};

/// A process on the machine that has the disk.
pub const Process = struct {
    disk: *Disk,
    id: u64,
    alive: bool = true,
    open_count: u64 = 0,

    pub fn system(process: *Process) os.System {
        return .{ .context = process, .vtable = &system_vtable };
    }

    /// Like SIGKILL: its locks are released, its writes stay in the cache, its files answer errors.
    pub fn kill(process: *Process) void {
        process.alive = false;
        const name = @intFromPtr(process);
        process.disk.locks.releaseProcess(name);
        for (process.disk.others.values()) |other| other.locks.releaseProcess(name);
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

    fn of(context: *anyopaque) *Process {
        return @ptrCast(@alignCast(context));
    }

    fn open(
        context: *anyopaque,
        gpa: std.mem.Allocator,
        path: []const u8,
        options: os.OpenOptions,
    ) os.Error!os.File {
        const process = of(context);
        if (!process.alive) return error.InputOutput;
        const disk = process.disk.others.get(path) orelse process.disk;
        disk.noteCall(.open);
        if (!process.alive) return error.InputOutput;
        if (disk.takeFault(.open, process.id)) |fault| return fault.err;
        if (disk == process.disk) {
            const name = disk.path orelse path;
            if (!std.mem.eql(u8, name, path)) return error.FileNotFound;
            if (disk.path == null) disk.path = try disk.gpa.dupe(u8, path);
        }
        if (!disk.exists and (options.readonly or !options.create)) return error.FileNotFound;
        const connection = try gpa.create(Connection);
        disk.exists = true;
        process.open_count += 1;
        connection.* = .{
            .gpa = gpa,
            .process = process,
            .disk = disk,
            .id = disk.takeId(),
            .readonly = options.readonly,
        };
        return .{ .context = connection, .vtable = &Connection.file_vtable };
    }

    fn monotonicMs(context: *anyopaque) u64 {
        return of(context).disk.now_ms;
    }

    fn wallMs(context: *anyopaque) i64 {
        const disk = of(context).disk;
        return disk.wall_offset_ms + @as(i64, @intCast(disk.now_ms));
    }

    fn sleepMs(context: *anyopaque, ms: u32) void {
        const disk = of(context).disk;
        disk.advance(ms);
        if (disk.hooks.onSleep) |hook| hook(disk.hooks.context, ms);
    }

    fn random(context: *anyopaque, buffer: []u8) void {
        of(context).disk.prng.fill(buffer);
    }

    fn bootId(context: *anyopaque) ?[16]u8 {
        return of(context).disk.boot_id;
    }

    fn processId(context: *anyopaque) u64 {
        return of(context).id;
    }
};

const Connection = struct {
    gpa: std.mem.Allocator,
    process: *Process,
    disk: *Disk,
    id: u64,
    readonly: bool,

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

    fn of(context: *anyopaque) *Connection {
        return @ptrCast(@alignCast(context));
    }

    /// Counts the call; null where it goes through.
    fn enter(connection: *Connection, call: Call) os.Error!?Fault {
        if (!connection.process.alive) return error.InputOutput;
        connection.disk.noteCall(call);
        // The hook may have killed it.
        if (!connection.process.alive) return error.InputOutput;
        return connection.disk.takeFault(call, connection.process.id);
    }

    fn read(context: *anyopaque, offset: u64, buffer: []u8) os.Error!usize {
        const connection = of(context);
        const disk = connection.disk;
        const fault = try connection.enter(.read);
        if (fault) |found| if (!found.partial) return found.err;
        if (offset >= disk.length) return 0;
        var len: usize = @intCast(@min(buffer.len, disk.length - offset));
        if (fault != null) len = disk.prng.random().uintLessThan(usize, @max(1, len));
        @memcpy(buffer[0..len], disk.cache[@intCast(offset)..][0..len]);
        return len;
    }

    fn write(context: *anyopaque, offset: u64, parts: []const []const u8) os.Error!void {
        const connection = of(context);
        const disk = connection.disk;
        const fault = try connection.enter(.write);
        if (connection.readonly) return error.ReadOnlyMedia;
        var len: usize = 0;
        for (parts) |part| len += part.len;
        if (fault) |found| {
            if (found.partial and len > 0) {
                try disk.put(offset, parts, disk.prng.random().uintLessThan(usize, len));
            }
            return found.err;
        }
        const hook = disk.hooks.cutWrite orelse return disk.put(offset, parts, len);
        const cut = hook(disk.hooks.context, offset, len) orelse
            return disk.put(offset, parts, len);
        const whole = try std.mem.concat(disk.gpa, u8, parts);
        defer disk.gpa.free(whole);
        try disk.put(offset, &.{whole[0..cut]}, cut);
        if (disk.hooks.onPart) |onPart| onPart(disk.hooks.context);
        if (!connection.process.alive) return error.InputOutput;
        try disk.put(offset + cut, &.{whole[cut..]}, len - cut);
    }

    fn extend(context: *anyopaque, length: u64) os.Error!void {
        const connection = of(context);
        const fault = try connection.enter(.extend);
        if (connection.readonly) return error.ReadOnlyMedia;
        if (fault) |found| return found.err;
        try connection.disk.grow(length);
    }

    fn shrink(context: *anyopaque, length: u64) os.Error!bool {
        const connection = of(context);
        const fault = try connection.enter(.shrink);
        if (connection.readonly) return error.ReadOnlyMedia;
        if (fault) |found| return found.err;
        const disk = connection.disk;
        if (disk.hooks.onShrink) |hook| hook(disk.hooks.context, length);
        try disk.cutTo(length);
        return true;
    }

    fn sync(context: *anyopaque) os.Error!void {
        const connection = of(context);
        const disk = connection.disk;
        if (connection.readonly) return;
        const fault = try connection.enter(.sync);
        if (disk.hooks.onSync) |hook| hook(disk.hooks.context);
        if (fault) |found| {
            try disk.syncFailed(found.survivors);
            return found.err;
        }
        disk.syncAll();
    }

    fn stat(context: *anyopaque) os.Error!os.FileStat {
        const connection = of(context);
        if (try connection.enter(.stat)) |fault| return fault.err;
        const disk = connection.disk;
        return .{ .length = disk.length, .same_file = disk.exists and !disk.replaced };
    }

    fn lock(
        context: *anyopaque,
        owner: os.LockOwner,
        kind: os.LockKind,
        range: os.LockRange,
    ) os.Error!bool {
        const connection = of(context);
        if (try connection.enter(.lock)) |fault| return fault.err;
        const writable = owner == .writer and !connection.readonly;
        if (kind == .exclusive and !writable) return error.ReadOnlyMedia;
        const disk = connection.disk;
        if (disk.hooks.onLock) |hook| hook(disk.hooks.context, range);
        if (!connection.process.alive) return error.InputOutput;
        return disk.locks.acquire(disk.gpa, connection.holder(owner), kind, range);
    }

    fn unlock(context: *anyopaque, owner: os.LockOwner, range: os.LockRange) void {
        const connection = of(context);
        if (!connection.process.alive) return;
        connection.disk.calls.getPtr(.unlock).* += 1;
        connection.disk.locks.release(connection.holder(owner), range);
    }

    fn probe(context: *anyopaque, range: os.LockRange) os.Error!?u64 {
        const connection = of(context);
        if (try connection.enter(.probe)) |fault| return fault.err;
        return connection.disk.locks.firstLocked(connection.holder(.writer), range);
    }

    fn map(context: *anyopaque, offset: u64, len: usize) ?os.Map {
        const connection = of(context);
        const fault = connection.enter(.map) catch return null;
        if (!connection.disk.has_maps) return null;
        if (fault != null or len == 0 or offset +| len > address_bytes) return null;
        return .ofMemory(connection.disk.cache[@intCast(offset)..][0..len]);
    }

    fn releaseMaps(context: *anyopaque) void {
        of(context).disk.calls.getPtr(.release).* += 1;
    }

    fn close(context: *anyopaque) void {
        const connection = of(context);
        const gpa = connection.gpa;
        connection.disk.calls.getPtr(.close).* += 1;
        connection.disk.locks.releaseConnection(connection.id);
        connection.process.open_count -= 1;
        gpa.destroy(connection);
    }

    fn holder(connection: *const Connection, owner: os.LockOwner) Holder {
        return .{
            .process = @intFromPtr(connection.process),
            .connection = connection.id,
            .owner = owner,
        };
    }
};

const testing = std.testing;

fn openOn(disk: *Disk) !os.File {
    const started = try disk.process();
    return started.system().open(testing.allocator, "db", .{ .create = true });
}

const Images = std.StringArrayHashMapUnmanaged(void);

/// Every image that a power loss could leave now.
fn images(disk: *Disk, target: *Disk, options: CrashOptions) !Images {
    const gpa = testing.allocator;
    var found: Images = .empty;
    var possible = try disk.crashes(options);
    defer possible.deinit();
    while (possible.next()) |choice| {
        try target.become(disk, choice, .new);
        if (found.contains(target.bytes())) continue;
        try found.put(gpa, try gpa.dupe(u8, target.bytes()), {});
    }
    return found;
}

fn freeImages(found: *Images) void {
    for (found.keys()) |image| testing.allocator.free(image);
    found.deinit(testing.allocator);
}

const sector_a: Sector = @splat('a');
const sector_b: Sector = @splat('b');
const sector_c: Sector = @splat('c');

test "what was synced survives, what was not may be lost in any combination" {
    const disk = try Disk.create(testing.allocator, .{});
    defer disk.destroy();
    const target = try Disk.create(testing.allocator, .{});
    defer target.destroy();
    const file = try openOn(disk);
    defer file.close();
    try file.write(0, &.{ &sector_a, &sector_a });
    try file.sync();
    try file.write(0, &.{&sector_b});
    try file.write(512, &.{&sector_c});

    var found = try images(disk, target, .{ .garbage = false });
    defer freeImages(&found);
    try testing.expectEqual(4, found.count());
    for ([_][2]Sector{
        .{ sector_a, sector_a },
        .{ sector_b, sector_a },
        .{ sector_a, sector_c },
        .{ sector_b, sector_c },
    }) |expected| try testing.expect(found.contains(std.mem.sliceAsBytes(&expected)));
    try testing.expectEqualStrings(&(sector_b ++ sector_c), disk.bytes());

    try file.sync();
    var after = try images(disk, target, .{});
    defer freeImages(&after);
    try testing.expectEqual(1, after.count());
    try testing.expectEqualStrings(&(sector_b ++ sector_c), after.keys()[0]);
}

test "a sector is a version that existed, never a mix of writes" {
    const disk = try Disk.create(testing.allocator, .{ .content = &sector_a });
    defer disk.destroy();
    const target = try Disk.create(testing.allocator, .{});
    defer target.destroy();
    const file = try openOn(disk);
    defer file.close();
    try file.write(0, &.{"1"});
    try file.write(1, &.{"2"});
    var found = try images(disk, target, .{ .garbage = false });
    defer freeImages(&found);
    try testing.expectEqual(3, found.count());
    for (found.keys()) |image| try testing.expect(!std.mem.startsWith(u8, image, "a2"));
}

test "tears and garbage stay within the written bytes" {
    const disk = try Disk.create(testing.allocator, .{ .content = &(sector_a ++ sector_a) });
    defer disk.destroy();
    const target = try Disk.create(testing.allocator, .{});
    defer target.destroy();
    const file = try openOn(disk);
    defer file.close();
    const new: [600]u8 = @splat('n');
    try file.write(100, &.{&new});
    var found = try images(disk, target, .{ .samples = 100 });
    defer freeImages(&found);
    try testing.expect(found.count() > 60);
    for (found.keys()) |image| {
        try testing.expectEqual(1024, image.len);
        try testing.expect(std.mem.allEqual(u8, image[0..100], 'a'));
        try testing.expect(std.mem.allEqual(u8, image[700..], 'a'));
    }
}

test "the length is lost or kept apart from the content" {
    const disk = try Disk.create(testing.allocator, .{ .content = &sector_a });
    defer disk.destroy();
    const target = try Disk.create(testing.allocator, .{});
    defer target.destroy();
    const file = try openOn(disk);
    defer file.close();
    try file.extend(1536);
    try file.write(512, &.{&sector_b});
    var found = try images(disk, target, .{ .garbage = false });
    defer freeImages(&found);
    const zeros: Sector = @splat(0);
    try testing.expectEqual(3, found.count());
    try testing.expect(found.contains(&sector_a));
    try testing.expect(found.contains(&(sector_a ++ zeros ++ zeros)));
    try testing.expect(found.contains(&(sector_a ++ sector_b ++ zeros)));
}

test "after a failed sync everything counts as clean and may be lost for good" {
    const disk = try Disk.create(testing.allocator, .{ .content = &(sector_a ++ sector_a) });
    defer disk.destroy();
    const target = try Disk.create(testing.allocator, .{});
    defer target.destroy();
    const file = try openOn(disk);
    defer file.close();
    try file.write(0, &.{ &sector_b, &sector_b });
    try disk.inject(.{ .call = .sync, .survivors = .none });
    try testing.expectError(error.InputOutput, file.sync());
    var buffer: [1]u8 = undefined;
    _ = try file.read(0, &buffer);
    try testing.expectEqualStrings("b", &buffer);

    // A retry has nothing left to do and says that all is well.
    try file.sync();
    var lost = try images(disk, target, .{});
    defer freeImages(&lost);
    try testing.expectEqual(1, lost.count());
    try testing.expectEqualStrings(&(sector_a ++ sector_a), lost.keys()[0]);

    // Writing a sector again makes it dirty again.
    try file.write(512, &.{&sector_c});
    try file.sync();
    var again = try images(disk, target, .{});
    defer freeImages(&again);
    try testing.expectEqual(1, again.count());
    try testing.expectEqualStrings(&(sector_a ++ sector_c), again.keys()[0]);
}

test "every outcome of a failed sync has a number" {
    var outcomes: Images = .empty;
    defer freeImages(&outcomes);
    const target = try Disk.create(testing.allocator, .{});
    defer target.destroy();
    var number: u64 = 0;
    while (true) : (number += 1) {
        const disk = try Disk.create(testing.allocator, .{ .content = &(sector_a ++ sector_a) });
        defer disk.destroy();
        const file = try openOn(disk);
        defer file.close();
        try file.write(0, &.{ &sector_b, &sector_b });
        var possible = try disk.crashes(.{ .garbage = false });
        defer possible.deinit();
        if (number == possible.count()) break;
        try disk.inject(.{ .call = .sync, .survivors = .{ .number = number } });
        try testing.expectError(error.InputOutput, file.sync());
        var found = try images(disk, target, .{});
        defer freeImages(&found);
        try testing.expectEqual(1, found.count());
        if (outcomes.contains(found.keys()[0])) continue;
        try outcomes.put(testing.allocator, try testing.allocator.dupe(u8, found.keys()[0]), {});
    }
    try testing.expectEqual(4, outcomes.count());
}

test "a killed process releases its locks and leaves its writes" {
    const disk = try Disk.create(testing.allocator, .{});
    defer disk.destroy();
    const writer = try disk.process();
    const file = try writer.system().open(testing.allocator, "db", .{ .create = true });
    const range: os.LockRange = .{ .start = 1 << 62, .len = 1 };
    try testing.expect(try file.lock(.writer, .exclusive, range));
    try file.write(0, &.{"left behind"});
    const other = try openOn(disk);
    defer other.close();
    try testing.expect(!try other.lock(.writer, .exclusive, range));
    writer.kill();
    try testing.expectError(error.InputOutput, file.write(0, &.{"ghost"}));
    try testing.expectError(error.InputOutput, file.sync());
    file.close();
    try testing.expect(try other.lock(.writer, .exclusive, range));
    var buffer: [11]u8 = undefined;
    try testing.expectEqual(11, try other.read(0, &buffer));
    try testing.expectEqualStrings("left behind", &buffer);
}

test "the chosen call fails, once or for ever" {
    const disk = try Disk.create(testing.allocator, .{});
    defer disk.destroy();
    const file = try openOn(disk);
    defer file.close();
    try disk.inject(.{ .call = .write, .after = 1, .err = error.NoSpace });
    try file.write(0, &.{"one"});
    try testing.expectError(error.NoSpace, file.write(3, &.{"two"}));
    try testing.expectEqualStrings("one", disk.bytes());
    try file.write(3, &.{"two"});
    try testing.expectEqual(1, disk.faults_fired);

    try disk.inject(.{ .call = .write, .partial = true });
    try testing.expectError(error.InputOutput, file.write(6, &.{"three"}));
    try testing.expect(disk.length < 11);
    try disk.inject(.{ .call = .read, .partial = true });
    var buffer: [6]u8 = undefined;
    try testing.expect(try file.read(0, &buffer) < 6);

    try disk.inject(.{ .forever = true });
    try testing.expectError(error.InputOutput, file.read(0, &buffer));
    try testing.expectError(error.InputOutput, file.stat());
    try testing.expectEqual(null, file.map(0, 1));
    disk.clearFaults();
    _ = try file.stat();
    try testing.expectEqual(4, disk.calls.get(.write));
}

test "a full disk takes nothing" {
    const disk = try Disk.create(testing.allocator, .{ .capacity_bytes = 1000 });
    defer disk.destroy();
    const file = try openOn(disk);
    defer file.close();
    try file.extend(1000);
    try testing.expectError(error.NoSpace, file.extend(1001));
    try testing.expectError(error.NoSpace, file.write(999, &.{"ab"}));
    try testing.expectEqual(1000, (try file.stat()).length);
}

test "a disk built again and again from one state is the same as one built anew" {
    const disk = try Disk.create(testing.allocator, .{ .content = &(sector_a ** 20) });
    defer disk.destroy();
    const reused = try Disk.create(testing.allocator, .{ .seed = 3 });
    defer reused.destroy();
    const file = try openOn(disk);
    defer file.close();
    for (0..15) |index| try file.write(index * 700, &.{&sector_b});
    var possible = try disk.crashes(.{ .samples = 20 });
    defer possible.deinit();
    while (possible.next()) |choice| {
        try reused.become(disk, choice, .new);
        const fresh = try Disk.create(testing.allocator, .{});
        defer fresh.destroy();
        try fresh.become(disk, choice, .new);
        try testing.expectEqualSlices(u8, fresh.bytes(), reused.bytes());
        // Life goes on there; the next image must not show it.
        const opened = try openOn(reused);
        defer opened.close();
        try opened.write(choice.number * 37 % 9000, &.{"scribble"});
        if (choice.number % 3 == 0) try opened.sync();
    }
}

test "an image has only versions that its sectors had, in every combination" {
    const gpa = testing.allocator;
    const sector_count = 6;
    var arena: std.heap.ArenaAllocator = .init(gpa);
    defer arena.deinit();
    var prng = std.Random.DefaultPrng.init(testing.random_seed);
    const random = prng.random();
    const disk = try Disk.create(gpa, .{ .content = &@as([sector_count * 512]u8, @splat(0)) });
    defer disk.destroy();
    const target = try Disk.create(gpa, .{});
    defer target.destroy();
    const file = try openOn(disk);
    defer file.close();
    // The reference: what the medium may have in each sector, kept by other means than the disk's.
    var versions: [sector_count]std.AutoArrayHashMapUnmanaged(Sector, void) = @splat(.empty);
    var dirty: [sector_count]bool = @splat(false);
    // Dirty at a failed sync: the medium has one of the versions, the test does not know which.
    var unknown: [sector_count]bool = @splat(false);
    for (&versions) |*known| try known.put(arena.allocator(), @splat(0), {});
    var exact_rounds: u64 = 0;
    for (0..300) |round| {
        const offset = random.uintLessThan(usize, sector_count * 512 - 700);
        var bytes: [700]u8 = undefined;
        const len = random.intRangeAtMost(usize, 1, bytes.len);
        random.bytes(bytes[0..len]);
        try file.write(offset, &.{bytes[0..len]});
        for (offset / 512..(offset + len - 1) / 512 + 1) |number| {
            try versions[number].put(arena.allocator(), disk.sector(number).*, {});
            dirty[number] = true;
        }
        var possible = try disk.crashes(.{ .garbage = false });
        defer possible.deinit();
        const complete = possible.fates.len <= 12;
        var found: Images = .empty;
        if (complete) found = try images(disk, target, .{ .garbage = false });
        defer freeImages(&found);
        var combinations: usize = 1;
        for (&versions) |*known| combinations *= known.count();
        for (found.keys()) |image| for (&versions, 0..) |*known, number| {
            try testing.expect(known.contains(image[number * 512 ..][0..512].*));
        };
        const exact = complete and std.mem.allEqual(bool, &unknown, false);
        if (exact) try testing.expectEqual(combinations, found.count());
        exact_rounds += @intFromBool(exact);
        if (random.uintLessThan(u8, 6) != 0) continue;
        const failing = round % 3 == 0;
        if (failing) try disk.inject(.{ .call = .sync });
        try testing.expectEqual(failing, std.meta.isError(file.sync()));
        for (&versions, &dirty, &unknown, 0..) |*known, *was_dirty, *is_unknown, number| {
            if (!was_dirty.*) continue;
            was_dirty.* = false;
            is_unknown.* = failing;
            if (failing) continue;
            known.clearRetainingCapacity();
            try known.put(arena.allocator(), disk.sector(number).*, {});
        }
    }
    try testing.expect(exact_rounds > 5);
}

test "a second power loss strikes the disk that the first one left" {
    const disk = try Disk.create(testing.allocator, .{ .content = &sector_a });
    defer disk.destroy();
    const second = try Disk.create(testing.allocator, .{});
    defer second.destroy();
    const third = try Disk.create(testing.allocator, .{});
    defer third.destroy();
    const file = try openOn(disk);
    defer file.close();
    try file.write(0, &.{&sector_b});
    var first_loss = try disk.crashes(.{});
    defer first_loss.deinit();
    try second.become(disk, first_loss.next().?, .new);
    const reopened = try openOn(second);
    defer reopened.close();
    try reopened.write(0, &.{&sector_c});
    var found = try images(second, third, .{ .garbage = false });
    defer freeImages(&found);
    try testing.expectEqual(2, found.count());
    try testing.expect(found.contains(&sector_a));
    try testing.expect(found.contains(&sector_c));
}

test "a boot has a name, and the clock moves only when told" {
    const disk = try Disk.create(testing.allocator, .{});
    defer disk.destroy();
    const target = try Disk.create(testing.allocator, .{ .seed = 1 });
    defer target.destroy();
    const system = (try disk.process()).system();
    const before = system.monotonicMs();
    system.sleepMs(5);
    disk.advance(10);
    try testing.expectEqual(before + 15, system.monotonicMs());
    var possible = try disk.crashes(.{});
    defer possible.deinit();
    const choice = possible.next().?;
    try target.become(disk, choice, .same);
    try testing.expectEqual(disk.boot_id, target.boot_id);
    try target.become(disk, choice, .new);
    try testing.expect(!std.mem.eql(u8, &disk.boot_id.?, &target.boot_id.?));
}

test "an attached disk is another file of the same process" {
    const disk = try Disk.create(testing.allocator, .{});
    defer disk.destroy();
    const copy = try Disk.create(testing.allocator, .{});
    defer copy.destroy();
    try disk.attach("copy", copy);
    const system = (try disk.process()).system();
    const file = try system.open(testing.allocator, "db", .{ .create = true });
    defer file.close();
    const other = try system.open(testing.allocator, "copy", .{ .create = true });
    defer other.close();
    try other.write(0, &.{"copied"});
    try testing.expectEqualStrings("", disk.bytes());
    try testing.expectEqualStrings("copied", copy.bytes());
    const absent = system.open(testing.allocator, "elsewhere", .{ .create = true });
    try testing.expectError(error.FileNotFound, absent);
}

test "hooks hear of writes and syncs before they happen" {
    const Heard = struct {
        disk: *Disk,
        writes: u64 = 0,
        pending: usize = 0,
        fn onWrite(context: ?*anyopaque, offset: u64, len: u64) void {
            const heard: *@This() = @ptrCast(@alignCast(context.?));
            heard.writes += offset + len;
        }
        fn onSync(context: ?*anyopaque) void {
            const heard: *@This() = @ptrCast(@alignCast(context.?));
            heard.pending = heard.disk.log.atoms.items.len;
        }
    };
    const disk = try Disk.create(testing.allocator, .{});
    defer disk.destroy();
    var heard: Heard = .{ .disk = disk };
    disk.hooks = .{ .context = &heard, .onWrite = Heard.onWrite, .onSync = Heard.onSync };
    const file = try openOn(disk);
    defer file.close();
    try file.write(510, &.{ "ab", "c" });
    try file.sync();
    try testing.expectEqual(513, heard.writes);
    try testing.expectEqual(2, heard.pending);
    try testing.expectEqual(0, disk.log.atoms.items.len);
}

test "the first bytes of a write are seen before the others, and stay if its process dies" {
    const Seen = struct {
        writer: *Process,
        reader: os.File,
        text: [6]u8 = @splat(0),
        fn cutWrite(_: ?*anyopaque, _: u64, _: u64) ?usize {
            return 4;
        }
        fn onPart(context: ?*anyopaque) void {
            const seen: *@This() = @ptrCast(@alignCast(context.?));
            _ = seen.reader.read(0, &seen.text) catch {};
            if (seen.text[0] == 'f') seen.writer.kill();
        }
    };
    const disk = try Disk.create(testing.allocator, .{ .content = &sector_a });
    defer disk.destroy();
    const writer = try disk.process();
    const file = try writer.system().open(testing.allocator, "db", .{});
    defer file.close();
    const reader = try openOn(disk);
    defer reader.close();
    var seen: Seen = .{ .writer = writer, .reader = reader };
    disk.hooks = .{ .context = &seen, .cutWrite = Seen.cutWrite, .onPart = Seen.onPart };
    try file.write(0, &.{ "one", " two" });
    try testing.expectEqualStrings("one aa", &seen.text);
    try testing.expectEqualStrings("one two", disk.bytes()[0..7]);
    try testing.expectError(error.InputOutput, file.write(0, &.{"four" ++ "five"}));
    try testing.expectEqualStrings("fourtwo", disk.bytes()[0..7]);
}

test "bit rot reaches every version of a sector" {
    const disk = try Disk.create(testing.allocator, .{ .content = &sector_a });
    defer disk.destroy();
    const target = try Disk.create(testing.allocator, .{});
    defer target.destroy();
    const file = try openOn(disk);
    defer file.close();
    try file.write(100, &.{"new"});
    disk.corrupt(7, "!");
    var found = try images(disk, target, .{ .garbage = false });
    defer freeImages(&found);
    try testing.expectEqual(2, found.count());
    for (found.keys()) |image| try testing.expectEqual('!', image[7]);
    try testing.expectEqual('!', disk.bytes()[7]);
}
