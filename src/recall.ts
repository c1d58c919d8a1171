/**
 * Measures the recall of the default search on the data at hand: vectors of the collection are
 * searched for in both ways.
 *
 * @module
 */

import { checkOptions, integerOption, type Known } from "./options.ts";
import type { Records } from "./records.ts";
import { iterateKeys } from "./scan.ts";
import { type FoundHit, planSearch, searchOne } from "./search.ts";
import type { RecallOptions, RecallReport } from "./types.ts";

const known: Known = { k: true, sample: true, threads: true };

/** @throws VectorLiteError ERR_INVALID_ARGUMENT, ERR_CORRUPT, ERR_CLOSED */
export function measureRecall(records: Records, options: RecallOptions | undefined): RecallReport {
  const given = checkOptions(options, known, "recall()");
  const k = integerOption(given.k, "k", { min: 1, max: 1000, fallback: 10 });
  const wanted = integerOption(given.sample, "sample", { min: 1, max: 100_000, fallback: 100 });
  // One more, because the vector finds itself, which says nothing.
  const plan = planSearch({ k: k + 1, include: [], threads: given.threads }, "recall()");
  const exactPlan = { ...plan, exact: true };
  const times = { search: [] as number[], exact: [] as number[] };
  let found = 0;
  let expected = 0;
  for (const key of spreadKeys(records, wanted)) {
    const vector = records.getVector(key);
    if (vector === undefined || vector.every((value) => value === 0)) continue;
    const exact = timed(times.exact, () => searchOne(records, vector, exactPlan, "The vector"));
    const hits = timed(times.search, () => searchOne(records, vector, plan, "The vector"));
    const others = othersOf(exact, key, k);
    expected += others.length;
    found += foundOf(others, othersOf(hits, key, k));
  }
  return {
    recall: expected === 0 ? 1 : found / expected,
    sample: times.exact.length,
    exactMicros: median(times.exact),
    searchMicros: median(times.search),
  };
}

/** Keys at even distances in the order of the records. */
function* spreadKeys(records: Records, wanted: number): Generator<string> {
  const step = Math.max(1, records.size / wanted);
  let index = 0;
  let next = 0;
  for (const key of iterateKeys(records)) {
    if (index++ < next) continue;
    yield key;
    next += step;
  }
}

/** The best k without the key that was searched for; equal ones may have left it out. */
function othersOf(hits: readonly FoundHit[], own: string, k: number): FoundHit[] {
  return hits.filter(({ key }) => key !== own).slice(0, k);
}

/** Scores decide: of records that are equally close, any one will do. */
function foundOf(exact: readonly FoundHit[], hits: readonly FoundHit[]): number {
  const scores = hits.map(({ score }) => score);
  return exact.filter(({ score }) => {
    const at = scores.indexOf(score);
    if (at >= 0) scores.splice(at, 1);
    return at >= 0;
  }).length;
}

function timed<T>(times: number[], run: () => T): T {
  const begin = performance.now();
  const result = run();
  times.push((performance.now() - begin) * 1000);
  return result;
}

function median(values: number[]): number {
  values.sort((a, b) => a - b);
  return values[values.length >> 1] ?? 0;
}
