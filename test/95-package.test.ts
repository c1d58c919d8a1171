/**
 * The package as a stranger gets it: packed, unpacked into an empty project, imported by its name,
 * compiled into a single binary. It is packed with the library of this machine only; `npm run
 * platforms` puts those of the others beside it.
 */

import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { root, run } from "./helpers.ts";

const isBun = process.versions["bun"] !== undefined;
const bun: string = isBun ? process.execPath : join(root, "node_modules/bun/bin/bun.exe");
const platform = `${process.platform}-${process.arch}`;

/** What can be imported: the package itself and its subpaths. */
const entries = ["ai-sdk", "index", "langchain", "mastra", "openai", "pricing", "semantic-cache"];

/** What a user would write first. */
const program = `
  import { Database, EmbedCache } from "vectorlite";
  const cache = new EmbedCache({ path: "cache.vl", dimension: 3 });
  cache.set("a", [1, 2, 2]);
  cache.close();
  const again = new EmbedCache({ path: "cache.vl", readonly: true });
  const db = new Database("cache.vl", { readonly: true });
  const [found] = await db.collection("default").searchAsync([1, 2, 2]);
  console.log(again.get("a").join(), again.search([1, 2, 2], { k: 1 })[0].key, found.key);
  again.close();
  db.close();
`;

let folder: string;
let project: string;
let packed: string[];

async function expectSuccess(...command: Parameters<typeof run>): Promise<string> {
  const { status, stdout, stderr } = await run(...command);
  expect(`${status} ${stderr}`, command[1].join(" ")).toMatch(/^0 /);
  return stdout;
}

/** dist/ is built anew, so that a stale one cannot pass; without its declarations, to be quick. */
async function stagePackage(stage: string): Promise<void> {
  mkdirSync(join(stage, "platforms", platform), { recursive: true });
  for (const name of ["package.json", "LICENSE", "README.md"]) {
    cpSync(join(root, name), join(stage, name));
  }
  const tsup = join(root, "node_modules/tsup/dist/cli-default.js");
  await expectSuccess(process.execPath, [tsup, "--no-dts", "--out-dir", join(stage, "dist")]);
  for (const name of entries) {
    writeFileSync(join(stage, "dist", `${name}.d.ts`), "export {};\n");
  }
  const built = join(root, "zig-out", "lib");
  for (const name of readdirSync(built).filter((file) => /\.(so|dylib|dll)$/.test(file))) {
    cpSync(join(built, name), join(stage, "platforms", platform, name));
  }
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "vectorlite-package-"));
  const stage = join(folder, "stage");
  await stagePackage(stage);
  await expectSuccess(bun, ["pm", "pack", "--ignore-scripts", "--filename=package.tgz"], {}, stage);
  const listing = await expectSuccess("tar", ["-tzf", "package.tgz"], {}, stage);
  packed = listing.trim().split("\n").sort();
  await expectSuccess("tar", ["-xzf", join(stage, "package.tgz")], {}, folder);
  project = join(folder, "project");
  mkdirSync(join(project, "node_modules"), { recursive: true });
  renameSync(join(folder, "package"), join(project, "node_modules", "vectorlite"));
  rmSync(stage, { recursive: true });
  writeFileSync(join(project, "main.mjs"), program);
}, 120_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("the package", () => {
  test("holds the built code, the libraries and nothing of the sources", () => {
    const library = readdirSync(join(project, "node_modules/vectorlite/platforms", platform))[0];
    expect(packed).toEqual([
      "package/LICENSE",
      "package/README.md",
      ...entries.flatMap((name) => [`package/dist/${name}.d.ts`, `package/dist/${name}.js`]),
      "package/package.json",
      `package/platforms/${platform}/${library}`,
    ]);
  });

  test("tells Bun that it needs no transpiling, which saves a millisecond of every start", () => {
    const entry = readFileSync(join(project, "node_modules/vectorlite/dist/index.js"), "utf8");
    expect(entry.split("\n")[0]).toBe("// @bun");
  });

  test("works by its name in another project", async () => {
    const output = await expectSuccess(process.execPath, ["main.mjs"], {}, project);
    expect(output).toBe("1,2,2 a a\n");
  });

  test("has modules that load nothing of what they adapt to, and share its classes", async () => {
    writeFileSync(
      join(project, "adapters.mjs"),
      `import { VectorLiteError } from "vectorlite";
       import { withEmbeddingCache } from "vectorlite/ai-sdk";
       import { openaiEmbedder } from "vectorlite/openai";
       import { priceOf } from "vectorlite/pricing";
       import { semanticCache } from "vectorlite/semantic-cache";
       const client = { embeddings: { create: async () => ({ data: [] }) } };
       await openaiEmbedder(client, { model: "m" })(["a"]).catch((error) => {
         console.log(error instanceof VectorLiteError, typeof withEmbeddingCache);
       });
       const options = { path: ":memory:", embed: async () => [1, 0], threshold: 0.9 };
       const answers = semanticCache(options);
       await answers.set("a", "b");
       console.log(answers.constructor.name, (await answers.get("c")).answer);
       console.log(priceOf("m")(1), priceOf("m", { pricePerMillionTokens: 2 })(1e6));`,
    );
    const output = await expectSuccess(process.execPath, ["adapters.mjs"], {}, project);
    expect(output).toBe("true function\nSemanticCache b\nundefined 2\n");
  });

  test("exports things that are called what they are exported as", async () => {
    writeFileSync(
      join(project, "names.mjs"),
      `import * as exported from "vectorlite";
       for (const [name, value] of Object.entries(exported)) console.log(name, value.name);
       console.log(new exported.Database(":memory:"));`,
    );
    const lines = (await expectSuccess(process.execPath, ["names.mjs"], {}, project)).split("\n");
    const errors = ["ImportError", "VectorLiteError"];
    const classes = ["Collection", "Database", "EmbedCache", "Snapshot"];
    const names = [...classes, ...errors, "salvage"].sort().map((name) => `${name} ${name}`);
    expect(lines.slice(0, 7).sort()).toEqual(names);
    expect(lines[7]).toMatch(/^Database /);
  });

  test("has adapters, which name the framework that is missing, and work where it is", async () => {
    writeFileSync(
      join(project, "adapters.mjs"),
      `import { Database } from "vectorlite";
       const { CachedEmbeddings, ...langchain } = await import("vectorlite/langchain");
       const { VectorLiteVector } = await import("vectorlite/mastra");
       const names = [CachedEmbeddings, ...Object.values(langchain), VectorLiteVector];
       console.log(names.map(({ name }) => name).join());
       const database = new Database(":memory:");
       const vectors = new VectorLiteVector({ id: "a", database });
       await vectors.createIndex({ indexName: "docs", dimension: 1 });
       const embeddings = { embedDocuments: async () => [[1]], embedQuery: async () => [1] };
       const config = { database, collection: "docs" };
       const store = new langchain.VectorLiteVectorStore(embeddings, config);
       await store.addDocuments([{ pageContent: "a", metadata: { b: { c: 1 } } }]);
       const [found] = await store.similaritySearch("a");
       console.log(found.metadata.b.c);`,
    );
    const missing = await run(process.execPath, ["adapters.mjs"], {}, project);
    expect(missing.status).toBe(1);
    expect(missing.stderr).toContain("@langchain/core");
    for (const scope of ["@langchain", "@mastra"]) {
      const there = join(root, "node_modules", scope);
      symlinkSync(there, join(project, "node_modules", scope), "junction");
    }
    expect(await expectSuccess(process.execPath, ["adapters.mjs"], {}, project)).toBe(
      "CachedEmbeddings,VectorLiteStore,VectorLiteVectorStore,VectorLiteVector\n1\n",
    );
  });

  test("goes into a single binary, which runs from an empty folder", async () => {
    const empty = join(folder, "empty");
    mkdirSync(empty);
    const binary = join(folder, "program");
    await expectSuccess(bun, ["build", "--compile", "main.mjs", "--outfile", binary], {}, project);
    renameSync(join(project, "node_modules"), join(folder, "hidden"));
    try {
      expect(await expectSuccess(binary, [], {}, empty)).toBe("1,2,2 a a\n");
    } finally {
      renameSync(join(folder, "hidden"), join(project, "node_modules"));
    }
  }, 60_000);

  test("goes into one with its workers, who get what the main thread computes", async () => {
    const cache = `new EmbedCache({ path: "shared.cache", dimension: 1 })`;
    writeFileSync(
      join(project, "worker.mjs"),
      `import { EmbedCache } from "vectorlite";
       const computed = [];
       const compute = (texts) => {
         computed.push(...texts);
         return texts.map(() => [7]);
       };
       postMessage("asked");
       const vectors = await ${cache}.getOrComputeMany(["a", "of the worker"], compute);
       postMessage([...computed, ...vectors.map(([number]) => number)].join());`,
    );
    writeFileSync(
      join(project, "shared.mjs"),
      `import { EmbedCache } from "vectorlite";
       const cache = ${cache};
       const asked = Promise.withResolvers();
       const computing = cache.getOrCompute("a", async () => {
         await asked.promise;
         await new Promise((resolve) => setTimeout(resolve, 50));
         return [5];
       });
       const worker = new Worker(new URL("worker.mjs", import.meta.url).href);
       worker.onmessage = ({ data }) => {
         if (data === "asked") return asked.resolve();
         console.log(data, cache.size);
         process.exit(0);
       };
       await computing;`,
    );
    const binary = join(folder, "shared");
    const sources = ["shared.mjs", "worker.mjs"];
    await expectSuccess(bun, ["build", "--compile", ...sources, "--outfile", binary], {}, project);
    expect(await expectSuccess(binary, [], {}, folder)).toBe("of the worker,5,7 2\n");
  }, 60_000);
});
