/**
 * An open collection as the engine sees it: every native call about records is here.
 *
 * `Collection` and `EmbedCache` are faces over it. Arguments are checked here, once, before the
 * crossing; the buffers that cross it are reused, so a read allocates nothing but its result.
 *
 * @module
 */

import { releaseWriter, takeWriter } from "./byte-writer.ts";
import type { Connection, Scope } from "./connection.ts";
import { invalidArgument, type VectorLiteError } from "./errors.ts";
import { type CompiledFilter, compileFilter } from "./filter-compiler.ts";
import { encodeKey, keyBuffer, packKeys } from "./keys.ts";
import { writeDocument } from "./metadata.ts";
import { MetadataReader } from "./metadata-reader.ts";
import { collectionStatsFields, type NativeLibrary, newAnswer, Status } from "./native/native.ts";
import { check, failure, readonlyError } from "./status.ts";
import type { CollectionStats, Metric, StoredRecord, VectorBatch } from "./types.ts";
import { decoder, releaseTexts } from "./utf8.ts";
import { checkTarget, writeVector } from "./vectors.ts";

/** What the engine says about a collection that it opened. */
export interface RecordsInfo {
  readonly id: number;
  readonly name: string;
  readonly dimension: number;
  readonly metric: Metric;
  readonly model: string;
  /** What messages call it. */
  readonly subject: string;
}

/** What messages call a collection. */
export function subjectOf(name: string): string {
  return `The collection ${JSON.stringify(name)}`;
}

/** What is kept of rows beside their vectors and metadata; what is left out is 0 for each. */
export interface RowFacts {
  /** Milliseconds since 1970 at which each is over; 0: never. */
  readonly expiries?: Float64Array | undefined;
  /** What each cost, in a unit of the caller's. */
  readonly costs?: Uint32Array | undefined;
}

/** What a handle counts. */
export interface Tally {
  /** Rows that made room for others. */
  readonly evictions: number;
  /** Rows whose time was over. */
  readonly expirations: number;
  /** What the rows that were hit had cost. */
  readonly savedCost: number;
}

const nameBuffer = new Uint8Array(256);
const one = new Uint32Array(1);
const countOut = new Float64Array(1);
const lengthOut = new Uint32Array(1);
const metadataLength = new Uint32Array(1);
const tallied = new Float64Array(3);
const statistics = new Float64Array(collectionStatsFields.length);
let metadataBuffer = new Uint8Array(4096);
let metadataReader = new MetadataReader(metadataBuffer);

/** The records of one collection, as they are now or as a snapshot saw them. */
export class Records {
  readonly scope: Scope;
  readonly connection: Connection;
  readonly native: NativeLibrary;
  readonly dimension: number;
  #info: RecordsInfo;
  readonly #id: number;
  /** Where a vector on its way in is copied, unless it is lent. */
  #scratch: Float32Array | undefined;
  /** The array of a read that missed, for the next one. */
  #spare: Float32Array | undefined;

  constructor(scope: Scope, info: RecordsInfo) {
    this.scope = scope;
    this.connection = scope.connection;
    this.native = scope.connection.native;
    this.#id = info.id;
    this.#info = info;
    this.dimension = info.dimension;
  }

  /** The native handle, for a call that comes at once: see {@link Connection.chooseSide}. */
  get id(): number {
    this.connection.chooseSide();
    return this.#id;
  }

  /** What is known of it; its name as it was asked for last. */
  get info(): RecordsInfo {
    return this.#info;
  }

  /** Its name now, which anybody may change; the last one where it is closed. */
  get name(): string {
    if (this.#readName() !== Status.OK) return this.#info.name;
    const name = decoder.decode(nameBuffer.subarray(0, lengthOut[0]));
    this.callNow(name);
    return name;
  }

  #readName(): number {
    return this.native.vl_collection_name(this.id, nameBuffer, nameBuffer.length, lengthOut);
  }

  /** Messages call it so from now on. */
  callNow(name: string): void {
    if (name !== this.#info.name) this.#info = { ...this.#info, name, subject: subjectOf(name) };
  }

  /** The error of a failed call about this collection. */
  failure(status: number): VectorLiteError {
    return failure(status, this.info.subject);
  }

  /** Whether the engine still knows it: not closed, not dropped. */
  get isOpen(): boolean {
    return this.#readName() === Status.OK;
  }

  /** @throws VectorLiteError ERR_CLOSED */
  checkOpen(): void {
    const status = this.#readName();
    if (status !== Status.OK) throw this.failure(status);
  }

  /** Refuses a write where none is possible, before anything is computed for it. */
  checkWritable(): void {
    if (!this.scope.writable) {
      this.checkOpen();
      throw readonlyError(this.info.subject, this.scope.subject);
    }
    this.connection.checkOpen();
  }

  /**
   * A private copy of a vector on its way in, lent until {@link giveBack}: reading the caller's
   * list may run the caller's code, and a call from within it gets a copy of its own.
   *
   * @throws VectorLiteError ERR_INVALID_ARGUMENT, ERR_DIMENSION, ERR_INVALID_VECTOR
   */
  lendCopy(vector: unknown, name: string): Float32Array {
    const copy = this.#scratch ?? new Float32Array(this.dimension);
    this.#scratch = undefined;
    writeVector(copy, 0, vector, this.dimension, name);
    return copy;
  }

  /** Keeps a copy for the next one. */
  giveBack(copy: Float32Array): void {
    this.#scratch = copy;
  }

  getVector(key: string): Float32Array | undefined {
    const length = encodeKey(key);
    const out = this.#spare ?? new Float32Array(this.dimension);
    const status = this.native.vl_collection_get(this.id, keyBuffer, length, out, this.dimension);
    if (status === Status.OK) {
      this.#spare = undefined;
      return out;
    }
    this.#spare = out;
    if (status === Status.NOT_FOUND) return undefined;
    throw this.failure(status);
  }

  getInto(key: string, out: Float32Array): boolean {
    checkTarget(out, this.dimension);
    const length = encodeKey(key);
    const status = this.native.vl_collection_get(this.id, keyBuffer, length, out, this.dimension);
    if (status === Status.OK) return true;
    if (status === Status.NOT_FOUND) return false;
    throw this.failure(status);
  }

  getRecord(key: string): StoredRecord<unknown> | undefined {
    const length = encodeKey(key);
    const vector = this.#spare ?? new Float32Array(this.dimension);
    this.#spare = undefined;
    const status = this.#readRecord(length, vector);
    if (status === Status.OK) {
      return { key, vector, metadata: metadataReader.document(0, metadataLength[0] ?? 0) };
    }
    this.#spare = vector;
    if (status === Status.NOT_FOUND) return undefined;
    throw this.failure(status);
  }

  #readRecord(keyLength: number, vector: Float32Array): number {
    for (;;) {
      const status = this.native.vl_collection_get_record(
        this.id,
        keyBuffer,
        keyLength,
        vector,
        this.dimension,
        metadataBuffer,
        metadataBuffer.length,
        metadataLength,
      );
      if (status !== Status.BUFFER_TOO_SMALL) return status;
      metadataBuffer = new Uint8Array((metadataLength[0] ?? 0) * 2);
      metadataReader = new MetadataReader(metadataBuffer);
    }
  }

  getMany(keys: readonly string[]): VectorBatch {
    const packed = packKeys(keys);
    const count = packed.count;
    const floats = count * this.dimension;
    const vectors = newAnswer(Math.max(floats, 1));
    const found = new Uint8Array(Math.max(count, 1));
    const status = this.native.vl_collection_get_many(
      this.id,
      packed.bytes,
      packed.bytesLength,
      packed.lengths,
      count,
      vectors,
      floats,
      found,
    );
    releaseTexts(packed);
    if (status !== Status.OK) throw this.failure(status);
    return count > 0 ? { vectors, found } : { vectors: vectors.slice(1), found: found.slice(1) };
  }

  has(key: string): boolean {
    const status = this.native.vl_collection_has(this.id, keyBuffer, encodeKey(key));
    if (status === Status.OK) return true;
    if (status === Status.NOT_FOUND) return false;
    throw this.failure(status);
  }

  put(key: string, vector: unknown, metadata: unknown, facts?: RowFacts): void {
    this.checkWritable();
    // Reading the caller's objects may run the caller's code, so the shared key comes last.
    const document = takeWriter();
    writeDocument(document, metadata);
    const copy = this.lendCopy(vector, "The vector");
    metadataLength[0] = document.length;
    one[0] = encodeKey(key);
    this.connection.beforeWrite();
    const status = this.native.vl_collection_put(
      this.id,
      keyBuffer,
      one[0],
      one,
      1,
      copy,
      this.dimension,
      document.bytes,
      document.length,
      document.length === 0 ? null : metadataLength,
      facts?.expiries ?? null,
      facts?.costs ?? null,
    );
    this.giveBack(copy);
    releaseWriter(document);
    if (status !== Status.OK) throw this.failure(status);
    this.connection.wrote();
  }

  delete(key: string): boolean {
    this.checkWritable();
    one[0] = encodeKey(key);
    this.connection.beforeWrite();
    const status = this.native.vl_collection_delete(this.id, keyBuffer, one[0], one, 1, lengthOut);
    if (status !== Status.OK) throw this.failure(status);
    const [deleted] = lengthOut;
    this.connection.wrote();
    return deleted === 1;
  }

  deleteMany(keys: readonly string[]): number {
    this.checkWritable();
    const packed = packKeys(keys);
    this.connection.beforeWrite();
    const status = this.native.vl_collection_delete(
      this.id,
      packed.bytes,
      packed.bytesLength,
      packed.lengths,
      packed.count,
      lengthOut,
    );
    releaseTexts(packed);
    if (status !== Status.OK) throw this.failure(status);
    const [deleted = 0] = lengthOut;
    this.connection.wrote();
    return deleted;
  }

  /** Deletes what matches; returns how many. */
  deleteWhere(filter: unknown): number {
    this.checkWritable();
    const { bytes, length } = compileFilter(filter);
    this.connection.beforeWrite();
    const status = this.native.vl_collection_delete_where(this.id, bytes, length, lengthOut);
    if (status !== Status.OK) throw this.failure(status);
    const [deleted = 0] = lengthOut;
    this.connection.wrote();
    return deleted;
  }

  /** Replaces the metadata of a key; returns whether there is one. */
  setMetadata(key: string, metadata: unknown): boolean {
    this.checkWritable();
    if (metadata === undefined) throw invalidArgument("metadata", "a plain object", metadata);
    // Reading the caller's objects may run the caller's code, so the shared key comes last.
    const document = takeWriter();
    writeDocument(document, metadata);
    const keyLength = encodeKey(key);
    this.connection.beforeWrite();
    const status = this.native.vl_collection_set_metadata(
      this.id,
      keyBuffer,
      keyLength,
      document.bytes,
      document.length,
    );
    releaseWriter(document);
    if (status === Status.NOT_FOUND) return false;
    if (status !== Status.OK) throw this.failure(status);
    this.connection.wrote();
    return true;
  }

  /** How many records match. */
  count({ bytes, length }: CompiledFilter): number {
    const status = this.native.vl_collection_count(this.id, bytes, length, countOut);
    if (status !== Status.OK) throw this.failure(status);
    return countOut[0] ?? 0;
  }

  /** Deletes rows whose time is over, as many as take some milliseconds; returns how many. */
  sweep(): number {
    this.checkWritable();
    if (this.connection.inTransaction) return 0;
    this.connection.beforeWrite();
    const status = this.native.vl_collection_sweep(this.id, lengthOut);
    if (status !== Status.OK) throw this.failure(status);
    const [deleted = 0] = lengthOut;
    if (deleted > 0) this.connection.wrote();
    return deleted;
  }

  /** What this handle has counted so far; cheap. */
  tally(): Tally {
    const status = this.native.vl_collection_tally(this.id, tallied);
    if (status !== Status.OK) throw this.failure(status);
    const [evictions = 0, expirations = 0, savedCost = 0] = tallied;
    return { evictions, expirations, savedCost };
  }

  clear(): void {
    this.checkWritable();
    this.connection.beforeWrite();
    check(this.native.vl_collection_clear(this.id), this.info.subject);
    this.connection.wrote();
  }

  get size(): number {
    return this.#statistics()[0] ?? 0;
  }

  stats(): CollectionStats {
    const numbers = this.#statistics();
    const field = (name: (typeof collectionStatsFields)[number]): number =>
      numbers[collectionStatsFields.indexOf(name)] ?? 0;
    return {
      records: field("records"),
      dimension: this.dimension,
      metric: this.info.metric,
      fileSize: this.connection.stats().fileSize,
      indexSize: field("index_bytes"),
      cachedCount: field("cached_count"),
      cacheCapacity: field("cache_capacity"),
      memoryUsage: field("memory_bytes"),
      hits: field("hits"),
      misses: field("misses"),
      sets: field("sets"),
      evictions: field("evictions"),
      expirations: field("expirations"),
    };
  }

  /** The engine's numbers; valid until the next call. */
  #statistics(): Float64Array {
    const { length } = statistics;
    const status = this.native.vl_collection_stats(this.id, statistics, length, lengthOut);
    if (status !== Status.OK) throw this.failure(status);
    return statistics;
  }
}
