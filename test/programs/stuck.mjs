/**
 * A worker thread that opens a transaction, writes a part of a batch and never comes out again.
 */
import { workerData } from "node:worker_threads";
import { Database } from "../../dist/index.js";

const { path, signal, durability } = workerData;
const db = new Database(path, { durability });
const docs = db.collection("docs");
const waiting = new Int32Array(signal);
db.transaction(() => {
  for (let n = 0; ; n++) {
    docs.upsert(`key ${n % 50}`, [-1, -1, -1, -1]);
    if (n === 100) {
      Atomics.store(waiting, 0, 1);
      Atomics.notify(waiting, 0);
    }
  }
});
