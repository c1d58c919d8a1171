/**
 * Computes what a cache misses, once per key however many callers wait for it.
 *
 * A flight is one call of a caller's `compute` with its distinct keys. While it is under way every
 * other caller who wants one of its keys joins it. When it fails, everyone who waits gets its
 * error, nothing is stored, and the next caller starts a new one.
 *
 * @module
 */

import { VectorLiteError } from "./errors.ts";
import { checkKeys } from "./keys.ts";
import { checkFunction } from "./options.ts";
import type { Records } from "./records.ts";
import type { Compute, ComputeMany, VectorsLike } from "./types.ts";
import { isFloat32Array } from "./typed-arrays.ts";
import { packVectors } from "./vectors.ts";
import { writeMany } from "./write.ts";

/** One key of a flight: where its vector will be. */
interface Seat {
  /** All vectors of the flight, packed. */
  readonly result: Promise<Float32Array>;
  readonly index: number;
}

/** The flights of one cache. */
export class Flights {
  readonly #records: Records;
  readonly #seats = new Map<string, Seat>();

  constructor(records: Records) {
    this.#records = records;
  }

  async one(key: string, compute: Compute): Promise<Float32Array> {
    checkFunction(compute, "compute");
    const cached = this.#records.getVector(key);
    if (cached !== undefined) return cached;
    const seat = this.#seats.get(key) ?? this.#start([key], async () => [await compute(key)]);
    return this.#take(await seat.result, seat.index);
  }

  async many(keys: readonly string[], compute: ComputeMany): Promise<Float32Array[]> {
    checkFunction(compute, "compute");
    const wanted = checkKeys(keys);
    const results: (Float32Array | undefined)[] = wanted.map((key) =>
      this.#seats.has(key) ? undefined : this.#records.getVector(key),
    );
    const missing = new Set<string>();
    for (const [position, key] of wanted.entries()) {
      if (results[position] === undefined && !this.#seats.has(key)) missing.add(key);
    }
    if (missing.size > 0) this.#start([...missing], compute);
    return Promise.all(
      wanted.map(async (key, position) => {
        const cached = results[position];
        if (cached !== undefined) return cached;
        const seat = this.#seats.get(key);
        if (seat === undefined) throw new Error(`No flight for ${JSON.stringify(key)}.`);
        return this.#take(await seat.result, seat.index);
      }),
    );
  }

  /** Registers the seats before `compute` runs, so that even a call from within it joins. */
  #start(keys: readonly string[], compute: ComputeMany): Seat {
    this.#records.checkWritable();
    const result = this.#fly(keys, compute);
    for (const [index, key] of keys.entries()) this.#seats.set(key, { result, index });
    return { result, index: 0 };
  }

  async #fly(keys: readonly string[], compute: ComputeMany): Promise<Float32Array> {
    // The seats are taken before anything of the caller runs.
    await undefined;
    try {
      const computed = await compute([...keys]);
      const packed = packComputed(computed, keys, this.#records.dimension);
      writeMany(this.#records, keys, packed, undefined);
      return packed;
    } finally {
      for (const key of keys) this.#seats.delete(key);
    }
  }

  #take(packed: Float32Array, index: number): Float32Array {
    const { dimension } = this.#records;
    return packed.slice(index * dimension, (index + 1) * dimension);
  }
}

function packComputed(
  computed: VectorsLike,
  keys: readonly string[],
  dimension: number,
): Float32Array {
  const name = "What compute returned";
  if (isFloat32Array(computed)) {
    return new Float32Array(packVectors(computed, keys.length, dimension, name));
  }
  if (Array.isArray(computed) && computed.length !== keys.length) {
    throw new VectorLiteError(
      "ERR_INVALID_ARGUMENT",
      `compute returned ${computed.length} vectors for ${keys.length} keys; expected one for ` +
        "each, in their order.",
    );
  }
  return packVectors(computed, keys.length, dimension, name);
}
