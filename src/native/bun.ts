/**
 * The library through `bun:ffi`: about 3 ns a call. The only file that names `bun:ffi`, and it does
 * so at run time, so that bundlers for Node never look for that module.
 *
 * @module
 */

import { type NativeLibrary, type NodeApiLibrary, Status, symbols } from "./abi.generated.ts";
import { isStandaloneExecutable } from "./locate.ts";
import { loadWithNodeApi } from "./node.ts";

interface BunFfi {
  dlopen(path: string, symbols: object): { symbols: NativeLibrary };
  toArrayBuffer(
    address: number,
    offset: number,
    bytes: number,
    context: number,
    takeBack: number,
  ): ArrayBuffer;
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
  return bunFfi().dlopen(path, symbols).symbols;
}

function bunFfi(): BunFfi {
  return process.getBuiltinModule("bun:ffi") as unknown as BunFfi;
}

/** For less than this, an array of Bun's own is as fast. */
const lentBytesMin = 512 * 1024;

/** Where a block is, and what takes it back. */
const addresses = new Float64Array(2);

/**
 * Memory for an answer of megabytes, which the garbage collector gives back to the library. Bun
 * clears the pages of a new array one by one as they are first written, which takes several times
 * as long as writing them. `undefined` where that is no matter, where no block is free, and on
 * Node, which cannot transfer such memory to a worker.
 */
export function lendMemory(library: NativeLibrary, bytes: number): ArrayBuffer | undefined {
  if (bytes < lentBytesMin || bytes > 0xffff_ffff) return;
  if (process.versions["bun"] === undefined) return;
  if (library.vl_answer_memory(bytes, addresses) !== Status.OK) return;
  const [address = 0, takeBack = 0] = addresses;
  return bunFfi().toArrayBuffer(address, 0, bytes, address, takeBack);
}

/**
 * The copy of the library that workers have: in an executable they load another one than the main
 * thread, see {@link loadWithBunFfi}.
 */
export function libraryOfThreads(loaded: NativeLibrary, path: string): NativeLibrary {
  if (process.versions["bun"] === undefined || "vl_job_run" in loaded) return loaded;
  if (!isStandaloneExecutable()) return loaded;
  try {
    return loadWithNodeApi(path);
  } catch {
    // Then no worker could load it either.
    return loaded;
  }
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
