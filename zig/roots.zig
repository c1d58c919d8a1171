//! The root slots: which commit is the state of the file, and how a new one becomes it.
//!
//! Four durable slots are written in turn, each only after everything it reaches is on the device,
//! so power loss can damage at most the slot being written and the newest intact one is a whole
//! commit. Two volatile slots hold commits that nobody has synced: they are believed only in the
//! boot that wrote them, where the page cache still shows their pages. Every valid slot keeps its
//! pages alive (free_space.zig), so opening never needs recovery and an older root can still be
//! read.

const std = @import("std");
const os = @import("os/os.zig");
const checksum = @import("checksum.zig");
const format = @import("format.zig");
const limits = @import("limits.zig");

const Root = format.Root;

/// The slots as they were read at one moment; null where a slot is empty, torn or damaged.
pub const Slots = struct {
    roots: [format.slot_count]?Root = @splat(null),
    /// Neither empty nor valid: what was there is not known.
    torn: [format.slot_count]bool = @splat(false),

    pub const Choice = struct { slot: u32, root: Root };

    pub fn read(file: os.File) os.Error!Slots {
        var buffer: [read_bytes]u8 align(8) = undefined;
        const len = try file.read(format.pageOffset(format.durable_slot_page), &buffer);
        @memset(buffer[len..], 0);
        // All of them are set below; a default would be copied from three kilobytes of zeros.
        var slots: Slots = undefined;
        for (&slots.roots, &slots.torn, 0..) |*root, *torn, slot| {
            const bytes = buffer[slot * format.page_bytes ..][0..format.slot_bytes];
            root.* = decodeSlot(bytes, @intCast(slot));
            torn.* = root.* == null and !std.mem.allEqual(u8, bytes, 0);
        }
        return slots;
    }

    /// The newest root that may be believed in this boot. A durable root wins over the volatile one
    /// of the same transaction.
    pub fn newest(slots: *const Slots, boot_id: ?[16]u8) ?Choice {
        var best: ?Choice = null;
        for (slots.roots, 0..) |maybe, slot| {
            const root = maybe orelse continue;
            if (!believable(&root, boot_id)) continue;
            if (best) |b| if (!supersedes(&root, &b.root)) continue;
            best = .{ .slot = @intCast(slot), .root = root };
        }
        return best;
    }

    /// A durable root may be written again, to let the states before it go.
    fn supersedes(root: *const Root, known: *const Root) bool {
        if (root.transaction_id != known.transaction_id) {
            return root.transaction_id > known.transaction_id;
        }
        return root.kind == .durable and root.durable_sequence > known.durable_sequence;
    }

    /// The valid roots, believed or not, the newest first.
    pub fn newestFirst(slots: *const Slots, buffer: *[format.slot_count]Root) []const Root {
        var len: usize = 0;
        for (slots.roots) |maybe| if (maybe) |root| {
            buffer[len] = root;
            len += 1;
        };
        std.sort.insertion(Root, buffer[0..len], {}, isNewer);
        return buffer[0..len];
    }

    fn isNewer(_: void, a: Root, b: Root) bool {
        return a.transaction_id > b.transaction_id;
    }

    pub fn newestDurable(slots: *const Slots) ?Choice {
        return slots.newest(null);
    }

    /// The highest transaction id that any slot mentions, believed or not: a new transaction must
    /// not take an id that a reader may still hold.
    pub fn highestTransaction(slots: *const Slots) u64 {
        var highest: u64 = 0;
        for (slots.roots) |maybe| if (maybe) |root| {
            highest = @max(highest, root.transaction_id);
        };
        return highest;
    }

    /// A volatile state may have been there that nobody can read any more.
    pub fn hasTornVolatile(slots: *const Slots) bool {
        return std.mem.findScalar(bool, slots.torn[format.durable_slot_count..], true) != null;
    }

    /// A volatile root that nobody took back, and that is newer than that transaction.
    pub fn hasForeignAbove(slots: *const Slots, transaction_id: u64) bool {
        for (slots.roots[format.durable_slot_count..]) |maybe| if (maybe) |root| {
            const is_disowned = std.mem.allEqual(u8, &root.boot_id, 0);
            if (!is_disowned and root.transaction_id > transaction_id) return true;
        };
        return false;
    }

    /// Whatever any valid root reaches lies below.
    pub fn highestFilePages(slots: *const Slots) u32 {
        var highest: u32 = 0;
        for (slots.roots) |maybe| if (maybe) |root| {
            highest = @max(highest, root.file_pages);
        };
        return highest;
    }

    /// The volatile slot that does not hold the newest root that is believed, so that a kill in the
    /// middle of a write never damages the newest commit; a torn one first, which is then not torn
    /// any more.
    pub fn nextVolatileSlot(slots: *const Slots, boot_id: ?[16]u8) u32 {
        const first = format.durable_slot_count;
        for (first..format.slot_count) |slot| if (slots.torn[slot]) return @intCast(slot);
        const a = believedId(&slots.roots[first], boot_id);
        const b = believedId(&slots.roots[first + 1], boot_id);
        return if (a <= b) first else first + 1;
    }

    fn believedId(maybe: *const ?Root, boot_id: ?[16]u8) u64 {
        const root = if (maybe.*) |*found| found else return 0;
        return if (believable(root, boot_id)) root.transaction_id else 0;
    }
};

comptime {
    // Written last, and a part of the checksum.
    std.debug.assert(@offsetOf(Root, "checksum") + 16 == format.slot_bytes);
}

const read_bytes = (format.slot_count - 1) * format.page_bytes + format.slot_bytes;

fn kindOf(slot: u32) format.RootKind {
    return if (slot < format.durable_slot_count) .durable else .@"volatile";
}

fn believable(root: *const Root, boot_id: ?[16]u8) bool {
    if (root.kind == .durable) return true;
    const boot = boot_id orelse return false;
    return std.mem.eql(u8, &root.boot_id, &boot);
}

pub fn durableSlot(sequence: u64) u32 {
    return @intCast(sequence % format.durable_slot_count);
}

/// Null where the bytes of the slot are no valid root.
pub fn decodeSlot(bytes: *const [format.slot_bytes]u8, slot: u32) ?Root {
    return decode(bytes, kindOf(slot));
}

fn decode(bytes: *const [format.slot_bytes]u8, kind: format.RootKind) ?Root {
    const root = std.mem.bytesToValue(Root, bytes);
    if (root.magic != format.root_magic or root.kind != kind) return null;
    if (!std.mem.eql(
        u8,
        &root.checksum,
        &checksum.slot(bytes[0..@offsetOf(Root, "checksum")]),
    )) return null;
    if (!isSound(&root)) return null;
    return root;
}

/// What later code counts on, or counts with. The file may be hostile.
fn isSound(root: *const Root) bool {
    return root.file_pages >= format.first_free_page and
        root.transaction_id <= limits.transaction_max and
        root.durable_sequence <= limits.transaction_max and
        root.catalogue_len <= limits.collections_max and
        root.collection_count <= root.catalogue_len and
        root.collection_count <= root.file_pages and
        root.next_collection_id <= limits.collections_max + 1;
}

pub fn seal(root: *Root) void {
    const bytes = std.mem.asBytes(root);
    root.checksum = checksum.slot(bytes[0..@offsetOf(Root, "checksum")]);
}

pub fn slotOffset(slot: u32) u64 {
    return format.pageOffset(format.durable_slot_page + slot);
}

/// `root` is sealed.
pub fn write(file: os.File, slot: u32, root: *const Root) os.Error!void {
    return file.write(slotOffset(slot), &.{std.mem.asBytes(root)});
}

/// Zeros for the slots, and for all pages up to `end`, of a file that nobody else reads yet.
pub fn writeEmpty(file: os.File, end: u32) os.Error!void {
    // No constant, here and below: so many zeros would be a part of the library.
    var zeros: [format.page_bytes]u8 = undefined;
    @memset(&zeros, 0);
    for (format.durable_slot_page..end) |page| {
        try file.write(format.pageOffset(@intCast(page)), &.{&zeros});
    }
}

/// Makes both volatile slots mean nothing, in one write.
pub fn clearVolatile(file: os.File) os.Error!void {
    var zeros: [format.page_bytes + format.slot_bytes]u8 = undefined;
    @memset(&zeros, 0);
    return file.write(slotOffset(format.durable_slot_count), &.{&zeros});
}

/// Takes both volatile roots back. Their ids stay known, so that no other state gets them and the
/// next writer knows that readers may have seen more than it does.
pub fn disownVolatile(file: os.File, slots: *Slots) os.Error!void {
    // The words that are watched come first: if the rest stops in the middle, whoever knows such a
    // root looks again all the same.
    for (format.durable_slot_count..format.slot_count) |slot| {
        if (slots.roots[slot] == null) continue;
        const word: [8]u8 = @splat(0);
        try file.write(slotOffset(@intCast(slot)) + format.slot_bytes - word.len, &.{&word});
    }
    var bytes: [format.page_bytes + format.slot_bytes]u8 = @splat(0);
    var disowned = slots.*;
    for (disowned.roots[format.durable_slot_count..], 0..) |*maybe, index| {
        const root = if (maybe.*) |*found| found else continue;
        root.boot_id = @splat(0);
        seal(root);
        @memcpy(bytes[index * format.page_bytes ..][0..format.slot_bytes], std.mem.asBytes(root));
    }
    for (disowned.torn[format.durable_slot_count..]) |*torn| torn.* = false;
    try file.write(slotOffset(format.durable_slot_count), &.{&bytes});
    slots.* = disowned;
}

/// Tells without a system call whether any slot has changed: the last word of each slot's checksum,
/// seen through a map. It is a hint that saves work; what it says is always confirmed by
/// `Slots.read`. The last word, because a slot may be seen while it is written: who has seen the
/// word and then reads the slot finds all of it.
pub const Watch = struct {
    map: ?os.Map,

    pub const Words = [format.slot_count]u64;

    pub fn init(file: os.File) Watch {
        return .{ .map = file.map(0, format.pageOffset(format.first_free_page)) };
    }

    /// Null where there is no map, or no whole one: the caller must then read the slots.
    pub fn words(watch: Watch) ?Words {
        const map = watch.map orelse return null;
        var out: Words = undefined;
        for (&out, 0..) |*word, slot| {
            const start: usize = @intCast(slotOffset(@intCast(slot)));
            const bytes = map.bytes.ptr + start + format.slot_bytes - @sizeOf(u64);
            word.* = @atomicLoad(u64, @as(*const u64, @ptrCast(@alignCast(bytes))), .acquire);
        }
        return if (map.isWhole()) out else null;
    }
};

fn testRoot(kind: format.RootKind, transaction_id: u64, boot: u8) Root {
    var root: Root = .{
        .transaction_id = transaction_id,
        .durable_sequence = transaction_id,
        .kind = kind,
        .collection_count = 0,
        .boot_id = @splat(boot),
        .commit_ms = 0,
        .file_pages = 16,
        .catalogue_len = 0,
        .catalogue = .none,
        .next_collection_id = 1,
    };
    seal(&root);
    return root;
}

test "the newest root wins, a volatile one only in its own boot" {
    var slots: Slots = .{};
    slots.roots[1] = testRoot(.durable, 5, 0);
    slots.roots[2] = testRoot(.durable, 6, 0);
    slots.roots[4] = testRoot(.@"volatile", 8, 7);
    slots.roots[5] = testRoot(.@"volatile", 7, 7);
    try std.testing.expectEqual(@as(u64, 8), slots.newest(@splat(7)).?.root.transaction_id);
    try std.testing.expectEqual(@as(u64, 6), slots.newest(@splat(9)).?.root.transaction_id);
    try std.testing.expectEqual(@as(u64, 6), slots.newest(null).?.root.transaction_id);
    try std.testing.expectEqual(@as(u32, 5), slots.nextVolatileSlot(@splat(7)));
    try std.testing.expectEqual(@as(u64, 8), slots.highestTransaction());
}

test "a slot with any flipped bit is not a root" {
    const root = testRoot(.durable, 5, 0);
    var bytes: [format.slot_bytes]u8 = undefined;
    @memcpy(&bytes, std.mem.asBytes(&root));
    try std.testing.expect(decode(&bytes, .durable) != null);
    try std.testing.expect(decode(&bytes, .@"volatile") == null);
    for (0..bytes.len * 8) |bit| {
        bytes[bit / 8] ^= @as(u8, 1) << @intCast(bit % 8);
        try std.testing.expect(decode(&bytes, .durable) == null);
        bytes[bit / 8] ^= @as(u8, 1) << @intCast(bit % 8);
    }
}
