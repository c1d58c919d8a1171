//! Copy-on-write: the pages and extents that one transaction adds, and those that it leaves.
//!
//! A committed page is never written again. Changing one means a copy under a new page number, made
//! once per transaction; the old number is remembered as left. Until the commit the copies live in
//! memory (the parents hold their numbers, the checksums are filled in bottom-up at the end), and
//! nothing that they replace is touched, so giving up is forgetting.
//!
//! The session's `FreeSpace` hands out the numbers. `rollback` gives them back; `commit` turns what
//! was left into pending space that is reused when no root and no reader needs it.

const std = @import("std");
const os = @import("os/os.zig");
const checksum = @import("checksum.zig");
const format = @import("format.zig");
const limits = @import("limits.zig");
const errors = @import("errors.zig");
const kernels = @import("kernels/kernels.zig");
const FreeSpace = @import("free_space.zig").FreeSpace;
const Run = @import("free_space.zig").Run;
const PageCache = @import("page_cache.zig").PageCache;

const Error = errors.Error;
const PageRef = format.PageRef;
const AlignedPage = *align(format.page_alignment) format.Page;
pub const LoadedPage = *align(format.page_alignment) const format.Page;

/// A page of the running transaction. Valid until the transaction ends or `writeOut`.
pub const DirtyPage = struct {
    bytes: format.Page align(format.page_alignment),
    number: u32,
    /// Of `bytes`, once `seal` was called after the last change.
    checksum: u64 = 0,
    /// Of an inner page: children whose checksum is not final yet.
    stale_children: std.StaticBitSet(format.fanout) = .initEmpty(),

    pub fn as(page: *DirtyPage, comptime T: type) *T {
        comptime std.debug.assert(@sizeOf(T) == format.page_bytes);
        return @ptrCast(&page.bytes);
    }

    pub fn header(page: *DirtyPage) *format.PageHeader {
        return @ptrCast(&page.bytes);
    }

    /// The page as its parent names it, after its last change.
    pub fn seal(page: *DirtyPage) PageRef {
        page.checksum = checksum.bytes(0, &page.bytes);
        return .{ .page = page.number, .checksum = page.checksum };
    }
};

pub const PageWriter = struct {
    gpa: std.mem.Allocator,
    file: os.File,
    cache: *PageCache,
    space: *FreeSpace,
    diagnostics: *errors.Diagnostics,
    /// Asked for free pages before the file grows.
    relief: ?Relief = null,
    /// Pages that the file really has, at least `space.file_pages` of them before anything is
    /// written.
    physical_pages: u32,
    transaction_id: u64 = 0,
    /// Pages that `space` counted when the transaction started.
    base_pages: u32 = 0,
    dirty: std.AutoHashMapUnmanaged(u32, *DirtyPage) = .empty,
    /// Pages of earlier transactions, to be used again: allocating costs more than the copy.
    spare: std.ArrayList(*DirtyPage) = .empty,
    /// Pages of the running transaction that `writeOut` has written. What a page says of the
    /// transaction that wrote it is no proof: the file may be hostile.
    written: std.AutoHashMapUnmanaged(u32, void) = .empty,
    taken: std.ArrayList(Run) = .empty,
    left: std.ArrayList(Left) = .empty,
    /// The last time that the file had to grow, there was no room for that.
    is_disk_full: bool = false,
    /// The file has at most so many.
    pages_max: u32 = std.math.maxInt(u32),
    /// Rows leave so many of these free: deleting takes pages of the index.
    reserved_pages: u64 = 0,
    /// Bytes written since the session's last checkpoint.
    written_bytes: u64 = 0,

    const Left = struct { run: Run, born: u64 };

    pub const Relief = struct {
        context: *anyopaque,
        run: *const fn (context: *anyopaque) Error!void,
    };

    /// What the transaction does after its pages were written.
    pub const Next = enum { goes_on, ends };

    pub fn deinit(writer: *PageWriter) void {
        writer.forgetDirty();
        for (writer.spare.items) |page| writer.gpa.destroy(page);
        writer.spare.deinit(writer.gpa);
        writer.dirty.deinit(writer.gpa);
        writer.written.deinit(writer.gpa);
        writer.taken.deinit(writer.gpa);
        writer.left.deinit(writer.gpa);
        writer.* = undefined;
    }

    pub fn begin(writer: *PageWriter, transaction_id: u64) void {
        std.debug.assert(writer.dirty.count() == 0 and writer.taken.items.len == 0);
        writer.transaction_id = transaction_id;
        writer.base_pages = writer.space.file_pages;
    }

    /// What the transaction took is free again; nothing that it left was touched.
    pub fn rollback(writer: *PageWriter) void {
        writer.forgetDirty();
        for (writer.taken.items) |run| writer.space.release(run);
        // Else the next root would name a file as long as what was rolled back.
        writer.space.shrink(writer.base_pages);
        writer.written.clearRetainingCapacity();
        writer.taken.clearRetainingCapacity();
        writer.left.clearRetainingCapacity();
    }

    /// After the root is published: what the transaction left waits for its last reader.
    pub fn commit(writer: *PageWriter) void {
        std.debug.assert(writer.dirty.count() == 0);
        for (writer.left.items) |left| {
            if (left.run.count == 1) writer.cache.forget(left.run.page);
            // Out of memory here only loses the space until the next session counts it again.
            writer.space.addPending(
                .{ .run = left.run, .born = left.born, .freed = writer.transaction_id },
            ) catch {};
        }
        writer.written.clearRetainingCapacity();
        writer.taken.clearRetainingCapacity();
        writer.left.clearRetainingCapacity();
    }

    /// The page as the transaction sees it, valid until the next call of any method.
    pub fn load(writer: *PageWriter, ref: PageRef) Error!LoadedPage {
        if (writer.dirty.get(ref.page)) |page| return &page.bytes;
        return writer.cache.get(ref, writer.space.file_pages);
    }

    pub fn isDirty(writer: *const PageWriter, page: u32) bool {
        return writer.dirty.contains(page);
    }

    /// A new zeroed page with its header set.
    pub fn create(writer: *PageWriter, page_type: format.PageType, depth: u16) Error!*DirtyPage {
        const number = try writer.takePages(1);
        const page = try writer.addDirty(number);
        kernels.active().zero(&page.bytes, format.page_bytes);
        page.header().* = .{
            .type = page_type,
            .depth = depth,
            .count = 0,
            .transaction_id = writer.transaction_id,
        };
        return page;
    }

    /// The page, writable: itself where this transaction made it, else a copy under a new number.
    /// The caller stores the number in the parent.
    pub fn edit(writer: *PageWriter, ref: PageRef) Error!*DirtyPage {
        if (writer.dirty.get(ref.page)) |page| return page;
        const committed = try writer.cache.get(ref, writer.space.file_pages);
        const born = @as(*const format.PageHeader, @ptrCast(committed)).transaction_id;
        const is_own = writer.written.contains(ref.page);
        const copy = try writer.allocate();
        kernels.active().copy(&copy.bytes, committed, format.page_bytes);
        errdefer writer.recycle(copy);
        copy.number = if (is_own) ref.page else try writer.takePages(1);
        copy.header().transaction_id = writer.transaction_id;
        if (!is_own) try writer.leave(.{ .page = ref.page, .count = 1 }, born);
        writer.dirty.put(writer.gpa, copy.number, copy) catch return writer.outOfMemory();
        return copy;
    }

    /// The transaction's state no longer uses the page. `born` is the transaction that wrote it, 0
    /// where that is not known.
    pub fn discard(writer: *PageWriter, ref: PageRef, born: u64) Error!void {
        if (writer.dirty.fetchRemove(ref.page)) |entry| writer.recycle(entry.value);
        try writer.leave(.{ .page = ref.page, .count = 1 }, born);
    }

    /// Pages, unwritten.
    pub fn takePages(writer: *PageWriter, count: u32) Error!u32 {
        var found = writer.space.take(count);
        if (found == null) if (writer.relief) |relief| {
            try relief.run(relief.context);
            found = writer.space.take(count);
        };
        const file_pages = writer.space.file_pages;
        const page = found orelse grown: {
            const grown = writer.space.growBy(count) catch return writer.outOfMemory();
            break :grown grown orelse return writer.diagnostics.fail(
                error.NoSpace,
                "the file has reached its largest " ++
                    "size of 16 TiB; start another file",
                .{},
            );
        };
        writer.taken.append(writer.gpa, .{ .page = page, .count = count }) catch {
            writer.space.release(.{ .page = page, .count = count });
            return writer.outOfMemory();
        };
        writer.ensurePhysical(writer.pages_max) catch |err| {
            if (err == error.NoSpace) writer.is_disk_full = true;
            // The pages are not there; the transaction may go on without them.
            _ = writer.taken.pop();
            writer.space.release(.{ .page = page, .count = count });
            writer.space.shrink(file_pages);
            return err;
        };
        return page;
    }

    /// Of a file with a maximum: how long an extent for rows may be that leaves the reserve.
    fn roomForRows(writer: *PageWriter, most: u32) u32 {
        const space = writer.space;
        const growth = writer.pages_max -| space.file_pages;
        const room = space.free_count + growth -| writer.reserved_pages;
        const at_end = space.file_pages - space.usedEnd();
        const longest = @max(space.longestRun(most, .counts), at_end +| growth);
        return @intCast(@min(most, longest, room));
    }

    /// How many pages an extent may have, at most `most`, for which the file need not grow.
    pub fn longestRun(writer: *PageWriter, most: u32, at_end: FreeSpace.AtEnd) Error!u32 {
        const longest = writer.space.longestRun(most, at_end);
        const relief = writer.relief orelse return longest;
        if (longest == most) return longest;
        try relief.run(relief.context);
        return writer.space.longestRun(most, at_end);
    }

    /// As many pages as are good, or on a full disk as few as do.
    pub fn takeRun(writer: *PageWriter, least: u32, most: u32) Error!Run {
        var wanted = most;
        if (writer.pages_max != std.math.maxInt(u32)) {
            wanted = writer.roomForRows(most);
            if (wanted < most) if (writer.relief) |relief| {
                try relief.run(relief.context);
                wanted = writer.roomForRows(most);
            };
            if (wanted < least) {
                writer.is_disk_full = true;
                return writer.diagnostics.fail(
                    error.NoSpace,
                    "the file may have {d} bytes, which have no room for more rows; allow more " ++
                        "of them, or delete rows",
                    .{format.pageOffset(writer.pages_max)},
                );
            }
        }
        const page = writer.takePages(wanted) catch |err| {
            const is_full = err == error.NoSpace and writer.is_disk_full;
            if (!is_full or least == wanted) return err;
            return .{ .page = try writer.takePages(least), .count = least };
        };
        return .{ .page = page, .count = wanted };
    }

    pub fn leave(writer: *PageWriter, run: Run, born: u64) Error!void {
        if (born == writer.transaction_id) return writer.giveBack(run);
        if (born > writer.transaction_id) return writer.diagnostics.fail(
            error.Corrupt,
            "the page at offset {d} says that it was written by transaction {d}, which is " ++
                "still to come; the file is damaged, restore a backup or salvage() it",
            .{ format.pageOffset(run.page), born },
        );
        writer.left.append(
            writer.gpa,
            .{ .run = run, .born = born },
        ) catch return writer.outOfMemory();
    }

    /// Leaves every page of `used`; what this transaction took itself is free again at once.
    pub fn leaveAll(writer: *PageWriter, used: *std.DynamicBitSetUnmanaged) Error!void {
        var kept: usize = 0;
        for (writer.taken.items) |run| {
            if (run.page < used.bit_length and used.isSet(run.page)) {
                if (writer.dirty.fetchRemove(run.page)) |entry| writer.recycle(entry.value);
                used.setRangeValue(.{ .start = run.page, .end = run.page + run.count }, false);
                writer.space.release(run);
            } else {
                writer.taken.items[kept] = run;
                kept += 1;
            }
        }
        writer.taken.shrinkRetainingCapacity(kept);
        var pages = used.iterator(.{});
        var run: Run = .{ .page = 0, .count = 0 };
        while (pages.next()) |index| {
            const page: u32 = @intCast(index);
            if (page == run.page + run.count) {
                run.count += 1;
                continue;
            }
            if (run.count > 0) try writer.leave(run, 0);
            run = .{ .page = page, .count = 1 };
        }
        if (run.count > 0) try writer.leave(run, 0);
    }

    /// Writes every dirty page; their checksums in the parents are final. The pages stay readable
    /// through the cache, and `edit` takes them up again under the same number.
    pub fn writeOut(writer: *PageWriter, next: Next) Error!void {
        const gpa = writer.gpa;
        // Somebody may have cut the file since its pages were counted.
        try writer.ensurePhysical(writer.pages_max);
        const pages = gpa.alloc(*DirtyPage, writer.dirty.count()) catch return writer.outOfMemory();
        defer gpa.free(pages);
        if (next == .goes_on) writer.written.ensureUnusedCapacity(gpa, writer.dirty.count()) catch
            return writer.outOfMemory();
        var iterator = writer.dirty.valueIterator();
        var len: usize = 0;
        while (iterator.next()) |page| : (len += 1) pages[len] = page.*;
        // Without a buffer of its own: most transactions write a handful of pages.
        std.sort.heap(*DirtyPage, pages, {}, numberLessThan);
        var first: usize = 0;
        while (first < pages.len) first += try writer.writeRun(pages[first..]);
        for (pages) |page| {
            writer.cache.put(.{ .page = page.number, .checksum = page.checksum }, &page.bytes);
            if (next == .goes_on) writer.written.putAssumeCapacity(page.number, {});
        }
        writer.forgetDirty();
    }

    /// Writes row data into an extent that this transaction may write.
    pub fn writeBytes(writer: *PageWriter, offset: u64, parts: []const []const u8) Error!void {
        writer.file.write(offset, parts) catch |err|
            return writer.diagnostics.failOs(err, "writing rows");
        for (parts) |part| writer.written_bytes += part.len;
    }

    const run_pages_max = 64;

    fn writeRun(writer: *PageWriter, pages: []const *DirtyPage) Error!usize {
        var parts: [run_pages_max][]const u8 = undefined;
        var count: usize = 0;
        while (count < pages.len and count < run_pages_max) : (count += 1) {
            if (pages[count].number != pages[0].number + count) break;
            parts[count] = &pages[count].bytes;
        }
        writer.file.write(format.pageOffset(pages[0].number), parts[0..count]) catch |err|
            return writer.diagnostics.failOs(err, "writing index pages");
        writer.written_bytes += count * format.page_bytes;
        return count;
    }

    fn numberLessThan(_: void, a: *DirtyPage, b: *DirtyPage) bool {
        return a.number < b.number;
    }

    fn addDirty(writer: *PageWriter, number: u32) Error!*DirtyPage {
        const page = try writer.allocate();
        errdefer writer.recycle(page);
        page.number = number;
        writer.dirty.put(writer.gpa, number, page) catch return writer.outOfMemory();
        return page;
    }

    fn allocate(writer: *PageWriter) Error!*DirtyPage {
        const page = writer.spare.pop() orelse
            writer.gpa.create(DirtyPage) catch return writer.outOfMemory();
        page.stale_children = .initEmpty();
        return page;
    }

    fn recycle(writer: *PageWriter, page: *DirtyPage) void {
        if (writer.spare.items.len < spare_max) {
            if (writer.spare.append(writer.gpa, page)) |_| return else |_| {}
        }
        writer.gpa.destroy(page);
    }
    const spare_max = 64;

    fn giveBack(writer: *PageWriter, run: Run) void {
        for (writer.taken.items, 0..) |taken, i| {
            if (taken.page == run.page and taken.count == run.count) {
                _ = writer.taken.swapRemove(i);
                writer.space.release(run);
                return;
            }
        }
    }

    /// The file grows in steps, with real space behind it where the file system can promise it, so
    /// that a full disk is met here and not in the middle of a commit.
    fn ensurePhysical(writer: *PageWriter, pages_max: u32) Error!void {
        const needed = writer.space.file_pages;
        if (needed <= writer.physical_pages) return;
        if (needed > pages_max) return writer.diagnostics.fail(
            error.NoSpace,
            "the file may have {d} bytes and needs {d} more; allow more of them, or delete rows",
            .{
                format.pageOffset(pages_max),
                format.pageOffset(needed - pages_max),
            },
        );
        const step = std.math.clamp(writer.physical_pages / 64, step_pages_min, step_pages_max);
        const target: u32 = @min(@max(needed, writer.physical_pages +| step), writer.pages_max);
        writer.file.extend(format.pageOffset(target)) catch |err| {
            if (err != error.NoSpace or target == needed) {
                return writer.diagnostics.failOs(err, "growing the file");
            }
            writer.file.extend(format.pageOffset(needed)) catch |again|
                return writer.diagnostics.failOs(again, "growing the file");
            writer.physical_pages = needed;
            writer.is_disk_full = false;
            return;
        };
        writer.physical_pages = target;
        writer.is_disk_full = false;
    }

    const step_pages_min = 64 * 1024 / format.page_bytes;
    const step_pages_max = 64 * 1024 * 1024 / format.page_bytes;

    fn forgetDirty(writer: *PageWriter) void {
        var iterator = writer.dirty.valueIterator();
        while (iterator.next()) |page| writer.recycle(page.*);
        writer.dirty.clearRetainingCapacity();
    }

    pub fn outOfMemory(writer: *PageWriter) Error {
        return writer.diagnostics.failOs(error.OutOfMemory, "changing the index");
    }
};
