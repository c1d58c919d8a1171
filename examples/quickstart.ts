/**
 * The main job: real texts are split, embedded once, and answered from the cache ever after.
 *
 *     bun examples/quickstart.ts                      this project's own documentation
 *     bun examples/quickstart.ts notes.md book.txt    any text files
 *     bun examples/quickstart.ts --ask "how durable is it?"
 *
 * With OPENAI_API_KEY set the vectors are OpenAI's; without it they come from a small embedder that
 * works offline (hashing-embedder.ts). Run it twice: the second time nothing is embedded. In a
 * terminal it goes on to answer what you type. The cache lies in the temp folder, one for each
 * choice of files, or where --cache says.
 */

import { readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { EmbedCache } from "vectorlite";
import { hashingEmbedder, hashingModel } from "./hashing-embedder.ts";
import { openaiEmbedder, openaiModel } from "./openai-embedder.ts";

type Embed = (
  texts: readonly string[],
) => readonly (Float32Array | number[])[] | Promise<readonly (Float32Array | number[])[]>;

const dimension = 1536;
const print = (line = ""): void => void process.stdout.write(`${line}\n`);

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    ask: { type: "string", multiple: true },
    cache: { type: "string" },
  },
});

const questions = values.ask ?? [
  "What does a power loss cost?",
  "How many processes may write at a time?",
  "Which error does a wrong dimension give?",
];

async function main(): Promise<void> {
  const apiKey = process.env["OPENAI_API_KEY"];
  const model = apiKey ? openaiModel : hashingModel;
  const embed: Embed = apiKey ? openaiEmbedder(apiKey, dimension) : hashingEmbedder(dimension);
  const files = positionals.length > 0 ? positionals : documentation();
  const path = values.cache ?? join(tmpdir(), await nameOf(files, model));
  const origins = originsOf(files);
  const chunks = [...origins.keys()];
  if (chunks.length === 0) throw new Error(`There is no text in ${files.join(", ")}.`);
  print(
    `${files.length === 1 ? "1 file" : `${files.length} files`}, ${chunks.length} pieces of text`,
  );
  print(
    apiKey
      ? `Embedder: ${model} of OpenAI`
      : `Embedder: ${model}, offline; it compares words, not meaning (set OPENAI_API_KEY for more)`,
  );

  using cache = new EmbedCache({ path, dimension, model });
  await fill(cache, chunks, embed);
  forgetOthers(cache, chunks);
  const ask = (question: string): Promise<void> => answer(cache, embed, origins, question);
  for (const question of questions) await ask(question);
  if (process.stdin.isTTY && values.ask === undefined) await converse(ask);
}

/** The pieces of text, each with the file that it is from; what is there twice has the first. */
function originsOf(files: readonly string[]): Map<string, string> {
  const origins = new Map<string, string>();
  for (const file of files) {
    for (const piece of split(readFileSync(file, "utf8"))) {
      if (!origins.has(piece)) origins.set(piece, file);
    }
  }
  return origins;
}

/** Embeds what is new, and says what was saved. */
async function fill(cache: EmbedCache, chunks: readonly string[], embed: Embed): Promise<void> {
  let computed = 0;
  let embedding = 0;
  const started = performance.now();
  const vectors = await cache.getOrComputeMany(chunks, async (missing) => {
    const before = performance.now();
    const made = await embed(missing);
    embedding = performance.now() - before;
    computed = missing.length;
    return made;
  });
  cache.flush();
  const total = performance.now() - started;
  print(`Embedded now: ${computed} in ${embedding.toFixed(0)} ms`);
  print(
    `From the cache: ${vectors.length - computed} of ${vectors.length}; stored and read in ` +
      `${(total - embedding).toFixed(1)} ms`,
  );
  const { fileSize, records } = cache.stats();
  const megabytes = (fileSize / 1e6).toFixed(1);
  print(`The file: ${records} vectors of ${dimension} dimensions, ${megabytes} MB`);
}

/** Answers come from what the files say now, not from what they said at an earlier run. */
function forgetOthers(cache: EmbedCache, chunks: readonly string[]): void {
  const now = new Set(chunks);
  for (const key of cache.keys()) if (!now.has(key)) cache.delete(key);
}

/** The closest piece of text if there is one that is close, and the three nearest. */
async function answer(
  cache: EmbedCache,
  embed: Embed,
  origins: ReadonlyMap<string, string>,
  question: string,
): Promise<void> {
  const [query] = await embed([question]);
  if (query === undefined) return;
  const started = performance.now();
  const similar = cache.findSimilar(query, { threshold: 0.25 });
  const hits = cache.search(query, { k: 3 });
  const elapsed = (performance.now() - started).toFixed(2);
  print(`\n? ${question}   (${elapsed} ms)`);
  print(similar ? indent(shorten(readable(similar.key), 500)) : "  Nothing is close to that.");
  print("  The nearest:");
  for (const { key, score } of hits) {
    const line = `${score.toFixed(3)}  ${origins.get(key)}: ${readable(key)}`;
    print(`  ${shorten(line, 76)}`);
  }
}

/** Markdown in one line, without what is there for a renderer only. */
function readable(markdown: string): string {
  return markdown
    .replaceAll(/<!--.*?-->|^```.*$|^[|: -]+$/gm, "")
    .replaceAll(/^#+ (.*)$/gm, "$1:")
    .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replaceAll(/[`*]|^\||\|$/gm, "")
    .replaceAll(/\s+/g, " ")
    .trim();
}

function shorten(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, text.lastIndexOf(" ", length))} …`;
}

/** In lines of 78 columns. */
function indent(text: string): string {
  return text.replaceAll(/(.{1,76})(?: |$)/g, "  $1\n").trimEnd();
}

async function converse(ask: (question: string) => Promise<void>): Promise<void> {
  // Loading it takes milliseconds, which who has no terminal need not wait for.
  const { createInterface } = await import("node:readline/promises");
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  print("\nAsk something; an empty line ends.");
  for (;;) {
    const question = (await terminal.question("\n? ")).trim();
    if (question === "") break;
    await ask(question);
  }
  terminal.close();
}

/** The same for the same files of the same user. */
async function nameOf(files: readonly string[], model: string): Promise<string> {
  const paths = files.map((file) => resolve(file)).join("\n");
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(paths));
  const hash = Buffer.from(digest).toString("hex").slice(0, 12);
  return `vectorlite-quickstart-${model}-${process.getuid?.() ?? "user"}-${hash}.cache`;
}

/** The documentation of this project, found from where this file lies. */
function documentation(): string[] {
  const root = fileURLToPath(new URL("..", import.meta.url));
  const folders = [".", "docs", "docs/decisions", "zig", "bench", "test"];
  return folders.flatMap((folder) => {
    try {
      const names = readdirSync(join(root, folder)).filter((name) => name.endsWith(".md"));
      return names.map((name) => relative(process.cwd(), join(root, folder, name)));
    } catch {
      return [];
    }
  });
}

/** Paragraphs, the short ones of a section joined: each piece says something, and fits a key. */
function split(text: string): string[] {
  const pieces: string[] = [];
  let piece = "";
  for (const paragraph of text.split(/\n\s*\n/)) {
    const trimmed = paragraph.trim().toWellFormed();
    const isNext = trimmed.startsWith("#") || piece.length + trimmed.length > 600;
    if (piece !== "" && isNext) {
      pieces.push(piece);
      piece = "";
    }
    piece = piece === "" ? trimmed : `${piece}\n\n${trimmed}`;
  }
  if (piece !== "") pieces.push(piece);
  return pieces.flatMap((long) => long.match(/.{1,4000}/gsu) ?? []);
}

await main();
