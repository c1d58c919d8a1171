/**
 * One key that another thread of this process computes.
 *
 * @module
 */

import type { Boarding } from "./boarding.ts";
import type { Computed } from "./computed.ts";
import { type Call, Passengers } from "./passengers.ts";
import { type Flight, giveUpSeats, takeSeats } from "./seats.ts";

/** Threads do not wake each other, so what comes is asked for after pauses of at most so long. */
const pauseMaxMs = 10;

/** It lands with nothing where the other thread fails, or ends: then it is to be computed here. */
export class AwaitedFlight implements Flight {
  readonly call = undefined;
  readonly isLeft = false;
  readonly landed: Promise<Computed | undefined>;
  readonly #place: string;
  readonly #key: string;
  readonly #boarding: Boarding;
  readonly #index: number;
  readonly #passengers = new Passengers();
  #land!: (computed: Computed | undefined) => void;
  #fail!: (error: unknown) => void;
  #isOver = false;

  private constructor(place: string, key: string, boarding: Boarding, index: number) {
    this.#place = place;
    this.#key = key;
    this.#boarding = boarding;
    this.#index = index;
    this.landed = new Promise((resolve, reject) => {
      this.#land = resolve;
      this.#fail = reject;
    });
    this.landed.catch(() => undefined);
    takeSeats(place, [key], this);
  }

  /** The flights of all keys of a boarding that others compute, by key. */
  static of(
    place: string,
    keys: readonly string[],
    boarding: Boarding,
  ): Map<string, AwaitedFlight> {
    const flights = new Map<string, AwaitedFlight>();
    for (const index of boarding.awaited) {
      const key = keys[index] ?? "";
      flights.set(key, new AwaitedFlight(place, key, boarding, index));
    }
    void watch([...flights.values()]);
    return flights;
  }

  join(call: Call): void {
    this.#passengers.join(call);
  }

  leave(call: Call): void {
    this.#passengers.leave(call);
    if (this.#passengers.isEmpty && !this.#isOver) this.#end();
  }

  /**
   * Asks whether it has come. Never throws.
   *
   * @returns Whether that need not be asked again.
   */
  poll(): boolean {
    if (this.#isOver) return true;
    try {
      const delivery = this.#boarding.take(this.#index);
      if (delivery === undefined) return false;
      this.#end();
      const { computed, isStored } = delivery;
      if (computed !== undefined && !isStored) this.#passengers.keep([this.#key], computed);
      this.#land(computed);
    } catch (error) {
      if (!this.#isOver) this.#end();
      this.#fail(error);
    }
    return true;
  }

  #end(): void {
    this.#isOver = true;
    giveUpSeats(this.#place, [this.#key], this);
    this.#boarding.leave(1);
  }
}

async function watch(flights: readonly AwaitedFlight[]): Promise<void> {
  let pending = flights;
  for (let pauseMs = 1; pending.length > 0; pauseMs = Math.min(pauseMs * 2, pauseMaxMs)) {
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
    pending = pending.filter((flight) => !flight.poll());
  }
}
