/**
 * Deletes entries whose time is over while nobody writes, so that their space returns without
 * anyone calling anything. It never keeps a process alive, and gives up where the cache is closed.
 *
 * @module
 */

import { VectorLiteError } from "./errors.ts";

/** Rows that one sweep deletes at most; with so many there are more. */
const sweptMax = 4096;

/** Milliseconds to whatever else there is to do, while there are more. */
const pauseMs = 5;

/** Milliseconds between two sweeps, at least and at most. */
const intervalMs: readonly [least: number, most: number] = [1000, 60_000];

/** The sweeps of one namespace. */
export class Sweeper {
  /** Returns how many it deleted. */
  readonly #sweep: () => number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When the last of the entries that this handle wrote is over. */
  #latest = 0;

  constructor(sweep: () => number) {
    this.#sweep = sweep;
  }

  /** Entries will be over at that time. */
  expect(expiry: number): void {
    this.#latest = Math.max(this.#latest, expiry);
    if (this.#timer === undefined) this.#wait(expiry - Date.now());
  }

  #wait(ms: number): void {
    const [least, most] = intervalMs;
    this.#start(Math.min(Math.max(ms, least), most));
  }

  #start(ms: number): void {
    this.#timer = setTimeout(() => this.#run(), ms);
    this.#timer.unref?.();
  }

  #run(): void {
    this.#timer = undefined;
    try {
      if (this.#sweep() >= sweptMax) {
        this.#start(pauseMs);
        return;
      }
    } catch (error) {
      const isOver = error instanceof VectorLiteError && error.code === "ERR_CLOSED";
      // Else another process is writing, or there is no room; some time later there may be.
      if (!isOver) this.#wait(intervalMs[1]);
      return;
    }
    const left = this.#latest - Date.now();
    if (left > -intervalMs[0]) this.#wait(left);
  }
}
