/**
 * The whole test command: builds, checks, then runs every test on every runtime that is here.
 *
 *     bun test/run.ts           everything, ends with "N passed, N failed"
 *     bun test/run.ts check     formatting, lint, types and the generated ABI; no tests
 *
 * It runs on a machine with Node and on one with only Bun, so it starts tools by their scripts
 * rather than through a shell. The counts are those that the runners report; a check that fails,
 * or a runner that dies before it reports, counts as one failure.
 */

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { biome, root, tsc, tsup, vitest, zig } from "./tools.ts";

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

interface Outcome {
  status: number;
  stderr: string;
}

interface Step {
  name: string;
  /** Nothing after it makes sense when it fails. */
  essential?: boolean;
  run: () => Promise<Counts>;
}

const runtime: string = process.execPath;
const nothing: Counts = { passed: 0, failed: 0, skipped: 0 };
const oneFailure: Counts = { passed: 0, failed: 1, skipped: 0 };

/** Runs a program with its output shown, and keeps what it wrote to stderr. */
function execute(command: string, args: readonly string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: ["ignore", "inherit", "pipe"] });
    let stderr = "";
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
      process.stderr.write(chunk);
    });
    child.on("error", (error) => resolve({ status: 127, stderr: error.message }));
    child.on("close", (status) => resolve({ status: status ?? 1, stderr }));
  });
}

async function check(path: string, ...args: string[]): Promise<Counts> {
  const { status } = await execute(runtime, ["--bun", path, ...args]);
  return status === 0 ? nothing : oneFailure;
}

/** Zig's own summary, as in "Build Summary: 9/9 steps succeeded; 8/9 tests passed (1 skipped)". */
function readZigSummary(stderr: string): Counts | undefined {
  const line = stderr.split("\n").findLast((text) => text.startsWith("Build Summary:"));
  const tests = line?.match(/; (\d+)\/(\d+) tests passed(?: \((.*)\))?/);
  if (!tests) return undefined;
  const skipped = Number(tests[3]?.match(/(\d+) skipped/)?.[1] ?? 0);
  const passed = Number(tests[1]);
  return { passed, skipped, failed: Number(tests[2]) - passed - skipped };
}

async function zigTests(): Promise<Counts> {
  const { status, stderr } = await execute(runtime, [
    // Zig 0.16.0 counts whoever reads a tool's output as a job too, and so leaves cores idle.
    ...[
      "--bun",
      zig,
      "build",
      "test",
      "test-library",
      "check-abi",
      `-j${2 * availableParallelism()}`,
    ],
    ...["--summary", "all", "--color", "off"],
  ]);
  const counts = readZigSummary(stderr);
  if (status === 0 && !counts) {
    process.stdout.write("Zig: nothing changed since these tests last passed; none were run\n");
    return nothing;
  }
  if (status !== 0 && (counts?.failed ?? 0) === 0) return { ...nothing, ...counts, failed: 1 };
  return counts ?? oneFailure;
}

async function vitestOn(command: string, args: readonly string[]): Promise<Counts> {
  const folder = mkdtempSync(join(tmpdir(), "vectorlite-test-"));
  const reportPath = join(folder, "report.json");
  try {
    const { status } = await execute(command, [
      ...[...args, vitest, "run", "--config", "test/vitest.config.ts"],
      ...["--reporter=default", "--reporter=json", `--outputFile.json=${reportPath}`],
    ]);
    const report = JSON.parse(readFileSync(reportPath, "utf8")) as Record<string, number>;
    const counts: Counts = {
      passed: report["numPassedTests"] ?? 0,
      failed: report["numFailedTests"] ?? 0,
      skipped: (report["numPendingTests"] ?? 0) + (report["numTodoTests"] ?? 0),
    };
    return status !== 0 && counts.failed === 0 ? { ...counts, failed: 1 } : counts;
  } catch {
    return oneFailure;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Where Node is not installed, `bun run` stands in for it; that is not a Node to test on. */
async function findNode(): Promise<string | undefined> {
  const probe = "process.exit(process.versions.bun ? 3 : 0)";
  const { status } = await execute("node", ["-e", probe]);
  return status === 0 ? "node" : undefined;
}

async function steps(): Promise<Step[]> {
  const checks: Step[] = [
    { name: "TypeScript: format and lint", run: () => check(biome, "check") },
    { name: "TypeScript: types", run: () => check(tsc) },
  ];
  if (process.argv[2] === "check") {
    const formatPaths = ["build.zig", "zig", "test", "bench"];
    return [
      ...checks,
      { name: "Zig: format", run: () => check(zig, "fmt", "--check", ...formatPaths) },
      { name: "Zig: types, generated ABI", run: () => check(zig, "build", "check", "check-abi") },
    ];
  }
  const node = await findNode();
  const nodeTests: Step = node
    ? { name: "Tests on Node", run: () => vitestOn(node, []) }
    : {
        name: "Tests on Node: LEFT OUT, there is no Node on this machine",
        run: async () => nothing,
      };
  return [
    { name: "Build: the core", essential: true, run: () => check(zig, "build") },
    { name: "Build: the package", essential: true, run: () => check(tsup) },
    ...checks,
    { name: "Tests in Zig, Zig format, generated ABI", run: zigTests },
    nodeTests,
    { name: "Tests on Bun", run: () => vitestOn(runtime, ["--bun"]) },
  ];
}

async function main(): Promise<void> {
  const total: Counts = { ...nothing };
  const failedSteps: string[] = [];
  for (const step of await steps()) {
    process.stdout.write(`\n== ${step.name}\n`);
    const started = performance.now();
    const counts = await step.run();
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    process.stdout.write(`== ${counts.failed === 0 ? "ok" : "FAILED"} in ${seconds} s\n`);
    total.passed += counts.passed;
    total.failed += counts.failed;
    total.skipped += counts.skipped;
    if (counts.failed > 0) failedSteps.push(step.name);
    if (counts.failed > 0 && step.essential) break;
  }
  if (failedSteps.length > 0) process.stdout.write(`\nFailed: ${failedSteps.join(", ")}\n`);
  const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : "";
  process.stdout.write(`\n${total.passed} passed, ${total.failed} failed${skipped}\n`);
  process.exitCode = failedSteps.length > 0 ? 1 : 0;
}

await main();
