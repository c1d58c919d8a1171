/**
 * Which keys this thread waits for: whoever wants one of them takes a seat beside those who do.
 *
 * @module
 */

import type { Computed } from "./computed.ts";
import { VectorLiteError } from "./errors.ts";
import type { Call } from "./passengers.ts";

/** Keys under way that can be waited for. */
export interface Flight {
  /** The call whose `compute` brings it; `undefined` where another thread's does. */
  readonly call: Call | undefined;
  /** Whether that call has gone; why it fails then may be that call's own affair. */
  readonly isLeft: boolean;
  /** Settles with it. `undefined` where nothing came, though nothing failed here either. */
  readonly landed: Promise<Computed | undefined>;
  /** From now on this call waits for it. */
  join(call: Call): void;
  /** This call waits no longer. `reason` is why it gave up, where it did. */
  leave(call: Call, gaveUp: boolean, reason?: unknown): void;
}

/** One key of a flight: where its vector will be. */
export interface Seat {
  readonly flight: Flight;
  readonly index: number;
}

/** The seats that are taken, by place and key. A place is a namespace of a file. */
const places = new Map<string, Map<string, Seat>>();

/** The call whose `compute` is being called now, until it returns or awaits. */
let calling: Call | undefined;

/** Calls the `compute` of a call, which may not ask for what that call computes. */
export function callFor<Answer>(call: Call, compute: () => Answer): Answer {
  calling = call;
  try {
    return compute();
  } finally {
    calling = undefined;
  }
}

/**
 * The seat of a key that is under way.
 *
 * @throws VectorLiteError ERR_INVALID_ARGUMENT where a `compute` asks for what it computes itself:
 * it would wait for itself for ever.
 */
export function seatOf(place: string, key: string): Seat | undefined {
  const seat = places.get(place)?.get(key);
  if (seat?.flight.call === undefined || seat.flight.call !== calling) return seat;
  throw new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    `compute asked for ${JSON.stringify(key.slice(0, 40))}, which it is computing; it would ` +
      "wait for itself.",
  );
}

/** Takes the seats of the keys of a flight, in their order. */
export function takeSeats(place: string, keys: readonly string[], flight: Flight): void {
  const seats = places.get(place) ?? new Map<string, Seat>();
  places.set(place, seats);
  for (const [index, key] of keys.entries()) seats.set(key, { flight, index });
}

/** Gives up those that the flight still has. */
export function giveUpSeats(place: string, keys: readonly string[], flight: Flight): void {
  const seats = places.get(place);
  if (seats === undefined) return;
  for (const key of keys) if (seats.get(key)?.flight === flight) seats.delete(key);
  if (seats.size === 0) places.delete(place);
}
