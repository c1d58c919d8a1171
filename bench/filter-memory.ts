/**
 * How much memory do filters take beside the file?
 *
 * Each way of searching runs in a process of its own, which searches a collection of two records
 * first, so that the code is loaded and compiled, and then the file. Private memory is what the
 * kernel calls RssAnon; pages of the file that are mapped count as those of the file.
 */

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { type Collection, Database } from "../src/index.ts";
import type { Conditions, Doc } from "./documents.ts";
import * as harness from "./harness.ts";

const searchCount = 1000;
const runs = 5;
const ways = ["search", "filtered search"] as const;
type Way = (typeof ways)[number];

export interface MemoryTask {
  way: Way;
  path: string;
  filters: Conditions[];
}

interface Sample {
  privateBytes: number;
  fileBytes: number;
}

/** Of this process; undefined where the system does not tell. */
function memoryNow(): Sample | undefined {
  harness.collectGarbage();
  try {
    const status = readFileSync("/proc/self/status", "utf8");
    const bytes = (name: string): number =>
      Number(status.match(new RegExp(`${name}:\\s+(\\d+)`))?.[1] ?? 0) * 1024;
    return { privateBytes: bytes("RssAnon"), fileBytes: bytes("RssFile") };
  } catch {
    return undefined;
  }
}

/** As many searches of either collection: what they leave in JavaScript's heap is there before. */
function searchMany(docs: Collection<Doc>, dimension: number, { way, filters }: MemoryTask): void {
  const query = new Float32Array(dimension).fill(1);
  for (let round = 0; round < searchCount; round++) {
    query[round % dimension] = -1;
    const filter = way === "search" ? undefined : filters[round % filters.length];
    docs.search(query, { k: 10, filter });
  }
}

/** In a process of its own. */
export function searchHere(task: MemoryTask): void {
  using file = new Database(task.path, { readonly: true });
  const docs = file.collection<Doc>("docs");
  using small = new Database(":memory:");
  const few = small.collection<Doc>("few", { dimension: docs.dimension });
  const doc = { lang: "en", category: "c1", year: 2026, price: 1, tags: ["tag1"] };
  few.upsert("a", new Float32Array(docs.dimension).fill(1), doc);
  few.upsert("b", new Float32Array(docs.dimension).fill(2), doc);
  searchMany(few, docs.dimension, task);
  const before = memoryNow();
  searchMany(docs, docs.dimension, task);
  const after = memoryNow();
  const grown = before &&
    after && {
      privateBytes: after.privateBytes - before.privateBytes,
      fileBytes: after.fileBytes - before.fileBytes,
    };
  harness.print(JSON.stringify(grown ?? null));
}

function measureInChild(task: MemoryTask): Sample | null {
  const script = process.argv[1] ?? "";
  const child = spawnSync(process.execPath, [script, JSON.stringify(task)], { encoding: "utf8" });
  if (child.status !== 0) throw new Error(child.stderr);
  return JSON.parse(child.stdout) as Sample | null;
}

/** Searches of a file, with the filters in turn and without; starts the running script again. */
export function measureMemory(path: string, filters: Conditions[]): void {
  const samples = new Map<Way, Sample[]>(ways.map((way) => [way, []]));
  for (let run = 0; run < runs; run++) {
    for (const way of ways) {
      const sample = measureInChild({ way, path, filters });
      if (sample) samples.get(way)?.push(sample);
    }
  }
  const cells = ways.map((way) => {
    const of = (pick: (sample: Sample) => number): string[] => {
      const { median, slowest } = harness.summary((samples.get(way) ?? []).map(pick));
      return [median, slowest].map((bytes) => `${(bytes / 1e6).toFixed(2)} MB`);
    };
    return [way, ...of(({ privateBytes }) => privateBytes), ...of(({ fileBytes }) => fileBytes)];
  });
  const head = ["", "private, median", "most", "of the file, median", "most"];
  const title = `filter: memory after ${searchCount} searches over before`;
  harness.printRows(title, [head, ...cells]);
}
