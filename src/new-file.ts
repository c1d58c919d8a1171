/**
 * A file that a call makes as a whole or not at all.
 *
 * @module
 */

import { invalidArgument } from "./errors.ts";

/**
 * Runs `fill`, which writes the file `path`. Nobody else's file is touched: the path is taken by
 * creating it, and where `fill` fails the file goes again.
 */
export async function intoNewFile<Result>(
  path: string,
  subject: string,
  fill: () => Promise<Result>,
): Promise<Result> {
  const { closeSync, openSync, rmSync } = process.getBuiltinModule("node:fs");
  const expected = "one that does not exist yet";
  if (path === ":memory:") throw invalidArgument(subject, expected, path);
  let isOurs = false;
  try {
    closeSync(openSync(path, "wx"));
    isOurs = true;
  } catch (error) {
    // Whatever else is in the way, the engine meets it too and says it with a code of its own.
    if ((error as { code?: unknown }).code === "EEXIST") {
      throw invalidArgument(subject, expected, path);
    }
  }
  try {
    return await fill();
  } catch (error) {
    if (isOurs) rmSync(path, { force: true });
    throw error;
  }
}
