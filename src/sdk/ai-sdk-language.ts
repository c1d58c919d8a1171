/**
 * A semantic cache around the language models of the AI SDK: a question that was asked before, in
 * these or in similar words, gets the answer of that time.
 *
 * Only the last text of the user may be similar. Everything else has to be the same: provider,
 * model, the messages before, and the settings that change an answer.
 *
 * @module
 */

import type { LanguageModelMiddleware } from "ai";
import { VectorLiteError } from "vectorlite";
import {
  AnswerCollector,
  type LanguageModelCall,
  resultOf,
  type StoredAnswer,
  storableOf,
  streamOf,
} from "./ai-sdk-answers.ts";
import { stableJson } from "./model-spaces.ts";
import { untilAborted } from "./until-aborted.ts";

/** An answer that was found, and how similar its prompt is. */
export interface FoundAnswer {
  /** The answer. */
  readonly answer: StoredAnswer;
  /** Cosine similarity of both prompts. */
  readonly score: number;
}

/** What is used of a cache that `semanticCache<StoredAnswer>()` made. */
export interface AnswerCache {
  /** The answer of the most similar prompt that reaches the threshold. */
  get(
    prompt: string,
    options: { namespace: string; signal?: AbortSignal | undefined },
  ): Promise<FoundAnswer | undefined>;
  /** Stores an answer. */
  set(prompt: string, answer: StoredAnswer, options: { namespace: string }): Promise<void>;
}

/** Options of {@link semanticCacheMiddleware}. */
export interface SemanticCacheMiddlewareOptions {
  /** Where answers are kept; its threshold says how similar a question has to be. */
  readonly cache: AnswerCache;
  /**
   * Who may share answers, such as a tenant or a user: nobody gets those of another scope. Default:
   * everybody shares them.
   */
  readonly scope?: string | undefined;
  /**
   * Caches later turns of conversations too, each among those with exactly the same messages
   * before. Each such history becomes a namespace, of which a file holds 65,536. Default `false`:
   * only what follows system messages alone.
   */
  readonly conversations?: boolean | undefined;
  /**
   * Gets what the cache or its embedder throws; the model is asked then as if there were no cache.
   * Default: the call fails with it.
   */
  readonly onError?: ((error: unknown) => void) | undefined;
}

type Params = LanguageModelCall["params"];

/** A question whose answer may be looked up. */
interface Question {
  text: string;
  namespace: string;
}

/**
 * A middleware for `wrapLanguageModel`. `generateText` and `streamText` share their answers; one
 * from the cache costs no tokens and has `providerMetadata.vectorlite.score`.
 *
 * The model itself is asked, and nothing is stored, where tools are given or the last message is
 * not one text of the user. Nothing is stored of an answer that did not come to its own end, that
 * holds files or tool calls, or that is no JSON where the call asks for that.
 *
 * Similar is not the same: prompts from a template differ in little and mean something else.
 * Measure the threshold with `calibrate()` of the cache before you rely on it.
 *
 * @throws What the model throws, unchanged, and without `onError` what the cache throws, and
 * VectorLiteError ERR_INVALID_ARGUMENT where the options of a call hold a function or the like, so
 * that it cannot be told from others.
 * @example
 * ```ts
 * using cache = semanticCache<StoredAnswer>({ embed, threshold: 0.95 });
 * const middleware = semanticCacheMiddleware({ cache });
 * const model = wrapLanguageModel({ model: provider, middleware });
 * const { text } = await generateText({ model, prompt: "How do I reset my password?" });
 * ```
 */
export function semanticCacheMiddleware(
  options: SemanticCacheMiddlewareOptions,
): LanguageModelMiddleware {
  return {
    specificationVersion: "v4",
    wrapGenerate: async ({ doGenerate, params, model }) => {
      const question = await orTell(async () => questionOf(params, model, options), options);
      const found = question && (await lookUp(question, params, options));
      if (found) return resultOf(found.answer, found.score);
      const result = await doGenerate();
      if (question) await store(question, storableOf(result, params), options);
      return result;
    },
    wrapStream: async ({ doStream, params, model }) => {
      const question = await orTell(async () => questionOf(params, model, options), options);
      const found = question && (await lookUp(question, params, options));
      if (found) return streamOf(found.answer, found.score);
      const result = await doStream();
      if (!question) return result;
      const collector = new AnswerCollector();
      const collecting: typeof result.stream = result.stream.pipeThrough(
        new TransformStream({
          transform: (part, controller) => {
            collector.add(part);
            controller.enqueue(part);
          },
          // A reader who stops earlier never comes here, and half an answer is not stored.
          flush: () => store(question, collector.answer(params), options),
        }),
      );
      return { ...result, stream: collecting };
    },
  };
}

/** Nothing where the call is not to be cached. */
function questionOf(
  params: Params,
  { provider, modelId }: { provider: string; modelId: string },
  { scope, conversations = false }: SemanticCacheMiddlewareOptions,
): Question | undefined {
  if (params.tools !== undefined && params.tools.length > 0) return undefined;
  const before = params.prompt.slice(0, -1);
  if (!conversations && !before.every(({ role }) => role === "system")) return undefined;
  const last = params.prompt.at(-1);
  if (last?.role !== "user" || last.content.length !== 1) return undefined;
  const [part] = last.content;
  if (part?.type !== "text" || part.text === "") return undefined;
  const about = [last.providerOptions, part.providerOptions];
  const same = { scope, provider, modelId, before, about, settings: settingsOf(params) };
  return { text: part.text, namespace: hashOf(stableJson(same, "call")) };
}

/** What changes an answer: named one by one, since `streamText` adds what does not. */
function settingsOf(params: Params): object {
  const { maxOutputTokens, temperature, topP, topK, presencePenalty, frequencyPenalty } = params;
  const { stopSequences, seed, responseFormat, reasoning, providerOptions } = params;
  const sampling = { temperature, topP, topK, presencePenalty, frequencyPenalty, seed };
  const shape = { maxOutputTokens, stopSequences, responseFormat };
  return { ...sampling, ...shape, reasoning, providerOptions };
}

function hashOf(text: string): string {
  const { createHash } = process.getBuiltinModule("node:crypto");
  return createHash("sha256").update(text).digest("base64url");
}

async function lookUp(
  { text, namespace }: Question,
  { abortSignal: signal }: Params,
  options: SemanticCacheMiddlewareOptions,
): ReturnType<AnswerCache["get"]> {
  signal?.throwIfAborted();
  const looking = orTell(() => options.cache.get(text, { namespace, signal }), options, signal);
  const found = await untilAborted(looking, signal);
  signal?.throwIfAborted();
  return found;
}

async function store(
  { text, namespace }: Question,
  answer: StoredAnswer | undefined,
  options: SemanticCacheMiddlewareOptions,
): Promise<void> {
  if (answer === undefined) return;
  await orTell(() => options.cache.set(text, answer, { namespace }), options);
}

/** A text that can be no key is no failure: it is only not cached. */
async function orTell<T>(
  action: () => Promise<T>,
  { onError }: SemanticCacheMiddlewareOptions,
  signal?: AbortSignal,
): Promise<T | undefined> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof VectorLiteError && error.code === "ERR_KEY") return undefined;
    if (onError === undefined || signal?.aborted) throw error;
    onError(error);
    return undefined;
  }
}
