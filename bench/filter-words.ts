/**
 * A filter in the words of other libraries: as SQL, and as the rows that it matches.
 *
 * The rows are found here by a plain loop over the documents, so that no engine's own word is taken
 * for what matches.
 */

import type { Conditions, Doc } from "./documents.ts";

/** How a dialect says that an array has a value; undefined where it has no arrays. */
export type Contains = ((field: string, value: string) => string) | undefined;

/** One for each row that matches, or zero. */
export function maskOf(docs: readonly Doc[], filter: Conditions): Uint8Array {
  const { lang, category, year, price, tags } = filter;
  const categories =
    category === undefined ? undefined : typeof category === "string" ? [category] : category.$in;
  return Uint8Array.from(docs, (doc) => {
    if (lang !== undefined && doc.lang !== lang) return 0;
    if (categories !== undefined && !categories.includes(doc.category)) return 0;
    if (year !== undefined && doc.year < year.$gte) return 0;
    if (price !== undefined && "$gte" in price && doc.price < price.$gte) return 0;
    if (price !== undefined && "$lt" in price && doc.price >= price.$lt) return 0;
    return tags === undefined || doc.tags.includes(tags.$contains) ? 1 : 0;
  });
}

/** For a WHERE; undefined where the dialect cannot say it. Prices look like floats: with cents. */
export function sqlOf(filter: Conditions, contains: Contains): string | undefined {
  const { lang, category, year, price, tags } = filter;
  const terms: string[] = [];
  if (lang !== undefined) terms.push(`lang = '${lang}'`);
  if (typeof category === "string") terms.push(`category = '${category}'`);
  else if (category)
    terms.push(`category IN (${category.$in.map((one) => `'${one}'`).join(", ")})`);
  if (year !== undefined) terms.push(`year >= ${year.$gte}`);
  if (price !== undefined && "$gte" in price) terms.push(`price >= ${price.$gte.toFixed(2)}`);
  if (price !== undefined && "$lt" in price) terms.push(`price < ${price.$lt.toFixed(2)}`);
  if (tags !== undefined) {
    if (contains === undefined) return undefined;
    terms.push(contains("tags", tags.$contains));
  }
  return terms.join(" AND ");
}
