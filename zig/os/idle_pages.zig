//! Memory that nobody reads any more but that may soon be written again.

const std = @import("std");
const builtin = @import("builtin");

/// The system may take the pages, contents and all, when it runs short of memory; until then
/// writing to them costs nothing. `memory` begins and ends with a page.
pub fn offer(memory: []align(std.heap.page_size_min) u8) void {
    switch (builtin.os.tag) {
        .linux => _ = std.os.linux.madvise(memory.ptr, memory.len, std.os.linux.MADV.FREE),
        .macos => _ = std.c.madvise(memory.ptr, memory.len, std.c.MADV.FREE),
        // Pages that are not used go to the page file.
        else => {},
    }
}
