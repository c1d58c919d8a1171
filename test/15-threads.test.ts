/**
 * One computation for all threads of a process that miss the same key.
 */

import { once } from "node:events";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { EmbedCache } from "vectorlite";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { closing, deferred, root, temporaryPath } from "./helpers.ts";

interface Report {
  vectors?: number[][];
  error?: string;
  computed: string[];
  joins: number;
  hits: number;
  misses: number;
  size: number;
}

/** A thread that asks for texts; what it tells, in order. */
class Asker {
  readonly worker: Worker;
  readonly #told: unknown[] = [];

  constructor(path: string, id: number, texts: string[], options: object = {}) {
    this.worker = new Worker(join(root, "test/programs/computing-worker.mjs"), {
      workerData: { path, id, texts, options },
    });
    this.worker.on("message", (message) => this.#told.push(message));
    onTestFinished(async () => void (await this.worker.terminate()));
  }

  async #next<Message>(): Promise<Message> {
    if (this.#told.length === 0) await once(this.worker, "message");
    return this.#told.shift() as Message;
  }

  /** The texts that it computes now. */
  async computing(): Promise<string[]> {
    return (await this.#next<{ computing: string[] }>()).computing;
  }

  async done(): Promise<Report> {
    return (await this.#next<{ done: Report }>()).done;
  }

  goOn(): void {
    this.worker.postMessage({ fails: false });
  }

  /** Lets it compute what it has to. */
  async goOnUntilDone(): Promise<Report> {
    for (;;) {
      const told = await this.#next<{ done?: Report }>();
      if (told.done !== undefined) return told.done;
      this.goOn();
    }
  }

  fail(): void {
    this.worker.postMessage({ fails: true });
  }
}

function newCache(path: string, options: object = {}): EmbedCache {
  return closing(new EmbedCache({ path, dimension: 2, ...options }));
}

/** What would be computed here, and must not be. */
function refuse(): never {
  throw new Error("this is being computed by another thread");
}

describe("threads that miss the same texts", () => {
  test("compute each of them once, whoever misses it first", async () => {
    const path = temporaryPath();
    const cache = newCache(path);
    const asker = new Asker(path, 7, ["a", "bb"]);
    expect(await asker.computing()).toEqual(["a", "bb"]);
    const asked: string[][] = [];
    const calls = [
      cache.getOrComputeMany(["bb", "ccc", "a"], (keys) => {
        asked.push(keys);
        return keys.map((key) => [key.length, 1]);
      }),
      cache.getOrCompute("bb", refuse),
      cache.getOrCompute("a", refuse),
    ];
    const gate = deferred<undefined>();
    setTimeout(() => gate.resolve(undefined), 30);
    await gate.promise;
    expect(cache.get("ccc")?.[1]).toBe(1);
    expect(cache.size).toBe(1);
    asker.goOn();
    const [many, bb, a] = await Promise.all(calls);
    expect(many).toEqual([Float32Array.of(2, 7), Float32Array.of(3, 1), Float32Array.of(1, 7)]);
    expect([bb, a]).toEqual([Float32Array.of(2, 7), Float32Array.of(1, 7)]);
    expect(asked).toEqual([["ccc"]]);
    expect(await asker.done()).toMatchObject({ computed: ["a", "bb"], joins: 0, hits: 0 });
    expect(cache.stats()).toMatchObject({ computed: 1, joins: 4, misses: 5 });
    expect(cache.get("a")).toEqual(Float32Array.of(1, 7));
  });

  test("get what the main thread computes too", async () => {
    const path = temporaryPath();
    const cache = newCache(path);
    const gate = deferred<undefined>();
    const call = cache.getOrCompute("a", async () => {
      await gate.promise;
      return [5, 5];
    });
    const askers = [1, 2].map((id) => new Asker(path, id, ["a", `of ${id}`]));
    for (const [index, asker] of askers.entries()) {
      expect(await asker.computing()).toEqual([`of ${index + 1}`]);
      asker.goOn();
    }
    gate.resolve(undefined);
    expect(await call).toEqual(Float32Array.of(5, 5));
    for (const [index, asker] of askers.entries()) {
      const { vectors, computed, joins } = await asker.done();
      expect({ vectors, computed, joins }).toEqual({
        vectors: [
          [5, 5],
          [4, index + 1],
        ],
        computed: [`of ${index + 1}`],
        joins: 1,
      });
    }
    expect(cache.stats().computed).toBe(1);
  });

  test("get each its own vector, also where a vector is one number", async () => {
    const path = temporaryPath();
    const texts = ["a", "bb", "ccc"];
    const cache = newCache(path, { dimension: 1 });
    const asker = new Asker(path, 7, texts, { dimension: 1 });
    expect(await asker.computing()).toEqual(texts);
    const call = cache.getOrComputeMany(texts, refuse);
    asker.goOn();
    expect((await call).map((vector) => [...vector])).toEqual([[1], [2], [3]]);
    expect(cache.stats()).toMatchObject({ computed: 0, joins: 3 });
  });

  test("begin anew where the one that computed failed, and then one computes for all", async () => {
    const path = temporaryPath();
    const cache = newCache(path);
    const asker = new Asker(path, 7, ["a"]);
    await asker.computing();
    const here = cache.getOrCompute("a", () => [9, 9]);
    const others = [1, 2].map((id) => new Asker(path, id, ["a"]));
    asker.fail();
    expect(await asker.done()).toMatchObject({ error: "rate limit", computed: ["a"] });
    const reports = await Promise.all(others.map((other) => other.goOnUntilDone()));
    const vector = await here;
    expect(reports.map(({ vectors }) => vectors)).toEqual([[[...vector]], [[...vector]]]);
    const counts = reports.map(({ computed }) => computed.length);
    expect([cache.stats().computed, ...counts].sort()).toEqual([0, 0, 1]);
  });

  test("are not kept waiting by one that was terminated while it computed", async () => {
    const path = temporaryPath();
    const cache = newCache(path);
    const asker = new Asker(path, 7, ["a", "b"]);
    await asker.computing();
    const call = cache.getOrComputeMany(["a", "b"], (keys) => keys.map(() => [9, 9]));
    await asker.worker.terminate();
    expect(await call).toEqual([Float32Array.of(9, 9), Float32Array.of(9, 9)]);
    expect(cache.stats()).toMatchObject({ computed: 2, joins: 2, hits: 0, misses: 2 });
  });

  test("do not wait for ever for one that hangs", async () => {
    const path = temporaryPath();
    const cache = newCache(path);
    const asker = new Asker(path, 7, ["a"]);
    await asker.computing();
    vi.useFakeTimers({ toFake: ["setTimeout", "performance"] });
    onTestFinished(() => void vi.useRealTimers());
    let computed = 0;
    const compute = (): number[] => {
      computed++;
      return [9, 9];
    };
    const calls = [cache.getOrCompute("a", compute), cache.getOrCompute("a", compute)];
    await vi.advanceTimersByTimeAsync(29_000);
    expect(computed).toBe(0);
    await vi.advanceTimersByTimeAsync(1_100);
    for (const vector of await Promise.all(calls)) expect(vector).toEqual(Float32Array.of(9, 9));
    expect(computed).toBe(1);
    expect(cache.get("a")).toEqual(Float32Array.of(9, 9));
  });

  test("get what is not stored where it is computed, and store it where they may", async () => {
    const path = temporaryPath();
    const cache = newCache(path);
    const asker = new Asker(path, 7, ["a"], { mode: "read-only" });
    await asker.computing();
    const reader = newCache(path, { dimension: undefined, mode: "read-only" });
    const calls = [reader.getOrCompute("a", refuse), cache.getOrCompute("a", refuse)];
    asker.goOn();
    for (const vector of await Promise.all(calls)) expect(vector).toEqual(Float32Array.of(1, 7));
    expect(await asker.done()).toMatchObject({ vectors: [[1, 7]] });
    expect(cache.get("a")).toEqual(Float32Array.of(1, 7));
  });

  test("may give up waiting, and the one that computes goes on", async () => {
    const path = temporaryPath();
    const cache = newCache(path);
    const asker = new Asker(path, 7, ["a"]);
    await asker.computing();
    const controller = new AbortController();
    const call = cache.getOrCompute("a", refuse, { signal: controller.signal });
    controller.abort(new Error("never mind"));
    await expect(call).rejects.toThrow("never mind");
    asker.goOn();
    expect(await asker.done()).toMatchObject({ vectors: [[1, 7]] });
    expect(await cache.getOrCompute("a", refuse)).toEqual(Float32Array.of(1, 7));
  });

  test("compute for themselves in other files, namespaces and caches in memory", async () => {
    const path = temporaryPath();
    const cache = newCache(path);
    const asker = new Asker(path, 7, ["a"]);
    await asker.computing();
    const inMemory = new Asker(":memory:", 8, ["a"], { dimension: 2 });
    await inMemory.computing();
    const others = [
      cache.namespace("other", { dimension: 2 }),
      newCache(temporaryPath()),
      newCache(":memory:"),
    ];
    for (const other of others) {
      expect(await other.getOrCompute("a", () => [9, 9])).toEqual(Float32Array.of(9, 9));
    }
    asker.goOn();
    inMemory.goOn();
    expect(await asker.done()).toMatchObject({ vectors: [[1, 7]] });
    expect(await inMemory.done()).toMatchObject({ vectors: [[1, 8]] });
  });
});
