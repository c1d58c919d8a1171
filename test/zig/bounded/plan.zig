//! What one run is made of, drawn from its seed: a run with few kinds of events reaches states that
//! a run with all of them hides.

const std = @import("std");
const vl = @import("vectorlite");
const model = @import("model.zig");

pub const Plan = struct {
    bytes_max: u64,
    shapes: [model.collections_max]model.Shape,
    shape_count: usize,
    /// Connections with the maximum, and others: those have a file that grows.
    bounded: usize,
    free: usize,
    readers: usize,
    durability: vl.Durability,
    are_mixed: bool,
    batch_max: u32,
    text_bytes_max: u32,
    /// One call of the machine in so many lets another connection act first; 0 is never.
    inside_every: u32,
    kill_every: u32,
    power_every: u32,
    fault_every: u32,
    full_every: u32,
    has_expiries: bool,
    has_transactions: bool,
    has_drops: bool,
    has_clears: bool,
    has_compaction: bool,
    has_snapshots: bool,
    steps: u32,

    pub fn draw(random: std.Random) Plan {
        const bytes_max = pick(random, u64, &.{ 1 << 20, 1 << 20, 3 << 19, 2 << 20, 3 << 20 });
        var plan: Plan = .{
            .bytes_max = bytes_max + random.uintLessThan(u64, 3) * 5000,
            .shapes = undefined,
            .shape_count = 1 + random.uintLessThan(usize, model.collections_max),
            .bounded = 1 + random.uintLessThan(usize, 3),
            .free = random.uintLessThan(usize, 2),
            .readers = random.uintLessThan(usize, 3),
            .durability = random.enumValue(vl.Durability),
            .are_mixed = random.uintLessThan(u32, 4) == 0,
            .batch_max = pick(random, u32, &.{ 1, 4, 16, 64, 300 }),
            .text_bytes_max = pick(random, u32, &.{ 20, 20, 200, 6000 }),
            .inside_every = pick(random, u32, &.{ 0, 0, 20, 60, 200 }),
            .kill_every = pick(random, u32, &.{ 0, 0, 300, 2000 }),
            .power_every = pick(random, u32, &.{ 0, 0, 400, 3000 }),
            .fault_every = pick(random, u32, &.{ 0, 0, 0, 20 }),
            .full_every = pick(random, u32, &.{ 0, 0, 30 }),
            .has_expiries = random.boolean(),
            .has_transactions = random.boolean(),
            .has_drops = random.uintLessThan(u32, 4) == 0,
            .has_clears = random.uintLessThan(u32, 4) == 0,
            .has_compaction = random.boolean(),
            .has_snapshots = random.boolean(),
            .steps = 60 + random.uintLessThan(u32, 240),
        };
        var first: u32 = 0;
        for (&plan.shapes) |*shape| {
            shape.* = drawShape(random, bytes_max);
            shape.first = first;
            first += shape.keys;
        }
        return plan;
    }

    fn drawShape(random: std.Random, bytes_max: u64) model.Shape {
        const dimension = pick(random, u32, &.{ 8, 32, 64, 256, 768, 1536, 4096 });
        // About what fits; see eviction.zig.
        const fitting: u32 = @intCast(bytes_max * 6 / 10 / (@as(u64, dimension) * 4 + 300));
        const few = 2 + random.uintLessThan(u32, fitting);
        return .{
            .dimension = dimension,
            .keys = @min(3000, fitting / 2 + random.uintLessThan(u32, 2 * fitting)),
            .rows_max = if (random.uintLessThan(u32, 3) == 0) few else null,
        };
    }

    /// Nothing goes wrong any more.
    pub fn calm(plan: *Plan) void {
        plan.inside_every = 0;
        plan.kill_every = 0;
        plan.power_every = 0;
        plan.fault_every = 0;
        plan.full_every = 0;
    }

    pub fn keyCount(plan: *const Plan) usize {
        const last = &plan.shapes[model.collections_max - 1];
        return last.first + last.keys;
    }
};

pub fn pick(random: std.Random, comptime T: type, from: []const T) T {
    return from[random.uintLessThan(usize, from.len)];
}
