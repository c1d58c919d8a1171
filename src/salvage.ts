/**
 * Recovers the rows of a damaged file into a new one.
 *
 * @module
 */

import { invalidArgument } from "./errors.ts";
import { salvageInto } from "./jobs.ts";
import { intoNewFile } from "./new-file.ts";
import { durabilities, openDatabase } from "./open.ts";
import {
  busyTimeoutDefaultMs,
  checkFunction,
  checkOptions,
  checkText,
  memoryBudgetDefaultBytes,
} from "./options.ts";
import type { SalvageOptions, SalvageResult } from "./types.ts";

/**
 * Recovers every row of a damaged file whose checksums hold into a new file, even where headers,
 * root slots, index pages or the descriptions of collections are lost. The damaged file is only
 * read; nobody should write to it meanwhile.
 *
 * While the newest state can still be told, its rows come back, less the damaged ones. Where it
 * cannot, rows may come back that had been deleted, or were never committed, because nothing is
 * left that says so; of one key the newest row is kept. Those rows are counted as `uncertain`.
 * Collections that no page describes any more are named `recovered 1` and so on, and have the
 * metric `cosine` and no model.
 *
 * @param from - The damaged file.
 * @param to - The new file, which does not exist yet. Where the salvage fails it is removed.
 * @param options - `onProgress` is called after every slice, between which other work goes on.
 * @returns See {@link SalvageResult}.
 * @throws {@link VectorLiteError} (as a rejection) ERR_INVALID_ARGUMENT where `to` exists;
 * ERR_NOT_A_DATABASE where nothing looks like a VectorLite file; ERR_VERSION, ERR_IO,
 * ERR_NO_SPACE, ERR_OUT_OF_MEMORY, ERR_NATIVE_LIBRARY
 * @example
 * ```ts
 * const { collections } = await salvage("damaged.vl", "rescued.vl");
 * const lost = collections.filter(({ damaged }) => damaged > 0);
 * ```
 */
export async function salvage(
  from: string,
  to: string,
  options?: SalvageOptions,
): Promise<SalvageResult> {
  checkText(from, "The path of the damaged file");
  if (from === ":memory:") throw invalidArgument("The path of the damaged file", "a file", from);
  checkText(to, "The path of the new file");
  const { onProgress } = checkOptions(options, { onProgress: true }, "salvage()");
  if (onProgress !== undefined) checkFunction(onProgress, "onProgress");
  return intoNewFile(to, "The path of the new file", async () => {
    const connection = openDatabase({
      path: to,
      readonly: false,
      create: true,
      // Nothing is worth keeping before all of it is there; closing makes it durable.
      durability: durabilities.indexOf("none"),
      busyTimeoutMs: busyTimeoutDefaultMs,
      memoryBudgetBytes: memoryBudgetDefaultBytes,
      olderRoot: 0,
    });
    try {
      const result = await salvageInto(connection, from, onProgress);
      connection.flush();
      return result;
    } finally {
      connection.close();
    }
  });
}
