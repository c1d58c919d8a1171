//! A search: first which rows match its filter, if it has one; then by the plan that takes the
//! least time; and in the end the best k scored again in double precision, so that the returned
//! scores do not depend on the CPU.
//!
//! It goes on in steps, so that a caller on another thread can let others in between two of them.

const std = @import("std");
const errors = @import("errors.zig");
const format = @import("format.zig");
const kernels = @import("kernels/kernels.zig");
const search_cost = @import("search_cost.zig");
const search_query = @import("search_query.zig");
const CodeScan = @import("code_scan.zig").CodeScan;
const Crew = @import("os/crew.zig").Crew;
const ExactScan = @import("exact_scan.zig").ExactScan;
const Filter = @import("filter.zig").Filter;
const Looker = @import("look.zig").Looker;
const Matches = @import("matches.zig").Matches;
const SearchCost = search_cost.SearchCost;
const SegmentState = @import("collection_state.zig").SegmentState;
const Selection = @import("selection.zig").Selection;

const Error = errors.Error;
const Query = search_query.Query;
const Ties = search_query.Ties;

pub const Hit = search_query.Hit;
pub const Plan = search_query.Plan;
pub const Report = search_query.Report;
pub const Request = search_query.Request;

/// What is held for each query stays in the second-level cache together.
const queries_at_once = 64;

pub const Search = struct {
    request: Request,
    /// Of the filter; null without one. Somewhere else, because they are large and most searches
    /// have none.
    matches: ?*Matches,
    matches_are_known: bool,
    crew: Crew,
    /// How many the crew has while it works; 0 before that is known.
    lanes: usize = 0,
    next_query: usize = 0,
    part: ?*Part = null,

    /// What the request points at belongs to the caller, until `deinit`.
    pub fn init(request: Request) Error!Search {
        const query_count = request.queries.len / request.state.identity.dimension;
        std.debug.assert(request.hits.len == query_count * request.k);
        std.debug.assert(request.counts.len == query_count);
        request.report.cpu_tier = @intFromEnum(kernels.activeTier());
        const state = request.state;
        request.report.live = state.live_rows;
        return .{
            .request = request,
            .matches = if (request.filter) |filter| try createMatches(&request, filter) else null,
            .matches_are_known = request.filter == null,
            .crew = .init(request.gpa, 1),
        };
    }

    fn createMatches(request: *const Request, filter: *const Filter) Error!*Matches {
        const matches = request.gpa.create(Matches) catch return request.outOfMemory();
        matches.* = .init(request.gpa, request.state, request.source, request.reader, filter);
        return matches;
    }

    pub fn deinit(search: *Search) void {
        search.rest();
        if (search.matches) |matches| {
            matches.deinit();
            search.request.gpa.destroy(matches);
        }
        search.request.reader.image.trim();
        search.* = undefined;
    }

    /// Dismisses the threads until the next step: searches that wait for their turn have none.
    pub fn rest(search: *Search) void {
        search.crew.deinit();
    }

    /// Takes about as long as one query takes for `bytes_max`; false when all is done.
    pub fn step(search: *Search, bytes_max: u64) Error!bool {
        var left = bytes_max;
        if (!search.matches_are_known) {
            left -|= try search.match(left);
            if (!search.matches_are_known or left == 0) return true;
        }
        if (search.lanes == 0) search.lanes = threadsFor(&search.request, search.wantedRows());
        if (search.crew.lanes() < search.lanes) {
            search.crew.deinit();
            search.crew = .init(search.request.gpa, search.lanes);
            search.lanes = search.crew.lanes();
        }
        search.request.report.threads = search.lanes;
        while (left > 0) {
            if (search.part == null) {
                if (search.next_query == search.request.counts.len) return false;
                search.part = try search.begin();
            }
            const part = search.part.?;
            if (!try part.step(left)) search.part = null;
            left -|= part.bytes_taken;
        }
        return true;
    }

    /// Goes on with the filter; how much it has read.
    fn match(search: *Search, bytes_max: u64) Error!u64 {
        const matches = search.matches.?;
        const before = matches.filter.bytes_read;
        search.matches_are_known = !try matches.step(bytes_max);
        const report = search.request.report;
        const read = matches.filter.bytes_read - before;
        report.bytes_read += read;
        report.matched = matches.count;
        report.documents_read = matches.filter.documents_read;
        return read;
    }

    fn wantedRows(search: *const Search) u64 {
        return if (search.matches) |matches| matches.count else search.request.state.live_rows;
    }

    fn begin(search: *Search) Error!*Part {
        const request = &search.request;
        _ = request.memory.reset(.retain_capacity);
        const part = request.memory.allocator().create(Part) catch return request.outOfMemory();
        const first = search.next_query;
        const count = @min(queries_at_once, request.counts.len - first);
        search.next_query += count;
        const dimension = request.state.identity.dimension;
        part.request = request.*;
        part.request.queries = request.queries[first * dimension ..][0 .. count * dimension];
        part.request.hits = request.hits[first * request.k ..][0 .. count * request.k];
        part.request.counts = request.counts[first..][0..count];
        try part.init(&search.crew, search.matches);
        return part;
    }
};

/// Some queries, which look at the rows together.
const Part = struct {
    request: Request,
    queries: []Query,
    ties: Ties,
    exact: ExactScan,
    coded: ?CodeScan,
    matches: ?*const Matches,
    /// The segment under way, which of its rows are wanted, and the next row.
    segment: ?*SegmentState,
    selection: Selection,
    row: u32,
    next_segment: u32,
    rows_next: u64,
    /// Queries that are done with.
    finished: u32,
    /// Of the next one, the rows that were kept, and how many of them have their final scores.
    kept: ?[]const Hit,
    rescored: usize,
    looker: Looker,
    /// What the last step is worth, in bytes that one query looks at.
    bytes_taken: u64,

    /// Nothing of the part but the request is set yet.
    fn init(part: *Part, crew: *const Crew, matches: ?*const Matches) Error!void {
        const request = &part.request;
        const dimension = request.state.identity.dimension;
        part.ties = .{ .request = request };
        part.queries = request.memory.allocator().alloc(Query, request.counts.len) catch
            return request.outOfMemory();
        const wanted_rows = if (matches) |found| found.count else request.state.live_rows;
        const cost: SearchCost = .of(request.state, request.counts.len, wanted_rows);
        const uses_codes = usesCodes(request, cost);
        for (part.queries, 0..) |*query, i| {
            const values = request.queries[i * dimension ..][0..dimension];
            const hits = request.hits[i * request.k ..][0..request.k];
            query.* = .{
                .scorer = .init(request.metric(), values, request.threshold),
                .collector = .init(hits, request.metric().order(), &part.ties),
                .uses_codes = uses_codes,
            };
        }
        part.exact = try .init(request, part.queries, crew, cost);
        part.exact.is_beside_codes = uses_codes;
        part.coded = if (uses_codes)
            try .init(request, part.queries, &part.exact, crew, cost)
        else
            null;
        part.matches = matches;
        part.segment = null;
        part.selection = .{};
        part.row = 0;
        part.next_segment = 0;
        part.rows_next = rows_first;
        part.finished = 0;
        part.kept = null;
        part.rescored = 0;
        part.looker = try .init(request);
    }

    /// Some rows, or what is left to do for one of the queries; false when all is done.
    fn step(part: *Part, bytes_max: u64) Error!bool {
        if (part.segment == null) part.segment = try part.nextSegment();
        if (part.segment) |segment| {
            const before = part.request.report.bytes_read;
            try part.rows(segment, bytes_max);
            if (part.ties.failure) |failure| return failure;
            part.bytes_taken = (part.request.report.bytes_read - before) * part.weight();
            return true;
        }
        part.bytes_taken = 0;
        if (part.finished == part.queries.len) return false;
        const hits_max = std.math.clamp(bytes_max / finish_bytes_per_hit, 16, 4096);
        part.bytes_taken = finish_bytes_per_hit * try part.rescore(part.finished, hits_max);
        if (part.ties.failure) |failure| return failure;
        return part.finished < part.queries.len;
    }

    fn nextSegment(part: *Part) Error!?*SegmentState {
        const request = &part.request;
        const state = request.state;
        while (try state.nextSegment(request.gpa, request.source, part.next_segment)) |segment| {
            part.next_segment = segment.disk.id + 1;
            if (segment.disk.rows == segment.disk.dead_rows) continue;
            if (part.matches) |matches| {
                const words = matches.of(segment.disk.id) orelse continue;
                try part.selection.load(request.source, segment);
                part.selection.keepOnly(words);
            } else try part.selection.load(request.source, segment);
            part.row = 0;
            return segment;
        }
        return null;
    }

    /// A hit that is read for its own sake takes as long as some kilobytes in order.
    const finish_bytes_per_hit = 8192;

    /// How many times as long as reading the rows takes what the queries do with them.
    fn weight(part: *const Part) u64 {
        const queries_per_read: u64 = if (part.coded != null) 4 else 8;
        return (part.queries.len + queries_per_read - 1) / queries_per_read;
    }

    fn rows(part: *Part, segment: *SegmentState, bytes_max: u64) Error!void {
        const start = part.row;
        const end = @min(segment.disk.rows, start + part.rowsAtOnce(bytes_max));
        const coded: CodeScan.Scanned = if (part.coded) |*scan|
            try scan.rows(segment, &part.selection, start, end)
        else
            .{ .end = start };
        try part.exact.rows(segment, &part.selection, start, coded.end, .without_codes);
        part.row = coded.end;
        if (coded.goes_on) return;
        try part.exact.rows(segment, &part.selection, coded.end, end, .all);
        part.row = end;
        if (end == segment.disk.rows) part.segment = null;
    }

    /// A multiple of the rows of a block of codes. What one thread reads of them takes about half a
    /// millisecond. The first ones are fewer: it is between two steps that a query gives codes up.
    fn rowsAtOnce(part: *Part, bytes_max: u64) u32 {
        const state = part.request.state;
        const all_use_codes = for (part.queries) |*query| {
            if (!query.uses_codes) break false;
        } else true;
        const row_bytes = if (all_use_codes)
            search_cost.codeBytes(state)
        else
            search_cost.vectorBytes(state);
        const bytes = @min(bytes_at_once, bytes_max / part.weight());
        const most = part.exact.crew.lanes() * bytes / row_bytes + 1;
        const count = std.mem.alignForward(u64, @min(most, part.rows_next), format.code_block_rows);
        part.rows_next = 2 * @min(part.rows_next, most);
        return @intCast(count);
    }
    const bytes_at_once = 4 << 20;
    const rows_first = 1024;

    /// Scores what a query has kept in double precision, drops what is beyond the threshold after
    /// all, and in the end puts the rest in its final order. Returns how many it has scored.
    fn rescore(part: *Part, number: usize, hits_max: u64) Error!u64 {
        const request = &part.request;
        const query = &part.queries[number];
        const kept = part.kept orelse kept: {
            if (part.coded) |*scan| {
                try scan.finish(number);
                request.reader.image.code_chunks = scan.reader.code_chunks;
            }
            part.rescored = 0;
            part.kept = query.collector.finish();
            break :kept part.kept.?;
        };
        // What is offered again takes a place that was read already.
        const todo = kept[part.rescored..][0..@intCast(@min(kept.len - part.rescored, hits_max))];
        for (todo) |hit| {
            const from = try request.segmentOf(hit);
            const score = try part.looker.exactly(from, hit.row, query);
            part.rescored += 1;
            if (query.scorer.passes(score)) {
                query.collector.offer(.{ .segment = hit.segment, .row = hit.row, .score = score });
            }
        }
        if (part.rescored == kept.len) {
            request.counts[number] = @intCast(query.collector.finish().len);
            part.kept = null;
            part.finished += 1;
        }
        return todo.len;
    }
};

fn usesCodes(request: *const Request, cost: SearchCost) bool {
    return switch (request.plan) {
        .fastest => cost.favoursCodes(request.state.live_rows, request.k),
        .exact => false,
        .codes => true,
    };
}

/// A thread is worth its start where it reads some megabytes.
fn threadsFor(request: *const Request, wanted_rows: u64) usize {
    if (request.threads > 0) return request.threads;
    const state = request.state;
    const query_count = @min(queries_at_once, request.counts.len);
    const cost: SearchCost = .of(state, query_count, wanted_rows);
    const row_bytes = if (usesCodes(request, cost))
        search_cost.codeBytes(state)
    else
        search_cost.vectorBytes(state);
    const wanted = wanted_rows * row_bytes / thread_bytes_min;
    if (wanted < 2) return 1;
    return @min(wanted, threads_max, std.Thread.getCpuCount() catch 1);
}
const thread_bytes_min = 16 << 20;
const threads_max = 4;
