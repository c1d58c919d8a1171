//! The crash engine: it runs a workload on a simulated disk, and wherever the power may fail it
//! builds the disks that could be left behind, opens each of them and asks the oracles.
//!
//! (a) The file is whole, to the engine and to a reader that shares nothing with it. (b) What it
//! holds is a state of the trace, and its collection has the name of that state: with `full`
//! durability nothing acknowledged is missing, otherwise nothing from before the last checkpoint,
//! and after a mere kill nothing at all. (c) Batches are whole, which follows from (b), as the
//! trace has only whole batches. (d) Opening twice gives the same. (e) Life goes on: more
//! transactions, and another crash in the middle of them. (f) No write touches a byte that a
//! retained root or an open snapshot needs.

const std = @import("std");
const vl = @import("vectorlite");
const contents = @import("contents.zig");
const inspector_module = @import("inspector.zig");
const client_module = @import("client.zig");
const Client = client_module.Client;
const Contents = contents.Contents;
const Digest = contents.Digest;
const Inspector = inspector_module.Inspector;
const Range = inspector_module.Range;
const Value = contents.Value;
const simulated = vl.backends.simulated;
const Disk = simulated.Disk;

const gpa = std.heap.smp_allocator;

/// Verification takes about as long as all other checks of an image.
const images_per_verify = 4;

pub const Settings = struct {
    durability: vl.Durability = .full,
    /// Makes the file; otherwise it is there.
    create: bool = false,
    /// Power losses that are tried at a sync: all of them up to 2^groups, else samples.
    groups_max: u6 = 7,
    samples: u32 = 24,
    /// So many of them, drawn by the seed; null is all.
    images_per_sync: ?u32 = null,
    /// Power losses that are tried at a write.
    images_per_write: u32 = 2,
    /// One image in so many lives on until a second crash; 0 is none.
    second_life: u32 = 64,
    seed: u64 = 1,
};

/// What was checked, so that a test can see that it did something.
pub const Counts = struct {
    images: u64 = 0,
    verified: u64 = 0,
    images_second: u64 = 0,
    simulated_kills: u64 = 0,
    writes_watched: u64 = 0,
    ranges_watched: u64 = 0,
    rewrites: u64 = 0,
    shrinks: u64 = 0,

    pub fn add(counts: *Counts, other: Counts) void {
        inline for (std.meta.fields(Counts)) |field| {
            @field(counts, field.name) += @field(other, field.name);
        }
    }
};

const Rewrite = struct { offset: u64, before: []u8 };

pub const Rig = struct {
    settings: Settings,
    disk: *Disk,
    /// Where images are built; null at the end of a chain of crashes.
    next: ?*Rig = null,
    client: Client,
    /// What the newest acknowledged commit holds.
    now: Contents,
    /// What each commit left, in order, and what the one that is being made will leave.
    trace: std.ArrayList(State) = .empty,
    /// The last commit that was acknowledged, and the last that must survive power loss.
    acknowledged: usize = 0,
    durable: usize = 0,
    has_volatile: bool = false,
    volatile_since: u64 = 0,
    /// An oracle that knows no fault any more (a failed sync leaves older roots damaged).
    had_fault: bool = false,
    /// The newest durable root may not be durable: its writer died before its second sync. So one
    /// root that the medium still has is not kept, the oldest.
    had_kill: bool = false,
    /// Roots of snapshots that are open on this disk.
    pinned: std.ArrayList(vl.format.Root) = .empty,
    snapshots: std.ArrayList(OpenSnapshot) = .empty,
    protected: Protected = .{},
    rewrites: std.ArrayList(Rewrite) = .empty,
    counts: Counts = .{},
    /// Of the connections to this disk.
    client_gpa: std.mem.Allocator = gpa,
    prng: std.Random.DefaultPrng,
    value_next: u32 = 1,
    key_next: u32 = 1000,
    /// Calls of the write hook; `kill_at` kills the process in that one.
    writes: u64 = 0,
    kill_at: ?u64 = null,
    /// A sync that is about to fail, after so many that do not.
    failing_sync: ?FailingSync = null,
    /// How many outcomes that one had.
    sync_outcomes: u64 = 0,
    /// Acknowledged volatile commits may be gone: a sync failed.
    may_go_back: bool = false,
    /// Crashes are tried inside the calls. Off while the base state is prepared.
    exploring: bool = false,
    failure: ?anyerror = null,
    report: std.Io.Writer.Allocating,
    /// Of the connections to an image, which are many.
    arena: std.heap.ArenaAllocator,

    const FailingSync = struct { after: u64, kill: bool };
    const State = struct { digest: Digest, rows: Contents };
    const OpenSnapshot = struct {
        snapshot: *vl.Snapshot,
        collection: *vl.Collection,
        digest: Digest,
    };

    const Protected = struct {
        slots_hash: u64 = 0,
        pinned_count: usize = 0,
        durable: std.ArrayList(Range) = .empty,
        @"volatile": std.ArrayList(Range) = .empty,
        /// The newest root, and the newest durable one.
        newest_slots: [2]?u32 = @splat(null),
    };

    pub fn create(settings: Settings, content: ?[]const u8, lives: u32) !*Rig {
        const rig = try gpa.create(Rig);
        rig.* = .{
            .settings = settings,
            .disk = try Disk.create(gpa, .{ .seed = settings.seed, .content = content }),
            .client = undefined,
            .now = .{ .gpa = gpa },
            .prng = .init(settings.seed),
            .report = .init(gpa),
            .arena = .init(std.heap.page_allocator),
        };
        try rig.newClient();
        var later = settings;
        // No two disks draw the same boot ids.
        later.seed +%= 0x9E37_79B9;
        later.images_per_sync = 6;
        later.images_per_write = 1;
        if (lives > 1) rig.next = try Rig.create(later, null, lives - 1);
        rig.disk.hooks = .{
            .context = rig,
            .onWrite = onWrite,
            .onShrink = onShrink,
            .onSync = onSync,
        };
        return rig;
    }

    pub fn destroy(rig: *Rig) void {
        rig.clear();
        rig.now.deinit();
        rig.dropTrace();
        rig.trace.deinit(gpa);
        rig.pinned.deinit(gpa);
        rig.snapshots.deinit(gpa);
        rig.protected.durable.deinit(gpa);
        rig.protected.@"volatile".deinit(gpa);
        rig.rewrites.deinit(gpa);
        rig.report.deinit();
        rig.arena.deinit();
        if (rig.next) |next| next.destroy();
        rig.disk.destroy();
        gpa.destroy(rig);
    }

    /// Closes what is open, without a look at what it does.
    fn clear(rig: *Rig) void {
        rig.exploring = false;
        for (rig.snapshots.items) |open_one| {
            open_one.collection.close();
            open_one.snapshot.close();
        }
        rig.snapshots.clearRetainingCapacity();
        rig.pinned.clearRetainingCapacity();
        rig.client.close();
        for (rig.rewrites.items) |rewrite| gpa.free(rewrite.before);
        rig.rewrites.clearRetainingCapacity();
    }

    /// After the process was killed: another one finds everything that was acknowledged, and the
    /// call that was under way either whole or not at all. Power may still be lost.
    pub fn comeBack(rig: *Rig) !void {
        rig.kill_at = null;
        const exploring = rig.exploring;
        rig.clear();
        rig.exploring = exploring;
        const found = try rig.inspectDisk(false);
        const lowest = if (rig.may_go_back) rig.durable else rig.acknowledged;
        const state = for (rig.trace.items[lowest..], lowest..) |state, index| {
            if (state.digest.eql(found)) break index;
        } else return error.StateLost;
        const rows = try rig.trace.items[state].rows.clone();
        rig.now.deinit();
        rig.now = rows;
        while (rig.trace.items.len > state + 1) {
            var later = rig.trace.pop().?;
            later.rows.deinit();
        }
        rig.acknowledged = state;
        rig.has_volatile = false;
        rig.may_go_back = false;
        rig.had_kill = true;
        rig.counts.simulated_kills += 1;
        try rig.newClient();
        try rig.open();
        try expectDigest(found, try rig.read(.every_way));
    }

    fn dropTrace(rig: *Rig) void {
        for (rig.trace.items) |*state| state.rows.deinit();
        rig.trace.clearRetainingCapacity();
    }

    /// The rig takes over a disk that holds `rows`: this is the first state of its trace.
    pub fn begin(rig: *Rig, rows: *const Contents) !void {
        const now = try rows.clone();
        rig.now.deinit();
        rig.now = now;
        rig.dropTrace();
        try rig.announce();
        rig.acknowledged = 0;
        rig.durable = 0;
        rig.has_volatile = false;
        rig.had_fault = false;
        rig.had_kill = false;
        rig.may_go_back = false;
        rig.failing_sync = null;
        rig.failure = null;
        rig.writes = 0;
        rig.kill_at = null;
        rig.protected.slots_hash = 0;
        try rig.newClient();
    }

    /// A connection of a new process, not opened yet.
    pub fn newClient(rig: *Rig) !void {
        rig.client = .{
            .gpa = rig.client_gpa,
            .process = try rig.disk.process(),
            .options = .{
                .durability = rig.settings.durability,
                .create = rig.settings.create,
            },
        };
    }

    pub fn open(rig: *Rig) !void {
        rig.client.name = rig.now.name;
        try rig.client.open();
        try rig.settle();
    }

    /// What the connection shows of the collection, and what that is called now.
    pub fn read(rig: *Rig, ways: client_module.Ways) !Digest {
        return readNamed(rig.client.collection.?, ways);
    }

    fn readNamed(collection: *vl.Collection, ways: client_module.Ways) !Digest {
        const rows = try client_module.readEverything(collection, ways);
        return contents.named(try collection.currentName(), rows);
    }

    // The operations. Each is one call of the engine or a few, with the trace kept beside it.

    pub fn putNew(rig: *Rig) !void {
        rig.key_next += 1;
        return rig.putRows(&.{rig.key_next}, 0);
    }

    pub fn overwrite(rig: *Rig) !void {
        return rig.putRows(&.{rig.existing()}, 9);
    }

    /// One row that is new and one that is not.
    pub fn putTwo(rig: *Rig) !void {
        rig.key_next += 1;
        return rig.putRows(&.{ rig.existing(), rig.key_next }, 5);
    }

    /// Enough rows for another segment, a larger file and a divided bucket.
    pub fn putMany(rig: *Rig, comptime count: u32) !void {
        var numbers: [count]u32 = undefined;
        for (&numbers) |*number| {
            rig.key_next += 1;
            number.* = rig.key_next;
        }
        return rig.putRows(&numbers, 0);
    }

    /// One row so long that the file grows.
    pub fn grow(rig: *Rig) !void {
        rig.key_next += 1;
        return rig.putRows(&.{rig.key_next}, contents.metadata_bytes_max);
    }

    /// Other metadata for a row that stays.
    pub fn amend(rig: *Rig) !void {
        const number = rig.existing();
        const value = rig.now.rows.getPtr(number) orelse return;
        value.metadata_seed = rig.value_next;
        value.metadata_bytes = 11;
        rig.value_next += 1;
        const now = value.*;
        try rig.announce();
        const found = rig.client.amend(number, now) catch |err| return rig.refused(err);
        if (!found) return error.KeyNotFound;
        try rig.acknowledge();
    }

    pub fn delete(rig: *Rig) !void {
        const number = rig.existing();
        _ = rig.now.rows.orderedRemove(number);
        try rig.announce();
        _ = rig.client.delete(number) catch |err| return rig.refused(err);
        try rig.acknowledge();
    }

    /// From one of two names to the other; the open collection goes on under it.
    pub fn rename(rig: *Rig) !void {
        const from = rig.now.name;
        const is_first = std.mem.eql(u8, from, Contents.first_name);
        rig.now.name = if (is_first) Contents.second_name else Contents.first_name;
        try rig.announce();
        const database = rig.client.database.?;
        const renamed = vl.catalogue.rename(database, from, rig.now.name) catch |err|
            return rig.refused(err);
        if (renamed != .done) return error.WrongName;
        try rig.acknowledge();
        const name = try rig.client.collection.?.currentName();
        if (!std.mem.eql(u8, name, rig.now.name)) return error.WrongName;
    }

    fn putRows(rig: *Rig, numbers: []const u32, metadata_bytes: u32) !void {
        const values = try gpa.alloc(Value, numbers.len);
        defer gpa.free(values);
        for (numbers, values) |number, *value| {
            value.* = .{ .seed = rig.value_next, .metadata_bytes = metadata_bytes };
            rig.value_next += 1;
            try rig.now.put(number, value.*);
        }
        try rig.announce();
        rig.client.putMany(numbers, values) catch |err| return rig.refused(err);
        try rig.acknowledge();
    }

    fn existing(rig: *Rig) u32 {
        const keys = rig.now.rows.keys();
        if (keys.len == 0) return 1;
        return keys[rig.prng.random().uintLessThan(usize, keys.len)];
    }

    pub fn checkpoint(rig: *Rig) !void {
        rig.client.database.?.flush() catch |err| return rig.refused(err);
        rig.durable = rig.acknowledged;
        rig.has_volatile = false;
        try rig.settle();
    }

    /// One slice. The contents are what they were.
    pub fn compactStep(rig: *Rig, is_first: bool) !bool {
        var done: f64 = 0;
        var total: f64 = 0;
        const database = rig.client.database.?;
        const more = vl.compactStep(database, is_first, 2048, &done, &total) catch |err|
            return rig.refused(err);
        // A slice that moves something is a commit, which may have been the checkpoint.
        const slots = inspector_module.readSlots(rig.disk.bytes());
        const newest = inspector_module.newest(&slots, rig.disk.boot_id) orelse return error.NoRoot;
        if (newest.kind == .durable and !rig.had_fault) {
            rig.durable = rig.acknowledged;
            rig.has_volatile = false;
        }
        try rig.settle();
        return more;
    }

    pub fn compact(rig: *Rig) !void {
        var is_first = true;
        while (try rig.compactStep(is_first)) is_first = false;
    }

    pub fn reopen(rig: *Rig) !void {
        try rig.closeSnapshots();
        rig.client.close();
        if (rig.client.process.alive and !rig.may_go_back) {
            rig.durable = rig.acknowledged;
            rig.has_volatile = false;
        }
        try rig.settle();
        try rig.open();
        try expectDigest(rig.trace.items[rig.acknowledged].digest, try rig.read(.every_way));
    }

    /// Long enough for the next commit of `normal` to be a checkpoint.
    pub fn wait(rig: *Rig) void {
        rig.disk.advance(vl.limits.checkpoint_interval_ms);
    }

    pub fn openSnapshot(rig: *Rig) !void {
        const snapshot = try rig.client.database.?.openSnapshot();
        errdefer snapshot.close();
        const name = rig.trace.items[rig.acknowledged].rows.name;
        const collection = try vl.Collection.open(
            .{ .snapshot = snapshot },
            name,
            .{ .create = false },
        );
        errdefer collection.close();
        const digest = try readNamed(collection, .every_way);
        try expectDigest(rig.trace.items[rig.acknowledged].digest, digest);
        try rig.pinned.append(gpa, snapshot.view.root);
        try rig.snapshots.append(gpa, .{
            .snapshot = snapshot,
            .collection = collection,
            .digest = digest,
        });
    }

    /// The snapshots still show what they showed when they were opened.
    pub fn closeSnapshots(rig: *Rig) !void {
        while (rig.snapshots.pop()) |open_one| {
            const digest = readNamed(open_one.collection, .every_way);
            open_one.collection.close();
            open_one.snapshot.close();
            _ = rig.pinned.pop();
            if (rig.client.process.alive) try expectDigest(open_one.digest, try digest);
        }
    }

    /// The state that the call now being made leads to.
    fn announce(rig: *Rig) !void {
        var rows = try rig.now.clone();
        errdefer rows.deinit();
        try rig.trace.append(gpa, .{
            .digest = contents.named(rows.name, rows.digest()),
            .rows = rows,
        });
    }

    fn acknowledge(rig: *Rig) !void {
        rig.acknowledged = rig.trace.items.len - 1;
        const is_due = rig.has_volatile and rig.checkpointIsDue();
        switch (rig.settings.durability) {
            .full => rig.durable = rig.acknowledged,
            .normal => if (is_due) {
                rig.durable = rig.acknowledged;
                rig.has_volatile = false;
            } else rig.noteVolatile(),
            .none => rig.noteVolatile(),
        }
        try rig.settle();
    }

    fn noteVolatile(rig: *Rig) void {
        if (!rig.has_volatile) rig.volatile_since = rig.disk.now_ms;
        rig.has_volatile = true;
    }

    fn checkpointIsDue(rig: *const Rig) bool {
        return rig.disk.now_ms - rig.volatile_since >= vl.limits.checkpoint_interval_ms;
    }

    fn refused(rig: *Rig, err: anyerror) anyerror {
        rig.settle() catch |failure| return failure;
        return err;
    }

    /// A refused write: the model is what it was. Returns what would have been.
    pub fn retract(rig: *Rig) !?Digest {
        const rows = try rig.trace.items[rig.acknowledged].rows.clone();
        rig.now.deinit();
        rig.now = rows;
        if (rig.trace.items.len == rig.acknowledged + 1) return null;
        var refused_state = rig.trace.pop().?;
        defer refused_state.rows.deinit();
        return refused_state.digest;
    }

    // The crashes.

    fn of(context: ?*anyopaque) *Rig {
        return @ptrCast(@alignCast(context.?));
    }

    fn onWrite(context: ?*anyopaque, offset: u64, len: u64) void {
        const rig = of(context);
        rig.writes += 1;
        if (rig.failure != null) return;
        rig.beforeWrite(offset, len) catch |err| rig.fail(err);
        if (rig.kill_at) |at| if (rig.writes == at) rig.client.process.kill();
    }

    fn onShrink(context: ?*anyopaque, length: u64) void {
        const rig = of(context);
        if (rig.failure != null) return;
        rig.beforeShrink(length) catch |err| rig.fail(err);
    }

    /// Nothing that a root or a snapshot needs may be cut off.
    fn beforeShrink(rig: *Rig, length: u64) !void {
        rig.counts.shrinks += 1;
        try rig.learnProtected();
        const known = &rig.protected;
        for ([_][]const Range{ known.durable.items, known.@"volatile".items }) |ranges| {
            for (ranges) |range| if (range.end > length) return error.RetainedBytesCut;
        }
        for (inspector_module.readSlots(rig.disk.bytes())) |maybe| if (maybe) |root| {
            if (vl.format.pageOffset(root.file_pages) > length) return error.RootCut;
        };
        if (rig.exploring) try rig.exploreAll();
    }

    fn onSync(context: ?*anyopaque) void {
        const rig = of(context);
        rig.beforeFailingSync() catch |err| rig.fail(err);
        if (!rig.exploring or rig.failure != null) return;
        rig.exploreAll() catch |err| rig.fail(err);
    }

    fn beforeFailingSync(rig: *Rig) !void {
        const failing = if (rig.failing_sync) |*found| found else return;
        const kill = failing.kill;
        if (failing.after > 0) {
            failing.after -= 1;
            return;
        }
        if (kill) rig.client.process.kill();
        rig.failing_sync = null;
        var possible = try rig.disk.crashes(.{ .garbage = false });
        defer possible.deinit();
        rig.sync_outcomes = possible.count();
    }

    fn fail(rig: *Rig, err: anyerror) void {
        rig.failure = err;
    }

    /// After every call: the first failure inside of it, and the bytes that it wrote twice.
    pub fn settle(rig: *Rig) anyerror!void {
        try rig.checkRewrites();
        if (rig.failure) |failure| return failure;
    }

    fn say(rig: *Rig, comptime text: []const u8, arguments: anytype) void {
        rig.report.writer.print(text ++ "\n", arguments) catch {};
    }

    fn beforeWrite(rig: *Rig, offset: u64, len: u64) anyerror!void {
        try rig.checkRewrites();
        try rig.watch(offset, len);
        if (!rig.exploring or rig.next == null) return;
        var possible = try rig.disk.crashes(rig.crashOptions());
        defer possible.deinit();
        // The process dies, the machine lives: the cache is the truth, and nothing is lost.
        const all = rig.disk.log.writes.items.len;
        if (!rig.had_fault) try rig.tryImage(possible.at(all).?, .same);
        const total = possible.count();
        for (0..rig.settings.images_per_write) |_| {
            const number = rig.prng.random().uintLessThan(u64, total);
            try rig.tryImage(possible.at(number).?, .new);
        }
    }

    fn crashOptions(rig: *const Rig) simulated.CrashOptions {
        return .{
            .groups_max = rig.settings.groups_max,
            .samples = rig.settings.samples,
            .seed = rig.settings.seed,
        };
    }

    /// Every power loss that is possible at this moment.
    pub fn exploreAll(rig: *Rig) anyerror!void {
        if (rig.next == null) return;
        var possible = try rig.disk.crashes(rig.crashOptions());
        defer possible.deinit();
        const count = rig.settings.images_per_sync orelse {
            while (possible.next()) |choice| try rig.tryImage(choice, .new);
            return;
        };
        const total = possible.count();
        for (0..count) |_| {
            const number = rig.prng.random().uintLessThan(u64, total);
            try rig.tryImage(possible.at(number).?, .new);
        }
    }

    fn tryImage(rig: *Rig, choice: simulated.Choice, boot: Disk.Boot) !void {
        const next = rig.next.?;
        next.exploring = false;
        try next.disk.become(rig.disk, choice, boot);
        const lowest = if (boot == .same) rig.acknowledged else rig.durable;
        next.checkImage(rig, lowest) catch |err| {
            rig.say("{t} after {f}, {t} boot, states {d} to {d}, write {d}", .{
                err,                     choice,     boot, lowest,
                rig.trace.items.len - 1, rig.writes,
            });
            rig.say("  {s}", .{next.report.written()});
            next.report.clearRetainingCapacity();
            return err;
        };
        rig.counts.images += 1;
    }

    /// `rig` is the disk that a crash of `source` left: any state from `lowest` on is right.
    fn checkImage(rig: *Rig, source: *const Rig, lowest: usize) !void {
        const found = try rig.inspectDisk(!source.had_fault and !source.had_kill);
        const states = source.trace.items;
        const state = for (states[lowest..], lowest..) |state, index| {
            if (state.digest.eql(found)) break index;
        } else {
            for (states, 0..) |state, index| if (state.digest.eql(found)) {
                rig.say("it holds state {d}", .{index});
            };
            return error.StateLost;
        };
        rig.failure = null;
        rig.protected.slots_hash = 0;
        try rig.newClient();
        defer _ = rig.arena.reset(.retain_capacity);
        rig.client.gpa = rig.arena.allocator();
        rig.client.name = states[state].rows.name;
        defer rig.client.close();
        for ([_]bool{ false, true }) |second| {
            rig.client.open() catch |err| {
                rig.say("{s}", .{rig.client.diagnostics.message()});
                return err;
            };
            const shown = rig.read(if (second) .scan else .every_way) catch |err| {
                rig.say("{s}", .{rig.client.diagnostics.message()});
                return err;
            };
            try expectDigest(found, shown);
            if (!second and source.counts.images % images_per_verify == 0) try rig.verify(source);
            rig.client.close();
            try rig.settle();
        }
        const every = source.settings.second_life;
        if (every == 0 or rig.next == null) return;
        if (source.counts.images % every != 0) return;
        // A volatile root is the state now, and will not be after a power loss.
        const is_volatile = rig.newestKind() == .@"volatile";
        try rig.liveOn(source, if (is_volatile) @min(source.durable, state) else state, state);
    }

    /// The engine's own verification agrees with the inspector: the file is sound. A slot that the
    /// crash trashed is rightly reported.
    fn verify(rig: *Rig, source: *const Rig) !void {
        const job = try vl.Verify.open(rig.client.database.?);
        defer job.close();
        var progress: [2]f64 = undefined;
        while (try job.step(1 << 30, &progress[0], &progress[1])) {}
        const classes = job.ledger.bytes();
        if (classes.used + classes.free + classes.slack != rig.disk.bytes().len) {
            return error.BytesMissing;
        }
        rig.counts.verified += 1;
        for (job.ledger.findings.list.items) |finding| {
            if (finding.kind == .slot) continue;
            // So is a header that was being written; its copy stands for it.
            if (finding.kind == .header and rig.settings.create) continue;
            rig.say("{t} at {d}: {s}", .{ finding.kind, finding.offset, finding.message });
            return error.VerifyDisagrees;
        }
        if (source.had_fault or source.had_kill) return;
        for (job.warnings.list.items) |finding| {
            rig.say("warning at {d}: {s}", .{ finding.offset, finding.message });
            return error.VerifyDisagrees;
        }
    }

    fn newestKind(rig: *const Rig) vl.format.RootKind {
        const slots = inspector_module.readSlots(rig.disk.bytes());
        const newest = inspector_module.newest(&slots, rig.disk.boot_id) orelse return .durable;
        return newest.kind;
    }

    /// More transactions on the disk that was left with `state`, and crashes in the middle of them.
    fn liveOn(rig: *Rig, source: *const Rig, durable: usize, state: usize) anyerror!void {
        try rig.begin(&source.trace.items[durable].rows);
        for (source.trace.items[durable + 1 .. state + 1]) |*later| {
            const rows = try later.rows.clone();
            rig.now.deinit();
            rig.now = rows;
            try rig.announce();
            rig.acknowledged += 1;
        }
        rig.had_fault = source.had_fault;
        rig.had_kill = source.had_kill;
        rig.value_next = source.value_next + 1000;
        rig.key_next = source.key_next + 1000;
        rig.exploring = true;
        defer rig.clear();
        try rig.open();
        try rig.putNew();
        try rig.overwrite();
        try rig.delete();
        try rig.exploreAll();
        rig.exploring = false;
    }

    /// Reads the disk without the engine: the newest root must be whole, and older durable ones.
    /// Returns the digest of its collections, by their names.
    pub fn inspectDisk(rig: *Rig, every_root: bool) !Digest {
        const bytes = rig.disk.bytes();
        const header = inspector_module.readHeader(bytes) orelse {
            return if (rig.settings.create) .{} else error.NoHeader;
        };
        const slots = inspector_module.readSlots(bytes);
        const newest = inspector_module.newest(&slots, rig.disk.boot_id) orelse {
            return if (rig.settings.create) .{} else error.NoRoot;
        };
        var inspector: Inspector = .{ .gpa = gpa, .bytes = bytes, .hash_key = header.hash_key };
        defer inspector.deinit();
        var of_transaction = newest.transaction_id;
        errdefer |err| if (err == error.Unsound) rig.say("{s} at {d}, transaction {d} of {d}", .{
            inspector.problem, inspector.offset, of_transaction, newest.transaction_id,
        });
        const rows = try inspector.inspect(&newest);
        const found = if (rows.rows == 0) rows else inspector.named;
        if (every_root) for (slots) |maybe| {
            const root = maybe orelse continue;
            of_transaction = root.transaction_id;
            if (root.kind == .durable) _ = try inspector.inspect(&root);
        };
        return found;
    }

    // The order of writes.

    /// Before each write: which bytes must stay as they are, by the slots that are valid now.
    fn watch(rig: *Rig, offset: u64, len: u64) !void {
        // An unfinished file is begun again, whatever its slots say.
        if (!inspector_module.isFinished(rig.disk.bytes())) return;
        try rig.learnProtected();
        rig.counts.writes_watched += 1;
        const end = offset + len;
        for (rig.protected.newest_slots) |maybe| {
            const at = vl.roots.slotOffset(maybe orelse continue);
            const slot_end = at + vl.format.slot_bytes;
            if (offset >= slot_end or at >= end or rig.had_fault) continue;
            try rig.expectRewrite(at, slot_end);
        }
        for (rig.protected.durable.items) |range| {
            if (range.start >= end or offset >= range.end) continue;
            rig.say("write of {d} bytes at {d} touches what a root needs, {d} to {d}", .{
                len, offset, range.start, range.end,
            });
            return error.RetainedBytesWritten;
        }
        for (rig.protected.@"volatile".items) |range| {
            const start = @max(range.start, offset);
            const stop = @min(range.end, end);
            if (start < stop) try rig.expectRewrite(start, stop);
        }
    }

    /// The bytes may be written, but only as they are.
    fn expectRewrite(rig: *Rig, start: u64, end: u64) !void {
        const bytes = rig.disk.bytes()[@intCast(start)..@intCast(end)];
        const before = try gpa.dupe(u8, bytes);
        errdefer gpa.free(before);
        try rig.rewrites.append(gpa, .{ .offset = start, .before = before });
    }

    fn checkRewrites(rig: *Rig) !void {
        defer rig.rewrites.clearRetainingCapacity();
        var same = true;
        for (rig.rewrites.items) |rewrite| {
            const after = rig.disk.bytes()[@intCast(rewrite.offset)..][0..rewrite.before.len];
            if (!std.mem.eql(u8, rewrite.before, after)) {
                same = false;
                rig.say("other bytes at {d}, which a volatile root or the newest slot needs", .{
                    rewrite.offset,
                });
            }
            gpa.free(rewrite.before);
            rig.counts.rewrites += 1;
        }
        if (!same) return error.RetainedBytesWritten;
    }

    fn learnProtected(rig: *Rig) !void {
        const bytes = rig.disk.bytes();
        const length: usize = @intCast(inspector_module.slots_end);
        if (bytes.len < length) return;
        const hash = std.hash.XxHash3.hash(1, bytes[0..length]);
        const known = &rig.protected;
        if (known.slots_hash == hash and known.pinned_count == rig.pinned.items.len) return;
        const header = inspector_module.readHeader(bytes) orelse return;
        const slots = inspector_module.readSlots(bytes);
        known.durable.clearRetainingCapacity();
        known.@"volatile".clearRetainingCapacity();
        known.newest_slots = @splat(null);
        var inspector: Inspector = .{ .gpa = gpa, .bytes = bytes, .hash_key = header.hash_key };
        defer inspector.deinit();
        const newest = inspector_module.newest(&slots, rig.disk.boot_id) orelse return;
        const newest_durable = inspector_module.newest(&slots, null) orelse return;
        for (slots, 0..) |maybe, slot| {
            const root = maybe orelse continue;
            if (!inspector_module.isBelievable(&root, rig.disk.boot_id)) continue;
            if (root.transaction_id > newest.transaction_id) continue;
            const is_durable = root.kind == .durable;
            inspector.ranges = if (is_durable) &known.durable else &known.@"volatile";
            _ = inspector.inspect(&root) catch |err| {
                const is_newest = root.transaction_id == newest.transaction_id;
                if (err == error.Unsound and rig.had_fault and !is_newest) continue;
                rig.say("{s} at {d} in slot {d}", .{ inspector.problem, inspector.offset, slot });
                return err;
            };
            if (std.meta.eql(newest, root)) known.newest_slots[0] = @intCast(slot);
            if (std.meta.eql(newest_durable, root)) known.newest_slots[1] = @intCast(slot);
        }
        inspector.ranges = &known.durable;
        for (rig.pinned.items) |pinned| {
            // The file may have become smaller since, but not by what the root reaches.
            var root = pinned;
            root.file_pages = @intCast(@min(root.file_pages, bytes.len / vl.format.page_bytes));
            _ = try inspector.inspect(&root);
        }
        known.slots_hash = hash;
        known.pinned_count = rig.pinned.items.len;
        rig.counts.ranges_watched += known.durable.items.len + known.@"volatile".items.len;
    }
};

pub fn expectDigest(expected: Digest, found: Digest) !void {
    if (!expected.eql(found)) return error.WrongContents;
}
