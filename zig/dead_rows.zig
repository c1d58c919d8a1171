//! The rows of one segment that are dead, as a search asks for them: once for each that is near.

const errors = @import("errors.zig");
const format = @import("format.zig");
const Error = errors.Error;
const SegmentState = @import("collection_state.zig").SegmentState;
const Source = @import("key_index.zig").Source;

pub const DeadRows = struct {
    /// Only where there is a page.
    bits: [format.tombstone_pages_max][format.tombstone_rows_per_page / 8]u8 = undefined,
    has_page: [format.tombstone_pages_max]bool = @splat(false),

    pub fn load(dead: *DeadRows, source: Source, segment: *const SegmentState) Error!void {
        for (segment.disk.tombstones, &dead.bits, &dead.has_page) |ref, *bits, *has_page| {
            has_page.* = !ref.isNone();
            if (ref.isNone()) continue;
            const page: *const format.TombstonePage = @ptrCast(try source.load(ref));
            if (page.header.type != .tombstones) return source.corrupt(
                ref,
                "is not a tombstone page",
            );
            bits.* = page.bits;
        }
    }

    pub fn has(dead: *const DeadRows, row: u32) bool {
        const page = row / format.tombstone_rows_per_page;
        if (!dead.has_page[page]) return false;
        const bits = &dead.bits[page];
        const index = row % format.tombstone_rows_per_page;
        return bits[index / 8] >> @intCast(index % 8) & 1 != 0;
    }
};
