//! What a database should hold, as plainly as possible: for each collection whether it is there,
//! and a value for each key. A state is a value that can be copied; a change says what a call does
//! to whatever state it meets.

const std = @import("std");
const contents = @import("../crash/contents.zig");
const Contents = contents.Contents;
const Digest = contents.Digest;
const Value = contents.Value;

pub const names = [_][]const u8{ "docs", "more", "next" };
pub const key_count = 20;
pub const batch_max = 8;

pub const Rows = struct {
    /// Which making of the collection this is; 0 where it is not there.
    made: u32 = 0,
    /// By key, the first one being 1. A seed of 0: there is no such row.
    values: [key_count]Value = @splat(.{ .seed = 0 }),

    pub fn value(rows: *const Rows, number: u32) ?Value {
        const found = rows.values[number - 1];
        return if (found.seed == 0) null else found;
    }

    pub fn digest(rows: *const Rows) Digest {
        var out: Digest = .{};
        var buffer: [contents.metadata_bytes_max]u8 = undefined;
        for (rows.values, 1..) |found, number| {
            if (found.seed == 0) continue;
            const key: contents.Key = .init(@intCast(number));
            const vector = found.vector();
            out.add(key.text(), std.mem.asBytes(&vector), found.metadata(&buffer));
        }
        return out;
    }
};

pub const Put = struct {
    made: u32,
    count: usize = 0,
    numbers: [batch_max]u32 = undefined,
    values: [batch_max]Value = undefined,
};

/// Other metadata for the row of a key, if there is one.
pub const Amend = struct {
    made: u32,
    number: u32,
    metadata_seed: u32,
    metadata_bytes: u32,

    pub fn of(amend: *const Amend, old: Value) Value {
        var new = old;
        new.metadata_seed = amend.metadata_seed;
        new.metadata_bytes = amend.metadata_bytes;
        return new;
    }
};

/// Rows are written to the collection that was made so, whatever it is called; who drops, makes or
/// renames means a name.
pub const Change = union(enum) {
    /// As by a flush, by moving rows, and by reading.
    none,
    put: Put,
    amend: Amend,
    delete: struct { made: u32, number: u32 },
    clear: u32,
    drop: usize,
    make: struct { collection: usize, made: u32 },
    rename: struct { from: usize, to: usize },
    /// An explicit transaction, which nobody else can come between.
    all: State,
};

pub const State = struct {
    /// By name.
    collections: [names.len]Rows = @splat(.{}),

    pub fn init(rows: *const Contents) State {
        var state: State = .{};
        state.collections[0].made = 1;
        for (rows.rows.keys(), rows.rows.values()) |number, found| {
            state.collections[0].values[number - 1] = found;
        }
        return state;
    }

    pub fn after(state: State, change: *const Change) State {
        var next = state;
        switch (change.*) {
            .none => {},
            .put => |*put| {
                const values = &(next.find(put.made) orelse return next).values;
                for (put.numbers[0..put.count], put.values[0..put.count]) |number, found| {
                    values[number - 1] = found;
                }
            },
            .amend => |*one| {
                const rows = next.find(one.made) orelse return next;
                const place = &rows.values[one.number - 1];
                if (place.seed != 0) place.* = one.of(place.*);
            },
            .delete => |one| {
                const rows = next.find(one.made) orelse return next;
                rows.values[one.number - 1] = .{ .seed = 0 };
            },
            .clear => |made| if (next.find(made)) |rows| {
                rows.* = .{ .made = made };
            },
            .drop => |collection| next.collections[collection] = .{},
            .make => |one| if (next.collections[one.collection].made == 0) {
                next.collections[one.collection] = .{ .made = one.made };
            },
            .rename => |one| if (next.collections[one.to].made == 0) {
                next.collections[one.to] = next.collections[one.from];
                next.collections[one.from] = .{};
            },
            .all => |whole| next = whole,
        }
        return next;
    }

    /// The collection that was made so, under whatever name.
    pub fn find(state: *State, made: u32) ?*Rows {
        for (&state.collections) |*rows| if (rows.made == made) return rows;
        return null;
    }

    /// Of the collections by their names.
    pub fn digest(state: *const State) Digest {
        var out: Digest = .{};
        for (&state.collections, names) |*rows, name| {
            if (rows.made != 0) out.addCollection(name, rows.digest());
        }
        return out;
    }
};
