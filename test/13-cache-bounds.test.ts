import { statSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { Database, EmbedCache, type EmbedCacheOptions, salvage } from "vectorlite";
import { describe, expect, test } from "vitest";
import { expectCode, temporaryPath } from "./helpers.ts";
import { runtimes, startProgram } from "./processes.ts";

const dimension = 8;

function vectorOf(number: number): Float32Array {
  return Float32Array.from({ length: dimension }, (_, index) => Math.sin(number * 7 + index) + 2);
}

function open(options: EmbedCacheOptions = {}): EmbedCache {
  return new EmbedCache({ path: ":memory:", dimension, ...options });
}

describe("an entry whose time is over", () => {
  test("is not there for any read, and is computed again", async () => {
    using cache = open();
    cache.set("brief", vectorOf(1), { ttl: 40 });
    cache.set("lasting", vectorOf(2));
    expect(cache.get("brief")).toEqual(vectorOf(1));
    await delay(60);
    const out = new Float32Array(dimension);
    expect(cache.get("brief")).toBeUndefined();
    expect(cache.getInto("brief", out)).toBe(false);
    expect(cache.has("brief")).toBe(false);
    expect([...cache.getMany(["brief", "lasting"]).found]).toEqual([0, 1]);
    expect(cache.size).toBe(1);
    expect([...cache.keys()]).toEqual(["lasting"]);
    expect(cache.search(vectorOf(1), { k: 5 }).map(({ key }) => key)).toEqual(["lasting"]);
    expect(cache.findSimilar(vectorOf(1), { threshold: 0.9999 })).toBeUndefined();
    expect(cache.stats().records).toBe(1);
    expect(await cache.getOrCompute("brief", () => vectorOf(3))).toEqual(vectorOf(3));
    expect(cache.get("brief")).toEqual(vectorOf(3));
  });

  test("is over for whoever opens the file, and a hit in memory does not hide it", async () => {
    const path = temporaryPath();
    using cache = new EmbedCache({ path, dimension, ttl: 150, cacheSize: 10 });
    cache.setMany(["a", "b"], [vectorOf(1), vectorOf(2)]);
    cache.set("c", vectorOf(3), { ttl: 60_000 });
    using other = new EmbedCache({ path });
    expect(cache.get("a")).toBeDefined();
    expect(other.get("a")).toBeDefined();
    await delay(170);
    expect(cache.get("a")).toBeUndefined();
    expect(other.get("a")).toBeUndefined();
    using database = new Database(path, { readonly: true });
    expect([...(database.collection("default").keys() ?? [])]).toEqual(["c"]);
  });

  test("is replaced by one that lives for ever, and has as long as it was given last", async () => {
    using cache = open({ ttl: 30 });
    cache.set("a", vectorOf(1));
    cache.set("b", vectorOf(1), { ttl: 60_000 });
    await cache.getOrComputeMany(["c"], () => [vectorOf(1)], { ttl: 60_000 });
    await delay(50);
    expect([...cache.keys()].sort()).toEqual(["b", "c"]);
  });

  test("gives its space back without anyone calling anything", async () => {
    using cache = open();
    const keys = Array.from({ length: 5000 }, (_, index) => `key ${index}`);
    cache.setMany(keys, new Float32Array(keys.length * dimension).fill(1), { ttl: 100 });
    await delay(1500);
    expect(cache.stats().expirations).toBe(5000);
  });

  test("goes when others are written, some at a time", async () => {
    const path = temporaryPath();
    using cache = new EmbedCache({ path, dimension });
    const keys = Array.from({ length: 9000 }, (_, index) => `key ${index}`);
    cache.setMany(keys, new Float32Array(keys.length * dimension).fill(1), { ttl: 20 });
    await delay(40);
    for (let write = 0; write < 4; write++) cache.set("new", vectorOf(write));
    expect(cache.stats().expirations).toBe(9000);
    expect(cache.size).toBe(1);
  });

  test("has a time that makes sense", () => {
    using cache = open();
    for (const ttl of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, "5" as never]) {
      expectCode(() => cache.set("a", vectorOf(1), { ttl }), "ERR_INVALID_ARGUMENT");
      expectCode(() => open({ ttl }), "ERR_INVALID_ARGUMENT");
    }
    expect(cache.size).toBe(0);
  });
});

describe("a cache of so many entries", () => {
  test("never has more", () => {
    using cache = open({ maxEntries: 100 });
    for (let number = 0; number < 1000; number++) {
      cache.set(`key ${number}`, vectorOf(number));
      expect(cache.size).toBeLessThanOrEqual(100);
    }
    cache.setMany(
      Array.from({ length: 500 }, (_, index) => `batch ${index}`),
      new Float32Array(500 * dimension).fill(1),
    );
    expect(cache.size).toBeLessThanOrEqual(100);
    expect(cache.size).toBeGreaterThan(90);
    expect(cache.stats().evictions).toBeGreaterThanOrEqual(1400);
  });

  test("replaces entries without giving up others", () => {
    using cache = open({ maxEntries: 10 });
    for (let number = 0; number < 10; number++) cache.set(`key ${number}`, vectorOf(number));
    for (let round = 0; round < 50; round++) cache.set("key 3", vectorOf(round));
    expect(cache.size).toBe(10);
    expect(cache.stats().evictions).toBe(0);
    expect(cache.get("key 3")).toEqual(vectorOf(49));
  });

  test("keeps what is read while others come that never are", () => {
    using cache = open({ maxEntries: 200, cacheSize: 0 });
    const popular = Array.from({ length: 50 }, (_, index) => `popular ${index}`);
    for (const [index, key] of popular.entries()) cache.set(key, vectorOf(index));
    for (let number = 0; number < 4000; number++) {
      cache.set(`once ${number}`, vectorOf(number));
      cache.get(popular[number % popular.length] ?? "");
    }
    // Keys whose hashes meet may be taken for each other.
    expect(popular.filter((key) => cache.has(key)).length).toBeGreaterThan(44);
  });

  test("returns what was set, whatever went", () => {
    using cache = open({ maxEntries: 64 });
    let seed = 1;
    const next = (below: number): number => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    const last = new Map<string, number>();
    for (let step = 0; step < 5000; step++) {
      const key = `key ${next(200)}`;
      const chance = next(10);
      if (chance === 0) {
        cache.delete(key);
        last.delete(key);
      } else if (chance < 6) {
        cache.set(key, vectorOf(step));
        last.set(key, step);
      }
      const found = cache.get(key);
      if (found !== undefined) expect(found).toEqual(vectorOf(last.get(key) ?? -1));
    }
    expect(cache.size).toBeLessThanOrEqual(64);
  });

  test("has bounds that make sense", () => {
    for (const maxEntries of [0, -1, 1.5, 2 ** 32, "5" as never]) {
      expectCode(() => open({ maxEntries }), "ERR_INVALID_ARGUMENT");
    }
    for (const maxBytes of [0, 1000, 1.5, "5" as never]) {
      expectCode(() => open({ maxBytes }), "ERR_INVALID_ARGUMENT");
    }
  });
});

describe("a file of so many bytes", () => {
  test.each([8, 256, 1536])("is never larger, in %d dimensions", (numbers) => {
    const path = temporaryPath();
    const maxBytes = 4 << 20;
    const vector = new Float32Array(numbers).fill(0.5);
    using cache = new EmbedCache({ path, dimension: numbers, maxBytes });
    const count = Math.ceil((3 * maxBytes) / (numbers * 4 + 200));
    let largest = 0;
    for (let number = 0; number < count; number++) {
      vector[0] = number;
      cache.set(`document ${number}`, vector);
      if (number % 97 === 0) largest = Math.max(largest, statSync(path).size);
    }
    expect(Math.max(largest, statSync(path).size)).toBeLessThanOrEqual(maxBytes);
    expect(cache.get(`document ${count - 1}`)?.[0]).toBe(count - 1);
    const live = cache.size * (numbers * 4 + 100);
    expect(live).toBeGreaterThan(maxBytes / 6);
  });

  test("takes batches, and refuses one that could not fit without giving up anything", () => {
    const path = temporaryPath();
    const maxBytes = 1 << 20;
    using cache = new EmbedCache({ path, dimension: 256, maxBytes });
    const keys = (count: number): string[] => Array.from({ length: count }, (_, i) => `key ${i}`);
    for (let round = 0; round < 20; round++) {
      cache.setMany(keys(100), new Float32Array(100 * 256).fill(round + 1));
    }
    expect(cache.get("key 99")?.[0]).toBe(20);
    const before = cache.size;
    const tooMuch = new Float32Array(3000 * 256).fill(21);
    expectCode(() => cache.setMany(keys(3000), tooMuch), "ERR_NO_SPACE");
    expect(cache.size).toBe(before);
    expect(cache.get("key 99")?.[0]).toBe(20);
    expect(statSync(path).size).toBeLessThanOrEqual(maxBytes);
    // Nor does the first batch of a namespace.
    const other = cache.namespace("other");
    expectCode(() => other.setMany(keys(3000), tooMuch), "ERR_NO_SPACE");
    expect(cache.size).toBe(before);
    expect(cache.namespaces()).toEqual(["default"]);
    cache.set("afterwards", new Float32Array(256).fill(1));
    expect(cache.has("afterwards")).toBe(true);
    other.setMany(keys(100), new Float32Array(100 * 256).fill(1));
    expect(other.size).toBe(100);
  });
});

describe("a small file of large vectors", () => {
  const sizes: [mebibytes: number, numbers: number][] = [
    [1, 8],
    [1, 1536],
    [1, 3072],
    [1, 4096],
    [1, 8192],
    [2, 1536],
    [2, 3072],
    [2, 4096],
    [4, 16384],
  ];

  /** Sets keys that are new, and others again, between reads; entries after each set. */
  function stream(cache: EmbedCache, path: string, maxBytes: number, count: number): number[] {
    const vector = new Float32Array(cache.stats().dimension).fill(0.5);
    const last = new Map<string, number>();
    return Array.from({ length: count }, (_, number) => {
      // Some keys are read all the time, so that what goes lies between what stays.
      const key = number % 7 === 0 ? `often ${number % 35}` : `key ${number}`;
      vector[0] = number + 1;
      cache.set(key, vector);
      last.set(key, number + 1);
      expect(cache.get(key)?.[0]).toBe(number + 1);
      const other = `key ${Math.floor(number / 2)}`;
      const found = cache.get(other);
      if (found !== undefined) expect(found[0]).toBe(last.get(other));
      if (number % 16 === 0) expect(statSync(path).size).toBeLessThanOrEqual(maxBytes);
      return cache.size;
    });
  }

  test.each(sizes)("of %d MiB and %d numbers never loses most at once", (mebibytes, numbers) => {
    const path = temporaryPath();
    const maxBytes = mebibytes << 20;
    using cache = new EmbedCache({ path, dimension: numbers, maxBytes });
    const fitting = maxBytes / (numbers * 4 + 400);
    const entries = stream(cache, path, maxBytes, Math.min(12_000, Math.ceil(6 * fitting)));
    const plateau = Math.max(...entries);
    const whenFull = entries.slice(entries.indexOf(plateau));
    expect(plateau).toBeGreaterThan(fitting / 3);
    expect(Math.min(...whenFull)).toBeGreaterThanOrEqual(plateau / 2);
    expect(cache.stats().evictions).toBeGreaterThan(fitting);
  });

  test("is refused where it could not even hold a handful", () => {
    const options = { dimension: 65_536, maxBytes: 1 << 20 };
    expectCode(() => open({ path: temporaryPath(), ...options }), "ERR_INVALID_ARGUMENT");
    using cache = open({ path: temporaryPath(), maxBytes: 1 << 20 });
    const large = cache.namespace("large");
    expectCode(() => large.set("a", new Float32Array(65_536).fill(1)), "ERR_INVALID_ARGUMENT");
    expect(cache.namespaces()).toEqual(["default"]);
  });
});

describe("namespaces of a file of so many bytes", () => {
  const numbers = 1024;
  const vector = new Float32Array(numbers).fill(0.5);

  function fill(cache: EmbedCache, count: number, prefix = "key"): void {
    for (let number = 0; number < count; number++) {
      vector[0] = number + 1;
      cache.set(`${prefix} ${number}`, vector);
      expect(cache.get(`${prefix} ${number}`)?.[0]).toBe(number + 1);
    }
  }

  test("begin in a full file like others", () => {
    const path = temporaryPath();
    const maxBytes = 1 << 20;
    using cache = new EmbedCache({ path, dimension: numbers, maxBytes });
    fill(cache, 400);
    for (const name of ["a", "b", "c", "d"]) {
      fill(cache.namespace(name), 1);
      fill(cache, 40, name);
    }
    cache.namespace("declared", { dimension: numbers });
    expect(cache.namespaces()).toHaveLength(6);
    expect(statSync(path).size).toBeLessThanOrEqual(maxBytes);
  });

  test("make room for one that is busy, down to its own size", () => {
    const path = temporaryPath();
    const maxBytes = 4 << 20;
    using cache = new EmbedCache({ path, dimension: numbers, maxBytes });
    fill(cache, 2000);
    const full = cache.size;
    const small = cache.namespace("small");
    fill(small, 20);
    const busy = cache.namespace("busy");
    fill(busy, 3000);
    expect(busy.size).toBeGreaterThan(full / 4);
    expect(cache.size).toBeGreaterThan(full / 4);
    // The largest give.
    expect(small.size).toBe(20);
    expect(cache.stats().evictions).toBe(2000 - cache.size);
    expect(busy.stats().evictions).toBe(3000 - busy.size);
    expect(statSync(path).size).toBeLessThanOrEqual(maxBytes);
  });

  test("share a small file without losing most of it at once", () => {
    const path = temporaryPath();
    const maxBytes = 2 << 20;
    using cache = new EmbedCache({ path, dimension: 3072, maxBytes });
    const all = [cache, cache.namespace("b"), cache.namespace("c")];
    const large = new Float32Array(3072).fill(0.5);
    const entries = Array.from({ length: 900 }, (_, number) => {
      large[0] = number + 1;
      all[number % 3]?.set(`key ${number}`, large);
      return all.reduce((sum, { size }) => sum + size, 0);
    });
    const plateau = Math.max(...entries);
    expect(plateau).toBeGreaterThan(40);
    expect(Math.min(...entries.slice(entries.indexOf(plateau)))).toBeGreaterThan(plateau / 2);
    expect(statSync(path).size).toBeLessThanOrEqual(maxBytes);
  });
});

test("a file that a reader had filled is filled again when the reader has gone", () => {
  const path = temporaryPath();
  const maxBytes = 8 << 20;
  const vector = new Float32Array(256).fill(0.5);
  using cache = new EmbedCache({ path, dimension: 256, maxBytes });
  let number = 0;
  const write = (count: number): void => {
    for (let end = number + count; number < end; number++) {
      vector[0] = number;
      try {
        cache.set(`document ${number}`, vector);
      } catch (error) {
        expect(error).toMatchObject({ code: "ERR_NO_SPACE" });
      }
    }
  };
  write(12_000);
  const full = cache.size;
  using database = new Database(path, { readonly: true });
  const snapshot = database.snapshot();
  write(3000);
  // What a reader holds makes no room, so it stays.
  expect(cache.size).toBeGreaterThan(full * 0.8);
  snapshot.close();
  database.close();
  write(20_000);
  expect(cache.size).toBeGreaterThan(full / 2);
  expect(statSync(path).size).toBeLessThanOrEqual(maxBytes);
});

describe("in a small file with a maximum, what others have read last", () => {
  const maxBytes = 1 << 20;

  /** Full, and at another point of its cycle for each number. */
  function fullCache(path: string, number: number): EmbedCache {
    const cache = new EmbedCache({ path, dimension: 256, maxBytes });
    write(cache, "old", 600 + 7 * number);
    return cache;
  }

  function write(cache: EmbedCache, prefix: string, count: number): void {
    for (let number = 0; number < count; number++) {
      cache.set(`${prefix} ${number}`, new Float32Array(256).fill(number + 1));
    }
  }

  test("costs no write of another handle of this process", () => {
    for (let round = 0; round < 8; round++) {
      const path = temporaryPath();
      using cache = fullCache(path, 50 + 2 * round);
      using other = new EmbedCache({ path, maxBytes });
      using database = new Database(path, { readonly: true });
      expect(database.collection("default").size).toBe(other.size);
      write(cache, "new", 600);
      expect(cache.size).toBeGreaterThan(100);
      expect(other.get("new 599")).toEqual(new Float32Array(256).fill(600));
      expect(database.collection("default").size).toBe(cache.size);
      expect(statSync(path).size).toBeLessThanOrEqual(maxBytes);
    }
  });

  test("costs no write of another process", async () => {
    const path = temporaryPath();
    using cache = fullCache(path, 50);
    const readers = runtimes().map((runtime) => startProgram("resting.mjs", [path], runtime));
    for (let reads = 1; reads <= 12; reads++) {
      for (const { child, lines } of readers) {
        child.stdin?.write(`old ${600 - reads}\n`);
        expect((await lines(reads)).at(-1)).toMatch(/^(true|false)$/);
      }
      write(cache, `round ${reads}`, 300);
      expect(cache.size).toBeGreaterThan(100);
    }
    for (const { child, ended } of readers) {
      child.stdin?.end();
      expect(await ended).toMatchObject({ status: 0, stderr: "" });
    }
    expect(statSync(path).size).toBeLessThanOrEqual(maxBytes);
  });

  describe("costs a batch that takes a good part of the file", () => {
    function writeBatch(cache: EmbedCache, prefix: string): void {
      const keys = Array.from({ length: 250 }, (_, number) => `${prefix} ${number}`);
      cache.setMany(keys, new Float32Array(keys.length * 256).fill(1));
    }

    /** Another process reads the cache, and rests. */
    async function expectNoCost(path: string, cache: EmbedCache, newest: string): Promise<void> {
      const { child, lines, ended } = startProgram("resting.mjs", [path]);
      child.stdin?.write(`${newest}\n`);
      expect(await lines(1)).toEqual(["true"]);
      writeBatch(cache, "batch");
      expect(cache.has("batch 249")).toBe(true);
      child.stdin?.end();
      expect(await ended).toMatchObject({ status: 0, stderr: "" });
    }

    test("nothing, also where a handle was opened and never read", async () => {
      const path = temporaryPath();
      using cache = fullCache(path, 0);
      await expectNoCost(path, cache, "old 599");
    });

    test("nothing after one that waited in vain, and writes that went well since", async () => {
      const path = temporaryPath();
      using cache = fullCache(path, 0);
      {
        using database = new Database(path, { readonly: true });
        using _held = database.snapshot();
        expectCode(() => writeBatch(cache, "in vain"), "ERR_NO_SPACE");
      }
      write(cache, "went well", 600);
      await expectNoCost(path, cache, "went well 599");
    });
  });
});

test("what was computed is kept as far as there is room, in a file that is smaller", async () => {
  using cache = open({ path: temporaryPath(), dimension: 256, maxBytes: 4 << 20 });
  const keys = Array.from({ length: 6000 }, (_, index) => `key ${index}`);
  const vectors = new Float32Array(keys.length * 256).fill(1);
  const computed = await cache.getOrComputeMany(keys, () => vectors);
  expect(computed).toHaveLength(6000);
  expect(cache.size).toBeGreaterThan(500);
});

test("a file that is larger than its maximum gets as small, and keeps what fits", async () => {
  const path = temporaryPath();
  const numbers = 768;
  const vector = (index: number): Float32Array => new Float32Array(numbers).fill(index + 1);
  const keys = Array.from({ length: 5000 }, (_, index) => `key ${index}`);
  const filled = new EmbedCache({ path, dimension: numbers });
  filled.setMany(
    keys,
    keys.map((_, index) => vector(index)),
  );
  filled.close();
  const maxBytes = 4 << 20;
  expect(statSync(path).size).toBeGreaterThan(3 * maxBytes);
  // Who has the wrong dimension loses nothing.
  expectCode(() => new EmbedCache({ path, dimension: 64, maxBytes }), "ERR_DIMENSION");
  using reader = new EmbedCache({ path, readonly: true });
  expect(reader.size).toBe(5000);
  reader.close();
  using cache = new EmbedCache({ path, dimension: numbers, maxBytes });
  expect(statSync(path).size).toBeLessThanOrEqual(maxBytes);
  expect(cache.has("key 4999")).toBe(true);
  for (let index = 0; index < 3000; index++) {
    cache.set(`new ${index}`, vector(index));
    if (index % 100 === 0) expect(statSync(path).size).toBeLessThanOrEqual(maxBytes);
    expect(cache.size).toBeGreaterThan(400);
  }
  for (const key of cache.keys()) {
    const index = Number(key.split(" ")[1]);
    expect(cache.get(key)).toEqual(vector(index));
  }
});

test("a new namespace begins in a file that is larger than its maximum", () => {
  const path = temporaryPath();
  const filled = new EmbedCache({ path, dimension: 768, namespace: "old" });
  const keys = Array.from({ length: 2000 }, (_, index) => `key ${index}`);
  filled.setMany(
    keys,
    keys.map((_, index) => new Float32Array(768).fill(index + 1)),
  );
  filled.close();
  using cache = new EmbedCache({ path, dimension, maxBytes: 2 << 20, namespace: "new" });
  cache.set("a", vectorOf(1));
  expect(cache.get("a")).toEqual(vectorOf(1));
  expect(statSync(path).size).toBeLessThanOrEqual(2 << 20);
  expect(cache.namespace("old").size).toBeGreaterThan(200);
});

describe("what a Database stored in the file of a cache with maxBytes", () => {
  const documents = { dimension: 64 };

  /** A file with so many documents beside a cache; the documents' keys. */
  function withDocuments(path: string, count: number): string[] {
    using database = new Database(path);
    const keys = Array.from({ length: count }, (_, index) => `document ${index}`);
    const vectors = keys.map((_, index) => new Float32Array(64).fill(index + 1));
    database.collection("documents", documents).upsertMany(
      keys.map((key, index) => {
        return { key, vector: vectors[index] ?? [], metadata: { index } };
      }),
    );
    return keys;
  }

  function expectAll(path: string, keys: string[]): void {
    using database = new Database(path, { readonly: true });
    const found = database.collection("documents");
    expect([...found.keys()].sort()).toEqual([...keys].sort());
    expect(found.get("document 7")?.metadata).toEqual({ index: 7 });
  }

  test("stays, however much the cache is given, and while it is the largest of all", () => {
    const path = temporaryPath();
    const keys = withDocuments(path, 2000);
    const maxBytes = 4 << 20;
    {
      using cache = new EmbedCache({ path, dimension: 256, maxBytes });
      const vector = new Float32Array(256).fill(1);
      for (let number = 0; number < 6000; number++) cache.set(`key ${number}`, vector);
      expect(cache.size).toBeGreaterThan(200);
      expect(cache.stats().evictions).toBeGreaterThan(0);
      expect(statSync(path).size).toBeLessThanOrEqual(maxBytes);
    }
    expectAll(path, keys);
  });

  test("stays where it alone is larger than the maximum, and the entries beside it too", () => {
    const path = temporaryPath();
    const keys = withDocuments(path, 20_000);
    new EmbedCache({ path, dimension, namespace: "other" }).set("a", vectorOf(1));
    using cache = new EmbedCache({ path, dimension, maxBytes: 2 << 20, namespace: "other" });
    expect(cache.get("a")).toEqual(vectorOf(1));
    const { size } = statSync(path);
    expect(size).toBeGreaterThan(5 << 20);
    let stored = 0;
    const vector = new Float32Array(8).fill(1);
    expectCode(() => {
      for (; stored < 1e6; stored++) cache.set(`key ${stored}`, vector);
    }, "ERR_NO_SPACE");
    expect(statSync(path).size).toBeLessThanOrEqual(size);
    expectAll(path, keys);
  });

  test("is not opened by a cache whose maximum it would have to heed", () => {
    const path = temporaryPath();
    const keys = withDocuments(path, 20);
    for (const bound of [{ maxBytes: 4 << 20 }, { maxEntries: 10 }]) {
      const named = { path, namespace: "documents", ...bound };
      expectCode(() => new EmbedCache(named), "ERR_INVALID_ARGUMENT");
    }
    using cache = new EmbedCache({ path, namespace: "documents" });
    expect(cache.size).toBe(20);
    expectAll(path, keys);
  });

  test("is read by a cache that has a maximum and writes nothing", () => {
    const path = temporaryPath();
    withDocuments(path, 20);
    for (const bound of [{ maxBytes: 4 << 20 }, { maxEntries: 10 }]) {
      for (const reading of [{ readonly: true }, { mode: "replay" as const }]) {
        using cache = new EmbedCache({ path, namespace: "documents", ...bound, ...reading });
        expect(cache.size).toBe(20);
        expect(cache.get("document 7")).toEqual(new Float32Array(64).fill(8));
      }
    }
  });

  test("stays out of reach under another name, in a backup and after a rescue", async () => {
    const path = temporaryPath();
    withDocuments(path, 20);
    {
      using database = new Database(path);
      database.renameCollection("documents", "renamed");
      await database.backup(`${path}.backup`);
    }
    await salvage(path, `${path}.rescued`);
    for (const copy of [path, `${path}.backup`, `${path}.rescued`]) {
      const named = { path: copy, namespace: "renamed", maxEntries: 10 };
      expectCode(() => new EmbedCache(named), "ERR_INVALID_ARGUMENT");
    }
  });
});

test("a large batch that fits takes the place of others, and leaves most of what fits", () => {
  using cache = open({ path: temporaryPath(), dimension: 1536, maxBytes: 4 << 20 });
  const vector = new Float32Array(1536).fill(1);
  for (let number = 0; number < 1000; number++) cache.set(`key ${number}`, vector);
  const full = cache.size;
  const vectors = new Float32Array(200 * 1536).fill(1);
  for (let round = 0; round < 4; round++) {
    const keys = Array.from({ length: 200 }, (_, index) => `batch ${round} ${index}`);
    cache.setMany(keys, vectors);
    // Some of it goes on probation: it is more than a tenth.
    expect(keys.filter((key) => cache.has(key)).length).toBeGreaterThan(50);
    expect(cache.size).toBeGreaterThan(full / 2);
  }
});

test("who joins a computation keeps what it asked for", async () => {
  using cache = open();
  const slow = async (): Promise<Float32Array> => {
    await delay(20);
    return vectorOf(1);
  };
  await Promise.all([
    cache.getOrCompute("a", slow, { ttl: 30 }),
    cache.getOrCompute("a", slow, { ttl: 60_000 }),
  ]);
  await delay(50);
  expect(cache.has("a")).toBe(true);
});

test("who joins through another handle keeps what that one promises", async () => {
  const path = temporaryPath();
  using brief = open({ path, ttl: 300 });
  using lasting = open({ path });
  using reader = new EmbedCache({ path, mode: "read-only" });
  const slow = async (): Promise<Float32Array> => {
    await delay(10);
    return vectorOf(1);
  };
  const handles = {
    a: [brief, lasting],
    b: [lasting, brief],
    c: [brief, reader],
    d: [reader, brief],
  };
  await Promise.all(
    Object.entries(handles).flatMap(([key, both]) =>
      both.map((handle) => handle.getOrCompute(key, slow)),
    ),
  );
  expect([...brief.keys()].sort()).toEqual(["a", "b", "c", "d"]);
  await delay(350);
  // Who only reads has no say in how long others keep it.
  expect([...brief.keys()].sort()).toEqual(["a", "b"]);
});

test("a recording has no bound, and what is over is not deleted twice", async () => {
  expectCode(() => open({ mode: "record-missing", maxEntries: 5 }), "ERR_INVALID_ARGUMENT");
  using cache = open();
  cache.set("a", vectorOf(1), { ttl: 10 });
  await delay(20);
  expect(cache.delete("a")).toBe(false);
});

test("hits save what entries cost, in tokens and in money", async () => {
  using cache = open({ pricePerMillionTokens: 20 });
  const compute = (keys: string[]): { vectors: Float32Array[]; tokens: number } => ({
    vectors: keys.map((_, index) => vectorOf(index)),
    tokens: 30,
  });
  await cache.getOrComputeMany(["ab", "abcd"], compute);
  cache.set("own", vectorOf(5), { tokens: 7 });
  expect(cache.stats()).toMatchObject({ tokensSaved: 0, moneySaved: 0, tokensComputed: 30 });
  cache.get("ab");
  expect(cache.stats().tokensSaved).toBe(10);
  cache.get("abcd");
  cache.get("own");
  cache.get("own");
  expect(cache.stats()).toMatchObject({ tokensSaved: 44, moneySaved: 0.00088 });
});
