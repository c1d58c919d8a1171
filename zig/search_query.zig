//! What a search is asked, and the best rows that each of its queries has found so far.

const std = @import("std");
const errors = @import("errors.zig");
const metrics = @import("metrics.zig");
const rows = @import("rows.zig");
const top_k = @import("top_k.zig");
const collection_state = @import("collection_state.zig");
const Filter = @import("filter.zig").Filter;
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

/// What a search has done, over all its queries.
pub const Report = struct {
    /// Rows whose codes were read.
    codes_scanned: u64 = 0,
    /// Vectors that were compared because their codes did not rule them out.
    reranked: u64 = 0,
    /// Vectors that were compared without asking a code.
    compared: u64 = 0,
    /// Of codes and of vectors; what is read once for several queries counts once.
    bytes_read: u64 = 0,
    /// Number of the `Tier` whose kernels were used.
    cpu_tier: u64 = 0,
    /// That took part, the caller's among them.
    threads: u64 = 0,
    /// Rows that match the filter, and rows that there are.
    matched: u64 = 0,
    live: u64 = 0,
    /// Of rows of which the columns did not tell whether they match.
    documents_read: u64 = 0,
};

/// So many queries are scored in tiles: these read each row once for several queries, but have to
/// add up their lanes one by one.
pub const tile_queries_min = 3;

pub const Plan = enum(u32) {
    /// What the costs favour.
    fastest,
    /// Every vector is compared, and no codes are asked first.
    exact,
    /// Codes first, whatever they cost; for tests of them.
    codes,
};

pub const Request = struct {
    gpa: std.mem.Allocator,
    /// Of the search alone, who empties it.
    memory: *std.heap.ArenaAllocator,
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
    plan: Plan = .fastest,
    /// Only rows that match it; its own, it is worked in.
    filter: ?*const Filter = null,
    /// To share the work among; 0: as many as it is worth.
    threads: u32 = 0,
    report: *Report,
    /// count × k; the hits of query i start at i × k, best first.
    hits: []Hit,
    /// How many hits each query has.
    counts: []u32,

    /// For places all over the file.
    pub fn glancing(request: *const Request) rows.RowReader {
        var reader = request.reader;
        reader.is_glance = true;
        return reader;
    }

    pub fn metric(request: *const Request) Metric {
        return @enumFromInt(request.state.identity.metric);
    }

    pub fn segmentOf(request: *const Request, hit: Hit) Error!*SegmentState {
        return (try request.state.loadSegment(request.gpa, request.source, hit.segment)).?;
    }

    pub fn outOfMemory(request: *const Request) Error {
        return request.reader.diagnostics.failOs(error.OutOfMemory, "searching");
    }
};

pub const Collector = top_k.TopK(Hit, *Ties);

/// Equal scores are ordered by key.
pub const Ties = struct {
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
        const first = try request.reader.record(request.state, try request.segmentOf(a), a.row);
        const second = try request.other_reader.record(
            request.state,
            try request.segmentOf(b),
            b.row,
        );
        return std.mem.order(u8, first.key, second.key) == .lt;
    }
};

pub const Query = struct {
    scorer: metrics.Scorer,
    collector: Collector,
    /// Rows that have codes are looked at only where their codes say so.
    uses_codes: bool,

    /// The score of a row whose kernel's result is `raw`, if it may be among the best. `vector` is
    /// looked at where that says too little.
    pub fn mayKeep(query: *const Query, raw: f32, inverse_norm: f32, vector: []const f32) ?f32 {
        const scorer = &query.scorer;
        const score = scorer.estimate(raw, inverse_norm) orelse scorer.exact(vector);
        const may = query.collector.accepts(score) and scorer.mayPass(score, inverse_norm);
        return if (may) score else null;
    }
};
