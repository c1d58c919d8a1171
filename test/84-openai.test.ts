/**
 * OpenAI's own client in front of a server that is a function: what is sent, and what is made of
 * the answers.
 */

import OpenAI, { AzureOpenAI } from "openai";
import { cachedEmbeddings, openaiEmbedder } from "vectorlite/openai";
import { describe, expect, test } from "vitest";
import { memoryCache } from "./embeddings.ts";
import { expectRejection } from "./helpers.ts";

const model = "text-embedding-3-small";

interface Body {
  input: string[];
  model: string;
  dimensions?: number;
  encoding_format?: string;
}

interface Item {
  index: number;
  embedding: unknown;
}

/** A text as its length and a number that only a 32-bit float holds exactly. */
function vectorOf(text: string): Float32Array {
  return Float32Array.of(text.length, 0.1);
}

function base64(vector: Float32Array): string {
  return Buffer.from(vector.buffer).toString("base64");
}

function itemsOf({ input }: Body): Item[] {
  return input.map((text, index) => ({ index, embedding: base64(vectorOf(text)) }));
}

/** A client whose requests end here. */
function newClient(answer: (body: Body) => Item[] | Response = itemsOf): {
  client: OpenAI;
  bodies: Body[];
  signals: (AbortSignal | null | undefined)[];
} {
  const bodies: Body[] = [];
  const signals: (AbortSignal | null | undefined)[] = [];
  const client = new OpenAI({
    apiKey: "key",
    maxRetries: 0,
    fetch: async (_, init) => {
      const body = JSON.parse(String(init?.body)) as Body;
      bodies.push(body);
      signals.push(init?.signal);
      const data = answer(body);
      if (data instanceof Response) return data;
      return Response.json({ data, usage: { total_tokens: body.input.length * 10 } });
    },
  });
  return { client, bodies, signals };
}

function lengthsIn(vectors: readonly Float32Array[]): (number | undefined)[] {
  return vectors.map(([length]) => length);
}

describe("openaiEmbedder", () => {
  test("asks for base64, and decodes bit for bit", async () => {
    const { client, bodies } = newClient();
    const { vectors, tokens } = await openaiEmbedder(client, { model })(["a", "bbb"]);
    expect(bodies).toEqual([{ model, input: ["a", "bbb"], encoding_format: "base64" }]);
    expect(vectors).toEqual(["a", "bbb"].map(vectorOf));
    expect(tokens).toBe(20);
  });

  test("sends dimensions where they are given", async () => {
    const { client, bodies } = newClient();
    await openaiEmbedder(client, { model, dimensions: 2 })(["a"]);
    expect(bodies[0]?.dimensions).toBe(2);
  });

  test("orders by index, not by arrival", async () => {
    const { client } = newClient((body) => itemsOf(body).reverse());
    const { vectors } = await openaiEmbedder(client, { model })(["a", "bb", "ccc"]);
    expect(lengthsIn(vectors)).toEqual([1, 2, 3]);
  });

  test("takes plain numbers from servers that know no base64", async () => {
    const { client } = newClient(({ input }) =>
      input.map((text, index) => ({ index, embedding: [text.length, 0.1] })),
    );
    const { vectors } = await openaiEmbedder(client, { model })(["a", "bb"]);
    expect(vectors).toEqual(["a", "bb"].map(vectorOf));
  });

  // A server that computes NaN writes null, since JSON has no word for it.
  test.each([[[1, null]], [["1", 2]], [[1, true]], [[[1], 2]]])(
    "refuses %j as a vector, and stores none made of it",
    async (embedding) => {
      const { client } = newClient(({ input }) => input.map((_, index) => ({ index, embedding })));
      const message = /The server answered.*number/;
      const answer = openaiEmbedder(client, { model })(["a"]);
      expect((await expectRejection(answer, "ERR_INVALID_ARGUMENT")).message).toMatch(message);
      const embeddings = cachedEmbeddings(memoryCache(), client, { model });
      await expectRejection(embeddings.embed("a"), "ERR_INVALID_ARGUMENT");
      expect(embeddings.cache.size).toBe(0);
    },
  );

  test("splits at 2,048 texts and adds up what the requests cost", async () => {
    const { client, bodies } = newClient();
    const texts = Array.from({ length: 4097 }, (_, index) => "x".repeat(index % 7));
    const { vectors, tokens } = await openaiEmbedder(client, { model })(texts);
    expect(bodies.map(({ input }) => input.length)).toEqual([2048, 2048, 1]);
    expect(lengthsIn(vectors)).toEqual(texts.map(({ length }) => length));
    expect(tokens).toBe(40_970);
  });

  test("splits where one request could have more than 300,000 tokens", async () => {
    const { client, bodies } = newClient();
    const texts = ["ü".repeat(75_000), "a".repeat(150_000), "b", "c".repeat(400_000), "d"];
    const { vectors } = await openaiEmbedder(client, { model })(texts);
    expect(bodies.map(({ input }) => input.length)).toEqual([2, 1, 1, 1]);
    expect(lengthsIn(vectors)).toEqual(texts.map(({ length }) => length));
  });

  test("asks nobody for nothing", async () => {
    const { client, bodies } = newClient();
    const nothing = { vectors: [], tokens: 0 };
    expect(await openaiEmbedder(client, { model })([])).toEqual(nothing);
    expect(bodies).toEqual([]);
  });

  test("refuses an answer that has not one vector for each text", async () => {
    const answers: ((items: Item[]) => Item[])[] = [
      (items) => items.slice(1),
      (items) => [...items, { index: 2, embedding: base64(vectorOf("more")) }],
      (items) => items.map((item) => ({ ...item, index: 0 })),
      (items) => items.map((item) => ({ ...item, index: item.index + 1 })),
      (items) => items.map((item) => ({ ...item, index: -item.index })),
      () => [],
    ];
    for (const change of answers) {
      const { client } = newClient((body) => change(itemsOf(body)));
      const answer = openaiEmbedder(client, { model })(["a", "b"]);
      await expectRejection(answer, "ERR_INVALID_ARGUMENT");
    }
  });

  test("refuses an index that is none, whatever the server calls it", async () => {
    for (const index of ["length", "0", 0.5, -1, 1, null, undefined] as unknown as number[]) {
      const { client } = newClient(() => [{ index, embedding: "0" }]);
      const call = openaiEmbedder(client, { model })(["a"]);
      await expectRejection(call, "ERR_INVALID_ARGUMENT");
    }
    for (const data of [undefined, "data", [null], [7]] as unknown as Item[][]) {
      const { client } = newClient(() => Response.json({ data }));
      const call = openaiEmbedder(client, { model })(["a"]);
      await expectRejection(call, "ERR_INVALID_ARGUMENT");
    }
    for (const embedding of [null, {}, 7, undefined]) {
      const { client } = newClient(() => [{ index: 0, embedding }]);
      const call = openaiEmbedder(client, { model })(["a"]);
      await expectRejection(call, "ERR_INVALID_ARGUMENT");
    }
  });

  test("counts no tokens where the server says no number", async () => {
    for (const total_tokens of ["7", null, {}, undefined]) {
      const { client } = newClient((body) =>
        Response.json({ data: itemsOf(body), usage: { total_tokens } }),
      );
      expect((await openaiEmbedder(client, { model })(["a"])).tokens).toBe(0);
    }
  });

  test("refuses vectors of another length than asked for, or than each other", async () => {
    const { client } = newClient();
    const three = openaiEmbedder(client, { model, dimensions: 3 })(["a"]);
    expect((await expectRejection(three, "ERR_DIMENSION")).message).toMatch(/2 numbers.*3/);
    const mixed = newClient((body) => {
      return itemsOf(body).map((item) => (item.index === 1 ? { ...item, embedding: [1] } : item));
    });
    await expectRejection(openaiEmbedder(mixed.client, { model })(["a", "b"]), "ERR_DIMENSION");
    const odd = newClient(() => [{ index: 0, embedding: Buffer.from("12345").toString("base64") }]);
    await expectRejection(openaiEmbedder(odd.client, { model })(["a"]), "ERR_DIMENSION");
  });

  test("refuses base64 that is none, instead of filling up with zeros", async () => {
    const { client } = newClient(() => [{ index: 0, embedding: "!!!!!!!!!!!!!!!!" }]);
    await expectRejection(openaiEmbedder(client, { model })(["a"]), "ERR_INVALID_ARGUMENT");
  });

  test("passes on what the client throws", async () => {
    const { client } = newClient(() =>
      Response.json({ error: { message: "no" } }, { status: 400 }),
    );
    const answer = openaiEmbedder(client, { model })(["a"]);
    await expect(answer).rejects.toBeInstanceOf(OpenAI.BadRequestError);
  });

  test("hands the signal to the client", async () => {
    const { client } = newClient();
    const signal = AbortSignal.abort();
    const answer = openaiEmbedder(client, { model })(["a"], { signal });
    await expect(answer).rejects.toBeInstanceOf(OpenAI.APIUserAbortError);
  });

  test("fills a cache that belongs to the model", async () => {
    const { client, bodies } = newClient();
    const cache = memoryCache().namespace("of the model");
    const embedTexts = openaiEmbedder(client, { model });
    for (let round = 0; round < 2; round++) {
      const vectors = await cache.getOrComputeMany(["a", "bb", "a"], embedTexts);
      expect(vectors).toEqual(["a", "bb", "a"].map(vectorOf));
    }
    expect(bodies.map(({ input }) => input)).toEqual([["a", "bb"]]);
  });
});

describe("cachedEmbeddings", () => {
  test("embeds each text once, as a Float32Array that the caller owns", async () => {
    const { client, bodies } = newClient();
    const embeddings = cachedEmbeddings(memoryCache(), client, { model });
    const vectors = await embeddings.embedMany(["a", "bb", "a"]);
    expect(vectors).toEqual(["a", "bb", "a"].map(vectorOf));
    vectors[0]?.fill(0);
    expect(await embeddings.embed("a")).toEqual(vectorOf("a"));
    expect(bodies.map(({ input }) => input)).toEqual([["a", "bb"]]);
    expect(await embeddings.embedMany([])).toEqual([]);
  });

  test("finds what it embedded in its namespace, and tells the cache the tokens", async () => {
    const { client } = newClient();
    const cache = memoryCache();
    const embeddings = cachedEmbeddings(cache, client, { model });
    await embeddings.embedMany(["a", "a longer text"]);
    const hits = embeddings.cache.search(await embeddings.embed("a"), { k: 1 });
    expect(hits).toMatchObject([{ key: "a" }]);
    const [name = "", ...others] = cache.namespaces();
    expect(others).toEqual([]);
    expect(cache.namespace(name).stats().tokensComputed).toBe(20);
    expect(JSON.parse(name)).toEqual({ provider: "api.openai.com/v1", model });
  });

  test("keeps apart what differs in model, dimensions, or who serves it", async () => {
    const { client, bodies } = newClient();
    const cache = memoryCache();
    const elsewhere = newClient();
    elsewhere.client.baseURL = "http://localhost:11434/v1/";
    const all = [
      cachedEmbeddings(cache, client, { model }),
      cachedEmbeddings(cache, client, { model: "other" }),
      cachedEmbeddings(cache, client, { model, dimensions: 2 }),
      cachedEmbeddings(cache, client, { model, provider: "other" }),
      cachedEmbeddings(cache, elsewhere.client, { model }),
    ];
    for (const embeddings of all) await embeddings.embed("a");
    expect([bodies.length, elsewhere.bodies.length]).toEqual([4, 1]);
    expect(cache.namespaces()).toHaveLength(5);
    expect(cache.namespaces()[4]).toContain('"localhost:11434/v1"');
  });

  test("takes a client of Azure", async () => {
    const client = new AzureOpenAI({
      apiKey: "key",
      apiVersion: "2024-10-21",
      endpoint: "https://example.openai.azure.com",
      fetch: async () => Response.json({ data: itemsOf({ input: ["a"], model }), usage: {} }),
    });
    const cache = memoryCache();
    expect(await cachedEmbeddings(cache, client, { model }).embed("a")).toEqual(vectorOf("a"));
    expect(cache.namespaces()[0]).toContain('"example.openai.azure.com/openai"');
  });

  test("embeds texts that are no keys each time", async () => {
    const { client, bodies } = newClient();
    const embeddings = cachedEmbeddings(memoryCache(), client, { model });
    const long = "long ".repeat(20_000);
    for (let round = 0; round < 2; round++) {
      expect(await embeddings.embedMany(["a", long])).toEqual([vectorOf("a"), vectorOf(long)]);
    }
    expect(bodies.map(({ input }) => input)).toEqual([["a"], [long], [long]]);
  });

  test("fails one caller who gives up, not the other who waits for the same text", async () => {
    let respond = (): void => {};
    const waiting = new Promise<void>((resolve) => {
      respond = resolve;
    });
    const bodies: Body[] = [];
    const client = new OpenAI({
      apiKey: "key",
      maxRetries: 0,
      fetch: async (_, init) => {
        const body = JSON.parse(String(init?.body)) as Body;
        bodies.push(body);
        await waiting;
        return Response.json({ data: itemsOf(body), usage: { total_tokens: 1 } });
      },
    });
    const embeddings = cachedEmbeddings(memoryCache(), client, { model });
    const controller = new AbortController();
    const impatient = embeddings.embed("a", { signal: controller.signal });
    const patient = embeddings.embed("a");
    const failed = expect(impatient).rejects.toThrow("enough");
    await new Promise((resolve) => setTimeout(resolve, 5));
    controller.abort(new Error("enough"));
    await failed;
    respond();
    expect(await patient).toEqual(vectorOf("a"));
    expect(bodies).toHaveLength(1);
  });

  test("passes on what the client throws, stores nothing, and asks again", async () => {
    let isDown = true;
    const { client, bodies } = newClient((body) =>
      isDown ? Response.json({ error: {} }, { status: 503 }) : itemsOf(body),
    );
    const embeddings = cachedEmbeddings(memoryCache(), client, { model });
    await expect(embeddings.embed("a")).rejects.toBeInstanceOf(OpenAI.InternalServerError);
    isDown = false;
    expect(await embeddings.embed("a")).toEqual(vectorOf("a"));
    expect(bodies).toHaveLength(2);
  });
});
