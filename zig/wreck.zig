//! A damaged file while it is salvaged: its bytes, and everything that was found in them so far.

const std = @import("std");
const os = @import("os/os.zig");
const finds = @import("salvage_finds.zig");
const format = @import("format.zig");
const hash = @import("hash.zig");
const head_audit = @import("head_audit.zig");
const roots = @import("roots.zig");
const Findings = @import("damage.zig").Findings;
const PageReader = @import("page_reader.zig").PageReader;

const OutOfMemory = error{OutOfMemory};

pub const Wreck = struct {
    gpa: std.mem.Allocator,
    file: os.File,
    length: u64,
    reader: PageReader,
    header: ?format.Header = null,
    slots: roots.Slots = .{},
    boot_id: ?[16]u8,
    /// The newest root is the newest that there was: no slot is damaged or missing.
    is_exact: bool = false,
    /// Of the newest root; the highest number where there is none.
    transaction_id: u64 = std.math.maxInt(u64),
    collections: std.AutoArrayHashMapUnmanaged(u32, *finds.Collection) = .empty,
    /// Positions in the newest root's catalogue that cannot be read.
    lost_catalogue: finds.Ranges = .{},

    pub fn init(
        gpa: std.mem.Allocator,
        file: os.File,
        length: u64,
        boot_id: ?[16]u8,
    ) Wreck {
        const page_count = @min(length / format.page_bytes, std.math.maxInt(u32));
        return .{
            .gpa = gpa,
            .file = file,
            .length = length,
            .boot_id = boot_id,
            .reader = .{ .file = file, .file_pages = @intCast(page_count) },
        };
    }

    pub fn deinit(wreck: *Wreck) void {
        for (wreck.collections.values()) |collection| {
            collection.deinit(wreck.gpa);
            wreck.gpa.destroy(collection);
        }
        wreck.collections.deinit(wreck.gpa);
        wreck.lost_catalogue.list.deinit(wreck.gpa);
        wreck.* = undefined;
    }

    pub fn readHead(wreck: *Wreck) OutOfMemory!void {
        var findings: Findings = .{ .gpa = wreck.gpa };
        defer findings.deinit();
        wreck.header = try head_audit.checkHeaders(wreck.file, &findings);
        const before = findings.count;
        wreck.slots = try head_audit.checkSlots(wreck.file, &findings);
        const newest = wreck.slots.newest(wreck.boot_id) orelse return;
        wreck.is_exact = findings.count == before;
        wreck.transaction_id = newest.root.transaction_id;
    }

    pub fn hashKey(wreck: *const Wreck) ?*const hash.Key {
        return if (wreck.header) |*header| &header.hash_key else null;
    }

    pub fn addCollection(
        wreck: *Wreck,
        page: *const format.CollectionPage,
        catalogue_index: ?u32,
        is_exact: bool,
    ) OutOfMemory!*finds.Collection {
        const collection = try wreck.gpa.create(finds.Collection);
        errdefer wreck.gpa.destroy(collection);
        collection.* = .{
            .page = page.*,
            .transaction_id = if (is_exact) wreck.transaction_id else page.header.transaction_id,
            .is_exact = is_exact,
            .catalogue_index = catalogue_index,
        };
        try wreck.collections.putNoClobber(wreck.gpa, page.id, collection);
        return collection;
    }

    /// By id, which is the order in which they were made.
    pub fn sortCollections(wreck: *Wreck) void {
        const ByKey = struct {
            keys: []const u32,

            pub fn lessThan(by: @This(), a: usize, b: usize) bool {
                return by.keys[a] < by.keys[b];
            }
        };
        wreck.collections.sort(ByKey{ .keys = wreck.collections.keys() });
    }

    /// Everything is where the newest root says; nothing needs to be searched for.
    pub fn isWhole(wreck: *const Wreck) bool {
        if (!wreck.is_exact or !wreck.lost_catalogue.isEmpty()) return false;
        for (wreck.collections.values()) |collection| {
            if (!collection.is_exact or !collection.lost_segments.isEmpty()) return false;
        }
        return true;
    }

    /// A collection that no tree leads to may have been dropped, which the newest root would tell.
    pub fn mayHaveLost(wreck: *const Wreck) bool {
        return !wreck.is_exact or !wreck.lost_catalogue.isEmpty();
    }
};
