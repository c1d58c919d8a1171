/**
 * What a search ought to find, and how much of it was found.
 *
 * A row counts as found when its true score is no worse than that of the k-th nearest: where rows
 * are equal, any of them will do.
 */

import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import type { Collection } from "../src/index.ts";
import { dataFolder } from "./data.ts";
import { type Engine, k, type Loaded, rowOf } from "./engines.ts";
import { mix } from "./harness.ts";
import type { Resampled } from "./resampled.ts";

/** Scores that differ by less are equal: sums of 1536 products in single precision differ so. */
const tolerance = 1e-5;

/** For each query the rows that count. */
export type Truth = readonly ReadonlySet<number>[];

/** The rows of one query, the nearest first, with their scores; some more of them than k. */
export function acceptable(rows: readonly number[], scores: readonly number[]): Set<number> {
  const limit = (scores[k - 1] ?? Number.NEGATIVE_INFINITY) - tolerance;
  return new Set(rows.filter((_, at) => (scores[at] ?? 0) >= limit));
}

/** Of all neighbours that ought to be found, the part that was. */
export function recallOf(found: readonly (readonly number[])[], truth: Truth): number {
  let hits = 0;
  found.forEach((rows, query) => {
    hits += rows.filter((row) => truth[query]?.has(row)).length;
  });
  return hits / (found.length * k);
}

export interface Settled {
  setting: number;
  /** With the setting, where there is one to choose. */
  name: string;
  recall: number;
  /** What every setting that was tried finds. */
  tried: string[];
}

/**
 * The first setting that finds enough, or the last one. One that compares every row is asked a
 * tenth of the queries: it has nothing to choose and takes long.
 */
export async function settle(
  engine: Engine,
  queries: readonly Float32Array[],
  truth: Truth,
  wanted: number,
): Promise<Settled> {
  const tried: string[] = [];
  const asked = engine.approximate ? queries : queries.slice(0, Math.ceil(queries.length / 10));
  let settled: Settled = { setting: 0, name: engine.name, recall: 0, tried };
  for (const setting of engine.settings) {
    const found: number[][] = [];
    for (const query of asked) found.push(await engine.search(query, setting));
    const recall = recallOf(found, truth);
    const name = engine.knob === "" ? engine.name : `${engine.name}, ${engine.knob} ${setting}`;
    tried.push(`${name}: recall@${k} ${recall.toFixed(4)} of ${asked.length} queries`);
    settled = { setting, name, recall, tried };
    if (recall >= wanted) break;
  }
  return settled;
}

/** The same rows in whatever order hash alike. */
export function hashRows(hash: number, rows: readonly number[]): number {
  return [...rows].sort((a, b) => a - b).reduce(mix, hash);
}

/** By our own exact search, where a plain loop would take minutes. */
export function exactTruth(docs: Collection, queries: readonly Float32Array[]): Truth {
  const found = docs.searchMany(queries, { k: 10 * k, exact: true });
  return found.map((hits) =>
    acceptable(
      hits.map(({ key }) => rowOf(key)),
      hits.map(({ score }) => score),
    ),
  );
}

/** By a plain loop in double precision, and kept on the disk: no engine's own word is taken. */
export function plainTruth({ set, values }: Loaded, queries: readonly Float32Array[]): Truth {
  const of = `${set.count}x${set.dimension}-${set.fingerprint}`;
  const path = `${dataFolder}truth-${of}-${queries.length}-${tolerance}.json`;
  if (existsSync(path)) {
    const rows = JSON.parse(readFileSync(path, "utf8")) as number[][];
    return rows.map((accepted) => new Set(accepted));
  }
  const truth = queries.map((query) => scanPlainly(set, values, query));
  mkdirSync(dataFolder, { recursive: true });
  writeFileSync(`${path}.part`, `${JSON.stringify(truth.map((rows) => [...rows]))}\n`);
  renameSync(`${path}.part`, path);
  return truth;
}

/** The same of the rows that `mask` has a one for; not kept. At least k of them. */
export function maskedTruth(
  { set, values }: Loaded,
  queries: readonly Float32Array[],
  mask: Uint8Array,
): Truth {
  return queries.map((query) => scanPlainly(set, values, query, mask));
}

function scanPlainly(
  set: Resampled,
  values: Float32Array,
  query: Float32Array,
  mask?: Uint8Array,
): Set<number> {
  const { count, dimension } = set;
  const scores = new Float64Array(count).fill(Number.NEGATIVE_INFINITY);
  for (let row = 0; row < count; row++) {
    if (mask?.[row] === 0) continue;
    const from = row * dimension;
    let dot = 0;
    for (let at = 0; at < dimension; at++) dot += (values[from + at] ?? 0) * (query[at] ?? 0);
    scores[row] = dot;
  }
  const limit = (Float64Array.from(scores).sort().at(-k) ?? 0) - tolerance;
  return new Set(Array.from(scores.keys()).filter((row) => (scores[row] ?? 0) >= limit));
}
