/**
 * The AI SDK behind a cache: what docs/sdks/ai-sdk.md shows. The models are stand-ins, so that it
 * runs offline.
 *
 *     npm install ai
 *     bun examples/ai-sdk.ts
 */

import { MockEmbeddingModelV4 } from "ai/test";
import { hashingEmbedder } from "./hashing-embedder.ts";

/** Stands for a model; a text costs one token. */
const provider = new MockEmbeddingModelV4({
  maxEmbeddingsPerCall: 100,
  doEmbed: async ({ values }) => ({
    embeddings: hashingEmbedder(1536)(values).map((vector) => [...vector]),
    usage: { tokens: values.length },
    warnings: [],
  }),
});

// #region embeddings
import { embed, embedMany, wrapEmbeddingModel } from "ai";
import { EmbedCache } from "vectorlite";
import { embeddingCache, withEmbeddingCache } from "vectorlite/ai-sdk";

using cache = new EmbedCache({ path: "ai-sdk.cache" });

// `provider` is any embedding model, such as openai.embeddingModel("text-embedding-3-small").
const model = wrapEmbeddingModel({ model: provider, middleware: embeddingCache({ cache }) });

const { usage } = await embedMany({ model, values: ["a cat", "a dog", "a cat"] });
console.log(usage.tokens <= 2); // true: each text is embedded once, in the next run none

const { embedding, usage: second } = await embed({ model, value: "a dog" });
console.log(embedding.length, second.tokens); // 1536 0

// For what takes a model and is not the AI SDK: the same cache, the same entries.
const same = withEmbeddingCache(provider, { cache });
console.log((await embed({ model: same, value: "a cat" })).usage.tokens); // 0
// #endregion
