/**
 * The library through Node-API, which Node and Bun both have: the file that `bun:ffi` opens is a
 * Node-API module too, whatever its name ends with.
 *
 * @module
 */

import type { NodeApiLibrary } from "./abi.generated.ts";

export function loadWithNodeApi(path: string): NodeApiLibrary {
  const module = { exports: {} };
  process.dlopen(module, path);
  return module.exports as NodeApiLibrary;
}
