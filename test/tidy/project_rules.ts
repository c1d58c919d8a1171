/**
 * Rules about the repository as a whole: its documents, its error codes, its lockfiles, and traces
 * of the machine that it was written on.
 */

import { posix } from "node:path";
import { eachLine, type Problem, type Rule, type SourceFile } from "./tree.ts";

/** Fenced code blocks of a document, each with the comment line before it. */
interface Snippet {
  /** Of the opening fence, from 1. */
  line: number;
  language: string;
  /** `examples/x.ts` or `examples/x.ts#region`, where the comment before names one. */
  source: string | undefined;
  text: string;
}

function snippets(document: SourceFile): Snippet[] {
  const lines = document.text.split("\n");
  const found: Snippet[] = [];
  for (let at = 0; at < lines.length; at++) {
    const fence = /^```(\w*)/.exec(lines[at] ?? "");
    if (!fence) continue;
    const end = lines.findIndex((line, index) => index > at && line.startsWith("```"));
    const before = lines.slice(0, at).findLast((line) => line.trim() !== "") ?? "";
    const stop = end === -1 ? lines.length : end;
    found.push({
      line: at + 1,
      language: fence[1] ?? "",
      source: /^<!-- from (\S+) -->$/.exec(before)?.[1],
      text: lines.slice(at + 1, stop).join("\n"),
    });
    at = stop;
  }
  return found;
}

/** A whole file, or what stands between `// #region name` and `// #endregion`, dedented. */
function excerpt(files: readonly SourceFile[], source: string): string | undefined {
  const [path, region] = source.split("#");
  const text = files.find((file) => file.path === path)?.text;
  if (text === undefined || region === undefined) return text?.trimEnd();
  const lines = text.split("\n");
  const start = lines.findIndex((line) => line.trim() === `// #region ${region}`);
  const end = lines.findIndex((line, at) => at > start && line.trim() === "// #endregion");
  if (start === -1 || end === -1) return undefined;
  const body = lines.slice(start + 1, end);
  const indents = body.filter((line) => line !== "").map((line) => line.search(/\S/));
  const indent = Math.min(...indents);
  return body.map((line) => line.slice(indent)).join("\n");
}

export const readmeSnippets: Rule = (files) =>
  files
    .filter(({ path }) => /^(README|GETTING_STARTED|docs\/(sdks\/)?[^/]+)\.md$/.test(path))
    .flatMap((document) =>
      snippets(document)
        .filter(({ language }) => /^(ts|typescript|js|javascript)$/.test(language))
        .flatMap(({ line, source, text }): Problem[] => {
          const at = { path: document.path, line };
          if (source === undefined) {
            const message = "write <!-- from examples/file.ts#region --> above this snippet";
            return [{ ...at, message }];
          }
          const expected = excerpt(files, source);
          if (expected === undefined) return [{ ...at, message: `there is no ${source}` }];
          if (expected === text) return [];
          return [{ ...at, message: `differs from ${source}: copy the example's text here` }];
        }),
    );

export const oneTitle: Rule = (files) =>
  files
    .filter(({ path }) => path.endsWith(".md"))
    .flatMap(({ path, text }) => {
      const prose = text.replace(/^```[\s\S]*?^```/gm, "");
      const titles = prose.split("\n").filter((line) => line.startsWith("# ")).length;
      const message = `${titles} titles: a document has exactly one "# Title"`;
      return titles === 1 ? [] : [{ path, line: 0, message }];
    });

/** Links to files and folders of the repository; what one names within a file is not looked for. */
export const linksLead: Rule = (files) => {
  const isThere = (path: string): boolean =>
    files.some((file) => file.path === path || file.path.startsWith(`${path}/`));
  return files
    .filter(({ path }) => path.endsWith(".md"))
    .flatMap((document) =>
      eachLine([document], (line) => {
        const lost = [...line.matchAll(/\]\(([^)#\s]+)/g)]
          .map((match) => match[1] ?? "")
          .filter((target) => !/^\w+:/.test(target))
          .find((target) => {
            const path = posix.join(posix.dirname(document.path), target);
            return !isThere(path.replace(/\/$/, ""));
          });
        return lost === undefined ? undefined : `${lost}: the link leads nowhere; correct it`;
      }),
    );
};

/** The engine's name of a code, where it is not the code's own words. */
const zigNames: Readonly<Record<string, string>> = {
  ERR_READONLY: "ReadOnly",
  ERR_NOT_A_DATABASE: "NotADatabase",
  ERR_IO: "InputOutput",
};

function zigName(code: string): string {
  const words = code.slice("ERR_".length).toLowerCase().split("_");
  const camel = words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join("");
  return zigNames[code] ?? camel;
}

/** A code is tested where a test expects it by name, in TypeScript or in Zig. */
export const codesTested: Rule = (files) => {
  const errors = files.find(({ path }) => path === "src/errors.ts")?.text ?? "";
  const codes = new Set([...errors.matchAll(/"(ERR_[A-Z_]+)"/g)].map((match) => match[1] ?? ""));
  const tests = files
    .filter(({ path }) => /^test\/.*\.ts$/.test(path) && !path.startsWith("test/tidy"))
    .map(({ text }) => text)
    .join("\n");
  const zig = files.filter(({ path }) => path.endsWith(".zig")).map(({ text }) => text);
  return [...codes]
    .filter((code) => !tests.includes(`"${code}"`))
    .filter((code) => !zig.some((text) => text.includes(`expectError(error.${zigName(code)}`)))
    .map((code) => ({
      path: "src/errors.ts",
      line: 0,
      message: `no test produces ${code}: write one that makes it happen`,
    }));
};

export const noMachine: Rule = (files) =>
  eachLine(files, (line) => {
    const trace = /(?<![\w.~-])\/(work|root|home|farm)\/|registry\.[\w.]+\.(org|com|io)/.exec(line);
    return trace === null
      ? undefined
      : `${trace[0]}: a path or registry of one machine; use a relative path, name no host`;
  });

export const lockfiles: Rule = (files) => {
  const npm = files.find(({ path }) => path === "package-lock.json");
  const bun = files.find(({ path }) => path === "bun.lock");
  if (!npm || !bun) return [];
  const { packages } = JSON.parse(npm.text) as {
    packages: Record<string, { name?: string; version?: string; resolved?: string }>;
  };
  const locked = Object.entries(packages).filter(([path]) => path !== "");
  const hosts = locked
    .filter(([, { resolved }]) => resolved !== undefined)
    .map(([path]) => ({
      path: npm.path,
      line: 0,
      message: `${path} names its address: remove the lockfile and install with this .npmrc`,
    }));
  // One that is installed under another name says its own.
  const nameOf = (path: string): string => path.slice(path.lastIndexOf("node_modules/") + 13);
  const inNpm = new Set(
    locked.map(([path, { name, version }]) => `${name ?? nameOf(path)}@${version}`),
  );
  const entries = bun.text.matchAll(/^ {4}"[^"]+": \["([^"]+)"/gm);
  const inBun = new Set([...entries].map((match) => match[1] ?? ""));
  const different = [...inNpm]
    .filter((name) => !inBun.has(name))
    .concat([...inBun].filter((name) => !inNpm.has(name)))
    .map((name) => ({
      path: bun.path,
      line: 0,
      message: `${name} is in one lockfile only: remove bun.lock and run bun install`,
    }));
  return [...hosts, ...different];
};
