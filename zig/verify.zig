//! Reads a whole file and says what is wrong with it: a snapshot of the newest state with every
//! row, the header and the slots, and the pages of the older durable roots. In steps, so that the
//! caller stays responsive; writers are never in its way nor it in theirs.

const std = @import("std");
const errors = @import("errors.zig");
const format = @import("format.zig");
const head_audit = @import("head_audit.zig");
const limits = @import("limits.zig");
const roots = @import("roots.zig");
const soundness = @import("soundness.zig");
const tree_walk = @import("tree_walk.zig");
const CollectionAudit = @import("collection_audit.zig").CollectionAudit;
const Database = @import("database.zig").Database;
const Findings = @import("damage.zig").Findings;
const Ledger = @import("ledger.zig").Ledger;
const OlderRootAudit = @import("older_root_audit.zig").OlderRootAudit;
const PageReader = @import("page_reader.zig").PageReader;
const Snapshot = @import("database.zig").Snapshot;

const Error = errors.Error;
const OutOfMemory = error{OutOfMemory};

pub const Verify = struct {
    gpa: std.mem.Allocator,
    snapshot: *Snapshot,
    header: format.Header,
    slots: roots.Slots = .{},
    ledger: Ledger,
    /// What only concerns states that were left behind.
    warnings: Findings,
    reader: PageReader,
    phase: enum { head, collections, older_roots, finished } = .head,
    catalogue: tree_walk.ArrayWalk,
    collection: ?*CollectionAudit = null,
    collection_count: u32 = 0,
    catalogue_is_whole: bool = true,
    /// The slot whose root is being verified, or is next.
    slot: u32 = 0,
    older: ?*OlderRootAudit = null,
    /// Pages of the newest state and of the older roots so far.
    seen: std.DynamicBitSetUnmanaged = .{},

    pub fn open(database: *Database) Error!*Verify {
        const gpa = database.gpa;
        const snapshot = try database.openSnapshot();
        errdefer snapshot.close();
        const stat = database.file.stat() catch |err|
            return database.diagnostics.failOs(err, "looking at the file");
        const root = &snapshot.view.root;
        const reader: PageReader = .{ .file = database.file, .file_pages = root.file_pages };
        const verify = gpa.create(Verify) catch return database.outOfMemory();
        errdefer gpa.destroy(verify);
        verify.* = .{
            .gpa = gpa,
            .snapshot = snapshot,
            .header = database.header,
            .ledger = Ledger.init(gpa, stat.length, root.file_pages) catch
                return database.outOfMemory(),
            .warnings = .{ .gpa = gpa },
            .reader = reader,
            .catalogue = .init(reader, root.catalogue, root.catalogue_len),
        };
        return verify;
    }

    pub fn close(verify: *Verify) void {
        if (verify.collection) |collection| collection.destroy();
        if (verify.older) |older| older.destroy();
        verify.seen.deinit(verify.gpa);
        verify.ledger.deinit();
        verify.warnings.deinit();
        verify.snapshot.close();
        verify.gpa.destroy(verify);
    }

    /// Reads about `bytes_max`; false when all was read.
    pub fn step(verify: *Verify, bytes_max: u32, done: *f64, total: *f64) Error!bool {
        var left: u64 = bytes_max;
        while (verify.phase != .finished) {
            const cost = verify.advance() catch return verify.snapshot.database.outOfMemory();
            if (cost >= left) break;
            left -= cost;
        }
        const length = verify.ledger.length;
        const is_over = verify.phase == .finished;
        done.* = @floatFromInt(if (is_over) length else @min(verify.ledger.walked, length));
        total.* = @floatFromInt(length);
        return !is_over;
    }

    /// What `verify()` resolves to, as JSON.
    pub fn result(verify: *const Verify, json: *std.json.Stringify) std.Io.Writer.Error!void {
        const findings = &verify.ledger.findings;
        try json.write(.{
            .ok = findings.count == 0,
            .errors = findings.list.items,
            .errorCount = findings.count,
            .warnings = verify.warnings.list.items,
            .warningCount = verify.warnings.count,
            .bytes = verify.ledger.bytes(),
        });
    }

    fn advance(verify: *Verify) OutOfMemory!u64 {
        switch (verify.phase) {
            .head => try verify.head(),
            .collections => return try verify.nextCollection(),
            .older_roots => try verify.nextOlderRoot(),
            .finished => {},
        }
        return format.page_bytes;
    }

    fn head(verify: *Verify) OutOfMemory!void {
        const ledger = &verify.ledger;
        const file = verify.reader.file;
        if (try head_audit.checkHeaders(file, &ledger.findings)) |header| verify.header = header;
        verify.slots = try head_audit.checkSlots(file, &ledger.findings);
        const root = &verify.snapshot.view.root;
        // Whoever makes the file smaller beside this publishes a newer root first.
        const newest = verify.slots.newest(verify.snapshot.database.boot_id);
        const least = if (newest) |choice| choice.root.file_pages else root.file_pages;
        const root_bytes = format.pageOffset(@min(root.file_pages, least));
        if (root_bytes > ledger.length) try ledger.findings.add(
            .length,
            ledger.length,
            "the file has {d} bytes, its newest root says at least {d}",
            .{ ledger.length, root_bytes },
        );
        const is_sound = root.catalogue_len <= limits.collections_max and
            root.collection_count <= root.catalogue_len and
            (!verify.isOwnVersion() or std.mem.allEqual(u8, &root.reserved_b, 0));
        if (!is_sound) try ledger.findings.add(
            .structure,
            verify.rootOffset(),
            "the newest root says something impossible",
            .{},
        );
        ledger.walked += format.pageOffset(format.first_free_page);
        verify.phase = .collections;
    }

    /// Where the newest root lies, or lay before others were committed.
    fn rootOffset(verify: *const Verify) u64 {
        for (verify.slots.roots, 0..) |maybe, slot| {
            const root = maybe orelse continue;
            const id = verify.snapshot.view.root.transaction_id;
            if (root.transaction_id == id) return roots.slotOffset(@intCast(slot));
        }
        return roots.slotOffset(0);
    }

    fn isOwnVersion(verify: *const Verify) bool {
        return verify.header.format_minor <= format.format_minor;
    }

    fn nextCollection(verify: *Verify) OutOfMemory!u64 {
        if (verify.collection) |collection| {
            if (try collection.step()) |cost| return cost;
            collection.destroy();
            verify.collection = null;
        }
        const found = try verify.catalogue.next() orelse {
            try verify.endCollections();
            return 0;
        };
        switch (found) {
            .page => |ref| if (!try verify.ledger.claimPage(ref.page)) verify.catalogue.skip(),
            .element => |element| try verify.openCollection(element.ref),
            .lost => |lost| {
                verify.catalogue_is_whole = false;
                try verify.ledger.findings.add(
                    lost.loss.kind(),
                    format.pageOffset(lost.ref.page),
                    "a page of the catalogue is lost: {s}",
                    .{lost.loss.sentence()},
                );
            },
            .beyond => |beyond| try verify.ledger.findings.add(
                .structure,
                format.pageOffset(beyond.parent.page),
                "the catalogue has elements beyond its length",
                .{},
            ),
        }
        return format.page_bytes;
    }

    fn openCollection(verify: *Verify, ref: format.PageRef) OutOfMemory!void {
        const findings = &verify.ledger.findings;
        const offset = format.pageOffset(ref.page);
        verify.collection_count += 1;
        var content: format.Page align(format.page_alignment) = undefined;
        if (try verify.reader.read(ref, &content)) |loss| {
            const why = loss.sentence();
            return findings.add(loss.kind(), offset, "a collection's page is lost: {s}", .{why});
        }
        if (!try verify.ledger.claimPage(ref.page)) return;
        const page: *const format.CollectionPage = @ptrCast(&content);
        const root = &verify.snapshot.view.root;
        const is_sound = soundness.isCollection(page) and
            page.header.transaction_id <= root.transaction_id and
            page.id < root.next_collection_id;
        if (!is_sound) {
            return findings.add(.structure, offset, "this cannot be a collection's page", .{});
        }
        const reserved_are_zero = std.mem.allEqual(u8, &page.reserved_a, 0) and
            std.mem.allEqual(u8, &page.reserved_b, 0) and
            std.mem.allEqual(u8, &page.header.reserved, 0);
        if (!reserved_are_zero and verify.isOwnVersion()) {
            try findings.add(.reserved, offset, "reserved bytes are not zero", .{});
        }
        verify.collection = try .create(verify.gpa, &verify.ledger, verify.reader, .{
            .hash_key = &verify.header.hash_key,
            .transaction_id = root.transaction_id,
            .reserved_are_zero = verify.isOwnVersion(),
        }, ref, page);
    }

    fn endCollections(verify: *Verify) OutOfMemory!void {
        const root = &verify.snapshot.view.root;
        if (verify.catalogue_is_whole and verify.collection_count != root.collection_count) {
            try verify.ledger.findings.add(
                .count,
                verify.rootOffset() + @offsetOf(format.Root, "collection_count"),
                "the newest root says that there are {d} collections, its catalogue has {d}",
                .{ root.collection_count, verify.collection_count },
            );
        }
        verify.seen = try verify.ledger.pages.clone(verify.gpa);
        verify.phase = .older_roots;
    }

    fn nextOlderRoot(verify: *Verify) OutOfMemory!void {
        if (verify.older) |older| {
            if (try older.step()) return;
            defer {
                older.destroy();
                verify.older = null;
                verify.slot += 1;
            }
            const is_still_there = try verify.slotIsUnchanged(verify.slot);
            if (is_still_there) try verify.warnings.takeAll(&older.findings);
            return;
        }
        if (verify.slot == format.durable_slot_count) {
            verify.phase = .finished;
            return;
        }
        if (verify.slots.roots[verify.slot]) |*root| {
            if (root.transaction_id < verify.snapshot.view.root.transaction_id) {
                verify.older = try .create(
                    verify.gpa,
                    verify.reader.file,
                    verify.ledger.length,
                    root,
                    &verify.seen,
                );
                return;
            }
        }
        verify.slot += 1;
    }

    fn slotIsUnchanged(verify: *const Verify, slot: u32) OutOfMemory!bool {
        const now = roots.Slots.read(verify.reader.file) catch |err| switch (err) {
            error.OutOfMemory => return error.OutOfMemory,
            else => return true,
        };
        const root = now.roots[slot] orelse return false;
        return std.mem.eql(u8, &root.checksum, &verify.slots.roots[slot].?.checksum);
    }
};
