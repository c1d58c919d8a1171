/**
 * A cache of embeddings in one crash-safe file, used like a `Map`.
 *
 * @example
 * ```ts
 * using cache = new EmbedCache({ path: "embeddings.cache", dimension: 1536 });
 * const vector = await cache.getOrCompute(text, embed);
 * const similar = cache.findSimilar(vector, { threshold: 0.9 });
 * ```
 *
 * @module
 */

import type { CacheNamespace } from "./cache-namespace.ts";
import { tokensOption, ttlOption } from "./entry-facts.ts";
import { VectorLiteError } from "./errors.ts";
import { Flights } from "./flights.ts";
import { hashKeysOption } from "./hashed-keys.ts";
import { collectionNames } from "./names.ts";
import {
  type CacheSettings,
  checkSameNamespace,
  checkServerless,
  identityOf,
  openCache,
  openNamespace,
} from "./open-cache.ts";
import { checkOptions, type Known, thresholdOption } from "./options.ts";
import { planSearch, searchOne } from "./search.ts";
import { sharedInstance } from "./serverless.ts";
import type {
  CacheMode,
  CacheStats,
  Compute,
  ComputeMany,
  ComputeManyOptions,
  ComputeOptions,
  EmbedCacheOptions,
  GetOptions,
  NamespaceOptions,
  SearchOptions,
  SetOptions,
  ServerlessOptions,
  SimilarEntry,
  VectorBatch,
  VectorLike,
  VectorsLike,
} from "./types.ts";

const knownOfGet: Known = { dimensions: true };

const knownOfSet: Known = { ttl: true, tokens: true };
const knownOfSearch: Known = { k: true, threshold: true, exact: true, threads: true };

/** One namespace among others of an open cache. */
class Sibling {
  readonly root: EmbedCache;
  readonly name: string;
  readonly options: NamespaceOptions | undefined;

  constructor(root: EmbedCache, name: string, options: NamespaceOptions | undefined) {
    this.root = root;
    this.name = name;
    this.options = options;
  }
}

/**
 * A persistent cache from texts to embeddings. Vectors come back bit for bit as they were set.
 *
 * Every method throws {@link VectorLiteError} ERR_CLOSED after `close()`, and may throw
 * ERR_CORRUPT or ERR_IO where the file is damaged.
 */
export class EmbedCache implements Disposable {
  readonly #namespace: CacheNamespace;
  readonly #settings: CacheSettings;
  readonly #flights: Flights;
  /** What opened the file; its namespaces are found there. */
  readonly #root: EmbedCache;
  /**
   * Those of the file that are open, for as long as it is: what a namespace knows of its reads, and
   * what it has counted, is in its handle, and would be gone with an object that nobody holds.
   */
  readonly #namespaces: Map<string, EmbedCache>;

  /** @internal */
  constructor(sibling: Sibling);
  /**
   * Opens a cache file, or creates it.
   *
   * @param options - See {@link EmbedCacheOptions}.
   * @throws {@link VectorLiteError} ERR_INVALID_ARGUMENT, ERR_DIMENSION, ERR_MODEL,
   * ERR_NOT_A_DATABASE, ERR_VERSION, ERR_CORRUPT, ERR_IO, ERR_NO_SPACE, ERR_READONLY, ERR_LOCKED,
   * ERR_NATIVE_LIBRARY
   * @example
   * ```ts
   * const cache = new EmbedCache({ path: "embeddings.cache", similarityThreshold: 0.9 });
   * ```
   */
  constructor(options?: EmbedCacheOptions);
  constructor(source?: EmbedCacheOptions | Sibling) {
    const { namespace, settings } =
      source instanceof Sibling
        ? openNamespace(
            source.root.#namespace.file,
            source.name,
            source.options,
            source.root.#settings,
          )
        : openCache(source);
    this.#namespace = namespace;
    this.#settings = settings;
    this.#flights = new Flights(namespace, settings.batches);
    this.#root = source instanceof Sibling ? source.root : this;
    this.#namespaces = source instanceof Sibling ? source.root.#namespaces : new Map();
    this.#namespaces.set(namespace.plan.name, this);
    namespace.file.namespaces.add(namespace);
    if (namespace.file.connection.isBounded || settings.rowsMax > 0) namespace.file.mayLose = true;
  }

  /**
   * The cache of that name for this process, in the platform's temp folder; made at the first
   * call, and again after it was closed. Warm invocations and module reloads get the same one.
   *
   * @param name - Letters, digits, dots, dashes and underscores. Default `"default"`.
   * @param options - Those of a cache without `path`. The first call decides; a later one may not
   * contradict its dimension or model.
   * @throws {@link VectorLiteError} as the constructor
   * @example
   * ```ts
   * export default async function handler(request: Request): Promise<Response> {
   *   const cache = EmbedCache.forServerless("search", { dimension: 1536 });
   *   const vector = await cache.getOrCompute(await request.text(), embed);
   *   return Response.json(cache.search(vector, { k: 5 }).map(({ key }) => key));
   * }
   * ```
   */
  static forServerless(name: string = "default", options?: ServerlessOptions): EmbedCache {
    const given = checkServerless(options);
    return sharedInstance(name, given, (path) => {
      const instance = newCache({ ...given, path });
      const isOpen = (): boolean => instance.#namespace.isOpen;
      return { instance, isOpen, checkSame: (later) => instance.#checkSame(later) };
    });
  }

  #checkSame(given: ServerlessOptions): void {
    const { namespace = "default" } = given;
    const { plan } = this.#namespace;
    if (namespace === plan.name) {
      const { dimension, model } = identityOf(given);
      const hashKeys =
        given.hashKeys === undefined ? plan.hashKeys : hashKeysOption(given.hashKeys);
      this.#namespace.decide(dimension, model, hashKeys);
      return;
    }
    throw new VectorLiteError(
      "ERR_INVALID_ARGUMENT",
      `The serverless cache is open with the namespace ${JSON.stringify(plan.name)}; found ` +
        `${JSON.stringify(namespace)}. Call namespace() of it instead.`,
    );
  }

  /**
   * A cache of its own in the same file: its keys, dimension and model have nothing to do with
   * those of others. The same object for the same name, whichever cache of the file is asked;
   * `"default"` is the one that a cache without `namespace` is.
   *
   * One that is not in the file yet and gets no `dimension` is made by its first vector. Until then
   * it is empty: reads miss, `getMany` returns no numbers, and `stats().dimension` is 0.
   *
   * It is closed with the cache that opened the file; `close()` of what this returns does nothing.
   *
   * @param name - At most 255 bytes of UTF-8.
   * @param options - See {@link NamespaceOptions}. What is not said is as in the cache that opened
   * the file, except dimension and model. They may not contradict what is stored or open.
   * @throws {@link VectorLiteError} ERR_INVALID_ARGUMENT, ERR_DIMENSION, ERR_MODEL, ERR_NO_SPACE,
   * ERR_LOCKED, ERR_CORRUPT, ERR_IO, ERR_CLOSED
   * @example
   * ```ts
   * const queries = cache.namespace("queries", { model: "embed-3-small" });
   * const vector = await queries.getOrCompute(text, embedQuery);
   * ```
   */
  namespace(name: string, options?: NamespaceOptions): EmbedCache {
    this.#namespace.connection.checkOpen();
    const open = this.#namespaces.get(name);
    if (open === undefined) return newCache(new Sibling(this.#root, name, options));
    if (options !== undefined) {
      checkSameNamespace({ namespace: open.#namespace, settings: open.#settings }, options);
    }
    return open;
  }

  /**
   * The names of the namespaces that are in the file.
   *
   * @throws {@link VectorLiteError} ERR_CLOSED
   */
  namespaces(): string[] {
    this.#namespace.connection.checkOpen();
    return collectionNames(this.#namespace.connection);
  }

  /**
   * Inserts an entry or replaces the one with its key.
   *
   * @param key - A non-empty string of at most 65,536 bytes in UTF-8.
   * @param vector - Copied. Finite numbers, not all zero.
   * @param options - See {@link SetOptions}.
   * @throws {@link VectorLiteError} ERR_KEY, ERR_DIMENSION, ERR_INVALID_VECTOR,
   * ERR_INVALID_ARGUMENT, ERR_READONLY, ERR_LOCKED, ERR_NO_SPACE, ERR_POISONED, ERR_CLOSED
   * @example
   * ```ts
   * cache.set("What is a vector?", embedding);
   * ```
   */
  set(key: string, vector: VectorLike, options?: SetOptions): void {
    const given = checkOptions(options, knownOfSet, "set()");
    this.#namespace.put(key, vector, ttlOption(given.ttl, 0), tokensOption(given.tokens));
  }

  /**
   * Inserts or replaces many entries as one atomic batch: all of them or, after an error, none.
   * Of several equal keys the last wins.
   *
   * @param keys - One key for each vector.
   * @param vectors - A list of vectors, or one packed array of n × dimension numbers.
   * @param options - `ttl`: as for {@link set}, of all of them.
   * @throws {@link VectorLiteError} as {@link set}
   * @example
   * ```ts
   * cache.setMany(["a", "b"], [a, b]);
   * ```
   */
  setMany(keys: readonly string[], vectors: VectorsLike, options?: Pick<SetOptions, "ttl">): void {
    const given = checkOptions(options, { ttl: true }, "setMany()");
    this.#namespace.putMany(keys, vectors, ttlOption(given.ttl, 0));
  }

  /**
   * The vector of a key, or `undefined`. It is a copy that the caller owns.
   *
   * @param options - `dimensions`: the first so many numbers, scaled to the length 1.
   * @throws {@link VectorLiteError} ERR_DIMENSION where the model is not declared to have vectors
   * of that length, see {@link ModelIdentity}; ERR_KEY, ERR_INVALID_VECTOR, ERR_INVALID_ARGUMENT,
   * ERR_CORRUPT, ERR_CLOSED
   * @example
   * ```ts
   * const vector = cache.get("What is a vector?");
   * ```
   */
  get(key: string, options?: GetOptions): Float32Array | undefined {
    if (options === undefined) return this.#namespace.getVector(key);
    const { dimensions } = checkOptions(options, knownOfGet, "get()");
    const prefix = this.#namespace.prefixLength(dimensions);
    return prefix === 0 ? this.#namespace.getVector(key) : this.#namespace.getPrefix(key, prefix);
  }

  /**
   * Copies the vector of a key into `out` and allocates nothing: the fastest read.
   *
   * @param out - A `Float32Array` of `dimension` numbers or, where the model is declared
   * `matryoshka`, of so many as are wanted; undefined content after an error.
   * @returns Whether the key was found; on a miss `out` stays as it was.
   * @throws {@link VectorLiteError} ERR_KEY, ERR_DIMENSION, ERR_INVALID_ARGUMENT, ERR_CORRUPT,
   * ERR_CLOSED
   * @example
   * ```ts
   * const out = new Float32Array(1536);
   * for (const text of texts) if (cache.getInto(text, out)) use(out);
   * ```
   */
  getInto(key: string, out: Float32Array): boolean {
    return this.#namespace.getInto(key, out);
  }

  /**
   * The vectors of many keys in one call.
   *
   * @returns Packed vectors in the order of the keys, zeros where one is missing.
   * @throws {@link VectorLiteError} ERR_KEY, ERR_INVALID_ARGUMENT, ERR_CORRUPT, ERR_CLOSED
   */
  getMany(keys: readonly string[]): VectorBatch {
    return this.#namespace.getMany(keys);
  }

  /**
   * Whether there is an entry with that key.
   *
   * @throws {@link VectorLiteError} ERR_KEY, ERR_INVALID_ARGUMENT, ERR_CORRUPT, ERR_CLOSED
   */
  has(key: string): boolean {
    return this.#namespace.has(key);
  }

  /**
   * Deletes the entry of a key.
   *
   * @returns Whether there was one.
   * @throws {@link VectorLiteError} as {@link set}
   */
  delete(key: string): boolean {
    return this.#namespace.delete(key);
  }

  /**
   * Deletes all entries.
   *
   * @throws {@link VectorLiteError} as {@link set}
   */
  clear(): void {
    this.#namespace.clear();
  }

  /**
   * Entries in the cache.
   *
   * @throws {@link VectorLiteError} ERR_CLOSED
   */
  get size(): number {
    return this.#namespace.size;
  }

  /** What it may write and compute: the option `mode` that the file was opened with. */
  get mode(): CacheMode {
    return this.#namespace.file.mode;
  }

  /**
   * Iterates over the keys, in no particular order, as they are at the first step; writes
   * meanwhile are fine and not seen. With `hashKeys` these are the hashes.
   *
   * @throws {@link VectorLiteError} ERR_CLOSED, ERR_CORRUPT
   */
  keys(): Generator<string, void, undefined> {
    return this.#namespace.keys();
  }

  /**
   * The cached vector of a key, or what `compute` makes of it, stored. In one process a key is
   * computed once for everybody who wants it meanwhile, also through other handles of the file and
   * in other threads. When that fails nothing is stored and all of its thread fail; of the other
   * threads one computes it again.
   *
   * @param compute - Called with the key on a miss, sync or async; returns a vector, or
   * `{ vector, tokens }`. It may not wait for its own key, and had better not for
   * another thread that does: that one waits 30 seconds before it computes the key too.
   * @param options - `dimensions` as for {@link get}. `signal`: gives up waiting. The `signal` that
   * `compute` gets is aborted only when everybody who waits in its thread has given up; nothing is
   * stored then.
   * @returns A copy that the caller owns.
   * @throws {@link VectorLiteError} (as a rejection) as {@link set}, whatever `compute` throws, and
   * the reason of `signal`
   * @example
   * ```ts
   * const vector = await cache.getOrCompute(text, (text, { signal }) => embed(text, signal));
   * ```
   */
  getOrCompute(key: string, compute: Compute, options?: ComputeOptions): Promise<Float32Array> {
    return this.#flights.one(key, compute, options);
  }

  /**
   * The same for many keys: `compute` is called with the distinct keys that are neither cached nor
   * being computed already, in batches, or not at all.
   *
   * Each batch is stored as a whole when it is computed, and stays where a later one fails. After a
   * failure the call rejects at once: no more batches are begun, and those under way are stored
   * when they come. Where a computation fails after the caller who began it has given up, those who
   * joined it compute again.
   *
   * @param compute - Returns one vector for each of its keys, in their order, sync or async; or
   * `{ vectors, tokens }`. It may not wait for one of the keys of this call, and had better not
   * for another thread that does, see {@link getOrCompute}.
   * @param options - `signal` and `dimensions` as for {@link getOrCompute}; `maxBatch` and
   * `concurrency` as for the cache.
   * @returns The vectors in the order of `keys`, duplicates included. The caller owns them; they
   * are views of one packed array, which lives as long as one of them does: `slice()` what is kept.
   * @throws {@link VectorLiteError} (as a rejection) as {@link set}, whatever `compute` throws, and
   * the reason of `signal`
   * @example
   * ```ts
   * const vectors = await cache.getOrComputeMany(texts, (missing) => embedAll(missing), {
   *   maxBatch: 100,
   * });
   * ```
   */
  getOrComputeMany(
    keys: readonly string[],
    compute: ComputeMany,
    options?: ComputeManyOptions,
  ): Promise<Float32Array[]> {
    return this.#flights.many(keys, compute, options);
  }

  /**
   * The entry most similar to `vector`, if it is at least as close as the threshold. Never one that
   * is not; in a large cache one that is may be missed about once in a thousand times or less.
   *
   * @param options - `threshold`: default `similarityThreshold` of the cache.
   * @throws {@link VectorLiteError} ERR_INVALID_ARGUMENT where there is no threshold at all,
   * ERR_DIMENSION, ERR_INVALID_VECTOR, ERR_CORRUPT, ERR_CLOSED
   * @example
   * ```ts
   * const known = cache.findSimilar(question, { threshold: 0.95 });
   * if (known !== undefined) return answers.get(known.key);
   * ```
   */
  findSimilar(
    vector: VectorLike,
    options?: { threshold?: number | undefined },
  ): SimilarEntry | undefined {
    const given = checkOptions(options, { threshold: true }, "findSimilar()");
    const named = thresholdOption(given.threshold, "threshold");
    const threshold = Number.isNaN(named) ? this.#settings.threshold : named;
    if (Number.isNaN(threshold)) {
      throw new VectorLiteError(
        "ERR_INVALID_ARGUMENT",
        "findSimilar() has no threshold; pass { threshold } or open the cache with " +
          "similarityThreshold.",
      );
    }
    return this.#nearest(vector, { k: 1, threshold }, "findSimilar()")[0];
  }

  /**
   * The entries most similar to `vector`, the closest first. Scores are exact; in a large cache one
   * of the most similar may be missed about once in a thousand times or less.
   *
   * @param options - `k`: entries wanted at most, default 10. `threshold`: only entries at least
   * this close, default none. `exact` and `threads`: as for `collection.search()`.
   * @throws {@link VectorLiteError} ERR_DIMENSION, ERR_INVALID_VECTOR, ERR_INVALID_ARGUMENT,
   * ERR_CORRUPT, ERR_CLOSED
   * @example
   * ```ts
   * for (const { key, score } of cache.search(question, { k: 3 })) print(score, key);
   * ```
   */
  search(
    vector: VectorLike,
    options?: Pick<SearchOptions, "k" | "threshold" | "exact" | "threads">,
  ): SimilarEntry[] {
    const given = checkOptions(options, knownOfSearch, "search()");
    return this.#nearest(vector, given, "search()");
  }

  #nearest(
    vector: VectorLike,
    options: Pick<SearchOptions, "k" | "threshold" | "exact" | "threads">,
    where: string,
  ): SimilarEntry[] {
    const plan = planSearch({ ...options, include: ["vector"] }, where);
    const { records } = this.#namespace;
    if (records === undefined) return [];
    return searchOne(records, vector, plan, "The vector") as SimilarEntry[];
  }

  /**
   * Sizes in bytes and counts; measured, not estimated.
   *
   * @throws {@link VectorLiteError} ERR_CLOSED
   */
  stats(): CacheStats {
    const stats = this.#namespace.stats();
    const asked = stats.hits + stats.misses;
    const tokensSaved = this.#namespace.tally()?.savedCost ?? 0;
    return {
      ...stats,
      tokensSaved,
      moneySaved: this.#namespace.moneyOf(tokensSaved),
      ...this.#flights.counts,
      hitRate: asked === 0 ? 0 : stats.hits / asked,
    };
  }

  /**
   * Makes everything so far durable; returns when a power loss can no longer take it back.
   *
   * @throws {@link VectorLiteError} ERR_NO_SPACE, ERR_IO, ERR_POISONED, ERR_CLOSED
   */
  flush(): void {
    this.#namespace.connection.flush();
  }

  /**
   * Flushes and closes the cache with all its namespaces. Closing twice is fine, and one that came
   * from {@link namespace} is closed with the cache that it came from.
   *
   * @throws {@link VectorLiteError} where the flush fails; it is closed all the same.
   */
  close(): void {
    if (this.#root === this) this.#namespace.connection.close();
  }

  /** Closes the cache at the end of a `using` block. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** Not in the class: esbuild renames one that names itself, and it prints as `_EmbedCache` then. */
function newCache(source: EmbedCacheOptions | Sibling): EmbedCache {
  return source instanceof Sibling ? new EmbedCache(source) : new EmbedCache(source);
}
