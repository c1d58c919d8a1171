//! A life of one database in which every part of the engine has its turn, on a disk where something
//! may fail: each act goes well or says why not, and the model beside it knows what must be there.

const std = @import("std");
const vl = @import("vectorlite");
const client_module = @import("../crash/client.zig");
const contents = @import("../crash/contents.zig");
const Client = client_module.Client;
const Contents = contents.Contents;
const Digest = contents.Digest;
const Value = contents.Value;
const simulated = vl.backends.simulated;

const gpa = std.heap.smp_allocator;
const copy_path = "copy.vl";

pub const Story = struct {
    durability: vl.Durability,
    disk: *simulated.Disk,
    copy: *simulated.Disk,
    client_gpa: std.mem.Allocator,
    first: Client,
    second: Client,
    reader: Client,
    snapshot: ?*vl.Snapshot = null,
    old: ?*vl.Collection = null,
    /// What each write left that was acknowledged, and what one that is in doubt would have left.
    states: std.ArrayList(Contents) = .empty,
    expected: []const anyerror,
    refusals: u32 = 0,
    /// Nobody knows which of the last commits there are: a slot or a sync failed.
    in_doubt: bool = false,
    /// What there is has to be looked at before it is believed.
    is_unsure: bool = false,
    value_next: u32 = 1,
    /// Hears of every call that can fail, before it is made.
    listener: ?Listener = null,
    /// So often the second client still commits between a reader's choice of a state and its lock.
    overtakes: u32 = 0,
    /// The state is not what a reader would see before somebody writes.
    must_write: bool = false,
    /// With the act that takes much longer than all others.
    is_long: bool = false,
    /// The number of the act that is played.
    act: usize = 0,

    pub const Listener = struct {
        context: *anyopaque,
        hear: *const fn (context: *anyopaque, kind: simulated.Call, on_copy: bool) void,
    };

    pub fn create(
        durability: vl.Durability,
        client_gpa: std.mem.Allocator,
        expected: []const anyerror,
    ) !*Story {
        const story = try gpa.create(Story);
        errdefer gpa.destroy(story);
        const disk = try simulated.Disk.create(gpa, .{ .seed = 5 });
        errdefer disk.destroy();
        const copy = try simulated.Disk.create(gpa, .{ .seed = 6 });
        errdefer copy.destroy();
        try disk.attach(copy_path, copy);
        story.* = .{
            .durability = durability,
            .disk = disk,
            .copy = copy,
            .client_gpa = client_gpa,
            .first = undefined,
            .second = undefined,
            .reader = undefined,
            .expected = expected,
        };
        disk.hooks = .{ .context = story, .onCall = onCall, .onLock = onLock };
        copy.hooks = .{ .context = story, .onCall = onCopyCall };
        try story.newProcess();
        try story.states.append(gpa, .{ .gpa = gpa });
        return story;
    }

    fn onCall(context: ?*anyopaque, kind: simulated.Call) void {
        const story: *Story = @ptrCast(@alignCast(context.?));
        if (story.listener) |listener| listener.hear(listener.context, kind, false);
    }

    fn onCopyCall(context: ?*anyopaque, kind: simulated.Call) void {
        const story: *Story = @ptrCast(@alignCast(context.?));
        if (story.listener) |listener| listener.hear(listener.context, kind, true);
    }

    fn onLock(context: ?*anyopaque, range: vl.os.LockRange) void {
        const story: *Story = @ptrCast(@alignCast(context.?));
        if (range.start < vl.format.lock_snapshots or story.overtakes == 0) return;
        const left = story.overtakes - 1;
        // Not while it reads a state of its own.
        story.overtakes = 0;
        defer story.overtakes = left;
        // It then overtakes nobody, which is no harm.
        story.put(&story.second, &.{ 81, 2 }, 0) catch {};
    }

    pub fn destroy(story: *Story) void {
        story.closeAll();
        for (story.states.items) |*state| state.deinit();
        story.states.deinit(gpa);
        story.disk.destroy();
        story.copy.destroy();
        gpa.destroy(story);
    }

    fn newProcess(story: *Story) !void {
        const process = try story.disk.process();
        const client: Client = .{
            .gpa = story.client_gpa,
            .process = process,
            .options = .{ .durability = story.durability, .busy_timeout_ms = 50 },
            .hot_vectors = 40,
        };
        story.first = client;
        story.second = client;
        story.second.hot_vectors = 0;
        story.reader = story.second;
        story.reader.options = .{ .readonly = true, .create = false };
    }

    /// A flush that fails in a close says nothing, so it is asked for before.
    pub fn closeAll(story: *Story) void {
        story.closeSnapshot();
        for ([_]*Client{ &story.reader, &story.second, &story.first }) |client| {
            if (client.process.alive) if (client.database) |database| {
                database.flush() catch {
                    story.is_unsure = true;
                };
            };
            client.close();
        }
    }

    fn closeSnapshot(story: *Story) void {
        if (story.old) |old| old.close();
        if (story.snapshot) |snapshot| snapshot.close();
        story.old = null;
        story.snapshot = null;
    }

    const Act = *const fn (story: *Story) anyerror!void;

    const acts = [_]Act{
        putSeventy,  readTwice,    openSnapshot,  overwrite,   delete,        readOld,
        filterRows,  putBySecond,  readTwice,     flush,       amendSome,     readByOther,
        putMany,     filterRows,   amendMany,     readTwice,   putLong,       putBySecond,
        amendSome,   reopen,       amendOften,    readByOther, verifyAll,     killAmended,
        delete,      putBySecond,  transact,      rollBack,    readBeside,    backUp,
        closeOld,    addAnother,   readByOther,   beOvertaken, renameAnother, verifyAll,
        dropAnother, putTwice,     overwriteMany, verifyAll,   readOlder,     killAndRead,
        putNew,      readTwice,    flush,         killAndPut,  putLong,       clear,
        putNew,      readByOther,  reopen,        readTwice,   deleteMany,    flush,
        putNew,      loseUnsynced, readTwice,     putNew,      compactAll,    readTwice,
        names,       putHuge,      keepFew,       closeFirst,
    };

    pub fn run(story: *Story) !void {
        for (acts, 0..) |act, number| {
            story.act = number;
            if (story.first.database == null) {
                story.first.open() catch |err| {
                    try story.check(err);
                    continue;
                };
            }
            story.settle() catch |err| {
                try story.check(err);
                continue;
            };
            act(story) catch |err| try story.check(err);
            // A handle that is done for is closed, and the next one is asked.
            if (story.isPoisoned()) {
                story.closeAll();
                story.is_unsure = true;
            }
        }
    }

    fn check(story: *Story, err: anyerror) !void {
        story.refusals += 1;
        if (err == error.Poisoned and story.isPoisoned()) return;
        if (std.mem.indexOfScalar(anyerror, story.expected, err) == null) return err;
    }

    fn isPoisoned(story: *const Story) bool {
        for ([_]*const Client{ &story.first, &story.second }) |client| {
            const database = client.database orelse continue;
            const session = database.session orelse continue;
            if (session.poisoned) return true;
        }
        return false;
    }

    /// Whatever has to be known before the next act.
    fn settle(story: *Story) !void {
        if (story.must_write) try story.settleLoss();
        if (!story.is_unsure) return;
        story.in_doubt = true;
        try story.believe(try story.first.readAll());
        story.is_unsure = false;
    }

    /// `found` must be what was acknowledged, or something that it may be in doubt.
    fn believe(story: *Story, found: Digest) !void {
        const newest = story.now();
        if (newest.digest().eql(found)) return;
        if (!story.in_doubt) return error.WrongContents;
        var index = story.states.items.len;
        while (index > 0) {
            index -= 1;
            if (!story.states.items[index].digest().eql(found)) continue;
            try story.states.append(gpa, try story.states.items[index].clone());
            return;
        }
        return error.WrongContents;
    }

    fn now(story: *Story) *Contents {
        return &story.states.items[story.states.items.len - 1];
    }

    /// One call that leads to `next`, or leaves everything as it is.
    fn write(story: *Story, next: *Contents, result: anyerror!void) !void {
        errdefer next.deinit();
        if (result) |_| return story.states.append(gpa, next.*) else |err| {
            // Whether it is there is not known where a commit's last steps failed.
            if (story.isPoisoned()) {
                try story.states.insert(gpa, story.states.items.len - 1, next.*);
            } else next.deinit();
            next.* = .{ .gpa = gpa };
            return err;
        }
    }

    fn put(story: *Story, client: *Client, numbers: []const u32, metadata_bytes: u32) !void {
        var next = try story.now().clone();
        const values = try gpa.alloc(Value, numbers.len);
        defer gpa.free(values);
        for (numbers, values) |number, *value| {
            value.* = .{ .seed = story.value_next, .metadata_bytes = metadata_bytes };
            story.value_next += 1;
            try next.put(number, value.*);
        }
        try story.write(&next, client.putMany(numbers, values));
    }

    fn numbersFrom(comptime first: u32, comptime count: u32) [count]u32 {
        var numbers: [count]u32 = undefined;
        for (&numbers, first..) |*number, value| number.* = @intCast(value);
        return numbers;
    }

    fn putSeventy(story: *Story) !void {
        try story.put(&story.first, &numbersFrom(1, 70), 3);
    }

    fn overwrite(story: *Story) !void {
        try story.put(&story.first, &numbersFrom(3, 2), 9);
    }

    fn overwriteMany(story: *Story) !void {
        try story.put(&story.first, &numbersFrom(1, 60), 20);
    }

    fn putMany(story: *Story) !void {
        try story.put(&story.first, &numbersFrom(100, 270), 0);
    }

    fn putLong(story: *Story) !void {
        try story.put(&story.first, &.{ 500, 501 }, contents.metadata_bytes_max);
    }

    fn putNew(story: *Story) !void {
        try story.put(&story.first, &.{ 600 + story.value_next, 7 }, 2);
    }

    fn putBySecond(story: *Story) !void {
        if (story.second.database == null) try story.second.open();
        try story.put(&story.second, &.{ 80, 2 }, 0);
        const found = try story.second.readAll();
        if (!found.eql(story.now().digest())) return error.WrongContents;
    }

    /// Other metadata for a row that may be there.
    fn amend(story: *Story, number: u32, metadata_bytes: u32) !void {
        var next = try story.now().clone();
        const new = story.amended(&next, number, metadata_bytes) orelse return next.deinit();
        const result = story.first.amend(number, new);
        try story.write(&next, if (result) |_| {} else |err| err);
    }

    fn amended(story: *Story, next: *Contents, number: u32, metadata_bytes: u32) ?Value {
        const value = next.rows.getPtr(number) orelse return null;
        value.metadata_seed = story.value_next;
        value.metadata_bytes = metadata_bytes;
        story.value_next += 1;
        return value.*;
    }

    fn amendSome(story: *Story) !void {
        for (6..9) |number| try story.amend(@intCast(number), 12);
    }

    /// So often that the row has to be written anew.
    fn amendOften(story: *Story) !void {
        for (0..60) |_| try story.amend(12, 700);
    }

    /// So many that the columns of their block are made anew.
    fn amendMany(story: *Story) !void {
        const database = story.first.database.?;
        try database.begin();
        errdefer database.rollback();
        var next = try story.now().clone();
        var is_used = false;
        defer if (!is_used) next.deinit();
        for (20..60) |i| {
            const number: u32 = @intCast(i);
            const new = story.amended(&next, number, 4) orelse continue;
            _ = try story.first.amend(number, new);
            if (i == 30) try database.transaction.?.spill();
        }
        is_used = true;
        try story.write(&next, database.commit());
    }

    /// The next writer adopts what was amended.
    fn killAmended(story: *Story) !void {
        try story.flush();
        try story.amendSome();
        try story.amendMany();
        try story.killAndRead();
        try story.amendSome();
    }

    fn delete(story: *Story) !void {
        try story.deleteKeys(&.{5});
    }

    fn deleteMany(story: *Story) !void {
        try story.deleteKeys(&numbersFrom(10, 30));
    }

    fn deleteKeys(story: *Story, numbers: []const u32) !void {
        var next = try story.now().clone();
        var keys: std.ArrayList(u8) = .empty;
        defer keys.deinit(gpa);
        var lens: [64]u32 = undefined;
        for (numbers, lens[0..numbers.len]) |number, *len| {
            const key: contents.Key = .init(number);
            try keys.appendSlice(gpa, key.text());
            len.* = @intCast(key.len);
            _ = next.rows.orderedRemove(number);
        }
        var count: u32 = 0;
        const collection = story.first.collection.?;
        try story.write(&next, collection.delete(keys.items, lens[0..numbers.len], &count));
    }

    fn clear(story: *Story) !void {
        var next: Contents = .{ .gpa = gpa };
        try story.write(&next, story.first.collection.?.clear());
    }

    fn flush(story: *Story) !void {
        try story.first.database.?.flush();
    }

    fn transact(story: *Story) !void {
        const database = story.first.database.?;
        try database.begin();
        errdefer database.rollback();
        var next = try story.now().clone();
        var is_used = false;
        defer if (!is_used) next.deinit();
        const value: Value = .{ .seed = story.value_next, .metadata_bytes = 2 };
        story.value_next += 2;
        const other: Value = .{ .seed = value.seed + 1 };
        try next.put(90, value);
        try next.put(4, other);
        try story.first.put(90, value);
        // As if it had become large.
        try database.transaction.?.spill();
        try story.first.put(4, other);
        const found = try story.first.readAll();
        if (!found.eql(next.digest())) return error.WrongContents;
        is_used = true;
        try story.write(&next, database.commit());
    }

    /// A transaction beside which is read, and made durable, what was before it.
    fn readBeside(story: *Story) !void {
        try story.putNew();
        const database = story.first.database.?;
        try database.beginAtOnce();
        errdefer database.rollback();
        var next = try story.now().clone();
        var is_used = false;
        defer if (!is_used) next.deinit();
        const value: Value = .{ .seed = story.value_next };
        story.value_next += 1;
        try next.put(6, value);
        try story.first.put(6, value);
        database.setAside(true);
        try database.flush();
        _ = try database.stats();
        try story.readTwice();
        database.setAside(false);
        const found = try story.first.readAll();
        if (!found.eql(next.digest())) return error.WrongContents;
        is_used = true;
        try story.write(&next, database.commit());
    }

    fn rollBack(story: *Story) !void {
        const database = story.first.database.?;
        try database.begin();
        errdefer database.rollback();
        try story.first.put(91, .{ .seed = 1 });
        _ = try story.first.delete(2);
        database.rollback();
        try story.readTwice();
    }

    fn readTwice(story: *Story) !void {
        for (0..2) |_| {
            const found = try story.first.readAll();
            if (!found.eql(story.now().digest())) return error.WrongContents;
        }
        try story.readRecords();
    }

    /// The ways to read that a client does not take: many at once, records, the best hits whole,
    /// searches by codes and in the background.
    fn readRecords(story: *Story) !void {
        const collection = story.first.collection.?;
        const keys = "key 1key 2key 3" ** 6;
        const lens: [18]u32 = @splat(5);
        var vectors: [lens.len * contents.dimension]f32 = undefined;
        var found: [lens.len]u8 = undefined;
        try collection.getMany(keys, &lens, &vectors, &found);
        var hits: [4]vl.Hit = undefined;
        var counts: [2]u32 = undefined;
        const queries: [2 * contents.dimension]f32 = @splat(0.3);
        try collection.search(&queries, 2, null, &hits, &counts);
        var out: [contents.metadata_bytes_max + 4096]u8 = undefined;
        var writer: vl.EntryWriter = .{ .out = &out, .vectors = &vectors, .include_vectors = true };
        try collection.fetch(hits[0..counts[0]], &writer);
        var report: vl.SearchReport = .{};
        const options: vl.Collection.SearchOptions = .{ .k = 2, .plan = .codes };
        try collection.searchWith(&queries, options, &hits, &counts, &report);
        const job = try vl.Job.openSearch(collection, &queries, options);
        defer job.close();
        var done: f64 = 0;
        var total: f64 = 0;
        while (try job.step(1 << 20, &done, &total)) {}
    }

    fn openSnapshot(story: *Story) !void {
        story.closeSnapshot();
        story.snapshot = try story.first.database.?.openSnapshot();
        errdefer story.closeSnapshot();
        const name = client_module.collection_name;
        story.old = try vl.Collection.open(
            .{ .snapshot = story.snapshot.? },
            name,
            .{ .create = false },
        );
        const found = try client_module.readEverything(story.old.?, .every_way);
        if (!found.eql(story.now().digest())) return error.WrongContents;
    }

    fn readOld(story: *Story) !void {
        const old = story.old orelse return;
        try story.expectKnown(try client_module.readEverything(old, .every_way));
    }

    fn closeOld(story: *Story) !void {
        defer story.closeSnapshot();
        try story.readOld();
    }

    fn backUp(story: *Story) !void {
        const backup = try vl.Backup.open(story.first.database.?, copy_path);
        defer backup.close();
        var done: f64 = 0;
        var total: f64 = 0;
        while (try backup.step(40_000, &done, &total)) {}
        try story.readCopy();
    }

    /// A complete copy holds what was there when it was begun.
    fn readCopy(story: *Story) !void {
        const system = story.first.process.system();
        var diagnostics: vl.Diagnostics = .{};
        const options: vl.Options = .{ .readonly = true, .create = false };
        const database = try vl.Database.open(gpa, system, copy_path, options, &diagnostics);
        defer database.close();
        const name = client_module.collection_name;
        const collection = try vl.Collection.open(.{ .database = database }, name, .{});
        defer collection.close();
        const found = try client_module.readEverything(collection, .scan);
        if (!found.eql(story.now().digest())) return error.WrongContents;
    }

    fn addAnother(story: *Story) !void {
        const scope: vl.Scope = .{ .database = story.first.database.? };
        const another = try vl.Collection.open(scope, "another", .{
            .dimension = 3,
            .model = "a model",
            .metric = .dot,
        });
        defer another.close();
        try another.put(.{ .keys = "k", .key_lens = &.{1}, .vectors = &.{ 1, 2, 3 } });
        var out: [3]f32 = undefined;
        if (!try another.get("k", &out)) return error.WrongContents;
    }

    fn renameAnother(story: *Story) !void {
        const renamed = try vl.catalogue.rename(story.first.database.?, "another", "yet another");
        // It is not there where a fault kept it from being made.
        if (renamed != .done and story.refusals == 0) return error.WrongContents;
    }

    fn dropAnother(story: *Story) !void {
        _ = try vl.catalogue.drop(story.first.database.?, "yet another");
        try story.readTwice();
    }

    /// By columns and by documents, of which columns are made the second time, and for a search.
    /// All rows match: none has a field of that name.
    fn filterRows(story: *Story) !void {
        const collection = story.first.collection.?;
        const filter: []const u8 = &.{ 1, 3, 16, 4, 'n', 'o', 'n', 'e' };
        for (0..2) |_| {
            const count = try collection.countWhere(filter);
            if (count != story.now().rows.count()) return error.WrongContents;
        }
        const query: [contents.dimension]f32 = @splat(0.3);
        var hits: [2]vl.Hit = undefined;
        var counts: [1]u32 = undefined;
        var report: vl.SearchReport = .{};
        const options: vl.Collection.SearchOptions = .{ .k = hits.len, .filter = filter };
        try collection.searchWith(&query, options, &hits, &counts, &report);
        if (report.matched != story.now().rows.count()) return error.WrongContents;
    }

    fn readByOther(story: *Story) !void {
        if (story.reader.database == null) try story.reader.open();
        const found = try story.reader.readAll();
        if (!found.eql(story.now().digest())) return error.WrongContents;
        _ = try story.reader.database.?.stats();
    }

    /// Three states that are chosen are given up before they are locked.
    fn beOvertaken(story: *Story) !void {
        if (story.second.database == null) try story.second.open();
        try story.put(&story.second, &.{82}, 0);
        story.overtakes = 3;
        defer story.overtakes = 0;
        const snapshot = try story.first.database.?.openSnapshot();
        snapshot.close();
        // Whether the last of them was kept is not known where its sync failed.
        if (!story.isPoisoned()) try story.readTwice();
    }

    /// A collection that keeps a few rows, some of them for a time that is over.
    fn keepFew(story: *Story) !void {
        const database = story.first.database.?;
        const few = try vl.Collection.open(.{ .database = database }, "few", .{
            .dimension = 1,
            .rows_max = 64,
            .hot_vectors = 4,
        });
        defer few.close();
        const numbers = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_*#+!";
        const now_ms: f64 = @floatFromInt(database.system.wallMs());
        for (0..8) |round| {
            var expiries: [numbers.len]f64 = @splat(0);
            for (&expiries, 0..) |*expiry, i| {
                if (i % 8 == round) expiry.* = if (i % 2 == 0) 1 else now_ms + 1e9;
            }
            var keys: [2 * numbers.len]u8 = undefined;
            const letter = 'a' + @as(u8, @intCast(round));
            for (numbers, 0..) |number, i| keys[2 * i ..][0..2].* = .{ number, letter };
            try few.put(.{
                .keys = &keys,
                .key_lens = &@as([numbers.len]u32, @splat(2)),
                .vectors = &@as([numbers.len]f32, @splat(1)),
                .metadata = "\x01a\x02" ** numbers.len,
                .metadata_lens = &@as([numbers.len]u32, @splat(3)),
                .expiries = &expiries,
                .costs = &@as([numbers.len]u32, @splat(7)),
            });
        }
        var out: [1]f32 = undefined;
        for (numbers) |number| _ = try few.get(&.{ number, 'h' }, &out);
        for (numbers) |number| _ = try few.setMetadata(&.{ number, 'h' }, "\x01b\x02");
        for (0..2) |_| {
            const is_a: []const u8 = &.{ 1, 16, 1, 'b' };
            if (try few.countWhere(is_a) > 64) return error.WrongContents;
        }
        _ = try few.sweep();
        try vl.room.make(database, 1, few.access.catalogue_index);
        const stats = try few.stats();
        const gone = stats.evictions + stats.expirations;
        if (stats.records > 64 or gone == 0) return error.WrongContents;
        _ = try vl.catalogue.drop(database, "few");
    }

    /// A key twice in one batch: the later row wins.
    fn putTwice(story: *Story) !void {
        try story.put(&story.first, &.{ 300, 1, 301, 1 }, 2);
    }

    /// So much that the record of the free pages needs more memory.
    fn putHuge(story: *Story) !void {
        if (!story.is_long) return;
        try story.put(&story.first, &numbersFrom(900, 100), contents.metadata_bytes_max);
    }

    /// A page of a commit that was never synced is lost, and its writer is killed: the next writer
    /// goes back to the last commit that was.
    fn loseUnsynced(story: *Story) !void {
        if (story.durability == .full) return;
        try story.flush();
        const durable = story.states.items.len - 1;
        try story.put(&story.first, &.{800}, 5000);
        const at = std.mem.lastIndexOf(u8, story.disk.bytes(), "key 800").?;
        story.disk.corrupt(at + 100, &.{~story.disk.bytes()[at + 100]});
        story.first.process.kill();
        story.closeAll();
        try story.newProcess();
        try story.states.append(gpa, try story.states.items[durable].clone());
        story.must_write = true;
        try story.first.open();
        try story.verifyAll();
        try story.settleLoss();
        try story.verifyAll();
    }

    fn settleLoss(story: *Story) !void {
        try story.put(&story.first, &.{801}, 0);
        story.must_write = false;
    }

    /// What cannot be read is a finding of it, no error.
    fn verifyAll(story: *Story) !void {
        const job = try vl.Job.open(story.first.database.?, .verify, "");
        defer job.close();
        var done: f64 = 0;
        var total: f64 = 0;
        while (try job.step(100_000, &done, &total)) {}
        story.client_gpa.free(try job.result());
    }

    /// Nobody reads an older state, so the file becomes smaller where nothing fails.
    fn compactAll(story: *Story) !void {
        const database = story.first.database.?;
        const before = story.disk.length;
        var done: f64 = 0;
        var total: f64 = 0;
        var is_first = true;
        while (try vl.compactStep(database, is_first, 100_000, &done, &total)) is_first = false;
        if (story.refusals == 0 and story.disk.length >= before) return error.NotSmaller;
    }

    fn readOlder(story: *Story) !void {
        story.readOlderState() catch |err| {
            // Where a commit failed there may be none before the last one, or one without it.
            const is_missing = err == error.InvalidArgument or err == error.NotFound;
            if (!is_missing or story.refusals == 0) return err;
        };
    }

    fn readOlderState(story: *Story) !void {
        const system = story.first.process.system();
        var diagnostics: vl.Diagnostics = .{};
        const options: vl.Options = .{ .readonly = true, .create = false, .older_root = 1 };
        const database = try vl.Database.open(
            story.client_gpa,
            system,
            client_module.path,
            options,
            &diagnostics,
        );
        defer database.close();
        const name = client_module.collection_name;
        const collection = try vl.Collection.open(.{ .database = database }, name, .{});
        defer collection.close();
        try story.expectKnown(try client_module.readEverything(collection, .scan));
    }

    fn expectKnown(story: *Story, found: Digest) !void {
        for (story.states.items) |*state| if (state.digest().eql(found)) return;
        return error.WrongContents;
    }

    fn names(story: *Story) !void {
        var out: [64]u8 = undefined;
        var needed: usize = 0;
        const scope: vl.Scope = .{ .database = story.first.database.? };
        _ = try vl.catalogue.names(scope, &out, &needed);
        const is_there = try vl.catalogue.drop(story.first.database.?, "never was");
        if (is_there) return error.WrongContents;
    }

    fn reopen(story: *Story) !void {
        story.closeAll();
        try story.first.open();
        try story.settle();
        try story.readTwice();
    }

    fn closeFirst(story: *Story) !void {
        story.closeAll();
    }

    /// Every process dies, and with it the guard of the commits that only the system knows of.
    fn killAndRead(story: *Story) !void {
        story.first.process.kill();
        story.closeAll();
        try story.newProcess();
        try story.first.open();
        try story.readTwice();
    }

    /// The one that comes then adopts such commits before it writes.
    fn killAndPut(story: *Story) !void {
        try story.overwriteMany();
        // With those before so many that a block of columns is among them.
        try story.put(&story.first, &numbersFrom(1000, 200), 12);
        try story.killAndRead();
        try story.overwrite();
    }

    /// After the faults: another process finds what was acknowledged, and can write.
    pub fn finish(story: *Story) !void {
        story.closeAll();
        story.client_gpa = gpa;
        try story.newProcess();
        try story.first.open();
        if (story.must_write) try story.settleLoss();
        story.in_doubt = story.in_doubt or story.is_unsure;
        try story.believe(try story.first.readAll());
        try story.putNew();
        const found = try story.first.readAll();
        if (!found.eql(story.now().digest())) return error.WrongContents;
        story.first.close();
    }
};
