/**
 * What the tests share: folders that vanish, numbers that can be had again, and the data sets.
 */

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Hit, VectorLiteError } from "vectorlite";
import { expect, onTestFinished, type TestContext } from "vitest";

/** The root of the repository. */
export const root: string = fileURLToPath(new URL("..", import.meta.url));

/** A new folder that is removed when the test has finished. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "vectorlite-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A path in a new folder, where nothing is yet. */
export function temporaryPath(name = "test.vl"): string {
  return join(temporaryFolder(), name);
}

/** Closes something when the test has finished. */
export function closing<T extends { close(): void }>(handle: T): T {
  onTestFinished(() => handle.close());
  return handle;
}

/** A promise and the functions that settle it. */
export function deferred<T>(): {
  promise: Promise<T>;
  resolve: (value: T) => void;
  reject: (error: Error) => void;
} {
  let resolve!: (value: T) => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

/** Numbers in [0, 1) that are the same for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A vector of numbers in [-1, 1). */
export function randomVector(random: () => number, dimension: number): Float32Array {
  return Float32Array.from({ length: dimension }, () => random() * 2 - 1);
}

/** `count` vectors. */
export function randomVectors(seed: number, count: number, dimension: number): Float32Array[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => randomVector(random, dimension));
}

/** Cosine similarity in doubles: the plain model that searches are compared with. */
export function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

/** Dot product in doubles. */
export function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let index = 0; index < a.length; index++) sum += (a[index] ?? 0) * (b[index] ?? 0);
  return sum;
}

/** Euclidean distance in doubles. */
export function euclidean(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let index = 0; index < a.length; index++) sum += ((a[index] ?? 0) - (b[index] ?? 0)) ** 2;
  return Math.sqrt(sum);
}

/** Expects the action to throw a VectorLiteError with that code, and a sentence about it. */
export function expectCode(action: () => unknown, code: VectorLiteError["code"]): VectorLiteError {
  let thrown: unknown;
  let result: unknown;
  try {
    result = action();
  } catch (error) {
    thrown = error;
  }
  if (thrown === undefined) expect.unreachable(`expected ${code}, got ${show(result)}`);
  return expectError(thrown, code);
}

/** The same for a promise. */
export async function expectRejection(
  promise: Promise<unknown>,
  code: VectorLiteError["code"],
): Promise<VectorLiteError> {
  const outcome = await promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
  if ("value" in outcome) expect.unreachable(`expected ${code}, got ${show(outcome.value)}`);
  return expectError("error" in outcome ? outcome.error : undefined, code);
}

function expectError(error: unknown, code: VectorLiteError["code"]): VectorLiteError {
  if (!(error instanceof VectorLiteError)) throw error;
  expect(`${error.code}: ${error.message}`).toMatch(new RegExp(`^${code}: .{10,}`, "s"));
  return error;
}

function show(value: unknown): string {
  return String(JSON.stringify(value) ?? value).slice(0, 200);
}

/** Leaves a test out and says so where everybody sees it, which a reporter alone does not. */
export function skipAloud(context: TestContext, reason: string): never {
  process.stderr.write(`LEFT OUT: ${context.task.name}: ${reason}\n`);
  return context.skip(reason);
}

/** The keys of hits. */
export function keysOf(hits: readonly Pick<Hit, "key">[]): string[] {
  return hits.map((hit) => hit.key);
}

/** A data set beside the repository, or `undefined` where this machine has none. */
export function dataSet(name: string): string | undefined {
  const folder = join(root, "..", "shared", "data", name);
  return existsSync(folder) ? folder : undefined;
}

/** The rows of an fvecs file: per row a dimension, then so many 32-bit floats. */
export function readFvecs(path: string): Float32Array[] {
  return readRows(path, (bytes) => new Float32Array(bytes));
}

/** The rows of an ivecs file: per row a count, then so many 32-bit integers. */
export function readIvecs(path: string): Int32Array[] {
  return readRows(path, (bytes) => new Int32Array(bytes));
}

function readRows<Row>(path: string, decode: (bytes: ArrayBuffer) => Row): Row[] {
  const { buffer, byteOffset, byteLength } = readFileSync(path);
  const view = new DataView(buffer, byteOffset, byteLength);
  const rows: Row[] = [];
  let offset = 0;
  while (offset < byteLength) {
    const start = byteOffset + offset + 4;
    const end = start + view.getInt32(offset, true) * 4;
    rows.push(decode(buffer.slice(start, end) as ArrayBuffer));
    offset = end - byteOffset;
  }
  return rows;
}

/** What a program that ran to its end left behind. */
export interface Finished {
  status: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** Runs a program of this repository with the runtime that runs the tests. */
export function runProgram(
  path: string,
  args: readonly string[] = [],
  environment: NodeJS.ProcessEnv = {},
): Promise<Finished> {
  return run(process.execPath, [join(root, path), ...args], environment);
}

/** Runs a command to its end. */
export function run(
  command: string,
  args: readonly string[],
  environment: NodeJS.ProcessEnv = {},
  folder: string = root,
): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: folder,
      env: { ...process.env, ...environment },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk: Buffer) => {
      stdout += chunk.toString();
    });
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.on("error", reject);
    child.on("close", (status, signal) => resolve({ status, signal, stdout, stderr }));
  });
}
