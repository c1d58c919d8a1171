/**
 * Uses a database where descriptors are few, or where the standard streams are closed.
 *
 *     descriptors.mjs <file> many | streams
 */
import { writeSync } from "node:fs";
import { Database } from "../../dist/index.js";

const [path, way] = process.argv.slice(2);
const db = new Database(path, { durability: "normal" });
const docs = db.collection("docs", { dimension: 4 });
docs.upsert("key", [1, 2, 3, 4]);

function many() {
  const handles = [];
  let failure;
  while (failure === undefined) {
    try {
      handles.push(new Database(path));
    } catch (error) {
      failure = error;
    }
  }
  docs.upsert("key", [5, 6, 7, 8]);
  const seen = handles.every((handle) => handle.collection("docs").getVector("key")[0] === 5);
  handles.pop().close();
  new Database(path).close();
  for (const handle of handles) handle.close();
  const { code, message } = failure;
  const end = seen ? "all well" : "something was not seen";
  process.stdout.write(`${code} ${message} after ${handles.length}: ${end}\n`);
}

/** Whoever prints here prints to whatever has the number of the stream. */
function streams() {
  docs.delete("key");
  for (let n = 0; n < 100; n++) {
    docs.upsert(`${n}`, [n + 1, 1, 1, 1]);
    for (const stream of [1, 2]) {
      try {
        writeSync(stream, "PRINTED");
      } catch {
        // Closed is what it should be.
      }
    }
  }
}

if (way === "many") many();
else streams();
db.close();
