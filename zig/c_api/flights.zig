//! Keys that some thread of this process computes, so that no other computes them meanwhile.
//!
//! A flight is one key under way, known by its place (what the key is a key of) and its text. A
//! boarding is what one call has: a seat for each of its keys, as the pilot of those that nobody
//! was computing and as a passenger of the others. What a flight brings is kept until every
//! passenger has taken it or left. A boarding that is closed, as it is when its thread ends, lands
//! the flights that it pilots with nothing, and their passengers begin anew.

const std = @import("std");
const keyHash = @import("vectorlite").keyHash;
const Lock = @import("lock.zig").Lock;

const Allocator = std.mem.Allocator;

/// What a pilot brought.
pub const Answer = struct {
    /// Empty where nothing came.
    vector: []f32 = &.{},
    /// Whether the file has it already.
    is_stored: bool = false,
};

const Flight = struct {
    /// In its bucket, while it is under way.
    next: ?*Flight,
    hash: u64,
    /// Place and key.
    name: []u8,
    place_len: usize,
    seat_count: u32 = 0,
    /// Null while it is under way.
    answer: ?Answer = null,

    fn destroy(flight: *Flight, gpa: Allocator) void {
        if (flight.answer) |answer| gpa.free(answer.vector);
        gpa.free(flight.name);
        gpa.destroy(flight);
    }
};

const Seat = struct {
    /// Null where it was given up.
    flight: ?*Flight = null,
    is_pilot: bool = false,
};

/// All that are under way in this process.
pub const Flights = struct {
    /// Guards everything here, and all seats.
    lock: Lock = .{},
    buckets: [1024]?*Flight = @splat(null),

    /// Seats in the flights of these distinct keys.
    pub fn board(
        flights: *Flights,
        gpa: Allocator,
        place: []const u8,
        keys: []const u8,
        key_lens: []const u32,
    ) Allocator.Error!*Boarding {
        const seats = try gpa.alloc(Seat, key_lens.len);
        @memset(seats, .{});
        const boarding = gpa.create(Boarding) catch |failure| {
            gpa.free(seats);
            return failure;
        };
        boarding.* = .{ .flights = flights, .gpa = gpa, .seats = seats };
        errdefer boarding.close();
        flights.lock.lock();
        defer flights.lock.unlock();
        var offset: usize = 0;
        for (seats, key_lens) |*seat, len| {
            const key = keys[offset..][0..len];
            offset += len;
            const known = flights.find(place, key);
            const flight = known orelse try flights.begin(gpa, place, key);
            flight.seat_count += 1;
            seat.* = .{ .flight = flight, .is_pilot = known == null };
        }
        return boarding;
    }

    fn hashOf(flights: *const Flights, place: []const u8, key: []const u8) u64 {
        // Its address is another one in every process, so nobody can choose keys for one bucket.
        var seed: [2]u64 = .{ @intFromPtr(flights), 0 };
        seed[1] = keyHash(std.mem.asBytes(&seed), place);
        return keyHash(std.mem.asBytes(&seed), key);
    }

    fn find(flights: *Flights, place: []const u8, key: []const u8) ?*Flight {
        const hash = flights.hashOf(place, key);
        var at = flights.buckets[hash % flights.buckets.len];
        while (at) |flight| : (at = flight.next) {
            if (flight.hash != hash or flight.place_len != place.len) continue;
            if (!std.mem.eql(u8, flight.name[0..place.len], place)) continue;
            if (std.mem.eql(u8, flight.name[place.len..], key)) return flight;
        }
        return null;
    }

    fn begin(
        flights: *Flights,
        gpa: Allocator,
        place: []const u8,
        key: []const u8,
    ) Allocator.Error!*Flight {
        const hash = flights.hashOf(place, key);
        const bucket = &flights.buckets[hash % flights.buckets.len];
        const flight = try gpa.create(Flight);
        errdefer gpa.destroy(flight);
        const name = try gpa.alloc(u8, place.len + key.len);
        @memcpy(name[0..place.len], place);
        @memcpy(name[place.len..], key);
        flight.* = .{ .next = bucket.*, .hash = hash, .name = name, .place_len = place.len };
        bucket.* = flight;
        return flight;
    }

    fn land(flights: *Flights, flight: *Flight, answer: Answer) void {
        var at = &flights.buckets[flight.hash % flights.buckets.len];
        while (at.* != flight) at = &at.*.?.next;
        at.* = flight.next;
        flight.answer = answer;
    }
};

/// One call's seats, each known by the index of its key.
pub const Boarding = struct {
    flights: *Flights,
    gpa: Allocator,
    seats: []Seat,

    pub fn isPilot(boarding: *const Boarding, index: usize) bool {
        return boarding.seats[index].is_pilot;
    }

    /// Gives up the seat of a pilot; false where the index is of none. `vector` goes to the
    /// passengers; empty where nothing came, which is also what they get where memory is short.
    pub fn land(
        boarding: *Boarding,
        index: u32,
        vector: []align(1) const f32,
        is_stored: bool,
    ) bool {
        boarding.flights.lock.lock();
        defer boarding.flights.lock.unlock();
        const seat = boarding.seatAt(index) orelse return false;
        if (!seat.is_pilot) return false;
        const flight = seat.flight.?;
        const has_passengers = flight.seat_count > 1;
        const len = if (has_passengers) vector.len else 0;
        const copy: []f32 = boarding.gpa.alloc(f32, len) catch &.{};
        @memcpy(copy, vector[0..copy.len]);
        boarding.flights.land(flight, .{ .vector = copy, .is_stored = is_stored });
        boarding.giveUp(seat);
        return true;
    }

    pub const Taken = union(enum) {
        /// No seat of a passenger.
        nothing,
        under_way,
        /// `out` has another length than this answer, whose seat is kept.
        of_length: usize,
        answer: Answer,
    };

    /// What the flight of a passenger brought, whose seat is given up with it. The vector of the
    /// answer is the beginning of `out`.
    pub fn take(boarding: *Boarding, index: u32, out: []f32) Taken {
        boarding.flights.lock.lock();
        defer boarding.flights.lock.unlock();
        const seat = boarding.seatAt(index) orelse return .nothing;
        if (seat.is_pilot) return .nothing;
        const answer = seat.flight.?.answer orelse return .under_way;
        if (answer.vector.len > out.len) return .{ .of_length = answer.vector.len };
        const vector = out[0..answer.vector.len];
        @memcpy(vector, answer.vector);
        boarding.giveUp(seat);
        return .{ .answer = .{ .vector = vector, .is_stored = answer.is_stored } };
    }

    fn seatAt(boarding: *Boarding, index: u32) ?*Seat {
        if (index >= boarding.seats.len or boarding.seats[index].flight == null) return null;
        return &boarding.seats[index];
    }

    fn giveUp(boarding: *Boarding, seat: *Seat) void {
        const flight = seat.flight.?;
        seat.flight = null;
        flight.seat_count -= 1;
        if (flight.seat_count == 0) flight.destroy(boarding.gpa);
    }

    /// Gives up all seats.
    pub fn close(boarding: *Boarding) void {
        const gpa = boarding.gpa;
        boarding.flights.lock.lock();
        for (boarding.seats) |*seat| {
            const flight = seat.flight orelse continue;
            if (seat.is_pilot) boarding.flights.land(flight, .{});
            boarding.giveUp(seat);
        }
        boarding.flights.lock.unlock();
        gpa.free(boarding.seats);
        gpa.destroy(boarding);
    }
};

const testing = std.testing;

fn boardOne(flights: *Flights, place: []const u8, key: []const u8) !*Boarding {
    return flights.board(testing.allocator, place, key, &.{@intCast(key.len)});
}

test "who comes second is a passenger and gets what the pilot brings; who comes later begins anew" {
    var flights: Flights = .{};
    const first = try flights.board(testing.allocator, "p", "abc", &.{ 1, 2 });
    defer first.close();
    const second = try flights.board(testing.allocator, "p", "bcaxb", &.{ 2, 1, 2 });
    defer second.close();
    try testing.expect(first.isPilot(0) and first.isPilot(1));
    try testing.expect(!second.isPilot(0) and !second.isPilot(1) and second.isPilot(2));

    var out: [2]f32 = undefined;
    try testing.expectEqual(.under_way, second.take(0, &out));
    try testing.expect(first.land(1, &.{ 3, 4 }, true));
    try testing.expect(!first.land(1, &.{ 3, 4 }, true));
    try testing.expectEqual(2, second.take(0, out[0..1]).of_length);
    const answer = second.take(0, &out).answer;
    try testing.expectEqualSlices(f32, &.{ 3, 4 }, answer.vector);
    try testing.expect(answer.is_stored);
    try testing.expectEqual(.nothing, second.take(0, &out));
    try testing.expectEqual(.under_way, second.take(1, &out));

    const third = try flights.board(testing.allocator, "p", "bca", &.{ 2, 1 });
    defer third.close();
    try testing.expect(third.isPilot(0) and !third.isPilot(1));
}

test "a place and a key are told apart, wherever one ends and the other begins" {
    var flights: Flights = .{};
    var boardings: [4]*Boarding = undefined;
    const names = [_][2][]const u8{ .{ "ab", "c" }, .{ "a", "bc" }, .{ "", "abc" }, .{ "b", "c" } };
    for (&boardings, names) |*boarding, name| boarding.* = try boardOne(&flights, name[0], name[1]);
    defer for (boardings) |boarding| boarding.close();
    for (boardings) |boarding| try testing.expect(boarding.isPilot(0));
}

test "what a closed boarding was to bring does not come, and its passengers can begin anew" {
    var flights: Flights = .{};
    const pilot = try boardOne(&flights, "p", "a");
    const passenger = try boardOne(&flights, "p", "a");
    const leaver = try boardOne(&flights, "p", "a");
    leaver.close();
    pilot.close();
    const answer = passenger.take(0, &.{}).answer;
    try testing.expectEqual(0, answer.vector.len);
    const next = try boardOne(&flights, "p", "a");
    defer next.close();
    try testing.expect(next.isPilot(0));
    passenger.close();
}

test "an index of nothing, and the wrong half of a seat, are refused" {
    var flights: Flights = .{};
    const pilot = try boardOne(&flights, "p", "a");
    defer pilot.close();
    const passenger = try boardOne(&flights, "p", "a");
    defer passenger.close();
    try testing.expectEqual(.nothing, pilot.take(0, &.{}));
    try testing.expectEqual(.nothing, passenger.take(1, &.{}));
    try testing.expect(!passenger.land(0, &.{}, false));
    try testing.expect(!pilot.land(1, &.{}, false));
}

fn boardSome(gpa: Allocator) !void {
    var flights: Flights = .{};
    const pilot = try flights.board(gpa, "place", "abc", &.{ 1, 1, 1 });
    defer pilot.close();
    const passenger = try flights.board(gpa, "place", "dac", &.{ 1, 1, 1 });
    defer passenger.close();
    // Memory that is short for the copy costs the passenger only the vector.
    try testing.expect(pilot.land(0, &.{ 1, 2 }, false));
    var out: [2]f32 = undefined;
    if (passenger.take(1, &out).answer.vector.len == 0) return error.OutOfMemory;
}

test "memory that is short leaves no flight behind" {
    try testing.checkAllAllocationFailures(testing.allocator, boardSome, .{});
}

test "of many threads one at a time computes a key, and all of them get it or compute it" {
    const Shared = struct {
        flights: Flights = .{},
        pilots: [8]std.atomic.Value(u32) = @splat(.init(0)),
        failed: std.atomic.Value(u32) = .init(0),

        fn run(shared: *@This(), seed: u64) void {
            var prng: std.Random.DefaultPrng = .init(seed);
            for (0..2000) |_| shared.once(prng.random()) catch {
                _ = shared.failed.fetchAdd(1, .monotonic);
            };
        }

        fn once(shared: *@This(), random: std.Random) !void {
            const key = random.uintLessThan(u8, shared.pilots.len);
            const gpa = std.heap.smp_allocator;
            const boarding = try shared.flights.board(gpa, "p", &.{key}, &.{1});
            defer boarding.close();
            if (boarding.isPilot(0)) {
                const others = shared.pilots[key].fetchAdd(1, .acquire);
                try testing.expectEqual(0, others);
                if (random.boolean()) std.Thread.yield() catch {};
                _ = shared.pilots[key].fetchSub(1, .release);
                if (random.uintLessThan(u8, 4) > 0) _ = boarding.land(0, &.{ 7, key }, false);
                return;
            }
            var out: [2]f32 = undefined;
            while (random.uintLessThan(u8, 100) > 0) switch (boarding.take(0, &out)) {
                .under_way => std.Thread.yield() catch {},
                .answer => |answer| {
                    if (answer.vector.len == 0) return;
                    return testing.expectEqualSlices(f32, &.{ 7, key }, answer.vector);
                },
                else => return error.Unexpected,
            };
        }
    };
    var shared: Shared = .{};
    var threads: [4]std.Thread = undefined;
    for (&threads, 0..) |*thread, seed| thread.* = try .spawn(.{}, Shared.run, .{ &shared, seed });
    for (threads) |thread| thread.join();
    try testing.expectEqual(0, shared.failed.load(.monotonic));
    for (shared.flights.buckets) |bucket| try testing.expectEqual(null, bucket);
}
