/**
 * Long work in slices, so that a server goes on answering meanwhile: backups, verification and
 * salvage.
 *
 * @module
 */

import type { Connection } from "./connection.ts";
import { Handle } from "./lifetime.ts";
import { JobKind, Status } from "./native/native.ts";
import { intoNewFile } from "./new-file.ts";
import { check, failure } from "./status.ts";
import type { Progress, SalvageResult, VerifyResult } from "./types.ts";
import { decoder, encoder } from "./utf8.ts";

type OnProgress = ((progress: Progress) => unknown) | undefined;

/** Bytes of one slice: a few milliseconds on a disk of 500 MB/s. */
const sliceBytes = 2 << 20;

/** The copy holds the state at the call; it is complete and durable when the promise resolves. */
export async function backup(
  connection: Connection,
  path: string,
  onProgress: OnProgress,
): Promise<void> {
  connection.checkOpen();
  const subject = `The backup of ${connection.subject} to ${JSON.stringify(path)}`;
  await intoNewFile(path, "The path of the backup", async () => {
    const job = openJob(connection, JobKind.BACKUP, path, subject);
    try {
      await runJob(connection, job, subject, onProgress);
    } finally {
      job.close();
    }
  });
}

/** Reads the whole file and says what is wrong with it. */
export async function verify(
  connection: Connection,
  onProgress: OnProgress,
): Promise<VerifyResult> {
  connection.checkOpen();
  const subject = `The verification of ${connection.subject}`;
  const job = openJob(connection, JobKind.VERIFY, "", subject);
  try {
    await runJob(connection, job, subject, onProgress);
    return resultOf<VerifyResult>(connection, job, subject);
  } finally {
    job.close();
  }
}

/** Copies what can be read of the file `from` into the database, which is empty. */
export async function salvageInto(
  connection: Connection,
  from: string,
  onProgress: OnProgress,
): Promise<SalvageResult> {
  const subject = `The salvage of ${JSON.stringify(from)}`;
  const job = openJob(connection, JobKind.SALVAGE, from, subject);
  try {
    await runJob(connection, job, subject, onProgress);
    return resultOf<SalvageResult>(connection, job, subject);
  } finally {
    job.close();
  }
}

function openJob(connection: Connection, kind: number, path: string, subject: string): Handle {
  const bytes = encoder.encode(path);
  const id = new Uint32Array(1);
  const buffer = bytes.length === 0 ? new Uint8Array(1) : bytes;
  check(connection.native.vl_job_open(connection.id, kind, buffer, bytes.length, id), subject);
  return new Handle(id[0] ?? 0);
}

/** Steps a job to its end in slices, between which the event loop goes on. */
export async function runJob(
  connection: Connection,
  job: Handle,
  subject: string,
  onProgress: OnProgress,
): Promise<void> {
  const progress = new Float64Array(2);
  while (true) {
    connection.checkOpen();
    const status = connection.native.vl_job_step(job.id, sliceBytes, progress);
    if (status !== Status.OK && status !== Status.NOT_FOUND) throw failure(status, subject);
    await onProgress?.({ done: progress[0] ?? 0, total: progress[1] ?? 0 });
    if (status === Status.NOT_FOUND) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** What the job says about itself when it is done; the engine writes JSON. */
function resultOf<Result>({ native }: Connection, job: Handle, subject: string): Result {
  const length = new Uint32Array(1);
  let out = new Uint8Array(4096);
  let status = native.vl_job_result(job.id, out, out.length, length);
  if (status === Status.BUFFER_TOO_SMALL) {
    out = new Uint8Array(length[0] ?? 0);
    status = native.vl_job_result(job.id, out, out.length, length);
  }
  check(status, subject);
  return JSON.parse(decoder.decode(out.subarray(0, length[0]))) as Result;
}
