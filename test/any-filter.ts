/**
 * Any filter, and any metadata, of so few fields and values that one is often true of the other.
 */

import fc from "fast-check";
import type { Metadata } from "vectorlite";
import type { AnyFilter } from "./filter-model.ts";

const fields = ["a", "b", "c", "__proto__"] as const;
const texts = ["", "a", "ab", "b", "é", "\uffff", "😀", "\ud83d", "x".repeat(400)] as const;
const numbers = [-1.5, -0, 0, 1, 2, 1e300] as const;

const anyField = fc.constantFrom(...fields);
const anyOrdered = fc.oneof(fc.constantFrom(...texts), fc.constantFrom(...numbers));
const anyScalar = fc.oneof(
  ...[fc.constantFrom(...texts), fc.constantFrom(...numbers)],
  fc.constantFrom(null, true, false),
);
const anyValue = fc.oneof(
  { arbitrary: anyScalar, weight: 5 },
  { arbitrary: fc.array(fc.constantFrom(...texts), { maxLength: 3 }), weight: 1 },
  { arbitrary: fc.array(fc.constantFrom(...numbers), { maxLength: 3 }), weight: 1 },
);

/** So made, `__proto__` is a field like others. */
function objectOf(entries: readonly (readonly [string, unknown])[]): AnyFilter {
  return Object.fromEntries(entries) as AnyFilter;
}

export const anyMetadata: fc.Arbitrary<Metadata> = fc
  .uniqueArray(fc.tuple(anyField, anyValue), {
    ...{ selector: ([field]) => field, maxLength: fields.length, size: "max" },
  })
  .map((entries) => objectOf(entries) as Metadata);

const both = fc.letrec<{ filter: AnyFilter; operators: AnyFilter }>((tie) => ({
  operators: fc
    .array(
      fc.oneof(
        { maxDepth: 3 },
        fc.tuple(fc.constantFrom("$eq", "$ne"), anyScalar),
        fc.tuple(fc.constantFrom("$gt", "$gte", "$lt", "$lte", "$contains"), anyOrdered),
        fc.tuple(fc.constantFrom("$in", "$nin"), fc.array(anyScalar, { maxLength: 4 })),
        fc.tuple(fc.constant("$exists"), fc.boolean()),
        fc.tuple(fc.constant("$startsWith"), fc.constantFrom(...texts)),
        fc.tuple(fc.constant("$not"), tie("operators")),
      ),
      { minLength: 1, maxLength: 2 },
    )
    .map(objectOf),
  filter: fc
    .array(
      fc.oneof(
        { maxDepth: 4 },
        fc.tuple(anyField, anyScalar),
        fc.tuple(anyField, tie("operators")),
        fc.tuple(
          fc.constantFrom("$and", "$or"),
          fc.array(tie("filter"), { minLength: 1, maxLength: 3 }),
        ),
        fc.tuple(fc.constant("$not"), tie("filter")),
      ),
      { maxLength: 3 },
    )
    .map(objectOf),
}));

export const anyFilter: fc.Arbitrary<AnyFilter> = both.filter;
