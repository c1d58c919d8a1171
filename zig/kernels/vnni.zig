//! The instruction of AVX-512 VNNI that the compiler does not find by itself.

pub const Sums = @Vector(16, i32);

/// Adds to each sum the products of its four bytes. Nothing saturates.
pub inline fn addProducts(
    sums: Sums,
    unsigned: @Vector(64, u8),
    signed: @Vector(64, i8),
) Sums {
    return asm ("vpdpbusd %[signed], %[unsigned], %[sums]"
        : [sums] "=v" (-> Sums),
        : [before] "0" (sums),
          [unsigned] "v" (unsigned),
          [signed] "v" (signed),
    );
}
