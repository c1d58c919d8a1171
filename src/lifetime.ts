/**
 * Sees to it that nothing stays open that nobody holds, and that what is open at the end is closed.
 *
 * A handle that was forgotten is closed when the garbage collector finds it. What is still open
 * when the process exits is closed by one listener, shared by every copy of this module, because
 * servers that reload modules would otherwise add a listener each time. The registry holds what it
 * lists weakly.
 *
 * @module
 */

import { native } from "./native/native.ts";

/** Something with a `close` that may be called at any time. */
export interface Closable {
  close(): void;
}

type OpenSet = Set<WeakRef<Closable>>;

const openKey = Symbol.for("vectorlite.open");

const forgotten = new FinalizationRegistry<{ id: number; reference?: WeakRef<Closable> }>(
  ({ id, reference }) => {
    native().vl_close(id);
    if (reference !== undefined) openSet().delete(reference);
  },
);

function openSet(): OpenSet {
  const global = globalThis as typeof globalThis & { [openKey]?: OpenSet };
  const existing = global[openKey];
  if (existing !== undefined) return existing;
  const created: OpenSet = new Set();
  global[openKey] = created;
  process.on("exit", () => closeAll(created));
  return created;
}

/**
 * Nobody is left to catch what fails here, and a throw would change the exit status of a program
 * that is done: each failure becomes a line of its own, and the others are still closed.
 */
function closeAll(open: OpenSet): void {
  for (const reference of open) {
    try {
      reference.deref()?.close();
    } catch (error) {
      // What `process.emitWarning` prints waits for a turn that does not come any more.
      console.error(`Warning: VectorLite could not close a file when the process ended. ${error}`);
    }
  }
}

/** A native handle: closed by hand, or when it is forgotten. */
export class Handle {
  /** Slot and generation: once closed, the engine refuses it. */
  readonly id: number;

  constructor(id: number) {
    this.id = id;
    forgotten.register(this, { id }, this);
  }

  /** The engine's status; closing twice is fine. */
  close(): number {
    forgotten.unregister(this);
    return native().vl_close(this.id);
  }
}

/** Closes `owner` at exit and its native handle when the owner is forgotten. */
export function closeWithProcess(owner: Closable, id: number): () => void {
  const reference = new WeakRef(owner);
  openSet().add(reference);
  forgotten.register(owner, { id, reference }, owner);
  return () => {
    openSet().delete(reference);
    forgotten.unregister(owner);
  };
}
