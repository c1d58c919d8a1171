/**
 * Searches that the event loop does not wait for: they find what `search()` finds at the call,
 * whatever happens meanwhile.
 */

import { join } from "node:path";
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { type Collection, Database, type Metric, type SearchOptions } from "vectorlite";
import { describe, expect, test } from "vitest";
import {
  closing,
  expectCode,
  expectRejection,
  randomVectors,
  root,
  runProgram,
  temporaryPath,
} from "./helpers.ts";

const dimension = 96;
const count = 2500;

/** Records in `:memory:`, or in a file. */
function filled(metric: Metric = "cosine", path = ":memory:"): { db: Database; docs: Collection } {
  const db = closing(new Database(path, { durability: "none" }));
  const docs = db.collection("docs", { dimension, metric });
  const vectors = randomVectors(5, count, dimension);
  docs.upsertMany(vectors.map((vector, n) => ({ key: `k${n}`, vector, metadata: { n } })));
  return { db, docs };
}

/** Queries that take long enough for something to happen meanwhile. */
function manyQueries(queries: number): Float32Array {
  return Float32Array.from(randomVectors(6, queries, dimension).flatMap((query) => [...query]));
}

describe.each(["cosine", "dot", "l2"] as const)("under %s", (metric) => {
  test("finds what search finds, with all of its options", async () => {
    const { docs } = filled(metric);
    // Some of them twice, so that keys decide.
    for (let n = 0; n < 200; n += 2) {
      const vector = docs.getVector(`k${n}`) as Float32Array;
      docs.upsert(`same ${n}`, vector, { n: -n });
    }
    const queries = randomVectors(7, 6, dimension);
    const scores = docs.search(queries[0] as Float32Array, { k: 60 }).map(({ score }) => score);
    const threshold = scores[30] as number;
    const cases: SearchOptions[] = [
      {},
      { k: 1 },
      { k: 3000 },
      { k: 40, threshold },
      { k: 7, offset: 13 },
      { include: [] },
      { include: ["vector"], k: 20 },
      { include: ["vector", "metadata"], exact: true },
      ...[1, 2, 5].flatMap((threads) => [{ threads }, { threads, exact: true, k: 100 }]),
    ];
    for (const options of cases) {
      for (const query of [...queries, docs.getVector("k2") as Float32Array]) {
        const expected = docs.search(query, options);
        expect(await docs.searchAsync(query, options)).toEqual(expected);
      }
      const expected = docs.searchMany(queries, options);
      expect(await docs.searchManyAsync(queries, options)).toEqual(expected);
    }
  });
});

describe("a search in the background", () => {
  test("finds nothing where there is nothing", async () => {
    const db = closing(new Database(":memory:"));
    const docs = db.collection("docs", { dimension: 2 });
    expect(await docs.searchAsync([1, 2])).toEqual([]);
    expect(await docs.searchManyAsync([])).toEqual([]);
    expect(await docs.searchManyAsync([[1, 2]])).toEqual([[]]);
  });

  test("takes an array of numbers, and a list of them", async () => {
    const { docs } = filled();
    const query = [...(randomVectors(8, 1, dimension)[0] as Float32Array)];
    expect(await docs.searchAsync(query)).toEqual(docs.search(query));
    expect(await docs.searchManyAsync([query])).toEqual(docs.searchMany([query]));
  });

  test("sees the state of the call, not what the same turn writes after it", async () => {
    for (const path of [":memory:", temporaryPath()]) {
      const { db, docs } = filled("cosine", path);
      const query = docs.getVector("k7") as Float32Array;
      const expected = docs.search(query);
      const running = docs.searchAsync(query);
      docs.upsert("k7", randomVectors(9, 1, dimension)[0] as Float32Array);
      docs.delete(expected[1]?.key ?? "");
      db.transaction(() => docs.upsert("newer", query));
      expect(await running).toEqual(expected);
      expect(docs.search(query)[0]?.key).toBe("newer");
      const dropping = docs.searchAsync(query);
      const before = docs.search(query);
      db.dropCollection("docs");
      expect(await dropping).toEqual(before);
      await expectRejection(docs.searchAsync(query), "ERR_CLOSED");
      expect(db.stats().snapshots).toBe(0);
    }
  });

  test("sees the state of a snapshot where it is asked for one", async () => {
    const { db, docs } = filled();
    const query = docs.getVector("k9") as Float32Array;
    const snapshot = closing(db.snapshot());
    const past = snapshot.collection("docs");
    const expected = past.search(query);
    docs.delete("k9");
    expect(await past.searchAsync(query)).toEqual(expected);
    db.transaction(() => docs.upsert("k9", query));
    const [running, closed] = [past.searchAsync(query), past.searchManyAsync(manyQueries(100))];
    expect(await running).toEqual(expected);
    snapshot.close();
    await expectRejection(closed, "ERR_CLOSED");
  });

  test("copies the query and the options", async () => {
    const { docs } = filled();
    const query = (randomVectors(10, 1, dimension)[0] as Float32Array).slice();
    const options: SearchOptions = { k: 5, include: ["metadata"] };
    const expected = docs.search(query, options);
    const running = docs.searchAsync(query, options);
    const packed = manyQueries(3);
    const all = docs.searchMany(packed);
    const runningAll = docs.searchManyAsync(packed);
    query.fill(Number.NaN);
    packed.fill(1);
    options.k = 1;
    expect(await running).toEqual(expected);
    expect(await runningAll).toEqual(all);
  });

  test("is one of many at once", async () => {
    const { db, docs } = filled();
    const queries = randomVectors(11, 60, dimension);
    const expected = queries.map((query) => docs.search(query));
    const found = await Promise.all(queries.map((query) => docs.searchAsync(query)));
    expect(found).toEqual(expected);
    expect(db.stats().snapshots).toBe(0);
  });

  test("takes turns with the others: a short one does not wait for a long one", async () => {
    const { docs } = filled();
    const query = docs.getVector("k1") as Float32Array;
    const order: string[] = [];
    const started = performance.now();
    const long = docs.searchManyAsync(manyQueries(1500), { exact: true }).then(() => {
      order.push("long");
    });
    const short = docs.searchAsync(query).then(() => order.push("short"));
    await Promise.all([long, short]);
    if (performance.now() - started > 300) expect(order).toEqual(["short", "long"]);
  });

  test("lets timers and other calls go on", async () => {
    const { db, docs } = filled();
    let ticks = 0;
    let isOver = false;
    const started = performance.now();
    const running = docs.searchManyAsync(manyQueries(400), { exact: true }).finally(() => {
      isOver = true;
    });
    while (!isOver) {
      expect(docs.getVector(`k${ticks % count}`)).toHaveLength(dimension);
      docs.upsert(`written ${ticks % 50}`, docs.getVector("k3") as Float32Array);
      ticks++;
      await nextTurn();
    }
    expect(await running).toHaveLength(400);
    if (performance.now() - started > 50) expect(ticks).toBeGreaterThan(5);
    expect(db.stats().snapshots).toBe(0);
  });

  test("ends with ERR_CLOSED where the database is closed meanwhile", async () => {
    for (const delay of [0, 1, 5, 20]) {
      const path = temporaryPath();
      const { db, docs } = filled("cosine", path);
      const running = docs.searchManyAsync(manyQueries(500), { exact: true });
      const waiting = docs.searchAsync(docs.getVector("k1") as Float32Array);
      const settled = Promise.allSettled([running, waiting]);
      if (delay > 0) await sleep(delay);
      db.close();
      for (const outcome of await settled) {
        // One that was over before is not unmade.
        if (outcome.status === "fulfilled" && delay > 0) continue;
        const error: unknown = outcome.status === "rejected" ? outcome.reason : outcome.value;
        await expectRejection(Promise.reject(error), "ERR_CLOSED");
      }
      await expectRejection(docs.searchAsync(new Float32Array(dimension).fill(1)), "ERR_CLOSED");
      await expectRejection(docs.searchManyAsync([]), "ERR_CLOSED");
      // Nobody holds the state any more: its space is given back.
      using again = new Database(path);
      again.collection("docs").deleteMany(Array.from({ length: count }, (_, n) => `k${n}`));
      again.flush();
      again.collection("docs").upsert("last", new Float32Array(dimension).fill(1));
      await again.compact();
      await again.compact();
      expect(again.stats().fileSize).toBeLessThan((count * dimension * 4) / 2);
    }
  });

  test.each([
    ["ERR_DIMENSION", [1, 2, 3], {}],
    ["ERR_INVALID_VECTOR", Array(dimension).fill(Number.NaN), {}],
    ["ERR_INVALID_VECTOR", Array(dimension).fill(0), {}],
    ["ERR_INVALID_ARGUMENT", "text", {}],
    ["ERR_INVALID_ARGUMENT", undefined, {}],
    ["ERR_INVALID_ARGUMENT", Array(dimension).fill(1), { k: 0 }],
    ["ERR_INVALID_ARGUMENT", Array(dimension).fill(1), { threads: 65 }],
    ["ERR_INVALID_ARGUMENT", Array(dimension).fill(1), { limit: 5 }],
  ] as const)("rejects with %s as search throws it", async (code, query, options) => {
    const { db, docs } = filled();
    const asked = options as SearchOptions;
    const thrown = expectCode(() => docs.search(query as never, asked), code);
    const rejection = await expectRejection(docs.searchAsync(query as never, asked), code);
    expect(rejection.message.replace("searchAsync()", "search()")).toBe(thrown.message);
    await expectRejection(docs.searchManyAsync([query] as never, asked), code);
    expect(db.stats().snapshots).toBe(0);
    expect(await docs.searchAsync(docs.getVector("k1") as Float32Array)).toHaveLength(10);
  });

  test("is refused inside of a transaction, whose writes it would not see", async () => {
    const { db, docs } = filled();
    const query = docs.getVector("k1") as Float32Array;
    let refused: Promise<unknown> = Promise.resolve();
    db.transaction(() => {
      refused = expectRejection(docs.searchAsync(query), "ERR_INVALID_ARGUMENT");
    });
    await refused;
    expect(await docs.searchAsync(query)).toEqual(docs.search(query));
  });

  test("keeps its database open until it is over, though nobody else holds it", async () => {
    const search = (): Promise<unknown[]> => {
      const db = new Database(":memory:");
      const docs = db.collection("docs", { dimension });
      docs.upsertMany(
        randomVectors(5, count, dimension).map((vector, n) => ({ key: `${n}`, vector })),
      );
      return docs.searchManyAsync(manyQueries(300), { exact: true });
    };
    const running = search();
    for (let n = 0; n < 20; n++) {
      (globalThis as { gc?: () => void }).gc?.();
      if (process.versions["bun"] !== undefined) Bun.gc(true);
      await nextTurn();
    }
    expect(await running).toHaveLength(300);
  });

  test("keeps the process alive until it is over, unless that exits", async () => {
    const path = temporaryPath();
    filled("cosine", path).db.close();
    const kept = await runProgram("test/programs/searcher.mjs", [path, "await"]);
    expect(kept).toMatchObject({ status: 0, stdout: "400\n", stderr: "" });
    const left = await runProgram("test/programs/searcher.mjs", [path, "exit"]);
    expect(left).toMatchObject({ status: 3, stdout: "", stderr: "" });
  });
});

describe("in a worker", () => {
  function startWorker(path: string, queries: number): Worker {
    const worker = new Worker(join(root, "test/programs/searcher.mjs"), {
      workerData: { path, queries },
    });
    return worker;
  }

  function message(worker: Worker): Promise<unknown> {
    return new Promise((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    });
  }

  test("finds the same", async () => {
    const path = temporaryPath();
    const { db, docs } = filled("cosine", path);
    const expected = docs.searchMany(manyQueries(1), { exact: true, k: 3 });
    db.close();
    const worker = startWorker(path, 400);
    expect(await message(worker)).toBe("started");
    expect(await message(worker)).toEqual({ queries: 400, hits: expected[0]?.length });
    await worker.terminate();
  });

  test("leaves nothing behind where that is terminated meanwhile", async () => {
    const path = temporaryPath();
    filled("cosine", path).db.close();
    for (let round = 0; round < 6; round++) {
      const worker = startWorker(path, 3000);
      expect(await message(worker)).toBe("started");
      await sleep(round * 4);
      const started = performance.now();
      await worker.terminate();
      expect(performance.now() - started).toBeLessThan(5000);
    }
    using db = new Database(path, { busyTimeout: 100 });
    const docs = db.collection("docs");
    docs.deleteMany(Array.from({ length: count }, (_, n) => `k${n}`));
    db.flush();
    docs.upsert("last", new Float32Array(dimension).fill(1));
    await db.compact();
    await db.compact();
    expect(db.stats().fileSize).toBeLessThan((count * dimension * 4) / 2);
  });
});
