/**
 * How long does `findSimilar` take at 0.95, when there is such an entry and when there is none?
 *
 * 100,000 x 1536, one query after another, against our own exact search for the same one entry.
 * Hits are questions like the entries. Misses are the same with so much noise that no entry comes
 * near the threshold; which ones they are the exact search decides. `bun bench/run.ts threshold`
 */

import { join } from "node:path";
import { Database, EmbedCache } from "../src/index.ts";
import * as engines from "./engines.ts";
import * as harness from "./harness.ts";
import { resampled } from "./resampled.ts";

const threshold = 0.95;
/** Beside a vector of length 1, this leaves a score of about 0.9 to what it was mixed from. */
const strangeness = 0.45;
const rounds = 7;
const wanted = 20;
const set = resampled(Number(process.argv[2] ?? 100_000), 1536);
const path: string = join(harness.scratchFolder(), "threshold.vl");

const cache: EmbedCache = new EmbedCache({ path, dimension: set.dimension, durability: "none" });
for (const { keys, values } of set.batches(10_000)) cache.setMany(keys, values);
cache.flush();
// The file of a cache is a database: there an exact search can be asked for.
const database: Database = new Database(path, {
  readonly: true,
  memoryBudget: engines.memoryBudget,
});
const docs = database.collection("default");

function nearest(query: Float32Array): number {
  return docs.search(query, { k: 1, exact: true })[0]?.score ?? Number.NaN;
}

/** The first queries on one side of the threshold, and what their nearest entries score. */
function choose(queries: readonly Float32Array[], hit: boolean): Float32Array[] {
  const chosen = queries.filter((query) => nearest(query) >= threshold === hit).slice(0, wanted);
  if (chosen.length < wanted) throw new Error(`only ${chosen.length} queries hit: ${hit}`);
  const scores = chosen.map(nearest);
  const range = [Math.min(...scores), harness.median(scores), Math.max(...scores)];
  const told = range.map((score) => score.toFixed(3)).join(", ");
  harness.print(
    `${hit ? "hits" : "misses"}: the nearest entry scores (least, median, most) ${told}`,
  );
  return chosen;
}

function hashKeys(hash: number, key: string | undefined): number {
  return harness.mix(hash, key === undefined ? -1 : engines.rowOf(key));
}

async function compare(name: string, queries: readonly Float32Array[]): Promise<void> {
  const searches: Record<string, (query: Float32Array) => string | undefined> = {
    "search, exact": (query) =>
      docs.search(query, { k: 1, threshold, exact: true, threads: 1 })[0]?.key,
    search: (query) => docs.search(query, { k: 1, threshold })[0]?.key,
    findSimilar: (query) => cache.findSimilar(query, { threshold })?.key,
  };
  const contestants = Object.entries(searches).map(([name, search]) => ({
    name,
    run: () => queries.reduce((hash, query) => hashKeys(hash, search(query)), 0),
  }));
  const options = { rounds, operations: queries.length, rehearse: true };
  const results = await harness.measure(contestants, options);
  const title = `threshold: one entry that scores ${threshold}, ${set.name}, ${name}`;
  harness.printTable(title, results, { yardstick: "search, exact" });
}

const hits = choose(set.queries(60), true);
const misses = choose(set.strangers(60, strangeness), false);
await compare("hit", hits);
await compare("miss", misses);
database.close();
cache.close();
