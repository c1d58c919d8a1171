/**
 * The programs of examples/ that no document quotes in full do what their first lines say.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { Database } from "vectorlite";
import { describe, expect, onTestFinished, test } from "vitest";
import { bun, commandOf, example } from "./examples.ts";
import { run, temporaryFolder } from "./helpers.ts";

/** What a program prints, in a folder that is its temp folder too. */
async function output(
  folder: string,
  command: readonly string[],
  environment: NodeJS.ProcessEnv = {},
): Promise<string> {
  const [program = "", ...args] = command;
  const variables = { TMPDIR: folder, OPENAI_API_KEY: "", ...environment };
  const { status, stdout, stderr } = await run(program, args, variables, folder);
  expect(`${status} ${stderr}`, command.join(" ")).toMatch(/^0 /);
  return stdout;
}

describe("the quickstart", () => {
  test("embeds the documentation once, and answers from it", async () => {
    const folder = temporaryFolder();
    const first = await output(folder, [bun, example("quickstart.ts")]);
    expect(first).toMatch(/^Embedded now: [1-9]\d+ in/m);
    expect(first).toMatch(/^\? What does a power loss cost\?/m);
    const second = await output(folder, [bun, example("quickstart.ts")]);
    expect(second).toMatch(/^Embedded now: 0 in/m);
    const [pieces] = /\d+(?= pieces of text)/.exec(second) ?? [];
    expect(second).toContain(`From the cache: ${pieces} of ${pieces}`);
  });

  test("answers from the files that were named, as they are now", async () => {
    const folder = temporaryFolder();
    const ask = (...args: string[]): Promise<string> =>
      output(folder, [bun, example("quickstart.ts"), ...args, "--ask", "a cat on a mat"]);
    await ask();
    writeFileSync(join(folder, "notes.md"), "The cat sat on the mat.");
    const named = await ask("notes.md");
    expect(named).toContain("The file: 1 vectors");
    expect(named).toContain("  The cat sat on the mat.\n  The nearest:\n");
    expect(named).toMatch(/^ {2}0\.\d+ {2}notes\.md: The cat sat on the mat\.\n$/m);
    writeFileSync(join(folder, "notes.md"), "A cat on a mat it was.");
    expect(await ask("notes.md")).not.toContain("The cat sat");
  });

  test("asks OpenAI where there is a key, and only once", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "notes.md"), "One.");
    const asked: string[][] = [];
    const base = await standInForOpenAI((input) => asked.push(input));
    const environment = { OPENAI_API_KEY: "key", OPENAI_BASE_URL: base };
    const command = [bun, example("quickstart.ts"), "notes.md", "--ask", "Two?"];
    for (let round = 0; round < 2; round++) await output(folder, command, environment);
    expect(asked).toEqual([["One."], ["Two?"], ["Two?"]]);
  });
});

/** Speaks OpenAI's protocol; a text becomes a vector of its length. */
async function standInForOpenAI(onRequest: (input: string[]) => void): Promise<string> {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = JSON.parse(Buffer.concat(chunks).toString()) as {
      input: string[];
      dimensions: number;
      encoding_format?: "float" | "base64";
    };
    onRequest(body.input);
    const data = body.input.map((text, index) => {
      const vector = new Float32Array(body.dimensions).fill(text.length);
      const inBase64 = body.encoding_format === "base64";
      const embedding = inBase64 ? Buffer.from(vector.buffer).toString("base64") : [...vector];
      return { index, embedding };
    });
    const usage = { total_tokens: body.input.length };
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ data: data.reverse(), usage }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
}

test("OpenAI's SDK is asked for each distinct text once", async () => {
  const folder = temporaryFolder();
  const asked: string[][] = [];
  const base = await standInForOpenAI((input) => asked.push(input));
  const environment = { OPENAI_API_KEY: "key", OPENAI_BASE_URL: base };
  const command = [bun, example("openai-sdk.ts"), join(folder, "texts.cache")];
  const first = await output(folder, command, environment);
  expect(first).toMatch(/^first run: 2 tokens paid for 3 texts\nsecond run: 0 tokens paid\n/);
  expect(first).toContain("1.000  The cat sat on the mat.");
  const second = await output(folder, command, environment);
  expect(second).toContain("first run: 0 tokens paid");
  expect(asked).toEqual([["The cat sat on the mat.", "A dog slept on the rug."]]);
});

test("OpenAI's embeddings of two models share a file, and are asked for once", async () => {
  const folder = temporaryFolder();
  const printed = "3 1536 256\na cat 1.00\n";
  const command = [bun, example("openai-cached.ts")];
  expect(await output(folder, command)).toBe(`asked for 2\nasked for 1\n${printed}`);
  expect(await output(folder, command)).toBe(printed);
});

test("the AI SDK pays for no text that the cache has", async () => {
  const folder = temporaryFolder();
  for (let round = 0; round < 2; round++) {
    expect(await output(folder, [bun, example("ai-sdk.ts")])).toBe("true\n1536 0\n0\n");
  }
});

test("the AI SDK finds an answer to a question in other words", async () => {
  const printed = await output(temporaryFolder(), [bun, example("ai-sdk-answers.ts")]);
  expect(printed).toMatch(
    /^5 Choose “Forgot password”\.\n0 Choose “Forgot password”\.\n\{\s+score: 0\.8/,
  );
});

test("the serverless handler answers a question that it saw before from the cache", async () => {
  const folder = temporaryFolder();
  const text = await output(folder, [bun, example("serverless-handler.ts")]);
  const answers = text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line.replace(/^\S+ ms /, "")));
  expect(answers.map(({ cached }) => cached)).toEqual([false, true, false]);
  expect(answers[2].similar[0].text).toBe("a small cat");
  const warm = await output(folder, [bun, example("serverless-handler.ts")]);
  expect(warm).not.toContain('"cached":false');
});

test("the Bun server stores documents, finds them, and closes at SIGTERM", async () => {
  const folder = temporaryFolder();
  const server = spawn(bun, [example("bun-server.ts")], {
    env: { ...process.env, PORT: "0", DATABASE: join(folder, "documents.vl") },
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void server.kill());
  const [line] = (await once(server.stdout, "data")) as [Buffer];
  const base = line.toString().replace("listening on ", "").trim();
  const post = (document: object): Promise<Response> =>
    fetch(`${base}documents`, { method: "POST", body: JSON.stringify(document) });
  expect((await post({ id: "1", text: "a cat on a mat", lang: "en" })).status).toBe(201);
  await post({ id: "2", text: "ships at sea" });
  const hits = (await (await fetch(`${base}search?q=cat`)).json()) as { key: string }[];
  expect(hits[0]?.key).toBe("1");
  expect(await (await post({ id: "", text: "nothing" })).json()).toMatchObject({ code: "ERR_KEY" });
  expect(await (await fetch(`${base}documents/2`, { method: "DELETE" })).json()).toEqual({
    deleted: true,
  });
  expect((await fetch(`${base}documents/2`)).status).toBe(404);
  const ended = once(server, "close");
  server.kill("SIGTERM");
  expect((await ended)[0]).toBe(0);
});

test("the search server's Workers find what was just stored, and all end at SIGTERM", async () => {
  const folder = temporaryFolder();
  const path = join(folder, "documents.vl");
  const [program, file] = commandOf("search-server", folder);
  const server = spawn(program, [file], {
    env: { ...process.env, PORT: "0", DATABASE: path, WORKERS: "3" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void server.kill("SIGKILL"));
  const [line] = (await once(server.stdout, "data")) as [Buffer];
  const base = line.toString().replace("listening on ", "").trim();
  const keysOf = async (query: string): Promise<string> => {
    const response = await fetch(`${base}search?${query}`);
    expect(response.status).toBe(200);
    return ((await response.json()) as { key: string }[]).map(({ key }) => key).join();
  };
  for (const [id, lang, year] of [
    ["old", "en", 2001],
    ["new", "en", 2024],
    ["neu", "de", 2025],
  ]) {
    const body = JSON.stringify({ id, text: `${id} cats`, lang, year });
    expect((await fetch(`${base}documents`, { method: "POST", body })).status).toBe(201);
    expect(await keysOf(`q=${id}`)).toMatch(new RegExp(`^${id}`));
  }
  // More requests at once than there are Workers, each with the answer to its own question.
  const asked = ["lang=de", "lang=en&since=2020", "since=2020&lang=en", "lang=fr", "since=2025"];
  const answers = await Promise.all(asked.map((query) => keysOf(`q=cats&${query}`)));
  expect(answers).toEqual(["neu", "new", "new", "", "neu"]);
  const refused = await fetch(`${base}search?q=cats&since=soon`);
  expect(refused.status).toBe(400);
  expect(await refused.json()).toMatchObject({ code: "ERR_INVALID_ARGUMENT" });
  const broken = await fetch(`${base}documents`, { method: "POST", body: '{ "id": ' });
  expect(broken.status).toBe(400);
  expect((await fetch(`${base}nothing`)).status).toBe(404);
  const ended = once(server, "close");
  server.kill("SIGTERM");
  expect(await ended).toEqual([0, null]);
  using db = new Database(path, { readonly: true });
  expect(db.collection("documents").size).toBe(3);
});

test("the single binary keeps notes where neither Bun nor a package is", async () => {
  const folder = temporaryFolder();
  const binary = join(folder, "notes");
  const source = example("single-binary.ts");
  await output(folder, [bun, "build", "--compile", source, "--outfile", binary]);
  expect(await output(folder, [binary, "add", "the quick brown fox"])).toBe("1 notes\n");
  expect(await output(folder, [binary, "add", "a slow snail"])).toBe("2 notes\n");
  expect(await output(folder, [binary, "find", "a fast fox"])).toMatch(/^0\.\d{3} {2}the quick/);
}, 60_000);
