//! Reads one collection's page and all that it leads to into what is known of that collection.

const std = @import("std");
const finds = @import("salvage_finds.zig");
const format = @import("format.zig");
const soundness = @import("soundness.zig");
const tree_walk = @import("tree_walk.zig");
const PageReader = @import("page_reader.zig").PageReader;

const OutOfMemory = error{OutOfMemory};

pub const SalvageWalk = struct {
    gpa: std.mem.Allocator,
    reader: PageReader,
    collection: *finds.Collection,
    page: format.CollectionPage,
    /// Otherwise it only adds segments that the authority has lost.
    is_authority: bool,
    array: tree_walk.ArrayWalk,
    index: tree_walk.IndexWalk,
    phase: enum { segments, index, finished } = .segments,
    /// Pages that were entered: a tree that meets itself again would take forever.
    seen: std.DynamicBitSetUnmanaged,

    pub fn init(
        gpa: std.mem.Allocator,
        reader: PageReader,
        collection: *finds.Collection,
        page: *const format.CollectionPage,
        is_authority: bool,
    ) OutOfMemory!SalvageWalk {
        return .{
            .seen = try .initEmpty(gpa, reader.file_pages),
            .gpa = gpa,
            .reader = reader,
            .collection = collection,
            .page = page.*,
            .is_authority = is_authority,
            .array = .init(reader, page.segments, page.segment_array_len),
            .index = .init(reader, page.index),
        };
    }

    pub fn deinit(walk: *SalvageWalk) void {
        walk.seen.deinit(walk.gpa);
        walk.* = undefined;
    }

    fn isNew(walk: *SalvageWalk, page: u32) bool {
        if (walk.seen.isSet(page)) return false;
        walk.seen.set(page);
        return true;
    }

    /// Reads about one page; false when all was read.
    pub fn step(walk: *SalvageWalk) OutOfMemory!bool {
        switch (walk.phase) {
            .segments => {
                if (try walk.array.next()) |found| {
                    try walk.segmentPage(found);
                    return true;
                }
                const page = &walk.page;
                if (page.has_growing == 1) {
                    try walk.segment(&page.growing, page.growing.id, page.header.transaction_id);
                }
                walk.phase = if (walk.is_authority) .index else .finished;
            },
            .index => try walk.indexPage(try walk.index.next() orelse {
                walk.phase = .finished;
                return false;
            }),
            .finished => return false,
        }
        return walk.phase != .finished;
    }

    fn segmentPage(walk: *SalvageWalk, found: tree_walk.ArrayWalk.Step) OutOfMemory!void {
        switch (found) {
            .page => |ref| if (!walk.isNew(ref.page)) walk.array.skip(),
            .beyond => {},
            .lost => |lost| try walk.lose(lost.first, lost.end),
            .element => |element| {
                var content: format.Page align(format.page_alignment) = undefined;
                const loss = try walk.reader.read(element.ref, &content);
                const page: *const format.SegmentPage = @ptrCast(&content);
                if (loss != null or page.header.type != .segment) {
                    return walk.lose(element.index, element.index + 1);
                }
                try walk.segment(&page.segment, element.index, page.header.transaction_id);
            },
        }
    }

    fn lose(walk: *SalvageWalk, first: u64, end: u64) OutOfMemory!void {
        if (!walk.is_authority) return;
        try walk.collection.lost_segments.list.append(walk.gpa, .{ first, end });
    }

    fn segment(
        walk: *SalvageWalk,
        disk: *const format.Segment,
        id: u32,
        transaction_id: u64,
    ) OutOfMemory!void {
        const file_pages = walk.reader.file_pages;
        const is_sound = soundness.isSegment(disk, walk.page.dimension, file_pages);
        if (!is_sound or disk.id != id) return walk.lose(id, @as(u64, id) + 1);
        const is_known = walk.collection.has(disk);
        if (!walk.is_authority and !is_known and !walk.collection.mayHave(.of(disk, 0))) return;
        try walk.collection.addSegment(walk.gpa, walk.reader, .{
            .disk = disk.*,
            .transaction_id = transaction_id,
            .is_certain = walk.is_authority and walk.collection.is_exact,
        });
    }

    fn indexPage(walk: *SalvageWalk, found: tree_walk.IndexWalk.Step) OutOfMemory!void {
        const collection = walk.collection;
        switch (found) {
            .inner => |ref| if (!walk.isNew(ref.page)) walk.index.skip(),
            .lost => |lost| try collection.lost_hashes.append(walk.gpa, lost.range),
            .misshapen => |misshapen| try collection.lost_hashes.append(
                walk.gpa,
                misshapen.range,
            ),
            .bucket => |bucket| {
                for (bucket.page.locations[0..bucket.page.header.count]) |location| {
                    try collection.nameRow(walk.gpa, .fromInt(location));
                }
            },
        }
    }
};
