//! Power may fail at any moment: every sequence of up to two steps from a prepared file, every disk
//! that a crash inside of it can leave (crash/rig.zig tells what is asked of each). The process may
//! also die alone, at any write, and power fail after that.

const std = @import("std");
const vl = @import("vectorlite");
const scale = @import("crash_options").scale;
const Base = @import("crash/workload.zig").Base;
const Contents = @import("crash/contents.zig").Contents;
const Counts = @import("crash/rig.zig").Counts;
const Rig = @import("crash/rig.zig").Rig;
const Settings = @import("crash/rig.zig").Settings;
const Step = @import("crash/workload.zig").Step;
const tally = @import("crash/tally.zig");
const simulated = vl.backends.simulated;

const durabilities = [_]vl.Durability{ .full, .normal, .none };
const steps = std.enums.values(Step);

fn settingsOf(durability: vl.Durability) Settings {
    return .{
        .durability = durability,
        .groups_max = if (tally.is_long) 12 else 7,
        .samples = 24 * scale,
        .images_per_write = 2 * scale,
        .second_life = if (tally.is_long) 512 else 64,
    };
}

/// The steps, with a crash wherever one is possible inside of the last.
fn explore(rig: *Rig, base: *const Base, sequence: []const Step) anyerror!void {
    errdefer |err| tell(rig, sequence, err);
    try rig.disk.setContent(base.bytes);
    try rig.begin(&base.rows);
    try rig.open();
    for (sequence, 1..) |step, count| {
        // A crash inside of an earlier step is a crash of a shorter sequence.
        rig.exploring = count == sequence.len;
        try step.run(rig);
    }
    try rig.exploreAll();
    rig.exploring = false;
    try rig.closeSnapshots();
    rig.client.close();
    try rig.settle();
}

/// The steps, with the process killed in each write of the last; a second process comes back,
/// adopts what is there, and power fails in that.
fn exploreKills(rig: *Rig, base: *const Base, sequence: []const Step) anyerror!void {
    errdefer |err| tell(rig, sequence, err);
    var kill_at: u64 = 0;
    while (try exploreKill(rig, base, sequence, kill_at)) kill_at += 1;
    rig.kill_at = null;
    try rig.closeSnapshots();
    rig.client.close();
}

/// False where the last step has no such write.
fn exploreKill(rig: *Rig, base: *const Base, sequence: []const Step, kill_at: u64) anyerror!bool {
    try rig.disk.setContent(base.bytes);
    try rig.begin(&base.rows);
    try rig.open();
    for (sequence[0 .. sequence.len - 1]) |step| try step.run(rig);
    rig.kill_at = rig.writes + 1 + kill_at;
    if (sequence[sequence.len - 1].run(rig)) |_| {} else |failure| {
        if (rig.failure != null or rig.client.process.alive) return failure;
    }
    if (rig.client.process.alive) return false;
    rig.exploring = true;
    try rig.comeBack();
    try rig.putNew();
    try rig.delete();
    try rig.checkpoint();
    try rig.exploreAll();
    rig.exploring = false;
    rig.client.close();
    try rig.settle();
    return true;
}

fn tell(rig: *Rig, sequence: []const Step, err: anyerror) void {
    std.debug.print("\n{t} with durability {t}, seed {d}, steps:", .{
        err, rig.settings.durability, rig.settings.seed,
    });
    for (sequence) |step| std.debug.print(" {t}", .{step});
    std.debug.print("\n{s}{s}", .{ rig.report.written(), rig.client.diagnostics.message() });
}

fn addCounts(total: *Counts, rig: *Rig) void {
    var life: ?*Rig = rig.next;
    while (life) |next| : (life = next.next) {
        rig.counts.images_second += next.counts.images;
        rig.counts.verified += next.counts.verified;
    }
    total.add(rig.counts);
}

test "no crash inside of any two steps harms the file" {
    var base = try Base.small();
    defer base.deinit();
    for (durabilities) |durability| {
        var counts: Counts = .{};
        const rig = try Rig.create(settingsOf(durability), null, 3);
        defer rig.destroy();
        for (steps) |first| {
            try explore(rig, &base, &.{first});
            for (steps) |second| try explore(rig, &base, &.{ first, second });
        }
        addCounts(&counts, rig);
        tally.tell("two steps", counts);
        try std.testing.expect(counts.images > 10_000 and counts.images_second > 1_000);
        try std.testing.expect(counts.writes_watched > 500 and counts.ranges_watched > 1_000);
    }
}

test "no crash inside of the last of any three steps harms the file" {
    if (!tally.is_long) return error.SkipZigTest;
    for ([_]Base{ try Base.small(), try Base.young() }) |one| {
        var base = one;
        defer base.deinit();
        for (durabilities) |durability| {
            var settings = settingsOf(durability);
            settings.groups_max = 7;
            settings.samples = 8 * scale;
            const rig = try Rig.create(settings, null, 3);
            defer rig.destroy();
            for (steps) |first| for (steps) |second| for (steps) |third| {
                try explore(rig, &base, &.{ first, second, third });
            };
            var counts: Counts = .{};
            addCounts(&counts, rig);
            tally.tell("three steps", counts);
        }
    }
}

test "no crash while a bucket of the index is divided harms the file" {
    var base = try Base.fullBucket();
    defer base.deinit();
    var counts: Counts = .{};
    for (durabilities) |durability| {
        var settings = settingsOf(durability);
        settings.second_life *= 4;
        const rig = try Rig.create(settings, null, 3);
        defer rig.destroy();
        try explore(rig, &base, &.{.put_many});
        try explore(rig, &base, &.{ .put_many, .delete });
        addCounts(&counts, rig);
    }
    tally.tell("divided bucket", counts);
    try std.testing.expect(counts.images > 500);
}

test "a killed process loses nothing, and power may fail while another one takes over" {
    var base = try Base.small();
    defer base.deinit();
    var counts: Counts = .{};
    for (durabilities) |durability| {
        var settings = settingsOf(durability);
        settings.images_per_sync = 16 * scale;
        settings.images_per_write = 1;
        settings.second_life = 0;
        const rig = try Rig.create(settings, null, 2);
        defer rig.destroy();
        for (steps) |first| {
            try exploreKills(rig, &base, &.{first});
            try exploreKills(rig, &base, &.{ .put_two, first });
            try exploreKills(rig, &base, &.{ .put_and_wait, first });
            try exploreKills(rig, &base, &.{ .snapshot_open, .put_many, first });
        }
        addCounts(&counts, rig);
    }
    tally.tell("kills", counts);
    try std.testing.expect(counts.simulated_kills > 300 and counts.images > 2_000);
    try std.testing.expect(counts.rewrites > 100);
}

test "a crash during creation leaves a file that can be created or opened" {
    var counts: Counts = .{};
    var nothing: Contents = .{ .gpa = std.heap.smp_allocator };
    for (durabilities) |durability| {
        var settings = settingsOf(durability);
        settings.create = true;
        settings.second_life /= 8;
        const rig = try Rig.create(settings, null, 3);
        defer rig.destroy();
        errdefer |err| tell(rig, &.{}, err);
        try rig.begin(&nothing);
        rig.exploring = true;
        try rig.open();
        try rig.putNew();
        try rig.overwrite();
        try rig.exploreAll();
        rig.exploring = false;
        rig.client.close();
        addCounts(&counts, rig);
    }
    tally.tell("creation", counts);
    try std.testing.expect(counts.images > 1_000 and counts.images_second > 100);
}

test "pages are used again, but only those that no root and no reader needs" {
    var base = try Base.small();
    defer base.deinit();
    for (durabilities) |durability| {
        var settings = settingsOf(durability);
        settings.images_per_sync = 8 * scale;
        const rig = try Rig.create(settings, null, 3);
        defer rig.destroy();
        errdefer |err| tell(rig, &.{}, err);
        try rig.disk.setContent(base.bytes);
        try rig.begin(&base.rows);
        try rig.open();
        const rounds = 400;
        for (0..rounds) |round| {
            rig.exploring = round % 16 == 0;
            switch (round % 23) {
                3 => try rig.openSnapshot(),
                9 => try rig.closeSnapshots(),
                11 => try rig.putTwo(),
                17 => try rig.delete(),
                19 => try rig.checkpoint(),
                else => try rig.overwrite(),
            }
        }
        try rig.closeSnapshots();
        rig.client.close();
        try rig.settle();
        // Rows are only ever added; of the pages around them a bounded number is in use.
        const row_bytes = 512;
        try std.testing.expect(rig.disk.length < base.bytes.len + rounds * row_bytes + 300 * 4096);
        try std.testing.expect(rig.counts.images > 100);
    }
}
