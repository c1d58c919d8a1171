/**
 * Proves the tests: builds each mutant of mutants.ts and shows that some test fails.
 *
 *     bun test/mutants/run.ts               all of them (about half a minute each)
 *     bun test/mutants/run.ts barrier       those whose name contains this
 *
 * The engine is copied aside, so nothing here touches the working tree. A mutant that no longer
 * applies, or does not compile, is a failure like one that survives: the list is then out of date.
 */

import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
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

function verdictOf(folder: string, mutant: Mutant): Verdict {
  const files = apply(mutant);
  if (files === undefined) return { kind: "stale" };
  for (const [file, text] of files) writeFileSync(join(folder, file), text);
  try {
    for (const suite of mutant.suites) {
      const zig = join(root, "node_modules/.bin/zig");
      const build = spawnSync(zig, ["build", "test", `-Dtest-suite=${suite}`], {
        cwd: folder,
        encoding: "utf8",
        timeout: timeoutMs,
      });
      if (/\d+ compilation errors|: error: .*\n.*\n.*\^/.test(build.stderr)) {
        return { kind: "does not compile" };
      }
      // A mutant that never ends is noticed too.
      if (build.status !== 0) return { kind: "killed", by: suite };
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
const folder: string = copyEngine();
let killed = 0;
try {
  for (const [index, mutant] of chosen.entries()) {
    const started = performance.now();
    const verdict = verdictOf(folder, mutant);
    if (verdict.kind === "killed") killed++;
    const seconds = Math.round((performance.now() - started) / 1000);
    const outcome = verdict.kind === "killed" ? `killed by ${verdict.by}` : verdict.kind;
    process.stdout.write(
      `${index + 1}/${chosen.length} ${mutant.name}: ${outcome}, ${seconds} s\n`,
    );
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.stdout.write(`\n${killed} passed, ${chosen.length - killed} failed\n`);
process.exitCode = killed === chosen.length ? 0 : 1;
