//! The checksums that are written to disk. Frozen: a change makes every existing file unreadable,
//! so both are published algorithms with test vectors here.
//!
//! - `bytes`: XXH3 with 64 bits (Yann Collet, xxHash specification 0.2), for pages, rows and
//!   records, where the value is stored away from the bytes it covers (in the parent), so that a
//!   lost, torn or misdirected write is noticed as well as a flipped bit.
//! - `slot`: SipHash-2-4 with 128 bits (Aumasson, Bernstein 2012) under a fixed key, for the header
//!   and the root slots, which hold their own checksum and decide what the file says.

const std = @import("std");
const kernels = @import("kernels/kernels.zig");

/// `seed` binds the bytes to the place they belong to.
pub fn bytes(seed: u64, input: []const u8) u64 {
    if (input.len < kernel_bytes_min) return std.hash.XxHash3.hash(seed, input);
    return kernels.active().checksum(seed, input.ptr, input.len);
}

/// Where XXH3 begins to work in stripes, which is what newer processors are faster at.
const kernel_bytes_min = 241;

pub fn slot(input: []const u8) [16]u8 {
    const key = "VectorLite slot.".*;
    var out: [16]u8 = undefined;
    std.crypto.auth.siphash.SipHash128(2, 4).create(&out, input, &key);
    return out;
}

test "XXH3 gives the published values" {
    // From the sanity test vectors of the xxHash reference implementation, version 0.8.
    try std.testing.expectEqual(@as(u64, 0x2D06800538D394C2), bytes(0, ""));
    try std.testing.expectEqual(@as(u64, 0x78AF5F94892F3950), bytes(0, "abc"));
}

test "checksums of long inputs are stable from release to release" {
    var input: [6144]u8 = undefined;
    for (&input, 0..) |*byte, i| byte.* = @truncate(i *% 31 +% (i >> 8));
    const all = bytes(0, &input);
    try std.testing.expectEqual(all, bytes(0, &input));
    input[4000] ^= 1;
    try std.testing.expect(all != bytes(0, &input));
    input[4000] ^= 1;
    try std.testing.expect(all != bytes(1, &input));
}
