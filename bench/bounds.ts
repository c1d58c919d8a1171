/**
 * What does a bound cost, and what does it keep?
 *
 * A stream of keys by Zipf's law (exponent 0.9) over twice as many as the bounded cache may have; a
 * miss is set. Hits are compared with those of an exact LRU of as many entries as the cache has in
 * the end, the time of a set with that of a cache without a bound, over the same stream.
 * `bun bench/run.ts bounds`
 */

import { statSync } from "node:fs";
import { join } from "node:path";
import { EmbedCache, type EmbedCacheOptions } from "../src/index.ts";
import * as harness from "./harness.ts";

const dimension = 1536;
const maxEntries = 20_000;
const length = 200_000;
const rounds = 3;

/** Ranks, the most popular one being 0; the same ones in each run. */
function zipf(): Uint32Array {
  const bounds = new Float64Array(2 * maxEntries);
  let sum = 0;
  for (const [rank] of bounds.entries()) {
    sum += 1 / (rank + 1) ** 0.9;
    bounds[rank] = sum;
  }
  let seed = 12345;
  return Uint32Array.from({ length }, () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    const place = (seed / 2 ** 32) * sum;
    let low = 0;
    let high = bounds.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((bounds[middle] ?? 0) < place) low = middle + 1;
      else high = middle;
    }
    return low;
  });
}

/** Of an exact LRU with room for as many entries. */
function hitsOfLru(stream: Uint32Array, room: number): number {
  const entries = new Set<number>();
  let hits = 0;
  for (const key of stream) {
    if (entries.delete(key)) hits++;
    entries.add(key);
    const [oldest] = entries;
    if (entries.size > room && oldest !== undefined) entries.delete(oldest);
  }
  return hits;
}

interface Outcome {
  hits: number;
  setMicros: number;
  entries: number;
  fileBytes: number;
}

function play(stream: Uint32Array, name: string, options: EmbedCacheOptions): Outcome {
  const path = join(harness.scratchFolder(), `${name}.vl`);
  using cache = new EmbedCache({ path, dimension, ...options });
  const vector = new Float32Array(dimension).fill(1);
  const out = new Float32Array(dimension);
  let hits = 0;
  let milliseconds = 0;
  for (const rank of stream) {
    const key = `document/${rank}`;
    if (cache.getInto(key, out)) {
      if (out[0] !== rank + 1) throw new Error(`${name} returned another vector`);
      hits++;
      continue;
    }
    vector[0] = rank + 1;
    const started = performance.now();
    cache.set(key, vector);
    milliseconds += performance.now() - started;
  }
  const setMicros = (milliseconds * 1000) / (stream.length - hits);
  return { hits, setMicros, entries: cache.size, fileBytes: statSync(path).size };
}

const stream = zipf();
/** What of a file is not vectors: about as many entries fit as in the cache beside it. */
const maxBytes = Math.round(maxEntries * dimension * 4 * 1.75);
const contestants: Record<string, EmbedCacheOptions> = {
  "no bound": {},
  maxEntries: { maxEntries },
  maxBytes: { maxBytes },
};
const outcomes = new Map<string, Outcome[]>();
for (let round = 0; round < rounds; round++) {
  for (const [name, options] of Object.entries(contestants)) {
    const outcome = play(stream, `${name} ${round}`, options);
    outcomes.set(name, [...(outcomes.get(name) ?? []), outcome]);
  }
}
const micros = (name: string): number =>
  harness.median((outcomes.get(name) ?? []).map(({ setMicros }) => setMicros));
harness.printRows(`bounds: ${length.toLocaleString("en")} x ${dimension}, Zipf 0.9`, [
  ["", "hits", "of an LRU's as large", "a set", "set rate, of no bound", "entries", "file"],
  ...[...outcomes].map(([name, [outcome]]) => [
    name,
    (((outcome?.hits ?? 0) / length) * 100).toFixed(1).concat(" %"),
    ((outcome?.hits ?? 0) / hitsOfLru(stream, outcome?.entries ?? 0)).toFixed(3),
    harness.duration(micros(name)),
    (micros("no bound") / micros(name)).toFixed(2),
    (outcome?.entries ?? 0).toLocaleString("en"),
    `${((outcome?.fileBytes ?? 0) / 1e6).toFixed(0)} MB`,
  ]),
]);
