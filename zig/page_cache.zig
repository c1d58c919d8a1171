//! Private, verified copies of index pages.
//!
//! A page is copied once, checked against the checksum that its parent holds, and then trusted, so
//! that the hot path neither checks again nor depends on what another process does to the file. An
//! entry is found by page and checksum: a page index that was reused holds other content and
//! another checksum, so a stale copy is never returned.

const std = @import("std");
const os = @import("os/os.zig");
const checksum = @import("checksum.zig");
const format = @import("format.zig");
const kernels = @import("kernels/kernels.zig");
const limits = @import("limits.zig");
const Diagnostics = @import("errors.zig").Diagnostics;
const Error = @import("errors.zig").Error;

pub const PageCache = struct {
    gpa: std.mem.Allocator,
    file: os.File,
    diagnostics: *Diagnostics,
    sets: [set_count][ways]Slot = @splat(@splat(.{})),
    allocated: u32 = 0,
    /// Buffers of pages that a commit left, for those that the next one writes: a fresh buffer
    /// costs more than filling it, because the system has to find and clear the memory.
    spare: [spare_max]*align(format.page_alignment) Buffer = undefined,
    spare_count: u32 = 0,

    const spare_max = 16;
    const ways = 4;
    const set_count = limits.cached_pages_max / ways;
    /// A write by another process can become visible page by page on some kernels; a mismatch is
    /// read again before it is called corruption.
    const attempts_max = 3;

    const Buffer = [format.page_bytes]u8;
    const Slot = struct {
        ref: format.PageRef = .none,
        buffer: ?*align(format.page_alignment) Buffer = null,
        used: bool = false,
    };

    pub fn deinit(cache: *PageCache) void {
        for (&cache.sets) |*set| for (set) |slot| {
            if (slot.buffer) |buffer| cache.free(buffer);
        };
        for (cache.spare[0..cache.spare_count]) |buffer| cache.free(buffer);
        cache.* = undefined;
    }

    pub fn bytes(cache: *const PageCache) u64 {
        return @as(u64, cache.allocated) * format.page_bytes;
    }

    /// The page that `ref` names, valid until the next call. `Corrupt` where its content is not
    /// what the parent says, whatever the reason.
    pub fn get(
        cache: *PageCache,
        ref: format.PageRef,
        file_pages: u32,
    ) Error!*align(format.page_alignment) const Buffer {
        const set = &cache.sets[ref.page % set_count];
        for (set) |*slot| {
            const buffer = slot.buffer orelse continue;
            if (!slot.ref.eql(ref)) continue;
            slot.used = true;
            return buffer;
        }
        if (ref.page < format.first_free_page or ref.page >= file_pages) {
            return cache.diagnostics.fail(
                error.Corrupt,
                "a page reference names page {d}, the file has pages " ++
                    "{d} to {d}; the file is damaged, restore a backup or salvage() it",
                .{
                    ref.page,
                    format.first_free_page,
                    file_pages,
                },
            );
        }
        const slot = cache.victim(set);
        const buffer = slot.buffer orelse cache.allocate() catch
            return cache.diagnostics.failOs(error.OutOfMemory, "reading an index page");
        slot.buffer = buffer;
        slot.ref = .none;
        try cache.readVerified(ref, buffer);
        slot.ref = ref;
        slot.used = true;
        return buffer;
    }

    /// Keeps a copy of a page that was just written, which saves reading it back.
    pub fn put(cache: *PageCache, ref: format.PageRef, content: *const Buffer) void {
        const set = &cache.sets[ref.page % set_count];
        const slot = for (set) |*slot| {
            if (slot.ref.page == ref.page) break slot;
        } else cache.victim(set);
        if (slot.buffer == null) slot.buffer = cache.allocate() catch return;
        kernels.active().copy(slot.buffer.?, content, format.page_bytes);
        slot.ref = ref;
        slot.used = true;
    }

    /// The newest state no longer has the page. Whoever reads an older one reads it again.
    pub fn forget(cache: *PageCache, page: u32) void {
        for (&cache.sets[page % set_count]) |*slot| {
            if (slot.ref.page != page) continue;
            slot.ref = .none;
            slot.used = false;
            if (cache.spare_count == spare_max) return;
            cache.spare[cache.spare_count] = slot.buffer orelse return;
            cache.spare_count += 1;
            slot.buffer = null;
            return;
        }
    }

    fn allocate(cache: *PageCache) error{OutOfMemory}!*align(format.page_alignment) Buffer {
        if (cache.spare_count > 0) {
            cache.spare_count -= 1;
            return cache.spare[cache.spare_count];
        }
        const alignment = comptime std.mem.Alignment.fromByteUnits(format.page_alignment);
        const memory = try cache.gpa.alignedAlloc(u8, alignment, format.page_bytes);
        cache.allocated += 1;
        return memory[0..format.page_bytes];
    }

    fn free(cache: *PageCache, buffer: *align(format.page_alignment) Buffer) void {
        cache.gpa.free(@as([]align(format.page_alignment) u8, buffer));
    }

    fn readVerified(cache: *PageCache, ref: format.PageRef, buffer: *Buffer) Error!void {
        const offset = format.pageOffset(ref.page);
        var found: u64 = 0;
        for (0..attempts_max) |_| {
            const len = cache.file.read(offset, buffer) catch |err|
                return cache.diagnostics.failOs(err, "reading an index page");
            if (len != buffer.len) return cache.diagnostics.fail(
                error.Corrupt,
                "the file ends inside page {d} " ++
                    "(offset {d}); it was truncated, restore a backup or salvage() it",
                .{ ref.page, offset },
            );
            found = checksum.bytes(0, buffer);
            if (found == ref.checksum) return;
        }
        return cache.diagnostics.fail(
            error.Corrupt,
            "the page at offset {d} has checksum {x}, its parent says {x}; " ++
                "the file is damaged, restore a backup or salvage() it",
            .{ offset, found, ref.checksum },
        );
    }

    /// Second chance within the set.
    fn victim(_: *PageCache, set: *[ways]Slot) *Slot {
        for (set) |*slot| if (slot.buffer == null) return slot;
        for (set) |*slot| {
            if (!slot.used) return slot;
            slot.used = false;
        }
        return &set[0];
    }
};
