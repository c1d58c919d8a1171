/**
 * The repository as the tidy rules see it: paths and texts, and the problems they report.
 */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export interface SourceFile {
  /** From the top of the repository, with forward slashes. */
  path: string;
  text: string;
}

export interface Problem {
  path: string;
  /** From 1; 0 where the whole file is meant. */
  line: number;
  /** What is wrong, and what to do about it. */
  message: string;
}

/** Looks at every file at once, because some rules are about how files fit together. */
export type Rule = (files: readonly SourceFile[]) => Problem[];

const root: string = fileURLToPath(new URL("../..", import.meta.url));
const generatedFolders: ReadonlySet<string> = new Set([
  ...[".git", ".zig-cache", "coverage", "dist", "node_modules", "platforms"],
  ...["results", "zig-out", "zig-pkg"],
]);
const textNames: RegExp =
  /(\.(ts|mjs|zig|md|json|lock|toml|yml|sh)|\/run|LICENSE|rc|\..*(config|attr).*)$/;

/** Every text file of the repository; what builds write is left out. */
export function readTree(): SourceFile[] {
  const files: SourceFile[] = [];
  const visit = (folder: string): void => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) {
        if (!generatedFolders.has(entry.name)) visit(path);
      } else if (entry.isFile() && textNames.test(`/${path}`)) {
        files.push({ path, text: readFileSync(join(root, path), "utf8").replaceAll("\r\n", "\n") });
      }
    }
  };
  visit("");
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** The code that ships: the engine and the TypeScript in front of it. */
export function isShipped(file: SourceFile): boolean {
  return /^(zig|src)\/.*\.(zig|ts)$/.test(file.path);
}

/** All code, the tests and benches too, but not what a program wrote. */
export function isCode(file: SourceFile): boolean {
  return /\.(zig|ts)$/.test(file.path) && !file.path.endsWith(".generated.ts");
}

/** One problem for each line that `find` objects to. */
export function eachLine(
  files: readonly SourceFile[],
  find: (line: string, index: number, lines: readonly string[]) => string | undefined,
): Problem[] {
  return files.flatMap((file) => {
    const lines = file.text.split("\n");
    return lines.flatMap((line, index) => {
      const message = find(line, index, lines);
      return message === undefined ? [] : [{ path: file.path, line: index + 1, message }];
    });
  });
}
