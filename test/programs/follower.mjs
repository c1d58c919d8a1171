/**
 * Keeps one collection open, called "docs" at first, whatever it is called later. Prints its name
 * and size, and again when its input ends, after one write.
 *
 *     follower.mjs <file>
 */
import { Database } from "../../dist/index.js";

const [path] = process.argv.slice(2);
const db = new Database(path);
const docs = db.collection("docs");
process.stdout.write(`${docs.name} ${docs.size}\n`);
process.stdin.on("end", () => {
  docs.upsert("follower", [1, 2]);
  process.stdout.write(`${docs.name} ${docs.size}\n`);
  db.close();
});
process.stdin.resume();
