/**
 * Everything that a plain embedding cache does, in the order in which one gets to know it.
 */

import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { EmbedCache } from "vectorlite";
import { describe, expect, test } from "vitest";
import {
  closing,
  expectCode,
  keysOf,
  randomVector,
  randomVectors,
  seededRandom,
  temporaryFolder,
  temporaryPath,
} from "./helpers.ts";

const dimension = 8;

function newCache(options: ConstructorParameters<typeof EmbedCache>[0] = {}): EmbedCache {
  return closing(new EmbedCache({ path: temporaryPath(), dimension, ...options }));
}

/** The unit vector along one axis. */
function axis(index: number): Float32Array {
  const vector = new Float32Array(dimension);
  vector[index] = 1;
  return vector;
}

describe("a plain embedding cache", () => {
  test("is created as one file, with no sidecar", () => {
    const folder = temporaryFolder();
    const cache = closing(new EmbedCache({ path: join(folder, "a.cache"), dimension }));
    cache.set("key", axis(0));
    expect(existsSync(join(folder, "a.cache"))).toBe(true);
    expect(existsSync(join(folder, "a.cache-wal"))).toBe(false);
    expect(statSync(join(folder, "a.cache")).isFile()).toBe(true);
  });

  test("gives back exactly the vector that was set, bit for bit", () => {
    const cache = newCache();
    const vector = Float32Array.of(0.1, -0, 1e-45, 3.4e38, -1 / 3, Math.PI, 1, -1);
    cache.set("key", vector);
    const found = cache.get("key");
    expect(new Uint32Array(found!.buffer)).toEqual(new Uint32Array(vector.buffer));
  });

  test("rounds plain numbers to 32 bits", () => {
    const cache = newCache();
    cache.set("key", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]);
    expect(cache.get("key")).toEqual(Float32Array.of(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8));
  });

  test("overwrites: the last vector of a key wins, and the size stays", () => {
    const cache = newCache();
    cache.set("key", axis(0));
    cache.set("key", axis(1));
    expect(cache.get("key")).toEqual(axis(1));
    expect(cache.size).toBe(1);
  });

  test("answers undefined for a missing key", () => {
    expect(newCache().get("nowhere")).toBeUndefined();
  });

  test("keeps many keys apart", () => {
    const cache = newCache();
    const vectors = randomVectors(1, 2000, dimension);
    vectors.forEach((vector, index) => {
      cache.set(`key ${index}`, vector);
    });
    expect(cache.size).toBe(2000);
    vectors.forEach((vector, index) => {
      expect(cache.get(`key ${index}`)).toEqual(vector);
    });
  });

  test("refuses a vector of another dimension and names both", () => {
    const cache = newCache();
    const error = expectCode(() => cache.set("key", [1, 2, 3]), "ERR_DIMENSION");
    expect(error.message).toMatch(/3.*8/);
    expect(cache.size).toBe(0);
  });

  test("persists: what was set is there after closing and opening again", () => {
    const path = temporaryPath();
    const first = new EmbedCache({ path, dimension });
    first.set("key", axis(3));
    first.close();
    const second = closing(new EmbedCache({ path }));
    expect(second.get("key")).toEqual(axis(3));
    expect(second.size).toBe(1);
  });

  test("finds the most similar entry", () => {
    const cache = newCache();
    cache.setMany(["x", "y", "z"], [axis(0), axis(1), axis(2)]);
    const found = cache.findSimilar([0.1, 0.9, 0, 0, 0, 0, 0, 0], { threshold: 0.5 });
    expect(found?.key).toBe("y");
    expect(found?.vector).toEqual(axis(1));
    expect(found?.score).toBeCloseTo(0.9 / Math.hypot(0.1, 0.9), 5);
  });

  test("finds nothing where nothing reaches the threshold", () => {
    const cache = newCache({ similarityThreshold: 0.9 });
    cache.set("x", axis(0));
    expect(cache.findSimilar([1, 1, 0, 0, 0, 0, 0, 0])).toBeUndefined();
    expect(cache.findSimilar([1, 0.1, 0, 0, 0, 0, 0, 0])?.key).toBe("x");
    expect(cache.findSimilar([1, 1, 0, 0, 0, 0, 0, 0], { threshold: 0.7 })?.key).toBe("x");
  });

  test("asks for a threshold where there is none at all", () => {
    expectCode(() => newCache().findSimilar(axis(0)), "ERR_INVALID_ARGUMENT");
  });

  test("searches the k nearest entries, the closest first", () => {
    const cache = newCache();
    cache.setMany(["x", "y", "z"], [axis(0), axis(1), axis(2)]);
    const hits = cache.search([3, 2, 1, 0, 0, 0, 0, 0], { k: 2 });
    expect(keysOf(hits)).toEqual(["x", "y"]);
    expect(hits[0]?.score).toBeGreaterThan(hits[1]?.score ?? 1);
    expect(hits[0]?.vector).toEqual(axis(0));
    const alike = { k: 2, exact: true, threads: 2 };
    expect(cache.search([3, 2, 1, 0, 0, 0, 0, 0], alike)).toEqual(hits);
  });

  test("tells its numbers", () => {
    const cache = newCache();
    cache.set("x", axis(0));
    cache.get("x");
    cache.get("nowhere");
    const stats = cache.stats();
    expect(stats).toMatchObject({ records: 1, dimension, metric: "cosine" });
    expect(stats).toMatchObject({ hits: 1, misses: 1, sets: 1, evictions: 0, expirations: 0 });
    expect(stats.cacheCapacity).toBe(100);
    expect(stats.fileSize).toBeGreaterThan(0);
    expect(stats.indexSize).toBeGreaterThan(0);
    expect(stats.memoryUsage).toBeGreaterThan(0);
    expect(stats.cachedCount).toBeLessThanOrEqual(stats.cacheCapacity);
  });

  test("computes on a miss and never again", async () => {
    const cache = newCache();
    let computed = 0;
    const embed = async (): Promise<Float32Array> => {
      computed++;
      return axis(4);
    };
    expect(await cache.getOrCompute("key", embed)).toEqual(axis(4));
    expect(await cache.getOrCompute("key", embed)).toEqual(axis(4));
    expect(computed).toBe(1);
  });

  test("computes only what is missing of many", async () => {
    const cache = newCache();
    cache.set("a", axis(0));
    const asked: string[][] = [];
    const vectors = await cache.getOrComputeMany(["b", "a", "c", "b"], (missing) => {
      asked.push(missing);
      return missing.map((key) => axis(key === "b" ? 1 : 2));
    });
    expect(asked).toEqual([["b", "c"]]);
    expect(vectors).toEqual([axis(1), axis(0), axis(2), axis(1)]);
  });

  test("closes itself at the end of a using block", () => {
    let leaked: EmbedCache;
    {
      using cache = new EmbedCache({ path: temporaryPath(), dimension });
      cache.set("key", axis(0));
      leaked = cache;
    }
    expectCode(() => leaked.get("key"), "ERR_CLOSED");
  });

  test("throws on use after closing, and closing twice is fine", () => {
    const cache = newCache();
    cache.close();
    cache.close();
    expectCode(() => cache.set("key", axis(0)), "ERR_CLOSED");
  });

  test("holds large vectors", () => {
    const cache = newCache({ dimension: 16_384 });
    const vector = randomVector(seededRandom(2), 16_384);
    cache.set("key", vector);
    expect(cache.get("key")).toEqual(vector);
  });

  test("refuses an empty key", () => {
    expectCode(() => newCache().set("", axis(0)), "ERR_KEY");
  });

  test("takes any Unicode text as a key and never confuses two", () => {
    const cache = newCache();
    const keys = [
      "é",
      "e\u0301",
      "日本語",
      "👩‍👩‍👧‍👦",
      "a\0b",
      "a\nb",
      " ",
      "\ufeffbom",
      "bom",
      "ß",
      "ẞ",
    ];
    keys.forEach((key, index) => {
      cache.set(key, [index + 1, 1, 1, 1, 1, 1, 1, 1]);
    });
    expect(cache.size).toBe(keys.length);
    keys.forEach((key, index) => {
      expect(cache.get(key)?.[0]).toBe(index + 1);
    });
    expect([...cache.keys()].sort()).toEqual([...keys].sort());
  });

  test("deletes an entry and says whether there was one", () => {
    const cache = newCache();
    cache.set("key", axis(0));
    expect(cache.delete("key")).toBe(true);
    expect(cache.delete("key")).toBe(false);
    expect(cache.get("key")).toBeUndefined();
    expect(cache.size).toBe(0);
  });

  test("clears all entries and goes on working", () => {
    const cache = newCache();
    cache.setMany(["a", "b"], [axis(0), axis(1)]);
    cache.clear();
    expect(cache.size).toBe(0);
    expect(cache.has("a")).toBe(false);
    expect([...cache.keys()]).toEqual([]);
    cache.set("a", axis(2));
    expect(cache.get("a")).toEqual(axis(2));
  });

  test("knows its size and whether it has a key", () => {
    const cache = newCache();
    expect(cache.size).toBe(0);
    cache.set("a", axis(0));
    cache.set("b", axis(1));
    expect(cache.size).toBe(2);
    expect(cache.has("a")).toBe(true);
    expect(cache.has("c")).toBe(false);
  });

  test("iterates over its keys", () => {
    const cache = newCache();
    cache.setMany(["a", "b", "c"], [axis(0), axis(1), axis(2)]);
    cache.delete("b");
    expect([...cache.keys()].sort()).toEqual(["a", "c"]);
  });

  test("sets and gets in batches, packed or as lists, with zeros for what is missing", () => {
    const cache = newCache();
    const packed = Float32Array.from([...axis(0), ...axis(1)]);
    cache.setMany(["a", "b"], packed);
    cache.setMany(["c"], [[0, 0, 1, 0, 0, 0, 0, 0]]);
    const { vectors, found } = cache.getMany(["c", "nowhere", "a"]);
    expect(vectors).toEqual(Float32Array.from([...axis(2), ...new Float32Array(8), ...axis(0)]));
    expect(found).toEqual(Uint8Array.of(1, 0, 1));
  });

  test("copies into an array of the caller", () => {
    const cache = newCache();
    cache.set("key", axis(5));
    const out = axis(0);
    expect(cache.getInto("nowhere", out)).toBe(false);
    expect(out).toEqual(axis(0));
    expect(cache.getInto("key", out)).toBe(true);
    expect(out).toEqual(axis(5));
  });

  test("gives vectors that the caller owns: changing one changes nothing else", () => {
    const cache = newCache();
    cache.set("key", axis(0));
    const first = cache.get("key");
    first?.fill(9);
    expect(cache.get("key")).toEqual(axis(0));
    expect(first?.buffer.byteLength).toBe(dimension * 4);
    structuredClone(first, { transfer: [first?.buffer as ArrayBuffer] });
    expect(cache.get("key")).toEqual(axis(0));
  });

  test("copies vectors on the way in: changing one later changes nothing", () => {
    const cache = newCache();
    const vector = axis(0);
    cache.set("key", vector);
    vector.fill(9);
    expect(cache.get("key")).toEqual(axis(0));
  });

  test("works without any option: 1536 dimensions in ./embeddings.cache", () => {
    const folder = temporaryFolder();
    const before = process.cwd();
    process.chdir(folder);
    try {
      using cache = new EmbedCache();
      expect(cache.stats().dimension).toBe(1536);
      expect(existsSync(join(folder, "embeddings.cache"))).toBe(true);
    } finally {
      process.chdir(before);
    }
  });
});
