//! One collection as a handle reaches it: the state of it that is read now, and the one that a
//! transaction may change. It holds no state of the file: each call asks for the newest.

const std = @import("std");
const errors = @import("errors.zig");
const expiry = @import("expiry.zig");
const hash = @import("hash.zig");
const collection_state = @import("collection_state.zig");
const Database = @import("database.zig").Database;
const Metric = @import("metrics.zig").Metric;
const Scope = @import("scope.zig").Scope;
const Source = @import("key_index.zig").Source;
const Transaction = @import("transaction.zig").Transaction;

const CollectionState = collection_state.CollectionState;
const Error = errors.Error;
const Identity = collection_state.Identity;

pub const Access = struct {
    scope: Scope,
    gpa: std.mem.Allocator,
    catalogue_index: u32,
    identity: *Identity,
    /// The database's count as of which `identity` was seen in a state of the file.
    identity_count: u32,

    pub fn init(scope: Scope, catalogue_index: u32, identity: *Identity) Access {
        const parent = scope.parent();
        return .{
            .scope = scope,
            .gpa = parent.gpa,
            .catalogue_index = catalogue_index,
            .identity = identity.retain(),
            .identity_count = parent.forgotten_count,
        };
    }

    pub fn deinit(access: *Access) void {
        access.identity.release(access.gpa);
        access.* = undefined;
    }

    pub fn database(access: *const Access) *Database {
        return access.scope.parent();
    }

    pub fn dimension(access: *const Access) u32 {
        return access.identity.dimension;
    }

    pub fn metric(access: *const Access) Metric {
        return @enumFromInt(access.identity.metric);
    }

    pub fn source(access: *const Access) Source {
        return access.scope.source();
    }

    /// Called first by everything that reads.
    pub fn readable(access: *const Access) Error!*Database {
        return access.scope.enterRead();
    }

    /// The database, where it may be written through this handle.
    pub fn writable(access: *const Access) Error!*Database {
        return switch (access.scope) {
            .database => |writable_database| writable_database,
            .snapshot => access.fail(
                error.ReadOnly,
                "a snapshot cannot be written; write to the collection of the database",
                .{},
            ),
        };
    }

    /// The collection in the state that this handle reads.
    pub fn currentState(access: *Access) Error!*CollectionState {
        const view = access.scope.view();
        return access.own(try view.collection(access.source(), access.catalogue_index));
    }

    /// The collection, private to the transaction.
    pub fn editable(access: *Access, transaction: *Transaction) Error!*CollectionState {
        return access.own(try transaction.editable(access.catalogue_index));
    }

    fn own(access: *Access, state: ?*CollectionState) Error!*CollectionState {
        if (state) |found| if (access.isOf(found)) return found;
        return access.fail(
            error.Closed,
            "the collection was dropped; open it again to make a new one",
            .{},
        );
    }

    /// Whether it is a state of this collection, whose name may have changed. Where states of the
    /// file were lost, and ids with them, the transaction that made it tells it from one that was
    /// made since; one of the same name and kind is as good.
    fn isOf(access: *Access, state: *CollectionState) bool {
        const identity = state.identity;
        if (identity == access.identity) return true;
        if (!identity.isSame(access.identity)) return false;
        const count = access.database().forgotten_count;
        const is_lost = access.scope == .database and access.identity_count != count;
        if (is_lost and
            !identity.isMadeWith(access.identity) and
            !identity.hasNameOf(access.identity)) return false;
        access.identity.release(access.gpa);
        access.identity = identity.retain();
        access.identity_count = count;
        return true;
    }

    pub fn keyHash(access: *const Access, key: []const u8) u64 {
        return hash.keyHash(&access.database().header.hash_key, key);
    }

    /// Whether a row with that expiry is no longer there.
    pub fn isOver(access: *const Access, expiry_ms: i64) bool {
        if (expiry_ms == 0) return false;
        return expiry.isOver(expiry_ms, access.database().system.wallMs());
    }

    pub fn fail(
        access: *const Access,
        failure: Error,
        comptime text: []const u8,
        arguments: anytype,
    ) Error {
        return access.database().diagnostics.fail(failure, text, arguments);
    }
};
