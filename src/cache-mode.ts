/**
 * What a cache may write, and what it may compute.
 *
 * @module
 */

import { VectorLiteError } from "./errors.ts";
import { booleanOption, wordOption } from "./options.ts";
import type { CacheMode } from "./types.ts";

const modes: readonly CacheMode[] = ["read-write", "read-only", "record-missing", "replay"];

/** How a file is opened, and used. */
export interface FileMode {
  readonly mode: CacheMode;
  readonly readonly: boolean;
}

/**
 * The options `mode` and `readonly`, which may not contradict each other.
 *
 * @throws VectorLiteError ERR_INVALID_ARGUMENT
 */
export function modeOptions(given: { mode?: unknown; readonly?: unknown }): FileMode {
  const mode = modes[wordOption(given.mode, "mode", modes, 0)] ?? "read-write";
  const opensReadonly = mode === "read-only" || mode === "replay";
  const readonly = booleanOption(given.readonly, "readonly", opensReadonly);
  if (given.mode === undefined || readonly === opensReadonly) return { mode, readonly };
  throw new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    `The mode ${JSON.stringify(mode)} and readonly: ${readonly} contradict each other; leave ` +
      "readonly out.",
  );
}

/** Whether what is computed is stored. */
export function stores(mode: CacheMode): boolean {
  return mode === "read-write" || mode === "record-missing";
}

/** Keys that a message names at most. */
const namedKeys = 3;

/** The error of keys that are missing where nothing may be computed. */
export function missError(subject: string, keys: readonly string[]): VectorLiteError {
  const names = keys.slice(0, namedKeys).map((key) => JSON.stringify(key.slice(0, 40)));
  const more = keys.length > names.length ? ` and ${keys.length - names.length} more` : "";
  return new VectorLiteError(
    "ERR_MISS",
    `${subject} has no vector for ${names.join(", ")}${more}, and the mode "replay" computes ` +
      'none; run once with mode: "record-missing" to add what is missing.',
  );
}

/** The error of a call that would lose what was recorded. */
export function recordedError(subject: string, call: string): VectorLiteError {
  return new VectorLiteError(
    "ERR_READONLY",
    `${subject} was opened with mode: "record-missing", which loses nothing that was recorded; ` +
      `${call} needs mode: "read-write".`,
  );
}
