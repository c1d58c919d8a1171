/**
 * What a filtered search is, whoever does it: a case with the rows that match, and a library that
 * is prepared for it once and then asked one query after another.
 */

import type { Case, Documents } from "./documents.ts";
import { maskOf } from "./filter-words.ts";
import type { OneOf } from "./harness.ts";

/** A case, and which rows match. */
export interface Asked extends Case {
  mask: Uint8Array;
  matches: number;
}

/** The rows found, the nearest first. */
export type Search = (query: Float32Array, setting: number) => number[] | Promise<number[]>;

export interface Filtered {
  name: string;
  /** What `settings` are of; empty where there is nothing to choose. */
  knob: string;
  settings: readonly number[];
  buildSeconds: number;
  /** Undefined where it cannot be asked so. */
  prepare(asked: Asked): Search | undefined;
  close(): void | Promise<void>;
}

export type Build = (documents: Documents) => Promise<OneOf<Filtered[]>>;

export function ask(documents: Documents, one: Case): Asked {
  const mask = maskOf(documents.docs, one.filter);
  return { ...one, mask, matches: mask.reduce((sum, bit) => sum + bit, 0) };
}

/** Of a library that has nothing to choose. */
export const noKnob: { knob: string; settings: number[] } = { knob: "", settings: [0] };
