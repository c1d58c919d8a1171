/**
 * VectorLite for the AI SDK: a cache around embedding models, and a semantic one around language
 * models.
 *
 * @example
 * ```ts
 * import { embed, wrapEmbeddingModel } from "ai";
 * import { EmbedCache } from "vectorlite";
 * import { embeddingCache } from "vectorlite/ai-sdk";
 *
 * using cache = new EmbedCache({ path: "embeddings.cache" });
 * const model = wrapEmbeddingModel({ model: provider, middleware: embeddingCache({ cache }) });
 * const { embedding } = await embed({ model, value: "What is a vector?" });
 * ```
 *
 * @module vectorlite/ai-sdk
 */

export type { StoredAnswer, StoredResponse } from "./ai-sdk-answers.ts";
export {
  type CacheableEmbeddingModel,
  type CacheableEmbeddingResult,
  type EmbeddingCacheOptions,
  type EmbeddingUsage,
  embeddingCache,
  withEmbeddingCache,
} from "./ai-sdk-embedding.ts";
export {
  type AnswerCache,
  type FoundAnswer,
  type SemanticCacheMiddlewareOptions,
  semanticCacheMiddleware,
} from "./ai-sdk-language.ts";
