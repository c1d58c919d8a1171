/**
 * Deletes entries whose time is over while nobody writes, so that their space returns without
 * anyone calling anything. It never keeps a process alive, and gives up where the cache is closed.
 *
 * @module
 */

/** Milliseconds between two sweeps, at least and at most. */
const intervalMs: readonly [least: number, most: number] = [1000, 60_000];

/** The sweeps of one namespace. */
export class Sweeper {
  readonly #sweep: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When the last of the entries that this handle wrote is over. */
  #latest = 0;

  constructor(sweep: () => void) {
    this.#sweep = sweep;
  }

  /** Entries will be over at that time. */
  expect(expiry: number): void {
    this.#latest = Math.max(this.#latest, expiry);
    if (this.#timer === undefined) this.#wait(expiry - Date.now());
  }

  #wait(ms: number): void {
    const [least, most] = intervalMs;
    this.#timer = setTimeout(() => this.#run(), Math.min(Math.max(ms, least), most));
    this.#timer.unref?.();
  }

  #run(): void {
    this.#timer = undefined;
    try {
      this.#sweep();
    } catch {
      // Closed, or another process is writing: whoever writes next deletes them too.
      return;
    }
    const left = this.#latest - Date.now();
    if (left > -intervalMs[0]) this.#wait(left);
  }
}
