/**
 * One writer and eight readers of both runtimes on one file for a while: no torn batch, nothing
 * goes back, memory stays as large as it is, and the writer waits for no reader, whatever it is in
 * the middle of. VECTORLITE_SOAK_SECONDS says for how long.
 */

import { Database } from "vectorlite";
import { expect, test } from "vitest";
import { skipAloud, temporaryPath } from "./helpers.ts";
import { type Running, runtimes, scale, startProgram } from "./processes.ts";

const seconds = Number(process.env["VECTORLITE_SOAK_SECONDS"] ?? 5 * scale);

interface Written {
  batch: number;
  slowest: number;
  memory: number[];
}

interface Read {
  looks: number;
  memory: number[];
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? 0;
}

/** A runtime grows by some 50 MB before it finds its size; what goes on growing is a leak. */
function expectFlat(memory: readonly number[]): void {
  const settled = memory.slice(memory.length >> 2);
  const third = Math.ceil(settled.length / 3);
  const growth = median(settled.slice(-third)) - median(settled.slice(0, third));
  expect(growth).toBeLessThan(48 << 20);
}

async function finish<Report>(program: Running): Promise<Report> {
  program.child.stdin?.end();
  const { status, stdout, stderr } = await program.ended;
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as Report;
}

async function batchesSoFar(writer: Running, question: number): Promise<number> {
  writer.child.stdin?.write("?");
  return Number((await writer.lines(question)).at(-1));
}

test(
  `a writer and eight readers for ${seconds} seconds`,
  async (context) => {
    if (process.platform === "win32") skipAloud(context, "a process cannot be stopped there");
    const path = temporaryPath();
    {
      using db = new Database(path, { durability: "none" });
      const docs = db.collection("docs", { dimension: 64 });
      for (let n = 0; n < 40; n++) {
        docs.upsert(`key ${n}`, new Float32Array(64).fill(1), { batch: 1 });
      }
    }
    const all = runtimes();
    const readers = Array.from({ length: 8 }, (_, n) => {
      return startProgram("soak-reader.mjs", [path], all[n % all.length]);
    });
    await Promise.all(readers.map((reader) => reader.lines(1)));
    const writer = startProgram("soak-writer.mjs", [path]);
    const end = performance.now() + seconds * 1000;
    for (let question = 1; performance.now() < end; question += 2) {
      await pause(150);
      // Stopped wherever they are, with whatever they hold.
      for (const { child } of readers) child.kill("SIGSTOP");
      const before = await batchesSoFar(writer, question);
      await pause(100);
      const after = await batchesSoFar(writer, question + 1);
      for (const { child } of readers) child.kill("SIGCONT");
      expect(after - before).toBeGreaterThan(3);
    }
    const written = await finish<Written>(writer);
    const reads = await Promise.all(readers.map((reader) => finish<Read>(reader)));
    expect(written.batch).toBeGreaterThan(5 * seconds);
    for (const { looks } of reads) expect(looks).toBeGreaterThan(0);
    for (const { memory } of [written, ...reads]) expectFlat(memory);
    using db = new Database(path);
    expect(db.collection("docs").size).toBe(40);
    expect(db.collection("docs").getVector("key 3")?.[0]).toBe(written.batch);
  },
  seconds * 1000 + 60_000,
);
