/**
 * Tells whether a cache has a key, for each line on its standard input, and rests in between. It
 * has the file open as a database too, and never reads that.
 *
 *     resting.mjs <file>
 */
import { writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { Database, EmbedCache } from "../../dist/index.js";

const path = process.argv[2];
const cache = new EmbedCache({ path });
const database = new Database(path, { readonly: true });
for await (const key of createInterface({ input: process.stdin })) {
  writeSync(1, `${cache.has(key)}\n`);
}
cache.close();
database.close();
