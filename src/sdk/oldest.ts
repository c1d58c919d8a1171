/**
 * Deletes the records of a collection that were stored first.
 *
 * Nothing is ordered by time. But to count the records below a time is quick, so the time below
 * which there are so many is found by halving, in some fifty counts however many records there are.
 *
 * @module
 */

/** What is asked of the collection. */
interface Timed {
  count(filter: { stored: { $lte: number } }): number;
  deleteWhere(filter: { stored: { $gt?: number; $lt?: number; $lte?: number } }): number;
}

/** The part of a millisecond by which two times of one process differ at least. */
export const timeStep: number = 2 ** -10;

/**
 * Deletes `count` records with the smallest `stored`, all below `newest`, and those that were
 * stored at the very time of the last of them.
 *
 * @param newest - The time of the record that was just written, which stays.
 * @returns How many were deleted.
 */
export function deleteOldest(collection: Timed, count: number, newest: number): number {
  // Times to come are those of a clock that was set back: kept, they would stay for ever.
  let deleted = collection.deleteWhere({ stored: { $gt: newest } });
  const wanted = count - deleted;
  if (wanted <= 0) return deleted;
  let before = 0;
  let after = newest;
  while (after - before > timeStep / 2) {
    const middle = (before + after) / 2;
    const found = collection.count({ stored: { $lte: middle } });
    if (found < wanted) before = middle;
    else after = middle;
    if (found === wanted) break;
  }
  deleted += collection.deleteWhere({ stored: { $lte: after, $lt: newest } });
  return deleted;
}
