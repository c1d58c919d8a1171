/**
 * A worker thread that asks a cache for texts and tells what it got, and what it computed.
 *
 * What it computes of a text is its length and, where there is room, `workerData.id`; it tells
 * "computing" when it is asked to, and waits until it is told to go on: with a vector, or with a
 * failure.
 */
import { parentPort, workerData } from "node:worker_threads";
import { EmbedCache } from "../../dist/index.js";

const { path, id, texts, options = {} } = workerData;
const cache = new EmbedCache({ path, ...options });
const computed = [];

const compute = async (missing) => {
  computed.push(...missing);
  parentPort.postMessage({ computing: missing });
  const { fails } = await new Promise((resolve) => parentPort.once("message", resolve));
  if (fails) throw new Error("rate limit");
  return missing.map((text) => [text.length, id].slice(0, options.dimension));
};
let vectors;
let error;
try {
  vectors = (await cache.getOrComputeMany(texts, compute)).map((vector) => [...vector]);
} catch (failure) {
  error = failure.message;
}
const { joins, hits, misses, size } = { ...cache.stats(), size: cache.size };
cache.close();
parentPort.postMessage({ done: { vectors, error, computed, joins, hits, misses, size } });
