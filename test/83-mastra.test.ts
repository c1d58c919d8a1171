/**
 * VectorLite in Mastra: each abstract member of its vector store, its filters beside a model of
 * what they mean, and what its own stores are asked for.
 */

import { MastraVector, type UpdateVectorParams } from "@mastra/core/vector";
import { Database } from "vectorlite";
import {
  VectorLiteVector,
  type VectorLiteVectorConfig,
  type VectorLiteVectorFilter,
} from "vectorlite/mastra";
import { describe, expect, test } from "vitest";
import { closing, euclidean, expectCode, expectRejection, temporaryPath } from "./helpers.ts";

const indexName = "docs";

async function newVectors(
  config: Partial<VectorLiteVectorConfig> = {},
  metric?: "cosine" | "euclidean" | "dotproduct",
): Promise<VectorLiteVector> {
  const source = config.database === undefined ? { path: ":memory:" } : {};
  const vectors = closing(new VectorLiteVector({ id: "test", ...source, ...config }));
  await vectors.createIndex({ indexName, dimension: 2, ...(metric && { metric }) });
  return vectors;
}

/** Some records, all with vectors of one direction. */
async function filled(metadata: Record<string, unknown>[]): Promise<VectorLiteVector> {
  const vectors = await newVectors();
  const ids = metadata.map((_, at) => `${at}`);
  await vectors.upsert({ indexName, vectors: metadata.map((_, at) => [1, at]), metadata, ids });
  return vectors;
}

/** The ids of what a filter matches, in their order. */
async function matching(
  vectors: VectorLiteVector,
  filter: VectorLiteVectorFilter,
): Promise<string[]> {
  const found = await vectors.query({ indexName, queryVector: [1, 0], topK: 100, filter });
  return found.map(({ id }) => id).sort();
}

describe("an index", () => {
  test("is created, listed, described and deleted", async () => {
    const vectors = await newVectors();
    expect(vectors).toBeInstanceOf(MastraVector);
    expect(vectors.id).toBe("test");
    await vectors.createIndex({ indexName: "b", dimension: 3, metric: "dotproduct" });
    await vectors.createIndex({ indexName: "c", dimension: 3, metric: "euclidean" });
    expect((await vectors.listIndexes()).sort()).toEqual(["b", "c", "docs"]);
    expect(await vectors.describeIndex({ indexName })).toEqual({
      dimension: 2,
      count: 0,
      metric: "cosine",
    });
    expect((await vectors.describeIndex({ indexName: "b" })).metric).toBe("dotproduct");
    expect((await vectors.describeIndex({ indexName: "c" })).metric).toBe("euclidean");
    await vectors.deleteIndex({ indexName: "b" });
    await vectors.deleteIndex({ indexName: "b" });
    expect((await vectors.listIndexes()).sort()).toEqual(["c", "docs"]);
  });

  test("that is there already has to be the same", async () => {
    const vectors = await filled([{}]);
    await vectors.createIndex({ indexName, dimension: 2 });
    expect((await vectors.describeIndex({ indexName })).count).toBe(1);
    const create = (dimension: unknown, metric?: unknown): Promise<void> =>
      vectors.createIndex({ indexName, dimension, metric } as never);
    await expectRejection(create(3), "ERR_DIMENSION");
    await expectRejection(create(2, "euclidean"), "ERR_INVALID_ARGUMENT");
  });

  test("needs a dimension and a metric that there is", async () => {
    const vectors = await newVectors();
    for (const params of [
      { dimension: 0 },
      { dimension: -1 },
      {},
      { dimension: 2, metric: "l2" },
      { dimension: 2, metric: "toString" },
    ]) {
      const create = vectors.createIndex({ indexName: "new", ...params } as never);
      await expectRejection(create, "ERR_INVALID_ARGUMENT");
    }
    expect(await vectors.listIndexes()).toEqual([indexName]);
  });

  test("that is not there is an error of every method that needs it", async () => {
    const vectors = await newVectors();
    const [indexName, ids, filter] = ["nowhere", ["1"], { a: 1 }];
    const calls: Promise<unknown>[] = [
      vectors.describeIndex({ indexName }),
      vectors.query({ indexName, queryVector: [1, 0] }),
      vectors.upsert({ indexName, vectors: [[1, 0]] }),
      vectors.updateVector({ indexName, id: "1", update: { vector: [1, 0] } }),
      vectors.deleteVector({ indexName, id: "1" }),
      vectors.deleteVectors({ indexName, ids }),
      vectors.deleteVectors({ indexName, filter }),
    ];
    for (const call of calls) {
      const error = await expectRejection(call, "ERR_INVALID_ARGUMENT");
      expect(error.message).toMatch(/"nowhere".*createIndex/);
    }
  });

  test("stays in the file, and comes from a database that somebody else opened", async () => {
    const path = temporaryPath();
    const first = await newVectors({ path });
    await first.upsert({ indexName, vectors: [[1, 2]], ids: ["a"], metadata: [{ a: { b: 1 } }] });
    first.close();
    first.close();
    await expectRejection(first.listIndexes(), "ERR_CLOSED");
    await expectRejection(first.query({ indexName, queryVector: [1, 2] }), "ERR_CLOSED");
    await expectRejection(first.deleteVector({ indexName, id: "a" }), "ERR_CLOSED");
    const database = closing(new Database(path));
    const second = new VectorLiteVector({ id: "second", database });
    second.close();
    expect(await second.query({ indexName, queryVector: [1, 2] })).toEqual([
      { id: "a", score: expect.closeTo(1, 6), metadata: { a: { b: 1 } } },
    ]);
  });

  test("takes a path or a database, an id, and no option that it does not know", () => {
    const database = closing(new Database(":memory:"));
    const configs = [
      { id: "a" },
      { id: "a", path: ":memory:", database },
      { id: "a", url: "file:a.vl" },
    ];
    for (const config of configs) {
      expectCode(() => new VectorLiteVector(config as never), "ERR_INVALID_ARGUMENT");
    }
    expect(() => new VectorLiteVector({ id: "", database })).toThrow(/id/);
  });
});

describe("upsert", () => {
  test("returns the ids, given or random, and replaces what has the same", async () => {
    const vectors = await newVectors();
    const ids = ["a", "b"];
    const two = [
      [1, 0],
      [0, 1],
    ];
    expect(await vectors.upsert({ indexName, vectors: two, ids })).toEqual(ids);
    const metadata = [{ v: 2 }];
    await vectors.upsert({ indexName, vectors: [[1, 0]], ids: ["a"], metadata });
    const [first] = await vectors.query({ indexName, queryVector: [1, 0], topK: 1 });
    expect(first).toMatchObject({ id: "a", metadata: { v: 2 } });
    const random = await vectors.upsert({ indexName, vectors: two, metadata: [] });
    expect(new Set(random).size).toBe(2);
    expect((await vectors.describeIndex({ indexName })).count).toBe(4);
  });

  test("replaces what a filter matches, in one step", async () => {
    const vectors = await filled([{ source: "a" }, { source: "a" }, { source: "b" }]);
    const deleteFilter = { source: "a" };
    const metadata = [{ source: "a", new: true }];
    const bad = vectors.upsert({ indexName, vectors: [[1, 2, 3]], metadata, deleteFilter });
    await expectRejection(bad, "ERR_DIMENSION");
    expect((await vectors.describeIndex({ indexName })).count).toBe(3);
    await vectors.upsert({ indexName, vectors: [[1, 1]], ids: ["new"], metadata, deleteFilter });
    expect(await matching(vectors, {})).toEqual(["2", "new"]);
  });

  test("refuses what does not fit together, and stores nothing of it", async () => {
    const vectors = await filled([{}]);
    const refused: [object, "ERR_INVALID_ARGUMENT" | "ERR_DIMENSION" | "ERR_INVALID_VECTOR"][] = [
      [{ vectors: [] }, "ERR_INVALID_ARGUMENT"],
      [{ vectors: undefined }, "ERR_INVALID_ARGUMENT"],
      [{ vectors: ["no array"] }, "ERR_INVALID_ARGUMENT"],
      [{ vectors: [[1, 0]], ids: ["a", "b"] }, "ERR_INVALID_ARGUMENT"],
      [{ vectors: [[1, 0]], metadata: [{}, {}] }, "ERR_INVALID_ARGUMENT"],
      [{ vectors: [[1, 0]], metadata: ["text"] }, "ERR_INVALID_ARGUMENT"],
      [{ vectors: [[1, 0]], sparseVectors: [{ indices: [], values: [] }] }, "ERR_INVALID_ARGUMENT"],
      [{ vectors: [[1, 0]], deleteFilter: {} }, "ERR_INVALID_ARGUMENT"],
      [{ vectors: [[1, 0]], deleteFilter: { a: undefined } }, "ERR_INVALID_ARGUMENT"],
      [{ vectors: [[1, 0, 0]] }, "ERR_DIMENSION"],
      [{ vectors: [[]] }, "ERR_DIMENSION"],
      [{ vectors: [[1, Number.NaN]] }, "ERR_INVALID_VECTOR"],
      [{ vectors: [[0, 0]] }, "ERR_INVALID_VECTOR"],
    ];
    for (const [params, code] of refused) {
      await expectRejection(vectors.upsert({ indexName, ...params } as never), code);
    }
    expect((await vectors.describeIndex({ indexName })).count).toBe(1);
  });

  test("of many at once loses none", async () => {
    const vectors = await newVectors();
    const at = Array.from({ length: 20 }, (_, number) => number);
    await Promise.all(at.map((n) => vectors.upsert({ indexName, vectors: [[1, n]] })));
    expect((await vectors.describeIndex({ indexName })).count).toBe(20);
  });
});

describe("query", () => {
  test("finds the closest, at most topK of them, ten by default", async () => {
    const vectors = await filled(Array.from({ length: 12 }, () => ({})));
    const found = await vectors.query({ indexName, queryVector: [1, 3], topK: 3 });
    expect(found[0]).toEqual({ id: "3", score: expect.closeTo(1, 6), metadata: {} });
    expect(found).toHaveLength(3);
    expect(await vectors.query({ indexName, queryVector: [1, 3] })).toHaveLength(10);
    expect(await vectors.query({ indexName, queryVector: [1, 3], topK: 1000 })).toHaveLength(12);
  });

  test("gives vectors as arrays, where they are asked for", async () => {
    const vectors = await filled([{}, {}]);
    const [first] = await vectors.query({ indexName, queryVector: [1, 1], includeVector: true });
    expect(first?.vector).toEqual([1, 1]);
    const [second] = await vectors.query({ indexName, queryVector: [1, 1] });
    expect(second).not.toHaveProperty("vector");
  });

  test("scores the closer the larger, under every metric", async () => {
    const scoresUnder = async (
      metric: "cosine" | "euclidean" | "dotproduct",
    ): Promise<number[]> => {
      const vectors = await newVectors({}, metric);
      await vectors.upsert({
        indexName,
        vectors: [
          [1, 0],
          [3, 4],
        ],
      });
      const found = await vectors.query({ indexName, queryVector: [1, 0] });
      return found.map(({ score }) => score);
    };
    expect(await scoresUnder("cosine")).toEqual([1, expect.closeTo(0.6, 6)]);
    expect(await scoresUnder("dotproduct")).toEqual([3, 1]);
    const distance = euclidean([1, 0], [3, 4]);
    expect(await scoresUnder("euclidean")).toEqual([1, expect.closeTo(1 / (1 + distance), 6)]);
  });

  test("without a vector finds by the filter alone", async () => {
    const vectors = await filled([{ a: 1 }, { a: 2 }, { a: 1 }, { a: 1 }]);
    const found = await vectors.query({ indexName, filter: { a: 1 }, includeVector: true });
    expect(found.map(({ id }) => id).sort()).toEqual(["0", "2", "3"]);
    expect(found.map(({ score }) => score)).toEqual([0, 0, 0]);
    expect(found.find(({ id }) => id === "2")?.vector).toEqual([1, 2]);
    expect(await vectors.query({ indexName, filter: { a: 1 }, topK: 2 })).toHaveLength(2);
    expect(await vectors.query({ indexName, filter: {} })).toHaveLength(4);
  });

  test("gives metadata back exactly, however deep", async () => {
    const metadata = {
      text: "t",
      loc: { page: 1, lines: [1, "a", null] },
      $json: { a: [] },
      d: null,
    };
    const vectors = await filled([metadata]);
    const [found] = await vectors.query({ indexName, queryVector: [1, 0] });
    expect(found?.metadata).toStrictEqual(metadata);
  });

  test("of an empty index finds nothing", async () => {
    expect(await (await newVectors()).query({ indexName, queryVector: [1, 0] })).toEqual([]);
  });

  test("refuses what it cannot mean", async () => {
    const vectors = await filled([{}]);
    const refused: [object, "ERR_INVALID_ARGUMENT" | "ERR_DIMENSION"][] = [
      [{}, "ERR_INVALID_ARGUMENT"],
      [{ filter: null }, "ERR_INVALID_ARGUMENT"],
      [{ queryVector: [1, 0], topK: 0 }, "ERR_INVALID_ARGUMENT"],
      [{ queryVector: [1, 0], topK: -5 }, "ERR_INVALID_ARGUMENT"],
      [{ queryVector: [1, 0], topK: 1.5 }, "ERR_INVALID_ARGUMENT"],
      [{ filter: {}, topK: 0 }, "ERR_INVALID_ARGUMENT"],
      [
        { queryVector: [1, 0], sparseVector: { indices: [1], values: [1] } },
        "ERR_INVALID_ARGUMENT",
      ],
      [{ queryVector: [1, 0, 0] }, "ERR_DIMENSION"],
    ];
    for (const [params, code] of refused) {
      await expectRejection(vectors.query({ indexName, ...params }), code);
    }
  });
});

describe("updateVector", () => {
  test("replaces the vector, the metadata, or both, of one id", async () => {
    const vectors = await filled([{ a: 1 }, { a: 2 }]);
    const update = (update: UpdateVectorParams["update"]): Promise<void> =>
      vectors.updateVector({ indexName, id: "0", update });
    const found = async (): Promise<unknown> => {
      const all = await vectors.query({ indexName, filter: {}, includeVector: true });
      return all.find(({ id }) => id === "0");
    };
    await update({ vector: [5, 6] });
    expect(await found()).toMatchObject({ vector: [5, 6], metadata: { a: 1 } });
    await update({ metadata: { b: { c: 1 } } });
    expect(await found()).toMatchObject({ vector: [5, 6], metadata: { b: { c: 1 } } });
    await update({ vector: [7, 8], metadata: {} });
    expect(await found()).toMatchObject({ vector: [7, 8], metadata: {} });
    await vectors.updateVector({ indexName, id: "nowhere", update: { vector: [1, 1] } });
    await vectors.updateVector({ indexName, id: "nowhere", update: { metadata: { a: 1 } } });
    expect((await vectors.describeIndex({ indexName })).count).toBe(2);
  });

  test("replaces those of all that match a filter", async () => {
    const vectors = await filled([{ user: "a" }, { user: "a" }, { user: "b", deep: { x: [{}] } }]);
    const update = { metadata: { user: "b", archived: true } };
    await vectors.updateVector({ indexName, filter: { user: "a" }, update });
    expect(await matching(vectors, { archived: true })).toEqual(["0", "1"]);
    await vectors.updateVector({ indexName, filter: { user: "b" }, update: { vector: [9, 9] } });
    const found = await vectors.query({ indexName, filter: {}, includeVector: true });
    expect(found.map(({ vector }) => vector)).toEqual([
      [9, 9],
      [9, 9],
      [9, 9],
    ]);
    expect(found.find(({ id }) => id === "2")?.metadata).toEqual({ user: "b", deep: { x: [{}] } });
  });

  test("takes an id or a filter with conditions, and something to change", async () => {
    const vectors = await filled([{ a: 1 }]);
    const refused: [object, RegExp][] = [
      [{ id: "0", filter: { a: 1 }, update: { vector: [1, 1] } }, /mutually exclusive/],
      [{ update: { vector: [1, 1] } }, /Either id or filter must be provided/],
      [{ filter: {}, update: { vector: [1, 1] } }, /empty filter/],
      [{ filter: { $and: [{}] }, update: { vector: [1, 1] } }, /empty filter/],
      [{ filter: null, update: { vector: [1, 1] } }, /empty filter/],
      [{ id: "0", update: {} }, /vector or metadata/],
    ];
    for (const [params, message] of refused) {
      const call = vectors.updateVector({ indexName, ...params } as never);
      expect((await expectRejection(call, "ERR_INVALID_ARGUMENT")).message).toMatch(
        new RegExp(message, "i"),
      );
    }
  });
});

describe("deleting", () => {
  test("takes one id, many ids, or a filter", async () => {
    const vectors = await filled([{ a: 1 }, { a: 2 }, { a: 2 }, { a: 3 }, { a: 3 }]);
    await vectors.deleteVector({ indexName, id: "0" });
    await vectors.deleteVector({ indexName, id: "0" });
    expect(await matching(vectors, {})).toEqual(["1", "2", "3", "4"]);
    await vectors.deleteVectors({ indexName, ids: ["1", "nowhere"] });
    expect(await matching(vectors, {})).toEqual(["2", "3", "4"]);
    await vectors.deleteVectors({ indexName, filter: { a: 3 } });
    await vectors.deleteVectors({ indexName, filter: { a: 3 } });
    expect(await matching(vectors, {})).toEqual(["2"]);
  });

  test("says which, or deletes nothing", async () => {
    const vectors = await filled([{ a: 1 }]);
    const refused: [object, RegExp][] = [
      [{}, /Either filter or ids must be provided/],
      [{ ids: ["0"], filter: { a: 1 } }, /mutually exclusive/],
      [{ ids: [] }, /empty ids array/],
      [{ filter: {} }, /empty filter/i],
      [{ filter: null }, /empty filter/i],
      [{ filter: { $and: [{}, { $or: [{}] }] } }, /empty filter/i],
      [{ filter: { $or: [{ a: 2 }, {}] } }, /empty filter/i],
      [{ filter: { $not: { $or: [{ a: 2 }, {}] } } }, /\$not .*conditions/],
      [{ filter: { a: undefined } }, /filter\.a .*undefined/],
      [{ filter: { a: { $regex: "." } } }, /\$regex in filter\.a/],
    ];
    for (const [params, message] of refused) {
      const call = vectors.deleteVectors({ indexName, ...params } as never);
      expect((await expectRejection(call, "ERR_INVALID_ARGUMENT")).message).toMatch(message);
    }
    expect((await vectors.describeIndex({ indexName })).count).toBe(1);
  });
});

describe("a filter", () => {
  const noon = new Date("2026-01-01T12:00:00Z");
  const records = [
    { n: 1, s: "a", tags: ["x", "y"], on: true, loc: { page: 1, of: { book: "B" } } },
    { n: 2, s: "b", tags: ["y"], on: false, loc: { page: 2 }, sizes: [1, 2] },
    { n: 3, s: null, tags: [], at: noon, reviews: [{ score: 5 }] },
    { n: "1", s: "A", tags: "x" },
    { n: null },
    {},
  ];
  const cases: [VectorLiteVectorFilter, string][] = [
    [{}, "012345"],
    [null, "012345"],
    [undefined, "012345"],
    [{ n: 1 }, "0"],
    [{ n: { $eq: "1" } }, "3"],
    [{ n: { $ne: 1 } }, "12345"],
    [{ n: null }, "45"],
    [{ n: { $eq: null } }, "45"],
    [{ n: { $ne: null } }, "0123"],
    [{ n: { $exists: true } }, "01234"],
    [{ n: { $exists: false } }, "5"],
    [{ n: { $gt: 1 } }, "12"],
    [{ n: { $gte: 2, $lt: 3 } }, "1"],
    [{ n: { $lte: 1 } }, "0"],
    [{ s: { $gt: "A" } }, "01"],
    [{ on: true }, "0"],
    [{ on: { $ne: true } }, "12345"],
    [{ n: { $in: [1, 3, "1"] } }, "023"],
    [{ n: { $in: [1, null] } }, "045"],
    [{ n: { $in: [] } }, ""],
    [{ n: { $nin: [1, 2] } }, "2345"],
    [{ n: { $nin: [] } }, "012345"],
    [{ n: { $nin: [null] } }, "0123"],
    [{ n: [1, 2] }, "01"],
    [{ tags: "x" }, "03"],
    [{ tags: { $ne: "x" } }, "1245"],
    [{ tags: { $in: ["x", "z"] } }, "03"],
    [{ tags: { $nin: ["x"] } }, "1245"],
    [{ tags: { $all: ["y", "x"] } }, "0"],
    [{ tags: { $all: ["y"] } }, "01"],
    [{ tags: { $all: [] } }, ""],
    [{ tags: { $not: { $all: ["x"] } } }, "1245"],
    [{ sizes: 2 }, "1"],
    [{ at: noon }, "2"],
    [{ at: { $gte: new Date("2026-01-01") } }, "2"],
    [{ at: { $lt: noon } }, ""],
    [{ at: { $in: [noon] } }, "2"],
    [{ "loc.page": 2 }, "1"],
    [{ "loc.of.book": "B" }, "0"],
    [{ loc: { page: { $gte: 1 } } } as never, "01"],
    [{ loc: { of: { book: "B" }, page: 1 } } as never, "0"],
    [{ loc: { $exists: true } }, "01"],
    [{ loc: null }, "2345"],
    [{ "loc.of": { $exists: true } }, "0"],
    [{ reviews: { $exists: true } }, "2"],
    [{ n: { $not: { $gt: 1 } } }, "0345"],
    [{ n: { $not: { $gte: 1, $lte: 2 } } }, "2345"],
    [{ s: { $not: { $ne: "a" } } }, "0"],
    [{ $and: [{ n: { $gt: 1 } }, { tags: "y" }] }, "1"],
    [{ $or: [{ n: 1 }, { n: 3 }] }, "02"],
    [{ $nor: [{ n: 1 }, { n: 3 }] }, "1345"],
    [{ $nor: [{ $or: [{ n: 1 }, { n: 2 }] }] }, "2345"],
    [{ $not: { n: 1 } }, "12345"],
    [{ $not: { $and: [{ n: 1 }, { s: "a" }] } }, "12345"],
    [{ $and: [{ n: { $in: [1, 2] } }], s: "b" } as never, "1"],
    [{ $or: [{ n: { $not: { $gt: 1 } } }, { s: "b" }] }, "01345"],
  ];

  test.each(cases.map(([filter, ids]) => [JSON.stringify(filter) ?? "undefined", filter, ids]))(
    "%s means what MongoDB means",
    async (_, filter, ids) => {
      const vectors = await filled(records);
      const found = await matching(vectors, filter as VectorLiteVectorFilter);
      expect(found.join("")).toBe(ids);
    },
  );

  test("that cannot be asked is an error with its place, never ignored", async () => {
    const vectors = await filled(records);
    const refused: [unknown, RegExp][] = [
      [{ s: { $regex: "a" } }, /\$regex in filter\.s/],
      [{ s: { $regex: "a", $options: "i" } }, /\$regex/],
      [{ s: /a/ }, /filter\.s .*RegExp/],
      [{ s: { $not: /a/ } }, /filter\.s\.\$not .*RegExp/],
      [{ reviews: { $elemMatch: { score: 5 } } }, /\$elemMatch in filter\.reviews/],
      [{ tags: { $size: 2 } }, /\$size in filter\.tags/],
      [{ tags: { $contains: "x" } }, /\$contains in filter\.tags/],
      [{ n: { $above: 1 } }, /\$above in filter\.n/],
      [{ $where: "1" }, /\$where in filter/],
      [{ $eq: 1 }, /\$eq in filter/],
      [{ loc: { page: 1, $exists: true } }, /filter\.loc .*not of both/],
      [{ loc: { page: { $and: [] } } }, /\$and in filter\.loc\.page/],
      [{ n: {} }, /filter\.n /],
      [{ n: undefined }, /filter\.n .*undefined/],
      [{ n: { $gt: undefined } }, /filter\.n\.\$gt .*undefined/],
      [{ n: { $in: [1, undefined] } }, /filter\.n\.\$in\[1\] .*undefined/],
      [{ n: { $in: 1 } }, /filter\.n\.\$in /],
      [{ n: { $all: "x" } }, /filter\.n\.\$all /],
      [{ n: { $in: [[1]] } }, /filter\.n\.\$in\[0\] /],
      [{ n: { $gt: true } }, /filter\.n\.\$gt .*true/],
      [{ n: { $exists: 1 } }, /filter\.n\.\$exists /],
      [{ n: Number.NaN }, /filter\.n .*NaN/],
      [{ at: new Date(Number.NaN) }, /filter\.at .*Date/],
      [{ n: { $not: {} } }, /filter\.n\.\$not /],
      [{ $not: {} }, /filter\.\$not /],
      [{ $and: [] }, /filter\.\$and /],
      [{ $or: { n: 1 } }, /filter\.\$or /],
      [{ $nor: [1] }, /filter\.\$nor\[0\] /],
      [[], /filter /],
      ["n", /filter /],
    ];
    for (const [filter, message] of refused) {
      const error = await expectRejection(
        matching(vectors, filter as never),
        "ERR_INVALID_ARGUMENT",
      );
      expect(error.message).toMatch(message);
    }
  });

  test("with operators that there are not is an error of types too", async () => {
    const vectors = await newVectors();
    // @ts-expect-error: $regex is not asked.
    const call = vectors.query({ indexName, queryVector: [1, 0], filter: { s: { $regex: "a" } } });
    await expectRejection(call, "ERR_INVALID_ARGUMENT");
  });
});
