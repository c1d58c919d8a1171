//! Fuzz targets. An ordinary test run executes a bounded number of seeded programs, and those that
//! once found something; `-Dfuzz-scale` executes more (test/README.md).

/// Of the program for AFL++; tests have the test runner's.
pub const main = if (@import("fuzz_options").is_afl) @import("fuzz/afl.zig").main;

test {
    _ = @import("fuzz/boundary.zig");
    _ = @import("fuzz/every_bit.zig");
    _ = @import("fuzz/forged.zig");
    _ = @import("fuzz/live.zig");
    _ = @import("crash/memset.zig");
    _ = @import("fuzz/stories.zig");
}
