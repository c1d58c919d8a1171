/**
 * Programs that run beside a test, on the runtime that runs the tests and on the other one. None of
 * them outlives its test.
 */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { onTestFinished } from "vitest";
import { type Finished, root } from "./helpers.ts";

/** How much longer than usual the tests run that are never done (VECTORLITE_TEST_SCALE). */
export const scale: number = Number(process.env["VECTORLITE_TEST_SCALE"] ?? 1);

/** A program that was started. */
export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Finished>;
  /** The first `count` lines that it prints, or all of them where it ends before. */
  lines(count: number): Promise<string[]>;
}

/** Starts a command; what it prints is kept. */
export function start(command: string, args: readonly string[], folder: string = root): Running {
  const child = spawn(command, args, { cwd: folder, stdio: ["pipe", "pipe", "pipe"] });
  const output = { stdout: "", stderr: "" };
  const listeners = new Set<() => void>();
  for (const name of ["stdout", "stderr"] as const) {
    child[name].on("data", (chunk: Buffer) => {
      output[name] += chunk.toString();
      for (const listener of listeners) listener();
    });
  }
  // One that was killed does not read what it is told.
  child.stdin.on("error", () => undefined);
  const ended = new Promise<Finished>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status, signal) => resolve({ status, signal, ...output }));
  });
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  const lines = async (count: number): Promise<string[]> => {
    const printed = new Promise<void>((resolve) => {
      const look = (): void => {
        if (output.stdout.split("\n").length > count) resolve();
      };
      listeners.add(look);
      look();
    });
    await Promise.race([printed, ended]);
    return output.stdout.split("\n").slice(0, -1).slice(0, count);
  };
  return { child, ended, lines };
}

/** Starts one of the programs of test/programs. */
export function startProgram(
  program: string,
  args: readonly (string | number)[],
  runtime: string = process.execPath,
): Running {
  return start(runtime, [join(root, "test/programs", program), ...args.map(String)]);
}

/** The runtime that runs the tests, and the other one where this machine has it. */
export function runtimes(): string[] {
  const other = process.versions["bun"] === undefined ? findBun() : findNode();
  return other === undefined ? [process.execPath] : [process.execPath, other];
}

function findBun(): string | undefined {
  const path = join(root, "node_modules/.bin/bun");
  return existsSync(path) ? path : undefined;
}

/** `bun --bun` puts a "node" into PATH that is Bun; that is not a Node to test on. */
function findNode(): string | undefined {
  const probe = "process.exit(process.versions.bun ? 3 : 0)";
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    const path = join(folder, "node");
    if (!existsSync(path)) continue;
    try {
      execFileSync(path, ["-e", probe], { stdio: "ignore" });
      return path;
    } catch {
      // Not this one.
    }
  }
  return undefined;
}
