/**
 * Commits once, then begins an asynchronous transaction that writes much and never ends. Prints
 * "committed", and "waiting" whenever it has written and waits.
 *
 *     async-holder.mjs <file> <durability>
 */
import { writeSync } from "node:fs";
import { Database } from "../../dist/index.js";

const [path, durability] = process.argv.slice(2);
const db = new Database(path, { durability });
const a = db.collection("a");
const b = db.collection("b");
a.upsert("before", [1, 2]);
writeSync(1, "committed\n");
await db.transactionAsync(async () => {
  const more = db.collection("more", { dimension: 64 });
  for (let round = 0; ; round++) {
    a.upsert("old", [round, 7]);
    a.upsert(`inside ${round}`, [round, 1]);
    b.upsert(`inside ${round}`, [round, 1, 1]);
    const keys = Array.from({ length: 2000 }, (_, n) => `${round} ${n}`);
    more.upsertMany(keys, new Float32Array(64 * 2000).fill(round + 1));
    writeSync(1, "waiting\n");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
});
