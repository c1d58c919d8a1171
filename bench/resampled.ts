/**
 * Sets of any size with the shape of a real one: OpenAI's ada-002 vectors of documentation.
 *
 * A row is a convex mix of one real vector and of up to three of its near neighbours, with noise
 * beside it, of length 1. So the neighbourhoods and the spectrum are those of the real set, which
 * uniform random vectors have not. Queries are made the same way and are no rows. The first n rows
 * do not depend on how many follow, and making a row takes less than reading it from a disk: sets
 * are made again instead of written, from a fixed seed.
 *
 * The real set lies in `../shared/data`, beside the repository, or where VECTORLITE_DATA says.
 * Without it the rows are mixed from the synthetic clusters of data.ts, and every table says so.
 */

import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Database } from "../src/index.ts";
import { benchFolder, dataFolder, keyOf, randomSource, vectorSet } from "./data.ts";
import { mix, mixFloat } from "./harness.ts";

const realName = "openai-ada002-docshub";
const seed = 20_261_126;
const neighbourCount = 8;
/** Rows that score this are one. */
const duplicateScore = 0.9999;
/** The noise beside a row, as a part of the distance between the vectors that it is mixed of. */
const noisePart = 0.25;
const noiseCount = 1 << 20;

interface Base {
  name: string;
  real: boolean;
  count: number;
  dimension: number;
  values: Float32Array;
  /** Of each row, the nearest other rows, the nearest first. */
  neighbours: Int32Array;
}

export interface Resampled {
  /** What a table's title calls the set. */
  name: string;
  count: number;
  dimension: number;
  /** The same for the same rows, and for no others: names what is kept on the disk. */
  fingerprint: string;
  /** Batches of rows, one after the other; an array is used again for the next batch. */
  batches(size: number): Generator<Batch, void, undefined>;
  /** All rows at once. */
  values(): Float32Array;
  /** `count` queries, each a vector of its own; the same ones every time. */
  queries(count: number): Float32Array[];
  /** The first `count` of other queries whose centre will do. */
  queriesAround(count: number, willDo: (centre: number) => boolean): Float32Array[];
  /** Queries that are so far from every row as `noise` (a length) says. */
  strangers(count: number, noise: number): Float32Array[];
  /** The real vectors that rows are mixed around, packed. */
  centres(): { count: number; dimension: number; values: Float32Array };
}

export interface Batch {
  first: number;
  keys: string[];
  values: Float32Array;
  /** Of each row, the real vector that it is mixed around. */
  centres: Int32Array;
}

/** The real vectors, or the synthetic ones. */
function loadVectors(): Omit<Base, "neighbours"> {
  const beside = join(benchFolder, "..", "..", "shared", "data");
  const path = join(process.env["VECTORLITE_DATA"] ?? beside, realName, "base.fvecs");
  if (!existsSync(path)) {
    const { count, dimension, values } = vectorSet(3338, 1536);
    return { name: "synthetic clusters", real: false, count, dimension, values };
  }
  const bytes = readFileSync(path);
  const dimension = bytes.readInt32LE(0);
  const stride = 4 + dimension * 4;
  const count = bytes.length / stride;
  const values = new Float32Array(count * dimension);
  for (let row = 0; row < count; row++) {
    const at = row * stride + 4;
    new Uint8Array(values.buffer, row * dimension * 4, dimension * 4).set(
      bytes.subarray(at, at + dimension * 4),
    );
  }
  return { name: "ada-002 resampled", real: true, count, dimension, values };
}

/**
 * Drops duplicates, of which mixes would be duplicates again, and finds each row's neighbours:
 * exactly, once, and kept, so that they stay the same whatever the engine becomes.
 */
function prepare(vectors: Omit<Base, "neighbours">): Base {
  const { count, dimension, values, real } = vectors;
  const path = `${dataFolder}neighbours-${real ? realName : "synthetic"}.json`;
  const lists = existsSync(path)
    ? (JSON.parse(readFileSync(path, "utf8")) as Record<string, number[]>)
    : findNeighbours(vectors);
  if (!existsSync(path)) {
    mkdirSync(dataFolder, { recursive: true });
    writeFileSync(`${path}.part`, JSON.stringify(lists));
    renameSync(`${path}.part`, path);
  }
  const kept = Object.keys(lists).map(Number);
  if (kept.some((row) => row >= count)) throw new Error(`${path} is of another set: remove it`);
  const numbers = new Map(kept.map((row, at) => [row, at]));
  const packed = new Float32Array(kept.length * dimension);
  const neighbours = new Int32Array(kept.length * neighbourCount);
  kept.forEach((row, at) => {
    packed.set(values.subarray(row * dimension, (row + 1) * dimension), at * dimension);
    const list = lists[row] ?? [];
    for (let rank = 0; rank < neighbourCount; rank++) {
      neighbours[at * neighbourCount + rank] = numbers.get(list[rank] ?? row) ?? at;
    }
  });
  return { ...vectors, count: kept.length, values: packed, neighbours };
}

/** Of every row that is no duplicate of one before it. */
function findNeighbours({
  count,
  dimension,
  values,
}: Omit<Base, "neighbours">): Record<string, number[]> {
  using database = new Database(":memory:");
  const rows = database.collection("rows", { dimension, metric: "cosine" });
  rows.upsertMany(
    Array.from({ length: count }, (_, row) => `${row}`),
    values,
  );
  const found = rows.searchMany(values, { k: Math.min(count, 200), exact: true });
  const kept = new Set<number>();
  found.forEach((hits, row) => {
    const twins = hits.filter(({ score }) => score >= duplicateScore).map(({ key }) => Number(key));
    if (!twins.some((twin) => twin < row && kept.has(twin))) kept.add(row);
  });
  const listOf = (row: number): number[] => {
    const others = found[row]?.map(({ key }) => Number(key)) ?? [];
    return others.filter((other) => other !== row && kept.has(other)).slice(0, neighbourCount);
  };
  return Object.fromEntries([...kept].map((row) => [row, listOf(row)]));
}

let loaded: Base | undefined;
function base(): Base {
  if (loaded !== undefined) return loaded;
  loaded = prepare(loadVectors());
  return loaded;
}

/** Numbers that are near enough to normal ones; noise is a stretch of them, from anywhere. */
let noise: Float32Array | undefined;
function noiseTable(): Float32Array {
  if (noise !== undefined) return noise;
  const random = randomSource(seed);
  // Of variance 1: four uniform numbers have a third of it.
  const next = (): number => (random() + random() + random() + random() - 2) * Math.sqrt(3);
  noise = Float32Array.from({ length: noiseCount }, next);
  return noise;
}

function distance(values: Float32Array, a: number, b: number, dimension: number): number {
  let squares = 0;
  for (let at = 0; at < dimension; at++) {
    const difference = (values[a + at] ?? 0) - (values[b + at] ?? 0);
    squares += difference * difference;
  }
  return Math.sqrt(squares);
}

/**
 * Fills `out` with a mix; a prefix of the real vectors where `out` is shorter than they are.
 * Returns the row of the real vector that it lies around.
 */
function mixInto(out: Float32Array, random: () => number, fixedNoise?: number): number {
  const { count, dimension: stride, values, neighbours } = base();
  const table = noiseTable();
  const dimension = out.length;
  const centre = Math.floor(random() * count);
  const pick = (): number =>
    (neighbours[centre * neighbourCount + Math.floor(random() * neighbourCount)] ?? 0) * stride;
  const [a, b, c, d] = [centre * stride, pick(), pick(), pick()];
  const weights = [random(), random(), random(), random()];
  const sum = weights.reduce((total, weight) => total + weight, 0);
  const [wa = 0, wb = 0, wc = 0, wd = 0] = weights.map((weight) => weight / sum);
  const length = fixedNoise ?? noisePart * distance(values, a, b, dimension);
  const spread = ((random() < 0.5 ? -1 : 1) * length) / Math.sqrt(dimension);
  const from = Math.floor(random() * (noiseCount - dimension));
  let squares = 0;
  for (let at = 0; at < dimension; at++) {
    const mixed =
      wa * (values[a + at] ?? 0) +
      wb * (values[b + at] ?? 0) +
      wc * (values[c + at] ?? 0) +
      wd * (values[d + at] ?? 0) +
      spread * (table[from + at] ?? 0);
    out[at] = mixed;
    squares += mixed * mixed;
  }
  const scale = 1 / Math.sqrt(squares);
  for (let at = 0; at < dimension; at++) out[at] = (out[at] ?? 0) * scale;
  return centre;
}

function* batchesOf(count: number, dimension: number, size: number): Generator<Batch> {
  const random = randomSource(seed + 1);
  const values = new Float32Array(Math.min(size, count) * dimension);
  for (let first = 0; first < count; first += size) {
    const rows = Math.min(size, count - first);
    const centres = Int32Array.from({ length: rows }, (_, row) =>
      mixInto(values.subarray(row * dimension, (row + 1) * dimension), random),
    );
    const keys = Array.from({ length: rows }, (_, row) => keyOf(first + row));
    yield { first, keys, values: values.subarray(0, rows * dimension), centres };
  }
}

function manyMixes(count: number, dimension: number, seed: number, noise?: number): Float32Array[] {
  const random = randomSource(seed);
  return Array.from({ length: count }, () => {
    const vector = new Float32Array(dimension);
    mixInto(vector, random, noise);
    return vector;
  });
}

function mixesAround(
  count: number,
  dimension: number,
  willDo: (centre: number) => boolean,
): Float32Array[] {
  const random = randomSource(seed + 4);
  const kept: Float32Array[] = [];
  let vector = new Float32Array(dimension);
  while (kept.length < count) {
    if (!willDo(mixInto(vector, random))) continue;
    kept.push(vector);
    vector = new Float32Array(dimension);
  }
  return kept;
}

/** Of the first rows, which are the same however many there are; and of how many there are. */
function fingerprintOf(count: number, dimension: number): string {
  let hash = mix(mix(0, count), dimension);
  for (const vector of manyMixes(16, dimension, seed + 1)) {
    for (const value of vector) hash = mixFloat(hash, value);
  }
  return hash.toString(16).padStart(8, "0");
}

/** `dimension` below that of the real set takes the first numbers of its vectors. */
export function resampled(count: number, dimension: number): Resampled {
  const { name, dimension: full } = base();
  const rows = count.toLocaleString("en");
  const cut = dimension < full ? `, the first ${dimension} of ${full} dimensions` : "";
  return {
    name: `${rows} x ${dimension} (${name}${cut})`,
    count,
    dimension,
    fingerprint: fingerprintOf(count, dimension),
    batches: (size) => batchesOf(count, dimension, size),
    values: () => {
      const values = new Float32Array(count * dimension);
      for (const batch of batchesOf(count, dimension, 10_000)) {
        values.set(batch.values, batch.first * dimension);
      }
      return values;
    },
    queries: (wanted) => manyMixes(wanted, dimension, seed + 2),
    queriesAround: (wanted, willDo) => mixesAround(wanted, dimension, willDo),
    strangers: (wanted, noise) => manyMixes(wanted, dimension, seed + 3, noise),
    centres: base,
  };
}
