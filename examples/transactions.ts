/**
 * A document and its pieces, replaced together or not at all: docs/transactions.md quotes it.
 *
 *     bun examples/transactions.ts      # writes transactions.vl where it runs
 */

import { Database, VectorLiteError } from "vectorlite";
import { hashingEmbedder, hashingModel } from "./hashing-embedder.ts";

const dimension = 256;
const embed = hashingEmbedder(dimension);

/** Stands for a model that is asked over a network. */
async function vectorOf(text: string): Promise<Float32Array> {
  return embed([text])[0] ?? new Float32Array(dimension);
}

using db = new Database("transactions.vl");
for (const name of db.collections()) db.dropCollection(name); // a second run begins anew

// #region transactions
const documents = db.collection<{ pieces: number }>("documents", { dimension });
const pieces = db.collection<{ text: string }>("pieces", { dimension, model: hashingModel });

/** Puts the pieces of a document in the place of those that it had before. */
function replace(id: string, texts: readonly string[]): void {
  const vectors = embed([texts.join(" "), ...texts]); // slow work first: others wait for the lock
  const [whole = new Float32Array(dimension), ...parts] = vectors;
  db.transaction(() => {
    const before = documents.get(id)?.metadata.pieces ?? 0;
    pieces.deleteMany(Array.from({ length: before }, (_, at) => `${id} ${at}`));
    pieces.upsertMany(
      texts.map((_, at) => `${id} ${at}`),
      parts,
      texts.map((text) => ({ text })),
    );
    documents.upsert(id, whole, { pieces: texts.length });
  });
}

replace("tale", ["Once upon a time", "there was a cat", "and so it ends"]);
replace("tale", ["Once upon a time", "there was a dog"]);
console.log(pieces.size, documents.get("tale")?.metadata.pieces); // 2 2

// A throw takes everything back, and comes out.
try {
  db.transaction(() => {
    pieces.deleteMany(["tale 0", "tale 1"]);
    console.log(pieces.size); // 0: a transaction sees what it wrote
    documents.upsert("tale", [1, 2, 3], { pieces: 0 });
  });
} catch (error) {
  if (error instanceof VectorLiteError) console.log(error.code, pieces.size); // ERR_DIMENSION 2
}

// With awaits in the middle; the lock is held meanwhile.
const text = "there was a bird";
await db.transactionAsync(async () => {
  pieces.delete("tale 1");
  pieces.upsert("tale 2", await vectorOf(text), { text });
});
console.log([...pieces.keys()].sort().join()); // tale 0,tale 2
// #endregion
