//! Index pages as the file has them now, for tools that look for damage: never from a cache, and
//! damage is an answer here, not an error.

const std = @import("std");
const os = @import("os/os.zig");
const checksum = @import("checksum.zig");
const damage = @import("damage.zig");
const format = @import("format.zig");

pub const Loss = enum {
    /// The reference names no page of the file.
    outside,
    /// The file ends before the page does.
    cut,
    /// The device does not give it.
    unreadable,
    /// It is not what its parent says.
    mismatch,
    /// It is sound, and not of the kind that its parent says.
    misplaced,

    pub fn kind(loss: Loss) damage.Kind {
        return switch (loss) {
            .outside, .misplaced => .structure,
            .cut, .unreadable => .unreadable,
            .mismatch => .page,
        };
    }

    pub fn sentence(loss: Loss) []const u8 {
        return switch (loss) {
            .outside => "the reference names a page outside of the file",
            .cut => "the file ends before the page does",
            .unreadable => "the device does not give the page",
            .mismatch => "the page's checksum is not what its parent says",
            .misplaced => "the page is not of the kind or level that its parent says",
        };
    }
};

pub const AlignedPage = *align(format.page_alignment) format.Page;

pub const PageReader = struct {
    file: os.File,
    /// Pages that the root being read has.
    file_pages: u32,

    /// A page that another process is writing may become visible in parts on some kernels.
    const attempts_max = 3;

    /// Null where `out` now has the page.
    pub fn read(
        reader: PageReader,
        ref: format.PageRef,
        out: AlignedPage,
    ) error{OutOfMemory}!?Loss {
        if (ref.page < format.first_free_page or ref.page >= reader.file_pages) return .outside;
        for (0..attempts_max) |_| {
            const offset = format.pageOffset(ref.page);
            const len = reader.file.read(offset, out) catch |err| return switch (err) {
                error.OutOfMemory => error.OutOfMemory,
                else => .unreadable,
            };
            if (len != out.len) return .cut;
            if (checksum.bytes(0, out) == ref.checksum) return null;
        }
        return .mismatch;
    }
};
