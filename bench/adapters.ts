/**
 * What does a hit cost through an adapter?
 *
 * One text of 1536 dimensions that is stored: by a plain `get`, through `embed()` of the AI SDK,
 * and through the wrapper of OpenAI's SDK. What the AI SDK itself takes is measured with a model
 * that returns the same array each time; the target is at most 5 us over that and a plain `get`. An
 * array of numbers has to be made for each hit: the floor is the loop that does it, which alone
 * takes 4 to 7 us.
 * `bun bench/run.ts adapters`
 */

import { join } from "node:path";
import { embed } from "ai";
import { MockEmbeddingModelV4 } from "ai/test";
import OpenAI from "openai";
import { numbersOf, spaceOf } from "../src/sdk/model-spaces.ts";
import { EmbedCache } from "vectorlite";
import { withEmbeddingCache } from "vectorlite/ai-sdk";
import { cachedEmbeddings } from "vectorlite/openai";
import { vectorSet } from "./data.ts";
import * as harness from "./harness.ts";

const operations = 5000;
const dimension = 1536;
const text = "What does a hit cost through an adapter?";
const targetMicros = 5;
const vector: Float32Array = vectorSet(10_000, dimension).values.slice(0, dimension);
const numbers: number[] = [...vector];
const cache: EmbedCache = new EmbedCache({
  path: join(harness.scratchFolder(), "adapters.vl"),
  dimension,
});

/** Two of the numbers of each answer. */
async function hashOf(
  answer: () => ArrayLike<number> | Promise<ArrayLike<number>>,
): Promise<number> {
  let hash = 0;
  for (let index = 0; index < operations; index++) {
    const made = answer();
    const found = made instanceof Promise ? await made : made;
    hash = harness.mixFloat(hash, found[0] ?? 0);
    hash = harness.mixFloat(hash, found[dimension - 1] ?? 0);
  }
  return hash;
}

function constantModel(): MockEmbeddingModelV4 {
  const answer = { embeddings: [numbers], usage: { tokens: 1 }, warnings: [] };
  const model = new MockEmbeddingModelV4({ maxEmbeddingsPerCall: null });
  // The mock's own doEmbed keeps every call, which is no part of a model.
  model.doEmbed = async () => answer;
  return model;
}

const constant: MockEmbeddingModelV4 = constantModel();
const cached: MockEmbeddingModelV4 = withEmbeddingCache(constant, { cache });
const space: EmbedCache = spaceOf(cache, { provider: constant.provider, model: constant.modelId });
const client: OpenAI = new OpenAI({
  apiKey: "none",
  fetch: async () => {
    const embedding = Buffer.from(vector.buffer).toString("base64");
    return Response.json({ data: [{ index: 0, embedding }], usage: { total_tokens: 1 } });
  },
});
const wrapped: ReturnType<typeof cachedEmbeddings> = cachedEmbeddings(cache, client, {
  model: "text-embedding-3-small",
});

await embed({ model: cached, value: text });
await wrapped.embed(text);

const get = (): Float32Array => {
  const found = space.get(text);
  if (found === undefined) throw new Error("the text is missing");
  return found;
};
const names = {
  floor: "floor: numbers of one array",
  get: "get",
  sdk: "embed(), a model that answers at once",
  embed: "embed(), a hit",
  openai: "cachedEmbeddings().embed(), a hit",
};
const results = await harness.measure(
  [
    { name: names.floor, run: () => hashOf(() => numbersOf(vector)) },
    { name: names.get, run: () => hashOf(get) },
    {
      name: names.sdk,
      run: () => hashOf(async () => (await embed({ model: constant, value: text })).embedding),
    },
    {
      name: names.embed,
      run: () => hashOf(async () => (await embed({ model: cached, value: text })).embedding),
    },
    { name: names.openai, run: () => hashOf(() => wrapped.embed(text)) },
  ],
  { rounds: 21, operations, rehearse: true },
);
harness.printTable("adapters: one text that is stored, 1536 dimensions", results, {
  yardstick: names.get,
});

const median = (name: string): number =>
  results.find((result) => result.name === name)?.median ?? Number.NaN;
const over = {
  "embed() over get and the AI SDK": median(names.embed) - median(names.get) - median(names.sdk),
  "cachedEmbeddings().embed() over get": median(names.openai) - median(names.get),
};
for (const [name, micros] of Object.entries(over)) {
  const verdict = micros <= targetMicros ? "" : ", missed";
  harness.print(`${name}: ${harness.duration(micros)} (target ${targetMicros} us${verdict})`);
}
cache.close();
