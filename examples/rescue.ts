/**
 * What the README says for the day it goes wrong: a file, one bit of which rots.
 *
 *     bun examples/rescue.ts      # writes docs.vl and rescued.vl where it runs
 */

import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { Database as Original } from "vectorlite";

rmSync("rescued.vl", { force: true });
{
  using original = new Original("docs.vl");
  const docs = original.collection("docs", { dimension: 2 });
  docs.upsertMany(["a", "b", "c"], Float32Array.of(0.25, 1, 0.5, 1, 0.75, 1));
}
const file = readFileSync("docs.vl");
const vector = Buffer.from(Float32Array.of(0.5, 1).buffer);
file.writeUInt8(1, file.indexOf(vector));
writeFileSync("docs.vl", file);

// #region rescue
import { Database, salvage } from "vectorlite";

using db = new Database("docs.vl", { readonly: true });
const { ok, errors, bytes } = await db.verify({ onProgress: ({ done, total }) => done / total });
for (const { offset, kind, message } of errors) console.error(offset, kind, message);
console.log(ok, bytes.used, bytes.free, db.stats().fileSize);

const { recovered, damaged, collections } = await salvage("docs.vl", "rescued.vl");
console.log(recovered, damaged, collections[0]?.uncertain); // 2 1 0
// #endregion
