/**
 * A cache around the embedding models of the AI SDK, value by value.
 *
 * A batch asks the model only for the values that the cache misses, each once. What decides a
 * vector besides its text decides the namespace: provider, model, dimensions and provider options.
 * Headers do not (they always differ), nor does an abort signal.
 *
 * @module
 */

import type { EmbeddingModelMiddleware } from "ai";
import type { EmbedCache } from "vectorlite";
import { invalidArgument } from "./arguments.ts";
import { checkMayAsk, type EmbeddingIdentity, numbersInSpace } from "./model-spaces.ts";

/** Options of {@link embeddingCache} and {@link withEmbeddingCache}. */
export interface EmbeddingCacheOptions {
  /** Where the vectors are kept, in a namespace for each model; its own entries are not touched. */
  readonly cache: EmbedCache;
  /**
   * Stands for the provider that the model names. Needed where two servers call themselves and
   * their models the same. Default: what the model says.
   */
  readonly provider?: string | undefined;
}

/** What every version of the AI SDK's embedding models has in common. */
export interface CacheableEmbeddingModel {
  /** Who serves the model. */
  readonly provider: string;
  /** The model's id there. */
  readonly modelId: string;
  /** Asks the model. */
  // biome-ignore lint/suspicious/noExplicitAny: each version of the SDK has its own options.
  doEmbed(options: any): PromiseLike<CacheableEmbeddingResult>;
}

/** What every version of the AI SDK's embedding models answers. */
export interface CacheableEmbeddingResult {
  /** One vector for each value. */
  embeddings: number[][];
  /** What the provider says that it cost, in tokens. */
  usage?: EmbeddingUsage;
  /** What the provider did not like; versions before 3 have none. */
  warnings?: unknown[];
}

/** What a call of an embedding model cost. */
export interface EmbeddingUsage {
  /** Tokens that the provider counted. */
  tokens: number;
}

interface CallOptions {
  values: string[];
  dimensions?: number | undefined;
  abortSignal?: AbortSignal | undefined;
  providerOptions?: Record<string, Record<string, unknown>> | undefined;
}

/** A result that has what the newest version asks for. */
type Result = CacheableEmbeddingResult & { warnings: unknown[] };

/**
 * A middleware for `wrapEmbeddingModel` that answers from the cache. Where there are several
 * middlewares name it last, so that it knows what the others add to a call.
 *
 * A full hit asks nobody and costs 0 tokens. On a partial hit usage, warnings, metadata and
 * response are those of the call for the missing values. Vectors are rounded to 32-bit floats, also
 * the first time.
 *
 * @throws What the provider throws, unchanged, and VectorLiteError as
 * `EmbedCache.getOrComputeMany`
 * @example
 * ```ts
 * const model = wrapEmbeddingModel({
 *   model: openai.embeddingModel("text-embedding-3-small"),
 *   middleware: embeddingCache({ cache }),
 * });
 * const { embedding } = await embed({ model, value: "What is a vector?" });
 * ```
 */
export function embeddingCache(options: EmbeddingCacheOptions): EmbeddingModelMiddleware {
  return {
    specificationVersion: "v4",
    wrapEmbed: async ({ model, params }) => {
      return (await embedThrough(options, model, params)) as Awaited<
        ReturnType<typeof model.doEmbed>
      >;
    },
  };
}

/**
 * The same model, answering from the cache; for whatever takes a model of the AI SDK. It keeps its
 * specification version (2, 3 or 4) and all else, and does not need the package `ai`.
 *
 * @throws VectorLiteError ERR_INVALID_ARGUMENT where the model is only the name of one; its calls
 * as {@link embeddingCache}
 * @example
 * ```ts
 * const model = withEmbeddingCache(openai.embeddingModel("text-embedding-3-small"), { cache });
 * ```
 */
export function withEmbeddingCache<Model extends CacheableEmbeddingModel>(
  model: Model,
  options: EmbeddingCacheOptions,
): Model {
  if (typeof model?.doEmbed !== "function") {
    const expected = "an embedding model, which of a name gateway.embeddingModel(name) makes";
    throw invalidArgument("The model of withEmbeddingCache()", expected, model);
  }
  const doEmbed = (call: CallOptions): Promise<Result> => embedThrough(options, model, call);
  return new Proxy(model, {
    // Getters get the model itself, since private fields are not reached through a proxy.
    get: (target, name) => (name === "doEmbed" ? doEmbed : Reflect.get(target, name, target)),
  });
}

async function embedThrough(
  { cache, provider }: EmbeddingCacheOptions,
  model: CacheableEmbeddingModel,
  call: CallOptions,
): Promise<Result> {
  if (belongsToValues(model, call)) {
    checkMayAsk(cache, call.values);
    return withWarnings(await model.doEmbed(call));
  }
  let result: Result = { embeddings: [], usage: { tokens: 0 }, warnings: [] };
  let isAsked = false;
  const embeddings = await numbersInSpace(
    cache,
    identityOf(provider ?? model.provider, model.modelId, call),
    call.values,
    async (values, { signal }) => {
      const answer = await model.doEmbed({ ...call, values, abortSignal: signal });
      result = isAsked ? merged(result, answer) : withWarnings(answer);
      isAsked = true;
      return { vectors: answer.embeddings, ...tokensOf(answer) };
    },
    { signal: call.abortSignal },
  );
  return { ...result, embeddings };
}

function identityOf(provider: string, model: string, call: CallOptions): EmbeddingIdentity {
  const { dimensions, providerOptions } = call;
  return { provider, model, dimensions, options: providerOptions };
}

/** Set on models that cut provider options in pieces along with the values, as Gemini's. */
const transformer: symbol = Symbol.for("vercel.ai.embeddingModel.providerOptionsTransformer");

/**
 * Whether the options hold an array whose items belong to the values, one to one: images and other
 * parts beside the texts. A call with some of the values would pair them wrongly, and a text alone
 * does not decide its vector.
 */
function belongsToValues(
  model: CacheableEmbeddingModel,
  { providerOptions }: CallOptions,
): boolean {
  if (providerOptions === undefined) return false;
  const isCut = Reflect.get(model, transformer) !== undefined;
  return Object.values(providerOptions).some((options) =>
    Object.entries(options ?? {}).some(
      ([name, value]) => Array.isArray(value) && (isCut || name === "content"),
    ),
  );
}

/** The cache's own settings may split what is missing into several calls. */
function merged(first: Result, second: CacheableEmbeddingResult): Result {
  const usage =
    first.usage === undefined || second.usage === undefined
      ? undefined
      : { tokens: first.usage.tokens + second.usage.tokens };
  const { usage: _first, ...rest } = { ...first, ...second };
  const warnings = [...first.warnings, ...(second.warnings ?? [])];
  return { ...rest, warnings, ...(usage === undefined ? {} : { usage }) };
}

function withWarnings(result: CacheableEmbeddingResult): Result {
  return { ...result, warnings: result.warnings ?? [] };
}

function tokensOf({ usage }: CacheableEmbeddingResult): { tokens?: number } {
  return usage !== undefined && Number.isFinite(usage.tokens) ? { tokens: usage.tokens } : {};
}
