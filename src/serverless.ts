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

import { invalidArgument, VectorLiteError } from "./errors.ts";

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
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const found = lstatSync(folder);
    if (found.isDirectory() && (user === undefined || found.uid === user)) return folder;
  } catch (cause) {
    throw new VectorLiteError("ERR_IO", `The folder ${folder} cannot be made or read.`, { cause });
  }
  throw new VectorLiteError(
    "ERR_IO",
    `${folder} is not a folder of this user; remove it, or set TMPDIR to a private folder.`,
  );
}
