/**
 * One namespace of a cache file: a collection of its own, which may not be in the file yet.
 *
 * Where it is not, its first vector decides how many numbers a vector has. Until then every read
 * looks whether another handle has made it meanwhile, and misses where none has.
 *
 * @module
 */

import type { CacheFile } from "./cache-file.ts";
import type { Computed } from "./computed.ts";
import type { Connection } from "./connection.ts";
import { invalidArgument, VectorLiteError } from "./errors.ts";
import { checkKeys, encodeKey } from "./keys.ts";
import { type Cuttable, cutInto, isPrefix, prefixOption } from "./matryoshka.ts";
import { checkSameModel, parseModel, storedModel } from "./model-identity.ts";
import { openRecords } from "./open.ts";
import type { Records } from "./records.ts";
import { iterateKeys } from "./scan.ts";
import type { CollectionStats, ModelIdentity, VectorBatch } from "./types.ts";
import { isFloat32Array, lengthOf } from "./typed-arrays.ts";
import { dimensionOfVector, dimensionOfVectors } from "./vectors.ts";
import { writeMany } from "./write.ts";

/** What a namespace was asked to be. */
export interface NamespacePlan {
  readonly name: string;
  /** Numbers in a vector; 0: as the file says or, where it is not there, as its first vector. */
  readonly dimension: number;
  /** The embedding model; `undefined`: not checked. */
  readonly model: ModelIdentity | undefined;
  readonly cacheSize: number;
  /** What messages call it. */
  readonly subject: string;
}

/** The entries of one namespace. */
export class CacheNamespace {
  readonly file: CacheFile;
  readonly connection: Connection;
  #plan: NamespacePlan;
  #records: Records | undefined;
  /** Where a vector is read to that is cut. */
  #whole: Float32Array | undefined;
  /** Keys that were asked for while it was not in the file. */
  #earlyMisses = 0;

  constructor(file: CacheFile, plan: NamespacePlan) {
    this.file = file;
    this.connection = file.connection;
    this.#plan = plan;
    this.#records = this.#find();
  }

  get plan(): NamespacePlan {
    return this.#plan;
  }

  /** Its collection; `undefined` while there is none. */
  get records(): Records | undefined {
    this.#records ??= this.#find();
    return this.#records;
  }

  /** Numbers in a vector; 0 while nothing has decided that. */
  get dimension(): number {
    return this.records?.dimension ?? this.plan.dimension;
  }

  /** Its embedding model; `undefined` where none was named. */
  get model(): ModelIdentity | undefined {
    const { records } = this;
    return records === undefined ? this.#plan.model : parseModel(records.info.model);
  }

  /** Whether the engine still knows it: not closed, not dropped. */
  get isOpen(): boolean {
    return this.#records?.isOpen ?? this.connection.isOpen;
  }

  /** @throws VectorLiteError ERR_CLOSED */
  checkOpen(): void {
    if (this.#records === undefined) this.connection.checkOpen();
    else this.#records.checkOpen();
  }

  /** Refuses a write where none is possible, before anything is computed for it. */
  checkWritable(): void {
    if (this.#records === undefined) this.connection.checkWritable();
    else this.#records.checkWritable();
  }

  /** Makes the collection where it is not there yet. */
  create(dimension: number): void {
    if (this.records !== undefined) return;
    this.#records = this.connection.transaction(() => this.#make(dimension));
  }

  /**
   * Decides what was open: a dimension, or 0, and a model, or none.
   *
   * @throws VectorLiteError ERR_DIMENSION, ERR_MODEL where it was decided otherwise
   */
  decide(dimension: number, model: ModelIdentity | undefined): void {
    const asked = { ...this.#plan, dimension, model };
    checkSame(asked, this.dimension, this.model, this.records === undefined);
    this.#plan = {
      ...this.#plan,
      dimension: this.dimension || dimension,
      model: model ?? this.#plan.model,
    };
    if (dimension !== 0 && this.connection.writable) this.create(dimension);
  }

  /** What it was asked to be is checked here, where two models can be told apart field by field. */
  #find(): Records | undefined {
    const options = { ...this.#plan, dimension: 0, metric: -1, model: "", create: false };
    const records = openRecords(this.connection, options);
    if (records === undefined) return undefined;
    try {
      checkSame(this.#plan, records.dimension, parseModel(records.info.model), false);
    } catch (error) {
      this.connection.native.vl_close(records.id);
      throw error;
    }
    return records;
  }

  /** Within a transaction: another handle may make it until that has begun, but not afterwards. */
  #make(dimension: number): Records {
    const found = this.#find();
    if (found !== undefined) return found;
    const model = storedModel(this.#plan.model);
    const options = { ...this.#plan, dimension, metric: -1, model, create: true };
    const records = openRecords(this.connection, options);
    if (records === undefined) throw new Error(`${this.#plan.subject} was not made.`);
    return records;
  }

  /** Makes the collection with what is written first; not where that fails. */
  #write(dimensionOf: () => number, write: (records: Records) => void): void {
    const { records, connection } = this;
    if (records !== undefined) {
      write(records);
      return;
    }
    connection.checkWritable();
    const dimension = this.plan.dimension > 0 ? this.plan.dimension : dimensionOf();
    this.#records = connection.transaction(() => {
      const made = this.#make(dimension);
      try {
        write(made);
      } catch (error) {
        connection.native.vl_close(made.id);
        throw error;
      }
      return made;
    });
  }

  getVector(key: string): Float32Array | undefined {
    const { records } = this;
    if (records !== undefined) return records.getVector(key);
    this.#missEarly(key);
    return undefined;
  }

  /** Which of its vectors may be cut. */
  get cuttable(): Cuttable {
    const { records } = this;
    const { model, dimension, subject } = this.#plan;
    const stored = records === undefined ? undefined : parseModel(records.info.model);
    return {
      dimension: records?.dimension ?? dimension,
      matryoshka: model?.matryoshka ?? stored?.matryoshka,
      subject,
    };
  }

  /** The length that a caller asks for; 0 is that of whole vectors. See {@link prefixOption}. */
  prefixLength(dimensions: number | undefined): number {
    return dimensions === undefined ? 0 : prefixOption(dimensions, this.cuttable);
  }

  /** The beginning of a vector, of a length that is allowed. */
  getPrefix(key: string, dimensions: number): Float32Array | undefined {
    const out = new Float32Array(dimensions);
    return this.#getPrefixInto(key, out) ? out : undefined;
  }

  #getPrefixInto(key: string, out: Float32Array): boolean {
    const { records } = this;
    if (records === undefined) {
      this.#missEarly(key);
      return false;
    }
    this.#whole ??= new Float32Array(records.dimension);
    if (!records.getInto(key, this.#whole)) return false;
    cutInto(out, this.#whole);
    return true;
  }

  getInto(key: string, out: Float32Array): boolean {
    const { records } = this;
    if (records !== undefined) {
      const isOther = isFloat32Array(out) && lengthOf(out) !== records.dimension;
      if (isOther && isPrefix(lengthOf(out), this.cuttable)) return this.#getPrefixInto(key, out);
      return records.getInto(key, out);
    }
    if (!isFloat32Array(out)) throw invalidArgument("out", "a Float32Array", out);
    this.#missEarly(key);
    return false;
  }

  /** No numbers at all while nothing has decided how many a vector has. */
  getMany(keys: readonly string[]): VectorBatch {
    const { records } = this;
    if (records !== undefined) return records.getMany(keys);
    const count = checkKeys(keys).length;
    this.#earlyMisses += count;
    return { vectors: new Float32Array(0), found: new Uint8Array(count) };
  }

  #missEarly(key: string): void {
    encodeKey(key);
    this.#earlyMisses++;
  }

  has(key: string): boolean {
    const { records } = this;
    if (records !== undefined) return records.has(key);
    encodeKey(key);
    return false;
  }

  put(key: string, vector: unknown): void {
    this.#write(
      () => dimensionOfVector(vector, "The vector"),
      (records) => records.put(key, vector, undefined),
    );
  }

  putMany(keys: readonly string[], vectors: unknown): void {
    if (this.records === undefined && isEmptyBatch(keys, vectors)) {
      this.connection.checkWritable();
      return;
    }
    this.#write(
      () => dimensionOfVectors(vectors, keys.length, "The vectors"),
      (records) => writeMany(records, keys, vectors, undefined),
    );
  }

  /** Stores what was computed for these keys: all of it or, after an error, none. */
  keep(keys: readonly string[], { vectors, dimension }: Computed): void {
    this.#write(
      () => dimension,
      (records) => writeMany(records, keys, vectors, undefined),
    );
  }

  delete(key: string): boolean {
    const { records } = this;
    if (records !== undefined) return records.delete(key);
    this.connection.checkWritable();
    encodeKey(key);
    return false;
  }

  clear(): void {
    const { records } = this;
    if (records !== undefined) records.clear();
    else this.connection.checkWritable();
  }

  get size(): number {
    return this.records?.size ?? 0;
  }

  keys(): Generator<string, void, undefined> {
    this.checkOpen();
    const { records } = this;
    return records === undefined ? none() : iterateKeys(records);
  }

  stats(): CollectionStats {
    const stats = this.records?.stats() ?? this.#statsOfNothing();
    return { ...stats, misses: stats.misses + this.#earlyMisses };
  }

  #statsOfNothing(): CollectionStats {
    return {
      records: 0,
      dimension: this.plan.dimension,
      metric: "cosine",
      fileSize: this.connection.stats().fileSize,
      indexSize: 0,
      cachedCount: 0,
      cacheCapacity: this.plan.cacheSize,
      memoryUsage: 0,
      hits: 0,
      misses: 0,
      sets: 0,
      evictions: 0,
      expirations: 0,
    };
  }
}

/** Refuses what contradicts a dimension, or 0, and a model. */
function checkSame(
  asked: NamespacePlan,
  dimension: number,
  model: ModelIdentity | undefined,
  isUndecided: boolean,
): void {
  if (asked.model !== undefined && !(isUndecided && model === undefined)) {
    checkSameModel(asked.model, model, asked.subject);
  }
  if (asked.dimension === 0 || dimension === 0 || asked.dimension === dimension) return;
  throw new VectorLiteError(
    "ERR_DIMENSION",
    `${asked.subject} has ${dimension} dimensions, and was opened for ${asked.dimension}; use ` +
      "another namespace or file for each.",
  );
}

function* none(): Generator<string, void, undefined> {}

function isEmptyBatch(keys: unknown, vectors: unknown): boolean {
  if (!Array.isArray(keys) || keys.length > 0) return false;
  return isFloat32Array(vectors) ? lengthOf(vectors) === 0 : isEmptyArray(vectors);
}

function isEmptyArray(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}
