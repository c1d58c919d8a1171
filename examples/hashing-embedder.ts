/**
 * A small embedder that needs no network and no model: it hashes words and pieces of words into the
 * dimensions of a vector. Texts that share words come out close; it knows nothing of meaning, so
 * "car" and "automobile" are strangers to it. Good for trying things out, not for real search.
 */

/** What says that a cache was filled by this embedder. */
export const hashingModel = "hashing-embedder-1";

/** An embedder of that many dimensions: texts to unit vectors, always the same for one text. */
export function hashingEmbedder(dimension: number): (texts: readonly string[]) => Float32Array[] {
  return (texts) => texts.map((text) => embedText(text, dimension));
}

function embedText(text: string, dimension: number): Float32Array {
  const vector = new Float32Array(dimension);
  for (const [feature, weight] of featuresOf(text)) {
    const hash = fnv1a(feature);
    const index = (hash >>> 1) % dimension;
    // The sign makes features that meet in one dimension cancel out on average.
    vector[index] = (vector[index] ?? 0) + (hash & 1 ? weight : -weight);
  }
  // Punctuation alone has no features, and a vector of zeros has no direction.
  if (vector.every((number) => number === 0)) vector[0] = 1;
  const length = Math.hypot(...vector);
  return vector.map((number) => number / length);
}

/** Words and their pieces of three letters; what occurs often counts less and less. */
function featuresOf(text: string): Map<string, number> {
  const counts = new Map<string, number>();
  const add = (feature: string, weight: number): void => {
    counts.set(feature, (counts.get(feature) ?? 0) + weight);
  };
  for (const [word] of text.toLowerCase().matchAll(/[\p{Letter}\p{Number}]+/gu)) {
    if (commonWords.has(word)) continue;
    add(word, 1);
    const padded = `^${word}$`;
    for (let at = 0; at + 3 <= padded.length; at++) add(padded.slice(at, at + 3), 0.25);
  }
  return new Map([...counts].map(([feature, count]) => [feature, Math.sqrt(count)]));
}

const commonWords: ReadonlySet<string> = new Set(
  (
    "a an and are as at be by can do does for from how i in is it its of on one or that the this " +
    "to was what when which who why with you your"
  ).split(" "),
);

function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) {
    hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  }
  // The low bits of FNV mix badly; this is the end of MurmurHash3.
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}
