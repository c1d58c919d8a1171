/**
 * Copies a database to a new file in slices, so that a server goes on answering meanwhile.
 *
 * @module
 */

import type { Connection } from "./connection.ts";
import { Handle } from "./lifetime.ts";
import { Status } from "./native/native.ts";
import { check, failure } from "./status.ts";
import type { Progress } from "./types.ts";
import { encoder } from "./utf8.ts";

/** Bytes of one slice: a few milliseconds on a disk of 500 MB/s. */
const sliceBytes = 2 << 20;

/** The copy holds the state at the call; it is complete and durable when the promise resolves. */
export async function backup(
  connection: Connection,
  path: string,
  onProgress: ((progress: Progress) => void) | undefined,
): Promise<void> {
  connection.checkOpen();
  const subject = `The backup of ${connection.subject} to ${JSON.stringify(path)}`;
  const bytes = encoder.encode(path);
  const id = new Uint32Array(1);
  const { native } = connection;
  check(native.vl_backup_open(connection.id, bytes, bytes.length, id), subject);
  const handle = new Handle(id[0] ?? 0);
  const progress = new Float64Array(2);
  let complete = false;
  try {
    while (!complete) {
      const status = native.vl_backup_step(handle.id, sliceBytes, progress);
      if (status !== Status.OK && status !== Status.NOT_FOUND) throw failure(status, subject);
      onProgress?.({ done: progress[0] ?? 0, total: progress[1] ?? 0 });
      complete = status === Status.NOT_FOUND;
      if (!complete) await new Promise((resolve) => setImmediate(resolve));
    }
  } finally {
    handle.close();
    // The engine refused to open a path that had a file, so what lies there is ours.
    if (!complete) process.getBuiltinModule("node:fs").rmSync(path, { force: true });
  }
}
