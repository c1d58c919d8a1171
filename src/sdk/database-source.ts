/**
 * Where an adapter of a vector store finds its records: in a database that the caller opened, or in
 * a file that it opens, and then closes, itself.
 *
 * @module
 */

import { type Collection, type CollectionOptions, Database, VectorLiteError } from "vectorlite";

/** Names one of both. */
export interface DatabaseSource {
  /** The file, which is opened with the defaults of `Database`; `":memory:"` keeps nothing. */
  path?: string | undefined;
  /** A database that is open; whoever opened it closes it. */
  database?: Database | undefined;
}

/** A database, and what closes it where that is up to the adapter. */
export interface OpenSource {
  readonly database: Database;
  readonly close: () => void;
}

/**
 * Opens what the caller named.
 *
 * @throws VectorLiteError ERR_INVALID_ARGUMENT where not one of both is given; as `new Database()`.
 */
export function openSource({ path, database }: DatabaseSource, where: string): OpenSource {
  if (database !== undefined && path === undefined) return { database, close: () => undefined };
  if (path !== undefined && database === undefined) {
    const opened = new Database(path);
    return { database: opened, close: () => opened.close() };
  }
  throw new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    `${where} takes either a path or a database; found ${path === undefined ? "none" : "both"}.`,
  );
}

/**
 * A collection as it is now, or `undefined` where there is none.
 *
 * It is opened for each call, since somebody else may drop it or rename another one in its place.
 *
 * @throws VectorLiteError as `database.collection()` where the options disagree with it.
 */
export function openIfThere(
  database: Database,
  name: string,
  options: CollectionOptions = {},
): Collection | undefined {
  try {
    return database.collection(name, { ...options, create: false });
  } catch (error) {
    if (database.collections().includes(name)) throw error;
    return undefined;
  }
}
