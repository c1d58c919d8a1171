/**
 * What does a whole process pay that imports VectorLite, opens a file and gets one vector?
 *
 * Processes of each kind take turns, beside an empty one: the difference of the medians is the
 * price. The package lies in a folder as it does where it is installed: dist/ of the last `npm run
 * build`, and the library of the last `zig build`. The quickstart is measured as it is run in a
 * checkout, from its second run on, when all of its texts are stored; the target is at most 50 ms
 * for all of its process.
 * `bun bench/run.ts cold`
 */

import { spawnSync } from "node:child_process";
import { cpSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { EmbedCache } from "../src/index.ts";
import { keyOf, vectorSet } from "./data.ts";
import * as harness from "./harness.ts";

const rounds = 61;
const quickstartTargetMicros = 50_000;
const root: string = fileURLToPath(new URL("..", import.meta.url));
const sourcePath: string = join(root, "src/index.ts");
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

/** The entry of a package that is laid out as it is installed. */
function scratchPackage(): string {
  const built = join(root, "dist/index.js");
  if (!existsSync(built)) throw new Error("there is no dist/: run `npm run build` first");
  const folder = join(harness.scratchFolder(), "package");
  const entry = join(folder, "dist/index.js");
  cpSync(built, entry);
  const libraries = { linux: "libvectorlite.so", darwin: "libvectorlite.dylib" };
  const library = libraries[process.platform as keyof typeof libraries] ?? "vectorlite.dll";
  const platform = join(folder, "platforms", `${process.platform}-${process.arch}`);
  cpSync(join(root, "zig-out/lib", library), join(platform, library));
  return entry;
}

function runProcess(name: string, args: readonly string[]): void {
  const { status, stderr } = spawnSync(process.execPath, args, {
    encoding: "utf8",
    // Where it is a terminal, the quickstart waits for questions.
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, OPENAI_API_KEY: "" },
  });
  if (status !== 0) throw new Error(`${name} failed: ${stderr}`);
}

const cache: EmbedCache = new EmbedCache({ path, dimension: 1536 });
cache.setMany(set.keys, set.values);
cache.close();

const emptyModule = scratchModule();
const packagePath = scratchPackage();
const quickstart = "the quickstart's second run";
const quickstartCache = join(harness.scratchFolder(), "quickstart.cache");
const programs: Record<string, readonly string[]> = {
  "an empty process": ["-e", "0"],
  "import of an empty module": ["-e", `import ${JSON.stringify(emptyModule)};`],
  "import, open, get (package)": ["-e", program(packagePath)],
  "import, open, get (src/)": ["-e", program(sourcePath)],
  "import only (package)": ["-e", `import ${JSON.stringify(packagePath)};`],
  [quickstart]: [join(root, "examples/quickstart.ts"), "--cache", quickstartCache],
};
// The round that warms up is its first run.
const results: harness.Result[] = await harness.measure(
  Object.entries(programs).map(([name, args]) => ({
    name,
    run: () => {
      runProcess(name, args);
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
const whole: number = results.find(({ name }) => name === quickstart)?.median ?? Number.NaN;
const verdict = whole <= quickstartTargetMicros ? "" : ", missed";
harness.print(
  `${quickstart}: ${harness.duration(whole)} in all ` +
    `(target ${harness.duration(quickstartTargetMicros)}${verdict})`,
);
