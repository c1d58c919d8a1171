/**
 * An open database as the rest of `src/` shares it: the native handle, its transactions, and the
 * timer that makes `normal` durability true.
 *
 * The public classes are faces over it. They hold it, never the other way round, so a database
 * lives exactly as long as somebody can reach it or one of its collections.
 *
 * @module
 */

import { VectorLiteError } from "./errors.ts";
import { closeWithProcess } from "./lifetime.ts";
import {
  Durability,
  databaseStatsFields,
  type NativeLibrary,
  native,
  Status,
} from "./native/native.ts";
import { Rest } from "./rest.ts";
import { check, closed, failure, readonlyError } from "./status.ts";
import { AsyncTransaction, isThenable, Turns } from "./turns.ts";
import type { DatabaseStats } from "./types.ts";

/** `normal` promises that a power loss costs at most this much. */
const flushDelayMs = 1000;

/** How long an asynchronous transaction sleeps at most before it asks for the lock again. */
const lockPauseMs = 10;

/** What collections are opened in: a database as it moves on, or one state of it. */
export interface Scope {
  readonly connection: Connection;
  /** The native handle of the database or snapshot. */
  readonly id: number;
  /** What messages call it. */
  readonly subject: string;
  /** False where nothing can be written: a snapshot, a read-only database, a byte image. */
  readonly writable: boolean;
}

/** What a connection is of. */
export interface OpenedFile {
  /** The native handle. */
  readonly id: number;
  readonly subject: string;
  readonly writable: boolean;
  /** The number of a durability. */
  readonly durability: number;
  readonly busyTimeoutMs: number;
  /** The file has a maximum. */
  readonly isBounded: boolean;
}

/** Who is told of writes. */
export interface WriteWatch {
  /** Before each one. */
  before(): void;
  /** After each commit. */
  after(): void;
}

/** One open database. */
export class Connection implements Scope {
  readonly native: NativeLibrary = native();
  readonly subject: string;
  readonly writable: boolean;
  readonly isBounded: boolean;
  readonly #id: number;
  readonly #durability: number;
  readonly #busyTimeoutMs: number;
  readonly #unregister: () => void;
  readonly #rest: Rest;
  #open = true;
  #timer: NodeJS.Timeout | undefined;
  #flushFailure: unknown;
  /** Whether power loss could undo what this connection has committed. */
  #unflushed = false;
  /** Calls of `transaction` that are running, one inside the other. */
  #depth = 0;
  /** The asynchronous transaction that is running. */
  #async: AsyncTransaction | undefined;
  /** Whether the engine takes calls to be no part of it. */
  #isAside = false;
  #innerFailure: { readonly error: unknown } | undefined;
  /** Of those that may wait; most handles never have any. */
  #turns: Turns | undefined;
  #watch: WriteWatch | undefined;

  constructor({ id, subject, writable, durability, busyTimeoutMs, isBounded }: OpenedFile) {
    this.#id = id;
    this.subject = subject;
    this.writable = writable;
    this.isBounded = isBounded;
    this.#durability = durability;
    this.#busyTimeoutMs = busyTimeoutMs;
    this.#unregister = closeWithProcess(this, id);
    this.#rest = new Rest(id);
    // Opening reads, and perhaps nothing else ever does.
    this.#rest.end();
  }

  get connection(): this {
    return this;
  }

  /** The native handle, for a call that comes at once. */
  get id(): number {
    this.chooseSide();
    return this.#id;
  }

  /**
   * Before every call of the engine: tells it whether the caller is inside of the asynchronous
   * transaction that is running. Who is not sees what is committed, and cannot write.
   */
  chooseSide(): void {
    if (this.#rest.isResting && this.#open) this.#rest.end();
    if (this.#async !== undefined) this.#setAside(!this.#async.isInside);
  }

  #setAside(isAside: boolean): void {
    if (isAside === this.#isAside) return;
    this.#isAside = isAside;
    this.native.vl_transaction_set_aside(this.#id, isAside ? 1 : 0);
  }

  /** Whether the caller is inside of a transaction of this connection. */
  get inTransaction(): boolean {
    return this.#depth > 0 || this.#async?.isInside === true;
  }

  #takeTurn<Result>(work: () => Result | PromiseLike<Result>): Promise<Result> {
    this.#turns ??= new Turns();
    return this.#turns.take(work);
  }

  /**
   * Does work that needs the handle for itself when its turn comes. Inside of a transaction it is
   * a part of that, and done at once.
   */
  async inTurn<Result>(work: () => Result): Promise<Result> {
    return this.inTransaction ? work() : this.#takeTurn(work);
  }

  /** Whether it was not closed yet. */
  get isOpen(): boolean {
    return this.#open;
  }

  /** @throws VectorLiteError ERR_CLOSED */
  checkOpen(): void {
    if (!this.#open) throw closed(this.subject);
  }

  /** @throws VectorLiteError ERR_CLOSED, ERR_READONLY */
  checkWritable(): void {
    this.checkOpen();
    if (!this.writable) throw readonlyError(this.subject, this.subject);
  }

  /**
   * After every write: sees to it that it becomes durable in time. Whoever watches may run the
   * caller's code, so nothing that others use may be lent meanwhile.
   */
  wrote(): void {
    if (this.#isRunning) return;
    if (this.#durability !== Durability.FULL) {
      this.#unflushed = true;
      if (this.#durability === Durability.NORMAL && this.#timer === undefined) this.#flushSoon();
    }
    this.#watch?.after();
  }

  /** Tells of writes from now on. */
  watch(watch: WriteWatch): void {
    this.#watch = watch;
  }

  /** Before every write: reports a flush that failed while nobody was there to catch it. */
  beforeWrite(): void {
    this.#watch?.before();
    const error = this.#flushFailure;
    if (error === undefined) return;
    this.#flushFailure = undefined;
    throw error;
  }

  /** Does not wait for another writer, who must not stop this event loop: it tries again then. */
  #flushSoon(): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      const status = this.#flushNow(0);
      if (status === Status.LOCKED) this.#flushSoon();
      else if (status !== Status.OK) this.#flushFailure = failure(status, this.subject);
    }, flushDelayMs);
    this.#timer.unref();
  }

  /** `waits` is 1 where the flush waits for another writer up to busyTimeout, else 0. */
  #flushNow(waits: 0 | 1): number {
    // Of an asynchronous transaction that is running nothing is flushed, but what was before it.
    if (this.#async !== undefined) this.#setAside(true);
    const status = this.native.vl_database_flush(this.#id, waits);
    if (status === Status.OK) this.#unflushed = false;
    return status;
  }

  #cancelFlush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Makes everything so far durable. */
  flush(): void {
    this.checkOpen();
    if (this.inTransaction) {
      throw new VectorLiteError(
        "ERR_INVALID_ARGUMENT",
        "flush() was called inside a transaction, which is not committed yet; call it afterwards.",
      );
    }
    this.#cancelFlush();
    this.beforeWrite();
    if (this.writable) check(this.#flushNow(1), this.subject);
  }

  /** Sizes and counts of the whole file. */
  stats(): DatabaseStats {
    const numbers = new Float64Array(databaseStatsFields.length);
    const count = new Uint32Array(1);
    const status = this.native.vl_database_stats(this.id, numbers, numbers.length, count);
    check(status, this.subject);
    const field = (name: (typeof databaseStatsFields)[number]): number =>
      numbers[databaseStatsFields.indexOf(name)] ?? 0;
    return {
      fileSize: field("file_bytes"),
      indexSize: field("index_bytes"),
      collections: field("collection_count"),
      transactionId: field("transaction_id"),
      durableTransactionId: field("durable_transaction_id"),
      memoryUsage: field("memory_bytes"),
      snapshots: field("snapshot_count"),
      oldestSnapshotMs: field("oldest_snapshot_ms"),
      heldBytes: Number.isNaN(field("held_bytes")) ? undefined : field("held_bytes"),
    };
  }

  get #isRunning(): boolean {
    return this.#depth > 0 || this.#async !== undefined;
  }

  /** Runs `body` as one transaction, or as a part of the one that is running. */
  transaction<Result>(body: () => Result): Result {
    this.checkWritable();
    if (!this.inTransaction) {
      this.beforeWrite();
      check(this.native.vl_transaction_begin(this.id, 1), this.subject);
    }
    this.#depth++;
    let result: Result;
    try {
      result = body();
      refusePromise(result);
    } catch (error) {
      this.#leaveFailed(error);
      throw error;
    }
    this.#leave();
    return result;
  }

  /**
   * Whether a transaction of its own that ended with `error` is worth another try, because entries
   * made room for its `rows`. Of a file with a maximum nobody knows that before.
   */
  makeRoom(error: unknown, rows: number, dimension: number): boolean {
    const isFull = error instanceof VectorLiteError && error.code === "ERR_NO_SPACE";
    if (!isFull || !this.isBounded || this.inTransaction) return false;
    if (this.native.vl_database_make_room(this.id, rows, dimension) !== Status.OK) return false;
    this.wrote();
    return true;
  }

  #leaveFailed(error: unknown): void {
    if (!this.#open) return;
    this.#depth--;
    if (this.#isRunning) this.#innerFailure ??= { error };
    else this.#rollback();
  }

  #leave(): void {
    this.checkOpen();
    this.#depth--;
    if (!this.#isRunning) this.#commit();
  }

  #rollback(): void {
    this.#innerFailure = undefined;
    this.native.vl_transaction_rollback(this.#id);
  }

  #commit(): void {
    const inner = this.#innerFailure;
    if (inner !== undefined) {
      this.#rollback();
      throw caughtInside(inner.error);
    }
    const status = this.native.vl_transaction_commit(this.#id);
    if (status !== Status.OK) {
      const error = failure(status, this.subject);
      this.#rollback();
      throw error;
    }
    this.wrote();
  }

  /**
   * Runs `body` as one transaction that lasts until its promise has settled, when those before it
   * are over, or as a part of the one that the caller is inside of.
   */
  async transactionAsync<Result>(body: () => Result | PromiseLike<Result>): Promise<Result> {
    this.checkWritable();
    this.checkNotSynchronous();
    const running = this.#async;
    if (running?.isInside) {
      return running.join(body, (error) => {
        if (this.#async === running) this.#innerFailure ??= { error };
      });
    }
    return this.#takeTurn(() => this.#runAsync(body));
  }

  /** Refuses to begin in a synchronous transaction what would outlast it. */
  checkNotSynchronous(): void {
    if (this.#depth > 0) throw insideSynchronous();
  }

  async #runAsync<Result>(body: () => Result | PromiseLike<Result>): Promise<Result> {
    const startMs = performance.now();
    for (let pauseMs = 1; !this.#tryBegin(startMs); pauseMs = Math.min(pauseMs * 2, lockPauseMs)) {
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    // No other code runs between the begin and this.
    const running = new AsyncTransaction();
    this.#async = running;
    this.#isAside = false;
    let result: Result;
    try {
      const begun = running.run(body);
      // What is not waited for is committed at once: nobody is kept out by it.
      result = isThenable(begun) ? await running.waitFor(begun) : begun;
      if (running.hasJoined) await running.waitForJoined();
    } catch (error) {
      // What joined would be outside if it were not waited for, and commit what it writes.
      if (running.hasJoined) await running.waitForJoined().catch(() => undefined);
      if (this.#endAsync(running)) this.#rollback();
      throw error;
    }
    this.checkOpen();
    this.#endAsync(running);
    this.#commit();
    return result;
  }

  /** False where another connection is writing: it is asked again, which stops nobody here. */
  #tryBegin(startMs: number): boolean {
    this.checkOpen();
    this.beforeWrite();
    const status = this.native.vl_transaction_begin(this.#id, 0);
    if (status === Status.OK) return true;
    if (status !== Status.LOCKED) throw failure(status, this.subject);
    const waitedMs = Math.round(performance.now() - startMs);
    if (waitedMs < this.#busyTimeoutMs) return false;
    throw new VectorLiteError(
      "ERR_LOCKED",
      `${this.subject}: another connection has been writing for ${waitedMs} ms, longer than the ` +
        `busy timeout of ${this.#busyTimeoutMs} ms; repeat the call, raise busyTimeout, or end ` +
        "the other transaction.",
    );
  }

  /** False where the connection was closed meanwhile. */
  #endAsync(running: AsyncTransaction): boolean {
    if (this.#async !== running) return false;
    this.#async = undefined;
    running.end();
    return true;
  }

  /** Flushes its own commits and closes, with all collections and snapshots. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#cancelFlush();
    this.#unregister();
    if (this.#isRunning) this.native.vl_transaction_rollback(this.#id);
    this.#async?.stop(closed(this.subject));
    this.#async = undefined;
    const status = this.#unflushed ? this.#flushNow(1) : Status.OK;
    const error = status === Status.OK ? this.#flushFailure : failure(status, this.subject);
    this.native.vl_close(this.#id);
    this.#rest.ask();
    if (error !== undefined) throw error;
  }
}

/** A promise goes on after the commit, so what it writes would not be part of the transaction. */
function refusePromise(result: unknown): void {
  if (!isThenable(result)) return;
  Promise.resolve(result).catch(() => undefined);
  throw new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    "The callback of transaction() returned a promise; such a transaction is synchronous. Use " +
      "transactionAsync(), or await first and write everything in a plain function.",
  );
}

function insideSynchronous(): VectorLiteError {
  return new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    "Asynchronous work that writes was begun inside of transaction(), which is over before it " +
      "could be; use transactionAsync() for the outer one too.",
  );
}

function caughtInside(error: unknown): VectorLiteError {
  const reason = error instanceof Error ? error.message : String(error);
  return new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    `A transaction inside this one failed (${reason}) and its error was caught. Nested ` +
      "transactions join the outer one, so all of it was rolled back; let the error through.",
    { cause: error },
  );
}
