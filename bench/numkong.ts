/**
 * How does our dot product compare with the one of usearch, and with reading memory?
 *
 * usearch's kernels are NumKong's, whose source its package carries; JavaScript cannot call one
 * without paying a hundred times its time for the call. So a library of one function is compiled
 * from that source, for this very machine, and the Zig bench of our kernels loads it: the same
 * rounds, rows and clock for both. Ours compares a query with a run of rows in one call, as a scan
 * does; NumKong has no such function, and is called once for each row, as usearch does.
 * `bun bench/run.ts numkong`
 */

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { benchFolder, dataFolder } from "./data.ts";
import { print } from "./harness.ts";

const root: string = fileURLToPath(new URL("..", `file://${benchFolder}`));
const headers = `${benchFolder}node_modules/usearch/numkong/include`;
const library = `${dataFolder}numkong.so`;
const zig = `${root}node_modules/.bin/zig`;

function run(command: string, args: readonly string[]): void {
  const { status } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} failed`);
}

function compile(): void {
  mkdirSync(dataFolder, { recursive: true });
  const flags = ["-O3", "-march=native", "-shared", "-fPIC", `-I${headers}`];
  run(zig, ["cc", ...flags, `${benchFolder}numkong.c`, "-o", library]);
}

if (existsSync(headers)) {
  compile();
  for (const dimension of ["768", "1536"]) {
    print(`\n## numkong: one query with rows of ${dimension}\n`);
    run(zig, ["build", "bench-kernels", "--", dimension, "dot", library]);
  }
} else print("left out: NumKong: usearch is not installed, or its package has no source");
