/**
 * OpenAI's embeddings by plain `fetch`, for examples that want no dependency.
 */

interface EmbeddingsResponse {
  data: { index: number; embedding: number[] }[];
}

/** The model asked, and the identity of the cache that it fills. */
export const openaiModel = "text-embedding-3-small";

/** Texts in one request; OpenAI takes up to 2,048. */
const requestTextsMax = 256;

/** An embedder that asks OpenAI, or whatever speaks its protocol at `OPENAI_BASE_URL`. */
export function openaiEmbedder(
  apiKey: string,
  dimension: number,
): (texts: readonly string[]) => Promise<number[][]> {
  const base = process.env["OPENAI_BASE_URL"] ?? "https://api.openai.com/v1";
  return async (texts) => {
    const vectors: number[][] = [];
    for (let start = 0; start < texts.length; start += requestTextsMax) {
      const response = await fetch(`${base}/embeddings`, {
        method: "POST",
        headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
        body: JSON.stringify({
          model: openaiModel,
          dimensions: dimension,
          input: texts.slice(start, start + requestTextsMax),
        }),
      });
      if (!response.ok) throw new Error(`OpenAI: ${response.status} ${await response.text()}`);
      const { data } = (await response.json()) as EmbeddingsResponse;
      for (const { index, embedding } of data) vectors[start + index] = embedding;
    }
    return vectors;
  };
}
