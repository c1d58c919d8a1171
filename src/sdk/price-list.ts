/**
 * Prices as `@pydantic/genai-prices` lists them, where the application has it installed. It is
 * looked for when the first price is asked for, since loading it takes tens of milliseconds.
 *
 * @module
 */

import { invalidArgument } from "./arguments.ts";

/** The money for so many input tokens; `undefined` where no price is known. */
export type Price = (tokens: number) => number | undefined;

/** What is used of `@pydantic/genai-prices`. */
export interface PriceList {
  /** The price in US dollars, or `null` where the model is not in the list. */
  calcPrice(
    usage: { input_tokens: number },
    model: string,
    options?: { providerId: string },
  ): { total_price: number } | null;
}

const packageName = "@pydantic/genai-prices";

/** The price of a model as a list has it, which is loaded when it is asked for. */
export function listedPrice(model: string, load: () => PriceList | undefined): Price {
  return (tokens) => {
    const usage = { input_tokens: checkAmount(tokens, "The tokens") };
    const list = load();
    // A name may have a slash of its own, so it is looked for as a whole first.
    const whole = list?.calcPrice(usage, model);
    if (whole) return whole.total_price;
    const [, providerId, name] = /^([^/:]+)[/:](.+)$/.exec(model) ?? [];
    if (providerId === undefined || name === undefined) return undefined;
    return list?.calcPrice(usage, name, { providerId })?.total_price;
  };
}

let installed: PriceList | "not installed" | undefined;

/** The package as this one finds it. */
export function installedPriceList(): PriceList | undefined {
  installed ??= loadPriceList(import.meta.url) ?? "not installed";
  return installed === "not installed" ? undefined : installed;
}

/**
 * The package as it is installed above a file. It is looked for on the disk first: Bun downloads
 * what it is asked for where there is no `node_modules`, and nothing here uses the network. No
 * `import`, which a bundler would want to resolve.
 */
export function loadPriceList(from: string | undefined): PriceList | undefined {
  // A bundle may have made something else of `import.meta.url`.
  if (!from?.startsWith("file:")) return undefined;
  const { existsSync } = process.getBuiltinModule("node:fs");
  const { createRequire } = process.getBuiltinModule("node:module");
  const { fileURLToPath } = process.getBuiltinModule("node:url");
  for (let folder = new URL(".", from); ; folder = new URL("..", folder)) {
    const manifest = new URL(`node_modules/${packageName}/package.json`, folder);
    if (existsSync(fileURLToPath(manifest))) {
      return createRequire(manifest)(packageName) as PriceList;
    }
    if (new URL("..", folder).href === folder.href) return undefined;
  }
}

/** An amount of money or of tokens. */
export function checkAmount(value: unknown, name: string): number {
  if (typeof value === "number" && Number.isFinite(value) && value >= 0) return value;
  throw invalidArgument(name, "a finite number, 0 or more", value);
}
