//! Sleeping until another thread of this process changes a word, without libc and without an `Io`.

const std = @import("std");
const builtin = @import("builtin");

const Word = std.atomic.Value(u32);

/// Sleeps while `word` is `expected`; may return early.
pub fn wait(word: *const Word, expected: u32) void {
    switch (builtin.os.tag) {
        .linux => _ = std.os.linux.futex_4arg(
            &word.raw,
            .{ .cmd = .WAIT, .private = true },
            expected,
            null,
        ),
        .macos => _ = std.c.__ulock_wait(
            .{ .op = .COMPARE_AND_WAIT, .NO_ERRNO = true },
            &word.raw,
            expected,
            0,
        ),
        .windows => _ = std.os.windows.ntdll.RtlWaitOnAddress(
            &word.raw,
            &expected,
            @sizeOf(u32),
            null,
        ),
        else => @compileError("no way to wait on an address is known for this system"),
    }
}

/// Not inlined into all that unlock something: most of the time nobody waits.
pub noinline fn wakeOne(word: *const Word) void {
    switch (builtin.os.tag) {
        .linux => _ = std.os.linux.futex_3arg(&word.raw, .{ .cmd = .WAKE, .private = true }, 1),
        .macos => _ = std.c.__ulock_wake(
            .{ .op = .COMPARE_AND_WAIT, .NO_ERRNO = true },
            &word.raw,
            0,
        ),
        .windows => std.os.windows.ntdll.RtlWakeAddressSingle(&word.raw),
        else => @compileError("no way to wake a waiter is known for this system"),
    }
}

pub fn wakeAll(word: *const Word) void {
    switch (builtin.os.tag) {
        .linux => _ = std.os.linux.futex_3arg(
            &word.raw,
            .{ .cmd = .WAKE, .private = true },
            std.math.maxInt(i32),
        ),
        .macos => _ = std.c.__ulock_wake(
            .{ .op = .COMPARE_AND_WAIT, .NO_ERRNO = true, .WAKE_ALL = true },
            &word.raw,
            0,
        ),
        .windows => std.os.windows.ntdll.RtlWakeAddressAll(&word.raw),
        else => @compileError("no way to wake waiters is known for this system"),
    }
}
