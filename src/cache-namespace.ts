/**
 * One namespace of a cache file: a collection of its own, which may not be in the file yet.
 *
 * Where it is not, its first vector decides how many numbers a vector has. Until then every read
 * looks whether another handle has made it meanwhile, and misses where none has.
 *
 * @module
 */

import { recordedError } from "./cache-mode.ts";
import type { CacheFile } from "./cache-file.ts";
import type { Computed } from "./computed.ts";
import type { Connection } from "./connection.ts";
import { invalidArgument, VectorLiteError } from "./errors.ts";
import { factsOf, shareTokens } from "./entry-facts.ts";
import {
  checkHashable,
  checkHashables,
  checkSameHashing,
  type HashKeys,
  KeyHasher,
} from "./hashed-keys.ts";
import { checkKeys, encodeKey } from "./keys.ts";
import { type Cuttable, cutInto, isPrefix, prefixOption } from "./matryoshka.ts";
import { checkSameModel, storedModel } from "./model-identity.ts";
import { openRecords } from "./open.ts";
import type { Records, RowFacts, Tally } from "./records.ts";
import { iterateKeys } from "./scan.ts";
import { readIdentity, writeIdentity } from "./stored-identity.ts";
import { Sweeper } from "./sweeper.ts";
import type { CollectionStats, ModelIdentity, VectorBatch } from "./types.ts";
import { isFloat32Array, lengthOf } from "./typed-arrays.ts";
import { dimensionOfVector, dimensionOfVectors, packVectors } from "./vectors.ts";
import { writeMany } from "./write.ts";

/** What a namespace was asked to be. */
export interface NamespacePlan {
  readonly name: string;
  /** Numbers in a vector; 0: as the file says or, where it is not there, as its first vector. */
  readonly dimension: number;
  /** The embedding model; `undefined`: not checked. */
  readonly model: ModelIdentity | undefined;
  readonly cacheSize: number;
  /** Milliseconds that entries live; 0: for ever. */
  readonly ttl: number;
  /** Entries that it may have; 0: any number. */
  readonly rowsMax: number;
  /** Of a million tokens; NaN: not said. */
  readonly price: number;
  /** `undefined`: keys are stored as they are. */
  readonly hashKeys: HashKeys | undefined;
  /** What messages call it. */
  readonly subject: string;
}

/** A namespace that is in the file. */
interface Opened {
  readonly records: Records;
  readonly model: ModelIdentity | undefined;
  /** `undefined` where keys are stored as they are. */
  readonly hasher: KeyHasher | undefined;
}

/** About what an entry takes in the file beside its vector. */
const bytesBesideVector = 400;

/** Times that a namespace is begun in a full file before there is no room for it. */
const triesMax = 7;

/** The entries of one namespace. */
export class CacheNamespace {
  readonly file: CacheFile;
  readonly connection: Connection;
  #plan: NamespacePlan;
  #opened: Opened | undefined;
  /** Where a vector is read to that is cut. */
  #whole: Float32Array | undefined;
  /** Keys that were asked for while it was not in the file. */
  #earlyMisses = 0;
  readonly #sweeper = new Sweeper(() => this.records?.sweep() ?? 0);

  constructor(file: CacheFile, plan: NamespacePlan) {
    this.file = file;
    this.connection = file.connection;
    this.#plan = plan;
    this.#opened = this.#find();
  }

  get plan(): NamespacePlan {
    return this.#plan;
  }

  /** As it is in the file; `undefined` while it is not. */
  #open(): Opened | undefined {
    this.#opened ??= this.#find();
    return this.#opened;
  }

  /** Its collection; `undefined` while there is none. */
  get records(): Records | undefined {
    return this.#open()?.records;
  }

  /** Numbers in a vector; 0 while nothing has decided that. */
  get dimension(): number {
    return this.records?.dimension ?? this.#plan.dimension;
  }

  /**
   * Where its keys are computed: the same for handles whose vectors are the same. Its dimension and
   * identity are a part of that, since what lies at a path may be replaced.
   */
  get place(): string {
    const opened = this.#open();
    const identity = opened?.records.info.model ?? storedModel(this.#plan.model);
    return JSON.stringify([this.file.identity, this.#plan.name, this.dimension, identity]);
  }

  /** Whether the engine still knows it: not closed, not dropped. */
  get isOpen(): boolean {
    return this.#opened?.records.isOpen ?? this.connection.isOpen;
  }

  /** @throws VectorLiteError ERR_CLOSED */
  checkOpen(): void {
    if (this.#opened === undefined) this.connection.checkOpen();
    else this.#opened.records.checkOpen();
  }

  /** Refuses a write where none is possible, before anything is computed for it. */
  checkWritable(): void {
    if (this.#opened === undefined) this.connection.checkWritable();
    else this.#opened.records.checkWritable();
  }

  /** Makes the collection where it is not there yet. */
  create(dimension: number): void {
    if (this.records !== undefined) return;
    this.#opened = this.#begin(dimension, 1, () => undefined);
  }

  /** What its handle has counted; `undefined` where it has none yet. */
  tally(): Tally | undefined {
    return this.#opened?.records.tally();
  }

  /** What tokens cost; `undefined` where that is not said. */
  moneyOf(tokens: number): number | undefined {
    const { price } = this.#plan;
    return Number.isNaN(price) ? undefined : (tokens * price) / 1e6;
  }

  /**
   * Decides what was open: a dimension, or 0, and a model, or none.
   *
   * @throws VectorLiteError ERR_DIMENSION, ERR_MODEL where it was decided otherwise
   */
  decide(
    dimension: number,
    model: ModelIdentity | undefined,
    hashKeys: HashKeys | undefined,
  ): void {
    const plan = this.#plan;
    const { subject } = plan;
    const opened = this.#open();
    const known = opened === undefined ? plan.model : opened.model;
    if (model !== undefined && (opened !== undefined || known !== undefined)) {
      checkSameModel(model, known, subject);
    }
    checkSameHashing(hashKeys, plan.hashKeys, subject);
    checkSameDimension(dimension, this.dimension, subject);
    this.#plan = {
      ...plan,
      dimension: this.dimension || dimension,
      model: model ?? plan.model,
    };
    if (dimension !== 0 && this.connection.writable) this.create(dimension);
  }

  /** What it was asked to be is checked here, where two models can be told apart field by field. */
  #find(): Opened | undefined {
    const { model, dimension, hashKeys, subject } = this.#plan;
    const options = { ...this.#plan, dimension: 0, metric: -1, model: "", create: false };
    const records = openRecords(this.connection, options);
    if (records === undefined) return undefined;
    try {
      const stored = readIdentity(records.info.model);
      if (model !== undefined) checkSameModel(model, stored.model, subject);
      checkSameDimension(dimension, records.dimension, subject);
      const hasher = KeyHasher.open(hashKeys, stored.hashing, subject);
      return { records, model: stored.model, hasher };
    } catch (error) {
      this.connection.native.vl_close(records.id);
      throw error;
    }
  }

  /** Within a transaction: another handle may make it until that has begun, but not afterwards. */
  #make(dimension: number): Opened {
    const found = this.#find();
    if (found !== undefined) return found;
    const { model, hashKeys, subject } = this.#plan;
    const hasher = hashKeys === undefined ? undefined : KeyHasher.make(hashKeys);
    const identity = writeIdentity({ model, hashing: hasher?.stored });
    const options = { ...this.#plan, dimension, metric: -1, model: identity, create: true };
    const records = openRecords(this.connection, options);
    if (records === undefined) throw new Error(`${subject} was not made.`);
    return { records, model, hasher };
  }

  /** Makes the collection with the `count` vectors that are written first. */
  #write(count: number, dimensionOf: () => number, write: (opened: Opened) => void): void {
    const opened = this.#open();
    if (opened !== undefined) {
      write(opened);
      return;
    }
    this.connection.checkWritable();
    const { dimension } = this.#plan;
    this.#opened = this.#begin(dimension > 0 ? dimension : dimensionOf(), count, write);
  }

  /** The collection and what is written first are one transaction: both or none. */
  #begin(dimension: number, count: number, write: (opened: Opened) => void): Opened {
    const { connection } = this;
    for (let tries = 1; ; tries++) {
      let made: Opened | undefined;
      try {
        return connection.transaction(() => {
          made = this.#make(dimension);
          write(made);
          return made;
        });
      } catch (error) {
        if (made !== undefined) connection.native.vl_close(made.records.id);
        if (tries === triesMax || !connection.makeRoom(error, count, dimension)) throw error;
      }
    }
  }

  /** A copy of the keys of a batch, each read once and checked. */
  checkKeys(keys: readonly string[]): string[] {
    return this.#plan.hashKeys === undefined ? checkKeys(keys) : checkHashables(keys);
  }

  getVector(key: string): Float32Array | undefined {
    const opened = this.#open();
    if (opened !== undefined) return opened.records.getVector(storedKey(opened, key));
    this.#missEarly(key);
    return undefined;
  }

  /** Which of its vectors may be cut. */
  get cuttable(): Cuttable {
    const { model, subject } = this.#plan;
    const matryoshka = model?.matryoshka ?? this.#open()?.model?.matryoshka;
    return { dimension: this.dimension, matryoshka, subject };
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
    const opened = this.#open();
    if (opened === undefined) {
      this.#missEarly(key);
      return false;
    }
    const { records } = opened;
    this.#whole ??= new Float32Array(records.dimension);
    if (!records.getInto(storedKey(opened, key), this.#whole)) return false;
    cutInto(out, this.#whole);
    return true;
  }

  getInto(key: string, out: Float32Array): boolean {
    const opened = this.#open();
    if (opened !== undefined) {
      const { records } = opened;
      const isOther = isFloat32Array(out) && lengthOf(out) !== records.dimension;
      if (isOther && isPrefix(lengthOf(out), this.cuttable)) return this.#getPrefixInto(key, out);
      return records.getInto(storedKey(opened, key), out);
    }
    if (!isFloat32Array(out)) throw invalidArgument("out", "a Float32Array", out);
    this.#missEarly(key);
    return false;
  }

  /** No numbers at all while nothing has decided how many a vector has. */
  getMany(keys: readonly string[]): VectorBatch {
    const opened = this.#open();
    if (opened !== undefined) return opened.records.getMany(storedKeys(opened, keys));
    const count = this.checkKeys(keys).length;
    this.#earlyMisses += count;
    return { vectors: new Float32Array(0), found: new Uint8Array(count) };
  }

  #missEarly(key: string): void {
    this.#checkKey(key);
    this.#earlyMisses++;
  }

  #checkKey(key: string): void {
    if (this.#plan.hashKeys === undefined) encodeKey(key);
    else checkHashable(key, "The key");
  }

  has(key: string): boolean {
    const opened = this.#open();
    if (opened !== undefined) return opened.records.has(storedKey(opened, key));
    this.#checkKey(key);
    return false;
  }

  /** @param ttl - 0: as the namespace has it. */
  put(key: string, vector: unknown, ttl: number, tokens: number): void {
    const costs = tokens === 0 ? undefined : Uint32Array.of(tokens);
    const facts = this.#factsOf(1, ttl || this.#plan.ttl, costs);
    if (this.#keepsWhatIsThere) {
      this.#putAll([key], [vector], facts, () => dimensionOfVector(vector, "The vector"));
      return;
    }
    this.#write(
      1,
      () => dimensionOfVector(vector, "The vector"),
      (opened) => opened.records.put(storedKey(opened, key), vector, undefined, facts),
    );
  }

  /** @param ttl - 0: as the namespace has it. */
  putMany(keys: readonly string[], vectors: unknown, ttl: number): void {
    if (this.records === undefined && isEmptyBatch(keys, vectors)) {
      this.connection.checkWritable();
      return;
    }
    // What the caller gave may have another length when it is looked at again.
    const copies = this.checkKeys(keys);
    const facts = this.#factsOf(copies.length, ttl || this.#plan.ttl);
    this.#putAll(copies, vectors, facts, () => {
      return dimensionOfVectors(vectors, copies.length, "The vectors");
    });
  }

  /**
   * Stores what was computed for these keys: all of it or, after an error, none. Only into a file
   * with a maximum it goes in parts, so that there is room for each.
   *
   * Where what is there stays, it takes the place of what was computed for its key.
   *
   * @param ttl - 0: for ever, whatever the namespace has.
   */
  keep(keys: readonly string[], { vectors, dimension, tokens }: Computed, ttl: number): void {
    const rowBytes = dimension * Float32Array.BYTES_PER_ELEMENT + bytesBesideVector;
    const rows = Math.max(1, Math.floor(this.file.partBytes / rowBytes));
    const costs = shareTokens(keys, tokens);
    for (let start = 0; start < keys.length; start += rows) {
      const end = Math.min(start + rows, keys.length);
      const facts = this.#factsOf(end - start, ttl, costs?.slice(start, end));
      const part = vectors.subarray(start * dimension, end * dimension);
      this.#putAll(keys.slice(start, end), part, facts, () => dimension, part);
    }
  }

  #factsOf(count: number, ttl: number, costs?: Uint32Array): RowFacts | undefined {
    const facts = factsOf(count, ttl, costs);
    const expiry = facts?.expiries?.[0];
    if (expiry !== undefined) {
      this.file.mayLose = true;
      this.#sweeper.expect(expiry);
    }
    return facts;
  }

  #putAll(
    keys: readonly string[],
    vectors: unknown,
    facts: RowFacts | undefined,
    dimensionOf: () => number,
    found?: Float32Array,
  ): void {
    this.#write(keys.length, dimensionOf, (opened) => {
      const stored = storedKeys(opened, keys);
      if (this.#keepsWhatIsThere) writeMissing(opened.records, stored, vectors, facts, found);
      else writeMany(opened.records, stored, vectors, undefined, facts);
    });
  }

  get #keepsWhatIsThere(): boolean {
    return this.file.mode === "record-missing";
  }

  delete(key: string): boolean {
    this.#checkMayLose("delete()");
    const opened = this.#open();
    if (opened !== undefined) return opened.records.delete(storedKey(opened, key));
    this.connection.checkWritable();
    this.#checkKey(key);
    return false;
  }

  clear(): void {
    this.#checkMayLose("clear()");
    const { records } = this;
    if (records !== undefined) records.clear();
    else this.connection.checkWritable();
  }

  #checkMayLose(call: string): void {
    this.checkOpen();
    if (this.#keepsWhatIsThere) throw recordedError(this.#plan.subject, call);
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

function storedKey({ hasher }: Opened, key: string): string {
  return hasher === undefined ? key : hasher.hash(key);
}

function storedKeys({ hasher }: Opened, keys: readonly string[]): readonly string[] {
  return hasher === undefined ? keys : checkHashables(keys).map((key) => hasher.hash(key));
}

/**
 * Under the lock of a transaction, so that nobody else adds one of them meanwhile.
 *
 * @param found - Packed, as long as the vectors: where the vectors of those that are there go.
 */
function writeMissing(
  records: Records,
  keys: readonly string[],
  vectors: unknown,
  facts: RowFacts | undefined,
  found?: Float32Array,
): void {
  records.checkWritable();
  const { dimension, connection } = records;
  const copies = checkKeys(keys);
  const packed = packVectors(vectors, copies.length, dimension, "The vectors");
  connection.transaction(() => {
    const missing: number[] = [];
    for (const [index, key] of copies.entries()) {
      if (!records.has(key)) missing.push(index);
      else if (found !== undefined) {
        records.getInto(key, found.subarray(index * dimension, (index + 1) * dimension));
      }
    }
    const kept = new Float32Array(missing.length * dimension);
    for (const [at, index] of missing.entries()) {
      kept.set(packed.subarray(index * dimension, (index + 1) * dimension), at * dimension);
    }
    const added = missing.map((index) => copies[index] ?? "");
    writeMany(records, added, kept, undefined, {
      expiries: facts?.expiries?.slice(0, missing.length),
      costs: facts?.costs && Uint32Array.from(missing, (index) => facts.costs?.[index] ?? 0),
    });
  });
}

/** 0 is none, or not decided. */
function checkSameDimension(asked: number, known: number, subject: string): void {
  if (asked === 0 || known === 0 || asked === known) return;
  throw new VectorLiteError(
    "ERR_DIMENSION",
    `${subject} has ${known} dimensions, and was opened for ${asked}; use another namespace or ` +
      "file for each.",
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
