//! The rescue of a damaged file on a machine that fails too: each place where it allocates or reads
//! is made to fail. Memory that runs out is an error; what cannot be read is not rescued, and no
//! wrong row comes back.

const std = @import("std");
const vl = @import("vectorlite");
const Base = @import("crash/workload.zig").Base;
const Client = @import("crash/client.zig").Client;
const Contents = @import("crash/contents.zig").Contents;
const Engine = @import("faults/sites.zig").Engine;
const Key = @import("crash/contents.zig").Key;
const Scarce = @import("faults/scarce.zig").Scarce;
const Value = @import("crash/contents.zig").Value;
const Call = @import("faults/witness.zig").Call;
const Seen = @import("faults/witness.zig").Seen;
const Victims = @import("faults/witness.zig").Victims;
const Witness = @import("faults/witness.zig").Witness;
const contents = @import("crash/contents.zig");
const tally = @import("crash/tally.zig");
const format = vl.format;
const simulated = vl.backends.simulated;

const gpa = std.heap.smp_allocator;
const path = "crash.vl";

/// A file, and how it is damaged.
const Wreck = struct {
    bytes: []u8,
    /// What each row ever was: a rescued one is one of them.
    rows: *const Contents,

    const Damage = enum { none, heads, some_pages, most_pages };

    fn init(base: *const Base, damage: Damage, seed: u64) !Wreck {
        const bytes = try gpa.dupe(u8, base.bytes);
        var prng: std.Random.DefaultPrng = .init(seed);
        const random = prng.random();
        const pages = bytes.len / format.page_bytes;
        for (0..pages) |page| {
            const is_head = page < format.first_free_page;
            const is_hit = switch (damage) {
                .none => false,
                .heads => is_head,
                .some_pages => !is_head and random.uintLessThan(u8, 5) == 0,
                .most_pages => is_head or random.uintLessThan(u8, 5) > 1,
            };
            if (is_hit) random.bytes(bytes[page * format.page_bytes ..][0..format.page_bytes]);
        }
        return .{ .bytes = bytes, .rows = &base.rows };
    }

    fn deinit(wreck: *const Wreck) void {
        gpa.free(wreck.bytes);
    }
};

/// One rescue, with one fault or none.
const Rescue = struct {
    disk: *simulated.Disk,
    scarce: Scarce,
    witness: ?*Witness = null,

    fn init(wreck: *const Wreck, allocations: u64) !Rescue {
        return .{
            .disk = try simulated.Disk.create(gpa, .{ .seed = 5, .content = wreck.bytes }),
            .scarce = .{ .child = gpa, .left = allocations, .forever = false },
        };
    }

    fn deinit(rescue: *Rescue) void {
        rescue.disk.destroy();
    }

    fn onCall(context: ?*anyopaque, kind: simulated.Call) void {
        Witness.hear(context.?, kind, false);
    }

    fn listen(rescue: *Rescue, witness: *Witness) void {
        rescue.disk.hooks = .{ .context = witness, .onCall = onCall };
        rescue.scarce.hook = Witness.hearAllocation;
        rescue.scarce.context = witness;
    }

    fn run(rescue: *Rescue, wreck: *const Wreck) anyerror!void {
        var diagnostics: vl.Diagnostics = .{};
        const memory = vl.backends.memory.system();
        const scarce_gpa = rescue.scarce.allocator();
        const target = try vl.Database.open(scarce_gpa, memory, ":memory:", .{}, &diagnostics);
        defer target.close();
        target.system = (try rescue.disk.process()).system();
        const job = try vl.Job.open(target, .salvage, path);
        defer job.close();
        var done: f64 = 0;
        var total: f64 = 0;
        while (try job.step(1 << 16, &done, &total)) {}
        scarce_gpa.free(try job.result());
        try expectRight(target, wreck);
    }

    /// Every row that came back is one that was there.
    fn expectRight(target: *vl.Database, wreck: *const Wreck) !void {
        var names: [4096]u8 = undefined;
        var needed: usize = 0;
        const scope: vl.Scope = .{ .database = target };
        if (try vl.catalogue.names(scope, &names, &needed) == 0) return;
        const collection = vl.Collection.open(scope, "docs", .{ .create = false }) catch |err| {
            return if (err == error.NotFound) {} else err;
        };
        defer collection.close();
        var vector: [contents.dimension]f32 = undefined;
        var count: u64 = 0;
        for (wreck.rows.rows.keys(), wreck.rows.rows.values()) |number, value| {
            const key: Key = .init(number);
            if (!try collection.get(key.text(), &vector)) continue;
            count += 1;
            // The file has older states of a row too, which come back where the newest is lost.
            if (!std.mem.eql(f32, &vector, &value.vector())) try expectOlder(&vector);
        }
        try std.testing.expectEqual((try collection.stats()).records, count);
    }

    fn expectOlder(vector: *const [contents.dimension]f32) !void {
        for (1_000_000..1_001_000) |seed| {
            const older: Value = .{ .seed = @intCast(seed) };
            if (std.mem.eql(f32, vector, &older.vector())) return;
        }
        return error.WrongContents;
    }
};

fn learn(engine: *Engine, wreck: *const Wreck, seen: *Seen) ![]Call {
    var rescue: Rescue = try .init(wreck, std.math.maxInt(u64));
    defer rescue.deinit();
    var witness: Witness = .{ .engine = engine, .seen = seen };
    rescue.listen(&witness);
    rescue.run(wreck) catch |err| if (err != error.NotADatabase) return err;
    if (witness.failure) |failure| return failure;
    return witness.calls.items;
}

fn onVictim(context: ?*anyopaque, kind: simulated.Call) void {
    Victims.hear(context.?, kind, false);
}

fn failOne(engine: *Engine, wreck: *const Wreck, call: Call, forever: bool) !void {
    const is_allocation = call.kind == null;
    const allocations = if (is_allocation) call.number else std.math.maxInt(u64);
    var rescue: Rescue = try .init(wreck, allocations);
    defer rescue.deinit();
    rescue.scarce.forever = forever and is_allocation;
    if (call.kind) |kind| {
        try rescue.disk.inject(.{ .call = kind, .after = call.number, .forever = forever });
    }
    var victims: Victims = .{
        .engine = engine,
        .fault = call.kind,
        .scarce = &rescue.scarce,
        .disk = rescue.disk,
    };
    rescue.disk.hooks = .{ .context = &victims, .onCall = onVictim };
    rescue.run(wreck) catch |err| {
        const expected: anyerror = if (is_allocation) error.OutOfMemory else error.InputOutput;
        // Where too much is destroyed there is nothing to know it by.
        if (err != expected and err != error.NotADatabase) return err;
    };
    const has_fired = if (is_allocation) rescue.scarce.fired else rescue.disk.faults_fired > 0;
    if (!has_fired) return error.FaultNotReached;
    if (rescue.scarce.live != 0) return error.Leaked;
    engine.hit(call.lines, is_allocation);
    if (victims.failure) |failure| return failure;
}

test "every place of a rescue that allocates or reads fails, and is survived" {
    var engine: Engine = try .read("zig", .{ .only = &.{ "salvage", "wreck" } });
    defer engine.deinit();
    var base = try Base.divided();
    defer base.deinit();
    var seen: Seen = .empty;
    var runs: u64 = 0;
    for (std.enums.values(Wreck.Damage)) |damage| for (1..9) |seed| {
        const wreck: Wreck = try .init(&base, damage, seed);
        defer wreck.deinit();
        for (try learn(&engine, &wreck, &seen)) |call| for ([_]bool{ false, true }) |forever| {
            try failOne(&engine, &wreck, call, forever);
            runs += 1;
        };
    };
    var hit: usize = 0;
    for (engine.sites.items) |site| {
        // A page of the wrong shape with the right checksum is made by an attacker only.
        const is_forged = std.mem.startsWith(u8, site.text, ".misshapen");
        if (site.hits > 0 or is_forged) hit += 1 else {
            std.debug.print("not hit: {s}:{d}: {s}\n", .{ site.file, site.first, site.text });
        }
    }
    tally.tell("faults of rescues", .{
        .faults = runs,
        .places = engine.sites.items.len,
        .places_hit = hit,
    });
    try std.testing.expectEqual(engine.sites.items.len, hit);
    try std.testing.expect(runs > 50);
}
