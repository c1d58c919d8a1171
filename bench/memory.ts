/**
 * How much memory does a process need to open 10,000 x 1536 vectors (59 MiB), and to get 1,000 of
 * them or to search 1,000 times?
 *
 * Each way of reading runs in a process of its own, which loads the library, measures its resident
 * memory, opens the file, fetches or searches, and measures again. Resident memory counts mapped
 * pages of the file too. The floor does everything except opening and fetching; that of a search
 * has two vectors in memory. `bun bench/run.ts memory`
 */

import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { EmbedCache } from "../src/index.ts";
import { keyOf, shuffled, vectorSet } from "./data.ts";
import * as harness from "./harness.ts";

const dimension = 1536;
const getCount = 1000;
const runs = 7;
const ways = ["floor", "open", "getInto", "get", "floor of search", "search"] as const;
type Way = (typeof ways)[number];

/** Of this process, in bytes, after everything that can be collected is collected. */
function residentBytes(): number {
  harness.collectGarbage();
  return process.memoryUsage.rss();
}

/** In the child: loads the library with a cache in memory, so that only opening is counted. */
function measureHere(way: Way, path: string): void {
  const small = new EmbedCache({ path: ":memory:", dimension });
  const query = new Float32Array(dimension).fill(1);
  small.set("a", query);
  const keys = [...shuffled(10_000, 7).subarray(0, getCount)].map(keyOf);
  const out = new Float32Array(dimension);
  const before = residentBytes();
  const cache = way.startsWith("floor") ? small : new EmbedCache({ path, dimension });
  let hash = 0;
  for (const key of way.startsWith("get") ? keys : []) {
    const vector = way === "get" ? cache.get(key) : cache.getInto(key, out) && out;
    if (!vector) throw new Error(`${key} is missing`);
    hash = harness.mixFloat(hash, vector[0] ?? 0);
  }
  for (let round = 0; way.endsWith("search") && round < getCount; round++) {
    query[round] = -1;
    hash = harness.mixFloat(hash, cache.search(query, { k: 10 })[0]?.score ?? 0);
  }
  harness.print(JSON.stringify({ bytes: residentBytes() - before, hash }));
  cache.close();
  small.close();
}

function measureInChild(way: Way, path: string): { bytes: number; hash: number } {
  const script = fileURLToPath(import.meta.url);
  const child = spawnSync(process.execPath, [script, way, path], { encoding: "utf8" });
  if (child.status !== 0) throw new Error(child.stderr);
  return JSON.parse(child.stdout) as { bytes: number; hash: number };
}

function measureAll(): void {
  const set = vectorSet(10_000, dimension);
  const path = join(harness.scratchFolder(), "memory.vl");
  const cache = new EmbedCache({ path, dimension });
  cache.setMany(set.keys, set.values);
  cache.close();
  const samples = new Map<Way, number[]>(ways.map((way) => [way, []]));
  const hashes = new Map<Way, number>();
  for (let run = 0; run < runs; run++) {
    for (const way of ways) {
      const { bytes, hash } = measureInChild(way, path);
      samples.get(way)?.push(bytes / 1e6);
      hashes.set(way, hash);
    }
  }
  const rows = ways.map((way) => {
    const { median, fastest, slowest } = harness.summary(samples.get(way) ?? []);
    const hash = (hashes.get(way) ?? 0).toString(16).padStart(8, "0");
    return [way, ...[median, fastest, slowest].map((value) => `${value.toFixed(2)} MB`), hash];
  });
  const title = "memory: resident memory after 1,000 random gets or searches over before";
  harness.printRows(title, [["", "median", "least", "most", "result"], ...rows]);
}

const [way, path] = process.argv.slice(2) as [Way | undefined, string | undefined];
if (way !== undefined && path !== undefined) measureHere(way, path);
else measureAll();
