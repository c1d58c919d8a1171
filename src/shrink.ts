/**
 * Brings a file that is larger than the maximum that it is opened with down to it: entries go as
 * they do where a file is full, then the space that they leave.
 *
 * @module
 */

import { Status } from "./native/native.ts";
import { type OpenDatabase, openDatabase } from "./open.ts";

/** Bytes that one step of compacting moves. */
const stepBytes = 1 << 24;

/**
 * Takes as long as writing what stays. Where others hold older states, the file stays larger until
 * it is opened again.
 *
 * @param file - To be opened without a maximum: a full file has no room to move anything.
 */
export function shrink(file: OpenDatabase, bytesMax: number): void {
  const connection = openDatabase(file);
  try {
    const { native, id } = connection;
    while (native.vl_database_fit(id, bytesMax) === Status.OK);
    const progress = new Float64Array(2);
    let isFirst = 1;
    while (native.vl_compact_step(id, isFirst, stepBytes, progress) === Status.OK) isFirst = 0;
  } finally {
    connection.close();
  }
}
