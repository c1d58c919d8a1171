/**
 * The one error class of VectorLite and its stable codes.
 *
 * Programs decide by `code`, people read `message`. Codes are frozen: one may be added, none is
 * renamed or reused. Messages may change in any release.
 *
 * @module
 */

/**
 * What went wrong, as a stable string.
 *
 * | code | meaning |
 * | --- | --- |
 * | `ERR_INVALID_ARGUMENT` | an argument or option has the wrong type or value, or is misspelled |
 * | `ERR_DIMENSION` | a vector has another dimension than its collection |
 * | `ERR_INVALID_VECTOR` | NaN, infinity, a detached array, or a zero vector under cosine |
 * | `ERR_KEY` | a key is empty, over 65,536 bytes of UTF-8, or holds a lone surrogate |
 * | `ERR_MODEL` | the file belongs to another embedding model |
 * | `ERR_CLOSED` | the database, cache, collection or snapshot is closed |
 * | `ERR_READONLY` | a write through a read-only handle, snapshot or byte image |
 * | `ERR_LOCKED` | another process is writing beyond `busyTimeout`, or `transactionAsync()` is |
 * | `ERR_NOT_A_DATABASE` | the path is a folder, or the file is not a VectorLite file |
 * | `ERR_VERSION` | the file was written by a newer format version |
 * | `ERR_CORRUPT` | a checksum does not match: the file is damaged |
 * | `ERR_NO_SPACE` | the disk or quota is full; nothing of the failed write is visible |
 * | `ERR_IO` | the operating system refused: missing file, no permission, a bad disk |
 * | `ERR_POISONED` | an fsync failed earlier, so nothing can be promised: close and open again |
 * | `ERR_OUT_OF_MEMORY` | memory ran out; nothing of the failed call is visible |
 * | `ERR_NATIVE_LIBRARY` | the native library is missing or of another version |
 * | `ERR_MISS` | a key is missing where nothing may be computed: mode `replay` |
 * | `ERR_SOURCE` | the source of an import failed; `cause` is what it threw |
 */
export type ErrorCode =
  | "ERR_INVALID_ARGUMENT"
  | "ERR_DIMENSION"
  | "ERR_INVALID_VECTOR"
  | "ERR_KEY"
  | "ERR_MODEL"
  | "ERR_CLOSED"
  | "ERR_READONLY"
  | "ERR_LOCKED"
  | "ERR_NOT_A_DATABASE"
  | "ERR_VERSION"
  | "ERR_CORRUPT"
  | "ERR_NO_SPACE"
  | "ERR_IO"
  | "ERR_POISONED"
  | "ERR_OUT_OF_MEMORY"
  | "ERR_NATIVE_LIBRARY"
  | "ERR_MISS"
  | "ERR_SOURCE";

/**
 * Every failure of VectorLite: `code` for programs, `message` with what was found, what was
 * expected and what to do for people.
 *
 * @example
 * ```ts
 * try {
 *   cache.set("greeting", vector);
 * } catch (error) {
 *   if (error instanceof VectorLiteError && error.code === "ERR_NO_SPACE") makeRoom();
 *   else throw error;
 * }
 * ```
 */
export class VectorLiteError extends Error {
  /** The stable code; see {@link ErrorCode}. */
  readonly code: ErrorCode;

  /**
   * @param code - The stable code.
   * @param message - One sentence for people.
   * @param options - `cause`, as for `Error`.
   */
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

// On the prototype, so that it is no enumerable field of every printed error.
Object.defineProperty(VectorLiteError.prototype, "name", {
  value: "VectorLiteError",
  configurable: true,
  writable: true,
});

/**
 * The failure of an import: what was written before it stays. `code` is ERR_SOURCE where the source
 * threw, and that of the write or of the record otherwise; `cause` is the error itself.
 *
 * @example
 * ```ts
 * try {
 *   await docs.import(source);
 * } catch (error) {
 *   if (error instanceof ImportError) console.error(`${error.records} records are there`);
 *   throw error;
 * }
 * ```
 */
export class ImportError extends VectorLiteError {
  /** Records of whole batches that were written before. */
  readonly records: number;

  /**
   * @param code - The stable code.
   * @param message - One sentence for people.
   * @param records - How many were written.
   * @param options - `cause`, as for `Error`.
   */
  constructor(code: ErrorCode, message: string, records: number, options?: ErrorOptions) {
    super(code, message, options);
    this.records = records;
  }
}

/** What a wrong argument looks like in a message: its type, and its value where that is short. */
export function describe(value: unknown): string {
  if (value === null) return "null";
  switch (typeof value) {
    case "string":
      return value.length <= 40
        ? `the string ${JSON.stringify(value)}`
        : `a string of ${value.length} characters`;
    case "number":
    case "boolean":
      return String(value);
    case "bigint":
      return `the bigint ${value}n`;
    case "undefined":
      return "undefined";
    case "object":
      return describeObject(value);
    default:
      return `a ${typeof value}`;
  }
}

/** A name for a message: the beginning of one that is long. */
export function shorten(name: string): string {
  return name.length <= 60 ? name : `${name.slice(0, 60)}…`;
}

function describeObject(value: object): string {
  if (Array.isArray(value)) return `an array of length ${value.length}`;
  const name = kindOf(value);
  const article = /^[AEIOU]/.test(name) ? "an" : "a";
  if (ArrayBuffer.isView(value) && "length" in value) {
    return `${article} ${name} of length ${String(value.length)}`;
  }
  return name === "Object" ? "an object" : `${article} ${name}`;
}

/** What is built in says what it is; an instance of a class has only its constructor's name. */
function kindOf(value: object): string {
  const kind = Object.prototype.toString.call(value).slice(8, -1);
  if (kind !== "Object") return kind;
  const name: unknown = Object.getPrototypeOf(value)?.constructor?.name;
  return typeof name === "string" && name !== "" ? name : kind;
}

/** An ERR_INVALID_ARGUMENT that names what was expected and what was found. */
export function invalidArgument(name: string, expected: string, found: unknown): VectorLiteError {
  return new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    `${name} must be ${expected}; found ${describe(found)}.`,
  );
}
