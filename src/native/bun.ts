/**
 * The library through `bun:ffi`: about 3 ns a call. The only file that names `bun:ffi`, and it does
 * so at run time, so that bundlers for Node never look for that module.
 *
 * @module
 */

import { type NativeLibrary, symbols } from "./abi.generated.ts";

interface BunFfi {
  dlopen(path: string, symbols: object): { symbols: NativeLibrary };
}

/** Never closed: a call into a closed library crashes the process. */
export function loadWithBunFfi(path: string): NativeLibrary {
  const ffi = process.getBuiltinModule("bun:ffi") as unknown as BunFfi;
  return ffi.dlopen(path, symbols).symbols;
}
