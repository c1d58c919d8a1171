/**
 * Answers that are found again for the same question in other words: what docs/semantic-cache.md
 * shows.
 *
 *     bun examples/semantic-cache.ts
 */

import { hashingEmbedder, hashingModel } from "./hashing-embedder.ts";
// #region cache
import { semanticCache } from "vectorlite/semantic-cache";

using answers = semanticCache<string>({
  path: ":memory:",
  embed,
  threshold: 0.75,
  model: hashingModel,
  ttl: 24 * 3600 * 1000,
  maxEntries: 10_000,
});

// Asked once: the second question is near enough, and the third is the first again.
console.log(await answers.getOrCompute("How do I reset my password?", ask));
console.log(await answers.getOrCompute("how can I reset the password", ask));
console.log(await answers.getOrCompute("How do I reset my password?", ask));

// What was found, which is never below the threshold.
const found = await answers.get("reset my password, how?");
console.log(found?.prompt, found?.exact); // How do I reset my password? false
console.log(await answers.get("Where is my invoice?")); // undefined

// An answer never leaves its namespace.
await answers.set("What do I owe?", "12 €", { namespace: "customer 7" });
console.log(await answers.get("What do I owe?", { namespace: "customer 8" })); // undefined
// #endregion

// #region calibrate
const pairs = [
  { a: "How do I reset my password?", b: "how can I reset the password", same: true },
  { a: "How do I reset my password?", b: "password reset", same: true },
  { a: "Where is my invoice?", b: "where can I find the invoice", same: true },
  { a: "Cancel my subscription", b: "How do I cancel the subscription?", same: true },
  { a: "How do I reset my password?", b: "How do I reset my phone?", same: false },
  { a: "Where is my invoice?", b: "Where is my parcel?", same: false },
  { a: "Weather in Paris tomorrow", b: "Weather in Rome tomorrow", same: false },
];
const report = await answers.calibrate(pairs, { precision: 0.99 });
console.log(report.threshold?.toFixed(2), report.recall, report.falseHitRate); // 0.88 0.75 0

// Three hits without a mistake are no 99 %: that takes 268.
console.log(report.precisionLow?.toFixed(2), report.proven, report.hitsNeeded); // 0.53 false 268
// #endregion

/** Stands for a language model. */
async function ask(question: string): Promise<string> {
  console.log(`asked: ${question}`);
  return "Choose “Forgot password”.";
}

/** Any function from a text to a vector; this one works offline. */
async function embed(text: string): Promise<Float32Array> {
  const [vector] = hashingEmbedder(512)([text]);
  return vector ?? new Float32Array(512);
}
