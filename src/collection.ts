/**
 * A collection: records of key, vector and metadata that share a dimension and a metric.
 *
 * @example
 * ```ts
 * const docs = db.collection<{ lang: string }>("docs", { dimension: 1536 });
 * docs.upsert("a", vector, { lang: "en" });
 * const [closest] = docs.search(query, { k: 5 });
 * ```
 *
 * @module
 */

import { searchInBackground, searchOneInBackground } from "./background-search.ts";
import { invalidArgument } from "./errors.ts";
import type { Filter } from "./filter.ts";
import { filterOption } from "./filter-compiler.ts";
import { checkArray, checkOptions, type Known, unknownName } from "./options.ts";
import { measureRecall } from "./recall.ts";
import { Records } from "./records.ts";
import { iterateEntries, iterateKeys } from "./scan.ts";
import { explainSearch, planSearch, search, searchOne } from "./search.ts";
import { exportRecords, importRecords, planExport } from "./transfer.ts";
import type {
  CollectionStats,
  ExportedRecord,
  ExportOptions,
  Hit,
  ImportOptions,
  ImportResult,
  Include,
  IterationOptions,
  Metadata,
  MetadataOf,
  Metric,
  NewRecord,
  RecallOptions,
  RecallReport,
  SearchExplanation,
  SearchOptions,
  StoredRecord,
  VectorBatch,
  VectorLike,
  VectorsLike,
} from "./types.ts";
import { countVectors, packVectors } from "./vectors.ts";
import { writeMany } from "./write.ts";

/**
 * Records of a database, or of one state of it. Made by `database.collection()` and
 * `snapshot.collection()`.
 *
 * `Doc` types the metadata. It is a promise of the program, not checked when reading.
 *
 * Every method throws {@link VectorLiteError} ERR_CLOSED after the database or snapshot is closed
 * or the collection dropped, and may throw ERR_CORRUPT or ERR_IO where the file is damaged.
 */
export class Collection<Doc extends MetadataOf<Doc> = Metadata> {
  readonly #records: Records;

  /** @internal */
  constructor(records: Records) {
    if (!(records instanceof Records)) {
      throw invalidArgument("A collection", "opened with database.collection(name)", records);
    }
    this.#records = records;
  }

  /** The name of the collection now; see `database.renameCollection()`. */
  get name(): string {
    return this.#records.name;
  }

  /** Numbers in a vector. */
  get dimension(): number {
    return this.#records.dimension;
  }

  /** How closeness is measured. */
  get metric(): Metric {
    return this.#records.info.metric;
  }

  /** Identity of the embedding model; `""` where none was given. */
  get model(): string {
    return this.#records.info.model;
  }

  /**
   * Records in the collection.
   *
   * @throws {@link VectorLiteError} ERR_CLOSED
   */
  get size(): number {
    return this.#records.size;
  }

  /**
   * Inserts a record or replaces the one with its key, metadata included.
   *
   * @param key - A non-empty string of at most 65,536 bytes in UTF-8.
   * @param vector - Copied. Finite numbers, not all zero under cosine.
   * @param metadata - Flat fields. Default: none.
   * @throws {@link VectorLiteError} ERR_KEY, ERR_DIMENSION, ERR_INVALID_VECTOR,
   * ERR_INVALID_ARGUMENT, ERR_READONLY, ERR_LOCKED, ERR_NO_SPACE, ERR_POISONED, ERR_CLOSED
   * @example
   * ```ts
   * docs.upsert("a", vector, { lang: "en", year: 2026 });
   * ```
   */
  upsert(key: string, vector: VectorLike, metadata?: Doc): void {
    this.#records.put(key, vector, metadata);
  }

  /**
   * Inserts or replaces many records as one atomic batch: all of them or, after an error, none.
   * Of several records with one key the last wins. A field of another name is an error.
   *
   * @throws {@link VectorLiteError} as {@link upsert}
   * @example
   * ```ts
   * docs.upsertMany([{ key: "a", vector: a, metadata: { lang: "en" } }, { key: "b", vector: b }]);
   * docs.upsertMany(["a", "b"], packed, [{ lang: "en" }, { lang: "de" }]);
   * ```
   */
  upsertMany(records: readonly NewRecord<Doc>[]): void;
  /**
   * The same from columns.
   *
   * @param keys - One key for each record.
   * @param vectors - A list of vectors, or one packed array of n × dimension numbers.
   * @param metadatas - One for each record; `undefined` for none.
   */
  upsertMany(
    keys: readonly string[],
    vectors: VectorsLike,
    metadatas?: readonly (Doc | undefined)[],
  ): void;
  upsertMany(
    first: readonly NewRecord<Doc>[] | readonly string[],
    vectors?: VectorsLike,
    metadatas?: readonly (Doc | undefined)[],
  ): void {
    if (vectors !== undefined) {
      writeMany(this.#records, first as readonly string[], vectors, metadatas);
      return;
    }
    const records = checkArray(first, "The records").map(checkNewRecord);
    writeMany(
      this.#records,
      records.map((record) => record.key),
      records.map((record) => record.vector),
      records.map((record) => record.metadata),
    );
  }

  /**
   * The record of a key, or `undefined`.
   *
   * @throws {@link VectorLiteError} ERR_KEY, ERR_INVALID_ARGUMENT, ERR_CORRUPT, ERR_CLOSED
   */
  get(key: string): StoredRecord<Doc> | undefined {
    return this.#records.getRecord(key) as StoredRecord<Doc> | undefined;
  }

  /**
   * A copy of the vector of a key, or `undefined`.
   *
   * @throws {@link VectorLiteError} ERR_KEY, ERR_INVALID_ARGUMENT, ERR_CORRUPT, ERR_CLOSED
   */
  getVector(key: string): Float32Array | undefined {
    return this.#records.getVector(key);
  }

  /**
   * Copies the vector of a key into `out` and allocates nothing.
   *
   * @param out - A `Float32Array` of `dimension` numbers; undefined content after an error.
   * @returns Whether the key was found; on a miss `out` stays as it was.
   * @throws {@link VectorLiteError} ERR_KEY, ERR_DIMENSION, ERR_INVALID_ARGUMENT, ERR_CORRUPT,
   * ERR_CLOSED
   */
  getInto(key: string, out: Float32Array): boolean {
    return this.#records.getInto(key, out);
  }

  /**
   * The vectors of many keys in one call.
   *
   * @returns Packed vectors in the order of the keys, zeros where one is missing.
   * @throws {@link VectorLiteError} ERR_KEY, ERR_INVALID_ARGUMENT, ERR_CORRUPT, ERR_CLOSED
   */
  getMany(keys: readonly string[]): VectorBatch {
    return this.#records.getMany(keys);
  }

  /**
   * Whether there is a record with that key.
   *
   * @throws {@link VectorLiteError} ERR_KEY, ERR_INVALID_ARGUMENT, ERR_CORRUPT, ERR_CLOSED
   */
  has(key: string): boolean {
    return this.#records.has(key);
  }

  /**
   * Deletes the record of a key.
   *
   * @returns Whether there was one.
   * @throws {@link VectorLiteError} as {@link upsert}
   */
  delete(key: string): boolean {
    return this.#records.delete(key);
  }

  /**
   * Deletes many records as one atomic batch.
   *
   * @returns How many there were.
   * @throws {@link VectorLiteError} as {@link upsert}
   */
  deleteMany(keys: readonly string[]): number {
    return this.#records.deleteMany(keys);
  }

  /**
   * Deletes all records whose metadata match, as one atomic batch.
   *
   * @param filter - Needed, without any `undefined` in it: a value that is missing by mistake
   * deletes nothing. `{}` matches, and so deletes, every record.
   * @returns How many there were.
   * @throws {@link VectorLiteError} as {@link upsert}
   * @example
   * ```ts
   * const deleted = docs.deleteWhere({ source: url, year: { $lt: 2020 } });
   * ```
   */
  deleteWhere(filter: Filter<Doc>): number {
    return this.#records.deleteWhere(filter);
  }

  /**
   * Replaces the metadata of a record, all of it, and leaves its vector as it is. A commit takes
   * most of the time: many of them belong into one transaction.
   *
   * @param metadata - Flat fields; `{}` for none.
   * @returns Whether there is a record with that key.
   * @throws {@link VectorLiteError} as {@link upsert}
   * @example
   * ```ts
   * docs.setMetadata("a", { ...docs.get("a")?.metadata, reviewed: true });
   * ```
   */
  setMetadata(key: string, metadata: Doc): boolean {
    return this.#records.setMetadata(key, metadata);
  }

  /**
   * How many records match, counted. Inside of a transaction its writes count.
   *
   * @param filter - Default: all records.
   * @throws {@link VectorLiteError} ERR_INVALID_ARGUMENT, ERR_CORRUPT, ERR_CLOSED
   * @example
   * ```ts
   * const recent = docs.count({ lang: { $in: ["en", "de"] }, year: { $gte: 2020 } });
   * ```
   */
  count(filter?: Filter<Doc>): number {
    return this.#records.count(filterOption(filter));
  }

  /**
   * Iterates over the keys, in no particular order, as they are at the first step; writes
   * meanwhile are fine and not seen.
   *
   * @param options - `filter`: only keys of records whose metadata match. Default: all.
   * @throws {@link VectorLiteError} ERR_INVALID_ARGUMENT, ERR_CLOSED, ERR_CORRUPT
   * @example
   * ```ts
   * const drafts = [...docs.keys({ filter: { published: { $ne: true } } })];
   * ```
   */
  keys(options?: IterationOptions<Doc>): Generator<string, void, undefined> {
    const given = checkOptions(options, iterationOptions, "keys()");
    const filter = filterOption(given.filter);
    this.#records.checkOpen();
    return iterateKeys(this.#records, filter);
  }

  /**
   * Iterates over the records, in no particular order, as they are at the first step; writes
   * meanwhile are fine and not seen. Begun inside of a transaction it gives the keys of the first
   * step, each record as it is when its turn comes, and leaves out what was deleted by then.
   *
   * @param options - `filter`: only records whose metadata match. Default: all.
   * @throws {@link VectorLiteError} ERR_INVALID_ARGUMENT, ERR_CLOSED, ERR_CORRUPT
   * @example
   * ```ts
   * for (const { key, metadata } of docs.entries({ filter: { lang: "en" } })) print(key, metadata);
   * ```
   */
  entries(options?: IterationOptions<Doc>): Generator<StoredRecord<Doc>, void, undefined> {
    const given = checkOptions(options, iterationOptions, "entries()");
    const filter = filterOption(given.filter);
    this.#records.checkOpen();
    return iterateEntries(this.#records, filter) as Generator<StoredRecord<Doc>, void, undefined>;
  }

  /**
   * Writes all records of a source, in batches: each is one transaction, so what is written stays
   * where a later one fails. Records are pulled one by one, at most one batch before they are
   * written, and copied then. Between batches the event loop goes on, and others may write.
   *
   * Inside of `transactionAsync()` the batches are a part of that.
   *
   * @param source - An array, a generator, a stream of records; also what {@link export} of another
   * collection gives.
   * @param options - See {@link ImportOptions}.
   * @returns How many records were written.
   * @throws {@link ImportError} (as a rejection) with the number of records that are written:
   * ERR_SOURCE where the source throws or rejects, else as {@link upsert}. What `onProgress`
   * threw, or the signal was aborted with, comes as it is.
   * @throws {@link VectorLiteError} (as a rejection) ERR_INVALID_ARGUMENT, ERR_READONLY,
   * ERR_CLOSED before anything is pulled
   * @example
   * ```ts
   * async function* records() {
   *   for await (const line of lines) yield JSON.parse(line);
   * }
   * const { records: count } = await docs.import(records(), { batchSize: 500 });
   * ```
   */
  async import(
    source: Iterable<NewRecord<Doc>> | AsyncIterable<NewRecord<Doc>>,
    options?: ImportOptions,
  ): Promise<ImportResult> {
    return importRecords(this.#records, source, options, checkNewRecord);
  }

  /**
   * Gives all records, in no particular order, as they are at the first step; writes meanwhile are
   * fine and not seen. A record is read when it is asked for, and the event loop goes on between
   * batches. The snapshot that it holds is let go at the end, and where the loop is left early.
   *
   * @param options - See {@link ExportOptions}.
   * @throws {@link VectorLiteError} ERR_INVALID_ARGUMENT, also, as the rejection of the first step,
   * inside of a transaction, whose writes no snapshot has; ERR_CLOSED, ERR_CORRUPT
   * @example
   * ```ts
   * for await (const { key, metadata } of docs.export({ include: ["metadata"] })) {
   *   if (!out.write(`${JSON.stringify({ key, metadata })}\n`)) await once(out, "drain");
   * }
   * ```
   */
  export<Included extends Include = Include>(
    options?: ExportOptions<Included, Doc>,
  ): AsyncGenerator<ExportedRecord<Doc, Included>, void, undefined> {
    this.#records.checkOpen();
    const exported = exportRecords(this.#records, planExport(this.#records, options));
    return exported as AsyncGenerator<ExportedRecord<Doc, Included>, void, undefined>;
  }

  /**
   * The records closest to `query`, the closest first. Scores are exact; of the records that should
   * be there, one in a thousand may be missed, and none with `exact: true`. With a `filter` only
   * records whose metadata match are found, `k` of them wherever there are so many.
   *
   * @throws {@link VectorLiteError} ERR_DIMENSION, ERR_INVALID_VECTOR, ERR_INVALID_ARGUMENT,
   * ERR_CORRUPT, ERR_CLOSED
   * @example
   * ```ts
   * for (const { key, score, metadata } of docs.search(query, { k: 3, threshold: 0.8 })) …
   * const recent = docs.search(query, { k: 3, filter: { lang: "en", year: { $gte: 2020 } } });
   * ```
   */
  search<Included extends Include = "metadata">(
    query: VectorLike,
    options?: SearchOptions<Included, Doc>,
  ): Hit<Doc, Included>[] {
    const plan = planSearch(options, "search()");
    return searchOne(this.#records, query, plan, "The query") as Hit<Doc, Included>[];
  }

  /**
   * The same for many queries at once, which reads the vectors once for several of them.
   *
   * @param queries - A list of vectors, or one packed array of n × dimension numbers.
   * @returns The hits of each query, in the order of the queries.
   * @throws {@link VectorLiteError} as {@link search}
   */
  searchMany<Included extends Include = "metadata">(
    queries: VectorsLike,
    options?: SearchOptions<Included, Doc>,
  ): Hit<Doc, Included>[][] {
    const plan = planSearch(options, "searchMany()");
    const records = this.#records;
    const count = countVectors(queries, records.dimension, "The queries");
    const packed = packVectors(queries, count, records.dimension, "The queries");
    return search(records, packed, count, plan) as Hit<Doc, Included>[][];
  }

  /**
   * What {@link search} would return now, found while the event loop goes on: a thread of the
   * runtime's pool searches a snapshot of this moment. Later writes, and changes of `query`, make
   * no difference. Searches of one database take turns.
   *
   * In an executable made by `bun build --compile`, and in workers of Bun, the event loop itself
   * searches, in slices of about a millisecond.
   *
   * @throws {@link VectorLiteError} (as a rejection) as {@link search}; ERR_CLOSED where the
   * database or snapshot is closed meanwhile; ERR_INVALID_ARGUMENT inside of a transaction, whose
   * writes no snapshot has
   * @example
   * ```ts
   * const hits = await docs.searchAsync(query, { k: 10, exact: true });
   * ```
   */
  async searchAsync<Included extends Include = "metadata">(
    query: VectorLike,
    options?: SearchOptions<Included, Doc>,
  ): Promise<Hit<Doc, Included>[]> {
    const plan = planSearch(options, "searchAsync()");
    const hits = await searchOneInBackground(this.#records, query, plan, "The query");
    return hits as Hit<Doc, Included>[];
  }

  /**
   * What {@link searchMany} would return now, found as by {@link searchAsync}.
   *
   * @param queries - A list of vectors, or one packed array of n × dimension numbers.
   * @returns The hits of each query, in the order of the queries.
   * @throws {@link VectorLiteError} (as a rejection) as {@link searchAsync}
   */
  async searchManyAsync<Included extends Include = "metadata">(
    queries: VectorsLike,
    options?: SearchOptions<Included, Doc>,
  ): Promise<Hit<Doc, Included>[][]> {
    const plan = planSearch(options, "searchManyAsync()");
    const records = this.#records;
    const count = countVectors(queries, records.dimension, "The queries");
    const packed = packVectors(queries, count, records.dimension, "The queries");
    const hits = await searchInBackground(records, packed, count, plan);
    return hits as Hit<Doc, Included>[][];
  }

  /**
   * Searches, and tells how it was done.
   *
   * @throws {@link VectorLiteError} as {@link search}
   * @example
   * ```ts
   * const { plan, reranked, bytesRead } = docs.explain(query, { k: 10 });
   * const selectivity = docs.explain(query, { filter: { lang: "en" } }).filter?.selectivity;
   * ```
   */
  explain(query: VectorLike, options?: SearchOptions<Include, Doc>): SearchExplanation {
    return explainSearch(this.#records, query, planSearch(options, "explain()"), "The query");
  }

  /**
   * Measures what the default search finds of what an exact one finds, by searching for vectors of
   * the collection itself.
   *
   * @throws {@link VectorLiteError} ERR_INVALID_ARGUMENT, ERR_CORRUPT, ERR_CLOSED
   * @example
   * ```ts
   * const { recall, searchMicros, exactMicros } = docs.recall({ k: 10, sample: 100 });
   * ```
   */
  recall(options?: RecallOptions): RecallReport {
    return measureRecall(this.#records, options);
  }

  /**
   * Sizes in bytes and counts; measured, not estimated.
   *
   * @throws {@link VectorLiteError} ERR_CLOSED
   */
  stats(): CollectionStats {
    return this.#records.stats();
  }
}

const iterationOptions: Known = { filter: true };

const knownFields: Known = { key: true, vector: true, metadata: true };

function checkNewRecord(record: unknown, index: number): NewRecord<unknown> {
  if (typeof record !== "object" || record === null || !("key" in record)) {
    throw invalidArgument(`records[${index}]`, "an object of key, vector and metadata", record);
  }
  for (const field in record) {
    if (field === "key" || field === "vector" || field === "metadata") continue;
    if (record[field as keyof typeof record] === undefined) continue;
    throw unknownName("field", field, knownFields, `records[${index}]`);
  }
  return record as NewRecord<unknown>;
}
