/**
 * What a filter means, said as plainly as possible: the model that the engine is compared with.
 *
 * It knows right filters only, and looks at one object after the other.
 */

import type { Metadata, MetadataValue } from "vectorlite";

/** An object of a filter, whatever its types say. */
export type AnyFilter = { readonly [name: string]: unknown };

/** Whether a filter is true of metadata. */
export function matches(metadata: Metadata, filter: AnyFilter): boolean {
  return Object.entries(filter).every(([name, value]) => {
    if (name === "$and") return (value as AnyFilter[]).every((part) => matches(metadata, part));
    if (name === "$or") return (value as AnyFilter[]).some((part) => matches(metadata, part));
    if (name === "$not") return !matches(metadata, value as AnyFilter);
    const found = Object.hasOwn(metadata, name) ? metadata[name] : undefined;
    if (typeof value === "object" && value !== null) return holds(found, value as AnyFilter);
    return found === value;
  });
}

/** `undefined`: the field is missing. */
function holds(found: MetadataValue | undefined, operators: AnyFilter): boolean {
  return Object.entries(operators).every(([name, operand]) => {
    switch (name) {
      case "$eq":
        return found === operand;
      case "$ne":
        return found !== operand;
      case "$in":
        return (operand as unknown[]).includes(found);
      case "$nin":
        return !(operand as unknown[]).includes(found);
      case "$exists":
        return (found !== undefined) === operand;
      case "$not":
        return !holds(found, operand as AnyFilter);
      case "$contains":
        return Array.isArray(found) && found.includes(operand);
      case "$startsWith":
        return typeof found === "string" && startsWith(found, operand as string);
      default:
        return isInOrder(found, name, operand);
    }
  });
}

function isInOrder(found: unknown, name: string, operand: unknown): boolean {
  let order: number;
  if (typeof found === "number" && typeof operand === "number") order = found - operand;
  else if (typeof found === "string" && typeof operand === "string")
    order = textOrder(found, operand);
  else return false;
  switch (name) {
    case "$gt":
      return order > 0;
    case "$gte":
      return order >= 0;
    case "$lt":
      return order < 0;
    case "$lte":
      return order <= 0;
    default:
      throw new Error(`The model has no operator ${name}.`);
  }
}

function codePoints(text: string): number[] {
  return Array.from(text, (character) => character.codePointAt(0) ?? 0);
}

/** By code points, which is not the order of `<` beyond U+FFFF. */
function textOrder(a: string, b: string): number {
  const [left, right] = [codePoints(a), codePoints(b)];
  const at = left.findIndex((point, index) => point !== right[index]);
  if (at === -1) return left.length - right.length;
  return (left[at] ?? 0) - (right[at] ?? -1);
}

/** Whole characters: half of one is no beginning of it. */
function startsWith(text: string, beginning: string): boolean {
  const points = codePoints(text);
  return codePoints(beginning).every((point, index) => point === points[index]);
}
