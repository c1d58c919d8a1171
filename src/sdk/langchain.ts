/**
 * VectorLite for LangChain: embeddings that are computed once, a vector store, and a store of
 * vectors by key.
 *
 * @example
 * ```ts
 * import { CachedEmbeddings, VectorLiteVectorStore } from "vectorlite/langchain";
 *
 * const embeddings = new CachedEmbeddings({ embeddings: openai, cache, model: "embed-3-small" });
 * const store = await VectorLiteVectorStore.fromDocuments(docs, embeddings, { path: "docs.vl" });
 * const retriever = store.asRetriever({ k: 5, filter: { lang: "en" } });
 * ```
 *
 * @module vectorlite/langchain
 */

export { CachedEmbeddings, type CachedEmbeddingsParams } from "./langchain-embeddings.ts";
export { VectorLiteStore, type VectorLiteStoreParams } from "./langchain-store.ts";
export {
  type AddOptions,
  type DeleteParams,
  VectorLiteVectorStore,
  type VectorLiteVectorStoreConfig,
} from "./langchain-vector-store.ts";
