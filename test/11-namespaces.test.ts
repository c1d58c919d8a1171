/**
 * Several caches in one file: each with keys, a dimension and a model of its own.
 */

import { Database, EmbedCache } from "vectorlite";
import { describe, expect, test } from "vitest";
import { closing, expectCode, expectRejection, temporaryPath } from "./helpers.ts";

function newCache(options: ConstructorParameters<typeof EmbedCache>[0] = {}): EmbedCache {
  return closing(new EmbedCache({ path: temporaryPath(), dimension: 2, ...options }));
}

describe("a namespace", () => {
  test("has keys of its own", () => {
    const cache = newCache();
    const other = cache.namespace("other", { dimension: 3 });
    cache.set("a", [1, 2]);
    other.set("a", [1, 2, 3]);
    other.set("b", [4, 5, 6]);
    expect(cache.get("a")).toEqual(Float32Array.of(1, 2));
    expect(other.get("a")).toEqual(Float32Array.of(1, 2, 3));
    expect([cache.size, other.size]).toEqual([1, 2]);
    cache.clear();
    expect([...other.keys()].sort()).toEqual(["a", "b"]);
    expect(other.search([4, 5, 6], { k: 1 })[0]?.key).toBe("b");
  });

  test("is the same object for the same name, whoever of the file is asked", () => {
    const cache = newCache();
    const a = cache.namespace("a");
    expect(cache.namespace("a")).toBe(a);
    expect(a.namespace("a")).toBe(a);
    expect(a.namespace("b")).toBe(cache.namespace("b"));
    expect(a.namespace("default")).toBe(cache);
    expect(cache.namespace("default")).toBe(cache);
  });

  test("is in the file, and listed there once it has been made", () => {
    const path = temporaryPath();
    const cache = new EmbedCache({ path, dimension: 2 });
    cache.namespace("made", { dimension: 3 });
    cache.namespace("filled").set("a", [1, 2, 3, 4]);
    cache.namespace("empty");
    expect(cache.namespaces().sort()).toEqual(["default", "filled", "made"]);
    cache.close();
    const again = newCache({ path });
    expect(again.namespaces().sort()).toEqual(["default", "filled", "made"]);
    expect(again.namespace("filled").get("a")).toEqual(Float32Array.of(1, 2, 3, 4));
    expect(again.namespace("made").stats().dimension).toBe(3);
  });

  test("is a collection of the database", () => {
    const path = temporaryPath();
    const cache = new EmbedCache({ path, dimension: 2 });
    cache.namespace("other").set("a", [1, 2, 3]);
    cache.close();
    const database = closing(new Database(path));
    expect(database.collections().sort()).toEqual(["default", "other"]);
    expect(database.collection("other").getVector("a")).toEqual(Float32Array.of(1, 2, 3));
  });

  test("may be what the file is opened for", () => {
    const path = temporaryPath();
    const first = newCache({ path, namespace: "mine", dimension: 3 });
    first.set("a", [1, 2, 3]);
    expect(first.namespaces()).toEqual(["mine"]);
    expect(first.namespace("mine")).toBe(first);
    expect(first.namespace("default").size).toBe(0);
    const second = newCache({ path, namespace: "mine", dimension: undefined });
    expect(second.get("a")).toEqual(Float32Array.of(1, 2, 3));
  });

  test("has the threshold of the cache unless it says another one", () => {
    const cache = newCache({ similarityThreshold: 0.5 });
    const inherits = cache.namespace("inherits");
    const says = cache.namespace("says", { similarityThreshold: 0.99 });
    for (const namespace of [inherits, says]) namespace.set("a", [1, 1]);
    expect(inherits.findSimilar([1, 0])?.key).toBe("a");
    expect(says.findSimilar([1, 0])).toBeUndefined();
  });

  test("computes for itself", async () => {
    const cache = newCache();
    const other = cache.namespace("other");
    const [here, there] = await Promise.all([
      cache.getOrCompute("a", async () => [1, 1]),
      other.getOrCompute("a", async () => [2, 2]),
    ]);
    expect([here[0], there[0]]).toEqual([1, 2]);
    expect(cache.stats().computed).toBe(1);
  });
});

describe("a namespace that is not in the file", () => {
  test("is empty", () => {
    const namespace = newCache().namespace("empty", { similarityThreshold: 0.5 });
    expect(namespace.get("a")).toBeUndefined();
    expect(namespace.getInto("a", new Float32Array(7))).toBe(false);
    const { vectors, found } = namespace.getMany(["a", "b"]);
    expect([vectors.length, [...found]]).toEqual([0, [0, 0]]);
    expect(namespace.has("a")).toBe(false);
    expect(namespace.delete("a")).toBe(false);
    namespace.clear();
    expect(namespace.size).toBe(0);
    expect([...namespace.keys()]).toEqual([]);
    expect(namespace.search([1, 2, 3])).toEqual([]);
    expect(namespace.findSimilar([1, 2, 3])).toBeUndefined();
    expect(namespace.stats()).toMatchObject({ records: 0, dimension: 0, hits: 0, misses: 4 });
    namespace.setMany([], []);
    namespace.setMany([], new Float32Array(0));
    expect(namespace.namespaces()).toEqual(["default"]);
  });

  test("refuses what is no key and no target all the same", () => {
    const namespace = newCache().namespace("empty");
    expectCode(() => namespace.get(""), "ERR_KEY");
    expectCode(() => namespace.has("\ud800"), "ERR_KEY");
    expectCode(() => namespace.delete(""), "ERR_KEY");
    expectCode(() => namespace.getMany(["a", ""]), "ERR_KEY");
    expectCode(() => namespace.getInto("a", [1] as never), "ERR_INVALID_ARGUMENT");
    expectCode(() => namespace.findSimilar([1]), "ERR_INVALID_ARGUMENT");
  });

  test("has as many dimensions as its first vector", async () => {
    const cache = newCache();
    cache.namespace("set").set("a", [1, 2, 3]);
    cache.namespace("list").setMany(["a", "b"], [[1], [2]]);
    cache.namespace("packed").setMany(["a", "b"], Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8));
    await cache.namespace("one").getOrCompute("a", () => [1, 2, 3, 4, 5]);
    await cache.namespace("many").getOrComputeMany(["a", "b"], () => new Float32Array(12).fill(1));
    const dimensions = ["set", "list", "packed", "one", "many"].map(
      (name) => cache.namespace(name).stats().dimension,
    );
    expect(dimensions).toEqual([3, 1, 4, 5, 6]);
    expectCode(() => cache.namespace("set").set("b", [1, 2]), "ERR_DIMENSION");
  });

  test("is not made by a vector that is refused", async () => {
    const cache = newCache();
    const namespace = cache.namespace("empty");
    expectCode(() => namespace.set("a", [1, Number.NaN]), "ERR_INVALID_VECTOR");
    expectCode(() => namespace.set("a", []), "ERR_DIMENSION");
    expectCode(() => namespace.set("a", "text" as never), "ERR_INVALID_ARGUMENT");
    expectCode(() => namespace.set("", [1, 2]), "ERR_KEY");
    expectCode(() => namespace.setMany(["a", "b"], [[1, 2], [1]]), "ERR_DIMENSION");
    expectCode(() => namespace.setMany(["a", "b"], [[1, 2]]), "ERR_INVALID_ARGUMENT");
    expectCode(() => namespace.setMany(["a", "b"], new Float32Array(3)), "ERR_DIMENSION");
    await expectRejection(
      namespace.getOrCompute("a", () => [0, 0]),
      "ERR_INVALID_VECTOR",
    );
    expect(namespace.namespaces()).toEqual(["default"]);
    namespace.set("a", [1, 2, 3]);
    expect(namespace.get("a")).toEqual(Float32Array.of(1, 2, 3));
  });

  test("of batches that disagree keeps the first, and refuses the other", async () => {
    const namespace = newCache({ maxBatch: 1 }).namespace("empty");
    await expectRejection(
      namespace.getOrComputeMany(["a", "b"], ([key]) => [key === "a" ? [1, 2, 3] : [1, 2]]),
      "ERR_DIMENSION",
    );
    expect([...namespace.keys()]).toEqual(["a"]);
  });

  test("is there as soon as another handle has made it", () => {
    const path = temporaryPath();
    const reader = newCache({ path }).namespace("other");
    const writer = newCache({ path }).namespace("other");
    expect(reader.get("a")).toBeUndefined();
    writer.set("a", [1, 2, 3]);
    expect(reader.get("a")).toEqual(Float32Array.of(1, 2, 3));
    expectCode(() => reader.set("b", [1, 2]), "ERR_DIMENSION");
  });

  test("stays empty where nothing can be written", async () => {
    const path = temporaryPath();
    newCache({ path }).close();
    const cache = newCache({ path, readonly: true });
    const namespace = cache.namespace("other");
    expect(namespace.get("a")).toBeUndefined();
    expectCode(() => namespace.set("a", [1, 2]), "ERR_READONLY");
    expectCode(() => namespace.delete("a"), "ERR_READONLY");
    await expectRejection(
      namespace.getOrCompute("a", () => [1, 2]),
      "ERR_READONLY",
    );
    const named = newCache({ path, readonly: true, namespace: "named", dimension: undefined });
    expect(named.size).toBe(0);
  });
});

describe("closing", () => {
  test("the cache closes its namespaces", () => {
    const cache = newCache();
    const filled = cache.namespace("filled");
    filled.set("a", [1, 2]);
    const empty = cache.namespace("empty");
    cache.close();
    for (const namespace of [filled, empty]) {
      expectCode(() => namespace.get("a"), "ERR_CLOSED");
      expectCode(() => namespace.set("a", [1, 2]), "ERR_CLOSED");
      expectCode(() => namespace.stats(), "ERR_CLOSED");
      expectCode(() => namespace.keys(), "ERR_CLOSED");
    }
    expectCode(() => cache.namespace("filled"), "ERR_CLOSED");
    expectCode(() => cache.namespaces(), "ERR_CLOSED");
  });

  test("a namespace leaves the cache, and the namespace, open", () => {
    const cache = newCache();
    {
      using namespace = cache.namespace("other");
      namespace.set("a", [1, 2]);
    }
    cache.set("a", [1, 2]);
    expect(cache.namespace("other").has("a")).toBe(true);
  });
});

describe("what is refused", () => {
  test("options that contradict what is stored or open", () => {
    const path = temporaryPath();
    const first = newCache({ path });
    const options = { dimension: 3, model: "m", cacheSize: 5, similarityThreshold: 0.5 };
    const namespace = first.namespace("other", options);
    expect(first.namespace("other", options)).toBe(namespace);
    const stored = newCache({ path });
    for (const cache of [first, stored]) {
      const found = expectCode(() => cache.namespace("other", { dimension: 4 }), "ERR_DIMENSION");
      expect(found.message).toMatch(/3.*4/);
      expectCode(() => cache.namespace("other", { model: "n" }), "ERR_MODEL");
    }
    expectCode(() => first.namespace("other", { cacheSize: 6 }), "ERR_INVALID_ARGUMENT");
    expectCode(
      () => first.namespace("other", { similarityThreshold: 0.6 }),
      "ERR_INVALID_ARGUMENT",
    );
    expectCode(() => first.namespace("default", { dimension: 3 }), "ERR_DIMENSION");
  });

  test("what an empty one was asked to be already; what it was not is decided later", () => {
    const cache = newCache();
    const namespace = cache.namespace("other", { model: "m" });
    expectCode(() => cache.namespace("other", { model: "n" }), "ERR_MODEL");
    expect(cache.namespace("other", { dimension: 3 })).toBe(namespace);
    expect(namespace.stats().dimension).toBe(3);
    expectCode(() => cache.namespace("other", { dimension: 4 }), "ERR_DIMENSION");
  });

  test.each(["", "a\0b", "\ud800", "x".repeat(256), "é".repeat(128), 5, null])(
    "the name %j",
    (name) => {
      const cache = newCache();
      expectCode(() => cache.namespace(name as never), "ERR_INVALID_ARGUMENT");
      expectCode(
        () => new EmbedCache({ path: ":memory:", namespace: name as never }),
        "ERR_INVALID_ARGUMENT",
      );
    },
  );

  test("nothing of 255 bytes", () => {
    const cache = newCache();
    const name = `${"é".repeat(127)}x`;
    cache.namespace(name).set("a", [1, 2]);
    expect(cache.namespaces()).toContain(name);
  });

  test("a misspelled option", () => {
    const wrong = { dimensions: 3 } as never;
    expect(
      expectCode(() => newCache().namespace("a", wrong), "ERR_INVALID_ARGUMENT").message,
    ).toMatch(/dimension\?/);
  });
});
