/**
 * Any program of calls of one database: plain data, so that one that fails can be made smaller, and
 * read.
 */

import fc from "fast-check";
import type { Durability } from "vectorlite";
import { anyFilter, anyMetadata } from "./any-filter.ts";
import type { Rows, Search, Write } from "./database-model.ts";
import type { AnyFilter } from "./filter-model.ts";

/** What looks at the states that there are. */
export type Look =
  | { do: "find"; name: string; filter: AnyFilter }
  | { do: "search"; name: string; search: Search };

/** `which` counts the snapshots that are held, round and round. */
export type Hold = { do: "snapshot" } | { do: "release"; which: number };

export interface Transaction {
  readonly do: "transaction" | "transactionAsync";
  readonly steps: readonly Step[];
  /** At its end. */
  readonly throws: boolean;
  /** By the transaction that it is in. */
  readonly isCaught: boolean;
}

/** What no transaction takes. */
export type Outside = { do: "reopen" | "swap" | "flush" | "compact" | "clear" };

export type Step = Write | Look | Hold | Transaction | Outside;

export interface Program {
  readonly durability: Durability;
  readonly steps: readonly Step[];
}

/** `clear()` is one of an `EmbedCache`, whose collection is called so. */
const anyName = fc.constantFrom("a", "b", "a", "default", "a");
const anyKey = fc.oneof(fc.nat({ max: 9 }), fc.nat({ max: 299 }));
const anyVector = fc.nat({ max: 99 });

function rowsOf(count: fc.Arbitrary<number>): fc.Arbitrary<Rows> {
  return fc.record({
    ...{ first: fc.constantFrom(0, 5, 250), count, times: fc.constantFrom(1, 1, 1, 2) },
    vector: anyVector,
    metadatas: fc.array(anyMetadata, { minLength: 1, maxLength: 8, size: "max" }),
    isSpoilt: fc.constantFrom(...Array<boolean>(9).fill(false), true),
  });
}

/** Several blocks of columns and many of codes, of which the last ones are not complete. */
const manyRows = rowsOf(fc.integer({ min: 200, max: 700 }));
const anyRows = fc.oneof(
  { weight: 5, arbitrary: rowsOf(fc.nat({ max: 40 })) },
  { weight: 1, arbitrary: manyRows },
);

function upsertManyOf(name: fc.Arbitrary<string>, rows: fc.Arbitrary<Rows>) {
  return fc.record({ do: fc.constant("upsertMany" as const), name, rows });
}

const anySearch: fc.Arbitrary<Search> = fc.record({
  query: anyVector,
  k: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 20 }), fc.constant(1000)),
  offset: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat({ max: 30 })),
  // Vectors of -1, 0 and 1 have no such score, which one may round to more and another to less.
  threshold: fc.constantFrom(undefined, undefined, 0.3141, 0.9501, 1.9137),
  filter: fc.option(anyFilter, { nil: undefined }),
  exact: fc.boolean(),
});

const anyChange = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      ...{ do: fc.constant("upsert" as const), name: anyName, key: anyKey },
      ...{ vector: anyVector, metadata: anyMetadata },
    }),
  },
  { weight: 5, arbitrary: upsertManyOf(anyName, anyRows) },
  {
    weight: 4,
    arbitrary: fc.record({
      ...{ do: fc.constant("setMetadata" as const), name: anyName, key: anyKey },
      metadata: anyMetadata,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("delete" as const), name: anyName, key: anyKey }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      ...{ do: fc.constant("deleteMany" as const), name: anyName },
      ...{ first: anyKey, count: fc.nat({ max: 300 }) },
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      ...{ do: fc.constant("deleteWhere" as const), name: anyName, filter: anyFilter },
    }),
  },
);

/** Few dimensions for many ties; many of them for searches that read codes. */
function creationOf(name: fc.Arbitrary<string>): fc.Arbitrary<Write> {
  return fc.record({
    ...{ do: fc.constant("create" as const), name },
    dimension: fc.constantFrom(4, 8, 4, 256),
    metric: fc.constantFrom("cosine" as const, "dot" as const, "l2" as const),
  });
}

const anyCollectionWrite = fc.oneof(
  { weight: 3, arbitrary: creationOf(anyName) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("drop" as const), name: anyName }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("rename" as const), name: anyName, to: anyName }),
  },
);

const anyLook = fc.oneof(
  fc.record({ do: fc.constant("find" as const), name: anyName, filter: anyFilter }),
  fc.record({ do: fc.constant("search" as const), name: anyName, search: anySearch }),
);

const anyHold: fc.Arbitrary<Hold> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ do: fc.constant("snapshot" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("release" as const), which: fc.nat(3) }) },
);

const plain: fc.WeightedArbitrary<Step>[] = [
  { weight: 12, arbitrary: anyChange },
  { weight: 4, arbitrary: anyCollectionWrite },
  { weight: 7, arbitrary: anyLook },
  { weight: 2, arbitrary: anyHold },
];

function transactionOf<Do extends Transaction["do"]>(
  kind: Do,
  step: fc.Arbitrary<Step>,
): fc.Arbitrary<Step> {
  return fc.record({
    do: fc.constant(kind),
    steps: fc.array(step, { maxLength: 8, size: "max" }),
    throws: fc.constantFrom(false, false, true),
    isCaught: fc.constantFrom(true, false),
  });
}

/** What a synchronous transaction takes, and an asynchronous one. */
const { synchronous, asynchronous } = fc.letrec<{ synchronous: Step; asynchronous: Step }>(
  (tie) => ({
    synchronous: fc.oneof({ maxDepth: 2 }, ...plain, {
      weight: 3,
      arbitrary: transactionOf("transaction", tie("synchronous")),
    }),
    asynchronous: fc.oneof(
      { maxDepth: 2 },
      ...plain,
      { weight: 2, arbitrary: transactionOf("transaction", tie("synchronous")) },
      { weight: 2, arbitrary: transactionOf("transactionAsync", tie("asynchronous")) },
    ),
  }),
);

const anyOutside: fc.Arbitrary<Step> = fc.record({
  do: fc.constantFrom("swap", "reopen", "flush", "compact", "clear"),
});

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  ...plain,
  { weight: 3, arbitrary: transactionOf("transaction", synchronous) },
  { weight: 3, arbitrary: transactionOf("transactionAsync", asynchronous) },
  { weight: 3, arbitrary: anyOutside },
);

/** Most of them begin with a few collections, of which one may be large. */
export const anyProgram: fc.Arbitrary<Program> = fc
  .record({
    durability: fc.constantFrom("full" as const, "normal" as const, "none" as const),
    made: fc.tuple(
      ...["a", "b", "default"].map((name) => fc.option(creationOf(fc.constant(name)))),
    ),
    filled: fc.option(upsertManyOf(fc.constant("a"), manyRows), { freq: 2 }),
    steps: fc.array(anyStep, { maxLength: 30, size: "max" }),
  })
  .map(({ durability, made, filled, steps }) => ({
    durability,
    steps: [...made, filled, ...steps].filter((step) => step !== null),
  }));
