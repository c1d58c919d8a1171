/**
 * Streams of records in and out: whole batches, one state, no more in memory than a batch, and no
 * faster than whoever reads or writes.
 */

import { join } from "node:path";
import { Readable } from "node:stream";
import { type Collection, Database, ImportError, type NewRecord } from "vectorlite";
import { describe, expect, test } from "vitest";
import { closing, expectCode, expectRejection, root, run, temporaryPath } from "./helpers.ts";

interface Doc {
  n: number;
}

function newCollection(path = ":memory:"): { db: Database; docs: Collection<Doc> } {
  const db = closing(new Database(path, { durability: "none" }));
  return { db, docs: db.collection<Doc>("docs", { dimension: 4 }) };
}

function recordOf(n: number): NewRecord<Doc> {
  return { key: `key ${n}`, vector: new Float32Array(4).fill(n + 1), metadata: { n } };
}

function* generate(count: number): Generator<NewRecord<Doc>> {
  for (let n = 0; n < count; n++) yield recordOf(n);
}

async function* generateAsync(count: number): AsyncGenerator<NewRecord<Doc>> {
  for (let n = 0; n < count; n++) {
    if (n % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 0));
    yield recordOf(n);
  }
}

async function failureOf(promise: Promise<unknown>): Promise<ImportError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ImportError);
  return error as ImportError;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("import", () => {
  test.each([
    ["an array", (count: number) => [...generate(count)]],
    ["a generator", generate],
    ["an async generator", generateAsync],
    ["a stream", (count: number) => Readable.from(generate(count))],
  ])("writes what %s gives", async (_, make) => {
    const { docs } = newCollection();
    for (const [count, batchSize] of [
      [0, 10],
      [1, 10],
      [30, 10],
      [37, 10],
      [2500, undefined],
    ] as const) {
      const seen: number[] = [];
      const result = await docs.import(make(count), {
        batchSize,
        onProgress: ({ records }) => seen.push(records),
      });
      expect(result).toEqual({ records: count });
      expect(seen.at(-1) ?? 0).toBe(count);
      expect(seen).toHaveLength(Math.ceil(count / (batchSize ?? 1000)));
      expect(docs.size).toBe(count);
    }
    expect(docs.get("key 2499")).toEqual({
      key: "key 2499",
      vector: new Float32Array(4).fill(2500),
      metadata: { n: 2499 },
    });
  });

  test("copies what is pulled: one vector and one object may serve for all records", async () => {
    const { docs } = newCollection();
    const vector = new Float32Array(4);
    const metadata = { n: 0 };
    function* source(): Generator<NewRecord<Doc>> {
      for (let n = 0; n < 100; n++) {
        metadata.n = n;
        yield { key: `${n}`, vector: vector.fill(n + 1), metadata };
      }
    }
    await docs.import(source(), { batchSize: 30 });
    for (let n = 0; n < 100; n++) {
      expect(docs.get(`${n}`)).toMatchObject({ vector: vector.fill(n + 1), metadata: { n } });
    }
  });

  test("replaces, and of several records with one key the last wins", async () => {
    const { docs } = newCollection();
    await docs.import(generate(10));
    await docs.import([recordOf(3), { ...recordOf(3), vector: [9, 9, 9, 9] }]);
    expect(docs.size).toBe(10);
    expect(docs.getVector("key 3")).toEqual(Float32Array.of(9, 9, 9, 9));
  });

  test("pulls one batch at most before it is written, however slow the progress is", async () => {
    const { docs } = newCollection();
    let pulled = 0;
    let furthest = 0;
    function* source(): Generator<NewRecord<Doc>> {
      for (const record of generate(500)) {
        pulled++;
        furthest = Math.max(furthest, pulled - docs.size);
        yield record;
      }
    }
    await docs.import(source(), {
      batchSize: 50,
      onProgress: async ({ records }) => {
        expect(records).toBe(pulled);
        expect(docs.size).toBe(records);
        await turn();
        expect(pulled).toBe(records);
      },
    });
    expect(furthest).toBe(50);
  });

  test.each([
    { what: "metadata", dimension: 4, textBytes: 1 << 20, each: 4 },
    { what: "metadata, larger than a batch,", dimension: 4, textBytes: 5 << 20, each: 1 },
    { what: "vectors", dimension: 65_536, textBytes: 0, each: 16 },
    { what: "both", dimension: 65_536, textBytes: 1 << 18, each: 8 },
  ])("pulls no more than 4 MiB at once: $what", async ({ dimension, textBytes, each }) => {
    const db = closing(new Database(":memory:"));
    const docs = db.collection<{ text: string }>("docs", { dimension });
    const count = 2 * each + 1;
    const metadata = { text: "x".repeat(textBytes) };
    let furthest = 0;
    function* source(): Generator<NewRecord<{ text: string }>> {
      for (let n = 0; n < count; n++) {
        furthest = Math.max(furthest, n + 1 - docs.size);
        yield { key: `${n}`, vector: new Float32Array(dimension).fill(n + 1), metadata };
      }
    }
    // Whatever the number of records that is asked for.
    expect(await docs.import(source(), { batchSize: 1000 })).toEqual({ records: count });
    expect(furthest).toBe(each);
    expect(docs.size).toBe(count);
    expect(docs.get("1")).toMatchObject({ vector: new Float32Array(dimension).fill(2), metadata });
  });

  test("lets others in between batches, and shows whole batches only", async () => {
    const path = temporaryPath();
    const { docs, db } = newCollection(path);
    const reader = closing(new Database(path));
    const other = db.collection("other", { dimension: 2 });
    let turns = 0;
    let isOver = false;
    const beside = (async () => {
      while (!isOver) {
        expect(docs.size % 100).toBe(0);
        expect(reader.collection("docs").size % 100).toBe(0);
        other.upsert(`${turns++}`, [1, 2]);
        await turn();
      }
    })();
    await docs.import(generateAsync(2000), { batchSize: 100 });
    isOver = true;
    await beside;
    expect(turns).toBeGreaterThan(10);
    expect(other.size).toBe(turns);
  });

  test("that fails keeps whole batches, and says how many records they have", async () => {
    const { docs } = newCollection();
    const cause = new Error("no more");
    let isClosed = false;
    function* source(): Generator<NewRecord<Doc>> {
      try {
        yield* generate(35);
        throw cause;
      } finally {
        isClosed = true;
      }
    }
    const thrown = await failureOf(docs.import(source(), { batchSize: 10 }));
    expect(thrown).toMatchObject({ code: "ERR_SOURCE", records: 30, cause });
    expect(thrown.message).toMatch(/30 records.*no more/);
    expect(docs.size).toBe(30);
    async function* rejecting(): AsyncGenerator<NewRecord<Doc>> {
      yield* generate(12);
      await Promise.reject(cause);
    }
    const rejected = await failureOf(docs.import(rejecting(), { batchSize: 5 }));
    expect(rejected).toMatchObject({ code: "ERR_SOURCE", records: 10, cause });
    expect(isClosed).toBe(true);
  });

  test.each([
    [{ key: "x", vector: [1, 2] }, "ERR_DIMENSION"],
    [{ key: "x", vector: [1, 2, 3, Number.NaN] }, "ERR_INVALID_VECTOR"],
    [{ key: "", vector: [1, 2, 3, 4] }, "ERR_KEY"],
    [{ key: "x", vector: [1, 2, 3, 4], meta: {} }, "ERR_INVALID_ARGUMENT"],
    [{ vector: [1, 2, 3, 4] }, "ERR_INVALID_ARGUMENT"],
    ["text", "ERR_INVALID_ARGUMENT"],
    [undefined, "ERR_INVALID_ARGUMENT"],
  ])("stops at a record that is none: %j", async (record, code) => {
    const { docs } = newCollection();
    let isClosed = false;
    function* source(): Generator<never> {
      try {
        yield* generate(25) as Generator<never>;
        yield record as never;
        yield* generate(100) as Generator<never>;
      } finally {
        isClosed = true;
      }
    }
    expect(await failureOf(docs.import(source(), { batchSize: 10 }))).toMatchObject({
      code,
      records: 20,
    });
    expect(isClosed).toBe(true);
    expect(docs.size).toBe(20);
  });

  test("stops where the signal is aborted, onProgress throws, or the database closes", async () => {
    const { docs, db } = newCollection(temporaryPath());
    const aborted = AbortSignal.abort(new Error("before"));
    await expect(docs.import(generate(10), { signal: aborted })).rejects.toThrow("before");
    expect(docs.size).toBe(0);
    const controller = new AbortController();
    const stopped = docs.import(generate(100), {
      batchSize: 10,
      signal: controller.signal,
      onProgress: ({ records }) => {
        if (records === 30) controller.abort();
      },
    });
    await expect(stopped).rejects.toMatchObject({ name: "AbortError" });
    expect(docs.size).toBe(30);
    const thrown = docs.import(generate(100), {
      batchSize: 10,
      onProgress: async ({ records }) => {
        await turn();
        if (records === 40) throw new Error("enough");
      },
    });
    await expect(thrown).rejects.toThrow("enough");
    expect(docs.size).toBe(40);
    const closed = docs.import(generate(100), {
      batchSize: 10,
      onProgress: ({ records }) => {
        if (records === 50) db.close();
      },
    });
    expect(await failureOf(closed)).toMatchObject({ code: "ERR_CLOSED", records: 50 });
  });

  test("is a part of an asynchronous transaction, and waits beside one", async () => {
    const { docs, db } = newCollection();
    const rolledBack = db.transactionAsync(async () => {
      await docs.import(generate(25), { batchSize: 10 });
      expect(docs.size).toBe(25);
      throw new Error("no");
    });
    const beside = docs.import(generate(5));
    await expect(rolledBack).rejects.toThrow("no");
    expect(await beside).toEqual({ records: 5 });
    expect(docs.size).toBe(5);
    let refused: Promise<unknown> = Promise.resolve();
    db.transaction(() => {
      refused = expectRejection(docs.import(generate(5)), "ERR_INVALID_ARGUMENT");
    });
    await refused;
  });

  test("is refused where nothing can be written, and with wrong arguments", async () => {
    const { docs, db } = newCollection();
    using snapshot = db.snapshot();
    let pulled = 0;
    function* source(): Generator<NewRecord> {
      pulled++;
      yield { key: "x", vector: [1, 2, 3, 4] };
    }
    const past = snapshot.collection("docs");
    await expectRejection(past.import(source()), "ERR_READONLY");
    for (const wrong of [undefined, null, 5, "text", {}]) {
      await expectRejection(docs.import(wrong as never), "ERR_INVALID_ARGUMENT");
    }
    for (const options of [{ batchSize: 0 }, { onProgress: 5 }, { signal: {} }, { size: 5 }]) {
      await expectRejection(
        docs.import(source() as never, options as never),
        "ERR_INVALID_ARGUMENT",
      );
    }
    db.dropCollection("docs");
    await expectRejection(docs.import(source() as never), "ERR_CLOSED");
    db.close();
    await expectRejection(docs.import(source() as never), "ERR_CLOSED");
    expect(pulled).toBe(0);
  });
});

describe("export", () => {
  test("gives every record once, as it is stored", async () => {
    const { docs } = newCollection();
    docs.upsertMany([...generate(1234)]);
    const seen: number[] = [];
    const found = new Map<string, unknown>();
    for await (const record of docs.export({
      batchSize: 500,
      onProgress: ({ records }) => seen.push(records),
    })) {
      found.set(record.key, record);
    }
    expect(found.size).toBe(1234);
    expect(seen).toEqual([500, 1000, 1234]);
    for (const record of docs.entries()) expect(found.get(record.key)).toEqual(record);
  });

  test("includes what it is asked for", async () => {
    const { docs } = newCollection();
    docs.upsert("a", [1, 2, 3, 4], { n: 1 });
    const list = async (records: AsyncIterable<unknown>): Promise<unknown[]> => {
      const found: unknown[] = [];
      for await (const record of records) found.push(record);
      return found;
    };
    const vector = Float32Array.of(1, 2, 3, 4);
    expect(await list(docs.export())).toEqual([{ key: "a", vector, metadata: { n: 1 } }]);
    expect(await list(docs.export({ include: ["vector"] }))).toEqual([{ key: "a", vector }]);
    expect(await list(docs.export({ include: ["metadata"] }))).toEqual([
      { key: "a", metadata: { n: 1 } },
    ]);
    expect(await list(docs.export({ include: [] }))).toEqual([{ key: "a" }]);
    for await (const record of docs.export({ include: ["metadata"] })) {
      expect(record.metadata.n).toBe(1);
      // @ts-expect-error It was not asked for.
      expect(record.vector).toBeUndefined();
    }
  });

  test("is of one state, whatever is written meanwhile", async () => {
    const { docs, db } = newCollection(temporaryPath());
    docs.upsertMany([...generate(3000)]);
    let count = 0;
    for await (const { key, vector, metadata } of docs.export({ batchSize: 100 })) {
      expect(vector[0]).toBe(metadata.n + 1);
      expect(key).toBe(`key ${metadata.n}`);
      if (count++ % 100 > 0) continue;
      docs.delete(`key ${2999 - count}`);
      docs.upsert(`key ${count}`, [7, 7, 7, 7], { n: -1 });
      docs.upsert(`new ${count}`, [7, 7, 7, 7], { n: -1 });
      if (count === 1001) db.renameCollection("docs", "renamed");
    }
    expect(count).toBe(3000);
  });

  test("waits for whoever reads, and lets the event loop go on", async () => {
    const { docs } = newCollection();
    docs.upsertMany([...generate(1000)]);
    let given = 0;
    const records = docs.export({
      batchSize: 10,
      onProgress: ({ records: count }) => {
        given = count;
      },
    });
    for (let n = 1; n <= 200; n++) {
      expect((await records.next()).done).toBe(false);
      await turn();
      expect(given).toBeLessThanOrEqual(n);
    }
    // Counted by turns and not by time: the rest are 80 batches.
    let turns = 0;
    let isOver = false;
    const watch = (): void => {
      turns++;
      if (!isOver) setImmediate(watch);
    };
    setImmediate(watch);
    for await (const _ of records) given++;
    isOver = true;
    expect(turns).toBeGreaterThan(60);
  });

  test("lets its snapshot go at the end, where it is left early, and where it fails", async () => {
    const { docs, db } = newCollection();
    docs.upsertMany([...generate(500)]);
    const unused = docs.export();
    expect(db.stats().snapshots).toBe(0);
    await unused.return();
    for await (const _ of docs.export()) expect(db.stats().snapshots).toBe(1);
    expect(db.stats().snapshots).toBe(0);
    for await (const _ of docs.export()) break;
    expect(db.stats().snapshots).toBe(0);
    const controller = new AbortController();
    const aborted = (async () => {
      for await (const _ of docs.export({ signal: controller.signal })) controller.abort();
    })();
    await expect(aborted).rejects.toMatchObject({ name: "AbortError" });
    const failing = (async () => {
      const onProgress = (): never => {
        throw new Error("enough");
      };
      for await (const _ of docs.export({ onProgress, batchSize: 10 }));
    })();
    await expect(failing).rejects.toThrow("enough");
    expect(db.stats().snapshots).toBe(0);
  });

  test("goes from one collection into another, and out of a snapshot", async () => {
    const { docs, db } = newCollection();
    docs.upsertMany([...generate(2345)]);
    const copy = db.collection<Doc>("copy", { dimension: 4 });
    expect(await copy.import(docs.export())).toEqual({ records: 2345 });
    using snapshot = db.snapshot();
    docs.delete("key 7");
    const again = closing(new Database(temporaryPath())).collection<Doc>("a", { dimension: 4 });
    await again.import(snapshot.collection<Doc>("docs").export());
    for (const { key, vector, metadata } of copy.entries()) {
      expect(again.get(key)).toEqual({ key, vector, metadata });
    }
    expect(again.size).toBe(2345);
  });

  test("is refused inside of a transaction, and with wrong options", async () => {
    const { docs, db } = newCollection();
    await db.transactionAsync(async () => {
      await expectRejection(docs.export().next(), "ERR_INVALID_ARGUMENT");
    });
    for (const options of [{ include: ["key"] }, { include: "vector" }, { batchSize: 1.5 }]) {
      expectCode(() => docs.export(options as never), "ERR_INVALID_ARGUMENT");
    }
    const records = docs.export();
    docs.upsert("a", [1, 2, 3, 4]);
    const begun = docs.export();
    await begun.next();
    db.close();
    await expectRejection(records.next(), "ERR_CLOSED");
    expectCode(() => docs.export(), "ERR_CLOSED");
  });
});

test("memory does not grow with the number of records", async () => {
  const flags = process.versions["bun"] === undefined ? ["--expose-gc"] : [];
  const program = join(root, "test/programs/transfer.mjs");
  const ended = await run(process.execPath, [...flags, program, temporaryPath(), "200000"]);
  expect(ended).toMatchObject({ status: 0, stderr: "" });
  const { imported, exported } = JSON.parse(ended.stdout) as Record<string, number[]>;
  for (const heap of [imported, exported]) {
    expect(heap?.length).toBe(10);
    // What 200,000 records take would be ten times what 20,000 do.
    expect((heap?.at(-1) ?? Number.NaN) / (heap?.[0] ?? 0)).toBeLessThan(1.5);
  }
});
