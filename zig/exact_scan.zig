//! Every selected row of a run is scored, in blocks that stay in the second-level cache while each
//! query of the call looks at them; where few rows of a block are selected, one by one. Rows that
//! this process has not seen yet are checked against their checksums on the way: a damaged vector
//! is an error, never a wrong neighbour.

const std = @import("std");
const errors = @import("errors.zig");
const format = @import("format.zig");
const kernels = @import("kernels/kernels.zig");
const collection_state = @import("collection_state.zig");
const search_query = @import("search_query.zig");

const Error = errors.Error;
const Crew = @import("os/crew.zig").Crew;
const Looker = @import("look.zig").Looker;
const SearchCost = @import("search_cost.zig").SearchCost;
const Selection = @import("selection.zig").Selection;
const SegmentState = collection_state.SegmentState;
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
    /// What one thread does at a time, and stays in its second-level cache.
    unit_rows: u32,
    /// Rows that are scored by all threads before the best are collected.
    block_rows: u32,
    crew: *const Crew,
    cost: SearchCost,
    looker: Looker,
    /// `block_rows` for each query.
    scores: []f32,
    /// Takes a block where there is no map.
    block: []align(64) u8 = &.{},
    entries: []format.RowEntry,
    /// The rows are what codes leave over: short runs everywhere, of which a map would hold a
    /// multiple in memory.
    is_beside_codes: bool = false,
    is_mapped: bool = true,

    const mapped_bytes_min = 1 << 20;
    const unit_bytes_max = 256 * 1024;
    const units_per_lane = 4;
    const tile_queries_max = 16;

    pub fn init(
        request: *const Request,
        queries: []Query,
        crew: *const Crew,
        cost: SearchCost,
    ) Error!ExactScan {
        const arena = request.memory.allocator();
        const stride = request.state.vectorStride();
        const unit_rows: u32 = @intCast(std.math.clamp(unit_bytes_max / stride, 1, 512));
        const lanes: u32 = @intCast(crew.lanes());
        const block_rows = if (lanes > 1) unit_rows * lanes * units_per_lane else unit_rows;
        const scores = arena.alloc(f32, block_rows * queries.len) catch
            return request.outOfMemory();
        const entries = arena.alloc(format.RowEntry, block_rows) catch return request.outOfMemory();
        return .{
            .request = request,
            .queries = queries,
            .unit_rows = unit_rows,
            .block_rows = block_rows,
            .crew = crew,
            .cost = cost,
            .looker = try .init(request),
            .scores = scores,
            .entries = entries,
        };
    }

    /// The selected rows from `start` up to `end`.
    pub fn rows(
        scan: *ExactScan,
        from: *SegmentState,
        selection: *const Selection,
        start: u32,
        end: u32,
        which: Which,
    ) Error!void {
        var wanted: u32 = 0;
        for (scan.queries) |*query| wanted += @intFromBool(which.has(query));
        if (wanted == 0) return;
        const stride = scan.request.state.vectorStride();
        scan.is_mapped = !scan.is_beside_codes or (end - start) * stride >= mapped_bytes_min;
        const report = scan.request.report;
        const for_queries = if (wanted == scan.queries.len) .all else which;
        var first = start;
        while (first < end) {
            const count = @min(scan.block_rows, end - first);
            defer first += count;
            const selected = selection.countIn(first, first + count);
            if (selected == 0) continue;
            if (scan.cost.isSparse(selected, count)) {
                report.compared += selected * wanted;
                try scan.rowByRow(from, selection, first, first + count, which);
                continue;
            }
            report.compared += count * wanted;
            report.bytes_read += count * (stride + @sizeOf(format.RowEntry));
            try scan.rowsOf(from, selection, first, count, for_queries);
        }
    }

    fn rowByRow(
        scan: *ExactScan,
        from: *SegmentState,
        selection: *const Selection,
        start: u32,
        end: u32,
        which: Which,
    ) Error!void {
        var next = selection.next(start, end);
        while (next) |row| {
            next = selection.next(row + 1, end);
            if (next) |later| scan.looker.announce(from, later);
            try scan.looker.read(from, row);
            for (scan.queries) |*query| {
                if (which.has(query)) try scan.looker.offer(from, row, query);
            }
        }
    }

    const Block = struct {
        from: *SegmentState,
        selection: *const Selection,
        first: u32,
        count: u32,
        vectors: []const u8,
        entries: []const format.RowEntry,
    };

    fn rowsOf(
        scan: *ExactScan,
        from: *SegmentState,
        selection: *const Selection,
        first: u32,
        count: u32,
        which: Which,
    ) Error!void {
        const stride = scan.request.state.vectorStride();
        const vectors = try scan.bytesAt(from.vectorOffset(first, stride), count * stride);
        const entries = try scan.entriesAt(from.entryOffset(first, stride), count);
        const block: Block = .{
            .from = from,
            .selection = selection,
            .first = first,
            .count = count,
            .vectors = vectors.content,
            .entries = entries.content,
        };
        try scan.verify(&block);
        const share: Share = .{ .scan = scan, .block = &block, .which = which };
        const unit_count = (count + scan.unit_rows - 1) / scan.unit_rows;
        scan.crew.forEach(unit_count, &share, Share.score);
        for (scan.queries, 0..) |*query, i| {
            if (which.has(query)) scan.collect(&block, query, scan.scoresOf(i)[0..count]);
        }
        const reader = scan.request.reader;
        if (vectors.is_mapped) try reader.confirm(from.vectorOffset(first, stride));
        if (entries.is_mapped) try reader.confirm(from.entryOffset(first, stride));
    }

    fn scoresOf(scan: *const ExactScan, query: usize) []f32 {
        return scan.scores[query * scan.block_rows ..][0..scan.block_rows];
    }

    /// Scoring the rows of a block, which several threads may do.
    const Share = struct {
        scan: *const ExactScan,
        block: *const Block,
        which: Which,

        fn score(share: *const Share, unit: usize) void {
            const scan = share.scan;
            const first = unit * scan.unit_rows;
            const count = @min(scan.unit_rows, share.block.count - first);
            if (share.which == .all and scan.queries.len >= search_query.tile_queries_min) {
                share.scoreTiles(first, count);
            } else for (scan.queries, 0..) |*query, i| {
                if (share.which.has(query)) share.scoreOne(query, i, first, count);
            }
        }

        fn vectorsFrom(share: *const Share, first: usize) [*]const u8 {
            return share.block.vectors.ptr + first * @as(usize, share.stride());
        }

        fn stride(share: *const Share) u32 {
            return @intCast(share.scan.request.state.vectorStride());
        }

        fn scoreOne(
            share: *const Share,
            query: *const Query,
            number: usize,
            first: usize,
            count: usize,
        ) void {
            const table = kernels.active();
            const dimension = share.scan.request.state.identity.dimension;
            const batch = if (query.scorer.metric == .l2) table.l2Batch else table.dotBatch;
            batch(
                query.scorer.query.ptr,
                share.vectorsFrom(first),
                share.stride(),
                count,
                dimension,
                share.scan.scoresOf(number)[first..].ptr,
            );
        }

        fn scoreTiles(share: *const Share, first: usize, count: usize) void {
            const table = kernels.active();
            const scan = share.scan;
            const dimension = scan.request.state.identity.dimension;
            const tileOf = if (scan.request.metric() == .l2) table.l2Tile else table.dotTile;
            var at: usize = 0;
            while (at < scan.queries.len) : (at += tile_queries_max) tileOf(&.{
                .queries = scan.request.queries[at * dimension ..].ptr,
                .query_stride = dimension,
                .query_count = @min(tile_queries_max, scan.queries.len - at),
                .rows = share.vectorsFrom(first),
                .row_stride_bytes = share.stride(),
                .row_count = count,
                .dimension = dimension,
                .out = scan.scoresOf(at)[first..].ptr,
                .out_stride = scan.block_rows,
            });
        }
    };

    fn collect(scan: *ExactScan, block: *const Block, query: *Query, scores: []const f32) void {
        const stride = scan.request.state.vectorStride();
        const dimension = scan.request.state.identity.dimension;
        for (scores, block.entries, 0..) |raw, entry, i| {
            const row = block.first + @as(u32, @intCast(i));
            const vector = floats(block.vectors, i, stride, dimension);
            const score = query.mayKeep(raw, entry.inverse_norm, vector) orelse continue;
            if (!block.selection.has(row)) continue;
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
            if (from.verified.rows.isSet(row) or !block.selection.has(row)) continue;
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

    /// What comes through a map must not be believed before it is confirmed.
    fn Read(comptime T: type) type {
        return struct { content: []const T, is_mapped: bool };
    }

    fn bytesAt(scan: *ExactScan, offset: u64, len: usize) Error!Read(u8) {
        if (scan.is_mapped) {
            if (scan.request.reader.image.scan(offset, len)) |bytes| {
                return .{ .content = bytes, .is_mapped = true };
            }
        }
        if (scan.block.len < len) {
            const bytes = scan.block_rows * scan.request.state.vectorStride();
            scan.block = scan.request.memory.allocator().alignedAlloc(u8, .@"64", bytes) catch
                return scan.request.outOfMemory();
        }
        const out = scan.block[0..len];
        try scan.request.glancing().bytes(offset, out);
        return .{ .content = out, .is_mapped = false };
    }

    fn entriesAt(scan: *ExactScan, offset: u64, count: u32) Error!Read(format.RowEntry) {
        const len = count * @sizeOf(format.RowEntry);
        const mapped = if (scan.is_mapped) scan.request.reader.image.scan(offset, len) else null;
        if (mapped) |bytes| {
            const aligned: []align(@alignOf(format.RowEntry)) const u8 = @alignCast(bytes);
            const content = std.mem.bytesAsSlice(format.RowEntry, aligned);
            return .{ .content = content, .is_mapped = true };
        }
        const out = scan.entries[0..count];
        try scan.request.glancing().bytes(offset, std.mem.sliceAsBytes(out));
        return .{ .content = out, .is_mapped = false };
    }
};

fn floats(vectors: []const u8, index: usize, stride: u64, dimension: u32) []const f32 {
    const start: [*]const u8 = vectors.ptr + index * @as(usize, @intCast(stride));
    const first: [*]const f32 = @ptrCast(@alignCast(start));
    return first[0..dimension];
}
