/**
 * Metadata objects to UTF-8 JSON and back.
 *
 * The engine stores the bytes and never reads them. What goes in comes out again, field by field:
 * values that JSON would change or drop (NaN, `undefined`, dates, nested objects, symbols) are
 * refused by name, and a negative zero keeps its sign.
 *
 * @module
 */

import { invalidArgument } from "./errors.ts";
import { isPlainObject } from "./options.ts";

/**
 * The JSON text of a metadata object; empty where there is nothing to store.
 *
 * @throws VectorLiteError ERR_INVALID_ARGUMENT naming the field.
 */
export function metadataToJson(metadata: unknown): string {
  if (metadata === undefined) return "";
  if (!isPlainObject(metadata)) {
    throw invalidArgument("metadata", "a plain object", metadata);
  }
  const [symbol] = Object.getOwnPropertySymbols(metadata);
  if (symbol !== undefined)
    throw invalidArgument("A field of metadata", "named by a string", symbol);
  let json = "";
  for (const field of Object.keys(metadata)) {
    const value = valueToJson(metadata[field], field);
    json += `${json === "" ? "{" : ","}${JSON.stringify(field)}:${value}`;
  }
  return json === "" ? "" : `${json}}`;
}

/** The object that {@link metadataToJson} was given; `{}` for the empty text. */
export function metadataFromJson(json: string): unknown {
  return json === "" ? {} : JSON.parse(json);
}

function valueToJson(value: unknown, field: string): string {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value);
    case "number":
      return numberToJson(value, `metadata.${field}`);
    case "boolean":
      return String(value);
    default:
      if (value === null) return "null";
      if (Array.isArray(value)) return arrayToJson(value, field);
      throw invalidArgument(
        `metadata.${field}`,
        "a string, a finite number, a boolean, null, or an array of strings or of numbers",
        value,
      );
  }
}

function arrayToJson(values: readonly unknown[], field: string): string {
  const kind = typeof values[0] === "number" ? "number" : "string";
  const parts: string[] = [];
  for (let index = 0; index < values.length; index++) {
    const value = values[index];
    const name = `metadata.${field}[${index}]`;
    if (kind === "number" && typeof value === "number") parts.push(numberToJson(value, name));
    else if (kind === "string" && typeof value === "string") parts.push(JSON.stringify(value));
    else if (index === 0) throw invalidArgument(name, "a string or a finite number", value);
    else throw invalidArgument(name, `a ${kind} like the ones before it`, value);
  }
  return `[${parts.join(",")}]`;
}

function numberToJson(value: number, name: string): string {
  if (!Number.isFinite(value)) throw invalidArgument(name, "a finite number", value);
  return Object.is(value, -0) ? "-0" : String(value);
}
