/**
 * The campaigns that an ordinary test run has only a share of, and what they must cover together.
 *
 *     bun test/long.ts            all of them: an hour on two cores, two at a time
 *     bun test/long.ts fuzz kill  those whose name contains one of these
 *
 * A campaign says what it covered in lines of the form `TALLY <what> <count>=<number> ...`. Their
 * sums are held against `wanted`; a count that is missed is a failure like a test that fails. What
 * a failed campaign wrote is shown, with the seed that repeats it (test/README.md).
 */

import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { root, vitest, zig as zigScript } from "./tools.ts";

interface Campaign {
  name: string;
  /** Of a test program in Zig, or a test file in TypeScript. */
  args: readonly string[];
  env?: Readonly<Record<string, string>>;
  /** Of runs whose tests say nothing themselves. */
  counts?: Readonly<Record<string, number>>;
}

interface Result {
  campaign: Campaign;
  ok: boolean;
  seconds: number;
  output: string;
}

/** What one whole run has to cover. */
const wanted: Readonly<Record<string, number>> = {
  images: 10_000_000,
  images_second: 100_000,
  failed_syncs: 100_000,
  seeds: 20_000,
  bounded_runs: 10_000,
  kills: 2000,
  executions: 10_000_000,
  flips: 1_000_000,
};

function zig(name: string, suite: string, ...options: string[]): Campaign {
  return { name, args: ["zig", "build", "test", `-Dtest-suite=${suite}`, ...options] };
}

const kills = 200;

/** The longest first: the last ones to end then end together. */
const campaigns: readonly Campaign[] = [
  zig("failing calls", "fault_sites", "-Dcrash-scale=2"),
  zig("fuzz", "fuzz", "-Dfuzz-scale=85", "-Dfuzz-seed=1000000000"),
  zig(
    "fuzz, other seeds",
    "fuzz",
    "-Dfuzz-scale=85",
    "-Dfuzz-seed=2000000000",
    "-Dtest-filter=fuzz ",
  ),
  zig("crash images", "crash", "-Dcrash-scale=10"),
  zig("failed syncs", "crash_sync", "-Dcrash-scale=28"),
  zig("simulation", "crash_simulation", "-Dcrash-scale=80"),
  zig("files with a maximum", "bounded_simulation", "-Dcrash-scale=250"),
  zig("flipped bits, verify", "damage_verify", "-Dcrash-scale=2"),
  zig("damage, salvage", "damage_salvage", "-Dcrash-scale=40"),
  zig("failing calls, rescue", "fault_rescue", "-Dcrash-scale=2"),
  zig("kill points", "kill_points", "-Dcrash-scale=6"),
  {
    name: "kill -9 beside readers",
    args: ["vitest", "test/75-kill.test.ts"],
    env: { VECTORLITE_KILLS: String(kills) },
    counts: { kills: 3 * kills },
  },
  {
    name: "soak",
    args: ["vitest", "test/76-soak.test.ts"],
    env: { VECTORLITE_SOAK_SECONDS: "180" },
  },
];

function commandOf({ args }: Campaign): string[] {
  const [tool, ...rest] = args;
  if (tool === "zig") return [zigScript, ...rest];
  return [vitest, "run", "--config", "test/vitest.config.ts", ...rest];
}

function run(campaign: Campaign): Promise<Result> {
  const started = performance.now();
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ["--bun", ...commandOf(campaign)], {
      cwd: root,
      env: { ...process.env, ...campaign.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    const keep = (chunk: Buffer): void => {
      output += chunk.toString();
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    child.on("close", (status) => {
      const seconds = Math.round((performance.now() - started) / 1000);
      resolve({ campaign, ok: status === 0, seconds, output });
    });
  });
}

function addCounts(sums: Map<string, number>, { campaign, output, ok }: Result): void {
  for (const [line] of output.matchAll(/^TALLY .*$/gm)) {
    for (const [, name = "", count] of line.matchAll(/ (\w+)=(\d+)/g)) {
      sums.set(name, (sums.get(name) ?? 0) + Number(count));
    }
  }
  if (!ok) return;
  for (const [name, count] of Object.entries(campaign.counts ?? {})) {
    sums.set(name, (sums.get(name) ?? 0) + count);
  }
}

async function runAll(chosen: readonly Campaign[], atOnce: number): Promise<Result[]> {
  const waiting = [...chosen];
  const results: Result[] = [];
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      process.stdout.write(`${next.name} begins\n`);
      const result = await run(next);
      results.push(result);
      const outcome = result.ok ? "passed" : "FAILED";
      process.stdout.write(`${next.name} ${outcome} after ${result.seconds} s\n`);
      const lines = result.output.split("\n");
      const told = result.ok ? lines.filter((line) => line.startsWith("TALLY ")) : lines;
      for (const line of told) process.stdout.write(`  ${line}\n`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return results;
}

const names: string[] = process.argv.slice(2);
const chosen = campaigns.filter(
  ({ name }) => names.length === 0 || names.some((part) => name.includes(part)),
);
const started = performance.now();
const results = await runAll(chosen, Math.max(1, availableParallelism()));
const sums = new Map<string, number>();
for (const result of results) addCounts(sums, result);

process.stdout.write("\n");
let missed = 0;
for (const [name, least] of Object.entries(wanted)) {
  const sum = sums.get(name) ?? 0;
  // A part of the campaigns covers a part.
  const isMissed = names.length === 0 && sum < least;
  if (isMissed) missed++;
  const counts = `${sum.toLocaleString("en")} of ${least.toLocaleString("en")}`;
  process.stdout.write(`${name}: ${counts}${isMissed ? " MISSED" : ""}\n`);
}
const failed = results.filter(({ ok }) => !ok).length + missed;
const minutes = Math.round((performance.now() - started) / 60_000);
process.stdout.write(`\n${results.length - failed} passed, ${failed} failed, ${minutes} minutes\n`);
process.exitCode = failed === 0 ? 0 : 1;
