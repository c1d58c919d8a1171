/**
 * How long does it take to get one vector by its key?
 *
 * 10,000 vectors of 1536 dimensions, 59 MiB, with the file in the system's cache. First all of them
 * are fetched in a random order, which no processor's own caches hold; then 10,000 times one of the
 * same 100, as a cache in use sees it (100 is what an EmbedCache keeps by default). Two floors show
 * what nothing can beat: the bare copy of a vector into an array that is there, and into a new one.
 * Each turn begins with a run that is not measured, as an application that has one store would find
 * the processor's caches.
 * `bun bench/run.ts get`
 */

import { join } from "node:path";
import { EmbedCache } from "../src/index.ts";
import { shuffled, vectorSet } from "./data.ts";
import * as harness from "./harness.ts";
import { lmdb, sqlite } from "./peers.ts";

const set = vectorSet(10_000, 1536);
const { count, dimension } = set;
const hotCount = 100;
/** Which rows are fetched, one after the other. */
let rows: Uint32Array = new Uint32Array(0);
let order: string[] = [];
const folder = harness.scratchFolder();
const contestants: harness.Contestant[] = [];
const absences: harness.Absence[] = [];
const closers: (() => void | Promise<void>)[] = [];

/** Every vector contributes two of its values, in the order of the keys. */
function hashOf(fetch: (key: string, index: number) => Float32Array): number {
  let hash = 0;
  for (let index = 0; index < count; index++) {
    const vector = fetch(order[index] ?? "", index);
    hash = harness.mixFloat(hash, vector[0] ?? 0);
    hash = harness.mixFloat(hash, vector[dimension - 1] ?? 0);
  }
  return hash;
}

/** The same for the bytes of a vector, wherever they begin. */
function hashOfBytes(fetch: (key: string) => Uint8Array | undefined): number {
  let hash = 0;
  for (let index = 0; index < count; index++) {
    const bytes = fetch(order[index] ?? "");
    if (!bytes) throw new Error(`${order[index]} is missing`);
    hash = harness.mixFloatAt(hash, bytes, 0);
    hash = harness.mixFloatAt(hash, bytes, dimension * 4 - 4);
  }
  return hash;
}

function addFloors(): void {
  const out = new Float32Array(dimension);
  const vectorOf = (index: number): Float32Array => {
    const row = rows[index] ?? 0;
    return set.values.subarray(row * dimension, (row + 1) * dimension);
  };
  const copy = (_: string, index: number): Float32Array => {
    out.set(vectorOf(index));
    return out;
  };
  contestants.push({ name: "floor: copy", run: () => hashOf(copy) });
  const copyToNew = (_: string, index: number): Float32Array => vectorOf(index).slice();
  contestants.push({ name: "floor: copy to a new array", run: () => hashOf(copyToNew) });
}

function addVectorLite(cacheSize: number, suffix: string): void {
  const path = join(folder, "get.vl");
  const cache = new EmbedCache({ path, dimension, cacheSize });
  const out = new Float32Array(dimension);
  const getInto = (key: string): Float32Array => {
    if (!cache.getInto(key, out)) throw new Error(`${key} is missing`);
    return out;
  };
  const get = (key: string): Float32Array => {
    const vector = cache.get(key);
    if (!vector) throw new Error(`${key} is missing`);
    return vector;
  };
  contestants.push({ name: `getInto${suffix}`, run: () => hashOf(getInto) });
  contestants.push({ name: `get${suffix}`, run: () => hashOf(get) });
  closers.push(() => cache.close());
}

async function addLmdb(): Promise<void> {
  const loaded = await lmdb();
  if ("absence" in loaded) {
    absences.push(loaded.absence);
    return;
  }
  const store = loaded.peer(folder);
  store.transactionSync(() => {
    for (const [row, key] of set.keys.entries()) store.putSync(key, bytesOf(row));
  });
  contestants.push({ name: "lmdb get", run: () => hashOfBytes((key) => store.get(key)) });
  contestants.push({
    name: "lmdb getBinaryFast",
    run: () => hashOfBytes((key) => store.getBinaryFast(key)),
  });
  closers.push(() => store.close());
}

async function addSqlite(): Promise<void> {
  const loaded = await sqlite();
  if ("absence" in loaded) {
    absences.push(loaded.absence);
    return;
  }
  const database = loaded.peer.open(join(folder, "get.sqlite"));
  database.exec("PRAGMA journal_mode = WAL");
  database.exec("CREATE TABLE vectors (key TEXT PRIMARY KEY, vector BLOB)");
  const insert = database.prepare("INSERT INTO vectors VALUES (?, ?)");
  database.exec("BEGIN");
  for (const [row, key] of set.keys.entries()) insert.run(key, bytesOf(row));
  database.exec("COMMIT");
  const select = database.prepare("SELECT vector FROM vectors WHERE key = ?");
  contestants.push({
    name: loaded.peer.name,
    run: () => hashOfBytes((key) => select.get(key)?.["vector"] as Uint8Array),
  });
  closers.push(() => database.close());
}

function bytesOf(row: number): Uint8Array {
  return Buffer.from(set.values.buffer, row * dimension * 4, dimension * 4);
}

const writer: EmbedCache = new EmbedCache({ path: join(folder, "get.vl"), dimension });
writer.setMany(set.keys, set.values);
writer.close();
addFloors();
addVectorLite(100, "");
addVectorLite(count, ", cacheSize 10,000");
await addLmdb();
await addSqlite();

async function compare(title: string, fetched: Uint32Array): Promise<void> {
  rows = fetched;
  order = [...rows].map((row) => set.keys[row] ?? "");
  const options = { rounds: 15, operations: count, rehearse: true };
  const results = await harness.measure(contestants, options);
  harness.printTable(title, results, { yardstick: "lmdb get", absences });
}

await compare("get: 10,000 x 1536, all of them in a random order", shuffled(count, 7));
const hot: Uint32Array = shuffled(count, 8).map((number) => number % hotCount);
await compare("get: 10,000 x 1536, always one of the same 100", hot);
for (const close of closers) await close();
