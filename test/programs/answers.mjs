/**
 * Takes answers of megabytes, keeps some of them and forgets others, in several threads at once and
 * with a collector that never rests; one thread is ended in the middle. Prints as JSON how many were
 * looked at and how many were wrong. On Node it needs --expose-gc.
 *
 *     answers.mjs <file>
 */
import {
  MessageChannel,
  Worker,
  parentPort,
  receiveMessageOnPort,
  workerData,
} from "node:worker_threads";
import { EmbedCache } from "../../dist/index.js";

const dimension = 512;
const count = 1500;
const rounds = 60;
const { path, seed } = workerData ?? { path: process.argv[2], seed: 1 };
const collect = () => (globalThis.Bun === undefined ? globalThis.gc() : Bun.gc(true));

let state = seed;
function below(bound) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return (state >>> 8) % bound;
}

/** Key n has n + 1 everywhere; every seventh is missing, and zeros. */
const expected = (n) => (n % 7 === 0 ? 0 : n + 1);

function ask(cache) {
  const numbers = Array.from({ length: 300 + below(count - 300) }, () => below(count));
  const { vectors } = cache.getMany(numbers.map((n) => `key ${n}`));
  return { numbers, vectors };
}

function isRight({ numbers, vectors }) {
  return numbers.every((n, row) => {
    const vector = vectors.subarray(row * dimension, (row + 1) * dimension);
    return vector.length === dimension && vector.every((number) => number === expected(n));
  });
}

/** Through a channel that moves the memory instead of copying it. */
function moved({ numbers, vectors }) {
  const { port1, port2 } = new MessageChannel();
  port1.postMessage(vectors, [vectors.buffer]);
  const { message } = receiveMessageOnPort(port2);
  port1.close();
  return { numbers, vectors: message };
}

function look() {
  const cache = new EmbedCache({ path, dimension });
  const kept = [];
  let looked = 0;
  let wrong = 0;
  for (let round = 0; round < rounds; round++) {
    const answer = ask(cache);
    if (below(3) > 0) kept[below(8)] = below(4) === 0 ? moved(answer) : answer;
    if (below(2) === 0) collect();
    for (const each of [answer, ...kept]) {
      if (each === undefined || each.vectors.length === 0) continue;
      looked++;
      if (!isRight(each)) wrong++;
    }
  }
  cache.close();
  return { looked, wrong };
}

if (parentPort !== null) {
  parentPort.postMessage(look());
} else {
  const cache = new EmbedCache({ path, dimension });
  const numbers = Array.from({ length: count }, (_, n) => n).filter((n) => expected(n) > 0);
  cache.setMany(
    numbers.map((n) => `key ${n}`),
    numbers.map((n) => new Float32Array(dimension).fill(expected(n))),
  );
  cache.close();
  const start = (own) => new Worker(new URL(import.meta.url), { workerData: { path, seed: own } });
  const workers = [2, 3].map(start);
  const ended = start(4);
  setTimeout(() => ended.terminate(), 200);
  const found = workers.map((worker) => new Promise((done) => worker.once("message", done)));
  const all = [look(), ...(await Promise.all(found))];
  const sum = (name) => all.reduce((total, each) => total + each[name], 0);
  process.stdout.write(JSON.stringify({ looked: sum("looked"), wrong: sum("wrong") }));
}
