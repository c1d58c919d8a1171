/**
 * Writes many records as one atomic batch, in bounded memory.
 *
 * A packed array goes to the engine as it is. A list of vectors has to be packed; beyond a few
 * megabytes that is done in parts inside one transaction, because copying everything first would
 * double the memory of a large import and leave the processor's caches behind.
 *
 * @module
 */

import { checkKeys } from "./keys.ts";
import { Status } from "./native/native.ts";
import type { Records } from "./records.ts";
import { packTexts, releaseTexts } from "./utf8.ts";
import { checkList, isFloat32Array, packVectors, writeVector } from "./vectors.ts";

/** Numbers of one part: 2 MiB, which fits the caches of most processors. */
const partFloats = 1 << 19;

/**
 * Inserts or replaces records. The last of several equal keys wins.
 *
 * @param texts - Metadata as JSON, one for each key; `undefined` where there is none at all.
 */
export function writeMany(
  records: Records,
  keys: readonly string[],
  vectors: unknown,
  texts: readonly string[] | undefined,
): void {
  records.checkWritable();
  checkKeys(keys);
  const count = keys.length;
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

const noTexts = new Uint8Array(1);
const noVectors = new Float32Array(1);

function writePart(
  records: Records,
  keys: readonly string[],
  vectors: Float32Array,
  texts: readonly string[] | undefined,
): void {
  const { native, id, connection } = records;
  const packed = packTexts(keys);
  const metadata = texts === undefined ? undefined : packTexts(texts);
  connection.beforeWrite();
  const status = native.vl_collection_put(
    id,
    packed.bytes,
    packed.bytesLength,
    packed.lengths,
    packed.count,
    vectors.length === 0 ? noVectors : vectors,
    vectors.length,
    metadata?.bytes ?? noTexts,
    metadata?.bytesLength ?? 0,
    metadata?.lengths ?? null,
  );
  releaseTexts(packed);
  if (metadata !== undefined) releaseTexts(metadata);
  if (status !== Status.OK) throw records.failure(status);
  connection.wrote();
}
