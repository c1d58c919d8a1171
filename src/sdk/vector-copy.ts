/**
 * Vectors that a caller's function made, checked as the engine checks them and copied.
 *
 * @module
 */

import { type VectorLike, VectorLiteError } from "vectorlite";
import { invalidArgument, tagOf } from "./arguments.ts";

/** Whether this may be a vector. Not `instanceof`: tests may run in a realm of their own. */
export function isVector(value: unknown): value is VectorLike {
  if (typeof value !== "object" || value === null) return false;
  return Array.isArray(value) || tagOf(value) === "Float32Array";
}

/**
 * A copy in 32-bit floats.
 *
 * @throws VectorLiteError ERR_INVALID_ARGUMENT, ERR_DIMENSION where it is empty, ERR_INVALID_VECTOR
 */
export function copyVector(vector: unknown, name: string): Float32Array {
  if (!isVector(vector)) {
    throw invalidArgument(name, "a Float32Array or an array of numbers", vector);
  }
  if (vector.length === 0) {
    throw new VectorLiteError("ERR_DIMENSION", `${name} has no numbers; expected a vector.`);
  }
  const copy = new Float32Array(vector.length);
  for (let index = 0; index < copy.length; index++) {
    const number: unknown = vector[index];
    if (typeof number !== "number") throw invalidArgument(`${name}[${index}]`, "a number", number);
    copy[index] = number;
  }
  checkDirection(copy, name);
  return copy;
}

function checkDirection(vector: Float32Array, name: string): void {
  if (vector.every(Number.isFinite) && vector.some((number) => number !== 0)) return;
  throw new VectorLiteError(
    "ERR_INVALID_VECTOR",
    `${name} is all zeros, or holds NaN or infinity; expected finite numbers, not all zero.`,
  );
}
