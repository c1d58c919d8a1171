//! The memory of one execution: nothing is used twice, so that whatever was freed stays marked, and
//! all of it is gone at once. It counts what is in use, refuses what is over the limit, and tells
//! at the end whether everything was given back.

const std = @import("std");
const Alignment = std.mem.Alignment;

pub const Budget = struct {
    region: []u8,
    end: usize = 0,
    live_bytes: usize = 0,
    limit_bytes: usize,
    is_exceeded: bool = false,

    /// Virtual: only what is touched becomes memory.
    const region_bytes = 128 << 20;
    const alignment_max: Alignment = .@"64";

    pub fn init(limit_bytes: usize) !Budget {
        const pages = std.heap.page_allocator;
        // Raw, because the marks of undefined memory would touch all of it.
        const region = pages.rawAlloc(region_bytes, alignment_max, 0) orelse
            return error.OutOfMemory;
        return .{ .region = region[0..region_bytes], .limit_bytes = limit_bytes };
    }

    pub fn deinit(budget: *Budget) void {
        std.heap.page_allocator.rawFree(budget.region, alignment_max, 0);
    }

    pub fn allocator(budget: *Budget) std.mem.Allocator {
        return .{ .ptr = budget, .vtable = &vtable };
    }

    /// After everything was closed.
    pub fn finish(budget: *Budget) error{ Leak, BudgetExceeded }!void {
        const leaked = budget.live_bytes;
        const is_exceeded = budget.is_exceeded;
        budget.end = 0;
        budget.live_bytes = 0;
        budget.is_exceeded = false;
        if (is_exceeded) return error.BudgetExceeded;
        if (leaked > 0) return error.Leak;
    }

    const vtable: std.mem.Allocator.VTable = .{
        .alloc = alloc,
        .resize = resize,
        .remap = remap,
        .free = free,
    };

    fn alloc(context: *anyopaque, len: usize, alignment: Alignment, _: usize) ?[*]u8 {
        const budget: *Budget = @ptrCast(@alignCast(context));
        const base = @intFromPtr(budget.region.ptr);
        const start = alignment.forward(base + budget.end) - base;
        if (budget.live_bytes + len > budget.limit_bytes or start + len > budget.region.len) {
            budget.is_exceeded = true;
            return null;
        }
        budget.end = start + len;
        budget.live_bytes += len;
        return budget.region.ptr + start;
    }

    fn resize(context: *anyopaque, memory: []u8, _: Alignment, len: usize, _: usize) bool {
        const budget: *Budget = @ptrCast(@alignCast(context));
        if (len > memory.len) return false;
        budget.live_bytes -= memory.len - len;
        return true;
    }

    fn remap(
        context: *anyopaque,
        memory: []u8,
        alignment: Alignment,
        len: usize,
        address: usize,
    ) ?[*]u8 {
        return if (resize(context, memory, alignment, len, address)) memory.ptr else null;
    }

    fn free(context: *anyopaque, memory: []u8, _: Alignment, _: usize) void {
        const budget: *Budget = @ptrCast(@alignCast(context));
        budget.live_bytes -= memory.len;
    }
};
