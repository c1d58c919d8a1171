/**
 * The second screen of the README: a vector database.
 *
 *     bun examples/vector-database.ts      # writes app.vl where it runs
 */

// #region database
import { Database } from "vectorlite";

using db = new Database("app.vl"); // durability "full": a commit is on the disk when it returns
const docs = db.collection<{ title: string; year: number }>("docs", { dimension: 3 });

docs.upsert("cats", [0.1, 0.9, 0.2], { title: "On cats", year: 2024 });
docs.upsertMany([
  { key: "dogs", vector: [0.2, 0.8, 0.5], metadata: { title: "On dogs", year: 2025 } },
  { key: "ships", vector: [0.9, 0.1, 0.1], metadata: { title: "On ships", year: 2026 } },
]);

for (const { key, score, metadata } of docs.search([0.1, 1, 0.3], { k: 2 })) {
  console.log(score.toFixed(3), key, metadata.title); // 0.997 cats On cats …
}

// The closest of the records whose metadata match, and how many there are.
const filter = { title: { $startsWith: "On " }, year: { $lt: 2025 } };
console.log(docs.search([0.9, 0, 0], { k: 1, filter })[0]?.key, docs.count(filter)); // cats 1

// All or nothing, over every collection; a throw rolls everything back.
db.transaction(() => {
  docs.delete("ships");
  docs.upsert("boats", [0.9, 0.2, 0.1], { title: "On boats", year: 2026 });
});

// One state of the file, for as long as you hold it, while anybody writes.
using before = db.snapshot();
docs.delete("cats");
console.log(before.collection("docs").has("cats"), docs.has("cats")); // true false
// #endregion
