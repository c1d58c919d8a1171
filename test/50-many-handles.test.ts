/**
 * One file, many handles: in one process, in several processes, in worker threads.
 */

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { Database, EmbedCache } from "vectorlite";
import { describe, expect, test } from "vitest";
import { closing, expectCode, root, runProgram, skipAloud, temporaryPath } from "./helpers.ts";
import { startProgram } from "./processes.ts";

describe("two handles in one process", () => {
  test("see each other's commits at once", () => {
    const path = temporaryPath();
    const first = closing(new Database(path));
    const second = closing(new Database(path));
    const here = first.collection("docs", { dimension: 2 });
    const there = second.collection("docs");
    for (let n = 1; n <= 200; n++) {
      const [writer, reader] = n % 2 === 0 ? [here, there] : [there, here];
      writer.upsert(`key ${n % 20}`, [n, 1], { n });
      expect(reader.getVector(`key ${n % 20}`)).toEqual(Float32Array.of(n, 1));
      expect(reader.get(`key ${n % 20}`)?.metadata).toEqual({ n });
      expect(reader.size).toBe(here.size);
    }
    expect(there.search([1, 0], { k: 1 })).toEqual(here.search([1, 0], { k: 1 }));
  });

  test("keep a transaction to themselves until it commits", () => {
    const path = temporaryPath();
    const first = closing(new Database(path));
    const second = closing(new Database(path, { busyTimeout: 50 }));
    const here = first.collection("docs", { dimension: 2 });
    const there = second.collection("docs");
    here.upsert("old", [1, 1]);
    first.transaction(() => {
      here.upsert("new", [2, 2]);
      here.delete("old");
      expect(there.has("new")).toBe(false);
      expect(there.getVector("old")).toEqual(Float32Array.of(1, 1));
      expect([...there.keys()]).toEqual(["old"]);
      expectCode(() => there.upsert("other", [3, 3]), "ERR_LOCKED");
    });
    expect([...there.keys()]).toEqual(["new"]);
    there.upsert("other", [3, 3]);
    expect(here.size).toBe(2);
  });

  test("close one by one: the others go on", () => {
    const path = temporaryPath();
    const handles = Array.from({ length: 10 }, () => new Database(path));
    handles[0]?.collection("docs", { dimension: 2 });
    handles.forEach((handle, index) => {
      handle.collection("docs").upsert(`key ${index}`, [index + 1, 1]);
      handle.close();
    });
    using last = new Database(path);
    expect(last.collection("docs").size).toBe(10);
  });

  test("share a cache and a database: the cache is a collection of the file", () => {
    const path = temporaryPath();
    using cache = new EmbedCache({ path, dimension: 2 });
    using db = new Database(path);
    cache.set("key", [1, 2]);
    expect(db.collections()).toEqual(["default"]);
    expect(db.collection("default").getVector("key")).toEqual(Float32Array.of(1, 2));
  });

  test("a collection dropped by one is closed for the other", () => {
    const path = temporaryPath();
    const first = closing(new Database(path));
    const second = closing(new Database(path));
    first.collection("docs", { dimension: 2 }).upsert("a", [1, 2]);
    const there = second.collection("docs");
    expect(there.size).toBe(1);
    first.dropCollection("docs");
    expectCode(() => there.getVector("a"), "ERR_CLOSED");
    expectCode(() => there.upsert("a", [1, 2]), "ERR_CLOSED");
    first.collection("docs", { dimension: 3 }).upsert("b", [1, 2, 3]);
    expect(second.collection("docs").getVector("b")).toEqual(Float32Array.of(1, 2, 3));
  });
});

describe("several processes", () => {
  test("write in turn, and nothing is lost", async () => {
    const path = temporaryPath();
    using db = new Database(path, { busyTimeout: 60_000 });
    const docs = db.collection("docs", { dimension: 4 });
    const names = ["a", "b", "c"];
    const running = Promise.all(
      names.map((name) => runProgram("test/programs/adder.mjs", [path, name, "60"])),
    );
    for (let n = 0; n < 60; n++) {
      docs.upsert(`own ${n}`, [n + 1, 1, 1, 1]);
      await new Promise((resolve) => setImmediate(resolve));
    }
    for (const { status, stderr } of await running)
      expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(docs.size).toBe(240);
    for (const name of [...names, "own"]) {
      for (let n = 0; n < 60; n++) {
        expect(docs.getVector(`${name} ${n}`)).toEqual(Float32Array.of(n + 1, 1, 1, 1));
      }
    }
  });

  test("wait for each other up to busyTimeout, then say ERR_LOCKED; reads never wait", async () => {
    const path = temporaryPath();
    using db = new Database(path, { busyTimeout: 100 });
    const docs = db.collection("docs", { dimension: 2 });
    docs.upsert("mine", [3, 4]);
    const holder = spawn(process.execPath, [join(root, "test/programs/holder.mjs"), path, "1500"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const ended = new Promise((resolve) => holder.on("close", resolve));
    await new Promise((resolve) => holder.stdout.once("data", resolve));
    const started = performance.now();
    const error = expectCode(() => docs.upsert("mine", [5, 6]), "ERR_LOCKED");
    expect(performance.now() - started).toBeGreaterThan(80);
    expect(performance.now() - started).toBeLessThan(1300);
    expect(error.message.length).toBeGreaterThan(30);
    const reading = performance.now();
    expect(docs.getVector("mine")).toEqual(Float32Array.of(3, 4));
    expect(docs.has("held")).toBe(false);
    expect([...docs.keys()]).toEqual(["mine"]);
    expect(performance.now() - reading).toBeLessThan(200);
    using patient = new Database(path, { busyTimeout: 20_000 });
    patient.collection("docs").upsert("mine", [7, 8]);
    expect(await ended).toBe(0);
    expect(docs.getVector("held")).toEqual(Float32Array.of(1, 2));
    expect(docs.getVector("mine")).toEqual(Float32Array.of(7, 8));
  });

  test("are named where they keep the write lock", async (context) => {
    if (process.platform !== "linux") skipAloud(context, "only Linux tells who holds a lock");
    const path = temporaryPath();
    const db = closing(new Database(path, { busyTimeout: 50 }));
    const docs = db.collection("docs", { dimension: 2 });
    const holder = startProgram("holder.mjs", [path, 60_000]);
    await holder.lines(1);
    const error = expectCode(() => docs.upsert("mine", [5, 6]), "ERR_LOCKED");
    expect(error.message).toMatch(new RegExp(`process ${holder.child.pid} \\([\\w.]+\\)`));
    holder.child.kill("SIGKILL");
    await holder.ended;
    using own = new Database(path);
    own.transaction(() => {
      own.collection("docs").upsert("held", [1, 2]);
      const { message } = expectCode(() => docs.upsert("mine", [5, 6]), "ERR_LOCKED");
      expect(message).toContain("of this process");
    });
  });

  test("that only read close at once while another one writes, and write nothing", async () => {
    const path = temporaryPath();
    {
      using db = new Database(path);
      db.collection("docs", { dimension: 2 }).upsert("mine", [3, 4]);
    }
    const before = readFileSync(path);
    {
      using reader = new Database(path, { durability: "none" });
      expect(reader.collection("docs").getVector("mine")).toEqual(Float32Array.of(3, 4));
    }
    expect(readFileSync(path).equals(before)).toBe(true);
    const reader = new Database(path, { busyTimeout: 60_000, durability: "normal" });
    expect(reader.collection("docs").size).toBe(1);
    const holder = spawn(process.execPath, [join(root, "test/programs/holder.mjs"), path, "1500"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const ended = new Promise((resolve) => holder.on("close", resolve));
    await new Promise((resolve) => holder.stdout.once("data", resolve));
    const started = performance.now();
    reader.close();
    expect(performance.now() - started).toBeLessThan(1000);
    expect(await ended).toBe(0);
  });

  test("that write for long neither stop a cache's event loop nor fail later writes", async () => {
    const path = temporaryPath();
    using cache = new EmbedCache({ path, dimension: 2 });
    const db = closing(new Database(path, { busyTimeout: 10_000 }));
    const docs = db.collection("docs", { dimension: 2 });
    cache.set("a", [1, 2]);
    const child = spawn(process.execPath, [join(root, "test/programs/holder.mjs"), path, "2500"]);
    const ended = new Promise((resolve) => child.once("close", resolve));
    await new Promise((resolve) => child.stdout.once("data", resolve));
    let longest = 0;
    let last = performance.now();
    const watch = setInterval(() => {
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }, 10);
    await ended;
    clearInterval(watch);
    expect(longest).toBeLessThan(1000);
    cache.set("b", [3, 4]);
    expect(docs.size).toBe(1);
    while (db.stats().durableTransactionId < db.stats().transactionId) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(cache.size).toBe(2);
  });

  test("end by themselves with a cache left open, and keep what was set", async () => {
    const path = temporaryPath();
    const started = performance.now();
    const { status, stderr } = await runProgram("test/programs/leaver.mjs", [path]);
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(performance.now() - started).toBeLessThan(5000);
    using cache = new EmbedCache({ path });
    expect(cache.get("key")).toEqual(Float32Array.of(1, 2));
  });
});

describe("worker threads", () => {
  test("write beside each other and the main thread", async () => {
    const path = temporaryPath();
    using db = new Database(path, { busyTimeout: 60_000 });
    const docs = db.collection("docs", { dimension: 4 });
    const names = ["a", "b", "c"];
    const answers = names.map(
      (name) =>
        new Promise<{ right: number; hits: number }>((resolve, reject) => {
          const worker = new Worker(join(root, "test/programs/worker.mjs"), {
            workerData: { path, name, count: 100 },
          });
          worker.once("message", resolve);
          worker.once("error", reject);
        }),
    );
    for (let n = 0; n < 100; n++) {
      docs.upsert(`main ${n}`, [n + 1, 1, 1, 1]);
      if (n % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    }
    for (const answer of await Promise.all(answers))
      expect(answer).toEqual({ right: 100, hits: 3 });
    expect(docs.size).toBe(400);
  });

  test("that are terminated inside of a transaction let go of everything", async () => {
    const path = temporaryPath();
    using db = new Database(path, { busyTimeout: 100 });
    const docs = db.collection("docs", { dimension: 4 });
    docs.upsert("before", [1, 2, 3, 4]);
    const worker = new Worker(join(root, "test/programs/endless.mjs"), { workerData: { path } });
    await new Promise((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    });
    expectCode(() => docs.upsert("beside", [1, 2, 3, 4]), "ERR_LOCKED");
    await worker.terminate();
    docs.upsert("after", [1, 2, 3, 4]);
    expect([...docs.keys()].sort()).toEqual(["after", "before"]);
  });

  test("may be terminated at any time without harm", async () => {
    const path = temporaryPath();
    using db = new Database(path, { busyTimeout: 60_000 });
    const docs = db.collection("docs", { dimension: 4 });
    for (let round = 0; round < 5; round++) {
      const worker = new Worker(join(root, "test/programs/worker.mjs"), {
        workerData: { path, name: `round ${round}`, count: 1_000_000 },
      });
      await new Promise((resolve) => setTimeout(resolve, 150));
      await worker.terminate();
    }
    docs.upsert("after", [1, 2, 3, 4]);
    expect(docs.getVector("after")).toEqual(Float32Array.of(1, 2, 3, 4));
    for (const { key, vector } of docs.entries()) {
      if (key === "after") continue;
      expect(vector[0]).toBe(Number(key.split(" ")[2]) + 1);
    }
  });
});
