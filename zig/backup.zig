//! A consistent copy of one snapshot beside a live writer: the pages that its root reaches, at the
//! same places, under one durable root. Free pages of the original are holes in the copy.
//!
//! Copied in steps, so that the caller stays responsive. Until the last step the copy has no header
//! and is not a database; the name appears only as a whole if the caller renames it, and a copy
//! that was broken off is removed by its caller.

const std = @import("std");
const os = @import("os/os.zig");
const errors = @import("errors.zig");
const format = @import("format.zig");
const reach = @import("reach.zig");
const roots = @import("roots.zig");
const Database = @import("database.zig").Database;
const Snapshot = @import("database.zig").Snapshot;

const Error = errors.Error;

pub const Backup = struct {
    snapshot: *Snapshot,
    target: os.File,
    pages: reach.Pages,
    next_page: u32 = format.first_free_page,
    copied_bytes: u64 = 0,
    total_bytes: u64,
    is_finished: bool = false,

    /// `path` must not exist. `Locked` inside a transaction is not a matter: the last committed
    /// state is copied.
    pub fn open(database: *Database, path: []const u8) Error!*Backup {
        const gpa = database.gpa;
        const diagnostics = database.diagnostics;
        const snapshot = try database.openSnapshot();
        errdefer snapshot.close();
        const target = database.system.open(gpa, path, .{ .create = true }) catch |err|
            return diagnostics.failOs(err, "creating the backup");
        errdefer target.close();
        const stat = target.stat() catch |err| return diagnostics.failOs(
            err,
            "creating the backup",
        );
        if (stat.length != 0) return diagnostics.fail(
            error.InvalidArgument,
            "the backup's path already has a file of {d} " ++
                "bytes; give a path that does not exist",
            .{stat.length},
        );
        var pages: reach.Pages = .{ .gpa = gpa };
        errdefer pages.deinit();
        const root = &snapshot.view.root;
        const source = database.sourceOf(root);
        try (reach.Walker{ .gpa = gpa, .source = source, .pages = &pages }).root(root);
        const backup = gpa.create(Backup) catch return database.outOfMemory();
        errdefer gpa.destroy(backup);
        backup.* = .{
            .snapshot = snapshot,
            .target = target,
            .pages = pages,
            .total_bytes = @as(u64, pages.bits.count()) * format.page_bytes,
        };
        return backup;
    }

    /// Copies up to `bytes_max`, at least one page. False when the copy is complete and durable.
    pub fn step(backup: *Backup, bytes_max: u32, done: *f64, total: *f64) Error!bool {
        defer {
            done.* = @floatFromInt(backup.copied_bytes);
            total.* = @floatFromInt(backup.total_bytes);
        }
        if (backup.is_finished) return false;
        var budget: u64 = @max(bytes_max, format.page_bytes);
        while (budget >= format.page_bytes) {
            const count = backup.nextRun(
                @intCast(@min(budget / format.page_bytes, run_pages_max)),
            ) orelse {
                try backup.finish();
                return false;
            };
            try backup.copyRun(count);
            budget -= format.pageOffset(count);
        }
        return true;
    }

    pub fn close(backup: *Backup) void {
        const gpa = backup.snapshot.database.gpa;
        backup.pages.deinit();
        backup.target.close();
        backup.snapshot.close();
        gpa.destroy(backup);
    }

    const run_pages_max = 16;

    /// Moves `next_page` to the next used page; the length of the run there, at most `pages_max`.
    fn nextRun(backup: *Backup, pages_max: u32) ?u32 {
        const bits = &backup.pages.bits;
        while (backup.next_page < bits.bit_length and !bits.isSet(backup.next_page)) {
            backup.next_page += 1;
        }
        if (backup.next_page >= bits.bit_length) return null;
        var count: u32 = 1;
        while (count < pages_max and backup.next_page + count < bits.bit_length and
            bits.isSet(backup.next_page + count)) count += 1;
        return count;
    }

    fn copyRun(backup: *Backup, count: u32) Error!void {
        const database = backup.snapshot.database;
        var buffer: [run_pages_max * format.page_bytes]u8 = undefined;
        const bytes = buffer[0..@intCast(format.pageOffset(count))];
        const offset = format.pageOffset(backup.next_page);
        const len = database.file.read(offset, bytes) catch |err|
            return database.diagnostics.failOs(err, "reading for the backup");
        if (len != bytes.len) return database.diagnostics.fail(
            error.Corrupt,
            "the file ends at offset {d}, inside of what its " ++
                "root reaches; it was truncated",
            .{offset + len},
        );
        backup.target.write(offset, &.{bytes}) catch |err|
            return database.diagnostics.failOs(err, "writing the backup");
        backup.next_page += count;
        backup.copied_bytes += bytes.len;
    }

    fn finish(backup: *Backup) Error!void {
        const database = backup.snapshot.database;
        backup.writeHead() catch |err| return database.diagnostics.failOs(
            err,
            "finishing the backup",
        );
        backup.is_finished = true;
    }

    fn writeHead(backup: *Backup) os.Error!void {
        const database = backup.snapshot.database;
        const header = &database.header;
        var root = backup.snapshot.view.root;
        root.kind = .durable;
        root.durable_sequence = 0;
        root.boot_id = @splat(0);
        roots.seal(&root);
        const target = backup.target;
        try roots.writeEmpty(target, format.first_free_page);
        try target.extend(format.pageOffset(root.file_pages));
        try roots.write(target, roots.durableSlot(0), &root);
        // Either header makes it a database, so both come when all else is there.
        try target.sync();
        try target.write(format.pageOffset(format.header_copy_page), &.{std.mem.asBytes(header)});
        try target.write(format.pageOffset(format.header_page), &.{std.mem.asBytes(header)});
        try target.sync();
    }
};
