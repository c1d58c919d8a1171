//! Moving the live rows of a segment to the end, so that the segment can go and its pages are used
//! again.
//!
//! Writers pay as they go: while a collection has more dead rows than `isDue` allows, every row
//! that a write buries moves a few others out of the segment with the largest dead part. So nobody
//! has to call anything, no write waits for long, and a file under churn stays a small multiple of
//! its live rows. A row keeps its key, its metadata, its expiry and the bits of its vector.
//!
//! A damaged row must not fail a write that has nothing to do with it: its segment is left as it is
//! from then on, and whoever asks for the row gets the error.

const std = @import("std");
const errors = @import("errors.zig");
const format = @import("format.zig");
const hash = @import("hash.zig");
const key_index = @import("key_index.zig");
const limits = @import("limits.zig");
const rows = @import("rows.zig");
const collection_state = @import("collection_state.zig");
const Appender = @import("appender.zig").Appender;

const Error = errors.Error;
const CollectionState = collection_state.CollectionState;
const SegmentState = collection_state.SegmentState;

/// Whether dead rows take more room than they may, in a file that may have so many bytes.
pub fn isDue(state: *const CollectionState, file_bytes: u64) bool {
    const growing = if (state.has_growing) state.growing().disk.dead_rows else 0;
    const few = @min(limits.dead_rows_min, file_bytes / limits.dead_part / state.vectorStride());
    const allowed = state.live_rows / limits.dead_rows_part + few;
    return state.dead_rows -| growing > allowed;
}

/// How far making the file smaller has come (compact.zig).
pub const Progress = struct {
    phase: Phase = .rows,
    /// The phase that `total_bytes` and `end_page` are of.
    prepared: ?Phase = null,
    /// Nothing more fits before the end unless older states are let go.
    is_stuck: bool = false,
    /// Where the file could end.
    end_page: u32 = 0,
    /// What the phase had to move when it began, and the slices that it took so far.
    phase_bytes: u64 = 0,
    slices: u64 = 0,
    done_bytes: u64 = 0,
    total_bytes: u64 = 0,

    pub const Phase = enum { rows, tail, cut };
};

pub const Mover = struct {
    appender: *Appender,
    reader: rows.RowReader,
    hash_key: *const [16]u8,
    /// Holds what the appender has borrowed: vectors that are not written yet.
    arena: std.heap.ArenaAllocator,
    moved_bytes: u64 = 0,

    pub fn init(appender: *Appender, reader: rows.RowReader, hash_key: *const [16]u8) Mover {
        return .{
            .appender = appender,
            .reader = reader,
            .hash_key = hash_key,
            .arena = .init(appender.gpa),
        };
    }

    pub fn deinit(mover: *Mover) void {
        mover.arena.deinit();
        mover.* = undefined;
    }

    /// The part of one row that was just buried.
    pub fn pay(mover: *Mover) Error!void {
        // A disk that is full has no room for copies.
        if (mover.appender.transaction.writer.is_disk_full) return;
        const transaction = mover.appender.transaction;
        for (0..limits.moves_per_buried_row) |_| {
            const state = mover.appender.state;
            if (!isDue(state, format.pageOffset(transaction.writer.pages_max))) return;
            const moved_max = state.live_rows / limits.moved_rows_part;
            if (transaction.moved_rows > moved_max + limits.moves_per_buried_row) return;
            if (!try mover.moveOne()) return;
        }
    }

    /// Moves one row; false where no sealed segment has both dead rows and rows that can be read.
    fn moveOne(mover: *Mover) Error!bool {
        while (try mover.findVictim()) |segment| {
            if (try mover.moveFrom(segment)) return true;
        }
        return false;
    }

    /// Moves the first live row of a sealed segment; false where it cannot be read.
    pub fn moveFrom(mover: *Mover, segment: *SegmentState) Error!bool {
        const copy = mover.read(segment) catch |err| switch (err) {
            error.Corrupt, error.InputOutput => {
                segment.verified.is_unreadable = true;
                return false;
            },
            else => return err,
        };
        try mover.write(&copy);
        return true;
    }

    /// The segment to empty next: the last one again, until it is gone.
    fn findVictim(mover: *Mover) Error!?*SegmentState {
        const state = mover.appender.state;
        if (state.victim) |id| {
            if (state.loaded.get(id)) |segment| if (isVictim(state, segment)) return segment;
        }
        state.victim = null;
        var best: ?*SegmentState = null;
        var next: u32 = 0;
        while (mover.nextId(next) catch |err| switch (err) {
            error.Corrupt => null,
            else => return err,
        }) |id| {
            next = id + 1;
            const segment = mover.load(id) catch |err| switch (err) {
                error.Corrupt => continue,
                else => return err,
            } orelse continue;
            if (!isVictim(state, segment)) continue;
            if (best == null or isEmptier(&segment.disk, &best.?.disk)) best = segment;
        }
        if (best) |segment| state.victim = segment.disk.id;
        return best;
    }

    fn isVictim(state: *const CollectionState, segment: *const SegmentState) bool {
        if (state.has_growing and segment.disk.id == state.growing_id) return false;
        return segment.disk.dead_rows > 0 and !segment.verified.is_unreadable;
    }

    fn isEmptier(a: *const format.Segment, b: *const format.Segment) bool {
        return @as(u64, a.dead_rows) * b.rows > @as(u64, b.dead_rows) * a.rows;
    }

    fn nextId(mover: *Mover, from: u32) Error!?u32 {
        return mover.appender.state.nextId(mover.appender.transaction.source(), from);
    }

    fn load(mover: *Mover, id: u32) Error!?*SegmentState {
        const appender = mover.appender;
        return appender.state.loadSegment(appender.gpa, appender.transaction.source(), id);
    }

    const Copy = struct {
        from: format.Location,
        key_hash: u64,
        row: @import("appender.zig").Row,
    };

    /// The first live row of the segment, and that the index has it. The key is borrowed from the
    /// reader's scratch.
    fn read(mover: *Mover, segment: *SegmentState) Error!Copy {
        const state = mover.appender.state;
        if (mover.appender.entries.items.len == 0) _ = mover.arena.reset(.retain_capacity);
        const arena = mover.arena.allocator();
        const row = try mover.firstLive(segment) orelse return error.Corrupt;
        const dimension = state.identity.dimension;
        const vector = arena.alloc(f32, dimension) catch return mover.outOfMemory();
        try mover.reader.vector(state, segment, row, vector);
        const entry = try mover.reader.entry(state, segment, row);
        const record = try mover.reader.record(state, segment, row);
        const metadata = arena.alloc(u8, record.metadata_bytes) catch return mover.outOfMemory();
        try mover.reader.metadata(state, segment, row, record, metadata);
        const from: format.Location = .of(&segment.disk, row);
        const key_hash = hash.keyHash(mover.hash_key, record.key);
        const source = mover.appender.transaction.source();
        const candidates = try key_index.find(source, state.index, key_hash);
        const is_indexed = std.mem.indexOfScalar(u64, candidates.slice(), from.toInt()) != null;
        if (!is_indexed) return error.Corrupt;
        return .{ .from = from, .key_hash = key_hash, .row = .{
            .key = record.key,
            .metadata = metadata,
            .vector = vector,
            .inverse_norm = entry.inverse_norm,
            .expiry_ms = record.expiry_ms,
            .cost = entry.cost,
        } };
    }

    fn firstLive(mover: *Mover, segment: *const SegmentState) Error!?u32 {
        const source = mover.appender.transaction.source();
        const block_rows = format.tombstone_rows_per_page;
        for (segment.disk.tombstones, 0..) |ref, block| {
            const first: u32 = @intCast(block * block_rows);
            if (first >= segment.disk.rows) break;
            if (ref.isNone()) return first;
            const page: *const format.TombstonePage = @ptrCast(try source.load(ref));
            if (page.header.type != .tombstones) {
                return source.corrupt(ref, "is not a tombstone page");
            }
            for (page.bits, 0..) |bits, index| {
                if (bits == 0xFF) continue;
                const row = first + @as(u32, @intCast(index * 8 + @ctz(~bits)));
                if (row >= segment.disk.rows) break;
                return row;
            }
        }
        return null;
    }

    fn write(mover: *Mover, copy: *const Copy) Error!void {
        const appender = mover.appender;
        const state = appender.state;
        // Not one of the rows that the caller means to add.
        appender.expected_rows += 1;
        const new = try appender.append(copy.row);
        try appender.transaction.replaceRow(state, copy.key_hash, copy.from, new);
        appender.transaction.moved_rows += 1;
        mover.moved_bytes += state.vectorStride() + copy.row.key.len + copy.row.metadata.len;
        if (appender.isFull()) try appender.flush();
    }

    fn outOfMemory(mover: *Mover) Error {
        return mover.appender.transaction.diagnostics.failOs(error.OutOfMemory, "moving a row");
    }
};
