//! The root of the shared library: every exported symbol and nothing else.
//!
//! The symbols are those of `c_api/functions.zig`, and the one that Node looks for. Everything
//! below sees the engine by its module name, `vectorlite`, and so only what that publishes.

const std = @import("std");
const builtin = @import("builtin");
const fill = @import("c_api/fill.zig");
const functions = @import("c_api/functions.zig");
const node_api = @import("c_api/node_api.zig");

/// A broken assertion says so and ends the program. The standard library's own way to do that
/// brings along its whole I/O, a third of the published library.
pub const panic = std.debug.FullPanic(crash);

fn crash(message: []const u8, _: ?usize) noreturn {
    const complain = @import("vectorlite").backends.file.complain;
    complain("vectorlite: internal error: ");
    complain(message);
    complain("\n");
    @trap();
}

comptime {
    // A test program calls the functions by name, and has no Node-API around it.
    if (!builtin.is_test) {
        for (functions.list) |entry| @export(entry[1], .{ .name = entry[0] });
        @export(&node_api.register, .{ .name = "napi_register_module_v1" });
        if (builtin.os.tag == .linux and builtin.cpu.arch == .x86_64) {
            @export(&fill.fill, .{ .name = "memset", .visibility = .hidden });
        }
    }
}

test {
    _ = @import("c_api/boarder.zig");
    _ = @import("c_api/boundary_test.zig");
    _ = @import("c_api/call.zig");
    _ = @import("c_api/collection.zig");
    _ = @import("c_api/database.zig");
    _ = @import("c_api/flights.zig");
    _ = @import("c_api/functions.zig");
    _ = @import("c_api/handles.zig");
    _ = @import("c_api/job.zig");
    _ = @import("c_api/job_runner.zig");
    _ = @import("c_api/lock.zig");
    _ = @import("c_api/napi.zig");
    _ = @import("c_api/node_api.zig");
    _ = @import("c_api/options.zig");
    _ = @import("c_api/patience.zig");
    _ = @import("c_api/search.zig");
    _ = @import("c_api/signature.zig");
    _ = @import("c_api/status.zig");
}
