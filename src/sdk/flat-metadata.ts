/**
 * Metadata of any depth in the flat fields of a collection, and back without a loss.
 *
 * A field whose value is flat (a string, a number, a boolean, null, an array of strings or of
 * numbers) is stored as it is. Of every other one the whole value is JSON text in the field
 * `$json`, which is what comes back; besides, for filters only,
 *
 * - its name holds `[]`, so that it exists, and equals and contains nothing;
 * - the flat values within its objects are fields by their path, `loc.page`. Arrays that are not
 *   flat are not looked into.
 *
 * No filter can ask for a name that begins with `$`, so a caller's field of such a name is in
 * `$json` only, and never meets one of the adapters' own. The same goes for a field whose own name
 * reads like a path into another one.
 *
 * @module
 */

import { type Metadata, type MetadataValue, VectorLiteError } from "vectorlite";
import { invalidArgument, tagOf } from "./arguments.ts";

/** Metadata as frameworks know it. */
export type DeepMetadata = Record<string, unknown>;

type Json = string | number | boolean | null | Json[] | { [name: string]: Json };

const jsonField = "$json";

/** Where the text of a document is. */
export const textField = "$text";

const depthMax = 64;

/**
 * The fields that are stored for some metadata.
 *
 * Values are taken as JSON takes them: a field that is `undefined` is left out, a Date becomes its
 * ISO string, an instance of a class its own fields.
 *
 * @param metadata - An object; `null` and `undefined` are one without fields.
 * @throws VectorLiteError ERR_INVALID_ARGUMENT naming the place of a value that JSON would lose:
 * NaN, a bigint, a Map, `undefined` in an array, a circle.
 */
export function flattenMetadata(metadata: unknown, name = "metadata"): Metadata {
  if (metadata === undefined || metadata === null) return {};
  const json = toJson(metadata, name, 1);
  if (!isObject(json)) throw invalidArgument(name, "an object", metadata);
  const fields = Object.entries(json);
  const nested = fields.filter(([, value]) => !isFlat(value)).map(([field]) => field);
  const stored = new Map<string, MetadataValue>();
  const kept: [string, Json][] = [];
  for (const [field, value] of fields) {
    const isAsked = isAskable(field) && !isWithin(field, nested);
    if (isAsked) addPaths(stored, field, value);
    if (!isAsked || !isFlat(value)) kept.push([field, value]);
  }
  if (kept.length > 0) stored.set(jsonField, textOf(Object.fromEntries(kept)));
  return Object.fromEntries(stored);
}

/** The metadata that {@link flattenMetadata} made these fields of. */
export function restoreMetadata(stored: Metadata): DeepMetadata {
  const text = stored[jsonField];
  const kept: object = typeof text === "string" ? JSON.parse(text) : {};
  const nested = Object.keys(kept);
  const flat = Object.entries(stored).filter(
    ([field]) => !field.startsWith("$") && !nested.includes(field) && !isWithin(field, nested),
  );
  // Not assigned: that would make a prototype of a field named __proto__.
  return Object.fromEntries<unknown>([...flat, ...Object.entries(kept)]);
}

function isFlat(value: Json): value is Exclude<MetadataValue, readonly unknown[]> | string[] {
  if (!Array.isArray(value)) return typeof value !== "object" || value === null;
  const [first] = value;
  if (first !== undefined && typeof first !== "string" && typeof first !== "number") return false;
  return value.every((element) => typeof element === typeof first);
}

function isObject(value: Json | undefined): value is { [name: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isAskable(field: string): boolean {
  return !field.startsWith("$") && field.isWellFormed();
}

function isWithin(field: string, others: readonly string[]): boolean {
  return others.some((other) => field.startsWith(`${other}.`));
}

/** Adds what filters ask for: the value itself where it is flat, or what is within it. */
function addPaths(stored: Map<string, MetadataValue>, path: string, value: Json): void {
  if (isFlat(value)) {
    stored.set(path, value);
    return;
  }
  stored.set(path, []);
  if (!isObject(value)) return;
  for (const [name, inner] of Object.entries(value)) {
    if (name.isWellFormed()) addPaths(stored, `${path}.${name}`, inner);
  }
}

/** A copy of a value that JSON says in full. */
function toJson(value: unknown, path: string, depth: number): Json | undefined {
  switch (typeof value) {
    case "string":
    case "boolean":
    case "undefined":
      return value;
    case "number":
      if (Number.isFinite(value)) return value;
      throw invalidArgument(path, "a finite number", value);
    case "object":
      return value === null ? null : objectToJson(value, path, depth);
    default:
      throw invalidArgument(path, "something that JSON can say", value);
  }
}

function objectToJson(value: object, path: string, depth: number): Json | undefined {
  if (depth > depthMax) {
    throw new VectorLiteError(
      "ERR_INVALID_ARGUMENT",
      `${path.slice(0, 60)}… is nested more than ${depthMax} deep, or in a circle.`,
    );
  }
  if (Array.isArray(value)) return arrayToJson(value, path, depth);
  // JSON makes null of a Date that is none.
  const isDate = value instanceof Date;
  if (isDate && Number.isNaN(value.getTime())) throw invalidArgument(path, "a valid Date", value);
  if ("toJSON" in value && typeof value.toJSON === "function") {
    return toJson(value.toJSON(), path, depth + 1);
  }
  const [symbol] = Object.getOwnPropertySymbols(value);
  if (symbol !== undefined) throw invalidArgument(`A name in ${path}`, "a string", symbol);
  if (tagOf(value) !== "Object") throw invalidArgument(path, "something that JSON can say", value);
  const fields: [string, Json][] = [];
  for (const [name, inner] of Object.entries(value)) {
    const json = toJson(inner, `${path}.${name}`, depth + 1);
    if (json !== undefined) fields.push([name, json]);
  }
  return Object.fromEntries(fields);
}

function arrayToJson(array: readonly unknown[], path: string, depth: number): Json[] {
  return Array.from(array, (element, index) => {
    const json = toJson(element, `${path}[${index}]`, depth + 1);
    if (json !== undefined) return json;
    throw invalidArgument(`${path}[${index}]`, "something that JSON can say", element);
  });
}

/** `JSON.stringify` makes 0 of -0. */
function textOf(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(textOf).join()}]`;
  if (isObject(value)) {
    const fields = Object.entries(value);
    return `{${fields.map(([name, inner]) => `${JSON.stringify(name)}:${textOf(inner)}`).join()}}`;
  }
  return Object.is(value, -0) ? "-0" : JSON.stringify(value);
}
