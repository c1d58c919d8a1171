/**
 * The one text that the file keeps of what identifies a namespace: its model, and how its keys are
 * hashed. Where they are not, it is what the model alone is stored as.
 *
 * @module
 */

import type { StoredHashing } from "./hashed-keys.ts";
import { modelFields, modelOption, parseModel, storedModel } from "./model-identity.ts";
import type { ModelIdentity } from "./types.ts";

/** What identifies a namespace. */
export interface StoredIdentity {
  readonly model: ModelIdentity | undefined;
  readonly hashing: StoredHashing | undefined;
}

/** The text that is stored. */
export function writeIdentity({ model, hashing }: StoredIdentity): string {
  if (hashing === undefined) return storedModel(model);
  return JSON.stringify({ hashedKeys: hashing, ...modelFields(model) });
}

/** What a stored text says. */
export function readIdentity(text: string): StoredIdentity {
  const plain = { model: parseModel(text), hashing: undefined };
  if (!text.startsWith('{"hashedKeys":')) return plain;
  try {
    const { hashedKeys, ...fields } = JSON.parse(text);
    const { secret, fingerprint } = hashedKeys;
    if (!isOptionalText(secret) || !isOptionalText(fingerprint)) return plain;
    const model = Object.keys(fields).length === 0 ? undefined : modelOption(fields);
    const identity = { model, hashing: { fingerprint, secret } };
    return writeIdentity(identity) === text ? identity : plain;
  } catch {
    return plain;
  }
}

function isOptionalText(value: unknown): value is string | undefined {
  return value === undefined || typeof value === "string";
}
