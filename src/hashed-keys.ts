/**
 * Keys that are stored as keyed hashes, so that a file holds no texts.
 *
 * A stored key is HMAC-SHA-256 of the text, cut to 128 bits, and the length of the text in bytes.
 * That keys are hashed, and a fingerprint of the secret, are part of what identifies a namespace:
 * another secret would find nothing, so it is an error instead.
 *
 * @module
 */

import { invalidArgument, VectorLiteError } from "./errors.ts";
import { refuseUnencodable } from "./keys.ts";
import { checkArray, checkText } from "./options.ts";

/** How keys are to be hashed. */
export interface HashKeys {
  /** `undefined`: with a random secret that is kept in the file. */
  readonly secret: string | undefined;
}

/** What the file says about how they are. */
export interface StoredHashing {
  /** Of a secret that is not in the file. */
  readonly fingerprint?: string | undefined;
  /** One that is. */
  readonly secret?: string | undefined;
}

/** Bytes of a hash: 128 bits, which no two of 2^40 texts share by accident. */
const hashBytes = 16;

const secretBytes = 32;

/**
 * The option `hashKeys`; `undefined` where keys are stored as they are.
 *
 * @throws VectorLiteError ERR_INVALID_ARGUMENT
 */
export function hashKeysOption(option: unknown): HashKeys | undefined {
  if (option === undefined || option === false) return undefined;
  if (option === true) return { secret: undefined };
  if (typeof option === "string") return { secret: checkText(option, "hashKeys") };
  throw invalidArgument("hashKeys", "true, false or a secret text", option);
}

/**
 * Refuses another way than that in which a namespace is open already.
 *
 * @throws VectorLiteError ERR_MODEL
 */
export function checkSameHashing(
  asked: HashKeys | undefined,
  open: HashKeys | undefined,
  subject: string,
): void {
  if ((asked === undefined) === (open === undefined) && asked?.secret === open?.secret) return;
  throw otherKeys(subject, "is open with other hashKeys", "pass the same");
}

/** Hashes the keys of one namespace. */
export class KeyHasher {
  /** What is stored of it. */
  readonly stored: StoredHashing;
  readonly #key: Buffer;

  private constructor(secret: string, stored: (key: Buffer) => StoredHashing) {
    // Derived, so that neither the fingerprint nor a hash is one of the secret for other uses.
    this.#key = hmac(secret, "vectorlite hashed keys");
    this.stored = stored(this.#key);
  }

  /** For a namespace that is made now. */
  static make({ secret }: HashKeys): KeyHasher {
    if (secret !== undefined) return new KeyHasher(secret, (key) => ({ fingerprint: mark(key) }));
    const { randomBytes } = process.getBuiltinModule("node:crypto");
    const made = randomBytes(secretBytes).toString("base64url");
    return new KeyHasher(made, () => ({ secret: made }));
  }

  /**
   * For a namespace of the file.
   *
   * @throws VectorLiteError ERR_MODEL where its keys are not hashed in this way
   */
  static open(
    asked: HashKeys | undefined,
    stored: StoredHashing | undefined,
    subject: string,
  ): KeyHasher | undefined {
    if (asked === undefined && stored === undefined) return undefined;
    if (asked === undefined) {
      const how = stored?.secret === undefined ? "their secret" : "true";
      throw otherKeys(subject, "holds hashed keys", `open it with hashKeys: ${how}`);
    }
    if (stored === undefined) {
      throw otherKeys(subject, "holds keys as they are", "open it without hashKeys");
    }
    if (asked.secret === undefined) {
      if (stored.secret !== undefined) return new KeyHasher(stored.secret, () => stored);
      throw otherKeys(subject, "holds keys hashed with a secret", "pass that as hashKeys");
    }
    if (stored.secret !== undefined) {
      const found = "holds keys hashed with a secret of its own";
      throw otherKeys(subject, found, "open it with hashKeys: true");
    }
    const hasher = KeyHasher.make(asked);
    if (hasher.stored.fingerprint === stored.fingerprint) return hasher;
    throw otherKeys(subject, "holds keys hashed with another secret", "pass that as hashKeys");
  }

  /**
   * The stored key of a text of any length.
   *
   * @throws VectorLiteError ERR_KEY, ERR_INVALID_ARGUMENT
   */
  hash(text: unknown): string {
    const checked = checkHashable(text, "The key");
    const hash = hmac(this.#key, checked).toString("base64url", 0, hashBytes);
    return `${hash}.${Buffer.byteLength(checked)}`;
  }
}

function mark(key: Buffer): string {
  return hmac(key, "vectorlite fingerprint").toString("base64url", 0, hashBytes);
}

function hmac(key: string | Buffer, text: string): Buffer {
  const { createHmac } = process.getBuiltinModule("node:crypto");
  return createHmac("sha256", key).update(text, "utf8").digest();
}

/**
 * A text that can be hashed: as a key, but of any length.
 *
 * @throws VectorLiteError ERR_KEY, ERR_INVALID_ARGUMENT
 */
export function checkHashable(text: unknown, name: string): string {
  if (typeof text !== "string") throw invalidArgument(name, "a string", text);
  refuseUnencodable(text, name);
  return text;
}

/** A copy of the texts of a batch, each read once and checked. */
export function checkHashables(texts: readonly string[]): string[] {
  const list = checkArray(texts, "The keys");
  return Array.from(list, (text, index) => checkHashable(text, `keys[${index}]`));
}

function otherKeys(subject: string, found: string, advice: string): VectorLiteError {
  return new VectorLiteError("ERR_MODEL", `${subject} ${found}; ${advice}, or use another one.`);
}
