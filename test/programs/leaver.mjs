/**
 * Sets one key and ends without closing anything: the process must end by itself, at once.
 *
 *     leaver.mjs <file>
 */
import { EmbedCache } from "../../dist/index.js";

const cache = new EmbedCache({ path: process.argv[2], dimension: 2 });
cache.set("key", [1, 2]);
