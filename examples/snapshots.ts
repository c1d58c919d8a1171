/**
 * One state of a file while others write: docs/snapshots.md quotes it.
 *
 *     bun examples/snapshots.ts      # writes snapshots.vl and a copy where it runs
 */

import { rmSync } from "node:fs";
import { Database } from "vectorlite";
import { hashingEmbedder } from "./hashing-embedder.ts";

const dimension = 256;
const embed = hashingEmbedder(dimension);
const vectorOf = (text: string): Float32Array => embed([text])[0] ?? new Float32Array(dimension);
for (const path of ["snapshots.vl", "copy.vl"]) rmSync(path, { force: true });

// #region snapshots
using db = new Database("snapshots.vl");
const docs = db.collection<{ text: string }>("docs", { dimension });
for (const text of ["one cat", "two cats", "three cats", "a dog"]) {
  docs.upsert(text, vectorOf(text), { text });
}

const snapshot = db.snapshot();
const before = snapshot.collection<{ text: string }>("docs");

// Pages of one search fit together, whatever is written between them.
const [first] = before.search(vectorOf("cats"), { k: 1 });
docs.upsert("cats", vectorOf("cats"), { text: "cats" });
const [second] = before.search(vectorOf("cats"), { k: 1, offset: 1 });
console.log(first?.key !== second?.key, before.has("cats"), docs.has("cats")); // true false true

// To keep a state for longer than this process, copy the file while others write.
await db.backup("copy.vl");

// A snapshot has its collections also where they are dropped.
db.dropCollection("docs");
console.log(before.size, snapshot.collections().length, db.collections().length); // 4 1 0

// What it costs: the space that only it still needs.
const { snapshots, heldBytes = 0 } = db.stats();
console.log(snapshots, heldBytes > 0); // 1 true

snapshot.close(); // its space can be used again; `using` closes it at the end of a block
console.log(db.stats().snapshots); // 0

using copy = new Database("copy.vl", { readonly: true });
console.log(copy.collection("docs").size); // 5
// #endregion
