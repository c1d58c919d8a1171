/**
 * The names of the collections in a database or snapshot.
 *
 * @module
 */

import type { Scope } from "./connection.ts";
import { decodeNames } from "./entries.ts";
import { Status } from "./native/native.ts";
import { failure } from "./status.ts";

/** In the order in which the engine keeps them. */
export function collectionNames(scope: Scope): string[] {
  const lengthOut = new Uint32Array(1);
  let bytes = new Uint8Array(1024);
  for (;;) {
    const status = scope.connection.native.vl_database_collections(
      scope.id,
      bytes,
      bytes.length,
      lengthOut,
    );
    if (status === Status.OK) return decodeNames(bytes, lengthOut[0] ?? 0);
    if (status !== Status.BUFFER_TOO_SMALL) throw failure(status, scope.subject);
    bytes = new Uint8Array(lengthOut[0] ?? 0);
  }
}
