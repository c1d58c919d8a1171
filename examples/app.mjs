/**
 * An application in plain JavaScript, as GETTING_STARTED.md has it. It runs on Node 20 and on Bun.
 *
 *     node examples/app.mjs      # writes embeddings.cache where it runs
 */

// #region app
import { EmbedCache } from "vectorlite";

/** Stands for a model: an API, or a network that runs here. */
async function embed(text) {
  console.log(`embedding ${JSON.stringify(text)}`);
  return [text.length, text.split(" ").length, 1];
}

const cache = new EmbedCache({ path: "embeddings.cache", dimension: 3, model: "lengths-1" });
try {
  for (const text of ["to be or not", "to be", "to be or not"]) {
    const vector = await cache.getOrCompute(text, embed);
    console.log(text, vector);
  }
  console.log(cache.search([12, 4, 1], { k: 1 }));
} finally {
  cache.close(); // and everything is on the disk
}
// #endregion
