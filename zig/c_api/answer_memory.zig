//! Memory for large answers, lent to a runtime whose garbage collector brings it back.
//!
//! The pages of a new array are cleared and mapped one by one at the first touch, which for an
//! answer of megabytes takes longer than to fill it. So a few blocks are kept. When the last one is
//! back all are offered to the system, which may have their pages where it is short of them.
//! Whoever finds no block free takes an array of the runtime's.

const std = @import("std");
const idle_pages = @import("vectorlite").idle_pages;
const Status = @import("status.zig").Status;

const block_bytes = 8 << 20;

const Block = struct {
    is_lent: std.atomic.Value(bool) = .init(false),
    /// Allocated once, for the life of the process, by who has it; zero until then.
    address: std.atomic.Value(usize) = .init(0),
    /// Whether it was written since it was offered. Only for who has it.
    is_used: bool = false,
};

/// Collectors find dead arrays several calls late, and then all of them.
var blocks: [8]Block = @splat(.{});
var lent_count: std.atomic.Value(u32) = .init(0);

/// Writes the address of a block, and that of the function that takes it back. `NOT_FOUND` where
/// none is free or none is as large. What it holds is what the last answer left in it.
pub fn lend(bytes: u32, addresses_out: [*]align(1) f64) callconv(.c) i32 {
    const none = @intFromEnum(Status.not_found);
    if (bytes > block_bytes) return none;
    for (&blocks) |*block| {
        if (block.is_lent.swap(true, .acquire)) continue;
        if (block.address.load(.monotonic) == 0) {
            const memory = std.heap.page_allocator.alloc(u8, block_bytes) catch {
                block.is_lent.store(false, .release);
                return none;
            };
            block.address.store(@intFromPtr(memory.ptr), .monotonic);
        }
        block.is_used = true;
        _ = lent_count.fetchAdd(1, .monotonic);
        addresses_out[0] = @floatFromInt(block.address.load(.monotonic));
        addresses_out[1] = @floatFromInt(@intFromPtr(&takeBack));
        return @intFromEnum(Status.ok);
    }
    return none;
}

/// Called on whatever thread the collector runs.
fn takeBack(memory: usize, _: usize) callconv(.c) void {
    for (&blocks) |*block| {
        if (block.address.load(.monotonic) == memory) block.is_lent.store(false, .release);
    }
    if (lent_count.fetchSub(1, .monotonic) == 1) offerAll();
}

/// Nobody can be lent a block while its pages are offered.
fn offerAll() void {
    for (&blocks) |*block| {
        if (block.is_lent.swap(true, .acquire)) continue;
        defer block.is_lent.store(false, .release);
        if (!block.is_used) continue;
        block.is_used = false;
        const memory: [*]align(std.heap.page_size_min) u8 =
            @ptrFromInt(block.address.load(.monotonic));
        idle_pages.offer(memory[0..block_bytes]);
    }
}
