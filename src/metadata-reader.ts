/**
 * Reads documents, the typed bytes of metadata, and the keys beside them.
 *
 * A checksum has proved the bytes before they come here; what a file's author may have written on
 * purpose under a right checksum is an ERR_CORRUPT, never a wrong read.
 *
 * @module
 */

import { VectorLiteError } from "./errors.ts";
import { Kind, lone } from "./metadata.ts";
import { decoder } from "./utf8.ts";

/** Texts up to this many bytes are remembered: names, and values that many records share. */
const rememberedBytes = 24;

/** Remembered texts; a power of two. Each has one place, which it takes from the one before. */
const places = 1024;

const remembered: string[] = Array(places).fill("");
const rememberedLengths = new Uint8Array(places);
const rememberedUtf8 = new Uint8Array(places * rememberedBytes);

/** Reads what the engine wrote to one buffer. */
export class MetadataReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;
  #end = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** The object of the document in `[start, end)`. */
  document(start: number, end: number): Record<string, unknown> {
    this.#at = start;
    this.#end = end;
    const object: Record<string, unknown> = {};
    while (this.#at < end) {
      const name = this.#text(this.#length());
      const value = this.#value();
      // What an object inherits may be read-only, or a setter, as `__proto__` is.
      if (name in object) {
        Object.defineProperty(object, name, {
          ...{ value, configurable: true, enumerable: true, writable: true },
        });
      } else {
        object[name] = value;
      }
    }
    return object;
  }

  /** The well-formed text in `[start, end)`. */
  text(start: number, end: number): string {
    return decoder.decode(this.#bytes.subarray(start, end));
  }

  #value(): unknown {
    const kind = this.#byte();
    switch (kind) {
      case Kind.NULL:
        return null;
      case Kind.FALSE:
        return false;
      case Kind.TRUE:
        return true;
      case Kind.NUMBER:
        return this.#number();
      case Kind.STRING:
        return this.#text(this.#length());
      case Kind.STRING | lone:
        return this.#loneText(this.#length());
      case Kind.STRINGS:
      case Kind.STRINGS | lone:
        return this.#strings(this.#count(1), kind !== Kind.STRINGS);
      case Kind.NUMBERS:
        return this.#numbers(this.#count(8));
      default:
        throw corrupt(`a value of the unknown kind ${kind}`);
    }
  }

  #strings(count: number, areLone: boolean): string[] {
    const strings: string[] = [];
    for (let index = 0; index < count; index++) {
      const length = this.#length();
      strings.push(areLone ? this.#loneText(length) : this.#text(length));
    }
    return strings;
  }

  #numbers(count: number): number[] {
    const numbers: number[] = [];
    for (let index = 0; index < count; index++) numbers.push(this.#number());
    return numbers;
  }

  #byte(): number {
    if (this.#at >= this.#end) throw corrupt("a field that is cut off");
    return this.#bytes[this.#at++] as number;
  }

  #number(): number {
    const start = this.#at;
    this.#skip(8);
    return this.#view.getFloat64(start, true);
  }

  #skip(length: number): void {
    if (length > this.#end - this.#at) throw corrupt("a field that is cut off");
    this.#at += length;
  }

  /** How many elements follow, each of so many bytes at least. */
  #count(leastBytes: number): number {
    const count = this.#varint();
    if (count * leastBytes > this.#end - this.#at) throw corrupt("an array that is cut off");
    return count;
  }

  /** How many bytes of text follow. */
  #length(): number {
    const first = this.#byte();
    if (first < 0x80) return first;
    this.#at--;
    return this.#varint();
  }

  #varint(): number {
    let value = 0;
    for (let scale = 1; scale <= 0x10000000; scale *= 0x80) {
      const byte = this.#byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    throw corrupt("a length that is too long");
  }

  #text(length: number): string {
    const start = this.#at;
    this.#skip(length);
    if (length > rememberedBytes) return this.text(start, this.#at);
    return length === 0 ? "" : this.#shortText(start, length);
  }

  #shortText(start: number, length: number): string {
    const bytes = this.#bytes;
    let hash = length;
    for (let index = 0; index < length; index++) {
      hash = (Math.imul(hash, 31) + (bytes[start + index] as number)) | 0;
    }
    const place = (hash ^ (hash >>> 10)) & (places - 1);
    const at = place * rememberedBytes;
    if (rememberedLengths[place] === length) {
      let same = 0;
      while (same < length && rememberedUtf8[at + same] === bytes[start + same]) same++;
      if (same === length) return remembered[place] as string;
    }
    const text = this.text(start, start + length);
    rememberedLengths[place] = length;
    for (let index = 0; index < length; index++) {
      rememberedUtf8[at + index] = bytes[start + index] as number;
    }
    remembered[place] = text;
    return text;
  }

  /** UTF-8 in which lone surrogates are encoded as if they were characters. */
  #loneText(length: number): string {
    let at = this.#at;
    this.#skip(length);
    const end = this.#at;
    let text = "";
    let pending = at;
    for (; at + 2 < end; at++) {
      const [first = 0, second = 0, third = 0] = this.#bytes.subarray(at, at + 3);
      if (first !== 0xed || second < 0xa0) continue;
      const unit = 0xd000 | ((second & 0x3f) << 6) | (third & 0x3f);
      text += this.text(pending, at) + String.fromCharCode(unit);
      pending = at + 3;
      at += 2;
    }
    return text + this.text(pending, end);
  }
}

function corrupt(found: string): VectorLiteError {
  return new VectorLiteError(
    "ERR_CORRUPT",
    `The metadata of a record has ${found}: it is damaged, or not of this version.`,
  );
}
