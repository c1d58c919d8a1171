//! Scoring one row that is looked at for its own sake, all over the file.

const std = @import("std");
const errors = @import("errors.zig");
const kernels = @import("kernels/kernels.zig");
const metrics = @import("metrics.zig");
const collection_state = @import("collection_state.zig");
const search_query = @import("search_query.zig");

const Error = errors.Error;
const SegmentState = collection_state.SegmentState;
const Query = search_query.Query;
const Request = search_query.Request;

pub const Looker = struct {
    request: *const Request,
    /// Takes one vector that is not mapped.
    copy: []f32,
    /// The one that was read last.
    vector: []const f32 = &.{},
    /// Where it comes through a map, and must not be believed before it is confirmed.
    mapped_at: ?u64 = null,

    pub fn init(request: *const Request) Error!Looker {
        const dimension = request.state.identity.dimension;
        const copy = request.memory.allocator().alloc(f32, dimension) catch
            return request.outOfMemory();
        return .{ .request = request, .copy = copy };
    }

    /// The row's vector is what is offered from now on.
    pub fn read(looker: *Looker, from: *SegmentState, row: u32) Error!void {
        looker.request.report.bytes_read += looker.request.state.vectorStride();
        return looker.load(from, row);
    }

    fn load(looker: *Looker, from: *SegmentState, row: u32) Error!void {
        looker.mapped_at = null;
        if (from.verified.rows.isSet(row)) if (looker.mapped(from, row)) |vector| {
            looker.vector = vector;
            looker.mapped_at = looker.offsetOf(from, row);
            return;
        };
        const request = looker.request;
        try request.glancing().vector(request.state, from, row, looker.copy);
        looker.vector = looker.copy;
    }

    /// A row that will be read after the next ones is on its way from memory meanwhile.
    pub fn announce(looker: *const Looker, from: *SegmentState, row: u32) void {
        const vector = looker.mapped(from, row) orelse return;
        const bytes = std.mem.sliceAsBytes(vector);
        var at: usize = 0;
        while (at < @min(bytes.len, announced_bytes_max)) : (at += std.atomic.cache_line) {
            @prefetch(bytes.ptr + at, .{});
        }
    }
    /// What follows comes by itself.
    const announced_bytes_max = 1024;

    /// Only what is in memory already.
    fn mapped(looker: *const Looker, from: *SegmentState, row: u32) ?[]const f32 {
        const dimension = looker.request.state.identity.dimension;
        const image = looker.request.reader.image;
        const bytes = image.hot(looker.offsetOf(from, row), @sizeOf(f32) * dimension) orelse
            return null;
        return @alignCast(std.mem.bytesAsSlice(f32, bytes));
    }

    fn offsetOf(looker: *const Looker, from: *SegmentState, row: u32) u64 {
        return from.vectorOffset(row, looker.request.state.vectorStride());
    }

    /// The score, in double precision, of a row that was read before.
    pub fn exactly(
        looker: *Looker,
        from: *SegmentState,
        row: u32,
        query: *const Query,
    ) Error!f32 {
        try looker.load(from, row);
        const score = query.scorer.exact(looker.vector);
        try looker.confirm();
        return score;
    }

    fn confirm(looker: *const Looker) Error!void {
        if (looker.mapped_at) |offset| try looker.request.reader.confirm(offset);
    }

    /// Offers the row that was read to a query.
    pub fn offer(looker: *const Looker, from: *SegmentState, row: u32, query: *Query) Error!void {
        const table = kernels.active();
        const score = if (query.scorer.metric == .l2) table.l2Batch else table.dotBatch;
        const values = query.scorer.query;
        var raw: [1]f32 = undefined;
        score(values.ptr, @ptrCast(looker.vector.ptr), 0, 1, values.len, &raw);
        const inverse_norm = metrics.inverseNorm(looker.vector);
        const kept = query.mayKeep(raw[0], inverse_norm, looker.vector);
        try looker.confirm();
        if (kept) |estimate| {
            query.collector.offer(.{ .segment = from.disk.id, .row = row, .score = estimate });
        }
    }
};
