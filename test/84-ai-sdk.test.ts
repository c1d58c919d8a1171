/**
 * The cache around embedding models of the AI SDK: what it asks, what it answers, what it leaves
 * alone.
 */

import { embedV3, isSupportedEmbeddingModel } from "@mastra/core/vector";
import { defaultEmbeddingSettingsMiddleware, embed, embedMany, wrapEmbeddingModel } from "ai";
import { MockEmbeddingModelV3, MockEmbeddingModelV4 } from "ai/test";
import { type EmbeddingCacheOptions, embeddingCache, withEmbeddingCache } from "vectorlite/ai-sdk";
import { describe, expect, test } from "vitest";
import { EmbedCache } from "vectorlite";
import { spaceOf } from "../src/sdk/model-spaces.ts";
import { memoryCache } from "./embeddings.ts";
import { closing, expectCode, expectRejection, temporaryPath } from "./helpers.ts";

Object.assign(globalThis, { AI_SDK_LOG_WARNINGS: false });

type Model = MockEmbeddingModelV4;
type Call = Model["doEmbedCalls"][number];
type Answer = Awaited<ReturnType<Model["doEmbed"]>>;
type Settings = NonNullable<ConstructorParameters<typeof MockEmbeddingModelV4>[0]>;

const transformer = Symbol.for("vercel.ai.embeddingModel.providerOptionsTransformer");
const bytesLimit = Symbol.for("vercel.ai.embeddingModel.maxInputBytesPerCall");

/** A text as its length, and as a number that has no exact 32-bit float. */
function vectorOf(text: string, dimensions = 2): number[] {
  return [text.length + 0.1, ...new Array(dimensions - 1).fill(1)];
}

function answer({ values, dimensions }: Pick<Call, "values" | "dimensions">): Answer {
  return {
    embeddings: values.map((value) => vectorOf(value, dimensions)),
    usage: { tokens: values.join("").length },
    providerMetadata: { mock: { asked: values.length } },
    response: { headers: { asked: values.join() }, body: { values } },
    warnings: [{ type: "other", message: `asked ${values.length}` }],
  };
}

function mock(settings: Settings = {}): Model {
  const doEmbed = async (call: Call): Promise<Answer> => answer(call);
  return new MockEmbeddingModelV4({ maxEmbeddingsPerCall: null, doEmbed, ...settings });
}

function wrap(model: Model, options: Partial<EmbeddingCacheOptions> = {}): Model {
  const middleware = embeddingCache({ cache: memoryCache(), ...options });
  return wrapEmbeddingModel({ model, middleware }) as Model;
}

function asked(model: Pick<Model, "doEmbedCalls">): string[][] {
  return model.doEmbedCalls.map(({ values }) => values);
}

/** A promise that the test settles. */
function settled<T>(): { promise: Promise<T>; resolve(value: T): void } {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((fulfil) => {
    resolve = fulfil;
  });
  return { promise, resolve };
}

describe("a batch", () => {
  test("asks only for the values that are missing, each once, and keeps the order", async () => {
    const inner = mock();
    const model = wrap(inner);
    await embed({ model, value: "bb" });
    const values = ["a", "bb", "ccc", "a"];
    const { embeddings } = await embedMany({ model, values });
    expect(asked(inner)).toEqual([["bb"], ["a", "ccc"]]);
    expect(embeddings.map(([first]) => Math.floor(first ?? 0))).toEqual([1, 2, 3, 1]);
  });

  test("that is stored asks nobody and costs nothing", async () => {
    const inner = mock();
    const model = wrap(inner);
    await embedMany({ model, values: ["a", "bb"] });
    const { usage, warnings, providerMetadata } = await embedMany({ model, values: ["bb", "a"] });
    expect(asked(inner)).toHaveLength(1);
    expect(usage).toEqual({ tokens: 0 });
    expect(warnings).toEqual([]);
    expect(providerMetadata).toBeUndefined();
    expect((await embed({ model, value: "a" })).usage).toEqual({ tokens: 0 });
  });

  test("that is stored in part costs and says what the provider says", async () => {
    const cache = memoryCache();
    const inner = mock();
    const model = wrap(inner, { cache });
    await embed({ model, value: "stored" });
    const result = await embedMany({ model, values: ["stored", "abc"] });
    expect(result.usage).toEqual({ tokens: 3 });
    expect(result.warnings).toEqual([{ type: "other", message: "asked 1" }]);
    expect(result.providerMetadata).toEqual({ mock: { asked: 1 } });
    expect(result.responses?.[0]).toMatchObject({ headers: { asked: "abc" } });
    const [name = ""] = cache.namespaces();
    expect(cache.namespace(name).stats().tokensComputed).toBe("stored".length + 3);
  });

  test("that was split asks once for a value that two parts have", async () => {
    for (const supportsParallelCalls of [true, false]) {
      const inner = mock({ maxEmbeddingsPerCall: 2, supportsParallelCalls });
      const values = ["same", "a", "same", "b", "same"];
      const { embeddings, usage } = await embedMany({ model: wrap(inner), values });
      expect(asked(inner).flat().sort()).toEqual(["a", "b", "same"]);
      expect(embeddings[4]).toEqual(embeddings[0]);
      expect(usage.tokens).toBe("sameab".length);
    }
  });

  test("is split by the limits of the model, in values and in bytes", async () => {
    const inner = mock({ maxInputBytesPerCall: 4 });
    await embedMany({ model: wrap(inner), values: ["aaaa", "bb", "cc", "d"] });
    expect(asked(inner)).toEqual([["aaaa"], ["bb", "cc"], ["d"]]);
    const proxied = mock({ maxEmbeddingsPerCall: 1 });
    const model = withEmbeddingCache(proxied, { cache: memoryCache() });
    await embedMany({ model, values: ["a", "b"] });
    expect(asked(proxied)).toEqual([["a"], ["b"]]);
  });

  test("gets plain arrays of 32-bit floats, the first time and from the cache", async () => {
    const model = wrap(mock());
    const first = await embed({ model, value: "a" });
    const second = await embed({ model, value: "a" });
    expect(Array.isArray(first.embedding) && Array.isArray(second.embedding)).toBe(true);
    expect(first.embedding).toEqual([Math.fround(1.1), 1]);
    expect(JSON.stringify(second.embedding)).toBe(JSON.stringify(first.embedding));
    second.embedding.fill(0);
    expect((await embed({ model, value: "a" })).embedding).toEqual(first.embedding);
  });

  test("may hold texts that are no keys: they are embedded each time, in order", async () => {
    const inner = mock();
    const model = wrap(inner);
    const values = ["", "a", "long ".repeat(20_000), "half \ud83d"];
    for (let round = 0; round < 2; round++) {
      const { embeddings, usage, warnings } = await embedMany({ model, values });
      const lengths = embeddings.map(([first]) => Math.floor(first ?? 0));
      expect(lengths).toEqual(values.map((value) => value.length));
      expect(usage.tokens).toBe(100_006 + (round === 0 ? 1 : 0));
      expect(warnings.map(({ type }) => type)).toEqual(
        round === 0 ? ["other", "other"] : ["other"],
      );
    }
    const [, , long, half] = values;
    expect(asked(inner)).toEqual([["a"], ["", long, half], ["", long, half]]);
  });

  test("without values asks nobody", async () => {
    const inner = mock();
    expect((await embedMany({ model: wrap(inner), values: [] })).embeddings).toEqual([]);
    expect(inner.doEmbedCalls).toEqual([]);
  });
});

describe("what decides a vector besides its text", () => {
  test("is not the headers and not the signal", async () => {
    const inner = mock();
    const model = wrap(inner);
    await embed({ model, value: "a", headers: { tenant: "1" } });
    const { signal } = new AbortController();
    await embed({ model, value: "a", headers: { tenant: "2" }, abortSignal: signal });
    expect(inner.doEmbedCalls).toHaveLength(1);
    expect(inner.doEmbedCalls[0]?.headers).toMatchObject({ tenant: "1" });
  });

  test("is the provider, the model and the dimensions, all in one file", async () => {
    const cache = memoryCache();
    const models = [
      mock(),
      mock({ provider: "other" }),
      mock({ modelId: "other" }),
      mock({ provider: 'mock-provider","x', modelId: "" }),
    ];
    for (const inner of models) {
      const model = wrap(inner, { cache });
      for (const dimensions of [undefined, 2, 3]) {
        const call = dimensions === undefined ? {} : { dimensions };
        for (let round = 0; round < 2; round++) {
          const { embedding } = await embed({ model, value: "a", ...call });
          expect(embedding).toHaveLength(dimensions ?? 2);
        }
      }
      expect(inner.doEmbedCalls.map(({ dimensions }) => dimensions)).toEqual([undefined, 2, 3]);
    }
    expect(cache.namespaces()).toHaveLength(12);
  });

  test("is the provider's options, in whatever order they are written", async () => {
    const inner = mock();
    const model = wrap(inner);
    const ask = (openai: Record<string, string>): Promise<unknown> =>
      embed({ model, value: "a", providerOptions: { openai } });
    await ask({ user: "1", task: "query" });
    await ask({ task: "query", user: "1" });
    await ask({ task: "document", user: "1" });
    await embed({ model, value: "a" });
    expect(inner.doEmbedCalls).toHaveLength(3);
  });

  test("is what another middleware adds, where the cache comes last", async () => {
    const cache = memoryCache();
    const inner = mock();
    for (const task of ["query", "document", "query"]) {
      const settings = { providerOptions: { google: { taskType: task } } };
      const model = wrapEmbeddingModel({
        model: inner,
        middleware: [defaultEmbeddingSettingsMiddleware({ settings }), embeddingCache({ cache })],
      });
      await embed({ model, value: "a" });
    }
    expect(inner.doEmbedCalls).toHaveLength(2);
  });

  test("is the name that is given to a provider, where two call themselves the same", async () => {
    const cache = memoryCache();
    const inner = mock();
    for (const provider of ["here", "there", "here"]) {
      await embed({ model: wrap(inner, { cache, provider }), value: "a" });
    }
    expect(inner.doEmbedCalls).toHaveLength(2);
  });
});

describe("options that belong to the values one by one", () => {
  const image = [{ inlineData: { mimeType: "image/png", data: "AAAA" } }];

  test("are Gemini's parts beside the texts: nothing of the call is cached", async () => {
    const inner = mock();
    const model = wrap(inner);
    await embed({ model, value: "b" });
    const values = ["a", "b", "c"];
    const providerOptions = { google: { content: [null, null, image] } };
    for (let round = 0; round < 2; round++) {
      const { embeddings } = await embedMany({ model, values, providerOptions });
      expect(embeddings).toEqual(values.map((value) => vectorOf(value)));
    }
    expect(asked(inner)).toEqual([["b"], values, values]);
    expect(inner.doEmbedCalls[1]?.providerOptions).toEqual(providerOptions);
  });

  test("are any arrays, where the model cuts its options along with the values", async () => {
    const inner = Object.assign(mock(), {
      [transformer]: ({ providerOptions }: Call) => providerOptions,
    });
    const proxied = withEmbeddingCache(inner, { cache: memoryCache() });
    for (const model of [wrap(inner), proxied]) {
      inner.doEmbedCalls.length = 0;
      for (let round = 0; round < 2; round++) {
        await embed({ model, value: "a", providerOptions: { vertex: { images: ["x"] } } });
      }
      for (let round = 0; round < 2; round++) {
        await embed({ model, value: "a", providerOptions: { vertex: { taskType: "query" } } });
      }
      expect(asked(inner)).toEqual([["a"], ["a"], ["a"]]);
    }
  });

  test("are asked for by no replay", async () => {
    const path = temporaryPath();
    new EmbedCache({ path }).close();
    const cache = closing(new EmbedCache({ path, mode: "replay" }));
    const inner = mock();
    const providerOptions = { google: { content: [image] } };
    const call = embed({ model: wrap(inner, { cache }), value: "a", providerOptions });
    expect((await expectRejection(call, "ERR_MISS")).message).toContain('"a"');
    expect(asked(inner)).toEqual([]);
  });

  test("are not the arrays of other models", async () => {
    const inner = mock();
    const model = wrap(inner);
    for (let round = 0; round < 2; round++) {
      await embed({ model, value: "a", providerOptions: { gateway: { order: ["azure"] } } });
    }
    expect(inner.doEmbedCalls).toHaveLength(1);
  });
});

describe("a provider that fails", () => {
  test("fails the call with its own error, and nothing is stored", async () => {
    const cache = memoryCache();
    const failure = new Error("the provider is busy");
    const answers = [Promise.reject(failure), Promise.resolve(answer({ values: ["a"] }))];
    const inner = mock({ doEmbed: () => answers.shift() ?? Promise.reject(new Error("asked")) });
    const model = wrap(inner, { cache });
    await expect(embed({ model, value: "a", maxRetries: 0 })).rejects.toBe(failure);
    expect(spaceOf(cache, { provider: "mock-provider", model: "mock-model-id" }).size).toBe(0);
    expect((await embed({ model, value: "a" })).usage.tokens).toBe(1);
    expect((await embed({ model, value: "a" })).usage.tokens).toBe(0);
  });

  test("in one part of a batch leaves the other parts stored", async () => {
    let isBroken = true;
    const inner = mock({
      maxEmbeddingsPerCall: 1,
      doEmbed: async (call) => {
        if (isBroken && call.values.includes("b")) throw new Error("broken");
        return answer(call);
      },
    });
    const model = wrap(inner);
    const values = ["a", "b"];
    await expect(embedMany({ model, values, maxRetries: 0 })).rejects.toThrow("broken");
    isBroken = false;
    await embedMany({ model, values });
    expect(asked(inner)).toEqual([["a"], ["b"], ["b"]]);
  });

  test("does not say what it costs, and neither does the cache", async () => {
    const inner = mock({
      doEmbed: async ({ values }) => ({
        embeddings: values.map((value) => vectorOf(value)),
        warnings: [],
      }),
    });
    const model = wrap(inner);
    expect((await embed({ model, value: "a" })).usage.tokens).toBeNaN();
    expect((await embed({ model, value: "a" })).usage.tokens).toBe(0);
  });
});

describe("a caller who gives up", () => {
  test("fails alone: another one who waits for the same text gets it", async () => {
    const release = settled<void>();
    const inner = mock({
      doEmbed: async (call) => {
        await release.promise;
        call.abortSignal?.throwIfAborted();
        return answer(call);
      },
    });
    const model = wrap(inner);
    const controller = new AbortController();
    const impatient = embed({ model, value: "a", abortSignal: controller.signal });
    const patient = embed({ model, value: "a" });
    const reason = new DOMException("enough", "AbortError");
    const failed = expect(impatient).rejects.toBe(reason);
    await new Promise((resolve) => setTimeout(resolve, 5));
    controller.abort(reason);
    await failed;
    release.resolve();
    expect((await patient).embedding).toEqual([Math.fround(1.1), 1]);
    expect(inner.doEmbedCalls).toHaveLength(1);
  });

  test("is the last one: the provider is told, and nothing is stored", async () => {
    const told = settled<unknown>();
    const inner = mock({
      doEmbed: ({ abortSignal }) =>
        new Promise((_, reject) => {
          abortSignal?.addEventListener("abort", () => {
            told.resolve(abortSignal.reason);
            reject(abortSignal.reason);
          });
        }),
    });
    const cache = memoryCache();
    const controller = new AbortController();
    const model = wrap(inner, { cache });
    const call = embed({ model, value: "a", abortSignal: controller.signal });
    const failed = expect(call).rejects.toMatchObject({ name: "AbortError" });
    await new Promise((resolve) => setTimeout(resolve, 5));
    controller.abort();
    await failed;
    await told.promise;
    expect(spaceOf(cache, { provider: "mock-provider", model: "mock-model-id" }).size).toBe(0);
  });

  test("before asking asks nobody, whether the text is stored or not", async () => {
    const inner = mock();
    const model = wrap(inner);
    await embed({ model, value: "a" });
    const abortSignal = AbortSignal.abort(new Error("enough"));
    for (const value of ["a", "b"]) {
      await expect(model.doEmbed({ values: [value], abortSignal })).rejects.toThrow("enough");
    }
    expect(asked(inner)).toEqual([["a"]]);
  });
});

describe("withEmbeddingCache", () => {
  /** As providers are written: getters over private fields, nothing enumerable. */
  class OldModel {
    readonly specificationVersion = "v2" as const;
    readonly #id = "old-model";
    readonly calls: string[][] = [];
    get modelId(): string {
      return this.#id;
    }
    get provider(): string {
      return `${this.#id}.embedding`;
    }
    get maxEmbeddingsPerCall(): number {
      return this.#id.length;
    }
    get supportsParallelCalls(): boolean {
      return true;
    }
    async doEmbed({ values }: { values: string[] }): Promise<Pick<Answer, "embeddings">> {
      this.calls.push(values);
      return { embeddings: values.map((value) => vectorOf(value)) };
    }
  }

  test("keeps the version of the model, and embeds with versions 2, 3 and 4", async () => {
    const cache = memoryCache();
    const old = new OldModel();
    const v3 = new MockEmbeddingModelV3({
      doEmbed: async ({ values }) => answer({ values }) as never,
    });
    const v4 = mock({ modelId: "newest" });
    for (const inner of [old, v3, v4]) {
      const model = withEmbeddingCache(inner, { cache });
      expect(model.specificationVersion).toBe(inner.specificationVersion);
      await embed({ model, value: "a" });
      const { embedding, usage, warnings } = await embed({ model, value: "a" });
      expect({ embedding, usage, warnings }).toEqual({
        embedding: [Math.fround(1.1), 1],
        usage: { tokens: 0 },
        warnings: [],
      });
    }
    expect([old.calls, asked(v3 as never), asked(v4)]).toEqual([[["a"]], [["a"]], [["a"]]]);
  });

  test("overrides doEmbed and nothing else", () => {
    const inner = Object.assign(new OldModel(), { [bytesLimit]: 300_000 });
    const model = withEmbeddingCache(inner, { cache: memoryCache() });
    expect(model).toBeInstanceOf(OldModel);
    expect(model.modelId).toBe("old-model");
    expect(model.provider).toBe("old-model.embedding");
    expect(model.maxEmbeddingsPerCall).toBe(9);
    expect(model.supportsParallelCalls).toBe(true);
    expect(Reflect.get(model, bytesLimit)).toBe(300_000);
    expect(model.doEmbed).not.toBe(inner.doEmbed);
    expect(model.doEmbed).toBe(model.doEmbed);
  });

  test("gives Mastra what it embeds with, which a wrapped model of version 4 is not", async () => {
    const inner = new MockEmbeddingModelV3({
      doEmbed: async ({ values }) => answer({ values }) as never,
    });
    const cache = memoryCache();
    const model = withEmbeddingCache(inner, { cache });
    expect(isSupportedEmbeddingModel(model as never)).toBe(true);
    expect(isSupportedEmbeddingModel(wrap(mock()) as never)).toBe(false);
    for (let round = 0; round < 2; round++) {
      const { embedding } = await embedV3({ model: model as never, value: "a" });
      expect(embedding).toEqual([Math.fround(1.1), 1]);
    }
    expect(asked(inner as never)).toEqual([["a"]]);
  });

  test("needs a model: the name of one is none, for the SDK's middlewares neither", () => {
    for (const wrong of ["openai/text-embedding-3-small", undefined, null, {}, { doEmbed: 1 }]) {
      const { message } = expectCode(
        () => withEmbeddingCache(wrong as never, { cache: memoryCache() }),
        "ERR_INVALID_ARGUMENT",
      );
      expect(message).toContain("gateway.embeddingModel(");
    }
    expect(() => wrap("openai/text-embedding-3-small" as never)).toThrow(TypeError);
  });

  test("shares its vectors with the middleware", async () => {
    const cache = memoryCache();
    const inner = mock();
    await embed({ model: withEmbeddingCache(inner, { cache }), value: "a" });
    await embed({ model: wrap(inner, { cache }), value: "a" });
    expect(inner.doEmbedCalls).toHaveLength(1);
  });

  test("adds the warnings that old models do not have, also where it caches nothing", async () => {
    const model = withEmbeddingCache(new OldModel(), { cache: memoryCache() });
    const call = { values: ["a"], providerOptions: { google: { content: [null] } } };
    expect(await model.doEmbed(call)).toEqual({ embeddings: [vectorOf("a")], warnings: [] });
  });
});
