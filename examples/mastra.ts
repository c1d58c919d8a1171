/**
 * Mastra: a vector store in one file. docs/sdks/mastra.md quotes it.
 *
 *     bun examples/mastra.ts      # writes mastra.vl where it runs
 */

import { VectorLiteError } from "vectorlite";
import { VectorLiteVector } from "vectorlite/mastra";
import { hashingEmbedder } from "./hashing-embedder.ts";

const embed = hashingEmbedder(256);
const embedAll = (texts: string[]): number[][] => embed(texts).map((one) => Array.from(one));
const embedOne = (text: string): number[] => Array.from(embed([text])[0] ?? []);

// #region mastra
using vectors = new VectorLiteVector({ id: "vectors", path: "mastra.vl" });
await vectors.deleteIndex({ indexName: "docs" }); // a second run begins anew
await vectors.createIndex({ indexName: "docs", dimension: 256 }); // metric: cosine

const texts = ["cats at sea", "cats at home", "ships at sea"];
await vectors.upsert({
  indexName: "docs",
  vectors: embedAll(texts),
  ids: ["sea", "home", "ships"],
  metadata: texts.map((text, page) => ({ text, source: { file: "a.md", page }, tags: ["a", "b"] })),
});

const queryVector = embedOne("a cat");
const filter = { "source.page": { $lt: 2 }, tags: { $all: ["a", "b"] } };
for (const { id, metadata } of await vectors.query({ indexName: "docs", queryVector, filter })) {
  console.log(id, metadata?.["source"].page); // home 1, then sea 0
}

// The pieces of a document that changed, in the place of the old ones: one transaction.
await vectors.upsert({
  indexName: "docs",
  vectors: embedAll(["dogs at sea"]),
  metadata: [{ text: "dogs at sea", source: { file: "a.md", page: 0 } }],
  deleteFilter: { "source.file": "a.md" },
});
console.log((await vectors.describeIndex({ indexName: "docs" })).count); // 1

// What cannot be asked is an error, never ignored.
try {
  const regex = { text: { $regex: "^dogs" } } as never;
  await vectors.deleteVectors({ indexName: "docs", filter: regex });
} catch (error) {
  if (error instanceof VectorLiteError) console.log(error.code); // ERR_INVALID_ARGUMENT
}
// #endregion
