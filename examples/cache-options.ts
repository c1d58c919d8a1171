/**
 * Everything that a cache does beside keeping vectors: docs/embedding-cache.md quotes it.
 *
 *     bun examples/cache-options.ts      # writes options.cache and others where it runs
 */

import { rmSync } from "node:fs";
import { subscribe } from "node:diagnostics_channel";
import { EmbedCache, VectorLiteError } from "vectorlite";
import { hashingEmbedder } from "./hashing-embedder.ts";

const hash = hashingEmbedder(256);
/** Stands for a provider: it takes batches and a signal, and says what it took. */
async function embedAll(
  texts: string[],
  { signal }: { signal: AbortSignal },
): Promise<{ vectors: Float32Array[]; tokens: number }> {
  signal.throwIfAborted();
  return { vectors: hash(texts), tokens: texts.join(" ").split(" ").length };
}
function embedOne(text: string): Float32Array {
  return hash([text])[0] ?? new Float32Array(256);
}
for (const path of ["options.cache", "bounded.cache", "private.cache", "recorded.cache"]) {
  rmSync(path, { force: true });
}

// #region compute
using cache = new EmbedCache({ path: "options.cache", dimension: 256, maxBatch: 2 });
const texts = ["a cat", "a dog", "a cat", "a fish"];

// Three distinct texts, in two batches; each is stored when it has come.
const vectors = await cache.getOrComputeMany(texts, embedAll, {
  signal: AbortSignal.timeout(10_000),
});
console.log(vectors.length, cache.size); // 4 3

const { computed, hitRate, tokensComputed } = cache.stats();
console.log(computed, hitRate, tokensComputed); // 3 0 6
// #endregion

// #region namespaces
const queries = cache.namespace("queries", { model: { name: "embed-3", task: "query" } });
await queries.getOrComputeMany(["a cat"], embedAll); // its first vector decides the dimension
console.log(queries.size, cache.namespace("queries") === queries); // 1 true
console.log(cache.namespaces().sort().join()); // default,queries
// #endregion

// #region model
try {
  cache.namespace("queries", { model: { name: "embed-3", task: "document" } });
} catch (error) {
  if (error instanceof VectorLiteError) console.log(error.code); // ERR_MODEL
}
// #endregion

// #region matryoshka
const model = { name: "embed-3-large", matryoshka: [64, 128] };
const large = cache.namespace("large", { model });
const [short] = await large.getOrComputeMany(["a cat"], embedAll, { dimensions: 64 });
console.log(short?.length, large.get("a cat")?.length); // 64 256
// #endregion

// #region bounds
using bounded = new EmbedCache({
  path: "bounded.cache",
  dimension: 256,
  ttl: 30 * 24 * 3600 * 1000, // a month
  maxEntries: 1000,
  maxBytes: 64 << 20,
  pricePerMillionTokens: 0.02,
});
for (let number = 0; number < 1500; number++) bounded.set(`text ${number}`, embedOne("text"));
bounded.set("for a moment", embedOne("text"), { ttl: 1000 });
console.log(bounded.size <= 1000, bounded.stats().evictions >= 500); // true true
// #endregion

// #region hashed
const secret = process.env["CACHE_SECRET"] ?? "32 random bytes of your own";
using hidden = new EmbedCache({ path: "private.cache", dimension: 256, hashKeys: secret });
await hidden.getOrComputeMany(["my name is Ada"], embedAll);
console.log(hidden.has("my name is Ada")); // true
console.log([...hidden.keys()].includes("my name is Ada")); // false
// #endregion

// #region modes
// Once, with a network:
{
  using recorder = new EmbedCache({ path: "recorded.cache", mode: "record-missing" });
  await recorder.namespace("tests").getOrComputeMany(["a cat"], embedAll);
}
// From then on, without one:
using replay = new EmbedCache({ path: "recorded.cache", mode: "replay" });
const tests = replay.namespace("tests");
console.log((await tests.getOrComputeMany(["a cat"], embedAll)).length); // 1
const miss = await tests.getOrComputeMany(["a dog"], embedAll).catch((error) => error.code);
console.log(miss); // ERR_MISS
// #endregion

// #region channels
subscribe("vectorlite:hit", (message) => {
  const { namespace, keys } = message as { namespace: string; keys: string[] };
  console.log(`${namespace}: ${keys}`); // default: a dog
});
await cache.getOrComputeMany(["a dog"], embedAll);
// #endregion
