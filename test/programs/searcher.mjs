/**
 * Searches in the background, as a worker until it is terminated, or as a program:
 *
 *     searcher.mjs <file> await|exit
 */
import { isMainThread, parentPort, workerData } from "node:worker_threads";
import { Database } from "../../dist/index.js";

const path = isMainThread ? process.argv[2] : workerData.path;
const count = isMainThread ? 400 : workerData.queries;
const db = new Database(path);
const docs = db.collection("docs");
const queries = Float32Array.from({ length: count * docs.dimension }, (_, n) => Math.sin(n) + 0.1);
const running = docs.searchManyAsync(queries, { exact: true, k: 3 });
if (isMainThread) {
  running.then((found) => console.log(found.length));
  if (process.argv[3] === "exit") process.exit(3);
} else {
  parentPort.postMessage("started");
  const found = await running;
  parentPort.postMessage({ queries: found.length, hits: found[0].length });
}
