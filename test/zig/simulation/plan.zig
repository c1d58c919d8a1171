//! What one run is made of, drawn from its seed: a run with few kinds of events reaches states that
//! a run with all of them hides.

const std = @import("std");
const vl = @import("vectorlite");

pub const Plan = struct {
    readers: usize,
    writers: usize,
    has_compactor: bool,
    /// Of each writer.
    durability: [3]vl.Durability,
    /// One call of the machine in so many lets another process act first; 0 is never.
    inside_every: u32,
    /// So deep.
    depth_max: usize,
    /// Writes of which a part is visible while others act, one in so many; 0 is never.
    cut_every: u32,
    has_kills: bool,
    has_power_losses: bool,
    has_failing_syncs: bool,
    has_failing_calls: bool,
    has_scarce_memory: bool,
    has_full_disk: bool,
    has_drops: bool,
    has_renames: bool,
    has_jobs: bool,
    has_large_rows: bool,
    busy_timeout_ms: u32,
    relief_pages_min: u64,

    pub fn draw(random: std.Random) Plan {
        const same = random.enumValue(vl.Durability);
        const are_mixed = random.uintLessThan(u32, 4) == 0;
        var durability: [3]vl.Durability = @splat(same);
        if (are_mixed) for (&durability) |*one| {
            one.* = random.enumValue(vl.Durability);
        };
        return .{
            .readers = 1 + random.uintLessThan(usize, 8),
            .writers = 1 + random.uintLessThan(usize, 2),
            .has_compactor = random.boolean(),
            .durability = durability,
            .inside_every = ([_]u32{ 0, 10, 30, 100 })[random.uintLessThan(usize, 4)],
            .depth_max = 2 + random.uintLessThan(usize, 2),
            .cut_every = ([_]u32{ 0, 5, 20 })[random.uintLessThan(usize, 3)],
            .has_kills = random.boolean(),
            .has_power_losses = random.uintLessThan(u32, 3) == 0,
            .has_failing_syncs = random.uintLessThan(u32, 3) == 0,
            .has_failing_calls = random.uintLessThan(u32, 3) == 0,
            .has_scarce_memory = random.uintLessThan(u32, 3) == 0,
            .has_full_disk = random.uintLessThan(u32, 4) == 0,
            .has_drops = random.boolean(),
            .has_renames = random.boolean(),
            .has_jobs = random.boolean(),
            .has_large_rows = random.boolean(),
            .busy_timeout_ms = if (random.uintLessThan(u32, 3) == 0) 20 else 0,
            .relief_pages_min = ([_]u64{ 4, 24, 128 })[random.uintLessThan(usize, 3)],
        };
    }

    /// The same without anything that goes wrong.
    pub fn quiet(plan: *const Plan) Plan {
        var same = plan.*;
        same.depth_max = 1;
        same.cut_every = 0;
        same.has_kills = false;
        same.has_power_losses = false;
        same.has_failing_syncs = false;
        same.has_failing_calls = false;
        same.has_scarce_memory = false;
        same.has_full_disk = false;
        return same;
    }
};
