//! A search as a caller asks for it, checked, and over the state that is read now.

const std = @import("std");
const arguments = @import("arguments.zig");
const limits = @import("limits.zig");
const live_filter = @import("live_filter.zig");
const search_query = @import("search_query.zig");
const Access = @import("access.zig").Access;
const Error = @import("errors.zig").Error;

const threads_max = @import("os/crew.zig").lanes_max;

pub const SearchOptions = struct {
    k: u32,
    threshold: ?f32 = null,
    plan: search_query.Plan = .fastest,
    /// Threads to share the work among; 0: as many as it is worth, at most four.
    threads: u32 = 0,
    /// As filter.zig has it; empty: all rows.
    filter: []const u8 = &.{},
};

/// What a search works in, and where its answer goes.
pub const SearchRoom = struct {
    /// Keeps the filter.
    filter_memory: std.mem.Allocator,
    memory: *std.heap.ArenaAllocator,
    hits: []search_query.Hit,
    counts: []u32,
    report: *search_query.Report,
};

/// All that it points at outlives it.
pub fn requestOf(
    access: *Access,
    queries: []const f32,
    options: *const SearchOptions,
    room: SearchRoom,
) Error!search_query.Request {
    try check(access, queries, options, room);
    const database = access.database();
    return .{
        .gpa = access.gpa,
        .memory = room.memory,
        .state = try access.currentState(),
        .source = access.source(),
        .reader = database.reader(database.scratch),
        .other_reader = database.reader(database.other_scratch),
        .queries = queries,
        .k = options.k,
        .threshold = options.threshold,
        .plan = options.plan,
        .threads = options.threads,
        .filter = try live_filter.parse(access, room.filter_memory, options.filter),
        .report = room.report,
        .hits = room.hits,
        .counts = room.counts,
    };
}

fn check(
    access: *const Access,
    queries: []const f32,
    options: *const SearchOptions,
    room: SearchRoom,
) Error!void {
    const k = options.k;
    const dimension = access.dimension();
    const count = queries.len / dimension;
    if (count * dimension != queries.len or count != room.counts.len) return access.fail(
        error.Dimension,
        "found {d} numbers for {d} queries, expected {d} for each",
        .{ queries.len, room.counts.len, dimension },
    );
    if (k == 0 or k > limits.k_max or room.hits.len != count * k) return access.fail(
        error.InvalidArgument,
        "k is {d} with room for {d} hits, expected 1 to {d} and room for k hits for each query",
        .{ k, room.hits.len, limits.k_max },
    );
    if (options.threads > threads_max) return access.fail(
        error.InvalidArgument,
        "{d} threads were asked for, expected at most {d}, or 0 for as many as the work is worth",
        .{ options.threads, threads_max },
    );
    for (0..count) |i| {
        _ = try arguments.checkVector(access, queries[i * dimension ..][0..dimension], i);
    }
}
