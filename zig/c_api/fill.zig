//! `memset` of the library where it has no libc to take one from. The compiler's own stores 16
//! bytes at a time, and a safe build calls it for every array that a function declares: that was a
//! sixth of a small commit.

pub fn fill(to: [*]u8, value: u8, len: usize) callconv(.c) [*]u8 {
    @setRuntimeSafety(false);
    var at = to;
    var left = len;
    // An instruction and not a loop, which would be compiled to a call of this function.
    asm volatile ("rep stosb"
        : [at] "+{rdi}" (at),
          [left] "+{rcx}" (left),
        : [value] "{al}" (value),
        : .{ .memory = true });
    return to;
}
