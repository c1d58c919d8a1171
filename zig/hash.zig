//! The keyed hash that places a key in the index. Frozen: it decides where an existing file's keys
//! are. SipHash-1-3 with 64 bits (the reduced-round variant of Aumasson and Bernstein's function)
//! under a random 128-bit key per file, so that nobody can choose keys that collide. A hash never
//! decides that two keys are equal: the stored key is always compared in full.

const std = @import("std");

pub const Key = [16]u8;

pub fn keyHash(key: *const Key, bytes: []const u8) u64 {
    return std.crypto.auth.siphash.SipHash64(1, 3).toInt(bytes, key);
}

test "the key hash is frozen" {
    var key: Key = undefined;
    for (&key, 0..) |*byte, i| byte.* = @intCast(i);
    // Computed once with the reference implementation's parameters; a change here is a new format.
    const empty = keyHash(&key, "");
    const hello = keyHash(&key, "hello");
    try std.testing.expect(empty != hello);
    try std.testing.expectEqual(@as(u64, 0xabac0158050fc4dc), empty);
}
