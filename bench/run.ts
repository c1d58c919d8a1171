/**
 * Runs the benches, one process after another and never two at a time.
 *
 *     bun bench/run.ts                 all of them
 *     bun bench/run.ts get put         some
 *     bun bench/run.ts --node get      on Node instead of Bun
 *
 * Node 20 cannot read TypeScript, so for Node a bench is bundled first, its peers left outside.
 */

import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { machine, print } from "./harness.ts";

const benches = ["get", "put", "search", "async", "open", "cold", "memory", "size"] as const;
const here: string = fileURLToPath(new URL(".", import.meta.url));
const asked = process.argv.slice(2).filter((argument) => argument !== "--node");
const onNode = process.argv.includes("--node");

function run(command: string, args: string[], environment: Record<string, string> = {}): boolean {
  const env = { ...process.env, ...environment };
  return spawnSync(command, args, { cwd: here, stdio: "inherit", env }).status === 0;
}

function runOnNode(bench: string): boolean {
  const bundle = `results/${bench}.mjs`;
  // To a folder: the library that lies in zig-out/ is put beside it.
  const outputs = ["--outdir=results", "--entry-naming=[name].mjs", "--sourcemap=none"];
  const build = ["build", `${bench}.ts`, "--target=node", "--packages=external", ...outputs];
  if (!run(process.execPath, build)) return false;
  const folder = fileURLToPath(new URL("../zig-out/lib/", import.meta.url));
  const library = readdirSync(folder).find((name) => /vectorlite\.(so|dylib|dll)$/.test(name));
  return run("node", [bundle], { VECTORLITE_LIB: `${folder}${library ?? ""}` });
}

const unknown: string | undefined = asked.find((name) => !benches.some((bench) => bench === name));
if (unknown !== undefined) throw new Error(`no bench ${unknown}; there are ${benches.join(", ")}`);
if (!existsSync(`${here}node_modules`)) {
  print("The libraries to compare with are not installed; `npm install` in bench/ brings them.");
}
print(machine());
print(`${new Date().toISOString().slice(0, 10)}, medians of rounds that take turns\n`);
const failed: string[] = benches
  .filter((bench) => asked.length === 0 || asked.includes(bench))
  .filter((bench) => !(onNode ? runOnNode(bench) : run(process.execPath, [`${bench}.ts`])));
if (failed.length > 0) {
  print(`Failed: ${failed.join(", ")}`);
  process.exitCode = 1;
}
