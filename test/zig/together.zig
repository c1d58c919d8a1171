//! Programs that take longer to build than to run, as one: an ordinary run builds this instead of
//! each. `-Dtest-suite` names them one by one.

test {
    _ = @import("bounded_simulation.zig");
    _ = @import("crash_faults.zig");
    _ = @import("crash_simulation.zig");
    _ = @import("crash_sync.zig");
    _ = @import("damage_read.zig");
    _ = @import("damage_salvage.zig");
    _ = @import("damage_verify.zig");
    _ = @import("hostile.zig");
}
