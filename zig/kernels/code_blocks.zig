//! The sums of code_sums.zig for 32 codes at a time, whose bits are interleaved so that one
//! instruction looks up four dimensions of 16 codes: "FastScan" (André, Kermarrec and Le Scouarnec,
//! "Cache locality is not enough", VLDB 2015) with the sums of four levels in its tables, which are
//! small enough for bytes. So these sums are exact as well.

const builtin = @import("builtin");
const lanes = @import("lanes.zig");
const table = @import("table.zig");

const block_codes = table.block_codes;
const group_bytes = table.group_bytes;

const register_bytes = 4 * lanes.register_lanes;
const Bytes = @Vector(register_bytes, u8);
const Pairs = @Vector(register_bytes / 2, u16);

/// Four sums of at most 60 are a byte.
const byte_steps = 4;

/// So many sums of at most 240 are 16 bits.
const pair_steps_max = 256;

pub const ahead_bytes = 4096;
const line_bytes = 64;

pub fn packBlock(
    codes: [*]const u8,
    stride_bytes: usize,
    row_count: usize,
    dimension: usize,
    block: [*]u8,
) callconv(.c) void {
    const block_bytes = table.blockBytes(dimension);
    for (0..block_bytes) |i| block[i] = 0;
    for (0..row_count) |row| {
        const code = codes + row * stride_bytes;
        const shift: u3 = if (row < group_bytes) 0 else 4;
        var to = block + row % group_bytes;
        for (0..block_bytes / group_bytes / 2) |byte| {
            to[0] |= (code[byte] & 0xf) << shift;
            to[group_bytes] |= code[byte] >> 4 << shift;
            to += 2 * group_bytes;
        }
    }
}

pub fn lookupTables(planes: [*]const u64, dimension: usize, tables: [*]u8) callconv(.c) void {
    const plane_words = table.planeWords(dimension);
    for (0..table.blockBytes(dimension) / group_bytes) |group| {
        const word = group / 16;
        const shift: u6 = @intCast(group % 16 * 4);
        var entries: Entries = @splat(0);
        inline for (0..table.query_planes) |i| {
            const heavier = table.query_planes - 1 - i;
            const bits = planes[heavier * plane_words + word] >> shift & 0xf;
            entries = entries + entries + shared_ones[bits];
        }
        tables[group * group_bytes ..][0..group_bytes].* = entries;
    }
}

const Entries = @Vector(group_bytes, u8);

/// For four bits of a plane, how many ones each four bits of a code share with them.
const shared_ones: [16]Entries = counted: {
    var counts: [16][group_bytes]u8 = undefined;
    for (&counts, 0..) |*entries, plane| {
        for (entries, 0..) |*entry, code| entry.* = @popCount(@as(u4, plane & code));
    }
    var all: [16]Entries = undefined;
    for (&all, counts) |*to, from| to.* = from;
    break :counted all;
};

/// The sums of the query's levels where each code of the block has a one, exactly. What lies
/// `ahead` bytes further is fetched meanwhile.
pub fn sumsOfBlock(
    tables: [*]const u8,
    block: [*]const u8,
    block_bytes: usize,
    ahead: usize,
) [block_codes]u32 {
    var sums: [block_codes]u32 = @splat(0);
    const step_bytes = byte_steps * register_bytes;
    var at: usize = 0;
    while (at < block_bytes) {
        const end = @min(block_bytes, at + pair_steps_max * step_bytes);
        var evens: [2]Pairs = @splat(@splat(0));
        var odds: [2]Pairs = @splat(@splat(0));
        while (at < end) : (at += step_bytes) {
            const halves = sumsOfStep(tables + at, block + at, ahead);
            inline for (&evens, &odds, halves) |*even, *odd, half| {
                const pairs: Pairs = @bitCast(half);
                even.* +%= pairs;
                odd.* += pairs >> @splat(8);
            }
        }
        inline for (evens, odds, 0..) |even, odd, half| {
            // What the odd bytes added to the even sums is known in the end, modulo 2^16.
            const low = even -% (odd << @splat(8));
            addSums(sums[half * group_bytes ..][0..group_bytes], low, odd);
        }
    }
    return sums;
}

/// The first and the second 16 codes' sums over a few groups.
inline fn sumsOfStep(tables: [*]const u8, block: [*]const u8, ahead: usize) [2]Bytes {
    var halves: [2]Bytes = @splat(@splat(0));
    inline for (0..byte_steps) |i| {
        const at = i * register_bytes;
        if (at % line_bytes == 0) {
            // As a number, since there may be no memory any more; then nothing happens.
            const address = @intFromPtr(block) +% (at + ahead);
            @prefetch(@as([*]const u8, @ptrFromInt(address)), .{ .locality = 3 });
        }
        const bits: Bytes = block[at..][0..register_bytes].*;
        const entries: Bytes = tables[at..][0..register_bytes].*;
        halves[0] += lookUp(entries, bits & @as(Bytes, @splat(0xf)));
        halves[1] += lookUp(entries, bits >> @splat(4));
    }
    return halves;
}

/// Each 16 bytes of `indices` choose among the same 16 bytes of `entries`.
inline fn lookUp(entries: Bytes, indices: Bytes) Bytes {
    if (builtin.cpu.arch == .aarch64) {
        return asm ("tbl %[found].16b, {%[entries].16b}, %[indices].16b"
            : [found] "=w" (-> Bytes),
            : [entries] "w" (entries),
              [indices] "w" (indices),
        );
    }
    if (!lanes.has(.avx)) {
        return asm ("pshufb %[indices], %[found]"
            : [found] "=x" (-> Bytes),
            : [entries] "0" (entries),
              [indices] "x" (indices),
        );
    }
    return asm ("vpshufb %[indices], %[entries], %[found]"
        : [found] "=v" (-> Bytes),
        : [entries] "v" (entries),
          [indices] "v" (indices),
    );
}

/// The groups of a register are parts of the same sums.
inline fn addSums(sums: *[group_bytes]u32, even: Pairs, odd: Pairs) void {
    const evens: [register_bytes / 2]u16 = even;
    const odds: [register_bytes / 2]u16 = odd;
    inline for (0..group_bytes / 2) |i| {
        inline for (0..register_bytes / group_bytes) |group| {
            sums[2 * i] += evens[group * group_bytes / 2 + i];
            sums[2 * i + 1] += odds[group * group_bytes / 2 + i];
        }
    }
}
