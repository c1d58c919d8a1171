/**
 * Real file systems and what happens on them: a tmpfs and an ext4 that fill up in the middle of a
 * write, a file that is exchanged, cut, renamed or removed while it is open, and few descriptors.
 */

import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  closeSync,
  copyFileSync,
  ftruncateSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import {
  type Collection,
  Database,
  type Durability,
  EmbedCache,
  VectorLiteError,
} from "vectorlite";
import { describe, expect, onTestFinished, type TestContext, test } from "vitest";
import {
  closing,
  expectCode,
  root,
  run,
  skipAloud,
  temporaryFolder,
  temporaryPath,
} from "./helpers.ts";

const dimension = 64;
const vectorOf = (n: number): Float32Array => new Float32Array(dimension).fill(n + 1);

/** Many times faster than an assertion, and there are many of them. */
function checkVector(of: Collection | EmbedCache, key: string, n: number): void {
  const vector = of instanceof EmbedCache ? of.get(key) : of.getVector(key);
  if (vector?.length !== dimension || !vector.every((number) => number === n + 1)) {
    throw new Error(`${key} should be ${n + 1} and is ${vector}`);
  }
}

/** A folder on a disk of 8 MiB of its own. */
function mountDisk(context: TestContext, kind: "tmpfs" | "ext4"): string {
  const folder = temporaryFolder();
  const mount = (...args: string[]): void => {
    execFileSync("mount", [...args, folder], { stdio: "ignore" });
  };
  try {
    if (kind === "tmpfs") {
      mount("-t", "tmpfs", "-o", "size=8m", "tmpfs");
    } else {
      const image = temporaryPath("ext4.img");
      writeFileSync(image, "");
      truncateSync(image, 8 << 20);
      execFileSync("mkfs.ext4", ["-q", "-m", "0", image], { stdio: "ignore" });
      mount("-o", "loop", image);
    }
  } catch {
    skipAloud(context, `this machine does not let us mount a small ${kind}`);
  }
  onTestFinished(() => {
    execFileSync("umount", ["-l", folder]);
  });
  return folder;
}

/** A file that takes all space but about `left` bytes; it gives it back when it is removed. */
function fillDisk(folder: string, left: number): string {
  const path = join(folder, "ballast");
  const file = openSync(path, "w");
  let length = 0;
  try {
    for (const block = Buffer.alloc(4096, 1); ; length += block.length) writeSync(file, block);
  } catch (error) {
    expect(error).toMatchObject({ code: "ENOSPC" });
  }
  ftruncateSync(file, Math.max(0, length - left));
  closeSync(file);
  return path;
}

/** Calls until there is no space. Returns how often it went well. */
function untilFull(action: (n: number) => void): number {
  for (let n = 0; n < 100_000; n++) {
    try {
      action(n);
    } catch (error) {
      expect(error).toBeInstanceOf(VectorLiteError);
      expect(error).toMatchObject({ code: "ERR_NO_SPACE" });
      return n;
    }
  }
  return expect.unreachable("the disk never filled up");
}

describe.for(["tmpfs", "ext4"] as const)("%s that is full", (kind) => {
  test.for(["full", "normal", "none"] as const)(
    "in the middle of set, setMany and flush under %s loses nothing that was acknowledged",
    (durability, context) => {
      const folder = mountDisk(context, kind);
      const path = join(folder, "a.cache");
      const cache = new EmbedCache({ path, dimension, durability });
      const expected = new Map<string, number>();
      const checkAll = (of: EmbedCache): void => {
        expect(of.size).toBe(expected.size);
        for (const [key, n] of expected) checkVector(of, key, n);
      };
      cache.set("first", vectorOf(0));
      expected.set("first", 0);
      for (const left of [0, 4096, 20_000, 300_000]) {
        const ballast = fillDisk(folder, left);
        const ones = untilFull((n) => cache.set(`one ${left} ${n}`, vectorOf(n)));
        for (let n = 0; n < ones; n++) expected.set(`one ${left} ${n}`, n);
        const keys = Array.from({ length: 500 }, (_, n) => `many ${left} ${n}`);
        const many = keys.map((_, n) => vectorOf(n));
        const rounds = untilFull((n) => {
          cache.setMany(
            keys.map((key) => `${key} ${n}`),
            many,
          );
        });
        for (let n = 0; n < rounds; n++) {
          for (const [index, key] of keys.entries()) expected.set(`${key} ${n}`, index);
        }
        checkAll(cache);
        expect(() => cache.flush()).not.toThrow();
        using reader = new EmbedCache({ path, dimension, readonly: true });
        checkAll(reader);
        rmSync(ballast);
        cache.setMany(keys, many);
        for (const [n, key] of keys.entries()) expected.set(key, n);
      }
      checkAll(cache);
      cache.close();
      using again = new EmbedCache({ path, dimension });
      checkAll(again);
    },
  );

  test("refuses a new file and a backup, and leaves neither", async (context) => {
    const folder = mountDisk(context, kind);
    using db = new Database(join(folder, "a.vl"), { durability: "none" });
    const docs = db.collection("docs", { dimension });
    for (let n = 0; n < 1000; n++) docs.upsert(`key ${n}`, vectorOf(n));
    const ballast = fillDisk(folder, 12_288);
    expect(() => new Database(join(folder, "b.vl"))).toThrow(/space/);
    const copy = join(folder, "copy.vl");
    await expect(db.backup(copy)).rejects.toMatchObject({ code: "ERR_NO_SPACE" });
    expect(() => statSync(copy)).toThrow(/ENOENT/);
    rmSync(ballast);
    new Database(join(folder, "b.vl")).close();
    await db.backup(copy);
    using restored = new Database(copy, { readonly: true });
    expect(restored.collection("docs").size).toBe(1000);
  });
});

const count = 400;

/** A writer and a reader of one file, that have read everything. */
function openBoth(
  path: string,
  durability: Durability = "full",
): { writer: Collection; reader: Collection } {
  const db = closing(new Database(path, { durability }));
  const writer = db.collection("docs", { dimension, metric: "l2" });
  writer.upsertMany(
    Array.from({ length: count }, (_, n) => ({ key: `${n}`, vector: vectorOf(n) })),
  );
  const reader = closing(new Database(path, { readonly: true })).collection("docs");
  // Twice, so that all of it is mapped.
  for (let round = 0; round < 2; round++) {
    for (const docs of [writer, reader]) {
      for (let n = 0; n < count; n++) checkVector(docs, `${n}`, n);
      expect(docs.search(vectorOf(7), { k: 1 })[0]?.key).toBe("7");
    }
  }
  return { writer, reader };
}

/** Uses a handle in every way; returns the codes of what failed. A wrong answer fails the test. */
function useEverything(docs: Collection, isWriter: boolean): Set<string> {
  const codes = new Set<string>();
  const attempt = (action: () => void): void => {
    try {
      action();
    } catch (error) {
      if (!(error instanceof VectorLiteError)) throw error;
      codes.add(error.code);
    }
  };
  for (let n = 0; n < count; n++) {
    attempt(() => checkVector(docs, `${n}`, n));
  }
  attempt(() => expect(docs.search(vectorOf(7), { k: 1 })[0]?.key).toBe("7"));
  attempt(() => expect([...docs.keys()].length).toBeGreaterThanOrEqual(count));
  attempt(() => expect(docs.size).toBeGreaterThanOrEqual(count));
  if (isWriter) attempt(() => docs.upsert("late", vectorOf(9)));
  return codes;
}

describe("a file that changes its name while it is open", () => {
  test.each([
    ["is renamed", (path: string) => renameSync(path, `${path}.moved`)],
    ["is removed", (path: string) => rmSync(path)],
    [
      "is replaced by a copy",
      (path: string) => {
        copyFileSync(path, `${path}.copy`);
        renameSync(`${path}.copy`, path);
      },
    ],
    [
      "is replaced by something else",
      (path: string) => {
        writeFileSync(`${path}.other`, "something else entirely");
        renameSync(`${path}.other`, path);
      },
    ],
  ])("and %s is still read by who has it, and written by nobody", (_, change) => {
    const path = temporaryPath();
    const { writer, reader } = openBoth(path);
    change(path);
    expect([...useEverything(reader, false)]).toEqual([]);
    expect([...useEverything(writer, true)]).toEqual(["ERR_IO"]);
    expect(writer.has("late")).toBe(false);
  });

  test("and comes back under its name is written again", () => {
    const path = temporaryPath();
    const { writer } = openBoth(path);
    renameSync(path, `${path}.moved`);
    expect([...useEverything(writer, true)]).toEqual(["ERR_IO"]);
    renameSync(`${path}.moved`, path);
    expect([...useEverything(writer, true)]).toEqual([]);
    expect(writer.has("late")).toBe(true);
  });

  test("and has commits that only the system knows of says so when it is closed", () => {
    const path = temporaryPath();
    const db = new Database(path, { durability: "normal" });
    db.collection("docs", { dimension }).upsert("key", vectorOf(1));
    rmSync(path);
    expectCode(() => db.close(), "ERR_IO");
    db.close();
    expectCode(() => db.collection("docs"), "ERR_CLOSED");
  });

  test("and whose place another database takes does not mix with it", () => {
    const path = temporaryPath();
    const { writer, reader } = openBoth(path);
    renameSync(path, `${path}.old`);
    using fresh = new Database(path);
    const docs = fresh.collection("docs", { dimension, metric: "l2" });
    docs.upsert("fresh", vectorOf(1));
    expect([...useEverything(reader, false)]).toEqual([]);
    expect([...useEverything(writer, true)]).toEqual(["ERR_IO"]);
    expect([...docs.keys()]).toEqual(["fresh"]);
    using old = new Database(`${path}.old`);
    expect(old.collection("docs").size).toBe(count);
  });
});

describe("a file that changes its length while it is open", () => {
  test.each([1, 4096, 100_000])("by %d bytes of junk is read and written on", (length) => {
    const path = temporaryPath();
    const { writer, reader } = openBoth(path, "normal");
    for (let round = 0; round < 5; round++) {
      appendFileSync(path, Buffer.alloc(length, 0xa5));
      expect([...useEverything(reader, false)]).toEqual([]);
      expect([...useEverything(writer, true)]).toEqual([]);
      for (let n = 0; n < 200; n++) writer.upsert(`more ${round} ${n}`, vectorOf(n));
    }
    using again = new Database(path, { create: false });
    const docs = again.collection("docs");
    expect(docs.size).toBe(count + 1 + 1000);
    for (let n = 0; n < 200; n++) checkVector(docs, `more 4 ${n}`, n);
  });

  test.each([0, 1, 4096, 30_000, 0.3, 0.7])(
    "to %d is an error for the writer and the reader, and for nobody the end",
    (kept) => {
      const path = temporaryPath();
      const { writer, reader } = openBoth(path);
      const length = statSync(path).size;
      truncateSync(path, kept < 1 ? Math.floor(length * kept) : kept);
      for (let round = 0; round < 3; round++) {
        for (const [docs, isWriter] of [
          [reader, false],
          [writer, true],
        ] as const) {
          const codes = useEverything(docs, isWriter);
          expect(codes.size).toBeGreaterThan(0);
          for (const code of codes)
            expect(["ERR_CORRUPT", "ERR_IO", "ERR_NOT_A_DATABASE"]).toContain(code);
        }
      }
    },
  );

  test("to what it was before is an error, and the bytes that come back are read again", () => {
    const path = temporaryPath();
    const { writer, reader } = openBoth(path);
    const bytes = readFileSync(path);
    truncateSync(path, 8192);
    expect(useEverything(reader, false).size).toBeGreaterThan(0);
    writeFileSync(path, bytes, { flag: "r+" });
    using fresh = new Database(path, { readonly: true });
    expect([...useEverything(fresh.collection("docs"), false)]).toEqual([]);
    expect([...useEverything(reader, false)]).toEqual([]);
    expect([...useEverything(writer, true)]).toEqual([]);
  });
});

describe("a process with few descriptors", () => {
  const program = join(root, "test/programs/descriptors.mjs");

  /** Runs the program by a shell, which can close and limit what it has open. */
  function shell(context: TestContext, script: string, ...args: string[]) {
    if (process.platform === "win32") skipAloud(context, "there is no such shell on Windows");
    return run("sh", ["-c", script, "sh", process.execPath, program, ...args]);
  }

  test("says that too many files are open, and goes on with those it has", async (context) => {
    const path = temporaryPath();
    const ended = await shell(context, 'ulimit -n 60; exec "$@"', path, "many");
    expect(ended).toMatchObject({ status: 0, stderr: "" });
    expect(ended.stdout).toMatch(/^ERR_IO .*too many open files.* after \d+: all well\n$/);
  });

  test.each(["0", "1", "2", "0 1 2"])(
    "of which %s are closed never writes into the file what was meant for a stream",
    async (closed) => {
      const path = temporaryPath();
      const closes = closed.replaceAll(/\d/g, (digit) => `${digit}>&-`);
      const ended = await run("sh", [
        "-c",
        `exec "$@" ${closes}`,
        "sh",
        process.execPath,
        program,
        path,
        "streams",
      ]);
      expect(ended.status).toBe(0);
      using db = new Database(path, { create: false });
      const docs = db.collection("docs");
      expect(docs.size).toBe(100);
      for (let n = 0; n < 100; n++) expect(docs.getVector(`${n}`)?.[0]).toBe(n + 1);
      expect(readFileSync(path).includes("PRINTED")).toBe(false);
    },
  );
});
