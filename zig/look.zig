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
    /// Takes one vector.
    vector: []f32,

    pub fn init(request: *const Request) Error!Looker {
        const dimension = request.state.identity.dimension;
        const vector = request.memory.allocator().alloc(f32, dimension) catch
            return request.outOfMemory();
        return .{ .request = request, .vector = vector };
    }

    pub fn read(looker: *const Looker, from: *SegmentState, row: u32) Error!void {
        const request = looker.request;
        request.report.bytes_read += request.state.vectorStride();
        try request.glancing().vector(request.state, from, row, looker.vector);
    }

    /// Offers the row that was read to a query.
    pub fn offer(looker: *const Looker, from: *SegmentState, row: u32, query: *Query) void {
        const table = kernels.active();
        const score = if (query.scorer.metric == .l2) table.l2Batch else table.dotBatch;
        const values = query.scorer.query;
        var raw: [1]f32 = undefined;
        score(values.ptr, @ptrCast(looker.vector.ptr), 0, 1, values.len, &raw);
        const inverse_norm = metrics.inverseNorm(looker.vector);
        const kept = query.mayKeep(raw[0], inverse_norm, looker.vector) orelse return;
        query.collector.offer(.{ .segment = from.disk.id, .row = row, .score = kept });
    }
};
