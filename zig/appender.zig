//! Adding rows to a collection within a transaction: into the growing segment, then the next.
//!
//! Rows are written beyond the committed watermark, where no reader looks, in runs: one write for
//! the vectors of a run, one for their entries, one for their records. Until `flush` the last run
//! is only in memory. A segment that is full is sealed and never changes again, but for its
//! tombstones and amendments.

const std = @import("std");
const checksum = @import("checksum.zig");
const code_writer = @import("code_writer.zig");
const column_writer = @import("column_writer.zig");
const codes = @import("codes.zig");
const errors = @import("errors.zig");
const expiry = @import("expiry.zig");
const format = @import("format.zig");
const limits = @import("limits.zig");
const rows = @import("rows.zig");
const collection_state = @import("collection_state.zig");
const FreeSpace = @import("free_space.zig").FreeSpace;
const Transaction = @import("transaction.zig").Transaction;

const Error = errors.Error;
const CollectionState = collection_state.CollectionState;
const SegmentState = collection_state.SegmentState;

/// One row to add. Everything is borrowed until `flush`; `vector` has the collection's dimension.
pub const Row = struct {
    key: []const u8,
    metadata: []const u8,
    vector: []const f32,
    /// 1 / Euclidean norm, 0 for the zero vector.
    inverse_norm: f32,
    /// Milliseconds since 1970 at which the row is over; 0: never.
    expiry_ms: i64 = 0,
    cost: u32 = 0,
};

pub const Appender = struct {
    /// Its own: the transaction may have ended before the appender does.
    gpa: std.mem.Allocator,
    transaction: *Transaction,
    state: *CollectionState,
    /// Of the database, for making codes.
    code_memory: *code_writer.Memory,
    /// Likewise, for making columns.
    column_memory: *column_writer.Memory,
    /// How many rows the caller still means to add: sizes the next segment.
    expected_rows: u64,
    /// Of the growing segment, not written yet: `entries` holds one element for each.
    first_row: u32 = 0,
    entries: std.ArrayList(format.RowEntry) = .empty,
    records: std.ArrayList(u8) = .empty,
    records_offset: u64 = 0,
    /// The run's vectors where they can be written as they lie, without padding between them.
    packed_vectors: []const f32 = &.{},
    /// The run's vectors where they had to be copied.
    padded: std.ArrayList(u8) = .empty,

    const run_bytes_max = 1024 * 1024;

    pub fn deinit(appender: *Appender) void {
        const gpa = appender.gpa;
        appender.entries.deinit(gpa);
        appender.records.deinit(gpa);
        appender.padded.deinit(gpa);
        appender.* = undefined;
    }

    /// Where the row will be. The index is the caller's.
    pub fn append(appender: *Appender, row: Row) Error!format.Location {
        const record_bytes: u32 = @intCast(rows.recordBytes(row.key.len, row.metadata.len));
        const segment = try appender.roomFor(record_bytes);
        const location: format.Location = .of(&segment.disk, segment.disk.rows);
        const seed = appender.state.seedOf(segment, location.row);
        if (appender.entries.items.len == 0) appender.first_row = location.row;
        const record_offset = try appender.addRecord(segment, seed, location, row, record_bytes);
        var entry: format.RowEntry = .{
            .record_offset = record_offset,
            .vector_checksum = checksum.bytes(seed, std.mem.sliceAsBytes(row.vector)),
            .inverse_norm = row.inverse_norm,
            .cost = row.cost,
        };
        entry.checksum = rows.entryChecksum(seed, &entry);
        appender.entries.append(appender.gpa, entry) catch return appender.outOfMemory();
        try appender.addVector(row.vector);
        segment.disk.rows += 1;
        appender.state.live_rows += 1;
        appender.expected_rows -|= 1;
        if (row.expiry_ms != 0) appender.state.has_expiry = true;
        try appender.keepDocument(segment, location.row, row);
        return location;
    }

    /// True where the row is only in memory and cannot be read from the file.
    pub fn isUnwritten(appender: *const Appender, location: format.Location) bool {
        if (appender.entries.items.len == 0) return false;
        return location.segment == appender.state.growing_id and location.row >= appender.first_row;
    }

    /// Writes the run. The rows are then readable within the transaction.
    pub fn flush(appender: *Appender) Error!void {
        const writer = appender.transaction.writer;
        if (appender.records.items.len > 0) {
            try writer.writeBytes(appender.records_offset, &.{appender.records.items});
            appender.records.clearRetainingCapacity();
        }
        if (appender.entries.items.len == 0) return;
        const segment = appender.state.growing();
        const stride = appender.state.vectorStride();
        const vectors: []const u8 = if (appender.packed_vectors.len > 0)
            std.mem.sliceAsBytes(appender.packed_vectors)
        else
            appender.padded.items;
        try writer.writeBytes(segment.vectorOffset(appender.first_row, stride), &.{vectors});
        try writer.writeBytes(
            segment.entryOffset(appender.first_row, stride),
            &.{std.mem.sliceAsBytes(appender.entries.items)},
        );
        try code_writer.write(appender.code_memory, writer, appender.state, segment, .{
            .first_row = appender.first_row,
            .vectors = vectors,
            .entries = appender.entries.items,
        });
        appender.entries.clearRetainingCapacity();
        appender.padded.clearRetainingCapacity();
        appender.packed_vectors = &.{};
    }

    /// The growing segment with room for one more row and its record.
    fn roomFor(appender: *Appender, record_bytes: u32) Error!*SegmentState {
        const state = appender.state;
        if (state.has_growing) {
            const segment = try appender.transaction.editableSegment(state, state.growing_id);
            const has_row = segment.disk.rows < segment.disk.capacity;
            if (has_row and try appender.heapRoom(segment, record_bytes)) return segment;
            try appender.flush();
            try appender.transaction.sealSegmentOf(state);
        }
        const segment = try appender.addSegment();
        if (!try appender.heapRoom(segment, record_bytes)) return appender.outOfMemory();
        return segment;
    }

    /// The growing segment takes at least one more row.
    pub fn hasRoom(appender: *const Appender) bool {
        if (!appender.state.has_growing) return false;
        const disk = &appender.state.growing().disk;
        return disk.rows < disk.capacity;
    }

    /// The longest run of pages that the next segment needs.
    pub fn pagesOfSegment(appender: *const Appender) u32 {
        const state = appender.state;
        const capacity: u64 = appender.nextCapacity();
        const dimension = state.identity.dimension;
        const bytes = format.segmentBytes(capacity, dimension, codeDimension(capacity, dimension));
        return @intCast(format.pagesFor(@max(bytes, roundUp(capacity * state.record_bytes))));
    }

    fn addSegment(appender: *Appender) Error!*SegmentState {
        const state = appender.state;
        const gpa = appender.gpa;
        const id = try state.freeId(appender.transaction.source());
        if (id >= limits.segments_max) return appender.transaction.diagnostics.fail(
            error.NoSpace,
            "the collection has {d} segments, which is the maximum; start another one",
            .{limits.segments_max},
        );
        const dimension = state.identity.dimension;
        const row_bytes = state.vectorStride() + @sizeOf(format.RowEntry);
        const capacity = try appender.fittingCapacity(appender.nextCapacity());
        const code_dimension = codeDimension(capacity, dimension);
        const bytes = format.segmentBytes(capacity, dimension, code_dimension);
        const run = try appender.transaction.writer.takeRun(
            @intCast(format.pagesFor(row_bytes)),
            @intCast(format.pagesFor(bytes)),
        );
        var disk = std.mem.zeroes(format.Segment);
        disk.id = id;
        disk.capacity = @intCast(@min(capacity, format.pageOffset(run.count) / row_bytes));
        // On a full disk rows come first.
        if (format.pageOffset(run.count) >= bytes) {
            disk.code_dimension = code_dimension;
            if (code_dimension != 0) disk.column_rows = format.columnRows(capacity);
        }
        disk.generation = @as(u24, @truncate(state.segments_made));
        disk.born = appender.transaction.writer.transaction_id;
        disk.heap_loss = appender.transaction.loss;
        disk.extent_page_count = run.count;
        disk.extent_page = run.page;
        const segment = SegmentState.create(gpa, &disk) catch return appender.outOfMemory();
        segment.changed = true;
        state.loaded.put(gpa, disk.id, segment) catch {
            segment.release(gpa);
            return appender.outOfMemory();
        };
        state.growing_id = id;
        state.has_growing = true;
        state.segments_made +%= 1;
        return segment;
    }

    /// Rather a smaller segment than a larger file.
    fn fittingCapacity(appender: *Appender, wanted: u32) Error!u32 {
        const dimension = appender.state.identity.dimension;
        const code_dimension = codeDimension(wanted, dimension);
        const block = format.code_block_rows;
        const least = format.pagesFor(format.segmentBytes(block, dimension, code_dimension));
        const most = format.pagesFor(format.segmentBytes(wanted, dimension, code_dimension));
        // A collection that grows has the same segments whatever its last commit has left behind.
        const pages = try appender.fittingPages(@intCast(least), @intCast(most), .grows);
        if (pages == most) return wanted;
        const bytes = format.pageOffset(pages);
        var capacity = @max(block, @as(u64, wanted) * pages / most / block * block);
        while (format.segmentBytes(capacity, dimension, code_dimension) > bytes) capacity -= block;
        return @intCast(capacity);
    }

    /// As many as lie together and are free, if that is a good part of those that are wanted.
    fn fittingPages(
        appender: *Appender,
        least: u32,
        most: u32,
        at_end: FreeSpace.AtEnd,
    ) Error!u32 {
        const longest = try appender.transaction.writer.longestRun(most, at_end);
        return if (longest >= @max(least, most / fitting_part)) longest else most;
    }
    const fitting_part = 4;

    fn codeDimension(capacity: u64, dimension: u32) u32 {
        return if (capacity < format.code_block_rows) 0 else codes.dimensionFor(dimension);
    }

    /// A part of what will be there: room that is not used yet, and dead rows that wait until their
    /// segment is compacted, are then a small part of the file. A power of two, so that the extent
    /// of a segment that is gone fits the next one; where rows are too few for codes anyway, as
    /// many as fit.
    fn nextCapacity(appender: *const Appender) u32 {
        const state = appender.state;
        const stride = state.vectorStride();
        const row_bytes = stride + @sizeOf(format.RowEntry);
        const file_bytes = format.pageOffset(appender.transaction.writer.pages_max);
        const fitting = @min(
            limits.segment_vector_bytes_max / stride,
            file_bytes / file_part / (row_bytes + state.record_bytes),
        );
        const largest = std.math.clamp(fitting, 1, limits.segment_rows_max);
        const first = std.math.clamp(first_segment_bytes / stride, 4, limits.segment_rows_min);
        const smallest = @min(first, @max(1, largest / 4));
        const content = state.live_rows + appender.expected_rows;
        const small = small_segment_bytes / row_bytes;
        // What is small lies in one segment.
        const part = if (content <= small)
            std.math.ceilPowerOfTwoAssert(u64, @max(1, content))
        else
            @max(content / segment_part, small);
        const wanted = std.math.clamp(part, smallest, largest);
        if (wanted < format.code_block_rows) return @intCast(wanted);
        return @intCast(std.math.floorPowerOfTwo(u64, wanted));
    }
    const first_segment_bytes = 512 * 1024;
    const small_segment_bytes = 128 * 1024;
    const segment_part = 12;
    /// Of a file with a maximum: whole segments go where it is full.
    const file_part = 12;

    /// Makes sure that the last heap extent has room for the record; false where the segment cannot
    /// have another one.
    fn heapRoom(appender: *Appender, segment: *SegmentState, record_bytes: u32) Error!bool {
        const disk = &segment.disk;
        var previous_bytes: u64 = 0;
        if (disk.heap_count > 0) {
            const last = disk.heap[disk.heap_count - 1];
            previous_bytes = format.pageOffset(last.page_count);
            if (last.used_bytes + @as(u64, record_bytes) <= previous_bytes) return true;
            if (disk.heap_count == limits.heap_extents_max) return false;
        }
        // Records of one run lie in one extent.
        try appender.flush();
        const rows_left: u64 = disk.capacity - disk.rows;
        const expected = rows_left * appender.recordBytesExpected(segment, record_bytes);
        // Records may be larger from here on, but the last few need no large extent.
        const reserve = @min(previous_bytes / 4, 4 * expected);
        const wanted = @min(@max(expected, reserve), limits.heap_extent_bytes_max);
        const least: u32 = @intCast(format.pagesFor(record_bytes));
        const most: u32 = @intCast(format.pagesFor(@max(roundUp(wanted), record_bytes)));
        const fitting = try appender.fittingPages(least, most, .counts);
        const run = try appender.transaction.writer.takeRun(least, fitting);
        disk.heap[disk.heap_count] = .{
            .page = run.page,
            .page_count = run.count,
            .used_bytes = 0,
        };
        disk.heap_count += 1;
        return true;
    }

    /// What the records so far had on average, or in a new segment those of the one before it.
    fn recordBytesExpected(
        appender: *Appender,
        segment: *const SegmentState,
        record_bytes: u32,
    ) u64 {
        if (segment.disk.rows > 0) {
            const live = segment.disk.heapBytes() -| segment.disk.wasted_bytes;
            appender.state.record_bytes = live / segment.disk.rows;
        } else if (appender.state.record_bytes == 0) {
            appender.state.record_bytes = @min(record_bytes, heap_bytes_per_row_max);
        }
        return @max(appender.state.record_bytes, @sizeOf(format.Record));
    }
    /// Of the first record of a collection: one does not tell much.
    const heap_bytes_per_row_max = 256;

    fn addRecord(
        appender: *Appender,
        segment: *SegmentState,
        seed: u64,
        location: format.Location,
        row: Row,
        record_bytes: u32,
    ) Error!u64 {
        const place = try appender.takeHeap(segment, record_bytes);
        rows.writeRecord(place.bytes, seed, .{
            .metadata_checksum = checksum.bytes(seed, row.metadata),
            .expiry_ms = row.expiry_ms,
            .transaction_id = appender.transaction.writer.transaction_id,
            .location = location.toInt(),
            .key_bytes = @intCast(row.key.len),
            .metadata_bytes = @intCast(row.metadata.len),
        }, row.key, row.metadata);
        return place.offset;
    }

    const HeapPlace = struct { offset: u64, bytes: []u8 };

    /// The next bytes of the segment's heap, which has room for them: zeros that the caller fills,
    /// written with the run.
    fn takeHeap(appender: *Appender, segment: *SegmentState, count: u32) Error!HeapPlace {
        const extent = &segment.disk.heap[segment.disk.heap_count - 1];
        const offset = format.pageOffset(extent.page) + extent.used_bytes;
        if (appender.records.items.len == 0) appender.records_offset = offset;
        const start = appender.records.items.len;
        appender.records.appendNTimes(appender.gpa, 0, count) catch return appender.outOfMemory();
        extent.used_bytes += count;
        return .{ .offset = offset, .bytes = appender.records.items[start..] };
    }

    /// Behind the last row of a block of columns come the columns.
    fn keepDocument(
        appender: *Appender,
        segment: *SegmentState,
        number: u32,
        row: Row,
    ) Error!void {
        const block_rows = segment.disk.column_rows;
        if (block_rows == 0) return;
        const memory = appender.column_memory;
        defer if (row.expiry_ms != 0) memory.rest();
        const arena = memory.arena.allocator();
        const document = expiry.documentOf(arena, row.metadata, row.expiry_ms) catch
            return appender.outOfMemory();
        const place = column_writer.placeOf(appender.state, segment);
        memory.open.push(place, number, block_rows, document);
        const is_last = segment.disk.rows == segment.disk.capacity;
        const is_complete = segment.disk.rows % block_rows == 0 or is_last;
        if (is_complete) try appender.addColumns(segment);
    }

    fn addColumns(appender: *Appender, segment: *SegmentState) Error!void {
        const state = appender.state;
        const writer = appender.transaction.writer;
        const memory = appender.column_memory;
        defer memory.rest();
        const block = (segment.disk.rows - 1) / segment.disk.column_rows;
        const first = block * segment.disk.column_rows;
        if (!column_writer.isKept(memory, state, segment, first)) try appender.flush();
        var made = column_writer.make(memory, writer.file, state, segment, first) catch
            return appender.outOfMemory();
        const room = made.room();
        if (room > 0 and !try appender.heapRoom(segment, room)) made = .left_out;
        var at: u64 = 0;
        if (made.bytes.len > 0) {
            const place = try appender.takeHeap(segment, room);
            @memcpy(place.bytes[0..made.bytes.len], made.bytes);
            at = place.offset;
        }
        const entry = made.entry(state, segment, first, at);
        const offset = segment.disk.columnEntryOffset(block, state.identity.dimension);
        try writer.writeBytes(offset, &.{std.mem.asBytes(&entry)});
    }

    /// A vector that follows the last one in the caller's memory extends the run as it lies there.
    fn addVector(appender: *Appender, vector: []const f32) Error!void {
        const gpa = appender.gpa;
        const stride = appender.state.vectorStride();
        const is_packed = stride == vector.len * @sizeOf(f32);
        const run = appender.packed_vectors;
        if (is_packed and appender.padded.items.len == 0) {
            if (run.len == 0) {
                appender.packed_vectors = vector;
                return;
            }
            if (run.ptr + run.len == vector.ptr) {
                appender.packed_vectors = run.ptr[0 .. run.len + vector.len];
                return;
            }
            appender.padded.appendSlice(
                gpa,
                std.mem.sliceAsBytes(run),
            ) catch return appender.outOfMemory();
            appender.packed_vectors = &.{};
        }
        const start = appender.padded.items.len;
        appender.padded.appendNTimes(gpa, 0, stride) catch return appender.outOfMemory();
        const bytes = std.mem.sliceAsBytes(vector);
        @memcpy(appender.padded.items[start..][0..bytes.len], bytes);
    }

    /// True where the run is large enough that the caller should `flush` between rows.
    pub fn isFull(appender: *const Appender) bool {
        return @max(appender.padded.items.len, appender.records.items.len) >= run_bytes_max;
    }

    fn outOfMemory(appender: *Appender) Error {
        return appender.transaction.diagnostics.failOs(error.OutOfMemory, "adding rows");
    }
};

/// To one of 32 sizes between two powers of two: an extent that is left then fits another.
fn roundUp(bytes: u64) u64 {
    if (bytes < 32 * format.page_bytes) return bytes;
    return std.mem.alignForward(u64, bytes, std.math.floorPowerOfTwo(u64, bytes) / 32);
}
