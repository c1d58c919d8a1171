/**
 * How the tests run: the same files on Node and on Bun, each file in a process of its own, so that
 * a test which locks a file or loads the library cannot disturb another one.
 */
import { fileURLToPath } from "node:url";
import type { ViteUserConfig } from "vitest/config";

function source(path: string): string {
  return fileURLToPath(new URL("../src/", import.meta.url)) + path;
}

const config: ViteUserConfig = {
  root: fileURLToPath(new URL("..", import.meta.url)),
  resolve: {
    alias: [
      { find: /^vectorlite$/, replacement: source("index.ts") },
      { find: /^vectorlite\/(.+)$/, replacement: source("sdk/$1.ts") },
    ],
  },
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
};

export default config;
