/**
 * LangChain embeddings that ask the model for each text once.
 *
 * @module
 */

import {
  Embeddings,
  type EmbeddingsInterface,
  type EmbeddingsParams,
} from "@langchain/core/embeddings";
import type { EmbedCache } from "vectorlite";
import { invalidArgument } from "./arguments.ts";
import { type EmbeddingIdentity, numbersInSpace } from "./model-spaces.ts";

/** Parameters of `new CachedEmbeddings()`, beside those of LangChain's `Embeddings`. */
export interface CachedEmbeddingsParams extends EmbeddingsParams {
  /** What computes the vectors that the cache does not have. */
  embeddings: EmbeddingsInterface;
  /** An open cache; whoever opened it closes it. */
  cache: EmbedCache;
  /**
   * Everything that decides a vector besides its text, as one name: the model, its dimensions, its
   * version. Vectors of two names never meet.
   */
  model: string;
}

/**
 * Embeddings that are kept in an {@link EmbedCache}, of documents and of queries, each in a
 * namespace of its own: a model may embed a text as a query in another way.
 *
 * Of several equal texts one is sent, also over concurrent calls, and a batch asks only for what is
 * missing. Where the model fails, nothing is stored. Vectors are rounded to 32-bit floats, those
 * that were just computed too, so that a text has one vector.
 *
 * @example
 * ```ts
 * const embeddings = new CachedEmbeddings({
 *   embeddings: new OpenAIEmbeddings({ model: "text-embedding-3-small" }),
 *   cache: new EmbedCache({ path: "embeddings.cache" }),
 *   model: "text-embedding-3-small",
 * });
 * ```
 */
export class CachedEmbeddings extends Embeddings {
  readonly #embeddings: EmbeddingsInterface;
  readonly #cache: EmbedCache;
  readonly #model: string;

  /** @throws VectorLiteError ERR_INVALID_ARGUMENT where there is no model's name. */
  constructor({ embeddings, cache, model, ...params }: CachedEmbeddingsParams) {
    super(params);
    if (typeof model !== "string" || model === "") {
      throw invalidArgument("model", "the name of the embedding model", model);
    }
    this.#embeddings = embeddings;
    this.#cache = cache;
    this.#model = model;
  }

  /**
   * One vector for each document, in their order.
   *
   * @throws Whatever the model throws, and VectorLiteError as `EmbedCache.getOrComputeMany`.
   */
  override async embedDocuments(documents: string[]): Promise<number[][]> {
    return numbersInSpace(
      this.#cache,
      this.#identityFor("documents"),
      documents,
      async (missing) => ({ vectors: await this.#embeddings.embedDocuments(missing) }),
    );
  }

  /**
   * The vector of a query.
   *
   * @throws as {@link embedDocuments}
   */
  override async embedQuery(document: string): Promise<number[]> {
    const [vector] = await numbersInSpace(
      this.#cache,
      this.#identityFor("queries"),
      [document],
      async ([query = ""]) => ({ vectors: [await this.#embeddings.embedQuery(query)] }),
    );
    return vector ?? [];
  }

  #identityFor(purpose: "documents" | "queries"): EmbeddingIdentity {
    return { provider: "langchain", model: this.#model, options: purpose };
  }
}
