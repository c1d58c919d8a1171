/**
 * Many records in and out of a collection as streams: in batches, with turns of the event loop
 * between them, never more in memory than a batch.
 *
 * @module
 */

import { type ByteWriter, takeWriter } from "./byte-writer.ts";
import { ImportError, invalidArgument, VectorLiteError } from "./errors.ts";
import { type CompiledFilter, filterOption } from "./filter-compiler.ts";
import { releaseDocuments, writeDocument } from "./metadata.ts";
import { checkFunction, checkOptions, integerOption, type Known } from "./options.ts";
import type { Records } from "./records.ts";
import { pagesOfSnapshot } from "./scan.ts";
import type {
  ExportOptions,
  ImportOptions,
  ImportResult,
  Include,
  NewRecord,
  StoredRecord,
  TransferProgress,
} from "./types.ts";
import { writeVector } from "./vectors.ts";
import { writeCopies } from "./write.ts";

const batchSizeMax = 1_000_000;

const batchSizeDefault = 1000;

/** A batch ends with the record whose vector and metadata bring it to so much. */
const batchBytes = 4 << 20;

const knownImportOptions: Known = { batchSize: true, onProgress: true, signal: true };

const knownExportOptions: Known = {
  batchSize: true,
  filter: true,
  include: true,
  onProgress: true,
  signal: true,
};

type OnProgress = ((progress: TransferProgress) => unknown) | undefined;

/** What import and export have in common. */
interface Plan {
  readonly batchSize: number;
  readonly onProgress: OnProgress;
  readonly signal: AbortSignal | undefined;
}

function checkPlan(given: ImportOptions, dimension: number): Plan {
  const { onProgress, signal } = given;
  if (onProgress !== undefined) checkFunction(onProgress, "onProgress");
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw invalidArgument("signal", "an AbortSignal", signal);
  }
  const inBytes = Math.floor(batchBytes / (dimension * Float32Array.BYTES_PER_ELEMENT));
  const fallback = Math.max(1, Math.min(batchSizeDefault, inBytes));
  const batchSize = integerOption(given.batchSize, "batchSize", {
    min: 1,
    max: batchSizeMax,
    fallback,
  });
  return { batchSize, onProgress, signal };
}

const eventLoop = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Where the records of an import come from. */
export type RecordSource = Iterable<NewRecord<unknown>> | AsyncIterable<NewRecord<unknown>>;

/**
 * Writes all that `source` gives.
 *
 * @param checkRecord - Refuses what is no record.
 */
export async function importRecords(
  records: Records,
  source: RecordSource,
  options: ImportOptions | undefined,
  checkRecord: (record: unknown, index: number) => NewRecord<unknown>,
): Promise<ImportResult> {
  const given = checkOptions(options, knownImportOptions, "import()");
  const plan = checkPlan(given, records.dimension);
  const isSource = typeof source === "object" && source !== null;
  if (!isSource || !(Symbol.asyncIterator in source || Symbol.iterator in source)) {
    throw invalidArgument("The source of an import", "an iterable or async iterable", source);
  }
  records.checkWritable();
  records.checkOpen();
  records.connection.checkNotSynchronous();
  const batch = new Batch(records, plan, checkRecord);
  try {
    if (Symbol.asyncIterator in source) {
      for await (const record of source) if (batch.add(record)) await batch.write();
    } else {
      for (const record of source) if (batch.add(record)) await batch.write();
    }
    await batch.write();
  } catch (error) {
    throw batch.failed(error);
  }
  return { records: batch.written };
}

/** Records on their way in: copied when they are pulled, written together. */
class Batch {
  readonly #records: Records;
  readonly #plan: Plan;
  readonly #checkRecord: (record: unknown, index: number) => NewRecord<unknown>;
  #packed: Float32Array;
  #keys: string[] = [];
  #documents: ByteWriter = takeWriter();
  #lengths: number[] = [];
  /** What the caller's `onProgress` threw. */
  #stopped: { readonly error: unknown } | undefined;
  /** Records in whole batches that are written. */
  written = 0;

  constructor(
    records: Records,
    plan: Plan,
    checkRecord: (record: unknown, index: number) => NewRecord<unknown>,
  ) {
    this.#records = records;
    this.#plan = plan;
    this.#checkRecord = checkRecord;
    // It grows with the batch: a source may have less.
    this.#packed = new Float32Array(records.dimension);
    plan.signal?.throwIfAborted();
  }

  /** True where the batch is full. */
  add(given: unknown): boolean {
    this.#plan.signal?.throwIfAborted();
    const index = this.written + this.#keys.length;
    const { key, vector, metadata } = this.#checkRecord(given, index);
    const { dimension } = this.#records;
    const at = this.#keys.length * dimension;
    if (at === this.#packed.length) this.#grow();
    writeVector(this.#packed, at, vector, dimension, `records[${index}].vector`);
    const documentsAt = this.#documents.length;
    writeDocument(this.#documents, metadata);
    this.#lengths.push(this.#documents.length - documentsAt);
    this.#keys.push(key);
    const bytes = (at + dimension) * Float32Array.BYTES_PER_ELEMENT + this.#documents.length;
    return this.#keys.length === this.#plan.batchSize || bytes >= batchBytes;
  }

  #grow(): void {
    const larger = new Float32Array(this.#packed.length * 2);
    larger.set(this.#packed);
    this.#packed = larger;
  }

  /** One transaction, when its turn comes; inside of another one it is a part of that. */
  async write(): Promise<void> {
    const { onProgress, signal } = this.#plan;
    const records = this.#records;
    const keys = this.#keys;
    if (keys.length === 0) return;
    const documents = { writer: this.#documents, lengths: Uint32Array.from(this.#lengths) };
    const vectors = this.#packed.subarray(0, keys.length * records.dimension);
    await records.connection.transactionAsync(() => {
      signal?.throwIfAborted();
      writeCopies(records, keys, vectors, documents);
    });
    releaseDocuments(documents);
    this.#documents = takeWriter();
    this.#keys = [];
    this.#lengths = [];
    this.written += keys.length;
    try {
      await onProgress?.({ records: this.written });
    } catch (error) {
      this.#stopped = { error };
      throw error;
    }
    await eventLoop();
  }

  /** What an import rejects with: what the caller stopped it with as it is, all else counted. */
  failed(error: unknown): unknown {
    const { signal } = this.#plan;
    if (signal?.aborted && error === signal.reason) return error;
    if (this.#stopped !== undefined) return this.#stopped.error;
    const reason = error instanceof Error ? error.message : String(error);
    const code = error instanceof VectorLiteError ? error.code : "ERR_SOURCE";
    return new ImportError(
      code,
      `${this.#records.info.subject}: an import ended after ${this.written} records, which are ` +
        `written: ${reason}`,
      this.written,
      { cause: error },
    );
  }
}

/** One record of an export. */
export type FoundRecord = Pick<StoredRecord<unknown>, "key"> & Partial<StoredRecord<unknown>>;

interface ExportPlan extends Plan {
  readonly filter: CompiledFilter;
  readonly include: readonly Include[];
}

/** Checked options of an export. */
export function planExport<Doc>(
  records: Records,
  options: ExportOptions<Include, Doc> | undefined,
): ExportPlan {
  const given = checkOptions(options, knownExportOptions, "export()");
  const include = given.include ?? (["vector", "metadata"] as const);
  if (!Array.isArray(include) || !include.every((field) => /^(vector|metadata)$/.test(field))) {
    throw invalidArgument("include", 'an array of "vector" and "metadata"', include);
  }
  const filter = filterOption(given.filter);
  return { ...checkPlan(given, records.dimension), filter, include };
}

/** The records of one state, which is that of the first step. */
export async function* exportRecords(
  records: Records,
  plan: ExportPlan,
): AsyncGenerator<FoundRecord, void, undefined> {
  const { batchSize, filter, include, onProgress, signal } = plan;
  const { dimension, scope, connection } = records;
  signal?.throwIfAborted();
  if (scope === connection && connection.inTransaction) {
    throw new VectorLiteError(
      "ERR_INVALID_ARGUMENT",
      `${records.info.subject} was to be exported inside of a transaction, whose writes an ` +
        "export does not see; use entries() there, or export it after the transaction.",
    );
  }
  const withVectors = include.includes("vector");
  const withMetadata = include.includes("metadata");
  let count = 0;
  let isReported = true;
  const wanted = { vectors: withVectors, metadata: withMetadata };
  for (const page of pagesOfSnapshot(records, filter, wanted)) {
    for (const [index, { key, metadata }] of page.entries.entries()) {
      const record: FoundRecord = { key };
      if (withVectors)
        record.vector = page.vectors.slice(index * dimension, (index + 1) * dimension);
      if (withMetadata) record.metadata = metadata;
      count++;
      yield record;
      signal?.throwIfAborted();
      isReported = count % batchSize === 0;
      if (!isReported) continue;
      await onProgress?.({ records: count });
      await eventLoop();
      signal?.throwIfAborted();
    }
  }
  if (!isReported) await onProgress?.({ records: count });
}
