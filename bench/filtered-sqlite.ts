/**
 * sqlite-vec with filters, in the four ways that SQLite offers; in memory, where no page has to be
 * read. Vectors have length 1, and L2 is the cheaper metric.
 */

import type { Conditions, Doc, Documents } from "./documents.ts";
import * as engines from "./engines.ts";
import { sqlOf } from "./filter-words.ts";
import { type Build, type Filtered, noKnob } from "./filtered.ts";
import * as peers from "./peers.ts";

const { k } = engines;

/** A virtual table with columns of its own, or a plain one beside it or instead of it. */
interface Way {
  name: string;
  /** Of the virtual table, beside its vectors; undefined where there is none. */
  columns?: string;
  /** Whether there is a plain table with indexes. */
  plain: boolean;
  /** Of a query, k; undefined where it cannot be asked so. */
  sql(filter: Conditions): string | undefined;
}

const ways: readonly Way[] = [
  {
    name: "metadata columns",
    columns: "lang text, category text, year integer, price float",
    plain: false,
    sql: (filter) => matching(sqlOf(filter, undefined)),
  },
  {
    name: "category as partition key",
    columns: "category text partition key",
    plain: false,
    sql: ({ category }) => matching(category && sqlOf({ category }, undefined)),
  },
  {
    name: "rowids from a table",
    columns: "",
    plain: true,
    sql: (filter) => matching(`rowid IN (SELECT id FROM plain WHERE ${plainly(filter)})`),
  },
  {
    name: "a plain table",
    plain: true,
    sql: (filter) =>
      "SELECT id AS rowid, vec_distance_L2(vector, ?) AS distance FROM plain" +
      ` WHERE ${plainly(filter)} ORDER BY distance LIMIT ?`,
  },
];

function matching(where: string | undefined): string | undefined {
  if (where === undefined) return undefined;
  return `SELECT rowid, distance FROM vectors WHERE vector MATCH ? AND k = ? AND ${where}`;
}

function plainly(filter: Conditions): string | undefined {
  return sqlOf(filter, (_, tag) => `id IN (SELECT id FROM tags WHERE tag = '${tag}')`);
}

export const sqliteVec: Build = async (documents) => {
  const [loaded, vec] = [await peers.sqlite(), await peers.sqliteVec()];
  if ("absence" in loaded) return loaded;
  if ("absence" in vec) return vec;
  const built: Filtered[] = [];
  for (const way of ways) {
    const database = loaded.peer.open(":memory:");
    vec.peer.load(database);
    const started = performance.now();
    fill(database, documents, way);
    built.push({
      name: `sqlite-vec, ${way.name}`,
      ...noKnob,
      buildSeconds: (performance.now() - started) / 1000,
      prepare: ({ filter }) => {
        const sql = way.sql(filter);
        if (sql === undefined) return undefined;
        const select = database.prepare(sql);
        return (query) => nearest(select.all(engines.bytesOf(query), k));
      },
      close: () => database.close(),
    });
  }
  return { peer: built };
};

/** Of several partitions it returns k each, one partition after the other. */
function nearest(found: Record<string, unknown>[]): number[] {
  const rows = found.map(({ rowid, distance }) => ({
    row: Number(rowid) - 1,
    distance: Number(distance),
  }));
  if (rows.length > k) rows.sort((a, b) => a.distance - b.distance);
  return rows.slice(0, k).map(({ row }) => row);
}

function fill(database: peers.Sqlite, documents: Documents, { columns, plain }: Way): void {
  database.exec("PRAGMA page_size = 65536; BEGIN");
  if (columns !== undefined) fillVirtual(database, documents, columns);
  if (plain) fillPlain(database, documents, columns === undefined);
  database.exec("COMMIT");
}

function fillVirtual(database: peers.Sqlite, documents: Documents, columns: string): void {
  const names = columns.split(",").flatMap((column) => column.trim().split(" ")[0] || []);
  const vector = `vector float[${documents.set.dimension}] distance_metric=L2`;
  database.exec(`CREATE VIRTUAL TABLE vectors USING vec0(${[vector, columns || []].flat()})`);
  const places = ["rowid", "vector", ...names];
  const marks = places.map((name) => (name === "price" ? "CAST(? AS REAL)" : "?"));
  const insert = database.prepare(`INSERT INTO vectors (${places}) VALUES (${marks})`);
  for (const [row, doc] of documents.docs.entries()) {
    const bytes = engines.bytesOf(engines.rowIn(documents, row));
    insert.run(BigInt(row + 1), bytes, ...names.map((name) => value(doc, name)));
  }
}

/** A virtual table tells integers and floats apart strictly. */
function value(doc: Doc, name: string): string | number | bigint {
  if (name === "lang") return doc.lang;
  if (name === "category") return doc.category;
  return name === "year" ? BigInt(doc.year) : doc.price;
}

/** With the vectors in it, or without. */
function fillPlain(database: peers.Sqlite, documents: Documents, withVectors: boolean): void {
  database.exec(
    "CREATE TABLE plain (id INTEGER PRIMARY KEY, lang, category, year, price, vector BLOB);" +
      "CREATE TABLE tags (tag TEXT, id INTEGER, PRIMARY KEY (tag, id)) WITHOUT ROWID",
  );
  const insert = database.prepare("INSERT INTO plain VALUES (?, ?, ?, ?, ?, ?)");
  const insertTag = database.prepare("INSERT INTO tags VALUES (?, ?)");
  const none = new Uint8Array(0);
  for (const [row, { lang, category, year, price, tags }] of documents.docs.entries()) {
    const vector = withVectors ? engines.bytesOf(engines.rowIn(documents, row)) : none;
    insert.run(row + 1, lang, category, year, price, vector);
    for (const tag of tags) insertTag.run(tag, row + 1);
  }
  for (const field of ["lang", "category", "year", "price"]) {
    database.exec(`CREATE INDEX by_${field} ON plain (${field})`);
  }
  database.exec("ANALYZE");
}
