/**
 * What is kept of cache entries beside their vectors: when they are over, and what they cost.
 *
 * @module
 */

import { integerOption } from "./options.ts";
import type { RowFacts } from "./records.ts";

/** A hundred years: what is meant to be longer is meant to be for ever. */
export const ttlMax: number = 100 * 366 * 24 * 3600 * 1000;

/** Milliseconds that entries live; 0: for ever. */
export function ttlOption(value: unknown, fallback: number): number {
  return integerOption(value, "ttl", { min: 1, max: ttlMax, fallback });
}

/** Tokens that an entry took. */
export function tokensOption(value: unknown): number {
  return integerOption(value, "tokens", { min: 0, max: 0xffffffff, fallback: 0 });
}

/** Of `count` entries that are written now. */
export function factsOf(count: number, ttl: number, costs?: Uint32Array): RowFacts | undefined {
  if (ttl === 0 && costs === undefined) return undefined;
  const expiries = ttl === 0 ? undefined : new Float64Array(count).fill(Date.now() + ttl);
  return { expiries, costs };
}

/**
 * What each text cost of what they cost together. Providers say only the sum, so it is shared out
 * by length; the parts add up to it.
 */
export function shareTokens(keys: readonly string[], tokens: number): Uint32Array | undefined {
  const total = Math.min(Math.round(tokens), 0xffffffff);
  if (total === 0) return undefined;
  const length = keys.reduce((sum, key) => sum + key.length, 0);
  const shares = new Uint32Array(keys.length);
  let seen = 0;
  let given = 0;
  for (const [index, key] of keys.entries()) {
    seen += key.length;
    const upTo = Math.round((total * seen) / Math.max(1, length));
    shares[index] = upTo - given;
    given = upTo;
  }
  return shares;
}
