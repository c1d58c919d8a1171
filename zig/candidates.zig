//! Rows that may be among the best of a query, as their codes say, and have not been looked at.
//! The most promising are looked at first: each that is found rejects others.

const std = @import("std");
const kernels = @import("kernels/kernels.zig");
const search_query = @import("search_query.zig");
const Error = @import("errors.zig").Error;
const Looker = @import("look.zig").Looker;
const Query = search_query.Query;
const SegmentState = @import("collection_state.zig").SegmentState;

pub const Candidate = struct {
    from: *SegmentState,
    row: u32,
    estimate: f32,
    /// The score is hardly above it, as the kernels count.
    bound: f32,

    fn isBetter(_: void, a: Candidate, b: Candidate) bool {
        return a.estimate > b.estimate;
    }
};

pub const Candidates = struct {
    rows: []Candidate,
    count: usize = 0,
    /// Those that were looked at.
    looked_at: u64 = 0,

    const count_max = 512;

    pub fn init(arena: std.mem.Allocator) error{OutOfMemory}!Candidates {
        return .{ .rows = try arena.alloc(Candidate, count_max) };
    }

    /// Beyond this they are looked at, and reject others.
    pub fn isFull(candidates: *const Candidates) bool {
        return candidates.count == candidates.rows.len;
    }

    pub fn add(candidates: *Candidates, candidate: Candidate) void {
        candidates.rows[candidates.count] = candidate;
        candidates.count += 1;
    }

    /// `best` leaves those whose estimates are not among the k best for later, when fewer of them
    /// may be left.
    pub const Which = enum { best, all };

    /// Looks at candidates, the best first.
    pub fn settle(
        candidates: *Candidates,
        looker: *Looker,
        query: *Query,
        kernel: *const kernels.CodeQuery,
        which: Which,
    ) Error!void {
        const rows = candidates.rows[0..candidates.count];
        std.sort.pdq(Candidate, rows, {}, Candidate.isBetter);
        var left: usize = 0;
        for (rows, 1..) |candidate, next| {
            if (next < rows.len) looker.announce(rows[next].from, rows[next].row);
            const least = limitOf(query, kernel);
            if (candidate.bound < least) continue;
            if (which == .best and candidate.estimate < least) {
                rows[left] = candidate;
                left += 1;
                continue;
            }
            candidates.looked_at += 1;
            looker.request.report.reranked += 1;
            try looker.read(candidate.from, candidate.row);
            try looker.offer(candidate.from, candidate.row, query);
        }
        candidates.count = left;
    }
};

/// The score that a row has to reach, as the kernels count: larger is better. A little less, for
/// their rounding.
pub fn limitOf(query: *const Query, kernel: *const kernels.CodeQuery) f32 {
    const scorer = &query.scorer;
    const worst = query.collector.worst();
    const least = switch (scorer.metric) {
        .l2 => l2: {
            const threshold = scorer.threshold orelse std.math.inf(f32);
            const distance = @min(worst, threshold);
            break :l2 -distance * distance;
        },
        .cosine, .dot => @max(worst, scorer.threshold orelse -std.math.inf(f32)),
    };
    if (!std.math.isFinite(least)) return -std.math.inf(f32);
    return least - 1e-5 * (@abs(least) + @abs(kernel.base));
}
