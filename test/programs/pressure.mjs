/**
 * Collects garbage all the time while it uses a database, and prints what it found as JSON. On Node
 * it needs --expose-gc.
 *
 *     pressure.mjs <file> results | forgotten | reachable | cycles
 */
import { readdirSync } from "node:fs";
import { Database, EmbedCache } from "../../dist/index.js";

const [path, way] = process.argv.slice(2);
const collect = () => (globalThis.Bun === undefined ? globalThis.gc() : Bun.gc(true));
const descriptors = () => readdirSync("/dev/fd").length;
const turn = () => new Promise((resolve) => setTimeout(resolve, 1));

function results() {
  const cache = new EmbedCache({ path, dimension: 16, cacheSize: 100 });
  const live = [];
  for (let n = 0; n < 300; n++) {
    cache.set(`key ${n}`, new Float32Array(16).fill(n + 1));
    const { vectors } = cache.getMany([`key ${n}`, `key ${n >> 1}`]);
    live.push([n, cache.get(`key ${n}`)], [n, vectors.subarray(0, 16)]);
    live.push([n >> 1, vectors.subarray(16)]);
    live.push([n, cache.findSimilar(new Float32Array(16).fill(1), { threshold: 0.5 })]);
    if (n % 10 === 0) collect();
  }
  for (let n = 0; n < 300; n++) cache.set(`key ${n}`, new Float32Array(16).fill(-1));
  cache.clear();
  cache.close();
  collect();
  let wrong = 0;
  let looked = 0;
  for (let round = 0; round < 3; round++) {
    for (const [n, result] of live.filter((_, index) => index % 4 !== 3)) {
      if (result.length !== 16 || !result.every((number) => number === n + 1)) wrong++;
      looked++;
    }
    for (const [, hit] of live.filter((_, index) => index % 4 === 3)) {
      if (!hit.vector.every((number) => number === hit.vector[0])) wrong++;
    }
    collect();
  }
  return { wrong, looked: looked + 300 };
}

async function forgotten() {
  new Database(path).collection("docs", { dimension: 4 }).upsert("key", [1, 2, 3, 4]);
  collect();
  await turn();
  const before = descriptors();
  const open = () => {
    const db = new Database(path);
    const snapshot = db.snapshot();
    return snapshot.collection("docs").size + db.collection("docs").size;
  };
  let opened = 0;
  for (let n = 0; n < 600; n++) {
    if (open() === 2) opened++;
    if (n % 20 === 0) {
      collect();
      await turn();
    }
  }
  for (let n = 0; n < 20; n++) {
    collect();
    await turn();
  }
  const left = (descriptors() - before) / 2;
  const db = new Database(path, { busyTimeout: 0 });
  db.collection("docs").upsert("key", [4, 3, 2, 1]);
  const locked = db.stats().snapshots;
  db.close();
  return { opened, left, locked };
}

async function reachable() {
  const docs = new Database(path).collection("docs", { dimension: 4 });
  for (let n = 0; n < 100; n++) docs.upsert(`key ${n}`, [n, n, n, 1]);
  const old = new Database(path).snapshot().collection("docs");
  const keys = new Database(path).collection("docs").keys();
  docs.upsert("key 100", [1, 1, 1, 1]);
  let looked = 0;
  let wrong = 0;
  for (let n = 0; n < 100; n++) {
    collect();
    await turn();
    if (old.size !== 100 || old.getVector(`key ${n}`)?.[0] !== n) wrong++;
    if (docs.getVector(`key ${n}`)?.[2] !== n || docs.size !== 101) wrong++;
    if (typeof keys.next().value !== "string") wrong++;
    looked += 4;
  }
  return { wrong, looked };
}

async function cycles() {
  // What weak references were made to lives until the turn is over.
  const cycles = async (count) => {
    for (let n = 0; n < count; n++) {
      const db = new Database(path);
      const docs = db.collection("docs", { dimension: 4 });
      docs.getVector("key");
      db.close();
      if (n % 100 === 0) await turn();
    }
    collect();
  };
  await cycles(10_000);
  const before = { descriptors: descriptors(), bytes: process.memoryUsage.rss() };
  await cycles(10_000);
  return {
    descriptors: descriptors() - before.descriptors,
    bytes: process.memoryUsage.rss() - before.bytes,
  };
}

const found = await { results, forgotten, reachable, cycles }[way]();
process.stdout.write(`${JSON.stringify(found)}\n`);
