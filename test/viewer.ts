/**
 * Whoever sees a state of a database has to see what the model of that state says, in every way
 * that there is to look.
 */

import { isDeepStrictEqual } from "node:util";
import type { Collection, Database, Filter, Hit, Snapshot } from "vectorlite";
import { expect } from "vitest";
import type { Look } from "./any-program.ts";
import {
  keysThatMatch,
  rank,
  type Search,
  type State,
  type Table,
  vectorOf,
} from "./database-model.ts";
import { expectCode, keysOf } from "./helpers.ts";

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

/** All records, by a scan and by their keys. */
function checkRecords(collection: Collection, { dimension, records }: Table): void {
  expect(collection.size).toBe(records.size);
  const seen = new Set<string>();
  for (const { key, vector, metadata } of collection.entries()) {
    const value = records.get(key);
    // `expect` for each of so many would take most of the time.
    const isRight =
      value !== undefined &&
      bytesOf(vector).equals(bytesOf(value.vector)) &&
      isDeepStrictEqual(metadata, value.metadata);
    if (!isRight) expect({ key, vector, metadata }).toEqual({ key, ...value });
    seen.add(key);
  }
  expect(seen.size).toBe(records.size);
  const keys = [...records.keys()];
  const { vectors, found } = collection.getMany([...keys, "nobody"]);
  expect(found.indexOf(0)).toBe(keys.length);
  for (const [index, key] of keys.entries()) {
    const vector = vectors.subarray(index * dimension, (index + 1) * dimension);
    const value = records.get(key)?.vector ?? new Float32Array();
    if (!bytesOf(vector).equals(bytesOf(value))) expect({ key, vector }).toEqual({ key, value });
  }
}

/** By codes a neighbour may be missed, and then a farther one is there in its place. */
function checkHits(hits: Hit[], table: Table, search: Search, isExact: boolean): void {
  const all = rank(table, search);
  const expected = all.slice(search.offset, search.offset + search.k);
  if (isExact) expect(keysOf(hits)).toEqual(keysOf(expected));
  else if (search.threshold === undefined) expect(hits).toHaveLength(expected.length);
  const places = new Map(all.map(({ key, score }, place) => [key, { place, score }]));
  let last = -1;
  for (const { key, score, metadata } of hits) {
    const found = places.get(key);
    expect(score).toBeCloseTo(found?.score ?? Number.NaN, 6);
    expect(metadata).toEqual(table.records.get(key)?.metadata);
    expect(found?.place).toBeGreaterThan(last);
    last = found?.place ?? last;
  }
}

function checkLook(collection: Collection, table: Table, look: Look): void {
  if (look.do === "search") {
    const query = vectorOf(look.search.query, table.dimension);
    const { k, offset, threshold, exact } = look.search;
    const filter = look.search.filter as Filter | undefined;
    const options = { k, offset, threshold, exact, filter };
    const { plan } = collection.explain(query, options);
    checkHits(collection.search(query, options), table, look.search, plan === "exact");
    return;
  }
  const filter = look.filter as Filter;
  const keys = keysThatMatch(table.records, look.filter).sort();
  expect(collection.count(filter)).toBe(keys.length);
  expect([...collection.keys({ filter })].sort()).toEqual(keys);
}

/** Somebody who sees a state: a database or a snapshot. */
export class Viewer {
  readonly source: Database | Snapshot;
  /** The collections that were opened, by their ids in the model: they are held for good. */
  readonly #held = new Map<number, Collection>();

  constructor(source: Database | Snapshot) {
    this.source = source;
  }

  collection(name: string, state: State): Collection {
    const id = state.get(name)?.id ?? -1;
    const collection = this.#held.get(id) ?? this.source.collection(name);
    if (id >= 0) this.#held.set(id, collection);
    return collection;
  }

  /** Names first: who holds a collection follows it, until it is dropped. */
  check(state: State): void {
    expect(this.source.collections().sort()).toEqual([...state.keys()].sort());
    const names = new Map([...state].map(([name, { id }]) => [id, name]));
    for (const [id, collection] of this.#held) {
      const name = names.get(id);
      if (name === undefined) expectCode(() => collection.size, "ERR_CLOSED");
      else expect(collection.name).toBe(name);
    }
    for (const [name, table] of state) checkRecords(this.collection(name, state), table);
  }

  look(state: State, look: Look): void {
    const table = state.get(look.name);
    if (table !== undefined) checkLook(this.collection(look.name, state), table, look);
    else expectCode(() => this.source.collection(look.name), "ERR_INVALID_ARGUMENT");
  }
}
