/**
 * Texts to UTF-8 for the engine, and back.
 *
 * Several texts cross the boundary as all bytes one after the other and a length for each. The
 * buffer is lent and given back, so that a batch inside a batch (a getter in a caller's array)
 * gets its own.
 *
 * @module
 */

import { VectorLiteError } from "./errors.ts";

/** Texts of one batch may have this many UTF-16 units: lengths cross the boundary as u32. */
const batchUnitsMax = 1 << 28;

/** A buffer of this size is kept for the next batch; larger ones are given back. */
const keptBytes = 1 << 18;

export const encoder: TextEncoder = new TextEncoder();

/** Keeps a byte order mark, which may well be part of a key. */
export const decoder: TextDecoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Texts as the engine takes them. Never empty arrays: `bun:ffi` refuses those. */
export interface PackedTexts {
  readonly bytes: Uint8Array;
  readonly bytesLength: number;
  readonly lengths: Uint32Array;
  readonly count: number;
}

let spare: Uint8Array | undefined;

/**
 * Packs texts without looking at them. Hand the result to {@link releaseTexts} after the call.
 *
 * @throws VectorLiteError ERR_INVALID_ARGUMENT where a batch is too large for one call.
 */
export function packTexts(texts: readonly string[]): PackedTexts {
  const count = texts.length;
  const lengths = new Uint32Array(Math.max(count, 1));
  let units = 0;
  for (let index = 0; index < count; index++) {
    const length = texts[index]?.length ?? 0;
    lengths[index] = length;
    units += length;
  }
  if (units > batchUnitsMax) {
    throw new VectorLiteError(
      "ERR_INVALID_ARGUMENT",
      `The texts of one batch have ${units} characters; split it into batches of at most ` +
        `${batchUnitsMax}.`,
    );
  }
  const bytes = take(units * 3);
  // As many bytes as UTF-16 units means ASCII: then the lengths are right already.
  const { written } = encoder.encodeInto(texts.join(""), bytes);
  if (written === units) return { bytes, bytesLength: units, lengths, count };
  return { bytes, bytesLength: encodeEach(texts, bytes, lengths), lengths, count };
}

/** Gives the buffer back for the next batch. */
export function releaseTexts(packed: PackedTexts): void {
  if (packed.bytes.length === keptBytes) spare = packed.bytes;
}

function take(bytes: number): Uint8Array {
  const kept = spare;
  if (bytes > keptBytes || kept === undefined) return new Uint8Array(Math.max(bytes, keptBytes));
  spare = undefined;
  return kept;
}

function encodeEach(texts: readonly string[], bytes: Uint8Array, lengths: Uint32Array): number {
  let offset = 0;
  for (let index = 0; index < texts.length; index++) {
    const { written } = encoder.encodeInto(texts[index] ?? "", bytes.subarray(offset));
    lengths[index] = written;
    offset += written;
  }
  return offset;
}
