//! Everything that can still be read of a damaged file, into a new one: first by the roots, then,
//! if they have lost anything, by a look at every page. The damaged file is only ever read.
//!
//! What is sure is kept apart from what is not. While the newest root, its catalogue and an index
//! are whole, the rows are exactly those of the newest state, less the damaged ones. Otherwise rows
//! may come back that were deleted, or that were never committed: where nothing is left that says
//! so, nobody can know. Those are counted as uncertain.

const std = @import("std");
const os = @import("os/os.zig");
const errors = @import("errors.zig");
const format = @import("format.zig");
const Database = @import("database.zig").Database;
const SalvageRoots = @import("salvage_roots.zig").SalvageRoots;
const SalvageRows = @import("salvage_rows.zig").SalvageRows;
const SalvageScan = @import("salvage_scan.zig").SalvageScan;
const Wreck = @import("wreck.zig").Wreck;

const Error = errors.Error;

pub const Salvage = struct {
    gpa: std.mem.Allocator,
    /// Takes the rows.
    database: *Database,
    wreck: Wreck,
    phase: Phase = .head,

    const Phase = union(enum) {
        head,
        roots: *SalvageRoots,
        scan: *SalvageScan,
        rows: SalvageRows,
        finished,
    };

    /// `path` is the damaged file, `database` an empty one.
    pub fn open(database: *Database, path: []const u8) Error!*Salvage {
        const gpa = database.gpa;
        const diagnostics = database.diagnostics;
        const file = database.system.open(gpa, path, .{ .readonly = true }) catch |err|
            return diagnostics.failOs(err, "opening the damaged file");
        errdefer file.close();
        const stat = file.stat() catch |err|
            return diagnostics.failOs(err, "looking at the damaged file");
        const salvage = gpa.create(Salvage) catch return database.outOfMemory();
        salvage.* = .{
            .gpa = gpa,
            .database = database,
            .wreck = .init(gpa, file, stat.length, database.system.bootId()),
        };
        return salvage;
    }

    pub fn close(salvage: *Salvage) void {
        salvage.leavePhase();
        salvage.wreck.file.close();
        salvage.wreck.deinit();
        salvage.gpa.destroy(salvage);
    }

    fn leavePhase(salvage: *Salvage) void {
        switch (salvage.phase) {
            .head, .finished => {},
            .roots => |found| found.destroy(),
            .scan => |scan| scan.destroy(),
            .rows => |*rows| rows.deinit(),
        }
        salvage.phase = .finished;
    }

    /// Reads about `bytes_max`; false when all is written.
    pub fn step(salvage: *Salvage, bytes_max: u32, done: *f64, total: *f64) Error!bool {
        const length: f64 = @floatFromInt(salvage.wreck.length);
        total.* = 2 * length;
        done.* = switch (salvage.phase) {
            .head, .roots => 0,
            .scan => |scan| length * scan.progress(),
            .rows => |*rows| length + @min(length, @as(f64, @floatFromInt(rows.done_bytes))),
            .finished => 2 * length,
        };
        switch (salvage.phase) {
            .rows => |*rows| {
                if (try rows.step(bytes_max)) return true;
                salvage.leavePhase();
                done.* = total.*;
            },
            .finished => {},
            else => {
                const steps = @max(1, bytes_max / (4 * format.page_bytes));
                for (0..steps) |_| {
                    salvage.find() catch |err| return switch (err) {
                        error.OutOfMemory => salvage.database.outOfMemory(),
                        else => err,
                    };
                    if (salvage.phase == .rows) break;
                }
            },
        }
        return salvage.phase != .finished;
    }

    fn find(salvage: *Salvage) Error!void {
        const wreck = &salvage.wreck;
        switch (salvage.phase) {
            .head => {
                try wreck.readHead();
                if (wreck.header) |header| if (header.format_major > format.format_major) {
                    return salvage.database.diagnostics.fail(
                        error.Version,
                        "the damaged file has format {d}, this version knows format {d}; " ++
                            "update vectorlite",
                        .{ header.format_major, format.format_major },
                    );
                };
                const roots: *SalvageRoots = try .create(wreck);
                salvage.phase = .{ .roots = roots };
            },
            .roots => |found| {
                if (try found.step()) return;
                if (wreck.isWhole()) {
                    salvage.leavePhase();
                    return salvage.beginRows();
                }
                // Before the phase is left: a failure leaves it as it is.
                const scan: *SalvageScan = try .create(wreck);
                salvage.leavePhase();
                salvage.phase = .{ .scan = scan };
            },
            .scan => |scan| {
                if (try scan.step()) return;
                scan.destroy();
                try salvage.beginRows();
            },
            .rows, .finished => {},
        }
    }

    fn beginRows(salvage: *Salvage) Error!void {
        const wreck = &salvage.wreck;
        salvage.phase = .finished;
        const is_ours = wreck.header != null or wreck.is_exact or wreck.collections.count() > 0;
        if (!is_ours) return salvage.database.diagnostics.fail(
            error.NotADatabase,
            "nothing in the file looks like a part of a VectorLite file; check the path",
            .{},
        );
        wreck.sortCollections();
        salvage.phase = .{ .rows = .{
            .gpa = salvage.gpa,
            .wreck = wreck,
            .database = salvage.database,
        } };
    }

    /// What `salvage()` resolves to, as JSON.
    pub fn result(salvage: *const Salvage, json: *std.json.Stringify) std.Io.Writer.Error!void {
        try json.beginObject();
        try json.objectField("collections");
        try json.beginArray();
        var recovered: u64 = 0;
        var damaged: u64 = 0;
        for (salvage.wreck.collections.values()) |collection| {
            recovered += collection.recovered;
            damaged += collection.damaged;
            try json.write(.{
                .name = collection.name(),
                .dimension = collection.page.dimension,
                .recovered = collection.recovered,
                .damaged = collection.damaged,
                .uncertain = collection.uncertain,
            });
        }
        try json.endArray();
        try json.objectField("recovered");
        try json.write(recovered);
        try json.objectField("damaged");
        try json.write(damaged);
        try json.endObject();
    }
};
