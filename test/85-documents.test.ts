/**
 * The programs that documents quote do what those say, also when they find what they wrote the last
 * time. That the documents quote them word for word is a rule of tidy.
 */

import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { expect, test } from "vitest";
import { bun, commandOf } from "./examples.ts";
import { root, run, temporaryFolder } from "./helpers.ts";
import { typedoc } from "./tools.ts";

/** What a program prints, run in a folder. */
async function output(command: string, args: string[], folder: string): Promise<string> {
  const { status, stdout, stderr } = await run(command, args, {}, folder);
  expect(`${status} ${stderr}`, args.join(" ")).toMatch(/^0 /);
  return stdout + stderr;
}

/** What an example prints in a folder on the runtime of this test. */
async function outputOfExample(name: string, folder: string): Promise<string> {
  const [program, file] = commandOf(name, folder);
  return output(program, [file], folder);
}

/** What an example prints twice: in a new folder, and where it finds what it wrote. */
async function expectTwice(name: string, printed: string): Promise<void> {
  const folder = temporaryFolder();
  expect(await outputOfExample(name, folder)).toBe(printed);
  rmSync(join(folder, "programs"), { recursive: true, force: true });
  expect(await outputOfExample(name, folder)).toBe(printed);
}

test("the README's cache finds the question that was asked before", async () => {
  const folder = temporaryFolder();
  for (let round = 0; round < 2; round++) {
    const lines = (await output(bun, [join(root, "examples/embedding-cache.ts")], folder)).split(
      "\n",
    );
    expect(lines[0]).toMatch(/^0\.\d{3} How do I reset my password\?$/);
    expect(lines[3]).toBe("How do I reset my password?");
    expect(lines).toContain("  records: 4,");
  }
});

test("the page about the embedding cache tells what its caches do", async () => {
  const printed =
    "4 3\n3 0 6\n1 true\ndefault,queries\nERR_MODEL\n64 256\ntrue true\ntrue\nfalse\n1\n" +
    "ERR_MISS\ndefault: a dog\n";
  await expectTwice("cache-options", printed);
});

test("the README's database answers, and its snapshot stays", async () => {
  const folder = temporaryFolder();
  for (let round = 0; round < 2; round++) {
    const text = await output(bun, [join(root, "examples/vector-database.ts")], folder);
    expect(text).toBe("0.997 cats On cats\n0.959 dogs On dogs\ncats 1\ntrue false\n");
  }
});

test("the page about searching tells what its search finds", async () => {
  await expectTwice("search", "true\n7 8\ntrue\ncodes true true\ntrue\n");
});

test("the page about collections tells what its collection does", async () => {
  const printed =
    "undefined\nundefined\ntrue [ 1, 0, 1 ]\ncat\n1 2\nERR_MODEL\n2 2\narchive 2\ntrue copies\n";
  await expectTwice("collections", printed);
});

test("the page about filters tells what its filters match", async () => {
  const printed = "cats at sea\n4 2\n1 2\n1 2\n3\n1\nERR_INVALID_ARGUMENT\n1\n1 3\n2\n";
  await expectTwice("filters", printed);
});

test("the page about transactions tells what its transactions leave", async () => {
  await expectTwice("transactions", "2 2\n0\nERR_DIMENSION 2\ntale 0,tale 2\n");
});

test("the page about snapshots tells what its snapshot sees", async () => {
  await expectTwice("snapshots", "true false true\n4 1 0\n1 true\n0\n5\n");
});

test("the page about the semantic cache tells what its cache finds and measures", async () => {
  const answer = "Choose “Forgot password”.\n";
  const printed =
    `asked: How do I reset my password?\n${answer}${answer}${answer}` +
    "How do I reset my password? false\nundefined\nundefined\n0.88 0.75 0\n0.53 false 268\n";
  await expectTwice("semantic-cache", printed);
});

test("the page about LangChain tells what its stores find", async () => {
  const printed = "256 256 256\nships ships at sea 3\ncats,ships\n1\n256 undefined\n";
  await expectTwice("langchain", printed);
});

test("the page about Mastra tells what its index finds", async () => {
  await expectTwice("mastra", "home 1\nsea 0\n1\nERR_INVALID_ARGUMENT\n");
});

test("the README's rescue names the damaged vector and brings back the others", async () => {
  const folder = temporaryFolder();
  for (let round = 0; round < 2; round++) {
    const text = await output(bun, [join(root, "examples/rescue.ts")], folder);
    expect(text).toMatch(/^\d+ vector .*checksum/m);
    expect(text).toMatch(/^false \d+ \d+ \d+$/m);
    expect(text).toMatch(/^2 1 0$/m);
  }
});

test("the application of GETTING_STARTED embeds each text once", async () => {
  const folder = temporaryFolder();
  const app = join(root, "examples/app.mjs");
  const first = await output(process.execPath, [app], folder);
  expect(first.match(/^embedding /gm)).toHaveLength(2);
  expect(first).toContain("score: 1");
  expect(await output(process.execPath, [app], folder)).not.toContain("embedding ");
});

test("the test of GETTING_STARTED passes", async () => {
  const text = await output(bun, ["test", join(root, "examples/cache.test.ts")], temporaryFolder());
  expect(text).toContain("1 pass");
});

test("docs/api is what the comments of the public types say: npm run docs", async () => {
  const folder = temporaryFolder();
  await output(process.execPath, [typedoc, "--logLevel", "Warn", "--out", folder], root);
  const texts = (from: string): Record<string, string> => {
    const entries = readdirSync(from, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile());
    return Object.fromEntries(
      files.map(({ parentPath, name }) => {
        const path = join(parentPath, name);
        return [relative(from, path), readFileSync(path, "utf8")];
      }),
    );
  };
  expect(texts(folder)).toEqual(texts(join(root, "docs/api")));
}, 120_000);
