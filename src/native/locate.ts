/**
 * Which file is the native library here.
 *
 * `VECTORLITE_LIB` decides where it is set. Else, in this order: what an executable made by
 * `bun build --compile` carries, the build of the repository that this code lies in, the installed
 * package, and what a bundle made by `bun build` has beside it. Linux has one file for glibc and
 * musl, so nothing here looks for a libc.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { isAbsolute } from "node:path";
import { fileURLToPath } from "node:url";
import { VectorLiteError } from "../errors.ts";
import { bundledLibrary, packagedLibrary } from "./platforms.ts";

/**
 * The library's path.
 *
 * @throws {@link VectorLiteError} ERR_NATIVE_LIBRARY where there is none for this platform.
 */
export function locateLibrary(): string {
  const chosen = process.env["VECTORLITE_LIB"];
  if (chosen) return chosen;
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
    if (embedded !== undefined) return embedded;
  }
  for (const candidate of [...builtLibraries(packaged), packaged]) {
    const path = fileURLToPath(candidate);
    if (existsSync(path)) return path;
  }
  const bundled = bundledLibrary();
  if (bundled === undefined) throw libraryMissing(packaged);
  return isAbsolute(bundled) ? bundled : fileURLToPath(new URL(bundled, import.meta.url));
}

/** `zig build` puts the library of this machine here, seen from `src/native/` and from `dist/`. */
function builtLibraries(packaged: URL): URL[] {
  const file = packaged.pathname.slice(packaged.pathname.lastIndexOf("/") + 1);
  return [`../../zig-out/lib/${file}`, `../zig-out/lib/${file}`].map(
    (path) => new URL(path, import.meta.url),
  );
}

/** Whether this program is an executable made by `bun build --compile`. */
function isStandaloneExecutable(): boolean {
  const { Bun } = globalThis as { Bun?: { isStandaloneExecutable?: boolean } };
  return Bun?.isStandaloneExecutable ?? /\/(\$bunfs|~BUN)\//.test(import.meta.url);
}

function libraryMissing(packaged: URL): VectorLiteError {
  return new VectorLiteError(
    "ERR_NATIVE_LIBRARY",
    `The native library ${fileURLToPath(packaged)} is missing. Install the package again ` +
      "(`npm install vectorlite`); in a checkout of the repository, run `npm run build:core`; if " +
      "a bundler moved this code, mark vectorlite as external; or set VECTORLITE_LIB to the file.",
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

function remedyFor(path: string): string {
  if (path === process.env["VECTORLITE_LIB"]) {
    return "The environment variable VECTORLITE_LIB names it: correct or unset that.";
  }
  if (isStandaloneExecutable()) {
    return (
      "Bun copies it to the temporary folder before it is loaded: set BUN_TMPDIR to a folder " +
      "that can be written to and executed from, or compile the program again."
    );
  }
  return (
    "Install the package again (`npm install vectorlite`); in a checkout of the repository, run " +
    "`npm run build:core`."
  );
}
