/**
 * Holds a transaction open: prints "holding", then keeps it for the given milliseconds.
 *
 *     holder.mjs <file> <milliseconds>
 */
import { writeSync } from "node:fs";
import { Database } from "../../dist/index.js";

const [path, milliseconds] = process.argv.slice(2);
const db = new Database(path);
const docs = db.collection("docs", { dimension: 2 });
db.transaction(() => {
  docs.upsert("held", [1, 2]);
  writeSync(1, "holding\n");
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(milliseconds));
});
db.close();
