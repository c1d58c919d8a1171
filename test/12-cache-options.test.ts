/**
 * The options of a cache: defaults, what the file decides, and what is refused.
 */

import { chmodSync, existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { Database, EmbedCache, type EmbedCacheOptions, VectorLiteError } from "vectorlite";
import { describe, expect, onTestFinished, test } from "vitest";
import { closing, expectCode, temporaryFolder, temporaryPath } from "./helpers.ts";

function open(options: EmbedCacheOptions): EmbedCache {
  return closing(new EmbedCache(options));
}

describe("the dimension", () => {
  test("is what the file says where nothing else is said", () => {
    const path = temporaryPath();
    new EmbedCache({ path, dimension: 5 }).close();
    expect(open({ path }).stats().dimension).toBe(5);
  });

  test("is an error where it is not the one of the file, and names both", () => {
    const path = temporaryPath();
    new EmbedCache({ path, dimension: 5 }).close();
    const error = expectCode(() => new EmbedCache({ path, dimension: 6 }), "ERR_DIMENSION");
    expect(error.message).toMatch(/5/);
    expect(error.message).toMatch(/6/);
  });
});

describe("the model", () => {
  test("is remembered, and another one is an error that names both", () => {
    const path = temporaryPath();
    new EmbedCache({ path, dimension: 5, model: "text-embedding-3-small" }).close();
    open({ path, model: "text-embedding-3-small" }).close();
    open({ path }).close();
    const error = expectCode(() => new EmbedCache({ path, model: "ada-002" }), "ERR_MODEL");
    expect(error.message).toContain("text-embedding-3-small");
    expect(error.message).toContain("ada-002");
  });
});

describe("readonly", () => {
  test("reads and refuses every write", async () => {
    const path = temporaryPath();
    const writer = new EmbedCache({ path, dimension: 2 });
    writer.set("a", [1, 2]);
    writer.close();
    const cache = open({ path, readonly: true });
    expect(cache.get("a")).toEqual(Float32Array.of(1, 2));
    expect([...cache.keys()]).toEqual(["a"]);
    expectCode(() => cache.set("b", [1, 2]), "ERR_READONLY");
    expectCode(() => cache.setMany(["b"], [[1, 2]]), "ERR_READONLY");
    expectCode(() => cache.delete("a"), "ERR_READONLY");
    expectCode(() => cache.clear(), "ERR_READONLY");
    let computed = 0;
    const compute = (): number[] => {
      computed++;
      return [1, 2];
    };
    await expect(cache.getOrCompute("b", compute)).rejects.toMatchObject({ code: "ERR_READONLY" });
    expect(computed).toBe(0);
    expect(await cache.getOrCompute("a", compute)).toEqual(Float32Array.of(1, 2));
    cache.flush();
  });

  test("creates nothing", () => {
    const path = temporaryPath();
    expectCode(() => new EmbedCache({ path, readonly: true }), "ERR_IO");
    expect(existsSync(path)).toBe(false);
  });

  test("refuses a database that holds no cache", () => {
    const path = temporaryPath();
    new Database(path).close();
    expectCode(() => new EmbedCache({ path, readonly: true }), "ERR_INVALID_ARGUMENT");
  });
});

describe(":memory:", () => {
  test("keeps nothing and makes no file", () => {
    const cache = open({ path: ":memory:", dimension: 2 });
    cache.set("a", [1, 2]);
    expect(cache.get("a")).toEqual(Float32Array.of(1, 2));
    expect([...cache.keys()]).toEqual(["a"]);
    expect(existsSync(":memory:")).toBe(false);
    expect(open({ path: ":memory:", dimension: 2 }).size).toBe(0);
  });
});

describe("durability", () => {
  test.each(["full", "normal", "none"] as const)("%s keeps what was closed", (durability) => {
    const path = temporaryPath();
    const cache = new EmbedCache({ path, dimension: 2, durability });
    cache.set("a", [1, 2]);
    cache.flush();
    cache.set("b", [3, 4]);
    cache.close();
    expect([...open({ path }).keys()].sort()).toEqual(["a", "b"]);
  });
});

describe("a misspelled option", () => {
  const cases: [Record<string, unknown>, RegExp][] = [
    [{ dimensions: 3 }, /dimension\?/],
    [{ dim: 3 }, /dimension\?/],
    [{ readOnly: true }, /readonly\?/],
    [{ similaritythreshold: 0.5 }, /similarityThreshold\?/],
    [{ threshold: 0.5 }, /similarityThreshold\?/],
    [{ file: "x" }, /path\?/],
    [{ cachesize: 3 }, /cacheSize\?/],
    [{ durabilty: "full" }, /durability\?/],
    [{ somethingElse: 1 }, /It takes path, dimension/],
  ];
  test.each(cases)("%j is an error that guesses what was meant", (options, message) => {
    const error = expectCode(() => new EmbedCache(options), "ERR_INVALID_ARGUMENT");
    expect(error.message).toMatch(message);
  });

  test("an option that is undefined is an option left out", () => {
    const cache = open({ path: ":memory:", dimension: undefined, model: undefined });
    expect(cache.stats().dimension).toBe(1536);
  });
});

describe("a wrong option", () => {
  const wrong: [string, unknown][] = [
    ...[0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 65_537, "8", null].map(
      (value): [string, unknown] => ["dimension", value],
    ),
    ...[-1, 1.5, Number.NaN, "8", null, 2 ** 32].map((value): [string, unknown] => [
      "cacheSize",
      value,
    ]),
    ...[Number.NaN, Number.POSITIVE_INFINITY, 95, -1.1, "0.5", null].map(
      (value): [string, unknown] => ["similarityThreshold", value],
    ),
    ...["", 5, null, {}, "a\0b", "\ud800"].map((value): [string, unknown] => ["path", value]),
    ...["", 5, null].map((value): [string, unknown] => ["model", value]),
    ...["FULL", "", 0, true, null].map((value): [string, unknown] => ["durability", value]),
    ...[0, 1, "true", null].map((value): [string, unknown] => ["readonly", value]),
  ];
  test.each(wrong)("%s: %j is refused by name", (name, value) => {
    const options = { path: ":memory:", [name]: value } as EmbedCacheOptions;
    const error = expectCode(() => new EmbedCache(options), "ERR_INVALID_ARGUMENT");
    expect(error.message).toContain(name);
  });

  test.each([null, 5, "path", []])("%j instead of options is refused", (value) => {
    expectCode(() => new EmbedCache(value as never), "ERR_INVALID_ARGUMENT");
  });
});

describe("forServerless", () => {
  function inTemporaryFolder(): string {
    const folder = temporaryFolder();
    const before = process.env["TMPDIR"];
    process.env["TMPDIR"] = folder;
    onTestFinished(() => {
      if (before === undefined) delete process.env["TMPDIR"];
      else process.env["TMPDIR"] = before;
    });
    return folder;
  }

  test("gives one instance per name, in the temp folder", () => {
    const folder = inTemporaryFolder();
    const a = closing(EmbedCache.forServerless("a", { dimension: 2 }));
    const b = closing(EmbedCache.forServerless("b", { dimension: 3 }));
    a.set("key", [1, 2]);
    expect(EmbedCache.forServerless("a")).toBe(a);
    expect(EmbedCache.forServerless("a", { dimension: 2 })).toBe(a);
    expect(b).not.toBe(a);
    expect(b.size).toBe(0);
    const user = process.getuid?.();
    const own = join(folder, user === undefined ? "vectorlite" : `vectorlite-${user}`);
    expect(existsSync(join(own, "a.cache"))).toBe(true);
  });

  test("has a default name", () => {
    inTemporaryFolder();
    const cache = closing(EmbedCache.forServerless());
    expect(EmbedCache.forServerless("default")).toBe(cache);
  });

  test("opens anew after it was closed, with what was stored", () => {
    inTemporaryFolder();
    const first = EmbedCache.forServerless("again", { dimension: 2 });
    first.set("key", [1, 2]);
    first.close();
    const second = closing(EmbedCache.forServerless("again"));
    expect(second).not.toBe(first);
    expect(second.get("key")).toEqual(Float32Array.of(1, 2));
  });

  test("survives a reload of the module", async () => {
    inTemporaryFolder();
    const cache = closing(EmbedCache.forServerless("reload", { dimension: 2 }));
    const { vi } = await import("vitest");
    vi.resetModules();
    const reloaded = await import("vectorlite");
    expect(reloaded.EmbedCache).not.toBe(EmbedCache);
    expect(reloaded.EmbedCache.forServerless("reload")).toBe(cache);
  });

  test.runIf(process.getuid).each([0o770, 0o707, 0o777])(
    "refuses a folder of its own that others may write to, mode %o",
    (mode) => {
      const own = join(inTemporaryFolder(), `vectorlite-${process.getuid?.()}`);
      mkdirSync(own);
      chmodSync(own, mode);
      const { message } = expectCode(() => EmbedCache.forServerless("mode"), "ERR_IO");
      expect(message).toContain(`mode ${mode.toString(8)}`);
      expect(readdirSync(own)).toEqual([]);
      chmodSync(own, 0o755);
      expect(closing(EmbedCache.forServerless("mode")).size).toBe(0);
    },
  );

  test("refuses a later call that contradicts the first", () => {
    inTemporaryFolder();
    closing(EmbedCache.forServerless("same", { dimension: 2, model: "m" }));
    expectCode(() => EmbedCache.forServerless("same", { dimension: 3 }), "ERR_DIMENSION");
    expectCode(() => EmbedCache.forServerless("same", { model: "n" }), "ERR_MODEL");
    expectCode(() => EmbedCache.forServerless("same", { hashKeys: true }), "ERR_MODEL");
    expectCode(
      () => EmbedCache.forServerless("same", { namespace: "other" }),
      "ERR_INVALID_ARGUMENT",
    );
    const same = EmbedCache.forServerless("same", { namespace: "default", model: { name: "m" } });
    expect(same).toBe(EmbedCache.forServerless("same"));
  });

  test.each(["", ".", "..", "a/b", "../x", "a b", "x".repeat(101), 5, null])(
    "refuses the name %j",
    (name) => {
      expectCode(() => EmbedCache.forServerless(name as never), "ERR_INVALID_ARGUMENT");
    },
  );

  test("refuses a path and a misspelled option", () => {
    expectCode(() => EmbedCache.forServerless("x", { path: "x" } as never), "ERR_INVALID_ARGUMENT");
    expectCode(
      () => EmbedCache.forServerless("x", { dimensions: 5 } as never),
      "ERR_INVALID_ARGUMENT",
    );
  });
});

test("a path that cannot be opened is one clear error", () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, "folder"));
  for (const path of [join(folder, "folder"), join(folder, "nowhere", "a.cache")]) {
    let thrown: unknown;
    try {
      new EmbedCache({ path });
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(VectorLiteError);
    expect((thrown as VectorLiteError).message).toContain(path);
  }
});
