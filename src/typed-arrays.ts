/**
 * What a typed array is, and how long, whatever it says of itself; and large new ones.
 *
 * A subclass, a proxy or a field of its own can make `instanceof`, `length` and `toString` lie, and
 * `bun:ffi` passes on an address alone: believing them would be reading and writing somebody else's
 * memory. The getters below look at the array's inside, which nothing can fake, in any realm.
 *
 * @module
 */

import { VectorLiteError } from "./errors.ts";

/** Elements of one array at most: lengths cross the boundary as u32. */
const elementsMax = 0xffff_ffff;

const prototype = Object.getPrototypeOf(Uint8Array.prototype) as object;

function getterOf<Value>(name: PropertyKey): (this: unknown) => Value {
  const { get } = Object.getOwnPropertyDescriptor(prototype, name) as { get: () => Value };
  return get;
}

/** The name of its class; `undefined` for whatever is no typed array. */
const nameOf = getterOf<string | undefined>(Symbol.toStringTag);

const elementsOf = getterOf<number>("length");

/** Whether this is a Float32Array. */
export function isFloat32Array(value: unknown): value is Float32Array {
  return nameOf.call(value) === "Float32Array";
}

/** Whether this is a Uint8Array, which a `Buffer` is too. */
export function isUint8Array(value: unknown): value is Uint8Array {
  return nameOf.call(value) === "Uint8Array";
}

/** Elements of a typed array; 0 where it is detached or out of its buffer's bounds. */
export function lengthOf(array: Float32Array | Uint8Array): number {
  return elementsOf.call(array);
}

/** `ArrayBuffer.prototype.detached` is younger than Node 20; a view over such a buffer throws. */
export function isDetached(buffer: ArrayBufferLike): boolean {
  try {
    new Uint8Array(buffer);
    return false;
  } catch {
    return true;
  }
}

/**
 * An array as large as the caller's arguments make it.
 *
 * @throws VectorLiteError ERR_OUT_OF_MEMORY
 */
export function newArray<Made>(make: new (length: number) => Made, length: number): Made {
  try {
    if (length <= elementsMax) return new make(length);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
  }
  throw new VectorLiteError(
    "ERR_OUT_OF_MEMORY",
    `There is no room for an answer or batch of ${length} numbers; split the call.`,
  );
}
