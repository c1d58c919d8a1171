//! What must hold at every moment, whoever is in the middle of whatever. The names of the rules are
//! the names of the errors:
//!
//! - `NoRoot`, `WrongRoot`: the newest root is there and whole, and what it reaches is the state
//!   that the model says; read by code that shares nothing with the engine.
//! - `CommitOfNobody`: a new root comes from who holds the writer lock.
//! - `StateLost`, `DurableLost`: the state goes back only after a failed sync or a power loss, and
//!   never behind what was promised to be durable.
//! - `RetainedBytesWritten`, `RetainedBytesCut`: what a root in a slot reaches, what a reader
//!   holds, and what a reader in the gate is about to hold, stays as it is: index pages, and the
//!   rows below each watermark, beside which rows are appended. So do the newest root itself and
//!   the newest durable one.
//! - `NoBarrier`: a root is not written to a durable slot before its pages were synced.
//! - `RetainedPageFree`: no writer thinks that a page is free that any of those reach.
//! - `Unsound`: what a root reaches is not what it says; after a power loss, without a failed sync
//!   or a kill, of any root in a durable slot.
//! - `VolatileAfterBoot`: no volatile root is believed after a boot.

const std = @import("std");
const vl = @import("vectorlite");
const inspector_module = @import("../crash/inspector.zig");
const model = @import("model.zig");
const Coverage = @import("coverage.zig").Coverage;
const Inspector = inspector_module.Inspector;
const Range = inspector_module.Range;
const Root = vl.format.Root;
const State = model.State;
const Disk = vl.backends.simulated.Disk;

const gpa = std.heap.smp_allocator;
const slot_count = vl.format.slot_count;

pub const Sum = [16]u8;

/// What is known of a root that was seen.
pub const Record = struct {
    transaction_id: u64,
    /// Null: a root of the file that the run began with.
    state: ?State,
    ranges: []const Range,
    pages: std.DynamicBitSetUnmanaged,
};

const Commit = struct { transaction_id: u64, sum: Sum };
const Rewrite = struct { offset: u64, before: []u8 };

pub const Oracle = struct {
    disk: *Disk,
    coverage: *Coverage,
    arena: std.heap.ArenaAllocator,
    records: std.AutoArrayHashMapUnmanaged(Sum, Record) = .empty,
    /// Every commit that was not lost; the last one is the state.
    history: std.ArrayList(Commit) = .empty,
    /// The last of them that was promised to survive a power loss.
    floor: usize = 0,
    slots: [slot_count]?Root = @splat(null),
    slots_hash: u64 = 0,
    newest: Root = undefined,
    /// A sync failed, or the write of a slot: volatile commits may go.
    may_lose: bool = false,
    had_fault: bool = false,
    had_kill: bool = false,
    /// How often the state went back, and how often it changed at all.
    losses: u64 = 0,
    moves: u64 = 0,
    /// The newest root when a reader went into the gate.
    gate: ?Sum = null,
    held: std.ArrayList(Sum) = .empty,
    rewrites: std.ArrayList(Rewrite) = .empty,
    problem: []const u8 = "",

    pub fn init(disk: *Disk, coverage: *Coverage) Oracle {
        return .{ .disk = disk, .coverage = coverage, .arena = .init(gpa) };
    }

    pub fn deinit(oracle: *Oracle) void {
        oracle.dropRewrites();
        oracle.rewrites.deinit(gpa);
        oracle.held.deinit(gpa);
        oracle.history.deinit(gpa);
        oracle.records.deinit(gpa);
        oracle.arena.deinit();
    }

    /// The file that the run begins with.
    pub fn begin(oracle: *Oracle, state: *const State) !void {
        _ = try oracle.readSlots();
        for (oracle.slots) |maybe| if (maybe) |*root| {
            if (!std.meta.eql(root.*, oracle.newest)) try oracle.learn(root, null);
        };
        try oracle.learn(&oracle.newest, state.*);
        try oracle.append();
    }

    pub fn now(oracle: *const Oracle) *const State {
        const last = oracle.history.items[oracle.history.items.len - 1];
        return &oracle.records.getPtr(last.sum).?.state.?;
    }

    pub fn index(oracle: *const Oracle) usize {
        return oracle.history.items.len - 1;
    }

    /// The place in the history of a transaction; null where it was lost.
    pub fn find(oracle: *const Oracle, transaction_id: u64) ?usize {
        var at = oracle.history.items.len;
        while (at > 0) {
            at -= 1;
            if (oracle.history.items[at].transaction_id == transaction_id) return at;
        }
        return null;
    }

    /// Called at every call of the machine. `change` is what the holder of the writer lock is
    /// about to commit; true where it has.
    pub fn observe(oracle: *Oracle, change: ?*const model.Change) !bool {
        try oracle.checkRewrites();
        oracle.watchGate();
        const before = oracle.newest;
        if (!try oracle.readSlots()) return false;
        const root = &oracle.newest;
        if (std.mem.eql(u8, &root.checksum, &before.checksum)) return false;
        if (root.transaction_id > before.transaction_id) {
            const state = oracle.now().after(change orelse return error.CommitOfNobody);
            try oracle.learn(root, state);
            oracle.coverage.counts.commits += 1;
            oracle.moves += 1;
            try oracle.append();
            if (root.kind == .durable) try oracle.checkBarrier();
            return true;
        }
        if (root.transaction_id < before.transaction_id) try oracle.goBack();
        // Perhaps another slot has it now.
        try oracle.learn(root, oracle.now().*);
        oracle.history.items[oracle.index()].sum = root.checksum;
        const is_durable = root.kind == .durable and root.transaction_id == before.transaction_id;
        if (is_durable) try oracle.checkBarrier();
        return false;
    }

    fn goBack(oracle: *Oracle) !void {
        if (!oracle.may_lose) return error.StateLost;
        const at = oracle.find(oracle.newest.transaction_id) orelse return error.StateLost;
        if (at < oracle.floor) return error.DurableLost;
        oracle.history.shrinkRetainingCapacity(at + 1);
        oracle.losses += 1;
        oracle.moves += 1;
        oracle.coverage.counts.losses += 1;
    }

    /// A power loss has left `disk`, on which nobody has done anything yet.
    pub fn reboot(oracle: *Oracle, disk: *Disk) !void {
        oracle.disk = disk;
        oracle.dropRewrites();
        oracle.slots_hash = 0;
        oracle.gate = null;
        oracle.may_lose = true;
        const before = oracle.newest;
        _ = try oracle.readSlots();
        if (oracle.newest.kind != .durable) return error.VolatileAfterBoot;
        if (oracle.newest.transaction_id > before.transaction_id) return error.CommitOfNobody;
        try oracle.goBack();
        try oracle.learn(&oracle.newest, oracle.now().*);
        oracle.history.items[oracle.index()].sum = oracle.newest.checksum;
        oracle.floor = oracle.index();
        oracle.may_lose = false;
        for (oracle.slots) |maybe| if (maybe) |*root| try oracle.learnAgain(root);
    }

    /// An older root that a power loss has left. Where a sync had failed, or who wrote a later root
    /// had died before its sync, the medium may have kept this one, and nobody its pages.
    fn learnAgain(oracle: *Oracle, root: *const Root) !void {
        const is_newest = std.mem.eql(u8, &root.checksum, &oracle.newest.checksum);
        if (is_newest or root.kind != .durable) return;
        const known = oracle.records.fetchSwapRemove(root.checksum);
        const state = if (known) |entry| entry.value.state else null;
        oracle.learn(root, state) catch |err| {
            const may_be_lost = oracle.had_fault or oracle.had_kill;
            // It may even show rows that a later segment has put into the same places.
            const is_lost = err == error.Unsound or err == error.WrongRoot;
            if (!is_lost or !may_be_lost) return err;
        };
    }

    /// What was committed as `transaction_id` survives from now on.
    pub fn promise(oracle: *Oracle, transaction_id: u64) void {
        const at = oracle.find(transaction_id) orelse return;
        oracle.floor = @max(oracle.floor, at);
    }

    fn append(oracle: *Oracle) !void {
        const root = &oracle.newest;
        const last: Commit = .{ .transaction_id = root.transaction_id, .sum = root.checksum };
        try oracle.history.append(gpa, last);
    }

    /// False where they are what they were.
    fn readSlots(oracle: *Oracle) !bool {
        const bytes = oracle.disk.bytes();
        var hash = std.hash.XxHash3.init(7);
        for (0..slot_count) |slot| {
            const offset: usize = @intCast(vl.roots.slotOffset(@intCast(slot)));
            hash.update(bytes[offset..][0..vl.format.slot_bytes]);
        }
        const sum = hash.final();
        if (sum == oracle.slots_hash) return false;
        oracle.slots_hash = sum;
        oracle.slots = inspector_module.readSlots(bytes);
        oracle.newest = inspector_module.newest(&oracle.slots, oracle.disk.boot_id) orelse
            return error.NoRoot;
        return true;
    }

    /// Walks what a root reaches, and holds it against the model.
    fn learn(oracle: *Oracle, root: *const Root, state: ?State) !void {
        if (oracle.records.contains(root.checksum)) return;
        const bytes = oracle.disk.bytes();
        const header = inspector_module.readHeader(bytes) orelse return error.NoHeader;
        var ranges: std.ArrayList(Range) = .empty;
        var inspector: Inspector = .{
            .gpa = gpa,
            .bytes = bytes,
            .hash_key = header.hash_key,
            .ranges = &ranges,
        };
        defer inspector.deinit();
        defer ranges.deinit(gpa);
        _ = inspector.inspect(root) catch |err| {
            oracle.problem = inspector.problem;
            return err;
        };
        if (state) |expected| {
            if (!expected.digest().eql(inspector.named)) return error.WrongRoot;
        }
        const arena = oracle.arena.allocator();
        oracle.coverage.counts.roots_walked += 1;
        try oracle.records.put(gpa, root.checksum, .{
            .transaction_id = root.transaction_id,
            .state = state,
            .ranges = try arena.dupe(Range, ranges.items),
            .pages = try inspector.owned.clone(arena),
        });
    }

    /// A reader that has gone into the gate has chosen a root, and not locked it yet.
    fn watchGate(oracle: *Oracle) void {
        const is_taken = for (oracle.disk.locks.locks.items) |lock| {
            if (lock.range.start == vl.format.lock_gate and lock.kind == .shared) break true;
        } else false;
        if (!is_taken) oracle.gate = null;
        if (is_taken and oracle.gate == null) oracle.gate = oracle.newest.checksum;
    }

    // What must stay.

    const Protected = struct {
        oracle: *const Oracle,
        at: usize = 0,

        const Item = struct { record: *const Record, is_durable: bool };

        fn next(protected: *Protected) ?Item {
            const oracle = protected.oracle;
            const held = oracle.held.items;
            while (protected.at < slot_count + held.len + 1) {
                const at = protected.at;
                protected.at += 1;
                if (at >= slot_count) {
                    const other = if (at == slot_count + held.len) oracle.gate else null;
                    const sum = if (at < slot_count + held.len) held[at - slot_count] else other;
                    const record = oracle.records.getPtr(sum orelse continue) orelse continue;
                    return .{ .record = record, .is_durable = false };
                }
                const root = if (oracle.slots[at]) |*root| root else continue;
                if (root.transaction_id > oracle.newest.transaction_id) continue;
                if (!inspector_module.isBelievable(root, oracle.disk.boot_id)) continue;
                const record = oracle.records.getPtr(root.checksum) orelse continue;
                return .{ .record = record, .is_durable = root.kind == .durable };
            }
            return null;
        }
    };

    /// Before each write. What is written as it was does no harm: who adopts a volatile root does
    /// so, after a failed sync also to pages of older ones.
    pub fn beforeWrite(oracle: *Oracle, offset: u64, len: u64) !void {
        try oracle.checkRewrites();
        oracle.coverage.counts.writes_watched += 1;
        const end = offset + len;
        var protected: Protected = .{ .oracle = oracle };
        while (protected.next()) |item| for (item.record.ranges) |range| {
            const start = @max(range.start, offset);
            const stop = @min(range.end, end);
            if (start >= stop) continue;
            if (item.is_durable and !oracle.had_fault) return error.RetainedBytesWritten;
            try oracle.expectSame(start, stop);
        };
        const first = vl.format.pageOffset(vl.format.first_free_page);
        if (offset < first) try oracle.beforeSlot(offset, end);
    }

    fn beforeSlot(oracle: *Oracle, offset: u64, end: u64) !void {
        const durable = inspector_module.newest(&oracle.slots, null) orelse return error.NoRoot;
        for (oracle.slots, 0..) |maybe, slot| {
            const root = maybe orelse continue;
            const start = vl.roots.slotOffset(@intCast(slot));
            if (offset >= start + vl.format.slot_bytes or start >= end) continue;
            const is_newest = std.meta.eql(root, oracle.newest);
            const is_disowned = root.kind == .@"volatile" and oracle.may_lose;
            if (is_disowned or !is_newest and !std.meta.eql(root, durable)) continue;
            // The rest of a write of which a part was enough changes nothing.
            try oracle.expectSame(@max(start, offset), @min(start + vl.format.slot_bytes, end));
        }
    }

    /// A durable root has just been written, and not been synced yet.
    fn checkBarrier(oracle: *const Oracle) !void {
        const record = oracle.records.getPtr(oracle.newest.checksum).?;
        for (oracle.disk.log.atoms.items) |atom| {
            const start = atom.sector * vl.backends.simulated.sector_bytes;
            const part = oracle.disk.log.writes.items[atom.write].partOf(atom.sector);
            for (record.ranges) |range| {
                if (start + part.start < range.end and range.start < start + part.end) {
                    return error.NoBarrier;
                }
            }
        }
    }

    pub fn beforeShrink(oracle: *Oracle, length: u64) !void {
        oracle.coverage.counts.shrinks += 1;
        var protected: Protected = .{ .oracle = oracle };
        while (protected.next()) |item| for (item.record.ranges) |range| {
            if (range.end > length) return error.RetainedBytesCut;
        };
    }

    fn expectSame(oracle: *Oracle, start: u64, end: u64) !void {
        const bytes = oracle.disk.bytes()[@intCast(start)..@intCast(end)];
        const before = try gpa.dupe(u8, bytes);
        errdefer gpa.free(before);
        try oracle.rewrites.append(gpa, .{ .offset = start, .before = before });
    }

    fn checkRewrites(oracle: *Oracle) !void {
        if (oracle.rewrites.items.len == 0) return;
        defer oracle.dropRewrites();
        for (oracle.rewrites.items) |rewrite| {
            const bytes = oracle.disk.bytes()[@intCast(rewrite.offset)..][0..rewrite.before.len];
            if (!std.mem.eql(u8, rewrite.before, bytes)) return error.RetainedBytesWritten;
        }
    }

    fn dropRewrites(oracle: *Oracle) void {
        for (oracle.rewrites.items) |rewrite| gpa.free(rewrite.before);
        oracle.rewrites.clearRetainingCapacity();
    }

    /// Of a writer between two transactions that would not count its free pages again.
    pub fn checkSpace(oracle: *Oracle, session: anytype) !void {
        const counted = session.counted_for orelse return;
        if (!std.mem.eql(u8, &counted.checksum, &oracle.newest.checksum)) return;
        for (oracle.slots) |maybe| if (maybe) |root| {
            if (root.transaction_id > oracle.newest.transaction_id) return;
        };
        var protected: Protected = .{ .oracle = oracle };
        while (protected.next()) |item| {
            var pages = item.record.pages.iterator(.{});
            while (pages.next()) |page| {
                const words = session.space.words.items;
                if (page / 64 >= words.len) break;
                const bit = words[page / 64] >> @intCast(page % 64) & 1;
                if (bit == 1) return error.RetainedPageFree;
            }
        }
    }
};
