/**
 * Checks of arguments, for what is built on the public API: the rules and words of the core, whose
 * own checks are not public.
 *
 * @module
 */

import { VectorLiteError } from "vectorlite";

/** An ERR_INVALID_ARGUMENT that names what was expected and what was found. */
export function invalidArgument(name: string, expected: string, found: unknown): VectorLiteError {
  return new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    `${name} must be ${expected}; found ${describe(found)}.`,
  );
}

/**
 * Checks that an object has no other fields than these; one that is `undefined` is as good as none.
 *
 * @throws VectorLiteError ERR_INVALID_ARGUMENT naming the field.
 */
export function checkFields<Fields extends object>(
  value: Fields,
  known: readonly string[],
  where: string,
): Fields {
  if (typeof value !== "object" || value === null || tagOf(value) !== "Object") {
    throw new VectorLiteError(
      "ERR_INVALID_ARGUMENT",
      `${where} takes an object of options; found ${describe(value)}.`,
    );
  }
  const [unknown] = Object.entries(value).find(([field, given]) => {
    return given !== undefined && !known.includes(field);
  }) ?? [undefined];
  if (unknown === undefined) return value;
  throw new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    `${where} has no ${JSON.stringify(unknown)}; there are ${known.join(", ")}.`,
  );
}

/** `{}` of any realm: an object whose fields are all that it has. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  if (Array.isArray(value) || ArrayBuffer.isView(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** A non-empty, well-formed string without NUL. */
export function checkText(value: unknown, name: string): string {
  if (typeof value !== "string" || value === "") {
    throw invalidArgument(name, "a non-empty string", value);
  }
  if (value.includes("\0") || !value.isWellFormed()) {
    throw invalidArgument(name, "a string without NUL and lone surrogates", value);
  }
  return value;
}

/** A number in [min, max], with both ends. */
export function checkNumber(value: unknown, name: string, min: number, max: number): number {
  if (typeof value === "number" && value >= min && value <= max) return value;
  throw invalidArgument(name, `a number from ${min} to ${max}`, value);
}

/** An array that has one element for each of `length` others, `each` as messages name one. */
export function checkLength(list: unknown, length: number, name: string, each: string): void {
  if (Array.isArray(list) && list.length === length) return;
  throw invalidArgument(name, `an array of ${length}, one for each ${each}`, list);
}

/** A function. */
export function checkFunction(value: unknown, name: string): void {
  if (typeof value !== "function") throw invalidArgument(name, "a function", value);
}

/** What a wrong argument looks like in a message. */
function describe(value: unknown): string {
  if (Array.isArray(value)) return `an array of length ${value.length}`;
  switch (typeof value) {
    case "string":
      return value.length <= 40 ? JSON.stringify(value) : `a string of ${value.length} characters`;
    case "object":
      return value === null ? "null" : `an object (${tagOf(value)})`;
    case "function":
    case "symbol":
      return `a ${typeof value}`;
    default:
      return String(value);
  }
}

/** `Object`, `Date`, `Map` and so on. */
export function tagOf(value: object): string {
  return Object.prototype.toString.call(value).slice(8, -1);
}
