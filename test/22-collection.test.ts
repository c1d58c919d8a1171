/**
 * Records of a collection: writing, reading, iteration.
 */

import { type Collection, Database, type MetadataOf } from "vectorlite";
import { describe, expect, test } from "vitest";
import { closing, expectCode, randomVectors, temporaryPath } from "./helpers.ts";

interface Doc {
  lang: string;
  year?: number;
}

function newCollection<T extends MetadataOf<T> = Doc>(dimension = 2): Collection<T> {
  const db = closing(new Database(temporaryPath()));
  return db.collection<T>("docs", { dimension, metric: "l2" });
}

describe("records", () => {
  test("come back as they were given", () => {
    const docs = newCollection();
    docs.upsert("a", [1, 2], { lang: "en", year: 2026 });
    expect(docs.get("a")).toEqual({
      key: "a",
      vector: Float32Array.of(1, 2),
      metadata: { lang: "en", year: 2026 },
    });
    expect(docs.get("b")).toBeUndefined();
  });

  test("are replaced whole, metadata included", () => {
    const docs = newCollection();
    docs.upsert("a", [1, 2], { lang: "en", year: 2026 });
    docs.upsert("a", [3, 4], { lang: "de" });
    expect(docs.get("a")).toMatchObject({
      vector: Float32Array.of(3, 4),
      metadata: { lang: "de" },
    });
    expect(docs.get("a")?.metadata).toEqual({ lang: "de" });
    docs.upsert("a", [5, 6]);
    expect(docs.get("a")?.metadata).toEqual({});
    expect(docs.size).toBe(1);
  });

  test("are written in batches from rows or from columns", () => {
    const docs = newCollection();
    docs.upsertMany([
      { key: "a", vector: [1, 1], metadata: { lang: "en" } },
      { key: "b", vector: Float32Array.of(2, 2) },
    ]);
    docs.upsertMany(["c", "d"], Float32Array.of(3, 3, 4, 4), [{ lang: "fr" }, undefined]);
    docs.upsertMany(["e"], [[5, 5]]);
    docs.upsertMany([]);
    docs.upsertMany([], []);
    expect(docs.size).toBe(5);
    expect(docs.get("a")?.metadata).toEqual({ lang: "en" });
    expect(docs.get("b")?.metadata).toEqual({});
    expect(docs.get("c")).toEqual({
      key: "c",
      vector: Float32Array.of(3, 3),
      metadata: { lang: "fr" },
    });
    expect(docs.get("d")).toMatchObject({ vector: Float32Array.of(4, 4), metadata: {} });
    expect(docs.getVector("e")).toEqual(Float32Array.of(5, 5));
  });

  test.each([
    ["metdata", /records\[1\]\. Did you mean metadata\?/],
    ["vectors", /Did you mean vector\?/],
    ["id", /It takes key, vector, metadata/],
  ])("with a field that no record has, %j, are refused", (field, message) => {
    const docs = newCollection();
    const good = { key: "a", vector: [1, 1] };
    const records = [good, { ...good, key: "b", [field]: { lang: "en" } }];
    const error = expectCode(() => docs.upsertMany(records), "ERR_INVALID_ARGUMENT");
    expect(error.message).toMatch(message);
    expect(docs.size).toBe(0);
  });

  test("of a batch with one key twice: the last wins", () => {
    const docs = newCollection();
    docs.upsertMany(
      ["a", "b", "a"],
      [
        [1, 1],
        [2, 2],
        [3, 3],
      ],
      [{ lang: "x" }, undefined, { lang: "z" }],
    );
    expect(docs.size).toBe(2);
    expect(docs.get("a")).toMatchObject({ vector: Float32Array.of(3, 3), metadata: { lang: "z" } });
  });

  test("of a batch that fails are not written at all", () => {
    const docs = newCollection();
    docs.upsert("a", [1, 1]);
    expectCode(
      () =>
        docs.upsertMany(
          ["a", "b"],
          [
            [9, 9],
            [1, Number.NaN],
          ],
        ),
      "ERR_INVALID_VECTOR",
    );
    expectCode(
      () =>
        docs.upsertMany(
          ["a", ""],
          [
            [9, 9],
            [1, 1],
          ],
        ),
      "ERR_KEY",
    );
    expectCode(() => docs.upsertMany(["a", "b"], [[9, 9], [1]]), "ERR_DIMENSION");
    expectCode(() => docs.upsertMany(["a", "b"], [[9, 9]]), "ERR_INVALID_ARGUMENT");
    expectCode(() => docs.upsertMany(["a", "b"], Float32Array.of(1, 2, 3)), "ERR_DIMENSION");
    expect(docs.size).toBe(1);
    expect(docs.getVector("a")).toEqual(Float32Array.of(1, 1));
  });

  test("of a large batch that fails late are not written at all", () => {
    const docs = newCollection(512);
    const vectors = randomVectors(3, 2500, 512);
    const keys = vectors.map((_, index) => `${index}`);
    vectors[2400]?.fill(Number.NaN);
    expectCode(() => docs.upsertMany(keys, vectors), "ERR_INVALID_VECTOR");
    expect(docs.size).toBe(0);
    vectors[2400]?.fill(1);
    docs.upsertMany(keys, vectors);
    expect(docs.size).toBe(2500);
    expect(docs.getVector("2499")).toEqual(vectors[2499]);
    expect(docs.getVector("2400")).toEqual(vectors[2400]);
  });

  test("are deleted one by one and in batches", () => {
    const docs = newCollection();
    docs.upsertMany(["a", "b", "c", "d"], new Float32Array(8).fill(1));
    expect(docs.delete("a")).toBe(true);
    expect(docs.delete("a")).toBe(false);
    expect(docs.deleteMany(["b", "nowhere", "c", "b"])).toBe(2);
    expect(docs.deleteMany([])).toBe(0);
    expect([...docs.keys()]).toEqual(["d"]);
  });

  test("are counted, asked for and copied out", () => {
    const docs = newCollection();
    docs.upsertMany(
      ["a", "b"],
      [
        [1, 2],
        [3, 4],
      ],
    );
    expect(docs.size).toBe(2);
    expect(docs.has("a")).toBe(true);
    expect(docs.has("c")).toBe(false);
    const out = new Float32Array(2);
    expect(docs.getInto("b", out)).toBe(true);
    expect(out).toEqual(Float32Array.of(3, 4));
    expect(docs.getMany(["b", "c"])).toEqual({
      vectors: Float32Array.of(3, 4, 0, 0),
      found: Uint8Array.of(1, 0),
    });
    expect(docs.getMany([])).toEqual({ vectors: new Float32Array(0), found: new Uint8Array(0) });
  });

  test("may have zero vectors under l2 and dot, not under cosine", () => {
    const db = closing(new Database(":memory:"));
    for (const metric of ["l2", "dot"] as const) {
      const zeros = db.collection(metric, { dimension: 2, metric });
      zeros.upsert("zero", [0, 0]);
      expect(zeros.getVector("zero")).toEqual(new Float32Array(2));
    }
    const cosine = db.collection("cosine", { dimension: 2 });
    expectCode(() => cosine.upsert("zero", [0, 0]), "ERR_INVALID_VECTOR");
    expectCode(() => cosine.search([0, 0]), "ERR_INVALID_VECTOR");
  });

  test("have keys of up to 65,536 bytes", () => {
    const docs = newCollection();
    const longest = "é".repeat(32_768);
    docs.upsert(longest, [1, 2], { lang: "fr" });
    docs.upsert(`${longest.slice(1)}e`, [3, 4]);
    expect(docs.getVector(longest)).toEqual(Float32Array.of(1, 2));
    expect(docs.get(longest)?.key).toBe(longest);
    expect(docs.search([1, 2], { k: 1 })[0]?.key).toBe(longest);
    expect(new Set(docs.keys()).has(longest)).toBe(true);
    expectCode(() => docs.upsert(`${longest}e`, [1, 2]), "ERR_KEY");
    expectCode(() => docs.upsertMany([`${longest}e`], [[1, 2]]), "ERR_KEY");
  });
});

describe("iteration", () => {
  test("gives every record once", () => {
    const docs = newCollection<{ n: number }>(64);
    const vectors = randomVectors(4, 6000, 64);
    docs.upsertMany(vectors.map((vector, n) => ({ key: `key ${n}`, vector, metadata: { n } })));
    expect(new Set(docs.keys()).size).toBe(6000);
    let count = 0;
    for (const { key, vector, metadata } of docs.entries()) {
      if (key !== `key ${metadata.n}`) expect.unreachable(`${key} has metadata ${metadata.n}`);
      expect(vector).toEqual(vectors[metadata.n]);
      count++;
    }
    expect(count).toBe(6000);
  });

  test("sees one state, whatever is written meanwhile", () => {
    const docs = newCollection();
    for (let index = 0; index < 100; index++) docs.upsert(`old ${index}`, [1, 2]);
    const seen: string[] = [];
    for (const key of docs.keys()) {
      seen.push(key);
      docs.delete(key);
      docs.upsert(`new ${key}`, [1, 2]);
    }
    expect(seen).toHaveLength(100);
    expect(seen.every((key) => key.startsWith("old"))).toBe(true);
    expect(docs.size).toBe(100);
  });

  test("lets its snapshot go when it ends or is left early", () => {
    const db = closing(new Database(temporaryPath()));
    const docs = db.collection("docs", { dimension: 2 });
    docs.upsertMany(["a", "b", "c"], new Float32Array(6).fill(1));
    for (const _ of docs.keys()) break;
    for (const _ of docs.entries()) break;
    expect(() => {
      for (const _ of docs.entries()) throw new Error("left");
    }).toThrow("left");
    const [first] = docs.keys();
    expect(first).toBeDefined();
    expect([...docs.entries()]).toHaveLength(3);
    const started = docs.keys();
    started.next();
    expect(db.stats().snapshots).toBe(1);
    started.return();
    expect(db.stats().snapshots).toBe(0);
  });

  test("within a transaction sees what it wrote", () => {
    const db = closing(new Database(temporaryPath()));
    const docs = db.collection("docs", { dimension: 2 });
    docs.upsert("a", [1, 2]);
    db.transaction(() => {
      docs.upsert("b", [3, 4]);
      docs.delete("a");
      expect([...docs.keys()]).toEqual(["b"]);
      expect([...docs.entries()]).toMatchObject([{ key: "b", vector: Float32Array.of(3, 4) }]);
    });
  });

  test("begun within a transaction reads each record when its turn comes", () => {
    const db = closing(new Database(temporaryPath()));
    const docs = db.collection("docs", { dimension: 2 });
    docs.upsertMany(["a", "b", "c"], new Float32Array(6).fill(1));
    const seen = db.transaction(() => {
      const numbers: (number | undefined)[] = [];
      for (const { vector } of docs.entries()) {
        numbers.push(vector[0]);
        docs.upsertMany(["a", "b", "new"], new Float32Array(6).fill(2));
        docs.delete("c");
      }
      return numbers;
    });
    expect(seen).toEqual([1, 2]);
  });

  test("of an empty collection is empty", () => {
    expect([...newCollection().keys()]).toEqual([]);
    expect([...newCollection().entries()]).toEqual([]);
  });

  test("after closing throws", () => {
    const db = new Database(temporaryPath());
    const docs = db.collection("docs", { dimension: 2 });
    docs.upsertMany(["a", "b"], new Float32Array(4).fill(1));
    const keys = docs.keys();
    db.close();
    expectCode(() => keys.next(), "ERR_CLOSED");
    expectCode(() => docs.keys(), "ERR_CLOSED");
    expectCode(() => docs.entries(), "ERR_CLOSED");
  });
});
