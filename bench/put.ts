/**
 * How long does it take to store vectors, all in one batch and one at a time?
 *
 * What a store promises decides what it costs, so contestants are compared within a promise:
 *
 * - synced: once the call returns, the data survives a power cut. VectorLite `full`, lmdb without
 *   `overlappingSync`, SQLite with `synchronous = FULL`.
 * - ordered: survives a crash of the process at once, and a power cut may take the last writes but
 *   never harms the file. VectorLite `normal`, lmdb as it comes (it returns at the commit and syncs
 *   behind it), SQLite in WAL with `synchronous = NORMAL`.
 * - unsynced: nothing is synced before a flush or the close. VectorLite `none`, where the file
 *   stays whole, and lmdb with `noSync`, where a power cut may damage it.
 *
 * lmdb's `put` collects the writes of one turn of the event loop and commits them together on
 * another thread; its time here runs until the last promise is resolved. "put" is called 200 times
 * at once, so that one commit takes all; "put, awaited" waits for each before the next, which is
 * what a `set` has done when it returns.
 * `bun bench/run.ts put`
 */

import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Durability, EmbedCache } from "../src/index.ts";
import { vectorSet } from "./data.ts";
import * as harness from "./harness.ts";
import { type Lmdb, type LmdbOptions, lmdb, type OpenLmdb, type Sqlite, sqlite } from "./peers.ts";

const set = vectorSet(10_000, 1536);
const { dimension } = set;
const batchCount = 10_000;
const singleCount = 200;
const folder: string = join(harness.scratchFolder(), "store");
const absences: harness.Absence[] = [];
const vectors: Float32Array[] = set.keys.map((_, row) =>
  set.values.subarray(row * dimension, (row + 1) * dimension),
);
const bytes: Uint8Array[] = vectors.map((vector) =>
  Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength),
);

interface Store<T> {
  name: string;
  open: () => T;
  write: (store: T, count: number) => Promise<void> | void;
  /** How many records are there now. */
  size: (store: T) => number;
  close: (store: T) => Promise<void> | void;
}

/** Every round begins with an empty folder; opening and closing are not measured. */
function contestant<T>(store: Store<T>, count: number): harness.Contestant {
  let opened: T | undefined;
  const close = async (): Promise<void> => {
    if (opened !== undefined) await store.close(opened);
    opened = undefined;
    rmSync(folder, { recursive: true, force: true });
  };
  return {
    name: store.name,
    prepare: async () => {
      mkdirSync(folder, { recursive: true });
      opened = store.open();
    },
    run: async () => {
      if (opened === undefined) throw new Error("not open");
      await store.write(opened, count);
      const size = store.size(opened);
      return harness.mix(0, size);
    },
    after: close,
  };
}

function vectorLite(durability: Durability, single: boolean): Store<EmbedCache> {
  return {
    name: `${single ? "set" : "setMany"}, ${durability}`,
    open: () => new EmbedCache({ path: join(folder, "put.vl"), dimension, durability }),
    write: (cache, count) => {
      if (!single) cache.setMany(set.keys, set.values);
      else for (let row = 0; row < count; row++) cache.set(keyAt(row), vectorAt(row));
    },
    size: (cache) => cache.size,
    close: (cache) => cache.close(),
  };
}

type LmdbCall = "transactionSync" | "putSync" | "put" | "put, awaited";

const lmdbModes: Readonly<Record<string, LmdbOptions>> = {
  synced: { overlappingSync: false },
  "as it comes": {},
  noSync: { noSync: true },
};

function lmdbStore(open: OpenLmdb, call: LmdbCall, mode: string): Store<Lmdb> {
  return {
    name: `lmdb ${call}, ${mode}`,
    open: () => open(folder, lmdbModes[mode]),
    write: async (store, count) => {
      if (call === "put") {
        await Promise.all(set.keys.slice(0, count).map((key, row) => store.put(key, bytesAt(row))));
        return;
      }
      if (call === "put, awaited") {
        for (let row = 0; row < count; row++) await store.put(keyAt(row), bytesAt(row));
        return;
      }
      const putAll = (): void => {
        for (let row = 0; row < count; row++) store.putSync(keyAt(row), bytesAt(row));
      };
      if (call === "transactionSync") store.transactionSync(putAll);
      else putAll();
    },
    size: (store) => store.getKeysCount(),
    close: (store) => store.close(),
  };
}

function sqliteStore(
  name: string,
  open: (path: string) => Sqlite,
  mode: string,
  single: boolean,
): Store<Sqlite> {
  return {
    name: `${name} ${single ? "insert" : "transaction"}, ${mode}`,
    open: () => {
      const database = open(join(folder, "put.sqlite"));
      database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = ${mode}`);
      database.exec("CREATE TABLE vectors (key TEXT PRIMARY KEY, vector BLOB)");
      return database;
    },
    write: (database, count) => {
      const insert = database.prepare("INSERT INTO vectors VALUES (?, ?)");
      if (!single) database.exec("BEGIN");
      for (let row = 0; row < count; row++) insert.run(keyAt(row), bytesAt(row));
      if (!single) database.exec("COMMIT");
    },
    size: (database) => Number(database.prepare("SELECT count(*) AS n FROM vectors").get()?.["n"]),
    close: (database) => database.close(),
  };
}

function keyAt(row: number): string {
  return set.keys[row] ?? "";
}

function vectorAt(row: number): Float32Array {
  return vectors[row] ?? new Float32Array(0);
}

function bytesAt(row: number): Uint8Array {
  return bytes[row] ?? new Uint8Array(0);
}

const lmdbLoaded = await lmdb();
const sqliteLoaded = await sqlite();
if ("absence" in lmdbLoaded) absences.push(lmdbLoaded.absence);
if ("absence" in sqliteLoaded) absences.push(sqliteLoaded.absence);

function contestants(single: boolean): harness.Contestant[] {
  const count = single ? singleCount : batchCount;
  const all: harness.Contestant[] = [];
  for (const durability of ["full", "normal", "none"] as const) {
    all.push(contestant(vectorLite(durability, single), count));
  }
  if ("peer" in lmdbLoaded) {
    const calls: LmdbCall[] = single ? ["putSync", "put, awaited", "put"] : ["transactionSync"];
    for (const call of calls) {
      for (const mode of Object.keys(lmdbModes)) {
        all.push(contestant(lmdbStore(lmdbLoaded.peer, call, mode), count));
      }
    }
  }
  if ("peer" in sqliteLoaded) {
    const { name, open } = sqliteLoaded.peer;
    for (const mode of ["FULL", "NORMAL"]) {
      all.push(contestant(sqliteStore(name, open, mode, single), count));
    }
  }
  return all;
}

const batch: harness.Result[] = await harness.measure(contestants(false), {
  rounds: 9,
  operations: batchCount,
});
harness.printTable("put: 10,000 x 1536 in one batch, time for each vector", batch, {
  yardstick: "lmdb transactionSync, as it comes",
  absences,
});
const single: harness.Result[] = await harness.measure(contestants(true), {
  rounds: 9,
  operations: singleCount,
});
harness.printTable("put: 200 x 1536, each written by a call of its own", single, {
  yardstick: "lmdb put, as it comes",
  absences,
});
