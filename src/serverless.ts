/**
 * One cache per process and name, for functions that are invoked again while still warm.
 *
 * The instances hang on `globalThis`, because a module that is reloaded, or bundled twice, starts
 * with fresh variables; opening the file anew each time would cost the hot vectors.
 *
 * Node's modules are loaded when they are needed: importing them costs Bun milliseconds, which
 * every program would pay that imports this package.
 *
 * @module
 */

import type { Stats } from "node:fs";
import { invalidArgument, VectorLiteError } from "./errors.ts";

/** The bits of a mode that let the group or everybody write. */
const writableByOthers = 0o022;

const instancesKey = Symbol.for("vectorlite.serverless");

/**
 * An instance, perhaps of the class of another copy of this module, whose private members only
 * functions of that copy can reach.
 */
export interface SharedInstance<T, Options> {
  readonly instance: T;
  isOpen(): boolean;
  /** Throws where the options contradict what the instance was opened with. */
  checkSame(options: Options): void;
}

/** The open instance of that name, or a new one. */
export function sharedInstance<T, Options>(
  name: string,
  options: Options,
  create: (path: string) => SharedInstance<T, Options>,
): T {
  if (typeof name !== "string" || !/^[\w-][\w.-]{0,99}$/.test(name)) {
    throw invalidArgument(
      "The name of a serverless cache",
      "1 to 100 letters, digits, dots, dashes and underscores, with no dot first",
      name,
    );
  }
  const global = globalThis as typeof globalThis & {
    [instancesKey]?: Map<string, SharedInstance<T, Options>>;
  };
  global[instancesKey] ??= new Map();
  const instances = global[instancesKey];
  const known = instances.get(name);
  if (known?.isOpen() === true) {
    known.checkSame(options);
    return known.instance;
  }
  const { join } = process.getBuiltinModule("node:path");
  const created = create(join(privateFolder(), `${name}.cache`));
  instances.set(name, created);
  return created.instance;
}

/**
 * A folder of this user in the platform's temp folder. That is shared with other users, so the
 * folder must be ours alone: who can put a file there could feed us vectors.
 */
function privateFolder(): string {
  const { lstatSync, mkdirSync } = process.getBuiltinModule("node:fs");
  const { tmpdir } = process.getBuiltinModule("node:os");
  const { join } = process.getBuiltinModule("node:path");
  const user = process.getuid?.();
  const folder = join(tmpdir(), user === undefined ? "vectorlite" : `vectorlite-${user}`);
  let found: Stats;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    found = lstatSync(folder);
  } catch (cause) {
    throw new VectorLiteError("ERR_IO", `The folder ${folder} cannot be made or read.`, { cause });
  }
  if (!found.isDirectory() || (user !== undefined && found.uid !== user)) {
    throw new VectorLiteError(
      "ERR_IO",
      `${folder} is not a folder of this user; remove it, or set TMPDIR to a private folder.`,
    );
  }
  // Where there are no users (Windows), the mode says nothing either.
  if (user !== undefined && (found.mode & writableByOthers) !== 0) {
    const mode = (found.mode & 0o777).toString(8);
    throw new VectorLiteError(
      "ERR_IO",
      `Other users may write to ${folder} (mode ${mode}), so its files cannot be trusted; remove ` +
        `it, or make it private (chmod 700) where you know what it holds.`,
    );
  }
  return folder;
}
