//! Tables for the heads of blocks of codes (table.zig, `CodeHead`).

const table = @import("table.zig");

const Entries = @Vector(table.group_bytes, u8);

/// How many of four bits are zeros.
const zeros: Entries = zeros: {
    var counts: [table.group_bytes]u8 = undefined;
    for (&counts, 0..) |*count, code| count.* = 4 - @popCount(@as(u4, code));
    break :zeros counts;
};

/// From tables with the sums of levels where codes have ones, those that also have what is missing
/// to the highest level where they have zeros. Both are a head's.
pub fn agreementTables(tables: []const u8, out: []u8) void {
    const highest: Entries = @splat(table.query_levels - 1);
    var at: usize = 0;
    while (at < out.len) : (at += table.group_bytes) {
        const entries: Entries = tables[at..][0..table.group_bytes].*;
        const all: Entries = @splat(entries[table.group_bytes - 1]);
        out[at..][0..table.group_bytes].* = entries + zeros * highest - (all - entries);
    }
}
