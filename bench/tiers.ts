/**
 * How much slower is a search on an older processor?
 *
 * The same file, 100,000 x 1536, in processes that are told with VECTORLITE_CPU which kernels to
 * use; they take turns. v2 has neither AVX nor FMA. `bun bench/run.ts tiers`
 */

import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Database } from "../src/index.ts";
import * as engines from "./engines.ts";
import * as harness from "./harness.ts";
import { resampled } from "./resampled.ts";
import { hashRows } from "./truth.ts";

const { k } = engines;
const dimension = 1536;
const rounds = 5;
const tiers = process.arch === "x64" ? ["v2", "v3", "v4", "v4-vnni"] : ["neon"];
const ways = ["default", "exact"] as const;
type Way = (typeof ways)[number];

interface Answer {
  cpu: string;
  hash: number;
  /** Of one query, in microseconds, the median of some passes over all queries. */
  micros: Record<Way, number>;
}

/** In the child. */
function measureHere(path: string, count: number): void {
  const database = new Database(path, {
    readonly: true,
    memoryBudget: engines.memoryBudget,
  });
  const docs = database.collection("docs");
  const queries = resampled(count, dimension).queries(20);
  let hash = 0;
  const passes = (exact: boolean, rounds: number): number => {
    const times: number[] = [];
    for (let round = -1; round < rounds; round++) {
      const asked = exact ? queries.slice(0, 5) : queries;
      const started = performance.now();
      for (const query of asked) {
        const rows = docs
          .search(query, { k, exact, threads: 1 })
          .map(({ key }) => engines.rowOf(key));
        if (round === 0) hash = hashRows(hash, rows);
      }
      if (round >= 0) times.push(((performance.now() - started) * 1000) / asked.length);
    }
    return harness.median(times);
  };
  const micros = { default: passes(false, 5), exact: passes(true, 2) };
  const [query = new Float32Array(dimension)] = queries;
  const answer: Answer = { cpu: docs.explain(query, { k }).cpu, hash, micros };
  harness.print(JSON.stringify(answer));
  database.close();
}

/** `undefined` where this machine cannot run the tier. */
function measureTier(tier: string, path: string, count: number): Answer | undefined {
  const env = { ...process.env, VECTORLITE_CPU: tier };
  const script = fileURLToPath(import.meta.url);
  const child = spawnSync(process.execPath, [script, path, `${count}`], { encoding: "utf8", env });
  if (child.status !== 0 && child.stderr.includes("VECTORLITE_CPU")) return undefined;
  if (child.status !== 0) throw new Error(child.stderr);
  const answer = JSON.parse(child.stdout) as Answer;
  if (answer.cpu !== tier) throw new Error(`asked for ${tier}, got ${answer.cpu}`);
  return answer;
}

function measureAll(count: number): void {
  const set = resampled(count, dimension);
  const path = join(harness.scratchFolder(), "tiers.vl");
  const database = new Database(path, { durability: "none" });
  engines.fill(database.collection("docs", { dimension }), set);
  database.close();
  const samples = new Map<string, Answer[]>();
  for (let round = 0; round < rounds; round++) {
    for (const tier of tiers) {
      const answer = measureTier(tier, path, count);
      if (answer) samples.set(tier, [...(samples.get(tier) ?? []), answer]);
    }
  }
  for (const way of ways) {
    const results = [...samples].map(([name, answers]) => ({
      name,
      hash: answers[0]?.hash ?? 0,
      ...harness.summary(answers.map(({ micros }) => micros[way])),
    }));
    const title = `tiers: the ${k} nearest of ${set.name}, one query, ${way}`;
    harness.printTable(title, results, { yardstick: results.at(-1)?.name ?? "" });
  }
}

const [path, count] = process.argv.slice(2);
if (path !== undefined && count !== undefined) measureHere(path, Number(count));
else measureAll(Number(path ?? 100_000));
