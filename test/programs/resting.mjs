/**
 * Tells whether a cache has a key, for each line on its standard input, and rests in between.
 *
 *     resting.mjs <file>
 */
import { writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { EmbedCache } from "../../dist/index.js";

const cache = new EmbedCache({ path: process.argv[2] });
for await (const key of createInterface({ input: process.stdin })) {
  writeSync(1, `${cache.has(key)}\n`);
}
cache.close();
