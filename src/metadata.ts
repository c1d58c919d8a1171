/**
 * Metadata objects to documents, the typed bytes in which the engine keeps them.
 *
 * What goes in comes out again, field by field: values that a document cannot hold (NaN,
 * `undefined`, dates, nested objects, symbols) are refused by name. The bytes are those of
 * docs/file-format.md.
 *
 * @module
 */

import { type ByteWriter, releaseWriter, takeWriter } from "./byte-writer.ts";
import { invalidArgument, shorten } from "./errors.ts";
import { checkArray, isPlainObject } from "./options.ts";

/** What a value is, in one byte. */
export const Kind = {
  NULL: 0,
  FALSE: 1,
  TRUE: 2,
  NUMBER: 3,
  STRING: 4,
  STRINGS: 5,
  NUMBERS: 6,
} as const;

/** Added to the kind of a string or of strings that have lone surrogates. */
export const lone = 0x80;

/** Rows whose documents say how large the others will be. */
const sampleRows = 64;

/** The documents of a batch, one after the other. Hand them to {@link releaseDocuments}. */
export interface Documents {
  readonly writer: ByteWriter;
  /** Bytes of each document. */
  readonly lengths: Uint32Array;
}

/**
 * The documents of a batch, or `undefined` where there is nothing to store.
 *
 * @param metadatas - One for each key, or `undefined` where there is none at all.
 * @throws VectorLiteError ERR_INVALID_ARGUMENT naming the field.
 */
export function writeDocuments(metadatas: unknown, count: number): Documents | undefined {
  if (metadatas === undefined) return undefined;
  const list = checkArray(metadatas, "The metadatas");
  if (list.length !== count) {
    throw invalidArgument("The metadatas", `an array of ${count}, one for each key`, metadatas);
  }
  const writer = takeWriter();
  const lengths = new Uint32Array(Math.max(count, 1));
  for (let index = 0; index < count; index++) {
    const start = writer.length;
    writeDocument(writer, list[index]);
    lengths[index] = writer.length - start;
    if (index === sampleRows) {
      writer.expect(Math.ceil(((writer.length * 1.1) / index) * (count - index)));
    }
  }
  if (writer.length > 0) return { writer, lengths };
  releaseWriter(writer);
  return undefined;
}

/** Gives the buffer back for the next batch. */
export function releaseDocuments(documents: Documents): void {
  releaseWriter(documents.writer);
}

/**
 * Writes one document: no bytes where there is nothing to store.
 *
 * @throws VectorLiteError ERR_INVALID_ARGUMENT naming the field.
 */
export function writeDocument(writer: ByteWriter, metadata: unknown): void {
  if (metadata === undefined) return;
  if (!isPlainObject(metadata)) {
    throw invalidArgument("metadata", "a plain object", metadata);
  }
  if (inheritsNothing(metadata)) {
    // Much faster than a list of the names.
    for (const field in metadata) writeField(writer, field, metadata[field]);
  } else {
    for (const field of Object.keys(metadata)) writeField(writer, field, metadata[field]);
  }
  const [symbol] = Object.getOwnPropertySymbols(metadata);
  if (symbol !== undefined) {
    throw invalidArgument("A field of metadata", "named by a string", symbol);
  }
}

/** Whether `for in` finds the object's own fields only. */
function inheritsNothing(metadata: object): boolean {
  if (Object.getPrototypeOf(metadata) !== Object.prototype) return false;
  for (const _ in Object.prototype) return false;
  return true;
}

function writeField(writer: ByteWriter, field: string, value: unknown): void {
  if (writer.name(field)) {
    throw invalidArgument("A field of metadata", "named without lone surrogates", field);
  }
  if (!writeScalar(writer, value)) writeArray(writer, value, field);
}

/**
 * Writes the kind and the value of null, a boolean, a finite number or a string.
 *
 * @returns `false`, and nothing written, where the value is none of these.
 */
export function writeScalar(writer: ByteWriter, value: unknown): boolean {
  switch (typeof value) {
    case "string":
      writeString(writer, value);
      return true;
    case "number":
      if (!Number.isFinite(value)) return false;
      writer.byte(Kind.NUMBER);
      writer.number(value);
      return true;
    case "boolean":
      writer.byte(value ? Kind.TRUE : Kind.FALSE);
      return true;
    default:
      if (value !== null) return false;
      writer.byte(Kind.NULL);
      return true;
  }
}

function writeString(writer: ByteWriter, value: string): void {
  const kindAt = writer.length;
  writer.byte(Kind.STRING);
  if (writer.text(value)) writer.bytes[kindAt] = Kind.STRING | lone;
}

function writeArray(writer: ByteWriter, value: unknown, field: string): void {
  if (typeof value === "number") throw invalidArgument(pathOf(field), "a finite number", value);
  if (!Array.isArray(value)) {
    throw invalidArgument(
      pathOf(field),
      "a string, a finite number, a boolean, null, or an array of strings or of numbers",
      value,
    );
  }
  // Reading an element may run the caller's code, which may change the array.
  const elements: unknown[] = [];
  const count = value.length;
  for (let index = 0; index < count; index++) elements.push(value[index]);
  if (typeof elements[0] === "number") writeNumbers(writer, elements, field);
  else writeStrings(writer, elements, field);
}

function writeNumbers(writer: ByteWriter, elements: readonly unknown[], field: string): void {
  writer.byte(Kind.NUMBERS);
  writer.varint(elements.length);
  for (let index = 0; index < elements.length; index++) {
    const element = elements[index];
    if (typeof element !== "number") throw mixed(field, index, "number", element);
    if (!Number.isFinite(element)) {
      throw invalidArgument(pathOf(field, index), "a finite number", element);
    }
    writer.number(element);
  }
}

function writeStrings(writer: ByteWriter, elements: readonly unknown[], field: string): void {
  const kindAt = writer.length;
  writer.byte(Kind.STRINGS);
  writer.varint(elements.length);
  let isLone = false;
  for (let index = 0; index < elements.length; index++) {
    const element = elements[index];
    if (typeof element === "string") isLone = writer.text(element) || isLone;
    else if (index > 0) throw mixed(field, index, "string", element);
    else throw invalidArgument(pathOf(field, 0), "a string or a finite number", element);
  }
  if (isLone) writer.bytes[kindAt] = Kind.STRINGS | lone;
}

function mixed(field: string, index: number, kind: string, found: unknown): Error {
  return invalidArgument(pathOf(field, index), `a ${kind} like the ones before it`, found);
}

/** What an error calls a value, or an element of it. */
function pathOf(field: string, index?: number): string {
  const path = `metadata.${shorten(field)}`;
  return index === undefined ? path : `${path}[${index}]`;
}
