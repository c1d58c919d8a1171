/**
 * A worker thread that holds a snapshot and stays inside of a transaction until it is terminated.
 */
import { parentPort, workerData } from "node:worker_threads";
import { Database } from "../../dist/index.js";

const db = new Database(workerData.path);
const docs = db.collection("docs", { dimension: 4 });
const snapshot = db.snapshot();
db.transaction(() => {
  docs.upsert("uncommitted", [1, 2, 3, 4]);
  parentPort.postMessage(snapshot.collections());
  for (;;) docs.has("uncommitted");
});
