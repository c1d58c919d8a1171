//! Files whose bytes say impossible things under right checksums, as only an attacker or a bug of
//! the engine writes them.

const std = @import("std");
const vl = @import("vectorlite");
const mutate = @import("mutate.zig");
const Base = @import("base.zig").Base;
const Budget = @import("budget.zig").Budget;
const Campaign = @import("campaign.zig").Campaign;
const Choices = @import("choices.zig").Choices;
const Layout = @import("layout.zig").Layout;
const Machine = @import("disk.zig").Machine;
const use = @import("use.zig");

const gpa = std.heap.smp_allocator;

/// No file of a few hundred kilobytes needs more than this, whatever it says.
const memory_max = 8 << 20;

/// A prepared file, and what is needed to damage and to use it again and again.
pub const Stage = struct {
    machine: *Machine,
    base: Base,
    layout: Layout,
    budget: Budget,
    buffers: *use.Buffers,

    pub fn init(comptime make: fn (*Machine) anyerror!Base) !Stage {
        const machine = try gpa.create(Machine);
        try machine.init();
        const base = try make(machine);
        machine.main.adopt(base.bytes);
        return .{
            .machine = machine,
            .base = base,
            .layout = try .read(base.bytes),
            .budget = try .init(memory_max),
            .buffers = try gpa.create(use.Buffers),
        };
    }

    pub fn deinit(stage: *Stage) void {
        stage.layout.deinit();
        stage.budget.deinit();
        stage.base.deinit();
        stage.machine.deinit();
        gpa.destroy(stage.machine);
        gpa.destroy(stage.buffers);
    }

    pub fn reset(stage: *Stage) void {
        stage.machine.reset(stage.base.bytes);
    }

    /// Everything that can be done with the file as it is now.
    pub fn useAll(stage: *Stage, choices: *Choices) !void {
        var user: use.User = .{
            .gpa = stage.budget.allocator(),
            .machine = stage.machine,
            .buffers = stage.buffers,
            .choices = choices,
            .keys_end = stage.base.keys_end,
        };
        try user.run();
        try stage.budget.finish();
    }
};

/// Which part of the file says something else.
pub const Kind = enum { anything, slots, pages };

pub fn Target(comptime kind: Kind) type {
    return struct {
        small: Stage,
        worn: Stage,
        large: Stage,

        const Self = @This();

        pub fn init() !Self {
            var small: Stage = try .init(Base.small);
            errdefer small.deinit();
            var worn: Stage = try .init(Base.worn);
            errdefer worn.deinit();
            return .{ .small = small, .worn = worn, .large = try .init(Base.large) };
        }

        fn deinit(target: *Self) void {
            target.small.deinit();
            target.worn.deinit();
            target.large.deinit();
        }

        pub fn execute(target: *Self, choices: *Choices) !void {
            const stage = switch (choices.below(8)) {
                0...2 => &target.small,
                3...5 => &target.worn,
                else => &target.large,
            };
            stage.reset();
            const content = &stage.machine.main;
            const count = 1 + if (choices.oneIn(3)) choices.below(6) else 0;
            for (0..count) |_| switch (kind) {
                .anything => mutate.forge(content, &stage.layout, choices),
                .slots => mutate.forgeSlot(content, choices),
                .pages => mutate.forgePage(content, &stage.layout, choices),
            };
            try stage.useAll(choices);
        }

        fn followCoverage(target: *Self, smith: *std.testing.Smith) !void {
            var choices: Choices = .{ .smith = smith };
            try target.execute(&choices);
        }
    };
}

fn campaign(comptime kind: Kind, name: []const u8, seeds: []const u8, count: u64) !void {
    var target: Target(kind) = try .init();
    defer target.deinit();
    const runs: Campaign(Target(kind)) = .{
        .name = name,
        .target = &target,
        .seeds = seeds,
        .count = count,
    };
    try runs.run();
}

fn follow(comptime kind: Kind) !void {
    var target: Target(kind) = try .init();
    defer target.deinit();
    try std.testing.fuzz(&target, Target(kind).followCoverage, .{});
}

test "fuzz image: a forged file harms nothing" {
    try campaign(.anything, "image", @embedFile("../seeds/image.txt"), 10_000);
}

test "fuzz roots: forged root slots harm nothing" {
    try campaign(.slots, "roots", @embedFile("../seeds/roots.txt"), 6_000);
}

test "fuzz pages: forged index pages harm nothing" {
    try campaign(.pages, "pages", @embedFile("../seeds/pages.txt"), 8_000);
}

test "coverage image" {
    try follow(.anything);
}

test "coverage roots" {
    try follow(.slots);
}

test "coverage pages" {
    try follow(.pages);
}
