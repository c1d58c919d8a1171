/**
 * Where the vectors of several models live in one cache, and how texts get theirs.
 *
 * Vectors of two models cannot be compared, and often differ in length, so each identity of a model
 * has a namespace of its own: its name is the identity itself, as stable JSON. Every adapter that
 * is handed a cache and any model goes through {@link embedInSpace}.
 *
 * @module
 */

import type { Channel } from "node:diagnostics_channel";
import { type EmbedCache, VectorLiteError, type VectorLike, type VectorsLike } from "vectorlite";
import { invalidArgument, tagOf } from "./arguments.ts";
import { copyVector, isVector } from "./vector-copy.ts";

/** Everything that decides a vector besides its text; compared as a whole. */
export interface EmbeddingIdentity {
  /** Who serves the model: two servers may call different models the same. */
  readonly provider: string;
  /** The model's id there. */
  readonly model: string;
  /** Numbers in a vector, where the caller asks for so many. */
  readonly dimensions?: number | undefined;
  /** What else is sent with the texts and changes the vector: anything that JSON can hold. */
  readonly options?: unknown;
}

/** Asks a model for the vectors of distinct texts, in their order. */
export type EmbedTexts = (
  texts: string[],
  context: { readonly signal: AbortSignal },
) => Promise<EmbeddedTexts>;

/** What a model answered. */
export interface EmbeddedTexts {
  /** One vector for each text: a list, or packed. */
  readonly vectors: VectorsLike;
  /** What the provider says that it cost, in tokens. */
  readonly tokens?: number;
}

/** Options of {@link embedInSpace}. */
export interface EmbedOptions {
  /** Gives up waiting for this caller alone; others who wait for the same texts still get them. */
  readonly signal?: AbortSignal | undefined;
}

/** Bytes that the name of a namespace may have; frozen with the file format. */
const nameBytesMax = 255;

/** Characters of an identity that is too long for a name; its hash of 43 characters follows. */
const nameHeadLength = 50;

/** Levels of arrays and objects in each other; what contains itself has more. */
const depthMax = 64;

/** A shorter text has at most 65,536 bytes of UTF-8, so it can be a key however it is written. */
const surelyShortUnits = 21_845;

/**
 * JSON that is the same for equal values, and another one for others: fields are sorted at every
 * depth, and what is `undefined` is left out. Bytes, NaN, infinities and bigints, which JSON cannot
 * say, get words that JSON does not have.
 *
 * @throws VectorLiteError ERR_INVALID_ARGUMENT naming the place of what cannot be told apart: a
 * function, a symbol, a Map, what contains itself.
 */
export function stableJson(value: unknown, place = "options", depth = 0): string {
  switch (typeof value) {
    case "number":
      return String(value);
    case "bigint":
      return `${value}n`;
    case "string":
    case "boolean":
      return JSON.stringify(value);
    case "undefined":
      return "null";
    case "object":
      return value === null ? "null" : stableObject(value, place, depth);
    default:
      throw invalidArgument(place, "something that JSON can say", value);
  }
}

function stableObject(value: object, place: string, depth: number): string {
  if (depth === depthMax) {
    throw new VectorLiteError(
      "ERR_INVALID_ARGUMENT",
      `${place.slice(0, 60)}… is nested more than ${depthMax} deep, or contains itself.`,
    );
  }
  if (Array.isArray(value)) {
    const parts = Array.from(value, (part, index) => {
      return stableJson(part, `${place}[${index}]`, depth + 1);
    });
    return `[${parts.join()}]`;
  }
  const bytes = bytesOf(value);
  if (bytes !== undefined) return `${tagOf(value)}"${bytes.toString("base64")}"`;
  if ("toJSON" in value && typeof value.toJSON === "function") {
    return stableJson(value.toJSON(), place, depth + 1);
  }
  if (tagOf(value) !== "Object") throw invalidArgument(place, "something that JSON can say", value);
  const fields = Object.entries(value).filter(([, part]) => part !== undefined);
  fields.sort(([a], [b]) => (a < b ? -1 : 1));
  const parts = fields.map(([name, part]) => {
    return `${JSON.stringify(name)}:${stableJson(part, `${place}.${name}`, depth + 1)}`;
  });
  return `{${parts.join()}}`;
}

function bytesOf(value: object): Buffer | undefined {
  if (value instanceof ArrayBuffer) return Buffer.from(value);
  if (!ArrayBuffer.isView(value)) return undefined;
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}

/**
 * The name of an identity's namespace: its stable JSON, or the beginning of it and its hash.
 *
 * @example
 * ```ts
 * spaceName({ provider: "openai.embedding", model: "text-embedding-3-small" });
 * // '{"model":"text-embedding-3-small","provider":"openai.embedding"}'
 * ```
 */
export function spaceName(identity: EmbeddingIdentity): string {
  if (identity.options !== undefined) return nameOf(identity);
  if (!isLast(identity)) {
    const { provider, model, dimensions } = identity;
    last = { provider, model, dimensions, name: nameOf(identity) };
  }
  return last.name;
}

/** One model is asked many times in a row, and making JSON takes as long as reading a vector. */
let last = { provider: "", model: "", dimensions: undefined as number | undefined, name: "" };

function isLast({ provider, model, dimensions }: EmbeddingIdentity): boolean {
  return (
    last.name !== "" &&
    last.model === model &&
    last.provider === provider &&
    last.dimensions === dimensions
  );
}

function nameOf(identity: EmbeddingIdentity): string {
  const text = stableJson(identity, "The identity");
  if (text.length * 3 <= nameBytesMax || Buffer.byteLength(text) <= nameBytesMax) return text;
  const { createHash } = process.getBuiltinModule("node:crypto");
  const hash = createHash("sha256").update(text).digest("base64url");
  return `${[...text].slice(0, nameHeadLength).join("")}…${hash}`;
}

/** The namespace of an identity; its first vector decides the dimension. */
export function spaceOf(cache: EmbedCache, identity: EmbeddingIdentity): EmbedCache {
  return cache.namespace(spaceName(identity));
}

/**
 * The vectors of texts, in their order, duplicates included. The cache computes what it misses,
 * once however many callers wait for it. A text that can be no key (an empty one, or one over
 * 65,536 bytes of UTF-8) is computed each time and not stored; a replay misses it.
 *
 * @param compute - Called with distinct texts, once or more often, or not at all.
 * @throws Whatever `compute` throws, the reason of the signal, and what
 * `EmbedCache.getOrComputeMany` throws.
 */
export async function embedInSpace(
  cache: EmbedCache,
  identity: EmbeddingIdentity,
  texts: readonly string[],
  compute: EmbedTexts,
  options?: EmbedOptions,
): Promise<Float32Array[]> {
  const space = spaceOf(cache, identity);
  const strays = new Set(texts.filter((text) => !canBeKey(space, text)));
  if (strays.size === 0) return space.getOrComputeMany(texts, compute, options);
  checkMayAsk(cache, [...strays]);
  const stored = texts.filter((text) => !strays.has(text));
  const cached = stored.length === 0 ? [] : await space.getOrComputeMany(stored, compute, options);
  const computed = await computeStrays(space, [...strays], compute, options?.signal);
  let next = 0;
  return texts.map((text) => computed.get(text)?.slice() ?? cached[next++] ?? lost(text));
}

/**
 * Refuses to ask a model for what is never stored where nothing may be computed.
 *
 * @throws VectorLiteError ERR_MISS
 */
export function checkMayAsk({ mode }: EmbedCache, texts: readonly string[]): void {
  if (mode !== "replay") return;
  const [text = ""] = texts;
  const more = texts.length > 1 ? ` and ${texts.length - 1} more` : "";
  throw new VectorLiteError(
    "ERR_MISS",
    `The cache has no vector for ${JSON.stringify(text.slice(0, 40))}${more}, which it never ` +
      'stores, and the mode "replay" computes none; leave it out of what is replayed.',
  );
}

/**
 * The same as plain arrays, which is what frameworks take. Where all texts are stored, no array of
 * 32-bit floats is made on the way.
 */
export async function numbersInSpace(
  cache: EmbedCache,
  identity: EmbeddingIdentity,
  texts: readonly string[],
  compute: EmbedTexts,
  options?: EmbedOptions,
): Promise<number[][]> {
  options?.signal?.throwIfAborted();
  const stored = storedNumbers(spaceOf(cache, identity), texts);
  if (stored !== undefined) return stored;
  return (await embedInSpace(cache, identity, texts, compute, options)).map(numbersOf);
}

/** Where a space's vectors are read to before they become plain numbers; read and used at once. */
const readingRooms = new WeakMap<EmbedCache, Float32Array>();

/** Nothing where one of them is missing. `has` does not count as a miss, which the caller will. */
function storedNumbers(space: EmbedCache, texts: readonly string[]): number[][] | undefined {
  // An empty space has no dimension yet.
  if (texts.length === 0 || isToldOfHits()) return undefined;
  if (!texts.every((text) => isSurelyKey(text) && space.has(text))) return undefined;
  const room = readingRooms.get(space) ?? new Float32Array(space.stats().dimension);
  readingRooms.set(space, room);
  const found: number[][] = [];
  for (const text of texts) {
    if (!space.getInto(text, room)) return undefined;
    found.push(numbersOf(room));
  }
  return found;
}

let hits: Channel | undefined;

/** Only the calls that compute tell of what they find, so where somebody listens it is one. */
function isToldOfHits(): boolean {
  hits ??= process.getBuiltinModule("node:diagnostics_channel").channel("vectorlite:hit");
  return hits.hasSubscribers;
}

/** A plain loop over an array of its length takes a tenth of what `Array.from` does. */
export function numbersOf(vector: Float32Array): number[] {
  const { length } = vector;
  const numbers = new Array<number>(length);
  for (let index = 0; index < length; index++) numbers[index] = vector[index] as number;
  return numbers;
}

function isSurelyKey(text: string): boolean {
  return text !== "" && text.length <= surelyShortUnits && text.isWellFormed();
}

/** The cache itself knows its rules for keys; only few texts are worth asking about. */
function canBeKey(space: EmbedCache, text: string): boolean {
  if (isSurelyKey(text)) return true;
  try {
    space.has(text);
    return true;
  } catch (error) {
    if (error instanceof VectorLiteError && error.code === "ERR_KEY") return false;
    throw error;
  }
}

async function computeStrays(
  space: EmbedCache,
  texts: string[],
  compute: EmbedTexts,
  signal: AbortSignal = new AbortController().signal,
): Promise<Map<string, Float32Array>> {
  signal.throwIfAborted();
  const { vectors } = await compute(texts, { signal });
  const list = listOf(vectors, texts.length);
  const copies = texts.map((_, index) => {
    return copyVector(list[index], `What compute returned[${index}]`);
  });
  checkDimensions(copies, space.stats().dimension);
  return new Map(texts.map((text, index) => [text, copies[index] ?? lost(text)]));
}

function listOf(vectors: VectorsLike, count: number): readonly VectorLike[] {
  const name = "What compute returned";
  if (!isVector(vectors)) {
    throw invalidArgument(name, "an array of vectors or one packed Float32Array", vectors);
  }
  const list = Array.isArray(vectors) ? vectors : unpack(vectors as Float32Array, count);
  if (list.length === count) return list;
  throw new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    `compute returned ${list.length} vectors for ${count} texts; expected one for each, in their ` +
      "order.",
  );
}

/** @param known - Numbers in a vector of the space; 0 while it has none. */
function checkDimensions(vectors: readonly Float32Array[], known: number): void {
  const expected = known || vectors[0]?.length;
  const other = vectors.find(({ length }) => length !== expected);
  if (other === undefined) return;
  throw new VectorLiteError(
    "ERR_DIMENSION",
    `compute returned a vector of ${other.length} dimensions; expected ${expected}, as others of ` +
      "this model have.",
  );
}

function unpack(packed: Float32Array, count: number): Float32Array[] {
  const dimension = packed.length / count;
  if (!Number.isInteger(dimension) || dimension === 0) {
    throw new VectorLiteError(
      "ERR_DIMENSION",
      `compute returned ${packed.length} numbers for ${count} texts; expected as many for each.`,
    );
  }
  return Array.from({ length: count }, (_, index) =>
    packed.subarray(index * dimension, (index + 1) * dimension),
  );
}

function lost(text: string): never {
  throw new Error(`No vector for ${JSON.stringify(text.slice(0, 40))}.`);
}
