/**
 * Tools for the day it goes wrong: verification of whole files, older states, and salvage.
 */

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { Database, salvage, type VerifyResult } from "vectorlite";
import { describe, expect, test } from "vitest";
import {
  closing,
  expectCode,
  expectRejection,
  randomVector,
  randomVectors,
  seededRandom,
  temporaryPath,
} from "./helpers.ts";

const dimension = 16;
const count = 30;
const vectors = randomVectors(80, count, dimension);

/** A file with 30 records, some replaced, some deleted, in several commits. */
function writeFile(path: string): void {
  using db = new Database(path);
  const docs = db.collection("docs", { dimension, model: "m" });
  for (let n = 0; n < count; n += 10) {
    docs.upsert(`key ${n}`, vectors[1] as Float32Array, { old: true });
    docs.upsert(`gone ${n}`, vectors[n] as Float32Array);
  }
  docs.upsertMany(
    vectors.map((vector, n) => ({ key: `key ${n}`, vector, metadata: { n, text: `text ${n}` } })),
  );
  for (let n = 0; n < count; n += 10) docs.delete(`gone ${n}`);
  db.collection("other", { dimension: 3, metric: "l2" }).upsert("a", [1, 2, 3]);
}

function expectSound(result: VerifyResult, size: number): void {
  expect(result.errors).toEqual([]);
  expect(result.warnings).toEqual([]);
  expect(result).toMatchObject({ ok: true, errorCount: 0, warningCount: 0 });
  const { used, free, slack } = result.bytes;
  expect(used + free + slack).toBe(size);
  expect(used).toBeGreaterThan(0);
}

async function verifyBytes(bytes: Uint8Array): Promise<VerifyResult> {
  using db = Database.fromBytes(bytes);
  return await db.verify();
}

describe("verify", () => {
  test("finds nothing wrong with a sound file, and accounts for every byte", async () => {
    const path = temporaryPath();
    writeFile(path);
    const size = readFileSync(path).length;
    for (const db of [
      new Database(path),
      new Database(path, { readonly: true }),
      Database.fromBytes(readFileSync(path)),
    ]) {
      closing(db);
      const progress: number[] = [];
      const result = await db.verify({
        onProgress: ({ done, total }) => progress.push(done / total),
      });
      expectSound(result, size);
      expect(progress.at(-1)).toBe(1);
    }
  });

  test("verifies a database in memory, an empty one too, and inside a transaction", async () => {
    const db = closing(new Database(":memory:"));
    expectSound(await db.verify(), db.stats().fileSize);
    const docs = db.collection("docs", { dimension });
    for (let n = 0; n < 500; n++) docs.upsert(`key ${n % 70}`, vectors[n % count] as Float32Array);
    expectSound(await db.verify(), db.stats().fileSize);
    let verified: Promise<VerifyResult> | undefined;
    db.transaction(() => {
      db.dropCollection("docs");
      verified = db.verify();
    });
    expect(await verified).toMatchObject({ ok: true });
  });

  test("sees one state while a writer goes on, and reports how far it is", async () => {
    const path = temporaryPath();
    const db = closing(new Database(path, { durability: "normal" }));
    const docs = db.collection("docs", { dimension: 512 });
    const keys = Array.from({ length: 6000 }, (_, n) => `${n}`);
    docs.upsertMany(keys, new Float32Array(512 * 6000).fill(1));
    const progress: number[] = [];
    let writes = 0;
    const random = seededRandom(81);
    for (const reader of [db, closing(new Database(path, { readonly: true }))]) {
      progress.length = 0;
      const result = await reader.verify({
        onProgress: ({ done, total }) => {
          progress.push(done / total);
          for (let n = 0; n < 20; n++) {
            const key = `${Math.floor(random() * 6000)}`;
            if (random() < 0.5) docs.delete(key);
            else docs.upsert(key, randomVector(random, 512));
            writes++;
          }
        },
      });
      expect(result.errors).toEqual([]);
      expect(result.warnings).toEqual([]);
      expect(progress.length).toBeGreaterThan(3);
      expect(progress).toEqual(progress.toSorted((a, b) => a - b));
      expect(progress.at(-1)).toBe(1);
    }
    expect(writes).toBeGreaterThan(100);
    expectSound(await db.verify(), db.stats().fileSize);
  });

  test("stops at what onProgress throws, and at close", async () => {
    const db = new Database(":memory:");
    const docs = db.collection("docs", { dimension: 512 });
    const keys = Array.from({ length: 6000 }, (_, n) => `${n}`);
    docs.upsertMany(keys, new Float32Array(512 * 6000).fill(1));
    const stopped = db.verify({
      onProgress: () => {
        throw new Error("enough");
      },
    });
    await expect(stopped).rejects.toThrow("enough");
    const closed = db.verify();
    db.close();
    await expectRejection(closed, "ERR_CLOSED");
    await expectRejection(db.verify(), "ERR_CLOSED");
  });

  test("refuses wrong arguments", async () => {
    const db = closing(new Database(":memory:"));
    await expectRejection(db.verify({ onProgress: 5 } as never), "ERR_INVALID_ARGUMENT");
    await expectRejection(db.verify({ onprogress: () => 0 } as never), "ERR_INVALID_ARGUMENT");
    await expectRejection(db.verify(5 as never), "ERR_INVALID_ARGUMENT");
  });

  test("says where a vector is damaged", async () => {
    const path = temporaryPath();
    const marked = new Float32Array(dimension).fill(1.2345678);
    {
      using db = new Database(path);
      const docs = db.collection("docs", { dimension });
      docs.upsert("fine", vectors[0] as Float32Array);
      docs.upsert("damaged", marked);
    }
    const bytes = readFileSync(path);
    const place = bytes.indexOf(Buffer.from(marked.buffer));
    bytes[place + 5] = (bytes[place + 5] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    using db = new Database(path);
    const { ok, errors } = await db.verify();
    expect(ok).toBe(false);
    expect(errors).toEqual([{ offset: place, kind: "vector", message: expect.any(String) }]);
  });

  test("finds a flipped bit wherever bytes are used, and nowhere else", async () => {
    const path = temporaryPath();
    writeFile(path);
    const bytes = readFileSync(path);
    const clean = await verifyBytes(bytes);
    expectSound(clean, bytes.length);
    const random = seededRandom(82);
    let tried = 0;
    let found = 0;
    for (let offset = 0; offset < bytes.length; offset += 64) {
      const place = offset + Math.floor(random() * 64);
      const before = bytes[place] ?? 0;
      bytes[place] = before ^ (1 << Math.floor(random() * 8));
      const { ok, bytes: classes } = await verifyBytes(bytes);
      bytes[place] = before;
      expect(classes.used + classes.free + classes.slack).toBe(bytes.length);
      tried++;
      if (!ok) found++;
    }
    // Each byte stands for 64, so the share of finds is about the share of used bytes.
    expect(found / tried).toBeGreaterThan((clean.bytes.used / bytes.length) * 0.8);
    expect(found / tried).toBeLessThan((clean.bytes.used / bytes.length) * 1.2);
  });
});

describe("an older state", () => {
  /** Each commit stores its number. */
  function commitTimes(db: Database, times: number): void {
    const docs = db.collection("docs", { dimension: 1 });
    for (let n = 0; n < times; n++) docs.upsert("n", [(docs.getVector("n")?.[0] ?? 0) + 1]);
  }

  function read(db: Database): number | undefined {
    return db.collection("docs").getVector("n")?.[0];
  }

  test("can be opened, so many durable commits back", () => {
    const path = temporaryPath();
    commitTimes(closing(new Database(path)), 20);
    for (let back = 0; back <= 3; back++) {
      const db = closing(new Database(path, { readonly: true, olderRoot: back }));
      expect(read(db)).toBe(20 - back);
    }
    const error = expectCode(
      () => new Database(path, { readonly: true, olderRoot: 4 }),
      "ERR_INVALID_ARGUMENT",
    );
    expect(error.message).toContain("3");
  });

  test("stays while a writer takes its slot and wants its pages", async () => {
    const path = temporaryPath();
    const writer = closing(new Database(path));
    commitTimes(writer, 20);
    const old = closing(new Database(path, { readonly: true, olderRoot: 3 }));
    using fresh = new Database(path);
    commitTimes(writer, 300);
    commitTimes(fresh, 300);
    expect(read(old)).toBe(17);
    expect(await old.verify()).toMatchObject({ ok: true });
    using snapshot = old.snapshot();
    expect(snapshot.collection("docs").getVector("n")?.[0]).toBe(17);
    expect(old.stats().transactionId).toBeLessThan(writer.stats().transactionId);
    const copy = temporaryPath();
    await old.backup(copy);
    expect(read(closing(new Database(copy)))).toBe(17);
    expectCode(() => old.collection("docs").upsert("n", [0]), "ERR_READONLY");
    old.close();
    expect(read(writer)).toBe(620);
  });

  test("stays while nobody reads it, however much is written meanwhile", async () => {
    const path = temporaryPath();
    const writer = closing(new Database(path));
    commitTimes(writer, 20);
    const old = closing(new Database(path, { readonly: true, olderRoot: 3 }));
    expect(read(old)).toBe(17);
    // Handles of the newest state let go of it after less.
    await delay(400);
    commitTimes(writer, 300);
    expect(await old.verify()).toMatchObject({ ok: true });
    expect(read(old)).toBe(17);
  });

  test("is the last durable one where the newest is not durable yet", () => {
    const path = temporaryPath();
    const db = closing(new Database(path, { durability: "none" }));
    commitTimes(db, 5);
    db.flush();
    commitTimes(db, 5);
    const durable = db.stats().transactionId === db.stats().durableTransactionId;
    const old = closing(new Database(path, { readonly: true, olderRoot: 1 }));
    // Where the system has no name for a boot, every commit is durable.
    expect(read(old)).toBe(durable ? 9 : 5);
  });

  test("wrong numbers of it are refused", () => {
    const path = temporaryPath();
    commitTimes(closing(new Database(path)), 3);
    for (const olderRoot of [-1, 1.5, Number.NaN, 2 ** 32, "1" as never]) {
      const options = { readonly: true, olderRoot };
      expectCode(() => new Database(path, options), "ERR_INVALID_ARGUMENT");
    }
    expectCode(() => new Database(path, { olderRoot: 1 }), "ERR_INVALID_ARGUMENT");
    expectCode(() => new Database(":memory:", { olderRoot: 1 }), "ERR_INVALID_ARGUMENT");
  });
});

describe("salvage", () => {
  function expectContent(path: string): void {
    using db = new Database(path, { readonly: true });
    const docs = db.collection<{ n: number; text: string }>("docs");
    expect(docs.size).toBe(count);
    for (let n = 0; n < count; n++) {
      const record = docs.get(`key ${n}`);
      expect(record?.vector).toEqual(vectors[n]);
      expect(record?.metadata).toEqual({ n, text: `text ${n}` });
    }
    expect(db.collections()).toEqual(["docs", "other"]);
    expect(db.collection("other", { metric: "l2" }).getVector("a")).toEqual(
      Float32Array.of(1, 2, 3),
    );
  }

  const whole = (uncertain: boolean): object => ({
    collections: [
      { name: "docs", dimension, recovered: count, damaged: 0, uncertain: uncertain ? count : 0 },
      { name: "other", dimension: 3, recovered: 1, damaged: 0, uncertain: uncertain ? 1 : 0 },
    ],
    recovered: count + 1,
    damaged: 0,
  });

  test("copies a sound file, and reports how far it is", async () => {
    const [from, to] = [temporaryPath(), temporaryPath()];
    writeFile(from);
    const before = readFileSync(from);
    const progress: number[] = [];
    const result = await salvage(from, to, {
      onProgress: ({ done, total }) => progress.push(done / total),
    });
    expect(result).toEqual(whole(false));
    expect(progress).toEqual(progress.toSorted((a, b) => a - b));
    expect(progress.at(-1)).toBe(1);
    expect(readFileSync(from).equals(before)).toBe(true);
    expectContent(to);
    using db = new Database(to);
    expect(await db.verify()).toMatchObject({ ok: true });
  });

  test("recovers a file without headers and roots, which nothing else can open", async () => {
    const [from, to] = [temporaryPath(), temporaryPath()];
    writeFile(from);
    const bytes = readFileSync(from);
    bytes.fill(0, 0, 8 * 4096);
    writeFileSync(from, bytes);
    expectCode(() => new Database(from, { readonly: true }), "ERR_NOT_A_DATABASE");
    expect(await salvage(from, to)).toEqual(whole(true));
    expectContent(to);
  });

  test("leaves a damaged row out, and says so", async () => {
    const [from, to] = [temporaryPath(), temporaryPath()];
    writeFile(from);
    const bytes = readFileSync(from);
    const place = bytes.indexOf(Buffer.from((vectors[7] as Float32Array).buffer));
    bytes[place] = (bytes[place] ?? 0) ^ 1;
    writeFileSync(from, bytes);
    const { collections } = await salvage(from, to);
    expect(collections[0]).toMatchObject({ recovered: count - 1, damaged: 1, uncertain: 0 });
    using db = new Database(to);
    expect(db.collection("docs").has("key 7")).toBe(false);
  });

  test("never overwrites, and leaves nothing behind when it fails or is stopped", async () => {
    const [from, to] = [temporaryPath(), temporaryPath()];
    writeFile(from);
    await expectRejection(salvage(from, from), "ERR_INVALID_ARGUMENT");
    await expectRejection(salvage(from, ":memory:"), "ERR_INVALID_ARGUMENT");
    await expectRejection(salvage(":memory:", to), "ERR_INVALID_ARGUMENT");
    await expectRejection(salvage(`${from} missing`, to), "ERR_IO");
    const stopped = salvage(from, to, {
      onProgress: () => {
        throw new Error("enough");
      },
    });
    await expect(stopped).rejects.toThrow("enough");
    const text = temporaryPath();
    writeFileSync(text, "no database at all ".repeat(5000));
    await expectRejection(salvage(text, to), "ERR_NOT_A_DATABASE");
    expect(existsSync(to)).toBe(false);
    await expectRejection(salvage("", to), "ERR_INVALID_ARGUMENT");
    await expectRejection(salvage(from, 5 as never), "ERR_INVALID_ARGUMENT");
    const wrong = { onprogress: () => undefined } as never;
    await expectRejection(salvage(from, to, wrong), "ERR_INVALID_ARGUMENT");
  });
});
