/**
 * kill -9 of a real writer at random, beside real readers of both runtimes: whatever was committed
 * is there, whole, and nobody ever sees half of a batch. VECTORLITE_KILLS sets the number of kills.
 */

import { Database } from "vectorlite";
import { describe, expect, test } from "vitest";
import { seededRandom, temporaryPath } from "./helpers.ts";
import { runtimes, scale, startProgram } from "./processes.ts";

const kills = Number(process.env["VECTORLITE_KILLS"] ?? 17 * scale);

/** Lets a writer commit for a while, kills it, and returns the last batch that it reported. */
async function writeAndKill(
  runtime: string | undefined,
  args: readonly [path: string, durability: string, first: number],
  ms: number,
): Promise<number> {
  const writer = startProgram("writer.mjs", args, runtime);
  await writer.lines(1);
  await new Promise((resolve) => setTimeout(resolve, ms));
  writer.child.kill("SIGKILL");
  const { stdout, stderr } = await writer.ended;
  expect(stderr).toBe("");
  return Number(stdout.trim().split("\n").at(-1) || args[2] - 1);
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
      const all = runtimes();
      const readers = [...all, ...all].map((runtime) => {
        return startProgram("reader.mjs", [path], runtime);
      });
      let batch = 0;
      for (let kill = 0; kill < kills; kill++) {
        const runtime = all[kill % all.length];
        const args = [path, durability, batch + 1] as const;
        const reported = await writeAndKill(runtime, args, random() * 60);
        batch = batchOf(path);
        // The kill may come between the commit and the report of it.
        expect([reported, reported + 1]).toContain(batch);
      }
      for (const { child } of readers) child.stdin?.end();
      for (const { ended } of readers) {
        const { stdout, stderr } = await ended;
        expect(stderr).toBe("");
        expect(Number(stdout)).toBeGreaterThan(0);
      }
    },
    30_000 + kills * 3000,
  );
});
