/**
 * VectorLite: an embedding cache and a vector database in one crash-safe file.
 *
 * `EmbedCache` is a `Map` from texts to embeddings that survives restarts. `Database` has
 * collections with metadata, transactions and snapshots. Both write the same file format.
 *
 * @example
 * ```ts
 * import { EmbedCache } from "vectorlite";
 *
 * using cache = new EmbedCache({ path: "embeddings.cache", dimension: 1536 });
 * const vector = await cache.getOrCompute("What is a vector?", embed);
 * ```
 *
 * @module vectorlite
 */

export { EmbedCache } from "./cache.ts";
export { Collection } from "./collection.ts";
export { Database } from "./database.ts";
export { type ErrorCode, ImportError, VectorLiteError } from "./errors.ts";
export type { FieldFilter, FieldOperators, Filter } from "./filter.ts";
export { salvage } from "./salvage.ts";
export { Snapshot } from "./snapshot.ts";
export type {
  BackupOptions,
  CacheMessage,
  CacheMode,
  CacheStats,
  CompactOptions,
  CollectionOptions,
  CollectionStats,
  Compute,
  ComputeContext,
  ComputedVector,
  ComputedVectors,
  ComputeMany,
  ComputeManyOptions,
  ComputeOptions,
  Damage,
  DamageKind,
  DatabaseOptions,
  DatabaseStats,
  Durability,
  EmbedCacheOptions,
  EvictMessage,
  ExportedRecord,
  ExportOptions,
  GetOptions,
  Hit,
  HitMessage,
  ImportOptions,
  ImportResult,
  Include,
  IterationOptions,
  Metadata,
  MetadataOf,
  MetadataValue,
  Metric,
  ModelIdentity,
  NamespaceOptions,
  NewRecord,
  Progress,
  RecallOptions,
  RecallReport,
  SalvagedCollection,
  SalvageOptions,
  SalvageResult,
  SearchExplanation,
  SearchOptions,
  ServerlessOptions,
  SetOptions,
  SimilarEntry,
  StoredRecord,
  TransferProgress,
  VectorBatch,
  VectorLike,
  VectorsLike,
  VerifyOptions,
  VerifyResult,
} from "./types.ts";
