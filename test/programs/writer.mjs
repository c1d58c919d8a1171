/**
 * Writes until it is killed: batch n replaces all keys of one group with vectors full of n, in one
 * transaction over two collections, and tells on stdout which batch is committed.
 *
 *     writer.mjs <file> <durability> <first batch>
 */
import { writeSync } from "node:fs";
import { Database } from "../../dist/index.js";

const [path, durability, first] = process.argv.slice(2);
const db = new Database(path, { durability });
const left = db.collection("left", { dimension: 64 });
const right = db.collection("right", { dimension: 8 });
const keys = Array.from({ length: 12 }, (_, index) => `key ${index}`);

for (let batch = Number(first); ; batch++) {
  const records = keys.map((key) => ({
    key,
    vector: new Float32Array(64).fill(batch),
    metadata: { batch },
  }));
  db.transaction(() => {
    left.upsertMany(records);
    for (const key of keys) right.upsert(key, new Float32Array(8).fill(batch));
    if (batch % 5 === 0) left.delete(`extra ${batch - 5}`);
    if (batch % 5 === 0) left.upsert(`extra ${batch}`, new Float32Array(64).fill(batch));
  });
  writeSync(1, `${batch}\n`);
}
