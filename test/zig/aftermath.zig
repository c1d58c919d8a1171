//! What a call leaves behind that was rolled back, refused or overtaken, for the calls after it and
//! for those beside it.

const std = @import("std");
const builtin = @import("builtin");
const linux = std.os.linux;
const vl = @import("vectorlite");
const Client = @import("crash/client.zig").Client;
const Contents = @import("crash/contents.zig").Contents;
const Digest = @import("crash/contents.zig").Digest;
const Disk = vl.backends.simulated.Disk;
const Machine = @import("crash/machine.zig").Machine;
const Key = @import("crash/contents.zig").Key;
const Value = @import("crash/contents.zig").Value;
const client_module = @import("crash/client.zig");
const compactAll = @import("crash/machine.zig").compactAll;
const dimension = @import("crash/contents.zig").dimension;
const inspector = @import("crash/inspector.zig");

const gpa = std.testing.allocator;

test "older roots are states of their own, however many slots have them" {
    var machine = try Machine.init();
    defer machine.deinit();
    var rows = try machine.base.rows.clone();
    defer rows.deinit();
    var first: Client = undefined;
    try machine.open(&first, .{ .durability = .full });
    defer first.close();
    try machine.put(&first, &rows, 1, 1);
    const database = first.database.?;
    try database.begin();
    _ = try database.session.?.retireOlderRoots();
    database.rollback();
    try machine.put(&first, &rows, 1, 1);
    var reader: Client = undefined;
    const options: vl.Options = .{ .readonly = true, .older_root = 2 };
    try std.testing.expectError(error.InvalidArgument, machine.open(&reader, options));
}

test "an older root of an image is opened as one of a file is" {
    var machine = try Machine.init();
    defer machine.deinit();
    var rows = try machine.base.rows.clone();
    defer rows.deinit();
    var first: Client = undefined;
    try machine.open(&first, .{ .durability = .full });
    defer first.close();
    try machine.put(&first, &rows, 1, 3);
    var diagnostics: vl.Diagnostics = .{};
    const now = (try first.database.?.stats()).transaction_id;
    const db = try vl.Database.openBytes(
        gpa,
        first.process.system(),
        machine.disk.bytes(),
        .{ .older_root = 1 },
        &diagnostics,
    );
    defer db.close();
    try std.testing.expect((try db.stats()).transaction_id < now);
}

fn expectDamageFound(way: enum { none, clear, drop }) !void {
    var machine = try Machine.init();
    defer machine.deinit();
    var client: Client = undefined;
    try machine.open(&client, .{ .durability = .full });
    defer client.close();
    var out: [dimension]f32 = undefined;
    const key: Key = .init(900);
    const database = client.database.?;
    // A row is read that then never was.
    try database.begin();
    try client.put(900, .{ .seed = 5 });
    try std.testing.expect(try client.collection.?.get(key.text(), &out));
    switch (way) {
        .none => {},
        .clear => try client.collection.?.clear(),
        .drop => {
            const name = client_module.collection_name;
            try std.testing.expect(try vl.catalogue.drop(database, name));
        },
    }
    database.rollback();
    // Its place is another's, and that rots.
    try client.put(900, .{ .seed = 6 });
    const state = try client.collection.?.access.currentState();
    const segment = state.growing();
    const last_row = segment.vectorOffset(segment.disk.rows - 1, state.vectorStride());
    machine.disk.corrupt(last_row, "rot");
    try std.testing.expectError(error.Corrupt, client.collection.?.get(key.text(), &out));
}

test "what is known of rows that a rollback takes back is forgotten, also after a clear" {
    try expectDamageFound(.clear);
}

test "what is known of rows that a rollback takes back is forgotten, also after a drop" {
    try expectDamageFound(.drop);
}

test "damage in the place of a row that was rolled back is found" {
    try expectDamageFound(.none);
}

test "a write that was not let in leaves the state of the last search readable" {
    var machine = try Machine.init();
    defer machine.deinit();
    var rows = try machine.base.rows.clone();
    defer rows.deinit();
    var first: Client = undefined;
    try machine.open(&first, .{ .durability = .full, .busy_timeout_ms = 0 });
    defer first.close();
    var second: Client = undefined;
    try machine.open(&second, .{ .durability = .full });
    defer second.close();
    try machine.putLong(&second, &rows, 100, 20);
    var hits: [200]vl.Hit = undefined;
    var counts: [1]u32 = undefined;
    const query: [dimension]f32 = @splat(0.5);
    try first.collection.?.search(&query, hits.len, null, &hits, &counts);
    try second.database.?.begin();
    try std.testing.expectError(error.Locked, first.put(1, .{ .seed = 1 }));
    second.database.?.rollback();
    for (0..8) |_| try machine.putLong(&second, &rows, 100, 20);
    const out = try gpa.alloc(u8, 1 << 20);
    defer gpa.free(out);
    var vectors: [hits.len * dimension]f32 = undefined;
    var writer: vl.EntryWriter = .{ .out = out, .vectors = &vectors, .include_vectors = true };
    try first.collection.?.fetch(hits[0..counts[0]], &writer);
}

test "a file that has counted its durable roots to the end loses no commit" {
    var machine = try Machine.init();
    defer machine.deinit();
    var rows = try machine.base.rows.clone();
    defer rows.deinit();
    const slots = inspector.readSlots(machine.disk.bytes());
    var newest: u32 = 0;
    for (slots[0..vl.format.durable_slot_count], 0..) |maybe, slot| {
        const root = maybe orelse continue;
        if (root.transaction_id > slots[newest].?.transaction_id) newest = @intCast(slot);
    }
    var root = slots[newest].?;
    root.durable_sequence = (1 << 60) - 0;
    vl.roots.seal(&root);
    machine.disk.corrupt(vl.roots.slotOffset(newest), std.mem.asBytes(&root));
    var first: Client = undefined;
    try machine.open(&first, .{ .durability = .full });
    defer first.close();
    if (machine.put(&first, &rows, 1, 1)) |_| {} else |err| {
        try std.testing.expectEqual(error.NoSpace, err);
        return;
    }
    var second: Client = undefined;
    try machine.open(&second, .{ .durability = .full });
    defer second.close();
    try std.testing.expectEqual(rows.digest(), try second.readAll());
}

/// Makes the file smaller as soon as the verifying process looks at its length again.
const Cutter = struct {
    client: *Client,
    call: u32 = 0,
    at: u32,
    is_busy: bool = false,
    failure: ?anyerror = null,

    fn onCall(context: ?*anyopaque, call: vl.backends.simulated.Call) void {
        const cutter: *Cutter = @ptrCast(@alignCast(context.?));
        if (cutter.is_busy or call != .stat) return;
        cutter.call += 1;
        if (cutter.call != cutter.at) return;
        cutter.is_busy = true;
        defer cutter.is_busy = false;
        compactAll(cutter.client) catch |err| {
            cutter.failure = err;
        };
    }
};

test "verify calls no file damaged that compact cuts meanwhile" {
    for (1..6) |at| {
        var machine = try Machine.init();
        defer machine.deinit();
        var rows = try machine.base.rows.clone();
        defer rows.deinit();
        var writer: Client = undefined;
        try machine.open(&writer, .{ .durability = .full });
        defer writer.close();
        try machine.putLong(&writer, &rows, 100, 60);
        for (0..3) |_| {
            try writer.collection.?.clear();
            for (0..6) |_| try machine.put(&writer, &rows, 1, 1);
        }
        var reader: Client = undefined;
        try machine.open(&reader, .{ .readonly = true });
        defer reader.close();
        var cutter: Cutter = .{ .client = &writer, .at = @intCast(at) };
        machine.disk.hooks = .{ .context = &cutter, .onCall = Cutter.onCall };
        const job = try vl.Job.open(reader.database.?, .verify, "");
        machine.disk.hooks = .{};
        defer job.close();
        if (cutter.failure) |failure| return failure;
        var done: f64 = 0;
        var total: f64 = 0;
        while (try job.step(1 << 20, &done, &total)) {}
        const text = try job.result();
        defer gpa.free(text);
        if (std.mem.indexOf(u8, text, "\"ok\":true") == null) {
            std.debug.print("at {d}: {s}\n", .{ at, text });
            return error.FalseAlarm;
        }
    }
}

test "a forked child that closes its parent's handle leaves the parent its locks" {
    if (builtin.os.tag != .linux) return error.SkipZigTest;
    var tmp = std.testing.tmpDir(.{});
    defer tmp.cleanup();
    var buffer: [128]u8 = undefined;
    const path = try std.fmt.bufPrint(&buffer, ".zig-cache/tmp/{s}/fork.vl", .{tmp.sub_path});
    var diagnostics: vl.Diagnostics = .{};
    const system = vl.backends.file.system();
    const parent = try vl.Database.open(gpa, system, path, .{}, &diagnostics);
    defer parent.close();
    try parent.begin();
    const forked = linux.fork();
    if (linux.errno(forked) != .SUCCESS) return error.SkipZigTest;
    if (forked == 0) {
        parent.close();
        linux.exit_group(0);
    }
    var status: u32 = 0;
    _ = linux.waitpid(@intCast(forked), &status, 0);
    const impatient: vl.Options = .{ .busy_timeout_ms = 1 };
    const other = try vl.Database.open(gpa, system, path, impatient, &diagnostics);
    defer other.close();
    try std.testing.expectError(error.Locked, other.begin());
}

test "a writer that is stopped in the gate does not hang a reader" {
    var machine = try Machine.init();
    defer machine.deinit();
    var rows = try machine.base.rows.clone();
    defer rows.deinit();
    var writer: Client = undefined;
    try machine.open(&writer, .{ .durability = .none });
    defer writer.close();
    var reader: Client = undefined;
    try machine.open(&reader, .{ .readonly = true, .busy_timeout_ms = 0 });
    defer reader.close();
    const stopped = try machine.disk.process();
    const file = try stopped.system().open(gpa, client_module.path, .{});
    defer file.close();
    const gate: vl.os.LockRange = .{ .start = vl.format.lock_gate, .len = 1 };
    try std.testing.expect(try file.lock(.writer, .exclusive, gate));
    // A state that is always a newer one sends the reader to the gate.
    var intruder: Intruder = .{ .machine = &machine, .writer = &writer, .rows = &rows };
    machine.disk.hooks = .{ .context = &intruder, .onLock = Intruder.onLock };
    try machine.put(&writer, &rows, 1, 1);
    try std.testing.expectError(error.Locked, reader.readAll());
    machine.disk.hooks = .{};
    if (intruder.failure) |failure| return failure;
    file.unlock(.writer, gate);
    try std.testing.expectEqual(rows.digest(), try reader.readAll());
}

/// Commits whenever a state is about to be locked.
const Intruder = struct {
    machine: *Machine,
    writer: *Client,
    rows: *Contents,
    is_busy: bool = false,
    failure: ?anyerror = null,

    fn onLock(context: ?*anyopaque, range: vl.os.LockRange) void {
        const intruder: *Intruder = @ptrCast(@alignCast(context.?));
        if (intruder.is_busy or range.start < vl.format.lock_snapshots) return;
        intruder.is_busy = true;
        defer intruder.is_busy = false;
        intruder.machine.put(intruder.writer, intruder.rows, 2, 1) catch |err| {
            intruder.failure = err;
        };
    }
};

test "a collection that could not be opened in a transaction was not made by it" {
    var refusals: u32 = 0;
    for (0..60) |number| {
        var machine = try Machine.init();
        defer machine.deinit();
        var scarce = std.testing.FailingAllocator.init(gpa, .{});
        var client: Client = .{
            .gpa = scarce.allocator(),
            .process = try machine.disk.process(),
            .options = .{ .create = false },
        };
        try client.open();
        defer client.close();
        const database = client.database.?;
        try database.begin();
        scarce.fail_index = scarce.alloc_index + number;
        const result = vl.Collection.open(.{ .database = database }, "other", .{ .dimension = 4 });
        scarce.fail_index = std.math.maxInt(usize);
        if (result) |collection| {
            collection.close();
            break database.rollback();
        } else |err| try std.testing.expectEqual(error.OutOfMemory, err);
        refusals += 1;
        database.commit() catch |err| try std.testing.expectEqual(error.OutOfMemory, err);
        const scope: vl.Scope = .{ .database = database };
        const again = vl.Collection.open(scope, "other", .{ .create = false });
        try std.testing.expectError(error.NotFound, again);
    } else return error.NeverSucceeds;
    try std.testing.expect(refusals > 5);
}

test "a batch that the disk has no room for leaves it to a row that fits" {
    var machine = try Machine.init();
    defer machine.deinit();
    var rows = try machine.base.rows.clone();
    defer rows.deinit();
    var client: Client = undefined;
    try machine.open(&client, .{ .durability = .full });
    defer client.close();
    // Overwritten until pages are free below the end of the file.
    for (0..40) |_| try machine.put(&client, &rows, 1, 3);
    machine.disk.capacity_bytes = machine.disk.length;
    var numbers: [80]u32 = undefined;
    var values: [80]Value = undefined;
    for (&numbers, &values, 0..) |*number, *value, i| {
        number.* = @intCast(200 + i);
        value.* = .{ .seed = @intCast(5000 + i), .metadata_bytes = 6000 };
    }
    for (0..3) |_| {
        try std.testing.expectError(error.NoSpace, client.putMany(&numbers, &values));
        try machine.put(&client, &rows, 1, 1);
    }
    try std.testing.expectEqual(rows.digest(), try client.readAll());
}

test "what was rolled back is not in the length of the state that follows" {
    var machine = try Machine.init();
    defer machine.deinit();
    var rows = try machine.base.rows.clone();
    defer rows.deinit();
    var client: Client = undefined;
    try machine.open(&client, .{ .durability = .full });
    defer client.close();
    try machine.put(&client, &rows, 1, 1);
    const database = client.database.?;
    const before = database.current.root.file_pages;
    try database.begin();
    for (200..280) |number| {
        try client.put(@intCast(number), .{ .seed = @intCast(number), .metadata_bytes = 6000 });
    }
    database.rollback();
    try machine.put(&client, &rows, 2, 1);
    // A state says how long its file is; a backup and a compaction go by that.
    try std.testing.expect(database.current.root.file_pages < before + 40);
    try std.testing.expectEqual(rows.digest(), try client.readAll());
}

test "a file that its path no longer names takes no more rows, and gives those that it has" {
    var machine = try Machine.init();
    defer machine.deinit();
    var rows = try machine.base.rows.clone();
    defer rows.deinit();
    var client: Client = undefined;
    try machine.open(&client, .{ .durability = .full });
    defer client.close();
    try machine.put(&client, &rows, 1, 1);
    machine.disk.replaced = true;
    // They would go where nobody looks for them.
    try std.testing.expectError(error.InputOutput, client.put(2, .{ .seed = 900 }));
    try std.testing.expectEqual(rows.digest(), try client.readAll());
    machine.disk.replaced = false;
    try machine.put(&client, &rows, 2, 1);
    try std.testing.expectEqual(rows.digest(), try client.readAll());
}

/// Power losses at every sync of a copy: what is left opens as all of it, or as nothing at all.
const CopyLosses = struct {
    copy: *Disk,
    whole: Digest,
    images: u32 = 0,
    complete: u32 = 0,
    failure: ?anyerror = null,

    fn onSync(context: ?*anyopaque) void {
        const losses: *CopyLosses = @ptrCast(@alignCast(context.?));
        losses.tryAll() catch |err| {
            losses.failure = err;
        };
    }

    fn tryAll(losses: *CopyLosses) !void {
        const left = try Disk.create(gpa, .{ .seed = 2 });
        defer left.destroy();
        var possible = try losses.copy.crashes(.{ .samples = 30 });
        defer possible.deinit();
        while (possible.next()) |choice| : (losses.images += 1) {
            try left.become(losses.copy, choice, .new);
            var client: Client = .{
                .gpa = gpa,
                .process = try left.process(),
                .options = .{ .create = false },
            };
            client.open() catch |err| switch (err) {
                error.NotADatabase => continue,
                else => return err,
            };
            defer client.close();
            const found = try client.readAll();
            if (!losses.whole.eql(found)) return error.PartOfTheCopy;
            losses.complete += 1;
        }
    }
};

test "a backup that a power loss breaks off is no database, and one that is done is all of it" {
    var machine = try Machine.init();
    defer machine.deinit();
    const copy = try Disk.create(gpa, .{ .seed = 3 });
    defer copy.destroy();
    try machine.disk.attach("copy.vl", copy);
    var client: Client = undefined;
    try machine.open(&client, .{ .durability = .full });
    defer client.close();
    var losses: CopyLosses = .{ .copy = copy, .whole = try client.readAll() };
    copy.hooks = .{ .context = &losses, .onSync = CopyLosses.onSync };
    const backup = try vl.Backup.open(client.database.?, "copy.vl");
    defer backup.close();
    var done: f64 = 0;
    var total: f64 = 0;
    while (try backup.step(1 << 20, &done, &total)) {}
    if (losses.failure) |failure| return failure;
    try std.testing.expect(losses.images > 60 and losses.complete > 0);
    try losses.tryAll();
    try std.testing.expect(losses.complete > 0);
}
