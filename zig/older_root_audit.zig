//! An older root, verified: whether everything that it leads to is still there. Pages only: its
//! rows are those of newer roots, but for the ones that were deleted since.
//!
//! Nothing keeps its pages but its slot, and a writer may take that slot and then the pages while
//! they are being read. So what is found counts only if the slot still holds the root afterwards.

const std = @import("std");
const os = @import("os/os.zig");
const format = @import("format.zig");
const page_reader = @import("page_reader.zig");
const soundness = @import("soundness.zig");
const tree_walk = @import("tree_walk.zig");
const Findings = @import("damage.zig").Findings;

const OutOfMemory = error{OutOfMemory};
const PageRef = format.PageRef;

pub const OlderRootAudit = struct {
    gpa: std.mem.Allocator,
    reader: page_reader.PageReader,
    findings: Findings,
    transaction_id: u64,
    /// Pages that this root or another that was verified leads to: what is below them is known.
    seen: *std.DynamicBitSetUnmanaged,
    catalogue: tree_walk.ArrayWalk,
    segments: ?tree_walk.ArrayWalk = null,
    index: ?tree_walk.IndexWalk = null,
    dimension: u32 = 0,

    /// `length` is that of the file: what the root promises beyond it is not there.
    pub fn create(
        gpa: std.mem.Allocator,
        file: os.File,
        length: u64,
        root: *const format.Root,
        seen: *std.DynamicBitSetUnmanaged,
    ) OutOfMemory!*OlderRootAudit {
        const file_pages: u32 = @intCast(@min(root.file_pages, length / format.page_bytes));
        if (file_pages > seen.bit_length) try seen.resize(gpa, file_pages, false);
        const reader: page_reader.PageReader = .{ .file = file, .file_pages = file_pages };
        const audit = try gpa.create(OlderRootAudit);
        audit.* = .{
            .gpa = gpa,
            .reader = reader,
            .findings = .{ .gpa = gpa },
            .transaction_id = root.transaction_id,
            .seen = seen,
            .catalogue = .init(reader, root.catalogue, root.catalogue_len),
        };
        return audit;
    }

    pub fn destroy(audit: *OlderRootAudit) void {
        audit.findings.deinit();
        audit.gpa.destroy(audit);
    }

    /// Reads about one page; false when all was read.
    pub fn step(audit: *OlderRootAudit) OutOfMemory!bool {
        if (audit.index) |*walk| {
            if (try walk.next()) |found| try audit.indexPage(walk, found) else audit.index = null;
        } else if (audit.segments) |*walk| {
            if (try walk.next()) |found| {
                try audit.arrayPage(walk, found, .segment);
            } else audit.segments = null;
        } else {
            const found = try audit.catalogue.next() orelse return false;
            try audit.arrayPage(&audit.catalogue, found, .collection);
        }
        return true;
    }

    /// True where the page is new, so that what is below it must be looked at.
    fn isNew(audit: *OlderRootAudit, page: u32) bool {
        if (audit.seen.isSet(page)) return false;
        audit.seen.set(page);
        return true;
    }

    fn lose(audit: *OlderRootAudit, ref: PageRef, loss: page_reader.Loss) OutOfMemory!void {
        try audit.findings.add(
            loss.kind(),
            format.pageOffset(ref.page),
            "the older root of transaction {d} has lost a page: {s}",
            .{ audit.transaction_id, loss.sentence() },
        );
    }

    fn indexPage(
        audit: *OlderRootAudit,
        walk: *tree_walk.IndexWalk,
        found: tree_walk.IndexWalk.Step,
    ) OutOfMemory!void {
        switch (found) {
            .inner => |ref| if (!audit.isNew(ref.page)) walk.skip(),
            .bucket => |bucket| _ = audit.isNew(bucket.ref.page),
            .lost => |lost| try audit.lose(lost.ref, lost.loss),
            .misshapen => |misshapen| try audit.lose(misshapen.parent, .misplaced),
        }
    }

    fn arrayPage(
        audit: *OlderRootAudit,
        walk: *tree_walk.ArrayWalk,
        found: tree_walk.ArrayWalk.Step,
        leaf: enum { collection, segment },
    ) OutOfMemory!void {
        switch (found) {
            .page => |ref| if (!audit.isNew(ref.page)) walk.skip(),
            .lost => |lost| try audit.lose(lost.ref, lost.loss),
            .beyond => |beyond| try audit.lose(beyond.parent, .misplaced),
            .element => |element| switch (leaf) {
                .collection => try audit.collection(element.ref),
                .segment => try audit.segmentPage(element.ref),
            },
        }
    }

    fn collection(audit: *OlderRootAudit, ref: PageRef) OutOfMemory!void {
        var content: format.Page align(format.page_alignment) = undefined;
        if (try audit.reader.read(ref, &content)) |loss| return audit.lose(ref, loss);
        if (!audit.isNew(ref.page)) return;
        const page: *const format.CollectionPage = @ptrCast(&content);
        if (!soundness.isCollection(page)) return audit.lose(ref, .misplaced);
        audit.dimension = page.dimension;
        audit.segments = .init(audit.reader, page.segments, page.segment_array_len);
        audit.index = .init(audit.reader, page.index);
        if (page.has_growing == 1) try audit.segment(ref, &page.growing);
    }

    fn segmentPage(audit: *OlderRootAudit, ref: PageRef) OutOfMemory!void {
        var content: format.Page align(format.page_alignment) = undefined;
        if (try audit.reader.read(ref, &content)) |loss| return audit.lose(ref, loss);
        if (!audit.isNew(ref.page)) return;
        const page: *const format.SegmentPage = @ptrCast(&content);
        if (page.header.type != .segment) return audit.lose(ref, .misplaced);
        try audit.segment(ref, &page.segment);
    }

    fn segment(audit: *OlderRootAudit, ref: PageRef, disk: *const format.Segment) OutOfMemory!void {
        if (!soundness.isSegment(disk, audit.dimension, audit.reader.file_pages)) {
            return audit.lose(ref, .misplaced);
        }
        for (disk.tombstones) |marks| {
            if (marks.isNone()) continue;
            var content: format.Page align(format.page_alignment) = undefined;
            if (try audit.reader.read(marks, &content)) |loss| try audit.lose(marks, loss);
        }
        const count = format.amendmentPages(disk.capacity);
        var walk: tree_walk.ArrayWalk = .init(audit.reader, disk.amendments, count);
        while (try walk.next()) |found| switch (found) {
            .page => |inner| if (!audit.isNew(inner.page)) walk.skip(),
            .element => |element| {
                var content: format.Page align(format.page_alignment) = undefined;
                const loss = try audit.reader.read(element.ref, &content);
                if (loss) |why| try audit.lose(element.ref, why);
            },
            .lost => |lost| try audit.lose(lost.ref, lost.loss),
            .beyond => |beyond| try audit.lose(beyond.parent, .misplaced),
        };
    }
};
