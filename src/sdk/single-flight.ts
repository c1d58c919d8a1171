/**
 * Work that several callers want at the same time, done once.
 *
 * Each caller may leave by its own signal. The work is told to stop when the last one has left, and
 * whoever comes then starts it anew.
 *
 * @module
 */

import { VectorLiteError } from "vectorlite";

interface Flight<Result> {
  readonly result: Promise<Result>;
  readonly controller: AbortController;
  /** Callers that wait for it. */
  callers: number;
  isDone: boolean;
}

/** The work under way, by name. */
export class SingleFlight<Result> {
  readonly #flights = new Map<string, Flight<Result>>();
  /** The name of the flight that calls a function of the caller now, until it returns. */
  #calling: string | undefined;
  #joins = 0;

  /** Calls that found the work under way. */
  get joins(): number {
    return this.#joins;
  }

  /** Waits for the work of that name, and starts it where it is not under way. */
  async run(
    name: string,
    work: (signal: AbortSignal) => Promise<Result>,
    signal: AbortSignal | undefined,
  ): Promise<Result> {
    signal?.throwIfAborted();
    const known = this.#flights.get(name);
    if (known !== undefined) {
      if (this.#calling === name) throw waitsForItself();
      this.#joins++;
    }
    const flight = known ?? this.#start(name, work);
    flight.callers++;
    try {
      return await untilAborted(flight.result, signal);
    } finally {
      flight.callers--;
      if (flight.callers === 0 && !flight.isDone) {
        this.#flights.delete(name);
        flight.controller.abort(signal?.reason);
      }
    }
  }

  /** Calls a function of the caller; where that asks for the same name it is told, not hung. */
  call<Value>(name: string, callback: () => Value): Value {
    this.#calling = name;
    try {
      return callback();
    } finally {
      this.#calling = undefined;
    }
  }

  #start(name: string, work: (signal: AbortSignal) => Promise<Result>): Flight<Result> {
    const controller = new AbortController();
    // The flight has its place before anything of the caller runs.
    const result = Promise.resolve().then(() => work(controller.signal));
    const flight: Flight<Result> = { result, controller, callers: 0, isDone: false };
    this.#flights.set(name, flight);
    const land = (): void => {
      flight.isDone = true;
      if (this.#flights.get(name) === flight) this.#flights.delete(name);
    };
    result.then(land, land);
    return flight;
  }
}

function untilAborted<Result>(
  result: Promise<Result>,
  signal: AbortSignal | undefined,
): Promise<Result> {
  if (signal === undefined) return result;
  return new Promise((resolve, reject) => {
    const leave = (): void => reject(signal.reason);
    signal.addEventListener("abort", leave, { once: true });
    const stay = (): void => signal.removeEventListener("abort", leave);
    result.then(resolve, reject).then(stay, stay);
  });
}

function waitsForItself(): VectorLiteError {
  return new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    "compute asked for the prompt that it is computing; it would wait for itself.",
  );
}
