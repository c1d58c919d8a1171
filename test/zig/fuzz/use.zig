//! What is done with a file that may be damaged: everything that the engine can do. Any of its
//! errors is an answer; what it must not do is crash, take seconds, leak or ask for the moon.

const std = @import("std");
const vl = @import("vectorlite");
const base = @import("base.zig");
const contents = @import("../crash/contents.zig");
const disk = @import("disk.zig");
const Choices = @import("choices.zig").Choices;
const Key = contents.Key;
const Machine = disk.Machine;

/// The widest vector, so that a forged dimension has room.
const numbers_max = vl.limits.dimension_max;

/// Buffers that are too large for a stack.
pub const Buffers = struct {
    vector: [numbers_max]f32 = @splat(0.5),
    vectors: [4 * numbers_max]f32 = undefined,
    bytes: [64 * 1024]u8 = undefined,
    hits: [64]vl.Hit = undefined,
};

pub const User = struct {
    gpa: std.mem.Allocator,
    machine: *Machine,
    buffers: *Buffers,
    choices: *Choices,
    keys_end: u32,
    diagnostics: vl.Diagnostics = .{},

    /// Opens, reads, perhaps writes, and comes back to read what is there then.
    pub fn run(user: *User) vl.Error!void {
        const readonly = user.choices.oneIn(3);
        user.live(.{
            .readonly = readonly,
            .durability = user.choices.pick(vl.Durability, &.{ .full, .normal, .none }),
            .busy_timeout_ms = 5,
            .create = user.choices.oneIn(2),
        }) catch |err| try known(err);
        const is_read_again = !readonly and user.choices.oneIn(2);
        if (is_read_again) user.live(.{ .readonly = true }) catch |err| try known(err);
        if (user.choices.oneIn(24)) user.readBytes() catch |err| try known(err);
        if (user.choices.oneIn(16)) user.salvage() catch |err| try known(err);
    }

    /// Every error of the engine is an answer.
    fn known(err: vl.Error) vl.Error!void {
        if (err == error.Closed) return err;
    }

    fn live(user: *User, options: vl.Options) vl.Error!void {
        const database = try vl.Database.open(
            user.gpa,
            user.machine.system(),
            disk.path,
            options,
            &user.diagnostics,
        );
        defer database.close();
        user.readAll(database);
        if (user.choices.oneIn(12)) user.work(database, .verify, "") catch {};
        if (options.readonly) return;
        // So small a file never has as many pages that wait.
        (try database.openSession()).relief_pages_min = 4;
        for (0..1 + user.choices.below(3)) |_| user.write(database) catch {};
        if (user.choices.oneIn(2)) user.readAll(database);
    }

    fn readBytes(user: *User) vl.Error!void {
        const database = try vl.Database.openBytes(
            user.gpa,
            user.machine.system(),
            user.machine.main.bytes(),
            .{},
            &user.diagnostics,
        );
        defer database.close();
        user.readAll(database);
    }

    fn readAll(user: *User, database: *vl.Database) void {
        _ = database.stats() catch {};
        const scope: vl.Scope = .{ .database = database };
        var needed: usize = 0;
        _ = vl.catalogue.names(scope, &user.buffers.bytes, &needed) catch {};
        user.readCollection(scope, base.collection_name) catch {};
        if (user.choices.oneIn(3)) user.readCollection(scope, "wide") catch {};
    }

    fn readCollection(user: *User, scope: vl.Scope, name: []const u8) vl.Error!void {
        const collection = try vl.Collection.open(scope, name, .{
            .create = false,
            .hot_vectors = if (user.choices.oneIn(4)) 2 else 0,
        });
        defer collection.close();
        const vector = user.buffers.vector[0..collection.dimension()];
        _ = collection.stats() catch {};
        for (0..1 + user.choices.below(6)) |_| {
            const key: Key = .init(@intCast(user.choices.below(user.keys_end)));
            _ = collection.get(key.text(), vector) catch {};
            var len: u32 = 0;
            _ = collection.getRecord(key.text(), vector, &user.buffers.bytes, &len) catch {};
        }
        if (user.choices.oneIn(2)) user.scan(collection) catch {};
        if (user.choices.oneIn(2)) user.search(collection) catch {};
        if (user.choices.oneIn(2)) _ = collection.countWhere(user.chooseFilter()) catch {};
    }

    /// Of the fields that contents.zig writes: all rows, those with the field m, one value of it.
    fn chooseFilter(user: *User) []const u8 {
        return switch (user.choices.below(3)) {
            0 => &.{ 1, 3, 16, 4, 'n', 'o', 'n', 'e' },
            1 => &.{ 1, 16, 1, 'm' },
            else => &.{ 1, 20, 1, 'm', 4, 2, 0x80, 0x80 },
        };
    }

    fn scan(user: *User, collection: *vl.Collection) vl.Error!void {
        var cursor: vl.Cursor = .{};
        while (true) {
            var writer: vl.EntryWriter = .{
                .out = &user.buffers.bytes,
                .vectors = &user.buffers.vectors,
                .include_vectors = true,
            };
            if (!try collection.scan(&cursor, &writer)) return;
        }
    }

    fn search(user: *User, collection: *vl.Collection) vl.Error!void {
        const k: u32 = @intCast(1 + user.choices.below(8));
        const query = user.buffers.vector[0..collection.dimension()];
        @memset(query, 0.5);
        const threshold: ?f32 = if (user.choices.oneIn(4)) 0.25 else null;
        var counts: [1]u32 = undefined;
        const hits = user.buffers.hits[0..k];
        var report: vl.SearchReport = .{};
        try collection.searchWith(query, .{
            .k = k,
            .threshold = threshold,
            .filter = if (user.choices.oneIn(3)) user.chooseFilter() else &.{},
        }, hits, &counts, &report);
        var writer: vl.EntryWriter = .{
            .out = &user.buffers.bytes,
            .vectors = &user.buffers.vectors,
            .include_vectors = collection.dimension() * k <= user.buffers.vectors.len,
        };
        try collection.fetch(hits[0..counts[0]], &writer);
    }

    fn salvage(user: *User) vl.Error!void {
        const database = try vl.Database.open(
            user.gpa,
            user.machine.system(),
            ":memory:",
            .{},
            &user.diagnostics,
        );
        defer database.close();
        try user.work(database, .salvage, disk.path);
        user.readAll(database);
    }

    fn work(
        user: *User,
        database: *vl.Database,
        kind: vl.JobKind,
        path: []const u8,
    ) vl.Error!void {
        const job = try vl.Job.open(database, kind, path);
        defer job.close();
        var done: f64 = 0;
        var total: f64 = 0;
        while (try job.step(256 * 1024, &done, &total)) {}
        user.gpa.free(try job.result());
    }

    fn write(user: *User, database: *vl.Database) vl.Error!void {
        const choices = user.choices;
        switch (choices.below(9)) {
            0...3 => try user.change(database),
            8 => try user.compact(database),
            4 => try database.flush(),
            5 => {
                const snapshot = try database.openSnapshot();
                defer snapshot.close();
                user.change(database) catch {};
                user.readCollection(.{ .snapshot = snapshot }, base.collection_name) catch {};
            },
            6 => {
                try user.work(database, .backup, disk.backup_path);
                try user.readBackup();
            },
            7 => {
                try database.begin();
                errdefer database.rollback();
                for (0..1 + choices.below(3)) |_| try user.change(database);
                if (choices.oneIn(2)) database.rollback() else try database.commit();
            },
            else => unreachable,
        }
    }

    /// A reader of the state before it comes back afterwards.
    fn compact(user: *User, database: *vl.Database) vl.Error!void {
        const reader = try vl.Database.open(
            user.gpa,
            user.machine.system(),
            disk.path,
            .{ .readonly = true },
            &user.diagnostics,
        );
        defer reader.close();
        const snapshot = if (user.choices.oneIn(2)) try reader.openSnapshot() else null;
        defer if (snapshot) |held| held.close();
        var is_first = true;
        var done: f64 = 0;
        var total: f64 = 0;
        const slice_bytes = 32 * 1024;
        while (try vl.compactStep(database, is_first, slice_bytes, &done, &total)) is_first = false;
        if (snapshot) |held| {
            user.readCollection(.{ .snapshot = held }, base.collection_name) catch {};
        }
        user.readCollection(.{ .database = reader }, base.collection_name) catch {};
    }

    fn change(user: *User, database: *vl.Database) vl.Error!void {
        const choices = user.choices;
        if (choices.oneIn(8)) {
            const name = choices.pick([]const u8, &.{ base.collection_name, "wide", "new" });
            _ = try vl.catalogue.drop(database, name);
            return;
        }
        const collection = try vl.Collection.open(
            .{ .database = database },
            choices.pick([]const u8, &.{ base.collection_name, base.collection_name, "new" }),
            .{},
        );
        defer collection.close();
        const vector = user.buffers.vector[0..collection.dimension()];
        for (0..1 + choices.below(4)) |_| {
            const number: u32 = @intCast(choices.below(user.keys_end));
            const key: Key = .init(number);
            const len: u32 = @intCast(key.len);
            @memset(vector, @floatFromInt(1 + number));
            switch (choices.below(12)) {
                11 => _ = try collection.deleteWhere(user.chooseFilter()),
                8...10 => {
                    const bytes = user.buffers.bytes[0..choices.below(100)];
                    _ = try collection.setMetadata(key.text(), bytes);
                },
                0...4 => try collection.put(.{
                    .keys = key.text(),
                    .key_lens = &.{len},
                    .vectors = vector,
                }),
                5, 6 => {
                    var deleted: u32 = 0;
                    try collection.delete(key.text(), &.{len}, &deleted);
                },
                7 => if (choices.oneIn(4)) try collection.clear(),
                else => unreachable,
            }
        }
    }

    fn readBackup(user: *User) vl.Error!void {
        const copy = try vl.Database.open(
            user.gpa,
            user.machine.system(),
            disk.backup_path,
            .{ .readonly = true },
            &user.diagnostics,
        );
        defer copy.close();
        user.readAll(copy);
    }
};
