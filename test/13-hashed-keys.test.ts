/**
 * Keys that are stored as hashes: the same cache, and no text in the file.
 */

import { readFileSync } from "node:fs";
import { Database, EmbedCache } from "vectorlite";
import { describe, expect, test } from "vitest";
import { closing, expectCode, expectRejection, temporaryPath } from "./helpers.ts";

const secret = "a secret of the tests, which is not a good one";
const text = "What the file must not hold: ünïcödé";
const hashPattern = /^[\w-]{22}\.\d+$/;

function newCache(hashKeys: boolean | string, path: string = temporaryPath()): EmbedCache {
  return closing(new EmbedCache({ path, dimension: 2, hashKeys }));
}

describe.each([true, secret])("a cache with hashKeys: %j", (hashKeys) => {
  test("works as any other", async () => {
    const cache = newCache(hashKeys);
    cache.set(text, [1, 2]);
    cache.setMany(
      ["b", "c"],
      [
        [3, 4],
        [5, 6],
      ],
    );
    expect(cache.get(text)).toEqual(Float32Array.of(1, 2));
    expect(cache.getInto("b", new Float32Array(2))).toBe(true);
    expect([...cache.getMany(["c", "missing", text]).found]).toEqual([1, 0, 1]);
    expect([cache.has("b"), cache.has("missing")]).toEqual([true, false]);
    expect([cache.delete("b"), cache.delete("b")]).toEqual([true, false]);
    expect((await cache.getOrCompute("d", (key) => [key.length, 1]))[0]).toBe(1);
    const asked: string[][] = [];
    const vectors = await cache.getOrComputeMany(["e", "d", text, "e"], (missing) => {
      asked.push(missing);
      return [[7, 8]];
    });
    expect(asked).toEqual([["e"]]);
    expect(vectors.map((vector) => vector[0])).toEqual([7, 1, 1, 7]);
    expect(cache.size).toBe(4);
  });

  test("gives hashes where the text is not known", () => {
    const cache = newCache(hashKeys);
    cache.set(text, [1, 2]);
    const [key = ""] = cache.keys();
    expect(key).toMatch(hashPattern);
    expect(key.endsWith(`.${Buffer.byteLength(text)}`)).toBe(true);
    expect(cache.search([1, 2])[0]?.key).toBe(key);
    expect(cache.findSimilar([1, 2], { threshold: 0.9 })?.key).toBe(key);
    expect(cache.has(key)).toBe(false);
  });

  test("has no text in the file", () => {
    const path = temporaryPath();
    const cache = newCache(hashKeys, path);
    cache.set(text, [1, 2]);
    cache.namespace("other").set(text, [1, 2, 3]);
    cache.close();
    const bytes = readFileSync(path);
    expect(bytes.includes("What the file")).toBe(false);
    expect(bytes.includes(secret)).toBe(false);
  });

  test("finds them again", () => {
    const path = temporaryPath();
    const first = newCache(hashKeys, path);
    first.set(text, [1, 2]);
    expect(newCache(hashKeys, path).get(text)).toEqual(Float32Array.of(1, 2));
    first.close();
    expect(newCache(hashKeys, path).get(text)).toEqual(Float32Array.of(1, 2));
  });

  test("takes keys of any length, and refuses what is none", async () => {
    const cache = newCache(hashKeys);
    const long = "x".repeat(200_000);
    cache.set(long, [1, 2]);
    cache.set(`${long}y`, [3, 4]);
    expect(cache.get(long)).toEqual(Float32Array.of(1, 2));
    expect((await cache.getOrComputeMany([`${long}y`], () => []))[0]?.[0]).toBe(3);
    for (const namespace of [cache, cache.namespace("empty")]) {
      for (const wrong of ["", "\ud800"]) {
        expectCode(() => namespace.get(wrong), "ERR_KEY");
        expectCode(() => namespace.set(wrong, [1, 2]), "ERR_KEY");
        expectCode(() => namespace.delete(wrong), "ERR_KEY");
        expect(expectCode(() => namespace.getMany(["a", wrong]), "ERR_KEY").message).toContain(
          "keys[1]",
        );
        await expectRejection(
          namespace.getOrComputeMany([wrong], () => []),
          "ERR_KEY",
        );
      }
      expectCode(() => namespace.has(5 as never), "ERR_INVALID_ARGUMENT");
    }
  });

  test("hashes in its namespaces too, unless they say otherwise", () => {
    const path = temporaryPath();
    const cache = newCache(hashKeys, path);
    cache.namespace("hashed").set("a", [1, 2]);
    cache.namespace("plain", { hashKeys: false }).set("a", [1, 2]);
    expect([...cache.namespace("hashed").keys()][0]).toMatch(hashPattern);
    expect([...cache.namespace("plain").keys()]).toEqual(["a"]);
    expectCode(() => cache.namespace("plain", { hashKeys }), "ERR_MODEL");
    expectCode(() => cache.namespace("hashed", { hashKeys: false }), "ERR_MODEL");
    const again = newCache(hashKeys, path);
    expectCode(() => again.namespace("plain"), "ERR_MODEL");
    expect(again.namespace("hashed").has("a")).toBe(true);
  });

  test("remembers its model", () => {
    const path = temporaryPath();
    const model = { name: "m", task: "query", matryoshka: true };
    const options = { path, dimension: 2, hashKeys };
    const first = closing(new EmbedCache({ ...options, model }));
    first.set("a", [1, 2]);
    const again = closing(new EmbedCache({ ...options }));
    expect(again.get("a", { dimensions: 1 })).toEqual(Float32Array.of(1));
    closing(new EmbedCache({ ...options, model: { name: "m", task: "query" } }));
    expectCode(() => new EmbedCache({ ...options, model: "m" }), "ERR_MODEL");
  });
});

test("a batch may have more characters than one call of the engine takes", async () => {
  const cache = newCache(true, ":memory:");
  const long = "x".repeat(1 << 20);
  const texts = Array.from({ length: 270 }, (_, index) => `${index} ${long}`);
  const compute = (missing: string[]): number[][] => missing.map((key) => [parseInt(key, 10), 1]);
  const vectors = await cache.getOrComputeMany(texts, compute);
  expect(vectors.map(([number]) => number)).toEqual(texts.map((_, index) => index));
  expect(cache.stats()).toMatchObject({ computed: 270, joins: 0 });
}, 60_000);

test("two files with secrets of their own hash differently; with one secret alike", () => {
  const hashOf = (hashKeys: boolean | string): string | undefined => {
    const cache = newCache(hashKeys);
    cache.set("a", [1, 2]);
    return [...cache.keys()][0];
  };
  expect(hashOf(true)).not.toBe(hashOf(true));
  expect(hashOf(secret)).toBe(hashOf(secret));
  expect(hashOf(secret)).not.toBe(hashOf(`${secret}!`));
});

test("a hash is what HMAC-SHA-256 of a derived key says, for as long as there are files", () => {
  const cache = newCache("secret");
  cache.set("a", [1, 2]);
  expect([...cache.keys()]).toEqual(["rFqeSWxVr8rKgxtdLVtF9g.1"]);
});

describe("a cache that is opened in another way is an error, never misses", () => {
  const ways = [undefined, false, true, secret, "another secret"];
  test.each([false, true, secret])("made with hashKeys: %j", (made) => {
    const path = temporaryPath();
    newCache(made, path).close();
    for (const hashKeys of ways) {
      if ((hashKeys ?? false) === made) continue;
      const { message } = expectCode(() => new EmbedCache({ path, hashKeys }), "ERR_MODEL");
      expect(message).toMatch(/hashKeys/);
      expect(message).not.toContain(secret);
    }
    expect(newCache(made, path).size).toBe(0);
  });

  test("also where it was made while this handle had it open", () => {
    const path = temporaryPath();
    const plain = newCache(false, path).namespace("other");
    const hashed = newCache(false, path).namespace("other", { hashKeys: true });
    const alike = newCache(false, path).namespace("other", { hashKeys: true });
    expect(plain.get("a")).toBeUndefined();
    hashed.set("a", [1, 2]);
    expectCode(() => plain.get("a"), "ERR_MODEL");
    expect(alike.get("a")).toEqual(Float32Array.of(1, 2));
  });
});

test("what a file says of hashing is a model's name where it is nonsense", () => {
  const path = temporaryPath();
  const database = new Database(path);
  for (const said of ['{"hashedKeys":', '{"hashedKeys":null}', '{"hashedKeys":{"secret":5}}']) {
    database.collection(said, { dimension: 2, model: said });
  }
  database.close();
  const cache = newCache(false, path);
  for (const said of cache.namespaces().filter((name) => name !== "default")) {
    expect(cache.namespace(said, { model: said }).size).toBe(0);
  }
});

test.each([5, null, {}, "", "a\0b"])("refuses hashKeys: %j", (hashKeys) => {
  const options = { path: ":memory:", hashKeys: hashKeys as never };
  expectCode(() => new EmbedCache(options), "ERR_INVALID_ARGUMENT");
});
