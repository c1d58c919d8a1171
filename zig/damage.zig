//! What is wrong with a file: places and sentences, so many of them kept and all of them counted.

const std = @import("std");
const sentence = @import("sentence.zig");

/// What is damaged. The names reach users as strings: one may be added, none is renamed.
pub const Kind = enum {
    /// The header or its copy.
    header,
    /// A root slot that is neither empty nor valid.
    slot,
    /// The file is shorter than its root says.
    length,
    /// The device does not give the bytes.
    unreadable,
    /// A page whose checksum is not what its parent says.
    page,
    /// A place that two owners use.
    shared,
    /// A page or a field that contradicts what leads to it.
    structure,
    /// An entry of a key index that leads to no live row of its hash, or a live row without one.
    index,
    /// A number that is counted wrong.
    count,
    /// A row's entry beside the vectors.
    row,
    /// A record's place, header or key.
    record,
    metadata,
    vector,
    /// The codes of rows, which a search reads first; the rows themselves are not damaged.
    codes,
    /// The columns of rows, which a filter reads first; the rows themselves are not damaged.
    columns,
    /// Reserved bytes that are not zero.
    reserved,
};

pub const Finding = struct { offset: u64, kind: Kind, message: []const u8 };

pub const Findings = struct {
    gpa: std.mem.Allocator,
    list: std.ArrayList(Finding) = .empty,
    /// Those that were not kept included.
    count: u64 = 0,

    pub const kept_max = 1000;

    pub fn deinit(findings: *Findings) void {
        for (findings.list.items) |finding| findings.gpa.free(finding.message);
        findings.list.deinit(findings.gpa);
        findings.* = undefined;
    }

    /// Moves what `other` has behind what is here.
    pub fn takeAll(findings: *Findings, other: *Findings) error{OutOfMemory}!void {
        const room = kept_max - findings.list.items.len;
        const moved = @min(room, other.list.items.len);
        try findings.list.appendSlice(findings.gpa, other.list.items[0..moved]);
        for (other.list.items[moved..]) |finding| findings.gpa.free(finding.message);
        findings.count += other.count;
        other.list.clearRetainingCapacity();
        other.count = 0;
    }

    pub fn add(
        findings: *Findings,
        kind: Kind,
        offset: u64,
        comptime format: []const u8,
        arguments: anytype,
    ) error{OutOfMemory}!void {
        return findings.keep(kind, offset, format, &sentence.name(format, &arguments));
    }

    /// Once, and not at each of the places that find something.
    noinline fn keep(
        findings: *Findings,
        kind: Kind,
        offset: u64,
        format: []const u8,
        named: []const sentence.Named,
    ) error{OutOfMemory}!void {
        findings.count += 1;
        if (findings.list.items.len >= kept_max) return;
        // They name numbers and sentences of this library only, so none is longer.
        var buffer: [512]u8 = undefined;
        const text = sentence.write(&buffer, format, named);
        const message = try findings.gpa.dupe(u8, text);
        errdefer findings.gpa.free(message);
        const finding: Finding = .{ .offset = offset, .kind = kind, .message = message };
        try findings.list.append(findings.gpa, finding);
    }
};

test "findings beyond the limit are counted and not kept" {
    var findings: Findings = .{ .gpa = std.testing.allocator };
    defer findings.deinit();
    for (0..Findings.kept_max + 5) |i| try findings.add(.page, i, "number {d}", .{i});
    try std.testing.expectEqual(Findings.kept_max + 5, findings.count);
    try std.testing.expectEqual(Findings.kept_max, findings.list.items.len);
    try std.testing.expectEqualStrings("number 999", findings.list.items[999].message);
}
