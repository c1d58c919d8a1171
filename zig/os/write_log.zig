//! What was written to a simulated disk since its last successful sync, in order.
//!
//! A disk stores whole sectors, so the log keeps each touched sector as the write left it. An atom
//! is one sector of one write: the smallest thing that can reach the medium or be lost.

const std = @import("std");

pub const sector_bytes = 512;
pub const Sector = [sector_bytes]u8;

pub const Write = struct {
    offset: u64,
    len: usize,
    /// The touched sectors as they were just after this write; none where it only grew the file.
    content: []Sector,
    atom_first: usize,
    length_after: u64,

    pub fn sectorFirst(write: Write) u64 {
        return write.offset / sector_bytes;
    }

    /// The bytes of `sector` that this write put there: [start, end) within the sector.
    pub fn partOf(write: Write, sector: u64) struct { start: usize, end: usize } {
        const base = sector * sector_bytes;
        const start = @max(write.offset, base) - base;
        const end = @min(write.offset + write.len, base + sector_bytes) - base;
        return .{ .start = @intCast(start), .end = @intCast(end) };
    }
};

pub const Atom = struct { write: usize, sector: u64 };

pub const WriteLog = struct {
    arena: std.heap.ArenaAllocator,
    writes: std.ArrayList(Write) = .empty,
    atoms: std.ArrayList(Atom) = .empty,

    pub fn init(gpa: std.mem.Allocator) WriteLog {
        return .{ .arena = .init(gpa) };
    }

    pub fn deinit(log: *WriteLog) void {
        const gpa = log.arena.child_allocator;
        log.writes.deinit(gpa);
        log.atoms.deinit(gpa);
        log.arena.deinit();
        log.* = undefined;
    }

    pub fn clear(log: *WriteLog) void {
        log.writes.clearRetainingCapacity();
        log.atoms.clearRetainingCapacity();
        _ = log.arena.reset(.retain_capacity);
    }

    /// `content` is copied: the touched sectors, whole, as they are now.
    pub fn append(
        log: *WriteLog,
        offset: u64,
        len: usize,
        content: []const Sector,
        length_after: u64,
    ) error{OutOfMemory}!void {
        const gpa = log.arena.child_allocator;
        try log.writes.ensureUnusedCapacity(gpa, 1);
        try log.atoms.ensureUnusedCapacity(gpa, content.len);
        const copy = try log.arena.allocator().dupe(Sector, content);
        const write: Write = .{
            .offset = offset,
            .len = len,
            .content = copy,
            .atom_first = log.atoms.items.len,
            .length_after = length_after,
        };
        for (0..content.len) |index| {
            const sector = write.sectorFirst() + index;
            log.atoms.appendAssumeCapacity(.{ .write = log.writes.items.len, .sector = sector });
        }
        log.writes.appendAssumeCapacity(write);
    }

    /// The atom's sector as its write left it.
    pub fn contentOf(log: *const WriteLog, atom: Atom) *Sector {
        const write = log.writes.items[atom.write];
        return &write.content[@intCast(atom.sector - write.sectorFirst())];
    }

    /// The same sector just before: what the last earlier write of this log left there, or null
    /// where that is what the medium has.
    pub fn contentBefore(log: *const WriteLog, atom: Atom) ?*const Sector {
        var index = atom.write;
        while (index > 0) {
            index -= 1;
            const write = log.writes.items[index];
            const first = write.sectorFirst();
            if (atom.sector < first or atom.sector >= first + write.content.len) continue;
            return log.contentOf(.{ .write = index, .sector = atom.sector });
        }
        return null;
    }
};

test "a log keeps every version of a sector" {
    var log = WriteLog.init(std.testing.allocator);
    defer log.deinit();
    try log.append(100, 20, &.{@splat(1)}, 120);
    try log.append(500, 30, &.{ @splat(2), @splat(3) }, 530);
    try std.testing.expectEqual(3, log.atoms.items.len);
    const atom: Atom = .{ .write = 1, .sector = 0 };
    try std.testing.expectEqual(2, log.contentOf(atom)[0]);
    try std.testing.expectEqual(1, log.contentBefore(atom).?[0]);
    try std.testing.expectEqual(null, log.contentBefore(.{ .write = 1, .sector = 1 }));
    const part = log.writes.items[1].partOf(1);
    try std.testing.expectEqual(0, part.start);
    try std.testing.expectEqual(18, part.end);
}
