//! What an answer means: a promise that is kept now, or a refusal that needs a reason.

const vl = @import("vectorlite");
const inspector = @import("../crash/inspector.zig");
const reading = @import("reading.zig");
const Frame = @import("world.zig").Frame;
const World = @import("world.zig").World;

/// The call has succeeded.
pub fn keepPromise(world: *World, frame: *Frame, has_fired: bool) !void {
    const actor = frame.actor;
    if (!actor.isAlive()) return;
    const database = actor.database orelse return;
    if (database.transaction == null and !database.options.readonly) {
        if (frame.op == .flush) try keepFlush(world, frame, has_fired);
        if (frame.change != .none) try keepCommit(world, frame);
    }
    // Where a refused call left nothing, the handle may know an older state.
    if (database.pinned) |pinned| {
        if (actor.transaction == null and frame.op == .read) {
            try reading.noteTransaction(world, frame, pinned);
        }
    }
}

fn keepFlush(world: *World, frame: *Frame, has_fired: bool) !void {
    frame.actor.volatile_since_ms = 0;
    if (world.oracle.losses != frame.losses) return;
    const durable = inspector.newest(&world.oracle.slots, null) orelse return error.NoRoot;
    if (durable.transaction_id < frame.transaction_id) return error.FlushNotDurable;
    world.oracle.promise(frame.transaction_id);
    if (frame.intrusions == 0 and !has_fired) world.oracle.may_lose = false;
}

/// What was acknowledged is in the file, and durable where that was promised.
fn keepCommit(world: *World, frame: *Frame) !void {
    const actor = frame.actor;
    const root = &actor.database.?.current.root;
    const record = world.oracle.records.getPtr(root.checksum) orelse return error.UnknownRoot;
    const state = record.state orelse return error.UnknownRoot;
    if (frame.change != .make and frame.intrusions == 0) {
        if (!state.after(&frame.change).digest().eql(state.digest())) return error.CommitLost;
    }
    if (!frame.published) return;
    if (root.kind == .durable) {
        actor.volatile_since_ms = 0;
        return world.oracle.promise(root.transaction_id);
    }
    if (actor.options.durability == .full) return error.NotDurable;
    const since = actor.volatile_since_ms;
    const is_late = since != 0 and
        frame.began_ms -| since >= vl.limits.checkpoint_interval_ms;
    if (actor.options.durability == .normal and is_late) return error.VolatileTooLong;
    if (since == 0) actor.volatile_since_ms = world.disk.now_ms;
}

/// The call was refused: only for a reason, and then nothing has changed.
pub fn judge(
    world: *World,
    frame: *Frame,
    err: anyerror,
    fault: ?vl.backends.simulated.Fault,
    was_scarce: bool,
) !void {
    const actor = frame.actor;
    if (!actor.isAlive()) return;
    const has_moved = world.oracle.moves != frame.moves;
    const call = if (fault) |fired| fired.call.? else null;
    const is_expected = switch (err) {
        error.OutOfMemory => was_scarce,
        // Whoever is refused pages for want of space asks for fewer: what failed may be a sync.
        error.Poisoned => frame.was_poisoned or call == .sync or call == .write,
        error.Locked => frame.lock_was_taken or frame.intrusions > 0,
        error.NoSpace => world.is_full or frame.intrusions > 0 or
            (fault != null and fault.?.err == error.NoSpace),
        error.InputOutput => fault != null,
        error.Corrupt => call == .read,
        error.Closed, error.NotFound => has_moved,
        else => false,
    };
    if (!is_expected) return err;
    // A collection may be there although its handle is not.
    const is_write = frame.change != .none and frame.change != .make;
    if (is_write and frame.published and !actor.isPoisoned()) return error.RefusedButCommitted;
}
