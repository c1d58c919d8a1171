/**
 * Opens databases, and collections: options to the engine's blocks, answers to objects.
 *
 * @module
 */

import { Connection, type Scope } from "./connection.ts";
import {
  CollectionFlags,
  CollectionOptions,
  DatabaseFlags,
  DatabaseOptions,
  native,
  Status,
} from "./native/native.ts";
import { Records } from "./records.ts";
import { check } from "./status.ts";
import type { Metric } from "./types.ts";
import { decoder, encoder } from "./utf8.ts";

/** The metrics in the order of their numbers in the file. */
export const metrics: readonly Metric[] = ["cosine", "dot", "l2"];

/** The durabilities in the order of their numbers at the boundary. */
export const durabilities: readonly string[] = ["full", "normal", "none"];

/** "Not said": the file decides. */
const metricUnspecified = 0xffffffff;

/** Checked options of a database. */
export interface OpenDatabase {
  readonly path: string;
  readonly readonly: boolean;
  readonly create: boolean;
  /** Index in {@link durabilities}. */
  readonly durability: number;
  readonly busyTimeoutMs: number;
  readonly memoryBudgetBytes: number;
  /** Durable commits back; 0 is the newest state. */
  readonly olderRoot: number;
  /** Bytes that the file may have; left out: any number. */
  readonly fileBytesMax?: number | undefined;
}

/** Opens a file, or creates it. */
export function openDatabase(options: OpenDatabase): Connection {
  const subject = JSON.stringify(options.path);
  const block = new DataView(new ArrayBuffer(DatabaseOptions.byteLength));
  const flags =
    (options.readonly ? DatabaseFlags.READONLY : 0) | (options.create ? DatabaseFlags.CREATE : 0);
  block.setUint32(DatabaseOptions.size, DatabaseOptions.byteLength, true);
  block.setUint32(DatabaseOptions.flags, flags, true);
  block.setUint32(DatabaseOptions.durability, options.durability, true);
  block.setUint32(DatabaseOptions.busy_timeout_ms, options.busyTimeoutMs, true);
  block.setFloat64(DatabaseOptions.memory_budget_bytes, options.memoryBudgetBytes, true);
  block.setUint32(DatabaseOptions.older_root, options.olderRoot, true);
  block.setFloat64(DatabaseOptions.file_bytes_max, options.fileBytesMax ?? 0, true);
  const path = encoder.encode(options.path);
  const id = new Uint32Array(1);
  const bytes = new Uint8Array(block.buffer);
  const status = native().vl_database_open(path, path.length, bytes, bytes.length, id);
  check(status, subject);
  return new Connection({
    id: id[0] ?? 0,
    subject,
    writable: !options.readonly,
    durability: options.durability,
    busyTimeoutMs: options.busyTimeoutMs,
    isBounded: (options.fileBytesMax ?? 0) > 0,
  });
}

/** Opens the `length` bytes of a file, read-only. They are copied. */
export function openDatabaseBytes(bytes: Uint8Array, length: number): Connection {
  const id = new Uint32Array(1);
  const subject = `The image of ${length} bytes`;
  check(native().vl_database_open_bytes(bytes, length, id), subject);
  return new Connection({
    id: id[0] ?? 0,
    subject,
    writable: false,
    durability: 0,
    busyTimeoutMs: 0,
    isBounded: false,
  });
}

/** Checked options of a collection. */
export interface OpenCollection {
  readonly name: string;
  /** 0: what the file says. */
  readonly dimension: number;
  /** Index in {@link metrics}; negative: what the file says. */
  readonly metric: number;
  /** Empty: not checked. */
  readonly model: string;
  readonly create: boolean;
  /** A new one keeps its rows until somebody deletes them, in a file with a maximum too. */
  readonly keepsRows?: boolean;
  readonly cacheSize: number;
  /** Rows that it may have; left out: any number. */
  readonly rowsMax?: number | undefined;
  readonly subject: string;
}

/** Opens a collection of a database or snapshot; `undefined` where there is none. */
export function openRecords(scope: Scope, options: OpenCollection): Records | undefined {
  const block = new DataView(new ArrayBuffer(CollectionOptions.byteLength));
  block.setUint32(CollectionOptions.size, CollectionOptions.byteLength, true);
  const create = options.create ? CollectionFlags.CREATE : 0;
  const keepsRows = options.keepsRows === true ? CollectionFlags.KEEPS_ROWS : 0;
  block.setUint32(CollectionOptions.flags, create | keepsRows, true);
  block.setUint32(CollectionOptions.dimension, options.dimension, true);
  const metric = options.metric < 0 ? metricUnspecified : options.metric;
  block.setUint32(CollectionOptions.metric, metric, true);
  block.setUint32(CollectionOptions.hot_vectors, options.cacheSize, true);
  block.setUint32(CollectionOptions.rows_max, options.rowsMax ?? 0, true);
  const name = encoder.encode(options.name);
  const model = encoder.encode(options.model);
  const id = new Uint32Array(1);
  const info = new Uint32Array(4);
  const status = native().vl_collection_open(
    scope.id,
    name,
    name.length,
    new Uint8Array(block.buffer),
    CollectionOptions.byteLength,
    model.length === 0 ? new Uint8Array(1) : model,
    model.length,
    id,
    info,
  );
  if (status === Status.NOT_FOUND) return undefined;
  check(status, status === Status.CLOSED ? scope.subject : options.subject);
  return new Records(scope, {
    id: id[0] ?? 0,
    name: options.name,
    dimension: info[0] ?? 0,
    metric: metrics[info[1] ?? 0] ?? "cosine",
    model: readModel(id[0] ?? 0, info[2] ?? 0, options.subject),
    subject: options.subject,
  });
}

function readModel(id: number, length: number, subject: string): string {
  if (length === 0) return "";
  const out = new Uint8Array(length);
  const lengthOut = new Uint32Array(1);
  check(native().vl_collection_model(id, out, out.length, lengthOut), subject);
  return decoder.decode(out.subarray(0, lengthOut[0]));
}
