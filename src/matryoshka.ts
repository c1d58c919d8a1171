/**
 * The beginning of a vector as a vector of its own, for models that were trained for it.
 *
 * @module
 */

import { VectorLiteError } from "./errors.ts";
import { integerOption } from "./options.ts";
import type { ModelIdentity } from "./types.ts";
import { dimensionMax } from "./vectors.ts";

/** Which vectors may be cut: those of a model, of so many numbers. */
export interface Cuttable {
  /** Numbers in a whole vector; 0 where nothing has decided that yet. */
  readonly dimension: number;
  readonly matryoshka: ModelIdentity["matryoshka"];
  /** What messages call it. */
  readonly subject: string;
}

/**
 * The length that an option asks for; 0 where it asks for none, or for whole vectors.
 *
 * @throws VectorLiteError ERR_INVALID_ARGUMENT, ERR_DIMENSION where the model was not declared to
 * have vectors of that length
 */
export function prefixOption(option: unknown, cuttable: Cuttable): number {
  const range = { min: 1, max: dimensionMax, fallback: 0 };
  const dimensions = integerOption(option, "dimensions", range);
  if (dimensions === 0 || dimensions === cuttable.dimension) return 0;
  checkPrefix(dimensions, cuttable);
  return dimensions;
}

/** Whether the beginning of that length is a vector too. */
export function isPrefix(dimensions: number, { dimension, matryoshka }: Cuttable): boolean {
  if (dimension !== 0 && dimensions > dimension) return false;
  return matryoshka === true || (Array.isArray(matryoshka) && matryoshka.includes(dimensions));
}

/** @throws VectorLiteError ERR_DIMENSION */
export function checkPrefix(dimensions: number, cuttable: Cuttable): void {
  if (isPrefix(dimensions, cuttable)) return;
  const { dimension, matryoshka, subject } = cuttable;
  const whole = dimension === 0 ? "of a length that its first vector decides" : `of ${dimension}`;
  const cut = Array.isArray(matryoshka)
    ? `and may be cut to ${matryoshka.join(", ")}`
    : matryoshka === true
      ? "and may be cut to fewer"
      : "and its model is not declared to have shorter ones. Where it was trained for that, open " +
        "it with model: { name, matryoshka: true }, or the lengths that are allowed";
  throw new VectorLiteError(
    "ERR_DIMENSION",
    `${subject} was asked for ${dimensions} dimensions; its vectors are ${whole}, ${cut}.`,
  );
}

/**
 * Fills `out` with the beginning of a vector, scaled to the length 1 in double precision.
 *
 * @throws VectorLiteError ERR_INVALID_VECTOR where that is all zero
 */
export function cutInto(out: Float32Array, vector: Float32Array): void {
  let squares = 0;
  for (let index = 0; index < out.length; index++) squares += (vector[index] ?? 0) ** 2;
  if (squares === 0) {
    throw new VectorLiteError(
      "ERR_INVALID_VECTOR",
      `The first ${out.length} numbers of a vector are all zero, so they have no direction; ask ` +
        "for more of them.",
    );
  }
  const norm = Math.sqrt(squares);
  for (let index = 0; index < out.length; index++) out[index] = (vector[index] ?? 0) / norm;
}
