//! How close do the distance kernels come to reading memory? Each kernel of each tier runs over a
//! set of rows that fits the second-level cache and over one that does not fit any cache, next to
//! a loop that only reads the same bytes. The ratio is the result; the absolute figures are the
//! machine's.
//!
//! zig build bench-kernels [-- <dimension>]

const std = @import("std");
const Io = std.Io;
const kernels = @import("vectorlite").kernels;

const Set = struct { name: []const u8, bytes: usize, passes: usize };

const sets = [_]Set{
    .{ .name = "L2", .bytes = 256 << 10, .passes = 400 },
    .{ .name = "DRAM", .bytes = 256 << 20, .passes = 1 },
};

/// The fastest of this many rounds counts; rounds of all kernels alternate, so that a busy moment
/// of the machine does not fall on one of them alone.
const round_count = 9;

const columns_max = 2 * @typeInfo(kernels.Tier).@"enum".fields.len + 1;

const Column = struct {
    name: []const u8,
    table: ?*const kernels.KernelTable = null,
    l2: bool = false,
    nanoseconds: u64 = std.math.maxInt(u64),
    check: u64 = 0,
};

pub fn main(init: std.process.Init) !void {
    const args = try init.minimal.args.toSlice(init.arena.allocator());
    const dimension = if (args.len > 1) try std.fmt.parseInt(usize, args[1], 10) else 1536;
    var buffer: [4096]u8 = undefined;
    var stdout = Io.File.stdout().writerStreaming(init.io, &buffer);
    const out = &stdout.interface;

    const bytes = try init.gpa.alignedAlloc(u8, .@"64", sets[sets.len - 1].bytes);
    defer init.gpa.free(bytes);
    const query = try init.gpa.alloc(f32, dimension);
    defer init.gpa.free(query);
    const scores = try init.gpa.alloc(f32, bytes.len / (dimension * 4) + 1);
    defer init.gpa.free(scores);
    var prng: std.Random.DefaultPrng = .init(1);
    for (query) |*value| value.* = prng.random().float(f32) - 0.5;
    const values = std.mem.bytesAsSlice(f32, bytes);
    for (values) |*value| value.* = prng.random().float(f32) - 0.5;

    try out.print("dimension {d}, {d} rounds, best\n", .{ dimension, round_count });
    const heads = .{ "set", "kernel", "GB/s", "of plain read", "result hash" };
    try out.print("{s: <6}{s: <16}{s: >8}{s: >16}   {s}\n", heads);
    for (sets) |set| {
        var storage: [columns_max]Column = undefined;
        const columns = makeColumns(&storage);
        for (0..round_count) |_| {
            for (columns) |*column| measure(init.io, column, set, bytes, query, scores);
        }
        for (columns) |column| {
            const rows = set.bytes / (dimension * 4);
            const read_bytes: f64 = @floatFromInt(rows * dimension * 4 * set.passes);
            const speed = read_bytes / @as(f64, @floatFromInt(column.nanoseconds));
            const base: f64 = @floatFromInt(columns[0].nanoseconds);
            const ratio = base / @as(f64, @floatFromInt(column.nanoseconds));
            try out.print("{s: <6}{s: <16}{d: >8.1}{d: >15.0}%   {x:0>16}\n", .{
                set.name, column.name, speed, ratio * 100, column.check,
            });
        }
    }
    try out.flush();
}

fn makeColumns(storage: *[columns_max]Column) []Column {
    storage[0] = .{ .name = "plain read" };
    var count: usize = 1;
    inline for (kernels.cpu.compiled) |tier| {
        if (kernels.tableOf(tier)) |table| {
            storage[count] = .{ .name = "dot " ++ @tagName(tier), .table = table };
            storage[count + 1] = .{ .name = "l2 " ++ @tagName(tier), .table = table, .l2 = true };
            count += 2;
        }
    }
    return storage[0..count];
}

fn measure(
    io: Io,
    column: *Column,
    set: Set,
    bytes: []align(64) const u8,
    query: []const f32,
    scores: []f32,
) void {
    const stride = query.len * 4;
    const rows = set.bytes / stride;
    const start = Io.Clock.awake.now(io);
    var check: u64 = 0;
    for (0..set.passes) |_| {
        if (column.table) |table| {
            const run = if (column.l2) table.l2Batch else table.dotBatch;
            run(query.ptr, bytes.ptr, stride, rows, query.len, scores.ptr);
            check = std.hash.Wyhash.hash(check, std.mem.sliceAsBytes(scores[0..rows]));
        } else {
            check ^= plainRead(bytes[0 .. rows * stride]);
            std.mem.doNotOptimizeAway(check);
        }
    }
    const elapsed: u64 = @intCast(start.untilNow(io, .awake).nanoseconds);
    column.nanoseconds = @min(column.nanoseconds, elapsed);
    column.check = check;
}

noinline fn plainRead(bytes: []align(64) const u8) u64 {
    // Makes every pass a new one to the compiler, which would otherwise keep only the first.
    asm volatile ("" ::: .{ .memory = true });
    const Block = @Vector(32, u64);
    var folded: Block = @splat(0);
    var at: usize = 0;
    while (at + @sizeOf(Block) <= bytes.len) : (at += @sizeOf(Block)) {
        const block: *const Block = @ptrCast(@alignCast(bytes[at..]));
        folded ^= block.*;
    }
    return @reduce(.Xor, folded);
}
