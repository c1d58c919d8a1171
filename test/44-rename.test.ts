/**
 * Renaming a collection: the name is new, the records are where they were, and whoever holds the
 * collection goes on with it.
 */

import { Database, EmbedCache } from "vectorlite";
import { describe, expect, test } from "vitest";
import { closing, expectCode, expectRejection, keysOf, temporaryPath } from "./helpers.ts";
import { startProgram } from "./processes.ts";

function newDatabase() {
  const path = temporaryPath();
  const db = closing(new Database(path));
  const docs = db.collection<{ n: number }>("docs", { dimension: 2, model: "m", cacheSize: 7 });
  docs.upsert("a", [1, 2], { n: 1 });
  db.collection("other", { dimension: 3 }).upsert("x", [1, 2, 3]);
  return { path, db, docs };
}

describe("a collection that is renamed", () => {
  test("has all its records under the new name, also after reopening", () => {
    const { path, db } = newDatabase();
    expect(db.renameCollection("docs", "texts")).toBeUndefined();
    expect(db.collections()).toEqual(["texts", "other"]);
    expectCode(() => db.collection("docs"), "ERR_INVALID_ARGUMENT");
    expect(db.collection("texts").get("a")).toMatchObject({ metadata: { n: 1 } });
    db.close();
    using again = new Database(path);
    expect(again.collections()).toEqual(["texts", "other"]);
    expect(again.collection("texts")).toMatchObject({ name: "texts", dimension: 2, model: "m" });
    expect(again.collection("texts").getVector("a")).toEqual(Float32Array.of(1, 2));
    expect(again.collection("other").size).toBe(1);
  });

  test("is followed by what is open: it reads, writes, and knows its name", () => {
    const { db, docs } = newDatabase();
    const entries = docs.entries();
    const keys = docs.keys();
    db.renameCollection("docs", "texts");
    expect(docs.name).toBe("texts");
    docs.upsert("b", [3, 4]);
    expect(docs.size).toBe(2);
    expect([...entries].map(({ key }) => key).sort()).toEqual(["a", "b"]);
    expect([...keys].sort()).toEqual(["a", "b"]);
    expect(keysOf(docs.search([1, 2], { k: 1 }))).toEqual(["a"]);
    expect(expectCode(() => docs.upsert("c", [1]), "ERR_DIMENSION").message).not.toContain("docs");
    const texts = db.collection("texts");
    expect(texts.stats().cacheCapacity).toBe(7);
    texts.delete("a");
    expect(docs.has("a")).toBe(false);
  });

  test("leaves its old name to others, which nobody takes for it", () => {
    const { path, db, docs } = newDatabase();
    const elsewhere = closing(new Database(path));
    const there = elsewhere.collection("docs");
    db.renameCollection("docs", "texts");
    db.collection("docs", { dimension: 2, model: "m" }).upsert("new", [5, 6]);
    for (const handle of [db, elsewhere]) {
      expect([...handle.collection("docs").keys()]).toEqual(["new"]);
      expect([...handle.collection("texts").keys()]).toEqual(["a"]);
    }
    for (const handle of [docs, there]) {
      expect([...handle.keys()]).toEqual(["a"]);
      expect(handle.name).toBe("texts");
    }
  });

  test("keeps its old name in snapshots", () => {
    const { db } = newDatabase();
    using snapshot = db.snapshot();
    const before = snapshot.collection("docs");
    db.renameCollection("docs", "texts");
    expect(snapshot.collections()).toEqual(["docs", "other"]);
    expect(snapshot.collection("docs").name).toBe("docs");
    expect(before.name).toBe("docs");
    expect(before.getVector("a")).toEqual(Float32Array.of(1, 2));
    expectCode(() => snapshot.collection("texts"), "ERR_INVALID_ARGUMENT");
    using later = db.snapshot();
    expect(later.collections()).toEqual(["texts", "other"]);
  });

  test("goes on in other handles and other processes", async () => {
    const { path, db, docs } = newDatabase();
    const elsewhere = closing(new Database(path));
    const there = elsewhere.collection("docs", { cacheSize: 5 });
    expect(there.getVector("a")).toEqual(Float32Array.of(1, 2));
    const process = startProgram("follower.mjs", [path]);
    expect(await process.lines(1)).toEqual(["docs 1"]);
    for (const [from, to] of [
      ["docs", "texts"],
      ["texts", "other texts"],
    ] as const) {
      db.renameCollection(from, to);
      there.upsert(to, [5, 6]);
      expect(there.getVector("a")).toEqual(Float32Array.of(1, 2));
      expect(there.name).toBe(to);
      expect([...there.entries()]).toHaveLength(docs.size);
    }
    process.child.stdin?.end();
    const { stdout, stderr } = await process.ended;
    expect(stderr).toBe("");
    expect(stdout.trim().split("\n").at(-1)).toBe("other texts 4");
    expect(docs.size).toBe(4);
  });

  test("goes on as a cache", () => {
    const path = temporaryPath();
    using cache = new EmbedCache({ path, dimension: 2 });
    cache.set("a", [1, 2]);
    using db = new Database(path);
    db.renameCollection("default", "old cache");
    cache.set("b", [3, 4]);
    expect(cache.get("a")).toEqual(Float32Array.of(1, 2));
    expect(db.collection("old cache").size).toBe(2);
  });

  test("may be renamed to its own name, which changes nothing", () => {
    const { db } = newDatabase();
    const { transactionId } = db.stats();
    db.renameCollection("docs", "docs");
    expect(db.stats().transactionId).toBe(transactionId);
  });
});

describe("inside of a transaction", () => {
  test("collections may take each other's names", () => {
    const { db, docs } = newDatabase();
    const other = db.collection("other");
    db.transaction(() => {
      db.renameCollection("docs", "between");
      db.renameCollection("other", "docs");
      db.renameCollection("between", "other");
      expect(docs.name).toBe("other");
    });
    expect([docs.name, other.name]).toEqual(["other", "docs"]);
    expect(db.collection("docs").dimension).toBe(3);
    expect(db.collection("other").dimension).toBe(2);
  });

  test("a new one takes the place of an old one for everybody at once", () => {
    const { path, db } = newDatabase();
    const reader = closing(new Database(path, { readonly: true }));
    const before = reader.collection("docs");
    db.collection("docs next", { dimension: 2 }).upsert("b", [3, 4]);
    db.transaction(() => {
      db.dropCollection("docs");
      db.renameCollection("docs next", "docs");
      expect([...reader.collection("docs").keys()]).toEqual(["a"]);
    });
    expectCode(() => before.size, "ERR_CLOSED");
    expect([...reader.collection("docs").keys()]).toEqual(["b"]);
    expect(reader.collections().sort()).toEqual(["docs", "other"]);
  });

  test("it is rolled back with everything else", async () => {
    const { db, docs } = newDatabase();
    const fail = (): void => {
      db.renameCollection("docs", "texts");
      db.collection("made", { dimension: 2 });
      db.renameCollection("made", "made and renamed");
      docs.upsert("b", [1, 2]);
      expect(docs.name).toBe("texts");
      throw new Error("no");
    };
    expect(() => db.transaction(fail)).toThrow("no");
    const later = db.transactionAsync(async () => {
      await null;
      fail();
    });
    await expect(later).rejects.toThrow("no");
    expect(docs.name).toBe("docs");
    expect(db.collections()).toEqual(["docs", "other"]);
    expect([...docs.keys()]).toEqual(["a"]);
    expect(db.collection("docs").size).toBe(1);
    expectCode(() => db.collection("texts"), "ERR_INVALID_ARGUMENT");
    db.collection("texts", { dimension: 5 });
    expect(db.collection("texts").dimension).toBe(5);
  });

  test("one that was made there and taken back stays closed, whatever is made after", () => {
    const { db } = newDatabase();
    let made = db.collection("docs");
    expect(() =>
      db.transaction(() => {
        made = db.collection("made", { dimension: 2 });
        db.renameCollection("made", "renamed");
        made.upsert("a", [1, 2]);
        throw new Error("no");
      }),
    ).toThrow("no");
    for (const name of ["made", "renamed"]) {
      db.collection(name, { dimension: 2 });
      expectCode(() => made.size, "ERR_CLOSED");
    }
  });

  test("the others see the old name until it commits", async () => {
    const { path, db, docs } = newDatabase();
    const elsewhere = closing(new Database(path));
    const there = elsewhere.collection("docs");
    let renamed = false;
    let looked = false;
    const looking = (async () => {
      while (!looked) {
        await null;
        if (!renamed) continue;
        looked = true;
        expect([docs.name, there.name]).toEqual(["docs", "docs"]);
        expect(db.collections()).toEqual(["docs", "other"]);
        expectCode(() => db.renameCollection("docs", "mine"), "ERR_LOCKED");
      }
    })();
    await db.transactionAsync(async () => {
      db.renameCollection("docs", "texts");
      renamed = true;
      while (!looked) await new Promise((resolve) => setTimeout(resolve, 1));
      expect(docs.name).toBe("texts");
    });
    await looking;
    expect([docs.name, there.name]).toEqual(["texts", "texts"]);
  });
});

describe("is refused", () => {
  test("where there is none, where the name is taken, and where it is no name", async () => {
    const { db } = newDatabase();
    const refused = (from: unknown, to: unknown): string =>
      expectCode(() => db.renameCollection(from as never, to as never), "ERR_INVALID_ARGUMENT")
        .message;
    expect(refused("missing", "new")).toContain('"missing" does not exist');
    expect(refused("missing", "missing")).toContain("does not exist");
    expect(refused("docs", "other")).toMatch(/"docs" as "other".*another collection/);
    for (const name of ["", 5, null, undefined, {}, "a\0b", "\ud800"]) {
      refused("docs", name);
      refused(name, "new");
    }
    expect(refused("docs", "x".repeat(256))).toContain("255");
    db.transaction(() => {
      refused("docs", "other");
      refused("missing", "new");
      db.collection("other").upsert("y", [1, 2, 3]);
    });
    expect(db.collection("other").size).toBe(2);
    expect(db.collections()).toEqual(["docs", "other"]);
    await expectRejection(
      db.transactionAsync(() => db.renameCollection("missing", "new")),
      "ERR_INVALID_ARGUMENT",
    );
  });

  test("where nothing can be written", () => {
    const { path, db } = newDatabase();
    using reader = new Database(path, { readonly: true });
    expectCode(() => reader.renameCollection("docs", "texts"), "ERR_READONLY");
    db.close();
    expectCode(() => db.renameCollection("docs", "texts"), "ERR_CLOSED");
  });
});
