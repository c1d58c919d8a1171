/**
 * One key that another thread of this process computes.
 *
 * @module
 */

import { type Arrival, boarderOfThread } from "./boarder.ts";
import type { Computed } from "./computed.ts";
import { type Call, Passengers } from "./passengers.ts";
import { type Flight, giveUpSeats, takeSeats } from "./seats.ts";

/** Threads do not wake each other, so what comes is asked for after pauses of at most so long. */
const pauseMaxMs = 10;

/**
 * Milliseconds after which it is computed here as well. The other thread may hang, or even wait for
 * this one, whose `compute` it does.
 */
const patienceMs = 30_000;

/** All that this thread awaits, by the numbers of their seats; those that wait longest first. */
const awaited = new Map<number, AwaitedFlight>();

let isWatching = false;

/**
 * It lands with nothing where the other thread fails, ends or takes too long: then it is to be
 * computed here.
 */
export class AwaitedFlight implements Flight {
  readonly call = undefined;
  readonly isLeft = false;
  readonly landed: Promise<Computed | undefined>;
  readonly #place: string;
  readonly #key: string;
  readonly #seat: number;
  readonly #passengers = new Passengers();
  readonly #startMs = performance.now();
  #land!: (computed: Computed | undefined) => void;
  #fail!: (error: unknown) => void;

  /** @param seat - The number of its seat, which this thread's boarder has. */
  constructor(place: string, key: string, seat: number) {
    this.#place = place;
    this.#key = key;
    this.#seat = seat;
    this.landed = new Promise((resolve, reject) => {
      this.#land = resolve;
      this.#fail = reject;
    });
    this.landed.catch(() => undefined);
    takeSeats(place, [key], this);
    awaited.set(seat, this);
    if (!isWatching) void watch();
  }

  join(call: Call): void {
    this.#passengers.join(call);
  }

  leave(call: Call): void {
    this.#passengers.leave(call);
    if (!this.#passengers.isEmpty || !this.#end()) return;
    boarderOfThread().leave(Uint32Array.of(this.#seat));
  }

  /** Never throws. */
  arrive({ computed, isStored }: Arrival): void {
    this.#end();
    try {
      if (computed !== undefined && !isStored) this.#passengers.keep([this.#key], computed);
      this.#land(computed);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** @returns Whether it has waited too long, and waits no more. */
  overtake(): boolean {
    if (performance.now() - this.#startMs < patienceMs) return false;
    this.#end();
    boarderOfThread().overtake(this.#seat);
    this.#land(undefined);
    return true;
  }

  /** Nothing can be asked for any more. */
  fail(error: unknown): void {
    this.#end();
    this.#fail(error);
  }

  /** @returns Whether it was awaited until now. */
  #end(): boolean {
    if (awaited.get(this.#seat) !== this) return false;
    awaited.delete(this.#seat);
    giveUpSeats(this.#place, [this.#key], this);
    return true;
  }
}

/** Asks for all of them at once. */
async function watch(): Promise<void> {
  isWatching = true;
  for (let pauseMs = 1; awaited.size > 0; ) {
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
    pauseMs = takeArrivals() ? 1 : Math.min(pauseMs * 2, pauseMaxMs);
    for (const flight of awaited.values()) if (!flight.overtake()) break;
  }
  isWatching = false;
}

/** @returns Whether there were some. Never throws. */
function takeArrivals(): boolean {
  let count = 0;
  try {
    const boarder = boarderOfThread();
    for (let arrival = boarder.take(); arrival !== undefined; arrival = boarder.take()) {
      awaited.get(arrival.seat)?.arrive(arrival);
      count++;
    }
  } catch (error) {
    for (const flight of [...awaited.values()]) flight.fail(error);
  }
  return count > 0;
}
