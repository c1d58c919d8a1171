/**
 * What importing the package gives, and what happens where the native library is not.
 */

import { pathToFileURL } from "node:url";
import * as vectorlite from "vectorlite";
import { describe, expect, test } from "vitest";
import { root, run, temporaryFolder, temporaryPath } from "./helpers.ts";

const importBuilt = `import(${JSON.stringify(pathToFileURL(`${root}dist/index.js`).href)})`;

describe("the package", () => {
  test("exports these names and no others", () => {
    expect(Object.keys(vectorlite).sort()).toEqual([
      "Collection",
      "Database",
      "EmbedCache",
      "ImportError",
      "Snapshot",
      "VectorLiteError",
      "salvage",
    ]);
  });

  test("has errors that are Errors with a stable code", () => {
    const error = new vectorlite.VectorLiteError("ERR_IO", "the disk is gone", { cause: 1 });
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ name: "VectorLiteError", code: "ERR_IO", cause: 1 });
    expect(Object.keys(error)).toContain("code");
  });

  test("loads the native library on first use, not on import", async () => {
    const code = `${importBuilt}.then(() => console.log("fine"))`;
    const { stdout } = await run(process.execPath, ["-e", code], {
      VECTORLITE_LIB: temporaryPath("nowhere.so"),
    });
    expect(stdout.trim()).toBe("fine");
  });

  test("says which file it looked for where the native library is missing", async () => {
    const path = temporaryPath("nowhere.so");
    const code =
      `${importBuilt}.then(({ EmbedCache }) => new EmbedCache({ path: ":memory:" }))` +
      ".catch((error) => console.log(error.code, error.message))";
    const { stdout } = await run(
      process.execPath,
      ["-e", code],
      { VECTORLITE_LIB: path },
      temporaryFolder(),
    );
    expect(stdout).toContain("ERR_NATIVE_LIBRARY");
    expect(stdout).toContain(path);
  });
});
