/**
 * Waiting that a signal ends.
 *
 * @module
 */

/** What `result` becomes, or the reason of the signal as soon as it is aborted. */
export function untilAborted<Result>(
  result: Promise<Result>,
  signal: AbortSignal | undefined,
): Promise<Result> {
  if (signal === undefined) return result;
  return new Promise((resolve, reject) => {
    const leave = (): void => reject(signal.reason);
    if (signal.aborted) leave();
    signal.addEventListener("abort", leave, { once: true });
    const stay = (): void => signal.removeEventListener("abort", leave);
    result.then(resolve, reject).then(stay, stay);
  });
}
