/**
 * Bytes that grow: what documents of metadata and filters are written into.
 *
 * Text is UTF-8. Half a character, which UTF-8 cannot hold, is written as if it were a whole one
 * (WTF-8), and whoever writes it is told.
 *
 * @module
 */

import { VectorLiteError } from "./errors.ts";
import { newArray } from "./typed-arrays.ts";
import { encoder } from "./utf8.ts";

/** Bytes of a new writer. */
const firstBytes = 1 << 12;

/** A writer of this size is kept for the next batch; larger ones are given back. */
const keptBytes = 1 << 20;

/** Bytes of one writer at most: lengths cross the boundary as u32. */
const bytesMax = 1 << 30;

/** Texts up to this many units are copied one by one, which is faster than asking the encoder. */
const shortUnits = 24;

/** A name with its length before it, in words of four bytes, the last of them filled up. */
interface Name {
  readonly bytes: number;
  readonly words: Uint32Array;
}

/** Encoded names, for as long as they are few. */
const names = new Map<string, Name>();
const namesMax = 1024;

/** Longer names are not kept. */
const keptNameUnits = 128;

/** A buffer that grows as it is written to. */
export class ByteWriter {
  bytes: Uint8Array = new Uint8Array(firstBytes);
  /** Bytes written. */
  length = 0;
  #view = new DataView(this.bytes.buffer);

  /** Makes room for so many bytes more at once, instead of doubling again and again. */
  expect(bytes: number): void {
    this.#reserve(Math.min(bytes, bytesMax - this.length));
  }

  byte(value: number): void {
    this.#reserve(1);
    this.bytes[this.length++] = value;
  }

  /** An unsigned LEB128 of an integer below 2^32. */
  varint(value: number): void {
    this.#reserve(5);
    this.#varint(value);
  }

  /** A double. */
  number(value: number): void {
    this.#reserve(8);
    this.#view.setFloat64(this.length, value, true);
    this.length += 8;
  }

  /**
   * The length of a text as a varint, and the text.
   *
   * @returns Whether it has lone surrogates.
   */
  text(text: string): boolean {
    const units = text.length;
    this.#reserve(units * 3 + 5);
    if (units > shortUnits) return this.#longText(text);
    const { bytes } = this;
    const start = this.length + 1;
    for (let index = 0; index < units; index++) {
      const unit = text.charCodeAt(index);
      if (unit > 0x7f) return this.#longText(text);
      bytes[start + index] = unit;
    }
    bytes[start - 1] = units;
    this.length = start + units;
    return false;
  }

  /**
   * The name of a field: a text that is written again and again.
   *
   * @returns Whether it has lone surrogates, which no name may have.
   */
  name(name: string): boolean {
    const known = names.get(name);
    if (known === undefined) return this.#newName(name);
    const { bytes, words } = known;
    this.#reserve(bytes + 3);
    const view = this.#view;
    const at = this.length;
    for (let index = 0; index < words.length; index++) {
      view.setUint32(at + index * 4, words[index] as number, true);
    }
    this.length = at + bytes;
    return false;
  }

  #newName(name: string): boolean {
    const start = this.length;
    const isLone = this.text(name);
    if (isLone || name.length > keptNameUnits) return isLone;
    if (names.size >= namesMax) names.clear();
    const bytes = this.length - start;
    // The last word may read beyond the name, and what is there is overwritten later.
    this.#reserve(3);
    const words = Uint32Array.from({ length: (bytes + 3) >>> 2 }, (_, index) =>
      this.#view.getUint32(start + index * 4, true),
    );
    names.set(name, { bytes, words });
    return false;
  }

  #longText(text: string): boolean {
    const units = text.length;
    const sizeBytes = varintBytes(units);
    const start = this.length + sizeBytes;
    let { written } = encoder.encodeInto(text, this.bytes.subarray(start));
    // As many bytes as UTF-16 units means ASCII, which needs no further look.
    const isLone = written !== units && !text.isWellFormed();
    if (isLone) written = writeWtf8(text, this.bytes, start);
    const shift = varintBytes(written) - sizeBytes;
    if (shift > 0) this.bytes.copyWithin(start + shift, start, start + written);
    this.#varint(written);
    this.length += written;
    return isLone;
  }

  #varint(value: number): void {
    let rest = value;
    while (rest > 0x7f) {
      this.bytes[this.length++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.bytes[this.length++] = rest;
  }

  #reserve(bytes: number): void {
    if (this.length + bytes > this.bytes.length) this.#grow(this.length + bytes);
  }

  #grow(least: number): void {
    if (least > bytesMax) {
      throw new VectorLiteError(
        "ERR_INVALID_ARGUMENT",
        `The metadata of one call may take ${least} bytes; split it into calls of at most ` +
          `${bytesMax}.`,
      );
    }
    const grown = newArray(Uint8Array, Math.min(Math.max(least, this.bytes.length * 2), bytesMax));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}

let spare: ByteWriter | undefined;

/**
 * An empty writer. Hand it to {@link releaseWriter} when its bytes are no longer needed: what is
 * written may run the caller's code, and a call from within it gets a writer of its own.
 */
export function takeWriter(): ByteWriter {
  const writer = spare ?? new ByteWriter();
  spare = undefined;
  writer.length = 0;
  return writer;
}

/** Keeps a writer for the next call, unless it has grown large. */
export function releaseWriter(writer: ByteWriter): void {
  if (writer.bytes.length <= keptBytes) spare = writer;
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) bytes++;
  return bytes;
}

/** UTF-8, and each lone surrogate as if it were a character. Returns how many bytes. */
function writeWtf8(text: string, bytes: Uint8Array, start: number): number {
  let at = start;
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    if (code < 0x80) {
      bytes[at++] = code;
      continue;
    }
    const size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (let index = size - 1; index > 0; index--) {
      bytes[at + index] = 0x80 | ((code >>> (6 * (size - 1 - index))) & 0x3f);
    }
    bytes[at] = ((0xf00 >>> size) & 0xff) | (code >>> (6 * (size - 1)));
    at += size;
  }
  return at - start;
}
