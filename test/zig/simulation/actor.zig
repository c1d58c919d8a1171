//! One simulated process: a connection, what it has open, and what it has begun.

const std = @import("std");
const vl = @import("vectorlite");
const client = @import("../crash/client.zig");
const contents = @import("../crash/contents.zig");
const model = @import("model.zig");
const Scarce = @import("../faults/scarce.zig").Scarce;
const State = model.State;
const Process = vl.backends.simulated.Process;

pub const Role = enum { reader, writer, compactor };

/// A collection, and which making of it was opened; 0: nobody knows.
pub const Handle = struct {
    collection: *vl.Collection,
    made: u32,
};

pub const Held = struct {
    snapshot: *vl.Snapshot,
    collections: [model.names.len]?*vl.Collection,
    state: State,

    pub fn close(held: Held) void {
        for (held.collections) |maybe| if (maybe) |collection| collection.close();
        held.snapshot.close();
    }
};

pub const Actor = struct {
    pub const snapshots_max = 3;

    role: Role,
    options: vl.Options,
    hot_vectors: u32,
    slice_bytes: u32,
    relief_pages_min: u64,
    /// Its memory, which can run out.
    scarce: Scarce,
    process: ?*Process = null,
    process_id: u64 = 0,
    diagnostics: vl.Diagnostics = .{},
    database: ?*vl.Database = null,
    handles: [model.names.len]?Handle = @splat(null),
    snapshots: [snapshots_max]?Held = @splat(null),
    verify: ?*vl.Verify = null,
    /// Part of a write was visible while it looked.
    verify_is_doubtful: bool = false,
    backup: ?*vl.Backup = null,
    backup_state: State = .{},
    /// What its explicit transaction will leave.
    transaction: ?State = null,
    /// A write of the transaction failed, with this.
    doomed: ?anyerror = null,
    is_compacting: bool = false,
    /// When its first commit that is not durable yet was made; 0: there is none.
    volatile_since_ms: u64 = 0,
    /// In the middle of a call.
    is_busy: bool = false,
    /// The newest transaction that it has seen, since so many losses.
    last_transaction: u64 = 0,
    last_losses: u64 = 0,

    pub fn isAlive(actor: *const Actor) bool {
        const process = actor.process orelse return false;
        // A dead one is used again for somebody else.
        return process.alive and process.id == actor.process_id;
    }

    pub fn isPoisoned(actor: *const Actor) bool {
        const database = actor.database orelse return false;
        const session = database.session orelse return false;
        return session.poisoned;
    }

    pub fn open(actor: *Actor, disk: *vl.backends.simulated.Disk) !void {
        if (!actor.isAlive()) {
            const process = try disk.process();
            actor.process = process;
            actor.process_id = process.id;
        }
        actor.last_transaction = 0;
        actor.volatile_since_ms = 0;
        actor.database = try vl.Database.open(
            actor.scarce.allocator(),
            actor.process.?.system(),
            client.path,
            actor.options,
            &actor.diagnostics,
        );
        if (actor.role == .reader) return;
        const session = try actor.database.?.openSession();
        session.relief_pages_min = actor.relief_pages_min;
    }

    pub fn openCollection(
        actor: *Actor,
        scope: vl.Scope,
        index: usize,
        create: bool,
    ) vl.Error!*vl.Collection {
        return vl.Collection.open(scope, model.names[index], .{
            .dimension = contents.dimension,
            .metric = .l2,
            .create = create,
            .hot_vectors = actor.hot_vectors,
        });
    }

    /// The place of the handle of the collection that was made as `made` says: by the name with
    /// which it was opened.
    pub fn placeOf(actor: *const Actor, made: u32) ?usize {
        for (actor.handles, 0..) |maybe, place| if (maybe) |known| {
            if (known.made == made) return place;
        };
        return null;
    }

    pub fn closeHandle(actor: *Actor, index: usize) void {
        if (actor.handles[index]) |known| known.collection.close();
        actor.handles[index] = null;
    }

    pub fn closeVerify(actor: *Actor) void {
        if (actor.verify) |verify| verify.close();
        actor.verify = null;
    }

    pub fn closeBackup(actor: *Actor) void {
        if (actor.backup) |backup| backup.close();
        actor.backup = null;
    }

    /// Killed or not, everything is freed.
    pub fn close(actor: *Actor) !void {
        actor.closeVerify();
        actor.closeBackup();
        for (&actor.snapshots) |*maybe| {
            if (maybe.*) |held| held.close();
            maybe.* = null;
        }
        for (0..actor.handles.len) |index| actor.closeHandle(index);
        if (actor.database) |database| database.close();
        actor.database = null;
        actor.transaction = null;
        actor.doomed = null;
        actor.is_compacting = false;
        if (actor.scarce.live != 0) return error.MemoryLeaked;
    }
};
