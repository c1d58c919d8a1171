/**
 * How many queries a second, and how much is found? Every library at 50,000 x 1536.
 *
 * Each takes part with every setting of what it offers for trading one against the other. Truth is
 * a plain loop in double precision. What building took is told apart; graphs are built once and
 * kept (bench/data/). Writes results/recall.json and draws recall.svg from it.
 * `bun bench/run.ts recall`, and `bun bench/recall.ts draw` for the picture alone.
 */

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Database } from "../src/index.ts";
import { draw, type Series } from "./chart.ts";
import { benchFolder } from "./data.ts";
import * as engines from "./engines.ts";
import * as harness from "./harness.ts";
import { resampled } from "./resampled.ts";
import { hashRows, plainTruth, recallOf, type Truth } from "./truth.ts";

const { k } = engines;
const recallWanted = 0.99;
const reportPath = `${benchFolder}results/recall.json`;

interface Point {
  setting: number;
  recall: number;
  /** Of one query, in microseconds. */
  median: number;
  fastest: number;
  slowest: number;
}

interface Entry {
  name: string;
  knob: string;
  approximate: boolean;
  buildSeconds: number;
  buildProcessors: number;
  /** Time of processors over time of the clock while it searched. */
  processors: number;
  points: Point[];
}

interface Report {
  machine: string;
  date: string;
  set: string;
  entries: Entry[];
  absences: harness.Absence[];
}

const builds: readonly engines.Build[] = [
  engines.sqliteVec,
  engines.sqliteVecBits,
  engines.zvecFlat,
  engines.zvecHnsw,
  engines.zvecRabitq,
  engines.usearchExact,
  engines.usearchHnsw,
  engines.hnswlib,
  engines.lanceFlat,
  engines.lanceHnsw,
];

/** What each setting finds, and how many processors it keeps busy. Exact ones get fewer queries. */
async function look(
  engine: engines.Engine,
  queries: readonly Float32Array[],
  truth: Truth,
): Promise<Entry> {
  const asked = engine.approximate ? queries : queries.slice(0, Math.ceil(queries.length / 10));
  const { name, knob, approximate, buildSeconds, buildProcessors = 1 } = engine;
  const points: Point[] = [];
  let [busy, passed] = [0, 0];
  for (const setting of engine.settings) {
    const found: number[][] = [];
    const [before, started] = [process.cpuUsage(), performance.now()];
    for (const query of asked) found.push(await engine.search(query, setting));
    const { user, system } = process.cpuUsage(before);
    busy += (user + system) / 1000;
    passed += performance.now() - started;
    points.push({ setting, recall: recallOf(found, truth), median: 0, fastest: 0, slowest: 0 });
  }
  const processors = busy / passed;
  return { name, knob, approximate, buildSeconds, buildProcessors, processors, points };
}

function titleOf({ name, knob }: Entry | engines.Engine, setting: number): string {
  return knob === "" ? name : `${name}, ${knob} ${setting}`;
}

/** Those that compare every row get fewer queries, for each of theirs takes as long. */
function time(
  timed: readonly engines.Engine[],
  queries: readonly Float32Array[],
): Promise<harness.Result[]> {
  const contestants = timed.flatMap((engine) =>
    engine.settings.map((setting) => ({
      name: titleOf(engine, setting),
      run: async () => {
        let hash = 0;
        for (const query of queries) hash = hashRows(hash, await engine.search(query, setting));
        return hash;
      },
    })),
  );
  return harness.measure(contestants, { rounds: 5, operations: queries.length, rehearse: true });
}

async function measureAll(count: number): Promise<Report> {
  const set = resampled(count, 1536);
  const loaded: engines.Loaded = { set, values: set.values() };
  const queries = set.queries(200);
  const truth = plainTruth(loaded, queries);
  const database = new Database(join(harness.scratchFolder(), "recall.vl"), {
    memoryBudget: engines.memoryBudget,
  });
  const docs = database.collection("docs", { dimension: set.dimension });
  const own = engines.vectorLite(docs, engines.fill(docs, set));
  const { engines: others, absences } = await engines.buildAll(builds, loaded);
  const all = [...own, ...others];
  const entries: Entry[] = [];
  for (const engine of all) entries.push(await look(engine, queries, truth));
  const results = [
    ...(await time(
      all.filter(({ approximate }) => !approximate),
      queries.slice(0, 5),
    )),
    ...(await time(
      all.filter(({ approximate }) => approximate),
      queries.slice(0, 20),
    )),
  ];
  for (const engine of all) await engine.close();
  database.close();
  for (const entry of entries) {
    for (const point of entry.points) {
      const result = results.find(({ name }) => name === titleOf(entry, point.setting));
      if (result) Object.assign(point, spread(result));
    }
  }
  const date = new Date().toISOString().slice(0, 10);
  return { machine: harness.machine(), date, set: set.name, entries, absences };
}

function spread({ median, fastest, slowest }: harness.Result): Partial<Point> {
  return { median, fastest, slowest };
}

function printReport({ set, entries, absences }: Report): void {
  const own = entries.find(({ name }) => name === "VectorLite")?.points[0]?.median ?? Number.NaN;
  const head = ["", "found", "median", "fastest", "slowest", "queries/s", "vs VectorLite"];
  const rows = entries.flatMap((entry) =>
    entry.points.map(({ setting, recall, median, fastest, slowest }) => [
      titleOf(entry, setting),
      recall.toFixed(4),
      ...[median, fastest, slowest].map(harness.duration),
      Math.round(1e6 / median).toLocaleString("en"),
      `${(own / median).toFixed(2)}x`,
    ]),
  );
  harness.printRows(`recall: the ${k} nearest of ${set}`, [head, ...rows]);
  const built = entries.map((entry) => {
    const enough = entry.points.find(({ recall }) => recall >= recallWanted);
    return [
      entry.name,
      `${entry.buildSeconds.toFixed(1)} s`,
      entry.buildProcessors?.toFixed(1) ?? "",
      enough ? titleOf(entry, enough.setting).slice(entry.name.length + 2) || "-" : "never",
      enough ? Math.round(1e6 / enough.median).toLocaleString("en") : "",
      entry.processors.toFixed(1),
    ];
  });
  const columns = [
    "",
    "built in",
    "processors",
    `finds ${recallWanted} with`,
    "queries/s",
    "processors",
  ];
  harness.printRows("recall: building, and the first setting that finds enough", [
    columns,
    ...built,
  ]);
  for (const { name, reason } of absences) harness.print(`left out: ${name}: ${reason}`);
}

function drawReport({ set, date, entries, machine }: Report): void {
  const series = entries.map(
    (entry): Series => ({
      name: entry.name.replace(" in bun:sqlite", ""),
      library: entry.name.split(/[ ,-]/)[0] ?? "",
      approximate: entry.approximate,
      dashed: /RaBitQ|bits/.test(entry.name),
      points: entry.points.map(({ recall, median }) => ({ recall, qps: 1e6 / median })),
    }),
  );
  const [processor = ""] = machine.split(",");
  const note = `${processor}, ${date}, one query at a time; rings compare every row`;
  writeFileSync(`${benchFolder}recall.svg`, draw(`The ${k} nearest of ${set}`, note, series));
}

const [asked] = process.argv.slice(2);
if (asked !== "draw") {
  const report = await measureAll(Number(asked ?? 50_000));
  mkdirSync(`${benchFolder}results`, { recursive: true });
  writeFileSync(reportPath, `${JSON.stringify(report, null, 2)}\n`);
}
const report = JSON.parse(readFileSync(reportPath, "utf8")) as Report;
if (asked !== "draw") printReport(report);
drawReport(report);
