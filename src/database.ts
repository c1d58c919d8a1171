/**
 * A vector database in one file.
 *
 * @example
 * ```ts
 * using db = new Database("app.vl");
 * const docs = db.collection("docs", { dimension: 1536 });
 * db.transaction(() => {
 *   docs.delete("old");
 *   docs.upsert("new", vector, { lang: "en" });
 * });
 * ```
 *
 * @module
 */

import { Collection } from "./collection.ts";
import { compact } from "./compact.ts";
import { Connection } from "./connection.ts";
import { invalidArgument, VectorLiteError } from "./errors.ts";
import { backup, verify } from "./jobs.ts";
import { native, Status } from "./native/native.ts";
import { collectionNames } from "./names.ts";
import { durabilities, metrics, openDatabase, openDatabaseBytes, openRecords } from "./open.ts";
import {
  booleanOption,
  busyTimeoutDefaultMs,
  cacheSizeDefault,
  cacheSizeMax,
  checkFunction,
  checkOptions,
  checkText,
  integerOption,
  type Known,
  memoryBudgetDefaultBytes,
  notYet,
  textOption,
  wordOption,
} from "./options.ts";
import { type Records, subjectOf } from "./records.ts";
import { Snapshot } from "./snapshot.ts";
import { SnapshotScope } from "./snapshot-scope.ts";
import { failure } from "./status.ts";
import type {
  BackupOptions,
  CompactOptions,
  CollectionOptions,
  DatabaseOptions,
  DatabaseStats,
  Metadata,
  MetadataOf,
  VerifyOptions,
  VerifyResult,
} from "./types.ts";
import { isDetached, isUint8Array, lengthOf } from "./typed-arrays.ts";
import { encoder } from "./utf8.ts";
import { dimensionMax } from "./vectors.ts";

const knownDatabaseOptions: Known = {
  readonly: true,
  create: true,
  durability: true,
  busyTimeout: true,
  memoryBudget: true,
  olderRoot: true,
};

const knownCollectionOptions: Known = {
  dimension: true,
  metric: true,
  model: true,
  create: true,
  cacheSize: true,
  namespace: notYet,
};

const uint32Max = 0xffffffff;

interface OpenCollection {
  readonly records: Records;
  readonly cacheSize: number;
}

/**
 * An open database file. Every method throws {@link VectorLiteError} ERR_CLOSED after `close()`.
 *
 * Any number of processes may have the file open. One writes at a time, the others wait up to
 * `busyTimeout`; readers never wait and always see one committed state.
 */
export class Database implements Disposable {
  readonly #connection: Connection;
  readonly #open = new Map<string, OpenCollection>();

  /**
   * Opens a file, or creates it.
   *
   * @param path - The file; `":memory:"` keeps nothing.
   * @param options - See {@link DatabaseOptions}.
   * @throws {@link VectorLiteError} ERR_INVALID_ARGUMENT, ERR_NOT_A_DATABASE, ERR_VERSION,
   * ERR_CORRUPT, ERR_IO, ERR_NO_SPACE, ERR_READONLY, ERR_LOCKED, ERR_NATIVE_LIBRARY
   * @example
   * ```ts
   * const db = new Database("app.vl", { durability: "normal" });
   * ```
   */
  constructor(path: string, options?: DatabaseOptions);
  /** @internal */
  constructor(connection: Connection);
  constructor(source: string | Connection, options?: DatabaseOptions) {
    this.#connection = source instanceof Connection ? source : open(source, options);
  }

  /**
   * Opens the bytes of a database file, read-only. They are copied.
   *
   * @param bytes - The content of a file, for example `await Bun.file(path).bytes()`.
   * @throws {@link VectorLiteError} ERR_INVALID_ARGUMENT, ERR_NOT_A_DATABASE, ERR_VERSION,
   * ERR_CORRUPT, ERR_NATIVE_LIBRARY
   * @example
   * ```ts
   * const db = Database.fromBytes(new Uint8Array(await response.arrayBuffer()));
   * ```
   */
  static fromBytes(bytes: Uint8Array | ArrayBuffer): Database {
    return databaseOf(bytes);
  }

  /**
   * Opens a collection, or creates it where `dimension` is given.
   *
   * @param name - At most 255 bytes of UTF-8.
   * @param options - See {@link CollectionOptions}. What is given must agree with what is stored,
   * and a collection that is open already stays as it was opened.
   * @throws {@link VectorLiteError} ERR_INVALID_ARGUMENT, ERR_DIMENSION, ERR_MODEL, ERR_READONLY,
   * ERR_LOCKED, ERR_NO_SPACE, ERR_CLOSED
   * @example
   * ```ts
   * const docs = db.collection<{ lang: string }>("docs", { dimension: 1536, metric: "cosine" });
   * ```
   */
  collection<Doc extends MetadataOf<Doc> = Metadata>(
    name: string,
    options?: CollectionOptions,
  ): Collection<Doc> {
    const connection = this.#connection;
    connection.checkOpen();
    const checked = checkCollection(name, options);
    const records = openRecords(connection, {
      ...checked,
      create: checked.create && checked.dimension > 0 && connection.writable,
      keepsRows: true,
    });
    if (records === undefined) throw this.#noCollection(checked.subject, checked.create);
    // One native collection per name: a second open has checked the options that are stored.
    const known = this.#open.get(name);
    // Whoever renames a collection may be somebody else, who knows no name of here.
    if (known?.records.isOpen === true && known.records.name === name) {
      native().vl_close(records.id);
      if (options?.cacheSize !== undefined) checkCacheSize(known, checked.cacheSize);
      return new Collection<Doc>(known.records);
    }
    this.#open.set(name, { records, cacheSize: checked.cacheSize });
    return new Collection<Doc>(records);
  }

  #noCollection(subject: string, create: boolean): VectorLiteError {
    const advice = !this.#connection.writable
      ? "and the database is read-only"
      : create
        ? "pass its dimension to create it"
        : "and create is false";
    return new VectorLiteError("ERR_INVALID_ARGUMENT", `${subject} does not exist; ${advice}.`);
  }

  /**
   * The names of all collections.
   *
   * @throws {@link VectorLiteError} ERR_CLOSED
   */
  collections(): string[] {
    this.#connection.checkOpen();
    return collectionNames(this.#connection);
  }

  /**
   * Deletes a collection with all its records.
   *
   * @returns Whether there was one.
   * @throws {@link VectorLiteError} ERR_READONLY, ERR_LOCKED, ERR_NO_SPACE, ERR_CLOSED
   */
  dropCollection(name: string): boolean {
    const connection = this.#connection;
    connection.checkWritable();
    const bytes = encoder.encode(checkText(name, "The name"));
    connection.beforeWrite();
    const status = connection.native.vl_database_drop_collection(
      connection.id,
      bytes,
      bytes.length,
    );
    if (status === Status.NOT_FOUND) return false;
    if (status !== Status.OK) throw failure(status, connection.subject);
    this.#open.delete(name);
    connection.wrote();
    return true;
  }

  /**
   * Gives a collection another name. Its records stay where they are, and every open `Collection`
   * of it goes on under the new name, also in other processes; a snapshot keeps the old one. It is
   * a write like others: a part of a transaction where one runs, and rolled back with it.
   *
   * @param from - Its name. The same name as `to` changes nothing.
   * @param to - At most 255 bytes of UTF-8, the name of no other collection.
   * @throws {@link VectorLiteError} ERR_INVALID_ARGUMENT where there is no collection `from`, where
   * there is one called `to` already, and where a name is none; ERR_READONLY, ERR_LOCKED,
   * ERR_NO_SPACE, ERR_POISONED, ERR_CLOSED
   * @example
   * ```ts
   * // A new index takes the place of the old one, for everybody at once.
   * db.transaction(() => {
   *   db.dropCollection("docs");
   *   db.renameCollection("docs next", "docs");
   * });
   * ```
   */
  renameCollection(from: string, to: string): void {
    const connection = this.#connection;
    connection.checkWritable();
    const subject = subjectOf(checkText(from, "The name"));
    const before = encoder.encode(from);
    const after = encoder.encode(checkText(to, "The new name"));
    connection.beforeWrite();
    const status = connection.native.vl_database_rename_collection(
      connection.id,
      before,
      before.length,
      after,
      after.length,
    );
    if (status === Status.NOT_FOUND) {
      throw new VectorLiteError("ERR_INVALID_ARGUMENT", `${subject} does not exist.`);
    }
    if (status !== Status.OK) {
      throw failure(status, `${subject} as ${JSON.stringify(to)}`);
    }
    const known = this.#open.get(from);
    if (known !== undefined && from !== to) {
      this.#open.delete(from);
      this.#open.set(to, known);
      known.records.callNow(to);
    }
    connection.wrote();
  }

  /**
   * Runs `body`; all it writes, in any collection, becomes visible together or, if it throws, not
   * at all. A call inside another one joins it.
   *
   * @param body - Synchronous: one that returns a promise is refused and rolled back; see
   * {@link transactionAsync}.
   * @returns What `body` returned.
   * @throws {@link VectorLiteError} ERR_INVALID_ARGUMENT, ERR_READONLY, ERR_LOCKED, ERR_NO_SPACE,
   * ERR_POISONED, ERR_CLOSED, and whatever `body` throws
   * @example
   * ```ts
   * db.transaction(() => {
   *   docs.delete("draft");
   *   docs.upsert("final", vector);
   * });
   * ```
   */
  transaction<Result>(body: () => Result extends PromiseLike<unknown> ? never : Result): Result {
    checkFunction(body, "The callback of transaction()");
    return this.#connection.transaction(body);
  }

  /**
   * Runs `body`, which may await; all that it writes, in any collection, becomes visible together
   * when its promise resolves or, if it throws or rejects, not at all. The write lock is held
   * meanwhile, so do slow work before it where you can.
   *
   * Inside is what `body` calls and starts, through every `await`: it sees what the transaction has
   * written, and a transaction of either kind in there joins it. All other code of this process
   * that uses the same handle meanwhile is outside, and never a part of it:
   *
   * - it reads what is committed; snapshots, iterators, searches and backups do too;
   * - `transactionAsync()`, `collection.import()` and `compact()` wait for their turn, in order;
   * - a synchronous write or `transaction()` cannot wait and throws ERR_LOCKED. Where requests of a
   *   server write beside each other, write in `transactionAsync(() => docs.upsert(…))`;
   * - `flush()` makes durable what was committed before.
   *
   * Await all that `body` starts: what goes on after its promise has settled is outside, and what
   * it then writes is committed by itself. Transactions that joined are waited for. Until another
   * process has written, up to `busyTimeout`, the event loop goes on. `close()` rolls back.
   *
   * @param body - Called at the earliest when this call has returned. Where it returns no promise,
   * the commit comes before any other code.
   * @returns What `body` returned, when it is committed.
   * @throws {@link VectorLiteError} (as a rejection) ERR_INVALID_ARGUMENT, also inside of a
   * synchronous transaction; ERR_READONLY, ERR_LOCKED, ERR_NO_SPACE, ERR_POISONED, ERR_CLOSED also
   * where the database is closed meanwhile; and whatever `body` throws
   * @example
   * ```ts
   * await db.transactionAsync(async () => {
   *   const draft = docs.get("draft");
   *   docs.upsert("final", await embed(await rewrite(draft)));
   *   docs.delete("draft");
   * });
   * ```
   */
  async transactionAsync<Result>(body: () => Result | PromiseLike<Result>): Promise<Result> {
    checkFunction(body, "The callback of transactionAsync()");
    return this.#connection.transactionAsync(body);
  }

  /**
   * Keeps the state of this moment readable while the database moves on.
   *
   * @throws {@link VectorLiteError} ERR_CLOSED, ERR_IO
   * @example
   * ```ts
   * using snap = db.snapshot();
   * const before = snap.collection("docs").size;
   * ```
   */
  snapshot(): Snapshot {
    return new Snapshot(new SnapshotScope(this.#connection));
  }

  /**
   * Makes everything so far durable; returns when a power loss can no longer take it back.
   *
   * @throws {@link VectorLiteError} ERR_NO_SPACE, ERR_IO, ERR_POISONED, ERR_CLOSED
   */
  flush(): void {
    this.#connection.flush();
  }

  /**
   * Sizes in bytes and counts; measured, not estimated.
   *
   * @throws {@link VectorLiteError} ERR_CLOSED
   */
  stats(): DatabaseStats {
    this.#connection.checkOpen();
    return this.#connection.stats();
  }

  /**
   * Copies the state of this moment to a new file, in slices between which other work goes on.
   * The copy is complete and durable when the promise resolves. Rows are copied as they are;
   * whether they are whole is what `verify()` tells.
   *
   * @param path - A file that does not exist yet. Where the backup fails it is removed.
   * @param options - `onProgress` is called after every slice.
   * @throws {@link VectorLiteError} (as a rejection) ERR_INVALID_ARGUMENT where `path` exists;
   * ERR_IO, ERR_NO_SPACE, ERR_CORRUPT, ERR_OUT_OF_MEMORY, ERR_CLOSED
   * @example
   * ```ts
   * await db.backup("copy.vl", { onProgress: ({ done, total }) => bar.update(done / total) });
   * ```
   */
  async backup(path: string, options?: BackupOptions): Promise<void> {
    checkText(path, "The path of a backup");
    const { onProgress } = checkOptions(options, { onProgress: true }, "backup()");
    if (onProgress !== undefined) checkFunction(onProgress, "onProgress");
    await backup(this.#connection, path, onProgress);
  }

  /**
   * Reads the whole file and says what is wrong with it: every checksum of the newest state, every
   * row against the key index, the header, the root slots, and the older states that are kept.
   *
   * It sees the state of the call and reads from the file, never from a cache, in slices between
   * which other work goes on; writers do not wait for it. Damage is a finding, not an exception.
   *
   * @param options - `onProgress` is called after every slice.
   * @returns See {@link VerifyResult}.
   * @throws {@link VectorLiteError} (as a rejection) ERR_INVALID_ARGUMENT, ERR_OUT_OF_MEMORY,
   * ERR_CLOSED where the database is closed meanwhile; ERR_CORRUPT where not even a snapshot can
   * be opened any more, because the file was cut off or lost all roots
   * @example
   * ```ts
   * const { ok, errors, bytes } = await db.verify();
   * if (!ok) for (const { offset, kind, message } of errors) console.error(offset, kind, message);
   * ```
   */
  async verify(options?: VerifyOptions): Promise<VerifyResult> {
    const { onProgress } = checkOptions(options, { onProgress: true }, "verify()");
    if (onProgress !== undefined) checkFunction(onProgress, "onProgress");
    return verify(this.#connection, onProgress);
  }

  /**
   * Gives space that is no longer needed back to the file system, in slices between which other
   * work goes on. Space of replaced and deleted records is used again without it; this makes the
   * file smaller, after much was deleted. What a snapshot or another reader of an older state
   * still needs stays for a later call.
   *
   * @param options - `onProgress` is called after every slice.
   * @throws {@link VectorLiteError} (as a rejection) ERR_INVALID_ARGUMENT, ERR_READONLY, ERR_IO,
   * ERR_NO_SPACE, ERR_LOCKED, ERR_POISONED, ERR_CORRUPT, ERR_OUT_OF_MEMORY, ERR_CLOSED
   * @example
   * ```ts
   * await db.compact({ onProgress: ({ done, total }) => bar.update(done / total) });
   * ```
   */
  async compact(options?: CompactOptions): Promise<void> {
    const { onProgress } = checkOptions(options, { onProgress: true }, "compact()");
    if (onProgress !== undefined) checkFunction(onProgress, "onProgress");
    await compact(this.#connection, onProgress);
  }

  /**
   * Flushes and closes the database with its collections and snapshots. Closing twice is fine.
   *
   * @throws {@link VectorLiteError} where the flush fails; it is closed all the same.
   */
  close(): void {
    this.#open.clear();
    this.#connection.close();
  }

  /** Closes the database at the end of a `using` block. */
  [Symbol.dispose](): void {
    this.close();
  }
}

function checkCacheSize({ records, cacheSize }: OpenCollection, found: number): void {
  if (found === cacheSize) return;
  throw new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    `${records.info.subject} is open already with cacheSize ${cacheSize}; found ${found}. Pass ` +
      "it where the collection is opened first, or close the database before.",
  );
}

/** Not in the class: esbuild renames one that names itself, and it prints as `_Database` then. */
function databaseOf(bytes: Uint8Array | ArrayBuffer): Database {
  const view = viewOf(bytes);
  const length = lengthOf(view);
  if (length === 0) {
    throw new VectorLiteError(
      "ERR_NOT_A_DATABASE",
      "The image has no bytes; expected the content of a VectorLite file.",
    );
  }
  if (length > uint32Max) {
    throw invalidArgument("The bytes", `at most ${uint32Max} bytes`, view);
  }
  return new Database(openDatabaseBytes(view, length));
}

function viewOf(bytes: unknown): Uint8Array {
  if (isUint8Array(bytes)) return bytes;
  if (!(bytes instanceof ArrayBuffer)) {
    throw invalidArgument("The bytes", "a Uint8Array or an ArrayBuffer", bytes);
  }
  if (isDetached(bytes)) {
    throw invalidArgument("The bytes", "in a buffer that was not transferred", bytes);
  }
  return new Uint8Array(bytes);
}

function open(path: string, options: DatabaseOptions | undefined): Connection {
  const checkedPath = checkText(path, "The path of a database");
  const given = checkOptions(options, knownDatabaseOptions, "a database");
  const readonly = booleanOption(given.readonly, "readonly", false);
  const create = booleanOption(given.create, "create", !readonly);
  if (readonly && create) {
    throw new VectorLiteError(
      "ERR_INVALID_ARGUMENT",
      "readonly and create exclude each other; leave one of them out.",
    );
  }
  const olderRoot = integerOption(given.olderRoot, "olderRoot", {
    min: 0,
    max: uint32Max,
    fallback: 0,
  });
  if (olderRoot > 0 && !readonly) {
    throw new VectorLiteError(
      "ERR_INVALID_ARGUMENT",
      "An older state can only be read; with olderRoot, pass readonly: true.",
    );
  }
  return openDatabase({
    path: checkedPath,
    readonly,
    create,
    durability: wordOption(given.durability, "durability", durabilities, 0),
    busyTimeoutMs: integerOption(given.busyTimeout, "busyTimeout", {
      min: 0,
      max: uint32Max,
      fallback: busyTimeoutDefaultMs,
    }),
    memoryBudgetBytes: integerOption(given.memoryBudget, "memoryBudget", {
      min: 0,
      max: Number.MAX_SAFE_INTEGER,
      fallback: memoryBudgetDefaultBytes,
    }),
    olderRoot,
  });
}

function checkCollection(
  name: string,
  options: CollectionOptions | undefined,
): Parameters<typeof openRecords>[1] {
  checkText(name, "The name of a collection");
  const given = checkOptions(options, knownCollectionOptions, "a collection");
  return {
    name,
    dimension: integerOption(given.dimension, "dimension", {
      min: 1,
      max: dimensionMax,
      fallback: 0,
    }),
    metric: wordOption(given.metric, "metric", metrics, -1),
    model: textOption(given.model, "model", ""),
    create: booleanOption(given.create, "create", true),
    cacheSize: integerOption(given.cacheSize, "cacheSize", {
      min: 0,
      max: cacheSizeMax,
      fallback: cacheSizeDefault,
    }),
    subject: subjectOf(name),
  };
}
