//! What every backend promises, checked on each of them: the engine must not be able to tell them
//! apart by anything but the reasons in their own descriptions.

const std = @import("std");
const builtin = @import("builtin");
const os = @import("os.zig");
const file = @import("file.zig");
const memory = @import("memory.zig");
const simulated = @import("simulated.zig");

const testing = std.testing;
const gpa = testing.allocator;

/// One backend with one file, fresh for each check.
const Fixture = struct {
    system: os.System,
    path: []const u8,
    /// A second process on the same machine; the same as `system` where there is only one.
    other_system: os.System,
    /// A second open reaches the same file.
    shared: bool = true,
    /// Puts another file in the place of this one; null where nothing can.
    replace: ?*const fn (context: *anyopaque) anyerror!void = null,
    context: *anyopaque = undefined,

    fn open(fixture: Fixture, options: os.OpenOptions) !os.File {
        return fixture.system.open(gpa, fixture.path, options);
    }

    fn create(fixture: Fixture) !os.File {
        return fixture.open(.{ .create = true });
    }

    fn openOther(fixture: Fixture, options: os.OpenOptions) !os.File {
        return fixture.other_system.open(gpa, fixture.path, options);
    }
};

const checks = .{
    readsEndWithTheFile,
    writesTakePartsInOrder,
    writesTakeManyParts,
    holesAreZero,
    extendOnlyGrows,
    mapsShowLaterWrites,
    mapsBeginAnywhere,
    farOffsetsAreErrors,
    readonlyWritesNothing,
    onlyCreateCreates,
    connectionsShareContent,
    locksConflict,
    ownDescriptorsConflict,
    probeFindsTheFirstLock,
    closeReleasesLocks,
    statSeesAnotherFile,
    theMachineAnswers,
    anyProgramMatchesTheModel,
};

fn readsEndWithTheFile(fixture: Fixture) !void {
    const opened = try fixture.create();
    defer opened.close();
    var buffer: [8]u8 = undefined;
    try testing.expectEqual(0, try opened.read(0, &buffer));
    try testing.expectEqual(0, (try opened.stat()).length);
    try opened.write(0, &.{"hello"});
    try testing.expectEqual(5, try opened.read(0, &buffer));
    try testing.expectEqualStrings("hello", buffer[0..5]);
    try testing.expectEqual(2, try opened.read(3, &buffer));
    try testing.expectEqualStrings("lo", buffer[0..2]);
    try testing.expectEqual(0, try opened.read(5, &buffer));
    try testing.expectEqual(0, try opened.read(1 << 40, &buffer));
    try testing.expectEqual(0, try opened.read(0, buffer[0..0]));
    try opened.sync();
}

fn writesTakePartsInOrder(fixture: Fixture) !void {
    const opened = try fixture.create();
    defer opened.close();
    try opened.write(2, &.{ "", "ab", "", "cde", "" });
    try opened.write(3, &.{"B"});
    try opened.write(100, &.{});
    try opened.write(100, &.{ "", "" });
    try expectContent(opened, "\x00\x00aBcde");
}

fn writesTakeManyParts(fixture: Fixture) !void {
    const opened = try fixture.create();
    defer opened.close();
    var bytes: [3000]u8 = undefined;
    for (&bytes, 0..) |*byte, index| byte.* = @truncate(index * 7);
    var parts: [bytes.len / 3 * 2][]const u8 = undefined;
    for (0..parts.len / 2) |index| {
        parts[2 * index] = bytes[3 * index ..][0..1];
        parts[2 * index + 1] = bytes[3 * index + 1 ..][0..2];
    }
    try opened.write(0, &parts);
    try expectContent(opened, &bytes);
}

fn holesAreZero(fixture: Fixture) !void {
    const opened = try fixture.create();
    defer opened.close();
    try opened.write(70_000, &.{"x"});
    try testing.expectEqual(70_001, (try opened.stat()).length);
    var buffer: [4096]u8 = undefined;
    try testing.expectEqual(4096, try opened.read(65_000, &buffer));
    try testing.expect(std.mem.allEqual(u8, &buffer, 0));
}

fn extendOnlyGrows(fixture: Fixture) !void {
    const opened = try fixture.create();
    defer opened.close();
    try opened.write(0, &.{"head"});
    try opened.extend(1 << 20);
    try testing.expectEqual(1 << 20, (try opened.stat()).length);
    try opened.extend(10);
    try opened.extend(0);
    try testing.expectEqual(1 << 20, (try opened.stat()).length);
    var buffer: [100]u8 = undefined;
    try testing.expectEqual(100, try opened.read(4, &buffer));
    try testing.expect(std.mem.allEqual(u8, &buffer, 0));
    try opened.sync();
}

fn mapsShowLaterWrites(fixture: Fixture) !void {
    const opened = try fixture.create();
    defer opened.close();
    try opened.write(0, &.{"before"});
    const view = (opened.map(0, 1 << 30) orelse return).bytes;
    try testing.expectEqual(1 << 30, view.len);
    try testing.expectEqualStrings("before", view[0..6]);
    try opened.write(0, &.{"after!"});
    try testing.expectEqualStrings("after!", view[0..6]);
    try opened.extend(4 << 20);
    try opened.write(3 << 20, &.{"far"});
    try testing.expectEqualStrings("far", view[3 << 20 ..][0..3]);
    opened.releaseMaps();
    try testing.expectEqualStrings("after!", view[0..6]);
    try testing.expectEqualStrings("far", view[3 << 20 ..][0..3]);
}

fn mapsBeginAnywhere(fixture: Fixture) !void {
    const opened = try fixture.create();
    defer opened.close();
    try opened.write(0, &.{"0123456789"});
    try testing.expectEqual(null, opened.map(0, 0));
    const view = (opened.map(3, 4) orelse return).bytes;
    try testing.expectEqualStrings("3456", view);
}

fn farOffsetsAreErrors(fixture: Fixture) !void {
    const opened = try fixture.create();
    defer opened.close();
    const far = std.math.maxInt(u64) - 1;
    var buffer: [8]u8 = undefined;
    try testing.expectEqual(0, try opened.read(far, &buffer));
    try testing.expect(std.meta.isError(opened.write(far, &.{"x"})));
    try testing.expect(std.meta.isError(opened.write(far, &.{"xyz"})));
    try testing.expect(std.meta.isError(opened.extend(far)));
    try testing.expectEqual(null, opened.map(far, 8));
    try testing.expectEqual(0, (try opened.stat()).length);
}

fn readonlyWritesNothing(fixture: Fixture) !void {
    const writer = try fixture.create();
    defer writer.close();
    try writer.write(0, &.{"kept"});
    const reader = try fixture.open(.{ .readonly = true, .create = true });
    defer reader.close();
    const range: os.LockRange = .{ .start = 1 << 62, .len = 1 };
    try testing.expectError(error.ReadOnlyMedia, reader.write(0, &.{"lost"}));
    try testing.expectError(error.ReadOnlyMedia, reader.extend(100));
    try testing.expectError(error.ReadOnlyMedia, reader.lock(.writer, .exclusive, range));
    try testing.expect(try reader.lock(.snapshots, .shared, range));
    reader.unlock(.snapshots, range);
    try reader.sync();
    if (fixture.shared) try expectContent(reader, "kept");
}

fn onlyCreateCreates(fixture: Fixture) !void {
    if (!fixture.shared) return;
    try testing.expectError(error.FileNotFound, fixture.open(.{}));
    const readonly: os.OpenOptions = .{ .readonly = true, .create = true };
    try testing.expectError(error.FileNotFound, fixture.open(readonly));
    (try fixture.create()).close();
    (try fixture.open(.{})).close();
    (try fixture.open(readonly)).close();
}

fn connectionsShareContent(fixture: Fixture) !void {
    if (!fixture.shared) return;
    const one = try fixture.create();
    defer one.close();
    const two = try fixture.openOther(.{});
    defer two.close();
    const view = two.map(0, 1 << 16);
    try one.write(0, &.{"one"});
    try expectContent(two, "one");
    try two.write(3, &.{"two"});
    try expectContent(one, "onetwo");
    if (view) |seen| try testing.expectEqualStrings("onetwo", seen.bytes[0..6]);
}

fn locksConflict(fixture: Fixture) !void {
    if (!fixture.shared) return;
    const one = try fixture.create();
    defer one.close();
    const two = try fixture.openOther(.{});
    defer two.close();
    const first: os.LockRange = .{ .start = 1 << 62, .len = 2 };
    const overlapping: os.LockRange = .{ .start = (1 << 62) + 1, .len = 2 };
    const beside: os.LockRange = .{ .start = (1 << 62) + 2, .len = 1 };
    for ([_]os.LockKind{ .shared, .exclusive }) |held| {
        for ([_]os.LockKind{ .shared, .exclusive }) |wanted| {
            try testing.expect(try one.lock(.writer, held, first));
            const granted = try two.lock(.writer, wanted, overlapping);
            try testing.expectEqual(held == .shared and wanted == .shared, granted);
            if (granted) two.unlock(.writer, overlapping);
            try testing.expect(try two.lock(.writer, .exclusive, beside));
            two.unlock(.writer, beside);
            one.unlock(.writer, first);
            try testing.expect(try two.lock(.writer, .exclusive, overlapping));
            two.unlock(.writer, overlapping);
        }
    }
    // Locks hold nobody back from the bytes: they only talk about themselves.
    try testing.expect(try one.lock(.writer, .exclusive, first));
    try two.write(0, &.{"free"});
    one.unlock(.writer, first);
}

fn ownDescriptorsConflict(fixture: Fixture) !void {
    if (!fixture.shared) return;
    const opened = try fixture.create();
    defer opened.close();
    const range: os.LockRange = .{ .start = (1 << 62) + 4096, .len = 1 };
    try testing.expect(try opened.lock(.snapshots, .shared, range));
    try testing.expect(!try opened.lock(.writer, .exclusive, range));
    try testing.expectEqual(range.start, try opened.probe(range));
    opened.unlock(.snapshots, range);
    try testing.expectEqual(null, try opened.probe(range));
    try testing.expectError(error.ReadOnlyMedia, opened.lock(.snapshots, .exclusive, range));
    // What nobody holds can be let go all the same.
    opened.unlock(.snapshots, range);
}

fn probeFindsTheFirstLock(fixture: Fixture) !void {
    if (!fixture.shared) return;
    const one = try fixture.create();
    defer one.close();
    const two = try fixture.openOther(.{});
    defer two.close();
    const base: u64 = (1 << 62) + 4096;
    const space: os.LockRange = .{ .start = base, .len = 1 << 61 };
    try testing.expectEqual(null, try one.probe(space));
    for ([_]u64{ 900, 30, 500_000_000_000, 31 }) |offset| {
        const byte: os.LockRange = .{ .start = base + offset, .len = 1 };
        try testing.expect(try two.lock(.snapshots, .shared, byte));
    }
    try testing.expectEqual(base + 30, try one.probe(space));
    try testing.expectEqual(base + 30, try two.probe(space));
    two.unlock(.snapshots, .{ .start = base + 30, .len = 1 });
    try testing.expectEqual(base + 31, try one.probe(space));
    try testing.expectEqual(base + 900, try one.probe(.{ .start = base + 32, .len = 1 << 60 }));
    try testing.expectEqual(null, try one.probe(.{ .start = base, .len = 31 }));
    // A range that begins inside of a lock answers with its own first byte.
    const wide: os.LockRange = .{ .start = base, .len = 20 };
    try testing.expect(try two.lock(.writer, .exclusive, wide));
    try testing.expectEqual(base + 5, try one.probe(.{ .start = base + 5, .len = 100 }));
    try testing.expectEqual(base + 31, try two.probe(space));
}

fn closeReleasesLocks(fixture: Fixture) !void {
    if (!fixture.shared) return;
    const one = try fixture.create();
    const two = try fixture.openOther(.{});
    defer two.close();
    const range: os.LockRange = .{ .start = 1 << 62, .len = 10 };
    {
        defer one.close();
        try testing.expect(try one.lock(.writer, .exclusive, range));
        // Another descriptor of the file coming and going must not take the lock along.
        (try fixture.open(.{})).close();
        try testing.expect(!try two.lock(.writer, .shared, range));
        const readonly = try fixture.open(.{ .readonly = true });
        defer readonly.close();
        try testing.expect(!try readonly.lock(.snapshots, .shared, range));
    }
    try testing.expect(try two.lock(.writer, .exclusive, range));
}

fn statSeesAnotherFile(fixture: Fixture) !void {
    const opened = try fixture.create();
    defer opened.close();
    try opened.write(0, &.{"mine"});
    const before = try opened.stat();
    try testing.expectEqual(4, before.length);
    try testing.expect(before.same_file);
    const replace = fixture.replace orelse return;
    try replace(fixture.context);
    const after = try opened.stat();
    try testing.expectEqual(4, after.length);
    try testing.expect(!after.same_file);
    try expectContent(opened, "mine");
}

fn theMachineAnswers(fixture: Fixture) !void {
    const system = fixture.system;
    const start = system.monotonicMs();
    system.sleepMs(2);
    try testing.expect(system.monotonicMs() >= start + 2);
    // 2020 in milliseconds: a clock that counts something else is off by more.
    try testing.expect(system.wallMs() > 1_577_836_800_000);
    var first: [32]u8 = undefined;
    var second: [32]u8 = undefined;
    system.random(&first);
    system.random(&second);
    try testing.expect(!std.mem.eql(u8, &first, &second));
    try testing.expectEqual(system.bootId(), system.bootId());
    try testing.expectEqual(system.processId(), system.processId());
}

fn anyProgramMatchesTheModel(fixture: Fixture) !void {
    const opened = try fixture.create();
    defer opened.close();
    const view = opened.map(0, 1 << 20);
    var model: std.ArrayList(u8) = .empty;
    defer model.deinit(gpa);
    var prng = std.Random.DefaultPrng.init(testing.random_seed);
    const random = prng.random();
    var bytes: [5000]u8 = undefined;
    for (0..300) |_| {
        const offset = random.uintLessThan(usize, 100_000);
        const len = random.uintLessThan(usize, bytes.len);
        random.bytes(bytes[0..len]);
        switch (random.uintLessThan(u8, 4)) {
            0 => {
                try opened.extend(offset);
                try growTo(&model, offset);
            },
            1 => try expectContent(opened, model.items),
            else => {
                const cut = random.uintAtMost(usize, len);
                try opened.write(offset, &.{ bytes[0..cut], bytes[cut..len] });
                const end = if (len == 0) 0 else offset + len;
                try growTo(&model, end);
                if (len > 0) @memcpy(model.items[offset..end], bytes[0..len]);
            },
        }
        if (view) |seen| {
            try testing.expectEqualSlices(u8, model.items, seen.bytes[0..model.items.len]);
        }
    }
    try expectContent(opened, model.items);
}

fn growTo(model: *std.ArrayList(u8), len: usize) !void {
    if (len > model.items.len) try model.appendNTimes(gpa, 0, len - model.items.len);
}

fn expectContent(opened: os.File, expected: []const u8) !void {
    try testing.expectEqual(expected.len, (try opened.stat()).length);
    const buffer = try gpa.alloc(u8, expected.len + 1);
    defer gpa.free(buffer);
    try testing.expectEqual(expected.len, try opened.read(0, buffer));
    try testing.expectEqualSlices(u8, expected, buffer[0..expected.len]);
}

/// A real file in a directory of its own. Its path is relative, as people write them.
const RealFile = struct {
    directory: testing.TmpDir,
    path_buffer: [128]u8 = undefined,

    fn replace(context: *anyopaque) anyerror!void {
        const real: *RealFile = @ptrCast(@alignCast(context));
        const dir = real.directory.dir;
        if (builtin.os.tag == .windows) {
            try real.moveAway();
        } else try dir.rename("db", dir, "elsewhere", testing.io);
        (try dir.createFile(testing.io, "db", .{})).close(testing.io);
    }

    /// By the call that Wine has as well: the one of Zig's library is newer.
    fn moveAway(real: *RealFile) !void {
        var buffers: [2][128]u16 = undefined;
        var paths: [2][*:0]const u16 = undefined;
        for (&buffers, &paths, [_][]const u8{ "db", "elsewhere" }) |*buffer, *path, name| {
            var bytes: [128]u8 = undefined;
            const sub = &real.directory.sub_path;
            const text = try std.fmt.bufPrint(&bytes, ".zig-cache/tmp/{s}/{s}", .{ sub, name });
            buffer[try std.unicode.utf8ToUtf16Le(buffer, text)] = 0;
            path.* = @ptrCast(buffer);
        }
        if (MoveFileW(paths[0], paths[1]) == 0) return error.NotMoved;
    }
    extern "kernel32" fn MoveFileW([*:0]const u16, [*:0]const u16) callconv(.winapi) c_int;

    fn fixture(real: *RealFile) !Fixture {
        const base = ".zig-cache/tmp";
        const sub = &real.directory.sub_path;
        return .{
            .system = file.system(),
            .other_system = file.system(),
            .path = try std.fmt.bufPrint(&real.path_buffer, "{s}/{s}/db", .{ base, sub }),
            .replace = replace,
            .context = real,
        };
    }
};

test "a real file conforms" {
    inline for (checks) |check| {
        var real: RealFile = .{ .directory = testing.tmpDir(.{}) };
        defer real.directory.cleanup();
        try check(try real.fixture());
    }
}

test "memory conforms" {
    inline for (checks) |check| try check(.{
        .system = memory.system(),
        .other_system = memory.system(),
        .path = ":memory:",
        .shared = false,
    });
}

fn replaceSimulated(context: *anyopaque) anyerror!void {
    const disk: *simulated.Disk = @ptrCast(@alignCast(context));
    disk.replaced = true;
}

test "a simulated disk conforms" {
    inline for (checks) |check| {
        const disk = try simulated.Disk.create(gpa, .{ .seed = testing.random_seed });
        defer disk.destroy();
        try check(.{
            .system = (try disk.process()).system(),
            .other_system = (try disk.process()).system(),
            .path = "db",
            .replace = replaceSimulated,
            .context = disk,
        });
    }
}

test {
    if (builtin.os.tag != .windows) _ = @import("file_posix_faults.zig");
}
