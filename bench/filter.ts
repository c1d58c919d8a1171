/**
 * What does a filter cost, and what do the filters of others?
 *
 * 100,000 x 768 with five fields of metadata, k = 10, one query after another, one thread. Filters
 * of 100, 50, 10, 1 and 0.1 %: `random` ones have nothing to do with the vectors, `near` ones are
 * asked from the region that they match, `far` ones from elsewhere; two more combine fields. Ours
 * are compared with our own search without a filter, peers with ours. What is found is measured
 * against a plain loop in double precision over the rows that match; graphs take part with the
 * first setting that finds 0.99, or the last. A hit that does not match ends the run. Writes
 * results/filter.json. `bun bench/run.ts filter`
 */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Collection, Database } from "../src/index.ts";
import { benchFolder } from "./data.ts";
import { type Case, casesOf, type Doc, type Documents, documentsOf } from "./documents.ts";
import * as engines from "./engines.ts";
import { type MemoryTask, measureMemory, searchHere } from "./filter-memory.ts";
import { measureWrites } from "./filter-writes.ts";
import { type Contestant, type Outcome, settle, time } from "./filter-turns.ts";
import { type Asked, ask, type Filtered, type Search } from "./filtered.ts";
import { buildPeers } from "./filtered-peers.ts";
import * as harness from "./harness.ts";
import { resampled } from "./resampled.ts";
import { maskedTruth } from "./truth.ts";

const { k } = engines;
const dimension = 768;
const queryCount = 100;

/** Our own, with what only we can tell. */
interface Row {
  name: string;
  filter: object;
  matches: number;
  unfiltered: Outcome;
  filtered: Outcome;
  exact: Outcome;
  plan: string;
  documentsRead: number;
  countMicros: number;
  peers: Outcome[];
}

/** What all cases share. */
interface Bench {
  documents: Documents;
  docs: Collection<Doc>;
  peers: readonly Filtered[];
}

function fill(collection: Collection<Doc>, { set, docs }: Documents): void {
  for (const { first, keys, values } of set.batches(10_000)) {
    collection.upsertMany(keys, values, docs.slice(first, first + keys.length));
  }
}

function own(docs: Collection<Doc>): Filtered[] {
  const options = { k, threads: 1, include: [] } as const;
  const rows = (hits: { key: string }[]): number[] => hits.map(({ key }) => engines.rowOf(key));
  const searches: Record<string, (asked: Asked) => Search> = {
    unfiltered: () => (query) => rows(docs.search(query, options)),
    filtered: (asked) => (query) => rows(docs.search(query, { ...options, filter: asked.filter })),
    exact: (asked) => (query) =>
      rows(docs.search(query, { ...options, filter: asked.filter, exact: true })),
  };
  return Object.entries(searches).map(([name, prepare]) => ({
    name,
    knob: "",
    settings: [0],
    buildSeconds: 0,
    prepare,
    close: () => undefined,
  }));
}

function countMicros(docs: Collection<Doc>, { name, filter, matches }: Asked): number {
  const times: number[] = [];
  for (let round = 0; round < 101; round++) {
    const started = performance.now();
    const counted = docs.count(filter);
    times.push((performance.now() - started) * 1000);
    if (counted !== matches) throw new Error(`${name}: counted ${counted}, not ${matches}`);
  }
  return harness.median(times);
}

async function measureCase({ documents, docs, peers }: Bench, asked: Asked): Promise<Row> {
  const { name, filter, matches, queries, mask } = asked;
  process.stderr.write(`${name}: ${JSON.stringify(filter)} matches ${matches}\n`);
  const truth = maskedTruth(documents, queries, mask);
  const contestants: Contestant[] = [];
  for (const engine of [...own(docs), ...peers]) {
    const settled = await settle(engine, asked, truth);
    if (settled) contestants.push(settled);
  }
  const outcomes = await time(contestants, queries);
  const [unfiltered, filtered, exact, ...others] = outcomes;
  const [query] = queries;
  if (!unfiltered || !filtered || !exact || !query) throw new Error("nothing was measured");
  const explained = docs.explain(query, { k, filter, threads: 1 });
  const { plan } = explained;
  const documentsRead = explained.filter?.documentsRead ?? Number.NaN;
  const counted = countMicros(docs, asked);
  const ours = { unfiltered, filtered, exact, plan, documentsRead, countMicros: counted };
  return { name, filter, matches, ...ours, peers: others };
}

/** How many times as long as the other. */
function times(a: Outcome, b: Outcome): string {
  return `${(a.median / b.median).toFixed(2)}x`;
}

function printOwn(rows: readonly Row[], set: string): void {
  const head = ["", "matches", "unfiltered", "filtered", "of unfiltered", "found", "exact"];
  const more = ["plan", "documents read", "count"];
  const cells = rows.map((row) => [
    row.name,
    row.matches.toLocaleString("en"),
    harness.duration(row.unfiltered.median),
    harness.duration(row.filtered.median),
    times(row.filtered, row.unfiltered),
    row.filtered.found.toFixed(4),
    harness.duration(row.exact.median),
    row.plan,
    row.documentsRead.toLocaleString("en"),
    harness.duration(row.countMicros),
  ]);
  const title = `filter: the ${k} nearest of ${set} that match, VectorLite`;
  harness.printRows(title, [[...head, ...more], ...cells]);
}

/** How many times as long each peer takes as we do, and what it finds. */
function printPeers(rows: readonly Row[], peers: readonly Filtered[]): void {
  const groups = new Map<string, Row[]>();
  for (const row of rows) {
    const [group = ""] = row.name.split(" ");
    groups.set(group, [...(groups.get(group) ?? []), row]);
  }
  for (const [group, members] of groups) {
    const cells = peers.map((peer) => [
      peer.name,
      ...members.map((row) => {
        const outcome = row.peers.find(({ name }) => name === peer.name);
        if (outcome === undefined) return "-";
        return `${times(outcome, row.filtered)} ${outcome.found.toFixed(3)}`;
      }),
    ]);
    const head = members.map(({ name }) => name.slice(group.length + 1));
    const title = `filter: times VectorLite's, and what is found, ${group}`;
    harness.printRows(title, [["", ...head], ...cells]);
  }
}

function write(rows: readonly Row[], peers: readonly Filtered[], others: object): void {
  const engine = peers.map(({ name, knob, buildSeconds }) => ({ name, knob, buildSeconds }));
  const date = new Date().toISOString().slice(0, 10);
  const report = { machine: harness.machine(), date, ...others, engine, rows };
  mkdirSync(`${benchFolder}results`, { recursive: true });
  writeFileSync(`${benchFolder}results/filter.json`, `${JSON.stringify(report, null, 2)}\n`);
}

async function measureSearches(
  documents: Documents,
  cases: readonly Case[],
  path: string,
): Promise<void> {
  using database = new Database(path, {
    durability: "none",
    memoryBudget: engines.memoryBudget,
  });
  const docs = database.collection<Doc>("docs", { dimension, metric: "cosine" });
  fill(docs, documents);
  const { built: peers, absences } = await buildPeers(documents);
  const rows: Row[] = [];
  for (const one of cases) {
    rows.push(await measureCase({ documents, docs, peers }, ask(documents, one)));
  }
  for (const peer of peers) await peer.close();
  const { name: set } = documents.set;
  printOwn(rows, set);
  printPeers(rows, peers);
  for (const { name, reason } of absences) harness.print(`left out: ${name}: ${reason}`);
  write(rows, peers, { set, absences });
}

async function main(count: number): Promise<void> {
  const documents = documentsOf(resampled(count, dimension));
  const cases = casesOf(documents, queryCount);
  const path = join(harness.scratchFolder(), "filter.vl");
  await measureSearches(documents, cases, path);
  const filters = cases.map(({ filter }) => filter);
  measureMemory(path, filters);
  await measureWrites(documents);
}

const [argument = "100000"] = process.argv.slice(2);
const task: MemoryTask | undefined = argument.startsWith("{") ? JSON.parse(argument) : undefined;
if (task) searchHere(task);
else await main(Number(argument));
