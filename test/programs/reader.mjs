/**
 * Reads what writer.mjs writes, until it is told to stop by the end of its input. Every look must
 * see one batch whole, and never an older one than before, nor an older transaction. Prints how
 * many looks it took.
 *
 *     reader.mjs <file>
 */
import { Database } from "../../dist/index.js";

const [path] = process.argv.slice(2);
const db = new Database(path, { readonly: true });
let looks = 0;
let last = 0;
let transaction = 0;
let stopped = false;
process.stdin.on("end", () => {
  stopped = true;
});
process.stdin.resume();

function look() {
  const { transactionId } = db.stats();
  if (transactionId < transaction) throw new Error(`${transaction} went back to ${transactionId}`);
  transaction = transactionId;
  const snapshot = db.snapshot();
  try {
    lookAt(snapshot);
  } finally {
    snapshot.close();
  }
}

function lookAt(snapshot) {
  const names = snapshot.collections();
  if (!names.includes("left") || !names.includes("right")) return;
  const batches = new Set();
  let count = 0;
  for (const { key, vector, metadata } of snapshot.collection("left").entries()) {
    if (!vector.every((number) => number === vector[0])) throw new Error(`${key} is torn`);
    if (key.startsWith("extra")) continue;
    if (metadata.batch !== vector[0]) throw new Error(`${key} has the metadata of another batch`);
    batches.add(vector[0]);
    count++;
  }
  const right = snapshot.collection("right");
  for (const key of right.keys()) batches.add(right.getVector(key)[0]);
  if (count === 0) return;
  if (count !== 12 || batches.size !== 1) {
    throw new Error(`saw ${count} keys of the batches ${[...batches]}`);
  }
  const [batch] = batches;
  if (batch < last) throw new Error(`went back from batch ${last} to ${batch}`);
  last = batch;
  looks++;
}

function turn() {
  if (stopped) {
    process.stdout.write(`${looks}\n`);
    db.close();
    return;
  }
  look();
  setImmediate(turn);
}

turn();
