/**
 * Runs the benches, one process after another and never two at a time.
 *
 *     bun bench/run.ts                 all of them
 *     bun bench/run.ts get put         some
 *     bun bench/run.ts --node get      on Node instead of Bun
 *     bun bench/run.ts --large         those too that need many gigabytes and minutes
 *
 * Node 20 cannot read TypeScript, so for Node a bench is bundled first, its peers left outside.
 */

import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { machine, print } from "./harness.ts";

/** A bench's file, and what it is told. */
interface Bench {
  file: string;
  arguments?: string[];
  /** Only when it is named, or with `--large`. */
  large?: boolean;
}

const benches: Readonly<Record<string, Bench>> = {
  get: { file: "get" },
  put: { file: "put" },
  compute: { file: "compute" },
  bounds: { file: "bounds" },
  search: { file: "search" },
  plans: { file: "plans" },
  scale: { file: "scale" },
  "scale-1m": { file: "scale", arguments: ["1000000"], large: true },
  recall: { file: "recall" },
  threshold: { file: "threshold" },
  filter: { file: "filter" },
  tiers: { file: "tiers" },
  encode: { file: "encode" },
  numkong: { file: "numkong" },
  async: { file: "async" },
  open: { file: "open" },
  cold: { file: "cold" },
  memory: { file: "memory" },
  workers: { file: "workers" },
  size: { file: "size" },
  adapters: { file: "adapters" },
};
/** One thread for the libraries that take their number from here, before they are loaded. */
const oneThread = { LANCE_CPU_THREADS: "1", RAYON_NUM_THREADS: "1", TOKIO_WORKER_THREADS: "1" };
const flags: readonly string[] = ["--node", "--large"];
const here: string = fileURLToPath(new URL(".", import.meta.url));
const asked = process.argv.slice(2).filter((argument) => !flags.includes(argument));
const onNode = process.argv.includes("--node");

function run(command: string, args: string[], environment: Record<string, string> = {}): boolean {
  const env = { ...process.env, ...oneThread, ...environment };
  return spawnSync(command, args, { cwd: here, stdio: "inherit", env }).status === 0;
}

function runOnBun({ file, arguments: more = [] }: Bench): boolean {
  return run(process.execPath, [`${file}.ts`, ...more]);
}

function runOnNode({ file, arguments: more = [] }: Bench): boolean {
  const bundle = `results/${file}.mjs`;
  const build = ["build", `${file}.ts`, "--target=node", "--packages=external"];
  const output = ["--outdir=results", "--entry-naming=[name].mjs", "--sourcemap=none"];
  if (!run(process.execPath, [...build, ...output])) return false;
  const folder = fileURLToPath(new URL("../zig-out/lib/", import.meta.url));
  const library = readdirSync(folder).find((name) => /vectorlite\.(so|dylib|dll)$/.test(name));
  return run("node", [bundle, ...more], { VECTORLITE_LIB: `${folder}${library ?? ""}` });
}

const names: readonly string[] = Object.keys(benches);
const unknown: string | undefined = asked.find((name) => !names.includes(name));
if (unknown !== undefined) throw new Error(`no bench ${unknown}; there are ${names.join(", ")}`);
if (!existsSync(`${here}node_modules`)) {
  print("The libraries to compare with are not installed; `npm install` in bench/ brings them.");
}
print(machine());
print(`${new Date().toISOString().slice(0, 10)}, medians of rounds that take turns\n`);
const all = asked.length === 0;
const withLarge = process.argv.includes("--large");
const failed: string[] = Object.entries(benches)
  .filter(([name, { large }]) => (all ? withLarge || large !== true : asked.includes(name)))
  .filter(([, bench]) => !(onNode ? runOnNode(bench) : runOnBun(bench)))
  .map(([name]) => name);
if (failed.length > 0) {
  print(`Failed: ${failed.join(", ")}`);
  process.exitCode = 1;
}
