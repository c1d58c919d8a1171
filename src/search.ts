/**
 * Searches a collection: one call finds the hits of all queries, others read their keys.
 *
 * @module
 */

import { decodeEntries } from "./entries.ts";
import { invalidArgument } from "./errors.ts";
import { type CompiledFilter, filterOption } from "./filter-compiler.ts";
import {
  cpuTiers,
  Hit as HitLayout,
  type NativeLibrary,
  Status,
  searchReportFields,
} from "./native/native.ts";
import {
  booleanOption,
  checkArray,
  checkOptions,
  integerOption,
  type Known,
  notYet,
  thresholdOption,
} from "./options.ts";
import type { Records } from "./records.ts";
import { newArray } from "./typed-arrays.ts";
import type { SearchExplanation, SearchOptions } from "./types.ts";

/** Hits that one search may ask for; the engine's own bound. */
const hitsMax = 1 << 20;

/** Threads that may share one search; the engine's own bound. */
const threadsMax = 64;

/** Hits up to this many get their room without asking how many records there are. */
const hitsUnasked = 1024;

/** What the last search took. */
const reportOut = new Float64Array(searchReportFields.length);

/** Numbers of the vectors that one fetch reads: 1 MiB. */
const fetchFloats = 1 << 18;

const known: Known = {
  k: true,
  threshold: true,
  offset: true,
  include: true,
  exact: true,
  threads: true,
  filter: true,
  ef: `${notYet}: there is no index to tune`,
};

/** A checked search. */
export interface SearchPlan {
  readonly k: number;
  readonly offset: number;
  /** NaN: none. */
  readonly threshold: number;
  readonly vectors: boolean;
  readonly metadata: boolean;
  /** Compare every vector. */
  readonly exact: boolean;
  /** 0: as many as the work is worth. */
  readonly threads: number;
  readonly filter: CompiledFilter;
}

/** Options of a search, of documents of any type. */
type GivenOptions = Omit<SearchOptions, "filter"> & { readonly filter?: unknown };

/** A hit before anybody said what is to be in it. */
export interface FoundHit {
  key: string;
  score: number;
  metadata?: unknown;
  vector?: Float32Array;
}

/** @throws VectorLiteError ERR_INVALID_ARGUMENT */
export function planSearch(options: GivenOptions | undefined, where: string): SearchPlan {
  const given = checkOptions(options, known, where);
  const k = integerOption(given.k, "k", { min: 1, max: hitsMax, fallback: 10 });
  const offset = integerOption(given.offset, "offset", { min: 0, max: hitsMax, fallback: 0 });
  if (k + offset > hitsMax) {
    throw invalidArgument("k + offset", `at most ${hitsMax}`, k + offset);
  }
  const include = given.include === undefined ? ["metadata"] : checkInclude(given.include);
  return {
    k,
    offset,
    threshold: thresholdOption(given.threshold, "threshold"),
    vectors: include.includes("vector"),
    metadata: include.includes("metadata"),
    exact: booleanOption(given.exact, "exact", false),
    threads: integerOption(given.threads, "threads", { min: 1, max: threadsMax, fallback: 0 }),
    filter: filterOption(given.filter),
  };
}

function checkInclude(include: unknown): readonly unknown[] {
  const list = checkArray(include, "include");
  for (const [index, field] of list.entries()) {
    if (field === "vector" || field === "metadata") continue;
    throw invalidArgument(`include[${index}]`, '"vector" or "metadata"', field);
  }
  return list;
}

/** The hits of one query, the closest first. */
export function searchOne(
  records: Records,
  query: unknown,
  plan: SearchPlan,
  name: string,
): FoundHit[] {
  const copy = records.lendCopy(query, name);
  const [hits] = search(records, copy, 1, plan);
  records.giveBack(copy);
  return hits ?? [];
}

/** Searches, and says how. */
export function explainSearch(
  records: Records,
  query: unknown,
  plan: SearchPlan,
  name: string,
): SearchExplanation {
  const begin = performance.now();
  const hits = searchOne(records, query, plan, name).length;
  const microseconds = (performance.now() - begin) * 1000;
  const report = Object.fromEntries(
    searchReportFields.map((field, index) => [field, reportOut[index] ?? 0]),
  ) as Record<(typeof searchReportFields)[number], number>;
  return {
    plan: report.codes_scanned > 0 ? "codes" : "exact",
    hits,
    codesScanned: report.codes_scanned,
    reranked: report.reranked,
    compared: report.compared,
    bytesRead: report.bytes_read,
    cpu: cpuTiers[report.cpu_tier] ?? "unknown",
    threads: report.threads,
    microseconds,
    ...(plan.filter.length > 0 && {
      filter: {
        matches: report.matched,
        selectivity: report.live > 0 ? report.matched / report.live : 0,
        documentsRead: report.documents_read,
      },
    }),
  };
}

/** The hits of each query, the closest first. `queries` holds `count` vectors, packed. */
export function search(
  records: Records,
  queries: Float32Array,
  count: number,
  plan: SearchPlan,
): FoundHit[][] {
  if (count === 0) {
    records.connection.checkOpen();
    return [];
  }
  const room = makeRoom(records, count, plan);
  const status = records.native.vl_collection_search(
    records.id,
    queries,
    count * records.dimension,
    room.wanted,
    plan.threshold,
    plan.exact ? 1 : 0,
    plan.threads,
    plan.filter.bytes,
    plan.filter.length,
    room.hits,
    room.hits.length,
    room.counts,
    reportOut,
  );
  if (status !== Status.OK) throw records.failure(status);
  const reading = readHits(records, room, plan, (...buffers) =>
    records.native.vl_collection_fetch(records.id, ...buffers),
  );
  for (;;) {
    const { done, value } = reading.next();
    if (done) return value;
  }
}

/** Where the engine writes what it found. */
export interface Room {
  /** Hits that each query has room for. */
  readonly wanted: number;
  /** `wanted` for each query. */
  readonly hits: Uint8Array;
  /** How many each query has. */
  readonly counts: Uint32Array;
}

/** @throws VectorLiteError ERR_OUT_OF_MEMORY */
export function makeRoom(records: Records, count: number, plan: SearchPlan): Room {
  let wanted = plan.k + plan.offset;
  if (wanted * count > hitsUnasked) wanted = Math.min(wanted, Math.max(records.size, 1));
  const hits = newArray(Uint8Array, wanted * count * HitLayout.size);
  return { wanted, hits, counts: new Uint32Array(count) };
}

/** Reads hits from the state that the search saw: the library's function, less its handle. */
type Fetch = (
  ...buffers: Parameters<NativeLibrary["vl_search_fetch"]> extends [number, ...infer Rest]
    ? Rest
    : never
) => number;

/** The hits of each query. Yields after each part of them. */
export function* readHits(
  records: Records,
  { hits, counts, wanted }: Room,
  plan: SearchPlan,
  fetch: Fetch,
): Generator<undefined, FoundHit[][], undefined> {
  const lengths = closeGaps(hits, counts, wanted, plan.offset);
  const found = yield* fetchHits(records, hits, sum(lengths), plan, fetch);
  let start = 0;
  return lengths.map((length) => {
    start += length;
    return found.slice(start - length, start);
  });
}

/** Moves the hits after the offset of every query together; returns how many each one has. */
function closeGaps(
  hits: Uint8Array,
  counts: Uint32Array,
  wanted: number,
  offset: number,
): number[] {
  const lengths: number[] = [];
  let end = 0;
  for (const [query, found] of counts.entries()) {
    const length = Math.max(0, found - offset);
    const from = (query * wanted + offset) * HitLayout.size;
    hits.copyWithin(end, from, from + length * HitLayout.size);
    end += length * HitLayout.size;
    lengths.push(length);
  }
  return lengths;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** Reads keys, and what else is wanted, of hits. */
function* fetchHits(
  records: Records,
  hits: Uint8Array,
  count: number,
  plan: SearchPlan,
  fetch: Fetch,
): Generator<undefined, FoundHit[], undefined> {
  const { dimension } = records;
  const scores = new DataView(hits.buffer);
  const rows = plan.vectors ? Math.max(1, Math.floor(fetchFloats / dimension)) : hitsUnasked;
  const vectors = new Float32Array(plan.vectors ? Math.min(rows, count) * dimension || 1 : 1);
  const found: FoundHit[] = [];
  for (let start = 0; start < count; start += rows) {
    const part = Math.min(rows, count - start);
    const entries = fetchPart(
      records,
      hits,
      { start, count: part, withVectors: plan.vectors, withMetadata: plan.metadata },
      vectors,
      fetch,
    );
    for (const [index, { key, metadata }] of entries.entries()) {
      const at = (start + index) * HitLayout.size + HitLayout.score;
      const hit: FoundHit = { key, score: scores.getFloat32(at, true) };
      if (plan.metadata) hit.metadata = metadata;
      if (plan.vectors) hit.vector = vectors.slice(index * dimension, (index + 1) * dimension);
      found.push(hit);
    }
    if (start + part < count) yield;
  }
  return found;
}

interface Part {
  readonly start: number;
  readonly count: number;
  readonly withVectors: boolean;
  readonly withMetadata: boolean;
}

let buffer = new Uint8Array(1 << 14);
const lengthOut = new Uint32Array(1);

function fetchPart(
  records: Records,
  hits: Uint8Array,
  part: Part,
  vectors: Float32Array,
  fetch: Fetch,
): ReturnType<typeof decodeEntries> {
  for (;;) {
    const status = fetch(
      hits.subarray(part.start * HitLayout.size, (part.start + part.count) * HitLayout.size),
      part.count,
      part.withVectors ? 1 : 0,
      buffer,
      buffer.length,
      lengthOut,
      vectors,
      part.withVectors ? part.count * records.dimension : 0,
    );
    if (status === Status.OK) {
      return decodeEntries(buffer, lengthOut[0] ?? 0, part.withMetadata);
    }
    if (status !== Status.BUFFER_TOO_SMALL) throw records.failure(status);
    buffer = new Uint8Array((lengthOut[0] ?? 0) * 2);
  }
}
