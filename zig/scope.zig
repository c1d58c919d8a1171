//! Where a collection is opened: in the newest state, or in one that stays.

const Database = @import("database.zig").Database;
const Error = @import("errors.zig").Error;
const Snapshot = @import("database.zig").Snapshot;
const Source = @import("key_index.zig").Source;
const View = @import("view.zig").View;

pub const Scope = union(enum) {
    database: *Database,
    snapshot: *Snapshot,

    pub fn parent(scope: Scope) *Database {
        return switch (scope) {
            .database => |database| database,
            .snapshot => |snapshot| snapshot.database,
        };
    }

    /// Called first by everything that reads.
    pub fn enterRead(scope: Scope) Error!*Database {
        switch (scope) {
            .database => |database| {
                try database.enterRead();
                return database;
            },
            .snapshot => |snapshot| return snapshot.database,
        }
    }

    pub fn view(scope: Scope) *View {
        return switch (scope) {
            .database => |database| database.readView(),
            .snapshot => |snapshot| &snapshot.view,
        };
    }

    pub fn source(scope: Scope) Source {
        return switch (scope) {
            .database => |database| database.source(),
            .snapshot => |snapshot| snapshot.database.sourceOf(&snapshot.view.root),
        };
    }
};
