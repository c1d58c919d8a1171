/**
 * The library through `bun:ffi`: about 3 ns a call. The only file that names `bun:ffi`, and it does
 * so at run time, so that bundlers for Node never look for that module.
 *
 * @module
 */

import { type NativeLibrary, type NodeApiLibrary, symbols } from "./abi.generated.ts";
import { isStandaloneExecutable } from "./locate.ts";
import { loadWithNodeApi } from "./node.ts";

interface BunFfi {
  dlopen(path: string, symbols: object): { symbols: NativeLibrary };
}

/**
 * Never closed: a call into a closed library crashes the process.
 *
 * A worker loads it through Node-API as well, which tells the library when the worker was
 * terminated: what it had open, a write lock above all, would else stay so until the process ends.
 */
export function loadWithBunFfi(path: string): NativeLibrary {
  if (!Bun.isMainThread) {
    const library = loadWithNodeApi(path);
    // An executable unpacks one copy for each way, and only this one hears of the worker's end.
    if (isStandaloneExecutable()) return library;
  }
  const ffi = process.getBuiltinModule("bun:ffi") as unknown as BunFfi;
  return ffi.dlopen(path, symbols).symbols;
}

/**
 * The library at `path`, loaded already, through Node-API as well: another way to the same handles.
 * `undefined` where it would be another copy of the library with handles of its own, where Bun was
 * told to load no such module, and in workers, whose end does not wait in every version of Bun for
 * the threads that work for it.
 */
export function nodeApiOnBun(loaded: NativeLibrary, path: string): NodeApiLibrary | undefined {
  if (!Bun.isMainThread) return undefined;
  if ("vl_job_run" in loaded) return loaded as NodeApiLibrary;
  if (isStandaloneExecutable()) return undefined;
  try {
    return loadWithNodeApi(path);
  } catch {
    return undefined;
  }
}
