//! The steps that crash tests are made of, and the files that they start from.

const std = @import("std");
const vl = @import("vectorlite");
const contents = @import("contents.zig");
const Client = @import("client.zig").Client;
const Contents = contents.Contents;
const Rig = @import("rig.zig").Rig;
const Value = contents.Value;
const simulated = vl.backends.simulated;

const gpa = std.heap.smp_allocator;

pub const Step = enum {
    put_new,
    overwrite,
    amend,
    delete,
    rename,
    put_two,
    put_many,
    grow,
    put_and_wait,
    checkpoint,
    compact_step,
    compact,
    reopen,
    snapshot_open,
    snapshot_close,

    pub fn run(step: Step, rig: *Rig) anyerror!void {
        switch (step) {
            .put_new => try rig.putNew(),
            .overwrite => try rig.overwrite(),
            .amend => try rig.amend(),
            .delete => try rig.delete(),
            .rename => try rig.rename(),
            .put_two => try rig.putTwo(),
            .put_many => try rig.putMany(8),
            .grow => try rig.grow(),
            .put_and_wait => {
                try rig.putNew();
                rig.wait();
            },
            .checkpoint => try rig.checkpoint(),
            .compact_step => _ = try rig.compactStep(true),
            .compact => try rig.compact(),
            .reopen => try rig.reopen(),
            .snapshot_open => try rig.openSnapshot(),
            .snapshot_close => try rig.closeSnapshots(),
        }
    }
};

/// A file that was closed, and what it holds.
pub const Base = struct {
    bytes: []u8,
    rows: Contents,

    pub fn deinit(base: *Base) void {
        gpa.free(base.bytes);
        base.rows.deinit();
    }

    /// Five rows, and a segment with room for four more: most of its rows are dead.
    pub fn small() !Base {
        return build(5, 60);
    }

    /// Three rows, none of them dead.
    pub fn young() !Base {
        return build(3, 3);
    }

    /// One bucket of the index with room for two more.
    pub fn fullBucket() !Base {
        return build(252, 252);
    }

    /// Several buckets of the index, several segments, and dead rows in all of them.
    pub fn divided() !Base {
        return build(450, 900);
    }

    fn build(keys: u32, puts: u32) !Base {
        const disk = try simulated.Disk.create(gpa, .{ .seed = 77 });
        defer disk.destroy();
        var client: Client = .{
            .gpa = gpa,
            .process = try disk.process(),
            .options = .{ .durability = .full },
        };
        try client.open();
        defer client.close();
        var rows: Contents = .{ .gpa = gpa };
        errdefer rows.deinit();
        const numbers = try gpa.alloc(u32, keys);
        defer gpa.free(numbers);
        const values = try gpa.alloc(Value, keys);
        defer gpa.free(values);
        for (0..puts / keys) |round| {
            for (numbers, values, 0..) |*number, *value, i| {
                number.* = @intCast(i + 1);
                value.* = .{
                    .seed = @intCast(1_000_000 + round * keys + i),
                    .metadata_bytes = @intCast(i % 3 * 5),
                };
                try rows.put(number.*, value.*);
            }
            try client.putMany(numbers, values);
        }
        return .{ .bytes = try gpa.dupe(u8, disk.bytes()), .rows = rows };
    }
};
