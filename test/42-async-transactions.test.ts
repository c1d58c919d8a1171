/**
 * Transactions that last over awaits: who is inside, what everybody else sees and may do meanwhile,
 * and that nothing stays of one that did not end well.
 */

import { type Collection, Database, type DatabaseOptions } from "vectorlite";
import { describe, expect, onTestFinished, test } from "vitest";
import {
  closing,
  expectCode,
  expectRejection,
  keysOf,
  seededRandom,
  temporaryPath,
} from "./helpers.ts";
import { runtimes, startProgram } from "./processes.ts";

interface Opened {
  path: string;
  db: Database;
  a: Collection;
  b: Collection;
}

function newDatabase(options?: DatabaseOptions): Opened {
  const path = temporaryPath();
  const db = closing(new Database(path, options));
  const a = db.collection("a", { dimension: 2 });
  const b = db.collection("b", { dimension: 3 });
  a.upsert("old", [1, 1]);
  return { path, db, a, b };
}

const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));

/** A promise and what settles it. */
function gate(): { opened: Promise<void>; open: () => void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

/** Begins a transaction that writes, and stays open until it is told to go on. */
async function heldOpen(db: Database, write: () => void) {
  const [begun, more] = [gate(), gate()];
  const ended = db.transactionAsync(async () => {
    write();
    begun.open();
    await more.opened;
  });
  ended.catch(() => undefined);
  await Promise.race([begun.opened, ended]);
  return {
    ended,
    end: async (): Promise<void> => {
      more.open();
      await ended;
    },
  };
}

describe("an asynchronous transaction", () => {
  test("returns what its callback resolved to, and keeps all it wrote over awaits", async () => {
    const { db, a, b, path } = newDatabase();
    const result = await db.transactionAsync(async () => {
      a.upsert("new", [2, 2]);
      await turn();
      a.delete("old");
      await Promise.all([turn(), turn().then(() => b.upsert("x", [1, 2, 3], { n: 1 }))]);
      return 42;
    });
    expect(result).toBe(42);
    expect([...a.keys()]).toEqual(["new"]);
    db.close();
    using again = new Database(path);
    expect(again.collection("b").get("x")?.metadata).toEqual({ n: 1 });
    expect([...again.collection("a").keys()]).toEqual(["new"]);
  });

  test("sees its own writes before it commits", async () => {
    const { db, a } = newDatabase();
    await db.transactionAsync(async () => {
      a.upsert("new", [2, 3]);
      await turn();
      a.delete("old");
      await turn();
      expect(a.getVector("new")).toEqual(Float32Array.of(2, 3));
      expect(a.size).toBe(1);
      expect(a.get("old")).toBeUndefined();
      expect(keysOf(a.search([1, 1]))).toEqual(["new"]);
      expect([...a.keys()]).toEqual(["new"]);
      const seen: string[] = [];
      for (const { key } of a.entries()) {
        await turn();
        seen.push(key);
      }
      expect(seen).toEqual(["new"]);
      await expectRejection(a.searchAsync([1, 1]), "ERR_INVALID_ARGUMENT");
      expectCode(() => db.flush(), "ERR_INVALID_ARGUMENT");
      await expectRejection(db.compact(), "ERR_INVALID_ARGUMENT");
    });
  });

  test.each([
    ["throws at once", () => undefined],
    ["rejects later", turn],
  ])("that %s leaves nothing behind, in any collection", async (_, wait) => {
    const { db, a, b, path } = newDatabase();
    const ended = db.transactionAsync(() => {
      a.upsert("new", [2, 2]);
      a.upsert("old", [9, 9]);
      b.upsert("x", [1, 2, 3]);
      db.collection("c", { dimension: 4 }).upsert("y", [1, 2, 3, 4]);
      db.dropCollection("b");
      const waited = wait();
      if (waited === undefined) throw new Error("no");
      return waited.then(() => {
        throw new Error("no");
      });
    });
    await expect(ended).rejects.toThrow("no");
    for (const handle of [db, closing(new Database(path))]) {
      expect([...handle.collection("a").keys()]).toEqual(["old"]);
      expect(handle.collection("a").getVector("old")).toEqual(Float32Array.of(1, 1));
      expect(handle.collections().sort()).toEqual(["a", "b"]);
      expect(handle.collection("b").size).toBe(0);
    }
    a.upsert("after", [1, 2]);
    expect(a.size).toBe(2);
  });

  test("rejects with whatever was thrown, even undefined", async () => {
    const { db, a } = newDatabase();
    const ended = db.transactionAsync(async () => {
      a.upsert("new", [2, 2]);
      await Promise.reject(undefined);
    });
    const error = await ended.catch((reason: unknown) => ({ reason }));
    expect(error).toEqual({ reason: undefined });
    expect(a.has("new")).toBe(false);
  });

  test("whose callback never awaits commits before any other code runs", async () => {
    const { db, a } = newDatabase();
    let writes = 0;
    const write = (): void => {
      a.upsert(`beside ${writes++}`, [1, 2]);
      if (writes < 100) queueMicrotask(write);
    };
    queueMicrotask(write);
    for (let n = 0; n < 20; n++) {
      expect(await db.transactionAsync(() => a.upsert(`own ${n}`, [1, 2]))).toBeUndefined();
    }
    while (writes < 100) await turn();
    expect(a.size).toBe(121);
    expect(await db.transactionAsync(() => 5)).toBe(5);
    await expect(
      db.transactionAsync(() => {
        a.upsert("not", [1, 2]);
        throw new Error("no");
      }),
    ).rejects.toThrow("no");
    expect(a.has("not")).toBe(false);
  });

  test("begins after the call has returned", async () => {
    const { db, a } = newDatabase();
    let begun = false;
    const ended = db.transactionAsync(() => {
      begun = true;
    });
    a.upsert("before", [1, 2]);
    expect(begun).toBe(false);
    await ended;
    expect(begun).toBe(true);
  });

  test("goes on after a write that failed and was caught", async () => {
    const { db, a } = newDatabase();
    await db.transactionAsync(async () => {
      a.upsert("one", [1, 2]);
      await turn();
      expectCode(() => a.upsert("two", [1, Number.NaN]), "ERR_INVALID_VECTOR");
      await turn();
      a.upsert("five", [5, 5]);
    });
    expect([...a.keys()].sort()).toEqual(["five", "old", "one"]);
  });

  test("takes more than memory should, and is seen as a whole", async () => {
    const { db, path } = newDatabase({ durability: "none" });
    const docs = db.collection("many", { dimension: 16 });
    const reader = closing(new Database(path));
    const ended = db.transactionAsync(async () => {
      for (let first = 0; first < 20_000; first += 1000) {
        const keys = Array.from({ length: 1000 }, (_, n) => `${first + n}`);
        docs.upsertMany(keys, new Float32Array(16_000).fill(first + 1));
        await turn();
      }
    });
    const sizes = new Set<number>();
    let isOver = false;
    ended.finally(() => {
      isOver = true;
    });
    while (!isOver) {
      sizes.add(docs.size).add(reader.collection("many").size);
      await turn();
    }
    await ended;
    expect([...sizes].filter((size) => size !== 0 && size !== 20_000)).toEqual([]);
    expect(docs.size).toBe(20_000);
  });

  test("is refused where nothing can be written, and without a function", async () => {
    const { db, path } = newDatabase();
    await expectRejection(db.transactionAsync(undefined as never), "ERR_INVALID_ARGUMENT");
    await expectRejection(db.transactionAsync({} as never), "ERR_INVALID_ARGUMENT");
    const reader = closing(new Database(path, { readonly: true }));
    await expectRejection(
      reader.transactionAsync(() => 1),
      "ERR_READONLY",
    );
    db.close();
    await expectRejection(
      db.transactionAsync(() => 1),
      "ERR_CLOSED",
    );
  });

  test("is what the error of an async callback of transaction() points to", () => {
    const { db } = newDatabase();
    // @ts-expect-error
    const error = expectCode(() => db.transaction(async () => 1), "ERR_INVALID_ARGUMENT");
    expect(error.message).toContain("transactionAsync()");
  });

  test("of a database in memory works the same", async () => {
    const db = closing(new Database(":memory:"));
    const docs = db.collection("docs", { dimension: 2 });
    docs.upsert("a", [1, 2]);
    const { end } = await heldOpen(db, () => docs.upsert("b", [3, 4]));
    expect(docs.size).toBe(1);
    expectCode(() => docs.upsert("c", [1, 2]), "ERR_LOCKED");
    await end();
    expect(docs.size).toBe(2);
  });
});

describe("inside of one", () => {
  test("transactions of both kinds join", async () => {
    const { db, a, b } = newDatabase();
    const ended = db.transactionAsync(async () => {
      db.transaction(() => a.upsert("inner", [2, 2]));
      await turn();
      await db.transactionAsync(async () => {
        await turn();
        b.upsert("deeper", [1, 2, 3]);
      });
      expect(a.has("inner") && b.has("deeper")).toBe(true);
      throw new Error("no");
    });
    await expect(ended).rejects.toThrow("no");
    expect(a.has("inner") || b.has("deeper")).toBe(false);
    await db.transactionAsync(async () => {
      db.transaction(() => a.upsert("inner", [2, 2]));
      await db.transactionAsync(() => turn().then(() => b.upsert("deeper", [1, 2, 3])));
    });
    expect(a.has("inner") && b.has("deeper")).toBe(true);
  });

  test.each([
    ["transaction()", (db: Database, fail: () => never) => db.transaction(fail)],
    ["transactionAsync()", (db: Database, fail: () => never) => db.transactionAsync(fail)],
  ])("a %s that failed rolls all back, even where it was caught", async (_, inner) => {
    const { db, a } = newDatabase();
    const error = await expectRejection(
      db.transactionAsync(async () => {
        a.upsert("outer", [2, 2]);
        try {
          await inner(db, () => {
            a.upsert("inner", [3, 3]);
            throw new Error("inner trouble");
          });
        } catch {}
        await turn();
      }),
      "ERR_INVALID_ARGUMENT",
    );
    expect(error.cause).toMatchObject({ message: "inner trouble" });
    expect([...a.keys()]).toEqual(["old"]);
    await db.transactionAsync(() => a.upsert("fine", [1, 2]));
    expect(a.size).toBe(2);
  });

  test("transactions beside each other all join, and are waited for", async () => {
    const { db, a } = newDatabase();
    await db.transactionAsync(() => {
      for (let n = 0; n < 5; n++) {
        void db.transactionAsync(async () => {
          for (let step = 0; step <= n; step++) await turn();
          a.upsert(`late ${n}`, [n, 1]);
        });
      }
    });
    expect(a.size).toBe(6);
    const failing = db.transactionAsync(async () => {
      void db.transactionAsync(async () => {
        await turn();
        await turn();
        a.upsert("too late", [1, 2]);
      });
      await turn();
      throw new Error("no");
    });
    await expect(failing).rejects.toThrow("no");
    await turn();
    expect(a.size).toBe(6);
  });

  test("a synchronous transaction none may be begun, which would outlast it", async () => {
    const { db, a } = newDatabase();
    let refused: Promise<unknown> = Promise.resolve();
    db.transaction(() => {
      a.upsert("new", [1, 2]);
      refused = expectRejection(
        db.transactionAsync(() => 1),
        "ERR_INVALID_ARGUMENT",
      );
    });
    await refused;
    expect(a.has("new")).toBe(true);
  });

  test("transactions of other databases are inside of both", async () => {
    const [first, second] = [newDatabase(), newDatabase()];
    await first.db.transactionAsync(async () => {
      first.a.upsert("x", [1, 2]);
      await second.db.transactionAsync(async () => {
        await turn();
        second.a.upsert("y", [1, 2]);
        first.a.upsert("z", [1, 2]);
        expect(first.a.size).toBe(3);
      });
      expect(second.a.size).toBe(2);
    });
    expect([...first.a.keys()].sort()).toEqual(["old", "x", "z"]);
  });
});

describe("beside one", () => {
  test("all that reads sees what is committed", async () => {
    const { db, a, b } = newDatabase();
    expect(a.getVector("old")).toEqual(Float32Array.of(1, 1));
    const before = db.stats();
    const { end } = await heldOpen(db, () => {
      a.upsert("old", [5, 5]);
      a.upsert("new", [2, 2]);
      db.dropCollection("b");
      db.collection("c", { dimension: 2 });
    });
    for (let round = 0; round < 3; round++) {
      expect(a.getVector("old")).toEqual(Float32Array.of(1, 1));
      expect(a.get("old")?.vector).toEqual(Float32Array.of(1, 1));
      expect(a.has("new")).toBe(false);
      expect(a.getMany(["old", "new"]).found).toEqual(Uint8Array.of(1, 0));
      expect(a.size).toBe(1);
      expect(b.size).toBe(0);
      expect([...a.keys()]).toEqual(["old"]);
      expect([...a.entries()]).toHaveLength(1);
      expect(keysOf(a.search([1, 1]))).toEqual(["old"]);
      expect(keysOf(await a.searchAsync([1, 1]))).toEqual(["old"]);
      expect(a.stats().records).toBe(1);
      expect(db.collections()).toEqual(["a", "b"]);
      expect(db.collection("b").size).toBe(0);
      expectCode(() => db.collection("c"), "ERR_INVALID_ARGUMENT");
      expect(db.stats()).toMatchObject({
        collections: 2,
        transactionId: before.transactionId,
      });
      using snapshot = db.snapshot();
      expect(snapshot.collection("a").size).toBe(1);
      const copy = temporaryPath();
      await db.backup(copy);
      using copied = new Database(copy);
      expect(copied.collection("a").size).toBe(1);
    }
    await end();
    expect(a.getVector("old")).toEqual(Float32Array.of(5, 5));
    expect(a.size).toBe(2);
    expectCode(() => b.size, "ERR_CLOSED");
    expect(db.collections()).toEqual(["a", "c"]);
  });

  test("a synchronous write is refused, and no part of it", async () => {
    const { db, a } = newDatabase();
    const { end } = await heldOpen(db, () => a.upsert("inside", [2, 2]));
    const refused: (() => unknown)[] = [
      () => a.upsert("outside", [1, 2]),
      () => a.upsertMany([{ key: "outside", vector: [1, 2] }]),
      () => a.upsertMany(["outside"], [[1, 2]]),
      () => a.delete("old"),
      () => a.deleteMany(["old"]),
      () => db.dropCollection("a"),
      () => db.collection("c", { dimension: 2 }),
      () => db.transaction(() => a.upsert("outside", [1, 2])),
    ];
    for (const write of refused) {
      expect(expectCode(write, "ERR_LOCKED").message).toContain("transactionAsync()");
      await turn();
    }
    await end();
    expect([...a.keys()].sort()).toEqual(["inside", "old"]);
    expect(db.collections()).toEqual(["a", "b"]);
    a.upsert("outside", [1, 2]);
    expect(a.size).toBe(3);
  });

  test("others wait for their turn, in order", async () => {
    const { db, a } = newDatabase();
    const order: string[] = [];
    const { end } = await heldOpen(db, () => a.upsert("first", [1, 2]));
    const others = ["second", "third", "fourth"].map((key) =>
      db.transactionAsync(async () => {
        order.push(key);
        expect(a.size).toBe(order.length + 1);
        await turn();
        a.upsert(key, [1, 2]);
        await turn();
      }),
    );
    const failing = db.transactionAsync(async () => {
      order.push("failing");
      await turn();
      throw new Error("no");
    });
    const compacting = db.compact().then(() => order.push("compact"));
    const last = db.transactionAsync(() => order.push("last"));
    await turn();
    expect(order).toEqual([]);
    await end();
    await Promise.all([...others, expect(failing).rejects.toThrow("no"), last]);
    await compacting;
    expect(order.slice(0, 4)).toEqual(["second", "third", "fourth", "failing"]);
    expect(order.slice(4).sort()).toEqual(["compact", "last"]);
    expect(a.size).toBe(5);
  });

  test("flush makes what was before it durable, and nothing of it", async () => {
    const { db, a } = newDatabase({ durability: "none" });
    a.upsert("before", [1, 2]);
    const { end } = await heldOpen(db, () => a.upsert("inside", [2, 2]));
    expect(db.stats().durableTransactionId).toBeLessThan(db.stats().transactionId);
    db.flush();
    const { transactionId, durableTransactionId } = db.stats();
    expect(durableTransactionId).toBe(transactionId);
    expect(a.size).toBe(2);
    await end();
    expect(db.stats().durableTransactionId).toBe(durableTransactionId);
    expect(a.size).toBe(3);
    db.flush();
  });

  test("normal durability keeps its promise for what was before it", async () => {
    const { db, a, path } = newDatabase({ durability: "normal" });
    const { end } = await heldOpen(db, () => a.upsert("inside", [2, 2]));
    const before = db.stats().transactionId;
    const deadline = performance.now() + 5000;
    while (db.stats().durableTransactionId < before && performance.now() < deadline) await turn();
    expect(db.stats()).toMatchObject({ transactionId: before, durableTransactionId: before });
    using other = new Database(path, { readonly: true });
    expect(other.collection("a").size).toBe(1);
    await end();
    expect(other.collection("a").size).toBe(2);
  });

  test("work that was not awaited is outside when it is over", async () => {
    const { db, a } = newDatabase();
    const later = gate();
    let straying: Promise<void> = Promise.resolve();
    await db.transactionAsync(() => {
      straying = later.opened.then(() => a.upsert("straying", [1, 2]));
      a.upsert("inside", [1, 2]);
    });
    later.open();
    await straying;
    expect(a.has("straying")).toBe(true);
    const again = gate();
    await db.transactionAsync(() => {
      straying = again.opened.then(() => a.upsert("refused", [1, 2]));
    });
    const { end } = await heldOpen(db, () => a.upsert("other", [1, 2]));
    again.open();
    await expectRejection(straying, "ERR_LOCKED");
    await end();
    expect(a.has("refused")).toBe(false);
  });

  test("another handle sees nothing of it, and its asynchronous transactions wait", async () => {
    const { path, db, a } = newDatabase();
    const other = closing(new Database(path, { busyTimeout: 20_000 }));
    const there = other.collection("a");
    const { end } = await heldOpen(db, () => a.upsert("inside", [2, 2]));
    expect(there.size).toBe(1);
    const waiting = other.transactionAsync(() => there.upsert("there", [1, 2]));
    for (let n = 0; n < 30; n++) await turn();
    await end();
    await waiting;
    expect(a.size).toBe(3);
  });

  test("another handle waits up to busyTimeout while its event loop goes on", async () => {
    const { path, db, a } = newDatabase();
    const other = closing(new Database(path, { busyTimeout: 100 }));
    const { end } = await heldOpen(db, () => a.upsert("inside", [2, 2]));
    let turns = 0;
    const watch = setInterval(() => turns++, 1);
    onTestFinished(() => clearInterval(watch));
    const started = performance.now();
    const error = await expectRejection(
      other.transactionAsync(() => 1),
      "ERR_LOCKED",
    );
    expect(performance.now() - started).toBeGreaterThan(80);
    expect(turns).toBeGreaterThan(5);
    expect(error.message).toContain("busyTimeout");
    await end();
  });
});

describe("closing", () => {
  test("inside of one rolls it back and rejects", async () => {
    const { path, db, a } = newDatabase();
    await expectRejection(
      db.transactionAsync(async () => {
        a.upsert("new", [2, 2]);
        await turn();
        db.close();
        expectCode(() => a.size, "ERR_CLOSED");
      }),
      "ERR_CLOSED",
    );
    using again = new Database(path, { busyTimeout: 0 });
    again.collection("a").upsert("after", [1, 2]);
    expect([...again.collection("a").keys()].sort()).toEqual(["after", "old"]);
  });

  test("beside one does so at once, and to those that wait", async () => {
    const { path, db, a } = newDatabase();
    const { ended } = await heldOpen(db, () => a.upsert("new", [2, 2]));
    const waiting = db.transactionAsync(() => a.upsert("waiting", [2, 2]));
    db.close();
    await expectRejection(ended, "ERR_CLOSED");
    await expectRejection(waiting, "ERR_CLOSED");
    using again = new Database(path, { busyTimeout: 0 });
    expect([...again.collection("a").keys()]).toEqual(["old"]);
  });

  test("while a joined one is waited for rejects too", async () => {
    const { db, a } = newDatabase();
    const ended = db.transactionAsync(() => {
      void db.transactionAsync(() => new Promise(() => undefined));
      a.upsert("new", [2, 2]);
    });
    await turn();
    db.close();
    await expectRejection(ended, "ERR_CLOSED");
  });
});

/** What a database may hold after random work, inside and beside, by a plain map. */
test("random work inside and beside agrees with a map", async () => {
  const { path, db } = newDatabase({ durability: "none" });
  const docs = db.collection("docs", { dimension: 4 });
  const other = closing(new Database(path, { durability: "none" }));
  const random = seededRandom(7);
  const below = (end: number): number => Math.floor(random() * end);
  let committed = new Map<string, number>();
  let value = 1;
  let looks = 0;
  const write = (target: Collection, map: Map<string, number>): void => {
    const key = `key ${below(60)}`;
    if (below(4) === 0) {
      expect(target.delete(key)).toBe(map.delete(key));
    } else {
      target.upsert(key, new Float32Array(4).fill(value));
      map.set(key, value++);
    }
  };
  const look = (target: Collection, map: Map<string, number>): void => {
    const key = `key ${below(60)}`;
    expect(target.getVector(key)?.[0]).toBe(map.get(key));
    expect(target.size).toBe(map.size);
    if (below(10) > 0) return;
    const found = [...target.entries()].map(({ key, vector }) => [key, vector[0]]);
    expect(found.sort()).toEqual([...map].sort());
  };
  for (let round = 0; round < 150; round++) {
    const inner = new Map(committed);
    const isKept = below(3) > 0;
    const steps = below(8);
    let isRunning = false;
    const ended = db.transactionAsync(async () => {
      isRunning = true;
      for (let step = 0; step < steps; step++) {
        for (let n = below(20); n > 0; n--) write(docs, inner);
        look(docs, inner);
        await null;
        look(docs, inner);
      }
      isRunning = false;
      if (!isKept) throw new Error("not kept");
    });
    const outcome = ended.then(
      () => true,
      () => false,
    );
    let isOver = false;
    outcome.then(() => {
      isOver = true;
    });
    while (!isOver) {
      await null;
      if (isRunning) {
        looks++;
        look(docs, committed);
      }
    }
    expect(await outcome).toBe(isKept);
    if (isKept) committed = inner;
    look(docs, committed);
    for (let n = below(30); n > 0; n--) write(other.collection("docs"), committed);
    look(docs, committed);
  }
  expect(looks).toBeGreaterThan(300);
});

describe("a process that is killed inside of one", () => {
  test.each(["full", "normal", "none"] as const)("leaves no trace of it (%s)", async (mode) => {
    for (const runtime of runtimes()) {
      const { path, a, b } = newDatabase();
      const holder = startProgram("async-holder.mjs", [path, mode], runtime);
      expect(await holder.lines(3)).toEqual(["committed", "waiting", "waiting"]);
      expect(a.size).toBe(2);
      holder.child.kill("SIGKILL");
      await holder.ended;
      expect([...a.keys()].sort()).toEqual(["before", "old"]);
      a.upsert("after", [1, 2]);
      expect(b.size).toBe(0);
      using db = new Database(path);
      expect(db.collections()).toEqual(["a", "b"]);
      expect((await db.verify()).ok).toBe(true);
    }
  });
});
