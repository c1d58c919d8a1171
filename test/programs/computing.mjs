/**
 * Computes what a cache misses of the texts "0" to "49", told to begin by a byte on its standard
 * input; prints how many of them it computed, and ends with 1 where it got a wrong vector.
 *
 *     computing.mjs <file>
 */
import { readSync, writeSync } from "node:fs";
import { EmbedCache } from "../../dist/index.js";

const [path] = process.argv.slice(2);
const vectorOf = (text) => Float32Array.of(Number(text) + 1, 2, 3);
const texts = Array.from({ length: 50 }, (_, number) => String(number));
let computed = 0;

const cache = new EmbedCache({ path, dimension: 3 });
writeSync(1, "ready\n");
readSync(0, Buffer.alloc(1));
const options = { maxBatch: 5, concurrency: 2 };
const vectors = await cache.getOrComputeMany(
  texts,
  async (missing) => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    computed += missing.length;
    return missing.map(vectorOf);
  },
  options,
);
cache.close();
const isRight = vectors.every((vector, at) => vectorOf(texts[at]).every((x, i) => x === vector[i]));
writeSync(1, `${computed}\n`);
process.exit(isRight ? 0 : 1);
