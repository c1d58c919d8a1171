/**
 * Random programs against plain maps: what the writer sees, another handle, snapshots, code outside
 * of a transaction, and who opens the file in the end. A program that fails is made smaller and
 * printed with its seed (test/README.md).
 */

import { AsyncResource } from "node:async_hooks";
import { rmSync } from "node:fs";
import fc from "fast-check";
import { Database, EmbedCache, type Filter, type Snapshot, VectorLiteError } from "vectorlite";
import { expect, test } from "vitest";
import { anyProgram, type Look, type Program, type Step, type Transaction } from "./any-program.ts";
import {
  type Answer,
  apply,
  copyOf,
  keyOf,
  recordsOf,
  type State,
  vectorOf,
  type Write,
} from "./database-model.ts";
import { expectCode, temporaryPath } from "./helpers.ts";
import { Viewer } from "./viewer.ts";

const programs = Number(process.env["VECTORLITE_PROGRAMS"] ?? 50);
const chosen = process.env["VECTORLITE_SEED"];

/** What a transaction throws on purpose. */
class Thrown extends Error {}

type Outcome = Answer | { thrown: true };

function outcomeOf(error: unknown): Outcome {
  if (error instanceof Thrown) return { thrown: true };
  if (error instanceof VectorLiteError) return { code: error.code };
  throw error;
}

function attempt(action: () => unknown): Outcome {
  try {
    return { returned: action() };
  } catch (error) {
    return outcomeOf(error);
  }
}

class Handle extends Viewer {
  readonly db: Database;

  constructor(db: Database) {
    super(db);
    this.db = db;
  }
}

interface Held {
  readonly snapshot: Snapshot;
  readonly viewer: Viewer;
  readonly state: State;
  readonly by: Handle;
}

/** Where others may go on: what is to be awaited, if anything is. */
type Pause = Promise<void> | undefined;

/** One program, on one file with two handles. Steps are generators, for both kinds of callers. */
class Run {
  readonly #path: string;
  readonly #open: () => Handle;
  #writer: Handle;
  #other: Handle;
  #snapshots: Held[] = [];
  #committed: State = new Map();
  /** What the transaction that is running sees. */
  #pending: State | undefined;
  /** A transaction in it has failed, and that was caught. */
  #isDoomed = false;
  /** Calls as code outside of the asynchronous transaction that is running does. */
  #outside: ((call: () => void) => void) | undefined;

  constructor(path: string, { durability }: Program) {
    this.#path = path;
    this.#open = () => new Handle(new Database(path, { durability }));
    this.#writer = this.#open();
    this.#other = this.#open();
  }

  close(): void {
    this.#writer.db.close();
    this.#other.db.close();
  }

  async all(steps: readonly Step[]): Promise<void> {
    for (const pause of this.#steps(steps)) await pause;
    for (const held of this.#snapshots) held.viewer.check(held.state);
    this.close();
    this.#writer = this.#open();
    this.#writer.check(this.#committed);
    expect((await this.#writer.db.verify()).errors).toEqual([]);
  }

  *#steps(steps: readonly Step[]): Generator<Pause, void> {
    for (const step of steps) {
      yield* this.#step(step);
      for (const [viewer, state] of this.#views()) viewer.check(state);
      if (this.#outside !== undefined) {
        this.#outside(() => this.#writer.check(this.#committed));
        yield undefined;
      }
    }
  }

  get #current(): State {
    return this.#pending ?? this.#committed;
  }

  #views(): (readonly [Viewer, State])[] {
    return [
      [this.#writer, this.#current],
      [this.#other, this.#committed],
    ];
  }

  *#step(step: Step): Generator<Pause, void> {
    switch (step.do) {
      case "find":
      case "search":
        return this.#look(step);
      case "snapshot":
        return this.#hold();
      case "release":
        return this.#release(step.which);
      case "transaction":
      case "transactionAsync":
        return yield* this.#transaction(step);
      case "swap":
        [this.#writer, this.#other] = [this.#other, this.#writer];
        return;
      case "reopen":
        return this.#reopen();
      case "flush":
        return this.#writer.db.flush();
      case "compact":
        return yield this.#writer.db.compact();
      case "clear":
        return this.#clear();
      default:
        return this.#write(step);
    }
  }

  #look(look: Look): void {
    for (const [viewer, state] of this.#views()) viewer.look(state, look);
    for (const { viewer, state } of this.#snapshots) viewer.look(state, look);
    this.#outside?.(() => this.#writer.look(this.#committed, look));
  }

  #hold(): void {
    const snapshot = this.#writer.db.snapshot();
    const state = copyOf(this.#committed);
    this.#snapshots.push({ snapshot, viewer: new Viewer(snapshot), state, by: this.#writer });
  }

  #release(which: number): void {
    const [held] = this.#snapshots.splice(which % Math.max(1, this.#snapshots.length), 1);
    if (held === undefined) return;
    held.viewer.check(held.state);
    held.snapshot.close();
    expectCode(() => held.snapshot.collections(), "ERR_CLOSED");
  }

  /** The snapshots of the handle go with it. */
  #reopen(): void {
    const own = this.#snapshots.filter(({ by }) => by === this.#writer);
    this.#snapshots = this.#snapshots.filter(({ by }) => by !== this.#writer);
    for (const { viewer, state } of own) viewer.check(state);
    this.#writer.db.close();
    for (const { snapshot } of own) expectCode(() => snapshot.collections(), "ERR_CLOSED");
    this.#writer = this.#open();
  }

  #clear(): void {
    const table = this.#committed.get("default");
    if (table?.metric !== "cosine") return;
    using cache = new EmbedCache({ path: this.#path });
    cache.clear();
    table.records.clear();
  }

  #write(write: Write): void {
    const outcome = attempt(() => this.#perform(write));
    expect([write.do, outcome]).toEqual([write.do, apply(this.#current, write)]);
  }

  #perform(write: Write): unknown {
    const { db } = this.#writer;
    const { name } = write;
    if (write.do === "create") {
      const { dimension, metric } = write;
      expect(db.collection(name, { dimension, metric })).toMatchObject({ dimension, metric });
      return undefined;
    }
    if (write.do === "drop") return db.dropCollection(name);
    if (write.do === "rename") return db.renameCollection(name, write.to);
    const collection = this.#writer.collection(name, this.#current);
    switch (write.do) {
      case "upsert": {
        const vector = vectorOf(write.vector, collection.dimension);
        return collection.upsert(keyOf(write.key), vector, write.metadata);
      }
      case "upsertMany": {
        const records = recordsOf(write.rows, collection.dimension);
        if (!write.rows.isSpoilt) return collection.upsertMany(records);
        const nothing = new Float32Array(collection.dimension).fill(Number.NaN);
        return collection.upsertMany([...records, { key: "nobody", vector: nothing }]);
      }
      case "setMetadata":
        return collection.setMetadata(keyOf(write.key), write.metadata);
      case "delete":
        return collection.delete(keyOf(write.key));
      case "deleteMany": {
        const { first, count } = write;
        return collection.deleteMany(Array.from({ length: count }, (_, n) => keyOf(first + n)));
      }
      case "deleteWhere":
        return collection.deleteWhere(write.filter as Filter);
    }
  }

  *#transaction(step: Transaction): Generator<Pause, void> {
    const isOuter = this.#pending === undefined;
    this.#pending ??= copyOf(this.#committed);
    const { db } = this.#writer;
    const body = { isThrown: false };
    const work = this.#body(step, body);
    let outcome: Outcome = { returned: undefined };
    if (step.do === "transaction") {
      outcome = attempt(() =>
        db.transaction(() => {
          for (const pause of work) expect(pause).toBeUndefined();
        }),
      );
    } else {
      if (isOuter) this.#outside = AsyncResource.bind((call: () => void) => call());
      const ended = db.transactionAsync(async () => {
        for (const pause of work) await pause;
      });
      yield ended.catch((error: unknown) => {
        outcome = outcomeOf(error);
      });
    }
    const isKept = !body.isThrown && !(isOuter && this.#isDoomed);
    const refused: Outcome = body.isThrown ? { thrown: true } : { code: "ERR_INVALID_ARGUMENT" };
    expect(outcome).toEqual(isKept ? { returned: undefined } : refused);
    if (isOuter) {
      if (isKept) this.#committed = this.#pending;
      this.#pending = undefined;
      this.#isDoomed = false;
      this.#outside = undefined;
    } else if (!isKept) {
      this.#isDoomed = true;
      if (!step.isCaught) throw new Thrown();
    }
  }

  *#body(step: Transaction, body: { isThrown: boolean }): Generator<Pause, void> {
    try {
      yield* this.#steps(step.steps);
      if (step.throws) throw new Thrown();
    } catch (error) {
      body.isThrown = true;
      throw error;
    }
  }
}

test(
  "whatever the program, a database does what plain maps do",
  async () => {
    const path = temporaryPath();
    await fc.assert(
      fc.asyncProperty(anyProgram, async (program) => {
        const run = new Run(path, program);
        try {
          await run.all(program.steps);
        } finally {
          run.close();
          rmSync(path);
        }
      }),
      { numRuns: programs, ...(chosen === undefined ? {} : { seed: Number(chosen) }) },
    );
  },
  // Where one fails, making it smaller takes hundreds of runs.
  600_000 + programs * 1000,
);
