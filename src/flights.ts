/**
 * Computes what a cache misses, once per key however many callers wait for it.
 *
 * @module
 */

import { AwaitedFlight } from "./awaited-flight.ts";
import { type Boarding, boarderOfThread } from "./boarder.ts";
import { missError, stores } from "./cache-mode.ts";
import type { CacheNamespace } from "./cache-namespace.ts";
import { tell, tellHits } from "./channels.ts";
import { asBatch, type Computed } from "./computed.ts";
import { ttlOption } from "./entry-facts.ts";
import { VectorLiteError } from "./errors.ts";
import { checkPrefix, cutInto } from "./matryoshka.ts";
import { newAnswer } from "./native/native.ts";
import { checkFunction, checkOptions, integerOption, type Known } from "./options.ts";
import { OwnFlight } from "./own-flight.ts";
import type { Call } from "./passengers.ts";
import { type Flight, type Seat, seatOf } from "./seats.ts";
import type {
  Compute,
  ComputeMany,
  ComputeManyOptions,
  ComputeOptions,
  VectorBatch,
} from "./types.ts";
import { checkSignal, untilAborted } from "./until-aborted.ts";

/** How the keys of one call become batches. */
export interface BatchPlan {
  /** Keys of one call of `compute` at most. */
  readonly maxBatch: number;
  /** Calls of `compute` that run beside each other at most. */
  readonly concurrency: number;
}

/** Checked options of one call. */
interface ComputePlan extends BatchPlan {
  readonly signal: AbortSignal | undefined;
  /** 0: for ever. */
  readonly ttl: number;
}

const knownOfOne: Known = { signal: true, dimensions: true, ttl: true };
const knownOfMany: Known = { ...knownOfOne, maxBatch: true, concurrency: true };

const noLimit: BatchPlan = { maxBatch: Number.MAX_SAFE_INTEGER, concurrency: 4 };

/** Checks `maxBatch` and `concurrency`, and fills in what is not said. */
export function checkBatchPlan(
  given: { maxBatch?: number | undefined; concurrency?: number | undefined },
  fallback: BatchPlan = noLimit,
): BatchPlan {
  const { maxBatch, concurrency } = given;
  return {
    maxBatch: integerOption(maxBatch, "maxBatch", {
      min: 1,
      max: 1_000_000,
      fallback: fallback.maxBatch,
    }),
    concurrency: integerOption(concurrency, "concurrency", {
      min: 1,
      max: 1000,
      fallback: fallback.concurrency,
    }),
  };
}

/** What the flights of one cache came to. */
export interface FlightCounts {
  /** Keys that were computed. */
  computed: number;
  /** Keys that were being computed already. */
  joins: number;
  /** Tokens that the computations reported. */
  tokensComputed: number;
}

/** A vector that was computed: one row of a batch. */
interface Row {
  readonly batch: Computed;
  readonly index: number;
}

/** What one namespace computes. */
export class Flights {
  readonly counts: FlightCounts = { computed: 0, joins: 0, tokensComputed: 0 };
  readonly #namespace: CacheNamespace;
  readonly #batches: BatchPlan;

  constructor(namespace: CacheNamespace, batches: BatchPlan) {
    this.#namespace = namespace;
    this.#batches = batches;
  }

  async one(key: string, compute: Compute, options?: ComputeOptions): Promise<Float32Array> {
    checkFunction(compute, "compute");
    const given = checkOptions(options, knownOfOne, "getOrCompute()");
    const signal = checkSignal(given.signal);
    const prefix = this.#namespace.prefixLength(given.dimensions);
    const cached = tellHits(
      this.#namespace,
      () => this.#get(key, prefix),
      (found) => (found === undefined ? [] : [key]),
    );
    if (cached !== undefined) return cached;
    tell("miss", this.#namespace, () => [key]);
    const batchOfOne: ComputeMany = async (_, context) => {
      return asBatch(await compute(key, context)) as Awaited<ReturnType<ComputeMany>>;
    };
    const rows = await this.#compute([key], batchOfOne, {
      ...this.#batches,
      signal,
      ttl: ttlOption(given.ttl, this.#namespace.plan.ttl),
    });
    const vector = vectorOf(rowOf(rows, key)).slice();
    return this.#cut([vector], prefix)[0] ?? vector;
  }

  #get(key: string, prefix: number): Float32Array | undefined {
    return prefix === 0 ? this.#namespace.getVector(key) : this.#namespace.getPrefix(key, prefix);
  }

  async many(
    keys: readonly string[],
    compute: ComputeMany,
    options?: ComputeManyOptions,
  ): Promise<Float32Array[]> {
    checkFunction(compute, "compute");
    const given = checkOptions(options, knownOfMany, "getOrComputeMany()");
    const plan = {
      ...checkBatchPlan(given, this.#batches),
      signal: checkSignal(given.signal),
      ttl: ttlOption(given.ttl, this.#namespace.plan.ttl),
    };
    const prefix = this.#namespace.prefixLength(given.dimensions);
    const vectors = await this.#whole(this.#namespace.checkKeys(keys), compute, plan);
    return this.#cut(vectors, prefix);
  }

  /**
   * The beginnings of vectors, as views of one packed array; the vectors where they are no longer
   * than that, as a namespace may turn out that was made by them.
   */
  #cut(vectors: Float32Array[], prefix: number): Float32Array[] {
    const whole = vectors[0]?.length ?? prefix;
    if (prefix === 0 || whole === prefix) return vectors;
    if (whole < prefix) checkPrefix(prefix, { ...this.#namespace.cuttable, dimension: whole });
    const packed = newAnswer(vectors.length * prefix);
    const views = unpack(packed, vectors.length);
    for (const [index, view] of views.entries()) cutInto(view, vectors[index] ?? view);
    return views;
  }

  /** Vectors in the order of the keys, as views of one packed array. */
  async #whole(
    wanted: readonly string[],
    compute: ComputeMany,
    plan: ComputePlan,
  ): Promise<Float32Array[]> {
    const cached = tellHits(
      this.#namespace,
      () => this.#namespace.getMany(wanted),
      ({ found }) => wanted.filter((_, index) => found[index] === 1),
    );
    if (!cached.found.includes(0)) return unpack(cached.vectors, wanted.length);
    const missing = new Set(wanted.filter((_, index) => cached.found[index] === 0));
    tell("miss", this.#namespace, () => [...missing]);
    const rows = await this.#compute([...missing], compute, plan);
    return merge(wanted, cached, rows);
  }

  /** The rows of distinct keys that are missing. */
  async #compute(
    keys: readonly string[],
    compute: ComputeMany,
    plan: ComputePlan,
  ): Promise<Map<string, Row>> {
    const call: Call = {
      namespace: this.#namespace,
      ttl: plan.ttl,
      onComputed: (keys, computed) => this.#count(keys, computed),
    };
    const rows = new Map<string, Row>();
    for (let pending = keys; pending.length > 0; ) {
      const seats = this.#board(call, pending, compute, plan);
      const landed = await this.#land(call, seats, plan.signal);
      for (const [key, { flight, index }] of seats) {
        const batch = landed.get(flight);
        if (batch !== undefined) rows.set(key, { batch, index });
      }
      pending = this.#readAgain(keys, rows);
    }
    this.#namespace.checkOpen();
    return rows;
  }

  /**
   * Adds what another thread has stored since it was missed. What was not stays one miss.
   *
   * @returns The keys that are missing still.
   */
  #readAgain(keys: readonly string[], rows: Map<string, Row>): readonly string[] {
    const pending = keys.filter((key) => !rows.has(key));
    const stored = pending.filter((key) => this.#namespace.has(key));
    if (stored.length === 0) return pending;
    const { vectors, found } = tellHits(
      this.#namespace,
      () => this.#namespace.getMany(stored),
      (answer) => stored.filter((_, index) => answer.found[index] === 1),
    );
    const batch = { vectors, dimension: this.#namespace.dimension, tokens: 0 };
    for (const [index, key] of stored.entries()) {
      if (found[index] === 1) rows.set(key, { batch, index });
    }
    return pending.filter((key) => !rows.has(key));
  }

  #count(keys: readonly string[], { tokens }: Computed): void {
    this.counts.computed += keys.length;
    this.counts.tokensComputed += tokens;
  }

  /**
   * Seats in flights that are under way, and in new ones. None for keys that another thread has
   * stored since they were missed.
   */
  #board(
    call: Call,
    keys: readonly string[],
    compute: ComputeMany,
    { maxBatch, concurrency }: BatchPlan,
  ): Map<string, Seat> {
    const { file, plan, place } = this.#namespace;
    if (file.mode === "replay") throw missError(plan.subject, keys);
    if (stores(file.mode)) this.#namespace.checkWritable();
    const seats = new Map<string, Seat>();
    for (const key of keys) {
      const seat = seatOf(place, key);
      if (seat !== undefined) seats.set(key, seat);
    }
    const alone = keys.filter((key) => !seats.has(key));
    const boarding = boarderOfThread().board(place, alone);
    const missing = this.#stillMissing(alone, boarding);
    for (const index of boarding.awaited) {
      const key = alone[index] ?? "";
      const flight = new AwaitedFlight(place, key, boarding.seats[index] ?? 0);
      seats.set(key, { flight, index: 0 });
    }
    const joined = [...seats.keys()];
    this.counts.joins += joined.length;
    const started: OwnFlight[] = [];
    for (let start = 0; start < missing.length; start += maxBatch) {
      const indexes = missing.slice(start, start + maxBatch);
      const batch = indexes.map((index) => alone[index] ?? "");
      const flight = new OwnFlight(call, place, batch, seatsOf(boarding, indexes));
      for (const [index, key] of batch.entries()) seats.set(key, { flight, index });
      started.push(flight);
    }
    for (const { flight } of seats.values()) flight.join(call);
    launch(call, started, compute, concurrency);
    tell("join", this.#namespace, () => joined);
    return seats;
  }

  /**
   * The indexes of the keys to compute here. A thread that stores what it brings has done so before
   * others can board anew, so that they find here what they missed just before.
   */
  #stillMissing(keys: readonly string[], boarding: Boarding): readonly number[] {
    try {
      const missing: number[] = [];
      const stored: number[] = [];
      for (const index of boarding.own) {
        (this.#namespace.has(keys[index] ?? "") ? stored : missing).push(index);
      }
      boarderOfThread().leave(seatsOf(boarding, stored));
      return missing;
    } catch (error) {
      boarderOfThread().leave(boarding.seats);
      throw error;
    }
  }

  /**
   * Waits until all have landed.
   *
   * @returns What they brought; not of those that failed after the call that started them had
   * gone. What made them fail is perhaps only that, so their keys are to be computed again, like
   * those of other threads that brought nothing.
   */
  async #land(
    call: Call,
    seats: ReadonlyMap<string, Seat>,
    signal: AbortSignal | undefined,
  ): Promise<Map<Flight, Computed>> {
    const landed = new Map<Flight, Computed>();
    const flights = new Set([...seats.values()].map(({ flight }) => flight));
    const waits = [...flights].map(async (flight) => {
      try {
        const computed = await flight.landed;
        if (computed !== undefined) landed.set(flight, computed);
      } catch (error) {
        if (flight.call === call || !flight.isLeft) throw error;
      }
    });
    const all = Promise.all(waits);
    try {
      await (signal === undefined ? all : untilAborted(all, signal));
    } finally {
      const gaveUp = signal?.aborted === true;
      for (const flight of flights) flight.leave(call, gaveUp, signal?.reason);
    }
    return landed;
  }
}

function seatsOf({ seats }: Boarding, indexes: readonly number[]): Uint32Array {
  return Uint32Array.from(indexes, (index) => seats[index] ?? 0);
}

/** Flies some at a time. After a failure only those that others wait for are begun. */
function launch(
  call: Call,
  flights: readonly OwnFlight[],
  compute: ComputeMany,
  concurrency: number,
): void {
  let next = 0;
  const work = async (): Promise<void> => {
    for (;;) {
      const flight = flights[next];
      if (flight === undefined) return;
      next++;
      if (await flight.fly(compute)) continue;
      for (const later of flights.slice(next)) later.leave(call, false);
    }
  };
  for (let worker = 0; worker < Math.min(concurrency, flights.length); worker++) void work();
}

/** Packed vectors as one view each. */
function unpack(vectors: Float32Array, count: number): Float32Array[] {
  const dimension = vectors.length / count;
  const views = new Array<Float32Array>(count);
  for (let index = 0; index < count; index++) {
    views[index] = vectors.subarray(index * dimension, (index + 1) * dimension);
  }
  return views;
}

/** Puts what was computed between what was cached, one row for each key. */
function merge(
  keys: readonly string[],
  { vectors, found }: VectorBatch,
  rows: ReadonlyMap<string, Row>,
): Float32Array[] {
  const dimension = dimensionOf(rows);
  const total = keys.length * dimension;
  const merged = vectors.length === total ? vectors : newAnswer(total);
  for (const [position, key] of keys.entries()) {
    if (found[position] === 0) merged.set(vectorOf(rowOf(rows, key)), position * dimension);
  }
  return unpack(merged, keys.length);
}

/** Batches that came first, at the same time, may disagree about it. */
function dimensionOf(rows: ReadonlyMap<string, Row>): number {
  const [first, ...others] = new Set([...rows.values()].map(({ batch }) => batch.dimension));
  if (first !== undefined && others.length === 0) return first;
  throw new VectorLiteError(
    "ERR_DIMENSION",
    `compute returned vectors of ${[first, ...others].join(" and ")} dimensions; expected one.`,
  );
}

function vectorOf({ batch, index }: Row): Float32Array {
  const { vectors, dimension } = batch;
  return vectors.subarray(index * dimension, (index + 1) * dimension);
}

function rowOf(rows: ReadonlyMap<string, Row>, key: string): Row {
  const row = rows.get(key);
  if (row === undefined) throw new Error(`No flight for ${JSON.stringify(key.slice(0, 40))}.`);
  return row;
}
