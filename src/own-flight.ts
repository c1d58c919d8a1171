/**
 * One call of a caller's `compute`, and everybody who waits for it.
 *
 * While a flight is under way, whoever in this thread wants one of its keys joins it, also through
 * another handle of the same file; other threads get what it brings. It is called off when the last
 * of this thread has given up; when it fails, nothing of it is stored, and the next caller starts a
 * new one.
 *
 * @module
 */

import { boarderOfThread } from "./boarder.ts";
import { checkStorable, type Computed, readComputed } from "./computed.ts";
import { type Call, Passengers } from "./passengers.ts";
import { callFor, type Flight, giveUpSeats, takeSeats } from "./seats.ts";
import type { ComputeMany } from "./types.ts";
import { untilAborted } from "./until-aborted.ts";

/** One batch of distinct keys. */
export class OwnFlight implements Flight {
  readonly call: Call;
  readonly landed: Promise<Computed>;
  readonly #place: string;
  readonly #keys: readonly string[];
  readonly #seats: Uint32Array;
  readonly #passengers = new Passengers();
  readonly #cancelled = new AbortController();
  #land!: (computed: Computed) => void;
  #fail!: (error: unknown) => void;
  #isFlying = false;
  #isLeft = false;
  #hasSeats = true;

  /** @param seats - The numbers of the seats of its keys, which this thread's boarder has. */
  constructor(call: Call, place: string, keys: readonly string[], seats: Uint32Array) {
    this.call = call;
    this.#place = place;
    this.#keys = keys;
    this.#seats = seats;
    this.landed = new Promise((resolve, reject) => {
      this.#land = resolve;
      this.#fail = reject;
    });
    // Who waits hears of a failure; that nobody may is no accident.
    this.landed.catch(() => undefined);
    takeSeats(place, keys, this);
  }

  get isLeft(): boolean {
    return this.#isLeft;
  }

  join(call: Call): void {
    this.#passengers.join(call);
  }

  leave(call: Call, gaveUp: boolean, reason?: unknown): void {
    this.#passengers.leave(call);
    if (call === this.call) this.#isLeft = true;
    if (!this.#passengers.isEmpty) return;
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
    if (this.#passengers.isEmpty) return true;
    this.#isFlying = true;
    try {
      const answer = await untilAborted(this.#ask(compute), this.#cancelled.signal);
      const { dimension } = this.call.namespace;
      const computed = readComputed(answer, this.#keys.length, dimension);
      const isStored = this.#passengers.keep(this.#keys, computed, this.call);
      if (!isStored) checkStorable(computed);
      this.call.onComputed(this.#keys, computed);
      this.#giveUpSeats(computed, isStored);
      this.#land(computed);
      return true;
    } catch (error) {
      this.#giveUpSeats();
      this.#fail(error);
      return false;
    } finally {
      this.#isFlying = false;
    }
  }

  #ask(compute: ComputeMany): ReturnType<ComputeMany> {
    const { signal } = this.#cancelled;
    return callFor(this.call, () => compute([...this.#keys], { signal }));
  }

  /** Other threads get what was computed, or hear that nothing was. */
  #giveUpSeats(computed?: Computed, isStored = false): void {
    if (!this.#hasSeats) return;
    this.#hasSeats = false;
    giveUpSeats(this.#place, this.#keys, this);
    if (computed === undefined) boarderOfThread().leave(this.#seats);
    else boarderOfThread().land(this.#seats, computed, isStored);
  }
}
