/**
 * Filters: which records they mean, wherever they are used, and what a wrong one says.
 */

import fc from "fast-check";
import { type Collection, Database, type Filter, type Metadata } from "vectorlite";
import { beforeAll, describe, expect, test } from "vitest";
import { compileFilter } from "../src/filter-compiler.ts";
import { anyFilter, anyMetadata } from "./any-filter.ts";
import { type AnyFilter, matches } from "./filter-model.ts";
import {
  closing,
  euclidean,
  expectCode,
  expectRejection,
  keysOf,
  randomVectors,
  seededRandom,
  temporaryPath,
} from "./helpers.ts";

interface Doc {
  lang: "en" | "de" | "fr";
  title: string;
  year?: number;
  tags: readonly string[];
  sizes?: number[];
  draft: boolean;
  note: string | null;
}

const documents: Readonly<Record<string, Doc>> = {
  a: { lang: "en", title: "Ape", year: 2019, tags: ["x", "y"], draft: false, note: null },
  b: { lang: "de", title: "Bär", year: 2026, tags: [], sizes: [1, 2.5], draft: true, note: "n" },
  c: { lang: "en", title: "", tags: ["y"], sizes: [], draft: false, note: "" },
  d: { lang: "fr", title: "Dauphin", year: -0, tags: ["xy"], draft: true, note: null },
};

function newCollection(): Collection<Doc> {
  const db = closing(new Database(":memory:"));
  const docs = db.collection<Doc>("docs", { dimension: 2, metric: "l2" });
  docs.upsertMany(
    Object.entries(documents).map(([key, metadata], index) => ({
      key,
      vector: [index, 0],
      metadata,
    })),
  );
  return docs;
}

describe("a filter means", () => {
  test.each<[Filter<Doc>, string]>([
    [{}, "abcd"],
    [{ lang: "en" }, "ac"],
    [{ lang: "en", draft: true }, ""],
    [{ lang: { $eq: "en" }, year: { $exists: true } }, "a"],
    [{ year: 0 }, "d"],
    [{ year: { $ne: 2019 } }, "bcd"],
    [{ year: null }, ""],
    [{ note: null }, "ad"],
    [{ note: { $ne: null } }, "bc"],
    [{ year: { $gt: 2019 } }, "b"],
    [{ year: { $gte: 2019, $lt: 2026 } }, "a"],
    [{ year: { $lte: 0 } }, "d"],
    [{ title: { $gt: "Ape" } }, "bd"],
    [{ title: { $lte: "B" } }, "ac"],
    [{ lang: { $in: ["de", "fr"] } }, "bd"],
    [{ lang: { $in: [] } }, ""],
    [{ lang: { $nin: [] } }, "abcd"],
    [{ year: { $in: [2026, null] } }, "b"],
    [{ year: { $nin: [2026, 2019] } }, "cd"],
    [{ year: { $exists: true } }, "abd"],
    [{ year: { $exists: false } }, "c"],
    [{ note: { $exists: true } }, "abcd"],
    [{ year: { $not: { $gt: 2000, $lt: 2020 } } }, "bcd"],
    [{ year: { $not: { $not: { $gt: 2000 } } } }, "ab"],
    [{ tags: { $contains: "y" } }, "ac"],
    [{ tags: { $not: { $contains: "y" } } }, "bd"],
    [{ sizes: { $contains: 2.5 } }, "b"],
    [{ title: { $startsWith: "B" } }, "b"],
    [{ title: { $startsWith: "" } }, "abcd"],
    [{ $or: [{ lang: "de" }, { tags: { $contains: "xy" } }] }, "bd"],
    [{ $and: [{ draft: true }, { year: { $gt: 2000 } }] }, "b"],
    [{ $not: { draft: true, year: { $gt: 2000 } } }, "acd"],
    [{ draft: false, $or: [{ year: 2019 }, { year: 2026 }], $not: { lang: "fr" } }, "a"],
    [{ $or: [{}] }, "abcd"],
    [{ $not: {} }, ""],
  ])("%j: %j", (filter, expected) => {
    const docs = newCollection();
    const keys = [...expected];
    for (const [key, metadata] of Object.entries(documents)) {
      expect(matches({ ...metadata }, { ...filter })).toBe(keys.includes(key));
    }
    expect(docs.count(filter)).toBe(keys.length);
    expect([...docs.keys({ filter })].sort()).toEqual(keys);
    expect(keysOf(docs.search([0, 0], { filter }))).toEqual(keys);
    expect(docs.deleteWhere(filter)).toBe(keys.length);
    expect([...docs.keys()].sort()).toEqual([..."abcd"].filter((key) => !keys.includes(key)));
  });

  test("in untyped collections any field, of any name", () => {
    const db = closing(new Database(":memory:"));
    const docs = db.collection("docs", { dimension: 2 });
    const odd = JSON.parse('{"__proto__": 1, "": 2, "7": 3, "a.b": 4, "é": 5}') as Metadata;
    docs.upsert("odd", [1, 2], odd);
    docs.upsert("none", [1, 2]);
    for (const [name, value] of Object.entries(odd)) {
      expect([...docs.keys({ filter: Object.fromEntries([[name, value]]) as Filter })]).toEqual([
        "odd",
      ]);
    }
    expect(docs.count({ toString: { $exists: true } })).toBe(0);
  });
});

describe("filters are taken by", () => {
  test("every kind of search, with any number of hits wanted", async () => {
    const docs = newCollection();
    const filter: Filter<Doc> = { lang: "en" };
    expect(keysOf(docs.search([3, 0], { filter, k: 1 }))).toEqual(["c"]);
    expect(keysOf(docs.search([3, 0], { filter, k: 1, offset: 1 }))).toEqual(["a"]);
    expect(keysOf(docs.search([3, 0], { filter, exact: true }))).toEqual(["c", "a"]);
    expect(keysOf(docs.search([3, 0], { filter, threshold: 2 }))).toEqual(["c"]);
    expect(docs.search([3, 0], { filter, k: 1, include: ["vector"] })).toEqual([
      { key: "c", score: 1, vector: Float32Array.of(2, 0) },
    ]);
    const queries = Float32Array.of(3, 0, 0, 0);
    const both = [
      ["c", "a"],
      ["a", "c"],
    ];
    expect(docs.searchMany(queries, { filter }).map(keysOf)).toEqual(both);
    expect((await docs.searchManyAsync(queries, { filter })).map(keysOf)).toEqual(both);
    expect(keysOf(await docs.searchAsync([3, 0], { filter }))).toEqual(["c", "a"]);
    expect(docs.search([3, 0], { filter: undefined })).toHaveLength(4);
  });

  test("explain(), which tells how many records match", () => {
    const docs = newCollection();
    const told = docs.explain([0, 0], { filter: { lang: "en" } });
    expect(told).toMatchObject({ hits: 2, filter: { matches: 2, selectivity: 0.5 } });
    expect(docs.explain([0, 0], { filter: { $not: {} } })).toMatchObject({
      ...{ hits: 0, filter: { matches: 0, selectivity: 0 } },
    });
    expect(docs.explain([0, 0])).not.toHaveProperty("filter");
    docs.deleteWhere({});
    expect(docs.explain([0, 0], { filter: {} }).filter).toMatchObject({
      ...{ matches: 0, selectivity: 0 },
    });
  });

  test("count(), keys() and entries()", () => {
    const docs = newCollection();
    expect(docs.count()).toBe(4);
    expect(docs.count(undefined)).toBe(4);
    const filter: Filter<Doc> = { draft: true };
    expect([...docs.entries({ filter })].sort((a, b) => (a.key < b.key ? -1 : 1))).toEqual([
      { key: "b", vector: Float32Array.of(1, 0), metadata: documents["b"] },
      { key: "d", vector: Float32Array.of(3, 0), metadata: documents["d"] },
    ]);
    expect([...docs.keys({ filter: undefined })]).toHaveLength(4);
    expectCode(() => docs.keys({ filtre: {} } as never), "ERR_INVALID_ARGUMENT");
    expectCode(() => docs.entries({ draft: true } as never), "ERR_INVALID_ARGUMENT");
  });

  test("a snapshot, which goes on seeing what it saw", () => {
    const db = closing(new Database(temporaryPath()));
    const docs = db.collection<{ n: number }>("docs", { dimension: 2 });
    docs.upsertMany(["a", "b"], Float32Array.of(1, 2, 3, 4), [{ n: 1 }, { n: 2 }]);
    using snapshot = db.snapshot();
    const past = snapshot.collection<{ n: number }>("docs");
    docs.setMetadata("a", { n: 2 });
    docs.upsert("c", [5, 6], { n: 2 });
    const filter = { n: 2 };
    expect([docs.count(filter), past.count(filter)]).toEqual([3, 1]);
    expect([...past.keys({ filter })]).toEqual(["b"]);
    expect(keysOf(past.search([1, 2], { filter }))).toEqual(["b"]);
    expectCode(() => past.deleteWhere(filter), "ERR_READONLY");
    expectCode(() => past.setMetadata("a", { n: 3 }), "ERR_READONLY");
  });

  test("a transaction, which sees what it wrote, and takes it back", () => {
    const db = closing(new Database(temporaryPath()));
    const docs = db.collection<{ n: number }>("docs", { dimension: 2 });
    docs.upsertMany(["a", "b"], Float32Array.of(1, 2, 3, 4), [{ n: 1 }, { n: 2 }]);
    const filter = { n: { $gte: 2 } };
    expect(() =>
      db.transaction(() => {
        docs.upsert("c", [5, 6], { n: 3 });
        docs.setMetadata("a", { n: 4 });
        expect(docs.count(filter)).toBe(3);
        expect([...docs.keys({ filter })].sort()).toEqual(["a", "b", "c"]);
        expect([...docs.entries({ filter: { n: 4 } })]).toMatchObject([{ key: "a" }]);
        expect(docs.search([1, 2], { filter })).toHaveLength(3);
        expect(docs.deleteWhere(filter)).toBe(3);
        expect(docs.size).toBe(0);
        throw new Error("back");
      }),
    ).toThrow("back");
    expect(docs.size).toBe(2);
    expect(docs.get("a")?.metadata).toEqual({ n: 1 });
    expect([...docs.keys({ filter })]).toEqual(["b"]);
  });

  test("an asynchronous transaction, which nobody outside sees", async () => {
    const db = closing(new Database(temporaryPath()));
    const docs = db.collection<{ n: number }>("docs", { dimension: 2 });
    docs.upsertMany(["a", "b"], Float32Array.of(1, 2, 3, 4), [{ n: 1 }, { n: 2 }]);
    const look = (): unknown => [docs.count({ n: 2 }), [...docs.keys({ filter: { n: 2 } })].sort()];
    let goOn = (): void => undefined;
    const waited = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const transaction = db.transactionAsync(async () => {
      docs.setMetadata("a", { n: 2 });
      await waited;
      expect(look()).toEqual([2, ["a", "b"]]);
      expect(docs.deleteWhere({ n: 2 })).toBe(2);
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(look()).toEqual([1, ["b"]]);
    expectCode(() => docs.deleteWhere({ n: 2 }), "ERR_LOCKED");
    expectCode(() => docs.setMetadata("b", { n: 1 }), "ERR_LOCKED");
    goOn();
    await transaction;
    expect(look()).toEqual([0, []]);
  });

  test("readers of the same file, and those who open it later", () => {
    const path = temporaryPath();
    const db = new Database(path);
    const docs = db.collection("docs", { dimension: 2, metric: "l2" });
    const keys = Array.from({ length: 700 }, (_, index) => `${index}`);
    docs.upsertMany(
      keys,
      keys.map((_, index) => [index, 0]),
      keys.map((_, index) => ({ n: index })),
    );
    const reader = closing(new Database(path, { readonly: true })).collection("docs");
    expect(reader.count({ n: { $lt: 100 } })).toBe(100);
    expect(docs.deleteWhere({ n: { $lt: 50 } })).toBe(50);
    expect(reader.count({ n: { $lt: 100 } })).toBe(50);
    db.close();
    const later = closing(new Database(path)).collection("docs");
    expect(later.count({ n: { $lt: 100 } })).toBe(50);
    expect(keysOf(later.search([0, 0], { k: 2, filter: { n: { $gt: 300.5 } } }))).toEqual([
      ...["301", "302"],
    ]);
  });
});

describe("setMetadata()", () => {
  test("replaces the metadata whole, and leaves the vector as it is", () => {
    const docs = newCollection();
    const metadata: Doc = { lang: "fr", title: "Autre", tags: [], draft: false, note: "new" };
    expect(docs.setMetadata("a", metadata)).toBe(true);
    expect(docs.get("a")).toEqual({ key: "a", vector: Float32Array.of(0, 0), metadata });
    expect([...docs.keys({ filter: { lang: "fr" } })].sort()).toEqual(["a", "d"]);
    expect(keysOf(docs.search([0, 0], { k: 1 }))).toEqual(["a"]);
    expect(docs.size).toBe(4);
  });

  test("says whether there is such a record, and makes none", () => {
    const docs = closing(new Database(":memory:")).collection("docs", { dimension: 2 });
    expect(docs.setMetadata("nowhere", { a: 1 })).toBe(false);
    expect(docs.size).toBe(0);
    docs.upsert("a", [1, 2], { a: 1 });
    expect(docs.setMetadata("a", {})).toBe(true);
    expect(docs.get("a")?.metadata).toEqual({});
  });

  test("takes metadata of any size, and is refused what no metadata is", () => {
    const docs = closing(new Database(":memory:")).collection("docs", { dimension: 2 });
    docs.upsert("a", [1, 2], { a: 1 });
    const text = "ü".repeat(100_000);
    docs.setMetadata("a", { text });
    expect(docs.get("a")?.metadata).toEqual({ text });
    for (const wrong of [undefined, null, 5, [], new Date(), { a: undefined }, { a: {} }]) {
      expectCode(() => docs.setMetadata("a", wrong as never), "ERR_INVALID_ARGUMENT");
    }
    expectCode(() => docs.setMetadata("a", { text: "x".repeat(16 << 20) }), "ERR_INVALID_ARGUMENT");
    expectCode(() => docs.setMetadata("", {}), "ERR_KEY");
    expect(docs.get("a")?.metadata).toEqual({ text });
  });
});

describe("whatever the filter, the engine finds what the model finds", () => {
  const dimension = 16;
  const count = 900;
  const vectors = randomVectors(28, count, dimension);
  const state = new Map<string, { vector: Float32Array; metadata: Metadata }>();
  let db: Database;
  let docs: Collection;

  beforeAll(() => {
    const random = seededRandom(28);
    const metadatas = fc.sample(anyMetadata, { seed: 28, numRuns: 2 * count });
    const nextMetadata = (): Metadata => metadatas.pop() ?? {};
    db = new Database(":memory:");
    docs = db.collection("docs", { dimension, metric: "l2" });
    for (const [index, vector] of vectors.entries()) {
      state.set(`key ${index}`, { vector, metadata: nextMetadata() });
    }
    docs.upsertMany([...state].map(([key, record]) => ({ key, ...record })));
    // Some are deleted, and some have other metadata than their block was written with.
    for (const [key, { vector }] of [...state]) {
      const roll = random();
      if (roll < 0.1) {
        docs.delete(key);
        state.delete(key);
      } else if (roll < 0.3) {
        const metadata = nextMetadata();
        docs.setMetadata(key, metadata);
        state.set(key, { vector, metadata });
      }
    }
    return () => db.close();
  });

  function expected(filter: AnyFilter): string[] {
    return [...state].filter(([, { metadata }]) => matches(metadata, filter)).map(([key]) => key);
  }

  test("when it counts, iterates and explains", () => {
    fc.assert(
      fc.property(anyFilter, (any) => {
        const filter = any as Filter;
        const keys = expected(any);
        expect(docs.count(filter)).toBe(keys.length);
        expect([...docs.keys({ filter })].sort()).toEqual([...keys].sort());
        expect(docs.explain(vectors[0] ?? [], { filter }).filter).toMatchObject({
          ...{ matches: keys.length, selectivity: keys.length / state.size },
        });
      }),
      { numRuns: 400 },
    );
  });

  test("when it searches, by codes and exactly, in every number of hits", async () => {
    await fc.assert(
      fc.asyncProperty(
        ...[anyFilter, fc.integer({ min: 1, max: 1000 }), fc.nat({ max: count - 1 })],
        async (any, k, at) => {
          const filter = any as Filter;
          const query = vectors[at] ?? [];
          const distances = expected(any).map((key) =>
            euclidean(query, state.get(key)?.vector ?? []),
          );
          const closest = distances.sort((a, b) => a - b).slice(0, k);
          const exact = docs.search(query, { k, filter, exact: true });
          for (const hits of [
            exact,
            docs.search(query, { k, filter }),
            await docs.searchAsync(query, { k, filter }),
          ]) {
            expect(hits).toHaveLength(closest.length);
            for (const hit of hits) expect(matches(hit.metadata, any)).toBe(true);
          }
          for (const [rank, { score }] of exact.entries()) {
            expect(score).toBeCloseTo(closest[rank] ?? Number.NaN, 4);
          }
        },
      ),
      { numRuns: 100 },
    );
  });

  test("when it deletes", () => {
    fc.assert(
      fc.property(anyFilter, (any) => {
        const keys = expected(any);
        expect(() =>
          db.transaction(() => {
            expect(docs.deleteWhere(any as Filter)).toBe(keys.length);
            expect(docs.size).toBe(state.size - keys.length);
            expect(docs.count(any as Filter)).toBe(0);
            throw new Error("rolled back on purpose");
          }),
        ).toThrow("rolled back on purpose");
        expect(docs.size).toBe(state.size);
      }),
      { numRuns: 50 },
    );
  });
});

test("a filter is compiled to the bytes that the engine reads", () => {
  const number = (value: number): number[] => [...new Uint8Array(Float64Array.of(value).buffer)];
  const bytes = (filter: unknown): number[] => [...compileFilter(filter).bytes];
  expect(bytes({})).toEqual([1, 1, 0]);
  expect(bytes({ a: "ü" })).toEqual([1, 17, 1, 0x61, 4, 2, 0xc3, 0xbc]);
  expect(bytes({ a: { $ne: "\ud800" } })).toEqual([1, 3, 17, 1, 0x61, 132, 3, 0xed, 0xa0, 0x80]);
  expect(bytes({ a: { $gt: 1, $lte: 2 } })).toEqual([
    ...[1, 1, 2],
    ...[18, 1, 0x61, 3, ...number(1)],
    ...[21, 1, 0x61, 3, ...number(2)],
  ]);
  expect(bytes({ $or: [{ a: null, b: true }, { c: { $nin: [false, "x"] } }] })).toEqual([
    ...[1, 2, 2],
    ...[1, 2, 17, 1, 0x61, 0, 17, 1, 0x62, 2],
    ...[3, 22, 1, 0x63, 2, 1, 4, 1, 0x78],
  ]);
  expect(bytes({ $not: { a: { $exists: true } } })).toEqual([1, 3, 16, 1, 0x61]);
  expect(bytes({ a: { $gte: "" } })).toEqual([1, 19, 1, 0x61, 4, 0]);
  expect(bytes({ a: { $lt: "" } })).toEqual([1, 20, 1, 0x61, 4, 0]);
  expect(bytes({ a: { $contains: "" } })).toEqual([1, 23, 1, 0x61, 4, 0]);
  expect(bytes({ a: { $startsWith: "" } })).toEqual([1, 24, 1, 0x61, 4, 0]);
});

describe("a wrong filter is an error that names the place, and changes nothing:", () => {
  const scalar = "must be a string, a finite number, a boolean or null";
  const nested = (levels: number, inner: object = { lang: "en" }): object =>
    levels === 0 ? inner : { $not: nested(levels - 1, inner) };
  const circle: Record<string, unknown> = {};
  circle["$not"] = circle;
  class Where {
    lang = "en";
  }

  test.each<[string, unknown, string]>([
    ["null", null, "filter must be a plain object"],
    ["a string", "lang", "filter must be a plain object"],
    ["an array", [{ lang: "en" }], "filter must be a plain object of fields; found an array"],
    ["a function", () => true, "filter must be a plain object of fields; found a function"],
    ["a map", new Map([["lang", "en"]]), "filter must be a plain object of fields; found a Map"],
    ["an instance", new Where(), "filter must be a plain object of fields; found a Where"],
    ["undefined", { lang: undefined }, `filter.lang ${scalar}, or an object of operators; found u`],
    ["NaN", { year: Number.NaN }, `filter.year ${scalar}, or an object of operators; found NaN`],
    ["infinity", { year: { $lt: Infinity } }, "filter.year.$lt must be a finite number or a str"],
    ["a bigint", { year: 5n }, "filter.year must be"],
    ["a symbol", { year: Symbol("x") }, "filter.year must be"],
    ["a date", { year: { $gte: new Date() } }, "filter.year.$gte must be a finite number or a s"],
    ["a date itself", { year: new Date() }, "filter.year must be"],
    ["a regular expression", { title: /^A/ }, "found a RegExp"],
    ["an array for a value", { tags: ["x"] }, "Say { $contains: value }"],
    ["an array for $eq", { tags: { $eq: ["x"] } }, "filter.tags.$eq must be"],
    ["a nested object", { author: { name: "x" } }, 'no operator "name" in filter.author'],
    ["no operators", { year: {} }, "filter.year is an object without operators"],
    ["an unknown operator", { year: { $near: 5 } }, 'no operator "$near" in filter.year; there'],
    ["its list", { year: { gte: 5 } }, "$eq, $ne, $gt, $gte, $lt, $lte, $in, $nin, $exists, $not"],
    ["a combination within a field", { year: { $or: [] } }, 'no operator "$or" in filter.year'],
    ["an operator for a field", { $gte: 5 }, 'no operator "$gte" in filter; there are $and, $or'],
    ["undefined for an operand", { year: { $gt: undefined } }, "filter.year.$gt must be a finite"],
    ["null in order", { year: { $gt: null } }, "filter.year.$gt must be a finite number or a st"],
    ["a boolean in order", { draft: { $gt: false } }, "filter.draft.$gt must be a finite number"],
    ["a value for a list", { lang: { $in: "en" } }, "filter.lang.$in must be an array"],
    ["a set for a list", { lang: { $in: new Set() } }, "filter.lang.$in must be an array"],
    ["undefined in a list", { lang: { $nin: ["a", undefined] } }, `filter.lang.$nin[1] ${scalar};`],
    ["a hole in a list", { lang: { $in: Array(1) } }, `filter.lang.$in[0] ${scalar}; found undef`],
    ["a list in a list", { lang: { $in: [["a"]] } }, `filter.lang.$in[0] ${scalar}; found an arr`],
    ["a number for yes", { lang: { $exists: 1 } }, "filter.lang.$exists must be true or false"],
    ["null contained", { tags: { $contains: null } }, "filter.tags.$contains must be a finite nu"],
    ["a list contained", { tags: { $contains: ["x"] } }, "filter.tags.$contains must be a finite"],
    ["a number to start", { title: { $startsWith: 5 } }, "filter.title.$startsWith must be a str"],
    ["not a value", { lang: { $not: "en" } }, "filter.lang.$not must be an object of operators"],
    ["not nothing", { lang: { $not: {} } }, "filter.lang.$not is an object without operators"],
    ["no alternatives", { $or: [] }, "filter.$or must be an array of at least one filter; found"],
    ["nothing together", { $and: [] }, "filter.$and must be an array of at least one filter"],
    ["one alternative", { $or: { lang: "en" } }, "filter.$or must be an array; found an object"],
    ["undefined between", { $or: [{}, undefined] }, "filter.$or[1] must be a plain object of fie"],
    ["a place deep down", { $or: [{ $and: [{ $not: { x: [] } }] }] }, "filter.$or[0].$and[0].$no"],
    ["a name that is a symbol", { [Symbol("lang")]: 1 }, "A name in filter must be a string"],
    ["half a character in a name", { "a\ud800": 1 }, "without lone surrogates"],
    ["a long name", { ["n".repeat(100_000)]: undefined }, "nnn… must be"],
    ["65 levels", nested(64), "nested too deeply: at most 64"],
    ["65 levels of one field", { a: nested(64, { $eq: 1 }) }, "nested too deeply: at most 64"],
    ["a hundred thousand levels", nested(5000), "nested too deeply: at most 64"],
    ["a circle", circle, "nested too deeply: at most 64"],
    ["more than 1 MiB", { a: { $in: ["x".repeat(1 << 20)] } }, "at most 1048576 fit"],
  ])("%s", async (_, filter, message) => {
    const docs = newCollection();
    const bad = filter as never;
    for (const use of [
      () => docs.search([1, 2], { filter: bad }),
      () => docs.searchMany([[1, 2]], { filter: bad }),
      () => docs.explain([1, 2], { filter: bad }),
      () => docs.count(bad),
      () => docs.keys({ filter: bad }),
      () => docs.entries({ filter: bad }),
      () => docs.deleteWhere(bad),
    ]) {
      const error = expectCode(use, "ERR_INVALID_ARGUMENT");
      expect(error.message).toContain(message);
      expect(error.message.length).toBeLessThan(350);
    }
    await expectRejection(docs.searchAsync([1, 2], { filter: bad }), "ERR_INVALID_ARGUMENT");
    await expectRejection(docs.searchManyAsync([], { filter: bad }), "ERR_INVALID_ARGUMENT");
    expect(docs.size).toBe(4);
  });

  test("none at all for deleteWhere(), while {} means every record", () => {
    const docs = newCollection();
    expectCode(() => docs.deleteWhere(undefined as never), "ERR_INVALID_ARGUMENT");
    expectCode(() => (docs.deleteWhere as () => number)(), "ERR_INVALID_ARGUMENT");
    expect(docs.size).toBe(4);
    expect(docs.deleteWhere({})).toBe(4);
    expect(docs.deleteWhere({})).toBe(0);
    expect(docs.size).toBe(0);
  });

  test("but 64 levels, and lists of a megabyte, are right", () => {
    const docs = newCollection();
    expect(docs.count(nested(63) as Filter<Doc>)).toBe(2);
    expect(docs.count({ lang: nested(63, { $eq: "en" }) } as Filter<Doc>)).toBe(2);
    const years = Array.from({ length: 100_000 }, (_, index) => index);
    expect(docs.count({ year: { $in: years } })).toBe(3);
  });
});

test("a filter is read once, when the method is called, whatever code that runs", () => {
  const docs = newCollection();
  let reads = 0;
  const counting = <T extends object>(target: T): T =>
    new Proxy(target, {
      get(object, name, receiver) {
        reads++;
        return Reflect.get(object, name, receiver) as unknown;
      },
    });
  expect(docs.count(counting({ lang: counting({ $eq: "en", $ne: "de" }) }) as never)).toBe(2);
  expect(reads).toBe(3);
  const fickle = {
    get lang(): string {
      docs.upsert("e", [1, 2], { ...documents["a"], title: "within" } as Doc);
      expect(docs.count({ lang: "en" })).toBe(3);
      return reads++ === 3 ? "de" : "fr";
    },
  };
  expect([...docs.keys({ filter: fickle as Filter<Doc> })]).toEqual(["b"]);
  const filter = { lang: "en" as string };
  const keys = docs.keys({ filter: filter as Filter<Doc> });
  filter.lang = "fr";
  expect([...keys].sort()).toEqual(["a", "c", "e"]);
});

test("what inherited fields say is no part of a filter", () => {
  const docs = newCollection();
  Object.defineProperty(Object.prototype, "lang", {
    ...{ value: "de", enumerable: true, configurable: true },
  });
  let counts: number[];
  try {
    counts = [docs.count({}), docs.count({ draft: true })];
  } finally {
    delete (Object.prototype as Record<string, unknown>)["lang"];
  }
  expect(counts).toEqual([4, 2]);
});

test("a filter that does not fit the type of the documents does not compile", () => {
  const typed = (docs: Collection<Doc>): void => {
    docs.count({ year: { $in: [2026, null] }, note: { $ne: null }, title: { $gt: "m" } });
    docs.search([1, 2], { filter: { $or: [{ lang: "en" }, { $not: { draft: true } }] } });
    // @ts-expect-error A field that documents do not have.
    docs.count({ lnag: "en" });
    // @ts-expect-error A value that the field cannot have.
    docs.count({ lang: "es" });
    // @ts-expect-error A value of another type.
    docs.count({ year: "2026" });
    // @ts-expect-error The same behind an operator,
    docs.count({ year: { $gte: "2026" } });
    // @ts-expect-error in a list,
    docs.count({ lang: { $in: ["en", 5] } });
    // @ts-expect-error and negated.
    docs.count({ year: { $not: { $gt: true } } });
    // @ts-expect-error Only what may be null or missing is compared with null.
    docs.count({ title: null });
    // @ts-expect-error An array as a whole equals nothing,
    docs.count({ tags: ["x"] });
    // @ts-expect-error and has elements of its own type.
    docs.count({ tags: { $contains: 5 } });
    // @ts-expect-error What is no array contains nothing.
    docs.count({ title: { $contains: "x" } });
    // @ts-expect-error What is no string has no beginning.
    docs.count({ year: { $startsWith: "20" } });
    // @ts-expect-error Truth has no order.
    docs.count({ draft: { $gt: false } });
    // @ts-expect-error An unknown operator.
    docs.count({ year: { $near: 2026 } });
    // @ts-expect-error One within a field that belongs to whole filters.
    docs.count({ year: { $or: [{ $gt: 5 }] } });
    // @ts-expect-error A wrong filter in a combination.
    docs.count({ $or: [{ lnag: "en" }] });
    // @ts-expect-error A single filter for several.
    docs.count({ $and: { lang: "en" } });
    // @ts-expect-error No filter at all.
    docs.deleteWhere();
    // @ts-expect-error In every method: searches,
    docs.search([1, 2], { filter: { lnag: "en" } });
    // @ts-expect-error iteration
    docs.keys({ filter: { year: "2026" } });
    // @ts-expect-error and deletes.
    docs.deleteWhere({ lang: 5 });
    // @ts-expect-error Metadata of another type.
    docs.setMetadata("a", { lang: "es" });
  };
  const untyped = (docs: Collection): void => {
    docs.count({ whatever: 5, other: { $gt: "a" }, $or: [{ x: null }, { y: { $exists: true } }] });
    // @ts-expect-error What no field can be.
    docs.count({ whatever: new Date() });
  };
  expect([typed, untyped]).toHaveLength(2);
});
