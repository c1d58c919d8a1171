// Written by zig/abi_gen.zig from zig/c_api/. Do not edit: run `zig build abi`.

/** What `vl_abi_version` must return. */
export const ABI_VERSION = 8;

/** What every function except `vl_abi_version` returns. */
export const Status = {
  OK: 0,
  NOT_FOUND: 1,
  INVALID_ARGUMENT: -1,
  DIMENSION: -2,
  INVALID_VECTOR: -3,
  KEY: -4,
  MODEL: -5,
  CLOSED: -6,
  READONLY: -7,
  LOCKED: -8,
  NOT_A_DATABASE: -9,
  VERSION: -10,
  CORRUPT: -11,
  NO_SPACE: -12,
  IO: -13,
  POISONED: -14,
  OUT_OF_MEMORY: -15,
  FILE_NOT_FOUND: -16,
  BUFFER_TOO_SMALL: -17,
} as const;

/** How a collection compares vectors. */
export const Metric = {
  COSINE: 0,
  DOT: 1,
  L2: 2,
} as const;

/** What survives a power loss. */
export const Durability = {
  FULL: 0,
  NORMAL: 1,
  NONE: 2,
} as const;

/** What `vl_job_open` starts. */
export const JobKind = {
  BACKUP: 0,
  VERIFY: 1,
  SALVAGE: 2,
} as const;

/** One search hit: byte offsets of the fields, and the size of all. */
export const Hit = {
  segment: 0,
  row: 4,
  score: 8,
  reserved: 12,
  size: 16,
} as const;

/** Options of `vl_database_open`: byte offsets of the fields, and the size of all. */
export const DatabaseOptions = {
  size: 0,
  flags: 4,
  durability: 8,
  busy_timeout_ms: 12,
  memory_budget_bytes: 16,
  older_root: 24,
  reserved: 28,
  file_bytes_max: 32,
  byteLength: 40,
} as const;

/** Bits of `flags`. */
export const DatabaseFlags = {
  READONLY: 1,
  CREATE: 2,
} as const;

/** Options of `vl_collection_open`: byte offsets of the fields, and the size of all. */
export const CollectionOptions = {
  size: 0,
  flags: 4,
  dimension: 8,
  metric: 12,
  hot_vectors: 16,
  rows_max: 20,
  byteLength: 24,
} as const;

/** Bits of `flags`. */
export const CollectionFlags = {
  CREATE: 1,
  KEEPS_ROWS: 2,
} as const;

/** `CollectionOptions.metric`: whatever the file says. */
export const METRIC_UNSPECIFIED = 4294967295;

/** `include` of `vl_collection_scan` and `vl_collection_fetch`: vectors too. */
export const INCLUDE_VECTORS = 1;

/** The order in which `vl_database_stats` writes its numbers. */
export const databaseStatsFields = [
  "file_bytes",
  "index_bytes",
  "collection_count",
  "transaction_id",
  "memory_bytes",
  "snapshot_count",
  "durable_transaction_id",
  "oldest_snapshot_ms",
  "held_bytes",
] as const;

/** The order in which `vl_collection_stats` writes its numbers. */
export const collectionStatsFields = [
  "records",
  "index_bytes",
  "cached_count",
  "cache_capacity",
  "memory_bytes",
  "hits",
  "misses",
  "sets",
  "evictions",
  "expirations",
] as const;

/** The order in which `vl_collection_search` writes its numbers. */
export const searchReportFields = [
  "codes_scanned",
  "reranked",
  "compared",
  "bytes_read",
  "cpu_tier",
  "threads",
  "matched",
  "live",
  "documents_read",
] as const;

/** The names of `cpu_tier`, by its number. */
export const cpuTiers = [
  "v2",
  "v3",
  "v4",
  "v4-vnni",
  "neon",
  "neon-dot",
] as const;

/**
 * The library's functions. A number named after a buffer, or `count`, is how many of its
 * elements the function may touch.
 */
export interface NativeLibrary {
  vl_abi_version(): number;
  vl_last_error(out: Uint8Array, out_len: number, len_out: Uint32Array): number;
  vl_use_cpu(tier: Uint8Array, tier_len: number): number;
  vl_close(handle: number): number;
  vl_answer_memory(bytes: number, addresses_out: Float64Array): number;
  vl_boarder_open(handle_out: Uint32Array): number;
  vl_boarder_board(
    boarder: number,
    place: Uint8Array,
    place_len: number,
    keys: Uint8Array,
    keys_len: number,
    key_lens: Uint32Array,
    count: number,
    seats_out: Uint32Array,
    is_pilot_out: Uint8Array,
  ): number;
  vl_boarder_land(
    boarder: number,
    seats: Uint32Array,
    count: number,
    vectors: Float32Array,
    vectors_len: number,
    is_stored: number,
  ): number;
  vl_boarder_leave(boarder: number, seats: Uint32Array, count: number): number;
  vl_boarder_overtake(boarder: number, seat: number): number;
  vl_boarder_take(
    boarder: number,
    out: Float32Array,
    out_len: number,
    answer_out: Uint32Array,
  ): number;
  vl_database_open(
    path: Uint8Array,
    path_len: number,
    options: Uint8Array,
    options_len: number,
    handle_out: Uint32Array,
  ): number;
  vl_database_open_bytes(bytes: Uint8Array, bytes_len: number, handle_out: Uint32Array): number;
  vl_database_flush(database: number, wait: number): number;
  vl_database_rest(database: number): number;
  vl_database_stats(
    database: number,
    out: Float64Array,
    out_len: number,
    count_out: Uint32Array,
  ): number;
  vl_database_make_room(database: number, rows: number, dimension: number): number;
  vl_database_fit(database: number, file_bytes: number): number;
  vl_database_collections(
    scope: number,
    out: Uint8Array,
    out_len: number,
    len_out: Uint32Array,
  ): number;
  vl_database_drop_collection(database: number, name: Uint8Array, name_len: number): number;
  vl_database_rename_collection(
    database: number,
    from: Uint8Array,
    from_len: number,
    to: Uint8Array,
    to_len: number,
  ): number;
  vl_transaction_begin(database: number, wait: number): number;
  vl_transaction_set_aside(database: number, is_aside: number): number;
  vl_transaction_commit(database: number): number;
  vl_transaction_rollback(database: number): number;
  vl_snapshot_open(database: number, handle_out: Uint32Array): number;
  vl_compact_step(
    database: number,
    is_first: number,
    bytes_max: number,
    progress_out: Float64Array,
  ): number;
  vl_job_open(
    database: number,
    kind: number,
    path: Uint8Array,
    path_len: number,
    handle_out: Uint32Array,
  ): number;
  vl_job_step(job: number, bytes_max: number, progress_out: Float64Array): number;
  vl_job_result(job: number, out: Uint8Array, out_len: number, len_out: Uint32Array): number;
  vl_search_open(
    collection: number,
    queries: Float32Array,
    queries_len: number,
    k: number,
    threshold: number,
    plan: number,
    threads: number,
    filter: Uint8Array,
    filter_len: number,
    handle_out: Uint32Array,
  ): number;
  vl_search_result(
    job: number,
    hits: Uint8Array,
    hits_len: number,
    counts: Uint32Array,
    counts_len: number,
    report_out: Float64Array,
  ): number;
  vl_search_fetch(
    job: number,
    hits: Uint8Array,
    count: number,
    include: number,
    out: Uint8Array,
    out_len: number,
    len_out: Uint32Array,
    vectors: Float32Array,
    vectors_len: number,
  ): number;
  vl_collection_open(
    scope: number,
    name: Uint8Array,
    name_len: number,
    options: Uint8Array,
    options_len: number,
    model: Uint8Array,
    model_len: number,
    handle_out: Uint32Array,
    info_out: Uint32Array,
  ): number;
  vl_collection_name(
    collection: number,
    out: Uint8Array,
    out_len: number,
    len_out: Uint32Array,
  ): number;
  vl_collection_snapshot(collection: number, handles_out: Uint32Array): number;
  vl_collection_model(
    collection: number,
    out: Uint8Array,
    out_len: number,
    len_out: Uint32Array,
  ): number;
  vl_collection_stats(
    collection: number,
    out: Float64Array,
    out_len: number,
    count_out: Uint32Array,
  ): number;
  vl_collection_tally(collection: number, counts_out: Float64Array): number;
  vl_collection_put(
    collection: number,
    keys: Uint8Array,
    keys_len: number,
    key_lens: Uint32Array,
    count: number,
    vectors: Float32Array,
    vectors_len: number,
    metadata: Uint8Array,
    metadata_len: number,
    metadata_lens: Uint32Array | null,
    expiries: Float64Array | null,
    costs: Uint32Array | null,
  ): number;
  vl_collection_get(
    collection: number,
    key: Uint8Array,
    key_len: number,
    out: Float32Array,
    out_len: number,
  ): number;
  vl_collection_get_record(
    collection: number,
    key: Uint8Array,
    key_len: number,
    out: Float32Array,
    out_len: number,
    metadata: Uint8Array,
    metadata_cap: number,
    metadata_len_out: Uint32Array,
  ): number;
  vl_collection_get_many(
    collection: number,
    keys: Uint8Array,
    keys_len: number,
    key_lens: Uint32Array,
    count: number,
    out: Float32Array,
    out_len: number,
    found: Uint8Array,
  ): number;
  vl_collection_has(collection: number, key: Uint8Array, key_len: number): number;
  vl_collection_delete(
    collection: number,
    keys: Uint8Array,
    keys_len: number,
    key_lens: Uint32Array,
    count: number,
    deleted_out: Uint32Array,
  ): number;
  vl_collection_clear(collection: number): number;
  vl_collection_set_metadata(
    collection: number,
    key: Uint8Array,
    key_len: number,
    metadata: Uint8Array,
    metadata_len: number,
  ): number;
  vl_collection_count(
    collection: number,
    filter: Uint8Array,
    filter_len: number,
    count_out: Float64Array,
  ): number;
  vl_collection_delete_where(
    collection: number,
    filter: Uint8Array,
    filter_len: number,
    deleted_out: Uint32Array,
  ): number;
  vl_collection_sweep(collection: number, deleted_out: Uint32Array): number;
  vl_collection_scan(
    collection: number,
    cursor: Uint32Array,
    include: number,
    filter: Uint8Array,
    filter_len: number,
    out: Uint8Array,
    out_len: number,
    len_out: Uint32Array,
    vectors: Float32Array,
    vectors_len: number,
    count_out: Uint32Array,
  ): number;
  vl_collection_search(
    collection: number,
    queries: Float32Array,
    queries_len: number,
    k: number,
    threshold: number,
    plan: number,
    threads: number,
    filter: Uint8Array,
    filter_len: number,
    hits: Uint8Array,
    hits_len: number,
    counts: Uint32Array,
    report_out: Float64Array,
  ): number;
  vl_collection_fetch(
    collection: number,
    hits: Uint8Array,
    count: number,
    include: number,
    out: Uint8Array,
    out_len: number,
    len_out: Uint32Array,
    vectors: Float32Array,
    vectors_len: number,
  ): number;
}

/** The same where Node-API loaded it, which can also run a job on a thread of its own. */
export interface NodeApiLibrary extends NativeLibrary {
  vl_job_run(job: number, ms_max: number): Promise<number>;
}

/** The same functions as `bun:ffi` wants them declared. */
export const symbols = {
  vl_abi_version: { args: [], returns: "u32" },
  vl_last_error: { args: ["buffer", "u32", "buffer"], returns: "i32" },
  vl_use_cpu: { args: ["buffer", "u32"], returns: "i32" },
  vl_close: { args: ["u32"], returns: "i32" },
  vl_answer_memory: { args: ["u32", "buffer"], returns: "i32" },
  vl_boarder_open: { args: ["buffer"], returns: "i32" },
  vl_boarder_board: {
    args: ["u32", "buffer", "u32", "buffer", "u32", "buffer", "u32", "buffer", "buffer"],
    returns: "i32",
  },
  vl_boarder_land: { args: ["u32", "buffer", "u32", "buffer", "u32", "u32"], returns: "i32" },
  vl_boarder_leave: { args: ["u32", "buffer", "u32"], returns: "i32" },
  vl_boarder_overtake: { args: ["u32", "u32"], returns: "i32" },
  vl_boarder_take: { args: ["u32", "buffer", "u32", "buffer"], returns: "i32" },
  vl_database_open: { args: ["buffer", "u32", "buffer", "u32", "buffer"], returns: "i32" },
  vl_database_open_bytes: { args: ["buffer", "u32", "buffer"], returns: "i32" },
  vl_database_flush: { args: ["u32", "u32"], returns: "i32" },
  vl_database_rest: { args: ["u32"], returns: "i32" },
  vl_database_stats: { args: ["u32", "buffer", "u32", "buffer"], returns: "i32" },
  vl_database_make_room: { args: ["u32", "u32", "u32"], returns: "i32" },
  vl_database_fit: { args: ["u32", "f64"], returns: "i32" },
  vl_database_collections: { args: ["u32", "buffer", "u32", "buffer"], returns: "i32" },
  vl_database_drop_collection: { args: ["u32", "buffer", "u32"], returns: "i32" },
  vl_database_rename_collection: {
    args: ["u32", "buffer", "u32", "buffer", "u32"],
    returns: "i32",
  },
  vl_transaction_begin: { args: ["u32", "u32"], returns: "i32" },
  vl_transaction_set_aside: { args: ["u32", "u32"], returns: "i32" },
  vl_transaction_commit: { args: ["u32"], returns: "i32" },
  vl_transaction_rollback: { args: ["u32"], returns: "i32" },
  vl_snapshot_open: { args: ["u32", "buffer"], returns: "i32" },
  vl_compact_step: { args: ["u32", "u32", "u32", "buffer"], returns: "i32" },
  vl_job_open: { args: ["u32", "u32", "buffer", "u32", "buffer"], returns: "i32" },
  vl_job_step: { args: ["u32", "u32", "buffer"], returns: "i32" },
  vl_job_result: { args: ["u32", "buffer", "u32", "buffer"], returns: "i32" },
  vl_search_open: {
    args: ["u32", "buffer", "u32", "u32", "f64", "u32", "u32", "buffer", "u32", "buffer"],
    returns: "i32",
  },
  vl_search_result: { args: ["u32", "buffer", "u32", "buffer", "u32", "buffer"], returns: "i32" },
  vl_search_fetch: {
    args: ["u32", "buffer", "u32", "u32", "buffer", "u32", "buffer", "buffer", "u32"],
    returns: "i32",
  },
  vl_collection_open: {
    args: ["u32", "buffer", "u32", "buffer", "u32", "buffer", "u32", "buffer", "buffer"],
    returns: "i32",
  },
  vl_collection_name: { args: ["u32", "buffer", "u32", "buffer"], returns: "i32" },
  vl_collection_snapshot: { args: ["u32", "buffer"], returns: "i32" },
  vl_collection_model: { args: ["u32", "buffer", "u32", "buffer"], returns: "i32" },
  vl_collection_stats: { args: ["u32", "buffer", "u32", "buffer"], returns: "i32" },
  vl_collection_tally: { args: ["u32", "buffer"], returns: "i32" },
  vl_collection_put: {
    args: [
      "u32",
      "buffer",
      "u32",
      "buffer",
      "u32",
      "buffer",
      "u32",
      "buffer",
      "u32",
      "ptr",
      "ptr",
      "ptr",
    ],
    returns: "i32",
  },
  vl_collection_get: { args: ["u32", "buffer", "u32", "buffer", "u32"], returns: "i32" },
  vl_collection_get_record: {
    args: ["u32", "buffer", "u32", "buffer", "u32", "buffer", "u32", "buffer"],
    returns: "i32",
  },
  vl_collection_get_many: {
    args: ["u32", "buffer", "u32", "buffer", "u32", "buffer", "u32", "buffer"],
    returns: "i32",
  },
  vl_collection_has: { args: ["u32", "buffer", "u32"], returns: "i32" },
  vl_collection_delete: {
    args: ["u32", "buffer", "u32", "buffer", "u32", "buffer"],
    returns: "i32",
  },
  vl_collection_clear: { args: ["u32"], returns: "i32" },
  vl_collection_set_metadata: { args: ["u32", "buffer", "u32", "buffer", "u32"], returns: "i32" },
  vl_collection_count: { args: ["u32", "buffer", "u32", "buffer"], returns: "i32" },
  vl_collection_delete_where: { args: ["u32", "buffer", "u32", "buffer"], returns: "i32" },
  vl_collection_sweep: { args: ["u32", "buffer"], returns: "i32" },
  vl_collection_scan: {
    args: [
      "u32",
      "buffer",
      "u32",
      "buffer",
      "u32",
      "buffer",
      "u32",
      "buffer",
      "buffer",
      "u32",
      "buffer",
    ],
    returns: "i32",
  },
  vl_collection_search: {
    args: [
      "u32",
      "buffer",
      "u32",
      "u32",
      "f64",
      "u32",
      "u32",
      "buffer",
      "u32",
      "buffer",
      "u32",
      "buffer",
      "buffer",
    ],
    returns: "i32",
  },
  vl_collection_fetch: {
    args: ["u32", "buffer", "u32", "u32", "buffer", "u32", "buffer", "buffer", "u32"],
    returns: "i32",
  },
} as const;
