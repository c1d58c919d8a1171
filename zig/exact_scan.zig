//! Every live row of a run is scored, in blocks that stay in the second-level cache while each
//! query of the call looks at them. Rows that this process has not seen yet are checked against
//! their checksums on the way: a damaged vector is an error, never a wrong neighbour.

const std = @import("std");
const errors = @import("errors.zig");
const format = @import("format.zig");
const kernels = @import("kernels/kernels.zig");
const collection_state = @import("collection_state.zig");
const search_query = @import("search_query.zig");

const Error = errors.Error;
const SegmentState = collection_state.SegmentState;
const DeadRows = search_query.DeadRows;
const Query = search_query.Query;
const Request = search_query.Request;

/// The queries that a run of rows is for.
pub const Which = enum {
    all,
    with_codes,
    without_codes,

    fn has(which: Which, query: *const Query) bool {
        return switch (which) {
            .all => true,
            .with_codes => query.uses_codes,
            .without_codes => !query.uses_codes,
        };
    }
};

pub const ExactScan = struct {
    request: *const Request,
    queries: []Query,
    block_rows: u32,
    /// Of as many queries at once as a tile has.
    scores: []f32,
    /// Takes a block where there is no map.
    block: []align(64) u8 = &.{},
    entries: []format.RowEntry,
    /// The rows are what codes leave over: short runs everywhere, of which a map would hold a
    /// multiple in memory.
    is_beside_codes: bool = false,
    is_mapped: bool = true,

    const mapped_bytes_min = 1 << 20;
    const block_bytes_max = 256 * 1024;
    const tile_queries_max = 16;
    /// A tile reads each row once for several queries, but has to add up their lanes one by one.
    const tile_queries_min = 3;

    pub fn init(request: *const Request, queries: []Query) Error!ExactScan {
        const arena = request.arena;
        const stride = request.state.vectorStride();
        const block_rows: u32 = @intCast(std.math.clamp(block_bytes_max / stride, 1, 1024));
        const at_once = @min(queries.len, tile_queries_max);
        const scores = arena.alloc(f32, block_rows * at_once) catch return request.outOfMemory();
        const entries = arena.alloc(format.RowEntry, block_rows) catch return request.outOfMemory();
        return .{
            .request = request,
            .queries = queries,
            .block_rows = block_rows,
            .scores = scores,
            .entries = entries,
        };
    }

    /// The rows from `start` up to `end`.
    pub fn rows(
        scan: *ExactScan,
        from: *SegmentState,
        dead: *const DeadRows,
        start: u32,
        end: u32,
        which: Which,
    ) Error!void {
        var wanted: usize = 0;
        for (scan.queries) |*query| wanted += @intFromBool(which.has(query));
        if (wanted == 0) return;
        const bytes = (end - start) * scan.request.state.vectorStride();
        scan.is_mapped = !scan.is_beside_codes or bytes >= mapped_bytes_min;
        const report = scan.request.report;
        report.compared += (end - start) * wanted;
        report.bytes_read += (end - start) *
            (scan.request.state.vectorStride() + @sizeOf(format.RowEntry));
        const has_all = wanted == scan.queries.len;
        var first = start;
        while (first < end) {
            const count = @min(scan.block_rows, end - first);
            try scan.rowsOf(from, dead, first, count, if (has_all) .all else which);
            first += count;
        }
    }

    const Block = struct {
        from: *SegmentState,
        dead: *const DeadRows,
        first: u32,
        count: u32,
        vectors: []const u8,
        entries: []const format.RowEntry,
    };

    fn rowsOf(
        scan: *ExactScan,
        from: *SegmentState,
        dead: *const DeadRows,
        first: u32,
        count: u32,
        which: Which,
    ) Error!void {
        const stride = scan.request.state.vectorStride();
        const block: Block = .{
            .from = from,
            .dead = dead,
            .first = first,
            .count = count,
            .vectors = try scan.bytesAt(from.vectorOffset(first, stride), count * stride),
            .entries = try scan.entriesAt(from.entryOffset(first, stride), count),
        };
        try scan.verify(&block);
        if (which == .all and scan.queries.len >= tile_queries_min) {
            scan.scoreTiles(&block);
        } else for (scan.queries, 0..) |*query, i| {
            if (which.has(query)) scan.scoreOne(&block, query, i);
        }
        try scan.confirm(from.vectorOffset(first, stride));
        try scan.confirm(from.entryOffset(first, stride));
    }

    fn scoreOne(scan: *ExactScan, block: *const Block, query: *Query, index: usize) void {
        const table = kernels.active();
        const dimension = scan.request.state.identity.dimension;
        const score = if (query.scorer.metric == .l2) table.l2Batch else table.dotBatch;
        score(
            scan.request.queries[index * dimension ..].ptr,
            block.vectors.ptr,
            @intCast(scan.request.state.vectorStride()),
            block.count,
            dimension,
            scan.scores.ptr,
        );
        scan.collect(block, query, scan.scores[0..block.count]);
    }

    fn scoreTiles(scan: *ExactScan, block: *const Block) void {
        const table = kernels.active();
        const dimension = scan.request.state.identity.dimension;
        const is_l2 = scan.request.metric() == .l2;
        var at: usize = 0;
        while (at < scan.queries.len) : (at += tile_queries_max) {
            const count = @min(tile_queries_max, scan.queries.len - at);
            const tile: kernels.Tile = .{
                .queries = scan.request.queries[at * dimension ..].ptr,
                .query_stride = dimension,
                .query_count = count,
                .rows = block.vectors.ptr,
                .row_stride_bytes = @intCast(scan.request.state.vectorStride()),
                .row_count = block.count,
                .dimension = dimension,
                .out = scan.scores.ptr,
                .out_stride = scan.block_rows,
            };
            if (is_l2) table.l2Tile(&tile) else table.dotTile(&tile);
            for (scan.queries[at..][0..count], 0..) |*query, i| {
                scan.collect(block, query, scan.scores[i * scan.block_rows ..][0..block.count]);
            }
        }
    }

    fn collect(scan: *ExactScan, block: *const Block, query: *Query, scores: []const f32) void {
        const stride = scan.request.state.vectorStride();
        const dimension = scan.request.state.identity.dimension;
        for (scores, block.entries, 0..) |raw, entry, i| {
            const row = block.first + @as(u32, @intCast(i));
            const vector = floats(block.vectors, i, stride, dimension);
            const score = query.mayKeep(raw, entry.inverse_norm, vector) orelse continue;
            if (block.dead.has(row)) continue;
            const id = block.from.disk.id;
            query.collector.offer(.{ .segment = id, .row = row, .score = score });
        }
    }

    fn verify(scan: *ExactScan, block: *const Block) Error!void {
        const request = scan.request;
        const from = block.from;
        const stride = request.state.vectorStride();
        const bytes = @as(usize, request.state.identity.dimension) * @sizeOf(f32);
        for (block.entries, 0..) |*entry, i| {
            const row = block.first + @as(u32, @intCast(i));
            if (from.verified.rows.isSet(row) or block.dead.has(row)) continue;
            try request.reader.verifyEntry(request.state, from, row, entry);
            const vector = block.vectors[i * stride ..][0..bytes];
            try request.reader.verifyVector(
                request.state,
                from,
                row,
                entry.vector_checksum,
                vector,
            );
        }
    }

    /// An error where the map showed bytes that the file has lost.
    fn confirm(scan: *ExactScan, offset: u64) Error!void {
        const reader = scan.request.reader;
        if (!reader.image.isWhole(offset)) return reader.failRead(error.Truncated, offset);
    }

    fn bytesAt(scan: *ExactScan, offset: u64, len: usize) Error![]const u8 {
        if (scan.is_mapped) {
            if (scan.request.reader.image.scan(offset, len)) |bytes| return bytes;
        }
        if (scan.block.len < len) {
            const bytes = scan.block_rows * scan.request.state.vectorStride();
            scan.block = scan.request.arena.alignedAlloc(u8, .@"64", bytes) catch
                return scan.request.outOfMemory();
        }
        const out = scan.block[0..len];
        try scan.request.glancing().bytes(offset, out);
        return out;
    }

    fn entriesAt(scan: *ExactScan, offset: u64, count: u32) Error![]const format.RowEntry {
        const len = count * @sizeOf(format.RowEntry);
        const mapped = if (scan.is_mapped) scan.request.reader.image.scan(offset, len) else null;
        if (mapped) |bytes| {
            const aligned: []align(@alignOf(format.RowEntry)) const u8 = @alignCast(bytes);
            return std.mem.bytesAsSlice(format.RowEntry, aligned);
        }
        const out = scan.entries[0..count];
        try scan.request.glancing().bytes(offset, std.mem.sliceAsBytes(out));
        return out;
    }
};

fn floats(vectors: []const u8, index: usize, stride: u64, dimension: u32) []const f32 {
    const start: [*]const u8 = vectors.ptr + index * @as(usize, @intCast(stride));
    const first: [*]const f32 = @ptrCast(@alignCast(start));
    return first[0..dimension];
}
