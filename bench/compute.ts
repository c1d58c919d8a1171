/**
 * How long does it take to get 1,000 vectors that are cached already, and what does a miss cost?
 *
 * 1,000 vectors of 1536 dimensions, 5.9 MiB, with the file in the system's cache. A new array of
 * all of them, filled, stands beside: most of its time, and of a loop of `get`, is the system's,
 * which clears new pages. Each call is measured alone, after a collection, and twenty in a row,
 * which pay for their garbage. Misses are computed by a function that returns an array that is
 * there, so what is measured is the cache.
 * `bun bench/run.ts compute`
 */

import { join } from "node:path";
import { EmbedCache } from "../src/index.ts";
import { vectorSet } from "./data.ts";
import * as harness from "./harness.ts";

const { dimension, keys, values } = vectorSet(1000, 1536);
const folder = harness.scratchFolder();
const cache: EmbedCache = new EmbedCache({ path: join(folder, "compute.vl"), dimension });
cache.setMany(keys, values);

/** Every vector contributes two of its values, in the order of the keys. */
function hashOf(vectors: readonly (Float32Array | undefined)[]): number {
  let hash = 0;
  for (const vector of vectors) {
    hash = harness.mixFloat(hash, vector?.[0] ?? 0);
    hash = harness.mixFloat(hash, vector?.[dimension - 1] ?? 0);
  }
  return hash;
}

function never(): never {
  throw new Error("everything is cached");
}

const cached: harness.Contestant[] = [
  {
    name: "a new array, filled",
    run: () => {
      const copy = new Float32Array(values);
      return hashOf(keys.map((_, row) => copy.subarray(row * dimension, (row + 1) * dimension)));
    },
  },
  { name: "getOrComputeMany", run: async () => hashOf(await cache.getOrComputeMany(keys, never)) },
  {
    name: "getOrCompute, all at once",
    run: async () => hashOf(await Promise.all(keys.map((key) => cache.getOrCompute(key, never)))),
  },
  { name: "get, one after the other", run: () => hashOf(keys.map((key) => cache.get(key))) },
];

const inRow = 20;

function repeated({ name, run }: harness.Contestant): harness.Contestant {
  return {
    name,
    run: async () => {
      let hash = 0;
      for (let call = 0; call < inRow; call++) hash = await run();
      return hash;
    },
  };
}

const missing: EmbedCache = new EmbedCache({ path: ":memory:", dimension });
const fill = (batch: string[]): Float32Array => values.subarray(0, batch.length * dimension);
const missed: harness.Contestant[] = [
  {
    name: "getOrComputeMany",
    prepare: () => missing.clear(),
    run: async () => hashOf(await missing.getOrComputeMany(keys, fill)),
  },
  {
    name: "getOrComputeMany, maxBatch 100",
    prepare: () => missing.clear(),
    run: async () => {
      const compute = (batch: string[]): Float32Array => {
        const start = keys.indexOf(batch[0] ?? "");
        return values.subarray(start * dimension, (start + batch.length) * dimension);
      };
      return hashOf(await missing.getOrComputeMany(keys, compute, { maxBatch: 100 }));
    },
  },
  {
    name: "setMany, then getMany",
    prepare: () => missing.clear(),
    run: () => {
      missing.setMany(keys, values);
      const { vectors } = missing.getMany(keys);
      return hashOf(keys.map((_, row) => vectors.subarray(row * dimension, (row + 1) * dimension)));
    },
  },
];

const options: harness.MeasureOptions = { rounds: 30, operations: 1 };
harness.printTable(
  "1,000 x 1536, all cached",
  await harness.measure(cached, { ...options, rehearse: true }),
  { yardstick: "get, one after the other" },
);
harness.printTable(
  `1,000 x 1536, all cached, ${inRow} calls in a row`,
  await harness.measure(cached.map(repeated), { rounds: 15, operations: inRow }),
  { yardstick: "get, one after the other" },
);
harness.printTable("1,000 x 1536, all missing", await harness.measure(missed, options), {
  yardstick: "setMany, then getMany",
});
cache.close();
missing.close();
