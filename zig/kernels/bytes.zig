//! Kernels that only move and sum up bytes. Compiled with each tier, like the others: the engine
//! itself is built for the oldest CPU, whose copies and checksums are half as fast, or a quarter.

const std = @import("std");

const block_bytes = 64;
const Block = @Vector(block_bytes, u8);

/// Regions may start anywhere and do not overlap. Blocks are loaded four at a time before any is
/// stored, which keeps more reads of a region that is not in a cache under way.
pub fn copy(to: [*]u8, from: [*]const u8, len: usize) callconv(.c) void {
    if (len < block_bytes) {
        for (to[0..len], from[0..len]) |*out, byte| out.* = byte;
        return;
    }
    const at_once = 4;
    var at: usize = 0;
    while (at + at_once * block_bytes <= len) : (at += at_once * block_bytes) {
        var blocks: [at_once]Block = undefined;
        inline for (&blocks, 0..) |*block, i| {
            block.* = from[at + i * block_bytes ..][0..block_bytes].*;
        }
        inline for (blocks, 0..) |block, i| to[at + i * block_bytes ..][0..block_bytes].* = block;
    }
    while (at + block_bytes <= len) : (at += block_bytes) {
        to[at..][0..block_bytes].* = @as(Block, from[at..][0..block_bytes].*);
    }
    // The rest, together with some bytes that were copied before.
    const last = len - block_bytes;
    to[last..][0..block_bytes].* = @as(Block, from[last..][0..block_bytes].*);
}

pub fn zero(to: [*]u8, len: usize) callconv(.c) void {
    const nothing: Block = @splat(0);
    var at: usize = 0;
    while (at + block_bytes <= len) : (at += block_bytes) to[at..][0..block_bytes].* = nothing;
    for (to[at..len]) |*byte| byte.* = 0;
}

/// XXH3 with 64 bits, the same on every tier: zig/checksum.zig says what for.
pub fn checksum(seed: u64, input: [*]const u8, len: usize) callconv(.c) u64 {
    return std.hash.XxHash3.hash(seed, input[0..len]);
}
