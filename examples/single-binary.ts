/**
 * A program that is one file: the native library travels inside, so it runs from an empty folder on
 * a machine that has neither Bun nor Node.
 *
 *     bun build --compile examples/single-binary.ts --outfile notes
 *     ./notes add "the quick brown fox"
 *     ./notes find "a fast fox"
 *
 * It keeps its notes in notes.vl in the folder where it runs.
 */

import { Database } from "vectorlite";
import { hashingEmbedder, hashingModel } from "./hashing-embedder.ts";

const dimension = 512;
const embed = hashingEmbedder(dimension);
const print = (line: string): void => void process.stdout.write(`${line}\n`);

const [command, ...words] = process.argv.slice(2);
const text = words.join(" ");

using db = new Database("notes.vl");
const notes = db.collection<{ added: string }>("notes", { dimension, model: hashingModel });

if (command === "add" && text !== "") {
  notes.upsert(text, embed([text])[0] ?? [], { added: new Date().toISOString() });
  print(`${notes.size} notes`);
} else if (command === "find" && text !== "") {
  for (const { key, score } of notes.search(embed([text])[0] ?? [], { k: 3 })) {
    print(`${score.toFixed(3)}  ${key}`);
  }
} else {
  print("usage: notes add <text> | notes find <text>");
  process.exitCode = 2;
}
