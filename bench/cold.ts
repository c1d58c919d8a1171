/**
 * What does a whole process pay that imports VectorLite, opens a file and gets one vector?
 *
 * Processes of each kind take turns, beside an empty one: the difference of the medians is the
 * price. The library is the built package in dist/, as an application would import it, so run
 * `npm run build` first; a library in platforms/ that is older than that build is not measured.
 * `bun bench/run.ts cold`
 */

import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
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

/** What importing anything at all costs. */
function scratchModule(): string {
  const file = join(harness.scratchFolder(), "empty.js");
  writeFileSync(file, "export const nothing = 0;\n");
  return file;
}

/** The package prefers the libraries in platforms/, which another command builds. */
function refuseStale(): void {
  const root = fileURLToPath(new URL("..", import.meta.url));
  const packaged = `${root}platforms/${process.platform}-${process.arch}/`;
  if (!existsSync(packaged)) return;
  for (const name of readdirSync(packaged)) {
    const built = `${root}zig-out/lib/${name}`;
    if (readFileSync(packaged + name).equals(readFileSync(built))) continue;
    throw new Error("platforms/ is older than the build: run `npm run platforms`, or remove it");
  }
}

function runProcess(name: string, code: string): void {
  const { status, stderr } = spawnSync(process.execPath, ["-e", code], { encoding: "utf8" });
  if (status !== 0) throw new Error(`${name} failed: ${stderr}`);
}

const cache: EmbedCache = new EmbedCache({ path, dimension: 1536 });
cache.setMany(set.keys, set.values);
cache.close();
refuseStale();
if (!existsSync(packagePath)) throw new Error("there is no dist/: run `npm run build` first");

const emptyModule = scratchModule();
const programs = {
  "an empty process": "0",
  "import of an empty module": `import ${JSON.stringify(emptyModule)};`,
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
