/**
 * The ways to search, on 5,000 vectors of 256 dimensions: docs/search.md quotes it.
 *
 *     bun examples/search.ts      # writes search.vl where it runs
 */

import { Database } from "vectorlite";

const dimension = 256;
const count = 5000;

/** Some of the vectors lie close together, as texts about one subject do. */
function vectorOf(subject: number, seed: number): Float32Array {
  return Float32Array.from({ length: dimension }, (_, index) => {
    return (
      Math.sin(index * (subject + 1)) + 0.4 * Math.sin((index + 1) * (seed * 12.9898 + 78.233))
    );
  });
}

using db = new Database("search.vl", { durability: "none" });
const docs = db.collection<{ subject: number }>("docs", { dimension });
docs.upsertMany(
  Array.from({ length: count }, (_, seed) => ({
    key: `text ${seed}`,
    vector: vectorOf(seed % 50, seed),
    metadata: { subject: seed % 50 },
  })),
);
const query = vectorOf(7, 1_000_003);

// #region search
const nearest = docs.search(query, { k: 10, threshold: 0.5 });
console.log(nearest.every(({ metadata }) => metadata.subject === 7)); // true

const [first, second] = docs.searchMany([query, vectorOf(8, 1_000_003)], { k: 1 });
console.log(first?.[0]?.metadata.subject, second?.[0]?.metadata.subject); // 7 8

const later = await docs.searchAsync(query, { k: 10, threshold: 0.5 });
console.log(later.length === nearest.length); // true

const { plan, codesScanned, reranked, compared } = docs.explain(query, { k: 10 });
console.log(plan, codesScanned > 4000, reranked + compared < 2000); // codes true true

const { recall } = docs.recall({ k: 10, sample: 50 });
console.log(recall > 0.99); // true
// #endregion
