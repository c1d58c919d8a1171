/**
 * Vectors on their way in: checked, then copied to plain 32-bit floats.
 *
 * Everything is copied before the engine sees it, so memory that another thread writes (a shared
 * buffer) or that can shrink (a resizable one) never reaches native code. NaN and infinity are
 * found by the engine, which reads every number anyway.
 *
 * @module
 */

import { describe, invalidArgument, VectorLiteError } from "./errors.ts";
import { isDetached, isFloat32Array, lengthOf, newArray } from "./typed-arrays.ts";

/** Numbers that a vector may have at most; frozen with the file format. */
export const dimensionMax = 65_536;

const expectedVector = "a Float32Array or an array of numbers";

/**
 * Copies one vector to `target` at `offset`.
 *
 * @throws VectorLiteError ERR_INVALID_ARGUMENT, ERR_DIMENSION, ERR_INVALID_VECTOR
 */
export function writeVector(
  target: Float32Array,
  offset: number,
  vector: unknown,
  dimension: number,
  name: string,
): void {
  if (isFloat32Array(vector)) {
    if (lengthOf(vector) !== dimension) throw wrongVector(vector, dimension, name);
    target.set(vector, offset);
    return;
  }
  if (!Array.isArray(vector)) throw invalidArgument(name, expectedVector, vector);
  if (vector.length !== dimension) throw wrongLength(vector.length, dimension, name);
  for (let index = 0; index < dimension; index++) {
    const number: unknown = vector[index];
    if (typeof number !== "number") throw invalidArgument(`${name}[${index}]`, "a number", number);
    target[offset + index] = number;
  }
}

/**
 * `count` vectors as one packed array: the caller's own where it is packed and private already,
 * `target` otherwise.
 *
 * @throws VectorLiteError ERR_INVALID_ARGUMENT, ERR_DIMENSION, ERR_INVALID_VECTOR
 */
export function packVectors(
  vectors: unknown,
  count: number,
  dimension: number,
  name: string,
): Float32Array {
  if (isFloat32Array(vectors)) {
    checkPacked(vectors, count, dimension, name);
    return vectors.buffer instanceof ArrayBuffer ? vectors : new Float32Array(vectors);
  }
  checkList(vectors, count, name);
  const packed = newArray(Float32Array, count * dimension);
  for (let index = 0; index < count; index++) {
    writeVector(packed, index * dimension, vectors[index], dimension, `${name}[${index}]`);
  }
  return packed;
}

/** A packed array has exactly `count` × `dimension` numbers. */
export function checkPacked(
  vectors: Float32Array,
  count: number,
  dimension: number,
  name: string,
): void {
  const length = lengthOf(vectors);
  if (length === count * dimension) return;
  refuseDetached(vectors, name);
  throw new VectorLiteError(
    "ERR_DIMENSION",
    `${name} has ${length} numbers; expected ${count} × ${dimension} = ` + `${count * dimension}.`,
  );
}

/** A list has exactly `count` vectors. */
export function checkList(
  vectors: unknown,
  count: number,
  name: string,
): asserts vectors is readonly unknown[] {
  if (!Array.isArray(vectors)) {
    throw invalidArgument(name, "an array of vectors or one packed Float32Array", vectors);
  }
  if (vectors.length === count) return;
  throw new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    `${name} has ${vectors.length} vectors for ${count} keys; expected one for each.`,
  );
}

/**
 * How many vectors a batch of queries holds.
 *
 * @throws VectorLiteError ERR_INVALID_ARGUMENT, ERR_DIMENSION
 */
export function countVectors(vectors: unknown, dimension: number, name: string): number {
  if (Array.isArray(vectors)) return vectors.length;
  if (!isFloat32Array(vectors)) {
    throw invalidArgument(name, "an array of vectors or one packed Float32Array", vectors);
  }
  refuseDetached(vectors, name);
  const length = lengthOf(vectors);
  if (length % dimension === 0) return length / dimension;
  throw new VectorLiteError(
    "ERR_DIMENSION",
    `${name} has ${length} numbers; expected a multiple of the dimension, ${dimension}.`,
  );
}

/**
 * Checks the array that a vector is copied out to.
 *
 * @throws VectorLiteError ERR_INVALID_ARGUMENT, ERR_DIMENSION, ERR_INVALID_VECTOR
 */
export function checkTarget(out: Float32Array, dimension: number): void {
  if (!isFloat32Array(out)) throw invalidArgument("out", "a Float32Array", out);
  if (lengthOf(out) !== dimension) throw wrongVector(out, dimension, "out");
}

/**
 * Numbers in a vector that comes first, and so decides how many all have. What they are is checked
 * where it is written.
 *
 * @throws VectorLiteError ERR_INVALID_ARGUMENT, ERR_DIMENSION, ERR_INVALID_VECTOR
 */
export function dimensionOfVector(vector: unknown, name: string): number {
  if (isFloat32Array(vector)) {
    refuseDetached(vector, name);
    return checkDimension(lengthOf(vector), name);
  }
  if (!Array.isArray(vector)) throw invalidArgument(name, expectedVector, vector);
  return checkDimension(vector.length, name);
}

/**
 * The same of several: as many as the first one has, or an equal part of a packed array.
 *
 * @throws VectorLiteError ERR_INVALID_ARGUMENT, ERR_DIMENSION, ERR_INVALID_VECTOR
 */
export function dimensionOfVectors(vectors: unknown, count: number, name: string): number {
  if (!isFloat32Array(vectors)) {
    checkList(vectors, count, name);
    return dimensionOfVector(vectors[0], `${name}[0]`);
  }
  refuseDetached(vectors, name);
  const length = lengthOf(vectors);
  if (length % count === 0) return checkDimension(length / count, name);
  throw new VectorLiteError(
    "ERR_DIMENSION",
    `${name} has ${length} numbers for ${count} keys; expected as many for each.`,
  );
}

function checkDimension(dimension: number, name: string): number {
  if (dimension >= 1 && dimension <= dimensionMax) return dimension;
  throw new VectorLiteError(
    "ERR_DIMENSION",
    `${name} has ${dimension} dimensions; expected 1 to ${dimensionMax}.`,
  );
}

function wrongVector(vector: Float32Array, dimension: number, name: string): VectorLiteError {
  refuseDetached(vector, name);
  return wrongLength(lengthOf(vector), dimension, name);
}

function wrongLength(length: number, dimension: number, name: string): VectorLiteError {
  return new VectorLiteError(
    "ERR_DIMENSION",
    `${name} has ${length} dimensions; expected ${dimension}, as its collection has.`,
  );
}

/** A transferred array has length 0 and would otherwise be told as a wrong dimension. */
function refuseDetached(vector: Float32Array, name: string): void {
  if (lengthOf(vector) > 0 || !isDetached(vector.buffer)) return;
  throw new VectorLiteError(
    "ERR_INVALID_VECTOR",
    `${name} is detached: its buffer was transferred. Pass the array that received it, or copy ` +
      `it before transferring (found ${describe(vector)}).`,
  );
}
