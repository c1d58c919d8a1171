//! Patience where a file with a maximum has no room only because others hold what they read last.
//!
//! Handles of this process let go of it at once. Those of other processes do so when they have
//! rested for a while, or move on when they read again.

const vectorlite = @import("vectorlite");
const boundary = @import("call.zig");

/// They let go within 200 ms, if their event loop runs.
const patience_ms = 300;
const pause_ms = 5;

pub const Patience = struct {
    call: boundary.Call,
    start_ms: ?u64 = null,
    /// Whether others held a state when it was looked at last.
    is_held: bool = true,

    /// After a write found no room: whether it is worth another attempt. Waits before it says so.
    pub fn again(patience: *Patience) bool {
        const database = patience.call.database();
        if (!database.isBounded() or database.transaction != null) return false;
        const connection = patience.call.connection();
        const now_ms = database.system.monotonicMs();
        const start_ms = patience.start_ms orelse {
            patience.start_ms = now_ms;
            boundary.letOthersGo();
            return true;
        };
        // Who waited in vain once does not wait at every write.
        if (!patience.is_held or connection.has_waited) return false;
        connection.has_waited = now_ms -| start_ms >= patience_ms;
        // Where it is held no more, it may have been until just now.
        patience.is_held = vectorlite.room.isHeld(database);
        if (patience.is_held) database.system.sleepMs(pause_ms);
        return true;
    }

    /// After a write found room.
    pub fn end(patience: *const Patience) void {
        patience.call.connection().has_waited = false;
    }
};
