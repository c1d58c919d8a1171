//! The first pages of a file, verified: the header, its copy, and the root slots.

const std = @import("std");
const os = @import("os/os.zig");
const checksum = @import("checksum.zig");
const format = @import("format.zig");
const roots = @import("roots.zig");
const Findings = @import("damage.zig").Findings;

const Sector = [format.slot_bytes]u8;

/// The header from either of its places; null where both are damaged.
pub fn checkHeaders(file: os.File, findings: *Findings) error{OutOfMemory}!?format.Header {
    var found: ?format.Header = null;
    for ([_]u32{ format.header_page, format.header_copy_page }) |page| {
        const offset = format.pageOffset(page);
        const bytes = try readSector(file, offset) orelse {
            try findings.add(.unreadable, offset, "a header cannot be read", .{});
            continue;
        };
        const header = decodeHeader(&bytes) orelse {
            try findings.add(.header, offset, "a header does not match its checksum", .{});
            continue;
        };
        if (found) |*first| {
            if (std.mem.eql(u8, std.mem.asBytes(first), std.mem.asBytes(&header))) continue;
            try findings.add(.header, offset, "the header and its copy are not the same", .{});
        } else found = header;
    }
    return found;
}

pub fn decodeHeader(bytes: *const Sector) ?format.Header {
    const header = std.mem.bytesToValue(format.Header, bytes);
    if (!std.mem.eql(u8, &header.magic, &format.magic)) return null;
    const sum = checksum.slot(bytes[0..@offsetOf(format.Header, "checksum")]);
    return if (std.mem.eql(u8, &header.checksum, &sum)) header else null;
}

/// The roots, null where a slot is empty or damaged. A slot that a crash tore cannot be told from
/// one that was damaged later, so both are reported: its commit may have been acknowledged.
pub fn checkSlots(file: os.File, findings: *Findings) error{OutOfMemory}!roots.Slots {
    var slots: roots.Slots = .{};
    for (&slots.roots, 0..) |*root, index| {
        const slot: u32 = @intCast(index);
        const offset = roots.slotOffset(slot);
        switch (try readSlot(file, slot)) {
            .empty => {},
            .unreadable => try findings.add(.unreadable, offset, "a root slot cannot be read", .{}),
            .damaged => try findings.add(
                .slot,
                offset,
                "a root slot is neither empty nor valid: the commit in it is lost, unless it " ++
                    "was never finished",
                .{},
            ),
            .root => |found| {
                root.* = found;
                const is_durable = slot < format.durable_slot_count;
                if (is_durable and roots.durableSlot(found.durable_sequence) != slot) {
                    try findings.add(.structure, offset, "a root lies in another's slot", .{});
                }
            },
        }
    }
    if (lostSlot(&slots)) |slot| try findings.add(
        .slot,
        roots.slotOffset(slot),
        "a root slot is empty, but newer roots than its first one were written",
        .{},
    );
    return slots;
}

/// Once four durable roots were written, no durable slot is empty again.
pub fn lostSlot(slots: *const roots.Slots) ?u32 {
    const newest = slots.newestDurable() orelse return null;
    const written = @min(newest.root.durable_sequence + 1, format.durable_slot_count);
    for (slots.roots[0..@intCast(written)], 0..) |root, slot| if (root == null) {
        return @intCast(slot);
    };
    return null;
}

const Found = union(enum) { empty, unreadable, damaged, root: format.Root };

fn readSlot(file: os.File, slot: u32) error{OutOfMemory}!Found {
    // It may be written in this moment.
    const attempts_max = 3;
    for (0..attempts_max) |_| {
        const bytes = try readSector(file, roots.slotOffset(slot)) orelse return .unreadable;
        if (std.mem.allEqual(u8, &bytes, 0)) return .empty;
        if (roots.decodeSlot(&bytes, slot)) |root| return .{ .root = root };
    }
    return .damaged;
}

fn readSector(file: os.File, offset: u64) error{OutOfMemory}!?Sector {
    var bytes: Sector align(8) = undefined;
    const len = file.read(offset, &bytes) catch |err| switch (err) {
        error.OutOfMemory => return error.OutOfMemory,
        else => return null,
    };
    return if (len == bytes.len) bytes else null;
}
