//! Which rows of a bounded collection were read lately, for choosing those that go.
//!
//! The rules are those of S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction",
//! SOSP 2023), so that a scan over many keys that nobody asks for again does not push out what is
//! read: a new row is on probation, and goes unless it was read before its turn comes; a tenured
//! one goes when it was not read since its last turn; a key that comes back soon after it went is
//! tenured at once. The queues are the order of the rows in the file (eviction.zig). What is known
//! of a row is here, in one byte by the hash of its key: reading costs one byte of private memory
//! and no write. Two keys may share a byte, which costs a wrong guess now and then.

const std = @import("std");

pub const Recency = struct {
    /// A power of two of them.
    slots: []Slot,
    /// Where ghosts are forgotten next.
    clock: usize = 0,

    const Slot = packed struct(u8) {
        uses: u2 = 0,
        is_tenured: bool = false,
        /// Of a key that went while it was on probation.
        is_ghost: bool = false,
        unused: u4 = 0,
    };
    const slots_min = 1024;
    const slots_max = 4 << 20;

    /// For about so many rows.
    pub fn init(gpa: std.mem.Allocator, rows: u64) error{OutOfMemory}!Recency {
        const wanted = std.math.clamp(rows, slots_min / 2, slots_max / 2) * 2;
        const slots = try gpa.alloc(Slot, std.math.floorPowerOfTwo(usize, wanted));
        @memset(slots, .{});
        return .{ .slots = slots };
    }

    pub fn deinit(recency: *Recency, gpa: std.mem.Allocator) void {
        gpa.free(recency.slots);
        recency.* = undefined;
    }

    pub fn bytes(recency: *const Recency) u64 {
        return recency.slots.len * @sizeOf(Slot);
    }

    fn at(recency: *const Recency, hash: u64) *Slot {
        return &recency.slots[hash & (recency.slots.len - 1)];
    }

    pub fn read(recency: *const Recency, hash: u64) void {
        recency.at(hash).uses +|= 1;
    }

    /// A key that was not there before. Uses of another key that shares its byte stay.
    pub fn enter(recency: *const Recency, hash: u64) void {
        const slot = recency.at(hash);
        slot.is_tenured = slot.is_ghost or slot.is_tenured;
        slot.is_ghost = false;
    }

    /// Whether a row whose probation ends goes.
    pub fn endsProbation(recency: *const Recency, hash: u64) bool {
        const slot = recency.at(hash);
        if (slot.is_tenured) return false;
        if (slot.uses == 0) return true;
        slot.is_tenured = true;
        slot.uses = 0;
        return false;
    }

    /// Whether a tenured row whose turn it is goes.
    pub fn endsTenure(recency: *const Recency, hash: u64) bool {
        const slot = recency.at(hash);
        if (slot.uses == 0) return true;
        slot.uses -= 1;
        slot.is_tenured = true;
        return false;
    }

    /// The row went. As many rows later nobody remembers it.
    pub fn leave(recency: *Recency, hash: u64) void {
        const slot = recency.at(hash);
        slot.* = .{ .is_ghost = !slot.is_tenured };
        recency.clock = (recency.clock + 1) & (recency.slots.len - 1);
        recency.slots[recency.clock].is_ghost = false;
    }
};

const testing = std.testing;

test "what is read on probation is tenured, and what is not goes" {
    var recency: Recency = try .init(testing.allocator, 8);
    defer recency.deinit(testing.allocator);
    recency.enter(1);
    recency.enter(2);
    recency.read(1);
    try testing.expect(!recency.endsProbation(1));
    try testing.expect(recency.endsProbation(2));
    // It was read for its probation; for its tenure it has to be read again.
    try testing.expect(recency.endsTenure(1));
}

test "a tenured row stays for as many turns as it was read, three at most" {
    var recency: Recency = try .init(testing.allocator, 8);
    defer recency.deinit(testing.allocator);
    recency.enter(1);
    for (0..9) |_| recency.read(1);
    for (0..3) |_| try testing.expect(!recency.endsTenure(1));
    try testing.expect(recency.endsTenure(1));
}

test "a key that comes back soon is tenured at once, and one that comes back late is not" {
    var recency: Recency = try .init(testing.allocator, 8);
    defer recency.deinit(testing.allocator);
    recency.enter(5);
    recency.leave(5);
    recency.enter(5);
    try testing.expect(!recency.endsProbation(5));
    recency.enter(6);
    recency.leave(6);
    for (0..recency.slots.len) |_| recency.leave(0x1_0000_0007);
    recency.enter(6);
    try testing.expect(recency.endsProbation(6));
}
