/**
 * How the benches measure: contestants take turns, round after round, in one process and never at
 * the same time, and the median round counts. A busy moment of the machine then falls on all of
 * them, and the ratios of one run mean something where its absolute figures do not.
 *
 * Every contestant returns a number made of its results. Contestants that answer the same question
 * must agree on it, and none of the work can be optimised away.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { cpus, release, tmpdir, totalmem, type } from "node:os";
import { join } from "node:path";

export interface Contestant {
  name: string;
  /** One round; returns the hash of what it found. */
  run: () => number | Promise<number>;
  /** Before each round, not measured. */
  prepare?: () => void | Promise<void>;
  /** After each round, not measured. */
  after?: () => void | Promise<void>;
  /** After the last round. */
  close?: () => void | Promise<void>;
}

/** A library that could not take part, and why. */
export interface Absence {
  name: string;
  reason: string;
}

export interface MeasureOptions {
  rounds: number;
  /** In one run: times are told for one of them. */
  operations: number;
  rehearse?: boolean;
}

export interface Result {
  name: string;
  /** Of one operation, in microseconds. */
  median: number;
  fastest: number;
  slowest: number;
  hash: number;
}

/**
 * Runs every contestant once to warm up, then `rounds` times, in turn. With `rehearse` each turn
 * begins with a run that is not measured: the processor's caches then hold what is left of its own
 * data there, not of the contestant's before it.
 */
export async function measure(
  contestants: readonly Contestant[],
  { rounds, operations, rehearse = false }: MeasureOptions,
): Promise<Result[]> {
  const samples = new Map<string, { times: number[]; hash: number }>();
  for (let round = -1; round < rounds; round++) {
    for (const { name, run, prepare, after } of contestants) {
      await prepare?.();
      if (rehearse) await run();
      collectGarbage();
      const started = performance.now();
      const outcome = run();
      const hash = typeof outcome === "number" ? outcome : await outcome;
      const micros = ((performance.now() - started) * 1000) / operations;
      await after?.();
      const sample = samples.get(name) ?? { times: [], hash };
      samples.set(name, sample);
      if (hash !== sample.hash) throw new Error(`${name} gave different results in two rounds`);
      if (round >= 0) sample.times.push(micros);
    }
  }
  for (const { close } of contestants) await close?.();
  return [...samples].map(([name, { times, hash }]) => ({ name, hash, ...summary(times) }));
}

/**
 * What a contestant leaves behind is collected before the next one's turn. In its own turn each
 * pays for its own garbage. (Node offers no way to ask for it without a flag.)
 */
export function collectGarbage(): void {
  const { Bun } = globalThis as { Bun?: { gc(force: boolean): void } };
  Bun?.gc(true);
}

export function summary(times: readonly number[]): Omit<Result, "name" | "hash"> {
  const sorted = [...times].sort((a, b) => a - b);
  return {
    median: median(times),
    fastest: sorted[0] ?? Number.NaN,
    slowest: sorted.at(-1) ?? Number.NaN,
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

export interface TableOptions {
  yardstick: string;
  absences?: readonly Absence[];
  /** Of each contestant, the part of the true neighbours that it finds. */
  found?: ReadonlyMap<string, number>;
}

/** How many times faster than the yardstick each result is; above 1 is better. */
export function printTable(
  title: string,
  results: readonly Result[],
  { yardstick, absences = [], found }: TableOptions,
): void {
  const base = results.find(({ name }) => name === yardstick);
  const rows = results.map(({ name, median, fastest, slowest, hash }) => [
    name,
    duration(median),
    duration(fastest),
    duration(slowest),
    base ? `${(base.median / median).toFixed(2)}x` : "",
    ...(found ? [(found.get(name) ?? Number.NaN).toFixed(4)] : []),
    (hash >>> 0).toString(16).padStart(8, "0"),
  ]);
  const versus = base ? `vs ${yardstick}` : "";
  const head = ["", "median", "fastest", "slowest", versus, ...(found ? ["found"] : []), "result"];
  printRows(title, [head, ...rows]);
  for (const { name, reason } of absences) print(`left out: ${name}: ${reason}`);
}

/** Rows of cells under a title; the first row is the head, the first column the names. */
export function printRows(title: string, rows: readonly (readonly string[])[]): void {
  const widths = (rows[0] ?? []).map((_, column) => {
    return Math.max(...rows.map((cells) => cells[column]?.length ?? 0));
  });
  print(`\n## ${title}\n`);
  rows.forEach((cells, index) => {
    const padded = cells.map((cell, column) => {
      const width = widths[column] ?? 0;
      return column === 0 ? cell.padEnd(width) : cell.padStart(width);
    });
    print(`| ${padded.join(" | ")} |`);
    if (index > 0) return;
    const rule = widths.map((width, column) => `${"-".repeat(width + 1)}${column > 0 ? ":" : "-"}`);
    print(`|${rule.join("|")}|`);
  });
  print("");
}

export function duration(micros: number): string {
  if (micros < 1) return `${(micros * 1000).toFixed(0)} ns`;
  if (micros < 1000) return `${micros.toFixed(2)} us`;
  return `${(micros / 1000).toFixed(2)} ms`;
}

export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** What the figures were measured on. */
export function machine(): string {
  const processors = cpus();
  const memory = Math.round(totalmem() / 2 ** 30);
  const bun = process.versions["bun"];
  const runtime = bun === undefined ? `Node ${process.versions.node}` : `Bun ${bun}`;
  const model = processors[0]?.model.trim() ?? "unknown processor";
  return `${model}, ${processors.length} cores, ${memory} GiB, ${type()} ${release()}, ${runtime}`;
}

/** Folds a value into a hash; the same on every runtime. */
export function mix(hash: number, value: number): number {
  return Math.imul(hash ^ value, 0x01000193) >>> 0;
}

/** Folds a float in by its bits, so that equal vectors and nothing else hash alike. */
export function mixFloat(hash: number, value: number): number {
  floatBits[0] = value;
  return mix(hash, wordBits[0] ?? 0);
}

/** The same for a float that lies in bytes, at any offset; without a view, which costs time. */
export function mixFloatAt(hash: number, bytes: Uint8Array, at: number): number {
  const low = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
  return mix(hash, low | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24));
}

const floatBits: Float32Array = new Float32Array(1);
const wordBits: Uint32Array = new Uint32Array(floatBits.buffer);

/** A folder that is removed when the process ends. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "vectorlite-bench-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export type OneOf<T> = { peer: T } | { absence: Absence };

/** A library to compare with; why it is not here where it is not. */
export async function peer<T>(name: string): Promise<OneOf<T>> {
  try {
    return { peer: (await import(name)) as T };
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
    return { absence: { name, reason } };
  }
}
