/**
 * VectorLite for Mastra: a vector store in one file.
 *
 * @example
 * ```ts
 * import { VectorLiteVector } from "vectorlite/mastra";
 *
 * const vectors = new VectorLiteVector({ id: "vectors", path: "app.vl" });
 * await vectors.createIndex({ indexName: "docs", dimension: 1536 });
 * await vectors.upsert({ indexName: "docs", vectors: embeddings, metadata });
 * const found = await vectors.query({ indexName: "docs", queryVector, filter: { lang: "en" } });
 * ```
 *
 * @module vectorlite/mastra
 */

export type { VectorLiteVectorFilter } from "./mastra-filter.ts";
export { VectorLiteVector, type VectorLiteVectorConfig } from "./mastra-vector.ts";
