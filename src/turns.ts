/**
 * What may wait for the handle waits in order: asynchronous transactions and slices of long work.
 *
 * Who is inside of an asynchronous transaction, and who only runs while it waits, is known by the
 * async context. What tells it costs a fraction of a millisecond to load, so that only who begins
 * such a transaction loads it.
 *
 * @module
 */

import type { AsyncLocalStorage } from "node:async_hooks";

let contexts: AsyncLocalStorage<AsyncTransaction> | undefined;

function asyncContexts(): AsyncLocalStorage<AsyncTransaction> {
  if (contexts !== undefined) return contexts;
  const { AsyncLocalStorage } = process.getBuiltinModule("node:async_hooks");
  contexts = new AsyncLocalStorage<AsyncTransaction>();
  return contexts;
}

/** One asynchronous transaction from its begin to its end: who is inside of it. */
export class AsyncTransaction {
  /** Of another database, that the callback of which began this one. */
  readonly #around: AsyncTransaction | undefined;
  #isOver = false;
  /** Transactions inside that joined it and are not over. */
  #joined = 0;
  #lastLeft: (() => void) | undefined;
  #stop: ((error: unknown) => void) | undefined;

  constructor() {
    let around = asyncContexts().getStore();
    // One that is over says nothing any more, and would be kept by all that come after it.
    while (around?.isOver) around = around.#around;
    this.#around = around;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Whether the code that is running now was started by the callback. */
  get isInside(): boolean {
    if (this.#isOver) return false;
    for (let at = asyncContexts().getStore(); at !== undefined; at = at.#around) {
      if (at === this) return true;
    }
    return false;
  }

  /** Calls `body`, with all that it starts inside. */
  run<Result>(body: () => Result): Result {
    return asyncContexts().run(this, body);
  }

  /** Calls `body` of a transaction inside; this one does not end before it has. */
  async join<Result>(
    body: () => Result | PromiseLike<Result>,
    failed: (error: unknown) => void,
  ): Promise<Result> {
    this.#joined++;
    try {
      return await body();
    } catch (error) {
      failed(error);
      throw error;
    } finally {
      this.#joined--;
      if (this.#joined === 0) this.#lastLeft?.();
    }
  }

  /** Whether some that joined are not over. */
  get hasJoined(): boolean {
    return this.#joined > 0 && !this.#isOver;
  }

  /** Until all that joined are over, or it is stopped. */
  async waitForJoined(): Promise<void> {
    while (this.hasJoined) {
      const left = new Promise<void>((resolve) => {
        this.#lastLeft = resolve;
      });
      await this.waitFor(left);
    }
  }

  /** What `promise` gives, unless the transaction is stopped before. */
  waitFor<Result>(promise: PromiseLike<Result>): Promise<Result> {
    const stopped = new Promise<never>((_, reject) => {
      this.#stop = reject;
    });
    return Promise.race([promise, stopped]);
  }

  /** Nobody is inside any more. */
  end(): void {
    this.#isOver = true;
  }

  /** Ends it before its callback does, and whoever waits for it gets `error`. */
  stop(error: unknown): void {
    this.end();
    this.#stop?.(error);
  }
}

/** Work that is done one after the other, in the order in which it was asked for. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /** Begins `work` when all before it is over, at the earliest when the caller has returned. */
  take<Result>(work: () => Result | PromiseLike<Result>): Promise<Result> {
    const own = this.#last.then(work);
    this.#last = own.catch(() => undefined);
    return own;
  }
}

/** Whether a callback gave a promise or something like it. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  if (typeof value !== "object" || value === null || !("then" in value)) return false;
  return typeof value.then === "function";
}
