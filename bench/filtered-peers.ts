/**
 * What a filtered search is compared with: each library in its best configuration for filters,
 * behind one interface, with one thread.
 *
 * Graphs have the links and candidates of engines.ts. Where a library indexes fields, all of them
 * are indexed; where it calls a function for each row, that only looks a row up in an array of
 * bytes that exists already.
 */

import type { Documents } from "./documents.ts";
import * as engines from "./engines.ts";
import { type Contains, sqlOf } from "./filter-words.ts";
import { type Build, type Filtered, noKnob } from "./filtered.ts";
import { sqliteVec } from "./filtered-sqlite.ts";
import type { Absence } from "./harness.ts";
import * as peers from "./peers.ts";
import { openFiltered } from "./usearch-filter.ts";

const { k } = engines;
/** How far graphs look; filters make them look further. */
const efs = [10, 20, 40, 80, 160, 320, 640, 1280];
const fields = ["lang", "category", "year", "price", "tags"] as const;

/** Every library that can be had here, and which cannot. */
export async function buildPeers(
  documents: Documents,
): Promise<{ built: Filtered[]; absences: Absence[] }> {
  const built: Filtered[] = [];
  const absences: Absence[] = [];
  for (const build of [lance, zvec, usearch, hnswlib, sqliteVec]) {
    const one = await build(documents);
    if ("absence" in one) absences.push(one.absence);
    else built.push(...one.peer);
  }
  return { built, absences };
}

const lance: Build = async (documents) => {
  const module = await peers.lance();
  if ("absence" in module) return module;
  const built: Filtered[] = [];
  try {
    for (const indexed of [false, true]) {
      const kind = indexed ? "hnsw-sq" : "flat";
      const name = `lance-filtered-${kind}-${documents.fingerprint}`;
      const { path, seconds } = await engines.keep(documents, name, (path) =>
        writeLance(module.peer, documents, path, indexed),
      );
      const table = await (await module.peer.connect(path)).openTable("vectors");
      built.push({
        name: indexed ? "LanceDB, HNSW-SQ and scalar indexes" : "LanceDB, scalar indexes",
        ...(indexed ? { knob: "ef", settings: efs.slice(1) } : noKnob),
        buildSeconds: seconds,
        prepare: ({ filter }) => {
          const where = sqlOf(filter, (field, value) => `array_has_any(${field}, ['${value}'])`);
          if (where === undefined) return undefined;
          return (query, ef) => searchLance(table, query, where, indexed ? ef : undefined);
        },
        close: () => undefined,
      });
    }
    return { peer: built };
  } catch (error) {
    return { absence: { name: "LanceDB", reason: String(error) } };
  }
};

async function searchLance(
  table: peers.LanceTable,
  query: Float32Array,
  where: string,
  ef: number | undefined,
): Promise<number[]> {
  const plain = table
    .vectorSearch(query)
    .where(where)
    .distanceType("cosine")
    .select(["id", "_distance"])
    .limit(k);
  // Twice as many by their bytes as are then compared by their floats.
  const chosen = ef === undefined ? plain : plain.nprobes(1).ef(ef).refineFactor(2);
  return (await chosen.toArray()).map(({ id }) => Number(id));
}

/** What kind of index its manual asks for, by the number of different values. */
async function writeLance(
  module: peers.Lance,
  { set, values, docs }: Documents,
  path: string,
  indexed: boolean,
): Promise<void> {
  const types = { lang: "string", category: "string", year: "int", price: "double" } as const;
  const columns = fields.map((name) => ({
    name,
    type: name === "tags" ? ("strings" as const) : types[name],
    values: docs.map((doc) => doc[name]),
  }));
  const database = await module.connect(path);
  const rows = module.tableOf(values, set.dimension, columns);
  const table = await database.createTable("vectors", rows);
  const { Index } = module;
  for (const field of ["lang", "category", "year"]) {
    await table.createIndex(field, { config: Index.bitmap() });
  }
  await table.createIndex("price", { config: Index.btree() });
  await table.createIndex("tags", { config: Index.labelList() });
  await table.waitForIndex([...fields.map((field) => `${field}_idx`)], 3600);
  if (!indexed) return;
  const config = Index.hnswSq({
    distanceType: "cosine",
    numPartitions: 1,
    m: engines.links,
    efConstruction: engines.candidates,
  });
  await table.createIndex("vector", { config });
  await table.waitForIndex(["vector_idx"], 3600);
}

const zvec: Build = async (documents) => {
  const module = await peers.zvec();
  if ("absence" in module) return module;
  const names = module.peer;
  const contains: Contains = (field, value) => `${field} CONTAIN_ANY ('${value}')`;
  try {
    const built: Filtered[] = [];
    for (const flat of [true, false]) {
      const kind = flat ? "flat" : `m${engines.links}-c${engines.candidates}`;
      const name = `zvec-filtered-${kind}-${documents.fingerprint}`;
      const { path, seconds } = await engines.keep(documents, name, (path) =>
        writeZvec(names, documents, path, flat),
      );
      const collection = names.ZVecOpen(path, { readOnly: true });
      const { HNSW } = names.ZVecIndexType;
      built.push({
        name: flat ? "zvec, flat and inverted indexes" : "zvec, HNSW and inverted indexes",
        ...(flat ? noKnob : { knob: "ef", settings: efs }),
        buildSeconds: seconds,
        prepare: (asked) => {
          const filter = sqlOf(asked.filter, contains);
          const query = { fieldName: "v", topk: k, filter, outputFields: [] };
          return (vector, ef) => {
            const params = flat ? {} : { params: { indexType: HNSW, ef } };
            const found = collection.querySync({ ...query, vector, ...params });
            return found.map(({ id }) => Number(id));
          };
        },
        close: () => collection.closeSync(),
      });
    }
    return { peer: built };
  } catch (error) {
    return { absence: { name: "zvec", reason: String(error) } };
  }
};

function writeZvec(names: peers.Zvec, documents: Documents, path: string, flat: boolean): void {
  const { set, docs } = documents;
  const { ZVecDataType: types, ZVecIndexType: kinds } = names;
  const inverted = { indexType: kinds.INVERT, enableRangeOptimization: true };
  const graph = { m: engines.links, efConstruction: engines.candidates, useContiguousMemory: true };
  const schema = new names.ZVecCollectionSchema({
    name: "vectors",
    vectors: {
      name: "v",
      dataType: types.VECTOR_FP32,
      dimension: set.dimension,
      indexParams: {
        ...(flat ? { indexType: kinds.FLAT } : { indexType: kinds.HNSW, ...graph }),
        metricType: names.ZVecMetricType.COSINE,
      },
    },
    fields: [
      { name: "lang", dataType: types.STRING, indexParams: inverted },
      { name: "category", dataType: types.STRING, indexParams: inverted },
      { name: "year", dataType: types.INT32, indexParams: inverted },
      { name: "price", dataType: types.DOUBLE, indexParams: inverted },
      { name: "tags", dataType: types.ARRAY_STRING, indexParams: inverted },
    ],
  });
  const collection = names.ZVecCreateAndOpen(path, schema);
  for (let first = 0; first < set.count; first += 500) {
    const count = Math.min(500, set.count - first);
    collection.insertSync(
      Array.from({ length: count }, (_, at) => ({
        id: String(first + at),
        vectors: { v: engines.rowIn(documents, first + at) },
        fields: docs[first + at],
      })),
    );
  }
  collection.optimizeSync();
  collection.closeSync();
}

const usearch: Build = async (documents) => {
  const module = await peers.usearch();
  if ("absence" in module) return module;
  const { path, seconds } = await engines.keepUsearch(module.peer, documents);
  const opened = await openFiltered(path);
  if ("absence" in opened) return opened;
  const engine: Filtered = {
    name: "usearch, HNSW with a callback",
    knob: "expansion",
    settings: efs,
    buildSeconds: seconds,
    prepare:
      ({ mask }) =>
      (query, ef) =>
        opened.peer.search(query, k, mask, ef),
    close: () => opened.peer.close(),
  };
  return { peer: [engine] };
};

const hnswlib: Build = async (documents) => {
  const module = await peers.hnswlib();
  if ("absence" in module) return module;
  const { index, kept } = await engines.openHnswlib(module.peer, documents);
  // It takes arrays of numbers only; what converting costs is not its search.
  const arrays = new Map<Float32Array, number[]>();
  const engine: Filtered = {
    name: "hnswlib-node with a callback",
    knob: "ef",
    settings: efs,
    buildSeconds: kept.seconds,
    prepare: ({ mask }) => {
      const isWanted = (label: number): boolean => mask[label] === 1;
      return (query, ef) => {
        const array = arrays.get(query) ?? Array.from(query);
        arrays.set(query, array);
        index.setEf(ef);
        return index.searchKnn(array, k, isWanted).neighbors;
      };
    },
    close: () => undefined,
  };
  return { peer: [engine] };
};
