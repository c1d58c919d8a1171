//! The account of a file's bytes while it is verified: which pages something leads to, how many
//! bytes of them mean something, and what was found wrong.
//!
//! Every byte is of one class. *Used*: reading the newest state depends on it, and a checksum
//! covers it. *Free*: it lies in a page that the newest state does not lead to. *Slack*: all the
//! rest, which lies in pages that are led to and means nothing (docs/file-format.md).

const std = @import("std");
const format = @import("format.zig");
const Findings = @import("damage.zig").Findings;

pub const Bytes = struct { used: u64, free: u64, slack: u64 };

pub const Ledger = struct {
    gpa: std.mem.Allocator,
    findings: Findings,
    /// Of the file when it was begun.
    length: u64,
    /// Pages that something leads to.
    pages: std.DynamicBitSetUnmanaged,
    used: u64 = @as(u64, format.first_free_page) * format.slot_bytes,
    /// How far the walk has come, in bytes of the file.
    walked: u64 = 0,

    pub fn init(gpa: std.mem.Allocator, length: u64, file_pages: u32) error{OutOfMemory}!Ledger {
        return .{
            .gpa = gpa,
            .findings = .{ .gpa = gpa },
            .length = length,
            .pages = try .initEmpty(gpa, file_pages),
        };
    }

    pub fn deinit(ledger: *Ledger) void {
        ledger.findings.deinit();
        ledger.pages.deinit(ledger.gpa);
        ledger.* = undefined;
    }

    /// The pages, which lie in the file, belong to the caller; false where one of them belongs to
    /// somebody else, or is no place for content.
    pub fn claim(ledger: *Ledger, page: u32, count: u32) error{OutOfMemory}!bool {
        const end = @as(u64, page) + count;
        if (page < format.first_free_page or end > ledger.pages.bit_length) {
            try ledger.findings.add(
                .structure,
                format.pageOffset(page),
                "{d} pages from here are in use, which do not lie in the file",
                .{count},
            );
            return false;
        }
        for (page..@intCast(end)) |number| {
            if (!ledger.pages.isSet(number)) continue;
            const offset = format.pageOffset(@intCast(number));
            try ledger.findings.add(.shared, offset, "two owners use this page", .{});
            return false;
        }
        ledger.pages.setRangeValue(.{ .start = page, .end = @intCast(end) }, true);
        return true;
    }

    /// One index page, which means something as a whole.
    pub fn claimPage(ledger: *Ledger, page: u32) error{OutOfMemory}!bool {
        if (!try ledger.claim(page, 1)) return false;
        ledger.used += format.page_bytes;
        ledger.walked += format.page_bytes;
        return true;
    }

    /// Adds up to the length of the file, whatever was found.
    pub fn bytes(ledger: *const Ledger) Bytes {
        const head = format.pageOffset(format.first_free_page);
        const claimed = format.page_bytes * @as(u64, ledger.pages.count());
        const reached = @min(ledger.length, head + claimed);
        const used = @min(ledger.used, reached);
        return .{ .used = used, .free = ledger.length - reached, .slack = reached - used };
    }
};
