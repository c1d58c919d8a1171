/**
 * What the semantic cache promises: the answer of the prompt, of a similar one, or none.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { Database } from "vectorlite";
import { type SemanticCache, semanticCache } from "vectorlite/semantic-cache";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  closing,
  deferred,
  expectCode,
  expectRejection,
  seededRandom,
  temporaryPath,
} from "./helpers.ts";

type Options = Parameters<typeof semanticCache>[0];

/** Prompts are points of the plane, "30 degrees": how alike two are is the cosine between them. */
function degrees(text: string): number[] {
  const [angle = "0"] = /-?\d+(\.\d+)?/.exec(text) ?? [];
  const radians = (Number(angle) * Math.PI) / 180;
  return [Math.cos(radians), Math.sin(radians)];
}

const cosineOf = (angle: number): number => Math.cos((angle * Math.PI) / 180);

function newCache<Answer = string>(options: Partial<Options> = {}): SemanticCache<Answer> {
  const where = options.database === undefined ? { path: ":memory:" } : {};
  const threshold = cosineOf(15);
  return closing(semanticCache<Answer>({ ...where, embed: degrees, threshold, ...options }));
}

describe("a lookup", () => {
  test("finds the prompt itself, and embeds nothing for it", async () => {
    const embed = vi.fn(degrees);
    const answers = newCache({ embed });
    await answers.set("30 degrees", "warm");
    embed.mockClear();
    expect(await answers.get("30 degrees")).toEqual({
      prompt: "30 degrees",
      answer: "warm",
      score: 1,
      exact: true,
    });
    expect(embed).not.toHaveBeenCalled();
  });

  test("finds the nearest prompt that reaches the threshold, and tells how near", async () => {
    const answers = newCache();
    await answers.set("30 degrees", "warm");
    await answers.set("50 degrees", "hot");
    const found = await answers.get("43 degrees");
    expect(found).toMatchObject({ prompt: "50 degrees", answer: "hot", exact: false });
    expect(found?.score).toBeCloseTo(cosineOf(7), 6);
  });

  test("finds nothing below the threshold of the cache or of the call", async () => {
    const answers = newCache();
    await answers.set("30 degrees", "warm");
    expect(await answers.get("46 degrees")).toBeUndefined();
    expect(await answers.get("40 degrees", { threshold: cosineOf(9) })).toBeUndefined();
    expect((await answers.get("46 degrees", { threshold: cosineOf(17) }))?.answer).toBe("warm");
  });

  test("embeds nothing where nothing is stored", async () => {
    const embed = vi.fn(degrees);
    expect(await newCache({ embed }).get("30 degrees")).toBeUndefined();
    expect(embed).not.toHaveBeenCalled();
  });

  test("and the set() after it embed a prompt once", async () => {
    const embed = vi.fn(degrees);
    const answers = newCache({ embed });
    await answers.set("0 degrees", "cold");
    embed.mockClear();
    expect(await answers.get("90 degrees")).toBeUndefined();
    await answers.set("90 degrees", "boiling");
    expect(embed).toHaveBeenCalledTimes(1);
  });

  test("may be given up, and the next one embeds again", async () => {
    const embed = vi.fn(degrees as (text: string) => number[] | Promise<number[]>);
    const answers = newCache({ embed });
    await answers.set("200 degrees", "other");
    embed.mockImplementationOnce(() => new Promise(() => {}));
    const controller = new AbortController();
    const { signal } = controller;
    const stuck = answers.get("30 degrees", { signal });
    await sleep(5);
    controller.abort(new Error("too long"));
    await expect(stuck).rejects.toThrow("too long");
    await expect(answers.get("200 degrees", { signal })).rejects.toThrow("too long");
    expect(await answers.get("30 degrees")).toBeUndefined();
    expect((await answers.get("201 degrees"))?.answer).toBe("other");
  });

  test("after a failed embedding tries again", async () => {
    const embed = vi.fn(degrees);
    const answers = newCache({ embed });
    await answers.set("0 degrees", "cold");
    embed.mockImplementationOnce(() => {
      throw new Error("offline");
    });
    await expect(answers.get("5 degrees")).rejects.toThrow("offline");
    expect((await answers.get("5 degrees"))?.answer).toBe("cold");
  });
});

describe("a namespace", () => {
  test("never shows its answers to another one, exact or similar", async () => {
    const answers = newCache();
    await answers.set("30 degrees", "warm", { namespace: "ada" });
    for (const options of [{}, { namespace: "bob" }, { namespace: "ada2" }, { namespace: "ad" }]) {
      expect(await answers.get("30 degrees", options)).toBeUndefined();
      expect(await answers.get("31 degrees", { ...options, threshold: -1 })).toBeUndefined();
    }
    expect((await answers.get("31 degrees", { namespace: "ada" }))?.answer).toBe("warm");
  });

  test("never crosses another one, however many calls there are at once", async () => {
    const random = seededRandom(16);
    const pick = (count: number): number => Math.floor(random() * count);
    const embed = async (text: string): Promise<number[]> => {
      await sleep(pick(3));
      return degrees(text);
    };
    const answers = newCache({ embed, maxEntries: 5, ttl: 15 });
    const callOnce = async (): Promise<void> => {
      const namespace = `customer ${pick(4)}`;
      const prompt = `${pick(360)} degrees`;
      const threshold = cosineOf(pick(30));
      const controller = new AbortController();
      if (pick(4) === 0) setTimeout(() => controller.abort(new Error("enough")), pick(4));
      const compute = async (): Promise<string> => {
        await sleep(pick(3));
        if (pick(5) === 0) throw new Error("the model is down");
        return `${namespace}: ${Number.parseInt(prompt, 10)}`;
      };
      const options = { namespace, threshold, signal: controller.signal };
      const answer = await answers.getOrCompute(prompt, compute, options).catch((error) => {
        expect(String(error)).toMatch(/^Error: (enough|the model is down)$/);
      });
      if (answer === undefined) return;
      const [whose, angle] = answer.split(": ");
      expect(whose).toBe(namespace);
      const apart = cosineOf(Number(angle) - Number.parseInt(prompt, 10));
      expect(apart).toBeGreaterThanOrEqual(threshold - 1e-6);
    };
    for (let round = 0; round < 20; round++) {
      await Promise.all(Array.from({ length: 20 }, callOnce));
      if (pick(4) === 0) answers.clear({ namespace: `customer ${pick(4)}` });
    }
    const { exactHits, similarHits, misses, expirations } = answers.stats();
    for (const count of [exactHits + similarHits, misses, expirations]) {
      expect(count).toBeGreaterThan(0);
    }
  });

  test("has its own answer of a prompt, and deletes and clears its own", async () => {
    const answers = newCache({ namespace: "ada" });
    await answers.set("30 degrees", "of ada");
    await answers.set("30 degrees", "of bob", { namespace: "bob" });
    expect((await answers.get("30 degrees", { namespace: "ada" }))?.answer).toBe("of ada");
    expect(answers.size).toBe(2);
    expect(answers.delete("30 degrees")).toBe(true);
    expect(answers.delete("30 degrees")).toBe(false);
    expect((await answers.get("30 degrees", { namespace: "bob" }))?.answer).toBe("of bob");
    await answers.set("30 degrees", "again");
    answers.clear({ namespace: "bob" });
    expect(await answers.get("30 degrees", { namespace: "bob" })).toBeUndefined();
    expect((await answers.get("30 degrees"))?.answer).toBe("again");
    answers.clear();
    expect(answers.size).toBe(0);
  });
});

describe("an answer", () => {
  test("may be anything that JSON holds, and every reader owns a copy", async () => {
    const answers = newCache<unknown>();
    const answer = {
      text: "\ud800 \u2028",
      list: [1, -1e300, null, { deep: [true] }],
      ["a.b"]: {},
    };
    await answers.set("30 degrees", answer);
    const first = (await answers.get("30 degrees"))?.answer as typeof answer;
    expect(first).toEqual(answer);
    first.list.length = 0;
    expect((await answers.get("31 degrees"))?.answer).toEqual(answer);
    for (const plain of [null, "", 0, false, []]) {
      await answers.set("30 degrees", plain);
      expect((await answers.get("30 degrees"))?.answer).toEqual(plain);
    }
  });

  test("that JSON would lose or change is an error, which names the place", async () => {
    const answers = newCache<unknown>();
    const circle: unknown[] = [];
    circle.push(circle);
    for (const [answer, place] of [
      [undefined, "The answer must"],
      [() => 1, "The answer must"],
      [1n, "The answer must"],
      [Symbol("s"), "The answer must"],
      [Number.NaN, "The answer must"],
      [[1, -0], "The answer[1] must"],
      [{ usage: { tokens: Number.POSITIVE_INFINITY } }, "The answer.usage.tokens must"],
      [{ a: undefined }, "The answer.a must"],
      [new Array(1), "The answer[0] must"],
      [Object.assign([1], { name: "x" }), "no named fields"],
      [{ at: new Date(0) }, "The answer.at must"],
      [new Map(), "The answer must"],
      [new Float32Array(1), "The answer must"],
      [{ toJSON: () => 1 }, "The answer.toJSON must"],
      [{ [Symbol("s")]: 1 }, "without symbols"],
      [circle, "contains itself"],
    ] as const) {
      const error = await expectRejection(
        answers.set("30 degrees", answer),
        "ERR_INVALID_ARGUMENT",
      );
      expect(error.message).toContain(place);
      const computed = answers.getOrCompute("30 degrees", () => answer);
      await expectRejection(computed, "ERR_INVALID_ARGUMENT");
    }
    expect(answers.size).toBe(0);
  });

  test("is the same when it is read, or refused, whatever it is", async () => {
    const answers = newCache<unknown>();
    await fc.assert(
      fc.asyncProperty(fc.anything({ withBigInt: true, withDate: true }), async (answer) => {
        const stored = await answers.set("30 degrees", answer).then(
          () => true,
          () => false,
        );
        if (!stored) return !isDeepStrictEqual(answer, lossy(answer));
        return isDeepStrictEqual((await answers.get("30 degrees"))?.answer, answer);
      }),
      { numRuns: 300 },
    );
  });

  test("is replaced by the next one of its prompt", async () => {
    const answers = newCache();
    await answers.set("30 degrees", "first");
    await answers.set("30 degrees", "second");
    expect((await answers.get("30 degrees"))?.answer).toBe("second");
    expect(answers.size).toBe(1);
  });

  test("is read when set() is called, whatever becomes of it then", async () => {
    const answers = newCache<string[]>();
    const answer = ["as it was"];
    const stored = answers.set("30 degrees", answer);
    answer.push("changed");
    await stored;
    expect((await answers.get("30 degrees"))?.answer).toEqual(["as it was"]);
  });
});

/** What JSON makes of a value; another value where it refuses. */
function lossy(value: unknown): unknown {
  try {
    return JSON.parse(JSON.stringify(value));
  } catch {
    return Symbol("refused");
  }
}

describe("a prompt", () => {
  test("of 65,536 bytes is found by all of them; a longer one is refused", async () => {
    const answers = newCache();
    const prompt = `30 ${"é".repeat(32_766)}x`;
    expect(new TextEncoder().encode(prompt)).toHaveLength(65_536);
    await answers.set(prompt, "long");
    expect((await answers.get(prompt))?.exact).toBe(true);
    expect((await answers.get(`${prompt.slice(0, -1)}y`))?.exact).toBe(false);
    for (const call of callsWith(answers, `${prompt}x`)) {
      const error = await expectRejection(call(), "ERR_KEY");
      expect(error.message).toMatch(/65537 bytes.*65536 at most/);
    }
  });

  test("that is empty, half a character or no string is refused", async () => {
    const answers = newCache();
    for (const prompt of ["", "\ud800"]) {
      for (const call of callsWith(answers, prompt)) await expectRejection(call(), "ERR_KEY");
    }
    for (const call of callsWith(answers, 7 as unknown as string)) {
      await expectRejection(call(), "ERR_INVALID_ARGUMENT");
    }
  });
});

function callsWith(answers: SemanticCache, prompt: string): (() => Promise<unknown>)[] {
  return [
    () => answers.get(prompt),
    () => answers.set(prompt, "x"),
    () => answers.getOrCompute(prompt, () => "x"),
    async () => answers.delete(prompt),
    () => answers.calibrate([{ a: prompt, b: "x", same: true }], { precision: 0.9 }),
  ];
}

describe("what is stored", () => {
  test("is there after closing and opening again", async () => {
    const path = temporaryPath();
    const first = newCache({ path });
    await first.set("30 degrees", "warm");
    first.close();
    const second = newCache({ path });
    expect((await second.get("30 degrees"))?.answer).toBe("warm");
    expect((await second.get("33 degrees"))?.answer).toBe("warm");
    expect(second.size).toBe(1);
  });

  test("is refused to another model, also exactly, until it is cleared", async () => {
    const path = temporaryPath();
    const first = newCache({ path, model: "planar" });
    await first.set("30 degrees", "warm");
    first.close();
    const embed = (text: string): number[] => [...degrees(text), 0];
    const second = newCache({ path, model: "spatial", embed });
    const error = await expectRejection(second.get("30 degrees"), "ERR_MODEL");
    expect(error.message).toMatch(/planar.*spatial|spatial.*planar/);
    await expectRejection(second.set("30 degrees", "hot"), "ERR_MODEL");
    expect(second.size).toBe(1);
    second.clear();
    await second.set("30 degrees", "hot");
    expect((await second.get("31 degrees"))?.answer).toBe("hot");
  });

  test("is refused to vectors of another dimension", async () => {
    const path = temporaryPath();
    const first = newCache({ path });
    await first.set("30 degrees", "warm");
    first.close();
    const second = newCache({ path, embed: () => [1, 2, 3] });
    await expectRejection(second.get("31 degrees"), "ERR_DIMENSION");
    await expectRejection(second.set("31 degrees", "hot"), "ERR_DIMENSION");
  });

  test("is seen by other handles of the file, and so is its deletion", async () => {
    const path = temporaryPath();
    const [one, other] = [newCache({ path }), newCache({ path })];
    await one.set("30 degrees", "warm");
    expect((await other.get("31 degrees"))?.answer).toBe("warm");
    one.clear();
    expect(await other.get("31 degrees")).toBeUndefined();
    await one.set("30 degrees", "hot");
    expect((await other.get("31 degrees"))?.answer).toBe("hot");
  });
});

describe("an answer with a time to live", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["Date"], now: 1_800_000_000_000 });
  });

  afterEach(() => {
    vi.useRealTimers();
  });

  const later = (ms: number): unknown => vi.setSystemTime(Date.now() + ms);

  test("is found until its time is over, and never after", async () => {
    const answers = newCache({ ttl: 1000 });
    await answers.set("30 degrees", "warm");
    later(999);
    expect((await answers.get("30 degrees"))?.exact).toBe(true);
    expect((await answers.get("31 degrees"))?.answer).toBe("warm");
    later(1);
    expect(await answers.get("30 degrees")).toBeUndefined();
    expect(await answers.get("31 degrees")).toBeUndefined();
    expect(await answers.getOrCompute("30 degrees", () => "new")).toBe("new");
  });

  test("that is expired does not hide one that is less similar", async () => {
    const answers = newCache();
    await answers.set("30 degrees", "warm", { ttl: 1000 });
    await answers.set("36 degrees", "for ever");
    later(1000);
    expect((await answers.get("30 degrees"))?.answer).toBe("for ever");
  });

  test("has that of its call, and Infinity is for ever", async () => {
    const answers = newCache({ ttl: 1000 });
    await answers.set("0 degrees", "cold", { ttl: 5000 });
    await answers.set("90 degrees", "boiling", { ttl: Number.POSITIVE_INFINITY });
    await answers.getOrCompute("45 degrees", () => "warm", { ttl: 3000 });
    later(2999);
    expect((await answers.get("45 degrees"))?.answer).toBe("warm");
    later(1);
    expect(await answers.get("45 degrees")).toBeUndefined();
    expect((await answers.get("0 degrees"))?.answer).toBe("cold");
    later(1e12);
    expect(await answers.get("0 degrees")).toBeUndefined();
    expect((await answers.get("90 degrees"))?.answer).toBe("boiling");
  });

  test("is deleted as writes go on", async () => {
    const answers = newCache({ ttl: 1000 });
    for (let angle = 0; angle < 90; angle += 10) await answers.set(`${angle} degrees`, "x");
    expect(answers.size).toBe(9);
    later(1000);
    await answers.set("300 degrees", "new");
    expect(answers.size).toBe(1);
    expect(answers.stats()).toMatchObject({ expirations: 9, evictions: 0 });
  });

  test("is deleted in namespaces that nobody writes to, which go with their last one", async () => {
    const database = closing(new Database(temporaryPath()));
    const answers = newCache({ database, ttl: 1000 });
    for (let user = 0; user < 20; user++) {
      await answers.set("30 degrees", "x", { namespace: `user ${user}` });
    }
    await answers.set("30 degrees", "kept", { namespace: "user 7", ttl: 1e9 });
    for (let second = 0; second < 5; second++) {
      later(1000);
      await answers.set("90 degrees", "x", { namespace: "busy" });
    }
    expect(database.collections().sort()).toEqual(["answers/busy", "answers/user 7"]);
    expect(answers.stats().expirations).toBe(19);
    expect((await answers.get("30 degrees", { namespace: "user 7" }))?.answer).toBe("kept");
    expect(await answers.get("30 degrees", { namespace: "user 1" })).toBeUndefined();
    await answers.set("30 degrees", "again", { namespace: "user 1" });
    expect((await answers.get("31 degrees", { namespace: "user 1" }))?.answer).toBe("again");
  });

  test("goes before one that is older but lives, where there is a bound", async () => {
    const answers = newCache({ maxEntries: 2 });
    await answers.set("0 degrees", "old");
    await answers.set("90 degrees", "short", { ttl: 10 });
    later(10);
    await answers.set("180 degrees", "new");
    expect((await answers.get("0 degrees"))?.answer).toBe("old");
    expect((await answers.get("180 degrees"))?.answer).toBe("new");
    expect(answers.stats()).toMatchObject({ expirations: 1, evictions: 0 });
  });
});

describe("maxEntries", () => {
  test("keeps those that were stored last, in each namespace for itself", async () => {
    const answers = newCache({ maxEntries: 3, threshold: 1 });
    await answers.set("1", "kept", { namespace: "other" });
    for (let number = 1; number <= 6; number++) {
      await answers.set(`${number}`, `${number}`);
      expect(answers.size).toBe(Math.min(number, 3) + 1);
    }
    const found = await Promise.all(["3", "4", "5", "6"].map((prompt) => answers.get(prompt)));
    expect(found.map((answer) => answer?.answer)).toEqual([undefined, "4", "5", "6"]);
    expect((await answers.get("1", { namespace: "other" }))?.answer).toBe("kept");
    expect(answers.stats().evictions).toBe(3);
  });

  test("counts an answer that was replaced as a new one", async () => {
    const answers = newCache({ maxEntries: 2, threshold: 1 });
    for (const prompt of ["1", "2", "1", "3"]) await answers.set(prompt, prompt);
    expect(await answers.get("2")).toBeUndefined();
    expect((await answers.get("1"))?.answer).toBe("1");
  });

  test("lets a sixteenth go at once where there are many, the oldest, and no more", async () => {
    const answers = newCache({ maxEntries: 64, threshold: 1 });
    for (let number = 0; number <= 64; number++) await answers.set(`${number}`, "x");
    expect(answers.size).toBe(60);
    expect(await answers.get("4")).toBeUndefined();
    expect(await answers.get("5")).toBeDefined();
  });

  test("holds also after the clock was set back", async () => {
    const answers = newCache({ path: temporaryPath(), maxEntries: 2, threshold: 1 });
    const database = closing(new Database(temporaryPath()));
    vi.useFakeTimers({ toFake: ["Date"], now: 2_000_000_000_000 });
    await newCache({ database, threshold: 1 }).set("1", "from the future");
    vi.setSystemTime(1_900_000_000_000);
    const now = newCache({ database, maxEntries: 2, threshold: 1 });
    for (const prompt of ["2", "3"]) await now.set(prompt, prompt);
    vi.useRealTimers();
    expect(now.size).toBe(2);
    expect((await now.get("2"))?.answer).toBe("2");
    expect((await now.get("3"))?.answer).toBe("3");
    answers.close();
  });
});

describe("getOrCompute", () => {
  test("computes on a miss, embeds once, and never computes again", async () => {
    const embed = vi.fn(degrees);
    const answers = newCache({ embed });
    await answers.set("200 degrees", "other");
    embed.mockClear();
    const compute = vi.fn(async (prompt: string) => `of ${prompt}`);
    expect(await answers.getOrCompute("30 degrees", compute)).toBe("of 30 degrees");
    expect(embed.mock.calls).toEqual([["30 degrees"]]);
    expect(await answers.getOrCompute("30 degrees", compute)).toBe("of 30 degrees");
    expect(embed).toHaveBeenCalledTimes(1);
    expect(await answers.getOrCompute("35 degrees", compute)).toBe("of 30 degrees");
    expect(compute).toHaveBeenCalledTimes(1);
    expect(answers.stats()).toEqual({
      exactHits: 1,
      similarHits: 1,
      misses: 1,
      joins: 0,
      sets: 2,
      embeddings: 3,
      expirations: 0,
      evictions: 0,
    });
  });

  test("computes once for all who ask at the same time, each gets a copy", async () => {
    const answers = newCache<string[]>();
    const compute = vi.fn(async () => ["warm"]);
    const all = await Promise.all(
      Array.from({ length: 5 }, () => answers.getOrCompute("30 degrees", compute)),
    );
    expect(compute).toHaveBeenCalledTimes(1);
    expect(answers.stats().joins).toBe(4);
    all[0]?.push("changed");
    expect(all.slice(1)).toEqual([["warm"], ["warm"], ["warm"], ["warm"]]);
  });

  test("computes for each namespace and for each threshold by itself", async () => {
    const answers = newCache();
    await answers.set("20 degrees", "near");
    const [one, other, strict, similar] = await Promise.all([
      answers.getOrCompute("30 degrees", () => "of ada", { namespace: "ada" }),
      answers.getOrCompute("30 degrees", () => "of bob", { namespace: "bob" }),
      answers.getOrCompute("30 degrees", () => "own", { threshold: cosineOf(5) }),
      answers.getOrCompute("30 degrees", () => "never"),
    ]);
    expect([one, other, strict, similar]).toEqual(["of ada", "of bob", "own", "near"]);
  });

  test("that fails, fails for all who wait, stores nothing, and is tried again", async () => {
    const answers = newCache();
    const compute = vi.fn(async (): Promise<string> => {
      throw new Error("overloaded");
    });
    const calls = [1, 2].map(() => answers.getOrCompute("30 degrees", compute));
    for (const outcome of await Promise.allSettled(calls)) {
      expect(outcome).toMatchObject({ status: "rejected", reason: { message: "overloaded" } });
    }
    expect(compute).toHaveBeenCalledTimes(1);
    expect(answers.size).toBe(0);
    expect(await answers.getOrCompute("30 degrees", () => "warm")).toBe("warm");
  });

  test("goes on for the others when one leaves", async () => {
    const answers = newCache();
    const { promise, resolve } = deferred<string>();
    const controller = new AbortController();
    let told: AbortSignal | undefined;
    const compute = (_: string, { signal }: { signal: AbortSignal }): Promise<string> => {
      told = signal;
      return promise;
    };
    const leaves = answers.getOrCompute("30 degrees", compute, { signal: controller.signal });
    const stays = answers.getOrCompute("30 degrees", compute);
    await vi.waitFor(() => expect(told).toBeDefined());
    controller.abort(new Error("gone"));
    await expect(leaves).rejects.toThrow("gone");
    expect(told?.aborted).toBe(false);
    resolve("warm");
    expect(await stays).toBe("warm");
    expect(answers.size).toBe(1);
  });

  test("is tried again for the others where the one who began took it down", async () => {
    const answers = newCache();
    const controller = new AbortController();
    const { signal } = controller;
    // Asks with the signal of its own caller, as who wraps a client may.
    const compute = (): Promise<string> => {
      return new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason));
      });
    };
    const leaves = answers.getOrCompute("30 degrees", compute, { signal });
    const stays = [1, 2].map(() => answers.getOrCompute("30 degrees", () => "warm"));
    const other = new AbortController();
    const gives = answers.getOrCompute("30 degrees", () => "hot", { signal: other.signal });
    await sleep(5);
    other.abort(new Error("also gone"));
    controller.abort(new Error("gone"));
    await expect(leaves).rejects.toThrow("gone");
    await expect(gives).rejects.toThrow("also gone");
    expect(await Promise.all(stays)).toEqual(["warm", "warm"]);
    expect(answers.stats()).toMatchObject({ sets: 1, embeddings: 1 });
  });

  test("is not held up for ever by an embedding that never came", async () => {
    const embed = vi.fn(degrees as (text: string) => number[] | Promise<number[]>);
    const answers = newCache({ embed });
    await answers.set("200 degrees", "other");
    embed.mockImplementationOnce(() => new Promise(() => {}));
    const controller = new AbortController();
    const { signal } = controller;
    const stuck = answers.getOrCompute("30 degrees", () => "never", { signal });
    await sleep(5);
    controller.abort(new Error("too long"));
    await expect(stuck).rejects.toThrow("too long");
    expect(await answers.getOrCompute("30 degrees", () => "warm")).toBe("warm");
  });

  test("keeps an answer as long as the one who wants it longest", async () => {
    const answers = newCache();
    const slow = async (): Promise<string> => {
      await sleep(5);
      return "warm";
    };
    for (const ttls of [
      [20, undefined],
      [undefined, 20],
      [20, 60_000],
    ]) {
      const prompt = `${ttls} degrees`;
      await Promise.all(ttls.map((ttl) => answers.getOrCompute(prompt, slow, { ttl })));
      await sleep(30);
      expect((await answers.get(prompt))?.exact).toBe(true);
      answers.clear();
    }
  });

  test("stops and stores nothing when the last one has left", async () => {
    const answers = newCache();
    const { promise, resolve } = deferred<string>();
    const controller = new AbortController();
    let told: AbortSignal | undefined;
    const compute = (_: string, { signal }: { signal: AbortSignal }): Promise<string> => {
      told = signal;
      return promise;
    };
    const leaves = answers.getOrCompute("30 degrees", compute, { signal: controller.signal });
    await vi.waitFor(() => expect(told).toBeDefined());
    controller.abort(new Error("gone"));
    await expect(leaves).rejects.toThrow("gone");
    expect(told?.reason).toEqual(new Error("gone"));
    // Who comes now does not wait for what was stopped.
    const next = answers.getOrCompute("30 degrees", () => "hot");
    resolve("warm");
    expect(await next).toBe("hot");
    await new Promise((done) => setTimeout(done, 5));
    expect((await answers.get("30 degrees"))?.answer).toBe("hot");
    expect(answers.stats().sets).toBe(1);
  });

  test("does nothing for a signal that was aborted before", async () => {
    const answers = newCache();
    const compute = vi.fn(() => "warm");
    const signal = AbortSignal.abort(new Error("gone"));
    const call = answers.getOrCompute("30 degrees", compute, { signal });
    await expect(call).rejects.toThrow("gone");
    expect(compute).not.toHaveBeenCalled();
  });

  test("tells a compute that asks for its own prompt", async () => {
    const answers = newCache();
    const compute = (prompt: string): Promise<string> => answers.getOrCompute(prompt, compute);
    const call = answers.getOrCompute("30 degrees", compute);
    const error = await expectRejection(call, "ERR_INVALID_ARGUMENT");
    expect(error.message).toContain("wait for itself");
  });
});

describe("a cache in a database of the application", () => {
  test("has its own collections, and leaves the database open", async () => {
    const database = closing(new Database(temporaryPath()));
    const docs = database.collection("docs", { dimension: 2 });
    docs.upsert("30 degrees", [1, 0]);
    const answers = newCache({ database });
    await answers.set("30 degrees", "warm");
    expect(answers.size).toBe(1);
    expect(database.collections().sort()).toEqual(["answers/default", "docs"]);
    answers.clear();
    answers.close();
    expect(database.collections()).toEqual(["docs"]);
    expect(docs.size).toBe(1);
  });

  test("stores together with a transaction, or not at all", async () => {
    const database = closing(new Database(temporaryPath()));
    const answers = newCache({ database });
    const failing = database.transactionAsync(async () => {
      await answers.set("30 degrees", "warm");
      expect((await answers.get("31 degrees"))?.answer).toBe("warm");
      throw new Error("rolled back");
    });
    await expect(failing).rejects.toThrow("rolled back");
    expect(await answers.get("30 degrees")).toBeUndefined();
    await database.transactionAsync(() => answers.set("30 degrees", "warm"));
    expect((await answers.get("30 degrees"))?.answer).toBe("warm");
  });

  test("waits for a transaction of somebody else", async () => {
    const database = closing(new Database(temporaryPath()));
    const answers = newCache({ database });
    const { promise, resolve } = deferred<void>();
    const transaction = database.transactionAsync(() => promise);
    const stored = answers.set("30 degrees", "warm");
    setTimeout(resolve, 10);
    await Promise.all([transaction, stored]);
    expect((await answers.get("30 degrees"))?.answer).toBe("warm");
  });
});

describe("calibrate", () => {
  const pairs = [
    { a: "0 degrees", b: "1 degrees", same: true },
    { a: "0 degrees", b: "5 degrees", same: true },
    { a: "0 degrees", b: "12 degrees", same: false },
    { a: "0 degrees", b: "20 degrees", same: true },
    { a: "0 degrees", b: "60 degrees", same: false },
  ];

  test("finds the lowest threshold of the wished precision, and changes nothing", async () => {
    const answers = newCache();
    const { threshold } = answers;
    const report = await answers.calibrate(pairs, { precision: 0.99 });
    expect(report.threshold).toBeCloseTo(cosineOf(5), 5);
    expect(report).toMatchObject({ precision: 1, recall: 2 / 3, falseHitRate: 0, pairs: 5 });
    expect(report.proven).toBe(false);
    const loose = await answers.calibrate(pairs, { precision: 0.7 });
    expect(loose.threshold).toBeCloseTo(cosineOf(20), 5);
    expect(loose).toMatchObject({ precision: 0.75, recall: 1, falseHitRate: 0.5 });
    expect(answers.threshold).toBe(threshold);
    expect(answers.size).toBe(0);
  });

  test("applies what it found where asked to, and the pair it comes from is a hit", async () => {
    const answers = newCache({ threshold: 1 });
    const report = await answers.calibrate(pairs, { precision: 0.99, apply: true });
    expect(answers.threshold).toBe(report.threshold);
    await answers.set("0 degrees", "cold");
    expect((await answers.get("5 degrees"))?.answer).toBe("cold");
    expect(await answers.get("12 degrees")).toBeUndefined();
  });

  test("gives a threshold that a cache takes, even where pairs are opposites", async () => {
    const answers = newCache();
    const opposites = [true, false].map((same) => ({ a: "0 degrees", b: "180 degrees", same }));
    const { threshold } = await answers.calibrate(opposites, { precision: 0.5, apply: true });
    expect([threshold, answers.threshold]).toEqual([-1, -1]);
    await answers.set("0 degrees", "cold");
    const other = await answers.get("180 degrees", { threshold: threshold ?? 0 });
    expect(other?.answer).toBe("cold");
  });

  test("embeds each text once", async () => {
    const embed = vi.fn(degrees);
    await newCache({ embed }).calibrate(pairs, { precision: 0.99 });
    expect(embed.mock.calls.flat().sort()).toEqual(
      [...new Set(pairs.flatMap(({ a, b }) => [a, b]))].sort(),
    );
  });

  test("says so where no threshold has the precision, and applies none", async () => {
    const answers = newCache();
    const { threshold } = answers;
    const hopeless = [
      { a: "0 degrees", b: "1 degrees", same: false },
      { a: "0 degrees", b: "5 degrees", same: true },
    ];
    const report = await answers.calibrate(hopeless, { precision: 0.9 });
    expect(report).toMatchObject({ threshold: undefined, precision: undefined, recall: 0 });
    expect(report.curve.map(({ precision }) => precision)).toEqual([0, 0.5]);
    const applied = answers.calibrate(hopeless, { precision: 0.9, apply: true });
    const error = await expectRejection(applied, "ERR_INVALID_ARGUMENT");
    expect(error.message).toMatch(/No threshold has a precision of 0\.9 on these 2 pairs/);
    expect(answers.threshold).toBe(threshold);
  });

  test("refuses pairs of one label, wrong pairs, and vectors that do not compare", async () => {
    const answers = newCache();
    const one = [{ a: "0 degrees", b: "1 degrees", same: true }];
    const error = await expectRejection(
      answers.calibrate(one, { precision: 0.9 }),
      "ERR_INVALID_ARGUMENT",
    );
    expect(error.message).toContain("found 1 and 0");
    const hole = [...one, { a: "0 degrees", b: "90 degrees", same: false }];
    hole.length = 3;
    for (const wrong of [[{ a: "x", b: "y" }], [{ a: "x", same: true }], ["x"], "x", hole]) {
      const call = answers.calibrate(wrong as never, { precision: 0.9 });
      await expectRejection(call, "ERR_INVALID_ARGUMENT");
    }
    for (const precision of [undefined, 0, 1.1, Number.NaN, "0.9"]) {
      const call = answers.calibrate(pairs, { precision: precision as number });
      await expectRejection(call, "ERR_INVALID_ARGUMENT");
    }
    const zeros = newCache({ embed: () => [0, 0] });
    await expectRejection(zeros.calibrate(pairs, { precision: 0.9 }), "ERR_INVALID_VECTOR");
    const uneven = newCache({ embed: (text) => new Float32Array(text.length).fill(1) });
    await expectRejection(uneven.calibrate(pairs, { precision: 0.9 }), "ERR_DIMENSION");
  });
});

describe("misuse", () => {
  test("wrong options are named", () => {
    const options = { path: ":memory:", embed: degrees, threshold: 0.9 };
    for (const [wrong, word] of [
      [{ threshold: undefined }, "threshold"],
      [{ threshold: 1.1 }, "threshold"],
      [{ threshold: "0.9" }, "threshold"],
      [{ embed: undefined }, "embed"],
      [{ namespace: "" }, "namespace"],
      [{ namespace: "x".repeat(248) }, "248 bytes"],
      [{ model: "" }, "model"],
      [{ ttl: 0 }, "ttl"],
      [{ ttl: Number.NaN }, "ttl"],
      [{ maxEntries: 0 }, "maxEntries"],
      [{ maxEntries: 1.5 }, "maxEntries"],
      [{ similarity: 0.9 }, "threshold"],
      [{ path: 7 }, "path"],
      [{ path: undefined, database: {} }, "a Database"],
    ] as const) {
      const open = (): unknown => semanticCache({ ...options, ...wrong } as Options);
      expect(expectCode(open, "ERR_INVALID_ARGUMENT").message).toContain(word);
    }
    const database = closing(new Database(":memory:"));
    expectCode(() => semanticCache({ ...options, database }), "ERR_INVALID_ARGUMENT");
    expectCode(() => semanticCache(undefined as never), "ERR_INVALID_ARGUMENT");
  });

  test("wrong options of calls are named", async () => {
    const answers = newCache();
    const wrong = [
      answers.get("x", { treshold: 0.9 } as never),
      answers.get("x", { threshold: 2 }),
      answers.get("x", { namespace: "" }),
      answers.set("x", "y", { ttl: -1 }),
      answers.set("x", "y", { threshold: 0.9 } as never),
      answers.getOrCompute("x", "y" as never),
      answers.getOrCompute("x", () => "y", { ttl: Number.NaN }),
    ];
    for (const call of wrong) await expectRejection(call, "ERR_INVALID_ARGUMENT");
    expectCode(() => answers.clear({ name: "x" } as never), "ERR_INVALID_ARGUMENT");
    expectCode(() => answers.delete("x", { namespace: 1 as never }), "ERR_INVALID_ARGUMENT");
  });

  test("what embed makes is checked, and copied", async () => {
    for (const [made, code] of [
      ["vector", "ERR_INVALID_ARGUMENT"],
      [undefined, "ERR_INVALID_ARGUMENT"],
      [["1", "2"], "ERR_INVALID_ARGUMENT"],
      [[], "ERR_DIMENSION"],
      [[0, 0], "ERR_INVALID_VECTOR"],
      [[Number.NaN, 1], "ERR_INVALID_VECTOR"],
    ] as const) {
      const answers = newCache({ embed: () => made as never });
      await expectRejection(answers.set("x", "y"), code);
    }
    const shared = new Float32Array(2);
    const answers = newCache({
      embed: (text) => {
        shared.set(degrees(text));
        return shared;
      },
    });
    await Promise.all([answers.set("0 degrees", "cold"), answers.set("90 degrees", "boiling")]);
    expect((await answers.get("1 degrees"))?.answer).toBe("cold");
    expect((await answers.get("89 degrees"))?.answer).toBe("boiling");
  });

  test("a closed cache says so, and closing twice is fine", async () => {
    const answers = newCache();
    await answers.set("30 degrees", "warm");
    answers.close();
    answers.close();
    for (const call of [
      () => answers.get("30 degrees"),
      () => answers.set("30 degrees", "x"),
      () => answers.getOrCompute("30 degrees", () => "x"),
      () => answers.calibrate([], { precision: 0.9 }),
    ]) {
      await expectRejection(call(), "ERR_CLOSED");
    }
    expectCode(() => answers.delete("30 degrees"), "ERR_CLOSED");
    expectCode(() => answers.clear(), "ERR_CLOSED");
    expectCode(() => answers.size, "ERR_CLOSED");
    expectCode(() => answers.stats(), "ERR_CLOSED");
    expectCode(() => answers.flush(), "ERR_CLOSED");
  });

  test("a cache that is closed while it computes stores nothing", async () => {
    const answers = newCache();
    const { promise, resolve } = deferred<string>();
    const compute = vi.fn(() => promise);
    const call = answers.getOrCompute("30 degrees", compute);
    await vi.waitFor(() => expect(compute).toHaveBeenCalled());
    answers.close();
    resolve("warm");
    await expectRejection(call, "ERR_CLOSED");
  });

  test("a database that is read-only answers, and refuses to store", async () => {
    const path = temporaryPath();
    const writer = newCache({ path });
    await writer.set("30 degrees", "warm");
    writer.close();
    const database = closing(new Database(path, { readonly: true }));
    const answers = semanticCache({ database, embed: degrees, threshold: 0.9 });
    expect((await answers.get("31 degrees"))?.answer).toBe("warm");
    await expectRejection(answers.set("90 degrees", "x"), "ERR_READONLY");
  });
});
