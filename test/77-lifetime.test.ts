/**
 * Ends that nobody planned: threads terminated and processes ended in the middle of a transaction,
 * handles that are forgotten, results that are handed to other threads, a collector under pressure.
 */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { MessageChannel, receiveMessageOnPort, Worker } from "node:worker_threads";
import { Database, EmbedCache } from "vectorlite";
import { describe, expect, test } from "vitest";
import { expectCode, root, run, runProgram, temporaryPath } from "./helpers.ts";
import { runtimes, scale } from "./processes.ts";

const durabilities = ["full", "normal", "none"] as const;

/** Starts a worker and waits until it counted up to `count`. */
async function workerThatReached(program: string, data: object, count: number): Promise<Worker> {
  const signal = new SharedArrayBuffer(4);
  const counter = new Int32Array(signal);
  const worker = new Worker(join(root, "test/programs", program), {
    workerData: { ...data, signal },
  });
  const failed = new Promise<never>((_, reject) => worker.once("error", reject));
  const reached = (async () => {
    while (Atomics.load(counter, 0) < count) await new Promise((go) => setTimeout(go, 1));
  })();
  await Promise.race([reached, failed]);
  failed.catch(() => undefined);
  return worker;
}

describe("a worker thread that is terminated", () => {
  test.each(durabilities)(
    "inside a transaction under %s gives the lock back and leaves nothing of it",
    async (durability) => {
      const path = temporaryPath();
      using db = new Database(path, { busyTimeout: 5000 });
      const docs = db.collection("docs", { dimension: 4 });
      docs.upsert("key 0", [1, 2, 3, 4]);
      for (let round = 0; round < 5 * scale; round++) {
        const worker = await workerThatReached("stuck.mjs", { path, durability }, 1);
        expect(docs.getVector("key 0")).toEqual(Float32Array.of(1, 2, 3, 4));
        await worker.terminate();
        docs.upsert("own", [round, 1, 1, 1]);
        expect([...docs.keys()].sort()).toEqual(["key 0", "own"]);
        expect(docs.getVector("key 0")).toEqual(Float32Array.of(1, 2, 3, 4));
      }
    },
  );

  test.each(durabilities)(
    "in the middle of batches under %s leaves whole batches and its lock",
    async (durability) => {
      const path = temporaryPath();
      using db = new Database(path, { busyTimeout: 5000 });
      const docs = db.collection("docs", { dimension: 4 });
      for (let round = 0; round < 8 * scale; round++) {
        const worker = await workerThatReached("batches.mjs", { path, durability }, 3 + round);
        await worker.terminate();
        docs.upsert("own", [round, 1, 1, 1]);
        const batches = new Set<number>();
        for (const { key, vector } of docs.entries()) {
          if (key !== "own") for (const number of vector) batches.add(number);
        }
        expect([...batches]).toHaveLength(1);
        expect(docs.size).toBe(51);
      }
    },
  );
});

describe("a process that ends inside a transaction", () => {
  test.each([
    ["exit", { status: 7 }],
    ["throw", { status: 1 }],
    ["abort", {}],
    ["kill", { signal: "SIGKILL" }],
  ] as const)("by %s leaves what was committed before, and no lock", async (way, ending) => {
    const path = temporaryPath();
    const ended = await runProgram("test/programs/endings.mjs", [path, way]);
    expect(ended).toMatchObject(ending);
    expect(ended.stdout).toBe("");
    if (way === "throw") expect(ended.stderr).toContain("thrown inside");
    using db = new Database(path, { busyTimeout: 0 });
    const docs = db.collection("docs");
    expect([...docs.keys()]).toEqual(["before"]);
    expect(docs.getVector("before")).toEqual(Float32Array.of(1, 1, 1, 1));
    docs.upsert("after", [1, 2, 3, 4]);
  });

  test.each(["fork", "spawn"])("and one that starts a child there (%s) commits", async (way) => {
    const path = temporaryPath();
    const ended = await runProgram("test/programs/endings.mjs", [path, way]);
    expect(ended).toMatchObject({ status: 0, stdout: "committed\n", stderr: "" });
    using db = new Database(path, { busyTimeout: 0 });
    expect(db.collection("docs").size).toBe(501);
  });
});

describe("a process that ends", () => {
  const program = `
    import { rmSync } from "node:fs";
    import { Database } from ${JSON.stringify(join(root, "dist/index.js"))};
    const open = process.argv.slice(2).map((path) => {
      const db = new Database(path, { durability: "normal" });
      db.collection("docs", { dimension: 2 }).upsert("key", [1, 2]);
      return db;
    });
    rmSync(process.argv[2]);
    process.exitCode = 3;
  `;

  test("with a file that is gone warns, keeps its status, and closes the others", async () => {
    const [gone, kept] = [temporaryPath(), temporaryPath()];
    const script = temporaryPath("ends.mjs");
    writeFileSync(script, program);
    for (const runtime of runtimes()) {
      const ended = await run(runtime, [script, gone, kept]);
      expect(ended).toMatchObject({ status: 3, stdout: "" });
      const warnings = ended.stderr.trim().split("\n");
      expect(warnings).toEqual([expect.stringMatching(/^Warning: VectorLite could not close/)]);
      expect(warnings[0]).toContain(JSON.stringify(gone));
      using db = new Database(kept, { busyTimeout: 0 });
      expect(db.collection("docs").size).toBe(1);
    }
  });
});

/** What a program with `--expose-gc` prints about itself: the tests have no collector on Node. */
async function underPressure(way: string, program = "pressure.mjs"): Promise<unknown> {
  const path = temporaryPath();
  const flags = process.versions["bun"] === undefined ? ["--expose-gc"] : [];
  const file = join(root, "test/programs", program);
  const ended = await run(process.execPath, [...flags, file, path, way]);
  expect(ended).toMatchObject({ status: 0, stderr: "" });
  return JSON.parse(ended.stdout);
}

describe("under a collector that never rests", () => {
  test("results stay what they were, after writes, after close, and in any order", async () => {
    expect(await underPressure("results")).toEqual({ wrong: 0, looked: 3000 });
  });

  test("answers of megabytes share no memory with later ones, in several threads", async () => {
    const { looked, wrong } = (await underPressure("", "answers.mjs")) as Record<string, number>;
    expect(wrong).toBe(0);
    expect(looked).toBeGreaterThan(900);
  });

  test("forgotten handles are closed, and hold no lock, memory or descriptor", async () => {
    const { opened, left, locked } = (await underPressure("forgotten")) as Record<string, number>;
    expect(opened).toBe(600);
    expect(left).toBeLessThan(60);
    expect(locked).toBe(0);
  });

  test("a collection, a snapshot and an iteration keep their database alive", async () => {
    expect(await underPressure("reachable")).toEqual({ wrong: 0, looked: 400 });
  });
});

describe("handles without end", () => {
  test("may be opened and closed ten thousand times: nothing grows", async () => {
    const { descriptors, bytes } = (await underPressure("cycles")) as Record<string, number>;
    expect(descriptors).toBe(0);
    expect(bytes).toBeLessThan(16 << 20);
  });
});

/** Sends a value through a channel, which copies it, and moves what is in `moved`. */
function send<Value>(value: Value, moved: ArrayBuffer[]): Value {
  const { port1, port2 } = new MessageChannel();
  port1.postMessage(value, moved);
  const received = receiveMessageOnPort(port2) as { message: Value };
  port1.close();
  return received.message;
}

function bufferOf(vector: Float32Array): ArrayBuffer {
  return vector.buffer as ArrayBuffer;
}

describe("results that go to another thread", () => {
  const keys = Array.from({ length: 40 }, (_, n) => `key ${n}`);
  const fill = (n: number): Float32Array => new Float32Array(8).fill(n + 1);

  test.each([true, false])("leave the cache as it was (vectors kept in memory: %s)", (kept) => {
    using cache = new EmbedCache({
      path: temporaryPath(),
      dimension: 8,
      cacheSize: kept ? 1000 : 0,
    });
    cache.setMany(
      keys,
      keys.map((_, n) => fill(n)),
    );
    for (let round = 0; round < 20; round++) {
      for (const [n, key] of keys.entries()) {
        const vector = cache.get(key) as Float32Array;
        // A view into something larger would take its neighbours along.
        expect(vector.buffer.byteLength).toBe(32);
        expect(structuredClone(vector)).toEqual(fill(n));
        expect(send(vector, [bufferOf(vector)])).toEqual(fill(n));
        expect(vector.length).toBe(0);
        expect(cache.get(key)).toEqual(fill(n));
      }
      const { vectors, found } = cache.getMany(keys);
      send(vectors, [bufferOf(vectors)]);
      expect(send(found, [found.buffer as ArrayBuffer])).toEqual(new Uint8Array(40).fill(1));
      const similar = cache.findSimilar(fill(3), { threshold: 0.5 });
      if (similar !== undefined) send(similar, [bufferOf(similar.vector)]);
      expect(cache.getMany(keys).vectors.subarray(8, 16)).toEqual(fill(1));
    }
  });

  test("leave a collection as it was, and what is given may be transferred afterwards", () => {
    using db = new Database(temporaryPath());
    const docs = db.collection<{ n: number }>("docs", { dimension: 8, metric: "l2" });
    for (const [n, key] of keys.entries()) {
      const vector = fill(n);
      docs.upsert(key, vector, { n });
      send(vector, [bufferOf(vector)]);
    }
    for (let round = 0; round < 20; round++) {
      const record = docs.get("key 7");
      expect(structuredClone(record)).toEqual({
        key: "key 7",
        vector: fill(7),
        metadata: { n: 7 },
      });
      if (record) send(record, [bufferOf(record.vector)]);
      const hits = docs.search(fill(7), { k: 3, include: ["vector", "metadata"] });
      expect(hits[0]).toMatchObject({ key: "key 7", vector: fill(7), metadata: { n: 7 } });
      const buffers = new Set(hits.map((hit) => bufferOf(hit.vector)));
      send(hits, [...buffers]);
      for (const entry of docs.entries()) send(entry, [bufferOf(entry.vector)]);
      expect(docs.get("key 7")?.vector).toEqual(fill(7));
    }
    const given = new Float32Array(8);
    expect(docs.getInto("key 7", given)).toBe(true);
    send(given, [bufferOf(given)]);
    expectCode(() => docs.getInto("key 7", given), "ERR_INVALID_VECTOR");
    expectCode(() => docs.upsert("key 7", given), "ERR_INVALID_VECTOR");
    expect(docs.get("key 7")?.vector).toEqual(fill(7));
  });
});
