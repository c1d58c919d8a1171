/**
 * Reads what soak-writer.mjs writes, in every way and in snapshots that it keeps for a while, until
 * the end of its input. Prints as JSON how many looks it took and how much memory it had.
 *
 *     soak-reader.mjs <file>
 */
import { Database } from "../../dist/index.js";

const [path] = process.argv.slice(2);
const db = new Database(path, { readonly: true });
const docs = db.collection("docs");
const memory = [];
const kept = [];
let looks = 0;
let last = 0;
let transaction = 0;
let stopped = false;
process.stdin.on("end", () => {
  stopped = true;
});
process.stdin.resume();

function batchOf(snapshot) {
  const batches = new Set();
  for (const { key, vector, metadata } of snapshot.collection("docs").entries()) {
    if (!vector.every((number) => number === vector[0])) throw new Error(`${key} is torn`);
    batches.add(vector[0]).add(metadata.batch);
  }
  if (batches.size !== 1) throw new Error(`saw parts of the batches ${[...batches]}`);
  return [...batches][0];
}

function look() {
  const { transactionId } = db.stats();
  if (transactionId < transaction) throw new Error(`${transaction} went back to ${transactionId}`);
  transaction = transactionId;
  const snapshot = db.snapshot();
  const batch = batchOf(snapshot);
  if (batch < last) throw new Error(`went back from batch ${last} to ${batch}`);
  last = batch;
  kept.push({ snapshot, batch });
  if (kept.length > 3) {
    const oldest = kept.shift();
    if (batchOf(oldest.snapshot) !== oldest.batch) throw new Error("a snapshot changed");
    oldest.snapshot.close();
  }
  const now = docs.getVector("key 7")[0];
  if (now < batch) throw new Error(`read batch ${now} after ${batch}`);
  const hits = docs.search(new Float32Array(64).fill(1), { k: 3 });
  if (hits.length !== 3) throw new Error(`found ${hits.length} of 3`);
  looks++;
  if (looks % 20 === 0) memory.push(process.memoryUsage.rss());
}

function turn() {
  if (stopped) {
    process.stdout.write(`${JSON.stringify({ looks, memory })}\n`);
    db.close();
    return;
  }
  look();
  setImmediate(turn);
}

process.stdout.write("ready\n");
turn();
