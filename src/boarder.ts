/**
 * This thread among those of the process that compute: which keys nobody was computing, so that it
 * does, and which come from another.
 *
 * The library keeps account of it, which a process has once. What a thread was to bring when it was
 * terminated does not come, and the library says so.
 *
 * @module
 */

import type { Computed } from "./computed.ts";
import { type NativeLibrary, processLibrary, Status } from "./native/native.ts";
import { check, failure } from "./status.ts";
import { encoder, packTexts, releaseTexts } from "./utf8.ts";

/** Where the keys of one call are computed, each known by its index. */
export interface Boarding {
  /** Indexes of the keys that nobody was computing. */
  readonly own: readonly number[];
  /** Indexes of the others. */
  readonly awaited: readonly number[];
  /** The number of each key's seat. */
  readonly seats: Uint32Array;
}

/** What another thread brought. */
export interface Arrival {
  /** The number of the seat, which is given up. */
  readonly seat: number;
  /** `undefined` where nothing came. */
  readonly computed: Computed | undefined;
  /** Whether the file has it. */
  readonly isStored: boolean;
}

const subject = "The table of what is being computed";

/** Not empty, which `bun:ffi` would refuse; what all share is no room for a vector. */
const noRoom = new Float32Array(1);

/**
 * UTF-16 units that are packed at once. Texts whose hashes are the keys may be long, and more of
 * them than one call takes.
 */
const partUnits = 1 << 22;

/** Where a part of the keys ends that begins at `start`; it has one at least. */
function endOfPart(keys: readonly string[], start: number): number {
  let end = start + 1;
  for (let units = keys[start]?.length ?? 0; end < keys.length; end++) {
    units += keys[end]?.length ?? 0;
    if (units > partUnits) break;
  }
  return end;
}

/** One handle of the library for all calls of the thread: there are 65,535 of them. */
class Boarder {
  readonly #native: NativeLibrary;
  readonly #id: number;
  readonly #answer = new Uint32Array(3);

  /** @throws VectorLiteError ERR_OUT_OF_MEMORY */
  constructor() {
    this.#native = processLibrary();
    const id = new Uint32Array(1);
    check(this.#native.vl_boarder_open(id), subject);
    this.#id = id[0] ?? 0;
  }

  /**
   * Takes a seat for each of these distinct keys.
   *
   * @throws VectorLiteError ERR_OUT_OF_MEMORY, ERR_INVALID_ARGUMENT
   */
  board(place: string, keys: readonly string[]): Boarding {
    const seats = new Uint32Array(keys.length);
    const isPilot = new Uint8Array(keys.length);
    const name = encoder.encode(place);
    for (let start = 0; start < keys.length; ) {
      const end = endOfPart(keys, start);
      try {
        const part = keys.slice(start, end);
        this.#boardPart(name, part, seats.subarray(start), isPilot.subarray(start));
      } catch (error) {
        this.leave(seats.subarray(0, start));
        throw error;
      }
      start = end;
    }
    const own: number[] = [];
    const awaited: number[] = [];
    for (const [index, pilots] of isPilot.entries()) (pilots === 1 ? own : awaited).push(index);
    return { own, awaited, seats };
  }

  #boardPart(
    name: Uint8Array,
    keys: readonly string[],
    seats: Uint32Array,
    isPilot: Uint8Array,
  ): void {
    const packed = packTexts(keys);
    const { bytes, bytesLength, lengths, count } = packed;
    const { vl_boarder_board: board } = this.#native;
    const { length } = name;
    const id = this.#id;
    const status = board(id, name, length, bytes, bytesLength, lengths, count, seats, isPilot);
    releaseTexts(packed);
    check(status, subject);
  }

  /** Brings what was computed for these seats of its own to whoever waits for it. */
  land(seats: Uint32Array, { vectors }: Computed, isStored: boolean): void {
    const { vl_boarder_land: land } = this.#native;
    const status = land(this.#id, seats, seats.length, vectors, vectors.length, isStored ? 1 : 0);
    check(status, subject);
  }

  /** Gives up these seats. What was to come from its own does not. */
  leave(seats: Uint32Array): void {
    if (seats.length > 0) this.#native.vl_boarder_leave(this.#id, seats, seats.length);
  }

  /** Gives up an awaited seat; whoever wants its key from now on computes it anew. */
  overtake(seat: number): void {
    this.#native.vl_boarder_overtake(this.#id, seat);
  }

  /** Something that came for a seat that is not its own; `undefined` while nothing has. */
  take(): Arrival | undefined {
    const answer = this.#answer;
    const { vl_boarder_take: take } = this.#native;
    let out = noRoom;
    let status = take(this.#id, out, 0, answer);
    if (status === Status.BUFFER_TOO_SMALL) {
      out = new Float32Array(answer[1] ?? 0);
      status = take(this.#id, out, out.length, answer);
    }
    if (status === Status.NOT_FOUND) return undefined;
    if (status !== Status.OK) throw failure(status, subject);
    const [seat = 0, dimension = 0, stored = 0] = answer;
    const computed = dimension === 0 ? undefined : { vectors: out, dimension, tokens: 0 };
    return { seat, computed, isStored: stored === 1 };
  }
}

let boarder: Boarder | undefined;

/** That of this thread. It is closed when the thread ends. */
export function boarderOfThread(): Boarder {
  boarder ??= new Boarder();
  return boarder;
}
