/**
 * The calls that wait for a flight, whoever computes it: a key, or a batch of them, under way.
 *
 * @module
 */

import { stores } from "./cache-mode.ts";
import type { CacheNamespace } from "./cache-namespace.ts";
import type { Computed } from "./computed.ts";

/** One call of `getOrCompute` or `getOrComputeMany` that misses something. */
export interface Call {
  readonly namespace: CacheNamespace;
  /** Milliseconds that what is computed lives; 0: for ever. */
  readonly ttl: number;
  /** Told what was computed for this call when it is stored. */
  onComputed(keys: readonly string[], computed: Computed): void;
}

/** Those who wait for one flight. */
export class Passengers {
  readonly #waiting = new Set<Call>();

  get isEmpty(): boolean {
    return this.#waiting.size === 0;
  }

  join(call: Call): void {
    this.#waiting.add(call);
  }

  leave(call: Call): void {
    this.#waiting.delete(call);
  }

  /**
   * Stores what came through a handle of theirs, or of the call that computed it. Whose handle was
   * closed meanwhile must not cost the others what they wait for.
   *
   * @returns Whether any of them stores anything.
   */
  keep(keys: readonly string[], computed: Computed, pilot?: Call): boolean {
    const waiting = [...this.#waiting].filter(mayStore);
    const keepers = pilot !== undefined && mayStore(pilot) ? [pilot, ...waiting] : waiting;
    const keeper = keepers.find(({ namespace }) => namespace.isOpen) ?? keepers[0];
    if (keeper === undefined) return false;
    keeper.namespace.keep(keys, computed, longestTtl(waiting.length > 0 ? waiting : keepers));
    return true;
  }
}

function mayStore({ namespace }: Call): boolean {
  return stores(namespace.file.mode);
}

/** 0: for ever. */
function longestTtl(calls: readonly Call[]): number {
  const ttls = calls.map(({ ttl }) => ttl);
  return ttls.includes(0) ? 0 : Math.max(...ttls);
}
