/**
 * How long does it take to get one vector by its key?
 *
 * 10,000 vectors of 1536 dimensions, all of them fetched in a random order, with the file in the
 * system's cache. The floor is the bare copy of one vector out of memory, which nothing that hands
 * out a copy can beat. `bun bench/run.ts get`
 */

import { join } from "node:path";
import { EmbedCache } from "../src/index.ts";
import { shuffled, vectorSet } from "./data.ts";
import * as harness from "./harness.ts";
import { lmdb, sqlite } from "./peers.ts";

const set = vectorSet(10_000, 1536);
const { count, dimension } = set;
const order: string[] = [...shuffled(count, 7)].map((row) => set.keys[row] ?? "");
const folder = harness.scratchFolder();
const contestants: harness.Contestant[] = [];
const absences: harness.Absence[] = [];

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
    const view = new DataView(bytes.buffer, bytes.byteOffset, dimension * 4);
    hash = harness.mixFloat(hash, view.getFloat32(0, true));
    hash = harness.mixFloat(hash, view.getFloat32(dimension * 4 - 4, true));
  }
  return hash;
}

function addFloor(): void {
  const out = new Float32Array(dimension);
  const rows = shuffled(count, 7);
  const run = (): number =>
    hashOf((_, index) => {
      const row = rows[index] ?? 0;
      out.set(set.values.subarray(row * dimension, (row + 1) * dimension));
      return out;
    });
  contestants.push({ name: "copy out of memory", run });
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
  contestants.push({ name: `get${suffix}`, run: () => hashOf(get), close: () => cache.close() });
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
    close: () => store.close(),
  });
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
    close: () => database.close(),
  });
}

function bytesOf(row: number): Uint8Array {
  return Buffer.from(set.values.buffer, row * dimension * 4, dimension * 4);
}

const writer: EmbedCache = new EmbedCache({ path: join(folder, "get.vl"), dimension });
writer.setMany(set.keys, set.values);
writer.close();
addFloor();
addVectorLite(100, "");
addVectorLite(count, ", cacheSize 10,000");
await addLmdb();
await addSqlite();
const results: harness.Result[] = await harness.measure(contestants, {
  rounds: 15,
  operations: count,
});
harness.printTable("get: one vector by its key, 10,000 x 1536, random order", results, {
  yardstick: "lmdb get",
  absences,
});
