/**
 * Reads the records that the engine writes to a buffer: for each one the length of its key and of
 * its metadata as little-endian u32, then both.
 *
 * @module
 */

import { MetadataReader } from "./metadata-reader.ts";
import { decoder } from "./utf8.ts";

/** One decoded record without its vector. */
export interface Entry {
  readonly key: string;
  /** `undefined` where it was not asked for. */
  readonly metadata: unknown;
}

/** Decodes `length` bytes of records, in order. */
export function decodeEntries(bytes: Uint8Array, length: number, withMetadata: boolean): Entry[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const reader = new MetadataReader(bytes);
  const entries: Entry[] = [];
  let offset = 0;
  while (offset < length) {
    const keyStart = offset + 8;
    const keyEnd = keyStart + view.getUint32(offset, true);
    const end = keyEnd + view.getUint32(offset + 4, true);
    entries.push({
      key: decoder.decode(bytes.subarray(keyStart, keyEnd)),
      metadata: withMetadata ? reader.document(keyEnd, end) : undefined,
    });
    offset = end;
  }
  return entries;
}

/** Decodes texts that each come after their length as a little-endian u32. */
export function decodeNames(bytes: Uint8Array, length: number): string[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const names: string[] = [];
  let offset = 0;
  while (offset < length) {
    const start = offset + 4;
    const end = start + view.getUint32(offset, true);
    names.push(decoder.decode(bytes.subarray(start, end)));
    offset = end;
  }
  return names;
}
