//! One connection of one process, and what it has open.

const std = @import("std");
const vl = @import("vectorlite");
const model = @import("model.zig");
const Plan = @import("plan.zig").Plan;
const Process = vl.backends.simulated.Process;

const gpa = std.heap.smp_allocator;

pub const path = "bounded.vl";

pub const Kind = enum { bounded, free, reader };

pub const Held = struct {
    snapshot: *vl.Snapshot,
    collections: [model.collections_max]?*vl.Collection,

    pub fn close(held: *const Held) void {
        for (held.collections) |maybe| if (maybe) |collection| collection.close();
        held.snapshot.close();
    }
};

pub const Actor = struct {
    kind: Kind,
    options: vl.Options,
    hot_vectors: u32,
    process: ?*Process = null,
    process_id: u64 = 0,
    diagnostics: vl.Diagnostics = .{},
    database: ?*vl.Database = null,
    handles: [model.collections_max]?*vl.Collection = @splat(null),
    held: ?Held = null,
    is_compacting: bool = false,
    is_busy: bool = false,

    pub fn isAlive(actor: *const Actor) bool {
        const process = actor.process orelse return false;
        return process.alive and process.id == actor.process_id;
    }

    pub fn isBounded(actor: *const Actor) bool {
        return actor.kind == .bounded;
    }

    pub fn open(actor: *Actor, process: *Process) !void {
        actor.process = process;
        actor.process_id = process.id;
        actor.database = try vl.Database.open(
            gpa,
            process.system(),
            path,
            actor.options,
            &actor.diagnostics,
        );
    }

    /// Null where this connection cannot have it.
    pub fn handle(actor: *Actor, plan: *const Plan, index: usize) vl.Error!?*vl.Collection {
        if (actor.handles[index]) |collection| return collection;
        if (index == model.kept and actor.kind == .bounded) return null;
        const shape = &plan.shapes[index];
        const is_reader = actor.kind == .reader;
        const collection = vl.Collection.open(
            .{ .database = actor.database.? },
            model.names[index],
            .{
                .dimension = shape.dimension,
                .metric = .l2,
                .create = !is_reader,
                .hot_vectors = actor.hot_vectors,
                .keeps_rows = index == model.kept,
                .rows_max = if (is_reader or index == model.kept) null else shape.rows_max,
            },
        ) catch |err| return if (is_reader and err == error.NotFound) null else err;
        actor.handles[index] = collection;
        return collection;
    }

    pub fn closeHandle(actor: *Actor, index: usize) void {
        if (actor.handles[index]) |collection| collection.close();
        actor.handles[index] = null;
    }

    pub fn closeHeld(actor: *Actor) void {
        if (actor.held) |*held| held.close();
        actor.held = null;
    }

    /// Killed or not, everything is freed.
    pub fn close(actor: *Actor) void {
        actor.closeHeld();
        for (0..actor.handles.len) |index| actor.closeHandle(index);
        if (actor.database) |database| database.close();
        actor.database = null;
        actor.is_compacting = false;
    }
};
