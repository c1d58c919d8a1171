/**
 * Handles that are not used let go of the file.
 *
 * A reader holds the state that it has read, so that the next read makes no system call. What it
 * holds is room that others need, so who reads no more gives it up soon. One timer asks for all
 * handles of this thread; it holds none of them, and stops when all of them rest.
 *
 * @module
 */

import { native, Status } from "./native/native.ts";

/** How long a handle may hold a state after it was read last, and at most twice that. */
const restDelayMs = 100;

/** What is known of one handle. */
export class Rest {
  readonly #id: number;
  /** Whether it holds nothing. */
  isResting = true;

  /** @param id - The native handle. */
  constructor(id: number) {
    this.#id = id;
  }

  /** It is used from now on. */
  end(): void {
    this.isResting = false;
    awake.add(this);
    if (timer !== undefined) return;
    timer = setInterval(askAll, restDelayMs);
    timer.unref();
  }

  /** Begins where it was not used since this was called last, or is closed. */
  ask(): void {
    this.isResting = native().vl_database_rest(this.#id) !== Status.NOT_FOUND;
    if (this.isResting) awake.delete(this);
  }
}

const awake = new Set<Rest>();
let timer: NodeJS.Timeout | undefined;

function askAll(): void {
  for (const rest of awake) rest.ask();
  if (awake.size > 0) return;
  clearInterval(timer);
  timer = undefined;
}
