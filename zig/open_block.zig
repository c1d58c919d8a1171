//! The rows of the block of codes that is being filled, rotated. They stay in memory from one write
//! to the next, so that whoever writes the last row of a block need not read the others back.
//!
//! What is kept is a help, never an authority. A row counts only where the file has, in its place,
//! the very entry that was kept with it: an entry has checksums of its place and of its vector. A
//! rollback, rows that another connection wrote meanwhile, and a segment with the number of one
//! that is gone leave other entries there, so none of them has to be noticed.

const std = @import("std");
const codes = @import("codes.zig");
const format = @import("format.zig");
const collection_state = @import("collection_state.zig");

const CollectionState = collection_state.CollectionState;
const SegmentState = collection_state.SegmentState;
const block_rows = format.code_block_rows;

pub const OpenBlock = struct {
    gpa: std.mem.Allocator,
    place: ?Place = null,
    /// What the memory is for; 0 where there is none.
    code_dimension: u32 = 0,
    rotation: codes.Rotation = .{ .signs = &.{} },
    /// Rotated. Each has memory when it is first needed.
    vectors: [block_rows]?Vector = @splat(null),
    entries: [block_rows]format.RowEntry = @splat(std.mem.zeroes(format.RowEntry)),
    /// The rows that have a vector and an entry.
    known: std.StaticBitSet(block_rows) = .initEmpty(),

    /// Aligned as registers are: what crosses cache lines takes twice as long.
    pub const Vector = []align(64) f32;

    /// A block of rows, and what besides their entries decides how they are rotated: a rollback
    /// takes back a collection's id, and the next collection with it may have another metric.
    const Place = struct {
        collection: u32,
        dimension: u32,
        metric: u32,
        segment: u32,
        generation: u32,
        block: u32,
    };

    pub fn deinit(open: *OpenBlock) void {
        open.clear();
        open.* = undefined;
    }

    /// Gives all memory back.
    pub fn clear(open: *OpenBlock) void {
        for (open.vectors) |maybe| if (maybe) |vector| open.gpa.free(vector);
        open.gpa.free(open.rotation.signs);
        open.* = .{ .gpa = open.gpa };
    }

    pub fn bytes(open: *const OpenBlock) u64 {
        var count: u64 = open.rotation.signs.len * @sizeOf(u32);
        for (open.vectors) |maybe| if (maybe) |vector| {
            count += vector.len * @sizeOf(f32);
        };
        return count;
    }

    /// Longer codes would keep too much memory between writes.
    pub fn keeps(code_dimension: u32) bool {
        return code_dimension <= kept_bytes_max / @sizeOf(f32) / block_rows;
    }
    const kept_bytes_max = 512 * 1024;

    /// The rows of any other block are forgotten.
    pub fn turnTo(
        open: *OpenBlock,
        state: *const CollectionState,
        segment: *const SegmentState,
        block: u32,
    ) error{OutOfMemory}!void {
        if (open.code_dimension != segment.disk.code_dimension) {
            open.clear();
            open.rotation = try .init(open.gpa, segment.disk.code_dimension);
            open.code_dimension = segment.disk.code_dimension;
        }
        const place: Place = .{
            .collection = state.identity.id,
            .dimension = state.identity.dimension,
            .metric = state.identity.metric,
            .segment = segment.disk.id,
            .generation = segment.disk.generation,
            .block = block,
        };
        if (std.meta.eql(open.place, place)) return;
        open.place = place;
        open.known = .initEmpty();
    }

    /// `vector` is rotated; it may lie in `memoryOf` the row.
    pub fn put(
        open: *OpenBlock,
        row: usize,
        entry: *const format.RowEntry,
        vector: []align(1) const f32,
    ) error{OutOfMemory}!void {
        const rotated = try open.memoryOf(row);
        const scale = codes.scaleOf(@enumFromInt(open.place.?.metric), entry.inverse_norm);
        open.rotation.apply(vector, scale, rotated);
        open.entries[row] = entry.*;
        open.known.set(row);
    }

    pub fn memoryOf(open: *OpenBlock, row: usize) error{OutOfMemory}!Vector {
        if (open.vectors[row]) |vector| return vector;
        const vector = try open.gpa.alignedAlloc(f32, .@"64", open.code_dimension);
        open.vectors[row] = vector;
        return vector;
    }

    /// Forgets those of the first rows that are not what the file has.
    pub fn keepOnly(open: *OpenBlock, in_file: []const format.RowEntry) void {
        for (in_file, open.entries[0..in_file.len], 0..) |*entry, *kept, row| {
            const is_same = std.mem.eql(u8, std.mem.asBytes(entry), std.mem.asBytes(kept));
            if (!is_same) open.known.unset(row);
        }
    }

    /// The rotated vector; null where the row is not known.
    pub fn get(open: *const OpenBlock, row: usize) ?Vector {
        return if (open.known.isSet(row)) open.vectors[row] else null;
    }
};
