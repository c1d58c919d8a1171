/**
 * Does a search choose the faster plan?
 *
 * Small collections, where codes begin to pay, in few dimensions and in many: the time of a search
 * that compares every vector, and of one that may choose. Where it chooses codes it has to be the
 * faster one; where it does not, both are the same. `bun bench/run.ts plans`
 */

import { Database } from "../src/index.ts";
import { querySet, vectorSet } from "./data.ts";
import * as harness from "./harness.ts";

const rounds = 31;

interface Case {
  dimension: number;
  count: number;
  k: number;
}

interface Outcome {
  plan: string;
  looked: number;
  exact: number;
  chosen: number;
}

function run({ dimension, count, k }: Case): Outcome {
  const set = vectorSet(10_000, dimension);
  const database = new Database(":memory:");
  const docs = database.collection("docs", { dimension, metric: "cosine" });
  docs.upsertMany(set.keys.slice(0, count), set.values.subarray(0, count * dimension));
  const queries = querySet({ ...set, count }, 20);
  const times = { exact: [] as number[], chosen: [] as number[] };
  let looked = 0;
  let plan = "";
  for (const query of queries) {
    const explanation = docs.explain(query, { k });
    looked += explanation.reranked;
    plan = explanation.plan;
  }
  for (let round = 0; round < rounds; round++) {
    for (const name of ["exact", "chosen"] as const) {
      const started = performance.now();
      for (const query of queries) docs.search(query, { k, exact: name === "exact", threads: 1 });
      times[name].push(((performance.now() - started) * 1000) / queries.length);
    }
  }
  database.close();
  return {
    plan,
    looked: looked / queries.length,
    exact: harness.median(times.exact),
    chosen: harness.median(times.chosen),
  };
}

const rows: string[][] = [["", "plan", "looked at", "exact", "chosen", "exact / chosen"]];
for (const dimension of [64, 128, 384, 768, 1536]) {
  for (const count of [500, 1000, 2000, 4000, 10_000]) {
    for (const k of [1, 10, 100]) {
      const { plan, looked, exact, chosen } = run({ dimension, count, k });
      rows.push([
        `${count} x ${dimension}, k ${k}`,
        plan,
        looked.toFixed(0),
        harness.duration(exact),
        harness.duration(chosen),
        `${(exact / chosen).toFixed(2)}x`,
      ]);
    }
  }
}
harness.printRows("plans: comparing every vector, and the plan that a search chooses", rows);
