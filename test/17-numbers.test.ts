/**
 * What a cache tells of itself: its statistics, and channels for whoever listens.
 */

import { channel, subscribe, unsubscribe } from "node:diagnostics_channel";
import { type CacheMessage, EmbedCache, type EvictMessage, type HitMessage } from "vectorlite";
import { describe, expect, onTestFinished, test } from "vitest";
import { closing, deferred, expectCode, temporaryPath } from "./helpers.ts";

function newCache(): EmbedCache {
  return closing(new EmbedCache({ path: ":memory:", dimension: 2 }));
}

/** The messages on a channel until the end of the test. */
function hear<Message>(name: string): Message[] {
  const heard: Message[] = [];
  const listener = (message: unknown): void => void heard.push(message as Message);
  subscribe(name, listener);
  onTestFinished(() => void unsubscribe(name, listener));
  return heard;
}

/** Those about keys, in short. */
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

describe("what goes", () => {
  const path = ":memory:";

  test("is told after the commit, by namespace, and only what went since", async () => {
    const cache = closing(new EmbedCache({ path, dimension: 2, maxEntries: 3 }));
    const other = cache.namespace("other", { dimension: 2 });
    for (const key of ["a", "b", "c", "d"]) cache.set(key, [1, 1]);
    const heard = hear<EvictMessage>("vectorlite:evict");
    other.set("x", [1, 1], { ttl: 1 });
    await new Promise((resolve) => setTimeout(resolve, 5));
    const before = cache.stats().evictions;
    cache.setMany(["e", "f"], new Float32Array([1, 1, 1, 1]));
    expect(heard).toEqual([
      { path, namespace: "default", evicted: cache.stats().evictions - before, expired: 0 },
    ]);
    other.set("y", [1, 1]);
    expect(heard.slice(1)).toEqual([{ path, namespace: "other", evicted: 0, expired: 1 }]);
    expect(other.stats()).toMatchObject({ evictions: 0, expirations: 1 });
  });

  test("is told by a listener that writes itself, each entry once", () => {
    const cache = closing(new EmbedCache({ path, dimension: 2, maxEntries: 5 }));
    let evicted = 0;
    const listener = (message: unknown): void => {
      evicted += (message as EvictMessage).evicted;
      if (evicted < 10) cache.set(`from within ${evicted}`, [1, 1]);
    };
    subscribe("vectorlite:evict", listener);
    onTestFinished(() => void unsubscribe("vectorlite:evict", listener));
    for (let number = 0; number < 20; number++) cache.set(`key ${number}`, [1, 1]);
    expect(evicted).toBe(cache.stats().evictions);
    expect(evicted).toBeGreaterThan(15);
  });

  test("is not told, nor counted, where it is rolled back", () => {
    const cache = closing(new EmbedCache({ path, dimension: 2, maxEntries: 3 }));
    for (const key of ["a", "b", "c"]) cache.set(key, [1, 1]);
    const heard = hear<EvictMessage>("vectorlite:evict");
    const vectors = new Float32Array([1, 1, Number.NaN, 1]);
    expect(() => cache.setMany(["d", "e"], vectors)).toThrow();
    expect(cache.stats()).toMatchObject({ evictions: 0 });
    expect(heard).toEqual([]);
    expect(cache.size).toBe(3);
  });

  test("is told of a namespace that gives way to another", () => {
    const file = temporaryPath();
    const cache = closing(new EmbedCache({ path: file, dimension: 1024, maxBytes: 1 << 20 }));
    const heard = hear<EvictMessage>("vectorlite:evict");
    const vector = new Float32Array(1024).fill(1);
    for (let number = 0; number < 200; number++) cache.set(`key ${number}`, vector);
    const told = heard.length;
    const busy = cache.namespace("busy");
    for (let number = 0; number < 60; number++) busy.set(`key ${number}`, vector);
    expect(heard.slice(told).some(({ namespace }) => namespace === "default")).toBe(true);
    const sum = (name: string): number =>
      heard
        .filter(({ namespace }) => namespace === name)
        .reduce((total, { evicted }) => total + evicted, 0);
    expect(sum("default")).toBe(cache.stats().evictions);
    expect(sum("busy")).toBe(busy.stats().evictions);
  });
});

test("a hit tells what it saved", async () => {
  const heard = hear<HitMessage>("vectorlite:hit");
  const cache = closing(
    new EmbedCache({ path: ":memory:", dimension: 2, pricePerMillionTokens: 10 }),
  );
  cache.set("a", [1, 1], { tokens: 100 });
  cache.set("b", [1, 1], { tokens: 20 });
  cache.get("a");
  await cache.getOrComputeMany(["a", "b", "a"], () => []);
  await cache.getOrCompute("b", () => [1, 1]);
  const free = closing(new EmbedCache({ path: ":memory:", dimension: 2 }));
  free.set("a", [1, 1]);
  await free.getOrCompute("a", () => [1, 1]);
  const of = { path: ":memory:", namespace: "default" };
  expect(heard).toEqual([
    { ...of, keys: ["a", "b", "a"], tokensSaved: 220, moneySaved: 0.0022 },
    { ...of, keys: ["b"], tokensSaved: 20, moneySaved: 0.0002 },
    { ...of, keys: ["a"], tokensSaved: 0, moneySaved: undefined },
  ]);
  expect(cache.stats()).toMatchObject({ tokensSaved: 340 });
});
