/**
 * The one door to the Zig core: loads the library on first use, checks that it speaks this
 * package's ABI, and hands out its functions with their types.
 *
 * Bun calls the library through `bun:ffi`, every other runtime through Node-API; it is the same
 * file and the same functions either way (`VECTORLITE_BACKEND=napi` takes the second way on Bun
 * too). Pass typed arrays themselves, never pointers, and check every argument first: neither
 * runtime refuses all wrong numbers.
 *
 * @module
 */

import { VectorLiteError } from "../errors.ts";
import { newArray } from "../typed-arrays.ts";
import { ABI_VERSION, type NativeLibrary, type NodeApiLibrary, Status } from "./abi.generated.ts";
import { lendMemory, libraryOfThreads, loadWithBunFfi, nodeApiOnBun } from "./bun.ts";
import { libraryMismatched, libraryMissing, libraryNotLoaded, libraryPlaces } from "./locate.ts";
import { loadWithNodeApi } from "./node.ts";

export {
  type NodeApiLibrary,
  CollectionFlags,
  CollectionOptions,
  collectionStatsFields,
  cpuTiers,
  DatabaseFlags,
  DatabaseOptions,
  Durability,
  databaseStatsFields,
  Hit,
  JobKind,
  Metric,
  INCLUDE_VECTORS,
  METRIC_UNSPECIFIED,
  type NativeLibrary,
  Status,
  searchReportFields,
} from "./abi.generated.ts";

let library: NativeLibrary | undefined;
let libraryOfProcess: NativeLibrary | undefined;
let libraryPath = "";
/** `null`: there is none. */
let nodeApiLibrary: NodeApiLibrary | null | undefined;

/**
 * The library's functions. They return a `Status`, except `vl_abi_version`.
 *
 * @throws VectorLiteError ERR_NATIVE_LIBRARY where the library is missing or does not fit.
 */
export function native(): NativeLibrary {
  library ??= load();
  return library;
}

/**
 * The same library through Node-API, which can run a job off the event loop. On Bun it is loaded
 * when it is first asked for; `undefined` in its workers, and in executables made by
 * `bun build --compile`.
 */
export function nodeApi(): NodeApiLibrary | undefined {
  if (nodeApiLibrary === undefined) {
    const loaded = native();
    const isBun = process.versions["bun"] !== undefined;
    const found = isBun ? nodeApiOnBun(loaded, libraryPath) : (loaded as NodeApiLibrary);
    nodeApiLibrary = found ?? null;
  }
  return nodeApiLibrary ?? undefined;
}

/**
 * The copy of the library that all threads of this process share; the same as {@link native} nearly
 * everywhere.
 */
export function processLibrary(): NativeLibrary {
  libraryOfProcess ??= libraryOfThreads(native(), libraryPath);
  return libraryOfProcess;
}

/** How the library is called here, for people who report a problem. */
export function nativeBackend(): "bun:ffi" | "node-api" {
  const forced = process.env["VECTORLITE_BACKEND"] === "napi";
  return process.versions["bun"] !== undefined && !forced ? "bun:ffi" : "node-api";
}

/**
 * The sentence for people about this thread's last failed call.
 * Valid until the next failed call on the same thread.
 */
export function lastError(): string {
  const out = new Uint8Array(1024);
  const length = new Uint32Array(1);
  native().vl_last_error(out, out.length, length);
  return new TextDecoder().decode(out.subarray(0, length[0]));
}

/**
 * An array for an answer of `length` numbers, which may be anything: all are to be written before
 * anybody sees them.
 *
 * @throws VectorLiteError ERR_OUT_OF_MEMORY
 */
export function newAnswer(length: number): Float32Array {
  const memory = lendMemory(native(), length * Float32Array.BYTES_PER_ELEMENT);
  return memory === undefined ? newArray(Float32Array, length) : new Float32Array(memory);
}

/** Searches with the kernels of an older CPU, for tests and comparisons. */
function useCpu(loaded: NativeLibrary, tier: string | undefined): void {
  if (tier === undefined || tier === "") return;
  const name = new TextEncoder().encode(tier);
  if (loaded.vl_use_cpu(name, name.length) === Status.OK) return;
  throw new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    `VECTORLITE_CPU is "${tier}", which is no tier that this machine can run; v2, v3, v4 and ` +
      "v4-vnni are those of x86-64, neon and neon-dot those of ARM. Without it the newest one is " +
      "used.",
  );
}

function load(): NativeLibrary {
  const missing: string[] = [];
  for (const place of libraryPlaces()) {
    const path = place();
    if (path === undefined) continue;
    let loaded: NativeLibrary;
    try {
      loaded = nativeBackend() === "bun:ffi" ? loadWithBunFfi(path) : loadWithNodeApi(path);
    } catch (cause) {
      // Looking first would load `node:fs` on every start.
      if (process.getBuiltinModule("node:fs").existsSync(path)) throw libraryNotLoaded(path, cause);
      missing.push(path);
      continue;
    }
    const version = loaded.vl_abi_version();
    if (version !== ABI_VERSION) throw libraryMismatched(path, version, ABI_VERSION);
    useCpu(loaded, process.env["VECTORLITE_CPU"]);
    libraryPath = path;
    return loaded;
  }
  throw libraryMissing(missing);
}
