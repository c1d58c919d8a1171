//! The functions on boardings: what threads of this process compute for each other.

const vectorlite = @import("vectorlite");
const boundary = @import("call.zig");
const database = @import("database.zig");
const flights = @import("flights.zig");

const Call = boundary.Call;

/// Boards the flights of these distinct keys. `is_pilot_out` is 1 for those that nobody in this
/// process was computing: their boarder computes them, and lands them. The others are taken when
/// they have come.
pub fn open(
    place: [*]const u8,
    place_len: u32,
    keys: [*]const u8,
    keys_len: u32,
    key_lens: [*]align(1) const u32,
    count: u32,
    is_pilot_out: [*]u8,
    handle_out: [*]align(1) u32,
) callconv(.c) i32 {
    const lens = boundary.sliceConst(u32, key_lens, count) catch return wrong();
    if (!boundary.addUpTo(lens, keys_len)) return wrong();
    const slot = boundary.table.reserve() orelse return database.tooManyHandles();
    const boarding = all.board(
        boundary.gpa,
        place[0..place_len],
        keys[0..keys_len],
        lens,
    ) catch {
        boundary.table.cancel(slot);
        return boundary.failPlain(.out_of_memory);
    };
    for (is_pilot_out[0..count], 0..) |*is_pilot, index| {
        is_pilot.* = @intFromBool(boarding.isPilot(index));
    }
    handle_out[0] = boundary.table.publishRoot(slot, .boarding, boarding, boundary.thread);
    return boundary.done();
}

var all: flights.Flights = .{};

/// Gives up seats of a pilot. `vectors` are those of the indexes, of one length; empty where
/// nothing came.
pub fn land(
    handle: u32,
    indexes: [*]align(1) const u32,
    count: u32,
    vectors: [*]align(1) const f32,
    vectors_len: u32,
    is_stored: u32,
) callconv(.c) i32 {
    const call = Call.begin(handle, .boarding) orelse return boundary.stale();
    defer call.end();
    if (count == 0) return if (vectors_len == 0) boundary.done() else wrong();
    if (vectors_len % count != 0) return wrong();
    const dimension = vectors_len / count;
    for (indexes[0..count], 0..) |index, at| {
        const vector = vectors[at * dimension ..][0..dimension];
        if (!call.boarding().land(index, vector, is_stored != 0)) return wrong();
    }
    return boundary.done();
}

/// Takes what a flight brought that another boarder pilots: its dimension, 0 where nothing came,
/// and whether the file has it. `NOT_FOUND` while it is under way.
pub fn take(
    handle: u32,
    index: u32,
    out: [*]align(1) f32,
    out_len: u32,
    answer_out: [*]align(1) u32,
) callconv(.c) i32 {
    const call = Call.begin(handle, .boarding) orelse return boundary.stale();
    defer call.end();
    const room = boundary.slice(f32, out, out_len) catch return wrong();
    switch (call.boarding().take(index, room)) {
        .nothing => return wrong(),
        .under_way => return boundary.foundIf(false),
        .of_length => |length| {
            answer_out[0] = @intCast(length);
            return boundary.failPlain(.buffer_too_small);
        },
        .answer => |answer| {
            answer_out[0] = @intCast(answer.vector.len);
            answer_out[1] = @intFromBool(answer.is_stored);
            return boundary.done();
        },
    }
}

fn wrong() i32 {
    return boundary.failPlain(.invalid_argument);
}
