//! The functions on boarders: what threads of this process compute for each other.

const vectorlite = @import("vectorlite");
const boundary = @import("call.zig");
const database = @import("database.zig");
const flights = @import("flights.zig");

const Call = boundary.Call;

var all: flights.Flights = .{};

/// Opens what a thread has seats in: one for all of its calls, as handles are few.
pub fn open(handle_out: [*]align(1) u32) callconv(.c) i32 {
    const slot = boundary.table.reserve() orelse return database.tooManyHandles();
    const boarder = all.open(boundary.gpa) catch {
        boundary.table.cancel(slot);
        return boundary.failPlain(.out_of_memory);
    };
    handle_out[0] = boundary.table.publishRoot(slot, .boarder, boarder, boundary.thread);
    return boundary.done();
}

/// Takes seats in the flights of these distinct keys. `is_pilot_out` is 1 for those that nobody in
/// this process was computing: their boarder computes them, and lands them. The others are taken
/// when they have come.
pub fn board(
    handle: u32,
    place: [*]const u8,
    place_len: u32,
    keys: [*]const u8,
    keys_len: u32,
    key_lens: [*]align(1) const u32,
    count: u32,
    seats_out: [*]align(1) u32,
    is_pilot_out: [*]u8,
) callconv(.c) i32 {
    const call = Call.begin(handle, .boarder) orelse return boundary.stale();
    defer call.end();
    const lens = boundary.sliceConst(u32, key_lens, count) catch return wrong();
    const seats = boundary.slice(u32, seats_out, count) catch return wrong();
    if (!boundary.addUpTo(lens, keys_len)) return wrong();
    call.boarder().board(
        place[0..place_len],
        keys[0..keys_len],
        lens,
        seats,
        is_pilot_out[0..count],
    ) catch return boundary.failPlain(.out_of_memory);
    return boundary.done();
}

/// Gives up seats of a pilot. `vectors` are those of the seats, of one length.
pub fn land(
    handle: u32,
    seats: [*]align(1) const u32,
    count: u32,
    vectors: [*]align(1) const f32,
    vectors_len: u32,
    is_stored: u32,
) callconv(.c) i32 {
    const call = Call.begin(handle, .boarder) orelse return boundary.stale();
    defer call.end();
    if (count == 0) return if (vectors_len == 0) boundary.done() else wrong();
    if (vectors_len == 0 or vectors_len % count != 0) return wrong();
    const dimension = vectors_len / count;
    for (seats[0..count], 0..) |seat, at| {
        const vector = vectors[at * dimension ..][0..dimension];
        if (!call.boarder().land(seat, vector, is_stored != 0)) return wrong();
    }
    return boundary.done();
}

/// Gives up seats: of a pilot, whose flight then brings nothing, or of a passenger.
pub fn leave(handle: u32, seats: [*]align(1) const u32, count: u32) callconv(.c) i32 {
    const call = Call.begin(handle, .boarder) orelse return boundary.stale();
    defer call.end();
    for (seats[0..count]) |seat| if (!call.boarder().leave(seat)) return wrong();
    return boundary.done();
}

/// Gives up the seat of a passenger who has waited too long: the next who boards begins anew.
pub fn overtake(handle: u32, seat: u32) callconv(.c) i32 {
    const call = Call.begin(handle, .boarder) orelse return boundary.stale();
    defer call.end();
    return if (call.boarder().overtake(seat)) boundary.done() else wrong();
}

/// Takes something that came for a passenger: the seat, which is given up, the dimension, 0 where
/// nothing came, and whether the file has it. `NOT_FOUND` while all of them are under way.
pub fn take(
    handle: u32,
    out: [*]align(1) f32,
    out_len: u32,
    answer_out: [*]align(1) u32,
) callconv(.c) i32 {
    const call = Call.begin(handle, .boarder) orelse return boundary.stale();
    defer call.end();
    const room = boundary.slice(f32, out, out_len) catch return wrong();
    switch (call.boarder().take(room)) {
        .nothing => return boundary.foundIf(false),
        .of_length => |length| {
            answer_out[1] = @intCast(length);
            return boundary.failPlain(.buffer_too_small);
        },
        .arrival => |arrival| {
            answer_out[0] = arrival.seat;
            answer_out[1] = @intCast(arrival.answer.vector.len);
            answer_out[2] = @intFromBool(arrival.answer.is_stored);
            return boundary.done();
        },
    }
}

fn wrong() i32 {
    return boundary.failPlain(.invalid_argument);
}
