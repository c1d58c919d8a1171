/**
 * Writes many records as one atomic batch, in bounded memory.
 *
 * A packed array goes to the engine as it is. A list of vectors has to be packed; beyond a few
 * megabytes that is done in parts inside one transaction, because copying everything first would
 * double the memory of a large import and leave the processor's caches behind.
 *
 * @module
 */

import { invalidArgument } from "./errors.ts";
import { checkKeys } from "./keys.ts";
import { metadataToJson } from "./metadata.ts";
import { Status } from "./native/native.ts";
import { checkArray } from "./options.ts";
import type { Records } from "./records.ts";
import { isFloat32Array } from "./typed-arrays.ts";
import { packTexts, releaseTexts } from "./utf8.ts";
import { checkList, packVectors, writeVector } from "./vectors.ts";

/** Numbers of one part: 2 MiB, which fits the caches of most processors. */
const partFloats = 1 << 19;

/**
 * Inserts or replaces records. The last of several equal keys wins.
 *
 * @param metadatas - One for each key; `undefined` where there is none at all.
 */
export function writeMany(
  records: Records,
  givenKeys: readonly string[],
  vectors: unknown,
  metadatas: unknown,
): void {
  records.checkWritable();
  // Reading what the caller gave may run the caller's code, so only copies are used from here on.
  const keys = checkKeys(givenKeys);
  const count = keys.length;
  const texts = metadataTexts(metadatas, count);
  const { dimension, connection } = records;
  if (isFloat32Array(vectors)) {
    writePart(records, keys, packVectors(vectors, count, dimension, "The vectors"), texts);
    return;
  }
  checkList(vectors, count, "The vectors");
  const partRows = Math.max(1, Math.floor(partFloats / dimension));
  // Within a caller's transaction a failed part could not be taken back by itself.
  if (count <= partRows || connection.inTransaction) {
    writePart(records, keys, packVectors(vectors, count, dimension, "The vectors"), texts);
    return;
  }
  const packed = new Float32Array(partRows * dimension);
  connection.transaction(() => {
    for (let start = 0; start < count; start += partRows) {
      const end = Math.min(start + partRows, count);
      for (let index = start; index < end; index++) {
        const name = `The vectors[${index}]`;
        writeVector(packed, (index - start) * dimension, vectors[index], dimension, name);
      }
      const part = packed.subarray(0, (end - start) * dimension);
      writePart(records, keys.slice(start, end), part, texts?.slice(start, end));
    }
  });
}

/** The JSON of each record's metadata; `undefined` where no record has any. */
function metadataTexts(metadatas: unknown, count: number): string[] | undefined {
  if (metadatas === undefined) return undefined;
  const list = checkArray(metadatas, "The metadatas");
  if (list.length !== count) {
    throw invalidArgument("The metadatas", `an array of ${count}, one for each key`, metadatas);
  }
  const texts = Array.from({ length: count }, (_, index) => metadataToJson(list[index]));
  return texts.some((text) => text !== "") ? texts : undefined;
}

const noTexts = new Uint8Array(1);
const noVectors = new Float32Array(1);

function writePart(
  records: Records,
  keys: readonly string[],
  vectors: Float32Array,
  texts: readonly string[] | undefined,
): void {
  const { native, id, connection } = records;
  const floats = keys.length * records.dimension;
  const packed = packTexts(keys);
  const metadata = texts === undefined ? undefined : packTexts(texts);
  connection.beforeWrite();
  const status = native.vl_collection_put(
    id,
    packed.bytes,
    packed.bytesLength,
    packed.lengths,
    packed.count,
    floats === 0 ? noVectors : vectors,
    floats,
    metadata?.bytes ?? noTexts,
    metadata?.bytesLength ?? 0,
    metadata?.lengths ?? null,
  );
  releaseTexts(packed);
  if (metadata !== undefined) releaseTexts(metadata);
  if (status !== Status.OK) throw records.failure(status);
  connection.wrote();
}
