/**
 * What does a whole process pay that imports VectorLite, opens a file and gets one vector?
 *
 * Processes of each kind take turns, beside an empty one: the difference of the medians is the
 * price. The library is the built package in dist/, as an application would import it, so run
 * `npm run build` first. `bun bench/run.ts cold`
 */

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { EmbedCache } from "../src/index.ts";
import { keyOf, vectorSet } from "./data.ts";
import * as harness from "./harness.ts";

const rounds = 61;
const packagePath: string = fileURLToPath(new URL("../dist/index.js", import.meta.url));
const sourcePath: string = fileURLToPath(new URL("../src/index.ts", import.meta.url));
const set = vectorSet(10_000, 1536);
const path: string = join(harness.scratchFolder(), "cold.vl");

function program(entry: string): string {
  return `
    import { EmbedCache } from ${JSON.stringify(entry)};
    const cache = new EmbedCache({ path: ${JSON.stringify(path)}, dimension: 1536 });
    if (cache.get(${JSON.stringify(keyOf(4711))})?.length !== 1536) process.exit(1);
    cache.close();`;
}

function runProcess(name: string, code: string): void {
  const { status, stderr } = spawnSync(process.execPath, ["-e", code], { encoding: "utf8" });
  if (status !== 0) throw new Error(`${name} failed: ${stderr}`);
}

const cache: EmbedCache = new EmbedCache({ path, dimension: 1536 });
cache.setMany(set.keys, set.values);
cache.close();
if (!existsSync(packagePath)) throw new Error("there is no dist/: run `npm run build` first");

const programs = {
  "an empty process": "0",
  "import, open, get (dist/)": program(packagePath),
  "import, open, get (src/)": program(sourcePath),
  "import only (dist/)": `import ${JSON.stringify(packagePath)};`,
};
const results: harness.Result[] = await harness.measure(
  Object.entries(programs).map(([name, code]) => ({
    name,
    run: () => {
      runProcess(name, code);
      return 0;
    },
  })),
  { rounds, operations: 1 },
);
harness.printTable("cold: a whole process", results, { yardstick: "an empty process" });
const empty: number = results[0]?.median ?? 0;
for (const { name, median } of results.slice(1)) {
  harness.print(`${name}: ${harness.duration(median - empty)} over an empty process`);
}
