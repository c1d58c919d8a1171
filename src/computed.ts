/**
 * What a caller's `compute` returned, checked and packed before anything of it is stored.
 *
 * @module
 */

import { invalidArgument, VectorLiteError } from "./errors.ts";
import { isPlainObject } from "./options.ts";
import { lengthOf } from "./typed-arrays.ts";
import { dimensionOfVectors, packVectors } from "./vectors.ts";

/** The vectors of one batch. */
export interface Computed {
  /** Packed, in the order of the keys; nobody else writes to it. */
  readonly vectors: Float32Array;
  readonly dimension: number;
  /** What the provider says that it cost; 0 where it says nothing. */
  readonly tokens: number;
}

const name = "What compute returned";

/**
 * The vectors of `count` keys.
 *
 * @param dimension - Numbers that a vector has; 0 where these are the first.
 * @throws VectorLiteError ERR_INVALID_ARGUMENT, ERR_DIMENSION, ERR_INVALID_VECTOR
 */
export function readComputed(answer: unknown, count: number, dimension: number): Computed {
  if (!isPlainObject(answer) || !("vectors" in answer)) {
    return { ...pack(answer, count, dimension), tokens: 0 };
  }
  const tokens = readTokens(answer["tokens"]);
  return { ...pack(answer["vectors"], count, dimension), tokens };
}

/** The answer about one key, as that of a batch of one. */
export function asBatch(answer: unknown): unknown {
  if (!isPlainObject(answer) || !("vector" in answer)) return [answer];
  return { vectors: [answer["vector"]], tokens: answer["tokens"] };
}

function readTokens(tokens: unknown): number {
  if (tokens === undefined) return 0;
  if (typeof tokens === "number" && Number.isFinite(tokens) && tokens >= 0) return tokens;
  throw invalidArgument("The tokens that compute returned", "a number, 0 or more", tokens);
}

function pack(
  answer: unknown,
  count: number,
  known: number,
): { vectors: Float32Array; dimension: number } {
  if (Array.isArray(answer) && answer.length !== count) {
    throw new VectorLiteError(
      "ERR_INVALID_ARGUMENT",
      `compute returned ${answer.length} vectors for ${count} keys; expected one for each, in ` +
        "their order.",
    );
  }
  const dimension = known > 0 ? known : dimensionOfVectors(answer, count, name);
  const vectors = packVectors(answer, count, dimension, name);
  // A packed array is the caller's own, who may write to it later.
  return { vectors: vectors === answer ? new Float32Array(vectors) : vectors, dimension };
}

/**
 * Refuses what the engine would refuse to store, where nothing is stored.
 *
 * @throws VectorLiteError ERR_INVALID_VECTOR
 */
export function checkStorable({ vectors, dimension }: Computed): void {
  for (let start = 0; start < lengthOf(vectors); start += dimension) {
    let isZero = true;
    for (let index = start; index < start + dimension; index++) {
      const number = vectors[index] ?? 0;
      if (!Number.isFinite(number)) throw unstorable(`the number ${number}`);
      if (number !== 0) isZero = false;
    }
    if (isZero) throw unstorable("a vector of zeros only");
  }
}

function unstorable(found: string): VectorLiteError {
  return new VectorLiteError(
    "ERR_INVALID_VECTOR",
    `${name} holds ${found}, which cannot be compared; expected finite numbers, not all zero.`,
  );
}
