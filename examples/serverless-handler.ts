/**
 * A serverless function: one cache per process in the platform's temp folder, opened by the first
 * request and warm for the next ones.
 *
 * Deploy `handler` where a `(Request) => Promise<Response>` is wanted (Vercel, Deno Deploy, Lambda
 * behind an adapter). Run directly it shows a cold and a warm invocation:
 *
 *     bun examples/serverless-handler.ts
 */

import { pathToFileURL } from "node:url";
import { EmbedCache } from "vectorlite";
import { hashingEmbedder, hashingModel } from "./hashing-embedder.ts";

const dimension = 1536;
const embed = hashingEmbedder(dimension);

// #region handler
/** Answers `?q=text` with the texts seen before that are most similar to it. */
export async function handler(request: Request): Promise<Response> {
  const question = new URL(request.url).searchParams.get("q");
  if (question === null || question === "") return new Response("?q= is missing", { status: 400 });
  const cache = EmbedCache.forServerless("examples", { dimension, model: hashingModel });
  const known = cache.has(question);
  const vector = await cache.getOrComputeMany([question], embed);
  const similar = cache
    .search(vector[0] ?? [], { k: 4 })
    .filter(({ key }) => key !== question)
    .map(({ key, score }) => ({ text: key, score: Math.round(score * 1000) / 1000 }));
  // The platform may freeze the process once the response is out, so nothing is left for later.
  cache.flush();
  return Response.json({ cached: known, similar });
}
// #endregion

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  for (const question of ["a small cat", "a small cat", "two small cats"]) {
    const started = performance.now();
    const url = `http://localhost/?q=${encodeURIComponent(question)}`;
    const answer = await (await handler(new Request(url))).text();
    process.stdout.write(`${(performance.now() - started).toFixed(2)} ms  ${answer}\n`);
  }
}
