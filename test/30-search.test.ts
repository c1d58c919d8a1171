/**
 * Search: with codes and without them, compared with a plain model and with the ground truth of
 * real data sets.
 */

import { join } from "node:path";
import { type Collection, Database, type Metric } from "vectorlite";
import { describe, expect, test } from "vitest";
import {
  closing,
  cosine,
  dataSet,
  dot,
  euclidean,
  expectCode,
  keysOf,
  randomVectors,
  readFvecs,
  readIvecs,
  skipAloud,
  temporaryPath,
} from "./helpers.ts";

const models: Record<Metric, (a: Float32Array, b: Float32Array) => number> = {
  cosine,
  dot,
  l2: euclidean,
};

function newCollection(dimension: number, metric: Metric = "cosine"): Collection<{ n: number }> {
  const db = closing(new Database(":memory:"));
  return db.collection<{ n: number }>("docs", { dimension, metric });
}

/** A collection of n random vectors with keys k0, k1, … and metadata { n }. */
function filled(
  count: number,
  dimension: number,
  metric: Metric = "cosine",
): { docs: Collection<{ n: number }>; vectors: Float32Array[] } {
  const docs = newCollection(dimension, metric);
  const vectors = randomVectors(count + dimension, count, dimension);
  docs.upsertMany(vectors.map((vector, n) => ({ key: `k${n}`, vector, metadata: { n } })));
  return { docs, vectors };
}

/** The same around 60 centres, so that some records are near and most are not. */
function clustered(count: number, dimension: number): ReturnType<typeof filled> {
  const docs = newCollection(dimension);
  const centres = randomVectors(1, 60, dimension);
  const vectors = randomVectors(2, count, dimension).map((noise, n) =>
    noise.map((value, i) => 0.5 * value + (centres[n % 60]?.[i] ?? 0)),
  );
  docs.upsertMany(vectors.map((vector, n) => ({ key: `k${n}`, vector, metadata: { n } })));
  return { docs, vectors };
}

describe.each(["cosine", "dot", "l2"] as const)("under %s", (metric) => {
  test.each([1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 100, 384, 1536])(
    "finds in %i dimensions what a plain model finds, in the same order",
    (dimension) => {
      const { docs, vectors } = filled(300, dimension, metric);
      const sign = metric === "l2" ? 1 : -1;
      for (const query of randomVectors(99, 5, dimension)) {
        const expected = vectors
          .map((vector, n) => ({ n, score: models[metric](query, vector) }))
          .sort((a, b) => sign * (a.score - b.score))
          .slice(0, 20);
        const hits = docs.search(query, { k: 20 });
        expect(hits).toHaveLength(20);
        hits.forEach((hit, rank) => {
          const model = expected[rank]?.score ?? Number.NaN;
          const scale = metric === "dot" ? dimension : 1;
          expect(Math.abs(hit.score - model)).toBeLessThan(1e-5 * scale + 1e-4 * Math.abs(model));
          const own = models[metric](query, vectors[hit.metadata.n] ?? query);
          expect(Math.abs(own - model)).toBeLessThan(1e-5 * scale + 1e-4 * Math.abs(model));
          expect(hit.key).toBe(`k${hit.metadata.n}`);
        });
        expect(new Set(keysOf(hits)).size).toBe(20);
      }
    },
  );

  test("applies a threshold: everything at least that close, nothing else", () => {
    const { docs, vectors } = filled(500, 16, metric);
    const query = randomVectors(7, 1, 16)[0] as Float32Array;
    const scores = docs.search(query, { k: 500 }).map((hit) => hit.score);
    const threshold = ((scores[99] ?? 0) + (scores[100] ?? 0)) / 2;
    const hits = docs.search(query, { k: 500, threshold });
    expect(hits).toHaveLength(100);
    expect(vectors).toHaveLength(500);
    const exactly = docs.search(query, { k: 500, threshold: scores[99] as number });
    expect(exactly).toHaveLength(100);
  });

  test("pages with offset without gap or repetition", () => {
    const { docs } = filled(100, 16, metric);
    const query = randomVectors(8, 1, 16)[0] as Float32Array;
    const all = keysOf(docs.search(query, { k: 100 }));
    const pages = [0, 30, 60, 90].flatMap((offset) =>
      keysOf(docs.search(query, { k: 30, offset })),
    );
    expect(pages).toEqual(all);
    expect(docs.search(query, { k: 5, offset: 100 })).toEqual([]);
    expect(docs.search(query, { k: 5, offset: 98 })).toHaveLength(2);
  });

  test("puts equal scores in key order, also where k cuts them", () => {
    const docs = newCollection(3, metric);
    const keys = ["m", "b", "z", "a", "é", "k", "c"];
    for (const key of keys) docs.upsert(key, [1, 2, 3]);
    docs.upsert("far", [-3, -2, -1]);
    expect(keysOf(docs.search([1, 2, 3], { k: 7 }))).toEqual(["a", "b", "c", "k", "m", "z", "é"]);
    expect(keysOf(docs.search([1, 2, 3], { k: 3 }))).toEqual(["a", "b", "c"]);
  });

  test("answers many queries as it answers one", () => {
    const { docs } = filled(400, 48, metric);
    const queries = randomVectors(9, 13, 48);
    const packed = Float32Array.from(queries.flatMap((query) => [...query]));
    const single = queries.map((query) => docs.search(query, { k: 7 }));
    expect(docs.searchMany(queries, { k: 7 })).toEqual(single);
    expect(docs.searchMany(packed, { k: 7 })).toEqual(single);
    const numbers = queries.map((query) => [...query]);
    expect(docs.searchMany(numbers, { k: 7 })).toEqual(single);
  });
});

describe("a search", () => {
  test("returns at most k hits, ten where nothing is said, and all where there are fewer", () => {
    const { docs, vectors } = filled(25, 8);
    const query = vectors[0] as Float32Array;
    expect(docs.search(query)).toHaveLength(10);
    expect(docs.search(query, { k: 3 })).toHaveLength(3);
    expect(docs.search(query, { k: 1000 })).toHaveLength(25);
    expect(docs.search(query, { k: 1 << 20 })).toHaveLength(25);
    expect(docs.search(query, { k: 1 })[0]).toMatchObject({ key: "k0", metadata: { n: 0 } });
  });

  test("carries what include says", () => {
    const { docs, vectors } = filled(3, 4);
    const query = vectors[1] as Float32Array;
    const [plain] = docs.search(query, { k: 1 });
    expect(Object.keys(plain ?? {}).sort()).toEqual(["key", "metadata", "score"]);
    const [both] = docs.search(query, { k: 1, include: ["vector", "metadata"] });
    expect(both).toMatchObject({ key: "k1", vector: vectors[1], metadata: { n: 1 } });
    const [bare] = docs.search(query, { k: 1, include: [] });
    expect(Object.keys(bare ?? {}).sort()).toEqual(["key", "score"]);
    const [vector] = docs.searchMany([query], { k: 1, include: ["vector"] })[0] ?? [];
    expect(Object.keys(vector ?? {}).sort()).toEqual(["key", "score", "vector"]);
    expect(vector?.vector.buffer.byteLength).toBe(16);
  });

  test("of an empty collection finds nothing", () => {
    const docs = newCollection(3);
    expect(docs.search([1, 2, 3])).toEqual([]);
    expect(docs.searchMany([[1, 2, 3]])).toEqual([[]]);
    expect(docs.searchMany([])).toEqual([]);
    expect(docs.searchMany(new Float32Array(0))).toEqual([]);
  });

  test("never finds what was deleted or replaced", () => {
    const { docs } = filled(300, 8);
    for (let n = 0; n < 300; n += 3) docs.delete(`k${n}`);
    for (let n = 1; n < 300; n += 3) docs.upsert(`k${n}`, Array(8).fill(1), { n: -n });
    const hits = docs.search(Array(8).fill(1), { k: 300 });
    expect(hits).toHaveLength(200);
    expect(new Set(keysOf(hits)).size).toBe(200);
    expect(hits.slice(0, 100).every(({ score }) => score > 0.9999)).toBe(true);
    expect(hits.slice(0, 100).every(({ metadata }) => metadata.n < 0)).toBe(true);
  });

  test("finds by codes what comparing every vector finds, and says so", () => {
    const { docs, vectors } = clustered(3000, 384);
    for (const query of vectors.slice(0, 20)) {
      const hits = docs.search(query, { k: 5 });
      expect(hits).toEqual(docs.search(query, { k: 5, exact: true }));
      const how = docs.explain(query, { k: 5 });
      expect(how).toMatchObject({ plan: "codes", hits: 5 });
      expect(how.codesScanned).toBeGreaterThan(2500);
      expect(how.codesScanned + how.compared).toBe(3000);
      expect(how.reranked).toBeGreaterThan(0);
      expect(["v2", "v3", "v4", "v4-vnni", "neon", "neon-dot"]).toContain(how.cpu);
    }
    const query = vectors[0] as Float32Array;
    const exact = docs.explain(query, { exact: true });
    expect(exact).toMatchObject({ plan: "exact", codesScanned: 0, reranked: 0, compared: 3000 });
    expect(exact.bytesRead).toBe(3000 * (384 * 4 + 32));
    expect(docs.explain(query).bytesRead).toBeLessThan(exact.bytesRead / 3);
  });

  test("finds the same with any number of threads, and says how many there were", () => {
    const { docs, vectors } = clustered(2000, 200);
    const queries = vectors.slice(0, 5);
    for (const exact of [false, true]) {
      const expected = docs.searchMany(queries, { exact, k: 20, threads: 1 });
      for (const threads of [2, 5, 64]) {
        expect(docs.searchMany(queries, { exact, k: 20, threads })).toEqual(expected);
        const how = docs.explain(vectors[0] as Float32Array, { exact, threads });
        expect(how.threads).toBeGreaterThanOrEqual(1);
        expect(how.threads).toBeLessThanOrEqual(threads);
      }
    }
    expect(docs.explain(vectors[0] as Float32Array)).toMatchObject({ threads: 1 });
    expect(docs.explain(vectors[0] as Float32Array, { threads: 3 }).threads).toBe(3);
    expect(docs.recall({ sample: 5, threads: 2 }).recall).toBe(1);
    expectCode(() => docs.recall({ threads: 0 }), "ERR_INVALID_ARGUMENT");
  });

  test("measures its own recall", () => {
    const { docs } = clustered(2000, 256);
    const report = docs.recall({ k: 5, sample: 40 });
    expect(report.sample).toBe(40);
    expect(report.recall).toBeGreaterThan(0.99);
    expect(report.exactMicros).toBeGreaterThan(0);
    expect(report.searchMicros).toBeGreaterThan(0);
    expect(newCollection(3).recall()).toMatchObject({ recall: 1, sample: 0 });
    const wrong = { sample: 0 };
    expect(expectCode(() => docs.recall(wrong), "ERR_INVALID_ARGUMENT").message).toMatch(/sample/);
    const unknown = { n: 3 } as never;
    expectCode(() => docs.recall(unknown), "ERR_INVALID_ARGUMENT");
  });

  test("fetches many large hits in bounded parts", () => {
    const { docs, vectors } = filled(900, 1024);
    const query = vectors[5] as Float32Array;
    const hits = docs.search(query, { k: 900, include: ["vector", "metadata"] });
    expect(hits).toHaveLength(900);
    for (const { vector, metadata } of hits) expect(vector).toEqual(vectors[metadata.n]);
  });

  test("says that ef is not supported yet", () => {
    const docs = newCollection(2);
    const options = { ef: 50 } as never;
    const error = expectCode(() => docs.search([1, 2], options), "ERR_INVALID_ARGUMENT");
    expect(error.message).toMatch(/not supported yet/);
  });

  test.each([
    ...[
      0,
      -1,
      1.5,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      2 ** 32,
      (1 << 20) + 1,
      "5",
      null,
      5n,
    ].map((k) => ({ k })),
    ...[-1, 1.5, Number.NaN, "5", null, 2 ** 32].map((offset) => ({ offset })),
    ...[Number.NaN, Number.POSITIVE_INFINITY, "0.5", null].map((threshold) => ({ threshold })),
    ...["vector", ["vectors"], [5], null, {}].map((include) => ({ include })),
    { exact: 1 },
    ...[0, -1, 65, 1.5, "2", null].map((threads) => ({ threads })),
    { k: 1 << 20, offset: 1 },
  ])("refuses %o and names it", (options) => {
    const docs = newCollection(2);
    docs.upsert("a", [1, 2]);
    const name = Object.keys(options)[0] ?? "";
    for (const search of [
      () => docs.search([1, 2], options as never),
      () => docs.searchMany([[1, 2]], options as never),
    ]) {
      expect(expectCode(search, "ERR_INVALID_ARGUMENT").message).toContain(name);
    }
  });

  test.each([
    [{ limit: 5 }, /Did you mean k\?/],
    [{ topK: 5 }, /Did you mean k\?/],
    [{ Threshold: 5 }, /threshold\?/],
    [{ includes: ["vector"] }, /include\?/],
  ])("takes %j for a misspelling", (options, message) => {
    const docs = newCollection(2);
    const error = expectCode(() => docs.search([1, 2], options as never), "ERR_INVALID_ARGUMENT");
    expect(error.message).toMatch(message);
  });
});

describe("real embeddings", () => {
  test.for([
    ["openai-ada002-docshub", "cosine"],
    ["bigann-128-10k", "l2"],
    ["bigann-128-10k", "cosine"],
    ["clip-vitb32-corel1k", "cosine"],
    ["openai-peliculas_text-embedding-3-small-1536", "cosine"],
    ["openai-peliculas_text-embedding-3-small-256", "cosine"],
  ] as const)("%s: every answer under %s is the true one", ([name, metric], context) => {
    const folder = dataSet(name);
    if (folder !== undefined) checkGroundTruth(folder, metric);
    else skipAloud(context, `../shared/data/${name} is not on this machine`);
  });
});

function checkGroundTruth(folder: string, metric: "cosine" | "l2"): void {
  const base = readFvecs(join(folder, "base.fvecs"));
  const queries = readFvecs(join(folder, "queries.fvecs")).slice(0, 100);
  const truth = readIvecs(join(folder, `groundtruth.${metric}.ivecs`));
  const scores = readFvecs(join(folder, `groundtruth.${metric}.scores.fvecs`));
  const dimension = base[0]?.length ?? 0;
  const db = closing(new Database(temporaryPath(), { durability: "none" }));
  const docs = db.collection<{ row: number }>("docs", { dimension, metric });
  docs.upsertMany(base.map((vector, row) => ({ key: `${row}`, vector, metadata: { row } })));
  const k = Math.min(10, base.length);
  const found = docs.searchMany(queries, { k });
  let wrong = 0;
  found.forEach((hits, query) => {
    const expected = new Set(truth[query]?.slice(0, k));
    const kth = scores[query]?.[k - 1] ?? 0;
    expect(hits).toHaveLength(k);
    for (const hit of hits) {
      // Squared distances are on file; rows that are as close as the k-th count as found.
      const asClose = metric === "l2" ? hit.score ** 2 <= kth * 1.000001 : hit.score >= kth - 1e-5;
      if (!expected.has(hit.metadata.row) && !asClose) wrong++;
    }
  });
  expect(wrong).toBe(0);
}
