//! What a run has reached: how often each operation met each state of the world. A cell that stays
//! empty is a blind spot.

const std = @import("std");
const tally = @import("../crash/tally.zig");

pub const Op = enum {
    open,
    close,
    read,
    lookup,
    snapshot_open,
    snapshot_read,
    snapshot_close,
    verify,
    backup,
    begin,
    commit,
    rollback,
    put,
    amend,
    delete,
    clear,
    drop,
    make,
    rename,
    flush,
    compact,
    rest,
    kill,
    power_loss,
};

pub const Condition = enum {
    /// Nobody has committed since the machine was started.
    fresh,
    /// The newest commit is durable.
    durable,
    /// It is in the page cache only.
    @"volatile",
    /// Somebody holds an older state than the newest.
    pinned,
    /// Somebody holds a state that was lost.
    lost_held,
    /// Somebody has an explicit transaction.
    in_transaction,
    /// The file cannot grow.
    full,
    /// A writer was killed, and nobody has committed since.
    after_kill,
    /// A sync failed, and nobody has committed since.
    after_failed_sync,
    /// Commits that were seen are gone, and nobody has committed since.
    after_loss,
    after_power_loss,
    /// Somebody is in the middle of making the file smaller.
    compacting,
    /// Somebody verifies or copies the file.
    in_job,
    /// Another process is in the middle of a call.
    inside_call,
    /// A write of another process is visible in part.
    inside_write,
    /// It is to fail: a call of the machine or an allocation.
    faulty,
};

pub const Conditions = std.EnumSet(Condition);

pub const Coverage = struct {
    cells: std.EnumArray(Op, std.EnumArray(Condition, u64)) = .initFill(.initFill(0)),
    counts: Counts = .{},

    /// Events that are no operation.
    pub const Counts = struct {
        seeds: u64 = 0,
        steps: u64 = 0,
        calls_inside: u64 = 0,
        reads_checked: u64 = 0,
        reads_overtaken: u64 = 0,
        commits: u64 = 0,
        refusals: u64 = 0,
        faults: u64 = 0,
        losses: u64 = 0,
        shrinks: u64 = 0,
        writes_watched: u64 = 0,
        roots_walked: u64 = 0,
        backups: u64 = 0,
        verified: u64 = 0,
    };

    pub fn note(coverage: *Coverage, op: Op, conditions: Conditions) void {
        const row = coverage.cells.getPtr(op);
        var all = conditions.iterator();
        while (all.next()) |condition| row.getPtr(condition).* += 1;
    }

    pub fn add(coverage: *Coverage, other: *const Coverage) void {
        for (std.enums.values(Op)) |op| for (std.enums.values(Condition)) |condition| {
            coverage.cells.getPtr(op).getPtr(condition).* += other.cells.get(op).get(condition);
        };
        inline for (std.meta.fields(Counts)) |field| {
            @field(coverage.counts, field.name) += @field(other.counts, field.name);
        }
    }

    /// One line for each operation, in a long run.
    pub fn tell(coverage: *const Coverage) void {
        tally.tell("simulation", coverage.counts);
        if (!tally.is_long) return;
        for (std.enums.values(Op)) |op| {
            std.debug.print("TALLY simulation {t}", .{op});
            for (std.enums.values(Condition)) |condition| {
                std.debug.print(" {t}={d}", .{ condition, coverage.cells.get(op).get(condition) });
            }
            std.debug.print("\n", .{});
        }
    }

    /// An error where a long run never met a state in an operation that can meet it, or any run an
    /// operation or a state at all.
    pub fn expectComplete(coverage: *const Coverage) !void {
        var is_complete = true;
        for (std.enums.values(Op)) |op| for (std.enums.values(Condition)) |condition| {
            if (coverage.cells.get(op).get(condition) > 0 or !isPossible(op, condition)) continue;
            if (tally.is_long) {
                std.debug.print("\nthe simulation never reached {t} in {t}\n", .{ op, condition });
                is_complete = false;
            }
        };
        for (std.enums.values(Op)) |op| {
            var count: u64 = 0;
            for (coverage.cells.get(op).values) |cell| count += cell;
            is_complete = is_complete and count > 0;
        }
        for (std.enums.values(Condition)) |condition| {
            var count: u64 = 0;
            for (coverage.cells.values) |row| count += row.get(condition);
            is_complete = is_complete and count > 0;
        }
        inline for (std.meta.fields(Counts)) |field| {
            is_complete = is_complete and @field(coverage.counts, field.name) > 0;
        }
        if (!is_complete) return error.BlindSpot;
    }

    fn isPossible(op: Op, condition: Condition) bool {
        return switch (op) {
            .kill, .power_loss => condition != .faulty,
            // Who is in the middle of a write has the lock, and so nobody else a transaction.
            .commit, .rollback => condition != .inside_write,
            else => true,
        };
    }
};
