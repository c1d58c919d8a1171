/**
 * Opens caches: their options to a namespace of a file, and to how it is used.
 *
 * @module
 */

import { CacheFile } from "./cache-file.ts";
import { modeOptions } from "./cache-mode.ts";
import { CacheNamespace } from "./cache-namespace.ts";
import { invalidArgument, VectorLiteError } from "./errors.ts";
import { ttlOption } from "./entry-facts.ts";
import { type BatchPlan, checkBatchPlan } from "./flights.ts";
import { type HashKeys, hashKeysOption } from "./hashed-keys.ts";
import { modelOption } from "./model-identity.ts";
import { durabilities, openDatabase } from "./open.ts";
import {
  busyTimeoutDefaultMs,
  cacheSizeDefault,
  cacheSizeMax,
  checkOptions,
  checkText,
  integerOption,
  type Known,
  pathDefault,
  textOption,
  thresholdOption,
  wordOption,
} from "./options.ts";
import { shrink } from "./shrink.ts";
import type { EmbedCacheOptions, ModelIdentity, NamespaceOptions } from "./types.ts";
import { encoder } from "./utf8.ts";
import { dimensionMax } from "./vectors.ts";

/** The namespace of a cache that names none. */
const namespaceDefault = "default";

/** Bytes of UTF-8 that a name may have; frozen with the file format. */
const nameBytesMax = 255;

/** What a file may be limited to: less has no room for a handful of large vectors. */
const fileBytesMin = 1 << 20;

/** Pages of the file that a cache keeps; the vectors that matter are in its hot set. */
const memoryBudgetBytes = 4 << 20;

const knownOfNamespace: Known = {
  dimension: true,
  similarityThreshold: true,
  cacheSize: true,
  model: true,
  hashKeys: true,
  ttl: true,
  maxEntries: true,
  pricePerMillionTokens: true,
};

const knownOfCache: Known = {
  path: true,
  ...knownOfNamespace,
  namespace: true,
  durability: true,
  readonly: true,
  mode: true,
  maxBatch: true,
  concurrency: true,
  maxBytes: true,
};

const knownServerless: Known = {
  ...knownOfCache,
  path: "is chosen by forServerless(); use new EmbedCache({ path }) for a place of your own",
};

/** How a namespace is used; what another one of its file does too, unless it says otherwise. */
export interface CacheSettings {
  /** NaN: none. */
  readonly threshold: number;
  readonly cacheSize: number;
  /** Milliseconds that entries live; 0: for ever. */
  readonly ttl: number;
  /** 0: any number. */
  readonly rowsMax: number;
  /** Of a million tokens; NaN: not said. */
  readonly price: number;
  /** `undefined`: keys are stored as they are. */
  readonly hashKeys: HashKeys | undefined;
  readonly batches: BatchPlan;
}

/** An open namespace. */
export interface OpenCache {
  readonly namespace: CacheNamespace;
  readonly settings: CacheSettings;
}

/** The options of a cache in a temp folder. */
export function checkServerless<Options extends object>(options: Options | undefined): Options {
  return checkOptions(options, knownServerless, "forServerless()");
}

/** Opens a file, or creates it, and one namespace of it. */
export function openCache(options: EmbedCacheOptions | undefined): OpenCache {
  const given = checkOptions(options, knownOfCache, "EmbedCache");
  const path = textOption(given.path, "path", pathDefault);
  const { mode, readonly } = modeOptions(given);
  const name = given.namespace === undefined ? namespaceDefault : checkName(given.namespace);
  const isDefault = name === namespaceDefault;
  const subject = subjectOf(path, name);
  const settings = settingsOf(given, {
    threshold: Number.NaN,
    cacheSize: cacheSizeDefault,
    ttl: 0,
    rowsMax: 0,
    price: Number.NaN,
    hashKeys: undefined,
    batches: checkBatchPlan(given),
  });
  const plan = { name, ...identityOf(given), ...settings, subject };
  const fileBytesMax = integerOption(given.maxBytes, "maxBytes", {
    min: fileBytesMin,
    max: Number.MAX_SAFE_INTEGER,
    fallback: 0,
  });
  if (mode === "record-missing" && (fileBytesMax > 0 || settings.rowsMax > 0)) {
    throw new VectorLiteError(
      "ERR_INVALID_ARGUMENT",
      `${subject} is opened with mode "record-missing", which loses nothing, and with a bound; ` +
        "leave one of them out.",
    );
  }
  const database = {
    path,
    readonly,
    create: !readonly,
    durability: wordOption(given.durability, "durability", durabilities, 1),
    busyTimeoutMs: busyTimeoutDefaultMs,
    memoryBudgetBytes,
    olderRoot: 0,
    fileBytesMax,
  };
  const opened = open();
  // Whoever has the wrong file or model was told so, before anything of it goes.
  const { connection } = opened.namespace.file;
  if (readonly || fileBytesMax === 0 || connection.stats().fileSize <= fileBytesMax) return opened;
  connection.close();
  shrink({ ...database, fileBytesMax: 0 }, fileBytesMax);
  return open();

  function open(): OpenCache {
    const connection = openDatabase(database);
    try {
      const file = new CacheFile(path, connection, mode, fileBytesMax);
      const namespace = new CacheNamespace(file, plan);
      if (!readonly && (isDefault || plan.dimension > 0)) namespace.create(plan.dimension);
      if (namespace.records !== undefined || !isDefault) return { namespace, settings };
      throw new VectorLiteError(
        "ERR_INVALID_ARGUMENT",
        `${subject} holds no cache, and none is made in a file that is opened for reading.`,
      );
    } catch (error) {
      connection.close();
      throw error;
    }
  }
}

/** Opens another namespace of an open file. */
export function openNamespace(
  file: CacheFile,
  name: string,
  options: NamespaceOptions | undefined,
  inherited: CacheSettings,
): OpenCache {
  const given = checkNamespaceOptions(options);
  const settings = settingsOf(given, inherited);
  const subject = subjectOf(file.path, checkName(name));
  const plan = { name, ...identityOf(given), ...settings, subject };
  const namespace = new CacheNamespace(file, plan);
  if (plan.dimension > 0 && file.connection.writable) namespace.create(plan.dimension);
  return { namespace, settings };
}

/** Refuses options that an open namespace was not opened with; decides what was open. */
export function checkSameNamespace(
  { namespace, settings }: OpenCache,
  options: NamespaceOptions,
): void {
  const given = checkNamespaceOptions(options);
  const { dimension, model } = identityOf(given);
  const asked = settingsOf(given, settings);
  namespace.decide(dimension, model, asked.hashKeys);
  if (!Object.is(asked.threshold, settings.threshold)) {
    throw openWith(namespace, "similarityThreshold", settings.threshold, asked.threshold);
  }
  if (!Object.is(asked.price, settings.price)) {
    throw openWith(namespace, "pricePerMillionTokens", settings.price, asked.price);
  }
  if (asked.cacheSize !== settings.cacheSize) {
    throw openWith(namespace, "cacheSize", settings.cacheSize, asked.cacheSize);
  }
  if (asked.ttl !== settings.ttl) throw openWith(namespace, "ttl", settings.ttl, asked.ttl);
  if (asked.rowsMax !== settings.rowsMax) {
    throw openWith(namespace, "maxEntries", settings.rowsMax, asked.rowsMax);
  }
}

function openWith(
  { plan }: CacheNamespace,
  option: string,
  open: number,
  found: number,
): VectorLiteError {
  return new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    `${plan.subject} is open with ${option} ${open}; found ${found}. One process opens a ` +
      "namespace once; say it where it is opened first.",
  );
}

function checkNamespaceOptions(options: NamespaceOptions | undefined): NamespaceOptions {
  return checkOptions(options, knownOfNamespace, "namespace()");
}

function settingsOf(given: NamespaceOptions, inherited: CacheSettings): CacheSettings {
  const named = thresholdOption(given.similarityThreshold, "similarityThreshold", [-1, 1]);
  const price = thresholdOption(given.pricePerMillionTokens, "pricePerMillionTokens", [0, 1e9]);
  return {
    ...inherited,
    hashKeys: given.hashKeys === undefined ? inherited.hashKeys : hashKeysOption(given.hashKeys),
    threshold: Number.isNaN(named) ? inherited.threshold : named,
    price: Number.isNaN(price) ? inherited.price : price,
    cacheSize: integerOption(given.cacheSize, "cacheSize", {
      min: 0,
      max: cacheSizeMax,
      fallback: inherited.cacheSize,
    }),
    ttl: ttlOption(given.ttl, inherited.ttl),
    rowsMax: integerOption(given.maxEntries, "maxEntries", {
      min: 1,
      max: 0xffffffff,
      fallback: inherited.rowsMax,
    }),
  };
}

/** How many numbers its vectors have, or 0, and which model made them. */
export function identityOf(given: NamespaceOptions): {
  dimension: number;
  model: ModelIdentity | undefined;
} {
  const model = modelOption(given.model);
  const dimensions = model?.dimensions ?? 0;
  const range = { min: 1, max: dimensionMax, fallback: dimensions };
  const dimension = integerOption(given.dimension, "dimension", range);
  if (dimensions === 0 || dimension === dimensions) return { dimension, model };
  throw new VectorLiteError(
    "ERR_DIMENSION",
    `The dimension is ${dimension} and that of the model ${dimensions}; leave one of them out.`,
  );
}

function subjectOf(path: string, name: string): string {
  const cache = `cache ${JSON.stringify(path)}`;
  if (name === namespaceDefault) return `The ${cache}`;
  return `The namespace ${JSON.stringify(name)} of the ${cache}`;
}

function checkName(name: unknown): string {
  const checked = checkText(name, "The namespace");
  if (checked.length * 3 <= nameBytesMax) return checked;
  if (encoder.encode(checked).length <= nameBytesMax) return checked;
  throw invalidArgument("The namespace", `at most ${nameBytesMax} bytes of UTF-8`, name);
}
