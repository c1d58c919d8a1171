/**
 * Proves the tests: builds each mutant of mutants.ts and shows that some test fails.
 *
 *     bun test/mutants/run.ts               all of them, as many at once as there are cores
 *     bun test/mutants/run.ts barrier       those whose name contains this
 *
 * The engine is copied aside, so nothing here touches the working tree. A mutant that no longer
 * applies, or does not compile, is a failure like one that survives: the list is then out of date.
 */

import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Mutant, mutants } from "./mutants.ts";

const root: string = fileURLToPath(new URL("../..", import.meta.url));
const timeoutMs = 15 * 60 * 1000;

type Verdict = { kind: "killed"; by: string } | { kind: "survived" | "stale" | "does not compile" };

function copyEngine(): string {
  const folder = mkdtempSync(join(tmpdir(), "vectorlite-mutants-"));
  for (const part of ["build.zig", "zig", "test/zig", "bench", "docs/file-format.md"]) {
    const skip = (path: string): boolean => !/node_modules|bench\/data/.test(path);
    cpSync(join(root, part), join(folder, part), { recursive: true, filter: skip });
  }
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  return folder;
}

/** The files as the mutant has them; undefined where the code it changes is not there once. */
function apply(mutant: Mutant): Map<string, string> | undefined {
  const files = new Map<string, string>();
  for (const { file, find, replace } of mutant.edits) {
    const text = files.get(file) ?? readFileSync(join(root, file), "utf8");
    if (text.split(find).length !== 2) return undefined;
    files.set(
      file,
      text.replace(find, () => replace),
    );
  }
  return files;
}

interface Build {
  status: number | null;
  stderr: string;
}

function test(folder: string, suite: string): Promise<Build> {
  return new Promise((resolve) => {
    const zig = join(root, "node_modules/.bin/zig");
    const child = spawn(zig, ["build", "test", "-j1", `-Dtest-suite=${suite}`], {
      cwd: folder,
      stdio: ["ignore", "ignore", "pipe"],
      timeout: timeoutMs,
    });
    let stderr = "";
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.on("close", (status) => resolve({ status, stderr }));
  });
}

async function verdictOf(folder: string, mutant: Mutant): Promise<Verdict> {
  const files = apply(mutant);
  if (files === undefined) return { kind: "stale" };
  for (const [file, text] of files) writeFileSync(join(folder, file), text);
  try {
    for (const suite of mutant.suites) {
      const { status, stderr } = await test(folder, suite);
      if (/\d+ compilation errors|: error: .*\n.*\n.*\^/.test(stderr)) {
        return { kind: "does not compile" };
      }
      // A mutant that never ends is noticed too.
      if (status !== 0) return { kind: "killed", by: suite };
    }
    return { kind: "survived" };
  } finally {
    for (const file of files.keys()) cpSync(join(root, file), join(folder, file));
  }
}

const wanted: string[] = process.argv.slice(2);
const chosen: Mutant[] = mutants.filter(
  ({ name }) => wanted.length === 0 || wanted.some((part) => name.includes(part)),
);
const waiting: Mutant[] = [...chosen];
const unkilled: string[] = [];

async function work(): Promise<void> {
  const folder = copyEngine();
  try {
    for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) {
      const started = performance.now();
      const verdict = await verdictOf(folder, mutant);
      if (verdict.kind !== "killed") unkilled.push(mutant.name);
      const seconds = Math.round((performance.now() - started) / 1000);
      const outcome = verdict.kind === "killed" ? `killed by ${verdict.by}` : verdict.kind;
      const number = chosen.indexOf(mutant) + 1;
      process.stdout.write(`${number}/${chosen.length} ${mutant.name}: ${outcome}, ${seconds} s\n`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

await Promise.all(Array.from({ length: availableParallelism() }, work));
for (const name of unkilled) process.stdout.write(`\nnot killed: ${name}`);
process.stdout.write(`\n${chosen.length - unkilled.length} passed, ${unkilled.length} failed\n`);
process.exitCode = unkilled.length === 0 ? 0 : 1;
