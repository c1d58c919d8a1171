/**
 * A worker thread that writes batch after batch, each over all keys, until it is terminated.
 */
import { workerData } from "node:worker_threads";
import { Database } from "../../dist/index.js";

const { path, signal, durability } = workerData;
const db = new Database(path, { durability, busyTimeout: 60_000 });
const docs = db.collection("docs");
const waiting = new Int32Array(signal);
for (let batch = 1; ; batch++) {
  docs.upsertMany(
    Array.from({ length: 50 }, (_, n) => ({
      key: `key ${n}`,
      vector: new Float32Array(4).fill(batch),
    })),
  );
  Atomics.store(waiting, 0, batch);
  Atomics.notify(waiting, 0);
}
