/**
 * Values to JSON without loss.
 *
 * `JSON.stringify` leaves out or changes what it cannot write: `undefined`, functions, NaN, a Date,
 * a Map. Who reads the text would get another value than was stored, so these are errors here.
 *
 * @module
 */

import { VectorLiteError } from "vectorlite";
import { invalidArgument, isPlainObject } from "./arguments.ts";

/** Levels of arrays and objects in each other; a value that contains itself has more. */
const depthMax = 1000;

const expected = "JSON: null, a boolean, a finite number, a string, or plain arrays and objects";

/**
 * The text from which `JSON.parse` makes an equal value.
 *
 * @throws VectorLiteError ERR_INVALID_ARGUMENT naming the place of what JSON would lose.
 */
export function encodeJson(value: unknown, name: string): string {
  check(value, name, 0);
  return JSON.stringify(value);
}

function check(value: unknown, name: string, depth: number): void {
  switch (typeof value) {
    case "string":
    case "boolean":
      return;
    case "number":
      if (Number.isFinite(value) && !Object.is(value, -0)) return;
      if (value === 0) throw invalidArgument(name, `${expected}, without -0`, "-0");
      throw invalidArgument(name, expected, value);
    case "object":
      if (value !== null) checkObject(value, name, depth);
      return;
    default:
      throw invalidArgument(name, expected, value);
  }
}

function checkObject(value: object, name: string, depth: number): void {
  if (depth === depthMax) {
    throw new VectorLiteError(
      "ERR_INVALID_ARGUMENT",
      `${name.slice(0, 60)}… is nested more than ${depthMax} deep, or contains itself.`,
    );
  }
  const [symbol] = Object.getOwnPropertySymbols(value);
  if (symbol !== undefined) throw invalidArgument(name, `${expected}, without symbols`, symbol);
  const fields = Object.keys(value);
  if (Array.isArray(value)) {
    if (fields.length > value.length) {
      throw invalidArgument(name, `${expected}; an array has no named fields`, value);
    }
    // Not `forEach`, which would leave out holes.
    for (let index = 0; index < value.length; index++) {
      check(value[index], `${name}[${index}]`, depth + 1);
    }
    return;
  }
  if (!isPlainObject(value)) throw invalidArgument(name, expected, value);
  for (const field of fields) check(value[field], `${name}.${field}`, depth + 1);
}
