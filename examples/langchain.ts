/**
 * LangChain: embeddings that are computed once, and documents in one file. docs/sdks/langchain.md
 * quotes it.
 *
 *     bun examples/langchain.ts      # writes langchain.vl where it runs
 */

import { Document } from "@langchain/core/documents";
import { Database, EmbedCache } from "vectorlite";
import { CachedEmbeddings, VectorLiteStore, VectorLiteVectorStore } from "vectorlite/langchain";
import { hashingEmbedder, hashingModel } from "./hashing-embedder.ts";

/** Stands in for OpenAIEmbeddings and its like. */
const embed = hashingEmbedder(256);
const model = {
  embedDocuments: async (texts: string[]) => embed(texts).map((vector) => Array.from(vector)),
  embedQuery: async (text: string) => Array.from(embed([text])[0] ?? []),
};

using database = new Database("langchain.vl");
database.dropCollection("notes"); // a second run begins anew

using cache = new EmbedCache({ path: ":memory:", dimension: 256 });

// #region embeddings
const embeddings = new CachedEmbeddings({ embeddings: model, cache, model: hashingModel });

const [first, second] = await embeddings.embedDocuments(["a cat", "a cat"]); // one text is sent
const query = await embeddings.embedQuery("a cat"); // queries are kept too, by themselves
console.log(first?.length, second?.length, query.length); // 256 256 256
// #endregion

// #region store
interface Fields {
  lang: string;
  "loc.page": number;
}
const store = new VectorLiteVectorStore<Fields>(embeddings, { database, collection: "notes" });

await store.addDocuments(
  [
    new Document({ pageContent: "cats at sea", metadata: { lang: "en", loc: { page: 1 } } }),
    new Document({ pageContent: "Katzen am Meer", metadata: { lang: "de", loc: { page: 2 } } }),
    new Document({ pageContent: "ships at sea", metadata: { lang: "en", loc: { page: 3 } } }),
  ],
  { ids: ["cats", "katzen", "ships"] },
);

const filter = { lang: "en", "loc.page": { $gte: 2 } };
const [found] = await store.similaritySearch("a cat at sea", 1, filter);
console.log(found?.id, found?.pageContent, found?.metadata["loc"].page); // ships ships at sea 3

const retriever = store.asRetriever({ k: 2, searchType: "mmr", filter: { lang: "en" } });
console.log((await retriever.invoke("cats")).map(({ id }) => id).join()); // cats,ships

await store.delete({ ids: ["katzen"] });
await store.delete({ filter: { lang: "en", "loc.page": 3 } });
console.log((await store.similaritySearch("sea", 9)).length); // 1
// #endregion

// #region vectors
const vectors = new VectorLiteStore({ cache });
await vectors.mset([["note:1", query]]);
const [note, missing] = await vectors.mget(["note:1", "note:2"]);
console.log(note?.length, missing); // 256 undefined
// #endregion
