//! What a file with a maximum is expected to hold, as plainly as possible: for each key of each
//! collection the value that was stored last, or nothing. Which rows made room for others only the
//! file can tell, so a new state is read from it and held against what may have become of the last.

const std = @import("std");
const vl = @import("vectorlite");

const gpa = std.heap.smp_allocator;

pub const collections_max = 4;
pub const names = [collections_max][]const u8{ "a", "b", "kept", "d" };
/// Its rows go only when somebody deletes them.
pub const kept = 2;

pub const Shape = struct {
    dimension: u32,
    keys: u32,
    /// Of the handles that keep so many rows; null: only the file has a maximum.
    rows_max: ?u64,
    first: u32 = 0,
};

/// Of what a row has.
pub const Sums = struct {
    vector: u64 = 0,
    metadata: u64 = 0,

    pub fn of(vector: []const f32, metadata: []const u8) Sums {
        return .{
            .vector = std.hash.XxHash3.hash(1, std.mem.sliceAsBytes(vector)),
            .metadata = std.hash.XxHash3.hash(2, metadata),
        };
    }
};

/// A row's vector and metadata, as functions of two numbers.
pub const Value = struct {
    seed: u32,
    metadata_seed: u32,
    text_bytes: u32,
    expiry_ms: i64 = 0,
    /// What is read of it.
    sums: Sums = .{},

    pub const groups = 4;
    pub const metadata_bytes_max = 16 * 1024;

    pub fn vector(value: Value, out: []f32) void {
        var mixed: u64 = @as(u64, value.seed) *% 0x9E37_79B9_7F4A_7C15 +% 1;
        for (out) |*number| {
            mixed = mixed *% 0xD134_2543_DE82_EF95 +% 0x2545_F491_4F6C_DD1D;
            number.* = @as(f32, @floatFromInt(@as(u16, @truncate(mixed >> 40)))) / 65536 + 0.25;
        }
    }

    /// Some rows have none.
    pub fn group(value: Value) ?u32 {
        return if (value.metadata_seed % 7 == 0) null else value.metadata_seed % groups;
    }

    /// A document: the number g and the string m.
    pub fn metadata(value: Value, buffer: *[metadata_bytes_max]u8) []const u8 {
        const found = value.group() orelse return buffer[0..0];
        const head = numberOf(found) ++ "\x01m\x04".*;
        buffer[0..head.len].* = head;
        var at: usize = head.len;
        var rest = value.text_bytes;
        while (rest >= 0x80) : (rest >>= 7) {
            buffer[at] = @as(u8, @truncate(rest)) | 0x80;
            at += 1;
        }
        buffer[at] = @intCast(rest);
        const text = buffer[at + 1 ..][0..value.text_bytes];
        for (text, 0..) |*byte, i| {
            byte.* = 'a' + @as(u8, @intCast((value.metadata_seed +% i) % 26));
        }
        return buffer[0 .. at + 1 + text.len];
    }

    pub const Filter = [2 + 3 + 8]u8;

    /// Whether g is that number, in the first version of filters.
    pub fn filterOf(found: u32) Filter {
        return [_]u8{ 1, @intFromEnum(vl.FilterOperator.eq) } ++ numberOf(found);
    }

    fn numberOf(found: u32) [3 + 8]u8 {
        const number: f64 = @floatFromInt(found);
        const head = [_]u8{ 1, 'g', @intFromEnum(vl.document.Kind.number) };
        return head ++ @as([8]u8, @bitCast(number));
    }

    pub fn isOver(value: Value, now_ms: i64) bool {
        return value.expiry_ms != 0 and value.expiry_ms <= now_ms;
    }
};

/// One write to one key.
pub const Write = struct {
    collection: u32,
    /// Among all keys of all collections.
    slot: u32,
    what: union(enum) { put: Value, delete, amend: Amend },

    /// With the sum of the metadata; its vector is none.
    pub const Amend = Value;
};

/// What one transaction does.
pub const Change = struct {
    writes: std.ArrayList(Write) = .empty,
    /// Collections that become empty before its writes.
    cleared: [collections_max]bool = @splat(false),
    /// Collections of which rows may make room.
    may_lose: [collections_max]bool = @splat(false),
    /// The rows that there may be at the moment. All of the last write are there when it is
    /// committed where they are a quarter of these at most, and else its last one is.
    rows_max: ?*const u64 = null,
    /// Of the last write.
    row_count: usize = 0,

    pub fn deinit(change: *Change) void {
        change.writes.deinit(gpa);
    }

    /// How many rows, the last ones, are there when it is committed.
    pub fn keptRows(change: *const Change) usize {
        const count = change.row_count;
        const rows_max = if (change.rows_max) |found| found.* else return count;
        return if (count * 4 <= rows_max) count else @min(1, count);
    }

    pub fn isNothing(change: *const Change) bool {
        return change.writes.items.len == 0 and !std.mem.containsAtLeastScalar(
            bool,
            &change.cleared,
            1,
            true,
        );
    }
};

pub const State = struct {
    transaction_id: u64,
    rows: []?Value,

    pub fn init(keys: usize) !State {
        const rows = try gpa.alloc(?Value, keys);
        @memset(rows, null);
        return .{ .transaction_id = 0, .rows = rows };
    }

    pub fn deinit(state: *State) void {
        gpa.free(state.rows);
    }

    pub fn clone(state: *const State) !State {
        return .{
            .transaction_id = state.transaction_id,
            .rows = try gpa.dupe(?Value, state.rows),
        };
    }

    pub fn ofCollection(state: *const State, shape: *const Shape) []?Value {
        return state.rows[shape.first..][0..shape.keys];
    }

    pub fn apply(state: *State, change: *const Change, shapes: []const Shape) void {
        for (shapes, change.cleared[0..shapes.len]) |*shape, is_cleared| {
            if (is_cleared) @memset(state.ofCollection(shape), null);
        }
        for (change.writes.items) |*write| {
            const row = &state.rows[write.slot];
            switch (write.what) {
                .put => |value| row.* = value,
                .delete => row.* = null,
                .amend => |new| if (row.*) |*value| {
                    value.metadata_seed = new.metadata_seed;
                    value.text_bytes = new.text_bytes;
                    value.sums.metadata = new.sums.metadata;
                },
            }
        }
    }

    /// How many rows of a collection are there, perhaps of one group.
    pub fn count(state: *const State, shape: *const Shape, group: ?u32, now_ms: i64) u64 {
        var rows: u64 = 0;
        for (state.ofCollection(shape)) |maybe| {
            const value = maybe orelse continue;
            if (value.isOver(now_ms)) continue;
            if (group) |wanted| if (value.group() != wanted) continue;
            rows += 1;
        }
        return rows;
    }
};

pub const Key = struct {
    buffer: [12]u8,
    len: usize,

    pub fn init(number: u32) Key {
        var key: Key = .{ .buffer = undefined, .len = 0 };
        // The buffer takes any number.
        const printed = std.fmt.bufPrint(&key.buffer, "k{d}", .{number}) catch unreachable;
        key.len = printed.len;
        return key;
    }

    pub fn text(key: *const Key) []const u8 {
        return key.buffer[0..key.len];
    }

    pub fn parse(bytes: []const u8) ?u32 {
        if (bytes.len < 2 or bytes[0] != 'k') return null;
        return std.fmt.parseInt(u32, bytes[1..], 10) catch null;
    }
};
