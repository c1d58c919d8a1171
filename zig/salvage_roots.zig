//! The first way to find what a damaged file had: by its roots, the newest first. An older root
//! adds only what the newest one has lost; what the newest one no longer has was deleted.

const std = @import("std");
const finds = @import("salvage_finds.zig");
const format = @import("format.zig");
const limits = @import("limits.zig");
const soundness = @import("soundness.zig");
const tree_walk = @import("tree_walk.zig");
const SalvageWalk = @import("salvage_walk.zig").SalvageWalk;
const Wreck = @import("wreck.zig").Wreck;

const OutOfMemory = error{OutOfMemory};

pub const SalvageRoots = struct {
    wreck: *Wreck,
    roots: [format.slot_count]format.Root = undefined,
    count: usize = 0,
    /// The root being walked; 0 is the newest.
    rank: usize = 0,
    catalogue: ?tree_walk.ArrayWalk = null,
    walk: ?SalvageWalk = null,
    /// Collection pages that were read: older roots share most of them.
    seen: std.AutoHashMapUnmanaged(u32, void) = .empty,

    /// On the heap: in a value that holds pages, others of its union are written by copying as many
    /// zeros, which the library then has.
    pub fn create(wreck: *Wreck) OutOfMemory!*SalvageRoots {
        const found = try wreck.gpa.create(SalvageRoots);
        found.* = .{ .wreck = wreck };
        var buffer: [format.slot_count]format.Root = undefined;
        for (wreck.slots.newestFirst(&buffer)) |root| {
            if (root.catalogue_len > limits.collections_max) continue;
            // Volatile roots of another boot were never the state of the file.
            if (root.transaction_id > wreck.transaction_id) continue;
            if (root.kind != .durable and root.transaction_id != wreck.transaction_id) continue;
            found.roots[found.count] = root;
            found.count += 1;
        }
        return found;
    }

    pub fn destroy(found: *SalvageRoots) void {
        const gpa = found.wreck.gpa;
        if (found.walk) |*walk| walk.deinit();
        found.seen.deinit(gpa);
        gpa.destroy(found);
    }

    /// Reads about one page; false when all was read.
    pub fn step(found: *SalvageRoots) OutOfMemory!bool {
        if (found.walk) |*walk| {
            if (try walk.step()) return true;
            walk.deinit();
            found.walk = null;
            return true;
        }
        if (found.catalogue) |*catalogue| {
            if (try catalogue.next()) |step_| {
                try found.catalogueStep(step_);
            } else {
                found.catalogue = null;
                found.rank += 1;
            }
            return true;
        }
        const is_over = found.rank == found.count or (found.rank > 0 and found.wreck.isWhole());
        if (is_over) return false;
        const root = &found.roots[found.rank];
        found.catalogue = .init(found.wreck.reader, root.catalogue, root.catalogue_len);
        return true;
    }

    fn catalogueStep(
        found: *SalvageRoots,
        step_: tree_walk.ArrayWalk.Step,
    ) OutOfMemory!void {
        switch (step_) {
            .page, .beyond => {},
            .lost => |lost| try found.lose(lost.first, lost.end),
            .element => |element| {
                const seen = try found.seen.getOrPut(found.wreck.gpa, element.ref.page);
                if (seen.found_existing) return;
                var content: format.Page align(format.page_alignment) = undefined;
                const loss = try found.wreck.reader.read(element.ref, &content);
                const page: *const format.CollectionPage = @ptrCast(&content);
                if (loss != null or !soundness.isCollection(page)) {
                    return found.lose(element.index, element.index + 1);
                }
                try found.collectionPage(page, element.index);
            },
        }
    }

    fn lose(found: *SalvageRoots, first: u64, end: u64) OutOfMemory!void {
        if (found.rank > 0) return;
        const wreck = found.wreck;
        try wreck.lost_catalogue.list.append(wreck.gpa, .{ first, end });
    }

    fn collectionPage(
        found: *SalvageRoots,
        page: *const format.CollectionPage,
        index: u32,
    ) OutOfMemory!void {
        const wreck = found.wreck;
        var is_authority = false;
        const collection = wreck.collections.get(page.id) orelse added: {
            const is_newest = found.rank == 0;
            if (!is_newest and !wreck.lost_catalogue.contains(index)) return;
            is_authority = true;
            break :added try wreck.addCollection(page, index, is_newest and wreck.is_exact);
        };
        const is_whole = collection.is_exact and collection.lost_segments.isEmpty();
        if (!is_authority and is_whole) return;
        found.walk = try .init(wreck.gpa, wreck.reader, collection, page, is_authority);
    }
};
