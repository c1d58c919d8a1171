/**
 * Rules about one file of code at a time: its width, its functions, its words, its first line.
 */

import ts from "typescript";
import { eachLine, isCode, isShipped, type Rule, type SourceFile } from "./tree.ts";

const columnsMax = 100;
const functionLinesMax = 70;

export const columns: Rule = (files) =>
  eachLine(files.filter(isCode), (line) => {
    const width = [...line].length;
    return width <= columnsMax
      ? undefined
      : `${width} columns: break the line so that it has at most ${columnsMax}`;
  });

export const functionLength: Rule = (files) =>
  files
    .filter((file) => isShipped(file) && isCode(file))
    .flatMap((file) => (file.path.endsWith(".zig") ? zigFunctions(file) : tsFunctions(file)))
    .filter(({ lines }) => lines > functionLinesMax)
    .map(({ path, line, name, lines }) => ({
      path,
      line,
      message: `${name} has ${lines} lines: split it into functions of at most ${functionLinesMax}`,
    }));

interface FunctionSpan {
  path: string;
  line: number;
  name: string;
  lines: number;
}

/**
 * Relies on `zig fmt`, which ends a header and closes a function at the indentation where it began.
 * A function in TitleCase returns a type: its length is that of a struct, and its methods count.
 */
function zigFunctions(file: SourceFile): FunctionSpan[] {
  const lines = file.text.split("\n");
  return lines.flatMap((text, index) => {
    const start = /^(\s*)(?:(?:pub|export|inline|noinline) )*fn ([a-z]\w*)\(/.exec(text);
    if (!start) return [];
    const [, indent = "", name = ""] = start;
    const closes = (line: string, at: number): boolean => at > index && line === `${indent}}`;
    const header = lines.slice(index).find((line) => {
      return /[;{}]$/.test(line) && line.startsWith(indent) && /\S/.test(line[indent.length] ?? "");
    });
    const end = lines.findIndex(closes);
    if (!header?.endsWith("{") || end === -1) return [];
    return [{ path: file.path, line: index + 1, name, lines: end - index + 1 }];
  });
}

function tsFunctions(file: SourceFile): FunctionSpan[] {
  const source = ts.createSourceFile(file.path, file.text, ts.ScriptTarget.Latest, true);
  const spans: FunctionSpan[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && "body" in node && node.body) {
      const first = source.getLineAndCharacterOfPosition(node.getStart()).line;
      const last = source.getLineAndCharacterOfPosition(node.getEnd()).line;
      const name = node.name?.getText() ?? "a function";
      spans.push({ path: file.path, line: first + 1, name, lines: last - first + 1 });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return spans;
}

export const unfinished: Rule = (files) =>
  eachLine(files.filter(isShipped), (line) => {
    const word = /\b(TODO|FIXME|XXX|HACK)\b|console\.log|std\.debug\.print/.exec(line)?.[0];
    return word === undefined
      ? undefined
      : `${word}: finish it or file an issue; the library itself prints nothing`;
  });

export const opensWithDoc: Rule = (files) =>
  files
    .filter((file) => isShipped(file) && isCode(file))
    .filter(({ path, text }) => {
      const body = text.replace(/^#!.*\n/, "");
      return !body.startsWith(path.endsWith(".zig") ? "//! " : "/**\n") && !/^\/\*\* /.test(body);
    })
    .map(({ path }) => {
      const comment = path.endsWith(".zig") ? "//!" : "/** … */";
      return { path, line: 1, message: `begin with ${comment} and say why the file exists` };
    });

export const catchUnreachable: Rule = (files) =>
  eachLine(
    files.filter(({ path }) => /^(zig|test\/zig)\/.*\.zig$/.test(path)),
    (line, index, lines) => {
      if (!/\bcatch unreachable\b/.test(line) || /^\s*\/\//.test(line)) return undefined;
      if (/^\s*\/\//.test(lines[index - 1] ?? "")) return undefined;
      return "catch unreachable: say in a comment on the line above why it cannot fail";
    },
  );

/** Where a name may stand, and what to do with it elsewhere. */
interface Confinement {
  pattern: RegExp;
  within: RegExp;
  allowed: RegExp;
  message: string;
}

const confinements: readonly Confinement[] = [
  {
    pattern: /\bstd\.(posix|os)\b/,
    within: /^zig\/.*\.zig$/,
    // The address-space size and the boundary's lock have no place in the file interface.
    allowed: /^zig\/(os\/.*|kernels\/cpu|c_api\/lock)\.zig$/,
    message: "system calls belong to zig/os/: call the interface of os.zig instead",
  },
  {
    pattern: /(?:\bfrom|\bimport|\brequire|\bimport\(|\bgetBuiltinModule\()[\s(]*["']bun:ffi["']/,
    within: /^src\//,
    allowed: /^src\/native\/bun\.ts$/,
    message: "bun:ffi: only src/native/bun.ts loads it; call native() instead",
  },
  {
    pattern: /\bptr\(/,
    within: /^src\//,
    allowed: /^src\/native\/bun\.ts$/,
    message: "ptr(): a kept pointer reads wrong memory later; pass the typed array itself",
  },
  {
    pattern: /"@langchain\//,
    within: /^src\//,
    allowed: /^src\/sdk\/langchain(-[-\w]+)?\.ts$/,
    message: "only the adapter of a framework imports it: everything else works without",
  },
  {
    pattern: /"@mastra\//,
    within: /^src\//,
    allowed: /^src\/sdk\/mastra(-[-\w]+)?\.ts$/,
    message: "only the adapter of a framework imports it: everything else works without",
  },
  {
    pattern: /from "(ai|openai)"/,
    within: /^src\//,
    allowed: /^src\/sdk\/(ai-sdk|openai)(-[-\w]+)?\.ts$/,
    message: "only the adapter of a framework imports it: everything else works without",
  },
  {
    pattern: /"@(langchain|mastra)\/core"/,
    within: /^src\/sdk\//,
    allowed: /^$/,
    message: "import the part of the framework that is needed, by its subpath",
  },
  {
    pattern: /from "\.\.\//,
    within: /^src\/sdk\//,
    allowed: /^$/,
    message: 'adapters import the public API by its name, "vectorlite"',
  },
];

export const confined: Rule = (files) =>
  confinements.flatMap(({ pattern, within, allowed, message }) =>
    eachLine(
      files.filter(({ path }) => within.test(path) && !allowed.test(path)),
      (line) => (pattern.test(line) && !/^\s*(\/\/|\*)/.test(line) ? message : undefined),
    ),
  );
