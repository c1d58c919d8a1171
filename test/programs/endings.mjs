/**
 * Ends in the middle of a transaction, in one of several ways.
 *
 *     endings.mjs <file> exit | throw | reject | abort | kill | fork | spawn
 */
import { fork, spawnSync } from "node:child_process";
import { Database } from "../../dist/index.js";

const [path, way] = process.argv.slice(2);
if (way === "child") process.exit(0);
const db = new Database(path);
const docs = db.collection("docs", { dimension: 4 });
docs.upsert("before", [1, 1, 1, 1]);
db.transaction(() => {
  docs.upsert("before", [2, 2, 2, 2]);
  for (let n = 0; n < 500; n++) docs.upsert(`inside ${n}`, [n, 1, 1, 1]);
  if (way === "exit") process.exit(7);
  if (way === "throw") throw new Error("thrown inside");
  if (way === "abort") process.abort();
  if (way === "kill") process.kill(process.pid, "SIGKILL");
  // A child has none of our descriptors, so its end releases nothing of ours.
  if (way === "fork") fork(import.meta.filename, [path, "child"]);
  if (way === "spawn") spawnSync(process.execPath, [import.meta.filename, path, "child"]);
});
process.stdout.write("committed\n");
db.close();
