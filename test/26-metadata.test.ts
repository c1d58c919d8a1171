/**
 * Metadata: it comes back as it was given, or it is refused and the message names the field.
 */

import fc from "fast-check";
import {
  type Collection,
  Database,
  type Metadata,
  type MetadataOf,
  VectorLiteError,
} from "vectorlite";
import { describe, expect, test } from "vitest";
import { ByteWriter } from "../src/byte-writer.ts";
import { writeDocument } from "../src/metadata.ts";
import { MetadataReader } from "../src/metadata-reader.ts";
import { closing, expectCode, temporaryPath } from "./helpers.ts";

function newCollection<T extends MetadataOf<T> = Metadata>(): Collection<T> {
  const db = closing(new Database(temporaryPath()));
  return db.collection<T>("docs", { dimension: 2, metric: "l2" });
}

/** Half characters too. */
const anyText = fc.oneof(
  fc.string(),
  fc.string({ unit: "binary", maxLength: 300 }),
  fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)) }),
);
const anyName = fc.oneof(
  fc.string({ unit: "binary", maxLength: 200 }),
  fc.constantFrom("__proto__", "constructor", "toString", "lang", "year", "0", "17", "-0", ""),
);
const anyNumber = fc.double({ noNaN: true, noDefaultInfinity: true });
const anyValue = fc.oneof(
  ...[anyText, anyNumber, fc.boolean(), fc.constant(null)],
  fc.array(anyText, { maxLength: 20 }),
  fc.array(anyNumber, { maxLength: 20 }),
);
const anyMetadata = fc
  .array(fc.tuple(anyName, anyValue), { maxLength: 12 })
  .map((fields) => Object.fromEntries(fields) as Metadata);

/** Fields in their order; negative zero is not zero. */
function expectSame(found: Metadata | undefined, given: Metadata): void {
  const fields = Object.entries(found ?? {});
  expect(fields.map(([name]) => name)).toEqual(Object.keys(given));
  for (const [name, value] of fields) expect(value).toStrictEqual(given[name]);
}

describe("comes back", () => {
  const values = {
    text: 'quotes " and \\ and \n and \u2028',
    unicode: "日本語 👩‍👩‍👧‍👦",
    lone: "\ud800",
    empty: "",
    integer: 42,
    fraction: -0.1,
    tiny: 5e-324,
    large: 1.7976931348623157e308,
    zero: 0,
    yes: true,
    no: false,
    nothing: null,
    texts: ["a", "", "ü"],
    numbers: [1, -0.5, 1e21],
    none: [],
    "a field with spaces": 1,
    toString: "own",
  };

  test("as it was given, whatever it holds", () => {
    const docs = newCollection<typeof values>();
    docs.upsert("a", [1, 2], values);
    expect(docs.get("a")?.metadata).toEqual(values);
    expect(Object.keys(docs.get("a")?.metadata ?? {})).toEqual(Object.keys(values));
    expect([...docs.entries()][0]?.metadata).toEqual(values);
    expect(docs.search([1, 2])[0]?.metadata).toEqual(values);
  });

  test("with negative zero and a field called __proto__", () => {
    const docs = newCollection<Record<string, number>>();
    const metadata = JSON.parse('{"__proto__": 1}') as Record<string, number>;
    metadata["zero"] = -0;
    docs.upsert("a", [1, 2], metadata);
    const found = docs.get("a")?.metadata;
    expect(Object.is(found?.["zero"], -0)).toBe(true);
    expect(Object.keys(found ?? {})).toEqual(["__proto__", "zero"]);
  });

  test("when it is large", () => {
    const docs = newCollection<{ text: string }>();
    const text = "ü".repeat(300_000);
    docs.upsert("a", [1, 2], { text });
    docs.upsert("b", [1, 2], { text: "short" });
    docs.upsertMany([{ key: "c", vector: [3, 4], metadata: { text } }]);
    expect(docs.get("a")?.metadata.text).toBe(text);
    expect(docs.get("b")?.metadata.text).toBe("short");
    expect(docs.search([3, 4], { k: 1 })[0]?.metadata.text).toBe(text);
    expect([...docs.entries()].map(({ metadata }) => metadata.text.length).sort()).toEqual([
      300_000, 300_000, 5,
    ]);
  });

  test("field by field in the same order, from every way in by every way out", () => {
    const docs = newCollection();
    fc.assert(
      fc.property(fc.array(anyMetadata, { minLength: 1, maxLength: 8 }), (metadatas) => {
        const keys = metadatas.map((_, index) => `key ${index}`);
        docs.deleteMany([...docs.keys()]);
        docs.upsertMany(keys, new Float32Array(keys.length * 2), metadatas);
        docs.upsert("single", [0, 0], metadatas[0]);
        const given = new Map(keys.map((key, index) => [key, metadatas[index] ?? {}]));
        given.set("single", metadatas[0] ?? {});
        for (const [key, metadata] of given) expectSame(docs.get(key)?.metadata, metadata);
        for (const hit of docs.search([1, 1])) expectSame(hit.metadata, given.get(hit.key) ?? {});
        for (const { key, metadata } of docs.entries()) expectSame(metadata, given.get(key) ?? {});
      }),
    );
  });

  test("as plain objects that the caller owns", () => {
    const docs = newCollection<{ tags: string[] }>();
    const given = { tags: ["a", "b"] };
    docs.upsert("a", [1, 2], given);
    given.tags.push("c");
    const first = docs.get("a")?.metadata;
    expect(first).toStrictEqual({ tags: ["a", "b"] });
    first?.tags.push("c");
    expect(docs.get("a")?.metadata).toStrictEqual({ tags: ["a", "b"] });
  });

  test("from objects without a prototype, and without what others inherit", () => {
    const docs = newCollection();
    docs.upsert("bare", [1, 2], Object.assign(Object.create(null), { a: 1 }));
    docs.upsert("child", [1, 2], Object.assign(Object.create(Object.create(null)), { a: 1 }));
    Object.defineProperty(Object.prototype, "inherited", {
      ...{ value: 5, enumerable: true, configurable: true },
    });
    try {
      docs.upsert("polluted", [1, 2], { a: 1 });
      docs.upsert("own", [1, 2], { inherited: 6 });
    } finally {
      delete (Object.prototype as Record<string, unknown>)["inherited"];
    }
    for (const key of ["bare", "child", "polluted"]) {
      expect(docs.get(key)?.metadata).toStrictEqual({ a: 1 });
    }
    expect(docs.get("own")?.metadata).toStrictEqual({ inherited: 6 });
  });

  test("with more names than are remembered", () => {
    const docs = newCollection();
    const metadatas = Array.from({ length: 60 }, (_, row) =>
      Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`${row} ${n}`, `${n}`.repeat(9)])),
    );
    const keys = metadatas.map((_, row) => `${row}`);
    docs.upsertMany(keys, new Float32Array(keys.length * 2), metadatas);
    for (const [row, metadata] of metadatas.entries()) {
      expectSame(docs.get(`${row}`)?.metadata, metadata);
    }
  });

  test("from getters and proxies, each field of which is read once", () => {
    const docs = newCollection();
    let reads = 0;
    const getter = {
      get n(): number {
        docs.upsert("inner", [1, 2], { inside: reads });
        return ++reads;
      },
      text: "after it",
    };
    docs.upsert("a", [1, 2], getter);
    docs.upsertMany(["b", "c"], new Float32Array(4), [new Proxy(getter, {}), { text: "next" }]);
    expect(reads).toBe(2);
    expect(docs.get("a")?.metadata).toStrictEqual({ n: 1, text: "after it" });
    expect(docs.get("b")?.metadata).toStrictEqual({ n: 2, text: "after it" });
    expect(docs.get("c")?.metadata).toStrictEqual({ text: "next" });
    expect(docs.get("inner")?.metadata).toStrictEqual({ inside: 1 });
  });
});

describe("is refused:", () => {
  test.each([
    ["undefined", { field: undefined }, "metadata.field"],
    ["NaN", { field: Number.NaN }, "metadata.field"],
    ["infinity", { field: Number.POSITIVE_INFINITY }, "metadata.field"],
    ["a bigint", { field: 1n }, "metadata.field"],
    ["a function", { field: () => 1 }, "metadata.field"],
    ["a symbol", { field: Symbol("x") }, "metadata.field"],
    ["a nested object", { field: { a: 1 } }, "metadata.field"],
    ["a date", { field: new Date() }, "metadata.field"],
    ["a typed array", { field: new Float32Array(1) }, "metadata.field"],
    ["a mixed array", { field: ["a", 1] }, "metadata.field[1]"],
    ["an array of booleans", { field: [true] }, "metadata.field[0]"],
    ["a nested array", { field: [[1]] }, "metadata.field[0]"],
    ["NaN in an array", { field: [1, Number.NaN] }, "metadata.field[1]"],
    ["a hole in an array", { field: Array(1) }, "metadata.field[0]"],
    ["null", null, "metadata"],
    ["an array", ["a"], "metadata"],
    ["a string", "a", "metadata"],
    ["a date itself", new Date(), "metadata"],
    ["a map", new Map(), "metadata"],
    ["a field named by a symbol", { [Symbol("x")]: 1 }, "metadata"],
    ["half a character in a name", { "a\ud800": 1 }, '"a\\ud800"'],
    ["a long name's value", { [`x${"y".repeat(5000)}`]: undefined }, "metadata.xyyyy"],
  ])("%s, and the message names the field", (_, metadata, name) => {
    const docs = newCollection();
    const error = expectCode(
      () => docs.upsert("a", [1, 2], metadata as never),
      "ERR_INVALID_ARGUMENT",
    );
    expect(error.message).toContain(name);
    expect(error.message.length).toBeLessThan(250);
    expectCode(
      () => docs.upsertMany([{ key: "a", vector: [1, 2], metadata: metadata as never }]),
      "ERR_INVALID_ARGUMENT",
    );
    expectCode(() => docs.upsertMany(["a"], [[1, 2]], [metadata as never]), "ERR_INVALID_ARGUMENT");
    expect(docs.size).toBe(0);
  });

  test("of another count than the keys", () => {
    const docs = newCollection();
    expectCode(() => docs.upsertMany(["a"], [[1, 2]], []), "ERR_INVALID_ARGUMENT");
    expectCode(() => docs.upsertMany(["a"], [[1, 2]], {} as never), "ERR_INVALID_ARGUMENT");
  });

  test("more than 16 MiB of it, with its size", () => {
    const docs = newCollection();
    const metadata = { text: "x".repeat(16 << 20) };
    for (const write of [
      () => docs.upsert("a", [1, 2], metadata),
      () => docs.upsertMany([{ key: "a", vector: [1, 2], metadata }]),
    ]) {
      expect(expectCode(write, "ERR_INVALID_ARGUMENT").message).toContain("16777226 bytes");
    }
    expect(docs.size).toBe(0);
  });
});

test("is stored in the bytes that the file format describes", () => {
  const number = (value: number): number[] => [...new Uint8Array(Float64Array.of(value).buffer)];
  const writer = new ByteWriter();
  writeDocument(writer, {
    ...{ n: null, f: false, t: true, x: -0, s: "ü", h: "\udc00" },
    ...{ l: ["a", "", "\ud800"], d: [1.5, 2], e: [] },
  });
  expect([...writer.bytes.subarray(0, writer.length)]).toEqual([
    ...[1, 0x6e, 0],
    ...[1, 0x66, 1],
    ...[1, 0x74, 2],
    ...[1, 0x78, 3, ...number(-0)],
    ...[1, 0x73, 4, 2, 0xc3, 0xbc],
    ...[1, 0x68, 4 + 128, 3, 0xed, 0xb0, 0x80],
    ...[1, 0x6c, 5 + 128, 3, 1, 0x61, 0, 3, 0xed, 0xa0, 0x80],
    ...[1, 0x64, 6, 2, ...number(1.5), ...number(2)],
    ...[1, 0x65, 5, 0],
  ]);
});

describe("that a hostile file holds under a right checksum is read, or ERR_CORRUPT:", () => {
  const read = (bytes: readonly number[]): object =>
    new MetadataReader(Uint8Array.from(bytes)).document(0, bytes.length);

  test.each([
    ["a name that is cut off", [5, 0x61]],
    ["no kind", [1, 0x61]],
    ["an unknown kind", [1, 0x61, 7]],
    ["a kind that cannot be lone", [1, 0x61, 3 + 128, 0, 0, 0, 0, 0, 0, 0, 0]],
    ["half a number", [1, 0x61, 3, 0, 0, 0, 0]],
    ["a string that is cut off", [1, 0x61, 4, 9, 0x61]],
    ["a length without an end", [1, 0x61, 4, 255, 255, 255, 255, 255, 255, 1]],
    ["four thousand million strings", [1, 0x61, 5, 255, 255, 255, 255, 15]],
    ["more numbers than bytes", [1, 0x61, 6, 2, 0, 0, 0, 0, 0, 0, 0, 0]],
    ["the JSON of older versions", [...'{"lang":"en"}'].map((c) => c.charCodeAt(0))],
  ])("%s", (_, bytes) => {
    expectCode(() => read(bytes), "ERR_CORRUPT");
  });

  test("anything", () => {
    const small = fc.oneof(fc.integer({ min: 0, max: 8 }), fc.integer({ min: 0, max: 255 }));
    fc.assert(
      fc.property(fc.array(small, { maxLength: 60 }), (bytes) => {
        try {
          read(bytes);
        } catch (error) {
          if (!(error instanceof VectorLiteError) || error.code !== "ERR_CORRUPT") throw error;
        }
      }),
      { numRuns: 3000 },
    );
  });
});
