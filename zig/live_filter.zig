//! A caller's filter over the rows that are there now: those whose time is over match none.

const std = @import("std");
const Access = @import("access.zig").Access;
const Error = @import("errors.zig").Error;
const Filter = @import("filter.zig").Filter;
const Matches = @import("matches.zig").Matches;

/// Of a caller's bytes; null where every row that the file has matches.
pub fn parse(
    access: *Access,
    arena: std.mem.Allocator,
    bytes: []const u8,
) Error!?*const Filter {
    const database = access.database();
    const has_expiry = (try access.currentState()).has_expiry;
    if (bytes.len == 0 and !has_expiry) return null;
    const filter = arena.create(Filter) catch return database.outOfMemory();
    const parsed = if (has_expiry)
        Filter.parseLive(arena, bytes, database.system.wallMs())
    else
        Filter.parse(arena, bytes);
    filter.* = parsed catch |err| return switch (err) {
        error.OutOfMemory => database.outOfMemory(),
        error.Malformed => access.fail(
            error.InvalidArgument,
            "the filter of {d} bytes is malformed",
            .{bytes.len},
        ),
    };
    return filter;
}

/// None of them is found yet.
pub fn matchesOf(access: *Access, filter: *const Filter) Error!Matches {
    const database = access.database();
    const state = try access.currentState();
    const reader = database.reader(database.scratch);
    return .init(access.gpa, state, access.source(), reader, filter);
}
