//! `file_posix.zig` on a kernel that interrupts, moves fewer bytes than asked for, or refuses: each
//! of its system calls in a short life of a file. What can go on goes on with the right bytes, the
//! rest is the error that the caller must hear of, and no descriptor stays open.

const std = @import("std");
const os = @import("os.zig");
const file_posix = @import("file_posix.zig");
const faulty = @import("syscalls_faulty.zig");

const testing = std.testing;
const gpa = testing.allocator;
const vtable = &file_posix.vtable;
const system: os.System = .{ .context = @constCast(vtable), .vtable = vtable };

/// The path is relative, so that the current directory is asked for too.
const Life = struct {
    directory: testing.TmpDir,
    buffer: [256]u8 = undefined,
    content: [9000]u8 = undefined,

    fn init() Life {
        var life: Life = .{ .directory = testing.tmpDir(.{}) };
        var prng = std.Random.DefaultPrng.init(7);
        prng.fill(&life.content);
        return life;
    }

    fn deinit(life: *Life) void {
        faulty.fault = null;
        life.directory.cleanup();
    }

    fn path(life: *Life) ![]const u8 {
        const parts = .{ ".zig-cache/tmp", &life.directory.sub_path };
        return std.fmt.bufPrint(&life.buffer, "{s}/{s}/db", parts);
    }

    /// Everything that the backend does, once or more often.
    fn run(life: *Life) !void {
        const opened = try system.open(gpa, try life.path(), .{ .create = true });
        defer opened.close();
        try opened.write(0, &.{life.content[0..4000]});
        try opened.write(4000, &.{
            life.content[4000..4001],
            "",
            life.content[4001..8000],
            life.content[8000..],
        });
        try life.expectContent(opened, life.content.len);
        try opened.extend(20_000);
        const stat = try opened.stat();
        try testing.expectEqual(20_000, stat.length);
        try testing.expect(stat.same_file);
        const range: os.LockRange = .{ .start = 1 << 62, .len = 2 };
        try testing.expect(try opened.lock(.writer, .exclusive, range));
        const pinned: os.LockRange = .{ .start = (1 << 62) + 10, .len = 1 };
        try testing.expect(try opened.lock(.snapshots, .shared, pinned));
        const all: os.LockRange = .{ .start = 1 << 62, .len = 100 };
        try testing.expectEqual(pinned.start, try opened.probe(all));
        opened.unlock(.snapshots, pinned);
        opened.unlock(.writer, range);
        if (try opened.probe(all) != null) return error.StillLocked;
        if (opened.map(0, 8192)) |map| {
            try testing.expectEqualSlices(u8, life.content[0..8192], map.bytes);
        }
        try opened.sync();
        const again = try system.open(gpa, try life.path(), .{ .readonly = true });
        defer again.close();
        try life.expectContent(again, 20_000);
    }

    fn expectContent(life: *Life, opened: os.File, length: usize) !void {
        var bytes: [20_001]u8 = undefined;
        const len = try opened.read(0, &bytes);
        // A short one is what a file that was cut looks like, which the engine knows of.
        if (len != length) return error.ShortRead;
        try testing.expectEqualSlices(u8, &life.content, bytes[0..life.content.len]);
        for (bytes[life.content.len..len]) |byte| try testing.expectEqual(0, byte);
    }
};

fn lowestDescriptor() !faulty.Descriptor {
    const opened = faulty.open("/dev/null", .read);
    if (opened.errno != .SUCCESS) return error.SkipZigTest;
    const fd: faulty.Descriptor = @intCast(opened.value);
    faulty.close(fd);
    return fd;
}

const Outcome = struct { was_reached: bool, failure: ?anyerror };

/// A life with one fault.
fn runWith(fault: faulty.Fault) !Outcome {
    var life: Life = .init();
    defer life.deinit();
    const descriptor = try lowestDescriptor();
    faulty.fault = fault;
    faulty.fired = 0;
    const result = life.run();
    faulty.fault = null;
    try testing.expectEqual(descriptor, try lowestDescriptor());
    const failure: ?anyerror = if (result) |_| null else |err| err;
    return .{ .was_reached = faulty.fired > 0, .failure = failure };
}

/// Descriptors 0 to 2 are in use here, so nothing is moved above them; and the file system of the
/// tests promises space, so that nobody has to do with a length.
fn isNeverMade(call: faulty.Call) bool {
    return call == .duplicate_above or call == .set_length;
}

test "a signal in the middle of any call changes nothing" {
    for (std.enums.values(faulty.Call)) |call| {
        if (isNeverMade(call)) continue;
        for ([_]u32{ 1, 3, 20 }) |times| {
            var after: u32 = 0;
            while (true) : (after += 1) {
                const fault: faulty.Fault = .{
                    .call = call,
                    .after = after,
                    .times = times,
                    .what = .{ .errno = .INTR },
                };
                errdefer std.log.err("{}", .{fault});
                const outcome = try runWith(fault);
                if (!outcome.was_reached) break;
                // Nobody knows what a sync has done that was interrupted.
                const expected: ?anyerror = if (call == .sync) error.InputOutput else null;
                try testing.expectEqual(expected, outcome.failure);
            }
            try testing.expect(after > 0);
        }
    }
}

test "transfers of fewer bytes go on where they stopped" {
    for ([_]faulty.Call{ .read, .write, .write_vector }) |call| {
        for ([_]usize{ 1, 7, 512, 2999 }) |most| {
            for ([_]u32{ 1, 2, 50_000 }) |times| {
                const outcome = try runWith(.{
                    .call = call,
                    .times = times,
                    .what = .{ .bytes_max = most },
                });
                try testing.expect(outcome.was_reached);
                try testing.expectEqual(null, outcome.failure);
            }
        }
    }
}

test "a write that writes nothing is an error and no endless loop, a read is the end" {
    for ([_]faulty.Call{ .write, .write_vector, .read }) |call| for ([_]u32{ 1, 50_000 }) |times| {
        const outcome = try runWith(.{ .call = call, .times = times, .what = .{ .bytes_max = 0 } });
        const expected: anyerror = if (call == .read) error.ShortRead else error.InputOutput;
        try testing.expectEqual(expected, outcome.failure.?);
    };
}

/// What the caller hears where a call is refused; null where it is none of their business.
fn expectedError(call: faulty.Call, errno: faulty.E) ?anyerror {
    const of_transfer: anyerror = switch (errno) {
        .NOSPC, .DQUOT => error.NoSpace,
        .NOMEM => error.OutOfMemory,
        .ROFS => error.ReadOnlyMedia,
        .ACCES => error.AccessDenied,
        else => error.InputOutput,
    };
    return switch (call) {
        .open, .duplicate_above => switch (errno) {
            .MFILE => error.TooManyFiles,
            else => of_transfer,
        },
        .lock, .find_lock => switch (errno) {
            .NOLCK, .OPNOTSUPP => error.LocksUnsupported,
            else => of_transfer,
        },
        .sync => if (of_transfer == error.NoSpace) error.NoSpace else error.InputOutput,
        .sync_directory => switch (of_transfer) {
            error.NoSpace => error.NoSpace,
            else => if (errno == .IO) error.InputOutput else null,
        },
        // The length is set where space cannot be promised.
        .allocate => if (errno == .OPNOTSUPP) null else of_transfer,
        // The right to look may be given up.
        .facts_at => if (errno == .ACCES) null else of_transfer,
        .map, .current_directory => null,
        .read, .write, .write_vector, .facts_of, .set_length => of_transfer,
    };
}

const refusals = [_]faulty.E{
    .NOSPC, .DQUOT, .IO, .NOMEM, .ROFS, .ACCES, .MFILE, .NOLCK, .OPNOTSUPP,
};

test "each call that is refused is the right error, and every call is refused somewhere" {
    var reached: std.EnumSet(faulty.Call) = .initEmpty();
    for (std.enums.values(faulty.Call)) |call| for (refusals) |errno| {
        if (isNeverMade(call)) continue;
        var after: u32 = 0;
        while (true) : (after += 1) {
            const fault: faulty.Fault = .{
                .call = call,
                .after = after,
                .what = .{ .errno = errno },
            };
            errdefer std.log.err("{}", .{fault});
            const outcome = try runWith(fault);
            if (!outcome.was_reached) break;
            reached.insert(call);
            try expectOutcome(fault, outcome.failure);
        }
    };
    try expectSetLength(&reached);
    try expectAboveStreams(&reached);
    try testing.expectEqual(std.enums.values(faulty.Call).len, reached.count());
}

fn expectOutcome(fault: faulty.Fault, failure: ?anyerror) !void {
    const expected = expectedError(fault.call, fault.what.errno);
    // The folder of a new file is opened to be synced, and left alone where that is refused; an
    // unlock has nobody to tell, and who asks next finds the lock.
    const may_be_silent = fault.call == .open or fault.call == .lock;
    if (may_be_silent and failure == null) return;
    if (fault.call == .lock and failure.? == error.StillLocked) return;
    if (expected) |err| return testing.expectEqual(err, failure orelse error.NotNoticed);
    try testing.expectEqual(null, failure);
}

/// Reached only where space cannot be promised.
fn expectSetLength(reached: *std.EnumSet(faulty.Call)) !void {
    for (refusals) |errno| {
        faulty.fault = .{ .call = .set_length, .what = .{ .errno = errno } };
        defer faulty.fault = null;
        const result = file_posix.setLength(-1, 5);
        try testing.expectError(expectedError(.set_length, errno).?, result);
        reached.insert(.set_length);
    }
}

/// Reached only where the standard streams are closed.
fn expectAboveStreams(reached: *std.EnumSet(faulty.Call)) !void {
    for (refusals) |errno| {
        faulty.fault = .{ .call = .duplicate_above, .what = .{ .errno = errno } };
        defer faulty.fault = null;
        const result = file_posix.aboveStandardStreams(-1);
        try testing.expectError(expectedError(.duplicate_above, errno).?, result);
        reached.insert(.duplicate_above);
    }
}
