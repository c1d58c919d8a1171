/**
 * The repository's own rules, executed: each is shown first that it catches what it forbids, then
 * that the repository keeps it. A message says what to do; the rules live in test/tidy/.
 */

import { describe, expect, test } from "vitest";
import * as code from "./tidy/code_rules.ts";
import * as imports from "./tidy/import_rules.ts";
import * as project from "./tidy/project_rules.ts";
import { type Problem, type Rule, readTree, type SourceFile } from "./tidy/tree.ts";

const tree: SourceFile[] = readTree();

/** Files by path; a bad example is spelled so that no rule finds it in this file. */
function files(texts: Readonly<Record<string, string>>): SourceFile[] {
  return Object.entries(texts).map(([path, text]) => ({ path, text }));
}

function show({ path, line, message }: Problem): string {
  return `${path}${line > 0 ? `:${line}` : ""}: ${message}`;
}

function promise(
  name: string,
  rule: Rule,
  bad: Readonly<Record<string, string>>[],
  good: Readonly<Record<string, string>>[] = [],
): void {
  describe(name, () => {
    test.each(bad.map((texts, index) => [index + 1, texts] as const))(
      "catches bad example %i",
      (_, texts) => {
        expect(rule(files(texts)).map(show)).toHaveLength(1);
      },
    );
    test.each(good.map((texts, index) => [index + 1, texts] as const))(
      "accepts good example %i",
      (_, texts) => {
        expect(rule(files(texts)).map(show)).toEqual([]);
      },
    );
    test("holds in the repository", () => {
      expect(rule(tree).map(show)).toEqual([]);
    });
  });
}

const lines = (count: number): string => "    call();\n".repeat(count);

test("the repository was read", () => {
  const paths = tree.map(({ path }) => path);
  expect(paths).toEqual(
    expect.arrayContaining(["package.json", ".npmrc", ".ci/run", "src/index.ts", "build.zig"]),
  );
});

promise(
  "code is at most 100 columns wide",
  code.columns,
  [{ "src/a.ts": `// ${"é".repeat(98)}` }, { "test/zig/a.zig": `//! ${"x".repeat(97)}` }],
  [{ "src/a.ts": `// ${"é".repeat(97)}` }, { "src/abi.generated.ts": "x".repeat(200) }],
);

promise(
  "functions have at most 70 lines",
  code.functionLength,
  [
    { "zig/a.zig": `pub fn long() void {\n${lines(69)}}\n` },
    { "zig/a.zig": `    inline fn long(\n        a: u8,\n    ) void {\n${lines(67)}    }\n` },
    { "src/a.ts": `export function long() {\n${lines(69)}}\n` },
    { "src/a.ts": `const long = () => {\n${lines(69)}};\n` },
    { "src/a.ts": `class A {\n  long() {\n${lines(69)}  }\n}\n` },
  ],
  [
    { "zig/a.zig": `fn short() void {\n${lines(68)}}\n` },
    { "zig/a.zig": `extern fn long(\n    a: u8,\n) callconv(.winapi) void;\n${lines(99)}}\n` },
    { "zig/a.zig": `fn Long() type {\n${lines(100)}}\n` },
    { "zig/a.zig": `test "long" {\n${lines(100)}}\n` },
    { "zig/a.zig": `const table = .{\n${lines(100)}};\n` },
  ],
);

promise(
  "nothing unfinished and no print in shipped code",
  code.unfinished,
  [
    { "zig/a.zig": `// ${"TO"}${"DO"}: later` },
    { "src/a.ts": "console.log(1);" },
    { "zig/a.zig": 'std.debug.print("", .{});' },
  ],
  [{ "examples/a.ts": "console.log(1);" }],
);

promise(
  "shipped files open with a doc comment",
  code.opensWithDoc,
  [
    { "zig/a.zig": 'const std = @import("std");' },
    { "zig/a.zig": "// A plain comment." },
    { "src/a.ts": "export {};" },
  ],
  [{ "zig/a.zig": "//! Why." }, { "src/a.ts": "/** Why. */" }, { "src/b.ts": "/**\n * Why.\n */" }],
);

promise(
  "catch unreachable says why",
  code.catchUnreachable,
  [{ "zig/a.zig": "\n    x() catch unreachable;" }],
  [{ "zig/a.zig": "    // The buffer is large enough.\n    x() catch unreachable;" }],
);

promise(
  "system calls, bun:ffi, pointers and frameworks stay in their files",
  code.confined,
  [
    { "zig/database.zig": "const linux = std.os.linux;" },
    { "zig/database.zig": "std.posix.close(fd);" },
    { "src/open.ts": 'import { dlopen } from "bun:ffi";' },
    { "src/native/node.ts": 'const ffi = process.getBuiltinModule("bun:ffi");' },
    { "src/native/native.ts": "const address = ptr(view);" },
    { "src/sdk/semantic-cache.ts": 'import type OpenAI from "openai";' },
    { "src/cache.ts": 'import type { Embeddings } from "@langchain/core/embeddings";' },
    { "src/sdk/mastra.ts": 'import { Document } from "@langchain/core/documents";' },
    { "src/sdk/similarity.ts": 'import { MastraVector } from "@mastra/core/vector";' },
    { "src/sdk/langchain.ts": 'import { Document } from "@langchain/core";' },
    { "src/sdk/mastra.ts": 'import { VectorLiteError } from "../errors.ts";' },
  ],
  [
    { "zig/os/file_posix.zig": "const linux = std.os.linux;" },
    { "src/native/bun.ts": 'const ffi = process.getBuiltinModule("bun:ffi");' },
    { "src/native/native.ts": 'return "bun:ffi";' },
    { "src/sdk/ai-sdk-answers.ts": 'import type { LanguageModelMiddleware } from "ai";' },
    { "src/sdk/langchain-store.ts": 'import { BaseStore } from "@langchain/core/stores";' },
    { "src/sdk/mastra-filter.ts": 'import type { A } from "@mastra/core/vector/filter";' },
  ],
);

promise(
  "Zig imports point downward",
  imports.zigLayering,
  [
    { "zig/format.zig": 'const os = @import("os/os.zig");', "zig/os/os.zig": "" },
    { "zig/os/file.zig": 'const roots = @import("../roots.zig");', "zig/roots.zig": "" },
    { "zig/c_api.zig": 'const database = @import("database.zig");', "zig/database.zig": "" },
    { "zig/unknown_noun.zig": "" },
    {
      "zig/roots.zig": '_ = @import("image.zig");',
      "zig/image.zig": '_ = @import("roots.zig");',
    },
  ],
  [{ "zig/roots.zig": '_ = @import("format.zig");', "zig/format.zig": "" }],
);

promise(
  "TypeScript imports point downward",
  imports.tsLayering,
  [
    { "src/errors.ts": 'import { a } from "./open.ts";', "src/open.ts": "" },
    { "src/open.ts": 'import {\n  a,\n} from "./index.ts";', "src/index.ts": "" },
    { "src/open.ts": 'import { a } from "./native/locate.ts";', "src/native/locate.ts": "" },
    { "src/unknown-noun.ts": "" },
    {
      "src/open.ts": 'import { a } from "./scan.ts";',
      "src/scan.ts": 'import { b } from "./open.ts";',
    },
  ],
  [
    {
      "src/open.ts": 'import { a } from "./scan.ts";',
      "src/scan.ts": 'import type { B } from "./open.ts";',
    },
  ],
);

promise(
  "every Zig file is reachable from a root",
  imports.zigReachable,
  [
    {
      "zig/vectorlite.zig": '_ = @import("database.zig");',
      "zig/database.zig": "",
      "zig/b.zig": "",
    },
  ],
  [{ "zig/vectorlite.zig": '_ = @import("os/os.zig");', "zig/os/os.zig": "" }],
);

const example = "// #region open\n  const a = 1;\n\n    a;\n// #endregion\nb;\n";

promise(
  "snippets in documents are the text of examples",
  project.readmeSnippets,
  [
    { "README.md": "```ts\nconst a = 1;\n```\n" },
    { "docs/a.md": "```js\nconst a = 1;\n```\n" },
    { "README.md": "<!-- from examples/a.ts -->\n```ts\nc;\n```\n", "examples/a.ts": "b;\n" },
    { "README.md": "<!-- from examples/a.ts#no -->\n```ts\nb;\n```\n", "examples/a.ts": example },
  ],
  [
    { "README.md": "<!-- from examples/a.ts -->\n```ts\nb;\n```\n", "examples/a.ts": "b;\n" },
    {
      "README.md": "<!-- from examples/a.ts#open -->\n\n```ts\nconst a = 1;\n\n  a;\n```\n",
      "examples/a.ts": example,
    },
    { "README.md": "```sh\nnpm install\n```\n" },
  ],
);

promise(
  "a document has one title",
  project.oneTitle,
  [{ "docs/a.md": "# One\n\n# Two\n" }, { "docs/a.md": "## None\n" }],
  [{ "docs/a.md": "# One\n\n```sh\n# a comment\n```\n\n## Part\n" }],
);

promise(
  "links between documents lead somewhere",
  project.linksLead,
  [{ "docs/a.md": "[x](b.md)" }, { "docs/a.md": "[x](../zig/)", "docs/zig/b.zig": "" }],
  [
    { "docs/a.md": "[x](../LICENSE) [y](../zig/#part)", "zig/b.zig": "", LICENSE: "" },
    { "README.md": "[x](https://example.org) [y](#part) [z](docs/a.md#part)", "docs/a.md": "" },
  ],
);

promise(
  "every error code has a test that produces it",
  project.codesTested,
  [{ "src/errors.ts": '"ERR_NO_SPACE"', "test/a.test.ts": "" }],
  [
    { "src/errors.ts": '"ERR_NO_SPACE"', "test/a.test.ts": 'code: "ERR_NO_SPACE"' },
    { "src/errors.ts": '"ERR_IO"', "zig/a.zig": "expectError(error.InputOutput, x());" },
  ],
);

promise(
  "no path or registry of one machine",
  project.noMachine,
  [
    { "docs/a.md": `see ${"/ro"}${"ot"}/x` },
    { "package-lock.json": `"https://${"registry"}.example.org/x"` },
  ],
  [{ "docs/a.md": "see ./work/x and example/home/page" }],
);

promise(
  "the lockfiles name no host and agree",
  project.lockfiles,
  [
    {
      "package-lock.json": '{"packages":{"node_modules/a":{"version":"1.0.0","resolved":"x"}}}',
      "bun.lock": '    "a": ["a@1.0.0", "", {}, ""],',
    },
    {
      "package-lock.json": '{"packages":{"node_modules/a":{"version":"1.0.0"}}}',
      "bun.lock": '    "a": ["a@1.0.0", "", {}, ""],\n    "b": ["b@1.0.0", "", {}, ""],',
    },
  ],
  [
    {
      "package-lock.json": '{"packages":{"node_modules/a-v1":{"name":"a","version":"1.0.0"}}}',
      "bun.lock": '    "a-v1": ["a@1.0.0", "", {}, ""],',
    },
  ],
);
