/**
 * Waiting that a signal ends.
 *
 * @module
 */

import { invalidArgument } from "./errors.ts";

/**
 * A signal of the caller's, or none.
 *
 * @throws VectorLiteError ERR_INVALID_ARGUMENT, or the reason of a signal that is aborted already
 */
export function checkSignal(signal: unknown): AbortSignal | undefined {
  if (signal === undefined) return undefined;
  if (!(signal instanceof AbortSignal)) throw invalidArgument("signal", "an AbortSignal", signal);
  signal.throwIfAborted();
  return signal;
}

/** What `value` becomes, or the reason of the signal as soon as it is aborted. */
export function untilAborted<Value>(
  value: Value | PromiseLike<Value>,
  signal: AbortSignal,
): Promise<Value> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
    const forget = (): void => signal.removeEventListener("abort", stop);
    Promise.resolve(value).then(
      (settled) => {
        forget();
        resolve(settled);
      },
      (error) => {
        forget();
        reject(error);
      },
    );
  });
}
