/**
 * The libraries that the benches compare with, each behind the few calls that they use.
 *
 * A library that is not installed, or does not run on this runtime, is reported and left out.
 */

import { join } from "node:path";
import { type OneOf, peer } from "./harness.ts";

export interface Lmdb {
  get(key: string): Uint8Array | undefined;
  /** Into a buffer of the library's own that the next call overwrites. */
  getBinaryFast(key: string): Uint8Array | undefined;
  put(key: string, value: Uint8Array): Promise<boolean>;
  putSync(key: string, value: Uint8Array): boolean;
  getKeysCount(): number;
  transactionSync<T>(body: () => T): T;
  close(): Promise<void>;
}

/** By default a commit returns before its sync, which follows at once on another thread. */
export interface LmdbOptions {
  overlappingSync?: boolean;
  noSync?: boolean;
}

interface LmdbModule {
  open(options: LmdbOptions & { path: string; encoding: "binary"; mapSize: number }): Lmdb;
}

export type OpenLmdb = (folder: string, options?: LmdbOptions) => Lmdb;

export async function lmdb(): Promise<OneOf<OpenLmdb>> {
  const loaded = await peer<LmdbModule>("lmdb");
  if ("absence" in loaded) return loaded;
  const mapSize = 4 * 2 ** 30;
  const open: OpenLmdb = (folder, options = {}) =>
    loaded.peer.open({ path: join(folder, "lmdb"), encoding: "binary", mapSize, ...options });
  return { peer: open };
}

export interface Sqlite {
  /** Loads sqlite-vec and the like. */
  loadExtension(path: string): void;
  exec(sql: string): void;
  prepare(sql: string): SqliteStatement;
  close(): void;
}

export interface SqliteStatement {
  run(...values: (string | number | bigint | Uint8Array)[]): unknown;
  get(...values: (string | number | Uint8Array)[]): Record<string, unknown> | null | undefined;
  all(...values: (string | number | Uint8Array)[]): Record<string, unknown>[];
}

interface SqliteModule {
  Database: new (path: string) => Sqlite;
  default: new (path: string) => Sqlite;
}

/** SQLite as the runtime has it: built into Bun, better-sqlite3 on Node. */
export async function sqlite(): Promise<OneOf<{ name: string; open: (path: string) => Sqlite }>> {
  const name = process.versions["bun"] === undefined ? "better-sqlite3" : "bun:sqlite";
  const loaded = await peer<SqliteModule>(name);
  if ("absence" in loaded) return loaded;
  const Constructor = loaded.peer.default;
  return { peer: { name, open: (path) => new Constructor(path) } };
}

export interface SqliteVec {
  load(database: Sqlite): void;
}

export function sqliteVec(): Promise<OneOf<SqliteVec>> {
  return peer<SqliteVec>("sqlite-vec");
}

export interface ZvecCollection {
  insertSync(documents: { id: string; vectors: { v: Float32Array } }[]): unknown;
  optimizeSync(): void;
  querySync(query: { fieldName: string; vector: Float32Array; topk: number }): {
    id: string;
    score: number;
  }[];
  closeSync(): void;
}

export interface Zvec {
  ZVecInitialize(options: { queryThreads: number; logLevel: number }): void;
  ZVecCollectionSchema: new (parameters: object) => object;
  ZVecCreateAndOpen(path: string, schema: object): ZvecCollection;
  ZVecDataType: { VECTOR_FP32: number };
  ZVecIndexType: { FLAT: number };
  ZVecMetricType: { COSINE: number };
  ZVecLogLevel: { ERROR: number };
}

export function zvec(): Promise<OneOf<Zvec>> {
  return peer<Zvec>("@zvec/zvec");
}

export interface Usearch {
  exactSearch(
    dataset: Float32Array,
    queries: Float32Array,
    dimension: number,
    count: number,
    metric: string,
    threads: number,
  ): { keys: BigUint64Array };
  MetricKind: { Cos: string };
}

export function usearch(): Promise<OneOf<Usearch>> {
  return peer<Usearch>("usearch");
}
