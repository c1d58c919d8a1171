/**
 * Metadata of any depth, as frameworks have it, comes back from the flat fields of a collection as
 * it went in, and filters can ask for what is within it.
 */

import { isDeepStrictEqual } from "node:util";
import { Database, type Filter, type Metadata } from "vectorlite";
import { describe, expect, test } from "vitest";
import { flattenMetadata, restoreMetadata } from "../src/sdk/flat-metadata.ts";
import { closing, expectCode } from "./helpers.ts";

/** What comes back from a file. */
function stored(metadata: unknown): Metadata {
  const docs = closing(new Database(":memory:")).collection("docs", { dimension: 1 });
  docs.upsert("a", [1], flattenMetadata(metadata));
  return docs.get("a")?.metadata ?? {};
}

function matches(metadata: unknown, filter: Filter): boolean {
  const docs = closing(new Database(":memory:")).collection("docs", { dimension: 1 });
  docs.upsert("a", [1], flattenMetadata(metadata));
  return docs.count(filter) === 1;
}

const loc = { page: 3, lines: { from: 1, to: 20 }, tags: ["x", "y"] };

describe("metadata", () => {
  test("that is flat is stored as it is", () => {
    const flat = { a: "x", b: 1.5, c: true, d: null, e: ["x"], f: [1, 2], g: [], "h.i": 1 };
    expect(stored(flat)).toEqual(flat);
    expect(flattenMetadata(flat)).toEqual(flat);
    expect(flattenMetadata(undefined)).toEqual({});
    expect(flattenMetadata(null)).toEqual({});
  });

  test.each<[string, object]>([
    ["nothing", {}],
    ["flat", { a: "x", b: ["y"], c: null }],
    ["nested", { source: "a.pdf", loc }],
    ["empty", { a: {}, b: [[]], c: [null], d: [{}] }],
    ["mixed arrays", { a: [1, "a"], b: [true], c: [null, 1], d: [[1], [2]] }],
    ["objects in arrays", { items: [{ name: "a", tags: ["x"] }, { name: "b" }] }],
    ["dots in names", { "a.b": 1, "c.d": { e: 1 } }],
    ["a name that reads like a path", { a: { b: 1, c: 2 }, "a.b": "other", "a.b.c": [true] }],
    ["a path into one that reads like a path", { "a.b": { c: 1 }, a: { b: { c: 2 } } }],
    ["names of operators", { $json: "x", $text: ["y"], $and: { $or: 1 }, "$a.b": 1, a: { $b: 1 } }],
    ["an empty name", { "": 1, a: { "": { "": 2 } }, ".": { "": 1 } }],
    [
      "lone surrogates",
      { a: "\ud800", "\ud800": 1, b: { "\udc00": "\udc00" }, c: ["\ud800", "x"] },
    ],
    ["-0", { a: -0, b: { c: [-0, "x"] } }],
    ["JSON in strings", { a: '{"b":1}', b: { c: '"\\\n' } }],
  ])("comes back: %s", (_, metadata) => {
    const found = restoreMetadata(stored(metadata));
    expect(found).toStrictEqual(metadata);
    expect(Object.keys(found).sort()).toEqual(Object.keys(metadata).sort());
  });

  test("comes back: names that objects have already", () => {
    const text = '{"__proto__":1,"constructor":{"__proto__":[{}]},"toString":"x"}';
    const found = restoreMetadata(stored(JSON.parse(text)));
    expect(Object.getPrototypeOf(found)).toBe(Object.prototype);
    expect(isDeepStrictEqual(found, JSON.parse(text))).toBe(true);
  });

  test("is taken as JSON takes it: Dates, undefined, instances, toJSON", () => {
    class Info {
      title = "t";
      #secret = 1;
      get secret(): number {
        return this.#secret;
      }
    }
    const date = new Date("2026-01-02T03:04:05.678Z");
    const metadata = {
      date,
      gone: undefined,
      info: new Info(),
      nested: { date, gone: undefined },
      url: new URL("https://example.com/a"),
      bare: Object.assign(Object.create(null), { a: 1 }),
    };
    expect(restoreMetadata(stored(metadata))).toStrictEqual(JSON.parse(JSON.stringify(metadata)));
    expect(stored({ date })).toEqual({ date: date.toISOString() });
  });

  test("that JSON would lose is refused, and the place named", () => {
    const circle: Record<string, unknown> = {};
    circle["self"] = { circle };
    const refused: [unknown, RegExp][] = [
      [{ a: Number.NaN }, /^metadata\.a .*NaN/],
      [{ a: { b: [0, Number.POSITIVE_INFINITY] } }, /^metadata\.a\.b\[1\] .*Infinity/],
      [{ a: [1, undefined] }, /^metadata\.a\[1\] .*undefined/],
      [{ a: new Array(2) }, /^metadata\.a\[0\] /],
      [{ a: 1n }, /^metadata\.a .*1/],
      [{ a: () => 1 }, /^metadata\.a .*function/],
      [{ a: new Map([[1, 2]]) }, /^metadata\.a .*Map/],
      [{ a: { b: new Set() } }, /^metadata\.a\.b .*Set/],
      [{ a: new Float32Array(2) }, /^metadata\.a .*Float32Array/],
      [{ a: new Date(Number.NaN) }, /^metadata\.a .*valid Date/],
      [{ a: { [Symbol("s")]: 1 } }, /metadata\.a .*symbol/],
      [circle, /circle/],
      [[1], /^metadata .*array/],
      ["text", /^metadata .*text/],
    ];
    for (const [metadata, message] of refused) {
      const error = expectCode(() => flattenMetadata(metadata), "ERR_INVALID_ARGUMENT");
      expect(error.message).toMatch(message);
    }
  });

  test("is asked for by the path of a nested field", () => {
    expect(matches({ loc }, { "loc.page": 3 })).toBe(true);
    expect(matches({ loc }, { "loc.page": { $gt: 3 } })).toBe(false);
    expect(matches({ loc }, { "loc.lines.to": { $gte: 20 } })).toBe(true);
    expect(matches({ loc }, { "loc.tags": { $contains: "y" } })).toBe(true);
    expect(matches({ "og.title": "t" }, { "og.title": "t" })).toBe(true);
  });

  test("exists where it is nested, and is equal to nothing then", () => {
    for (const value of [{ b: 1 }, {}, [{}], [true]]) {
      expect(matches({ a: value }, { a: { $exists: true } })).toBe(true);
      expect(matches({ a: value }, { a: null })).toBe(false);
      expect(matches({ a: value }, { a: { $gte: "" } })).toBe(false);
      expect(matches({ a: value }, { a: { $ne: "x" } })).toBe(true);
    }
    expect(matches({ a: { b: { c: 1 } } }, { "a.b": { $exists: true } })).toBe(true);
    expect(matches({ loc }, { "loc.nothing": { $exists: true } })).toBe(false);
  });

  test("asks for the nested field where a name reads like its path", () => {
    const metadata = { "a.b": "name", a: { b: "nested" } };
    expect(matches(metadata, { "a.b": "nested" })).toBe(true);
    expect(matches(metadata, { "a.b": "name" })).toBe(false);
  });
});
