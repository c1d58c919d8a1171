//! Which disks a power loss may leave behind: the enumeration of legal outcomes of one write log.
//!
//! The medium holds each sector in any version that existed since the last sync, independently of
//! every other sector; a sector that was being written may be torn or hold garbage, but only in the
//! bytes that were written (powersafe overwrite); the length of the file is old, new or one of
//! those between. Small logs are enumerated completely, large ones by their edges and by seeded
//! samples. Every choice is a function of its number, so a number and a workload reproduce a
//! failure.

const std = @import("std");
const WriteLog = @import("write_log.zig").WriteLog;

/// What became of one atom (one sector of one write).
pub const Fate = enum {
    lost,
    kept,
    /// A part of the written bytes of this sector, the rest as before.
    torn,
    /// Random bytes where this sector was written.
    garbage,
};

pub const Choice = struct {
    stage: Stage,
    /// Its place in the enumeration, for `Crashes.at`.
    number: u64,
    /// One per atom of the log. Valid until the next call of the enumeration.
    fates: []const Fate,
    /// Bytes in the file afterwards.
    length: u64,
    /// Draws the garbage and the tears.
    seed: u64,

    /// One character per atom: `.` lost, `+` kept, `/` torn, `#` garbage.
    pub fn format(choice: Choice, writer: *std.Io.Writer) std.Io.Writer.Error!void {
        const place = .{ choice.number, choice.stage, choice.length };
        try writer.print("{d} ({t}), length {d}, ", place);
        for (choice.fates) |fate| try writer.writeByte(switch (fate) {
            .lost => '.',
            .kept => '+',
            .torn => '/',
            .garbage => '#',
        });
    }
};

pub const Options = struct {
    /// Up to so many groups every subset is tried: 2^12 images.
    groups_max: u6 = 12,
    /// Seeded samples of each kind of subset where there are more groups than that.
    samples: u32 = 64,
    /// Places where one long write is cut in two.
    splits_max: u32 = 16,
    /// Also tears and garbage.
    garbage: bool = true,
    seed: u64 = 0,
};

pub const Stage = enum {
    /// The first n writes, whole.
    prefixes,
    /// The first n writes and one end of the next.
    splits,
    /// Any of the writes, whole.
    writes,
    /// Any of the sectors.
    sectors,
    /// The first n writes and the next torn or trashed, then samples of everything at once.
    garbage,
};

pub const Crashes = struct {
    gpa: std.mem.Allocator,
    log: *const WriteLog,
    length_old: u64,
    length_new: u64,
    options: Options,
    fates: []Fate,
    /// Writes that put bytes somewhere.
    groups: std.ArrayList(usize),
    next_number: u64 = 0,

    /// Borrows `log`, which must not change meanwhile.
    pub fn init(
        gpa: std.mem.Allocator,
        log: *const WriteLog,
        length_old: u64,
        options: Options,
    ) error{OutOfMemory}!Crashes {
        const writes = log.writes.items;
        var groups: std.ArrayList(usize) = try .initCapacity(gpa, writes.len);
        errdefer groups.deinit(gpa);
        for (writes, 0..) |write, index| {
            if (write.content.len > 0) groups.appendAssumeCapacity(index);
        }
        return .{
            .gpa = gpa,
            .log = log,
            .length_old = length_old,
            .length_new = if (writes.len == 0) length_old else writes[writes.len - 1].length_after,
            .options = options,
            .fates = try gpa.alloc(Fate, log.atoms.items.len),
            .groups = groups,
        };
    }

    pub fn deinit(crashes: *Crashes) void {
        crashes.gpa.free(crashes.fates);
        crashes.groups.deinit(crashes.gpa);
        crashes.* = undefined;
    }

    pub fn next(crashes: *Crashes) ?Choice {
        const choice = crashes.at(crashes.next_number) orelse return null;
        crashes.next_number += 1;
        return choice;
    }

    pub fn count(crashes: *const Crashes) u64 {
        var total: u64 = 0;
        for (std.enums.values(Stage)) |stage| total += crashes.countOf(stage);
        return total;
    }

    /// The choice with this number; null past the last.
    pub fn at(crashes: *Crashes, number: u64) ?Choice {
        var step = number;
        for (std.enums.values(Stage)) |stage| {
            const steps = crashes.countOf(stage);
            if (step >= steps) {
                step -= steps;
                continue;
            }
            @memset(crashes.fates, .lost);
            const seed = std.hash.Wyhash.hash(crashes.options.seed, std.mem.asBytes(&number));
            var prng = std.Random.DefaultPrng.init(seed);
            const length = switch (stage) {
                .prefixes => crashes.keepWrites(step),
                .splits => crashes.split(step),
                .writes => crashes.subset(.writes, step, prng.random()),
                .sectors => crashes.subset(.sectors, step, prng.random()),
                .garbage => crashes.trash(step, prng.random()),
            };
            const fates = crashes.fates;
            return .{
                .stage = stage,
                .number = number,
                .fates = fates,
                .length = length,
                .seed = seed,
            };
        }
        return null;
    }

    fn countOf(crashes: *const Crashes, stage: Stage) u64 {
        const groups = crashes.groups.items.len;
        const atoms = crashes.fates.len;
        switch (stage) {
            .prefixes => return crashes.log.writes.items.len + 1,
            .splits => {
                var total: u64 = 0;
                for (crashes.log.writes.items) |write| total += crashes.splitsOf(write.content.len);
                return total;
            },
            .writes => return crashes.subsetsOf(groups),
            // Where every write is one sector this would repeat the stage before.
            .sectors => return if (atoms == groups) 0 else crashes.subsetsOf(atoms),
            .garbage => {
                if (!crashes.options.garbage or groups == 0) return 0;
                return 2 * groups + crashes.options.samples;
            },
        }
    }

    /// Complete: every subset, with either length. Otherwise all but one, only one, and samples.
    fn subsetsOf(crashes: *const Crashes, groups: usize) u64 {
        if (groups == 0) return 0;
        if (groups > crashes.options.groups_max) return 2 * groups + crashes.options.samples;
        return (@as(u64, 1) << @intCast(groups)) * crashes.lengthCount();
    }

    fn lengthCount(crashes: *const Crashes) u64 {
        return if (crashes.length_old == crashes.length_new) 1 else 2;
    }

    fn splitsOf(crashes: *const Crashes, sectors: usize) u64 {
        if (sectors < 2) return 0;
        return 2 * @min(sectors - 1, crashes.options.splits_max);
    }

    fn keepWrites(crashes: *Crashes, writes: u64) u64 {
        if (writes == 0) return crashes.length_old;
        const last = crashes.log.writes.items[@intCast(writes - 1)];
        @memset(crashes.fates[0 .. last.atom_first + last.content.len], .kept);
        return last.length_after;
    }

    fn split(crashes: *Crashes, step: u64) u64 {
        var left = step;
        for (crashes.log.writes.items, 0..) |write, index| {
            const sectors = write.content.len;
            const splits = crashes.splitsOf(sectors);
            if (left >= splits) {
                left -= splits;
                continue;
            }
            _ = crashes.keepWrites(index);
            // Spread over the write where it has more sectors than cuts.
            const cut: usize = @intCast(1 + (left / 2) * (sectors - 1) / (splits / 2));
            const atoms = crashes.fates[write.atom_first..][0..sectors];
            @memset(if (left % 2 == 0) atoms[0..cut] else atoms[cut..], .kept);
            return write.length_after;
        }
        return crashes.length_new;
    }

    fn subset(
        crashes: *Crashes,
        kind: enum { writes, sectors },
        step: u64,
        random: std.Random,
    ) u64 {
        const total = if (kind == .writes) crashes.groups.items.len else crashes.fates.len;
        const complete = total <= crashes.options.groups_max;
        const mode = if (complete or step >= 2 * total) 0 else 1 + step % 2;
        const density = 1 + 3 * random.uintLessThan(u8, 3);
        for (0..total) |group| {
            const keep = if (complete)
                step / crashes.lengthCount() >> @intCast(group) & 1 == 1
            else switch (mode) {
                0 => random.uintLessThan(u8, 8) < density,
                1 => group != step / 2,
                else => group == step / 2,
            };
            if (!keep) continue;
            if (kind == .writes) crashes.keepGroup(group) else crashes.fates[group] = .kept;
        }
        if (complete) return crashes.lengthAt(step % crashes.lengthCount());
        return if (mode == 0) crashes.anyLength(random) else crashes.length_new;
    }

    fn keepGroup(crashes: *Crashes, group: usize) void {
        const write = crashes.log.writes.items[crashes.groups.items[group]];
        @memset(crashes.fates[write.atom_first..][0..write.content.len], .kept);
    }

    fn trash(crashes: *Crashes, step: u64, random: std.Random) u64 {
        const groups = crashes.groups.items;
        if (step < 2 * groups.len) {
            const index = groups[@intCast(step / 2)];
            const write = crashes.log.writes.items[index];
            _ = crashes.keepWrites(index);
            const fate: Fate = if (step % 2 == 0) .torn else .garbage;
            @memset(crashes.fates[write.atom_first..][0..write.content.len], fate);
            return write.length_after;
        }
        for (crashes.fates) |*fate| fate.* = random.enumValue(Fate);
        return crashes.anyLength(random);
    }

    fn lengthAt(crashes: *const Crashes, index: u64) u64 {
        return if (index == 0) crashes.length_new else crashes.length_old;
    }

    fn anyLength(crashes: *const Crashes, random: std.Random) u64 {
        const writes = crashes.log.writes.items;
        return switch (random.uintLessThan(u8, 4)) {
            0 => crashes.length_old,
            1 => writes[random.uintLessThan(usize, writes.len)].length_after,
            else => crashes.length_new,
        };
    }
};

test "small logs are enumerated completely" {
    const gpa = std.testing.allocator;
    var log = WriteLog.init(gpa);
    defer log.deinit();
    try log.append(0, 512, &.{@splat(1)}, 512);
    try log.append(512, 1024, &.{ @splat(2), @splat(3) }, 1536);
    var crashes = try Crashes.init(gpa, &log, 0, .{ .garbage = false });
    defer crashes.deinit();
    // 3 prefixes, 2 halves of the second write, 2 × 4 subsets of writes, 2 × 8 of sectors.
    try std.testing.expectEqual(29, crashes.count());
    var seen: std.AutoHashMapUnmanaged(struct { fates: [3]Fate, length: u64 }, void) = .empty;
    defer seen.deinit(gpa);
    while (crashes.next()) |choice| {
        try seen.put(gpa, .{ .fates = choice.fates[0..3].*, .length = choice.length }, {});
    }
    // Every subset with either length, and one prefix with the length between.
    try std.testing.expectEqual(17, seen.count());
}

test "a choice is a function of its number" {
    const gpa = std.testing.allocator;
    var log = WriteLog.init(gpa);
    defer log.deinit();
    for (0..40) |index| {
        const sectors: [3]@import("write_log.zig").Sector = @splat(@splat(1));
        try log.append(index * 1536, 1536, &sectors, (index + 1) * 1536);
    }
    var crashes = try Crashes.init(gpa, &log, 0, .{ .seed = 5 });
    defer crashes.deinit();
    var kinds: std.EnumSet(Fate) = .empty;
    var digest: u64 = 0;
    while (crashes.next()) |choice| {
        for (choice.fates) |fate| kinds.insert(fate);
        digest +%= std.hash.Wyhash.hash(choice.length, std.mem.sliceAsBytes(choice.fates));
    }
    try std.testing.expectEqual(std.EnumSet(Fate).full, kinds);
    try std.testing.expectEqual(crashes.count(), crashes.next_number);
    var again: u64 = 0;
    for (0..crashes.count()) |number| {
        const choice = crashes.at(number).?;
        again +%= std.hash.Wyhash.hash(choice.length, std.mem.sliceAsBytes(choice.fates));
    }
    try std.testing.expectEqual(digest, again);
}

test "nothing written leaves one image" {
    var log = WriteLog.init(std.testing.allocator);
    defer log.deinit();
    var crashes = try Crashes.init(std.testing.allocator, &log, 77, .{});
    defer crashes.deinit();
    try std.testing.expectEqual(77, crashes.next().?.length);
    try std.testing.expectEqual(null, crashes.next());
}
