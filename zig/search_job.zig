//! A search that nobody waits for: queries, hits and all that it works with are its own, and it
//! looks at one state that stays, so that any call may come between two of its steps.

const std = @import("std");
const errors = @import("errors.zig");
const search_module = @import("search.zig");
const search_request = @import("search_request.zig");
const Collection = @import("collection.zig").Collection;
const Snapshot = @import("database.zig").Snapshot;

const Error = errors.Error;
const Hit = search_module.Hit;
const SearchOptions = search_request.SearchOptions;

pub const SearchJob = struct {
    gpa: std.mem.Allocator,
    /// Of the state that is searched.
    collection: *Collection,
    /// That state, where the job has taken it itself; `collection` is its own too then.
    snapshot: ?*Snapshot,
    options: SearchOptions,
    /// Holds the slices, and the filter.
    arena: std.heap.ArenaAllocator,
    queries: []const f32 = &.{},
    /// k for each query.
    hits: []Hit = &.{},
    /// How many of them each query has.
    counts: []u32 = &.{},
    report: search_module.Report = .{},
    /// What the search works in.
    memory: std.heap.ArenaAllocator,
    progress: Progress = .waiting,

    const Progress = union(enum) {
        /// Its threads start with the first step, however many searches wait for their turn.
        waiting,
        running: search_module.Search,
        done,
        failed: Failure,
    };

    /// Whoever asks what was found is told, on any thread and however often.
    const Failure = struct { cause: Error, sentence: errors.Diagnostics };

    /// Searches the newest committed state, or the one that the collection is of. The collection is
    /// closed after the job. The queries are copied.
    pub fn open(
        collection: *Collection,
        queries: []const f32,
        options: SearchOptions,
    ) Error!*SearchJob {
        const gpa = collection.access.gpa;
        const database = collection.access.database();
        const has_own_state = collection.access.scope == .snapshot;
        const job = gpa.create(SearchJob) catch return database.outOfMemory();
        errdefer gpa.destroy(job);
        job.* = .{
            .gpa = gpa,
            .collection = collection,
            .snapshot = if (has_own_state) null else try database.openSnapshot(),
            .options = options,
            .arena = .init(gpa),
            .memory = .init(gpa),
        };
        errdefer if (job.snapshot) |snapshot| snapshot.close();
        if (job.snapshot) |snapshot| job.collection = try collection.ofSnapshot(snapshot);
        errdefer if (job.snapshot != null) job.collection.close();
        errdefer job.arena.deinit();
        job.allocate(queries) catch return database.outOfMemory();
        // What is wrong with it is said now, and not by its first step.
        _ = try job.request();
        return job;
    }

    fn allocate(job: *SearchJob, queries: []const f32) error{OutOfMemory}!void {
        const allocator = job.arena.allocator();
        const count = queries.len / job.collection.dimension();
        job.queries = try allocator.dupe(f32, queries);
        job.hits = try allocator.alloc(Hit, count * job.options.k);
        // All of them are handed out, also where fewer are found.
        @memset(std.mem.sliceAsBytes(job.hits), 0);
        job.counts = try allocator.alloc(u32, count);
        job.options.filter = try allocator.dupe(u8, job.options.filter);
    }

    pub fn close(job: *SearchJob) void {
        job.stop();
        job.arena.deinit();
        if (job.snapshot) |snapshot| {
            job.collection.close();
            snapshot.close();
        }
        job.gpa.destroy(job);
    }

    /// Nobody steps it for a while.
    pub fn rest(job: *SearchJob) void {
        if (job.progress == .running) job.progress.running.rest();
    }

    fn stop(job: *SearchJob) void {
        if (job.progress == .running) job.progress.running.deinit();
        job.memory.deinit();
        job.memory = .init(job.gpa);
        job.progress = .done;
    }

    fn request(job: *SearchJob) Error!search_module.Request {
        const access = &job.collection.access;
        return search_request.requestOf(access, job.queries, &job.options, .{
            .filter_memory = job.arena.allocator(),
            .memory = &job.memory,
            .hits = job.hits,
            .counts = job.counts,
            .report = &job.report,
        });
    }

    /// Reads about `bytes_max`; false when all is found. How much there is to read is known then.
    pub fn step(job: *SearchJob, bytes_max: u32, done: *f64, total: *f64) Error!bool {
        try job.checkFailure();
        const has_more = job.advance(bytes_max) catch |cause| {
            job.stop();
            job.progress = .{ .failed = .{
                .cause = cause,
                .sentence = job.collection.access.database().diagnostics.*,
            } };
            return cause;
        };
        done.* = @floatFromInt(job.report.bytes_read);
        total.* = done.*;
        return has_more;
    }

    /// The failure of an earlier step.
    pub fn checkFailure(job: *const SearchJob) Error!void {
        if (job.progress != .failed) return;
        const failure = &job.progress.failed;
        return job.collection.access.fail(failure.cause, "{s}", .{failure.sentence.message()});
    }

    fn advance(job: *SearchJob, bytes_max: u32) Error!bool {
        switch (job.progress) {
            .waiting => {
                const search: search_module.Search = try .init(try job.request());
                job.progress = .{ .running = search };
            },
            .running => {},
            .done, .failed => return false,
        }
        if (try job.progress.running.step(bytes_max)) return true;
        job.stop();
        return false;
    }
};
