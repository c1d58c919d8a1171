/**
 * How to test code that uses a cache: in memory, with an embedder that counts.
 *
 *     bun test examples/cache.test.ts
 */

// #region test
import assert from "node:assert/strict";
import test from "node:test";
import { EmbedCache } from "vectorlite";

test("a text is embedded once", async () => {
  using cache = new EmbedCache({ path: ":memory:", dimension: 2 });
  const calls: string[][] = [];
  const embed = (texts: string[]): number[][] => {
    calls.push(texts);
    return texts.map((text) => [text.length, 1]);
  };

  await cache.getOrComputeMany(["a", "b", "a"], embed);
  const [vector] = await cache.getOrComputeMany(["b"], embed);

  assert.deepEqual(calls, [["a", "b"]]);
  assert.deepEqual(vector, Float32Array.of(1, 1));
  assert.equal(cache.stats().records, 2);
});
// #endregion
