/**
 * Keys to UTF-8 bytes.
 *
 * A key is compared by its bytes in full, so a string that UTF-8 cannot hold (a lone surrogate) is
 * refused instead of being replaced silently, as `TextEncoder` would.
 *
 * @module
 */

import { invalidArgument, VectorLiteError } from "./errors.ts";
import { checkArray } from "./options.ts";
import { encoder, type PackedTexts, packTexts } from "./utf8.ts";

/** Bytes of UTF-8 that a key may have; frozen with the file format. */
export const keyBytesMax = 65_536;

/** Where {@link encodeKey} writes. Valid until the next call of it. */
export const keyBuffer: Uint8Array<ArrayBuffer> = new Uint8Array(keyBytesMax);

/**
 * Writes a key to {@link keyBuffer}.
 *
 * @returns Its length in bytes.
 * @throws VectorLiteError ERR_INVALID_ARGUMENT, ERR_KEY
 */
export function encodeKey(key: string): number {
  if (typeof key !== "string") throw invalidArgument("The key", "a string", key);
  const { read, written } = encoder.encodeInto(key, keyBuffer);
  // As many bytes as UTF-16 units means ASCII, which needs no further look.
  if (written !== key.length || written === 0) checkKey(key, read, "The key");
  return written;
}

/**
 * A copy of the keys of a batch, each checked. Each is read once: a list may answer differently the
 * second time, and the caller may change it meanwhile.
 *
 * @throws VectorLiteError ERR_INVALID_ARGUMENT, ERR_KEY naming the index
 */
export function checkKeys(keys: readonly string[]): string[] {
  const list = checkArray(keys, "The keys");
  const checked: string[] = [];
  for (let index = 0; index < list.length; index++) {
    const key = list[index];
    if (typeof key !== "string") throw invalidArgument(`keys[${index}]`, "a string", key);
    if (key === "" || key.length * 3 > keyBytesMax || !key.isWellFormed()) {
      checkKey(key, encoder.encodeInto(key, keyBuffer).read, `keys[${index}]`);
    }
    checked.push(key);
  }
  return checked;
}

/**
 * The keys of a batch as the engine takes them.
 *
 * @throws VectorLiteError ERR_INVALID_ARGUMENT, ERR_KEY naming the index
 */
export function packKeys(keys: readonly string[]): PackedTexts {
  return packTexts(checkKeys(keys));
}

/**
 * Refuses a text that no key can be, however long a key may be.
 *
 * @throws VectorLiteError ERR_KEY
 */
export function refuseUnencodable(key: string, name: string): void {
  if (key === "") {
    throw new VectorLiteError("ERR_KEY", `${name} is empty; a key has at least one character.`);
  }
  if (!key.isWellFormed()) {
    throw new VectorLiteError(
      "ERR_KEY",
      `${name} holds a lone surrogate, half a character that UTF-8 cannot encode; fix where the ` +
        "text was cut, or use key.toWellFormed().",
    );
  }
}

function checkKey(key: string, read: number, name: string): void {
  refuseUnencodable(key, name);
  if (read !== key.length) {
    throw new VectorLiteError(
      "ERR_KEY",
      `${name} has ${key.length} characters, which is more than ${keyBytesMax} bytes of UTF-8; ` +
        "use a hash of a long text as its key, as a cache does with hashKeys.",
    );
  }
}
