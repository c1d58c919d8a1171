/**
 * Defaults of options, and their checks before anything native sees them.
 *
 * A misspelled option is an error, because an option that is silently ignored is a promise silently
 * broken. `bun:ffi` turns `undefined` and NaN into 0, so every number is checked here.
 *
 * @module
 */

import { invalidArgument, VectorLiteError } from "./errors.ts";

/** The names an options object may have: `true`, or why a known name is refused. */
export type Known = Readonly<Record<string, true | string>>;

/** Where a cache is that does not say. */
export const pathDefault = "./embeddings.cache";

/** Hot vectors of a collection that does not say. */
export const cacheSizeDefault = 100;

/** Hot vectors that may be asked for. */
export const cacheSizeMax = 100_000_000;

/** How long a writer waits for another one. */
export const busyTimeoutDefaultMs = 5000;

/** Memory for pages of the file. */
export const memoryBudgetDefaultBytes: number = 64 << 20;

/** Said of options that the API fixes and this version does not have. */
export const notYet = "is not supported yet";

const names = {
  dimensions: "dimension",
  dim: "dimension",
  dims: "dimension",
  distance: "metric",
  similarity: "metric",
  file: "path",
  filename: "path",
  limit: "k",
  topk: "k",
  minscore: "threshold",
  timeout: "busyTimeout",
} as const satisfies Record<string, string>;

const aliases: ReadonlyMap<string, string> = new Map(Object.entries(names));

/**
 * `{}` of any realm. A Map, a Date and the accessors of a class have no fields that could be found
 * wrong, so what they say would be ignored silently.
 */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  if (Array.isArray(value) || ArrayBuffer.isView(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/**
 * Refuses what is no plain object, and any field that is not known.
 *
 * @returns The object, or an empty one where none was given.
 * @throws {@link VectorLiteError} ERR_INVALID_ARGUMENT
 */
export function checkOptions<T extends object>(
  options: T | undefined,
  known: Known,
  where: string,
): T {
  if (options === undefined) return {} as T;
  if (!isPlainObject(options)) {
    throw invalidArgument(`The options of ${where}`, "a plain object", options);
  }
  for (const name in options) {
    if (options[name] === undefined) continue;
    const rule = Object.hasOwn(known, name) ? known[name] : undefined;
    if (rule === true) continue;
    if (rule !== undefined) {
      throw new VectorLiteError("ERR_INVALID_ARGUMENT", `The option ${name} of ${where} ${rule}.`);
    }
    throw unknownName("option", name, known, where);
  }
  return options;
}

/** The error of a name that is not known; it guesses what was meant. */
export function unknownName(
  kind: "option" | "field",
  name: string,
  known: Known,
  where: string,
): VectorLiteError {
  const allowed = Object.keys(known).filter((candidate) => known[candidate] === true);
  const guess = nearest(name, allowed);
  const hint =
    guess === undefined
      ? `It takes ${allowed.length === 0 ? "none" : allowed.join(", ")}.`
      : `Did you mean ${guess}?`;
  return new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    `There is no ${kind} ${JSON.stringify(name)} of ${where}. ${hint}`,
  );
}

function nearest(name: string, allowed: readonly string[]): string | undefined {
  const lower = name.toLowerCase();
  const alias = aliases.get(lower);
  if (alias !== undefined && allowed.includes(alias)) return alias;
  let best: string | undefined;
  let bestDistance = 3;
  for (const candidate of allowed) {
    const distance = editDistance(lower, candidate.toLowerCase());
    if (distance < bestDistance && distance < candidate.length) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best ?? allowed.find((candidate) => candidate.toLowerCase().endsWith(lower));
}

/** Levenshtein distance: insertions, deletions and replacements of one character each. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replace, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

/** A boolean, or `fallback` where it is left out. */
export function booleanOption(value: unknown, name: string, fallback: boolean): boolean {
  if (value === undefined) return fallback;
  if (typeof value !== "boolean") throw invalidArgument(name, "true or false", value);
  return value;
}

/** An integer in [min, max], or `fallback` where it is left out. */
export function integerOption(
  value: unknown,
  name: string,
  range: { readonly min: number; readonly max: number; readonly fallback: number },
): number {
  if (value === undefined) return range.fallback;
  if (
    typeof value !== "number" ||
    !Number.isInteger(value) ||
    value < range.min ||
    value > range.max
  ) {
    throw invalidArgument(name, `an integer from ${range.min} to ${range.max}`, value);
  }
  return value;
}

/** A finite number in `range`, or NaN, the native word for "none", where it is left out. */
export function thresholdOption(
  value: unknown,
  name: string,
  range?: readonly [min: number, max: number],
): number {
  if (value === undefined) return Number.NaN;
  if (typeof value !== "number" || !Number.isFinite(value)) {
    throw invalidArgument(name, "a finite number", value);
  }
  if (range !== undefined && (value < range[0] || value > range[1])) {
    throw invalidArgument(name, `a number from ${range[0]} to ${range[1]}`, value);
  }
  return value;
}

/** One of a few words, as its number in `words`, or `fallback` where it is left out. */
export function wordOption(
  value: unknown,
  name: string,
  words: readonly string[],
  fallback: number,
): number {
  if (value === undefined) return fallback;
  const index = typeof value === "string" ? words.indexOf(value) : -1;
  if (index < 0) {
    const list = words.map((word) => JSON.stringify(word)).join(", ");
    throw invalidArgument(name, `one of ${list}`, value);
  }
  return index;
}

/** A non-empty, well-formed string without NUL, or `fallback` where it is left out. */
export function textOption(value: unknown, name: string, fallback: string): string {
  if (value === undefined) return fallback;
  return checkText(value, name);
}

/** A non-empty, well-formed string without NUL. */
export function checkText(value: unknown, name: string): string {
  if (typeof value !== "string" || value === "") {
    throw invalidArgument(name, "a non-empty string", value);
  }
  if (value.includes("\0") || !value.isWellFormed()) {
    throw invalidArgument(name, "a string without NUL and lone surrogates", value);
  }
  return value;
}

/** A function. */
export function checkFunction(value: unknown, name: string): void {
  if (typeof value !== "function") throw invalidArgument(name, "a function", value);
}

/** An array; anything that merely looks like one is refused, above all a string. */
export function checkArray(value: unknown, name: string): readonly unknown[] {
  if (!Array.isArray(value)) throw invalidArgument(name, "an array", value);
  return value;
}
