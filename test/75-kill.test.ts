/**
 * kill -9 of a real writer, beside real readers: whatever was committed is there, whole, and nobody
 * ever sees half of a batch. VECTORLITE_KILLS raises the number of kills.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { Database } from "vectorlite";
import { describe, expect, test } from "vitest";
import { root, seededRandom, temporaryPath } from "./helpers.ts";

const kills = Number(process.env["VECTORLITE_KILLS"] ?? 7);

function start(program: string, args: readonly string[]): ChildProcess {
  return spawn(process.execPath, [join(root, "test/programs", program), ...args], {
    stdio: ["pipe", "pipe", "pipe"],
  });
}

/** Everything a program printed, when it has ended. */
function output(child: ChildProcess): Promise<{ stdout: string; stderr: string }> {
  let stdout = "";
  let stderr = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr?.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  return new Promise((resolve) => child.on("close", () => resolve({ stdout, stderr })));
}

/** Lets a writer commit for a while, kills it, and returns the last batch that it reported. */
async function writeAndKill(path: string, durability: string, first: number, ms: number) {
  const writer = start("writer.mjs", [path, durability, String(first)]);
  const ended = output(writer);
  await Promise.race([new Promise((resolve) => writer.stdout?.once("data", resolve)), ended]);
  await new Promise((resolve) => setTimeout(resolve, ms));
  writer.kill("SIGKILL");
  const { stdout, stderr } = await ended;
  expect(stderr).toBe("");
  return Number(stdout.trim().split("\n").at(-1) || first - 1);
}

/** The one batch that the file holds; a mixture fails the test. */
function batchOf(path: string): number {
  using db = new Database(path);
  const left = db.collection<{ batch: number }>("left");
  const right = db.collection("right");
  const batches = new Set<number>();
  let extras = 0;
  for (const { key, vector, metadata } of left.entries()) {
    expect(new Set(vector).size).toBe(1);
    if (key.startsWith("extra")) extras++;
    else batches.add(vector[0] ?? 0).add(metadata.batch);
  }
  for (const { vector } of right.entries()) batches.add(vector[0] ?? 0);
  expect([...batches]).toHaveLength(1);
  expect(extras).toBeLessThanOrEqual(1);
  expect(left.size - extras).toBe(12);
  expect(right.size).toBe(12);
  return [...batches][0] ?? 0;
}

describe.each(["full", "normal", "none"])("durability %s", (durability) => {
  test(
    `keeps every committed batch, whole, over ${kills} kills`,
    async () => {
      const path = temporaryPath();
      const random = seededRandom(kills + durability.length);
      {
        using db = new Database(path);
        db.collection("left", { dimension: 64 });
        db.collection("right", { dimension: 8 });
      }
      const readers = [1, 2].map(() => start("reader.mjs", [path]));
      const looks = readers.map(output);
      let batch = 0;
      for (let kill = 0; kill < kills; kill++) {
        const reported = await writeAndKill(path, durability, batch + 1, random() * 120);
        batch = batchOf(path);
        // The kill may come between the commit and the report of it.
        expect([reported, reported + 1]).toContain(batch);
      }
      for (const reader of readers) reader.stdin?.end();
      for (const { stdout, stderr } of await Promise.all(looks)) {
        expect(stderr).toBe("");
        expect(Number(stdout)).toBeGreaterThan(0);
      }
    },
    30_000 + kills * 3000,
  );
});
