//! A search: for each segment the plan that reads the fewest bytes, and in the end the best k
//! scored again in double precision, so that the returned scores do not depend on the CPU.

const std = @import("std");
const codes = @import("codes.zig");
const errors = @import("errors.zig");
const format = @import("format.zig");
const kernels = @import("kernels/kernels.zig");
const search_query = @import("search_query.zig");
const CodeScan = @import("code_scan.zig").CodeScan;
const ExactScan = @import("exact_scan.zig").ExactScan;

const Error = errors.Error;
const DeadRows = search_query.DeadRows;
const Query = search_query.Query;
const Ties = search_query.Ties;

pub const Hit = search_query.Hit;
pub const Report = search_query.Report;
pub const Request = search_query.Request;

/// What is held for each query stays in the second-level cache together.
const queries_at_once = 64;

pub fn run(request: *const Request) Error!void {
    const dimension = request.state.identity.dimension;
    const query_count = request.queries.len / dimension;
    const k = request.k;
    std.debug.assert(request.hits.len == query_count * k and request.counts.len == query_count);
    request.report.cpu_tier = @intFromEnum(kernels.activeTier());
    var first: usize = 0;
    while (first < query_count) {
        const count = @min(queries_at_once, query_count - first);
        var part = request.*;
        part.queries = request.queries[first * dimension ..][0 .. count * dimension];
        part.hits = request.hits[first * k ..][0 .. count * k];
        part.counts = request.counts[first..][0..count];
        try runPart(&part);
        first += count;
    }
    request.reader.image.trim();
}

fn runPart(request: *const Request) Error!void {
    const dimension = request.state.identity.dimension;
    var ties: Ties = .{ .request = request };
    const queries = request.arena.alloc(Query, request.counts.len) catch
        return request.outOfMemory();
    const uses_codes = usesCodes(request);
    for (queries, 0..) |*query, i| {
        const values = request.queries[i * dimension ..][0..dimension];
        const hits = request.hits[i * request.k ..][0..request.k];
        query.* = .{
            .scorer = .init(request.metric(), values, request.threshold),
            .collector = .init(hits, request.metric().order(), &ties),
            .uses_codes = uses_codes,
        };
    }
    var exact = try ExactScan.init(request, queries);
    if (uses_codes) {
        exact.is_beside_codes = true;
        var coded = try CodeScan.init(request, queries, &exact, codes.dimensionFor(dimension));
        try scanSegments(request, &exact, &coded);
        try coded.finish();
    } else try scanSegments(request, &exact, null);
    for (queries, request.counts) |*query, *count| count.* = try finish(request, query);
    if (ties.failure) |failure| return failure;
}

fn scanSegments(request: *const Request, exact: *ExactScan, coded: ?*CodeScan) Error!void {
    var dead: DeadRows = .{};
    var id: u32 = 0;
    while (try request.state.nextSegment(request.gpa, request.source, id)) |segment| {
        id = segment.disk.id + 1;
        const rows = segment.disk.rows;
        if (rows == segment.disk.dead_rows) continue;
        try dead.load(request.source, segment);
        const done = if (coded) |scan| try scan.segment(segment, &dead) else 0;
        try exact.rows(segment, &dead, 0, done, .without_codes);
        try exact.rows(segment, &dead, done, rows, .all);
    }
}

/// Codes are for collections where they save something: preparing a query takes as long as scoring
/// some hundred rows, and short vectors are hardly longer than their codes.
fn usesCodes(request: *const Request) bool {
    const state = request.state;
    if (request.exact or request.k > state.live_rows / 16) return false;
    const code_dimension = codes.dimensionFor(state.identity.dimension);
    const code_bytes = format.codeBlockBytes(code_dimension) / format.code_block_rows;
    const row_bytes = state.vectorStride() + @sizeOf(format.RowEntry);
    return state.live_rows >= 512 and row_bytes >= 3 * code_bytes;
}

/// Scores what was kept in double precision, drops what is beyond the threshold after all, and puts
/// the rest in its final order.
fn finish(request: *const Request, query: *Query) Error!u32 {
    const dimension = request.state.identity.dimension;
    const vector = request.arena.alloc(f32, dimension) catch return request.outOfMemory();
    const kept = query.collector.finish();
    for (kept) |hit| {
        const from = try request.segmentOf(hit);
        try request.glancing().vector(request.state, from, hit.row, vector);
        const score = query.scorer.exact(vector);
        if (query.scorer.passes(score)) {
            query.collector.offer(.{ .segment = hit.segment, .row = hit.row, .score = score });
        }
    }
    return @intCast(query.collector.finish().len);
}
