/**
 * VectorLite for OpenAI's own SDK, and for servers that speak its protocol.
 *
 * Vectors are asked for in base64 and decoded once, straight into 32-bit floats. The client stays
 * as it is: nothing of it is replaced.
 *
 * @example
 * ```ts
 * import OpenAI from "openai";
 * import { EmbedCache } from "vectorlite";
 * import { cachedEmbeddings } from "vectorlite/openai";
 *
 * using cache = new EmbedCache({ path: "embeddings.cache" });
 * const embeddings = cachedEmbeddings(cache, new OpenAI(), { model: "text-embedding-3-small" });
 * const vector = await embeddings.embed("What is a vector?");
 * ```
 *
 * @module vectorlite/openai
 */

import type OpenAI from "openai";
import { type EmbedCache, VectorLiteError } from "vectorlite";
import { embedInSpace, spaceOf } from "./model-spaces.ts";

/** What is used of a client; one of `AzureOpenAI` fits as well. */
export type OpenAIClient = Pick<OpenAI, "baseURL" | "embeddings">;

/** Options of {@link openaiEmbedder}. */
export interface OpenAIEmbedderOptions {
  /** The model's id, such as `"text-embedding-3-small"`. */
  readonly model: string;
  /** Numbers in a vector, for models that can shorten them. Default: what the model makes. */
  readonly dimensions?: number | undefined;
}

/** Options of {@link cachedEmbeddings}. */
export interface CachedEmbeddingsOptions extends OpenAIEmbedderOptions {
  /**
   * Who serves the model, since two servers may call different models the same. Default: host and
   * path of the client's `baseURL`, such as `"api.openai.com/v1"`.
   */
  readonly provider?: string | undefined;
}

/** Options of one call. */
export interface OpenAIEmbedOptions {
  /** Gives up waiting. Others who wait for the same texts still get them. */
  readonly signal?: AbortSignal | undefined;
}

/** What OpenAI answered. */
export interface OpenAIEmbedded {
  /** One vector for each text, in their order; they share one buffer. */
  readonly vectors: Float32Array[];
  /** What all requests cost. */
  readonly tokens: number;
}

/** Embeddings that are paid for once. */
export interface CachedEmbeddings {
  /**
   * The vector of a text, as a copy that the caller owns.
   *
   * @throws What the client throws, and VectorLiteError as `EmbedCache.getOrComputeMany`
   */
  embed(text: string, options?: OpenAIEmbedOptions): Promise<Float32Array>;
  /**
   * The vectors of texts, in their order, duplicates included.
   *
   * @throws As `embed`
   */
  embedMany(texts: readonly string[], options?: OpenAIEmbedOptions): Promise<Float32Array[]>;
  /** The namespace of the model, for `search` and the rest of the cache. */
  readonly cache: EmbedCache;
}

/** Texts in one request; the API takes no more. */
const requestTextsMax = 2048;

/** The API takes 300,000 tokens in one request, and a token has at least one byte. */
const requestBytesMax = 300_000;

/**
 * Asks OpenAI for vectors: a function for `cache.getOrComputeMany`, for a cache that belongs to one
 * model. It splits what is too much for one request.
 *
 * @throws (as a rejection) What the client throws, VectorLiteError ERR_INVALID_ARGUMENT
 * where the answer has not one vector for each text, and ERR_DIMENSION where they differ in length.
 * @example
 * ```ts
 * const embedTexts = openaiEmbedder(new OpenAI(), { model: "text-embedding-3-small" });
 * const vectors = await cache.getOrComputeMany(texts, embedTexts);
 * ```
 */
export function openaiEmbedder(
  client: OpenAIClient,
  { model, dimensions }: OpenAIEmbedderOptions,
): (texts: readonly string[], options?: OpenAIEmbedOptions) => Promise<OpenAIEmbedded> {
  const shape = dimensions === undefined ? { model } : { model, dimensions };
  return async (texts, options) => {
    const signal = options?.signal;
    const encoded: Encoded[] = [];
    let tokens = 0;
    for (const input of requestsOf(texts)) {
      const { data, usage } = await client.embeddings.create(
        { ...shape, input, encoding_format: "base64" },
        signal === undefined ? {} : { signal },
      );
      encoded.push(...inOrder(data, input.length));
      // Servers that speak the protocol do not all count.
      if (Number.isFinite(usage?.total_tokens)) tokens += usage.total_tokens;
    }
    return { vectors: decoded(encoded, dimensions), tokens };
  };
}

/**
 * Embeddings of one model behind a cache. The vectors lie in a namespace of the cache for this
 * model and these dimensions; its own entries are not touched.
 *
 * A text over 65,536 bytes of UTF-8 can be no key: it is embedded each time and not stored.
 *
 * @throws VectorLiteError ERR_CLOSED
 * @example
 * ```ts
 * const embeddings = cachedEmbeddings(cache, new OpenAI(), { model: "text-embedding-3-small" });
 * const vectors = await embeddings.embedMany(texts);
 * const similar = embeddings.cache.search(await embeddings.embed("What is a vector?"));
 * ```
 */
export function cachedEmbeddings(
  cache: EmbedCache,
  client: OpenAIClient,
  { model, dimensions, provider = providerOf(client) }: CachedEmbeddingsOptions,
): CachedEmbeddings {
  const identity = { provider, model, dimensions };
  const compute = openaiEmbedder(client, { model, dimensions });
  const embedMany: CachedEmbeddings["embedMany"] = (texts, options) =>
    embedInSpace(cache, identity, texts, compute, options);
  return {
    embed: async (text, options) => (await embedMany([text], options))[0] as Float32Array,
    embedMany,
    cache: spaceOf(cache, identity),
  };
}

function providerOf({ baseURL }: OpenAIClient): string {
  const { host, pathname } = new URL(baseURL);
  return `${host}${pathname}`.replace(/\/+$/, "");
}

function* requestsOf(texts: readonly string[]): Generator<string[]> {
  let request: string[] = [];
  let bytes = 0;
  for (const text of texts) {
    const more = Buffer.byteLength(text);
    if (
      request.length === requestTextsMax ||
      (request.length > 0 && bytes + more > requestBytesMax)
    ) {
      yield request;
      request = [];
      bytes = 0;
    }
    request.push(text);
    bytes += more;
  }
  if (request.length > 0) yield request;
}

/** Base64 of 32-bit floats; servers that know no base64 send numbers all the same. */
type Encoded = string | readonly unknown[];

interface Item {
  index: number;
  embedding: Encoded;
}

/** The items of an answer by their index, which need not be the order that they come in. */
function inOrder(items: unknown, count: number): Encoded[] {
  if (!Array.isArray(items)) throw wrongAnswer("no list of vectors", count);
  if (items.length !== count) throw wrongAnswer(`${items.length} vectors`, count);
  const ordered = new Map<unknown, Encoded>();
  for (const item of items) if (isItem(item)) ordered.set(item.index, item.embedding);
  return Array.from({ length: count }, (_, index) => {
    const found = ordered.get(index);
    if (found === undefined) throw wrongAnswer(`no vector with the index ${index}`, count);
    return found;
  });
}

function isItem(item: unknown): item is Item {
  if (typeof item !== "object" || item === null || !("embedding" in item)) return false;
  return typeof item.embedding === "string" || Array.isArray(item.embedding);
}

function wrongAnswer(found: string, count: number): VectorLiteError {
  return new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    `The server answered with ${found} for ${count} texts; expected one for each. Look at what ` +
      "answers at the client's baseURL.",
  );
}

function decoded(encoded: readonly Encoded[], dimensions: number | undefined): Float32Array[] {
  const dimension = dimensions ?? Math.floor(lengthOf(encoded[0] ?? []));
  const packed = new Float32Array(encoded.length * dimension);
  const bytes = Buffer.from(packed.buffer);
  return encoded.map((one, row) => {
    if (lengthOf(one) !== dimension) throw wrongLength(lengthOf(one), dimension);
    const vector = packed.subarray(row * dimension, (row + 1) * dimension);
    if (typeof one === "string") writeBase64(bytes, one, vector.byteOffset);
    else writeNumbers(vector, one);
    return vector;
  });
}

/** Characters that are not of base64 are skipped over by the runtime, not refused. */
function writeBase64(bytes: Buffer, text: string, offset: number): void {
  const wanted = Buffer.byteLength(text, "base64");
  const written = bytes.write(text, offset, wanted, "base64");
  if (written === wanted) return;
  throw new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    `The server answered with base64 that ends after ${written} of ${wanted} bytes; look at what ` +
      "answers at the client's baseURL.",
  );
}

/** A server that computed NaN says null, of which an array of floats would make 0. */
function writeNumbers(vector: Float32Array, numbers: readonly unknown[]): void {
  for (let index = 0; index < vector.length; index++) {
    const number = numbers[index];
    if (typeof number !== "number") throw notANumber(index, number);
    vector[index] = number;
  }
}

function notANumber(index: number, found: unknown): VectorLiteError {
  return new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    `The server answered with ${JSON.stringify(found)} at [${index}] of a vector; expected a ` +
      "number. A null stands for NaN there: look at what the model makes of the text.",
  );
}

function lengthOf(encoded: Encoded): number {
  return typeof encoded === "string" ? Buffer.byteLength(encoded, "base64") / 4 : encoded.length;
}

function wrongLength(found: number, expected: number): VectorLiteError {
  return new VectorLiteError(
    "ERR_DIMENSION",
    `The server answered with a vector of ${found} numbers; expected ${expected}. Ask for the ` +
      "dimensions that the model makes, or leave them out.",
  );
}
