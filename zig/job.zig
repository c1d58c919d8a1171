//! Work that takes long, cut into steps, so that a caller with one thread stays responsive: each
//! kind is opened on a database, stepped until it is done, and asked what came of it.

const std = @import("std");
const errors = @import("errors.zig");
const Backup = @import("backup.zig").Backup;
const Collection = @import("collection.zig").Collection;
const Database = @import("database.zig").Database;
const SearchJob = @import("search_job.zig").SearchJob;
const Salvage = @import("salvage.zig").Salvage;
const Verify = @import("verify.zig").Verify;

const Error = errors.Error;

/// Those that are opened on a database.
pub const JobKind = enum(u32) {
    /// Copies a snapshot to a new file at the path.
    backup = 0,
    /// Reads the whole file and says what is wrong with it. It takes no path.
    verify = 1,
    /// Copies what can be read of the damaged file at the path into the database, an empty one.
    salvage = 2,
};

pub const Job = struct {
    database: *Database,
    work: Work,
    is_done: bool = false,

    const Work = union(enum) {
        backup: *Backup,
        verify: *Verify,
        salvage: *Salvage,
        search: *SearchJob,
    };

    pub fn open(database: *Database, kind: JobKind, path: []const u8) Error!*Job {
        const has_path = path.len > 0 and std.mem.findScalar(u8, path, 0) == null;
        if (has_path != (kind != .verify)) return database.diagnostics.fail(
            error.InvalidArgument,
            "the path is empty or holds a NUL, or is one too many",
            .{},
        );
        const job = database.gpa.create(Job) catch return database.outOfMemory();
        errdefer database.gpa.destroy(job);
        job.* = .{ .database = database, .work = switch (kind) {
            .backup => .{ .backup = try .open(database, path) },
            .verify => .{ .verify = try .open(database) },
            .salvage => .{ .salvage = try .open(database, path) },
        } };
        return job;
    }

    /// The collection is closed after the job. The queries are copied.
    pub fn openSearch(
        collection: *Collection,
        queries: []const f32,
        options: Collection.SearchOptions,
    ) Error!*Job {
        const database = collection.access.database();
        const job = database.gpa.create(Job) catch return database.outOfMemory();
        errdefer database.gpa.destroy(job);
        job.* = .{
            .database = database,
            .work = .{ .search = try .open(collection, queries, options) },
        };
        return job;
    }

    pub fn close(job: *Job) void {
        switch (job.work) {
            inline else => |work| work.close(),
        }
        job.database.gpa.destroy(job);
    }

    /// Between two steps that may be far apart: gives up what costs others something.
    pub fn rest(job: *Job) void {
        if (job.work == .search) job.work.search.rest();
    }

    /// Reads or writes about `bytes_max`; false when all is done.
    pub fn step(job: *Job, bytes_max: u32, done: *f64, total: *f64) Error!bool {
        const has_more = try switch (job.work) {
            inline else => |work| work.step(bytes_max, done, total),
        };
        job.is_done = !has_more;
        return has_more;
    }

    /// What came of it, as JSON; the caller frees it.
    pub fn result(job: *const Job) Error![]u8 {
        try job.checkDone();
        var out: std.Io.Writer.Allocating = .init(job.database.gpa);
        defer out.deinit();
        var json: std.json.Stringify = .{ .writer = &out.writer };
        (switch (job.work) {
            .backup, .search => json.write(null),
            inline .verify, .salvage => |work| work.result(&json),
        }) catch return job.database.outOfMemory();
        return out.toOwnedSlice() catch job.database.outOfMemory();
    }

    /// What a search found, borrowed from the job.
    pub fn found(job: *const Job) Error!*const SearchJob {
        return switch (job.work) {
            .search => |search| {
                try search.checkFailure();
                try job.checkDone();
                return search;
            },
            else => job.database.diagnostics.fail(
                error.InvalidArgument,
                "the job is no search, so it has no hits; ask it for its result",
                .{},
            ),
        };
    }

    fn checkDone(job: *const Job) Error!void {
        if (!job.is_done) return job.database.diagnostics.fail(
            error.InvalidArgument,
            "the job is not done; step it until it says so",
            .{},
        );
    }
};
