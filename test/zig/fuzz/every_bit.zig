//! Every bit of one whole file, flipped alone: what is read is right, or it is an error.

const std = @import("std");
const vl = @import("vectorlite");
const base_module = @import("base.zig");
const contents = @import("../crash/contents.zig");
const disk = @import("disk.zig");
const forged = @import("forged.zig");
const inspect = @import("inspect.zig");
const Base = base_module.Base;
const Contents = contents.Contents;
const Key = contents.Key;
const Stage = forged.Stage;
const options = @import("fuzz_options");
const scale = options.scale;

/// A flip that is noticed is an error, or the state before the last: a damaged root slot looks
/// like a commit that a crash cut off.
const Outcome = enum { right, earlier, refused };

/// Reads all of the file's `docs`, by keys, by a scan, and by a search.
fn readAll(stage: *Stage, diagnostics: *vl.Diagnostics) !Outcome {
    const database = try vl.Database.open(
        stage.budget.allocator(),
        stage.machine.system(),
        disk.path,
        .{ .readonly = true },
        diagnostics,
    );
    defer database.close();
    const transaction_id = (try database.stats()).transaction_id;
    const rows = stage.base.stateOf(transaction_id) orelse return error.UnknownState;
    const collection = vl.Collection.open(
        .{ .database = database },
        base_module.collection_name,
        .{},
    ) catch |err| {
        if (rows.rows.count() == 0 and err == error.NotFound) return .earlier;
        return err;
    };
    defer collection.close();
    for (0..stage.base.keys_end) |number| {
        const key: Key = .init(@intCast(number));
        var vector: [contents.dimension]f32 = undefined;
        const is_found = try collection.get(key.text(), &vector);
        const value = rows.rows.get(@intCast(number)) orelse {
            if (is_found) return error.DeletedKeyFound;
            continue;
        };
        if (!is_found) return error.KeyLost;
        if (!std.mem.eql(f32, &value.vector(), &vector)) return error.WrongVector;
    }
    try expectScan(collection, rows);
    try expectSearch(collection, rows);
    const states = stage.base.states.items;
    return if (transaction_id == states[states.len - 1].transaction_id) .right else .earlier;
}

fn expectScan(collection: *vl.Collection, rows: *const Contents) !void {
    var out: [4096]u8 = undefined;
    var vectors: [64 * contents.dimension]f32 = undefined;
    var digest: contents.Digest = .{};
    var cursor: vl.Cursor = .{};
    while (true) {
        var writer: vl.EntryWriter = .{ .out = &out, .vectors = &vectors, .include_vectors = true };
        if (!try collection.scan(&cursor, &writer)) break;
        var at: usize = 0;
        for (0..writer.count) |i| {
            const key_len = std.mem.readInt(u32, out[at..][0..4], .little);
            const metadata_len = std.mem.readInt(u32, out[at + 4 ..][0..4], .little);
            const key = out[at + 8 ..][0..key_len];
            const metadata = out[at + 8 + key_len ..][0..metadata_len];
            at += 8 + key_len + metadata_len;
            const vector = vectors[i * contents.dimension ..][0..contents.dimension];
            digest.add(key, std.mem.sliceAsBytes(vector), metadata);
        }
    }
    if (!digest.eql(rows.digest())) return error.WrongScan;
}

fn expectSearch(collection: *vl.Collection, rows: *const Contents) !void {
    var hits: [32]vl.Hit = undefined;
    var counts: [1]u32 = undefined;
    const query: [contents.dimension]f32 = @splat(0.5);
    try collection.search(&query, hits.len, null, &hits, &counts);
    if (counts[0] != rows.rows.count()) return error.WrongHits;
    for (hits[0..counts[0]], 0..) |hit, i| {
        if (i > 0 and hits[i - 1].score > hit.score) return error.WrongOrder;
    }
}

/// An ordinary test run takes one bit of each byte in pages that the newest state has, and one in
/// 512 of the others.
fn isAsked(reached: *const std.DynamicBitSetUnmanaged, at: usize, bit: usize) bool {
    if (scale > 1) return true;
    const page = at / vl.format.page_bytes;
    const is_used = page < vl.format.first_free_page or
        (page < reached.bit_length and reached.isSet(page));
    return if (is_used) (at + at / 8) % 8 == bit else at % 64 == 0 and at / 64 % 8 == bit;
}

fn isEngineError(err: anyerror) bool {
    inline for (@typeInfo(vl.Error).error_set.?) |member| {
        if (err == @field(anyerror, member.name)) return true;
    }
    return false;
}

test "every flipped bit of a file is noticed, or changes nothing" {
    var stage: Stage = try .init(Base.small);
    defer stage.deinit();
    var reached = try inspect.pagesInUse(&stage, std.testing.allocator);
    defer reached.deinit(std.testing.allocator);
    var counts: std.EnumArray(Outcome, u64) = .initFill(0);
    const bytes = stage.machine.main.bytes();
    var flips: u64 = 0;
    for (0..bytes.len) |at| for (0..8) |bit| {
        if (!isAsked(&reached, at, bit)) continue;
        bytes[at] ^= @as(u8, 1) << @intCast(bit);
        defer bytes[at] ^= @as(u8, 1) << @intCast(bit);
        var diagnostics: vl.Diagnostics = .{};
        const outcome = readAll(&stage, &diagnostics) catch |err| refused: {
            if (isEngineError(err)) break :refused .refused;
            std.debug.print("{t} with bit {d} of byte {d} flipped\n", .{ err, bit, at });
            return err;
        };
        counts.getPtr(outcome).* += 1;
        flips += 1;
        try stage.budget.finish();
    };
    // Index pages, entries, vectors, records and keys are noticed; the newest root falls back.
    const bits: u64 = if (scale > 1) 8 else 1;
    try std.testing.expect(counts.get(.refused) > 3 * 4096 * bits);
    try std.testing.expect(counts.get(.earlier) > 500 * bits);
    if (options.tally orelse (scale > 1)) std.debug.print(
        "TALLY every bit flips={d} errors={d} earlier_states={d} no_change={d}\n",
        .{ flips, counts.get(.refused), counts.get(.earlier), counts.get(.right) },
    );
}
