/**
 * What does metadata cost where it is written? The same rows with and without it, in batches of
 * 1,000 and one by one, into a new file each round; synced as it comes, and not at all.
 */

import { rmSync } from "node:fs";
import { join } from "node:path";
import { type Collection, Database, type Durability } from "../src/index.ts";
import { keyOf } from "./data.ts";
import type { Doc, Documents } from "./documents.ts";
import * as harness from "./harness.ts";

const rounds = 5;

interface Way {
  name: string;
  durability: Durability;
  rows: number;
  /** Rows in one call. */
  batch: number;
}

const ways: readonly Way[] = [
  { name: "batches of 1,000, not synced", durability: "none", rows: 20_000, batch: 1000 },
  { name: "batches of 1,000", durability: "full", rows: 20_000, batch: 1000 },
  { name: "one by one, not synced", durability: "none", rows: 10_000, batch: 1 },
  { name: "one by one", durability: "full", rows: 300, batch: 1 },
];

function write(to: Collection<Doc>, { set, values }: Documents, way: Way, docs?: Doc[]): number {
  const { dimension } = set;
  const { rows, batch } = way;
  const keys = Array.from({ length: rows }, (_, row) => keyOf(row));
  for (let row = 0; row < rows; row += batch) {
    const end = row + batch;
    const vectors = values.subarray(row * dimension, end * dimension);
    if (batch === 1) to.upsert(keys[row] ?? "", vectors, docs?.[row]);
    else to.upsertMany(keys.slice(row, end), vectors, docs?.slice(row, end));
  }
  return to.size;
}

/** A new file for every round. */
function contestant(
  name: string,
  documents: Documents,
  way: Way,
  docs?: Doc[],
): harness.Contestant {
  const path = join(harness.scratchFolder(), "writes.vl");
  let database: Database | undefined;
  let collection: Collection<Doc> | undefined;
  return {
    name,
    prepare: () => {
      rmSync(path, { force: true });
      database = new Database(path, { durability: way.durability });
      collection = database.collection("docs", { dimension: documents.set.dimension });
    },
    run: () => (collection ? write(collection, documents, way, docs) : 0),
    after: () => database?.close(),
  };
}

export async function measureWrites(documents: Documents): Promise<void> {
  const cells: string[][] = [];
  for (const way of ways.filter(({ rows }) => rows <= documents.set.count)) {
    const contestants = [
      contestant("without", documents, way),
      contestant("with", documents, way, documents.docs),
    ];
    const operations = way.rows;
    const [without, with_] = await harness.measure(contestants, { rounds, operations });
    if (!without || !with_) throw new Error("nothing was measured");
    const ratio = `${(without.median / with_.median).toFixed(2)}x`;
    const { duration } = harness;
    cells.push([way.name, duration(without.median), duration(with_.median), ratio]);
  }
  const head = ["", "without", "with metadata", "rows a second, of without"];
  harness.printRows("filter: upserts with metadata, time for each row", [head, ...cells]);
}
