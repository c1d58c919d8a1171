/**
 * How much faster is the default search than an exact one where there are many rows?
 *
 * 100,000 x 1536, beside sqlite-vec's floats and its bit vectors; or with a number of rows as
 * argument, 1,000,000 against itself alone: `bun bench/run.ts scale scale-1m`. One query after
 * another, one thread, all in memory or in the system's cache. What is found is measured over more
 * queries than are timed; bits take part with the least oversampling that finds 0.99.
 */

import { rmSync, statSync } from "node:fs";
import { Database } from "../src/index.ts";
import { dataFolder } from "./data.ts";
import * as engines from "./engines.ts";
import * as harness from "./harness.ts";
import { resampled } from "./resampled.ts";
import { exactTruth, hashRows, settle, type Truth } from "./truth.ts";

const { k } = engines;
const count = Number(process.argv[2] ?? 100_000);
const dimension = 1536;
const recallWanted = 0.99;
/** A million rows are a gigabyte and a half for each contestant that keeps its own. */
const withPeers = count <= 200_000;
const set = resampled(count, dimension);
const queries = set.queries(withPeers ? 200 : 64);
const timed = queries.slice(0, 10);

/** A million rows may be too much for where temporary files lie. */
const path: string = `${withPeers ? harness.scratchFolder() : dataFolder}/scale.vl`;
rmSync(path, { force: true });
process.on("exit", () => rmSync(path, { force: true }));
const database: Database = new Database(path, {
  durability: "none",
  memoryBudget: engines.memoryBudget,
});
const docs = database.collection("docs", { dimension, metric: "cosine" });
const seconds: number = engines.fill(docs, set);
const truth: Truth = exactTruth(docs, queries);
const contestants: harness.Contestant[] = [];
const found = new Map<string, number>();
const notes: string[] = [];

async function enter(engine: engines.Engine): Promise<void> {
  const { setting, name, recall, tried } = await settle(engine, queries, truth, recallWanted);
  notes.push(...tried);
  found.set(name, recall);
  contestants.push({
    name,
    run: async () => {
      let hash = 0;
      for (const query of timed) hash = hashRows(hash, await engine.search(query, setting));
      return hash;
    },
    close: () => engine.close(),
  });
}

for (const engine of engines.vectorLite(docs, seconds)) await enter(engine);
const absences: harness.Absence[] = [];
if (withPeers) {
  for (const build of [engines.sqliteVec, engines.sqliteVecBits]) {
    const built = await build({ set, values: new Float32Array(0) });
    if ("absence" in built) absences.push(built.absence);
    else for (const engine of built.peer) await enter(engine);
  }
}
const results: harness.Result[] = await harness.measure(contestants, {
  rounds: 5,
  operations: timed.length,
});
harness.printTable(`scale: the 10 nearest of ${set.name}, one query`, results, {
  yardstick: "VectorLite, exact",
  absences,
  found,
});
for (const note of notes) harness.print(note);
const rate: string = Math.round(count / seconds).toLocaleString("en");
const size: string = (statSync(path).size / 1e9).toFixed(2);
harness.print(`VectorLite stored ${rate} rows a second, codes included, in ${size} GB`);
const [first] = timed;
if (first) {
  const { reranked, compared, bytesRead } = docs.explain(first, { k });
  const share = ((bytesRead / (count * dimension * 4)) * 100).toFixed(1);
  harness.print(
    `one query compared ${reranked + compared} vectors; it read ${share} % of them all`,
  );
}
database.close();
