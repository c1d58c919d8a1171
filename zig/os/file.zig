//! The real files of the machine, and its clocks and randomness: one backend per operating system.

const builtin = @import("builtin");
const os = @import("os.zig");

const backend = switch (builtin.os.tag) {
    .windows => @import("file_windows.zig"),
    else => @import("file_posix.zig"),
};

/// For backends that borrow its clocks and randomness. Its functions ignore their context.
pub const vtable = backend.vtable;

/// A few words to the program's standard error, for what ends the program.
pub const complain = backend.complain;

/// The machine itself. Stateless; safe on every thread.
pub fn system() os.System {
    return .{ .context = &nothing, .vtable = &vtable };
}

var nothing: u8 = 0;

test {
    _ = backend;
}
