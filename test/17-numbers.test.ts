/**
 * What a cache tells of itself: its statistics, and channels for whoever listens.
 */

import { channel, subscribe, unsubscribe } from "node:diagnostics_channel";
import { type CacheMessage, EmbedCache } from "vectorlite";
import { describe, expect, onTestFinished, test } from "vitest";
import { closing, deferred, expectCode, temporaryPath } from "./helpers.ts";

function newCache(): EmbedCache {
  return closing(new EmbedCache({ path: ":memory:", dimension: 2 }));
}

/** The messages on a channel, in short, until the end of the test. */
function listen(name: string): string[] {
  const heard: string[] = [];
  const listener = (message: unknown): void => {
    const { path, namespace, keys } = message as CacheMessage;
    heard.push(`${path} ${namespace} ${keys}`);
  };
  subscribe(name, listener);
  onTestFinished(() => void unsubscribe(name, listener));
  return heard;
}

describe("statistics", () => {
  test("count keys: found, missing, computed, and joined", async () => {
    const cache = newCache();
    expect(cache.stats()).toMatchObject({ hits: 0, misses: 0, hitRate: 0, computed: 0, joins: 0 });
    const gate = deferred<undefined>();
    const compute = async (keys: string[]): Promise<{ vectors: number[][]; tokens: number }> => {
      await gate.promise;
      return { vectors: keys.map(() => [1, 1]), tokens: keys.length * 5 };
    };
    const calls = [
      cache.getOrComputeMany(["a", "b"], compute),
      cache.getOrComputeMany(["b", "a", "c"], compute),
    ];
    gate.resolve(undefined);
    await Promise.all(calls);
    expect(cache.stats()).toMatchObject({
      hits: 0,
      misses: 5,
      computed: 3,
      joins: 2,
      tokensComputed: 15,
    });
    for (let round = 0; round < 3; round++) await cache.getOrComputeMany(["a", "b", "c"], compute);
    cache.get("a");
    expect(cache.stats()).toMatchObject({ hits: 10, misses: 5, computed: 3, hitRate: 10 / 15 });
  });

  test("say what each namespace saved at the price of its own model", async () => {
    const path = temporaryPath();
    const cache = closing(new EmbedCache({ path, dimension: 2, pricePerMillionTokens: 2 }));
    const large = cache.namespace("large", { pricePerMillionTokens: 13 });
    const same = cache.namespace("same");
    for (const one of [cache, large, same]) {
      one.set("a", [1, 1], { tokens: 1000 });
      one.get("a");
    }
    const saved = [cache, large, same].map((one) => one.stats().moneySaved);
    expect(saved).toEqual([0.002, 0.013, 0.002]);
    expect(cache.namespace("large", { pricePerMillionTokens: 13 })).toBe(large);
    for (const pricePerMillionTokens of [2, -1, Number.NaN, "13"] as number[]) {
      const options = { pricePerMillionTokens };
      expectCode(() => cache.namespace("large", options), "ERR_INVALID_ARGUMENT");
    }
    expect(closing(new EmbedCache({ path })).namespace("large").stats().moneySaved).toBeUndefined();
  });

  test("do not count what failed as computed", async () => {
    const cache = newCache();
    await cache.getOrCompute("a", () => Promise.reject(new Error("no"))).catch(() => undefined);
    await cache.getOrCompute("a", () => [1, 2, 3]).catch(() => undefined);
    expect(cache.stats()).toMatchObject({ computed: 0, misses: 2 });
  });
});

describe("channels", () => {
  test("tell what computing calls find, one message a call", async () => {
    const [hits, misses, joins] = ["hit", "miss", "join"].map((name) =>
      listen(`vectorlite:${name}`),
    );
    const cache = newCache();
    const other = cache.namespace("other");
    const gate = deferred<undefined>();
    const first = cache.getOrCompute("a", async () => {
      await gate.promise;
      return [1, 1];
    });
    const second = cache.getOrComputeMany(["a", "b", "a"], () => [[2, 2]]);
    gate.resolve(undefined);
    await Promise.all([first, second]);
    await cache.getOrComputeMany(["b", "c", "a"], () => [[3, 3]]);
    await cache.getOrCompute("c", () => [9, 9]);
    await other.getOrCompute("a", () => [4, 4]);
    expect(misses).toEqual([
      ":memory: default a",
      ":memory: default a,b",
      ":memory: default c",
      ":memory: other a",
    ]);
    expect(joins).toEqual([":memory: default a"]);
    expect(hits).toEqual([":memory: default b,a", ":memory: default c"]);
  });

  test("tell nothing of other reads", () => {
    const heard = [listen("vectorlite:hit"), listen("vectorlite:miss")];
    const cache = newCache();
    cache.set("a", [1, 1]);
    cache.get("a");
    cache.getInto("a", new Float32Array(2));
    cache.getMany(["a", "b"]);
    cache.has("b");
    expect(heard).toEqual([[], []]);
  });

  test("have no subscribers of the cache's own", async () => {
    await newCache().getOrCompute("a", () => [1, 1]);
    for (const name of ["hit", "miss", "join"]) {
      expect(channel(`vectorlite:${name}`).hasSubscribers).toBe(false);
    }
  });
});
