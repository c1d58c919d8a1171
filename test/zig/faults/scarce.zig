//! Memory that runs out.

const std = @import("std");

/// Fails one allocation, or all from that one on.
pub const Scarce = struct {
    child: std.mem.Allocator,
    left: u64,
    forever: bool,
    fired: bool = false,
    /// Before every allocation: a test learns from the stack who makes it.
    hook: ?*const fn (context: *anyopaque) void = null,
    context: *anyopaque = undefined,
    /// Allocations that were not freed yet.
    live: u64 = 0,

    pub fn allocator(scarce: *Scarce) std.mem.Allocator {
        return .{ .ptr = scarce, .vtable = &.{
            .alloc = alloc,
            .resize = std.mem.Allocator.noResize,
            .remap = std.mem.Allocator.noRemap,
            .free = free,
        } };
    }

    fn alloc(context: *anyopaque, len: usize, alignment: std.mem.Alignment, at: usize) ?[*]u8 {
        const scarce: *Scarce = @ptrCast(@alignCast(context));
        if (scarce.hook) |hook| hook(scarce.context);
        const fails = scarce.left == 0 and (scarce.forever or !scarce.fired);
        if (fails) {
            scarce.fired = true;
            return null;
        }
        scarce.left -|= 1;
        const memory = scarce.child.rawAlloc(len, alignment, at) orelse return null;
        scarce.live += 1;
        return memory;
    }

    fn free(context: *anyopaque, memory: []u8, alignment: std.mem.Alignment, at: usize) void {
        const scarce: *Scarce = @ptrCast(@alignCast(context));
        scarce.live -= 1;
        scarce.child.rawFree(memory, alignment, at);
    }
};
