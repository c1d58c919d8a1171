/**
 * The public types. No code: importing this file costs nothing at run time.
 *
 * Options say `| undefined` on every field, so that a caller may pass on what it was given; a field
 * that is `undefined` is a field left out.
 *
 * @module
 */

import type { Filter } from "./filter.ts";

/** A vector on its way in: 32-bit floats, or plain numbers rounded to 32 bits. Always copied. */
export type VectorLike = Float32Array | readonly number[];

/** Several vectors on their way in: a list, or one packed array of n × dimension floats. */
export type VectorsLike = Float32Array | readonly VectorLike[];

/**
 * How closeness is measured: `cosine` similarity in [-1, 1] and `dot` product, where larger is
 * closer, or `l2`, the Euclidean distance, where smaller is closer.
 */
export type Metric = "cosine" | "dot" | "l2";

/**
 * What a power loss may cost. A crash of the process alone costs nothing in any mode, and no mode
 * can damage a file.
 *
 * - `full`: nothing that was committed.
 * - `normal`: at most the last second.
 * - `none`: what came after the last `flush()` or `close()`.
 */
export type Durability = "full" | "normal" | "none";

/** A value of one metadata field. */
export type MetadataValue =
  | string
  | number
  | boolean
  | null
  | readonly string[]
  | readonly number[];

/** What is stored beside a vector: flat fields, returned as they were given. */
export type Metadata = { [field: string]: MetadataValue };

/**
 * What may stand for a document type: {@link Metadata}, or an interface whose fields are all
 * metadata values.
 */
export type MetadataOf<Doc> = { [Field in keyof Doc]: MetadataValue | undefined };

/**
 * What decides a vector besides its text. Two models are the same where all fields but `matryoshka`
 * are; `{ name }` is the same as the name alone. Stored as at most 1000 bytes.
 */
export interface ModelIdentity {
  /** The name of the model. */
  name: string;
  /** Numbers that were asked for, where a model can give more or fewer. Also the `dimension`. */
  dimensions?: number | undefined;
  /** What the vectors are for, where the model makes others for it: `"query"`, `"document"`. */
  task?: string | undefined;
  /** The version of the model, or of what is done to texts before. */
  revision?: string | undefined;
  /**
   * Whether the beginning of a vector is a vector too, as in models that were trained for it
   * (Matryoshka representation learning): `true` for any length, or the lengths that are allowed.
   * Stored with a new file or namespace; saying it later is fine too. Default: no.
   */
  matryoshka?: boolean | readonly number[] | undefined;
}

/**
 * What a cache may write, and what it may compute on a miss.
 *
 * - `read-write`: everything.
 * - `read-only`: computes what is missing and returns it, and writes nothing.
 * - `record-missing`: stores what is missing, and changes nothing that is there: `set` of a key
 *   that is there is ignored, `delete` and `clear` are ERR_READONLY.
 * - `replay`: computes nothing and writes nothing: `getOrCompute` of a missing key is ERR_MISS.
 */
export type CacheMode = "read-write" | "read-only" | "record-missing" | "replay";

/** Options of `new EmbedCache()`. */
export interface EmbedCacheOptions {
  /** The file; `":memory:"` keeps nothing. Default `"./embeddings.cache"`. */
  path?: string | undefined;
  /**
   * Which cache of the file: each has keys, a dimension and a model of its own. At most 255 bytes
   * of UTF-8. Default `"default"`.
   */
  namespace?: string | undefined;
  /**
   * Numbers in a vector. Default: what the file says. In a new file it is 1536 or, with
   * `namespace`, what the first vector has.
   */
  dimension?: number | undefined;
  /** The threshold of `findSimilar` where the call names none, in [-1, 1]. Default: none. */
  similarityThreshold?: number | undefined;
  /** Hot vectors kept in private memory. Default 100. */
  cacheSize?: number | undefined;
  /** Identity of the embedding model; opening the file with another one is an error. */
  model?: string | ModelIdentity | undefined;
  /**
   * Stores hashes of keys instead of the keys, which may then have any length. Default `false`.
   *
   * What is stored of a key is HMAC-SHA-256 of it, cut to 128 bits, and its length in bytes.
   * `keys()` and the hits of searches give that. With a secret, who has the file but not the secret
   * cannot tell which texts it knows; take 32 random bytes from where your other secrets are: a
   * short one can be guessed. With `true` the secret is random and kept in the file itself, so who
   * has the file can try texts; it only keeps texts out of backups and away from eyes. Neither
   * hides lengths, nor the vectors, which tell much about their texts.
   */
  hashKeys?: boolean | string | undefined;
  /** What a power loss may cost. Default `"normal"`: at most the last second. */
  durability?: Durability | undefined;
  /**
   * Opens an existing file without ever writing to it. Default `false`, or as `mode` says. Without
   * a `mode`, `getOrCompute` of a missing key is ERR_READONLY then.
   */
  readonly?: boolean | undefined;
  /** What is written and computed; for all namespaces of the file. Default `"read-write"`. */
  mode?: CacheMode | undefined;
  /** Keys of one call of a `compute` at most, 1 to 1,000,000. Default: no limit. */
  maxBatch?: number | undefined;
  /** Calls of a `compute` beside each other at most, for one call of a cache. Default 4. */
  concurrency?: number | undefined;
  /**
   * Milliseconds that an entry lives after it was set, 1 to a hundred years. What is over is never
   * returned, and its space is used again. Default: for ever.
   */
  ttl?: number | undefined;
  /**
   * Entries of a namespace at most. Those that were not read lately go first; what was read once
   * and never again does not push out what is read often. Which were read is known by this handle
   * only, since it was opened. Default: any number.
   */
  maxEntries?: number | undefined;
  /**
   * Bytes to which this handle lets the file grow, 1 MiB or more. About a half of it can be
   * vectors, the rest is room to write. Namespaces share it: the one whose vectors take most gives
   * up entries, as with `maxEntries` while it is written. A batch that takes about half of
   * it is ERR_NO_SPACE, a dimension of which not even four vectors fit ERR_INVALID_ARGUMENT. A file
   * that is larger already gives up its oldest entries, and gets as small, when it is opened.
   * Collections that a `Database` made lose nothing, and are not opened with a maximum. Not with
   * the mode "record-missing". Default: any number.
   */
  maxBytes?: number | undefined;
  /** What a million tokens cost, for `stats().moneySaved`. */
  pricePerMillionTokens?: number | undefined;
}

/** Options of {@link EmbedCache.set}. */
export interface SetOptions {
  /** Milliseconds that the entry lives from now on. Default: that of the cache. */
  ttl?: number | undefined;
  /** Tokens that computing it took, for `stats().tokensSaved`. Default 0. */
  tokens?: number | undefined;
}

/** Options of {@link EmbedCache.namespace}. */
export interface NamespaceOptions {
  /** Numbers in a vector. Default: what the file says, or the first vector. */
  dimension?: number | undefined;
  /** Identity of the embedding model; opening the namespace with another one is an error. */
  model?: string | ModelIdentity | undefined;
  /** Hot vectors kept in private memory. Default: as in the cache. */
  cacheSize?: number | undefined;
  /** The threshold of `findSimilar` where the call names none. Default: as in the cache. */
  similarityThreshold?: number | undefined;
  /** Stores hashes of keys; see {@link EmbedCacheOptions}. Default: as in the cache. */
  hashKeys?: boolean | string | undefined;
  /** Milliseconds that an entry lives. Default: as in the cache. */
  ttl?: number | undefined;
  /** Entries at most. Default: as many as the cache. */
  maxEntries?: number | undefined;
  /** What a million tokens cost, for `stats().moneySaved`. Default: as in the cache. */
  pricePerMillionTokens?: number | undefined;
}

/** Options of {@link EmbedCache.forServerless}: those of a cache; the path is chosen for you. */
export type ServerlessOptions = Omit<EmbedCacheOptions, "path">;

/** Options of `new Database()`. */
export interface DatabaseOptions {
  /** Opens an existing file without ever writing to it. Default `false`. */
  readonly?: boolean | undefined;
  /** Creates the file where there is none. Default `true`, or `false` with `readonly`. */
  create?: boolean | undefined;
  /** What a power loss may cost. Default `"full"`: nothing. */
  durability?: Durability | undefined;
  /** Milliseconds to wait for another process that is writing. Default 5000. */
  busyTimeout?: number | undefined;
  /**
   * Bytes of memory the engine may keep for pages of the file, besides those with the codes that
   * searches read (3.4 % of the vectors at 1536 dimensions, 10 % at 128) and, while it runs, what
   * an exact search reads. Default 67,108,864 (64 MiB).
   */
  memoryBudget?: number | undefined;
  /**
   * Opens the state of so many durable commits before the newest one: 1 is the last before. Needs
   * `readonly`. A file keeps up to three of them (four while the newest commit is not durable yet),
   * fewer when it is new, was compacted or would have had to grow. What is open stays however much
   * is written meanwhile; the space that was given up since then is used again once it is closed.
   * Default 0, which is the newest state.
   */
  olderRoot?: number | undefined;
}

/** Options of `database.collection()`. */
export interface CollectionOptions {
  /** Numbers in a vector. Needed to create; for an existing collection it is checked. */
  dimension?: number | undefined;
  /** How closeness is measured. Default: what the file says, `"cosine"` for a new collection. */
  metric?: Metric | undefined;
  /** Identity of the embedding model; opening the collection with another one is an error. */
  model?: string | undefined;
  /**
   * Creates the collection where there is none and `dimension` is given. What it stores stays until
   * it is deleted, also where a cache with `maxBytes` uses the file. Default `true`.
   */
  create?: boolean | undefined;
  /** Hot vectors kept in private memory. Default 100; what opens the collection first decides. */
  cacheSize?: number | undefined;
}

/** One record as it is read. */
export interface StoredRecord<Doc = Metadata> {
  /** The key, as given. */
  key: string;
  /** A copy of the vector that the caller owns, bit for bit as given. */
  vector: Float32Array;
  /** The metadata as given; `{}` where none was. */
  metadata: Doc;
}

/** One record as it is written by `upsertMany`. */
export interface NewRecord<Doc = Metadata> {
  /** The key: a non-empty string of at most 65,536 bytes in UTF-8. */
  key: string;
  /** The vector, copied. */
  vector: VectorLike;
  /** The metadata. Default: none, also where the record it replaces had some. */
  metadata?: Doc | undefined;
}

/** What a hit may carry beside its key and score. */
export type Include = "vector" | "metadata";

/** Options of `collection.search()`. */
export interface SearchOptions<Included extends Include = Include, Doc = Metadata> {
  /** Hits wanted at most, 1 to 1,048,576 together with `offset`. Default 10. */
  k?: number | undefined;
  /** Only hits at least this close: a score or more, under `l2` a distance or less. No default. */
  threshold?: number | undefined;
  /** Closest hits to leave out first, for paging. Default 0. */
  offset?: number | undefined;
  /**
   * Only records whose metadata match; `k` of them, wherever there are so many. Default: all. The
   * metadata is looked at before the vectors, so the fewer match the less there is to search.
   */
  filter?: Filter<Doc> | undefined;
  /** What each hit carries beside its key and score. Default `["metadata"]`. */
  include?: readonly Included[] | undefined;
  /**
   * Compares the query with every vector. Default false: codes of one bit for each dimension rule
   * out nearly all of them first, and a neighbour is missed about once in a thousand times or less
   * (`collection.recall()` measures it); scores are exact either way.
   */
  exact?: boolean | undefined;
  /**
   * Threads that share the work, 1 to 64, the caller's among them. Default: as many as it is worth,
   * which is one below some tens of megabytes, and never more than four or than there are cores.
   * With `exact` the hits are the same however many there are; without, each way may miss another
   * neighbour.
   */
  threads?: number | undefined;
}

/** Options of `collection.keys()` and `collection.entries()`. */
export interface IterationOptions<Doc = Metadata> {
  /** Only records whose metadata match. Default: all. */
  filter?: Filter<Doc> | undefined;
}

/** How a search was done: what `collection.explain()` returns. */
export interface SearchExplanation {
  /**
   * `codes`: codes were read, and the vectors that they did not rule out; `compared` is large where
   * they ruled out too few, and the rest was compared in order. `exact`: all vectors, or all of the
   * records that match the filter.
   */
  plan: "codes" | "exact";
  /** Hits that were found. */
  hits: number;
  /** Records whose codes were read, deleted ones whose space is not used again among them. */
  codesScanned: number;
  /** Vectors that were compared because their codes did not rule them out. */
  reranked: number;
  /** Vectors that were compared without asking a code, of deleted records too. */
  compared: number;
  /** Bytes of codes and vectors that were read, from memory or from the file. */
  bytesRead: number;
  /** The kernels that were used: `v2`, `v3`, `v4`, `v4-vnni`, `neon` or `neon-dot`. */
  cpu: string;
  /** Threads that shared the work; fewer than were asked for where the system gave no more. */
  threads: number;
  /** Time of the whole call, in µs: the search, and reading what is included in the hits. */
  microseconds: number;
  /** What the filter did; not there without one. */
  filter?: {
    /** Records that match it. */
    matches: number;
    /** Their part of all records, 0 to 1. */
    selectivity: number;
    /** Records whose own metadata had to be read, since the columns did not tell. */
    documentsRead: number;
  };
}

/** What `collection.recall()` measures. */
export interface RecallReport {
  /** The part of the nearest other records that the default search finds, 0 to 1. */
  recall: number;
  /** Records that were searched for. */
  sample: number;
  /** Median time of one exact search, in µs. */
  exactMicros: number;
  /** Median time of one default search, in µs. */
  searchMicros: number;
}

/** Options of `collection.recall()`. */
export interface RecallOptions {
  /** Neighbours that each search is to find beside the record itself, 1 to 1000. Default 10. */
  k?: number | undefined;
  /**
   * Records whose vectors are searched for, 1 to 100,000, spread over the collection. Default 100.
   */
  sample?: number | undefined;
  /** Threads that share the work of a search, as for `search()`. */
  threads?: number | undefined;
}

/** One answer of a search, the closest first; equal scores come in key order. */
export type Hit<Doc = Metadata, Included extends Include = "metadata"> = {
  /** The key of the record. */
  key: string;
  /** Cosine similarity, dot product or Euclidean distance, by the metric of the collection. */
  score: number;
} & ("metadata" extends Included
  ? {
      /** The metadata as given. */
      metadata: Doc;
    }
  : unknown) &
  ("vector" extends Included
    ? {
        /** A copy of the vector. */
        vector: Float32Array;
      }
    : unknown);

/** One answer of a cache: an entry and how close it is. */
export interface SimilarEntry {
  /** The key of the entry. */
  key: string;
  /** A copy of its vector that the caller owns. */
  vector: Float32Array;
  /** Cosine similarity in [-1, 1]; 1 is the same direction. */
  score: number;
}

/** What `getMany` returns. */
export interface VectorBatch {
  /** n × dimension floats in the order of the keys, zeros where a key is missing. */
  vectors: Float32Array;
  /** One byte a key: 1 where it was found, 0 where it is missing. */
  found: Uint8Array;
}

/** What a `compute` is told beside its keys. */
export interface ComputeContext {
  /** Aborted when every caller who waits for this computation has given up. */
  readonly signal: AbortSignal;
}

/** What was computed for one key: its vector, alone or with what it cost. */
export type ComputedVector =
  | VectorLike
  | {
      /** The vector. */
      readonly vector: VectorLike;
      /** Tokens that the provider reports for it. */
      readonly tokens?: number | undefined;
    };

/** What was computed for a batch of keys: one vector for each, alone or with what they cost. */
export type ComputedVectors =
  | VectorsLike
  | {
      /** One vector for each key, in their order. */
      readonly vectors: VectorsLike;
      /** Tokens that the provider reports for the whole batch. */
      readonly tokens?: number | undefined;
    };

/** Computes one vector, now or later. */
export type Compute = (
  key: string,
  context: ComputeContext,
) => ComputedVector | PromiseLike<ComputedVector>;

/** Computes the vectors of several distinct keys, in their order, now or later. */
export type ComputeMany = (
  keys: string[],
  context: ComputeContext,
) => ComputedVectors | PromiseLike<ComputedVectors>;

/** Options of {@link EmbedCache.get}. */
export interface GetOptions {
  /**
   * The first so many numbers of the vector, scaled to the length 1; for models that are declared
   * `matryoshka`. Default: the whole vector as it was set.
   */
  dimensions?: number | undefined;
}

/** Options of {@link EmbedCache.getOrCompute}. */
export interface ComputeOptions extends GetOptions {
  /**
   * Gives up waiting: the call rejects with the reason of the signal. The computation is called off
   * only where nobody else in its thread waits for it.
   */
  signal?: AbortSignal | undefined;
  /**
   * Milliseconds that what is computed lives. Default: that of the cache. Where several calls wait
   * for one computation, the longest of those in its thread.
   */
  ttl?: number | undefined;
}

/** Options of {@link EmbedCache.getOrComputeMany}. */
export interface ComputeManyOptions extends ComputeOptions {
  /** Keys of one call of `compute` at most, 1 to 1,000,000. Default: that of the cache. */
  maxBatch?: number | undefined;
  /** Calls of `compute` beside each other at most, 1 to 1000. Default: that of the cache. */
  concurrency?: number | undefined;
}

/** Sizes in bytes and counts of a collection; measured, not estimated. */
export interface CollectionStats {
  /** Records stored. */
  records: number;
  /** Numbers in a vector. */
  dimension: number;
  /** How closeness is measured. */
  metric: Metric;
  /** Bytes of the whole file. */
  fileSize: number;
  /** Bytes of the index from keys to rows. */
  indexSize: number;
  /** Hot vectors held in private memory now. */
  cachedCount: number;
  /** Hot vectors that fit there. */
  cacheCapacity: number;
  /** Bytes of private memory held for the collection. */
  memoryUsage: number;
  /** Keys found since it was opened. */
  hits: number;
  /** Keys not found since it was opened. */
  misses: number;
  /** Records written since it was opened. */
  sets: number;
  /** Records given up for want of room since it was opened. */
  evictions: number;
  /** Records that passed their time since it was opened. */
  expirations: number;
}

/**
 * What is published on the channels `vectorlite:miss` and `vectorlite:join` of
 * `node:diagnostics_channel`, and with more on `vectorlite:hit`: at most one message on each for
 * one call of `getOrCompute` or `getOrComputeMany`. `get` and the other reads publish nothing.
 */
export interface CacheMessage {
  /** The file, as it was opened. */
  path: string;
  /** The namespace in it. */
  namespace: string;
  /**
   * The keys that were found; that were missing, each once; or those of the missing ones that were
   * being computed already. As given, also with `hashKeys`.
   */
  keys: string[];
}

/** What is published on `vectorlite:hit`. */
export interface HitMessage extends CacheMessage {
  /** What computing them would have cost, see {@link CacheStats}. */
  tokensSaved: number;
  /** `undefined` where the cache has no price. */
  moneySaved: number | undefined;
}

/**
 * What is published on `vectorlite:evict`: after a commit of this handle, one message for each
 * namespace that lost entries by it. It does not know their keys.
 */
export interface EvictMessage {
  /** The file, as it was opened. */
  path: string;
  /** The namespace in it. */
  namespace: string;
  /** Entries that made room for others. */
  evicted: number;
  /** Entries whose time was over. */
  expired: number;
}

/** Sizes in bytes and counts of a cache; measured, not estimated. */
export interface CacheStats extends CollectionStats {
  /** Hits, of all keys that were asked for since it was opened, 0 to 1; 0 where none was. */
  hitRate: number;
  /** Keys whose vectors were computed since it was opened. */
  computed: number;
  /** Keys that were missing, and being computed already when they were asked for. */
  joins: number;
  /** Tokens that computations reported since it was opened. */
  tokensComputed: number;
  /**
   * Tokens that hits since it was opened would have cost again. A provider says what a batch cost,
   * which is shared out by the lengths of its texts.
   */
  tokensSaved: number;
  /** The same in money, where `pricePerMillionTokens` says what they cost. */
  moneySaved: number | undefined;
}

/** Sizes in bytes and counts of a whole database; measured, not estimated. */
export interface DatabaseStats {
  /** Bytes of the file. */
  fileSize: number;
  /** Bytes of the indexes from keys to rows. */
  indexSize: number;
  /** Collections in the file. */
  collections: number;
  /** Number of the last commit. */
  transactionId: number;
  /** Number of the last commit that a power loss cannot take back. */
  durableTransactionId: number;
  /** Bytes of private memory held for the database. */
  memoryUsage: number;
  /** Snapshots open now; iterators, exports, backups and searches in the background have one. */
  snapshots: number;
  /**
   * Milliseconds since the oldest snapshot that this handle still holds was taken; 0 without one.
   * Where it grows, something holds a snapshot that it is done with: close it, or declare it with
   * `using`, and end iterators that are not used up (`break` does, or `return()`).
   */
  oldestSnapshotMs: number;
  /**
   * Bytes of the file that only readers of older states still need: snapshots of any handle, and
   * handles of other processes that have not read since. They are used again once those let go.
   * `undefined` where this handle does not know, since it has not written after the last other one.
   */
  heldBytes: number | undefined;
}

/** How far a long job has come. */
export interface Progress {
  /** Bytes done. */
  done: number;
  /** Bytes in all. */
  total: number;
}

/** How far an import or an export has come. */
export interface TransferProgress {
  /** Records written, or given out. */
  records: number;
}

/** Options of `collection.import()`. */
export interface ImportOptions {
  /**
   * Records of one batch, which is one transaction; 1 to 1,000,000. Default 1000. A batch has fewer
   * where the vectors and the metadata of fewer take 4 MiB: it ends with the record that brings it
   * there. It is all that is in memory of the source.
   */
  batchSize?: number | undefined;
  /**
   * Called after every batch, when it is committed; a promise that it returns is waited for. What
   * it throws stops the import.
   */
  onProgress?: ((progress: TransferProgress) => unknown) | undefined;
  /** Stops the import, which then rejects with the reason of the signal. */
  signal?: AbortSignal | undefined;
}

/** What `collection.import()` did. */
export interface ImportResult {
  /** Records that were written, those among them that replaced others. */
  records: number;
}

/** Options of `collection.export()`. */
export interface ExportOptions<Included extends Include = Include, Doc = Metadata> {
  /** Only records whose metadata match. Default: all. */
  filter?: Filter<Doc> | undefined;
  /**
   * Records between two turns of the event loop, 1 to 1,000,000. Default 1000, or as many as have
   * 4 MiB of vectors.
   */
  batchSize?: number | undefined;
  /** What each record has beside its key. Default `["vector", "metadata"]`. */
  include?: readonly Included[] | undefined;
  /**
   * Called after every batch and at the end; a promise that it returns is waited for. What it
   * throws ends the export.
   */
  onProgress?: ((progress: TransferProgress) => unknown) | undefined;
  /** Ends the export: the next step rejects with the reason of the signal. */
  signal?: AbortSignal | undefined;
}

/** One record that `collection.export()` gives. */
export type ExportedRecord<Doc = Metadata, Included extends Include = Include> = {
  /** The key, as given. */
  key: string;
} & ("metadata" extends Included
  ? {
      /** The metadata as given. */
      metadata: Doc;
    }
  : unknown) &
  ("vector" extends Included
    ? {
        /** A copy of the vector. */
        vector: Float32Array;
      }
    : unknown);

/** Options of `database.verify()`. */
export interface VerifyOptions {
  /**
   * Called after every slice; a promise that it returns is waited for. What it throws stops
   * the verification.
   */
  onProgress?: ((progress: Progress) => unknown) | undefined;
}

/**
 * What is damaged: the `header` or its copy; a root `slot`; the file's `length`; bytes that are
 * `unreadable` by the device; an index `page`; a place that is `shared` by two owners; a
 * `structure` that contradicts what leads to it; the key `index` and the rows it names; a wrong
 * `count`; a `row`'s entry, its `record`, `metadata` or `vector`; the `codes` of rows, which cost a
 * search time and no result; or `reserved` bytes that are not zero.
 */
export type DamageKind =
  | "header"
  | "slot"
  | "length"
  | "unreadable"
  | "page"
  | "shared"
  | "structure"
  | "index"
  | "count"
  | "row"
  | "record"
  | "metadata"
  | "vector"
  | "codes"
  | "reserved";

/** One damaged place. */
export interface Damage {
  /** Byte offset in the file. */
  offset: number;
  /** What is damaged there. */
  kind: DamageKind;
  /** One sentence for people. */
  message: string;
}

/** What `database.verify()` found. */
export interface VerifyResult {
  /** Whether there are no errors. */
  ok: boolean;
  /** Damage to the newest state, the header or a root slot; the first 1,000. */
  errors: Damage[];
  /** How many errors there are in all. */
  errorCount: number;
  /** Damage to older states that nobody reads any more; the first 1,000. */
  warnings: Damage[];
  /** How many warnings there are in all. */
  warningCount: number;
  /** Every byte of the file is in one of three classes; together they are its size. */
  bytes: {
    /** Bytes that reading depends on. A checksum covers each: damage to one is found. */
    used: number;
    /** Pages that the newest state does not lead to. */
    free: number;
    /** The rest: room for more rows, deleted rows, padding. Damage there harms nothing. */
    slack: number;
  };
}

/** Options of `salvage()`. */
export interface SalvageOptions {
  /**
   * Called after every slice; a promise that it returns is waited for. What it throws stops
   * the salvage.
   */
  onProgress?: ((progress: Progress) => unknown) | undefined;
}

/** What `salvage()` found of one collection. */
export interface SalvagedCollection {
  /** Its name in the new file. */
  name: string;
  /** Numbers in a vector. */
  dimension: number;
  /** Records that are in the new file. */
  recovered: number;
  /** Records that are lost, as far as anything still says that they were there. */
  damaged: number;
  /** Of those recovered, the ones that nothing proves to be of the newest state. */
  uncertain: number;
}

/** What `salvage()` recovered. */
export interface SalvageResult {
  /** The collections of the new file. */
  collections: SalvagedCollection[];
  /** Records recovered in all. */
  recovered: number;
  /** Records lost in all. */
  damaged: number;
}

/** Options of `database.compact()`. */
export interface CompactOptions {
  /**
   * Called after every slice; a promise that it returns is waited for. What it throws stops
   * the work; what was done stays done.
   */
  onProgress?: ((progress: Progress) => unknown) | undefined;
}

/** Options of `database.backup()`. */
export interface BackupOptions {
  /**
   * Called after every slice; a promise that it returns is waited for. What it throws stops
   * the backup.
   */
  onProgress?: ((progress: Progress) => unknown) | undefined;
}
