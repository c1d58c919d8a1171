/**
 * Metadata for the rows of resampled.ts, and filters of known selectivity over it.
 *
 * Five fields, from a fixed seed. `lang`, `year`, `price` and `tags` have nothing to do with the
 * vector; `category` follows it: near real vectors have the same, as texts of one subject do.
 */

import { randomSource } from "./data.ts";
import { mix } from "./harness.ts";
import type { Resampled } from "./resampled.ts";

const seed = 20_261_127;
const langCount = 20;
const categoryCount = 200;
const tagCount = 500;
const tagsMax = 5;
const [firstYear, lastYear] = [1990, 2026];
/** Rows that are so many years older are e times rarer. */
const yearScale = 8;

/** What a row carries; a type, since an interface is no `Metadata`. */
export type Doc = {
  /** Zipf over 20. */
  lang: string;
  /** Zipf over 200, the same for near vectors. */
  category: string;
  /** 1990 to 2026, the recent ones more frequent. */
  year: number;
  /** Log-normal, in cents: a median of 20, and a hundredth above 200. */
  price: number;
  /** None to five of 500, which are Zipf. */
  tags: string[];
};

/** The part of `Filter` that all libraries have words for; all of its conditions hold. */
export interface Conditions {
  lang?: string;
  category?: string | { $in: string[] };
  year?: { $gte: number };
  price?: { $gte: number } | { $lt: number };
  tags?: { $contains: string };
}

/** A filter, and where the queries lie that it is asked with. */
export interface Case {
  /** Its group, and which of it. */
  name: string;
  filter: Conditions;
  queries: Float32Array[];
}

/** Rows with their documents. */
export interface Documents {
  set: Resampled;
  values: Float32Array;
  docs: Doc[];
  /** The same for the same documents. */
  fingerprint: string;
  /** Of each centre of the set. */
  categories: string[];
}

export function documentsOf(set: Resampled): Documents {
  const categories = categoriesOf(set);
  const random = randomSource(seed);
  const zipf = { langs: zipfTable(langCount), tags: zipfTable(tagCount) };
  const values = new Float32Array(set.count * set.dimension);
  const docs: Doc[] = [];
  for (const batch of set.batches(10_000)) {
    values.set(batch.values, batch.first * set.dimension);
    for (const centre of batch.centres) {
      docs.push({
        lang: langOf(pick(zipf.langs, random)),
        category: categories[centre] ?? "",
        year: yearFrom(random),
        price: priceFrom(random),
        tags: tagsFrom(zipf.tags, random),
      });
    }
  }
  return { set, values, docs, fingerprint: fingerprintOf(docs), categories };
}

function fingerprintOf(docs: readonly Doc[]): string {
  const text = JSON.stringify(docs.slice(-1000));
  let hash = 0;
  for (let at = 0; at < text.length; at++) hash = mix(hash, text.charCodeAt(at));
  return hash.toString(16).padStart(8, "0");
}

/** The sums of 1, 1/2, 1/3 and so on, up to `count` of them. */
function zipfTable(count: number): Float64Array {
  let sum = 0;
  return Float64Array.from({ length: count }, (_, rank) => {
    sum += 1 / (rank + 1);
    return sum;
  });
}

function pick(sums: Float64Array, random: () => number): number {
  const point = random() * (sums.at(-1) ?? 0);
  return sums.findIndex((sum) => point < sum);
}

function langOf(rank: number): string {
  const known = ["en", "zh", "es", "de", "fr", "ja", "pt", "ru", "it", "ko"];
  return known[rank] ?? `l${rank}`;
}

function yearFrom(random: () => number): number {
  const age = -yearScale * Math.log(1 - random());
  return Math.max(firstYear, lastYear - Math.floor(age));
}

function priceFrom(random: () => number): number {
  // Twelve uniform numbers have a variance of one.
  let normal = -6;
  for (let summand = 0; summand < 12; summand++) normal += random();
  return Math.round(2000 * Math.exp(normal)) / 100;
}

function tagsFrom(sums: Float64Array, random: () => number): string[] {
  const count = Math.floor(random() * (tagsMax + 1));
  const tags = new Set<string>();
  while (tags.size < count) tags.add(`tag${pick(sums, random)}`);
  return [...tags];
}

/**
 * A category for each centre. The largest takes a centre and those nearest to it, the next one of
 * what is left, and so on: each is one region, and their sizes are Zipf.
 */
function categoriesOf(set: Resampled): string[] {
  const { count, dimension, values } = set.centres();
  const sums = zipfTable(categoryCount);
  const order = Array.from({ length: count }, (_, centre) => centre);
  const categories = new Array<string>(count).fill("");
  const random = randomSource(seed + 1);
  let left = order;
  for (let rank = 0; rank < categoryCount && left.length > 0; rank++) {
    const share = 1 / (rank + 1) / (sums.at(-1) ?? 1);
    const size = Math.max(1, Math.round(share * count));
    const from = (left[Math.floor(random() * left.length)] ?? 0) * dimension;
    const scores = new Map(left.map((centre) => [centre, dot(values, from, centre * dimension)]));
    const byScore = left.sort((a, b) => (scores.get(b) ?? 0) - (scores.get(a) ?? 0));
    const last = rank === categoryCount - 1;
    for (const centre of last ? byScore : byScore.slice(0, size)) categories[centre] = `c${rank}`;
    left = byScore.slice(size);
  }
  return categories;

  function dot(packed: Float32Array, a: number, b: number): number {
    let sum = 0;
    for (let at = 0; at < dimension; at++) sum += (packed[a + at] ?? 0) * (packed[b + at] ?? 0);
    return sum;
  }
}

/** The selectivities that are asked for. */
const shares = [1, 0.5, 0.1, 0.01, 0.001];

/**
 * Filters by `price`, which matches anywhere; by `category`, asked from inside of it and from
 * elsewhere; and two that look like those of applications.
 */
export function casesOf(documents: Documents, queryCount: number): Case[] {
  const { set, docs, categories } = documents;
  const queries = set.queries(queryCount);
  const prices = Float64Array.from(docs, ({ price }) => price).sort();
  const cases: Case[] = shares.map((share) => ({
    name: `random ${percent(share)}`,
    filter: {
      price: share === 1 ? { $gte: 0 } : { $lt: prices[Math.round(share * docs.length)] ?? 0 },
    },
    queries,
  }));
  for (const isNear of [true, false]) {
    for (const share of shares.slice(1)) {
      const wanted = categoriesFor(docs, share);
      const [only] = wanted;
      const willDo = (centre: number): boolean =>
        wanted.includes(categories[centre] ?? "") === isNear;
      cases.push({
        name: `${isNear ? "near" : "far"} ${percent(share)}`,
        filter: { category: wanted.length === 1 && only ? only : { $in: wanted } },
        queries: set.queriesAround(queryCount, willDo),
      });
    }
  }
  cases.push({ name: "fields lang, year", filter: { lang: "en", year: { $gte: 2020 } }, queries });
  cases.push({ name: "fields tags", filter: { tags: { $contains: "tag25" } }, queries });
  return cases;
}

/** The largest categories that together have the share, or nearly. */
function categoriesFor(docs: readonly Doc[], share: number): string[] {
  const sizes = new Map<string, number>();
  for (const { category } of docs) sizes.set(category, (sizes.get(category) ?? 0) + 1);
  const wanted: string[] = [];
  let left = share * docs.length * 1.05;
  for (const [category, size] of [...sizes].sort(([, a], [, b]) => b - a)) {
    if (size > left) continue;
    wanted.push(category);
    left -= size;
    if (left < share * docs.length * 0.1) break;
  }
  return wanted;
}

export function percent(share: number): string {
  return `${Number((share * 100).toPrecision(2))} %`;
}
