/**
 * What a search is compared with, each library in its best configuration behind one interface.
 *
 * Indexes that take long to build and can be kept lie in bench/data/ with the time that building
 * took beside them; their names carry the set's fingerprint and the parameters. Building and
 * searching have one thread wherever a library can be told so.
 */

import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import type { Collection } from "../src/index.ts";
import { dataFolder } from "./data.ts";
import type { Absence, OneOf } from "./harness.ts";
import * as peers from "./peers.ts";
import type { Resampled } from "./resampled.ts";

export const k = 10;

/** Room for the whole file, since the others keep everything in memory. */
export const memoryBudget: number = 2 ** 34;

export interface Engine {
  name: string;
  /** What `settings` are of; empty where there is nothing to choose. */
  knob: string;
  settings: readonly number[];
  /** Whether it may miss neighbours. */
  approximate: boolean;
  /** Of putting all rows in and indexing them, on the run that did it. */
  buildSeconds: number;
  /** Processors that building kept busy; 1 where nobody counted. */
  buildProcessors?: number;
  /** The rows found, the nearest first. */
  search(query: Float32Array, setting: number): number[] | Promise<number[]>;
  close(): void | Promise<void>;
}

/** A set with all its rows in memory. */
export interface Loaded {
  set: Resampled;
  values: Float32Array;
}

export type Build = (loaded: Loaded) => Promise<OneOf<Engine[]>>;

/** Graphs are built alike: so many links, and so many candidates for each new row. */
export const links = 32;
export const candidates = 200;
const efs = [10, 20, 40, 80, 160, 320];

/** Every engine that can be had here, and which cannot. */
export async function buildAll(
  builds: readonly Build[],
  loaded: Loaded,
): Promise<{ engines: Engine[]; absences: Absence[] }> {
  const engines: Engine[] = [];
  const absences: Absence[] = [];
  for (const build of builds) {
    const built = await build(loaded);
    if ("absence" in built) absences.push(built.absence);
    else engines.push(...built.peer);
  }
  return { engines, absences };
}

/** The row whose key that is. */
export function rowOf(key: string): number {
  const part = key.lastIndexOf("#");
  return Number(key.slice(key.indexOf("/") + 1, part)) * 8 + Number(key.slice(part + 1));
}

/** Fills a collection with a set, and tells the seconds without those of making the rows. */
export function fill(collection: Collection, set: Resampled): number {
  let seconds = 0;
  for (const { keys, values } of set.batches(10_000)) {
    const started = performance.now();
    collection.upsertMany(keys, values);
    seconds += (performance.now() - started) / 1000;
  }
  return seconds;
}

export function vectorLite(docs: Collection, buildSeconds: number): Engine[] {
  return [true, false].map((exact) => ({
    name: exact ? "VectorLite, exact" : "VectorLite",
    knob: "",
    settings: [0],
    approximate: !exact,
    buildSeconds,
    search: (query) => docs.search(query, { k, exact, threads: 1 }).map(({ key }) => rowOf(key)),
    close: () => undefined,
  }));
}

export interface Kept {
  path: string;
  seconds: number;
  /** Time of processors over time of the clock while it was built. */
  processors: number;
}

/** An index on the disk: the one of an earlier run, or a new one. */
export async function keep(
  { set }: Loaded,
  name: string,
  build: (path: string) => void | Promise<void>,
): Promise<Kept> {
  const path = `${dataFolder}index-${name}-${set.count}x${set.dimension}-${set.fingerprint}`;
  const report = `${path}.json`;
  if (existsSync(report) && existsSync(path)) {
    const { seconds, processors } = JSON.parse(readFileSync(report, "utf8")) as Kept;
    return { path, seconds, processors };
  }
  mkdirSync(dataFolder, { recursive: true });
  for (const old of [path, `${path}.part`]) rmSync(old, { recursive: true, force: true });
  process.stderr.write(`building ${name} for ${set.name}\n`);
  const [before, started] = [process.cpuUsage(), performance.now()];
  await build(`${path}.part`);
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(before);
  const processors = (user + system) / 1e6 / seconds;
  renameSync(`${path}.part`, path);
  const date = new Date().toISOString().slice(0, 10);
  writeFileSync(report, `${JSON.stringify({ seconds, processors, date })}\n`);
  return { path, seconds, processors };
}

export function rowIn({ set, values }: Loaded, row: number): Float32Array {
  return values.subarray(row * set.dimension, (row + 1) * set.dimension);
}

export function bytesOf(vector: Float32Array): Uint8Array {
  return Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength);
}

/** sqlite-vec compares every row; L2 orders vectors of length 1 as cosine does, and is faster. */
export async function sqliteVec(loaded: Loaded): Promise<OneOf<Engine[]>> {
  const engines: Engine[] = [];
  for (const metric of ["cosine", "L2"]) {
    const column = `vector float[${loaded.set.dimension}] distance_metric=${metric}`;
    const built = await fillSqlite(loaded.set, column, "?", false);
    if ("absence" in built) return built;
    const { database, name, seconds } = built.peer;
    const select = database.prepare("SELECT rowid FROM vectors WHERE vector MATCH ? AND k = ?");
    engines.push({
      name: `sqlite-vec in ${name}, ${metric}`,
      knob: "",
      settings: [0],
      approximate: false,
      buildSeconds: seconds,
      search: (query) => select.all(bytesOf(query), k).map(({ rowid }) => Number(rowid) - 1),
      close: () => database.close(),
    });
  }
  return { peer: engines };
}

/** Its bit vectors: so many times k rows by their signs, the best of them by their floats. */
export async function sqliteVecBits({ set }: { set: Resampled }): Promise<OneOf<Engine[]>> {
  const columns = `bits bit[${set.dimension}]`;
  const built = await fillSqlite(set, columns, "vec_quantize_binary(?)", true);
  if ("absence" in built) return built;
  const { database, name, seconds } = built.peer;
  const select = database.prepare(
    "WITH coarse AS MATERIALIZED (SELECT rowid FROM vectors" +
      " WHERE bits MATCH vec_quantize_binary(?) AND k = ?)" +
      " SELECT floats.id AS rowid FROM coarse JOIN floats ON floats.id = coarse.rowid" +
      " ORDER BY vec_distance_L2(floats.vector, ?) LIMIT ?",
  );
  const engine: Engine = {
    name: `sqlite-vec in ${name}, bits and rescoring`,
    knob: "oversampling",
    settings: [1, 2, 4, 8, 16, 32, 64].filter((times) => times * k <= set.count),
    approximate: true,
    buildSeconds: seconds,
    search: (query, times) => {
      const bytes = bytesOf(query);
      const found = select.all(bytes, times * k, bytes, k);
      return found.map(({ rowid }) => Number(rowid) - 1);
    },
    close: () => database.close(),
  };
  return { peer: [engine] };
}

/** In memory, where no page has to be read; `floats` keeps the vectors in a table beside. */
async function fillSqlite(
  set: Resampled,
  columns: string,
  value: string,
  floats: boolean,
): Promise<OneOf<{ database: peers.Sqlite; name: string; seconds: number }>> {
  const [loaded, vec] = [await peers.sqlite(), await peers.sqliteVec()];
  if ("absence" in loaded) return loaded;
  if ("absence" in vec) return vec;
  const database = loaded.peer.open(":memory:");
  vec.peer.load(database);
  database.exec("PRAGMA page_size = 65536");
  database.exec(`CREATE VIRTUAL TABLE vectors USING vec0(${columns})`);
  if (floats) database.exec("CREATE TABLE floats (id INTEGER PRIMARY KEY, vector BLOB)");
  const column = columns.split(" ")[0];
  const insert = database.prepare(`INSERT INTO vectors (rowid, ${column}) VALUES (?, ${value})`);
  const insertFloats = floats ? database.prepare("INSERT INTO floats VALUES (?, ?)") : undefined;
  let seconds = 0;
  for (const { first, keys, values } of set.batches(10_000)) {
    const started = performance.now();
    database.exec("BEGIN");
    for (let row = 0; row < keys.length; row++) {
      const bytes = bytesOf(values.subarray(row * set.dimension, (row + 1) * set.dimension));
      insert.run(BigInt(first + row + 1), bytes);
      insertFloats?.run(first + row + 1, bytes);
    }
    database.exec("COMMIT");
    seconds += (performance.now() - started) / 1000;
  }
  return { peer: { database, name: loaded.peer.name, seconds } };
}

interface ZvecKind {
  name: string;
  /** Of the file; changes when the parameters do. */
  file: string;
  knob: string;
  settings: readonly number[];
  approximate: boolean;
  index: (names: peers.Zvec) => object;
  query: (names: peers.Zvec, setting: number) => object | undefined;
}

const zvecFlatKind: ZvecKind = {
  name: "zvec, flat index",
  file: "zvec-flat",
  knob: "",
  settings: [0],
  approximate: false,
  index: ({ ZVecIndexType }) => ({ indexType: ZVecIndexType.FLAT }),
  query: () => undefined,
};

const zvecHnswKind: ZvecKind = {
  name: "zvec, HNSW",
  file: `zvec-hnsw-m${links}-c${candidates}`,
  knob: "ef",
  settings: efs,
  approximate: true,
  index: ({ ZVecIndexType }) => ({
    indexType: ZVecIndexType.HNSW,
    m: links,
    efConstruction: candidates,
    useContiguousMemory: true,
  }),
  query: ({ ZVecIndexType }, ef) => ({ indexType: ZVecIndexType.HNSW, ef }),
};

const zvecRabitqKind: ZvecKind = {
  name: "zvec, HNSW with RaBitQ",
  file: `zvec-rabitq-m${links}-c${candidates}`,
  knob: "ef",
  settings: efs,
  approximate: true,
  index: ({ ZVecIndexType }) => ({
    indexType: ZVecIndexType.HNSW_RABITQ,
    m: links,
    efConstruction: candidates,
    totalBits: 7,
  }),
  query: ({ ZVecIndexType }, ef) => ({
    indexType: ZVecIndexType.HNSW_RABITQ,
    ef,
    // Compares what it found by its floats: more is found in the same time.
    isUsingRefiner: true,
  }),
};

export const zvecFlat: Build = (loaded) => zvec(loaded, zvecFlatKind);
export const zvecHnsw: Build = (loaded) => zvec(loaded, zvecHnswKind);
export const zvecRabitq: Build = (loaded) => zvec(loaded, zvecRabitqKind);

async function zvec(loaded: Loaded, kind: ZvecKind): Promise<OneOf<Engine[]>> {
  const module = await peers.zvec();
  if ("absence" in module) return module;
  const names = module.peer;
  try {
    const { path, seconds, processors } = await keep(loaded, kind.file, (path) =>
      writeZvec(names, loaded, kind, path),
    );
    const collection = names.ZVecOpen(path, { readOnly: true });
    const params = new Map(kind.settings.map((ef) => [ef, kind.query(names, ef)]));
    const engine: Engine = {
      ...kind,
      buildSeconds: seconds,
      buildProcessors: processors,
      search: (vector, setting) => {
        const chosen = params.get(setting);
        const query = { fieldName: "v", vector, topk: k, outputFields: [] };
        const found = collection.querySync(chosen ? { ...query, params: chosen } : query);
        return found.map(({ id }) => Number(id));
      },
      close: () => collection.closeSync(),
    };
    return { peer: [engine] };
  } catch (error) {
    return { absence: { name: kind.name, reason: String(error) } };
  }
}

function writeZvec(names: peers.Zvec, loaded: Loaded, kind: ZvecKind, path: string): void {
  const { dimension, count } = loaded.set;
  const schema = new names.ZVecCollectionSchema({
    name: "vectors",
    vectors: {
      name: "v",
      dataType: names.ZVecDataType.VECTOR_FP32,
      dimension,
      indexParams: { ...kind.index(names), metricType: names.ZVecMetricType.COSINE },
    },
  });
  const collection = names.ZVecCreateAndOpen(path, schema);
  for (let first = 0; first < count; first += 500) {
    const documents = Array.from({ length: Math.min(500, count - first) }, (_, at) => ({
      id: String(first + at),
      vectors: { v: rowIn(loaded, first + at) },
    }));
    collection.insertSync(documents);
  }
  collection.optimizeSync();
  collection.closeSync();
}

export const usearchExact: Build = async ({ set, values }) => {
  const module = await peers.usearch();
  if ("absence" in module) return module;
  const { exactSearch, MetricKind } = module.peer;
  const engine: Engine = {
    name: "usearch, exactSearch",
    knob: "",
    settings: [0],
    approximate: false,
    buildSeconds: 0,
    search: (query) => {
      // The inner product is cosine for vectors of length 1, and the cheaper of the two.
      const { keys } = exactSearch(values, query, set.dimension, k, MetricKind.IP, 1);
      return Array.from(keys, Number);
    },
    close: () => undefined,
  };
  return { peer: [engine] };
};

function newUsearch(
  { Index, MetricKind }: peers.Usearch,
  dimension: number,
  expansion: number,
): peers.UsearchIndex {
  return new Index({
    dimensions: dimension,
    metric: MetricKind.IP,
    quantization: "f32",
    connectivity: links,
    expansion_add: candidates,
    expansion_search: expansion,
    multi: false,
  });
}

/** The file of usearch's graph. */
export function keepUsearch(module: peers.Usearch, loaded: Loaded): Promise<Kept> {
  const { count, dimension } = loaded.set;
  return keep(loaded, `usearch-m${links}-c${candidates}`, (path) => {
    const index = newUsearch(module, dimension, k);
    const keys = BigUint64Array.from({ length: count }, (_, row) => BigInt(row));
    index.add(keys, loaded.values, 1);
    index.save(path);
  });
}

/** How far a search looks is a parameter of opening: one view of the file for each setting. */
export const usearchHnsw: Build = async (loaded) => {
  const module = await peers.usearch();
  if ("absence" in module) return module;
  const { path, seconds, processors } = await keepUsearch(module.peer, loaded);
  const open = (expansion: number): peers.UsearchIndex =>
    newUsearch(module.peer, loaded.set.dimension, expansion);
  const views = new Map(efs.map((ef) => [ef, open(ef)]));
  for (const view of views.values()) view.view(path);
  const engine: Engine = {
    name: "usearch, HNSW",
    knob: "expansion",
    settings: efs,
    approximate: true,
    buildSeconds: seconds,
    buildProcessors: processors,
    search: (query, ef) => Array.from(views.get(ef)?.search(query, k, 1).keys ?? [], Number),
    close: () => undefined,
  };
  return { peer: [engine] };
};

/** hnswlib's graph, with what building it took. */
export async function openHnswlib(
  { HierarchicalNSW }: peers.Hnswlib,
  loaded: Loaded,
): Promise<{ index: peers.HnswlibIndex; kept: Kept }> {
  const { count, dimension } = loaded.set;
  const kept = await keep(loaded, `hnswlib-m${links}-c${candidates}`, (path) => {
    const index = new HierarchicalNSW("ip", dimension);
    index.initIndex(count, links, candidates);
    for (let row = 0; row < count; row++) index.addPoint(Array.from(rowIn(loaded, row)), row);
    index.writeIndexSync(path);
  });
  const index = new HierarchicalNSW("ip", dimension);
  index.readIndexSync(kept.path);
  return { index, kept };
}

export const hnswlib: Build = async (loaded) => {
  const module = await peers.hnswlib();
  if ("absence" in module) return module;
  const { index, kept } = await openHnswlib(module.peer, loaded);
  // It takes arrays of numbers only; what converting costs is not its search.
  const arrays = new Map<Float32Array, number[]>();
  const engine: Engine = {
    name: "hnswlib-node",
    knob: "ef",
    settings: efs,
    approximate: true,
    buildSeconds: kept.seconds,
    buildProcessors: kept.processors,
    search: (query, ef) => {
      const array = arrays.get(query) ?? Array.from(query);
      arrays.set(query, array);
      index.setEf(ef);
      return index.searchKnn(array, k).neighbors;
    },
    close: () => undefined,
  };
  return { peer: [engine] };
};

export const lanceFlat: Build = (loaded) => lance(loaded, false);
export const lanceHnsw: Build = (loaded) => lance(loaded, true);

async function lance(loaded: Loaded, indexed: boolean): Promise<OneOf<Engine[]>> {
  const module = await peers.lance();
  if ("absence" in module) return module;
  const { connect, Index } = module.peer;
  const name = indexed ? "lance-hnsw-sq" : "lance-flat";
  try {
    const { path, seconds, processors } = await keep(loaded, name, async (path) => {
      const database = await connect(path);
      const rows = module.peer.tableOf(loaded.values, loaded.set.dimension);
      const table = await database.createTable("vectors", rows);
      if (indexed) {
        const config = Index.hnswSq({
          distanceType: "cosine",
          numPartitions: 1,
          m: links,
          efConstruction: candidates,
        });
        await table.createIndex("vector", { config });
        await table.waitForIndex(["vector_idx"], 3600);
      }
    });
    const table = await (await connect(path)).openTable("vectors");
    const engine: Engine = {
      name: indexed ? "LanceDB, HNSW-SQ" : "LanceDB, no index",
      knob: indexed ? "ef" : "",
      settings: indexed ? efs : [0],
      approximate: indexed,
      buildSeconds: seconds,
      buildProcessors: processors,
      search: async (query, ef) => {
        const plain = table
          .vectorSearch(query)
          .distanceType("cosine")
          .select(["id", "_distance"])
          .limit(k);
        // Twice as many by their bytes as are then compared by their floats.
        const chosen = indexed
          ? plain
              .nprobes(1)
              .ef(Math.max(ef, 2 * k))
              .refineFactor(2)
          : plain;
        return (await chosen.toArray()).map(({ id }) => Number(id));
      },
      close: () => undefined,
    };
    return { peer: [engine] };
  } catch (error) {
    return { absence: { name, reason: String(error) } };
  }
}
