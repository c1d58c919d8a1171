/**
 * Filters to the bytes that the engine takes (docs/decisions/0017-metadata-in-columns.md).
 *
 * Everything that a caller can get wrong is an error here, with the place in the filter: a filter
 * that quietly matches nothing, or everything, is worse than none. Every property is read once, so
 * what was checked is what is asked.
 *
 * @module
 */

import { type ByteWriter, releaseWriter, takeWriter } from "./byte-writer.ts";
import { describe, invalidArgument, shorten, VectorLiteError } from "./errors.ts";
import { writeScalar } from "./metadata.ts";
import { checkArray, isPlainObject } from "./options.ts";

const version = 1;

/** Nodes below each other, and objects of a caller too; the engine's own bound. */
const depthMax = 64;

/** Bytes of a filter; the engine's own bound. */
const bytesMax = 1 << 20;

/** What a node asks, in one byte. */
const Operator = {
  AND: 1,
  OR: 2,
  NOT: 3,
  EXISTS: 16,
  EQ: 17,
  GT: 18,
  GTE: 19,
  LT: 20,
  LTE: 21,
  IN: 22,
  CONTAINS: 23,
  STARTS_WITH: 24,
} as const;

type Scalar = string | number | boolean | null;

/** A filter that was checked. */
type Node =
  | { readonly operator: typeof Operator.AND | typeof Operator.OR; readonly nodes: Node[] }
  | { readonly operator: typeof Operator.NOT; readonly node: Node }
  | { readonly operator: number; readonly field: string; readonly values: readonly Scalar[] };

/** A filter as the engine takes it. */
export interface CompiledFilter {
  /** Never empty: `bun:ffi` refuses that. */
  readonly bytes: Uint8Array;
  /** 0: there is no filter. */
  readonly length: number;
}

/** What matches every record without being asked. */
export const noFilter: CompiledFilter = { bytes: new Uint8Array(1), length: 0 };

/** The filter of an option, which may be left out. */
export function filterOption(filter: unknown): CompiledFilter {
  return filter === undefined ? noFilter : compileFilter(filter);
}

/**
 * The bytes of a filter.
 *
 * @throws VectorLiteError ERR_INVALID_ARGUMENT naming the place.
 */
export function compileFilter(filter: unknown): CompiledFilter {
  const node = readFilter(filter, "filter", 1);
  const writer = takeWriter();
  writer.byte(version);
  writeNode(writer, node, 1);
  if (writer.length > bytesMax) {
    throw new VectorLiteError(
      "ERR_INVALID_ARGUMENT",
      `The filter takes ${writer.length} bytes, at most ${bytesMax} fit; ask in several parts.`,
    );
  }
  const bytes = writer.bytes.slice(0, writer.length);
  releaseWriter(writer);
  return { bytes, length: bytes.length };
}

function readFilter(filter: unknown, path: string, depth: number): Node {
  checkDepth(depth);
  if (!isPlainObject(filter)) throw invalidArgument(path, "a plain object of fields", filter);
  const nodes: Node[] = [];
  for (const name of namesOf(filter, path)) {
    const value = filter[name];
    const place = `${path}.${shorten(name)}`;
    if (!name.startsWith("$")) readField(nodes, name, value, place, depth);
    else nodes.push(readCombined(name, value, path, depth));
  }
  return combine(Operator.AND, nodes);
}

function readCombined(name: string, value: unknown, path: string, depth: number): Node {
  const place = `${path}.${shorten(name)}`;
  switch (name) {
    case "$not":
      return { operator: Operator.NOT, node: readFilter(value, place, depth + 1) };
    case "$and":
    case "$or": {
      const nodes = readEach(value, place, (filter, index) =>
        readFilter(filter, `${place}[${index}]`, depth + 1),
      );
      if (nodes.length > 0) return combine(name === "$and" ? Operator.AND : Operator.OR, nodes);
      throw invalidArgument(place, "an array of at least one filter", value);
    }
    default:
      throw unknownOperator(name, path, "$and, $or and $not, beside the names of fields");
  }
}

/** Adds what is asked of one field. */
function readField(
  nodes: Node[],
  field: string,
  value: unknown,
  path: string,
  depth: number,
): void {
  if (!isPlainObject(value)) {
    nodes.push(leaf(Operator.EQ, field, [checkScalar(value, path, orOperators)]));
    return;
  }
  checkDepth(depth);
  const names = namesOf(value, path);
  if (names.length === 0) {
    throw new VectorLiteError(
      "ERR_INVALID_ARGUMENT",
      `${path} is an object without operators; say { $exists: true } for any value.`,
    );
  }
  for (const name of names) nodes.push(readOperator(field, name, value[name], path, depth));
}

function readOperator(
  field: string,
  name: string,
  value: unknown,
  path: string,
  depth: number,
): Node {
  const place = `${path}.${shorten(name)}`;
  switch (name) {
    case "$eq":
      return leaf(Operator.EQ, field, [checkScalar(value, place)]);
    case "$ne":
      return not(leaf(Operator.EQ, field, [checkScalar(value, place)]));
    case "$gt":
      return leaf(Operator.GT, field, [checkOrdered(value, place)]);
    case "$gte":
      return leaf(Operator.GTE, field, [checkOrdered(value, place)]);
    case "$lt":
      return leaf(Operator.LT, field, [checkOrdered(value, place)]);
    case "$lte":
      return leaf(Operator.LTE, field, [checkOrdered(value, place)]);
    case "$in":
      return leaf(Operator.IN, field, checkScalars(value, place));
    case "$nin":
      return not(leaf(Operator.IN, field, checkScalars(value, place)));
    case "$exists":
      if (typeof value !== "boolean") throw invalidArgument(place, "true or false", value);
      return value ? leaf(Operator.EXISTS, field, []) : not(leaf(Operator.EXISTS, field, []));
    case "$contains":
      return leaf(Operator.CONTAINS, field, [checkOrdered(value, place)]);
    case "$startsWith":
      if (typeof value !== "string") throw invalidArgument(place, "a string", value);
      return leaf(Operator.STARTS_WITH, field, [value]);
    case "$not":
      if (!isPlainObject(value)) throw invalidArgument(place, "an object of operators", value);
      return not(readOperators(field, value, place, depth + 1));
    default:
      throw unknownOperator(
        name,
        path,
        "$eq, $ne, $gt, $gte, $lt, $lte, $in, $nin, $exists, $not, $contains and $startsWith",
      );
  }
}

function readOperators(field: string, value: unknown, path: string, depth: number): Node {
  const nodes: Node[] = [];
  readField(nodes, field, value, path, depth);
  return combine(Operator.AND, nodes);
}

/** Names of an object's own fields. */
function namesOf(object: object, path: string): string[] {
  const [symbol] = Object.getOwnPropertySymbols(object);
  if (symbol !== undefined) throw invalidArgument(`A name in ${path}`, "a string", symbol);
  return Object.keys(object);
}

/** What each element of an array is read as. */
function readEach<Read>(
  value: unknown,
  path: string,
  read: (element: unknown, index: number) => Read,
): Read[] {
  const list = checkArray(value, path);
  const { length } = list;
  const all: Read[] = [];
  for (let index = 0; index < length; index++) all.push(read(list[index], index));
  return all;
}

const orOperators = ", or an object of operators";

function checkScalar(value: unknown, path: string, orElse = ""): Scalar {
  if (isScalar(value)) return value;
  const expected = `a string, a finite number, a boolean or null${orElse}`;
  if (!Array.isArray(value)) throw invalidArgument(path, expected, value);
  throw new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    `${path} must be ${expected}; found ${describe(value)}. Say { $contains: value } for arrays ` +
      "with that element, { $in: [values] } for one of several values.",
  );
}

function checkScalars(value: unknown, path: string): Scalar[] {
  return readEach(value, path, (element, index) =>
    isScalar(element) ? element : checkScalar(element, `${path}[${index}]`),
  );
}

function isScalar(value: unknown): value is Scalar {
  if (typeof value === "number") return Number.isFinite(value);
  return typeof value === "string" || typeof value === "boolean" || value === null;
}

function checkOrdered(value: unknown, path: string): Scalar {
  if (typeof value === "string" || (typeof value === "number" && Number.isFinite(value))) {
    return value;
  }
  throw invalidArgument(path, "a finite number or a string", value);
}

function checkDepth(depth: number): void {
  if (depth <= depthMax) return;
  throw new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    `The filter is nested too deeply: at most ${depthMax} operators lie within each other.`,
  );
}

function unknownOperator(name: string, path: string, known: string): VectorLiteError {
  return new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    `There is no operator ${JSON.stringify(shorten(name))} in ${path}; there are ${known}.`,
  );
}

function leaf(operator: number, field: string, values: readonly Scalar[]): Node {
  return { operator, field, values };
}

function not(node: Node): Node {
  return { operator: Operator.NOT, node };
}

function combine(operator: typeof Operator.AND | typeof Operator.OR, nodes: Node[]): Node {
  const [only] = nodes;
  return nodes.length === 1 && only !== undefined ? only : { operator, nodes };
}

function writeNode(writer: ByteWriter, node: Node, depth: number): void {
  checkDepth(depth);
  writer.byte(node.operator);
  if ("node" in node) {
    writeNode(writer, node.node, depth + 1);
  } else if ("nodes" in node) {
    writer.varint(node.nodes.length);
    for (const child of node.nodes) writeNode(writer, child, depth + 1);
  } else {
    const { operator, field, values } = node;
    if (writer.name(field)) {
      throw invalidArgument("A field of the filter", "named without lone surrogates", field);
    }
    if (operator === Operator.IN) writer.varint(values.length);
    for (const value of values) writeScalar(writer, value);
  }
}
