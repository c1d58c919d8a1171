/**
 * One computation for everybody who waits: who joins it, who may give up, what is kept.
 */

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { rmSync } from "node:fs";
import { Database, EmbedCache } from "vectorlite";
import { describe, expect, onTestFinished, test } from "vitest";
import { closing, deferred, expectRejection, temporaryFolder, temporaryPath } from "./helpers.ts";
import { runtimes, startProgram } from "./processes.ts";

function newCache(options: ConstructorParameters<typeof EmbedCache>[0] = {}): EmbedCache {
  return closing(new EmbedCache({ path: ":memory:", dimension: 2, ...options }));
}

/** A compute whose calls wait until they are let go, each by the first of its keys. */
function gated(): {
  compute: (keys: string[], context: { signal: AbortSignal }) => Promise<number[][]>;
  asked: string[][];
  signals: AbortSignal[];
  release(key: string): void;
  fail(key: string, error: Error): void;
} {
  const gates = new Map<string, ReturnType<typeof deferred<undefined>>>();
  const asked: string[][] = [];
  const signals: AbortSignal[] = [];
  return {
    asked,
    signals,
    compute: async (keys, { signal }) => {
      const gate = deferred<undefined>();
      gates.set(keys[0] ?? "", gate);
      asked.push(keys);
      signals.push(signal);
      await gate.promise;
      return keys.map((key) => [key.charCodeAt(0), 1]);
    },
    release: (key) => gates.get(key)?.resolve(undefined),
    fail: (key, error) => gates.get(key)?.reject(error),
  };
}

/** Lets everything run that is ready to. */
function settled(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 5));
}

/** Calls something with every message of a channel until the test has finished. */
function subscribed(channel: string, listen: () => void): { count: number } {
  const heard = { count: 0 };
  const listener = (): void => {
    heard.count++;
    listen();
  };
  subscribe(channel, listener);
  onTestFinished(() => void unsubscribe(channel, listener));
  return heard;
}

/** Fails the test where a rejection is left to nobody. */
function watchRejections(): void {
  const unhandled: unknown[] = [];
  const listen = (reason: unknown): number => unhandled.push(reason);
  process.on("unhandledRejection", listen);
  onTestFinished(async () => {
    await settled();
    process.off("unhandledRejection", listen);
    expect(unhandled).toEqual([]);
  });
}

describe("what compute may return", () => {
  test("is a vector, or a vector with what it cost", async () => {
    const cache = newCache();
    await cache.getOrCompute("a", () => [1, 1]);
    await cache.getOrCompute("b", async () => ({ vector: [2, 2], tokens: 7 }));
    await cache.getOrComputeMany(["c", "d"], () => ({ vectors: Float32Array.of(3, 3, 4, 4) }));
    await cache.getOrComputeMany(["e"], () => ({ vectors: [[5, 5]], tokens: 3 }));
    expect([..."abcde"].map((key) => cache.get(key)?.[0])).toEqual([1, 2, 3, 4, 5]);
    expect(cache.stats()).toMatchObject({ computed: 5, tokensComputed: 10 });
  });

  test.each([-1, Number.NaN, "7", null])("is no %j of tokens", async (tokens) => {
    const cache = newCache();
    await expectRejection(
      cache.getOrComputeMany(["a"], () => ({ vectors: [[1, 1]], tokens }) as never),
      "ERR_INVALID_ARGUMENT",
    );
    expect(cache.size).toBe(0);
  });
});

describe("a signal", () => {
  test("may be undefined, and must be one otherwise", async () => {
    const cache = newCache();
    await cache.getOrCompute("a", () => [1, 1], { signal: undefined });
    await cache.getOrComputeMany(["b"], () => [[1, 1]], { signal: undefined });
    const wrong = { signal: {} } as never;
    await expectRejection(
      cache.getOrCompute("a", () => [1, 1], wrong),
      "ERR_INVALID_ARGUMENT",
    );
    await expectRejection(
      cache.getOrComputeMany(["a"], () => [], wrong),
      "ERR_INVALID_ARGUMENT",
    );
  });

  test("that is aborted already computes nothing", async () => {
    const cache = newCache();
    const reason = new Error("too late");
    const signal = AbortSignal.abort(reason);
    const { compute, asked } = gated();
    await expect(cache.getOrComputeMany(["a"], compute, { signal })).rejects.toBe(reason);
    await expect(cache.getOrCompute("a", () => [1, 1], { signal })).rejects.toBe(reason);
    expect(asked).toEqual([]);
  });

  test("calls the computation off where nobody else waits, and nothing is stored", async () => {
    watchRejections();
    const cache = newCache();
    const { compute, signals, release } = gated();
    const controller = new AbortController();
    const call = cache.getOrComputeMany(["a"], compute, { signal: controller.signal });
    await settled();
    expect(signals[0]?.aborted).toBe(false);
    const reason = new Error("never mind");
    controller.abort(reason);
    await expect(call).rejects.toBe(reason);
    expect(signals[0]?.aborted).toBe(true);
    expect(signals[0]?.reason).toBe(reason);
    release("a");
    await settled();
    expect(cache.size).toBe(0);
  });

  test("is not aborted by one that comes after the computation", async () => {
    const cache = newCache();
    const controller = new AbortController();
    let seen: AbortSignal | undefined;
    const compute = (_: string, context: { signal: AbortSignal }): number[] => {
      seen = context.signal;
      return [1, 1];
    };
    await cache.getOrCompute("a", compute, { signal: controller.signal });
    controller.abort();
    expect(seen?.aborted).toBe(false);
  });

  test("after a computation was called off, the next caller starts a new one", async () => {
    const cache = newCache();
    const { compute } = gated();
    const controller = new AbortController();
    const call = cache.getOrComputeMany(["a"], compute, { signal: controller.signal });
    await settled();
    controller.abort(new Error("never mind"));
    await expect(call).rejects.toThrow("never mind");
    expect((await cache.getOrCompute("a", () => [5, 5]))[0]).toBe(5);
  });
});

describe("who joins a computation", () => {
  test("gets its vector though the caller who began it gives up", async () => {
    const cache = newCache();
    const { compute, asked, signals, release } = gated();
    const controller = new AbortController();
    const first = cache.getOrComputeMany(["a"], compute, { signal: controller.signal });
    const second = cache.getOrCompute("a", () => [9, 9]);
    await settled();
    controller.abort(new Error("never mind"));
    await expect(first).rejects.toThrow("never mind");
    expect(signals[0]?.aborted).toBe(false);
    release("a");
    expect((await second)[0]).toBe(97);
    expect(asked).toHaveLength(1);
    expect(cache.get("a")?.[0]).toBe(97);
    expect(cache.stats()).toMatchObject({ computed: 1, joins: 1 });
  });

  test("computes again where the one who began it took the computation down", async () => {
    watchRejections();
    const cache = newCache();
    const controller = new AbortController();
    const own = controller.signal;
    const stops = (): Promise<number[]> =>
      new Promise((_, reject) => own.addEventListener("abort", () => reject(own.reason)));
    const first = cache.getOrCompute("a", stops, { signal: own });
    const joined = [3, 4].map((number) => cache.getOrCompute("a", () => [number, 1]));
    await settled();
    controller.abort(new Error("never mind"));
    await expect(first).rejects.toThrow("never mind");
    expect((await Promise.all(joined)).map((vector) => vector[0])).toEqual([3, 3]);
    expect(cache.size).toBe(1);
    expect(cache.stats()).toMatchObject({ hits: 0, misses: 3, joins: 3, computed: 1 });
  });

  test("may give up alone", async () => {
    const cache = newCache();
    const { compute, signals, release } = gated();
    const first = cache.getOrComputeMany(["a"], compute);
    const controller = new AbortController();
    const second = cache.getOrCompute("a", () => [9, 9], { signal: controller.signal });
    await settled();
    controller.abort(new Error("never mind"));
    await expect(second).rejects.toThrow("never mind");
    expect(signals[0]?.aborted).toBe(false);
    release("a");
    expect((await first)[0]?.[0]).toBe(97);
  });

  test("may have opened the file itself, by another path", async () => {
    const path = temporaryPath("a.cache");
    const first = newCache({ path });
    const second = newCache({ path: path.replace("a.cache", "./a.cache") });
    const { compute, asked, release } = gated();
    const calls = [
      first.getOrComputeMany(["a", "b"], compute),
      second.getOrComputeMany(["b", "a"], compute),
    ];
    await settled();
    release("a");
    const [ofFirst, ofSecond] = await Promise.all(calls);
    expect(ofFirst?.map((vector) => vector[0])).toEqual([97, 98]);
    expect(ofSecond?.map((vector) => vector[0])).toEqual([98, 97]);
    expect(asked).toEqual([["a", "b"]]);
    expect(second.get("a")?.[0]).toBe(97);
  });

  test("also joins what was stored between its miss and its computation", async () => {
    const path = temporaryPath();
    const first = newCache({ path });
    const second = newCache({ path });
    const missed = subscribed("vectorlite:miss", () => second.set("a", [4, 5]));
    expect(await first.getOrCompute("a", () => [9, 9])).toEqual(Float32Array.of(4, 5));
    const many = await first.getOrComputeMany(["a", "b"], (keys) => keys.map(() => [6, 7]));
    expect(many).toEqual([Float32Array.of(4, 5), Float32Array.of(6, 7)]);
    expect(missed.count).toBe(2);
    expect(first.stats()).toMatchObject({ computed: 1, joins: 0 });
  });

  test("gets its vector, stored, though the handle that began it is closed", async () => {
    const path = temporaryPath();
    const first = newCache({ path });
    const second = newCache({ path });
    const { compute, release } = gated();
    const rejection = expectRejection(first.getOrComputeMany(["a"], compute), "ERR_CLOSED");
    const joined = second.getOrCompute("a", () => [9, 9]);
    await settled();
    first.close();
    release("a");
    await rejection;
    expect((await joined)[0]).toBe(97);
    expect(second.get("a")?.[0]).toBe(97);
  });

  test("is nobody of a file that has taken the place of another one", async () => {
    const path = temporaryPath();
    new EmbedCache({ path, dimension: 2, model: "a" }).close();
    const first = newCache({ path, mode: "read-only" });
    rmSync(path);
    const second = newCache({ path, model: "b" });
    const calls = [
      first.getOrCompute("a", async () => [1, 1]),
      second.getOrCompute("a", async () => [2, 2]),
    ];
    const vectors = await Promise.all(calls);
    expect(vectors.map((vector) => vector[0])).toEqual([1, 2]);
    expect(second.get("a")?.[0]).toBe(2);
  });

  test("is nobody of a file of the same relative path in another folder", async () => {
    const here = process.cwd();
    onTestFinished(() => process.chdir(here));
    const caches = [1, 2].map(() => {
      process.chdir(temporaryFolder());
      return newCache({ path: "a.cache" });
    });
    const calls = caches.map((cache, index) => cache.getOrCompute("a", async () => [index, 1]));
    expect((await Promise.all(calls)).map((vector) => vector[0])).toEqual([0, 1]);
    process.chdir(here);
  });

  test("is nobody of another file, or of another cache in memory", async () => {
    const { compute, asked, release } = gated();
    const caches = [newCache(), newCache(), newCache({ path: temporaryPath() })];
    const calls = caches.map((cache) => cache.getOrComputeMany(["a"], compute));
    await settled();
    expect(asked).toHaveLength(3);
    for (let index = 0; index < 3; index++) release("a");
    calls.forEach((call) => void call.catch(() => undefined));
  });
});

describe("calls under way", () => {
  test("may be more than the library has handles, and others open files meanwhile", async () => {
    const cache = newCache();
    const gate = deferred<number[]>();
    const calls = Array.from({ length: 66_000 }, (_, number) =>
      cache.getOrCompute(`${number}`, () => gate.promise),
    );
    newCache();
    gate.resolve([1, 1]);
    await Promise.all(calls);
    expect(cache.size).toBe(66_000);
  }, 60_000);
});

describe("batches", () => {
  const keys = [..."abcdefg"];

  test("have at most maxBatch keys, in their order", async () => {
    const asked: string[][] = [];
    const compute = (batch: string[]): number[][] => {
      asked.push(batch);
      return batch.map((key) => [key.charCodeAt(0), 1]);
    };
    const vectors = await newCache({ maxBatch: 3 }).getOrComputeMany(keys, compute);
    expect(asked).toEqual([["a", "b", "c"], ["d", "e", "f"], ["g"]]);
    expect(vectors.map((vector) => vector[0])).toEqual([97, 98, 99, 100, 101, 102, 103]);
    asked.length = 0;
    await newCache({ maxBatch: 3 }).getOrComputeMany(keys, compute, { maxBatch: 5 });
    expect(asked.map(({ length }) => length)).toEqual([5, 2]);
    asked.length = 0;
    await newCache().getOrComputeMany(keys, compute);
    expect(asked.map(({ length }) => length)).toEqual([7]);
  });

  test.each([
    [undefined, undefined, 4],
    [2, undefined, 2],
    [2, 3, 3],
    [1, undefined, 1],
  ])("run beside each other: cache %j, call %j, at most %j", async (ofCache, ofCall, most) => {
    let running = 0;
    let mostSeen = 0;
    const compute = async (batch: string[]): Promise<number[][]> => {
      running++;
      mostSeen = Math.max(mostSeen, running);
      await new Promise((resolve) => setTimeout(resolve, 3));
      running--;
      return batch.map(() => [1, 1]);
    };
    const cache = newCache({ maxBatch: 1, concurrency: ofCache });
    await cache.getOrComputeMany(keys, compute, { concurrency: ofCall });
    expect(mostSeen).toBe(most);
    expect(cache.size).toBe(7);
  });

  test("that are finished stay, and none is begun after one that fails", async () => {
    watchRejections();
    const cache = newCache({ maxBatch: 2, concurrency: 1 });
    const asked: string[] = [];
    const compute = async (batch: string[]): Promise<number[][]> => {
      asked.push(batch.join(""));
      if (batch.includes("c")) throw new Error("rate limit");
      return batch.map((key) => [key.charCodeAt(0), 1]);
    };
    await expect(cache.getOrComputeMany(keys, compute)).rejects.toThrow("rate limit");
    await settled();
    expect(asked).toEqual(["ab", "cd"]);
    expect([...cache.keys()].sort()).toEqual(["a", "b"]);
    await cache.getOrComputeMany(keys, (batch) => batch.map(() => [1, 1]));
    expect(cache.size).toBe(7);
  });

  test("that are under way when another one fails are stored when they come", async () => {
    const cache = newCache({ maxBatch: 1, concurrency: 2 });
    const { compute, signals, release, fail } = gated();
    const call = cache.getOrComputeMany(["a", "b", "c"], compute);
    await settled();
    fail("a", new Error("rate limit"));
    await expect(call).rejects.toThrow("rate limit");
    expect(signals[1]?.aborted).toBe(false);
    release("b");
    await settled();
    expect([...cache.keys()]).toEqual(["b"]);
  });

  test("that others wait for are computed though the call that planned them failed", async () => {
    const cache = newCache({ maxBatch: 1, concurrency: 1 });
    const { compute, release, fail } = gated();
    const first = cache.getOrComputeMany(["a", "b"], compute);
    const second = cache.getOrCompute("b", () => [9, 9]);
    await settled();
    fail("a", new Error("rate limit"));
    await expect(first).rejects.toThrow("rate limit");
    await settled();
    release("b");
    expect((await second)[0]).toBe(98);
  });

  test("are not begun where the caller gives up before their turn", async () => {
    const cache = newCache({ maxBatch: 1, concurrency: 1 });
    const { compute, asked, release } = gated();
    const controller = new AbortController();
    const call = cache.getOrComputeMany(["a", "b"], compute, { signal: controller.signal });
    await settled();
    controller.abort(new Error("never mind"));
    await expect(call).rejects.toThrow("never mind");
    release("a");
    await settled();
    expect(asked).toEqual([["a"]]);
    expect(cache.size).toBe(0);
  });

  test("of wrong answers store none of their keys, and leave the others alone", async () => {
    const cache = newCache({ maxBatch: 2, concurrency: 1 });
    await expectRejection(
      cache.getOrComputeMany(["a", "b", "c", "d"], (batch) =>
        batch.includes("c") ? [[1, 1], [1]] : batch.map(() => [1, 1]),
      ),
      "ERR_DIMENSION",
    );
    expect([...cache.keys()].sort()).toEqual(["a", "b"]);
  });

  test("may not wait for one that the same call has planned", async () => {
    const cache = newCache({ maxBatch: 1, concurrency: 1 });
    await expectRejection(
      cache.getOrComputeMany(["a", "b"], async () => [await cache.getOrCompute("b", () => [1, 1])]),
      "ERR_INVALID_ARGUMENT",
    );
  });

  test.each([0, -1, 1.5, "2", 1_000_001])("are not of %j keys", async (maxBatch) => {
    const wrong = { maxBatch } as never;
    expect(() => newCache(wrong)).toThrow(/maxBatch/);
    await expectRejection(
      newCache().getOrComputeMany(["a"], () => [[1, 1]], wrong),
      "ERR_INVALID_ARGUMENT",
    );
  });
});

test("processes that miss the same texts may all compute, and none harms another", async () => {
  const path = temporaryPath();
  new EmbedCache({ path, dimension: 3 }).close();
  const running = [...runtimes(), ...runtimes()].map((runtime) => {
    return startProgram("computing.mjs", [path], runtime);
  });
  for (const { lines } of running) expect(await lines(1)).toEqual(["ready"]);
  for (const { child } of running) child.stdin?.end("!");
  let computed = 0;
  for (const { ended } of running) {
    const { status, stdout, stderr } = await ended;
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    computed += Number(stdout.split("\n")[1]);
  }
  expect(computed).toBeGreaterThanOrEqual(50);
  using cache = new EmbedCache({ path });
  expect(cache.size).toBe(50);
  for (const key of cache.keys()) expect(cache.get(key)).toEqual(Float32Array.of(+key + 1, 2, 3));
  using db = new Database(path);
  expect(await db.verify()).toMatchObject({ ok: true, errors: [] });
});
