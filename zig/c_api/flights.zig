//! Keys that some thread of this process computes, so that no other computes them meanwhile.
//!
//! A flight is one key under way, known by its place (what the key is a key of) and its text. A
//! boarder is a thread that has seats: as the pilot of keys that nobody was computing, and as a
//! passenger of the others. What a flight brings goes to the arrivals of each passenger's boarder,
//! and is kept until every passenger has taken it or left. A boarder that is closed, as it is when
//! its thread ends, lands the flights that it pilots with nothing, and their passengers begin anew.

const std = @import("std");
const keyHash = @import("vectorlite").keyHash;
const Lock = @import("lock.zig").Lock;

const Allocator = std.mem.Allocator;
const List = std.DoublyLinkedList;

/// What a pilot brought.
pub const Answer = struct {
    /// Empty where nothing came.
    vector: []f32 = &.{},
    /// Whether the file has it already.
    is_stored: bool = false,
};

const Flight = struct {
    /// In its bucket, while it is linked there.
    next: ?*Flight,
    is_linked: bool = true,
    hash: u64,
    /// Place and key.
    name: []u8,
    place_len: usize,
    seat_count: u32 = 0,
    /// Their seats, while it is under way.
    passengers: List = .{},
    /// Null while it is under way.
    answer: ?Answer = null,

    fn destroy(flight: *Flight, gpa: Allocator) void {
        if (flight.answer) |answer| gpa.free(answer.vector);
        gpa.free(flight.name);
        gpa.destroy(flight);
    }
};

const Seat = struct {
    boarder: *Boarder,
    id: u32,
    flight: *Flight,
    is_pilot: bool,
    /// Of a passenger: in the list of its flight or, when that has landed, of its boarder.
    node: List.Node = .{},

    fn of(node: *List.Node) *Seat {
        return @fieldParentPtr("node", node);
    }
};

/// All that are under way in this process.
pub const Flights = struct {
    /// Guards everything here, and all boarders.
    lock: Lock = .{},
    /// Those of a bucket are a list. There are as many buckets as flights, or more.
    buckets: []?*Flight = &.{},
    count: usize = 0,

    const buckets_min = 64;

    pub fn open(flights: *Flights, gpa: Allocator) Allocator.Error!*Boarder {
        const boarder = try gpa.create(Boarder);
        boarder.* = .{ .flights = flights, .gpa = gpa };
        return boarder;
    }

    /// Where the hashes of the keys of a place begin.
    fn seedOf(flights: *const Flights, place: []const u8) [16]u8 {
        // Its address is another one in every process, so nobody can choose keys for one bucket.
        var seed: [2]u64 = .{ @intFromPtr(flights), 0 };
        seed[1] = keyHash(std.mem.asBytes(&seed), place);
        return @bitCast(seed);
    }

    fn find(flights: *Flights, hash: u64, place: []const u8, key: []const u8) ?*Flight {
        if (flights.count == 0) return null;
        var at = flights.bucketOf(hash).*;
        while (at) |flight| : (at = flight.next) {
            if (flight.hash != hash or flight.place_len != place.len) continue;
            if (!std.mem.eql(u8, flight.name[0..place.len], place)) continue;
            if (std.mem.eql(u8, flight.name[place.len..], key)) return flight;
        }
        return null;
    }

    fn bucketOf(flights: *Flights, hash: u64) *?*Flight {
        return &flights.buckets[hash % flights.buckets.len];
    }

    fn begin(
        flights: *Flights,
        gpa: Allocator,
        hash: u64,
        place: []const u8,
        key: []const u8,
    ) Allocator.Error!*Flight {
        const flight = try gpa.create(Flight);
        errdefer gpa.destroy(flight);
        const name = try gpa.alloc(u8, place.len + key.len);
        errdefer gpa.free(name);
        if (flights.count == flights.buckets.len) try flights.grow(gpa);
        @memcpy(name[0..place.len], place);
        @memcpy(name[place.len..], key);
        flight.* = .{ .next = null, .hash = hash, .name = name, .place_len = place.len };
        flights.link(flight);
        flights.count += 1;
        return flight;
    }

    fn link(flights: *Flights, flight: *Flight) void {
        const bucket = flights.bucketOf(flight.hash);
        flight.next = bucket.*;
        bucket.* = flight;
    }

    fn grow(flights: *Flights, gpa: Allocator) Allocator.Error!void {
        const small = flights.buckets;
        flights.buckets = try gpa.alloc(?*Flight, @max(buckets_min, small.len * 2));
        @memset(flights.buckets, null);
        for (small) |first| {
            var at = first;
            while (at) |flight| {
                at = flight.next;
                flights.link(flight);
            }
        }
        gpa.free(small);
    }

    /// Who wants its key from now on begins another one.
    fn unlink(flights: *Flights, gpa: Allocator, flight: *Flight) void {
        if (!flight.is_linked) return;
        flight.is_linked = false;
        var at = flights.bucketOf(flight.hash);
        while (at.* != flight) at = &at.*.?.next;
        at.* = flight.next;
        flights.count -= 1;
        if (flights.count > 0) return;
        gpa.free(flights.buckets);
        flights.buckets = &.{};
    }

    fn land(flights: *Flights, gpa: Allocator, flight: *Flight, answer: Answer) void {
        flights.unlink(gpa, flight);
        flight.answer = answer;
        while (flight.passengers.popFirst()) |node| Seat.of(node).boarder.arrivals.append(node);
    }
};

/// The seats of one thread, each known by a number.
pub const Boarder = struct {
    flights: *Flights,
    gpa: Allocator,
    /// By number; null where it is given up.
    seats: std.ArrayList(?*Seat) = .empty,
    /// The numbers of those, with room for all.
    free: std.ArrayList(u32) = .empty,
    /// Passengers' seats whose flights have landed.
    arrivals: List = .{},

    /// Takes seats in the flights of these distinct keys: all of them or, after an error, none.
    /// `is_pilot_out` is 1 where there was no such flight.
    pub fn board(
        boarder: *Boarder,
        place: []const u8,
        keys: []const u8,
        key_lens: []const u32,
        seats_out: []u32,
        is_pilot_out: []u8,
    ) Allocator.Error!void {
        const flights = boarder.flights;
        const seed = flights.seedOf(place);
        flights.lock.lock();
        defer flights.lock.unlock();
        var taken: usize = 0;
        errdefer boarder.leaveAll(seats_out[0..taken]);
        var offset: usize = 0;
        for (key_lens) |len| {
            const key = keys[offset..][0..len];
            offset += len;
            const seat = try boarder.sit(keyHash(&seed, key), place, key);
            seats_out[taken] = seat.id;
            is_pilot_out[taken] = @intFromBool(seat.is_pilot);
            taken += 1;
        }
    }

    fn sit(
        boarder: *Boarder,
        hash: u64,
        place: []const u8,
        key: []const u8,
    ) Allocator.Error!*Seat {
        const gpa = boarder.gpa;
        if (boarder.free.items.len == 0) {
            try boarder.free.ensureTotalCapacity(gpa, boarder.seats.items.len + 1);
            try boarder.seats.append(gpa, null);
            boarder.free.appendAssumeCapacity(@intCast(boarder.seats.items.len - 1));
        }
        const seat = try gpa.create(Seat);
        errdefer gpa.destroy(seat);
        const known = boarder.flights.find(hash, place, key);
        const flight = known orelse try boarder.flights.begin(gpa, hash, place, key);
        const id = boarder.free.pop().?;
        seat.* = .{ .boarder = boarder, .id = id, .flight = flight, .is_pilot = known == null };
        flight.seat_count += 1;
        if (!seat.is_pilot) flight.passengers.append(&seat.node);
        boarder.seats.items[id] = seat;
        return seat;
    }

    /// Gives up the seat of a pilot; false where there is none of that number. `vector` goes to the
    /// passengers, who get nothing where memory is short.
    pub fn land(
        boarder: *Boarder,
        id: u32,
        vector: []align(1) const f32,
        is_stored: bool,
    ) bool {
        boarder.flights.lock.lock();
        defer boarder.flights.lock.unlock();
        const seat = boarder.seatAt(id) orelse return false;
        if (!seat.is_pilot) return false;
        const has_passengers = seat.flight.seat_count > 1;
        const len = if (has_passengers) vector.len else 0;
        const copy: []f32 = boarder.gpa.alloc(f32, len) catch &.{};
        @memcpy(copy, vector[0..copy.len]);
        const answer: Answer = .{ .vector = copy, .is_stored = is_stored };
        boarder.flights.land(boarder.gpa, seat.flight, answer);
        boarder.giveUp(seat);
        return true;
    }

    pub const Taken = union(enum) {
        nothing,
        /// `out` is shorter than this answer, which is kept.
        of_length: usize,
        /// The vector is the beginning of `out`.
        arrival: struct { seat: u32, answer: Answer },
    };

    /// What came first of what passengers wait for, whose seat is given up with it.
    pub fn take(boarder: *Boarder, out: []f32) Taken {
        boarder.flights.lock.lock();
        defer boarder.flights.lock.unlock();
        const seat: *Seat = .of(boarder.arrivals.first orelse return .nothing);
        const answer = seat.flight.answer.?;
        if (answer.vector.len > out.len) return .{ .of_length = answer.vector.len };
        const vector = out[0..answer.vector.len];
        @memcpy(vector, answer.vector);
        const id = seat.id;
        const is_stored = answer.is_stored;
        boarder.giveUp(seat);
        const copy: Answer = .{ .vector = vector, .is_stored = is_stored };
        return .{ .arrival = .{ .seat = id, .answer = copy } };
    }

    /// Gives up a seat; false where there is none of that number. What a pilot was to bring does
    /// not come.
    pub fn leave(boarder: *Boarder, id: u32) bool {
        boarder.flights.lock.lock();
        defer boarder.flights.lock.unlock();
        const seat = boarder.seatAt(id) orelse return false;
        boarder.giveUp(seat);
        return true;
    }

    /// Gives up the seat of a passenger who has waited too long: whoever wants the key from now on,
    /// this boarder first, begins anew. False where there is no such seat.
    pub fn overtake(boarder: *Boarder, id: u32) bool {
        boarder.flights.lock.lock();
        defer boarder.flights.lock.unlock();
        const seat = boarder.seatAt(id) orelse return false;
        if (seat.is_pilot) return false;
        if (seat.flight.answer == null) boarder.flights.unlink(boarder.gpa, seat.flight);
        boarder.giveUp(seat);
        return true;
    }

    fn leaveAll(boarder: *Boarder, ids: []const u32) void {
        for (ids) |id| boarder.giveUp(boarder.seatAt(id).?);
    }

    fn seatAt(boarder: *Boarder, id: u32) ?*Seat {
        return if (id < boarder.seats.items.len) boarder.seats.items[id] else null;
    }

    fn giveUp(boarder: *Boarder, seat: *Seat) void {
        const gpa = boarder.gpa;
        const flight = seat.flight;
        const is_under_way = flight.answer == null;
        if (seat.is_pilot) {
            if (is_under_way) boarder.flights.land(gpa, flight, .{});
        } else {
            const list = if (is_under_way) &flight.passengers else &boarder.arrivals;
            list.remove(&seat.node);
        }
        boarder.seats.items[seat.id] = null;
        boarder.free.appendAssumeCapacity(seat.id);
        gpa.destroy(seat);
        flight.seat_count -= 1;
        if (flight.seat_count == 0) flight.destroy(gpa);
        if (boarder.free.items.len == boarder.seats.items.len) {
            boarder.seats.clearAndFree(gpa);
            boarder.free.clearAndFree(gpa);
        }
    }

    /// Gives up all seats.
    pub fn close(boarder: *Boarder) void {
        const gpa = boarder.gpa;
        boarder.flights.lock.lock();
        var id: u32 = 0;
        while (id < boarder.seats.items.len) : (id += 1) {
            if (boarder.seatAt(id)) |seat| boarder.giveUp(seat);
        }
        boarder.flights.lock.unlock();
        boarder.seats.deinit(gpa);
        boarder.free.deinit(gpa);
        gpa.destroy(boarder);
    }
};

const testing = std.testing;

/// One boarder, and what its last call of `board` gave.
const Tester = struct {
    boarder: *Boarder,
    seats: [8]u32 = undefined,
    is_pilot: [8]u8 = undefined,

    fn open(flights: *Flights) !Tester {
        return .{ .boarder = try flights.open(testing.allocator) };
    }

    fn board(tester: *Tester, place: []const u8, keys: []const []const u8) !void {
        var bytes: [64]u8 = undefined;
        var lens: [8]u32 = undefined;
        var len: usize = 0;
        for (keys, lens[0..keys.len]) |key, *key_len| {
            @memcpy(bytes[len..][0..key.len], key);
            len += key.len;
            key_len.* = @intCast(key.len);
        }
        const count = keys.len;
        const seats = tester.seats[0..count];
        const is_pilot = tester.is_pilot[0..count];
        try tester.boarder.board(place, bytes[0..len], lens[0..count], seats, is_pilot);
    }

    fn expectPilot(tester: *const Tester, expected: []const u8) !void {
        try testing.expectEqualSlices(u8, expected, tester.is_pilot[0..expected.len]);
    }

    fn close(tester: *const Tester) void {
        tester.boarder.close();
    }
};

test "who comes second is a passenger and gets what the pilot brings; who comes later begins anew" {
    var flights: Flights = .{};
    var first: Tester = try .open(&flights);
    defer first.close();
    try first.board("p", &.{ "a", "bc" });
    try first.expectPilot(&.{ 1, 1 });
    var second: Tester = try .open(&flights);
    defer second.close();
    try second.board("p", &.{ "bc", "a", "xb" });
    try second.expectPilot(&.{ 0, 0, 1 });

    var out: [2]f32 = undefined;
    try testing.expectEqual(.nothing, second.boarder.take(&out));
    try testing.expect(first.boarder.land(first.seats[1], &.{ 3, 4 }, true));
    try testing.expect(!first.boarder.land(first.seats[1], &.{ 3, 4 }, true));
    try testing.expectEqual(2, second.boarder.take(out[0..1]).of_length);
    const arrival = second.boarder.take(&out).arrival;
    try testing.expectEqual(second.seats[0], arrival.seat);
    try testing.expectEqualSlices(f32, &.{ 3, 4 }, arrival.answer.vector);
    try testing.expect(arrival.answer.is_stored);
    try testing.expectEqual(.nothing, second.boarder.take(&out));

    var third: Tester = try .open(&flights);
    defer third.close();
    try third.board("p", &.{ "bc", "a" });
    try third.expectPilot(&.{ 1, 0 });
}

test "a place and a key are told apart, wherever one ends and the other begins" {
    var flights: Flights = .{};
    var boarder: Tester = try .open(&flights);
    defer boarder.close();
    const names = [_][2][]const u8{ .{ "ab", "c" }, .{ "a", "bc" }, .{ "", "abc" }, .{ "b", "c" } };
    for (names) |name| {
        try boarder.board(name[0], &.{name[1]});
        try boarder.expectPilot(&.{1});
    }
}

test "what a closed boarder was to bring does not come, and its passengers can begin anew" {
    var flights: Flights = .{};
    var boarders: [4]Tester = undefined;
    for (&boarders) |*boarder| {
        boarder.* = try .open(&flights);
        try boarder.board("p", &.{"a"});
    }
    const pilot, var passenger, const leaver, const closed = boarders;
    defer passenger.close();
    defer leaver.close();
    try testing.expect(leaver.boarder.leave(leaver.seats[0]));
    closed.close();
    pilot.close();
    const arrival = passenger.boarder.take(&.{}).arrival;
    try testing.expectEqual(0, arrival.answer.vector.len);
    try testing.expectEqual(.nothing, leaver.boarder.take(&.{}));
    try passenger.board("p", &.{"a"});
    try passenger.expectPilot(&.{1});
}

test "who overtakes a flight begins another, and those who stay get what the first one brings" {
    var flights: Flights = .{};
    var boarders: [3]Tester = undefined;
    for (&boarders) |*boarder| {
        boarder.* = try .open(&flights);
        try boarder.board("p", &.{"a"});
    }
    defer for (boarders) |boarder| boarder.close();
    const pilot = &boarders[0];
    const hasty = &boarders[1];
    const patient = &boarders[2];
    try testing.expect(!pilot.boarder.overtake(pilot.seats[0]));
    try testing.expect(hasty.boarder.overtake(hasty.seats[0]));
    try testing.expect(!hasty.boarder.overtake(hasty.seats[0]));
    try hasty.board("p", &.{"a"});
    try hasty.expectPilot(&.{1});
    var late: Tester = try .open(&flights);
    defer late.close();
    try late.board("p", &.{"a"});
    try late.expectPilot(&.{0});

    var out: [1]f32 = undefined;
    try testing.expect(pilot.boarder.land(pilot.seats[0], &.{1}, false));
    try testing.expectEqual(1, patient.boarder.take(&out).arrival.answer.vector[0]);
    try testing.expectEqual(.nothing, late.boarder.take(&out));
    try testing.expect(hasty.boarder.land(hasty.seats[0], &.{2}, false));
    try testing.expectEqual(2, late.boarder.take(&out).arrival.answer.vector[0]);
}

test "what arrived and was not taken goes with its passenger" {
    var flights: Flights = .{};
    var pilot: Tester = try .open(&flights);
    defer pilot.close();
    try pilot.board("p", &.{ "a", "b" });
    var passenger: Tester = try .open(&flights);
    try passenger.board("p", &.{ "a", "b" });
    for (pilot.seats[0..2]) |seat| try testing.expect(pilot.boarder.land(seat, &.{1}, false));
    try testing.expect(passenger.boarder.leave(passenger.seats[0]));
    var out: [1]f32 = undefined;
    try testing.expectEqual(1, passenger.boarder.take(out[0..0]).of_length);
    passenger.close();
}

test "the number of no seat, and the seat of a passenger, land nothing" {
    var flights: Flights = .{};
    var pilot: Tester = try .open(&flights);
    defer pilot.close();
    try pilot.board("p", &.{"a"});
    var passenger: Tester = try .open(&flights);
    defer passenger.close();
    try passenger.board("p", &.{"a"});
    try testing.expect(!passenger.boarder.land(passenger.seats[0], &.{}, false));
    try testing.expect(!pilot.boarder.land(1, &.{}, false));
    try testing.expect(!pilot.boarder.leave(1));
}

test "many keys find their flights, and leave nothing behind" {
    var flights: Flights = .{};
    var pilot: Tester = try .open(&flights);
    defer pilot.close();
    var passenger: Tester = try .open(&flights);
    defer passenger.close();
    const count = 10_000;
    var seats: [count]u32 = undefined;
    for (&seats, 0..) |*seat, number| {
        try pilot.board("p", &.{std.mem.asBytes(&number)});
        try pilot.expectPilot(&.{1});
        seat.* = pilot.seats[0];
        try passenger.board("p", &.{std.mem.asBytes(&number)});
        try passenger.expectPilot(&.{0});
    }
    try testing.expect(flights.buckets.len >= count);
    for (seats) |seat| try testing.expect(pilot.boarder.land(seat, &.{7}, true));
    var out: [1]f32 = undefined;
    for (0..count) |_| try testing.expect(passenger.boarder.take(&out) == .arrival);
    try testing.expectEqual(.nothing, passenger.boarder.take(&out));
    try testing.expectEqual(0, flights.buckets.len);
    try testing.expectEqual(0, passenger.boarder.seats.capacity + pilot.boarder.free.capacity);
}

fn boardSome(gpa: Allocator) !void {
    var flights: Flights = .{};
    const pilot = try flights.open(gpa);
    defer pilot.close();
    var seats: [3]u32 = undefined;
    var is_pilot: [3]u8 = undefined;
    try pilot.board("place", "abc", &.{ 1, 1, 1 }, &seats, &is_pilot);
    const landed = seats[0];
    const passenger = try flights.open(gpa);
    defer passenger.close();
    try passenger.board("place", "dac", &.{ 1, 1, 1 }, &seats, &is_pilot);
    // Memory that is short for the copy costs the passenger only the vector.
    try testing.expect(pilot.land(landed, &.{ 1, 2 }, false));
    var out: [2]f32 = undefined;
    if (passenger.take(&out).arrival.answer.vector.len == 0) return error.OutOfMemory;
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
            const boarder = try shared.flights.open(std.heap.smp_allocator);
            defer boarder.close();
            var seats: [1]u32 = undefined;
            var is_pilot: [1]u8 = undefined;
            try boarder.board("p", &.{key}, &.{1}, &seats, &is_pilot);
            if (is_pilot[0] == 1) {
                const others = shared.pilots[key].fetchAdd(1, .acquire);
                try testing.expectEqual(0, others);
                if (random.boolean()) std.Thread.yield() catch {};
                _ = shared.pilots[key].fetchSub(1, .release);
                if (random.uintLessThan(u8, 4) > 0) _ = boarder.land(seats[0], &.{ 7, key }, false);
                return;
            }
            var out: [2]f32 = undefined;
            while (random.uintLessThan(u8, 100) > 0) switch (boarder.take(&out)) {
                .nothing => std.Thread.yield() catch {},
                .of_length => return error.Unexpected,
                .arrival => |arrival| {
                    if (arrival.answer.vector.len == 0) return;
                    return testing.expectEqualSlices(f32, &.{ 7, key }, arrival.answer.vector);
                },
            };
        }
    };
    var shared: Shared = .{};
    var threads: [4]std.Thread = undefined;
    for (&threads, 0..) |*thread, seed| thread.* = try .spawn(.{}, Shared.run, .{ &shared, seed });
    for (threads) |thread| thread.join();
    try testing.expectEqual(0, shared.failed.load(.monotonic));
    try testing.expectEqual(0, shared.flights.count);
}
