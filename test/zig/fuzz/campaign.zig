//! Many executions of one fuzz target: first the seeds that once found something, then new ones.
//! One number repeats an execution (test/README.md). Before each, its seed is written to a file, so
//! that it is known also after the process has died.

const std = @import("std");
const options = @import("fuzz_options");
const Choices = @import("choices.zig").Choices;

const io = std.testing.io;

/// Longer than any honest execution; the machine may be busy, so a slow one is tried again.
const slow_ns = 1_000_000_000;
const attempts_max = 3;

pub fn Campaign(comptime Target: type) type {
    return struct {
        name: []const u8,
        target: *Target,
        /// One number in each line; what follows it says what was found.
        seeds: []const u8,
        /// Executions of an ordinary test run.
        count: u64,

        const Self = @This();

        pub fn run(campaign: Self) !void {
            var note = try Note.open(campaign.name);
            defer note.close();
            try campaign.replay(&note);
            const count = options.count orelse campaign.count * options.scale;
            const first = options.seed;
            const start = std.Io.Clock.awake.now(io);
            for (0..count) |i| try campaign.execute(&note, first +% i);
            const is_ordinary = options.scale == 1 and options.count == null;
            if (!(options.tally orelse !is_ordinary)) return;
            const ns: f64 = @floatFromInt(start.untilNow(io, .awake).nanoseconds);
            const rate = @as(f64, @floatFromInt(count)) / ns * 1e9;
            std.debug.print("TALLY fuzz {s} executions={d}, {d:.0} per second\n", .{
                campaign.name, count, rate,
            });
        }

        fn replay(campaign: Self, note: *Note) !void {
            var lines = std.mem.tokenizeScalar(u8, campaign.seeds, '\n');
            while (lines.next()) |line| {
                const end = std.mem.indexOfScalar(u8, line, ' ') orelse line.len;
                const seed = std.fmt.parseInt(u64, line[0..end], 0) catch continue;
                try campaign.execute(note, seed);
            }
        }

        fn execute(campaign: Self, note: *Note, seed: u64) !void {
            try note.write(seed);
            for (0..attempts_max) |_| {
                var choices: Choices = .init(seed);
                const start = std.Io.Clock.awake.now(io);
                campaign.target.execute(&choices) catch |err| {
                    std.debug.print("fuzz {s}: {t} with seed {d}\n", .{ campaign.name, err, seed });
                    return err;
                };
                if (start.untilNow(io, .awake).nanoseconds < slow_ns) return;
            }
            std.debug.print("fuzz {s}: seed {d} takes over a second\n", .{ campaign.name, seed });
            return error.TooSlow;
        }
    };
}

/// The seed that is being executed, in a file.
const Note = struct {
    file: std.Io.File,

    fn open(name: []const u8) !Note {
        var buffer: [64]u8 = undefined;
        // Campaigns that begin with different seeds may run side by side.
        const path = try std.fmt.bufPrint(&buffer, ".zig-cache/fuzz-{s}-{d}.seed", .{
            name, options.seed,
        });
        return .{ .file = try std.Io.Dir.cwd().createFile(io, path, .{}) };
    }

    fn close(note: *Note) void {
        note.file.close(io);
    }

    fn write(note: *Note, seed: u64) !void {
        var buffer: [32]u8 = undefined;
        const text = try std.fmt.bufPrint(&buffer, "{d: <20}\n", .{seed});
        try note.file.writePositionalAll(io, text, 0);
    }
};
