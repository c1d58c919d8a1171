/**
 * The keys of one call among those that the threads of this process compute: which of them nobody
 * was computing, so that this one does, and which come from another.
 *
 * The library keeps account of it, which a process has once. What a thread was to bring when it was
 * terminated does not come, and the library says so.
 *
 * @module
 */

import type { Computed } from "./computed.ts";
import { Handle } from "./lifetime.ts";
import { type NativeLibrary, processLibrary, Status } from "./native/native.ts";
import { check, failure } from "./status.ts";
import { encoder, packTexts, releaseTexts } from "./utf8.ts";

/** What another thread brought. */
export interface Delivery {
  /** `undefined` where nothing came. */
  readonly computed: Computed | undefined;
  /** Whether the file has it. */
  readonly isStored: boolean;
}

const subject = "The table of what is being computed";

/** Not empty, which `bun:ffi` would refuse. */
const noVectors = new Float32Array(1);

/** One call's seats, each known by the index of its key. */
export class Boarding {
  /** Indexes of the keys that nobody was computing. */
  readonly own: readonly number[];
  /** Indexes of the others. */
  readonly awaited: readonly number[];
  readonly #native: NativeLibrary = processLibrary();
  readonly #handle: Handle;
  /** Seats that are not given up. */
  #left: number;

  /**
   * @param keys - Distinct ones.
   * @throws VectorLiteError ERR_OUT_OF_MEMORY
   */
  constructor(place: string, keys: readonly string[]) {
    const name = encoder.encode(place);
    const packed = packTexts(keys);
    const { bytes, bytesLength, lengths, count } = packed;
    const isPilot = new Uint8Array(Math.max(count, 1));
    const id = new Uint32Array(1);
    const board = this.#native.vl_boarding_open;
    const status = board(name, name.length, bytes, bytesLength, lengths, count, isPilot, id);
    releaseTexts(packed);
    check(status, subject);
    this.#handle = new Handle(id[0] ?? 0, this.#native);
    this.#left = count;
    const indexes = keys.map((_, index) => index);
    this.own = indexes.filter((index) => isPilot[index] === 1);
    this.awaited = indexes.filter((index) => isPilot[index] !== 1);
    if (count === 0) this.close();
  }

  /** Brings what was computed for these of its own keys, or nothing, to whoever waits for it. */
  land(indexes: readonly number[], computed?: Computed, isStored = false): void {
    if (indexes.length === 0) return;
    const vectors = computed?.vectors ?? noVectors;
    const length = computed === undefined ? 0 : vectors.length;
    const words = Uint32Array.from(indexes);
    const land = this.#native.vl_boarding_land;
    check(land(this.#handle.id, words, words.length, vectors, length, isStored ? 1 : 0), subject);
    this.leave(indexes.length);
  }

  /** What came for one of the awaited keys; `undefined` while it is under way. */
  take(index: number): Delivery | undefined {
    const answer = new Uint32Array(2);
    let out = noVectors;
    for (;;) {
      const { vl_boarding_take: take } = this.#native;
      // What all share is no room for a vector, be it of one number.
      const room = out === noVectors ? 0 : out.length;
      const status = take(this.#handle.id, index, out, room, answer);
      const [dimension = 0, stored = 0] = answer;
      if (status === Status.NOT_FOUND) return undefined;
      if (status === Status.BUFFER_TOO_SMALL) {
        out = new Float32Array(dimension);
        continue;
      }
      if (status !== Status.OK) throw failure(status, subject);
      const vectors = out.subarray(0, dimension);
      const computed = dimension === 0 ? undefined : { vectors, dimension, tokens: 0 };
      return { computed, isStored: stored === 1 };
    }
  }

  /** So many seats are given up. */
  leave(seats: number): void {
    this.#left -= seats;
    if (this.#left === 0) this.close();
  }

  /** Gives up all seats: what was to come from here does not. */
  close(): void {
    this.#handle.close();
  }
}
