/**
 * The steps of the protocol, each taken out or done wrongly. `suites` are the test programs that
 * should notice, the quickest first; run.ts tries them in turn.
 */

export interface Edit {
  file: string;
  /** Stands in the file exactly once. */
  find: string;
  replace: string;
}

export interface Mutant {
  name: string;
  suites: readonly string[];
  edits: readonly Edit[];
}

function mutant(name: string, suites: string, file: string, find: string, to: string): Mutant {
  const path = file.includes("/") ? file : `zig/${file}.zig`;
  return { name, suites: suites.split(" "), edits: [{ file: path, find, replace: to }] };
}

const sync = "        session.file.sync() catch |err| return session.poison(err);\n";
const slot =
  "        roots.write(session.file, slot, root) catch |err| return session.poison(err);\n";
const after = "        session.slots.roots[slot] = root.*;\n        session.synced";
const retrying =
  "        session.file.sync() catch session.file.sync() catch |err| return session.poison(err);\n";

const crash = "crash crash_sync crash_simulation";
const syncs = "crash_sync lost_states crash";
const lost = "lost_states crash_simulation";
const beside = "readers_beside_writers crash_simulation";

export const mutants: readonly Mutant[] = [
  // The order of a durable commit.
  mutant("no barrier before the slot", crash, "write_session", sync + slot + sync, slot + sync),
  mutant(
    "no barrier after the slot",
    `lost_states ${crash}`,
    "write_session",
    slot + sync + after,
    slot + after,
  ),
  mutant(
    "slot before data",
    `lost_states ${crash}`,
    "write_session",
    sync + slot + sync,
    slot + sync + sync,
  ),
  mutant(
    "pages written after the slot",
    crash,
    "write_session",
    "        if (is_durable) try session.publishDurable(root) else " +
      "try session.publishVolatile(root);\n",
    "        const pages = session.writer.dirty;\n        session.writer.dirty = .empty;\n" +
      "        if (is_durable) try session.publishDurable(root) else " +
      "try session.publishVolatile(root);\n" +
      "        session.writer.dirty = pages;\n        try session.writer.writeOut(.ends);\n",
  ),
  mutant(
    "a failed sync is tried again",
    syncs,
    "write_session",
    sync + slot + sync,
    retrying + slot + retrying,
  ),
  mutant(
    "a failed sync does not poison",
    syncs,
    "write_session",
    "        session.poisoned = true;\n",
    "",
  ),
  mutant(
    "a failed slot write does not poison",
    "lost_states crash_faults crash_sync",
    "write_session",
    sync + slot + sync,
    `${sync}        roots.write(session.file, slot, root) catch |err|\n` +
      `            return session.diagnostics.failOs(err, "writing");\n${sync}`,
  ),
  mutant(
    "a failed volatile slot write does not poison",
    "lost_states crash_faults crash_sync",
    "write_session",
    `        const slot = session.slots.nextVolatileSlot(session.boot_id);\n${slot}`,
    "        const slot = session.slots.nextVolatileSlot(session.boot_id);\n" +
      "        roots.write(session.file, slot, root) catch |err|\n" +
      '            return session.diagnostics.failOs(err, "writing");\n',
  ),
  mutant(
    "two durable slots",
    syncs,
    "roots",
    "sequence % format.durable_slot_count",
    "sequence % 2",
  ),
  mutant(
    "three durable slots",
    lost,
    "roots",
    "sequence % format.durable_slot_count",
    "sequence % 3",
  ),
  mutant(
    "the durable slot of the newest root again",
    syncs,
    "write_session",
    "choice.root.durable_sequence + 1 else 0",
    "choice.root.durable_sequence else 0",
  ),
  mutant(
    "a flush trusts a durable root that nobody synced",
    syncs,
    "write_session",
    "return if (session.isSynced(&root)) root else null;",
    "return root;",
  ),
  mutant(
    "the commit of a flush is volatile",
    syncs,
    "write_session",
    "session.boot_id == null or session.next_is_durable",
    "session.boot_id == null",
  ),
  mutant(
    "checkpoints come ten times too late",
    crash,
    "write_session",
    "return age_ms >= limits.checkpoint_interval_ms;",
    "return age_ms >= 10 * limits.checkpoint_interval_ms;",
  ),
  mutant(
    "full durability is volatile",
    crash,
    "write_session",
    "            .full => true,\n",
    "            .full => session.checkpointIsDue(),\n",
  ),

  // Volatile roots.
  mutant(
    "volatile roots are believed after another boot",
    crash,
    "roots",
    "    return std.mem.eql(u8, &root.boot_id, &boot);",
    "    _ = boot;\n    return true;",
  ),
  mutant(
    "the newest volatile slot is overwritten",
    crash,
    "roots",
    "return if (a <= b) first else first + 1;",
    "return if (a <= b) first + 1 else first;",
  ),
  mutant(
    "volatile roots stay after a failed sync",
    "lost_states crash_sync",
    "write_session",
    "        roots.disownVolatile(session.file, &session.slots) catch {};\n",
    "",
  ),
  mutant(
    "volatile roots are forgotten after a failed sync",
    lost,
    "write_session",
    "        roots.disownVolatile(session.file, &session.slots) catch {};\n",
    "        roots.clearVolatile(session.file) catch {};\n",
  ),
  mutant(
    "a poisoned handle keeps the volatile guard",
    "lost_states",
    "write_session",
    "        if (session.holds_volatile_guard) session.file.unlock(.writer, volatile_guard);\n",
    "",
  ),
  mutant(
    "unsound orphans are believed",
    lost,
    "write_session",
    "        if (!is_sound) {\n",
    "        if (!is_sound and durable.root.file_pages == 0) {\n",
  ),
  mutant(
    "volatile roots stay after a durable commit",
    `${beside} lost_states crash engine`,
    "write_session",
    "        session.clearVolatile();\n        session.dropVolatileGuard();\n",
    "        session.dropVolatileGuard();\n",
  ),
  mutant(
    "the volatile guard is not taken",
    "lost_states crash_simulation crash_sync",
    "write_session",
    `            session.holds_volatile_guard = session.file.lock(
                .writer,
                .shared,
                volatile_guard,
            ) catch |err| return session.diagnostics.failOs(err, "locking the file");`,
    "            session.holds_volatile_guard = true;",
  ),
  mutant(
    "the volatile guard is not asked for",
    "lost_states crash_sync",
    "write_session",
    "        if (is_own or owner != null) return newest.root;\n",
    "        if (is_own or owner == null) return newest.root;\n",
  ),
  mutant(
    "orphans are not written again",
    syncs,
    "write_session",
    "const is_sound = adoption.rewrite(.{",
    "const is_sound = if (durable.root.file_pages > 0) true else adoption.rewrite(.{",
  ),
  mutant(
    "an orphan's pages are not written again",
    syncs,
    "adoption",
    "        context.file.write(format.pageOffset(ref.page), &.{page}) catch |err|\n" +
      "            return context.diagnostics.failOs(err, " +
      '"making an earlier process\'s commits durable");',
    "        _ = page;",
  ),
  mutant(
    "an orphan's records are not written again",
    syncs,
    "adoption",
    "        try rewriteRange(context, start + written, start + extent.used_bytes);",
    "        _ = .{ start, written };",
  ),
  mutant(
    "an orphan's vectors are not written again",
    syncs,
    "adoption",
    `    try rewriteRange(
        context,
        segment.vectorOffset(first, stride),
        segment.vectorOffset(segment.disk.rows, stride),
    );
`,
    "",
  ),
  mutant(
    "an orphan's entries are not written again",
    syncs,
    "adoption",
    `    try rewriteRange(
        context,
        segment.entryOffset(first, stride),
        segment.entryOffset(segment.disk.rows, stride),
    );
`,
    "",
  ),

  // States that were lost.
  mutant(
    "lost states are not noticed",
    lost,
    "write_session",
    "session.is_lost = session.highestSeen() > root.transaction_id or",
    "session.is_lost = session.highestSeen() == 0 or",
  ),
  mutant(
    "lost states that no slot tells of are not noticed",
    lost,
    "write_session",
    "session.seen_transaction = held orelse highest;",
    "session.seen_transaction = @min(held orelse highest, highest);",
  ),
  mutant(
    "a lost state is forgotten when an older one is adopted",
    lost,
    "write_session",
    "session.seen_transaction = held orelse highest;",
    "session.seen_transaction = held orelse 0;",
  ),
  mutant(
    "of the lost states that are held, the lowest counts for the highest",
    lost,
    "snapshot_locks",
    "if (end - lowest <= 1) return",
    "if (end >= lowest) return",
  ),
  mutant(
    "rows go on behind those of a lost state",
    lost,
    "database",
    "if (session.is_lost) transaction",
    "if (false) transaction",
  ),
  mutant(
    "pages of a lost state are free",
    lost,
    "write_session",
    "if (is_held and session.is_lost)",
    "if (false and is_held)",
  ),
  mutant(
    "a lost state's transaction id is used again",
    lost,
    "write_session",
    "@max(session.highest_transaction, session.highestSeen());",
    "session.slots.newest(session.boot_id).?.root.transaction_id;",
  ),
  mutant(
    "a loss leaves no mark in the next root",
    lost,
    "write_session",
    "        if (session.is_lost) root.last_loss = @truncate(root.transaction_id);\n",
    "",
  ),
  mutant(
    "space counted before a loss is trusted",
    lost,
    "write_session",
    "if (!session.isCountedFor(root) or session.is_lost) return",
    "if (!session.isCountedFor(root)) return",
  ),
  mutant(
    "older roots are walked without care",
    "hostile lost_states",
    "write_session",
    "            .is_strict = kind == .strict,\n",
    "            .is_strict = false and kind == .strict,\n",
  ),

  // Space.
  mutant(
    "pages of the oldest root are used again",
    crash,
    "write_session",
    "        session.space.reclaim(retained[0..len], &held);",
    "        std.mem.sort(u64, retained[0..len], {}, std.sort.desc(u64));\n" +
      "        session.space.reclaim(retained[0..@min(len, 3)], &held);",
  ),
  mutant(
    "readers do not keep pages",
    beside,
    "write_session",
    "        const held = snapshot_locks.heldBy(session.file) catch |err|\n" +
      '            return session.diagnostics.failOs(err, "probing the locks");\n' +
      "        var retained",
    '        const held: @import("held_states.zig").HeldStates = .{};\n        var retained',
  ),
  mutant(
    "a new session does not ask for readers",
    `${beside} lost_states`,
    "write_session",
    "            .waits_for = if (is_held) session.highest_transaction else null,\n",
    "            .waits_for = if (is_held and false) session.highest_transaction else null,\n",
  ),
  mutant(
    "a pending page is free at its commit",
    crash,
    "free_space",
    "if (born <= transaction_id and transaction_id < item.freed) return true;",
    "if (born < transaction_id and transaction_id < item.freed) return true;",
  ),
  mutant(
    "readers keep one state too few",
    `core ${beside}`,
    "held_states",
    "if (born <= id and id < freed) return true;",
    "if (born <= id and id + 1 < freed) return true;",
  ),
  mutant(
    "readers do not keep what is as old as their state",
    `core ${beside}`,
    "held_states",
    "if (born <= id and id < freed) return true;",
    "if (born < id and id < freed) return true;",
  ),
  mutant(
    "pages of unknown age do not wait for readers",
    `core ${beside} lost_states`,
    "free_space",
    "held.needs(item.born orelse 0, item.freed)",
    "held.needs(item.born orelse item.freed, item.freed)",
  ),
  mutant(
    "a rollback keeps the growth",
    "aftermath",
    "page_writer",
    "        writer.space.shrink(writer.base_pages);\n",
    "",
  ),
  mutant(
    "the file does not grow before the pages are written",
    `${beside} crash_faults`,
    "page_writer",
    "        if (needed <= writer.physical_pages) return;\n",
    "        if (needed <= writer.physical_pages or needed > 0) return;\n",
  ),
  mutant(
    "pages are changed in place",
    crash,
    "page_writer",
    "if (born == writer.transaction_id) return writer.giveBack(run);",
    "if (born <= writer.transaction_id) return writer.giveBack(run);",
  ),

  // Who is beside a transaction, and what was rolled back with it.
  mutant(
    "what was read beside a transaction stays locked in place of what it made",
    "engine",
    "database",
    "        database.is_aside = false;\n        // Of who read beside the transaction: " +
      "it may be an older state now.\n        database.unpin();\n",
    "        database.is_aside = false;\n",
  ),
  mutant(
    "who is beside a transaction writes into it",
    "engine",
    "database",
    "        try database.checkJoined();\n        if (database.transaction) |transaction| {\n",
    "        if (database.transaction) |transaction| {\n",
  ),
  mutant(
    "a flush beside a transaction does nothing",
    "engine",
    "database",
    "return database.session.?.checkpointBefore();",
    "return;",
  ),
  mutant(
    "a collection that was rolled back is taken for the next one",
    "engine",
    "transaction",
    "            if (identity.standing == .new) identity.standing = .gone;\n",
    "            if (identity.standing == .gone) identity.standing = .new;\n",
  ),
  mutant(
    "a collection that was lost is taken for the next one",
    lost,
    "collection",
    "        if (is_lost and !identity.hasNameOf(collection.identity)) return false;\n",
    "        _ = is_lost;\n",
  ),

  // Readers.
  mutant(
    "a reader does not look again after its lock",
    beside,
    "database",
    "        if (!std.mem.eql(u8, &again.checksum, &root.checksum)) return false;\n",
    "        _ = again;\n",
  ),
  mutant(
    "a reader does not lock the state that it reads",
    beside,
    "database",
    "        database.unpin();\n        database.pinned = root.transaction_id;\n",
    "        database.unpin();\n        database.locks.release(root.transaction_id);\n",
  ),
  mutant(
    "an own commit is read without a lock",
    beside,
    "database",
    "        database.locks.acquire(transaction_id) catch |err|\n" +
      '            return database.diagnostics.failOs(err, "locking the state to read");\n' +
      "        const now",
    "        const now",
  ),
  mutant(
    "a snapshot is not locked",
    beside,
    "database",
    "        database.locks.acquire(view.root.transaction_id) catch |err|\n" +
      '            return database.diagnostics.failOs(err, "locking the snapshot");\n',
    "",
  ),
  mutant(
    "a second snapshot of one state lets go of the first",
    `${beside} engine core`,
    "snapshot_locks",
    "            held.count += 1;\n",
    "",
  ),
  mutant(
    "slots are remembered after the lock is gone",
    "crash_faults crash_simulation lost_states",
    "write_session",
    "if (session.slots_are_read) session.watch.words() else null;",
    "session.watch.words();",
  ),
  mutant(
    "a short read of the slots goes unnoticed",
    "crash_faults core",
    "roots",
    "        @memset(buffer[len..], 0);\n",
    "        const stale = struct { var bytes: [read_bytes]u8 = @splat(0); };\n" +
      "        @memcpy(buffer[len..], stale.bytes[len..]);\n" +
      "        @memcpy(&stale.bytes, &buffer);\n",
  ),

  // Rows and pages.
  mutant(
    "an overwrite leaves the old row alive",
    crash,
    "collection",
    "            try transaction.buryRow(state, .fromInt(location));\n" +
      "            try mover.pay();\n        } else",
    "        } else",
  ),
  mutant(
    "a deleted row stays alive",
    crash,
    "collection",
    "        try transaction.buryRow(state, .fromInt(location));\n        try mover",
    "        try mover",
  ),
  mutant(
    "a deleted row stays in the index",
    "engine crash",
    "collection",
    "        try editor.remove(key_hash, location);\n",
    "        if (key_hash == 1) try editor.remove(key_hash, location);\n",
  ),
  mutant(
    "a batch is committed before its last rows are written",
    crash,
    "collection",
    "        try appender.flush();\n        if (own) try database.commit();\n    }",
    "        if (own) try database.commit();\n        try appender.flush();\n    }",
  ),
  mutant(
    "rows of a rollback are remembered as sound",
    "aftermath core engine crash_faults lost_states",
    "database",
    "        transaction.forgetRows(&database.current);\n",
    "",
  ),
  mutant(
    "index pages are not checked",
    "hostile core",
    "page_cache",
    "            if (found == ref.checksum) return;",
    "            if (found | 1 != 0) return;",
  ),
  mutant(
    "vectors are not checked",
    "damage_read",
    "rows",
    "if (checksum.bytes(seed, content) != expected) {",
    "if (checksum.bytes(seed, content) != expected and expected == 0) {",
  ),
  mutant(
    "entries are not checked",
    "damage_read",
    "rows",
    "        if (found.checksum == entryChecksum(seed, found)) return;\n",
    "        if (found.checksum | 1 != 0 and seed | 1 != 0) return;\n",
  ),
  mutant(
    "keys are not checked",
    "damage_read",
    "rows",
    ") != header.checksum) return",
    ") != header.checksum and header.checksum == 0) return",
  ),
  mutant(
    "metadata is not checked",
    "damage_read",
    "rows",
    "if (checksum.bytes(seed, out) != view.metadata_checksum) return",
    "if (checksum.bytes(seed, out) != view.metadata_checksum and out.len == 0) return",
  ),
  mutant(
    "a torn slot is a root",
    `core hostile ${crash}`,
    "roots",
    '        &checksum.slot(bytes[0..@offsetOf(Root, "checksum")]),\n    )) return null;',
    '        &checksum.slot(bytes[0..@offsetOf(Root, "checksum")]),\n    ) and root.magic == 0)' +
      " return null;",
  ),
  mutant(
    "the hash decides what is read, and the key is not compared",
    "engine",
    "collection",
    "            if (std.mem.eql(u8, record.key, key)) {\n",
    "            if (record.key.len > 0 and key.len > 0) {\n",
  ),
  mutant(
    "the hash decides what is read from memory, and the key is not compared",
    "engine",
    "hot_cache",
    "if (entry.hash == hash and std.mem.eql(u8, entry.key(), key)) return index;",
    "if (entry.hash == hash and entry.key().len == key.len) return index;",
  ),
  mutant(
    "the hash decides what is overwritten, and the key is not compared",
    "engine",
    "collection",
    "            if (std.mem.eql(u8, record.key, key)) return candidate;\n",
    "            if (record.key.len > 0 and key.len > 0) return candidate;\n",
  ),
  mutant(
    "a child's checksum is not filled in",
    `core ${crash}`,
    "key_index",
    "                inner.checksums[index] = previous_checksum;\n",
    "",
  ),
  mutant(
    "a divided bucket keeps what it gave away",
    "core engine",
    "key_index",
    "        low.header.count = middle;\n",
    "        low.header.count = count;\n",
  ),

  // Files.
  mutant(
    "the header comes before the first root is durable",
    crash,
    "creation",
    "    try file.sync();\n    try file.write(format.pageOffset(format.header_page)",
    "    try file.write(format.pageOffset(format.header_page)",
  ),
  mutant(
    "a file whose first page was lost is new",
    syncs,
    "creation",
    "return if (copy == .header and try hasCommits(context)) copy else .unfinished;",
    "return .unfinished;",
  ),
  mutant(
    "a file that was replaced is written",
    "aftermath",
    "write_session",
    "if (!stat.same_file) return",
    "if (!stat.same_file and stat.length == 0) return",
  ),
  mutant(
    "a backup leaves out a page of each run",
    "engine",
    "backup",
    "        backup.next_page += count;\n",
    "        backup.next_page += count + 1;\n",
  ),
  mutant(
    "a backup has its header before its pages",
    "aftermath",
    "backup",
    "        try target.sync();\n" +
      "        try target.write(format.pageOffset(format.header_copy_page)",
    "        try target.write(format.pageOffset(format.header_copy_page)",
  ),

  // Rows that move, and space that is used again.
  mutant(
    "a moved row stays alive in its old place",
    "compaction crash",
    "compaction",
    "        try appender.transaction.buryRow(state, copy.from);\n",
    "",
  ),
  mutant(
    "the index still names a moved row's old place",
    "compaction crash",
    "compaction",
    "        try editor.replace(copy.key_hash, copy.from.toInt(), new);\n",
    "        _ = new;\n        _ = editor;\n",
  ),
  mutant(
    "a moved row loses its metadata",
    "compaction crash",
    "compaction",
    "            .metadata = metadata,\n",
    "            .metadata = metadata[0..0],\n",
  ),
  mutant(
    "a row that cannot be read stops the writes of others",
    "compaction",
    "compaction",
    "            error.Corrupt, error.InputOutput => {\n",
    "            error.InputOutput => {\n",
  ),
  mutant(
    "dead rows are not counted",
    "churn",
    "transaction",
    "        state.dead_rows += 1;\n",
    "",
  ),
  mutant(
    "rows of a segment that comes again have the places of those before",
    "compaction damage_salvage crash lost_states",
    "appender",
    "@as(u24, @truncate(state.segments_made));",
    "0;",
  ),
  mutant(
    "a segment that is gone is still listed",
    "compaction crash",
    "transaction",
    "            try page_array.set(writer, &state.segments, len, disk.id, .none);\n",
    "            _ = len;\n",
  ),
  mutant(
    "rows of a segment that is gone pass for checked",
    "aftermath",
    "transaction",
    "        segment.verified.forgetFrom(0);\n",
    "        _ = segment;\n",
  ),
  mutant(
    "the end of the file is cut though a state needs it",
    "compaction crash",
    "write_session",
    "format.pageOffset(session.slots.highestFilePages());",
    "format.pageOffset(session.slots.highestFilePages() - 1);",
  ),
  mutant(
    "a state ends before its last page",
    "compaction crash",
    "write_session",
    "        session.space.shrink(session.space.usedEnd());\n",
    "        session.space.shrink(session.space.usedEnd() - 1);\n",
  ),
  mutant(
    "older states are let go for one that is not durable",
    "compaction lost_states crash",
    "write_session",
    "if (root.kind != .durable or !session.isSynced(&root)) try session.publishDurable(&root);",
    "if (root.kind == .durable) try session.publishDurable(&root);",
  ),
  mutant(
    "the file is made smaller with older states in its slots",
    "compaction",
    "write_session",
    "        if (!try session.retireOlderRoots()) return false;\n",
    "",
  ),

  // Searches in the background.
  mutant(
    "whoever waits while a job is stepped is overtaken",
    "c_api",
    "zig/c_api/lock.zig",
    "        if (l.waiting.load(.seq_cst) == 0) return;\n",
    "        if (l.waiting.load(.seq_cst) < 1000) return;\n",
  ),
  mutant(
    "a job searches for what its caller's array holds by then",
    "background_search",
    "search_job",
    "        job.queries = try allocator.dupe(f32, queries);\n",
    "        job.queries = queries;\n",
  ),
  mutant(
    "a job forgets why it failed",
    "background_search",
    "search_job",
    "        if (job.progress != .failed) return;\n",
    "        if (job.progress != .failed or job.hits.len < 1 << 30) return;\n",
  ),

  // Codes.
  mutant(
    "codes that are damaged are believed",
    "quantised_search",
    "code_scan",
    "if (!codes.isWhole(scan.request.state.seedOf(from, row), bytes)) {\n",
    "if (!codes.isWhole(scan.request.state.seedOf(from, row), bytes) and row > 1 << 30) {\n",
  ),
  mutant(
    "copies of codes outlive the rows that were rolled back",
    "quantised_search",
    "collection_state",
    "        verified.forgetCopies(@intCast(block));\n",
    "",
  ),
  mutant(
    "a centre that is damaged is believed",
    "quantised_search",
    "code_scan",
    "        if (!codes.isWhole(state.seedOf(from, 0), scan.centre_bytes)) return false;\n",
    "",
  ),
  mutant(
    "a row without a code is ruled out",
    "quantised_search",
    "codes",
    "        .deviations = @splat(std.math.inf(f32)),\n",
    "        .deviations = @splat(-1e30),\n",
  ),
  mutant(
    "rows that are kept of a block are not compared with the file's",
    "open_block",
    "open_block",
    "            if (!is_same) open.known.unset(row);\n",
    "            if (!is_same and row > in_file.len) open.known.unset(row);\n",
  ),
  mutant(
    "rows are kept for any block that has the same entries",
    "open_block",
    "open_block",
    "        if (std.meta.eql(open.place, place)) return;\n        open.place = place;\n" +
      "        open.known = .initEmpty();\n",
    "        open.place = place;\n",
  ),
  mutant(
    "a row that rotted is given a code",
    "open_block",
    "code_writer",
    "if (read != bytes.len or checksum.bytes(seed, bytes) != entry.vector_checksum) return;\n",
    "if (read != bytes.len or checksum.bytes(seed, bytes) == 0) return;\n",
  ),
  mutant(
    "a query beyond single precision is searched by codes",
    "quantised_search",
    "codes",
    "        if (!are_moderate) return null;\n",
    "        if (!are_moderate and dimension == 0) return null;\n",
  ),
  mutant(
    "the head of a block rules out rows that may be near",
    "quantised_search",
    "codes",
    "const head_deviations = 3.5;",
    "const head_deviations = 0.5;",
  ),
  mutant(
    "the codes of an orphan are not written again",
    "crash_simulation crash_sync crash",
    "adoption",
    "    try rewriteCodes(context, reader, state, segment, coded);\n",
    "    _ = coded;\n",
  ),

  // What a call leaves behind.
  mutant(
    "commits that a live writer made in another boot are not seen",
    "lost_states",
    "write_session",
    "if (hides_live and owner != null) return",
    "if (false and hides_live) return",
  ),
  mutant(
    "lost states are asked for only when a slot has changed",
    "lost_states",
    "write_session",
    "        if (!session.slotsAreKnown()) try session.readSlots();\n" +
      "        try session.askForLostStates();\n",
    "        if (!session.slotsAreKnown()) {\n            try session.readSlots();\n" +
      "            try session.askForLostStates();\n        }\n",
  ),
  mutant(
    "a torn volatile slot is no sign of a lost state",
    "lost_states",
    "write_session",
    " or\n            session.slots.hasTornVolatile();",
    ";",
  ),
  mutant(
    "clear keeps what was verified of rows that a rollback takes back",
    "aftermath",
    "transaction",
    "        forgetUncommitted(state);\n        for",
    "        for",
  ),
  mutant(
    "the guard is kept when nothing is volatile any more",
    "lost_states",
    "write_session",
    "        session.dropVolatileGuard();\n        session.volatile_since_ms = 0;\n" +
      "        session.writer.written_bytes",
    "        session.volatile_since_ms = 0;\n        session.writer.written_bytes",
  ),
  mutant(
    "a forked child gives its parent's locks back",
    "aftermath",
    "zig/os/file_posix.zig",
    "        if (connection.process_id != sys.processId()) return;\n",
    "",
  ),
  mutant(
    "who is not let in to write lets go of what it read",
    "aftermath",
    "database",
    "        try session.acquire();\n        // Not before",
    "        database.unpin();\n        try session.acquire();\n        // Not before",
  ),
  mutant(
    "pages that were in use when they were last counted pass for younger ones",
    "core crash_simulation",
    "free_space",
    "return aged[at.*].born;",
    "return known.transaction_id + 1;",
  ),
  mutant(
    "pages that were left since are free at once",
    "crash_simulation readers_beside_writers",
    "write_session",
    "            .waits_for = if (is_held) session.highest_transaction else null,\n",
    "            .waits_for = if (is_held and known == null) session.highest_transaction " +
      "else null,\n",
  ),
  mutant(
    "an amendment writes where a lost state may have something",
    "amendments",
    "amender",
    "const is_own = disk.heap_count > 0 and disk.heap_loss == amender.transaction.loss;",
    "const is_own = disk.heap_count > 0;",
  ),
  mutant(
    "a block of amendments is changed for those who share it",
    "core amendments",
    "amendments",
    "            if (block.references > 1) {",
    "            if (false) {",
  ),
  mutant(
    "columns are believed of rows that were amended later",
    "filtered_search amendments",
    "row_filter",
    "            if (has_columns) forgetStale(segment, row, &verdict);\n",
    "",
  ),
  mutant(
    "an orphan's amendments of durable rows are not looked at",
    "amendments",
    "adoption",
    "    if (same) try readAmended(context, reader, state, segment, base.?);\n",
    "",
  ),
  mutant(
    "amendments waste without bound",
    "amendments churn",
    "amender",
    "        if (!mayWaste(&segment.disk, left, limits.amended_part)) return false;\n",
    "",
  ),
  mutant(
    "pages of a segment's amendments are kept when it goes",
    "amendments crash",
    "transaction",
    "        try segment.amendments.leave(writer, disk);\n",
    "",
  ),
];
