//! Address space that is claimed at once and backed by memory piece by piece, so that a growing
//! image never moves: views of it stay valid while it grows.

const std = @import("std");
const builtin = @import("builtin");

/// Claimed addresses; only the committed part of them may be touched.
pub const Range = []align(std.heap.page_size_min) u8;

/// Claims `len` bytes of addresses without memory; null where there is no room for them.
pub fn reserve(len: usize) ?Range {
    switch (builtin.os.tag) {
        .linux => {
            const flags: linux.MAP = .{ .TYPE = .PRIVATE, .ANONYMOUS = true, .NORESERVE = true };
            const rc = linux.mmap(null, len, .{}, flags, -1, 0);
            return if (linux.errno(rc) == .SUCCESS) rangeAt(rc, len) else null;
        },
        .windows => {
            const address = VirtualAlloc(null, len, MEM_RESERVE, PAGE_NOACCESS) orelse return null;
            return rangeAt(@intFromPtr(address), len);
        },
        else => {
            const flags: std.c.MAP = .{ .TYPE = .PRIVATE, .ANONYMOUS = true, .NORESERVE = true };
            const address = std.c.mmap(null, len, .{}, flags, -1, 0);
            return if (address == std.c.MAP_FAILED) null else rangeAt(@intFromPtr(address), len);
        },
    }
}

/// Puts zeroed memory behind a part of a claim; bytes that have it already keep their content.
/// False where there is not enough memory. `part` starts and ends on page boundaries.
pub fn commit(part: Range) bool {
    return switch (builtin.os.tag) {
        .linux => linux.errno(
            linux.mprotect(part.ptr, part.len, .{ .READ = true, .WRITE = true }),
        ) == .SUCCESS,
        .windows => VirtualAlloc(part.ptr, part.len, MEM_COMMIT, PAGE_READWRITE) != null,
        else => std.c.mprotect(part.ptr, part.len, .{ .READ = true, .WRITE = true }) == 0,
    };
}

/// Gives a whole claim back.
pub fn release(range: Range) void {
    switch (builtin.os.tag) {
        .linux => _ = linux.munmap(range.ptr, range.len),
        .windows => _ = VirtualFree(range.ptr, 0, MEM_RELEASE),
        else => _ = std.c.munmap(range.ptr, range.len),
    }
}

fn rangeAt(address: usize, len: usize) Range {
    const base: [*]align(std.heap.page_size_min) u8 = @ptrFromInt(address);
    return base[0..len];
}

const linux = std.os.linux;

const MEM_COMMIT = 0x1000;
const MEM_RESERVE = 0x2000;
const MEM_RELEASE = 0x8000;
const PAGE_NOACCESS = 0x01;
const PAGE_READWRITE = 0x04;

extern "kernel32" fn VirtualAlloc(
    address: ?*anyopaque,
    len: usize,
    kind: u32,
    protection: u32,
) callconv(.winapi) ?*anyopaque;
extern "kernel32" fn VirtualFree(
    address: *anyopaque,
    len: usize,
    kind: u32,
) callconv(.winapi) c_int;

test "a claim is zero where it is committed and does not move" {
    const claim = reserve(1 << 30) orelse return error.SkipZigTest;
    defer release(claim);
    try std.testing.expect(commit(claim[0 .. 1 << 16]));
    claim[7] = 1;
    try std.testing.expect(commit(claim[0 .. 1 << 20]));
    try std.testing.expectEqual(1, claim[7]);
    try std.testing.expectEqual(0, claim[(1 << 20) - 1]);
}
