/**
 * How large is the library on each platform? Reads platforms/, which `npm run platforms` writes.
 * `bun bench/run.ts size`
 */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import * as harness from "./harness.ts";

const bytesMax = 1_000_000;
const folder: string = fileURLToPath(new URL("../platforms/", import.meta.url));
if (!existsSync(folder)) throw new Error("there is no platforms/: run `npm run platforms` first");

const rows = readdirSync(folder)
  .sort()
  .map((platform) => {
    const [name = ""] = readdirSync(`${folder}${platform}`);
    const library = readFileSync(`${folder}${platform}/${name}`);
    const share = `${((library.length / bytesMax) * 100).toFixed(0)} %`;
    const bytes = library.length.toLocaleString("en");
    return [platform, name, bytes, share, gzipSync(library).length.toLocaleString("en")];
  });
harness.printRows("size: bytes of the library", [
  ["", "file", "bytes", "of 1 MB", "gzipped"],
  ...rows,
]);
