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
import { type Documents, releaseDocuments, writeDocuments } from "./metadata.ts";
import { Status } from "./native/native.ts";
import type { Records, RowFacts } from "./records.ts";
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
  facts?: RowFacts,
): void {
  records.checkWritable();
  // Reading what the caller gave may run the caller's code, so only copies are used from here on.
  const keys = checkKeys(givenKeys);
  const documents = writeDocuments(metadatas, keys.length);
  writeVectors(records, keys, vectors, documents, facts);
  if (documents !== undefined) releaseDocuments(documents);
}

/** The same of vectors and metadata that were copied already. */
export function writeCopies(
  records: Records,
  givenKeys: readonly string[],
  packed: Float32Array,
  documents: Documents,
): void {
  records.checkWritable();
  writeVectors(records, checkKeys(givenKeys), packed, documents);
}

function writeVectors(
  records: Records,
  keys: readonly string[],
  vectors: unknown,
  documents: Documents | undefined,
  facts?: RowFacts,
): void {
  const { dimension, connection } = records;
  const count = keys.length;
  if (isFloat32Array(vectors)) {
    const packed = packVectors(vectors, count, dimension, "The vectors");
    writePart(records, keys, packed, partOf(documents, 0, count, 0), facts);
    return;
  }
  checkList(vectors, count, "The vectors");
  const partRows = Math.max(1, Math.floor(partFloats / dimension));
  // Within a caller's transaction a failed part could not be taken back by itself, and within any
  // transaction a file that may not grow has no room that deleting makes.
  if (count <= partRows || connection.inTransaction || connection.isBounded) {
    const packed = packVectors(vectors, count, dimension, "The vectors");
    writePart(records, keys, packed, partOf(documents, 0, count, 0), facts);
    return;
  }
  const packed = new Float32Array(partRows * dimension);
  connection.transaction(() => {
    let documentsAt = 0;
    for (let start = 0; start < count; start += partRows) {
      const end = Math.min(start + partRows, count);
      for (let index = start; index < end; index++) {
        const name = `The vectors[${index}]`;
        writeVector(packed, (index - start) * dimension, vectors[index], dimension, name);
      }
      const part = packed.subarray(0, (end - start) * dimension);
      const metadata = partOf(documents, start, end, documentsAt);
      writePart(records, keys.slice(start, end), part, metadata, factsOf(facts, start, end));
      documentsAt += metadata?.bytesLength ?? 0;
    }
  });
}

/** Those of the rows in `[start, end)`. */
function factsOf(facts: RowFacts | undefined, start: number, end: number): RowFacts | undefined {
  if (facts === undefined) return undefined;
  return {
    expiries: facts.expiries?.subarray(start, end),
    costs: facts.costs?.subarray(start, end),
  };
}

/** The documents of some rows, as the engine takes them. */
interface DocumentsPart {
  readonly bytes: Uint8Array;
  readonly bytesLength: number;
  readonly lengths: Uint32Array;
}

/** Those of the rows in `[start, end)`, the first of which begins at `bytesAt`. */
function partOf(
  documents: Documents | undefined,
  start: number,
  end: number,
  bytesAt: number,
): DocumentsPart | undefined {
  if (documents === undefined) return undefined;
  const lengths = documents.lengths.subarray(start, end);
  let bytesLength = 0;
  for (const length of lengths) bytesLength += length;
  if (bytesLength === 0) return undefined;
  const bytes = documents.writer.bytes.subarray(bytesAt, bytesAt + bytesLength);
  return { bytes, bytesLength, lengths };
}

const noBytes = new Uint8Array(1);
const noVectors = new Float32Array(1);

function writePart(
  records: Records,
  keys: readonly string[],
  vectors: Float32Array,
  metadata: DocumentsPart | undefined,
  facts: RowFacts | undefined,
): void {
  const { native, id, connection } = records;
  const floats = keys.length * records.dimension;
  const packed = packTexts(keys);
  connection.beforeWrite();
  const status = native.vl_collection_put(
    id,
    packed.bytes,
    packed.bytesLength,
    packed.lengths,
    packed.count,
    floats === 0 ? noVectors : vectors,
    floats,
    metadata?.bytes ?? noBytes,
    metadata?.bytesLength ?? 0,
    metadata?.lengths ?? null,
    facts?.expiries ?? null,
    facts?.costs ?? null,
  );
  releaseTexts(packed);
  if (status !== Status.OK) throw records.failure(status);
  connection.wrote();
}
