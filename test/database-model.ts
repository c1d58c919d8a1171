/**
 * A database as plain maps and sorted arrays: what writes do and answer, and what searches find.
 */

import type { Metadata, Metric, VectorLiteError } from "vectorlite";
import { type AnyFilter, matches } from "./filter-model.ts";
import { cosine, dot, euclidean, randomVector, seededRandom } from "./helpers.ts";

/** A record without its key. */
export interface Value {
  readonly vector: Float32Array;
  readonly metadata: Metadata;
}

/** A collection, which stays the same one under whatever name. */
export interface Table {
  readonly id: number;
  readonly dimension: number;
  readonly metric: Metric;
  readonly records: Map<string, Value>;
}

/** The collections of one state by their names. */
export type State = Map<string, Table>;

/** Records of consecutive keys; each key comes so many `times` in a row, and the last one wins. */
export interface Rows {
  readonly first: number;
  readonly count: number;
  readonly times: number;
  /** Of the first vector; the others count on. */
  readonly vector: number;
  readonly metadatas: readonly Metadata[];
  /** After them comes one that has no vector, and so none of them is written. */
  readonly isSpoilt: boolean;
}

export type Write =
  | { do: "create"; name: string; dimension: number; metric: Metric }
  | { do: "drop"; name: string }
  | { do: "rename"; name: string; to: string }
  | { do: "upsert"; name: string; key: number; vector: number; metadata: Metadata }
  | { do: "upsertMany"; name: string; rows: Rows }
  | { do: "setMetadata"; name: string; key: number; metadata: Metadata }
  | { do: "delete"; name: string; key: number }
  | { do: "deleteMany"; name: string; first: number; count: number }
  | { do: "deleteWhere"; name: string; filter: AnyFilter };

export interface Search {
  readonly query: number;
  readonly k: number;
  readonly offset: number;
  readonly threshold: number | undefined;
  readonly filter: AnyFilter | undefined;
  readonly exact: boolean;
}

/** What a call returned, or the code of its error. */
export type Answer = { returned: unknown } | { code: VectorLiteError["code"] };

/** Some keys are not ASCII, and some of these long. */
export function keyOf(number: number): string {
  if (number % 10 !== 7) return `key ${number}`;
  return `ключ ${number} `.repeat(number % 100 === 7 ? 300 : 1);
}

const vectors = new Map<string, Float32Array>();

/**
 * Every third vector is like no other one. The others are of -1, 0 and 1 only: many of them are
 * equally close to something, and then exactly so, in whatever way that is computed.
 */
function newVector(number: number, dimension: number): Float32Array {
  const random = seededRandom(number);
  if (number % 3 === 0) return randomVector(random, dimension);
  const vector = Float32Array.from({ length: dimension }, () => Math.floor(random() * 3) - 1);
  // Zeros alone have no direction.
  vector[number % dimension] = 1;
  return vector;
}

/** The vector of that number, which is never changed. */
export function vectorOf(number: number, dimension: number): Float32Array {
  const name = `${number} of ${dimension}`;
  const vector = vectors.get(name) ?? newVector(number, dimension);
  vectors.set(name, vector);
  return vector;
}

/** The records of rows, in their order. */
export function recordsOf(rows: Rows, dimension: number): (Value & { key: string })[] {
  return Array.from({ length: rows.count }, (_, index) => ({
    key: keyOf(rows.first + Math.floor(index / rows.times)),
    vector: vectorOf(rows.vector + index, dimension),
    metadata: rows.metadatas[index % rows.metadatas.length] ?? {},
  }));
}

export function copyOf(state: State): State {
  return new Map(
    [...state].map(([name, table]) => [name, { ...table, records: new Map(table.records) }]),
  );
}

let tables = 0;

/** Changes the state as the write says, and tells what the write has to answer. */
export function apply(state: State, write: Write): Answer {
  const table = state.get(write.name);
  if (write.do === "create") return create(state, write);
  if (write.do === "drop") return { returned: state.delete(write.name) };
  if (table === undefined) return { code: "ERR_INVALID_ARGUMENT" };
  if (write.do === "rename") return rename(state, write.name, write.to);
  return change(table, write);
}

function create(state: State, { name, dimension, metric }: Write & { do: "create" }): Answer {
  const table = state.get(name);
  if (table === undefined) {
    state.set(name, { id: tables++, dimension, metric, records: new Map() });
  } else {
    if (table.dimension !== dimension) return { code: "ERR_DIMENSION" };
    if (table.metric !== metric) return { code: "ERR_INVALID_ARGUMENT" };
  }
  return { returned: undefined };
}

function rename(state: State, from: string, to: string): Answer {
  if (from !== to && state.has(to)) return { code: "ERR_INVALID_ARGUMENT" };
  const table = state.get(from);
  state.delete(from);
  if (table !== undefined) state.set(to, table);
  return { returned: undefined };
}

type Change = Exclude<Write, { do: "create" | "drop" | "rename" }>;

function change({ dimension, records }: Table, write: Change): Answer {
  switch (write.do) {
    case "upsert": {
      const vector = vectorOf(write.vector, dimension);
      records.set(keyOf(write.key), { vector, metadata: write.metadata });
      return { returned: undefined };
    }
    case "upsertMany": {
      if (write.rows.isSpoilt) return { code: "ERR_INVALID_VECTOR" };
      for (const { key, ...value } of recordsOf(write.rows, dimension)) records.set(key, value);
      return { returned: undefined };
    }
    case "setMetadata": {
      const found = records.get(keyOf(write.key));
      if (found === undefined) return { returned: false };
      records.set(keyOf(write.key), { ...found, metadata: write.metadata });
      return { returned: true };
    }
    case "delete":
      return { returned: records.delete(keyOf(write.key)) };
    case "deleteMany": {
      const keys = Array.from({ length: write.count }, (_, index) => keyOf(write.first + index));
      return { returned: keys.filter((key) => records.delete(key)).length };
    }
    case "deleteWhere": {
      const keys = keysThatMatch(records, write.filter);
      for (const key of keys) records.delete(key);
      return { returned: keys.length };
    }
  }
}

export function keysThatMatch(
  records: ReadonlyMap<string, Value>,
  filter: AnyFilter = {},
): string[] {
  return [...records].filter(([, { metadata }]) => matches(metadata, filter)).map(([key]) => key);
}

/** All that a search may find, the closest first; of equal scores, of 32 bits, the first key. */
export function rank(table: Table, search: Search): { key: string; score: number }[] {
  const { dimension, metric, records } = table;
  const query = vectorOf(search.query, dimension);
  const score = { cosine, dot, l2: euclidean }[metric];
  const sign = metric === "l2" ? -1 : 1;
  const { threshold } = search;
  return keysThatMatch(records, search.filter)
    .map((key) => ({ key, score: Math.fround(score(query, records.get(key)?.vector ?? [])) }))
    .filter((hit) => threshold === undefined || (hit.score - threshold) * sign >= 0)
    .sort((a, b) => (b.score - a.score) * sign || (a.key < b.key ? -1 : 1));
}
