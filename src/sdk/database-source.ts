/**
 * Where what is built on the public API keeps its records: in a database that the caller opened, or
 * in a file that it opens, and then closes, itself.
 *
 * @module
 */

import {
  type Collection,
  type CollectionOptions,
  Database,
  type DatabaseOptions,
  type Metadata,
  type MetadataOf,
  VectorLiteError,
} from "vectorlite";
import { checkText, invalidArgument } from "./arguments.ts";

/** Names one of both. */
export interface DatabaseSource {
  /** The file, which is opened with the defaults of `Database`; `":memory:"` keeps nothing. */
  path?: string | undefined;
  /** A database that is open; whoever opened it closes it. */
  database?: Database | undefined;
}

/** A database that is in use. */
export class OpenSource {
  readonly database: Database;
  /** Whether it was opened here, and nobody else has it. */
  readonly isOwn: boolean;

  /**
   * Opens what the caller named.
   *
   * @param where - What messages call whoever uses it.
   * @param options - Of a file that is opened here.
   * @throws VectorLiteError ERR_INVALID_ARGUMENT where not one of both is given; as
   * `new Database()`.
   */
  constructor({ path, database }: DatabaseSource, where: string, options: DatabaseOptions = {}) {
    if ((path === undefined) === (database === undefined)) {
      const found = path === undefined ? "none" : "both";
      throw new VectorLiteError(
        "ERR_INVALID_ARGUMENT",
        `${where} takes either a path or a database; found ${found}.`,
      );
    }
    if (database !== undefined && !(database instanceof Database)) {
      throw invalidArgument("database", "a Database", database);
    }
    this.isOwn = database === undefined;
    this.database = database ?? new Database(checkText(path, "path"), options);
  }

  /**
   * A collection as it is now, or `undefined` where there is none.
   *
   * It is opened for each call, since somebody else may drop it or rename another one in its place.
   *
   * @throws VectorLiteError as `database.collection()` where the options disagree with it.
   */
  collection<Fields extends MetadataOf<Fields> = Metadata>(
    name: string,
    options: CollectionOptions = {},
  ): Collection<Fields> | undefined {
    try {
      return this.database.collection<Fields>(name, { ...options, create: false });
    } catch (error) {
      if (this.database.collections().includes(name)) throw error;
      return undefined;
    }
  }

  /** One transaction, which waits for its turn where another one of this database is under way. */
  write(body: () => void): Promise<void> {
    return this.database.transactionAsync(body);
  }

  /** Closes the database, unless the caller opened it. Closing twice is fine. */
  close(): void {
    if (this.isOwn) this.database.close();
  }
}
