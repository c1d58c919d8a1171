//! The exact search: every live row is scored, the best k are kept, and those are scored again in
//! double precision, so that the returned scores do not depend on the CPU.
//!
//! Rows are taken in blocks that stay in the second-level cache while every query of the call looks
//! at them. Rows that this process has not seen yet are checked against their checksums on the way:
//! a damaged vector is an error, never a wrong neighbour.

const std = @import("std");
const errors = @import("errors.zig");
const format = @import("format.zig");
const kernels = @import("kernels/kernels.zig");
const metrics = @import("metrics.zig");
const rows = @import("rows.zig");
const top_k = @import("top_k.zig");
const collection_state = @import("collection_state.zig");
const Source = @import("key_index.zig").Source;

const Error = errors.Error;
const CollectionState = collection_state.CollectionState;
const SegmentState = collection_state.SegmentState;
const Metric = metrics.Metric;

/// A row that was found. The boundary's layout (16 bytes).
pub const Hit = extern struct {
    segment: u32,
    row: u32,
    /// Cosine similarity, dot product, or Euclidean distance.
    score: f32,
    reserved: u32 = 0,
};

pub const Request = struct {
    gpa: std.mem.Allocator,
    state: *CollectionState,
    source: Source,
    reader: rows.RowReader,
    /// For the second key of a comparison.
    other_reader: rows.RowReader,
    /// count × dimension, checked: finite, and under cosine not zero.
    queries: []const f32,
    k: u32,
    /// At least this close, or null.
    threshold: ?f32,
    /// count × k; the hits of query i start at i × k, best first.
    hits: []Hit,
    /// How many hits each query has.
    counts: []u32,
};

const Collector = top_k.TopK(Hit, *Ties);

/// Equal scores are ordered by key.
const Ties = struct {
    request: *const Request,
    /// `before` cannot fail, so the first error waits here.
    failure: ?Error = null,

    pub fn before(ties: *Ties, a: Hit, b: Hit) bool {
        return ties.keyBefore(a, b) catch |err| {
            if (ties.failure == null) ties.failure = err;
            return false;
        };
    }

    fn keyBefore(ties: *Ties, a: Hit, b: Hit) Error!bool {
        const request = ties.request;
        const first = try request.reader.record(request.state, try segmentOf(request, a), a.row);
        const second = try request.other_reader.record(
            request.state,
            try segmentOf(request, b),
            b.row,
        );
        return std.mem.order(u8, first.key, second.key) == .lt;
    }
};

fn segmentOf(request: *const Request, hit: Hit) Error!*SegmentState {
    return (try request.state.loadSegment(request.gpa, request.source, hit.segment)).?;
}

pub fn run(request: *const Request) Error!void {
    const dimension = request.state.identity.dimension;
    const query_count = request.queries.len / dimension;
    std.debug.assert(
        request.hits.len == query_count * request.k and request.counts.len == query_count,
    );
    var ties: Ties = .{ .request = request };
    const gpa = request.gpa;
    const queries = gpa.alloc(Query, query_count) catch return outOfMemory(request);
    defer gpa.free(queries);
    const metric: Metric = @enumFromInt(request.state.identity.metric);
    for (queries, 0..) |*query, i| {
        query.* = .{
            .scorer = .init(
                metric,
                request.queries[i * dimension ..][0..dimension],
                request.threshold,
            ),
            .collector = .init(request.hits[i * request.k ..][0..request.k], metric.order(), &ties),
        };
    }
    var scan = try Scan.init(request, queries);
    defer scan.deinit();
    var id: u32 = 0;
    while (try request.state.nextSegment(gpa, request.source, id)) |segment| {
        id = segment.disk.id + 1;
        if (segment.disk.rows > segment.disk.dead_rows) try scan.segment(segment);
    }
    for (queries, request.counts) |*query, *count| count.* = try scan.finish(query);
    if (ties.failure) |failure| return failure;
    request.reader.image.trim();
}

const Query = struct {
    scorer: metrics.Scorer,
    collector: Collector,
};

const Scan = struct {
    request: *const Request,
    queries: []Query,
    block_rows: u32,
    scores: []f32,
    /// Takes a block where there is no map.
    block: []align(64) u8,
    entries: []format.RowEntry,
    /// One vector in double precision's company: the final scores.
    vector: []f32,
    dead: [format.tombstone_pages_max][format.tombstone_rows_per_page / 8]u8 = undefined,

    const block_bytes_max = 256 * 1024;

    fn init(request: *const Request, queries: []Query) Error!Scan {
        const gpa = request.gpa;
        const stride = request.state.vectorStride();
        const block_rows: u32 = @intCast(std.math.clamp(block_bytes_max / stride, 1, 1024));
        const scores = gpa.alloc(f32, block_rows) catch return outOfMemory(request);
        errdefer gpa.free(scores);
        const entries = gpa.alloc(format.RowEntry, block_rows) catch return outOfMemory(request);
        errdefer gpa.free(entries);
        const vector = gpa.alloc(
            f32,
            request.state.identity.dimension,
        ) catch return outOfMemory(request);
        return .{
            .request = request,
            .queries = queries,
            .block_rows = block_rows,
            .scores = scores,
            .block = &.{},
            .entries = entries,
            .vector = vector,
        };
    }

    fn deinit(scan: *Scan) void {
        const gpa = scan.request.gpa;
        gpa.free(scan.scores);
        gpa.free(scan.block);
        gpa.free(scan.entries);
        gpa.free(scan.vector);
    }

    fn segment(scan: *Scan, from: *SegmentState) Error!void {
        const source = scan.request.source;
        for (from.disk.tombstones, &scan.dead) |ref, *bits| {
            if (ref.isNone()) {
                @memset(bits, 0);
                continue;
            }
            const page: *const format.TombstonePage = @ptrCast(try source.load(ref));
            if (page.header.type != .tombstones) return source.corrupt(
                ref,
                "is not a tombstone page",
            );
            bits.* = page.bits;
        }
        var first: u32 = 0;
        while (first < from.disk.rows) {
            const count = @min(scan.block_rows, from.disk.rows - first);
            try scan.rowsOf(from, first, count);
            first += count;
        }
    }

    fn rowsOf(scan: *Scan, from: *SegmentState, first: u32, count: u32) Error!void {
        const request = scan.request;
        const state = request.state;
        const stride = state.vectorStride();
        const vectors = try scan.bytesAt(from.vectorOffset(first, stride), count * stride);
        const entries = try scan.entriesAt(from.entryOffset(first, stride), count);
        try scan.verify(from, first, entries, vectors);
        const table = kernels.active();
        const dimension = state.identity.dimension;
        for (scan.queries) |*query| {
            const score = if (query.scorer.metric == .l2) table.l2Batch else table.dotBatch;
            score(
                query.scorer.query.ptr,
                vectors.ptr,
                @intCast(stride),
                count,
                dimension,
                scan.scores.ptr,
            );
            for (scan.scores[0..count], entries, 0..) |raw, entry, i| {
                const row = first + @as(u32, @intCast(i));
                const estimate = query.scorer.estimate(raw, entry.inverse_norm) orelse
                    query.scorer.exact(floats(vectors, i, stride, dimension));
                if (!query.collector.accepts(estimate) or !query.scorer.mayPass(
                    estimate,
                    entry.inverse_norm,
                )) continue;
                if (scan.isDead(row)) continue;
                query.collector.offer(.{ .segment = from.disk.id, .row = row, .score = estimate });
            }
        }
        try scan.confirm(from.vectorOffset(first, stride));
        try scan.confirm(from.entryOffset(first, stride));
    }

    /// An error where the map showed bytes that the file has lost.
    fn confirm(scan: *Scan, offset: u64) Error!void {
        const reader = scan.request.reader;
        if (!reader.image.isWhole(offset)) return reader.failRead(error.Truncated, offset);
    }

    /// Scores what was kept in double precision, drops what is beyond the threshold after all, and
    /// puts the rest in its final order.
    fn finish(scan: *Scan, query: *Query) Error!u32 {
        const request = scan.request;
        const kept = query.collector.finish();
        for (kept) |hit| {
            const from = try segmentOf(request, hit);
            try request.reader.vector(request.state, from, hit.row, scan.vector);
            const score = query.scorer.exact(scan.vector);
            if (query.scorer.passes(score)) {
                query.collector.offer(.{ .segment = hit.segment, .row = hit.row, .score = score });
            }
        }
        return @intCast(query.collector.finish().len);
    }

    fn verify(
        scan: *Scan,
        from: *SegmentState,
        first: u32,
        entries: []const format.RowEntry,
        vectors: []const u8,
    ) Error!void {
        const request = scan.request;
        const stride = request.state.vectorStride();
        const bytes = @as(usize, request.state.identity.dimension) * @sizeOf(f32);
        for (entries, 0..) |*entry, i| {
            const row = first + @as(u32, @intCast(i));
            if (from.verified.rows.isSet(row) or scan.isDead(row)) continue;
            try request.reader.verifyEntry(request.state, from, row, entry);
            const vector = vectors[i * stride ..][0..bytes];
            try request.reader.verifyVector(
                request.state,
                from,
                row,
                entry.vector_checksum,
                vector,
            );
        }
    }

    fn isDead(scan: *const Scan, row: u32) bool {
        const bits = &scan.dead[row / format.tombstone_rows_per_page];
        const index = row % format.tombstone_rows_per_page;
        return bits[index / 8] >> @intCast(index % 8) & 1 != 0;
    }

    fn bytesAt(scan: *Scan, offset: u64, len: usize) Error![]const u8 {
        if (scan.request.reader.image.scan(offset, len)) |bytes| return bytes;
        if (scan.block.len < len) {
            const gpa = scan.request.gpa;
            const bytes = scan.block_rows * scan.request.state.vectorStride();
            const block = gpa.alignedAlloc(u8, .@"64", bytes) catch
                return outOfMemory(scan.request);
            gpa.free(scan.block);
            scan.block = block;
        }
        const out = scan.block[0..len];
        try scan.request.reader.bytes(offset, out);
        return out;
    }

    fn entriesAt(scan: *Scan, offset: u64, count: u32) Error![]const format.RowEntry {
        const len = count * @sizeOf(format.RowEntry);
        if (scan.request.reader.image.scan(offset, len)) |bytes| {
            const aligned: []align(@alignOf(format.RowEntry)) const u8 = @alignCast(bytes);
            return std.mem.bytesAsSlice(format.RowEntry, aligned);
        }
        const out = scan.entries[0..count];
        try scan.request.reader.bytes(offset, std.mem.sliceAsBytes(out));
        return out;
    }
};

fn floats(vectors: []const u8, index: usize, stride: u64, dimension: u32) []const f32 {
    const start: [*]const u8 = vectors.ptr + index * @as(usize, @intCast(stride));
    const first: [*]const f32 = @ptrCast(@alignCast(start));
    return first[0..dimension];
}

fn outOfMemory(request: *const Request) Error {
    return request.reader.diagnostics.failOs(error.OutOfMemory, "searching");
}
