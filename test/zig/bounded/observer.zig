//! Reads every state that the file is ever in, by a connection of its own, and holds it against the
//! one before: each row has the value that was stored last, and one is missing only where it may.

const std = @import("std");
const vl = @import("vectorlite");
const actor_module = @import("actor.zig");
const model = @import("model.zig");
const Disk = vl.backends.simulated.Disk;
const Plan = @import("plan.zig").Plan;
const State = model.State;
const Sums = model.Sums;

const gpa = std.heap.smp_allocator;
const slot_count = vl.format.slot_count;

const Slots = [slot_count][16]u8;

pub const Observer = struct {
    plan: *const Plan,
    database: ?*vl.Database = null,
    diagnostics: vl.Diagnostics = .{},
    slots: ?Slots = null,
    /// Every state that was not lost, the oldest first.
    history: std.ArrayList(State) = .empty,
    /// What was promised to survive a power loss.
    floor: u64 = 0,
    /// A write or a sync failed, or a writer died: volatile states may go.
    may_lose: bool = false,
    buffers: Buffers,
    /// The oldest state that is still known.
    oldest: u64 = 0,
    /// Of the state that was read last.
    seen: []?Sums,
    problem_slot: usize = 0,
    first_problem: ?anyerror = null,
    rows_seen: u64 = 0,
    rows_gone: u64 = 0,

    pub fn init(plan: *const Plan) !Observer {
        var observer: Observer = .{
            .plan = plan,
            .buffers = try .init(),
            .seen = try gpa.alloc(?Sums, plan.keyCount()),
        };
        try observer.history.append(gpa, try .init(plan.keyCount()));
        return observer;
    }

    pub fn deinit(observer: *Observer) void {
        observer.close();
        for (observer.history.items) |*state| state.deinit();
        observer.history.deinit(gpa);
        observer.buffers.deinit();
        gpa.free(observer.seen);
    }

    pub fn close(observer: *Observer) void {
        if (observer.database) |database| database.close();
        observer.database = null;
        observer.slots = null;
    }

    pub fn shapes(observer: *const Observer) []const model.Shape {
        return observer.plan.shapes[0..observer.plan.shape_count];
    }

    pub fn newest(observer: *const Observer) *State {
        return &observer.history.items[observer.history.items.len - 1];
    }

    pub fn find(observer: *const Observer, transaction_id: u64) ?*const State {
        var at = observer.history.items.len;
        while (at > 0) {
            at -= 1;
            const state = &observer.history.items[at];
            if (state.transaction_id == transaction_id) return state;
        }
        return null;
    }

    fn slotsOf(disk: *const Disk) ?Slots {
        var sums: Slots = undefined;
        const bytes = disk.bytes();
        for (&sums, 0..) |*sum, slot| {
            const end = vl.roots.slotOffset(@intCast(slot)) + vl.format.slot_bytes;
            if (end > bytes.len) return null;
            sum.* = bytes[@intCast(end - 16)..][0..16].*;
        }
        return sums;
    }

    /// Called at every call of the machine. `is_open`: the change may be committed. True where it
    /// was, since the last call.
    pub fn look(
        observer: *Observer,
        disk: *Disk,
        change: *const model.Change,
        is_open: bool,
    ) !bool {
        const slots = slotsOf(disk) orelse return false;
        if (observer.slots) |*known| if (std.meta.eql(known.*, slots)) return false;
        if (!try observer.isReadable(disk)) return false;
        defer observer.database.?.letGo();
        observer.slots = slots;
        _ = try observer.database.?.stats();
        const id = observer.database.?.current.root.transaction_id;
        const last = observer.newest();
        if (id == last.transaction_id) return false;
        if (id < last.transaction_id) {
            try observer.goBack(id);
            return false;
        }
        try observer.read();
        return observer.follow(id, change, is_open);
    }

    fn isReadable(observer: *Observer, disk: *Disk) !bool {
        if (observer.database != null) return true;
        const process = try disk.process();
        observer.database = vl.Database.open(
            gpa,
            process.system(),
            actor_module.path,
            .{ .readonly = true },
            &observer.diagnostics,
        ) catch |err| switch (err) {
            // It is being made.
            error.NotADatabase, error.Locked, error.Corrupt => return false,
            else => return err,
        };
        return true;
    }

    fn goBack(observer: *Observer, id: u64) !void {
        if (!observer.may_lose) return error.StateLost;
        if (id < observer.floor) return error.DurableLost;
        const found = observer.find(id) orelse return error.StateLost;
        var state = try found.clone();
        defer state.deinit();
        try observer.read();
        try observer.settle(&state, &.{}, false);
        while (observer.newest().transaction_id > id) {
            observer.newest().deinit();
            _ = observer.history.pop();
        }
    }

    /// The state that is read comes from the last one: with all of the change, or none of it.
    fn follow(observer: *Observer, id: u64, change: *const model.Change, is_open: bool) !bool {
        const last = observer.newest();
        observer.first_problem = null;
        const tries: []const bool = if (!is_open)
            &.{false}
        else if (observer.seesWrites(change))
            &.{ true, false }
        else
            &.{ false, true };
        for (tries, 1..) |is_done, number| {
            var state = try last.clone();
            errdefer state.deinit();
            state.transaction_id = id;
            if (is_done) state.apply(change, observer.shapes());
            observer.settle(&state, change, is_done) catch |err| {
                if (number == tries.len) return err;
                observer.first_problem = err;
                state.deinit();
                continue;
            };
            try observer.history.append(gpa, state);
            observer.forget();
            return is_done;
        }
        unreachable;
    }

    /// Rows that are over at once, or made room, look as if they had not been stored.
    fn seesWrites(observer: *const Observer, change: *const model.Change) bool {
        var has_puts = false;
        for (change.writes.items) |*write| switch (write.what) {
            .put => |value| {
                if (std.meta.eql(observer.seen[write.slot], value.sums)) return true;
                has_puts = true;
            },
            .delete, .amend => {},
        };
        return !has_puts;
    }

    /// Nobody comes back to what is older than what was promised, but for who holds it.
    fn forget(observer: *Observer) void {
        const items = observer.history.items;
        if (items.len < 2 * states_kept) return;
        if (items[states_kept].transaction_id > observer.floor) return;
        for (items[0..states_kept]) |*state| state.deinit();
        observer.history.replaceRangeAssumeCapacity(0, states_kept, &.{});
        observer.oldest = observer.history.items[0].transaction_id;
    }
    const states_kept = 64;

    pub fn isForgotten(observer: *const Observer, id: u64) bool {
        return id < observer.oldest;
    }

    /// Holds what was read against what may be there; what made room, or is over, goes.
    fn settle(
        observer: *Observer,
        state: *State,
        change: *const model.Change,
        is_done: bool,
    ) !void {
        const now_ms = observer.database.?.system.wallMs();
        const writes = change.writes.items;
        for (observer.shapes(), 0..) |*shape, index| {
            const may_lose = change.may_lose[index];
            for (shape.first..shape.first + shape.keys) |slot| {
                const row = &state.rows[slot];
                const seen = observer.seen[slot] orelse {
                    const value = row.* orelse continue;
                    if (!value.isOver(now_ms)) {
                        observer.problem_slot = slot;
                        if (!may_lose) return error.RowLost;
                        if (is_done) for (writes[writes.len - change.keptRows() ..]) |*write| {
                            if (write.slot == slot) return error.NewRowLost;
                        };
                        observer.rows_gone += 1;
                    }
                    row.* = null;
                    continue;
                };
                observer.problem_slot = slot;
                const value = row.* orelse return error.RowOfNobody;
                if (value.isOver(now_ms)) return error.RowIsOver;
                if (!std.meta.eql(value.sums, seen)) return error.WrongRow;
            }
        }
    }

    fn read(observer: *Observer) !void {
        @memset(observer.seen, null);
        for (observer.shapes(), 0..) |*shape, index| {
            const collection = vl.Collection.open(
                .{ .database = observer.database.? },
                model.names[index],
                .{ .create = false },
            ) catch |err| if (err == error.NotFound) continue else return err;
            defer collection.close();
            const rows = observer.seen[shape.first..][0..shape.keys];
            const count = try observer.readRows(collection, shape, rows, &observer.buffers);
            if ((try collection.stats()).records != count) return error.WrongCount;
        }
    }

    /// By a scan.
    pub fn readRows(
        observer: *Observer,
        collection: *vl.Collection,
        shape: *const model.Shape,
        rows: []?Sums,
        buffers: *const Buffers,
    ) !u64 {
        if (collection.dimension() != shape.dimension) return error.WrongDimension;
        var count: u64 = 0;
        var cursor: vl.Cursor = .{};
        while (true) {
            var writer = buffers.writer();
            if (!try collection.scan(&cursor, &writer)) return count;
            var entries: Entries = .{ .writer = &writer, .dimension = shape.dimension };
            while (entries.next()) |entry| {
                const number = model.Key.parse(entry.key) orelse return error.WrongKey;
                if (number >= shape.keys) return error.WrongKey;
                if (rows[number] != null) return error.KeyTwice;
                rows[number] = .of(entry.vector, entry.metadata);
                count += 1;
                observer.rows_seen += 1;
            }
        }
    }
};

/// What a scan fills at once.
pub const Buffers = struct {
    vectors: []f32,
    bytes: []u8,

    pub fn init() !Buffers {
        return .{
            .vectors = try gpa.alloc(f32, 64 * 1024),
            .bytes = try gpa.alloc(u8, 128 * 1024),
        };
    }

    pub fn deinit(buffers: *const Buffers) void {
        gpa.free(buffers.vectors);
        gpa.free(buffers.bytes);
    }

    pub fn writer(buffers: *const Buffers) vl.EntryWriter {
        return .{ .out = buffers.bytes, .vectors = buffers.vectors, .include_vectors = true };
    }
};

/// The entries of one call of `scan` or `fetch`.
pub const Entries = struct {
    writer: *const vl.EntryWriter,
    dimension: u32,
    index: usize = 0,
    at: usize = 0,

    pub const Entry = struct { key: []const u8, vector: []const f32, metadata: []const u8 };

    pub fn next(entries: *Entries) ?Entry {
        const writer = entries.writer;
        if (entries.index == writer.count) return null;
        const head = writer.out[entries.at..];
        const key_len = std.mem.readInt(u32, head[0..4], .little);
        const metadata_len = std.mem.readInt(u32, head[4..8], .little);
        entries.at += 8 + key_len + metadata_len;
        const start = entries.index * entries.dimension;
        entries.index += 1;
        return .{
            .key = head[8..][0..key_len],
            .vector = writer.vectors[start..][0..entries.dimension],
            .metadata = head[8 + key_len ..][0..metadata_len],
        };
    }
};
