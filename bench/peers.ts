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
  insertSync(
    documents: { id: string; vectors: { v: Float32Array }; fields?: object | undefined }[],
  ): unknown;
  optimizeSync(): void;
  querySync(query: {
    fieldName: string;
    vector: Float32Array;
    topk: number;
    filter?: string | undefined;
    outputFields?: string[];
    params?: object;
  }): { id: string; score: number }[];
  closeSync(): void;
}

export interface Zvec {
  ZVecInitialize(options: {
    queryThreads: number;
    optimizeThreads: number;
    logLevel: number;
  }): void;
  ZVecCollectionSchema: new (parameters: object) => object;
  ZVecCreateAndOpen(path: string, schema: object): ZvecCollection;
  ZVecOpen(path: string, options: { readOnly: boolean }): ZvecCollection;
  ZVecDataType: {
    VECTOR_FP32: number;
    STRING: number;
    INT32: number;
    DOUBLE: number;
    ARRAY_STRING: number;
  };
  ZVecIndexType: { FLAT: number; HNSW: number; HNSW_RABITQ: number; INVERT: number };
  ZVecMetricType: { COSINE: number };
  ZVecLogLevel: { ERROR: number };
}

let zvecLoaded: OneOf<Zvec> | undefined;

/** With one thread; it is told so once in a process. */
export async function zvec(): Promise<OneOf<Zvec>> {
  if (zvecLoaded !== undefined) return zvecLoaded;
  zvecLoaded = await peer<Zvec>("@zvec/zvec");
  if ("peer" in zvecLoaded) {
    const { ZVecInitialize, ZVecLogLevel } = zvecLoaded.peer;
    ZVecInitialize({ queryThreads: 1, optimizeThreads: 1, logLevel: ZVecLogLevel.ERROR });
  }
  return zvecLoaded;
}

export interface UsearchIndex {
  add(keys: BigUint64Array, vectors: Float32Array, threads: number): void;
  search(query: Float32Array, count: number, threads: number): { keys: BigUint64Array };
  save(path: string): void;
  view(path: string): void;
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
  Index: new (config: {
    dimensions: number;
    metric: string;
    quantization: string;
    connectivity: number;
    expansion_add: number;
    expansion_search: number;
    multi: boolean;
  }) => UsearchIndex;
  MetricKind: { Cos: string; IP: string };
}

export function usearch(): Promise<OneOf<Usearch>> {
  return peer<Usearch>("usearch");
}

export interface HnswlibIndex {
  initIndex(capacity: number, links: number, candidates: number): void;
  addPoint(point: number[], label: number): void;
  setEf(ef: number): void;
  searchKnn(
    query: number[],
    count: number,
    filter?: (label: number) => boolean,
  ): { neighbors: number[] };
  writeIndexSync(path: string): void;
  readIndexSync(path: string): void;
}

export interface Hnswlib {
  HierarchicalNSW: new (space: "ip", dimension: number) => HnswlibIndex;
}

export async function hnswlib(): Promise<OneOf<Hnswlib>> {
  const loaded = await peer<Hnswlib & { default?: Hnswlib }>("hnswlib-node");
  return "absence" in loaded ? loaded : { peer: loaded.peer.default ?? loaded.peer };
}

export interface LanceQuery {
  where(predicate: string): LanceQuery;
  distanceType(type: "cosine"): LanceQuery;
  select(columns: string[]): LanceQuery;
  limit(count: number): LanceQuery;
  nprobes(count: number): LanceQuery;
  ef(ef: number): LanceQuery;
  refineFactor(factor: number): LanceQuery;
  toArray(): Promise<{ id: number }[]>;
}

export interface LanceTable {
  createIndex(column: string, options: { config: unknown }): Promise<void>;
  waitForIndex(names: string[], seconds: number): Promise<void>;
  vectorSearch(query: Float32Array): LanceQuery;
}

interface LanceDatabase {
  createTable(name: string, rows: unknown): Promise<LanceTable>;
  openTable(name: string): Promise<LanceTable>;
}

interface LanceModule {
  connect(path: string): Promise<LanceDatabase>;
  Index: {
    hnswSq(options: object): unknown;
    bitmap(): unknown;
    btree(): unknown;
    labelList(): unknown;
  };
}

/** A column beside the vectors. */
export interface LanceColumn {
  name: string;
  type: "string" | "int" | "double" | "strings";
  values: readonly unknown[];
}

export interface Lance extends LanceModule {
  /** Columns `id` and `vector`, and others. */
  tableOf(values: Float32Array, dimension: number, columns?: readonly LanceColumn[]): unknown;
}

/** LanceDB takes its threads from the environment: run.ts sets it before the process begins. */
export async function lance(): Promise<OneOf<Lance>> {
  const [loaded, arrow] = [
    await peer<LanceModule>("@lancedb/lancedb"),
    await peer<Arrow>("apache-arrow"),
  ];
  if ("absence" in loaded) return loaded;
  if ("absence" in arrow) return arrow;
  const { connect, Index } = loaded.peer;
  const tableOf: Lance["tableOf"] = (values, dimension, columns = []) => {
    return arrowTable(arrow.peer, values, dimension, columns);
  };
  return { peer: { connect, Index, tableOf } };
}

interface Arrow {
  Field: new (name: string, type: object, nullable: boolean) => object;
  FixedSizeList: new (length: number, child: object) => object;
  Float32: new () => object;
  Float64: new () => object;
  Int32: new () => object;
  List: new (child: object) => object;
  RecordBatch: new (schema: object, data: object) => object;
  Schema: new (fields: object[]) => object;
  Struct: new (fields: object[]) => object;
  Table: new (schema: object, batches: object[]) => object;
  Utf8: new () => object;
  makeData(parts: object): object;
  vectorFromArray(values: readonly unknown[], type: object): { data: readonly object[] };
}

function arrowType(arrow: Arrow, type: LanceColumn["type"]): object {
  if (type === "int") return new arrow.Int32();
  if (type === "double") return new arrow.Float64();
  const text = new arrow.Utf8();
  return type === "string" ? text : new arrow.List(new arrow.Field("item", text, true));
}

function arrowTable(
  arrow: Arrow,
  values: Float32Array,
  dimension: number,
  columns: readonly LanceColumn[],
): object {
  const length = values.length / dimension;
  const [float, int] = [new arrow.Float32(), new arrow.Int32()];
  const list = new arrow.FixedSizeList(dimension, new arrow.Field("item", float, true));
  const fields = [new arrow.Field("id", int, false), new arrow.Field("vector", list, false)];
  const ids = Int32Array.from({ length }, (_, row) => row);
  const child = arrow.makeData({ type: float, length: values.length, data: values });
  const children = [
    arrow.makeData({ type: int, length, data: ids }),
    arrow.makeData({ type: list, length, nullCount: 0, child }),
  ];
  for (const { name, type, values } of columns) {
    const made = arrowType(arrow, type);
    fields.push(new arrow.Field(name, made, true));
    children.push(...arrow.vectorFromArray(values, made).data);
  }
  const schema = new arrow.Schema(fields);
  const data = arrow.makeData({ type: new arrow.Struct(fields), length, nullCount: 0, children });
  return new arrow.Table(schema, [new arrow.RecordBatch(schema, data)]);
}
