/**
 * Does opening a file take longer when there is more in it?
 *
 * One file has 1,000 records and the other 1,000,000, of 8 dimensions to spare the disk: what
 * opening has to read is the keys' index and the catalogue, whose sizes do not depend on the
 * dimension. Both are in the system's cache. Each is opened, asked for one vector, and closed.
 * The files are written once, into bench/data/. `bun bench/run.ts open`
 */

import { existsSync, mkdirSync, renameSync, rmSync, statSync } from "node:fs";
import { EmbedCache } from "../src/index.ts";
import { dataFolder, keyOf, randomSource } from "./data.ts";
import * as harness from "./harness.ts";

const dimension = 8;
const batchCount = 50_000;
const opensPerRound = 20;

function fileWith(count: number): string {
  const path = `${dataFolder}open-${count}.vl`;
  if (existsSync(path)) return path;
  mkdirSync(dataFolder, { recursive: true });
  const random = randomSource(count);
  rmSync(`${path}.part`, { force: true });
  const cache = new EmbedCache({ path: `${path}.part`, dimension });
  for (let first = 0; first < count; first += batchCount) {
    const size = Math.min(batchCount, count - first);
    const keys = Array.from({ length: size }, (_, row) => keyOf(first + row));
    cache.setMany(
      keys,
      Float32Array.from({ length: size * dimension }, () => random() + 0.01),
    );
  }
  cache.close();
  renameSync(`${path}.part`, path);
  return path;
}

/** Opens and closes; `get` also fetches one vector in between. */
function contestant(count: number, get: boolean, readonly: boolean): harness.Contestant {
  const path = fileWith(count);
  const key = keyOf(count >> 1);
  const size = `${(statSync(path).size / 2 ** 20).toFixed(1)} MiB`;
  const how = `${readonly ? "open readonly" : "open"}${get ? " + get" : ""}`;
  return {
    name: `${how}, ${count.toLocaleString("en")} records, ${size}`,
    run: () => {
      let hash = 0;
      for (let turn = 0; turn < opensPerRound; turn++) {
        const cache = new EmbedCache({ path, dimension, readonly });
        if (get) hash = harness.mixFloat(hash, cache.get(key)?.[0] ?? 0);
        else hash = harness.mix(hash, turn);
        cache.close();
      }
      return hash;
    },
  };
}

const contestants: harness.Contestant[] = [];
for (const readonly of [false, true]) {
  for (const get of [false, true]) {
    for (const count of [1000, 1_000_000]) contestants.push(contestant(count, get, readonly));
  }
}
const results: harness.Result[] = await harness.measure(contestants, {
  rounds: 25,
  operations: opensPerRound,
});
harness.printTable("open: open and close a file, files of two sizes", results, {
  yardstick: contestants[0]?.name ?? "",
});
for (let pair = 0; pair < results.length; pair += 2) {
  const [small, large] = [results[pair], results[pair + 1]];
  if (!small || !large) continue;
  const [how = ""] = large.name.split(",");
  const ratio = (large.median / small.median).toFixed(2);
  harness.print(`${how}: 1,000,000 records take ${ratio} times as long as 1,000`);
}
