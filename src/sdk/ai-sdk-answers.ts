/**
 * Answers of language models as they are stored: JSON of what a later caller may get, taken from a
 * result or from a stream, and made a result or a stream again.
 *
 * @module
 */

import type { LanguageModelMiddleware } from "ai";

type WrapGenerate = NonNullable<LanguageModelMiddleware["wrapGenerate"]>;

/** A call on its way to a language model. */
export type LanguageModelCall = Parameters<WrapGenerate>[0];

/** What a language model answers in one piece. */
export type GenerateResult = Awaited<ReturnType<LanguageModelCall["doGenerate"]>>;

/** What a language model answers bit by bit. */
export type StreamResult = Awaited<ReturnType<LanguageModelCall["doStream"]>>;

type StreamPart = StreamResult["stream"] extends ReadableStream<infer Part> ? Part : never;

type Content = GenerateResult["content"][number];

type StorableContent = Extract<Content, { type: "text" | "reasoning" | "source" }>;

/** An answer as it is stored: what JSON can hold. */
export interface StoredAnswer {
  /** Texts, reasoning and sources, in their order. */
  content: StorableContent[];
  /** Why the model stopped: it always came to its own end. */
  finishReason: GenerateResult["finishReason"];
  /** The text of an object that was asked for, where the provider tells it apart. */
  structuredOutputText?: string;
  /** What the provider said besides. */
  providerMetadata?: NonNullable<GenerateResult["providerMetadata"]>;
  /** The response that is given again. */
  response?: StoredResponse;
}

/** What is known of the response that an answer came with. */
export interface StoredResponse {
  /** Its id at the provider. */
  id?: string;
  /** The model that answered. */
  modelId?: string;
  /** When it answered, in ISO 8601. */
  timestamp?: string;
}

const noUsage: GenerateResult["usage"] = {
  inputTokens: { total: 0, noCache: 0, cacheRead: 0, cacheWrite: 0 },
  outputTokens: { total: 0, text: 0, reasoning: 0 },
};

/**
 * What to store of a result: nothing where the model did not come to its own end, where it called
 * tools or made files, where it said nothing, or no JSON where it was asked for that. The AI SDK
 * looks at the last only after the cache did, and would meet it again in every later call.
 */
export function storableOf(
  result: GenerateResult,
  { responseFormat }: LanguageModelCall["params"],
): StoredAnswer | undefined {
  const { content, finishReason, structuredOutputText, providerMetadata, response } = result;
  if (finishReason.unified !== "stop" || !content.every(isStorable)) return undefined;
  if (!content.some((part) => part.type === "text" && part.text !== "")) return undefined;
  if (responseFormat?.type === "json" && !isJson(structuredOutputText ?? textOf(content))) return;
  const { id, modelId, timestamp } = response ?? {};
  const told = { id, modelId, timestamp };
  const answer = { content, finishReason, structuredOutputText, providerMetadata, response: told };
  // Fields that are undefined go, and the timestamp becomes text.
  return JSON.parse(JSON.stringify(answer)) as StoredAnswer;
}

function textOf(content: readonly Content[]): string {
  return content.map((part) => (part.type === "text" ? part.text : "")).join("");
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function isStorable(part: Content): part is StorableContent {
  return part.type === "text" || part.type === "reasoning" || part.type === "source";
}

/** A stored answer as a result that cost nothing; the score is in `providerMetadata`. */
export function resultOf(answer: StoredAnswer, score: number): GenerateResult {
  const { response, providerMetadata, ...rest } = answer;
  return {
    ...rest,
    usage: noUsage,
    warnings: [],
    providerMetadata: { ...providerMetadata, vectorlite: { score } },
    response: revived(response),
  };
}

/** A stored answer as a stream of the parts that a model would have sent. */
export function streamOf(answer: StoredAnswer, score: number): StreamResult {
  const { finishReason, usage, providerMetadata } = resultOf(answer, score);
  const parts: StreamPart[] = [
    { type: "stream-start", warnings: [] },
    { type: "response-metadata", ...revived(answer.response) },
    ...answer.content.flatMap((part, index) => partsOf(part, String(index))),
    { type: "finish", finishReason, usage, ...(providerMetadata && { providerMetadata }) },
  ];
  return {
    stream: new ReadableStream({
      start: (controller) => {
        for (const part of parts) controller.enqueue(part);
        controller.close();
      },
    }),
  };
}

function revived({ timestamp, ...rest }: StoredResponse = {}): {
  id?: string;
  modelId?: string;
  timestamp?: Date;
} {
  return timestamp === undefined ? rest : { ...rest, timestamp: new Date(timestamp) };
}

function partsOf(part: StorableContent, id: string): StreamPart[] {
  if (part.type === "source") return [part];
  const { providerMetadata, text: delta } = part;
  const about = providerMetadata === undefined ? {} : { providerMetadata };
  if (part.type === "reasoning") {
    return [
      { type: "reasoning-start", id, ...about },
      { type: "reasoning-delta", id, delta },
      { type: "reasoning-end", id, ...about },
    ];
  }
  const { citations } = part;
  return [
    { type: "text-start", id, ...about },
    { type: "text-delta", id, delta },
    { type: "text-end", id, ...about, ...(citations && { citations }) },
  ];
}

/** Makes a result of the parts of a stream while they go by. */
export class AnswerCollector {
  readonly #content: Content[] = [];
  readonly #open = new Map<string, Extract<Content, { type: "text" | "reasoning" }>>();
  #response: GenerateResult["response"];
  #finish: Extract<StreamPart, { type: "finish" }> | undefined;
  #isStorable = true;

  add(part: StreamPart): void {
    switch (part.type) {
      case "text-start":
      case "reasoning-start":
        this.#start(part.type === "text-start" ? "text" : "reasoning", part);
        break;
      case "text-delta":
      case "reasoning-delta":
      case "text-end":
      case "reasoning-end":
        this.#continue(part);
        break;
      case "source":
        this.#content.push(part);
        break;
      case "response-metadata": {
        const { type: _, ...response } = part;
        this.#response = { ...this.#response, ...response };
        break;
      }
      case "finish":
        this.#finish = part;
        break;
      case "stream-start":
      case "raw":
      case "ping":
        break;
      default:
        this.#isStorable = false;
    }
  }

  /** What to store, once all parts went by. */
  answer(params: LanguageModelCall["params"]): StoredAnswer | undefined {
    if (!this.#isStorable || this.#finish === undefined) return undefined;
    const { finishReason, usage, providerMetadata } = this.#finish;
    return storableOf(
      {
        content: this.#content,
        finishReason,
        usage,
        warnings: [],
        ...(providerMetadata && { providerMetadata }),
        ...(this.#response && { response: this.#response }),
      },
      params,
    );
  }

  #start(
    type: "text" | "reasoning",
    { id, providerMetadata }: Extract<StreamPart, { type: "text-start" | "reasoning-start" }>,
  ): void {
    const content = { type, text: "", ...(providerMetadata && { providerMetadata }) };
    this.#content.push(content);
    this.#open.set(`${type} ${id}`, content);
  }

  #continue(
    part: Extract<
      StreamPart,
      { type: "text-delta" | "reasoning-delta" | "text-end" | "reasoning-end" }
    >,
  ): void {
    const [type] = part.type.split("-");
    const content = this.#open.get(`${type} ${part.id}`);
    if (content === undefined) {
      this.#isStorable = false;
      return;
    }
    if ("delta" in part) content.text += part.delta;
    if (part.providerMetadata) content.providerMetadata = part.providerMetadata;
    if ("citations" in part && content.type === "text") content.citations = part.citations ?? [];
  }
}
