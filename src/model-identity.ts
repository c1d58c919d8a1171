/**
 * What identifies the model that made the vectors of a cache.
 *
 * It is stored as one text: the name alone where nothing else is said, else JSON of the fields that
 * are, in a fixed order. Which lengths may be cut from its vectors is stored beside, and is no part
 * of the identity: it changes no vector.
 *
 * @module
 */

import { describe, invalidArgument, VectorLiteError } from "./errors.ts";
import { checkOptions, checkText, integerOption, isPlainObject, type Known } from "./options.ts";
import type { ModelIdentity } from "./types.ts";
import { encoder } from "./utf8.ts";
import { dimensionMax } from "./vectors.ts";

/** Bytes of UTF-8 that the stored text may have; frozen with the file format. */
const modelBytesMax = 1000;

const known: Known = {
  name: true,
  dimensions: true,
  task: true,
  revision: true,
  matryoshka: true,
};

/** The fields that vectors depend on. */
const identifying = ["name", "dimensions", "task", "revision"] as const;

/**
 * The model that an option names; `undefined` where it names none.
 *
 * @throws VectorLiteError ERR_INVALID_ARGUMENT
 */
export function modelOption(option: unknown): ModelIdentity | undefined {
  if (option === undefined) return undefined;
  const model = typeof option === "string" ? { name: checkText(option, "model") } : read(option);
  const bytes = encoder.encode(storedModel(model)).length;
  if (bytes <= modelBytesMax) return model;
  throw new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    `The model takes ${bytes} bytes, as it is stored; expected at most ${modelBytesMax}. Shorten ` +
      "its fields, or name a hash of them.",
  );
}

function read(option: unknown): ModelIdentity {
  if (!isPlainObject(option)) {
    throw invalidArgument("model", "the name of a model, or an object with its name", option);
  }
  const given = checkOptions(option, known, "model");
  const range = { min: 1, max: dimensionMax, fallback: 0 };
  const dimensions = integerOption(given["dimensions"], "model.dimensions", range) || undefined;
  return {
    name: checkText(given["name"], "model.name"),
    dimensions,
    task: optionalText(given["task"], "model.task"),
    revision: optionalText(given["revision"], "model.revision"),
    matryoshka: readMatryoshka(given["matryoshka"], dimensions ?? dimensionMax),
  };
}

function optionalText(value: unknown, name: string): string | undefined {
  return value === undefined ? undefined : checkText(value, name);
}

function readMatryoshka(value: unknown, max: number): true | number[] | undefined {
  if (value === undefined || value === false) return undefined;
  if (value === true) return true;
  const isLength = (length: unknown): length is number =>
    Number.isInteger(length) && Number(length) >= 1 && Number(length) <= max;
  if (Array.isArray(value) && value.length > 0 && value.every(isLength)) {
    return [...new Set(value)].sort((a, b) => a - b);
  }
  throw new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    `model.matryoshka must be true, or the lengths that may be cut, each from 1 to ${max}; found ` +
      `${Array.isArray(value) ? JSON.stringify(value) : describe(value)}.`,
  );
}

/** The text that is stored of a model; empty where there is none. */
export function storedModel(model: ModelIdentity | undefined): string {
  if (model === undefined) return "";
  const { name } = model;
  const text = JSON.stringify(modelFields(model));
  return text === JSON.stringify({ name }) ? name : text;
}

/** The fields in the order in which they are stored; none where there is no model. */
export function modelFields(model: ModelIdentity | undefined): Partial<ModelIdentity> {
  if (model === undefined) return {};
  const { name, dimensions, task, revision, matryoshka } = model;
  return { name, dimensions, task, revision, matryoshka };
}

/** The model of a stored text. A text that this module did not write is a name. */
export function parseModel(text: string): ModelIdentity | undefined {
  if (text === "") return undefined;
  if (!text.startsWith('{"name":')) return { name: text };
  try {
    const model = read(JSON.parse(text));
    return storedModel(model) === text ? model : { name: text };
  } catch {
    return { name: text };
  }
}

/**
 * Refuses a model that is not the one of `subject`.
 *
 * @throws VectorLiteError ERR_MODEL
 */
export function checkSameModel(
  found: ModelIdentity,
  expected: ModelIdentity | undefined,
  subject: string,
): void {
  const differences = identifying.filter((field) => found[field] !== expected?.[field]);
  if (differences.length === 0) return;
  throw new VectorLiteError(
    "ERR_MODEL",
    `${subject} holds embeddings of ${show(expected)}, and was opened for ${show(found)}: ` +
      `another ${differences.join(", ")}. Vectors of different models cannot be compared; use ` +
      "another namespace or file for each.",
  );
}

function show(model: ModelIdentity | undefined): string {
  if (model === undefined) return "no model that was named";
  const { name, dimensions, task, revision } = model;
  return `the model ${JSON.stringify(storedModel({ name, dimensions, task, revision }))}`;
}
