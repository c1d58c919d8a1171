//! One connection to one file: which state it reads, and the transaction that it may be writing.
//!
//! Two connections to a file, in one process or in two, are equals: they meet only in the file's
//! locks and root slots. Within a connection calls are one at a time; the boundary sees to that.
//!
//! Reading costs no system call while nobody commits: the root slots are watched through a map, and
//! the current state stays pinned by its snapshot lock.

const std = @import("std");
const os = @import("os/os.zig");
const amender = @import("amender.zig");
const code_writer = @import("code_writer.zig");
const column_writer = @import("column_writer.zig");
const compaction = @import("compaction.zig");
const creation = @import("creation.zig");
const errors = @import("errors.zig");
const format = @import("format.zig");
const memory = @import("os/memory.zig");
const roots = @import("roots.zig");
const rows = @import("rows.zig");
const write_session = @import("write_session.zig");
const Appender = @import("appender.zig").Appender;
const CollectionState = @import("collection_state.zig").CollectionState;
const Departures = @import("departures.zig").Departures;
const Image = @import("image.zig").Image;
const PageCache = @import("page_cache.zig").PageCache;
const SnapshotLocks = @import("snapshot_locks.zig").SnapshotLocks;
const Source = @import("key_index.zig").Source;
const Transaction = @import("transaction.zig").Transaction;
const View = @import("view.zig").View;

const Error = errors.Error;
const WriteSession = write_session.WriteSession;
pub const Durability = write_session.Durability;

pub const Options = struct {
    /// Never writes, creates or repairs anything.
    readonly: bool = false,
    /// Makes the file where there is none.
    create: bool = true,
    durability: Durability = .full,
    /// How long a write waits for another connection's transaction.
    busy_timeout_ms: u32 = 5000,
    /// File pages kept mapped between operations; beyond it they are given back.
    memory_budget_bytes: u64 = 64 * 1024 * 1024,
    /// Which durable commit before the newest state is read, 1 being the last one; 0 is the newest
    /// state. Only with `readonly`.
    older_root: u32 = 0,
    /// How large the file may become.
    file_bytes_max: u64 = std.math.maxInt(u64),
};

/// All counts and bytes are measured.
pub const DatabaseStats = struct {
    file_bytes: u64,
    index_bytes: u64,
    collection_count: u64,
    transaction_id: u64,
    memory_bytes: u64,
    snapshot_count: u64,
    durable_transaction_id: u64,
    /// Age of the snapshot of this connection that was opened first; 0 without one.
    oldest_snapshot_ms: u64,
    /// What only readers of older states still need; null where this connection does not know.
    held_bytes: ?u64,
};

/// One consistent state, held until `close`. It keeps its pages from being reused and nothing else.
pub const Snapshot = struct {
    database: *Database,
    view: View,
    opened_ms: u64,
    /// Among those of its database.
    node: std.DoublyLinkedList.Node = .{},

    pub fn close(snapshot: *Snapshot) void {
        const database = snapshot.database;
        database.locks.release(snapshot.view.root.transaction_id);
        database.snapshot_count -= 1;
        database.snapshots.remove(&snapshot.node);
        snapshot.view.deinit();
        database.gpa.destroy(snapshot);
    }
};

pub const Database = struct {
    gpa: std.mem.Allocator,
    /// The machine; where `file` is memory, that of its backups.
    system: os.System,
    file: os.File,
    diagnostics: *errors.Diagnostics,
    options: Options,
    header: format.Header,
    boot_id: ?[16]u8,
    /// Of the process that opened it: after a fork the child must not use the connection.
    process_id: u64,
    /// Nobody else can change the content (memory, bytes): nothing to watch and nothing to lock.
    is_private: bool,
    image: Image,
    cache: PageCache,
    watch: roots.Watch,
    locks: SnapshotLocks,
    scratch: *rows.RowReader.Scratch,
    other_scratch: *rows.RowReader.Scratch,
    /// What a search takes and the next one takes again.
    search_memory: std.heap.ArenaAllocator,
    /// Likewise what making codes takes.
    code_memory: code_writer.Memory,
    column_memory: column_writer.Memory,
    /// The newest committed state that this connection knows.
    current: View,
    /// The slots' words when `current` was known to be the newest.
    words: ?roots.Watch.Words = null,
    /// The transaction whose lock keeps `current` readable; null right after an own commit.
    pinned: ?u64 = null,
    /// Since `rest` was called.
    was_read: bool = false,
    /// `current` was let go of before it was durable. Were it lost since, its lock would not have
    /// told the next writer of it, and what came then could look like its successor.
    is_doubtful: bool = false,
    session: ?*WriteSession = null,
    transaction: ?*Transaction = null,
    /// Calls are no part of the running transaction: they see what is committed, and cannot write.
    is_aside: bool = false,
    snapshot_count: u32 = 0,
    /// Those that are open, the oldest last.
    snapshots: std.DoublyLinkedList = .{},
    /// Of the collections that are open.
    departures: std.DoublyLinkedList = .{},
    /// How often everything known was forgotten, because states that it came from were lost.
    forgotten_count: u32 = 0,
    /// How far `compact` has come; none while it does not run.
    compacting: ?compaction.Progress = null,

    pub fn open(
        gpa: std.mem.Allocator,
        system: os.System,
        path: []const u8,
        options: Options,
        diagnostics: *errors.Diagnostics,
    ) Error!*Database {
        if (path.len == 0 or std.mem.indexOfScalar(u8, path, 0) != null) {
            return diagnostics.fail(
                error.InvalidArgument,
                "the path is empty or holds a NUL; give the path of a file, or " ++
                    "\":memory:\"",
                .{},
            );
        }
        const is_memory = std.mem.eql(u8, path, ":memory:");
        if (is_memory and options.readonly) {
            return diagnostics.fail(
                error.InvalidArgument,
                "\":memory:\" is always new and empty, so it cannot be opened " ++
                    "readonly",
                .{},
            );
        }
        const chosen = if (is_memory) memory.system() else system;
        const file = chosen.open(gpa, path, .{
            .readonly = options.readonly,
            .create = options.create and !options.readonly,
        }) catch |err| return diagnostics.failOs(err, "opening the file");
        var effective = options;
        if (is_memory) effective.durability = .none;
        return openFile(gpa, system, file, effective, is_memory, diagnostics);
    }

    /// A read-only database in a private copy of `bytes`, which hold a whole file.
    pub fn openBytes(
        gpa: std.mem.Allocator,
        system: os.System,
        bytes: []const u8,
        options: Options,
        diagnostics: *errors.Diagnostics,
    ) Error!*Database {
        const file = memory.openBytes(gpa, bytes) catch |err|
            return diagnostics.failOs(err, "copying the bytes");
        var effective = options;
        effective.readonly = true;
        effective.create = false;
        return openFile(gpa, system, file, effective, true, diagnostics);
    }

    fn openFile(
        gpa: std.mem.Allocator,
        system: os.System,
        file: os.File,
        options: Options,
        is_private: bool,
        diagnostics: *errors.Diagnostics,
    ) Error!*Database {
        errdefer file.close();
        const boot_id: ?[16]u8 = if (is_private) @splat(1) else system.bootId();
        const header = try creation.readOrCreate(.{
            .file = file,
            .system = system,
            .diagnostics = diagnostics,
            .may_create = options.create and !options.readonly,
            .may_write = !options.readonly,
            .is_copy = is_private and options.readonly,
            .busy_timeout_ms = options.busy_timeout_ms,
        });
        const scratch = gpa.create([2]rows.RowReader.Scratch) catch
            return diagnostics.failOs(error.OutOfMemory, "opening the database");
        errdefer gpa.destroy(scratch);
        const database = gpa.create(Database) catch
            return diagnostics.failOs(error.OutOfMemory, "opening the database");
        errdefer gpa.destroy(database);
        database.* = .{
            .gpa = gpa,
            .system = system,
            .file = file,
            .diagnostics = diagnostics,
            .options = options,
            .header = header,
            .boot_id = boot_id,
            .process_id = system.processId(),
            .is_private = is_private,
            .image = Image.init(gpa, file, .{
                .always_mapped = is_private,
                .budget_bytes = options.memory_budget_bytes,
            }),
            .cache = .{ .gpa = gpa, .file = file, .diagnostics = diagnostics },
            .watch = .init(file),
            .locks = .{ .gpa = gpa, .file = file, .disabled = is_private and options.readonly },
            .scratch = &scratch[0],
            .other_scratch = &scratch[1],
            .search_memory = .init(gpa),
            .code_memory = .init(gpa),
            .column_memory = .init(gpa),
            .current = .{ .gpa = gpa, .root = undefined },
        };
        errdefer {
            database.locks.deinit();
            database.cache.deinit();
            database.image.deinit();
        }
        try database.loadFirst();
        return database;
    }

    /// Checkpoints what is volatile and frees everything. Snapshots and collections of this
    /// database are closed before.
    pub fn close(database: *Database) void {
        const is_owner = database.isOwner();
        if (database.transaction != null) database.rollback();
        if (is_owner) if (database.session) |session| {
            // What cannot be made durable now stays volatile in the file; the next writer adopts
            // it.
            if (session.hasVolatileCommits() and !session.poisoned) {
                database.flush() catch {};
            }
        };
        if (database.session) |session| {
            session.deinit();
            database.gpa.destroy(session);
        }
        database.locks.deinit();
        database.current.deinit();
        database.cache.deinit();
        database.image.deinit();
        database.search_memory.deinit();
        database.code_memory.deinit();
        database.column_memory.deinit();
        database.file.close();
        database.gpa.destroy(@as(*[2]rows.RowReader.Scratch, @ptrCast(database.scratch)));
        database.gpa.destroy(database);
    }

    /// Everything committed so far, by whomever, survives power loss.
    pub fn flush(database: *Database) Error!void {
        try database.checkOwner();
        if (database.options.readonly) return;
        if (database.is_aside) return database.session.?.checkpointBefore();
        if (database.transaction != null) return database.diagnostics.fail(
            error.InvalidArgument,
            "flush inside a " ++
                "transaction; commit it first, or flush after it",
            .{},
        );
        const session = try database.openSession();
        const root = try session.checkpoint() orelse return database.commitNothing(session);
        if (root.transaction_id == database.current.root.transaction_id) {
            database.current.root = root;
            database.words = session.words;
        }
    }

    /// The same, but `Locked` where somebody else is writing, instead of waiting for them.
    pub fn flushAtOnce(database: *Database) Error!void {
        const session = try database.openSession();
        session.is_patient = false;
        defer session.is_patient = true;
        return database.flush();
    }

    fn commitNothing(database: *Database, session: *WriteSession) Error!void {
        try database.begin();
        database.transaction.?.has_changes = true;
        session.next_is_durable = true;
        defer session.next_is_durable = false;
        return database.commit();
    }

    /// Starts the explicit transaction. The write lock is held until `commit` or `rollback`.
    pub fn begin(database: *Database) Error!void {
        try database.checkOwner();
        try database.checkJoined();
        if (database.options.readonly) return database.diagnostics.fail(
            error.ReadOnly,
            "the database was opened readonly; " ++
                "open it without readonly to write",
            .{},
        );
        if (database.transaction != null) return database.diagnostics.fail(
            error.InvalidArgument,
            "a transaction is already " ++
                "running on this database; nested transactions join it, do not begin another",
            .{},
        );
        const session = try database.openSession();
        try session.acquire();
        // Not before: whoever is not let in goes on reading what it read.
        database.unpin();
        const root = try session.begin();
        errdefer session.abandon();
        try database.adopt(&root, session.watch.words());
        const transaction = database.gpa.create(Transaction) catch return database.outOfMemory();
        errdefer database.gpa.destroy(transaction);
        transaction.* = .{
            .gpa = database.gpa,
            .writer = &session.writer,
            .diagnostics = database.diagnostics,
            .working = database.current.clone() catch return database.outOfMemory(),
            .loss = if (session.is_lost)
                @truncate(session.writer.transaction_id)
            else
                root.last_loss,
        };
        if (session.is_lost) transaction.sealGrowing() catch |err| {
            transaction.deinit();
            return err;
        };
        database.transaction = transaction;
        database.column_memory.open.begin(root.transaction_id);
    }

    /// The same, but `Locked` where somebody else is writing, instead of waiting for them.
    pub fn beginAtOnce(database: *Database) Error!void {
        const session = try database.openSession();
        session.is_patient = false;
        defer session.is_patient = true;
        return database.begin();
    }

    /// Whether the calls that follow are no part of the running transaction. Its owner decides it
    /// call by call, for as long as it runs.
    pub fn setAside(database: *Database, is_aside: bool) void {
        database.is_aside = is_aside and database.transaction != null;
    }

    /// The running transaction, where calls are a part of it.
    pub fn joined(database: *const Database) ?*Transaction {
        return if (database.is_aside) null else database.transaction;
    }

    /// Whoever may not join the running transaction cannot wait for it either: it goes on only
    /// when this call has returned.
    pub fn checkJoined(database: *Database) Error!void {
        if (database.is_aside) return database.diagnostics.fail(
            error.Locked,
            "an asynchronous transaction of this handle is running, and a synchronous call " ++
                "cannot wait for it; write inside of transactionAsync(), which waits its turn",
            .{},
        );
    }

    /// All of the transaction becomes the file's state, or none of it and an error.
    pub fn commit(database: *Database) Error!void {
        const transaction = database.transaction orelse return database.noTransaction();
        const session = database.session.?;
        if (transaction.doomed) |cause| {
            database.rollback();
            return database.diagnostics.fail(
                cause,
                "an earlier write of this transaction failed, so all of it was rolled " ++
                    "back; repeat the transaction",
                .{},
            );
        }
        if (!transaction.has_changes) return database.rollback();
        errdefer database.rollback();
        try amender.renewColumns(database.gpa, transaction, &database.column_memory);
        try transaction.seal(.ends);
        try session.publish(&transaction.working.root);
        transaction.settle();
        std.mem.swap(View, &database.current, &transaction.working);
        database.words = session.words;
        database.column_memory.open.commit(database.current.root.transaction_id);
        Departures.settleAll(&database.departures, .committed);
        database.endTransaction(transaction);
    }

    /// Nothing of the transaction stays.
    pub fn rollback(database: *Database) void {
        const transaction = database.transaction orelse return;
        transaction.forgetRows(&database.current);
        database.column_memory.open.forget();
        transaction.forgetMade();
        Departures.settleAll(&database.departures, .undone);
        database.session.?.abandon();
        database.endTransaction(transaction);
    }

    fn endTransaction(database: *Database, transaction: *Transaction) void {
        transaction.deinit();
        database.gpa.destroy(transaction);
        database.transaction = null;
        database.is_aside = false;
        // Of who read beside the transaction: it may be an older state now.
        database.unpin();
    }

    /// The newest committed state, kept until the snapshot is closed.
    pub fn openSnapshot(database: *Database) Error!*Snapshot {
        try database.checkOwner();
        if (database.joined()) |transaction| {
            try database.checkDoomed(transaction);
        } else try database.refresh();
        const snapshot = database.gpa.create(Snapshot) catch return database.outOfMemory();
        errdefer database.gpa.destroy(snapshot);
        var view = database.current.clone() catch return database.outOfMemory();
        errdefer view.deinit();
        database.locks.acquire(view.root.transaction_id) catch |err|
            return database.diagnostics.failOs(err, "locking the snapshot");
        snapshot.* = .{
            .database = database,
            .view = view,
            .opened_ms = database.system.monotonicMs(),
        };
        database.snapshot_count += 1;
        database.snapshots.prepend(&snapshot.node);
        return snapshot;
    }

    pub fn stats(database: *Database) Error!DatabaseStats {
        try database.enterRead();
        const stat = database.file.stat() catch |err| return database.diagnostics.failOs(
            err,
            "looking at the file",
        );
        const view = database.readView();
        var index_pages: u64 = 0;
        var index: u32 = 0;
        while (index < view.root.catalogue_len) : (index += 1) {
            const state = try view.collection(database.source(), index) orelse continue;
            index_pages += state.index_pages;
        }
        const slots = roots.Slots.read(database.file) catch |err|
            return database.diagnostics.failOs(err, "reading the root slots");
        const durable = if (slots.newestDurable()) |choice| choice.root.transaction_id else 0;
        return .{
            .file_bytes = stat.length,
            .index_bytes = index_pages * format.page_bytes,
            .collection_count = view.root.collection_count,
            .transaction_id = view.root.transaction_id,
            .memory_bytes = database.cache.bytes() + database.image.mappedBytes() +
                database.search_memory.queryCapacity() + database.code_memory.bytes() +
                database.column_memory.bytes() + view.copiedBytes(),
            .snapshot_count = database.snapshot_count,
            .durable_transaction_id = durable,
            .oldest_snapshot_ms = database.oldestSnapshotMs(),
            .held_bytes = try database.heldBytes(),
        };
    }

    fn oldestSnapshotMs(database: *const Database) u64 {
        const node = database.snapshots.last orelse return 0;
        const snapshot: *const Snapshot = @fieldParentPtr("node", node);
        return database.system.monotonicMs() -| snapshot.opened_ms;
    }

    /// Who does not write does not count pages, which means to walk through the whole file.
    fn heldBytes(database: *Database) Error!?u64 {
        const session = database.session orelse return null;
        const pages = try session.heldPages(&database.current.root) orelse return null;
        return pages * format.page_bytes;
    }

    /// Makes sure that a transaction runs; true where this call began it and its caller ends it.
    pub fn beginImplicit(database: *Database) Error!bool {
        try database.checkJoined();
        if (database.transaction) |transaction| {
            try database.checkDoomed(transaction);
            return false;
        }
        try database.begin();
        return true;
    }

    /// A transaction in which a write failed may have a part of that write. If that was a sync,
    /// what was committed before it may be lost as well.
    fn checkDoomed(database: *Database, transaction: *const Transaction) Error!void {
        if (transaction.doomed) |cause| return database.diagnostics.fail(
            cause,
            "an earlier write of this transaction " ++
                "failed, so it can only be rolled back",
            .{},
        );
    }

    /// Whether the file has a maximum.
    pub fn isBounded(database: *const Database) bool {
        return database.options.file_bytes_max != std.math.maxInt(u64);
    }

    /// Whether moving rows, which takes room before it gives any, would be left out now.
    pub fn isDiskFull(database: *const Database) bool {
        const session = database.session orelse return false;
        return session.writer.is_disk_full;
    }

    /// Whether a write of its own that found the disk full is worth another try, without moving.
    pub fn mayRetry(database: *const Database, cause: Error, was_full: bool) bool {
        const session = database.session orelse return false;
        const is_new = session.writer.is_disk_full and !was_full;
        return cause == error.NoSpace and is_new and database.transaction == null and
            !session.poisoned;
    }

    /// Ends a write that failed: an implicit transaction is gone, an explicit one can only roll
    /// back.
    pub fn failWrite(database: *Database, own: bool, cause: Error) void {
        const transaction = database.transaction orelse return;
        if (own) return database.rollback();
        transaction.doomed = cause;
    }

    /// Called at the start of every read: afterwards `readView` is the newest state, pinned.
    pub fn enterRead(database: *Database) Error!void {
        if (database.joined()) |transaction| return database.checkDoomed(transaction);
        if (database.isFixed()) return;
        database.was_read = true;
        const now = database.watch.words();
        const is_same = now != null and database.words != null and
            std.mem.eql(u64, &now.?, &database.words.?);
        // Without a system call, so also in a forked child: it may read what its parent has pinned,
        // but must not touch the locks that both share.
        if (is_same and database.pinned != null) return;
        try database.checkOwner();
        if (is_same and try database.pinKnown()) return;
        try database.refresh();
    }

    /// The state that reads see: the running transaction's, or the newest committed one.
    pub fn readView(database: *Database) *View {
        return if (database.joined()) |transaction| &transaction.working else &database.current;
    }

    pub fn source(database: *Database) Source {
        if (database.joined()) |transaction| return transaction.source();
        return .{ .cache = &database.cache, .file_pages = database.current.root.file_pages };
    }

    pub fn sourceOf(database: *Database, root: *const format.Root) Source {
        return .{ .cache = &database.cache, .file_pages = root.file_pages };
    }

    pub fn reader(database: *Database, scratch: *rows.RowReader.Scratch) rows.RowReader {
        return .{
            .image = &database.image,
            .diagnostics = database.diagnostics,
            .scratch = scratch,
        };
    }

    pub fn appenderFor(
        database: *Database,
        transaction: *Transaction,
        state: *CollectionState,
    ) Appender {
        return .{
            .gpa = database.gpa,
            .transaction = transaction,
            .state = state,
            .code_memory = &database.code_memory,
            .column_memory = &database.column_memory,
            .expected_rows = 0,
        };
    }

    pub fn moverFor(database: *Database, appender: *Appender) compaction.Mover {
        return .init(appender, database.reader(database.scratch), &database.header.hash_key);
    }

    /// After an own commit the state is known but not locked. It is locked now, and still the
    /// newest if no slot has changed meanwhile.
    fn pinKnown(database: *Database) Error!bool {
        const transaction_id = database.current.root.transaction_id;
        database.locks.acquire(transaction_id) catch |err|
            return database.diagnostics.failOs(err, "locking the state to read");
        const now = database.watch.words();
        if (now == null or !std.mem.eql(u64, &now.?, &database.words.?)) {
            database.locks.release(transaction_id);
            return false;
        }
        database.pinned = transaction_id;
        database.is_doubtful = false;
        return true;
    }

    fn unpin(database: *Database) void {
        if (database.pinned) |transaction_id| database.locks.release(transaction_id);
        database.pinned = null;
    }

    /// Called now and then: lets go of the state that was read last where none was read since the
    /// last call, so that what it needs can be used again. The next read pins the newest one.
    /// False where it was in use: call again.
    pub fn rest(database: *Database) bool {
        const was_read = database.was_read;
        database.was_read = false;
        if (was_read or database.transaction != null) return false;
        database.letGo();
        return true;
    }

    /// Likewise, however lately it was read, between two calls.
    pub fn letGo(database: *Database) void {
        // No newer state takes the place of an older one that was asked for.
        if (database.isFixed()) return;
        // A forked child must not touch the locks that it shares.
        if (database.transaction != null or !database.isOwner()) return;
        if (database.pinned != null and database.current.root.kind == .@"volatile")
            database.is_doubtful = true;
        database.unpin();
    }

    /// Finds the newest state, locks it, and makes it the current one. A state is safe to read once
    /// its lock is held and it was still the newest after that: a writer publishes before it looks
    /// for locks.
    fn refresh(database: *Database) Error!void {
        if (database.isFixed()) return;
        const attempts_max = 3;
        for (0..attempts_max) |_| {
            if (try database.tryRefresh()) return;
        }
        const gate: os.LockRange = .{ .start = format.lock_gate, .len = 1 };
        try database.enterGate(gate);
        defer database.file.unlock(.snapshots, gate);
        // The lock of the last attempt is still held, of an older state than the one chosen here:
        // a writer that counts its pages anew, which it does without the gate, finds it.
        const words = database.watch.words();
        const root = try database.newestRoot();
        try database.pinRoot(&root);
        return database.adoptPinned(&root, words, try database.fileLength());
    }

    /// Writers have the gate for a moment only, but may be stopped in it.
    fn enterGate(database: *Database, gate: os.LockRange) Error!void {
        const patience_ms = @max(database.options.busy_timeout_ms, gate_patience_ms_min);
        const start = database.system.monotonicMs();
        while (!(database.file.lock(.snapshots, .shared, gate) catch |err|
            return database.diagnostics.failOs(err, "taking the reader gate")))
        {
            const waited = database.system.monotonicMs() -| start;
            if (waited >= patience_ms) return database.diagnostics.fail(
                error.Locked,
                "{f} has kept readers out for {d} ms, which writers do for a moment only; it " ++
                    "seems to be stopped, let it go on or end it",
                .{ database.file.holder(gate), waited },
            );
            database.system.sleepMs(1);
        }
    }

    const gate_patience_ms_min = 1000;

    fn tryRefresh(database: *Database) Error!bool {
        const words = database.watch.words();
        const root = try database.newestRoot();
        try database.pinRoot(&root);
        // Asked for before: whoever makes the file smaller publishes a newer root first.
        const length = try database.fileLength();
        const again = try database.newestRoot();
        if (!std.mem.eql(u8, &again.checksum, &root.checksum)) return false;
        try database.adoptPinned(&root, words, length);
        return true;
    }

    fn pinRoot(database: *Database, root: *const format.Root) Error!void {
        database.locks.acquire(root.transaction_id) catch |err| switch (err) {
            // A file system without locks: a read-only file there is taken as one that nobody
            // writes.
            error.LocksUnsupported => if (!database.options.readonly)
                return database.diagnostics.failOs(err, "locking the state to read")
            else {
                database.locks.disabled = true;
            },
            else => return database.diagnostics.failOs(err, "locking the state to read"),
        };
        database.unpin();
        database.pinned = root.transaction_id;
    }

    fn adoptPinned(
        database: *Database,
        root: *const format.Root,
        words: ?roots.Watch.Words,
        length: u64,
    ) Error!void {
        errdefer database.unpin();
        if (length < format.pageOffset(root.file_pages)) {
            return database.diagnostics.fail(
                error.Corrupt,
                "the file has {d} bytes, its newest root says at least {d}; it " ++
                    "was truncated, restore a backup or salvage() it",
                .{
                    length,
                    format.pageOffset(root.file_pages),
                },
            );
        }
        try database.adopt(root, words);
    }

    fn fileLength(database: *Database) Error!u64 {
        const stat = database.file.stat() catch |err| {
            database.unpin();
            return database.diagnostics.failOs(err, "looking at the file");
        };
        return stat.length;
    }

    fn newestRoot(database: *Database) Error!format.Root {
        const slots = roots.Slots.read(database.file) catch |err|
            return database.diagnostics.failOs(err, "reading the root slots");
        const choice = slots.newest(database.boot_id) orelse return database.noRoot();
        return choice.root;
    }

    fn noRoot(database: *Database) Error {
        return database.diagnostics.fail(
            error.Corrupt,
            "none of the six root slots (offsets {d} to {d}) is intact; the " ++
                "file is damaged, restore a backup or salvage() it",
            .{
                roots.slotOffset(0),
                roots.slotOffset(format.slot_count - 1),
            },
        );
    }

    /// Makes `root` the current state. Where states were lost (after a failed sync elsewhere), the
    /// file may have other rows in places that are known: then nothing of that is kept.
    fn adopt(database: *Database, root: *const format.Root, words: ?roots.Watch.Words) Error!void {
        const known = &database.current.root;
        if (!std.mem.eql(u8, &root.checksum, &known.checksum)) {
            const is_successor = !database.is_doubtful and
                root.transaction_id >= known.transaction_id and
                root.last_loss == known.last_loss;
            if (!is_successor) {
                database.forgotten_count +%= 1;
                database.current.deinit();
                database.current = .{ .gpa = database.gpa, .root = root.* };
            } else {
                var next = try database.current.advance(database.sourceOf(root), root);
                std.mem.swap(View, &database.current, &next);
                next.deinit();
            }
        }
        database.words = words;
        database.is_doubtful = false;
    }

    /// There is no newer state to look for.
    fn isFixed(database: *const Database) bool {
        return database.is_private or database.options.older_root > 0;
    }

    /// An older root is safe to read by the same argument as the newest: its lock is held, and its
    /// slot still held it after that. Until a writer takes the slot, the slot protects the pages;
    /// whoever takes it looks for locks afterwards, before it uses any of them again.
    fn loadOlder(database: *Database) Error!void {
        if (!database.options.readonly) return database.diagnostics.fail(
            error.InvalidArgument,
            "an older state can only be read; open it readonly",
            .{},
        );
        while (true) {
            const root = try database.olderRoot();
            const words = database.watch.words();
            try database.pinRoot(&root);
            const length = try database.fileLength();
            const again = try database.olderRoot();
            if (!std.mem.eql(u8, &again.checksum, &root.checksum)) continue;
            return database.adoptPinned(&root, words, length);
        }
    }

    fn olderRoot(database: *Database) Error!format.Root {
        const slots = roots.Slots.read(database.file) catch |err|
            return database.diagnostics.failOs(err, "reading the root slots");
        const choice = slots.newest(database.boot_id) orelse return database.noRoot();
        var buffer: [format.slot_count]format.Root = undefined;
        var count: u32 = 0;
        // One state may be in several slots.
        var last = choice.root.transaction_id;
        for (slots.newestFirst(&buffer)) |root| {
            if (root.kind != .durable or root.transaction_id >= last) continue;
            last = root.transaction_id;
            count += 1;
            if (count == database.options.older_root) return root;
        }
        return database.diagnostics.fail(
            error.InvalidArgument,
            "the file keeps {d} durable states older than the newest, number {d} was asked for; " ++
                "ask for a lower one (growing and compact() let older states go)",
            .{ count, database.options.older_root },
        );
    }

    fn loadFirst(database: *Database) Error!void {
        if (!database.is_private) {
            database.current.root.checksum = @splat(0);
            database.current.root.transaction_id = 0;
            database.current.root.last_loss = 0;
            if (database.options.older_root > 0) return database.loadOlder();
            return database.refresh();
        }
        const is_older = database.options.older_root > 0;
        database.current.root = try if (is_older) database.olderRoot() else database.newestRoot();
        const stat = database.file.stat() catch |err| return database.diagnostics.failOs(
            err,
            "looking at the bytes",
        );
        if (stat.length < format.pageOffset(database.current.root.file_pages)) {
            return database.diagnostics.fail(
                error.Corrupt,
                "there are {d} bytes, the newest root says at least {d}; they " ++
                    "were cut short",
                .{
                    stat.length,
                    format.pageOffset(database.current.root.file_pages),
                },
            );
        }
    }

    pub fn openSession(database: *Database) Error!*WriteSession {
        if (database.session) |session| return session;
        const session = database.gpa.create(WriteSession) catch return database.outOfMemory();
        session.* = .{
            .gpa = database.gpa,
            .system = database.system,
            .file = database.file,
            .cache = &database.cache,
            .watch = database.watch,
            .diagnostics = database.diagnostics,
            .durability = database.options.durability,
            .busy_timeout_ms = database.options.busy_timeout_ms,
            .boot_id = database.boot_id,
            .space = .{ .gpa = database.gpa, .file_pages = 0 },
            .writer = undefined,
        };
        session.init();
        const pages_max = database.options.file_bytes_max / format.page_bytes;
        session.writer.pages_max = @intCast(@min(pages_max, std.math.maxInt(u32)));
        database.session = session;
        return session;
    }

    fn isOwner(database: *const Database) bool {
        return database.is_private or database.process_id == database.system.processId();
    }

    fn checkOwner(database: *Database) Error!void {
        if (!database.isOwner()) return database.diagnostics.fail(
            error.Closed,
            "the process was forked after the database " ++
                "was opened; open it again in the child",
            .{},
        );
    }

    fn noTransaction(database: *Database) Error {
        return database.diagnostics.fail(
            error.InvalidArgument,
            "no transaction is running; begin one first",
            .{},
        );
    }

    pub fn outOfMemory(database: *Database) Error {
        return database.diagnostics.failOs(error.OutOfMemory, "working on the database");
    }
};
