//! What callers may pass for keys, vectors and metadata. All of it is checked before anything else
//! is done, so that a call that is wrong changes nothing.

const std = @import("std");
const kernels = @import("kernels/kernels.zig");
const limits = @import("limits.zig");
const metrics = @import("metrics.zig");
const Access = @import("access.zig").Access;
const Error = @import("errors.zig").Error;

pub fn checkKey(access: *const Access, key: []const u8) Error!void {
    if (key.len == 0) return access.fail(
        error.Key,
        "the key is empty; give at least one character",
        .{},
    );
    if (key.len > limits.key_bytes_max) return access.fail(
        error.Key,
        "the key has {d} bytes of UTF-8, at most {d} fit; hash long keys",
        .{ key.len, limits.key_bytes_max },
    );
}

/// Keys that lie one after the other.
pub fn checkKeys(access: *const Access, keys: []const u8, key_lens: []const u32) Error!void {
    var total: usize = 0;
    for (key_lens) |len| {
        if (len > keys.len - total) return access.fail(
            error.InvalidArgument,
            "the keys' lengths exceed their {d} bytes",
            .{keys.len},
        );
        try checkKey(access, keys[total..][0..len]);
        total += len;
    }
    if (total != keys.len) return access.fail(
        error.InvalidArgument,
        "the keys' lengths add up to {d}, there are {d} bytes",
        .{ total, keys.len },
    );
}

pub fn checkMetadata(access: *const Access, len: usize) Error!void {
    if (len <= limits.metadata_bytes_max) return;
    return access.fail(
        error.InvalidArgument,
        "metadata of {d} bytes, at most {d} fit",
        .{ len, limits.metadata_bytes_max },
    );
}

/// The inverse norm of a vector that is finite and, under cosine, not zero. `position` is its place
/// in its batch.
pub fn checkVector(access: *const Access, vector: []const f32, position: usize) Error!f32 {
    const square_sum = kernels.active().sumSquares(vector.ptr, vector.len);
    if (!std.math.isFinite(square_sum)) {
        const at = for (vector, 0..) |value, i| {
            if (!std.math.isFinite(value)) break i;
        } else 0;
        // As words: what formats any float takes 16 KB of the library.
        const found = if (std.math.isNan(vector[at])) "nan" else "an infinity";
        return access.fail(
            error.InvalidVector,
            "vector {d} has {s} at index {d}; every value must be a finite number",
            .{ position, found, at },
        );
    }
    const inverse = metrics.inverseRoot(square_sum);
    if (access.metric() != .cosine) return inverse;
    if (square_sum == 0) return access.fail(
        error.InvalidVector,
        "vector {d} is all zeros, which has no direction to compare under the cosine metric",
        .{position},
    );
    if (!std.math.isFinite(inverse) or inverse == 0) return access.fail(
        error.InvalidVector,
        "vector {d} is too {s} to be normalised for the cosine metric; scale it",
        .{ position, if (inverse == 0) "long" else "short" },
    );
    return inverse;
}

/// Room for the numbers of so many vectors.
pub fn checkRoom(access: *const Access, len: usize, count: usize) Error!void {
    if (len == count * access.dimension()) return;
    return access.fail(error.Dimension, "found room for {d} numbers, expected {d} x {d}", .{
        len, count, access.dimension(),
    });
}
