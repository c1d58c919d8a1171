/**
 * Iterates over a collection without stopping anybody who writes to it.
 *
 * An iterator takes a snapshot at its first step and lets it go when it ends, is left early or is
 * forgotten. Only within a transaction, whose own writes no snapshot can see, are the keys
 * collected first.
 *
 * @module
 */

import { decodeEntries, type Entry } from "./entries.ts";
import { type CompiledFilter, noFilter } from "./filter-compiler.ts";
import { Status } from "./native/native.ts";
import type { Records } from "./records.ts";
import { holdRecords } from "./snapshot-scope.ts";
import type { StoredRecord } from "./types.ts";

/** Bytes of keys and metadata that one step reads. */
const pageBytes = 1 << 16;

/** Numbers of the vectors that one step reads: 1 MiB. */
const pageFloats = 1 << 18;

/** The keys of what matches the filter, in no particular order. */
export function* iterateKeys(
  records: Records,
  filter: CompiledFilter = noFilter,
): Generator<string, void, undefined> {
  if (records.connection.inTransaction) {
    yield* collectKeys(records, filter);
    return;
  }
  for (const page of pagesOfSnapshot(records, filter, keysOnly)) {
    for (const entry of page.entries) yield entry.key;
  }
}

/** The records that match the filter, in no particular order. */
export function* iterateEntries(
  records: Records,
  filter: CompiledFilter,
): Generator<StoredRecord<unknown>, void, undefined> {
  if (records.connection.inTransaction) {
    for (const key of collectKeys(records, filter)) {
      const record = records.getRecord(key);
      if (record !== undefined) yield record;
    }
    return;
  }
  const { dimension } = records;
  for (const page of pagesOfSnapshot(records, filter, all)) {
    for (const [index, { key, metadata }] of page.entries.entries()) {
      const vector = page.vectors.slice(index * dimension, (index + 1) * dimension);
      yield { key, vector, metadata };
    }
  }
}

function collectKeys(records: Records, filter: CompiledFilter): string[] {
  const keys: string[] = [];
  for (const page of pages(records, filter, keysOnly)) {
    for (const entry of page.entries) keys.push(entry.key);
  }
  return keys;
}

/** What is read of each record beside its key. */
export interface Wanted {
  readonly vectors: boolean;
  readonly metadata: boolean;
}

const keysOnly: Wanted = { vectors: false, metadata: false };
const all: Wanted = { vectors: true, metadata: true };

/** Some records, as they are read together. */
export interface Page {
  readonly entries: readonly Entry[];
  /** Valid until the next page. */
  readonly vectors: Float32Array;
}

/** All records of the state of the first step, or of the snapshot that they are of. */
export function* pagesOfSnapshot(
  records: Records,
  filter: CompiledFilter,
  wanted: Wanted,
): Generator<Page, void, undefined> {
  const { scope, connection } = records;
  if (scope !== connection) {
    yield* pages(records, filter, wanted);
    return;
  }
  const held = holdRecords(records);
  try {
    yield* pages(held.past, filter, wanted);
  } finally {
    held.scope.close();
  }
}

function* pages(
  records: Records,
  filter: CompiledFilter,
  wanted: Wanted,
): Generator<Page, void, undefined> {
  const { native, id, dimension } = records;
  const cursor = new Uint32Array(4);
  const lengthOut = new Uint32Array(1);
  const countOut = new Uint32Array(1);
  const rows = Math.max(1, Math.floor(pageFloats / dimension));
  const vectors = new Float32Array(wanted.vectors ? rows * dimension : 1);
  let bytes = new Uint8Array(pageBytes);
  for (;;) {
    const status = native.vl_collection_scan(
      id,
      cursor,
      wanted.vectors ? 1 : 0,
      filter.bytes,
      filter.length,
      bytes,
      bytes.length,
      lengthOut,
      vectors,
      wanted.vectors ? vectors.length : 0,
      countOut,
    );
    if (status === Status.BUFFER_TOO_SMALL) {
      bytes = new Uint8Array(lengthOut[0] ?? 0);
      continue;
    }
    if (status === Status.NOT_FOUND) return;
    if (status !== Status.OK) throw records.failure(status);
    yield { entries: decodeEntries(bytes, lengthOut[0] ?? 0, wanted.metadata), vectors };
  }
}
