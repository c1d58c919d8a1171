/**
 * One state of a database, held open natively. `Snapshot` is the face over it, and iterators use
 * one of their own.
 *
 * @module
 */

import type { Connection, Scope } from "./connection.ts";
import { Handle } from "./lifetime.ts";
import { Status } from "./native/native.ts";
import { Records } from "./records.ts";
import { check } from "./status.ts";

/** One state of a database, kept for as long as somebody holds it. */
export class SnapshotScope implements Scope {
  readonly connection: Connection;
  readonly id: number;
  readonly subject: string = "The snapshot";
  readonly writable: boolean = false;
  readonly #handle: Handle;

  /** @param id - The native handle of a snapshot of `connection`. Default: a new one. */
  constructor(connection: Connection, id: number = openSnapshot(connection)) {
    this.connection = connection;
    this.id = id;
    this.#handle = new Handle(id);
  }

  /** Lets the state go. Closing twice is fine. */
  close(): void {
    this.#handle.close();
  }
}

function openSnapshot(connection: Connection): number {
  connection.checkOpen();
  const id = new Uint32Array(1);
  check(connection.native.vl_snapshot_open(connection.id, id), connection.subject);
  return id[0] ?? 0;
}

/**
 * The records of a collection of a database as they are now, for as long as the scope is open;
 * whatever others call the collection, or do with it.
 */
export function holdRecords(records: Records): { scope: SnapshotScope; past: Records } {
  const { connection, native, info } = records;
  const ids = new Uint32Array(2);
  const status = native.vl_collection_snapshot(records.id, ids);
  if (status !== Status.OK) throw records.failure(status);
  const scope = new SnapshotScope(connection, ids[0] ?? 0);
  return { scope, past: new Records(scope, { ...info, id: ids[1] ?? 0 }) };
}
