/**
 * Makes a database file smaller in slices, so that a server goes on answering meanwhile.
 *
 * @module
 */

import type { Connection } from "./connection.ts";
import { Status } from "./native/native.ts";
import { failure } from "./status.ts";
import type { Progress } from "./types.ts";

/** Bytes that one slice moves: some milliseconds. */
const sliceBytes = 1 << 20;

/** Resolves when nothing more can be given back now. */
export async function compact(
  connection: Connection,
  onProgress: ((progress: Progress) => unknown) | undefined,
): Promise<void> {
  const { native } = connection;
  const subject = `Compacting ${connection.subject}`;
  const progress = new Float64Array(2);
  let isFirst = 1;
  for (;;) {
    // Not beside an asynchronous transaction: it writes.
    const status = await connection.inTurn(() => {
      connection.checkOpen();
      const status = native.vl_compact_step(connection.id, isFirst, sliceBytes, progress);
      if (status !== Status.OK && status !== Status.NOT_FOUND) throw failure(status, subject);
      connection.wrote();
      return status;
    });
    await onProgress?.({ done: progress[0] ?? 0, total: progress[1] ?? 0 });
    if (status === Status.NOT_FOUND) return;
    isFirst = 0;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
