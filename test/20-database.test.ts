/**
 * A database and its collections: opening, creating, naming, dropping, counting.
 */

import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Collection, Database, type DatabaseOptions, Snapshot } from "vectorlite";
import { describe, expect, test } from "vitest";
import { closing, expectCode, skipAloud, temporaryFolder, temporaryPath } from "./helpers.ts";

function newDatabase(options?: DatabaseOptions): Database {
  return closing(new Database(temporaryPath(), options));
}

describe("opening", () => {
  test("creates a file, and opens it again with what was stored", () => {
    const path = temporaryPath();
    {
      using db = new Database(path);
      db.collection("docs", { dimension: 2 }).upsert("a", [1, 2]);
    }
    using db = new Database(path);
    expect(db.collections()).toEqual(["docs"]);
    expect(db.collection("docs").getVector("a")).toEqual(Float32Array.of(1, 2));
  });

  test("with create: false needs a file", () => {
    const path = temporaryPath();
    expectCode(() => new Database(path, { create: false }), "ERR_IO");
    expect(existsSync(path)).toBe(false);
    new Database(path).close();
    closing(new Database(path, { create: false }));
  });

  test("readonly never changes a byte", () => {
    const path = temporaryPath();
    {
      using db = new Database(path);
      db.collection("docs", { dimension: 2 }).upsert("a", [1, 2]);
    }
    const before = readFileSync(path);
    {
      using db = new Database(path, { readonly: true });
      const docs = db.collection("docs");
      expect(docs.search([1, 2])).toHaveLength(1);
      expect([...docs.entries()]).toHaveLength(1);
      expectCode(() => docs.upsert("b", [1, 2]), "ERR_READONLY");
      expectCode(() => docs.upsertMany([{ key: "b", vector: [1, 2] }]), "ERR_READONLY");
      expectCode(() => docs.delete("a"), "ERR_READONLY");
      expectCode(() => docs.deleteMany(["a"]), "ERR_READONLY");
      expectCode(() => db.dropCollection("docs"), "ERR_READONLY");
      expectCode(() => db.transaction(() => 1), "ERR_READONLY");
      expectCode(() => db.collection("more", { dimension: 2 }), "ERR_INVALID_ARGUMENT");
    }
    expect(readFileSync(path).equals(before)).toBe(true);
  });

  test("a file without write permission can be read", (context) => {
    if (process.getuid?.() === 0) skipAloud(context, "root may write anything");
    const path = temporaryPath();
    {
      using db = new Database(path);
      db.collection("docs", { dimension: 2 }).upsert("a", [1, 2]);
    }
    chmodSync(path, 0o444);
    using db = new Database(path, { readonly: true });
    expect(db.collection("docs").size).toBe(1);
  });

  test("closing twice is fine, and using it afterwards is not", () => {
    const db = new Database(temporaryPath());
    db.close();
    db.close();
    expectCode(() => db.collections(), "ERR_CLOSED");
  });

  test("closes with the process when nobody else does", () => {
    const db = new Database(temporaryPath());
    db.collection("docs", { dimension: 2 }).upsert("a", [1, 2]);
    process.emit("exit", 0);
    expectCode(() => db.collections(), "ERR_CLOSED");
  });

  test("adds one listener to the process, however many databases are open", () => {
    const before = process.listenerCount("exit");
    const open = Array.from({ length: 20 }, () => newDatabase());
    expect(open).toHaveLength(20);
    expect(process.listenerCount("exit")).toBeLessThanOrEqual(Math.max(before, 1) + 1);
  });
});

describe("collections", () => {
  test("are created where the dimension is given, cosine by default", () => {
    const db = newDatabase();
    const docs = db.collection("docs", { dimension: 3 });
    expect(docs).toBeInstanceOf(Collection);
    expect(docs).toMatchObject({
      name: "docs",
      dimension: 3,
      metric: "cosine",
      model: "",
      size: 0,
    });
    expect(db.collections()).toEqual(["docs"]);
  });

  test("are not created without a dimension, or with create: false", () => {
    const db = newDatabase();
    expectCode(() => db.collection("docs"), "ERR_INVALID_ARGUMENT");
    expectCode(
      () => db.collection("docs", { dimension: 3, create: false }),
      "ERR_INVALID_ARGUMENT",
    );
    expect(db.collections()).toEqual([]);
  });

  test.each(["cosine", "dot", "l2"] as const)("remember the metric %s", (metric) => {
    const path = temporaryPath();
    {
      using db = new Database(path);
      db.collection("docs", { dimension: 3, metric, model: "m1" });
    }
    using db = new Database(path);
    expect(db.collection("docs")).toMatchObject({ dimension: 3, metric, model: "m1" });
  });

  test("refuse options that contradict what is stored", () => {
    const db = newDatabase();
    db.collection("docs", { dimension: 3, metric: "l2", model: "m1" });
    expectCode(() => db.collection("docs", { dimension: 4 }), "ERR_DIMENSION");
    expectCode(() => db.collection("docs", { metric: "dot" }), "ERR_INVALID_ARGUMENT");
    expectCode(() => db.collection("docs", { model: "m2" }), "ERR_MODEL");
    expect(db.collection("docs", { dimension: 3, metric: "l2", model: "m1" }).size).toBe(0);
  });

  test("have names in any language, and keep apart what they hold", () => {
    const db = newDatabase();
    const names = ["docs", "Docs", "日本語", "a b/c", "x".repeat(255)];
    names.forEach((name, index) => {
      db.collection(name, { dimension: index + 1 }).upsert("key", Array(index + 1).fill(index + 1));
    });
    expect(db.collections().sort()).toEqual([...names].sort());
    names.forEach((name, index) => {
      expect(db.collection(name).getVector("key")?.length).toBe(index + 1);
    });
    expectCode(() => db.collection("x".repeat(256), { dimension: 1 }), "ERR_INVALID_ARGUMENT");
  });

  test("opened twice are one: both see every write", () => {
    const db = newDatabase();
    const first = db.collection("docs", { dimension: 2 });
    const second = db.collection("docs");
    first.upsert("a", [1, 2]);
    expect(second.getVector("a")).toEqual(Float32Array.of(1, 2));
    second.delete("a");
    expect(first.size).toBe(0);
  });

  test("opened twice keep their cache, and another size for it is refused", () => {
    const db = newDatabase();
    const first = db.collection("docs", { dimension: 2, cacheSize: 7 });
    const second = db.collection("docs", { cacheSize: 7 });
    expect(db.collection("docs").stats().cacheCapacity).toBe(7);
    const error = expectCode(() => db.collection("docs", { cacheSize: 8 }), "ERR_INVALID_ARGUMENT");
    expect(error.message).toMatch(/cacheSize 7; found 8/);
    first.upsert("a", [1, 2]);
    expect(second.size).toBe(1);
    db.dropCollection("docs");
    expect(db.collection("docs", { dimension: 2, cacheSize: 8 }).stats().cacheCapacity).toBe(8);
  });

  test("are dropped with all they hold", () => {
    const db = newDatabase();
    const docs = db.collection("docs", { dimension: 2 });
    docs.upsert("a", [1, 2]);
    expect(db.dropCollection("docs")).toBe(true);
    expect(db.dropCollection("docs")).toBe(false);
    expect(db.collections()).toEqual([]);
    expectCode(() => docs.size, "ERR_CLOSED");
    expectCode(() => docs.upsert("a", [1, 2]), "ERR_CLOSED");
    const again = db.collection("docs", { dimension: 5 });
    expect(again).toMatchObject({ size: 0, dimension: 5 });
  });

  test("survive the database object: holding one keeps the file open", async () => {
    const docs = new Database(temporaryPath()).collection("docs", { dimension: 2 });
    const { gc } = globalThis as { gc?: () => void };
    for (let round = 0; round < 3; round++) {
      gc?.();
      (globalThis as { Bun?: { gc(force: boolean): void } }).Bun?.gc(true);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    docs.upsert("a", [1, 2]);
    expect(docs.size).toBe(1);
  });

  test("many in one file", () => {
    const path = temporaryPath();
    {
      using db = new Database(path);
      db.transaction(() => {
        for (let index = 0; index < 300; index++) {
          db.collection(`c${index}`, { dimension: 2 }).upsert("key", [index, 1]);
        }
      });
    }
    using db = new Database(path);
    expect(db.collections()).toHaveLength(300);
    for (let index = 0; index < 300; index += 37) {
      expect(db.collection(`c${index}`).getVector("key")).toEqual(Float32Array.of(index, 1));
    }
  });
});

describe("numbers", () => {
  test("tell about the file", () => {
    const db = newDatabase();
    const docs = db.collection("docs", { dimension: 100 });
    const before = db.stats();
    docs.upsertMany(
      Array.from({ length: 1000 }, (_, index) => `${index}`),
      new Float32Array(100_000).fill(1),
    );
    const after = db.stats();
    expect(after.collections).toBe(1);
    expect(after.fileSize).toBeGreaterThanOrEqual(before.fileSize + 400_000);
    expect(after.transactionId).toBeGreaterThan(before.transactionId);
    expect(after.durableTransactionId).toBe(after.transactionId);
    expect(after.indexSize).toBeGreaterThan(0);
    expect(after.memoryUsage).toBeGreaterThan(0);
    expect(after.snapshots).toBe(0);
    using snapshot = db.snapshot();
    expect(snapshot).toBeInstanceOf(Snapshot);
    expect(db.stats().snapshots).toBe(1);
    expect(docs.stats().records).toBe(1000);
    expect(docs.stats().fileSize).toBe(after.fileSize);
  });

  test("normal durability becomes durable by itself within a second or so", async () => {
    const db = newDatabase({ durability: "normal" });
    db.collection("docs", { dimension: 2 }).upsert("a", [1, 2]);
    for (let waited = 0; waited < 3000; waited += 50) {
      const { transactionId, durableTransactionId } = db.stats();
      if (transactionId === durableTransactionId) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect.unreachable("not durable after 3 s");
  });

  test("flush makes everything durable at once", () => {
    const db = newDatabase({ durability: "none" });
    db.collection("docs", { dimension: 2 }).upsert("a", [1, 2]);
    expect(db.stats().durableTransactionId).toBeLessThan(db.stats().transactionId);
    db.flush();
    expect(db.stats().durableTransactionId).toBe(db.stats().transactionId);
  });
});

describe("wrong options", () => {
  const wrong: [string, unknown][] = [
    ...[0, 1, "yes", null].map((value): [string, unknown] => ["readonly", value]),
    ...[0, 1, "yes", null].map((value): [string, unknown] => ["create", value]),
    ...["Full", 1, null].map((value): [string, unknown] => ["durability", value]),
    ...[-1, 1.5, Number.NaN, 2 ** 32, "5", null].map((value): [string, unknown] => [
      "busyTimeout",
      value,
    ]),
    ...[-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, "5", null].map(
      (value): [string, unknown] => ["memoryBudget", value],
    ),
  ];
  test.each(wrong)("%s: %j of a database is refused by name", (name, value) => {
    const open = (): Database => new Database(":memory:", { [name]: value });
    expect(expectCode(open, "ERR_INVALID_ARGUMENT").message).toContain(name);
  });

  test.each([
    [{ readOnly: true }, /readonly\?/],
    [{ busyTimeOut: 5 }, /busyTimeout\?/],
    [{ timeout: 5 }, /busyTimeout\?/],
    [{ durablity: "full" }, /durability\?/],
  ] as [object, RegExp][])("%j of a database is misspelled", (options, message) => {
    const error = expectCode(() => new Database(":memory:", options), "ERR_INVALID_ARGUMENT");
    expect(error.message).toMatch(message);
  });

  test.each([
    [{ dimensions: 3 }, /dimension\?/],
    [{ dimension: 3, distance: "l2" }, /metric\?/],
    [{ dimension: 3, Metric: "l2" }, /metric\?/],
  ] as [object, RegExp][])("%j of a collection is misspelled", (options, message) => {
    const db = closing(new Database(":memory:"));
    const error = expectCode(() => db.collection("docs", options), "ERR_INVALID_ARGUMENT");
    expect(error.message).toMatch(message);
  });

  test.each([
    { dimension: 0 },
    { dimension: 1.5 },
    { dimension: 65_537 },
    { dimension: Number.NaN },
    { dimension: "3" },
    { dimension: 3, metric: "manhattan" },
    { dimension: 3, metric: 0 },
    { dimension: 3, model: "" },
    { dimension: 3, cacheSize: -1 },
    { dimension: 3, create: 1 },
  ])("%j of a collection is wrong", (options) => {
    const db = closing(new Database(":memory:"));
    expectCode(() => db.collection("docs", options as never), "ERR_INVALID_ARGUMENT");
  });

  test("readonly and create exclude each other", () => {
    const options = { readonly: true, create: true };
    expectCode(() => new Database(temporaryPath(), options), "ERR_INVALID_ARGUMENT");
  });
});

describe("fromBytes", () => {
  function image(): Uint8Array {
    const path = temporaryPath();
    {
      using db = new Database(path);
      const docs = db.collection("docs", { dimension: 2 });
      docs.upsertMany([
        { key: "a", vector: [1, 0], metadata: { n: 1 } },
        { key: "b", vector: [0, 1], metadata: { n: 2 } },
      ]);
    }
    return readFileSync(path);
  }

  test("reads everything a file has, without a file", () => {
    const db = closing(Database.fromBytes(image()));
    const docs = db.collection<{ n: number }>("docs");
    expect(docs.get("b")).toEqual({ key: "b", vector: Float32Array.of(0, 1), metadata: { n: 2 } });
    expect(docs.search([1, 0.1], { k: 1 })).toMatchObject([{ key: "a", metadata: { n: 1 } }]);
    expect([...docs.keys()].sort()).toEqual(["a", "b"]);
    using snapshot = db.snapshot();
    expect(snapshot.collection("docs").size).toBe(2);
    db.flush();
  });

  test("copies: changing the bytes afterwards changes nothing", () => {
    const bytes = Uint8Array.from(image());
    const db = closing(Database.fromBytes(bytes));
    bytes.fill(0);
    expect(db.collection("docs").getVector("a")).toEqual(Float32Array.of(1, 0));
  });

  test("takes an ArrayBuffer and a view at any offset", () => {
    const bytes = image();
    const shifted = new Uint8Array(bytes.length + 3);
    shifted.set(bytes, 3);
    expect(closing(Database.fromBytes(shifted.subarray(3))).collections()).toEqual(["docs"]);
    const buffer = Uint8Array.from(bytes).buffer;
    expect(closing(Database.fromBytes(buffer)).collections()).toEqual(["docs"]);
  });

  test("is read-only", () => {
    const docs = closing(Database.fromBytes(image())).collection("docs");
    expectCode(() => docs.upsert("c", [1, 1]), "ERR_READONLY");
  });

  test("refuses what is no image", () => {
    expectCode(() => Database.fromBytes(new Uint8Array(0)), "ERR_NOT_A_DATABASE");
    expectCode(() => Database.fromBytes(new Uint8Array(100_000)), "ERR_NOT_A_DATABASE");
    expectCode(() => Database.fromBytes("text" as never), "ERR_INVALID_ARGUMENT");
    expectCode(() => Database.fromBytes(undefined as never), "ERR_INVALID_ARGUMENT");
  });
});

describe("the advice about bytes that are no image", () => {
  test.each([
    ["unfinished", new Uint8Array(100)],
    ["foreign", Buffer.from("something else entirely")],
  ])("is about the bytes and not about a path or an option: %s", (_, bytes) => {
    const { message } = expectCode(() => Database.fromBytes(bytes), "ERR_NOT_A_DATABASE");
    expect(message).toMatch(/\bbytes\b.*;/);
    expect(message).not.toMatch(/\bpath\b|\bcreate\b|\breadonly\b/);
  });
});

describe("backup", () => {
  test("copies the state of the call while writes go on, and reports how far it is", async () => {
    const folder = temporaryFolder();
    const db = closing(new Database(join(folder, "a.vl")));
    const docs = db.collection("docs", { dimension: 512 });
    const keys = Array.from({ length: 4000 }, (_, index) => `${index}`);
    docs.upsertMany(keys, new Float32Array(512 * 4000).fill(1));
    const progress: number[] = [];
    let turns = 0;
    const turn = setInterval(() => turns++, 0);
    const copying = db.backup(join(folder, "b.vl"), {
      onProgress: ({ done, total }) => progress.push(done / total),
    });
    docs.upsert("late", new Float32Array(512).fill(2));
    docs.delete("0");
    await copying;
    clearInterval(turn);
    expect(turns).toBeGreaterThan(0);
    expect(progress.length).toBeGreaterThan(1);
    expect(progress).toEqual(progress.toSorted((a, b) => a - b));
    expect(progress.at(-1)).toBe(1);
    using copy = new Database(join(folder, "b.vl"), { readonly: true });
    expect(copy.collection("docs").size).toBe(4000);
    expect(copy.collection("docs").has("late")).toBe(false);
    expect(copy.collection("docs").has("0")).toBe(true);
    expect(docs.size).toBe(4000);
  });

  test("copies an in-memory database to a file", async () => {
    const path = temporaryPath();
    const db = closing(new Database(":memory:"));
    db.collection("docs", { dimension: 2 }).upsert("a", [1, 2]);
    await db.backup(path);
    using copy = new Database(path);
    expect(copy.collection("docs").getVector("a")).toEqual(Float32Array.of(1, 2));
    using bytes = Database.fromBytes(readFileSync(path));
    const again = temporaryPath();
    await bytes.backup(again);
    expect(readFileSync(again).equals(readFileSync(path))).toBe(true);
  });

  test("never overwrites", async () => {
    const path = temporaryPath();
    writeFileSync(path, "precious");
    const db = newDatabase();
    const wrong = { code: "ERR_INVALID_ARGUMENT" };
    await expect(db.backup(path)).rejects.toMatchObject(wrong);
    expect(readFileSync(path, "utf8")).toBe("precious");
    const empty = temporaryPath();
    writeFileSync(empty, "");
    await expect(db.backup(empty)).rejects.toMatchObject(wrong);
    expect(existsSync(empty)).toBe(true);
    await expect(db.backup(temporaryFolder())).rejects.toMatchObject(wrong);
    await expect(db.backup(":memory:")).rejects.toMatchObject(wrong);
  });

  test("leaves nothing behind of a file whose pages are damaged", async () => {
    const [path, copy] = [temporaryPath(), temporaryPath()];
    {
      using db = new Database(path);
      db.collection("docs", { dimension: 2 }).upsert("a", [1, 2]);
    }
    const bytes = readFileSync(path);
    // Every page behind the slots.
    bytes.fill(0, 8 * 4096);
    writeFileSync(path, bytes);
    using damaged = new Database(path);
    await expect(damaged.backup(copy)).rejects.toMatchObject({ code: "ERR_CORRUPT" });
    expect(existsSync(copy)).toBe(false);
  });

  test("stops at what onProgress throws, and at close", async () => {
    const folder = temporaryFolder();
    const db = new Database(join(folder, "original.vl"));
    const docs = db.collection("docs", { dimension: 512 });
    docs.upsertMany(
      Array.from({ length: 6000 }, (_, index) => `${index}`),
      new Float32Array(512 * 6000).fill(1),
    );
    const stopped = db.backup(join(folder, "a.vl"), {
      onProgress: () => {
        throw new Error("enough");
      },
    });
    await expect(stopped).rejects.toThrow("enough");
    const later = db.backup(join(folder, "a.vl"), {
      onProgress: async () => {
        await Promise.resolve();
        throw new Error("enough, a moment later");
      },
    });
    await expect(later).rejects.toThrow("enough, a moment later");
    expect(existsSync(join(folder, "a.vl"))).toBe(false);
    const closed = db.backup(join(folder, "b.vl"));
    db.close();
    await expect(closed).rejects.toMatchObject({ code: "ERR_CLOSED" });
    expect(existsSync(join(folder, "b.vl"))).toBe(false);
  });

  test("refuses wrong arguments", async () => {
    const db = newDatabase();
    const wrong = { code: "ERR_INVALID_ARGUMENT" };
    await expect(db.backup("")).rejects.toMatchObject(wrong);
    await expect(db.backup(5 as never)).rejects.toMatchObject(wrong);
    await expect(db.backup("x", { onprogress: 5 } as never)).rejects.toMatchObject(wrong);
    await expect(db.backup("x", { onProgress: 5 } as never)).rejects.toMatchObject(wrong);
  });
});
