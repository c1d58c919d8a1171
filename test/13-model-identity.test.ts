/**
 * Which model made the vectors: said once, remembered, and enforced from then on.
 */

import { Database, EmbedCache, type ModelIdentity } from "vectorlite";
import { describe, expect, test } from "vitest";
import { closing, expectCode, temporaryPath } from "./helpers.ts";

const full = { name: "embed-3", dimensions: 3, task: "query", revision: "2" };

function made(model: string | ModelIdentity): string {
  const path = temporaryPath();
  new EmbedCache({ path, model, dimension: 3 }).close();
  return path;
}

function open(path: string, model?: string | ModelIdentity): EmbedCache {
  return closing(new EmbedCache({ path, model }));
}

describe("a model", () => {
  test("of a name alone is that text in the file, as an object too", () => {
    for (const model of ["embed-3", { name: "embed-3" }, { name: "embed-3", task: undefined }]) {
      const path = made(model);
      open(path, "embed-3");
      open(path, { name: "embed-3" });
      closing(new Database(path)).collection("default", { model: "embed-3" });
    }
  });

  test("of several fields is the same in any order", () => {
    const path = made(full);
    const { name, ...rest } = full;
    open(path, { ...rest, name });
    open(path);
    const text = '{"name":"embed-3","dimensions":3,"task":"query","revision":"2"}';
    closing(new Database(path)).collection("default", { model: text });
  });

  test.each([
    [{ ...full, name: "embed-4" }, "name"],
    [{ ...full, task: "document" }, "task"],
    [{ ...full, revision: undefined }, "revision"],
    [{ ...full, dimensions: 4 }, "dimensions"],
    [{ ...full, task: undefined, revision: "3" }, "task, revision"],
    ["embed-3", "dimensions, task, revision"],
  ])("%j is another one, and the error names both and what differs", (model, difference) => {
    const path = made(full);
    const { message } = expectCode(() => new EmbedCache({ path, model }), "ERR_MODEL");
    expect(message).toContain(`another ${difference}.`);
    expect(message).toContain(String.raw`\"task\":\"query\"`);
    expect(message).toContain(typeof model === "string" ? `"${model}"` : model.name);
  });

  test("is another one than none", () => {
    const path = temporaryPath();
    new EmbedCache({ path, dimension: 3 }).close();
    expectCode(() => new EmbedCache({ path, model: "embed-3" }), "ERR_MODEL");
  });

  test("is each namespace's own", () => {
    const cache = closing(new EmbedCache({ path: ":memory:", model: "a" }));
    const namespace = cache.namespace("b", { model: full });
    expect(namespace.stats().dimension).toBe(3);
    expect(cache.namespace("b", { model: { ...full } })).toBe(namespace);
    expectCode(() => cache.namespace("b", { model: { ...full, task: "document" } }), "ERR_MODEL");
    expectCode(() => cache.namespace("default", { model: "c" }), "ERR_MODEL");
    expect(cache.namespace("default", { model: "a" })).toBe(cache);
  });

  test("says how many numbers a vector has", () => {
    const cache = closing(new EmbedCache({ path: ":memory:", model: full }));
    expect(cache.stats().dimension).toBe(3);
    expectCode(
      () => new EmbedCache({ path: ":memory:", model: full, dimension: 4 }),
      "ERR_DIMENSION",
    );
  });

  test("named like what is stored of another one is a name", () => {
    for (const name of ['{"name":"embed-3"}', '{"name":', '{"name":"a","task":5}']) {
      const path = made(name);
      open(path, name);
      expectCode(() => new EmbedCache({ path, model: "embed-3" }), "ERR_MODEL");
    }
  });
});

describe("what is refused", () => {
  test.each([
    [5, /model/],
    ["", /model/],
    [{}, /model.name/],
    [{ name: "" }, /model.name/],
    [{ name: "a", dimensions: 0 }, /model.dimensions/],
    [{ name: "a", task: 5 }, /model.task/],
    [{ name: "a", revision: "" }, /model.revision/],
    [{ name: "a", version: "2" }, /version/],
    [{ name: "a", matryoshka: [] }, /model.matryoshka/],
    [{ name: "a", matryoshka: [0] }, /model.matryoshka/],
    [{ name: "a", matryoshka: "all" }, /model.matryoshka/],
    [{ name: "a", dimensions: 3, matryoshka: [4] }, /1 to 3/],
    ["x".repeat(1001), /1001 bytes/],
    [{ name: "x".repeat(990), task: "a" }, /at most 1000/],
  ])("%j", (model, message) => {
    const options = { path: ":memory:", model: model as never };
    const error = expectCode(() => new EmbedCache(options), "ERR_INVALID_ARGUMENT");
    expect(error.message).toMatch(message);
  });

  test("nothing of 1000 bytes", () => {
    open(made("x".repeat(1000)), "x".repeat(1000));
  });
});
