//! How close do the kernels come to reading memory? Each kernel of each tier runs over a set of
//! rows that fits the first-level cache, over one that fits the second, and over one that fits
//! neither by far, next to a loop that only reads the same bytes. The ratio is the result; the
//! absolute figures are the machine's. (A server's third-level cache may hold even the large set.)
//!
//! `encoding` is all that a row's code costs but its checksum. `numkong` is another project's
//! kernel, in a library of one function that numkong.ts builds: it is called once for each row.
//!
//! zig build bench-kernels [-- <dimension> [<kernel> [<library with numkong_dot_rows>]]]

const std = @import("std");
const Io = std.Io;
const kernels = @import("vectorlite").kernels;

const Set = struct { name: []const u8, bytes: usize, passes: usize };

const sets = [_]Set{
    .{ .name = "L1", .bytes = 24 << 10, .passes = 1000 },
    .{ .name = "L2", .bytes = 256 << 10, .passes = 100 },
    .{ .name = "DRAM", .bytes = 256 << 20, .passes = 1 },
};

/// The fastest of this many rounds counts; rounds of all kernels alternate, so that a busy moment
/// of the machine does not fall on one of them alone.
const round_count = 5;

/// What a tile takes at once.
const query_count = 16;

const Kernel = enum {
    read,
    /// Four rows side by side, as the kernels do where rows are far apart.
    read_rows,
    dot,
    numkong,
    l2,
    dot_tile,
    l2_tile,
    hadamard,
    encode,
    /// Of a copy: rotated, centred, encoded, and packed with its block.
    encoding,
    quantize,
    planes,
    pack,
    tables,
    estimates,
    block_estimates,
    int8,

    fn rowBytes(kernel: Kernel, dimension: usize) usize {
        return switch (kernel) {
            .read, .read_rows, .dot, .numkong, .l2, .dot_tile, .l2_tile => dimension * 4,
            .hadamard, .encode, .encoding, .quantize => dimension * 4,
            .int8 => dimension,
            .tables => kernels.blockBytes(dimension),
            .planes, .estimates, .block_estimates, .pack => {
                return kernels.codeWords(dimension) * 8;
            },
        };
    }

    /// How many queries see a row when the kernel runs once.
    fn queryCount(kernel: Kernel) usize {
        return switch (kernel) {
            .dot_tile, .l2_tile => query_count,
            else => 1,
        };
    }
};

/// One function call for each row inside, as its users call it.
const DotRows = *const fn (
    query: [*]const f32,
    rows: [*]const u8,
    stride_bytes: usize,
    row_count: usize,
    dimension: usize,
    out: [*]f32,
) callconv(.c) void;

const Contestant = struct {
    kernel: Kernel,
    tier: ?kernels.Tier = null,
    /// Found once: detection takes microseconds in a virtual machine.
    table: ?*const kernels.KernelTable = null,
    nanoseconds: u64 = std.math.maxInt(u64),
    check: u64 = 0,
};

const Inputs = struct {
    io: Io,
    dimension: usize,
    rows: []align(64) u8,
    queries: []const f32,
    scores: []f32,
    signs: []const u32,
    planes: []const u64,
    tables: []const u8,
    code_query: kernels.CodeQuery,
    /// One factor for all rows serves as well as many kinds.
    factors: []const f32,
    survivors: []u64,
    /// The codes of one block, and where they are packed.
    words: []u64,
    block: []u8,
    numkong: ?DotRows = null,

    fn init(io: Io, gpa: std.mem.Allocator, dimension: usize) !Inputs {
        const rows = try gpa.alignedAlloc(u8, .@"64", sets[sets.len - 1].bytes);
        const queries = try gpa.alignedAlloc(f32, .@"64", query_count * dimension);
        var prng: std.Random.DefaultPrng = .init(1);
        for (queries) |*value| value.* = prng.random().float(f32) - 0.5;
        const code_dimension = std.mem.alignForward(usize, dimension, 64);
        const signs = try gpa.alloc(u32, kernels.signWords(code_dimension));
        prng.random().bytes(std.mem.sliceAsBytes(signs));
        const planes = try gpa.alignedAlloc(u64, .@"64", 4 * kernels.planeWords(dimension));
        var levels: kernels.QueryLevels = undefined;
        kernels.active().quantizeQuery(queries.ptr, dimension, planes.ptr, &levels);
        const tables = try gpa.alignedAlloc(u8, .@"64", kernels.blockBytes(dimension));
        kernels.active().lookupTables(planes.ptr, dimension, tables.ptr);
        const code_count = rows.len / Kernel.planes.rowBytes(dimension);
        const factors = try gpa.alloc(f32, code_count);
        for (factors) |*factor| factor.* = prng.random().float(f32);
        const values = std.mem.bytesAsSlice(f32, rows);
        for (values) |*value| value.* = prng.random().float(f32) - 0.5;
        return .{
            .io = io,
            .dimension = dimension,
            .rows = rows,
            .queries = queries,
            .signs = signs,
            .planes = planes,
            .tables = tables,
            .code_query = .{
                .planes = planes.ptr,
                .tables = tables.ptr,
                .base = 0,
                .bias_weight = levels.low,
                .sum_weight = 2 * levels.step,
                .sum_base = -levels.step * @as(f32, @floatFromInt(levels.sum)),
                .slack = 0.1,
            },
            .factors = factors,
            .words = try gpa.alloc(u64, kernels.block_codes * kernels.codeWords(code_dimension)),
            .block = try gpa.alignedAlloc(u8, .@"64", kernels.blockBytes(code_dimension)),
            .survivors = try gpa.alloc(u64, @max(code_count, 4 * kernels.planeWords(dimension))),
            .scores = try gpa.alloc(f32, @max(
                code_count,
                query_count * (rows.len / (dimension * 4) + 1) + 64,
            )),
        };
    }
};

pub fn main(init: std.process.Init) !void {
    const arena = init.arena.allocator();
    const args = try init.minimal.args.toSlice(arena);
    const dimension = if (args.len > 1) try std.fmt.parseInt(usize, args[1], 10) else 1536;
    const only = if (args.len > 2) std.meta.stringToEnum(Kernel, args[2]) else null;
    var buffer: [4096]u8 = undefined;
    var stdout = Io.File.stdout().writerStreaming(init.io, &buffer);
    const out = &stdout.interface;

    var inputs: Inputs = try .init(init.io, arena, dimension);
    var library: ?std.DynLib = if (args.len > 3) try .open(args[3]) else null;
    if (library) |*opened| {
        inputs.numkong = opened.lookup(DotRows, "numkong_dot_rows") orelse
            return error.NoSuchKernel;
        try checkNumkong(&inputs);
    }
    try out.print("dimension {d}, {d} rounds, best\n", .{ dimension, round_count });
    const heads = .{ "set", "kernel", "tier", "ns/vector", "GB/s", "of read", "result hash" };
    try out.print("{s: <6}{s: <16}{s: <8}{s: >10}{s: >8}{s: >9}  {s}\n", heads);
    for (sets) |set| {
        var contestants: std.ArrayList(Contestant) = .empty;
        for (std.enums.values(Kernel)) |kernel| {
            if (kernel == .read or kernel == .read_rows) {
                try contestants.append(arena, .{ .kernel = kernel });
            } else if (kernel == .numkong) {
                if (inputs.numkong != null) try contestants.append(arena, .{ .kernel = kernel });
            } else if (only == null or only == kernel) {
                for (kernels.cpu.compiled) |tier| {
                    const table = kernels.tableOf(tier) orelse continue;
                    try contestants.append(arena, .{
                        .kernel = kernel,
                        .tier = tier,
                        .table = table,
                    });
                }
            }
        }
        for (0..round_count) |_| {
            for (contestants.items) |*contestant| measure(contestant, set, &inputs);
        }
        try report(out, set, dimension, contestants.items);
    }
    try out.flush();
}

fn report(out: *Io.Writer, set: Set, dimension: usize, contestants: []const Contestant) !void {
    var read_speed: f64 = 0;
    for (contestants) |contestant| {
        const row_bytes = contestant.kernel.rowBytes(dimension);
        const rows = set.bytes / row_bytes * set.passes;
        const nanoseconds: f64 = @floatFromInt(contestant.nanoseconds);
        const scores: f64 = @floatFromInt(rows * contestant.kernel.queryCount());
        const speed = @as(f64, @floatFromInt(rows * row_bytes)) / nanoseconds;
        // Which of the two is faster is the machine's.
        if (contestant.tier == null) read_speed = @max(read_speed, speed);
        try out.print("{s: <6}{s: <16}{s: <8}{d: >10.1}{d: >8.1}{d: >8.0}%  {x:0>16}\n", .{
            set.name,
            @tagName(contestant.kernel),
            if (contestant.tier) |tier| tier.text() else "",
            nanoseconds / scores,
            speed,
            speed / read_speed * 100,
            contestant.check,
        });
    }
}

fn measure(contestant: *Contestant, set: Set, inputs: *const Inputs) void {
    const row_bytes = contestant.kernel.rowBytes(inputs.dimension);
    const row_count = set.bytes / row_bytes;
    const start = Io.Clock.awake.now(inputs.io);
    var check: u64 = 0;
    for (0..set.passes) |_| {
        const found = if (contestant.table) |table|
            run(contestant.kernel, table, inputs, row_count)
        else if (contestant.kernel == .numkong)
            runNumkong(inputs, row_bytes, row_count)
        else
            readAll(contestant.kernel, inputs.rows[0 .. row_count * row_bytes], row_bytes);
        check = check *% 31 +% found;
    }
    const elapsed: u64 = @intCast(start.untilNow(inputs.io, .awake).nanoseconds);
    contestant.nanoseconds = @min(contestant.nanoseconds, elapsed);
    contestant.check = check;
}

/// One pass over the rows; the answer is of some of the results, for hashing them all would take
/// longer than finding them.
fn run(
    kernel: Kernel,
    table: *const kernels.KernelTable,
    inputs: *const Inputs,
    row_count: usize,
) u64 {
    const stride = kernel.rowBytes(inputs.dimension);
    const queries = inputs.queries.ptr;
    const scores = inputs.scores.ptr;
    const dimension = inputs.dimension;
    switch (kernel) {
        .read, .read_rows, .numkong => unreachable,
        .encoding => encodeRows(table, inputs, stride, row_count),
        .dot => table.dotBatch(queries, inputs.rows.ptr, stride, row_count, dimension, scores),
        .l2 => table.l2Batch(queries, inputs.rows.ptr, stride, row_count, dimension, scores),
        .dot_tile, .l2_tile => {
            const function = if (kernel == .dot_tile) table.dotTile else table.l2Tile;
            function(&.{
                .queries = queries,
                .query_stride = dimension,
                .query_count = query_count,
                .rows = inputs.rows.ptr,
                .row_stride_bytes = stride,
                .row_count = row_count,
                .dimension = dimension,
                .out = scores,
                .out_stride = row_count,
            });
        },
        .hadamard => for (0..row_count) |i| {
            const row: [*]align(1) const f32 = @ptrCast(inputs.rows[i * stride ..].ptr);
            table.hadamard(row, dimension, 1, scores, dimension, inputs.signs.ptr);
        },
        .encode, .quantize => for (0..row_count) |i| {
            const row: [*]const f32 = @ptrCast(@alignCast(inputs.rows[i * stride ..].ptr));
            const code = inputs.survivors.ptr;
            if (kernel == .encode) {
                table.encode(row, queries, dimension, code, @ptrCast(scores));
            } else {
                table.quantizeQuery(row, dimension, code, @ptrCast(scores));
            }
        },
        .pack => for (0..row_count / kernels.block_codes) |i| {
            const codes = inputs.rows[i * kernels.block_codes * stride ..].ptr;
            const block: [*]u8 = @ptrCast(scores);
            table.packBlock(codes, stride, kernels.block_codes, dimension, block);
        },
        .tables => for (0..row_count) |_| {
            table.lookupTables(inputs.planes.ptr, dimension, @ptrCast(scores));
        },
        .planes => table.planesDot(
            inputs.planes.ptr,
            inputs.rows.ptr,
            stride,
            row_count,
            dimension,
            @ptrCast(scores),
        ),
        .int8 => table.dotInt8(
            @ptrCast(queries),
            @ptrCast(inputs.rows.ptr),
            stride,
            row_count,
            dimension,
            @ptrCast(scores),
        ),
        .estimates, .block_estimates => {
            const function = if (kernel == .estimates)
                table.estimateCodes
            else
                table.estimateBlocks;
            const factors = inputs.factors.ptr;
            scores[0] = @floatFromInt(function(&inputs.code_query, &.{
                .codes = inputs.rows.ptr,
                .stride_bytes = if (kernel == .estimates)
                    stride
                else
                    kernels.blockBytes(dimension),
                .factor_stride = kernels.block_codes,
                .row_count = row_count,
                .dimension = dimension,
                .offsets = factors,
                .scales = factors,
                .biases = factors,
                .deviations = factors,
            }, threshold(dimension), @ptrCast(inputs.survivors.ptr), scores + 1));
        },
    }
    return std.hash.Wyhash.hash(0, std.mem.sliceAsBytes(scores[0..@min(row_count, 64)]));
}

fn runNumkong(inputs: *const Inputs, stride: usize, row_count: usize) u64 {
    const scores = inputs.scores.ptr;
    const dimension = inputs.dimension;
    inputs.numkong.?(inputs.queries.ptr, inputs.rows.ptr, stride, row_count, dimension, scores);
    return std.hash.Wyhash.hash(0, std.mem.sliceAsBytes(scores[0..@min(row_count, 64)]));
}

/// Both have to find the same products, as near as single precision goes.
fn checkNumkong(inputs: *const Inputs) !void {
    const dimension = inputs.dimension;
    const row_count = 8;
    const queries = inputs.queries.ptr;
    const rows = inputs.rows.ptr;
    const stride = dimension * 4;
    const theirs = inputs.scores[row_count..];
    const table = kernels.active();
    table.dotBatch(queries, rows, stride, row_count, dimension, inputs.scores.ptr);
    inputs.numkong.?(queries, rows, stride, row_count, dimension, theirs.ptr);
    for (inputs.scores[0..row_count], theirs[0..row_count]) |a, b| {
        if (@abs(a - b) > 1e-3) return error.DifferentProducts;
    }
}

/// What the engine does with a row that it makes a code of. Any vector serves as a centre.
fn encodeRows(
    table: *const kernels.KernelTable,
    inputs: *const Inputs,
    stride: usize,
    row_count: usize,
) void {
    const length = std.mem.alignForward(usize, inputs.dimension, 64);
    const width = kernels.codeWords(length);
    const centre = inputs.queries.ptr;
    const rotated = inputs.scores[0..length];
    const dimension = inputs.dimension;
    var factors: kernels.CodeFactors = undefined;
    for (0..row_count) |i| {
        const values: [*]align(1) const f32 = @ptrCast(inputs.rows[i * stride ..].ptr);
        table.hadamard(values, dimension, 0.5, rotated.ptr, length, inputs.signs.ptr);
        const at = i % kernels.block_codes;
        table.encode(rotated.ptr, centre, length, inputs.words.ptr + at * width, &factors);
        if (at + 1 < kernels.block_codes and i + 1 < row_count) continue;
        const words: [*]const u8 = @ptrCast(inputs.words.ptr);
        table.packBlock(words, width * @sizeOf(u64), at + 1, length, inputs.block.ptr);
    }
    std.mem.doNotOptimizeAway(inputs.block);
}

/// Few rows pass.
fn threshold(dimension: usize) f32 {
    return 1.5 * @sqrt(@as(f32, @floatFromInt(dimension)));
}

fn readAll(kernel: Kernel, bytes: []const u8, row_bytes: usize) u64 {
    if (kernel == .read_rows) return plainRead(4, bytes, row_bytes);
    return plainRead(1, bytes, bytes.len);
}

/// Reads so many parts of `part_bytes` side by side, and then the next ones.
noinline fn plainRead(comptime streams: usize, bytes: []const u8, part_bytes: usize) u64 {
    // Makes every pass a new one to the compiler, which would otherwise keep only the first.
    asm volatile ("" ::: .{ .memory = true });
    const Block = @Vector(16 / streams, u64);
    var folded: [streams]Block = @splat(@splat(0));
    var start: usize = 0;
    while (start + streams * part_bytes <= bytes.len) : (start += streams * part_bytes) {
        var at = start;
        while (at + @sizeOf(Block) <= start + part_bytes) : (at += @sizeOf(Block)) {
            inline for (&folded, 0..) |*sum, i| {
                const block: *align(1) const Block = @ptrCast(bytes[at + i * part_bytes ..]);
                sum.* ^= block.*;
            }
        }
    }
    var all: u64 = 0;
    for (folded) |sum| all ^= @reduce(.Xor, sum);
    return all;
}
