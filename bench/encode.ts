/**
 * How many rows a second can be stored with their codes? 100,000 x 768, in batches of 10,000.
 *
 * The API cannot store without codes, so what is timed is all of it: checking the vectors, keys,
 * rows, codes, and writing to memory or to a file. A bare copy of the vectors is the floor. What
 * the codes alone take is measured in the engine, see the kernels' `encoding`:
 * `zig build bench-kernels -- 768 encoding`. `bun bench/run.ts encode`
 */

import { rmSync } from "node:fs";
import { join } from "node:path";
import { Database } from "../src/index.ts";
import * as harness from "./harness.ts";
import { resampled } from "./resampled.ts";

const dimension = Number(process.argv[2] ?? 768);
const set = resampled(100_000, dimension);
const batches = [...set.batches(10_000)].map(({ keys }) => keys);
const values: Float32Array = set.values();
const file: string = join(harness.scratchFolder(), "encode.vl");
const out = new Float32Array(values.length);

function rowsOf(batch: number): Float32Array {
  const size = 10_000 * dimension;
  return values.subarray(batch * size, (batch + 1) * size);
}

function store(path: string): number {
  const database = new Database(path, { durability: "none" });
  const docs = database.collection("docs", { dimension });
  batches.forEach((keys, batch) => {
    docs.upsertMany(keys, rowsOf(batch));
  });
  const { size } = docs;
  database.close();
  return size;
}

const removeFile = (): void => rmSync(file, { force: true });
const contestants: harness.Contestant[] = [
  {
    name: "floor: copy",
    run: () => {
      out.set(values);
      return set.count;
    },
  },
  { name: "upsertMany, in memory", run: () => store(":memory:") },
  { name: "upsertMany, to a file", prepare: removeFile, run: () => store(file) },
];
const results: harness.Result[] = await harness.measure(contestants, {
  rounds: 7,
  operations: set.count,
});
harness.printTable(`encode: storing ${set.name}, time for each row`, results, {
  yardstick: "upsertMany, in memory",
});
for (const { name, median } of results) {
  harness.print(`${name}: ${Math.round(1e6 / median).toLocaleString("en")} rows a second`);
}
