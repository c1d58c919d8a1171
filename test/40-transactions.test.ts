/**
 * Transactions and snapshots: all or nothing, and one state for as long as somebody looks at it.
 */

import { type Collection, Database } from "vectorlite";
import { describe, expect, test } from "vitest";
import { closing, expectCode, keysOf, temporaryPath } from "./helpers.ts";

function newDatabase(): { db: Database; a: Collection; b: Collection } {
  const db = closing(new Database(temporaryPath()));
  const a = db.collection("a", { dimension: 2 });
  const b = db.collection("b", { dimension: 3 });
  a.upsert("old", [1, 1]);
  return { db, a, b };
}

describe("a transaction", () => {
  test("returns what its callback returned, and keeps all it wrote", () => {
    const { db, a, b } = newDatabase();
    const result = db.transaction(() => {
      a.upsert("new", [2, 2]);
      a.delete("old");
      b.upsertMany([{ key: "x", vector: [1, 2, 3], metadata: { n: 1 } }]);
      return 42;
    });
    expect(result).toBe(42);
    expect([...a.keys()]).toEqual(["new"]);
    expect(b.get("x")?.metadata).toEqual({ n: 1 });
  });

  test("sees its own writes before it commits", () => {
    const { db, a } = newDatabase();
    db.transaction(() => {
      a.upsert("new", [2, 3]);
      expect(a.getVector("new")).toEqual(Float32Array.of(2, 3));
      expect(a.size).toBe(2);
      a.delete("old");
      expect(a.has("old")).toBe(false);
      expect(a.get("old")).toBeUndefined();
      expect(keysOf(a.search([1, 1]))).toEqual(["new"]);
      expect(a.getMany(["old", "new"]).found).toEqual(Uint8Array.of(0, 1));
    });
  });

  test("that throws leaves nothing behind, in any collection", () => {
    const { db, a, b } = newDatabase();
    expect(() =>
      db.transaction(() => {
        a.upsert("new", [2, 2]);
        a.upsert("old", [9, 9]);
        b.upsert("x", [1, 2, 3]);
        db.collection("c", { dimension: 4 }).upsert("y", [1, 2, 3, 4]);
        db.dropCollection("b");
        throw new Error("no");
      }),
    ).toThrow("no");
    expect([...a.keys()]).toEqual(["old"]);
    expect(a.getVector("old")).toEqual(Float32Array.of(1, 1));
    expect(db.collections().sort()).toEqual(["a", "b"]);
    expect(db.collection("b").size).toBe(0);
    a.upsert("after", [1, 2]);
    expect(a.size).toBe(2);
  });

  test("rolls back whatever is thrown, even undefined", () => {
    const { db, a } = newDatabase();
    expect.assertions(2);
    try {
      db.transaction(() => {
        a.upsert("new", [2, 2]);
        throw undefined;
      });
    } catch (error) {
      expect(error).toBeUndefined();
    }
    expect(a.has("new")).toBe(false);
  });

  test("inside another one joins it", () => {
    const { db, a, b } = newDatabase();
    expect(() =>
      db.transaction(() => {
        db.transaction(() => a.upsert("inner", [2, 2]));
        b.upsert("outer", [1, 2, 3]);
        throw new Error("no");
      }),
    ).toThrow("no");
    expect(a.has("inner")).toBe(false);
    db.transaction(() => {
      db.transaction(() => a.upsert("inner", [2, 2]));
      b.upsert("outer", [1, 2, 3]);
    });
    expect(a.has("inner") && b.has("outer")).toBe(true);
  });

  test("whose inner one failed rolls back, even where the error was caught", () => {
    const { db, a } = newDatabase();
    const error = expectCode(
      () =>
        db.transaction(() => {
          a.upsert("outer", [2, 2]);
          try {
            db.transaction(() => {
              a.upsert("inner", [3, 3]);
              throw new Error("inner trouble");
            });
          } catch {}
        }),
      "ERR_INVALID_ARGUMENT",
    );
    expect(error.message).toContain("inner trouble");
    expect(error.cause).toMatchObject({ message: "inner trouble" });
    expect([...a.keys()]).toEqual(["old"]);
    db.transaction(() => a.upsert("fine", [1, 2]));
    expect(a.size).toBe(2);
  });

  test("goes on after a write that failed and was caught", () => {
    const { db, a } = newDatabase();
    db.transaction(() => {
      a.upsert("one", [1, 2]);
      expectCode(() => a.upsert("two", [1, Number.NaN]), "ERR_INVALID_VECTOR");
      expectCode(() => a.upsertMany(["three", "four"], [[1, 2], [1]]), "ERR_DIMENSION");
      a.upsert("five", [5, 5]);
    });
    expect([...a.keys()].sort()).toEqual(["five", "old", "one"]);
  });

  test("with an async callback is refused, and what it did is rolled back", () => {
    const { db, a } = newDatabase();
    const error = expectCode(
      () =>
        // @ts-expect-error TypeScript refuses it too.
        db.transaction(async () => {
          a.upsert("new", [2, 2]);
        }),
      "ERR_INVALID_ARGUMENT",
    );
    expect(error.message).toMatch(/promise/);
    expectCode(
      () =>
        // @ts-expect-error
        db.transaction(() => {
          a.upsert("new", [2, 2]);
          return Promise.reject(new Error("later"));
        }),
      "ERR_INVALID_ARGUMENT",
    );
    expect(a.has("new")).toBe(false);
  });

  test("is refused a flush inside, and ends where the database is closed inside", () => {
    const { db, a } = newDatabase();
    db.transaction(() => {
      a.upsert("new", [2, 2]);
      expectCode(() => db.flush(), "ERR_INVALID_ARGUMENT");
    });
    expect(a.has("new")).toBe(true);
    const path = temporaryPath();
    const other = new Database(path);
    const docs = other.collection("docs", { dimension: 2 });
    expectCode(
      () =>
        other.transaction(() => {
          docs.upsert("a", [1, 2]);
          other.close();
        }),
      "ERR_CLOSED",
    );
    using again = new Database(path);
    expect(again.collection("docs").size).toBe(0);
  });

  test.each([
    ["that is the same in everything", "docs", { dimension: 2 }],
    ["of another dimension", "docs", { dimension: 3 }],
    ["of another metric", "docs", { dimension: 2, metric: "l2" }],
    ["of another model", "docs", { dimension: 2, model: "other" }],
    ["of another name", "others", { dimension: 2 }],
  ] as const)(
    "takes back a collection it made, also where one %s comes after",
    (_, name, options) => {
      const path = temporaryPath();
      const db = closing(new Database(path));
      let docs: Collection | undefined;
      expect(() =>
        db.transaction(() => {
          docs = db.collection("docs", { dimension: 2 });
          docs.upsert("a", [1, 2]);
          throw new Error("no");
        }),
      ).toThrow("no");
      const elsewhere = closing(new Database(path));
      elsewhere.collection(name, options).upsert("b", new Float32Array(options.dimension).fill(1));
      for (const action of [
        () => docs?.size,
        () => docs?.get("b"),
        () => docs?.getMany(["b"]),
        () => docs?.search([1, 2]),
        () => [...(docs?.entries() ?? [])],
        () => docs?.upsert("c", [1, 2]),
        () => docs?.delete("b"),
      ]) {
        expectCode(action, "ERR_CLOSED");
      }
      const now = db.collection(name);
      expect([...now.keys()]).toEqual(["b"]);
      expect(now.dimension).toBe(options.dimension);
    },
  );

  test("needs a function", () => {
    const { db } = newDatabase();
    expectCode(() => db.transaction(undefined as never), "ERR_INVALID_ARGUMENT");
    expectCode(() => db.transaction({} as never), "ERR_INVALID_ARGUMENT");
  });

  test("holds many writes and survives reopening", () => {
    const path = temporaryPath();
    {
      using db = new Database(path);
      const docs = db.collection("docs", { dimension: 16 });
      db.transaction(() => {
        for (let n = 0; n < 3000; n++) docs.upsert(`k${n}`, Array(16).fill(n + 1));
        for (let n = 0; n < 3000; n += 2) docs.delete(`k${n}`);
      });
    }
    using db = new Database(path);
    const docs = db.collection("docs");
    expect(docs.size).toBe(1500);
    expect(docs.getVector("k2999")?.[0]).toBe(3000);
    expect(docs.has("k2998")).toBe(false);
  });
});

describe("a snapshot", () => {
  test("keeps one state while the database moves on", () => {
    const { db, a } = newDatabase();
    a.upsert("stays", [3, 4], { n: 1 });
    using snapshot = db.snapshot();
    const before = snapshot.collection("a");
    a.delete("old");
    a.upsert("stays", [7, 7], { n: 2 });
    for (let n = 0; n < 500; n++) a.upsert(`later ${n}`, [n + 1, 1]);
    db.dropCollection("b");
    expect(before.size).toBe(2);
    expect([...before.keys()].sort()).toEqual(["old", "stays"]);
    expect(before.get("stays")).toMatchObject({
      vector: Float32Array.of(3, 4),
      metadata: { n: 1 },
    });
    expect(before.getVector("old")).toEqual(Float32Array.of(1, 1));
    expect(keysOf(before.search([1, 1], { k: 600 })).sort()).toEqual(["old", "stays"]);
    expect([...before.entries()]).toHaveLength(2);
    expect(snapshot.collections().sort()).toEqual(["a", "b"]);
    expect(snapshot.collection("b").size).toBe(0);
    expect(a.size).toBe(501);
    using later = db.snapshot();
    expect(later.collection("a").size).toBe(501);
    expect(later.collections()).toEqual(["a"]);
  });

  test("is read-only", () => {
    const { db } = newDatabase();
    using snapshot = db.snapshot();
    const a = snapshot.collection("a");
    expectCode(() => a.upsert("x", [1, 2]), "ERR_READONLY");
    expectCode(() => a.upsertMany(["x"], [[1, 2]]), "ERR_READONLY");
    expectCode(() => a.delete("old"), "ERR_READONLY");
    expectCode(() => a.deleteMany(["old"]), "ERR_READONLY");
  });

  test("does not know what came later", () => {
    const { db } = newDatabase();
    using snapshot = db.snapshot();
    db.collection("c", { dimension: 2 });
    const error = expectCode(() => snapshot.collection("c"), "ERR_INVALID_ARGUMENT");
    expect(error.message).toContain('"c"');
  });

  test("closed, closes its collections; closing twice is fine", () => {
    const { db } = newDatabase();
    const snapshot = db.snapshot();
    const a = snapshot.collection("a");
    snapshot.close();
    snapshot.close();
    expectCode(() => a.size, "ERR_CLOSED");
    expectCode(() => a.get("old"), "ERR_CLOSED");
    expectCode(() => snapshot.collection("a"), "ERR_CLOSED");
    expectCode(() => snapshot.collections(), "ERR_CLOSED");
    expect(db.stats().snapshots).toBe(0);
  });

  test("ends with its database", () => {
    const db = new Database(temporaryPath());
    db.collection("a", { dimension: 2 });
    const snapshot = db.snapshot();
    const a = snapshot.collection("a");
    db.close();
    expectCode(() => a.size, "ERR_CLOSED");
    expectCode(() => snapshot.collections(), "ERR_CLOSED");
    snapshot.close();
    expectCode(() => db.snapshot(), "ERR_CLOSED");
  });

  test("many at once, each with its state", () => {
    const { db, a } = newDatabase();
    const snapshots = Array.from({ length: 50 }, (_, n) => {
      a.upsert("counter", [n + 1, 1]);
      return closing(db.snapshot());
    });
    snapshots.forEach((snapshot, n) => {
      expect(snapshot.collection("a").getVector("counter")?.[0]).toBe(n + 1);
    });
  });

  test("of a database in memory works the same", () => {
    const db = closing(new Database(":memory:"));
    const docs = db.collection("docs", { dimension: 2 });
    docs.upsert("a", [1, 2]);
    using snapshot = db.snapshot();
    docs.delete("a");
    expect(snapshot.collection("docs").getVector("a")).toEqual(Float32Array.of(1, 2));
  });

  test("of a database in memory keeps its pages however much is written later", () => {
    const db = closing(new Database(":memory:"));
    const docs = db.collection("docs", { dimension: 2 });
    for (let n = 0; n < 1000; n++) docs.upsert(`${n}`, [n, 1]);
    using snapshot = db.snapshot();
    for (let n = 0; n < 1000; n++) docs.upsert(`${n}`, [n, 2]);
    const before = snapshot.collection("docs");
    for (let n = 0; n < 1000; n++) expect(before.getVector(`${n}`)?.[1]).toBe(1);
    expect(before.size).toBe(1000);
  });
});
