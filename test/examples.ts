/**
 * How the programs of examples/ are run: on Bun as they are, on Node as JavaScript.
 */

import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { root } from "./helpers.ts";

const isBun = process.versions["bun"] !== undefined;

/** Bun, for what runs on nothing else. */
export const bun: string = isBun ? process.execPath : join(root, "node_modules/bun/bin/bun.exe");

/** The path of an example's file. */
export function example(name: string): string {
  return join(root, "examples", name);
}

/**
 * The command that runs an example on the runtime of this test. For Node its types are taken out
 * here, as Node 20 does not do it, and the package that it imports is the built one.
 *
 * @param name - Without `.ts`.
 * @param folder - Where a folder `programs` may be made.
 */
export function commandOf(name: string, folder: string): [program: string, file: string] {
  if (isBun) return [bun, example(`${name}.ts`)];
  const programs = join(folder, "programs");
  mkdirSync(join(programs, "node_modules"), { recursive: true });
  symlinkSync(root, join(programs, "node_modules/vectorlite"), "junction");
  for (const scope of ["@langchain", "@mastra"]) {
    const [installed, linked] = [root, programs].map((base) => join(base, "node_modules", scope));
    symlinkSync(installed as string, linked as string, "junction");
  }
  for (const source of [name, "hashing-embedder"]) {
    const text = readFileSync(example(`${source}.ts`), "utf8");
    const { outputText } = ts.transpileModule(text, {
      compilerOptions: {
        target: ts.ScriptTarget.ES2022,
        module: ts.ModuleKind.ESNext,
        rewriteRelativeImportExtensions: true,
      },
    });
    writeFileSync(join(programs, `${source}.js`), outputText);
  }
  writeFileSync(join(programs, "package.json"), '{ "type": "module" }');
  return [process.execPath, join(programs, `${name}.js`)];
}
