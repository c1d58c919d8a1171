//! Reading the vectors of many keys: rows that follow each other in the file, as those of a batch
//! that was stored together do, are read by one call, and their entries and records through a
//! window that one call fills for hundreds of them.

const std = @import("std");
const collection_state = @import("collection_state.zig");
const errors = @import("errors.zig");
const format = @import("format.zig");
const ReadWindow = @import("read_window.zig").ReadWindow;
const RowReader = @import("rows.zig").RowReader;

const Error = errors.Error;
const CollectionState = collection_state.CollectionState;
const SegmentState = collection_state.SegmentState;

/// The rows found last whose vectors are still to be read. All are of one state.
pub const VectorRun = struct {
    reader: RowReader,
    /// The caller's; empty when the run begins. Null where there is no memory for it, which only
    /// costs calls.
    window: ?*ReadWindow,
    state: *CollectionState,
    segment: ?*SegmentState = null,
    /// Of the segment: the first one to be read, and how many.
    row: u32 = 0,
    count: u32 = 0,
    /// Where the vectors of these rows belong, one after the other.
    out: []f32 = &.{},

    /// One call reads at most so much, which the processor's cache keeps until it is checked.
    const bytes_max = 512 * 1024;

    /// What reads the row's entry and record: through the window where the row before it was just
    /// read, for then the window holds it, or will hold those that follow.
    pub fn readerOf(run: *const VectorRun, location: format.Location) RowReader {
        var reader = run.reader;
        if (run.isNext(location)) reader.window = run.window;
        return reader;
    }

    fn isNext(run: *const VectorRun, location: format.Location) bool {
        const segment = run.segment orelse return false;
        return location.row == run.row + run.count and
            location.segment == segment.disk.id and
            location.generation == segment.disk.generation;
    }

    /// Fills `out`, which lies behind that of the row before, now or when the run is finished.
    pub fn add(run: *VectorRun, segment: *SegmentState, row: u32, out: []f32) Error!void {
        const bytes = std.mem.sliceAsBytes(out).len;
        const is_packed = bytes == run.state.vectorStride();
        const follows = segment == run.segment and row == run.row + run.count and
            run.out.ptr + run.out.len == out.ptr;
        if (follows and is_packed and (run.count + 1) * bytes <= bytes_max) {
            run.count += 1;
            run.out.len += out.len;
            return;
        }
        try run.finish();
        run.segment = segment;
        run.row = row;
        run.count = 1;
        run.out = out;
    }

    /// Reads what was added and not read yet.
    pub fn finish(run: *VectorRun) Error!void {
        const segment = run.segment orelse return;
        const offset = segment.vectorOffset(run.row, run.state.vectorStride());
        try run.reader.bytes(offset, std.mem.sliceAsBytes(run.out));
        const dimension = run.out.len / run.count;
        for (0..run.count) |index| {
            const row = run.row + @as(u32, @intCast(index));
            const vector = run.out[index * dimension ..][0..dimension];
            try run.verify(segment, row, std.mem.sliceAsBytes(vector));
        }
        run.row += run.count;
        run.count = 0;
        run.out = run.out[run.out.len..];
    }

    fn verify(run: *VectorRun, segment: *SegmentState, row: u32, vector: []const u8) Error!void {
        if (segment.verified.rows.isSet(row)) return;
        var reader = run.reader;
        reader.window = run.window;
        const entry = try reader.entry(run.state, segment, row);
        try reader.verifyVector(run.state, segment, row, entry.vector_checksum, vector);
    }
};
