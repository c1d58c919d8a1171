/**
 * LangChain's vector store over a collection.
 *
 * @module
 */

import { type DocumentInterface, Document } from "@langchain/core/documents";
import type { EmbeddingsInterface } from "@langchain/core/embeddings";
import { maximalMarginalRelevance } from "@langchain/core/utils/math";
import { type MaxMarginalRelevanceSearchOptions, VectorStore } from "@langchain/core/vectorstores";
import {
  type Collection,
  type Filter,
  type Hit,
  type Include,
  type Metadata,
  type MetadataOf,
  type Metric,
  VectorLiteError,
} from "vectorlite";
import { checkFields, checkLength } from "./arguments.ts";
import { type DatabaseSource, OpenSource } from "./database-source.ts";
import { flattenMetadata, restoreMetadata, textField } from "./flat-metadata.ts";
import { similarityOf } from "./similarity.ts";

/** Where the documents of a {@link VectorLiteVectorStore} are. */
export interface VectorLiteVectorStoreConfig extends DatabaseSource {
  /** The collection; made when the first documents are added. Default `"documents"`. */
  collection?: string | undefined;
  /** How closeness is measured. Default: what the file says, `"cosine"` for a new collection. */
  metric?: Metric | undefined;
  /** Identity of the embedding model; a collection of another one is an error. */
  model?: string | undefined;
}

/** Options of `addVectors()` and `addDocuments()`. */
export interface AddOptions {
  /** One for each document. Default: its own `id`, or a new random one. */
  ids?: string[] | undefined;
}

/** Which documents `delete()` deletes: one of both. */
export interface DeleteParams<Fields extends MetadataOf<Fields> = Metadata> {
  /** Those with these ids; one that is not there is fine. */
  ids?: string[] | undefined;
  /** Those whose metadata match; `{}` matches all. */
  filter?: Filter<Fields> | undefined;
}

const knownConfig = ["path", "database", "collection", "metric", "model"];
const defaultCollection = "documents";
const candidatesDefault = 20;

/**
 * Documents in a collection, found by their vectors and filtered by their metadata.
 *
 * `Fields` types what filters may ask for: fields of the metadata, and of nested ones their path,
 * `{ "loc.page": number }`. Filters are VectorLite's own. Metadata comes back as it was given,
 * however deep; values are taken as JSON takes them.
 *
 * A score is the larger the closer: cosine similarity or dot product, and 1 / (1 + distance) under
 * `l2`. All writes of one call are one transaction.
 *
 * Every method may reject with VectorLiteError ERR_CLOSED, ERR_DIMENSION, ERR_MODEL,
 * ERR_CORRUPT and whatever the embeddings throw.
 *
 * @example
 * ```ts
 * const store = new VectorLiteVectorStore<{ lang: string }>(embeddings, { path: "docs.vl" });
 * await store.addDocuments(documents, { ids });
 * const found = await store.similaritySearch("a question", 4, { lang: "en" });
 * ```
 */
export class VectorLiteVectorStore<
  Fields extends MetadataOf<Fields> = Metadata,
> extends VectorStore {
  /** What LangChain's types take for a filter: VectorLite's own. */
  declare FilterType: Filter<Fields>;
  readonly #source: OpenSource;
  readonly #name: string;
  readonly #options: { metric: Metric | undefined; model: string | undefined };

  /** @throws VectorLiteError ERR_INVALID_ARGUMENT; as `new Database()` where there is a path. */
  constructor(embeddings: EmbeddingsInterface, config: VectorLiteVectorStoreConfig) {
    super(embeddings, {});
    checkFields(config, knownConfig, "A VectorLiteVectorStore");
    this.#source = new OpenSource(config, "A VectorLiteVectorStore");
    this.#name = config.collection ?? defaultCollection;
    this.#options = { metric: config.metric, model: config.model };
  }

  /** The name by which LangChain prints it. */
  static override lc_name(): string {
    return "VectorLiteVectorStore";
  }

  /**
   * A store with these texts in it.
   *
   * @param metadatas - One for each text, one for all of them, or an empty array for none.
   */
  static override async fromTexts(
    texts: string[],
    metadatas: object[] | object,
    embeddings: EmbeddingsInterface,
    config: VectorLiteVectorStoreConfig,
  ): Promise<VectorLiteVectorStore> {
    if (Array.isArray(metadatas) && metadatas.length > 0) {
      checkLength(metadatas, texts.length, "metadatas", "document");
    }
    const documents = texts.map((pageContent, index) => {
      return new Document({
        pageContent,
        metadata: Array.isArray(metadatas) ? metadatas[index] : metadatas,
      });
    });
    return storeOf(documents, embeddings, config);
  }

  /** A store with these documents in it. */
  static override async fromDocuments(
    documents: DocumentInterface[],
    embeddings: EmbeddingsInterface,
    config: VectorLiteVectorStoreConfig,
  ): Promise<VectorLiteVectorStore> {
    return storeOf(documents, embeddings, config);
  }

  /**
   * A store over a collection that must be there.
   *
   * @throws VectorLiteError ERR_INVALID_ARGUMENT where it is not.
   */
  static async fromExistingCollection<Fields extends MetadataOf<Fields> = Metadata>(
    embeddings: EmbeddingsInterface,
    config: VectorLiteVectorStoreConfig,
  ): Promise<VectorLiteVectorStore<Fields>> {
    const store = newStore<Fields>(embeddings, config);
    try {
      if (store.#collection() !== undefined) return store;
    } catch (error) {
      store.close();
      throw error;
    }
    store.close();
    throw new VectorLiteError(
      "ERR_INVALID_ARGUMENT",
      `There is no collection ${JSON.stringify(store.#name)}; add documents to make one.`,
    );
  }

  /** The kind of store, for LangChain's traces. */
  override _vectorstoreType(): string {
    return "vectorlite";
  }

  /**
   * Embeds documents and adds them; one of an id that is there replaces it.
   *
   * @returns Their ids.
   */
  override async addDocuments(
    documents: DocumentInterface[],
    options?: AddOptions,
  ): Promise<string[]> {
    const texts = documents.map(({ pageContent }) => pageContent);
    const vectors = texts.length === 0 ? [] : await this.embeddings.embedDocuments(texts);
    return this.addVectors(vectors, documents, options);
  }

  /**
   * Adds documents with their vectors; one of an id that is there replaces it.
   *
   * @returns Their ids.
   */
  override async addVectors(
    vectors: number[][],
    documents: DocumentInterface[],
    options: AddOptions = {},
  ): Promise<string[]> {
    checkFields(options, ["ids"], "addDocuments()");
    const ids = options.ids ?? documents.map(({ id }) => id ?? crypto.randomUUID());
    checkLength(vectors, documents.length, "vectors", "document");
    checkLength(ids, documents.length, "ids", "document");
    const dimension = vectors[0]?.length;
    if (dimension === undefined) return [];
    const metadatas = documents.map(({ pageContent, metadata }) => {
      return { ...flattenMetadata(metadata), [textField]: pageContent };
    });
    await this.#source.write(() => {
      const options = { ...this.#options, dimension };
      this.#source.database.collection(this.#name, options).upsertMany(ids, vectors, metadatas);
    });
    return ids;
  }

  /**
   * Deletes documents by their ids or by a filter.
   *
   * @throws VectorLiteError ERR_INVALID_ARGUMENT where not one of both is given.
   */
  override async delete(params: DeleteParams<Fields> = {}): Promise<void> {
    checkFields(params, ["ids", "filter"], "delete()");
    const { ids, filter } = params;
    if ((ids === undefined) === (filter === undefined)) {
      throw new VectorLiteError(
        "ERR_INVALID_ARGUMENT",
        `delete() takes either ids or a filter; found ${ids === undefined ? "none" : "both"}. ` +
          "Pass { filter: {} } to delete all documents.",
      );
    }
    await this.#source.write(() => {
      const collection = this.#collection();
      if (ids !== undefined) collection?.deleteMany(ids);
      else collection?.deleteWhere(filter as Filter);
    });
  }

  /** The documents closest to a vector, with their scores, the closest first. */
  override async similaritySearchVectorWithScore(
    query: number[],
    k: number,
    filter?: Filter<Fields>,
  ): Promise<[Document, number][]> {
    const collection = this.#collection();
    if (collection === undefined) return [];
    const hits = await collection.searchAsync(query, { k, filter: filter as Filter | undefined });
    return hits.map((hit) => [documentOf(hit), similarityOf(hit.score, collection.metric)]);
  }

  /**
   * Documents that are close to a text and unlike each other. Of the `fetchK` closest ones (20),
   * `k` are chosen one by one, by `lambda` (0.5) × cosine similarity to the query minus
   * (1 - `lambda`) × that to the closest one that was chosen.
   */
  override async maxMarginalRelevanceSearch(
    query: string,
    {
      k,
      fetchK = candidatesDefault,
      lambda = 0.5,
      filter,
    }: MaxMarginalRelevanceSearchOptions<Filter<Fields>>,
  ): Promise<Document[]> {
    const vector = await this.embeddings.embedQuery(query);
    const hits: Hit<Metadata, Include>[] =
      (await this.#collection()?.searchAsync(vector, {
        k: Math.max(k, fetchK),
        filter: filter as Filter | undefined,
        include: ["vector", "metadata"],
      })) ?? [];
    const candidates = hits.map((hit) => Array.from(hit.vector));
    const chosen = maximalMarginalRelevance(vector, candidates, lambda, k);
    return chosen.flatMap((index) => {
      const hit = hits[index];
      return hit === undefined ? [] : [documentOf(hit)];
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

  #collection(): Collection | undefined {
    return this.#source.collection(this.#name, this.#options);
  }
}

/** Not in the class: esbuild renames one that names itself, and it prints with a `_` then. */
function newStore<Fields extends MetadataOf<Fields>>(
  embeddings: EmbeddingsInterface,
  config: VectorLiteVectorStoreConfig,
): VectorLiteVectorStore<Fields> {
  return new VectorLiteVectorStore<Fields>(embeddings, config);
}

async function storeOf(
  documents: DocumentInterface[],
  embeddings: EmbeddingsInterface,
  config: VectorLiteVectorStoreConfig,
): Promise<VectorLiteVectorStore> {
  const store = newStore<Metadata>(embeddings, config);
  try {
    await store.addDocuments(documents);
  } catch (error) {
    store.close();
    throw error;
  }
  return store;
}

function documentOf({ key, metadata }: Hit): Document {
  const text = metadata[textField];
  return new Document({
    id: key,
    pageContent: typeof text === "string" ? text : "",
    metadata: restoreMetadata(metadata),
  });
}
