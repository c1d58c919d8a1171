/**
 * usearch with a filter: its library can, its JavaScript binding cannot.
 *
 * A library of three functions is compiled from the headers that the package carries, for this very
 * machine, and loaded by bun:ffi. It takes the kernels from the package's binary.
 */

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync, symlinkSync } from "node:fs";
import { arch, platform } from "node:os";
import { fileURLToPath } from "node:url";
import { benchFolder, dataFolder } from "./data.ts";
import type { OneOf } from "./harness.ts";

export interface FilteredUsearch {
  /** Rows of which `wanted` has a one, the nearest first. */
  search(query: Float32Array, count: number, wanted: Uint8Array, expansion: number): number[];
  close(): void;
}

const name = "usearch with a filter";
const root: string = fileURLToPath(new URL("..", `file://${benchFolder}`));
const usearch = `${benchFolder}node_modules/usearch`;
const library = `${dataFolder}usearch-filter.so`;

/** The compiler wants to see a library's ending. */
function compile(): boolean {
  const folder = `${usearch}/prebuilds/${platform()}-${arch()}`;
  const kernels = `${dataFolder}usearch-kernels.so`;
  if (!existsSync(`${folder}/usearch.node`)) return false;
  mkdirSync(dataFolder, { recursive: true });
  rmSync(kernels, { force: true });
  symlinkSync(`${folder}/usearch.node`, kernels);
  const defines = ["USEARCH_USE_NUMKONG=1", "NK_DYNAMIC_DISPATCH=1", "USEARCH_USE_OPENMP=0"];
  const narrow = ["NK_NATIVE_F16=0", "NK_NATIVE_BF16=0", "NDEBUG"];
  const { status } = spawnSync(
    `${root}node_modules/.bin/zig`,
    [
      ...["c++", "-std=c++17", "-O3", "-march=native", "-shared", "-fPIC", "-w"],
      ...[...defines, ...narrow].map((define) => `-D${define}`),
      ...[`-I${usearch}/include`, `-I${usearch}/numkong/include`, `-Wl,-rpath,${folder}`],
      ...[`${benchFolder}usearch-filter.cpp`, kernels, "-o", library],
    ],
    { cwd: root, stdio: "inherit" },
  );
  return status === 0;
}

/** Of the file of a graph. */
export async function openFiltered(path: string): Promise<OneOf<FilteredUsearch>> {
  if (process.versions["bun"] === undefined) {
    return { absence: { name, reason: "its binding has no filter, and only Bun has bun:ffi" } };
  }
  if (!compile()) {
    return {
      absence: { name, reason: "its binding has no filter, and its headers do not compile" },
    };
  }
  const { dlopen } = await import("bun:ffi");
  const { symbols } = dlopen(library, {
    filtered_open: { args: ["cstring"], returns: "ptr" },
    filtered_search: { args: ["ptr", "u64", "ptr", "u64", "ptr", "ptr"], returns: "u64" },
    filtered_close: { args: ["ptr"], returns: "void" },
  });
  const index = symbols.filtered_open(Buffer.from(`${path}\0`));
  if (index === null) return { absence: { name, reason: `it does not open ${path}` } };
  return {
    peer: {
      search: (query, count, wanted, expansion) => {
        const keys = new BigUint64Array(count);
        const found = symbols.filtered_search(index, expansion, query, count, wanted, keys);
        return Array.from(keys.subarray(0, Number(found)), Number);
      },
      close: () => symbols.filtered_close(index),
    },
  };
}
