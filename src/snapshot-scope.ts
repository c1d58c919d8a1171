/**
 * One state of a database, held open natively. `Snapshot` is the face over it, and iterators use
 * one of their own.
 *
 * @module
 */

import type { Connection, Scope } from "./connection.ts";
import { Handle } from "./lifetime.ts";
import { check } from "./status.ts";

/** One state of a database, kept for as long as somebody holds it. */
export class SnapshotScope implements Scope {
  readonly connection: Connection;
  readonly id: number;
  readonly subject: string = "The snapshot";
  readonly writable: boolean = false;
  readonly #handle: Handle;

  constructor(connection: Connection) {
    connection.checkOpen();
    const id = new Uint32Array(1);
    check(connection.native.vl_snapshot_open(connection.id, id), connection.subject);
    this.connection = connection;
    this.id = id[0] ?? 0;
    this.#handle = new Handle(this.id);
  }

  /** Lets the state go. Closing twice is fine. */
  close(): void {
    this.#handle.close();
  }
}
