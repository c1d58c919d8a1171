//! Where a fuzz target takes its decisions from: a seeded generator, where one number repeats a
//! whole execution, Zig's fuzzer, which follows coverage, or the bytes that another fuzzer gives.

const std = @import("std");
const Smith = std.testing.Smith;

pub const Choices = union(enum) {
    seeded: std.Random.DefaultPrng,
    smith: *Smith,
    /// Zeros follow where it ends.
    bytes: []const u8,

    pub fn init(seed: u64) Choices {
        return .{ .seeded = .init(seed) };
    }

    pub fn int(choices: *Choices, comptime T: type) T {
        switch (choices.*) {
            .seeded => |*prng| return prng.random().int(T),
            .smith => |smith| return smith.value(T),
            .bytes => {
                var raw: [@sizeOf(T)]u8 = @splat(0);
                choices.fill(&raw);
                return std.mem.readInt(T, &raw, .little);
            },
        }
    }

    /// 0 to `end - 1`.
    pub fn below(choices: *Choices, end: usize) usize {
        std.debug.assert(end > 0 and end <= std.math.maxInt(u32));
        const limit: u32 = @intCast(end);
        switch (choices.*) {
            .seeded => |*prng| return prng.random().uintLessThan(u32, limit),
            .smith => |smith| return smith.valueRangeLessThan(u32, 0, limit),
            .bytes => return if (limit <= 256)
                choices.int(u8) % limit
            else
                choices.int(u32) % limit,
        }
    }

    pub fn oneIn(choices: *Choices, end: usize) bool {
        return choices.below(end) == 0;
    }

    pub fn pick(choices: *Choices, comptime T: type, from: []const T) T {
        return from[choices.below(from.len)];
    }

    pub fn fill(choices: *Choices, out: []u8) void {
        switch (choices.*) {
            .seeded => |*prng| prng.random().bytes(out),
            .smith => |smith| smith.bytes(out),
            .bytes => |*rest| {
                const len = @min(out.len, rest.len);
                @memcpy(out[0..len], rest.*[0..len]);
                @memset(out[len..], 0);
                rest.* = rest.*[len..];
            },
        }
    }
};
