//! What a run has covered, said aloud; an ordinary one is quiet (`-Dtest-tally`).

const std = @import("std");
const options = @import("crash_options");

/// True in `npm run test:long`: what is left out of every ordinary run is run.
pub const is_long = options.scale > 1;

/// One line: `counts` has integer fields.
pub fn tell(comptime what: []const u8, counts: anytype) void {
    if (!options.tally) return;
    std.debug.print("TALLY " ++ what, .{});
    inline for (std.meta.fields(@TypeOf(counts))) |field| {
        std.debug.print(" {s}={d}", .{ field.name, @field(counts, field.name) });
    }
    std.debug.print("\n", .{});
}
