/**
 * What does a long search do to the event loop?
 *
 * A timer asks for a turn every millisecond; how much later than that it comes is the delay that
 * whatever else the program does would have had. Beside it every vector is compared, in one search
 * after another: not at all, in the background, there with a `getInto` at each turn, and by the
 * event loop itself. `bun bench/run.ts async`, `bun bench/async.ts 1000000`
 */

import { join } from "node:path";
import { type Collection, Database } from "../src/index.ts";
import { keyOf, querySet, type VectorSet, vectorSet } from "./data.ts";
import * as harness from "./harness.ts";

const dimension = 384;
const rounds = 5;
const roundMs = 1000;
const periodMs = 1;
const rowsAtOnce = 50_000;

const count = Number(process.argv[2] ?? 200_000);

/** What goes on beside the timer. */
interface Load {
  name: string;
  /** Once after another until the round is over. */
  search?: (query: Float32Array) => unknown;
  /** At each turn of the timer. */
  turn?: () => void;
}

function fill(db: Database, set: VectorSet): Collection {
  const docs = db.collection("docs", { dimension, cacheSize: 0 });
  for (let row = 0; row < count; row += rowsAtOnce) {
    const end = Math.min(count, row + rowsAtOnce);
    docs.upsertMany(
      set.keys.slice(row, end),
      set.values.subarray(row * dimension, end * dimension),
    );
  }
  return docs;
}

function loadsOf(docs: Collection): Load[] {
  const out = new Float32Array(dimension);
  let turns = 0;
  const options = { k: 10, exact: true } as const;
  return [
    { name: "nothing" },
    { name: "searchAsync", search: (query) => docs.searchAsync(query, options) },
    {
      name: "searchAsync, threads: 1",
      search: (query) => docs.searchAsync(query, { ...options, threads: 1 }),
    },
    {
      name: "searchAsync, a get each turn",
      search: (query) => docs.searchAsync(query, options),
      turn: () => docs.getInto(keyOf((turns++ * 7919) % count), out),
    },
    { name: "search", search: (query) => docs.search(query, options) },
  ];
}

/** One round: the delays of the timer in µs, and the times of the searches. */
async function round(
  load: Load,
  queries: readonly Float32Array[],
): Promise<{ delays: number[]; searches: number[] }> {
  const delays: number[] = [];
  const searches: number[] = [];
  const end = performance.now() + roundMs;
  let due = performance.now() + periodMs;
  const ticking = new Promise<void>((resolve) => {
    const tick = (): void => {
      const now = performance.now();
      delays.push(Math.max(0, now - due) * 1000);
      load.turn?.();
      due = performance.now() + periodMs;
      if (now < end) setTimeout(tick, periodMs);
      else resolve();
    };
    setTimeout(tick, periodMs);
  });
  const { search } = load;
  for (let n = 0; search !== undefined && performance.now() < end; n++) {
    const started = performance.now();
    await search(queries[n % queries.length] as Float32Array);
    searches.push((performance.now() - started) * 1000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await ticking;
  return { delays, searches };
}

function at(sorted: readonly number[], part: number): string {
  const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
  return value === undefined ? "" : harness.duration(value);
}

async function run(): Promise<void> {
  const db = new Database(join(harness.scratchFolder(), "async.vl"), { durability: "none" });
  const set = vectorSet(count, dimension);
  const docs = fill(db, set);
  const queries = querySet(set, 50);
  const loads = loadsOf(docs);
  const samples = loads.map(() => ({ delays: [] as number[], searches: [] as number[] }));
  for (let number = -1; number < rounds; number++) {
    for (const [index, load] of loads.entries()) {
      harness.collectGarbage();
      const { delays, searches } = await round(load, queries);
      if (number < 0) continue;
      samples[index]?.delays.push(...delays);
      samples[index]?.searches.push(...searches);
    }
  }
  const rows = loads.map(({ name }, index) => {
    const { delays = [], searches = [] } = samples[index] ?? {};
    delays.sort((a, b) => a - b);
    searches.sort((a, b) => a - b);
    const figures = [at(delays, 0.5), at(delays, 0.99), at(delays, 1), `${delays.length}`];
    return [name, ...figures, at(searches, 0.5)];
  });
  const title = `async: delay of the event loop beside exact searches of ${count} x ${dimension}`;
  db.close();
  harness.printRows(title, [["beside", "p50", "p99", "most", "turns", "one search"], ...rows]);
}

await run();
