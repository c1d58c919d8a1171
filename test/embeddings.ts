/**
 * What tests of adapters embed with: a cache, and embeddings that remember what they were asked.
 */

import type { EmbeddingsInterface } from "@langchain/core/embeddings";
import { EmbedCache } from "vectorlite";
import { hashingEmbedder } from "../examples/hashing-embedder.ts";
import { closing } from "./helpers.ts";

/** A cache in memory without a namespace yet. */
export function memoryCache(): EmbedCache {
  return closing(new EmbedCache({ path: ":memory:", namespace: "unused" }));
}

/** Embeds by the words of a text; a query as a vector of another sign than a document. */
export class WordEmbeddings implements EmbeddingsInterface {
  readonly asked: string[][] = [];
  readonly queries: string[] = [];
  /** What the next call fails with. */
  failure: Error | undefined;
  readonly #embed: ReturnType<typeof hashingEmbedder>;
  readonly #isSigned: boolean;

  constructor(dimension = 64, isSigned = false) {
    this.#embed = hashingEmbedder(dimension);
    this.#isSigned = isSigned;
  }

  async embedDocuments(documents: string[]): Promise<number[][]> {
    this.asked.push([...documents]);
    this.#fail();
    return this.#embed(documents).map((vector) => Array.from(vector));
  }

  async embedQuery(document: string): Promise<number[]> {
    this.queries.push(document);
    this.#fail();
    const sign = this.#isSigned ? -1 : 1;
    return Array.from(this.#embed([document])[0] ?? [], (number) => number * sign);
  }

  #fail(): void {
    const { failure } = this;
    this.failure = undefined;
    if (failure !== undefined) throw failure;
  }
}
