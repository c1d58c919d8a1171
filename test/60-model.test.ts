/**
 * Random operations against a Map. A seed that fails is printed; VECTORLITE_SEED repeats it.
 */

import { Database, type Durability, type Metadata } from "vectorlite";
import { describe, expect, test } from "vitest";
import { cosine, randomVector, seededRandom, temporaryPath } from "./helpers.ts";

interface Value {
  vector: Float32Array;
  metadata: Metadata;
}

type State = Map<string, Value>;

const dimension = 12;
const durabilities: readonly Durability[] = ["full", "normal", "none"];
const chosen = process.env["VECTORLITE_SEED"];
const seeds = chosen === undefined ? [1, 2, 3, 4, 5, 6, 7, 8] : [Number(chosen)];

/** One program of random operations on one file, with its model beside it. */
class Program {
  readonly random: () => number;
  readonly path: string;
  readonly durability: Durability;
  db: Database;
  state: State = new Map();

  constructor(seed: number, path: string) {
    this.random = seededRandom(seed);
    this.path = path;
    this.durability = durabilities[seed % 3] ?? "full";
    this.db = new Database(path, { durability: this.durability });
    this.db.collection("docs", { dimension });
  }

  below(limit: number): number {
    return Math.floor(this.random() * limit);
  }

  key(): string {
    const number = this.below(120);
    return number % 10 === 0 ? `ключ ${number} `.repeat(number + 1) : `key ${number}`;
  }

  value(): Value {
    const metadata: Metadata = {};
    if (this.below(3) > 0) metadata["n"] = this.below(1000);
    if (this.below(5) === 0) metadata["text"] = "é".repeat(this.below(3000));
    return { vector: randomVector(this.random, dimension), metadata };
  }

  write(state: State): void {
    const docs = this.db.collection("docs");
    const roll = this.below(10);
    if (roll < 5) {
      const key = this.key();
      const value = this.value();
      docs.upsert(key, value.vector, value.metadata);
      state.set(key, value);
    } else if (roll < 7) {
      const records = Array.from({ length: this.below(60) }, () => ({
        key: this.key(),
        ...this.value(),
      }));
      docs.upsertMany(records);
      for (const { key, vector, metadata } of records) state.set(key, { vector, metadata });
    } else if (roll < 9) {
      const key = this.key();
      expect(docs.delete(key)).toBe(state.delete(key));
    } else {
      const keys = Array.from({ length: this.below(20) }, () => this.key());
      const deleted = keys.filter((key) => state.delete(key)).length;
      expect(docs.deleteMany(keys)).toBe(deleted);
    }
  }

  /** Several writes that hold or vanish together. */
  transaction(): void {
    const state = new Map(this.state);
    const fails = this.below(2) === 0;
    const run = (): void =>
      this.db.transaction(() => {
        for (let n = this.below(6); n >= 0; n--) this.write(state);
        if (fails) throw new Error("rolled back on purpose");
      });
    if (fails) {
      expect(run).toThrow("rolled back on purpose");
    } else {
      run();
      this.state = state;
    }
  }

  reopen(): void {
    this.db.close();
    this.db = new Database(this.path, { durability: this.durability });
  }

  check(): void {
    checkState(this.db.collection("docs"), this.state);
    const query = randomVector(this.random, dimension);
    const scores = [...this.state.values()].map(({ vector }) => cosine(query, vector));
    scores.sort((a, b) => b - a);
    const hits = this.db.collection("docs").search(query, { k: 5 });
    expect(hits).toHaveLength(Math.min(5, scores.length));
    hits.forEach((hit, rank) => {
      expect(hit.score).toBeCloseTo(scores[rank] ?? Number.NaN, 4);
    });
  }
}

function checkState(docs: ReturnType<Database["collection"]>, state: State): void {
  expect(docs.size).toBe(state.size);
  const seen = new Set<string>();
  for (const { key, vector, metadata } of docs.entries()) {
    expect({ key, vector, metadata }).toEqual({ key, ...state.get(key) });
    seen.add(key);
  }
  expect(seen.size).toBe(state.size);
  for (const [key, { vector }] of state) {
    const found = docs.getVector(key);
    if (found === undefined || found.some((number, index) => number !== vector[index])) {
      expect.unreachable(`${key} has ${found}, expected ${vector}`);
    }
  }
}

describe("a database does what a Map does", () => {
  test.each(seeds)(
    "through random writes, transactions, snapshots and reopening: seed %i",
    (seed) => {
      const program = new Program(seed, temporaryPath());
      try {
        for (let step = 0; step < 150; step++) {
          const roll = program.below(20);
          if (roll < 14) program.write(program.state);
          else if (roll < 17) program.transaction();
          else if (roll < 18) program.reopen();
          else checkSnapshot(program);
          if (step % 10 === 0) program.check();
        }
        program.reopen();
        program.check();
      } catch (error) {
        process.stderr.write(`repeat with VECTORLITE_SEED=${seed}\n`);
        throw error;
      } finally {
        program.db.close();
      }
    },
  );

  function checkSnapshot(program: Program): void {
    const before = new Map(program.state);
    using snapshot = program.db.snapshot();
    for (let n = 0; n < 5; n++) program.write(program.state);
    checkState(snapshot.collection("docs"), before);
    for (let n = 0; n < 5; n++) program.write(program.state);
    checkState(snapshot.collection("docs"), before);
  }
});
