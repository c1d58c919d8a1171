/**
 * The programs that README.md and GETTING_STARTED.md quote do what those say, also when they find
 * what they wrote the last time. That the documents quote them word for word is a rule of tidy.
 */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { root, run, temporaryFolder } from "./helpers.ts";
import { typedoc } from "./tools.ts";

const isBun = process.versions["bun"] !== undefined;
const bun: string = isBun ? process.execPath : join(root, "node_modules/bun/bin/bun.exe");

/** What a program prints, run in a folder. */
async function output(command: string, args: string[], folder: string): Promise<string> {
  const { status, stdout, stderr } = await run(command, args, {}, folder);
  expect(`${status} ${stderr}`, args.join(" ")).toMatch(/^0 /);
  return stdout + stderr;
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

test("the README's database answers, and its snapshot stays", async () => {
  const folder = temporaryFolder();
  for (let round = 0; round < 2; round++) {
    const text = await output(bun, [join(root, "examples/vector-database.ts")], folder);
    expect(text).toBe("0.997 cats On cats\n0.959 dogs On dogs\ntrue false\n");
  }
});

test("the page about searching tells what its search finds", async () => {
  const folder = temporaryFolder();
  for (let round = 0; round < 2; round++) {
    const text = await output(bun, [join(root, "examples/search.ts")], folder);
    expect(text).toBe("true\n7 8\ntrue\ncodes true true\ntrue\n");
  }
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
    const names = readdirSync(from).sort();
    return Object.fromEntries(names.map((name) => [name, readFileSync(join(from, name), "utf8")]));
  };
  expect(texts(folder)).toEqual(texts(join(root, "docs/api")));
}, 120_000);
