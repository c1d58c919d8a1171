//! What `verify` and `salvage` say of the file as it is, compared with everything that was ever
//! put into it.

const std = @import("std");
const vl = @import("vectorlite");
const contents = @import("../crash/contents.zig");
const disk = @import("disk.zig");
const Put = @import("base.zig").Put;
const Stage = @import("forged.zig").Stage;
const Value = contents.Value;

pub const keys_max = 16;

/// The collection `docs`.
pub const Rows = struct {
    values: [keys_max]?Value = @splat(null),

    pub fn digest(rows: *const Rows) contents.Digest {
        var out: contents.Digest = .{};
        var buffer: [64]u8 = undefined;
        for (rows.values, 0..) |maybe, number| if (maybe) |value| {
            const key: contents.Key = .init(@intCast(number));
            const vector = value.vector();
            out.add(key.text(), std.mem.asBytes(&vector), value.metadata(&buffer));
        };
        return out;
    }

    pub fn isPartOf(rows: *const Rows, whole: *const Rows) bool {
        return for (rows.values, whole.values) |mine, other| {
            if (mine != null and !std.meta.eql(mine, other)) break false;
        } else true;
    }
};

/// Whether `verify` finds nothing wrong with a file that can be opened.
pub fn isSound(stage: *Stage) vl.Error!bool {
    var diagnostics: vl.Diagnostics = .{};
    const database = try vl.Database.open(
        stage.budget.allocator(),
        stage.machine.system(),
        disk.path,
        .{ .readonly = true },
        &diagnostics,
    );
    defer database.close();
    const verify: *vl.Verify = try .open(database);
    defer verify.close();
    try stepAll(verify);
    return verify.ledger.findings.count == 0 and verify.warnings.count == 0;
}

/// The pages that the newest state leads to.
pub fn pagesInUse(stage: *Stage, gpa: std.mem.Allocator) !std.DynamicBitSetUnmanaged {
    var diagnostics: vl.Diagnostics = .{};
    const database = try vl.Database.open(
        gpa,
        stage.machine.system(),
        disk.path,
        .{ .readonly = true },
        &diagnostics,
    );
    defer database.close();
    const verify: *vl.Verify = try .open(database);
    defer verify.close();
    try stepAll(verify);
    return verify.ledger.pages.clone(gpa);
}

fn stepAll(job: anytype) vl.Error!void {
    var done: f64 = 0;
    var total: f64 = 0;
    while (try job.step(1 << 20, &done, &total)) {}
}

pub const Salvaged = struct {
    rows: Rows = .{},
    damaged: u64 = 0,
    uncertain: u64 = 0,
};

/// Everything that `salvage` brings must once have been put, of each key one value.
pub fn salvage(stage: *Stage, puts: [2][]const Put) !Salvaged {
    var diagnostics: vl.Diagnostics = .{};
    const database = try vl.Database.open(
        stage.budget.allocator(),
        stage.machine.system(),
        ":memory:",
        .{},
        &diagnostics,
    );
    defer database.close();
    var out: Salvaged = .{};
    {
        const job: *vl.Salvage = try .open(database, disk.path);
        defer job.close();
        try stepAll(job);
        for (job.wreck.collections.values()) |collection| {
            out.damaged += collection.damaged;
            out.uncertain += collection.uncertain;
        }
    }
    var needed: usize = 0;
    var names: [4096]u8 = undefined;
    const used = try vl.catalogue.names(.{ .database = database }, &names, &needed);
    var at: usize = 0;
    while (at < used) {
        const len = std.mem.readInt(u32, names[at..][0..4], .little);
        try addRows(stage, database, names[at + 4 ..][0..len], puts, &out.rows);
        at += 4 + len;
    }
    return out;
}

fn addRows(
    stage: *Stage,
    database: *vl.Database,
    name: []const u8,
    puts: [2][]const Put,
    out: *Rows,
) !void {
    const collection = try vl.Collection.open(.{ .database = database }, name, .{});
    defer collection.close();
    if ((try collection.stats()).records == 0) return;
    if (collection.dimension() != contents.dimension) return error.WrongDimension;
    var cursor: vl.Cursor = .{};
    while (true) {
        var writer: vl.EntryWriter = .{
            .out = &stage.buffers.bytes,
            .vectors = &stage.buffers.vectors,
            .include_vectors = true,
        };
        if (!try collection.scan(&cursor, &writer)) return;
        var entries: Entries = .{ .writer = &writer };
        while (entries.next()) |entry| {
            const put = entry.among(puts[0]) orelse entry.among(puts[1]) orelse
                return error.WrongSalvage;
            if (out.values[put.number] != null) return error.SalvagedTwice;
            out.values[put.number] = put.value;
        }
    }
}

/// The entries of one call of `scan` or `fetch`.
pub const Entries = struct {
    writer: *const vl.EntryWriter,
    index: usize = 0,
    at: usize = 0,

    pub const Entry = struct {
        key: []const u8,
        vector: []const f32,
        metadata: []const u8,

        fn among(entry: *const Entry, puts: []const Put) ?*const Put {
            for (puts) |*put| {
                const key: contents.Key = .init(put.number);
                if (!std.mem.eql(u8, entry.key, key.text())) continue;
                if (entry.metadata.len != put.value.metadata_bytes) continue;
                if (!std.mem.eql(f32, entry.vector, &put.value.vector())) continue;
                var buffer: [64]u8 = undefined;
                if (std.mem.eql(u8, entry.metadata, put.value.metadata(&buffer))) return put;
            }
            return null;
        }
    };

    pub fn next(entries: *Entries) ?Entry {
        const writer = entries.writer;
        if (entries.index == writer.count) return null;
        const head = writer.out[entries.at..];
        const key_len = std.mem.readInt(u32, head[0..4], .little);
        const metadata_len = std.mem.readInt(u32, head[4..8], .little);
        entries.at += 8 + key_len + metadata_len;
        defer entries.index += 1;
        return .{
            .key = head[8..][0..key_len],
            .vector = writer.vectors[entries.index * contents.dimension ..][0..contents.dimension],
            .metadata = head[8 + key_len ..][0..metadata_len],
        };
    }
};
