/**
 * The vectors of the benches: deterministic, and shaped like embeddings.
 *
 * Uniform random vectors are a poor stand-in: in 1536 dimensions they are all equally far from each
 * other. These lie in clusters, as texts about the same thing do, and have length 1. The seed is
 * fixed, so every machine has the same bits; a set is written once and read afterwards.
 */

import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const seed = 20_260_101;
const clusterCount = 100;
/** Of the noise beside a centre of length 1; neighbours of one cluster then score about 0.6. */
const noiseLength = 0.8;

/** On Node a bench runs as a bundle in results/. */
export const benchFolder: string = fileURLToPath(import.meta.url).replace(
  /(results[/\\])?[^/\\]*$/,
  "",
);
export const dataFolder: string = `${benchFolder}data/`;

export interface VectorSet {
  count: number;
  dimension: number;
  /** Row after row. */
  values: Float32Array;
  /** `document/<number>#<part>`, as an application would name its texts. */
  keys: string[];
}

/** sfc32: small, fast, and the same on every machine. In [0, 1). */
export function randomSource(state: number): () => number {
  let [a, b, c, d] = [state | 0, 0x9e3779b9 | 0, 0x243f6a88 | 0, 1];
  const next = (): number => {
    const sum = (a + b + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    return (sum >>> 0) / 4_294_967_296;
  };
  for (let round = 0; round < 12; round++) next();
  return next;
}

/** The numbers below `count` in a random order that is the same every time. */
export function shuffled(count: number, state: number): Uint32Array {
  const random = randomSource(state);
  const order = Uint32Array.from({ length: count }, (_, index) => index);
  for (let last = count - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    const moved = order[last] ?? 0;
    order[last] = order[other] ?? 0;
    order[other] = moved;
  }
  return order;
}

export function keyOf(row: number): string {
  return `document/${Math.floor(row / 8)}#${row % 8}`;
}

/** Fills `out` with a random direction of the given length. */
function fillDirection(out: Float32Array, length: number, random: () => number): void {
  let squares = 0;
  for (let at = 0; at < out.length; at++) {
    // The sum of four uniform numbers is near enough to a normal one, and cheaper.
    const value = random() + random() + random() + random() - 2;
    out[at] = value;
    squares += value * value;
  }
  const scale = length / Math.sqrt(squares);
  for (let at = 0; at < out.length; at++) out[at] = (out[at] ?? 0) * scale;
}

function generate(count: number, dimension: number): Float32Array {
  const random = randomSource(seed);
  const centres = new Float32Array(clusterCount * dimension);
  for (let cluster = 0; cluster < clusterCount; cluster++) {
    fillDirection(centres.subarray(cluster * dimension, (cluster + 1) * dimension), 1, random);
  }
  const values = new Float32Array(count * dimension);
  for (let row = 0; row < count; row++) {
    const vector = values.subarray(row * dimension, (row + 1) * dimension);
    fillDirection(vector, noiseLength, random);
    const centre = Math.floor(random() * clusterCount) * dimension;
    let squares = 0;
    for (let at = 0; at < dimension; at++) {
      const value = (vector[at] ?? 0) + (centres[centre + at] ?? 0);
      vector[at] = value;
      squares += value * value;
    }
    const scale = 1 / Math.sqrt(squares);
    for (let at = 0; at < dimension; at++) vector[at] = (vector[at] ?? 0) * scale;
  }
  return values;
}

/** A set of vectors, from `bench/data/` where it was written before. */
export function vectorSet(count: number, dimension: number): VectorSet {
  const path = `${dataFolder}vectors-${count}x${dimension}.f32`;
  if (!existsSync(path)) {
    mkdirSync(dataFolder, { recursive: true });
    writeFileSync(`${path}.part`, new Uint8Array(generate(count, dimension).buffer));
    renameSync(`${path}.part`, path);
  }
  const bytes = readFileSync(path);
  const values = new Float32Array(count * dimension);
  new Uint8Array(values.buffer).set(bytes);
  return { count, dimension, values, keys: Array.from({ length: count }, (_, row) => keyOf(row)) };
}

/** Queries near the rows of a set, but none of them. */
export function querySet(set: VectorSet, count: number): Float32Array[] {
  const random = randomSource(seed + 1);
  return Array.from({ length: count }, () => {
    const row = Math.floor(random() * set.count) * set.dimension;
    const query = new Float32Array(set.dimension);
    fillDirection(query, 0.5, random);
    for (let at = 0; at < set.dimension; at++)
      query[at] = (query[at] ?? 0) + (set.values[row + at] ?? 0);
    return query;
  });
}
