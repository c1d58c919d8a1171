/**
 * One consistent state of a database while the database moves on.
 *
 * @example
 * ```ts
 * using snap = db.snapshot();
 * snap.collection("docs").search(query);
 * ```
 *
 * @module
 */

import { Collection } from "./collection.ts";
import { invalidArgument, VectorLiteError } from "./errors.ts";
import { checkText } from "./options.ts";
import { openRecords } from "./open.ts";
import { type Records, subjectOf } from "./records.ts";
import { SnapshotScope } from "./snapshot-scope.ts";
import { collectionNames } from "./names.ts";
import type { Metadata, MetadataOf } from "./types.ts";

/**
 * A read-only view of a database as it was when `database.snapshot()` was called. It costs
 * nothing but the space that later writes cannot reuse while it is open, so close it.
 */
export class Snapshot implements Disposable {
  readonly #scope: SnapshotScope;
  readonly #open = new Map<string, Records>();

  /** @internal */
  constructor(scope: SnapshotScope) {
    if (!(scope instanceof SnapshotScope)) {
      throw invalidArgument("A snapshot", "opened with database.snapshot()", scope);
    }
    this.#scope = scope;
  }

  /**
   * A collection in the state of the snapshot. Writing to it is ERR_READONLY.
   *
   * @throws {@link VectorLiteError} ERR_INVALID_ARGUMENT where there was none, ERR_CLOSED
   */
  collection<Doc extends MetadataOf<Doc> = Metadata>(name: string): Collection<Doc> {
    const subject = subjectOf(checkText(name, "The name"));
    const known = this.#open.get(name);
    if (known !== undefined) return new Collection<Doc>(known);
    const records = openRecords(this.#scope, {
      name,
      subject,
      dimension: 0,
      metric: -1,
      model: "",
      create: false,
      cacheSize: 0,
    });
    if (records === undefined) {
      throw new VectorLiteError(
        "ERR_INVALID_ARGUMENT",
        `${subject} does not exist in this snapshot; it has ${this.collections().length} others.`,
      );
    }
    this.#open.set(name, records);
    return new Collection<Doc>(records);
  }

  /**
   * The names of all collections in the state of the snapshot.
   *
   * @throws {@link VectorLiteError} ERR_CLOSED
   */
  collections(): string[] {
    return collectionNames(this.#scope);
  }

  /** Lets the state go, with its collections. Closing twice is fine. */
  close(): void {
    this.#open.clear();
    this.#scope.close();
  }

  /** Closes the snapshot at the end of a `using` block. */
  [Symbol.dispose](): void {
    this.close();
  }
}
