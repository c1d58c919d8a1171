/**
 * How much memory does a server take whose Workers search one file, each with a handle of its own?
 *
 * examples/search-server.ts is started over 100,000 x 512 vectors with metadata, with 1 to 8
 * Workers, each of which answers 20 searches; then the resident memory of the process is read. What
 * Bun takes for a Worker is told by Workers that were asked nothing. On Linux, with Bun.
 * `bun bench/run.ts workers`
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { hashingModel } from "../examples/hashing-embedder.ts";
import { Database } from "../src/index.ts";
import * as harness from "./harness.ts";

const dimension = 512;
const rowCount = 100_000;
const batchSize = 5000;
const searchesEach = 20;
const server: string = fileURLToPath(new URL("../examples/search-server.ts", import.meta.url));

function fill(path: string): void {
  const db = new Database(path, { durability: "none" });
  const docs = db.collection("documents", { dimension, model: hashingModel });
  let state = 1;
  const random = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
  for (let start = 0; start < rowCount; start += batchSize) {
    docs.upsertMany(
      Array.from({ length: batchSize }, (_, index) => ({
        key: `document ${start + index}`,
        vector: Float32Array.from({ length: dimension }, random),
        metadata: { text: `${start + index}`, lang: index % 4 ? "en" : "de", year: index % 2025 },
      })),
    );
  }
  db.close();
}

/** Resident memory of a server in MB: what it has for itself, and what is of files. */
async function measure(path: string, workers: number, searches: number): Promise<number[]> {
  const child = spawn(process.execPath, [server], {
    env: { ...process.env, DATABASE: path, PORT: "0", WORKERS: `${workers}` },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  const base = line.toString().replace("listening on ", "").trim();
  for (let round = 0; round < searches; round++) {
    const asked = Array.from({ length: workers }, async (_, index) => {
      const response = await fetch(`${base}search?q=${round}+cats+${index}&lang=en&since=1000`);
      return ((await response.json()) as unknown[]).length;
    });
    for (const hits of await Promise.all(asked)) if (hits !== 5) throw new Error(`${hits} hits`);
  }
  await new Promise((resolve) => setTimeout(resolve, 500));
  const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
  const megabytes = (name: string): number =>
    (Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) * 1024) / 1e6;
  const found = ["VmRSS", "RssAnon", "RssFile"].map(megabytes);
  child.kill("SIGTERM");
  await once(child, "close");
  return found;
}

const path = join(harness.scratchFolder(), "documents.vl");
fill(path);
const rows: string[][] = [["Workers", "searches each", "resident", "own", "of files", "to one"]];
let one = 0;
for (const [workers, searches] of [
  [1, searchesEach],
  [2, searchesEach],
  [4, searchesEach],
  [8, searchesEach],
  [1, 0],
  [8, 0],
] as const) {
  const [all = 0, own = 0, files = 0] = await measure(path, workers, searches);
  if (workers === 1) one = all;
  const sizes = [all, own, files].map((size) => `${size.toFixed(1)} MB`);
  rows.push([`${workers}`, `${searches}`, ...sizes, `${(all / one).toFixed(2)}x`]);
}
harness.printRows("workers: memory of a server whose Workers search 100,000 x 512", rows);
