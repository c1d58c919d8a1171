/**
 * One call of a caller's `compute`, and everybody who waits for it.
 *
 * While a flight is under way, whoever in this process wants one of its keys joins it, also through
 * another handle of the same file. It is called off when the last of them has given up; when it
 * fails, nothing of it is stored, and the next caller starts a new one.
 *
 * @module
 */

import { stores } from "./cache-mode.ts";
import type { CacheNamespace } from "./cache-namespace.ts";
import { checkStorable, type Computed, readComputed } from "./computed.ts";
import { VectorLiteError } from "./errors.ts";
import type { ComputeMany } from "./types.ts";
import { untilAborted } from "./until-aborted.ts";

/** One call of `getOrCompute` or `getOrComputeMany` that misses something. */
export interface Call {
  readonly namespace: CacheNamespace;
  /** Milliseconds that what is computed lives; 0: for ever. */
  readonly ttl: number;
  /** Told what was computed for this call when it is stored. */
  onComputed(keys: readonly string[], computed: Computed): void;
}

/** One key of a flight: where its vector will be. */
export interface Seat {
  readonly flight: Flight;
  readonly index: number;
}

/** The seats that are taken, by place and key. A place is a namespace of a file. */
const places = new Map<string, Map<string, Seat>>();

/** The call whose `compute` is being called now, until it returns or awaits. */
let calling: Call | undefined;

/**
 * The seat of a key that is being computed.
 *
 * @throws VectorLiteError ERR_INVALID_ARGUMENT where a `compute` asks for what it computes itself:
 * it would wait for itself for ever.
 */
export function seatOf(place: string, key: string): Seat | undefined {
  const seat = places.get(place)?.get(key);
  if (seat === undefined || seat.flight.call !== calling) return seat;
  throw new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    `compute asked for ${JSON.stringify(key.slice(0, 40))}, which it is computing; it would ` +
      "wait for itself.",
  );
}

/** One batch of distinct keys. */
export class Flight {
  readonly call: Call;
  /** Settles with it. */
  readonly landed: Promise<Computed>;
  readonly #place: string;
  readonly #keys: readonly string[];
  readonly #waiting = new Set<Call>();
  readonly #cancelled = new AbortController();
  #land!: (computed: Computed) => void;
  #fail!: (error: unknown) => void;
  #isFlying = false;
  #isLeft = false;

  /** Takes the seats of its keys. */
  constructor(call: Call, place: string, keys: readonly string[]) {
    this.call = call;
    this.#place = place;
    this.#keys = keys;
    this.landed = new Promise((resolve, reject) => {
      this.#land = resolve;
      this.#fail = reject;
    });
    // Who waits hears of a failure; that nobody may is no accident.
    this.landed.catch(() => undefined);
    const seats = places.get(place) ?? new Map<string, Seat>();
    places.set(place, seats);
    for (const [index, key] of keys.entries()) seats.set(key, { flight: this, index });
  }

  /** Whether the call that started it has gone; why it fails then may be that call's own affair. */
  get isLeft(): boolean {
    return this.#isLeft;
  }

  /** From now on this call waits for it. */
  join(call: Call): void {
    this.#waiting.add(call);
  }

  /** This call waits no longer. `reason` is why it gave up, where it did. */
  leave(call: Call, gaveUp: boolean, reason?: unknown): void {
    this.#waiting.delete(call);
    if (call === this.call) this.#isLeft = true;
    if (this.#waiting.size > 0) return;
    if (!this.#isFlying) this.#giveUpSeats();
    else if (gaveUp) {
      this.#giveUpSeats();
      this.#cancelled.abort(reason);
    }
  }

  /**
   * Calls `compute` and stores what it returns, unless nobody waits any more. Never rejects.
   *
   * @returns Whether nothing failed.
   */
  async fly(compute: ComputeMany): Promise<boolean> {
    // All seats of a call are taken before anything of the caller runs.
    await undefined;
    if (this.#waiting.size === 0) return true;
    this.#isFlying = true;
    try {
      const answer = await untilAborted(this.#ask(compute), this.#cancelled.signal);
      const { dimension } = this.call.namespace;
      const computed = readComputed(answer, this.#keys.length, dimension);
      this.#store(computed);
      this.call.onComputed(this.#keys, computed);
      this.#land(computed);
      return true;
    } catch (error) {
      this.#fail(error);
      return false;
    } finally {
      this.#isFlying = false;
      this.#giveUpSeats();
    }
  }

  #ask(compute: ComputeMany): ReturnType<ComputeMany> {
    calling = this.call;
    try {
      return compute([...this.#keys], { signal: this.#cancelled.signal });
    } finally {
      calling = undefined;
    }
  }

  /** Whose handle was closed meanwhile must not cost the others what they wait for. */
  #store(computed: Computed): void {
    const handles = [this.call, ...this.#waiting].map(({ namespace }) => namespace);
    const keepers = handles.filter(({ file }) => stores(file.mode));
    const keeper = keepers.find(({ isOpen }) => isOpen) ?? keepers[0];
    if (keeper === undefined) checkStorable(computed);
    else keeper.keep(this.#keys, computed, this.#ttl());
  }

  /** The longest of those who wait and may store; 0: for ever. */
  #ttl(): number {
    const keeping = [...this.#waiting].filter(({ namespace }) => stores(namespace.file.mode));
    const ttls = (keeping.length > 0 ? keeping : [this.call]).map(({ ttl }) => ttl);
    return ttls.includes(0) ? 0 : Math.max(...ttls);
  }

  #giveUpSeats(): void {
    const seats = places.get(this.#place);
    if (seats === undefined) return;
    for (const key of this.#keys) if (seats.get(key)?.flight === this) seats.delete(key);
    if (seats.size === 0) places.delete(this.#place);
  }
}
