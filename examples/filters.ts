/**
 * Records by their metadata: docs/filters.md quotes it.
 *
 *     bun examples/filters.ts      # writes filters.vl where it runs
 */

import { Database, type Filter, VectorLiteError } from "vectorlite";
import { hashingEmbedder, hashingModel } from "./hashing-embedder.ts";

const dimension = 256;
const embed = hashingEmbedder(dimension);
const vectorOf = (text: string): Float32Array => embed([text])[0] ?? new Float32Array(dimension);

using db = new Database("filters.vl");
db.dropCollection("docs"); // a second run begins anew

// #region filters
interface Doc {
  lang: string;
  year?: number;
  editor?: string | null;
  tags?: string[];
}
const docs = db.collection<Doc>("docs", { dimension, model: hashingModel });
const add = (text: string, metadata: Doc): void => docs.upsert(text, vectorOf(text), metadata);
add("cats at home", { lang: "en", year: 2019, tags: ["pets"] });
add("cats at sea", { lang: "en", year: 2024, tags: ["pets", "sea"], editor: "Ada" });
add("Katzen zu Hause", { lang: "de", year: 2025, editor: null });
add("cats of tomorrow", { lang: "en" });

// The k closest of the records that match, wherever there are k of them.
const recent: Filter<Doc> = { lang: "en", year: { $gte: 2020 } };
const hits = docs.search(vectorOf("cats"), { k: 10, filter: recent });
console.log(hits.map(({ key }) => key).join()); // cats at sea

const count = (filter: Filter<Doc>): number => docs.count(filter);
console.log(count({}), count({ $or: [{ lang: "de" }, { tags: { $contains: "sea" } }] })); // 4 2

// A field that is missing is not null, and only $ne, $nin and $not match it.
console.log(count({ year: { $lt: 2024 } }), count({ year: { $not: { $gte: 2024 } } })); // 1 2
console.log(count({ editor: null }), count({ editor: { $exists: false } })); // 1 2
console.log(count({ editor: { $ne: "Ada" } })); // 3: null is not "Ada", and neither is nothing

// An array is not compared as a whole, nor element by element: say what it has to contain.
console.log(count({ tags: { $contains: "pets", $not: { $contains: "sea" } } })); // 1

// What cannot be meant is an error that names the place, never an empty result.
try {
  docs.count(JSON.parse('{ "year": { "$above": 2020 } }'));
} catch (error) {
  if (error instanceof VectorLiteError) console.log(error.code); // ERR_INVALID_ARGUMENT
}

// Other metadata for the same vector; all of it is replaced.
docs.setMetadata("cats of tomorrow", { lang: "en", year: 2030 });
console.log([...docs.keys({ filter: { year: { $gt: 2025 } } })].length); // 1
console.log(docs.deleteWhere({ year: { $lt: 2020 } }), docs.size); // 1 3

console.log(docs.explain(vectorOf("cats"), { filter: { lang: "en" } }).filter?.matches); // 2
// #endregion
