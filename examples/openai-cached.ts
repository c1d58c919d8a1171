/**
 * Embeddings of OpenAI's SDK, one cache for several models: what docs/sdks/openai.md shows. The
 * server is a function, so that it runs offline.
 *
 *     npm install openai
 *     bun examples/openai-cached.ts
 */

import OpenAI from "openai";
import { hashingEmbedder } from "./hashing-embedder.ts";

/** Stands for OpenAI's server. */
async function server(_: unknown, request?: RequestInit): Promise<Response> {
  const { input, dimensions = 1536 } = JSON.parse(String(request?.body));
  console.log(`asked for ${input.length}`);
  const data = hashingEmbedder(dimensions)(input).map(({ buffer }, index) => {
    return { index, embedding: Buffer.from(buffer).toString("base64") };
  });
  return Response.json({ data, usage: { total_tokens: input.length } });
}

const client = new OpenAI({ apiKey: "none", fetch: server });

// #region embeddings
import { EmbedCache } from "vectorlite";
import { cachedEmbeddings } from "vectorlite/openai";

using cache = new EmbedCache({ path: "openai.cache" });

// `client` is yours: new OpenAI(), an AzureOpenAI, or one with a baseURL of your own.
const small = cachedEmbeddings(cache, client, { model: "text-embedding-3-small" });
const large = cachedEmbeddings(cache, client, {
  model: "text-embedding-3-large",
  dimensions: 256,
});

const vectors = await small.embedMany(["a cat", "a dog", "a cat"]); // each text once
const vector = await small.embed("a cat"); // a Float32Array, without a request
console.log(vectors.length, vector.length, (await large.embed("a cat")).length); // 3 1536 256

const [hit] = small.cache.search(vector, { k: 1 });
console.log(hit?.key, hit?.score.toFixed(2)); // a cat 1.00
// #endregion
