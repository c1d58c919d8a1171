/**
 * Imports records from a generator and exports them again, and prints what the heap holds after
 * each tenth of them.
 *
 *     transfer.mjs <file> <records>
 */
import { Database } from "../../dist/index.js";

const [path, count] = process.argv.slice(2);
const db = new Database(path, { durability: "none" });
const docs = db.collection("docs", { dimension: 8 });
const tenth = Number(count) / 10;

function heap() {
  if (globalThis.Bun) globalThis.Bun.gc(true);
  else globalThis.gc();
  return process.memoryUsage().heapUsed;
}

function* generate() {
  for (let n = 0; n < Number(count); n++) {
    yield { key: `key ${n}`, vector: new Float32Array(8).fill(n + 1), metadata: { n } };
  }
}

const imported = [];
await docs.import(generate(), {
  onProgress: ({ records }) => {
    if (records % tenth === 0) imported.push(heap());
  },
});
const exported = [];
let seen = 0;
for await (const { key, vector } of docs.export()) {
  if (`key ${vector[0] - 1}` !== key) throw new Error(`${key} is not what it was`);
  if (++seen % tenth === 0) exported.push(heap());
}
if (seen !== Number(count)) throw new Error(`${seen} of ${count} came out`);
process.stdout.write(JSON.stringify({ imported, exported }));
db.close();
