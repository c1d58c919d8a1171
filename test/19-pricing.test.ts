/**
 * Money for tokens: from the user's number, or from the package of prices where it is installed.
 */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { priceOf } from "vectorlite/pricing";
import { describe, expect, test } from "vitest";
import { listedPrice, loadPriceList, type PriceList } from "../src/sdk/price-list.ts";
import { expectCode, temporaryFolder } from "./helpers.ts";

/** Answers as the package does: `null` for what it does not know, 0.5 dollars for a million. */
const list: PriceList = {
  calcPrice({ input_tokens }, model, options) {
    const known =
      options === undefined
        ? ["alone", "with/slash"].includes(model)
        : options.providerId === "openai" && model === "text-embedding-3-small";
    return known ? { total_price: input_tokens * 5e-7 } : null;
  },
};

describe("a price that the user gives", () => {
  test("is for a million tokens, of any model", () => {
    const price = priceOf("anything", { pricePerMillionTokens: 0.02 });
    expect(price(250_000)).toBeCloseTo(0.005, 12);
    expect(price(0)).toBe(0);
    expect(priceOf("local", { pricePerMillionTokens: 0 })(1e9)).toBe(0);
  });

  test("and the tokens are numbers, 0 or more", () => {
    for (const wrong of [-1, Number.NaN, Number.POSITIVE_INFINITY, "0.02", null]) {
      const given = { pricePerMillionTokens: wrong as number };
      expectCode(() => priceOf("model", given), "ERR_INVALID_ARGUMENT");
      const price = priceOf("model", { pricePerMillionTokens: 1 });
      expectCode(() => price(wrong as number), "ERR_INVALID_ARGUMENT");
      expectCode(() => listedPrice("alone", () => list)(wrong as number), "ERR_INVALID_ARGUMENT");
    }
    expectCode(() => priceOf(""), "ERR_INVALID_ARGUMENT");
    expectCode(() => priceOf("model", { price: 1 } as never), "ERR_INVALID_ARGUMENT");
  });
});

describe("a price of the package", () => {
  test("is that of the model, by its name alone or with its provider", () => {
    for (const model of [
      "alone",
      "with/slash",
      "openai/text-embedding-3-small",
      "openai:text-embedding-3-small",
    ]) {
      expect(listedPrice(model, () => list)(2_000_000)).toBe(1);
    }
  });

  test("is undefined for a model that it does not know", () => {
    for (const model of ["unknown", "nobody/text-embedding-3-small", "openai/", "/alone"]) {
      expect(listedPrice(model, () => list)(1000)).toBeUndefined();
    }
  });

  test("is undefined where it is not installed", () => {
    expect(listedPrice("alone", () => undefined)(1000)).toBeUndefined();
    expect(loadPriceList(pathToFileURL(join(temporaryFolder(), "app.js")).href)).toBeUndefined();
    for (const from of ["data:text/javascript,0", "https://a.example/app.js", undefined]) {
      expect(loadPriceList(from)).toBeUndefined();
    }
  });

  test("is looked for when a price is asked for, not before", () => {
    let loads = 0;
    const price = listedPrice("alone", () => {
      loads++;
      return list;
    });
    expect(loads).toBe(0);
    price(1);
    expect(loads).toBe(1);
  });

  test("comes from the package that the application has installed", () => {
    const folder = temporaryFolder();
    const home = join(folder, "node_modules/@pydantic/genai-prices");
    mkdirSync(home, { recursive: true });
    // Its files and its exports are those of the real one, version 0.1.8.
    const exports = { ".": { import: "./index.js", require: "./index.cjs" } };
    const manifest = { name: "@pydantic/genai-prices", type: "module", exports };
    writeFileSync(join(home, "package.json"), JSON.stringify(manifest));
    writeFileSync(join(home, "index.js"), "throw new Error('nobody imports this');");
    writeFileSync(
      join(home, "index.cjs"),
      "exports.calcPrice = ({ input_tokens }) => ({ total_price: input_tokens / 4 });",
    );
    const load = (): PriceList | undefined =>
      loadPriceList(pathToFileURL(join(folder, "app.js")).href);
    expect(listedPrice("any", load)(8)).toBe(2);
  });
});
