/**
 * The semantic cache around language models of the AI SDK: which questions share an answer, and
 * what a later caller gets.
 */

import {
  generateText,
  jsonSchema,
  Output,
  type ModelMessage,
  streamText,
  tool,
  wrapLanguageModel,
} from "ai";
import { MockLanguageModelV4 } from "ai/test";
import { VectorLiteError } from "vectorlite";
import {
  type AnswerCache,
  type SemanticCacheMiddlewareOptions,
  type StoredAnswer,
  semanticCacheMiddleware,
} from "vectorlite/ai-sdk";
import { semanticCache } from "vectorlite/semantic-cache";
import { describe, expect, test } from "vitest";
import { hashingEmbedder } from "../examples/hashing-embedder.ts";
import { cosine, expectRejection, temporaryPath } from "./helpers.ts";

type Model = MockLanguageModelV4;
type Result = Awaited<ReturnType<Model["doGenerate"]>>;
type Part =
  Awaited<ReturnType<Model["doStream"]>>["stream"] extends ReadableStream<infer P> ? P : never;

const question = "How do I reset my password?";
const similar = "how can I reset the password";
const different = "Where is my invoice?";
const embedOne = (text: string): Float32Array => hashingEmbedder(512)([text])[0]!;

/** As `semanticCache()` does: nearest at 0.75 or more, answers as JSON, long prompts refused. */
class Answers implements AnswerCache {
  readonly stored: { prompt: string; answer: string; namespace: string }[] = [];
  failure: Error | undefined;

  async get(
    prompt: string,
    { namespace }: { namespace: string },
  ): Promise<{ answer: StoredAnswer; score: number } | undefined> {
    this.#check(prompt);
    const scored = this.stored
      .filter((one) => one.namespace === namespace)
      .map((one) => ({ ...one, score: cosine(embedOne(prompt), embedOne(one.prompt)) }))
      .sort((a, b) => b.score - a.score);
    const [best] = scored;
    if (best === undefined || best.score < 0.75) return undefined;
    return { answer: JSON.parse(best.answer), score: best.score };
  }

  async set(
    prompt: string,
    answer: StoredAnswer,
    { namespace }: { namespace: string },
  ): Promise<void> {
    this.#check(prompt);
    expect(JSON.parse(JSON.stringify(answer))).toStrictEqual(answer);
    this.stored.push({ prompt, answer: JSON.stringify(answer), namespace });
  }

  #check(prompt: string): void {
    if (prompt.length > 65_536) throw new VectorLiteError("ERR_KEY", "The prompt is too long.");
    if (this.failure !== undefined) throw this.failure;
  }
}

function result(text: string, more: Partial<Result> = {}): Result {
  return {
    content: [
      { type: "reasoning", text: "Let me see." },
      { type: "text", text, providerMetadata: { mock: { part: 1 } } },
      { type: "source", sourceType: "url", id: "1", url: "https://example.com" },
    ],
    finishReason: { unified: "stop", raw: "end" },
    usage: {
      inputTokens: { total: 10, noCache: 10, cacheRead: 0, cacheWrite: 0 },
      outputTokens: { total: 5, text: 5, reasoning: 0 },
    },
    providerMetadata: { mock: { whole: true } },
    response: { id: "response-1", modelId: "mock-2", timestamp: new Date(1_700_000_000_000) },
    warnings: [],
    ...more,
  };
}

function parts(text: string, unified: Result["finishReason"]["unified"] = "stop"): Part[] {
  const { usage, providerMetadata } = result(text);
  return [
    { type: "stream-start", warnings: [] },
    { type: "response-metadata", id: "response-1", timestamp: new Date(1_700_000_000_000) },
    { type: "text-start", id: "t" },
    ...[...text].map((delta): Part => ({ type: "text-delta", id: "t", delta })),
    { type: "text-end", id: "t" },
    {
      type: "finish",
      finishReason: { unified, raw: "end" },
      usage,
      providerMetadata: providerMetadata!,
    },
  ];
}

function streamed(all: readonly Part[]): ReadableStream<Part> {
  return new ReadableStream({
    start: (controller) => {
      for (const part of all) controller.enqueue(part);
      controller.close();
    },
  });
}

function mock(settings: ConstructorParameters<typeof MockLanguageModelV4>[0] = {}): Model {
  let count = 0;
  return new MockLanguageModelV4({
    doGenerate: async () => result(`answer ${++count}`),
    doStream: async () => ({ stream: streamed(parts(`answer ${++count}`)) }),
    ...settings,
  });
}

function wrap(model: Model, options: Partial<SemanticCacheMiddlewareOptions> = {}): Model {
  const middleware = semanticCacheMiddleware({ cache: new Answers(), ...options });
  return wrapLanguageModel({ model, middleware }) as Model;
}

function promptOf(text: string): Parameters<Model["doStream"]>[0]["prompt"] {
  return [{ role: "user", content: [{ type: "text", text }] }];
}

async function ask(
  model: Model,
  prompt: string,
  more: Pick<
    Parameters<typeof generateText>[0],
    "system" | "temperature" | "headers" | "output"
  > = {},
): Promise<string> {
  return (await generateText({ model, prompt, ...more })).text;
}

async function askForStream(model: Model, prompt: string): Promise<string> {
  return streamText({ model, prompt }).text;
}

function asked({ doGenerateCalls, doStreamCalls }: Model): number {
  return doGenerateCalls.length + doStreamCalls.length;
}

describe("a question in other words", () => {
  test("gets the answer of the first one", async () => {
    const inner = mock();
    const model = wrap(inner);
    expect(await ask(model, question)).toBe("answer 1");
    expect(await ask(model, similar)).toBe("answer 1");
    expect(await ask(model, different)).toBe("answer 2");
    expect(asked(inner)).toBe(2);
  });

  test("gets all of it, costs nothing, and tells how similar it is", async () => {
    const model = wrap(mock());
    const first = await generateText({ model, prompt: question });
    const second = await generateText({ model, prompt: similar });
    expect(second.usage).toMatchObject({ inputTokens: 0, outputTokens: 0, totalTokens: 0 });
    expect(second.finishReason).toBe("stop");
    expect(second.reasoningText).toBe("Let me see.");
    expect(second.sources).toEqual(first.sources);
    expect(second.response).toMatchObject({ id: "response-1", modelId: "mock-2" });
    expect(second.response.timestamp).toEqual(new Date(1_700_000_000_000));
    const score = cosine(embedOne(question), embedOne(similar));
    expect(second.providerMetadata).toEqual({ mock: { whole: true }, vectorlite: { score } });
  });

  test("gets a stream of what came in one piece, and the other way round", async () => {
    const inner = mock();
    const model = wrap(inner);
    await ask(model, question);
    expect(await askForStream(model, similar)).toBe("answer 1");
    expect(await askForStream(model, different)).toBe("answer 2");
    expect(await ask(model, different)).toBe("answer 2");
    expect([inner.doGenerateCalls.length, inner.doStreamCalls.length]).toEqual([1, 1]);
  });

  test("gets a stream of the parts that a model would send", async () => {
    const model = wrap(mock());
    await ask(model, question);
    const prompt = [
      { role: "user" as const, content: [{ type: "text" as const, text: question }] },
    ];
    const { stream } = await model.doStream({ prompt });
    const all: Part[] = [];
    for await (const part of stream as unknown as AsyncIterable<Part>) all.push(part);
    expect(all.map(({ type }) => type)).toEqual([
      "stream-start",
      "response-metadata",
      "reasoning-start",
      "reasoning-delta",
      "reasoning-end",
      "text-start",
      "text-delta",
      "text-end",
      "source",
      "finish",
    ]);
    expect(all[1]).toMatchObject({ timestamp: new Date(1_700_000_000_000) });
    expect(all.at(-1)).toMatchObject({
      finishReason: { unified: "stop", raw: "end" },
      usage: { inputTokens: { total: 0 }, outputTokens: { total: 0 } },
      providerMetadata: { vectorlite: { score: expect.closeTo(1, 5) } },
    });
  });

  test("does not disturb the stream that it is stored from", async () => {
    const inner = mock();
    const prompt = [
      { role: "user" as const, content: [{ type: "text" as const, text: question }] },
    ];
    const read = async (model: Model): Promise<Part[]> => {
      const all: Part[] = [];
      const { stream } = await model.doStream({ prompt });
      for await (const part of stream as unknown as AsyncIterable<Part>) all.push(part);
      return all;
    };
    expect(await read(wrap(inner))).toEqual(parts("answer 1"));
  });
});

describe("an answer is shared only where all else is the same", () => {
  test("system message, settings, model and provider", async () => {
    const cache = new Answers();
    const inner = mock();
    const model = wrap(inner, { cache });
    await ask(model, question);
    await ask(model, question, { system: "Be brief." });
    await ask(model, question, { temperature: 1 });
    await ask(wrap(mock({ modelId: "other" }), { cache }), question);
    await ask(wrap(mock({ provider: "other" }), { cache }), question);
    expect(new Set(cache.stored.map(({ namespace }) => namespace)).size).toBe(5);
    expect(await ask(model, similar, { system: "Be brief." })).toBe("answer 2");
    expect(asked(inner)).toBe(3);
  });

  test("each setting by itself, and options of a message", async () => {
    const cache = new Answers();
    // JSON, since of the settings some ask for that.
    const model = wrap(mock({ doGenerate: async () => result("{}") }), { cache });
    const text = { type: "text" as const, text: question };
    const message = { role: "user" as const, content: [text] };
    const providerOptions = { mock: { mood: "good" } };
    const settings: Partial<Parameters<Model["doGenerate"]>[0]>[] = [
      {},
      { maxOutputTokens: 1 },
      { temperature: 0 },
      { topP: 1 },
      { topK: 1 },
      { presencePenalty: 1 },
      { frequencyPenalty: 1 },
      { seed: 1 },
      { stopSequences: ["."] },
      { responseFormat: { type: "json" } },
      { responseFormat: { type: "json", schema: { type: "object" } } },
      { reasoning: "high" },
      { providerOptions },
      { prompt: [{ ...message, providerOptions }] },
      { prompt: [{ ...message, content: [{ ...text, providerOptions }] }] },
    ];
    for (const setting of settings) await model.doGenerate({ prompt: [message], ...setting });
    expect(new Set(cache.stored.map(({ namespace }) => namespace)).size).toBe(settings.length);
  });

  test("but not the headers, and not what streaming adds", async () => {
    const inner = mock();
    const model = wrap(inner);
    await ask(model, question, { headers: { request: "1" } });
    await ask(model, question, { headers: { request: "2" } });
    await streamText({ model, prompt: question, include: { rawChunks: true } }).text;
    expect(asked(inner)).toBe(1);
  });

  test("and the scope: a tenant never gets another one's answer", async () => {
    const cache = new Answers();
    const inner = mock();
    for (const scope of ["tenant 1", "tenant 2", undefined, "tenant 1"]) {
      await ask(wrap(inner, { cache, scope }), question);
    }
    expect(asked(inner)).toBe(3);
  });

  test("and, where conversations are cached, every message before", async () => {
    const inner = mock();
    const talk = (first: string): ModelMessage[] => [
      { role: "user", content: first },
      { role: "assistant", content: "Yes." },
      { role: "user", content: question },
    ];
    const without = wrap(inner);
    await generateText({ model: without, messages: talk("May I ask?") });
    await generateText({ model: without, messages: talk("May I ask?") });
    expect(asked(inner)).toBe(2);
    const model = wrap(inner, { conversations: true });
    await generateText({ model, messages: talk("May I ask?") });
    await generateText({ model, messages: talk("May I ask?") });
    await generateText({ model, messages: talk("May I ask you?") });
    expect(asked(inner)).toBe(4);
  });
});

test("a conversation about another image is another one", async () => {
  const inner = mock();
  const model = wrap(inner, { conversations: true });
  const about = (...bytes: number[]): ModelMessage[] => [
    {
      role: "user",
      content: [{ type: "file", data: Uint8Array.from(bytes), mediaType: "image/png" }],
    },
    { role: "assistant", content: "Nice." },
    { role: "user", content: question },
  ];
  for (const messages of [about(137, 80, 1), about(137, 80, 1), about(137, 80, 2)]) {
    await generateText({ model, messages });
  }
  expect(asked(inner)).toBe(2);
});

describe("the model itself is asked", () => {
  const tools = {
    now: tool({ inputSchema: jsonSchema({ type: "object" }), execute: () => "noon" }),
  };

  test("where there are tools, or the last message is not one text of the user", async () => {
    const cache = new Answers();
    const inner = mock();
    const model = wrap(inner, { cache });
    const image = { type: "file" as const, data: new Uint8Array(4), mediaType: "image/png" };
    const text = { type: "text" as const, text: question };
    for (let round = 0; round < 2; round++) {
      await generateText({ model, prompt: question, tools });
      await generateText({ model, messages: [{ role: "user", content: [text, image] }] });
      await generateText({ model, messages: [{ role: "user", content: [text, text] }] });
      await generateText({
        model,
        messages: [
          { role: "user", content: question },
          { role: "assistant", content: "You" },
        ],
      });
    }
    expect(asked(inner)).toBe(8);
    expect(cache.stored).toEqual([]);
  });

  test("again after an answer that was cut off, filtered, empty, or holds a file", async () => {
    const file = {
      type: "file" as const,
      mediaType: "image/png",
      data: { type: "data" as const, data: "AAAA" },
    };
    const unfinished: Result[] = [
      result("cut", { finishReason: { unified: "length", raw: "max" } }),
      result("filtered", { finishReason: { unified: "content-filter", raw: "no" } }),
      result("other", { finishReason: { unified: "other", raw: undefined } }),
      result("", { content: [{ type: "text", text: "" }] }),
      result("drawn", { content: [{ type: "text", text: "Here." }, file] }),
    ];
    for (const one of unfinished) {
      const cache = new Answers();
      const inner = mock({ doGenerate: one });
      const model = wrap(inner, { cache });
      await generateText({ model, prompt: question });
      await generateText({ model, prompt: question });
      expect(asked(inner)).toBe(2);
      expect(cache.stored).toEqual([]);
    }
  });

  test("again after a stream that was cut off, failed, or was not read to its end", async () => {
    const prompt = promptOf(question);
    const whole = parts("answer");
    const failing = whole.toSpliced(4, 0, { type: "error", error: new Error("overloaded") });
    const withoutEnd = whole.slice(0, -1);
    for (const all of [parts("cut", "length"), failing, withoutEnd]) {
      const cache = new Answers();
      const { stream } = await wrap(mock({ doStream: async () => ({ stream: streamed(all) }) }), {
        cache,
      }).doStream({ prompt });
      const read: Part[] = [];
      for await (const part of stream as unknown as AsyncIterable<Part>) read.push(part);
      expect(read).toEqual(all);
      expect(cache.stored).toEqual([]);
    }
    const cache = new Answers();
    const { stream } = await wrap(mock(), { cache }).doStream({ prompt });
    const reader = stream.getReader();
    await reader.read();
    await reader.cancel();
    expect(cache.stored).toEqual([]);
  });

  test("again after an answer that should have been JSON and is none", async () => {
    const cache = new Answers();
    const output = Output.json();
    const right = '{ "name": "Ada" }';
    for (const wrong of [
      result("Here you are: {}"),
      result('{ "name": "A'),
      result(right, { structuredOutputText: "{" }),
    ]) {
      const inner = mock({ doGenerate: [wrong, result(right), result("never asked for")] });
      const model = wrap(inner);
      await generateText({ model, prompt: question, output, maxRetries: 0 }).catch(() => undefined);
      for (let round = 0; round < 2; round++) {
        expect(await ask(model, question, { output })).toBe(right);
      }
      expect(asked(inner)).toBe(2);
    }
    // Some providers tell the object apart from what they say around it.
    const apart = result("Here you are", { structuredOutputText: right });
    const inner = mock({ doGenerate: [apart, result("never asked for")] });
    const model = wrap(inner);
    for (let round = 0; round < 2; round++) {
      expect(await ask(model, question, { output })).toBe("Here you are");
    }
    expect(asked(inner)).toBe(1);
    let streams = 0;
    const streaming = mock({
      doStream: async () => ({ stream: streamed(parts(++streams === 1 ? "[1," : "[1]")) }),
    });
    for (let round = 0; round < 3; round++) {
      const call = streamText({ model: wrap(streaming, { cache }), prompt: question, output });
      await call.consumeStream();
    }
    expect(streams).toBe(2);
  });

  test("about a text that is too long to be a key", async () => {
    const inner = mock();
    const model = wrap(inner);
    await ask(model, "long ".repeat(20_000));
    expect(await ask(model, "long ".repeat(20_000))).toBe("answer 2");
  });

  test("and when it fails, it fails with its own error and nothing is stored", async () => {
    const failure = new Error("the provider is busy");
    const cache = new Answers();
    const model = wrap(mock({ doGenerate: () => Promise.reject(failure) }), { cache });
    await expect(generateText({ model, prompt: question, maxRetries: 0 })).rejects.toBe(failure);
    expect(cache.stored).toEqual([]);
  });
});

describe("the cache that VectorLite has for it", () => {
  test("keeps answers over a restart", async () => {
    const path = temporaryPath("answers.cache");
    for (const prompt of [question, similar]) {
      using cache = semanticCache<StoredAnswer>({ path, embed: embedOne, threshold: 0.75 });
      const { text, providerMetadata } = await generateText({
        model: wrap(mock(), { cache }),
        prompt,
      });
      expect(text).toBe("answer 1");
      const score = prompt === question ? undefined : cosine(embedOne(question), embedOne(similar));
      expect(providerMetadata?.["vectorlite"]?.["score"]).toEqual(
        score === undefined ? undefined : expect.closeTo(score, 5),
      );
    }
  });

  test("refuses texts that are too long, which are asked for each time", async () => {
    using cache = semanticCache<StoredAnswer>({
      path: ":memory:",
      embed: embedOne,
      threshold: 0.75,
    });
    const inner = mock();
    for (let round = 0; round < 2; round++) {
      await ask(wrap(inner, { cache }), "long ".repeat(20_000));
    }
    expect(asked(inner)).toBe(2);
    expect(cache.size).toBe(0);
  });
});

describe("a cache that fails", () => {
  test("fails the call", async () => {
    const cache = new Answers();
    cache.failure = new Error("the embedder is down");
    const inner = mock();
    const model = wrap(inner, { cache });
    const call = generateText({ model, prompt: question, maxRetries: 0 });
    await expect(call).rejects.toBe(cache.failure);
    expect(asked(inner)).toBe(0);
  });

  test("is passed over where somebody is told", async () => {
    const cache = new Answers();
    cache.failure = new Error("the embedder is down");
    const told: unknown[] = [];
    const model = wrap(mock(), { cache, onError: (error) => told.push(error) });
    expect(await ask(model, question)).toBe("answer 1");
    expect(await askForStream(model, question)).toBe("answer 2");
    expect(told).toEqual([cache.failure, cache.failure, cache.failure, cache.failure]);
  });

  test("and so is a call that cannot be told from others", async () => {
    const told: unknown[] = [];
    const providerOptions = { mock: { choose: () => 1 } } as never;
    const call = { prompt: question, providerOptions, maxRetries: 0 };
    const strict = mock();
    await expectRejection(generateText({ model: wrap(strict), ...call }), "ERR_INVALID_ARGUMENT");
    expect(asked(strict)).toBe(0);
    const model = wrap(mock(), { onError: (error) => told.push(error) });
    expect((await generateText({ model, ...call })).text).toBe("answer 1");
    expect((await generateText({ model, ...call })).text).toBe("answer 2");
    expect(told.map(String).join()).toContain("providerOptions.mock.choose");
  });

  test("or a caller who gave up: the model is not asked", async () => {
    const inner = mock();
    const controller = new AbortController();
    const cache = new Answers();
    const get = cache.get.bind(cache);
    cache.get = (...args) => {
      controller.abort(new Error("enough"));
      return get(...args);
    };
    const { signal: abortSignal } = controller;
    const call = generateText({ model: wrap(inner, { cache }), prompt: question, abortSignal });
    await expect(call).rejects.toThrow("enough");
    expect(asked(inner)).toBe(0);
  });

  test("or keeps nobody who gives up, not with an embedder that never answers", async () => {
    let stuck = true;
    const embed = (text: string): Float32Array | Promise<never> =>
      stuck ? new Promise<never>(() => {}) : embedOne(text);
    using cache = semanticCache<StoredAnswer>({ path: ":memory:", embed, threshold: 0.75 });
    const told: unknown[] = [];
    const inner = mock();
    const model = wrap(inner, { cache, onError: (error) => told.push(error) });
    stuck = false;
    await ask(model, question);
    stuck = true;
    for (const call of [
      (abortSignal: AbortSignal) => generateText({ model, prompt: similar, abortSignal }),
      (abortSignal: AbortSignal) => model.doStream({ prompt: promptOf(similar), abortSignal }),
    ]) {
      const controller = new AbortController();
      setTimeout(() => controller.abort(new Error("enough")), 5);
      await expect(call(controller.signal)).rejects.toThrow("enough");
    }
    stuck = false;
    expect(await ask(model, similar)).toBe("answer 1");
    expect([told, asked(inner)]).toEqual([[], 1]);
  });
});
