/**
 * The beginnings of vectors, for models that are declared to have them.
 */

import { EmbedCache, type ModelIdentity } from "vectorlite";
import { describe, expect, test } from "vitest";
import {
  closing,
  dot,
  expectCode,
  expectRejection,
  randomVectors,
  temporaryPath,
} from "./helpers.ts";

const [a, b] = randomVectors(5, 2, 8) as [Float32Array, Float32Array];

function newCache(matryoshka: ModelIdentity["matryoshka"], path = ":memory:"): EmbedCache {
  const cache = closing(new EmbedCache({ path, dimension: 8, model: { name: "m", matryoshka } }));
  cache.setMany(["a", "b"], [a, b]);
  return cache;
}

/** What a shorter vector should be. */
function prefixOf(vector: Float32Array, length: number): Float32Array {
  const prefix = vector.slice(0, length);
  const norm = Math.sqrt(dot(prefix, prefix));
  return prefix.map((number) => number / norm);
}

describe("a shorter vector", () => {
  test("is the beginning, scaled to the length 1", () => {
    const short = newCache(true).get("a", { dimensions: 4 });
    expect(short).toEqual(prefixOf(a, 4));
    expect(dot(short ?? [], short ?? [])).toBeCloseTo(1, 6);
    expect(short?.buffer.byteLength).toBe(16);
  });

  test("of all dimensions is the vector as it was set", () => {
    const cache = newCache(undefined);
    expect(cache.get("a", { dimensions: 8 })).toEqual(a);
    expect(cache.get("a", {})).toEqual(a);
    expect(cache.get("a", { dimensions: undefined })).toEqual(a);
  });

  test("of all dimensions is that also where computing decides how many there are", async () => {
    const cache = newCache(true);
    const model = { name: "m", matryoshka: true };
    const options = { dimensions: 8 };
    const first = cache.namespace("first", { model });
    const both = [first.getOrCompute("a", () => a, options), first.getOrCompute("a", () => b)];
    const [asked, joined] = await Promise.all(both);
    expect([asked, joined, first.get("a")]).toEqual([a, a, a]);
    asked?.fill(9);
    expect(joined).toEqual(a);
    const many = cache.namespace("many", { model });
    expect(await many.getOrComputeMany(["a", "b"], () => [a, b], options)).toEqual([a, b]);
    expect(many.get("b", options)).toEqual(b);
  });

  test("is copied into an array of its length", () => {
    const cache = newCache([2, 4]);
    for (const length of [2, 4]) {
      const out = new Float32Array(length);
      expect(cache.getInto("a", out)).toBe(true);
      expect(out).toEqual(prefixOf(a, length));
      expect(cache.getInto("missing", out)).toBe(false);
    }
    expectCode(() => cache.getInto("a", new Float32Array(3)), "ERR_DIMENSION");
    expectCode(() => cache.getInto("a", new Float32Array(0)), "ERR_DIMENSION");
  });

  test("is what computing returns, and the whole one is stored", async () => {
    const cache = newCache(true);
    cache.clear();
    const options = { dimensions: 2 };
    expect(await cache.getOrCompute("a", () => a, options)).toEqual(prefixOf(a, 2));
    expect(await cache.getOrCompute("a", () => b, options)).toEqual(prefixOf(a, 2));
    const vectors = await cache.getOrComputeMany(["b", "a", "b"], () => [b], options);
    expect(vectors).toEqual([b, a, b].map((vector) => prefixOf(vector, 2)));
    expect(await cache.getOrComputeMany(["b"], () => [], options)).toEqual([prefixOf(b, 2)]);
    expect(await cache.getOrComputeMany([], () => [], options)).toEqual([]);
    expect(cache.get("b")).toEqual(b);
  });

  test("of a missing key is undefined, also in a namespace that is not there", () => {
    const cache = newCache(true);
    expect(cache.get("missing", { dimensions: 4 })).toBeUndefined();
    const empty = cache.namespace("empty", { model: { name: "m", matryoshka: [4] } });
    expect(empty.get("a", { dimensions: 4 })).toBeUndefined();
    expectCode(() => empty.get("a", { dimensions: 3 }), "ERR_DIMENSION");
  });

  test("has a norm that is computed in double precision", () => {
    const cache = newCache(true);
    cache.set("large", [3e38, 3e38, 1, 1, 1, 1, 1, 1]);
    cache.set("small", [1e-40, 1e-40, 1, 1, 1, 1, 1, 1]);
    const half = Float32Array.of(Math.SQRT1_2, Math.SQRT1_2);
    expect(cache.get("large", { dimensions: 2 })).toEqual(half);
    expect(cache.get("small", { dimensions: 2 })?.[0]).toBeCloseTo(Math.SQRT1_2, 5);
  });
});

describe("what is refused", () => {
  test("a length of a model that is not declared to have it, with what to do", async () => {
    const cache = newCache(undefined);
    const { message } = expectCode(() => cache.get("a", { dimensions: 4 }), "ERR_DIMENSION");
    expect(message).toMatch(/4 dimensions.*8.*matryoshka: true/);
    let isComputed = false;
    const compute = (): Float32Array => {
      isComputed = true;
      return a;
    };
    await expectRejection(cache.getOrCompute("c", compute, { dimensions: 4 }), "ERR_DIMENSION");
    expect(isComputed).toBe(false);
    expectCode(() => cache.getInto("a", new Float32Array(4)), "ERR_DIMENSION");
    expectCode(() => newCache(false).get("a", { dimensions: 4 }), "ERR_DIMENSION");
  });

  test("a length that is not among those allowed, and a longer one", () => {
    const { message } = expectCode(
      () => newCache([2, 4]).get("a", { dimensions: 3 }),
      "ERR_DIMENSION",
    );
    expect(message).toMatch(/2, 4/);
    expectCode(() => newCache(true).get("a", { dimensions: 9 }), "ERR_DIMENSION");
  });

  test("a length above what the first vectors turn out to have", async () => {
    const cache = closing(new EmbedCache({ path: ":memory:" }));
    const empty = cache.namespace("empty", { model: { name: "m", matryoshka: true } });
    await expectRejection(
      empty.getOrCompute("a", () => [1, 2], { dimensions: 3 }),
      "ERR_DIMENSION",
    );
  });

  test.each([0, -1, 1.5, "4", Number.NaN])("the length %j", (dimensions) => {
    const wrong = { dimensions } as never;
    expectCode(() => newCache(true).get("a", wrong), "ERR_INVALID_ARGUMENT");
  });

  test("a beginning that is all zero", () => {
    const cache = newCache(true);
    cache.set("zero", [0, 0, 1, 1, 1, 1, 1, 1]);
    expectCode(() => cache.get("zero", { dimensions: 2 }), "ERR_INVALID_VECTOR");
  });
});

describe("the declaration", () => {
  test("is stored with a new file, and need not be said again", () => {
    const path = temporaryPath();
    newCache([4], path).close();
    for (const model of [undefined, "m", { name: "m" }]) {
      const cache = closing(new EmbedCache({ path, model }));
      expect(cache.get("a", { dimensions: 4 })).toEqual(prefixOf(a, 4));
      expectCode(() => cache.get("a", { dimensions: 2 }), "ERR_DIMENSION");
    }
  });

  test("may come later, or change: no vector depends on it", () => {
    const path = temporaryPath();
    newCache(undefined, path).close();
    const model = { name: "m", matryoshka: [2] };
    const cache = closing(new EmbedCache({ path, model }));
    expect(cache.get("a", { dimensions: 2 })).toEqual(prefixOf(a, 2));
    cache.namespace("default", { model: { name: "m", matryoshka: true } });
    expect(cache.get("a", { dimensions: 3 })).toEqual(prefixOf(a, 3));
  });
});
