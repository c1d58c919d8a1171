/**
 * Where adapters keep the vectors of several models: one namespace for each identity.
 */

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { type CacheMessage, EmbedCache } from "vectorlite";
import { describe, expect, onTestFinished, test } from "vitest";
import {
  type EmbedTexts,
  embedInSpace,
  type EmbeddingIdentity,
  numbersInSpace,
  spaceName,
  spaceOf,
  stableJson,
} from "../src/sdk/model-spaces.ts";
import { memoryCache } from "./embeddings.ts";
import { closing, expectCode, expectRejection, seededRandom, temporaryPath } from "./helpers.ts";

const small: EmbeddingIdentity = { provider: "test", model: "small" };

/** Embeds a text as its length; remembers what it was asked. */
function lengths(dimension = 2): { asked: string[][]; embed: EmbedTexts } {
  const asked: string[][] = [];
  const embed: EmbedTexts = async (texts) => {
    asked.push(texts);
    const vectors = texts.map((text) => new Float32Array(dimension).fill(text.length + 1));
    return { vectors, tokens: texts.length };
  };
  return { asked, embed };
}

describe("the name of an identity", () => {
  test("is its JSON, in whatever order the fields were given", () => {
    const options = { b: 1, a: [{ d: 1, c: 2 }] };
    const name = '{"model":"m","options":{"a":[{"c":2,"d":1}],"b":1},"provider":"p"}';
    expect(spaceName({ provider: "p", model: "m", options })).toBe(name);
    const other = { options: { a: [{ c: 2, d: 1 }], b: 1 }, model: "m", provider: "p" };
    expect(spaceName(other)).toBe(name);
  });

  test("does not depend on fields that are undefined", () => {
    expect(spaceName({ ...small, dimensions: undefined, options: undefined })).toBe(
      spaceName(small),
    );
  });

  test("differs where anything does", () => {
    const identities: EmbeddingIdentity[] = [
      small,
      { ...small, provider: "other" },
      { ...small, model: "large" },
      { ...small, dimensions: 2 },
      { ...small, dimensions: 3 },
      { ...small, options: {} },
      { ...small, options: { task: "query" } },
      { ...small, options: { task: ["query"] } },
      { provider: 'test","model":"small', model: "" },
    ];
    expect(new Set(identities.map(spaceName)).size).toBe(identities.length);
  });

  test("fits into 255 bytes, however long the identity is", () => {
    const long = (text: string): string => spaceName({ ...small, options: { text } });
    expect(Buffer.byteLength(long("😀".repeat(1000)))).toBeLessThanOrEqual(255);
    expect(long("😀".repeat(1000))).not.toBe(long("😀".repeat(1001)));
    expect(long("x".repeat(300))).toMatch(/^\{"model":"small",.*…[\w-]{43}$/);
    expect(long("\ud83d".repeat(300)).isWellFormed()).toBe(true);
    const smiling = spaceName({ provider: "p", model: "😀".repeat(100) });
    expect(Buffer.byteLength(smiling)).toBeLessThanOrEqual(255);
  });

  test("sorts fields that look like numbers too", () => {
    expect(stableJson({ 2: "b", 10: "c", a: 1 })).toBe(stableJson({ a: 1, 10: "c", 2: "b" }));
  });

  test("is the same for two values exactly where they are equal", () => {
    const anyValue = fc.jsonValue({ maxDepth: 3 });
    const anyFields = fc.dictionary(fc.constantFrom("a", "b", "10", "2", "__proto__"), anyValue);
    fc.assert(
      fc.property(anyFields, anyFields, (one, other) => {
        // -0 and 0 are one number to a server.
        const [a, b] = [one, other].map((fields) => JSON.parse(JSON.stringify(fields)));
        const turned = Object.fromEntries(Object.entries(a).reverse());
        expect(stableJson(turned)).toBe(stableJson(a));
        expect(stableJson(a) === stableJson(b)).toBe(isDeepStrictEqual(a, b));
      }),
      { numRuns: 500 },
    );
  });

  test("differs for what JSON would write alike, and not for what is only undefined", () => {
    const values = [
      null,
      {},
      { toString: 1 },
      JSON.parse('{"__proto__":1}'),
      JSON.parse('{"__proto__":2}'),
      [],
      [null],
      [null, null],
      Number.NaN,
      Number.POSITIVE_INFINITY,
      "NaN",
      1,
      1n,
      "1",
      "1n",
      "null",
      "[]",
      Uint8Array.of(1, 2),
      Uint8Array.of(1, 3),
      Uint8Array.of(1, 2).buffer,
      { 0: 1, 1: 2 },
      "AQI=",
      "\ud800",
      "\\ud800",
    ];
    expect(new Set(values.map((value) => stableJson(value))).size).toBe(values.length);
    expect(stableJson(Buffer.of(1, 2, 3).subarray(0, 2))).toBe(stableJson(Uint8Array.of(1, 2)));
    expect(stableJson({ a: undefined })).toBe("{}");
    expect(stableJson(new Array(1))).toBe(stableJson([undefined]));
    expect(stableJson(new Date(0))).toBe(stableJson("1970-01-01T00:00:00.000Z"));
    expect(stableJson({ url: new URL("https://a.example/") })).toBe('{"url":"https://a.example/"}');
  });

  test("is refused where nothing tells different values apart, with the place", () => {
    const circle: Record<string, unknown> = {};
    circle["self"] = circle;
    const again = { toJSON: (): unknown => again };
    for (const [value, place] of [
      [{ a: [1, () => 1] }, "options.a[1]"],
      [{ a: Symbol("s") }, "options.a"],
      [{ a: new Map([[1, 2]]) }, "options.a"],
      [new Set([1]), "options"],
      [/a/, "options"],
      [circle, "options.self"],
      [again, "options"],
    ] as const) {
      const name = (): string => spaceName({ ...small, options: value });
      expect(expectCode(name, "ERR_INVALID_ARGUMENT").message).toContain(place);
    }
  });
});

describe("texts in a model's space", () => {
  test("are computed once, in order, duplicates included", async () => {
    const cache = memoryCache();
    const { asked, embed } = lengths();
    const texts = ["one", "three", "one"];
    const vectors = await embedInSpace(cache, small, texts, embed);
    expect(vectors).toEqual([Float32Array.of(4, 4), Float32Array.of(6, 6), Float32Array.of(4, 4)]);
    expect(await embedInSpace(cache, small, ["three"], embed)).toEqual([vectors[1]]);
    expect(asked).toEqual([["one", "three"]]);
  });

  test("never meet another identity's, and the first vector decides the dimension", async () => {
    const cache = memoryCache();
    const two = lengths(2);
    const three = lengths(3);
    const large = { ...small, model: "large" };
    expect(await embedInSpace(cache, small, ["a"], two.embed)).toEqual([Float32Array.of(2, 2)]);
    expect(await embedInSpace(cache, large, ["a"], three.embed)).toEqual([
      Float32Array.of(2, 2, 2),
    ]);
    expect(cache.namespaces()).toEqual([spaceName(small), spaceName(large)]);
    expect(spaceOf(cache, small).size).toBe(1);
  });

  test("that can be no keys are computed without being stored, in their places", async () => {
    const cache = memoryCache();
    const { asked, embed } = lengths();
    const long = "ü".repeat(32_769);
    const half = "half \ud83d";
    const texts = ["", "a", long, half, "", "a"];
    for (let round = 0; round < 2; round++) {
      const vectors = await embedInSpace(cache, small, texts, embed);
      expect(vectors.map((vector) => vector[0])).toEqual([1, 2, 32_770, 7, 1, 2]);
    }
    expect(asked).toEqual([["a"], ["", long, half], ["", long, half]]);
    expect(spaceOf(cache, small).size).toBe(1);
  });

  test("of exactly 65,536 bytes are keys", async () => {
    const cache = memoryCache();
    const { asked, embed } = lengths();
    const texts = ["ü".repeat(32_768), "a".repeat(65_536), "漢".repeat(21_845)];
    await embedInSpace(cache, small, texts, embed);
    await embedInSpace(cache, small, texts, embed);
    expect(asked).toEqual([texts]);
  });

  test("that can be no keys may come packed, and each caller owns its vectors", async () => {
    const embed: EmbedTexts = async () => ({ vectors: Float32Array.of(1, 2) });
    const [first, second] = await embedInSpace(memoryCache(), small, ["", ""], embed);
    first?.fill(0);
    expect(second).toEqual(Float32Array.of(1, 2));
  });

  test("are refused where the model answers with too few vectors", async () => {
    const embed: EmbedTexts = async () => ({ vectors: [] });
    const wanted = { code: "ERR_INVALID_ARGUMENT" };
    await expect(embedInSpace(memoryCache(), small, [""], embed)).rejects.toMatchObject(wanted);
    const packed: EmbedTexts = async () => ({ vectors: new Float32Array(3) });
    await expect(embedInSpace(memoryCache(), small, ["", "\ud83d"], packed)).rejects.toMatchObject({
      code: "ERR_DIMENSION",
    });
  });

  test("that can be no keys get vectors as good as those of others, or an error", async () => {
    const cache = memoryCache();
    await embedInSpace(cache, small, ["a"], lengths().embed);
    for (const [vectors, code] of [
      [[[1, null]], "ERR_INVALID_ARGUMENT"],
      [[new Array(2)], "ERR_INVALID_ARGUMENT"],
      [[["1", "2"]], "ERR_INVALID_ARGUMENT"],
      [new Array(1), "ERR_INVALID_ARGUMENT"],
      [undefined, "ERR_INVALID_ARGUMENT"],
      [Float64Array.of(1, 2), "ERR_INVALID_ARGUMENT"],
      [[[1, Number.NaN]], "ERR_INVALID_VECTOR"],
      [[[1, 1e39]], "ERR_INVALID_VECTOR"],
      [[[0, 0]], "ERR_INVALID_VECTOR"],
      [[[]], "ERR_DIMENSION"],
      [[[1, 2, 3]], "ERR_DIMENSION"],
      [Float32Array.of(1, 2, 3), "ERR_DIMENSION"],
    ] as const) {
      const embed: EmbedTexts = async () => ({ vectors: vectors as never });
      await expectRejection(embedInSpace(cache, small, [""], embed), code);
      await expectRejection(embedInSpace(cache, small, ["", "a"], embed), code);
    }
    const disagreeing: EmbedTexts = async () => ({ vectors: [[1], [1, 2]] });
    const fresh = { ...small, model: "fresh" };
    await expectRejection(embedInSpace(cache, fresh, ["", "\ud83d"], disagreeing), "ERR_DIMENSION");
  });

  test("that are not stored are asked for by no replay, not even what can be no key", async () => {
    const path = temporaryPath();
    const { asked, embed } = lengths();
    const recorder = new EmbedCache({ path, mode: "record-missing" });
    await embedInSpace(recorder, small, ["a", ""], embed);
    recorder.close();
    asked.length = 0;
    const replay = closing(new EmbedCache({ path, mode: "replay" }));
    expect((await embedInSpace(replay, small, ["a"], embed))[0]?.[0]).toBe(2);
    for (const text of ["b", "", "\ud83d", "long ".repeat(14_000)]) {
      const { message } = await expectRejection(
        embedInSpace(replay, small, ["a", text], embed),
        "ERR_MISS",
      );
      expect(message).toContain(JSON.stringify(text.slice(0, 40)));
    }
    expect(asked).toEqual([]);
  });

  test("are none, and nothing is asked", async () => {
    const { asked, embed } = lengths();
    expect(await embedInSpace(memoryCache(), small, [], embed)).toEqual([]);
    expect(asked).toEqual([]);
  });

  test("are numbers too, also after a call that had none", async () => {
    const cache = memoryCache();
    const { asked, embed } = lengths(3);
    for (const texts of [[], ["a", "bb"], ["bb", "a", "bb"], ["a"]]) {
      const wanted = texts.map((text) => new Array(3).fill(text.length + 1));
      expect(await numbersInSpace(cache, small, texts, embed)).toEqual(wanted);
    }
    expect(asked).toEqual([["a", "bb"]]);
  });

  test("are told to whoever listens, found ones too", async () => {
    const cache = memoryCache();
    const { embed } = lengths();
    const heard: string[] = [];
    const listen = (message: unknown): void => {
      heard.push((message as CacheMessage).keys.join());
    };
    for (const texts of [["a", "b"], ["b"]]) await numbersInSpace(cache, small, texts, embed);
    subscribe("vectorlite:hit", listen);
    onTestFinished(() => void unsubscribe("vectorlite:hit", listen));
    expect(await numbersInSpace(cache, small, ["b", "a"], embed)).toEqual([
      [2, 2],
      [2, 2],
    ]);
    expect(heard).toEqual(["b,a"]);
    expect(spaceOf(cache, small).stats()).toMatchObject({ hits: 3, misses: 2 });
  });

  test("are right or an error with many calls at once, of which some fail or give up", async () => {
    const random = seededRandom(7);
    const pick = (count: number): number => Math.floor(random() * count);
    const cache = memoryCache();
    const identities = [small, { ...small, dimensions: 3 }, { ...small, options: { task: "q" } }];
    const texts = ["", "half \ud83d", ...Array.from({ length: 12 }, (_, index) => `text ${index}`)];
    const vectorOf = (model: number, text: string): number[] => [
      model + 1,
      texts.indexOf(text),
      ...new Array(model).fill(0.5),
    ];
    const callOnce = async (): Promise<boolean> => {
      const model = pick(identities.length);
      const wanted = Array.from({ length: 1 + pick(8) }, () => texts[pick(texts.length)] ?? "");
      const controller = new AbortController();
      if (pick(4) === 0) setTimeout(() => controller.abort(new Error("enough")), pick(4));
      const compute: EmbedTexts = async (missing) => {
        await sleep(pick(4));
        if (pick(5) === 0) throw new Error("the model is down");
        return { vectors: missing.map((text) => vectorOf(model, text)), tokens: 1 };
      };
      const options = { signal: controller.signal };
      const identity = identities[model] ?? small;
      try {
        const found = await numbersInSpace(cache, identity, wanted, compute, options);
        expect(found).toEqual(wanted.map((text) => vectorOf(model, text)));
        return true;
      } catch (error) {
        expect(String(error)).toMatch(/^Error: (enough|the model is down)$/);
        return false;
      }
    };
    const outcomes: boolean[] = [];
    for (let round = 0; round < 20; round++) {
      outcomes.push(...(await Promise.all(Array.from({ length: 15 }, callOnce))));
      for (const space of identities.map((identity) => spaceOf(cache, identity))) {
        if (pick(3) === 0) for (const key of [...space.keys()].slice(0, 4)) space.delete(key);
      }
    }
    expect(outcomes).toContain(true);
    expect(outcomes).toContain(false);
  });

  test("that can be no keys are not asked for after an abort", async () => {
    const { asked, embed } = lengths();
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(embedInSpace(memoryCache(), small, [""], embed, { signal })).rejects.toThrow(
      "enough",
    );
    expect(asked).toEqual([]);
  });
});
