//! The forged file as a program for AFL++: its input is the stream of decisions of `forged.zig`, so
//! that what it mutates keeps its checksums, and the coverage of the engine tells it what is new.
//! One process executes many inputs (`zig build afl`, test/README.md).

const std = @import("std");
const forged = @import("forged.zig");
const Choices = @import("choices.zig").Choices;

/// AFL++ looks for these texts in the file to learn what the program can.
export const afl_persistent_signature = "##SIG_AFL_PERSISTENT##".*;
export const afl_deferred_signature = "##SIG_AFL_DEFER_FORKSRV##".*;

/// Inputs come by shared memory.
export var __afl_sharedmem_fuzzing: c_int = 1;

extern fn __afl_manual_init() void;
extern fn __afl_persistent_loop(count: c_uint) c_int;
extern var __afl_fuzz_ptr: ?[*]u8;
extern var __afl_fuzz_len: *c_uint;

const executions_max = 10_000;

pub fn main() !void {
    std.mem.doNotOptimizeAway(&afl_persistent_signature);
    std.mem.doNotOptimizeAway(&afl_deferred_signature);
    var target: forged.Target(.anything) = try .init();
    var buffer: [1 << 16]u8 = undefined;
    __afl_manual_init();
    while (__afl_persistent_loop(executions_max) != 0) {
        var choices: Choices = .{ .bytes = input(&buffer) };
        target.execute(&choices) catch |err| std.debug.panic("{t}", .{err});
    }
}

/// Without AFL++ around it the program executes its standard input once.
fn input(buffer: []u8) []const u8 {
    if (__afl_fuzz_ptr) |shared| return shared[0..__afl_fuzz_len.*];
    const len = std.c.read(0, buffer.ptr, buffer.len);
    return buffer[0..@intCast(@max(0, len))];
}
