/**
 * Mastra's vector store over a database: an index is a collection.
 *
 * @module
 */

import {
  type CreateIndexParams,
  type DeleteIndexParams,
  type DeleteVectorParams,
  type DeleteVectorsParams,
  type DescribeIndexParams,
  type IndexStats,
  MastraVector,
  type QueryResult,
  type QueryVectorParams,
  type UpdateVectorParams,
  type UpsertVectorParams,
} from "@mastra/core/vector";
import {
  type Collection,
  type Filter,
  type Hit,
  type Include,
  type Metadata,
  type Metric,
  VectorLiteError,
} from "vectorlite";
import { checkFields, checkLength, invalidArgument } from "./arguments.ts";
import { type DatabaseSource, OpenSource } from "./database-source.ts";
import { flattenMetadata, restoreMetadata } from "./flat-metadata.ts";
import { isEmptyFilter, translateFilter, type VectorLiteVectorFilter } from "./mastra-filter.ts";
import { similarityOf } from "./similarity.ts";

/** Where the indexes of a {@link VectorLiteVector} are. */
export interface VectorLiteVectorConfig extends DatabaseSource {
  /** The name by which Mastra knows the store. */
  id: string;
  /** Passed on to Mastra. Default false. */
  disableInit?: boolean | undefined;
}

type MastraMetric = NonNullable<CreateIndexParams["metric"]>;

const metrics: Readonly<Record<MastraMetric, Metric>> = {
  cosine: "cosine",
  euclidean: "l2",
  dotproduct: "dot",
};

const mastraMetrics: Readonly<Record<Metric, MastraMetric>> = {
  cosine: "cosine",
  l2: "euclidean",
  dot: "dotproduct",
};

const knownConfig = ["id", "path", "database", "disableInit"];
const topKDefault = 10;

/**
 * A Mastra vector store in one file. Every collection of the database is an index.
 *
 * Filters mean what MongoDB's do. Metadata comes back as it was given, however deep, and a filter
 * asks for nested fields by their path, `{ "loc.page": 3 }`; values are taken as JSON takes them.
 *
 * A score is the larger the closer: cosine similarity or dot product, and 1 / (1 + distance) for
 * `euclidean`. All writes of one call are one transaction.
 *
 * Every method may reject with VectorLiteError ERR_INVALID_ARGUMENT, also where there is no
 * such index; ERR_CLOSED, ERR_DIMENSION, ERR_INVALID_VECTOR, ERR_CORRUPT; and those that write as
 * `collection.upsert()`.
 *
 * @example
 * ```ts
 * const mastra = new Mastra({
 *   vectors: { vectors: new VectorLiteVector({ id: "vectors", path: "app.vl" }) },
 * });
 * ```
 */
export class VectorLiteVector extends MastraVector<VectorLiteVectorFilter> {
  readonly #source: OpenSource;

  /** @throws VectorLiteError ERR_INVALID_ARGUMENT; as `new Database()` where there is a path. */
  constructor(config: VectorLiteVectorConfig) {
    checkFields(config, knownConfig, "A VectorLiteVector");
    super({ id: config.id, disableInit: config.disableInit ?? false });
    this.#source = new OpenSource(config, "A VectorLiteVector");
  }

  /**
   * Makes an index. One that is there already is left as it is, where it has this dimension and
   * metric.
   *
   * @param params - `metric`: default `"cosine"`.
   */
  override async createIndex(params: CreateIndexParams): Promise<void> {
    const { indexName, dimension, metric = "cosine" } = params;
    const given = Object.hasOwn(metrics, metric) ? metrics[metric] : undefined;
    if (given === undefined) throw invalidArgument("metric", namesOf(metrics), metric);
    if (dimension === undefined) throw invalidArgument("dimension", "a number", dimension);
    await this.#source.write(() => {
      this.#source.database.collection(indexName, { dimension, metric: given });
    });
  }

  /** The names of all collections of the database. */
  override async listIndexes(): Promise<string[]> {
    return this.#source.database.collections();
  }

  /** The dimension, the number of vectors and the metric of an index. */
  override async describeIndex({ indexName }: DescribeIndexParams): Promise<IndexStats> {
    const { dimension, size, metric } = this.#index(indexName);
    return { dimension, count: size, metric: mastraMetrics[metric] };
  }

  /** Deletes an index with all its vectors; one that is not there is fine. */
  override async deleteIndex({ indexName }: DeleteIndexParams): Promise<void> {
    await this.#source.write(() => {
      this.#source.database.dropCollection(indexName);
    });
  }

  /**
   * The vectors closest to `queryVector`, the closest first; without one, vectors whose metadata
   * match the filter, in no particular order and with a score of 0.
   *
   * @param params - `topK`: default 10. `sparseVector`: an error, as there are none.
   */
  override async query(params: QueryVectorParams<VectorLiteVectorFilter>): Promise<QueryResult[]> {
    const { indexName, queryVector, topK = topKDefault, includeVector = false } = params;
    checkAbsent(params.sparseVector, "sparseVector");
    const filter = translateFilter(params.filter);
    const index = this.#index(indexName);
    if (queryVector === undefined) return matching(index, filter, topK, includeVector);
    const include: Include[] = includeVector ? ["metadata", "vector"] : ["metadata"];
    const hits = await index.searchAsync(queryVector, { k: topK, filter, include });
    return hits.map((hit) => resultOf(hit, similarityOf(hit.score, index.metric), includeVector));
  }

  /**
   * Inserts vectors, or replaces those of the same id with their metadata.
   *
   * @param params - `ids`: default random ones. `deleteFilter`: vectors that match it are deleted
   * before, in the same transaction.
   * @returns The ids.
   */
  override async upsert(params: UpsertVectorParams<VectorLiteVectorFilter>): Promise<string[]> {
    const { indexName, vectors, metadata = [], deleteFilter } = params;
    checkAbsent(params.sparseVectors, "sparseVectors");
    if (!Array.isArray(vectors) || vectors.length === 0) {
      throw invalidArgument("vectors", "an array of at least one vector", vectors);
    }
    const ids = params.ids ?? vectors.map(() => crypto.randomUUID());
    checkLength(ids, vectors.length, "ids", "vector");
    if (metadata.length > 0) checkLength(metadata, vectors.length, "metadata", "vector");
    const metadatas = vectors.map((_, index) => {
      return flattenMetadata(metadata[index], `metadata[${index}]`);
    });
    const outdated = deleteFilter === undefined ? undefined : conditionsOf(deleteFilter);
    await this.#source.write(() => {
      const index = this.#index(indexName);
      if (outdated !== undefined) index.deleteWhere(outdated);
      index.upsertMany(ids, vectors, metadatas);
    });
    return ids;
  }

  /**
   * Replaces the vector, the metadata (all of it) or both, of one id or of all that match a filter.
   * Where there is none it does nothing.
   */
  override async updateVector(params: UpdateVectorParams<VectorLiteVectorFilter>): Promise<void> {
    const { indexName, id, update } = params;
    const filter = oneOf({ id, filter: params.filter }, "updateVector()");
    const { vector, metadata } = update;
    if (vector === undefined && metadata === undefined) {
      throw invalidArgument("update", "an object with a vector or metadata", update);
    }
    const fields = metadata === undefined ? undefined : flattenMetadata(metadata);
    await this.#source.write(() => {
      const index = this.#index(indexName);
      const keys = id !== undefined ? [id] : index.keys({ filter });
      for (const key of keys) updateRecord(index, key, vector, fields);
    });
  }

  /** Deletes a vector; one that is not there is fine. */
  override async deleteVector({ indexName, id }: DeleteVectorParams): Promise<void> {
    await this.#source.write(() => {
      this.#index(indexName).delete(id);
    });
  }

  /** Deletes vectors by their ids, those that are there, or by a filter that has conditions. */
  override async deleteVectors(params: DeleteVectorsParams<VectorLiteVectorFilter>): Promise<void> {
    const { indexName, ids } = params;
    const filter = oneOf({ ids, filter: params.filter }, "deleteVectors()");
    if (ids?.length === 0) {
      throw new VectorLiteError(
        "ERR_INVALID_ARGUMENT",
        "deleteVectors() found an empty ids array; pass the ids of what to delete.",
      );
    }
    await this.#source.write(() => {
      const index = this.#index(indexName);
      if (filter === undefined) index.deleteMany(ids ?? []);
      else index.deleteWhere(filter);
    });
  }

  /** Closes the file, where the store was made with a path. Closing twice is fine. */
  close(): void {
    this.#source.close();
  }

  /** Closes the store at the end of a `using` block. */
  [Symbol.dispose](): void {
    this.close();
  }

  #index(name: string): Collection {
    const index = this.#source.collection(name);
    if (index !== undefined) return index;
    throw new VectorLiteError(
      "ERR_INVALID_ARGUMENT",
      `There is no index ${JSON.stringify(name)}; call createIndex() first.`,
    );
  }
}

function matching(
  index: Collection,
  filter: Filter | undefined,
  topK: number,
  includeVector: boolean,
): QueryResult[] {
  if (filter === undefined) {
    throw new VectorLiteError(
      "ERR_INVALID_ARGUMENT",
      "query() takes a queryVector, a filter or both; found none.",
    );
  }
  if (!Number.isInteger(topK) || topK < 1) throw invalidArgument("topK", "a whole number", topK);
  const results: QueryResult[] = [];
  for (const record of index.entries({ filter })) {
    results.push(resultOf(record, 0, includeVector));
    if (results.length === topK) break;
  }
  return results;
}

function resultOf(
  { key, metadata, vector }: Omit<Hit<Metadata, Include>, "score">,
  score: number,
  includeVector: boolean,
): QueryResult {
  const result: QueryResult = { id: key, score, metadata: restoreMetadata(metadata) };
  if (includeVector) result.vector = Array.from(vector);
  return result;
}

function updateRecord(
  index: Collection,
  key: string,
  vector: readonly number[] | undefined,
  fields: Metadata | undefined,
): void {
  if (vector === undefined) {
    index.setMetadata(key, fields ?? {});
    return;
  }
  const record = index.get(key);
  if (record !== undefined) index.upsert(key, vector, fields ?? record.metadata);
}

/** The filter, or `undefined` where there is a name instead. */
function oneOf(
  given: { id?: unknown; ids?: unknown; filter: unknown },
  where: string,
): Filter | undefined {
  const { filter, ...named } = given;
  const [[name, value] = ["id", undefined]] = Object.entries(named);
  if (value !== undefined && filter !== undefined) {
    throw new VectorLiteError(
      "ERR_INVALID_ARGUMENT",
      `filter and ${name} of ${where} are mutually exclusive; found both.`,
    );
  }
  if (value !== undefined) return undefined;
  if (filter !== undefined) return conditionsOf(filter);
  const names = name === "ids" ? "filter or ids" : "id or filter";
  throw new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    `Either ${names} must be provided to ${where}; found none.`,
  );
}

/** A filter that says which records to change may not match all of them by accident. */
function conditionsOf(filter: unknown): Filter {
  const translated = translateFilter(filter) ?? {};
  if (!isEmptyFilter(translated)) return translated;
  throw new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    "An empty filter would change every vector of the index; say which are meant.",
  );
}

function checkAbsent(value: unknown, name: string): void {
  if (value === undefined) return;
  throw new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    `An index has no sparse vectors; leave out ${name}.`,
  );
}

function namesOf(record: object): string {
  return Object.keys(record).join(", ");
}
