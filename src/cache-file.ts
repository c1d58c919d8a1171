/**
 * The open file of a cache, which all of its namespaces share.
 *
 * Node's modules are loaded when they are needed: importing them costs Bun milliseconds.
 *
 * @module
 */

import type { Connection } from "./connection.ts";
import type { CacheMode } from "./types.ts";

let memoryFiles = 0;

/** A file and the one connection to it. */
export class CacheFile {
  readonly path: string;
  readonly connection: Connection;
  readonly mode: CacheMode;
  #identity: string | undefined;

  constructor(path: string, connection: Connection, mode: CacheMode) {
    this.path = path;
    this.connection = connection;
    this.mode = mode;
  }

  /** The same for every handle of this process on the same file, however its path is written. */
  get identity(): string {
    this.#identity ??= identityOf(this.path);
    return this.#identity;
  }
}

function identityOf(path: string): string {
  if (path !== ":memory:") {
    const { statSync } = process.getBuiltinModule("node:fs");
    const found = statSync(path, { bigint: true, throwIfNoEntry: false });
    if (found !== undefined) return `${found.dev}:${found.ino}`;
  }
  // Kept in memory, or taken away from its path: nobody else can find it there.
  memoryFiles++;
  return `memory:${memoryFiles}`;
}
