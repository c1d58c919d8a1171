/**
 * Modes: what a cache may write, and what it may compute. For tests that run offline.
 */

import { existsSync, readFileSync } from "node:fs";
import { type CacheMode, EmbedCache } from "vectorlite";
import { describe, expect, test } from "vitest";
import { closing, expectCode, expectRejection, temporaryPath } from "./helpers.ts";

/** A file with one entry, "a": [1, 1]. */
function recorded(): string {
  const path = temporaryPath();
  const cache = new EmbedCache({ path, dimension: 2 });
  cache.set("a", [1, 1]);
  cache.close();
  return path;
}

function open(mode: CacheMode, path: string = recorded()): EmbedCache {
  return closing(new EmbedCache({ path, mode }));
}

describe.each(["read-only", "replay"] as const)("mode %j", (mode) => {
  test("never writes to the file", async () => {
    const path = recorded();
    const before = readFileSync(path);
    const cache = open(mode, path);
    expect(cache.get("a")).toEqual(Float32Array.of(1, 1));
    expectCode(() => cache.set("b", [2, 2]), "ERR_READONLY");
    expectCode(() => cache.setMany(["b"], [[2, 2]]), "ERR_READONLY");
    expectCode(() => cache.delete("a"), "ERR_READONLY");
    expectCode(() => cache.clear(), "ERR_READONLY");
    expectCode(() => cache.namespace("other").set("b", [2, 2]), "ERR_READONLY");
    await cache.getOrCompute("b", () => [2, 2]).catch(() => undefined);
    cache.close();
    expect(readFileSync(path)).toEqual(before);
  });

  test("makes no file", () => {
    const path = temporaryPath();
    expectCode(() => new EmbedCache({ path, mode }), "ERR_IO");
    expect(existsSync(path)).toBe(false);
  });
});

describe("mode read-only", () => {
  test("computes what is missing, returns it and stores nothing", async () => {
    const cache = open("read-only");
    let computed = 0;
    const compute = (): number[] => [++computed, 2];
    expect((await cache.getOrCompute("b", compute))[0]).toBe(1);
    expect((await cache.getOrCompute("b", compute))[0]).toBe(2);
    const vectors = await cache.getOrComputeMany(["c", "a", "c"], () => [[3, 3]]);
    expect(vectors.map((vector) => vector[0])).toEqual([3, 1, 3]);
    expect([...cache.keys()]).toEqual(["a"]);
    expect(cache.stats().computed).toBe(3);
  });

  test("refuses what could not be stored elsewhere", async () => {
    const cache = open("read-only");
    for (const wrong of [
      [0, 0],
      [1, Number.NaN],
      [1, Number.POSITIVE_INFINITY],
    ]) {
      await expectRejection(
        cache.getOrCompute("b", () => wrong),
        "ERR_INVALID_VECTOR",
      );
    }
    await expectRejection(
      cache.getOrCompute("b", () => [1, 2, 3]),
      "ERR_DIMENSION",
    );
  });

  test("computes in a namespace that is not in the file", async () => {
    const namespace = open("read-only").namespace("other");
    const compute = ([key]: string[]): number[][] => [key === "b" ? [1] : [1, 2, 3]];
    expect(await namespace.getOrComputeMany(["a", "a"], compute)).toEqual(
      [1, 2].map(() => Float32Array.of(1, 2, 3)),
    );
    await expectRejection(
      namespace.getOrComputeMany(["a", "b"], compute, { maxBatch: 1 }),
      "ERR_DIMENSION",
    );
  });

  test("what a writer computes for both is stored", async () => {
    const path = recorded();
    const reader = open("read-only", path);
    const writer = open("read-write", path);
    const first = reader.getOrCompute("b", async () => [2, 2]);
    const second = writer.getOrCompute("b", async () => [9, 9]);
    expect([(await first)[0], (await second)[0]]).toEqual([2, 2]);
    expect(writer.get("b")?.[0]).toBe(2);
  });
});

describe("mode record-missing", () => {
  test("stores what is missing and keeps what is there", async () => {
    const cache = open("record-missing");
    expect((await cache.getOrCompute("b", () => [2, 2]))[0]).toBe(2);
    cache.set("a", [9, 9]);
    cache.set("c", [3, 3]);
    cache.setMany(
      ["a", "d", "c"],
      [
        [9, 9],
        [4, 4],
        [9, 9],
      ],
    );
    cache.setMany(["e", "a"], Float32Array.of(5, 5, 9, 9));
    const firsts = [..."abcde"].map((key) => cache.get(key)?.[0]);
    expect(firsts).toEqual([1, 2, 3, 4, 5]);
    expect(cache.size).toBe(5);
  });

  test("keeps what another handle stored while it computed", async () => {
    const path = recorded();
    const recorder = open("record-missing", path);
    const writer = open("read-write", path);
    const vector = await recorder.getOrCompute("b", async () => {
      writer.set("b", [7, 7]);
      return [2, 2];
    });
    // A replay will give that, so this run does, too.
    expect(vector).toEqual(Float32Array.of(7, 7));
    expect(recorder.get("b")).toEqual(vector);
    const vectors = await recorder.getOrComputeMany(["c", "a", "d"], async (keys) => {
      writer.set("d", [8, 8]);
      return keys.map(() => [3, 3]);
    });
    expect(vectors.map(([first]) => first)).toEqual([3, 1, 8]);
  });

  test("loses nothing", () => {
    const cache = open("record-missing");
    expect(expectCode(() => cache.delete("a"), "ERR_READONLY").message).toMatch(/record-missing/);
    expectCode(() => cache.clear(), "ERR_READONLY");
    expectCode(() => cache.namespace("other").clear(), "ERR_READONLY");
    expect(cache.size).toBe(1);
  });

  test("makes the file, and namespaces", async () => {
    const path = temporaryPath();
    const cache = closing(new EmbedCache({ path, dimension: 2, mode: "record-missing" }));
    await cache.namespace("other").getOrCompute("a", () => [1, 2, 3]);
    expect(cache.namespaces().sort()).toEqual(["default", "other"]);
    expectCode(() => cache.namespace("other").set("b", [1, 2]), "ERR_DIMENSION");
    expectCode(() => cache.set("b", [1, Number.NaN]), "ERR_INVALID_VECTOR");
  });
});

describe("mode replay", () => {
  test("gives what was recorded and never computes", async () => {
    const cache = open("replay");
    const never = (): never => {
      throw new Error("computed");
    };
    expect((await cache.getOrCompute("a", never))[0]).toBe(1);
    expect((await cache.getOrComputeMany(["a", "a"], never)).map((vector) => vector[0])).toEqual([
      1, 1,
    ]);
    const long = `${"b".repeat(40)}XYZ`;
    const one = await expectRejection(cache.getOrCompute(long, never), "ERR_MISS");
    expect(one.message).toContain(`"${"b".repeat(40)}"`);
    expect(one.message).not.toContain("XYZ");
    const keys = ["c", "a", "d", "c", "e", "f", "g"];
    const many = await expectRejection(cache.getOrComputeMany(keys, never), "ERR_MISS");
    expect(many.message).toContain('"c", "d", "e" and 2 more');
    expect(many.message).toContain("record-missing");
    await expectRejection(cache.namespace("other").getOrCompute("a", never), "ERR_MISS");
    expect(cache.get("c")).toBeUndefined();
  });
});

test("a cache and its namespaces say their mode", () => {
  for (const mode of ["read-write", "read-only", "record-missing", "replay"] as const) {
    const cache = open(mode);
    expect([cache.mode, cache.namespace("other").mode]).toEqual([mode, mode]);
    cache.close();
    expect(cache.mode).toBe(mode);
  }
});

describe("what is refused", () => {
  test.each([
    [{ mode: "read-only", readonly: false }],
    [{ mode: "replay", readonly: false }],
    [{ mode: "record-missing", readonly: true }],
    [{ mode: "read-write", readonly: true }],
    [{ mode: "record" }],
    [{ mode: 1 }],
  ])("%j", (options) => {
    expectCode(
      () => new EmbedCache({ path: recorded(), ...options } as never),
      "ERR_INVALID_ARGUMENT",
    );
  });

  test("nothing of a mode with a readonly that agrees", () => {
    const path = recorded();
    for (const mode of ["read-only", "replay"] as const) {
      closing(new EmbedCache({ path, mode, readonly: true }));
    }
    closing(new EmbedCache({ path, mode: "record-missing", readonly: false }));
  });
});
