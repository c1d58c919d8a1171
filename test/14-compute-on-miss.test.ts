/**
 * getOrCompute and getOrComputeMany: nothing is computed twice, nothing wrong is stored.
 */

import { EmbedCache } from "vectorlite";
import { describe, expect, test } from "vitest";
import { closing, deferred, expectRejection } from "./helpers.ts";

function newCache(): EmbedCache {
  return closing(new EmbedCache({ path: ":memory:", dimension: 2 }));
}

describe("getOrCompute", () => {
  test("takes a sync or an async compute, and passes it the key", async () => {
    const cache = newCache();
    expect(await cache.getOrCompute("a", (key) => [key.length, 2])).toEqual(Float32Array.of(1, 2));
    expect(await cache.getOrCompute("bb", async (key) => [key.length, 2])).toEqual(
      Float32Array.of(2, 2),
    );
    expect(cache.size).toBe(2);
  });

  test("computes once for concurrent calls, and gives each its own copy", async () => {
    const cache = newCache();
    const gate = deferred<number[]>();
    let computed = 0;
    const compute = (): Promise<number[]> => {
      computed++;
      return gate.promise;
    };
    const calls = [1, 2, 3].map(() => cache.getOrCompute("a", compute));
    gate.resolve([1, 2]);
    const [first, second, third] = await Promise.all(calls);
    expect(computed).toBe(1);
    expect([first, second, third]).toEqual(Array(3).fill(Float32Array.of(1, 2)));
    first?.fill(9);
    expect(second).toEqual(Float32Array.of(1, 2));
    expect(cache.get("a")).toEqual(Float32Array.of(1, 2));
  });

  test("gives back what a later get gives: rounded to 32 bits", async () => {
    const cache = newCache();
    expect(await cache.getOrCompute("a", () => [0.1, 0.2])).toEqual(cache.get("a"));
  });

  test("fails for everyone who waits, stores nothing and tries again", async () => {
    const cache = newCache();
    const gate = deferred<number[]>();
    const calls = [1, 2].map(() => cache.getOrCompute("a", () => gate.promise));
    const outcomes = Promise.allSettled(calls);
    gate.reject(new Error("rate limit"));
    for (const outcome of await outcomes) {
      expect(outcome).toMatchObject({ status: "rejected", reason: { message: "rate limit" } });
    }
    expect(cache.size).toBe(0);
    expect(await cache.getOrCompute("a", () => [1, 2])).toEqual(Float32Array.of(1, 2));
  });

  test("turns a compute that throws at once into a rejection", async () => {
    const cache = newCache();
    const call = cache.getOrCompute("a", () => {
      throw new Error("no");
    });
    await expect(call).rejects.toThrow("no");
  });

  test("does not leave an unhandled rejection behind", async () => {
    const unhandled: unknown[] = [];
    const listen = (reason: unknown): number => unhandled.push(reason);
    process.on("unhandledRejection", listen);
    const cache = newCache();
    await cache.getOrCompute("a", () => Promise.reject(new Error("no"))).catch(() => undefined);
    await cache
      .getOrComputeMany(["a", "b"], () => Promise.reject(new Error("no")))
      .catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 20));
    process.off("unhandledRejection", listen);
    expect(unhandled).toEqual([]);
  });

  test.each([
    ["a wrong dimension", [1, 2, 3], "ERR_DIMENSION"],
    ["NaN", [1, Number.NaN], "ERR_INVALID_VECTOR"],
    ["a zero vector", [0, 0], "ERR_INVALID_VECTOR"],
    ["undefined", undefined, "ERR_INVALID_ARGUMENT"],
    ["text", "vector", "ERR_INVALID_ARGUMENT"],
    ["numbers as text", ["1", "2"], "ERR_INVALID_ARGUMENT"],
  ] as const)("refuses %s from compute and stores nothing", async (_, value, code) => {
    const cache = newCache();
    await expectRejection(
      cache.getOrCompute("a", () => value as never),
      code,
    );
    await expectRejection(
      cache.getOrCompute("a", async () => value as never),
      code,
    );
    expect(cache.size).toBe(0);
  });

  test("refuses what is no function and what is no key", async () => {
    const cache = newCache();
    await expectRejection(cache.getOrCompute("a", [1, 2] as never), "ERR_INVALID_ARGUMENT");
    await expectRejection(
      cache.getOrCompute("", () => [1, 2]),
      "ERR_KEY",
    );
    await expectRejection(
      cache.getOrCompute(5 as never, () => [1, 2]),
      "ERR_INVALID_ARGUMENT",
    );
  });

  test("may ask for other keys while computing, not for the one it computes", async () => {
    const cache = newCache();
    await cache.getOrCompute("outer", () => cache.getOrCompute("inner", () => [1, 2]));
    expect([...cache.keys()].sort()).toEqual(["inner", "outer"]);
    const own = (): Promise<Float32Array> => cache.getOrCompute("own", () => [1, 2]);
    await expectRejection(cache.getOrCompute("own", own), "ERR_INVALID_ARGUMENT");
    await expectRejection(
      cache.getOrComputeMany(["a", "own"], (keys) => cache.getOrComputeMany(keys, () => [])),
      "ERR_INVALID_ARGUMENT",
    );
    expect(await own()).toEqual(Float32Array.of(1, 2));
  });

  test("rejects where the cache is closed meanwhile", async () => {
    const cache = newCache();
    const gate = deferred<number[]>();
    const call = expectRejection(
      cache.getOrCompute("a", () => gate.promise),
      "ERR_CLOSED",
    );
    cache.close();
    gate.resolve([1, 2]);
    await call;
  });
});

describe("getOrComputeMany", () => {
  test("asks once for each distinct missing key and keeps the order", async () => {
    const cache = newCache();
    cache.set("b", [2, 2]);
    const asked: string[][] = [];
    const vectors = await cache.getOrComputeMany(["c", "b", "a", "c", "b"], async (missing) => {
      asked.push(missing);
      return missing.map((key) => [key.charCodeAt(0), 1]);
    });
    expect(asked).toEqual([["c", "a"]]);
    expect(vectors.map((vector) => vector[0])).toEqual([99, 2, 97, 99, 2]);
    vectors[0]?.fill(9);
    expect(vectors[3]?.[0]).toBe(99);
    // Views of one array of this call, and of nothing else.
    expect(new Set(vectors.map((vector) => vector.buffer)).size).toBe(1);
    expect(vectors[0]?.buffer.byteLength).toBe(5 * 8);
    expect(cache.get("c")).toEqual(Float32Array.of(99, 1));
  });

  test("does not ask at all where everything is cached", async () => {
    const cache = newCache();
    cache.setMany(
      ["a", "b"],
      [
        [1, 1],
        [2, 2],
      ],
    );
    const never = (): never => {
      throw new Error("asked");
    };
    expect(await cache.getOrComputeMany(["b", "a"], never)).toEqual([
      Float32Array.of(2, 2),
      Float32Array.of(1, 1),
    ]);
    expect(await cache.getOrComputeMany([], never)).toEqual([]);
  });

  test("takes packed vectors from compute", async () => {
    const cache = newCache();
    const vectors = await cache.getOrComputeMany(["a", "b"], () => Float32Array.of(1, 2, 3, 4));
    expect(vectors).toEqual([Float32Array.of(1, 2), Float32Array.of(3, 4)]);
  });

  test("joins what other calls are computing already", async () => {
    const cache = newCache();
    const first = deferred<number[][]>();
    const single = deferred<number[]>();
    const asked: string[] = [];
    const callA = cache.getOrComputeMany(["a", "b"], (missing) => {
      asked.push(`many ${missing}`);
      return first.promise;
    });
    const callB = cache.getOrCompute("c", (key) => {
      asked.push(`one ${key}`);
      return single.promise;
    });
    const callC = cache.getOrComputeMany(["b", "c", "d"], (missing) => {
      asked.push(`many ${missing}`);
      return [[4, 4]];
    });
    const callD = cache.getOrCompute("a", () => [9, 9]);
    first.resolve([
      [1, 1],
      [2, 2],
    ]);
    single.resolve([3, 3]);
    expect((await callC).map((vector) => vector[0])).toEqual([2, 3, 4]);
    expect((await callA).map((vector) => vector[0])).toEqual([1, 2]);
    expect((await callB)[0]).toBe(3);
    expect((await callD)[0]).toBe(1);
    expect(asked.sort()).toEqual(["many a,b", "many d", "one c"]);
  });

  test.each([
    ["too few vectors", [[1, 1]], "ERR_INVALID_ARGUMENT"],
    [
      "too many vectors",
      [
        [1, 1],
        [2, 2],
        [3, 3],
      ],
      "ERR_INVALID_ARGUMENT",
    ],
    ["a wrong dimension", [[1, 1], [2]], "ERR_DIMENSION"],
    ["too few packed numbers", Float32Array.of(1, 2, 3), "ERR_DIMENSION"],
    [
      "NaN",
      [
        [1, 1],
        [2, Number.NaN],
      ],
      "ERR_INVALID_VECTOR",
    ],
    ["no array", { 0: [1, 1], 1: [2, 2] }, "ERR_INVALID_ARGUMENT"],
    ["nothing", undefined, "ERR_INVALID_ARGUMENT"],
  ] as const)("refuses %s from compute and stores none of it", async (_, value, code) => {
    const cache = newCache();
    await expectRejection(
      cache.getOrComputeMany(["a", "b"], () => value as never),
      code,
    );
    expect(cache.size).toBe(0);
    expect(await cache.getOrComputeMany(["a"], () => [[1, 1]])).toHaveLength(1);
  });

  test("refuses wrong keys before anything is computed", async () => {
    const cache = newCache();
    let computed = false;
    const compute = (): number[][] => {
      computed = true;
      return [];
    };
    await expectRejection(cache.getOrComputeMany(["a", ""], compute), "ERR_KEY");
    await expectRejection(cache.getOrComputeMany("ab" as never, compute), "ERR_INVALID_ARGUMENT");
    await expectRejection(cache.getOrComputeMany(["a"], 5 as never), "ERR_INVALID_ARGUMENT");
    expect(computed).toBe(false);
  });

  test("is not confused by a compute that changes the list it was given", async () => {
    const cache = newCache();
    const vectors = await cache.getOrComputeMany(["a", "b"], (missing) => {
      const computed = missing.map((key) => [key.charCodeAt(0), 1]);
      missing.reverse();
      return computed;
    });
    expect(vectors.map((vector) => vector[0])).toEqual([97, 98]);
  });
});
