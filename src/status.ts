/**
 * Turns a status of the engine into the error that people and programs see.
 *
 * @module
 */

import { type ErrorCode, VectorLiteError } from "./errors.ts";
import { lastError, Status } from "./native/native.ts";

const codes: ReadonlyMap<number, ErrorCode> = new Map<number, ErrorCode>([
  [Status.INVALID_ARGUMENT, "ERR_INVALID_ARGUMENT"],
  [Status.DIMENSION, "ERR_DIMENSION"],
  [Status.INVALID_VECTOR, "ERR_INVALID_VECTOR"],
  [Status.KEY, "ERR_KEY"],
  [Status.MODEL, "ERR_MODEL"],
  [Status.CLOSED, "ERR_CLOSED"],
  [Status.READONLY, "ERR_READONLY"],
  [Status.LOCKED, "ERR_LOCKED"],
  [Status.NOT_A_DATABASE, "ERR_NOT_A_DATABASE"],
  [Status.VERSION, "ERR_VERSION"],
  [Status.CORRUPT, "ERR_CORRUPT"],
  [Status.NO_SPACE, "ERR_NO_SPACE"],
  [Status.IO, "ERR_IO"],
  [Status.POISONED, "ERR_POISONED"],
  [Status.OUT_OF_MEMORY, "ERR_OUT_OF_MEMORY"],
  [Status.FILE_NOT_FOUND, "ERR_IO"],
]);

/**
 * The error of a failed call. Call it right after that call: the engine keeps one sentence.
 *
 * @param status - What the engine returned.
 * @param subject - What the call was about; it opens the message.
 */
export function failure(status: number, subject: string): VectorLiteError {
  if (status === Status.CLOSED) return closed(subject);
  const code = codes.get(status);
  const sentence = lastError();
  if (code === undefined) {
    return new VectorLiteError("ERR_NATIVE_LIBRARY", `${subject}: unknown status ${status}.`);
  }
  return new VectorLiteError(code, `${subject}: ${sentence}${sentence.endsWith(".") ? "" : "."}`);
}

/** The one error of everything that is used after it was closed. */
export function closed(subject: string): VectorLiteError {
  return new VectorLiteError("ERR_CLOSED", `${subject} is closed; open it again to use it.`);
}

/** The error of a write through something that cannot be written to. */
export function readonlyError(subject: string, scope: string): VectorLiteError {
  const reason = subject === scope ? "it was opened for reading" : `${scope} is read-only`;
  return new VectorLiteError("ERR_READONLY", `${subject} cannot be written to: ${reason}.`);
}

/** Throws {@link failure} unless the call succeeded. */
export function check(status: number, subject: string): void {
  if (status !== Status.OK) throw failure(status, subject);
}
