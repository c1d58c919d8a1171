/**
 * How long does it take to find the 10 nearest of 50,000 x 1536 vectors by comparing all of them?
 *
 * First one query after another, then 64 at once where a library can be asked so; cosine, one
 * thread, everything in memory or the system's cache. VectorLite's default, which does not compare
 * all, has a line too. The column "found" shows how much of the true neighbours each returns, by
 * scores that are equal to five digits; equal hashes mean the same rows.
 * `bun bench/run.ts search`
 */

import { join } from "node:path";
import { Database } from "../src/index.ts";
import * as engines from "./engines.ts";
import * as harness from "./harness.ts";
import { usearch } from "./peers.ts";
import { resampled } from "./resampled.ts";
import { exactTruth, hashRows, recallOf, type Truth } from "./truth.ts";

const { k } = engines;
const set = resampled(Number(process.argv[2] ?? 50_000), 1536);
const { dimension } = set;
const loaded: engines.Loaded = { set, values: set.values() };
const queries = set.queries(64);
const single = queries.slice(0, 5);
const packed = new Float32Array(queries.length * dimension);
queries.forEach((query, at) => {
  packed.set(query, at * dimension);
});

const database: Database = new Database(join(harness.scratchFolder(), "search.vl"), {
  memoryBudget: engines.memoryBudget,
});
const docs = database.collection("docs", { dimension, metric: "cosine" });
const own = engines.vectorLite(docs, engines.fill(docs, set));
const truth: Truth = exactTruth(docs, queries);

async function one(): Promise<void> {
  const { engines: others, absences } = await engines.buildAll(
    [engines.sqliteVec, engines.zvecFlat, engines.usearchExact, engines.lanceFlat],
    loaded,
  );
  const found = new Map<string, number>();
  const contestants = [...own, ...others].map((engine) => ({
    name: engine.name,
    run: async () => {
      let hash = 0;
      const all: number[][] = [];
      for (const query of single) {
        const rows = await engine.search(query, 0);
        all.push(rows);
        hash = hashRows(hash, rows);
      }
      found.set(engine.name, recallOf(all, truth));
      return hash;
    },
    close: () => engine.close(),
  }));
  const options = { rounds: 7, operations: single.length, rehearse: true };
  const results = await harness.measure(contestants, options);
  const title = `search: the ${k} nearest of ${set.name}, one query`;
  harness.printTable(title, results, { yardstick: "VectorLite, exact", absences, found });
}

interface Many {
  name: string;
  search: () => number[][];
}

async function manySearches(): Promise<{ searches: Many[]; absences: harness.Absence[] }> {
  const searches: Many[] = [true, false].map((exact) => ({
    name: exact ? "VectorLite, exact" : "VectorLite",
    search: () => {
      const found = docs.searchMany(packed, { k, exact, threads: 1 });
      return found.map((hits) => hits.map(({ key }) => engines.rowOf(key)));
    },
  }));
  const module = await usearch();
  if ("absence" in module) return { searches, absences: [module.absence] };
  const { exactSearch, MetricKind } = module.peer;
  for (const [name, metric] of [
    ["usearch, exactSearch, inner product", MetricKind.IP],
    ["usearch, exactSearch, cosine", MetricKind.Cos],
  ] as const) {
    searches.push({
      name,
      search: () => {
        const { keys } = exactSearch(loaded.values, packed, dimension, k, metric, 1);
        const rows = Array.from(keys, Number);
        return queries.map((_, query) => rows.slice(query * k, (query + 1) * k));
      },
    });
  }
  return { searches, absences: [] };
}

async function many(): Promise<void> {
  const { searches, absences } = await manySearches();
  const found = new Map<string, number>();
  const contestants = searches.map(({ name, search }) => ({
    name,
    run: () => {
      const all = search();
      found.set(name, recallOf(all, truth));
      return all.reduce(hashRows, 0);
    },
  }));
  const results = await harness.measure(contestants, { rounds: 5, operations: queries.length });
  const title = `search: the ${k} nearest of ${set.name}, ${queries.length} queries at once, each`;
  harness.printTable(title, results, { yardstick: "VectorLite, exact", absences, found });
}

await one();
await many();
database.close();
