/**
 * Answers of the AI SDK that are found again: what docs/sdks/ai-sdk.md shows. The model is a
 * stand-in, so that it runs offline.
 *
 *     npm install ai
 *     bun examples/ai-sdk-answers.ts
 */

import { MockLanguageModelV4 } from "ai/test";
import { hashingEmbedder, hashingModel } from "./hashing-embedder.ts";

const none = { total: 0, noCache: 0, cacheRead: 0, cacheWrite: 0 };

/** Stands for a language model; an answer costs five tokens. */
const provider = new MockLanguageModelV4({
  doGenerate: async () => ({
    content: [{ type: "text", text: "Choose “Forgot password”." }],
    finishReason: { unified: "stop", raw: "stop" },
    usage: { inputTokens: none, outputTokens: { total: 5, text: 5, reasoning: 0 } },
    warnings: [],
  }),
});

/** Any function from a text to a vector. */
async function embed(text: string): Promise<Float32Array> {
  const [vector] = hashingEmbedder(512)([text]);
  return vector ?? new Float32Array(512);
}

// #region answers
import { generateText, streamText, wrapLanguageModel } from "ai";
import { type StoredAnswer, semanticCacheMiddleware } from "vectorlite/ai-sdk";
import { semanticCache } from "vectorlite/semantic-cache";

using answers = semanticCache<StoredAnswer>({
  path: ":memory:",
  embed,
  model: hashingModel,
  threshold: 0.75,
});

// `provider` is any language model, such as openai("gpt-5").
const model = wrapLanguageModel({
  model: provider,
  middleware: semanticCacheMiddleware({ cache: answers, scope: "customer 7" }),
});

const first = await generateText({ model, prompt: "How do I reset my password?" });
console.log(first.usage.outputTokens, first.text); // 5 Choose “Forgot password”.

// Streams share the answers.
const second = streamText({ model, prompt: "how can I reset the password" });
console.log((await second.usage).outputTokens, await second.text); // 0 Choose “Forgot password”.
console.log((await second.providerMetadata)?.["vectorlite"]); // { score: 0.8… }
// #endregion
