/**
 * A worker thread that writes and reads its own keys and tells what it found.
 */
import { parentPort, workerData } from "node:worker_threads";
import { Database } from "../../dist/index.js";

const { path, name, count } = workerData;
const db = new Database(path, { busyTimeout: 60_000 });
const docs = db.collection("docs", { dimension: 4 });
let right = 0;
for (let n = 0; n < count; n++) {
  docs.upsert(`${name} ${n}`, [n + 1, 1, 1, 1]);
  if (docs.getVector(`${name} ${n}`)?.[0] === n + 1) right++;
}
const hits = docs.search([1, 1, 1, 1], { k: 3 }).length;
db.close();
parentPort.postMessage({ right, hits });
