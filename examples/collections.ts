/**
 * A collection from its first record to its end: docs/collections.md quotes it.
 *
 *     bun examples/collections.ts      # writes collections.vl where it runs
 */

import { Database, VectorLiteError } from "vectorlite";
import { hashingEmbedder, hashingModel } from "./hashing-embedder.ts";

const dimension = 256;
const embed = hashingEmbedder(dimension);
const vectorOf = (text: string): Float32Array => embed([text])[0] ?? new Float32Array(dimension);

using db = new Database("collections.vl");
for (const name of db.collections()) db.dropCollection(name); // a second run begins anew

// #region collections
interface Note {
  text: string;
  lang: string;
  tags?: string[];
}
const notes = db.collection<Note>("notes", { dimension, metric: "cosine", model: hashingModel });

// Insert or replace, one record or many. Many are one batch: all of them or none.
notes.upsert("cat", vectorOf("a cat on a mat"), { text: "a cat on a mat", lang: "en" });
const texts = ["ships at sea", "the dog and the cat"];
notes.upsertMany(
  ["ships", "dog"],
  embed(texts),
  texts.map((text) => ({ text, lang: "en", tags: ["new"] })),
);

// A record is replaced as a whole: what is not given again is gone.
notes.upsert("ships", vectorOf("ships at sea"), { text: "ships at sea", lang: "en" });
console.log(notes.get("ships")?.metadata.tags); // undefined
console.log(notes.get("nobody")); // undefined

// One packed array for many keys, in their order.
const { vectors, found } = notes.getMany(["dog", "nobody", "cat"]);
console.log(vectors.length === 3 * dimension, [...found]); // true [ 1, 0, 1 ]

console.log(notes.search(vectorOf("cats"), { k: 1 })[0]?.key); // cat
console.log(notes.deleteMany(["dog", "nobody"]), notes.size); // 1 2

// What a collection is stays as it was made.
try {
  db.collection("notes", { model: "another model" });
} catch (error) {
  if (error instanceof VectorLiteError) console.log(error.code); // ERR_MODEL
}

// Streams of records, in and out; here from one collection to another.
const copies = db.collection<Note>("copies", { dimension });
const { records } = await copies.import(notes.export({ filter: { lang: "en" } }));
console.log(records, copies.size); // 2 2

// But its name: records and open handles stay.
db.renameCollection("notes", "archive");
console.log(notes.name, notes.size); // archive 2

console.log(db.dropCollection("archive"), db.collections().join()); // true copies
// #endregion
