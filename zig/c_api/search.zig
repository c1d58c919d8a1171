//! The functions that search: one call that finds all hits, and a job that does so in steps.

const std = @import("std");
const vectorlite = @import("vectorlite");
const boundary = @import("call.zig");
const collection = @import("collection.zig");
const database = @import("database.zig");

const Call = boundary.Call;
const Hit = vectorlite.Hit;
const slice = boundary.slice;

/// `hits_len` is exactly k hits for every query; how many of them are filled goes to `counts`, and
/// what the search took to `report_out`. `plan` is 0, or 1 to compare every vector. `threads` is 0
/// for as many as the work is worth. `filter` is empty, or as
/// docs/decisions/0017-metadata-in-columns.md has it.
pub fn search(
    handle: u32,
    queries: [*]align(1) const f32,
    queries_len: u32,
    k: u32,
    threshold: f64,
    plan: u32,
    threads: u32,
    filter: [*]const u8,
    filter_len: u32,
    hits: [*]align(1) u8,
    hits_len: u32,
    counts: [*]align(1) u32,
    report_out: [*]align(1) f64,
) callconv(.c) i32 {
    const call = Call.begin(handle, .collection) orelse return boundary.stale();
    defer call.end();
    var asked = switch (Asked.check(call, queries, queries_len, k, threshold, plan, threads)) {
        .asked => |asked| asked,
        .refused => |status| return status,
    };
    asked.options.filter = filter[0..filter_len];
    if (hits_len != asked.hitBytes()) return wrongHits(hits_len, asked.hitBytes());
    var report: vectorlite.SearchReport = .{};
    call.collection().searchWith(
        asked.queries,
        asked.options,
        slice(Hit, @ptrCast(hits), k * asked.count) catch |failure| return call.fail(failure),
        slice(u32, counts, asked.count) catch |failure| return call.fail(failure),
        &report,
    ) catch |failure| return call.fail(failure);
    writeReport(&report, report_out);
    return boundary.done();
}

/// A job that searches what is there now in steps. The queries and the filter are copied.
pub fn open(
    handle: u32,
    queries: [*]align(1) const f32,
    queries_len: u32,
    k: u32,
    threshold: f64,
    plan: u32,
    threads: u32,
    filter: [*]const u8,
    filter_len: u32,
    handle_out: [*]align(1) u32,
) callconv(.c) i32 {
    const call = Call.begin(handle, .collection) orelse return boundary.stale();
    defer call.end();
    var asked = switch (Asked.check(call, queries, queries_len, k, threshold, plan, threads)) {
        .asked => |asked| asked,
        .refused => |status| return status,
    };
    asked.options.filter = filter[0..filter_len];
    const slot = boundary.table.reserve() orelse return database.tooManyHandles();
    const job = vectorlite.Job.openSearch(
        call.collection(),
        asked.queries,
        asked.options,
    ) catch |failure| {
        boundary.table.cancel(slot);
        return call.fail(failure);
    };
    handle_out[0] = boundary.table.publishChild(slot, .job, job, call.index);
    return boundary.done();
}

/// What a finished job found, as `search` gives it.
pub fn result(
    handle: u32,
    hits: [*]u8,
    hits_len: u32,
    counts: [*]align(1) u32,
    counts_len: u32,
    report_out: [*]align(1) f64,
) callconv(.c) i32 {
    const call = Call.begin(handle, .job) orelse return boundary.stale();
    defer call.end();
    const found = call.job().found() catch |failure| return call.fail(failure);
    const bytes = std.mem.sliceAsBytes(found.hits);
    if (hits_len != bytes.len) return wrongHits(hits_len, bytes.len);
    if (counts_len != found.counts.len) return boundary.refuse(
        .invalid_argument,
        "counts_len is {d}; {d} numbers are expected",
        .{ counts_len, found.counts.len },
    );
    @memcpy(hits[0..bytes.len], bytes);
    for (found.counts, 0..) |count, i| counts[i] = count;
    writeReport(&found.report, report_out);
    return boundary.done();
}

/// The entries of hits, as `vl_collection_fetch` gives them, of the state that a finished job saw.
pub fn fetch(
    handle: u32,
    hits: [*]align(1) const u8,
    count: u32,
    include: u32,
    out: [*]u8,
    out_len: u32,
    len_out: [*]align(1) u32,
    vectors: [*]align(1) f32,
    vectors_len: u32,
) callconv(.c) i32 {
    const call = Call.begin(handle, .job) orelse return boundary.stale();
    defer call.end();
    const found = call.job().found() catch |failure| return call.fail(failure);
    return collection.fetchFrom(
        call,
        found.collection,
        hits,
        count,
        include,
        out[0..out_len],
        len_out,
        vectors,
        vectors_len,
    );
}

/// The arguments that both ways to search have, checked.
const Asked = struct {
    queries: []const f32,
    count: u32,
    options: vectorlite.Collection.SearchOptions,

    fn check(
        call: Call,
        queries: [*]align(1) const f32,
        queries_len: u32,
        k: u32,
        threshold: f64,
        plan: u32,
        threads: u32,
    ) union(enum) { asked: Asked, refused: i32 } {
        const dimension = call.collection().dimension();
        if (queries_len == 0 or queries_len % dimension != 0) {
            const expected = @max(1, queries_len / dimension);
            return .{ .refused = collection.wrongVectors(queries_len, expected, dimension) };
        }
        const count = queries_len / dimension;
        const hits_max = std.math.maxInt(u32) / @sizeOf(Hit);
        if (k == 0 or k > hits_max / count) return .{ .refused = boundary.refuse(
            .invalid_argument,
            "k is {d} for {d} queries",
            .{ k, count },
        ) };
        if (std.math.isInf(threshold)) return .{ .refused = boundary.refuse(
            .invalid_argument,
            "the threshold is infinite",
            .{},
        ) };
        if (plan > 1) return .{ .refused = boundary.refuse(
            .invalid_argument,
            "the plan is {d}",
            .{plan},
        ) };
        return .{ .asked = .{
            .queries = boundary.sliceConst(f32, queries, queries_len) catch |failure|
                return .{ .refused = call.fail(failure) },
            .count = count,
            .options = .{
                .k = k,
                .threshold = if (std.math.isNan(threshold)) null else @floatCast(threshold),
                .plan = if (plan == 1) .exact else .fastest,
                .threads = threads,
            },
        } };
    }

    fn hitBytes(asked: Asked) u32 {
        return asked.options.k * asked.count * @sizeOf(Hit);
    }
};

fn wrongHits(found: u32, expected: u64) i32 {
    return boundary.refuse(
        .invalid_argument,
        "hits_len is {d}; {d} bytes are expected",
        .{ found, expected },
    );
}

fn writeReport(report: *const vectorlite.SearchReport, out: [*]align(1) f64) void {
    comptime std.debug.assert(std.meta.fields(vectorlite.SearchReport).len == 9);
    inline for (std.meta.fields(vectorlite.SearchReport), 0..) |field, i| {
        out[i] = @floatFromInt(@field(report, field.name));
    }
}
