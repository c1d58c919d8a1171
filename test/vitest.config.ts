/**
 * How the tests run: the same files on Node and on Bun, each file in a process of its own, so that
 * a test which locks a file or loads the library cannot disturb another one.
 */
import { fileURLToPath } from "node:url";
import type { ViteUserConfig } from "vitest/config";

const config: ViteUserConfig = {
  root: fileURLToPath(new URL("..", import.meta.url)),
  resolve: {
    alias: { vectorlite: fileURLToPath(new URL("../src/index.ts", import.meta.url)) },
  },
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
};

export default config;
