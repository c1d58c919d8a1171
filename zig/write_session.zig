//! The right to write one file, and how a commit becomes its state.
//!
//! A transaction holds the writer lock from `begin` to `publish` or `abandon`; between transactions
//! other processes may write. What the session knows of the free space stays valid as long as
//! nobody else has committed; otherwise it is counted again.
//!
//! The order of a durable commit is the whole protocol: pages, sync, slot, sync. Dropping or
//! swapping any of them loses data (the tests remove each and see it). A failed sync says nothing
//! about what reached the device, and the kernel has already forgotten what did not: the session is
//! poisoned, volatile roots are cleared, and nothing is tried again.

const std = @import("std");
const os = @import("os/os.zig");
const adoption = @import("adoption.zig");
const errors = @import("errors.zig");
const format = @import("format.zig");
const free_space = @import("free_space.zig");
const limits = @import("limits.zig");
const reach = @import("reach.zig");
const roots = @import("roots.zig");
const snapshot_locks = @import("snapshot_locks.zig");
const Aged = free_space.Aged;
const FreeSpace = free_space.FreeSpace;
const PageCache = @import("page_cache.zig").PageCache;
const PageWriter = @import("page_writer.zig").PageWriter;

const Error = errors.Error;
const Root = format.Root;

pub const Durability = enum(u32) {
    /// Every commit is on the device before it returns.
    full = 0,
    /// Nothing is lost when the process dies; power loss goes back to a whole commit at most a
    /// second or 16 MiB old.
    normal = 1,
    /// Nothing is lost when the process dies; power loss goes back to the last flush or close.
    none = 2,
};

const volatile_guard: os.LockRange = .{ .start = format.lock_volatile, .len = 1 };

pub const WriteSession = struct {
    gpa: std.mem.Allocator,
    system: os.System,
    file: os.File,
    cache: *PageCache,
    watch: roots.Watch,
    diagnostics: *errors.Diagnostics,
    durability: Durability,
    busy_timeout_ms: u32,
    /// False where the write lock is taken at once or not at all.
    is_patient: bool = true,
    boot_id: ?[16]u8,
    space: FreeSpace,
    writer: PageWriter,
    /// The slots as of the last time this session held the lock.
    slots: roots.Slots = .{},
    words: ?roots.Watch.Words = null,
    /// `slots` is what the file has: set under the lock, gone with it.
    slots_are_read: bool = false,
    /// The highest id that a slot mentioned or a reader held, as of the last time this session took
    /// the lock: a slot may have been torn before, and be taken by an adopted root since.
    seen_transaction: u64 = 0,
    /// The root that `space` was counted for.
    counted_for: ?Root = null,
    /// The checksum of the durable root that this session saw reach the device.
    synced: ?[16]u8 = null,
    /// So many pages must wait before it is asked again who still needs them.
    reclaim_at: u64 = limits.reclaim_pages_min,
    relief_pages_min: u64 = limits.relief_pages_min,
    /// Pages in use when the transaction began.
    used_pages: u64 = 0,
    /// The next commit is durable whatever the session's durability is.
    next_is_durable: bool = false,
    /// There were newer states than the one that the transaction starts from. Whoever reads them
    /// still has rows behind its last ones, and pages behind its last one.
    is_lost: bool = false,
    highest_transaction: u64 = 0,
    holds_volatile_guard: bool = false,
    volatile_since_ms: u64 = 0,
    poisoned: bool = false,

    /// `session` does not move: the writer points into it.
    pub fn init(session: *WriteSession) void {
        session.writer = .{
            .gpa = session.gpa,
            .file = session.file,
            .cache = session.cache,
            .space = &session.space,
            .diagnostics = session.diagnostics,
            .physical_pages = 0,
            .relief = .{ .context = session, .run = relieve },
        };
    }

    pub fn deinit(session: *WriteSession) void {
        session.writer.deinit();
        session.space.deinit();
        session.* = undefined;
    }

    /// Under the lock, which it gives up where it fails: the newest root, from which the
    /// transaction starts.
    pub fn begin(session: *WriteSession) Error!Root {
        errdefer session.unlock();
        const root = try session.prepare();
        const space = &session.space;
        session.used_pages = space.file_pages - space.free_count - space.pending_pages;
        session.writer.begin(session.highest_transaction);
        return root;
    }

    /// Nothing of the transaction stays.
    pub fn abandon(session: *WriteSession) void {
        session.writer.rollback();
        session.unlock();
    }

    /// Makes `root` (from a sealed transaction) the state of the file. On an error nothing was
    /// published, or nobody knows: then the session is poisoned.
    pub fn publish(session: *WriteSession, root: *Root) Error!void {
        try session.checkPoisoned();
        root.transaction_id = session.writer.transaction_id;
        root.commit_ms = session.system.wallMs();
        if (session.is_lost) root.last_loss = @truncate(root.transaction_id);
        const must_sync = session.boot_id == null or session.next_is_durable;
        const is_durable = must_sync or switch (session.durability) {
            .full => true,
            .normal => session.checkpointIsDue(),
            .none => false,
        };
        if (is_durable) try session.publishDurable(root) else try session.publishVolatile(root);
        session.writer.commit();
        session.counted_for = root.*;
        session.unlock();
    }

    /// Makes the newest state durable, whoever committed it. Returns the durable root; null where
    /// it is another's durable root, whose slot may never have been synced: its writer died before,
    /// or the sync failed. Writing that slot again could tear the only whole one, so a durable
    /// transaction is needed, which may change nothing.
    pub fn checkpoint(session: *WriteSession) Error!?Root {
        try session.acquire();
        defer session.unlock();
        var root = try session.adoptNewest();
        if (root.kind == .durable) {
            // Another connection made these commits durable with its own.
            session.volatile_since_ms = 0;
            session.dropVolatileGuard();
            return if (session.isSynced(&root)) root else null;
        }
        const was_counted = session.isCountedFor(&root);
        try session.publishDurable(&root);
        if (was_counted) session.counted_for = root;
        return root;
    }

    /// Makes what was committed before the running transaction durable, and nothing of that.
    pub fn checkpointBefore(session: *WriteSession) Error!void {
        try session.checkPoisoned();
        var root = (session.slots.newest(session.boot_id) orelse return session.noRoot()).root;
        if (root.kind == .durable and session.isSynced(&root)) return;
        // States that were lost leave their ids in the volatile slots, which this would clear.
        if (session.is_lost) return session.diagnostics.fail(
            error.Locked,
            "states of the file were lost, and a transaction that starts from an older one is " ++
                "running; flush when it has ended",
            .{},
        );
        try session.publishDurable(&root);
        session.counted_for = root;
    }

    fn isSynced(session: *const WriteSession, root: *const Root) bool {
        const synced = session.synced orelse return false;
        return std.mem.eql(u8, &synced, &root.checksum);
    }

    /// Under the lock: the root to start from, and what may be written beside it.
    fn prepare(session: *WriteSession) Error!Root {
        const root = try session.adoptNewest();
        session.is_lost = session.highestSeen() > root.transaction_id or
            session.slots.hasTornVolatile();
        try session.nextTransaction();
        try session.countSpace(&root);
        return root;
    }

    fn highestSeen(session: *const WriteSession) u64 {
        return @max(session.slots.highestTransaction(), session.seen_transaction);
    }

    /// An id that no state has had which anybody may know of.
    fn nextTransaction(session: *WriteSession) Error!void {
        const highest = @max(session.highest_transaction, session.highestSeen());
        if (highest >= limits.transaction_max) return session.diagnostics.fail(
            error.NoSpace,
            "the file has had {d} transactions, which is the maximum; copy it into a new file",
            .{highest},
        );
        session.highest_transaction = highest + 1;
    }

    pub fn hasVolatileCommits(session: *const WriteSession) bool {
        return session.volatile_since_ms != 0;
    }

    fn checkpointIsDue(session: *const WriteSession) bool {
        if (session.writer.written_bytes >= limits.checkpoint_bytes) return true;
        if (session.volatile_since_ms == 0) return false;
        const age_ms = session.system.monotonicMs() -| session.volatile_since_ms;
        return age_ms >= limits.checkpoint_interval_ms;
    }

    fn publishVolatile(session: *WriteSession, root: *Root) Error!void {
        if (!session.holds_volatile_guard) {
            session.holds_volatile_guard = session.file.lock(
                .writer,
                .shared,
                volatile_guard,
            ) catch |err| return session.diagnostics.failOs(err, "locking the file");
        }
        root.kind = .@"volatile";
        root.boot_id = session.boot_id.?;
        roots.seal(root);
        const slot = session.slots.nextVolatileSlot(session.boot_id);
        roots.write(session.file, slot, root) catch |err| return session.poison(err);
        session.slots.roots[slot] = root.*;
        session.slots.torn[slot] = false;
        if (session.volatile_since_ms == 0) {
            session.volatile_since_ms = @max(1, session.system.monotonicMs());
        }
    }

    fn publishDurable(session: *WriteSession, root: *Root) Error!void {
        const before = session.slots.newestDurable();
        if (before) |choice| try session.checkSequence(&choice.root);
        root.kind = .durable;
        root.boot_id = @splat(0);
        root.durable_sequence = if (before) |choice| choice.root.durable_sequence + 1 else 0;
        roots.seal(root);
        const slot = roots.durableSlot(root.durable_sequence);
        session.file.sync() catch |err| return session.poison(err);
        roots.write(session.file, slot, root) catch |err| return session.poison(err);
        session.file.sync() catch |err| return session.poison(err);
        session.slots.roots[slot] = root.*;
        session.synced = root.checksum;
        session.reclaim_at = limits.reclaim_pages_min;
        session.clearVolatile();
        session.dropVolatileGuard();
        session.volatile_since_ms = 0;
        session.writer.written_bytes = 0;
    }

    fn dropVolatileGuard(session: *WriteSession) void {
        if (session.holds_volatile_guard) session.file.unlock(.writer, volatile_guard);
        session.holds_volatile_guard = false;
    }

    /// A root beyond the maximum would be taken for a damaged one.
    fn checkSequence(session: *WriteSession, before: *const Root) Error!void {
        if (before.durable_sequence >= limits.transaction_max) return session.diagnostics.fail(
            error.NoSpace,
            "the file has had {d} durable states, which is the maximum; copy it into a new file",
            .{before.durable_sequence},
        );
    }

    /// The volatile slots are older than a durable root now; clearing them keeps their pages from
    /// being held, and a write that fails leaves only that undone.
    fn clearVolatile(session: *WriteSession) void {
        const slots = session.slots.roots[format.durable_slot_count..];
        const is_clear = slots[0] == null and slots[1] == null;
        if (is_clear and !session.slots.hasTornVolatile()) return;
        roots.clearVolatile(session.file) catch return;
        session.slots.torn = @splat(false);
        slots[0] = null;
        slots[1] = null;
    }

    fn poison(session: *WriteSession, err: os.Error) Error {
        session.poisoned = true;
        session.counted_for = null;
        roots.disownVolatile(session.file, &session.slots) catch {};
        // Where that failed too, nobody may take the volatile roots for guarded.
        session.dropVolatileGuard();
        const cause = session.diagnostics.failOs(err, "making a commit durable");
        if (cause == error.NoSpace) return cause;
        return session.diagnostics.fail(
            error.InputOutput,
            "the device reported an error while a commit was made durable; " ++
                "whether it was kept is not known, close this handle and open the file again",
            .{},
        );
    }

    fn checkPoisoned(session: *WriteSession) Error!void {
        if (session.poisoned) return session.diagnostics.fail(
            error.Poisoned,
            "an earlier sync of this handle failed, so " ++
                "nothing more is written through it; close it and open the file again",
            .{},
        );
    }

    pub fn acquire(session: *WriteSession) Error!void {
        try session.checkPoisoned();
        const range: os.LockRange = .{ .start = format.lock_writer, .len = 1 };
        const start = session.system.monotonicMs();
        const patience_ms = if (session.is_patient) session.busy_timeout_ms else 0;
        var pause_ms: u32 = 1;
        while (true) {
            const got = session.file.lock(.writer, .exclusive, range) catch |err|
                return session.diagnostics.failOs(err, "taking the write lock");
            if (got) break;
            const waited = session.system.monotonicMs() -| start;
            if (waited >= patience_ms) {
                // Who does not wait wants no search either.
                const holder = if (session.is_patient) session.file.holder(range) else .unknown;
                return session.diagnostics.fail(
                    error.Locked,
                    "{f} has been writing for {d} ms, longer than the busy timeout of {d} ms; " ++
                        "repeat the call, raise busyTimeout, or end the other transaction",
                    .{ holder, waited, patience_ms },
                );
            }
            session.system.sleepMs(@intCast(@min(pause_ms, patience_ms - waited)));
            pause_ms = @min(pause_ms * 2, 10);
        }
    }

    fn unlock(session: *WriteSession) void {
        // Read before the lock is given up, so that no later commit is mistaken for a known one.
        session.words = if (session.slots_are_read) session.watch.words() else null;
        session.slots_are_read = false;
        session.file.unlock(.writer, .{ .start = format.lock_writer, .len = 1 });
    }

    /// The newest root under the lock. A volatile one whose writers are all gone is made durable
    /// first: what they never synced may be lost from the device although the cache still shows it.
    fn adoptNewest(session: *WriteSession) Error!Root {
        const stat = session.file.stat() catch |err| return session.diagnostics.failOs(
            err,
            "looking at the file",
        );
        if (!stat.same_file) return session.diagnostics.fail(
            error.InputOutput,
            "the path no longer names the open file " ++
                "(it was removed, renamed or replaced); close this handle and open the path " ++
                "again",
            .{},
        );
        const physical_pages = stat.length / format.page_bytes;
        session.writer.physical_pages = @intCast(@min(physical_pages, std.math.maxInt(u32)));
        if (!session.slotsAreKnown()) try session.readSlots();
        try session.askForLostStates();
        session.slots_are_read = true;
        const newest = session.slots.newest(session.boot_id) orelse return session.noRoot();
        if (newest.root.file_pages > session.writer.physical_pages) return session.truncated(
            &newest.root,
            stat.length,
        );
        const hides_live = session.slots.hasForeignAbove(newest.root.transaction_id);
        const is_own = newest.root.kind == .durable or session.holds_volatile_guard;
        if (is_own and !hides_live) return newest.root;
        const owner = session.file.probe(volatile_guard) catch |err|
            return session.diagnostics.failOs(err, "probing the locks");
        // Its writer lives, on this machine, under another name of the boot, or where this process
        // has none: to go on from an older state would undo what that writer has acknowledged.
        if (hides_live and owner != null) return session.diagnostics.fail(
            error.Locked,
            "another connection has commits that are not durable yet, and this process cannot " ++
                "tell the boot that they belong to; flush or close that connection first",
            .{},
        );
        if (is_own or owner != null) return newest.root;
        return session.adoptOrphan(newest.root, stat.length);
    }

    fn adoptOrphan(session: *WriteSession, orphan: Root, length: u64) Error!Root {
        const durable = session.slots.newestDurable() orelse return session.noRoot();
        if (durable.root.file_pages > session.writer.physical_pages) {
            return session.truncated(&durable.root, length);
        }
        const is_sound = adoption.rewrite(.{
            .gpa = session.gpa,
            .file = session.file,
            .cache = session.cache,
            .diagnostics = session.diagnostics,
        }, &durable.root, &orphan) catch |err| switch (err) {
            error.Corrupt => false,
            else => return err,
        };
        if (!is_sound) {
            roots.disownVolatile(session.file, &session.slots) catch |err|
                return session.diagnostics.failOs(err, "clearing the volatile roots");
            return durable.root;
        }
        var root = orphan;
        try session.publishDurable(&root);
        return root;
    }

    fn readSlots(session: *WriteSession) Error!void {
        session.slots = roots.Slots.read(session.file) catch |err|
            return session.diagnostics.failOs(err, "reading the root slots");
        session.seen_transaction = session.slots.highestTransaction();
    }

    /// Also where the slots look as before: a device may have gone back to what they were.
    fn askForLostStates(session: *WriteSession) Error!void {
        const highest = session.highestSeen();
        const held = snapshot_locks.highestAbove(session.file, highest) catch |err|
            return session.diagnostics.failOs(err, "probing the locks");
        session.seen_transaction = held orelse highest;
    }

    fn slotsAreKnown(session: *WriteSession) bool {
        const known = session.words orelse return false;
        const now = session.watch.words() orelse return false;
        return std.mem.eql(u64, &known, &now);
    }

    fn isCountedFor(session: *const WriteSession, root: *const Root) bool {
        const counted = if (session.counted_for) |*counted| counted else return false;
        return std.mem.eql(u8, &counted.checksum, &root.checksum);
    }

    fn countSpace(session: *WriteSession, root: *const Root) Error!void {
        // What was lost used pages that were free, or were not there, when these were counted.
        if (!session.isCountedFor(root) or session.is_lost) return session.recount(root);
        if (session.space.pending_pages > session.space.free_count) try session.reclaim();
    }

    /// Before the file grows, so that it does not where it need not: pages that nobody needs any
    /// more are taken back. Where many wait for older durable roots only, those are let go.
    fn relieve(context: *anyopaque) Error!void {
        const session: *WriteSession = @ptrCast(@alignCast(context));
        // Whoever was refused pages may ask for fewer; what failed then may have been a sync.
        try session.checkPoisoned();
        try session.reclaim();
        const space = &session.space;
        const used = session.used_pages;
        const is_full = session.isNearlyFull();
        const least = if (is_full)
            used / limits.relief_part_full + 1
        else
            @max(session.relief_pages_min, used / limits.relief_part);
        const is_large = is_full or
            @as(u64, space.file_pages) * 100 >= used * limits.relief_file_percent;
        if (space.pending_pages < least or !is_large) return;
        const held = snapshot_locks.heldBy(session.file) catch |err|
            return session.diagnostics.failOs(err, "probing the locks");
        const is_needed = space.pendingOnlyForRoots(&held) >= least;
        if (is_needed) _ = try session.retireOlderRoots();
    }

    /// Whether the file has eight tenths of what it may have.
    fn isNearlyFull(session: *const WriteSession) bool {
        return @as(u64, session.space.file_pages) * 10 >= @as(u64, session.writer.pages_max) * 8;
    }

    /// Every durable slot gets the newest committed state, one after the other, each synced before
    /// the next is written, as by commits that change nothing. Then no root needs the pages of an
    /// older state, but readers may. False where newer states were lost.
    pub fn retireOlderRoots(session: *WriteSession) Error!bool {
        // States that were lost leave their ids in the volatile slots, which this would clear.
        if (session.is_lost) return false;
        var root = (session.slots.newest(session.boot_id) orelse return session.noRoot()).root;
        if (root.kind != .durable or !session.isSynced(&root)) try session.publishDurable(&root);
        while (session.hasOtherRoots(root.transaction_id)) {
            try session.checkSequence(&root);
            root.durable_sequence += 1;
            roots.seal(&root);
            const slot = roots.durableSlot(root.durable_sequence);
            roots.write(session.file, slot, &root) catch |err| return session.poison(err);
            session.file.sync() catch |err| return session.poison(err);
            session.slots.roots[slot] = root;
            session.synced = root.checksum;
        }
        session.clearVolatile();
        session.counted_for = root;
        session.reclaim_at = 0;
        try session.reclaim();
        return true;
    }

    /// The running transaction's root, and with it the file, ends with the last page in use. The
    /// caller has checked that this is less than before.
    pub fn dropFreeTail(session: *WriteSession) void {
        session.space.shrink(session.space.usedEnd());
        session.writer.base_pages = session.space.file_pages;
    }

    /// Gives the end of the file, which no root and no reader leads to, back to the file system.
    /// What readers of older states need lies below the end of every root that is in a slot, since
    /// a root ends behind all pages that are in use or wait. False where the system does not allow
    /// it now.
    pub fn truncate(session: *WriteSession) Error!bool {
        try session.acquire();
        defer session.unlock();
        _ = try session.prepare();
        if (!try session.retireOlderRoots()) return false;
        const gate: os.LockRange = .{ .start = format.lock_gate, .len = 1 };
        const got = session.file.lock(.writer, .exclusive, gate) catch |err|
            return session.diagnostics.failOs(err, "taking the reader gate");
        if (!got) return false;
        defer session.file.unlock(.writer, gate);
        const length = format.pageOffset(session.slots.highestFilePages());
        return session.file.shrink(length) catch |err|
            session.diagnostics.failOs(err, "making the file smaller");
    }

    fn hasOtherRoots(session: *const WriteSession, transaction_id: u64) bool {
        for (session.slots.roots[0..format.durable_slot_count]) |maybe| {
            if (maybe) |root| if (root.transaction_id != transaction_id) return true;
        }
        return false;
    }

    /// Pages that wait for readers of older states; null where they were not counted for the state
    /// `newest`, since somebody else has written.
    pub fn heldPages(session: *WriteSession, newest: *const Root) Error!?u64 {
        if (!session.isCountedFor(newest)) return null;
        const held = snapshot_locks.heldBy(session.file) catch |err|
            return session.diagnostics.failOs(err, "probing the locks");
        return session.space.pending_pages - session.space.pendingOnlyForRoots(&held);
    }

    fn reclaim(session: *WriteSession) Error!void {
        if (session.space.pending_pages < session.reclaim_at) return;
        const gate: os.LockRange = .{ .start = format.lock_gate, .len = 1 };
        const got = session.file.lock(.writer, .exclusive, gate) catch |err|
            return session.diagnostics.failOs(err, "taking the reader gate");
        if (!got) return;
        defer session.file.unlock(.writer, gate);
        const held = snapshot_locks.heldBy(session.file) catch |err|
            return session.diagnostics.failOs(err, "probing the locks");
        var retained: [format.slot_count]u64 = undefined;
        var len: usize = 0;
        for (session.slots.roots) |maybe| if (maybe) |root| {
            retained[len] = root.transaction_id;
            len += 1;
        };
        session.space.reclaim(retained[0..len], &held);
        const left = session.space.pending_pages;
        session.reclaim_at = left + @max(left / 8, limits.reclaim_pages_min);
    }

    /// Learns the free space from what the valid roots reach. The newest must be whole before
    /// anything is written, and comes first: an older one may be damaged (a failed sync) or have
    /// been taken back, and name a page that a newer one holds something else in. Such a root
    /// protects nothing, and must not make that page pass for one whose children are known.
    fn recount(session: *WriteSession, newest: *const Root) Error!void {
        const counted_before = session.counted_for;
        session.counted_for = null;
        var pages: reach.Pages = .{ .gpa = session.gpa };
        defer pages.deinit();
        try session.walk(newest, &pages, .strict);
        var own = pages.bits.clone(session.gpa) catch
            return session.diagnostics.failOs(error.OutOfMemory, "counting the free space");
        defer own.deinit(session.gpa);
        var buffer: [format.slot_count]Root = undefined;
        for (session.slots.newestFirst(&buffer)) |*root| {
            if (root.transaction_id > newest.transaction_id) continue;
            // What it promises is not there: to count it would take memory for nothing.
            if (root.file_pages > session.writer.physical_pages) continue;
            session.walk(root, &pages, .shared) catch |err| if (err != error.Corrupt) return err;
        }
        // Whether somebody reads a state that no slot may lead to. A reader that is about to take
        // another one still holds its last.
        const is_held = snapshot_locks.anyBesides(session.file, newest.transaction_id) catch |err|
            return session.diagnostics.failOs(err, "probing the locks");
        const file_pages = if (is_held and session.is_lost)
            session.writer.physical_pages
        else
            newest.file_pages;
        var aged: std.ArrayList(Aged) = .empty;
        defer aged.deinit(session.gpa);
        const known = if (is_held)
            try session.recall(counted_before, newest, &own, &aged)
        else
            null;
        var space = FreeSpace.init(session.gpa, file_pages) catch
            return session.diagnostics.failOs(error.OutOfMemory, "counting the free space");
        errdefer space.deinit();
        space.countFree(.{
            .used = &pages.bits,
            .own = &own,
            .newest = newest.transaction_id,
            .waits_for = if (is_held) session.highest_transaction else null,
            .known = known,
        }) catch return session.diagnostics.failOs(error.OutOfMemory, "counting the free space");
        session.space.deinit();
        session.space = space;
        session.reclaim_at = limits.reclaim_pages_min;
        session.counted_for = newest.*;
    }

    /// What the last count still tells of pages that the newest state, which leads to `own`, does
    /// not use. Without it they would have to wait for everybody who reads any earlier state: two
    /// writers that take turns, beside a reader that does nothing, would use nothing again.
    fn recall(
        session: *WriteSession,
        counted_before: ?Root,
        newest: *const Root,
        own: *const std.DynamicBitSetUnmanaged,
        aged: *std.ArrayList(Aged),
    ) Error!?free_space.Known {
        const counted = if (counted_before) |*root| root else return null;
        if (counted.transaction_id >= newest.transaction_id) return null;
        if (session.is_lost or counted.last_loss != newest.last_loss) return null;
        for (session.space.pending.items) |item| {
            aged.append(session.gpa, .{ .run = item.run, .born = item.born }) catch
                return session.diagnostics.failOs(error.OutOfMemory, "counting the free space");
        }
        var pages: reach.Pages = .{ .gpa = session.gpa };
        defer pages.deinit();
        pages.bits = own.clone(session.gpa) catch
            return session.diagnostics.failOs(error.OutOfMemory, "counting the free space");
        const walker: reach.Walker = .{
            .gpa = session.gpa,
            .source = .{ .cache = session.cache, .file_pages = counted.file_pages },
            .pages = &pages,
            .aged = aged,
        };
        // Nobody need have kept that state: what was written over is damage, and its age unknown.
        walker.root(counted) catch |err| if (err != error.Corrupt) return err;
        // A file may lie about ages.
        for (aged.items) |*item| {
            if (item.born) |born| if (born > counted.transaction_id) {
                item.born = null;
            };
        }
        std.sort.heap(Aged, aged.items, {}, isBefore);
        return .{
            .transaction_id = counted.transaction_id,
            .space = &session.space,
            .aged = aged.items,
        };
    }

    /// Runs that a damaged file has twice are taken for the older ones, which are kept longer.
    fn isBefore(_: void, a: Aged, b: Aged) bool {
        if (a.run.page != b.run.page) return a.run.page < b.run.page;
        return (a.born orelse 0) < (b.born orelse 0);
    }

    fn walk(
        session: *WriteSession,
        root: *const Root,
        pages: *reach.Pages,
        kind: enum { strict, shared },
    ) Error!void {
        const walker: reach.Walker = .{
            .gpa = session.gpa,
            .source = .{ .cache = session.cache, .file_pages = root.file_pages },
            .pages = pages,
            .is_strict = kind == .strict,
        };
        return walker.root(root);
    }

    fn noRoot(session: *WriteSession) Error {
        return session.diagnostics.fail(
            error.Corrupt,
            "none of the six root slots (offsets {d} to {d}) is intact; the file " ++
                "is damaged, restore a backup or salvage() it",
            .{
                roots.slotOffset(0),
                roots.slotOffset(format.slot_count - 1),
            },
        );
    }

    fn truncated(session: *WriteSession, root: *const Root, length: u64) Error {
        return session.diagnostics.fail(
            error.Corrupt,
            "the file has {d} bytes, its newest root says at least {d}; it was " ++
                "truncated, restore a backup or salvage() it",
            .{ length, format.pageOffset(root.file_pages) },
        );
    }
};
