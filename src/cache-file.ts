/**
 * The open file of a cache, which all of its namespaces share.
 *
 * Node's modules are loaded when they are needed: importing them costs Bun milliseconds.
 *
 * @module
 */

import type { CacheNamespace } from "./cache-namespace.ts";
import { EvictionWatch } from "./channels.ts";
import type { Connection } from "./connection.ts";
import type { CacheMode } from "./types.ts";

/** So many parts of what is written together fill a file with a maximum. */
const partsOfFile = 16;

/** A file and the one connection to it. */
export class CacheFile {
  readonly path: string;
  readonly connection: Connection;
  readonly mode: CacheMode;
  /** What a relative path is relative to. */
  readonly #folder: string;
  /** Bytes that are written together. */
  readonly partBytes: number;
  /** Those that are open. */
  readonly namespaces: Set<CacheNamespace> = new Set();
  /** Whether entries may go from it that nobody deletes. */
  mayLose = false;
  #identity: string | undefined;

  /** @param maxBytes - 0: any number. */
  constructor(path: string, connection: Connection, mode: CacheMode, maxBytes: number) {
    this.path = path;
    this.connection = connection;
    this.mode = mode;
    connection.watch(new EvictionWatch(this));
    this.partBytes = maxBytes === 0 ? Number.MAX_SAFE_INTEGER : maxBytes / partsOfFile;
    this.#folder = isAbsolute(path) ? "" : process.cwd();
  }

  /**
   * The same for every handle of this process on the same file, however its path is written. Looked
   * up when it is needed first, so it says nothing of a file that was replaced meanwhile.
   */
  get identity(): string {
    this.#identity ??= identityOf(this.path, this.#folder);
    return this.#identity;
  }
}

/**
 * In memory, or with a root. Every start comes here, so that neither `node:path` is loaded for it
 * nor a pattern compiled.
 */
function isAbsolute(path: string): boolean {
  const root = path[1] === ":" ? 2 : 0;
  return path === ":memory:" || path[root] === "/" || path[root] === "\\";
}

function identityOf(path: string, folder: string): string {
  if (path !== ":memory:") {
    const { statSync } = process.getBuiltinModule("node:fs");
    const { resolve } = process.getBuiltinModule("node:path");
    const options = { bigint: true, throwIfNoEntry: false } as const;
    const found = statSync(resolve(folder, path), options);
    if (found !== undefined) return `${found.dev}:${found.ino}`;
  }
  // Kept in memory, or taken away from its path: nobody else can find it there.
  return `memory:${crypto.randomUUID()}`;
}
