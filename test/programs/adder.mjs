/**
 * Adds records one by one, beside others that do the same.
 *
 *     adder.mjs <file> <name> <count>
 */
import { Database } from "../../dist/index.js";

const [path, name, count] = process.argv.slice(2);
const db = new Database(path, { busyTimeout: 60_000 });
const docs = db.collection("docs", { dimension: 4 });
for (let n = 0; n < Number(count); n++) {
  docs.upsert(`${name} ${n}`, [n + 1, 1, 1, 1], { name });
  if (!docs.has(`${name} ${n}`)) throw new Error(`${name} ${n} is not there`);
}
db.close();
