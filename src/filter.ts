/**
 * The types of filters. No code: importing this file costs nothing at run time.
 *
 * @module
 */

import type { Metadata, MetadataValue } from "./types.ts";

/** A value that a field is compared with as a whole: its own, or `null` where it may have none. */
type Whole<Value> =
  | Exclude<Value, readonly unknown[] | undefined>
  | (undefined extends Value ? null : never);

/** What has an order: numbers among numbers, strings among strings. */
type Ordered<Value> =
  | (Extract<Value, number> extends never ? never : number)
  | (Extract<Value, string> extends never ? never : string);

/** An element of the arrays that a field may hold. */
type ElementOf<Value> = Value extends readonly (infer Element)[] ? Element : never;

/**
 * What is asked of one field. Several operators in one object are all required.
 *
 * Only `$ne`, `$nin`, `$not` and `$exists: false` match a record that lacks the field.
 */
export interface FieldOperators<Value = MetadataValue> {
  /** Holds this value. `null` is equal to `null` only, 0 to -0. */
  $eq?: Whole<Value>;
  /** Holds another value, or is missing. */
  $ne?: Whole<Value>;
  /** Holds a greater number, or a string that comes later in the order of code points. */
  $gt?: Ordered<Value>;
  /** The same, or equal. */
  $gte?: Ordered<Value>;
  /** Holds a smaller number, or a string that comes earlier in the order of code points. */
  $lt?: Ordered<Value>;
  /** The same, or equal. */
  $lte?: Ordered<Value>;
  /** Holds one of these values; none of an empty list. */
  $in?: readonly Whole<Value>[];
  /** Holds none of these values, or is missing. */
  $nin?: readonly Whole<Value>[];
  /** `true`: is there, be it `null`. `false`: is missing. */
  $exists?: boolean;
  /** Not what these operators say together, or missing. */
  $not?: FieldOperators<Value>;
  /** Holds an array with this element. */
  $contains?: ElementOf<Value>;
  /** Holds a string that begins like this. */
  $startsWith?: Extract<Value, string> extends never ? never : string;
}

/** What is asked of one field: a value that it is to hold, or operators. */
export type FieldFilter<Value = MetadataValue> = Whole<Value> | FieldOperators<Value>;

/** What is asked of several filters. */
interface Combined<Doc> {
  /** All of these, at least one. */
  $and?: readonly Filter<Doc>[];
  /** Any of these, at least one. */
  $or?: readonly Filter<Doc>[];
  /** Not this. */
  $not?: Filter<Doc>;
}

/** Field by field. A name that begins with `$` is an operator, never a field. */
type Fields<Doc> = {
  [Field in keyof Doc as Field extends `$${string}` ? never : Field]?: FieldFilter<Doc[Field]>;
};

/** Of documents that may have any field: what is behind a name is not known before it is run. */
interface AnyFields<Value> {
  [field: string]: FieldFilter<Value> | readonly AnyFields<Value>[] | AnyFields<Value>;
}

/**
 * Which records are meant, by their metadata, in MongoDB's operators. Several fields are all
 * required; `{}` means every record.
 *
 * A filter is checked before it is used: an unknown operator, a value that cannot be compared, and
 * `undefined` are an ERR_INVALID_ARGUMENT that names the place, never an empty result. Filters may
 * be nested 64 deep and take 1 MiB.
 *
 * @example
 * ```ts
 * const recent: Filter<Doc> = { lang: "en", year: { $gte: 2020, $lt: 2026 } };
 * const either: Filter<Doc> = { $or: [{ lang: "de" }, { tags: { $contains: "german" } }] };
 * ```
 */
export type Filter<Doc = Metadata> = string extends keyof Doc
  ? AnyFields<Exclude<Doc[keyof Doc], undefined>>
  : Fields<Doc> & Combined<Doc>;
