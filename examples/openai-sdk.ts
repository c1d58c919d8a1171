/**
 * OpenAI's own SDK behind a cache: every text is paid for once.
 *
 *     npm install openai
 *     OPENAI_API_KEY=… bun examples/openai-sdk.ts
 */

import OpenAI from "openai";
import { EmbedCache } from "vectorlite";

const model = "text-embedding-3-small";
const dimension = 1536;
const print = (line: string): void => void process.stdout.write(`${line}\n`);

async function main(): Promise<void> {
  const openai = new OpenAI();
  using cache = new EmbedCache({ path: process.argv[2] ?? ":memory:", dimension, model });
  let tokens = 0;

  // #region embed
  const embed = (texts: string[]): Promise<Float32Array[]> =>
    cache.getOrComputeMany(texts, async (input) => {
      const { data, usage } = await openai.embeddings.create({
        model,
        input,
        dimensions: dimension,
      });
      tokens += usage.total_tokens;
      return data.toSorted((a, b) => a.index - b.index).map(({ embedding }) => embedding);
    });
  // #endregion

  const texts = ["The cat sat on the mat.", "A dog slept on the rug.", "The cat sat on the mat."];
  await embed(texts);
  print(`first run: ${tokens} tokens paid for ${texts.length} texts`);
  tokens = 0;
  const [cat] = await embed(texts);
  print(`second run: ${tokens} tokens paid`);
  if (cat === undefined) return;
  for (const { key, score } of cache.search(cat, { k: 2 })) print(`${score.toFixed(3)}  ${key}`);
}

await main();
