/**
 * LangChain's key-value store of vectors, over an embedding cache.
 *
 * @module
 */

import { BaseStore } from "@langchain/core/stores";
import type { EmbedCache } from "vectorlite";

/** Parameters of `new VectorLiteStore()`. */
export interface VectorLiteStoreParams {
  /** An open cache, or a namespace of one; whoever opened it closes it. */
  cache: EmbedCache;
}

/**
 * A store of vectors by key, for `CacheBackedEmbeddings` and whatever else takes a `BaseStore`.
 *
 * Keys are those of the cache: `CacheBackedEmbeddings` uses whole texts, so open the cache with
 * `hashKeys` where they may be over 65,536 bytes of UTF-8. Vectors are rounded to 32-bit floats.
 * `CachedEmbeddings` keeps models apart and caches queries too, which this cannot.
 *
 * @example
 * ```ts
 * const embeddings = new CacheBackedEmbeddings({
 *   underlyingEmbeddings: openai,
 *   documentEmbeddingStore: new VectorLiteStore({ cache: cache.namespace("embed-3-small") }),
 * });
 * ```
 */
export class VectorLiteStore extends BaseStore<string, number[]> {
  lc_namespace: string[] = ["vectorlite", "stores"];
  readonly #cache: EmbedCache;

  constructor({ cache }: VectorLiteStoreParams) {
    super();
    this.#cache = cache;
  }

  /** The name by which LangChain prints it. */
  static override lc_name(): string {
    return "VectorLiteStore";
  }

  /**
   * The vectors of keys, in their order; `undefined` where there is none.
   *
   * @throws VectorLiteError as `EmbedCache.getMany`
   */
  override async mget(keys: string[]): Promise<(number[] | undefined)[]> {
    if (keys.length === 0) return [];
    const { vectors, found } = this.#cache.getMany(keys);
    const dimension = vectors.length / keys.length;
    return keys.map((_, index) =>
      found[index] === 1
        ? Array.from(vectors.subarray(index * dimension, (index + 1) * dimension))
        : undefined,
    );
  }

  /**
   * Stores all pairs, or, after an error, none.
   *
   * @throws VectorLiteError as `EmbedCache.setMany`
   */
  override async mset(keyValuePairs: [string, number[]][]): Promise<void> {
    this.#cache.setMany(
      keyValuePairs.map(([key]) => key),
      keyValuePairs.map(([, vector]) => vector),
    );
  }

  /**
   * Deletes keys; one that is not there is fine.
   *
   * @throws VectorLiteError as `EmbedCache.delete`
   */
  override async mdelete(keys: string[]): Promise<void> {
    for (const key of keys) this.#cache.delete(key);
  }

  /**
   * The keys, in no particular order, as they are at the first step.
   *
   * @param prefix - Only keys that begin like this. Default: all.
   * @throws VectorLiteError as `EmbedCache.keys`
   */
  override async *yieldKeys(prefix = ""): AsyncGenerator<string> {
    for (const key of this.#cache.keys()) if (key.startsWith(prefix)) yield key;
  }
}
