/**
 * The first screen of the README: an embedding cache.
 *
 *     bun examples/embedding-cache.ts      # writes embeddings.cache where it runs
 */

import { hashingEmbedder } from "./hashing-embedder.ts";
// #region cache
import { EmbedCache } from "vectorlite";

using cache = new EmbedCache({ path: "embeddings.cache", dimension: 1536, model: "my-model" });

// What the file has is not embedded again; concurrent calls, also of Workers, embed a text once.
const vector = await cache.getOrCompute("How do I reset my password?", embed);

// Many texts: embedAll is called once, with the distinct texts that are missing, or not at all.
const texts = ["How do I reset my password?", "Where is my invoice?"];
const vectors = await cache.getOrComputeMany(texts, embedAll);

// Otherwise it is a Map that survives restarts. Vectors come back bit for bit.
cache.set("greeting", vector);
cache.setMany(["a", "b"], vectors); // one atomic batch: both or neither
cache.get("greeting"); // Float32Array | undefined
cache.delete("greeting"); // true
cache.size; // 4

// The nearest entries, the closest first …
const question = await embed("how can I reset the password");
for (const { key, score } of cache.search(question, { k: 3 })) console.log(score.toFixed(3), key);

// … or the one that is close enough to be the same question.
const known = cache.findSimilar(question, { threshold: 0.7 }); // { key, vector, score } | undefined
console.log(known?.key); // How do I reset my password?
// #endregion

console.log(cache.stats());

/** Any function from texts to vectors; this one works offline. */
async function embedAll(missing: string[]): Promise<Float32Array[]> {
  return hashingEmbedder(1536)(missing);
}

async function embed(text: string): Promise<Float32Array> {
  const [vector] = await embedAll([text]);
  return vector ?? new Float32Array(1536);
}
