/**
 * Which files may be the native library here.
 *
 * `VECTORLITE_LIB` decides where it is set. Else it is what an executable made by
 * `bun build --compile` carries, or the installed package's, or the build of the repository that
 * this code lies in, or what a bundle made by `bun build` has beside it. Linux has one file for
 * glibc and musl, so nothing here looks for a libc.
 *
 * Nothing here imports `node:fs` or `node:url`: loading those two takes Bun longer than loading the
 * library and everything in this package.
 *
 * @module
 */

import { VectorLiteError } from "../errors.ts";
import { bundledLibrary, packagedLibrary } from "./platforms.ts";

/** A path of the library, or `undefined` where this way leads to none. */
export type LibraryPlace = () => string | undefined;

/**
 * Places to try, best first, each looked up when those before it had nothing. All but the last may
 * name a file that is missing. A list rather than a generator: the first generator of a process
 * costs Bun a tenth of a millisecond.
 *
 * @throws VectorLiteError ERR_NATIVE_LIBRARY where there is no library for this platform.
 */
export function libraryPlaces(): LibraryPlace[] {
  const chosen = process.env["VECTORLITE_LIB"];
  if (chosen) return [() => chosen];
  const packaged = packagedLibrary();
  if (packaged === undefined) {
    throw new VectorLiteError(
      "ERR_NATIVE_LIBRARY",
      `There is no native library for ${process.platform}-${process.arch}; there is one for x64 ` +
        "and arm64 on Linux, macOS and Windows. Set VECTORLITE_LIB to one that you built.",
    );
  }
  if (isStandaloneExecutable()) {
    const embedded = bundledLibrary();
    if (embedded !== undefined) return [() => embedded];
  }
  const file = packaged.pathname.slice(packaged.pathname.lastIndexOf("/") + 1);
  if (import.meta.url.endsWith("/src/native/locate.ts")) {
    return [() => pathOf(new URL(`../../zig-out/lib/${file}`, import.meta.url))];
  }
  return [
    () => pathOf(packaged),
    () => pathOf(new URL(`../zig-out/lib/${file}`, import.meta.url)),
    pathBesideBundle,
  ];
}

function pathBesideBundle(): string | undefined {
  const bundled = bundledLibrary();
  return bundled === undefined ? undefined : pathOf(new URL(bundled, import.meta.url));
}

/** `fileURLToPath`, for the file URLs that are made above. */
function pathOf(url: URL): string {
  const path = decodeURIComponent(url.pathname);
  if (process.platform !== "win32") return path;
  return url.host === "" ? path.slice(1) : `//${url.host}${path}`;
}

/** Whether this program is an executable made by `bun build --compile`. */
export function isStandaloneExecutable(): boolean {
  const { Bun } = globalThis as { Bun?: { isStandaloneExecutable?: boolean } };
  return Bun?.isStandaloneExecutable ?? /\/(\$bunfs|~BUN)\//.test(import.meta.url);
}

/** The error where none of the paths is a file. */
export function libraryMissing(paths: readonly string[]): VectorLiteError {
  return new VectorLiteError(
    "ERR_NATIVE_LIBRARY",
    `The native library is missing; looked for ${paths.join(" and ")}. ${remedyFor(paths[0])}`,
  );
}

/** The error for a library that is there and cannot be loaded. */
export function libraryNotLoaded(path: string, cause: unknown): VectorLiteError {
  const detail = cause instanceof Error ? cause.message : String(cause);
  return new VectorLiteError(
    "ERR_NATIVE_LIBRARY",
    `The native library ${path} could not be loaded (${detail}). ${remedyFor(path)}`,
    { cause },
  );
}

/** The error for a library of another version than this code. */
export function libraryMismatched(path: string, found: number, expected: number): VectorLiteError {
  return new VectorLiteError(
    "ERR_NATIVE_LIBRARY",
    `The native library ${path} has ABI version ${found}, and this code needs ${expected}. ` +
      remedyFor(path),
  );
}

function remedyFor(path: string | undefined): string {
  if (path === process.env["VECTORLITE_LIB"]) {
    return "The environment variable VECTORLITE_LIB names it: correct or unset that.";
  }
  if (isStandaloneExecutable()) {
    return (
      "Compile the program again where vectorlite is installed. Bun copies the library to the " +
      "temporary folder before it is loaded: BUN_TMPDIR can name one that allows execution."
    );
  }
  return (
    "Install the package again (`npm install vectorlite`); in a checkout of the repository, run " +
    "`npm run build:core`; if a bundler moved this code, mark vectorlite as external."
  );
}
