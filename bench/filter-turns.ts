/**
 * Takes turns in filtered search: every query is timed for itself, and slow contestants get fewer.
 *
 * Before a contestant is timed, its hits are looked at: each has to match the filter.
 */

import type { Asked, Filtered, Search } from "./filtered.ts";
import * as harness from "./harness.ts";
import { recallOf, type Truth } from "./truth.ts";

const rounds = 3;
const recallWanted = 0.99;
/** Of one contestant's turn, and of trying one setting; but never fewer than ten queries. */
const turnMillis = 500;
const settleMillis = 2000;
const queriesMin = 10;

/** What one library did with one filter. */
export interface Outcome {
  name: string;
  setting: number;
  found: number;
  /** Of one query, in microseconds. */
  median: number;
  fastest: number;
  slowest: number;
}

export interface Contestant {
  name: string;
  setting: number;
  search: Search;
  found: number;
  /** How many queries its turn has. */
  queries: number;
}

/** The first setting that finds enough, or the last; undefined where it cannot be asked so. */
export async function settle(
  engine: Filtered,
  asked: Asked,
  truth: Truth,
): Promise<Contestant | undefined> {
  const search = engine.prepare(asked);
  if (search === undefined) return undefined;
  const filters = engine.name !== "unfiltered";
  let contestant: Contestant | undefined;
  for (const setting of engine.settings) {
    const all: number[][] = [];
    const started = performance.now();
    let spent = 0;
    for (const query of asked.queries) {
      const rows = await search(query, setting);
      const wrong = rows.find((row) => filters && asked.mask[row] !== 1);
      if (wrong !== undefined || new Set(rows).size < rows.length) {
        throw new Error(
          `${engine.name}, ${asked.name}: row ${wrong} does not match, or comes twice`,
        );
      }
      all.push(rows);
      spent = performance.now() - started;
      if (spent > settleMillis && all.length >= queriesMin) break;
    }
    const queries = Math.round((turnMillis * all.length) / spent);
    const found = recallOf(all, truth);
    const { name } = engine;
    contestant = { name, setting, search, found, queries: Math.max(queriesMin, queries) };
    if (found >= recallWanted) break;
  }
  return contestant;
}

/** Contestants take turns; every query is timed for itself. */
export async function time(
  contestants: readonly Contestant[],
  queries: readonly Float32Array[],
): Promise<Outcome[]> {
  const times = contestants.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [at, { search, setting, queries: wanted }] of contestants.entries()) {
      harness.collectGarbage();
      // The processor's caches then hold its own data, not that of the contestant before it.
      for (const query of queries.slice(-3)) await search(query, setting);
      for (const query of queries.slice(0, wanted)) {
        const started = performance.now();
        const outcome = search(query, setting);
        if (!Array.isArray(outcome)) await outcome;
        times[at]?.push((performance.now() - started) * 1000);
      }
    }
  }
  return contestants.map(({ name, setting, found }, at) => {
    return { name, setting, found, ...harness.summary(times[at] ?? []) };
  });
}
