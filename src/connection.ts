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
import { check, closed, failure, readonlyError } from "./status.ts";
import type { DatabaseStats } from "./types.ts";

/** `normal` promises that a power loss costs at most this much. */
const flushDelayMs = 1000;

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

/** One open database. */
export class Connection implements Scope {
  readonly native: NativeLibrary = native();
  readonly id: number;
  readonly subject: string;
  readonly writable: boolean;
  readonly #durability: number;
  readonly #unregister: () => void;
  #open = true;
  #timer: NodeJS.Timeout | undefined;
  #flushFailure: unknown;
  /** Whether power loss could undo what this connection has committed. */
  #unflushed = false;
  #depth = 0;
  #innerFailure: { readonly error: unknown } | undefined;

  constructor(id: number, subject: string, writable: boolean, durability: number) {
    this.id = id;
    this.subject = subject;
    this.writable = writable;
    this.#durability = durability;
    this.#unregister = closeWithProcess(this, id);
  }

  get connection(): this {
    return this;
  }

  /** Whether a transaction of this connection is running. */
  get inTransaction(): boolean {
    return this.#depth > 0;
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

  /** After every write: sees to it that it becomes durable in time. */
  wrote(): void {
    if (this.#durability === Durability.FULL || this.#depth > 0) return;
    this.#unflushed = true;
    if (this.#durability === Durability.NORMAL && this.#timer === undefined) this.#flushSoon();
  }

  /** Before every write: reports a flush that failed while nobody was there to catch it. */
  beforeWrite(): void {
    const error = this.#flushFailure;
    if (error === undefined) return;
    this.#flushFailure = undefined;
    throw error;
  }

  /** Does not wait for another writer, who must not stop this event loop: it tries again then. */
  #flushSoon(): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      // A transaction is synchronous, so none can be running here.
      const status = this.#flushNow(0);
      if (status === Status.LOCKED) this.#flushSoon();
      else if (status !== Status.OK) this.#flushFailure = failure(status, this.subject);
    }, flushDelayMs);
    this.#timer.unref();
  }

  /** `waits` is 1 where the flush waits for another writer up to busyTimeout, else 0. */
  #flushNow(waits: 0 | 1): number {
    const status = this.native.vl_database_flush(this.id, waits);
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
    if (this.#depth > 0) {
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
    };
  }

  /** Runs `body` as one transaction, or as a part of the one that is running. */
  transaction<Result>(body: () => Result): Result {
    this.checkWritable();
    if (this.#depth === 0) {
      this.beforeWrite();
      check(this.native.vl_transaction_begin(this.id), this.subject);
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

  #leaveFailed(error: unknown): void {
    if (!this.#open) return;
    this.#depth--;
    if (this.#depth > 0) {
      this.#innerFailure ??= { error };
      return;
    }
    this.#innerFailure = undefined;
    this.native.vl_transaction_rollback(this.id);
  }

  #leave(): void {
    this.checkOpen();
    this.#depth--;
    if (this.#depth > 0) return;
    const inner = this.#innerFailure;
    this.#innerFailure = undefined;
    if (inner !== undefined) {
      this.native.vl_transaction_rollback(this.id);
      throw caughtInside(inner.error);
    }
    const status = this.native.vl_transaction_commit(this.id);
    if (status !== Status.OK) {
      const error = failure(status, this.subject);
      this.native.vl_transaction_rollback(this.id);
      throw error;
    }
    this.wrote();
  }

  /** Flushes its own commits and closes, with all collections and snapshots. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#cancelFlush();
    this.#unregister();
    if (this.#depth > 0) this.native.vl_transaction_rollback(this.id);
    const status = this.#unflushed ? this.#flushNow(1) : Status.OK;
    const error = status === Status.OK ? this.#flushFailure : failure(status, this.subject);
    this.native.vl_close(this.id);
    if (error !== undefined) throw error;
  }
}

/** A promise goes on after the commit, so what it writes would not be part of the transaction. */
function refusePromise(result: unknown): void {
  if (typeof result !== "object" || result === null || !("then" in result)) return;
  if (typeof result.then !== "function") return;
  Promise.resolve(result).catch(() => undefined);
  throw new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    "The callback of transaction() returned a promise; a transaction is synchronous. Await " +
      "first, then write everything in a plain function.",
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
