/**
 * Space: a file that is written again and again stays small by itself, and `compact()` gives back
 * what deleted records leave, beside readers and writers.
 */

import { statSync } from "node:fs";
import { join } from "node:path";
import { Database } from "vectorlite";
import { describe, expect, test } from "vitest";
import { closing, randomVectors, temporaryFolder, temporaryPath } from "./helpers.ts";

const dimension = 256;
/** A vector, its entry, its code of 512 signs, its record and its place in the index. */
const rowBytes = dimension * 4 + 32 + 82 + 80;
const vectors = randomVectors(24, 64, dimension);

function vectorOf(number: number): Float32Array {
  return vectors[number % vectors.length] ?? new Float32Array(dimension);
}

function open(path: string): Database {
  return closing(new Database(path));
}

function fill(db: Database, count: number, shift = 0): void {
  const docs = db.collection("docs", { dimension });
  db.transaction(() => {
    for (let number = 0; number < count; number += 1) {
      docs.upsert(`key ${number}`, vectorOf(number + shift), { number });
    }
  });
}

function expectRecords(db: Database, from: number, to: number, shift = 0): void {
  const docs = db.collection("docs");
  expect(docs.size).toBe(to - from);
  for (let number = from; number < to; number += 1) {
    expect(docs.getVector(`key ${number}`)).toEqual(vectorOf(number + shift));
    expect(docs.get(`key ${number}`)?.metadata).toEqual({ number });
  }
}

function removeBelow(db: Database, end: number): void {
  const docs = db.collection("docs");
  db.transaction(() => {
    for (let number = 0; number < end; number += 1) docs.delete(`key ${number}`);
  });
}

/** All of `count` records, a hundred in a transaction, by turns; the largest size the file had. */
function overwrite(writers: Database[], path: string, count: number, rounds: number): number {
  const collections = writers.map((db) => db.collection("docs", { dimension }));
  let largest = 0;
  for (let round = 0; round <= rounds; round += 1) {
    for (let first = 0; first < count; first += 100) {
      const docs = collections[(first / 100) % collections.length];
      docs?.upsertMany(
        Array.from({ length: 100 }, (_, index) => ({
          // In another order every time.
          key: `key ${((first + index) * 7 + round * 13) % count}`,
          vector: vectorOf(first + index + round),
        })),
      );
    }
    largest = Math.max(largest, statSync(path).size);
  }
  expect(collections[0]?.size).toBe(count);
  return largest;
}

test("a hundred overwrites of everything stay below twice the live size", () => {
  const path = temporaryPath();
  const count = 3000;
  const liveBytes = count * rowBytes;
  expect(overwrite([open(path)], path, count, 100) / liveBytes).toBeLessThan(2);
});

test("a handle that has read once and does nothing costs one state, not all that follow", () => {
  const path = temporaryPath();
  const count = 3000;
  const liveBytes = count * rowBytes;
  const db = open(path);
  overwrite([db], path, count, 2);
  const idle = closing(new Database(path, { readonly: true }));
  const before = idle.collection("docs").getVector("key 7");
  const snapshot = closing(idle.snapshot());
  expect(overwrite([db], path, count, 20) / liveBytes).toBeLessThan(3);
  expect(snapshot.collection("docs").getVector("key 7")).toEqual(before);
  expect(idle.collection("docs").getVector("key 7")).toEqual(
    db.collection("docs").getVector("key 7"),
  );
});

test("writers who take turns beside one who does nothing leave a bounded rest behind", () => {
  const path = temporaryPath();
  const count = 3000;
  const liveBytes = count * rowBytes;
  const writers = [open(path), open(path), open(path)];
  overwrite(writers, path, count, 2);
  const idle = closing(new Database(path, { readonly: true }));
  const before = idle.collection("docs").getVector("key 7");
  const snapshot = closing(idle.snapshot());
  expect(overwrite(writers, path, count, 20) / liveBytes).toBeLessThan(4);
  expect(snapshot.collection("docs").getVector("key 7")).toEqual(before);
});

describe("a snapshot that is held too long", () => {
  test("is told of by stats(), until it is closed", async () => {
    const db = open(temporaryPath());
    fill(db, 100);
    expect(db.stats()).toMatchObject({ snapshots: 0, oldestSnapshotMs: 0 });
    const first = db.snapshot();
    await new Promise((resolve) => setTimeout(resolve, 60));
    {
      using second = db.snapshot();
      expect(second.collections()).toEqual(["docs"]);
      const { snapshots, oldestSnapshotMs } = db.stats();
      expect(snapshots).toBe(2);
      expect(oldestSnapshotMs).toBeGreaterThanOrEqual(50);
    }
    const iterator = db.collection("docs").keys();
    iterator.next();
    await new Promise((resolve) => setTimeout(resolve, 60));
    const before = db.stats().oldestSnapshotMs;
    expect(before).toBeGreaterThanOrEqual(110);
    first.close();
    const { snapshots, oldestSnapshotMs } = db.stats();
    expect(snapshots).toBe(1);
    expect(oldestSnapshotMs).toBeGreaterThanOrEqual(50);
    expect(oldestSnapshotMs).toBeLessThan(before);
    iterator.return();
    expect(db.stats()).toMatchObject({ snapshots: 0, oldestSnapshotMs: 0 });
  });

  test("holds bytes that are told of, and used again after `using`", () => {
    const path = temporaryPath();
    const db = open(path);
    const count = 1000;
    fill(db, count);
    expect(db.stats().heldBytes).toBe(0);
    {
      using snapshot = db.snapshot();
      fill(db, count, 1);
      const { heldBytes } = db.stats();
      expect(heldBytes).toBeGreaterThan(count * dimension * 4);
      expect(heldBytes).toBeLessThan(statSync(path).size);
      expect(snapshot.collection("docs").size).toBe(count);
    }
    expect(db.stats().heldBytes).toBe(0);
    fill(db, count, 2);
    const before = statSync(path).size;
    for (let round = 3; round < 6; round += 1) fill(db, count, round);
    expect(statSync(path).size / before).toBeLessThan(1.3);
    expectRecords(db, 0, count, 5);
  });

  test("holds them for another handle too; who has not written does not know", () => {
    const path = temporaryPath();
    const db = open(path);
    fill(db, 1000);
    const reader = closing(new Database(path, { readonly: true }));
    const snapshot = reader.snapshot();
    fill(db, 1000, 1);
    expect(db.stats().heldBytes).toBeGreaterThan(1000 * dimension * 4);
    expect(db.stats()).toMatchObject({ snapshots: 0, oldestSnapshotMs: 0 });
    expect(reader.stats().heldBytes).toBeUndefined();
    snapshot.close();
    expect(reader.collection("docs").size).toBe(1000);
    expect(db.stats().heldBytes).toBe(0);
    const other = open(path);
    other.collection("docs").delete("key 0");
    expect(db.stats().heldBytes).toBeUndefined();
    db.collection("docs").delete("key 1");
    expect(db.stats().heldBytes).toBeGreaterThanOrEqual(0);
    expect(other.stats().heldBytes).toBeUndefined();
  });
});

describe("a collection that is dropped", () => {
  const count = 1000;

  function drop(db: Database): void {
    expect(db.dropCollection("docs")).toBe(true);
  }

  test("leaves its space to others: the file does not grow for the next one", () => {
    const path = temporaryPath();
    const db = open(path);
    fill(db, count);
    const before = statSync(path).size;
    for (let round = 1; round <= 5; round += 1) {
      drop(db);
      fill(db, count, round);
      // The last states stay until newer ones have taken their slots.
      expect(statSync(path).size / before).toBeLessThan(2.2);
    }
    expectRecords(db, 0, count, 5);
  });

  test("gives it back to the file system when compacted", async () => {
    const path = temporaryPath();
    const db = open(path);
    fill(db, count);
    const kept = db.collection("kept", { dimension: 2 });
    kept.upsert("a", [1, 2]);
    const before = statSync(path).size;
    drop(db);
    await db.compact();
    expect(statSync(path).size).toBeLessThan(before / 10);
    expect(kept.getVector("a")).toEqual(Float32Array.of(1, 2));
    expect((await db.verify()).ok).toBe(true);
  });

  test("keeps it for a snapshot, and gives it back after that", async () => {
    const path = temporaryPath();
    const db = open(path);
    fill(db, count);
    const before = statSync(path).size;
    {
      using snapshot = db.snapshot();
      drop(db);
      await db.compact();
      const past = snapshot.collection("docs");
      expect(past.size).toBe(count);
      expect(past.getVector("key 17")).toEqual(vectorOf(17));
      expect(statSync(path).size).toBeGreaterThan(before / 2);
    }
    await db.compact();
    expect(statSync(path).size).toBeLessThan(before / 10);
  });

  test("takes it along where its transaction is rolled back", () => {
    const path = temporaryPath();
    const db = open(path);
    fill(db, count);
    expect(() =>
      db.transaction(() => {
        drop(db);
        fill(db, count / 2, 1);
        throw new Error("no");
      }),
    ).toThrow("no");
    expectRecords(db, 0, count);
  });
});

describe("compact", () => {
  test("makes the file smaller after deletes, and loses nothing", async () => {
    const path = temporaryPath();
    const db = open(path);
    fill(db, 5000);
    db.flush();
    const before = statSync(path).size;
    removeBelow(db, 4500);
    const seen: number[] = [];
    await db.compact({
      onProgress: ({ done, total }) => {
        expect(done).toBeLessThanOrEqual(total);
        seen.push(done);
      },
    });
    expect(seen.length).toBeGreaterThan(1);
    expect(statSync(path).size).toBeLessThan(before / 4);
    expectRecords(db, 4500, 5000);
    db.close();
    expectRecords(open(path), 4500, 5000);
  });

  test("lets a snapshot keep what it shows", async () => {
    const path = temporaryPath();
    const db = open(path);
    fill(db, 2000);
    const snapshot = db.snapshot();
    const past = snapshot.collection("docs");
    removeBelow(db, 1900);
    await db.compact();
    expect(past.size).toBe(2000);
    for (let number = 0; number < 2000; number += 1) {
      expect(past.getVector(`key ${number}`)).toEqual(vectorOf(number));
    }
    const before = statSync(path).size;
    snapshot.close();
    await db.compact();
    expect(statSync(path).size).toBeLessThan(before / 4);
    expectRecords(db, 1900, 2000);
  });

  test("goes on beside a reader and a writer of other handles", async () => {
    const path = temporaryPath();
    const db = open(path);
    fill(db, 3000);
    removeBelow(db, 2000);
    const writer = open(path);
    const reader = closing(new Database(path, { readonly: true }));
    let slices = 0;
    await db.compact({
      onProgress: () => {
        writer.collection("docs").upsert(`new ${slices}`, vectorOf(slices), { slices });
        slices += 1;
        expect(reader.collection("docs").size).toBe(1000 + slices);
        expect(reader.collection("docs").getVector("key 2500")).toEqual(vectorOf(2500));
      },
    });
    expect(slices).toBeGreaterThan(1);
    for (let number = 0; number < slices; number += 1) {
      expect(db.collection("docs").getVector(`new ${number}`)).toEqual(vectorOf(number));
    }
    for (let number = 2000; number < 3000; number += 1) {
      expect(reader.collection("docs").getVector(`key ${number}`)).toEqual(vectorOf(number));
    }
  });

  test("is refused inside of a transaction and on a readonly database", async () => {
    const path = temporaryPath();
    const db = open(path);
    fill(db, 10);
    const inside = db.transaction(() => ({ compacting: db.compact().then(undefined, String) }));
    expect(await inside.compacting).toContain("inside a transaction");
    const reader = closing(new Database(path, { readonly: true }));
    await expect(reader.compact()).rejects.toMatchObject({ code: "ERR_READONLY" });
    const wrong = { code: "ERR_INVALID_ARGUMENT" };
    await expect(db.compact({ onProgress: 5 } as never)).rejects.toMatchObject(wrong);
    await expect(db.compact({ onprogress: 5 } as never)).rejects.toMatchObject(wrong);
  });

  test("stops where onProgress throws, and where the database is closed", async () => {
    const path = join(temporaryFolder(), "a.vl");
    const db = open(path);
    fill(db, 3000);
    removeBelow(db, 1500);
    let calls = 0;
    const stopped = db.compact({
      onProgress: () => {
        calls += 1;
        throw new Error("enough");
      },
    });
    await expect(stopped).rejects.toThrow("enough");
    expect(calls).toBe(1);
    expectRecords(db, 1500, 3000);
    const closed = db.compact();
    db.close();
    await expect(closed).rejects.toMatchObject({ code: "ERR_CLOSED" });
    expectRecords(open(path), 1500, 3000);
  });

  test("gives memory databases and empty ones back too", async () => {
    const db = open(":memory:");
    await db.compact();
    fill(db, 3000);
    const before = db.stats().fileSize;
    removeBelow(db, 3000);
    await db.compact();
    expect(db.stats().fileSize).toBeLessThan(before / 10);
    fill(db, 50);
    expectRecords(db, 0, 50);
  });
});
