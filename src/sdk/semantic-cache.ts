/**
 * A cache from prompts to answers that also knows a prompt asked in other words.
 *
 * @example
 * ```ts
 * import { semanticCache } from "vectorlite/semantic-cache";
 *
 * using answers = semanticCache<string>({ embed, threshold: 0.95, model: "my-model" });
 * const answer = await answers.getOrCompute(question, (question) => ask(question));
 * ```
 *
 * @module vectorlite/semantic-cache
 */

import { type Collection, VectorLiteError } from "vectorlite";
import {
  checkFields,
  checkFunction,
  checkNumber,
  checkText,
  invalidArgument,
  isPlainObject,
} from "./arguments.ts";
import { chooseThreshold, roundedCosine } from "./calibration.ts";
import { OpenSource } from "./database-source.ts";
import { encodeJson } from "./json.ts";
import { deleteOldest, timeStep } from "./oldest.ts";
import type {
  CachedAnswer,
  CalibrateOptions,
  CalibrationReport,
  ComputeAnswer,
  ComputeAnswerOptions,
  GetAnswerOptions,
  LabelledPair,
  AnswerOptions,
  SemanticCacheOptions,
  SemanticCacheStats,
  SetAnswerOptions,
} from "./semantic-types.ts";
import { SingleFlight, type UnderWay } from "./single-flight.ts";
import { untilAborted } from "./until-aborted.ts";
import { copyVector, isVector } from "./vector-copy.ts";

export type * from "./semantic-types.ts";

/** What is stored beside the vector of a prompt. */
type Stored = {
  /** JSON. */
  answer: string;
  /** Milliseconds since 1970, no two of them the same in one process. */
  stored: number;
  /** Milliseconds since 1970; not there for an answer that lives for ever. */
  expires?: number;
};

const pathDefault = "./answers.cache";

/** Collections of one database that belong to the cache. */
const prefix = "answers/";

const namespaceBytesMax = 255 - prefix.length;

/** Bytes of UTF-8 that a key of a collection may have; frozen with the file format. */
const promptBytesMax = 65_536;

/** Vectors of the last prompts are kept, so that a `get()` and its `set()` embed once. */
const keptVectors = 64;

/** Expired answers are looked for when something is written, but not each time. */
const sweepEveryMs = 1000;

/** Namespaces that are looked at then: their number must not make a write slow. */
const sweptAtOnce = 8;

/** Calls of `embed` at the same time that a calibration makes. */
const calibrationConcurrency = 16;

const knownOptions = [
  "path",
  "database",
  "embed",
  "threshold",
  "namespace",
  "model",
  "ttl",
  "maxEntries",
];

const knownOfGet = ["namespace", "threshold", "signal"];

const knownOfSet = ["namespace", "ttl"];

const knownOfCompute = ["namespace", "threshold", "ttl", "signal"];

/**
 * Opens a cache from prompts to answers. A lookup finds the prompt itself, without embedding it, or
 * else the most similar prompt of its namespace that reaches the threshold.
 *
 * `Answer` is what JSON can hold: strings, finite numbers, booleans, null, plain arrays and objects
 * of them. It is a promise of the program, not checked when reading.
 *
 * @param options - See {@link SemanticCacheOptions}.
 * @throws VectorLiteError ERR_INVALID_ARGUMENT, and what opening a `Database` throws
 * @example
 * ```ts
 * using answers = semanticCache<string>({ embed, threshold: 0.95 });
 * const found = await answers.get("How do I log in?"); // { answer, score, … } | undefined
 * ```
 */
export function semanticCache<Answer = string>(
  options: SemanticCacheOptions,
): SemanticCache<Answer> {
  return new SemanticCache<Answer>(options);
}

/**
 * An open cache from prompts to answers, made by {@link semanticCache}. Every method throws
 * VectorLiteError ERR_CLOSED after `close()`.
 */
export class SemanticCache<Answer = string> implements Disposable {
  readonly #source: OpenSource;
  readonly #embed: SemanticCacheOptions["embed"];
  readonly #namespace: string;
  readonly #model: string | undefined;
  readonly #ttl: number;
  readonly #maxEntries: number;
  #threshold: number;
  #isClosed = false;
  /** The time of the last answer that was stored. */
  #stored = 0;
  /** When expired answers are looked for next. */
  #sweepAt = 0;
  /** Collections whose turn comes, the last one first. */
  #unswept: string[] = [];
  readonly #vectors = new Map<string, Promise<Float32Array>>();
  /** JSON, so that everybody who waits gets an answer of its own. */
  readonly #flights = new SingleFlight<string>();
  readonly #counts = {
    exactHits: 0,
    similarHits: 0,
    misses: 0,
    sets: 0,
    embeddings: 0,
    expirations: 0,
    evictions: 0,
  };

  /** @internal */
  constructor(options: SemanticCacheOptions) {
    const given = checkFields(options, knownOptions, "semanticCache()");
    checkFunction(given.embed, "embed");
    this.#embed = given.embed;
    this.#threshold = requiredThreshold(given.threshold);
    this.#namespace = checkNamespace(given.namespace ?? "default");
    this.#model = given.model === undefined ? undefined : checkText(given.model, "model");
    this.#ttl = ttlOption(given.ttl, Number.POSITIVE_INFINITY);
    this.#maxEntries = entriesOption(given.maxEntries);
    const { database, path = database === undefined ? pathDefault : undefined } = given;
    this.#source = new OpenSource({ path, database }, "semanticCache()", { durability: "normal" });
  }

  /** The threshold of calls that name none. */
  get threshold(): number {
    return this.#threshold;
  }

  /**
   * Answers in all namespaces, those among them that are expired and were not deleted yet.
   *
   * @throws VectorLiteError ERR_CLOSED
   */
  get size(): number {
    return this.#collectionNames().reduce(
      (size, name) => size + (this.#open(name, undefined)?.size ?? 0),
      0,
    );
  }

  /**
   * The answer of a prompt: of the prompt itself, which embeds nothing, or of the most similar one
   * that reaches the threshold, or `undefined`. In a large cache one that does may be missed about
   * once in a thousand times or less.
   *
   * @param prompt - A non-empty string of at most 65,536 bytes in UTF-8. Longer ones are refused:
   * embedding models do not read so far, and would find prompts alike that differ at their ends.
   * @param options - See {@link GetAnswerOptions}.
   * @throws VectorLiteError (as a rejection) ERR_KEY, ERR_INVALID_ARGUMENT, ERR_MODEL,
   * ERR_DIMENSION, ERR_INVALID_VECTOR, ERR_CORRUPT, ERR_CLOSED, whatever `embed` throws, and the
   * reason of `signal`
   * @example
   * ```ts
   * const found = await answers.get(question, { namespace: tenant });
   * if (found !== undefined) return found.answer;
   * ```
   */
  async get(
    prompt: string,
    options: GetAnswerOptions = {},
  ): Promise<CachedAnswer<Answer> | undefined> {
    const given = checkFields(options, knownOfGet, "get()");
    const name = this.#nameOf(given.namespace);
    const threshold = this.#thresholdOf(given.threshold);
    checkPrompt(prompt);
    const { signal } = given;
    signal?.throwIfAborted();
    const exact = this.#exact(name, prompt);
    if (exact !== undefined) return exact;
    try {
      return await untilAborted(this.#similar(name, prompt, threshold), signal);
    } catch (error) {
      if (signal?.aborted) this.#giveUp(prompt);
      throw error;
    }
  }

  /**
   * Stores the answer of a prompt, or replaces it.
   *
   * @param prompt - As for {@link get}.
   * @param answer - What JSON can hold; what it would lose, such as `undefined`, a function, NaN or
   * a Date, is an error. It is read before this call returns.
   * @param options - See {@link SetAnswerOptions}.
   * @throws VectorLiteError (as a rejection) ERR_KEY, ERR_INVALID_ARGUMENT, ERR_MODEL,
   * ERR_DIMENSION, ERR_INVALID_VECTOR, ERR_READONLY, ERR_LOCKED, ERR_NO_SPACE, ERR_POISONED,
   * ERR_CLOSED, and whatever `embed` throws
   * @example
   * ```ts
   * await answers.set(question, answer, { namespace: tenant, ttl: 24 * 3600 * 1000 });
   * ```
   */
  async set(prompt: string, answer: Answer, options: SetAnswerOptions = {}): Promise<void> {
    const given = checkFields(options, knownOfSet, "set()");
    const name = this.#nameOf(given.namespace);
    const ttl = ttlOption(given.ttl, this.#ttl);
    checkPrompt(prompt);
    await this.#store(name, prompt, encodeJson(answer, "The answer"), ttl);
  }

  /**
   * The answer that {@link get} finds, or what `compute` makes of the prompt, stored. Concurrent
   * calls of this cache for one prompt in one namespace look it up and compute it once; when that
   * fails, all of them fail and nothing is stored. Where it fails after the caller who began it has
   * given up, those who joined it compute again. The prompt is embedded once at most.
   *
   * @param compute - Called with the prompt and a signal on a miss, sync or async. It may not wait
   * for its own prompt.
   * @param options - See {@link ComputeAnswerOptions}.
   * @returns A copy that the caller owns.
   * @throws VectorLiteError (as a rejection) as {@link set}; whatever `embed` and `compute`
   * throw, and the reason of `signal`
   * @example
   * ```ts
   * const answer = await answers.getOrCompute(question, (question, { signal }) => {
   *   return ask(question, signal);
   * });
   * ```
   */
  async getOrCompute(
    prompt: string,
    compute: ComputeAnswer<Answer>,
    options: ComputeAnswerOptions = {},
  ): Promise<Answer> {
    checkFunction(compute, "compute");
    const given = checkFields(options, knownOfCompute, "getOrCompute()");
    const name = this.#nameOf(given.namespace);
    const threshold = this.#thresholdOf(given.threshold);
    const ttl = ttlOption(given.ttl, this.#ttl);
    checkPrompt(prompt);
    given.signal?.throwIfAborted();
    const exact = this.#exact(name, prompt);
    if (exact !== undefined) return exact.answer;
    // Who asks for more similarity must not get what somebody else was content with.
    const flight = JSON.stringify([name, threshold, prompt]);
    const work = async (underWay: UnderWay): Promise<string> => {
      const { signal } = underWay;
      signal.addEventListener("abort", () => this.#giveUp(prompt));
      const similar = await this.#similar(name, prompt, threshold);
      if (similar !== undefined) return JSON.stringify(similar.answer);
      signal.throwIfAborted();
      const answer = await this.#flights.call(flight, () => compute(prompt, { signal }));
      signal.throwIfAborted();
      const text = encodeJson(answer, "What compute returned");
      await this.#store(name, prompt, text, underWay.ttl, signal);
      return text;
    };
    return JSON.parse(await this.#flights.run(flight, work, { signal: given.signal, ttl }));
  }

  /**
   * Deletes the answer of a prompt, and no similar one.
   *
   * @returns Whether there was one.
   * @throws VectorLiteError ERR_KEY, ERR_INVALID_ARGUMENT, ERR_MODEL, ERR_READONLY,
   * ERR_LOCKED, ERR_NO_SPACE, ERR_POISONED, ERR_CLOSED
   */
  delete(prompt: string, options: AnswerOptions = {}): boolean {
    const given = checkFields(options, ["namespace"], "delete()");
    const name = this.#nameOf(given.namespace);
    checkPrompt(prompt);
    return this.#open(name, this.#model)?.delete(prompt) ?? false;
  }

  /**
   * Deletes all answers of one namespace or, where none is named, of all namespaces. What comes
   * then may be of another model and dimension.
   *
   * @throws VectorLiteError ERR_INVALID_ARGUMENT, ERR_READONLY, ERR_LOCKED, ERR_NO_SPACE,
   * ERR_POISONED, ERR_CLOSED
   */
  clear(options: AnswerOptions = {}): void {
    const given = checkFields(options, ["namespace"], "clear()");
    const names =
      given.namespace === undefined ? this.#collectionNames() : [this.#nameOf(given.namespace)];
    this.#checkOpen();
    this.#source.database.transaction(() => {
      for (const name of names) this.#source.database.dropCollection(name);
    });
  }

  /**
   * What was looked up and stored since the cache was opened.
   *
   * @throws VectorLiteError ERR_CLOSED
   */
  stats(): SemanticCacheStats {
    this.#checkOpen();
    return { ...this.#counts, joins: this.#flights.joins };
  }

  /**
   * Measures thresholds on labelled pairs and finds the lowest one whose hits have the wished
   * precision; see {@link CalibrationReport} for how sure that is. It reads and writes nothing of
   * the cache, and changes its threshold only where `apply` asks for that.
   *
   * The pairs should be what the cache will meet: a prompt, and the one nearest to it that others
   * asked. With pairs that are easier to tell apart the precision is lower than it says.
   *
   * @param pairs - Both labels have to occur. See {@link LabelledPair}.
   * @param options - See {@link CalibrateOptions}.
   * @throws VectorLiteError (as a rejection) ERR_INVALID_ARGUMENT, also where `apply` is
   * asked for and no threshold has the wished precision; ERR_DIMENSION, ERR_INVALID_VECTOR,
   * ERR_KEY, ERR_CLOSED, and whatever `embed` throws
   * @example
   * ```ts
   * const { threshold, falseHitRate } = await answers.calibrate(pairs, { precision: 0.99 });
   * ```
   */
  async calibrate(
    pairs: readonly LabelledPair[],
    options: CalibrateOptions,
  ): Promise<CalibrationReport> {
    const { precision, apply = false } = checkFields(
      options,
      ["precision", "apply"],
      "calibrate()",
    );
    checkPrecision(precision);
    if (typeof apply !== "boolean") throw invalidArgument("apply", "true or false", apply);
    if (!Array.isArray(pairs)) throw invalidArgument("The pairs", "an array", pairs);
    // Not `map`, which would leave out holes.
    const labelled = Array.from(pairs, checkPair);
    this.#checkOpen();
    const vectors = await this.#embedAll(new Set(labelled.flatMap(({ a, b }) => [a, b])));
    const scored = labelled.map(({ a, b, same }) => {
      return { same, score: roundedCosine(vectorOf(vectors, a), vectorOf(vectors, b)) };
    });
    const report = chooseThreshold(scored, precision);
    if (!apply) return report;
    if (report.threshold === undefined) {
      throw new VectorLiteError(
        "ERR_INVALID_ARGUMENT",
        `No threshold has a precision of ${precision} on these ${report.pairs} pairs; the cache ` +
          `keeps ${this.#threshold}. Without apply the report has the curve.`,
      );
    }
    this.#threshold = report.threshold;
    return report;
  }

  /**
   * Makes everything so far durable; returns when a power loss can no longer take it back.
   *
   * @throws VectorLiteError ERR_NO_SPACE, ERR_IO, ERR_POISONED, ERR_CLOSED
   */
  flush(): void {
    this.#checkOpen();
    this.#source.database.flush();
  }

  /**
   * Flushes and closes the cache; a database that it was given stays open. Closing twice is fine.
   *
   * @throws VectorLiteError where the flush fails; it is closed all the same.
   */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#vectors.clear();
    if (this.#source.isOwn) this.#source.close();
    else this.#source.database.flush();
  }

  /** Closes the cache at the end of a `using` block. */
  [Symbol.dispose](): void {
    this.close();
  }

  #checkOpen(): void {
    if (!this.#isClosed) return;
    throw new VectorLiteError("ERR_CLOSED", "The semantic cache is closed; open it again.");
  }

  #nameOf(namespace: string | undefined): string {
    return prefix + (namespace === undefined ? this.#namespace : checkNamespace(namespace));
  }

  #thresholdOf(threshold: number | undefined): number {
    return threshold === undefined ? this.#threshold : requiredThreshold(threshold);
  }

  #collectionNames(): string[] {
    this.#checkOpen();
    return this.#source.database.collections().filter((name) => name.startsWith(prefix));
  }

  /** The collection of that name, where there is one. Another process may drop it at any time. */
  #open(name: string, model: string | undefined): Collection<Stored> | undefined {
    this.#checkOpen();
    return this.#source.collection<Stored>(name, { metric: "cosine", model });
  }

  #exact(name: string, prompt: string): CachedAnswer<Answer> | undefined {
    const stored = this.#open(name, this.#model)?.get(prompt)?.metadata;
    if (stored === undefined || isExpired(stored)) return undefined;
    this.#counts.exactHits++;
    return { prompt, answer: JSON.parse(stored.answer), score: 1, exact: true };
  }

  /** Counts a miss too. */
  async #similar(
    name: string,
    prompt: string,
    threshold: number,
  ): Promise<CachedAnswer<Answer> | undefined> {
    const isEmpty = (this.#open(name, this.#model)?.size ?? 0) === 0;
    const vector = isEmpty ? undefined : await this.#vectorOf(prompt);
    const hit =
      vector === undefined
        ? undefined
        : this.#open(name, this.#model)?.search(vector, {
            k: 1,
            threshold,
            filter: { $not: { expires: { $lte: Date.now() } } },
          })[0];
    if (hit === undefined) {
      this.#counts.misses++;
      return undefined;
    }
    this.#counts.similarHits++;
    const answer = JSON.parse(hit.metadata.answer) as Answer;
    // It may have been stored while it was embedded.
    const exact = hit.key === prompt;
    return { prompt: hit.key, answer, score: exact ? 1 : hit.score, exact };
  }

  async #store(
    name: string,
    prompt: string,
    answer: string,
    ttl: number,
    signal?: AbortSignal,
  ): Promise<void> {
    // Answers of another model are told before the prompt is embedded.
    this.#open(name, this.#model);
    const vector = await this.#vectorOf(prompt);
    this.#checkOpen();
    await this.#source.write(() => {
      signal?.throwIfAborted();
      const collection = this.#source.database.collection<Stored>(name, {
        dimension: vector.length,
        metric: "cosine",
        model: this.#model,
      });
      const now = Date.now();
      const stored = Math.max(now, this.#stored + timeStep);
      const expires = now + ttl;
      collection.upsert(
        prompt,
        vector,
        expires === Number.POSITIVE_INFINITY ? { answer, stored } : { answer, stored, expires },
      );
      this.#stored = stored;
      this.#makeRoom(collection, now);
    });
    this.#counts.sets++;
  }

  /** Deletes what is expired now and then, and what was stored first where there is too much. */
  #makeRoom(collection: Collection<Stored>, now: number): void {
    if (now >= this.#sweepAt) {
      this.#sweepAt = now + sweepEveryMs;
      this.#sweep(collection.name, now);
    }
    if (collection.size <= this.#maxEntries) return;
    this.#deleteExpired(collection, now);
    const { size } = collection;
    if (size <= this.#maxEntries) return;
    // More than needed, so that the time is not looked for with every answer.
    const kept = this.#maxEntries - Math.floor(this.#maxEntries / 16);
    this.#counts.evictions += deleteOldest(collection, size - kept, this.#stored);
  }

  /** A few namespaces, also those that nobody writes to any more; one that becomes empty goes. */
  #sweep(writing: string, now: number): void {
    if (this.#unswept.length === 0) this.#unswept = this.#collectionNames();
    for (const name of this.#unswept.splice(-sweptAtOnce)) {
      const collection = this.#open(name, undefined);
      if (collection === undefined) continue;
      this.#deleteExpired(collection, now);
      if (collection.size === 0 && name !== writing) this.#source.database.dropCollection(name);
    }
  }

  #deleteExpired(collection: Collection<Stored>, now: number): void {
    this.#counts.expirations += collection.deleteWhere({ expires: { $lte: now } });
  }

  /** The vector of a prompt, made or kept. */
  #vectorOf(prompt: string): Promise<Float32Array> {
    const known = this.#vectors.get(prompt);
    if (known !== undefined) return known;
    const made = this.#embedOne(prompt);
    this.#vectors.set(prompt, made);
    made.catch(() => {
      if (this.#vectors.get(prompt) === made) this.#vectors.delete(prompt);
    });
    for (const oldest of this.#vectors.keys()) {
      if (this.#vectors.size <= keptVectors) break;
      this.#vectors.delete(oldest);
    }
    return made;
  }

  /** A vector that somebody gave up waiting for may never come, so nobody waits for it again. */
  #giveUp(prompt: string): void {
    this.#vectors.delete(prompt);
  }

  async #embedOne(text: string): Promise<Float32Array> {
    this.#counts.embeddings++;
    const made = this.#embed(text);
    // Copied at once where it is there at once: an embedder may fill the same array each time.
    const name = "What embed returned";
    return isVector(made) ? copyVector(made, name) : copyVector(await made, name);
  }

  async #embedAll(texts: ReadonlySet<string>): Promise<Map<string, Float32Array>> {
    const vectors = new Map<string, Float32Array>();
    const waiting = texts.values();
    const embedNext = async (): Promise<void> => {
      for (const text of waiting) vectors.set(text, await this.#embedOne(text));
    };
    await Promise.all(Array.from({ length: calibrationConcurrency }, embedNext));
    return vectors;
  }
}

function isExpired({ expires }: Stored): boolean {
  return expires !== undefined && expires <= Date.now();
}

function requiredThreshold(value: unknown): number {
  if (value !== undefined) return checkNumber(value, "threshold", -1, 1);
  throw new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    "semanticCache() has no threshold; pass a cosine similarity in [-1, 1], and measure it with " +
      "calibrate().",
  );
}

function checkPrecision(value: unknown): void {
  if (checkNumber(value, "precision", 0, 1) > 0) return;
  throw invalidArgument("precision", "a number above 0 and up to 1", value);
}

function entriesOption(value: unknown): number {
  if (value === undefined) return Number.POSITIVE_INFINITY;
  if (Number.isSafeInteger(value) && Number(value) >= 1) return Number(value);
  throw invalidArgument("maxEntries", "a whole number of answers, 1 or more", value);
}

function ttlOption(value: unknown, fallback: number): number {
  if (value === undefined) return fallback;
  if (typeof value === "number" && value >= 1) return value;
  throw invalidArgument("ttl", "a number of milliseconds, 1 or more", value);
}

function checkNamespace(namespace: unknown): string {
  const name = checkText(namespace, "namespace");
  const bytes = Buffer.byteLength(name);
  if (bytes <= namespaceBytesMax) return name;
  throw new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    `The namespace ${JSON.stringify(name.slice(0, 60))}… has ${bytes} bytes of UTF-8; expected ` +
      `${namespaceBytesMax} at most. Use a cryptographic hash of a long one.`,
  );
}

function checkPrompt(prompt: unknown): string {
  if (typeof prompt !== "string") throw invalidArgument("The prompt", "a string", prompt);
  if (prompt === "") throw new VectorLiteError("ERR_KEY", "The prompt is empty.");
  if (!prompt.isWellFormed()) {
    throw new VectorLiteError(
      "ERR_KEY",
      "The prompt holds a lone surrogate, half a character that UTF-8 cannot encode; fix where " +
        "the text was cut, or use prompt.toWellFormed().",
    );
  }
  if (prompt.length * 3 <= promptBytesMax) return prompt;
  const bytes = Buffer.byteLength(prompt);
  if (bytes <= promptBytesMax) return prompt;
  throw new VectorLiteError(
    "ERR_KEY",
    `The prompt has ${bytes} bytes of UTF-8; expected ${promptBytesMax} at most, since no ` +
      "embedding reads more. Ask the model without the cache, or make the part that changes the " +
      "prompt.",
  );
}

function checkPair(pair: unknown, index: number): LabelledPair {
  const name = `pairs[${index}]`;
  if (!isPlainObject(pair)) throw invalidArgument(name, "an object of a, b and same", pair);
  const { a, b, same } = pair as Partial<LabelledPair>;
  if (typeof same !== "boolean") throw invalidArgument(`${name}.same`, "true or false", same);
  return { a: checkPrompt(a), b: checkPrompt(b), same };
}

function vectorOf(vectors: ReadonlyMap<string, Float32Array>, text: string): Float32Array {
  const vector = vectors.get(text);
  if (vector === undefined) throw new Error(`No vector of ${JSON.stringify(text)}.`);
  return vector;
}
