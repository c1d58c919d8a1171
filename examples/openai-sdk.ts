/**
 * OpenAI's own SDK behind a cache: every text is paid for once.
 *
 *     npm install openai
 *     OPENAI_API_KEY=… bun examples/openai-sdk.ts
 */

import OpenAI from "openai";
import { EmbedCache } from "vectorlite";
import { openaiEmbedder } from "vectorlite/openai";

const model = "text-embedding-3-small";
const dimension = 1536;
const print = (line: string): void => void process.stdout.write(`${line}\n`);

async function main(): Promise<void> {
  const openai = new OpenAI();
  using cache = new EmbedCache({ path: process.argv[2] ?? ":memory:", dimension, model });
  let paid = 0;

  // #region embed
  const askOpenAI = openaiEmbedder(openai, { model, dimensions: dimension });
  const embed = (texts: string[]): Promise<Float32Array[]> =>
    cache.getOrComputeMany(texts, async (missing) => {
      const { vectors, tokens } = await askOpenAI(missing);
      paid += tokens;
      return vectors;
    });
  // #endregion

  const texts = ["The cat sat on the mat.", "A dog slept on the rug.", "The cat sat on the mat."];
  await embed(texts);
  print(`first run: ${paid} tokens paid for ${texts.length} texts`);
  paid = 0;
  const [cat] = await embed(texts);
  print(`second run: ${paid} tokens paid`);
  if (cat === undefined) return;
  for (const { key, score } of cache.search(cat, { k: 2 })) print(`${score.toFixed(3)}  ${key}`);
}

await main();
