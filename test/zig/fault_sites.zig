//! Every place in the engine that calls the machine or allocates is made to fail, in every way that
//! it can, once and for ever, and counted: a place that was not made to fail fails this test.
//!
//! A story is run once to learn who calls what: the stack of each call names its places. Then it is
//! run again for every different stack, with a fault in the first call that has it.

const std = @import("std");
const builtin = @import("builtin");
const vl = @import("vectorlite");
const tally = @import("crash/tally.zig");
const scale = @import("crash_options").scale;
const Engine = @import("faults/sites.zig").Engine;
const Site = @import("faults/sites.zig").Site;
const Scarce = @import("faults/scarce.zig").Scarce;
const Story = @import("faults/story.zig").Story;
const Call = @import("faults/witness.zig").Call;
const Seen = @import("faults/witness.zig").Seen;
const Victims = @import("faults/witness.zig").Victims;
const Witness = @import("faults/witness.zig").Witness;
const simulated = vl.backends.simulated;
const Fault = simulated.Fault;

const gpa = std.heap.smp_allocator;
const is_windows = builtin.os.tag == .windows;

/// What a story runs on.
const Setting = struct { durability: vl.Durability, has_maps: bool = true, is_long: bool = false };

/// The different calls of a story in which nothing fails.
fn learn(engine: *Engine, setting: Setting, seen_before: ?*Seen) ![]Call {
    var seen: Seen = .empty;
    var scarce: Scarce = .{ .child = gpa, .left = std.math.maxInt(u64), .forever = false };
    const story = try Story.create(setting.durability, scarce.allocator(), &.{});
    defer story.destroy();
    story.is_long = setting.is_long;
    story.disk.has_maps = setting.has_maps;
    var witness: Witness = .{ .engine = engine, .seen = seen_before orelse &seen };
    scarce.hook = Witness.hearAllocation;
    scarce.context = &witness;
    story.listener = .{ .context = &witness, .hear = Witness.hear };
    try story.run();
    story.listener = null;
    scarce.hook = null;
    if (witness.failure) |failure| return failure;
    try std.testing.expectEqual(0, story.refusals);
    try story.finish();
    return witness.calls.items;
}

/// Runs the story with one fault.
fn runWith(engine: *Engine, setting: Setting, call: Call, fault: Fault) anyerror!void {
    var scarce: Scarce = .{
        .child = gpa,
        .left = if (call.kind == null) call.number else std.math.maxInt(u64),
        .forever = fault.forever,
    };
    const story = try Story.create(setting.durability, scarce.allocator(), expectedErrors(fault));
    defer story.destroy();
    errdefer |err| describe(err, setting, call, fault, story);
    const disk = if (call.on_copy) story.copy else story.disk;
    if (call.kind != null) try disk.inject(fault);
    story.is_long = setting.is_long;
    story.disk.has_maps = setting.has_maps;
    var victims: Victims = .{
        .engine = engine,
        .fault = call.kind,
        .scarce = &scarce,
        .disk = disk,
    };
    if (fault.forever) {
        story.listener = .{ .context = &victims, .hear = Victims.hear };
        scarce.hook = Victims.hearAllocation;
        scarce.context = &victims;
    }
    try story.run();
    story.listener = null;
    scarce.hook = null;
    scarce.forever = false;
    try victims.check();
    const has_fired = if (call.kind == null) scarce.fired else disk.faults_fired > 0;
    if (!has_fired) return error.FaultNotReached;
    engine.hit(call.lines, call.kind == null);
    story.disk.clearFaults();
    story.copy.clearFaults();
    story.closeAll();
    if (scarce.live != 0) return error.Leaked;
    try story.finish();
}

fn describe(err: anyerror, setting: Setting, call: Call, fault: Fault, story: *Story) void {
    std.debug.print("\n{t}: {t} with {t}, maps {}, {s} for ever {}, call {d}, act {d}: {s}{s}\n", .{
        err,                                                    fault.err,
        setting.durability,                                     setting.has_maps,
        if (call.kind) |kind| @tagName(kind) else "allocation", fault.forever,
        call.number,                                            story.act,
        story.first.diagnostics.message(),                      story.second.diagnostics.message(),
    });
    for (call.lines) |line| std.debug.print("  {s}:{d}\n", .{ line.file, line.line });
}

fn expectedErrors(fault: Fault) []const anyerror {
    return switch (fault.err) {
        error.NoSpace => &.{error.NoSpace},
        error.OutOfMemory => &.{error.OutOfMemory},
        else => &.{error.InputOutput},
    };
}

fn waysToFail(kind: ?simulated.Call) []const Fault {
    const io: Fault = .{};
    const full: Fault = .{ .err = error.NoSpace };
    const unlockable: Fault = .{ .err = error.LocksUnsupported };
    return switch (kind orelse return &.{.{ .err = error.OutOfMemory }}) {
        .open => &.{ io, .{ .err = error.TooManyFiles }, .{ .err = error.AccessDenied } },
        .write => &.{ io, full, .{ .partial = true }, .{ .partial = true, .err = error.NoSpace } },
        .extend, .sync => &.{ full, io },
        .lock, .probe => &.{ io, unlockable },
        else => &.{io},
    };
}

/// Files that have a test of their own, fault_rescue.zig, and one that only tests use.
const elsewhere = [_][]const u8{ "salvage", "wreck", "metadata_writer" };

/// Places that the story does not make fail: a part of the line, and why not.
const exempt = [_]struct { file: []const u8, line: []const u8, why: []const u8 }{
    .{
        .file = "collection_state.zig",
        .line = "state.loaded.put(gpa, id, segment)",
        .why = "there is room for eight segments at once, and the story has fewer",
    },
    .{
        .file = "appender.zig",
        .line = "appender.padded.appendSlice(",
        .why = "all vectors of one call lie side by side",
    },
    .{
        .file = "database.zig",
        .line = "database.file.stat()",
        .why = "one of them is for files in memory, which answer always",
    },
    .{
        .file = "damage.zig",
        .line = "findings.list.appendSlice(",
        .why = "an older state that is damaged is in damage_verify.zig",
    },
    .{
        .file = "older_root_audit.zig",
        .line = "seen.resize(",
        .why = "no older state is larger than the newest before files shrink",
    },
};

fn isExempt(site: Site) bool {
    for (exempt) |place| {
        if (!std.mem.eql(u8, place.file, site.file)) continue;
        if (std.mem.indexOf(u8, site.text, place.line) != null) return true;
    }
    return false;
}

fn failEverything(engine: *Engine, setting: Setting, calls: []const Call) !u64 {
    var runs: u64 = 0;
    for (calls) |call| {
        for (waysToFail(call.kind), 0..) |way, number| for ([_]bool{ false, true }) |forever| {
            if (forever and number > 0 and scale == 1) continue;
            var fault = way;
            fault.call = call.kind;
            fault.after = call.number;
            fault.forever = forever;
            try runWith(engine, setting, call, fault);
            runs += 1;
        };
    }
    return runs;
}

test "every place that calls the machine or allocates fails, and is survived" {
    var engine: Engine = try .read("zig", .{ .except = &elsewhere });
    defer engine.deinit();
    var seen: Seen = .empty;
    var runs: u64 = 0;
    for ([_]Setting{
        .{ .durability = .normal },
        .{ .durability = .full },
        .{ .durability = .normal, .has_maps = false },
        .{ .durability = .normal, .is_long = true },
    }) |setting| {
        const seen_before = if (scale > 1) null else &seen;
        const calls = try learn(&engine, setting, seen_before);
        runs += try failEverything(&engine, setting, calls);
    }
    var hit: u32 = 0;
    var exempted: u32 = 0;
    for (engine.sites.items) |site| {
        if (site.hits > 0) hit += 1 else if (isExempt(site)) exempted += 1 else if (!is_windows) {
            std.debug.print("not hit: {s}:{d}: {s}\n", .{ site.file, site.first, site.text });
        }
    }
    tally.tell("faults", .{
        .faults = runs,
        .places = engine.sites.items.len,
        .places_hit = hit,
        .places_exempt = exempted,
    });
    try std.testing.expect(hit >= 120);
    try std.testing.expect(runs > 500);
    // The debug information of Windows does not name the places of inlined calls.
    if (is_windows) return;
    try std.testing.expectEqual(engine.sites.items.len, hit + exempted);
    try std.testing.expectEqual(exempt.len, exempted);
}
