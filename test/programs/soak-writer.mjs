/**
 * Writes batch after batch over all keys until the end of its input, and prints as JSON how many,
 * how long the longest took, and how much memory it had on the way.
 *
 *     soak-writer.mjs <file>
 */
import { Database } from "../../dist/index.js";

const [path] = process.argv.slice(2);
const db = new Database(path, { durability: "none", busyTimeout: 0 });
const docs = db.collection("docs");
const keys = Array.from({ length: 40 }, (_, index) => `key ${index}`);
const memory = [];
let batch = 0;
let slowest = 0;
let stopped = false;
process.stdin.on("end", () => {
  stopped = true;
});
// Whoever asks gets the number of batches so far.
process.stdin.on("data", () => process.stdout.write(`${batch}\n`));

function turn() {
  if (stopped) {
    process.stdout.write(`${JSON.stringify({ batch, slowest, memory })}\n`);
    db.close();
    return;
  }
  batch++;
  const started = performance.now();
  db.transaction(() => {
    for (const key of keys) docs.upsert(key, new Float32Array(64).fill(batch), { batch });
  });
  slowest = Math.max(slowest, performance.now() - started);
  if (batch % 50 === 0) memory.push(process.memoryUsage.rss());
  setImmediate(turn);
}

turn();
