/**
 * Work that several callers want at the same time, done once.
 *
 * Each caller may leave by its own signal. The work is told to stop when the last one has left, and
 * whoever comes then starts it anew. So do those who waited where it failed after the one who
 * started it had left: that may be all that made it fail.
 *
 * @module
 */

import { VectorLiteError } from "vectorlite";
import { untilAborted } from "./until-aborted.ts";

/** What one caller wants of the work. */
export interface Wish {
  /** Leaves when it is aborted. */
  readonly signal: AbortSignal | undefined;
  /** Milliseconds that the result is to be kept. */
  readonly ttl: number;
}

/** What the work is told. */
export interface UnderWay {
  /** Aborted when nobody waits any more. */
  readonly signal: AbortSignal;
  /** The longest that was wished so far. */
  readonly ttl: number;
}

interface Flight<Result> {
  readonly result: Promise<Result>;
  readonly controller: AbortController;
  /** That of the caller who started it. */
  readonly startedBy: AbortSignal | undefined;
  readonly underWay: { readonly signal: AbortSignal; ttl: number };
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
    work: (underWay: UnderWay) => Promise<Result>,
    wish: Wish,
  ): Promise<Result> {
    for (;;) {
      wish.signal?.throwIfAborted();
      const known = this.#flights.get(name);
      if (known !== undefined) {
        if (this.#calling === name) throw waitsForItself();
        this.#joins++;
      }
      const flight = known ?? this.#start(name, work, wish);
      flight.underWay.ttl = Math.max(flight.underWay.ttl, wish.ttl);
      try {
        return await this.#wait(name, flight, wish.signal);
      } catch (error) {
        const isOwn = known === undefined;
        if (isOwn || wish.signal?.aborted || !flight.startedBy?.aborted) throw error;
      }
    }
  }

  async #wait(
    name: string,
    flight: Flight<Result>,
    signal: AbortSignal | undefined,
  ): Promise<Result> {
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

  #start(
    name: string,
    work: (underWay: UnderWay) => Promise<Result>,
    { signal: startedBy, ttl }: Wish,
  ): Flight<Result> {
    const controller = new AbortController();
    const underWay = { signal: controller.signal, ttl };
    // The flight has its place before anything of the caller runs.
    const result = Promise.resolve().then(() => work(underWay));
    const flight = { result, controller, startedBy, underWay, callers: 0, isDone: false };
    this.#flights.set(name, flight);
    const land = (): void => {
      flight.isDone = true;
      if (this.#flights.get(name) === flight) this.#flights.delete(name);
    };
    result.then(land, land);
    return flight;
  }
}

function waitsForItself(): VectorLiteError {
  return new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    "compute asked for the prompt that it is computing; it would wait for itself.",
  );
}
