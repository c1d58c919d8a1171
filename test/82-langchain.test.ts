/**
 * VectorLite in LangChain: each abstract member of what it extends, and the traps that its own
 * caches and stores have.
 */

import { Document, type DocumentInterface } from "@langchain/core/documents";
import { Embeddings } from "@langchain/core/embeddings";
import { index, RecordManager, type UpdateOptions } from "@langchain/core/indexing";
import { BaseStore } from "@langchain/core/stores";
import { VectorStore } from "@langchain/core/vectorstores";
import { Database, EmbedCache, type Metric } from "vectorlite";
import {
  CachedEmbeddings,
  VectorLiteStore,
  VectorLiteVectorStore,
  type VectorLiteVectorStoreConfig,
} from "vectorlite/langchain";
import { describe, expect, test } from "vitest";
import { memoryCache, WordEmbeddings } from "./embeddings.ts";
import { closing, euclidean, expectCode, expectRejection, temporaryPath } from "./helpers.ts";

const embeddings = new WordEmbeddings();

function newStore(config: VectorLiteVectorStoreConfig = {}): VectorLiteVectorStore {
  const source = config.database === undefined ? { path: ":memory:" } : {};
  return closing(new VectorLiteVectorStore(embeddings, { ...source, ...config }));
}

const animals: Document[] = [
  new Document({ id: "cat", pageContent: "a cat on a mat", metadata: { legs: 4, tags: ["pet"] } }),
  new Document({ id: "dog", pageContent: "a dog on a rug", metadata: { legs: 4 } }),
  new Document({ id: "bird", pageContent: "a bird on a wire", metadata: { legs: 2, loc: [{}] } }),
];

async function animalStore(config?: VectorLiteVectorStoreConfig): Promise<VectorLiteVectorStore> {
  const store = newStore(config);
  await store.addDocuments(animals);
  return store;
}

function idsOf(documents: readonly DocumentInterface[]): (string | undefined)[] {
  return documents.map(({ id }) => id);
}

describe("cached embeddings", () => {
  test("are LangChain's embeddings, and say what the model says", async () => {
    const cached = new CachedEmbeddings({ embeddings, cache: memoryCache(), model: "m" });
    expect(cached).toBeInstanceOf(Embeddings);
    expect(await cached.embedDocuments(["a cat", "a dog"])).toEqual(
      await embeddings.embedDocuments(["a cat", "a dog"]),
    );
    expect(await cached.embedQuery("a cat")).toEqual(await embeddings.embedQuery("a cat"));
    expect(await cached.embedDocuments([])).toEqual([]);
  });

  test("send each text once: duplicates in a batch, later calls, and calls at once", async () => {
    const model = new WordEmbeddings();
    const cached = new CachedEmbeddings({ embeddings: model, cache: memoryCache(), model: "m" });
    const [first, second, third] = await cached.embedDocuments(["a", "b", "a"]);
    expect(third).toEqual(first);
    expect(second).not.toEqual(first);
    await Promise.all([cached.embedDocuments(["b", "c"]), cached.embedDocuments(["c", "a"])]);
    expect(model.asked).toEqual([["a", "b"], ["c"]]);
  });

  test("keep queries too, apart from documents", async () => {
    const model = new WordEmbeddings(64, true);
    const cached = new CachedEmbeddings({ embeddings: model, cache: memoryCache(), model: "m" });
    const [document = []] = await cached.embedDocuments(["a cat"]);
    const query = await cached.embedQuery("a cat");
    expect(query.map((number) => -number)).toEqual(document);
    const [again] = await Promise.all([cached.embedQuery("a cat"), cached.embedQuery("a cat")]);
    expect(again).toEqual(query);
    expect(model.queries).toEqual(["a cat"]);
    expect(model.asked).toEqual([["a cat"]]);
  });

  test("of two models never meet, whatever their dimensions", async () => {
    const cache = memoryCache();
    const small = new CachedEmbeddings({ embeddings, cache, model: "small" });
    const large = new CachedEmbeddings({
      embeddings: new WordEmbeddings(8),
      cache,
      model: "large",
    });
    expect((await small.embedQuery("a cat")).length).toBe(64);
    expect((await large.embedQuery("a cat")).length).toBe(8);
    expect(cache.namespaces()).toHaveLength(2);
  });

  test("need the name of the model", () => {
    for (const model of [undefined, "", 1]) {
      const params = { embeddings, cache: memoryCache(), model } as never;
      expectCode(() => new CachedEmbeddings(params), "ERR_INVALID_ARGUMENT");
    }
  });

  test("store nothing where the model fails, and ask again", async () => {
    const model = new WordEmbeddings();
    const cached = new CachedEmbeddings({ embeddings: model, cache: memoryCache(), model: "m" });
    model.failure = new Error("429");
    await expect(cached.embedDocuments(["a"])).rejects.toThrow("429");
    expect(await cached.embedDocuments(["a"])).toHaveLength(1);
    expect(model.asked).toEqual([["a"], ["a"]]);
  });

  test("embed a text that can be no key", async () => {
    const cached = new CachedEmbeddings({ embeddings, cache: memoryCache(), model: "m" });
    const long = "cat ".repeat(20_000);
    expect(await cached.embedDocuments(["", long, "a cat"])).toEqual(
      await embeddings.embedDocuments(["", long, "a cat"]),
    );
  });
});

describe("the store of vectors", () => {
  function newVectors(): VectorLiteStore {
    const cache = closing(new EmbedCache({ path: ":memory:", dimension: 2 }));
    return new VectorLiteStore({ cache });
  }

  async function keysOf(store: VectorLiteStore, prefix?: string): Promise<string[]> {
    const keys: string[] = [];
    for await (const key of store.yieldKeys(prefix)) keys.push(key);
    return keys.sort();
  }

  test("is LangChain's store: mset, mget, mdelete and yieldKeys", async () => {
    const store = newVectors();
    expect(store).toBeInstanceOf(BaseStore);
    await store.mset([
      ["a:1", [1, 2]],
      ["a:2", [3, 4]],
      ["b:1", [5, 6]],
    ]);
    expect(await store.mget(["b:1", "nowhere", "a:1", "b:1"])).toEqual([
      [5, 6],
      undefined,
      [1, 2],
      [5, 6],
    ]);
    expect(await keysOf(store)).toEqual(["a:1", "a:2", "b:1"]);
    expect(await keysOf(store, "a:")).toEqual(["a:1", "a:2"]);
    await store.mdelete(["a:1", "nowhere"]);
    expect(await keysOf(store, "a:")).toEqual(["a:2"]);
  });

  test("takes empty batches, and the last of equal keys", async () => {
    const store = newVectors();
    await store.mset([]);
    expect(await store.mget([])).toEqual([]);
    await store.mdelete([]);
    await store.mset([
      ["a", [1, 2]],
      ["a", [3, 4]],
    ]);
    expect(await store.mget(["a"])).toEqual([[3, 4]]);
  });

  test("stores all of a batch or nothing", async () => {
    const store = newVectors();
    const pairs: [string, number[]][] = [
      ["a", [1, 2]],
      ["b", [1, 2, 3]],
    ];
    await expectRejection(store.mset(pairs), "ERR_DIMENSION");
    expect(await keysOf(store)).toEqual([]);
  });
});

describe("the vector store", () => {
  test("is LangChain's vector store, and says which", async () => {
    const store = newStore();
    expect(store).toBeInstanceOf(VectorStore);
    expect(store._vectorstoreType()).toBe("vectorlite");
    expect(store.embeddings).toBe(embeddings);
    expect(JSON.stringify(store)).toContain("VectorLiteVectorStore");
  });

  test("finds documents by text, by vector, and with scores, the closest first", async () => {
    const store = await animalStore();
    expect(idsOf(await store.similaritySearch("the cat", 1))).toEqual(["cat"]);
    const vector = await embeddings.embedQuery("a cat on a mat");
    const found = await store.similaritySearchVectorWithScore(vector, 3);
    expect(found.map(([document]) => document.id)[0]).toBe("cat");
    const scores = found.map(([, score]) => score);
    expect(scores[0]).toBeCloseTo(1, 6);
    expect(scores).toEqual([...scores].sort((a, b) => b - a));
    expect((await store.similaritySearchWithScore("a cat on a mat", 3))[0]?.[1]).toBeCloseTo(1, 6);
  });

  test("gives documents back exactly: text, id, and metadata of any depth", async () => {
    const store = newStore();
    const document = new Document({
      id: "é/1",
      pageContent: " two\nlines \ud83d\ude00 \ud800",
      metadata: {
        source: "a.pdf",
        loc: { lines: { from: 1, to: 2 }, page: 3 },
        pdf: { info: { Title: "t", pages: [1, null] } },
        $text: "mine",
        pageContent: "mine too",
        tags: ["x"],
      },
    });
    await store.addDocuments([document]);
    const [found] = await store.similaritySearch("two", 1);
    expect(found).toBeInstanceOf(Document);
    expect({ ...found }).toStrictEqual({ ...document });
    const empty = new Document({ pageContent: "" });
    const [id] = await store.addVectors([[...Array(64).fill(-1)]], [empty]);
    const [pair] = await store.similaritySearchVectorWithScore(Array(64).fill(-1), 1);
    expect({ ...pair?.[0] }).toStrictEqual({ id, pageContent: "", metadata: {} });
  });

  test("scores are the larger the closer under every metric", async () => {
    const vectors = [
      [1, 0],
      [3, 4],
    ];
    const documents = ["near", "far"].map((pageContent) => new Document({ pageContent }));
    const scoresUnder = async (metric: Metric): Promise<number[]> => {
      const store = newStore({ metric });
      await store.addVectors(vectors, documents);
      const found = await store.similaritySearchVectorWithScore([1, 0], 2);
      return found.map(([, score]) => score);
    };
    expect(await scoresUnder("cosine")).toEqual([1, expect.closeTo(0.6, 6)]);
    expect(await scoresUnder("dot")).toEqual([3, 1]);
    const distance = euclidean([1, 0], [3, 4]);
    expect(await scoresUnder("l2")).toEqual([1, expect.closeTo(1 / (1 + distance), 6)]);
  });

  test("takes ids from the options, the documents, or thin air, and returns them", async () => {
    const store = newStore();
    const bare = new Document({ pageContent: "a fish" });
    expect(await store.addDocuments(animals.slice(0, 2), { ids: ["1", "2"] })).toEqual(["1", "2"]);
    const [own, random, ...more] = await store.addDocuments([animals[2] ?? bare, bare]);
    expect(own).toBe("bird");
    expect(random).toMatch(/^[0-9a-f-]{36}$/);
    expect(more).toEqual([]);
    expect(await store.addDocuments([])).toEqual([]);
  });

  test("replaces a document of the same id", async () => {
    const store = await animalStore();
    await store.addDocuments([new Document({ id: "cat", pageContent: "a whale" })]);
    const found = await store.similaritySearch("a whale", 10);
    expect(found).toHaveLength(3);
    expect({ ...found[0] }).toStrictEqual({ id: "cat", pageContent: "a whale", metadata: {} });
  });

  test("refuses batches that do not fit together, and stores nothing of them", async () => {
    const store = await animalStore();
    const vectors = await embeddings.embedDocuments(["a", "b"]);
    await expectRejection(store.addVectors(vectors, animals), "ERR_INVALID_ARGUMENT");
    const ids = ["1"];
    await expectRejection(
      store.addVectors(vectors, animals.slice(1), { ids }),
      "ERR_INVALID_ARGUMENT",
    );
    await expectRejection(store.addVectors([[1], [2]], animals.slice(1)), "ERR_DIMENSION");
    const bad = new Document({ pageContent: "x", metadata: { a: Number.NaN } });
    await expectRejection(store.addDocuments([animals[0] ?? bad, bad]), "ERR_INVALID_ARGUMENT");
    expect(await store.similaritySearch("a", 10)).toHaveLength(3);
  });

  test("filters by metadata, nested fields by their path", async () => {
    const database = closing(new Database(":memory:"));
    const store = new VectorLiteVectorStore<{ legs: number; tags?: string[]; "loc.page"?: number }>(
      embeddings,
      { database },
    );
    await store.addDocuments(animals);
    const deep = new Document({ id: "deep", pageContent: "x", metadata: { loc: { page: 3 } } });
    await store.addDocuments([deep]);
    expect(idsOf(await store.similaritySearch("cat", 9, { legs: { $lt: 4 } }))).toEqual(["bird"]);
    expect(idsOf(await store.similaritySearch("x", 9, { tags: { $contains: "pet" } }))).toEqual([
      "cat",
    ]);
    expect(idsOf(await store.similaritySearch("x", 9, { "loc.page": 3 }))).toEqual(["deep"]);
    // @ts-expect-error: there is no such field.
    await store.similaritySearch("x", 9, { lesg: 4 });
    const wrong = { legs: { $above: 4 } } as never;
    await expectRejection(store.similaritySearch("x", 9, wrong), "ERR_INVALID_ARGUMENT");
  });

  test("deletes by ids and by filter, and nothing without being told what", async () => {
    const store = await animalStore();
    await store.delete({ ids: ["cat", "nowhere"] });
    expect(idsOf(await store.similaritySearch("cat", 9)).sort()).toEqual(["bird", "dog"]);
    await store.delete({ filter: { legs: 2 } });
    expect(idsOf(await store.similaritySearch("cat", 9))).toEqual(["dog"]);
    await expectRejection(store.delete(), "ERR_INVALID_ARGUMENT");
    await expectRejection(store.delete({ ids: ["dog"], filter: {} }), "ERR_INVALID_ARGUMENT");
    await expectRejection(store.delete({ id: "dog" } as never), "ERR_INVALID_ARGUMENT");
    const undefinedValue = { filter: { legs: undefined } } as never;
    await expectRejection(store.delete(undefinedValue), "ERR_INVALID_ARGUMENT");
    expect(idsOf(await store.similaritySearch("cat", 9))).toEqual(["dog"]);
    await store.delete({ filter: {} });
    expect(await store.similaritySearch("cat", 9)).toEqual([]);
  });

  test("works as a retriever, by similarity and by marginal relevance", async () => {
    const store = await animalStore();
    const retriever = store.asRetriever({ k: 1, filter: { legs: 4 } });
    expect(idsOf(await retriever.invoke("a bird or a dog"))).toEqual(["dog"]);
    const diverse = store.asRetriever({ k: 2, searchType: "mmr", searchKwargs: { fetchK: 3 } });
    expect(idsOf(await diverse.invoke("a cat on a mat"))[0]).toBe("cat");
    await retriever.addDocuments([new Document({ id: "ant", pageContent: "an ant" })]);
    expect(idsOf(await store.similaritySearch("ant", 1))).toEqual(["ant"]);
  });

  test("chooses documents that are close and unlike each other", async () => {
    const store = newStore();
    const vectors = [
      [1, 0],
      [0.99, 0.01],
      [0.7, 0.7],
    ];
    const documents = ["same", "twin", "other"].map((id) => new Document({ id, pageContent: id }));
    await store.addVectors(vectors, documents);
    store.embeddings = {
      ...embeddings,
      embedQuery: async () => [1, 0.1],
      embedDocuments: async () => [],
    };
    const search = async (lambda: number, fetchK?: number): Promise<(string | undefined)[]> => {
      const options = { k: 2, lambda, ...(fetchK === undefined ? {} : { fetchK }) };
      return idsOf(await store.maxMarginalRelevanceSearch("x", options));
    };
    expect((await search(1)).sort()).toEqual(["same", "twin"]);
    expect(await search(0.3)).toContain("other");
    expect((await search(0.3, 2)).sort()).toEqual(["same", "twin"]);
  });

  test("is made from texts and from documents", async () => {
    const database = closing(new Database(":memory:"));
    const texts = ["a cat", "a dog"];
    const config = (collection: string): VectorLiteVectorStoreConfig => ({ database, collection });
    const one = await VectorLiteVectorStore.fromTexts(texts, { of: 1 }, embeddings, config("1"));
    const each = [{ of: "cat" }, { of: "dog" }];
    const two = await VectorLiteVectorStore.fromTexts(texts, each, embeddings, config("2"));
    const three = await VectorLiteVectorStore.fromTexts(texts, [], embeddings, config("3"));
    const metadataOf = async (store: VectorLiteVectorStore): Promise<unknown[]> => {
      return (await store.similaritySearch("a cat", 2)).map(({ metadata }) => metadata);
    };
    expect(await metadataOf(one)).toEqual([{ of: 1 }, { of: 1 }]);
    expect(await metadataOf(two)).toEqual(each);
    expect(await metadataOf(three)).toEqual([{}, {}]);
    const few = VectorLiteVectorStore.fromTexts(texts, [{}], embeddings, config("4"));
    await expectRejection(few, "ERR_INVALID_ARGUMENT");
    const four = await VectorLiteVectorStore.fromDocuments(animals, embeddings, config("4"));
    expect(await four.similaritySearch("a cat", 9)).toHaveLength(3);
  });

  test("opens again what is in the file, and only that", async () => {
    const path = temporaryPath();
    (await VectorLiteVectorStore.fromDocuments(animals, embeddings, { path, model: "m" })).close();
    const again = await VectorLiteVectorStore.fromExistingCollection<{ legs: number }>(embeddings, {
      path,
    });
    expect(idsOf(await again.similaritySearch("cat", 1, { legs: 4 }))).toEqual(["cat"]);
    again.close();
    again.close();
    await expectRejection(again.similaritySearch("cat", 1), "ERR_CLOSED");
    await expectRejection(again.addDocuments(animals), "ERR_CLOSED");
    const open = (config: VectorLiteVectorStoreConfig): Promise<unknown> =>
      VectorLiteVectorStore.fromExistingCollection(embeddings, { path, ...config });
    await expectRejection(open({ collection: "other" }), "ERR_INVALID_ARGUMENT");
    await expectRejection(open({ model: "another" }), "ERR_MODEL");
    await expectRejection(open({ metric: "l2" }), "ERR_INVALID_ARGUMENT");
  });

  test("holds nothing before the first documents, which decide the dimension", async () => {
    const database = closing(new Database(":memory:"));
    const store = newStore({ database });
    expect(await store.similaritySearch("cat", 4)).toEqual([]);
    expect(await store.maxMarginalRelevanceSearch("cat", { k: 2 })).toEqual([]);
    await store.delete({ ids: ["cat"] });
    expect(database.collections()).toEqual([]);
    await store.addDocuments(animals);
    expect(database.collection("documents").dimension).toBe(64);
    database.dropCollection("documents");
    await store.addVectors([[1, 2]], animals.slice(1, 2));
    expect(database.collection("documents").dimension).toBe(2);
  });

  test("takes a path or a database, and no option that it does not know", async () => {
    const database = closing(new Database(":memory:"));
    const configs = [{}, { path: ":memory:", database }, { path: ":memory:", dimension: 3 }, null];
    for (const config of configs) {
      const open = (): unknown => new VectorLiteVectorStore(embeddings, config as never);
      expectCode(open, "ERR_INVALID_ARGUMENT");
    }
    const store = await animalStore({ database });
    store.close();
    expect(await store.similaritySearch("cat", 9)).toHaveLength(3);
    const wrong = animalStore({ database, ids: ["1"] } as never);
    await expectRejection(wrong, "ERR_INVALID_ARGUMENT");
    await expectRejection(
      store.addDocuments(animals, { id: "1" } as never),
      "ERR_INVALID_ARGUMENT",
    );
  });

  test("is a part of a transaction, and waits for those of others", async () => {
    const database = closing(new Database(":memory:"));
    const store = await animalStore({ database });
    let finish = (): void => {};
    const held = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const other = database.transactionAsync(() => held);
    const waiting = store.delete({ ids: ["cat"] });
    finish();
    await Promise.all([other, waiting]);
    const rolledBack = database.transactionAsync(async () => {
      await store.delete({ filter: {} });
      throw new Error("back");
    });
    await expect(rolledBack).rejects.toThrow("back");
    expect(idsOf(await store.similaritySearch("x", 9)).sort()).toEqual(["bird", "dog"]);
  });
});

/** Remembers in a Map; time passes with every question. */
class MapRecordManager extends RecordManager {
  readonly #records = new Map<string, { at: number; group: string | null }>();
  #now = 0;

  async createSchema(): Promise<void> {}

  async getTime(): Promise<number> {
    return ++this.#now;
  }

  async update(keys: string[], { groupIds }: UpdateOptions = {}): Promise<void> {
    for (const [at, key] of keys.entries()) {
      this.#records.set(key, { at: ++this.#now, group: groupIds?.[at] ?? null });
    }
  }

  async exists(keys: string[]): Promise<boolean[]> {
    return keys.map((key) => this.#records.has(key));
  }

  async listKeys({ before = Infinity }: { before?: number; limit?: number }): Promise<string[]> {
    return [...this.#records].filter(([, { at }]) => at < before).map(([key]) => key);
  }

  async deleteKeys(keys: string[]): Promise<void> {
    for (const key of keys) this.#records.delete(key);
  }
}

test("index() adds what is new, skips what is there, and deletes what is gone", async () => {
  const database = closing(new Database(":memory:"));
  const vectorStore = newStore({ database });
  const recordManager = new MapRecordManager();
  const run = (docsSource: Document[]): Promise<unknown> =>
    index({ docsSource, recordManager, vectorStore, options: { cleanup: "full" } });
  const documents = animals.map((one) => new Document({ ...one, metadata: { ...one.metadata } }));
  expect(await run(documents)).toMatchObject({ numAdded: 3, numSkipped: 0, numDeleted: 0 });
  expect(await run(documents)).toMatchObject({ numAdded: 0, numSkipped: 3, numDeleted: 0 });
  expect(await run(documents.slice(0, 2))).toMatchObject({ numSkipped: 2, numDeleted: 1 });
  const [found] = await vectorStore.similaritySearch("bird", 9, { legs: 2 });
  expect(found).toBeUndefined();
  expect(database.collection("documents").size).toBe(2);
});
