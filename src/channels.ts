/**
 * Tells whoever listens what computing calls find: `node:diagnostics_channel`.
 *
 * The module is loaded by the first computing call of a process: loading it costs Bun two
 * milliseconds, which neither opening a cache nor reading from it should take.
 *
 * @module
 */

import type { Channel } from "node:diagnostics_channel";
import type { CacheNamespace } from "./cache-namespace.ts";
import type { CacheMessage } from "./types.ts";

/** What can be told of keys. */
export type Event = "hit" | "miss" | "join";

let channels: Record<Event, Channel> | undefined;

function openChannels(): Record<Event, Channel> {
  const { channel } = process.getBuiltinModule("node:diagnostics_channel");
  return {
    hit: channel("vectorlite:hit"),
    miss: channel("vectorlite:miss"),
    join: channel("vectorlite:join"),
  };
}

/** Publishes one message about keys, unless there are none or nobody listens. */
export function tell(event: Event, namespace: CacheNamespace, keysOf: () => string[]): void {
  channels ??= openChannels();
  const channel = channels[event];
  if (!channel.hasSubscribers) return;
  const keys = keysOf();
  if (keys.length === 0) return;
  const message: CacheMessage = {
    path: namespace.file.path,
    namespace: namespace.plan.name,
    keys,
  };
  channel.publish(message);
}
