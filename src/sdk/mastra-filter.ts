/**
 * Mastra's filters, which mean what MongoDB's do, in the operators that a collection has.
 *
 * A collection looks into an array only where it is asked to, and never takes a missing field for
 * null; MongoDB does both, so `$eq` and all that is made of it ask for more than one thing here.
 * What cannot be asked is an error, and so is `undefined`: a filter that is not what it seems may
 * delete records.
 *
 * @module
 */

import type { OperatorValueMap, VectorFilter } from "@mastra/core/vector/filter";
import { type Filter, VectorLiteError } from "vectorlite";
import { invalidArgument, tagOf } from "./arguments.ts";

type Operators = Omit<OperatorValueMap, "$regex" | "$options" | "$elemMatch">;

/** Mastra's filter without `$regex`, `$options` and `$elemMatch`. */
export type VectorLiteVectorFilter = VectorFilter<keyof Operators, Operators>;

type Scalar = string | number | boolean | null;
type Fields = Readonly<Record<string, unknown>>;

const everyRecord: Filter = {};

/**
 * The filter of a collection that means the same; `undefined` where there is none.
 *
 * - A field is named by its path, `{ "loc.page": 3 }` or `{ loc: { page: 3 } }`.
 * - A value, `$eq`, `$ne`, `$in`, `$nin` and `$all` look into arrays of strings and of numbers.
 *   `null` is a missing field as well. An array as a value is `$in`.
 * - `$gt`, `$gte`, `$lt` and `$lte` compare numbers with numbers and strings with strings; they do
 *   not look into arrays. A Date is its ISO string, as it is in metadata.
 *
 * @throws VectorLiteError ERR_INVALID_ARGUMENT naming the place of what cannot be asked.
 */
export function translateFilter(filter: unknown): Filter | undefined {
  if (filter === undefined || filter === null) return undefined;
  return translateFields(filter, "", "filter");
}

/** Whether a filter matches every record, since it has no conditions, or none that is needed. */
export function isEmptyFilter(filter: Filter): boolean {
  return Object.entries(filter).every(([name, value]) => {
    if (name === "$and") return (value as readonly Filter[]).every(isEmptyFilter);
    return name === "$or" && (value as readonly Filter[]).some(isEmptyFilter);
  });
}

function translateFields(filter: unknown, path: string, place: string): Filter {
  if (!isPlain(filter)) throw invalidArgument(place, "an object of fields", filter);
  return all(
    Object.entries(filter).map(([name, value]) => {
      const here = `${place}.${name}`;
      if (!name.startsWith("$")) return translateField(value, path + name, here);
      if (path === "") return translateLogical(name, value, here);
      throw unknownOperator(name, place);
    }),
  );
}

function translateLogical(name: string, value: unknown, place: string): Filter {
  switch (name) {
    case "$and":
      return all(translateEach(value, place));
    case "$or":
      return { $or: translateEach(value, place) };
    case "$nor":
      return { $not: { $or: translateEach(value, place) } };
    case "$not": {
      const inner = translateFields(value, "", place);
      if (!isEmptyFilter(inner)) return { $not: inner };
      throw invalidArgument(place, "a filter with conditions", value);
    }
    default:
      throw unknownOperator(name, place);
  }
}

function translateEach(value: unknown, place: string): Filter[] {
  if (!Array.isArray(value) || value.length === 0) {
    throw invalidArgument(place, "an array of at least one filter", value);
  }
  return value.map((filter, index) => translateFields(filter, "", `${place}[${index}]`));
}

function translateField(value: unknown, field: string, place: string): Filter {
  if (Array.isArray(value)) return isIn(field, scalarsOf(value, place));
  if (!isPlain(value)) return equals(field, scalarOf(value, place));
  const names = Object.keys(value);
  if (names.length === 0) throw invalidArgument(place, "a value or operators", value);
  const operators = names.filter((name) => name.startsWith("$")).length;
  if (operators === 0) return translateFields(value, `${field}.`, place);
  if (operators === names.length) return translateOperators(value, field, place);
  throw invalidArgument(place, "an object of operators or of fields, not of both", value);
}

function translateOperators(operators: Fields, field: string, place: string): Filter {
  return all(
    Object.entries(operators).map(([name, value]) =>
      translateOperator(name, value, field, `${place}.${name}`),
    ),
  );
}

function translateOperator(name: string, value: unknown, field: string, place: string): Filter {
  switch (name) {
    case "$eq":
      return equals(field, scalarOf(value, place));
    case "$ne":
      return { $not: equals(field, scalarOf(value, place)) };
    case "$gt":
    case "$gte":
    case "$lt":
    case "$lte":
      return { [field]: { [name]: orderedOf(value, place) } };
    case "$in":
      return isIn(field, scalarsOf(value, place));
    case "$nin":
      return { $not: isIn(field, scalarsOf(value, place)) };
    case "$all":
      return hasAll(field, scalarsOf(value, place));
    case "$exists":
      if (typeof value !== "boolean") throw invalidArgument(place, "true or false", value);
      return { [field]: { $exists: value } };
    case "$not":
      if (!isPlain(value) || Object.keys(value).length === 0) {
        throw invalidArgument(place, "an object of operators", value);
      }
      return { $not: translateOperators(value, field, place) };
    default:
      throw unknownOperator(name, place);
  }
}

function equals(field: string, value: Scalar): Filter {
  if (value === null) return { $or: [{ [field]: null }, { [field]: { $exists: false } }] };
  if (typeof value === "boolean") return { [field]: value };
  return { $or: [{ [field]: value }, { [field]: { $contains: value } }] };
}

function isIn(field: string, values: readonly Scalar[]): Filter {
  const inArrays = values.filter((value) => typeof value === "string" || typeof value === "number");
  return {
    $or: [
      { [field]: { $in: values } },
      ...(values.includes(null) ? [{ [field]: { $exists: false } }] : []),
      ...inArrays.map((value) => ({ [field]: { $contains: value } })),
    ],
  };
}

/** As in MongoDB, an empty list matches nothing. */
function hasAll(field: string, values: readonly Scalar[]): Filter {
  if (values.length === 0) return { [field]: { $in: [] } };
  return all(values.map((value) => equals(field, value)));
}

function all(filters: readonly Filter[]): Filter {
  const [first = everyRecord] = filters;
  return filters.length > 1 ? { $and: filters } : first;
}

function scalarOf(value: unknown, place: string): Scalar {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value;
    case "number":
      if (Number.isFinite(value)) return value;
      break;
    case "object":
      if (value === null) return null;
      if (value instanceof Date && !Number.isNaN(value.getTime())) return value.toISOString();
      break;
  }
  const expected = "a string, a finite number, a boolean, a Date or null";
  throw invalidArgument(place, expected, value);
}

function scalarsOf(values: unknown, place: string): Scalar[] {
  if (!Array.isArray(values)) throw invalidArgument(place, "an array of values", values);
  return Array.from(values, (value, index) => scalarOf(value, `${place}[${index}]`));
}

function orderedOf(value: unknown, place: string): string | number {
  const scalar = scalarOf(value, place);
  if (typeof scalar === "string" || typeof scalar === "number") return scalar;
  throw invalidArgument(place, "a finite number, a string or a Date", value);
}

function isPlain(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && tagOf(value) === "Object";
}

function unknownOperator(name: string, place: string): VectorLiteError {
  const where = place.replace(/\.\$\w*$/, "");
  return new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    `${name} in ${where} cannot be asked of a VectorLite index; there are $eq, $ne, $gt, $gte, ` +
      "$lt, $lte, $in, $nin, $all, $exists and $not for a field, and $and, $or, $nor and $not " +
      "for whole filters.",
  );
}
