/**
 * The misuse matrix: every method, with everything that one can do wrong. Each mistake is one clear
 * error with the right code, and nothing is changed by it.
 */

import { runInNewContext } from "node:vm";
import { Collection, Database, EmbedCache, type ErrorCode, Snapshot } from "vectorlite";
import { describe, expect, test } from "vitest";
import { closing, expectCode, expectRejection, temporaryPath } from "./helpers.ts";

const good = [3, 4];

/** Vectors that no method may take, and the code of each. */
const badVectors: [string, () => unknown, ErrorCode][] = [
  ["undefined", () => undefined, "ERR_INVALID_ARGUMENT"],
  ["null", () => null, "ERR_INVALID_ARGUMENT"],
  ["a number", () => 2, "ERR_INVALID_ARGUMENT"],
  ["a string", () => "12", "ERR_INVALID_ARGUMENT"],
  ["an object", () => ({ 0: 1, 1: 2, length: 2 }), "ERR_INVALID_ARGUMENT"],
  ["a Float64Array", () => Float64Array.of(1, 2), "ERR_INVALID_ARGUMENT"],
  ["an Int32Array", () => Int32Array.of(1, 2), "ERR_INVALID_ARGUMENT"],
  ["an ArrayBuffer", () => new ArrayBuffer(8), "ERR_INVALID_ARGUMENT"],
  ["a DataView", () => new DataView(new ArrayBuffer(8)), "ERR_INVALID_ARGUMENT"],
  ["a Set", () => new Set([1, 2]), "ERR_INVALID_ARGUMENT"],
  ["numbers as strings", () => ["1", "2"], "ERR_INVALID_ARGUMENT"],
  ["holes", () => Array(2), "ERR_INVALID_ARGUMENT"],
  ["bigints", () => [1n, 2n], "ERR_INVALID_ARGUMENT"],
  ["too few numbers", () => [1], "ERR_DIMENSION"],
  ["too many numbers", () => Float32Array.of(1, 2, 3), "ERR_DIMENSION"],
  ["no numbers", () => [], "ERR_DIMENSION"],
  ["an empty Float32Array", () => new Float32Array(0), "ERR_DIMENSION"],
  ["NaN", () => [1, Number.NaN], "ERR_INVALID_VECTOR"],
  ["NaN first", () => Float32Array.of(Number.NaN, 1), "ERR_INVALID_VECTOR"],
  ["infinity", () => [1, Number.POSITIVE_INFINITY], "ERR_INVALID_VECTOR"],
  ["minus infinity", () => Float32Array.of(-Infinity, 1), "ERR_INVALID_VECTOR"],
  ["a number beyond 32 bits", () => [1e39, 1], "ERR_INVALID_VECTOR"],
  ["a zero vector under cosine", () => [0, 0], "ERR_INVALID_VECTOR"],
  ["a negative zero vector", () => Float32Array.of(-0, 0), "ERR_INVALID_VECTOR"],
  ["a detached array", detached, "ERR_INVALID_VECTOR"],
  ["an array shrunk to nothing", shrunk, "ERR_DIMENSION"],
];

const badKeys: [string, unknown, ErrorCode][] = [
  ["empty", "", "ERR_KEY"],
  ["of 65,537 bytes", "x".repeat(65_537), "ERR_KEY"],
  ["of 65,538 bytes in 2-byte letters", "é".repeat(32_769), "ERR_KEY"],
  ["of a million characters", "x".repeat(1_000_000), "ERR_KEY"],
  ["a lone high surrogate", "a\ud800", "ERR_KEY"],
  ["a lone low surrogate", "\udc00a", "ERR_KEY"],
  ["surrogates in the wrong order", "\udc00\ud800", "ERR_KEY"],
  ["undefined", undefined, "ERR_INVALID_ARGUMENT"],
  ["null", null, "ERR_INVALID_ARGUMENT"],
  ["a number", 5, "ERR_INVALID_ARGUMENT"],
  ["a String object", Object("key"), "ERR_INVALID_ARGUMENT"],
  ["bytes", Uint8Array.of(1), "ERR_INVALID_ARGUMENT"],
  ["an array", ["key"], "ERR_INVALID_ARGUMENT"],
  ["a symbol", Symbol("key"), "ERR_INVALID_ARGUMENT"],
];

const badKeyLists: [string, unknown, ErrorCode][] = [
  ["undefined", undefined, "ERR_INVALID_ARGUMENT"],
  ["a string", "ab", "ERR_INVALID_ARGUMENT"],
  ["a Set", new Set(["a"]), "ERR_INVALID_ARGUMENT"],
  ["an object", { 0: "a", length: 1 }, "ERR_INVALID_ARGUMENT"],
  ...badKeys.map(([name, key, code]): [string, unknown, ErrorCode] => [
    `a list with a key that is ${name}`,
    ["fine", key],
    code,
  ]),
];

function detached(): Float32Array {
  const vector = Float32Array.of(1, 2);
  structuredClone(vector, { transfer: [vector.buffer] });
  return vector;
}

function shrunk(): Float32Array {
  type Resizable = ArrayBuffer & { resize(bytes: number): void };
  const make = ArrayBuffer as unknown as new (
    bytes: number,
    options: { maxByteLength: number },
  ) => Resizable;
  const buffer = new make(8, { maxByteLength: 16 });
  const vector = new Float32Array(buffer);
  buffer.resize(4);
  return vector;
}

function newCache(): EmbedCache {
  const cache = closing(new EmbedCache({ path: ":memory:", dimension: 2 }));
  cache.set("fine", good);
  return cache;
}

function newCollection(): Collection {
  const db = closing(new Database(":memory:"));
  const docs = db.collection("docs", { dimension: 2 });
  docs.upsert("fine", good);
  return docs;
}

describe("a vector that is wrong", () => {
  test.each(badVectors)("%s", async (_, make, code) => {
    const cache = newCache();
    const docs = newCollection();
    expectCode(() => cache.set("key", make() as never), code);
    expectCode(() => cache.set("fine", make() as never), code);
    expectCode(() => cache.setMany(["key"], [make()] as never), code);
    expectCode(() => cache.setMany(["fine", "key"], [good, make()] as never), code);
    expectCode(() => cache.findSimilar(make() as never, { threshold: 0 }), code);
    expectCode(() => cache.search(make() as never), code);
    await expectRejection(
      cache.getOrCompute("key", () => make() as never),
      code,
    );
    await expectRejection(
      cache.getOrComputeMany(["key"], () => [make()] as never),
      code,
    );
    expectCode(() => docs.upsert("key", make() as never), code);
    expectCode(() => docs.upsertMany([{ key: "key", vector: make() as never }]), code);
    expectCode(() => docs.upsertMany(["fine", "key"], [good, make()] as never), code);
    expectCode(() => docs.search(make() as never), code);
    expectCode(() => docs.searchMany([good, make()] as never), code);
    for (const store of [cache, docs]) {
      expect(store.size).toBe(1);
      expect([...store.keys()]).toEqual(["fine"]);
    }
    expect(cache.get("fine")).toEqual(Float32Array.from(good));
    expect(docs.getVector("fine")).toEqual(Float32Array.from(good));
  });

  test("NaN is told by its place", () => {
    const vector = new Float32Array(100).fill(1);
    vector[77] = Number.NaN;
    const cache = closing(new EmbedCache({ path: ":memory:", dimension: 100 }));
    expect(expectCode(() => cache.set("key", vector), "ERR_INVALID_VECTOR").message).toMatch(/77/);
  });

  test("packed vectors of a wrong size, or detached", () => {
    const cache = newCache();
    const docs = newCollection();
    const gone = detached();
    for (const [packed, code] of [
      [Float32Array.of(1, 2, 3), "ERR_DIMENSION"],
      [Float32Array.of(1, 2, 3, 4, 5), "ERR_DIMENSION"],
      [new Float32Array(0), "ERR_DIMENSION"],
      [gone, "ERR_INVALID_VECTOR"],
      [Float64Array.of(1, 2, 3, 4), "ERR_INVALID_ARGUMENT"],
      ["1234", "ERR_INVALID_ARGUMENT"],
      [Float32Array.of(1, 2, Number.NaN, 4), "ERR_INVALID_VECTOR"],
    ] as [never, ErrorCode][]) {
      expectCode(() => cache.setMany(["a", "b"], packed), code);
      expectCode(() => docs.upsertMany(["a", "b"], packed), code);
    }
    expectCode(() => docs.searchMany(Float32Array.of(1, 2, 3)), "ERR_DIMENSION");
    expectCode(() => docs.searchMany(gone), "ERR_INVALID_VECTOR");
    expectCode(() => docs.searchMany("12" as never), "ERR_INVALID_ARGUMENT");
    expect(cache.size).toBe(1);
  });

  test("out of getInto", () => {
    const cache = newCache();
    const docs = newCollection();
    for (const [out, code] of [
      [undefined, "ERR_INVALID_ARGUMENT"],
      [[0, 0], "ERR_INVALID_ARGUMENT"],
      [new Float64Array(2), "ERR_INVALID_ARGUMENT"],
      [new Uint8Array(8), "ERR_INVALID_ARGUMENT"],
      [new Float32Array(1), "ERR_DIMENSION"],
      [new Float32Array(3), "ERR_DIMENSION"],
      [detached(), "ERR_INVALID_VECTOR"],
      [shrunk(), "ERR_DIMENSION"],
    ] as [never, ErrorCode][]) {
      expectCode(() => cache.getInto("fine", out), code);
      expectCode(() => docs.getInto("fine", out), code);
    }
  });
});

describe("a vector that is unusual but right", () => {
  test("in shared, resizable and offset memory is copied", () => {
    const cache = newCache();
    const shared = new Float32Array(new SharedArrayBuffer(8));
    shared.set([5, 6]);
    cache.set("shared", shared);
    cache.setMany(["packed shared"], shared);
    shared.fill(0);
    expect(cache.get("shared")).toEqual(Float32Array.of(5, 6));
    expect(cache.get("packed shared")).toEqual(Float32Array.of(5, 6));
    const offset = Float32Array.of(9, 7, 8, 9).subarray(1, 3);
    cache.set("offset", offset);
    cache.setMany(["packed offset"], offset);
    expect(cache.get("offset")).toEqual(Float32Array.of(7, 8));
    expect(cache.get("packed offset")).toEqual(Float32Array.of(7, 8));
    const window = new Float32Array(4);
    expect(cache.getInto("offset", window.subarray(1, 3))).toBe(true);
    expect(window).toEqual(Float32Array.of(0, 7, 8, 0));
    expect(cache.getInto("offset", shared)).toBe(true);
    expect(Array.from(shared)).toEqual([7, 8]);
    expect(cache.search(offset, { k: 1 })).toHaveLength(1);
  });

  test("of another realm is a vector too", () => {
    const cache = newCache();
    cache.set("foreign", runInNewContext("Float32Array.of(1, 2)") as Float32Array);
    cache.set("foreign list", runInNewContext("[1, 2]") as number[]);
    expect(cache.get("foreign")).toEqual(Float32Array.of(1, 2));
    expect(cache.get("foreign list")).toEqual(Float32Array.of(1, 2));
  });
});

/** Arrays that say they have 1000 numbers, or are what they are not; each would be read beyond. */
const liars: [string, () => unknown, ErrorCode][] = [
  ["a subclass with a length of its own", () => new LongerArray(2), "ERR_DIMENSION"],
  ["a field called length", () => withField(new Float32Array(2)), "ERR_DIMENSION"],
  [
    "a longer one that says it is shorter",
    () => withField(new Float32Array(3000)),
    "ERR_DIMENSION",
  ],
  ["a tag of another class", () => withTag(new Uint8Array(1000)), "ERR_INVALID_ARGUMENT"],
  [
    "a prototype of another class",
    () => withPrototype(new Uint8Array(1000)),
    "ERR_INVALID_ARGUMENT",
  ],
  ["an object with the prototype", () => withField(withPrototype({})), "ERR_INVALID_ARGUMENT"],
  ["a proxy", () => new Proxy(new Float32Array(1000), {}), "ERR_INVALID_ARGUMENT"],
];

class LongerArray extends Float32Array {
  override get length(): number {
    return 1000;
  }
}

function withField<T extends object>(value: T): T {
  return Object.defineProperty(value, "length", { value: 1000 });
}

function withTag<T extends object>(value: T): T {
  return Object.defineProperty(value, Symbol.toStringTag, { value: "Float32Array" });
}

function withPrototype<T extends object>(value: T): T {
  return Object.setPrototypeOf(value, Float32Array.prototype) as T;
}

describe("an array that lies about itself", () => {
  test.each(liars)("with %s is refused, and nobody's memory is touched", (_, make, code) => {
    const db = closing(new Database(":memory:"));
    const docs = db.collection("docs", { dimension: 1000, metric: "l2" });
    docs.upsert("fine", new Float32Array(1000));
    const lie = make() as never;
    for (const action of [
      () => docs.upsert("key", lie),
      () => docs.upsertMany(["key"], lie),
      () => docs.upsertMany(["key"], [lie]),
      () => docs.getInto("fine", lie),
      () => docs.search(lie),
      () => docs.searchMany([lie]),
    ]) {
      expectCode(action, code);
    }
    expect([...docs.keys()]).toEqual(["fine"]);
  });

  test("is refused as a batch of queries, and as the bytes of a file", () => {
    const docs = newCollection();
    expectCode(() => docs.searchMany(withField(new Float32Array(3))), "ERR_DIMENSION");
    expect(docs.searchMany(withField(new Float32Array(2).fill(1)))).toHaveLength(1);
    const bytes = withField(new Uint8Array(10));
    expectCode(() => Database.fromBytes(bytes), "ERR_NOT_A_DATABASE");
    const gone = new ArrayBuffer(8192);
    structuredClone(gone, { transfer: [gone] });
    expectCode(() => Database.fromBytes(gone), "ERR_INVALID_ARGUMENT");
  });
});

describe("a list that runs code while it is read", () => {
  /** `list` with a place that calls `run` whenever it is read. */
  function trap<T>(list: T[], index: number, run: () => T): T[] {
    return Object.defineProperty(list, index, { get: run });
  }

  test("may set and search: every call keeps its own vector", async () => {
    const cache = newCache();
    const setting = trap([1, 2], 1, () => {
      cache.set("inner", [7, 8]);
      return 2;
    });
    cache.set("outer", setting);
    expect(cache.get("outer")).toEqual(Float32Array.of(1, 2));
    expect(cache.get("inner")).toEqual(Float32Array.of(7, 8));
    const searching = trap([1, 0], 1, () => {
      cache.search([0, 1]);
      return 0;
    });
    cache.setMany(["x", "y"], Float32Array.of(1, 0, 0, 1));
    expect(cache.search(searching, { k: 1 })[0]?.key).toBe("x");
    expect(await cache.getOrCompute("computed", () => setting)).toEqual(Float32Array.of(1, 2));
  });

  test("is read once: a key that was checked is the key that is stored", () => {
    const cache = newCache();
    const docs = newCollection();
    for (const second of ["", "\ud800", "x".repeat(100_000), { length: 5 }]) {
      for (const store of [
        (keys: string[]) => cache.setMany(keys, [good, good]),
        (keys: string[]) => docs.upsertMany(keys, [good, good], [{ a: 1 }, {}]),
      ]) {
        let reads = 0;
        store(trap(["a", "b"], 1, () => (reads++ === 0 ? "b" : (second as string))));
      }
    }
    expect([...cache.keys()].sort()).toEqual(["a", "b", "fine"]);
    expect([...docs.keys()].sort()).toEqual(["a", "b", "fine"]);
  });

  test("may make the list of keys longer: the others stay as they were counted", () => {
    const docs = newCollection();
    const keys = ["a", "b"];
    const metadatas = trap<object>([{}, {}], 1, () => {
      for (let index = 0; index < 1000; index++) keys.push(`more ${index}`);
      return { n: 1 };
    });
    docs.upsertMany(keys, [good, good], metadatas as never);
    expect([...docs.keys()].sort()).toEqual(["a", "b", "fine"]);
    expect(docs.get("b")?.metadata).toEqual({ n: 1 });
  });

  test("may close the database: that is ERR_CLOSED", () => {
    for (const use of [
      (cache: EmbedCache, vector: number[]) => cache.set("key", vector),
      (cache: EmbedCache, vector: number[]) => cache.setMany(["key"], [vector]),
      (cache: EmbedCache, vector: number[]) => cache.search(vector),
      (cache: EmbedCache, vector: number[]) => cache.findSimilar(vector, { threshold: 0 }),
    ]) {
      const cache = newCache();
      const vector = trap([1, 2], 1, () => {
        cache.close();
        return 2;
      });
      expectCode(() => use(cache, vector), "ERR_CLOSED");
    }
    for (const use of [
      (docs: Collection, n: object) => docs.upsert("key", good, n as never),
      (docs: Collection, n: object) => docs.upsertMany(["key"], [good], [n as never]),
      (docs: Collection, n: object) => docs.setMetadata("key", n as never),
      (docs: Collection, n: object) => docs.search(good, { filter: n as never }),
      (docs: Collection, n: object) => docs.explain(good, { filter: n as never }),
      (docs: Collection, n: object) => docs.count(n as never),
      (docs: Collection, n: object) => docs.keys({ filter: n as never }),
      (docs: Collection, n: object) => docs.entries({ filter: n as never }),
      (docs: Collection, n: object) => docs.deleteWhere(n as never),
    ]) {
      const db = new Database(":memory:");
      const docs = db.collection("docs", { dimension: 2 });
      const closes = {
        get n(): number {
          db.close();
          return 1;
        },
      };
      expectCode(() => use(docs, closes), "ERR_CLOSED");
    }
  });

  test("may write metadata and count: every call keeps its own bytes", () => {
    const docs = newCollection();
    const outer = {
      before: "x".repeat(5000),
      get during(): string {
        docs.upsert("inner", good, { inside: "y".repeat(9000) });
        return `${docs.count({ inside: { $startsWith: "y" } })}`;
      },
      after: [1, 2],
    };
    docs.upsert("a", good, outer);
    docs.upsertMany(["b", "c"], [good, good], [outer, { last: true }]);
    docs.setMetadata("fine", outer);
    expect(docs.count({ before: { $exists: true }, during: "1", after: { $contains: 2 } })).toBe(3);
    expect(docs.get("b")?.metadata).toEqual({ ...outer });
    expect(docs.get("c")?.metadata).toEqual({ last: true });
    expect(docs.get("inner")?.metadata).toEqual({ inside: "y".repeat(9000) });
  });
});

test("an answer that no array can hold is ERR_OUT_OF_MEMORY", () => {
  const cache = closing(new EmbedCache({ path: ":memory:", dimension: 65_536 }));
  expectCode(() => cache.getMany(Array(70_000).fill("key") as string[]), "ERR_OUT_OF_MEMORY");
  expect(cache.size).toBe(0);
});

describe("a key that is wrong", () => {
  test.each(badKeys)("%s", async (_, key, code) => {
    const cache = newCache();
    const docs = newCollection();
    const bad = key as never;
    const out = new Float32Array(2);
    for (const action of [
      () => cache.set(bad, good),
      () => cache.get(bad),
      () => cache.getInto(bad, out),
      () => cache.has(bad),
      () => cache.delete(bad),
      () => docs.upsert(bad, good),
      () => docs.upsertMany([{ key: bad, vector: good }]),
      () => docs.get(bad),
      () => docs.getVector(bad),
      () => docs.getInto(bad, out),
      () => docs.has(bad),
      () => docs.delete(bad),
      () => docs.setMetadata(bad, {}),
    ]) {
      expectCode(action, code);
    }
    await expectRejection(
      cache.getOrCompute(bad, () => good),
      code,
    );
    expect(cache.size + docs.size).toBe(2);
  });

  test.each(badKeyLists)("%s", async (_, keys, code) => {
    const cache = newCache();
    const docs = newCollection();
    const bad = keys as never;
    for (const action of [
      () => cache.setMany(bad, [good, good]),
      () => cache.getMany(bad),
      () => docs.upsertMany(bad, [good, good]),
      () => docs.getMany(bad),
      () => docs.deleteMany(bad),
    ]) {
      expectCode(action, code);
    }
    await expectRejection(
      cache.getOrComputeMany(bad, () => [good, good]),
      code,
    );
    expect(cache.size + docs.size).toBe(2);
  });

  test.each([undefined, null, 5, {}, [5], [null], ["key"], [{ vector: good }]])(
    "records that are no records: %j",
    (records) => {
      const docs = newCollection();
      expectCode(() => docs.upsertMany(records as never), "ERR_INVALID_ARGUMENT");
      expect(docs.size).toBe(1);
    },
  );
});

describe("after closing", () => {
  test("every method of a cache throws ERR_CLOSED", async () => {
    const cache = newCache();
    const keys = cache.keys();
    cache.close();
    cache.close();
    cache[Symbol.dispose]();
    for (const action of [
      () => cache.set("key", good),
      () => cache.setMany(["key"], [good]),
      () => cache.setMany([], []),
      () => cache.get("fine"),
      () => cache.getInto("fine", new Float32Array(2)),
      () => cache.getMany(["fine"]),
      () => cache.getMany([]),
      () => cache.has("fine"),
      () => cache.delete("fine"),
      () => cache.clear(),
      () => cache.size,
      () => cache.keys(),
      () => keys.next(),
      () => cache.findSimilar(good, { threshold: 0 }),
      () => cache.search(good),
      () => cache.stats(),
      () => cache.flush(),
    ]) {
      expectCode(action, "ERR_CLOSED");
    }
    await expectRejection(
      cache.getOrCompute("key", () => good),
      "ERR_CLOSED",
    );
    await expectRejection(
      cache.getOrComputeMany(["key"], () => [good]),
      "ERR_CLOSED",
    );
  });

  test("every method of a database, collection and snapshot throws ERR_CLOSED", async () => {
    const db = new Database(temporaryPath());
    const docs = db.collection("docs", { dimension: 2 });
    const snapshot = db.snapshot();
    const past = snapshot.collection("docs");
    db.close();
    db.close();
    db[Symbol.dispose]();
    snapshot.close();
    snapshot[Symbol.dispose]();
    for (const action of [
      () => db.collection("docs"),
      () => db.collections(),
      () => db.dropCollection("docs"),
      () => db.renameCollection("docs", "other"),
      () => db.transaction(() => 1),
      () => db.snapshot(),
      () => db.flush(),
      () => db.stats(),
      () => snapshot.collection("docs"),
      () => snapshot.collections(),
      ...[docs, past].flatMap(everythingOf),
    ]) {
      expectCode(action, "ERR_CLOSED");
    }
    await expectRejection(db.backup(temporaryPath()), "ERR_CLOSED");
    await expectRejection(
      db.transactionAsync(() => 1),
      "ERR_CLOSED",
    );
    await expectRejection(docs.import([]), "ERR_CLOSED");
  });

  function everythingOf(docs: Collection): (() => unknown)[] {
    return [
      () => docs.upsert("key", good),
      () => docs.upsertMany([{ key: "key", vector: good }]),
      () => docs.upsertMany([]),
      () => docs.get("key"),
      () => docs.getVector("key"),
      () => docs.getInto("key", new Float32Array(2)),
      () => docs.getMany(["key"]),
      () => docs.getMany([]),
      () => docs.has("key"),
      () => docs.delete("key"),
      () => docs.deleteMany(["key"]),
      () => docs.deleteMany([]),
      () => docs.deleteWhere({}),
      () => docs.setMetadata("key", {}),
      () => docs.count(),
      () => docs.count({ lang: "en" }),
      () => docs.keys(),
      () => docs.keys({ filter: {} }),
      () => docs.entries(),
      () => docs.export(),
      () => docs.size,
      () => docs.search(good),
      () => docs.searchMany([good]),
      () => docs.searchMany([]),
      () => docs.stats(),
    ];
  }
});

describe("names and options", () => {
  test.each(["", 5, null, undefined, {}, "a\0b", "\ud800"])("a collection called %j", (name) => {
    const db = closing(new Database(":memory:"));
    using snapshot = db.snapshot();
    const bad = name as never;
    expectCode(() => db.collection(bad, { dimension: 2 }), "ERR_INVALID_ARGUMENT");
    expectCode(() => db.dropCollection(bad), "ERR_INVALID_ARGUMENT");
    expectCode(() => db.renameCollection(bad, "fine"), "ERR_INVALID_ARGUMENT");
    expectCode(() => db.renameCollection("fine", bad), "ERR_INVALID_ARGUMENT");
    expectCode(() => snapshot.collection(bad), "ERR_INVALID_ARGUMENT");
    expect(db.collections()).toEqual([]);
  });

  test.each(["", 5, null, undefined, {}, "a\0b", "\ud800"])("a database called %j", (path) => {
    expectCode(() => new Database(path as never), "ERR_INVALID_ARGUMENT");
  });

  class Settings {
    get path(): string {
      return "elsewhere.cache";
    }
  }
  const notPlain = [
    ...[null, 5, "text", [], new Map([["path", "x"]]), new Set(["path"]), new Date()],
    ...[Promise.resolve({}), new Settings(), Object.create({ path: "x" }), () => ({})],
  ];
  test.each(notPlain)("options that are %s", (value) => {
    const options = value as never;
    const cache = newCache();
    const docs = newCollection();
    const db = closing(new Database(":memory:"));
    for (const action of [
      () => new Database(":memory:", options),
      () => new EmbedCache(options),
      () => EmbedCache.forServerless("x", options),
      () => db.collection("docs", options),
      () => docs.search(good, options),
      () => docs.searchMany([good], options),
      () => docs.keys(options),
      () => docs.entries(options),
      () => cache.set("key", good, options),
      () => cache.search(good, options),
      () => cache.findSimilar(good, options),
    ]) {
      expectCode(action, "ERR_INVALID_ARGUMENT");
    }
  });

  test("options of a class are told by its name", () => {
    const error = expectCode(() => new EmbedCache(new Settings() as never), "ERR_INVALID_ARGUMENT");
    expect(error.message).toContain("found a Settings");
  });

  test("options without a prototype, or of another realm, are options", () => {
    const bare = Object.assign(Object.create(null), { dimension: 3 });
    const foreign = runInNewContext("({ dimension: 3 })");
    for (const options of [bare, foreign]) {
      const db = closing(new Database(":memory:"));
      expect(db.collection("docs", options).dimension).toBe(3);
    }
  });

  test("options of the cache's searches", () => {
    const cache = newCache();
    for (const options of [{ treshold: 1 }, { threshold: Number.NaN }, { threshold: "1" }]) {
      expectCode(() => cache.findSimilar(good, options as never), "ERR_INVALID_ARGUMENT");
      expectCode(() => cache.search(good, options as never), "ERR_INVALID_ARGUMENT");
    }
    for (const options of [
      ...[{ k: 0 }, { k: 1.5 }, { limit: 3 }, { include: ["vector"] }, { filter: {} }],
      ...[{ exact: 1 }, { threads: 0 }, { threads: 65 }, { offset: 1 }],
    ]) {
      expectCode(() => cache.search(good, options as never), "ERR_INVALID_ARGUMENT");
    }
    expectCode(() => cache.findSimilar(good, { k: 3 } as never), "ERR_INVALID_ARGUMENT");
  });

  test("classes that cannot be made by hand", () => {
    expectCode(() => new Collection({} as never), "ERR_INVALID_ARGUMENT");
    expectCode(() => new Snapshot({} as never), "ERR_INVALID_ARGUMENT");
  });

  test("fields that cannot be written", () => {
    const docs = newCollection();
    expect(() => Object.assign(docs, { dimension: 1000 })).toThrow(TypeError);
    expect(docs.dimension).toBe(2);
  });
});
