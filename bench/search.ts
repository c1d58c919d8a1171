/**
 * How long does it take to find the 10 nearest of 10,000 x 1536 vectors?
 *
 * One query after another, cosine, one thread, everything in memory or the system's cache. Every
 * contestant but VectorLite's default compares the query with all vectors, and all have to find the
 * same keys; the last column shows that they did. sqlite-vec is slower at cosine than at Euclidean
 * distances, which order vectors of length 1 the same way, so it takes part with both.
 * `bun bench/run.ts search`
 */

import { join } from "node:path";
import { Database } from "../src/index.ts";
import { keyOf, querySet, vectorSet } from "./data.ts";
import * as harness from "./harness.ts";
import { sqlite, sqliteVec, usearch, zvec } from "./peers.ts";

const set = vectorSet(10_000, 1536);
const { count, dimension } = set;
const k = 10;
const queries = querySet(set, 20);
const folder = harness.scratchFolder();
const contestants: harness.Contestant[] = [];
const absences: harness.Absence[] = [];

/** The keys found, whatever order equal ones came in. */
function hashOf(search: (query: Float32Array) => readonly string[]): number {
  let hash = 0;
  for (const query of queries) {
    for (const key of [...search(query)].sort()) {
      for (let at = 0; at < key.length; at++) hash = harness.mix(hash, key.charCodeAt(at));
    }
  }
  return hash;
}

function addVectorLite(): void {
  const database = new Database(join(folder, "search.vl"));
  const docs = database.collection("docs", { dimension, metric: "cosine" });
  docs.upsertMany(set.keys, set.values);
  for (const exact of [true, false]) {
    contestants.push({
      name: exact ? "VectorLite, exact" : "VectorLite",
      run: () => hashOf((query) => docs.search(query, { k, exact }).map(({ key }) => key)),
      close: () => database.close(),
    });
  }
}

async function addSqliteVec(metric: "cosine" | "L2"): Promise<void> {
  const [loaded, vec] = [await sqlite(), await sqliteVec()];
  if ("absence" in loaded || "absence" in vec) {
    for (const one of [loaded, vec]) if ("absence" in one) absences.push(one.absence);
    return;
  }
  const database = loaded.peer.open(":memory:");
  vec.peer.load(database);
  const column = `vector float[${dimension}] distance_metric=${metric}`;
  database.exec(`CREATE VIRTUAL TABLE vectors USING vec0(${column})`);
  const insert = database.prepare("INSERT INTO vectors (rowid, vector) VALUES (?, ?)");
  database.exec("BEGIN");
  for (let row = 0; row < count; row++) insert.run(BigInt(row + 1), bytesOf(row));
  database.exec("COMMIT");
  const select = database.prepare("SELECT rowid FROM vectors WHERE vector MATCH ? AND k = ?");
  const search = (query: Float32Array): string[] => {
    const bytes = Buffer.from(query.buffer, query.byteOffset, query.byteLength);
    return select.all(bytes, k).map(({ rowid }) => keyOf(Number(rowid) - 1));
  };
  contestants.push({
    name: `sqlite-vec in ${loaded.peer.name}, ${metric}`,
    run: () => hashOf(search),
    close: () => database.close(),
  });
}

async function addZvec(): Promise<void> {
  const loaded = await zvec();
  if ("absence" in loaded) {
    absences.push(loaded.absence);
    return;
  }
  const { ZVecCollectionSchema, ZVecCreateAndOpen, ...names } = loaded.peer;
  names.ZVecInitialize({ queryThreads: 1, logLevel: names.ZVecLogLevel.ERROR });
  const schema = new ZVecCollectionSchema({
    name: "vectors",
    vectors: {
      name: "v",
      dataType: names.ZVecDataType.VECTOR_FP32,
      dimension,
      indexParams: {
        indexType: names.ZVecIndexType.FLAT,
        metricType: names.ZVecMetricType.COSINE,
      },
    },
  });
  const collection = ZVecCreateAndOpen(join(folder, "zvec"), schema);
  for (let row = 0; row < count; row++) {
    const v = set.values.subarray(row * dimension, (row + 1) * dimension);
    collection.insertSync([{ id: String(row), vectors: { v } }]);
  }
  collection.optimizeSync();
  const search = (vector: Float32Array): string[] => {
    const found = collection.querySync({ fieldName: "v", vector, topk: k });
    return found.map(({ id }) => keyOf(Number(id)));
  };
  contestants.push({
    name: "zvec, flat index",
    run: () => hashOf(search),
    close: () => collection.closeSync(),
  });
}

async function addUsearch(): Promise<void> {
  const loaded = await usearch();
  if ("absence" in loaded) {
    absences.push(loaded.absence);
    return;
  }
  const { exactSearch, MetricKind } = loaded.peer;
  const search = (query: Float32Array): string[] => {
    const { keys } = exactSearch(set.values, query, dimension, k, MetricKind.Cos, 1);
    return Array.from(keys, (row) => keyOf(Number(row)));
  };
  contestants.push({ name: "usearch exactSearch", run: () => hashOf(search) });
}

function bytesOf(row: number): Uint8Array {
  return Buffer.from(set.values.buffer, row * dimension * 4, dimension * 4);
}

addVectorLite();
await addSqliteVec("cosine");
await addSqliteVec("L2");
await addZvec();
await addUsearch();
const results: harness.Result[] = await harness.measure(contestants, {
  rounds: 15,
  operations: queries.length,
});
harness.printTable("search: the 10 nearest of 10,000 x 1536, one query", results, {
  yardstick: results[2]?.name ?? "",
  absences,
});
for (const { name, hash } of results) {
  if (hash !== results[0]?.hash) harness.print(`${name} found other keys than VectorLite`);
}
