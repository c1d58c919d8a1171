/**
 * Tells whoever listens what computing calls find, and what goes: `node:diagnostics_channel`.
 *
 * The module is loaded by the first computing call of a process, or the first write of a cache that
 * something may go from: loading it costs Bun two milliseconds, which neither opening a cache nor
 * reading from it should take.
 *
 * @module
 */

import type { Channel } from "node:diagnostics_channel";
import type { CacheFile } from "./cache-file.ts";
import type { CacheNamespace } from "./cache-namespace.ts";
import type { WriteWatch } from "./connection.ts";
import type { Tally } from "./records.ts";
import type { CacheMessage, EvictMessage, HitMessage } from "./types.ts";

/** What can be told. */
type Event = "hit" | "miss" | "join" | "evict";

let channels: Record<Event, Channel> | undefined;

function openChannels(): Record<Event, Channel> {
  const { channel } = process.getBuiltinModule("node:diagnostics_channel");
  return {
    hit: channel("vectorlite:hit"),
    miss: channel("vectorlite:miss"),
    join: channel("vectorlite:join"),
    evict: channel("vectorlite:evict"),
  };
}

/** The channel, if anybody listens. */
function heard(event: Event): Channel | undefined {
  channels ??= openChannels();
  const channel = channels[event];
  return channel.hasSubscribers ? channel : undefined;
}

function messageOf({ file, plan }: CacheNamespace, keys: string[]): CacheMessage {
  return { path: file.path, namespace: plan.name, keys };
}

/** Publishes one message about keys, unless there are none or nobody listens. */
export function tell(
  event: "miss" | "join",
  namespace: CacheNamespace,
  keysOf: () => string[],
): void {
  const channel = heard(event);
  if (channel === undefined) return;
  const keys = keysOf();
  if (keys.length > 0) channel.publish(messageOf(namespace, keys));
}

/** Does `read`, and publishes which keys it found and what that saved. */
export function tellHits<Found>(
  namespace: CacheNamespace,
  read: () => Found,
  keysOf: (found: Found) => string[],
): Found {
  const channel = heard("hit");
  if (channel === undefined) return read();
  const before = namespace.tally()?.savedCost ?? 0;
  const found = read();
  const tokensSaved = (namespace.tally()?.savedCost ?? 0) - before;
  const keys = keysOf(found);
  if (keys.length === 0) return found;
  const moneySaved = namespace.moneyOf(tokensSaved);
  const message: HitMessage = { ...messageOf(namespace, keys), tokensSaved, moneySaved };
  channel.publish(message);
  return found;
}

/** Publishes what went from the namespaces of a file, after the commit that it went with. */
export class EvictionWatch implements WriteWatch {
  readonly #file: CacheFile;
  /** What was told already, or happened before anybody listened; none while nobody does. */
  #known: Map<CacheNamespace, Tally> | undefined;

  constructor(file: CacheFile) {
    this.#file = file;
  }

  before(): void {
    const mayBeHeard = this.#file.mayLose || channels !== undefined;
    if (mayBeHeard && heard("evict") !== undefined) this.#known ??= this.#count();
    else this.#known = undefined;
  }

  after(): void {
    const known = this.#known;
    if (known === undefined) return;
    const now = this.#count();
    this.#known = now;
    for (const [namespace, { evictions, expirations }] of now) {
      const before = known.get(namespace);
      const evicted = evictions - (before?.evictions ?? 0);
      const expired = expirations - (before?.expirations ?? 0);
      if (evicted + expired === 0) continue;
      const { file, plan } = namespace;
      const message: EvictMessage = { path: file.path, namespace: plan.name, evicted, expired };
      heard("evict")?.publish(message);
    }
  }

  #count(): Map<CacheNamespace, Tally> {
    const counted = new Map<CacheNamespace, Tally>();
    for (const namespace of this.#file.namespaces) {
      const tally = namespace.tally();
      if (tally !== undefined) counted.set(namespace, tally);
    }
    return counted;
  }
}
