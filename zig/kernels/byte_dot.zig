//! The instruction that multiplies bytes and adds four products to each 32-bit sum, which the
//! compiler does not find by itself: `vpdpbusd` of AVX-512 VNNI, `sdot` of ARM's dot product.

const std = @import("std");
const builtin = @import("builtin");
const lanes = @import("lanes.zig");

const is_arm = builtin.cpu.arch == .aarch64;

/// Whether this tier has it.
pub const exists = lanes.has(.avx512vnni) or is_arm and
    std.Target.aarch64.featureSetHas(builtin.cpu.features, .dotprod);

/// Whether it takes the bytes of its first factor without a sign.
pub const first_is_unsigned = !is_arm;

pub const length = 4 * lanes.register_lanes;
pub const Bytes = @Vector(length, i8);
pub const Sums = @Vector(lanes.register_lanes, i32);

/// Adds to each sum the products of its four bytes. Nothing saturates.
pub inline fn addProducts(sums: Sums, first: Bytes, second: Bytes) Sums {
    if (is_arm) return asm ("sdot %[sums].4s, %[first].16b, %[second].16b"
        : [sums] "=w" (-> Sums),
        : [before] "0" (sums),
          [first] "w" (first),
          [second] "w" (second),
    );
    return asm ("vpdpbusd %[second], %[first], %[sums]"
        : [sums] "=v" (-> Sums),
        : [before] "0" (sums),
          [first] "v" (first),
          [second] "v" (second),
    );
}
