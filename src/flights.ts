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
  /** The flight whose `compute` is being called now, until it returns or awaits. */
  #calling: Promise<Float32Array> | undefined;

  constructor(records: Records) {
    this.#records = records;
  }

  async one(key: string, compute: Compute): Promise<Float32Array> {
    checkFunction(compute, "compute");
    const cached = this.#records.getVector(key);
    if (cached !== undefined) return cached;
    const seat = this.#seatOf(key) ?? this.#start([key], async () => [await compute(key)]);
    return this.#take(await seat.result, seat.index);
  }

  async many(keys: readonly string[], compute: ComputeMany): Promise<Float32Array[]> {
    checkFunction(compute, "compute");
    const wanted = checkKeys(keys);
    const results: (Float32Array | undefined)[] = wanted.map((key) =>
      this.#seatOf(key) === undefined ? this.#records.getVector(key) : undefined,
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

  /** A compute that asks for its own key would wait for itself for ever. */
  #seatOf(key: string): Seat | undefined {
    const seat = this.#seats.get(key);
    if (seat === undefined || seat.result !== this.#calling) return seat;
    throw new VectorLiteError(
      "ERR_INVALID_ARGUMENT",
      `compute asked for ${JSON.stringify(key.slice(0, 40))}, which it is computing; it would ` +
        "wait for itself.",
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
      const computed = await this.#call(keys, compute);
      const packed = packComputed(computed, keys, this.#records.dimension);
      writeMany(this.#records, keys, packed, undefined);
      return packed;
    } finally {
      for (const key of keys) this.#seats.delete(key);
    }
  }

  #call(keys: readonly string[], compute: ComputeMany): ReturnType<ComputeMany> {
    this.#calling = this.#seats.get(keys[0] ?? "")?.result;
    try {
      return compute([...keys]);
    } finally {
      this.#calling = undefined;
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
