/**
 * What the tokens of an embedding model cost.
 *
 * A price is known from the user, or from `@pydantic/genai-prices` where the application has it
 * installed, an optional peer. Without either there is no price: a guess would be worse than none.
 *
 * @module vectorlite/pricing
 */

import { checkFields, checkText } from "./arguments.ts";
import { checkAmount, installedPriceList, listedPrice, type Price } from "./price-list.ts";

export type { Price } from "./price-list.ts";

/** Options of {@link priceOf}. */
export interface PriceOptions {
  /** The money for a million tokens, 0 or more, in any currency. No package is asked then. */
  pricePerMillionTokens?: number | undefined;
}

/**
 * What tokens of a model cost, in US dollars where the package `@pydantic/genai-prices` knows the
 * model, or in the currency of `pricePerMillionTokens`.
 *
 * @param model - The name of the model, with its provider before it where the name alone does not
 * say it: `"openai/text-embedding-3-small"`.
 * @param options - See {@link PriceOptions}.
 * @returns A function from a number of tokens, 0 or more, to money; `undefined` where the package
 * is not installed, or does not know the model.
 * @throws VectorLiteError ERR_INVALID_ARGUMENT
 * @example
 * ```ts
 * const price = priceOf("openai/text-embedding-3-small", { pricePerMillionTokens: 0.02 });
 * price(250_000); // 0.005
 * ```
 */
export function priceOf(model: string, options: PriceOptions = {}): Price {
  const { pricePerMillionTokens } = checkFields(options, ["pricePerMillionTokens"], "priceOf()");
  checkText(model, "The model");
  if (pricePerMillionTokens === undefined) return listedPrice(model, installedPriceList);
  checkAmount(pricePerMillionTokens, "pricePerMillionTokens");
  return (tokens) => (checkAmount(tokens, "The tokens") / 1e6) * pricePerMillionTokens;
}
