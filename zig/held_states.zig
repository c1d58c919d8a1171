//! Which states some reader holds, so that the writer keeps their pages and no others. A handle
//! that is open and does nothing holds one state for as long as it likes, and costs the pages of
//! that state only.

const std = @import("std");

/// Transaction ids.
pub const HeldStates = struct {
    ids: [ids_max]u64 = undefined,
    len: usize = 0,
    /// Every state from here on counts as held: there are more than have room.
    rest: u64 = std.math.maxInt(u64),

    const ids_max = 64;

    /// In ascending order. False where it did not fit, and no later one will.
    pub fn add(held: *HeldStates, transaction_id: u64) bool {
        std.debug.assert(held.len == 0 or held.ids[held.len - 1] < transaction_id);
        if (held.len == ids_max) {
            held.rest = transaction_id;
            return false;
        }
        held.ids[held.len] = transaction_id;
        held.len += 1;
        return true;
    }

    /// Whether somebody holds a state from `born` up to, and not including, `freed`.
    pub fn needs(held: *const HeldStates, born: u64, freed: u64) bool {
        for (held.ids[0..held.len]) |id| if (born <= id and id < freed) return true;
        return held.rest < freed;
    }
};

test "a page is needed by who holds a state in which it was in use" {
    var held: HeldStates = .{};
    try std.testing.expect(!held.needs(0, std.math.maxInt(u64)));
    try std.testing.expect(held.add(5) and held.add(9));
    try std.testing.expect(held.needs(5, 6) and held.needs(0, 6) and held.needs(6, 10));
    try std.testing.expect(!held.needs(0, 5) and !held.needs(6, 9) and !held.needs(10, 20));
}

test "more states than have room are all needed" {
    var held: HeldStates = .{};
    var id: u64 = 10;
    while (held.add(id)) id += 10;
    try std.testing.expectEqual(10 + 64 * 10, id);
    try std.testing.expect(!held.needs(id - 9, id) and held.needs(id - 10, id));
    try std.testing.expect(held.needs(id + 5, id + 6));
}
